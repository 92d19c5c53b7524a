//! The JSON-LD contexts say exactly what the schemas say: each is made from its schema, and frozen.
//! `TEGATA_WRITE_CONTEXTS=1 cargo test -p tegata-records --test contexts` writes them anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Map, Value, json};
use tegata_records::catalogue;

/// What a term is: an IRI; in an array a list; of an object, with the terms inside it.
fn term(iri: &str, schema: &Value, definitions: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        return term(iri, &definitions[name], definitions);
    }
    match schema["type"].as_str() {
        Some("array") => {
            let mut out = json!({ "@id": iri, "@container": "@list" });
            if let Some(scope) = term(iri, &schema["items"], definitions).get("@context") {
                out["@context"] = scope.clone();
            }
            out
        }
        Some("object") => {
            let mut scope = Map::from_iter([("@protected".to_owned(), true.into())]);
            for (name, schema) in schema["properties"].as_object().unwrap() {
                scope.insert(
                    name.clone(),
                    term(&format!("{iri}.{name}"), schema, definitions),
                );
            }
            json!({ "@id": iri, "@context": scope })
        }
        _ => iri.into(),
    }
}

#[test]
fn every_context_is_that_of_its_schema() {
    for record_type in catalogue().types() {
        let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
        let mut context = Map::new();
        context.insert("@protected".into(), true.into());
        context.insert(
            record_type.credential_type(),
            format!("{}#record", record_type.vct()).into(),
        );
        for (name, property) in schema["properties"].as_object().unwrap() {
            let iri = format!("{}#{name}", record_type.vct());
            context.insert(name.clone(), term(&iri, property, &schema["$defs"]));
        }
        let made = format!("{:#}\n", json!({ "@context": context }));
        if std::env::var_os("TEGATA_WRITE_CONTEXTS").is_some() {
            let path = format!(
                "{}/types/{}.context.json",
                env!("CARGO_MANIFEST_DIR"),
                record_type.id()
            );
            std::fs::write(path, &made).unwrap();
        } else {
            let frozen: Value = serde_json::from_str(record_type.context_json()).unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(&made).unwrap(),
                frozen,
                "{}",
                record_type.id()
            );
        }
    }
}

#[test]
fn types_have_names_of_their_own() {
    let name = |id: &str| catalogue().by_id(id).unwrap().credential_type();
    assert_eq!(name("vaccination"), "VaccinationRecord");
    assert_eq!(
        name("infant_checkup_3_4_months"),
        "InfantCheckup3To4MonthsRecord"
    );
    assert_eq!(name("infant_checkup_3_years"), "InfantCheckup3YearsRecord");
}
