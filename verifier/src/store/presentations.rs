//! Presentations in the store.

use super::{Batch, Part, Store, StoreError, database};
use crate::openid4vp::{PresentationId, PresentationRow};

impl Store {
    /// Keeps a new request for a presentation.
    pub(crate) fn put_presentation(
        &self,
        id: &PresentationId,
        row: &PresentationRow,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(self);
        batch.put(Part::Presentations, id, row)?;
        batch.put(Part::PresentationDeletions, &deletion(row, id), &())?;
        batch.commit()
    }

    /// A presentation.
    pub(crate) fn presentation(
        &self,
        id: &PresentationId,
    ) -> Result<Option<PresentationRow>, StoreError> {
        self.get(Part::Presentations, id)
    }

    /// Changes a presentation in one step: nobody else changes it meanwhile. What `change` leaves is written, whatever it
    /// gives. Absent: there is none.
    pub(crate) fn change_presentation<T>(
        &self,
        id: &PresentationId,
        change: impl FnOnce(&mut PresentationRow) -> T,
    ) -> Result<Option<T>, StoreError> {
        let _writing = self.writing();
        let Some(before) = self.presentation(id)? else {
            return Ok(None);
        };
        let mut row = before.clone();
        let changed = change(&mut row);
        if row != before {
            let mut batch = Batch::new(self);
            batch.delete(Part::PresentationDeletions, &deletion(&before, id));
            batch.put(Part::PresentationDeletions, &deletion(&row, id), &())?;
            batch.put(Part::Presentations, id, &row)?;
            batch.commit()?;
        }
        Ok(Some(changed))
    }

    /// Deletes every presentation whose time has come; gives how many.
    pub(crate) fn purge_presentations(&self, now_ms: u64) -> Result<usize, StoreError> {
        let _writing = self.writing();
        let before = now_ms.saturating_add(1).to_be_bytes();
        let due = self.scan::<()>(Part::PresentationDeletions, &[], Some(&before), usize::MAX)?;
        if due.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch::new(self);
        for (key, ()) in &due {
            batch.delete(Part::Presentations, &key[8..]);
            batch.delete(Part::PresentationDeletions, key);
        }
        batch.commit()?;
        // Deleted values stay in files until these are compacted.
        let part = self.part(Part::Presentations);
        self.db.flush_cf(part).map_err(database)?;
        self.db.compact_range_cf(part, None::<&[u8]>, None::<&[u8]>);
        Ok(due.len())
    }
}

pub(super) fn deletion(row: &PresentationRow, id: &[u8]) -> Vec<u8> {
    [row.delete_ms.to_be_bytes().as_slice(), id].concat()
}
