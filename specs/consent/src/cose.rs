//! Signed envelopes: COSE_Sign1 (RFC 9052 section 4.2) with countersignatures (RFC 9338), one shape for all formats
//! (`encoding.md`, section 4).
//!
//! Protected header: `alg` EdDSA, `kid` the signer's public key, `typ` the format. The chain id is the external AAD, so
//! nothing signed for one ledger counts on another. Signatures are verified strictly (no small-order keys, canonical `s`),
//! so that all validators agree.

use crate::cbor::{self, CborError};
use crate::ids::{ChainId, PublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// COSE algorithm EdDSA (RFC 9053 section 2.2).
const ALG_EDDSA: i64 = -8;
/// Most countersignatures an envelope may carry.
pub const COUNTERSIGNATURES_MAX: usize = 64;

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Not a deterministic COSE_Sign1.
    #[error("envelope: {0}")]
    Envelope(#[from] CborError),
    /// A protected header that is not exactly `alg`, `kid`, `typ`.
    #[error("protected header: {0}")]
    Header(CborError),
    /// Another algorithm than EdDSA.
    #[error("algorithm {0} is not EdDSA (-8)")]
    Algorithm(i64),
    /// Another format than the expected one.
    #[error("type {found:?}, expected {expected:?}")]
    Type {
        /// What the envelope says.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The payload is not what the format says.
    #[error("payload: {0}")]
    Payload(CborError),
    /// More countersignatures than allowed, or two by one key.
    #[error("too many countersignatures, or two by one key")]
    Countersignatures,
    /// A key that is not a point of the curve.
    #[error("{0} is not a usable Ed25519 key")]
    Key(PublicKey),
    /// A signature that does not hold.
    #[error("the signature of {0} does not hold")]
    Signature(PublicKey),
    /// Signed by another key than the one that should have.
    #[error("signed by {found}, expected {expected}")]
    Signer {
        /// The envelope's `kid`.
        found: PublicKey,
        /// Whose signature was wanted.
        expected: PublicKey,
    },
}

impl CoseError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "envelope-encoding",
            Self::Header(_) => "envelope-header",
            Self::Algorithm(_) => "envelope-algorithm",
            Self::Type { .. } => "envelope-type",
            Self::Payload(_) => "envelope-payload",
            Self::Countersignatures => "envelope-countersignatures",
            Self::Key(_) => "envelope-key",
            Self::Signature(_) => "envelope-signature",
            Self::Signer { .. } => "envelope-signer",
        }
    }
}

#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
struct Protected {
    #[n(1)]
    alg: i64,
    #[n(4)]
    kid: PublicKey,
    #[n(16)]
    typ: String,
}

/// The protected header of a countersignature.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
struct Countersigner {
    #[n(1)]
    alg: i64,
    #[n(4)]
    kid: PublicKey,
}

#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(map)]
struct Unprotected {
    #[n(11)]
    countersignatures: Option<Vec<Countersignature>>,
}

/// `COSE_Countersignature` (RFC 9338 section 3.1).
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
struct Countersignature {
    #[n(0)]
    protected: ByteVec,
    #[n(1)]
    unprotected: NoHeaders,
    #[n(2)]
    signature: ByteVec,
}

#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(map)]
struct NoHeaders {}

#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array, tag(18))]
struct Envelope {
    #[n(0)]
    protected: ByteVec,
    #[n(1)]
    unprotected: Unprotected,
    #[n(2)]
    payload: ByteVec,
    #[n(3)]
    signature: ByteVec,
}

/// A signed envelope that was read, and whose signatures have **not** been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign1 {
    envelope: Envelope,
    kid: PublicKey,
    countersigners: Vec<PublicKey>,
}

impl Sign1 {
    /// Signs a payload.
    #[must_use]
    pub fn sign(key: &SigningKey, typ: &'static str, chain: &ChainId, payload: Vec<u8>) -> Self {
        let kid = public_key(key);
        let protected = cbor::encode(&Protected {
            alg: ALG_EDDSA,
            kid,
            typ: typ.to_owned(),
        });
        let signature = key
            .sign(&sig_structure(&protected, chain, &payload))
            .to_bytes()
            .to_vec();
        let envelope = Envelope {
            protected: protected.into(),
            unprotected: Unprotected::default(),
            payload: payload.into(),
            signature: signature.into(),
        };
        Self {
            envelope,
            kid,
            countersigners: Vec::new(),
        }
    }

