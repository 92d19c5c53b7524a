//! The only module that knows RocksDB.
//!
//! Every change goes through a [`Change`]: one writer at a time, one synced write batch. What [`Change::commit`] returned
//! from is on disk; of what it did not, nothing is.

mod change;
mod keys;
mod openid4vci;

pub(crate) use change::Change;
pub(crate) use openid4vci::{Kind, SWEEP_MAX, Slot};

use crate::model::{Import, Invited, Pairing, Record, Status, StatusPlace};
use keys::{
    place_key, place_of, queue_entry, queue_key, source_key, status_key, status_value,
    subject_hash, subject_key,
};
use minicbor::Decode;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    Direction, IteratorMode, Options,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tegata_consent::ids::{ChainId, Hash, OrganisationId, RecordId};
use tegata_credential::status_list::Status as ListStatus;

/// Places in one status list. A list is closed when half of them are taken, so that a free one is found at once and the
/// index says nothing about the order.
pub(crate) const STATUS_LIST_SIZE: u32 = 1 << 17;

/// What the cache of all tables holds, with their indexes.
const CACHE_BYTES: usize = 64 << 20;

/// Why the store cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB.
    #[error("the store at {path}: {error}")]
    Database {
        /// Which store.
        path: PathBuf,
        /// Why.
        error: rocksdb::Error,
    },
    /// There is none.
    #[error("there is no store in {0}: it is lost, or the issuer never ran")]
    Missing(PathBuf),
    /// A value that this version did not write.
    #[error("the store holds a damaged value in table {0:?}")]
    Damaged(&'static str),
    /// Made for another organisation or ledger.
    #[error(
        "the store at {path} belongs to another organisation or ledger: use another data folder"
    )]
    Identity {
        /// Which store.
        path: PathBuf,
    },
    /// Written by another version.
    #[error("the store at {path} has format {found}, this version knows format 1")]
    Format {
        /// Which store.
        path: PathBuf,
        /// What it says.
        found: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Records,
    Sources,
    BySubject,
    ByStatus,
    Queue,
    Sealed,
    Pairings,
    Invitations,
    Receipts,
    Places,
    RevokedPlaces,
    Imports,
    Copies,
    OpenId4Vci,
    About,
}

impl Table {
    const ALL: [Self; 15] = [
        Self::Records,
        Self::Sources,
        Self::BySubject,
        Self::ByStatus,
        Self::Queue,
        Self::Sealed,
        Self::Pairings,
        Self::Invitations,
        Self::Receipts,
        Self::Places,
        Self::RevokedPlaces,
        Self::Imports,
        Self::Copies,
        Self::OpenId4Vci,
        Self::About,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Sources => "sources",
            Self::BySubject => "by_subject",
            Self::ByStatus => "by_status",
            Self::Queue => "queue",
            Self::Sealed => "sealed",
            Self::Pairings => "pairings",
            Self::Invitations => "invitations",
            Self::Receipts => "receipts",
            Self::Places => "places",
            Self::RevokedPlaces => "revoked_places",
            Self::Imports => "imports",
            Self::Copies => "copies",
            Self::OpenId4Vci => "openid4vci",
            Self::About => "about",
        }
    }
}

/// Places taken in the list that is being filled.
struct OpenList {
    number: u32,
    taken: Vec<u64>,
    count: u32,
}

impl OpenList {
    fn new(number: u32) -> Self {
        Self {
            number,
            taken: vec![0; STATUS_LIST_SIZE as usize / 64],
            count: 0,
        }
    }

    /// Takes a place; `false` where it is taken.
    fn take(&mut self, index: u32) -> bool {
        let (word, bit) = (index as usize / 64, 1 << (index % 64));
        let free = self.taken[word] & bit == 0;
        if free {
            self.taken[word] |= bit;
            self.count += 1;
        }
        free
    }

    fn give_back(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, 1 << (index % 64));
        if self.taken[word] & bit != 0 {
            self.taken[word] &= !bit;
            self.count -= 1;
        }
    }
}

