//! Over-asking over OpenID4VP: a verifier's signed request object as evidence that it asked for more than it is accredited for
//! (`over-asking.md`).
//!
//! Whatever is evidence stands on the ledger for ever, so the request must have one form in which nothing can be about a person:
//! every member is known, and every text is of a closed list, a random number, or what the registry says of the
//! organisation. That form is what verifiers of this project sign (`specs/credential/openid4vp.md`).

mod certificate;
mod fields;
mod form;
mod keys;

use crate::ids::{ChainId, Hash, OrganisationId};
use crate::json::Json;
pub use crate::json::JsonError;
use crate::organisation::{KeyUse, OrganisationState, Role};
use crate::request::is_reference;
use crate::ticket::request_digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certificate::Certificate;
use fields::decode;
use form::{Payload, read_header};
use sha2::{Digest, Sha256};

/// Longest request object in bytes: it fits into an entry, with the entry's own parts around it.
pub const REQUEST_OBJECT_LIMIT: usize = 15 * 1024;
/// A response address after the verifier's own: this, 128 random bits in hexadecimal, and [`RESPONSE`].
const PRESENTATIONS: &str = "/v1/presentations/";
const RESPONSE: &str = "/response";
const X509_HASH: &str = "x509_hash:";
const DID: &str = "decentralized_identifier:";

/// Whether evidence is a request object, and no consent request: a compact JWS begins with the base64url of `{"`, a tagged
/// COSE_Sign1 with 0xd2.
#[must_use]
pub fn is_request_object(evidence: &[u8]) -> bool {
    evidence.starts_with(b"ey")
}

/// How the ledger names evidence: the digest of the consent request, or of what is signed of the request object. Its signature
/// is left out, for ES256 has two for each.
#[must_use]
pub fn evidence_digest(evidence: &[u8]) -> Hash {
    let signature = evidence.iter().rposition(|byte| *byte == b'.');
    match signature {
        Some(at) if is_request_object(evidence) => request_digest(&evidence[..at]),
        _ => request_digest(evidence),
    }
}

/// Why a request object is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Too long for an entry.
    #[error("{0} bytes, at most {REQUEST_OBJECT_LIMIT} fit into an entry")]
    TooLong(usize),
    /// Not a compact JWS.
    #[error("not a compact JWS of three parts in base64url")]
    Encoding,
    /// Header, payload or a statement is no JSON that every validator reads alike.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A member that is unknown, missing, or could be about a person.
    #[error("`{0}` is missing, not known, or not of the one form")]
    Member(&'static str),
    /// Another algorithm than EdDSA and ES256.
    #[error("`alg` is neither EdDSA nor ES256")]
    Algorithm,
    /// For another ledger.
    #[error("it is for another ledger")]
    Chain,
    /// It names another organisation.
    #[error("it names organisation {0}")]
    Organisation(OrganisationId),
    /// No key of the organisation that counts now.
    #[error("it names no credential key that the registry has for the organisation now")]
    Key,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
}

impl EvidenceError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "evidence-too-long",
            Self::Encoding => "evidence-encoding",
            Self::Json(_) => "evidence-json",
            Self::Member(_) => "evidence-member",
            Self::Algorithm => "evidence-algorithm",
            Self::Chain => "evidence-chain",
            Self::Organisation(_) => "evidence-organisation",
            Self::Key => "evidence-key",
            Self::Signature => "evidence-signature",
        }
    }
}

/// What a request object asks for, by one of its statements and by its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedFor {
    /// Category codes, sorted: those stated, and those of the types that the query names.
    pub categories: Vec<String>,
    /// Purpose code.
    pub purpose: String,
    /// Legal basis code.
    pub legal_basis: String,
    /// How long copies are kept, in days.
    pub retention_days: u32,
}

/// A request object of the one form. Nobody has checked who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestObject {
    signed: Vec<u8>,
    signature: [u8; 64],
    key_use: KeyUse,
    key_name: KeyName,
    payload: Payload,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyName {
    /// `kid`: a DID URL.
    Url(String),
    /// `x5c`: the one certificate, and its SHA-256.
    Certificate(Box<Certificate>, [u8; 32]),
}

