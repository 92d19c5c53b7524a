//! Scenarios across services: real processes on loopback, RocksDB on disk, four validators. One binary, one scenario at a
//! time, because two cores carry eleven processes.

mod audits;
mod crashes;
mod refusals;
mod stories;
mod world;
