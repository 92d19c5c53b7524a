//! A host in one process, with a real store on disk, a real HTTP router, and the ledger of [`ledger`].

mod crash;
mod deposits;
mod fetch;
mod grants;
mod ledger;
mod outbox;
mod owner;
mod running;

use crate::config::Limits;
use crate::host::Host;
use crate::http::{Shared, router};
use axum::Router;
use axum::body::Body as HttpBody;
use axum::http::{HeaderMap, Method, Request};
use ed25519_dalek::SigningKey;
use ledger::TestLedger;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tegata_consent::cbor;
use tegata_consent::cose::{Signed, public_key};
use tegata_consent::deposit::{Deposit, SealedRecord};
use tegata_consent::entry::{
    Access, Body, Entry, Grant, OrganisationSuspension, Revocation, VerifiedEntry,
};
use tegata_consent::fetch::FetchRequest;
use tegata_consent::header::{Validator, ValidatorSet};
use tegata_consent::ids::{
    ChainId, DrawerId, EntryId, GrantId, Hash, Nonce, OrganisationId, RecordId, Salt, SealKey,
};
use tegata_consent::invitation::{Drawer, Invitation, invitation_digest, pairing_hash};
use tegata_consent::keys::{Secret, VaultSecret};
use tegata_consent::lock::{Lock, LockLabel, seal};
use tegata_consent::order::{GrantSubmission, Order};
use tegata_consent::organisation::{
    Asks, Issues, KeyUse, Name, Organisation, OrganisationKey, Role, Service, organisation_id,
};
use tegata_consent::scope::Scope;
use tegata_consent::sealing::file_digest;
use tegata_service::clock;
use tegata_service::keys::OrganisationKeys;
use tegata_service::signature::{Signer, Verifier, sign};
use tower::ServiceExt;

pub(crate) const URL: &str = "http://host.example";
pub(crate) const DAY_MS: u64 = 86_400_000;

/// A key by name.
pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&tegata_consent::ids::hash("test", &[name.as_bytes()]))
}

/// An organisation's id by name.
pub(crate) fn organisation(name: &str) -> OrganisationId {
    organisation_id(&public_key(&key(name)))
}

pub(crate) fn signer(name: &str) -> Signer {
    Signer::organisation(organisation(name), key(name))
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The problem's code; empty for an answer that is none.
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code.
    pub(crate) fn what(&self) -> (u16, String) {
        (self.status, self.code())
    }
}

/// A host, its ledger, and one person's vault.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Arc<TestLedger>,
    pub(crate) host: Arc<Host>,
    pub(crate) router: Router,
    pub(crate) chain: ChainId,
    pub(crate) vault: VaultSecret,
    now_ms: Arc<AtomicU64>,
    verifier: Arc<Verifier>,
    limits: Limits,
    _temporary: Option<tempfile::TempDir>,
}