impl RequestObject {
    /// Reads a request object of the one form.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > REQUEST_OBJECT_LIMIT {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        let text = str::from_utf8(bytes).map_err(|_| EvidenceError::Encoding)?;
        let parts: Vec<_> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(EvidenceError::Encoding);
        };
        let signed = text.len() - signature.len() - 1;
        let signature = decode(signature)?.try_into();
        let signature = signature.map_err(|_| EvidenceError::Encoding)?;
        let (header, payload) = (decode(header)?, decode(payload)?);
        let (header, payload) = (Json::parse(&header)?, Json::parse(&payload)?);
        let (key_use, key_name) = read_header(&header)?;
        Ok(Self {
            signed: bytes[..signed].to_vec(),
            signature,
            key_use,
            key_name,
            payload: Payload::read(&payload)?,
        })
    }

    /// Who is said to ask.
    #[must_use]
    pub const fn organisation(&self) -> OrganisationId {
        self.payload.organisation
    }

    /// What it asks for; one for each different statement, at least one.
    #[must_use]
    pub fn asked_for(&self) -> &[AskedFor] {
        &self.payload.asked_for
    }

    /// It may be answered until then, in milliseconds since 1970.
    #[must_use]
    pub const fn expires_ms(&self) -> u64 {
        self.payload.expires_ms
    }

    /// Who issued the certificate that names the key: the one text of evidence that no list and no registry bounds.
    #[must_use]
    pub fn certificate_issuer(&self) -> &[String] {
        match &self.key_name {
            KeyName::Certificate(certificate, _) => certificate.issuer(),
            KeyName::Url(_) => &[],
        }
    }

    /// Checks that this organisation signed it for this ledger, with a credential key that counts at a time, and that names and
    /// addresses in it are the organisation's.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn check(
        &self,
        chain: &ChainId,
        organisation: &OrganisationState,
        at_ms: u64,
    ) -> Result<(), EvidenceError> {
        if self.payload.chain != *chain {
            return Err(EvidenceError::Chain);
        }
        if self.payload.organisation != organisation.id {
            return Err(EvidenceError::Organisation(self.payload.organisation));
        }
        let key = organisation
            .keys_at(self.key_use, at_ms)
            .map(|key| key.public.as_slice())
            .find(|key| self.is_named(key, &organisation.organisation.did))
            .ok_or(EvidenceError::Key)?;
        if !keys::verifies(self.key_use, key, &self.signed, &self.signature) {
            return Err(EvidenceError::Signature);
        }
        let name = &organisation.organisation.name;
        if ![&name.ja, &name.en].contains(&&self.payload.client_name) {
            return Err(EvidenceError::Member("client_name"));
        }
        let url = organisation.organisation.url(Role::Verifier);
        let path = url.and_then(|url| self.payload.response_uri.strip_prefix(url));
        let path = path.and_then(|path| path.strip_prefix(PRESENTATIONS));
        let id = path.and_then(|path| path.strip_suffix(RESPONSE));
        if !id.is_some_and(is_reference) {
            return Err(EvidenceError::Member("response_uri"));
        }
        if let KeyName::Certificate(certificate, _) = &self.key_name
            && !certificate.names_only(&organisation.organisation)
        {
            return Err(EvidenceError::Member("x5c"));
        }
        Ok(())
    }

    /// Whether it asks for more than an organisation is accredited for.
    #[must_use]
    pub fn asks_too_much(&self, organisation: &OrganisationState) -> bool {
        self.payload
            .asked_for
            .iter()
            .any(|asked| !asked.is_accredited(organisation))
    }

    /// Whether client identifier and key name stand for a key of an organisation with that DID.
    fn is_named(&self, key: &[u8], did: &str) -> bool {
        let Some(jwk) = keys::jwk(self.key_use, key) else {
            return false;
        };
        match &self.key_name {
            KeyName::Url(url) => {
                let own = format!("did:jwk:{}", URL_SAFE_NO_PAD.encode(&jwk));
                let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&jwk));
                [(did, thumbprint.as_str()), (&own, "0")]
                    .iter()
                    .any(|(did, fragment)| {
                        self.payload.client_id == format!("{DID}{did}")
                            && *url == format!("{did}#{fragment}")
                    })
            }
            KeyName::Certificate(certificate, hash) => {
                let hash = URL_SAFE_NO_PAD.encode(hash);
                let public = keys::subject_public_key(self.key_use, key);
                self.payload.client_id == format!("{X509_HASH}{hash}")
                    && public.as_ref() == Some(&certificate.public_key)
            }
        }
    }
}

impl AskedFor {
    /// Whether an organisation is accredited for this.
    #[must_use]
    pub fn is_accredited(&self, organisation: &OrganisationState) -> bool {
        organisation.may_ask(&self.purpose, &self.categories, self.retention_days)
    }
}
