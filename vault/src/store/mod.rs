//! The host's store: RocksDB, and nothing of RocksDB outside this module.
//!
//! Contract of every writing method: when it returns `Ok`, what it says is on disk, synced, in one batch, and survives
//! `kill -9` and loss of power; when it returns `Err` or never returns, all of it is there or nothing is. Receipts of one
//! drawer are written strictly one after the other.
//!
//! Architecture invariant: no row holds a key or a plaintext. Files are age ciphertext to keys that the host does not have,
//! locks and tickets are sealed to others, the index is sealed by the wallet.

mod deposits;
mod everything;
mod grants;
mod outbox;
mod readings;
mod vaults;

pub(crate) use deposits::{Appended, NewDeposit, SMALL_FILE_MAX};
pub(crate) use grants::PendingKind;
pub(crate) use vaults::DrawerOpened;

use crate::files::{FileError, Files, sync_folder};
use crate::rows::Identity;
#[cfg(doc)]
use crate::rows::{
    DrawerRow, HandedRow, HeadRow, IndexRow, OpeningRow, OrderRow, PapersRow, RevocationRow,
    SubmissionRow, VaultRow,
};
use minicbor::{Decode, Encode};
use rocksdb::{DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tegata_consent::cbor;

const ROW_MAX: usize = 2 * 1024 * 1024;
const LOCKS: usize = 256;

/// The first byte of every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Table {
    /// `[]` → [`Identity`]
    Identity = 1,
    /// vault → [`VaultRow`]
    Vault = 2,
    /// vault → [`IndexRow`]
    Index = 3,
    /// drawer → [`DrawerRow`]
    Drawer = 4,
    /// vault ‖ drawer → nothing
    DrawerOf = 5,
    /// drawer → [`HeadRow`]
    Head = 6,
    /// drawer ‖ record → sequence, 8 bytes
    Record = 7,
    /// drawer ‖ sequence → [`PapersRow`]
    Papers = 8,
    /// digest → signed invitation
    Invitation = 9,
    /// digest → small sealed file
    File = 10,
    /// grant → [`SubmissionRow`]
    Submission = 11,
    /// grant → receipt of the grant; present when it is final
    Granted = 12,
    /// vault ‖ grant → nothing, for final grants
    GrantOf = 13,
    /// grant → [`RevocationRow`]
    Revocation = 14,
    /// grant → receipt of the revocation; present when it is final
    Revoked = 15,
    /// kind ‖ grant → nothing: entries that are not final yet
    Pending = 16,
    /// grant → [`OrderRow`], for final grants
    Order = 17,
    /// drawer ‖ grant → nothing: orders to ping at a deposit
    OrderOf = 18,
    /// grant → time of the ticket's delivery, 8 bytes
    Delivered = 19,
    /// grant ‖ access → [`OpeningRow`]
    Opening = 20,
    /// grant ‖ access ‖ drawer ‖ sequence → [`HandedRow`]
    Handed = 21,
    /// recipient ‖ kind ‖ grant ‖ suffix → nothing
    Outbox = 22,
    /// digest of a request's signature → time, 8 bytes
    Served = 23,
}

/// Why the store failed. Nothing was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error("store: {0}")]
    Database(String),
    /// There is none.
    #[error("there is no store in {0}: it is lost, or the host never ran")]
    Missing(PathBuf),
    /// A row that this code did not write, or one that is missing.
    #[error("store: the row {0} is damaged or missing")]
    Damaged(String),
    /// A sealed file.
    #[error("store: {0}")]
    File(#[from] FileError),
    /// Made for another host or ledger.
    #[error("the store in this folder belongs to another host or ledger")]
    Foreign,
}

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        Self::Database(error.into_string())
    }
}

/// The store. Methods block: call them where blocking is allowed.
pub(crate) struct Store {
    db: DB,
    files: Files,
    locks: Vec<Mutex<()>>,
    unique: AtomicU64,
}

