//! Replays `vectors/eddsa-rdfc-2022.json`: credentials over JSON-LD, and records of the catalogue among them.
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-w3c --test vectors` writes a new one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../../credential/tests/common/frozen.rs"]
mod frozen;

use std::sync::Arc;

use serde_json::{Value, json};
use tegata_credential::data_integrity::*;
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_w3c::record;

const AT: i64 = 1_760_000_000;
const NOW: &str = "2025-10-09T08:53:20Z";

fn key(fill: u8) -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[fill; 32]).unwrap()
}
fn did(key: &SigningKey) -> String {
    Did::key(&key.public_key()).to_string()
}

fn vaccination() -> Value {
    json!({
        "@context": [CREDENTIALS_V2, "urn:tegata:record:vaccination:1:context"],
        "type": ["VerifiableCredential", "VaccinationRecord"], "issuer": did(&key(1)), "validFrom": NOW,
        "credentialSubject": {
            "id": did(&key(2)), "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1,
            "vaccine_codings": [{ "system": "urn:tegata:vaccine", "code": "mr" }, { "code": "03" }],
            "place": { "name": "さくらクリニック" }, "dose_quantity": { "value": 0.5, "unit": "mL" },
        },
    })
}

/// These members set, or removed where null; names are JSON Pointers.
fn with(mut document: Value, changes: Value) -> Value {
    for (pointer, value) in changes.as_object().unwrap() {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        match (parent, value) {
            (Value::Object(object), Value::Null) => drop(object.remove(last)),
            (Value::Object(object), value) => drop(object.insert(last.to_owned(), value.clone())),
            (Value::Array(items), value) => items[last.parse::<usize>().unwrap()] = value.clone(),
            _ => panic!("nothing stands in a text"),
        }
    }
    document
}

/// Signs what the suite can canonicalise, whatever the checks before it would say.
fn forged(document: Value, by: &SigningKey, purpose: &str, proof_changes: Value) -> Value {
    let did = did(by);
    let proof = json!({
        "type": "DataIntegrityProof", "cryptosuite": "eddsa-rdfc-2022", "created": NOW,
        "verificationMethod": format!("{did}#{}", &did[8..]), "proofPurpose": purpose,
    });
    let mut proof = with(proof, proof_changes);
    let hash = tegata_w3c::eddsa_rdfc_2022()
        .hash(document.as_object().unwrap(), proof.as_object().unwrap());
    let signature = hash.map_or([7; 64], |hash| by.sign(&hash));
    proof["proofValue"] = format!("z{}", bs58::encode(signature).into_string()).into();
    let mut out = document;
    out["proof"] = proof;
    out
}

fn signed(changes: Value) -> Value {
    forged(
        with(vaccination(), changes),
        &key(1),
        "assertionMethod",
        json!({}),
    )
}

fn shown(credential: Value, proof_changes: Value) -> Value {
    let presentation = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": did(&key(2)), "verifiableCredential": [credential],
    });
    let proof = with(
        json!({ "challenge": "c-1", "domain": "https://v.example" }),
        proof_changes,
    );
    let proof: serde_json::Map<String, Value> = proof
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (format!("/{name}"), value.clone()))
        .collect();
    forged(
        presentation,
        &key(2),
        "authentication",
        Value::Object(proof),
    )
}

/// What a verifier that reads nothing but the vector does with it; of a credential, the claims that it carries.
fn run(vector: &Value) -> Result<Value, String> {
    let suites = tegata_w3c::suites();
    let verifier = Verifier {
        suites: &suites,
        contexts: tegata_w3c::contexts(),
        resolve: &|did| did.own_document().map(Arc::new),
        at: AT,
    };
    let text = vector["text"].as_str().unwrap().as_bytes();
    let credential = match vector.get("presentation") {
        None => verifier
            .credential(text)
            .map_err(|error| error.code().to_owned())?,
        Some(policy) => {
            let policy = PresentationPolicy {
                challenge: policy["challenge"].as_str(),
                domain: policy["domain"].as_str(),
                holder: HolderRule::IsSubject,
            };
            let presentation = verifier
                .presentation(text, &policy)
                .map_err(|error| error.code().to_owned())?;
            presentation.credentials()[0].clone()
        }
    };
    record::read(&credential)
        .map(|record| record.claims)
        .map_err(|error| error.code().to_owned())
}

#[test]
fn vectors() {
    let vector = |name: &str, document: Value| json!({ "name": name, "at": AT, "text": document.to_string() });
    let at_verifier = |name: &str, document: Value| {
        let mut out = vector(name, document);
        out["presentation"] = json!({ "challenge": "c-1", "domain": "https://v.example" });
        out
    };
    let mut accept = vec![
        vector("a vaccination", signed(json!({}))),
        vector(
            "types in another order",
            with(
                signed(json!({})),
                json!({ "/type": ["VaccinationRecord", "VerifiableCredential"] }),
            ),
        ),
        vector(
            "a name with its language",
            signed(json!({ "/name": { "@value": "予防接種", "@language": "ja" } })),
        ),
        vector(
            "about nobody",
            signed(json!({ "/credentialSubject/id": null })),
        ),
        at_verifier("a presentation", shown(signed(json!({})), json!({}))),
    ];
    for vector in &mut accept {
        vector["claims"] = run(vector).unwrap_or_else(|code| panic!("{}: {code}", vector["name"]));
    }
    let many = vec![json!({ "name": "x" }); 2_500];
    let rejected = [
        (
            vector(
                "altered",
                with(
                    signed(json!({})),
                    json!({ "/credentialSubject/dose_number": 2 }),
                ),
            ),
            "signature_invalid",
        ),
        (
            vector(
                "list in another order",
                with(
                    signed(json!({})),
                    json!({ "/credentialSubject/vaccine_codings": [{ "code": "03" }, { "system": "urn:tegata:vaccine", "code": "mr" }] }),
                ),
            ),
            "signature_invalid",
        ),
        (
            vector(
                "number made text",
                with(
                    signed(json!({})),
                    json!({ "/credentialSubject/dose_number": "1" }),
                ),
            ),
            "signature_invalid",
        ),
        (
            vector(
                "undefined term added",
                with(signed(json!({})), json!({ "/credentialSubject/lot": "x" })),
            ),
            "term_undefined",
        ),
        (
            vector(
                "undefined term inside",
                with(
                    signed(json!({})),
                    json!({ "/credentialSubject/place/lot": "x" }),
                ),
            ),
            "term_undefined",
        ),
        (
            vector(
                "null added",
                with(
                    signed(json!({})),
                    json!({ "/credentialSubject/site": [null] }),
                ),
            ),
            "value_empty",
        ),
        (
            vector(
                "direction added, which RDF does not say",
                with(
                    signed(json!({ "/name": "x" })),
                    json!({ "/name": { "@value": "x", "@direction": "rtl" } }),
                ),
            ),
            "json_ld_invalid",
        ),
        (
            vector(
                "an id of octets that are not UTF-8",
                with(
                    signed(json!({})),
                    json!({ "/credentialSubject/id": "urn:x:%ff" }),
                ),
            ),
            "iri_not_absolute",
        ),
        (
            vector(
                "language added that RDF leaves out",
                with(
                    signed(json!({ "/name": "x" })),
                    json!({ "/name": { "@value": "x", "@language": "en-a" } }),
                ),
            ),
            "json_ld_invalid",
        ),
        (
            vector(
                "unknown context",
                signed(json!({ "/@context/1": "https://evil.example" })),
            ),
            "context_unknown",
        ),
        (
            vector(
                "context of the record left out",
                signed(json!({ "/@context": [CREDENTIALS_V2] })),
            ),
            "type_undefined",
        ),
        (
            vector(
                "context in the proof",
                forged(
                    vaccination(),
                    &key(1),
                    "assertionMethod",
                    json!({ "/@context": [CREDENTIALS_V2] }),
                ),
            ),
            "proof_context_mismatch",
        ),
        (
            vector("2,500 nameless nodes", signed(json!({ "/evidence": many }))),
            "graph_too_complex",
        ),
        (
            vector(
                "claims that do not fit",
                signed(json!({ "/credentialSubject/vaccine_code": "water" })),
            ),
            "record_claims_invalid",
        ),
        (
            vector(
                "no record",
                signed(json!({ "/type": ["VerifiableCredential"] })),
            ),
            "record_type_unknown",
        ),
        (
            vector(
                "type by its IRI",
                signed(
                    json!({ "/type": ["VerifiableCredential", "urn:tegata:record:vaccination:1#record"] }),
                ),
            ),
            "record_type_unknown",
        ),
        (
            vector(
                "type of the subject",
                signed(
                    json!({ "/type": ["VerifiableCredential"], "/credentialSubject/type": "VaccinationRecord" }),
                ),
            ),
            "record_type_unknown",
        ),
        (
            vector(
                "two subjects",
                signed(
                    json!({ "/credentialSubject": [{ "date": "2025-04-01" }, { "date": "2025-04-02" }] }),
                ),
            ),
            "record_subject_invalid",
        ),
        (
            at_verifier(
                "another challenge",
                shown(signed(json!({})), json!({ "/challenge": "c-2" })),
            ),
            "challenge_mismatch",
        ),
        (
            at_verifier(
                "presentation of an altered credential",
                shown(
                    with(
                        signed(json!({})),
                        json!({ "/validFrom": "2024-01-01T00:00:00Z" }),
                    ),
                    json!({}),
                ),
            ),
            "signature_invalid",
        ),
    ];
    let mut reject = Vec::new();
    for (mut vector, code) in rejected {
        assert_eq!(
            run(&vector).err().as_deref(),
            Some(code),
            "{}",
            vector["name"]
        );
        vector["code"] = code.into();
        reject.push(vector);
    }
    frozen::frozen(
        "eddsa-rdfc-2022.json",
        &json!({ "accept": accept, "reject": reject }),
    );
}
