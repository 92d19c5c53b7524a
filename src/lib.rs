//! The `tegata` command: the only code that knows all services.

pub mod demo;
pub mod fsck;
pub mod wallet;
