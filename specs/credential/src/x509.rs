//! X.509 certificates of organisations (RFC 5280): what `x5c`, `x509_hash` and the trust lists of
//! offline QR codes rest on.
//!
//! Reading is x509-cert's, chains are webpki's; here is only what joins them to our keys. Page:
//! `x509.md`. Keys are P-256 (ECDSA with SHA-256) and Ed25519 (RFC 8410); authorities sign with
//! P-256. Revocation lists are not read: what an organisation may sign is the registry's to say.

use sha2::{Digest as _, Sha256};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode as _, DecodePem as _, Encode as _, EncodePem as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};
use x509_cert::spki::ObjectIdentifier;
use x509_cert::time::Time;

use crate::keys::{Algorithm, PublicKey};
use crate::rfc3339::write_time;

mod chain;
mod make;

pub use chain::{MAX_CHAIN, verify_chain};
pub use make::{Subject, issue, issue_authority};

/// The longest certificate accepted, DER, in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 16 << 10;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why a certificate or a chain is refused, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum X509Error {
    /// Longer than [`MAX_CERTIFICATE_BYTES`], or a chain longer than [`MAX_CHAIN`].
    #[error("the certificate or chain is too long")]
    TooLarge,
    /// Not a certificate.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// The subject's key is neither P-256 nor Ed25519.
    #[error("the certificate's key is neither P-256 nor Ed25519")]
    KeyUnsupported,
    /// A chain without a certificate.
    #[error("the chain is empty")]
    Empty,
    /// Not yet valid, or no longer.
    #[error("`{subject}` is valid from {} to {}, not at {}", write_time(*.not_before), write_time(*.not_after), write_time(*.at))]
    OutsideValidity {
        /// Whose certificate.
        subject: String,
        /// Unix seconds.
        not_before: i64,
        /// Unix seconds.
        not_after: i64,
        /// The time asked for, Unix seconds.
        at: i64,
    },
    /// The leaf's key usage does not allow signing.
    #[error("the certificate's key usage does not allow digital signatures")]
    KeyUsage,
    /// No path from the leaf to an anchor.
    #[error("no path to a trusted certificate: {0}")]
    Untrusted(String),
    /// A name that a certificate cannot hold.
    #[error("`{0}` cannot stand in a certificate")]
    Name(String),
    /// The authority's key is not on P-256, or not the one in its certificate.
    #[error("the authority's key is not the P-256 key of its certificate")]
    AuthorityKey,
    /// A time outside of what a certificate can say.
    #[error("a time outside of what a certificate can say")]
    Time,
}

impl X509Error {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "x509_too_large",
            Self::Malformed(_) => "x509_malformed",
            Self::KeyUnsupported => "x509_key_unsupported",
            Self::Empty => "x509_chain_empty",
            Self::OutsideValidity { .. } => "x509_outside_validity",
            Self::KeyUsage => "x509_key_usage",
            Self::Untrusted(_) => "x509_untrusted",
            Self::Name(_) => "x509_name_invalid",
            Self::AuthorityKey => "x509_authority_key",
            Self::Time => "x509_time_invalid",
        }
    }
}

