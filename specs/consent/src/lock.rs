//! Locks: a record key, readable only with the drawer's reader key (`sealing.md`, section 4).
//!
//! In suite 1 the lock is HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA-256), HKDF-SHA-256, ChaCha20-Poly1305) of the
//! record key to the reader key. The committee's layer will be another suite around the same bytes: whoever makes, carries
//! or opens a lock calls the same functions.

use crate::SUITE_X25519;
use crate::cbor::{self, CborError};
use crate::ids::{ChainId, DrawerId, Hash, RecordId, SealKey, hash};
use crate::keys::Secret;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

/// Something sealed with HPKE to one X25519 key.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct Sealed {
    /// Sealing suite; [`SUITE_X25519`].
    #[n(0)]
    pub suite: u8,
    /// Encapsulated key.
    #[n(1)]
    pub encapsulated: SealKey,
    /// Ciphertext with its tag.
    #[n(2)]
    pub ciphertext: ByteVec,
}

/// Why something sealed does not open, or cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A suite that this version does not know.
    #[error("sealing suite {0} is not known")]
    Suite(u8),
    /// A public key that is not usable.
    #[error("{0} is not a usable X25519 key")]
    Key(SealKey),
    /// Wrong key, wrong context, or altered.
    #[error("does not open: wrong key, another context, or altered")]
    Open,
    /// Not the deterministic encoding.
    #[error("encoding: {0}")]
    Encoding(#[from] CborError),
    /// Opened to something of the wrong shape.
    #[error("opened to something that is not a key")]
    NotAKey,
}

impl SealError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Suite(_) => "seal-suite",
            Self::Key(_) => "seal-key",
            Self::Open => "seal-open",
            Self::Encoding(_) => "seal-encoding",
            Self::NotAKey => "seal-not-a-key",
        }
    }
}

/// Seals bytes to a key. `info` names the format, `context` what it belongs to; both must be the same when opening.
///
/// # Errors
/// [`SealError::Key`] for a key of small order.
pub fn seal(
    to: &SealKey,
    info: &str,
    context: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Sealed, SealError> {
    let public =
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| SealError::Key(*to))?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            info.as_bytes(),
            plaintext,
            context,
            rng,
        )
        .map_err(|_| SealError::Key(*to))?;
    let mut bytes = [0; 32];
    encapsulated.write_exact(&mut bytes);
    Ok(Sealed {
        suite: SUITE_X25519,
        encapsulated: SealKey(bytes),
        ciphertext: ciphertext.into(),
    })
}

/// Opens what [`seal`] sealed.
///
/// # Errors
/// [`SealError`].
pub fn open(
    sealed: &Sealed,
    secret: &Secret,
    info: &str,
    context: &[u8],
) -> Result<Vec<u8>, SealError> {
    if sealed.suite != SUITE_X25519 {
        return Err(SealError::Suite(sealed.suite));
    }
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret.expose())
        .map_err(|_| SealError::NotAKey)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&sealed.encapsulated.0)
        .map_err(|_| SealError::Key(sealed.encapsulated))?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info.as_bytes(),
        &sealed.ciphertext,
        context,
    )
    .map_err(|_| SealError::Open)
}

/// What a lock belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockLabel {
    /// Which ledger.
    pub chain: ChainId,
    /// The committee's key; zero in suite 1, which has no committee.
    pub committee: [u8; 32],
    /// The drawer.
    pub drawer: DrawerId,
    /// The record.
    pub record: RecordId,
    /// The record's date as in its deposit, in milliseconds since 1970.
    pub date_ms: u64,
}

impl LockLabel {
    /// A label in suite 1.
    #[must_use]
    pub const fn new(chain: ChainId, drawer: DrawerId, record: RecordId, date_ms: u64) -> Self {
        Self {
            chain,
            committee: [0; 32],
            drawer,
            record,
            date_ms,
        }
    }

    /// `SHA-256("tegata/v1/lock" ‖ 0 ‖ chain ‖ committee ‖ drawer ‖ record ‖ date)`, date as 8 bytes, big-endian.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let date = self.date_ms.to_be_bytes();
        Hash(hash(
            "tegata/v1/lock",
            &[
                &self.chain.0,
                &self.committee,
                &self.drawer.0,
                &self.record.0,
                &date,
            ],
        ))
    }
}

/// A lock, as it lies beside a record.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(transparent)]
pub struct Lock(#[n(0)] Sealed);

const LOCK_INFO: &str = "tegata/v1/lock";

impl Lock {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 1024;

    /// Locks a record key.
    ///
    /// # Errors
    /// [`SealError::Key`] for an unusable reader key.
    pub fn make(
        record_key: &Secret,
        reader: &SealKey,
        label: &LockLabel,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SealError> {
        seal(reader, LOCK_INFO, &label.hash().0, record_key.expose(), rng).map(Self)
    }

    /// Opens a lock to the record key.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, reader: &Secret, label: &LockLabel) -> Result<Secret, SealError> {
        let bytes = open(&self.0, reader, LOCK_INFO, &label.hash().0)?;
        let bytes = zeroize::Zeroizing::new(bytes);
        Ok(Secret::new(
            bytes
                .as_slice()
                .try_into()
                .map_err(|_| SealError::NotAKey)?,
        ))
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// [`SealError::Encoding`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        Ok(cbor::decode(bytes, Self::LIMIT)?)
    }

    /// The encoded lock.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// SHA-256 of the encoded lock with tag "tegata/v1/lock-digest", as it stands in the deposit.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash(hash("tegata/v1/lock-digest", &[&self.to_bytes()]))
    }
}
