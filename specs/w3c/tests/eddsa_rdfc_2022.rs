//! `eddsa-rdfc-2022`: W3C's vectors, undefined terms, unknown contexts, records there and back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tegata_credential::data_integrity::*;
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_records::catalogue;
use tegata_w3c::EddsaRdfc2022;

const AT: i64 = 1_760_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[1; 32]).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else {
        panic!("an object")
    };
    object
}

fn vectors(folder: &str) -> Option<PathBuf> {
    let path = std::env::var("TEGATA_VECTORS").unwrap_or_else(|_| "../shared/vectors".into());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
        .join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("SKIPPED: {} is missing", path.display());
    None
}

#[test]
fn w3c_vectors() {
    let Some(path) = vectors("w3c-vc-di-eddsa/eddsa-rdfc-2022") else {
        return;
    };
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let contexts = Contexts::default()
        .with(
            "https://www.w3.org/ns/credentials/examples/v2",
            r#"{"@context":{"@vocab":"https://www.w3.org/ns/credentials/examples#"}}"#,
        )
        .unwrap();
    let suite = EddsaRdfc2022::new(&contexts).unwrap();
    let document = object(serde_json::from_str(&read("signedDataInt.json")).unwrap());
    let proof = document["proof"].as_object().unwrap();

    let mut unsigned = document.clone();
    unsigned.remove("proof");
    assert_eq!(
        suite.canonical(unsigned).unwrap(),
        read("canonDocDataInt.txt")
    );
    let mut options = proof.clone();
    options.remove("proofValue");
    options.insert("@context".into(), document["@context"].clone());
    assert_eq!(
        suite.canonical(options).unwrap(),
        read("proofCanonDataInt.txt")
    );
    let hash = suite.hash(&document, proof).unwrap();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, read("combinedHashDataInt.txt").trim());

    let known = Did::of_url(proof["verificationMethod"].as_str().unwrap())
        .unwrap()
        .own_document()
        .unwrap();
    let signature = bs58::decode(&proof["proofValue"].as_str().unwrap()[1..])
        .into_vec()
        .unwrap();
    known.methods()[0]
        .key()
        .verify(&hash, &signature.try_into().unwrap())
        .unwrap();
}

#[test]
fn unknown_contexts_and_terms_are_refused_by_every_layer() {
    let suite = tegata_w3c::eddsa_rdfc_2022();
    let did = Did::key(&key().public_key());
    let method = did.own_document().unwrap().methods()[0].id().to_owned();
    let document = |context: Value, member: &str| {
        object(json!({
            "@context": context, "type": ["VerifiableCredential"], "issuer": did.as_str(),
            "credentialSubject": { "id": "did:example:a", member: "x" },
        }))
    };
    let sign = |document| {
        sign_credential(
            document,
            suite,
            tegata_w3c::contexts(),
            &ProofOptions::new(&method, AT),
            &key(),
        )
    };
    // A listening socket that must not hear of it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/context", listener.local_addr().unwrap());
    let unknown = json!([CREDENTIALS_V2, url]);
    assert_eq!(
        sign(document(unknown.clone(), "name")).unwrap_err().code(),
        "context_unknown"
    );
    let refused = suite.canonical(document(unknown, "name")).unwrap_err();
    assert_eq!(
        refused.code(),
        "json_ld_invalid",
        "also without the checks before it"
    );
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody connected"
    );

    let known = json!([CREDENTIALS_V2]);
    assert_eq!(
        sign(document(known.clone(), "lot_number"))
            .unwrap_err()
            .code(),
        "term_undefined"
    );
    let refused = suite
        .canonical(document(known.clone(), "lot_number"))
        .unwrap_err();
    assert_eq!(
        refused.code(),
        "json_ld_invalid",
        "also without the checks before it"
    );

    // Who adds a term later does not get it past the verifier either.
    let mut signed = sign(document(known, "name")).unwrap();
    let verify = |document: &Map<String, Value>| {
        let suites = tegata_w3c::suites();
        let verifier = Verifier {
            suites: &suites,
            contexts: tegata_w3c::contexts(),
            resolve: &|did| did.own_document().map(Arc::new),
            at: AT,
        };
        verifier
            .credential(&serde_json::to_vec(document).unwrap())
            .map_err(|error| error.code())
    };
    assert!(verify(&signed).is_ok());
    signed["credentialSubject"]["lot_number"] = json!("AB-12");
    assert_eq!(verify(&signed).unwrap_err(), "term_undefined");
}

