//! Laboratory `Observation` ↔ `laboratory_result`.

use serde_json::{Map, Value, json};

use super::engine::{self, is_time};
use super::outcome::{Issue, OperationOutcome};
use super::tables::OBSERVATION;
use super::{MappedRecord, PatientReference, RESULT_SYSTEM, finish, record_type, source_id};

const CATEGORY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
/// JP Core's own system for the same codes.
const JP_CATEGORY_SYSTEM: &str =
    "http://jpfhir.jp/fhir/core/CodeSystem/JP_SimpleObservationCategory_CS";

/// Codes that say positive, negative or inconclusive, whatever was tested.
const RESULTS: &[(&str, &str, &str)] = &[
    (RESULT_SYSTEM, "positive", "positive"),
    (RESULT_SYSTEM, "negative", "negative"),
    (RESULT_SYSTEM, "inconclusive", "inconclusive"),
    ("http://snomed.info/sct", "10828004", "positive"),
    ("http://snomed.info/sct", "260373001", "positive"),
    ("http://snomed.info/sct", "260385009", "negative"),
    ("http://snomed.info/sct", "260415000", "negative"),
    ("http://snomed.info/sct", "419984006", "inconclusive"),
    ("http://loinc.org", "LA6576-8", "positive"),
    ("http://loinc.org", "LA11882-0", "positive"),
    ("http://loinc.org", "LA6577-6", "negative"),
    ("http://loinc.org", "LA11883-8", "negative"),
    ("http://loinc.org", "LA9663-1", "inconclusive"),
    (
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "POS",
        "positive",
    ),
    (
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "DET",
        "positive",
    ),
    (
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "NEG",
        "negative",
    ),
    (
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "ND",
        "negative",
    ),
    (
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "IND",
        "inconclusive",
    ),
];

/// Texts that say the same, exactly.
const RESULT_TEXTS: &[(&str, &str)] = &[
    ("positive", "positive"),
    ("陽性", "positive"),
    ("negative", "negative"),
    ("陰性", "negative"),
    ("inconclusive", "inconclusive"),
    ("判定保留", "inconclusive"),
];

pub(super) fn from_fhir(resource: &Map<String, Value>) -> Result<MappedRecord, OperationOutcome> {
    let mut issues = Vec::new();
    check_status(resource, &mut issues);
    check_category(resource, &mut issues);
    let mut claims = engine::read(resource, OBSERVATION, "Observation", &mut issues);
    if let Some(status) = resource.get("status") {
        claims.insert("result_status".into(), status.clone());
    }
    if lift_test(&mut claims).is_none() {
        issues.push(Issue::new(
            "required",
            "a text or a code is needed",
            "Observation.code",
        ));
    }
    lift_result(&mut claims);
    let components = claims.get_mut("components").and_then(Value::as_array_mut);
    for (i, component) in components.into_iter().flatten().enumerate() {
        let Some(component) = component.as_object_mut() else {
            continue;
        };
        if lift_test(component).is_none() {
            let at = format!("Observation.component[{i}].code");
            issues.push(Issue::new("required", "a text or a code is needed", &at));
        }
        lift_result(component);
    }
    check_values(resource, &claims, &mut issues);
    read_effective(resource, &mut claims, &mut issues);
    let at = "Observation.subject";
    let patient = PatientReference::from_fhir(resource.get("subject"), at, &mut issues);
    let source = source_id(resource, "Observation");
    finish(
        record_type("laboratory_result"),
        claims,
        patient,
        source,
        issues,
        element_of,
    )
}

pub(super) fn to_fhir(claims: &Map<String, Value>, subject: Value) -> Value {
    let mut claims = claims.clone();
    lower(&mut claims);
    for component in claims
        .get_mut("components")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(component) = component.as_object_mut() {
            lower(component);
        }
    }
    let mut out = engine::write(&claims, OBSERVATION);
    out.insert("resourceType".into(), "Observation".into());
    out.insert(
        "status".into(),
        claims.get("result_status").cloned().unwrap_or_default(),
    );
    out.insert(
        "category".into(),
        json!([{ "coding": [{ "system": CATEGORY_SYSTEM, "code": "laboratory" }] }]),
    );
    out.insert("subject".into(), subject);
    let start = claims
        .get("effective_at")
        .or_else(|| claims.get("date"))
        .cloned()
        .unwrap_or_default();
    match claims.get("effective_end") {
        Some(end) => out.insert(
            "effectivePeriod".into(),
            json!({ "start": start, "end": end }),
        ),
        None => out.insert("effectiveDateTime".into(), start),
    };
    out.into()
}

