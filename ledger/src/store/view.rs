//! A consistent view of the newest block.

use super::{
    ACCESSES, HEADERS, IDS, LEAVES, META, NODES, STATE, Store, StoreError, TIP, Tip, log_node_key,
    organisation_prefix,
};
use rocksdb::{DB, Direction, IteratorMode, SnapshotWithThreadMode};
use tegata_consent::header::{CertifiedHeader, ValidatorSet};
use tegata_consent::ids::{EntryId, GrantId, Hash};
use tegata_consent::log::{LogLeaf, Nodes};
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::state::{StateKey, StateReader};

/// The store as it stood after one block.
pub struct View<'a> {
    store: &'a Store,
    snapshot: SnapshotWithThreadMode<'a, DB>,
    tip: Tip,
}

impl<'a> View<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self, StoreError> {
        let snapshot = store.database.snapshot();
        let bytes = snapshot
            .get_pinned_cf(store.family(META), TIP)
            .map_err(|source| store.failed(source))?;
        let damaged = || StoreError::Damaged {
            part: "tip",
            key: String::new(),
        };
        let tip = minicbor::decode(&bytes.ok_or_else(damaged)?).map_err(|_| damaged())?;
        Ok(Self {
            store,
            snapshot,
            tip,
        })
    }

    /// The newest block.
    #[must_use]
    pub const fn tip(&self) -> &Tip {
        &self.tip
    }

    /// A header with its certificate; absent: no such block yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn header(&self, height: u64) -> Result<Option<CertifiedHeader>, StoreError> {
        let Some(bytes) = self.value(HEADERS, &height.to_be_bytes())? else {
            return Ok(None);
        };
        minicbor::decode(&bytes)
            .map(Some)
            .map_err(|_| damaged("header", height))
    }

    /// The header of a block that there is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn certified_header(&self, height: u64) -> Result<CertifiedHeader, StoreError> {
        self.header(height)?
            .ok_or_else(|| damaged("header", height))
    }

    /// The newest header; absent before the first block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_header(&self) -> Result<Option<CertifiedHeader>, StoreError> {
        if self.tip.height == 0 {
            Ok(None)
        } else {
            self.certified_header(self.tip.height).map(Some)
        }
    }

    /// A leaf of the log.
    ///
    /// # Errors
    /// [`StoreError`], also where there is none with this index.
    pub fn leaf(&self, index: u64) -> Result<LogLeaf, StoreError> {
        minicbor::decode(&self.leaf_bytes(index)?).map_err(|_| damaged("log leaf", index))
    }

    /// An encoded leaf of the log.
    ///
    /// # Errors
    /// [`StoreError`], also where there is none with this index.
    pub fn leaf_bytes(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        self.value(LEAVES, &index.to_be_bytes())?
            .ok_or_else(|| damaged("log leaf", index))
    }

    /// The index of an entry in the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn index_of(&self, id: &EntryId) -> Result<Option<u64>, StoreError> {
        let Some(bytes) = self.value(IDS, &id.0)? else {
            return Ok(None);
        };
        let index = bytes.try_into().map_err(|_| damaged("entry id", id))?;
        Ok(Some(u64::from_be_bytes(index)))
    }

    /// Indexes of the accesses under a grant, oldest first, from the `from`-th on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn accesses(
        &self,
        grant: &GrantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let start = super::access_key(grant, from);
        let mut indexes = Vec::new();
        let mode = IteratorMode::From(&start, Direction::Forward);
        for item in self
            .snapshot
            .iterator_cf(self.store.family(ACCESSES), mode)
            .take(limit)
        {
            let (key, value) = item.map_err(|source| self.store.failed(source))?;
            if !key.starts_with(&grant.0) {
                break;
            }
            let index = value
                .as_ref()
                .try_into()
                .map_err(|_| damaged("access of grant", grant))?;
            indexes.push(u64::from_be_bytes(index));
        }
        Ok(indexes)
    }

    /// All organisations, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn organisations(&self) -> Result<Vec<OrganisationState>, StoreError> {
        let prefix = organisation_prefix();
        let mut all = Vec::new();
        let mode = IteratorMode::From(prefix, Direction::Forward);
        for item in self.snapshot.iterator_cf(self.store.family(STATE), mode) {
            let (key, value) = item.map_err(|source| self.store.failed(source))?;
            if !key.starts_with(prefix) {
                break;
            }
            all.push(
                minicbor::decode(&value).map_err(|_| damaged("organisation", hex::encode(&key)))?,
            );
        }
        Ok(all)
    }

    /// Every key and value of the state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn whole_state(&self) -> Result<tegata_consent::state::Changes, StoreError> {
        let mut all = tegata_consent::state::Changes::new();
        for item in self
            .snapshot
            .iterator_cf(self.store.family(STATE), IteratorMode::Start)
        {
            let (key, value) = item.map_err(|source| self.store.failed(source))?;
            all.insert(super::stored_key(&key), value.into_vec());
        }
        Ok(all)
    }

    /// The validators that certify the next block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn validators(&self) -> Result<ValidatorSet, StoreError> {
        let bytes = self
            .get(&StateKey::validators())?
            .ok_or_else(|| damaged("state", "validators"))?;
        minicbor::decode(&bytes).map_err(|_| damaged("state", "validators"))
    }

    /// A receipt for the entry at an index, at the newest header.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipt(&self, index: u64) -> Result<Receipt, StoreError> {
        let certified = self.certified_header(self.tip.height)?;
        let path = tegata_consent::log::inclusion_proof(self, index, certified.header.log_size)?;
        Ok(Receipt {
            certified,
            index,
            leaf: self.leaf(index)?,
            path,
        })
    }

    /// What stands under a key, proven at the newest header; absent before the first block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn state_proof(&self, key: &StateKey) -> Result<Option<StateProof>, StoreError> {
        let Some(certified) = self.newest_header()? else {
            return Ok(None);
        };
        let (value, proof) = self.prove(key)?;
        Ok(Some(StateProof {
            certified,
            key: key.as_bytes().to_vec().into(),
            value: value.map(Into::into),
            proof,
        }))
    }

    pub(super) fn value(
        &self,
        family: &'static str,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot
            .get_cf(self.store.family(family), key)
            .map_err(|source| self.store.failed(source))
    }
}

impl StateReader for View<'_> {
    type Error = StoreError;

    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.value(STATE, key.as_bytes())
    }

    fn seen(&self, id: &EntryId) -> Result<bool, StoreError> {
        let found = self.snapshot.get_pinned_cf(self.store.family(IDS), id.0);
        Ok(found.map_err(|source| self.store.failed(source))?.is_some())
    }
}

impl Nodes for View<'_> {
    type Error = StoreError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let bytes = self.value(NODES, &log_node_key(level, index))?;
        let hash = bytes
            .as_deref()
            .and_then(|bytes| Hash::try_from(bytes).ok());
        hash.ok_or_else(|| damaged("log node", format_args!("{level}/{index}")))
    }
}

fn damaged(part: &'static str, key: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        part,
        key: key.to_string(),
    }
}
