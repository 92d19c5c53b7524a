//! COSE_Sign1 (RFC 9052 §4.2), only as much as the CBOR formats of this crate need: EU health
//! certificates and status lists. The structures are `coset`'s; bounds and rules are here.
//!
//! `alg` and the key id may lie in either header, as RFC 9052 §3.1 has it; the protected one wins.
//! An `alg` that the signature does not cover decides nothing: each key is for one algorithm.

use ciborium::Value;
use coset::iana::{self, EnumI64 as _};
use coset::{
    AsCborValue as _, CoseSign1, CoseSign1Builder, HeaderBuilder, Label,
    TaggedCborSerializable as _,
};

use crate::cbor::{self, CborFault};
use crate::keys::{Algorithm, SigningKey};
use crate::verification_key::{SignatureAlgorithm, VerificationKey, VerifyFault};

/// Tag of a CWT (RFC 8392 §6), which may stand before that of COSE_Sign1.
const CWT_TAG: u64 = iana::CborTag::Cwt as u64;
/// Header parameter `typ` (RFC 9596).
const TYP: i64 = 16;

/// Why a COSE_Sign1 is refused before or at its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoseFault {
    /// Not CBOR, or not a COSE_Sign1 with its payload inside.
    #[error("not a COSE_Sign1 with its payload")]
    Malformed,
    /// A key twice in one map.
    #[error("a key is twice in one map")]
    DuplicateKey,
    /// Too many containers inside one another.
    #[error("containers nest too deep")]
    TooDeep,
    /// `alg` is absent, or none that is accepted.
    #[error("the algorithm `{0}` is not ES256, EdDSA or PS256")]
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

impl CoseFault {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "cose_malformed",
            Self::DuplicateKey => "cose_key_duplicate",
            Self::TooDeep => "cose_too_deep",
            Self::AlgUnsupported(_) => "cose_alg_unsupported",
            Self::AlgMismatch => "cose_alg_mismatch",
            Self::Crit => "cose_crit_unsupported",
            Self::Signature => "cose_signature_invalid",
        }
    }
}

impl From<CborFault> for CoseFault {
    fn from(fault: CborFault) -> Self {
        match fault {
            CborFault::Malformed => Self::Malformed,
            CborFault::DuplicateKey => Self::DuplicateKey,
            CborFault::TooDeep => Self::TooDeep,
        }
    }
}

impl From<VerifyFault> for CoseFault {
    fn from(fault: VerifyFault) -> Self {
        match fault {
            VerifyFault::Algorithm => Self::AlgMismatch,
            VerifyFault::Signature => Self::Signature,
        }
    }
}

/// A COSE_Sign1 whose signature nobody has checked yet.
#[derive(Debug, Clone)]
pub struct Sign1 {
    inner: CoseSign1,
    algorithm: SignatureAlgorithm,
}

impl Sign1 {
    /// Reads one, tagged (18, or 61 and 18) or not. The caller bounds its length first.
    ///
    /// # Errors
    /// [`CoseFault`], all but `AlgMismatch` and `Signature`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoseFault> {
        let mut value = cbor::parse(bytes)?;
        for tag in [CWT_TAG, CoseSign1::TAG] {
            value = match value {
                Value::Tag(found, inner) if found == tag => *inner,
                other => other,
            };
        }
        // coset reads the protected header itself; here its depth and keys are looked at first.
        if let Some(Value::Bytes(protected)) = value.as_array().and_then(|parts| parts.first())
            && !protected.is_empty()
        {
            cbor::parse(protected)?;
        }
        let mut inner = CoseSign1::from_cbor_value(value).map_err(|_| CoseFault::Malformed)?;
        if inner.protected.header.is_empty() {
            // However an empty header was written, what is signed has it empty (RFC 9052 §4.4).
            inner.protected.original_data = Some(Vec::new());
        }
        if inner.payload.is_none() {
            return Err(CoseFault::Malformed);
        }
        let protected = &inner.protected.header;
        if !protected.crit.is_empty() || !inner.unprotected.crit.is_empty() {
            return Err(CoseFault::Crit);
        }
        let algorithm = match protected.alg.as_ref().or(inner.unprotected.alg.as_ref()) {
            Some(coset::Algorithm::Assigned(iana::Algorithm::ES256)) => SignatureAlgorithm::Es256,
            Some(coset::Algorithm::Assigned(iana::Algorithm::EdDSA)) => SignatureAlgorithm::EdDsa,
            Some(coset::Algorithm::Assigned(iana::Algorithm::PS256)) => SignatureAlgorithm::Ps256,
            Some(other) => return Err(CoseFault::AlgUnsupported(format!("{other:?}"))),
            None => return Err(CoseFault::AlgUnsupported(String::new())),
        };
        Ok(Self { inner, algorithm })
    }

    /// What it says it is signed with.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The key id: the protected one, else the unprotected one.
    #[must_use]
    pub fn key_id(&self) -> Option<&[u8]> {
        [&self.inner.protected.header, &self.inner.unprotected]
            .into_iter()
            .map(|header| header.key_id.as_slice())
            .find(|id| !id.is_empty())
    }

    /// `typ` in the protected header (RFC 9596), if it is a text.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        let rest = &self.inner.protected.header.rest;
        let (_, typ) = rest.iter().find(|(label, _)| *label == Label::Int(TYP))?;
        typ.as_text()
    }

    /// The payload, unverified.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.inner.payload.as_deref().unwrap_or_default()
    }

    /// Verifies the signature with `key` over the payload and `aad`, which is empty for all CWTs.
    ///
    /// # Errors
    /// [`CoseFault::AlgMismatch`], [`CoseFault::Signature`].
    pub fn verify(&self, key: &VerificationKey, aad: &[u8]) -> Result<(), CoseFault> {
        let signed = self.inner.tbs_data(aad);
        Ok(key.verify(self.algorithm, &signed, &self.inner.signature)?)
    }
}

/// Signs `payload`; tagged 18. The key id is protected.
#[must_use]
pub fn sign(payload: Vec<u8>, key_id: &[u8], typ: Option<&str>, key: &SigningKey) -> Vec<u8> {
    let algorithm = match key.algorithm() {
        Algorithm::EdDsa => iana::Algorithm::EdDSA,
        Algorithm::Es256 => iana::Algorithm::ES256,
    };
    let mut header = HeaderBuilder::new()
        .algorithm(algorithm)
        .key_id(key_id.to_vec());
    if let Some(typ) = typ {
        header = header.value(TYP, Value::from(typ));
    }
    CoseSign1Builder::new()
        .protected(header.build())
        .payload(payload)
        .create_signature(&[], |signed| key.sign(signed).to_vec())
        .build()
        .to_tagged_vec()
        .expect("headers of ours have no label twice")
}

/// A claim that is a whole number of seconds since 1970.
pub(crate) fn seconds(
    claims: &[(Value, Value)],
    name: iana::CwtClaimName,
) -> Result<Option<i64>, ()> {
    match cbor::get(claims, name.to_i64()) {
        None => Ok(None),
        Some(Value::Integer(at)) => i64::try_from(*at).map(Some).map_err(|_| ()),
        Some(_) => Err(()),
    }
}
