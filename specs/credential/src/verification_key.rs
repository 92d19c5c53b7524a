//! Keys that only verify: ours ([`PublicKey`]), and RSA for what others' authorities sign with
//! PS256 (RFC 8230 §2: RSASSA-PSS with SHA-256 and a salt of 32 octets).
//!
//! RSA is behind the feature `ps256`, which the wallet's wasm leaves out.

use crate::keys::{Algorithm, PublicKey};

/// With what something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSASSA-PSS with SHA-256: verified, never signed.
    Ps256,
}

impl SignatureAlgorithm {
    /// The name in JOSE and COSE: `EdDSA`, `ES256` or `PS256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => Algorithm::EdDsa.name(),
            Self::Es256 => Algorithm::Es256.name(),
            Self::Ps256 => "PS256",
        }
    }
}

impl From<Algorithm> for SignatureAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EdDsa => Self::EdDsa,
            Algorithm::Es256 => Self::Es256,
        }
    }
}

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyFault {
    /// The key is for another algorithm.
    Algorithm,
    /// The signature does not verify.
    Signature,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerificationKey {
    /// One of the algorithms that we sign with too.
    Own(PublicKey),
    /// RSA.
    #[cfg(feature = "ps256")]
    Ps256(Box<rsa_key::Ps256Key>),
}

impl From<PublicKey> for VerificationKey {
    fn from(key: PublicKey) -> Self {
        Self::Own(key)
    }
}

impl VerificationKey {
    /// What it verifies.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Own(key) => key.algorithm().into(),
            #[cfg(feature = "ps256")]
            Self::Ps256(_) => SignatureAlgorithm::Ps256,
        }
    }

    /// The key, if it is one of the algorithms that we sign with too.
    #[must_use]
    pub fn own(&self) -> Option<&PublicKey> {
        match self {
            Self::Own(key) => Some(key),
            #[cfg(feature = "ps256")]
            Self::Ps256(_) => None,
        }
    }

    /// Verifies `signature` of `message`, which claims to be made with `algorithm`.
    ///
    /// # Errors
    /// [`VerifyFault`].
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyFault> {
        if algorithm != self.algorithm() {
            return Err(VerifyFault::Algorithm);
        }
        match self {
            Self::Own(key) => {
                let signature = signature.try_into().map_err(|_| VerifyFault::Signature)?;
                key.verify(message, signature)
                    .map_err(|_| VerifyFault::Signature)
            }
            #[cfg(feature = "ps256")]
            Self::Ps256(key) => key.verify(message, signature),
        }
    }
}

#[cfg(feature = "ps256")]
pub use rsa_key::Ps256Key;

#[cfg(feature = "ps256")]
mod rsa_key {
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::pss::{Signature, VerifyingKey};
    use rsa::signature::Verifier as _;
    use rsa::traits::PublicKeyParts as _;
    use rsa::{BoxedUint, RsaPublicKey};
    use sha2::Sha256;

    use super::VerifyFault;
    use crate::keys::KeyError;

    /// The smallest modulus believed, in bits (RFC 8230 §2 and §6.1).
    const MIN_BITS: usize = 2048;
    /// The largest modulus computed with, in bits: verification takes time with its square.
    const MAX_BITS: usize = 4096;

    /// An RSA public key of 2048 to 4096 bits.
    #[derive(Clone, PartialEq, Eq)]
    pub struct Ps256Key(RsaPublicKey);

    impl Ps256Key {
        /// The key in a SubjectPublicKeyInfo, DER.
        ///
        /// # Errors
        /// [`KeyError::Rsa`] for another kind of key, or one of another size.
        pub fn from_public_key_info(der: &[u8]) -> Result<Self, KeyError> {
            let key = RsaPublicKey::from_public_key_der(der).map_err(|_| KeyError::Rsa)?;
            Self::bounded(key)
        }

        /// The key of modulus `n` and exponent `e`, big-endian, as a JWK has them (RFC 7518 §6.3).
        ///
        /// # Errors
        /// [`KeyError::Rsa`].
        pub fn from_parts(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
            if n.len() > MAX_BITS / 8 + 1 || e.len() > 8 {
                return Err(KeyError::Rsa);
            }
            let n = BoxedUint::from_be_slice_vartime(n);
            let e = BoxedUint::from_be_slice_vartime(e);
            Self::bounded(RsaPublicKey::new(n, e).map_err(|_| KeyError::Rsa)?)
        }

        fn bounded(key: RsaPublicKey) -> Result<Self, KeyError> {
            let bits = key.size() * 8;
            if (MIN_BITS..=MAX_BITS).contains(&bits) {
                Ok(Self(key))
            } else {
                Err(KeyError::Rsa)
            }
        }

        pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyFault> {
            let signature = Signature::try_from(signature).map_err(|_| VerifyFault::Signature)?;
            VerifyingKey::<Sha256>::new(self.0.clone())
                .verify(message, &signature)
                .map_err(|_| VerifyFault::Signature)
        }
    }

    impl std::fmt::Debug for Ps256Key {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "Ps256Key({} bits)", self.0.size() * 8)
        }
    }
}
