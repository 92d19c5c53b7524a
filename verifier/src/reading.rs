//! Readings: access, fetch, open, verify.
//!
//! Architecture invariant: records are given out only while the grant stands in a header under 15 s old, proven after the
//! last page came. There is no answer from memory.

use crate::core::Core;
use crate::events::Event;
use crate::inbox::open_ticket;
use crate::random;
use crate::rows::{
    CopyRow, DrawerSummary, HoldingRow, ReadingRow, RecordSummary, RuleSummary, StoreError,
    TicketRow,
};
use crate::rules::Case;
use crate::verify::{self, Context, Judged, RefusedRecord, VerifiedRecord, signing_keys};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use tegata_consent::deposit::{EMPTY_HEAD, SealedRecord, verify_receipt_chain};
use tegata_consent::entry::{Access, Body, Entry};
use tegata_consent::fetch::FetchRequest;
use tegata_consent::ids::{DrawerId, EntryId, GrantId, Hash, OrganisationId, RecordId, Salt};
use tegata_consent::keys::Secret;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::scope::{Scope, ScopeError};
use tegata_consent::state::{GrantState, Outcome, Refusal};
use tegata_consent::ticket::{Ticket, TicketError};
use tegata_service::clock;
use tegata_service::ledger::LedgerError;

/// How long an access may wait for its block, in milliseconds.
const NOT_AFTER_MS: u64 = 300_000;
/// How long an allowed access is used again after a fetch that failed, in milliseconds. Hosts serve it for ten minutes.
const REUSE_MS: u64 = 480_000;
/// Most pages of one reading.
const PAGES_MAX: usize = 10_000;
/// Most records of one reading.
const RECORDS_MAX: usize = 100_000;

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadingError {
    /// No ticket for this grant.
    #[error("there is no ticket for this grant")]
    NoTicket,
    /// Beyond what the ticket covers.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The ledger refused the access; the refusal is an entry.
    #[error("the ledger refused the access: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The entry.
        access: EntryId,
        /// Its height.
        height: u64,
        /// Its receipt.
        receipt: Vec<u8>,
    },
    /// The grant stopped standing before records could be given out.
    #[error("{0}")]
    NotStanding(Refusal),
    /// The ticket does not open any more.
    #[error("the stored ticket: {0}")]
    Ticket(#[from] TicketError),
    /// The registry does not know the ticket's host, or no address of it.
    #[error("host {0} is not in the registry, or has no address there")]
    NoHost(OrganisationId),
    /// The host does not see fresh headers.
    #[error("the vault's host does not see fresh headers")]
    HostStale,
    /// The host refuses.
    #[error("the vault's host refuses ({status}): {code}")]
    HostRefused {
        /// HTTP status.
        status: u16,
        /// Its code.
        code: String,
    },
    /// The host does not answer, or not what it should.
    #[error("the vault's host: {0}")]
    Host(String),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReadingError {
    /// Whether trying again cannot help.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NoTicket
                | Self::Scope(_)
                | Self::Refused { .. }
                | Self::NotStanding(_)
                | Self::Ticket(_)
        )
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Ledger(LedgerError::Stale { .. }) | Self::HostStale => "stale",
            Self::NotStanding(_) => "not-standing",
            Self::Host(_) | Self::HostRefused { .. } | Self::NoHost(_) => "host",
            _ => "error",
        }
    }
}

/// An access that was allowed.
#[derive(Clone)]
pub(crate) struct OpenAccess {
    receipt_bytes: Vec<u8>,
    receipt: VerifiedReceipt,
    salt: Salt,
    scope: Scope,
}

/// What was read.
pub(crate) struct Reading {
    pub(crate) row: ReadingRow,
    pub(crate) verified: Vec<VerifiedRecord>,
    pub(crate) refused: Vec<RefusedRecord>,
}

/// What part of a grant to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) drawers: Option<Vec<DrawerId>>,
    pub(crate) records: Option<Vec<RecordId>>,
    pub(crate) from_ms: Option<u64>,
    pub(crate) until_ms: Option<u64>,
}

