//! The host's store: RocksDB, and nothing of RocksDB outside this module.
//!
//! Contract of every writing method: when it returns `Ok`, what it says is on disk, synced, in one batch, and survives
//! `kill -9` and loss of power; when it returns `Err` or never returns, all of it is there or nothing is. Receipts of one
//! drawer are written strictly one after the other.
//!
//! Architecture invariant: no row holds a key or a plaintext. Files are age ciphertext to keys that the host does not have,
//! locks and tickets are sealed to others, the index is sealed by the wallet.

use crate::files::{FileError, Files};
use crate::rows::{
    DrawerRow, HandedRow, HeadRow, Identity, IndexRow, Message, MessageKind, OpeningRow, OrderRow,
    PapersRow, Position, RevocationRow, SubmissionRow, VaultRow,
};
use minicbor::{Decode, Encode};
use rocksdb::{DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tegata_consent::cbor;
use tegata_consent::deposit::{DrawerList, EMPTY_HEAD, SealedRecord, receipt_head};
use tegata_consent::fetch::{HandedOut, Opening};
use tegata_consent::ids::{DrawerId, EntryId, GrantId, Hash, OrganisationId, RecordId, VaultId};
use tegata_consent::invitation::Drawer;
use tegata_consent::scope::Scope;

/// Files longer than this lie on disk as files, shorter ones in RocksDB.
pub(crate) const SMALL_FILE_MAX: usize = 64 * 1024;
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

/// A deposit that was judged and is to be kept.
pub(crate) struct NewDeposit<'a> {
    pub(crate) drawer: DrawerId,
    pub(crate) record: RecordId,
    pub(crate) date_ms: u64,
    pub(crate) deposit: &'a [u8],
    pub(crate) invitation: (Hash, &'a [u8]),
    pub(crate) lock: &'a [u8],
    pub(crate) file: (Hash, &'a [u8]),
    pub(crate) now_ms: u64,
    pub(crate) records_max: u64,
}

/// What became of a deposit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Kept; its receipt.
    New(Vec<u8>),
    /// Kept before; the same receipt.
    Same(Vec<u8>),
    /// Another deposit has this record id.
    Other,
    /// The drawer holds as many as it may.
    Full,
}

/// Which entry is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PendingKind {
    Grant = 1,
    Revocation = 2,
}

/// What a fetch is answered with, and what is to be noted before.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where each lies, its id, and the record.
    pub(crate) records: Vec<(Position, RecordId, SealedRecord)>,
    /// Whether there are more after the last.
    pub(crate) more: bool,
}

/// The store. Methods block: call them where blocking is allowed.
pub(crate) struct Store {
    db: DB,
    files: Files,
    locks: Vec<Mutex<()>>,
    unique: AtomicU64,
}

// ---- opening, and reading and writing rows ----

impl Store {
    /// Opens the store in a folder, and makes it where there is none. A key of the host that is new is added to those that
    /// signed here.
    pub(crate) fn open(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let sealed = folder.join("files");
        std::fs::create_dir_all(&sealed).map_err(|source| FileError {
            path: sealed.clone(),
            source,
        })?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        // Only a torn last write is forgiven: what was acknowledged before it must all be there.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        let db = DB::open(&options, folder.join("rows"))?;
        let store = Self::with(db, Files::open(sealed)?);
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
        let db = DB::open_for_read_only(&Options::default(), folder.join("rows"), false)?;
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

// ---- vaults, indexes, drawers ----

/// The wallet's index changed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexChanged {
    /// Its version now; 0 where there is none.
    pub(crate) version: u64,
}

/// What became of a drawer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrawerOpened {
    New,
    Same,
    /// The id is another drawer's.
    Taken,
    /// The vault has as many as it may.
    Full,
}

impl Store {
    /// Opens a vault; `false` where it is open already.
    pub(crate) fn open_vault(&self, vault: &VaultId, now_ms: u64) -> Result<bool, StoreError> {
        let _guard = self.lock(&vault.0);
        if self.has_vault(vault)? {
            return Ok(false);
        }
        let mut batch = Batch::default();
        batch.row(Table::Vault, &[&vault.0], &VaultRow { opened_ms: now_ms });
        self.write(batch)?;
        Ok(true)
    }