#[test]
fn every_record_type_can_be_a_credential() {
    for record_type in catalogue().types() {
        assert!(
            tegata_w3c::contexts()
                .documents()
                .any(|(url, _)| url == record_type.context_url())
        );
    }
}

/// A credential whose graph is poisoned: signed with the right key, refused soon.
#[test]
fn poisoned_credentials_are_refused_in_bounded_time() {
    let contexts = Contexts::default()
        .with(
            "urn:x:context",
            r#"{"@context":{"knows":{"@id":"urn:x:knows","@type":"@id"}}}"#,
        )
        .unwrap();
    let suite = EddsaRdfc2022::new(&contexts).unwrap();
    // Trees of anonymous nodes that look alike, as far as 32 levels allow.
    fn tree(depth: usize, width: usize) -> Value {
        if depth == 0 {
            return json!({ "name": "leaf" });
        }
        json!({ "knows": vec![tree(depth - 1, width); width] })
    }
    for (depth, width) in [
        (1, 12),
        (2, 6),
        (3, 4),
        (6, 2),
        (9, 2),
        (1, 1_000),
        (1, 3_000),
    ] {
        let document = object(json!({
            "@context": [CREDENTIALS_V2, "urn:x:context"], "type": ["VerifiableCredential"],
            "issuer": "did:example:a", "credentialSubject": tree(depth, width),
        }));
        let began = std::time::Instant::now();
        let code = suite
            .canonical(document)
            .map(|_| "canonical")
            .map_err(|error| error.code());
        let took = began.elapsed();
        println!("{width} alike, {depth} deep: {code:?} after {took:?}");
        assert!(took < std::time::Duration::from_secs(2));
        assert!(matches!(code, Ok(_) | Err("graph_too_complex")), "{code:?}");
    }
}

/// iref panics when it compares such identifiers.
#[test]
fn octets_that_are_not_utf8_are_refused() {
    let document = |method: &str| {
        object(json!({
            "@context": [CREDENTIALS_V2], "type": ["VerifiableCredential"],
            "issuer": "did:example:a", "credentialSubject": { "id": "did:example:b" },
            "proof": {
                "type": "DataIntegrityProof", "cryptosuite": "eddsa-rdfc-2022",
                "verificationMethod": method, "proofPurpose": "assertionMethod", "proofValue": "z1",
            },
        }))
    };
    let suite = tegata_w3c::eddsa_rdfc_2022();
    suite.canonical(document("urn:x:%E4%BE%8B/k")).unwrap();
    for method in ["urn:x:%c5x/k", "urn:x/%ff", "https://a.example/%e4/%be"] {
        let refused = suite.canonical(document(method)).unwrap_err();
        assert_eq!(refused.code(), "json_ld_invalid", "{method}");
    }
}

/// iref takes `%62` for `b` and `./b` for `b`; what is signed does not.
#[test]
fn identifiers_that_differ_in_a_letter_are_two() {
    let names = ["b", "%62", "./b", "c/../b"].map(|end| format!("https://a.example/{end}"));
    let subjects: Vec<Value> = names.iter().map(|id| json!({ "id": id })).collect();
    let documents = [
        json!({ "issuer": "did:example:a", "credentialSubject": subjects }),
        json!({ "issuer": "did:example:a", "credentialSubject": { "id": "did:example:b" }, "refreshService": subjects }),
        json!({ "holder": "did:example:a", "type": ["VerifiablePresentation"], "verifiableCredential": subjects.iter().map(|subject| json!({
            "@context": [CREDENTIALS_V2], "type": ["VerifiableCredential"], "issuer": "did:example:a", "credentialSubject": subject,
        })).collect::<Vec<_>>() }),
    ];
    for mut document in documents {
        document["@context"] = json!([CREDENTIALS_V2]);
        if document["type"].is_null() {
            document["type"] = json!(["VerifiableCredential"]);
        }
        let canonical = tegata_w3c::eddsa_rdfc_2022().canonical(object(document));
        let canonical = canonical.unwrap();
        for name in &names {
            assert!(
                canonical.contains(&format!("<{name}>")),
                "{name} in {canonical}"
            );
        }
    }
}
