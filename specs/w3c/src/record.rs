//! A record of the catalogue as a W3C credential (VCDM 2.0), and back. The page is `record-credential.md`.
//!
//! The claims stand in `credentialSubject` under their own names, defined by the record type's context; who it is about is
//! the holder's DID, or nobody in particular.

use serde_json::{Map, Value, json};
use tegata_credential::bitstring::BitstringEntry;
use tegata_credential::data_integrity::{CREDENTIALS_V2, VerifiedCredential, is_of_type};
use tegata_credential::rfc3339::write_time;
use tegata_records::{RecordType, SchemaError, catalogue};

/// What the IRIs of the catalogue begin with.
const NAMESPACE: &str = "urn:tegata:record:";

/// Why claims are not made a credential, or a credential is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The credential is of no type of the catalogue, or of two, or says so elsewhere or in other words than its `type`.
    #[error("the credential is not of exactly one record type, by its name at the top")]
    TypeUnknown,
    /// It does not name the context of its type: its terms mean something else.
    #[error("the credential does not name the context {0}")]
    ContextMissing(String),
    /// It is about nobody or about several.
    #[error("a record is about one subject")]
    Subject,
    /// The claims do not fit the type.
    #[error("the claims do not fit {vct}: {}", .errors.first().map(ToString::to_string).unwrap_or_default())]
    Claims {
        /// The type.
        vct: String,
        /// What is wrong.
        errors: Vec<SchemaError>,
    },
}

impl RecordError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TypeUnknown => "record_type_unknown",
            Self::ContextMissing(_) => "record_context_missing",
            Self::Subject => "record_subject_invalid",
            Self::Claims { .. } => "record_claims_invalid",
        }
    }
}

/// What a credential says besides the claims.
#[derive(Debug, Clone, Copy)]
pub struct RecordIssuance<'a> {
    /// The issuer's DID.
    pub issuer: &'a str,
    /// The credential's id, an IRI.
    pub id: Option<&'a str>,
    /// The holder's DID.
    pub holder: Option<&'a str>,
    /// `validFrom`, Unix seconds.
    pub valid_from: i64,
    /// `validUntil`, Unix seconds.
    pub valid_until: Option<i64>,
    /// Where its status is said.
    pub statuses: &'a [BitstringEntry],
}

/// What a credential says of a record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its type.
    pub record_type: &'static RecordType,
    /// Its claims; they fit the type.
    pub claims: Value,
    /// Whom it is about, if it says.
    pub holder: Option<String>,
}

/// The credential of a record, to be signed with [`tegata_credential::data_integrity::sign_credential`].
///
/// # Errors
/// [`RecordError::Claims`].
pub fn credential(
    record_type: &RecordType,
    claims: &Value,
    issuance: &RecordIssuance<'_>,
) -> Result<Map<String, Value>, RecordError> {
    record_type
        .validate(claims)
        .map_err(|errors| RecordError::Claims {
            vct: record_type.vct().to_owned(),
            errors,
        })?;
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put(
        "@context",
        json!([CREDENTIALS_V2, record_type.context_url()]),
    );
    if let Some(id) = issuance.id {
        put("id", id.into());
    }
    put(
        "type",
        json!(["VerifiableCredential", record_type.credential_type()]),
    );
    put("issuer", issuance.issuer.into());
    put("validFrom", write_time(issuance.valid_from).into());
    if let Some(until) = issuance.valid_until {
        put("validUntil", write_time(until).into());
    }
    let mut subject = Map::new();
    if let Some(holder) = issuance.holder {
        subject.insert("id".into(), holder.into());
    }
    subject.extend(claims.as_object().cloned().unwrap_or_default());
    put("credentialSubject", Value::Object(subject));
    match issuance.statuses {
        [] => {}
        [one] => put("credentialStatus", one.to_json()),
        many => put(
            "credentialStatus",
            many.iter().map(BitstringEntry::to_json).collect(),
        ),
    }
    Ok(out)
}

/// The record in a verified credential.
///
/// # Errors
/// [`RecordError`].
pub fn read(credential: &VerifiedCredential) -> Result<Record, RecordError> {
    of_document(credential.document())?.ok_or(RecordError::TypeUnknown)
}

/// The record that a credential claims to be, whoever signed it; `None` where it claims to be none of the catalogue.
///
/// In RDF a type may be said by its IRI too, and of any node, and what is signed is the RDF: so a credential that names a
/// type's context, or a type, in another way than a record does is an error, and none that might be anything.
///
/// # Errors
/// [`RecordError`].
pub fn of_document(document: &Map<String, Value>) -> Result<Option<Record>, RecordError> {
    let mut types = catalogue()
        .types()
        .iter()
        .filter(|kind| is_of_type(document, &kind.credential_type()));
    let contexts = document.get("@context").and_then(Value::as_array);
    let is_ours = |url: &Value| url.as_str().is_some_and(|url| url.starts_with(NAMESPACE));
    let names_ours = contexts.is_some_and(|contexts| contexts.iter().any(is_ours));
    if document
        .iter()
        .any(|(name, value)| name != "@context" && says_type(name, value, true))
    {
        return Err(RecordError::TypeUnknown);
    }
    let record_type = match (types.next(), types.next()) {
        (None, _) if names_ours => return Err(RecordError::TypeUnknown),
        (None, _) => return Ok(None),
        (Some(one), None) => one,
        _ => return Err(RecordError::TypeUnknown),
    };
    let url = record_type.context_url();
    if !contexts.is_some_and(|contexts| contexts.iter().any(|known| *known == url)) {
        return Err(RecordError::ContextMissing(url));
    }
    let subject = match document.get("credentialSubject") {
        Some(Value::Array(many)) if many.len() == 1 => &many[0],
        Some(one) => one,
        None => return Err(RecordError::Subject),
    };
    let mut claims = subject.as_object().ok_or(RecordError::Subject)?.clone();
    let holder = claims.remove("id");
    let holder = holder.and_then(|id| id.as_str().map(str::to_owned));
    let claims = Value::Object(claims);
    record_type
        .validate(&claims)
        .map_err(|errors| RecordError::Claims {
            vct: record_type.vct().to_owned(),
            errors,
        })?;
    Ok(Some(Record {
        record_type,
        claims,
        holder,
    }))
}

/// Whether a member says a type of the catalogue where or as a record does not: by its IRI, or of a node inside.
fn says_type(name: &str, value: &Value, at_the_top: bool) -> bool {
    let is_type = |text: &str| {
        let named = || {
            catalogue()
                .types()
                .iter()
                .any(|kind| kind.credential_type() == text)
        };
        text.starts_with(NAMESPACE) || !at_the_top && named()
    };
    match value {
        Value::String(text) => name == "type" && is_type(text),
        Value::Array(many) => many.iter().any(|one| says_type(name, one, at_the_top)),
        Value::Object(object) => object
            .iter()
            .any(|(name, value)| says_type(name, value, false)),
        _ => false,
    }
}
