//! What a host accepts into a drawer (`specs/consent/vault.md`, sections 2 to 4).
//!
//! The invitation's expiry counts for deposits as well as for pairing: under an invitation that has expired nothing new is
//! accepted, and the wallet invites anew. A deposit that was accepted before is still answered with its receipt.

use crate::config::Limits;
use crate::rows::DrawerRow;
use tegata_consent::deposit::{Deposit, DepositError, SealedRecord, VerifiedDeposit};
use tegata_consent::ids::{ChainId, DrawerId, OrganisationId, PublicKey};
use tegata_consent::invitation::{Drawer, Invitation, InvitationError, VerifiedInvitation};
use tegata_consent::lock::{Lock, SealError};
use tegata_consent::organisation::{OrganisationState, Role};

/// How far ahead of the clock a record's date may lie: one day, for time zones and dates without a time.
pub(crate) const DATE_AHEAD_MAX_MS: u64 = 24 * 3_600_000;

/// Why a deposit is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DepositRefused {
    /// No such drawer here.
    #[error("there is no drawer {0} here")]
    NoDrawer(DrawerId),
    /// Longer than this host takes.
    #[error("the sealed file has {length} bytes, this host takes {most}")]
    Size {
        /// Its length in bytes.
        length: u64,
        /// The most that is taken.
        most: u64,
    },
    /// A deposit that brings a receipt along.
    #[error("a deposit has no receipt on the way in")]
    Receipt,
    /// The deposit's own statement, file or lock.
    #[error("deposit: {0}")]
    Deposit(#[from] DepositError),
    /// Not a lock.
    #[error("lock: {0}")]
    Lock(#[from] SealError),
    /// For another drawer than the one in the path.
    #[error("the deposit is for drawer {0}")]
    OtherDrawer(DrawerId),
    /// A record from the future.
    #[error("the record's date {date_ms} is more than a day after now, {now_ms}")]
    Date {
        /// The record's, in milliseconds since 1970.
        date_ms: u64,
        /// The host's, in milliseconds since 1970.
        now_ms: u64,
    },
    /// Not in the registry.
    #[error("depositor {0} is not registered")]
    NoDepositor(OrganisationId),
    /// In the registry, but not as an issuer.
    #[error("depositor {0} is not registered as an issuer")]
    NotIssuer(OrganisationId),
    /// Suspended.
    #[error("depositor {0} is suspended")]
    Suspended(OrganisationId),
    /// Signed by a key that does not count for the depositor now.
    #[error("key {key} does not sign for depositor {depositor} now")]
    Key {
        /// The signer.
        key: PublicKey,
        /// Who is said to deposit.
        depositor: OrganisationId,
    },
    /// The invitation.
    #[error("invitation: {0}")]
    Invitation(#[from] InvitationError),
    /// Another invitation than the signed one.
    #[error("the deposit names another invitation than the one beside it")]
    OtherInvitation,
    /// Signed by another vault than the drawer's.
    #[error("the invitation's vault does not own drawer {0}")]
    NotOwner(DrawerId),
    /// Does not name the drawer.
    #[error("the invitation does not name drawer {0}")]
    NotInvited(DrawerId),
    /// Names the drawer with other keys, category or epoch than it has.
    #[error("the invitation names drawer {0} with another key, category or epoch than it has")]
    OtherKeys(DrawerId),
    /// Another deposit has the record's id.
    #[error("another deposit in this drawer has the same record id")]
    RecordExists,
    /// No room.
    #[error("the drawer holds {0} deposits and takes no more")]
    Full(u64),
}

impl DepositRefused {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoDrawer(_) => "drawer-unknown",
            Self::Size { .. } => "deposit-size",
            Self::Receipt => "deposit-receipt",
            Self::Deposit(DepositError::Cose(_)) | Self::Key { .. } => "deposit-signature",
            Self::Deposit(DepositError::File) => "deposit-file",
            Self::Deposit(DepositError::Lock) | Self::Lock(_) => "deposit-lock",
            Self::OtherDrawer(_) => "deposit-drawer",
            Self::Date { .. } => "deposit-date",
            Self::NoDepositor(_) => "depositor-unknown",
            Self::NotIssuer(_) => "depositor-role",
            Self::Suspended(_) => "depositor-suspended",
            Self::Invitation(InvitationError::Cose(_)) => "invitation-signature",
            Self::Invitation(InvitationError::OtherDepositor(_)) => "invitation-depositor",
            Self::Invitation(InvitationError::OtherHost(_)) => "invitation-host",
            Self::Invitation(InvitationError::Expired(_)) => "invitation-expired",
            Self::Invitation(InvitationError::OtherPairing) => "invitation-pairing",
            Self::Invitation(InvitationError::Size) => "invitation-size",
            Self::Invitation(InvitationError::Suite(_)) => "invitation-suite",
            Self::OtherInvitation => "invitation-digest",
            Self::NotOwner(_) => "invitation-vault",
            Self::NotInvited(_) => "invitation-drawer",
            Self::OtherKeys(_) => "invitation-keys",
            Self::RecordExists => "record-exists",
            Self::Full(_) => "drawer-full",
        }
    }
}