    pub(crate) fn has_vault(&self, vault: &VaultId) -> Result<bool, StoreError> {
        Ok(self.row::<VaultRow>(Table::Vault, &[&vault.0])?.is_some())
    }

    /// Version and bytes of the index.
    pub(crate) fn index(&self, vault: &VaultId) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let row: Option<IndexRow> = self.row(Table::Index, &[&vault.0])?;
        Ok(row.map(|row| (row.version, row.bytes.into())))
    }

    /// Replaces the index where its version is still `expected` (0: there is none yet). Gives the new version.
    pub(crate) fn put_index(
        &self,
        vault: &VaultId,
        expected: u64,
        bytes: Vec<u8>,
    ) -> Result<Result<u64, IndexChanged>, StoreError> {
        let _guard = self.lock(&vault.0);
        let version = self.index(vault)?.map_or(0, |(version, _)| version);
        if version != expected {
            return Ok(Err(IndexChanged { version }));
        }
        let mut batch = Batch::default();
        batch.row(
            Table::Index,
            &[&vault.0],
            &IndexRow {
                version: version + 1,
                bytes: bytes.into(),
            },
        );
        self.write(batch)?;
        Ok(Ok(version + 1))
    }

    /// Opens a drawer.
    pub(crate) fn open_drawer(
        &self,
        vault: &VaultId,
        drawer: &Drawer,
        drawers_max: usize,
    ) -> Result<DrawerOpened, StoreError> {
        let _guards = self.two_locks(&vault.0, &drawer.id.0);
        let row = DrawerRow {
            vault: *vault,
            drawer: drawer.clone(),
        };
        if let Some(found) = self.drawer(&drawer.id)? {
            return Ok(if found == row {
                DrawerOpened::Same
            } else {
                DrawerOpened::Taken
            });
        }
        if self
            .scan(Table::DrawerOf, &[&vault.0], &[])
            .take(drawers_max)
            .count()
            >= drawers_max
        {
            return Ok(DrawerOpened::Full);
        }
        let mut batch = Batch::default();
        batch.row(Table::Drawer, &[&drawer.id.0], &row);
        batch.put(Table::DrawerOf, &[&vault.0, &drawer.id.0], &[]);
        batch.row(
            Table::Head,
            &[&drawer.id.0],
            &HeadRow {
                count: 0,
                head: EMPTY_HEAD,
            },
        );
        self.write(batch)?;
        Ok(DrawerOpened::New)
    }

    /// Two locks, always in the same order; one where both ids share it.
    fn two_locks(&self, a: &[u8], b: &[u8]) -> (MutexGuard<'_, ()>, Option<MutexGuard<'_, ()>>) {
        let place = |id: &[u8]| {
            id.iter().fold(0_usize, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
            }) % LOCKS
        };
        let (first, second) = if place(a) <= place(b) { (a, b) } else { (b, a) };
        let guard = self.lock(first);
        (guard, (place(a) != place(b)).then(|| self.lock(second)))
    }

    pub(crate) fn drawer(&self, drawer: &DrawerId) -> Result<Option<DrawerRow>, StoreError> {
        self.row(Table::Drawer, &[&drawer.0])
    }

    /// A vault's drawers, by id.
    pub(crate) fn drawers(&self, vault: &VaultId) -> Result<Vec<Drawer>, StoreError> {
        let ids = self.scan(Table::DrawerOf, &[&vault.0], &[]);
        ids.map(|row| {
            let drawer: DrawerId = id(&row?.0, VaultId::LEN, DrawerId::LEN)?;
            Ok(self.must::<DrawerRow>(Table::Drawer, &[&drawer.0])?.drawer)
        })
        .collect()
    }

    /// Number of deposits and head of the receipts.
    pub(crate) fn head(&self, drawer: &DrawerId) -> Result<HeadRow, StoreError> {
        self.must(Table::Head, &[&drawer.0])
    }
}

