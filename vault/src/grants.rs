//! Carrying a citizen's grants and revocations to the ledger.
//!
//! A submission is on disk before the ledger hears of it, and its order counts only after the ledger has made it final. So a
//! crash at any point leaves a submission that is finished later, or one that the ledger will never take and that is
//! forgotten.

use crate::admission::NotNow;
use crate::host::Host;
use crate::ledger::Proof;
use crate::rows::{OrderRow, RevocationRow, SubmissionRow};
use crate::store::{PendingKind, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::cbor::{self, CborError};
use tegata_consent::codes::{self, CodeError};
use tegata_consent::entry::{Body, Entry, EntryError, Grant};
use tegata_consent::ids::{DrawerId, GrantId, OrganisationId, VaultId};
use tegata_consent::lock::Sealed;
use tegata_consent::order::{GrantSubmission, Order, OrderError};
use tegata_consent::scope::Scope;
use tegata_service::ledger::LedgerError;

/// Longest sealed ticket in bytes.
const TICKET_LIMIT: usize = 64 * 1024;
/// Between two looks at what is not final yet.
const PENDING_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause while the ledger does not answer.
const PENDING_PAUSE_MAX: Duration = Duration::from_secs(20);

/// Why a grant or revocation is not carried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantRefused {
    /// The entry or a signature.
    #[error("entry: {0}")]
    Entry(#[from] EntryError),
    /// Something else than what belongs here.
    #[error("the entry is not a {0}")]
    Kind(&'static str),
    /// Countersigned by somebody already.
    #[error("the entry carries a countersignature; the host adds its own")]
    Countersigned,
    /// For another sponsor.
    #[error("the entry names sponsor {0}")]
    OtherSponsor(OrganisationId),
    /// A text that is of no list.
    #[error("entry: {0}")]
    Code(#[from] CodeError),
    /// The order.
    #[error("order: {0}")]
    Order(#[from] OrderError),
    /// No order, and not for one use: only the grant of a presentation goes without.
    #[error("the grant has no order, and is not for one use")]
    NoOrder,
    /// A drawer that is not the vault's.
    #[error("drawer {0} is not this vault's")]
    OtherDrawer(DrawerId),
    /// A drawer of a category that the grant does not name.
    #[error("drawer {drawer} is of category {category:?}, which the grant does not name")]
    Category {
        /// Which drawer.
        drawer: DrawerId,
        /// Its category.
        category: String,
    },
    /// Not a sealed ticket.
    #[error("ticket: {0}")]
    Ticket(CborError),
    /// Another entry under the same key is here already.
    #[error("grant {0} was submitted with another entry")]
    OtherEntry(GrantId),
    /// Another vault's.
    #[error("grant {0} is another vault's")]
    OtherVault(GrantId),
    /// The vault gave as many as it may.
    #[error("this vault gave {0} grants and can give no more")]
    Full(u64),
    /// Too many within the hour.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GrantRefused {
    /// A stable word for programs, where it is not the ledger's or the store's.
    #[must_use]
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Entry(_) => "entry",
            Self::Kind(_) => "entry-kind",
            Self::Countersigned => "entry-countersigned",
            Self::OtherSponsor(_) => "entry-sponsor",
            Self::Code(_) => "entry-code",
            Self::Order(_) | Self::NoOrder => "order",
            Self::OtherDrawer(_) => "order-drawer",
            Self::Category { .. } => "order-category",
            Self::Ticket(_) => "ticket",
            Self::OtherEntry(_) => "grant-exists",
            Self::OtherVault(_) => "grant-vault",
            Self::Full(_) => "grants-full",
            Self::NotNow(not_now) => not_now.code(),
            Self::Ledger(_) => "ledger",
            Self::Store(_) => "store",
        }
    }
}

/// A receipt, and whether it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) receipt: Vec<u8>,
    pub(crate) new: bool,
}

/// Carries a grant: note, submit, keep the order, put the ticket into the outbox.
pub(crate) async fn grant(
    host: &Arc<Host>,
    vault: VaultId,
    submission: GrantSubmission,
) -> Result<Carried, GrantRefused> {
    let (id, row) = host
        .block(move |host| read_grant(host, vault, &submission))
        .await?;
    let _guard = host.grant_lock(&id).await;
    if let Some(found) = host.store.submission(&id)? {
        if found.vault != vault {
            return Err(GrantRefused::OtherVault(id));
        }
        if found.id != row.id {
            return Err(GrantRefused::OtherEntry(id));
        }
        if let Some(receipt) = host.store.granted(&id)? {
            return Ok(Carried {
                receipt,
                new: false,
            });
        }
    } else {
        host.block(move |host| begin(host, &id, &row)).await?;
    }
    let receipt = finish_grant(host, id).await?;
    Ok(Carried { receipt, new: true })
}

/// Notes a new grant, where the vault may give one more.
fn begin(host: &Host, id: &GrantId, row: &SubmissionRow) -> Result<(), GrantRefused> {
    let most = host.limits.grants_max;
    if host.store.grants_full(&row.vault, most)? {
        return Err(GrantRefused::Full(most));
    }
    host.admission
        .grant(row.vault, &host.limits, host.now_ms())?;
    Ok(host.store.begin_grant(id, row)?)
}

/// Checks a submission and countersigns its entry.
fn read_grant(
    host: &Host,
    vault: VaultId,
    submission: &GrantSubmission,
) -> Result<(GrantId, SubmissionRow), GrantRefused> {
    let verified = Entry::parse(&submission.entry)?.verify(&host.chain)?;
    let entry = verified.entry();
    let Body::Grant(grant) = entry.body() else {
        return Err(GrantRefused::Kind("grant"));
    };
    check_sponsor(host, entry, &grant.sponsor)?;
    codes::check(&grant.categories, &grant.purpose, &grant.legal_basis)?;
    let id = GrantId(entry.signer().0);
    if submission.is_of_presentation() {
        if grant.uses_max != Some(1) {
            return Err(GrantRefused::NoOrder);
        }
    } else {
        let order = Order::verify(&submission.order, &host.chain, &id, grant, &host.id)?;
        check_drawers(host, &vault, grant, &order)?;
        cbor::decode::<Sealed>(&submission.ticket, TICKET_LIMIT).map_err(GrantRefused::Ticket)?;
    }
    let row = SubmissionRow {
        vault,
        id: verified.id(),
        entry: entry
            .clone()
            .countersign(&host.keys.sign, &host.chain)
            .to_bytes()
            .into(),
        order: submission.order.clone(),
        ticket: submission.ticket.clone(),
    };
    Ok((id, row))
}

fn check_sponsor(host: &Host, entry: &Entry, sponsor: &OrganisationId) -> Result<(), GrantRefused> {
    if !entry.countersigners().is_empty() {
        return Err(GrantRefused::Countersigned);
    }
    if *sponsor != host.id {
        return Err(GrantRefused::OtherSponsor(*sponsor));
    }
    Ok(())
}

/// The order opens this vault's drawers alone, and only of categories that the person put on the ledger.
fn check_drawers(
    host: &Host,
    vault: &VaultId,
    grant: &Grant,
    order: &Order,
) -> Result<(), GrantRefused> {
    for id in &order.scope.drawers {
        let row = host
            .store
            .drawer(id)?
            .filter(|row| row.vault == *vault)
            .ok_or(GrantRefused::OtherDrawer(*id))?;
        let category = row.drawer.category;
        if !grant.categories.contains(&category) {
            return Err(GrantRefused::Category {
                drawer: *id,
                category,
            });
        }
    }
    Ok(())
}

/// Brings a noted grant to its end. The grant's lock is held.
async fn finish_grant(host: &Arc<Host>, id: GrantId) -> Result<Vec<u8>, GrantRefused> {
    let damaged = || StoreError::Damaged(format!("submission of {id}"));
    let row = host.store.submission(&id)?.ok_or_else(damaged)?;
    let (receipt, verified) = match submit(host, &row.entry, &row.id).await {
        Ok(proof) => proof,
        Err(error) => {
            if is_final_refusal(&error) {
                host.block(move |host| host.store.drop_grant(&id)).await?;
            }
            return Err(error.into());
        }
    };
    let Body::Grant(grant) = verified.entry.entry().body() else {
        return Err(GrantRefused::Kind("grant"));
    };
    // The grant of a presentation has no order: it opens nothing, and nobody hears of it from here.
    let scope = if row.order.is_empty() {
        Scope::of_drawers(Vec::new())
    } else {
        Order::verify(&row.order, &host.chain, &id, grant, &host.id)?.scope
    };
    let order = OrderRow {
        vault: row.vault,
        recipient: grant.recipient,
        until_ms: grant.until_ms,
        scope,
    };
    host.block(move |host| {
        host.store
            .finish_grant(&id, &receipt, &order)
            .map(|()| receipt)
    })
    .await
    .map_err(Into::into)
    .inspect(|_| {
        metrics::counter!("tegata_vault_grants_total").increment(1);
        host.outbox_bell.notify_one();
    })
}

/// Carries a revocation. Any vault may bring one: what counts is the grant's own signature.
pub(crate) async fn revocation(
    host: &Arc<Host>,
    vault: VaultId,
    bytes: &[u8],
) -> Result<Carried, GrantRefused> {
    let verified = Entry::parse(bytes)?.verify(&host.chain)?;
    let entry = verified.entry();
    let Body::Revocation(revocation) = entry.body() else {
        return Err(GrantRefused::Kind("revocation"));
    };
    let id = revocation.grant;
    if entry.signer() != id.key() {
        let error = tegata_consent::cose::CoseError::Signer {
            found: entry.signer(),
            expected: id.key(),
        };
        return Err(EntryError::from(error).into());
    }
    check_sponsor(host, entry, &revocation.sponsor)?;
    let _guard = host.grant_lock(&id).await;
    if let Some(receipt) = host.store.revoked(&id)? {
        return Ok(Carried {
            receipt,
            new: false,
        });
    }
    let before = host.store.revocation(&id)?;
    if let Some(before) = before.filter(|before| before.id != verified.id())
        && let Some((receipt, _)) = host.ledger.receipt(&before.id).await?
    {
        let receipt = keep_revocation(host, id, receipt).await?;
        return Ok(Carried { receipt, new: true });
    }
    let entry = entry
        .clone()
        .countersign(&host.keys.sign, &host.chain)
        .to_bytes();
    let row = RevocationRow {
        vault,
        id: verified.id(),
        entry: entry.into(),
    };
    // A newer revocation replaces one that has not arrived: both say the same, and the newer one lives longer.
    host.block(move |host| host.store.begin_revocation(&id, &row))
        .await?;
    let receipt = finish_revocation(host, id).await?;
    Ok(Carried { receipt, new: true })
}

/// Carries a report that an organisation asked for more than it may. Nothing is kept here: who reports sends again.
pub(crate) async fn over_asking(
    host: &Arc<Host>,
    vault: VaultId,
    bytes: &[u8],
) -> Result<Carried, GrantRefused> {
    let verified = Entry::parse(bytes)?.verify(&host.chain)?;
    let entry = verified.entry();
    let Body::OverAsking(report) = entry.body() else {
        return Err(GrantRefused::Kind("report of over-asking"));
    };
    check_sponsor(host, entry, &report.sponsor)?;
    host.admission.report(vault, &host.limits, host.now_ms())?;
    let entry = entry
        .clone()
        .countersign(&host.keys.sign, &host.chain)
        .to_bytes();
    let (receipt, _) = submit(host, &entry, &verified.id()).await?;
    metrics::counter!("tegata_vault_over_askings_total").increment(1);
    Ok(Carried { receipt, new: true })
}

/// Brings a noted revocation to its end. The grant's lock is held.
async fn finish_revocation(host: &Arc<Host>, id: GrantId) -> Result<Vec<u8>, GrantRefused> {
    let damaged = || StoreError::Damaged(format!("revocation of {id}"));
    let row = host.store.revocation(&id)?.ok_or_else(damaged)?;
    match submit(host, &row.entry, &row.id).await {
        Ok((receipt, _)) => Ok(keep_revocation(host, id, receipt).await?),
        Err(error) => {
            if is_final_refusal(&error) {
                host.block(move |host| host.store.drop_revocation(&id))
                    .await?;
            }
            Err(error.into())
        }
    }
}

async fn keep_revocation(
    host: &Arc<Host>,
    id: GrantId,
    receipt: Vec<u8>,
) -> Result<Vec<u8>, StoreError> {
    let keep = move |host: &Host| {
        let kept = host.store.finish_revocation(&id, &receipt);
        kept.map(|()| receipt)
    };
    let receipt = host.block(keep).await?;
    metrics::counter!("tegata_vault_revocations_total").increment(1);
    Ok(receipt)
}

/// Submits an entry. One that the ledger does not admit may be in the log from an earlier attempt: then that counts.
async fn submit(
    host: &Host,
    entry: &[u8],
    id: &tegata_consent::ids::EntryId,
) -> Result<Proof, LedgerError> {
    match host.ledger.submit(entry).await {
        Err(error) if is_final_refusal(&error) => host.ledger.receipt(id).await?.ok_or(error),
        other => other,
    }
}

const fn is_final_refusal(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Inadmissible { .. } | LedgerError::Malformed { .. }
    )
}

