//! What is in force, and the one function that changes it (`state.md`).
//!
//! [`apply`] is pure: the same state, block and entries give the same changes and outcomes on every validator. An entry is
//! either *admissible*, and then it is in the log with an [`Outcome`], or it is not, and then no block may hold it.

use crate::cbor;
use crate::codes::{self, CodeError};
use crate::entry::{
    Access, Body, Grant, NOT_AFTER_MAX_MS, OrganisationChange, OrganisationSuspension, Revocation,
    VerifiedEntry,
};
use crate::history::{GENESIS_HEAD, next_head};
use crate::ids::{EntryId, GrantId, Hash, OrganisationId, PublicKey};
use crate::log::LogLeaf;
use crate::organisation::{Organisation, OrganisationError, OrganisationState, Role, Suspension};
use crate::over_asking::EvidenceError;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::collections::{BTreeMap, BTreeSet};

mod own;

/// A key of the state tree (`state.md`, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(Vec<u8>);

impl StateKey {
    /// An organisation; the value is an [`OrganisationState`].
    #[must_use]
    pub fn organisation(id: &OrganisationId) -> Self {
        Self([b"organisation/".as_slice(), &id.0].concat())
    }
    /// A grant; the value is a [`GrantState`].
    #[must_use]
    pub fn grant(id: &GrantId) -> Self {
        Self([b"grant/".as_slice(), &id.0].concat())
    }
    /// How many citizens' entries a sponsor carried this hour; the value is a [`SponsorCount`].
    #[must_use]
    pub fn sponsor(id: &OrganisationId) -> Self {
        Self([b"sponsor/".as_slice(), &id.0].concat())
    }
    /// What an organisation wrote by itself this hour; the value is an [`OwnCount`].
    #[must_use]
    pub fn own(id: &OrganisationId) -> Self {
        Self([b"own/".as_slice(), &id.0].concat())
    }
    /// The newest status list of an issuer under one URI; the value is a [`crate::status::StatusListState`].
    #[must_use]
    pub fn status_list(issuer: &OrganisationId, list: &Hash) -> Self {
        Self([b"status-list/".as_slice(), &issuer.0, &list.0].concat())
    }
    /// A request that was reported ([`crate::over_asking::evidence_digest`]); the value is an [`crate::status::OverAskingState`].
    #[must_use]
    pub fn over_asking(request: &Hash) -> Self {
        Self([b"over-asking/".as_slice(), &request.0].concat())
    }
    /// A confirmed erasure ([`crate::status::erasure_commitment`]); the value is an [`crate::status::ErasureState`].
    #[must_use]
    pub fn erasure(recipient: &OrganisationId, commitment: &Hash) -> Self {
        Self([b"erasure/".as_slice(), &recipient.0, &commitment.0].concat())
    }
    /// The operators; the value is a sorted list of keys.
    #[must_use]
    pub fn operators() -> Self {
        Self(b"operators".to_vec())
    }
    /// The limits; the value is [`Parameters`].
    #[must_use]
    pub fn parameters() -> Self {
        Self(b"parameters".to_vec())
    }
    /// The validators; the value is a [`crate::header::ValidatorSet`].
    #[must_use]
    pub fn validators() -> Self {
        Self(b"validators".to_vec())
    }
    /// The key as bytes; the state tree's place is their SHA-256.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// A key from a store that holds only such keys.
    #[must_use]
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// New values.
pub type Changes = BTreeMap<StateKey, Vec<u8>>;

/// Limits, set at genesis.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Parameters {
    /// Most citizens' entries that one sponsor may carry in an hour.
    #[n(1)]
    pub sponsor_entries_per_hour: u32,
}

/// How many entries a sponsor carried in an hour.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(map)]
pub struct SponsorCount {
    /// Hours since 1970.
    #[n(1)]
    pub hour: u64,
    /// Entries in that hour.
    #[n(2)]
    pub entries: u32,
}

/// Most refused accesses of one organisation in an hour. Whoever asks more often under grants that do not stand has not
/// looked; nothing is handed out either way, and the limit touches no access that a grant allows.
pub const REFUSED_ACCESSES_PER_HOUR: u32 = 1_000;
/// Most other entries (status lists, confirmed erasures) that one organisation writes by itself in an hour.
pub const OWN_ENTRIES_PER_HOUR: u32 = 10_000;

