//! EU / WHO health certificates (HCERT): a signed payload small enough for a QR code that is
//! checked offline.
//!
//! Electronic Health Certificate Specification 1.0.5 of the EU's eHealth Network: a CWT (RFC 8392)
//! in COSE_Sign1, zlib, base45, the prefix `HC1:`. Issued with ES256; ES256 and PS256 verified.
//! The page is `hcert.md`. [`Hcert`] is unverified: it answers what the certificate *says*;
//! whoever holds a [`VerifiedHcert`], verified it against a list of keys he believes.

mod error;
mod payload;

pub(crate) use error::key_time;
pub use error::{HcertError, HcertIssueError};
pub use payload::{Kind, check_payload};

use ciborium::Value as Cbor;
use coset::iana::{CwtClaimName as Claim, EnumI64 as _};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use std::io::Write as _;

use crate::cose::{self, Sign1};
use crate::keys::{Algorithm, SigningKey};
use crate::trust_list::{TrustList, TrustedKey};
use crate::verification_key::SignatureAlgorithm;
use crate::{CLOCK_SKEW_S, base45, cbor, inflate};

/// What the text begins with: context and version.
pub const PREFIX: &str = "HC1:";
/// The longest text read or issued, in bytes; a QR code holds 4,296 characters of this alphabet.
pub const MAX_BYTES: usize = 8 * 1024;
/// What the text may expand to, in bytes.
pub const MAX_EXPANDED_BYTES: usize = 32 * 1024;

/// What a certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct HcertIssuance<'a> {
    /// `iss`: ISO 3166-1 alpha-2 code of the country that issues.
    pub issuer: &'a str,
    /// `iat`, Unix seconds.
    pub issued_at: i64,
    /// `exp`, Unix seconds.
    pub expires_at: i64,
    /// The signing certificate's key id: [`certificate_key_id`](crate::trust_list::certificate_key_id).
    pub key_id: [u8; 8],
    /// The digital certificate: `{"ver", "nam", "dob", "v" | "t" | "r"}`.
    pub payload: &'a Value,
}

/// Signs a certificate: the text of a QR code.
///
/// # Errors
/// [`HcertIssueError`].
pub fn issue(issuance: &HcertIssuance<'_>, key: &SigningKey) -> Result<String, HcertIssueError> {
    if key.algorithm() != Algorithm::Es256 {
        return Err(HcertIssueError::Algorithm);
    }
    if issuance.expires_at <= issuance.issued_at {
        let (exp, iat) = (issuance.expires_at, issuance.issued_at);
        return Err(HcertIssueError::ExpiryBeforeIssue { exp, iat });
    }
    check_payload(issuance.payload).map_err(HcertIssueError::Payload)?;
    let payload = to_cbor(issuance.payload).ok_or(HcertIssueError::Payload("number"))?;
    let claims = Cbor::Map(vec![
        (Claim::Iss.to_i64().into(), issuance.issuer.into()),
        (Claim::Exp.to_i64().into(), issuance.expires_at.into()),
        (Claim::Iat.to_i64().into(), issuance.issued_at.into()),
        (
            Claim::Hcert.to_i64().into(),
            Cbor::Map(vec![(1.into(), payload)]),
        ),
    ]);
    let signed = cose::sign(cbor::encode(&claims), &issuance.key_id, None, key);
    let text = format!("{PREFIX}{}", base45::encode(&deflate(&signed)));
    if text.len() > MAX_BYTES {
        return Err(HcertIssueError::TooLarge(text.len()));
    }
    Ok(text)
}

/// A certificate that nobody has verified.
#[derive(Debug, Clone)]
pub struct Hcert {
    envelope: Sign1,
    issuer: Option<String>,
    issued_at: Option<i64>,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    payload: Value,
}

impl Hcert {
    /// Reads the text of a QR code.
    ///
    /// # Errors
    /// [`HcertError`]; bounds come before anything is decoded.
    pub fn parse(text: &str) -> Result<Self, HcertError> {
        if text.len() > MAX_BYTES {
            return Err(HcertError::TooLarge);
        }
        let text = text.strip_prefix(PREFIX).ok_or(HcertError::Prefix)?;
        let compressed = base45::decode(text).ok_or(HcertError::Base45)?;
        let bytes = inflate::zlib(&compressed, MAX_EXPANDED_BYTES)?;
        let envelope = Sign1::parse(&bytes)?;
        if envelope.algorithm() == SignatureAlgorithm::EdDsa {
            return Err(HcertError::AlgUnsupported("EdDSA".into()));
        }
        let claims = cbor::parse(envelope.payload()).map_err(cose::CoseFault::from)?;
        let claims = claims.as_map().ok_or(HcertError::Malformed)?;
        let time =
            |name: Claim, label| cose::seconds(claims, name).map_err(|()| HcertError::Claim(label));
        let issuer = match cbor::get(claims, Claim::Iss.to_i64()) {
            None => None,
            Some(issuer) => Some(issuer.as_text().ok_or(HcertError::Claim("iss"))?.to_owned()),
        };
        let hcert = cbor::get(claims, Claim::Hcert.to_i64()).ok_or(HcertError::PayloadMissing)?;
        let hcert = hcert.as_map().and_then(|versions| cbor::get(versions, 1));
        let payload = hcert.ok_or(HcertError::PayloadMissing)?;
        Ok(Self {
            issuer,
            issued_at: time(Claim::Iat, "iat")?,
            not_before: time(Claim::Nbf, "nbf")?,
            expires_at: time(Claim::Exp, "exp")?,
            payload: to_json(payload).ok_or(HcertError::Payload("value"))?,
            envelope,
        })
    }