// ---- deposits ----

impl Store {
    /// Keeps a deposit and its receipt, and notes a ping for every order that covers it. `receipt` signs for
    /// `(sequence, previous head)`.
    pub(crate) fn append(
        &self,
        new: &NewDeposit<'_>,
        receipt: impl FnOnce(u64, Hash) -> Vec<u8>,
    ) -> Result<Appended, StoreError> {
        if new.file.1.len() > SMALL_FILE_MAX {
            self.files.keep(
                &new.file.0,
                new.file.1,
                self.unique.fetch_add(1, Ordering::Relaxed),
            )?;
        }
        let _guard = self.lock(&new.drawer.0);
        if let Some(kept) = self.kept(&new.drawer, &new.record)? {
            return Ok(if *kept.deposit == *new.deposit {
                Appended::Same(kept.receipt.into())
            } else {
                Appended::Other
            });
        }
        let HeadRow { count, head } = self.head(&new.drawer)?;
        if count >= new.records_max {
            return Ok(Appended::Full);
        }
        let sequence = count + 1;
        let receipt = receipt(sequence, head);
        let papers = PapersRow {
            record: new.record,
            date_ms: new.date_ms,
            deposit: new.deposit.to_vec().into(),
            receipt: receipt.clone().into(),
            invitation: new.invitation.0,
            lock: new.lock.to_vec().into(),
            file: new.file.0,
            length: new.file.1.len() as u64,
        };
        let (drawer, number) = (&new.drawer.0, sequence.to_be_bytes());
        let mut batch = Batch::default();
        batch.row(Table::Papers, &[drawer, &number], &papers);
        batch.put(Table::Record, &[drawer, &new.record.0], &number);
        batch.row(
            Table::Head,
            &[drawer],
            &HeadRow {
                count: sequence,
                head: receipt_head(&receipt),
            },
        );
        batch.put(Table::Invitation, &[&new.invitation.0.0], new.invitation.1);
        if new.file.1.len() <= SMALL_FILE_MAX {
            batch.put(Table::File, &[&new.file.0.0], new.file.1);
        }
        for row in self.scan(Table::OrderOf, &[drawer], &[]) {
            let grant: GrantId = id(&row?.0, DrawerId::LEN, GrantId::LEN)?;
            let Some(order) = self.order(&grant)? else {
                continue;
            };
            if new.now_ms < order.until_ms
                && order.scope.covers(&new.drawer, &new.record, new.date_ms)
            {
                let kind = [MessageKind::Ping as u8];
                batch.put(
                    Table::Outbox,
                    &[&order.recipient.0, &kind, &grant.0, drawer, &number],
                    &[],
                );
            }
        }
        self.write(batch)?;
        Ok(Appended::New(receipt))
    }

    /// The papers of a record.
    pub(crate) fn kept(
        &self,
        drawer: &DrawerId,
        record: &RecordId,
    ) -> Result<Option<PapersRow>, StoreError> {
        let Some(number) = self.get(Table::Record, &[&drawer.0, &record.0])? else {
            return Ok(None);
        };
        self.must(Table::Papers, &[&drawer.0, &number]).map(Some)
    }

