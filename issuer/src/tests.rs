//! The issuer whole: its own HTTP, its own disk, a registry that the test sets, and a vault host that is one for transport
//! only (it keeps the host's rules about receipts and repeated deposits).

#![allow(clippy::result_large_err, reason = "tests")]

mod crash;
mod fsck;
mod hl7_examples;
mod imports;
mod pairing;
mod pipeline;
mod town;
mod vc_api;
pub(crate) mod world;
