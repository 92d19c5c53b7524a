//! Ours against npm `@digitalbazaar/vc` with its cryptosuites and its status list checker, both ways: what one issues, presents
//! or publishes, the other verifies; what is tampered with, both refuse. Needs Node and `npm ci` in `tests/interop`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tegata_credential::bitstring::*;
use tegata_credential::data_integrity::*;
use tegata_credential::did::{Did, to_multikey};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_records::catalogue;
use tegata_w3c::record::{self, RecordIssuance};

const AT: i64 = 1_760_000_000;
const NOW: &str = "2025-10-09T08:53:20Z";
const LIST: &str = "https://clinic.example/status/1";

/// A running `w3c.mjs`.
struct Npm {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Npm {
    fn start() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop");
        let mut child = Command::new("node")
            .arg("w3c.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node is installed");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdin,
            stdout,
        }
    }

    fn ask(&mut self, mut request: Value) -> Value {
        let mut documents = Map::new();
        for record_type in catalogue().types() {
            let context = serde_json::from_str(record_type.context_json()).unwrap();
            documents.insert(record_type.context_url(), context);
        }
        if let Some(list) = request.get("list") {
            documents.insert(LIST.into(), list.clone());
        }
        request["documents"] = documents.into();
        request["at"] = NOW.into();
        writeln!(self.stdin, "{request}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("`npm ci` in tests/interop: {line:?}"))
    }

    fn expect(&mut self, request: Value) -> Value {
        let answer = self.ask(request.clone());
        assert!(answer.get("error").is_none(), "{}: {answer}", request["op"]);
        answer
    }

    fn accepts(&mut self, request: Value) -> bool {
        let answer = self.ask(request);
        if answer["verified"] != true {
            println!("npm refuses: {answer}");
        }
        answer["verified"] == true
    }
}

impl Drop for Npm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(fill: u8) -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[fill; 32]).unwrap()
}
fn did(key: &SigningKey) -> String {
    Did::key(&key.public_key()).to_string()
}
fn method(key: &SigningKey) -> String {
    format!("{}#{}", did(key), to_multikey(&key.public_key()))
}

/// As `@digitalbazaar/ed25519-multikey` takes it.
fn exported(key: &SigningKey) -> Value {
    let secret = [&[0x80, 0x26], key.to_bytes().as_slice()].concat();
    json!({
        "type": "Multikey", "id": method(key), "controller": did(key),
        "publicKeyMultibase": to_multikey(&key.public_key()),
        "secretKeyMultibase": format!("z{}", bs58::encode(secret).into_string()),
    })
}

