//! Everything an operator can check on disk: every value opens, is what it should be, and what it names is there.

use super::presentations::deletion;
use super::{Part, Store, StoreError, database, number};
use crate::openid4vp::PresentationRow;
use crate::rows::{CopyRow, DecisionRow, HoldingRow, Job, ReadingRow, RequestRow, TicketRow};
use rocksdb::IteratorMode;
use serde::de::DeserializeOwned;

/// What was checked, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Consent requests.
    pub requests: u64,
    /// Grants with their tickets.
    pub grants: u64,
    /// Readings.
    pub readings: u64,
    /// Copies of records.
    pub copies: u64,
    /// Decisions.
    pub decisions: u64,
    /// Standing readings that are to be done.
    pub queued: u64,
    /// Decisions that are to be posted.
    pub unposted: u64,
    /// Presentations.
    pub presentations: u64,
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

/// What was found so far.
struct Found<'a> {
    faults: Vec<String>,
    rows: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Store {
    /// Checks everything. Damage is a fault in the report; only a database that cannot be read is an error. `progress` hears
    /// how many rows were checked.
    pub(crate) fn check(&self, progress: &mut dyn FnMut(u64)) -> Result<Report, StoreError> {
        let mut found = Found {
            faults: Vec::new(),
            rows: 0,
            progress,
        };
        let missing = |part: Part| format!("what it names in {} is missing", part.name());
        let there = |part: Part, key: &[u8]| -> Result<Option<String>, StoreError> {
            let found = self
                .db
                .get_pinned_cf(self.part(part), key)
                .map_err(database)?;
            Ok(found.is_none().then(|| missing(part)))
        };
        let requests = self.each::<RequestRow>(Part::Requests, &mut found, |_, _| Ok(None))?;
        self.each::<String>(
            Part::RequestDigests,
            &mut found,
            |_, id| match hex::decode(id) {
                Ok(id) => there(Part::Requests, &id),
                Err(_) => Ok(Some("is no request id".into())),
            },
        )?;
        self.each::<String>(Part::RequestDeletions, &mut found, |key, _| {
            there(Part::Requests, &key[8..])
        })?;
        let grants = self.each::<TicketRow>(Part::Grants, &mut found, |key, row| {
            let reference = [self.keyed(&[&row.row.reference]).as_slice(), key].concat();
            there(Part::References, &reference)
        })?;
        self.each::<()>(Part::References, &mut found, |key, ()| {
            there(Part::Grants, &key[32..])
        })?;
        let queued =
            self.each::<Job>(Part::Queue, &mut found, |key, _| there(Part::Grants, key))?;
        let readings = self.each::<ReadingRow>(Part::Readings, &mut found, |_, _| Ok(None))?;
        let copies = self.each::<CopyRow>(Part::Copies, &mut found, |key, row| {
            there(
                Part::Deletions,
                &[row.delete_ms.to_be_bytes().as_slice(), key].concat(),
            )
        })?;
        self.each::<()>(Part::Deletions, &mut found, |key, ()| {
            there(Part::Copies, &key[8..])
        })?;
        self.each::<HoldingRow>(Part::Holdings, &mut found, |key, row| match row {
            HoldingRow {
                dropped_ms: None, ..
            } => there(Part::Copies, key),
            HoldingRow {
                confirmed_ms: None, ..
            } => there(Part::Confirmations, key),
            HoldingRow { .. } => Ok(None),
        })?;
        self.each::<()>(Part::Confirmations, &mut found, |key, ()| {
            there(Part::Holdings, key)
        })?;
        self.each::<()>(Part::Done, &mut found, |_, ()| Ok(None))?;
        self.each::<(u64, String)>(Part::Chains, &mut found, |_, _| Ok(None))?;
        self.each::<u64>(Part::Decided, &mut found, |_, decided| {
            there(Part::Decisions, &decided.to_be_bytes())
        })?;
        let mut expected = 0;
        let decisions = self.each::<DecisionRow>(Part::Decisions, &mut found, |key, row| {
            expected += 1;
            let found = number(Part::Decisions, key)?;
            Ok((found != expected || row.number != found)
                .then(|| format!("follows on number {}", expected - 1)))
        })?;
        let unposted = self.each::<Job>(Part::Outbox, &mut found, |key, _| {
            there(Part::Decisions, key)
        })?;
        let presentations =
            self.each::<PresentationRow>(Part::Presentations, &mut found, |key, row| {
                there(Part::PresentationDeletions, &deletion(row, key))
            })?;
        self.each::<()>(Part::PresentationDeletions, &mut found, |key, ()| {
            there(Part::Presentations, &key[8..])
        })?;
        Ok(Report {
            requests,
            grants,
            readings,
            copies,
            decisions,
            queued,
            unposted,
            presentations,
            faults: found.faults,
        })
    }

    /// Opens every value of a part and asks about it; gives how many there are.
    fn each<T: DeserializeOwned>(
        &self,
        part: Part,
        found: &mut Found<'_>,
        mut ask: impl FnMut(&[u8], &T) -> Result<Option<String>, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for item in self.db.iterator_cf(self.part(part), IteratorMode::Start) {
            let (key, value) = item.map_err(database)?;
            count += 1;
            found.rows += 1;
            (found.progress)(found.rows);
            let fault = match self.unseal::<T>(part, &key, &value) {
                Ok(row) if key.len() == part.key_length(&key) => ask(&key, &row)?
                    .map(|fault| format!("{} {}: {fault}", part.name(), hex::encode(&key))),
                Ok(_) => Some(format!(
                    "{} {}: its key has another length",
                    part.name(),
                    hex::encode(&key)
                )),
                Err(error) => Some(error.to_string()),
            };
            found.faults.extend(fault);
        }
        Ok(count)
    }
}

impl Part {
    /// How long a key of this part is, in bytes.
    fn key_length(self, key: &[u8]) -> usize {
        match self {
            Self::Requests | Self::Chains | Self::Presentations => 16,
            Self::RequestDigests | Self::Grants | Self::Queue => 32,
            Self::References => 64,
            Self::Readings => 40,
            Self::Copies | Self::Done | Self::Holdings | Self::Confirmations => 48,
            Self::Deletions => 56,
            Self::RequestDeletions | Self::PresentationDeletions => 24,
            Self::Decisions | Self::Outbox => 8,
            Self::Decided => 64,
            Self::Keys => key.len(),
        }
    }
}
