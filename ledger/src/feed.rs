//! Who is told when a block is final: submitters that wait, followers of headers, readers of events.

use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tegata_consent::ids::EntryId;
use tegata_consent::state::Inadmissible;
use tokio::sync::{broadcast, oneshot, watch};
use utoipa::ToSchema;

/// How many blocks a slow reader of events may lag before it loses some.
const LAG_MAX: usize = 256;

/// A final block, as events tell of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FinalBlock {
    /// Its height.
    pub height: u64,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its entries, in order.
    pub entries: Vec<FinalEntry>,
}

/// An entry of a final block. No person's data: ids and kinds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FinalEntry {
    /// Its index in the log.
    pub index: u64,
    /// Its id, hexadecimal.
    pub id: String,
    /// Its kind, as in `entries.cddl`.
    pub kind: &'static str,
    /// `applied`, or the code of the refusal.
    pub outcome: &'static str,
    /// The grant it makes, ends, or asks under, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The organisation it is about, or that asks, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

/// What became of an entry that somebody waits for.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It is in the log, at this index.
    Final(u64),
    /// This node took it out of its mempool.
    Refused(Inadmissible),
}

/// Tells.
#[derive(Debug)]
pub struct Feed {
    blocks: broadcast::Sender<Arc<FinalBlock>>,
    newest: watch::Sender<u64>,
    waiting: Mutex<HashMap<EntryId, Vec<oneshot::Sender<Fate>>>>,
}

impl Feed {
    /// Starts at a height.
    #[must_use]
    pub fn new(height: u64) -> Self {
        Self {
            blocks: broadcast::Sender::new(LAG_MAX),
            newest: watch::Sender::new(height),
            waiting: Mutex::default(),
        }
    }

    /// Waits for one entry. Dropping the receiver ends the wait.
    pub fn wait_for(&self, id: EntryId) -> oneshot::Receiver<Fate> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        let waiters = waiting.entry(id).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        receiver
    }

    /// Forgets waits for an entry that nobody holds any more.
    pub fn tidy(&self, id: &EntryId) {
        let mut waiting = self.lock();
        if waiting
            .get(id)
            .is_some_and(|waiters| waiters.iter().all(oneshot::Sender::is_closed))
        {
            waiting.remove(id);
        }
    }

    /// The newest height, and word of later ones.
    #[must_use]
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Final blocks from now on.
    #[must_use]
    pub fn blocks(&self) -> broadcast::Receiver<Arc<FinalBlock>> {
        self.blocks.subscribe()
    }

    /// Tells that a block is final. `entries` are its ids and indexes.
    pub fn tell_final(&self, block: FinalBlock, entries: impl Iterator<Item = (EntryId, u64)>) {
        let mut waiting = self.lock();
        if !waiting.is_empty() {
            for (id, index) in entries {
                tell(waiting.remove(&id), &Fate::Final(index));
            }
        }
        drop(waiting);
        self.newest.send_replace(block.height);
        // Nobody listening is no failure.
        let _ = self.blocks.send(Arc::new(block));
    }

    /// Tells that an entry was taken out of the mempool.
    pub fn tell_refused(&self, id: &EntryId, why: Inadmissible) {
        let waiters = self.lock().remove(id);
        tell(waiters, &Fate::Refused(why));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntryId, Vec<oneshot::Sender<Fate>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(waiters: Option<Vec<oneshot::Sender<Fate>>>, fate: &Fate) {
    for waiter in waiters.into_iter().flatten() {
        // Whoever stopped waiting is not told.
        let _ = waiter.send(fate.clone());
    }
}
