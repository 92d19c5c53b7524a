//! What a node keeps on disk. The only module that knows RocksDB.
//!
//! A block is one synced write batch: header, certificate, leaves and nodes of the log, state, state tree, indexes and tip
//! change together or not at all. Undecided blocks are written, synced, before anybody hears that they were seen.
//!
//! | column family | key | value |
//! |---|---|---|
//! | `meta` | `tip`, `genesis` | [`Tip`], the genesis |
//! | `headers` | height | [`CertifiedHeader`] |
//! | `leaves` | index | [`LogLeaf`] |
//! | `nodes` | level, index | hash of a complete subtree of the log |
//! | `state` | [`StateKey`] | value in force |
//! | `tree` | place | node of the state tree ([`tree`]) |
//! | `ids` | entry id | index |
//! | `accesses` | grant, number | index |
//! | `undecided` | height, header hash | [`Undecided`] |

pub mod alter;
mod tree;
mod view;

pub use tree::{TreeUpdate, state_root};
pub use view::View;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, IteratorMode, Options,
    WriteBatch, WriteOptions,
};
use std::path::{Path, PathBuf};
use tegata_consent::cbor;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{Certificate, CertifiedHeader};
use tegata_consent::ids::{EntryId, GrantId, Hash};
use tegata_consent::log::{Frontier, LogLeaf, Node};
use tegata_consent::state::{Changes, StateKey};

const META: &str = "meta";
const HEADERS: &str = "headers";
const LEAVES: &str = "leaves";
const NODES: &str = "nodes";
const STATE: &str = "state";
const TREE: &str = "tree";
const IDS: &str = "ids";
const ACCESSES: &str = "accesses";
const UNDECIDED: &str = "undecided";
const FAMILIES: [&str; 9] = [
    META, HEADERS, LEAVES, NODES, STATE, TREE, IDS, ACCESSES, UNDECIDED,
];

const TIP: &[u8] = b"tip";
const GENESIS: &[u8] = b"genesis";
const CACHE_BYTES: usize = 64 << 20;
const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB.
    #[error("store {path}: {source}")]
    Database {
        /// Where.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// There is none.
    #[error("there is no store in {0}: it is lost, or the node never ran")]
    Missing(PathBuf),
    /// Something that is written with every block is not there, or is not what was written.
    #[error("store: {part} {key} is missing or damaged")]
    Damaged {
        /// Which part of the store.
        part: &'static str,
        /// Which item.
        key: String,
    },
    /// The state tree.
    #[error("store: state tree: {0}")]
    Tree(String),
    /// The directory belongs to another ledger.
    #[error("the store in {path} belongs to ledger {found}; the genesis file describes {expected}")]
    OtherLedger {
        /// Where.
        path: PathBuf,
        /// Its chain id.
        found: String,
        /// The genesis file's.
        expected: String,
    },
}

impl StoreError {
    /// Whether another process has the store open: it has one owner.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Database { source, .. }
            if source.kind() == rocksdb::ErrorKind::IOError && source.to_string().contains("/LOCK"))
    }
}

/// The newest block, and what is needed to build on it.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Tip {
    /// 0 before the first block.
    #[n(1)]
    pub height: u64,
    /// Hash of its header; of block 0: [`Genesis::first_previous`].
    #[n(2)]
    pub hash: Hash,
    /// Its time, in milliseconds since 1970.
    #[n(3)]
    pub time_ms: u64,
    /// Right edge of the log.
    #[n(4)]
    pub frontier: Frontier,
    /// Root of the state tree.
    #[n(5)]
    pub state_root: Hash,
    /// How often the state tree has changed.
    #[n(6)]
    pub tree_version: u64,
}

/// A block that was proposed and not decided yet.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Undecided {
    /// Its height.
    #[n(1)]
    pub height: u64,
    /// The round in which this node first saw or made it.
    #[n(2)]
    pub round: u32,
    /// The round in which it had got its prevotes by then.
    #[n(3)]
    pub valid_round: Option<u32>,
    /// Made by this node.
    #[n(4)]
    pub own: bool,
    /// The block.
    #[n(5)]
    pub block: ByteVec,
}