impl From<der::Error> for X509Error {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A certificate that has been read; whether it is trusted is [`verify_chain`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    inner: x509_cert::Certificate,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`X509Error::TooLarge`], [`X509Error::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, X509Error> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(X509Error::TooLarge);
        }
        Ok(Self {
            inner: x509_cert::Certificate::from_der(der)?,
            der: der.to_vec(),
        })
    }

    /// Reads one member of `x5c` (RFC 7515 §4.1.6): base64 of DER, with padding.
    ///
    /// # Errors
    /// [`X509Error::TooLarge`], [`X509Error::Malformed`].
    pub fn from_base64(text: &str) -> Result<Self, X509Error> {
        use base64::Engine as _;
        if text.len() > MAX_CERTIFICATE_BYTES * 2 {
            return Err(X509Error::TooLarge);
        }
        let der = base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|_| X509Error::Malformed("not base64".into()))?;
        Self::from_der(&der)
    }

    /// Reads one PEM block (RFC 7468).
    ///
    /// # Errors
    /// [`X509Error::TooLarge`], [`X509Error::Malformed`].
    pub fn from_pem(pem: &str) -> Result<Self, X509Error> {
        if pem.len() > MAX_CERTIFICATE_BYTES * 2 {
            return Err(X509Error::TooLarge);
        }
        Self::from_der(&x509_cert::Certificate::from_pem(pem)?.to_der()?)
    }

    /// Reads all certificates of a PEM text, in order; other blocks are passed over.
    ///
    /// # Errors
    /// [`X509Error::TooLarge`], [`X509Error::Malformed`].
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, X509Error> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let mut all = Vec::new();
        let mut rest = text;
        while let Some(from) = rest.find(BEGIN) {
            let to = rest[from..]
                .find(END)
                .ok_or_else(|| X509Error::Malformed("a PEM block without its end".into()))?;
            let to = from + to + END.len();
            all.push(Self::from_pem(&rest[from..to])?);
            rest = &rest[to..];
        }
        Ok(all)
    }

    /// DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// One member of `x5c`.
    #[must_use]
    pub fn to_base64(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&self.der)
    }

    /// PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.inner
            .to_pem(der::pem::LineEnding::LF)
            .expect("what was read from DER can be written")
    }

    /// SHA-256 of the DER: `x509_hash` of OpenID4VP §5.9.3, and, its first 8 bytes, the key id of
    /// EU HCERT.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The subject's key.
    ///
    /// # Errors
    /// [`X509Error::KeyUnsupported`].
    pub fn public_key(&self) -> Result<PublicKey, X509Error> {
        let spki = self.inner.tbs_certificate().subject_public_key_info();
        let bytes = spki
            .subject_public_key
            .as_bytes()
            .ok_or(X509Error::KeyUnsupported)?;
        let algorithm = match spki.algorithm.oid {
            EC_PUBLIC_KEY => Algorithm::Es256,
            ED25519 => Algorithm::EdDsa,
            _ => return Err(X509Error::KeyUnsupported),
        };
        // A key on another curve has another length, and a foreign curve's name is refused too.
        if algorithm == Algorithm::Es256
            && spki
                .algorithm
                .parameters
                .as_ref()
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
                != Some(p256::NistP256::OID)
        {
            return Err(X509Error::KeyUnsupported);
        }
        PublicKey::from_bytes(algorithm, bytes).map_err(|_| X509Error::KeyUnsupported)
    }

    /// The subject's SubjectPublicKeyInfo, DER: for keys of other kinds (RSA trust lists).
    #[must_use]
    pub fn public_key_info_der(&self) -> Vec<u8> {
        self.inner
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
            .expect("what was read from DER can be written")
    }

    /// The subject as RFC 4514 text, for people.
    #[must_use]
    pub fn subject(&self) -> String {
        self.inner.tbs_certificate().subject().to_string()
    }

    /// From when, Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        unix_s(self.inner.tbs_certificate().validity().not_before)
    }

    /// Until when, this second included, Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        unix_s(self.inner.tbs_certificate().validity().not_after)
    }

    /// Checks the validity at `at`, Unix seconds.
    ///
    /// # Errors
    /// [`X509Error::OutsideValidity`].
    pub fn check_valid_at(&self, at: i64) -> Result<(), X509Error> {
        if (self.not_before()..=self.not_after()).contains(&at) {
            return Ok(());
        }
        Err(X509Error::OutsideValidity {
            subject: self.subject(),
            not_before: self.not_before(),
            not_after: self.not_after(),
            at,
        })
    }

    /// The dNSName entries of the subject alternative name.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        self.alternative_names(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        })
    }

    /// The uniformResourceIdentifier entries of the subject alternative name.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        self.alternative_names(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        })
    }

    fn alternative_names(&self, pick: impl Fn(&GeneralName) -> Option<String>) -> Vec<String> {
        let names = self
            .inner
            .tbs_certificate()
            .get_extension::<SubjectAltName>();
        match names {
            Ok(Some((_, names))) => names.0.iter().filter_map(pick).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it names `issuer`: that URI, or the host of that https URL.
    #[must_use]
    pub fn names(&self, issuer: &str) -> bool {
        is_named(issuer, &self.uris(), &self.dns_names())
    }

    /// Whether its key signs more than certificates: its key usage, where it has one, says so.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.allows(KeyUsage::digital_signature)
    }

    /// Whether its key signs certificates: an authority's does.
    fn may_certify(&self) -> bool {
        let tbs = self.inner.tbs_certificate();
        let authority = tbs.get_extension::<BasicConstraints>();
        authority.is_ok_and(|found| found.is_some_and(|(_, constraints)| constraints.ca))
            && self.allows(KeyUsage::key_cert_sign)
    }

    fn allows(&self, usage: fn(&KeyUsage) -> bool) -> bool {
        match self.inner.tbs_certificate().get_extension::<KeyUsage>() {
            Ok(Some((_, found))) => usage(&found),
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

/// Whether an issuer is one of these URIs, or its https URL is at one of these hosts.
pub(crate) fn is_named(issuer: &str, uris: &[String], hosts: &[String]) -> bool {
    let host = https_host(issuer);
    let at = |name: &String| host.is_some_and(|host| name.eq_ignore_ascii_case(host));
    uris.iter().any(|uri| uri == issuer) || hosts.iter().any(at)
}

/// The host of an https URL as it is written; none where anything but a port stands beside it.
fn https_host(url: &str) -> Option<&str> {
    let authority = url
        .strip_prefix("https://")?
        .split(['/', '?', '#'])
        .next()?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.');
    let port = port.bytes().all(|c| c.is_ascii_digit());
    (port && !host.is_empty() && host.bytes().all(plain)).then_some(host)
}

fn unix_s(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any randomness will do")]
mod tests;
