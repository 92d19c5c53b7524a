//! Every claim that a schema allows is carried to FHIR and back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Map, Value, json};
use tegata_records::catalogue;
use tegata_records::fhir::{PatientReference, from_fhir, to_fhir};

/// A document with everything in it that `schema` allows; `n` makes the texts differ.
fn full(schema: &Value, root: &Value, name: &str, n: &mut usize) -> Value {
    *n += 1;
    if let Some(reference) = schema["$ref"].as_str() {
        return full(
            &root["$defs"][reference.trim_start_matches("#/$defs/")],
            root,
            name,
            n,
        );
    }
    if let Some(codes) = schema["enum"].as_array() {
        return codes[*n % codes.len()].clone();
    }
    match schema["type"].as_str().unwrap() {
        "object" => {
            let members = schema["properties"].as_object().unwrap();
            let members: Map<String, Value> = members
                .iter()
                .map(|(name, schema)| (name.clone(), full(schema, root, name, n)))
                .collect();
            one_of_each(members, *n).into()
        }
        "array" => json!([
            full(&schema["items"], root, name, n),
            full(&schema["items"], root, name, n)
        ]),
        "boolean" => json!(n.is_multiple_of(2)),
        "integer" => json!(1 + *n % 9),
        "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
        "string" => match name {
            "effective_at" | "occurred_at" => json!("2025-04-01T10:15:00+09:00"),
            _ if schema.get("maxLength").is_none() => {
                json!("2025-04-01")
            }
            _ => json!(format!("{name} {n}")),
        },
        other => panic!("{other}"),
    }
}

/// FHIR has a number or a text for a dose, not both: one of them in its turn.
fn one_of_each(mut members: Map<String, Value>, n: usize) -> Map<String, Value> {
    for pair in [
        ["dose_number", "dose_text"],
        ["series_doses", "series_doses_text"],
    ] {
        if pair.iter().all(|name| members.contains_key(*name)) {
            members.remove(pair[n % 2]);
        }
    }
    members
}

#[test]
fn everything_a_schema_allows() {
    for record_type in catalogue().types() {
        let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
        let whole = full(&schema, &schema, "", &mut 0);
        // FHIR has one value only: each kind of value in its turn.
        let values: Vec<&str> = whole
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.starts_with("value_"))
            .map(String::as_str)
            .collect();
        for kept in values.iter().copied().map(Some).chain([None]) {
            let mut claims = whole.clone();
            let only = |object: &mut Map<String, Value>| {
                object.retain(|name, _| !name.starts_with("value_") || Some(name.as_str()) == kept);
            };
            only(claims.as_object_mut().unwrap());
            for component in claims
                .get_mut("components")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                only(component.as_object_mut().unwrap());
            }
            record_type
                .validate(&claims)
                .unwrap_or_else(|e| panic!("{}: {e:?}", record_type.id()));
            let patient = PatientReference {
                reference: Some("Patient/1".into()),
                identifier_system: Some("https://a.example/p".into()),
                identifier_value: Some("7".into()),
            };
            let written = to_fhir(record_type, &claims, &patient).unwrap();
            let mapped =
                from_fhir(&written).unwrap_or_else(|o| panic!("{}: {o}", record_type.id()));
            assert_eq!(mapped.record_type.id(), record_type.id());
            assert_eq!(mapped.claims, claims, "{} {kept:?}", record_type.id());
            assert_eq!(mapped.patient, patient);
        }
    }
}

/// Each claim alone, beside those that must be there, so that none leans on another.
#[test]
fn each_claim_alone() {
    for record_type in catalogue().types() {
        let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
        let whole = full(&schema, &schema, "", &mut 0);
        let required: Vec<&str> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r.as_str().unwrap())
            .collect();
        for name in whole.as_object().unwrap().keys() {
            let mut claims = whole.clone();
            claims.as_object_mut().unwrap().retain(|other, _| {
                let leans_on = match record_type.id() {
                    "vaccination" => name == "further_protocols" && other == "series",
                    "laboratory_result" => !name.starts_with("value_") && other == "result",
                    _ => false,
                };
                other == name || required.contains(&other.as_str()) || leans_on
            });
            for component in claims
                .get_mut("components")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                component
                    .as_object_mut()
                    .unwrap()
                    .retain(|name, _| !name.starts_with("value_"));
            }
            let patient = PatientReference {
                reference: Some("Patient/1".into()),
                ..Default::default()
            };
            let written = to_fhir(record_type, &claims, &patient)
                .unwrap_or_else(|e| panic!("{} {name}: {e}", record_type.id()));
            let mapped =
                from_fhir(&written).unwrap_or_else(|o| panic!("{} {name}: {o}", record_type.id()));
            assert_eq!(mapped.claims, claims, "{} {name}", record_type.id());
        }
    }
}
