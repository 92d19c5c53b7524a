//! `[openid4vci]` in the configuration file.

use crate::IssuerError;
use crate::config::CredentialAlgorithm;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tegata_credential::keys::SigningKey;
use tegata_credential::x509::{Certificate, MAX_CHAIN};
use tegata_service::config::resolve;

/// Giving credentials to standard wallets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenId4VciConfig {
    /// Signature of the copies; HAIP 1.0 wants ES256.
    pub alg: CredentialAlgorithm,
    /// PEM: the certificate chain of the key that signs, leaf first, without the anchor. Absent: no `x5c`.
    pub certificates: Option<PathBuf>,
    /// Most copies in one answer.
    pub batch_size: usize,
    /// Most copies of one record under one access token.
    pub copies_max: u32,
    /// For how many days a copy is valid.
    pub valid_days: u32,
    /// How long an offer can be taken up, in seconds.
    pub offer_ttl_s: u64,
    /// How long a person has for the pairing code, in seconds.
    pub request_ttl_s: u64,
    /// How long an authorisation code can be redeemed, in seconds.
    pub code_ttl_s: u64,
    /// How long an access token is good for, in seconds.
    pub token_ttl_s: u64,
    /// How long a nonce is good for, in seconds.
    pub nonce_ttl_s: u64,
    /// Wallets that may use the authorisation code flow.
    pub clients: Vec<WalletClient>,
}

/// A wallet that may use the authorisation code flow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletClient {
    /// `client_id`.
    pub id: String,
    /// What the page calls it.
    pub name: String,
    /// Where people are sent back to: compared as texts.
    pub redirect_uris: Vec<String>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenId4VciConfigError {
    /// The certificates cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The certificates are none, or not such a chain.
    #[error("{path}: {why}")]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A client's redirect URI is none.
    #[error("{0:?} is not a URI without a fragment to send people back to")]
    RedirectUri(String),
    /// A number that nothing could work with.
    #[error("openid4vci.{0} is 0, or too large")]
    Number(&'static str),
}

impl Default for OpenId4VciConfig {
    fn default() -> Self {
        Self {
            alg: CredentialAlgorithm::Es256,
            certificates: None,
            batch_size: 20,
            copies_max: 100,
            valid_days: 90,
            offer_ttl_s: 24 * 3600,
            request_ttl_s: 600,
            code_ttl_s: 60,
            token_ttl_s: 300,
            nonce_ttl_s: 300,
            clients: Vec::new(),
        }
    }
}

impl OpenId4VciConfig {
    pub(crate) fn resolve(&mut self, config: &Path) {
        self.certificates = self.certificates.as_ref().map(|path| resolve(config, path));
    }

    pub(super) fn check(&self) -> Result<(), IssuerError> {
        let numbers = [
            ("batch_size", self.batch_size as u64, 2, 100),
            ("copies_max", u64::from(self.copies_max), 1, 10_000),
            ("valid_days", u64::from(self.valid_days), 1, 3653),
            ("offer_ttl_s", self.offer_ttl_s, 0, 366 * 86_400),
            ("request_ttl_s", self.request_ttl_s, 0, 3600),
            ("code_ttl_s", self.code_ttl_s, 0, 600),
            ("token_ttl_s", self.token_ttl_s, 0, 86_400),
            ("nonce_ttl_s", self.nonce_ttl_s, 0, 3600),
        ];
        for (name, number, least, most) in numbers {
            if !(least..=most).contains(&number) {
                return Err(OpenId4VciConfigError::Number(name).into());
            }
        }
        for uri in self.clients.iter().flat_map(|client| &client.redirect_uris) {
            if reqwest::Url::parse(uri).map_or(true, |url| url.fragment().is_some()) {
                return Err(OpenId4VciConfigError::RedirectUri(uri.clone()).into());
            }
        }
        Ok(())
    }

    pub(super) fn load_certificates(
        &self,
        key: &SigningKey,
    ) -> Result<Vec<Certificate>, IssuerError> {
        let Some(path) = self.certificates.clone() else {
            return Ok(Vec::new());
        };
        let text = std::fs::read_to_string(&path).map_err(|error| OpenId4VciConfigError::File {
            path: path.clone(),
            error,
        })?;
        let wrong = |why: String| OpenId4VciConfigError::Certificates {
            path: path.clone(),
            why,
        };
        let chain = Certificate::all_from_pem(&text).map_err(|error| wrong(error.to_string()))?;
        let leaf = chain
            .first()
            .ok_or_else(|| wrong("no certificate in it".to_owned()))?;
        if leaf.public_key().ok() != Some(key.public_key()) {
            let why = "the first certificate is not that of the key that signs";
            return Err(wrong(why.to_owned()).into());
        }
        if chain.len() > MAX_CHAIN {
            return Err(wrong("the chain is too long".to_owned()).into());
        }
        Ok(chain)
    }

    /// The wallet with that `client_id`.
    pub(super) fn client(&self, id: &str) -> Option<&WalletClient> {
        self.clients.iter().find(|client| client.id == id)
    }
}
