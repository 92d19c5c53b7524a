//! DID documents: what others publish, reduced to the keys we can use; and what our organisations publish.

use serde_json::{Map, Value, json};

use super::{Did, DidError, from_multikey, to_multikey};
use crate::json;
use crate::keys::{Algorithm, PublicKey};
use crate::rfc3339::{parse_time, write_time};

/// Largest document that is read, in bytes.
pub const DOCUMENT_MAX_BYTES: usize = 64 * 1024;
/// Most verification methods of a document.
const METHODS_MAX: usize = 128;

/// What a key is meant for (DID 1.0 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relationship {
    /// To make statements: credentials.
    Assertion,
    /// To prove who one is: presentations.
    Authentication,
}

impl Relationship {
    /// The name in DID documents and in `proofPurpose`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Assertion => "assertionMethod",
            Self::Authentication => "authentication",
        }
    }
}

/// A key of an organisation with the time in which it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidKey {
    /// The key.
    pub key: PublicKey,
    /// From this Unix second on.
    pub from: Option<i64>,
    /// Until before this Unix second.
    pub until: Option<i64>,
}

/// One key of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationMethod {
    id: String,
    controller: String,
    key: PublicKey,
    from: Option<i64>,
    expires: Option<i64>,
    revoked: Option<i64>,
    meant_for: Vec<Relationship>,
}

impl VerificationMethod {
    /// The DID URL.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose key it is.
    #[must_use]
    pub fn controller(&self) -> &str {
        &self.controller
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// A DID document, reduced to what we use: the Ed25519 and P-256 keys and what each is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidDocument {
    id: Did,
    methods: Vec<VerificationMethod>,
}

impl DidDocument {
    /// The document of an organisation: each key is a verification method `did#kid` for credentials and presentations.
    #[must_use]
    pub fn for_organisation(did: &Did, keys: &[DidKey]) -> Self {
        let named = |key: &DidKey| (format!("{did}#{}", key.key.key_id()), key.clone());
        Self::of_keys(did, keys.iter().map(named))
    }

    /// A document with these keys, each under a DID URL, for credentials and presentations: what a list of trusted keys says
    /// about a DID.
    #[must_use]
    pub fn of_keys(did: &Did, keys: impl IntoIterator<Item = (String, DidKey)>) -> Self {
        let methods = keys.into_iter().map(|(id, key)| VerificationMethod {
            id,
            controller: did.to_string(),
            key: key.key,
            from: key.from,
            expires: key.until,
            revoked: None,
            meant_for: vec![Relationship::Assertion, Relationship::Authentication],
        });
        Self {
            id: did.clone(),
            methods: methods.collect(),
        }
    }

    pub(super) fn of_one_key(did: &Did, fragment: &str, key: PublicKey) -> Self {
        let key = DidKey {
            key,
            from: None,
            until: None,
        };
        Self::of_keys(did, [(format!("{did}#{fragment}"), key)])
    }

    /// Reads a document. Keys of types that we do not know are left out; what is wrong in a key that we do know is an
    /// error.
    ///
    /// Read are `Multikey`, `Ed25519VerificationKey2020`, `JsonWebKey` and `JsonWebKey2020`, with `expires` and `revoked`.
    ///
    /// # Errors
    /// [`DidError::Document`] with the member at fault, [`DidError::Key`], [`DidError::Malformed`], [`DidError::Method`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DidError> {
        if bytes.len() > DOCUMENT_MAX_BYTES {
            return Err(DidError::Document("size"));
        }
        let document = json::parse_object(bytes).map_err(|_| DidError::Document("JSON"))?;
        let id = Did::parse(text(&document, "id")?)?;
        let mut methods = Vec::new();
        for method in list(&document, "verificationMethod")? {
            let method = method
                .as_object()
                .ok_or(DidError::Document("verificationMethod"))?;
            methods.extend(read_method(method, &id)?);
        }
        for relationship in [Relationship::Assertion, Relationship::Authentication] {
            for entry in list(&document, relationship.name())? {
                let wrong = || DidError::Document(relationship.name());
                match entry {
                    Value::String(reference) => {
                        let reference = absolute(reference, &id);
                        // A reference to a key of a type that we left out, or to another document, names none of ours.
                        for method in methods.iter_mut().filter(|method| method.id == reference) {
                            method.meant_for.push(relationship);
                        }
                    }
                    Value::Object(method) => {
                        if let Some(mut method) = read_method(method, &id)? {
                            method.meant_for.push(relationship);
                            methods.push(method);
                        }
                    }
                    _ => return Err(wrong()),
                }
            }
        }
        let repeated = |at: usize, method: &VerificationMethod| {
            methods[..at].iter().any(|other| other.id == method.id)
        };
        if methods
            .iter()
            .enumerate()
            .any(|(at, method)| repeated(at, method))
        {
            return Err(DidError::Document("verificationMethod"));
        }
        Ok(Self { id, methods })
    }

    /// Whose document it is.
    #[must_use]
    pub fn id(&self) -> &Did {
        &self.id
    }

    /// The keys.
    #[must_use]
    pub fn methods(&self) -> &[VerificationMethod] {
        &self.methods
    }

