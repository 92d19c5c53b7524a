//! FHIR in and out, by example.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use tegata_records::catalogue;
use tegata_records::fhir::{PatientReference, from_fhir, to_fhir};

fn immunization() -> Value {
    json!({
        "resourceType": "Immunization",
        "id": "i-1",
        "identifier": [{ "system": "https://clinic.example/shots", "value": "2025-17" }],
        "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }], "text": "MR" },
        "patient": { "reference": "Patient/1", "identifier": { "system": "https://clinic.example/p", "value": "77" } },
        "occurrenceDateTime": "2025-04-01T10:15:00+09:00",
        "location": { "display": "さくらクリニック" },
        "lotNumber": "AB-12",
        "performer": [{ "actor": { "display": "Dr Example" } }],
        "protocolApplied": [{ "doseNumberPositiveInt": 2, "series": "MR" }],
        "note": [{ "text": "no fever", "authorReference": { "display": "Nurse Example" } }],
    })
}

fn observation() -> Value {
    json!({
        "resourceType": "Observation",
        "id": "o-1",
        "status": "final",
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "94500-6", "display": "SARS-CoV-2 RNA" }] },
        "subject": { "reference": "https://test.example/fhir/Patient/9" },
        "effectiveDateTime": "2025-01-10T09:00:00+09:00",
        "valueCodeableConcept": { "coding": [{ "system": "http://snomed.info/sct", "code": "10828004" }] },
        "specimen": { "display": "saliva" },
        "performer": [{ "display": "Midori Test Centre" }],
    })
}

fn round_trip(resource: &Value) -> Value {
    let mapped = from_fhir(resource).unwrap_or_else(|outcome| panic!("{outcome}"));
    mapped.record_type.validate(&mapped.claims).unwrap();
    let written = to_fhir(mapped.record_type, &mapped.claims, &mapped.patient).unwrap();
    let again = from_fhir(&written).unwrap_or_else(|outcome| panic!("{outcome}: {written:#}"));
    assert_eq!(again.claims, mapped.claims);
    assert_eq!(again.patient, mapped.patient);
    assert_eq!(again.date, mapped.date);
    mapped.claims
}

#[test]
fn a_vaccination() {
    let mapped = from_fhir(&immunization()).unwrap();
    assert_eq!(mapped.record_type.id(), "vaccination");
    assert_eq!(
        mapped.source_id.as_deref(),
        Some("https://clinic.example/shots|2025-17")
    );
    assert_eq!(mapped.date, "2025-04-01");
    assert_eq!(
        mapped.patient,
        PatientReference {
            reference: Some("Patient/1".into()),
            identifier_system: Some("https://clinic.example/p".into()),
            identifier_value: Some("77".into()),
        }
    );
    assert_eq!(
        round_trip(&immunization()),
        json!({
            "vaccine_code": "mr",
            "vaccine_name": "MR",
            "vaccine_codings": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }],
            "date": "2025-04-01",
            "occurred_at": "2025-04-01T10:15:00+09:00",
            "series": "MR",
            "dose_number": 2,
            "place": { "name": "さくらクリニック" },
            "lot_number": "AB-12",
            "performers": [{ "actor": { "name": "Dr Example" } }],
            "notes": [{ "text": "no fever", "author": "Nurse Example" }],
        })
    );
}

#[test]
fn a_test_result() {
    let claims = round_trip(&observation());
    assert_eq!(claims["result"], "positive");
    assert_eq!(claims["test_name"], "SARS-CoV-2 RNA");
    assert_eq!(claims["date"], "2025-01-10");
    assert_eq!(
        from_fhir(&observation()).unwrap().source_id.as_deref(),
        Some("Observation/o-1")
    );
}

#[test]
fn results_that_only_we_have_a_code_for() {
    let laboratory = catalogue().by_id("laboratory_result").unwrap();
    let patient = PatientReference {
        reference: Some("Patient/1".into()),
        ..Default::default()
    };
    for more in [
        json!({ "result": "negative" }),
        json!({ "result": "inconclusive", "value_text": "see note" }),
        json!({ "result": "negative", "value_quantity": { "value": 40.5, "unit": "Ct" } }),
        json!({ "result": "positive", "value_concept": { "text": "陽性" } }),
        json!({ "components": [{ "test_name": "N gene", "result": "positive" }] }),
    ] {
        let mut claims =
            json!({ "result_status": "final", "test_name": "PCR", "date": "2025-01-10" });
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let written = to_fhir(laboratory, &claims, &patient).unwrap();
        assert_eq!(
            from_fhir(&written)
                .unwrap_or_else(|o| panic!("{o}: {written:#}"))
                .claims,
            claims
        );
    }
}

