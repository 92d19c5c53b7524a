//! What every service needs.
//!
//! | module | what |
//! |---|---|
//! | [`config`], [`genesis`], [`keys`] | files that an operator writes or keeps |
//! | [`telemetry`], [`http`], [`problem`] | logs and metrics, serving, errors (RFC 9457) |
//! | [`ledger`] | follows certified headers, submits entries, asks for proofs; trusts no node |
//! | [`signature`], [`auth`] | who asks: signed requests (RFC 9421), bearer tokens |
//! | [`clock`], [`qr`] | the time, and codes for screens and paper |
//!
//! Architecture invariant: nothing here logs a body, a query, a path with an identifier, or a secret.
//!
//! Architecture invariant: what comes from a ledger node is used only after its certificate or proof was checked against
//! the genesis validator set; a node can be silent or slow, but cannot lie.

pub mod auth;
pub mod clock;
pub mod config;
pub mod genesis;
pub mod http;
pub mod keys;
pub mod ledger;
pub mod problem;
pub mod qr;
pub mod signature;
pub mod telemetry;
