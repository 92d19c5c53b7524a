//! Logs (`tracing`) and metrics (Prometheus), set up once in a process.

use crate::config::TelemetryConfig;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.log = {log:?} is not a log filter: {error}")]
pub struct TelemetryError {
    log: String,
    error: tracing_subscriber::filter::ParseError,
}

/// Starts logs on standard error and the metrics recorder. Later calls in the same process (tests) change nothing.
/// The environment variable `TEGATA_LOG` goes before the configuration.
///
/// # Errors
/// [`TelemetryError`] for a filter that does not parse.
pub fn init(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let log = std::env::var("TEGATA_LOG").unwrap_or_else(|_| config.log.clone());
    let filter = EnvFilter::builder()
        .parse(&log)
        .map_err(|error| TelemetryError { log, error })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if config.json {
        logs.json().try_init()
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if started.is_ok() {
        tracing::debug!("logs started");
    }
    recorder();
    Ok(())
}

/// All metrics in Prometheus' text format.
#[must_use]
pub fn render_metrics() -> String {
    match recorder() {
        Some(handle) => {
            handle.run_upkeep();
            handle.render()
        }
        None => String::new(), // another recorder was installed first; its owner renders
    }
}

fn recorder() -> Option<&'static PrometheusHandle> {
    let install = || {
        let seconds = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds);
        builder.ok()?.install_recorder().ok()
    };
    METRICS.get_or_init(install).as_ref()
}
