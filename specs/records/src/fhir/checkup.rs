//! Checkups ↔ `Observation` with a component for each item.
//!
//! FHIR has no resource for a Japanese infant checkup. The observation's code is the record type
//! ([`CHECKUP_SYSTEM`]); each component has our code ([`CHECKUP_ITEM_SYSTEM`]) and LOINC's where
//! there is one.

use serde_json::{Map, Value, json};

use super::outcome::{Issue, OperationOutcome};
use super::{
    CHECKUP_ITEM_SYSTEM, CHECKUP_SYSTEM, MappedRecord, PatientReference, finish, is_date, source_id,
};
use crate::{Category, Lang, RecordType, catalogue};

const CATEGORY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const UCUM: &str = "http://unitsofmeasure.org";

/// Claim, LOINC, UCUM unit of a quantity; without a unit the value is an integer or a code.
const ITEMS: &[(&str, Option<&str>, Option<&str>)] = &[
    ("height_cm", Some("8302-2"), Some("cm")),
    ("weight_g", Some("29463-7"), Some("g")),
    ("chest_circumference_cm", Some("8280-0"), Some("cm")),
    ("head_circumference_cm", Some("9843-4"), Some("cm")),
    ("kaup_index", Some("39156-5"), Some("kg/m2")),
    ("teeth_count", None, None),
    ("decayed_teeth_count", None, None),
    ("urine_protein", Some("20454-5"), None),
    ("urine_glucose", Some("25428-4"), None),
    ("urine_occult_blood", Some("5794-3"), None),
    ("urine_leucocytes", Some("20455-2"), None),
];

/// Elements that are read; every other one but those without meaning for health is refused.
const READ: [&str; 8] = [
    "status",
    "category",
    "code",
    "subject",
    "effectiveDateTime",
    "performer",
    "component",
    "identifier",
];
const DROPPED: [&str; 7] = [
    "resourceType",
    "id",
    "meta",
    "text",
    "language",
    "extension",
    "issued",
];

pub(super) fn is_checkup(resource: &Map<String, Value>) -> bool {
    type_of(resource).is_some()
}

pub(super) fn from_fhir(resource: &Map<String, Value>) -> Result<MappedRecord, OperationOutcome> {
    let mut issues = Vec::new();
    let mut refuse = |code, text: &str, element: &str| {
        issues.push(Issue::new(code, text, &format!("Observation.{element}")));
    };
    let Some(record_type) = type_of(resource) else {
        return Err(Issue::new("value", "no checkup of the catalogue", "Observation.code").into());
    };
    for name in resource.keys() {
        if !READ.contains(&name.as_str()) && !DROPPED.contains(&name.as_str()) {
            refuse("not-supported", "not carried for a checkup", name);
        }
    }
    if resource.get("status").and_then(Value::as_str) != Some("final") {
        refuse(
            "not-supported",
            "only final checkups are recorded",
            "status",
        );
    }
    let mut claims = Map::new();
    match resource.get("effectiveDateTime").and_then(Value::as_str) {
        Some(day) if day.len() == 10 && is_date(day) => claims.insert("date".into(), day.into()),
        _ => {
            refuse(
                "required",
                "the day of the checkup is due",
                "effectiveDateTime",
            );
            None
        }
    };
    let performers = resource.get("performer").and_then(Value::as_array);
    let place = performers
        .and_then(|p| p.first())
        .and_then(|p| p.get("display"));
    match place {
        Some(place) => claims.insert("place".into(), place.clone()),
        None => {
            refuse(
                "required",
                "where was it? give performer[0].display",
                "performer",
            );
            None
        }
    };
    let components = resource.get("component").and_then(Value::as_array);
    for (i, component) in components.into_iter().flatten().enumerate() {
        let codings = component.get("code").and_then(|code| code.get("coding"));
        let name = own_code(codings, CHECKUP_ITEM_SYSTEM).filter(|name| item(name).is_some());
        let Some(name) = name else {
            refuse(
                "not-supported",
                "no item of this checkup",
                &format!("component[{i}].code"),
            );
            continue;
        };
        match read_item(name, component) {
            Some(value) if !claims.contains_key(name) => {
                claims.insert(name.to_owned(), value);
            }
            Some(_) => refuse(
                "structure",
                "the item is there twice",
                &format!("component[{i}]"),
            ),
            None => refuse(
                "value",
                "no value as it should be",
                &format!("component[{i}].value[x]"),
            ),
        }
    }
    let at = "Observation.subject";
    let patient = PatientReference::from_fhir(resource.get("subject"), at, &mut issues);
    let source = source_id(resource, "Observation");
    finish(
        record_type,
        claims,
        patient,
        source,
        issues,
        |claim| match claim {
            "date" => "Observation.effectiveDateTime".into(),
            "place" => "Observation.performer".into(),
            claim => format!("Observation.component.where(code.coding.code = '{claim}')"),
        },
    )
}

