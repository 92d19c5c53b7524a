//! Entries that wait for a block: verified, bounded by number and bytes, each once, oldest first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash as StdHash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tegata_consent::entry::VerifiedEntry;
use tegata_consent::ids::EntryId;
use tokio::sync::Notify;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries.
    pub entries: usize,
    /// Bytes.
    pub bytes: usize,
    /// Entries from one other validator.
    pub entries_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 40_000,
            bytes: 64 << 20,
            entries_per_peer: 12_000,
        }
    }
}

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
    limits: Limits,
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
    since: Instant,
}

impl Mempool {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Offers a verified entry.
    pub fn add(&self, entry: Arc<VerifiedEntry>, source: Source) -> Admission {
        let mut pool = self.lock();
        let id = entry.id();
        if pool.waiting.contains_key(&id) {
            return Admission::Known;
        }
        let from_source = pool.per_source.get(&source).copied().unwrap_or_default();
        let crowded = source != Source::Own && from_source >= self.limits.entries_per_peer;
        let bytes = pool.bytes + entry.bytes().len();
        if crowded || pool.waiting.len() >= self.limits.entries || bytes > self.limits.bytes {
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

    /// This node's own entries that have waited for at least `waited`, oldest first, together at most `bytes` long.
    pub fn own(&self, waited: Duration, bytes: usize) -> Vec<Arc<VerifiedEntry>> {
        let pool = self.lock();
        let old_enough = |waiting: &&Waiting| waiting.since.elapsed() >= waited;
        let mut room = bytes;
        let in_order = pool.order.values().filter_map(|id| pool.waiting.get(id));
        let own = in_order
            .take_while(old_enough)
            .filter(|waiting| waiting.source == Source::Own);
        let fits = own.map_while(|waiting| {
            room = room.checked_sub(waiting.entry.bytes().len() + 8)?;
            Some(waiting.entry.clone())
        });
        fits.collect()
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
                since: Instant::now(),
            },
        );
    }

    fn remove(&mut self, id: &EntryId) -> Option<Arc<VerifiedEntry>> {
        let Waiting {
            entry,
            number,
            source,
            ..
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

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use tegata_consent::entry::{Body, Entry, Revocation};
    use tegata_consent::ids::{ChainId, GrantId, OrganisationId};

    const CHAIN: ChainId = ChainId([1; 32]);

    fn entry(number: u8, not_after_ms: u64) -> Arc<VerifiedEntry> {
        let revocation = Revocation {
            grant: GrantId([number; 32]),
            sponsor: OrganisationId([2; 32]),
        };
        let key = SigningKey::from_bytes(&[number; 32]);
        let entry = Entry::sign(&key, &CHAIN, not_after_ms, Body::Revocation(revocation));
        Arc::new(entry.verify(&CHAIN).unwrap())
    }

    #[test]
    fn oldest_first_each_once_until_removed() {
        let pool = Mempool::default();
        for number in [3, 1, 2] {
            assert_eq!(pool.add(entry(number, 100), Source::Own), Admission::Added);
        }
        assert_eq!(pool.add(entry(1, 100), Source::Peer(0)), Admission::Known);
        let ids = |entries: &[Arc<VerifiedEntry>]| {
            entries.iter().map(|entry| entry.id()).collect::<Vec<_>>()
        };
        let all = pool.oldest(usize::MAX);
        assert_eq!(
            ids(&all),
            ids(&[entry(3, 100), entry(1, 100), entry(2, 100)])
        );
        assert_eq!(
            ids(&pool.oldest(2 * all[0].bytes().len() + 20)),
            ids(&all[..2])
        );
        pool.remove([&all[1].id()]);
        assert_eq!(ids(&pool.oldest(usize::MAX)), [all[0].id(), all[2].id()]);
        pool.remove(&ids(&all));
        assert!(pool.is_empty());
        assert_eq!(pool.size(), (0, 0));
    }

    #[test]
    fn no_source_and_not_all_together_exceed_their_limits() {
        let pool = Mempool::new(Limits {
            entries: 4,
            bytes: usize::MAX,
            entries_per_peer: 2,
        });
        let add = |number, source| pool.add(entry(number, 100), source);
        assert_eq!(
            [
                add(1, Source::Peer(0)),
                add(2, Source::Peer(0)),
                add(3, Source::Peer(0))
            ],
            [Admission::Added, Admission::Added, Admission::Full]
        );
        assert_eq!(
            [
                add(3, Source::Peer(1)),
                add(4, Source::Own),
                add(5, Source::Own)
            ],
            [Admission::Added, Admission::Added, Admission::Full]
        );
        pool.remove([&entry(1, 100).id()]);
        assert_eq!(
            add(5, Source::Peer(0)),
            Admission::Added,
            "room again, for the source as well"
        );
        let one = entry(1, 100).bytes().len();
        let small = Mempool::new(Limits {
            entries: 9,
            bytes: 2 * one,
            entries_per_peer: 9,
        });
        let add = |number| small.add(entry(number, 100), Source::Own);
        assert_eq!(
            [add(1), add(2), add(3)],
            [Admission::Added, Admission::Added, Admission::Full]
        );
    }

    #[test]
    fn only_the_very_bytes_count_as_verified() {
        let pool = Mempool::default();
        let waiting = entry(1, 100);
        pool.add(waiting.clone(), Source::Own);
        assert!(pool.verified(waiting.bytes()).is_some());
        // The same id, since signatures are not part of it, but other bytes.
        let other = Entry::parse(waiting.bytes())
            .unwrap()
            .countersign(&SigningKey::from_bytes(&[9; 32]), &CHAIN);
        assert_eq!(other.id(&CHAIN), waiting.id());
        assert!(pool.verified(&other.to_bytes()).is_none());
    }

    #[test]
    fn own_entries_that_wait_can_be_sent_again() {
        let pool = Mempool::default();
        pool.add(entry(1, 100), Source::Own);
        pool.add(entry(2, 100), Source::Peer(0));
        pool.add(entry(3, 100), Source::Own);
        let own = pool.own(Duration::ZERO, usize::MAX);
        let ids: Vec<_> = own.iter().map(|entry| entry.id()).collect();
        assert_eq!(ids, [entry(1, 100).id(), entry(3, 100).id()]);
        assert_eq!(pool.own(Duration::ZERO, own[0].bytes().len() + 8).len(), 1);
        assert!(pool.own(Duration::from_secs(60), usize::MAX).is_empty());
    }

    #[test]
    fn what_is_too_late_leaves() {
        let pool = Mempool::default();
        for number in 1..=3 {
            pool.add(entry(number, 100 * u64::from(number)), Source::Own);
        }
        assert!(pool.expire(100).is_empty());
        let expired = pool.expire(201);
        assert_eq!(
            expired.iter().map(|entry| entry.id()).collect::<Vec<_>>(),
            [entry(1, 100).id(), entry(2, 200).id()]
        );
        assert_eq!(pool.oldest(usize::MAX).len(), 1);
    }
}
