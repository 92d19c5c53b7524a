//! Recalled records: at every status entry of an issuer whose records we hold, our copies are looked up in its list; a copy of
//! a recalled record is dropped, and the ledger is told so (`specs/consent/status.md`, section 2).

use crate::core::Core;
use crate::events::Event;
use crate::rows::{HoldingRow, StoreError};
use crate::store::Held;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tegata_consent::entry::{Body, Entry, ErasureConfirmed};
use tegata_consent::ids::{EntryId, GrantId, Hash, OrganisationId, RecordId, Salt};
use tegata_consent::status::{erasure_commitment, status_list_id};
use tegata_credential::status_list::RECALLED;
use tegata_service::clock;
use tegata_service::ledger::LedgerError;

/// Between two looks, so that a busy ledger does not keep us looking.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest time without a look.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the ledger has for a confirmation, in milliseconds.
const NOT_AFTER_MS: u64 = 120_000;

/// An issuer's list, by its URI.
type List = (OrganisationId, String);

/// Which copies we hold, by the list that says what became of their records. On disk they are the store's.
#[derive(Default)]
pub(crate) struct Recalls(Mutex<HashMap<List, Holdings>>);

#[derive(Default)]
struct Holdings {
    /// The newest list that all these copies were looked up in.
    looked_up: Option<Hash>,
    copies: HashMap<Held, u64>,
}

impl Recalls {
    /// Notes copies that a reading has made: they are looked up soon.
    pub(crate) fn hold(
        &self,
        grant: GrantId,
        copies: Vec<(OrganisationId, String, RecordId, u64)>,
    ) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (issuer, uri, record, index) in copies {
            let holdings = lists.entry((issuer, uri)).or_default();
            holdings.looked_up = None;
            holdings.copies.insert((grant, record), index);
        }
    }

    fn lists(&self) -> Vec<(List, Option<Hash>)> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists
            .iter()
            .map(|(list, holdings)| (list.clone(), holdings.looked_up))
            .collect()
    }

    fn copies(&self, list: &List) -> Vec<(Held, u64)> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = lists.get(list).map(|holdings| &holdings.copies);
        copies
            .into_iter()
            .flatten()
            .map(|(held, index)| (*held, *index))
            .collect()
    }

    /// Notes that copies were looked up, and some of them dropped. Copies that came meanwhile are looked up next time.
    fn looked_up(&self, list: &List, token: Hash, looked_up: &[(Held, u64)], gone: &[Held]) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(holdings) = lists.get_mut(list) else {
            return;
        };
        for held in gone {
            holdings.copies.remove(held);
        }
        let known: HashSet<_> = looked_up.iter().map(|(held, _)| held).collect();
        if holdings.copies.keys().all(|held| known.contains(held)) {
            holdings.looked_up = Some(token);
        }
        if holdings.copies.is_empty() {
            lists.remove(list);
        }
    }
}

/// Looks copies up, drops those of recalled records and confirms it, for as long as it is polled.
pub(crate) async fn run(core: std::sync::Arc<Core>) {
    if let Err(error) = load(&core).await {
        tracing::error!(%error, "the copies that we hold cannot be listed; recalls are not noticed");
        return std::future::pending().await;
    }
    let log_size = |header: &Option<tegata_consent::header::FinalHeader>| {
        header.as_ref().map_or(0, |header| header.header().log_size)
    };
    let mut headers = core.ledger.watch();
    loop {
        // Before looking: what comes onto the ledger meanwhile is looked at next.
        let seen = log_size(&headers.borrow_and_update());
        let looked = look(&core).await;
        if let Err(error) = &looked {
            tracing::warn!(%error, "recalled records cannot be looked up now");
        }
        let confirmed = confirm(&core).await;
        if let Err(error) = &confirmed {
            tracing::warn!(%error, "an erasure cannot be confirmed now");
        }
        tokio::time::sleep(PAUSE).await;
        if looked.is_ok() && confirmed.is_ok() {
            let grown = headers.wait_for(|header| log_size(header) > seen);
            drop(tokio::time::timeout(PAUSE_MAX, grown).await);
        } else {
            // What failed may work under the next header, also one without entries.
            drop(tokio::time::timeout(PAUSE_MAX, headers.changed()).await);
        }
    }
}

