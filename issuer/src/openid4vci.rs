//! OpenID4VCI 1.0: credentials for wallets that we did not write, with the authorisation server that it needs. The profile
//! is `specs/credential/openid4vci.md`.
//!
//! | module | what |
//! |---|---|
//! | `config` | the configuration |
//! | `rows` | what lies on disk until it expires |
//! | `metadata` | what there is to be had, and with which keys it is signed |
//! | `offers` | credential offers, made by the organisation's own systems |
//! | `requests` | pushed authorisation requests (RFC 9126, RFC 7636) |
//! | `authorize`, `page` | the page on which a person types the pairing code |
//! | `token` | codes become access tokens (RFC 6749) |
//! | `nonce`, `proof`, `dpop` | proofs of possession |
//! | `credential` | copies are signed and handed over |
//! | `error`, `form` | errors by their standards' codes; parameters, each once |
//!
//! Architecture invariant: whatever may be used once is marked as used in a synced write before the answer leaves.

pub(crate) mod authorize;
mod config;
pub(crate) mod credential;
mod dpop;
mod error;
mod form;
pub(crate) mod metadata;
pub(crate) mod nonce;
pub(crate) mod offers;
mod page;
mod proof;
pub(crate) mod requests;
mod rows;
pub(crate) mod token;

pub use config::{OpenId4VciConfig, OpenId4VciConfigError, WalletClient};

use crate::IssuerError;
use crate::config::CredentialAlgorithm;
use crate::issuer::{Issuer, blocking, rng};
use crate::pairing::Attempts;
use crate::store::{SWEEP_MAX, Store, StoreError};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::x509::Certificate;
use tegata_service::clock::now_ms;
use tegata_service::keys::OrganisationKeys;
use tegata_service::problem::Problem;
use tokio::sync::watch;

/// Between two looks at what expired.
const SWEEP: Duration = Duration::from_secs(10);
/// Longest body of a request with parameters, in bytes.
const FORM_MAX_BYTES: usize = 32 << 10;
/// Longest credential request in bytes, encrypted or not.
const REQUEST_MAX_BYTES: usize = 256 << 10;

/// What the issuer needs to serve standard wallets.
pub(crate) struct OpenId4Vci {
    pub(crate) config: OpenId4VciConfig,
    /// Signs the copies.
    key: SigningKey,
    /// Chain of that key, leaf first, without the anchor.
    certificates: Vec<Certificate>,
    /// From it nonces, and codes of offers, are derived.
    secret: [u8; 32],
    /// Requests are encrypted to it.
    request_key: SigningKey,
    /// Pushed requests by address.
    pushes: Attempts,
}

/// Pushed requests a minute from one address.
const PUSHES_MAX: u32 = 60;

impl OpenId4Vci {
    pub(crate) fn open(
        config: OpenId4VciConfig,
        keys: &OrganisationKeys,
        store: &Store,
    ) -> Result<Self, IssuerError> {
        config.check()?;
        let (algorithm, secret) = match config.alg {
            CredentialAlgorithm::EdDsa => (Algorithm::EdDsa, &keys.credential_eddsa),
            CredentialAlgorithm::Es256 => (Algorithm::Es256, &keys.credential_es256),
        };
        let key = SigningKey::from_bytes(algorithm, secret.expose())?;
        let certificates = config.load_certificates(&key)?;
        let fresh = || *SigningKey::generate(Algorithm::Es256, &mut rng()).to_bytes();
        let request_key = store.own_secret("request-encryption", fresh)?;
        Ok(Self {
            request_key: SigningKey::from_bytes(Algorithm::Es256, &request_key)?,
            secret: store.own_secret("nonces-and-offers", fresh)?,
            key,
            certificates,
            pushes: Attempts::limited(PUSHES_MAX),
            config,
        })
    }

    /// Whether the key that copies are signed with is registered and counts at a time.
    fn key_counts(&self, own: &OrganisationState, at_ms: u64) -> bool {
        let public = self.key.public_key();
        let key_use = match public.algorithm() {
            Algorithm::EdDsa => KeyUse::CredentialEdDsa,
            Algorithm::Es256 => KeyUse::CredentialEs256,
        };
        own.keys_at(key_use, at_ms)
            .any(|key| key.public == public.to_bytes())
    }
}

impl Issuer {
    /// The credential issuer identifier, which is also the authorisation server's.
    pub(crate) fn identifier(&self) -> &str {
        self.config.http.public_url.trim_end_matches('/')
    }

    fn openid4vci(&self) -> &OpenId4Vci {
        self.openid4vci
            .as_ref()
            .expect("routes are mounted only where it is configured")
    }
}

/// The routes, where OpenID4VCI is configured.
pub(crate) fn router(issuer: &Issuer) -> Router<Arc<Issuer>> {
    let always = Router::new()
        .route("/.well-known/jwt-vc-issuer", get(metadata::keys))
        .route("/.well-known/vct/{vct}", get(metadata::record_type));
    if issuer.openid4vci.is_none() {
        return always;
    }
    let forms = Router::new()
        .route("/openid4vci/par", post(requests::push))
        .route(
            "/openid4vci/authorize",
            get(authorize::show).post(authorize::decide),
        )
        .route("/openid4vci/token", post(token::grant))
        .route("/openid4vci/nonce", post(nonce::fresh))
        .layer(DefaultBodyLimit::max(FORM_MAX_BYTES));
    always
        .route(
            "/.well-known/openid-credential-issuer",
            get(metadata::credential_issuer),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::authorization_server),
        )
        .route("/v1/credential-offers", post(offers::make))
        .route("/openid4vci/offers/{id}", get(offers::by_reference))
        .route("/openid4vci/credential", post(credential::issue))
        .merge(forms)
}

/// Erases what expired, now and then, until `stop` says so.
pub(crate) async fn run(issuer: Arc<Issuer>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            _ = stop.changed() => return,
        }
        let swept = blocking(&issuer, |issuer| {
            loop {
                let mut change = issuer.store.change();
                let swept = change.sweep_openid4vci(now_ms())?;
                if swept > 0 {
                    change.commit()?;
                }
                if swept < SWEEP_MAX {
                    return Ok::<_, StoreError>(());
                }
            }
        });
        if let Err(error) = swept.await {
            tracing::error!(%error, "what expired could not be erased; it is tried again");
        }
    }
}

/// This organisation in the registry.
async fn own(issuer: &Issuer) -> Result<OrganisationState, Problem> {
    issuer.own().await?.ok_or_else(|| {
        Problem::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "not-registered",
            "This organisation is not registered",
        )
    })
}

#[cfg(test)]
mod tests;