    /// The papers of a drawer after a deposit, in order.
    pub(crate) fn papers_after<'a>(
        &'a self,
        drawer: &DrawerId,
        after: u64,
    ) -> impl Iterator<Item = Result<(u64, PapersRow), StoreError>> + use<'a> {
        self.scan(Table::Papers, &[&drawer.0], &(after + 1).to_be_bytes())
            .map(|row| {
                let (key, value) = row?;
                let sequence = number(&key, key.get(DrawerId::LEN..).unwrap_or_default())?;
                Ok((sequence, read(&key, &value)?))
            })
    }

    /// Papers of every deposit of a drawer.
    pub(crate) fn list(&self, drawer: &DrawerId) -> Result<DrawerList, StoreError> {
        let mut list = DrawerList {
            drawer: *drawer,
            deposits: Vec::new(),
            receipts: Vec::new(),
        };
        for row in self.papers_after(drawer, 0) {
            let papers = row?.1;
            list.deposits.push(papers.deposit);
            list.receipts.push(papers.receipt);
        }
        Ok(list)
    }

    /// A record with its file.
    pub(crate) fn sealed(&self, papers: PapersRow) -> Result<SealedRecord, StoreError> {
        let invitation = self
            .invitation(&papers.invitation)?
            .ok_or_else(|| damaged(&papers.invitation.0))?;
        let file = self
            .file(&papers.file)?
            .ok_or_else(|| damaged(&papers.file.0))?;
        Ok(SealedRecord {
            deposit: papers.deposit,
            invitation: invitation.into(),
            lock: papers.lock,
            file: file.into(),
            receipt: Some(papers.receipt),
        })
    }

    pub(crate) fn invitation(&self, digest: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Table::Invitation, &[&digest.0])
    }

    /// A sealed file, wherever it lies.
    pub(crate) fn file(&self, digest: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        match self.get(Table::File, &[&digest.0])? {
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(self.files.read(digest)?),
        }
    }

    /// Records that a scope covers, in order of drawer, then deposit, until their files reach `bytes_max`; at least one
    /// where there is one.
    pub(crate) fn page(
        &self,
        scope: &Scope,
        after: Option<Position>,
        bytes_max: u64,
    ) -> Result<Page, StoreError> {
        let mut page = Page {
            records: Vec::new(),
            more: false,
        };
        let mut bytes = 0;
        for drawer in scope
            .drawers
            .iter()
            .filter(|drawer| after.is_none_or(|after| **drawer >= after.drawer))
        {
            let start = after
                .filter(|after| after.drawer == *drawer)
                .map_or(0, |after| after.sequence);
            for row in self.papers_after(drawer, start) {
                let (sequence, papers) = row?;
                if !scope.covers(drawer, &papers.record, papers.date_ms) {
                    continue;
                }
                if !page.records.is_empty() && bytes + papers.length > bytes_max {
                    page.more = true;
                    return Ok(page);
                }
                bytes += papers.length;
                page.records.push((
                    Position {
                        drawer: *drawer,
                        sequence,
                    },
                    papers.record,
                    self.sealed(papers)?,
                ));
            }
        }
        Ok(page)
    }
}

// ---- grants and revocations ----

impl Store {
    /// Notes a grant before it goes to the ledger.
    pub(crate) fn begin_grant(
        &self,
        grant: &GrantId,
        row: &SubmissionRow,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.row(Table::Submission, &[&grant.0], row);
        batch.put(
            Table::Pending,
            &[&[PendingKind::Grant as u8], &grant.0],
            &[],
        );
        self.write(batch)
    }

    pub(crate) fn submission(&self, grant: &GrantId) -> Result<Option<SubmissionRow>, StoreError> {
        self.row(Table::Submission, &[&grant.0])
    }

