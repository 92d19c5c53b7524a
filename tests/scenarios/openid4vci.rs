//! A wallet that others wrote takes a person's records from a clinic of the demo, and others' software verifies them with
//! what the issuer publishes of itself.

use crate::world::World;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running `tests/interop/openid4vci.mjs`.
struct Npm {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Npm {
    fn start() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
        let installed = std::path::Path::new(folder).join("node_modules/@openid4vc/openid4vci");
        assert!(installed.is_dir(), "run `npm ci` in tests/interop");
        let mut child = Command::new("node")
            .arg("openid4vci.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js is installed");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            child,
            stdin,
            stdout,
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.stdin, "{request}").expect("it reads");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_wallet_takes_records_of_a_person_without_a_vault() {
    let world = World::start().await;
    let dir = world.dir();
    let stage = world.stage(&dir);
    let mut npm = Npm::start();
    let clinic = stage.systems("clinic-issuer").unwrap();
    let immunization = json!({
        "resourceType": "Immunization", "id": "imm-1", "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }] },
        "patient": { "reference": "Patient/S-1" }, "occurrenceDateTime": "2025-04-01", "lotNumber": "LOT-1",
    });
    let taken = clinic
        .post("/fhir/Immunization", &immunization)
        .await
        .unwrap();
    assert_eq!(taken.body["status"], "waiting", "{}", taken.body);
    let authority = std::fs::read_to_string(dir.join("authority/certificate.pem")).unwrap();
    let wallet = &tegata::demo::setup::wallet_url(world.running.demo.port);
    for (wanted, enc) in [
        (json!({ "subject": "S-1" }), Some("A128GCM")),
        (
            json!({ "subject": "S-1", "by": "value", "grant": "authorization_code" }),
            None,
        ),
    ] {
        let made = clinic.post("/v1/credential-offers", &wanted).await.unwrap();
        let made = made.success("offer").unwrap();
        let received = npm.ask(&json!({
            "op": "receive", "offer": made["link"], "txCode": made["tx_code"], "pairingCode": made["code"],
            "clientId": made["code"].is_string().then_some(wallet),
            "redirectUri": format!("{wallet}/openid4vci"), "copies": 2, "holderAlg": "ES256", "enc": enc,
        }));
        let copies = received["credentials"].as_array().unwrap();
        assert_eq!(copies.len(), 2);
        for (copy, holder) in copies.iter().zip(received["keys"].as_array().unwrap()) {
            let checked = npm.ask(&json!({
                "op": "verify", "credential": copy, "holder": holder, "authority": authority,
                "frame": { "lot_number": true },
            }));
            assert_eq!(checked["checks"]["x5c"], true);
            assert_eq!(checked["presented"]["lot_number"], "LOT-1");
        }
    }
    world.end().await;
}
