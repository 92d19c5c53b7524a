//! Carrying tickets and pings to recipients' inboxes, until they are taken.
//!
//! Rows of the outbox are written with what causes them (a final grant, a deposit) and leave after the recipient answered
//! with a 2xx, or when the grant stands no more. So a message may come twice, and none is lost. Pauses grow for each
//! recipient that does not answer; after a restart every recipient is tried at once.

use crate::host::Host;
use crate::rows::{Message, MessageKind};
use crate::store::StoreError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tegata_consent::ids::{GrantId, OrganisationId};
use tegata_consent::organisation::Role;
use tegata_consent::state::Refusal;
use tegata_service::ledger::LedgerError;
use tegata_service::signature::{Signer, send_signed};
use tokio::task::{Id, JoinError, JoinSet};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// While the ledger does not answer. That is no recipient's doing, so the pause does not grow.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep without a bell.
const IDLE: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Recipients that are written to at once.
const RECIPIENTS_AT_ONCE: usize = 64;
/// Rows that are read for one recipient at once.
const ROWS_AT_ONCE: usize = 1000;
/// Served requests are remembered longer than their signatures would be taken.
const SERVED_MS: u64 = 300_000;
/// Between two times of putting things in order.
const TIDY: Duration = Duration::from_secs(60);
/// Most rows that the outbox is counted to.
const OUTBOX_COUNT_MAX: usize = 100_000;

/// What stands in a message's body.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Body {
    Ticket { grant: String, ticket: String },
    Ping { grant: String },
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("the recipient is not registered")]
    NoRecipient,
    #[error("the recipient has no service that takes messages")]
    NoInbox,
    #[error("the recipient's inbox answered {0}")]
    Answer(u16),
    #[error("the recipient's inbox: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the delivery broke off")]
    Broken,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What asking again would not change: malformed, answered already, too large, not acceptable.
const REFUSED_FOR_GOOD: [u16; 4] = [400, 409, 413, 422];

struct Pause {
    length: Duration,
    until: Instant,
}

/// Sees to it that everything that waits is carried: one task for each recipient, so that a slow one holds up no other.
pub(crate) struct Carrier {
    courier: Arc<Courier>,
    pauses: HashMap<OrganisationId, Pause>,
    running: JoinSet<Result<(), NotTaken>>,
    busy: HashMap<Id, OrganisationId>,
    tidied: Option<Instant>,
}

impl Carrier {
    pub(crate) fn new(host: Arc<Host>, client: reqwest::Client) -> Self {
        let signer = Signer::organisation(host.id, host.keys.sign.clone());
        Self {
            courier: Arc::new(Courier {
                host,
                client,
                signer,
            }),
            pauses: HashMap::new(),
            running: JoinSet::new(),
            busy: HashMap::new(),
            tidied: None,
        }
    }

