//! `Immunization` ↔ `vaccination`.

use serde_json::{Map, Value, json};

use super::engine::{self, is_time};
use super::outcome::{Issue, OperationOutcome};
use super::tables::{CONCEPT_TABLE, IMMUNIZATION};
use super::{
    MappedRecord, PatientReference, VACCINE_SYSTEM, finish, record_type, source_id, vaccines,
};

/// What the first `protocolApplied` becomes, at the top level of the claims.
const PROTOCOL_CLAIMS: [&str; 7] = [
    "series",
    "authority",
    "target_diseases",
    "dose_number",
    "dose_text",
    "series_doses",
    "series_doses_text",
];

pub(super) fn from_fhir(resource: &Map<String, Value>) -> Result<MappedRecord, OperationOutcome> {
    let mut issues = Vec::new();
    check_status(resource, &mut issues);
    let mut claims = engine::read(resource, IMMUNIZATION, "Immunization", &mut issues);
    read_vaccine(resource, &mut claims, &mut issues);
    read_occurrence(resource, &mut claims, &mut issues);

    if let Some(Value::Array(mut protocols)) = claims.remove("protocols") {
        if let Value::Object(first) = protocols.remove(0) {
            claims.extend(first);
        }
        if !protocols.is_empty() {
            claims.insert("further_protocols".into(), protocols.into());
        }
    }
    let at = "Immunization.patient";
    let patient = PatientReference::from_fhir(resource.get("patient"), at, &mut issues);
    let source = source_id(resource, "Immunization");
    finish(
        record_type("vaccination"),
        claims,
        patient,
        source,
        issues,
        element_of,
    )
}

pub(super) fn to_fhir(claims: &Map<String, Value>, patient: Value) -> Value {
    let mut claims = claims.clone();
    let mut first = Map::new();
    for name in PROTOCOL_CLAIMS {
        if let Some(value) = claims.remove(name) {
            first.insert(name.to_owned(), value);
        }
    }
    let further = claims.remove("further_protocols");
    let further = further
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .cloned();
    let protocols: Vec<Value> = (!first.is_empty())
        .then_some(Value::Object(first))
        .into_iter()
        .chain(further)
        .collect();
    if !protocols.is_empty() {
        claims.insert("protocols".into(), protocols.into());
    }

    let mut out = engine::write(&claims, IMMUNIZATION);
    out.insert("resourceType".into(), "Immunization".into());
    out.insert("status".into(), "completed".into());
    out.insert("patient".into(), patient);
    out.insert("vaccineCode".into(), write_vaccine(&claims));
    if let Some(when) = claims.get("occurred_at").or_else(|| claims.get("date")) {
        out.insert("occurrenceDateTime".into(), when.clone());
    }
    out.into()
}

/// Only what was done is a vaccination record: a "not done" among them would be counted as a
/// dose by everybody who overlooks it.
fn check_status(resource: &Map<String, Value>, issues: &mut Vec<Issue>) {
    let at = "Immunization.status";
    match resource.get("status").and_then(Value::as_str) {
        Some("completed") => {}
        Some("not-done" | "entered-in-error") => {
            issues.push(Issue::new(
                "not-supported",
                "only completed vaccinations are recorded",
                at,
            ));
        }
        Some(_) => issues.push(Issue::new("value", "no status of FHIR R4", at)),
        None => issues.push(Issue::new("required", "status is missing", at)),
    }
}

fn read_vaccine(
    resource: &Map<String, Value>,
    claims: &mut Map<String, Value>,
    issues: &mut Vec<Issue>,
) {
    let at = "Immunization.vaccineCode";
    let Some(Value::Object(concept)) = resource.get("vaccineCode") else {
        issues.push(Issue::new("required", "which vaccine?", at));
        return;
    };
    let mut concept = engine::read(concept, CONCEPT_TABLE, at, issues);
    if concept.is_empty() {
        issues.push(Issue::new("required", "a text or a code is needed", at));
        return;
    }
    let codings = match concept.remove("codings") {
        Some(Value::Array(codings)) => codings,
        _ => Vec::new(),
    };
    let name = concept.remove("text");
    let code = vaccines::code_of(name.as_ref().and_then(Value::as_str), &codings);
    claims.insert("vaccine_code".into(), code.into());
    if let Some(name) = name {
        claims.insert("vaccine_name".into(), name);
    }
    // Our own code is `vaccine_code` already.
    let codings: Vec<Value> = codings
        .into_iter()
        .filter(|coding| coding["system"] != VACCINE_SYSTEM)
        .collect();
    if !codings.is_empty() {
        claims.insert("vaccine_codings".into(), codings.into());
    }
}

fn write_vaccine(claims: &Map<String, Value>) -> Value {
    let code = claims
        .get("vaccine_code")
        .and_then(Value::as_str)
        .unwrap_or("other");
    let own = json!({ "system": VACCINE_SYSTEM, "code": code, "display": vaccines::label(code) });
    let mut concept = Map::new();
    if let Some(codings) = claims.get("vaccine_codings") {
        concept.insert("codings".into(), codings.clone());
    }
    if let Some(name) = claims.get("vaccine_name") {
        concept.insert("text".into(), name.clone());
    }
    let mut concept = Value::Object(engine::write(&concept, CONCEPT_TABLE));
    match &mut concept["coding"] {
        Value::Array(codings) => codings.push(own),
        none => *none = json!([own]),
    }
    concept
}

fn read_occurrence(
    resource: &Map<String, Value>,
    claims: &mut Map<String, Value>,
    issues: &mut Vec<Issue>,
) {
    let at = "Immunization.occurrenceDateTime";
    match resource.get("occurrenceDateTime") {
        // The engine names occurrenceString.
        None if resource.contains_key("occurrenceString") => {}
        None => issues.push(Issue::new(
            "required",
            "when was it given?",
            "Immunization.occurrence[x]",
        )),
        Some(Value::String(when)) if is_time(when) => {
            if let Some((day, _)) = when.split_once('T') {
                claims.insert("occurred_at".into(), when.as_str().into());
                claims.insert("date".into(), day.into());
            } else {
                claims.insert("date".into(), when.as_str().into());
            }
        }
        Some(_) => issues.push(Issue::new(
            "structure",
            "a date or time as in FHIR R4 is due",
            at,
        )),
    }
}

/// The element that a top-level claim comes from.
fn element_of(claim: &str) -> String {
    let element = match claim {
        "vaccine_code" | "vaccine_name" | "vaccine_codings" => "vaccineCode",
        "date" | "occurred_at" => "occurrenceDateTime",
        "further_protocols" => "protocolApplied",
        claim if PROTOCOL_CLAIMS.contains(&claim) => "protocolApplied[0]",
        claim => match IMMUNIZATION.iter().find(|field| field.claim == claim) {
            Some(field) => field.element,
            None => return "Immunization".to_owned(),
        },
    };
    format!("Immunization.{element}")
}
