//! `tegata issue`, `tegata present` and `tegata verify` by hand: what one writes the other reads with nothing but files of keys,
//! and says no, with the reason, to everything that is not as it was issued.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test"
)]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tegata_credential::jws;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::openid4vp::{KeyName, WALLET_AUDIENCE, sign_request};
use tegata_credential::status_list::{Status, StatusList, StatusListIssuance, sign, sign_cwt};
use tegata_credential::x509::{self, Subject};

const AT: i64 = 1_790_000_000;
const AT_TEXT: &str = "2026-09-21T14:13:20Z";
const DAY_S: i64 = 86_400;
const STATUS: &str = "https://clinic.example/status/1";
const SHC_ISSUER: &str = "https://clinic.example/shc";

/// A folder with keys, certificates and records.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("key.json", private_jwk(&es256()).to_string());
        desk.write("eddsa.json", private_jwk(&eddsa()).to_string());
        desk.write("holder-key.json", private_jwk(&holder()).to_string());
        desk.write("holder.json", holder().public_key().to_jwk().to_string());
        let subject = Subject {
            common_name: "Document signer",
            organisation: "Wakaba City",
            country: "JP",
            dns_names: &[],
            uris: &[],
        };
        let valid = AT - DAY_S..=AT + 1000 * DAY_S;
        let (root_key, rng) = (holder_es256(), &mut rand::rng());
        let root = x509::issue_authority(&subject, &root_key, valid.clone(), rng).unwrap();
        for (name, key) in [("signer.pem", es256()), ("other.pem", other())] {
            let key = key.public_key();
            let certificate = x509::issue(&subject, &key, &root, &root_key, valid.clone(), rng);
            desk.write(name, certificate.unwrap().to_pem());
        }
        desk.write(
            "person.json",
            json!({ "family_name": "若葉", "given_name": "花", "family_name_latin": "Wakaba",
            "given_name_latin": "Hana", "birth_date": "2024-10-12" })
            .to_string(),
        );
        desk.write("vaccination.json", json!({ "vaccine_code": "covid_19", "date": "2026-09-20", "dose_number": 2, "series_doses": 2,
            "place": { "name": "みどり小児科クリニック" }, "vaccine_codings": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "208" }] }).to_string());
        desk.write("test.json", json!({ "resourceType": "Observation", "id": "o-1", "status": "final",
            "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory" }] }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "94500-6" }], "text": "SARS-CoV-2 PCR" },
            "subject": { "reference": "Patient/7" }, "effectiveDateTime": "2026-09-20T09:00:00+09:00",
            "valueCodeableConcept": { "coding": [{ "system": "http://snomed.info/sct", "code": "260415000" }] } }).to_string());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Runs the command in the folder; exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tegata"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Issues, and gives what was printed.
    fn issue(&self, arguments: &[&str]) -> String {
        let (code, out, error) = self.run(&[&["issue", "--at", AT_TEXT], arguments].concat());
        assert_eq!(code, 0, "{error}");
        out.trim().to_owned()
    }

    fn hcert(&self, record: &[&str]) -> String {
        let options = [
            "--format",
            "hcert",
            "--key",
            "key.json",
            "--certificate",
            "signer.pem",
            "--issuer",
            "Wakaba City",
            "--person",
            "person.json",
        ];
        self.issue(&[record, &options].concat())
    }

    fn card(&self, more: &[&str]) -> String {
        let options = [
            "--format",
            "shc",
            "--key",
            "key.json",
            "--issuer",
            SHC_ISSUER,
            "--person",
            "person.json",
        ];
        self.issue(&[&options, more].concat())
    }

    /// Verifies a text; exit code and what was found.
    fn verify(&self, text: impl AsRef<[u8]>, arguments: &[&str]) -> (i32, Value) {
        self.write("subject", text);
        let when = match arguments.contains(&"--at") {
            true => &[][..],
            false => &["--at", AT_TEXT][..],
        };
        let (code, out, _) =
            self.run(&[&["verify", "subject", "--json"], when, arguments].concat());
        (code, serde_json::from_str(&out).unwrap())
    }

    #[track_caller]
    fn holds(&self, text: impl AsRef<[u8]>, arguments: &[&str]) -> Value {
        let (code, finding) = self.verify(text, arguments);
        assert_eq!((code, &finding["holds"]), (0, &json!(true)), "{finding:#}");
        finding
    }

    /// Which checks do not hold, with the reason code that each reason begins with.
    #[track_caller]
    fn refused(&self, text: impl AsRef<[u8]>, arguments: &[&str]) -> Vec<(String, String)> {
        let (code, finding) = self.verify(text, arguments);
        assert_eq!(code, 1, "{finding:#}");
        let checks = finding["checks"].as_array().unwrap().iter();
        checks
            .filter(|check| check["holds"] == false)
            .map(|check| {
                let text = |name: &str| check[name].as_str().unwrap().to_owned();
                (
                    text("check"),
                    text("reason").split(' ').next().unwrap().to_owned(),
                )
            })
            .collect()
    }
}