impl Store {
    /// Opens the store in a folder, and makes it where there is none. A key of the host that is new is added to those that
    /// signed here.
    pub(crate) fn open(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let sealed = folder.join("files");
        make_private(folder)?;
        make_private(&sealed)?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_keep_log_file_num(5);
        // Only a torn last write is forgiven: what was acknowledged before it must all be there.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        let db = DB::open(&options, folder.join("rows"))?;
        let store = Self::with(db, Files::open(sealed)?);
        sync_folder(folder)?;
        if let Some(parent) = folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync_folder(parent)?;
        }
        let found: Option<Identity> = store.row(Table::Identity, &[])?;
        let mut wanted = found.clone().unwrap_or_else(|| identity.clone());
        if wanted.chain != identity.chain || wanted.host != identity.host {
            return Err(StoreError::Foreign);
        }
        wanted.keys.extend(
            identity
                .keys
                .iter()
                .filter(|key| found.as_ref().is_some_and(|row| !row.keys.contains(key))),
        );
        if found.as_ref() != Some(&wanted) {
            let mut batch = Batch::default();
            batch.row(Table::Identity, &[], &wanted);
            store.write(batch)?;
        }
        Ok(store)
    }

    /// Opens an existing store to look at it, also beside a running host. Nothing is written.
    pub(crate) fn open_read_only(folder: &Path) -> Result<Self, StoreError> {
        let rows = folder.join("rows");
        // Every store of RocksDB has this file. Where there is none, opening would leave folders behind.
        if !rows.join("CURRENT").is_file() {
            return Err(StoreError::Missing(rows));
        }
        let db = DB::open_for_read_only(&Options::default(), rows, false)?;
        Ok(Self::with(db, Files::open_read_only(folder.join("files"))))
    }

    fn with(db: DB, files: Files) -> Self {
        Self {
            db,
            files,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            unique: AtomicU64::new(0),
        }
    }

    /// Whose store it is.
    pub(crate) fn identity(&self) -> Result<Identity, StoreError> {
        self.must(Table::Identity, &[])
    }

    fn get(&self, table: Table, key: &[&[u8]]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key_of(table, key))?)
    }

    fn row<T: for<'b> Decode<'b, ()> + Encode<()>>(
        &self,
        table: Table,
        key: &[&[u8]],
    ) -> Result<Option<T>, StoreError> {
        self.get(table, key)?
            .map(|bytes| read(&key_of(table, key), &bytes))
            .transpose()
    }

    fn must<T: for<'b> Decode<'b, ()> + Encode<()>>(
        &self,
        table: Table,
        key: &[&[u8]],
    ) -> Result<T, StoreError> {
        self.row(table, key)?
            .ok_or_else(|| damaged(&key_of(table, key)))
    }

    fn time(&self, table: Table, key: &[&[u8]]) -> Result<Option<u64>, StoreError> {
        self.get(table, key)?
            .map(|bytes| number(&key_of(table, key), &bytes))
            .transpose()
    }

    /// Keys (without table byte) and values under a prefix, in order, beginning at or after `from`.
    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &[&[u8]],
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<'a> {
        let prefix = key_of(table, prefix);
        let start = [prefix.as_slice(), from].concat();
        let rows = self
            .db
            .iterator(IteratorMode::From(&start, Direction::Forward));
        rows.map(|row| row.map_err(StoreError::from))
            .map_while(move |row| match row {
                Ok((key, value)) => key
                    .starts_with(&prefix)
                    .then(|| Ok((key[1..].to_vec(), value.into_vec()))),
                Err(error) => Some(Err(error)),
            })
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch.0, &options)?)
    }

    /// Held while something of one vault, drawer or grant is read and written again.
    fn lock(&self, id: &[u8]) -> MutexGuard<'_, ()> {
        let place = id.iter().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        self.locks[place % LOCKS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a folder that only the service's own user can read, where there is none.
fn make_private(folder: &Path) -> Result<(), FileError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| FileError {
        path: folder.to_owned(),
        source,
    })
}

#[derive(Default)]
struct Batch(WriteBatch);

impl Batch {
    fn put(&mut self, table: Table, key: &[&[u8]], value: &[u8]) {
        self.0.put(key_of(table, key), value);
    }
    fn row<T: Encode<()>>(&mut self, table: Table, key: &[&[u8]], row: &T) {
        self.put(table, key, &cbor::encode(row));
    }
    fn delete(&mut self, table: Table, key: &[&[u8]]) {
        self.0.delete(key_of(table, key));
    }
}

fn key_of(table: Table, parts: &[&[u8]]) -> Vec<u8> {
    [&[table as u8][..], &parts.concat()].concat()
}

fn read<T: for<'b> Decode<'b, ()> + Encode<()>>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    cbor::decode(bytes, ROW_MAX).map_err(|_| damaged(key))
}

fn number(key: &[u8], bytes: &[u8]) -> Result<u64, StoreError> {
    Ok(u64::from_be_bytes(
        bytes.try_into().map_err(|_| damaged(key))?,
    ))
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged(hex::encode(key))
}

/// The identifier that stands in a key at an offset.
fn id<'k, T: TryFrom<&'k [u8]>>(key: &'k [u8], at: usize, length: usize) -> Result<T, StoreError> {
    key.get(at..at + length)
        .and_then(|bytes| T::try_from(bytes).ok())
        .ok_or_else(|| damaged(key))
}
