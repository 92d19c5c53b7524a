//! W3C credentials and presentations over HTTP.

use super::desk::{Desk, TOKEN};
use super::fake::Manner;
use serde_json::{Map, Value, json};
use tegata_credential::bitstring::{
    Bitstring, BitstringEntry, BitstringIssuance, ENTRIES_MIN, StatusPurpose, list_credential,
};
use tegata_credential::data_integrity::{
    CREDENTIALS_V2, Cryptosuite, EddsaJcs2022, ProofOptions, sign_credential, sign_presentation,
};
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_service::clock::now_s;

const CLINIC: &str = "did:web:clinic.example";

fn holder() -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[3; 32]).unwrap()
}

fn did(key: &SigningKey) -> String {
    Did::key(&key.public_key()).to_string()
}

fn own_method(key: &SigningKey) -> String {
    Did::key(&key.public_key())
        .own_document()
        .unwrap()
        .methods()[0]
        .id()
        .to_owned()
}

fn credential(issuer: &str, status: Option<Value>) -> Map<String, Value> {
    let mut out = json!({
        "@context": [CREDENTIALS_V2, "urn:tegata:record:vaccination:1:context"],
        "type": ["VerifiableCredential", "VaccinationRecord"], "issuer": issuer,
        "credentialSubject": { "id": did(&holder()), "vaccine_code": "mr", "date": "2025-04-01" },
    });
    if let Some(status) = status {
        out["credentialStatus"] = status;
    }
    let Value::Object(out) = out else {
        unreachable!()
    };
    out
}

fn sign(
    document: Map<String, Value>,
    key: &SigningKey,
    method: &str,
    suite: &dyn Cryptosuite,
) -> Value {
    sign_at(document, key, method, suite, now_s())
}

fn sign_at(
    document: Map<String, Value>,
    key: &SigningKey,
    method: &str,
    suite: &dyn Cryptosuite,
    created_s: i64,
) -> Value {
    let options = ProofOptions::new(method, created_s);
    Value::Object(sign_credential(document, suite, tegata_w3c::contexts(), &options, key).unwrap())
}

impl Desk {
    async fn vc(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .client
            .post(format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
            .json(body)
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    async fn credential(&self, credential: &Value) -> (u16, String) {
        let (status, answer) = self
            .vc(
                "/credentials/verify",
                &json!({ "verifiableCredential": credential }),
            )
            .await;
        assert_eq!(answer["verified"], status == 200, "{answer}");
        (
            status,
            answer["errors"][0].as_str().unwrap_or_default().to_owned(),
        )
    }
}

#[tokio::test]
async fn credentials_of_the_registry_and_of_keys_verify() {
    let desk = Desk::start().await;
    let clinic = desk.world.credential_key();
    let method = format!("{CLINIC}#{}", clinic.key_id());
    for suite in tegata_w3c::suites() {
        let signed = sign(credential(CLINIC, None), &clinic, &method, suite);
        assert_eq!(
            desk.credential(&signed).await,
            (200, String::new()),
            "{}",
            suite.name()
        );
        let mut altered = signed.clone();
        altered["credentialSubject"]["date"] = json!("2025-04-02");
        assert_eq!(
            desk.credential(&altered).await,
            (400, "signature_invalid".into())
        );
    }
    let own = sign(
        credential(&did(&holder()), None),
        &holder(),
        &own_method(&holder()),
        &EddsaJcs2022,
    );
    assert_eq!(desk.credential(&own).await.0, 200);

    // A key that the registry does not have, and a DID that nobody answers for.
    let method = format!("{CLINIC}#{}", holder().key_id());
    let foreign = sign(credential(CLINIC, None), &holder(), &method, &EddsaJcs2022);
    assert_eq!(
        desk.credential(&foreign).await,
        (400, "verification_method_unknown".into())
    );
    let nobody = "did:web:nobody.example";
    let unknown = sign(
        credential(nobody, None),
        &holder(),
        &format!("{nobody}#k"),
        &EddsaJcs2022,
    );
    assert_eq!(
        desk.credential(&unknown).await,
        (400, "did_unresolved".into())
    );

    let (status, answer) = desk
        .vc(
            "/credentials/verify",
            &json!({ "verifiableCredential": "x" }),
        )
        .await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("malformed")));
    let stranger = desk
        .client
        .post(format!("{}/credentials/verify", desk.url))
        .json(&json!({}));
    assert_eq!(stranger.send().await.unwrap().status(), 401);
}

