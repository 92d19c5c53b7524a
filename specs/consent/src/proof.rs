//! Receipts and state proofs that stand on their own: header, certificate, path (`proofs.md`, sections 1 to 3).
//!
//! Whoever trusts a validator set checks them with no network. A state proof of a grant is a **consent proof**.

use crate::cbor::{self, CborError};
use crate::entry::{Entry, EntryError, VerifiedEntry};
use crate::header::{CertifiedHeader, FinalHeader, HeaderError, ValidatorSet};
use crate::ids::{ChainId, GrantId, Hash, OrganisationId};
use crate::log::{LogError, LogLeaf, verify_inclusion};
use crate::organisation::OrganisationState;
use crate::state::{GrantState, StateKey};
use crate::status::{ErasureState, OverAskingState, StatusListState};
use crate::tree::{TreeError, TreeProof};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// Why a receipt or state proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not the deterministic encoding of one.
    #[error("encoding: {0}")]
    Encoding(#[from] CborError),
    /// The header is not proven final.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The entry is not proven to be in the log.
    #[error("inclusion: {0}")]
    Inclusion(#[from] LogError),
    /// The entry does not hold.
    #[error("entry: {0}")]
    Entry(#[from] EntryError),
    /// The state is not proven.
    #[error("state: {0}")]
    State(#[from] TreeError),
    /// A value that is not what stands under such keys.
    #[error("the proven value is damaged: {0}")]
    Value(CborError),
}

impl ProofError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Encoding(_) => "proof-encoding",
            Self::Header(error) => error.code(),
            Self::Inclusion(error) => error.code(),
            Self::Entry(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Value(_) => "proof-value",
        }
    }
}

/// Proof that an entry is on the ledger.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct Receipt {
    /// A header at or after the entry's block.
    #[n(0)]
    pub certified: CertifiedHeader,
    /// Index of the entry in the log.
    #[n(1)]
    pub index: u64,
    /// The entry with its outcome.
    #[n(2)]
    pub leaf: LogLeaf,
    /// Inclusion proof in the header's log.
    #[n(3)]
    pub path: Vec<Hash>,
}

/// A receipt that holds.
#[derive(Debug, Clone)]
pub struct VerifiedReceipt {
    /// The header it was proven in.
    pub header: FinalHeader,
    /// Index in the log.
    pub index: u64,
    /// Height, time and outcome.
    pub leaf: LogLeaf,
    /// The entry.
    pub entry: VerifiedEntry,
}

impl Receipt {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 64 * 1024;

    /// Reads a receipt.
    ///
    /// # Errors
    /// [`ProofError::Encoding`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        Ok(cbor::decode(bytes, Self::LIMIT)?)
    }

    /// Checks header, inclusion and the entry's own signatures.
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
    ) -> Result<VerifiedReceipt, ProofError> {
        let header = self.certified.verify(chain, validators)?;
        let (size, root) = (header.header().log_size, header.header().log_root);
        verify_inclusion(&self.leaf.hash(), self.index, size, &self.path, &root)?;
        let entry = Entry::parse(&self.leaf.entry)?.verify(chain)?;
        Ok(VerifiedReceipt {
            header,
            index: self.index,
            leaf: self.leaf,
            entry,
        })
    }
}

/// Proof of what stands (or does not) under one key of the state at one height.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct StateProof {
    /// The header.
    #[n(0)]
    pub certified: CertifiedHeader,
    /// The key.
    #[n(1)]
    pub key: ByteVec,
    /// The value; absent where the proof shows that the key is absent.
    #[n(2)]
    pub value: Option<ByteVec>,
    /// The way to the root.
    #[n(3)]
    pub proof: TreeProof,
}

/// What a state proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven<T> {
    /// At this height and time.
    pub header: FinalHeader,
    /// This stands; absent: nothing does.
    pub value: Option<T>,
}

impl StateProof {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 64 * 1024;

    /// Reads a state proof.
    ///
    /// # Errors
    /// [`ProofError::Encoding`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        Ok(cbor::decode(bytes, Self::LIMIT)?)
    }

    /// Checks a proof about any key.
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
        key: &StateKey,
    ) -> Result<Proven<Vec<u8>>, ProofError> {
        if *self.key != *key.as_bytes() {
            return Err(TreeError::Leaf.into());
        }
        let header = self.certified.verify(chain, validators)?;
        let value = self.value.map(Vec::from);
        self.proof.verify(
            &header.header().state_root,
            key.as_bytes(),
            value.as_deref(),
        )?;
        Ok(Proven { header, value })
    }

    /// Checks a consent proof.
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify_grant(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
        grant: &GrantId,
    ) -> Result<Proven<GrantState>, ProofError> {
        self.verify(chain, validators, &StateKey::grant(grant))?
            .read()
    }

    /// Checks a proof about an organisation.
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify_organisation(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
        organisation: &OrganisationId,
    ) -> Result<Proven<OrganisationState>, ProofError> {
        self.verify(chain, validators, &StateKey::organisation(organisation))?
            .read()
    }
}

impl StateProof {
    /// Checks a proof about one of an issuer's status lists ([`crate::status::status_list_id`]).
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify_status_list(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
        issuer: &OrganisationId,
        list: &Hash,
    ) -> Result<Proven<StatusListState>, ProofError> {
        let key = StateKey::status_list(issuer, list);
        self.verify(chain, validators, &key)?.read()
    }

    /// Checks a proof about a reported request ([`crate::over_asking::evidence_digest`]).
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify_over_asking(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
        request: &Hash,
    ) -> Result<Proven<OverAskingState>, ProofError> {
        self.verify(chain, validators, &StateKey::over_asking(request))?
            .read()
    }

    /// Checks a proof about an erasure ([`crate::status::erasure_commitment`]).
    ///
    /// # Errors
    /// [`ProofError`], naming the part.
    pub fn verify_erasure(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
        recipient: &OrganisationId,
        commitment: &Hash,
    ) -> Result<Proven<ErasureState>, ProofError> {
        self.verify(chain, validators, &StateKey::erasure(recipient, commitment))?
            .read()
    }
}

impl Proven<Vec<u8>> {
    fn read<T: Encode<()> + for<'b> Decode<'b, ()>>(self) -> Result<Proven<T>, ProofError> {
        let read =
            |bytes: Vec<u8>| cbor::decode(&bytes, StateProof::LIMIT).map_err(ProofError::Value);
        Ok(Proven {
            header: self.header,
            value: self.value.map(read).transpose()?,
        })
    }
}
