//! OpenID4VCI over HTTP: flows, what must not work, restarts, and a wallet that others wrote.

mod flows;
mod interop;
mod refusals;
mod requests;

use super::OpenId4VciConfig;
use crate::config::{CredentialAlgorithm, WalletClient};
use crate::issuer::rng;
use crate::tests::world::{Running, World, immunization};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tegata_credential::jws::{encode, sign_with_header};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::sd_jwt::{SdJwt, VerifiedSdJwt};
use tegata_credential::x509::{Certificate, Subject, issue, issue_authority};
use tegata_service::clock::now_s;

const PRE_AUTHORIZED: &str = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
const CLIENT: &str = "https://wallet.example";
const BACK: &str = "https://wallet.example/back?from=issuer";
const OTHER_CLIENT: &str = "other";

fn config() -> OpenId4VciConfig {
    let client = |id: &str, redirect_uri: &str| WalletClient {
        id: id.to_owned(),
        name: "おためしウォレット".to_owned(),
        redirect_uris: vec![redirect_uri.to_owned()],
    };
    OpenId4VciConfig {
        batch_size: 5,
        clients: vec![
            client(CLIENT, BACK),
            client(OTHER_CLIENT, "other.wallet:/back"),
        ],
        ..OpenId4VciConfig::default()
    }
}

/// A world with an issuer that serves standard wallets.
async fn world(config: OpenId4VciConfig) -> World {
    World {
        openid4vci: Some(config),
        ..World::new().await
    }
}

/// The key that copies are signed with.
fn signing_key(world: &World) -> SigningKey {
    let (algorithm, secret) = match world.openid4vci.as_ref().unwrap().alg {
        CredentialAlgorithm::EdDsa => (Algorithm::EdDsa, &world.keys.credential_eddsa),
        CredentialAlgorithm::Es256 => (Algorithm::Es256, &world.keys.credential_es256),
    };
    SigningKey::from_bytes(algorithm, secret.expose()).unwrap()
}

/// Writes a certificate of the signing key, and gives the authority's.
fn certify(world: &mut World, url: &str) -> Certificate {
    let subject = |name| Subject {
        common_name: name,
        organisation: "Sakura City",
        country: "JP",
        dns_names: &[],
        uris: &[],
    };
    let authority_key = SigningKey::generate(Algorithm::Es256, &mut rng());
    let valid = now_s() - 60..=now_s() + 86_400;
    let authority = issue_authority(
        &subject("Authority"),
        &authority_key,
        valid.clone(),
        &mut rng(),
    )
    .unwrap();
    let uris = [url];
    let leaf = Subject {
        uris: &uris,
        ..subject("Issuer")
    };
    let public = signing_key(world).public_key();
    let leaf = issue(
        &leaf,
        &public,
        &authority,
        &authority_key,
        valid,
        &mut rng(),
    )
    .unwrap();
    let path = world.folder.path().join("certificates.pem");
    std::fs::write(&path, leaf.to_pem()).unwrap();
    world.openid4vci.as_mut().unwrap().certificates = Some(path);
    authority
}

/// A wallet, as far as HTTP goes.
struct Wallet<'a> {
    issuer: &'a Running,
}

