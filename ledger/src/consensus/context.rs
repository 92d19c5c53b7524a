//! Our types in the roles that Malachite's `Context` names.

use arc_malachitebft_app_channel::app::types::core::{
    self as roles, LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::sync::Arc;
use tegata_consent::cose;
use tegata_consent::header::{self, VoteStep, vote_bytes};
use tegata_consent::ids::{Address, ChainId, Hash, PublicKey};

/// Our instance of Malachite.
#[derive(Clone, Debug)]
pub(super) struct Ledger;

/// A validator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ValidatorAddress(pub(super) Address);

/// A height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockHeight(pub(super) u64);

/// What is voted on: the hash of a header. The block itself travels as proposal parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HeaderHash(pub(super) Hash);

macro_rules! shown_as_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
shown_as_inner!(ValidatorAddress, BlockHeight, HeaderHash);

macro_rules! debug_as_inner {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}
debug_as_inner!(ValidatorAddress, HeaderHash);

impl roles::Address for ValidatorAddress {}

impl roles::Height for BlockHeight {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0 + n)
    }
    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }
    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl roles::Value for HeaderHash {
    type Id = Self;
    fn id(&self) -> Self {
        *self
    }
}

/// Ed25519 as the ledger uses it: strict verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ed25519;

/// A signature of a vote, proposal or part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VoteSignature(pub(super) [u8; 64]);

impl fmt::Debug for VoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteSignature({})", hex::encode(&self.0[..4]))
    }
}

/// A consensus key, decompressed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConsensusKey(VerifyingKey);

impl ConsensusKey {
    /// Reads a key; `None` if it is not a point.
    pub(super) fn new(key: &PublicKey) -> Option<Self> {
        VerifyingKey::from_bytes(&key.0).ok().map(Self)
    }
    pub(super) fn verifies(&self, message: &[u8], signature: &VoteSignature) -> bool {
        self.0
            .verify_strict(message, &Signature::from_bytes(&signature.0))
            .is_ok()
    }
}

impl roles::SigningScheme for Ed25519 {
    type DecodingError = &'static str;
    type Signature = VoteSignature;
    type PublicKey = ConsensusKey;
    type PrivateKey = SigningKey;
    fn decode_signature(bytes: &[u8]) -> Result<VoteSignature, &'static str> {
        bytes
            .try_into()
            .map(VoteSignature)
            .map_err(|_| "a signature has 64 bytes")
    }
    fn encode_signature(signature: &VoteSignature) -> Vec<u8> {
        signature.0.to_vec()
    }
    fn decode_public_key(bytes: &[u8]) -> Result<ConsensusKey, &'static str> {
        let key = PublicKey::try_from(bytes).map_err(|_| "a consensus key has 32 bytes")?;
        ConsensusKey::new(&key).ok_or("not an Ed25519 key")
    }
    fn encode_public_key(key: &ConsensusKey) -> Vec<u8> {
        key.0.to_bytes().to_vec()
    }
}

/// Signs what [`ConsensusKey::verifies`] checks.
pub(super) fn sign(key: &SigningKey, message: &[u8]) -> VoteSignature {
    VoteSignature(key.sign(message).to_bytes())
}

/// A validator with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validator {
    pub(super) address: ValidatorAddress,
    pub(super) key: ConsensusKey,
    pub(super) power: u64,
}

impl roles::Validator<Ledger> for Validator {
    fn address(&self) -> &ValidatorAddress {
        &self.address
    }
    fn public_key(&self) -> &ConsensusKey {
        &self.key
    }
    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// The validators of a height, in the order of [`header::ValidatorSet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators(Arc<Vec<Validator>>);

impl Validators {
    /// From the set that stands in the state; a key that is not a point names the culprit.
    pub(super) fn new(set: &header::ValidatorSet) -> Result<Self, cose::CoseError> {
        let validator = |validator: &header::Validator| -> Result<Validator, cose::CoseError> {
            let key =
                ConsensusKey::new(&validator.key).ok_or(cose::CoseError::Key(validator.key))?;
            Ok(Validator {
                address: ValidatorAddress(Address::of(&validator.key)),
                key,
                power: validator.power,
            })
        };
        Ok(Self(Arc::new(
            set.validators()
                .iter()
                .map(validator)
                .collect::<Result<_, _>>()?,
        )))
    }

    pub(super) fn get(&self, address: &ValidatorAddress) -> Option<&Validator> {
        self.0
            .iter()
            .find(|validator| validator.address == *address)
    }

