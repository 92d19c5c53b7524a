//! The shared language of consent, pure: no clock, no randomness of its own, no I/O.
//!
//! One format is one page (beside this crate), one module and one folder of vectors.
//!
//! | module | page | what |
//! |---|---|---|
//! | [`cbor`], [`cose`], [`ids`] | `encoding.md` | deterministic CBOR, signed envelopes, identifiers |
//! | [`entry`], [`organisation`] | `entries.md`, `entries.cddl` | what may be written to the ledger |
//! | [`genesis`], [`state`] | `state.md` | what is in force, and the one function that changes it |
//! | [`header`], [`log`], [`tree`] | `ledger.md` | headers, certificates, history and state commitments |
//! | [`proof`], [`history`] | `proofs.md` | receipts, consent proofs and reading histories |
//! | [`keys`], [`sealing`], [`lock`] | `sealing.md` | keys of a vault, sealed records, locks |
//! | [`status`] | `status.md` | status lists on the ledger, and the end of recalled copies |
//! | [`invitation`], [`deposit`], [`fetch`] | `vault.md` | what lets a depositor in, and what a host answers |
//! | [`request`], [`order`], [`ticket`], [`scope`] | `grant.md` | asking, and the two companions of a grant |
//! | [`presentation`] | `presentation.md` | one-time grants of OpenID4VP presentations |
//! | [`over_asking`] | `over-asking.md` | OpenID4VP requests as evidence |
//! | [`codes`] | `state.md` | the closed lists of codes |

extern crate alloc; // minicbor's derive names it

pub mod cbor;
pub mod codes;
pub mod cose;
pub mod deposit;
pub mod entry;
pub mod fetch;
pub mod genesis;
pub mod header;
pub mod history;
pub mod ids;
pub mod invitation;
mod json;
pub mod keys;
pub mod lock;
pub mod log;
pub mod order;
pub mod organisation;
pub mod over_asking;
pub mod presentation;
pub mod proof;
pub mod request;
pub mod scope;
pub mod sealing;
pub mod state;
pub mod status;
pub mod ticket;
pub mod tree;

/// The sealing suite of this version: X25519, HKDF-SHA-256, ChaCha20-Poly1305 (age v1 and RFC 9180).
///
/// The id stands in every manifest, invitation, lock and ticket, so that another suite (hybrid post-quantum keys, the
/// committee's layer of a lock) is one more number and not another format.
pub const SUITE_X25519: u8 = 1;
