//! What all parts of a verifier share.

use crate::config::VerifierConfig;
use crate::error::VerifierError;
use crate::events::Event;
use crate::openid4vp::Presentations;
use crate::recalls::Recalls;
use crate::rows::StoreError;
use crate::rules::{Rules, WebhookConfig};
use crate::status::StatusLists;
use crate::store::Store;
use crate::vc_api::VcApiConfig;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tegata_consent::ids::{ChainId, GrantId, OrganisationId};
use tegata_consent::keys::Secret;
use tegata_service::auth::BearerTokens;
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};
use tegata_service::ledger::Ledger;
use tegata_service::signature::{Signer, Verifier};
use tokio::sync::{Notify, broadcast};

/// Events that a slow listener may be behind.
const EVENTS: usize = 1024;

/// The running verifier.
pub(crate) struct Core {
    pub(crate) chain: ChainId,
    pub(crate) us: OrganisationId,
    pub(crate) keys: OrganisationKeys,
    /// Seal secrets, the present one first.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) signer: Signer,
    pub(crate) ledger: Ledger,
    store: Arc<Store>,
    pub(crate) lists: StatusLists,
    pub(crate) recalls: Recalls,
    pub(crate) rules: Rules,
    pub(crate) presentations: Presentations,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) vc_api: Option<VcApiConfig>,
    pub(crate) tokens: BearerTokens,
    pub(crate) signatures: Arc<Verifier>,
    /// Follows no redirects: a host or issuer cannot send us elsewhere.
    pub(crate) client: reqwest::Client,
    pub(crate) wallet_url: String,
    pub(crate) request_ttl_ms: u64,
    pub(crate) events: broadcast::Sender<Event>,
    /// Something was put into the queue or the outbox.
    pub(crate) wake: Notify,
    pub(crate) wake_outbox: Notify,
    /// Allowed accesses whose fetch failed: to be used again while they last.
    pub(crate) open_accesses: Mutex<HashMap<GrantId, crate::reading::OpenAccess>>,
}

/// Where decisions go.
pub(crate) struct Webhook {
    pub(crate) url: String,
    pub(crate) token: Option<zeroize::Zeroizing<String>>,
}

impl Core {
    /// Reads keys and rules, opens the store and begins to follow the ledger.
    pub(crate) fn start(config: &VerifierConfig) -> Result<Self, VerifierError> {
        let (keys, secrets, us) = keys(config)?;
        let rules = config.payout.rules()?;
        let webhook = config
            .payout
            .webhook
            .as_ref()
            .map(Webhook::read)
            .transpose()?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .build()
            .map_err(|error| VerifierError::Client(error.to_string()))?;
        std::fs::create_dir_all(&config.data)?;
        let presentations = Presentations::start(
            &config.presentations,
            &config.http.public_url,
            &config.data,
            &keys,
        )?;
        let store = Arc::new(Store::open(&config.data, secrets.clone())?);
        let ledger = Ledger::start(config.ledger.clone())?;
        Ok(Self {
            chain: ledger.chain(),
            us,
            signer: Signer::organisation(us, keys.sign.clone()),
            keys,
            secrets,
            store,
            lists: StatusLists::new(client.clone(), ledger.clone()),
            recalls: Recalls::default(),
            rules,
            presentations,
            webhook,
            vc_api: config.vc_api.clone(),
            tokens: config.tokens.clone(),
            signatures: Arc::new(Verifier::new(&config.http.public_url)),
            client,
            wallet_url: config.wallet_url.trim_end_matches('/').to_owned(),
            request_ttl_ms: config.request_ttl_s.saturating_mul(1000),
            events: broadcast::channel(EVENTS).0,
            wake: Notify::new(),
            wake_outbox: Notify::new(),
            open_accesses: Mutex::default(),
            ledger,
        })
    }

    /// Works with the store on a thread where waiting for the disk holds nobody up.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| StoreError::Database(error.to_string()))?
    }

    /// Tells whoever listens. Nobody listening is fine: everything can be asked for as well.
    pub(crate) fn tell(&self, event: Event) {
        drop(self.events.send(event));
    }
}

/// The present keys, all Seal secrets (the present one first), and the organisation's id.
pub(crate) fn keys(
    config: &VerifierConfig,
) -> Result<(OrganisationKeys, Vec<Secret>, OrganisationId), VerifierError> {
    let keys = load_organisation_keys(&config.keys)?;
    let (mut secrets, mut us) = (vec![keys.seal.clone()], keys.organisation_id());
    for path in &config.older_keys {
        let older = load_organisation_keys(path)?;
        secrets.push(older.seal.clone());
        us = older.organisation_id();
    }
    Ok((keys, secrets, us))
}

impl Webhook {
    fn read(config: &WebhookConfig) -> Result<Self, VerifierError> {
        let read = |path: &std::path::PathBuf| {
            let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new);
            text.map(|text| zeroize::Zeroizing::new(text.trim().to_owned()))
                .map_err(|error| VerifierError::WebhookToken {
                    path: path.clone(),
                    error,
                })
        };
        Ok(Self {
            url: config.url.clone(),
            token: config.token_file.as_ref().map(read).transpose()?,
        })
    }
}
