//! Headers, validator sets and certificates (`ledger.md`, sections 1 to 3).
//!
//! The header of block *h* commits to the history and to the state **after** block *h*.

use crate::cbor;
use crate::cose::UnpackedKey;
use crate::ids::{Address, ChainId, Hash, PublicKey, hash};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Version of the header's format.
pub const HEADER_VERSION: u8 = 1;

/// A validator's consensus key and weight.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct Validator {
    /// Ed25519 consensus key.
    #[n(0)]
    pub key: PublicKey,
    /// Voting power.
    #[n(1)]
    pub power: u64,
}

/// The validators in force at a height, ordered by power (highest first), then address.
#[derive(Debug, Clone)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    /// Of each, in the same order: computed once, because a set checks many certificates. `None` for a key that is none.
    known: Vec<(Address, Option<UnpackedKey>)>,
}

impl PartialEq for ValidatorSet {
    fn eq(&self, other: &Self) -> bool {
        self.validators == other.validators
    }
}

impl Eq for ValidatorSet {}

impl<C> Encode<C> for ValidatorSet {
    fn encode<W: encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.validators.encode(encoder, context)
    }
}

impl<'b, C> Decode<'b, C> for ValidatorSet {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        Vec::decode(decoder, context).map(Self::in_order)
    }
}

impl ValidatorSet {
    /// Orders the validators.
    #[must_use]
    pub fn new(mut validators: Vec<Validator>) -> Self {
        validators.sort_by(|a, b| {
            b.power
                .cmp(&a.power)
                .then_with(|| Address::of(&a.key).cmp(&Address::of(&b.key)))
        });
        Self::in_order(validators)
    }

    fn in_order(validators: Vec<Validator>) -> Self {
        let know = |validator: &Validator| {
            let key = UnpackedKey::new(&validator.key);
            (Address::of(&validator.key), key.ok())
        };
        Self {
            known: validators.iter().map(know).collect(),
            validators,
        }
    }

    /// In order.
    #[must_use]
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The validator with an address.
    #[must_use]
    pub fn get(&self, address: &Address) -> Option<&Validator> {
        self.find(address).map(|(validator, _)| validator)
    }

    fn find(&self, address: &Address) -> Option<(&Validator, Option<&UnpackedKey>)> {
        let place = self.known.iter().position(|(known, _)| known == address)?;
        Some((&self.validators[place], self.known[place].1.as_ref()))
    }

    /// All power together.
    #[must_use]
    pub fn total_power(&self) -> u64 {
        let power = self.validators.iter().map(|validator| validator.power);
        power.sum()
    }

    /// `SHA-256("tegata/v1/validators" ‖ 0 ‖ set)`.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(hash("tegata/v1/validators", &[&cbor::encode(self)]))
    }
}

/// The header of a block.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct Header {
    /// [`HEADER_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Which ledger.
    #[n(1)]
    pub chain: ChainId,
    /// 1 for the first block.
    #[n(2)]
    pub height: u64,
    /// Milliseconds since 1970; later than the block before.
    #[n(3)]
    pub time_ms: u64,
    /// Who first proposed it.
    #[n(4)]
    pub proposer: Address,
    /// Hash of the header before; the chain id for block 1.
    #[n(5)]
    pub previous: Hash,
    /// Number of entries in the log after this block.
    #[n(6)]
    pub log_size: u64,
    /// Root of the log after this block.
    #[n(7)]
    pub log_root: Hash,
    /// Root of the state tree after this block.
    #[n(8)]
    pub state_root: Hash,
    /// Hash of the validator set that certifies this block.
    #[n(9)]
    pub validators: Hash,
    /// Hash of the validator set that certifies the next block.
    #[n(10)]
    pub next_validators: Hash,
}

impl Header {
    /// `SHA-256("tegata/v1/header" ‖ 0 ‖ header)`: the value that validators vote on.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(hash("tegata/v1/header", &[&cbor::encode(self)]))
    }
}

/// One validator's precommit for a block.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct CommitSignature {
    /// Whose.
    #[n(0)]
    pub address: Address,
    /// Ed25519 over [`vote_bytes`].
    #[n(1)]
    pub signature: ByteArray<64>,
}

/// The precommits that made a block final.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct Certificate {
    /// Height of the block.
    #[n(0)]
    pub height: u64,
    /// Round in which it was decided.
    #[n(1)]
    pub round: u32,
    /// Hash of its header.
    #[n(2)]
    pub header: Hash,
    /// Precommits of more than two thirds of the power.
    #[n(3)]
    pub signatures: Vec<CommitSignature>,
}

/// A header with what proves that it is final.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct CertifiedHeader {
    /// The header.
    #[n(0)]
    pub header: Header,
    /// Its certificate.
    #[n(1)]
    pub certificate: Certificate,
}

/// Which step of consensus a vote belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum VoteStep {
    /// First vote of a round.
    Prevote = 1,
    /// Second vote; these make certificates.
    Precommit = 2,
}

