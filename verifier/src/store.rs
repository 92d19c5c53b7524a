//! The store: RocksDB, and the only module that knows it.
//!
//! Every value is sealed to the organisation's own Seal key before it is written (HPKE, as tickets are), with its place as
//! context; keys are random ids, times and keyed hashes. So the folder alone, or a backup of it, tells nobody who a person
//! is. The folder has mode 0700. Whatever is acknowledged to somebody is written synced.
//!
//! Contract: each public function is one atomic write; after a crash all of it is there, or nothing.

use crate::random;
use crate::rows::{
    Claimed, CopyRow, DecisionRow, HoldingRow, Job, ReadingRow, RequestRow, StoreError, TicketRow,
};
use rocksdb::{
    ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tegata_consent::cbor;
use tegata_consent::ids::{DrawerId, GrantId, Hash, RecordId, SealKey, hash};
use tegata_consent::keys::Secret;
use tegata_consent::lock::{Sealed, open, seal};
use zeroize::Zeroizing;

/// Where the index key lies.
const INDEX: &[u8] = b"index";
/// How long an expired consent request is kept, in milliseconds: the ticket of a grant that was made in time may be late.
const REQUEST_KEPT_MS: u64 = 30 * 86_400_000;

/// Keys with their opened values.
type Rows<T> = Vec<(Box<[u8]>, T)>;

/// Id of a consent request: random.
pub(crate) type RequestId = [u8; 16];

/// Parts of the store (column families).
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
enum Part {
    /// Request id → [`RequestRow`].
    Requests,
    /// Digest of the signed request → request id.
    RequestDigests,
    /// Grant → [`TicketRow`].
    Grants,
    /// Keyed hash of a reference ‖ grant → nothing.
    References,
    /// Grant → [`Job`].
    Queue,
    /// Time ‖ access → [`ReadingRow`].
    Readings,
    /// Grant ‖ record → [`CopyRow`].
    Copies,
    /// Time of deletion ‖ grant ‖ record → nothing.
    Deletions,
    /// Time of deletion ‖ request id → digest of the signed request.
    RequestDeletions,
    /// Grant ‖ record → nothing: a standing reading is done with it.
    Done,
    /// Drawer → number of receipts and head of the chain, as last seen.
    Chains,
    /// Keyed hash of policy and rule ‖ record → number of the decision.
    Decided,
    /// Number → [`DecisionRow`].
    Decisions,
    /// Number of a decision → [`Job`]: it has not been posted yet.
    Outbox,
    /// Presentation id → [`crate::openid4vp::PresentationRow`].
    Presentations,
    /// Time of deletion ‖ presentation id → nothing.
    PresentationDeletions,
    /// Grant ‖ record → [`HoldingRow`].
    Holdings,
    /// Grant ‖ record → nothing: its erasure is to be confirmed on the ledger.
    Confirmations,
    /// `index` → 32 random bytes, in hexadecimal, that key the hashes above; sealed anew to the present key at each start.
    Keys,
}

const PARTS: [&str; 19] = [
    "requests",
    "request-digests",
    "grants",
    "references",
    "queue",
    "readings",
    "copies",
    "deletions",
    "request-deletions",
    "done",
    "chains",
    "decided",
    "decisions",
    "outbox",
    "presentations",
    "presentation-deletions",
    "holdings",
    "confirmations",
    "keys",
];

impl Part {
    const fn name(self) -> &'static str {
        PARTS[self as usize]
    }
}

/// The store.
pub(crate) struct Store {
    db: DB,
    seal_key: SealKey,
    /// The present secret first.
    secrets: Vec<Secret>,
    /// Keys the hashes by which references and decisions are found.
    index_key: Secret,
    /// Whoever reads in order to write holds this.
    writing: Mutex<()>,
}

