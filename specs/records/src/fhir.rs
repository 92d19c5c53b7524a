//! From FHIR R4 to claims and back.
//!
//! Own small mapping, no FHIR library: tables (`fhir/tables.rs`) say which element is which
//! claim, one engine (`fhir/engine.rs`) reads them in both directions, so what is carried one way
//! is carried back. `README.md` lists what is carried, dropped and refused, and why.
//!
//! An element that the tables do not know is refused, never skipped: a modifier that we do not
//! understand could turn the meaning round.

mod checkup;
mod engine;
mod immunization;
mod observation;
mod outcome;
mod plausible;
mod tables;
mod vaccines;

use serde_json::{Map, Value, json};

pub use outcome::{Issue, OperationOutcome};
pub use plausible::check_plausible;
pub(crate) use plausible::is_later;

use crate::{RecordType, catalogue};

/// The longest FHIR resource to be parsed for [`from_fhir`], in bytes. HTTP bodies above this are
/// to be refused before parsing.
pub const MAX_RESOURCE_BYTES: usize = 1024 * 1024;
/// The most JSON values in a resource.
pub const MAX_NODES: usize = 20_000;
/// The deepest nesting in a resource.
pub const MAX_DEPTH: usize = 32;
/// The code system of our own codes: vaccine kinds (`vaccine_code`).
pub const VACCINE_SYSTEM: &str = "urn:tegata:vaccine";
/// The code system of `result`: `positive`, `negative`, `inconclusive`.
pub const RESULT_SYSTEM: &str = "urn:tegata:result";
/// The code system of checkups: the ids of their record types.
pub const CHECKUP_SYSTEM: &str = "urn:tegata:checkup";
/// The code system of the items of a checkup: the names of their claims.
pub const CHECKUP_ITEM_SYSTEM: &str = "urn:tegata:checkup-item";

/// A FHIR resource as a record to be signed.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedRecord {
    /// Which kind of record.
    pub record_type: &'static RecordType,
    /// Its claims; they pass [`RecordType::validate`]. Nobody is named in them: who the person is
    /// says [`MappedRecord::patient`], and the credential binds to the holder's key.
    pub claims: Value,
    /// Whose record it is, in the sender's terms.
    pub patient: PatientReference,
    /// The same source record has the same id: `system|value` of its first identifier with a
    /// value, else `ResourceType/id`. `None` if it has neither.
    pub source_id: Option<String>,
    /// The day it is about, `YYYY-MM-DD`; the first day, where the source knows only the month or
    /// year.
    pub date: String,
}

/// Who a resource is about (FHIR `Reference(Patient)`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientReference {
    /// `reference`, such as `Patient/123`.
    pub reference: Option<String>,
    /// `identifier.system`.
    pub identifier_system: Option<String>,
    /// `identifier.value`.
    pub identifier_value: Option<String>,
}

impl PartialEq for RecordType {
    fn eq(&self, other: &Self) -> bool {
        self.vct() == other.vct()
    }
}

/// Maps an `Immunization`, a laboratory `Observation`, or a checkup `Observation` as
/// [`to_fhir`] writes it.
///
/// # Errors
/// An [`OperationOutcome`] with an issue for each element at fault, to be sent back as it is.
pub fn from_fhir(resource: &Value) -> Result<MappedRecord, OperationOutcome> {
    let refuse = |code, text: &str, at: &str| Err(Issue::new(code, text, at).into());
    if !is_bounded(resource) {
        return refuse(
            "too-costly",
            "the resource is too large or nested too deep",
            "Resource",
        );
    }
    let Some(object) = resource.as_object() else {
        return refuse("structure", "a resource is a JSON object", "Resource");
    };
    match object.get("resourceType").and_then(Value::as_str) {
        Some("Immunization") => immunization::from_fhir(object),
        Some("Observation") if checkup::is_checkup(object) => checkup::from_fhir(object),
        Some("Observation") => observation::from_fhir(object),
        Some(_) => refuse(
            "not-supported",
            "only Immunization and Observation are taken",
            "Resource.resourceType",
        ),
        None => refuse(
            "required",
            "resourceType is missing",
            "Resource.resourceType",
        ),
    }
}

/// Which type of record a resource is, as far as it says so; `None` where it is of no type that [`from_fhir`] maps. An
/// `Observation` without a category is a laboratory's: health cards leave it out.
#[must_use]
pub fn type_of(resource: &Value) -> Option<&'static RecordType> {
    let object = resource.as_object()?;
    match object.get("resourceType")?.as_str()? {
        "Immunization" => Some(record_type("vaccination")),
        "Observation" => checkup::type_of(object).or_else(|| {
            let may_be = !object.contains_key("category") || observation::is_laboratory(object);
            may_be.then(|| record_type("laboratory_result"))
        }),
        _ => None,
    }
}