#[test]
fn all_checkups_there_and_back() {
    let patient = PatientReference {
        reference: Some("Patient/1".into()),
        ..Default::default()
    };
    for (id, items) in [
        ("hip_dislocation_screening", json!({})),
        (
            "infant_checkup_3_4_months",
            json!({ "height_cm": 62.1, "weight_g": 6500, "chest_circumference_cm": 41.0, "head_circumference_cm": 40.5, "kaup_index": 16.9 }),
        ),
        (
            "infant_checkup_9_10_months",
            json!({ "head_circumference_cm": 45.5 }),
        ),
        (
            "infant_checkup_18_months",
            json!({ "teeth_count": 14, "decayed_teeth_count": 0 }),
        ),
        (
            "dental_checkup_2_years",
            json!({ "height_cm": 86.0, "weight_g": 12000, "kaup_index": 16.2, "teeth_count": 16, "decayed_teeth_count": 1 }),
        ),
        (
            "infant_checkup_3_years",
            json!({ "urine_protein": "trace", "urine_glucose": "negative", "urine_occult_blood": "positive_1", "urine_leucocytes": "negative", "decayed_teeth_count": 2 }),
        ),
    ] {
        let record_type = catalogue().by_id(id).unwrap();
        let mut claims = json!({ "date": "2025-05-20", "place": "中央保健センター" });
        claims
            .as_object_mut()
            .unwrap()
            .extend(items.as_object().unwrap().clone());
        let written = to_fhir(record_type, &claims, &patient).unwrap();
        let mapped = from_fhir(&written).unwrap_or_else(|o| panic!("{o}"));
        assert_eq!(mapped.record_type.id(), id);
        assert_eq!(mapped.claims, claims);
        assert_eq!(mapped.patient, patient);
    }
}

/// The code and element of the only issue when `change` is made to `resource`.
fn refused(mut resource: Value, pointer: &str, value: Value) -> (String, String) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = resource.pointer_mut(parent).unwrap();
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(name);
    } else {
        parent[name] = value;
    }
    let outcome = from_fhir(&resource).unwrap_err();
    assert_eq!(outcome.issues.len(), 1, "{outcome}");
    let json = outcome.to_json();
    assert_eq!(json["resourceType"], "OperationOutcome");
    assert_eq!(json["issue"][0]["severity"], "error");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&json["issue"][0]["code"]),
        text(&json["issue"][0]["expression"][0]),
    )
}

#[test]
fn vaccinations_refused_by_element() {
    for (pointer, value, code, element) in [
        (
            "/status",
            json!("not-done"),
            "not-supported",
            "Immunization.status",
        ),
        (
            "/status",
            json!("entered-in-error"),
            "not-supported",
            "Immunization.status",
        ),
        ("/status", json!("done"), "value", "Immunization.status"),
        ("/status", Value::Null, "required", "Immunization.status"),
        (
            "/vaccineCode",
            Value::Null,
            "required",
            "Immunization.vaccineCode",
        ),
        (
            "/vaccineCode",
            json!({ "extension": [] }),
            "required",
            "Immunization.vaccineCode",
        ),
        ("/patient", Value::Null, "required", "Immunization.patient"),
        (
            "/patient",
            json!({ "display": "A child" }),
            "required",
            "Immunization.patient",
        ),
        (
            "/patient",
            json!({ "reference": "Group/1" }),
            "not-supported",
            "Immunization.patient",
        ),
        (
            "/occurrenceDateTime",
            Value::Null,
            "required",
            "Immunization.occurrence[x]",
        ),
        (
            "/occurrenceDateTime",
            json!("2025-02-30"),
            "structure",
            "Immunization.occurrenceDateTime",
        ),
        (
            "/occurrenceDateTime",
            json!("01/04/2025"),
            "structure",
            "Immunization.occurrenceDateTime",
        ),
        (
            "/lotNumber",
            json!(12),
            "structure",
            "Immunization.lotNumber",
        ),
        (
            "/lotNumber",
            json!("x".repeat(101)),
            "invariant",
            "Immunization.lotNumber",
        ),
        ("/lot", json!("x"), "structure", "Immunization.lot"),
        (
            "/modifierExtension",
            json!([]),
            "not-supported",
            "Immunization.modifierExtension",
        ),
        (
            "/implicitRules",
            json!("x"),
            "not-supported",
            "Immunization.implicitRules",
        ),
        (
            "/performer",
            json!({}),
            "structure",
            "Immunization.performer",
        ),
        (
            "/performer",
            json!([]),
            "structure",
            "Immunization.performer",
        ),
        (
            "/performer/0/modifierExtension",
            json!([]),
            "not-supported",
            "Immunization.performer[0].modifierExtension",
        ),
        (
            "/performer/0/actor",
            json!("x"),
            "structure",
            "Immunization.performer[0].actor",
        ),
        (
            "/protocolApplied/0/doseNumberPositiveInt",
            json!(0),
            "invariant",
            "Immunization.protocolApplied[0]",
        ),
        (
            "/protocolApplied/0/doseNumberPositiveInt",
            json!("2"),
            "structure",
            "Immunization.protocolApplied[0].doseNumberPositiveInt",
        ),
        (
            "/note/0/text",
            json!(" "),
            "structure",
            "Immunization.note[0].text",
        ),
        (
            "/expirationDate",
            json!("soon"),
            "structure",
            "Immunization.expirationDate",
        ),
    ] {
        let found = refused(immunization(), pointer, value);
        assert_eq!(found, (code.to_owned(), element.to_owned()), "{pointer}");
    }
    let mut text = immunization();
    let object = text.as_object_mut().unwrap();
    object.remove("occurrenceDateTime");
    let found = refused(text, "/occurrenceString", json!("spring 2012"));
    assert_eq!(
        found,
        (
            "not-supported".into(),
            "Immunization.occurrenceString".into()
        )
    );
}

