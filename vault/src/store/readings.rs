//! What was handed out under which access.

use super::{Batch, Store, StoreError, Table, damaged, id, number, read};
use crate::rows::{HandedRow, OpeningRow, Position};
use tegata_consent::fetch::{HandedOut, Opening};
use tegata_consent::ids::{DrawerId, EntryId, GrantId, Hash, RecordId};

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
            let (key, _) = row?;
            let access: EntryId = id(&key, GrantId::LEN, EntryId::LEN)?;
            self.opening(grant, &access)?.ok_or_else(|| damaged(&key))
        })
        .collect()
    }

    /// What is known of an access under a grant, if it came here.
    pub(crate) fn opening(
        &self,
        grant: &GrantId,
        access: &EntryId,
    ) -> Result<Option<Opening>, StoreError> {
        let key: [&[u8]; 2] = [&grant.0, &access.0];
        let Some(value) = self.get(Table::Opening, &key)? else {
            return Ok(None);
        };
        let OpeningRow { salt, scope } = read(&key.concat(), &value)?;
        Ok(Some(Opening {
            access: *access,
            salt,
            scope,
            records: self.handed(grant, access)?,
        }))
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
        if count > 0 {
            self.write(batch)?;
        }
        Ok(count)
    }
}
