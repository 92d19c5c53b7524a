//! Records: where they stand, and taking them back.

use super::answers::{RecordAnswer, taken};
use super::{OwnSystem, Shared, id_in, resource_body};
use crate::fhir::{self, Refusal};
use crate::intake::{self, IntakeError};
use crate::issuer::{Issuer, blocking};
use crate::model::{Record, Status};
use crate::status;
use crate::store::{Change, StoreError};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tegata_service::clock::now_ms;
use tegata_service::http::Json;
use tegata_service::problem::Problem;
use utoipa::ToSchema;

/// Most records in one answer.
const PAGE_MAX: usize = 1000;
/// Longest reason of a revocation, in characters.
const REASON_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    status: Option<String>,
    subject: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    /// Oldest first.
    records: Vec<RecordAnswer>,
    /// What to ask for with `after`, where there may be more.
    next: Option<String>,
    /// How many records there are, by status.
    counts: BTreeMap<&'static str, u64>,
}

/// Lists records, oldest first.
#[utoipa::path(get, path = "/v1/records", params(
    ("status" = Option<String>, Query), ("subject" = Option<String>, Query),
    ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)
), responses((status = 200, body = Page), (status = 401)))]
pub(crate) async fn list(
    State(issuer): Shared,
    _: OwnSystem,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page>, Problem> {
    let statuses: Vec<Status> = match &wanted.status {
        None => Status::ALL.to_vec(),
        Some(word) => Status::with_word(word).collect(),
    };
    if statuses.is_empty() {
        return Err(Problem::malformed(
            "status is waiting, queued, deposited, issued, revoked, corrected, recalled or refused",
        ));
    }
    let after = wanted.after.as_deref().map(id_in).transpose()?;
    let limit = wanted.limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let found = blocking(&issuer, move |issuer| -> Result<Vec<Record>, StoreError> {
        let after = after
            .map(|id| issuer.store.record(&id))
            .transpose()?
            .flatten();
        if let Some(subject) = &wanted.subject {
            // A person has few records: all are read, and then narrowed.
            let mut records = issuer
                .store
                .by_subject(subject, after.as_ref(), usize::MAX)?;
            records.retain(|record| statuses.contains(&record.status));
            records.truncate(limit);
            return Ok(records);
        }
        let mut records = Vec::new();
        for status in statuses {
            records.extend(issuer.store.by_status(status, after.as_ref(), limit)?);
        }
        records.sort_by_key(|record| (record.accepted_ms, record.id));
        records.truncate(limit);
        Ok(records)
    })
    .await
    .map_err(|error| Problem::internal(&error))?;
    let next = (found.len() == limit)
        .then(|| found.last().map(|record| record.id.to_string()))
        .flatten();
    let mut counts = BTreeMap::new();
    for status in Status::ALL {
        *counts.entry(status.word()).or_default() += issuer.store.count(status);
    }
    let records = found
        .iter()
        .map(|record| RecordAnswer::new(&issuer, record))
        .collect();
    Ok(Json(Page {
        records,
        next,
        counts,
    }))
}

/// One record.
#[utoipa::path(get, path = "/v1/records/{id}", params(("id" = String, Path)),
    responses((status = 200, body = RecordAnswer), (status = 401), (status = 404)))]
pub(crate) async fn one(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
) -> Result<Json<RecordAnswer>, Problem> {
    let id = id_in(&id)?;
    let found = blocking(&issuer, move |issuer| issuer.store.record(&id)).await;
    let found = found
        .map_err(|error| Problem::internal(&error))?
        .ok_or_else(Problem::not_found)?;
    Ok(Json(RecordAnswer::new(&issuer, &found)))
}

/// Why a record is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    reason: String,
}

impl Reason {
    fn check(self) -> Result<String, Problem> {
        if (1..=REASON_MAX).contains(&self.reason.chars().count()) {
            Ok(self.reason)
        } else {
            let title = "A reason of 1 to 500 characters is needed";
            Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "reason",
                title,
            ))
        }
    }
}

/// Takes a record back. Doing so twice is doing so once. The answer comes when the status list that says so is on the
/// ledger, or the ledger does not answer; then the list follows as soon as it does.
#[utoipa::path(post, path = "/v1/records/{id}/revocation", params(("id" = String, Path)), request_body = Reason,
    responses((status = 200, body = RecordAnswer), (status = 401), (status = 404)))]
