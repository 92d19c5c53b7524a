//! Ours against npm `@sd-jwt` 0.19.0, both ways: what one issues, presents or publishes, the
//! other verifies. Needs Node and `npm ci` in `tests/interop`; without them it says so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{FixedBytes, key};
use serde_json::{Value, json};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::sd_jwt::*;
use tegata_credential::status_list::{
    self, Status, StatusList, StatusListIssuance, StatusListToken,
};

const AT: i64 = 1_760_000_000;
const VCT: &str = "urn:tegata:record:vaccination:1";
const URI: &str = "https://a.example/status/1";

/// A running `sd-jwt.mjs`.
struct Npm {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Npm {
    fn start() -> Option<Self> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop");
        let installed = std::path::Path::new(folder).join("node_modules/@sd-jwt/sd-jwt-vc");
        let child = installed.is_dir().then(|| {
            Command::new("node")
                .arg("sd-jwt.mjs")
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        });
        let Some(Ok(mut child)) = child else {
            println!("SKIPPED: needs Node and npm ci in tests/interop");
            return None;
        };
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Some(Self {
            child,
            stdin,
            stdout,
        })
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.stdin, "{request}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn expect(&mut self, request: &Value) -> Value {
        let answer = self.ask(request);
        assert!(answer.get("error").is_none(), "{}: {answer}", request["op"]);
        answer
    }
}

impl Drop for Npm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn private_jwk(key: &SigningKey) -> Value {
    let mut jwk = key.public_key().to_jwk();
    jwk["d"] = common::b64(*key.to_bytes()).into();
    jwk
}

fn claims() -> Value {
    json!({
        "vaccine_code": "mr",
        "date": "2025-04-01",
        "place": { "name": "さくらクリニック", "reference": "Location/1" },
        "protocols": [{ "dose_number": 1 }, { "dose_number": 2 }],
        "dose_quantity": 0.5,
    })
}

#[test]
fn ours_is_verified_and_presented_by_npm() {
    let Some(mut npm) = Npm::start() else { return };
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (issuer, holder) = (key(algorithm, 1), key(algorithm, 2));
        let (holder_public, claims) = (holder.public_key(), claims());
        let paths = [
            "vaccine_code".into(),
            "place".into(),
            Path::new(["place", "name"]),
            Path::new([PathStep::from("protocols"), PathStep::All]),
        ];
        let credential = issue(
            &Issuance {
                expires_at: Some(AT + 1000),
                disclosable: &paths,
                holder: Some(&holder_public),
                status: Some(StatusReference {
                    uri: URI.into(),
                    index: 9,
                }),
                ..Issuance::new("https://a.example", VCT, AT, &claims)
            },
            &issuer,
            &mut FixedBytes(1),
        )
        .unwrap();
        let list = |entries: &[(u64, Status)]| {
            let list = StatusList::from_entries(1, 64, entries.iter().copied()).unwrap();
            let issuance = StatusListIssuance {
                uri: URI,
                issuer: None,
                issued_at: AT,
                expires_at: None,
                ttl_s: Some(600),
            };
            status_list::sign(&list, &issuance, &issuer)
        };
        let issuer_jwk = issuer.public_key().to_jwk();
        let verify = |sd_jwt: &str, nonce: Option<&str>, list: &str| {
            json!({
                "op": "verify", "issuer": issuer_jwk, "sdJwt": sd_jwt, "nonce": nonce, "at": AT + 1,
                "statusList": list,
            })
        };

        // As issued; ours presented; npm's presentation of ours.
        let none = list(&[]);
        let answer = npm.expect(&verify(&credential, None, &none));
        for (name, value) in claims.as_object().unwrap() {
            assert_eq!(&answer["payload"][name], value);
        }
        let shown = SdJwt::parse(&credential)
            .unwrap()
            .present(
                &[Path::new(["place", "name"])],
                &KeyBinding::new("https://v.example", "n-1", AT),
                &holder,
            )
            .unwrap();
        let answer = npm.expect(&verify(&shown, Some("n-1"), &none));
        assert_eq!(answer["payload"]["place"], claims["place"]);
        assert_eq!(answer["payload"].get("vaccine_code"), None);
        assert_eq!(answer["kb"]["aud"], "https://v.example");
        let by_npm = npm.expect(&json!({
            "op": "present", "holder": private_jwk(&holder), "sdJwt": credential,
            "frame": { "vaccine_code": true }, "audience": "https://v.example", "nonce": "n-2", "at": AT,
        }));
        let policy = KeyBindingPolicy {
            audience: "https://v.example",
            nonce: "n-2",
            max_age_s: 60,
        };
        let verified = SdJwt::parse(by_npm["sdJwt"].as_str().unwrap())
            .unwrap()
            .verify_with_key_binding(&issuer.public_key(), &policy, AT + 1)
            .unwrap();
        assert_eq!(verified.credential().claims()["vaccine_code"], "mr");
        assert_eq!(verified.credential().claims().get("place"), None);

        // And npm refuses what it should: so the acceptance above means something.
        for (what, request) in [
            (
                "revoked",
                verify(&credential, None, &list(&[(9, Status::Invalid)])),
            ),
            ("another nonce", verify(&shown, Some("n-9"), &none)),
            (
                "altered",
                verify(&credential.replacen("~W", "~X", 1), None, &none),
            ),
        ] {
            assert!(npm.ask(&request).get("error").is_some(), "{what}");
        }
    }
}

