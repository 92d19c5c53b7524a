//! Submitting entries, and their receipts.

use super::{Api, failed, identifier};
use crate::feed::Fate;
use crate::mempool::{Admission, Source};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::entry::{ENTRY_LIMIT, Entry, VerifiedEntry};
use tegata_consent::ids::EntryId;
use tegata_consent::state::{ExecuteError, Execution, Inadmissible};
use tegata_service::clock::now_ms;
use tegata_service::http::{Cbor, read_body};
use tegata_service::problem::Problem;
use utoipa::IntoParams;

const WAIT_DEFAULT_MS: u64 = 10_000;
const WAIT_MAX_MS: u64 = 30_000;
/// An entry whose not-after is this much too far ahead by this node's clock may wait: another's clock may be ahead.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 2_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// How long to wait for finality, in milliseconds; at most 30,000.
    wait_ms: Option<u64>,
}

/// Submits an entry, and waits until it is final.
///
/// The same entry may be submitted again: it stands in the log once. Keep submitting until you hold a receipt.
#[utoipa::path(post, path = "/v1/entries", params(Wait),
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "A signed entry (COSE_Sign1)"),
    responses(
        (status = 201, description = "Final: its receipt", content_type = "application/cbor", body = Vec<u8>),
        (status = 200, description = "It was in the log already: its receipt", content_type = "application/cbor", body = Vec<u8>),
        (status = 202, description = "Accepted, and not final in the time you gave: its id"),
        (status = 400, description = "Malformed, or a signature does not hold"),
        (status = 409, description = "Inadmissible as things stand; `code` says why"),
        (status = 413, description = "Longer than 16 KiB"),
        (status = 422, description = "Inadmissible whatever happens; `code` says why"),
        (status = 429, description = "The organisation's limit of this hour is reached; `code` says which"),
        (status = 503, description = "Too many entries wait"),
    ))]
pub(super) async fn submit(
    State(api): State<Api>,
    Query(wait): Query<Wait>,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = read_body(body, ENTRY_LIMIT).await?;
    let shared = api.shared();
    let entry = Entry::parse(&bytes).map_err(|error| Problem::malformed(error.to_string()))?;
    let id = entry.id(&shared.chain);
    if let Some(receipt) = find(&api, &id)? {
        return Ok((StatusCode::OK, receipt).into_response());
    }
    let entry = entry.verify(&shared.chain).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "signature",
            "A signature of the entry does not hold",
        )
        .detail(error.to_string())
    })?;
    if !shared.mempool.contains(&id) {
        match try_out(&api, &entry)? {
            Err(Inadmissible::Seen(_)) => return answer_final(&api, &id, StatusCode::OK),
            Err(why) => return Err(inadmissible(&why)),
            Ok(()) => {}
        }
    }
    let fate = shared.feed.wait_for(id);
    let entry = Arc::new(entry);
    match shared.mempool.add(entry.clone(), Source::Own) {
        Admission::Added => api.0.gossip.send(entry),
        Admission::Known => {}
        Admission::Full => {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "mempool-full",
                "Too many entries wait; try again",
            ));
        }
    }
    // It may have become final between the first look and the wait.
    if let Some(receipt) = find(&api, &id)? {
        shared.mempool.remove([&id]);
        return Ok((StatusCode::OK, receipt).into_response());
    }
    let wait = Duration::from_millis(wait.wait_ms.unwrap_or(WAIT_DEFAULT_MS).min(WAIT_MAX_MS));
    match tokio::time::timeout(wait, fate).await {
        Ok(Ok(Fate::Final(_))) => answer_final(&api, &id, StatusCode::CREATED),
        Ok(Ok(Fate::Refused(why))) => Err(inadmissible(&why)),
        Ok(Err(_)) | Err(_) => {
            shared.feed.tidy(&id);
            Ok((
                StatusCode::ACCEPTED,
                axum::Json(serde_json::json!({ "id": id.to_string() })),
            )
                .into_response())
        }
    }
}

/// The receipt of an entry, at the newest header.
#[utoipa::path(get, path = "/v1/entries/{id}", params(("id" = String, Path, description = "Entry id, hexadecimal")),
    responses(
        (status = 200, description = "Its receipt", content_type = "application/cbor", body = Vec<u8>),
        (status = 404, description = "Not in the log"),
    ))]
