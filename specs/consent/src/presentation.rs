//! Consent-checked presentations: the one-time grant that answers a verifier's signed request, and the check of it with no
//! network (`presentation.md`).
//!
//! The request comes first. The wallet signs a grant for one use that commits to the request's bytes, lets its host carry it
//! to the ledger, fetches the consent proof, and shows both with the credential. The verifier needs the chain id and a
//! trusted validator set, nothing else.

use crate::cbor::{self, CborError};
use crate::entry::Grant;
use crate::header::{FinalHeader, ValidatorSet};
use crate::ids::{ChainId, GrantId, Hash, OrganisationId, Salt, hash};
use crate::organisation::OrganisationState;
use crate::proof::{ProofError, Proven, StateProof};
use crate::state::{GrantState, Refusal};
use crate::status::{StatusListState, status_list_id};
use minicbor::{Decode, Encode};

/// How far the ledger's clock may be ahead of the verifier's, in milliseconds.
pub const CLOCK_SKEW_MS: u64 = 60_000;

/// `SHA-256("tegata/v1/presentation" ‖ 0 ‖ salt ‖ request)`: the commitment of a one-time grant. `request` is the signed
/// request as it was received, byte for byte. No scope opens it, so neither hosts nor validators release anything under it.
#[must_use]
pub fn presentation_commitment(salt: &Salt, request: &[u8]) -> Hash {
    Hash(hash("tegata/v1/presentation", &[&salt.0, request]))
}

/// What travels with a presented credential, in the claim `tegata_consent` of its key binding.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct PresentedConsent {
    /// The one-time grant.
    #[n(1)]
    pub grant: GrantId,
    /// Opens its commitment to the request.
    #[n(2)]
    pub salt: Salt,
    /// The consent proof.
    #[n(3)]
    pub proof: StateProof,
    /// State proof of the credential's issuer in the registry, for a verifier without network.
    #[n(4)]
    pub issuer: Option<StateProof>,
    /// State proof of the credential's status list, for a verifier without network.
    #[n(5)]
    pub status: Option<StateProof>,
}

/// The verifier's question, as the signed request put it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The signed request, byte for byte.
    pub request: &'a [u8],
    /// Who asks.
    pub recipient: &'a OrganisationId,
    /// Category codes of what is presented.
    pub categories: &'a [String],
    /// Purpose code.
    pub purpose: &'a str,
    /// Legal basis code.
    pub legal_basis: &'a str,
    /// How long copies are kept, in days.
    pub retention_days: u32,
    /// Until when the permission is asked for, in milliseconds since 1970.
    pub until_ms: u64,
}

/// Whose word counts, and how old it may be.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Which ledger.
    pub chain: &'a ChainId,
    /// Its validators.
    pub validators: &'a ValidatorSet,
    /// How old a proof's header may be, in milliseconds.
    pub age_max_ms: u64,
    /// Now, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Why a presentation's consent is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresentationError {
    /// Not the deterministic encoding of one.
    #[error("encoding: {0}")]
    Encoding(CborError),
    /// A proof does not hold.
    #[error("the {what} proof: {error}")]
    Proof {
        /// `consent`, `issuer` or `status list`.
        what: &'static str,
        /// Why.
        error: ProofError,
    },
    /// A proof of a header that is too old for this policy.
    #[error("the proof is of height {height}, {age_ms} ms ago; the policy allows {age_max_ms} ms")]
    TooOld {
        /// Its height.
        height: u64,
        /// How old it is, in milliseconds.
        age_ms: u64,
        /// How old it may be, in milliseconds.
        age_max_ms: u64,
    },
    /// A proof of a header that lies in the future.
    #[error("the proof is of {time_ms} ms, which is in the future")]
    Future {
        /// The header's time, in milliseconds since 1970.
        time_ms: u64,
    },
    /// The proof shows that there is no such grant.
    #[error("the ledger proves that there is no grant {0}")]
    NoSuchGrant(GrantId),
    /// The grant is for somebody else.
    #[error("the grant is for organisation {0}")]
    Recipient(OrganisationId),
    /// The grant answers another request, or the salt is another.
    #[error("salt and request do not open the grant's commitment {0}")]
    Commitment(Hash),
    /// The grant does not name a category of what is presented.
    #[error("the grant does not name category {0:?}")]
    Category(String),
    /// The grant is for another purpose.
    #[error("the grant is for purpose {0:?}")]
    Purpose(String),
    /// The grant rests on another legal basis.
    #[error("the grant rests on legal basis {0:?}")]
    LegalBasis(String),
    /// The grant says more days than were asked for, or lasts longer.
    #[error("the grant allows more than was asked for: {0}")]
    Beyond(&'static str),
    /// The grant is not for one use.
    #[error("the grant is not for one use")]
    NotOneTime,
    /// The grant was used by an access.
    #[error("the grant was used already")]
    Used,
    /// The grant does not stand.
    #[error("{0}")]
    NotStanding(Refusal),
    /// The issuer's proof is about something else than an organisation, or there is none in the registry.
    #[error("the issuer's proof shows no organisation in the registry")]
    NoIssuer,
}