    /// Who proposes: in turn, one step further with each height and each round.
    pub(super) fn proposer(&self, height: BlockHeight, round: Round) -> &Validator {
        let round = u64::from(round.as_u32().unwrap_or(0));
        let turn = (height.0.saturating_sub(1) + round) % self.0.len() as u64;
        &self.0[usize::try_from(turn).expect("an index below the number of validators")]
    }
}

impl roles::ValidatorSet<Ledger> for Validators {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total_voting_power(&self) -> u64 {
        self.0.iter().map(|validator| validator.power).sum()
    }
    fn get_by_address(&self, address: &ValidatorAddress) -> Option<&Validator> {
        self.get(address)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

/// A prevote or precommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) step: VoteType,
    pub(super) height: BlockHeight,
    pub(super) round: Round,
    pub(super) value: NilOrVal<HeaderHash>,
    pub(super) address: ValidatorAddress,
}

impl Vote {
    /// What is signed; a light client needs only [`vote_bytes`].
    pub(super) fn signed_bytes(&self, chain: &ChainId) -> Vec<u8> {
        let step = match self.step {
            VoteType::Prevote => VoteStep::Prevote,
            VoteType::Precommit => VoteStep::Precommit,
        };
        let value = match &self.value {
            NilOrVal::Nil => None,
            NilOrVal::Val(value) => Some(&value.0),
        };
        vote_bytes(
            chain,
            step,
            self.height.0,
            self.round.as_i64(),
            value,
            &self.address.0,
        )
    }
}

impl roles::Vote<Ledger> for Vote {
    fn height(&self) -> BlockHeight {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<HeaderHash> {
        &self.value
    }
    fn take_value(self) -> NilOrVal<HeaderHash> {
        self.value
    }
    fn vote_type(&self) -> VoteType {
        self.step
    }
    fn validator_address(&self) -> &ValidatorAddress {
        &self.address
    }
    fn extension(&self) -> Option<&SignedExtension<Ledger>> {
        None
    }
    fn take_extension(&mut self) -> Option<SignedExtension<Ledger>> {
        None
    }
    fn extend(self, _: SignedExtension<Ledger>) -> Self {
        self
    }
}

/// A proposal of a header for a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) height: BlockHeight,
    pub(super) round: Round,
    pub(super) value: HeaderHash,
    pub(super) pol_round: Round,
    pub(super) address: ValidatorAddress,
}

impl Proposal {
    /// What is signed.
    pub(super) fn signed_bytes(&self, chain: &ChainId) -> Vec<u8> {
        let mut bytes = b"tegata/v1/proposal\0".to_vec();
        bytes.extend_from_slice(&chain.0);
        bytes.extend_from_slice(&self.height.0.to_be_bytes());
        bytes.extend_from_slice(&self.round.as_i64().to_be_bytes());
        bytes.extend_from_slice(&self.pol_round.as_i64().to_be_bytes());
        bytes.extend_from_slice(&self.value.0.0);
        bytes.extend_from_slice(&self.address.0.0);
        bytes
    }
}

impl roles::Proposal<Ledger> for Proposal {
    fn height(&self) -> BlockHeight {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &HeaderHash {
        &self.value
    }
    fn take_value(self) -> HeaderHash {
        self.value
    }
    fn pol_round(&self) -> Round {
        self.pol_round
    }
    fn validator_address(&self) -> &ValidatorAddress {
        &self.address
    }
}

/// The first part of a streamed block: what follows, signed by whoever streams it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) height: BlockHeight,
    pub(super) round: u32,
    /// The round in which this value got its prevotes, if it is proposed again.
    pub(super) valid_round: Option<u32>,
    /// Who streams it: the proposer of the round, or anybody who restreams.
    pub(super) streamer: ValidatorAddress,
    pub(super) value: HeaderHash,
    /// Length of the block in bytes.
    pub(super) length: u32,
}

impl Announcement {
    /// What is signed.
    pub(super) fn signed_bytes(&self, chain: &ChainId) -> Vec<u8> {
        let mut bytes = b"tegata/v1/part\0".to_vec();
        bytes.extend_from_slice(&chain.0);
        bytes.extend_from_slice(&self.height.0.to_be_bytes());
        bytes.extend_from_slice(&self.round.to_be_bytes());
        bytes.extend_from_slice(&self.valid_round.map_or(-1, i64::from).to_be_bytes());
        bytes.extend_from_slice(&self.streamer.0.0);
        bytes.extend_from_slice(&self.value.0.0);
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes
    }
}

/// A part of a streamed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Always the first: what follows, signed, and the first bytes of the block.
    Init(Announcement, VoteSignature, bytes::Bytes),
    /// The next bytes of the block.
    Data(bytes::Bytes),
}

impl roles::ProposalPart<Ledger> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Init(..))
    }
    fn is_last(&self) -> bool {
        false
    }
}

impl roles::Context for Ledger {
    type Address = ValidatorAddress;
    type Height = BlockHeight;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = LinearTimeouts;
    type Value = HeaderHash;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(
        &self,
        validators: &'a Validators,
        height: BlockHeight,
        round: Round,
    ) -> &'a Validator {
        validators.proposer(height, round)
    }
    fn new_proposal(
        &self,
        height: BlockHeight,
        round: Round,
        value: HeaderHash,
        pol_round: Round,
        address: ValidatorAddress,
    ) -> Proposal {
        Proposal {
            height,
            round,
            value,
            pol_round,
            address,
        }
    }
    fn new_prevote(
        &self,
        height: BlockHeight,
        round: Round,
        value: NilOrVal<HeaderHash>,
        address: ValidatorAddress,
    ) -> Vote {
        Vote {
            step: VoteType::Prevote,
            height,
            round,
            value,
            address,
        }
    }
    fn new_precommit(
        &self,
        height: BlockHeight,
        round: Round,
        value: NilOrVal<HeaderHash>,
        address: ValidatorAddress,
    ) -> Vote {
        Vote {
            step: VoteType::Precommit,
            height,
            round,
            value,
            address,
        }
    }
}
