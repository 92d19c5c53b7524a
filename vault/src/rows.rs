//! What the store keeps, row by row. Everything here is ciphertext, public, or said by the owner for the host to act on.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use tegata_consent::ids::{
    ChainId, DrawerId, EntryId, GrantId, Hash, OrganisationId, PublicKey, RecordId, Salt, VaultId,
};
use tegata_consent::invitation::Drawer;
use tegata_consent::scope::Scope;

/// Whose store this is. Written when the store is made; another host's or ledger's store is refused.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct Identity {
    /// Which ledger.
    #[n(1)]
    pub(crate) chain: ChainId,
    /// Which host.
    #[n(2)]
    pub(crate) host: OrganisationId,
    /// Every key that ever signed receipts here, oldest first.
    #[n(3)]
    pub(crate) keys: Vec<PublicKey>,
}

/// A vault.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct VaultRow {
    /// When it was opened, in milliseconds since 1970.
    #[n(1)]
    pub(crate) opened_ms: u64,
}

/// The wallet's sealed index.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct IndexRow {
    /// Counts up with every write; 1 for the first.
    #[n(1)]
    pub(crate) version: u64,
    /// Sealed by the wallet.
    #[n(2)]
    pub(crate) bytes: ByteVec,
}

/// A drawer and whose it is.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct DrawerRow {
    /// The owner.
    #[n(1)]
    pub(crate) vault: VaultId,
    /// Its public side.
    #[n(2)]
    pub(crate) drawer: Drawer,
}

/// The end of a drawer's chain of receipts.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct HeadRow {
    /// Number of deposits.
    #[n(1)]
    pub(crate) count: u64,
    /// [`tegata_consent::deposit::receipt_head`] of the last receipt.
    #[n(2)]
    pub(crate) head: Hash,
}

/// The papers of one deposit. Invitation and file lie under their digests.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct PapersRow {
    /// The record.
    #[n(1)]
    pub(crate) record: RecordId,
    /// Its date, in milliseconds since 1970.
    #[n(2)]
    pub(crate) date_ms: u64,
    /// The signed deposit.
    #[n(3)]
    pub(crate) deposit: ByteVec,
    /// The host's signed receipt.
    #[n(4)]
    pub(crate) receipt: ByteVec,
    /// Digest of the invitation.
    #[n(5)]
    pub(crate) invitation: Hash,
    /// The encoded lock.
    #[n(6)]
    pub(crate) lock: ByteVec,
    /// SHA-256 of the sealed file.
    #[n(7)]
    pub(crate) file: Hash,
    /// Length of the sealed file in bytes.
    #[n(8)]
    pub(crate) length: u64,
}

/// A grant on its way to the ledger, or there.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct SubmissionRow {
    /// Whose grant.
    #[n(1)]
    pub(crate) vault: VaultId,
    /// Id of the entry.
    #[n(2)]
    pub(crate) id: EntryId,
    /// The entry, countersigned.
    #[n(3)]
    pub(crate) entry: ByteVec,
    /// The signed order.
    #[n(4)]
    pub(crate) order: ByteVec,
    /// The sealed ticket.
    #[n(5)]
    pub(crate) ticket: ByteVec,
}

/// What an order lets a recipient fetch, once its grant is final.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct OrderRow {
    /// Whose vault.
    #[n(1)]
    pub(crate) vault: VaultId,
    /// Who may read.
    #[n(2)]
    pub(crate) recipient: OrganisationId,
    /// The grant's end, in milliseconds since 1970.
    #[n(3)]
    pub(crate) until_ms: u64,
    /// What it covers.
    #[n(4)]
    pub(crate) scope: Scope,
}

/// A revocation on its way to the ledger, or there.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct RevocationRow {
    /// Who sent it.
    #[n(1)]
    pub(crate) vault: VaultId,
    /// Id of the entry.
    #[n(2)]
    pub(crate) id: EntryId,
    /// The entry, countersigned.
    #[n(3)]
    pub(crate) entry: ByteVec,
}

/// What an access asked for, as it was opened to the host.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct OpeningRow {
    /// Opens the access's commitment.
    #[n(1)]
    pub(crate) salt: Salt,
    /// What it asked for.
    #[n(2)]
    pub(crate) scope: Scope,
}

/// A record handed out under an access.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(crate) struct HandedRow {
    /// Which.
    #[n(1)]
    pub(crate) record: RecordId,
    /// When first, in milliseconds since 1970.
    #[n(2)]
    pub(crate) time_ms: u64,
}

/// What the outbox carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum MessageKind {
    /// A sealed ticket.
    Ticket = 1,
    /// Word that there is something new under a grant.
    Ping = 2,
}

/// A message to a recipient's inbox. One message may stand for several rows: many deposits are one ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// To whom.
    pub(crate) recipient: OrganisationId,
    /// What.
    pub(crate) kind: MessageKind,
    /// About which grant.
    pub(crate) grant: GrantId,
    /// The store's own keys of the rows it stands for.
    pub(crate) rows: Vec<Vec<u8>>,
}

/// Where a fetch goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// In this drawer,
    pub(crate) drawer: DrawerId,
    /// after this deposit.
    pub(crate) sequence: u64,
}

impl Position {
    /// As it travels in [`tegata_consent::fetch::FetchAnswer::next`].
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.drawer.0.as_slice(), &self.sequence.to_be_bytes()].concat()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (drawer, sequence) = bytes.split_at_checked(DrawerId::LEN)?;
        let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
        Some(Self {
            drawer: DrawerId::try_from(drawer).ok()?,
            sequence,
        })
    }
}
