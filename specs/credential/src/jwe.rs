//! Encrypted responses: compact JWE (RFC 7516 §7.1) with ECDH-ES in direct mode on P-256
//! (RFC 7518 §4.6) and AES-GCM, what HAIP 1.0 §5 asks of OpenID4VP and OpenID4VCI responses.
//!
//! Page: `jwe.md`. The plaintext is encrypted to one P-256 public key and is not authenticated:
//! whoever knows the key can make one. What is inside carries its own signatures.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use p256::elliptic_curve::ecdh::diffie_hellman;
use rand_core::CryptoRng;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::json;
use crate::jws::{decode, encode};
use crate::keys::{Algorithm, PublicKey, SigningKey};

/// The longest token accepted, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4 << 20;

const ALG: &str = "ECDH-ES";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// How the content is encrypted: the `enc` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// AES-GCM with a 128-bit key.
    A128Gcm,
    /// AES-GCM with a 256-bit key.
    A256Gcm,
}

impl Encryption {
    /// The name in the `enc` header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A128Gcm => "A128GCM",
            Self::A256Gcm => "A256GCM",
        }
    }

    /// The encryption with that name; `None` for every other name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "A128GCM" => Some(Self::A128Gcm),
            "A256GCM" => Some(Self::A256Gcm),
            _ => None,
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A256Gcm => 32,
        }
    }
}

/// Why a JWE is refused or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JweError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("longer than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    /// Not five base64url parts with a header, no encrypted key, 96-bit nonce and 128-bit tag.
    #[error("not a compact JWE")]
    Malformed,
    /// `alg` is not `ECDH-ES`.
    #[error("`alg` is `{0}`, not ECDH-ES")]
    Alg(String),
    /// `enc` is not A128GCM or A256GCM.
    #[error("`enc` is `{0}`, not A128GCM or A256GCM")]
    Enc(String),
    /// `crit` or `zip` asks for what is not done here: a compressed plaintext could expand
    /// without end.
    #[error("the header asks for `{0}`, which is not supported")]
    Unsupported(&'static str),
    /// `epk` is no P-256 public key, or `apu` or `apv` is not base64url.
    #[error("header member `{0}` is missing or wrong")]
    Header(&'static str),
    /// `kid` names another key than the one at hand.
    #[error("encrypted to key `{0}`, which is not ours")]
    OtherKey(String),
    /// The key to encrypt to, or to decrypt with, is not on P-256.
    #[error("the key is not on P-256")]
    NotP256,
    /// Authentication failed: altered, or for another key.
    #[error("does not decrypt: altered, or encrypted to another key")]
    Decryption,
}

impl JweError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "jwe_too_large",
            Self::Malformed => "jwe_malformed",
            Self::Alg(_) => "jwe_alg_unsupported",
            Self::Enc(_) => "jwe_enc_unsupported",
            Self::Unsupported(_) => "jwe_header_unsupported",
            Self::Header(_) => "jwe_header_invalid",
            Self::OtherKey(_) => "jwe_key_unknown",
            Self::NotP256 => "jwe_key_unsuitable",
            Self::Decryption => "jwe_decryption_failed",
        }
    }
}

