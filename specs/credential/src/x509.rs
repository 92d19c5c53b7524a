//! X.509 certificates of organisations (RFC 5280): what `x5c`, `x509_hash` and the trust lists of
//! offline QR codes rest on.
//!
//! Reading is x509-cert's, chains are webpki's; here is only what joins them to our keys. Page:
//! `x509.md`. Keys are P-256 (ECDSA with SHA-256) and Ed25519 (RFC 8410); authorities sign with
//! P-256. Revocation lists are not read: what an organisation may sign is the registry's to say.

use std::time::Duration;

use p256::ecdsa::DerSignature;
use p256::pkcs8::EncodePublicKey as _;
use rand_core::CryptoRng;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    TrustAnchor, UnixTime, alg_id,
};
use sha2::{Digest as _, Sha256};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{GeneralizedTime, Ia5String};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode as _, DecodePem as _, Encode as _, EncodePem as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use crate::keys::{Algorithm, PublicKey, SigningKey};
use crate::rfc3339::write_time;

/// The longest certificate accepted, DER, in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 16 << 10;
/// The longest chain accepted, in certificates.
pub const MAX_CHAIN: usize = 6;

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

/// Verifies `chain` (leaf first, as in `x5c`) up to one of `anchors` at Unix second `at`, and
/// returns the leaf. A leaf that is itself an anchor is trusted without a path.
///
/// # Errors
/// [`X509Error::Empty`], [`X509Error::TooLarge`], [`X509Error::OutsideValidity`] (of the leaf),
/// [`X509Error::KeyUsage`], [`X509Error::Untrusted`].
pub fn verify_chain<'a>(
    chain: &'a [Certificate],
    anchors: &[Certificate],
    at: i64,
) -> Result<&'a Certificate, X509Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(X509Error::Empty)?;
    if chain.len() > MAX_CHAIN {
        return Err(X509Error::TooLarge);
    }
    leaf.check_valid_at(at)?;
    if !leaf.may_sign() {
        return Err(X509Error::KeyUsage);
    }
    if anchors.iter().any(|anchor| anchor.der == leaf.der) {
        return Ok(leaf);
    }
    // webpki takes an anchor as it is: that it is valid, and an authority's, is seen here.
    let current: Vec<CertificateDer<'_>> = anchors
        .iter()
        .filter(|anchor| anchor.check_valid_at(at).is_ok() && anchor.may_certify())
        .map(|anchor| CertificateDer::from(anchor.der.as_slice()))
        .collect();
    let anchors: Vec<TrustAnchor<'_>> = current
        .iter()
        .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok())
        .collect();
    let leaf_der = CertificateDer::from(leaf.der.as_slice());
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der.as_slice()))
        .collect();
    let untrusted = |error: webpki::Error| X509Error::Untrusted(error.to_string());
    let at = Duration::from_secs(u64::try_from(at).map_err(|_| X509Error::Time)?);
    webpki::EndEntityCert::try_from(&leaf_der)
        .map_err(untrusted)?
        .verify_for_usage(
            &[&Es256, &EdDsa],
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(at),
            AnyUsage,
            None,
            None,
        )
        .map_err(untrusted)?;
    Ok(leaf)
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

/// Credentials have no extended key usage of their own that everybody agrees on: any is taken.
struct AnyUsage;

impl webpki::ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

#[derive(Debug)]
struct Es256;

impl SignatureVerificationAlgorithm for Es256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        use p256::ecdsa::signature::Verifier as _;
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key);
        let key = key.map_err(|_| InvalidSignature)?;
        let signature = DerSignature::from_bytes(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

#[derive(Debug)]
struct EdDsa;

impl SignatureVerificationAlgorithm for EdDsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = PublicKey::from_bytes(Algorithm::EdDsa, public_key);
        let signature: &[u8; 64] = signature.try_into().map_err(|_| InvalidSignature)?;
        key.and_then(|key| key.verify(message, signature))
            .map_err(|_| InvalidSignature)
    }
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Common name.
    pub common_name: &'a str,
    /// Organisation.
    pub organisation: &'a str,
    /// ISO 3166-1 alpha-2 country.
    pub country: &'a str,
    /// dNSName entries of the subject alternative name.
    pub dns_names: &'a [&'a str],
    /// uniformResourceIdentifier entries of the subject alternative name.
    pub uris: &'a [&'a str],
}