impl Wanted {
    /// The scope of the access: what is wanted, and where nothing is said all that the grant covers.
    fn scope(self, granted: &Scope) -> Result<Scope, ScopeError> {
        let mut scope = Scope {
            drawers: self.drawers.unwrap_or_else(|| granted.drawers.clone()),
            records: self.records.or_else(|| granted.records.clone()),
            from_ms: self.from_ms.or(granted.from_ms),
            until_ms: self.until_ms.or(granted.until_ms),
        };
        scope.drawers.sort_unstable();
        scope.drawers.dedup();
        if let Some(records) = &mut scope.records {
            records.sort_unstable();
            records.dedup();
        }
        scope.check()?;
        scope.within(granted)?;
        Ok(scope)
    }
}

/// Reads under a grant. `standing`: with nobody awake; a grant that stands no more is then not asked under again, and an
/// access whose fetch failed is used again.
pub(crate) async fn read(
    core: &Core,
    grant: GrantId,
    wanted: Wanted,
    standing: bool,
) -> Result<Reading, ReadingError> {
    let result = try_read(core, grant, wanted, standing).await;
    let outcome = result
        .as_ref()
        .map_or_else(ReadingError::outcome, |_| "allowed");
    metrics::counter!("tegata_verifier_readings_total", "outcome" => outcome).increment(1);
    result
}

async fn try_read(
    core: &Core,
    grant: GrantId,
    wanted: Wanted,
    standing: bool,
) -> Result<Reading, ReadingError> {
    let begun_ms = clock::now_ms();
    let known = core
        .store(move |store| store.ticket(&grant))
        .await?
        .ok_or(ReadingError::NoTicket)?;
    let (_, proven) = core.ledger.grant(&grant).await?;
    let state = proven
        .value
        .as_ref()
        .ok_or(ReadingError::NotStanding(Refusal::NoSuchGrant))?;
    let bytes = URL_SAFE_NO_PAD.decode(&known.ticket).unwrap_or_default();
    let ticket = open_ticket(&bytes, &core.secrets, &core.us, &core.chain, &grant, state)?;
    let scope = wanted.scope(&ticket.scope)?;
    let host = core
        .ledger
        .organisation(&ticket.host)
        .await?
        .value
        .ok_or(ReadingError::NoHost(ticket.host))?;
    let base = host
        .organisation
        .url(Role::Host)
        .ok_or(ReadingError::NoHost(ticket.host))?
        .to_owned();
    if standing {
        state
            .standing(clock::now_ms())
            .map_err(ReadingError::NotStanding)?;
    }

    let access = match reusable(core, &grant, &scope, standing) {
        Some(access) => access,
        None => submit(core, grant, scope, &known, standing).await?,
    };
    // At or after the access, so that every record is judged by what stood then or later.
    let (_, consent) = core.ledger.grant(&grant).await?;
    let mut read = Pages {
        verified: Vec::new(),
        refused: Vec::new(),
        receipts: BTreeMap::new(),
    };
    let context = Context {
        chain: &core.chain,
        us: &core.us,
        grant: &grant,
        ticket: &ticket,
        scope: &access.scope,
        salt: &access.salt,
        access: &access.receipt,
        consent: &consent,
        host: Some(&host),
        now_ms: begun_ms,
    };
    if let Err(error) = read.fetch(core, &base, &context).await {
        if matches!(error, ReadingError::HostRefused { .. }) {
            // The host may have seen a revocation before us: then that is the reason.
            still_stands(core, &grant).await?;
        }
        if standing {
            let mut open = core
                .open_accesses
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            open.insert(grant, access);
        }
        return Err(error);
    }
    still_stands(core, &grant).await?;
    let chains = chains(core, &host, &ticket, &access.scope, read.receipts).await?;
    finish(
        core,
        &known,
        &consent,
        access,
        read.verified,
        read.refused,
        chains,
        standing,
    )
    .await
}