fn check_status(resource: &Map<String, Value>, issues: &mut Vec<Issue>) {
    let at = "Observation.status";
    match resource.get("status").and_then(Value::as_str) {
        Some("final" | "amended" | "corrected") => {}
        Some("registered" | "preliminary" | "cancelled" | "entered-in-error" | "unknown") => {
            let text = "only final, amended and corrected results are recorded";
            issues.push(Issue::new("not-supported", text, at));
        }
        Some(_) => issues.push(Issue::new("value", "no status of FHIR R4", at)),
        None => issues.push(Issue::new("required", "status is missing", at)),
    }
}

/// Whether one of its categories says that it is a laboratory's.
pub(super) fn is_laboratory(resource: &Map<String, Value>) -> bool {
    let categories = resource.get("category").and_then(Value::as_array);
    categories.into_iter().flatten().any(|category| {
        let codings = category.get("coding").and_then(Value::as_array);
        codings.into_iter().flatten().any(|coding| {
            coding["code"] == "laboratory"
                && [CATEGORY_SYSTEM, JP_CATEGORY_SYSTEM]
                    .iter()
                    .any(|s| coding["system"] == *s)
        })
    })
}

fn check_category(resource: &Map<String, Value>, issues: &mut Vec<Issue>) {
    if !is_laboratory(resource) {
        let text = "only laboratory results are taken; their category must say so";
        issues.push(Issue::new("not-supported", text, "Observation.category"));
    }
}

/// FHIR allows one `value[x]`; a result needs one, a reason why there is none, or components.
fn check_values(
    resource: &Map<String, Value>,
    claims: &Map<String, Value>,
    issues: &mut Vec<Issue>,
) {
    let count = |object: &Map<String, Value>| {
        object
            .keys()
            .filter(|name| name.starts_with("value"))
            .count()
    };
    if count(resource) > 1 {
        issues.push(Issue::new(
            "structure",
            "more than one value",
            "Observation.value[x]",
        ));
    }
    let components = resource.get("component").and_then(Value::as_array);
    for (i, component) in components.into_iter().flatten().enumerate() {
        if component
            .as_object()
            .is_some_and(|component| count(component) > 1)
        {
            let at = format!("Observation.component[{i}].value[x]");
            issues.push(Issue::new("structure", "more than one value", &at));
        }
    }
    let says = |name: &str| claims.contains_key(name);
    let has_value = claims.keys().any(|name| name.starts_with("value_"));
    if !has_value
        && !says("result")
        && !says("absent_reason")
        && !says("components")
        && count(resource) == 0
    {
        issues.push(Issue::new(
            "required",
            "there is no result",
            "Observation.value[x]",
        ));
    }
}

fn read_effective(
    resource: &Map<String, Value>,
    claims: &mut Map<String, Value>,
    issues: &mut Vec<Issue>,
) {
    let period = resource.get("effectivePeriod");
    let (start, at) = if let Some(when) = resource.get("effectiveDateTime") {
        (Some(when), "Observation.effectiveDateTime")
    } else if let Some(when) = resource.get("effectiveInstant") {
        (Some(when), "Observation.effectiveInstant")
    } else if let Some(period) = period {
        (period.get("start"), "Observation.effectivePeriod.start")
    } else {
        (None, "Observation.effective[x]")
    };
    match start {
        // The engine names effectiveTiming.
        None if resource.contains_key("effectiveTiming") => {}
        None => issues.push(Issue::new("required", "when was it tested?", at)),
        Some(Value::String(when)) if is_time(when) => {
            let day = when.split_once('T').map_or(when.as_str(), |(day, _)| day);
            claims.insert("date".into(), day.into());
            if day != when {
                claims.insert("effective_at".into(), when.as_str().into());
            }
        }
        Some(_) => issues.push(Issue::new(
            "structure",
            "a date or time as in FHIR R4 is due",
            at,
        )),
    }
    match period.and_then(|period| period.get("end")) {
        None => {}
        Some(Value::String(end)) if is_time(end) => {
            claims.insert("effective_end".into(), end.as_str().into());
        }
        Some(_) => issues.push(Issue::new(
            "structure",
            "a date or time as in FHIR R4 is due",
            "Observation.effectivePeriod.end",
        )),
    }
}

