//! Batch issuance: single-use copies of one credential that two verifiers cannot tell to be one
//! person's (RFC 9901 §10.1, HAIP 1.0; OpenID4VCI 1.0 §3.3.2).
//!
//! Each copy has a holder key, salts, a place in a status list and a signature of its own. What is
//! left in common is what thousands share: issuer, record type, the day of issue, and claims.

use rand_core::CryptoRng;

use super::{Issuance, IssueError, StatusReference, issue};
use crate::keys::{PublicKey, SigningKey};

/// `iat` and `exp` of copies are whole days (UTC), in seconds.
pub const ISSUED_TO_THE_S: i64 = 86_400;

/// What a copy has of its own.
#[derive(Debug, Clone)]
pub struct BatchCopy<'a> {
    /// `cnf.jwk`: a key that the holder uses for this copy alone.
    pub holder: &'a PublicKey,
    /// `status.status_list`: a place of this copy alone, drawn at random.
    pub status: StatusReference,
}

/// Signs one credential for each of `copies`. `iat` and `exp` are rounded down to the day.
///
/// # Errors
/// [`IssueError::Linkable`] where `issuance` sets `jti`, holder or status for all copies, or two
/// copies have the same holder key or place; and as [`issue`].
pub fn issue_batch(
    issuance: &Issuance<'_>,
    copies: &[BatchCopy<'_>],
    key: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<Vec<String>, IssueError> {
    for (is_set, what) in [
        (issuance.id.is_some(), "jti"),
        (issuance.holder.is_some(), "cnf"),
        (issuance.status.is_some(), "status"),
    ] {
        if is_set {
            return Err(IssueError::Linkable(what));
        }
    }
    for (index, copy) in copies.iter().enumerate() {
        let others = &copies[..index];
        if others.iter().any(|other| other.holder == copy.holder) {
            return Err(IssueError::Linkable("cnf"));
        }
        if others.iter().any(|other| other.status == copy.status) {
            return Err(IssueError::Linkable("status"));
        }
    }
    let day = |at: i64| at.div_euclid(ISSUED_TO_THE_S) * ISSUED_TO_THE_S;
    let issue_copy = |copy: &BatchCopy<'_>| {
        let issuance = Issuance {
            issued_at: day(issuance.issued_at),
            expires_at: issuance.expires_at.map(day),
            holder: Some(copy.holder),
            status: Some(copy.status.clone()),
            ..issuance.clone()
        };
        issue(&issuance, key, rng)
    };
    copies.iter().map(issue_copy).collect()
}
