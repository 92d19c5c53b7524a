//! Blocks: what travels between validators, and its execution before anybody proposes or votes.
//!
//! Nothing here writes: execution gives an [`ExecutedBlock`], which the driver commits once it is decided.

use crate::store::{BlockWrite, StoreError, Tip, TreeUpdate, View};
use bytes::Bytes;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use std::sync::Arc;
use tegata_consent::cbor::{self, CborError};
use tegata_consent::entry::{Body, Entry, EntryError, VerifiedEntry};
use tegata_consent::header::{CertifiedHeader, HEADER_VERSION, Header};
use tegata_consent::ids::{Address, ChainId, EntryId, GrantId, Hash};
use tegata_consent::log::{LogLeaf, Node};
use tegata_consent::state::{
    Applied, Changes, ExecuteError, Execution, GrantState, Inadmissible, Outcome, Refusal,
    StateKey, StateReader,
};

/// Longest block in bytes that a validator accepts.
pub const BLOCK_LIMIT: usize = 1024 * 1024;
/// A proposer stops adding entries when they have this many bytes together.
pub const BLOCK_TARGET_BYTES: usize = 512 * 1024;

/// A block as it travels: `[header, [entry, …]]`.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct Block {
    /// The header.
    #[n(0)]
    pub header: Header,
    /// The entries, encoded, in order.
    #[n(1)]
    pub entries: Vec<ByteVec>,
}

/// A block whose effect is known and not written.
#[derive(Debug)]
pub struct ExecutedBlock {
    /// The header.
    pub header: Header,
    /// Its hash.
    pub hash: Hash,
    /// The encoded [`Block`].
    pub bytes: Bytes,
    /// Its part of the log, with the entries' ids.
    pub leaves: Vec<(EntryId, LogLeaf)>,
    /// Its entries.
    pub entries: Vec<Arc<VerifiedEntry>>,
    log_nodes: Vec<Node>,
    changes: Changes,
    tree: TreeUpdate,
    accesses: Vec<(GrantId, u64, u64)>,
    tip: Tip,
}

impl ExecutedBlock {
    /// What a commit of this block writes.
    #[must_use]
    pub fn write<'a>(
        &'a self,
        certified: &'a CertifiedHeader,
        forget: &'a [(u64, Hash)],
    ) -> BlockWrite<'a> {
        BlockWrite {
            certified,
            leaves: &self.leaves,
            log_nodes: &self.log_nodes,
            changes: &self.changes,
            tree: &self.tree,
            accesses: &self.accesses,
            tip: &self.tip,
            forget,
        }
    }
}

/// Why no validator may vote for a block, or why that could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// This node's own failure: says nothing about the block.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state holds what this code did not write: this node's own failure.
    #[error("the state under {0:?} is damaged")]
    Damaged(StateKey),
    /// Not the deterministic encoding of a block.
    #[error("block: {0}")]
    Encoding(#[from] CborError),
    /// The header differs from what this validator computes.
    #[error("block {height}: its {part} is not what follows")]
    Header {
        /// The block's height.
        height: u64,
        /// Which field.
        part: &'static str,
    },
    /// An entry that does not hold.
    #[error("entry {index}: {error}")]
    Entry {
        /// Position in the block.
        index: usize,
        /// Why.
        error: EntryError,
    },
    /// An entry that this block must not hold.
    #[error("entry {index}: {error}")]
    Inadmissible {
        /// Position in the block.
        index: usize,
        /// Why.
        error: Inadmissible,
    },
}

impl BlockError {
    /// Whether the block is at fault, and not this node.
    #[must_use]
    pub const fn blames_block(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Damaged(_))
    }
}

/// What came of building a block.
#[derive(Debug)]
pub struct Built {
    /// The block.
    pub block: ExecutedBlock,
    /// Candidates that no block may hold now.
    pub refused: Vec<(EntryId, Inadmissible)>,
}

