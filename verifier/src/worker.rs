//! What runs with nobody awake: standing readings from the queue, payments by rule, posting of decisions, deletion of copies.
//!
//! A job leaves the queue only after everything that it found is on disk, and what is done twice changes nothing: a decision
//! is made once for each policy, record and rule. So a crash at any point loses nothing and doubles nothing.

use crate::core::{Core, Webhook};
use crate::events::Event;
use crate::reading::{Reading, ReadingError, Wanted, read};
use crate::rows::{Claimed, DecisionRow, Job, StoreError};
use crate::rules::{Case, Verdict};
use crate::verify;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::ids::GrantId;
use tegata_service::clock;

/// Standing readings at once.
const AT_ONCE: usize = 4;
/// The longest pause between two attempts, in milliseconds.
const PAUSE_MAX_MS: u64 = 60_000;
/// Posts at once.
const POSTS_AT_ONCE: usize = 4;
/// How often copies are looked through for those to delete.
const PURGE: Duration = Duration::from_secs(60);
/// Until a webhook answers.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Does the queue's jobs for as long as it is polled.
pub(crate) async fn standing(core: Arc<Core>) {
    loop {
        let pause = match round(&core).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the queue of standing readings");
                Duration::from_secs(5)
            }
        };
        // A ping that comes between the look into the queue and this line left a permit: no time is lost.
        drop(tokio::time::timeout(pause, core.wake.notified()).await);
    }
}

/// Does every job that is due; gives how long nothing else is.
async fn round(core: &Core) -> Result<Duration, StoreError> {
    let now_ms = clock::now_ms();
    let queue = core.store(|store| store.queue()).await?;
    metrics::gauge!("tegata_verifier_queue_length").set(queue.len() as f64);
    let (due, later): (Vec<_>, Vec<_>) =
        queue.into_iter().partition(|(_, job)| job.due_ms <= now_ms);
    if due.is_empty() {
        let next_ms = later
            .iter()
            .map(|(_, job)| job.due_ms)
            .min()
            .unwrap_or(now_ms + PAUSE_MAX_MS);
        return Ok(Duration::from_millis(
            next_ms.saturating_sub(now_ms).clamp(1, PAUSE_MAX_MS),
        ));
    }
    let mut done = futures::stream::iter(due)
        .map(|(grant, job)| do_job(core, grant, job))
        .buffer_unordered(AT_ONCE);
    while let Some(result) = done.next().await {
        result?;
    }
    Ok(Duration::ZERO)
}

/// One standing reading. Errors of the store alone are errors here.
pub(crate) async fn do_job(core: &Core, grant: GrantId, job: Job) -> Result<(), StoreError> {
    let again = match read(core, grant, Wanted::default(), true).await {
        Ok(reading) => {
            decide(core, grant, &reading).await?;
            reading.refused.iter().any(|record| record.may_hold_later)
        }
        Err(ReadingError::Store(error)) => return Err(error),
        Err(error) if error.is_final() => {
            tracing::info!(%grant, reason = %error, "a standing reading is not possible");
            false
        }
        Err(error) => {
            tracing::warn!(%grant, reason = %error, attempts = job.attempts, "a standing reading is put off");
            true
        }
    };
    core.store(move |store| match again {
        true => store.put_off(&grant, &job, clock::now_ms() + pause_ms(job.attempts)),
        false => store.finish(&grant, &job),
    })
    .await
}

const fn pause_ms(attempts: u32) -> u64 {
    let doubled = 500u64 << (if attempts < 10 { attempts } else { 10 });
    if doubled < PAUSE_MAX_MS {
        doubled
    } else {
        PAUSE_MAX_MS
    }
}

