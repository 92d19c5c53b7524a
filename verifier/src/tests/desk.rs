//! A running verifier, with a host and an issuer that tests can tell to misbehave.

use super::world::{Granted, World};
use crate::VerifierConfig;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tegata_consent::deposit::SealedRecord;
use tegata_consent::fetch::{FetchAnswer, FetchRequest};
use tegata_consent::ids::GrantId;
use tegata_credential::status_list::Status;
use tegata_service::auth::token_digest;
use tegata_service::clock;
use tegata_service::http::Cbor;
use tegata_service::keys::{OrganisationKeys, write_new};
use tegata_service::signature::{Signer, send_signed};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "a token of our own system";

/// What a test does while the host answers.
type Hook = Box<dyn FnMut() + Send>;

/// Host and issuer, and the system that decisions are posted to.
#[derive(Default)]
pub(crate) struct Site {
    pub(crate) records: Vec<SealedRecord>,
    /// Most records of one page.
    pub(crate) page: usize,
    /// Answered instead of records.
    pub(crate) refuse: Option<(u16, &'static str)>,
    pub(crate) on_fetch: Option<Hook>,
    pub(crate) fetches: Vec<FetchRequest>,
    /// The status list; absent: 500.
    pub(crate) status: Option<String>,
    pub(crate) redirect: Option<String>,
    pub(crate) status_asked: usize,
    pub(crate) posted: Vec<Value>,
    /// Posts are answered 500.
    pub(crate) refuse_posts: bool,
}

pub(crate) type SharedSite = Arc<Mutex<Site>>;

async fn start_site() -> (SharedSite, String) {
    let site: SharedSite = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/host/v1/fetch", post(fetch))
        .route("/issuer/v1/status-lists/1", get(status))
        .route("/hook", post(hook))
        .with_state(Arc::clone(&site));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (site, base)
}

async fn fetch(State(site): State<SharedSite>, Cbor(request): Cbor<FetchRequest>) -> Response {
    let mut site = site.lock().unwrap();
    if let Some(hook) = &mut site.on_fetch {
        hook();
    }
    let from = request
        .after
        .as_ref()
        .map_or(0, |after| usize::from(after[0]));
    site.fetches.push(request);
    if let Some((status, code)) = site.refuse {
        return (
            StatusCode::from_u16(status).unwrap(),
            json!({ "code": code }).to_string(),
        )
            .into_response();
    }
    let page = if site.page == 0 {
        usize::MAX
    } else {
        site.page
    };
    let records: Vec<_> = site.records.iter().skip(from).take(page).cloned().collect();
    let to = from + records.len();
    let next = (to < site.records.len()).then(|| vec![u8::try_from(to).unwrap()].into());
    Cbor(FetchAnswer { records, next }).into_response()
}

async fn status(State(site): State<SharedSite>) -> Response {
    let mut site = site.lock().unwrap();
    site.status_asked += 1;
    match (&site.redirect, &site.status) {
        (Some(url), _) => Redirect::temporary(url).into_response(),
        (None, Some(text)) => text.clone().into_response(),
        (None, None) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn hook(
    State(site): State<SharedSite>,
    axum::Json(decision): axum::Json<Value>,
) -> StatusCode {
    let mut site = site.lock().unwrap();
    site.posted.push(decision);
    if site.refuse_posts {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    }
}

pub(crate) struct Desk {
    pub(crate) world: World,
    pub(crate) site: SharedSite,
    pub(crate) url: String,
    pub(crate) config: VerifierConfig,
    pub(crate) client: reqwest::Client,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    _folder: tempfile::TempDir,
}

/// An answer of the verifier.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

impl Desk {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (site, base) = start_site().await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let keys = write_new(folder.path().join("keys.json"), &mut crate::random::rng()).unwrap();
        let world = World::with(&base, &url, keys).await;
        let token = world.status_token(&[], 600, &world.credential_key());
        world.publish(&token, clock::now_s());
        site.lock().unwrap().status = Some(token);
        let genesis = world.chain.lock().unwrap().genesis.clone();
        tegata_service::genesis::save(folder.path().join("genesis.json"), &genesis).unwrap();
        let text = format!(
            r#"
            data = "data"
            keys = "keys.json"
            wallet_url = "http://wallet.example"
            [http]
            listen = "{address}"
            public_url = "{url}"
            [ledger]
            urls = ["{node}"]
            genesis = "genesis.json"
            [tokens]
            own = "{digest}"
            [vc_api]
            [payout]
            webhook = {{ url = "{base}/hook" }}
            [payout.policies]
            "P-1" = {{ amount = 5000, currency = "JPY" }}
            [[payout.rules]]
            name = "measles"
            record_type = "vaccination"
            purpose = "payout"
            conditions = [{{ pointer = "/vaccine_code", equals = "mr" }}]
            "#,
            node = world.node.url,
            digest = token_digest(TOKEN),
        );
        let path = folder.path().join("verifier.toml");
        std::fs::write(&path, text).unwrap();
        let config = VerifierConfig::load(&path).unwrap();
        let mut desk = Self {
            world,
            site,
            url,
            config,
            client: reqwest::Client::new(),
            running: None,
            _folder: folder,
        };
        desk.run(listener).await;
        desk
    }

    async fn run(&mut self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel::<()>();
        let config = self.config.clone();
        let task = tokio::spawn(async move {
            crate::run_on(listener, config, async { drop(stopped.await) })
                .await
                .unwrap();
        });
        self.running = Some((stop, task));
        self.until("ready", async |desk| {
            let ready = desk.client.get(format!("{}/readyz", desk.url)).send().await;
            ready
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(())
        })
        .await;
    }

    /// Ends the verifier at once, whatever it is at, and waits until its store is closed.
    pub(crate) async fn kill(&mut self) {
        let (_, task) = self.running.take().unwrap();
        task.abort();
        drop(task.await);
        // Open connections would hold on to the old one.
        self.client = reqwest::Client::new();
    }

    pub(crate) async fn start_again(&mut self) {
        // The store's lock is free as soon as the last blocking call of the old one has ended.
        let address = self.config.http.listen;
        let listener = self
            .until("the port is free", async |_| {
                TcpListener::bind(address).ok()
            })
            .await;
        let folder = self.config.data.clone();
        let secrets = vec![self.world.us.seal.clone()];
        self.until("the store is free", async |_| {
            crate::store::Store::open(&folder, secrets.clone())
                .ok()
                .map(drop)
        })
        .await;
        // Signed requests from before the start are refused.
        let started_s = clock::now_s();
        self.run(listener).await;
        self.until("the next second", async |_| {
            (clock::now_s() > started_s).then_some(())
        })
        .await;
    }

    /// Waits for something, and fails when it does not come.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut there: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = there(self).await {
                return found;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(25),
                "waited in vain for: {what}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(
            self.client
                .get(format!("{}{path}", self.url))
                .bearer_auth(TOKEN)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(
            self.client
                .post(format!("{}{path}", self.url))
                .bearer_auth(TOKEN)
                .json(body)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn read(&self, granted: &Granted) -> Answer {
        self.post(&format!("/v1/grants/{}/readings", granted.id), &json!({}))
            .await
    }

    /// Makes a consent request: its id, and the signed bytes.
    pub(crate) async fn request(&self, purpose: &str, reference: &str) -> (String, Vec<u8>) {
        let until_ms = clock::now_ms() + 86_400_000;
        let made = self
            .post(
                "/v1/requests",
                &json!({ "categories": ["vaccination"], "purpose": purpose, "legal_basis": "consent", "retention_days": 30,
                         "until_ms": until_ms, "reference": reference }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        let signed = self
            .client
            .get(format!("{}/v1/requests/{id}", self.url))
            .send()
            .await
            .unwrap();
        assert_eq!(signed.headers()["content-type"], "application/cose");
        (id, signed.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn inbox_by(&self, sender: &OrganisationKeys, message: &Value) -> Answer {
        let signer = Signer::organisation(sender.organisation_id(), sender.sign.clone());
        let url = format!("{}/v1/inbox", self.url);
        let body = message.to_string().into_bytes();
        answer(
            send_signed(
                &self.client,
                &signer,
                reqwest::Method::POST,
                &url,
                "application/json",
                body,
            )
            .await
            .unwrap(),
        )
        .await
    }

    pub(crate) async fn inbox(&self, message: &Value) -> Answer {
        self.inbox_by(&self.world.host, message).await
    }

    pub(crate) fn ticket(&self, granted: &Granted) -> Value {
        let ticket = URL_SAFE_NO_PAD.encode(self.world.sealed(granted));
        json!({ "kind": "ticket", "grant": granted.id.to_string(), "ticket": ticket })
    }

    /// The host brings the ticket.
    pub(crate) async fn deliver(&self, granted: &Granted) {
        let answer = self.inbox(&self.ticket(granted)).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }

    pub(crate) async fn ping(&self, grant: &GrantId) -> Answer {
        self.inbox(&json!({ "kind": "ping", "grant": grant.to_string() }))
            .await
    }

    pub(crate) fn deposit(&self, records: Vec<SealedRecord>) {
        self.site.lock().unwrap().records = records;
    }

    pub(crate) fn statuses(&self, entries: &[(u64, Status)]) {
        let token = self
            .world
            .status_token(entries, 600, &self.world.credential_key());
        self.serve(token);
    }

    /// Publishes a list, then serves it.
    pub(crate) fn serve(&self, token: String) {
        self.world.publish(&token, clock::now_s());
        self.site.lock().unwrap().status = Some(token);
    }

    pub(crate) async fn decisions(&self) -> Vec<Value> {
        self.get("/v1/decisions")
            .await
            .body
            .as_array()
            .unwrap()
            .clone()
    }

    /// Standing readings that were done.
    pub(crate) async fn standing(&self) -> Vec<Value> {
        let all = self
            .get("/v1/readings")
            .await
            .body
            .as_array()
            .unwrap()
            .clone();
        all.into_iter()
            .filter(|reading| reading["standing"] == true)
            .collect()
    }
}

async fn answer(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}