impl PresentationError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Encoding(_) => "consent-encoding",
            Self::Proof { error, .. } => match error {
                ProofError::Encoding(_) => "consent-encoding",
                ProofError::Header(_) => "proof-header",
                ProofError::State(_) => "proof-state",
                ProofError::Inclusion(_) | ProofError::Entry(_) | ProofError::Value(_) => {
                    "proof-value"
                }
            },
            Self::TooOld { .. } => "proof-too-old",
            Self::Future { .. } => "proof-in-future",
            Self::NoSuchGrant(_) => "no-such-grant",
            Self::Recipient(_) => "not-recipient",
            Self::Commitment(_) => "request-mismatch",
            Self::Category(_) => "category-not-granted",
            Self::Purpose(_) => "purpose-mismatch",
            Self::LegalBasis(_) => "legal-basis-mismatch",
            Self::Beyond(_) => "beyond-request",
            Self::NotOneTime => "not-one-time",
            Self::Used => "used-up",
            Self::NotStanding(refusal) => refusal.code(),
            Self::NoIssuer => "no-such-organisation",
        }
    }
}

/// A consent that fits: nothing but [`PresentedConsent::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentChecked {
    id: GrantId,
    state: GrantState,
    header: FinalHeader,
}

impl ConsentChecked {
    /// Which grant.
    #[must_use]
    pub const fn id(&self) -> GrantId {
        self.id
    }
    /// What the person signed.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.state.grant
    }
    /// The header in which it was proven to stand.
    #[must_use]
    pub const fn header(&self) -> &FinalHeader {
        &self.header
    }
}

/// The grant that answers a question: one use, and a commitment to the request that no scope opens. It stands from
/// `from_ms` until the question's `until_ms`.
#[must_use]
pub fn one_time_grant(
    question: &Question<'_>,
    sponsor: OrganisationId,
    salt: &Salt,
    from_ms: u64,
) -> Grant {
    let mut categories = question.categories.to_vec();
    categories.sort_unstable();
    categories.dedup();
    Grant {
        recipient: *question.recipient,
        sponsor,
        categories,
        purpose: question.purpose.to_owned(),
        legal_basis: question.legal_basis.to_owned(),
        retention_days: question.retention_days,
        from_ms,
        until_ms: question.until_ms,
        uses_max: Some(1),
        commitment: presentation_commitment(salt, question.request),
        request: None,
    }
}

impl PresentedConsent {
    /// Longest encoding in bytes: three state proofs, and a little.
    pub const LIMIT: usize = 3 * StateProof::LIMIT + 256;

