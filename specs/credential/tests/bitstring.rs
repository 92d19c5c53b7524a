//! Replays `vectors/bitstring-status-list.json`, and a list of a million.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "common/frozen.rs"]
mod frozen;

use std::io::Write as _;
use std::sync::Arc;

use common::key;
use serde_json::{Map, Value, json};
use tegata_credential::bitstring::*;
use tegata_credential::data_integrity::*;
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey};

const AT: i64 = 1_760_000_000;
const URI: &str = "https://a.example/status/1";

fn did(key: &SigningKey) -> String {
    Did::key(&key.public_key()).to_string()
}

fn sign(document: Value, by: &SigningKey) -> Map<String, Value> {
    let Value::Object(document) = document else {
        panic!("an object")
    };
    let method = Did::key(&by.public_key()).own_document().unwrap().methods()[0]
        .id()
        .to_owned();
    let options = ProofOptions::new(&method, AT);
    sign_credential(document, &EddsaJcs2022, &Contexts::default(), &options, by).unwrap()
}

fn verify(text: &str) -> VerifiedCredential {
    let contexts = Contexts::default();
    let verifier = Verifier {
        suites: &[&EddsaJcs2022],
        contexts: &contexts,
        resolve: &|did| did.own_document().map(Arc::new),
        at: AT,
    };
    verifier.credential(text.as_bytes()).unwrap()
}

fn gzip(bytes: &[u8]) -> String {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    format!("u{}", common::b64(encoder.finish().unwrap()))
}

fn list(changes: &[(&str, Value)], subject_changes: &[(&str, Value)]) -> Value {
    let issuance = BitstringIssuance {
        uri: URI,
        issuer: &did(&key(Algorithm::EdDsa, 1)),
        purpose: StatusPurpose::Revocation,
        valid_from: AT,
        valid_until: None,
    };
    let bits = Bitstring::from_indexes(ENTRIES_MIN, [0, 9, 131_071]).unwrap();
    let mut out = Value::Object(list_credential(&bits, &issuance));
    for (name, value) in changes {
        out[*name] = value.clone();
    }
    for (name, value) in subject_changes {
        out["credentialSubject"][*name] = value.clone();
    }
    out
}

fn entry(changes: &[(&str, Value)]) -> Value {
    let mut out = BitstringEntry {
        list: URI.into(),
        index: 9,
        purpose: StatusPurpose::Revocation,
    }
    .to_json();
    for (name, value) in changes {
        out[*name] = value.clone();
    }
    out
}

fn credential(status: Value) -> Value {
    let mut out = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiableCredential"], "issuer": did(&key(Algorithm::EdDsa, 1)),
        "credentialSubject": { "name": "Made-up Person" },
    });
    if !status.is_null() {
        out["credentialStatus"] = status;
    }
    out
}

/// Whether the bit is set, as a verifier finds it that reads nothing but the vector.
fn run(vector: &Value) -> Result<bool, String> {
    let text = |name: &str| verify(vector[name].as_str().unwrap());
    let run = || -> Result<bool, BitstringError> {
        let credential = text("credential");
        let list = VerifiedBitstring::new(&text("list"))?;
        let mut any = false;
        for entry in BitstringEntry::of(&credential)? {
            any |= list.is_set(&entry, &credential)?;
        }
        Ok(any)
    };
    run().map_err(|error| error.code().to_owned())
}

fn vector(name: &str, list: Value, status: Value) -> Value {
    let by = key(Algorithm::EdDsa, 1);
    let text = |document| Value::Object(sign(document, &by)).to_string();
    json!({ "name": name, "list": text(list), "credential": text(credential(status)) })
}

