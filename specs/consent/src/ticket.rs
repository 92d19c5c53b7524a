//! Tickets: what a recipient needs to read under a grant (`grant.md`, section 4).

use crate::cbor;
use crate::cose::{CoseError, Sign1, Signed};
use crate::entry::Grant;
use crate::ids::{ChainId, DrawerId, GrantId, Hash, OrganisationId, Salt, SealKey, VaultId};
use crate::keys::Secret;
use crate::lock::{SealError, Sealed, open, seal};
use crate::order::OrderError;
use crate::scope::{Scope, ScopeError};
use ed25519_dalek::SigningKey;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// A drawer that a ticket opens.
#[derive(Encode, Decode, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct TicketDrawer {
    /// Its id.
    #[n(1)]
    pub id: DrawerId,
    /// Category code.
    #[n(2)]
    pub category: String,
    /// Private half of the reader key.
    #[n(3)]
    reader: ByteArray<32>,
}

impl TicketDrawer {
    /// A drawer with its reader key.
    #[must_use]
    pub fn new(id: DrawerId, category: String, reader: &Secret) -> Self {
        Self {
            id,
            category,
            reader: ByteArray::from(*reader.expose()),
        }
    }

    /// Private half of the reader key.
    #[must_use]
    pub fn reader(&self) -> Secret {
        Secret::new(*self.reader)
    }
}

impl Drop for TicketDrawer {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.reader[..]);
    }
}

impl std::fmt::Debug for TicketDrawer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketDrawer({}, {:?}, …)", self.id, self.category)
    }
}

/// A private companion of a grant, to the recipient. Signed by the grant's key, then sealed to the recipient.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Ticket {
    /// Which grant.
    #[n(1)]
    pub grant: GrantId,
    /// Where the vault lies.
    #[n(2)]
    pub host: OrganisationId,
    /// Which vault: its key signed the invitations under which records came.
    #[n(3)]
    pub vault: VaultId,
    /// Drawers with reader keys.
    #[n(4)]
    pub drawers: Vec<TicketDrawer>,
    /// Opens the grant's commitment.
    #[n(5)]
    pub salt: Salt,
    /// What the grant covers.
    #[n(6)]
    pub scope: Scope,
    /// The reference that the recipient asked under.
    #[n(7)]
    pub reference: String,
    /// Opens the grant's commitment to the consent request, where it answers one.
    #[n(8)]
    pub request_salt: Option<Salt>,
    /// SHA-256 of the consent request with tag "tegata/v1/request-digest", where it answers one.
    #[n(9)]
    pub request: Option<Hash>,
}

impl Signed for Ticket {
    const TYPE: &'static str = "application/tegata-ticket+cbor";
    const LIMIT: usize = 64 * 1024;
}

const TICKET_INFO: &str = "tegata/v1/ticket";

/// Digest of an encoded consent request, as tickets name it.
#[must_use]
pub fn request_digest(request: &[u8]) -> Hash {
    Hash(crate::ids::hash("tegata/v1/request-digest", &[request]))
}

/// Why a ticket is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Does not fit its grant.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Names a drawer outside its own scope, or lacks one.
    #[error("the ticket's drawers are not those of its scope")]
    Drawers,
}

impl TicketError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Seal(error) => error.code(),
            Self::Order(error) => error.code(),
            Self::Drawers => "ticket-drawers",
        }
    }
}

impl Ticket {
    /// Signs with the grant's key and seals to the recipient's [`crate::organisation::KeyUse::Seal`] key.
    ///
    /// # Errors
    /// [`SealError::Key`] for an unusable key.
    pub fn seal_to(
        &self,
        grant_key: &SigningKey,
        recipient: &OrganisationId,
        to: &SealKey,
        chain: &ChainId,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let signed: Sign1 = self.sign(grant_key, chain);
        let bytes = Zeroizing::new(signed.to_bytes());
        let sealed = seal(
            to,
            TICKET_INFO,
            &context(chain, &self.grant, recipient),
            &bytes,
            rng,
        )?;
        Ok(cbor::encode(&sealed))
    }

    /// Opens a sealed ticket, and checks that the grant's own key signed it and that it opens the grant's commitment.
    ///
    /// # Errors
    /// [`TicketError`].
    pub fn open_sealed(
        bytes: &[u8],
        secret: &Secret,
        recipient: &OrganisationId,
        chain: &ChainId,
        id: &GrantId,
        grant: &Grant,
    ) -> Result<Self, TicketError> {
        let sealed: Sealed = cbor::decode(bytes, Self::LIMIT).map_err(SealError::from)?;
        let plaintext = Zeroizing::new(open(
            &sealed,
            secret,
            TICKET_INFO,
            &context(chain, id, recipient),
        )?);
        let cose = |error: CoseError| TicketError::Order(error.into());
        let ticket = Self::open_by(&plaintext, &id.key(), chain).map_err(cose)?;
        if ticket.grant != *id {
            return Err(cose(CoseError::Signer {
                found: id.key(),
                expected: ticket.grant.key(),
            }));
        }
        let scope = |error: ScopeError| TicketError::Order(error.into());
        ticket.scope.check().map_err(scope)?;
        if ticket.scope.commitment(&ticket.salt) != grant.commitment {
            return Err(scope(ScopeError::Commitment(grant.commitment)));
        }
        let mut drawers: Vec<_> = ticket.drawers.iter().map(|drawer| drawer.id).collect();
        drawers.sort_unstable();
        if drawers != ticket.scope.drawers {
            return Err(TicketError::Drawers);
        }
        Ok(ticket)
    }
}

fn context(chain: &ChainId, grant: &GrantId, recipient: &OrganisationId) -> Vec<u8> {
    [chain.0, grant.0, recipient.0].concat()
}
