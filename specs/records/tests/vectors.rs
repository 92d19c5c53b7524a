//! What a record may say: `vectors/records.json`, accepted and refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::Value;
use tegata_records::catalogue;
use tegata_records::fhir::{check_plausible, from_fhir};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/records.json")).unwrap()
}

#[test]
fn claims() {
    for vector in vectors()["claims"].as_array().unwrap() {
        let record_type = catalogue().by_id(vector["record_type"].as_str().unwrap());
        let errors = record_type.unwrap().validate(&vector["claims"]).err();
        let errors = errors.unwrap_or_default();
        let found: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        let wanted: Vec<&str> = vector["at"].as_str().into_iter().collect();
        assert_eq!(found, wanted, "{}: {errors:?}", vector["name"]);
    }
}

#[test]
fn resources() {
    let vectors = vectors();
    let last_day = vectors["last_day"].as_str().unwrap();
    for vector in vectors["resources"].as_array().unwrap() {
        let resource = &vector["resource"];
        let checked = from_fhir(resource).and_then(|_| check_plausible(resource, last_day));
        let issues = checked.err().map(|outcome| outcome.issues);
        let issues = issues.unwrap_or_default();
        let found: Vec<_> = issues
            .iter()
            .map(|issue| (issue.code, issue.expression.as_str()))
            .collect();
        let code = vector["code"].as_str();
        let wanted: Vec<_> = code
            .zip(vector["expression"].as_str())
            .into_iter()
            .collect();
        assert_eq!(found, wanted, "{}: {issues:?}", vector["name"]);
    }
}