/// Writes a record as a FHIR R4 resource about `patient`. [`from_fhir`] of the result gives the
/// same claims.
///
/// # Errors
/// [`NotInCatalogue`](ToFhirError::NotInCatalogue) or the faults of the claims.
pub fn to_fhir(
    record_type: &RecordType,
    claims: &Value,
    patient: &PatientReference,
) -> Result<Value, ToFhirError> {
    record_type.validate(claims).map_err(ToFhirError::Claims)?;
    let empty = Map::new();
    let claims = claims.as_object().unwrap_or(&empty);
    let subject = patient.to_fhir();
    Ok(match record_type.id() {
        "vaccination" => immunization::to_fhir(claims, subject),
        "laboratory_result" => observation::to_fhir(claims, subject),
        _ if record_type.category() == crate::Category::InfantCheckup => {
            checkup::to_fhir(record_type, claims, subject)
        }
        id => return Err(ToFhirError::NotInCatalogue(id.to_owned())),
    })
}

/// Why a record cannot be written as FHIR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToFhirError {
    /// The claims are not those of the record type.
    #[error("the claims do not fit the record type: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Claims(Vec<crate::SchemaError>),
    /// No mapping for this record type.
    #[error("no FHIR mapping for record type {0}")]
    NotInCatalogue(String),
}

impl PatientReference {
    fn to_fhir(&self) -> Value {
        let mut out = Map::new();
        if let Some(reference) = &self.reference {
            out.insert("reference".into(), reference.as_str().into());
        }
        let mut identifier = Map::new();
        if let Some(system) = &self.identifier_system {
            identifier.insert("system".into(), system.as_str().into());
        }
        if let Some(value) = &self.identifier_value {
            identifier.insert("value".into(), value.as_str().into());
        }
        if !identifier.is_empty() {
            out.insert("identifier".into(), identifier.into());
        }
        if out.is_empty() {
            // FHIR wants a reference to say something.
            out.insert("display".into(), json!("the holder of this record"));
        }
        out.into()
    }

    /// Reads a `Reference(Patient)`: it needs a reference to a patient or an identifier.
    fn from_fhir(value: Option<&Value>, at: &str, issues: &mut Vec<Issue>) -> Self {
        let Some(value) = value else {
            issues.push(Issue::new("required", "whose record is this?", at));
            return Self::default();
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let identifier = value.get("identifier");
        let out = Self {
            reference: text(value.get("reference")),
            identifier_system: text(identifier.and_then(|i| i.get("system"))),
            identifier_value: text(identifier.and_then(|i| i.get("value"))),
        };
        let is_patient = |reference: &String| {
            reference.starts_with("Patient/")
                || reference.contains("/Patient/")
                || reference.starts_with("urn:")
        };
        if value.get("type").is_some_and(|kind| kind != "Patient")
            || out
                .reference
                .as_ref()
                .is_some_and(|reference| !is_patient(reference))
        {
            issues.push(Issue::new(
                "not-supported",
                "only records about one patient",
                at,
            ));
        } else if out.reference.is_none() && out.identifier_value.is_none() {
            issues.push(Issue::new(
                "required",
                "a reference or an identifier is needed",
                at,
            ));
        }
        out
    }
}

/// Ends a mapping: checks the claims against the schema, and the day.
fn finish(
    record_type: &'static RecordType,
    claims: Map<String, Value>,
    patient: PatientReference,
    source_id: Option<String>,
    mut issues: Vec<Issue>,
    element_of: impl Fn(&str) -> String,
) -> Result<MappedRecord, OperationOutcome> {
    let claims = Value::Object(claims);
    if issues.is_empty() {
        for error in record_type.validate(&claims).err().unwrap_or_default() {
            let claim = error
                .path
                .trim_start_matches('/')
                .split('/')
                .next()
                .unwrap_or_default();
            issues.push(Issue::new("invariant", &error.message, &element_of(claim)));
        }
    }
    if !issues.is_empty() {
        return Err(OperationOutcome { issues });
    }
    let date = first_day(
        claims
            .get("date")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    );
    Ok(MappedRecord {
        record_type,
        date,
        claims,
        patient,
        source_id,
    })
}

/// `system|value` of the first identifier with a value, else `type/id`.
fn source_id(resource: &Map<String, Value>, kind: &str) -> Option<String> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let identifiers = resource.get("identifier").and_then(Value::as_array);
    let by_identifier = identifiers.into_iter().flatten().find_map(|identifier| {
        let value = text(identifier, "value")?;
        Some(format!(
            "{}|{value}",
            text(identifier, "system").unwrap_or_default()
        ))
    });
    by_identifier.or_else(|| {
        Some(format!(
            "{kind}/{}",
            resource.get("id").and_then(Value::as_str)?
        ))
    })
}