    /// Adds a countersignature over everything that was signed and the signature itself (RFC 9338 section 3.3).
    #[must_use]
    pub fn countersign(mut self, key: &SigningKey, chain: &ChainId) -> Self {
        let kid = public_key(key);
        let protected = cbor::encode(&Countersigner {
            alg: ALG_EDDSA,
            kid,
        });
        let signature = key
            .sign(&self.countersign_structure(&protected, chain))
            .to_bytes()
            .to_vec();
        self.envelope
            .unprotected
            .countersignatures
            .get_or_insert_default()
            .push(Countersignature {
                protected: protected.into(),
                unprotected: NoHeaders {},
                signature: signature.into(),
            });
        self.countersigners.push(kid);
        self
    }

    /// Reads an envelope of at most `limit` bytes and the given type.
    ///
    /// # Errors
    /// [`CoseError`] for everything but signatures that do not hold, which [`Self::verify`] finds.
    pub fn parse(bytes: &[u8], limit: usize, typ: &'static str) -> Result<Self, CoseError> {
        let envelope: Envelope = cbor::decode(bytes, limit)?;
        let protected: Protected =
            cbor::decode(&envelope.protected, 256).map_err(CoseError::Header)?;
        if protected.alg != ALG_EDDSA {
            return Err(CoseError::Algorithm(protected.alg));
        }
        if protected.typ != typ {
            let found = protected.typ.chars().take(80).collect();
            return Err(CoseError::Type {
                found,
                expected: typ,
            });
        }
        let mut countersigners = Vec::new();
        for countersignature in envelope.unprotected.countersignatures.iter().flatten() {
            let header: Countersigner =
                cbor::decode(&countersignature.protected, 256).map_err(CoseError::Header)?;
            if header.alg != ALG_EDDSA {
                return Err(CoseError::Algorithm(header.alg));
            }
            if countersigners.contains(&header.kid) || countersigners.len() >= COUNTERSIGNATURES_MAX
            {
                return Err(CoseError::Countersignatures);
            }
            countersigners.push(header.kid);
        }
        if envelope
            .unprotected
            .countersignatures
            .as_ref()
            .is_some_and(Vec::is_empty)
        {
            return Err(CoseError::Countersignatures);
        }
        Ok(Self {
            envelope,
            kid: protected.kid,
            countersigners,
        })
    }

    /// Checks the signature, made by `kid`, and every countersignature.
    ///
    /// # Errors
    /// [`CoseError::Key`] or [`CoseError::Signature`], naming the key.
    pub fn verify(&self, chain: &ChainId) -> Result<(), CoseError> {
        let message = sig_structure(&self.envelope.protected, chain, &self.envelope.payload);
        verify_strict(&self.kid, &message, &self.envelope.signature)?;
        let countersignatures = self.envelope.unprotected.countersignatures.iter().flatten();
        for (kid, countersignature) in self.countersigners.iter().zip(countersignatures) {
            let message = self.countersign_structure(&countersignature.protected, chain);
            verify_strict(kid, &message, &countersignature.signature)?;
        }
        Ok(())
    }

    /// Checks all signatures, and that the signer is `expected`.
    ///
    /// # Errors
    /// As [`Self::verify`], and [`CoseError::Signer`].
    pub fn verify_by(&self, expected: &PublicKey, chain: &ChainId) -> Result<(), CoseError> {
        if self.kid != *expected {
            return Err(CoseError::Signer {
                found: self.kid,
                expected: *expected,
            });
        }
        self.verify(chain)
    }

    /// The key that is said to have signed.
    #[must_use]
    pub const fn kid(&self) -> PublicKey {
        self.kid
    }

    /// The keys that are said to have countersigned, all different.
    #[must_use]
    pub fn countersigners(&self) -> &[PublicKey] {
        &self.countersigners
    }

