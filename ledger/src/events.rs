//! What is told of a final block: ids, kinds and outcomes, and nothing that could name a person.

use crate::block::ExecutedBlock;
use crate::feed::{FinalBlock, FinalEntry};
use tegata_consent::entry::{Body, VerifiedEntry};
use tegata_consent::ids::GrantId;
use tegata_consent::log::LogLeaf;
use tegata_consent::state::Outcome;

/// The event of a block whose first entry has index `first` in the log.
#[must_use]
pub fn of_block(block: &ExecutedBlock, first: u64) -> FinalBlock {
    let leaves = block.leaves.iter().map(|(_, leaf)| leaf);
    let entries = (first..)
        .zip(block.entries.iter().zip(leaves))
        .map(|(index, (entry, leaf))| of_entry(index, entry, leaf));
    FinalBlock {
        height: block.header.height,
        time_ms: block.header.time_ms,
        entries: entries.collect(),
    }
}

fn of_entry(index: u64, verified: &VerifiedEntry, leaf: &LogLeaf) -> FinalEntry {
    let (grant, organisation) = match verified.entry().body() {
        Body::OrganisationRegistered(organisation) => (None, organisation.id()),
        Body::OrganisationChanged(change) => (None, Some(change.id)),
        Body::OrganisationSuspended(suspension) => (None, Some(suspension.id)),
        Body::Grant(grant) => (
            Some(GrantId(verified.entry().signer().0)),
            Some(grant.recipient),
        ),
        Body::Revocation(revocation) => (Some(revocation.grant), None),
        Body::Access(access) => (Some(access.grant), Some(access.recipient)),
        Body::StatusListPublished(published) => (None, Some(published.issuer)),
        Body::OverAsking(report) => (None, Some(report.recipient)),
        Body::ErasureConfirmed(confirmed) => (Some(confirmed.grant), Some(confirmed.recipient)),
    };
    FinalEntry {
        index,
        id: verified.id().to_string(),
        kind: kind_name(verified.entry().body()),
        outcome: outcome_name(leaf.outcome),
        grant: grant.map(|grant| grant.to_string()),
        organisation: organisation.map(|organisation| organisation.to_string()),
    }
}

/// The kind's name, as in `entries.cddl`.
#[must_use]
pub const fn kind_name(body: &Body) -> &'static str {
    match body {
        Body::OrganisationRegistered(_) => "organisation-registered",
        Body::OrganisationChanged(_) => "organisation-changed",
        Body::OrganisationSuspended(_) => "organisation-suspended",
        Body::Grant(_) => "grant",
        Body::Revocation(_) => "revocation",
        Body::Access(_) => "access",
        Body::StatusListPublished(_) => "status-list-published",
        Body::OverAsking(_) => "over-asking",
        Body::ErasureConfirmed(_) => "erasure-confirmed",
    }
}

/// `applied`, or the code of the refusal.
#[must_use]
pub const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::Refused(refusal) => refusal.code(),
    }
}
