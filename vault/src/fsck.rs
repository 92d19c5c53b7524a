//! Checks everything that a host has on disk. Reads only; also beside a running host, as of the moment it begins.

use crate::rows::{DrawerRow, HeadRow, Identity, PapersRow};
use crate::store::{SMALL_FILE_MAX, Store, StoreError};
use std::collections::BTreeSet;
use std::path::Path;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, EMPTY_HEAD, deposit_digest, verify_receipt_chain};
use tegata_consent::entry::{Body, Entry};
use tegata_consent::ids::{DrawerId, Hash};
use tegata_consent::invitation::{Invitation, invitation_digest};
use tegata_consent::lock::Lock;
use tegata_consent::order::Order;
use tegata_consent::proof::Receipt;
use tegata_consent::scope::Scope;
use tegata_consent::sealing::file_digest;

/// What was checked, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Drawers whose chain of receipts was checked.
    pub drawers: u64,
    /// Deposits whose papers and file were checked.
    pub deposits: u64,
    /// Bytes of sealed files that were read and digested.
    pub file_bytes: u64,
    /// Orders of final grants that were checked.
    pub orders: u64,
    /// Entries that are not final yet.
    pub pending: u64,
    /// Rows in the outbox.
    pub outbox: u64,
    /// Accesses with what was handed out under them.
    pub openings: u64,
    /// Whole files that no row names: a crash came between the file and its row. Harmless.
    pub orphans: Vec<String>,
    /// What is wrong, each naming its culprit.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Checks the store in a host's data folder.
///
/// # Errors
/// [`StoreError`] where it cannot be read at all; everything else is a fault in the report. `progress` hears how many
/// deposits were checked.
pub fn fsck(folder: &Path, mut progress: impl FnMut(u64)) -> Result<Report, StoreError> {
    let store = Store::open_read_only(folder)?;
    let identity = store.identity()?;
    let mut check = Check {
        store: &store,
        identity: &identity,
        report: Report::default(),
        files: BTreeSet::new(),
    };
    for row in store.all_drawers() {
        let (id, row) = row?;
        check.drawer(&id, &row)?;
        progress(check.report.deposits);
    }
    check.orders()?;
    check.entries()?;
    check.outbox()?;
    check.openings()?;
    for name in store.files_on_disk()? {
        if !check.files.contains(&name) {
            check.report.orphans.push(name);
        }
    }
    Ok(check.report)
}

struct Check<'a> {
    store: &'a Store,
    identity: &'a Identity,
    report: Report,
    /// Names of big files that rows name.
    files: BTreeSet<String>,
}