/// Encrypts `plaintext` to `recipient` (P-256) under a fresh ephemeral key. `kid`, where given,
/// goes into the header, so that the recipient finds its key.
///
/// # Errors
/// [`JweError::NotP256`].
pub fn encrypt(
    plaintext: &[u8],
    recipient: &PublicKey,
    kid: Option<&str>,
    encryption: Encryption,
    rng: &mut impl CryptoRng,
) -> Result<String, JweError> {
    let ephemeral = SigningKey::generate(Algorithm::Es256, rng);
    let mut header = Map::new();
    header.insert("alg".into(), ALG.into());
    header.insert("enc".into(), encryption.name().into());
    header.insert("epk".into(), ephemeral.public_key().to_jwk());
    if let Some(kid) = kid {
        header.insert("kid".into(), kid.into());
    }
    let header = serde_json::to_vec(&header).expect("a JSON object with string keys serialises");
    let header = encode(&header);
    let key = content_key(&ephemeral, recipient, encryption, b"", b"")?;
    let mut nonce = [0u8; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let sealed = seal(encryption, &key, &nonce, header.as_bytes(), plaintext);
    let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
    Ok(format!(
        "{header}..{}.{}.{}",
        encode(&nonce),
        encode(ciphertext),
        encode(tag)
    ))
}

/// A JWE that nobody has decrypted yet.
#[derive(Debug, Clone)]
pub struct Jwe {
    header: Map<String, Value>,
    encryption: Encryption,
    ephemeral: PublicKey,
    apu: Vec<u8>,
    apv: Vec<u8>,
    aad: String,
    nonce: [u8; NONCE_BYTES],
    sealed: Vec<u8>,
}

impl Jwe {
    /// Reads a compact JWE.
    ///
    /// # Errors
    /// [`JweError`], all but [`JweError::OtherKey`], [`JweError::NotP256`] and
    /// [`JweError::Decryption`].
    pub fn parse(token: &str) -> Result<Self, JweError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JweError::TooLarge);
        }
        let bytes = |part: &str| decode(part).map_err(|_| JweError::Malformed);
        let parts: Vec<&str> = token.splitn(6, '.').collect();
        let [aad, "", nonce, ciphertext, tag] = parts[..] else {
            return Err(JweError::Malformed);
        };
        let header = json::parse_object(&bytes(aad)?).map_err(|_| JweError::Malformed)?;
        let text = |name| header.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("alg") != ALG {
            return Err(JweError::Alg(text("alg").to_owned()));
        }
        let encryption = Encryption::from_name(text("enc"))
            .ok_or_else(|| JweError::Enc(text("enc").to_owned()))?;
        if let Some(name) = ["crit", "zip"]
            .into_iter()
            .find(|name| header.contains_key(*name))
        {
            return Err(JweError::Unsupported(name));
        }
        let ephemeral = header
            .get("epk")
            .and_then(|jwk| PublicKey::from_jwk(jwk).ok())
            .filter(|key| key.algorithm() == Algorithm::Es256)
            .ok_or(JweError::Header("epk"))?;
        let party = |name: &'static str| match header.get(name) {
            None => Ok(Vec::new()),
            Some(value) => value
                .as_str()
                .and_then(|text| decode(text).ok())
                .ok_or(JweError::Header(name)),
        };
        let (apu, apv) = (party("apu")?, party("apv")?);
        let tag = bytes(tag)?;
        if tag.len() != TAG_BYTES {
            return Err(JweError::Malformed);
        }
        let mut sealed = bytes(ciphertext)?;
        sealed.extend_from_slice(&tag);
        Ok(Self {
            encryption,
            ephemeral,
            apu,
            apv,
            aad: aad.to_owned(),
            nonce: bytes(nonce)?.try_into().map_err(|_| JweError::Malformed)?,
            sealed,
            header,
        })
    }

    /// The protected header.
    #[must_use]
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// `kid`, where it is there: which of the recipient's keys this is for.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// How the content is encrypted.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// Decrypts with `key`, whose published id is `kid` (checked where the token names one).
    ///
    /// # Errors
    /// [`JweError::OtherKey`], [`JweError::NotP256`], [`JweError::Decryption`].
    pub fn decrypt(&self, key: &SigningKey, kid: &str) -> Result<Zeroizing<Vec<u8>>, JweError> {
        if let Some(named) = self.key_id().filter(|named| *named != kid) {
            return Err(JweError::OtherKey(named.to_owned()));
        }
        let content_key = content_key(key, &self.ephemeral, self.encryption, &self.apu, &self.apv)?;
        let payload = Payload {
            msg: &self.sealed,
            aad: self.aad.as_bytes(),
        };
        let opened = match self.encryption {
            Encryption::A128Gcm => Aes128Gcm::new_from_slice(&content_key)
                .expect("the key has 16 bytes")
                .decrypt(&self.nonce.into(), payload),
            Encryption::A256Gcm => Aes256Gcm::new_from_slice(&content_key)
                .expect("the key has 32 bytes")
                .decrypt(&self.nonce.into(), payload),
        };
        opened.map(Zeroizing::new).map_err(|_| JweError::Decryption)
    }
}

fn seal(
    encryption: Encryption,
    key: &[u8],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    msg: &[u8],
) -> Vec<u8> {
    let payload = Payload { msg, aad };
    match encryption {
        Encryption::A128Gcm => Aes128Gcm::new_from_slice(key)
            .expect("the key has 16 bytes")
            .encrypt(nonce.into(), payload),
        Encryption::A256Gcm => Aes256Gcm::new_from_slice(key)
            .expect("the key has 32 bytes")
            .encrypt(nonce.into(), payload),
    }
    .expect("AES-GCM seals everything shorter than 64 GiB")
}