/// Builds the next block from candidates, in order, leaving out those it must not hold.
///
/// # Errors
/// [`BlockError::Store`] or [`BlockError::Damaged`].
pub fn build(
    view: &View<'_>,
    chain: &ChainId,
    proposer: Address,
    time_ms: u64,
    candidates: Vec<Arc<VerifiedEntry>>,
) -> Result<Built, BlockError> {
    let mut execution = Execution::new(view, view.tip().height + 1, time_ms);
    let mut entries = Vec::with_capacity(candidates.len());
    let mut refused = Vec::new();
    for entry in candidates {
        match execution.entry(&entry) {
            Ok(_) => entries.push(entry),
            Err(ExecuteError::Inadmissible(why)) => refused.push((entry.id(), why)),
            Err(ExecuteError::State(error)) => return Err(error.into()),
            Err(ExecuteError::Damaged(key)) => return Err(BlockError::Damaged(key)),
        }
    }
    let effect = Effect::of(view, &entries, execution.finish())?;
    let header = effect.header(view, chain, proposer, time_ms)?;
    let encoded = entries
        .iter()
        .map(|entry| entry.bytes().to_vec().into())
        .collect();
    let bytes = cbor::encode(&Block {
        header: header.clone(),
        entries: encoded,
    });
    Ok(Built {
        block: effect.into_block(header, bytes.into(), entries),
        refused,
    })
}

/// Executes a block that somebody proposed or decided, and checks everything its header commits to. `known` gives entries
/// whose signatures were verified before.
///
/// # Errors
/// [`BlockError`].
pub fn check(
    view: &View<'_>,
    chain: &ChainId,
    bytes: Bytes,
    known: impl Fn(&[u8]) -> Option<Arc<VerifiedEntry>>,
) -> Result<ExecutedBlock, BlockError> {
    let Block {
        header,
        entries: encoded,
    } = cbor::decode(&bytes, BLOCK_LIMIT)?;
    check_position(view, chain, &header)?;
    let mut entries = Vec::with_capacity(encoded.len());
    let mut execution = Execution::new(view, header.height, header.time_ms);
    for (index, encoded) in encoded.iter().enumerate() {
        let entry = match known(encoded) {
            Some(entry) => entry,
            None => {
                let verified = Entry::parse(encoded).and_then(|entry| entry.verify(chain));
                Arc::new(verified.map_err(|error| BlockError::Entry { index, error })?)
            }
        };
        match execution.entry(&entry) {
            Ok(_) => entries.push(entry),
            Err(ExecuteError::Inadmissible(error)) => {
                return Err(BlockError::Inadmissible { index, error });
            }
            Err(ExecuteError::State(error)) => return Err(error.into()),
            Err(ExecuteError::Damaged(key)) => return Err(BlockError::Damaged(key)),
        }
    }
    let effect = Effect::of(view, &entries, execution.finish())?;
    let expected = effect.header(view, chain, header.proposer, header.time_ms)?;
    let broken = |part| {
        Err(BlockError::Header {
            height: header.height,
            part,
        })
    };
    if header.log_size != expected.log_size {
        return broken("log size");
    }
    if header.log_root != expected.log_root {
        return broken("log root");
    }
    if header.state_root != expected.state_root {
        return broken("state root");
    }
    if header != expected {
        return broken("version or validators");
    }
    Ok(effect.into_block(header, bytes, entries))
}

/// What can be checked before execution.
fn check_position(view: &View<'_>, chain: &ChainId, header: &Header) -> Result<(), BlockError> {
    let tip = view.tip();
    let broken = |part| {
        Err(BlockError::Header {
            height: header.height,
            part,
        })
    };
    if header.chain != *chain {
        return broken("chain");
    }
    if header.height != tip.height + 1 {
        return broken("height");
    }
    if header.previous != tip.hash {
        return broken("previous");
    }
    if header.time_ms <= tip.time_ms {
        return broken("time");
    }
    if view.validators()?.get(&header.proposer).is_none() {
        return broken("proposer");
    }
    Ok(())
}

/// What entries do, with the commitments to it.
struct Effect {
    leaves: Vec<(EntryId, LogLeaf)>,
    log_nodes: Vec<Node>,
    changes: Changes,
    tree: TreeUpdate,
    accesses: Vec<(GrantId, u64, u64)>,
    frontier: tegata_consent::log::Frontier,
    state_root: Hash,
    tree_version: u64,
}

impl Effect {
    fn of(
        view: &View<'_>,
        entries: &[Arc<VerifiedEntry>],
        applied: Applied,
    ) -> Result<Self, BlockError> {
        let Applied { changes, leaves } = applied;
        let mut frontier = view.tip().frontier.clone();
        let accesses = number_accesses(view, entries, &leaves, frontier.size())?;
        let log_nodes = leaves
            .iter()
            .flat_map(|leaf| frontier.append(leaf.hash()))
            .collect();
        let (state_root, tree_version, tree) = view.tree_after(&changes)?;
        let leaves = entries.iter().map(|entry| entry.id()).zip(leaves).collect();
        Ok(Self {
            leaves,
            log_nodes,
            changes,
            tree,
            accesses,
            frontier,
            state_root,
            tree_version,
        })
    }

