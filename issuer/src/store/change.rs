//! Changes to the store: one writer at a time, one synced write batch each.

use super::keys::{
    place_key, queue_key, receipt_key, source_key, status_key, subject_hash, subject_key,
};
use super::{OpenList, Store, StoreError, Table, read};
use crate::model::{Import, Invited, KnownReceipt, Pairing, Record, Status, StatusPlace};
use minicbor::Decode;
use rocksdb::{WriteBatch, WriteOptions};
use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use tegata_consent::cbor;
use tegata_consent::ids::{DrawerId, Hash, RecordId};
use tegata_credential::status_list::Status as ListStatus;

/// A change in the making. Reads see it; disk and others see it after [`Change::commit`], or never.
pub(crate) struct Change<'a> {
    pub(super) store: &'a Store,
    pub(super) _writer: MutexGuard<'a, OpenList>,
    pub(super) changes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    pub(super) deltas: [i64; Status::ALL.len()],
    pub(super) changes_status: bool,
}

impl Change<'_> {
    /// A record as this change leaves it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn record(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.value(Table::Records, &id.0)
    }

    /// Stores a record and everything by which it is found.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn put_record(&mut self, record: &Record) -> Result<(), StoreError> {
        if let Some(old) = self.record(&record.id)? {
            if old.status.is_queued() {
                self.delete(Table::Queue, queue_key(&old));
            }
            self.delete(Table::ByStatus, status_key(old.status, &old));
            self.deltas[old.status.index()] -= 1;
        } else {
            self.put(
                Table::BySubject,
                subject_key(&subject_hash(&record.subject), record),
                Vec::new(),
            );
        }
        if record.status.is_queued() {
            self.put(Table::Queue, queue_key(record), Vec::new());
        }
        self.put(
            Table::ByStatus,
            status_key(record.status, record),
            Vec::new(),
        );
        self.deltas[record.status.index()] += 1;
        self.put(Table::Records, record.id.0.to_vec(), cbor::encode(record));
        Ok(())
    }

    /// The record that came from a source record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn source(
        &self,
        system: &str,
        source_id: &str,
    ) -> Result<Option<Record>, StoreError> {
        let Some(id) = self.get(Table::Sources, &source_key(system, source_id))? else {
            return Ok(None);
        };
        self.record(&RecordId::try_from(id.as_slice()).map_err(|_| StoreError::Damaged("sources"))?)
    }

    /// Says which record a source record became.
    pub(crate) fn put_source(&mut self, record: &Record) {
        self.put(
            Table::Sources,
            source_key(&record.system, &record.source_id),
            record.id.0.to_vec(),
        );
    }

    /// Records of a person, as they were before this change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn by_subject(&self, subject: &str) -> Result<Vec<Record>, StoreError> {
        self.store.by_subject(subject, None, usize::MAX)
    }

    /// Stores signed and sealed bytes.
    pub(crate) fn put_sealed(&mut self, id: &RecordId, bytes: Vec<u8>) {
        self.put(Table::Sealed, id.0.to_vec(), bytes);
    }

    /// Erases signed and sealed bytes.
    pub(crate) fn delete_sealed(&mut self, id: &RecordId) {
        self.delete(Table::Sealed, id.0.to_vec());
    }

    /// A pairing as this change leaves it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn pairing(&self, code: &Hash) -> Result<Option<Pairing>, StoreError> {
        self.value(Table::Pairings, &code.0)
    }

    /// Stores a pairing.
    pub(crate) fn put_pairing(&mut self, code: &Hash, pairing: &Pairing) {
        self.put(Table::Pairings, code.0.to_vec(), cbor::encode(pairing));
    }

    /// A person's newest invitation as this change leaves it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn invited(&self, subject: &str) -> Result<Option<Invited>, StoreError> {
        self.value(Table::Invitations, &subject_hash(subject))
    }

    /// Stores a person's newest invitation.
    pub(crate) fn put_invited(&mut self, subject: &str, invited: &Invited) {
        self.put(
            Table::Invitations,
            subject_hash(subject).to_vec(),
            cbor::encode(invited),
        );
    }

    /// A receipt of a drawer that is known already, by its sequence.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn known_receipt(
        &self,
        drawer: &DrawerId,
        sequence: u64,
    ) -> Result<Option<KnownReceipt>, StoreError> {
        self.value(Table::Receipts, &receipt_key(drawer, sequence))
    }

    /// Remembers a receipt of a drawer.
    pub(crate) fn put_known_receipt(
        &mut self,
        drawer: &DrawerId,
        sequence: u64,
        receipt: &KnownReceipt,
    ) {
        self.put(
            Table::Receipts,
            receipt_key(drawer, sequence),
            cbor::encode(receipt),
        );
    }

    /// Keeps a reserved place in a status list for a record.
    pub(crate) fn put_place(&mut self, place: StatusPlace, record: &RecordId) {
        self.put(Table::Places, place_key(place), record.0.to_vec());
    }

    /// Sets what the status list says of a place.
    pub(crate) fn set_place(&mut self, place: StatusPlace, status: ListStatus) {
        let key = place_key(place);
        match status {
            ListStatus::Valid => self.delete(Table::RevokedPlaces, key),
            // As versions before suspensions wrote it.
            ListStatus::Invalid => self.put(Table::RevokedPlaces, key, Vec::new()),
            other => self.put(Table::RevokedPlaces, key, vec![other.value()]),
        }
        self.changes_status = true;
    }

    /// Stores an import.
    pub(crate) fn put_import(&mut self, import: &Import) {
        self.put(Table::Imports, import.id.0.to_vec(), cbor::encode(import));
    }

    /// Writes everything at once and waits until it is on disk.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written, or the disk cannot say.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        let pushed = self.pushed_delta()?;
        let mut batch = WriteBatch::default();
        for ((table, key), value) in &self.changes {
            match value {
                Some(value) => batch.put_cf(self.store.family(*table), key, value),
                None => batch.delete_cf(self.store.family(*table), key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.store
            .db
            .write_opt(batch, &options)
            .map_err(|error| self.store.error(error))?;
        let mut queued = self.changes.iter().filter_map(|((table, key), value)| {
            (*table == Table::Queue && value.is_some()).then_some(key)
        });
        if let Some(lowest) = queued.next() {
            let mut floor = self.store.queue_floor();
            floor.puts += 1;
            if *lowest < floor.key {
                floor.key.clone_from(lowest);
            }
        }
        for (count, delta) in self.store.counts.iter().zip(self.deltas) {
            count.fetch_add(delta, Ordering::Relaxed);
        }
        self.store.pushed.fetch_add(pushed, Ordering::Relaxed);
        if self.changes_status {
            self.store.status_changes.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    pub(super) fn value<T: for<'b> Decode<'b, ()>>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        self.get(table, key)?
            .map(|bytes| read(table, &bytes))
            .transpose()
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(&(table, key.to_vec())) {
            Some(changed) => Ok(changed.clone()),
            None => self.store.get(table, key),
        }
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert((table, key), Some(value));
    }

    pub(super) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.changes.insert((table, key), None);
    }
}
