//! FHIR R4 at the door: `Immunization` and `Observation` in, `OperationOutcome` out.
//!
//! **Whose record it is.** The organisation's own number for the person is `patient.identifier.value` (of an `Observation`
//! `subject.identifier.value`), where the reference has an identifier; else what follows `Patient/` in its `reference`.

use crate::import::dates;
use crate::intake::{Accepted, Incoming, IntakeError, accept, correct};
use crate::issuer::{Issuer, blocking, random_id};
use crate::model::Record;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use tegata_consent::ids::RecordId;
use tegata_credential::json::{self as strict, JsonFault};
use tegata_records::fhir::{
    MAX_RESOURCE_BYTES, OperationOutcome, PatientReference, check_plausible, from_fhir,
};
use tegata_service::clock::now_ms;

/// The media type of FHIR in JSON.
pub(crate) const MEDIA_TYPE: &str = "application/fhir+json";
/// Largest resource in bytes.
pub(crate) const RESOURCE_MAX_BYTES: usize = MAX_RESOURCE_BYTES;

/// How far ahead of the clock the day may lie on which something happened: one day, for time zones.
const DATE_AHEAD_MAX_MS: u64 = 24 * 3_600_000;

/// A refusal: a status with an `OperationOutcome`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    outcome: Value,
}

impl Refusal {
    /// `code` is of <http://hl7.org/fhir/issue-type>, `expression` a FHIRPath where one element is at fault.
    pub(crate) fn new(
        status: StatusCode,
        code: &str,
        diagnostics: impl Into<String>,
        expression: Option<&str>,
    ) -> Self {
        let mut issue =
            json!({ "severity": "error", "code": code, "diagnostics": diagnostics.into() });
        if let Some(expression) = expression {
            issue["expression"] = json!([expression]);
        }
        Self {
            status,
            outcome: json!({ "resourceType": "OperationOutcome", "issue": [issue] }),
        }
    }

    /// The first thing wrong, with its element.
    fn diagnostics(&self) -> String {
        let issue = &self.outcome["issue"][0];
        let text = issue["diagnostics"].as_str().unwrap_or_default();
        match issue["expression"][0].as_str() {
            Some(element) => format!("{element}: {text}"),
            None => text.to_owned(),
        }
    }

    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "something went wrong here; the operator's log says what",
            None,
        )
    }
}

impl From<OperationOutcome> for Refusal {
    fn from(outcome: OperationOutcome) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            outcome: outcome.to_json(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.outcome.to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A resource that was understood, with the name of its element for the person.
struct Understood {
    incoming: Incoming,
    resource_type: &'static str,
    record_type: &'static str,
}

/// Reads a resource; `wanted` is the resource type of the endpoint.
fn understand(
    issuer: &Issuer,
    body: &[u8],
    wanted: Option<&'static str>,
    system: &str,
) -> Result<Understood, Refusal> {
    let resource: Value = serde_json::from_slice(body).map_err(|error| {
        // The error of serde_json could repeat the text; only its place is told.
        let place = format!("not JSON: line {}, column {}", error.line(), error.column());
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "structure",
            place,
            Some("Resource"),
        )
    })?;
    // Two readers of a resource with a member twice could read two patients.
    if let Err(fault) = strict::parse(body) {
        let why = match fault {
            JsonFault::DuplicateName(_) => "a member is there twice in one object",
            JsonFault::TooDeep => "nested too deep",
            JsonFault::Malformed => "not JSON",
        };
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "structure",
            why.to_owned(),
            Some("Resource"),
        ));
    }
    let found = resource["resourceType"].as_str();
    if let (Some(wanted), Some(found)) = (wanted, found)
        && wanted != found
    {
        let text = format!("this endpoint takes {wanted}");
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "not-supported",
            text,
            Some("Resource.resourceType"),
        ));
    }
    let mapped = from_fhir(&resource)?;
    let last_day = dates::day_of(now_ms().saturating_add(DATE_AHEAD_MAX_MS));
    check_plausible(&resource, &last_day)?;
    let (resource_type, element) = match found {
        Some("Immunization") => ("Immunization", "Immunization.patient"),
        _ => ("Observation", "Observation.subject"),
    };
    let subject = subject_of(issuer, &mapped.patient, element)?;
    let refused = |expression: &str, text: String| {
        Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "value",
            text,
            Some(expression),
        )
    };
    let date =
        dates::parse(&mapped.date).map_err(|error| refused(resource_type, error.to_string()))?;
    let record_type = mapped.record_type.id();
    let (date_ms, source_id) = (dates::date_ms(date), mapped.source_id);
    let incoming = Incoming::new(
        &subject,
        mapped.record_type,
        system,
        source_id,
        date_ms,
        mapped.claims,
    );
    let incoming = incoming.map_err(|error| match error {
        IntakeError::Subject => refused(element, error.to_string()),
        _ => refused(&format!("{resource_type}.identifier"), error.to_string()),
    })?;
    Ok(Understood {
        incoming,
        resource_type,
        record_type,
    })
}

