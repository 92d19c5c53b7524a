//! Status lists on the ledger, and the end of recalled copies (`status.md`).
//!
//! An issuer writes the digest of each status list that it signs, before it serves it. Whoever is given a list asks the ledger
//! for the newest digest, with proof: an old list cannot be served as new. A recipient that holds a copy of a recalled record
//! drops it and says so on the ledger; nobody but host, citizen and recipient can tell which record that was.

use crate::ids::{EntryId, GrantId, Hash, OrganisationId, RecordId, Salt, hash};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

/// How far a list's time may be ahead of the block's, in milliseconds: what verifiers of lists bear as well.
pub const STATUS_LIST_AHEAD_MAX_MS: u64 = 60_000;

/// The newest list that an issuer published in one form under one URI ([`status_list_id`], [`status_list_cwt_id`]).
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct StatusListState {
    /// SHA-256 of the signed list.
    #[n(1)]
    pub token: Hash,
    /// When it was signed, in milliseconds since 1970.
    #[n(2)]
    pub issued_ms: u64,
    /// Time of the block that holds the entry, in milliseconds since 1970.
    #[n(3)]
    pub published_ms: u64,
    /// How many lists were published in this form under this URI, this one included.
    #[n(4)]
    pub count: u64,
    /// How many records it recalls.
    #[n(5)]
    pub recalled: u32,
}

/// An over-asking on the ledger.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct OverAskingState {
    /// Who asked.
    #[n(1)]
    pub recipient: OrganisationId,
    /// Time of the block that holds the entry, in milliseconds since 1970.
    #[n(2)]
    pub reported_ms: u64,
}

/// A confirmed erasure on the ledger.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct ErasureState {
    /// Under which grant the record was read.
    #[n(1)]
    pub grant: GrantId,
    /// Time of the block that holds the entry, in milliseconds since 1970.
    #[n(2)]
    pub confirmed_ms: u64,
}

/// `SHA-256("tegata/v1/status-list" ‖ 0 ‖ URI)`: how the ledger names a list.
#[must_use]
pub fn status_list_id(uri: &str) -> Hash {
    Hash(hash("tegata/v1/status-list", &[uri.as_bytes()]))
}

/// Which list the CWT form under a URI is: it is put on the ledger by itself, beside the JWT form.
#[must_use]
pub fn status_list_cwt_id(uri: &str) -> Hash {
    Hash(hash("tegata/v1/status-list-cwt", &[uri.as_bytes()]))
}

/// SHA-256 of a signed list, byte for byte as it is served.
#[must_use]
pub fn token_digest(token: &[u8]) -> Hash {
    Hash(Sha256::digest(token).into())
}

/// `SHA-256("tegata/v1/erasure" ‖ 0 ‖ salt ‖ access ‖ record)`, the salt being the one of the access's opening.
#[must_use]
pub fn erasure_commitment(salt: &Salt, access: &EntryId, record: &RecordId) -> Hash {
    Hash(hash("tegata/v1/erasure", &[&salt.0, &access.0, &record.0]))
}

/// Why a status list is not the one in force. The ledger's word is [`StatusListState`], proven at a fresh header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatusListRefused {
    /// The ledger does not have this list under this URI, or has not yet.
    #[error("this status list is not on the ledger")]
    NotOnLedger,
    /// The ledger has one that came later.
    #[error("a later status list is on the ledger, signed at {issued_ms}")]
    Superseded {
        /// When the later one was signed, in milliseconds since 1970.
        issued_ms: u64,
    },
}

impl StatusListRefused {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotOnLedger => "status_list_not_on_ledger",
            Self::Superseded { .. } => "status_list_superseded",
        }
    }
}

/// Checks a signed list against what the ledger has under its URI. `issued_ms` is the list's own `iat`.
///
/// # Errors
/// [`StatusListRefused`].
pub fn check_status_list(
    newest: Option<&StatusListState>,
    token: &[u8],
    issued_ms: u64,
) -> Result<(), StatusListRefused> {
    let newest = newest.ok_or(StatusListRefused::NotOnLedger)?;
    if token_digest(token) == newest.token {
        return Ok(());
    }
    if issued_ms <= newest.issued_ms {
        return Err(StatusListRefused::Superseded {
            issued_ms: newest.issued_ms,
        });
    }
    Err(StatusListRefused::NotOnLedger)
}