fn es256() -> SigningKey {
    SigningKey::from_bytes(Algorithm::Es256, &[1; 32]).unwrap()
}
fn holder_es256() -> SigningKey {
    SigningKey::from_bytes(Algorithm::Es256, &[9; 32]).unwrap()
}
fn other() -> SigningKey {
    SigningKey::from_bytes(Algorithm::Es256, &[2; 32]).unwrap()
}
fn eddsa() -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[3; 32]).unwrap()
}
fn holder() -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[4; 32]).unwrap()
}

fn private_jwk(key: &SigningKey) -> Value {
    let mut jwk = key.public_key().to_jwk();
    jwk["d"] = jws::encode(&*key.to_bytes()).into();
    jwk
}

fn is(check: &str, code: &str) -> Vec<(String, String)> {
    vec![(check.to_owned(), code.to_owned())]
}

#[test]
fn health_certificates() {
    let desk = Desk::new();
    let vaccination = desk.hcert(&["vaccination.json", "--type", "vaccination"]);
    let test = desk.hcert(&["test.json", "--valid-days", "3"]);
    let trust = ["--trust", "signer.pem"];
    let finding = desk.holds(&vaccination, &trust);
    assert_eq!(
        finding["what"],
        "A health certificate (EU / WHO HCERT) of a vaccination"
    );
    let finding = desk.holds(
        format!("{test}\n"),
        &["--trust", "other.pem", "--trust", "signer.pem"],
    );
    assert_eq!(
        finding["what"],
        "A health certificate (EU / WHO HCERT) of a test"
    );
    assert!(
        finding["facts"].to_string().contains("260415000"),
        "negative"
    );

    assert_eq!(
        desk.refused(&test, &["--trust", "other.pem"]),
        is("signature", "hcert_key_unknown")
    );
    assert_eq!(
        desk.refused(
            &test,
            &["--trust", "signer.pem", "--at", "2026-09-24T14:13:20Z"]
        ),
        is("times", "hcert_expired")
    );
    assert_eq!(
        desk.refused(
            &test,
            &["--trust", "signer.pem", "--at", "2026-09-21T14:00:00Z"]
        ),
        is("times", "hcert_issued_in_future")
    );
    assert_eq!(
        desk.refused(vaccination.replacen("HC1:", "HC1:0", 1), &trust)[0].0,
        "form"
    );
    let (code, finding) = desk.verify(&test, &[]);
    assert_eq!(
        (code, &finding["checks"][0]["holds"]),
        (1, &Value::Null),
        "nobody is believed"
    );
    // A picture of it.
    desk.hcert(&["test.json", "--qr", "code.svg"]);
    assert!(
        std::fs::read_to_string(desk.path("code.svg"))
            .unwrap()
            .contains("<svg")
    );
}