pub(crate) async fn revoke(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
    Json(reason): Json<Reason>,
) -> Result<Json<RecordAnswer>, Problem> {
    let (id, reason) = (id_in(&id)?, reason.check()?);
    metrics::counter!("tegata_issuer_revocations_total").increment(1);
    change_status(&issuer, move |change| {
        intake::revoke(change, &id, &reason, now_ms())
    })
    .await
}

/// Recalls a record that was bound to the wrong person: it is taken back for good, and those who hold copies drop them and
/// confirm it on the ledger.
#[utoipa::path(post, path = "/v1/records/{id}/recall", params(("id" = String, Path)), request_body = Reason,
    responses((status = 200, body = RecordAnswer), (status = 401), (status = 404)))]
pub(crate) async fn recall(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
    Json(reason): Json<Reason>,
) -> Result<Json<RecordAnswer>, Problem> {
    let (id, reason) = (id_in(&id)?, reason.check()?);
    metrics::counter!("tegata_issuer_recalls_total").increment(1);
    change_status(&issuer, move |change| {
        intake::recall(change, &id, &reason, now_ms())
    })
    .await
}

/// Suspends a record until the suspension is lifted.
#[utoipa::path(post, path = "/v1/records/{id}/suspension", params(("id" = String, Path)), request_body = Reason,
    responses((status = 200, body = RecordAnswer), (status = 401), (status = 404), (status = 409, description = "`taken-back`, `not-issued`")))]
pub(crate) async fn suspend(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
    Json(reason): Json<Reason>,
) -> Result<Json<RecordAnswer>, Problem> {
    let (id, reason) = (id_in(&id)?, reason.check()?);
    change_status(&issuer, move |change| {
        intake::suspend(change, &id, Some(&reason), now_ms())
    })
    .await
}

/// Lifts a suspension.
#[utoipa::path(delete, path = "/v1/records/{id}/suspension", params(("id" = String, Path)),
    responses((status = 200, body = RecordAnswer), (status = 401), (status = 404), (status = 409, description = "`taken-back`, `not-issued`")))]
pub(crate) async fn lift(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
) -> Result<Json<RecordAnswer>, Problem> {
    let id = id_in(&id)?;
    change_status(&issuer, move |change| {
        intake::suspend(change, &id, None, now_ms())
    })
    .await
}

/// Changes what the status list says of a record, on disk, and has it published.
async fn change_status(
    issuer: &Arc<Issuer>,
    change: impl FnOnce(&mut Change<'_>) -> Result<Record, IntakeError> + Send + 'static,
) -> Result<Json<RecordAnswer>, Problem> {
    let record = blocking(issuer, move |issuer| {
        let mut begun = issuer.store.change();
        let record = change(&mut begun)?;
        begun.commit()?;
        issuer.show_counts();
        Ok(record)
    });
    let conflict = |code, error: IntakeError| {
        Problem::new(
            StatusCode::CONFLICT,
            code,
            "The record cannot be changed so",
        )
        .detail(error.to_string())
    };
    let record = record.await.map_err(|error: IntakeError| match error {
        IntakeError::NoSuchRecord => Problem::not_found(),
        IntakeError::TakenBack => conflict("taken-back", error),
        IntakeError::NotIssued => conflict("not-issued", error),
        other => Problem::internal(&other),
    })?;
    if let Err(error) = status::publish_of(issuer, &record).await {
        tracing::warn!(%error, "a changed status waits for the ledger");
    }
    // The list has other forms, and copies of the record may lie in other lists.
    issuer.status_wake.notify_one();
    Ok(Json(RecordAnswer::new(issuer, &record)))
}

/// Takes a wrong record back, and a FHIR resource in that replaces it.
#[utoipa::path(post, path = "/v1/records/{id}/correction", params(("id" = String, Path)), responses(
    (status = 201, description = "taken; `Location` names the new record"), (status = 200, description = "was corrected so already"),
    (status = 404, description = "OperationOutcome"), (status = 409, description = "OperationOutcome"), (status = 422, description = "OperationOutcome")
))]
pub(crate) async fn correct(
    State(issuer): Shared,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: axum::body::Body,
) -> Result<Response, Refusal> {
    let (system, body) = resource_body(&issuer, &headers, body).await?;
    let no_such = |_| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such record",
            None,
        )
    };
    let id = id_in(&id).map_err(no_such)?;
    let (record, new) = fhir::post_correction(&issuer, id, &body, &system).await?;
    issuer.status_wake.notify_one();
    Ok(taken(&record, new))
}
