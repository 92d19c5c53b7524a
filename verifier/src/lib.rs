//! The verifier: asks persons for consent, takes the tickets of their grants, reads under them, and believes nothing that it
//! has not checked.
//!
//! | module | what |
//! |---|---|
//! | `requests` | consent requests: link, QR code, the signed request for whoever has the link |
//! | `inbox` | tickets and pings, brought by hosts |
//! | `reading`, `host` | access on the ledger, fetch from the host, staleness |
//! | [`verify`], `status` | from a sealed record to a [`verify::VerifiedRecord`], or to the reasons why not |
//! | `openid4vp` | presentations from a wallet, with the consent on the ledger that goes with them |
//! | [`rules`], `worker` | standing readings with nobody awake, payments by rule, posting, deletion |
//! | `store`, `rows` | RocksDB; every value sealed to the organisation's own key; [`fsck`] checks it |
//! | `vc_api` | W3C credentials by hand (VC-API), where configured |
//! | `api`, `events`, `error` | HTTP |
//!
//! Architecture invariant: claims come out of [`verify`] only, in a type that nothing else can make, after every check held.
//!
//! Architecture invariant: nothing is read, and nothing that was read is given out, without a fresh header in which the
//! grant stands. What the organisation keeps of what it read is a copy, and is called one.

mod api;
mod config;
mod core;
mod error;
mod events;
mod host;
mod inbox;
mod openid4vp;
mod random;
mod reading;
mod recalls;
mod requests;
mod rows;
pub mod rules;
mod status;
mod store;
mod vc_api;
pub mod verify;
mod worker;

pub use config::VerifierConfig;
pub use error::VerifierError;
pub use openid4vp::{ClientIdKind, PresentationsConfig, SetupError};
pub use rows::StoreError;
pub use store::Report;
pub use vc_api::VcApiConfig;

use std::net::TcpListener;
use std::sync::Arc;
use tegata_service::config::HttpConfig;
use tegata_service::http::{serve_on, shutdown_signal};
use tegata_service::telemetry;

/// Runs a verifier until the process is asked to end. Paths in `config` are used as they are
/// ([`VerifierConfig::load`] makes them relative to the file).
///
/// # Errors
/// [`VerifierError`].
pub async fn run(config: VerifierConfig) -> Result<(), VerifierError> {
    telemetry::init(&config.telemetry)?;
    let listener = TcpListener::bind(config.http.listen).map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot listen on {}: {error}", config.http.listen),
        )
    })?;
    run_on(listener, config, shutdown_signal()).await
}

/// As [`run`], on a listener that is open already, until `shutdown` is ready.
///
/// # Errors
/// [`VerifierError`].
pub async fn run_on(
    listener: TcpListener,
    config: VerifierConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), VerifierError> {
    let core = Arc::new(core::Core::start(&config)?);
    tracing::info!(organisation = %core.us, listen = %config.http.listen, "verifier");
    let http: HttpConfig = config.http;
    let router = api::router(Arc::clone(&core));
    let serving = serve_on(listener, router, &http, shutdown);
    // Serving ends; the others go on for as long as it does. What they were at is on disk.
    tokio::select! {
        served = serving => Ok(served?),
        () = worker::standing(Arc::clone(&core)) => Ok(()),
        () = worker::purging(Arc::clone(&core)) => Ok(()),
        () = recalls::run(Arc::clone(&core)) => Ok(()),
        () = async { worker::posting(Arc::clone(&core)).await; std::future::pending().await } => Ok(()),
    }
}

/// Checks everything that a verifier has on disk. Reads only; also beside a running verifier, as of the moment it begins.
///
/// # Errors
/// [`VerifierError`] where keys or store cannot be read at all; everything else is a fault in the report. `progress` hears
/// how many rows were checked.
pub fn fsck(
    config: &VerifierConfig,
    mut progress: impl FnMut(u64),
) -> Result<Report, VerifierError> {
    let (_, secrets, _) = core::keys(config)?;
    Ok(store::Store::open_read_only(&config.data, secrets)?.check(&mut progress)?)
}

#[cfg(test)]
mod tests;