#[test]
fn health_cards() {
    let desk = Desk::new();
    let mut jwk = es256().public_key().to_jwk();
    jwk["kid"] = es256().key_id().into();
    desk.write("jwks.json", json!({ "keys": [jwk] }).to_string());
    desk.write(
        "issuer.json",
        json!({ SHC_ISSUER: { "keys": [jwk] } }).to_string(),
    );
    desk.write(
        "elsewhere.json",
        json!({ "https://elsewhere.example": [jwk] }).to_string(),
    );
    let card = desk.card(&["vaccination.json", "--type", "vaccination"]);
    assert!(card.starts_with("shc:/"));
    for trust in ["jwks.json", "issuer.json", "signer.pem"] {
        desk.holds(&card, &["--trust", trust]);
    }
    assert_eq!(
        desk.refused(&card, &["--trust", "elsewhere.json"]),
        is("signer", "shc_issuer_mismatch")
    );
    assert_eq!(
        desk.refused(&card, &["--trust", "other.pem"]),
        is("signature", "shc_key_unknown")
    );
    let finding = desk.holds(desk.card(&["test.json"]), &["--trust", "jwks.json"]);
    assert!(finding["facts"].to_string().contains("laboratory"));

    let (first, second) = card["shc:/".len()..].split_at(600);
    let both = format!("shc:/1/2/{first}\nshc:/2/2/{second}\n");
    desk.holds(&both, &["--trust", "jwks.json"]);
    assert_eq!(
        desk.refused(format!("shc:/2/2/{second}"), &["--trust", "jwks.json"]),
        is("form", "shc_chunk_missing")
    );

    let revocable = desk.card(&[
        "vaccination.json",
        "--type",
        "vaccination",
        "--revocation-id",
        "r-1",
    ]);
    let (code, finding) = desk.verify(&revocable, &["--trust", "jwks.json"]);
    assert_eq!(
        (code, &finding["checks"][3]["holds"]),
        (1, &Value::Null),
        "{finding:#}"
    );
    let list = |ids: Value| {
        json!({ "kid": es256().key_id(), "method": "rid", "ctr": 1, "rids": ids }).to_string()
    };
    desk.write("none.json", list(json!(["r-2", format!("r-1.{AT}")])));
    for revoking in [format!("r-1.{}.5", AT), "r-1.x".to_owned()] {
        desk.write("revoked.json", list(json!([revoking])));
        let status = ["--trust", "jwks.json", "--status", "revoked.json"];
        assert_eq!(
            desk.refused(&revocable, &status),
            is("not revoked", "revoked"),
            "{revoking}"
        );
    }
    desk.write("revoked.json", list(json!([format!("r-1.{}", AT + 1)])));
    desk.holds(
        &revocable,
        &["--trust", "jwks.json", "--status", "none.json"],
    );
    assert_eq!(
        desk.refused(
            &revocable,
            &["--trust", "jwks.json", "--status", "revoked.json"]
        )[0]
        .0,
        "not revoked"
    );
    let jws = tegata_credential::smart_health_card::from_qr(&card).unwrap();
    let file = json!({ "verifiableCredential": [jws] }).to_string();
    desk.holds(&file, &["--trust", "jwks.json"]);
}