    fn header(
        &self,
        view: &View<'_>,
        chain: &ChainId,
        proposer: Address,
        time_ms: u64,
    ) -> Result<Header, BlockError> {
        let validators = view.validators()?;
        let next = match self.changes.get(&StateKey::validators()) {
            None => validators.hash(),
            Some(bytes) => minicbor::decode::<tegata_consent::header::ValidatorSet>(bytes)
                .map_err(|_| BlockError::Damaged(StateKey::validators()))?
                .hash(),
        };
        Ok(Header {
            version: HEADER_VERSION,
            chain: *chain,
            height: view.tip().height + 1,
            time_ms,
            proposer,
            previous: view.tip().hash,
            log_size: self.frontier.size(),
            log_root: self.frontier.root(),
            state_root: self.state_root,
            validators: validators.hash(),
            next_validators: next,
        })
    }

    fn into_block(
        self,
        header: Header,
        bytes: Bytes,
        entries: Vec<Arc<VerifiedEntry>>,
    ) -> ExecutedBlock {
        let hash = header.hash();
        let tip = Tip {
            height: header.height,
            hash,
            time_ms: header.time_ms,
            frontier: self.frontier,
            state_root: self.state_root,
            tree_version: self.tree_version,
        };
        let Self {
            leaves,
            log_nodes,
            changes,
            tree,
            accesses,
            ..
        } = self;
        ExecutedBlock {
            header,
            hash,
            bytes,
            leaves,
            entries,
            log_nodes,
            changes,
            tree,
            accesses,
            tip,
        }
    }
}

/// `(grant, number, index in the log)` of every access that the grant's history counts.
fn number_accesses(
    view: &View<'_>,
    entries: &[Arc<VerifiedEntry>],
    leaves: &[LogLeaf],
    first: u64,
) -> Result<Vec<(GrantId, u64, u64)>, BlockError> {
    let mut next: std::collections::HashMap<GrantId, u64> = std::collections::HashMap::new();
    let mut numbered = Vec::new();
    for (index, (entry, leaf)) in (first..).zip(entries.iter().zip(leaves)) {
        let Body::Access(access) = entry.entry().body() else {
            continue;
        };
        if leaf.outcome == Outcome::Refused(Refusal::NoSuchGrant) {
            continue;
        }
        let number = match next.get(&access.grant) {
            Some(number) => *number,
            None => accesses_before(view, &access.grant)?,
        };
        numbered.push((access.grant, number, index));
        next.insert(access.grant, number + 1);
    }
    Ok(numbered)
}

fn accesses_before(view: &View<'_>, grant: &GrantId) -> Result<u64, BlockError> {
    let key = StateKey::grant(grant);
    let Some(bytes) = view.get(&key)? else {
        return Ok(0);
    };
    let state: GrantState = minicbor::decode(&bytes).map_err(|_| BlockError::Damaged(key))?;
    Ok(state.accesses)
}

/// The header of an encoded block, without looking at its entries.
#[must_use]
pub fn header_of(bytes: &[u8]) -> Option<Header> {
    let mut decoder = minicbor::Decoder::new(bytes);
    if decoder.array().ok()? != Some(2) {
        return None;
    }
    decoder.decode().ok()
}

/// A decided block as it travelled, with its certificate.
///
/// # Errors
/// [`StoreError`], also where there is no such block.
pub fn stored(
    view: &View<'_>,
    height: u64,
) -> Result<(Bytes, tegata_consent::header::Certificate), StoreError> {
    let CertifiedHeader {
        header,
        certificate,
    } = view.certified_header(height)?;
    let entries = first_leaf(view, height)?..header.log_size;
    let entries = entries
        .map(|index| Ok(view.leaf(index)?.entry))
        .collect::<Result<_, StoreError>>()?;
    Ok((cbor::encode(&Block { header, entries }).into(), certificate))
}

/// Index of the first log leaf of a block.
///
/// # Errors
/// [`StoreError`], also where the block before is missing.
pub fn first_leaf(view: &View<'_>, height: u64) -> Result<u64, StoreError> {
    if height <= 1 {
        Ok(0)
    } else {
        Ok(view.certified_header(height - 1)?.header.log_size)
    }
}
