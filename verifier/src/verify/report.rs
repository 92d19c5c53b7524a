//! What was checked, whether it holds, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is checked of every record, in the order in which the answer lists it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CheckName {
    /// The grant stood, for us, at the height of the proof, and the ledger allowed this access.
    ConsentProof,
    /// The host of the ticket signed that it took in this very deposit.
    Receipt,
    /// The depositor signed this file and this lock, with a key that counted when they came in.
    DepositSignature,
    /// The ticket's vault had invited this depositor to put such records there.
    Invitation,
    /// The record lies within what the access asked for and the grant covers.
    Scope,
    /// The reader key opens the lock.
    Lock,
    /// The record key opens the file.
    File,
    /// What the record says of itself agrees with the deposit around it.
    Manifest,
    /// The depositor signed the credential, with a key that counted then.
    IssuerSignature,
    /// The depositor was accredited for this record type then, and not suspended.
    IssuerAccredited,
    /// The issuer's status list says that the credential is valid.
    NotRevoked,
    /// The credential is bound to the holder key of the invitation.
    HolderKey,
    /// The claims are what the closed schema of the record type allows.
    Schema,
}

impl CheckName {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::ConsentProof,
        Self::Receipt,
        Self::DepositSignature,
        Self::Invitation,
        Self::Scope,
        Self::Lock,
        Self::File,
        Self::Manifest,
        Self::IssuerSignature,
        Self::IssuerAccredited,
        Self::NotRevoked,
        Self::HolderKey,
        Self::Schema,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsentProof => "consent-proof",
            Self::Receipt => "receipt",
            Self::DepositSignature => "deposit-signature",
            Self::Invitation => "invitation",
            Self::Scope => "scope",
            Self::Lock => "lock",
            Self::File => "file",
            Self::Manifest => "manifest",
            Self::IssuerSignature => "issuer-signature",
            Self::IssuerAccredited => "issuer-accredited",
            Self::NotRevoked => "not-revoked",
            Self::HolderKey => "holder-key",
            Self::Schema => "schema",
        }
    }
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was checked.
    pub check: CheckName,
    /// Whether it holds.
    pub holds: bool,
    /// Why, or why not. Never a claim's value.
    pub reason: String,
    /// Where it could not be made because of another that does not hold: that other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_reached: Option<CheckName>,
}

/// Why a check does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was made and failed.
    Fails(String),
    /// It was not made, because what it needs did not hold.
    NotReached(CheckName),
    /// It could not be made now; asking again may succeed.
    Unavailable(String),
}

/// The result of one check: the reason why it holds, or the fault.
pub(crate) type Verdict = Result<String, Fault>;

/// A check that was made and failed.
pub(crate) fn fails<T>(reason: impl ToString) -> Result<T, Fault> {
    Err(Fault::Fails(reason.to_string()))
}

/// Results by check, filled one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    checks: Vec<Check>,
    is_unavailable: bool,
}

impl Report {
    /// Notes a result.
    pub(crate) fn note(&mut self, check: CheckName, verdict: Verdict) {
        let (holds, reason, not_reached) = match verdict {
            Ok(reason) => (true, reason, None),
            Err(Fault::Fails(reason)) => (false, reason, None),
            Err(Fault::NotReached(other)) => (
                false,
                format!("not checked, because {} does not hold", other.name()),
                Some(other),
            ),
            Err(Fault::Unavailable(reason)) => {
                self.is_unavailable = true;
                (false, reason, None)
            }
        };
        self.checks.push(Check {
            check,
            holds,
            reason,
            not_reached,
        });
    }

    /// Whether a check was noted.
    pub(crate) fn noted(&self, check: CheckName) -> bool {
        self.checks.iter().any(|done| done.check == check)
    }

    /// Whether something could not be checked this time (a later try may), and nothing was found wrong.
    pub(crate) fn may_hold_later(&self) -> bool {
        let wrong = |check: &&Check| {
            !check.holds && check.not_reached.is_none() && check.check != CheckName::NotRevoked
        };
        self.is_unavailable && !self.checks.iter().any(|check| wrong(&check))
    }

    /// Every check, in order, and whether all of them hold. One that was never noted does not hold.
    pub(crate) fn finish(self) -> (Vec<Check>, bool) {
        let find = |name: CheckName| {
            self.checks
                .iter()
                .find(|check| check.check == name)
                .cloned()
                .unwrap_or_else(|| Check {
                    check: name,
                    holds: false,
                    reason: "not checked".into(),
                    not_reached: None,
                })
        };
        let checks = CheckName::ALL.map(find).to_vec();
        let all = checks.iter().all(|check| check.holds);
        (checks, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_those_of_the_enum() {
        for check in CheckName::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
    }

    #[test]
    fn what_was_not_checked_does_not_hold() {
        let mut report = Report::default();
        for check in &CheckName::ALL[..12] {
            report.note(*check, Ok("yes".into()));
        }
        let (checks, all) = report.finish();
        assert!(!all);
        assert_eq!(
            checks
                .iter()
                .filter(|check| !check.holds)
                .map(|check| check.check)
                .collect::<Vec<_>>(),
            [CheckName::Schema]
        );
    }
}
