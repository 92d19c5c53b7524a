//! Configuration of a host.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use tegata_service::config::{self, ConfigError, HttpConfig, LedgerConfig, TelemetryConfig};

/// A host's configuration file (TOML).
///
/// ```toml
/// data = "data"
/// keys = "keys.json"
/// [http]
/// listen = "127.0.0.1:7300"
/// public_url = "http://127.0.0.1:7300"
/// [ledger]
/// urls = ["http://127.0.0.1:7100"]
/// genesis = "genesis.json"
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// Folder of the store.
    pub data: PathBuf,
    /// The organisation's key file. The host uses its signing key alone.
    pub keys: PathBuf,
    /// The organisation's id in hexadecimal; only needed after its first signing key was replaced.
    #[serde(default)]
    pub organisation: Option<String>,
    /// Where and how it listens.
    pub http: HttpConfig,
    /// Which ledger.
    pub ledger: LedgerConfig,
    /// Logs.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// What one vault, address or request may take.
    #[serde(default)]
    pub limits: Limits,
}

/// What one vault or request may take.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest sealed file in bytes, at most 60 MiB.
    pub file_bytes_max: u64,
    /// Most drawers of one vault.
    pub drawers_max: usize,
    /// Most deposits in one drawer; 10,000 at most, so that a drawer's list stays within its limit.
    pub records_max: u64,
    /// Longest index in bytes, at most 1 MiB.
    pub index_bytes_max: usize,
    /// Sealed files in one answer to a fetch, in bytes, unless one record alone is longer.
    pub page_bytes: u64,
    /// Most vaults that this host keeps.
    pub vaults_max: u64,
    /// Most vaults that are opened in an hour.
    pub openings_per_hour_max: u64,
    /// Of them, from one address (IPv6: one network of 64 bits); what comes over loopback, a proxy's, is not counted so.
    pub openings_per_address_per_hour_max: u64,
    /// Most grants of one vault, ended ones too.
    pub grants_max: u64,
    /// Most grants that one vault gives in an hour.
    pub grants_per_hour_max: u64,
    /// Most reports of over-asking that one vault makes in an hour.
    pub reports_per_hour_max: u64,
}

impl Limits {
    const FILE_BYTES: u64 = 60 * 1024 * 1024;
    const RECORDS: u64 = 10_000;
    const INDEX_BYTES: usize = 1024 * 1024;
    const PAGE_BYTES: u64 = 8 * 1024 * 1024;

    /// The same with nothing above what the formats allow.
    #[must_use]
    pub fn within_formats(self) -> Self {
        Self {
            file_bytes_max: self.file_bytes_max.min(Self::FILE_BYTES),
            records_max: self.records_max.min(Self::RECORDS),
            index_bytes_max: self.index_bytes_max.min(Self::INDEX_BYTES),
            page_bytes: self.page_bytes.min(Self::PAGE_BYTES),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: Self::FILE_BYTES,
            drawers_max: 1000,
            records_max: Self::RECORDS,
            index_bytes_max: Self::INDEX_BYTES,
            page_bytes: Self::PAGE_BYTES,
            vaults_max: 1_000_000,
            openings_per_hour_max: 10_000,
            openings_per_address_per_hour_max: 100,
            grants_max: 5_000,
            grants_per_hour_max: 100,
            reports_per_hour_max: 20,
        }
    }
}

impl VaultConfig {
    /// Reads a configuration file; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`], naming file and place.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut this: Self = config::load(path)?;
        this.data = config::resolve(path, &this.data);
        this.keys = config::resolve(path, &this.keys);
        this.http.resolve(path);
        this.ledger.resolve(path);
        Ok(this)
    }
}
