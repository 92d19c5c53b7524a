//! Which copies we hold under which status lists, and which were dropped because their records were recalled.

use super::{Batch, Part, Store, database, pair};
use crate::rows::{HoldingRow, Recall, StoreError};
use rocksdb::IteratorMode;
use tegata_consent::ids::{GrantId, RecordId};

/// A copy by its grant and record.
pub(crate) type Held = (GrantId, RecordId);

impl Store {
    /// Every copy that was not dropped, with what to look up.
    pub(crate) fn holdings(&self) -> Result<Vec<(Held, HoldingRow)>, StoreError> {
        let mut found = Vec::new();
        for item in self
            .db
            .iterator_cf(self.part(Part::Holdings), IteratorMode::Start)
        {
            let (key, value) = item.map_err(database)?;
            let row: HoldingRow = self.unseal(Part::Holdings, &key, &value)?;
            if row.dropped_ms.is_none() {
                found.push((held(&key)?, row));
            }
        }
        Ok(found)
    }

    /// Drops the copy of a recalled record, and notes that this is to be confirmed. Gives what was dropped; nothing where
    /// there is no copy any more.
    pub(crate) fn drop_recalled(
        &self,
        (grant, record): &Held,
        now_ms: u64,
    ) -> Result<Option<Recall>, StoreError> {
        let _writing = self.writing();
        let key = pair(grant, record);
        let Some(mut row) = self.get::<HoldingRow>(Part::Holdings, &key)? else {
            return Ok(None);
        };
        let Some(copy) = self.copy(grant, record)? else {
            return Ok(None);
        };
        row.dropped_ms = Some(now_ms);
        let mut batch = Batch::new(self);
        batch.delete(Part::Copies, &key);
        let deletion = [copy.delete_ms.to_be_bytes().as_slice(), &key].concat();
        batch.delete(Part::Deletions, &deletion);
        batch.put(Part::Holdings, &key, &row)?;
        batch.put(Part::Confirmations, &key, &())?;
        batch.commit()?;
        // Deleted values stay in files until these are compacted.
        self.db
            .flush_cf(self.part(Part::Copies))
            .map_err(database)?;
        self.db
            .compact_range_cf(self.part(Part::Copies), None::<&[u8]>, None::<&[u8]>);
        Ok(Some(recall(grant, record, &row)))
    }

    /// What was dropped and is not confirmed yet.
    pub(crate) fn unconfirmed(&self) -> Result<Vec<(Held, HoldingRow)>, StoreError> {
        let rows = self.scan::<()>(Part::Confirmations, &[], None, usize::MAX)?;
        let mut found = Vec::new();
        for (key, ()) in rows {
            if let Some(row) = self.get::<HoldingRow>(Part::Holdings, &key)? {
                found.push((held(&key)?, row));
            }
        }
        Ok(found)
    }

    /// Notes that the ledger has the confirmation.
    pub(crate) fn confirmed(&self, (grant, record): &Held, at_ms: u64) -> Result<(), StoreError> {
        let _writing = self.writing();
        let key = pair(grant, record);
        let mut batch = Batch::new(self);
        if let Some(mut row) = self.get::<HoldingRow>(Part::Holdings, &key)? {
            row.confirmed_ms = Some(at_ms);
            batch.put(Part::Holdings, &key, &row)?;
        }
        batch.delete(Part::Confirmations, &key);
        batch.commit()
    }

    /// Everything that was dropped, at most `limit`.
    pub(crate) fn recalls(&self, limit: usize) -> Result<Vec<Recall>, StoreError> {
        let mut found = Vec::new();
        for item in self
            .db
            .iterator_cf(self.part(Part::Holdings), IteratorMode::Start)
        {
            let (key, value) = item.map_err(database)?;
            let row: HoldingRow = self.unseal(Part::Holdings, &key, &value)?;
            let (grant, record) = held(&key)?;
            if row.dropped_ms.is_some() {
                found.push(recall(&grant, &record, &row));
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }
}

fn held(key: &[u8]) -> Result<Held, StoreError> {
    let damaged = || super::damaged(Part::Holdings, key, &"its key has another length");
    let (grant, record) = key.split_at_checked(GrantId::LEN).ok_or_else(damaged)?;
    Ok((
        grant.try_into().map_err(|_| damaged())?,
        record.try_into().map_err(|_| damaged())?,
    ))
}

fn recall(grant: &GrantId, record: &RecordId, row: &HoldingRow) -> Recall {
    Recall {
        grant: grant.to_string(),
        record: record.to_string(),
        issuer: row.issuer.clone(),
        dropped_ms: row.dropped_ms.unwrap_or_default(),
        confirmed_ms: row.confirmed_ms,
    }
}