    /// The deterministic encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`PresentationError::Encoding`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PresentationError> {
        cbor::decode(bytes, Self::LIMIT).map_err(PresentationError::Encoding)
    }

    /// Checks, with no network, that the grant stood for this question at a height that is recent enough, and still stands by
    /// its own times.
    ///
    /// # Errors
    /// [`PresentationError`], naming what does not fit.
    pub fn check(
        &self,
        question: &Question<'_>,
        trust: &Trust<'_>,
    ) -> Result<ConsentChecked, PresentationError> {
        use PresentationError as E;
        let proven = self
            .proof
            .clone()
            .verify_grant(trust.chain, trust.validators, &self.grant)
            .map_err(proof("consent"))?;
        trust.recent(&proven.header)?;
        let state = proven.value.ok_or(E::NoSuchGrant(self.grant))?;
        let grant = &state.grant;
        if grant.recipient != *question.recipient {
            return Err(E::Recipient(grant.recipient));
        }
        if grant.commitment != presentation_commitment(&self.salt, question.request) {
            return Err(E::Commitment(grant.commitment));
        }
        if let Some(missing) = question
            .categories
            .iter()
            .find(|category| !grant.categories.contains(category))
        {
            return Err(E::Category(missing.clone()));
        }
        if grant.purpose != question.purpose {
            return Err(E::Purpose(grant.purpose.clone()));
        }
        if grant.legal_basis != question.legal_basis {
            return Err(E::LegalBasis(grant.legal_basis.clone()));
        }
        if grant.retention_days > question.retention_days {
            return Err(E::Beyond("retention"));
        }
        if grant.until_ms > question.until_ms {
            return Err(E::Beyond("end"));
        }
        if grant.uses_max != Some(1) {
            return Err(E::NotOneTime);
        }
        if state.uses != 0 {
            return Err(E::Used);
        }
        state
            .standing(proven.header.header().time_ms)
            .map_err(E::NotStanding)?;
        if trust.at_ms >= grant.until_ms {
            return Err(E::NotStanding(Refusal::Expired));
        }
        Ok(ConsentChecked {
            id: self.grant,
            state,
            header: proven.header,
        })
    }

    /// The credential's issuer as the registry had it at a recent height, where the presentation carries that proof.
    ///
    /// # Errors
    /// [`PresentationError`].
    pub fn issuer(
        &self,
        trust: &Trust<'_>,
    ) -> Result<Option<(OrganisationState, FinalHeader)>, PresentationError> {
        use PresentationError as E;
        let Some(carried) = &self.issuer else {
            return Ok(None);
        };
        let id = carried.key.strip_prefix(b"organisation/".as_slice());
        let id = id.and_then(|id| OrganisationId::try_from(id).ok());
        let proven = carried
            .clone()
            .verify_organisation(trust.chain, trust.validators, &id.ok_or(E::NoIssuer)?)
            .map_err(proof("issuer"))?;
        trust.recent(&proven.header)?;
        let state = proven.value.ok_or(E::NoIssuer)?;
        Ok(Some((state, proven.header)))
    }
}

impl PresentedConsent {
    /// Which status list under `uri` the ledger had as the issuer's newest at a recent height, where the presentation
    /// carries that proof.
    ///
    /// # Errors
    /// [`PresentationError`].
    pub fn status_list(
        &self,
        issuer: &OrganisationId,
        uri: &str,
        trust: &Trust<'_>,
    ) -> Result<Option<Proven<StatusListState>>, PresentationError> {
        let Some(carried) = &self.status else {
            return Ok(None);
        };
        let proven = carried
            .clone()
            .verify_status_list(trust.chain, trust.validators, issuer, &status_list_id(uri))
            .map_err(proof("status list"))?;
        trust.recent(&proven.header)?;
        Ok(Some(proven))
    }
}

impl Trust<'_> {
    fn recent(&self, header: &FinalHeader) -> Result<(), PresentationError> {
        let header = header.header();
        if header.time_ms > self.at_ms.saturating_add(CLOCK_SKEW_MS) {
            return Err(PresentationError::Future {
                time_ms: header.time_ms,
            });
        }
        let age_ms = self.at_ms.saturating_sub(header.time_ms);
        if age_ms > self.age_max_ms {
            return Err(PresentationError::TooOld {
                height: header.height,
                age_ms,
                age_max_ms: self.age_max_ms,
            });
        }
        Ok(())
    }
}

fn proof(what: &'static str) -> impl Fn(ProofError) -> PresentationError {
    move |error| PresentationError::Proof { what, error }
}
