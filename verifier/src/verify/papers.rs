//! The papers around a sealed record: consent proof, host's receipt, deposit, invitation, scope.

use super::report::{Fault, Verdict, fails};
use super::{Context, InvitedDrawer};
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, DepositReceipt, SealedRecord, deposit_digest};
use tegata_consent::entry::Body;
use tegata_consent::ids::PublicKey;
use tegata_consent::invitation::{Invitation, VerifiedInvitation};
use tegata_consent::lock::Lock;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::state::Outcome;
use tegata_records::RecordType;

/// How far a host's clock may be ahead of ours, in milliseconds.
const CLOCK_SKEW_MS: u64 = 60_000;

/// The ledger allowed this access, and at the height of the proof the grant stands for us.
pub(super) fn consent_proof(context: &Context<'_>) -> Verdict {
    let header = context.consent.header.header();
    let Some(state) = &context.consent.value else {
        return fails("the ledger proves that there is no such grant");
    };
    if state.grant.recipient != *context.us {
        return fails(format!(
            "the grant is for organisation {}",
            state.grant.recipient
        ));
    }
    if let Err(refusal) = state.standing(header.time_ms) {
        return fails(format!("at height {}: {refusal}", header.height));
    }
    if state.grant.commitment != context.ticket.scope.commitment(&context.ticket.salt) {
        return fails("the ticket's scope does not open the grant's commitment");
    }
    let leaf = &context.access.leaf;
    let Body::Access(access) = context.access.entry.entry().body() else {
        return fails("the receipt is not for an access");
    };
    if access.grant != *context.grant || access.recipient != *context.us {
        return fails(
            "the receipt is for an access under another grant, or by another organisation",
        );
    }
    if let Outcome::Refused(refusal) = leaf.outcome {
        return fails(format!("the access was refused: {refusal}"));
    }
    if access.commitment != context.scope.commitment(context.salt) {
        return fails("what was asked for does not open the access's commitment");
    }
    if let Err(error) = context.scope.within(&context.ticket.scope) {
        return fails(error);
    }
    if header.height < leaf.height {
        return fails(format!(
            "the proof is of height {}, the access of height {}",
            header.height, leaf.height
        ));
    }
    Ok(format!(
        "the grant stands at height {}; the access is entry {} of height {}",
        header.height, context.access.index, leaf.height
    ))
}

/// The host's signed receipt for this very deposit, with the time at which it came in.
pub(super) fn receipt(
    context: &Context<'_>,
    sealed: &SealedRecord,
    deposit: &Deposit,
) -> Result<DepositReceipt, Fault> {
    let Some(bytes) = &sealed.receipt else {
        return fails("the host sent no receipt");
    };
    let (receipt, signer) = DepositReceipt::open(bytes, context.chain).or_else(fails)?;
    if receipt.host != context.ticket.host {
        return fails(format!(
            "it is a receipt of host {}, the ticket names {}",
            receipt.host, context.ticket.host
        ));
    }
    let Some(host) = context.host else {
        return fails(format!("host {} is not in the registry", receipt.host));
    };
    if host.id != receipt.host || !host.has_role(Role::Host) {
        return fails(format!(
            "organisation {} is not registered as a host",
            receipt.host
        ));
    }
    if !host.signs_with(&signer, receipt.received_ms) {
        return fails(format!(
            "key {signer} did not sign for the host at {} ms",
            receipt.received_ms
        ));
    }
    if receipt.drawer != deposit.drawer || receipt.deposit != deposit_digest(&sealed.deposit) {
        return fails("the receipt is for another deposit");
    }
    if receipt.received_ms > context.now_ms.saturating_add(CLOCK_SKEW_MS) {
        return fails(format!(
            "the receipt is of {} ms, which is in the future",
            receipt.received_ms
        ));
    }
    Ok(receipt)
}

/// The depositor signed this file and this lock. `received_ms` is the receipt's time.
pub(super) fn deposit_signature(
    context: &Context<'_>,
    sealed: &SealedRecord,
    lock: Option<&Lock>,
    depositor: Option<&OrganisationState>,
    received_ms: u64,
) -> Verdict {
    let Some(lock) = lock else {
        return Err(Fault::NotReached(super::CheckName::Lock));
    };
    let verified =
        Deposit::verify(&sealed.deposit, context.chain, &sealed.file, lock).or_else(fails)?;
    let depositor = registered(depositor, &verified.deposit)?;
    if !depositor.signs_with(&verified.signer, received_ms) {
        return fails(format!(
            "key {} did not sign for {} at {received_ms} ms",
            verified.signer, depositor.organisation.name.en
        ));
    }
    Ok(format!(
        "signed by {} with key {}",
        depositor.organisation.name.en, verified.signer
    ))
}