/// Makes a self-signed certificate for an authority that signs others' certificates.
///
/// # Errors
/// [`X509Error::AuthorityKey`] for a key that is not on P-256, [`X509Error::Name`],
/// [`X509Error::Time`].
pub fn issue_authority(
    subject: &Subject<'_>,
    key: &SigningKey,
    valid_s: std::ops::RangeInclusive<i64>,
    rng: &mut impl CryptoRng,
) -> Result<Certificate, X509Error> {
    let profile = Profile {
        subject: name(subject)?,
        issuer: None,
        alternative_names: alternative_names(subject)?,
        authority: true,
    };
    build(profile, &key.public_key(), key, valid_s, rng)
}

/// Makes a certificate for `key`, signed by an authority.
///
/// # Errors
/// [`X509Error::AuthorityKey`] for an authority's key that is not on P-256 or not in its
/// certificate, [`X509Error::Name`], [`X509Error::Time`].
pub fn issue(
    subject: &Subject<'_>,
    key: &PublicKey,
    authority: &Certificate,
    authority_key: &SigningKey,
    valid_s: std::ops::RangeInclusive<i64>,
    rng: &mut impl CryptoRng,
) -> Result<Certificate, X509Error> {
    if authority.public_key().ok() != Some(authority_key.public_key()) {
        return Err(X509Error::AuthorityKey);
    }
    let profile = Profile {
        subject: name(subject)?,
        issuer: Some(authority.inner.tbs_certificate().subject().clone()),
        alternative_names: alternative_names(subject)?,
        authority: false,
    };
    build(profile, key, authority_key, valid_s, rng)
}

fn build(
    profile: Profile,
    key: &PublicKey,
    authority_key: &SigningKey,
    valid_s: std::ops::RangeInclusive<i64>,
    rng: &mut impl CryptoRng,
) -> Result<Certificate, X509Error> {
    let signer = authority_key.p256().ok_or(X509Error::AuthorityKey)?;
    let mut serial = [0u8; 16];
    rng.fill_bytes(&mut serial);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    let serial = SerialNumber::new(&serial).expect("16 bytes, positive");
    let validity = Validity::new(time(*valid_s.start())?, time(*valid_s.end())?);
    let info = public_key_info(key);
    let made = CertificateBuilder::new(profile, serial, validity, info)
        .and_then(|builder| builder.build::<_, DerSignature>(signer))
        .map_err(|error| X509Error::Name(error.to_string()))?;
    Certificate::from_der(&made.to_der()?)
}

fn public_key_info(key: &PublicKey) -> SubjectPublicKeyInfoOwned {
    let der = match key.p256() {
        Some(key) => key
            .to_public_key_der()
            .expect("a P-256 key has a DER form")
            .into_vec(),
        // RFC 8410 §4: SEQUENCE { SEQUENCE { 1.3.101.112 } BIT STRING of 32 octets }.
        None => {
            let mut der = vec![
                0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0,
            ];
            der.extend_from_slice(&key.to_bytes());
            der
        }
    };
    SubjectPublicKeyInfoOwned::from_der(&der).expect("the DER of a public key")
}

struct Profile {
    subject: Name,
    issuer: Option<Name>,
    alternative_names: Vec<GeneralName>,
    authority: bool,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, subject: &Name) -> Name {
        self.issuer.clone().unwrap_or_else(|| subject.clone())
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        subject_key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let usage = if self.authority {
            KeyUsages::KeyCertSign | KeyUsages::CRLSign
        } else {
            KeyUsages::DigitalSignature.into()
        };
        let constraints = BasicConstraints {
            ca: self.authority,
            path_len_constraint: None,
        };
        let mut all: Vec<Extension> = Vec::new();
        all.push(SubjectKeyIdentifier::try_from(subject_key)?.to_extension(tbs.subject(), &all)?);
        all.push(AuthorityKeyIdentifier::try_from(issuer_key)?.to_extension(tbs.subject(), &all)?);
        all.push(KeyUsage(usage).to_extension(tbs.subject(), &all)?);
        if self.authority {
            all.push(constraints.to_extension(tbs.subject(), &all)?);
        }
        if !self.alternative_names.is_empty() {
            let names = SubjectAltName(self.alternative_names.clone());
            all.push(names.to_extension(tbs.subject(), &all)?);
        }
        Ok(all)
    }
}

