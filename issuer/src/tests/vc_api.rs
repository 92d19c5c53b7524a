//! W3C credentials over HTTP.

use super::world::{TOKEN, World};
use crate::http::VcApiConfig;
use serde_json::{Value, json};
use std::sync::Arc;
use tegata_credential::data_integrity::{DataIntegrityError, VerifiedCredential, Verifier};
use tegata_credential::did::{DidDocument, resolve};
use tegata_service::clock::now_s;
use tegata_w3c::record;

fn vaccination() -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/credentials/v2", "urn:tegata:record:vaccination:1:context"],
        "type": ["VerifiableCredential", "VaccinationRecord"],
        "credentialSubject": { "id": "did:example:holder", "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1 },
    })
}

/// Verifies with the DID document that the issuer publishes.
fn verify(credential: &Value, document: &Value) -> Result<VerifiedCredential, DataIntegrityError> {
    let document = DidDocument::parse(document.to_string().as_bytes()).unwrap();
    let verifier = Verifier {
        suites: &tegata_w3c::suites(),
        contexts: tegata_w3c::contexts(),
        resolve: &|did| resolve(did, |_| Ok(document.clone())).map(Arc::new),
        at: now_s(),
    };
    verifier.credential(credential.to_string().as_bytes())
}

#[tokio::test]
async fn credentials_are_issued_and_verify() {
    let mut world = World::new().await;
    world.vc_api = Some(VcApiConfig::default());
    world.registry.change(&world.id(), |own| {
        own.organisation.did = "did:web:issuer.example".into();
    });
    let issuer = world.start().await;
    let published = issuer.get("/.well-known/did.json").await;
    for cryptosuite in ["eddsa-jcs-2022", "eddsa-rdfc-2022"] {
        let body =
            json!({ "credential": vaccination(), "options": { "cryptosuite": cryptosuite } });
        let (status, answer) = issuer.post("/credentials/issue", &body).await;
        assert_eq!(status, 201, "{answer}");
        let verified = verify(&answer["verifiableCredential"], &published).unwrap();
        assert_eq!(verified.cryptosuite(), cryptosuite);
        let record = record::read(&verified).unwrap();
        assert_eq!(
            (record.record_type.id(), record.holder.as_deref()),
            ("vaccination", Some("did:example:holder"))
        );
    }
    let (_, answer) = issuer
        .post(
            "/credentials/issue",
            &json!({ "credential": vaccination() }),
        )
        .await;
    let verified = verify(&answer["verifiableCredential"], &published).unwrap();
    assert_eq!(verified.cryptosuite(), "eddsa-jcs-2022", "as configured");

    type Alteration = (fn(&mut Value), u16, &'static str);
    let alterations: [Alteration; 8] = [
        (
            |c| c["credentialSubject"]["lot"] = json!("x"),
            400,
            "record_claims_invalid",
        ),
        (|c| c["lot"] = json!("x"), 400, "term_undefined"),
        (
            |c| c["issuer"] = json!("did:web:other.example"),
            400,
            "controller_mismatch",
        ),
        (
            |c| c["@context"][1] = json!("https://evil.example"),
            400,
            "record_context_missing",
        ),
        (
            |c| {
                c["@context"] = json!([
                    "https://www.w3.org/ns/credentials/v2",
                    "https://evil.example"
                ])
            },
            400,
            "record_context_missing",
        ),
        (
            |c| c["credentialSubject"] = json!([]),
            400,
            "record_subject_invalid",
        ),
        (|c| c["proof"] = json!({}), 400, "proof_set_unsupported"),
        (
            |c| {
                *c = json!({
                    "@context": ["https://www.w3.org/ns/credentials/v2", "urn:tegata:record:laboratory_result:1:context"],
                    "type": ["VerifiableCredential", "LaboratoryResultRecord"],
                    "credentialSubject": { "result_status": "final", "test_name": "PCR", "date": "2025-10-08", "result": "negative" },
                });
            },
            403,
            "not-accredited",
        ),
    ];
    world.registry.change(&world.id(), |own| {
        own.organisation
            .issues
            .retain(|issues| issues.record_type != "laboratory_result")
    });
    for (alter, status, code) in alterations {
        let mut credential = vaccination();
        alter(&mut credential);
        let (found, answer) = issuer
            .post("/credentials/issue", &json!({ "credential": credential }))
            .await;
        assert_eq!(
            (found, answer["code"].as_str()),
            (status, Some(code)),
            "{answer}"
        );
    }
    let (status, answer) = issuer
        .post("/credentials/issue", &json!({ "credentials": {} }))
        .await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("malformed")));
    let stranger = issuer
        .http
        .post(format!("{}/credentials/issue", issuer.url))
        .json(&json!({ "credential": vaccination() }));
    assert_eq!(stranger.send().await.unwrap().status(), 401);
    let twice = r#"{"credential":{},"credential":{}}"#;
    let twice = issuer
        .http
        .post(format!("{}/credentials/issue", issuer.url))
        .bearer_auth(TOKEN)
        .body(twice);
    assert_eq!(twice.send().await.unwrap().status(), 400);
    issuer.stop().await;
}

#[tokio::test]
async fn nothing_is_there_unless_it_is_configured() {
    let world = World::new().await;
    let issuer = world.start().await;
    let (status, _) = issuer
        .post(
            "/credentials/issue",
            &json!({ "credential": vaccination() }),
        )
        .await;
    assert_eq!(status, 404);
    issuer.stop().await;
}
