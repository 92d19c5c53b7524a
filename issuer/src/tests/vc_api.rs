//! W3C credentials over HTTP.

use super::world::{Running, TOKEN, Wallet, World, immunization};
use crate::http::VcApiConfig;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tegata_consent::status::{status_list_cwt_id, status_list_id, token_digest};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose, VerifiedBitstring};
use tegata_credential::data_integrity::{DataIntegrityError, VerifiedCredential, Verifier};
use tegata_credential::did::{DidDocument, resolve, to_multikey};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::rfc3339::write_time;
use tegata_records::catalogue;
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
    let world = world_with_a_did().await;
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
    let alterations: [Alteration; 10] = [
        (
            |c| {
                *c = json!({
                    "@context": ["https://www.w3.org/ns/credentials/v2"],
                    "type": ["VerifiableCredential", "urn:tegata:record:laboratory_result:1#record"],
                    "credentialSubject": { "id": "did:example:holder" },
                });
            },
            400,
            "record_type_unknown",
        ),
        (
            |c| {
                c["type"] = json!([
                    "VerifiableCredential",
                    "urn:tegata:record:vaccination:1#record"
                ])
            },
            400,
            "record_type_unknown",
        ),
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

/// A status list as it is served, and as it verifies.
async fn list(
    world: &World,
    issuer: &Running,
    entry: &BitstringEntry,
) -> (String, VerifiedCredential) {
    let response = issuer.http.get(&entry.list).send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", entry.list);
    assert_eq!(response.headers()["content-type"], "application/vc");
    assert_eq!(response.headers()["cache-control"], "max-age=60");
    let text = response.text().await.unwrap();
    let newest = world.registry.list(&entry.list).unwrap();
    assert_eq!(newest.token, token_digest(text.as_bytes()), "on the ledger");
    let published = issuer.get("/.well-known/did.json").await;
    let verified = verify(&serde_json::from_str(&text).unwrap(), &published).unwrap();
    (text, verified)
}

/// Has a credential signed; gives it, and the id of its record.
async fn issued(issuer: &Running, suite: &str) -> (Value, String) {
    let body = json!({ "credential": vaccination(), "options": { "cryptosuite": suite } });
    let request = issuer
        .http
        .post(format!("{}/credentials/issue", issuer.url));
    let response = request.bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let answer: Value = response.json().await.unwrap();
    let id = location.strip_prefix("/v1/records/").unwrap().to_owned();
    (answer["verifiableCredential"].clone(), id)
}

async fn world_with_a_did() -> World {
    let mut world = World::new().await;
    world.vc_api = Some(VcApiConfig::default());
    world.registry.change(&world.id(), |own| {
        own.organisation.did = "did:web:issuer.example".into();
    });
    world
}

#[tokio::test]
async fn a_credential_is_revoked_by_its_record_and_the_list_says_so() {
    let world = world_with_a_did().await;
    let issuer = world.start().await;
    let (first, id) = issued(&issuer, "eddsa-jcs-2022").await;
    let (other, _) = issued(&issuer, "eddsa-rdfc-2022").await;
    let published = issuer.get("/.well-known/did.json").await;
    let [first, other] = [first, other].map(|credential| {
        let verified = verify(&credential, &published).unwrap();
        let entries = BitstringEntry::of(&verified).unwrap();
        let purposes = [StatusPurpose::Revocation, StatusPurpose::Suspension];
        assert_eq!(entries.len(), purposes.len(), "{credential}");
        for (entry, purpose) in entries.iter().zip(purposes) {
            assert_eq!(entry.purpose, purpose);
            let uri = format!("{}/v1/status-lists/1/{}", issuer.url, purpose.name());
            assert_eq!((&entry.list, entry.index), (&uri, entries[0].index));
        }
        (entries, verified)
    });
    assert_ne!(first.0[0].index, other.0[0].index);
    let said = async |(entries, credential): &(Vec<BitstringEntry>, VerifiedCredential)| {
        let mut said = Vec::new();
        for entry in entries {
            let (_, list) = list(&world, &issuer, entry).await;
            let list = VerifiedBitstring::new(&list).unwrap();
            said.push(list.is_set(entry, credential).unwrap());
        }
        said
    };
    assert_eq!(said(&first).await, [false, false]);

    let path = format!("/v1/records/{id}");
    let record = issuer.get(&path).await;
    assert_eq!(
        [
            &record["status"],
            &record["record_type"],
            &record["subject"]
        ],
        ["issued", "vaccination", "did:example:holder"]
    );
    let reason = json!({ "reason": "given to the wrong person" });
    let suspension = format!("{path}/suspension");
    let (status, answer) = issuer.post(&suspension, &reason).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(said(&first).await, [false, true]);
    let lift = issuer.http.delete(format!("{}{suspension}", issuer.url));
    let lifted = lift.bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(lifted.status(), 200);
    assert_eq!(said(&first).await, [false, false]);
    assert_eq!(issuer.post(&suspension, &reason).await.0, 200);
    let (status, answer) = issuer.post(&format!("{path}/revocation"), &reason).await;
    assert_eq!((status, &answer["status"]), (200, &json!("revoked")));
    assert_eq!(said(&first).await, [true, false], "gone for good");
    assert_eq!(said(&other).await, [false, false]);

    // A credential that says where its status is keeps what it says, and is no record of ours.
    let mut own = vaccination();
    let elsewhere = BitstringEntry {
        list: "https://elsewhere.example/1".into(),
        index: 7,
        purpose: StatusPurpose::Revocation,
    };
    own["credentialStatus"] = elsewhere.to_json();
    let (status, answer) = issuer
        .post("/credentials/issue", &json!({ "credential": own }))
        .await;
    assert_eq!(status, 201);
    let kept = &answer["verifiableCredential"]["credentialStatus"];
    assert_eq!(*kept, elsewhere.to_json());
    assert_eq!(issuer.get("/v1/records").await["counts"]["issued"], 1);
    for list in ["2/revocation", "0/suspension", "01/revocation", "1/refresh"] {
        let list = format!("{}/v1/status-lists/{list}", issuer.url);
        let status = issuer.http.get(list).send().await.unwrap().status();
        assert_eq!(status, 404);
    }
    issuer.stop().await;
    let report = crate::fsck(&world.folder.path().join("data"), |_| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.faults);
    assert_eq!(report.records, 2);
}

/// A list costs an entry of the ledger, and it takes only so many in an hour: changes share those that nobody waits for.
#[tokio::test]
async fn many_changes_share_the_forms_that_their_records_do_not_name() {
    let world = world_with_a_did().await;
    let issuer = world.start().await;
    let uri = format!("{}/v1/status-lists/1", issuer.url);
    let forms = [
        status_list_id(&uri),
        status_list_cwt_id(&uri),
        status_list_id(&format!("{uri}/revocation")),
    ];
    let counts = || forms.map(|form| world.registry.published(&form).map_or(0, |it| it.count));
    let until = async |there: &dyn Fn([u64; 3]) -> bool| {
        while !there(counts()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until(&|counts| !counts.contains(&0)).await;
    let revoke = async |id: &str| {
        let path = format!("/v1/records/{id}/revocation");
        assert_eq!(issuer.post(&path, &json!({ "reason": "x" })).await.0, 200);
    };
    let begun = counts();
    revoke(&issued(&issuer, "eddsa-jcs-2022").await.1).await;
    assert_eq!(counts()[2], begun[2] + 1, "its own form, at once");

    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let resource = immunization("0012", &format!("imm-{number}"), "A");
        let (_, taken) = issuer.post("/fhir/Immunization", &resource).await;
        ids.push(taken["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        issuer.wait_status(id, "deposited").await;
    }
    let (before, began) = (counts(), Instant::now());
    for id in &ids {
        revoke(id).await;
    }
    let after = counts();
    let seconds = began.elapsed().as_secs();
    assert_eq!(after[0], before[0] + 20, "each is on the ledger");
    let more = [1, 2].map(|form| after[form] - before[form]);
    assert!(
        more.iter().all(|more| *more <= seconds + 2),
        "{more:?} in {seconds} s, where one a second is enough"
    );
    until(&|counts| counts[1] > before[1] && counts[2] > before[2]).await;
    issuer.stop().await;
}

/// npm `@digitalbazaar/vc` with its status list checker, on what the running issuer serves.
#[tokio::test]
async fn others_read_our_credentials_and_status_lists() {
    let world = world_with_a_did().await;
    let issuer = world.start().await;
    let published = issuer.get("/.well-known/did.json").await;
    let did = "did:web:issuer.example";
    for suite in ["eddsa-jcs-2022", "eddsa-rdfc-2022"] {
        let (credential, id) = issued(&issuer, suite).await;
        let verified = verify(&credential, &published).unwrap();
        let entries = BitstringEntry::of(&verified).unwrap();
        let method = credential["proof"]["verificationMethod"].as_str().unwrap();
        let key = SigningKey::from_bytes(Algorithm::EdDsa, world.keys.credential_eddsa.expose());
        let multikey = "https://w3id.org/security/multikey/v1";
        let key = json!({
            "@context": multikey, "id": method, "type": "Multikey", "controller": did,
            "publicKeyMultibase": to_multikey(&key.unwrap().public_key()),
        });
        let document = json!({
            "@context": ["https://www.w3.org/ns/did/v1", multikey], "id": did, "assertionMethod": [key],
        });
        let context = catalogue().by_id("vaccination").unwrap().context_json();
        for (change, [revoked, suspended]) in [
            (None, [false, false]),
            (Some("suspension"), [false, true]),
            (Some("revocation"), [true, false]),
        ] {
            if let Some(change) = change {
                let path = format!("/v1/records/{id}/{change}");
                assert_eq!(issuer.post(&path, &json!({ "reason": "x" })).await.0, 200);
            }
            let mut documents = json!({
                "urn:tegata:record:vaccination:1:context": serde_json::from_str::<Value>(context).unwrap(),
                (did): document, (method): key,
            });
            for entry in &entries {
                let (text, _) = list(&world, &issuer, entry).await;
                documents[&entry.list] = serde_json::from_str(&text).unwrap();
            }
            let request = json!({
                "op": "verify", "credential": credential, "at": write_time(now_s() + 1),
                "documents": documents,
            });
            let answer = ask_npm(&request);
            assert_eq!(answer["verified"], true, "{suite}: {answer}");
            assert_eq!(
                answer["statuses"],
                json!([revoked, suspended]),
                "{suite}: {answer}"
            );
        }
    }
    issuer.stop().await;
}

/// One answer of `tests/interop/w3c.mjs`.
fn ask_npm(request: &Value) -> Value {
    let mut node = Command::new("node")
        .arg("w3c.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node is installed");
    let mut stdin = node.stdin.take().unwrap();
    writeln!(stdin, "{request}").unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("`npm ci` in tests/interop: {output:?}"))
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
    let list = format!("{}/v1/status-lists/1/revocation", issuer.url);
    assert_eq!(issuer.http.get(list).send().await.unwrap().status(), 404);
    issuer.stop().await;
}
