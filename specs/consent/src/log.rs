//! The log of all entries with their outcomes: a Merkle tree as in RFC 9162 section 2.1 (`ledger.md`, section 4).

use crate::cbor;
use crate::ids::Hash;
use crate::state::Outcome;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

/// What the log holds for one entry.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(array)]
pub struct LogLeaf {
    /// Height of its block.
    #[n(0)]
    pub height: u64,
    /// Time of its block, in milliseconds since 1970.
    #[n(1)]
    pub time_ms: u64,
    /// The encoded entry.
    #[n(2)]
    pub entry: ByteVec,
    /// What became of it.
    #[n(3)]
    pub outcome: Outcome,
}

impl LogLeaf {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = crate::entry::ENTRY_LIMIT + 64;

    /// `SHA-256(0x00 ‖ leaf)`.
    #[must_use]
    pub fn hash(&self) -> Hash {
        leaf_hash(&cbor::encode(self))
    }
}

/// `SHA-256(0x00 ‖ data)` (RFC 9162 section 2.1.1).
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(data);
    Hash(hasher.finalize().into())
}

/// `SHA-256(0x01 ‖ left ‖ right)` (RFC 9162 section 2.1.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

/// The root of the empty log: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The right edge of a log: all that is needed to append. One hash for each one-bit of the size, largest subtree first.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq, Default)]
#[cbor(array)]
pub struct Frontier {
    #[n(0)]
    size: u64,
    #[n(1)]
    hashes: Vec<Hash>,
}

/// A complete subtree that an append finished: level 0 is a leaf, and `index` counts from the left on its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Height above the leaves.
    pub level: u8,
    /// From the left.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Frontier {
    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and gives every complete subtree that is new, from the leaf upwards.
    pub fn append(&mut self, leaf: Hash) -> Vec<Node> {
        let mut node = Node {
            level: 0,
            index: self.size,
            hash: leaf,
        };
        let mut new = vec![node];
        while node.index % 2 == 1 {
            let left = self
                .hashes
                .pop()
                .expect("an odd index has a complete subtree on its left");
            node = Node {
                level: node.level + 1,
                index: node.index / 2,
                hash: node_hash(&left, &node.hash),
            };
            new.push(node);
        }
        self.hashes.push(node.hash);
        self.size += 1;
        new
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut hashes = self.hashes.iter().rev();
        let Some(last) = hashes.next() else {
            return empty_root();
        };
        hashes.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Reads complete subtrees of a stored log.
pub trait Nodes {
    /// Why reading failed.
    type Error;
    /// The hash of the complete subtree `(level, index)`, which was appended before.
    ///
    /// # Errors
    /// Where the store fails or lacks it.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over leaves `[start, end)`, from complete subtrees. `start` is a multiple of the largest power of two below
/// `end - start`, as in every recursion of RFC 9162.
fn range_root<N: Nodes>(nodes: &N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let size = end - start;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return nodes.node(
            u8::try_from(level).expect("at most 63 levels"),
            start >> level,
        );
    }
    let split = split(size);
    Ok(node_hash(
        &range_root(nodes, start, start + split)?,
        &range_root(nodes, start + split, end)?,
    ))
}

/// The largest power of two below `size`, for `size` of at least 2.
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The root of the first `size` leaves.
///
/// # Errors
/// Where the store fails.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 {
        Ok(empty_root())
    } else {
        range_root(nodes, 0, size)
    }
}

/// An inclusion proof (RFC 9162 section 2.1.3.1), for `index < size`.
///
/// # Errors
/// Where the store fails.
pub fn inclusion_proof<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// A consistency proof (RFC 9162 section 2.1.4.1), for `0 < old <= new`.
///
/// # Errors
/// Where the store fails.
pub fn consistency_proof<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end, mut complete) = (0, new, true);
    let mut path = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(nodes, start, middle)?);
            start = middle;
            complete = false;
        }
    }
    if !complete {
        path.push(range_root(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Why a log proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The leaf is not within the log.
    #[error("leaf {index} is not within a log of {size}")]
    Range {
        /// Index of the leaf.
        index: u64,
        /// Size of the log.
        size: u64,
    },
    /// The proof has another length than it must have.
    #[error("the proof has the wrong length")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

impl LogError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Range { .. } => "log-range",
            Self::Length => "log-length",
            Self::Root => "log-root",
        }
    }
}

