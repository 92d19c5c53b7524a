//! Why a health certificate is not issued or not believed.

use crate::cose::CoseFault;
use crate::inflate::InflateFault;
use crate::rfc3339::write_time;
use crate::trust_list::{KeyFault, Purpose};

/// Why a certificate is not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HcertIssueError {
    /// The key is not on P-256.
    #[error("health certificates are signed with ES256")]
    Algorithm,
    /// `exp` is not after `iat`.
    #[error("expires at {}, not after its issue at {}", write_time(*.exp), write_time(*.iat))]
    ExpiryBeforeIssue {
        /// `exp`.
        exp: i64,
        /// `iat`.
        iat: i64,
    },
    /// The payload does not fit the schema; named is what does not.
    #[error("the payload does not fit the schema: `{0}`")]
    Payload(&'static str),
    /// The text would be longer than [`MAX_BYTES`](super::MAX_BYTES).
    #[error("{0} bytes are too many")]
    TooLarge(usize),
}

impl HcertIssueError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Algorithm => "hcert_alg_unsupported",
            Self::ExpiryBeforeIssue { .. } => "hcert_expiry_before_issue",
            Self::Payload(_) => "hcert_payload_invalid",
            Self::TooLarge(_) => "hcert_too_large",
        }
    }
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HcertError {
    /// Longer than [`MAX_BYTES`](super::MAX_BYTES), or expanding to more than
    /// [`MAX_EXPANDED_BYTES`](super::MAX_EXPANDED_BYTES).
    #[error("the certificate is too large")]
    TooLarge,
    /// It does not begin with `HC1:`.
    #[error("the text does not begin with HC1:")]
    Prefix,
    /// Not base45.
    #[error("the text is not base45")]
    Base45,
    /// Not one whole zlib stream.
    #[error("the bytes are not zlib")]
    Compression,
    /// Not a CWT in COSE_Sign1.
    #[error("not a CWT in COSE_Sign1")]
    Malformed,
    /// A key twice in one map.
    #[error("a key is twice in one map")]
    DuplicateKey,
    /// Too many containers inside one another.
    #[error("containers nest too deep")]
    TooDeep,
    /// Neither ES256 nor PS256.
    #[error("the algorithm `{0}` is neither ES256 nor PS256")]
    AlgUnsupported(String),
    /// The key with that id is for another algorithm.
    #[error("the key with that id is for another algorithm")]
    AlgMismatch,
    /// A critical header extension.
    #[error("critical header extensions are not known")]
    Crit,
    /// No key id.
    #[error("it names no key")]
    KeyIdMissing,
    /// No key that is believed has that id.
    #[error("no believed key has the id {}", hex(.0))]
    KeyUnknown(Vec<u8>),
    /// The key did not count at that time.
    #[error("{}", key_time(.0))]
    KeyTime(KeyFault),
    /// The key's certificate is for something else.
    #[error("the key's certificate does not allow to certify a {}", .0.name())]
    KeyPurpose(Purpose),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// A claim is missing or has the wrong form.
    #[error("claim `{0}` is missing or has the wrong form")]
    Claim(&'static str),
    /// `iat` is in the future.
    #[error("issued at {}, after {}", write_time(*.iat), write_time(*.at))]
    IssuedInFuture {
        /// `iat`.
        iat: i64,
        /// The time of verification.
        at: i64,
    },
    /// `nbf` is in the future.
    #[error("not valid before {}; it is {}", write_time(*.nbf), write_time(*.at))]
    NotYetValid {
        /// `nbf`.
        nbf: i64,
        /// The time of verification.
        at: i64,
    },
    /// `exp` has come.
    #[error("expired at {}; it is {}", write_time(*.exp), write_time(*.at))]
    Expired {
        /// `exp`.
        exp: i64,
        /// The time of verification.
        at: i64,
    },
    /// No health certificate (claim -260, version 1) in it.
    #[error("there is no health certificate in it")]
    PayloadMissing,
    /// The payload does not fit the schema; named is what does not.
    #[error("the payload does not fit the schema: `{0}`")]
    Payload(&'static str),
}

impl HcertError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "hcert_too_large",
            Self::Prefix => "hcert_prefix_unexpected",
            Self::Base45 => "hcert_base45_invalid",
            Self::Compression => "hcert_compression_invalid",
            Self::Malformed => "hcert_malformed",
            Self::DuplicateKey => "hcert_key_duplicate",
            Self::TooDeep => "hcert_too_deep",
            Self::AlgUnsupported(_) => "hcert_alg_unsupported",
            Self::AlgMismatch => "hcert_alg_mismatch",
            Self::Crit => "hcert_crit_unsupported",
            Self::KeyIdMissing => "hcert_key_id_missing",
            Self::KeyUnknown(_) => "hcert_key_unknown",
            Self::KeyTime(KeyFault::NotYetValid { .. }) => "hcert_key_not_yet_valid",
            Self::KeyTime(KeyFault::Expired { .. }) => "hcert_key_expired",
            Self::KeyPurpose(_) => "hcert_key_purpose",
            Self::Signature => "hcert_signature_invalid",
            Self::Claim(_) => "hcert_claim_invalid",
            Self::IssuedInFuture { .. } => "hcert_issued_in_future",
            Self::NotYetValid { .. } => "hcert_not_yet_valid",
            Self::Expired { .. } => "hcert_expired",
            Self::PayloadMissing => "hcert_payload_missing",
            Self::Payload(_) => "hcert_payload_invalid",
        }
    }
}

impl From<CoseFault> for HcertError {
    fn from(fault: CoseFault) -> Self {
        match fault {
            CoseFault::Malformed => Self::Malformed,
            CoseFault::DuplicateKey => Self::DuplicateKey,
            CoseFault::TooDeep => Self::TooDeep,
            CoseFault::AlgUnsupported(alg) => Self::AlgUnsupported(alg),
            CoseFault::AlgMismatch => Self::AlgMismatch,
            CoseFault::Crit => Self::Crit,
            CoseFault::Signature => Self::Signature,
        }
    }
}

impl From<InflateFault> for HcertError {
    fn from(fault: InflateFault) -> Self {
        match fault {
            InflateFault::Malformed => Self::Compression,
            InflateFault::TooLarge => Self::TooLarge,
        }
    }
}

pub(crate) fn key_time(fault: &KeyFault) -> String {
    match fault {
        KeyFault::NotYetValid { from } => {
            format!("the key counts only from {} on", write_time(*from))
        }
        KeyFault::Expired { until } => format!("the key counted only until {}", write_time(*until)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
