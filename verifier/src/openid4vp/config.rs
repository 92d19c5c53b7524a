//! Configuration of presentations (`[presentations]` of the verifier's file).

use serde::Deserialize;
use std::path::{Path, PathBuf};
use tegata_service::config::resolve;

/// How the verifier asks for presentations (OpenID4VP 1.0) and whose credentials it takes.
///
/// ```toml
/// [presentations]
/// client_id = "x509_hash"               # or "did", the registered DID, or "did:jwk"
/// certificates = "certificates.pem"     # of the P-256 credential key, leaf first; absent: one is made beside the store
/// request_ttl_s = 600
/// consent_age_max_s = 60
/// anchors = "authority.pem"             # issuers outside of the registry, by x5c
/// metadata_issuers = ["https://issuer.example"]  # issuers outside of the registry, by /.well-known/jwt-vc-issuer
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PresentationsConfig {
    /// How requests name us where a request does not say otherwise.
    pub client_id: ClientIdKind,
    /// Certificate chain (PEM) of the organisation's P-256 credential key, leaf first, without its anchor. Absent: a
    /// certificate is made when the verifier first starts and kept beside the store; nobody's anchor vouches for that one.
    pub certificates: Option<PathBuf>,
    /// For how long a request may be answered, in seconds.
    pub request_ttl_s: u64,
    /// How old a consent proof may be when the response comes in, in seconds. Within this time a revocation may go
    /// unnoticed.
    pub consent_age_max_s: u64,
    /// How old a key binding may be, in seconds.
    pub key_binding_age_max_s: u32,
    /// Certificates (PEM) that vouch for issuers outside of the registry; only policy `standard` takes their credentials.
    pub anchors: Option<PathBuf>,
    /// `iss` of issuers outside of the registry whose keys are fetched from their metadata; only policy `standard` takes
    /// their credentials.
    pub metadata_issuers: Vec<String>,
    /// URL scheme of links for wallets of others.
    pub scheme: String,
}

impl Default for PresentationsConfig {
    fn default() -> Self {
        Self {
            client_id: ClientIdKind::X509Hash,
            certificates: None,
            request_ttl_s: 600,
            consent_age_max_s: 60,
            key_binding_age_max_s: 300,
            anchors: None,
            metadata_issuers: Vec::new(),
            scheme: "openid4vp".into(),
        }
    }
}

/// How a request names the verifier (OpenID4VP 1.0 §5.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub enum ClientIdKind {
    /// `x509_hash:`
    #[serde(rename = "x509_hash")]
    X509Hash,
    /// `decentralized_identifier:` with the registered DID.
    #[serde(rename = "did")]
    Did,
    /// `decentralized_identifier:` with a `did:jwk` of the P-256 credential key.
    #[serde(rename = "did:jwk")]
    DidJwk,
}

impl PresentationsConfig {
    /// Makes paths relative to the configuration file `base`.
    pub(crate) fn resolve(&mut self, base: impl AsRef<Path>) {
        for path in [&mut self.certificates, &mut self.anchors]
            .into_iter()
            .flatten()
        {
            *path = resolve(&base, &path);
        }
    }
}