impl World {
    /// Host, clinic (issues, and asks for care), insurer (asks for payout) and lab (issues) are registered; nothing is in
    /// the host's store.
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut world = Self::at(temporary.path().to_owned(), limits);
        world._temporary = Some(temporary);
        world
    }

    pub(crate) fn at(folder: PathBuf, limits: Limits) -> Self {
        let now_ms = Arc::new(AtomicU64::new(clock::now_ms()));
        let ledger = Arc::new(TestLedger::new(Arc::clone(&now_ms)));
        for (name, roles) in [
            ("host", vec![Role::Host]),
            ("clinic", vec![Role::Issuer, Role::Verifier]),
            ("insurer", vec![Role::Verifier]),
            ("lab", vec![Role::Issuer]),
        ] {
            ledger.registry(Body::OrganisationRegistered(registration(
                name,
                roles,
                "http://127.0.0.1:9",
            )));
        }
        let verifier = Arc::new(Verifier::new(URL));
        let (host, router) = open(&folder, &ledger, &verifier, &now_ms, limits);
        let chain = host.chain;
        let vault = VaultSecret::new([9; 32]);
        Self {
            folder,
            ledger,
            host,
            router,
            chain,
            vault,
            now_ms,
            verifier,
            limits,
            _temporary: None,
        }
    }

    /// Stops the host and starts it again on the same folder.
    pub(crate) fn restart(&mut self) {
        // The store has one owner: the old one must go before the new one opens it.
        let (folder, limits) = (self.folder.clone(), self.limits);
        let elsewhere = tempfile::tempdir().unwrap();
        (self.host, self.router) = open(
            elsewhere.path(),
            &self.ledger,
            &self.verifier,
            &self.now_ms,
            limits,
        );
        (self.host, self.router) =
            open(&folder, &self.ledger, &self.verifier, &self.now_ms, limits);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    /// Time goes on, and the ledger makes a block.
    pub(crate) fn pass(&self, time_ms: u64) {
        self.now_ms.fetch_add(time_ms, Ordering::SeqCst);
        self.ledger.block(&[]).unwrap();
    }

    /// Time goes on, and the ledger is silent.
    pub(crate) fn pass_silently(&self, time_ms: u64) {
        self.now_ms.fetch_add(time_ms, Ordering::SeqCst);
    }

    pub(crate) fn suspend(&self, name: &str, sequence: u32) {
        let suspension = OrganisationSuspension {
            id: organisation(name),
            sequence,
            suspended: true,
        };
        self.ledger
            .registry(Body::OrganisationSuspended(suspension));
    }

    // ---- requests ----

    pub(crate) async fn send(&self, request: Request<HttpBody>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 200_000_000)
            .await
            .unwrap()
            .to_vec();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    pub(crate) fn request(
        &self,
        signer: &Signer,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Request<HttpBody> {
        let nonce = Nonce(rand::random());
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in sign(
            signer,
            &method,
            &format!("{URL}{path}"),
            &body,
            clock::now_s(),
            nonce,
        ) {
            request = request.header(name, value);
        }
        request
            .header("content-type", "application/cbor")
            .body(HttpBody::from(body))
            .unwrap()
    }

    pub(crate) async fn signed(
        &self,
        signer: &Signer,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Answer {
        self.send(self.request(signer, method, path, body)).await
    }

    pub(crate) async fn unsigned(&self, method: Method, path: &str, body: Vec<u8>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/cbor");
        self.send(request.body(HttpBody::from(body)).unwrap()).await
    }

    /// A call of the vault's owner; `path` comes after the vault's own.
    pub(crate) async fn owner(&self, method: Method, path: &str, body: Vec<u8>) -> Answer {
        let path = format!("/v1/vaults/{}{path}", self.vault.vault_id());
        self.signed(&Signer::vault(self.vault.vault_key()), method, &path, body)
            .await
    }

    // ---- the wallet ----

    pub(crate) fn drawer(&self, number: u8, category: &str) -> Drawer {
        let id = DrawerId([number; 16]);
        let (drawer_key, reader_key) = (
            self.vault.drawer_secret(&id).seal_key(),
            self.vault.reader_secret(&id).seal_key(),
        );
        Drawer {
            id,
            category: category.into(),
            epoch: 1,
            drawer_key,
            reader_key,
        }
    }

    /// The vault is open, with drawer 1 for vaccinations and drawer 2 for laboratory results.
    pub(crate) async fn opened(self) -> Self {
        assert_eq!(self.owner(Method::PUT, "", Vec::new()).await.status, 201);
        for drawer in [self.drawer(1, "vaccination"), self.drawer(2, "laboratory")] {
            let answer = self
                .owner(
                    Method::PUT,
                    &format!("/drawers/{}", drawer.id),
                    cbor::encode(&drawer),
                )
                .await;
            assert_eq!(answer.status, 201, "{}", answer.code());
        }
        self
    }

    pub(crate) fn invitation(&self, depositor: &str) -> Invitation {
        let depositor = organisation(depositor);
        Invitation {
            suite: 1,
            host: organisation("host"),
            depositor,
            pairing: pairing_hash(&depositor, "the code from the counter"),
            drawers: vec![self.drawer(1, "vaccination"), self.drawer(2, "laboratory")],
            holder: public_key(&self.vault.holder_key(&depositor)),
            record_types: vec!["vaccination".into()],
            expires_ms: self.now_ms() + 30 * DAY_MS,
            nonce: Nonce([1; 16]),
        }
    }

    // ---- the depositor ----

    pub(crate) fn deposit(&self, drawer: u8, record: u8, file: &[u8]) -> SealedRecord {
        let invitation = self
            .invitation("clinic")
            .sign(&self.vault.vault_key(), &self.chain)
            .to_bytes();
        let statement = self.statement(drawer, record, file, &invitation);
        self.sealed(&statement, "clinic", invitation, file)
    }

    pub(crate) fn lock(&self, drawer: u8, record: u8) -> Lock {
        let (drawer, record) = (DrawerId([drawer; 16]), RecordId([record; 16]));
        let label = LockLabel::new(self.chain, drawer, record, 1_000);
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(7);
        Lock::make(
            &Secret::new([3; 32]),
            &self.vault.reader_secret(&drawer).seal_key(),
            &label,
            &mut rng,
        )
        .unwrap()
    }

    pub(crate) fn statement(
        &self,
        drawer: u8,
        record: u8,
        file: &[u8],
        invitation: &[u8],
    ) -> Deposit {
        Deposit {
            depositor: organisation("clinic"),
            drawer: DrawerId([drawer; 16]),
            record: RecordId([record; 16]),
            date_ms: u64::from(record) * 1_000,
            file: file_digest(file),
            length: file.len() as u64,
            lock: self.lock(drawer, record).digest(),
            invitation: invitation_digest(invitation),
        }
    }

    pub(crate) fn sealed(
        &self,
        statement: &Deposit,
        by: &str,
        invitation: Vec<u8>,
        file: &[u8],
    ) -> SealedRecord {
        SealedRecord {
            deposit: statement.sign(&key(by), &self.chain).to_bytes().into(),
            invitation: invitation.into(),
            lock: self
                .lock(statement.drawer.0[0], statement.record.0[0])
                .to_bytes()
                .into(),
            file: file.to_vec().into(),
            receipt: None,
        }
    }

    pub(crate) async fn post(&self, drawer: u8, sealed: &SealedRecord) -> Answer {
        let path = format!("/v1/drawers/{}/records", DrawerId([drawer; 16]));
        self.unsigned(Method::POST, &path, cbor::encode(sealed))
            .await
    }

    /// Deposits a record, which must be accepted.
    pub(crate) async fn put(&self, drawer: u8, record: u8, file: &[u8]) -> Vec<u8> {
        let answer = self.post(drawer, &self.deposit(drawer, record, file)).await;
        assert_eq!(
            answer.status,
            201,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.body
    }

    // ---- grants and accesses ----

    pub(crate) fn grant_key(&self, number: u8) -> SigningKey {
        self.vault.grant_key(&[number; 16])
    }

    pub(crate) fn grant_id(&self, number: u8) -> GrantId {
        self.vault.grant_id(&[number; 16])
    }

    pub(crate) fn grant_body(&self, scope: &Scope) -> Grant {
        Grant {
            recipient: organisation("clinic"),
            sponsor: organisation("host"),
            categories: vec!["laboratory".into(), "vaccination".into()],
            purpose: "care".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            from_ms: self.now_ms(),
            until_ms: self.now_ms() + DAY_MS,
            uses_max: None,
            commitment: scope.commitment(&Salt([4; 32])),
            request: None,
        }
    }

    pub(crate) fn submission(&self, number: u8, body: Grant, scope: &Scope) -> GrantSubmission {
        let (grant_key, grant) = (self.grant_key(number), self.grant_id(number));
        let order = Order {
            grant,
            host: organisation("host"),
            salt: Salt([4; 32]),
            scope: scope.clone(),
        };
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(number.into());
        let ticket = seal(
            &SealKey([9; 32]),
            "ticket",
            b"",
            b"as the wallet seals it",
            &mut rng,
        )
        .unwrap();
        GrantSubmission {
            entry: Entry::sign(
                &grant_key,
                &self.chain,
                self.now_ms() + 60_000,
                Body::Grant(body),
            )
            .to_bytes()
            .into(),
            order: order.sign(&grant_key, &self.chain).to_bytes().into(),
            ticket: cbor::encode(&ticket).into(),
        }
    }

    pub(crate) async fn submit(&self, submission: &GrantSubmission) -> Answer {
        self.owner(Method::POST, "/grants", cbor::encode(submission))
            .await
    }

    /// Grants the clinic a scope, which must be carried.
    pub(crate) async fn grant(&self, number: u8, scope: &Scope) -> GrantId {
        let answer = self
            .submit(&self.submission(number, self.grant_body(scope), scope))
            .await;
        assert_eq!(
            answer.status,
            201,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        self.grant_id(number)
    }

    pub(crate) fn revocation(&self, number: u8) -> Vec<u8> {
        let body = Body::Revocation(Revocation {
            grant: self.grant_id(number),
            sponsor: organisation("host"),
        });
        Entry::sign(
            &self.grant_key(number),
            &self.chain,
            self.now_ms() + 60_000,
            body,
        )
        .to_bytes()
    }

    pub(crate) async fn revoke(&self, number: u8) -> Answer {
        self.owner(Method::POST, "/revocations", self.revocation(number))
            .await
    }

    /// An access by the clinic, on the ledger.
    pub(crate) fn access(&self, grant: GrantId, scope: &Scope) -> FetchRequest {
        self.access_by("clinic", grant, scope)
    }

    pub(crate) fn access_by(&self, name: &str, grant: GrantId, scope: &Scope) -> FetchRequest {
        let salt = Salt(rand::random());
        let access = Access {
            grant,
            recipient: organisation(name),
            commitment: scope.commitment(&salt),
            ephemeral: SealKey([9; 32]),
        };
        let entry = Entry::sign(
            &key(name),
            &self.chain,
            self.now_ms() + 60_000,
            Body::Access(access),
        );
        let access: EntryId = self.ledger.write(entry).unwrap();
        FetchRequest {
            access,
            salt,
            scope: scope.clone(),
            after: None,
        }
    }

    /// An access that nobody has submitted yet; `number` makes it another one.
    pub(crate) fn access_entry(&self, name: &str, grant: GrantId, number: &[u8]) -> VerifiedEntry {
        let access = Access {
            grant,
            recipient: organisation(name),
            commitment: Hash(tegata_consent::ids::hash("test", &[number])),
            ephemeral: SealKey([9; 32]),
        };
        let not_after_ms = self.now_ms() + 60_000;
        Entry::sign(&key(name), &self.chain, not_after_ms, Body::Access(access))
            .verify(&self.chain)
            .unwrap()
    }

    /// Whom to trust.
    pub(crate) fn validators(&self) -> ValidatorSet {
        ValidatorSet::new(vec![Validator {
            key: public_key(&key("validator")),
            power: 1,
        }])
    }

    pub(crate) async fn fetch(&self, name: &str, request: &FetchRequest) -> Answer {
        self.signed(
            &signer(name),
            Method::POST,
            "/v1/fetch",
            cbor::encode(request),
        )
        .await
    }
}

pub(crate) fn registration(name: &str, roles: Vec<Role>, url: &str) -> Organisation {
    let own = |key_use, public| OrganisationKey {
        key_use,
        public,
        from_ms: 0,
        until_ms: None,
    };
    let (issues, asks) = (
        roles.contains(&Role::Issuer),
        roles.contains(&Role::Verifier),
    );
    let categories = vec!["laboratory".to_owned(), "vaccination".to_owned()];
    Organisation {
        name: Name {
            ja: format!("{name}(架空)"),
            en: name.into(),
        },
        services: roles
            .iter()
            .map(|role| Service {
                role: *role,
                url: url.into(),
            })
            .collect(),
        roles,
        did: format!("did:web:{name}.example"),
        keys: vec![
            own(KeyUse::Sign, public_key(&key(name)).0.to_vec()),
            own(KeyUse::Seal, Secret::new([7; 32]).seal_key().0.to_vec()),
        ],
        issues: issues
            .then(|| Issues {
                record_type: "vaccination".into(),
                from_ms: 0,
                until_ms: None,
            })
            .into_iter()
            .collect(),
        asks: asks
            .then(|| Asks {
                purpose: "care".into(),
                categories,
                retention_max_days: 30,
            })
            .into_iter()
            .collect(),
    }
}

fn open(
    folder: &std::path::Path,
    ledger: &Arc<TestLedger>,
    verifier: &Arc<Verifier>,
    now_ms: &Arc<AtomicU64>,
    limits: Limits,
) -> (Arc<Host>, Router) {
    let mut keys = OrganisationKeys::generate(
        &mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1),
    );
    keys.sign = key("host");
    let clock = Arc::clone(now_ms);
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let ledger = Arc::clone(ledger);
    let host = Host::open(folder, ledger, organisation("host"), keys, limits, clock).unwrap();
    let verifier = Arc::clone(verifier);
    let shared = Shared {
        host: Arc::clone(&host),
        verifier,
        ledgers: Arc::new(vec!["http://node.example".into()]),
    };
    (host, router(shared))
}
