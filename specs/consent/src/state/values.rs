//! What stands in the state tree, under which keys (`state.md`, section 2).

use super::Refusal;
use crate::entry::Grant;
use crate::ids::{GrantId, Hash, OrganisationId};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// A key of the state tree (`state.md`, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(Vec<u8>);

impl StateKey {
    /// An organisation; the value is an [`crate::organisation::OrganisationState`].
    #[must_use]
    pub fn organisation(id: &OrganisationId) -> Self {
        Self([b"organisation/".as_slice(), &id.0].concat())
    }
    /// A grant; the value is a [`GrantState`].
    #[must_use]
    pub fn grant(id: &GrantId) -> Self {
        Self([b"grant/".as_slice(), &id.0].concat())
    }
    /// How many citizens' entries a sponsor carried this hour; the value is a [`SponsorCount`].
    #[must_use]
    pub fn sponsor(id: &OrganisationId) -> Self {
        Self([b"sponsor/".as_slice(), &id.0].concat())
    }
    /// What an organisation wrote by itself this hour; the value is an [`OwnCount`].
    #[must_use]
    pub fn own(id: &OrganisationId) -> Self {
        Self([b"own/".as_slice(), &id.0].concat())
    }
    /// The newest status list of an issuer in one form under one URI; the value is a [`crate::status::StatusListState`].
    #[must_use]
    pub fn status_list(issuer: &OrganisationId, list: &Hash) -> Self {
        Self([b"status-list/".as_slice(), &issuer.0, &list.0].concat())
    }
    /// A request that was reported ([`crate::over_asking::evidence_digest`]); the value is an [`crate::status::OverAskingState`].
    #[must_use]
    pub fn over_asking(request: &Hash) -> Self {
        Self([b"over-asking/".as_slice(), &request.0].concat())
    }
    /// A confirmed erasure ([`crate::status::erasure_commitment`]); the value is an [`crate::status::ErasureState`].
    #[must_use]
    pub fn erasure(recipient: &OrganisationId, commitment: &Hash) -> Self {
        Self([b"erasure/".as_slice(), &recipient.0, &commitment.0].concat())
    }
    /// The operators; the value is a sorted list of keys.
    #[must_use]
    pub fn operators() -> Self {
        Self(b"operators".to_vec())
    }
    /// The limits; the value is [`Parameters`].
    #[must_use]
    pub fn parameters() -> Self {
        Self(b"parameters".to_vec())
    }
    /// The validators; the value is a [`crate::header::ValidatorSet`].
    #[must_use]
    pub fn validators() -> Self {
        Self(b"validators".to_vec())
    }
    /// The key as bytes; the state tree's place is their SHA-256.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// A key from a store that holds only such keys.
    #[must_use]
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// New values.
pub type Changes = BTreeMap<StateKey, Vec<u8>>;

/// Limits, set at genesis.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Parameters {
    /// Most citizens' entries that one sponsor may carry in an hour.
    #[n(1)]
    pub sponsor_entries_per_hour: u32,
}

/// How many entries a sponsor carried in an hour.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(map)]
pub struct SponsorCount {
    /// Hours since 1970.
    #[n(1)]
    pub hour: u64,
    /// Entries in that hour.
    #[n(2)]
    pub entries: u32,
}

/// Most refused accesses of one organisation in an hour. Whoever asks more often under grants that do not stand has not
/// looked; nothing is handed out either way, and the limit touches no access that a grant allows.
pub const REFUSED_ACCESSES_PER_HOUR: u32 = 1_000;
/// Most other entries (status lists, confirmed erasures) that one organisation writes by itself in an hour.
pub const OWN_ENTRIES_PER_HOUR: u32 = 10_000;

/// Most reports in an hour that one organisation asked for too much. Each holds its own signature, so nobody else can use them
/// up, and so many say enough.
pub const OVER_ASKINGS_PER_HOUR: u32 = 100;

/// What an organisation wrote by itself in an hour, and what was reported of it.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(map)]
pub struct OwnCount {
    /// Hours since 1970.
    #[n(1)]
    pub hour: u64,
    /// Refused accesses in that hour.
    #[n(2)]
    pub refused: u32,
    /// Status lists and confirmed erasures in that hour.
    #[n(3)]
    pub entries: u32,
    /// Requests of it that were reported in that hour.
    #[n(4)]
    pub reported: u32,
}

/// A grant as it stands on the ledger.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct GrantState {
    /// What the person signed.
    #[n(1)]
    pub grant: Grant,
    /// Time of the block that holds it, in milliseconds since 1970.
    #[n(2)]
    pub granted_ms: u64,
    /// Time of the block that holds its revocation, in milliseconds since 1970.
    #[n(3)]
    pub revoked_ms: Option<u64>,
    /// How many accesses were allowed.
    #[n(4)]
    pub uses: u32,
    /// How many accesses there were, refused ones included.
    #[n(5)]
    pub accesses: u64,
    /// Head of the hash chain over them ([`crate::history`]).
    #[n(6)]
    pub accesses_head: Hash,
}

impl GrantState {
    /// Whether the grant stands at a time, uses aside.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub fn standing(&self, at_ms: u64) -> Result<(), Refusal> {
        if self.revoked_ms.is_some() {
            Err(Refusal::Revoked)
        } else if at_ms < self.grant.from_ms {
            Err(Refusal::NotStarted)
        } else if at_ms >= self.grant.until_ms {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }
}
