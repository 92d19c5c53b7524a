//! Grants and revocations on their way to the ledger, and the orders of those that arrived.

use super::{Batch, Store, StoreError, Table, id};
use crate::rows::{MessageKind, OrderRow, RevocationRow, SubmissionRow};
use tegata_consent::ids::{GrantId, VaultId};

/// Which entry is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PendingKind {
    Grant = 1,
    Revocation = 2,
}

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
        // The grant of a presentation opens no drawer and has no ticket.
        if !order.scope.drawers.is_empty() {
            batch.put(
                Table::Outbox,
                &[&order.recipient.0, &[MessageKind::Ticket as u8], &grant.0],
                &[],
            );
        }
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

    /// Whether a vault has as many final grants as it may.
    pub(crate) fn grants_full(&self, vault: &VaultId, most: u64) -> Result<bool, StoreError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let rows = self.scan(Table::GrantOf, &[&vault.0], &[]).take(most);
        Ok(rows.collect::<Result<Vec<_>, _>>()?.len() >= most)
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