    /// Carries for as long as the host runs.
    pub(crate) async fn run(mut self) {
        let host = Arc::clone(&self.courier.host);
        loop {
            if let Err(error) = self.begin().await {
                tracing::error!(%error, "the outbox cannot be read");
            }
            let sleep = self.next_pause();
            tokio::select! {
                // A bell that rang before is remembered, and ends this wait at once.
                () = host.outbox_bell.notified() => {}
                Some(done) = self.running.join_next_with_id() => self.end(done),
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Tries every recipient that is not in a pause, waits for all, and gives how long there is nothing more to do.
    #[cfg(test)]
    pub(crate) async fn round(&mut self) -> Result<Duration, StoreError> {
        self.begin().await?;
        while let Some(done) = self.running.join_next_with_id().await {
            self.end(done);
        }
        Ok(self.next_pause())
    }

    /// Starts a task for every recipient with messages that has none and is not in a pause.
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.tidy().await?;
        let now = Instant::now();
        let host = Arc::clone(&self.courier.host);
        let mut recipient = host.store.next_recipient(None)?;
        while let Some(id) = recipient
            && self.running.len() < RECIPIENTS_AT_ONCE
        {
            let pauses = self.pauses.get(&id).is_some_and(|pause| pause.until > now);
            if !pauses && !self.busy.values().any(|busy| *busy == id) {
                let courier = Arc::clone(&self.courier);
                let task = self
                    .running
                    .spawn(async move { courier.deliver_all(&id).await });
                self.busy.insert(task.id(), id);
            }
            recipient = host.store.next_recipient(Some(&id))?;
        }
        Ok(())
    }

    /// A recipient's task ended.
    fn end(&mut self, done: Result<(Id, Result<(), NotTaken>), JoinError>) {
        let (task, result) = match done {
            Ok((task, result)) => (task, result),
            Err(error) => (error.id(), Err(NotTaken::Broken)),
        };
        let Some(recipient) = self.busy.remove(&task) else {
            return;
        };
        match result {
            Ok(()) => drop(self.pauses.remove(&recipient)),
            Err(error) => self.pause(recipient, &error),
        }
    }

    /// How long there is nothing to begin, unless a bell rings or a task ends.
    fn next_pause(&self) -> Duration {
        if self.running.len() >= RECIPIENTS_AT_ONCE {
            return IDLE;
        }
        let now = Instant::now();
        let waiting = self
            .pauses
            .iter()
            .filter(|(id, _)| !self.busy.values().any(|busy| busy == *id));
        waiting
            .map(|(_, pause)| pause.until.saturating_duration_since(now))
            .fold(IDLE, Duration::min)
    }

    /// Once a minute: forgets requests whose signatures are too old to come again, and counts what waits.
    async fn tidy(&mut self) -> Result<(), StoreError> {
        if self.tidied.is_some_and(|tidied| tidied.elapsed() < TIDY) {
            return Ok(());
        }
        self.tidied = Some(Instant::now());
        let tidy = |host: &Host| {
            host.store
                .forget_served(host.now_ms().saturating_sub(SERVED_MS))?;
            Ok::<_, StoreError>(host.store.outbox_length(OUTBOX_COUNT_MAX))
        };
        let waiting = self.courier.host.block(tidy).await?;
        metrics::gauge!("tegata_vault_outbox_rows").set(waiting as f64);
        Ok(())
    }

    fn pause(&mut self, recipient: OrganisationId, error: &NotTaken) {
        let before = self.pauses.get(&recipient).map(|pause| pause.length);
        let length = match (error, before) {
            (NotTaken::Ledger(_), _) => LEDGER_PAUSE,
            (_, None) => FIRST_PAUSE,
            (_, Some(before)) => (before * 2).min(PAUSE_MAX),
        };
        tracing::warn!(%recipient, %error, pause_ms = length.as_secs_f64() * 1000.0, "an inbox does not take what waits for it");
        metrics::counter!("tegata_vault_deliveries_total", "outcome" => "failed").increment(1);
        self.pauses.insert(
            recipient,
            Pause {
                length,
                until: Instant::now() + length,
            },
        );
    }
}

/// Delivers to one recipient at a time.
struct Courier {
    host: Arc<Host>,
    client: reqwest::Client,
    signer: Signer,
}

impl Courier {
    /// Delivers everything that waits for one recipient, tickets first. Stops at the first that is not taken now; what the
    /// recipient refuses for good is settled, so that it holds up nothing else.
    async fn deliver_all(&self, recipient: &OrganisationId) -> Result<(), NotTaken> {
        loop {
            let id = *recipient;
            let messages = self
                .host
                .block(move |host| host.store.messages(&id, ROWS_AT_ONCE))
                .await?;
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages {
                let delivered_ms = match self.deliver(&message).await {
                    Err(NotTaken::Answer(status)) if REFUSED_FOR_GOOD.contains(&status) => {
                        tracing::warn!(%recipient, status, "an inbox refuses a message for good");
                        metrics::counter!("tegata_vault_deliveries_total", "outcome" => "refused")
                            .increment(1);
                        None
                    }
                    delivered => delivered?,
                };
                self.host
                    .block(move |host| host.store.settle(&message, delivered_ms))
                    .await?;
            }
        }
    }

    /// Delivers one message, and gives when; `None` where the grant stands no more and nothing was sent.
    async fn deliver(&self, message: &Message) -> Result<Option<u64>, NotTaken> {
        if !self.stands(&message.grant).await? {
            let grant = message.grant;
            self.host
                .block(move |host| host.store.end_grant(&grant))
                .await?;
            return Ok(None);
        }
        let grant = message.grant.to_string();
        let body = match message.kind {
            MessageKind::Ping => Body::Ping { grant },
            MessageKind::Ticket => {
                let row = self.host.store.submission(&message.grant)?;
                let row =
                    row.ok_or_else(|| StoreError::Damaged(format!("submission of {grant}")))?;
                Body::Ticket {
                    grant,
                    ticket: URL_SAFE_NO_PAD.encode(&row.ticket[..]),
                }
            }
        };
        let body = serde_json::to_vec(&body).expect("strings are always JSON");
        let state = self
            .host
            .ledger
            .organisation(&message.recipient)
            .await?
            .value
            .ok_or(NotTaken::NoRecipient)?;
        let url = state
            .organisation
            .url(Role::Verifier)
            .ok_or(NotTaken::NoInbox)?;
        let url = format!("{url}/v1/inbox");
        let sending = send_signed(
            &self.client,
            &self.signer,
            axum::http::Method::POST,
            &url,
            "application/json",
            body,
        );
        let status = match tokio::time::timeout(ANSWER_TIMEOUT, sending).await {
            Ok(response) => response?.status(),
            Err(_) => return Err(NotTaken::Answer(504)),
        };
        if !status.is_success() {
            return Err(NotTaken::Answer(status.as_u16()));
        }
        metrics::counter!("tegata_vault_deliveries_total", "outcome" => "taken").increment(1);
        Ok(Some(self.host.now_ms()))
    }

    /// Whether there is still something to tell: a grant that has not started yet counts, a revoked or expired one does not.
    async fn stands(&self, grant: &GrantId) -> Result<bool, LedgerError> {
        self.host.ledger.newest()?;
        let (_, proven) = self.host.ledger.grant(grant).await?;
        let now_ms = self.host.now_ms().max(proven.header.header().time_ms);
        Ok(proven.value.is_some_and(|state| {
            matches!(state.standing(now_ms), Ok(()) | Err(Refusal::NotStarted))
        }))
    }
}
