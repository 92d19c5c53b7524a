//! Who read what and when, complete by proof (`proofs.md`, section 4).
//!
//! A grant's state leaf carries how many accesses there were and the head of a hash chain over their log leaves. Whoever has
//! the consent proof checks a list of leaves against it: nothing can be missing, added or swapped.

use crate::entry::{Access, Body, Entry, EntryError};
use crate::ids::{ChainId, EntryId, GrantId, Hash, hash};
use crate::log::LogLeaf;
use crate::state::{GrantState, Outcome};

/// Head of the chain before the first access.
pub const GENESIS_HEAD: Hash = Hash([0; 32]);

/// `SHA-256("tegata/v1/access-chain" ‖ 0 ‖ head ‖ leaf hash)`.
#[must_use]
pub fn next_head(head: &Hash, leaf: &Hash) -> Hash {
    Hash(hash("tegata/v1/access-chain", &[&head.0, &leaf.0]))
}

/// One access that is proven to have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The entry's id.
    pub id: EntryId,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// At which height.
    pub height: u64,
    /// What was asked.
    pub access: Access,
    /// What came of it.
    pub outcome: Outcome,
}

/// Why a history is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// Another number of accesses than the ledger has.
    #[error("the history has {found} accesses, the ledger has {expected}")]
    Count {
        /// In the list.
        found: usize,
        /// On the ledger.
        expected: u64,
    },
    /// Something in the list is not what the ledger has.
    #[error("the history does not lead to the head that the ledger has")]
    Head,
    /// Not an access under this grant.
    #[error("leaf {0} is not an access under this grant")]
    NotAnAccess(usize),
    /// An entry that does not hold.
    #[error("leaf {0}: {1}")]
    Entry(usize, EntryError),
}

/// Checks that `leaves` are all accesses under a grant, oldest first, as the grant's proven state says.
///
/// # Errors
/// [`HistoryError`].
pub fn verify_history(
    chain: &ChainId,
    grant: &GrantId,
    state: &GrantState,
    leaves: &[LogLeaf],
) -> Result<Vec<Reading>, HistoryError> {
    if leaves.len() as u64 != state.accesses {
        return Err(HistoryError::Count {
            found: leaves.len(),
            expected: state.accesses,
        });
    }
    let head = leaves
        .iter()
        .fold(GENESIS_HEAD, |head, leaf| next_head(&head, &leaf.hash()));
    if head != state.accesses_head {
        return Err(HistoryError::Head);
    }
    let mut readings = Vec::with_capacity(leaves.len());
    for (index, leaf) in leaves.iter().enumerate() {
        let entry = Entry::parse(&leaf.entry).map_err(|error| HistoryError::Entry(index, error))?;
        let verified = entry
            .verify(chain)
            .map_err(|error| HistoryError::Entry(index, error))?;
        match verified.entry().body() {
            Body::Access(access) if access.grant == *grant => readings.push(Reading {
                id: verified.id(),
                time_ms: leaf.time_ms,
                height: leaf.height,
                access: access.clone(),
                outcome: leaf.outcome,
            }),
            _ => return Err(HistoryError::NotAnAccess(index)),
        }
    }
    Ok(readings)
}
