//! The issuer whole: its own HTTP, its own disk, a registry that the test sets, and a vault host that is one for transport
//! only (it keeps the host's rules about receipts and repeated deposits).

mod crash;
mod imports;
mod pairing;
mod pipeline;
mod town;
mod world;