impl Wallet<'_> {
    /// Takes a vaccination in for a person; gives its id.
    async fn vaccination(&self, subject: &str, id: &str) -> String {
        let (status, taken) = self
            .issuer
            .post("/fhir/Immunization", &immunization(subject, id, "LOT-1"))
            .await;
        assert_eq!(status, 201, "{taken}");
        taken["id"].as_str().unwrap().to_owned()
    }

    /// Has the organisation's system make an offer.
    async fn offer(&self, wanted: Value) -> Value {
        let (status, made) = self.issuer.post("/v1/credential-offers", &wanted).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    /// The offer that a link leads to.
    async fn opened(&self, made: &Value) -> Value {
        let link = reqwest::Url::parse(made["link"].as_str().unwrap()).unwrap();
        assert_eq!(link.scheme(), "openid-credential-offer");
        let (name, value) = link.query_pairs().next().unwrap();
        if name == "credential_offer" {
            return serde_json::from_str(&value).unwrap();
        }
        assert_eq!(name, "credential_offer_uri");
        let response = reqwest::get(value.as_ref()).await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.json().await.unwrap()
    }

    /// Sends a form; gives status and JSON.
    async fn form(&self, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
        answer(posted(self.request(path), parameters)).await
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.issuer.http.post(format!("{}{path}", self.issuer.url))
    }

    /// Redeems an offer; gives status and JSON.
    async fn redeem(&self, code: &str, tx_code: &str) -> (u16, Value) {
        let parameters = [
            ("grant_type", PRE_AUTHORIZED),
            ("pre-authorized_code", code),
            ("tx_code", tx_code),
        ];
        self.form("/openid4vci/token", &parameters).await
    }

    /// An access token for all records of a person.
    async fn token_for(&self, subject: &str) -> Value {
        let made = self.offer(json!({ "subject": subject })).await;
        let code = pre_authorized_code(&self.opened(&made).await);
        let (status, token) = self.redeem(&code, made["tx_code"].as_str().unwrap()).await;
        assert_eq!(status, 200, "{token}");
        token
    }

    async fn nonce(&self) -> String {
        let (status, answer) = self.form("/openid4vci/nonce", &[]).await;
        assert_eq!(status, 200);
        answer["c_nonce"].as_str().unwrap().to_owned()
    }

    /// A proof that the wallet holds a key.
    fn proof(&self, key: &SigningKey, nonce: &str) -> String {
        let claims = json!({ "aud": self.issuer.url, "iat": now_s(), "nonce": nonce });
        proof_of(key, &claims)
    }

    /// Asks for copies; gives status and JSON.
    async fn ask(&self, token: &Value, body: &Value) -> (u16, Value) {
        let token = token["access_token"].as_str().unwrap();
        answer(
            self.request("/openid4vci/credential")
                .bearer_auth(token)
                .json(body),
        )
        .await
    }

    /// Asks for one copy for each key.
    async fn copies(&self, token: &Value, keys: &[SigningKey]) -> (u16, Value) {
        let nonce = self.nonce().await;
        let proofs: Vec<String> = keys.iter().map(|key| self.proof(key, &nonce)).collect();
        let body =
            json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": proofs } });
        self.ask(token, &body).await
    }
}

/// A request with a form.
fn posted(
    request: reqwest::RequestBuilder,
    parameters: &[(&str, &str)],
) -> reqwest::RequestBuilder {
    let url = reqwest::Url::parse_with_params("http://form.invalid", parameters).unwrap();
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(url.query().unwrap_or_default().to_owned())
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if status >= 400 && status != 404 {
        assert_eq!(
            response.headers()["content-type"],
            "application/json",
            "{status}"
        );
    }
    assert_eq!(response.headers()["cache-control"], "no-store");
    (status, response.json().await.unwrap())
}

/// Status and code of an error.
fn error_of((status, body): (u16, Value)) -> (u16, String) {
    let text = body["error_description"].as_str().unwrap_or_default();
    assert!(text.is_ascii() && !text.contains(['"', '\\']), "{text}");
    (
        status,
        body["error"].as_str().unwrap_or_default().to_owned(),
    )
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn pre_authorized_code(offer: &Value) -> String {
    let code = &offer["grants"][PRE_AUTHORIZED]["pre-authorized_code"];
    code.as_str().unwrap().to_owned()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn proof_of(key: &SigningKey, claims: &Value) -> String {
    let header = json!({ "typ": "openid4vci-proof+jwt", "jwk": key.public_key().to_jwk() });
    sign_with_header(object(&header), &object(claims), key)
}

fn keys(count: usize) -> Vec<SigningKey> {
    let new = |_| SigningKey::generate(Algorithm::Es256, &mut rng());
    (0..count).map(new).collect()
}

/// The credentials of an answer, in order.
fn credentials(body: &Value) -> Vec<String> {
    let all = body["credentials"].as_array().unwrap();
    all.iter()
        .map(|one| one["credential"].as_str().unwrap().to_owned())
        .collect()
}

/// Verifies a copy.
fn verified(world: &World, copy: &str, holder: &PublicKey) -> VerifiedSdJwt {
    let key = signing_key(world).public_key();
    let verified = SdJwt::parse(copy).unwrap().verify(&key, now_s()).unwrap();
    assert_eq!(verified.holder(), Some(holder));
    verified
}

/// A `code_verifier` and its `code_challenge`.
fn pkce() -> (String, String) {
    let verifier = encode(&rand::random::<[u8; 32]>());
    let challenge = encode(&Sha256::digest(&verifier));
    (verifier, challenge)
}
