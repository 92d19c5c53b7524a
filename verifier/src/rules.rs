//! Payout rules: configuration, not code. Pure.
//!
//! A rule looks at a [`VerifiedRecord`] and nothing else: a record for which some check does not hold never gets here.

use crate::verify::VerifiedRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tegata_consent::ids::RecordId;
use tegata_records::{Purpose, catalogue};
use tegata_service::config::{ConfigError, resolve};
use utoipa::ToSchema;

/// What is paid for what.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PayoutConfig {
    /// The rules. Each is applied to each record on its own.
    pub rules: Vec<Rule>,
    /// What each policy pays, by the reference that the consent was asked under.
    pub policies: BTreeMap<String, Policy>,
    /// A TOML file with more of them: one table per policy number.
    pub policies_file: Option<PathBuf>,
    /// Where each decision is posted to.
    pub webhook: Option<WebhookConfig>,
}

/// When to pay.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which decisions carry.
    pub name: String,
    /// For records of this type.
    pub record_type: String,
    /// Read under a grant for this purpose.
    pub purpose: String,
    /// All of these must hold.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Also under a grant that answers no consent request of ours. Anybody can write any policy number into such a ticket.
    #[serde(default)]
    pub unsolicited: bool,
}

/// A condition on a claim: exactly one of `equals`, `in` and `at_least`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// JSON Pointer (RFC 6901) into the claims; `*` stands for any element of an array.
    pub pointer: String,
    /// The claim is this value.
    pub equals: Option<Value>,
    /// The claim is one of these values.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<Value>>,
    /// The claim is a number not below this one, or a text (an ISO date) not before this one.
    pub at_least: Option<Value>,
}

/// What a policy pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// In the currency's smallest unit.
    pub amount: u64,
    /// ISO 4217 code.
    pub currency: String,
}

/// Where decisions are posted to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// URL of the organisation's own system.
    pub url: String,
    /// A file with the bearer token to send.
    pub token_file: Option<PathBuf>,
}

/// Why payout rules are refused.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file of policies.
    #[error(transparent)]
    Policies(#[from] ConfigError),
    /// A rule.
    #[error("payout rule {rule:?}: {reason}")]
    Rule {
        /// Its name.
        rule: String,
        /// What is wrong.
        reason: String,
    },
    /// A policy.
    #[error("policy {policy:?}: {reason}")]
    Policy {
        /// Its number.
        policy: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Rules and policies that were checked.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    policies: BTreeMap<String, Policy>,
}

/// Under which grant a record was read.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Its purpose.
    pub purpose: &'a str,
    /// The reference of its ticket: the policy number.
    pub reference: &'a str,
    /// The ticket answers no consent request of ours.
    pub unsolicited: bool,
    /// The newer record that corrects this one, where one was read.
    pub superseded_by: Option<RecordId>,
}

/// What a rule says of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Pay.
    #[schema(value_type = String)]
    Pay(Policy),
    /// Some condition does not hold.
    Conditions,
    /// The record was corrected by a newer one.
    Superseded,
    /// The ticket answers no consent request of ours.
    Unsolicited,
    /// The reference is no policy that we know.
    UnknownPolicy,
}

impl PayoutConfig {
    /// Makes paths relative to the configuration file `base`.
    pub fn resolve(&mut self, base: &Path) {
        if let Some(path) = &mut self.policies_file {
            *path = resolve(base, &path);
        }
        if let Some(path) = self
            .webhook
            .as_mut()
            .and_then(|webhook| webhook.token_file.as_mut())
        {
            *path = resolve(base, &path);
        }
    }

    /// Reads the file of policies, and checks that rules speak of record types, purposes and claims that exist.
    ///
    /// # Errors
    /// [`RulesError`], naming rule or policy.
    pub fn rules(&self) -> Result<Rules, RulesError> {
        let mut policies = self.policies.clone();
        if let Some(path) = &self.policies_file {
            let more: BTreeMap<String, Policy> = tegata_service::config::load(path)?;
            for (number, policy) in more {
                if policies.insert(number.clone(), policy).is_some() {
                    return Err(RulesError::Policy {
                        policy: number,
                        reason: "stands in the configuration and in the file",
                    });
                }
            }
        }
        for (number, policy) in &policies {
            if policy.currency.len() != 3
                || !policy
                    .currency
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase())
            {
                return Err(RulesError::Policy {
                    policy: number.clone(),
                    reason: "currency is three capital letters (ISO 4217)",
                });
            }
        }
        let mut names = BTreeSet::new();
        for rule in &self.rules {
            let wrong = |reason: String| RulesError::Rule {
                rule: rule.name.clone(),
                reason,
            };
            rule.check().map_err(wrong)?;
            if !names.insert(&rule.name) {
                return Err(wrong("another rule has the same name".into()));
            }
        }
        Ok(Rules {
            rules: self.rules.clone(),
            policies,
        })
    }
}

