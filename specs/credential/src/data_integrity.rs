//! W3C Verifiable Credentials 2.0 with Data Integrity proofs. The page is `data-integrity.md`.
//!
//! The checks are here, for every cryptosuite; a [`Cryptosuite`] only canonicalises and hashes. `eddsa-jcs-2022` is
//! [`EddsaJcs2022`]; `eddsa-rdfc-2022`, which needs JSON-LD and RDF, is in the crate `tegata-w3c`.
//!
//! | step | call |
//! |---|---|
//! | sign a credential or presentation | [`sign_credential`], [`sign_presentation`] |
//! | look at one, believe nothing | [`parse`], [`signer`] |
//! | believe one | [`Verifier::credential`] → [`VerifiedCredential`], [`Verifier::presentation`] → [`VerifiedPresentation`] |
//!
//! ```
//! # use std::sync::Arc;
//! # use tegata_credential::{data_integrity::*, did::*, keys::*};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_bytes(Algorithm::EdDsa, &[7; 32])?;
//! let did = Did::key(&key.public_key());
//! let method = did.own_document()?.methods()[0].id().to_owned();
//! let credential = serde_json::json!({
//!     "@context": ["https://www.w3.org/ns/credentials/v2"],
//!     "type": ["VerifiableCredential"],
//!     "issuer": did.as_str(),
//!     "credentialSubject": { "id": "did:example:a", "name": "Made-up Person" },
//! });
//! let serde_json::Value::Object(credential) = credential else { unreachable!() };
//! let contexts = Contexts::default();
//! let signed = sign_credential(credential, &EddsaJcs2022, &contexts, &ProofOptions::new(&method, 1_760_000_000), &key)?;
//! let verifier = Verifier {
//!     suites: &[&EddsaJcs2022],
//!     contexts: &contexts,
//!     resolve: &|did| did.own_document().map(Arc::new),
//!     at: 1_760_000_001,
//! };
//! let verified = verifier.credential(&serde_json::to_vec(&signed)?)?;
//! assert_eq!(verified.subjects()[0]["name"], "Made-up Person");
//! # Ok(()) }
//! ```

mod contexts;
mod error;
mod issue;
mod jcs;
mod model;
mod proof;
mod terms;
mod verify;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::keys::Algorithm;

pub use contexts::{CREDENTIALS_V2, ContextError, Contexts, DATA_INTEGRITY_V2};
pub use error::DataIntegrityError;
pub use issue::{ProofOptions, sign_credential, sign_presentation};
pub use jcs::canonical;
pub use model::CREDENTIALS_MAX;
pub use model::is_of_type;
pub use terms::{VALUES_MAX, percent_encodes_utf8};
pub use verify::{
    HolderRule, PresentationPolicy, Resolve, VerifiedCredential, VerifiedPresentation, Verifier,
    parse, signer,
};

/// Largest document that is read or signed, in bytes. A status list of a million entries has about 170 KB.
pub const DOCUMENT_MAX_BYTES: usize = 1 << 20;

/// How a suite turns a document and a proof's options into what is signed.
pub trait Cryptosuite: Send + Sync {
    /// The value of `cryptosuite`.
    fn name(&self) -> &'static str;

    /// The kind of key that signs.
    fn algorithm(&self) -> Algorithm;

    /// Whether the proof repeats the `@context` of the document.
    fn has_context_in_proof(&self) -> bool;

    /// SHA-256 of the canonical proof options, then of the canonical document.
    ///
    /// `document` may have a `proof` and `options` a `proofValue`: both are left out. The document is closed and bounded
    /// ([`parse`] and the checks of this module come first).
    ///
    /// # Errors
    /// [`DataIntegrityError`] where it cannot be canonicalised within bounds.
    fn hash(
        &self,
        document: &Map<String, Value>,
        options: &Map<String, Value>,
    ) -> Result<[u8; 64], DataIntegrityError>;
}

/// `eddsa-jcs-2022` (W3C Data Integrity EdDSA Cryptosuites 1.0 §3.3).
#[derive(Debug, Clone, Copy, Default)]
pub struct EddsaJcs2022;

impl Cryptosuite for EddsaJcs2022 {
    fn name(&self) -> &'static str {
        "eddsa-jcs-2022"
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDsa
    }

    fn has_context_in_proof(&self) -> bool {
        true
    }

    fn hash(
        &self,
        document: &Map<String, Value>,
        options: &Map<String, Value>,
    ) -> Result<[u8; 64], DataIntegrityError> {
        let options = jcs::object_without(options, Some("proofValue"));
        let document = jcs::object_without(document, Some("proof"));
        Ok(hash_pair(&options, &document))
    }
}

/// SHA-256 of each, one after the other.
#[must_use]
pub fn hash_pair(options: &[u8], document: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out[..32].copy_from_slice(&Sha256::digest(options));
    out[32..].copy_from_slice(&Sha256::digest(document));
    out
}