/// Applies the payout rules to every record that no standing reading under this grant was done with.
async fn decide(core: &Core, grant: GrantId, reading: &Reading) -> Result<(), StoreError> {
    let known = core.store(move |store| store.ticket(&grant)).await?;
    let Some(known) = known.map(|known| known.row) else {
        return Ok(());
    };
    let superseded: BTreeMap<_, _> = verify::superseded(&reading.verified).into_iter().collect();
    for record in &reading.verified {
        let id = record.record();
        if core.store(move |store| store.is_done(&grant, &id)).await? {
            continue;
        }
        let case = Case {
            purpose: &known.purpose,
            reference: &known.reference,
            unsolicited: known.unsolicited,
            superseded_by: superseded.get(&id).copied(),
        };
        let due =
            core.rules.judge(record, &case).into_iter().filter_map(
                |(rule, verdict)| match verdict {
                    Verdict::Pay(policy) => Some((rule.to_owned(), policy)),
                    _ => None,
                },
            );
        let due: Vec<_> = due.collect();
        let (policy, access, post) = (
            known.reference.clone(),
            reading.row.access.clone(),
            core.webhook.is_some(),
        );
        let (record, replaces) = (
            id.to_string(),
            record.replaces().map(|older| older.to_string()),
        );
        let new = core
            .store(move |store| {
                let grant_text = grant.to_string();
                let claim = |(rule, pay)| Claimed {
                    policy: &policy,
                    record: &record,
                    replaces: replaces.as_deref(),
                    rule,
                    pay,
                    grant: &grant_text,
                    access: &access,
                    decided_ms: clock::now_ms(),
                };
                let claimed: Vec<_> = due
                    .iter()
                    .map(|(rule, pay)| claim((rule.as_str(), pay)))
                    .collect();
                store.decide(&grant, &id, &claimed, post)
            })
            .await?;
        for decision in new {
            metrics::counter!("tegata_verifier_decisions_total", "rule" => decision.rule.clone())
                .increment(1);
            core.tell(Event::new("decision", &decision));
        }
        core.wake_outbox.notify_one();
    }
    Ok(())
}

/// Posts decisions to the organisation's own system until it has taken them, for as long as it is polled.
pub(crate) async fn posting(core: Arc<Core>) {
    let Some(webhook) = &core.webhook else { return };
    loop {
        let pause = match post_round(&core, webhook).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the outbox of decisions");
                Duration::from_secs(5)
            }
        };
        drop(tokio::time::timeout(pause, core.wake_outbox.notified()).await);
    }
}

async fn post_round(core: &Core, webhook: &Webhook) -> Result<Duration, StoreError> {
    let now_ms = clock::now_ms();
    let outbox = core.store(|store| store.outbox()).await?;
    let (due, later): (Vec<_>, Vec<_>) = outbox
        .into_iter()
        .partition(|(_, job)| job.due_ms <= now_ms);
    if due.is_empty() {
        let next_ms = later
            .iter()
            .map(|(_, job)| job.due_ms)
            .min()
            .unwrap_or(now_ms + PAUSE_MAX_MS);
        return Ok(Duration::from_millis(
            next_ms.saturating_sub(now_ms).clamp(1, PAUSE_MAX_MS),
        ));
    }
    let mut done = futures::stream::iter(due)
        .map(|(decision, job)| post(core, webhook, decision, job))
        .buffer_unordered(POSTS_AT_ONCE);
    while let Some(result) = done.next().await {
        result?;
    }
    Ok(Duration::ZERO)
}

/// Posts one decision. `Idempotency-Key` is the decision's number, so that a system which took it and could not answer knows
/// it again.
async fn post(
    core: &Core,
    webhook: &Webhook,
    decision: DecisionRow,
    job: Job,
) -> Result<(), StoreError> {
    let mut request = core
        .client
        .post(&webhook.url)
        .timeout(WEBHOOK_TIMEOUT)
        .json(&decision);
    request = request.header(
        "idempotency-key",
        format!("{}-{}", core.us, decision.number),
    );
    if let Some(token) = &webhook.token {
        request = request.bearer_auth(token.as_str());
    }
    let taken = match request.send().await {
        Ok(response) if response.status().is_success() => true,
        Ok(response) => {
            tracing::warn!(
                status = response.status().as_u16(),
                number = decision.number,
                "the webhook did not take a decision"
            );
            false
        }
        Err(error) => {
            tracing::warn!(error = %error.without_url(), number = decision.number, "the webhook does not answer");
            false
        }
    };
    let again_ms = (!taken).then(|| clock::now_ms() + pause_ms(job.attempts));
    core.store(move |store| store.posted(decision.number, &job, again_ms))
        .await
}

/// Deletes copies whose retention is over, for as long as it is polled.
pub(crate) async fn purging(core: Arc<Core>) {
    loop {
        match core.store(|store| store.purge(clock::now_ms())).await {
            Ok(0) => {}
            Ok(deleted) => {
                metrics::counter!("tegata_verifier_copies_deleted_total").increment(deleted as u64);
                tracing::info!(deleted, "copies deleted, their retention is over");
            }
            Err(error) => {
                tracing::error!(%error, "copies whose retention is over could not be deleted")
            }
        }
        let presentations = core.store(|store| store.purge_presentations(clock::now_ms()));
        if let Err(error) = presentations.await {
            tracing::error!(%error, "presentations whose retention is over could not be deleted");
        }
        tokio::time::sleep(PURGE).await;
    }
}