impl Rules {
    /// What each rule for this type and purpose says of a record, by the rule's name.
    #[must_use]
    pub fn judge(&self, record: &VerifiedRecord, case: &Case<'_>) -> Vec<(&str, Verdict)> {
        let concerned = |rule: &&Rule| {
            rule.record_type == record.record_type().id() && rule.purpose == case.purpose
        };
        let judged = |rule: &Rule| {
            if !rule
                .conditions
                .iter()
                .all(|condition| condition.holds(record.claims()))
            {
                return Verdict::Conditions;
            }
            if case.superseded_by.is_some() {
                return Verdict::Superseded;
            }
            if case.unsolicited && !rule.unsolicited {
                return Verdict::Unsolicited;
            }
            self.policies
                .get(case.reference)
                .cloned()
                .map_or(Verdict::UnknownPolicy, Verdict::Pay)
        };
        self.rules
            .iter()
            .filter(concerned)
            .map(|rule| (rule.name.as_str(), judged(rule)))
            .collect()
    }

    /// Whether some rule is for readings under this purpose.
    #[must_use]
    pub fn concern(&self, purpose: &str) -> bool {
        self.rules.iter().any(|rule| rule.purpose == purpose)
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > 100 {
            return Err("a name has 1 to 100 bytes".into());
        }
        let Some(record_type) = catalogue().by_id(&self.record_type) else {
            return Err(format!(
                "record type {:?} is not in the catalogue",
                self.record_type
            ));
        };
        if Purpose::from_code(&self.purpose).is_none() {
            return Err(format!("purpose {:?} does not exist", self.purpose));
        }
        for condition in &self.conditions {
            let pointer = &condition.pointer;
            let Some(first) = steps(pointer).and_then(|mut steps| steps.next()) else {
                return Err(format!(
                    "pointer {pointer:?} is not a JSON Pointer to a claim"
                ));
            };
            if !record_type.claim_names().any(|name| name == first) {
                return Err(format!(
                    "records of type {:?} have no claim {first:?}",
                    self.record_type
                ));
            }
            let tests = [
                condition.equals.is_some(),
                condition.one_of.is_some(),
                condition.at_least.is_some(),
            ];
            if tests.iter().filter(|test| **test).count() != 1 {
                return Err(format!(
                    "the condition on {pointer:?} needs exactly one of equals, in, at_least"
                ));
            }
            if condition
                .at_least
                .as_ref()
                .is_some_and(|least| !least.is_number() && !least.is_string())
            {
                return Err(format!(
                    "the condition on {pointer:?}: at_least is a number or a text"
                ));
            }
        }
        Ok(())
    }
}

impl Condition {
    /// Whether some value that the pointer selects passes.
    #[must_use]
    pub fn holds(&self, claims: &Value) -> bool {
        let Some(steps) = steps(&self.pointer) else {
            return false;
        };
        let mut selected = vec![claims];
        for step in steps {
            selected = selected
                .into_iter()
                .flat_map(|value| children(value, &step))
                .collect();
        }
        selected.into_iter().any(|value| self.passes(value))
    }

    fn passes(&self, value: &Value) -> bool {
        if let Some(equals) = &self.equals {
            return same(value, equals);
        }
        if let Some(one_of) = &self.one_of {
            return one_of.iter().any(|other| same(value, other));
        }
        match (&self.at_least, value) {
            (Some(Value::Number(least)), Value::Number(value)) => {
                value.as_f64() >= least.as_f64() && value.as_f64().is_some()
            }
            (Some(Value::String(least)), Value::String(value)) => value.as_str() >= least.as_str(),
            _ => false,
        }
    }
}

/// The unescaped steps of a JSON Pointer; absent where it is none, or selects the whole.
fn steps(pointer: &str) -> Option<impl Iterator<Item = String> + '_> {
    let steps = pointer.strip_prefix('/')?;
    Some(
        steps
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~")),
    )
}

