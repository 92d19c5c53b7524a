//! What all parts of a node share.

use crate::feed::Feed;
use crate::mempool::Mempool;
use crate::store::Store;
use tegata_consent::genesis::Genesis;
use tegata_consent::ids::ChainId;

/// One node's ledger: where it begins, what is decided, what waits, and who is told.
#[derive(Debug)]
pub struct Shared {
    /// The beginning.
    pub genesis: Genesis,
    /// Its hash.
    pub chain: ChainId,
    /// What is decided.
    pub store: Store,
    /// What waits.
    pub mempool: Mempool,
    /// Who is told.
    pub feed: Feed,
}
