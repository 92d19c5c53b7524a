//! Keys that one vault secret gives (`sealing.md`, section 1).
//!
//! HKDF-SHA-256 (RFC 5869), salt "tegata/v1/vault", info the label. Nothing here is random, so a recovery kit with the
//! secret brings back every key.

use crate::ids::{DrawerId, GrantId, OrganisationId, SealKey, VaultId};
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey as X25519Public, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Thirty-two secret bytes. Wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes bytes over.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes; whoever asks wipes the copy.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The X25519 public key of this secret.
    #[must_use]
    pub fn seal_key(&self) -> SealKey {
        SealKey(X25519Public::from(&StaticSecret::from(self.0)).to_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), other.0.as_slice()).into()
    }
}
impl Eq for Secret {}

/// A person's vault secret, from which all keys derive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VaultSecret(Secret);

impl VaultSecret {
    /// Takes 32 random bytes over.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The key that signs for the vault: requests to the host, deposit invitations.
    #[must_use]
    pub fn vault_key(&self) -> SigningKey {
        SigningKey::from_bytes(self.derive("vault", &[]).expose())
    }

    /// The vault's id.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        VaultId(self.vault_key().verifying_key().to_bytes())
    }

    /// Private half of a drawer key: an age identity, known to the wallet alone.
    #[must_use]
    pub fn drawer_secret(&self, drawer: &DrawerId) -> Secret {
        self.derive("drawer", &drawer.0)
    }

    /// Private half of a drawer's reader key: also known to those who are granted.
    #[must_use]
    pub fn reader_secret(&self, drawer: &DrawerId) -> Secret {
        self.derive("reader", &drawer.0)
    }

    /// The holder key to which one issuer binds credentials; another for each issuer, so that they cannot be linked by it.
    #[must_use]
    pub fn holder_key(&self, issuer: &OrganisationId) -> SigningKey {
        SigningKey::from_bytes(self.derive("holder", &issuer.0).expose())
    }

    /// The key of one grant; `nonce` is 16 random bytes kept in the wallet's index.
    #[must_use]
    pub fn grant_key(&self, nonce: &[u8; 16]) -> SigningKey {
        SigningKey::from_bytes(self.derive("grant", nonce).expose())
    }

    /// The id of the grant made with [`Self::grant_key`].
    #[must_use]
    pub fn grant_id(&self, nonce: &[u8; 16]) -> GrantId {
        GrantId(self.grant_key(nonce).verifying_key().to_bytes())
    }

    /// The key that seals the wallet's index at the host (XChaCha20 or AES-GCM, the wallet's choice; the host sees bytes).
    #[must_use]
    pub fn index_secret(&self) -> Secret {
        self.derive("index", &[])
    }

    /// The secret itself, for sealing it on a device and for the recovery kit.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }

    fn derive(&self, label: &str, context: &[u8]) -> Secret {
        let mut okm = [0; 32];
        Hkdf::<Sha256>::new(Some(b"tegata/v1/vault"), self.0.expose())
            .expand_multi_info(&[label.as_bytes(), &[0], context], &mut okm)
            .expect("32 bytes are within HKDF's limit");
        Secret::new(okm)
    }
}
