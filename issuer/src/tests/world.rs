//! A registry, a vault host, a person, and an issuer between them.

use crate::config::{
    CredentialAlgorithm, DepositConfig, IssuerConfig, OpenId4VciConfig, StatusListConfig,
    WatchedFolder,
};
use crate::issuer::rng;
use crate::registry::Registry;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{
    Deposit, DepositReceipt, EMPTY_HEAD, SealedRecord, VerifiedDeposit, receipt_head,
};
use tegata_consent::entry::{Body, Entry, StatusListPublished};
use tegata_consent::ids::{ChainId, DrawerId, Hash, Nonce, OrganisationId, RecordId};
use tegata_consent::invitation::{Drawer, Invitation, pairing_hash};
use tegata_consent::keys::VaultSecret;
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::organisation::{
    Issues, Name, Organisation, OrganisationState, Role, Service, Suspension,
};
use tegata_consent::sealing::{Manifest, open, unframe};
use tegata_consent::status::{StatusListState, status_list_id, token_digest as token_digest_of};
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::sd_jwt::{SdJwt, VerifiedSdJwt};
use tegata_credential::status_list::{Status, StatusListToken};
use tegata_records::catalogue;
use tegata_service::auth::token_digest;
use tegata_service::clock::{now_ms, now_s};
use tegata_service::config::{HttpConfig, HttpLimits, LedgerConfig, TelemetryConfig};
use tegata_service::http::Readiness;
use tegata_service::keys::{OrganisationKeys, write_new};
use tegata_service::ledger::LedgerError;
use tokio::sync::oneshot;

pub(crate) const TOKEN: &str = "made-up-token";
pub(crate) const CHAIN: ChainId = ChainId([7; 32]);

/// A registry whose entries the test sets, and the part of a ledger that keeps status lists, by the state machine's rules.
#[derive(Default)]
pub(crate) struct FixedRegistry(
    Mutex<(HashMap<OrganisationId, OrganisationState>, bool)>,
    AtomicU64,
    Mutex<Lists>,
);

#[derive(Default)]
struct Lists {
    lists: HashMap<tegata_consent::ids::Hash, StatusListState>,
    /// So many submissions become final without an answer.
    swallow: u32,
    /// So many submissions wait.
    hold: u32,
    held: Vec<StatusListPublished>,
}

impl Lists {
    fn put(&mut self, published: &StatusListPublished) -> Result<(), LedgerError> {
        let newest = self.lists.get(&published.list);
        if newest.is_some_and(|newest| newest.issued_ms > published.issued_ms) {
            return Err(LedgerError::Inadmissible {
                code: "status-list-older".into(),
                detail: String::new(),
            });
        }
        let state = StatusListState {
            token: published.token,
            issued_ms: published.issued_ms,
            published_ms: published.issued_ms,
            count: newest.map_or(0, |newest| newest.count) + 1,
            recalled: published.recalled,
        };
        self.lists.insert(published.list, state);
        Ok(())
    }
}

impl FixedRegistry {
    pub(crate) fn put(&self, state: OrganisationState) {
        self.0.lock().unwrap().0.insert(state.id, state);
    }

    pub(crate) fn change(&self, id: &OrganisationId, change: impl FnOnce(&mut OrganisationState)) {
        change(self.0.lock().unwrap().0.get_mut(id).unwrap());
    }

    pub(crate) fn all(&self) -> Vec<OrganisationState> {
        self.0.lock().unwrap().0.values().cloned().collect()
    }

    /// The newest list that was published under a URI.
    pub(crate) fn list(&self, uri: &str) -> Option<StatusListState> {
        self.published(&status_list_id(uri))
    }

    /// The newest of a list.
    pub(crate) fn published(&self, list: &Hash) -> Option<StatusListState> {
        self.2.lock().unwrap().lists.get(list).cloned()
    }

    /// The next `count` submissions become final, but their answers are lost.
    pub(crate) fn swallow(&self, count: u32) {
        self.2.lock().unwrap().swallow = count;
    }

    /// The next `count` submissions are not final in time, but may be later.
    pub(crate) fn hold(&self, count: u32) {
        self.2.lock().unwrap().hold = count;
    }

    /// What was held comes now: how many of them become final.
    pub(crate) fn release(&self) -> usize {
        let mut lists = self.2.lock().unwrap();
        let held = std::mem::take(&mut lists.held);
        held.iter()
            .filter(|published| lists.put(published).is_ok())
            .count()
    }

