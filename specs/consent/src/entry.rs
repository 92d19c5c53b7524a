//! Entries: what may be written to the ledger (`entries.md`, `entries.cddl`).
//!
//! An entry is a COSE_Sign1 of at most 16 KiB whose payload is `[kind, not-after, body]`. Its signer is named by `kid`:
//! the grant's own key for grants and revocations, a fresh key for reports of over-asking, an organisation's signing key for
//! what it says itself, an operator's for the registry. Countersigners are the sponsor (citizens' entries) or further operators (registry).

use crate::cbor::{self, CborError};
use crate::cose::{CoseError, Sign1};
use crate::ids::{ChainId, EntryId, GrantId, Hash, OrganisationId, PublicKey, SealKey, hash};
use crate::organisation::Organisation;
use ed25519_dalek::SigningKey;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Longest entry in bytes.
pub const ENTRY_LIMIT: usize = 16 * 1024;
/// How far ahead of the block's time `not-after` may lie, in milliseconds.
pub const NOT_AFTER_MAX_MS: u64 = 600_000;
/// The `typ` of entries.
pub const ENTRY_TYPE: &str = "application/tegata-entry+cbor";

/// Kinds of entries (`entries.cddl`), those of later versions included, so that their numbers stay theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each name is the kind's name in entries.cddl")]
pub enum Kind {
    OrganisationRegistered = 1,
    OrganisationChanged = 2,
    OrganisationSuspended = 3,
    ValidatorSet = 4,
    CommitteeDealing = 5,
    CommitteeComplaint = 6,
    CommitteeReveal = 7,
    CommitteeEpoch = 8,
    Grant = 16,
    Revocation = 17,
    Access = 18,
    StatusListPublished = 24,
    OverAsking = 25,
    ErasureRequested = 26,
    ErasureConfirmed = 27,
    EmergencyAccess = 28,
    EmergencyReviewed = 29,
    Evidence = 30,
}

/// A person's permission.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Grant {
    /// Who may read.
    #[n(1)]
    pub recipient: OrganisationId,
    /// The host that countersigns and carries this entry; never the recipient.
    #[n(2)]
    pub sponsor: OrganisationId,
    /// Category codes, sorted.
    #[n(3)]
    pub categories: Vec<String>,
    /// Purpose code.
    #[n(4)]
    pub purpose: String,
    /// Legal basis code (ISO/IEC TS 27560).
    #[n(5)]
    pub legal_basis: String,
    /// How long the recipient may keep copies, in days.
    #[n(6)]
    pub retention_days: u32,
    /// Stands from this time on, in milliseconds since 1970.
    #[n(7)]
    pub from_ms: u64,
    /// Stands until before this time, in milliseconds since 1970.
    #[n(8)]
    pub until_ms: u64,
    /// How many accesses are allowed; absent: no limit.
    #[n(9)]
    pub uses_max: Option<u32>,
    /// Salted commitment to the [`crate::scope::Scope`].
    #[n(10)]
    pub commitment: Hash,
    /// Salted hash of the consent request that this answers ([`crate::request::request_commitment`]).
    #[n(11)]
    pub request: Option<Hash>,
}

/// The end of a grant, signed by the grant's key.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Revocation {
    /// Which grant.
    #[n(1)]
    pub grant: GrantId,
    /// The host that countersigns and carries this entry.
    #[n(2)]
    pub sponsor: OrganisationId,
}

/// A recipient's request under a grant.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Access {
    /// Under which grant.
    #[n(1)]
    pub grant: GrantId,
    /// Who asks.
    #[n(2)]
    pub recipient: OrganisationId,
    /// Salted commitment to the [`crate::scope::Scope`] asked for.
    #[n(3)]
    pub commitment: Hash,
    /// A fresh key to which released shares are sealed.
    #[n(4)]
    pub ephemeral: SealKey,
}

/// A change of an organisation.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct OrganisationChange {
    /// Which.
    #[n(1)]
    pub id: OrganisationId,
    /// Its present sequence number plus one.
    #[n(2)]
    pub sequence: u32,
    /// All of it, anew.
    #[n(3)]
    pub organisation: Organisation,
}