/// A presentation of a credential by its holder.
fn shown(credential: &Value) -> Value {
    let presentation = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": did(&holder()),
        "verifiableCredential": [credential],
    });
    let Value::Object(presentation) = presentation else {
        unreachable!()
    };
    let own = own_method(&holder());
    let options = ProofOptions::new(&own, now_s());
    let (suite, contexts) = (&EddsaJcs2022, tegata_w3c::contexts());
    let shown = sign_presentation(presentation, suite, contexts, &options, &holder());
    json!({ "verifiablePresentation": shown.unwrap() })
}

#[tokio::test]
async fn the_registry_says_who_may_issue_what() {
    let desk = Desk::start().await;
    let clinic = desk.world.credential_key();
    let id = desk.world.issuer.organisation_id();
    let method = format!("{CLINIC}#{}", clinic.key_id());
    let at = |document, at_s| sign_at(document, &clinic, &method, &EddsaJcs2022, at_s);
    let of_type = |context: &str, kind: &[&str], subject: Value| {
        let mut document = credential(CLINIC, None);
        document["@context"] = json!([CREDENTIALS_V2, context]);
        document["type"] = json!(kind);
        document["credentialSubject"] = subject;
        document
    };
    let begun_s = now_s();
    let vaccination = at(credential(CLINIC, None), begun_s);
    let laboratory = of_type(
        "urn:tegata:record:laboratory_result:1:context",
        &["VerifiableCredential", "LaboratoryResultRecord"],
        json!({ "result_status": "final", "test_name": "PCR", "date": "2025-10-08", "result": "negative" }),
    );
    let nameless = of_type(
        "urn:tegata:record:vaccination:1:context",
        &["VerifiableCredential"],
        json!({ "id": did(&holder()) }),
    );
    let mut anything = nameless.clone();
    anything["@context"] = json!([CREDENTIALS_V2]);
    let other = at(anything.clone(), begun_s);
    let holds = (200, String::new());
    assert_eq!(desk.credential(&vaccination).await, holds);
    assert_eq!(
        desk.credential(&other).await,
        holds,
        "none of the catalogue"
    );
    let refused = |code: &str| (400, code.to_owned());
    for (document, code) in [
        (laboratory, "issuer-not-accredited"),
        (nameless, "record_type_unknown"),
    ] {
        let signed = at(document, begun_s);
        assert_eq!(desk.credential(&signed).await, refused(code));
        let (status, answer) = desk.vc("/presentations/verify", &shown(&signed)).await;
        assert_eq!((status, &answer["errors"]), (400, &json!([code])));
    }

    let until = async |what: &str, wanted: &(u16, String)| {
        desk.until(what, async |desk| {
            desk.world.beat();
            (desk.credential(&vaccination).await == *wanted).then_some(())
        })
        .await;
    };
    desk.world.suspend(id);
    let suspended_s = now_s() + 1;
    until("suspended", &refused("issuer-suspended")).await;
    assert_eq!(desk.credential(&other).await, refused("issuer-suspended"));
    let (_, answer) = desk.vc("/presentations/verify", &shown(&other)).await;
    assert_eq!(answer["errors"], json!(["issuer-suspended"]));
    desk.until("a second of the suspension is over", async |_| {
        (now_s() > suspended_s).then_some(())
    })
    .await;
    desk.world.lift(id);
    until("lifted", &holds).await;
    for document in [credential(CLINIC, None), anything] {
        let meanwhile = at(document, suspended_s);
        assert_eq!(
            desk.credential(&meanwhile).await,
            refused("issuer-suspended")
        );
    }
}

