//! Compact JWS (RFC 7515 §7.1), only as much as SD-JWT VC, key binding and status lists need.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::json::{self, JsonFault};
use crate::keys::{Algorithm, PublicKey, SigningKey};

/// Why a compact JWS is refused before or at its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JwsFault {
    /// Not three base64url parts, or a signature that is not 64 octets.
    Malformed,
    /// Header or payload is not an acceptable JSON object.
    Json(JsonFault),
    /// `alg` is `none`, in whatever case.
    AlgNone,
    /// `alg` is absent or not EdDSA or ES256.
    AlgUnsupported(String),
    /// The key is for another algorithm than `alg` says.
    AlgMismatch,
    /// `crit` asks for an extension; we know none.
    Crit,
    /// The signature does not verify.
    Signature,
}

impl From<JsonFault> for JwsFault {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

/// A parsed JWS whose signature nobody has checked yet.
#[derive(Debug, Clone)]
pub(crate) struct Jws {
    pub(crate) payload: Map<String, Value>,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    alg: Algorithm,
    signing_input: String,
    signature: [u8; 64],
}

impl Jws {
    pub(crate) fn parse(token: &str) -> Result<Self, JwsFault> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsFault::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsFault::Malformed)?;
        let header = json::parse_object(&decode(header)?)?;
        let alg = match header.get("alg").and_then(Value::as_str) {
            Some(name) if name.eq_ignore_ascii_case("none") => return Err(JwsFault::AlgNone),
            Some(name) => Algorithm::from_name(name)
                .ok_or_else(|| JwsFault::AlgUnsupported(name.to_owned()))?,
            None => return Err(JwsFault::AlgUnsupported(String::new())),
        };
        if header.contains_key("crit") {
            return Err(JwsFault::Crit);
        }
        let text = |name| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            payload: json::parse_object(&decode(payload)?)?,
            typ: text("typ"),
            kid: text("kid"),
            alg,
            signing_input: signing_input.to_owned(),
            signature: decode(signature)?
                .try_into()
                .map_err(|_| JwsFault::Malformed)?,
        })
    }

    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), JwsFault> {
        if key.algorithm() != self.alg {
            return Err(JwsFault::AlgMismatch);
        }
        key.verify(self.signing_input.as_bytes(), &self.signature)
            .map_err(|_| JwsFault::Signature)
    }
}

/// Signs `payload` with `typ` in the header, and the key's id as `kid` when `with_kid`.
pub(crate) fn sign(
    typ: &str,
    with_kid: bool,
    payload: &Map<String, Value>,
    key: &SigningKey,
) -> String {
    let mut header = json!({ "alg": key.algorithm().name(), "typ": typ });
    if with_kid {
        header["kid"] = key.key_id().into();
    }
    let mut token = encode(header.to_string().as_bytes());
    token.push('.');
    let payload = serde_json::to_vec(payload).expect("a JSON object with string keys serialises");
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64url without padding, refusing padding and non-canonical trailing bits.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, JwsFault> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JwsFault::Malformed)
}