    fn take(&self, entry: &[u8]) -> Result<(), LedgerError> {
        if self.0.lock().unwrap().1 {
            return Err(LedgerError::Stale { age_ms: 99_000 });
        }
        let verified = Entry::parse(entry).unwrap().verify(&CHAIN).unwrap();
        let Body::StatusListPublished(published) = verified.entry().body() else {
            panic!("an issuer publishes nothing else");
        };
        let registered = self.0.lock().unwrap().0.get(&published.issuer).cloned();
        let signer = verified.entry().signer();
        assert!(registered.is_none_or(|issuer| issuer.signs_with(&signer, now_ms())));
        let mut lists = self.2.lock().unwrap();
        if lists.hold > 0 {
            lists.hold -= 1;
            lists.held.push(published.clone());
            return Err(LedgerError::NotFinal);
        }
        lists.put(published)?;
        if lists.swallow > 0 {
            lists.swallow -= 1;
            return Err(LedgerError::NotFinal);
        }
        Ok(())
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    /// From now on the ledger is stale, or not.
    pub(crate) fn set_stale(&self, stale: bool) {
        self.0.lock().unwrap().1 = stale;
    }
}

impl Registry for FixedRegistry {
    fn chain(&self) -> ChainId {
        CHAIN
    }

    fn submit<'a>(&'a self, entry: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>> {
        let taken = self.take(entry);
        async { taken }.boxed()
    }

    fn status_list<'a>(
        &'a self,
        _: &'a OrganisationId,
        list: &'a Hash,
    ) -> BoxFuture<'a, Result<Option<StatusListState>, LedgerError>> {
        let answer = if self.0.lock().unwrap().1 {
            Err(LedgerError::Stale { age_ms: 99_000 })
        } else {
            Ok(self.published(list))
        };
        async { answer }.boxed()
    }

    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Option<OrganisationState>, LedgerError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let (all, stale) = &*self.0.lock().unwrap();
        let answer = if *stale {
            Err(LedgerError::Stale { age_ms: 99_000 })
        } else {
            Ok(all.get(id).cloned())
        };
        async { answer }.boxed()
    }
}

pub(crate) fn organisation(
    keys: &OrganisationKeys,
    role: Role,
    url: &str,
    types: &[&str],
) -> OrganisationState {
    let issues = types.iter().map(|record_type| Issues {
        record_type: (*record_type).to_owned(),
        from_ms: 0,
        until_ms: None,
    });
    OrganisationState {
        id: keys.organisation_id(),
        organisation: Organisation {
            name: Name {
                ja: "桜市".to_owned(),
                en: "Sakura City".to_owned(),
            },
            roles: vec![role],
            services: vec![Service {
                role,
                url: url.to_owned(),
            }],
            did: format!("did:tegata:{}", keys.organisation_id()),
            keys: keys.public_keys(0),
            issues: issues.collect(),
            asks: Vec::new(),
        },
        sequence: 0,
        registered_ms: 0,
        suspensions: Vec::<Suspension>::new(),
    }
}

/// How the host answers next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// 503.
    Down,
    /// Takes the deposit, and its answer gets lost (500).
    LosesAnswer,
    /// Takes the deposit, and answers with a receipt that somebody else signed.
    ForgesReceipt,
    /// 422 with this code.
    Refuses(&'static str),
}

#[derive(Default)]
pub(crate) struct HostState {
    pub(crate) mood: Mood,
    pub(crate) requests: u64,
    pub(crate) drawers: HashMap<DrawerId, Vec<(VerifiedDeposit, SealedRecord, Vec<u8>)>>,
}

pub(crate) struct Host {
    pub(crate) keys: OrganisationKeys,
    pub(crate) address: SocketAddr,
    pub(crate) state: Mutex<HostState>,
}

