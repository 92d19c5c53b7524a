//! From a sealed record to a verified one. Pure: no clock, no network; what the registry, the ledger and status lists say
//! is handed in, already proven.
//!
//! [`examine`] opens a record and makes every check that needs no status list; [`Examination::conclude`] makes the last one
//! and gives either a [`VerifiedRecord`], for which **every** check holds, or a [`RefusedRecord`], which has no claims.

mod credential;
mod papers;
mod report;

pub use report::{Check, CheckName};

pub(crate) use credential::credential_keys;
pub(crate) use papers::signing_keys;
pub(crate) use report::Fault;

use report::{Report, fails};
use serde_json::Value;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, SealedRecord};
use tegata_consent::ids::{ChainId, DrawerId, GrantId, OrganisationId, RecordId, Salt};
use tegata_consent::keys::Secret;
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::organisation::{Name, OrganisationState};
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::scope::Scope;
use tegata_consent::sealing;
use tegata_consent::state::GrantState;
use tegata_consent::ticket::Ticket;
use tegata_credential::sd_jwt::{StatusReference, VerifiedSdJwt};
use tegata_credential::status_list::VerifiedStatusList;
use tegata_records::{RecordType, catalogue};

/// What is the same for all records of one reading.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Which ledger.
    pub chain: &'a ChainId,
    /// Who reads.
    pub us: &'a OrganisationId,
    /// Under which grant.
    pub grant: &'a GrantId,
    /// Its ticket, which was checked against the grant when it came in.
    pub ticket: &'a Ticket,
    /// What the access asked for.
    pub scope: &'a Scope,
    /// Opens the access's commitment.
    pub salt: &'a Salt,
    /// The access with its outcome, proven.
    pub access: &'a VerifiedReceipt,
    /// What stands under the grant, proven at or after the access.
    pub consent: &'a Proven<GrantState>,
    /// The ticket's host, as proven; absent: not registered.
    pub host: Option<&'a OrganisationState>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A drawer that the ticket opens.
pub(crate) struct InvitedDrawer<'a> {
    reader: Secret,
    category: &'a str,
}

/// A part of a record beside its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Media type.
    pub media_type: String,
    /// File name.
    pub name: Option<String>,
    /// Length in bytes.
    pub length: u64,
}

/// A record for which every check holds. Nothing but [`Examination::conclude`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedRecord {
    drawer: DrawerId,
    record: RecordId,
    date_ms: u64,
    issuer: OrganisationId,
    issuer_name: Name,
    record_type: &'static RecordType,
    credential: VerifiedSdJwt,
    text: String,
    attachments: Vec<Attachment>,
    replaces: Option<RecordId>,
    checks: Vec<Check>,
}

impl VerifiedRecord {
    /// Its drawer.
    #[must_use]
    pub const fn drawer(&self) -> DrawerId {
        self.drawer
    }
    /// Its id.
    #[must_use]
    pub const fn record(&self) -> RecordId {
        self.record
    }
    /// Its date, in milliseconds since 1970.
    #[must_use]
    pub const fn date_ms(&self) -> u64 {
        self.date_ms
    }
    /// Who signed and deposited it.
    #[must_use]
    pub const fn issuer(&self) -> OrganisationId {
        self.issuer
    }
    /// The issuer's name in the registry.
    #[must_use]
    pub const fn issuer_name(&self) -> &Name {
        &self.issuer_name
    }
    /// Its type.
    #[must_use]
    pub const fn record_type(&self) -> &'static RecordType {
        self.record_type
    }
    /// What the issuer says of the person.
    #[must_use]
    pub fn claims(&self) -> &Value {
        self.credential.claims()
    }
    /// The credential as it was signed (SD-JWT, compact).
    #[must_use]
    pub fn credential(&self) -> &str {
        &self.text
    }
    /// Where its status is published.
    #[must_use]
    pub fn status(&self) -> Option<&StatusReference> {
        self.credential.status()
    }
    /// What lies beside the credential.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }
    /// The record that this one corrects.
    #[must_use]
    pub const fn replaces(&self) -> Option<RecordId> {
        self.replaces
    }
    /// All checks; each holds.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }
}

/// A record that must not be relied on. It has no claims.
#[derive(Debug, Clone)]
pub struct RefusedRecord {
    /// Its drawer, as far as it can be known.
    pub drawer: Option<DrawerId>,
    /// Its id, as far as it can be known.
    pub record: Option<RecordId>,
    /// All checks, at least one of which does not hold.
    pub checks: Vec<Check>,
    /// Nothing was found wrong, but something could not be checked now.
    pub may_hold_later: bool,
}

/// What became of a record.
#[derive(Debug, Clone)]
pub enum Judged {
    /// Every check holds.
    Verified(Box<VerifiedRecord>),
    /// Some check does not.
    Refused(RefusedRecord),
}

