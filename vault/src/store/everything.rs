//! Looking at everything, for fsck; and breaking things, for its tests.

#[cfg(test)]
use super::Batch;
use super::{Store, StoreError, Table, id, number, read};
#[cfg(test)]
use crate::rows::PapersRow;
use crate::rows::{DrawerRow, OrderRow, RevocationRow};
#[cfg(test)]
use tegata_consent::ids::Hash;
use tegata_consent::ids::{DrawerId, GrantId, RecordId};
#[cfg(test)]
use tegata_consent::scope::Scope;

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

#[cfg(test)]
impl Store {
    pub(crate) fn path_of(&self, digest: &Hash) -> std::path::PathBuf {
        self.files.path(digest)
    }

    pub(crate) fn damage_papers(
        &self,
        drawer: &DrawerId,
        sequence: u64,
        papers: Option<PapersRow>,
    ) {
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
