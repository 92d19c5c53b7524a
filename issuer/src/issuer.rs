//! What all parts of the issuer share.

use crate::IssuerError;
use crate::config::{CredentialAlgorithm, IssuerConfig};
use crate::import::Profiles;
use crate::model::Status;
use crate::openid4vci::OpenId4Vci;
use crate::pairing::Attempts;
use crate::registry::Registry;
use crate::status::StatusLists;
use crate::store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::ids::{ChainId, OrganisationId, RecordId};
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_credential::bitstring::StatusPurpose;
use tegata_credential::keys::{Algorithm, KeyError, SigningKey};
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};
use tegata_service::ledger::LedgerError;
use tokio::sync::Notify;

/// An issuer with its store, keys and connections.
pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    pub(crate) id: OrganisationId,
    pub(crate) chain: ChainId,
    pub(crate) keys: OrganisationKeys,
    pub(crate) credential_key: SigningKey,
    pub(crate) store: Store,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) http: reqwest::Client,
    pub(crate) profiles: Profiles,
    pub(crate) statuses: StatusLists,
    pub(crate) attempts: Attempts,
    /// Absent where standard wallets are not served.
    pub(crate) openid4vci: Option<OpenId4Vci>,
    /// There may be work for the queue.
    pub(crate) queue_wake: Notify,
    /// There may be work for imports.
    pub(crate) import_wake: Notify,
    /// A status list may have changed.
    pub(crate) status_wake: Notify,
}

impl Issuer {
    pub(crate) fn open(
        config: IssuerConfig,
        registry: Arc<dyn Registry>,
    ) -> Result<Arc<Self>, IssuerError> {
        let keys = load_organisation_keys(&config.keys)?;
        let (algorithm, secret) = match config.alg {
            CredentialAlgorithm::EdDsa => (Algorithm::EdDsa, &keys.credential_eddsa),
            CredentialAlgorithm::Es256 => (Algorithm::Es256, &keys.credential_es256),
        };
        let credential_key = SigningKey::from_bytes(algorithm, secret.expose())?;
        let profiles = Profiles::new(&config.csv)?;
        make_private_folder(&config.data)?;
        make_private_folder(&config.data.join("imports"))?;
        let store = Store::open(config.data.join("store"))?;
        store.claim(&keys.organisation_id(), &registry.chain())?;
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_millis(config.deposits.timeout_ms))
            .pool_max_idle_per_host(config.deposits.concurrency)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()?;
        let openid4vci = config
            .openid4vci
            .clone()
            .map(|openid4vci| OpenId4Vci::open(openid4vci, &keys, &store))
            .transpose()?;
        let issuer = Self {
            openid4vci,
            id: keys.organisation_id(),
            chain: registry.chain(),
            keys,
            credential_key,
            store,
            registry,
            http,
            profiles,
            statuses: StatusLists::default(),
            attempts: Attempts::default(),
            queue_wake: Notify::new(),
            import_wake: Notify::new(),
            status_wake: Notify::new(),
            config,
        };
        issuer.show_counts();
        Ok(Arc::new(issuer))
    }

    /// This organisation in the registry; `None` where it is not registered.
    pub(crate) async fn own(&self) -> Result<Option<OrganisationState>, LedgerError> {
        self.registry.organisation(&self.id).await
    }

    /// Brings the gauges up to date.
    pub(crate) fn show_counts(&self) {
        for word in [
            "waiting",
            "queued",
            "deposited",
            "issued",
            "revoked",
            "corrected",
            "recalled",
            "refused",
        ] {
            let count: u64 = Status::with_word(word)
                .map(|status| self.store.count(status))
                .sum();
            metrics::gauge!("tegata_issuer_records", "status" => word).set(count as f64);
        }
    }

    /// Where a status list is published; credentials name it.
    pub(crate) fn status_list_uri(&self, list: u32) -> String {
        format!(
            "{}/v1/status-lists/{list}",
            self.config.http.public_url.trim_end_matches('/')
        )
    }

    /// Where a W3C form of a status list is published: what is revoked, or what is suspended.
    pub(crate) fn bitstring_uri(&self, list: u32, purpose: StatusPurpose) -> String {
        format!("{}/{}", self.status_list_uri(list), purpose.name())
    }

    /// The key that W3C credentials are signed with, and its DID URL, as long as the registry has it.
    pub(crate) fn w3c_key(
        &self,
        own: &OrganisationState,
        at_ms: u64,
    ) -> Result<Option<(SigningKey, String)>, KeyError> {
        let key = SigningKey::from_bytes(Algorithm::EdDsa, self.keys.credential_eddsa.expose())?;
        let public = key.public_key();
        let registered = own
            .keys_at(KeyUse::CredentialEdDsa, at_ms)
            .any(|known| known.public == public.to_bytes());
        let method = format!("{}#{}", own.organisation.did, public.key_id());
        Ok(registered.then_some((key, method)))
    }

    /// Where uploaded files and files of failed rows lie.
    pub(crate) fn imports_folder(&self) -> PathBuf {
        self.config.data.join("imports")
    }
}

/// Runs what waits for the disk, or computes for long, outside the asynchronous threads.
pub(crate) async fn blocking<T: Send + 'static>(
    issuer: &Arc<Issuer>,
    work: impl FnOnce(&Arc<Issuer>) -> T + Send + 'static,
) -> T {
    let issuer = Arc::clone(issuer);
    match tokio::task::spawn_blocking(move || work(&issuer)).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The system's randomness; everything below takes it as an argument.
#[allow(clippy::disallowed_methods, reason = "this is the edge")]
pub(crate) fn rng() -> rand::rngs::ThreadRng {
    rand::rng()
}

/// A random id.
pub(crate) fn random_id() -> RecordId {
    RecordId(rand::random())
}

fn make_private_folder(path: &std::path::Path) -> Result<(), IssuerError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| IssuerError::Folder {
        path: path.to_owned(),
        error,
    })
}