/// Everything that one block writes.
#[derive(Debug)]
pub struct BlockWrite<'a> {
    /// Header and certificate.
    pub certified: &'a CertifiedHeader,
    /// New leaves of the log with the ids of their entries, in order.
    pub leaves: &'a [(EntryId, LogLeaf)],
    /// New complete subtrees of the log.
    pub log_nodes: &'a [Node],
    /// New values of the state.
    pub changes: &'a Changes,
    /// New nodes of the state tree.
    pub tree: &'a TreeUpdate,
    /// `(grant, number, index)` of each access under an existing grant.
    pub accesses: &'a [(GrantId, u64, u64)],
    /// The new tip.
    pub tip: &'a Tip,
    /// Undecided blocks that are of no more use.
    pub forget: &'a [(u64, Hash)],
}

/// A node's store. One process at a time may open it.
#[derive(Debug)]
pub struct Store {
    database: DB,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the store of a ledger. When this returns, the genesis state is in it, synced.
    ///
    /// # Errors
    /// [`StoreError::Database`], or [`StoreError::OtherLedger`].
    pub fn open(path: &Path, genesis: &Genesis) -> Result<Self, StoreError> {
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let families =
            FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache)));
        let database =
            DB::open_cf_descriptors(&database_options(), path, families).map_err(|source| {
                StoreError::Database {
                    path: path.to_owned(),
                    source,
                }
            })?;
        let store = Self {
            database,
            path: path.to_owned(),
        };
        let encoded = cbor::encode(genesis);
        match store.get(META, GENESIS)? {
            None => store.begin(genesis, &encoded)?,
            Some(found) if found == encoded => {}
            Some(found) => {
                let found = cbor::decode::<Genesis>(&found, Genesis::LIMIT).map_or_else(
                    |_| "unknown".to_owned(),
                    |genesis| genesis.chain_id().to_string(),
                );
                let expected = genesis.chain_id().to_string();
                return Err(StoreError::OtherLedger {
                    path: path.to_owned(),
                    found,
                    expected,
                });
            }
        }
        Ok(store)
    }

    /// Opens a store that is there, and makes none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_existing(path: &Path, genesis: &Genesis) -> Result<Self, StoreError> {
        // Every store of RocksDB has this file.
        if !path.join("CURRENT").is_file() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Self::open(path, genesis)
    }

    /// A consistent view of the newest block, unaffected by later ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn view(&self) -> Result<View<'_>, StoreError> {
        View::new(self)
    }

    /// Writes a block. When this returns, all of it is on disk; after an error or a crash, all or nothing is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn commit(&self, block: &BlockWrite<'_>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let header = &block.certified.header;
        batch.put_cf(
            self.family(HEADERS),
            header.height.to_be_bytes(),
            cbor::encode(block.certified),
        );
        let first = header.log_size - block.leaves.len() as u64;
        let mut buffer = Vec::with_capacity(1024);
        for (index, (id, leaf)) in (first..).zip(block.leaves) {
            buffer.clear();
            minicbor::encode(leaf, &mut buffer).expect("writing CBOR to memory cannot fail");
            batch.put_cf(self.family(LEAVES), index.to_be_bytes(), &buffer);
            batch.put_cf(self.family(IDS), id.0, index.to_be_bytes());
        }
        for node in block.log_nodes {
            batch.put_cf(
                self.family(NODES),
                log_node_key(node.level, node.index),
                node.hash.0,
            );
        }
        for (key, value) in block.changes {
            batch.put_cf(self.family(STATE), key.as_bytes(), value);
        }
        for (grant, number, index) in block.accesses {
            batch.put_cf(
                self.family(ACCESSES),
                access_key(grant, *number),
                index.to_be_bytes(),
            );
        }
        block.tree.write(self.family(TREE), &mut batch);
        for (height, hash) in block.forget {
            batch.delete_cf(self.family(UNDECIDED), undecided_key(*height, hash));
        }
        batch.put_cf(self.family(META), TIP, cbor::encode(block.tip));
        self.write(batch)
    }

    /// Replaces the certificate of a block by one with more signatures.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn replace_certificate(&self, certificate: Certificate) -> Result<(), StoreError> {
        let height = certificate.height;
        let header = self.view()?.certified_header(height)?.header;
        let certified = CertifiedHeader {
            header,
            certificate,
        };
        let mut batch = WriteBatch::default();
        batch.put_cf(
            self.family(HEADERS),
            height.to_be_bytes(),
            cbor::encode(&certified),
        );
        self.database
            .write(batch)
            .map_err(|source| self.failed(source))
    }

    /// Keeps a proposed block. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn keep_undecided(&self, hash: &Hash, undecided: &Undecided) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(
            self.family(UNDECIDED),
            undecided_key(undecided.height, hash),
            cbor::encode(undecided),
        );
        self.write(batch)
    }

    /// All proposed blocks that were kept and not forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn undecided(&self) -> Result<Vec<(Hash, Undecided)>, StoreError> {
        let mut all = Vec::new();
        for item in self
            .database
            .iterator_cf(self.family(UNDECIDED), IteratorMode::Start)
        {
            let (key, value) = item.map_err(|source| self.failed(source))?;
            let damaged = || StoreError::Damaged {
                part: "undecided block",
                key: hex::encode(&key),
            };
            let hash = key
                .get(8..)
                .and_then(|hash| Hash::try_from(hash).ok())
                .ok_or_else(damaged)?;
            all.push((hash, minicbor::decode(&value).map_err(|_| damaged())?));
        }
        Ok(all)
    }

    fn begin(&self, genesis: &Genesis, encoded: &[u8]) -> Result<(), StoreError> {
        let changes = genesis.state();
        let (state_root, tree) = TreeUpdate::first(&changes)?;
        let tip = Tip {
            height: 0,
            hash: genesis.first_previous(),
            time_ms: genesis.time_ms,
            frontier: Frontier::default(),
            state_root,
            tree_version: 0,
        };
        let mut batch = WriteBatch::default();
        for (key, value) in &changes {
            batch.put_cf(self.family(STATE), key.as_bytes(), value);
        }
        tree.write(self.family(TREE), &mut batch);
        batch.put_cf(self.family(META), TIP, cbor::encode(&tip));
        batch.put_cf(self.family(META), GENESIS, encoded);
        self.write(batch)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.database
            .write_opt(batch, &options)
            .map_err(|source| self.failed(source))
    }

    fn get(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.database
            .get_cf(self.family(family), key)
            .map_err(|source| self.failed(source))
    }

    fn family(&self, name: &'static str) -> &ColumnFamily {
        self.database
            .cf_handle(name)
            .expect("every family of FAMILIES is opened with the store")
    }

    fn failed(&self, source: rocksdb::Error) -> StoreError {
        StoreError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(2);
    options.set_max_total_wal_size(128 << 20);
    options.set_keep_log_file_num(4);
    options
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    if [IDS, STATE, TREE].contains(&name) {
        blocks.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);

    if name == IDS {
        // Almost every entry is looked for and not found.
        options.set_memtable_prefix_bloom_ratio(0.1);
        options.set_memtable_whole_key_filtering(true);
    }
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}

fn log_node_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

fn access_key(grant: &GrantId, number: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(&grant.0);
    key[32..].copy_from_slice(&number.to_be_bytes());
    key
}

fn undecided_key(height: u64, hash: &Hash) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&height.to_be_bytes());
    key[8..].copy_from_slice(&hash.0);
    key
}

fn organisation_prefix() -> &'static [u8] {
    b"organisation/"
}

fn stored_key(bytes: &[u8]) -> StateKey {
    StateKey::from_stored(bytes.to_vec())
}
