//! Whether a recipient is served (`specs/consent/vault.md`, section 5). One question after the other, each with its reason.
//!
//! Architecture invariant: nothing is answered from memory of what once stood. The access, the grant and the newest header
//! are proven anew for every request; without a header under 15 s old there is no answer but `stale`.

use tegata_consent::entry::{Access, Body};
use tegata_consent::fetch::FetchRequest;
use tegata_consent::ids::{EntryId, GrantId, OrganisationId};
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::scope::{Scope, ScopeError};
use tegata_consent::state::{GrantState, Outcome, Refusal};

/// How old an access may be by block time, in milliseconds.
pub(crate) const ACCESS_AGE_MAX_MS: u64 = 600_000;

/// Why a recipient is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchRefused {
    /// Not on the ledger, or no access.
    #[error("there is no access {0} on the ledger")]
    NoAccess(EntryId),
    /// Another organisation's access.
    #[error("the access is another organisation's")]
    NotRecipient,
    /// The recipient is suspended.
    #[error("the organisation is suspended")]
    Suspended,
    /// The ledger refused it.
    #[error("the ledger refused the access: {0}")]
    Refused(Refusal),
    /// More than ten minutes ago.
    #[error("the access is {age_ms} ms old, {ACCESS_AGE_MAX_MS} ms are allowed: submit a new one")]
    Old {
        /// Its age in milliseconds.
        age_ms: u64,
    },
    /// Salt and scope do not open the access's commitment, or the scope is malformed.
    #[error("opening: {0}")]
    Opening(ScopeError),
    /// No order for this grant here.
    #[error("this host has no order under grant {0}")]
    NoOrder(GrantId),
    /// The access asks for more than the order covers.
    #[error(transparent)]
    Beyond(ScopeError),
    /// The grant does not stand now.
    #[error("{0}")]
    Grant(Refusal),
    /// The request was served before.
    #[error("this request was served before: sign a new one")]
    Replayed,
    /// A continuation that this host did not give.
    #[error("`after` is not what this host gave as `next`")]
    After,
}

impl FetchRefused {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAccess(_) => "access-unknown",
            Self::NotRecipient => "not-recipient",
            Self::Suspended => "recipient-suspended",
            Self::Refused(_) => "access-refused",
            Self::Old { .. } => "access-old",
            Self::Opening(_) => "opening",
            Self::NoOrder(_) => "no-order",
            Self::Beyond(_) => "beyond-order",
            Self::Grant(Refusal::Revoked) => "grant-revoked",
            Self::Grant(Refusal::Expired) => "grant-expired",
            Self::Grant(Refusal::NotStarted) => "grant-not-started",
            Self::Grant(_) => "grant-unknown",
            Self::Replayed => "replayed",
            Self::After => "after",
        }
    }
}

/// Who asks.
pub(crate) struct Asker<'a> {
    /// Who signed the request.
    pub(crate) organisation: &'a OrganisationId,
    /// As registered.
    pub(crate) state: &'a OrganisationState,
}

/// Checks the access itself: on the ledger, the asker's, allowed, fresh, and opened by the request. `now_ms` is the later
/// of the host's clock and the newest header's time.
pub(crate) fn judge_access<'a>(
    request: &FetchRequest,
    asker: &Asker<'_>,
    receipt: Option<&'a VerifiedReceipt>,
    now_ms: u64,
) -> Result<&'a Access, FetchRefused> {
    let receipt = receipt.filter(|receipt| receipt.entry.id() == request.access);
    let Some((receipt, Body::Access(access))) =
        receipt.map(|receipt| (receipt, receipt.entry.entry().body()))
    else {
        return Err(FetchRefused::NoAccess(request.access));
    };
    if access.recipient != *asker.organisation {
        return Err(FetchRefused::NotRecipient);
    }
    if asker.state.suspended_at(now_ms) {
        return Err(FetchRefused::Suspended);
    }
    if let Outcome::Refused(refusal) = receipt.leaf.outcome {
        return Err(FetchRefused::Refused(refusal));
    }
    let age_ms = now_ms.saturating_sub(receipt.leaf.time_ms);
    if age_ms > ACCESS_AGE_MAX_MS {
        return Err(FetchRefused::Old { age_ms });
    }
    request.scope.check().map_err(FetchRefused::Opening)?;
    if request.scope.commitment(&request.salt) != access.commitment {
        return Err(FetchRefused::Opening(ScopeError::Commitment(
            access.commitment,
        )));
    }
    Ok(access)
}

/// Checks that what is asked for lies within the order.
pub(crate) fn judge_order(request: &FetchRequest, order: &Scope) -> Result<(), FetchRefused> {
    request.scope.within(order).map_err(FetchRefused::Beyond)
}

/// Checks that the grant stands, by its proof in the newest header, and is the asker's.
pub(crate) fn judge_grant(
    asker: &Asker<'_>,
    grant: &Proven<GrantState>,
    now_ms: u64,
) -> Result<(), FetchRefused> {
    let state = grant
        .value
        .as_ref()
        .ok_or(FetchRefused::Grant(Refusal::NoSuchGrant))?;
    if state.grant.recipient != *asker.organisation {
        return Err(FetchRefused::NotRecipient);
    }
    state.standing(now_ms).map_err(FetchRefused::Grant)
}
