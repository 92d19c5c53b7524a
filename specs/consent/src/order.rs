//! Orders: what tells a host which drawers a grant opens (`grant.md`, section 3).

use crate::cose::{CoseError, Signed};
use crate::entry::Grant;
use crate::ids::{ChainId, GrantId, OrganisationId, Salt};
use crate::scope::{Scope, ScopeError};
use minicbor::{Decode, Encode};

/// A private companion of a grant, to the host. Signed by the grant's key.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Order {
    /// Which grant.
    #[n(1)]
    pub grant: GrantId,
    /// To which host.
    #[n(2)]
    pub host: OrganisationId,
    /// Opens the grant's commitment.
    #[n(3)]
    pub salt: Salt,
    /// What the grant covers.
    #[n(4)]
    pub scope: Scope,
}

impl Signed for Order {
    const TYPE: &'static str = "application/tegata-order+cbor";
    const LIMIT: usize = 16 * 1024;
}

/// Why an order or ticket does not fit its grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The envelope or its signature.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// Names another host.
    #[error("it is for host {0}")]
    OtherHost(OrganisationId),
    /// The scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

impl OrderError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cose(error) => error.code(),
            Self::OtherHost(_) => "order-host",
            Self::Scope(error) => error.code(),
        }
    }
}

impl Order {
    /// Reads an order, checks that the grant's own key signed it, and that it opens the grant's commitment.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn verify(
        bytes: &[u8],
        chain: &ChainId,
        id: &GrantId,
        grant: &Grant,
        host: &OrganisationId,
    ) -> Result<Self, OrderError> {
        let order = Self::open_by(bytes, &id.key(), chain)?;
        if order.grant != *id {
            return Err(CoseError::Signer {
                found: id.key(),
                expected: order.grant.key(),
            }
            .into());
        }
        if order.host != *host {
            return Err(OrderError::OtherHost(order.host));
        }
        order.scope.check()?;
        if order.scope.commitment(&order.salt) != grant.commitment {
            return Err(ScopeError::Commitment(grant.commitment).into());
        }
        Ok(order)
    }
}

/// What a wallet sends to its host to grant: the entry for the ledger with its two private companions.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct GrantSubmission {
    /// The grant's entry, signed by the grant's key, not yet countersigned.
    #[n(1)]
    pub entry: minicbor::bytes::ByteVec,
    /// The signed [`Order`].
    #[n(2)]
    pub order: minicbor::bytes::ByteVec,
    /// The sealed [`crate::ticket::Ticket`], which the host carries to the recipient's inbox.
    #[n(3)]
    pub ticket: minicbor::bytes::ByteVec,
}

impl GrantSubmission {
    /// The one-time grant of a presentation ([`crate::presentation`]): it opens no drawer, so it has neither order nor ticket.
    #[must_use]
    pub fn of_presentation(entry: Vec<u8>) -> Self {
        Self {
            entry: entry.into(),
            order: Vec::new().into(),
            ticket: Vec::new().into(),
        }
    }

    /// Whether it has neither order nor ticket.
    #[must_use]
    pub fn is_of_presentation(&self) -> bool {
        self.order.is_empty() && self.ticket.is_empty()
    }

    /// Longest encoding in bytes.
    pub const LIMIT: usize = 128 * 1024;
}