#[test]
fn vectors() {
    let good = || list(&[], &[]);
    let at = |index: &str| entry(&[("statusListIndex", json!(index))]);
    let suspension = [("statusPurpose", json!("suspension"))];
    let mut accept = vec![
        vector("set", good(), entry(&[])),
        vector("not set", good(), at("10")),
        vector("the first", good(), at("0")),
        vector("the last", good(), at("131071")),
        vector("suspended", list(&[], &suspension), entry(&suspension)),
        vector("two entries", good(), json!([at("1"), at("9")])),
        vector(
            "size of one, said",
            good(),
            entry(&[("statusSize", json!(1))]),
        ),
    ];
    for vector in &mut accept {
        vector["is_set"] = run(vector)
            .unwrap_or_else(|code| panic!("{}: {code}", vector["name"]))
            .into();
    }
    let encoded = |text: String| list(&[], &[("encodedList", json!(text))]);
    let bits = vec![0_u8; 16_384];
    let mut rejected = vec![
        (
            vector("no status", good(), Value::Null),
            "bitstring_entry_invalid",
        ),
        (
            vector(
                "status of another type",
                good(),
                json!({ "type": "VerifiableCredential" }),
            ),
            "bitstring_entry_invalid",
        ),
        (
            vector(
                "index a number",
                good(),
                entry(&[("statusListIndex", json!(9))]),
            ),
            "bitstring_entry_invalid",
        ),
        (
            vector("index negative", good(), at("-1")),
            "bitstring_entry_invalid",
        ),
        (
            vector("index with a sign", good(), at("+9")),
            "bitstring_entry_invalid",
        ),
        (
            vector("index endless", good(), at(&"9".repeat(500))),
            "bitstring_entry_invalid",
        ),
        (
            vector("two bits each", good(), entry(&[("statusSize", json!(2))])),
            "bitstring_entry_invalid",
        ),
        (
            vector(
                "another purpose",
                good(),
                entry(&[("statusPurpose", json!("message"))]),
            ),
            "bitstring_purpose_unsupported",
        ),
        (
            vector(
                "one of two not understood",
                good(),
                json!([entry(&[]), entry(&[("statusPurpose", json!("refresh"))])]),
            ),
            "bitstring_purpose_unsupported",
        ),
        (
            vector(
                "entry for suspension, list for revocation",
                good(),
                entry(&suspension),
            ),
            "bitstring_purpose_mismatch",
        ),
        (
            vector(
                "another list",
                good(),
                entry(&[("statusListCredential", json!("https://a.example/status/2"))]),
            ),
            "bitstring_list_mismatch",
        ),
        (
            vector("index outside", good(), at("131072")),
            "bitstring_index_out_of_range",
        ),
        (
            vector(
                "a credential for a list",
                credential(Value::Null),
                entry(&[]),
            ),
            "bitstring_list_invalid",
        ),
        (
            vector(
                "list of no type",
                list(&[("type", json!("VerifiableCredential"))], &[]),
                entry(&[]),
            ),
            "bitstring_list_invalid",
        ),
        (
            vector(
                "two lists in one",
                list(
                    &[(
                        "credentialSubject",
                        json!([good()["credentialSubject"], good()["credentialSubject"]]),
                    )],
                    &[],
                ),
                entry(&[]),
            ),
            "bitstring_list_invalid",
        ),
        (
            vector(
                "list for another purpose",
                list(&[], &[("statusPurpose", json!("message"))]),
                entry(&[]),
            ),
            "bitstring_purpose_unsupported",
        ),
        (
            vector(
                "another base",
                encoded(gzip(&bits).replacen('u', "z", 1)),
                entry(&[]),
            ),
            "bitstring_encoding_invalid",
        ),
        (
            vector("padding", encoded(gzip(&bits) + "=="), entry(&[])),
            "bitstring_encoding_invalid",
        ),
        (
            vector(
                "not compressed",
                encoded(format!("u{}", common::b64(&bits))),
                entry(&[]),
            ),
            "bitstring_encoding_invalid",
        ),
        (
            vector("cut off", encoded(gzip(&bits)[..30].to_owned()), entry(&[])),
            "bitstring_encoding_invalid",
        ),
        (
            vector("too short", encoded(gzip(&bits[1..])), entry(&[])),
            "bitstring_too_short",
        ),
        (
            vector("a bomb", encoded(gzip(&vec![0; 64 << 20])), entry(&[])),
            "bitstring_too_long",
        ),
    ];
    let other = key(Algorithm::EdDsa, 2);
    let mut stolen = vector("list of another issuer", good(), entry(&[]));
    stolen["list"] = Value::Object(sign(list(&[("issuer", json!(did(&other)))], &[]), &other))
        .to_string()
        .into();
    rejected.push((stolen, "bitstring_issuer_mismatch"));
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
        "bitstring-status-list.json",
        &json!({ "accept": accept, "reject": reject }),
    );
}

#[test]
fn a_million_entries() {
    // Without a pattern that would compress (the finaliser of splitmix64).
    let scattered = |index: u64| {
        let mixed = (index ^ (index >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let revoked = || (1..1_000_000_u64).filter(|index| scattered(*index) % 100 == 0);
    let bits = Bitstring::from_indexes(1_000_000, revoked()).unwrap();
    let by = key(Algorithm::EdDsa, 1);
    let issuance = BitstringIssuance {
        uri: URI,
        issuer: &did(&by),
        purpose: StatusPurpose::Revocation,
        valid_from: AT,
        valid_until: Some(AT + 3_600),
    };
    let text =
        Value::Object(sign(Value::Object(list_credential(&bits, &issuance)), &by)).to_string();
    println!(
        "a million entries, one in a hundred revoked: {} bytes",
        text.len()
    );
    let list = VerifiedBitstring::new(&verify(&text)).unwrap();
    assert_eq!(list.bits(), &bits);
    assert_eq!(list.bits().len(), 1_000_000);
    let set = (0..1_000_000)
        .filter(|index| list.bits().get(*index).unwrap())
        .count();
    assert_eq!(set, revoked().count());

    // At worst, all bits at random, it still is a document that we read.
    let mut state = 1_u64;
    let random = (0..1_000_000).filter(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 63 == 1
    });
    let worst = Bitstring::from_indexes(1_000_000, random).unwrap();
    let text =
        Value::Object(sign(Value::Object(list_credential(&worst, &issuance)), &by)).to_string();
    assert!(text.len() < DOCUMENT_MAX_BYTES, "{} bytes", text.len());
    assert_eq!(
        VerifiedBitstring::new(&verify(&text)).unwrap().bits(),
        &worst
    );
    assert_eq!(
        Bitstring::new(ENTRIES_MAX + 1).unwrap_err().code(),
        "bitstring_too_long"
    );
}