    /// The key id in the header, unverified.
    #[must_use]
    pub fn key_id(&self) -> Option<&[u8]> {
        self.envelope.key_id()
    }

    /// `alg`, unverified.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.envelope.algorithm()
    }

    /// `iss`, unverified.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// `iat`, unverified.
    #[must_use]
    pub fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }

    /// `exp`, unverified.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// Verifies, at Unix second `at`, with the keys of `trusted`.
    ///
    /// The key is the one that the certificate names by its id, and no other: a signature by a
    /// believed key under another id is refused.
    ///
    /// # Errors
    /// [`HcertError`].
    pub fn verify<'t>(
        &self,
        trusted: &'t TrustList,
        at: i64,
    ) -> Result<VerifiedHcert<'t>, HcertError> {
        let key = self.signer(trusted)?;
        let issued_at = self.issued_at.ok_or(HcertError::Claim("iat"))?;
        if issued_at > at.saturating_add(CLOCK_SKEW_S) {
            return Err(HcertError::IssuedInFuture { iat: issued_at, at });
        }
        if let Some(nbf) = self
            .not_before
            .filter(|nbf| *nbf > at.saturating_add(CLOCK_SKEW_S))
        {
            return Err(HcertError::NotYetValid { nbf, at });
        }
        let expires_at = self.expires_at.ok_or(HcertError::Claim("exp"))?;
        if expires_at <= at {
            return Err(HcertError::Expired {
                exp: expires_at,
                at,
            });
        }
        key.check_time(issued_at, at).map_err(HcertError::KeyTime)?;
        let kind = check_payload(&self.payload).map_err(HcertError::Payload)?;
        if !key.signs(kind.purpose()) {
            return Err(HcertError::KeyPurpose(kind.purpose()));
        }
        Ok(VerifiedHcert {
            key,
            kind,
            issuer: self.issuer.clone(),
            issued_at,
            expires_at,
            payload: self.payload.clone(),
        })
    }

    /// The believed key with the certificate's key id by which the signature holds.
    fn signer<'t>(&self, trusted: &'t TrustList) -> Result<&'t TrustedKey, HcertError> {
        let id = self.key_id().ok_or(HcertError::KeyIdMissing)?;
        let mut refused = None;
        // Eight bytes may be those of two certificates.
        for key in trusted.by_id(id) {
            match self.envelope.verify(key.key(), &[]) {
                Ok(()) => return Ok(key),
                // That a key is of another kind says less than that its signature is wrong.
                Err(fault) if refused.is_none() || fault == cose::CoseFault::Signature => {
                    refused = Some(fault);
                }
                Err(_) => {}
            }
        }
        Err(match refused {
            Some(fault) => fault.into(),
            None => HcertError::KeyUnknown(id.to_vec()),
        })
    }
}

/// A certificate whose signature, times and form hold.
#[derive(Debug, Clone)]
pub struct VerifiedHcert<'t> {
    key: &'t TrustedKey,
    kind: Kind,
    issuer: Option<String>,
    issued_at: i64,
    expires_at: i64,
    payload: Value,
}

impl<'t> VerifiedHcert<'t> {
    /// The key that signed it.
    #[must_use]
    pub fn key(&self) -> &'t TrustedKey {
        self.key
    }

    /// What it certifies.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// `iat`, Unix seconds.
    #[must_use]
    pub fn issued_at(&self) -> i64 {
        self.issued_at
    }

    /// `exp`, Unix seconds.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// `{"ver", "nam", "dob", "v" | "t" | "r"}`.
    #[must_use]
    pub fn payload(&self) -> &Value {
        &self.payload
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec cannot fail")
}

/// `None` for a number that is neither whole nor finite.
fn to_cbor(value: &Value) -> Option<Cbor> {
    Some(match value {
        Value::Null => Cbor::Null,
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), _) => number.into(),
            (.., number) => number?.into(),
        },
        Value::Array(items) => Cbor::Array(items.iter().map(to_cbor).collect::<Option<_>>()?),
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .map(|(name, value)| Some((name.as_str().into(), to_cbor(value)?)))
                .collect::<Option<_>>()?,
        ),
    })
}

/// `None` for what JSON cannot say: bytes, names that are no text, numbers of more than 64 bits,
/// tags other than those of a time.
fn to_json(value: &Cbor) -> Option<Value> {
    Some(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(value) => (*value).into(),
        Cbor::Text(text) => text.as_str().into(),
        Cbor::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => return None,
        },
        Cbor::Float(number) => serde_json::Number::from_f64(*number)?.into(),
        Cbor::Array(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        Cbor::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, value)| Some((name.as_text()?.to_owned(), to_json(value)?)))
                .collect::<Option<_>>()?,
        ),
        // RFC 3339 text (0) and full-date (1004, RFC 8943), which some issuers tag.
        Cbor::Tag(0 | 1004, inner) if inner.is_text() => to_json(inner)?,
        _ => return None,
    })
}