async fn load(core: &Core) -> Result<(), StoreError> {
    for ((grant, record), row) in core.store(|store| store.holdings()).await? {
        let issuer = row.issuer.parse().map_err(StoreError::id("holdings"))?;
        let copy = (issuer, row.uri, record, row.index);
        core.recalls.hold(grant, vec![copy]);
    }
    Ok(())
}

/// Looks up all copies in the lists that have changed. A list that cannot be had now is asked for again.
async fn look(core: &Core) -> Result<(), RecallError> {
    for (list, looked_up) in core.recalls.lists() {
        let (issuer, uri) = &list;
        let newest = core
            .ledger
            .status_list(issuer, &status_list_id(uri))
            .await?
            .value;
        let Some(newest) = newest.filter(|newest| Some(newest.token) != looked_up) else {
            continue;
        };
        let Some(registered) = core.ledger.organisation(issuer).await?.value else {
            continue;
        };
        let statuses = match core.lists.get(&registered, uri, clock::now_ms()).await {
            Ok(statuses) => statuses,
            Err(fault) => {
                tracing::warn!(%issuer, reason = ?fault, "a changed status list is not to be had");
                continue;
            }
        };
        let copies = core.recalls.copies(&list);
        let recalled = |(_, index): &&(Held, u64)| statuses.status_at(*index) == Ok(RECALLED);
        let gone: Vec<Held> = copies
            .iter()
            .filter(recalled)
            .map(|(held, _)| *held)
            .collect();
        for held in &gone {
            drop_copy(core, *held).await?;
        }
        core.recalls.looked_up(&list, newest.token, &copies, &gone);
    }
    Ok(())
}

async fn drop_copy(core: &Core, held: Held) -> Result<(), StoreError> {
    let dropped = core
        .store(move |store| store.drop_recalled(&held, clock::now_ms()))
        .await?;
    if let Some(dropped) = dropped {
        metrics::counter!("tegata_verifier_copies_recalled_total").increment(1);
        tracing::info!(
            grant = dropped.grant,
            "a copy was dropped: its record was recalled"
        );
        core.tell(Event::new("recall", &dropped));
    }
    Ok(())
}

/// Writes every confirmation that is due to the ledger.
async fn confirm(core: &Core) -> Result<(), RecallError> {
    for (held, row) in core.store(|store| store.unconfirmed()).await? {
        let commitment = commitment(&held, &row)?;
        let body = Body::ErasureConfirmed(ErasureConfirmed {
            grant: held.0,
            recipient: core.us,
            commitment,
        });
        let not_after_ms = clock::now_ms() + NOT_AFTER_MS;
        let entry = Entry::sign(&core.keys.sign, &core.chain, not_after_ms, body);
        let confirmed_ms = match core.ledger.submit(&entry.to_bytes()).await {
            Ok((_, receipt)) => receipt.leaf.time_ms,
            // From an attempt whose answer did not come.
            Err(LedgerError::Inadmissible { code, .. }) if code == "erasure-known" => {
                let known = core.ledger.erasure(&core.us, &commitment).await?.value;
                match known {
                    Some(known) => known.confirmed_ms,
                    None => continue,
                }
            }
            Err(error) => return Err(error.into()),
        };
        core.store(move |store| store.confirmed(&held, confirmed_ms))
            .await?;
        metrics::counter!("tegata_verifier_erasures_confirmed_total").increment(1);
    }
    Ok(())
}

fn commitment((_, record): &Held, row: &HoldingRow) -> Result<Hash, StoreError> {
    let access: EntryId = row.access.parse().map_err(StoreError::id("holdings"))?;
    let salt: Salt = row.salt.parse().map_err(StoreError::id("holdings"))?;
    Ok(erasure_commitment(&salt, &access, record))
}

/// Why recalls are not settled now. Everything is tried again.
#[derive(Debug, thiserror::Error)]
enum RecallError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
