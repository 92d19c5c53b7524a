//! The signing side.

use super::base::{Input, signature_base};
use crate::clock;
use axum::http::{HeaderName, HeaderValue, Method};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use rand::RngExt;
use sha2::{Digest, Sha256};
use tegata_consent::cose::public_key;
use tegata_consent::ids::{Nonce, OrganisationId};

/// Who signs.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    keyid: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.keyid)
    }
}

impl Signer {
    /// The owner of a vault, with the vault's key.
    #[must_use]
    pub fn vault(key: SigningKey) -> Self {
        let keyid = format!("vault:{}", public_key(&key));
        Self { key, keyid }
    }

    /// An organisation, with one of its signing keys.
    #[must_use]
    pub fn organisation(id: OrganisationId, key: SigningKey) -> Self {
        let keyid = format!("org:{id}:{}", public_key(&key));
        Self { key, keyid }
    }

    /// `keyid` as it stands in the request.
    #[must_use]
    pub fn keyid(&self) -> &str {
        &self.keyid
    }
}

/// `Content-Digest` of a body (RFC 9530): `sha-256=:<base64>:`.
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// The headers that sign a request. `url` is the receiver's public URL with path and query; an empty body is none.
#[must_use]
pub fn sign(
    signer: &Signer,
    method: &Method,
    url: &str,
    body: &[u8],
    now_s: i64,
    nonce: Nonce,
) -> Vec<(HeaderName, HeaderValue)> {
    let digest = (!body.is_empty()).then(|| content_digest(body));
    let input = Input {
        digest: digest.is_some(),
        created_s: now_s,
        nonce: URL_SAFE_NO_PAD.encode(nonce.0),
        keyid: signer.keyid.clone(),
    };
    let params = input.serialise();
    let mut components = vec![("@method", method.as_str()), ("@target-uri", url)];
    components.extend(digest.as_deref().map(|digest| ("content-digest", digest)));
    let signature = signer
        .key
        .sign(signature_base(&components, &params).as_bytes());
    let value =
        |text: String| HeaderValue::try_from(text).expect("only printable ASCII was put in");
    let mut headers = vec![
        (
            HeaderName::from_static("signature-input"),
            value(format!("sig={params}")),
        ),
        (
            HeaderName::from_static("signature"),
            value(format!("sig=:{}:", STANDARD.encode(signature.to_bytes()))),
        ),
    ];
    headers.extend(digest.map(|digest| (HeaderName::from_static("content-digest"), value(digest))));
    headers
}

/// Signs a request with the present time and a fresh nonce, and sends it. An empty body is sent without a type.
///
/// # Errors
/// As [`reqwest::RequestBuilder::send`].
#[allow(clippy::disallowed_methods, reason = "this is the edge: it sends")]
pub async fn send_signed(
    client: &reqwest::Client,
    signer: &Signer,
    method: Method,
    url: &str,
    content_type: &str,
    body: Vec<u8>,
) -> Result<reqwest::Response, reqwest::Error> {
    let nonce = Nonce(rand::rng().random());
    // The URL as it goes over the wire: what the receiver puts together must be the same text.
    let url = reqwest::Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    let mut request = client.request(method.clone(), &url);
    for (name, value) in sign(signer, &method, &url, &body, clock::now_s(), nonce) {
        request = request.header(name, value);
    }
    if !body.is_empty() {
        request = request.header("content-type", content_type).body(body);
    }
    request.send().await
}
