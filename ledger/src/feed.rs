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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EntryId = EntryId([1; 32]);

    fn block(height: u64) -> FinalBlock {
        FinalBlock {
            height,
            time_ms: height,
            entries: vec![],
        }
    }

    #[tokio::test]
    async fn all_who_wait_are_told_once() {
        let feed = Feed::new(4);
        let (first, second, other) = (
            feed.wait_for(ID),
            feed.wait_for(ID),
            feed.wait_for(EntryId([2; 32])),
        );
        let (mut heights, mut blocks) = (feed.heights(), feed.blocks());
        feed.tell_final(block(5), [(ID, 7)].into_iter());
        assert!(matches!(first.await, Ok(Fate::Final(7))));
        assert!(matches!(second.await, Ok(Fate::Final(7))));
        assert_eq!(*heights.wait_for(|height| *height > 4).await.unwrap(), 5);
        assert_eq!(blocks.recv().await.unwrap().height, 5);
        feed.tell_refused(&EntryId([2; 32]), Inadmissible::Seen(ID));
        assert!(matches!(
            other.await,
            Ok(Fate::Refused(Inadmissible::Seen(ID)))
        ));
        assert!(feed.lock().is_empty());
    }

    #[test]
    fn whoever_stops_waiting_is_forgotten() {
        let feed = Feed::new(0);
        let (first, second) = (feed.wait_for(ID), feed.wait_for(ID));
        drop(first);
        feed.tidy(&ID);
        assert_eq!(feed.lock().len(), 1, "another still waits");
        drop(second);
        feed.tidy(&ID);
        assert!(feed.lock().is_empty());
    }
}