/// Most reports in an hour that one organisation asked for too much. Each holds its own signature, so nobody else can use them
/// up, and so many say enough.
pub const OVER_ASKINGS_PER_HOUR: u32 = 100;

/// What an organisation wrote by itself in an hour, and what was reported of it.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(map)]
pub struct OwnCount {
    /// Hours since 1970.
    #[n(1)]
    pub hour: u64,
    /// Refused accesses in that hour.
    #[n(2)]
    pub refused: u32,
    /// Status lists and confirmed erasures in that hour.
    #[n(3)]
    pub entries: u32,
    /// Requests of it that were reported in that hour.
    #[n(4)]
    pub reported: u32,
}

/// A grant as it stands on the ledger.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct GrantState {
    /// What the person signed.
    #[n(1)]
    pub grant: Grant,
    /// Time of the block that holds it, in milliseconds since 1970.
    #[n(2)]
    pub granted_ms: u64,
    /// Time of the block that holds its revocation, in milliseconds since 1970.
    #[n(3)]
    pub revoked_ms: Option<u64>,
    /// How many accesses were allowed.
    #[n(4)]
    pub uses: u32,
    /// How many accesses there were, refused ones included.
    #[n(5)]
    pub accesses: u64,
    /// Head of the hash chain over them ([`crate::history`]).
    #[n(6)]
    pub accesses_head: Hash,
}

impl GrantState {
    /// Whether the grant stands at a time, uses aside.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub fn standing(&self, at_ms: u64) -> Result<(), Refusal> {
        if self.revoked_ms.is_some() {
            Err(Refusal::Revoked)
        } else if at_ms < self.grant.from_ms {
            Err(Refusal::NotStarted)
        } else if at_ms >= self.grant.until_ms {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }
}

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

/// Reads the state before a block.
pub trait StateReader {
    /// Why reading failed.
    type Error;
    /// The value of a key.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Self::Error>;
    /// Whether the log holds an entry with this id. Entries past their not-after need not be remembered.
    ///
    /// # Errors
    /// Where the store fails.
    fn seen(&self, id: &EntryId) -> Result<bool, Self::Error>;
}

/// Why an entry was not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError<E> {
    /// No block may hold it here.
    #[error(transparent)]
    Inadmissible(#[from] Inadmissible),
    /// The state could not be read.
    #[error("state: {0}")]
    State(E),
    /// The state holds what this code did not write.
    #[error("the state under {0:?} is damaged")]
    Damaged(StateKey),
}

/// A block under execution: proposers offer entries one by one, validators all of a block's in order.
pub struct Execution<'a, S: StateReader> {
    state: &'a S,
    height: u64,
    time_ms: u64,
    changes: Changes,
    seen: BTreeSet<EntryId>,
    leaves: Vec<LogLeaf>,
}

/// What a block does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// New values of the state.
    pub changes: Changes,
    /// The block's part of the log, in order.
    pub leaves: Vec<LogLeaf>,
}

/// Executes a whole block.
///
/// # Errors
/// The index of the first entry that this block must not hold, and why; or that the state could not be read.
pub fn apply<S: StateReader>(
    state: &S,
    height: u64,
    time_ms: u64,
    entries: &[VerifiedEntry],
) -> Result<Applied, (usize, ExecuteError<S::Error>)> {
    let mut execution = Execution::new(state, height, time_ms);
    for (index, entry) in entries.iter().enumerate() {
        execution.entry(entry).map_err(|error| (index, error))?;
    }
    Ok(execution.finish())
}

impl<'a, S: StateReader> Execution<'a, S> {
    /// Begins a block.
    pub const fn new(state: &'a S, height: u64, time_ms: u64) -> Self {
        Self {
            state,
            height,
            time_ms,
            changes: Changes::new(),
            seen: BTreeSet::new(),
            leaves: Vec::new(),
        }
    }

    /// The block's effect.
    #[must_use]
    pub fn finish(self) -> Applied {
        Applied {
            changes: self.changes,
            leaves: self.leaves,
        }
    }

