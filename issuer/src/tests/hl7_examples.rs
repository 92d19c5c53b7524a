//! HL7's own FHIR R4 examples (npm `hl7.fhir.r4.examples`, installed by `npm ci` in `tests/interop`) posted to a running
//! issuer: every `Immunization` and laboratory `Observation` is taken, or refused with an `OperationOutcome` that names the
//! element.

use super::world::World;
use serde_json::Value;
use std::collections::BTreeMap;

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
    let categories = resource["category"].as_array().into_iter().flatten();
    let mut codings = categories.flat_map(|c| c["coding"].as_array().into_iter().flatten());
    codings.any(|coding| coding["code"] == "laboratory")
}

#[tokio::test]
async fn each_goes_through_the_door_or_is_refused_by_element() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/interop/node_modules/hl7.fhir.r4.examples"
    );
    let Ok(files) = std::fs::read_dir(folder) else {
        panic!("no HL7 examples: run npm ci in tests/interop (make setup does)");
    };
    let mut found = Vec::new();
    for file in files {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if ["Immunization-", "Observation-", "Bundle-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            let text = std::fs::read(&file).unwrap();
            resources(serde_json::from_slice(&text).unwrap(), &mut found);
        }
    }
    let mut counts: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    for resource in found {
        let kind = match resource["resourceType"].as_str() {
            Some("Immunization") => "Immunization",
            Some("Observation") if is_laboratory(&resource) => "Observation",
            _ => continue,
        };
        // An issuer each: several examples are different resources under one identifier, which one issuer refuses.
        let world = World::new().await;
        let issuer = world.start().await;
        let (status, answer) = issuer.post(&format!("/fhir/{kind}"), &resource).await;
        *counts.entry((kind, status)).or_default() += 1;
        match status {
            201 => {
                assert_eq!(answer["status"], "waiting", "{answer}");
                let listed = issuer.get("/v1/records?status=waiting").await;
                assert_eq!(listed["counts"]["waiting"], 1, "{listed}");
            }
            422 => {
                assert_eq!(answer["resourceType"], "OperationOutcome", "{answer}");
                for issue in answer["issue"].as_array().unwrap() {
                    let element = issue["expression"][0].as_str().unwrap_or_default();
                    assert!(element.starts_with(&format!("{kind}.")), "{answer}");
                }
                let listed = issuer.get("/v1/records").await;
                assert_eq!(listed["records"].as_array().map(Vec::len), Some(0));
            }
            _ => panic!("{status} {answer}"),
        }
        issuer.stop().await;
    }
    println!("{counts:?}");
    assert_eq!(counts[&("Immunization", 201)], 3, "{counts:?}");
    assert_eq!(counts[&("Immunization", 422)], 2, "{counts:?}");
    assert!(counts[&("Observation", 201)] >= 10, "{counts:?}");
}
