//! What the tests of this crate share: fixed keys, a fixed source of bytes, a forger.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tegata_credential::keys::{Algorithm, SigningKey};

/// SHA-256 in counter mode: the same bytes on every machine and in every version.
pub struct FixedBytes(pub u64);

impl rand_core::TryRng for FixedBytes {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            chunk.copy_from_slice(&Sha256::digest(self.0.to_be_bytes())[..chunk.len()]);
            self.0 += 1;
        }
        Ok(())
    }
}
impl rand_core::TryCryptoRng for FixedBytes {}

pub fn key(algorithm: Algorithm, fill: u8) -> SigningKey {
    SigningKey::from_bytes(algorithm, &[fill; 32]).unwrap()
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A JWS over exactly these texts, correctly signed whatever they say.
pub fn jws(header: &str, payload: &str, key: &SigningKey) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", b64(signature))
}

pub fn disclosure(value: Value) -> (String, String) {
    let encoded = b64(value.to_string());
    let digest = b64(Sha256::digest(&encoded));
    (encoded, digest)
}

pub fn header(key: &SigningKey) -> Value {
    json!({ "alg": key.algorithm().name(), "typ": "dc+sd-jwt" })
}

/// The payload of the issuer-signed JWT of a credential.
pub fn payload_of(sd_jwt: &str) -> Value {
    let middle = sd_jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&unb64(middle)).unwrap()
}