/// `test` (a concept) becomes `test_name` and `test_codings`.
fn lift_test(claims: &mut Map<String, Value>) -> Option<()> {
    let concept = claims.remove("test")?;
    let codings = concept.get("codings").and_then(Value::as_array);
    let from_codings = |member: &str| {
        codings
            .into_iter()
            .flatten()
            .find_map(|coding| coding.get(member).cloned())
    };
    let name = concept.get("text").cloned();
    let name = name
        .or_else(|| from_codings("display"))
        .or_else(|| from_codings("code"))?;
    claims.insert("test_name".into(), name);
    if let Some(codings) = concept.get("codings") {
        claims.insert("test_codings".into(), codings.clone());
    }
    Some(())
}

/// Sets `result`, and takes our own code for it out of the codes as sent.
fn lift_result(claims: &mut Map<String, Value>) {
    if let Some(result) = derive_result(claims) {
        claims.insert("result".into(), result.into());
    }
    let is_foreign = |coding: &Value| coding["system"] != RESULT_SYSTEM;
    let strip = |concept: &mut Value| {
        if let Some(codings) = concept.get_mut("codings").and_then(Value::as_array_mut) {
            codings.retain(is_foreign);
            if codings.is_empty()
                && let Some(concept) = concept.as_object_mut()
            {
                concept.remove("codings");
            }
        }
        concept
            .as_object()
            .is_some_and(|concept| !concept.is_empty())
    };
    if claims
        .get_mut("value_concept")
        .is_some_and(|concept| !strip(concept))
    {
        claims.remove("value_concept");
    }
    let interpretations = claims
        .get_mut("interpretations")
        .and_then(Value::as_array_mut);
    if let Some(interpretations) = interpretations {
        interpretations.retain_mut(strip);
        if interpretations.is_empty() {
            claims.remove("interpretations");
        }
    }
}

/// What value and interpretation say, if they are codes or texts that mean just that.
fn derive_result(claims: &Map<String, Value>) -> Option<&'static str> {
    let of_text = |text: &str| {
        let text = text.trim();
        RESULT_TEXTS
            .iter()
            .find(|row| row.0.eq_ignore_ascii_case(text))
            .map(|row| row.1)
    };
    let of_concept = |concept: &Value| {
        let codings = concept.get("codings").and_then(Value::as_array);
        codings
            .into_iter()
            .flatten()
            .find_map(|c| {
                RESULTS
                    .iter()
                    .find(|row| c["system"] == row.0 && c["code"] == row.1)
            })
            .map(|row| row.2)
            .or_else(|| of_text(concept.get("text")?.as_str()?))
    };
    claims
        .get("value_concept")
        .and_then(of_concept)
        .or_else(|| of_text(claims.get("value_text")?.as_str()?))
        .or_else(|| {
            claims
                .get("interpretations")?
                .as_array()?
                .iter()
                .find_map(of_concept)
        })
}

/// The inverse of lifting: `test`, and our own code for `result` where nothing else says it.
fn lower(claims: &mut Map<String, Value>) {
    let mut concept = Map::new();
    if let Some(codings) = claims.remove("test_codings") {
        concept.insert("codings".into(), codings);
    }
    if let Some(name) = claims.remove("test_name") {
        concept.insert("text".into(), name);
    }
    claims.insert("test".into(), concept.into());
    let Some(Value::String(result)) = claims.remove("result") else {
        return;
    };
    if derive_result(claims) == Some(result.as_str()) {
        return;
    }
    let own = json!({ "codings": [{ "system": RESULT_SYSTEM, "code": result }] });
    if claims.keys().any(|name| name.starts_with("value_")) {
        let interpretations = claims.entry("interpretations").or_insert_with(|| json!([]));
        if let Some(interpretations) = interpretations.as_array_mut() {
            interpretations.insert(0, own);
        }
    } else {
        claims.insert("value_concept".into(), own);
    }
}

/// The element that a top-level claim comes from.
fn element_of(claim: &str) -> String {
    let element = match claim {
        "test_name" | "test_codings" => "code",
        "date" | "effective_at" | "effective_end" => "effective[x]",
        "result" => "value[x]",
        "result_status" => "status",
        claim => match OBSERVATION.iter().find(|field| field.claim == claim) {
            Some(field) => field.element,
            None => return "Observation".to_owned(),
        },
    };
    format!("Observation.{element}")
}
