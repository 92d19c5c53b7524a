//! Refusals as FHIR says them.

use serde_json::{Value, json};

/// Why a resource is refused: a FHIR R4 `OperationOutcome`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct OperationOutcome {
    /// At least one.
    pub issues: Vec<Issue>,
}

/// One thing wrong, at one element. Never repeats what the element holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expression}: {diagnostics} ({code})")]
pub struct Issue {
    /// A code of <http://hl7.org/fhir/issue-type>: `required`, `structure`, `value`, `invariant`,
    /// `not-supported`, `too-costly`.
    pub code: &'static str,
    /// What is wrong, for people.
    pub diagnostics: String,
    /// Where, in FHIRPath: `Immunization.performer[1].actor`.
    pub expression: String,
}

impl Issue {
    pub(super) fn new(code: &'static str, diagnostics: &str, expression: &str) -> Self {
        Self {
            code,
            diagnostics: diagnostics.to_owned(),
            expression: expression.to_owned(),
        }
    }
}

impl From<Issue> for OperationOutcome {
    fn from(issue: Issue) -> Self {
        Self {
            issues: vec![issue],
        }
    }
}

impl OperationOutcome {
    /// The resource, as it goes over HTTP (`application/fhir+json`).
    #[must_use]
    pub fn to_json(&self) -> Value {
        let issues: Vec<Value> = self
            .issues
            .iter()
            .map(|issue| {
                json!({
                    "severity": "error",
                    "code": issue.code,
                    "diagnostics": issue.diagnostics,
                    "expression": [issue.expression],
                })
            })
            .collect();
        json!({ "resourceType": "OperationOutcome", "issue": issues })
    }
}
