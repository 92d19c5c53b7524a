//! Deposits: papers, files, and one chain of receipts in each drawer.

use super::{Batch, Store, StoreError, Table, damaged, id, number, read};
use crate::rows::{HeadRow, MessageKind, PapersRow, Position};
use std::sync::atomic::Ordering;
use tegata_consent::deposit::{DrawerList, SealedRecord, receipt_head};
use tegata_consent::ids::{DrawerId, GrantId, Hash, RecordId};
use tegata_consent::scope::Scope;

/// Files longer than this lie on disk as files, shorter ones in RocksDB, in bytes.
///
/// A file of its own is written once and waited for three times: its bytes, its name, its row. In RocksDB it is waited for once,
/// together with its row, and written again when tables are merged. Up to the size of a compressed picture waiting is what a
/// deposit takes; beyond it, writing.
pub(crate) const SMALL_FILE_MAX: usize = 1024 * 1024;

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

/// What a fetch is answered with, and what is to be noted before.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where each lies, its id, and the record.
    pub(crate) records: Vec<(Position, RecordId, SealedRecord)>,
    /// Whether there are more after the last.
    pub(crate) more: bool,
}

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
        if self.invitation(&new.invitation.0)?.is_none() {
            batch.put(Table::Invitation, &[&new.invitation.0.0], new.invitation.1);
        }
        if new.file.1.len() <= SMALL_FILE_MAX {
            batch.put(Table::File, &[&new.file.0.0], new.file.1);
        }
        for row in self.scan(Table::OrderOf, &[drawer], &[]) {
            let grant: GrantId = id(&row?.0, DrawerId::LEN, GrantId::LEN)?;
            let Some(order) = self.order(&grant)? else {
                continue;
            };
            if new.now_ms >= order.until_ms {
                batch.delete(Table::OrderOf, &[drawer, &grant.0]);
            } else if order.scope.covers(&new.drawer, &new.record, new.date_ms) {
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
