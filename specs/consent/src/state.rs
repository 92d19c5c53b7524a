//! What is in force, and the one function that changes it (`state.md`).
//!
//! [`apply`] is pure: the same state, block and entries give the same changes and outcomes on every validator. An entry is
//! either *admissible*, and then it is in the log with an [`Outcome`], or it is not, and then no block may hold it.

use crate::cbor;
use crate::codes;
use crate::entry::{
    Access, Body, Grant, NOT_AFTER_MAX_MS, OrganisationChange, OrganisationSuspension, Revocation,
    VerifiedEntry,
};
use crate::history::{GENESIS_HEAD, next_head};
use crate::ids::{EntryId, GrantId, OrganisationId, PublicKey};
use crate::log::LogLeaf;
use crate::organisation::{Organisation, OrganisationError, OrganisationState, Role, Suspension};
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;

mod own;
mod reasons;
mod values;

pub use reasons::{Inadmissible, Outcome, Refusal};
pub use values::{
    Changes, GrantState, OVER_ASKINGS_PER_HOUR, OWN_ENTRIES_PER_HOUR, OwnCount, Parameters,
    REFUSED_ACCESSES_PER_HOUR, SponsorCount, StateKey,
};

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