/// The suspension of an organisation, or its end.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct OrganisationSuspension {
    /// Which.
    #[n(1)]
    pub id: OrganisationId,
    /// Its present sequence number plus one.
    #[n(2)]
    pub sequence: u32,
    /// Suspended from now on, or no longer.
    #[n(3)]
    pub suspended: bool,
}

/// An issuer signed a status list anew: whoever is shown another one finds out.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct StatusListPublished {
    /// The issuer.
    #[n(1)]
    pub issuer: OrganisationId,
    /// Which of its lists ([`crate::status::status_list_id`]).
    #[n(2)]
    pub list: Hash,
    /// SHA-256 of the signed list, byte for byte as it is served ([`crate::status::token_digest`]).
    #[n(3)]
    pub token: Hash,
    /// When it was signed (its `iat`), in milliseconds since 1970.
    #[n(4)]
    pub issued_ms: u64,
    /// How many records it recalls: those that hold them drop their copies.
    #[n(5)]
    pub recalled: u32,
}

/// An organisation asked for more than it is accredited for. Signed by a fresh key, carried by a sponsor.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct OverAsking {
    /// Who asked.
    #[n(1)]
    pub recipient: OrganisationId,
    /// The host that countersigns and carries this entry.
    #[n(2)]
    pub sponsor: OrganisationId,
    /// The evidence: the signed [`crate::request::ConsentRequest`], or the signed request object of OpenID4VP
    /// ([`crate::over_asking::RequestObject`]), byte for byte as it was received.
    #[n(3)]
    pub request: ByteVec,
}

/// A recipient dropped its copy of a recalled record.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct ErasureConfirmed {
    /// Under which grant it was read.
    #[n(1)]
    pub grant: GrantId,
    /// Who dropped it.
    #[n(2)]
    pub recipient: OrganisationId,
    /// Salted commitment to access and record ([`crate::status::erasure_commitment`]).
    #[n(3)]
    pub commitment: Hash,
}

/// What an entry says. The kinds that nothing uses yet have no variant: they are refused when read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An organisation joins the registry.
    OrganisationRegistered(Organisation),
    /// An organisation changes.
    OrganisationChanged(OrganisationChange),
    /// An organisation is suspended, or no longer.
    OrganisationSuspended(OrganisationSuspension),
    /// A person permits.
    Grant(Grant),
    /// A person ends a permission.
    Revocation(Revocation),
    /// A recipient asks to read.
    Access(Access),
    /// An issuer signed a status list anew.
    StatusListPublished(StatusListPublished),
    /// An organisation asked for more than it may.
    OverAsking(OverAsking),
    /// A recipient dropped a copy.
    ErasureConfirmed(ErasureConfirmed),
}

impl Body {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::OrganisationRegistered(_) => Kind::OrganisationRegistered,
            Self::OrganisationChanged(_) => Kind::OrganisationChanged,
            Self::OrganisationSuspended(_) => Kind::OrganisationSuspended,
            Self::Grant(_) => Kind::Grant,
            Self::Revocation(_) => Kind::Revocation,
            Self::Access(_) => Kind::Access,
            Self::StatusListPublished(_) => Kind::StatusListPublished,
            Self::OverAsking(_) => Kind::OverAsking,
            Self::ErasureConfirmed(_) => Kind::ErasureConfirmed,
        }
    }
}

/// `[kind, not-after, body]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Payload {
    not_after_ms: u64,
    body: Body,
}

impl<C> Encode<C> for Payload {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?
            .u8(self.body.kind() as u8)?
            .u64(self.not_after_ms)?;
        match &self.body {
            Body::OrganisationRegistered(body) => body.encode(e, ctx),
            Body::OrganisationChanged(body) => body.encode(e, ctx),
            Body::OrganisationSuspended(body) => body.encode(e, ctx),
            Body::Grant(body) => body.encode(e, ctx),
            Body::Revocation(body) => body.encode(e, ctx),
            Body::Access(body) => body.encode(e, ctx),
            Body::StatusListPublished(body) => body.encode(e, ctx),
            Body::OverAsking(body) => body.encode(e, ctx),
            Body::ErasureConfirmed(body) => body.encode(e, ctx),
        }
    }
}

