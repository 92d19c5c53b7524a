//! Consent requests: a recipient's signed question (`grant.md`, section 1).

use crate::cose::Signed;
use crate::ids::{Hash, Nonce, OrganisationId, Salt, hash};
use minicbor::{Decode, Encode};

/// Who asks for what, why, until when. Signed by a key of the recipient.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct ConsentRequest {
    /// Who asks.
    #[n(1)]
    pub recipient: OrganisationId,
    /// Category codes, sorted.
    #[n(2)]
    pub categories: Vec<String>,
    /// Purpose code.
    #[n(3)]
    pub purpose: String,
    /// Legal basis code.
    #[n(4)]
    pub legal_basis: String,
    /// How long copies are kept, in days.
    #[n(5)]
    pub retention_days: u32,
    /// Until when reading is asked for, in milliseconds since 1970.
    #[n(6)]
    pub until_ms: u64,
    /// How many accesses; absent: no limit.
    #[n(7)]
    pub uses_max: Option<u32>,
    /// Under which the recipient files it: patient or policy number. Never on the ledger.
    #[n(8)]
    pub reference: String,
    /// The question itself may be answered until then, in milliseconds since 1970.
    #[n(9)]
    pub expires_ms: u64,
    /// Random.
    #[n(10)]
    pub nonce: Nonce,
}

impl Signed for ConsentRequest {
    const TYPE: &'static str = "application/tegata-consent-request+cbor";
    const LIMIT: usize = 8 * 1024;
}

/// `SHA-256("tegata/v1/request" ‖ 0 ‖ salt ‖ request)`: how a grant names the request that it answers.
#[must_use]
pub fn request_commitment(salt: &Salt, request: &[u8]) -> Hash {
    Hash(hash("tegata/v1/request", &[&salt.0, request]))
}
