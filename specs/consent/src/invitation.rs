//! Deposit invitations: a vault's signed permission for one depositor (`vault.md`, section 2).

use crate::cose::{CoseError, Signed};
use crate::ids::{
    ChainId, DrawerId, Hash, Nonce, OrganisationId, PublicKey, SealKey, VaultId, hash,
};
use minicbor::{Decode, Encode};

/// The public side of a drawer.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Drawer {
    /// Its id, random.
    #[n(1)]
    pub id: DrawerId,
    /// Category code.
    #[n(2)]
    pub category: String,
    /// Counts up when a reader key must change (after a revocation); 1 for the first.
    #[n(3)]
    pub epoch: u32,
    /// Public half of the drawer key; the private half is the wallet's alone.
    #[n(4)]
    pub drawer_key: SealKey,
    /// Public half of the reader key.
    #[n(5)]
    pub reader_key: SealKey,
}

/// A vault's permission to deposit. Signed by the vault's key.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Invitation {
    /// Sealing suite for the drawers.
    #[n(1)]
    pub suite: u8,
    /// Where the vault lies.
    #[n(2)]
    pub host: OrganisationId,
    /// Who may deposit.
    #[n(3)]
    pub depositor: OrganisationId,
    /// [`pairing_hash`] of the code that the depositor gave after checking identity.
    #[n(4)]
    pub pairing: Hash,
    /// Into which drawers.
    #[n(5)]
    pub drawers: Vec<Drawer>,
    /// The key to which credentials are bound: Ed25519.
    #[n(6)]
    pub holder: PublicKey,
    /// Record types that may be deposited.
    #[n(7)]
    pub record_types: Vec<String>,
    /// Until before this time, in milliseconds since 1970.
    #[n(8)]
    pub expires_ms: u64,
    /// Random.
    #[n(9)]
    pub nonce: Nonce,
}

impl Signed for Invitation {
    const TYPE: &'static str = "application/tegata-invitation+cbor";
    const LIMIT: usize = 16 * 1024;
}

/// `SHA-256("tegata/v1/pairing" ‖ 0 ‖ depositor ‖ code)`: shows the depositor that the code is known, and nobody else what
/// it is. Codes have at least 80 random bits.
#[must_use]
pub fn pairing_hash(depositor: &OrganisationId, code: &str) -> Hash {
    Hash(hash("tegata/v1/pairing", &[&depositor.0, code.as_bytes()]))
}

/// Digest of an encoded invitation, as deposits name it.
#[must_use]
pub fn invitation_digest(bytes: &[u8]) -> Hash {
    Hash(hash("tegata/v1/invitation", &[bytes]))
}

/// Why an invitation is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// The envelope or its signature.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// For another depositor.
    #[error("the invitation is for depositor {0}")]
    OtherDepositor(OrganisationId),
    /// For another host.
    #[error("the invitation names host {0}")]
    OtherHost(OrganisationId),
    /// Its time is over.
    #[error("the invitation expired at {0} ms")]
    Expired(u64),
    /// Not the code that was given.
    #[error("the invitation answers another pairing code")]
    OtherPairing,
    /// No drawer, or too many, or one twice.
    #[error("an invitation names 1 to 64 different drawers and 1 to 64 record types")]
    Size,
    /// A suite that this version does not know.
    #[error("sealing suite {0} is not known")]
    Suite(u8),
}

impl InvitationError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cose(error) => error.code(),
            Self::OtherDepositor(_) => "invitation-depositor",
            Self::OtherHost(_) => "invitation-host",
            Self::Expired(_) => "invitation-expired",
            Self::OtherPairing => "invitation-pairing",
            Self::Size => "invitation-size",
            Self::Suite(_) => "invitation-suite",
        }
    }
}

/// An invitation whose vault's signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInvitation {
    /// Which vault signed.
    pub vault: VaultId,
    /// What it says.
    pub invitation: Invitation,
    /// Its digest.
    pub digest: Hash,
}

impl Invitation {
    /// Reads an invitation and checks signature, shape and depositor. Expiry and pairing are checked where they count:
    /// [`VerifiedInvitation::check_open`].
    ///
    /// # Errors
    /// [`InvitationError`].
    pub fn verify(
        bytes: &[u8],
        chain: &ChainId,
        depositor: &OrganisationId,
    ) -> Result<VerifiedInvitation, InvitationError> {
        let (invitation, signer) = Self::open(bytes, chain)?;
        if invitation.depositor != *depositor {
            return Err(InvitationError::OtherDepositor(invitation.depositor));
        }
        if invitation.suite != crate::SUITE_X25519 {
            return Err(InvitationError::Suite(invitation.suite));
        }
        let mut ids: Vec<_> = invitation.drawers.iter().map(|drawer| drawer.id).collect();
        ids.sort_unstable();
        let sizes = 1..=64;
        if !sizes.contains(&ids.len())
            || !sizes.contains(&invitation.record_types.len())
            || !ids.is_sorted_by(|a, b| a < b)
        {
            return Err(InvitationError::Size);
        }
        Ok(VerifiedInvitation {
            vault: VaultId(signer.0),
            invitation,
            digest: invitation_digest(bytes),
        })
    }
}

impl VerifiedInvitation {
    /// Checks that it answers this pairing code and is not expired.
    ///
    /// # Errors
    /// [`InvitationError::OtherPairing`] or [`InvitationError::Expired`].
    pub fn check_open(&self, pairing: &Hash, at_ms: u64) -> Result<(), InvitationError> {
        if self.invitation.pairing != *pairing {
            return Err(InvitationError::OtherPairing);
        }
        if at_ms >= self.invitation.expires_ms {
            return Err(InvitationError::Expired(self.invitation.expires_ms));
        }
        Ok(())
    }

    /// The drawer for a category, of the newest epoch.
    #[must_use]
    pub fn drawer(&self, category: &str) -> Option<&Drawer> {
        self.invitation
            .drawers
            .iter()
            .filter(|drawer| drawer.category == category)
            .max_by_key(|drawer| drawer.epoch)
    }
}