#[test]
fn results_refused_by_element() {
    for (pointer, value, code, element) in [
        (
            "/status",
            json!("preliminary"),
            "not-supported",
            "Observation.status",
        ),
        (
            "/status",
            json!("cancelled"),
            "not-supported",
            "Observation.status",
        ),
        ("/status", json!("maybe"), "value", "Observation.status"),
        (
            "/category",
            Value::Null,
            "not-supported",
            "Observation.category",
        ),
        (
            "/category/0/coding/0/code",
            json!("vital-signs"),
            "not-supported",
            "Observation.category",
        ),
        (
            "/category/0/coding/0/system",
            json!("http://x.example"),
            "not-supported",
            "Observation.category",
        ),
        ("/code", Value::Null, "required", "Observation.code"),
        ("/subject", Value::Null, "required", "Observation.subject"),
        (
            "/effectiveDateTime",
            Value::Null,
            "required",
            "Observation.effective[x]",
        ),
        (
            "/effectiveTiming",
            json!({}),
            "not-supported",
            "Observation.effectiveTiming",
        ),
        (
            "/hasMember",
            json!([{ "reference": "Observation/2" }]),
            "not-supported",
            "Observation.hasMember",
        ),
        (
            "/focus",
            json!([{ "reference": "Patient/2" }]),
            "not-supported",
            "Observation.focus",
        ),
        (
            "/valueCodeableConcept",
            Value::Null,
            "required",
            "Observation.value[x]",
        ),
        (
            "/valueString",
            json!("x"),
            "structure",
            "Observation.value[x]",
        ),
        (
            "/valueCodeableConcept/coding/0/code",
            json!(1),
            "structure",
            "Observation.valueCodeableConcept.coding[0].code",
        ),
        (
            "/component",
            json!([{ "valueInteger": 1 }]),
            "required",
            "Observation.component[0].code",
        ),
    ] {
        let found = refused(observation(), pointer, value);
        assert_eq!(found, (code.to_owned(), element.to_owned()), "{pointer}");
    }
    let mut range = observation();
    range
        .as_object_mut()
        .unwrap()
        .remove("valueCodeableConcept");
    let found = refused(range, "/valueRange", json!({ "low": { "value": 1 } }));
    assert_eq!(
        found,
        ("not-supported".into(), "Observation.valueRange".into())
    );
}

#[test]
fn checkups_refused_by_element() {
    let checkup = || {
        let claims = json!({ "date": "2025-05-20", "place": "x", "height_cm": 62.1 });
        let patient = PatientReference {
            reference: Some("Patient/1".into()),
            ..Default::default()
        };
        to_fhir(
            catalogue().by_id("infant_checkup_3_4_months").unwrap(),
            &claims,
            &patient,
        )
        .unwrap()
    };
    for (pointer, value, code, element) in [
        (
            "/status",
            json!("preliminary"),
            "not-supported",
            "Observation.status",
        ),
        (
            "/effectiveDateTime",
            json!("2025-05"),
            "required",
            "Observation.effectiveDateTime",
        ),
        (
            "/performer",
            Value::Null,
            "required",
            "Observation.performer",
        ),
        ("/subject", Value::Null, "required", "Observation.subject"),
        (
            "/bodySite",
            json!({}),
            "not-supported",
            "Observation.bodySite",
        ),
        (
            "/component/0/valueQuantity/code",
            json!("m"),
            "value",
            "Observation.component[0].value[x]",
        ),
        (
            "/component/0/valueQuantity/value",
            json!(6210),
            "invariant",
            "Observation.component.where(code.coding.code = 'height_cm')",
        ),
        (
            "/component/0/code",
            json!({}),
            "not-supported",
            "Observation.component[0].code",
        ),
    ] {
        let found = refused(checkup(), pointer, value);
        assert_eq!(found, (code.to_owned(), element.to_owned()), "{pointer}");
    }
}

#[test]
fn claims_that_do_not_fit_are_not_written() {
    let vaccination = catalogue().by_id("vaccination").unwrap();
    let error = to_fhir(
        vaccination,
        &json!({ "date": "2025" }),
        &PatientReference::default(),
    );
    assert!(error.unwrap_err().to_string().contains("record type"));
}

/// A claim with such a name could not be signed: the credential's own claims have them (RFC 7519, SD-JWT VC, Token Status List).
#[test]
fn no_claim_has_the_name_of_a_registered_one() {
    for record_type in catalogue().types() {
        for name in record_type.claim_names() {
            let registered = [
                "iss",
                "iat",
                "nbf",
                "exp",
                "sub",
                "jti",
                "vct",
                "vct#integrity",
                "aka_vcts",
                "cnf",
                "status",
            ];
            assert!(!registered.contains(&name), "{}: {name}", record_type.id());
        }
    }
}
