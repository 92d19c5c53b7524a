//! The issuer's configuration file.

use crate::http::VcApiConfig;
use crate::import::CsvConfig;
pub use crate::openid4vci::{OpenId4VciConfig, WalletClient};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tegata_service::auth::BearerTokens;
use tegata_service::config::{
    ConfigError, HttpConfig, LedgerConfig, TelemetryConfig, load, resolve,
};

/// With which of its keys an issuer signs credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum CredentialAlgorithm {
    /// Ed25519.
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// Configuration of an issuer (TOML).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Folder for the store and for imports; made where it is not there.
    pub data: PathBuf,
    /// The organisation's key file.
    pub keys: PathBuf,
    /// Signature of credentials and status lists.
    #[serde(default)]
    pub alg: CredentialAlgorithm,
    /// Where citizens find the wallet, without a slash at the end: pairing links begin with it.
    pub wallet_url: String,
    /// SHA-256 digests of the tokens of the organisation's own systems, by name. A system's name is the source system of
    /// what it sends.
    pub tokens: BearerTokens,
    /// How long a pairing code can be answered, in seconds.
    #[serde(default = "pairing_ttl_s")]
    pub pairing_ttl_s: u64,
    /// The `identifier.system` under which patient numbers are the organisation's own. Where it is set, resources about
    /// patients with identifiers of another system are refused.
    #[serde(default)]
    pub patient_system: Option<String>,
    /// Where to listen.
    pub http: HttpConfig,
    /// Which ledger.
    pub ledger: LedgerConfig,
    /// Logs.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// How CSV files are read.
    #[serde(default)]
    pub csv: CsvConfig,
    /// A folder whose CSV files are imported: for offices that can only reach out.
    #[serde(default)]
    pub watched_folder: Option<WatchedFolder>,
    /// Sending to vault hosts.
    #[serde(default)]
    pub deposits: DepositConfig,
    /// Publishing what is revoked.
    #[serde(default)]
    pub status_list: StatusListConfig,
    /// Giving credentials to standard wallets; absent: not done.
    #[serde(default)]
    pub openid4vci: Option<OpenId4VciConfig>,
    /// Signing W3C credentials by the VC-API; absent: not done.
    #[serde(default)]
    pub vc_api: Option<VcApiConfig>,
}

/// A folder whose `*.csv` files are imported and then moved to `done/`, or to `failed/` with the reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchedFolder {
    /// The folder; made where it is not there.
    pub path: PathBuf,
    /// How often it is looked at, in milliseconds. A file is taken when it stayed the same from one look to the next.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
}

/// Sending to vault hosts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DepositConfig {
    /// Most deposits under way at a time.
    pub concurrency: usize,
    /// Until a host has answered one, in milliseconds.
    pub timeout_ms: u64,
    /// Pause after the first failure, in milliseconds; it doubles with every further one.
    pub pause_ms: u64,
    /// Longest pause, in milliseconds.
    pub pause_max_ms: u64,
}

impl Default for DepositConfig {
    fn default() -> Self {
        Self {
            concurrency: 32,
            timeout_ms: 15_000,
            pause_ms: 1_000,
            pause_max_ms: 300_000,
        }
    }
}

/// Publishing what is revoked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusListConfig {
    /// For how many seconds a copy may be kept before asking again.
    pub ttl_s: u64,
    /// After how many seconds a copy says nothing any more.
    pub lifetime_s: u64,
}

impl Default for StatusListConfig {
    fn default() -> Self {
        Self {
            ttl_s: 60,
            lifetime_s: 3600,
        }
    }
}

const fn pairing_ttl_s() -> u64 {
    15 * 60
}

const fn poll_ms() -> u64 {
    2_000
}

impl IssuerConfig {
    /// Reads a configuration file; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut config: Self = load(path)?;
        config.http.resolve(path);
        config.ledger.resolve(path);
        config.data = resolve(path, &config.data);
        config.keys = resolve(path, &config.keys);
        if let Some(folder) = &mut config.watched_folder {
            folder.path = resolve(path, &folder.path);
        }
        if let Some(openid4vci) = &mut config.openid4vci {
            openid4vci.resolve(path);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuer.toml");
        let text = r#"
            data = "data"
            keys = "keys.json"
            alg = "ES256"
            wallet_url = "https://wallet.example"
            [tokens]
            emr = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
            [http]
            listen = "127.0.0.1:0"
            public_url = "http://localhost:1"
            [ledger]
            urls = ["http://localhost:2"]
            genesis = "genesis.json"
            [watched_folder]
            path = "in"
            [csv.profiles.vaccination.columns]
            date = ["打った日"]
            [openid4vci]
            certificates = "certificates.pem"
            [[openid4vci.clients]]
            id = "wallet"
            name = "ウォレット"
            redirect_uris = ["https://wallet.example/back"]
        "#;
        std::fs::write(&path, text).unwrap();
        let config = IssuerConfig::load(&path).unwrap();
        assert_eq!(config.data, folder.path().join("data"));
        assert_eq!(
            config.watched_folder.unwrap().path,
            folder.path().join("in")
        );
        let openid4vci = config.openid4vci.unwrap();
        assert_eq!(
            openid4vci.certificates,
            Some(folder.path().join("certificates.pem"))
        );
        assert_eq!(openid4vci.alg, CredentialAlgorithm::Es256);
        assert_eq!(
            (
                config.alg,
                config.pairing_ttl_s,
                config.deposits.concurrency
            ),
            (CredentialAlgorithm::Es256, 900, 32)
        );
        std::fs::write(&path, text.replace("ES256", "none")).unwrap();
        assert!(IssuerConfig::load(&path).is_err());
        std::fs::write(&path, format!("admin = true\n{text}")).unwrap();
        assert!(
            IssuerConfig::load(&path)
                .unwrap_err()
                .to_string()
                .contains("admin")
        );
    }
}
