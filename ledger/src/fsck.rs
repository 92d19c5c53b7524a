//! Everything that an operator can check on disk, with the node stopped: the chain of headers, certificates, the log, ids,
//! accesses, and the state, computed anew from the genesis by executing every entry.

use crate::store::{Store, StoreError, View};
use std::collections::HashMap;
use std::path::Path;
use tegata_consent::cbor;
use tegata_consent::entry::{Body, Entry, EntryError, VerifiedEntry};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{FinalHeader, HeaderError, ValidatorSet};
use tegata_consent::ids::{EntryId, GrantId, Hash};
use tegata_consent::log::{Frontier, Nodes};
use tegata_consent::state::{
    Changes, ExecuteError, Inadmissible, Outcome, Refusal, StateKey, StateReader, apply,
};

/// What was found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Newest height.
    pub height: u64,
    /// Entries in the log.
    pub entries: u64,
    /// Keys of the state.
    pub state_keys: usize,
}

/// The first thing that is not in order.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// The store cannot be opened or read; also if a node is running on it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Header or certificate.
    #[error("height {height}: {source}")]
    Header {
        /// Where.
        height: u64,
        /// What.
        source: HeaderError,
    },
    /// An entry that does not hold.
    #[error("height {height}: entry {index}: {source}")]
    Entry {
        /// Where.
        height: u64,
        /// Index in the log.
        index: u64,
        /// What.
        source: EntryError,
    },
    /// An entry that this block must not hold.
    #[error("height {height}: entry {index}: {source}")]
    Inadmissible {
        /// Where.
        height: u64,
        /// Index in the log.
        index: u64,
        /// What.
        source: Inadmissible,
    },
    /// A part that differs from what the blocks before it give.
    #[error("height {height}: {part} differs from what the genesis and the entries give")]
    Differs {
        /// Where.
        height: u64,
        /// What.
        part: String,
    },
}

/// Checks the store in a node's home.
///
/// # Errors
/// [`FsckError`], naming height and part.
pub fn fsck(
    home: &Path,
    genesis: &Genesis,
    progress: impl FnMut(u64, u64),
) -> Result<Report, FsckError> {
    let store = Store::open_existing(&home.join(crate::config::STORE_FOLDER), genesis)?;
    check(&store, genesis, progress)
}

/// Checks an open store. `progress` hears the height reached and the newest one.
///
/// # Errors
/// [`FsckError`], naming height and part.
pub fn check(
    store: &Store,
    genesis: &Genesis,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, FsckError> {
    let view = store.view()?;
    let newest = view.tip().height;
    let mut replay = Replay::new(genesis);
    for height in 1..=newest {
        replay.block(&view, height)?;
        progress(height, newest);
    }
    replay.end(&view)?;
    Ok(Report {
        height: newest,
        entries: replay.frontier.size(),
        state_keys: replay.state.0.len(),
    })
}

/// The ledger, computed anew.
struct Replay<'a> {
    genesis: &'a Genesis,
    state: Memory,
    frontier: Frontier,
    before: Option<FinalHeader>,
    accesses: HashMap<GrantId, u64>,
}

/// State and ids in memory.
struct Memory(Changes, std::collections::HashSet<EntryId>);

impl StateReader for Memory {
    type Error = std::convert::Infallible;
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.get(key).cloned())
    }
    fn seen(&self, id: &EntryId) -> Result<bool, Self::Error> {
        Ok(self.1.contains(id))
    }
}

impl<'a> Replay<'a> {
    fn new(genesis: &'a Genesis) -> Self {
        let state = Memory(genesis.state(), std::collections::HashSet::new());
        Self {
            genesis,
            state,
            frontier: Frontier::default(),
            before: None,
            accesses: HashMap::new(),
        }
    }

    fn block(&mut self, view: &View<'_>, height: u64) -> Result<(), FsckError> {
        let header = self.header(view, height)?;
        let first = self.frontier.size();
        let differs = |part: String| FsckError::Differs { height, part };
        let (log_size, time_ms) = (header.header().log_size, header.header().time_ms);
        let mut entries = Vec::new();
        for index in first..log_size {
            entries.push(self.entry(view, height, index)?);
        }
        let applied = apply(&self.state, height, time_ms, &entries).map_err(
            |(position, error)| match error {
                ExecuteError::Inadmissible(source) => FsckError::Inadmissible {
                    height,
                    index: first + position as u64,
                    source,
                },
                ExecuteError::State(never) => match never {},
                ExecuteError::Damaged(key) => differs(format!("state under {key:?}")),
            },
        )?;
        for (index, (entry, leaf)) in (first..).zip(entries.iter().zip(&applied.leaves)) {
            if *leaf != view.leaf(index)? {
                return Err(differs(format!(
                    "log leaf {index} (height, time or outcome)"
                )));
            }
            for node in self.frontier.append(leaf.hash()) {
                if view.node(node.level, node.index)? != node.hash {
                    return Err(differs(format!("log node {}/{}", node.level, node.index)));
                }
            }
            self.access(view, height, index, entry, leaf.outcome)?;
            self.state.1.insert(entry.id());
        }
        if self.frontier.root() != header.header().log_root {
            return Err(differs("log root".to_owned()));
        }
        self.state.0.extend(applied.changes);
        if height == view.tip().height
            || header.header().next_validators != header.header().validators
        {
            self.roots(&header)?;
        }
        self.before = Some(header);
        Ok(())
    }

