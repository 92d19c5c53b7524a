//! Configuration of a verifier (TOML; relative paths belong to the file).

use crate::openid4vp::PresentationsConfig;
use crate::rules::PayoutConfig;
use crate::vc_api::VcApiConfig;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tegata_service::auth::BearerTokens;
use tegata_service::config::{ConfigError, HttpConfig, LedgerConfig, TelemetryConfig, resolve};

/// Configuration of a verifier.
///
/// ```toml
/// data = "data"                      # folder of the store, mode 0700
/// keys = "keys.json"                 # the organisation's secret keys
/// older_keys = []                    # key files of the past, newest first: tickets and the store may be sealed to them
/// wallet_url = "https://wallet.example"
///
/// [http]
/// listen = "127.0.0.1:7301"
/// public_url = "https://insurer.example"
///
/// [ledger]
/// urls = ["http://127.0.0.1:7001"]
/// genesis = "genesis.json"
///
/// [tokens]                           # name of the system = SHA-256 of its token
/// claims = "…"
///
/// [payout]
/// policies_file = "policies.toml"    # and/or a table [payout.policies]
///
/// [payout.policies]
/// "P-1001" = { amount = 100000, currency = "JPY" }
///
/// [[payout.rules]]
/// name = "positive-test"
/// record_type = "laboratory_result"
/// purpose = "payout"
/// conditions = [{ pointer = "/result", equals = "positive" }]
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierConfig {
    /// Folder of the store.
    pub data: PathBuf,
    /// The organisation's secret keys ([`tegata_service::keys`]).
    pub keys: PathBuf,
    /// Key files of the past, newest first. The last one gives the organisation its id. Each is needed for as long as
    /// something in the store is sealed to it.
    #[serde(default)]
    pub older_keys: Vec<PathBuf>,
    /// Base URL of the wallet, for links; without a slash at the end.
    pub wallet_url: String,
    /// Where to listen.
    pub http: HttpConfig,
    /// Which ledger.
    pub ledger: LedgerConfig,
    /// Logs.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// The organisation's own systems.
    pub tokens: BearerTokens,
    /// For how long a consent request may be answered, in seconds.
    #[serde(default = "week_s")]
    pub request_ttl_s: u64,
    /// What is paid for what.
    #[serde(default)]
    pub payout: PayoutConfig,
    /// Presentations from wallets (OpenID4VP).
    #[serde(default)]
    pub presentations: PresentationsConfig,
    /// Verifying W3C credentials by the VC-API; absent: not done.
    #[serde(default)]
    pub vc_api: Option<VcApiConfig>,
}

const fn week_s() -> u64 {
    7 * 24 * 3600
}

impl VerifierConfig {
    /// Reads a configuration file and makes its paths relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], naming file and place.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut config: Self = tegata_service::config::load(path)?;
        config.resolve(path);
        Ok(config)
    }

    /// Makes paths relative to the configuration file `base`.
    pub fn resolve(&mut self, base: impl AsRef<Path>) {
        let base = base.as_ref();
        self.data = resolve(base, &self.data);
        self.keys = resolve(base, &self.keys);
        for keys in &mut self.older_keys {
            *keys = resolve(base, &keys);
        }
        self.http.resolve(base);
        self.ledger.resolve(base);
        self.payout.resolve(base);
        self.presentations.resolve(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_configuration_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verifier.toml");
        let digest = "00".repeat(32);
        let text = format!(
            r#"
            data = "data"
            keys = "keys.json"
            wallet_url = "https://wallet.example"
            [http]
            listen = "127.0.0.1:7301"
            public_url = "https://insurer.example"
            [ledger]
            urls = ["http://127.0.0.1:7001"]
            genesis = "/genesis.json"
            [tokens]
            claims = "{digest}"
            [payout]
            policies_file = "policies.toml"
            webhook = {{ url = "http://127.0.0.1:9/hook", token_file = "hook.token" }}
            [payout.policies]
            "P-1001" = {{ amount = 100000, currency = "JPY" }}
            [[payout.rules]]
            name = "positive-test"
            record_type = "laboratory_result"
            purpose = "payout"
            conditions = [{{ pointer = "/result", equals = "positive" }}]
            "#
        );
        std::fs::write(&path, text).unwrap();
        let config = VerifierConfig::load(&path).unwrap();
        assert_eq!(config.data, folder.path().join("data"));
        assert_eq!(config.ledger.genesis, PathBuf::from("/genesis.json"));
        assert_eq!(
            config.payout.policies_file.as_deref(),
            Some(folder.path().join("policies.toml").as_path())
        );
        assert_eq!(
            config.payout.webhook.unwrap().token_file,
            Some(folder.path().join("hook.token"))
        );
        assert_eq!(config.payout.rules[0].name, "positive-test");
    }
}
