//! Tests with a ledger, a host and an issuer around the verifier.

mod checks;
mod desk;
#[path = "../../../service/tests/fake/mod.rs"]
mod fake;
mod inbox;
mod presentations;
mod readings;
mod recalls;
mod standing;
mod vc_api;
mod world;
