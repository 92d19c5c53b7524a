//! What is checked offline, against software of others, both ways: health certificates and status lists in their CWT form with
//! PyPI `cwt`, `pycose` and `base45`; SMART Health Cards with npm `jose`; SD-JWT VC with PyPI `sd-jwt`. Needs `npm ci` in
//! `tests/interop` and the packages of `tests/interop/requirements.txt` for the Python that `TEGATA_PYTHON` names
//! (default: the virtual environment that `make setup` makes).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use common::{FixedBytes, key};
use serde_json::{Value, json};
use tegata_credential::hcert::{self, Hcert, HcertIssuance};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::sd_jwt::{Issuance, KeyBinding, KeyBindingPolicy, Path, SdJwt, issue};
use tegata_credential::smart_health_card::{self as shc, ShcIssuance, SmartHealthCard};
use tegata_credential::status_list::{
    Status, StatusList, StatusListCwt, StatusListIssuance, sign_cwt,
};
use tegata_credential::trust_list::{TrustList, TrustedKey};

const AT: i64 = 1_760_000_000;
const URI: &str = "https://a.example/status/1";
const KEY_ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// A running script of another's software.
struct Other {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    fn start(program: &str, script: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop");
        let mut child = Command::new(program)
            .arg(script)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} {script}: {error}; run `make setup`"));
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdin,
            stdout,
        }
    }

    fn python(script: &str) -> Self {
        let python = std::env::var("TEGATA_PYTHON").unwrap_or_else(|_| {
            let home = std::env::var("HOME").unwrap_or_default();
            format!("{home}/.cache/tegata/venv/bin/python")
        });
        Self::start(&python, script)
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.stdin, "{request}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("no answer to {}; run `make setup`", request["op"]))
    }

    fn expect(&mut self, request: &Value) -> Value {
        let answer = self.ask(request);
        assert!(answer.get("error").is_none(), "{}: {answer}", request["op"]);
        answer
    }

    fn refuses(&mut self, request: &Value, what: &str) {
        assert!(self.ask(request).get("error").is_some(), "{what}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn issuer() -> SigningKey {
    key(Algorithm::Es256, 1)
}

fn private_jwk(key: &SigningKey) -> Value {
    let mut jwk = key.public_key().to_jwk();
    jwk["d"] = common::b64(*key.to_bytes()).into();
    jwk
}

fn dcc() -> Value {
    json!({ "ver": "1.3.0", "dob": "2024-10-12",
        "nam": { "fn": "若葉", "fnt": "WAKABA", "gn": "花", "gnt": "HANA" },
        "v": [{ "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215",
            "dn": 2, "sd": 2, "dt": "2025-10-01", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:3F2A" }] })
}

/// A list with one key, called by an 8-byte id as EU trust lists do.
fn trusted(mut jwk: Value) -> TrustList {
    jwk["kid"] = base64::engine::general_purpose::STANDARD
        .encode(KEY_ID)
        .into();
    TrustList::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap()
}

#[test]
fn our_health_certificates_are_read_by_pypi() {
    let mut pypi = Other::python("cose.py");
    let payload = dcc();
    let issuance = HcertIssuance {
        issuer: "JP",
        issued_at: AT,
        expires_at: AT + 1000,
        key_id: KEY_ID,
        payload: &payload,
    };
    let text = hcert::issue(&issuance, &issuer()).unwrap();
    let read = |text: &str, key: &SigningKey| json!({ "op": "read_hcert", "text": text, "jwk": key.public_key().to_jwk() });
    let answer = pypi.expect(&read(&text, &issuer()));
    assert_eq!(
        answer["claims"],
        json!({ "1": "JP", "4": AT + 1000, "6": AT, "-260": { "1": payload } })
    );
    assert_eq!(answer["kid"], hex::encode(KEY_ID));
    pypi.refuses(&read(&text, &key(Algorithm::Es256, 2)), "another key");
    let altered = text.replacen('8', "9", 1);
    pypi.refuses(&read(&altered, &issuer()), "altered");
}

#[test]
fn pypis_health_certificates_are_read_by_us() {
    let mut pypi = Other::python("cose.py");
    let claims = json!({ "iss": "JP", "iat": AT, "exp": AT + 1000, "hcert": dcc() });
    let read = |text: &Value, jwk: Value| {
        Hcert::parse(text.as_str().unwrap())
            .and_then(|hcert| {
                hcert
                    .verify(&trusted(jwk), AT)
                    .map(|verified| verified.payload().clone())
            })
            .map_err(|error| error.code())
    };
    let es256 = pypi.expect(&json!({ "op": "issue_hcert", "jwk": private_jwk(&issuer()), "kid": hex::encode(KEY_ID), "claims": claims }));
    assert_eq!(
        read(&es256["text"], issuer().public_key().to_jwk()),
        Ok(dcc())
    );
    let other = key(Algorithm::Es256, 2).public_key().to_jwk();
    assert_eq!(read(&es256["text"], other), Err("hcert_signature_invalid"));

    for bits in [2048, 3072] {
        let ps256 = pypi.expect(&json!({ "op": "issue_hcert_ps256", "bits": bits, "kid": hex::encode(KEY_ID), "claims": claims }));
        assert_eq!(read(&ps256["text"], ps256["jwk"].clone()), Ok(dcc()));
        let mut other = ps256["jwk"].clone();
        let n = other["n"]
            .as_str()
            .unwrap()
            .replacen(|c: char| c.is_ascii_lowercase(), "B", 1);
        other["n"] = n.into();
        assert_eq!(read(&ps256["text"], other), Err("hcert_signature_invalid"));
        assert_eq!(
            read(&ps256["text"], issuer().public_key().to_jwk()),
            Err("hcert_alg_mismatch")
        );
    }
}

#[test]
fn status_lists_in_their_cwt_form_both_ways() {
    let mut pypi = Other::python("cose.py");
    for bits in [1u8, 2, 4, 8] {
        let top = u8::MAX >> (8 - bits);
        let entries = [
            (0, Status::Invalid),
            (77, Status::from(top)),
            (999, Status::Invalid),
        ];
        let list = StatusList::from_entries(bits, 1000, entries).unwrap();
        let issuance = StatusListIssuance {
            uri: URI,
            issuer: None,
            issued_at: AT,
            expires_at: Some(AT + 9),
            ttl_s: Some(5),
        };
        let token = hex::encode(sign_cwt(&list, &issuance, &issuer()));
        let read = |jwk: Value| json!({ "op": "read_status_list", "token": token, "jwk": jwk, "indexes": [0, 1, 77, 999] });
        let answer = pypi.expect(&read(issuer().public_key().to_jwk()));
        assert_eq!(
            answer,
            json!({ "statuses": [1, 0, top, 1], "uri": URI, "iat": AT,
            "typ": "application/statuslist+cwt", "kid": issuer().key_id() })
        );
        pypi.refuses(
            &read(key(Algorithm::Es256, 2).public_key().to_jwk()),
            "another key",
        );
    }
    let answer = pypi.expect(
        &json!({ "op": "issue_status_list", "jwk": private_jwk(&issuer()), "kid": "12", "bits": 2,
        "uri": URI, "iat": AT, "statuses": [0, 1, 2, 3, 0, 0, 1, 0] }),
    );
    let token = hex::decode(answer["token"].as_str().unwrap()).unwrap();
    let list = StatusListCwt::parse(&token)
        .unwrap()
        .verify(&issuer().public_key(), URI, AT)
        .unwrap();
    let statuses: Vec<u8> = (0..8)
        .map(|index| list.status_at(index).unwrap().value())
        .collect();
    assert_eq!(statuses, [0, 1, 2, 3, 0, 0, 1, 0]);
}

fn bundle() -> Value {
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Wakaba", "given": ["Hana"] }], "birthDate": "2024-10-12" });
    let shot = json!({ "resourceType": "Immunization", "status": "completed", "occurrenceDateTime": "2025-10-01",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }] } });
    shc::bundle(&patient, &[shot]).unwrap()
}

#[test]
fn smart_health_cards_both_ways_with_npm_jose() {
    let mut npm = Other::start("node", "smart-health-card.mjs");
    let bundle = bundle();
    let issuance = ShcIssuance {
        issuer: "https://clinic.example/shc",
        issued_at: AT,
        expires_at: None,
        types: &[shc::TYPE_IMMUNIZATION],
        revocation_id: None,
        bundle: &bundle,
    };
    let qr = shc::to_qr(&shc::issue(&issuance, &issuer()).unwrap()).unwrap();
    let jwks = |key: &SigningKey| {
        let mut jwk = key.public_key().to_jwk();
        jwk["kid"] = key.key_id().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = "ES256".into();
        json!({ "keys": [jwk] })
    };
    let answer = npm.expect(&json!({ "op": "read", "qr": qr, "jwks": jwks(&issuer()) }));
    assert_eq!(
        answer["header"],
        json!({ "alg": "ES256", "zip": "DEF", "kid": issuer().key_id() })
    );
    assert_eq!(
        answer["claims"]["vc"]["credentialSubject"]["fhirBundle"],
        bundle
    );
    npm.refuses(
        &json!({ "op": "read", "qr": qr, "jwks": jwks(&key(Algorithm::Es256, 2)) }),
        "another key",
    );

    let answer = npm.expect(
        &json!({ "op": "issue", "jwk": private_jwk(&issuer()), "claims": answer["claims"] }),
    );
    assert_eq!(answer["kid"], issuer().key_id());
    let card = shc::from_qr(answer["qr"].as_str().unwrap()).unwrap();
    let trusted: TrustList = [TrustedKey::new(
        issuer().public_key(),
        Some("https://clinic.example/shc"),
    )]
    .into_iter()
    .collect();
    let verified = SmartHealthCard::parse(&card).unwrap();
    assert_eq!(verified.verify(&trusted, AT).unwrap().bundle(), &bundle);
}

fn claims() -> Value {
    json!({ "vaccine_code": "mr", "date": "2025-04-01", "place": { "name": "さくらクリニック" }, "dose_number": 1 })
}

/// Those of issuer and holder.
fn algorithms() -> [(Algorithm, Algorithm); 4] {
    let (a, b) = (Algorithm::Es256, Algorithm::EdDsa);
    [(a, a), (a, b), (b, a), (b, b)]
}

#[test]
fn our_credentials_are_verified_and_presented_by_pypi() {
    let mut pypi = Other::python("sd_jwt_python.py");
    for (algorithm, of_holder) in algorithms() {
        let (issuer, holder) = (key(algorithm, 1), key(of_holder, 2));
        let (claims, holder_public) = (claims(), holder.public_key());
        let paths: [Path; 3] = [
            "vaccine_code".into(),
            "date".into(),
            Path::new(["place", "name"]),
        ];
        let issuance = Issuance {
            disclosable: &paths,
            holder: Some(&holder_public),
            ..Issuance::new(
                "https://a.example",
                "urn:tegata:record:vaccination:1",
                AT,
                &claims,
            )
        };
        let credential = issue(&issuance, &issuer, &mut FixedBytes(1)).unwrap();
        let issuer_jwk = issuer.public_key().to_jwk();
        let verify = |sd_jwt: &str, nonce: Option<&str>| {
            let audience = nonce.map(|_| "https://v.example");
            json!({ "op": "verify", "sd_jwt": sd_jwt, "issuer": issuer_jwk, "nonce": nonce, "audience": audience })
        };
        let answer = pypi.expect(&verify(&credential, None));
        for (name, value) in claims.as_object().unwrap() {
            assert_eq!(&answer["payload"][name], value, "{name}");
        }
        let binding = KeyBinding::new("https://v.example", "n-1", AT);
        let shown = SdJwt::parse(&credential)
            .unwrap()
            .present(&["date".into()], &binding, &holder)
            .unwrap();
        let answer = pypi.expect(&verify(&shown, Some("n-1")));
        assert_eq!(answer["payload"]["date"], claims["date"]);
        assert_eq!(answer["payload"].get("vaccine_code"), None);
        pypi.refuses(&verify(&shown, Some("n-2")), "another nonce");
        pypi.refuses(&verify(&credential, Some("n-1")), "no key binding");
        pypi.refuses(
            &verify(&shown.replacen("~W", "~X", 1), Some("n-1")),
            "altered",
        );

        let by_pypi = pypi.expect(
            &json!({ "op": "present", "sd_jwt": credential, "holder": private_jwk(&holder),
            "show": ["vaccine_code"], "nonce": "n-3", "audience": "https://v.example" }),
        );
        let by_pypi = by_pypi["sd_jwt"].as_str().unwrap();
        let binding: Value = {
            let payload = by_pypi
                .rsplit('~')
                .next()
                .unwrap()
                .split('.')
                .nth(1)
                .unwrap();
            serde_json::from_slice(&common::unb64(payload)).unwrap()
        };
        let policy = KeyBindingPolicy {
            audience: "https://v.example",
            nonce: "n-3",
            max_age_s: 60,
        };
        let at = binding["iat"].as_i64().unwrap();
        let verified = SdJwt::parse(by_pypi)
            .unwrap()
            .verify_with_key_binding(&issuer.public_key(), &policy, at)
            .unwrap();
        assert_eq!(verified.credential().claims()["vaccine_code"], "mr");
        assert_eq!(verified.credential().claims().get("date"), None);
    }
}

#[test]
fn pypis_credentials_are_verified_and_presented_by_us() {
    let mut pypi = Other::python("sd_jwt_python.py");
    for (algorithm, of_holder) in algorithms() {
        let (issuer, holder) = (key(algorithm, 1), key(of_holder, 2));
        let mut payload = claims();
        payload["iss"] = "https://a.example".into();
        payload["iat"] = AT.into();
        payload["vct"] = "urn:tegata:record:vaccination:1".into();
        let answer = pypi.expect(&json!({ "op": "issue", "issuer": private_jwk(&issuer), "holder": holder.public_key().to_jwk(),
            "claims": payload, "disclosable": ["vaccine_code", "place"] }));
        let credential = SdJwt::parse(answer["sd_jwt"].as_str().unwrap()).unwrap();
        let verified = credential.verify(&issuer.public_key(), AT).unwrap();
        assert_eq!(verified.claims(), &claims());
        assert_eq!(verified.holder(), Some(&holder.public_key()));
        let binding = KeyBinding::new("https://v.example", "n", AT);
        let shown = credential
            .present(&["place".into()], &binding, &holder)
            .unwrap();
        let answer = pypi.expect(
            &json!({ "op": "verify", "sd_jwt": shown, "issuer": issuer.public_key().to_jwk(),
            "nonce": "n", "audience": "https://v.example" }),
        );
        assert_eq!(answer["payload"]["place"], claims()["place"]);
        assert_eq!(answer["payload"].get("vaccine_code"), None);
    }
}