fn name(subject: &Subject<'_>) -> Result<Name, X509Error> {
    let escape = |text: &str| -> String {
        // RFC 4514 §2.4: everything special by its hexadecimal pair.
        text.chars()
            .map(|c| match c {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '#' | '=' | ' ' => {
                    format!("\\{:02x}", u32::from(c))
                }
                c => c.to_string(),
            })
            .collect()
    };
    let text = format!(
        "CN={},O={},C={}",
        escape(subject.common_name),
        escape(subject.organisation),
        escape(subject.country)
    );
    text.parse().map_err(|_| X509Error::Name(text))
}

fn alternative_names(subject: &Subject<'_>) -> Result<Vec<GeneralName>, X509Error> {
    let text = |text: &str| Ia5String::new(text).map_err(|_| X509Error::Name(text.to_owned()));
    let dns = subject.dns_names.iter();
    let dns = dns.map(|name| Ok(GeneralName::DnsName(text(name)?)));
    let uris = subject.uris.iter();
    let uris = uris.map(|uri| Ok(GeneralName::UniformResourceIdentifier(text(uri)?)));
    dns.chain(uris).collect()
}

fn time(unix_s: i64) -> Result<Time, X509Error> {
    let since = Duration::from_secs(u64::try_from(unix_s).map_err(|_| X509Error::Time)?);
    let time = GeneralizedTime::from_unix_duration(since).map_err(|_| X509Error::Time)?;
    Ok(Time::GeneralTime(time))
}

