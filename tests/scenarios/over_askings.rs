//! Requests for presentations that ask for too much: refused by the wallet, reported, judged by the ledger, explained by the audit.

use crate::world::{World, binary};
use axum::Router;
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::path::Path;
use tegata::demo::wallet::Wallet;
use tegata_consent::state::Outcome;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::openid4vp::{Asked, ClientId, KeyName, WALLET_AUDIENCE, sign_request};
use tegata_credential::x509::Certificate;
use tegata_service::clock;
use tegata_service::keys::load_organisation_keys;

/// What somebody in an organisation can sign with its keys, past its verifier.
struct Asker {
    asked: Asked,
    key: SigningKey,
    certificates: Vec<Certificate>,
    url: String,
}

impl Asker {
    fn new(world: &World, name: &str) -> Self {
        let dir = world.dir();
        let keys = load_organisation_keys(dir.join(name).join("keys.json")).unwrap();
        let pem = std::fs::read_to_string(dir.join(name).join("certificates.pem")).unwrap();
        let service = &world.running.demo.services[&format!("{name}-verifier")];
        Self {
            asked: Asked {
                chain: world.running.ledger.chain().to_string(),
                organisation: keys.organisation_id().to_string(),
                categories: vec!["laboratory".into()],
                purpose: "payout".into(),
                legal_basis: "consent".into(),
                retention_days: 30,
                until_ms: clock::now_ms() + 600_000,
            },
            key: SigningKey::from_bytes(Algorithm::Es256, keys.credential_es256.expose()).unwrap(),
            certificates: Certificate::all_from_pem(&pem).unwrap(),
            url: service.url.clone(),
        }
    }

    fn client_id(&self) -> String {
        ClientId::of_certificate(&self.certificates[0]).to_string()
    }

    /// A request for records of a type, whatever it states.
    fn sign(&self, record_type: &str, number: u8) -> String {
        let random = |byte: u8| tegata_credential::jws::encode(&[byte; 32]);
        let payload = json!({
            "response_type": "vp_token", "response_mode": "direct_post", "client_id": self.client_id(),
            "aud": WALLET_AUDIENCE, "nonce": random(number), "iat": clock::now_s(), "exp": clock::now_s() + 600,
            "response_uri": format!("{}/v1/presentations/{}/response", self.url, "00".repeat(16)),
            "dcql_query": { "credentials": [{
                "id": "a", "format": "dc+sd-jwt", "meta": { "vct_values": [format!("urn:tegata:record:{record_type}:1")] },
                "claims": [{ "path": ["date"] }],
            }] },
            "client_metadata": {
                "client_name": "Hidamari Insurance",
                "vp_formats_supported": { "dc+sd-jwt": { "sd-jwt_alg_values": ["ES256", "EdDSA"], "kb-jwt_alg_values": ["ES256", "EdDSA"] } },
            },
            "transaction_data": [self.asked.to_transaction_data(&["a"])],
        });
        let Value::Object(payload): Value = payload else {
            unreachable!("it is an object")
        };
        let payload: Map<String, Value> = payload;
        sign_request(
            &payload,
            KeyName::Certificates(&self.certificates),
            &self.key,
        )
    }
}

/// Serves one request, as a verifier of somebody else's making would, and gives the link to it.
async fn serve(request: String, client_id: &str) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/request", listener.local_addr().unwrap());
    let router = Router::new().route("/request", get(move || async move { request }));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let link = format!("http://wallet.invalid/#/present?client_id={client_id}&request_uri={uri}");
    (link, server)
}

fn tegata(arguments: &[&str], file: &Path) -> (bool, String) {
    let output = std::process::Command::new(binary())
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_presentation_that_asks_too_much_is_refused_and_reported() {
    let world = World::start().await;
    let dir = world.dir();
    let demo = world.running.demo.clone();
    let wallet = Wallet::open(&demo.host, world.running.ledger.clone())
        .await
        .unwrap();

    // The insurer's key signs what the insurer's verifier refuses to: vaccinations, for payout. The statement is a narrow one.
    let insurer = Asker::new(&world, "insurer");
    let (link, server) = serve(insurer.sign("vaccination", 1), &insurer.client_id()).await;
    let refused = wallet.read_presentation(&link).await.err().unwrap();
    assert!(
        refused.to_string().contains("may not ask for this"),
        "{refused}"
    );
    let (_, evidence) = wallet.request_object(&link).await.unwrap();
    server.abort();
    let receipt = wallet.report_over_asking(&evidence).await.unwrap();
    assert_eq!(receipt.leaf.outcome, Outcome::Applied);
    let again = wallet.report_over_asking(&evidence).await.unwrap_err();
    assert!(again.to_string().contains("over-asking-known"), "{again}");
    // Somebody else's signature under the same accuses nobody.
    let mut forger = Asker::new(&world, "insurer");
    forger.key = SigningKey::from_bytes(Algorithm::Es256, &[7; 32]).unwrap();
    let forged = forger.sign("vaccination", 2);
    let forged = wallet
        .report_over_asking(forged.as_bytes())
        .await
        .unwrap_err();
    assert!(
        forged.to_string().contains("evidence-signature"),
        "{forged}"
    );

    // What the real verifiers sign is of the form, under every policy and client identifier, and fair.
    let stage = world.stage(&dir);
    let clinic = stage.systems("clinic-verifier").unwrap();
    for (policy, client_id) in [
        ("ledger", "x509_hash"),
        ("ledger", "did"),
        ("ledger", "did:jwk"),
        ("standard", "x509_hash"),
    ] {
        let ask = json!({
            "categories": ["infant_checkup", "vaccination"], "purpose": "care", "legal_basis": "consent",
            "retention_days": 30, "policy": policy, "client_id": client_id, "reference": "patient 77",
        });
        let made = clinic.post("/v1/presentations", &ask).await.unwrap();
        let made = made.success("the request").unwrap();
        let (_, fair) = wallet
            .request_object(made["link"].as_str().unwrap())
            .await
            .unwrap();
        let fair = wallet.report_over_asking(&fair).await.unwrap_err();
        assert!(
            fair.to_string().contains("not-over-asking"),
            "{policy}, {client_id}: {fair}"
        );
    }

    let genesis = demo.genesis.to_string_lossy();
    let (holds, text) = tegata(
        &["audit", "--ledger", &demo.ledger[1], "--genesis"],
        &demo.genesis,
    );
    assert!(holds, "{text}");
    assert!(
        text.contains(
            "asked for laboratory, vaccination for payout, kept 30 days, and is not accredited"
        ),
        "{text}"
    );
    let file = dir.join("over-asking.receipt");
    std::fs::write(&file, tegata_consent::cbor::encode(&receipt)).unwrap();
    let (holds, text) = tegata(&["verify", "--genesis", &genesis], &file);
    assert!(holds, "{text}");
    for part in [
        "asked for more than it may",
        "a request object of OpenID4VP",
        "laboratory, vaccination",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    world.end().await;
}