    /// The signed bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.envelope.payload
    }

    /// The encoded envelope.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&self.envelope)
    }

    /// What the signer signed: `Sig_structure` (RFC 9052 section 4.4).
    #[must_use]
    pub fn signed_bytes(&self, chain: &ChainId) -> Vec<u8> {
        sig_structure(&self.envelope.protected, chain, &self.envelope.payload)
    }

    fn countersign_structure(&self, sign_protected: &[u8], chain: &ChainId) -> Vec<u8> {
        #[derive(Encode)]
        #[cbor(array)]
        struct CountersignStructure<'a> {
            #[n(0)]
            context: &'a str,
            #[cbor(n(1), with = "minicbor::bytes")]
            body_protected: &'a [u8],
            #[cbor(n(2), with = "minicbor::bytes")]
            sign_protected: &'a [u8],
            #[n(3)]
            external_aad: &'a ChainId,
            #[cbor(n(4), with = "minicbor::bytes")]
            payload: &'a [u8],
            #[n(5)]
            other_fields: [&'a ByteVec; 1],
        }
        cbor::encode(&CountersignStructure {
            context: "CounterSignatureV2",
            body_protected: &self.envelope.protected,
            sign_protected,
            external_aad: chain,
            payload: &self.envelope.payload,
            other_fields: [&self.envelope.signature],
        })
    }
}

/// The public half of a signing key, as it stands in `kid`.
#[must_use]
pub fn public_key(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

/// Strict Ed25519 verification: the one rule on which consensus depends.
///
/// # Errors
/// [`CoseError::Key`] or [`CoseError::Signature`].
pub fn verify_strict(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), CoseError> {
    UnpackedKey::new(key)?.verify_strict(message, signature)
}

/// A public key that is unpacked for many checks: unpacking takes a quarter of a check.
#[derive(Debug, Clone)]
pub struct UnpackedKey(PublicKey, VerifyingKey);

impl UnpackedKey {
    /// # Errors
    /// [`CoseError::Key`].
    pub fn new(key: &PublicKey) -> Result<Self, CoseError> {
        let verifying = VerifyingKey::from_bytes(&key.0).map_err(|_| CoseError::Key(*key))?;
        Ok(Self(*key, verifying))
    }

    /// As the function [`verify_strict`].
    ///
    /// # Errors
    /// [`CoseError::Signature`].
    pub fn verify_strict(&self, message: &[u8], signature: &[u8]) -> Result<(), CoseError> {
        let wrong = CoseError::Signature(self.0);
        let Ok(signature) = Signature::from_slice(signature) else {
            return Err(wrong);
        };
        self.1.verify_strict(message, &signature).map_err(|_| wrong)
    }
}

fn sig_structure(protected: &[u8], chain: &ChainId, payload: &[u8]) -> Vec<u8> {
    #[derive(Encode)]
    #[cbor(array)]
    struct SigStructure<'a> {
        #[n(0)]
        context: &'a str,
        #[cbor(n(1), with = "minicbor::bytes")]
        body_protected: &'a [u8],
        #[n(2)]
        external_aad: &'a ChainId,
        #[cbor(n(3), with = "minicbor::bytes")]
        payload: &'a [u8],
    }
    cbor::encode(&SigStructure {
        context: "Signature1",
        body_protected: protected,
        external_aad: chain,
        payload,
    })
}

/// A format that travels signed: its `typ`, its size limit and its payload.
pub trait Signed: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    /// The `typ` header (RFC 9596).
    const TYPE: &'static str;
    /// Longest envelope in bytes.
    const LIMIT: usize;

    /// Signs.
    fn sign(&self, key: &SigningKey, chain: &ChainId) -> Sign1 {
        Sign1::sign(key, Self::TYPE, chain, cbor::encode(self))
    }

    /// Reads an envelope, checks that its signature (by whatever key it names) holds, and gives payload and signer.
    /// Whether that signer had the right to sign is the caller's question.
    ///
    /// # Errors
    /// [`CoseError`], naming what is wrong.
    fn open(bytes: &[u8], chain: &ChainId) -> Result<(Self, PublicKey), CoseError> {
        let envelope = Sign1::parse(bytes, Self::LIMIT, Self::TYPE)?;
        envelope.verify(chain)?;
        let payload = cbor::decode(envelope.payload(), Self::LIMIT).map_err(CoseError::Payload)?;
        Ok((payload, envelope.kid()))
    }

    /// As [`Self::open`], and the signer must be `signer`.
    ///
    /// # Errors
    /// [`CoseError`], naming what is wrong.
    fn open_by(bytes: &[u8], signer: &PublicKey, chain: &ChainId) -> Result<Self, CoseError> {
        let (payload, found) = Self::open(bytes, chain)?;
        if found == *signer {
            Ok(payload)
        } else {
            Err(CoseError::Signer {
                found,
                expected: *signer,
            })
        }
    }
}
