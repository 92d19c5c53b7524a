//! What was found.

use serde_json::{Value, json};
use std::fmt::Display;

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable word.
    pub name: &'static str,
    /// Absent: it could not be made.
    pub holds: Option<bool>,
    /// Why, for people.
    pub reason: String,
}

/// What something is, and whether it holds.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// What it says, once its signature holds or as an unverified claim where the checks say so.
    pub facts: Vec<(&'static str, String)>,
    /// All checks.
    pub checks: Vec<Check>,
}

impl Finding {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// Whether every check was made and holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.holds == Some(true))
    }

    pub(super) fn fact(&mut self, name: &'static str, value: impl Display) {
        self.facts.push((name, value.to_string()));
    }

    pub(super) fn check<E: Display>(
        &mut self,
        name: &'static str,
        result: Result<impl Into<String>, E>,
    ) {
        let (holds, reason) = match result {
            Ok(reason) => (true, reason.into()),
            Err(error) => (false, error.to_string()),
        };
        self.checks.push(Check {
            name,
            holds: Some(holds),
            reason,
        });
    }

    pub(super) fn unknown(&mut self, name: &'static str, reason: impl Into<String>) {
        self.checks.push(Check {
            name,
            holds: None,
            reason: reason.into(),
        });
    }

    pub(super) fn to_json(&self) -> Value {
        let check = |check: &Check| json!({ "check": check.name, "holds": check.holds, "reason": check.reason });
        let facts: Vec<_> = self
            .facts
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let checks: Vec<_> = self.checks.iter().map(check).collect();
        json!({ "what": self.what, "holds": self.holds(), "facts": facts, "checks": checks })
    }
}