/// A deposit whose own papers hold. Whether it may go into the drawer is asked of [`admit`].
#[derive(Debug)]
pub(crate) struct ReadDeposit {
    /// As sent.
    pub(crate) sealed: SealedRecord,
    /// What the depositor signed.
    pub(crate) verified: VerifiedDeposit,
}

/// Checks everything that needs neither registry nor clock: sizes, signature, digests of file and lock.
pub(crate) fn read(
    sealed: SealedRecord,
    drawer: &DrawerId,
    chain: &ChainId,
    limits: &Limits,
) -> Result<ReadDeposit, DepositRefused> {
    let length = sealed.file.len() as u64;
    if length > limits.file_bytes_max {
        return Err(DepositRefused::Size {
            length,
            most: limits.file_bytes_max,
        });
    }
    if sealed.receipt.is_some() {
        return Err(DepositRefused::Receipt);
    }
    let lock = Lock::parse(&sealed.lock)?;
    let verified = Deposit::verify(&sealed.deposit, chain, &sealed.file, &lock)?;
    if verified.deposit.drawer != *drawer {
        return Err(DepositRefused::OtherDrawer(verified.deposit.drawer));
    }
    Ok(ReadDeposit { sealed, verified })
}

/// What stands around a deposit now.
pub(crate) struct Surroundings<'a> {
    /// Which ledger.
    pub(crate) chain: &'a ChainId,
    /// This host.
    pub(crate) host: &'a OrganisationId,
    /// The drawer.
    pub(crate) row: &'a DrawerRow,
    /// The depositor as registered.
    pub(crate) depositor: Option<&'a OrganisationState>,
    /// Milliseconds since 1970.
    pub(crate) now_ms: u64,
}

/// Checks that a deposit may go into its drawer now, and gives the invitation under which it may.
pub(crate) fn admit(
    read: &ReadDeposit,
    around: &Surroundings<'_>,
) -> Result<VerifiedInvitation, DepositRefused> {
    let Deposit {
        depositor,
        drawer,
        date_ms,
        invitation,
        ..
    } = &read.verified.deposit;
    let now_ms = around.now_ms;
    let state = around
        .depositor
        .ok_or(DepositRefused::NoDepositor(*depositor))?;
    if !state.has_role(Role::Issuer) {
        return Err(DepositRefused::NotIssuer(*depositor));
    }
    if state.suspended_at(now_ms) {
        return Err(DepositRefused::Suspended(*depositor));
    }
    if !state.signs_with(&read.verified.signer, now_ms) {
        return Err(DepositRefused::Key {
            key: read.verified.signer,
            depositor: *depositor,
        });
    }
    if *date_ms > now_ms.saturating_add(DATE_AHEAD_MAX_MS) {
        return Err(DepositRefused::Date {
            date_ms: *date_ms,
            now_ms,
        });
    }
    let verified = Invitation::verify(&read.sealed.invitation, around.chain, depositor)?;
    if verified.digest != *invitation {
        return Err(DepositRefused::OtherInvitation);
    }
    if verified.invitation.host != *around.host {
        return Err(InvitationError::OtherHost(verified.invitation.host).into());
    }
    if now_ms >= verified.invitation.expires_ms {
        return Err(InvitationError::Expired(verified.invitation.expires_ms).into());
    }
    if verified.vault != around.row.vault {
        return Err(DepositRefused::NotOwner(*drawer));
    }
    let named: &Drawer = verified
        .invitation
        .drawers
        .iter()
        .find(|named| named.id == *drawer)
        .ok_or(DepositRefused::NotInvited(*drawer))?;
    if *named != around.row.drawer {
        return Err(DepositRefused::OtherKeys(*drawer));
    }
    Ok(verified)
}
