//! The ledger: consensus driver, store, mempool, HTTP.
//!
//! | module | what |
//! |---|---|
//! | [`config`], [`node`] | a node and its keys |
//! | `consensus` | Malachite, driven; the only module that knows its types |
//! | [`block`] | building and checking blocks, purely over a view of the store |
//! | [`store`] | RocksDB; the only module that knows it |
//! | [`mempool`], [`gossip`] | entries that wait, and their way between validators |
//! | [`feed`], [`events`] | who is told when a block is final |
//! | [`http`] | the API |
//! | [`fsck`] | everything an operator can check on disk |
//!
//! Architecture invariant: an entry is acknowledged only after the block that holds it is on disk, synced.
//!
//! Architecture invariant: no endpoint alters anything but by an entry that the state machine admits.

pub mod block;
pub mod config;
mod consensus;
pub mod events;
pub mod feed;
pub mod fsck;
pub mod gossip;
pub mod http;
pub mod mempool;
pub mod node;
mod p2p;
pub mod shared;
pub mod store;

pub use config::{NodeConfig, init};
pub use fsck::{FsckError, fsck};
pub use node::{NodeError, run};