#[test]
fn npms_is_verified_and_presented_by_us() {
    let Some(mut npm) = Npm::start() else { return };
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (issuer, holder) = (key(algorithm, 1), key(algorithm, 2));
        let mut payload = claims();
        payload["iss"] = "https://a.example".into();
        payload["iat"] = AT.into();
        payload["vct"] = VCT.into();
        payload["cnf"] = json!({ "jwk": holder.public_key().to_jwk() });
        payload["status"] = json!({ "status_list": { "uri": URI, "idx": 3 } });
        let answer = npm.expect(&json!({
            "op": "issue", "issuer": private_jwk(&issuer), "claims": payload,
            "frame": {
                "_sd": ["vaccine_code", "date"],
                "_sd_decoy": 3,
                "place": { "_sd": ["name"] },
                "protocols": { "_sd": [0, 1] },
            },
        }));
        let credential = SdJwt::parse(answer["sdJwt"].as_str().unwrap()).unwrap();
        let verified = credential.verify(&issuer.public_key(), AT).unwrap();
        assert_eq!(verified.claims(), &claims());
        assert_eq!(verified.holder(), Some(&holder.public_key()));

        let shown = credential
            .present(&["date".into()], &KeyBinding::new("v", "n", AT), &holder)
            .unwrap();
        let list = npm.expect(&json!({
            "op": "statusList", "issuer": private_jwk(&issuer), "uri": URI, "at": AT, "bits": 2,
            "statuses": [0, 1, 2, 0, 3, 0, 0, 1],
        }));
        let token = list["token"].as_str().unwrap();
        let verified_list = StatusListToken::parse(token)
            .unwrap()
            .verify(&issuer.public_key(), URI, AT)
            .unwrap();
        let statuses: Vec<u8> = (0..8)
            .map(|index| verified_list.status_at(index).unwrap().value())
            .collect();
        assert_eq!(statuses, [0, 1, 2, 0, 3, 0, 0, 1]);
        npm.expect(&json!({
            "op": "verify", "issuer": issuer.public_key().to_jwk(), "sdJwt": shown, "nonce": "n",
            "at": AT, "statusList": token,
        }));
    }
}

#[test]
fn our_status_lists_are_read_by_npm() {
    let Some(mut npm) = Npm::start() else { return };
    let issuer = key(Algorithm::EdDsa, 1);
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
            expires_at: None,
            ttl_s: None,
        };
        let answer = npm.expect(&json!({
            "op": "readStatusList", "token": status_list::sign(&list, &issuance, &issuer),
            "indexes": [0, 1, 77, 999],
        }));
        assert_eq!(answer["statuses"], json!([1, 0, top, 1]), "{bits} bits");
    }
}
