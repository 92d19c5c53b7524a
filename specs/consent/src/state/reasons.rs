//! What becomes of an entry, and why (`state.md`, section 3).

use crate::codes::CodeError;
use crate::ids::{EntryId, GrantId, Hash, OrganisationId, PublicKey};
use crate::organisation::OrganisationError;
use crate::over_asking::EvidenceError;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Why an access was refused. Refusals are entries too.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[cbor(index_only)]
pub enum Refusal {
    /// There is no such grant.
    #[n(1)]
    #[error("there is no such grant")]
    NoSuchGrant,
    /// The grant names another recipient.
    #[n(2)]
    #[error("the grant is for another organisation")]
    NotRecipient,
    /// The grant's time has not come.
    #[n(3)]
    #[error("the grant has not started")]
    NotStarted,
    /// The grant's time is over.
    #[n(4)]
    #[error("the grant has expired")]
    Expired,
    /// The person has revoked it.
    #[n(5)]
    #[error("the grant was revoked")]
    Revoked,
    /// All allowed uses are used.
    #[n(6)]
    #[error("the grant is used up")]
    UsedUp,
    /// The recipient is suspended.
    #[n(7)]
    #[error("the organisation is suspended")]
    Suspended,
    /// The recipient is no longer accredited to ask for this.
    #[n(8)]
    #[error("the organisation is no longer accredited for this purpose and these categories")]
    NotAccredited,
}

impl Refusal {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoSuchGrant => "no-such-grant",
            Self::NotRecipient => "not-recipient",
            Self::NotStarted => "not-started",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::UsedUp => "used-up",
            Self::Suspended => "suspended",
            Self::NotAccredited => "not-accredited",
        }
    }
}

/// What became of an admissible entry: `[]` applied (an access: allowed), `[refusal]` an access refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied; an access was allowed.
    Applied,
    /// The access was refused.
    Refused(Refusal),
}

impl<C> Encode<C> for Outcome {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Applied => e.array(0)?.ok(),
            Self::Refused(refusal) => refusal.encode(e.array(1)?, ctx),
        }
    }
}

impl<'b, C> Decode<'b, C> for Outcome {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        match d.array()? {
            Some(0) => Ok(Self::Applied),
            Some(1) => Ok(Self::Refused(Refusal::decode(d, ctx)?)),
            _ => Err(decode::Error::message("an outcome is [] or [refusal]")),
        }
    }
}