    /// The grant is final: its order counts from now on, and its ticket is in the outbox.
    pub(crate) fn finish_grant(
        &self,
        grant: &GrantId,
        receipt: &[u8],
        order: &OrderRow,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Table::Granted, &[&grant.0], receipt);
        batch.put(Table::GrantOf, &[&order.vault.0, &grant.0], &[]);
        batch.row(Table::Order, &[&grant.0], order);
        for drawer in &order.scope.drawers {
            batch.put(Table::OrderOf, &[&drawer.0, &grant.0], &[]);
        }
        batch.put(
            Table::Outbox,
            &[&order.recipient.0, &[MessageKind::Ticket as u8], &grant.0],
            &[],
        );
        batch.delete(Table::Pending, &[&[PendingKind::Grant as u8], &grant.0]);
        self.write(batch)
    }

    /// The ledger will not take the grant: forgets it.
    pub(crate) fn drop_grant(&self, grant: &GrantId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(Table::Submission, &[&grant.0]);
        batch.delete(Table::Pending, &[&[PendingKind::Grant as u8], &grant.0]);
        self.write(batch)
    }

    /// The receipt of a grant that is final here.
    pub(crate) fn granted(&self, grant: &GrantId) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Table::Granted, &[&grant.0])
    }

    /// The order of a grant that is final.
    pub(crate) fn order(&self, grant: &GrantId) -> Result<Option<OrderRow>, StoreError> {
        self.row(Table::Order, &[&grant.0])
    }

    /// A vault's final grants, and when their tickets were delivered.
    pub(crate) fn grants(
        &self,
        vault: &VaultId,
    ) -> Result<Vec<(GrantId, Option<u64>)>, StoreError> {
        let rows = self.scan(Table::GrantOf, &[&vault.0], &[]);
        rows.map(|row| {
            let grant: GrantId = id(&row?.0, VaultId::LEN, GrantId::LEN)?;
            Ok((grant, self.time(Table::Delivered, &[&grant.0])?))
        })
        .collect()
    }

    /// Notes a revocation before it goes to the ledger.
    pub(crate) fn begin_revocation(
        &self,
        grant: &GrantId,
        row: &RevocationRow,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.row(Table::Revocation, &[&grant.0], row);
        batch.put(
            Table::Pending,
            &[&[PendingKind::Revocation as u8], &grant.0],
            &[],
        );
        self.write(batch)
    }

    pub(crate) fn revocation(&self, grant: &GrantId) -> Result<Option<RevocationRow>, StoreError> {
        self.row(Table::Revocation, &[&grant.0])
    }

    /// The revocation is final: nothing is carried under the grant any more.
    pub(crate) fn finish_revocation(
        &self,
        grant: &GrantId,
        receipt: &[u8],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Table::Revoked, &[&grant.0], receipt);
        batch.delete(
            Table::Pending,
            &[&[PendingKind::Revocation as u8], &grant.0],
        );
        self.end_order(&mut batch, grant)?;
        self.write(batch)
    }

    /// The ledger will not take the revocation: forgets it.
    pub(crate) fn drop_revocation(&self, grant: &GrantId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(Table::Revocation, &[&grant.0]);
        batch.delete(
            Table::Pending,
            &[&[PendingKind::Revocation as u8], &grant.0],
        );
        self.write(batch)
    }

    /// The receipt of a revocation that is final here.
    pub(crate) fn revoked(&self, grant: &GrantId) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Table::Revoked, &[&grant.0])
    }

    /// The grant stands no more: deposits ping nobody under it. The order itself stays, for the history.
    pub(crate) fn end_grant(&self, grant: &GrantId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.end_order(&mut batch, grant)?;
        self.write(batch)
    }

    fn end_order(&self, batch: &mut Batch, grant: &GrantId) -> Result<(), StoreError> {
        for drawer in self
            .order(grant)?
            .iter()
            .flat_map(|order| &order.scope.drawers)
        {
            batch.delete(Table::OrderOf, &[&drawer.0, &grant.0]);
        }
        Ok(())
    }

    /// Entries that are not final yet.
    pub(crate) fn pending(&self) -> Result<Vec<(PendingKind, GrantId)>, StoreError> {
        let kinds = [PendingKind::Grant, PendingKind::Revocation];
        let rows = kinds.into_iter().flat_map(|kind| {
            self.scan(Table::Pending, &[&[kind as u8]], &[])
                .map(move |row| (kind, row))
        });
        rows.map(|(kind, row)| Ok((kind, id(&row?.0, 1, GrantId::LEN)?)))
            .collect()
    }
}

// ---- readings ----

