//! Entries that wait for a block: verified, bounded by number and bytes, each once, oldest first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash as StdHash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tegata_consent::entry::VerifiedEntry;
use tegata_consent::ids::EntryId;
use tokio::sync::Notify;

/// Most entries that wait.
pub const ENTRIES_MAX: usize = 40_000;
/// Most bytes that wait.
pub const BYTES_MAX: usize = 64 << 20;
/// Most entries that wait from one other validator.
pub const ENTRIES_PER_PEER_MAX: usize = 12_000;

/// Where an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// This node's own HTTP.
    Own,
    /// Another validator, by its number in the configuration.
    Peer(usize),
}

/// What came of offering an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It waits now.
    Added,
    /// It waited already.
    Known,
    /// No room, in all or for this source.
    Full,
}

/// The pool.
#[derive(Debug, Default)]
pub struct Mempool {
    pool: Mutex<Pool>,
    /// Told whenever an entry was added.
    pub arrived: Notify,
}

#[derive(Debug, Default)]
struct Pool {
    waiting: HashMap<EntryId, Waiting>,
    order: BTreeMap<u64, EntryId>,
    ends: BTreeSet<(u64, EntryId)>,
    encoded: HashSet<ByBytes>,
    per_source: HashMap<Source, usize>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    entry: Arc<VerifiedEntry>,
    number: u64,
    source: Source,
}

impl Mempool {
    /// Offers a verified entry.
    pub fn add(&self, entry: Arc<VerifiedEntry>, source: Source) -> Admission {
        let mut pool = self.lock();
        let id = entry.id();
        if pool.waiting.contains_key(&id) {
            return Admission::Known;
        }
        let from_source = pool.per_source.get(&source).copied().unwrap_or_default();
        let crowded = source != Source::Own && from_source >= ENTRIES_PER_PEER_MAX;
        if crowded
            || pool.waiting.len() >= ENTRIES_MAX
            || pool.bytes + entry.bytes().len() > BYTES_MAX
        {
            return Admission::Full;
        }
        pool.insert(entry, source);
        drop(pool);
        self.arrived.notify_one();
        Admission::Added
    }

    /// Whether an entry waits.
    pub fn contains(&self, id: &EntryId) -> bool {
        self.lock().waiting.contains_key(id)
    }

    /// The waiting entry with exactly these bytes, whose signatures therefore need no second check.
    pub fn verified(&self, bytes: &[u8]) -> Option<Arc<VerifiedEntry>> {
        self.lock().encoded.get(bytes).map(|found| found.0.clone())
    }

    /// The oldest entries, together at most `bytes` long. They stay until [`Self::remove`].
    pub fn oldest(&self, bytes: usize) -> Vec<Arc<VerifiedEntry>> {
        let pool = self.lock();
        let mut room = bytes;
        let mut entries = Vec::new();
        for id in pool.order.values() {
            let Some(waiting) = pool.waiting.get(id) else {
                continue;
            };
            let Some(left) = room.checked_sub(waiting.entry.bytes().len() + 8) else {
                break;
            };
            room = left;
            entries.push(waiting.entry.clone());
        }
        entries
    }

    /// Takes entries out.
    pub fn remove<'a>(&self, ids: impl IntoIterator<Item = &'a EntryId>) {
        let mut pool = self.lock();
        for id in ids {
            pool.remove(id);
        }
    }

    /// Takes out everything whose time is over at `time_ms`, and says what.
    pub fn expire(&self, time_ms: u64) -> Vec<Arc<VerifiedEntry>> {
        let mut pool = self.lock();
        let mut expired = Vec::new();
        while let Some((end_ms, id)) = pool.ends.first().copied() {
            if end_ms >= time_ms {
                break;
            }
            pool.ends.remove(&(end_ms, id));
            expired.extend(pool.remove(&id));
        }
        expired
    }

    /// How many entries wait, and how many bytes they have.
    pub fn size(&self) -> (usize, usize) {
        let pool = self.lock();
        (pool.waiting.len(), pool.bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// A panic elsewhere leaves the pool usable: it is only a cache of what clients hold.
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn insert(&mut self, entry: Arc<VerifiedEntry>, source: Source) {
        let (id, number) = (entry.id(), self.next);
        self.next += 1;
        self.bytes += entry.bytes().len();
        self.order.insert(number, id);
        self.ends.insert((entry.entry().not_after_ms(), id));
        self.encoded.insert(ByBytes(entry.clone()));
        *self.per_source.entry(source).or_default() += 1;
        self.waiting.insert(
            id,
            Waiting {
                entry,
                number,
                source,
            },
        );
    }

    fn remove(&mut self, id: &EntryId) -> Option<Arc<VerifiedEntry>> {
        let Waiting {
            entry,
            number,
            source,
        } = self.waiting.remove(id)?;
        self.order.remove(&number);
        self.ends.remove(&(entry.entry().not_after_ms(), *id));
        self.encoded.remove(entry.bytes());
        self.bytes -= entry.bytes().len();
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
        }
        Some(entry)
    }
}

/// An entry found by its bytes.
#[derive(Debug)]
struct ByBytes(Arc<VerifiedEntry>);

impl Borrow<[u8]> for ByBytes {
    fn borrow(&self) -> &[u8] {
        self.0.bytes()
    }
}
impl PartialEq for ByBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}
impl Eq for ByBytes {}
impl StdHash for ByBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().hash(state);
    }
}
