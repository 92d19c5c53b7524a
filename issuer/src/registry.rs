//! The trust registry, as the issuer asks it.

use futures::future::{BoxFuture, FutureExt};
use tegata_consent::ids::{ChainId, OrganisationId};
use tegata_consent::organisation::OrganisationState;
use tegata_service::ledger::{Ledger, LedgerError};

/// Who is registered. Answers are proven against a header under 15 s old, or are errors.
pub(crate) trait Registry: Send + Sync {
    /// The ledger's chain id.
    fn chain(&self) -> ChainId;

    /// An organisation as it stands now; `None` where it is not registered.
    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Option<OrganisationState>, LedgerError>>;
}

impl Registry for Ledger {
    fn chain(&self) -> ChainId {
        Self::chain(self)
    }

    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Option<OrganisationState>, LedgerError>> {
        async move { Ok(Self::organisation(self, id).await?.value) }.boxed()
    }
}
