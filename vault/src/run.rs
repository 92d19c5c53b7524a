//! Starting and stopping a host.

use crate::config::VaultConfig;
use crate::grants::finish_pending;
use crate::host::Host;
use crate::http::{Shared, router};
use crate::outbox::Carrier;
use crate::store::StoreError;
use std::sync::Arc;
use tegata_consent::ids::NotAnId;
use tegata_service::clock;
use tegata_service::http::{serve, shutdown_signal};
use tegata_service::keys::{KeysError, load_organisation_keys};
use tegata_service::ledger::{Ledger, LedgerError};
use tegata_service::signature::Verifier;
use tegata_service::telemetry::{self, TelemetryError};

/// Why a host cannot run.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Logs.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The key file.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// `organisation` in the configuration.
    #[error("organisation: {0}")]
    Organisation(#[from] NotAnId),
    /// Genesis file or node URLs.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Listening.
    #[error(transparent)]
    Http(#[from] std::io::Error),
}

/// Runs a host until the process is asked to end.
///
/// # Errors
/// [`VaultError`], naming the part that does not work.
pub async fn run(config: VaultConfig) -> Result<(), VaultError> {
    telemetry::init(&config.telemetry)?;
    let keys = load_organisation_keys(&config.keys)?;
    let id = match &config.organisation {
        Some(text) => text.parse()?,
        None => keys.organisation_id(),
    };
    let ledger = Ledger::start(config.ledger)?;
    let ledgers = Arc::new(ledger.urls().to_vec());
    let client = ledger.http();
    let host = Host::open(
        &config.data,
        Arc::new(ledger),
        id,
        keys,
        config.limits,
        Arc::new(clock::now_ms),
    )?;
    let verifier = Arc::new(Verifier::new(&config.http.public_url));
    let pending = tokio::spawn(finish_pending(Arc::clone(&host)));
    let carrier = tokio::spawn(Carrier::new(Arc::clone(&host), client).run());
    tracing::info!(organisation = %host.id, listen = %config.http.listen, "vault host starts");
    let served = serve(
        router(Shared {
            host,
            verifier,
            ledgers,
        }),
        &config.http,
        shutdown_signal(),
    )
    .await;
    pending.abort();
    carrier.abort();
    served.map_err(VaultError::from)
}