/// What a validator signs when it votes (`ledger.md`, section 3). `round` is −1 for none; `value` absent is a vote for nil.
#[must_use]
pub fn vote_bytes(
    chain: &ChainId,
    step: VoteStep,
    height: u64,
    round: i64,
    value: Option<&Hash>,
    address: &Address,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(124);
    bytes.extend_from_slice(b"tegata/v1/vote\0");
    bytes.extend_from_slice(&chain.0);
    bytes.push(step as u8);
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&round.to_be_bytes());
    match value {
        None => bytes.push(0),
        Some(value) => {
            bytes.push(1);
            bytes.extend_from_slice(&value.0);
        }
    }
    bytes.extend_from_slice(&address.0);
    bytes
}

/// Why a header is not proven final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not the version this code knows.
    #[error("header version {0} is not known")]
    Version(u8),
    /// Of another ledger.
    #[error("the header belongs to ledger {0}")]
    Chain(ChainId),
    /// The certificate is for another block.
    #[error("the certificate is for another block than header {0}")]
    OtherBlock(u64),
    /// The header names another validator set than the trusted one.
    #[error("header {0} names another validator set than the trusted one")]
    Validators(u64),
    /// Somebody signed who is no validator.
    #[error("{0} is not a validator of this height")]
    Stranger(Address),
    /// Somebody signed twice.
    #[error("{0} signed twice")]
    Twice(Address),
    /// A precommit that does not hold.
    #[error("the precommit of {0} does not hold")]
    Signature(Address),
    /// Not more than two thirds of the power.
    #[error("precommits of {signed} of {total} voting power, more than two thirds are needed")]
    NoQuorum {
        /// Power that signed.
        signed: u64,
        /// All power.
        total: u64,
    },
    /// Does not follow on the header before it.
    #[error("header {height} does not follow on the one before: {part}")]
    Broken {
        /// Its height.
        height: u64,
        /// What differs.
        part: &'static str,
    },
}

impl HeaderError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Version(_) => "header-version",
            Self::Chain(_) => "header-chain",
            Self::OtherBlock(_) => "header-other-block",
            Self::Validators(_) => "header-validators",
            Self::Stranger(_) => "header-stranger",
            Self::Twice(_) => "header-signed-twice",
            Self::Signature(_) => "header-signature",
            Self::NoQuorum { .. } => "header-no-quorum",
            Self::Broken { .. } => "header-broken",
        }
    }
}

impl CertifiedHeader {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 16 * 1024;

    /// Checks the certificate against a trusted validator set.
    ///
    /// # Errors
    /// [`HeaderError`], naming the culprit.
    pub fn verify(
        self,
        chain: &ChainId,
        validators: &ValidatorSet,
    ) -> Result<FinalHeader, HeaderError> {
        let Self {
            header,
            certificate,
        } = &self;
        if header.version != HEADER_VERSION {
            return Err(HeaderError::Version(header.version));
        }
        if header.chain != *chain {
            return Err(HeaderError::Chain(header.chain));
        }
        let hash = header.hash();
        if certificate.height != header.height || certificate.header != hash {
            return Err(HeaderError::OtherBlock(header.height));
        }
        if header.validators != validators.hash() {
            return Err(HeaderError::Validators(header.height));
        }
        let mut signed = 0;
        let mut seen = Vec::with_capacity(certificate.signatures.len().min(100));
        for CommitSignature { address, signature } in &certificate.signatures {
            let (validator, key) = validators
                .find(address)
                .ok_or(HeaderError::Stranger(*address))?;
            if seen.contains(address) {
                return Err(HeaderError::Twice(*address));
            }
            seen.push(*address);
            let message = vote_bytes(
                chain,
                VoteStep::Precommit,
                header.height,
                i64::from(certificate.round),
                Some(&hash),
                address,
            );
            key.and_then(|key| key.verify_strict(&message, &signature[..]).ok())
                .ok_or(HeaderError::Signature(*address))?;
            signed += validator.power;
        }
        let total = validators.total_power();
        if signed * 3 <= total * 2 {
            return Err(HeaderError::NoQuorum { signed, total });
        }
        Ok(FinalHeader {
            certified: self,
            hash,
        })
    }
}

/// A header proven final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalHeader {
    certified: CertifiedHeader,
    hash: Hash,
}

impl FinalHeader {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.certified.header
    }

    /// Its hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// With its certificate.
    #[must_use]
    pub const fn certified(&self) -> &CertifiedHeader {
        &self.certified
    }

    /// Checks that `next` is the block right after this one.
    ///
    /// # Errors
    /// [`HeaderError::Broken`].
    pub fn check_next(&self, next: &Self) -> Result<(), HeaderError> {
        let (before, after) = (self.header(), next.header());
        let broken = |part| {
            Err(HeaderError::Broken {
                height: after.height,
                part,
            })
        };
        if after.height != before.height + 1 {
            return broken("height");
        }
        if after.previous != self.hash {
            return broken("previous");
        }
        if after.time_ms <= before.time_ms {
            return broken("time");
        }
        if after.log_size < before.log_size {
            return broken("log size");
        }
        if after.validators != before.next_validators {
            return broken("validators");
        }
        Ok(())
    }
}