/// Below `key` there is nothing in the queue. What was done leaves marks of deletion at the queue's front until RocksDB
/// clears them away, and a look from the very beginning would read all of them each time.
#[derive(Default)]
struct QueueFloor {
    key: Vec<u8>,
    /// How often something was queued.
    puts: u64,
}

/// Everything that the issuer keeps.
pub(crate) struct Store {
    db: DB,
    path: PathBuf,
    writer: Mutex<OpenList>,
    /// The number of the list in `writer`, for those who must not wait for the disk.
    open_list: AtomicU32,
    counts: [AtomicI64; Status::ALL.len()],
    /// Pushed authorisation requests that are kept.
    pushed: AtomicI64,
    status_changes: AtomicU64,
    queue_floor: Mutex<QueueFloor>,
}

impl Store {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let database = |error| StoreError::Database {
            path: path.clone(),
            error,
        };
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_max_total_wal_size(64 << 20);
        options.set_keep_log_file_num(3);
        // One bounded cache for all tables, their indexes in it: memory does not grow with the records.
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        blocks.set_cache_index_and_filter_blocks(true);
        // A source record is looked for before it is taken in, and almost never found.
        blocks.set_bloom_filter(10.0, false);
        let tables = Table::ALL.map(|table| {
            let mut options = Options::default();
            options.set_block_based_table_factory(&blocks);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_write_buffer_size(16 << 20);
            ColumnFamilyDescriptor::new(table.name(), options)
        });
        let db = DB::open_cf_descriptors(&options, &path, tables).map_err(database)?;
        let store = Self {
            db,
            writer: Mutex::new(OpenList::new(1)),
            open_list: AtomicU32::new(1),
            counts: Default::default(),
            pushed: AtomicI64::new(0),
            status_changes: AtomicU64::new(0),
            queue_floor: Mutex::default(),
            path: path.clone(),
        };
        match store.get(Table::About, b"format")? {
            None => {
                let mut change = store.change();
                change.put(Table::About, b"format".to_vec(), b"1".to_vec());
                change.commit()?;
            }
            Some(found) if found == b"1" => {}
            Some(found) => {
                return Err(StoreError::Format {
                    path,
                    found: String::from_utf8_lossy(&found).into_owned(),
                });
            }
        }
        store.load_counts()?;
        store.load_pushed()?;
        store.load_open_list()?;
        Ok(store)
    }

    /// Opens a store to read it, also beside a running issuer, as of this moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        // Every store of RocksDB has this file. Where there is none, opening would leave folders behind.
        if !path.join("CURRENT").is_file() {
            return Err(StoreError::Missing(path));
        }
        let database = |error| StoreError::Database {
            path: path.clone(),
            error,
        };
        let names = Table::ALL.map(Table::name);
        let db = DB::open_cf_for_read_only(&Options::default(), &path, names, false)
            .map_err(database)?;
        Ok(Self {
            db,
            writer: Mutex::new(OpenList::new(1)),
            open_list: AtomicU32::new(1),
            counts: Default::default(),
            pushed: AtomicI64::new(0),
            status_changes: AtomicU64::new(0),
            queue_floor: Mutex::default(),
            path,
        })
    }

    /// Makes a new store this organisation's on this ledger, and refuses one that is another's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn claim(
        &self,
        organisation: &OrganisationId,
        chain: &ChainId,
    ) -> Result<(), StoreError> {
        let identity = [organisation.0, chain.0].concat();
        match self.get(Table::About, b"identity")? {
            Some(found) if found == identity => Ok(()),
            Some(_) => Err(StoreError::Identity {
                path: self.path.clone(),
            }),
            None => {
                let mut change = self.change();
                change.put(Table::About, b"identity".to_vec(), identity);
                change.commit()
            }
        }
    }

    /// Whose store it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn identity(&self) -> Result<(OrganisationId, ChainId), StoreError> {
        let identity = self
            .get(Table::About, b"identity")?
            .ok_or(StoreError::Damaged("about"))?;
        let (organisation, chain) = identity
            .split_at_checked(32)
            .ok_or(StoreError::Damaged("about"))?;
        let damaged = |_| StoreError::Damaged("about");
        Ok((
            organisation.try_into().map_err(damaged)?,
            chain.try_into().map_err(damaged)?,
        ))
    }

    /// Every record, one after the other.
    pub(crate) fn all_records(&self) -> impl Iterator<Item = Result<Record, StoreError>> {
        self.db
            .iterator_cf(self.family(Table::Records), IteratorMode::Start)
            .map(|item| {
                let (_, value) = item.map_err(|error| self.error(error))?;
                read(Table::Records, &value)
            })
    }

    /// What the tables by which a record is found say of it that it does not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn index_faults(&self, record: &Record) -> Result<Vec<&'static str>, StoreError> {
        let mut faults = Vec::new();
        let mut expect = |holds: bool, fault| {
            if !holds {
                faults.push(fault)
            }
        };
        let has = |table, key: &[u8]| self.get(table, key).map(|value| value.is_some());
        for status in Status::ALL {
            let listed = has(Table::ByStatus, &status_key(status, record))?;
            expect(
                listed == (status == record.status),
                "is listed under another status, or not at all",
            );
        }
        expect(
            has(
                Table::BySubject,
                &subject_key(&subject_hash(&record.subject), record),
            )?,
            "is not listed under its person",
        );
        expect(
            has(Table::Queue, &queue_key(record))? == record.status.is_queued(),
            "is queued, or not, against its status",
        );
        expect(
            has(Table::Sealed, &record.id.0)? == (record.status == Status::Sealed),
            "has sealed bytes, or none, against its status",
        );
        expect(
            has(
                Table::Sources,
                &source_key(&record.system, &record.source_id),
            )?,
            "its source record is not known",
        );
        if let Some(place) = record.place {
            let taken = self.get(Table::Places, &place_key(place))?;
            expect(
                taken.as_deref() == Some(&record.id.0),
                "its place in the status list is another record's",
            );
            expect(
                self.place_status(place)? == record.list_status(),
                "its bit in the status list is wrong",
            );
        }
        for place in self.copies(&record.id)? {
            let taken = self.get(Table::Places, &place_key(place))?;
            expect(
                taken.as_deref() == Some(&record.id.0)
                    && self.place_status(place)? == record.list_status(),
                "a copy's place or bit in the status list is wrong",
            );
        }
        Ok(faults)
    }

    /// Entries in tables whose records are not there, or not queued: their tables' names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn strays(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut strays = Vec::new();
        for table in [
            Table::ByStatus,
            Table::BySubject,
            Table::Queue,
            Table::Sealed,
        ] {
            for key in self.keys(table, &[])? {
                let id = key
                    .last_chunk::<16>()
                    .ok_or(StoreError::Damaged(table.name()))?;
                if self.record(&RecordId(*id))?.is_none() {
                    strays.push(table.name());
                }
            }
        }
        for place in self.keys(Table::RevokedPlaces, &[])? {
            if self.get(Table::Places, &place)?.is_none() {
                strays.push(Table::RevokedPlaces.name());
            }
        }
        Ok(strays)
    }

    /// Begins a change. Others wait until it is committed or dropped.
    pub(crate) fn change(&self) -> Change<'_> {
        // A panic while a change was being made wrote nothing: the next one may go on.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Change {
            store: self,
            _writer: writer,
            changes: BTreeMap::new(),
            deltas: [0; Status::ALL.len()],
            changes_status: false,
        }
    }

    /// A record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn record(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.value(Table::Records, &id.0)
    }

    /// Signed and sealed bytes of a record that is not deposited yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn sealed(&self, id: &RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Table::Sealed, &id.0)
    }

    /// How many records have a status.
    pub(crate) fn count(&self, status: Status) -> u64 {
        u64::try_from(self.counts[status.index()].load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Records that are queued and due, in the order in which they became so, and when the next one will be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn due(
        &self,
        now_ms: u64,
        limit: usize,
        skip: impl Fn(&RecordId) -> bool,
    ) -> Result<(Vec<Record>, Option<u64>), StoreError> {
        let mut found = Vec::new();
        let (floor, puts) = {
            let floor = self.queue_floor();
            (floor.key.clone(), floor.puts)
        };
        let from = IteratorMode::From(&floor, Direction::Forward);
        let queue = self.db.iterator_cf(self.family(Table::Queue), from);
        for (place, item) in queue.enumerate() {
            let (key, _) = item.map_err(|error| self.error(error))?;
            if place == 0 {
                let mut floor = self.queue_floor();
                if floor.puts == puts {
                    floor.key = key.to_vec();
                }
            }
            let (due_ms, id) = queue_entry(&key)?;
            if due_ms > now_ms {
                return Ok((found, Some(due_ms)));
            }
            if skip(&id) {
                continue;
            }
            if found.len() == limit {
                return Ok((found, Some(due_ms)));
            }
            found.push(self.record(&id)?.ok_or(StoreError::Damaged("queue"))?);
        }
        Ok((found, None))
    }

    fn queue_floor(&self) -> MutexGuard<'_, QueueFloor> {
        self.queue_floor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records of one status, oldest first, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn by_status(
        &self,
        status: Status,
        after: Option<&Record>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let prefix = [status.index() as u8];
        self.listed(
            Table::ByStatus,
            &prefix,
            after.map(|record| status_key(status, record)),
            limit,
        )
    }

    /// Records of one person, oldest first, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn by_subject(
        &self,
        subject: &str,
        after: Option<&Record>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let prefix = subject_hash(subject);
        self.listed(
            Table::BySubject,
            &prefix,
            after.map(|record| subject_key(&prefix, record)),
            limit,
        )
    }

    /// A pairing, by [`tegata_consent::invitation::pairing_hash`] of its code without hyphens. The key is a hash of a code
    /// with 80 random bits, so how long the search takes tells nothing about a code.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn pairing(&self, code: &Hash) -> Result<Option<Pairing>, StoreError> {
        self.value(Table::Pairings, &code.0)
    }

    /// A person's newest invitation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn invited(&self, subject: &str) -> Result<Option<Invited>, StoreError> {
        self.value(Table::Invitations, &subject_hash(subject))
    }

    /// Places of a status list that are not valid, with the status of each, and a number that counts up with every change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn statuses(&self, list: u32) -> Result<(Vec<(u32, u8)>, u64), StoreError> {
        let version = self.status_changes();
        let prefix = list.to_be_bytes();
        let from = IteratorMode::From(&prefix, Direction::Forward);
        let mut places = Vec::new();
        for item in self.db.iterator_cf(self.family(Table::RevokedPlaces), from) {
            let (key, value) = item.map_err(|error| self.error(error))?;
            if !key.starts_with(&prefix) {
                break;
            }
            places.push((place_of(&key)?.index, status_value(&value)?));
        }
        Ok((places, version))
    }

    fn place_status(&self, place: StatusPlace) -> Result<ListStatus, StoreError> {
        let value = self.get(Table::RevokedPlaces, &place_key(place))?;
        Ok(match value {
            None => ListStatus::Valid,
            Some(value) => ListStatus::from(status_value(&value)?),
        })
    }

    /// The number of [`Self::statuses`].
    pub(crate) fn status_changes(&self) -> u64 {
        self.status_changes.load(Ordering::Acquire)
    }

    /// Number of the status list that is being filled; all below it are full.
    pub(crate) fn open_list(&self) -> u32 {
        self.open_list.load(Ordering::Acquire)
    }

    /// Reserves a free place in a status list until the process ends; [`Change::put_place`] keeps it. `random` gives
    /// random numbers.
    pub(crate) fn reserve_place(&self, mut random: impl FnMut() -> u32) -> StatusPlace {
        let mut open = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if open.count >= STATUS_LIST_SIZE / 2 {
            *open = OpenList::new(open.number + 1);
            self.open_list.store(open.number, Ordering::Release);
        }
        loop {
            let index = random() % STATUS_LIST_SIZE;
            if open.take(index) {
                return StatusPlace {
                    list: open.number,
                    index,
                };
            }
        }
    }

    /// Gives a reserved place back that was told to nobody and not kept.
    pub(crate) fn give_back(&self, place: StatusPlace) {
        let mut open = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if open.number == place.list {
            open.give_back(place.index);
        }
    }

    /// How many places of the open list are taken, reserved ones included.
    #[cfg(test)]
    pub(crate) fn places_taken(&self) -> u32 {
        let open = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        open.count
    }

    /// An import.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn import(&self, id: &RecordId) -> Result<Option<Import>, StoreError> {
        self.value(Table::Imports, &id.0)
    }

    /// All imports, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn imports(&self) -> Result<Vec<Import>, StoreError> {
        let keys = self.keys(Table::Imports, &[])?;
        let imports = keys.iter().map(|key| {
            self.value(Table::Imports, key)?
                .ok_or(StoreError::Damaged("imports"))
        });
        imports.collect()
    }

    fn listed(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let from = after.as_deref().unwrap_or(prefix);
        let mut found = Vec::new();
        for item in self.db.iterator_cf(
            self.family(table),
            IteratorMode::From(from, Direction::Forward),
        ) {
            let (key, _) = item.map_err(|error| self.error(error))?;
            if !key.starts_with(prefix) || found.len() == limit {
                break;
            }
            if Some(&*key) == after.as_deref() {
                continue;
            }
            let id = key
                .last_chunk::<16>()
                .ok_or(StoreError::Damaged(table.name()))?;
            found.push(
                self.record(&RecordId(*id))?
                    .ok_or(StoreError::Damaged(table.name()))?,
            );
        }
        Ok(found)
    }

    fn load_counts(&self) -> Result<(), StoreError> {
        for item in self
            .db
            .iterator_cf(self.family(Table::ByStatus), IteratorMode::Start)
        {
            let (key, _) = item.map_err(|error| self.error(error))?;
            let count = key
                .first()
                .and_then(|status| self.counts.get(usize::from(*status)));
            count
                .ok_or(StoreError::Damaged("by_status"))?
                .fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn load_open_list(&self) -> Result<(), StoreError> {
        let newest = self
            .db
            .iterator_cf(self.family(Table::Places), IteratorMode::End)
            .next();
        let Some(newest) = newest else { return Ok(()) };
        let (key, _) = newest.map_err(|error| self.error(error))?;
        let mut open = OpenList::new(place_of(&key)?.list);
        for key in self.keys(Table::Places, &open.number.to_be_bytes())? {
            open.take(place_of(&key)?.index % STATUS_LIST_SIZE);
        }
        self.open_list.store(open.number, Ordering::Release);
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(())
    }

    fn keys(&self, table: Table, prefix: &[u8]) -> Result<Vec<Box<[u8]>>, StoreError> {
        let mut keys = Vec::new();
        for item in self.db.iterator_cf(
            self.family(table),
            IteratorMode::From(prefix, Direction::Forward),
        ) {
            let (key, _) = item.map_err(|error| self.error(error))?;
            if !key.starts_with(prefix) {
                break;
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn value<T: for<'b> Decode<'b, ()>>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        self.get(table, key)?
            .map(|bytes| read(table, &bytes))
            .transpose()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .get_cf(self.family(table), key)
            .map_err(|error| self.error(error))
    }

    fn family(&self, table: Table) -> &ColumnFamily {
        self.db
            .cf_handle(table.name())
            .expect("every table was opened in `open`")
    }

    fn error(&self, error: rocksdb::Error) -> StoreError {
        StoreError::Database {
            path: self.path.clone(),
            error,
        }
    }
}

fn read<T: for<'b> Decode<'b, ()>>(table: Table, bytes: &[u8]) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|_| StoreError::Damaged(table.name()))
}

#[cfg(test)]
mod tests;