fn subject_of(
    issuer: &Issuer,
    patient: &PatientReference,
    element: &str,
) -> Result<String, Refusal> {
    let refused = |text: &str, below: &str| {
        Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "value",
            text,
            Some(&format!("{element}{below}")),
        )
    };
    if let Some(value) = &patient.identifier_value {
        let known = issuer.config.patient_system.as_ref();
        if known.is_some_and(|known| patient.identifier_system.as_ref() != Some(known)) {
            return Err(refused(
                "the identifier is of another system than this organisation's own",
                ".identifier.system",
            ));
        }
        return Ok(value.clone());
    }
    let reference = patient.reference.as_deref().unwrap_or_default();
    // relative only: patient 7 of another server is another person
    let id = reference.strip_prefix("Patient/");
    match id.filter(|id| is_fhir_id(id)) {
        Some(id) => Ok(id.to_owned()),
        None => Err(refused(
            "an identifier with the organisation's own number, or Patient/{number}, is needed",
            ".reference",
        )),
    }
}

/// A FHIR `id` (R4, datatypes): 1 to 64 letters, digits, `-` and `.`.
fn is_fhir_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// Refuses at the door what this organisation may not issue. Where the registry gives no answer the record is taken: it is
/// asked again before signing.
async fn check_accredited(
    issuer: &Issuer,
    record_type: &str,
    resource_type: &'static str,
) -> Result<(), Refusal> {
    match issuer.own().await {
        Ok(own)
            if !own
                .as_ref()
                .is_some_and(|own| own.may_issue(record_type, now_ms())) =>
        {
            let text = format!("this organisation is not accredited now to issue {record_type}");
            Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "forbidden",
                text,
                Some(resource_type),
            ))
        }
        _ => Ok(()),
    }
}

/// Reads a resource that is not to be taken in; an error says why it cannot be understood.
pub(crate) fn read(issuer: &Issuer, resource: &Value, system: &str) -> Result<Incoming, String> {
    let understood = understand(issuer, resource.to_string().as_bytes(), None, system);
    understood
        .map(|understood| understood.incoming)
        .map_err(|refusal| refusal.diagnostics())
}

/// Takes a resource in. Gives the record, and whether it is new.
pub(crate) async fn post(
    issuer: &Arc<Issuer>,
    body: &[u8],
    wanted: &'static str,
    system: &str,
) -> Result<(Record, bool), Refusal> {
    let understood = understand(issuer, body, Some(wanted), system)?;
    check_accredited(issuer, understood.record_type, understood.resource_type).await?;
    let resource_type = understood.resource_type;
    let taken = blocking(issuer, move |issuer| {
        let mut change = issuer.store.change();
        let accepted = accept(&mut change, understood.incoming, random_id(), now_ms())?;
        change.commit()?;
        Ok(accepted)
    });
    finish(issuer, taken.await, resource_type)
}

/// Takes a correction of a record in. Gives the record that replaces it, and whether it is new.
pub(crate) async fn post_correction(
    issuer: &Arc<Issuer>,
    wrong: RecordId,
    body: &[u8],
    system: &str,
) -> Result<(Record, bool), Refusal> {
    let understood = understand(issuer, body, None, system)?;
    check_accredited(issuer, understood.record_type, understood.resource_type).await?;
    let resource_type = understood.resource_type;
    let taken = blocking(issuer, move |issuer| {
        let mut change = issuer.store.change();
        let accepted = correct(
            &mut change,
            &wrong,
            understood.incoming,
            random_id(),
            now_ms(),
        )?;
        change.commit()?;
        Ok(accepted)
    });
    finish(issuer, taken.await, resource_type)
}

fn finish(
    issuer: &Issuer,
    taken: Result<Accepted, IntakeError>,
    resource_type: &'static str,
) -> Result<(Record, bool), Refusal> {
    match taken {
        Ok(Accepted::New(record)) => {
            metrics::counter!("tegata_issuer_accepted_total", "record_type" => record.record_type.clone()).increment(1);
            issuer.show_counts();
            issuer.queue_wake.notify_one();
            Ok((record, true))
        }
        Ok(Accepted::Same(record)) => {
            issuer.queue_wake.notify_one();
            Ok((record, false))
        }
        Err(IntakeError::Store(error)) => Err(Refusal::internal(&error)),
        Err(error @ IntakeError::NoSuchRecord) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "not-found",
            error.to_string(),
            None,
        )),
        Err(error @ IntakeError::NotTheSame) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(Refusal::new(
                status,
                "business-rule",
                error.to_string(),
                Some(resource_type),
            ))
        }
        Err(error) => Err(Refusal::new(
            StatusCode::CONFLICT,
            "conflict",
            error.to_string(),
            Some(resource_type),
        )),
    }
}
