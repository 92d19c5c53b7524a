//! What organisations say by themselves, and what is said of them: status lists, over-askings, confirmed erasures, and how
//! much of it one organisation may write in an hour (`state.md`, section 3).

use super::{
    ExecuteError, Execution, GrantState, Inadmissible, OVER_ASKINGS_PER_HOUR, OWN_ENTRIES_PER_HOUR,
    Outcome, OwnCount, StateKey, StateReader,
};
use crate::cose::Signed;
use crate::entry::{ErasureConfirmed, OverAsking, StatusListPublished, VerifiedEntry};
use crate::ids::OrganisationId;
use crate::organisation::{OrganisationState, Role};
use crate::over_asking::{RequestObject, evidence_digest, is_request_object};
use crate::request::ConsentRequest;
use crate::status::{ErasureState, OverAskingState, STATUS_LIST_AHEAD_MAX_MS, StatusListState};

impl<S: StateReader> Execution<'_, S> {
    /// An issuer in whatever standing says which list counts: a suspended one can still revoke what it signed.
    pub(super) fn status_list(
        &mut self,
        verified: &VerifiedEntry,
        published: &StatusListPublished,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        let issuer = self.signed_by(verified, &published.issuer)?;
        if !issuer.has_role(Role::Issuer) {
            return Err(Inadmissible::NotIssuer(issuer.id).into());
        }
        let (issued_ms, time_ms) = (published.issued_ms, self.time_ms);
        if issued_ms > time_ms.saturating_add(STATUS_LIST_AHEAD_MAX_MS) {
            return Err(Inadmissible::StatusListAhead { issued_ms, time_ms }.into());
        }
        let key = StateKey::status_list(&issuer.id, &published.list);
        let newest: Option<StatusListState> = self.get(&key)?;
        if let Some(newest) = newest
            .as_ref()
            .filter(|newest| newest.issued_ms > issued_ms)
        {
            let newest_ms = newest.issued_ms;
            return Err(Inadmissible::StatusListOlder {
                issued_ms,
                newest_ms,
            }
            .into());
        }
        let count = self.wrote(&issuer.id)?;
        let state = StatusListState {
            token: published.token,
            issued_ms,
            published_ms: time_ms,
            count: newest.map_or(0, |newest| newest.count) + 1,
            recalled: published.recalled,
        };
        self.put(key, &state);
        self.put(StateKey::own(&issuer.id), &count);
        Ok(Outcome::Applied)
    }

    /// The evidence is the organisation's own signature under a request that it may not make.
    pub(super) fn over_asking(
        &mut self,
        verified: &VerifiedEntry,
        report: &OverAsking,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        if report.sponsor == report.recipient {
            return Err(Inadmissible::SponsorIsRecipient.into());
        }
        let digest = evidence_digest(&report.request);
        let key = StateKey::over_asking(&digest);
        if self.get::<OverAskingState>(&key)?.is_some() {
            return Err(Inadmissible::OverAskingKnown(digest).into());
        }
        let recipient = self
            .organisation(&report.recipient)?
            .ok_or(Inadmissible::NoSuchOrganisation(report.recipient))?;
        if is_request_object(&report.request) {
            self.request_object(verified, report, &recipient)?;
        } else {
            self.consent_request(verified, report, &recipient)?;
        }
        let mut own = self.own_count(&recipient.id)?;
        if own.reported >= OVER_ASKINGS_PER_HOUR {
            return Err(Inadmissible::OverAskingLimit(recipient.id).into());
        }
        own.reported += 1;
        let count = self.sponsored(verified, &report.sponsor)?;
        let state = OverAskingState {
            recipient: recipient.id,
            reported_ms: self.time_ms,
        };
        self.put(key, &state);
        self.put(StateKey::own(&recipient.id), &own);
        self.put(StateKey::sponsor(&report.sponsor), &count);
        Ok(Outcome::Applied)
    }

    fn consent_request(
        &self,
        verified: &VerifiedEntry,
        report: &OverAsking,
        recipient: &OrganisationState,
    ) -> Result<(), Inadmissible> {
        let evidence = |reason: String| Inadmissible::Evidence(reason);
        let (request, signer) = ConsentRequest::open(&report.request, &verified.chain())
            .map_err(|error| evidence(error.to_string()))?;
        if request.recipient != recipient.id || !recipient.signs_with(&signer, self.time_ms) {
            return Err(evidence("somebody else signed it".into()));
        }
        request
            .check()
            .map_err(|error| evidence(error.to_string()))?;
        if request.expires_ms <= self.time_ms {
            return Err(Inadmissible::EvidenceExpired {
                expires_ms: request.expires_ms,
                time_ms: self.time_ms,
            });
        }
        if recipient.may_ask(
            &request.purpose,
            &request.categories,
            request.retention_days,
        ) {
            return Err(Inadmissible::NotOverAsking(recipient.id));
        }
        Ok(())
    }

    fn request_object(
        &self,
        verified: &VerifiedEntry,
        report: &OverAsking,
        recipient: &OrganisationState,
    ) -> Result<(), Inadmissible> {
        let request = RequestObject::parse(&report.request)?;
        request.check(&verified.chain(), recipient, self.time_ms)?;
        let (expires_ms, time_ms) = (request.expires_ms(), self.time_ms);
        if expires_ms <= time_ms {
            return Err(Inadmissible::EvidenceExpired {
                expires_ms,
                time_ms,
            });
        }
        if !request.asks_too_much(recipient) {
            return Err(Inadmissible::NotOverAsking(recipient.id));
        }
        Ok(())
    }

    /// The recipient of a grant says that it dropped a copy, once for each.
    pub(super) fn erasure(
        &mut self,
        verified: &VerifiedEntry,
        confirmed: &ErasureConfirmed,
    ) -> Result<Outcome, ExecuteError<S::Error>> {
        let recipient = self.signed_by(verified, &confirmed.recipient)?;
        let grant: GrantState = self
            .get(&StateKey::grant(&confirmed.grant))?
            .ok_or(Inadmissible::NoSuchGrant(confirmed.grant))?;
        if grant.grant.recipient != recipient.id {
            return Err(Inadmissible::NotRecipient(confirmed.grant).into());
        }
        let key = StateKey::erasure(&recipient.id, &confirmed.commitment);
        if self.get::<ErasureState>(&key)?.is_some() {
            return Err(Inadmissible::ErasureKnown(confirmed.commitment).into());
        }
        let count = self.wrote(&recipient.id)?;
        let state = ErasureState {
            grant: confirmed.grant,
            confirmed_ms: self.time_ms,
        };
        self.put(key, &state);
        self.put(StateKey::own(&recipient.id), &count);
        Ok(Outcome::Applied)
    }

    /// The organisation is registered and signed with a key that counts, alone.
    pub(super) fn signed_by(
        &self,
        verified: &VerifiedEntry,
        id: &OrganisationId,
    ) -> Result<OrganisationState, ExecuteError<S::Error>> {
        let signer = verified.entry().signer();
        let organisation = self
            .organisation(id)?
            .ok_or(Inadmissible::NoSuchOrganisation(*id))?;
        if !organisation.signs_with(&signer, self.time_ms) {
            return Err(Inadmissible::Signer(signer).into());
        }
        if let Some(stranger) = verified.entry().countersigners().first() {
            return Err(Inadmissible::Signer(*stranger).into());
        }
        Ok(organisation)
    }

    /// What an organisation wrote by itself in the block's hour so far.
    pub(super) fn own_count(
        &self,
        id: &OrganisationId,
    ) -> Result<OwnCount, ExecuteError<S::Error>> {
        let hour = self.time_ms / 3_600_000;
        let count: Option<OwnCount> = self.get(&StateKey::own(id))?;
        Ok(count
            .filter(|count| count.hour == hour)
            .unwrap_or(OwnCount {
                hour,
                ..OwnCount::default()
            }))
    }

    /// One entry more of an organisation's own, within its limit.
    fn wrote(&self, id: &OrganisationId) -> Result<OwnCount, ExecuteError<S::Error>> {
        let mut count = self.own_count(id)?;
        if count.entries >= OWN_ENTRIES_PER_HOUR {
            return Err(Inadmissible::OwnLimit(*id).into());
        }
        count.entries += 1;
        Ok(count)
    }
}
