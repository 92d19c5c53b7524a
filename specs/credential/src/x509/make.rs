//! Certificates made for organisations, and for the authorities that sign them.

use super::{Certificate, X509Error};
use crate::keys::{PublicKey, SigningKey};
use p256::ecdsa::DerSignature;
use p256::pkcs8::EncodePublicKey as _;
use rand_core::CryptoRng;
use std::time::Duration;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{GeneralizedTime, Ia5String};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

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