/// The newest header is fresh and the grant stands in it.
async fn still_stands(core: &Core, grant: &GrantId) -> Result<(), ReadingError> {
    let (_, proven) = core.ledger.grant(grant).await?;
    let state = proven
        .value
        .ok_or(ReadingError::NotStanding(Refusal::NoSuchGrant))?;
    let now_ms = clock::now_ms().max(proven.header.header().time_ms);
    state.standing(now_ms).map_err(ReadingError::NotStanding)
}

fn reusable(core: &Core, grant: &GrantId, scope: &Scope, standing: bool) -> Option<OpenAccess> {
    let access = core
        .open_accesses
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(grant)?;
    let young = clock::now_ms().saturating_sub(access.receipt.leaf.time_ms) < REUSE_MS;
    (standing && young && access.scope == *scope).then_some(access)
}

/// Signs an access with a fresh key and salt, and has the ledger judge it.
async fn submit(
    core: &Core,
    grant: GrantId,
    scope: Scope,
    known: &TicketRow,
    standing: bool,
) -> Result<OpenAccess, ReadingError> {
    let salt = Salt(random::bytes());
    // Nothing is sealed to this key as long as locks have no committee's layer; it stands in the entry all the same.
    let ephemeral = Secret::new(random::bytes()).seal_key();
    let body = Body::Access(Access {
        grant,
        recipient: core.us,
        commitment: scope.commitment(&salt),
        ephemeral,
    });
    let entry = Entry::sign(
        &core.keys.sign,
        &core.chain,
        clock::now_ms() + NOT_AFTER_MS,
        body,
    );
    let (receipt_bytes, receipt) = core.ledger.submit(&entry.to_bytes()).await?;
    let access = OpenAccess {
        receipt_bytes,
        receipt,
        salt,
        scope,
    };
    let Outcome::Refused(refusal) = access.receipt.leaf.outcome else {
        return Ok(access);
    };
    let row = reading_row(known, &access, refusal.code(), standing);
    core.tell(Event::new("reading", &row));
    let (height, id) = (row.height, access.receipt.entry.id());
    core.store(move |store| store.put_reading(&row, &[], &[]))
        .await?;
    Err(ReadingError::Refused {
        refusal,
        access: id,
        height,
        receipt: access.receipt_bytes,
    })
}

fn reading_row(
    known: &TicketRow,
    access: &OpenAccess,
    outcome: &str,
    standing: bool,
) -> ReadingRow {
    ReadingRow {
        access: access.receipt.entry.id().to_string(),
        grant: known.row.grant.clone(),
        reference: known.row.reference.clone(),
        outcome: outcome.to_owned(),
        height: access.receipt.leaf.height,
        time_ms: access.receipt.leaf.time_ms,
        receipt: URL_SAFE_NO_PAD.encode(&access.receipt_bytes),
        standing,
        records: Vec::new(),
        drawers: Vec::new(),
    }
}

/// Records as their pages come in; ciphertext is dropped page by page.
struct Pages {
    verified: Vec<VerifiedRecord>,
    refused: Vec<RefusedRecord>,
    /// By drawer, in the order in which the host gave them.
    receipts: BTreeMap<DrawerId, Vec<minicbor::bytes::ByteVec>>,
}

impl Pages {
    async fn fetch(
        &mut self,
        core: &Core,
        base: &str,
        context: &Context<'_>,
    ) -> Result<(), ReadingError> {
        let mut request = FetchRequest {
            access: context.access.entry.id(),
            salt: *context.salt,
            scope: context.scope.clone(),
            after: None,
        };
        for _ in 0..PAGES_MAX {
            let page = crate::host::fetch(&core.client, &core.signer, base, &request).await?;
            for sealed in &page.records {
                self.take(core, sealed, context).await?;
            }
            if self.verified.len() + self.refused.len() > RECORDS_MAX {
                return Err(ReadingError::Host(format!(
                    "it hands out more than {RECORDS_MAX} records"
                )));
            }
            if page.next.is_none() {
                return Ok(());
            }
            if page.next == request.after {
                return Err(ReadingError::Host("its pages do not end".into()));
            }
            request.after = page.next;
        }
        Err(ReadingError::Host(format!(
            "it has more than {PAGES_MAX} pages"
        )))
    }