fn record_type(id: &str) -> &'static RecordType {
    catalogue()
        .by_id(id)
        .expect("the mapping names record types of the catalogue")
}

fn first_day(date: &str) -> String {
    match date.len() {
        4 => format!("{date}-01-01"),
        7 => format!("{date}-01"),
        _ => date.to_owned(),
    }
}

/// Whether `date` is a day, month or year that exists: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
pub(crate) fn is_date(date: &str) -> bool {
    let number = |text: Option<&str>, digits: usize| {
        text.filter(|t| t.len() == digits && t.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|t| t.parse::<u32>().ok())
    };
    let mut parts = date.split('-');
    let Some(year) = number(parts.next(), 4).filter(|y| *y > 0) else {
        return false;
    };
    let Some(month) = parts.next() else {
        return true;
    };
    let Some(month) = number(Some(month), 2).filter(|m| (1..=12).contains(m)) else {
        return false;
    };
    let Some(day) = parts.next() else { return true };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    number(Some(day), 2).is_some_and(|d| (1..=days).contains(&d)) && parts.next().is_none()
}

fn is_bounded(value: &Value) -> bool {
    fn count(value: &Value, depth: usize, left: &mut usize) -> bool {
        if depth > MAX_DEPTH || *left == 0 {
            return false;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter().all(|v| count(v, depth + 1, left)),
            Value::Object(map) => map.values().all(|v| count(v, depth + 1, left)),
            _ => true,
        }
    }
    count(value, 0, &mut MAX_NODES.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for good in ["2024", "2024-02", "2024-02-29", "2025-12-31", "2000-02-29"] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "24",
            "2024-13",
            "2023-02-29",
            "1900-02-29",
            "2024-1-1",
            "2024-01-01-01",
            "0000",
            "２０２４",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
        assert_eq!(first_day("2024"), "2024-01-01");
        assert_eq!(first_day("2024-05"), "2024-05-01");
    }

    #[test]
    fn types_are_told_by_what_a_resource_says() {
        let of = |resource: Value| type_of(&resource).map(RecordType::id);
        let observation = |system: &str, code: &str| json!({ "resourceType": "Observation", "code": { "coding": [{ "system": system, "code": code }] } });
        assert_eq!(
            of(json!({ "resourceType": "Immunization" })),
            Some("vaccination")
        );
        let checkup = "infant_checkup_3_years";
        assert_eq!(of(observation(CHECKUP_SYSTEM, checkup)), Some(checkup));
        let mut test = observation("http://loinc.org", "94500-6");
        assert_eq!(of(test.clone()), Some("laboratory_result"));
        test["category"] = json!([{ "coding": [{ "code": "vital-signs" }] }]);
        assert_eq!(of(test), None);
        for other in [json!({ "resourceType": "Patient" }), json!({}), json!([])] {
            assert_eq!(of(other), None);
        }
    }

    #[test]
    fn bounds() {
        let mut deep = Value::Null;
        for _ in 0..100_000 {
            deep = Value::Array(vec![deep]);
        }
        let outcome = from_fhir(&deep).unwrap_err();
        assert_eq!(outcome.issues[0].code, "too-costly");
        // Taken apart by hand: dropping it would recurse as deep as it nests.
        while let Value::Array(mut items) = deep {
            deep = items.pop().unwrap_or_default();
        }
        let wide = Value::Array(vec![Value::Null; MAX_NODES]);
        assert_eq!(from_fhir(&wide).unwrap_err().issues[0].code, "too-costly");
        assert_eq!(
            from_fhir(&json!([])).unwrap_err().issues[0].code,
            "structure"
        );
        assert_eq!(
            from_fhir(&json!({})).unwrap_err().issues[0].code,
            "required"
        );
        let other = from_fhir(&json!({ "resourceType": "Patient" })).unwrap_err();
        assert_eq!(other.issues[0].expression, "Resource.resourceType");
    }
}