fn children<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(members) => members.get(step).into_iter().collect(),
        Value::Array(elements) if step == "*" => elements.iter().collect(),
        Value::Array(elements) => step
            .parse::<usize>()
            .ok()
            .and_then(|index| elements.get(index))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// Equal as JSON, where 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.as_f64().is_some() && a.as_f64() == b.as_f64())
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn condition(toml: &str) -> Condition {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn conditions_table() {
        let claims = json!({
            "result": "positive",
            "date": "2026-03-02",
            "value_quantity": { "value": 7.5, "unit": "mg" },
            "value_integer": 3,
            "test_codings": [{ "code": "a" }, { "code": "94500-6" }],
            "a/b": true,
        });
        for (toml, expected) in [
            (
                r#"pointer = "/result"
                equals = "positive""#,
                true,
            ),
            (
                r#"pointer = "/result"
                equals = "negative""#,
                false,
            ),
            (
                r#"pointer = "/none"
                equals = "positive""#,
                false,
            ),
            (
                r#"pointer = "/result"
                in = ["negative", "positive"]"#,
                true,
            ),
            (
                r#"pointer = "/result"
                in = []"#,
                false,
            ),
            (
                r#"pointer = "/value_quantity/value"
                at_least = 7.5"#,
                true,
            ),
            (
                r#"pointer = "/value_quantity/value"
                at_least = 8"#,
                false,
            ),
            (
                r#"pointer = "/value_quantity/unit"
                at_least = 8"#,
                false,
            ),
            (
                r#"pointer = "/value_integer"
                equals = 3.0"#,
                true,
            ),
            (
                r#"pointer = "/date"
                at_least = "2026-03-02""#,
                true,
            ),
            (
                r#"pointer = "/date"
                at_least = "2026-03-03""#,
                false,
            ),
            (
                r#"pointer = "/test_codings/*/code"
                equals = "94500-6""#,
                true,
            ),
            (
                r#"pointer = "/test_codings/0/code"
                equals = "94500-6""#,
                false,
            ),
            (
                r#"pointer = "/test_codings/1/code"
                equals = "94500-6""#,
                true,
            ),
            (
                r#"pointer = "/test_codings/*/display"
                equals = "94500-6""#,
                false,
            ),
            (
                r#"pointer = "/a~1b"
                equals = true"#,
                true,
            ),
            (
                r#"pointer = "result"
                equals = "positive""#,
                false,
            ),
        ] {
            assert_eq!(condition(toml).holds(&claims), expected, "{toml}");
        }
    }

    #[test]
    fn rules_that_cannot_work_are_refused_by_name() {
        let rule = |more: &str| {
            let text = format!("[[rules]]\nname = \"r\"\n{more}\n");
            toml::from_str::<PayoutConfig>(&text)
                .unwrap()
                .rules()
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let base = "record_type = \"laboratory_result\"\npurpose = \"payout\"\n";
        assert_eq!(rule(base), Ok(()));
        assert_eq!(
            rule(&format!(
                "{base}conditions = [{{ pointer = \"/result\", in = [\"positive\"] }}]"
            )),
            Ok(())
        );
        for (more, reason) in [
            (
                "record_type = \"x\"\npurpose = \"payout\"".to_owned(),
                "not in the catalogue",
            ),
            (
                "record_type = \"vaccination\"\npurpose = \"pay\"".to_owned(),
                "does not exist",
            ),
            (
                format!("{base}conditions = [{{ pointer = \"/nothing\", equals = 1 }}]"),
                "no claim",
            ),
            (
                format!("{base}conditions = [{{ pointer = \"result\", equals = 1 }}]"),
                "not a JSON Pointer",
            ),
            (
                format!("{base}conditions = [{{ pointer = \"/result\" }}]"),
                "exactly one",
            ),
            (
                format!(
                    "{base}conditions = [{{ pointer = \"/result\", equals = 1, at_least = 1 }}]"
                ),
                "exactly one",
            ),
            (
                format!("{base}conditions = [{{ pointer = \"/result\", at_least = true }}]"),
                "a number or a text",
            ),
            (
                format!("{base}[[rules]]\nname = \"r\"\n{base}"),
                "same name",
            ),
            (
                format!("{base}[policies]\nP = {{ amount = 1, currency = \"yen\" }}"),
                "ISO 4217",
            ),
        ] {
            let error = rule(&more).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn policies_may_stand_in_a_file_but_not_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.toml");
        std::fs::write(&path, "\"P-2\" = { amount = 5, currency = \"JPY\" }\n").unwrap();
        let mut config = PayoutConfig {
            policies_file: Some(path),
            ..Default::default()
        };
        assert_eq!(config.rules().unwrap().policies["P-2"].amount, 5);
        config.policies.insert(
            "P-2".into(),
            Policy {
                amount: 6,
                currency: "JPY".into(),
            },
        );
        assert!(config.rules().unwrap_err().to_string().contains("P-2"));
    }
}
