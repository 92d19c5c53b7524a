//! Compact JWS (RFC 7515 §7.1) with a JSON object as payload, EdDSA and ES256 only. The formats
//! of this crate and the protocols of the services (OpenID4VCI key proofs, OpenID4VP requests)
//! are such tokens; what their claims mean is theirs to check.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
pub use crate::json::JsonFault;
use crate::keys::{Algorithm, PublicKey, SigningKey};

/// Why a compact JWS is refused before or at its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsFault {
    /// Not three base64url parts, or a signature that is not 64 octets.
    #[error("not a compact JWS")]
    Malformed,
    /// Header or payload is not an acceptable JSON object.
    #[error("header or payload: {0}")]
    Json(JsonFault),
    /// `alg` is `none`, in whatever case.
    #[error("`alg` is `none`: nobody signed this")]
    AlgNone,
    /// `alg` is absent or not EdDSA or ES256.
    #[error("`alg` is `{0}`, not EdDSA or ES256")]
    AlgUnsupported(String),
    /// The key is for another algorithm than `alg` says.
    #[error("the key is for another algorithm than `alg`")]
    AlgMismatch,
    /// `crit` asks for an extension; we know none.
    #[error("`crit` asks for extensions, and none is known")]
    Crit,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

impl JwsFault {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed | Self::Json(JsonFault::Malformed) => "malformed",
            Self::Json(JsonFault::DuplicateName(_)) => "json_name_duplicate",
            Self::Json(JsonFault::TooDeep) => "too_deep",
            Self::AlgNone => "alg_none",
            Self::AlgUnsupported(_) => "alg_unsupported",
            Self::AlgMismatch => "alg_mismatch",
            Self::Crit => "crit_unsupported",
            Self::Signature => "signature_invalid",
        }
    }
}

impl From<JsonFault> for JwsFault {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

/// A NumericDate (RFC 7519 §2), fractions dropped; absent where the claim is.
///
/// # Errors
/// The claim's name, where it is anything else.
pub fn numeric_date(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<i64>, &'static str> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    if let Some(seconds) = value.as_i64() {
        return Ok(Some(seconds));
    }
    match value.as_f64() {
        // Beyond 2^53 a double has no whole seconds, and no date means that anyway.
        Some(seconds) if seconds.abs() < 9_007_199_254_740_992.0 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
            Ok(Some(seconds.floor() as i64))
        }
        _ => Err(name),
    }
}

/// A parsed JWS whose signature nobody has checked yet.
#[derive(Debug, Clone)]
pub struct Jws {
    header: Map<String, Value>,
    pub(crate) payload: Map<String, Value>,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    alg: Algorithm,
    signing_input: String,
    signature: [u8; 64],
}

impl Jws {
    /// Reads a token. The caller bounds its length first.
    ///
    /// # Errors
    /// [`JwsFault`], all but [`JwsFault::AlgMismatch`] and [`JwsFault::Signature`].
    pub fn parse(token: &str) -> Result<Self, JwsFault> {
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
            header,
        })
    }

    /// The protected header, unverified.
    #[must_use]
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The payload, unverified.
    #[must_use]
    pub fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// What the header says it is signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.alg
    }

    /// Verifies the signature with `key`.
    ///
    /// # Errors
    /// [`JwsFault::AlgMismatch`], [`JwsFault::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), JwsFault> {
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
    let mut header = Map::new();
    header.insert("alg".into(), key.algorithm().name().into());
    header.insert("typ".into(), typ.into());
    if with_kid {
        header.insert("kid".into(), key.key_id().into());
    }
    sign_with_header(header, payload, key)
}

/// Signs `payload` under `header`, to which `alg` is added (and replaced, if it was there).
#[must_use]
pub fn sign_with_header(
    mut header: Map<String, Value>,
    payload: &Map<String, Value>,
    key: &SigningKey,
) -> String {
    header.insert("alg".into(), key.algorithm().name().into());
    let header = serde_json::to_vec(&header).expect("a JSON object with string keys serialises");
    let mut token = encode(&header);
    token.push('.');
    let payload = serde_json::to_vec(payload).expect("a JSON object with string keys serialises");
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// Base64url without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64url without padding, refusing padding and non-canonical trailing bits.
///
/// # Errors
/// [`JwsFault::Malformed`].
pub fn decode(text: &str) -> Result<Vec<u8>, JwsFault> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JwsFault::Malformed)
}
