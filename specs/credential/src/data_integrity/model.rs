//! The Verifiable Credentials Data Model 2.0: which members a credential and a presentation have, and of which form.

use serde_json::{Map, Value};

use super::contexts::Contexts;
use super::error::DataIntegrityError;
use super::terms::check_closed;
use crate::CLOCK_SKEW_S;
use crate::rfc3339::parse_time;

/// Most credentials in one presentation.
pub const CREDENTIALS_MAX: usize = 32;

/// What a credential says of itself, in the right form; believed by nobody yet.
pub(super) struct Credential<'a> {
    pub(super) issuer: &'a str,
    pub(super) valid_from: Option<i64>,
    pub(super) valid_until: Option<i64>,
}

impl<'a> Credential<'a> {
    pub(super) fn read(
        document: &'a Map<String, Value>,
        contexts: &Contexts,
    ) -> Result<Self, DataIntegrityError> {
        check_closed(document, contexts)?;
        has_type(document, "VerifiableCredential")?;
        let subjects = one_or_many(document, "credentialSubject")?;
        if subjects.is_empty() || subjects.iter().any(|subject| subject.is_empty()) {
            return Err(DataIntegrityError::Member("credentialSubject"));
        }
        for status in one_or_many(document, "credentialStatus")? {
            if !status
                .get("type")
                .is_some_and(|kind| kind.is_string() || kind.is_array())
            {
                return Err(DataIntegrityError::Member("credentialStatus"));
            }
        }
        let out = Self {
            issuer: party(document, "issuer")?.ok_or(DataIntegrityError::Member("issuer"))?,
            valid_from: time(document, "validFrom")?,
            valid_until: time(document, "validUntil")?,
        };
        match (out.valid_from, out.valid_until) {
            (Some(from), Some(until)) if until < from => {
                Err(DataIntegrityError::Member("validUntil"))
            }
            _ => Ok(out),
        }
    }

    /// That it is valid at `at`, Unix seconds.
    pub(super) fn check_times(&self, at: i64) -> Result<(), DataIntegrityError> {
        if let Some(from) = self
            .valid_from
            .filter(|from| *from > at.saturating_add(CLOCK_SKEW_S))
        {
            return Err(DataIntegrityError::NotYetValid { from, at });
        }
        if let Some(until) = self.valid_until.filter(|until| *until < at) {
            return Err(DataIntegrityError::Expired { until, at });
        }
        Ok(())
    }
}

/// What a presentation says of itself.
pub(super) struct Presentation<'a> {
    pub(super) holder: Option<&'a str>,
    pub(super) credentials: Vec<&'a Map<String, Value>>,
}

impl<'a> Presentation<'a> {
    pub(super) fn read(
        document: &'a Map<String, Value>,
        contexts: &Contexts,
    ) -> Result<Self, DataIntegrityError> {
        check_closed(document, contexts)?;
        has_type(document, "VerifiablePresentation")?;
        let credentials = one_or_many(document, "verifiableCredential")?;
        if credentials.is_empty() || credentials.len() > CREDENTIALS_MAX {
            return Err(DataIntegrityError::Member("verifiableCredential"));
        }
        Ok(Self {
            holder: party(document, "holder")?,
            credentials,
        })
    }
}

/// Whether the `type` of an object is, or contains, a type.
#[must_use]
pub fn is_of_type(object: &Map<String, Value>, wanted: &str) -> bool {
    match object.get("type") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(many)) => many.iter().any(|one| one == wanted),
        _ => false,
    }
}

fn has_type(document: &Map<String, Value>, wanted: &'static str) -> Result<(), DataIntegrityError> {
    if is_of_type(document, wanted) {
        Ok(())
    } else {
        Err(DataIntegrityError::Type(wanted))
    }
}

/// The objects of a member that has one or many; none where it is absent.
pub(crate) fn one_or_many<'a>(
    document: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Vec<&'a Map<String, Value>>, DataIntegrityError> {
    let wrong = DataIntegrityError::Member(name);
    match document.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Object(one)) => Ok(vec![one]),
        Some(Value::Array(many)) => many
            .iter()
            .map(Value::as_object)
            .collect::<Option<_>>()
            .ok_or(wrong),
        Some(_) => Err(wrong),
    }
}

/// An IRI, or an object with one as `id`.
fn party<'a>(
    document: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, DataIntegrityError> {
    let wrong = DataIntegrityError::Member(name);
    match document.get(name) {
        None => Ok(None),
        Some(Value::String(id)) => Ok(Some(id)),
        Some(Value::Object(party)) => party
            .get("id")
            .and_then(Value::as_str)
            .map(Some)
            .ok_or(wrong),
        Some(_) => Err(wrong),
    }
}

fn time(
    document: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<i64>, DataIntegrityError> {
    let Some(value) = document.get(name) else {
        return Ok(None);
    };
    let time = value
        .as_str()
        .and_then(parse_time)
        .ok_or(DataIntegrityError::Member(name))?;
    Ok(Some(time))
}
