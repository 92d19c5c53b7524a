//! What a node is asked for, and what it cannot hide.

use super::presentations::answer;
use super::*;

/// A node that answers as another does, but lists whom it likes.
async fn listing(node: &fake::Node, list: String) -> String {
    use axum::http::{StatusCode, Uri};
    let (url, http) = (node.url.clone(), reqwest::Client::new());
    let answer = move |uri: Uri| {
        let (asked, list) = (http.get(format!("{url}{uri}")), list.clone());
        async move {
            if uri.path() == "/v1/state/organisations" {
                return (StatusCode::OK, list.into_bytes());
            }
            let answer = asked.send().await.unwrap();
            (answer.status(), answer.bytes().await.unwrap().to_vec())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    own
}

/// Believes the genesis, and asks a node.
fn asking(folder: &tempfile::TempDir, shared: &SharedChain, ledger: String) -> Options {
    let genesis = folder.path().join("g.json");
    tegata_service::genesis::save(&genesis, &shared.lock().unwrap().genesis).unwrap();
    Options {
        file: "-".into(),
        genesis: Some(genesis),
        ledger: Some(ledger),
        trust: vec![],
        status: vec![],
        request: None,
        keys: None,
        at: None,
        json: true,
    }
}

/// An address in a file that nobody vouches for is not asked.
#[tokio::test]
async fn nothing_is_fetched_for_whom_nobody_knows() {
    let shared = begin();
    let node = fake::Node::start(&shared).await;
    let folder = tempfile::tempdir().unwrap();
    let genesis = folder.path().join("g.json");
    tegata_service::genesis::save(&genesis, &shared.lock().unwrap().genesis).unwrap();
    let options = Options {
        file: "-".into(),
        genesis: Some(genesis),
        ledger: Some(node.url.clone()),
        trust: vec![],
        status: vec![],
        request: None,
        keys: None,
        at: None,
        json: true,
    };
    let trust = Trust::load(&options).await.unwrap();
    let asked = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let list = format!("http://{}/1", asked.local_addr().unwrap());
    let did = Did::key(&issuer_key().public_key());
    let statuses = [BitstringEntry {
        list,
        index: 7,
        purpose: StatusPurpose::Revocation,
    }];
    let issuance = RecordIssuance {
        issuer: did.as_str(),
        id: None,
        holder: None,
        valid_from: clock::now_s(),
        valid_until: None,
        statuses: &statuses,
    };
    let claims = json!({ "vaccine_code": "mr", "date": "2025-04-01" });
    let record_type = catalogue().by_id("vaccination").unwrap();
    let unsigned = record::credential(record_type, &claims, &issuance).unwrap();
    let method = did.own_document().unwrap().methods()[0].id().to_owned();
    let by = ProofOptions::new(&method, clock::now_s());
    let contexts = tegata_w3c::contexts();
    let signed = sign_credential(unsigned, &EddsaJcs2022, contexts, &by, &issuer_key()).unwrap();
    let text = serde_json::Value::Object(signed).to_string();
    let looked = tokio::time::timeout(Duration::from_secs(5), look(text.as_bytes(), &trust));
    let finding = tokio::select! {
        _ = asked.accept() => panic!("a stranger's address was asked"),
        finding = looked => finding.unwrap(),
    };
    assert!(unknown(&finding).contains(&"not revoked"), "{finding:?}");
}

/// A node says whom it likes in a list that nobody signs; about whoever is known by a proof, it is asked all the same.
#[tokio::test]
async fn a_node_hides_no_suspension() {
    let shared = begin();
    let node = fake::Node::start(&shared).await;
    let hiding = listing(&node, "[]".to_owned()).await;
    let folder = tempfile::tempdir().unwrap();
    let proof = |chain: &Chain, key: &StateKey| chain.state_proof(chain.headers.len() as u64, key);
    let suspension = || Suspension {
        from_ms: 0,
        until_ms: None,
    };
    let (clinic, consent, request) = {
        let mut chain = shared.lock().unwrap();
        let mut issuer = organisation(&chain, ISSUER);
        issuer.organisation.keys.push(OrganisationKey {
            key_use: KeyUse::CredentialEdDsa,
            public: issuer_key().public_key().to_bytes(),
            from_ms: 0,
            until_ms: None,
        });
        let issuer_at = StateKey::organisation(&issuer.id);
        chain.tamper(issuer_at.clone(), cbor::encode(&issuer));
        chain.block(&[]).unwrap();
        let mut clinic = organisation(&chain, CLINIC);
        let clinic_at = StateKey::organisation(&clinic.id);
        let consent = PresentedConsent {
            grant: grant_id(50),
            salt: Salt([1; 32]),
            proof: proof(&chain, &StateKey::grant(&grant_id(50))),
            issuer: Some(proof(&chain, &issuer_at)),
            status: None,
        };
        let before = folder.path().join("clinic");
        std::fs::write(&before, cbor::encode(&proof(&chain, &clinic_at))).unwrap();
        issuer.suspensions.push(suspension());
        clinic.suspensions.push(suspension());
        chain.tamper(issuer_at, cbor::encode(&issuer));
        chain.tamper(clinic_at, cbor::encode(&clinic));
        chain.block(&[]).unwrap();
        let request = request_of(clinic.id);
        let request = request.sign(&key(CLINIC), &chain.id).to_bytes();
        (before, consent.to_bytes(), request)
    };
    let options = Options {
        trust: vec![clinic],
        ..asking(&folder, &shared, hiding)
    };
    let trust = Trust::load(&options).await.unwrap();
    let finding = look(&request, &trust).await;
    assert_eq!(failed(&finding), ["not suspended"], "named with --trust");
    // Whom a presentation brings a proof of. Where the node does not say, nobody knows.
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let claims = json!({ CONSENT_CLAIM: jws::encode(&consent) });
    let claims = claims.as_object().unwrap().clone();
    let shown = answer(&credential(&holder, "vaccination"), &holder, claims);
    node.behave(fake::Manner::Broken);
    let finding = look(shown.as_bytes(), &trust).await;
    assert_eq!(unknown(&finding), ["issuer accredited"], "{finding:?}");
    node.behave(fake::Manner::Honest);
    let finding = look(shown.as_bytes(), &trust).await;
    assert_eq!(
        code(&finding, "issuer accredited"),
        Some("issuer-suspended"),
        "in the presentation"
    );
}

/// What a node answers has an end.
#[tokio::test]
async fn a_nodes_list_has_an_end() {
    let shared = begin();
    let node = fake::Node::start(&shared).await;
    let folder = tempfile::tempdir().unwrap();
    let clinic = shared.lock().unwrap().organisation(CLINIC);
    let one = json!({ "id": clinic.to_string() }).to_string();
    let long = format!("[{}{one}]", " ".repeat(4 << 20));
    let options = asking(&folder, &shared, listing(&node, long).await);
    let error = Trust::load(&options).await.err().unwrap().to_string();
    assert!(error.contains("longer than 4 MiB"), "{error}");
    // One that is too long to be asked about is not cut short in silence.
    let many = format!("[{}]", vec![one; 2001].join(","));
    let options = asking(&folder, &shared, listing(&node, many).await);
    let trust = Trust::load(&options).await.unwrap();
    let genesis = std::fs::read(options.genesis.unwrap()).unwrap();
    let finding = look(&genesis, &trust).await;
    let said = format!("{:?}", finding.facts);
    assert!(
        said.contains("lists 2001 organisations; 2000 were asked for"),
        "{said}"
    );
}
