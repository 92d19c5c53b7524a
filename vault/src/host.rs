//! A running host: its store, its key, its ledger.

use crate::admission::Admission;
use crate::config::Limits;
use crate::ledger::ConsentLedger;
use crate::rows::Identity;
use crate::store::{Store, StoreError};
use std::path::Path;
use std::sync::Arc;
use tegata_consent::ids::{ChainId, GrantId, OrganisationId};
use tegata_service::keys::OrganisationKeys;
use tokio::sync::{Mutex, MutexGuard, Notify};

const GRANT_LOCKS: usize = 1024;

/// Milliseconds since 1970.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What all requests share.
pub(crate) struct Host {
    pub(crate) store: Store,
    pub(crate) ledger: Arc<dyn ConsentLedger>,
    pub(crate) chain: ChainId,
    pub(crate) id: OrganisationId,
    pub(crate) keys: OrganisationKeys,
    pub(crate) limits: Limits,
    pub(crate) admission: Admission,
    /// Rung when something new lies in the outbox.
    pub(crate) outbox_bell: Notify,
    clock: Clock,
    grant_locks: Vec<Mutex<()>>,
}

impl Host {
    /// Opens the store and puts the host together.
    pub(crate) fn open(
        data: &Path,
        ledger: Arc<dyn ConsentLedger>,
        id: OrganisationId,
        keys: OrganisationKeys,
        limits: Limits,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreError> {
        let chain = ledger.chain();
        let store = Store::open(
            data,
            &Identity {
                chain,
                host: id,
                keys: vec![keys.sign_public()],
            },
        )?;
        let admission = Admission::new(store.vaults_count()?);
        Ok(Arc::new(Self {
            store,
            ledger,
            chain,
            id,
            keys,
            limits: limits.within_formats(),
            admission,
            outbox_bell: Notify::new(),
            clock,
            grant_locks: (0..GRANT_LOCKS).map(|_| Mutex::new(())).collect(),
        }))
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Runs something that blocks (the store, long hashing) where blocking is allowed.
    pub(crate) async fn block<T, E>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let this = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::Database("the host is stopping".into()).into()),
            },
        }
    }

    /// Held while an entry of one grant is on its way to the ledger.
    pub(crate) async fn grant_lock(&self, grant: &GrantId) -> MutexGuard<'_, ()> {
        let place = usize::from(u16::from_be_bytes([grant.0[0], grant.0[1]]));
        self.grant_locks[place % GRANT_LOCKS].lock().await
    }
}
