//! Serving HTTP: what all services have in common.

mod address;
mod body;
mod bounds;
mod connections;
mod places;
mod serve;

pub use address::{Address, Network, NetworkError};
pub use body::{Cbor, CborBody, Cose, Encoded, Json, Reject, as_it_is, discard, read_body};
pub use places::{Place, Places};
pub use serve::{serve, serve_on, shutdown_signal};

use crate::ledger::Ledger;
use crate::problem::Problem;
use crate::telemetry::render_metrics;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json as AxumJson, Router};
use std::sync::Arc;

type Check = dyn Fn() -> Result<(), Problem> + Send + Sync;

/// Whether a service can do its work now, as `GET /readyz` answers it.
#[derive(Clone)]
pub struct Readiness(Arc<Check>);

impl Readiness {
    /// Asks a function each time.
    pub fn new(check: impl Fn() -> Result<(), Problem> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// Ready as long as the newest header is fresh.
    #[must_use]
    pub fn of_ledger(ledger: &Ledger) -> Self {
        let ledger = ledger.clone();
        Self::new(move || ledger.newest().map(drop).map_err(Problem::from))
    }

    /// # Errors
    /// Why it cannot.
    pub fn check(&self) -> Result<(), Problem> {
        (self.0)()
    }
}

/// `GET /healthz` (the process runs), `/readyz` (it can do its work), `/metrics` (Prometheus), `/openapi.json`.
pub fn standard_routes<S: Clone + Send + Sync + 'static>(
    readiness: Readiness,
    openapi: utoipa::openapi::OpenApi,
) -> Router<S> {
    let openapi = Arc::new(openapi);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move { readiness.check().map(|()| "ready\n") }),
        )
        .route(
            "/metrics",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
                    render_metrics(),
                )
            }),
        )
        .route(
            "/openapi.json",
            get(move || async move { AxumJson(&*openapi).into_response() }),
        )
}

/// Reads an identifier of a path: lower-case hexadecimal, and in no other way, so that each thing has one address.
pub fn identifier<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    text.parse().ok()
}

/// The answer to paths that there are not.
pub(crate) async fn no_such_path() -> Problem {
    Problem::not_found()
}

/// The answer to methods that a path has not.
pub(crate) async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This path has no such method",
    )
}
