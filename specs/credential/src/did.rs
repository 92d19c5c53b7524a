//! Decentralised identifiers (W3C DID 1.0 and Controlled Identifiers 1.0) of three methods: `did:key`, `did:jwk`
//! and `did:web`. The page is `did.md`.
//!
//! `did:key` and `did:jwk` carry their key. A `did:web` is resolved by the caller (the ledger's registry first; HTTP only
//! where it is configured), who hands the document over; this crate has no network.

mod document;
mod multikey;

use std::fmt;

use crate::jws;
use crate::keys::PublicKey;
use crate::rfc3339::write_time;

pub use document::{DOCUMENT_MAX_BYTES, DidDocument, DidKey, Relationship, VerificationMethod};
pub(crate) use multikey::{from_base58btc, to_base58btc};
pub use multikey::{from_multikey, to_multikey};

/// Longest DID, in bytes.
pub const DID_MAX_BYTES: usize = 2_048;

/// Why a DID, its document or a key in it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DidError {
    /// Not a DID, or not one of its method.
    #[error("not a well-formed DID")]
    Malformed,
    /// A method other than `key`, `jwk` and `web`.
    #[error("DID method {0:?} is not known")]
    Method(String),
    /// The key in it is none of ours.
    #[error("the key is not a valid Ed25519 or P-256 public key")]
    Key,
    /// Nobody gave a document for it.
    #[error("no document of {0} is known")]
    Unresolved(String),
    /// The document is not one; with the member at fault.
    #[error("DID document: `{0}` is missing or wrong")]
    Document(&'static str),
    /// The document is of another subject.
    #[error("the document is of {found}, not of {wanted}")]
    Mismatch {
        /// `id` of the document.
        found: String,
        /// The DID that was asked for.
        wanted: String,
    },
    /// The document has no such verification method with a key that we know.
    #[error("{0} is no verification method of its document")]
    MethodUnknown(String),
    /// The key may not be used for this.
    #[error("{id} is not meant for {}", .wanted.name())]
    Purpose {
        /// The verification method.
        id: String,
        /// What it was used for.
        wanted: Relationship,
    },
    /// It signed before its time.
    #[error("{id} counts from {}; it signed at {}", write_time(*.from), write_time(*.signed_at))]
    NotYetValid {
        /// The verification method.
        id: String,
        /// Unix seconds.
        from: i64,
        /// Unix seconds.
        signed_at: i64,
    },
    /// It signed after its end.
    #[error("{id} ended at {}; it signed at {}", write_time(*.until), write_time(*.signed_at))]
    Expired {
        /// The verification method.
        id: String,
        /// Unix seconds.
        until: i64,
        /// Unix seconds.
        signed_at: i64,
    },
    /// It was revoked: nothing that it signed counts any more.
    #[error("{id} was revoked at {revoked}")]
    Revoked {
        /// The verification method.
        id: String,
        /// Unix seconds.
        revoked: i64,
    },
    /// The key has an end and the signature does not say when it was made.
    #[error("{0} has a time of its own, and the signature none")]
    TimeUnknown(String),
}

impl DidError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "did_malformed",
            Self::Method(_) => "did_method_unsupported",
            Self::Key => "did_key_invalid",
            Self::Unresolved(_) => "did_unresolved",
            Self::Document(_) => "did_document_malformed",
            Self::Mismatch { .. } => "did_document_mismatch",
            Self::MethodUnknown(_) => "verification_method_unknown",
            Self::Purpose { .. } => "verification_method_purpose",
            Self::NotYetValid { .. } => "key_not_yet_valid",
            Self::Expired { .. } => "key_expired",
            Self::Revoked { .. } => "key_revoked",
            Self::TimeUnknown(_) => "key_time_unknown",
        }
    }
}

/// A DID method that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DidMethod {
    /// The key itself, as Multikey.
    Key,
    /// The key itself, as JWK.
    Jwk,
    /// A document on a web server, or in a registry that speaks for it.
    Web,
}

/// A well-formed DID of a method that we read, without path, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Did(String);

