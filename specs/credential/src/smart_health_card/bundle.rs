//! A FHIR bundle as small as the framework asks ("Health Cards are Compact"): no ids, no
//! narrative, no display texts, short references.

use serde_json::{Map, Value, json};

/// Why resources do not become a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not a FHIR resource.
    #[error("resource {0} has no `resourceType`")]
    Resource(usize),
    /// The first resource is not the patient.
    #[error("the first resource is not a Patient")]
    Patient,
    /// A vaccination or result says of nobody, or of somebody else.
    #[error("resource {0} is about somebody else than the patient of the card")]
    Subject(usize),
}

impl BundleError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resource(_) => "shc_resource_invalid",
            Self::Patient => "shc_patient_missing",
            Self::Subject(_) => "shc_subject_mismatch",
        }
    }
}

/// A `collection` of a patient and of resources about him. `patient` and `subject` of the others
/// are set to the patient of the card; an address there of somebody else is an error.
///
/// # Errors
/// [`BundleError`].
pub fn bundle(patient: &Value, resources: &[Value]) -> Result<Value, BundleError> {
    if patient["resourceType"] != "Patient" {
        return Err(BundleError::Patient);
    }
    let own = patient["id"].as_str().map(|id| format!("Patient/{id}"));
    let mut entries = Vec::new();
    for (place, resource) in std::iter::once(patient).chain(resources).enumerate() {
        let members = resource.as_object().ok_or(BundleError::Resource(place))?;
        if !members.get("resourceType").is_some_and(Value::is_string) {
            return Err(BundleError::Resource(place));
        }
        let mut small = shrink(members);
        if place > 0 {
            let member = match resource["resourceType"].as_str() {
                Some("Immunization") => "patient",
                _ => "subject",
            };
            let named = resource[member]["reference"].as_str();
            if let (Some(named), Some(own)) = (named, &own)
                && named != own
                && !named.ends_with(&format!("/{own}"))
            {
                return Err(BundleError::Subject(place));
            }
            small.insert(member.into(), json!({ "reference": "resource:0" }));
        }
        entries.push(json!({ "fullUrl": format!("resource:{place}"), "resource": small }));
    }
    Ok(json!({ "resourceType": "Bundle", "type": "collection", "entry": entries }))
}

/// A resource without `id`, `meta`, `text`, `contained`.
fn shrink(resource: &Map<String, Value>) -> Map<String, Value> {
    resource
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "id" | "meta" | "text" | "contained" | "implicitRules"
            )
        })
        .map(|(name, value)| (name.clone(), without_texts(value)))
        .collect()
}

/// Without `Coding.display`, and `CodeableConcept.text` where there is a coding that says it.
fn without_texts(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_texts).collect(),
        Value::Object(members) => {
            let is_coding = members.contains_key("code") && members.contains_key("system");
            let is_concept = members.contains_key("coding");
            let kept = members.iter().filter(|(name, _)| {
                !(is_coding && *name == "display" || is_concept && *name == "text")
            });
            kept.map(|(name, value)| (name.clone(), without_texts(value)))
                .collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_card_needs_is_left() {
        let patient = json!({ "resourceType": "Patient", "id": "7", "meta": {}, "text": { "div": "x" },
            "name": [{ "family": "Wakaba", "given": ["Hana"] }], "birthDate": "2024-10-12" });
        let shot = json!({ "resourceType": "Immunization", "id": "9", "status": "completed",
            "vaccineCode": { "text": "MR", "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04", "display": "M/R" }] },
            "patient": { "reference": "Patient/7" }, "occurrenceDateTime": "2025-10-12" });
        let made = bundle(&patient, std::slice::from_ref(&shot)).unwrap();
        assert_eq!(
            made["entry"][0]["resource"],
            json!({ "resourceType": "Patient",
            "name": [{ "family": "Wakaba", "given": ["Hana"] }], "birthDate": "2024-10-12" })
        );
        assert_eq!(
            made["entry"][1],
            json!({ "fullUrl": "resource:1", "resource": {
            "resourceType": "Immunization", "status": "completed",
            "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }] },
            "patient": { "reference": "resource:0" }, "occurrenceDateTime": "2025-10-12" } })
        );
        let mut other = shot.clone();
        other["patient"]["reference"] = json!("Patient/8");
        assert_eq!(
            bundle(&patient, &[other]).unwrap_err().code(),
            "shc_subject_mismatch"
        );
        assert_eq!(
            bundle(&shot, &[]).unwrap_err().code(),
            "shc_patient_missing"
        );
        assert_eq!(
            bundle(&patient, &[json!({})]).unwrap_err().code(),
            "shc_resource_invalid"
        );
    }
}
