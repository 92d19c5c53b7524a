//! For operators: whether the node lives, whether it is up to date, how it does.

use super::{Api, Description, failed};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use tegata_service::clock::now_ms;
use tegata_service::problem::Problem;
use tegata_service::telemetry::render_metrics;
use utoipa::{OpenApi, ToSchema};

/// An idle ledger makes a block every 5 s; a header older than this is stale.
const STALE_AFTER_MS: u64 = 15_000;

/// The process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "It does")))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// A node that is up to date.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Newest height.
    height: u64,
    /// Age of the newest header, in milliseconds.
    age_ms: u64,
    /// Entries that wait.
    mempool: usize,
}

/// The newest header is under 15 s old.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Ready), (status = 503, description = "It is older")))]
pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Ready>, Problem> {
    let tip = api.shared().store.view().map_err(failed)?.tip().clone();
    let age_ms = now_ms().saturating_sub(tip.time_ms);
    if tip.height == 0 || age_ms > STALE_AFTER_MS {
        return Err(Problem::stale()
            .with("height", tip.height)
            .with("age_ms", age_ms));
    }
    Ok(Json(Ready {
        height: tip.height,
        age_ms,
        mempool: api.shared().mempool.size().0,
    }))
}

/// Metrics in Prometheus' text format: the node's own, then the consensus engine's.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "Prometheus text", content_type = "text/plain")))]
pub(super) async fn metrics() -> impl IntoResponse {
    let engine = crate::consensus::metrics_text();
    let text = render_metrics() + engine.strip_suffix("# EOF\n").unwrap_or(&engine);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// The description of this API.
pub(super) async fn openapi() -> impl IntoResponse {
    Json(Description::openapi())
}