impl Host {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keys = OrganisationKeys::generate(&mut rng());
        let host = Arc::new(Self {
            keys,
            address: listener.local_addr().unwrap(),
            state: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/drawers/{drawer}/records", post(take))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&host));
        tokio::spawn(async move { axum::serve(listener, router).await });
        host
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Everything in a drawer.
    pub(crate) fn drawer(&self, drawer: &DrawerId) -> Vec<SealedRecord> {
        let state = self.state.lock().unwrap();
        state
            .drawers
            .get(drawer)
            .into_iter()
            .flatten()
            .map(|(_, sealed, _)| sealed.clone())
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.state
            .lock()
            .unwrap()
            .drawers
            .values()
            .map(Vec::len)
            .sum()
    }
}

async fn take(State(host): State<Arc<Host>>, Path(drawer): Path<String>, body: Bytes) -> Response {
    let mut state = host.state.lock().unwrap();
    state.requests += 1;
    match state.mood {
        Mood::Down => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mood::Refuses(code) => {
            return (
                StatusCode::UNPROCESSABLE_ENTITY,
                json!({ "code": code }).to_string(),
            )
                .into_response();
        }
        Mood::Good | Mood::LosesAnswer | Mood::ForgesReceipt => {}
    }
    let sealed: SealedRecord = cbor::decode(&body, SealedRecord::LIMIT).unwrap();
    let lock = Lock::parse(&sealed.lock).unwrap();
    let verified = Deposit::verify(&sealed.deposit, &CHAIN, &sealed.file, &lock).unwrap();
    assert_eq!(verified.deposit.drawer.to_string(), drawer);
    let invited =
        Invitation::verify(&sealed.invitation, &CHAIN, &verified.deposit.depositor).unwrap();
    assert_eq!(invited.digest, verified.deposit.invitation);
    let mood = state.mood;
    let all = state.drawers.entry(verified.deposit.drawer).or_default();
    let answer = |status, bytes: Vec<u8>| {
        (status, [("content-type", "application/cose")], bytes).into_response()
    };
    if let Some((known, _, receipt)) = all
        .iter()
        .find(|(known, ..)| known.deposit.record == verified.deposit.record)
    {
        if known.digest != verified.digest {
            return (
                StatusCode::CONFLICT,
                json!({ "code": "record-exists" }).to_string(),
            )
                .into_response();
        }
        return match mood {
            Mood::LosesAnswer => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => answer(StatusCode::OK, receipt.clone()),
        };
    }
    let receipt = DepositReceipt {
        host: host.keys.organisation_id(),
        drawer: verified.deposit.drawer,
        sequence: all.len() as u64 + 1,
        previous: all
            .last()
            .map_or(EMPTY_HEAD, |(_, _, receipt)| receipt_head(receipt)),
        deposit: verified.digest,
        received_ms: now_ms(),
    };
    if mood == Mood::ForgesReceipt {
        let stranger = OrganisationKeys::generate(&mut rng());
        return answer(
            StatusCode::CREATED,
            receipt.sign(&stranger.sign, &CHAIN).to_bytes(),
        );
    }
    let receipt = receipt.sign(&host.keys.sign, &CHAIN).to_bytes();
    all.push((verified, sealed, receipt.clone()));
    if mood == Mood::LosesAnswer {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    answer(StatusCode::CREATED, receipt)
}

/// A person's wallet, as far as an issuer meets it.
pub(crate) struct Wallet {
    pub(crate) secret: VaultSecret,
    pub(crate) drawers: Vec<Drawer>,
}

pub(crate) const TYPES: [&str; 8] = [
    "vaccination",
    "hip_dislocation_screening",
    "infant_checkup_3_4_months",
    "infant_checkup_9_10_months",
    "infant_checkup_18_months",
    "dental_checkup_2_years",
    "infant_checkup_3_years",
    "laboratory_result",
];

impl Wallet {
    pub(crate) fn new() -> Self {
        let secret = VaultSecret::new(rand::random());
        let drawers = ["vaccination", "infant_checkup", "laboratory"].map(|category| {
            let id = DrawerId(rand::random());
            let (drawer_key, reader_key) = (
                secret.drawer_secret(&id).seal_key(),
                secret.reader_secret(&id).seal_key(),
            );
            Drawer {
                id,
                category: category.to_owned(),
                epoch: 1,
                drawer_key,
                reader_key,
            }
        });
        Self {
            secret,
            drawers: drawers.into(),
        }
    }

    pub(crate) fn invitation(
        &self,
        host: &OrganisationId,
        depositor: &OrganisationId,
        code: &str,
    ) -> Invitation {
        Invitation {
            suite: tegata_consent::SUITE_X25519,
            host: *host,
            depositor: *depositor,
            pairing: pairing_hash(depositor, code),
            drawers: self.drawers.clone(),
            holder: tegata_consent::cose::public_key(&self.secret.holder_key(depositor)),
            record_types: TYPES.map(str::to_owned).into(),
            expires_ms: now_ms() + 3_600_000,
            nonce: Nonce(rand::random()),
        }
    }

    pub(crate) fn sign(&self, invitation: &Invitation) -> String {
        URL_SAFE_NO_PAD.encode(invitation.sign(&self.secret.vault_key(), &CHAIN).to_bytes())
    }

    pub(crate) fn drawer(&self, category: &str) -> DrawerId {
        self.drawers
            .iter()
            .find(|drawer| drawer.category == category)
            .unwrap()
            .id
    }

    /// Opens a record with the drawer key, and as a reader with the reader key; both give the same.
    pub(crate) fn open(&self, sealed: &SealedRecord) -> (Manifest, String) {
        let lock = Lock::parse(&sealed.lock).unwrap();
        let deposit = Deposit::verify(&sealed.deposit, &CHAIN, &sealed.file, &lock)
            .unwrap()
            .deposit;
        let own = open(&sealed.file, &self.secret.drawer_secret(&deposit.drawer)).unwrap();
        let label = LockLabel::new(CHAIN, deposit.drawer, deposit.record, deposit.date_ms);
        let record_key = lock
            .open(&self.secret.reader_secret(&deposit.drawer), &label)
            .unwrap();
        let read = open(&sealed.file, &record_key).unwrap();
        assert_eq!(own, read);
        let (manifest, parts) = unframe(&own).unwrap();
        assert_eq!(
            (manifest.drawer, manifest.record, manifest.date_ms),
            (deposit.drawer, deposit.record, deposit.date_ms)
        );
        (manifest, String::from_utf8(parts[0].to_vec()).unwrap())
    }
}

/// A registry, a host and the files of an issuer.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: Arc<FixedRegistry>,
    pub(crate) host: Arc<Host>,
    pub(crate) keys: OrganisationKeys,
    pub(crate) alg: CredentialAlgorithm,
    pub(crate) pairing_ttl_s: u64,
    pub(crate) watched: Option<PathBuf>,
    pub(crate) http_limits: HttpLimits,
    pub(crate) openid4vci: Option<OpenId4VciConfig>,
    pub(crate) vc_api: Option<crate::http::VcApiConfig>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = write_new(folder.path().join("keys.json"), &mut rng()).unwrap();
        let host = Host::start().await;
        let registry = Arc::new(FixedRegistry::default());
        registry.put(organisation(
            &host.keys,
            Role::Host,
            &format!("http://{}", host.address),
            &[],
        ));
        registry.put(organisation(
            &keys,
            Role::Issuer,
            "http://issuer.invalid",
            &TYPES,
        ));
        Self {
            folder,
            registry,
            host,
            keys,
            alg: CredentialAlgorithm::EdDsa,
            pairing_ttl_s: 600,
            watched: None,
            http_limits: HttpLimits::default(),
            openid4vci: None,
            vc_api: None,
        }
    }

    pub(crate) fn id(&self) -> OrganisationId {
        self.keys.organisation_id()
    }

    pub(crate) fn host_id(&self) -> OrganisationId {
        self.host.keys.organisation_id()
    }

    pub(crate) fn config(&self, address: SocketAddr) -> IssuerConfig {
        IssuerConfig {
            alg: self.alg,
            pairing_ttl_s: self.pairing_ttl_s,
            openid4vci: self.openid4vci.clone(),
            vc_api: self.vc_api.clone(),
            watched_folder: self
                .watched
                .clone()
                .map(|path| WatchedFolder { path, poll_ms: 20 }),
            ..config(self.folder.path(), address)
        }
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_on(TcpListener::bind("127.0.0.1:0").unwrap())
            .await
    }

    pub(crate) async fn start_on(&self, listener: TcpListener) -> Running {
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = self.config(address);
        let registry: Arc<dyn Registry> = Arc::clone(&self.registry) as _;
        let shutdown = async move { drop(stopped.await) };
        let ready = Readiness::new(|| Ok(()));
        let task = tokio::spawn(crate::run_on(listener, config, registry, ready, shutdown));
        Running {
            url: format!("http://{address}"),
            http: reqwest::Client::new(),
            stop,
            task,
        }
    }
}

/// The configuration of an issuer in a folder.
pub(crate) fn config(folder: &std::path::Path, address: SocketAddr) -> IssuerConfig {
    IssuerConfig {
        data: folder.join("data"),
        keys: folder.join("keys.json"),
        alg: CredentialAlgorithm::EdDsa,
        wallet_url: "https://wallet.invalid".to_owned(),
        tokens: toml::from_str(&format!("emr = \"{}\"", token_digest(TOKEN))).unwrap(),
        pairing_ttl_s: 600,
        patient_system: None,
        http: HttpConfig {
            // Tests are proxies: who calls is whom they say.
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            ..HttpConfig::plain(address, format!("http://{address}"))
        },
        ledger: LedgerConfig {
            urls: Vec::new(),
            genesis: PathBuf::new(),
        },
        telemetry: TelemetryConfig::default(),
        csv: crate::import::CsvConfig::default(),
        watched_folder: None,
        deposits: DepositConfig {
            pause_ms: 20,
            pause_max_ms: 100,
            ..DepositConfig::default()
        },
        status_list: StatusListConfig::default(),
        openid4vci: None,
        vc_api: None,
    }
}

/// An issuer that runs.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), crate::IssuerError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self
            .http
            .get(format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self
            .http
            .post(format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// Asks until the answer is as wanted, 30 s at most.
    pub(crate) async fn wait(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.get(path).await;
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < until, "{path} stays {found}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn wait_status(&self, id: &str, status: &str) -> Value {
        self.wait(&format!("/v1/records/{id}"), |record| {
            record["status"] == status
        })
        .await
    }

    /// Pairs a wallet with a patient number.
    pub(crate) async fn pair(&self, world: &World, wallet: &Wallet, subject: &str) {
        let (status, begun) = self
            .post("/v1/pairings", &json!({ "subject": subject }))
            .await;
        assert_eq!(status, 201, "{begun}");
        let code = begun["code"].as_str().unwrap();
        let invitation = wallet.sign(&wallet.invitation(&world.host_id(), &world.id(), code));
        let (status, paired) = self.answer(code, &invitation).await;
        assert_eq!(status, 200, "{paired}");
    }

    pub(crate) async fn answer(&self, code: &str, invitation: &str) -> (u16, Value) {
        self.post(
            "/v1/pairings/answers",
            &json!({ "code": code, "invitation": invitation }),
        )
        .await
    }

    pub(crate) async fn is_revoked(&self, world: &World, status_list: &Value) -> bool {
        self.status(world, status_list).await != Status::Valid
    }

    /// Looks a place up in the published status list, which is the one on the ledger.
    pub(crate) async fn status(&self, world: &World, status_list: &Value) -> Status {
        let uri = status_list["uri"].as_str().unwrap();
        let response = self.http.get(uri).send().await.unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "application/statuslist+jwt"
        );
        let text = response.text().await.unwrap();
        let newest = world.registry.list(uri).unwrap().token;
        assert_eq!(newest, token_digest_of(text.as_bytes()));
        let token = StatusListToken::parse(&text).unwrap();
        let list = token.verify(&credential_key(world), uri, now_s()).unwrap();
        list.status_at(status_list["idx"].as_u64().unwrap())
            .unwrap()
    }
}

pub(crate) fn credential_key(world: &World) -> PublicKey {
    let (algorithm, index) = match world.alg {
        CredentialAlgorithm::EdDsa => (Algorithm::EdDsa, 2),
        CredentialAlgorithm::Es256 => (Algorithm::Es256, 3),
    };
    PublicKey::from_bytes(algorithm, &world.keys.public_keys(0)[index].public).unwrap()
}

/// Checks everything about a credential that does not need the status list.
pub(crate) fn verify(
    world: &World,
    wallet: &Wallet,
    credential: &str,
    record_type: &str,
) -> VerifiedSdJwt {
    let verified = SdJwt::parse(credential)
        .unwrap()
        .verify(&credential_key(world), now_s())
        .unwrap();
    assert_eq!(
        verified.issuer().unwrap(),
        format!("did:tegata:{}", world.id())
    );
    let record_type = catalogue().by_id(record_type).unwrap();
    assert_eq!(verified.vct(), record_type.vct());
    record_type.validate(verified.claims()).unwrap();
    let holder = wallet
        .secret
        .holder_key(&world.id())
        .verifying_key()
        .to_bytes();
    assert_eq!(verified.holder().unwrap().to_bytes(), holder);
    verified
}

pub(crate) fn immunization(patient: &str, id: &str, lot: &str) -> Value {
    json!({
        "resourceType": "Immunization",
        "id": id,
        "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }] },
        "patient": { "reference": format!("Patient/{patient}") },
        "occurrenceDateTime": "2025-04-01",
        "lotNumber": lot,
    })
}

pub(crate) fn record_id(answer: &Value) -> RecordId {
    answer["id"].as_str().unwrap().parse().unwrap()
}