    async fn take(
        &mut self,
        core: &Core,
        sealed: &SealedRecord,
        context: &Context<'_>,
    ) -> Result<(), ReadingError> {
        let depositor = match verify::depositor_of(sealed, context.chain) {
            Some(id) => core.ledger.organisation(&id).await?.value,
            None => None,
        };
        let examined = verify::examine(sealed, depositor.as_ref(), context);
        let list = match (examined.status(), &depositor) {
            (Some(reference), Some(issuer)) => {
                Some(core.lists.get(issuer, &reference.uri, context.now_ms).await)
            }
            _ => None,
        };
        let judged = examined.conclude(
            list.as_ref()
                .map(|list| list.as_ref().map(AsRef::as_ref).map_err(Clone::clone)),
        );
        let (outcome, checks, drawer) = match &judged {
            Judged::Verified(record) => ("verified", record.checks(), Some(record.drawer())),
            Judged::Refused(record) => ("refused", record.checks.as_slice(), record.drawer),
        };
        metrics::counter!("tegata_verifier_records_total", "outcome" => outcome).increment(1);
        for check in checks
            .iter()
            .filter(|check| !check.holds && check.not_reached.is_none())
        {
            metrics::counter!("tegata_verifier_check_failures_total", "check" => check.check.name()).increment(1);
        }
        if let (Some(drawer), Some(receipt)) = (drawer, &sealed.receipt) {
            self.receipts
                .entry(drawer)
                .or_default()
                .push(receipt.clone());
        }
        // A host that gives a record twice would have it counted twice.
        let again = |record: Option<RecordId>| {
            record.is_some_and(|id| self.verified.iter().any(|known| known.record() == id))
        };
        match judged {
            Judged::Verified(record) if again(Some(record.record())) => {}
            Judged::Verified(record) => self.verified.push(*record),
            Judged::Refused(record) => self.refused.push(record),
        }
        Ok(())
    }
}

/// A drawer's receipts: what is said of them, and their number and head where they are complete.
type Chain = (DrawerSummary, Option<(DrawerId, (u64, Hash))>);

/// For drawers that were asked for whole: whether their receipts are one chain that continues what was seen before.
async fn chains(
    core: &Core,
    host: &OrganisationState,
    ticket: &Ticket,
    scope: &Scope,
    mut receipts: BTreeMap<DrawerId, Vec<minicbor::bytes::ByteVec>>,
) -> Result<Vec<Chain>, ReadingError> {
    let whole = scope.records.is_none() && scope.from_ms.is_none() && scope.until_ms.is_none();
    let drawers: Vec<_> = ticket
        .drawers
        .iter()
        .map(|drawer| drawer.id)
        .filter(|id| whole && scope.drawers.contains(id))
        .collect();
    let keys = signing_keys(host);
    let mut all = Vec::with_capacity(drawers.len());
    for drawer in drawers {
        let seen = core
            .store(move |store| store.chain(&drawer))
            .await?
            .unwrap_or((0, EMPTY_HEAD));
        let found = receipts.remove(&drawer).unwrap_or_default();
        let (complete, reason, chain) =
            match verify_receipt_chain(&core.chain, &keys, &drawer, &found, seen) {
                Ok((receipts, head)) => {
                    let reason = format!(
                        "{} receipts in one chain, {} of them seen before",
                        receipts.len(),
                        seen.0
                    );
                    (true, reason, Some((drawer, (receipts.len() as u64, head))))
                }
                Err(error) => (false, error.to_string(), None),
            };
        all.push((
            DrawerSummary {
                drawer: drawer.to_string(),
                complete,
                reason,
            },
            chain,
        ));
    }
    Ok(all)
}