impl Check<'_> {
    fn fault(&mut self, text: impl Into<String>) {
        self.report.faults.push(text.into());
    }

    fn drawer(&mut self, id: &DrawerId, row: &DrawerRow) -> Result<(), StoreError> {
        self.report.drawers += 1;
        if row.drawer.id != *id {
            self.fault(format!(
                "drawer {id}: its row names drawer {}",
                row.drawer.id
            ));
        }
        if !self.store.has_vault(&row.vault)?
            || !self.store.drawers(&row.vault)?.contains(&row.drawer)
        {
            self.fault(format!(
                "drawer {id}: its vault is not open, or does not list it"
            ));
        }
        let list = self.store.list(id)?;
        let checked = verify_receipt_chain(
            &self.identity.chain,
            &self.identity.keys,
            id,
            &list.receipts,
            (0, EMPTY_HEAD),
        );
        match checked {
            Ok((receipts, head)) => {
                let found = self.store.head(id)?;
                if found
                    != (HeadRow {
                        count: receipts.len() as u64,
                        head,
                    })
                {
                    self.fault(format!(
                        "drawer {id}: its head says {} receipts, its chain has {}",
                        found.count,
                        receipts.len()
                    ));
                }
                for (receipt, deposit) in receipts.iter().zip(&list.deposits) {
                    if receipt.host != self.identity.host
                        || receipt.deposit != deposit_digest(deposit)
                    {
                        self.fault(format!(
                            "drawer {id}: receipt {} is for another deposit or host",
                            receipt.sequence
                        ));
                    }
                }
            }
            Err(error) => self.fault(format!("drawer {id}: {error}")),
        }
        let records = self.store.record_rows(id)?;
        if records.len() != list.deposits.len() {
            self.fault(format!(
                "drawer {id}: {} records are named, {} deposits are there",
                records.len(),
                list.deposits.len()
            ));
        }
        for row in self.store.papers_after(id, 0) {
            let (sequence, papers) = row?;
            if !records.contains(&(papers.record, sequence)) {
                self.fault(format!(
                    "drawer {id}: deposit {sequence} is not found by its record id"
                ));
            }
            self.papers(id, sequence, &papers)?;
        }
        Ok(())
    }

    fn papers(
        &mut self,
        drawer: &DrawerId,
        sequence: u64,
        papers: &PapersRow,
    ) -> Result<(), StoreError> {
        self.report.deposits += 1;
        let place = format!("drawer {drawer}, deposit {sequence}");
        match Deposit::open(&papers.deposit, &self.identity.chain) {
            Err(error) => self.fault(format!("{place}: {error}")),
            Ok((deposit, _)) => {
                let same = deposit.drawer == *drawer
                    && deposit.record == papers.record
                    && deposit.date_ms == papers.date_ms
                    && deposit.file == papers.file
                    && deposit.length == papers.length
                    && deposit.invitation == papers.invitation;
                if !same {
                    self.fault(format!(
                        "{place}: its row says something else than its deposit"
                    ));
                }
                if Lock::parse(&papers.lock)
                    .ok()
                    .is_none_or(|lock| lock.digest() != deposit.lock)
                {
                    self.fault(format!("{place}: its lock is not the signed one"));
                }
                self.invitation(&place, &deposit)?;
            }
        }
        self.file(&place, &papers.file, papers.length)
    }

    fn invitation(&mut self, place: &str, deposit: &Deposit) -> Result<(), StoreError> {
        let Some(bytes) = self.store.invitation(&deposit.invitation)? else {
            self.fault(format!("{place}: its invitation is missing"));
            return Ok(());
        };
        let verified = Invitation::verify(&bytes, &self.identity.chain, &deposit.depositor);
        if invitation_digest(&bytes) != deposit.invitation || verified.is_err() {
            self.fault(format!("{place}: its invitation is damaged"));
        }
        Ok(())
    }

    fn file(&mut self, place: &str, digest: &Hash, length: u64) -> Result<(), StoreError> {
        if length > SMALL_FILE_MAX as u64 {
            self.files.insert(digest.to_string());
        }
        match self.store.file(digest)? {
            None => self.fault(format!("{place}: its file {digest} is missing")),
            Some(bytes) => {
                self.report.file_bytes += bytes.len() as u64;
                if bytes.len() as u64 != length || file_digest(&bytes) != *digest {
                    self.fault(format!("{place}: its file {digest} is damaged"));
                }
            }
        }
        Ok(())
    }

    fn orders(&mut self) -> Result<(), StoreError> {
        for row in self.store.all_orders() {
            let (grant, order) = row?;
            self.report.orders += 1;
            let place = format!("grant {grant}");
            let Some(submission) = self.store.submission(&grant)? else {
                self.fault(format!("{place}: its submission is missing"));
                continue;
            };
            match self.store.granted(&grant)?.as_deref().map(Receipt::parse) {
                Some(Ok(receipt))
                    if Entry::parse(&receipt.leaf.entry)
                        .is_ok_and(|entry| entry.id(&self.identity.chain) == submission.id) => {}
                _ => self.fault(format!(
                    "{place}: its receipt is missing, damaged, or for another entry"
                )),
            }
            let body = Entry::parse(&submission.entry)
                .ok()
                .map(|entry| entry.body().clone());
            let Some(Body::Grant(body)) = body else {
                self.fault(format!("{place}: its entry is damaged"));
                continue;
            };
            let signed = if submission.order.is_empty() {
                Ok(Scope::of_drawers(Vec::new()))
            } else {
                Order::verify(
                    &submission.order,
                    &self.identity.chain,
                    &grant,
                    &body,
                    &self.identity.host,
                )
                .map(|signed| signed.scope)
            };
            match signed {
                Ok(signed)
                    if signed == order.scope
                        && body.recipient == order.recipient
                        && body.until_ms == order.until_ms => {}
                Ok(_) => self.fault(format!(
                    "{place}: its order says something else than was signed"
                )),
                Err(error) => self.fault(format!("{place}: {error}")),
            }
            for drawer in &order.scope.drawers {
                if self
                    .store
                    .drawer(drawer)?
                    .is_none_or(|row| row.vault != order.vault)
                {
                    self.fault(format!(
                        "{place}: its order opens drawer {drawer}, which is not its vault's"
                    ));
                }
            }
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<(), StoreError> {
        for (_, grant) in self.store.pending()? {
            self.report.pending += 1;
            if self.store.submission(&grant)?.is_none() && self.store.revocation(&grant)?.is_none()
            {
                self.fault(format!(
                    "grant {grant}: marked as unfinished, but nothing was submitted"
                ));
            }
        }
        for row in self.store.all_revocations() {
            let (grant, row) = row?;
            if Entry::parse(&row.entry).is_ok_and(|entry| entry.id(&self.identity.chain) == row.id)
            {
                continue;
            }
            self.fault(format!("grant {grant}: its revocation is damaged"));
        }
        Ok(())
    }

    fn outbox(&mut self) -> Result<(), StoreError> {
        let mut recipient = self.store.next_recipient(None)?;
        while let Some(id) = recipient {
            for message in self.store.messages(&id, usize::MAX)? {
                self.report.outbox += message.rows.len() as u64;
                match self.store.order(&message.grant)? {
                    Some(order) if order.recipient == id => {}
                    _ => self.fault(format!(
                        "outbox: a message to {id} about grant {}, which is not its",
                        message.grant
                    )),
                }
            }
            recipient = self.store.next_recipient(Some(&id))?;
        }
        Ok(())
    }

    fn openings(&mut self) -> Result<(), StoreError> {
        for grant in self.store.grants_with_openings()? {
            let order = self.store.order(&grant)?;
            for opening in self.store.openings(&grant)? {
                self.report.openings += 1;
                if order
                    .as_ref()
                    .is_none_or(|order| opening.scope.within(&order.scope).is_err())
                {
                    self.fault(format!(
                        "grant {grant}: access {} was opened beyond its order",
                        opening.access
                    ));
                }
                for handed in &opening.records {
                    let papers = self.store.kept(&handed.drawer, &handed.record)?;
                    if papers.is_none_or(|papers| {
                        !opening
                            .scope
                            .covers(&handed.drawer, &handed.record, papers.date_ms)
                    }) {
                        self.fault(format!(
                            "grant {grant}: record {} was handed out beyond access {}",
                            handed.record, opening.access
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
