//! What the issuer answers in JSON.

use crate::issuer::Issuer;
use crate::model::{Failure, Import, Record, Revocation};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// A record, without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordAnswer {
    /// Its id.
    pub id: String,
    /// The organisation's own number for the person; of a W3C credential, whom it is about in its own words.
    pub subject: String,
    /// Record type in the catalogue; `w3c` for a credential of another type.
    pub record_type: String,
    /// `waiting`, `queued`, `deposited`, `issued` (a W3C credential), `revoked`, `corrected`, `recalled` or `refused`.
    pub status: String,
    /// Why it waits or was refused, or what went wrong last: a short word.
    pub reason: Option<String>,
    /// Which system sent it.
    pub system: String,
    /// That system's id for it.
    pub source_id: String,
    /// The record's date, in milliseconds since 1970.
    pub date_ms: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// How often depositing failed since it was sealed.
    pub attempts: u32,
    /// The vault host, once it is sealed.
    pub host: Option<String>,
    /// The drawer, once it is sealed.
    pub drawer: Option<String>,
    /// When the host's receipt came, in milliseconds since 1970.
    pub deposited_ms: Option<u64>,
    /// The host's signed receipt, base64url.
    pub receipt: Option<String>,
    /// The record that it corrects.
    pub replaces: Option<String>,
    /// The record that corrects it.
    pub replaced_by: Option<String>,
    /// Where its status is published, once it is sealed.
    pub status_list: Option<StatusListAnswer>,
    /// When and why it was taken back.
    pub revocation: Option<RevocationAnswer>,
    /// Since when and why it is suspended.
    pub suspension: Option<RevocationAnswer>,
}

/// A place in a status list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusListAnswer {
    /// Where the list is published.
    pub uri: String,
    /// The index in it.
    pub idx: u32,
}

/// When and why a record was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevocationAnswer {
    /// In milliseconds since 1970.
    pub at_ms: u64,
    /// In the organisation's words.
    pub reason: String,
}

impl RevocationAnswer {
    fn new(revocation: &Revocation) -> Self {
        Self {
            at_ms: revocation.at_ms,
            reason: revocation.reason.clone(),
        }
    }
}

impl RecordAnswer {
    pub(crate) fn new(issuer: &Issuer, record: &Record) -> Self {
        let sealing = record.sealing.as_ref();
        Self {
            id: record.id.to_string(),
            subject: record.subject.clone(),
            record_type: record.record_type.clone(),
            status: record.status.word().to_owned(),
            reason: record.reason.clone(),
            system: record.system.clone(),
            source_id: record.source_id.clone(),
            date_ms: record.date_ms,
            accepted_ms: record.accepted_ms,
            attempts: record.attempts,
            host: sealing.map(|sealing| sealing.host.to_string()),
            drawer: sealing.map(|sealing| sealing.drawer.to_string()),
            deposited_ms: record.deposited_ms,
            receipt: record
                .receipt
                .as_ref()
                .map(|receipt| URL_SAFE_NO_PAD.encode(receipt.as_slice())),
            replaces: record.replaces.map(|id| id.to_string()),
            replaced_by: record.replaced_by.map(|id| id.to_string()),
            status_list: record.place.map(|place| StatusListAnswer {
                uri: issuer.status_list_uri(place.list),
                idx: place.index,
            }),
            revocation: record.revocation.as_ref().map(RevocationAnswer::new),
            suspension: record.suspension.as_ref().map(RevocationAnswer::new),
        }
    }
}

/// `{"id","status"}` with `Location`: 201 for a new record, 200 for one that was here.
pub(crate) fn taken(record: &Record, new: bool) -> Response {
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/v1/records/{}", record.id);
    let answer = json!({ "id": record.id.to_string(), "status": record.status.word() });
    (status, [(header::LOCATION, location)], axum::Json(answer)).into_response()
}

/// How far an import is, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportAnswer {
    /// Its id.
    pub id: String,
    /// Name of the file.
    pub file: String,
    /// Record type of all rows, where it was said.
    pub kind: Option<String>,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
    /// `running`, `done`, or `refused` (the file as a whole).
    pub state: String,
    /// Encoding that was found: `utf-8` or `cp932`.
    pub encoding: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// Size of the file in bytes.
    pub bytes_total: u64,
    /// How much of it was read, in bytes.
    pub bytes_read: u64,
    /// Rows read, without the header.
    pub rows: u64,
    /// Rows that became new records; in a dry run, that would.
    pub accepted: u64,
    /// Rows whose records were here already.
    pub same: u64,
    /// Rows that failed.
    pub failed: u64,
    /// The first failures, or why the file as a whole is refused.
    pub failures: Vec<Failure>,
}

impl From<Import> for ImportAnswer {
    fn from(import: Import) -> Self {
        Self {
            id: import.id.to_string(),
            file: import.name,
            kind: import.kind,
            dry_run: import.dry_run,
            state: import.state.word().to_owned(),
            encoding: import.encoding,
            started_ms: import.started_ms,
            ended_ms: import.ended_ms,
            bytes_total: import.bytes_total,
            bytes_read: import.bytes_read,
            rows: import.rows,
            accepted: import.accepted,
            same: import.same,
            failed: import.failed,
            failures: import.failures,
        }
    }
}
