//! What is checked of a presented credential, and what was found. The shape is that of the checks of readings; each that does
//! not hold has a code besides.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is checked of every presentation, in the order in which the answer lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CheckName {
    /// The issuer signed the credential, with a key that counted then.
    IssuerSignature,
    /// The holder signed it for us and this request, over exactly what is shown.
    HolderKey,
    /// The issuer was accredited for this type then, and is not suspended.
    IssuerAccredited,
    /// The issuer's status list says that the credential is valid.
    NotRevoked,
    /// It answers the query, and shows nothing that was not asked for.
    Query,
    /// What is shown is what the closed schema of the type allows.
    Schema,
    /// The holder signed who asks for what and why.
    TransactionData,
    /// A one-time grant for this request stands on the ledger. Not made under policy `standard`.
    ConsentProof,
}

impl CheckName {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::IssuerSignature,
        Self::HolderKey,
        Self::IssuerAccredited,
        Self::NotRevoked,
        Self::Query,
        Self::Schema,
        Self::TransactionData,
        Self::ConsentProof,
    ];

    /// The name on the wire.
    const fn name(self) -> &'static str {
        match self {
            Self::IssuerSignature => "issuer-signature",
            Self::HolderKey => "holder-key",
            Self::IssuerAccredited => "issuer-accredited",
            Self::NotRevoked => "not-revoked",
            Self::Query => "query",
            Self::Schema => "schema",
            Self::TransactionData => "transaction-data",
            Self::ConsentProof => "consent-proof",
        }
    }
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Check {
    /// What was checked.
    pub(crate) check: CheckName,
    /// Whether it holds.
    pub(crate) holds: bool,
    /// Why not, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Why, or why not. Never a claim's value.
    pub(crate) reason: String,
    /// Where it could not be made because of another that does not hold: that other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_reached: Option<CheckName>,
}

/// Why a check does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(code: impl Into<String>, reason: impl ToString) -> Self {
        Self {
            code: code.into(),
            reason: reason.to_string(),
        }
    }
}

/// Results by check, filled one by one.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Check>);

impl Report {
    /// Notes a result; gives the value where it holds.
    pub(crate) fn note<T>(
        &mut self,
        check: CheckName,
        result: Result<T, Fault>,
        why: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (holds, code, reason) = match &result {
            Ok(value) => (true, None, why(value)),
            Err(fault) => (false, Some(fault.code.clone()), fault.reason.clone()),
        };
        self.0.push(Check {
            check,
            holds,
            code,
            reason,
            not_reached: None,
        });
        result.ok()
    }

    /// Notes a result only where it does not hold.
    pub(crate) fn note_fault<T>(
        &mut self,
        check: CheckName,
        result: Result<T, Fault>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => self.note(check, Err(fault), |_| String::new()),
        }
    }

    /// The first check that was made and does not hold.
    pub(crate) fn first_failing(&self) -> Option<CheckName> {
        let failing = self.0.iter().filter(|check| !check.holds);
        failing.map(|check| check.check).min()
    }

    /// Every check of `wanted`, in order, and whether all hold. One that was not made does not hold; `cause` is why.
    pub(crate) fn finish(mut self, wanted: &[CheckName], cause: CheckName) -> (Vec<Check>, bool) {
        for name in wanted {
            if !self.0.iter().any(|check| check.check == *name) {
                self.0.push(Check {
                    check: *name,
                    holds: false,
                    code: Some("not-reached".into()),
                    reason: format!("not checked, because {} does not hold", cause.name()),
                    not_reached: Some(cause),
                });
            }
        }
        self.0.sort_by_key(|check| check.check);
        let all = self.0.iter().all(|check| check.holds);
        (self.0, all)
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
        let fault = Fault::new("x", "why");
        report.note(CheckName::IssuerSignature, Err::<(), _>(fault), |()| {
            String::new()
        });
        let (checks, all) = report.finish(&CheckName::ALL, CheckName::IssuerSignature);
        assert!(!all && checks.len() == 8 && checks.iter().all(|check| !check.holds));
        assert_eq!(checks[1].not_reached, Some(CheckName::IssuerSignature));
        let mut report = Report::default();
        for check in CheckName::ALL {
            report.note(check, Ok(()), |()| "yes".into());
        }
        assert!(report.finish(&CheckName::ALL, CheckName::Query).1);
    }
}
