//! What a grant or an access covers, and the salted commitment to it that stands on the ledger (`grant.md`, section 2).

use crate::cbor;
use crate::ids::{DrawerId, Hash, RecordId, Salt, hash};
use minicbor::{Decode, Encode};

/// Most drawers or records that one scope names.
pub const SCOPE_MAX: usize = 256;

/// Drawers, and within them either everything, certain records, or records of certain dates.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Scope {
    /// The drawers, sorted, all different.
    #[n(1)]
    pub drawers: Vec<DrawerId>,
    /// Only these records, sorted; absent: every record, also those deposited later.
    #[n(2)]
    pub records: Option<Vec<RecordId>>,
    /// Only records dated at or after this time, in milliseconds since 1970.
    #[n(3)]
    pub from_ms: Option<u64>,
    /// Only records dated before this time, in milliseconds since 1970.
    #[n(4)]
    pub until_ms: Option<u64>,
}

/// Why a scope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// No drawer, or too many names.
    #[error("a scope names between 1 and {SCOPE_MAX} drawers and at most {SCOPE_MAX} records")]
    Size,
    /// A list that is not sorted, or names something twice.
    #[error("the scope's {0} are not sorted, or named twice")]
    Order(&'static str),
    /// The salt and scope do not open the commitment.
    #[error("salt and scope do not open the commitment {0}")]
    Commitment(Hash),
    /// Covers something that the other does not.
    #[error("the access reaches beyond the grant: {0}")]
    Beyond(String),
}

impl ScopeError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size => "scope-size",
            Self::Order(_) => "scope-order",
            Self::Commitment(_) => "scope-commitment",
            Self::Beyond(_) => "scope-beyond",
        }
    }
}

impl Scope {
    /// Every record of these drawers, now and later.
    #[must_use]
    pub fn of_drawers(mut drawers: Vec<DrawerId>) -> Self {
        drawers.sort_unstable();
        drawers.dedup();
        Self {
            drawers,
            records: None,
            from_ms: None,
            until_ms: None,
        }
    }

    /// Checks sizes and order.
    ///
    /// # Errors
    /// [`ScopeError::Size`] or [`ScopeError::Order`].
    pub fn check(&self) -> Result<(), ScopeError> {
        let records = self.records.as_deref().unwrap_or_default();
        if self.drawers.is_empty() || self.drawers.len() > SCOPE_MAX || records.len() > SCOPE_MAX {
            return Err(ScopeError::Size);
        }
        if !self.drawers.is_sorted_by(|a, b| a < b) {
            return Err(ScopeError::Order("drawers"));
        }
        if !records.is_sorted_by(|a, b| a < b) {
            return Err(ScopeError::Order("records"));
        }
        Ok(())
    }

    /// `SHA-256("tegata/v1/scope" ‖ 0 ‖ salt ‖ scope)`.
    #[must_use]
    pub fn commitment(&self, salt: &Salt) -> Hash {
        Hash(hash("tegata/v1/scope", &[&salt.0, &cbor::encode(self)]))
    }

    /// Whether a record falls under this scope. `date_ms` is the record's date as in its deposit.
    #[must_use]
    pub fn covers(&self, drawer: &DrawerId, record: &RecordId, date_ms: u64) -> bool {
        self.drawers.binary_search(drawer).is_ok()
            && self
                .records
                .as_ref()
                .is_none_or(|records| records.binary_search(record).is_ok())
            && self.from_ms.is_none_or(|from| date_ms >= from)
            && self.until_ms.is_none_or(|until| date_ms < until)
    }

    /// Checks that everything `self` covers is covered by `grant` as well, whatever is deposited.
    ///
    /// # Errors
    /// [`ScopeError::Beyond`], naming what reaches further.
    pub fn within(&self, grant: &Self) -> Result<(), ScopeError> {
        if let Some(drawer) = self
            .drawers
            .iter()
            .find(|drawer| grant.drawers.binary_search(drawer).is_err())
        {
            return Err(ScopeError::Beyond(format!("drawer {drawer}")));
        }
        match (&self.records, &grant.records) {
            (_, None) => {}
            (None, Some(_)) => {
                return Err(ScopeError::Beyond(
                    "all records, the grant names some".into(),
                ));
            }
            (Some(mine), Some(theirs)) => {
                if let Some(record) = mine
                    .iter()
                    .find(|record| theirs.binary_search(record).is_err())
                {
                    return Err(ScopeError::Beyond(format!("record {record}")));
                }
            }
        }
        if self.from_ms.unwrap_or(0) < grant.from_ms.unwrap_or(0) {
            return Err(ScopeError::Beyond("earlier dates".into()));
        }
        if self.until_ms.unwrap_or(u64::MAX) > grant.until_ms.unwrap_or(u64::MAX) {
            return Err(ScopeError::Beyond("later dates".into()));
        }
        Ok(())
    }
}