fn verifier<'a>(suites: &'a [&'a dyn Cryptosuite]) -> Verifier<'a> {
    Verifier {
        suites,
        contexts: tegata_w3c::contexts(),
        resolve: &|did| did.own_document().map(Arc::new),
        at: AT,
    }
}

/// A record of each kind that has structure: lists, nested objects, doubles, text in Japanese.
fn records() -> Vec<(&'static str, Value)> {
    vec![
        (
            "vaccination",
            json!({
                "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1, "lot_number": "AB-12 \"x\"\\",
                "vaccine_codings": [{ "system": "urn:tegata:vaccine", "code": "mr" }, { "code": "03", "display": "MMR" }],
                "place": { "name": "さくらクリニック", "reference": "Location/1" },
                "performers": [{ "actor": { "name": "Made-up Doctor" } }],
                "dose_quantity": { "value": 0.5, "unit": "mL" },
            }),
        ),
        (
            "laboratory_result",
            json!({
                "result_status": "final", "test_name": "SARS-CoV-2 PCR", "date": "2025-10-08", "result": "negative",
                "value_boolean": false,
                "reference_ranges": [{
                    "low": { "value": 3.85 }, "high": { "value": 12 },
                    "type": { "text": "normal", "codings": [{ "code": "normal" }] },
                    "applies_to": [{ "text": "adult" }],
                }],
                "components": [
                    { "test_name": "E gene", "value_quantity": { "value": 36.4, "comparator": ">", "unit": "Ct" } },
                    { "test_name": "N gene", "value_quantity": { "value": 36.4, "comparator": ">", "unit": "Ct" } },
                ],
                "notes": [{ "text": "line one\nline two", "time": "2025-10-08" }],
            }),
        ),
        (
            "infant_checkup_3_4_months",
            json!({ "date": "2025-08-01", "place": "Wakaba City Hall", "height_cm": 62.3, "weight_g": 6420, "kaup_index": 16.54 }),
        ),
    ]
}

fn credential(id: &str, claims: &Value, holder: &str, index: u64) -> Map<String, Value> {
    let statuses = [BitstringEntry {
        list: LIST.into(),
        index,
        purpose: StatusPurpose::Revocation,
    }];
    let issuance = RecordIssuance {
        issuer: &did(&key(1)),
        id: Some("urn:uuid:3f0a4a52-0c49-4a2f-9a3c-3e1c8a4a8f01"),
        holder: Some(holder),
        valid_from: AT,
        valid_until: Some(AT + 1_000),
        statuses: &statuses,
    };
    record::credential(catalogue().by_id(id).unwrap(), claims, &issuance)
        .unwrap_or_else(|error| panic!("{id}: {error}"))
}

fn list(suite: &dyn Cryptosuite) -> Map<String, Value> {
    let bits = Bitstring::from_indexes(ENTRIES_MIN, [9]).unwrap();
    let issuance = BitstringIssuance {
        uri: LIST,
        issuer: &did(&key(1)),
        purpose: StatusPurpose::Revocation,
        valid_from: AT,
        valid_until: None,
    };
    let contexts = tegata_w3c::contexts();
    sign_credential(
        list_credential(&bits, &issuance),
        suite,
        contexts,
        &ProofOptions::new(&method(&key(1)), AT),
        &key(1),
    )
    .unwrap()
}

fn tampered(document: &Value, pointer: &str, value: Value) -> Value {
    let mut out = document.clone();
    *out.pointer_mut(pointer).unwrap() = value;
    out
}

#[test]
fn ours_are_verified_by_npm() {
    let mut npm = Npm::start();
    let contexts = tegata_w3c::contexts();
    let holder = key(2);
    for suite in tegata_w3c::suites() {
        let list = Value::Object(list(suite));
        let mut credentials = Vec::new();
        for (id, claims) in records() {
            let unsigned = credential(id, &claims, &did(&holder), 7);
            let by = method(&key(1));
            let options = ProofOptions::new(&by, AT);
            let signed = sign_credential(unsigned, suite, contexts, &options, &key(1)).unwrap();
            let signed = Value::Object(signed);
            let what = format!("{id} with {}", suite.name());
            let answer = npm.expect(json!({ "op": "verify", "credential": signed, "list": list }));
            assert_eq!(answer["verified"], true, "{what}: {answer}");
            assert_eq!(answer["statuses"], json!([false]), "{what}");
            let ours = verifier(&tegata_w3c::suites())
                .credential(signed.to_string().as_bytes())
                .unwrap();
            assert_eq!(record::read(&ours).unwrap().claims, claims, "{what}");
            for (pointer, value) in [
                ("/credentialSubject/date", json!("2025-04-02")),
                ("/validUntil", json!("2035-10-09T08:53:20Z")),
                ("/credentialSubject/id", json!("did:example:other")),
                ("/credentialStatus/statusListIndex", json!("8")),
                ("/proof/created", json!("2025-10-09T08:53:19Z")),
            ] {
                let changed = tampered(&signed, pointer, value);
                assert!(
                    !npm.accepts(json!({ "op": "verify", "credential": changed, "list": list })),
                    "{what}: {pointer}"
                );
                let ours =
                    verifier(&tegata_w3c::suites()).credential(changed.to_string().as_bytes());
                assert_eq!(
                    ours.unwrap_err().code(),
                    "signature_invalid",
                    "{what}: {pointer}"
                );
            }
            credentials.push(signed);
        }
        let presentation = json!({
            "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": did(&holder),
            "verifiableCredential": credentials,
        });
        let Value::Object(presentation) = presentation else {
            panic!("an object")
        };
        let by = method(&holder);
        let options = ProofOptions {
            challenge: Some("c-1"),
            domain: Some("https://v.example"),
            ..ProofOptions::new(&by, AT)
        };
        let shown = Value::Object(
            sign_presentation(presentation, suite, contexts, &options, &holder).unwrap(),
        );
        let ask = |presentation: &Value, challenge: &str| {
            json!({
                "op": "verifyPresentation", "presentation": presentation, "challenge": challenge,
                "domain": "https://v.example", "list": list,
            })
        };
        assert!(npm.accepts(ask(&shown, "c-1")), "{}", suite.name());
        assert!(!npm.accepts(ask(&shown, "c-2")), "another challenge");
        assert!(
            !npm.accepts(ask(
                &tampered(&shown, "/proof/domain", json!("https://w.example")),
                "c-1"
            )),
            "another domain"
        );
        let policy = PresentationPolicy {
            challenge: Some("c-1"),
            domain: Some("https://v.example"),
            holder: HolderRule::IsSubject,
        };
        let ours = verifier(&tegata_w3c::suites())
            .presentation(shown.to_string().as_bytes(), &policy)
            .unwrap();
        assert_eq!(ours.credentials().len(), 3);
    }
}

#[test]
fn npms_are_verified_by_us() {
    let mut npm = Npm::start();
    let holder = key(2);
    for suite in tegata_w3c::suites() {
        let name = suite.name();
        let mut credentials = Vec::new();
        for (id, claims) in records() {
            let unsigned = credential(id, &claims, &did(&holder), 7);
            let answer = npm.expect(json!({ "op": "issue", "suite": name, "key": exported(&key(1)), "credential": unsigned }));
            let signed = answer["credential"].clone();
            let verified =
                verifier(&tegata_w3c::suites()).credential(signed.to_string().as_bytes());
            let verified =
                verified.unwrap_or_else(|error| panic!("{id} with {name}: {error}\n{signed:#}"));
            assert_eq!(verified.cryptosuite(), name);
            let record = record::read(&verified).unwrap();
            assert_eq!((record.record_type.id(), &record.claims), (id, &claims));
            let changed = tampered(&signed, "/credentialSubject/date", json!("2025-04-02"));
            let refused =
                verifier(&tegata_w3c::suites()).credential(changed.to_string().as_bytes());
            assert_eq!(refused.unwrap_err().code(), "signature_invalid");
            credentials.push(signed);
        }
        let answer = npm.expect(json!({
            "op": "present", "suite": name, "key": exported(&holder), "credentials": credentials,
            "challenge": "c-1", "domain": "https://v.example",
        }));
        let policy = PresentationPolicy {
            challenge: Some("c-1"),
            domain: Some("https://v.example"),
            holder: HolderRule::IsSubject,
        };
        let shown = answer["presentation"].to_string();
        let verified = verifier(&tegata_w3c::suites()).presentation(shown.as_bytes(), &policy);
        let verified = verified.unwrap_or_else(|error| panic!("{name}: {error}\n{shown}"));
        assert_eq!(verified.holder(), did(&holder));
        let other = PresentationPolicy {
            challenge: Some("c-2"),
            ..policy
        };
        let refused = verifier(&tegata_w3c::suites()).presentation(shown.as_bytes(), &other);
        assert_eq!(refused.unwrap_err().code(), "challenge_mismatch");
    }
}

#[test]
fn status_lists_go_both_ways() {
    let mut npm = Npm::start();
    for suite in tegata_w3c::suites() {
        let name = suite.name();
        let (id, claims) = records().remove(0);
        let signed = |index| {
            let by = method(&key(1));
            let options = ProofOptions::new(&by, AT);
            let unsigned = credential(id, &claims, &did(&key(2)), index);
            sign_credential(unsigned, suite, tegata_w3c::contexts(), &options, &key(1)).unwrap()
        };
        // Ours, read by npm.
        let ours = list(suite);
        for (index, is_set) in [(9, true), (10, false)] {
            let answer =
                npm.expect(json!({ "op": "verify", "credential": signed(index), "list": ours }));
            assert_eq!(
                (&answer["verified"], &answer["statuses"]),
                (&json!(true), &json!([is_set])),
                "{name} {index}: {answer}"
            );
        }
        // Npm's, read by us.
        let answer = npm.expect(json!({
            "op": "statusList", "suite": name, "key": exported(&key(1)), "id": LIST, "purpose": "revocation",
            "length": 131_072, "set": [0, 9, 131_071],
        }));
        let theirs =
            verifier(&tegata_w3c::suites()).credential(answer["credential"].to_string().as_bytes());
        let theirs =
            VerifiedBitstring::new(&theirs.unwrap_or_else(|error| panic!("{name}: {error}")))
                .unwrap();
        for (index, is_set) in [(0, true), (9, true), (10, false), (131_071, true)] {
            let document = Value::Object(signed(index)).to_string();
            let verified = verifier(&tegata_w3c::suites())
                .credential(document.as_bytes())
                .unwrap();
            let entry = &BitstringEntry::of(&verified).unwrap()[0];
            assert_eq!(
                theirs.is_set(entry, &verified),
                Ok(is_set),
                "{name} {index}"
            );
        }
    }
}
