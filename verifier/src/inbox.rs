//! The inbox: hosts bring tickets and pings, and repeat until they are taken.

use crate::core::Core;
use crate::events::Event;
use crate::rows::{GrantRow, RequestRow, StoreError, TicketRow};
use crate::store::{RequestId, Taken};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use tegata_consent::cose::{Sign1, Signed};
use tegata_consent::ids::{ChainId, GrantId, OrganisationId};
use tegata_consent::keys::Secret;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::request::{ConsentRequest, request_commitment};
use tegata_consent::state::GrantState;
use tegata_consent::ticket::{Ticket, TicketError};
use tegata_service::clock;
use tegata_service::ledger::LedgerError;
use utoipa::ToSchema;

/// What a host brings.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Message {
    /// A person's grant to us, with what we need to read.
    Ticket {
        /// The grant.
        grant: String,
        /// The sealed ticket, base64url.
        ticket: String,
    },
    /// Something was deposited that a grant to us covers.
    Ping {
        /// The grant.
        grant: String,
    },
}

/// Why a message is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InboxError {
    /// Sent by an organisation that keeps no vaults.
    #[error("only hosts write here")]
    NotAHost,
    /// An id or base64url that is none.
    #[error("grant or ticket is not readable")]
    Encoding,
    /// The ledger proves that there is no such grant.
    #[error("there is no such grant on the ledger")]
    NoSuchGrant,
    /// A ping for a grant whose ticket has not come.
    #[error("there is no ticket for this grant here")]
    NoTicket,
    /// The grant is for another organisation.
    #[error("the grant is for another organisation")]
    NotRecipient,
    /// The ticket names another host than the one that brings it.
    #[error("the grant's vault lies with another host")]
    OtherHost,
    /// The ticket does not open, or does not fit its grant.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// It answers a consent request that we never made.
    #[error("the ticket answers a consent request that is not ours")]
    UnknownRequest,
    /// It does not answer the request that it names.
    #[error("the ticket does not answer the consent request that it names: {0}")]
    RequestMismatch(&'static str),
    /// The grant came after the request's time.
    #[error("the consent request had expired when the grant was made")]
    RequestExpired,
    /// The owner of another vault answered the same request.
    #[error("the consent request was answered for another vault")]
    RequestAnswered,
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a message of a host, whose signature and registration were checked.
pub(crate) async fn take(
    core: &Core,
    sender: &OrganisationState,
    message: Message,
) -> Result<(), InboxError> {
    if !sender.has_role(Role::Host) {
        return Err(InboxError::NotAHost);
    }
    let (Message::Ticket { grant, .. } | Message::Ping { grant }) = &message;
    let grant: GrantId = grant.parse().map_err(|_| InboxError::Encoding)?;
    match message {
        Message::Ticket { ticket, .. } => take_ticket(core, sender.id, grant, ticket).await,
        Message::Ping { .. } => take_ping(core, sender.id, grant).await,
    }
}

async fn take_ping(core: &Core, sender: OrganisationId, grant: GrantId) -> Result<(), InboxError> {
    let now_ms = clock::now_ms();
    let known = core
        .store(move |store| store.ticket(&grant))
        .await?
        .ok_or(InboxError::NoTicket)?;
    if known.row.host != sender.to_string() {
        return Err(InboxError::OtherHost);
    }
    core.store(move |store| store.enqueue(&grant, now_ms))
        .await?;
    core.wake.notify_one();
    core.tell(Event::new(
        "ping",
        &json!({ "grant": grant.to_string(), "reference": known.row.reference }),
    ));
    metrics::counter!("tegata_verifier_inbox_total", "kind" => "ping").increment(1);
    Ok(())
}

async fn take_ticket(
    core: &Core,
    sender: OrganisationId,
    grant: GrantId,
    text: String,
) -> Result<(), InboxError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(&text)
        .map_err(|_| InboxError::Encoding)?;
    let (_, proven) = core.ledger.grant(&grant).await?;
    let state = proven.value.ok_or(InboxError::NoSuchGrant)?;
    if state.grant.recipient != core.us {
        return Err(InboxError::NotRecipient);
    }
    let ticket = open_ticket(&bytes, &core.secrets, &core.us, &core.chain, &grant, &state)?;
    if ticket.host != sender {
        return Err(InboxError::OtherHost);
    }
    let mut reference = ticket.reference.clone();
    let answered = match ticket.request {
        Some(digest) => {
            let found = core
                .store(move |store| store.request_by_digest(&digest))
                .await?;
            let (id, row) = found.ok_or(InboxError::UnknownRequest)?;
            answers(&ticket, &state, &row)?;
            reference = row.reference.unwrap_or(reference);
            Some(id)
        }
        None if state.grant.request.is_some() => {
            return Err(InboxError::RequestMismatch(
                "the grant commits to a request, the ticket names none",
            ));
        }
        None => None,
    };
    let row = TicketRow {
        row: grant_row(&grant, &ticket, &state, answered, reference),
        ticket: text,
    };
    keep(core, grant, ticket.vault.to_string(), row, answered).await
}

