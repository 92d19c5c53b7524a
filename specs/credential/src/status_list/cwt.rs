//! The CWT form (draft-ietf-oauth-status-list §5.2): the same claims in CBOR, under COSE_Sign1.

use ciborium::Value;
use coset::iana::{CwtClaimName as Claim, EnumI64 as _};

use super::{
    Claims, MAX_TOKEN_BYTES, StatusList, StatusListError, StatusListIssuance, VerifiedStatusList,
    check_bits,
};
use crate::cbor;
use crate::cose::{self, CoseFault, Sign1};
use crate::keys::{PublicKey, SigningKey};

/// The media type, which is also `typ` in the protected header (RFC 9596).
pub const CWT_MEDIA_TYPE: &str = "application/statuslist+cwt";
/// The claim `status_list` (IANA, CWT claims).
const STATUS_LIST: i64 = 65_533;
/// The claim `ttl`.
const TTL: i64 = 65_534;

/// Signs `list`: COSE_Sign1, tagged 18, `kid` the key's id as text in bytes.
#[must_use]
pub fn sign_cwt(list: &StatusList, issuance: &StatusListIssuance<'_>, key: &SigningKey) -> Vec<u8> {
    let mut claims: Vec<(Value, Value)> = Vec::new();
    let mut say = |label: i64, value: Value| claims.push((label.into(), value));
    if let Some(issuer) = issuance.issuer {
        say(Claim::Iss.to_i64(), issuer.into());
    }
    say(Claim::Sub.to_i64(), issuance.uri.into());
    if let Some(exp) = issuance.expires_at {
        say(Claim::Exp.to_i64(), exp.into());
    }
    say(Claim::Iat.to_i64(), issuance.issued_at.into());
    let lst = Value::Bytes(list.to_compressed());
    say(
        STATUS_LIST,
        Value::Map(vec![("bits".into(), list.bits.into()), ("lst".into(), lst)]),
    );
    if let Some(ttl_s) = issuance.ttl_s {
        say(TTL, ttl_s.into());
    }
    let payload = cbor::encode(&Value::Map(claims));
    cose::sign(payload, key.key_id().as_bytes(), Some(CWT_MEDIA_TYPE), key)
}

/// A status list token in the CWT form that nobody has verified.
#[derive(Debug, Clone)]
pub struct StatusListCwt {
    envelope: Sign1,
    claims: Vec<(Value, Value)>,
}

impl StatusListCwt {
    /// Reads a token; the list stays compressed.
    ///
    /// # Errors
    /// [`StatusListError`]; `status_list_too_large` comes before anything is parsed.
    pub fn parse(token: &[u8]) -> Result<Self, StatusListError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(StatusListError::TooLarge(MAX_TOKEN_BYTES));
        }
        let envelope = Sign1::parse(token)?;
        if envelope.typ() != Some(CWT_MEDIA_TYPE) {
            return Err(StatusListError::Typ(envelope.typ().map(str::to_owned)));
        }
        match cbor::parse(envelope.payload()).map_err(CoseFault::from)? {
            Value::Map(claims) => Ok(Self { envelope, claims }),
            _ => Err(StatusListError::Malformed),
        }
    }

    /// `kid`, unverified.
    #[must_use]
    pub fn key_id(&self) -> Option<&[u8]> {
        self.envelope.key_id()
    }

    /// `sub`, unverified.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        cbor::get(&self.claims, Claim::Sub.to_i64()).and_then(Value::as_text)
    }

    /// Verifies with the issuer's `key`, at Unix second `at`, that this is the list of `uri` (the
    /// one in the credential) and that it is current.
    ///
    /// # Errors
    /// [`StatusListError`].
    pub fn verify(
        &self,
        key: &PublicKey,
        uri: &str,
        at: i64,
    ) -> Result<VerifiedStatusList, StatusListError> {
        self.envelope.verify(&(*key).into(), &[])?;
        let claims = Claims {
            sub: self.uri(),
            issued_at: self.integer(Claim::Iat.to_i64(), "iat"),
            expires_at: self.integer(Claim::Exp.to_i64(), "exp"),
            ttl_s: self.integer(TTL, "ttl"),
        };
        claims.check(uri, at, || {
            let missing = || StatusListError::Claim("status_list");
            let claim = cbor::get(&self.claims, STATUS_LIST).and_then(Value::as_map);
            let claim = claim.ok_or_else(missing)?;
            let member = |name: &str| {
                let found = claim.iter().find(|(key, _)| key.as_text() == Some(name));
                found.map(|(_, value)| value)
            };
            let bits = member("bits").and_then(Value::as_integer);
            let bits = bits.and_then(|bits| u64::try_from(bits).ok());
            let bits = check_bits(bits.ok_or_else(missing)?)?;
            let lst = member("lst")
                .and_then(Value::as_bytes)
                .ok_or_else(missing)?;
            StatusList::from_compressed(bits, lst)
        })
    }

    fn integer(&self, label: i64, name: &'static str) -> Result<Option<i64>, StatusListError> {
        match cbor::get(&self.claims, label) {
            None => Ok(None),
            Some(Value::Integer(value)) => i64::try_from(*value)
                .map(Some)
                .map_err(|_| StatusListError::Claim(name)),
            Some(_) => Err(StatusListError::Claim(name)),
        }
    }
}

impl From<CoseFault> for StatusListError {
    fn from(fault: CoseFault) -> Self {
        match fault {
            CoseFault::Malformed | CoseFault::DuplicateKey | CoseFault::TooDeep => Self::Malformed,
            CoseFault::AlgUnsupported(alg) => Self::AlgUnsupported(alg),
            CoseFault::AlgMismatch => Self::AlgMismatch,
            CoseFault::Crit => Self::Crit,
            CoseFault::Signature => Self::Signature,
        }
    }
}
