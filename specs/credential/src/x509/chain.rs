//! Chains of certificates up to one that is trusted. Paths are webpki's.

use super::{Certificate, X509Error};
use crate::keys::{Algorithm, PublicKey};
use p256::ecdsa::DerSignature;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    TrustAnchor, UnixTime, alg_id,
};
use std::time::Duration;

/// The longest chain accepted, in certificates.
pub const MAX_CHAIN: usize = 6;

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
    // Of those in between it asks that they are authorities' only, and not that their keys sign certificates.
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .filter(|certificate| certificate.may_certify())
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