impl Did {
    /// Reads a DID.
    ///
    /// # Errors
    /// [`DidError::Malformed`], [`DidError::Method`].
    pub fn parse(text: &str) -> Result<Self, DidError> {
        let did = Self(text.to_owned());
        if text.len() > DID_MAX_BYTES || did.specific_id().is_empty() {
            return Err(DidError::Malformed);
        }
        match did.method_name() {
            "web" => did.web_parts().map(|_| ())?,
            "key" | "jwk" => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                if !did.specific_id().bytes().all(plain) {
                    return Err(DidError::Malformed);
                }
            }
            "" => return Err(DidError::Malformed),
            other => return Err(DidError::Method(other.to_owned())),
        }
        Ok(did)
    }

    /// The DID of a DID URL that names a verification method: what stands before `#`.
    ///
    /// # Errors
    /// As [`Did::parse`]; [`DidError::Malformed`] without a fragment.
    pub fn of_url(url: &str) -> Result<Self, DidError> {
        let (did, fragment) = url.split_once('#').ok_or(DidError::Malformed)?;
        if fragment.is_empty() || fragment.contains('#') {
            return Err(DidError::Malformed);
        }
        Self::parse(did)
    }

    /// `did:key` of a key.
    #[must_use]
    pub fn key(key: &PublicKey) -> Self {
        Self(format!("did:key:{}", to_multikey(key)))
    }

    /// `did:jwk` of a key.
    #[must_use]
    pub fn jwk(key: &PublicKey) -> Self {
        Self(format!(
            "did:jwk:{}",
            jws::encode(key.to_jwk().to_string().as_bytes())
        ))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> DidMethod {
        match self.method_name() {
            "key" => DidMethod::Key,
            "jwk" => DidMethod::Jwk,
            _ => DidMethod::Web,
        }
    }

    /// The document of a DID that carries its key.
    ///
    /// # Errors
    /// [`DidError::Key`]; [`DidError::Unresolved`] for `did:web`, which the caller resolves.
    pub fn own_document(&self) -> Result<DidDocument, DidError> {
        let (key, fragment) = match self.method() {
            DidMethod::Key => (from_multikey(self.specific_id())?, self.specific_id()),
            DidMethod::Jwk => {
                let jwk = jws::decode(self.specific_id()).map_err(|_| DidError::Key)?;
                let jwk = crate::json::parse(&jwk).map_err(|_| DidError::Key)?;
                (PublicKey::from_jwk(&jwk).map_err(|_| DidError::Key)?, "0")
            }
            DidMethod::Web => return Err(DidError::Unresolved(self.0.clone())),
        };
        Ok(DidDocument::of_one_key(self, fragment, key))
    }

    /// Where the document of a `did:web` lies (did:web method specification §2.5.2), always `https`; `None` for
    /// other methods.
    #[must_use]
    pub fn web_url(&self) -> Option<String> {
        if self.method() != DidMethod::Web {
            return None;
        }
        let (host, path) = self.web_parts().ok()?;
        Some(if path.is_empty() {
            format!("https://{host}/.well-known/did.json")
        } else {
            format!("https://{host}/{}/did.json", path.join("/"))
        })
    }

    fn method_name(&self) -> &str {
        self.0
            .split(':')
            .nth(1)
            .filter(|_| self.0.starts_with("did:"))
            .unwrap_or_default()
    }

    fn specific_id(&self) -> &str {
        self.0.splitn(3, ':').nth(2).unwrap_or_default()
    }

    /// Host (with port) and path segments of a `did:web`.
    fn web_parts(&self) -> Result<(String, Vec<&str>), DidError> {
        let mut parts = self.specific_id().split(':');
        let host = parts
            .next()
            .unwrap_or_default()
            .replace("%3A", ":")
            .replace("%3a", ":");
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host.as_str(), None),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let is_host = name.len() <= 253 && name.split('.').all(label);
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        let segment = |segment: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !segment.is_empty() && *segment != "." && *segment != ".." && segment.bytes().all(plain)
        };
        let path: Vec<&str> = parts.collect();
        if !is_host || !is_port || !path.iter().all(segment) {
            return Err(DidError::Malformed);
        }
        Ok((host, path))
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The document of a DID: its own where it carries a key, else what `known` answers (a registry, a cache, a file).
///
/// # Errors
/// [`DidError`]; a document of another subject is refused.
pub fn resolve(
    did: &Did,
    known: impl FnOnce(&Did) -> Result<DidDocument, DidError>,
) -> Result<DidDocument, DidError> {
    if did.method() != DidMethod::Web {
        return did.own_document();
    }
    let document = known(did)?;
    if document.id() != did {
        let (found, wanted) = (document.id().to_string(), did.to_string());
        return Err(DidError::Mismatch { found, wanted });
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_urls() {
        let url = |text: &str| Did::parse(text).map(|did| did.web_url());
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            url("did:web:w3c-ccg.github.io"),
            some("https://w3c-ccg.github.io/.well-known/did.json")
        );
        assert_eq!(
            url("did:web:a.example:user:alice"),
            some("https://a.example/user/alice/did.json")
        );
        assert_eq!(
            url("did:web:a.example%3A3000:user"),
            some("https://a.example:3000/user/did.json")
        );
        for wrong in [
            "did:web:",
            "did:web:a..example",
            "did:web:a.example:",
            "did:web:a.example:..",
            "did:web:a.example:a%2Fb",
            "did:web:a.example%3A0",
            "did:web:a.example%3A99999",
            "did:web:a@b",
            "did:web:a.example/x",
            "did:web:[::1]",
            "did:web:a.example#key",
            "did:web:a.example?x",
        ] {
            assert_eq!(url(wrong), Err(DidError::Malformed), "{wrong}");
        }
    }
}
