//! Identifiers and domain-separated hashes (`encoding.md`, sections 2 and 3).

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 over `tag`, one zero byte and the parts, without length prefixes.
///
/// Callers join only parts of fixed length, or one part of variable length at the end.
#[must_use]
pub fn hash(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(tag.as_bytes());
    hasher.update([0]);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {bytes} bytes in hexadecimal")]
pub struct NotAnId {
    /// The text, cut to 80 characters.
    pub text: String,
    /// How many bytes the identifier has.
    pub bytes: usize,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.0[..4]))
            }
        }
        impl std::str::FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let wrong = || NotAnId { text: text.chars().take(80).collect(), bytes: $len };
                if text.len() != 2 * $len {
                    return Err(wrong());
                }
                let bytes = hex::decode(text).map_err(|_| wrong())?;
                Ok(Self(bytes.try_into().map_err(|_| wrong())?))
            }
        }
        impl TryFrom<&[u8]> for $name {
            type Error = NotAnId;
            fn try_from(bytes: &[u8]) -> Result<Self, NotAnId> {
                let wrong = |_| NotAnId { text: hex::encode(&bytes[..bytes.len().min(40)]), bytes: $len };
                bytes.try_into().map(Self).map_err(wrong)
            }
        }
        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }
        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let bytes = d.bytes()?;
                bytes.try_into().map(Self).map_err(|_| decode::Error::message(concat!(stringify!($name), ": wrong length")))
            }
        }
    };
}

identifier!(/** A SHA-256 digest. */ Hash, 32);
identifier!(/** A ledger: the hash of its genesis ([`crate::genesis::Genesis::chain_id`]). */ ChainId, 32);
identifier!(/** An Ed25519 public key (RFC 8032), and the `kid` of what it signs. */ PublicKey, 32);
identifier!(/** An X25519 public key (RFC 7748). */ SealKey, 32);
identifier!(/** An organisation: the hash of its first signing key ([`crate::organisation::organisation_id`]). */ OrganisationId, 32);
identifier!(/** A grant: the fresh Ed25519 public key that signed it. */ GrantId, 32);
identifier!(/** An entry: the hash of what its signer signed ([`crate::entry::Entry::id`]). */ EntryId, 32);
identifier!(/** A vault: the Ed25519 public key of its owner. */ VaultId, 32);
identifier!(/** A drawer: random. */ DrawerId, 16);
identifier!(/** A record: random. */ RecordId, 16);
identifier!(/** A salt that keeps a commitment from being guessed: random. */ Salt, 32);
identifier!(/** A number used once: random. */ Nonce, 16);
identifier!(/** A validator: the first 20 bytes of SHA-256 of its consensus key. */ Address, 20);

impl GrantId {
    /// The key that signs the grant, its revocation and its order.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        PublicKey(self.0)
    }
}

impl VaultId {
    /// The key that signs for the vault.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        PublicKey(self.0)
    }
}

impl Address {
    /// The address of a consensus key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let digest: [u8; 32] = Sha256::digest(key.0).into();
        let mut address = [0; 20];
        address.copy_from_slice(&digest[..20]);
        Self(address)
    }
}