/// A record after all checks but `not-revoked`.
#[derive(Debug)]
pub struct Examination {
    deposit: Option<Deposit>,
    opened: Option<Opened>,
    issuer_name: Option<Name>,
    report: Report,
}

#[derive(Debug)]
struct Opened {
    credential: VerifiedSdJwt,
    text: String,
    attachments: Vec<Attachment>,
    replaces: Option<RecordId>,
    record_type: Option<&'static RecordType>,
}

/// Who is said to have deposited a record: whom to look up in the registry.
#[must_use]
pub fn depositor_of(sealed: &SealedRecord, chain: &ChainId) -> Option<OrganisationId> {
    Deposit::open(&sealed.deposit, chain)
        .ok()
        .map(|(deposit, _)| deposit.depositor)
}

/// Opens a record and makes all checks but `not-revoked`. `depositor` is what the registry proves about
/// [`depositor_of`]; absent: it is not registered.
#[must_use]
pub fn examine(
    sealed: &SealedRecord,
    depositor: Option<&OrganisationState>,
    context: &Context<'_>,
) -> Examination {
    let mut report = Report::default();
    report.note(CheckName::ConsentProof, papers::consent_proof(context));
    let deposit = match Deposit::open(&sealed.deposit, context.chain) {
        Ok((deposit, _)) => deposit,
        Err(error) => {
            report.note(CheckName::DepositSignature, fails(error));
            not_reached(&mut report, CheckName::DepositSignature);
            return Examination {
                deposit: None,
                opened: None,
                issuer_name: None,
                report,
            };
        }
    };
    let opened = examine_deposit(sealed, &deposit, depositor, context, &mut report);
    let issuer_name = depositor.map(|depositor| depositor.organisation.name.clone());
    Examination {
        deposit: Some(deposit),
        opened,
        issuer_name,
        report,
    }
}

fn examine_deposit(
    sealed: &SealedRecord,
    deposit: &Deposit,
    depositor: Option<&OrganisationState>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Opened> {
    let receipt = papers::receipt(context, sealed, deposit);
    // Without a receipt that holds the record is refused anyway; the other checks are then made as of this moment, to say all that is wrong.
    let received_ms = receipt
        .as_ref()
        .map_or(context.now_ms, |receipt| receipt.received_ms);
    report.note(
        CheckName::Receipt,
        receipt.map(|receipt| {
            format!(
                "number {} of its drawer, received at {received_ms} ms",
                receipt.sequence
            )
        }),
    );

    let lock = Lock::parse(&sealed.lock);
    let signed =
        papers::deposit_signature(context, sealed, lock.as_ref().ok(), depositor, received_ms);
    report.note(CheckName::DepositSignature, signed);

    let invitation = papers::invitation(context, sealed, deposit, received_ms);
    let drawer = papers::scope(context, deposit);

    let framed = open_file(
        sealed,
        deposit,
        lock.or_else(fails),
        drawer.as_ref().ok(),
        context.chain,
        report,
    );
    let unframed = framed.as_ref().map(|plaintext| sealing::unframe(plaintext));
    let (manifest, parts) = match &unframed {
        Some(Ok((manifest, parts))) => (Some(manifest), parts.as_slice()),
        _ => (None, [].as_slice()),
    };

    let invited = match (&invitation, manifest) {
        (Ok(invitation), Some(manifest)) => papers::invited_type(invitation, &manifest.record_type),
        (Ok(invitation), None) => Ok(format!("signed by vault {}", invitation.vault)),
        (Err(fault), _) => Err(fault.clone()),
    };
    report.note(CheckName::Invitation, invited);
    let record_type = manifest.and_then(|manifest| catalogue().by_id(&manifest.record_type));
    report.note(
        CheckName::Scope,
        drawer
            .as_ref()
            .map_err(Fault::clone)
            .and_then(|drawer| papers::category(drawer, record_type)),
    );

    let text = match &unframed {
        None => Err(Fault::NotReached(CheckName::File)),
        Some(Err(error)) => fails(error),
        Some(Ok((manifest, parts))) => credential::manifest(deposit, manifest, parts),
    };
    let Some(manifest) = manifest else {
        report.note(CheckName::Manifest, text.map(|_| String::new()));
        not_reached(report, CheckName::Manifest);
        return None;
    };
    report.note(
        CheckName::Manifest,
        text.as_ref()
            .map(|_| "ids and date agree with the deposit".into())
            .map_err(Fault::clone),
    );
    let Ok(text) = text else {
        not_reached(report, CheckName::Manifest);
        return None;
    };

    let verified = papers::registered(depositor, deposit).and_then(|depositor| {
        Ok((
            depositor,
            credential::issuer_signature(&text, depositor, context.now_ms)?,
        ))
    });
    let (depositor, credential) = match verified {
        Ok(verified) => verified,
        Err(fault) => {
            report.note(CheckName::IssuerSignature, Err(fault));
            not_reached(report, CheckName::IssuerSignature);
            return None;
        }
    };
    let signed = format!(
        "signed by {} with key {}",
        depositor.organisation.name.en,
        credential.issuer_key().key_id()
    );
    report.note(CheckName::IssuerSignature, Ok(signed));
    report.note(
        CheckName::IssuerAccredited,
        credential::issuer_accredited(&credential, depositor, received_ms),
    );
    report.note(
        CheckName::HolderKey,
        invitation
            .as_ref()
            .map_err(|_| Fault::NotReached(CheckName::Invitation))
            .and_then(|invitation| credential::holder_key(&credential, invitation)),
    );
    let record_type = credential::schema(&credential, manifest);
    let fits = record_type
        .as_ref()
        .map(|known| format!("the claims fit {}", known.vct()))
        .map_err(Fault::clone);
    report.note(CheckName::Schema, fits);

    let attachments = manifest.parts.iter().zip(parts).skip(1);
    let attachment = |(part, content): (&sealing::Part, &&[u8])| Attachment {
        media_type: part.media_type.clone(),
        name: part.name.clone(),
        length: content.len() as u64,
    };
    Some(Opened {
        attachments: attachments.map(attachment).collect(),
        replaces: manifest.replaces,
        record_type: record_type.ok(),
        credential,
        text,
    })
}

/// Opens lock and file.
fn open_file(
    sealed: &SealedRecord,
    deposit: &Deposit,
    lock: Result<Lock, Fault>,
    drawer: Option<&InvitedDrawer<'_>>,
    chain: &ChainId,
    report: &mut Report,
) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let label = LockLabel::new(*chain, deposit.drawer, deposit.record, deposit.date_ms);
    let record_key = lock.and_then(|lock| match drawer {
        Some(drawer) => lock.open(&drawer.reader, &label).or_else(fails),
        None => Err(Fault::NotReached(CheckName::Scope)),
    });
    report.note(
        CheckName::Lock,
        record_key
            .as_ref()
            .map(|_| "the reader key opens it".into())
            .map_err(Fault::clone),
    );
    let file = match &record_key {
        Ok(record_key) => sealing::open(&sealed.file, record_key).or_else(fails),
        Err(_) => Err(Fault::NotReached(CheckName::Lock)),
    };
    report.note(
        CheckName::File,
        file.as_ref()
            .map(|_| "the record key opens it".into())
            .map_err(Fault::clone),
    );
    file.ok()
}