/// The depositor's registration, which must be of the organisation that the deposit names.
pub(super) fn registered<'a>(
    depositor: Option<&'a OrganisationState>,
    deposit: &Deposit,
) -> Result<&'a OrganisationState, Fault> {
    match depositor {
        Some(depositor) if depositor.id == deposit.depositor => Ok(depositor),
        _ => fails(format!(
            "depositor {} is not in the registry",
            deposit.depositor
        )),
    }
}

/// The ticket's vault had invited this depositor into this drawer, and the invitation was open when the deposit came in.
pub(super) fn invitation(
    context: &Context<'_>,
    sealed: &SealedRecord,
    deposit: &Deposit,
    received_ms: u64,
) -> Result<VerifiedInvitation, Fault> {
    let verified =
        Invitation::verify(&sealed.invitation, context.chain, &deposit.depositor).or_else(fails)?;
    if verified.vault != context.ticket.vault {
        return fails(format!(
            "signed by vault {}, the ticket is of vault {}",
            verified.vault, context.ticket.vault
        ));
    }
    if verified.digest != deposit.invitation {
        return fails("the deposit names another invitation");
    }
    if received_ms >= verified.invitation.expires_ms {
        return fails(format!(
            "it expired at {} ms, the deposit came at {received_ms} ms",
            verified.invitation.expires_ms
        ));
    }
    if !verified
        .invitation
        .drawers
        .iter()
        .any(|drawer| drawer.id == deposit.drawer)
    {
        return fails(format!("it does not invite into drawer {}", deposit.drawer));
    }
    Ok(verified)
}

/// The record type is one that the invitation is for. Asked once the record is open.
pub(super) fn invited_type(invitation: &VerifiedInvitation, record_type: &str) -> Verdict {
    if !invitation
        .invitation
        .record_types
        .iter()
        .any(|invited| invited == record_type)
    {
        return fails("the invitation is for other record types");
    }
    Ok(format!("signed by vault {}", invitation.vault))
}

/// The record lies within access and grant, in a drawer of a category that the ledger names.
pub(super) fn scope<'a>(
    context: &'a Context<'_>,
    deposit: &Deposit,
) -> Result<InvitedDrawer<'a>, Fault> {
    let (drawer, record) = (&deposit.drawer, &deposit.record);
    let Some(known) = context
        .ticket
        .drawers
        .iter()
        .find(|known| known.id == *drawer)
    else {
        return fails(format!("the ticket does not open drawer {drawer}"));
    };
    for (whose, scope) in [("access", context.scope), ("grant", &context.ticket.scope)] {
        if !scope.covers(drawer, record, deposit.date_ms) {
            return fails(format!(
                "the {whose} does not cover record {record} in drawer {drawer}"
            ));
        }
    }
    let categories = context
        .consent
        .value
        .as_ref()
        .map(|state| state.grant.categories.as_slice())
        .unwrap_or_default();
    if context.consent.value.is_some() && !categories.contains(&known.category) {
        return fails(format!(
            "the grant does not name category {:?}",
            known.category
        ));
    }
    Ok(InvitedDrawer {
        reader: known.reader(),
        category: &known.category,
    })
}

/// The record type belongs into a drawer of this category. Asked once the record is open.
pub(super) fn category(drawer: &InvitedDrawer<'_>, record_type: Option<&RecordType>) -> Verdict {
    match record_type {
        Some(known) if known.category().code() != drawer.category => fails(format!(
            "record type {:?} does not belong into a drawer of category {:?}",
            known.id(),
            drawer.category
        )),
        _ => Ok(format!(
            "covered by access and grant, category {:?}",
            drawer.category
        )),
    }
}

/// All keys with which a host ever signed.
pub(crate) fn signing_keys(organisation: &OrganisationState) -> Vec<PublicKey> {
    let keys = organisation.organisation.keys.iter();
    keys.filter(|key| key.key_use == tegata_consent::organisation::KeyUse::Sign)
        .filter_map(|key| PublicKey::try_from(key.public.as_slice()).ok())
        .collect()
}
