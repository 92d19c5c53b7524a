//! Genesis: the first validators and operators, and the chain id that all signatures carry (`state.md`, section 1).

use crate::cbor;
use crate::header::{Validator, ValidatorSet};
use crate::ids::{ChainId, Hash, Nonce, PublicKey, hash};
use crate::state::{Changes, Parameters, StateKey};
use minicbor::{Decode, Encode};

/// The beginning of a ledger. Everybody who checks one starts from this.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Genesis {
    /// Name for people.
    #[n(1)]
    pub name: String,
    /// Time before every block, in milliseconds since 1970.
    #[n(2)]
    pub time_ms: u64,
    /// Random, so that two ledgers with the same keys are two.
    #[n(3)]
    pub nonce: Nonce,
    /// Consensus keys.
    #[n(4)]
    pub validators: Vec<Validator>,
    /// Keys of the operators, a quorum of whom (more than two thirds) writes the registry.
    #[n(5)]
    pub operators: Vec<PublicKey>,
    /// Limits.
    #[n(6)]
    pub parameters: Parameters,
}

/// Why a genesis is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("genesis: {0}")]
pub struct GenesisError(pub &'static str);

impl Genesis {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 64 * 1024;

    /// Checks sizes and that keys are different.
    ///
    /// # Errors
    /// [`GenesisError`], naming the part.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.validators.is_empty()
            || self.validators.len() > 100
            || self.operators.is_empty()
            || self.operators.len() > 100
        {
            return Err(GenesisError("1 to 100 validators and 1 to 100 operators"));
        }
        let mut keys: Vec<_> = self
            .validators
            .iter()
            .map(|validator| validator.key)
            .collect();
        keys.sort_unstable();
        let mut operators = self.operators.clone();
        operators.sort_unstable();
        if !keys.is_sorted_by(|a, b| a < b) || !operators.is_sorted_by(|a, b| a < b) {
            return Err(GenesisError("a key is named twice"));
        }
        if self
            .validators
            .iter()
            .any(|validator| validator.power == 0 || validator.power > 1_000_000)
        {
            return Err(GenesisError(
                "a validator's power is between 1 and 1,000,000",
            ));
        }
        Ok(())
    }

    /// `SHA-256("tegata/v1/genesis" ‖ 0 ‖ genesis)`.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        ChainId(hash("tegata/v1/genesis", &[&cbor::encode(self)]))
    }

    /// What block 1 names as the block before it: the chain id.
    #[must_use]
    pub fn first_previous(&self) -> Hash {
        Hash(self.chain_id().0)
    }

    /// The first validator set.
    #[must_use]
    pub fn validator_set(&self) -> ValidatorSet {
        ValidatorSet::new(self.validators.clone())
    }

    /// The state before block 1.
    #[must_use]
    pub fn state(&self) -> Changes {
        let mut operators = self.operators.clone();
        operators.sort_unstable();
        [
            (StateKey::operators(), cbor::encode(&operators)),
            (StateKey::parameters(), cbor::encode(&self.parameters)),
            (StateKey::validators(), cbor::encode(&self.validator_set())),
        ]
        .into()
    }
}
