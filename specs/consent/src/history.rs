//! Who read what and when, complete by proof (`proofs.md`, section 4).
//!
//! A grant's state leaf carries how many accesses there were and the head of a hash chain over their log leaves. Whoever has
//! the consent proof checks a list of leaves against it: nothing can be missing, added or swapped. A long list comes in
//! pages ([`HistoryReader`]), each under a consent proof of its own, so that it may grow while it is read.

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
        /// In the list, pages before included.
        found: u64,
        /// On the ledger.
        expected: u64,
    },
    /// A page that does not go on where the one before ended.
    #[error("the page begins after {found} accesses, expected {expected}")]
    Order {
        /// Accesses before it, as the page says.
        found: u64,
        /// Accesses that were read.
        expected: u64,
    },
    /// Something in the list is not what the ledger has.
    #[error("the history does not lead to the head that the ledger has")]
    Head,
    /// Not an access under this grant.
    #[error("leaf {0} is not an access under this grant")]
    NotAnAccess(u64),
    /// An entry that does not hold.
    #[error("leaf {0}: {1}")]
    Entry(u64, EntryError),
}

impl HistoryError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Count { .. } => "history-count",
            Self::Order { .. } => "history-order",
            Self::Head => "history-head",
            Self::NotAnAccess(_) => "history-not-an-access",
            Self::Entry(..) => "history-entry",
        }
    }
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
    let mut reader = HistoryReader::new(*chain, *grant);
    let readings = reader.page(state, 0, leaves)?;
    reader.finish(state)?;
    Ok(readings)
}

/// Reads a history of any length page by page, oldest first. Each page goes on where the one before ended; the history is
/// complete once [`Self::finish`] says so.
#[derive(Debug, Clone)]
pub struct HistoryReader {
    chain: ChainId,
    grant: GrantId,
    count: u64,
    head: Hash,
}

impl HistoryReader {
    /// Before the first page.
    #[must_use]
    pub const fn new(chain: ChainId, grant: GrantId) -> Self {
        Self {
            chain,
            grant,
            count: 0,
            head: GENESIS_HEAD,
        }
    }

    /// How many accesses were read.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Takes the next page: the grant's proven state that came with it, the number of accesses before its first, and its
    /// leaves. A page that brings nothing new while the state counts more is refused, so a reader never waits in vain. After
    /// an error nothing was taken.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn page(
        &mut self,
        state: &GrantState,
        first: u64,
        leaves: &[LogLeaf],
    ) -> Result<Vec<Reading>, HistoryError> {
        if first != self.count {
            return Err(HistoryError::Order {
                found: first,
                expected: self.count,
            });
        }
        let count = self.count + leaves.len() as u64;
        let wrong_count = HistoryError::Count {
            found: count,
            expected: state.accesses,
        };
        if count > state.accesses || leaves.is_empty() && count < state.accesses {
            return Err(wrong_count);
        }
        let head = leaves
            .iter()
            .fold(self.head, |head, leaf| next_head(&head, &leaf.hash()));
        if count == state.accesses && head != state.accesses_head {
            return Err(HistoryError::Head);
        }
        let readings = self.readings(first, leaves)?;
        (self.count, self.head) = (count, head);
        Ok(readings)
    }

    /// Whether everything that a proven state counts was read, and nothing else.
    ///
    /// # Errors
    /// [`HistoryError::Count`], [`HistoryError::Head`].
    pub fn finish(&self, state: &GrantState) -> Result<(), HistoryError> {
        if self.count != state.accesses {
            return Err(HistoryError::Count {
                found: self.count,
                expected: state.accesses,
            });
        }
        if self.head != state.accesses_head {
            return Err(HistoryError::Head);
        }
        Ok(())
    }

    /// What leaves say, each an access under the grant whose signature holds, `first` being the number of the first. Whether
    /// they are all there are is not asked.
    ///
    /// # Errors
    /// [`HistoryError::Entry`], [`HistoryError::NotAnAccess`].
    pub fn readings(&self, first: u64, leaves: &[LogLeaf]) -> Result<Vec<Reading>, HistoryError> {
        (first..)
            .zip(leaves)
            .map(|(number, leaf)| self.reading(number, leaf))
            .collect()
    }

    fn reading(&self, number: u64, leaf: &LogLeaf) -> Result<Reading, HistoryError> {
        let verified = Entry::parse(&leaf.entry)
            .and_then(|entry| entry.verify(&self.chain))
            .map_err(|error| HistoryError::Entry(number, error))?;
        match verified.entry().body() {
            Body::Access(access) if access.grant == self.grant => Ok(Reading {
                id: verified.id(),
                time_ms: leaf.time_ms,
                height: leaf.height,
                access: access.clone(),
                outcome: leaf.outcome,
            }),
            _ => Err(HistoryError::NotAnAccess(number)),
        }
    }
}