/// Checks an inclusion proof (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`LogError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), LogError> {
    if index >= size {
        return Err(LogError::Range { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(LogError::Length);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node.is_multiple_of(2) && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node /= 2;
        last /= 2;
    }
    if last != 0 {
        return Err(LogError::Length);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(LogError::Root)
    }
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2) between two sizes, `old <= new`.
///
/// # Errors
/// [`LogError`].
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), LogError> {
    if old > new {
        return Err(LogError::Range {
            index: old,
            size: new,
        });
    }
    if old == new || old == 0 {
        let same = old == 0 && *old_root == empty_root() || old == new && old_root == new_root;
        return match (path.is_empty(), same) {
            (false, _) => Err(LogError::Length),
            (true, false) => Err(LogError::Root),
            (true, true) => Ok(()),
        };
    }
    let mut path = path.iter();
    let (mut node, mut last) = (old - 1, new - 1);
    while node % 2 == 1 {
        node /= 2;
        last /= 2;
    }
    let first = if node == 0 {
        *old_root
    } else {
        *path.next().ok_or(LogError::Length)?
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in path {
        if last == 0 {
            return Err(LogError::Length);
        }
        if node % 2 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node.is_multiple_of(2) && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node /= 2;
        last /= 2;
    }
    if last != 0 {
        return Err(LogError::Length);
    }
    if old_hash == *old_root && new_hash == *new_root {
        Ok(())
    } else {
        Err(LogError::Root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Memory(HashMap<(u8, u64), Hash>);
    impl Nodes for Memory {
        type Error = std::convert::Infallible;
        fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            Ok(self.0[&(level, index)])
        }
    }

    /// The definition of RFC 9162 section 2.1.1, word for word.
    fn definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&definition(left), &definition(right))
            }
        }
    }

    #[test]
    fn every_proof_up_to_forty_leaves_holds_and_no_altered_one_does() {
        let mut frontier = Frontier::default();
        let mut memory = Memory(HashMap::new());
        let mut leaves = Vec::new();
        let mut roots = vec![empty_root()];
        for size in 1..=40_u64 {
            let leaf = leaf_hash(&size.to_be_bytes());
            leaves.push(leaf);
            for node in frontier.append(leaf) {
                memory.0.insert((node.level, node.index), node.hash);
            }
            assert_eq!(frontier.root(), definition(&leaves), "size {size}");
            let Ok(stored) = root(&memory, size);
            assert_eq!(stored, frontier.root());
            roots.push(frontier.root());
            for index in 0..size {
                let Ok(path) = inclusion_proof(&memory, index, size);
                let leaf = &leaves[usize::try_from(index).unwrap()];
                verify_inclusion(leaf, index, size, &path, &frontier.root()).unwrap();
                assert!(
                    verify_inclusion(&Hash([9; 32]), index, size, &path, &frontier.root()).is_err()
                );
                let mut longer = path.clone();
                longer.push(Hash([0; 32]));
                assert!(verify_inclusion(leaf, index, size, &longer, &frontier.root()).is_err());
            }
            for old in 1..=size {
                let Ok(path) = consistency_proof(&memory, old, size);
                let old_root = &roots[usize::try_from(old).unwrap()];
                verify_consistency(old, old_root, size, &frontier.root(), &path).unwrap();
                assert!(
                    verify_consistency(old, &Hash([9; 32]), size, &frontier.root(), &path).is_err()
                );
                for position in 0..path.len() {
                    let mut altered = path.clone();
                    altered[position].0[0] ^= 1;
                    assert!(
                        verify_consistency(old, old_root, size, &frontier.root(), &altered)
                            .is_err()
                    );
                }
            }
        }
    }
}
