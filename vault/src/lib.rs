//! The vault host: drawers, deposits, orders, fetches. Ciphertext only.
//!
//! | module | what |
//! |---|---|
//! | `deposits`, `fetch` | the rules: what is accepted into a drawer, and who is served |
//! | `grants`, `outbox` | carrying grants and revocations to the ledger, tickets and pings to inboxes |
//! | `admission` | how much strangers may ask of the host |
//! | `history`, `export` | what the owner gets back: who read what, and everything |
//! | `store`, `files`, `rows` | what is on disk |
//! | `http`, `error` | the interface, and which status each error becomes |
//! | `fsck` | checks everything on disk |
//!
//! Architecture invariant: nothing here can open anything. The host has one secret, its signing key. It holds no drawer key,
//! reader key, record key or vault secret, is sent none, and links no code path that decrypts. Files are age ciphertext,
//! locks and tickets are sealed to others, and the index is sealed by the wallet.
//!
//! Architecture invariant: what is acknowledged is on disk, synced, before the acknowledgement leaves: deposits and their
//! receipts, orders, and the note of every record handed out.
//!
//! Architecture invariant: a drawer's receipts form one chain. The host signs no two receipts with the same sequence, and
//! drops no record; there is no call that deletes one.
//!
//! Architecture invariant: no log line and no metric names a vault, drawer, record, grant or person. The one exception is the
//! key of a damaged row, which the operator needs.

mod admission;
mod config;
mod deposits;
mod error;
mod export;
mod fetch;
mod files;
mod fsck;
mod grants;
mod history;
mod host;
mod http;
mod ledger;
mod outbox;
mod rows;
mod run;
mod store;
#[cfg(test)]
mod tests;

pub use config::{Limits, VaultConfig};
pub use deposits::DepositRefused;
pub use export::{ExportHead, ExportItem};
pub use fetch::FetchRefused;
pub use files::FileError;
pub use fsck::{Report, fsck};
pub use run::{VaultError, run};
pub use store::StoreError;
