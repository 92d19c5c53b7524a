//! Thin binding of the pure crates for the wallet.
//!
//! Nothing is decided here: every function reads its arguments, calls the pure crate and writes the answer. Answers are
//! JSON texts with identifiers in hexadecimal, bytes in base64url and times in milliseconds since 1970, so that the
//! TypeScript side has plain objects; larger byte strings cross as `Uint8Array`. An `Err` becomes a thrown `Error` whose
//! message names the part at fault. Time comes from the caller; randomness from the browser.

mod credential;
mod http;
mod json;
mod ledger;
mod presentation;
mod record;
mod vault;

pub use credential::{read_credential, verify_credential};
pub use ledger::{History, Ledger, status_list_name};
pub use presentation::{PresentationPapers, PresentationRequest, presentation_asker};
pub use record::{OpenedRecord, SealedPapers, drawer_receipts, open_framed, sealed_papers};
pub use vault::{GrantPapers, Vault};
