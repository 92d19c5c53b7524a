//! Keys that sign credentials and presentations: Ed25519 (`EdDSA`, RFC 8037) and P-256
//! (`ES256`, RFC 7518 §3.4).
//!
//! Ed25519 signatures are verified strictly (no small-order points, canonical `S`), the one rule
//! used everywhere in the project. For P-256, `S` in either half is accepted, as JWS demands.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use rand_core::CryptoRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::jws;

/// A JWS algorithm that we sign and verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519, named `EdDSA` in JOSE.
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in the `alg` header: `EdDSA` or `ES256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm with that `alg` name; `None` for every other name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Why a key or a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is not a scalar of P-256 (zero, or not below the order).
    #[error("the secret is not a valid P-256 scalar")]
    InvalidSecret,
    /// A file that is no secret key we can sign with: what it is, and what to do.
    #[error("{0}")]
    File(&'static str),
    /// The bytes are no point on the curve, or a point that verifies nothing safely.
    #[error("not a valid {} public key", .0.name())]
    InvalidPoint(Algorithm),
    /// A JWK member is missing or wrong.
    #[error("JWK member `{0}` is missing or wrong")]
    Jwk(&'static str),
    /// A JWK that should be public carries its private part.
    #[error("the JWK holds a private key")]
    PrivateJwk,
    /// Not an RSA key of 2048 to 4096 bits.
    #[error("not an RSA public key of 2048 to 4096 bits")]
    Rsa,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

impl KeyError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidSecret => "key_secret_invalid",
            Self::File(_) => "key_file_invalid",
            Self::InvalidPoint(_) => "key_point_invalid",
            Self::Jwk(_) => "jwk_invalid",
            Self::PrivateJwk => "jwk_private",
            Self::Rsa => "rsa_key_invalid",
            Self::Signature => "signature_invalid",
        }
    }
}

/// A secret key. Wiped from memory when dropped; its `Debug` shows the public id only.
#[derive(Clone)]
pub struct SigningKey(Secret);

#[derive(Clone)]
enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

impl SigningKey {
    /// The key whose 32 raw secret bytes are `secret`: an Ed25519 seed (RFC 8032), or a P-256
    /// scalar, big-endian.
    ///
    /// # Errors
    /// [`KeyError::InvalidSecret`] for 32 bytes that are no P-256 scalar.
    pub fn from_bytes(algorithm: Algorithm, secret: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self(match algorithm {
            Algorithm::EdDsa => {
                Secret::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(secret)))
            }
            Algorithm::Es256 => Secret::P256(Box::new(
                p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| KeyError::InvalidSecret)?,
            )),
        }))
    }

    /// A fresh key from `rng`.
    pub fn generate(algorithm: Algorithm, rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0u8; 32]);
        loop {
            rng.fill_bytes(&mut *secret);
            // 32 random bytes miss the P-256 scalars with probability 2^-32.
            if let Ok(key) = Self::from_bytes(algorithm, &secret) {
                return key;
            }
        }
    }

    /// The 32 raw secret bytes, as [`SigningKey::from_bytes`] takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        match &self.0 {
            Secret::Ed25519(key) => Zeroizing::new(key.to_bytes()),
            Secret::P256(key) => Zeroizing::new(key.to_bytes().into()),
        }
    }

    /// The P-256 key, for what only it can do: certificates and key agreement.
    pub(crate) fn p256(&self) -> Option<&p256::ecdsa::SigningKey> {
        match &self.0 {
            Secret::Ed25519(_) => None,
            Secret::P256(key) => Some(key),
        }
    }

    /// What this key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Secret::Ed25519(_) => Algorithm::EdDsa,
            Secret::P256(_) => Algorithm::Es256,
        }
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Secret::Ed25519(key) => Point::Ed25519(key.verifying_key()),
            Secret::P256(key) => Point::P256(*key.verifying_key()),
        })
    }

    /// The id of the public half; see [`PublicKey::key_id`].
    #[must_use]
    pub fn key_id(&self) -> String {
        self.public_key().key_id()
    }

    /// Signs `message`: 64 octets, `R ‖ S` (RFC 8032) or `r ‖ s` (RFC 7518 §3.4). Both are
    /// deterministic (for ES256: RFC 6979), so no randomness is asked for.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        match &self.0 {
            Secret::Ed25519(key) => ed25519_dalek::Signer::sign(key.as_ref(), message).to_bytes(),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SigningKey({} {})",
            self.algorithm().name(),
            self.key_id()
        )
    }
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Point);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Point {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// The key with that raw encoding: 32 octets for Ed25519; SEC1, compressed or not (33 or 65
    /// octets), for P-256.
    ///
    /// # Errors
    /// [`KeyError::InvalidPoint`], also for Ed25519 points of small order.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let invalid = || KeyError::InvalidPoint(algorithm);
        Ok(Self(match algorithm {
            Algorithm::EdDsa => {
                let bytes: &[u8; 32] = bytes.try_into().map_err(|_| invalid())?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| invalid())?;
                if key.is_weak() {
                    return Err(invalid());
                }
                Point::Ed25519(key)
            }
            Algorithm::Es256 => Point::P256(
                p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map_err(|_| invalid())?,
            ),
        }))
    }

    /// The raw encoding: 32 octets, or 33 (SEC1 compressed) for P-256.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Point::Ed25519(key) => key.to_bytes().to_vec(),
            Point::P256(key) => key.to_sec1_point(true).as_bytes().to_vec(),
        }
    }

    /// The P-256 key, for what only it can do: certificates and key agreement.
    pub(crate) fn p256(&self) -> Option<&p256::ecdsa::VerifyingKey> {
        match &self.0 {
            Point::Ed25519(_) => None,
            Point::P256(key) => Some(key),
        }
    }

    /// What this key verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Point::Ed25519(_) => Algorithm::EdDsa,
            Point::P256(_) => Algorithm::Es256,
        }
    }

    /// The key in a public JWK: `{"kty":"OKP","crv":"Ed25519","x"}` (RFC 8037) or
    /// `{"kty":"EC","crv":"P-256","x","y"}` (RFC 7518 §6.2). Other members are ignored.
    ///
    /// # Errors
    /// [`KeyError::PrivateJwk`] when `d` is there, [`KeyError::Jwk`] naming the wrong member,
    /// [`KeyError::InvalidPoint`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        if jwk.get("d").is_some() {
            return Err(KeyError::PrivateJwk);
        }
        let text = |name| {
            jwk.get(name)
                .and_then(Value::as_str)
                .ok_or(KeyError::Jwk(name))
        };
        let field = |name| -> Result<[u8; 32], KeyError> {
            let bytes = jws::decode(text(name)?).map_err(|_| KeyError::Jwk(name))?;
            bytes.try_into().map_err(|_| KeyError::Jwk(name))
        };
        let key = match (text("kty")?, text("crv")?) {
            ("OKP", "Ed25519") => Self::from_bytes(Algorithm::EdDsa, &field("x")?)?,
            ("EC", "P-256") => {
                let mut sec1 = [4u8; 65];
                sec1[1..33].copy_from_slice(&field("x")?);
                sec1[33..].copy_from_slice(&field("y")?);
                Self::from_bytes(Algorithm::Es256, &sec1)?
            }
            ("OKP" | "EC", _) => return Err(KeyError::Jwk("crv")),
            _ => return Err(KeyError::Jwk("kty")),
        };
        match jwk.get("alg") {
            Some(alg) if alg != key.algorithm().name() => Err(KeyError::Jwk("alg")),
            _ => Ok(key),
        }
    }

    /// The public JWK with the required members only, in the order of RFC 7638.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        match &self.0 {
            Point::Ed25519(key) => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": jws::encode(key.as_bytes()) })
            }
            Point::P256(key) => {
                let point = key.to_sec1_point(false);
                let bytes = point.as_bytes();
                json!({
                    "crv": "P-256", "kty": "EC",
                    "x": jws::encode(&bytes[1..33]), "y": jws::encode(&bytes[33..65]),
                })
            }
        }
    }

    /// The key id used as `kid`: the JWK thumbprint (RFC 7638, SHA-256, base64url).
    #[must_use]
    pub fn key_id(&self) -> String {
        let jwk = self.to_jwk();
        let member = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
        // RFC 7638 fixes order and form, so the text does not rely on a map's order.
        let text = match &self.0 {
            Point::Ed25519(_) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, member("x"))
            }
            Point::P256(_) => format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                member("x"),
                member("y")
            ),
        };
        jws::encode(&Sha256::digest(text))
    }

    /// Verifies a 64-octet signature of `message`.
    ///
    /// # Errors
    /// [`KeyError::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), KeyError> {
        match &self.0 {
            Point::Ed25519(key) => key
                .verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
                .map_err(|_| KeyError::Signature),
            Point::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature))
                .map_err(|_| KeyError::Signature),
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PublicKey({} {})",
            self.algorithm().name(),
            self.key_id()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_8037_appendix_a() {
        // A.1 key, A.3 thumbprint, A.4 signature.
        let d = jws::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = SigningKey::from_bytes(Algorithm::EdDsa, &d.try_into().unwrap()).unwrap();
        assert_eq!(
            key.public_key().to_jwk()["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        assert_eq!(key.key_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        assert_eq!(
            jws::encode(&key.sign(input.as_bytes())),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn rfc_7515_appendix_a_3() {
        let jwk = json!({
            "kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        });
        let key = PublicKey::from_jwk(&jwk).unwrap();
        assert_eq!(key.to_jwk()["y"], jwk["y"]);
        let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = jws::decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q").unwrap();
        let mut signature: [u8; 64] = signature.try_into().unwrap();
        key.verify(input.as_bytes(), &signature).unwrap();
        signature[5] ^= 1;
        assert_eq!(
            key.verify(input.as_bytes(), &signature).unwrap_err().code(),
            "signature_invalid"
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any randomness will do")]
    fn both_ways_through_bytes_and_jwk() {
        let mut rng = rand::rng();
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let key = SigningKey::generate(algorithm, &mut rng);
            let again = SigningKey::from_bytes(algorithm, &key.to_bytes()).unwrap();
            assert_eq!(key.public_key(), again.public_key());
            let public = key.public_key();
            assert_eq!(PublicKey::from_jwk(&public.to_jwk()).unwrap(), public);
            assert_eq!(
                PublicKey::from_bytes(algorithm, &public.to_bytes()).unwrap(),
                public
            );
            public.verify(b"m", &again.sign(b"m")).unwrap();
            assert!(public.verify(b"n", &key.sign(b"m")).is_err());
            assert!(!format!("{key:?}").contains(&hex::encode(*key.to_bytes())));
        }
    }

    #[test]
    fn refuses_bad_keys() {
        let good = SigningKey::from_bytes(Algorithm::EdDsa, &[7; 32])
            .unwrap()
            .public_key()
            .to_jwk();
        let with = |name: &str, value: Value| {
            let mut jwk = good.clone();
            jwk[name] = value;
            PublicKey::from_jwk(&jwk).unwrap_err()
        };
        assert_eq!(with("d", "AA".into()), KeyError::PrivateJwk);
        assert_eq!(with("kty", "RSA".into()), KeyError::Jwk("kty"));
        assert_eq!(with("crv", "X25519".into()), KeyError::Jwk("crv"));
        assert_eq!(with("x", "AA".into()), KeyError::Jwk("x"));
        assert_eq!(with("alg", "ES256".into()), KeyError::Jwk("alg"));
        // The identity point: every signature by it would be a forgery.
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert_eq!(
            PublicKey::from_bytes(Algorithm::EdDsa, &identity)
                .unwrap_err()
                .code(),
            "key_point_invalid"
        );
        assert_eq!(
            SigningKey::from_bytes(Algorithm::Es256, &[0; 32]).unwrap_err(),
            KeyError::InvalidSecret
        );
        assert_eq!(
            PublicKey::from_bytes(Algorithm::Es256, &[4; 65])
                .unwrap_err()
                .code(),
            "key_point_invalid"
        );
    }
}