/// Concat KDF (NIST SP 800-56A, RFC 7518 §4.6.2), one round of SHA-256: enough for 256 bits.
fn content_key(
    ours: &SigningKey,
    theirs: &PublicKey,
    encryption: Encryption,
    apu: &[u8],
    apv: &[u8],
) -> Result<Zeroizing<Vec<u8>>, JweError> {
    let ours = ours.p256().ok_or(JweError::NotP256)?;
    let theirs = theirs.p256().ok_or(JweError::NotP256)?;
    let shared = diffie_hellman(ours.as_nonzero_scalar(), theirs.as_affine());
    let mut hash = Sha256::new();
    hash.update(1u32.to_be_bytes());
    hash.update(shared.raw_secret_bytes());
    for part in [encryption.name().as_bytes(), apu, apv] {
        let length = u32::try_from(part.len()).map_err(|_| JweError::TooLarge)?;
        hash.update(length.to_be_bytes());
        hash.update(part);
    }
    let bits = u32::try_from(encryption.key_bytes() * 8).expect("at most 256");
    hash.update(bits.to_be_bytes());
    let mut key = Zeroizing::new(hash.finalize().to_vec());
    key.truncate(encryption.key_bytes());
    Ok(key)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any randomness will do")]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(jwk: &Value) -> SigningKey {
        let d = decode(jwk["d"].as_str().unwrap()).unwrap();
        SigningKey::from_bytes(Algorithm::Es256, &d.try_into().unwrap()).unwrap()
    }

    #[test]
    fn rfc_7518_appendix_c() {
        let alice = key(&json!({"d": "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo"}));
        let bob = key(&json!({"d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}));
        let derived = content_key(
            &alice,
            &bob.public_key(),
            Encryption::A128Gcm,
            b"Alice",
            b"Bob",
        )
        .unwrap();
        assert_eq!(encode(&derived), "VqqN6vgjbSBcIijNcacQGg");
    }

    #[test]
    fn what_is_encrypted_comes_back_and_nothing_altered_does() {
        let mut rng = rand::rng();
        let recipient = SigningKey::generate(Algorithm::Es256, &mut rng);
        for encryption in [Encryption::A128Gcm, Encryption::A256Gcm] {
            let token = encrypt(
                b"{\"vp_token\":{}}",
                &recipient.public_key(),
                Some("k1"),
                encryption,
                &mut rng,
            )
            .unwrap();
            let jwe = Jwe::parse(&token).unwrap();
            assert_eq!(
                jwe.decrypt(&recipient, "k1").unwrap().as_slice(),
                b"{\"vp_token\":{}}"
            );
            assert_eq!(
                jwe.decrypt(&recipient, "k2").unwrap_err().code(),
                "jwe_key_unknown"
            );
            let stranger = SigningKey::generate(Algorithm::Es256, &mut rng);
            assert_eq!(
                jwe.decrypt(&stranger, "k1").unwrap_err().code(),
                "jwe_decryption_failed"
            );
            let header = token.split('.').next().unwrap().len();
            for at in (header + 2)..token.len() {
                let mut altered = token.clone().into_bytes();
                altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
                let altered = String::from_utf8(altered).unwrap();
                let result = Jwe::parse(&altered).and_then(|jwe| jwe.decrypt(&recipient, "k1"));
                assert!(result.is_err(), "byte {at} altered and still opened");
            }
        }
    }

    #[test]
    fn bad_headers_are_named() {
        let epk = SigningKey::generate(Algorithm::Es256, &mut rand::rng())
            .public_key()
            .to_jwk();
        let okp = SigningKey::generate(Algorithm::EdDsa, &mut rand::rng())
            .public_key()
            .to_jwk();
        let tag = encode(&[0; 16]);
        let nonce = encode(&[0; 12]);
        for (header, code) in [
            (
                json!({"alg": "RSA-OAEP", "enc": "A128GCM", "epk": epk}),
                "jwe_alg_unsupported",
            ),
            (json!({"alg": "none"}), "jwe_alg_unsupported"),
            (
                json!({"alg": "ECDH-ES", "enc": "A128CBC-HS256", "epk": epk}),
                "jwe_enc_unsupported",
            ),
            (
                json!({"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF", "epk": epk}),
                "jwe_header_unsupported",
            ),
            (
                json!({"alg": "ECDH-ES", "enc": "A128GCM", "crit": ["x"], "epk": epk}),
                "jwe_header_unsupported",
            ),
            (
                json!({"alg": "ECDH-ES", "enc": "A128GCM"}),
                "jwe_header_invalid",
            ),
            (
                json!({"alg": "ECDH-ES", "enc": "A128GCM", "epk": okp}),
                "jwe_header_invalid",
            ),
            (
                json!({"alg": "ECDH-ES", "enc": "A128GCM", "epk": epk, "apu": 1}),
                "jwe_header_invalid",
            ),
        ] {
            let token = format!(
                "{}..{nonce}.AA.{tag}",
                encode(header.to_string().as_bytes())
            );
            assert_eq!(Jwe::parse(&token).unwrap_err().code(), code, "{header}");
        }
        for token in ["", "a.b", "....", "a..b.c.d.e", "e30..AA.AA.AA"] {
            assert!(Jwe::parse(token).is_err());
        }
        let long = "A".repeat(MAX_TOKEN_BYTES + 1);
        assert_eq!(Jwe::parse(&long).unwrap_err().code(), "jwe_too_large");
    }
}