async fn keep(
    core: &Core,
    grant: GrantId,
    vault: String,
    row: TicketRow,
    answered: Option<RequestId>,
) -> Result<(), InboxError> {
    let kept = row.clone();
    let taken = core
        .store(move |store| {
            store.put_ticket(
                &grant,
                &kept,
                answered.as_ref().map(|id| (id, vault.as_str())),
            )
        })
        .await?;
    match taken {
        Taken::AnsweredByAnother => return Err(InboxError::RequestAnswered),
        Taken::Before => return Ok(()),
        Taken::Now => {}
    }
    // What lay in the drawers before the grant brings no ping. Where a rule waits for it, it is read now; but not under a
    // grant with a limited number of readings, which are for people to use.
    if row.row.uses_max.is_none() && core.rules.concern(&row.row.purpose) {
        let now_ms = clock::now_ms();
        core.store(move |store| store.enqueue(&grant, now_ms))
            .await?;
        core.wake.notify_one();
    }
    core.tell(Event::new("ticket", &row.row));
    metrics::counter!("tegata_verifier_inbox_total", "kind" => "ticket").increment(1);
    Ok(())
}

/// Opens a sealed ticket with the first of our secrets that fits, and checks it against its grant.
pub(crate) fn open_ticket(
    bytes: &[u8],
    secrets: &[Secret],
    us: &OrganisationId,
    chain: &ChainId,
    grant: &GrantId,
    state: &GrantState,
) -> Result<Ticket, TicketError> {
    let mut first = None;
    for secret in secrets {
        match Ticket::open_sealed(bytes, secret, us, chain, grant, &state.grant) {
            Ok(ticket) => return Ok(ticket),
            // Only a key that does not fit is a reason to try another.
            Err(error @ TicketError::Seal(_)) => first = first.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(first.expect("there is at least the present secret"))
}

/// Checks that grant and ticket answer this request: same purpose, nothing more than was asked, same reference, and the
/// grant's own commitment opens to the request.
fn answers(ticket: &Ticket, state: &GrantState, row: &RequestRow) -> Result<(), InboxError> {
    let mismatch = |reason| Err(InboxError::RequestMismatch(reason));
    let signed = URL_SAFE_NO_PAD.decode(&row.signed).ok();
    let request = signed.as_ref().and_then(|signed| {
        let envelope = Sign1::parse(signed, ConsentRequest::LIMIT, ConsentRequest::TYPE).ok()?;
        tegata_consent::cbor::decode::<ConsentRequest>(envelope.payload(), ConsentRequest::LIMIT)
            .ok()
    });
    let (Some(signed), Some(request)) = (signed, request) else {
        return mismatch("the stored request is not readable");
    };
    let Some(salt) = &ticket.request_salt else {
        return mismatch("no salt");
    };
    let grant = &state.grant;
    if grant.request != Some(request_commitment(salt, &signed)) {
        return mismatch("the grant's commitment is to another request");
    }
    if ticket.reference != request.reference {
        return mismatch("another reference");
    }
    if grant.purpose != request.purpose || grant.legal_basis != request.legal_basis {
        return mismatch("another purpose or legal basis");
    }
    if grant
        .categories
        .iter()
        .any(|category| !request.categories.contains(category))
    {
        return mismatch("categories that were not asked for");
    }
    if state.granted_ms >= row.expires_ms {
        return Err(InboxError::RequestExpired);
    }
    Ok(())
}

fn grant_row(
    id: &GrantId,
    ticket: &Ticket,
    state: &GrantState,
    answered: Option<RequestId>,
    reference: String,
) -> GrantRow {
    let grant = &state.grant;
    GrantRow {
        grant: id.to_string(),
        host: ticket.host.to_string(),
        reference,
        unsolicited: answered.is_none(),
        request: answered.map(hex::encode),
        categories: grant.categories.clone(),
        purpose: grant.purpose.clone(),
        legal_basis: grant.legal_basis.clone(),
        retention_days: grant.retention_days,
        until_ms: grant.until_ms,
        uses_max: grant.uses_max,
        received_ms: clock::now_ms(),
    }
}
