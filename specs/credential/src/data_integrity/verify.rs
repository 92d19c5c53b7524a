//! From a text to a [`VerifiedCredential`] or a [`VerifiedPresentation`]. There is no other way to one.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::contexts::Contexts;
use super::error::DataIntegrityError;
use super::model::{self, Credential, Presentation};
use super::proof::Proof;
use super::{Cryptosuite, DOCUMENT_MAX_BYTES};
use crate::did::{Did, DidDocument, DidError, Relationship};
use crate::json;
use crate::keys::PublicKey;

/// Gives the document of a DID; see [`crate::did::resolve`].
pub type Resolve<'a> = &'a dyn Fn(&Did) -> Result<Arc<DidDocument>, DidError>;

/// What is believed when something is verified.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// The cryptosuites that are accepted.
    pub suites: &'a [&'a dyn Cryptosuite],
    /// The contexts that are known.
    pub contexts: &'a Contexts,
    /// Where keys come from.
    pub resolve: Resolve<'a>,
    /// As of when, in Unix seconds.
    pub at: i64,
}

/// Whose credentials a presentation may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderRule {
    /// Each credential is about the holder: the `id` of every subject is the holder's.
    IsSubject,
    /// Of anybody, such as a guardian's of a child.
    Anybody,
}

/// What a presentation must answer.
#[derive(Debug, Clone, Copy)]
pub struct PresentationPolicy<'a> {
    /// The `challenge` that was sent; without one, replayed presentations are accepted.
    pub challenge: Option<&'a str>,
    /// The `domain` that the presentation must be for.
    pub domain: Option<&'a str>,
    /// Whose credentials.
    pub holder: HolderRule,
}

/// A credential whose form, proof and times hold.
///
/// It does not say that the issuer is accredited, that the status list has no entry for it, or that its claims fit a schema.
#[derive(Debug, Clone)]
pub struct VerifiedCredential {
    document: Map<String, Value>,
    issuer: String,
    signed: Signed,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
}

/// A presentation whose form, proof and times hold, and all of whose credentials do.
#[derive(Debug, Clone)]
pub struct VerifiedPresentation {
    document: Map<String, Value>,
    holder: String,
    signed: Signed,
    credentials: Vec<VerifiedCredential>,
}

#[derive(Debug, Clone)]
struct Signed {
    suite: &'static str,
    method: String,
    key: PublicKey,
    created: Option<i64>,
}

impl VerifiedCredential {
    /// The whole document.
    #[must_use]
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The issuer's id, whose key signed.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key that signed.
    #[must_use]
    pub fn issuer_key(&self) -> &PublicKey {
        &self.signed.key
    }

    /// The DID URL of that key.
    #[must_use]
    pub fn verification_method(&self) -> &str {
        &self.signed.method
    }

    /// The name of the cryptosuite.
    #[must_use]
    pub fn cryptosuite(&self) -> &'static str {
        self.signed.suite
    }

    /// When the proof says it was made, Unix seconds.
    #[must_use]
    pub fn created(&self) -> Option<i64> {
        self.signed.created
    }

    /// `validFrom`, Unix seconds.
    #[must_use]
    pub fn valid_from(&self) -> Option<i64> {
        self.valid_from
    }

    /// `validUntil`, Unix seconds.
    #[must_use]
    pub fn valid_until(&self) -> Option<i64> {
        self.valid_until
    }

    /// Whether it is of a type.
    #[must_use]
    pub fn is_of_type(&self, name: &str) -> bool {
        model::is_of_type(&self.document, name)
    }

    /// The subjects, at least one.
    #[must_use]
    pub fn subjects(&self) -> Vec<&Map<String, Value>> {
        model::one_or_many(&self.document, "credentialSubject").unwrap_or_default()
    }

    /// The entries under `credentialStatus`.
    #[must_use]
    pub fn statuses(&self) -> Vec<&Map<String, Value>> {
        model::one_or_many(&self.document, "credentialStatus").unwrap_or_default()
    }
}

impl VerifiedPresentation {
    /// The whole document.
    #[must_use]
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The DID of who signed it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The key that signed.
    #[must_use]
    pub fn holder_key(&self) -> &PublicKey {
        &self.signed.key
    }

    /// The name of the cryptosuite.
    #[must_use]
    pub fn cryptosuite(&self) -> &'static str {
        self.signed.suite
    }

    /// When the proof says it was made, Unix seconds.
    #[must_use]
    pub fn created(&self) -> Option<i64> {
        self.signed.created
    }

    /// The credentials, at least one.
    #[must_use]
    pub fn credentials(&self) -> &[VerifiedCredential] {
        &self.credentials
    }
}

/// Reads a document strictly: at most [`DOCUMENT_MAX_BYTES`], 32 levels, no member twice. Nothing in it is believed.
///
/// # Errors
/// [`DataIntegrityError`] with the codes `too_large`, `malformed`, `too_deep`, `json_name_duplicate`.
pub fn parse(text: &[u8]) -> Result<Map<String, Value>, DataIntegrityError> {
    if text.len() > DOCUMENT_MAX_BYTES {
        return Err(DataIntegrityError::TooLarge("1 MiB"));
    }
    Ok(json::parse_object(text)?)
}