impl Store {
    /// Notes what an access asked for, and what is about to be handed out under it. A record is noted when it is handed out
    /// first: asking again under the same access adds nothing. `request` is the digest of the request's signature; `false`
    /// where that request was served before, and then nothing is noted.
    pub(crate) fn hand_out(
        &self,
        request: &Hash,
        (grant, access): (&GrantId, &EntryId),
        opening: &OpeningRow,
        records: &[(Position, RecordId)],
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let _guard = self.lock(&request.0);
        if self.get(Table::Served, &[&request.0])?.is_some() {
            return Ok(false);
        }
        let mut batch = Batch::default();
        batch.put(Table::Served, &[&request.0], &now_ms.to_be_bytes());
        batch.row(Table::Opening, &[&grant.0, &access.0], opening);
        for (Position { drawer, sequence }, record) in records {
            let number = sequence.to_be_bytes();
            let key: [&[u8]; 4] = [&grant.0, &access.0, &drawer.0, &number];
            if self.get(Table::Handed, &key)?.is_none() {
                batch.row(
                    Table::Handed,
                    &key,
                    &HandedRow {
                        record: *record,
                        time_ms: now_ms,
                    },
                );
            }
        }
        self.write(batch)?;
        Ok(true)
    }

    /// What is known of each access under a grant that came here, by access.
    pub(crate) fn openings(&self, grant: &GrantId) -> Result<Vec<Opening>, StoreError> {
        let rows = self.scan(Table::Opening, &[&grant.0], &[]);
        rows.map(|row| {
            let (key, value) = row?;
            let access: EntryId = id(&key, GrantId::LEN, EntryId::LEN)?;
            let OpeningRow { salt, scope } = read(&key, &value)?;
            let records = self.handed(grant, &access)?;
            Ok(Opening {
                access,
                salt,
                scope,
                records,
            })
        })
        .collect()
    }

    fn handed(&self, grant: &GrantId, access: &EntryId) -> Result<Vec<HandedOut>, StoreError> {
        let rows = self.scan(Table::Handed, &[&grant.0, &access.0], &[]);
        rows.map(|row| {
            let (key, value) = row?;
            let drawer: DrawerId = id(&key, GrantId::LEN + EntryId::LEN, DrawerId::LEN)?;
            let HandedRow { record, time_ms } = read(&key, &value)?;
            Ok(HandedOut {
                drawer,
                record,
                time_ms,
            })
        })
        .collect()
    }

    /// Forgets requests served before a time, when their signatures are too old to be taken again.
    pub(crate) fn forget_served(&self, before_ms: u64) -> Result<usize, StoreError> {
        let mut batch = Batch::default();
        let mut count = 0;
        for row in self.scan(Table::Served, &[], &[]) {
            let (key, value) = row?;
            if number(&key, &value)? < before_ms {
                batch.delete(Table::Served, &[&key]);
                count += 1;
            }
        }
        self.write(batch)?;
        Ok(count)
    }
}

// ---- outbox ----

impl Store {
    /// The next recipient with messages, after another.
    pub(crate) fn next_recipient(
        &self,
        after: Option<&OrganisationId>,
    ) -> Result<Option<OrganisationId>, StoreError> {
        let from = after
            .map(|after| [after.0.as_slice(), &[0xff]].concat())
            .unwrap_or_default();
        match self.scan(Table::Outbox, &[], &from).next() {
            Some(row) => Ok(Some(id(&row?.0, 0, OrganisationId::LEN)?)),
            None => Ok(None),
        }
    }

    /// Messages to a recipient: tickets, then pings, one for each grant; made of at most `rows_max` rows.
    pub(crate) fn messages(
        &self,
        recipient: &OrganisationId,
        rows_max: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let mut messages: Vec<Message> = Vec::new();
        for row in self
            .scan(Table::Outbox, &[&recipient.0], &[])
            .take(rows_max)
        {
            let key = row?.0;
            let kind = match key.get(OrganisationId::LEN) {
                Some(1) => MessageKind::Ticket,
                Some(2) => MessageKind::Ping,
                _ => return Err(damaged(&key)),
            };
            let grant: GrantId = id(&key, OrganisationId::LEN + 1, GrantId::LEN)?;
            match messages.last_mut() {
                Some(last) if last.kind == kind && last.grant == grant => last.rows.push(key),
                _ => messages.push(Message {
                    recipient: *recipient,
                    kind,
                    grant,
                    rows: vec![key],
                }),
            }
        }
        Ok(messages)
    }

