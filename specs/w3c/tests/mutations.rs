//! Each signed field of a credential is changed, removed, emptied and added to in turn, in both suites; each has its exact
//! reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use serde_json::{Value, json};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose};
use tegata_credential::data_integrity::*;
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_records::catalogue;
use tegata_w3c::record::{self, RecordIssuance};

const AT: i64 = 1_760_000_000;

fn signed(suite: &dyn Cryptosuite) -> Value {
    let key = SigningKey::from_bytes(Algorithm::EdDsa, &[1; 32]).unwrap();
    let did = Did::key(&key.public_key());
    let method = did.own_document().unwrap().methods()[0].id().to_owned();
    let status = |purpose, index| BitstringEntry {
        list: "https://a.example/status/1".into(),
        index,
        purpose,
    };
    let statuses = [
        status(StatusPurpose::Revocation, 7),
        status(StatusPurpose::Suspension, 8),
    ];
    let issuance = RecordIssuance {
        issuer: did.as_str(),
        id: Some("urn:uuid:3f0a4a52-0c49-4a2f-9a3c-3e1c8a4a8f01"),
        holder: Some("did:example:holder"),
        valid_from: AT,
        valid_until: Some(AT + 1_000),
        statuses: &statuses,
    };
    let claims = json!({
        "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1, "primary_source": true,
        "vaccine_codings": [{ "system": "urn:tegata:vaccine", "code": "mr" }, { "code": "03" }],
        "place": { "name": "Sakura Clinic", "reference": "Location/1" },
        "dose_quantity": { "value": 0.5, "unit": "mL" },
    });
    let mut unsigned = record::credential(
        catalogue().by_id("vaccination").unwrap(),
        &claims,
        &issuance,
    )
    .unwrap();
    unsigned.insert(
        "name".into(),
        json!({ "@value": "予防接種", "@language": "ja" }),
    );
    let options = ProofOptions {
        expires: Some(AT + 500),
        ..ProofOptions::new(&method, AT)
    };
    Value::Object(sign_credential(unsigned, suite, tegata_w3c::contexts(), &options, &key).unwrap())
}

fn verdict(document: &Value) -> String {
    let suites = tegata_w3c::suites();
    let verifier = Verifier {
        suites: &suites,
        contexts: tegata_w3c::contexts(),
        resolve: &|did| did.own_document().map(Arc::new),
        at: AT,
    };
    match verifier.credential(document.to_string().as_bytes()) {
        Ok(_) => "accepted".into(),
        Err(error) => error.code().into(),
    }
}

/// Every value below `value`, by its JSON Pointer.
fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                pointers(value, format!("{at}/{}", name.replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, format!("{at}/{index}"), out);
            }
        }
        _ => {}
    }
    if !at.is_empty() {
        out.push(at);
    }
}

/// The same kind of value, with another meaning.
fn changed(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Bool(value) => json!(!value),
        Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.25),
        Value::String(text) if text.ends_with("0Z") && text.starts_with("2025-10") => {
            json!(text.replace("0Z", "1Z"))
        }
        Value::String(language) if language == "ja" => json!("en"),
        Value::String(text) => {
            // The last letter: what comes out is still base58, still an IRI, still a number in text.
            let last = text.chars().last().unwrap();
            let other = if last == '1' { '2' } else { '1' };
            json!(format!("{}{other}", &text[..text.len() - last.len_utf8()]))
        }
        _ => return None,
    })
}

fn parent(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').unwrap()
}

fn when_changed(pointer: &str) -> &'static str {
    match pointer {
        "/@context/0" => "context_malformed",
        "/@context/1" => "context_unknown",
        "/type/0" | "/type/1" | "/credentialStatus/0/type" | "/credentialStatus/1/type" => {
            "type_undefined"
        }
        "/issuer" => "controller_mismatch",
        "/proof/type" => "proof_member_invalid",
        "/proof/cryptosuite" => "cryptosuite_unsupported",
        "/proof/verificationMethod" => "verification_method_unknown",
        "/proof/proofPurpose" => "proof_purpose_unexpected",
        "/proof/@context/0" | "/proof/@context/1" => "proof_context_mismatch",
        _ => "signature_invalid",
    }
}

