//! Every `Immunization` and every `Observation` in HL7's own FHIR R4 examples (npm
//! `hl7.fhir.r4.examples`): each is mapped, and then goes to FHIR and back unchanged, or is
//! refused with the element at fault.
//!
//! The examples are found through `TEGATA_FHIR_EXAMPLES` (the folder with the JSON files), else
//! where `npm ci` in `tests/interop` puts them. Without them the test says so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tegata_records::fhir::{from_fhir, to_fhir};

fn examples() -> Option<PathBuf> {
    let installed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/interop/node_modules/hl7.fhir.r4.examples"
    );
    let folder =
        std::env::var_os("TEGATA_FHIR_EXAMPLES").map_or_else(|| installed.into(), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// The resources in one file: itself, what a bundle holds, what is contained.
fn resources(value: Value, out: &mut Vec<Value>) {
    for entry in value["entry"].as_array().into_iter().flatten() {
        resources(entry["resource"].clone(), out);
    }
    for contained in value["contained"].as_array().into_iter().flatten() {
        resources(contained.clone(), out);
    }
    out.push(value);
}

fn is_laboratory(resource: &Value) -> bool {
    let categories = resource["category"].as_array();
    categories.into_iter().flatten().any(|category| {
        category["coding"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["code"] == "laboratory")
    })
}

#[test]
fn each_is_mapped_or_refused_by_element() {
    let Some(folder) = examples() else {
        println!(
            "SKIPPED: no HL7 examples; run npm ci in tests/interop or set TEGATA_FHIR_EXAMPLES"
        );
        return;
    };
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !["Immunization-", "Observation-", "Bundle-"]
            .iter()
            .any(|p| name.starts_with(p))
        {
            continue;
        }
        let mut found = Vec::new();
        resources(
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap(),
            &mut found,
        );
        for resource in found {
            let kind = match resource["resourceType"].as_str() {
                Some("Immunization") => "Immunization",
                Some("Observation") if is_laboratory(&resource) => "Observation, laboratory",
                Some("Observation") => "Observation, another category or none",
                _ => continue,
            };
            let count = counts.entry(kind).or_default();
            match from_fhir(&resource) {
                Ok(mapped) => {
                    count[0] += 1;
                    let written =
                        to_fhir(mapped.record_type, &mapped.claims, &mapped.patient).unwrap();
                    let again = from_fhir(&written).unwrap_or_else(|o| panic!("{name}: {o}"));
                    assert_eq!(again.claims, mapped.claims, "{name}");
                    assert_eq!(again.patient, mapped.patient, "{name}");
                    assert_ne!(kind, "Observation, another category or none", "{name}");
                    println!("mapped   {name} {}", resource["id"]);
                }
                Err(outcome) => {
                    count[1] += 1;
                    assert!(!outcome.issues.is_empty(), "{name}");
                    for issue in &outcome.issues {
                        let names_element = issue.expression.starts_with("Immunization.")
                            || issue.expression.starts_with("Observation.");
                        assert!(names_element, "{name}: {issue}");
                        *refusals
                            .entry(format!("{} ({})", issue.expression, issue.code))
                            .or_default() += 1;
                        // HL7's examples are valid: nothing in them is wrong in itself.
                        assert_ne!(issue.code, "structure", "{name}: {issue}");
                    }
                    if kind != "Observation, another category or none" {
                        println!("refused  {name} {}: {outcome}", resource["id"]);
                    }
                }
            }
        }
    }
    for (kind, [mapped, refused]) in &counts {
        println!("{kind}: {mapped} mapped, {refused} refused");
    }
    for (element, count) in &refusals {
        println!("  {count:4} × {element}");
    }
    assert_eq!(counts["Immunization"], [3, 2]);
    assert!(counts["Observation, laboratory"][0] > 0);
}
