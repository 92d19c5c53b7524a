//! Consent requests: a recipient's signed question (`grant.md`, section 1).

use crate::codes::{self, CodeError};
use crate::cose::Signed;
use crate::ids::{Hash, Nonce, OrganisationId, Salt, hash};
use minicbor::{Decode, Encode};

/// How many digits a reference has.
pub const REFERENCE_LEN: usize = 32;
/// The end of the year 9999, in milliseconds since 1970.
pub(crate) const TIME_MAX_MS: u64 = 253_402_300_799_999;

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
    /// Under which the recipient files it: [`REFERENCE_LEN`] random lower-case hexadecimal digits. Only the recipient knows for
    /// which patient or policy number they stand, so that the request can be evidence on the ledger.
    #[n(8)]
    pub reference: String,
    /// The question itself may be answered until then, in milliseconds since 1970.
    #[n(9)]
    pub expires_ms: u64,
    /// Random.
    #[n(10)]
    pub nonce: Nonce,
}

/// Why a request is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A text that is of no list.
    #[error("request: {0}")]
    Code(#[from] CodeError),
    /// A time beyond the year 9999: a mistake of units.
    #[error("a request's times are milliseconds since 1970, before the year 10000")]
    Time,
    /// A reference that could be a person's number or name.
    #[error("a request's reference is 32 lower-case hexadecimal digits, drawn at random")]
    Reference,
}

impl RequestError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Code(_) => "request-codes",
            Self::Time => "request-time",
            Self::Reference => "request-reference",
        }
    }
}

impl ConsentRequest {
    /// Checks that nothing in it can be about a person: all texts are of closed lists, and the reference has the form of a random
    /// number. A wallet answers no other request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn check(&self) -> Result<(), RequestError> {
        codes::check(&self.categories, &self.purpose, &self.legal_basis)?;
        if self.until_ms.max(self.expires_ms) > TIME_MAX_MS {
            return Err(RequestError::Time);
        }
        if !is_reference(&self.reference) {
            return Err(RequestError::Reference);
        }
        Ok(())
    }
}

/// Whether a text has the form of a random number: 128 bits in lower-case hexadecimal.
pub(crate) fn is_reference(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == REFERENCE_LEN && text.bytes().all(digit)
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