/// Why no block may hold an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    /// Its time is over.
    #[error("not-after {not_after_ms} is before the block's time {time_ms}")]
    Late {
        /// The entry's.
        not_after_ms: u64,
        /// The block's.
        time_ms: u64,
    },
    /// Its time is too far ahead.
    #[error("not-after {not_after_ms} is more than 10 minutes after the block's time {time_ms}")]
    TooFarAhead {
        /// The entry's.
        not_after_ms: u64,
        /// The block's.
        time_ms: u64,
    },
    /// It is in the log already.
    #[error("entry {0} is in the log already")]
    Seen(EntryId),
    /// A registry entry without enough operators.
    #[error("{signed} of {operators} operators signed, more than two thirds are needed")]
    NoQuorum {
        /// How many operators signed.
        signed: usize,
        /// How many there are.
        operators: usize,
    },
    /// Signed or countersigned by a key that has no part in it.
    #[error("key {0} has no part in this entry")]
    Signer(PublicKey),
    /// No such organisation.
    #[error("organisation {0} is not registered")]
    NoSuchOrganisation(OrganisationId),
    /// The organisation is registered already.
    #[error("organisation {0} is registered already")]
    OrganisationExists(OrganisationId),
    /// A malformed organisation.
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    /// A change or suspension that does not follow on the present one.
    #[error("sequence {found}, expected {expected}")]
    Sequence {
        /// The entry's.
        found: u32,
        /// The one that would follow.
        expected: u32,
    },
    /// The sponsor may not sponsor.
    #[error("organisation {0} is not a host that may sponsor, or is suspended")]
    NotSponsor(OrganisationId),
    /// The sponsor has not countersigned.
    #[error("sponsor {0} has not countersigned")]
    NotCountersigned(OrganisationId),
    /// The sponsor is the recipient.
    #[error("the sponsor must not be the recipient")]
    SponsorIsRecipient,
    /// The sponsor's limit is reached.
    #[error("sponsor {0} has carried its limit of entries this hour")]
    SponsorLimit(OrganisationId),
    /// A grant by a used key.
    #[error("grant {0} exists already")]
    GrantExists(GrantId),
    /// A revocation of no grant.
    #[error("there is no grant {0}")]
    NoSuchGrant(GrantId),
    /// A revocation again.
    #[error("grant {0} is revoked already")]
    AlreadyRevoked(GrantId),
    /// A grant that ends before it starts, or before the block.
    #[error("the grant's end is not after its start and this block's time")]
    EndBeforeStart,
    /// A grant with a text that is of no list.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// An organisation's limit of refused accesses is reached.
    #[error("organisation {0} has reached its limit of refused accesses this hour")]
    RefusedLimit(OrganisationId),
    /// An organisation's limit of other entries is reached.
    #[error("organisation {0} has reached its limit of entries this hour")]
    OwnLimit(OrganisationId),
    /// An organisation was reported as often as it can be.
    #[error("organisation {0} was reported for its limit of requests this hour")]
    OverAskingLimit(OrganisationId),
    /// A status list of an organisation that issues nothing.
    #[error("organisation {0} is not an issuer")]
    NotIssuer(OrganisationId),
    /// A status list that was signed before the one in force.
    #[error("a status list signed at {newest_ms} is in force, this one was signed at {issued_ms}")]
    StatusListOlder {
        /// The entry's.
        issued_ms: u64,
        /// That of the list in force.
        newest_ms: u64,
    },
    /// A status list of a time to come.
    #[error("the status list was signed at {issued_ms}, the block's time is {time_ms}")]
    StatusListAhead {
        /// The entry's.
        issued_ms: u64,
        /// The block's.
        time_ms: u64,
    },
    /// Evidence that is no signed consent request of that organisation.
    #[error("the evidence is no consent request of the organisation: {0}")]
    Evidence(String),
    /// Evidence that is no signed request object of that organisation.
    #[error("the evidence is no request object of the organisation: {0}")]
    RequestObject(#[from] EvidenceError),
    /// Evidence that is over.
    #[error("the request expired at {expires_ms}, the block's time is {time_ms}")]
    EvidenceExpired {
        /// The request's.
        expires_ms: u64,
        /// The block's.
        time_ms: u64,
    },
    /// Evidence of a request that the organisation may make.
    #[error("organisation {0} is accredited for what it asks")]
    NotOverAsking(OrganisationId),
    /// Evidence that is on the ledger already.
    #[error("request {0} was reported already")]
    OverAskingKnown(Hash),
    /// A confirmation by another organisation than the grant's recipient.
    #[error("grant {0} is for another organisation")]
    NotRecipient(GrantId),
    /// A confirmation again.
    #[error("erasure {0} is confirmed already")]
    ErasureKnown(Hash),
    /// A recipient that is not accredited to ask for this.
    #[error(
        "organisation {recipient} is not accredited to ask for {purpose:?} in these categories and retention"
    )]
    NotAccredited {
        /// Who.
        recipient: OrganisationId,
        /// For what.
        purpose: String,
    },
}

impl Inadmissible {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Late { .. } => "late",
            Self::TooFarAhead { .. } => "too-far-ahead",
            Self::Seen(_) => "seen",
            Self::NoQuorum { .. } => "no-quorum",
            Self::Signer(_) => "signer",
            Self::NoSuchOrganisation(_) => "no-such-organisation",
            Self::OrganisationExists(_) => "organisation-exists",
            Self::Organisation(_) => "organisation-malformed",
            Self::Sequence { .. } => "sequence",
            Self::NotSponsor(_) => "not-sponsor",
            Self::NotCountersigned(_) => "not-countersigned",
            Self::SponsorIsRecipient => "sponsor-is-recipient",
            Self::SponsorLimit(_) => "sponsor-limit",
            Self::GrantExists(_) => "grant-exists",
            Self::NoSuchGrant(_) => "no-such-grant",
            Self::AlreadyRevoked(_) => "already-revoked",
            Self::EndBeforeStart => "end-before-start",
            Self::Code(error) => error.code(),
            Self::RefusedLimit(_) => "refused-limit",
            Self::OwnLimit(_) => "own-limit",
            Self::OverAskingLimit(_) => "over-asking-limit",
            Self::NotIssuer(_) => "not-issuer",
            Self::StatusListOlder { .. } => "status-list-older",
            Self::StatusListAhead { .. } => "status-list-ahead",
            Self::Evidence(_) => "evidence",
            Self::RequestObject(error) => error.code(),
            Self::EvidenceExpired { .. } => "evidence-expired",
            Self::NotOverAsking(_) => "not-over-asking",
            Self::OverAskingKnown(_) => "over-asking-known",
            Self::NotRecipient(_) => "not-recipient",
            Self::ErasureKnown(_) => "erasure-known",
            Self::NotAccredited { .. } => "not-accredited",
        }
    }
}