/// Finishes, now and for as long as the host runs, what a crash or a silent ledger left unfinished.
pub(crate) async fn finish_pending(host: Arc<Host>) {
    let mut pause = PENDING_PAUSE;
    loop {
        pause = match finish_all(&host).await {
            Ok(()) => PENDING_PAUSE,
            Err(error) => {
                tracing::warn!(%error, "entries wait for the ledger");
                (pause * 2).min(PENDING_PAUSE_MAX)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One round over what is not final yet. Stops where the ledger does not answer.
pub(crate) async fn finish_all(host: &Arc<Host>) -> Result<(), GrantRefused> {
    for (kind, id) in host.block(|host| host.store.pending()).await? {
        let _guard = host.grant_lock(&id).await;
        let done = match kind {
            PendingKind::Grant
                if host.store.submission(&id)?.is_none() || host.store.granted(&id)?.is_some() =>
            {
                continue;
            }
            PendingKind::Revocation
                if host.store.revocation(&id)?.is_none() || host.store.revoked(&id)?.is_some() =>
            {
                continue;
            }
            PendingKind::Grant => finish_grant(host, id).await,
            PendingKind::Revocation => finish_revocation(host, id).await,
        };
        match done {
            Ok(_) => tracing::info!(?kind, "an unfinished entry is final now"),
            Err(GrantRefused::Ledger(error)) if is_final_refusal(&error) => {
                tracing::info!(?kind, "an unfinished entry is not admitted and was dropped");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