fn when_removed(pointer: &str) -> &'static str {
    match pointer {
        "/@context" | "/@context/0" => "context_malformed",
        "/@context/1" => "type_undefined",
        "/type" | "/type/0" | "/credentialStatus/0/type" | "/credentialStatus/1/type" => {
            "term_undefined"
        }
        "/issuer" | "/credentialSubject" => "member_invalid",
        "/name/@value" => "term_undefined",
        "/proof" => "proof_missing",
        "/proof/type"
        | "/proof/cryptosuite"
        | "/proof/verificationMethod"
        | "/proof/proofPurpose"
        | "/proof/proofValue" => "proof_member_invalid",
        "/proof/@context/0" | "/proof/@context/1" => "proof_context_mismatch",
        _ => "signature_invalid",
    }
}

fn when_null(pointer: &str) -> &'static str {
    match pointer {
        pointer if pointer.starts_with("/@context") => "context_malformed",
        "/id" | "/credentialSubject/id" | "/credentialStatus/0/id" | "/credentialStatus/1/id" => {
            "iri_not_absolute"
        }
        "/type/0" | "/type/1" => "type_undefined",
        pointer if pointer.starts_with("/proof/@context") => "proof_context_mismatch",
        pointer if pointer.starts_with("/proof") => "proof_member_invalid",
        _ => "value_empty",
    }
}

#[test]
fn each_field_has_its_reason() {
    for suite in tegata_w3c::suites() {
        let document = signed(suite);
        assert_eq!(verdict(&document), "accepted");
        let mut all = Vec::new();
        pointers(&document, String::new(), &mut all);
        assert!(all.len() > 40, "{all:?}");
        let mut count = 0;
        let mut check = |what: &str, pointer: &str, mutant: &Value, wanted: &str| {
            assert_eq!(
                verdict(mutant),
                wanted,
                "{}: {pointer} {what}",
                suite.name()
            );
            count += 1;
        };
        for pointer in &all {
            if let Some(value) = changed(document.pointer(pointer).unwrap()) {
                let mut mutant = document.clone();
                *mutant.pointer_mut(pointer).unwrap() = value;
                check("changed", pointer, &mutant, when_changed(pointer));
            }
            let mut mutant = document.clone();
            *mutant.pointer_mut(pointer).unwrap() = Value::Null;
            check("made null", pointer, &mutant, when_null(pointer));

            let mut mutant = document.clone();
            let (above, last) = parent(pointer);
            match mutant.pointer_mut(above).unwrap() {
                Value::Object(object) => drop(object.remove(&last.replace("~1", "/"))),
                Value::Array(items) => drop(items.remove(last.parse().unwrap())),
                _ => panic!("a parent holds something"),
            }
            check("removed", pointer, &mutant, when_removed(pointer));

            let mut mutant = document.clone();
            match mutant.pointer_mut(pointer).unwrap() {
                Value::Object(object) => {
                    object.insert("unheard_of".into(), json!("x"));
                    let wanted = if pointer == "/proof" {
                        "proof_member_unknown"
                    } else {
                        "term_undefined"
                    };
                    check("added to", pointer, &mutant, wanted);
                }
                Value::Array(items) if items.len() > 1 && items.iter().all(Value::is_object) => {
                    items.swap(0, 1);
                    // Status entries are a set in RDF, and their order says nothing.
                    let is_set =
                        pointer == "/credentialStatus" && suite.name() == "eddsa-rdfc-2022";
                    check(
                        "put in another order",
                        pointer,
                        &mutant,
                        if is_set {
                            "accepted"
                        } else {
                            "signature_invalid"
                        },
                    );
                }
                _ => {}
            }
        }
        let mut mutant = document.clone();
        mutant["unheard_of"] = json!("x");
        check("added to", "", &mutant, "term_undefined");
        println!("{}: {count} mutants", suite.name());
        assert!(count > 150);
    }
}