/// Else whoever has the issuer's web host would be the issuer while the ledger is away.
#[tokio::test]
async fn nobody_speaks_for_an_issuer_while_the_registry_gives_no_answer() {
    let desk = Desk::start().await;
    let clinic = desk.world.credential_key();
    let method = format!("{CLINIC}#{}", clinic.key_id());
    let signed = sign(credential(CLINIC, None), &clinic, &method, &EddsaJcs2022);
    let credential = json!({ "verifiableCredential": signed });
    // Nothing answers; or who is there is said, and cannot be proven.
    for manner in [Manner::Broken, Manner::Forged] {
        desk.world.node.behave(manner);
        for (path, body) in [
            ("/credentials/verify", &credential),
            ("/presentations/verify", &shown(&signed)),
        ] {
            let (status, answer) = desk.vc(path, body).await;
            let code = answer["code"].as_str().unwrap_or_default();
            assert_eq!(status, 503, "{answer}");
            assert!(["ledger-unreachable", "stale"].contains(&code), "{answer}");
        }
    }
    desk.world.node.behave(Manner::Honest);
    desk.until("the ledger answers", async |desk| {
        (desk.credential(&signed).await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_status_that_cannot_be_known_does_not_hold() {
    let desk = Desk::start().await;
    let clinic = desk.world.credential_key();
    let method = format!("{CLINIC}#{}", clinic.key_id());
    let uri = desk.world.status_uri();
    let entry = |index| {
        BitstringEntry {
            list: uri.clone(),
            index,
            purpose: StatusPurpose::Revocation,
        }
        .to_json()
    };
    let with = |index| {
        sign(
            credential(CLINIC, Some(entry(index))),
            &clinic,
            &method,
            &EddsaJcs2022,
        )
    };
    assert_eq!(
        desk.credential(&with(7)).await,
        (400, "status_unknown".into()),
        "another kind of list lies there"
    );

    let list = |issued_s, revoked: u64| {
        let issuance = BitstringIssuance {
            uri: &uri,
            issuer: CLINIC,
            purpose: StatusPurpose::Revocation,
            valid_from: issued_s,
            valid_until: None,
        };
        let bits = Bitstring::from_indexes(ENTRIES_MIN, [revoked]).unwrap();
        let unsigned = list_credential(&bits, &issuance);
        sign(unsigned, &clinic, &method, &EddsaJcs2022).to_string()
    };
    let there_s = now_s();
    desk.until("a second later than the list that is there", async |_| {
        (now_s() > there_s).then_some(())
    })
    .await;
    let (old, new) = (list(now_s() - 60, 7), list(now_s(), 9));
    desk.site.lock().unwrap().status = Some(new.clone());
    assert_eq!(
        desk.credential(&with(7)).await,
        (400, "status_list_not_on_ledger".into())
    );
    desk.world.publish(&new, now_s());
    desk.site.lock().unwrap().status = Some(old);
    assert_eq!(
        desk.credential(&with(9)).await,
        (400, "status_list_superseded".into()),
        "an old list that does not say yet that it is revoked"
    );
    desk.site.lock().unwrap().status = Some(new);
    assert_eq!(desk.credential(&with(7)).await, (200, String::new()));
    assert_eq!(desk.credential(&with(9)).await, (400, "revoked".into()));
    assert_eq!(
        desk.credential(&with(131_072)).await,
        (400, "bitstring_index_out_of_range".into())
    );

    // Nobody makes us fetch lists who is not vouched for.
    let asked = desk.site.lock().unwrap().status_asked;
    let by_anybody = sign(
        credential(&did(&holder()), Some(entry(7))),
        &holder(),
        &own_method(&holder()),
        &EddsaJcs2022,
    );
    assert_eq!(
        desk.credential(&by_anybody).await,
        (400, "status_unknown".into())
    );
    // Nor does anybody from elsewhere than under the issuer's URL, or very many.
    let lists = |uris: &[String]| {
        let entries = uris.iter().enumerate().map(|(index, list)| {
            BitstringEntry {
                list: list.clone(),
                index: index as u64,
                purpose: StatusPurpose::Revocation,
            }
            .to_json()
        });
        let status = Value::Array(entries.collect());
        sign(
            credential(CLINIC, Some(status)),
            &clinic,
            &method,
            &EddsaJcs2022,
        )
    };
    let base = &desk.world.base;
    for (name, uris) in [
        ("another service", vec![format!("{base}/v1/status-lists/1")]),
        (
            "behind ..",
            vec![format!("{base}/issuer/../v1/status-lists/1")],
        ),
        ("one of two", vec![uri.clone(), format!("{base}/list")]),
        ("many", vec![uri.clone(); 5]),
    ] {
        let refused = desk.credential(&lists(&uris)).await;
        assert_eq!(refused, (400, "status_unknown".into()), "{name}");
        assert_eq!(desk.site.lock().unwrap().status_asked, asked, "{name}");
    }
    let two = desk.credential(&lists(&[uri.clone(), uri.clone()])).await;
    assert_eq!(two, (200, String::new()));
}

#[tokio::test]
async fn presentations_verify_with_their_challenge() {
    let mut desk = Desk::start().await;
    let clinic = desk.world.credential_key();
    let method = format!("{CLINIC}#{}", clinic.key_id());
    let own = own_method(&holder());
    let signed = sign(
        credential(CLINIC, None),
        &clinic,
        &method,
        tegata_w3c::eddsa_rdfc_2022(),
    );
    let presentation = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": did(&holder()), "verifiableCredential": [&signed],
    });
    let Value::Object(presentation) = presentation else {
        unreachable!()
    };
    let options = ProofOptions {
        challenge: Some("c-1"),
        domain: Some("https://v.example"),
        ..ProofOptions::new(&own, now_s())
    };
    let shown = sign_presentation(
        presentation,
        &EddsaJcs2022,
        tegata_w3c::contexts(),
        &options,
        &holder(),
    )
    .unwrap();
    let ask = |challenge: &str, domain: &str| json!({ "verifiablePresentation": shown, "options": { "challenge": challenge, "domain": domain } });
    let (status, answer) = desk
        .vc("/presentations/verify", &ask("c-1", "https://v.example"))
        .await;
    assert_eq!(
        (status, &answer["verified"]),
        (200, &json!(true)),
        "{answer}"
    );
    for (challenge, domain, code) in [
        ("c-2", "https://v.example", "challenge_mismatch"),
        ("c-1", "https://w.example", "domain_mismatch"),
    ] {
        let (status, answer) = desk
            .vc("/presentations/verify", &ask(challenge, domain))
            .await;
        assert_eq!(
            (status, &answer["verified"], &answer["errors"]),
            (400, &json!(false), &json!([code]))
        );
    }
    // What was meant to be checked is not passed over.
    let with = |options: Value| json!({ "verifiablePresentation": shown, "options": options });
    for (body, status) in [
        (
            with(json!({ "checks": ["proof"], "challenge": "c-1" })),
            200,
        ),
        (with(Value::Null), 200),
        (with(json!(["c-2"])), 400),
        (with(json!("challenge=c-2")), 400),
        (with(json!({ "Challenge": "c-2" })), 400),
        (with(json!({ "challenge": 2 })), 400),
        (
            with(json!({ "expectedProofPurpose": "assertionMethod" })),
            400,
        ),
        (
            json!({ "verifiablePresentation": shown, "challenge": "c-2" }),
            400,
        ),
    ] {
        let (found, answer) = desk.vc("/presentations/verify", &body).await;
        assert_eq!(found, status, "{answer}");
        if status == 400 {
            assert_eq!(answer["code"], "malformed", "{answer}");
        }
    }
    let credential = |options: Value| json!({ "verifiableCredential": signed, "options": options });
    for (options, status) in [
        (json!({ "checks": ["proof"], "returnResults": false }), 200),
        (json!({ "challenge": "c-1" }), 400),
        (json!(7), 400),
    ] {
        let (found, answer) = desk.vc("/credentials/verify", &credential(options)).await;
        assert_eq!(found, status, "{answer}");
    }
    desk.kill().await;
    desk.config.vc_api = None;
    desk.start_again().await;
    let (status, _) = desk
        .vc("/presentations/verify", &ask("c-1", "https://v.example"))
        .await;
    assert_eq!(status, 404, "off unless it is configured");
}