impl Store {
    /// Opens or creates the store. `secrets`: the organisation's Seal key, then older ones.
    pub(crate) fn open(folder: &Path, secrets: Vec<Secret>) -> Result<Self, StoreError> {
        let error = |error| StoreError::Folder {
            path: folder.to_owned(),
            error,
        };
        std::fs::create_dir_all(folder).map_err(error)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
                .map_err(error)?;
        }
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let parts = PARTS.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db =
            DB::open_cf_descriptors(&options, folder.join("rocksdb"), parts).map_err(database)?;
        let mut store = Self::with(db, secrets);
        store.index_key = match store.index_key()? {
            Some(key) => key,
            None => Secret::new(random::bytes()),
        };
        let mut batch = Batch::new(&store);
        let text = Zeroizing::new(hex::encode(store.index_key.expose()));
        batch.put(Part::Keys, INDEX, &*text)?;
        batch.commit()?;
        Ok(store)
    }

    /// Opens a store to look at it, also beside a running verifier.
    pub(crate) fn open_read_only(folder: &Path, secrets: Vec<Secret>) -> Result<Self, StoreError> {
        let parts = PARTS.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let (options, path) = (Options::default(), folder.join("rocksdb"));
        // Every store of RocksDB has this file. Where there is none, opening would leave folders behind.
        if !path.join("CURRENT").is_file() {
            return Err(StoreError::Missing(path));
        }
        let db =
            DB::open_cf_descriptors_read_only(&options, path, parts, false).map_err(database)?;
        let mut store = Self::with(db, secrets);
        store.index_key = store
            .index_key()?
            .ok_or_else(|| damaged(Part::Keys, INDEX, &"missing"))?;
        Ok(store)
    }

    fn with(db: DB, secrets: Vec<Secret>) -> Self {
        let present = secrets.first().expect("the caller gives the present key");
        Self {
            db,
            seal_key: present.seal_key(),
            secrets,
            index_key: Secret::new([0; 32]),
            writing: Mutex::new(()),
        }
    }

    fn index_key(&self) -> Result<Option<Secret>, StoreError> {
        let Some(text) = self.get::<String>(Part::Keys, INDEX)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_bytes(), bytes.as_mut_slice())
            .map_err(|error| damaged(Part::Keys, INDEX, &error))?;
        Ok(Some(Secret::new(*bytes)))
    }

    // Consent requests

    /// Keeps a signed request.
    pub(crate) fn put_request(
        &self,
        id: &RequestId,
        digest: &Hash,
        row: &RequestRow,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(self);
        batch.put(Part::Requests, id, row)?;
        batch.put(Part::RequestDigests, &digest.0, &hex::encode(id))?;
        let delete_ms = row.expires_ms.saturating_add(REQUEST_KEPT_MS).to_be_bytes();
        let key = [delete_ms.as_slice(), id].concat();
        batch.put(Part::RequestDeletions, &key, &digest.to_string())?;
        batch.commit()
    }

    /// A request by its id.
    pub(crate) fn request(&self, id: &RequestId) -> Result<Option<RequestRow>, StoreError> {
        self.get(Part::Requests, id)
    }

    /// A request by its digest.
    pub(crate) fn request_by_digest(
        &self,
        digest: &Hash,
    ) -> Result<Option<(RequestId, RequestRow)>, StoreError> {
        let Some(text) = self.get::<String>(Part::RequestDigests, &digest.0)? else {
            return Ok(None);
        };
        let mut id = [0; 16];
        hex::decode_to_slice(&text, &mut id)
            .map_err(|error| damaged(Part::RequestDigests, &digest.0, &error))?;
        Ok(self.request(&id)?.map(|row| (id, row)))
    }

    // Grants

    /// Keeps a ticket that was checked, unless the grant has one. `answers`: the request it answers, and whose vault.
    pub(crate) fn put_ticket(
        &self,
        grant: &GrantId,
        row: &TicketRow,
        answers: Option<(&RequestId, &str)>,
    ) -> Result<Taken, StoreError> {
        let _writing = self.writing();
        if self.ticket(grant)?.is_some() {
            return Ok(Taken::Before);
        }
        let mut batch = Batch::new(self);
        if let Some((id, vault)) = answers {
            let mut request = self
                .request(id)?
                .ok_or_else(|| damaged(Part::Requests, id, &"missing"))?;
            if request
                .answered_by
                .as_deref()
                .is_some_and(|other| other != vault)
            {
                return Ok(Taken::AnsweredByAnother);
            }
            request.answered_by = Some(vault.to_owned());
            batch.put(Part::Requests, id, &request)?;
        }
        batch.put(Part::Grants, &grant.0, row)?;
        batch.put(
            Part::References,
            &[self.keyed(&[&row.row.reference]).as_slice(), &grant.0].concat(),
            &(),
        )?;
        batch.commit()?;
        Ok(Taken::Now)
    }

    /// A grant with its ticket.
    pub(crate) fn ticket(&self, grant: &GrantId) -> Result<Option<TicketRow>, StoreError> {
        self.get(Part::Grants, &grant.0)
    }

    /// Grants filed under a reference, or all of them, at most `limit`.
    pub(crate) fn grants(
        &self,
        reference: Option<&str>,
        limit: usize,
    ) -> Result<Vec<TicketRow>, StoreError> {
        let Some(reference) = reference else {
            return self
                .scan(Part::Grants, &[], None, limit)
                .map(|rows| rows.into_iter().map(|(_, row)| row).collect());
        };
        let prefix = self.keyed(&[reference]);
        let mut rows = Vec::new();
        for (key, ()) in self.scan::<()>(Part::References, &prefix, None, limit)? {
            let grant =
                GrantId::try_from(&key[32..]).map_err(StoreError::id(Part::References.name()))?;
            rows.extend(self.ticket(&grant)?);
        }
        Ok(rows)
    }

    // The queue of standing readings

    /// Asks for a standing reading, due now.
    pub(crate) fn enqueue(&self, grant: &GrantId, now_ms: u64) -> Result<(), StoreError> {
        let _writing = self.writing();
        let pings = self
            .get::<Job>(Part::Queue, &grant.0)?
            .map_or(0, |job| job.pings)
            + 1;
        let mut batch = Batch::new(self);
        batch.put(
            Part::Queue,
            &grant.0,
            &Job {
                pings,
                attempts: 0,
                due_ms: now_ms,
            },
        )?;
        batch.commit()
    }

    /// Everything in the queue.
    pub(crate) fn queue(&self) -> Result<Vec<(GrantId, Job)>, StoreError> {
        let jobs = self.scan(Part::Queue, &[], None, usize::MAX)?.into_iter();
        jobs.map(|(key, job)| {
            Ok((
                GrantId::try_from(&*key).map_err(StoreError::id(Part::Queue.name()))?,
                job,
            ))
        })
        .collect()
    }

    /// Takes a job off the queue, or keeps it where a ping came since `done` was read: then something newer may be there.
    pub(crate) fn finish(&self, grant: &GrantId, done: &Job) -> Result<(), StoreError> {
        self.change_job(Part::Queue, &grant.0, done, None)
    }

    /// Puts a job off. A ping that came since `tried` was read makes it due at once.
    pub(crate) fn put_off(
        &self,
        grant: &GrantId,
        tried: &Job,
        due_ms: u64,
    ) -> Result<(), StoreError> {
        self.change_job(
            Part::Queue,
            &grant.0,
            tried,
            Some(Job {
                attempts: tried.attempts + 1,
                due_ms,
                ..*tried
            }),
        )
    }

    fn change_job(
        &self,
        part: Part,
        key: &[u8],
        seen: &Job,
        next: Option<Job>,
    ) -> Result<(), StoreError> {
        let _writing = self.writing();
        if self
            .get::<Job>(part, key)?
            .is_none_or(|job| job.pings != seen.pings)
        {
            return Ok(());
        }
        let mut batch = Batch::new(self);
        match next {
            Some(job) => batch.put(part, key, &job)?,
            None => batch.delete(part, key),
        }
        batch.commit()
    }

    /// Whether a standing reading is done with a record.
    pub(crate) fn is_done(&self, grant: &GrantId, record: &RecordId) -> Result<bool, StoreError> {
        Ok(self.get::<()>(Part::Done, &pair(grant, record))?.is_some())
    }

    // Readings and copies

    /// Keeps what became of a reading, the copies it made, and the chains of receipts it saw.
    pub(crate) fn put_reading(
        &self,
        reading: &ReadingRow,
        copies: &[(CopyRow, Option<HoldingRow>)],
        chains: &[(DrawerId, (u64, Hash))],
    ) -> Result<(), StoreError> {
        let _writing = self.writing();
        let mut batch = Batch::new(self);
        let access: tegata_consent::ids::EntryId = reading
            .access
            .parse()
            .map_err(StoreError::id(Part::Readings.name()))?;
        batch.put(
            Part::Readings,
            &[reading.time_ms.to_be_bytes().as_slice(), &access.0].concat(),
            reading,
        )?;
        for (copy, holding) in copies {
            let key = copy_key(copy)?;
            // Reading again does not let us keep it longer.
            if self.get::<CopyRow>(Part::Copies, &key)?.is_none() {
                batch.put(Part::Copies, &key, copy)?;
                if let Some(holding) = holding {
                    batch.put(Part::Holdings, &key, holding)?;
                }
                batch.put(
                    Part::Deletions,
                    &[copy.delete_ms.to_be_bytes().as_slice(), &key].concat(),
                    &(),
                )?;
            }
        }
        for (drawer, (count, head)) in chains {
            // Two readings at once may end in the other order than they saw the drawer.
            if self.chain(drawer)?.is_some_and(|(known, _)| known > *count) {
                continue;
            }
            batch.put(Part::Chains, &drawer.0, &(count, hex::encode(head.0)))?;
        }
        batch.commit()
    }

    /// Our copy of a record.
    pub(crate) fn copy(
        &self,
        grant: &GrantId,
        record: &RecordId,
    ) -> Result<Option<CopyRow>, StoreError> {
        self.get(Part::Copies, &pair(grant, record))
    }

    /// Number of receipts and head of a drawer's chain, as last seen.
    pub(crate) fn chain(&self, drawer: &DrawerId) -> Result<Option<(u64, Hash)>, StoreError> {
        let Some((count, head)) = self.get::<(u64, String)>(Part::Chains, &drawer.0)? else {
            return Ok(None);
        };
        Ok(Some((
            count,
            head.parse().map_err(StoreError::id(Part::Chains.name()))?,
        )))
    }

    /// Readings, newest first, before a time, at most `limit`.
    pub(crate) fn readings(
        &self,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<ReadingRow>, StoreError> {
        let from = before_ms.to_be_bytes();
        let mut rows = Vec::new();
        for item in self.db.iterator_cf(
            self.part(Part::Readings),
            IteratorMode::From(&from, Direction::Reverse),
        ) {
            let (key, value) = item.map_err(database)?;
            if *key < from[..] {
                rows.push(self.unseal(Part::Readings, &key, &value)?);
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    /// Deletes every copy and every consent request whose time has come; gives how many copies.
    pub(crate) fn purge(&self, now_ms: u64) -> Result<usize, StoreError> {
        let _writing = self.writing();
        let before = now_ms.saturating_add(1).to_be_bytes();
        let copies = self.scan::<()>(Part::Deletions, &[], Some(&before), usize::MAX)?;
        let requests =
            self.scan::<String>(Part::RequestDeletions, &[], Some(&before), usize::MAX)?;
        if copies.is_empty() && requests.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch::new(self);
        for (key, ()) in &copies {
            batch.delete(Part::Copies, &key[8..]);
            batch.delete(Part::Holdings, &key[8..]);
            batch.delete(Part::Deletions, key);
        }
        for (key, digest) in &requests {
            let digest: Hash = digest
                .parse()
                .map_err(StoreError::id(Part::RequestDeletions.name()))?;
            batch.delete(Part::Requests, &key[8..]);
            batch.delete(Part::RequestDigests, &digest.0);
            batch.delete(Part::RequestDeletions, key);
        }
        batch.commit()?;
        for part in [Part::Copies, Part::Requests] {
            // Deleted values stay in files until these are compacted.
            self.db.flush_cf(self.part(part)).map_err(database)?;
            self.db
                .compact_range_cf(self.part(part), None::<&[u8]>, None::<&[u8]>);
        }
        Ok(copies.len())
    }

    // Decisions

    /// Notes that a standing reading is done with a record, and decides each payment that was not decided before: gives the
    /// new decisions.
    pub(crate) fn decide(
        &self,
        grant: &GrantId,
        record: &RecordId,
        claimed: &[Claimed<'_>],
        post: bool,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        let _writing = self.writing();
        let mut batch = Batch::new(self);
        let mut number = self.last_decision()?;
        let mut new = Vec::new();
        for claim in claimed {
            let rule = self.keyed(&[claim.policy, claim.rule]);
            let key = |record: &str| [rule.as_slice(), record.as_bytes()].concat();
            let own = self.get::<u64>(Part::Decided, &key(claim.record))?;
            let corrected = claim
                .replaces
                .map(|older| self.get::<u64>(Part::Decided, &key(older)))
                .transpose()?
                .flatten();
            if own.is_some() {
                continue;
            }
            if let Some(decided) = corrected {
                batch.put(Part::Decided, &key(claim.record), &decided)?;
                continue;
            }
            number += 1;
            let row = DecisionRow {
                number,
                policy: claim.policy.to_owned(),
                record: claim.record.to_owned(),
                rule: claim.rule.to_owned(),
                amount: claim.pay.amount,
                currency: claim.pay.currency.clone(),
                grant: claim.grant.to_owned(),
                access: claim.access.to_owned(),
                decided_ms: claim.decided_ms,
            };
            batch.put(Part::Decided, &key(claim.record), &number)?;
            batch.put(Part::Decisions, &number.to_be_bytes(), &row)?;
            if post {
                batch.put(
                    Part::Outbox,
                    &number.to_be_bytes(),
                    &Job {
                        pings: 0,
                        attempts: 0,
                        due_ms: claim.decided_ms,
                    },
                )?;
            }
            new.push(row);
        }
        batch.put(Part::Done, &pair(grant, record), &())?;
        batch.commit()?;
        Ok(new)
    }

    fn last_decision(&self) -> Result<u64, StoreError> {
        match self
            .db
            .iterator_cf(self.part(Part::Decisions), IteratorMode::End)
            .next()
        {
            None => Ok(0),
            Some(item) => number(Part::Decisions, &item.map_err(database)?.0),
        }
    }

    /// Decisions after a number, oldest first, at most `limit`.
    pub(crate) fn decisions(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        let from = after.saturating_add(1).to_be_bytes();
        let mut rows = Vec::new();
        for item in self
            .db
            .iterator_cf(
                self.part(Part::Decisions),
                IteratorMode::From(&from, Direction::Forward),
            )
            .take(limit)
        {
            let (key, value) = item.map_err(database)?;
            rows.push(self.unseal(Part::Decisions, &key, &value)?);
        }
        Ok(rows)
    }

    /// Decisions that have not been posted yet.
    pub(crate) fn outbox(&self) -> Result<Vec<(DecisionRow, Job)>, StoreError> {
        let mut rows = Vec::new();
        for (key, job) in self.scan(Part::Outbox, &[], None, usize::MAX)? {
            let row = self
                .get(Part::Decisions, &key)?
                .ok_or_else(|| damaged(Part::Decisions, &key, &"missing"))?;
            rows.push((row, job));
        }
        Ok(rows)
    }

    /// A decision was posted, or its posting is put off.
    pub(crate) fn posted(
        &self,
        number: u64,
        tried: &Job,
        again_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let next = again_ms.map(|due_ms| Job {
            attempts: tried.attempts + 1,
            due_ms,
            ..*tried
        });
        self.change_job(Part::Outbox, &number.to_be_bytes(), tried, next)
    }

    // Sealed values

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, part: Part) -> &rocksdb::ColumnFamily {
        self.db
            .cf_handle(part.name())
            .expect("every part was created when the store was opened")
    }

    /// A hash that nobody without our index key can guess.
    fn keyed(&self, texts: &[&str]) -> [u8; 32] {
        let lengths: Vec<u8> = texts
            .iter()
            .flat_map(|text| (text.len() as u64).to_be_bytes())
            .collect();
        hash(
            "tegata/v1/verifier/index",
            &[self.index_key.expose(), &lengths, texts.concat().as_bytes()],
        )
    }

    fn get<T: DeserializeOwned>(&self, part: Part, key: &[u8]) -> Result<Option<T>, StoreError> {
        let value = self.db.get_cf(self.part(part), key).map_err(database)?;
        value
            .map(|value| self.unseal(part, key, &value))
            .transpose()
    }

    fn scan<T: DeserializeOwned>(
        &self,
        part: Part,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Rows<T>, StoreError> {
        let mut rows = Vec::new();
        for item in self.db.iterator_cf(
            self.part(part),
            IteratorMode::From(prefix, Direction::Forward),
        ) {
            let (key, value) = item.map_err(database)?;
            if !key.starts_with(prefix)
                || before.is_some_and(|before| *key >= *before)
                || rows.len() >= limit
            {
                break;
            }
            let row = self.unseal(part, &key, &value)?;
            rows.push((key, row));
        }
        Ok(rows)
    }

    fn seal<T: Serialize>(&self, part: Part, key: &[u8], row: &T) -> Result<Vec<u8>, StoreError> {
        let plaintext = serde_json::to_vec(row)
            .map(Zeroizing::new)
            .map_err(|error| damaged(part, key, &error))?;
        let sealed = seal(
            &self.seal_key,
            &info(part),
            key,
            &plaintext,
            &mut random::rng(),
        );
        Ok(cbor::encode(
            &sealed.map_err(|error| damaged(part, key, &error))?,
        ))
    }

    fn unseal<T: DeserializeOwned>(
        &self,
        part: Part,
        key: &[u8],
        value: &[u8],
    ) -> Result<T, StoreError> {
        let sealed: Sealed =
            cbor::decode(value, value.len()).map_err(|error| damaged(part, key, &error))?;
        let mut opened = Err(damaged(part, key, &"no key"));
        for secret in &self.secrets {
            opened = open(&sealed, secret, &info(part), key)
                .map(Zeroizing::new)
                .map_err(|error| damaged(part, key, &error));
            if opened.is_ok() {
                break;
            }
        }
        serde_json::from_slice(&opened?).map_err(|error| damaged(part, key, &error))
    }
}

/// What became of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is kept.
    Now,
    /// The grant has one already.
    Before,
    /// Another vault's owner has answered the same request.
    AnsweredByAnother,
}

/// One atomic, synced write.
struct Batch<'a> {
    store: &'a Store,
    batch: WriteBatch,
}

impl<'a> Batch<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            batch: WriteBatch::default(),
        }
    }

    fn put<T: Serialize>(&mut self, part: Part, key: &[u8], row: &T) -> Result<(), StoreError> {
        self.batch
            .put_cf(self.store.part(part), key, self.store.seal(part, key, row)?);
        Ok(())
    }

    fn delete(&mut self, part: Part, key: &[u8]) {
        self.batch.delete_cf(self.store.part(part), key);
    }

    fn commit(self) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.store
            .db
            .write_opt(self.batch, &options)
            .map_err(database)
    }
}

fn info(part: Part) -> String {
    format!("tegata/v1/verifier/{}", part.name())
}

fn pair(grant: &GrantId, record: &RecordId) -> Vec<u8> {
    [grant.0.as_slice(), &record.0].concat()
}

fn copy_key(copy: &CopyRow) -> Result<Vec<u8>, StoreError> {
    let wrong = StoreError::id(Part::Copies.name());
    Ok(pair(
        &copy.grant.parse().map_err(&wrong)?,
        &copy.record.parse().map_err(&wrong)?,
    ))
}

fn number(part: Part, key: &[u8]) -> Result<u64, StoreError> {
    key.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| damaged(part, key, &"not a number"))
}

fn database(error: rocksdb::Error) -> StoreError {
    StoreError::Database(error.to_string())
}

fn damaged(part: Part, key: &[u8], reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        part: part.name(),
        key: hex::encode(key),
        reason: reason.to_string(),
    }
}

mod check;
mod presentations;
mod recalls;
pub use check::Report;
pub(crate) use recalls::Held;

#[cfg(test)]
mod tests;
