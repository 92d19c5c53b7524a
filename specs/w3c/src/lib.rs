//! W3C credentials that need JSON-LD: the cryptosuite `eddsa-rdfc-2022`, and the catalogue's records as VCDM 2.0.
//!
//! | step | call |
//! |---|---|
//! | which contexts are known | [`contexts`]: W3C's and one for each record type, all from the binary |
//! | the suites | [`rdfc`](EddsaRdfc2022), [`EddsaJcs2022`](tegata_credential::data_integrity::EddsaJcs2022); both in [`suites`] |
//! | a record as a credential, and back | [`record::credential`], [`record::read`] |
//!
//! Signing and verifying are those of [`tegata_credential::data_integrity`], with the same types. The crate links the parts of
//! `ssi` that turn JSON-LD into RDF, and no HTTP client: a context that is not in the binary cannot be loaded.

mod jsonld;
pub mod rdfc;
pub mod record;
mod suite;

use std::sync::LazyLock;

use tegata_credential::data_integrity::{Contexts, Cryptosuite, EddsaJcs2022};
use tegata_records::catalogue;

pub use suite::EddsaRdfc2022;

/// W3C's contexts for credentials and proofs, and the catalogue's.
#[must_use]
pub fn contexts() -> &'static Contexts {
    static CONTEXTS: LazyLock<Contexts> = LazyLock::new(|| {
        catalogue()
            .types()
            .iter()
            .fold(Contexts::default(), |contexts, record_type| {
                let with = contexts.with(&record_type.context_url(), record_type.context_json());
                with.expect("a test reads every context of the catalogue")
            })
    });
    &CONTEXTS
}

/// `eddsa-rdfc-2022` with [`contexts`].
#[must_use]
pub fn eddsa_rdfc_2022() -> &'static EddsaRdfc2022 {
    static SUITE: LazyLock<EddsaRdfc2022> = LazyLock::new(|| {
        EddsaRdfc2022::new(contexts()).expect("a test reads every context of the catalogue")
    });
    &SUITE
}

/// Both suites.
#[must_use]
pub fn suites() -> [&'static dyn Cryptosuite; 2] {
    [&EddsaJcs2022, eddsa_rdfc_2022()]
}