pub(super) async fn receipt(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    find(&api, &identifier(&id)?)?.ok_or_else(Problem::not_found)
}

fn find(api: &Api, id: &EntryId) -> Result<Option<Response>, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let Some(index) = view.index_of(id).map_err(failed)? else {
        return Ok(None);
    };
    Ok(Some(
        Cbor(view.receipt(index).map_err(failed)?).into_response(),
    ))
}

fn answer_final(api: &Api, id: &EntryId, status: StatusCode) -> Result<Response, Problem> {
    let receipt = find(api, id)?
        .ok_or_else(|| Problem::internal(&format!("final entry {id} is not in the log")))?;
    Ok((status, receipt).into_response())
}

/// Executes the entry on the newest state, to tell now what would otherwise be found when a block is built.
fn try_out(api: &Api, entry: &VerifiedEntry) -> Result<Result<(), Inadmissible>, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let (height, before_ms) = (view.tip().height + 1, view.tip().time_ms);
    let time_ms = now_ms().max(before_ms + 1);
    match Execution::new(&view, height, time_ms).entry(entry) {
        Ok(_) => Ok(Ok(())),
        Err(ExecuteError::Inadmissible(Inadmissible::TooFarAhead { .. })) => {
            let later_ms = time_ms + CLOCK_DIFFERENCE_MAX_MS;
            match Execution::new(&view, height, later_ms).entry(entry) {
                Ok(_) => Ok(Ok(())),
                Err(ExecuteError::Inadmissible(why)) => Ok(Err(why)),
                Err(ExecuteError::State(error)) => Err(failed(error)),
                Err(ExecuteError::Damaged(key)) => Err(Problem::internal(&format!(
                    "the state under {key:?} is damaged"
                ))),
            }
        }
        Err(ExecuteError::Inadmissible(why)) => Ok(Err(why)),
        Err(ExecuteError::State(error)) => Err(failed(error)),
        Err(ExecuteError::Damaged(key)) => Err(Problem::internal(&format!(
            "the state under {key:?} is damaged"
        ))),
    }
}

/// 409 where another state would admit the entry, 422 where the entry itself is at fault, 429 where the organisation's limit
/// of this hour is reached.
fn inadmissible(why: &Inadmissible) -> Problem {
    let status = match why {
        Inadmissible::RefusedLimit(_)
        | Inadmissible::OwnLimit(_)
        | Inadmissible::OverAskingLimit(_) => StatusCode::TOO_MANY_REQUESTS,
        Inadmissible::Seen(_)
        | Inadmissible::NoSuchOrganisation(_)
        | Inadmissible::OrganisationExists(_)
        | Inadmissible::Sequence { .. }
        | Inadmissible::NotSponsor(_)
        | Inadmissible::SponsorLimit(_)
        | Inadmissible::GrantExists(_)
        | Inadmissible::NoSuchGrant(_)
        | Inadmissible::AlreadyRevoked(_)
        | Inadmissible::NotIssuer(_)
        | Inadmissible::StatusListOlder { .. }
        | Inadmissible::StatusListAhead { .. }
        | Inadmissible::NotOverAsking(_)
        | Inadmissible::OverAskingKnown(_)
        | Inadmissible::NotRecipient(_)
        | Inadmissible::ErasureKnown(_)
        | Inadmissible::NotAccredited { .. } => StatusCode::CONFLICT,
        Inadmissible::Late { .. }
        | Inadmissible::TooFarAhead { .. }
        | Inadmissible::NoQuorum { .. }
        | Inadmissible::Signer(_)
        | Inadmissible::Organisation(_)
        | Inadmissible::NotCountersigned(_)
        | Inadmissible::SponsorIsRecipient
        | Inadmissible::EndBeforeStart
        | Inadmissible::Evidence(_)
        | Inadmissible::RequestObject(_)
        | Inadmissible::EvidenceExpired { .. }
        | Inadmissible::Code(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, why.code(), "No block may hold this entry").detail(why.to_string())
}
