//! The proof in a document (VC Data Integrity 1.0 §2.1), closed: what is not read is refused.

use serde_json::{Map, Value, json};

use super::error::DataIntegrityError;
use super::terms::is_absolute_iri;
use super::{Cryptosuite, ProofOptions};
use crate::CLOCK_SKEW_S;
use crate::did::{Relationship, from_base58btc};
use crate::rfc3339::{parse_time, write_time};

/// A proof, read but not verified.
pub(super) struct Proof<'a> {
    pub(super) object: &'a Map<String, Value>,
    pub(super) cryptosuite: &'a str,
    pub(super) verification_method: &'a str,
    purpose: &'a str,
    pub(super) created: Option<i64>,
    expires: Option<i64>,
    pub(super) value: [u8; 64],
    pub(super) challenge: Option<&'a str>,
    pub(super) domains: Vec<&'a str>,
}

impl<'a> Proof<'a> {
    /// The one proof of a document.
    pub(super) fn read(document: &'a Map<String, Value>) -> Result<Self, DataIntegrityError> {
        let object = match document.get("proof") {
            None => return Err(DataIntegrityError::ProofMissing),
            Some(Value::Object(object)) => object,
            Some(Value::Array(proofs)) => {
                let is_chain = proofs
                    .iter()
                    .any(|proof| proof.get("previousProof").is_some());
                return Err(if is_chain {
                    DataIntegrityError::ProofChain
                } else {
                    DataIntegrityError::ProofSet
                });
            }
            Some(_) => return Err(DataIntegrityError::ProofMember("proof")),
        };
        let mut proof = Self {
            object,
            cryptosuite: "",
            verification_method: "",
            purpose: "",
            created: None,
            expires: None,
            value: [0; 64],
            challenge: None,
            domains: Vec::new(),
        };
        let mut has_type = false;
        for (name, value) in object {
            let text = |name| value.as_str().ok_or(DataIntegrityError::ProofMember(name));
            let time = |name| {
                text(name)
                    .and_then(|text| parse_time(text).ok_or(DataIntegrityError::ProofMember(name)))
            };
            match name.as_str() {
                "type" if value == "DataIntegrityProof" => has_type = true,
                "type" => return Err(DataIntegrityError::ProofMember("type")),
                "id" => {
                    if !is_absolute_iri(text("id")?) {
                        return Err(DataIntegrityError::ProofMember("id"));
                    }
                }
                "cryptosuite" => proof.cryptosuite = text("cryptosuite")?,
                "verificationMethod" => proof.verification_method = text("verificationMethod")?,
                "proofPurpose" => proof.purpose = text("proofPurpose")?,
                "created" => proof.created = Some(time("created")?),
                "expires" => proof.expires = Some(time("expires")?),
                "challenge" => proof.challenge = Some(text("challenge")?),
                "nonce" => drop(text("nonce")?),
                "domain" => proof.domains = domains(value)?,
                "proofValue" => {
                    let bytes = from_base58btc(text("proofValue")?);
                    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
                    proof.value = bytes.ok_or(DataIntegrityError::ProofMember("proofValue"))?;
                }
                "@context" => {}
                "previousProof" => return Err(DataIntegrityError::ProofChain),
                _ => return Err(DataIntegrityError::ProofMemberUnknown(name.clone())),
            }
        }
        for (name, is_there) in [
            ("type", has_type),
            ("cryptosuite", !proof.cryptosuite.is_empty()),
            ("verificationMethod", !proof.verification_method.is_empty()),
            ("proofPurpose", !proof.purpose.is_empty()),
            ("proofValue", object.contains_key("proofValue")),
        ] {
            if !is_there {
                return Err(DataIntegrityError::ProofMember(name));
            }
        }
        Ok(proof)
    }

    /// That the proof is for `purpose`, and repeats the document's `@context` where its suite has it so.
    ///
    /// The standard lets a document name further contexts than its proof; they would not be signed. Here they are the same.
    pub(super) fn check_form(
        &self,
        document: &Map<String, Value>,
        suite: &dyn Cryptosuite,
        purpose: Relationship,
    ) -> Result<(), DataIntegrityError> {
        if self.purpose != purpose.name() {
            let (found, wanted) = (self.purpose.to_owned(), purpose.name());
            return Err(DataIntegrityError::ProofPurpose { found, wanted });
        }
        match self.object.get("@context") {
            None => Ok(()),
            Some(context)
                if suite.has_context_in_proof() && Some(context) == document.get("@context") =>
            {
                Ok(())
            }
            Some(_) => Err(DataIntegrityError::ProofContext),
        }
    }

    /// That the proof counts at `at`, Unix seconds.
    pub(super) fn check_times(&self, at: i64) -> Result<(), DataIntegrityError> {
        if let Some(created) = self
            .created
            .filter(|created| *created > at.saturating_add(CLOCK_SKEW_S))
        {
            return Err(DataIntegrityError::ProofInFuture { created, at });
        }
        if let Some(expires) = self.expires.filter(|expires| *expires <= at) {
            return Err(DataIntegrityError::ProofExpired { expires, at });
        }
        Ok(())
    }
}

fn domains(value: &Value) -> Result<Vec<&str>, DataIntegrityError> {
    let wrong = DataIntegrityError::ProofMember("domain");
    match value {
        Value::String(one) => Ok(vec![one]),
        Value::Array(many) if !many.is_empty() => many
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or(wrong),
        _ => Err(wrong),
    }
}

/// A proof without its value.
pub(super) fn options(
    document: &Map<String, Value>,
    suite: &dyn Cryptosuite,
    purpose: Relationship,
    options: &ProofOptions<'_>,
) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("type", "DataIntegrityProof".into());
    put("cryptosuite", suite.name().into());
    put("created", write_time(options.created).into());
    if let Some(expires) = options.expires {
        put("expires", write_time(expires).into());
    }
    put("verificationMethod", options.verification_method.into());
    put("proofPurpose", purpose.name().into());
    for (name, text) in [("challenge", options.challenge), ("domain", options.domain)] {
        if let Some(text) = text {
            put(name, text.into());
        }
    }
    if suite.has_context_in_proof() {
        put(
            "@context",
            document
                .get("@context")
                .cloned()
                .unwrap_or_else(|| json!([])),
        );
    }
    out
}
