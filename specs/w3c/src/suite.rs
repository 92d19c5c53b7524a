//! `eddsa-rdfc-2022` (W3C Data Integrity EdDSA Cryptosuites 1.0 §3.2).

use serde_json::{Map, Value};
use tegata_credential::data_integrity::{
    ContextError, Contexts, Cryptosuite, DataIntegrityError, hash_pair,
};
use tegata_credential::keys::Algorithm;

use crate::jsonld::JsonLd;
use crate::rdfc::{STEPS_MAX, canonical_nquads};

/// The cryptosuite, with the contexts it reads.
#[derive(Debug)]
pub struct EddsaRdfc2022(JsonLd);

impl EddsaRdfc2022 {
    /// With these contexts.
    ///
    /// # Errors
    /// [`ContextError`] for a context that JSON-LD cannot read.
    pub fn new(contexts: &Contexts) -> Result<Self, ContextError> {
        Ok(Self(JsonLd::new(contexts)?))
    }

    /// The canonical N-Quads of a document, as they are hashed.
    ///
    /// # Errors
    /// `json_ld_invalid`, `graph_too_complex`.
    pub fn canonical(&self, document: Map<String, Value>) -> Result<String, DataIntegrityError> {
        let quads = self.0.to_rdf(document)?;
        canonical_nquads(&quads, STEPS_MAX)
            .map_err(|error| DataIntegrityError::GraphTooComplex(error.0))
    }
}

impl Cryptosuite for EddsaRdfc2022 {
    fn name(&self) -> &'static str {
        "eddsa-rdfc-2022"
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDsa
    }

    fn has_context_in_proof(&self) -> bool {
        false
    }

    fn hash(
        &self,
        document: &Map<String, Value>,
        options: &Map<String, Value>,
    ) -> Result<[u8; 64], DataIntegrityError> {
        let without = |object: &Map<String, Value>, name: &str| -> Map<String, Value> {
            let others = object.iter().filter(|(member, _)| *member != name);
            others
                .map(|(member, value)| (member.clone(), value.clone()))
                .collect()
        };
        let mut options = without(options, "proofValue");
        options.insert(
            "@context".into(),
            document.get("@context").cloned().unwrap_or_default(),
        );
        let options = self.canonical(options)?;
        let document = self.canonical(without(document, "proof"))?;
        Ok(hash_pair(options.as_bytes(), document.as_bytes()))
    }
}
