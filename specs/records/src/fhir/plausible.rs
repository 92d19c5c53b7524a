//! What FHIR allows and cannot be: things that happened in the future, births after the event.

use serde_json::Value;

use super::engine::is_time;
use super::outcome::{Issue, OperationOutcome};

/// Elements that say when something happened, by resource type; `[]` stands for every element of a list. Expiry dates may
/// lie ahead, and are not among them.
const HAPPENED: [(&str, &str); 11] = [
    ("Immunization", "occurrenceDateTime"),
    ("Immunization", "recorded"),
    ("Immunization", "note[].time"),
    ("Immunization", "reaction[].date"),
    ("Immunization", "education[].presentationDate"),
    ("Observation", "effectiveDateTime"),
    ("Observation", "effectiveInstant"),
    ("Observation", "effectivePeriod.start"),
    ("Observation", "effectivePeriod.end"),
    ("Observation", "issued"),
    ("Observation", "note[].time"),
];

/// Checks that nothing in a resource happened after `last_day` (`YYYY-MM-DD`), that a period ends after it began, and that
/// a patient who is contained was born before. What the resource does not say exactly enough is given the benefit of the
/// doubt.
///
/// # Errors
/// An [`OperationOutcome`] with an issue for each element at fault.
pub fn check_plausible(resource: &Value, last_day: &str) -> Result<(), OperationOutcome> {
    let mut issues = Vec::new();
    let kind = resource["resourceType"].as_str().unwrap_or_default();
    let mut event: Option<&str> = None;
    for (_, path) in HAPPENED.iter().filter(|(of, _)| *of == kind) {
        for (at, time) in times(resource, path, kind) {
            if is_later(time, last_day) {
                issues.push(Issue::new("value", "the time is in the future", &at));
            }
            if path.starts_with("occurrence") || path.starts_with("effective") {
                event = event.or(Some(time));
            }
        }
    }
    let period = &resource["effectivePeriod"];
    if let (Some(start), Some(end)) = (time(&period["start"]), time(&period["end"]))
        && is_later(start, end)
    {
        let at = format!("{kind}.effectivePeriod.end");
        issues.push(Issue::new("value", "the end is before the start", &at));
    }
    let contained = resource["contained"].as_array().into_iter().flatten();
    for (index, inner) in contained.enumerate() {
        let birth = time(&inner["birthDate"]).filter(|_| inner["resourceType"] == "Patient");
        let last = event.unwrap_or(last_day);
        if birth.is_some_and(|birth| is_later(birth, last)) {
            let at = format!("{kind}.contained[{index}].birthDate");
            issues.push(Issue::new("value", "the birth is after the event", &at));
        }
    }
    if issues.is_empty() {
        Ok(())
    } else {
        Err(OperationOutcome { issues })
    }
}

/// Times at a path of [`HAPPENED`], each with its FHIRPath.
fn times<'a>(resource: &'a Value, path: &str, kind: &str) -> Vec<(String, &'a str)> {
    let Some((list, member)) = path.split_once("[].") else {
        let value = path.split('.').fold(resource, |at, name| &at[name]);
        let found = time(value).map(|time| (format!("{kind}.{path}"), time));
        return found.into_iter().collect();
    };
    let items = resource[list].as_array().into_iter().flatten();
    let found = items.enumerate().filter_map(|(index, item)| {
        let time = time(&item[member])?;
        Some((format!("{kind}.{list}[{index}].{member}"), time))
    });
    found.collect()
}

fn time(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| is_time(text))
}

/// Whether one day, month or year is later than another, as far as both say. Times of the day and their zones do not count.
pub(crate) fn is_later(one: &str, other: &str) -> bool {
    let length = one.len().min(other.len()).min(10);
    one.as_bytes()[..length] > other.as_bytes()[..length]
}