/// The DID whose key signed, as the document says; to fetch its document before verifying.
#[must_use]
pub fn signer(document: &Map<String, Value>) -> Option<Did> {
    Did::of_url(document.get("proof")?.get("verificationMethod")?.as_str()?).ok()
}

impl Verifier<'_> {
    /// Verifies a credential.
    ///
    /// # Errors
    /// [`DataIntegrityError`].
    pub fn credential(&self, text: &[u8]) -> Result<VerifiedCredential, DataIntegrityError> {
        self.parsed_credential(parse(text)?)
    }

    /// Verifies what [`parse`] has read: bounded in size and depth, no member twice.
    fn parsed_credential(
        &self,
        document: Map<String, Value>,
    ) -> Result<VerifiedCredential, DataIntegrityError> {
        let credential = Credential::read(&document, self.contexts)?;
        let proof = Proof::read(&document)?;
        let signed = self.signature(
            &document,
            &proof,
            Relationship::Assertion,
            Some(credential.issuer),
        )?;
        proof.check_times(self.at)?;
        credential.check_times(self.at)?;
        let (valid_from, valid_until) = (credential.valid_from, credential.valid_until);
        let issuer = credential.issuer.to_owned();
        Ok(VerifiedCredential {
            document,
            issuer,
            signed,
            valid_from,
            valid_until,
        })
    }

    /// Verifies a presentation and all its credentials.
    ///
    /// # Errors
    /// [`DataIntegrityError`].
    pub fn presentation(
        &self,
        text: &[u8],
        policy: &PresentationPolicy<'_>,
    ) -> Result<VerifiedPresentation, DataIntegrityError> {
        let document = parse(text)?;
        let presentation = Presentation::read(&document, self.contexts)?;
        let proof = Proof::read(&document)?;
        let signed = self.signature(
            &document,
            &proof,
            Relationship::Authentication,
            presentation.holder,
        )?;
        proof.check_times(self.at)?;
        if policy
            .challenge
            .is_some_and(|challenge| proof.challenge != Some(challenge))
        {
            return Err(DataIntegrityError::Challenge);
        }
        if policy
            .domain
            .is_some_and(|domain| !proof.domains.contains(&domain))
        {
            return Err(DataIntegrityError::Domain);
        }
        let holder = Did::of_url(&signed.method)?.to_string();
        let mut credentials = Vec::new();
        for (index, credential) in presentation.credentials.iter().enumerate() {
            let verified = self.parsed_credential((*credential).clone());
            let verified = verified.map_err(|error| DataIntegrityError::Credential {
                index,
                error: Box::new(error),
            })?;
            let is_own = |subject: &&Map<String, Value>| {
                subject.get("id").and_then(Value::as_str) == Some(&holder)
            };
            if policy.holder == HolderRule::IsSubject && !verified.subjects().iter().all(is_own) {
                return Err(DataIntegrityError::HolderNotSubject(index));
            }
            credentials.push(verified);
        }
        Ok(VerifiedPresentation {
            document,
            holder,
            signed,
            credentials,
        })
    }

    /// That `by` (or whoever the proof names) signed the document for this purpose, with a key that counted then.
    fn signature(
        &self,
        document: &Map<String, Value>,
        proof: &Proof<'_>,
        purpose: Relationship,
        by: Option<&str>,
    ) -> Result<Signed, DataIntegrityError> {
        let suite = self
            .suites
            .iter()
            .find(|suite| suite.name() == proof.cryptosuite);
        let suite =
            *suite.ok_or_else(|| DataIntegrityError::Cryptosuite(proof.cryptosuite.to_owned()))?;
        proof.check_form(document, suite, purpose)?;
        let did = Did::of_url(proof.verification_method)?;
        if let Some(wanted) = by.filter(|by| *by != did.as_str()) {
            let (found, wanted) = (did.to_string(), wanted.to_owned());
            return Err(DataIntegrityError::Controller { found, wanted });
        }
        let known = (self.resolve)(&did)?;
        if *known.id() != did {
            let (found, wanted) = (known.id().to_string(), did.to_string());
            return Err(DidError::Mismatch { found, wanted }.into());
        }
        let method =
            known.method_for(proof.verification_method, purpose, proof.created, self.at)?;
        if method.key().algorithm() != suite.algorithm() {
            return Err(DataIntegrityError::KeyKind(suite.name()));
        }
        let hash = suite.hash(document, proof.object)?;
        method
            .key()
            .verify(&hash, &proof.value)
            .map_err(|_| DataIntegrityError::Signature)?;
        Ok(Signed {
            suite: suite.name(),
            method: proof.verification_method.to_owned(),
            key: *method.key(),
            created: proof.created,
        })
    }
}
