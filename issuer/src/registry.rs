//! The ledger, as the issuer asks it: who is registered, and which status lists count.

use futures::future::{BoxFuture, FutureExt};
use tegata_consent::ids::{ChainId, Hash, OrganisationId};
use tegata_consent::organisation::OrganisationState;
use tegata_consent::status::StatusListState;
use tegata_service::ledger::{Ledger, LedgerError};

/// Who is registered. Answers are proven against a header under 15 s old, or are errors.
pub(crate) trait Registry: Send + Sync {
    /// The ledger's chain id.
    fn chain(&self) -> ChainId;

    /// Submits an entry until it is final. An error may leave open whether it will be.
    fn submit<'a>(&'a self, entry: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// The newest of an issuer's status lists ([`tegata_consent::status::status_list_id`]).
    fn status_list<'a>(
        &'a self,
        issuer: &'a OrganisationId,
        list: &'a Hash,
    ) -> BoxFuture<'a, Result<Option<StatusListState>, LedgerError>>;

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

    fn submit<'a>(&'a self, entry: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>> {
        async move { Self::submit(self, entry).await.map(|_| ()) }.boxed()
    }

    fn status_list<'a>(
        &'a self,
        issuer: &'a OrganisationId,
        list: &'a Hash,
    ) -> BoxFuture<'a, Result<Option<StatusListState>, LedgerError>> {
        async move { Ok(Self::status_list(self, issuer, list).await?.value) }.boxed()
    }

    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Option<OrganisationState>, LedgerError>> {
        async move { Ok(Self::organisation(self, id).await?.value) }.boxed()
    }
}