fn unix_s(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any randomness will do")]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;
    const AT: i64 = 1_760_000_000;

    fn subject<'a>(common_name: &'a str, dns_names: &'a [&'a str]) -> Subject<'a> {
        Subject {
            common_name,
            organisation: "Sakura City, East + West",
            country: "JP",
            dns_names,
            uris: &["https://sakura.example"],
        }
    }

    struct World {
        authority: Certificate,
        authority_key: SigningKey,
        leaf: Certificate,
        leaf_key: SigningKey,
    }

    fn world(algorithm: Algorithm) -> World {
        let mut rng = rand::rng();
        let authority_key = SigningKey::generate(Algorithm::Es256, &mut rng);
        let leaf_key = SigningKey::generate(algorithm, &mut rng);
        let valid = AT - DAY_S..=AT + 365 * DAY_S;
        let authority = issue_authority(
            &subject("Authority", &[]),
            &authority_key,
            valid.clone(),
            &mut rng,
        )
        .unwrap();
        let leaf = issue(
            &subject("さくら診療所", &["sakura.example"]),
            &leaf_key.public_key(),
            &authority,
            &authority_key,
            valid,
            &mut rng,
        )
        .unwrap();
        World {
            authority,
            authority_key,
            leaf,
            leaf_key,
        }
    }

    #[test]
    fn a_chain_holds_up_to_its_anchor() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let w = world(algorithm);
            let leaf = Certificate::from_pem(&w.leaf.to_pem()).unwrap();
            assert_eq!(leaf, Certificate::from_base64(&w.leaf.to_base64()).unwrap());
            assert_eq!(leaf.public_key().unwrap(), w.leaf_key.public_key());
            assert_eq!(leaf.dns_names(), ["sakura.example"]);
            assert_eq!(leaf.uris(), ["https://sakura.example"]);
            let chain = [leaf];
            verify_chain(&chain, std::slice::from_ref(&w.authority), AT).unwrap();
            verify_chain(&chain, &chain, AT).unwrap();
        }
    }

    #[test]
    fn a_chain_that_does_not_hold_is_named() {
        let w = world(Algorithm::Es256);
        let other = world(Algorithm::Es256);
        let chain = std::slice::from_ref(&w.leaf);
        let anchors = std::slice::from_ref(&w.authority);
        let code = |chain: &[Certificate], anchors: &[Certificate], at| {
            verify_chain(chain, anchors, at).unwrap_err().code()
        };
        assert_eq!(code(&[], anchors, AT), "x509_chain_empty");
        assert_eq!(code(chain, &[], AT), "x509_untrusted");
        let others = std::slice::from_ref(&other.authority);
        assert_eq!(code(chain, others, AT), "x509_untrusted");
        assert_eq!(
            code(chain, anchors, AT - 2 * DAY_S),
            "x509_outside_validity"
        );
        assert_eq!(
            code(chain, anchors, AT + 366 * DAY_S),
            "x509_outside_validity"
        );
        // An authority's certificate signs certificates, not credentials.
        assert_eq!(code(anchors, anchors, AT), "x509_key_usage");
        // A leaf signs no certificates.
        let mut rng = rand::rng();
        let valid = AT - DAY_S..=AT + DAY_S;
        let forged_key = SigningKey::generate(Algorithm::Es256, &mut rng);
        let forged = issue(
            &subject("Forged", &[]),
            &forged_key.public_key(),
            &w.leaf,
            &w.leaf_key,
            valid,
            &mut rng,
        )
        .unwrap();
        assert_eq!(
            code(&[forged, w.leaf.clone()], anchors, AT),
            "x509_untrusted"
        );
        // One altered byte of the signed part.
        let mut der = w.leaf.der().to_vec();
        let place = der.windows(6).position(|w| w == b"sakura").unwrap();
        der[place] = b'S';
        let altered = Certificate::from_der(&der).unwrap();
        assert_eq!(code(&[altered], anchors, AT), "x509_untrusted");
        let wrong_key = issue(
            &subject("x", &[]),
            &forged_key.public_key(),
            &w.authority,
            &forged_key,
            AT..=AT,
            &mut rng,
        );
        assert_eq!(wrong_key.unwrap_err().code(), "x509_authority_key");
        assert_ne!(w.authority_key.key_id(), w.leaf_key.key_id());
    }

    /// Whoever is trusted to sign is not trusted to say who others are.
    #[test]
    fn only_an_authority_anchors() {
        let w = world(Algorithm::Es256);
        let mut rng = rand::rng();
        let forged = issue(
            &subject("Forged", &[]),
            &SigningKey::generate(Algorithm::Es256, &mut rng).public_key(),
            &w.leaf,
            &w.leaf_key,
            AT - DAY_S..=AT + DAY_S,
            &mut rng,
        )
        .unwrap();
        let error = verify_chain(&[forged], std::slice::from_ref(&w.leaf), AT).unwrap_err();
        assert_eq!(error.code(), "x509_untrusted");
    }

    #[test]
    fn a_certificate_names_its_uri_and_its_host() {
        let leaf = world(Algorithm::Es256).leaf;
        let mut rng = rand::rng();
        let key = SigningKey::generate(Algorithm::Es256, &mut rng);
        let host = issue_authority(
            &Subject {
                uris: &[],
                ..subject("Host", &["sakura.example"])
            },
            &key,
            AT..=AT,
            &mut rng,
        )
        .unwrap();
        assert!(leaf.names("https://sakura.example"));
        for named in [
            "https://sakura.example",
            "https://Sakura.example:8443/shc",
            "https://sakura.example/a:b@c",
        ] {
            assert!(host.names(named), "{named}");
        }
        for other in [
            "https://sakura.example:x@evil.example/",
            "https://sakura.example@evil.example",
            "https://evil.example/sakura.example",
            "https://sakura.example.evil.example",
            "http://sakura.example",
            "https://",
            "did:web:sakura.example",
        ] {
            assert!(!host.names(other), "{other}");
        }
    }

    #[test]
    fn an_anchor_that_is_over_anchors_nothing() {
        let mut rng = rand::rng();
        let key = SigningKey::generate(Algorithm::Es256, &mut rng);
        let short = AT - 2 * DAY_S..=AT - DAY_S;
        let authority = issue_authority(&subject("Old", &[]), &key, short, &mut rng).unwrap();
        let long = AT - 2 * DAY_S..=AT + DAY_S;
        let leaf = issue(
            &subject("Leaf", &[]),
            &SigningKey::generate(Algorithm::Es256, &mut rng).public_key(),
            &authority,
            &key,
            long,
            &mut rng,
        )
        .unwrap();
        let error = verify_chain(&[leaf], &[authority], AT).unwrap_err();
        assert_eq!(error.code(), "x509_untrusted");
    }

    #[test]
    fn bad_input_is_an_error() {
        for bytes in [&b""[..], b"\x30", &[0x30; 100], &[0xff; 20_000]] {
            assert!(Certificate::from_der(bytes).is_err());
        }
        assert!(Certificate::from_base64("!").is_err());
        assert!(Certificate::all_from_pem("-----BEGIN CERTIFICATE-----\nAA").is_err());
        assert!(
            Certificate::all_from_pem("nothing here")
                .unwrap()
                .is_empty()
        );
    }
}