    fn header(&self, view: &View<'_>, height: u64) -> Result<FinalHeader, FsckError> {
        let at = |source| FsckError::Header { height, source };
        let certified = view.certified_header(height)?;
        if certified.header.height != height {
            return Err(at(HeaderError::Broken {
                height,
                part: "height",
            }));
        }
        let header = certified
            .verify(&self.genesis.chain_id(), &self.validators(height)?)
            .map_err(at)?;
        match &self.before {
            Some(before) => before.check_next(&header).map_err(at)?,
            None if header.header().previous != self.genesis.first_previous() => {
                return Err(at(HeaderError::Broken {
                    height,
                    part: "previous",
                }));
            }
            None => {}
        }
        Ok(header)
    }

    fn validators(&self, height: u64) -> Result<ValidatorSet, FsckError> {
        let bytes = self.state.0.get(&StateKey::validators());
        let set = bytes.and_then(|bytes| cbor::decode(bytes, Genesis::LIMIT).ok());
        set.ok_or_else(|| FsckError::Differs {
            height,
            part: "validators".to_owned(),
        })
    }

    fn entry(&self, view: &View<'_>, height: u64, index: u64) -> Result<VerifiedEntry, FsckError> {
        let leaf = view.leaf(index)?;
        let verified =
            Entry::parse(&leaf.entry).and_then(|entry| entry.verify(&self.genesis.chain_id()));
        let entry = verified.map_err(|source| FsckError::Entry {
            height,
            index,
            source,
        })?;
        if view.index_of(&entry.id())? != Some(index) {
            return Err(FsckError::Differs {
                height,
                part: format!("index of entry {}", entry.id()),
            });
        }
        Ok(entry)
    }

    fn access(
        &mut self,
        view: &View<'_>,
        height: u64,
        index: u64,
        entry: &VerifiedEntry,
        outcome: Outcome,
    ) -> Result<(), FsckError> {
        let Body::Access(access) = entry.entry().body() else {
            return Ok(());
        };
        if outcome == Outcome::Refused(Refusal::NoSuchGrant) {
            return Ok(());
        }
        let number = self.accesses.entry(access.grant).or_default();
        if view.accesses(&access.grant, *number, 1)? != [index] {
            return Err(FsckError::Differs {
                height,
                part: format!("access {number} of grant {}", access.grant),
            });
        }
        *number += 1;
        Ok(())
    }

    /// The state tree's root is computed anew where a header must agree with it.
    fn roots(&self, header: &FinalHeader) -> Result<(), FsckError> {
        let height = header.header().height;
        let differs = |part: &str| FsckError::Differs {
            height,
            part: part.to_owned(),
        };
        if crate::store::state_root(&self.state.0)? != header.header().state_root {
            return Err(differs("state root"));
        }
        if self.validators(height)?.hash() != header.header().next_validators {
            return Err(differs("next validators"));
        }
        Ok(())
    }

    fn end(&self, view: &View<'_>) -> Result<(), FsckError> {
        let height = view.tip().height;
        let differs = |part: &str| FsckError::Differs {
            height,
            part: part.to_owned(),
        };
        if view.whole_state()? != self.state.0 {
            return Err(differs("state"));
        }
        let hash = self
            .before
            .as_ref()
            .map_or_else(|| self.genesis.first_previous(), FinalHeader::hash);
        let root: Hash = crate::store::state_root(&self.state.0)?;
        let tip = view.tip();
        if tip.hash != hash || tip.frontier != self.frontier || tip.state_root != root {
            return Err(differs("tip"));
        }
        for key in self.state.0.keys() {
            let (value, proof) = view.prove(key)?;
            proof
                .verify(&root, key.as_bytes(), value.as_deref())
                .map_err(|_| differs(&format!("state tree under {key:?}")))?;
        }
        Ok(())
    }
}