#[test]
fn credentials_and_presentations() {
    let desk = Desk::new();
    desk.write(
        "issuer.json",
        json!({ "did:web:clinic.example": [eddsa().public_key().to_jwk()] }).to_string(),
    );
    let did = json!({ "id": "did:web:clinic.example", "verificationMethod": [{ "id": "#key-1", "type": "JsonWebKey",
        "controller": "did:web:clinic.example", "publicKeyJwk": eddsa().public_key().to_jwk() }], "assertionMethod": ["#key-1"] });
    desk.write("did.json", did.to_string());
    let issuance = StatusListIssuance {
        uri: STATUS,
        issuer: None,
        issued_at: AT,
        expires_at: Some(AT + DAY_S),
        ttl_s: None,
    };
    let list = |status| StatusList::from_entries(1, 100, [(7, status)]).unwrap();
    desk.write("valid.jwt", sign(&list(Status::Valid), &issuance, &eddsa()));
    let cwt = |status| sign_cwt(&list(status), &issuance, &eddsa());
    desk.write("valid.cwt", cwt(Status::Valid));
    desk.write("revoked.cwt", cwt(Status::Invalid));
    let reference = format!("{STATUS}#7");
    let credential = desk.issue(&[
        "vaccination.json",
        "--type",
        "vaccination",
        "--format",
        "sd-jwt-vc",
        "--key",
        "eddsa.json",
        "--issuer",
        "did:web:clinic.example",
        "--holder",
        "holder.json",
        "--status",
        &reference,
        "--valid-days",
        "30",
    ]);
    for (trust, status) in [("issuer.json", "valid.jwt"), ("did.json", "valid.cwt")] {
        desk.holds(&credential, &["--trust", trust, "--status", status]);
    }
    assert_eq!(
        desk.refused(
            &credential,
            &["--trust", "issuer.json", "--status", "revoked.cwt"]
        )[0]
        .0,
        "not revoked"
    );
    // A key is meant by the id that its list gives it, too; one whose time is over is known, and counts no more.
    let mut named = eddsa().public_key().to_jwk();
    named["exp"] = (AT - 1).into();
    let over = json!({ "did:web:clinic.example": [named] });
    desk.write("over.json", over.to_string());
    assert_eq!(
        desk.refused(&credential, &["--trust", "over.json"]),
        is("issuer signature", "issuer_key_unknown")
    );
    desk.write("subject", &credential);
    for (option, name, words) in [
        ("--status", "person.json", "neither a status list"),
        ("--trust", "eddsa.json", "this is a secret key"),
    ] {
        let (code, _, error) = desk.run(&["verify", "subject", option, name]);
        assert_eq!(code, 2);
        assert!(error.contains(words), "{error}");
    }
    let late = [
        "--trust",
        "issuer.json",
        "--status",
        "valid.jwt",
        "--at",
        "2026-11-01T00:00:00Z",
    ];
    assert_eq!(
        desk.refused(&credential, &late),
        is("issuer signature", "expired")
    );

    desk.write("credential", &credential);
    desk.write("code.txt", "HC1:ABC");
    let present = [
        "present",
        "credential",
        "--show",
        "date",
        "--key",
        "holder-key.json",
        "--audience",
        "https://venue.example",
        "--nonce",
        "n-1",
        "--at",
        AT_TEXT,
    ];
    let (code, shown, error) = desk.run(&present);
    assert_eq!(code, 0, "{error}");
    let finding = desk.holds(
        shown.trim(),
        &["--trust", "issuer.json", "--status", "valid.cwt"],
    );
    assert!(
        finding["what"]
            .as_str()
            .unwrap()
            .starts_with("A presentation")
    );
    let facts = finding["facts"].to_string();
    assert!(
        facts.contains("2026-09-20") && !facts.contains("covid_19"),
        "{facts}"
    );
    let (_, without, _) = desk.run(&["present", "credential", "--show", "vaccine_code"]);
    desk.holds(
        without.trim(),
        &["--trust", "issuer.json", "--status", "valid.jwt"],
    );
    for (arguments, words) in [
        (
            &["present", "credential", "--show", "colour"][..],
            "claim_missing",
        ),
        (
            &[
                "present",
                "credential",
                "--key",
                "eddsa.json",
                "--audience",
                "a",
                "--nonce",
                "n",
            ],
            "holder_key_mismatch",
        ),
        (&["present", "code.txt"], "malformed"),
        (
            &["present", "credential", "--key", "holder-key.json"],
            "--audience",
        ),
    ] {
        let (code, out, error) = desk.run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(error.contains(words), "{error}");
    }

    let finding = desk.holds(cwt(Status::Invalid), &["--trust", "did.json"]);
    assert_eq!(finding["what"], "A status list (Token Status List, CWT)");
    assert!(
        finding["facts"]
            .to_string()
            .contains(r#"{"name":"revoked","value":"1"}"#)
    );
    desk.holds(hex::encode(cwt(Status::Valid)), &["--trust", "did.json"]);
    assert_eq!(
        desk.refused(
            cwt(Status::Valid),
            &["--trust", "did.json", "--at", "2026-10-01T00:00:00Z"]
        ),
        is("signature", "status_list_expired")
    );
}

/// A document's own names of its keys are as good as their thumbprints, in all that the keys sign.
#[test]
fn keys_are_meant_by_the_names_of_their_document() {
    const DID: &str = "did:web:clinic.example";
    let desk = Desk::new();
    let did = json!({ "id": DID, "verificationMethod": [{ "id": "#key-1", "type": "JsonWebKey", "controller": DID,
        "publicKeyJwk": eddsa().public_key().to_jwk() }], "assertionMethod": ["#key-1"] });
    desk.write("did.json", did.to_string());
    let method = format!("{DID}#key-1");
    let object = |value: Value| value.as_object().unwrap().clone();
    let signed = |typ: &str, payload: Value| {
        let header = json!({ "typ": typ, "kid": method });
        jws::sign_with_header(object(header), &object(payload), &eddsa())
    };
    let list = StatusList::from_entries(1, 100, []).unwrap();
    let issuance = StatusListIssuance {
        uri: STATUS,
        issuer: None,
        issued_at: AT,
        expires_at: Some(AT + DAY_S),
        ttl_s: None,
    };
    let list = sign(&list, &issuance, &eddsa());
    let payload = jws::decode(list.split('.').nth(1).unwrap()).unwrap();
    let list = signed("statuslist+jwt", serde_json::from_slice(&payload).unwrap());
    desk.write("list.jwt", &list);
    let vct = "urn:tegata:record:vaccination:1";
    let credential = json!({ "iss": DID, "vct": vct, "iat": AT, "date": "2026-09-20", "vaccine_code": "mr",
        "status": { "status_list": { "uri": STATUS, "idx": 7 } } });
    let credential = format!("{}~", signed("dc+sd-jwt", credential));
    desk.holds(
        &credential,
        &["--trust", "did.json", "--status", "list.jwt"],
    );
    desk.holds(&list, &["--trust", "did.json"]);
    let query = json!({ "id": "v", "format": "dc+sd-jwt", "meta": { "vct_values": [vct] } });
    let request = json!({
        "client_id": format!("decentralized_identifier:{DID}"), "aud": WALLET_AUDIENCE, "nonce": "n-1",
        "response_type": "vp_token", "response_mode": "direct_post", "response_uri": "https://clinic.example/answers",
        "iat": AT, "dcql_query": { "credentials": [query] },
    });
    let request = sign_request(&object(request), KeyName::DidUrl(&method), &eddsa());
    let (_, finding) = desk.verify(request, &["--trust", "did.json"]);
    let checks = finding["checks"].as_array().unwrap();
    let signature = checks.iter().find(|check| check["check"] == "signature");
    assert_eq!(signature.unwrap()["holds"], true, "{finding:#}");
}

/// Only the authority is named; the credential carries the way to it.
#[test]
fn a_chain_of_certificates_leads_to_whom_one_believes() {
    let desk = Desk::new();
    let mut rng = rand::rng();
    let valid = AT - DAY_S..=AT + 1000 * DAY_S;
    let subject = |name, uris| Subject {
        common_name: name,
        organisation: "Wakaba City",
        country: "JP",
        dns_names: &[],
        uris,
    };
    let root =
        x509::issue_authority(&subject("Root", &[]), &other(), valid.clone(), &mut rng).unwrap();
    let named = subject("Clinic", &["https://clinic.example"]);
    let leaf = x509::issue(
        &named,
        &es256().public_key(),
        &root,
        &other(),
        valid,
        &mut rng,
    )
    .unwrap();
    desk.write("root.pem", root.to_pem());
    desk.write("leaf.pem", leaf.to_pem());
    let list = StatusList::from_entries(1, 8, []).unwrap();
    let issuance = StatusListIssuance {
        uri: STATUS,
        issuer: None,
        issued_at: AT,
        expires_at: None,
        ttl_s: None,
    };
    desk.write("list", sign(&list, &issuance, &es256()));
    let reference = format!("{STATUS}#1");
    let issue = |issuer: &str| {
        desk.issue(&[
            "vaccination.json",
            "--type",
            "vaccination",
            "--format",
            "sd-jwt-vc",
            "--key",
            "key.json",
            "--issuer",
            issuer,
            "--certificate",
            "leaf.pem",
            "--status",
            &reference,
        ])
    };
    // The key of the list is named.
    let named = [
        "--trust", "root.pem", "--trust", "leaf.pem", "--status", "list",
    ];
    desk.holds(issue("https://clinic.example"), &named);
    // Where it is signed with the key that the chain led to, the chain leads to the list as well.
    desk.holds(
        issue("https://clinic.example"),
        &["--trust", "root.pem", "--status", "list"],
    );
    let credential = issue("https://clinic.example");
    let (_, finding) = desk.verify(&credential, &["--trust", "root.pem"]);
    assert_eq!(finding["checks"][0]["holds"], true, "{finding:#}");
    assert_eq!(
        desk.refused(issue("https://elsewhere.example"), &["--trust", "root.pem"])[0].0,
        "issuer signature"
    );
    assert_eq!(
        desk.refused(&credential, &["--trust", "other.pem"]),
        is("issuer signature", "x509_untrusted")
    );
    let late = ["--trust", "root.pem", "--at", "2030-01-01T00:00:00Z"];
    assert_eq!(
        desk.refused(&credential, &late),
        is("issuer signature", "x509_outside_validity")
    );
}

#[test]
fn jwts_of_any_type_are_told_apart() {
    let desk = Desk::new();
    desk.write(
        "issuer.json",
        json!({ "https://venue.example": [eddsa().public_key().to_jwk()] }).to_string(),
    );
    let jwt = |typ: &str, exp: i64| {
        let header = json!({ "typ": typ, "kid": eddsa().key_id() })
            .as_object()
            .unwrap()
            .clone();
        let payload = json!({ "iss": "https://venue.example", "iat": AT, "exp": exp })
            .as_object()
            .unwrap()
            .clone();
        jws::sign_with_header(header, &payload, &eddsa())
    };
    let finding = desk.holds(jwt("example+jwt", AT + 10), &["--trust", "issuer.json"]);
    assert_eq!(finding["what"], "A signed JWT of type example+jwt");
    assert_eq!(
        desk.refused(jwt("x", AT), &["--trust", "issuer.json"]),
        is("times", "expired")
    );
    // Times that are no numbers say nothing, and what has rules of its own is not judged by those of any JWT.
    let mut named = eddsa().public_key().to_jwk();
    named["kid"] = "key-1".into();
    desk.write(
        "named.json",
        json!({ "https://venue.example": [named] }).to_string(),
    );
    let payload = json!({ "iss": "https://venue.example" });
    let header = json!({ "kid": "key-1" });
    let by_name = jws::sign_with_header(
        header.as_object().unwrap().clone(),
        payload.as_object().unwrap(),
        &eddsa(),
    );
    desk.holds(&by_name, &["--trust", "named.json"]);
    let (code, _) = desk.verify(&by_name, &["--trust", "issuer.json"]);
    assert_eq!(code, 1, "no list calls a key so");
    let with = |more: Value| {
        let header = json!({ "typ": "JWT", "kid": eddsa().key_id() });
        let mut payload = json!({ "iss": "https://venue.example", "iat": AT });
        for (name, value) in more.as_object().unwrap() {
            payload[name] = value.clone();
        }
        let object = |value: &Value| value.as_object().unwrap().clone();
        jws::sign_with_header(object(&header), &object(&payload), &eddsa())
    };
    let trust = ["--trust", "issuer.json"];
    for (more, code) in [
        (json!({ "exp": (AT - 9) as f64 + 0.5 }), "expired"),
        (json!({ "exp": 1e3 }), "expired"),
        (json!({ "exp": "2027-01-01" }), "claim_invalid"),
        (json!({ "exp": null }), "claim_invalid"),
        (json!({ "nbf": (AT + 900) as f64 + 0.5 }), "not_yet_valid"),
        (json!({ "iat": (AT + 900) as f64 + 0.5 }), "not_yet_valid"),
    ] {
        assert_eq!(desk.refused(with(more), &trust), is("times", code));
    }
    for claim in [
        "vc",
        "validUntil",
        "credentialStatus",
        "status",
        "sd_hash",
        "issuer",
        "holder",
        "credentialSubject",
        "verifiableCredential",
        "cnf",
    ] {
        let (code, finding) = desk.verify(with(json!({ claim: "x" })), &trust);
        assert_eq!(
            (code, &finding["holds"]),
            (1, &json!(false)),
            "{claim}: not checked"
        );
    }
    let proof = json!({ "typ": "openid4vci-proof+jwt", "jwk": eddsa().public_key().to_jwk() });
    let proof = jws::sign_with_header(
        proof.as_object().unwrap().clone(),
        &Default::default(),
        &eddsa(),
    );
    let (code, finding) = desk.verify(proof, &[]);
    assert_eq!((code, &finding["checks"][0]["holds"]), (1, &json!(true)));
    assert_eq!(
        finding["checks"][1]["holds"],
        Value::Null,
        "nobody vouches for the key"
    );
    let altered = jwt("x", AT + 10).replacen('.', ".A", 1);
    assert_eq!(
        desk.refused(altered, &["--trust", "issuer.json"])[0].0,
        "form"
    );
    let header = jws::encode(br#"{"alg":"none"}"#);
    assert_eq!(
        desk.refused(format!("{header}.e30."), &["--trust", "issuer.json"]),
        is("form", "alg_none")
    );
}

/// A file's words stay on their lines, and are no orders to the terminal.
#[test]
fn a_file_does_not_write_its_own_verdict() {
    let desk = Desk::new();
    let forged = "x\n✓ issuer signature: by City\nEverything holds.\u{1b}[8m";
    let header = json!({ "typ": forged }).as_object().unwrap().clone();
    let payload = json!({ "iss": forged }).as_object().unwrap().clone();
    desk.write("jwt", jws::sign_with_header(header, &payload, &eddsa()));
    let (code, out, _) = desk.run(&["verify", "jwt"]);
    assert_eq!(code, 1);
    assert!(!out.contains('\u{1b}') && !out.contains("\n✓"), "{out:?}");
    assert!(
        out.ends_with("\nNOT everything holds.\n"),
        "the verdict is ours: {out:?}"
    );
}

/// Who gives something else than a credential hears what it is, and what to do.
#[test]
fn what_nobody_signed_is_called_by_its_name() {
    let desk = Desk::new();
    desk.hcert(&["test.json", "--qr", "code.svg"]);
    let pem = std::fs::read_to_string(desk.path("signer.pem")).unwrap();
    let der = x509::Certificate::from_pem(&pem).unwrap();
    desk.write("signer.der", der.der());
    desk.write("text", "hello");
    desk.write("cbor", [0x82, 0xf5, 0x41, 0xff]);
    for (name, words) in [
        ("signer.pem", "a certificate of"),
        ("signer.der", "name the file with --trust"),
        ("key.json", "a secret key: keep it to yourself"),
        ("holder.json", "these are keys"),
        ("code.svg", "scan the QR code"),
        ("test.json", "a FHIR resource (Observation)"),
        ("cbor", "of another kind, or was altered"),
        ("text", "this is none of"),
    ] {
        let (code, out, error) = desk.run(&["verify", name]);
        assert_eq!((code, out.as_str()), (2, ""), "{name}");
        assert!(error.contains(words), "{name}: {error}");
        let secret = jws::encode(&*es256().to_bytes());
        assert!(!error.contains(&secret), "{name}");
    }
    let (_, finding) = desk.verify(desk.card(&["test.json"]), &[]);
    let hint = finding["checks"][0]["reason"].as_str().unwrap();
    assert!(
        hint.contains(&format!("{SHC_ISSUER}/.well-known/jwks.json")),
        "{hint}"
    );
}

#[test]
fn times_are_said_and_read_as_people_write_them() {
    let desk = Desk::new();
    let test = desk.hcert(&["test.json", "--valid-days", "3"]);
    desk.holds(&test, &["--trust", "signer.pem", "--at", "2026-09-22"]);
    let (code, finding) = desk.verify(&test, &["--trust", "signer.pem", "--at", "2026-10-01"]);
    assert_eq!(
        (code, &finding["checks"][0]["code"]),
        (1, &json!("hcert_expired"))
    );
    let reason = finding["checks"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("2026-09-24T14:13:20Z") && reason.contains("2026-10-01T00:00:00Z"),
        "{reason}"
    );
    for wrong in ["2026-13-01", "tomorrow", "1790000000"] {
        let (code, _, error) = desk.run(&["verify", "test.json", "--at", wrong]);
        assert_eq!(code, 2);
        assert!(error.contains("2026-12-01T09:30:00+09:00"), "{error}");
    }
}

/// Whatever byte of an artefact changes, it is refused, and nothing panics.
#[test]
fn no_altered_code_holds() {
    let desk = Desk::new();
    let trust = std::fs::read(desk.path("signer.pem")).unwrap();
    let list = tegata_credential::trust_list::TrustList::parse(&trust).unwrap();
    let trust = tegata::verify::Trust::at(u64::try_from(AT).unwrap() * 1000).with_keys(list);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for text in [desk.hcert(&["test.json"]), desk.card(&["test.json"])] {
        let look =
            |text: &str| runtime.block_on(tegata::verify::recognise(text.as_bytes(), &trust));
        assert!(look(&text).unwrap().holds());
        for place in 5..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[place] = match altered[place] {
                b'0' => b'1',
                _ => b'0',
            };
            let altered = String::from_utf8(altered).unwrap();
            assert!(
                !look(&altered).is_some_and(|finding| finding.holds()),
                "character {place}"
            );
        }
    }
}

#[test]
fn what_cannot_be_issued_is_said() {
    let desk = Desk::new();
    let future = json!({ "vaccine_code": "mr", "date": "2036-04-01" });
    desk.write("future.json", future.to_string());
    desk.write("wrong.json", r#"{"vaccine_code":"covid_19","dat":"x"}"#);
    desk.write("short.json", r#"{"vaccine_code":"mr","date":"2026-09-20"}"#);
    desk.write("twice.json", r#"{"date":"2026-09-20","date":"2026-09-21"}"#);
    let hcert = [
        "--format",
        "hcert",
        "--key",
        "key.json",
        "--certificate",
        "signer.pem",
        "--issuer",
        "x",
        "--person",
        "person.json",
    ];
    let shc = [
        "--format",
        "shc",
        "--key",
        "key.json",
        "--issuer",
        "http://clinic.example",
        "--person",
        "person.json",
    ];
    let sd_jwt = [
        "--format",
        "sd-jwt-vc",
        "--key",
        "key.json",
        "--issuer",
        "x",
    ];
    let vaccination = ["vaccination.json", "--type", "vaccination"];
    let late = ["--at", "2030-01-01T00:00:00Z"];
    let status = format!("{STATUS}#1");
    let status = ["--status", status.as_str()];
    let holder = ["--holder", "holder.json"];
    let person = ["--person", "person.json"];
    for (arguments, words) in [
        (
            [&vaccination[..], &hcert, &late].concat(),
            "x509_outside_validity",
        ),
        (
            [&["test.json", "--type", "vaccination"][..], &hcert].concat(),
            "the resource is of type",
        ),
        (
            [&vaccination[..], &hcert, &status].concat(),
            "--status does nothing in hcert",
        ),
        (
            [&vaccination[..], &shc, &holder].concat(),
            "--holder does nothing in shc",
        ),
        (
            [&vaccination[..], &sd_jwt, &person].concat(),
            "--person does nothing in sd-jwt-vc",
        ),
        (
            [&vaccination[..], &shc, &["--certificate", "signer.pem"]].concat(),
            "--certificate does nothing in shc",
        ),
        (
            [&vaccination[..], &shc, &["--country", "JP"]].concat(),
            "--country does nothing in shc",
        ),
        (
            [&vaccination[..], &sd_jwt, &["--id", "x"]].concat(),
            "--id does nothing in sd-jwt-vc",
        ),
        ([&vaccination[..], &hcert, &["--id", ""]].concat(), "--id"),
        (
            [&vaccination[..], &sd_jwt, &["--status", "#1"]].concat(),
            "there is no URI",
        ),
        (
            [
                &["future.json", "--type", "vaccination"][..],
                &sd_jwt,
                &["--at", AT_TEXT],
            ]
            .concat(),
            "in the future",
        ),
        (
            [&["vaccination.json"][..], &sd_jwt].concat(),
            "--type is needed",
        ),
        (
            [&["vaccination.json", "--type", "x"][..], &sd_jwt].concat(),
            "the types are vaccination,",
        ),
        (
            [&["wrong.json", "--type", "vaccination"][..], &sd_jwt].concat(),
            "not a record of type vaccination",
        ),
        (
            [&["twice.json", "--type", "vaccination"][..], &sd_jwt].concat(),
            "is there twice",
        ),
        (
            [&["missing.json", "--type", "vaccination"][..], &sd_jwt].concat(),
            "missing.json: No such file",
        ),
        (
            [&["short.json", "--type", "vaccination"][..], &hcert].concat(),
            "dcc_claim_missing",
        ),
        ([&vaccination[..], &shc].concat(), "shc_issuer_invalid"),
        (
            [&vaccination[..], &hcert[..8]].concat(),
            "--person is needed",
        ),
        (
            [&vaccination[..], &hcert[..4], &["--issuer", "x"]].concat(),
            "--certificate",
        ),
        (
            [
                &vaccination[..],
                &[
                    "--format",
                    "hcert",
                    "--key",
                    "eddsa.json",
                    "--certificate",
                    "signer.pem",
                    "--issuer",
                    "x",
                    "--person",
                    "person.json",
                ],
            ]
            .concat(),
            "not that of --key",
        ),
        (
            [
                &vaccination[..],
                &[
                    "--format",
                    "shc",
                    "--key",
                    "eddsa.json",
                    "--issuer",
                    SHC_ISSUER,
                    "--person",
                    "person.json",
                ],
            ]
            .concat(),
            "shc_alg_unsupported",
        ),
        (
            [
                &vaccination[..],
                &[
                    "--format",
                    "sd-jwt-vc",
                    "--key",
                    "person.json",
                    "--issuer",
                    "x",
                ],
            ]
            .concat(),
            "person.json: JWK member `kty`",
        ),
        (
            [
                &vaccination[..],
                &["--format", "sd-jwt-vc", "--key", "eddsa.json"],
                &["--issuer", "Midori"],
            ]
            .concat(),
            "--issuer is neither a URL nor a DID",
        ),
        (
            [&vaccination[..], &hcert, &["--country", "XX"]].concat(),
            "`country` is no country of ISO 3166-1",
        ),
        (
            [&vaccination[..], &hcert, &["--at", "1999-01-01T00:00:00Z"]].concat(),
            "`date` is in the future",
        ),
    ] {
        let (code, out, error) = desk.run(&[&["issue"][..], &arguments].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    let missing =
        |path: &Path| desk.run(&["verify", "person.json", "--trust", path.to_str().unwrap()]);
    let (code, _, error) = missing(&desk.path("person.json"));
    assert_eq!(code, 2);
    assert!(error.contains("trust_list_malformed"), "{error}");
}

#[test]
fn both_are_in_help_and_completions() {
    let desk = Desk::new();
    for command in ["issue", "present"] {
        let (code, out, _) = desk.run(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(
            out.contains("--key <FILE>") && out.contains("--at <TIME>"),
            "{out}"
        );
    }
    let (_, out, _) = desk.run(&["completions", "bash"]);
    assert!(out.contains("tegata,present)") && out.contains("sd-jwt-vc hcert shc"));
}
