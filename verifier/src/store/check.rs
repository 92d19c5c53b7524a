//! Everything an operator can check on disk: every value opens, is what it should be, and what it names is there.

use super::{Part, Store, StoreError, database, number};
use crate::rows::{CopyRow, DecisionRow, Job, ReadingRow, RequestRow, TicketRow};
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

impl Store {
    /// Checks everything. Damage is a fault in the report; only a database that cannot be read is an error.
    pub(crate) fn check(&self) -> Result<Report, StoreError> {
        let mut faults = Vec::new();
        let missing = |part: Part| format!("what it names in {} is missing", part.name());
        let there = |part: Part, key: &[u8]| -> Result<Option<String>, StoreError> {
            let found = self
                .db
                .get_pinned_cf(self.part(part), key)
                .map_err(database)?;
            Ok(found.is_none().then(|| missing(part)))
        };
        let requests = self.each::<RequestRow>(Part::Requests, &mut faults, |_, _| Ok(None))?;
        self.each::<String>(
            Part::RequestDigests,
            &mut faults,
            |_, id| match hex::decode(id) {
                Ok(id) => there(Part::Requests, &id),
                Err(_) => Ok(Some("is no request id".into())),
            },
        )?;
        self.each::<String>(Part::RequestDeletions, &mut faults, |key, _| {
            there(Part::Requests, &key[8..])
        })?;
        let grants = self.each::<TicketRow>(Part::Grants, &mut faults, |key, row| {
            let reference = [self.keyed(&[&row.row.reference]).as_slice(), key].concat();
            there(Part::References, &reference)
        })?;
        self.each::<()>(Part::References, &mut faults, |key, ()| {
            there(Part::Grants, &key[32..])
        })?;
        let queued =
            self.each::<Job>(Part::Queue, &mut faults, |key, _| there(Part::Grants, key))?;
        let readings = self.each::<ReadingRow>(Part::Readings, &mut faults, |_, _| Ok(None))?;
        let copies = self.each::<CopyRow>(Part::Copies, &mut faults, |key, row| {
            there(
                Part::Deletions,
                &[row.delete_ms.to_be_bytes().as_slice(), key].concat(),
            )
        })?;
        self.each::<()>(Part::Deletions, &mut faults, |key, ()| {
            there(Part::Copies, &key[8..])
        })?;
        self.each::<()>(Part::Done, &mut faults, |_, ()| Ok(None))?;
        self.each::<(u64, String)>(Part::Chains, &mut faults, |_, _| Ok(None))?;
        self.each::<u64>(Part::Decided, &mut faults, |_, decided| {
            there(Part::Decisions, &decided.to_be_bytes())
        })?;
        let mut expected = 0;
        let decisions = self.each::<DecisionRow>(Part::Decisions, &mut faults, |key, row| {
            expected += 1;
            let found = number(Part::Decisions, key)?;
            Ok((found != expected || row.number != found)
                .then(|| format!("follows on number {}", expected - 1)))
        })?;
        let unposted = self.each::<Job>(Part::Outbox, &mut faults, |key, _| {
            there(Part::Decisions, key)
        })?;
        Ok(Report {
            requests,
            grants,
            readings,
            copies,
            decisions,
            queued,
            unposted,
            faults,
        })
    }

    /// Opens every value of a part and asks about it; gives how many there are.
    fn each<T: DeserializeOwned>(
        &self,
        part: Part,
        faults: &mut Vec<String>,
        mut ask: impl FnMut(&[u8], &T) -> Result<Option<String>, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for item in self.db.iterator_cf(self.part(part), IteratorMode::Start) {
            let (key, value) = item.map_err(database)?;
            count += 1;
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
            faults.extend(fault);
        }
        Ok(count)
    }
}

impl Part {
    /// How long a key of this part is, in bytes.
    fn key_length(self, key: &[u8]) -> usize {
        match self {
            Self::Requests | Self::Chains => 16,
            Self::RequestDigests | Self::Grants | Self::Queue => 32,
            Self::References => 64,
            Self::Readings => 40,
            Self::Copies | Self::Done => 48,
            Self::Deletions => 56,
            Self::RequestDeletions => 24,
            Self::Decisions | Self::Outbox => 8,
            Self::Decided => 64,
            Self::Keys => key.len(),
        }
    }
}
