//! What the host asks of the ledger, and nothing more.
//!
//! The rules are written against this trait, so that they are tested against a ledger in one process that runs the same
//! state machine and makes the same proofs. The service always runs on [`tegata_service::ledger::Ledger`].

use futures::future::BoxFuture;
use tegata_consent::header::FinalHeader;
use tegata_consent::ids::{ChainId, EntryId, GrantId, OrganisationId};
use tegata_consent::log::LogLeaf;
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::state::GrantState;
use tegata_service::ledger::{Ledger, LedgerError};

/// An encoded receipt, and what it proves.
pub(crate) type Proof = (Vec<u8>, VerifiedReceipt);
/// An encoded consent proof, and what it proves.
pub(crate) type ConsentProof = (Vec<u8>, Proven<GrantState>);

/// The ledger, seen through certified headers only. Every answer is proven in a header at least as new as the one that
/// [`Self::newest`] gave before the call.
pub(crate) trait ConsentLedger: Send + Sync + 'static {
    /// Which ledger.
    fn chain(&self) -> ChainId;
    /// The newest header; [`LedgerError::Stale`] where it is 15 s old or older.
    fn newest(&self) -> Result<FinalHeader, LedgerError>;
    /// Submits an entry until it is final, or finds it in the log.
    fn submit<'a>(&'a self, entry: &'a [u8]) -> BoxFuture<'a, Result<Proof, LedgerError>>;
    /// The receipt of an entry, if it is in the log.
    fn receipt<'a>(&'a self, id: &'a EntryId) -> BoxFuture<'a, Result<Option<Proof>, LedgerError>>;
    /// The consent proof of a grant, encoded and read.
    fn grant<'a>(&'a self, id: &'a GrantId) -> BoxFuture<'a, Result<ConsentProof, LedgerError>>;
    /// An organisation as registered.
    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Proven<OrganisationState>, LedgerError>>;
    /// Log leaves of accesses under a grant, oldest first, from the `first`-th on, at most `limit`.
    fn accesses<'a>(
        &'a self,
        grant: &'a GrantId,
        first: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<LogLeaf>, LedgerError>>;
}

impl ConsentLedger for Ledger {
    fn chain(&self) -> ChainId {
        self.chain()
    }
    fn newest(&self) -> Result<FinalHeader, LedgerError> {
        self.newest()
    }
    fn submit<'a>(&'a self, entry: &'a [u8]) -> BoxFuture<'a, Result<Proof, LedgerError>> {
        Box::pin(self.submit(entry))
    }
    fn receipt<'a>(&'a self, id: &'a EntryId) -> BoxFuture<'a, Result<Option<Proof>, LedgerError>> {
        Box::pin(self.receipt(id))
    }
    fn grant<'a>(&'a self, id: &'a GrantId) -> BoxFuture<'a, Result<ConsentProof, LedgerError>> {
        Box::pin(self.grant(id))
    }
    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Proven<OrganisationState>, LedgerError>> {
        Box::pin(self.organisation(id))
    }
    fn accesses<'a>(
        &'a self,
        grant: &'a GrantId,
        first: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<LogLeaf>, LedgerError>> {
        Box::pin(self.accesses(grant, first, limit))
    }
}
