//! The issuer: takes records in from an organisation's own systems, signs them, and deposits them, sealed, in people's
//! vaults. HTTP is in `specs/API.md`.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | the configuration file |
//! | `fhir`, [`import`] | what comes in: FHIR R4, CSV |
//! | `intake` | every source record once; revocation and correction |
//! | `pairing` | one-time codes, deposit invitations |
//! | `signing`, `deposit`, `worker` | the queue: sign and seal, deposit, believe the receipt |
//! | `status` | status lists |
//! | [`model`], `store` | what is remembered; RocksDB |
//! | `openid4vci` | credentials for standard wallets |
//! | `http` | the API |
//! | `fsck` | checks everything on disk |
//!
//! Architecture invariant: a record is acknowledged after a synced write, and a sealed record's bytes are on disk before the
//! first of them leaves; so a crash at any step neither loses nor doubles a record.
//!
//! Architecture invariant: what goes into the log or a metric names record ids, record types, hosts and short reasons, never
//! a person, a claim, a code or a key.

extern crate alloc; // minicbor's derive names it

pub mod config;
mod deposit;
mod fhir;
mod fsck;
mod http;
pub mod import;
mod intake;
mod issuer;
pub mod model;
mod openid4vci;
mod pairing;
mod registry;
mod signing;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub use config::IssuerConfig;
pub use fsck::{Report, fsck};
pub use http::{ImportAnswer, RecordAnswer, VcApiConfig, VcCryptosuite};
pub use import::client::{ImportFile, ImportFileError, import_file};
pub use openid4vci::OpenId4VciConfigError;
pub use store::StoreError;

use issuer::Issuer;
use registry::Registry;
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use tegata_service::http::{Readiness, serve_on, shutdown_signal};
use tegata_service::keys::KeysError;
use tegata_service::ledger::{Ledger, LedgerError};
use tegata_service::telemetry::{self, TelemetryError};
use tokio::sync::watch;

/// Why an issuer does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Its key file.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A key in it.
    #[error("credential key: {0}")]
    CredentialKey(#[from] tegata_credential::keys::KeyError),
    /// A folder could not be made.
    #[error("{path}: {error}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What an upload that was cut off has left behind.
    #[error("imports: {0}")]
    Import(#[from] import::ImportError),
    /// The columns of CSV files.
    #[error(transparent)]
    Csv(#[from] import::ProfileError),
    /// OpenID4VCI.
    #[error(transparent)]
    OpenId4Vci(#[from] OpenId4VciConfigError),
    /// The HTTP client.
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Logs.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Serving.
    #[error("serving: {0}")]
    Serve(std::io::Error),
}

/// Runs an issuer until the process is asked to end (Ctrl-C, SIGTERM).
///
/// # Errors
/// [`IssuerError`].
pub async fn run(config: IssuerConfig) -> Result<(), IssuerError> {
    telemetry::init(&config.telemetry)?;
    let ledger = Ledger::start(config.ledger.clone())?;
    let readiness = Readiness::of_ledger(&ledger);
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).map_err(|error| {
        IssuerError::Serve(std::io::Error::new(
            error.kind(),
            format!("cannot listen on {listen}: {error}"),
        ))
    })?;
    run_on(
        listener,
        config,
        Arc::new(ledger),
        readiness,
        shutdown_signal(),
    )
    .await
}

/// As [`run`], on a listener that is open already, with another registry and another end.
///
/// # Errors
/// [`IssuerError`].
async fn run_on(
    listener: TcpListener,
    config: IssuerConfig,
    registry: Arc<dyn Registry>,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), IssuerError> {
    let http = config.http.clone();
    let watched = config.watched_folder.clone();
    let issuer = tokio::task::spawn_blocking(move || Issuer::open(config, registry))
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    issuer::blocking(&issuer, |issuer| import::run::sweep(issuer)).await?;
    tracing::info!(organisation = %issuer.id, public_url = http.public_url, "issuer started");
    let (stopper, stop) = watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(worker::run(Arc::clone(&issuer), stop.clone()));
    tasks.spawn(status::run(Arc::clone(&issuer), stop.clone()));
    tasks.spawn(import::run::run(Arc::clone(&issuer), stop.clone()));
    if issuer.openid4vci.is_some() {
        tasks.spawn(openid4vci::run(Arc::clone(&issuer), stop.clone()));
    }
    if let Some(folder) = watched {
        let path = folder.path.clone();
        let adopted =
            issuer::blocking(&issuer, move |issuer| import::folder::adopt(issuer, &path)).await;
        adopted.map_err(|error| IssuerError::Folder {
            path: folder.path.clone(),
            error,
        })?;
        tasks.spawn(import::folder::run(Arc::clone(&issuer), folder, stop));
    }
    let router = http::router(issuer, readiness);
    let served = serve_on(listener, router, &http, shutdown).await;
    stopper.send_replace(true);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the issuer broke off");
        }
    }
    served.map_err(IssuerError::Serve)
}
