//! The `tegata` command: the only code that knows all services.

pub mod audit;
pub mod demo;
pub mod fsck;
pub mod import;
mod input;
pub mod issue;
pub mod present;
pub mod terminal;
mod time;
pub mod verify;
pub mod wallet;