impl<'b, C> Decode<'b, C> for Payload {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(3) {
            return Err(decode::Error::message(
                "an entry is [kind, not-after, body]",
            ));
        }
        let kind = d.u8()?;
        let not_after_ms = d.u64()?;
        let body = match kind {
            1 => Body::OrganisationRegistered(Organisation::decode(d, ctx)?),
            2 => Body::OrganisationChanged(OrganisationChange::decode(d, ctx)?),
            3 => Body::OrganisationSuspended(OrganisationSuspension::decode(d, ctx)?),
            16 => Body::Grant(Grant::decode(d, ctx)?),
            17 => Body::Revocation(Revocation::decode(d, ctx)?),
            18 => Body::Access(Access::decode(d, ctx)?),
            24 => Body::StatusListPublished(StatusListPublished::decode(d, ctx)?),
            25 => Body::OverAsking(OverAsking::decode(d, ctx)?),
            27 => Body::ErasureConfirmed(ErasureConfirmed::decode(d, ctx)?),
            _ => {
                return Err(decode::Error::message(format!(
                    "kind {kind} is not accepted by this version"
                )));
            }
        };
        Ok(Self { not_after_ms, body })
    }
}

/// Why an entry is refused before any state is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The envelope or a signature.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// The payload.
    #[error("payload: {0}")]
    Payload(CborError),
}

impl EntryError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cose(error) => error.code(),
            Self::Payload(_) => "entry-payload",
        }
    }
}

/// An entry that was read; its signatures have **not** been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    envelope: Sign1,
    payload: Payload,
}

impl Entry {
    /// Signs a new entry.
    #[must_use]
    pub fn sign(key: &SigningKey, chain: &ChainId, not_after_ms: u64, body: Body) -> Self {
        let payload = Payload { not_after_ms, body };
        let envelope = Sign1::sign(key, ENTRY_TYPE, chain, cbor::encode(&payload));
        Self { envelope, payload }
    }

    /// Adds a sponsor's or a further operator's countersignature.
    #[must_use]
    pub fn countersign(self, key: &SigningKey, chain: &ChainId) -> Self {
        Self {
            envelope: self.envelope.countersign(key, chain),
            payload: self.payload,
        }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`] for everything but signatures that do not hold, which [`Self::verify`] finds.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let envelope = Sign1::parse(bytes, ENTRY_LIMIT, ENTRY_TYPE)?;
        let payload = cbor::decode(envelope.payload(), ENTRY_LIMIT).map_err(EntryError::Payload)?;
        Ok(Self { envelope, payload })
    }

    /// Checks all signatures.
    ///
    /// # Errors
    /// [`EntryError::Cose`], naming the key whose signature does not hold.
    pub fn verify(self, chain: &ChainId) -> Result<VerifiedEntry, EntryError> {
        self.envelope.verify(chain)?;
        let id = self.id(chain);
        let bytes = self.envelope.to_bytes();
        Ok(VerifiedEntry {
            entry: self,
            chain: *chain,
            id,
            bytes,
        })
    }

    /// `SHA-256("tegata/v1/entry" ‖ 0 ‖ Sig_structure)`: what the signer signed, chain id included. Signatures are not part
    /// of it, so another countersignature does not make another entry.
    #[must_use]
    pub fn id(&self, chain: &ChainId) -> EntryId {
        EntryId(hash(
            "tegata/v1/entry",
            &[&self.envelope.signed_bytes(chain)],
        ))
    }

    /// What it says.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.payload.body
    }

    /// The last block time at which it may be written, in milliseconds since 1970.
    #[must_use]
    pub const fn not_after_ms(&self) -> u64 {
        self.payload.not_after_ms
    }

    /// The key that is said to have signed.
    #[must_use]
    pub const fn signer(&self) -> PublicKey {
        self.envelope.kid()
    }

    /// The keys that are said to have countersigned.
    #[must_use]
    pub fn countersigners(&self) -> &[PublicKey] {
        self.envelope.countersigners()
    }

    /// The encoded entry.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.envelope.to_bytes()
    }
}

/// An entry whose signature and countersignatures all hold. Whether the signers have the right to write it is the state
/// machine's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEntry {
    entry: Entry,
    chain: ChainId,
    id: EntryId,
    bytes: Vec<u8>,
}

impl VerifiedEntry {
    /// The entry.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The ledger for which its signatures hold.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// The encoded entry.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