    /// The verification method with the DID URL `url`, where it is controlled by this DID, is meant for `relationship`, and
    /// counted when it signed.
    ///
    /// `signed_at` is when the signature says it was made, `at` is now, both in Unix seconds. A key's time and end are
    /// judged by `signed_at`, so that what was signed before a rotation still verifies; its revocation by `at`, because who
    /// holds a stolen key can write any time.
    ///
    /// # Errors
    /// [`DidError`].
    pub fn method_for(
        &self,
        url: &str,
        relationship: Relationship,
        signed_at: Option<i64>,
        at: i64,
    ) -> Result<&VerificationMethod, DidError> {
        let method = self.methods.iter().find(|method| method.id == url);
        let method = method.ok_or_else(|| DidError::MethodUnknown(url.to_owned()))?;
        let id = || method.id.clone();
        if method.controller != self.id.as_str() {
            return Err(DidError::MethodUnknown(id()));
        }
        if !method.meant_for.contains(&relationship) {
            return Err(DidError::Purpose {
                id: id(),
                wanted: relationship,
            });
        }
        if let Some(revoked) = method.revoked.filter(|revoked| *revoked <= at) {
            return Err(DidError::Revoked { id: id(), revoked });
        }
        if method.from.is_some() || method.expires.is_some() {
            let signed_at = signed_at.ok_or_else(|| DidError::TimeUnknown(id()))?;
            if let Some(from) = method.from.filter(|from| signed_at < *from) {
                return Err(DidError::NotYetValid {
                    id: id(),
                    from,
                    signed_at,
                });
            }
            if let Some(until) = method.expires.filter(|until| signed_at >= *until) {
                return Err(DidError::Expired {
                    id: id(),
                    until,
                    signed_at,
                });
            }
        }
        Ok(method)
    }

    /// The document as JSON-LD: Ed25519 keys as `Multikey` (for Data Integrity), P-256 keys as `JsonWebKey` (for JOSE).
    ///
    /// A key's end is written as `expires`; for its beginning the standard has no member.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut methods = Vec::new();
        for method in &self.methods {
            let mut out =
                json!({ "id": method.id, "type": "Multikey", "controller": method.controller });
            match method.key.algorithm() {
                Algorithm::EdDsa => out["publicKeyMultibase"] = to_multikey(&method.key).into(),
                Algorithm::Es256 => {
                    out["type"] = "JsonWebKey".into();
                    let mut jwk = method.key.to_jwk();
                    jwk["kid"] = method.key.key_id().into();
                    jwk["alg"] = method.key.algorithm().name().into();
                    out["publicKeyJwk"] = jwk;
                }
            }
            for (name, time) in [("expires", method.expires), ("revoked", method.revoked)] {
                if let Some(time) = time {
                    out[name] = write_time(time).into();
                }
            }
            methods.push(out);
        }
        let meant_for = |relationship: Relationship| -> Vec<Value> {
            let meant = self
                .methods
                .iter()
                .filter(|method| method.meant_for.contains(&relationship));
            meant.map(|method| method.id.as_str().into()).collect()
        };
        json!({
            "@context": [
                "https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1", "https://w3id.org/security/jwk/v1",
            ],
            "id": self.id.as_str(),
            "verificationMethod": methods,
            "assertionMethod": meant_for(Relationship::Assertion),
            "authentication": meant_for(Relationship::Authentication),
        })
    }
}

/// A verification method; `None` where its type is not ours.
fn read_method(
    method: &Map<String, Value>,
    did: &Did,
) -> Result<Option<VerificationMethod>, DidError> {
    let key = match text(method, "type")? {
        "Multikey" | "Ed25519VerificationKey2020" => {
            match from_multikey(text(method, "publicKeyMultibase")?) {
                Ok(key) => key,
                // Multikeys of other curves are nothing we use; of ours, they are a fault.
                Err(_) if !is_ours(text(method, "publicKeyMultibase")?) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        "JsonWebKey" | "JsonWebKey2020" => {
            let jwk = method
                .get("publicKeyJwk")
                .ok_or(DidError::Document("publicKeyJwk"))?;
            match (jwk["kty"].as_str(), jwk["crv"].as_str()) {
                (Some("OKP"), Some("Ed25519")) | (Some("EC"), Some("P-256")) => {
                    PublicKey::from_jwk(jwk).map_err(|_| DidError::Key)?
                }
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(VerificationMethod {
        id: absolute(text(method, "id")?, did),
        controller: text(method, "controller")?.to_owned(),
        key,
        from: None,
        expires: moment(method, "expires")?,
        revoked: moment(method, "revoked")?,
        meant_for: Vec::new(),
    }))
}

fn is_ours(multikey: &str) -> bool {
    multikey.starts_with("z6Mk") || multikey.starts_with("zDn")
}

fn absolute(reference: &str, did: &Did) -> String {
    if reference.starts_with('#') {
        format!("{did}{reference}")
    } else {
        reference.to_owned()
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, DidError> {
    object
        .get(name)
        .and_then(Value::as_str)
        .ok_or(DidError::Document(name))
}

fn list<'a>(object: &'a Map<String, Value>, name: &'static str) -> Result<&'a [Value], DidError> {
    match object.get(name) {
        None => Ok(&[]),
        Some(Value::Array(list)) if list.len() <= METHODS_MAX => Ok(list),
        Some(_) => Err(DidError::Document(name)),
    }
}

fn moment(object: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, DidError> {
    let Some(value) = object.get(name) else {
        return Ok(None);
    };
    let time = value
        .as_str()
        .and_then(parse_time)
        .ok_or(DidError::Document(name))?;
    Ok(Some(time))
}
