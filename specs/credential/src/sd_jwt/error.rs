//! Why a credential is not issued, not shown, or not believed.
//!
//! No message repeats a claim's value: errors reach logs, and claims are a person's data.

use super::Path;
use crate::json::JsonFault;
use crate::jws::JwsFault;
use crate::keys::KeyError;
use crate::rfc3339::write_time;

/// Why [`issue`](super::issue) refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The claims are not a JSON object.
    #[error("the claims are not a JSON object")]
    NotAnObject,
    /// A claim has a name that the format or the profile keeps for itself.
    #[error("claim name `{0}` is reserved")]
    ReservedClaim(String),
    /// A path to a disclosable claim selects nothing.
    #[error("no claim at {0}")]
    NoSuchClaim(Path),
    /// The claims nest more than [`MAX_ISSUED_DEPTH`](super::MAX_ISSUED_DEPTH) containers.
    #[error("the claims nest too deep")]
    TooDeep,
    /// More than [`MAX_DISCLOSURES`](super::MAX_DISCLOSURES) disclosures.
    #[error("{0} disclosures are too many")]
    TooManyDisclosures(usize),
    /// The credential would exceed [`MAX_BYTES`](super::MAX_BYTES).
    #[error("the credential would have {0} bytes")]
    TooLarge(usize),
    /// `exp` is not after `iat`.
    #[error("expiry {} is not after issue {}", write_time(*.exp), write_time(*.iat))]
    ExpiryBeforeIssue {
        /// `exp`, Unix seconds.
        exp: i64,
        /// `iat`, Unix seconds.
        iat: i64,
    },
    /// The first certificate is not the signing key's.
    #[error("the first certificate is not the signing key's")]
    CertificateKey,
    /// Something would be the same in all copies of a batch, or in two, and tell them as one
    /// person's.
    #[error("copies would be linked by {0}")]
    Linkable(&'static str),
}

impl IssueError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject => "claims_not_object",
            Self::ReservedClaim(_) => "claim_name_reserved",
            Self::NoSuchClaim(_) => "claim_missing",
            Self::TooDeep => "too_deep",
            Self::TooManyDisclosures(_) => "disclosures_too_many",
            Self::TooLarge(_) => "too_large",
            Self::ExpiryBeforeIssue { .. } => "expiry_before_issue",
            Self::CertificateKey => "certificate_key_mismatch",
            Self::Linkable(_) => "copies_linkable",
        }
    }
}

/// Why [`present`](super::SdJwt::present) or [`disclose`](super::SdJwt::disclose) refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresentError {
    /// The credential itself does not hold together.
    #[error(transparent)]
    Credential(#[from] SdJwtError),
    /// A path selects no disclosure.
    #[error("no disclosure at {0}")]
    NoSuchClaim(Path),
    /// The credential names no holder key, or another one.
    #[error("the credential is not bound to this holder key")]
    HolderKeyMismatch,
    /// An extra claim of the key binding has a name that is taken.
    #[error("claim name `{0}` is reserved")]
    ReservedClaim(String),
}

impl PresentError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Credential(error) => error.code(),
            Self::NoSuchClaim(_) => "claim_missing",
            Self::HolderKeyMismatch => "holder_key_mismatch",
            Self::ReservedClaim(_) => "claim_name_reserved",
        }
    }
}

/// Which of the two JWTs in a presentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The JWT the issuer signed.
    Issuer,
    /// The key binding JWT.
    KeyBinding,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Issuer => "issuer-signed JWT",
            Self::KeyBinding => "key binding JWT",
        })
    }
}

