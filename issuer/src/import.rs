//! CSV files as city halls have them.
//!
//! | module | what |
//! |---|---|
//! | [`text`] | UTF-8 and CP932, full-width letters, half-width kana |
//! | [`dates`] | Japanese-era and Western dates |
//! | `values`, `profile` | which column is which claim, and what its cells hold |
//! | `rows` | a file as checked records, in constant memory |
//! | `run` | an import: resumable, with a file of failed rows |
//! | `folder` | the watched folder |
//! | [`client`] | sending a file to a running issuer, with a progress bar |

pub mod client;
pub mod dates;
pub(crate) mod folder;
mod profile;
mod rows;
pub(crate) mod run;
pub mod text;
mod values;

pub(crate) use profile::Profiles;
pub use profile::{CsvConfig, Header, ProfileConfig, ProfileError};
pub use run::ImportError;

/// The source system of all records that came as CSV, whichever way the file came.
pub(crate) const SYSTEM: &str = "csv";
