//! What issuers and holders sign: by the service, over OpenID4VCI, and by hand.

use crate::artefacts::{Artefact, Collector, immunization, object, status_uri};
use crate::generator::Form;
use crate::world::binary;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tegata::demo::wallet::{OpenedRecord, Wallet};
use tegata::verify::Options;
use tegata_consent::status::status_list_id;
use tegata_credential::bitstring::{
    Bitstring, BitstringIssuance, ENTRIES_MIN, StatusPurpose, list_credential,
};
use tegata_credential::data_integrity::{EddsaJcs2022, ProofOptions, sign_credential};
use tegata_credential::jws::sign_with_header;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_service::clock;
use tegata_service::keys::OrganisationKeys;

const SUBJECT: &str = "S-7";
const DID: &str = "did:web:clinic.wakaba.example";
const BITSTRING: &str = "https://clinic.wakaba.example/status/1";

impl Collector<'_> {
    /// Believes files alone.
    fn offline(&self, trust: &[PathBuf]) -> Options {
        Options {
            genesis: None,
            ledger: None,
            trust: trust.to_vec(),
            ..self.options()
        }
    }

    /// The credential in the vault, and the issuer's status list in both forms.
    pub(crate) async fn issued_by_the_service(&mut self, records: &[OpenedRecord]) {
        let credential = &records[0].sd_jwt;
        let uri = status_uri(credential);
        let jwt = self.get(&uri, "application/statuslist+jwt").await;
        let cwt = self.get(&uri, "application/statuslist+cwt").await;
        self.add("credential", Form::SdJwt, credential.clone());
        self.add("status list (JWT)", Form::Jws, jwt);
        self.add("status list (CWT)", Form::Cbor, cwt);
        let id = status_list_id(&uri);
        let path = format!("/v1/state/status-lists/{}/{id}", records[0].issuer);
        let proof = self.node(&path).await;
        self.add("state proof (status list)", Form::Cbor, proof);
    }

    /// What `tegata issue` and `tegata present` make with the clinic's keys.
    pub(crate) async fn issued_by_hand(&mut self, wallet: &Wallet, records: &[OpenedRecord]) {
        let clinic = self.keys("clinic");
        let (keys, certificates) = (
            self.dir.join("clinic/keys.json"),
            self.dir.join("clinic/certificates.pem"),
        );
        let person = json!({ "family_name": "若葉", "given_name": "はる", "family_name_latin": "Wakaba", "given_name_latin": "Haru", "birth_date": "2023-02-01" });
        let person = self.file("person.json", person.to_string());
        let mut covid = immunization(SUBJECT, 7);
        covid["vaccineCode"] =
            json!({ "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "208" }] });
        covid["protocolApplied"] =
            json!([{ "doseNumberPositiveInt": 1, "seriesDosesPositiveInt": 2 }]);
        let covid = self.file("covid.json", covid.to_string());
        let issue = |record: &Path, format: &str, more: &[&str]| {
            let mut arguments = vec![
                "issue",
                text(record),
                "--format",
                format,
                "--key",
                text(&keys),
            ];
            arguments.extend(more);
            run(&arguments)
        };
        let about = ["--person", text(&person)];
        let hcert = issue(
            &covid,
            "hcert",
            &[
                &about[..],
                &["--certificate", text(&certificates), "--issuer", "Midori"],
            ]
            .concat(),
        );
        let by_certificate = self.offline(std::slice::from_ref(&certificates));
        self.artefacts.push(Artefact {
            kind: "health certificate",
            form: Form::Hcert,
            bytes: hcert.into(),
            options: by_certificate.clone(),
        });
        let jwk = {
            let key =
                SigningKey::from_bytes(Algorithm::Es256, clinic.credential_es256.expose()).unwrap();
            key.public_key().to_jwk()
        };
        let set = self.file("jwks.json", json!({ "keys": [jwk] }).to_string());
        let shc = issue(
            &covid,
            "shc",
            &[
                &about[..],
                &["--issuer", "https://clinic.wakaba.example/shc"],
            ]
            .concat(),
        );
        let shc = tegata_credential::smart_health_card::from_qr(&shc).unwrap();
        self.artefacts.push(Artefact {
            kind: "health card",
            form: Form::Shc,
            bytes: shc.into(),
            options: self.offline(&[set]),
        });

        let holder = wallet.holder_jwk(&records[0].issuer);
        let mut public = holder.clone();
        public.as_object_mut().unwrap().remove("d");
        let (holder, public) = (
            self.file("holder-key.json", holder.to_string()),
            self.file("holder.json", public.to_string()),
        );
        let list = self.bitstring(&clinic);
        // A list by hand is on no ledger, so nobody is asked which is the newest.
        let path = format!("/v1/state/organisations/{}", records[0].issuer);
        let proof = self.node(&path).await;
        let by_list = Options {
            ledger: None,
            trust: vec![self.file("clinic-proof", proof)],
            status: vec![self.file("bitstring.json", &list)],
            ..self.options()
        };
        self.add_with("status list (Bitstring)", Form::Json, list, by_list.clone());
        let status = format!("{BITSTRING}#7");
        let record = self.file("record.json", immunization(SUBJECT, 8).to_string());
        let to_whom = ["--audience", "https://venue.example", "--nonce", "n-1"];
        for (format, kind, shown) in [
            ("w3c-jcs", "credential (jcs)", "presentation (jcs)"),
            ("w3c-rdfc", "credential (rdfc)", "presentation (rdfc)"),
        ] {
            let made = issue(
                &record,
                format,
                &[
                    "--issuer",
                    DID,
                    "--holder",
                    text(&public),
                    "--status",
                    &status,
                ],
            );
            let file = self.file(format, &made);
            self.add_with(kind, Form::Json, made, by_list.clone());
            let made = run(&[
                &["present", text(&file), "--key", text(&holder)],
                &to_whom[..],
            ]
            .concat());
            self.add_with(shown, Form::Json, made, by_list.clone());
        }
        // The credential of the vault, shown by hand.
        let file = self.file("credential", &records[0].sd_jwt);
        let shown = run(&[
            &[
                "present",
                text(&file),
                "--show",
                "date",
                "--key",
                text(&holder),
            ],
            &to_whom[..],
        ]
        .concat());
        self.add("presentation", Form::SdJwt, shown);
    }

    fn bitstring(&self, clinic: &OrganisationKeys) -> String {
        let key =
            SigningKey::from_bytes(Algorithm::EdDsa, clinic.credential_eddsa.expose()).unwrap();
        let method = format!("{DID}#{}", key.key_id());
        let now_s = clock::now_s();
        let issuance = BitstringIssuance {
            uri: BITSTRING,
            issuer: DID,
            purpose: StatusPurpose::Revocation,
            valid_from: now_s,
            valid_until: None,
        };
        let bits = Bitstring::from_indexes(ENTRIES_MIN, [8]).unwrap();
        let list = list_credential(&bits, &issuance);
        let options = ProofOptions::new(&method, now_s);
        let signed = sign_credential(list, &EddsaJcs2022, tegata_w3c::contexts(), &options, &key);
        Value::Object(signed.unwrap()).to_string()
    }

    /// A single-use copy over OpenID4VCI, and the wallet's proof that it holds the copy's key.
    pub(crate) async fn copies(&mut self) {
        let issuer = self.systems("clinic-issuer");
        let url = self.world.running.demo.services["clinic-issuer"]
            .url
            .clone();
        let http = self.world.running.ledger.http();
        let waiting = issuer
            .post("/fhir/Immunization", &immunization("S-6", 1))
            .await
            .unwrap();
        waiting.success("the Immunization").unwrap();
        let offer = json!({ "subject": "S-6", "by": "value" });
        let made = issuer.post("/v1/credential-offers", &offer).await.unwrap();
        let made = made.success("the offer").unwrap();
        let link = reqwest::Url::parse(made["link"].as_str().unwrap()).unwrap();
        let offer: Value = serde_json::from_str(&link.query_pairs().next().unwrap().1).unwrap();
        let grant = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
        let code = offer["grants"][grant]["pre-authorized_code"]
            .as_str()
            .unwrap();
        let parameters = [
            ("grant_type", grant),
            ("pre-authorized_code", code),
            ("tx_code", made["tx_code"].as_str().unwrap()),
        ];
        let post = async |path: &str, parameters: &[(&str, &str)]| -> Value {
            let form = reqwest::Url::parse_with_params("http://form.invalid", parameters).unwrap();
            let request = http
                .post(format!("{url}{path}"))
                .header("content-type", "application/x-www-form-urlencoded");
            let answer = request
                .body(form.query().unwrap_or_default().to_owned())
                .send()
                .await
                .unwrap();
            answer.json().await.unwrap()
        };
        let token = post("/openid4vci/token", &parameters).await;
        let nonce = post("/openid4vci/nonce", &[]).await;
        let key = SigningKey::generate(Algorithm::Es256, &mut rand::rng());
        let header = json!({ "typ": "openid4vci-proof+jwt", "jwk": key.public_key().to_jwk() });
        let claims = json!({ "aud": url, "iat": clock::now_s(), "nonce": nonce["c_nonce"] });
        let proof = sign_with_header(object(header), &object(claims), &key);
        let body =
            json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": [proof] } });
        let answer = http
            .post(format!("{url}/openid4vci/credential"))
            .bearer_auth(token["access_token"].as_str().unwrap());
        let answer: Value = answer
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let copy = answer["credentials"][0]["credential"].as_str();
        let copy = copy.unwrap_or_else(|| panic!("{answer}")).to_owned();
        self.add("key proof", Form::Jws, proof);
        self.add("credential (copy)", Form::SdJwt, copy);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a command prints, which must do what it is asked.
fn run(arguments: &[&str]) -> String {
    let output = Command::new(binary()).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
