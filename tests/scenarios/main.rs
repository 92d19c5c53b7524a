//! Scenarios across services: real processes on loopback, RocksDB on disk, four validators. One binary, one scenario at a
//! time, because two cores carry eleven processes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod audits;
mod crashes;
mod openid4vci;
mod over_askings;
mod recalls;
mod refusals;
mod stories;
mod world;