    /// The recipient took a message (`delivered_ms`), or it is void. Rows that came meanwhile stay.
    pub(crate) fn settle(
        &self,
        message: &Message,
        delivered_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for key in &message.rows {
            batch.delete(Table::Outbox, &[key]);
        }
        if let (MessageKind::Ticket, Some(time_ms)) = (message.kind, delivered_ms) {
            batch.put(
                Table::Delivered,
                &[&message.grant.0],
                &time_ms.to_be_bytes(),
            );
        }
        self.write(batch)
    }

    /// How many rows wait, counted up to a limit.
    pub(crate) fn outbox_length(&self, limit: usize) -> usize {
        self.scan(Table::Outbox, &[], &[]).take(limit).count()
    }
}

// ---- looking at everything, for fsck ----

impl Store {
    pub(crate) fn all_drawers(
        &self,
    ) -> impl Iterator<Item = Result<(DrawerId, DrawerRow), StoreError>> + '_ {
        self.scan(Table::Drawer, &[], &[]).map(|row| {
            let (key, value) = row?;
            Ok((id(&key, 0, DrawerId::LEN)?, read(&key, &value)?))
        })
    }

    /// Every record row of a drawer: record and sequence.
    pub(crate) fn record_rows(
        &self,
        drawer: &DrawerId,
    ) -> Result<Vec<(RecordId, u64)>, StoreError> {
        let rows = self.scan(Table::Record, &[&drawer.0], &[]);
        rows.map(|row| {
            let (key, value) = row?;
            Ok((
                id(&key, DrawerId::LEN, RecordId::LEN)?,
                number(&key, &value)?,
            ))
        })
        .collect()
    }

    pub(crate) fn all_orders(
        &self,
    ) -> impl Iterator<Item = Result<(GrantId, OrderRow), StoreError>> + '_ {
        self.scan(Table::Order, &[], &[]).map(|row| {
            let (key, value) = row?;
            Ok((id(&key, 0, GrantId::LEN)?, read(&key, &value)?))
        })
    }

    pub(crate) fn all_revocations(
        &self,
    ) -> impl Iterator<Item = Result<(GrantId, RevocationRow), StoreError>> + '_ {
        self.scan(Table::Revocation, &[], &[]).map(|row| {
            let (key, value) = row?;
            Ok((id(&key, 0, GrantId::LEN)?, read(&key, &value)?))
        })
    }

    /// Grants that some access was opened under.
    pub(crate) fn grants_with_openings(&self) -> Result<Vec<GrantId>, StoreError> {
        let mut grants = Vec::new();
        for row in self.scan(Table::Opening, &[], &[]) {
            let grant = id(&row?.0, 0, GrantId::LEN)?;
            if grants.last() != Some(&grant) {
                grants.push(grant);
            }
        }
        Ok(grants)
    }

    /// Names of the files on disk.
    pub(crate) fn files_on_disk(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.files.names()?)
    }
}

// ---- breaking things, for the tests of fsck ----

#[cfg(test)]
impl Store {
    pub(crate) fn path_of(&self, digest: &Hash) -> std::path::PathBuf {
        self.files.path(digest)
    }

    pub(crate) fn damage_papers(&self, drawer: &DrawerId, sequence: u64, papers: Option<PapersRow>) {
        let (number, mut batch) = (sequence.to_be_bytes(), Batch::default());
        match papers {
            Some(papers) => batch.row(Table::Papers, &[&drawer.0, &number], &papers),
            None => batch.delete(Table::Papers, &[&drawer.0, &number]),
        }
        self.write(batch).unwrap();
    }

    pub(crate) fn damage_order(&self, grant: &GrantId) {
        let mut order = self.order(grant).unwrap().unwrap();
        order.scope = Scope::of_drawers(vec![DrawerId([1; 16]), DrawerId([2; 16])]);
        let mut batch = Batch::default();
        batch.row(Table::Order, &[&grant.0], &order);
        self.write(batch).unwrap();
    }
}
