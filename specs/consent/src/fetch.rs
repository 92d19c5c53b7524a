//! Fetching under an access, and what the host tells the citizen about it (`vault.md`, sections 5 and 6).

use crate::deposit::SealedRecord;
use crate::ids::{DrawerId, EntryId, RecordId, Salt};
use crate::log::LogLeaf;
use crate::scope::Scope;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// A recipient's request to the host, under an access that the ledger allowed.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct FetchRequest {
    /// Which access.
    #[n(1)]
    pub access: EntryId,
    /// Opens the access's commitment.
    #[n(2)]
    pub salt: Salt,
    /// What the access asked for.
    #[n(3)]
    pub scope: Scope,
    /// Where to go on, from [`FetchAnswer::next`].
    #[n(4)]
    pub after: Option<ByteVec>,
}

impl FetchRequest {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 32 * 1024;
}

/// Records under an access.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct FetchAnswer {
    /// In order of drawer, then deposit. Each with its receipt.
    #[n(1)]
    pub records: Vec<SealedRecord>,
    /// Present where there are more.
    #[n(2)]
    pub next: Option<ByteVec>,
}

impl FetchAnswer {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 80 * 1024 * 1024;
}

/// A record that the host handed out.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct HandedOut {
    /// From which drawer.
    #[n(1)]
    pub drawer: DrawerId,
    /// Which record.
    #[n(2)]
    pub record: RecordId,
    /// When, in milliseconds since 1970.
    #[n(3)]
    pub time_ms: u64,
}

/// What a host knows of one access.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Opening {
    /// Which access.
    #[n(1)]
    pub access: EntryId,
    /// Opens its commitment.
    #[n(2)]
    pub salt: Salt,
    /// What it asked for.
    #[n(3)]
    pub scope: Scope,
    /// What it got.
    #[n(4)]
    pub records: Vec<HandedOut>,
}

/// A page of everything a citizen needs to see who read what and when under a grant, and to check that it is complete.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct GrantHistory {
    /// The consent proof: an encoded [`crate::proof::StateProof`].
    #[n(1)]
    pub proof: ByteVec,
    /// Accesses, oldest first; checked by [`crate::history::HistoryReader`].
    #[n(2)]
    pub accesses: Vec<LogLeaf>,
    /// Openings of those of these accesses that came to the host.
    #[n(3)]
    pub openings: Vec<Opening>,
    /// How many accesses there are before the first of these; absent on the first page.
    #[n(4)]
    pub first: Option<u64>,
}

impl GrantHistory {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 16 * 1024 * 1024;
    /// Most accesses on one page.
    pub const ACCESSES_MAX: usize = 500;
}
