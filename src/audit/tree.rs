//! The state tree's root, computed from nothing but keys and values (`specs/consent/ledger.md`, section 5). It shares no
//! code with the validators' tree.

use sha2::{Digest, Sha256};
use tegata_consent::ids::Hash;
use tegata_consent::tree::EMPTY_ROOT;

type Bytes = [u8; 32];

/// A Jellyfish Merkle tree over SHA-256, as a binary tree in memory.
#[derive(Debug, Default)]
pub struct StateTree(Node);

#[derive(Debug, Default)]
enum Node {
    #[default]
    Empty,
    Leaf {
        key: Bytes,
        value: Bytes,
    },
    Inner {
        hash: Hash,
        children: Box<[Node; 2]>,
    },
}

impl StateTree {
    /// Sets the value of a key.
    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        self.0
            .set(0, Sha256::digest(key).into(), Sha256::digest(value).into());
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.0.hash()
    }
}

impl Node {
    fn hash(&self) -> Hash {
        match self {
            Self::Empty => EMPTY_ROOT,
            Self::Leaf { key, value } => digest(b"JMT::LeafNode", key, value),
            Self::Inner { hash, .. } => *hash,
        }
    }

    /// `depth` bits of `key` lead here.
    fn set(&mut self, depth: usize, key: Bytes, value: Bytes) {
        match self {
            Self::Empty => *self = Self::Leaf { key, value },
            Self::Leaf { key: present, .. } if *present == key => *self = Self::Leaf { key, value },
            Self::Leaf {
                key: present,
                value: present_value,
            } => {
                let (other, other_value) = (*present, *present_value);
                *self = Self::Inner {
                    hash: EMPTY_ROOT,
                    children: Box::default(),
                };
                self.set(depth, other, other_value);
                self.set(depth, key, value);
            }
            Self::Inner { hash, children } => {
                let bit = key[depth / 8] >> (7 - depth % 8) & 1;
                children[usize::from(bit)].set(depth + 1, key, value);
                *hash = digest(
                    b"JMT::IntrnalNode",
                    &children[0].hash().0,
                    &children[1].hash().0,
                );
            }
        }
    }
}

fn digest(tag: &[u8], left: &Bytes, right: &Bytes) -> Hash {
    Hash(
        Sha256::new()
            .chain_update(tag)
            .chain_update(left)
            .chain_update(right)
            .finalize()
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tegata_consent::tree::TreeProof;

    /// The definition, over sorted leaves.
    fn definition(leaves: &[(Bytes, Bytes)], depth: usize) -> Hash {
        match leaves {
            [] => EMPTY_ROOT,
            [(key, value)] => digest(b"JMT::LeafNode", key, value),
            _ => {
                let middle =
                    leaves.partition_point(|(key, _)| key[depth / 8] >> (7 - depth % 8) & 1 == 0);
                let (left, right) = leaves.split_at(middle);
                digest(
                    b"JMT::IntrnalNode",
                    &definition(left, depth + 1).0,
                    &definition(right, depth + 1).0,
                )
            }
        }
    }

    #[test]
    fn the_root_does_not_depend_on_the_order_of_writing() {
        let mut leaves: Vec<(Bytes, Bytes)> = Vec::new();
        let mut tree = StateTree::default();
        assert_eq!(tree.root(), EMPTY_ROOT);
        for number in 0..300_u32 {
            let key = number.to_be_bytes();
            tree.set(&key, b"old");
            tree.set(&key, &key);
            leaves.push((Sha256::digest(key).into(), Sha256::digest(key).into()));
            leaves.sort_unstable();
            assert_eq!(tree.root(), definition(&leaves, 0), "{number}");
        }
    }

    #[test]
    fn proofs_of_the_shared_language_lead_to_the_same_root() {
        let mut tree = StateTree::default();
        tree.set(b"a", b"1");
        tree.set(b"b", b"2");
        let sha = |bytes: &[u8]| Bytes::from(Sha256::digest(bytes));
        let (a, b) = (sha(b"a"), sha(b"b"));
        let same = (a[0] ^ b[0]).leading_zeros();
        let mut siblings = vec![digest(b"JMT::LeafNode", &b, &sha(b"2"))];
        siblings.extend(std::iter::repeat_n(
            EMPTY_ROOT,
            usize::try_from(same).unwrap(),
        ));
        let proof = TreeProof {
            other: None,
            siblings,
        };
        proof.verify(&tree.root(), b"a", Some(b"1")).unwrap();
        assert!(proof.verify(&tree.root(), b"a", Some(b"2")).is_err());
    }
}