/// Why a credential or presentation is not believed. Indexes of disclosures count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdJwtError {
    /// More than [`MAX_BYTES`](super::MAX_BYTES); nothing was parsed.
    #[error("{0} bytes are too many")]
    TooLarge(usize),
    /// More than [`MAX_DISCLOSURES`](super::MAX_DISCLOSURES); nothing was parsed.
    #[error("{0} disclosures are too many")]
    TooManyDisclosures(usize),
    /// Not the compact serialisation `<JWT>~<disclosure>~…~[<KB-JWT>]`.
    #[error("{0} is not well formed")]
    Malformed(Part),
    /// A container nests deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("containers nest too deep")]
    TooDeep,
    /// A member name occurs twice in one JSON object.
    #[error("member name `{0}` occurs twice")]
    DuplicateName(String),
    /// `alg` is `none`.
    #[error("the {0} is not signed: `alg` is none")]
    AlgNone(Part),
    /// `alg` is neither EdDSA nor ES256, or missing.
    #[error("the {part} has `alg` {alg:?}, which is not accepted")]
    AlgUnsupported {
        /// Which JWT.
        part: Part,
        /// What it says.
        alg: String,
    },
    /// `alg` is not what the key is for.
    #[error("the `alg` of the {0} is not the key's")]
    AlgMismatch(Part),
    /// A critical header extension; none is known.
    #[error("the {0} has critical header extensions")]
    Crit(Part),
    /// `typ` is not the expected one.
    #[error("the {part} has `typ` {typ:?}")]
    Typ {
        /// Which JWT.
        part: Part,
        /// What it says.
        typ: Option<String>,
    },
    /// The signature does not verify with the key.
    #[error("the signature of the {0} does not verify")]
    Signature(Part),
    /// The lookup knows no such issuer key.
    #[error("no key is known for issuer {issuer:?}, key id {key_id:?}")]
    IssuerKeyUnknown {
        /// `iss`.
        issuer: Option<String>,
        /// `kid`.
        key_id: Option<String>,
    },
    /// A registered claim is missing or has the wrong form.
    #[error("claim `{0}` is missing or has the wrong form")]
    Claim(&'static str),
    /// `_sd_alg` is not `sha-256`.
    #[error("digest algorithm {0:?} is not accepted")]
    HashUnsupported(String),
    /// A disclosure is not base64url of `[salt, name, value]` or `[salt, value]`.
    #[error("disclosure {0} is not well formed")]
    DisclosureMalformed(usize),
    /// The same disclosure twice.
    #[error("disclosure {0} is there twice")]
    DisclosureDuplicate(usize),
    /// No digest refers to a disclosure.
    #[error("disclosure {0} is referred to by no digest")]
    DisclosureUnreferenced(usize),
    /// A member's disclosure where an element's is wanted, or the other way round.
    #[error("disclosure {0} is of the wrong kind for its digest")]
    DisclosureWrongKind(usize),
    /// The same digest twice.
    #[error("digest {0} is there twice")]
    DigestDuplicate(String),
    /// A disclosure is named like something that is there already.
    #[error("claim `{0}` is there and disclosed as well")]
    ClaimDuplicate(String),
    /// A claim is named `_sd`, `_sd_alg` or `...` where that is not a digest's place.
    #[error("name `{0}` is reserved")]
    NameReserved(String),
    /// A claim that must be visible was behind a digest.
    #[error("claim `{0}` must not be selectively disclosable")]
    ClaimNotDisclosable(String),
    /// `_sd` or another part of the payload has the wrong form.
    #[error("the payload is not well formed")]
    PayloadMalformed,
    /// `status` names no status list we can read.
    #[error("the status mechanism is not supported")]
    StatusUnsupported,
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
    /// `cnf.jwk` is no key we accept.
    #[error("the holder key: {0}")]
    HolderKey(#[source] KeyError),
    /// Key binding is required, the credential names no holder key.
    #[error("the credential names no holder key")]
    HolderKeyMissing,
    /// Key binding is required and there is none.
    #[error("there is no key binding JWT")]
    KeyBindingMissing,
    /// The key binding is for another audience.
    #[error("the key binding is for another audience")]
    AudienceMismatch,
    /// The key binding answers another request.
    #[error("the key binding has another nonce")]
    NonceMismatch,
    /// The key binding is over other disclosures.
    #[error("`sd_hash` does not fit the presented credential")]
    SdHashMismatch,
    /// The key binding is too old.
    #[error("key binding issued at {} is older than {max_age_s} s; it is {}", write_time(*.iat), write_time(*.at))]
    KeyBindingTooOld {
        /// `iat` of the key binding.
        iat: i64,
        /// The time of verification.
        at: i64,
        /// The age allowed.
        max_age_s: i64,
    },
    /// The key binding is from the future.
    #[error("key binding issued at {}, after {}", write_time(*.iat), write_time(*.at))]
    KeyBindingInFuture {
        /// `iat` of the key binding.
        iat: i64,
        /// The time of verification.
        at: i64,
    },
}

impl SdJwtError {
    /// The stable reason code; those about the key binding JWT begin with `key_binding_`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        use Part::{Issuer, KeyBinding};
        match self {
            Self::TooLarge(_) => "too_large",
            Self::TooManyDisclosures(_) => "disclosures_too_many",
            Self::Malformed(Issuer) => "malformed",
            Self::Malformed(KeyBinding) => "key_binding_malformed",
            Self::TooDeep => "too_deep",
            Self::DuplicateName(_) => "json_name_duplicate",
            Self::AlgNone(Issuer) => "alg_none",
            Self::AlgNone(KeyBinding) => "key_binding_alg_none",
            Self::AlgUnsupported { part: Issuer, .. } => "alg_unsupported",
            Self::AlgUnsupported {
                part: KeyBinding, ..
            } => "key_binding_alg_unsupported",
            Self::AlgMismatch(Issuer) => "alg_mismatch",
            Self::AlgMismatch(KeyBinding) => "key_binding_alg_mismatch",
            Self::Crit(Issuer) => "crit_unsupported",
            Self::Crit(KeyBinding) => "key_binding_crit_unsupported",
            Self::Typ { part: Issuer, .. } => "typ_unexpected",
            Self::Typ {
                part: KeyBinding, ..
            } => "key_binding_typ_unexpected",
            Self::Signature(Issuer) => "signature_invalid",
            Self::Signature(KeyBinding) => "key_binding_signature_invalid",
            Self::IssuerKeyUnknown { .. } => "issuer_key_unknown",
            Self::Claim(_) => "claim_invalid",
            Self::HashUnsupported(_) => "hash_unsupported",
            Self::DisclosureMalformed(_) => "disclosure_malformed",
            Self::DisclosureDuplicate(_) => "disclosure_duplicate",
            Self::DisclosureUnreferenced(_) => "disclosure_unreferenced",
            Self::DisclosureWrongKind(_) => "disclosure_wrong_kind",
            Self::DigestDuplicate(_) => "digest_duplicate",
            Self::ClaimDuplicate(_) => "claim_duplicate",
            Self::NameReserved(_) => "claim_name_reserved",
            Self::ClaimNotDisclosable(_) => "claim_not_disclosable",
            Self::PayloadMalformed => "payload_malformed",
            Self::StatusUnsupported => "status_unsupported",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::HolderKey(_) => "holder_key_invalid",
            Self::HolderKeyMissing => "holder_key_missing",
            Self::KeyBindingMissing => "key_binding_missing",
            Self::AudienceMismatch => "key_binding_audience_mismatch",
            Self::NonceMismatch => "key_binding_nonce_mismatch",
            Self::SdHashMismatch => "key_binding_sd_hash_mismatch",
            Self::KeyBindingTooOld { .. } => "key_binding_too_old",
            Self::KeyBindingInFuture { .. } => "key_binding_in_future",
        }
    }

    /// What a fault of one JWT means for the whole.
    pub(super) fn from_jws(part: Part, fault: JwsFault) -> Self {
        match fault {
            JwsFault::Malformed | JwsFault::Json(JsonFault::Malformed) => Self::Malformed(part),
            JwsFault::Json(JsonFault::TooDeep) => Self::TooDeep,
            JwsFault::Json(JsonFault::DuplicateName(name)) => Self::DuplicateName(name),
            JwsFault::AlgNone => Self::AlgNone(part),
            JwsFault::AlgUnsupported(alg) => Self::AlgUnsupported { part, alg },
            JwsFault::AlgMismatch => Self::AlgMismatch(part),
            JwsFault::Crit => Self::Crit(part),
            JwsFault::Signature => Self::Signature(part),
        }
    }
}
