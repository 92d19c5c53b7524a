//! Signing. What a verifier would refuse is not signed.

use serde_json::{Map, Value};

use super::contexts::Contexts;
use super::error::DataIntegrityError;
use super::model::{Credential, Presentation};
use super::{Cryptosuite, DOCUMENT_MAX_BYTES, parse, proof};
use crate::did::{Did, Relationship, to_base58btc};
use crate::keys::SigningKey;

/// What a proof says.
#[derive(Debug, Clone, Copy)]
pub struct ProofOptions<'a> {
    /// The DID URL of the key that signs.
    pub verification_method: &'a str,
    /// `created`, Unix seconds.
    pub created: i64,
    /// `expires`, Unix seconds.
    pub expires: Option<i64>,
    /// `challenge`: what the verifier sent.
    pub challenge: Option<&'a str>,
    /// `domain`: whom the proof is for.
    pub domain: Option<&'a str>,
}

impl<'a> ProofOptions<'a> {
    /// A proof by a key, made at a Unix second.
    #[must_use]
    pub fn new(verification_method: &'a str, created: i64) -> Self {
        Self {
            verification_method,
            created,
            expires: None,
            challenge: None,
            domain: None,
        }
    }
}

/// Signs a credential (VCDM 2.0) for its issuer, whose key `options` names.
///
/// # Errors
/// [`DataIntegrityError`]: what is wrong with the form or a term, a key of another issuer or kind, a proof that is already
/// there.
pub fn sign_credential(
    document: Map<String, Value>,
    suite: &dyn Cryptosuite,
    contexts: &Contexts,
    options: &ProofOptions<'_>,
    key: &SigningKey,
) -> Result<Map<String, Value>, DataIntegrityError> {
    bounded(&document)?;
    let by = Some(Credential::read(&document, contexts)?.issuer.to_owned());
    sign(
        document,
        by.as_deref(),
        Relationship::Assertion,
        suite,
        options,
        key,
    )
}

/// Signs a presentation (VCDM 2.0) as its holder, whose key `options` names.
///
/// # Errors
/// As [`sign_credential`].
pub fn sign_presentation(
    document: Map<String, Value>,
    suite: &dyn Cryptosuite,
    contexts: &Contexts,
    options: &ProofOptions<'_>,
    key: &SigningKey,
) -> Result<Map<String, Value>, DataIntegrityError> {
    bounded(&document)?;
    let by = Presentation::read(&document, contexts)?
        .holder
        .map(str::to_owned);
    sign(
        document,
        by.as_deref(),
        Relationship::Authentication,
        suite,
        options,
        key,
    )
}

/// That a verifier will be able to read it.
fn bounded(document: &Map<String, Value>) -> Result<(), DataIntegrityError> {
    let text = serde_json::to_vec(document).map_err(|_| DataIntegrityError::Malformed)?;
    // The proof comes on top.
    if text.len() > DOCUMENT_MAX_BYTES - 4_096 {
        return Err(DataIntegrityError::TooLarge("1 MiB"));
    }
    parse(&text).map(drop)
}

fn sign(
    mut document: Map<String, Value>,
    by: Option<&str>,
    purpose: Relationship,
    suite: &dyn Cryptosuite,
    options: &ProofOptions<'_>,
    key: &SigningKey,
) -> Result<Map<String, Value>, DataIntegrityError> {
    if document.contains_key("proof") {
        return Err(DataIntegrityError::ProofSet);
    }
    let did = Did::of_url(options.verification_method)?;
    if let Some(wanted) = by.filter(|by| *by != did.as_str()) {
        let (found, wanted) = (did.to_string(), wanted.to_owned());
        return Err(DataIntegrityError::Controller { found, wanted });
    }
    if key.algorithm() != suite.algorithm() {
        return Err(DataIntegrityError::KeyKind(suite.name()));
    }
    let mut proof = proof::options(&document, suite, purpose, options);
    let hash = suite.hash(&document, &proof)?;
    proof.insert("proofValue".into(), to_base58btc(&key.sign(&hash)).into());
    document.insert("proof".into(), Value::Object(proof));
    Ok(document)
}
