//! Headers with their certificates, and the genesis.

use super::{Api, array, failed};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::time::Duration;
use tegata_consent::cbor;
use tegata_service::http::{Address, Cbor, Encoded};
use tegata_service::problem::Problem;
use utoipa::IntoParams;

const HEADERS_MAX: u64 = 1_000;
const WAIT_DEFAULT_MS: u64 = 10_000;
const WAIT_MAX_MS: u64 = 30_000;

/// The header of a height with its certificate.
#[utoipa::path(get, path = "/v1/headers/{height}", params(("height" = u64, Path, description = "Height, from 1")),
    responses(
        (status = 200, description = "CertifiedHeader", content_type = "application/cbor", body = Vec<u8>),
        (status = 404, description = "No such block yet"),
    ))]
pub(super) async fn one(
    State(api): State<Api>,
    Path(height): Path<u64>,
) -> Result<Response, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let certified = view
        .header(height)
        .map_err(failed)?
        .ok_or_else(Problem::not_found)?;
    Ok(Cbor(certified).into_response())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// First height.
    from: u64,
    /// Most headers; at most 1,000.
    limit: Option<u64>,
}

/// Consecutive headers with their certificates.
#[utoipa::path(get, path = "/v1/headers", params(Range),
    responses((status = 200, description = "Array of CertifiedHeader", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let from = range.from.max(1);
    let count = range.limit.unwrap_or(HEADERS_MAX).min(HEADERS_MAX);
    let end = from.saturating_add(count).min(view.tip().height + 1);
    let headers = (from..end).map(|height| {
        Ok(cbor::encode(
            &view.certified_header(height).map_err(failed)?,
        ))
    });
    Ok(Encoded(array(&headers.collect::<Result<Vec<_>, Problem>>()?)).into_response())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Answer as soon as there is a header above this height; absent: at once.
    after: Option<u64>,
    /// How long to wait for it, in milliseconds; at most 30,000.
    wait_ms: Option<u64>,
}

/// The newest header with its certificate.
#[utoipa::path(get, path = "/v1/headers/newest", params(After),
    responses(
        (status = 200, description = "CertifiedHeader", content_type = "application/cbor", body = Vec<u8>),
        (status = 204, description = "None above that height in the time you gave"),
        (status = 503, description = "`busy`: too many wait already"),
    ))]
pub(super) async fn newest(
    State(api): State<Api>,
    from: Address,
    Query(after): Query<After>,
) -> Result<Response, Problem> {
    let above = after.after.unwrap_or(0);
    let wait = Duration::from_millis(after.wait_ms.unwrap_or(WAIT_DEFAULT_MS).min(WAIT_MAX_MS));
    let mut heights = api.shared().feed.heights();
    let now = *heights.borrow() > above;
    let _listener = if now { None } else { Some(api.listener(from)?) };
    if tokio::time::timeout(wait, heights.wait_for(|height| *height > above))
        .await
        .is_err()
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let view = api.shared().store.view().map_err(failed)?;
    let certified = view
        .newest_header()
        .map_err(failed)?
        .ok_or_else(Problem::not_found)?;
    Ok(Cbor(certified).into_response())
}

/// The genesis file. Whoever checks the ledger gets it elsewhere.
#[utoipa::path(get, path = "/v1/genesis", responses((status = 200, description = "genesis.json", content_type = "application/json")))]
pub(super) async fn genesis(State(api): State<Api>) -> Response {
    let json = tegata_service::genesis::to_json(&api.shared().genesis);
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}