/// Notes every check that was not made as not reached because of `cause`.
fn not_reached(report: &mut Report, cause: CheckName) {
    for check in CheckName::ALL {
        if !report.noted(check) {
            report.note(check, Err(Fault::NotReached(cause)));
        }
    }
}

impl Examination {
    /// The status list to ask for, where the credential is signed and names one.
    #[must_use]
    pub fn status(&self) -> Option<&StatusReference> {
        self.opened
            .as_ref()
            .and_then(|opened| opened.credential.status())
    }

    /// Makes the last check, with what the issuer's status list says.
    pub(crate) fn conclude(mut self, list: Option<Result<&VerifiedStatusList, Fault>>) -> Judged {
        if let Some(opened) = &self.opened {
            self.report.note(
                CheckName::NotRevoked,
                credential::not_revoked(&opened.credential, list),
            );
        }
        let may_hold_later = self.report.may_hold_later();
        let (checks, all_hold) = self.report.finish();
        match (self.deposit, self.opened, self.issuer_name, all_hold) {
            (
                Some(deposit),
                Some(Opened {
                    credential,
                    text,
                    attachments,
                    replaces,
                    record_type: Some(record_type),
                }),
                Some(issuer_name),
                true,
            ) => Judged::Verified(Box::new(VerifiedRecord {
                drawer: deposit.drawer,
                record: deposit.record,
                date_ms: deposit.date_ms,
                issuer: deposit.depositor,
                issuer_name,
                record_type,
                credential,
                text,
                attachments,
                replaces,
                checks,
            })),
            (deposit, ..) => Judged::Refused(RefusedRecord {
                drawer: deposit.as_ref().map(|deposit| deposit.drawer),
                record: deposit.as_ref().map(|deposit| deposit.record),
                checks,
                may_hold_later,
            }),
        }
    }
}

/// For each verified record that another of them corrects: which one does. Only the same issuer corrects.
#[must_use]
pub fn superseded(records: &[VerifiedRecord]) -> Vec<(RecordId, RecordId)> {
    let corrects = |newer: &VerifiedRecord| {
        let older = newer.replaces?;
        let theirs =
            |record: &&VerifiedRecord| record.record == older && record.issuer == newer.issuer;
        records
            .iter()
            .find(theirs)
            .map(|older| (older.record, newer.record))
    };
    records.iter().filter_map(corrects).collect()
}
