//! Why a SMART Health Card is not issued or not believed.

use crate::hcert::key_time;
use crate::inflate::InflateFault;
use crate::json::JsonFault;
use crate::rfc3339::write_time;
use crate::trust_list::KeyFault;

/// Why a card is not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShcIssueError {
    /// The key is not on P-256.
    #[error("SMART Health Cards are signed with ES256")]
    Algorithm,
    /// `iss` is no `https` URL, or ends with a slash.
    #[error("the issuer must be an https URL without a slash at its end")]
    Issuer,
    /// `rid` is longer than 24 characters, or of others than base64url's.
    #[error("a revocation id has 1 to 24 characters of base64url's alphabet")]
    RevocationId,
    /// `exp` is not after `nbf`.
    #[error("expires at {}, not after its issue at {}", write_time(*.exp), write_time(*.nbf))]
    ExpiryBeforeIssue {
        /// `exp`.
        exp: i64,
        /// `nbf`.
        nbf: i64,
    },
    /// The bundle; named is the member that does not fit.
    #[error("the bundle's `{0}` is missing or has the wrong form")]
    Bundle(&'static str),
    /// The card would be longer than [`MAX_BYTES`](super::MAX_BYTES), or, as a QR code, than
    /// [`MAX_QR_BYTES`](super::MAX_QR_BYTES).
    #[error("{0} bytes are too many")]
    TooLarge(usize),
}

impl ShcIssueError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Algorithm => "shc_alg_unsupported",
            Self::Issuer => "shc_issuer_invalid",
            Self::RevocationId => "shc_revocation_id_invalid",
            Self::ExpiryBeforeIssue { .. } => "shc_expiry_before_issue",
            Self::Bundle(_) => "shc_bundle_invalid",
            Self::TooLarge(_) => "shc_too_large",
        }
    }
}

/// Why a card is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShcError {
    /// Longer than [`MAX_BYTES`](super::MAX_BYTES), or expanding to more than
    /// [`MAX_EXPANDED_BYTES`](super::MAX_EXPANDED_BYTES).
    #[error("the card is too large")]
    TooLarge,
    /// The text does not begin with `shc:/`.
    #[error("the text does not begin with shc:/")]
    Prefix,
    /// What follows the prefix is not pairs of digits from 00 to 77.
    #[error("behind shc:/ are no pairs of digits from 00 to 77")]
    Digits,
    /// One QR code of several, and not all of them are here.
    #[error("QR code {found} of {count}; all {count} are needed, each once and in one text")]
    ChunkMissing {
        /// The first code that is there.
        found: usize,
        /// How many there are in all.
        count: usize,
    },
    /// Not a compact JWS with a JSON object in it.
    #[error("not a compact JWS with a JSON object in it")]
    Malformed,
    /// A member name occurs twice in one JSON object.
    #[error("member name `{0}` occurs twice")]
    DuplicateName(String),
    /// Too many containers inside one another.
    #[error("containers nest too deep")]
    TooDeep,
    /// `alg` is `none`.
    #[error("the card is not signed: `alg` is none")]
    AlgNone,
    /// `alg` is not ES256.
    #[error("the algorithm `{0}` is not ES256")]
    AlgUnsupported(String),
    /// The key with that id is for another algorithm.
    #[error("the key with that id is for another algorithm")]
    AlgMismatch,
    /// A critical header extension.
    #[error("critical header extensions are not known")]
    Crit,
    /// `zip` is not `DEF`.
    #[error("`zip` is not DEF")]
    Zip,
    /// Not one whole raw deflate stream.
    #[error("the payload is not raw deflate")]
    Compression,
    /// No `kid`.
    #[error("it names no key")]
    KeyIdMissing,
    /// No key that is believed has that thumbprint.
    #[error("no believed key has the thumbprint {0}")]
    KeyUnknown(String),
    /// The key did not count at that time.
    #[error("{}", key_time(.0))]
    KeyTime(KeyFault),
    /// The key does not sign for that issuer.
    #[error("the key does not sign for {0}")]
    Issuer(String),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// A claim is missing or has the wrong form.
    #[error("claim `{0}` is missing or has the wrong form")]
    Claim(&'static str),
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
    /// The bundle; named is the member that does not fit.
    #[error("the bundle's `{0}` is missing or has the wrong form")]
    Bundle(&'static str),
}

impl ShcError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "shc_too_large",
            Self::Prefix => "shc_prefix_unexpected",
            Self::Digits => "shc_digits_invalid",
            Self::ChunkMissing { .. } => "shc_chunk_missing",
            Self::Malformed => "shc_malformed",
            Self::DuplicateName(_) => "shc_name_duplicate",
            Self::TooDeep => "shc_too_deep",
            Self::AlgNone => "shc_alg_none",
            Self::AlgUnsupported(_) => "shc_alg_unsupported",
            Self::AlgMismatch => "shc_alg_mismatch",
            Self::Crit => "shc_crit_unsupported",
            Self::Zip => "shc_zip_unexpected",
            Self::Compression => "shc_compression_invalid",
            Self::KeyIdMissing => "shc_key_id_missing",
            Self::KeyUnknown(_) => "shc_key_unknown",
            Self::KeyTime(KeyFault::NotYetValid { .. }) => "shc_key_not_yet_valid",
            Self::KeyTime(KeyFault::Expired { .. }) => "shc_key_expired",
            Self::Issuer(_) => "shc_issuer_mismatch",
            Self::Signature => "shc_signature_invalid",
            Self::Claim(_) => "shc_claim_invalid",
            Self::NotYetValid { .. } => "shc_not_yet_valid",
            Self::Expired { .. } => "shc_expired",
            Self::Bundle(_) => "shc_bundle_invalid",
        }
    }
}

impl From<JsonFault> for ShcError {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Malformed => Self::Malformed,
            JsonFault::DuplicateName(name) => Self::DuplicateName(name),
            JsonFault::TooDeep => Self::TooDeep,
        }
    }
}

impl From<InflateFault> for ShcError {
    fn from(fault: InflateFault) -> Self {
        match fault {
            InflateFault::Malformed => Self::Compression,
            InflateFault::TooLarge => Self::TooLarge,
        }
    }
}
