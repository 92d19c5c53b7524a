//! The running issuer and npm `@openid4vc/openid4vci` 0.4.6 as wallet; what it receives is verified by npm
//! `@sd-jwt/sd-jwt-vc` 0.19.0 with the issuer's key that it finds for itself.

use super::*;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running `openid4vci.mjs`.
struct Npm {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Npm {
    fn start() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop");
        let installed = std::path::Path::new(folder).join("node_modules/@openid4vc/openid4vci");
        assert!(installed.is_dir(), "run `npm ci` in tests/interop");
        let mut child = Command::new("node")
            .arg("openid4vci.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js is installed");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdin,
            stdout,
        }
    }

    /// Blocks: the issuer runs on other threads.
    fn ask(&mut self, request: &Value) -> Value {
        tokio::task::block_in_place(|| {
            writeln!(self.stdin, "{request}").unwrap();
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            serde_json::from_str(&line).unwrap()
        })
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_wallet_takes_credentials_by_both_flows_and_others_verify_them() {
    let mut npm = Npm::start();
    for (alg, holder_alg) in [
        (CredentialAlgorithm::Es256, "ES256"),
        (CredentialAlgorithm::EdDsa, "EdDSA"),
    ] {
        let mut world = world(OpenId4VciConfig { alg, ..config() }).await;
        // The certificate names the issuer's URL, which is known once it listens: a port is kept for it.
        let (issuer, authority) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let authority = certify(&mut world, &format!("http://{address}"));
            (world.start_on(listener).await, authority)
        };
        let wallet = Wallet { issuer: &issuer };
        wallet.vaccination("0012", "imm-1").await;
        let pre_authorised = wallet.offer(json!({ "subject": "0012" })).await;
        let by_value = wallet
            .offer(json!({ "subject": "0012", "by": "value" }))
            .await;
        let encrypted = wallet.offer(json!({ "subject": "0012" })).await;
        let by_page = json!({ "subject": "0012", "grant": "authorization_code" });
        let (by_page, bound) = (
            wallet.offer(by_page.clone()).await,
            wallet.offer(by_page).await,
        );
        let receive = |made: &Value, more: Value| {
            let mut request = json!({
                "op": "receive", "offer": made["link"], "txCode": made["tx_code"], "copies": 1, "holderAlg": holder_alg,
            });
            request.as_object_mut().unwrap().extend(object(&more));
            request
        };
        let page = |made: &Value, dpop: bool| json!({ "clientId": CLIENT, "redirectUri": BACK, "pairingCode": made["code"], "dpop": dpop, "copies": 2 });
        for (what, request, token_type) in [
            (
                "a batch",
                receive(&pre_authorised, json!({ "copies": 4 })),
                "Bearer",
            ),
            (
                "an offer by value",
                receive(&by_value, json!({ "dpop": true })),
                "DPoP",
            ),
            (
                "an encrypted answer",
                receive(&encrypted, json!({ "enc": "A256GCM" })),
                "Bearer",
            ),
            (
                "PAR and PKCE",
                receive(&by_page, page(&by_page, false)),
                "Bearer",
            ),
            (
                "PAR, PKCE and DPoP",
                receive(&bound, page(&bound, true)),
                "DPoP",
            ),
        ] {
            let received = npm.expect(&request);
            assert_eq!(received["tokenType"], token_type, "{what}");
            assert_eq!(
                received["labels"][0],
                json!({ "name": "予防接種", "locale": "ja" })
            );
            if let Some(enc) = request.get("enc") {
                let header = &received["encryptionHeaders"][0];
                assert_eq!((&header["alg"], &header["enc"]), (&json!("ECDH-ES"), enc));
            }
            let copies = received["credentials"].as_array().unwrap();
            assert_eq!(
                copies.len() as u64,
                request["copies"].as_u64().unwrap(),
                "{what}"
            );
            for (copy, holder) in copies.iter().zip(received["keys"].as_array().unwrap()) {
                let checked = npm.expect(&json!({
                    "op": "verify", "credential": copy, "holder": holder, "authority": authority.to_pem(),
                    "frame": { "vaccine_code": true },
                }));
                assert_eq!(checked["checks"]["x5c"], true, "{what}");
                assert_eq!(checked["payload"]["lot_number"], "LOT-1", "{what}");
                assert!(checked["presented"]["vaccine_code"].is_string(), "{what}");
                assert!(checked["presented"].get("lot_number").is_none(), "{what}");
            }
        }
        // And it is refused what it should be: so the above means something.
        let replayed = npm.ask(&receive(&by_value, json!({})));
        assert_eq!(replayed["code"], "invalid_grant", "{replayed}");
        let open = wallet
            .offer(json!({ "subject": "0012", "by": "value" }))
            .await;
        let wrong = npm.ask(&receive(&open, json!({ "txCode": "wrong" })));
        assert_eq!(wrong["code"], "invalid_grant", "{wrong}");
        issuer.stop().await;
    }
}
