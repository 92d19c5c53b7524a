//! The catalogue: which records there are, what is in them, what they are called in Japanese and
//! English, and how they come from and go to FHIR R4.
//!
//! No clock, no randomness, no I/O, no network; the documents are in the binary. A stranger reads
//! `README.md` beside this crate and the files in `types/`.
//!
//! # The API in one look
//!
//! | question | call |
//! |---|---|
//! | what is this `vct`? | [`catalogue()`]`.by_vct(vct)` → [`RecordType`] |
//! | are these claims right? | [`RecordType::validate`], for a partial presentation [`RecordType::validate_disclosed`] |
//! | what does the issuer sign besides? | [`RecordType::vct`], [`RecordType::integrity`], [`RecordType::disclosable`] |
//! | what is it called on screen? | [`RecordType::name`], [`RecordType::claim_label`], [`RecordType::value_label`], [`Category::label`], [`Purpose::label`] |
//! | a clinic sends FHIR | [`fhir::from_fhir`] → [`fhir::MappedRecord`], or a [`fhir::OperationOutcome`] to answer with |
//! | could that have been? | [`fhir::check_plausible`] |
//! | somebody wants FHIR | [`fhir::to_fhir`] |
//! | somebody wants a QR code of the EU's kind | [`dcc::to_dcc`] |
//! | may this stand in a record's text? | [`text::is_line`], [`text::is_lines`] |
//!
//! ```
//! use tegata_records::{Category, Lang, catalogue};
//! let vaccination = catalogue().by_id("vaccination").unwrap();
//! assert_eq!(vaccination.category(), Category::Vaccination);
//! assert_eq!(vaccination.name(Lang::Ja), "予防接種");
//! let claims = serde_json::json!({ "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1 });
//! vaccination.validate(&claims).unwrap();
//! assert_eq!(vaccination.value_label(&["vaccine_code"], "mr", Lang::En), Some("Measles and rubella (MR)"));
//! let errors = vaccination.validate(&serde_json::json!({ "vaccine_code": "mr", "dat": "x" })).unwrap_err();
//! assert_eq!(errors.len(), 2);
//! ```

mod catalogue;
mod codes;
mod countries;
pub mod dcc;
pub mod fhir;
pub mod text;

pub use catalogue::{Catalogue, RecordType, SchemaError, catalogue};
pub use codes::{Category, Lang, LegalBasis, Purpose};
pub use countries::is_country;
