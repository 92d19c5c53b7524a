//! Multikey (W3C Controlled Identifiers 1.0 §2.2.2): a public key in multicodec, in multibase base58btc.

use super::DidError;
use crate::keys::{Algorithm, PublicKey};

/// `ed25519-pub` (0xed) as a varint.
const ED25519: [u8; 2] = [0xed, 0x01];
/// `p256-pub` (0x1200) as a varint.
const P256: [u8; 2] = [0x80, 0x24];
/// Longest multibase text that is decoded, in bytes: base58 takes quadratic time.
const TEXT_MAX: usize = 128;

/// The key in a `publicKeyMultibase`, such as `z6Mk…` (Ed25519) or `zDn…` (P-256, compressed).
///
/// # Errors
/// [`DidError::Key`] for another base, another codec, another length, or no point on the curve.
pub fn from_multikey(text: &str) -> Result<PublicKey, DidError> {
    let bytes = from_base58btc(text).ok_or(DidError::Key)?;
    let (codec, point) = bytes.split_at_checked(2).ok_or(DidError::Key)?;
    let (algorithm, len) = match [codec[0], codec[1]] {
        ED25519 => (Algorithm::EdDsa, 32),
        P256 => (Algorithm::Es256, 33),
        _ => return Err(DidError::Key),
    };
    if point.len() != len {
        return Err(DidError::Key);
    }
    PublicKey::from_bytes(algorithm, point).map_err(|_| DidError::Key)
}

/// A key as `publicKeyMultibase`.
#[must_use]
pub fn to_multikey(key: &PublicKey) -> String {
    let codec = match key.algorithm() {
        Algorithm::EdDsa => ED25519,
        Algorithm::Es256 => P256,
    };
    to_base58btc(&[codec.as_slice(), &key.to_bytes()].concat())
}

/// Multibase base58btc, `z…`, of at most 128 characters.
pub(crate) fn from_base58btc(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('z').filter(|_| text.len() <= TEXT_MAX)?;
    bs58::decode(digits).into_vec().ok()
}

/// Multibase base58btc.
pub(crate) fn to_base58btc(bytes: &[u8]) -> String {
    format!("z{}", bs58::encode(bytes).into_string())
}