#[expect(
    clippy::too_many_arguments,
    reason = "all that a reading found out, in one place at its end"
)]
async fn finish(
    core: &Core,
    known: &TicketRow,
    consent: &Proven<GrantState>,
    access: OpenAccess,
    verified: Vec<VerifiedRecord>,
    refused: Vec<RefusedRecord>,
    chains: Vec<Chain>,
    standing: bool,
) -> Result<Reading, ReadingError> {
    let superseded: BTreeMap<_, _> = verify::superseded(&verified).into_iter().collect();
    let mut row = reading_row(known, &access, "allowed", standing);
    for record in &verified {
        let superseded_by = superseded.get(&record.record()).copied();
        let case = Case {
            purpose: &known.row.purpose,
            reference: &known.row.reference,
            unsolicited: known.row.unsolicited,
            superseded_by,
        };
        let rules = if standing {
            core.rules.judge(record, &case)
        } else {
            Vec::new()
        };
        row.records.push(RecordSummary {
            record: Some(record.record().to_string()),
            record_type: Some(record.record_type().id().to_owned()),
            verified: true,
            checks: record.checks().to_vec(),
            superseded_by: superseded_by.map(|id| id.to_string()),
            rules: rules
                .into_iter()
                .map(|(rule, verdict)| RuleSummary {
                    rule: rule.to_owned(),
                    verdict,
                })
                .collect(),
        });
    }
    row.records
        .extend(refused.iter().map(|record| RecordSummary {
            record: record.record.map(|id| id.to_string()),
            record_type: None,
            verified: false,
            checks: record.checks.clone(),
            superseded_by: None,
            rules: Vec::new(),
        }));
    let (drawers, chains): (Vec<_>, Vec<_>) = chains.into_iter().unzip();
    row.drawers = drawers;
    let chains: Vec<_> = chains.into_iter().flatten().collect();

    let retention_days = consent
        .value
        .as_ref()
        .map_or(0, |state| state.grant.retention_days);
    let copies: Vec<_> = verified
        .iter()
        .map(|record| {
            let copy = copy_row(record, &known.row.grant, retention_days);
            (copy, holding_row(record, &access))
        })
        .collect();
    let kept = row.clone();
    let held: Vec<_> = verified
        .iter()
        .filter(|_| retention_days > 0)
        .filter_map(|record| {
            let status = record.status()?;
            Some((
                record.issuer(),
                status.uri.clone(),
                record.record(),
                status.index,
            ))
        })
        .collect();
    core.store(move |store| {
        store.put_reading(
            &kept,
            if retention_days == 0 { &[] } else { &copies },
            &chains,
        )
    })
    .await?;
    if let Ok(grant) = row.grant.parse() {
        core.recalls.hold(grant, held);
    }
    core.tell(Event::new(
        "reading",
        &json!({
            "access": row.access,
            "grant": row.grant,
            "reference": row.reference,
            "outcome": row.outcome,
            "height": row.height,
            "standing": standing,
            "verified": verified.len(),
            "refused": refused.len(),
        }),
    ));
    Ok(Reading {
        row,
        verified,
        refused,
    })
}

/// What is needed to find out that a record was recalled, and to confirm that its copy was dropped.
fn holding_row(record: &VerifiedRecord, access: &OpenAccess) -> Option<HoldingRow> {
    let status = record.status()?;
    Some(HoldingRow {
        issuer: record.issuer().to_string(),
        uri: status.uri.clone(),
        index: status.index,
        access: access.receipt.entry.id().to_string(),
        salt: hex::encode(access.salt.0),
        dropped_ms: None,
        confirmed_ms: None,
    })
}

fn copy_row(record: &VerifiedRecord, grant: &str, retention_days: u32) -> CopyRow {
    let read_ms = clock::now_ms();
    CopyRow {
        record: record.record().to_string(),
        grant: grant.to_owned(),
        record_type: record.record_type().id().to_owned(),
        date_ms: record.date_ms(),
        issuer: record.issuer().to_string(),
        claims: record.claims().clone(),
        credential: record.credential().to_owned(),
        read_ms,
        delete_ms: read_ms.saturating_add(u64::from(retention_days) * 86_400_000),
        replaces: record.replaces().map(|id| id.to_string()),
    }
}