pub(super) fn to_fhir(
    record_type: &RecordType,
    claims: &Map<String, Value>,
    subject: Value,
) -> Value {
    let components: Vec<Value> = ITEMS
        .iter()
        .filter_map(|row| Some(write_item(record_type, row, claims.get(row.0)?)))
        .collect();
    let mut out = json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [{ "coding": [{ "system": CATEGORY_SYSTEM, "code": "exam" }] }],
        "code": {
            "coding": [{ "system": CHECKUP_SYSTEM, "code": record_type.id() }],
            "text": record_type.name(Lang::Ja),
        },
        "subject": subject,
        "effectiveDateTime": claims.get("date"),
        "performer": [{ "display": claims.get("place") }],
    });
    if !components.is_empty() {
        out["component"] = components.into();
    }
    out
}

/// Which checkup of the catalogue it is.
pub(super) fn type_of(resource: &Map<String, Value>) -> Option<&'static RecordType> {
    let id = own_code(resource.get("code")?.get("coding"), CHECKUP_SYSTEM)?;
    catalogue()
        .by_id(id)
        .filter(|t| t.category() == Category::InfantCheckup)
}

fn own_code<'a>(codings: Option<&'a Value>, system: &str) -> Option<&'a str> {
    let codings = codings?.as_array()?;
    codings
        .iter()
        .find(|coding| coding["system"] == system)?
        .get("code")?
        .as_str()
}

fn item(name: &str) -> Option<&'static (&'static str, Option<&'static str>, Option<&'static str>)> {
    ITEMS.iter().find(|row| row.0 == name)
}

fn read_item(name: &str, component: &Value) -> Option<Value> {
    let (_, _, unit) = item(name)?;
    if let Some(unit) = unit {
        let quantity = component.get("valueQuantity")?;
        // A height in metres must not become one in centimetres.
        let is_ours = quantity.get("comparator").is_none()
            && quantity["system"] == UCUM
            && quantity["code"] == *unit;
        return is_ours.then(|| quantity.get("value").cloned())?;
    }
    if let Some(value) = component.get("valueInteger") {
        return Some(value.clone());
    }
    let codings = component.get("valueCodeableConcept")?.get("coding");
    own_code(codings, CHECKUP_ITEM_SYSTEM).map(Value::from)
}

fn write_item(
    record_type: &RecordType,
    (name, loinc, unit): &(&str, Option<&str>, Option<&str>),
    value: &Value,
) -> Value {
    let mut codings = vec![json!({ "system": CHECKUP_ITEM_SYSTEM, "code": name })];
    if let Some(loinc) = loinc {
        codings.push(json!({ "system": "http://loinc.org", "code": loinc }));
    }
    let label = record_type.claim_label(&[name], Lang::Ja);
    let mut out = json!({ "code": { "coding": codings, "text": label } });
    match (unit, value) {
        (Some(unit), value) => {
            out["valueQuantity"] =
                json!({ "value": value, "unit": unit, "system": UCUM, "code": unit });
        }
        (None, Value::String(code)) => {
            let display = record_type.value_label(&[name], code, Lang::Ja);
            out["valueCodeableConcept"] = json!({
                "coding": [{ "system": CHECKUP_ITEM_SYSTEM, "code": code, "display": display }],
            });
        }
        (None, value) => out["valueInteger"] = value.clone(),
    }
    out
}
