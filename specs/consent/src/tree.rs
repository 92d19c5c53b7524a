//! The state tree's proofs: presence and absence under a header's `state_root` (`ledger.md`, section 5).
//!
//! The tree is a Jellyfish Merkle tree over SHA-256; validators build it with the crate `jmt`. Checking a proof needs only
//! the few lines here.

use crate::ids::Hash;
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

const LEAF: &[u8] = b"JMT::LeafNode";
const INTERNAL: &[u8] = b"JMT::IntrnalNode";
const EMPTY: &[u8; 32] = b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// Root of the empty tree.
pub const EMPTY_ROOT: Hash = Hash(*EMPTY);

/// The leaf of another key.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct TreeLeaf {
    /// SHA-256 of its key.
    #[n(0)]
    pub key_hash: Hash,
    /// SHA-256 of its value.
    #[n(1)]
    pub value_hash: Hash,
}

/// The way from a key's place in the tree to the root.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct TreeProof {
    /// Another key that stands at the place, so that this one is absent; `None` where this key stands there, or nothing.
    /// This key's own leaf follows from key and value, so it is not carried.
    #[n(0)]
    pub other: Option<TreeLeaf>,
    /// Sibling hashes, lowest first. Encoded as one byte string.
    #[cbor(n(1), with = "joined")]
    pub siblings: Vec<Hash>,
}

/// Why a state proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The proof is for another key, or says "present" and names another key's leaf.
    #[error("the proof ends at another key")]
    Leaf,
    /// Says "absent", but ends at the key itself or outside its subtree.
    #[error("the proof does not show that the key is absent")]
    NotAbsent,
    /// Longer than the tree is deep.
    #[error("the proof is longer than 256 hashes")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

impl TreeError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Leaf => "state-leaf",
            Self::NotAbsent => "state-not-absent",
            Self::Length => "state-length",
            Self::Root => "state-root",
        }
    }
}

impl TreeProof {
    /// Checks that `key` has `value` (or is absent) in the tree with `root`.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn verify(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> Result<(), TreeError> {
        let depth = self.siblings.len();
        if depth > 256 {
            return Err(TreeError::Length);
        }
        let key_hash: [u8; 32] = Sha256::digest(key).into();
        let start = match (&self.other, value) {
            (None, Some(value)) => {
                let value_hash = Hash(Sha256::digest(value).into());
                digest(LEAF, &Hash(key_hash), &value_hash)
            }
            (Some(_), Some(_)) => return Err(TreeError::Leaf),
            (Some(leaf), None) => {
                if leaf.key_hash.0 == key_hash
                    || common_prefix_bits(&leaf.key_hash.0, &key_hash) < depth
                {
                    return Err(TreeError::NotAbsent);
                }
                digest(LEAF, &leaf.key_hash, &leaf.value_hash)
            }
            (None, None) => EMPTY_ROOT,
        };
        let found = self
            .siblings
            .iter()
            .enumerate()
            .fold(start, |hash, (below, sibling)| {
                let bit = depth - 1 - below;
                if key_hash[bit / 8] >> (7 - bit % 8) & 1 == 1 {
                    digest(INTERNAL, sibling, &hash)
                } else {
                    digest(INTERNAL, &hash, sibling)
                }
            });
        if found == *root {
            Ok(())
        } else {
            Err(TreeError::Root)
        }
    }
}

/// Hashes one after the other in one byte string, so that a level costs 32 bytes.
mod joined {
    use super::Hash;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: Write>(
        hashes: &[Hash],
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let hashes: Vec<[u8; 32]> = hashes.iter().map(|hash| hash.0).collect();
        encoder.bytes(hashes.as_flattened())?.ok()
    }

    pub(super) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Vec<Hash>, DecodeError> {
        let at = decoder.position();
        let (hashes, []) = decoder.bytes()?.as_chunks::<32>() else {
            return Err(DecodeError::message("not whole hashes").at(at));
        };
        Ok(hashes.iter().copied().map(Hash).collect())
    }
}

fn digest(tag: &[u8], left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(tag);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

fn common_prefix_bits(a: &[u8; 32], b: &[u8; 32]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    if same == 32 {
        256
    } else {
        same * 8 + (a[same] ^ b[same]).leading_zeros() as usize
    }
}
