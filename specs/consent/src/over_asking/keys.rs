//! Credential keys of the registry as a request object names them, and what they verify.

use crate::cose::verify_strict;
use crate::ids::PublicKey;
use crate::organisation::KeyUse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier;

/// The uncompressed point of a P-256 key, as SEC1 has it.
fn point(key: &[u8]) -> Option<Vec<u8>> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    Some(key.to_sec1_point(false).as_bytes().to_vec())
}

/// The public JWK with the required members alone, ordered: what its thumbprint is over (RFC 7638).
pub(super) fn jwk(key_use: KeyUse, key: &[u8]) -> Option<String> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if key_use == KeyUse::CredentialEdDsa {
        let x = encode(key);
        return Some(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    }
    let point = point(key)?;
    let (x, y) = (encode(point.get(1..33)?), encode(point.get(33..)?));
    Some(format!(
        r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#
    ))
}

/// `SubjectPublicKeyInfo` in DER, as certificates for a key have it (RFC 5480, RFC 8410).
pub(super) fn subject_public_key(key_use: KeyUse, key: &[u8]) -> Option<Vec<u8>> {
    if key_use == KeyUse::CredentialEdDsa {
        return Some(
            [
                b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(),
                key,
            ]
            .concat(),
        );
    }
    let head = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    Some([head.as_slice(), &point(key)?].concat())
}

pub(super) fn verifies(key_use: KeyUse, key: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
    if key_use == KeyUse::CredentialEdDsa {
        return PublicKey::try_from(key)
            .is_ok_and(|key| verify_strict(&key, message, signature).is_ok());
    }
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key);
    let signature = p256::ecdsa::Signature::from_slice(signature);
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
}