    /// Executes one entry. After an error nothing has changed.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub fn entry(&mut self, verified: &VerifiedEntry) -> Result<Outcome, ExecuteError<S::Error>> {
        let entry = verified.entry();
        let (not_after_ms, time_ms) = (entry.not_after_ms(), self.time_ms);
        if not_after_ms < time_ms {
            return Err(Inadmissible::Late {
                not_after_ms,
                time_ms,
            }
            .into());
        }
        if not_after_ms > time_ms.saturating_add(NOT_AFTER_MAX_MS) {
            return Err(Inadmissible::TooFarAhead {
                not_after_ms,
                time_ms,
            }
            .into());
        }
        if self.seen.contains(&verified.id())
            || self
                .state
                .seen(&verified.id())
                .map_err(ExecuteError::State)?
        {
            return Err(Inadmissible::Seen(verified.id()).into());
        }
        let outcome = match entry.body() {
            Body::OrganisationRegistered(organisation) => self.register(verified, organisation)?,
            Body::OrganisationChanged(change) => self.change(verified, change)?,
            Body::OrganisationSuspended(suspension) => self.suspend(verified, suspension)?,
            Body::Grant(grant) => self.grant(verified, grant)?,
            Body::Revocation(revocation) => self.revoke(verified, revocation)?,
            Body::Access(access) => return self.access(verified, access),
            Body::StatusListPublished(published) => self.status_list(verified, published)?,
            Body::OverAsking(report) => self.over_asking(verified, report)?,
            Body::ErasureConfirmed(confirmed) => self.erasure(verified, confirmed)?,
        };
        let leaf = self.leaf(verified, outcome);
        self.seen.insert(verified.id());
        self.leaves.push(leaf);
        Ok(outcome)
    }

    fn register(
        &mut self,
        verified: &VerifiedEntry,
        organisation: &Organisation,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        self.operators_agree(verified)?;
        organisation.check().map_err(Inadmissible::from)?;
        let id = organisation
            .id()
            .ok_or(OrganisationError("a key to sign is needed"))
            .map_err(Inadmissible::from)?;
        if self.organisation(&id)?.is_some() {
            return Err(Inadmissible::OrganisationExists(id).into());
        }
        let state = OrganisationState {
            id,
            organisation: organisation.clone(),
            sequence: 0,
            registered_ms: self.time_ms,
            suspensions: Vec::new(),
        };
        self.put(StateKey::organisation(&id), &state);
        Ok(Outcome::Applied)
    }

    fn change(
        &mut self,
        verified: &VerifiedEntry,
        change: &OrganisationChange,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        self.operators_agree(verified)?;
        change.organisation.check().map_err(Inadmissible::from)?;
        let mut state = self.follows(&change.id, change.sequence)?;
        state.organisation = change.organisation.clone();
        state.sequence = change.sequence;
        self.put(StateKey::organisation(&change.id), &state);
        Ok(Outcome::Applied)
    }

    fn suspend(
        &mut self,
        verified: &VerifiedEntry,
        suspension: &OrganisationSuspension,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        self.operators_agree(verified)?;
        let mut state = self.follows(&suspension.id, suspension.sequence)?;
        state.sequence = suspension.sequence;
        let open = state
            .suspensions
            .iter_mut()
            .find(|time| time.until_ms.is_none());
        match (open, suspension.suspended) {
            (None, true) => state.suspensions.push(Suspension {
                from_ms: self.time_ms,
                until_ms: None,
            }),
            (Some(time), false) => time.until_ms = Some(self.time_ms),
            (Some(_), true) | (None, false) => {}
        }
        self.put(StateKey::organisation(&suspension.id), &state);
        Ok(Outcome::Applied)
    }

    fn grant(
        &mut self,
        verified: &VerifiedEntry,
        grant: &Grant,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        let id = GrantId(verified.entry().signer().0);
        if grant.sponsor == grant.recipient {
            return Err(Inadmissible::SponsorIsRecipient.into());
        }
        // Nothing else of a grant is text, so no name and no word about a person gets onto the ledger.
        codes::check(&grant.categories, &grant.purpose, &grant.legal_basis)
            .map_err(Inadmissible::from)?;
        if grant.until_ms <= grant.from_ms || grant.until_ms <= self.time_ms {
            return Err(Inadmissible::EndBeforeStart.into());
        }
        if self.get::<GrantState>(&StateKey::grant(&id))?.is_some() {
            return Err(Inadmissible::GrantExists(id).into());
        }
        let recipient = self
            .organisation(&grant.recipient)?
            .ok_or(Inadmissible::NoSuchOrganisation(grant.recipient))?;
        if recipient.suspended_at(self.time_ms)
            || !recipient.may_ask(&grant.purpose, &grant.categories, grant.retention_days)
        {
            return Err(Inadmissible::NotAccredited {
                recipient: grant.recipient,
                purpose: grant.purpose.clone(),
            }
            .into());
        }
        let count = self.sponsored(verified, &grant.sponsor)?;
        let state = GrantState {
            grant: grant.clone(),
            granted_ms: self.time_ms,
            revoked_ms: None,
            uses: 0,
            accesses: 0,
            accesses_head: GENESIS_HEAD,
        };
        self.put(StateKey::grant(&id), &state);
        self.put(StateKey::sponsor(&grant.sponsor), &count);
        Ok(Outcome::Applied)
    }

    fn revoke(
        &mut self,
        verified: &VerifiedEntry,
        revocation: &Revocation,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        let id = revocation.grant;
        if verified.entry().signer() != id.key() {
            return Err(Inadmissible::Signer(verified.entry().signer()).into());
        }
        let mut state: GrantState = self
            .get(&StateKey::grant(&id))?
            .ok_or(Inadmissible::NoSuchGrant(id))?;
        if state.revoked_ms.is_some() {
            return Err(Inadmissible::AlreadyRevoked(id).into());
        }
        if revocation.sponsor == state.grant.recipient {
            return Err(Inadmissible::SponsorIsRecipient.into());
        }
        self.carried(verified, &revocation.sponsor)?;
        state.revoked_ms = Some(self.time_ms);
        self.put(StateKey::grant(&id), &state);
        Ok(Outcome::Applied)
    }

    /// Well-formed requests of registered organisations are logged whatever comes of them, up to a limit of refused ones.
    fn access(
        &mut self,
        verified: &VerifiedEntry,
        access: &Access,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        let recipient = self.signed_by(verified, &access.recipient)?;
        let state: Option<GrantState> = self.get(&StateKey::grant(&access.grant))?;
        let outcome = match &state {
            None => Outcome::Refused(Refusal::NoSuchGrant),
            Some(state) => match self.judge(state, &recipient) {
                Ok(()) => Outcome::Applied,
                Err(refusal) => Outcome::Refused(refusal),
            },
        };
        if outcome != Outcome::Applied {
            let mut count = self.own_count(&recipient.id)?;
            if count.refused >= REFUSED_ACCESSES_PER_HOUR {
                return Err(Inadmissible::RefusedLimit(recipient.id).into());
            }
            count.refused += 1;
            self.put(StateKey::own(&recipient.id), &count);
        }
        let leaf = self.leaf(verified, outcome);
        if let Some(mut state) = state {
            state.uses += u32::from(outcome == Outcome::Applied);
            state.accesses += 1;
            state.accesses_head = next_head(&state.accesses_head, &leaf.hash());
            self.put(StateKey::grant(&access.grant), &state);
        }
        self.seen.insert(verified.id());
        self.leaves.push(leaf);
        Ok(outcome)
    }

    fn judge(&self, state: &GrantState, recipient: &OrganisationState) -> Result<(), Refusal> {
        let grant = &state.grant;
        if grant.recipient != recipient.id {
            return Err(Refusal::NotRecipient);
        }
        state.standing(self.time_ms)?;
        if grant.uses_max.is_some_and(|most| state.uses >= most) || state.uses == u32::MAX {
            return Err(Refusal::UsedUp);
        }
        if recipient.suspended_at(self.time_ms) {
            return Err(Refusal::Suspended);
        }
        if !recipient.may_ask(&grant.purpose, &grant.categories, grant.retention_days) {
            return Err(Refusal::NotAccredited);
        }
        Ok(())
    }

    /// More than two thirds of the operators have signed or countersigned, and nobody else has.
    fn operators_agree(&self, verified: &VerifiedEntry) -> Result<(), ExecuteError<S::Error>> {
        let operators: Vec<PublicKey> = self
            .get(&StateKey::operators())?
            .ok_or_else(|| ExecuteError::Damaged(StateKey::operators()))?;
        let mut signers = vec![verified.entry().signer()];
        signers.extend_from_slice(verified.entry().countersigners());
        signers.sort_unstable();
        signers.dedup();
        if let Some(stranger) = signers.iter().find(|key| !operators.contains(key)) {
            return Err(Inadmissible::Signer(*stranger).into());
        }
        let (signed, operators) = (signers.len(), operators.len());
        if signed * 3 <= operators * 2 {
            return Err(Inadmissible::NoQuorum { signed, operators }.into());
        }
        Ok(())
    }

    /// The sponsor is a host in good standing and has countersigned, and nobody else has. Ending a grant asks no more, so that
    /// no limit that somebody else has used up stands between a person and her revocation.
    fn carried(
        &self,
        verified: &VerifiedEntry,
        sponsor: &OrganisationId,
    ) -> Result<(), ExecuteError<S::Error>> {
        let host = self
            .organisation(sponsor)?
            .ok_or(Inadmissible::NoSuchOrganisation(*sponsor))?;
        if !host.has_role(Role::Host) || host.suspended_at(self.time_ms) {
            return Err(Inadmissible::NotSponsor(*sponsor).into());
        }
        match verified.entry().countersigners() {
            [key] if host.signs_with(key, self.time_ms) => {}
            _ => return Err(Inadmissible::NotCountersigned(*sponsor).into()),
        }
        Ok(())
    }

    /// As [`Self::carried`], and the sponsor's limit is not reached.
    fn sponsored(
        &self,
        verified: &VerifiedEntry,
        sponsor: &OrganisationId,
    ) -> Result<SponsorCount, ExecuteError<S::Error>> {
        self.carried(verified, sponsor)?;
        let limits: Parameters = self
            .get(&StateKey::parameters())?
            .ok_or_else(|| ExecuteError::Damaged(StateKey::parameters()))?;
        let hour = self.time_ms / 3_600_000;
        let mut count: SponsorCount = self.get(&StateKey::sponsor(sponsor))?.unwrap_or_default();
        if count.hour != hour {
            count = SponsorCount { hour, entries: 0 };
        }
        if count.entries >= limits.sponsor_entries_per_hour {
            return Err(Inadmissible::SponsorLimit(*sponsor).into());
        }
        count.entries += 1;
        Ok(count)
    }

    fn follows(
        &self,
        id: &OrganisationId,
        sequence: u32,
    ) -> Result<OrganisationState, ExecuteError<S::Error>> {
        let state = self
            .organisation(id)?
            .ok_or(Inadmissible::NoSuchOrganisation(*id))?;
        let expected = state.sequence + 1;
        if sequence == expected {
            Ok(state)
        } else {
            Err(Inadmissible::Sequence {
                found: sequence,
                expected,
            }
            .into())
        }
    }

    fn organisation(
        &self,
        id: &OrganisationId,
    ) -> Result<Option<OrganisationState>, ExecuteError<S::Error>> {
        self.get(&StateKey::organisation(id))
    }

    fn get<T: Encode<()> + for<'b> Decode<'b, ()>>(
        &self,
        key: &StateKey,
    ) -> Result<Option<T>, ExecuteError<S::Error>> {
        let bytes = match self.changes.get(key) {
            Some(bytes) => Some(bytes.clone()),
            None => self.state.get(key).map_err(ExecuteError::State)?,
        };
        let read = |bytes: Vec<u8>| {
            minicbor::decode(&bytes).map_err(|_| ExecuteError::Damaged(key.clone()))
        };
        bytes.map(read).transpose()
    }

    fn put<T: Encode<()>>(&mut self, key: StateKey, value: &T) {
        self.changes.insert(key, cbor::encode(value));
    }

    fn leaf(&self, verified: &VerifiedEntry, outcome: Outcome) -> LogLeaf {
        LogLeaf {
            height: self.height,
            time_ms: self.time_ms,
            entry: verified.bytes().to_vec().into(),
            outcome,
        }
    }
}
