//! The state tree on disk: `jmt` over RocksDB, and its proofs in our own format.
//!
//! Only the newest version is kept: a place in the tree is one key, and a new node there takes the old one's place in the
//! same batch as the block. Whoever needs an older version holds a [`super::View`].

use super::{STATE, StoreError, TREE, View};
use jmt::storage::{LeafNode, NibblePath, Node, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, Version};
use rocksdb::{ColumnFamily, WriteBatch};
use sha2_010::Sha256;
use tegata_consent::ids::Hash;
use tegata_consent::state::{Changes, StateKey};
use tegata_consent::tree::{TreeLeaf, TreeProof};

/// New nodes of the state tree, computed and not written.
#[derive(Debug)]
pub struct TreeUpdate(Option<TreeUpdateBatch>);

impl TreeUpdate {
    /// The tree of a new ledger.
    pub(super) fn first(changes: &Changes) -> Result<(Hash, Self), StoreError> {
        put(&Empty, changes, 0)
    }

    /// Adds the nodes to a block's batch.
    pub(super) fn write(&self, family: &ColumnFamily, batch: &mut WriteBatch) {
        let Some(update) = &self.0 else { return };
        let nodes = update.node_batch.nodes();
        let written: std::collections::HashSet<&NibblePath> =
            nodes.keys().map(NodeKey::nibble_path).collect();
        for stale in &update.stale_node_index_batch {
            if !written.contains(stale.node_key.nibble_path()) {
                batch.delete_cf(family, place(stale.node_key.nibble_path()));
            }
        }
        for (key, node) in nodes {
            let mut value = key.version().to_be_bytes().to_vec();
            borsh::to_writer(&mut value, node).expect("writing Borsh to memory cannot fail");
            batch.put_cf(family, place(key.nibble_path()), value);
        }
    }
}

impl View<'_> {
    /// The root of the state tree after `changes`, its version, and what a commit would write. Writes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tree_after(&self, changes: &Changes) -> Result<(Hash, u64, TreeUpdate), StoreError> {
        if changes.is_empty() {
            return Ok((
                self.tip().state_root,
                self.tip().tree_version,
                TreeUpdate(None),
            ));
        }
        let version = self.tip().tree_version + 1;
        let (root, update) = put(&Reader { view: self }, changes, version)?;
        Ok((root, version, update))
    }

    /// A value with the proof that it stands, or that nothing does, in the newest header's state tree.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prove(&self, key: &StateKey) -> Result<(Option<Vec<u8>>, TreeProof), StoreError> {
        let reader = Reader { view: self };
        let tree = JellyfishMerkleTree::<_, Sha256>::new(&reader);
        let (_, proof) = tree
            .get_with_proof(
                KeyHash::with::<Sha256>(key.as_bytes()),
                self.tip().tree_version,
            )
            .map_err(failed)?;
        let bytes = borsh::to_vec(&proof).expect("writing Borsh to memory cannot fail");
        let proof = borsh::from_slice::<WireProof>(&bytes)
            .map_err(failed)?
            .into_ours(&KeyHash::with::<Sha256>(key.as_bytes()));
        Ok((self.value(STATE, key.as_bytes())?, proof))
    }
}

fn put<R: TreeReader>(
    reader: &R,
    changes: &Changes,
    version: Version,
) -> Result<(Hash, TreeUpdate), StoreError> {
    let values = changes
        .iter()
        .map(|(key, value)| (KeyHash::with::<Sha256>(key.as_bytes()), value.clone()))
        .collect();
    let tree = JellyfishMerkleTree::<_, Sha256>::new(reader);
    let (roots, update) = tree
        .batch_put_value_sets(vec![values], None, version)
        .map_err(failed)?;
    let root = roots
        .first()
        .ok_or_else(|| StoreError::Tree("no root was computed".to_owned()))?;
    Ok((Hash(root.0), TreeUpdate(Some(update))))
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Tree(error.to_string())
}

fn place(path: &NibblePath) -> Vec<u8> {
    borsh::to_vec(path).expect("writing Borsh to memory cannot fail")
}

/// `jmt` reads through this.
struct Reader<'a, 'b> {
    view: &'a View<'b>,
}

impl TreeReader for Reader<'_, '_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let Some(value) = self.view.value(TREE, &place(key.nibble_path()))? else {
            return Ok(None);
        };
        match value.split_first_chunk::<8>() {
            Some((version, node)) if u64::from_be_bytes(*version) == key.version() => {
                Ok(Some(borsh::from_slice(node)?))
            }
            _ => Ok(None),
        }
    }

    /// Values stand in the column family `state`; [`View::prove`] reads them there.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(Vec::new()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// The tree before the genesis state.
struct Empty;

impl TreeReader for Empty {
    fn get_node_option(&self, _: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(None)
    }
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// `jmt::proof::SparseMerkleProof` as Borsh writes it; its fields are private.
#[derive(borsh::BorshDeserialize)]
struct WireProof {
    leaf: Option<WireLeaf>,
    siblings: Vec<WireNode>,
}

#[derive(borsh::BorshDeserialize)]
struct WireLeaf {
    key_hash: [u8; 32],
    value_hash: [u8; 32],
}

#[derive(borsh::BorshDeserialize)]
enum WireNode {
    Null,
    Internal { left: [u8; 32], right: [u8; 32] },
    Leaf(WireLeaf),
}

impl WireProof {
    fn into_ours(self, key: &KeyHash) -> TreeProof {
        let other = self.leaf.filter(|leaf| leaf.key_hash != key.0);
        TreeProof {
            other: other.map(|leaf| TreeLeaf {
                key_hash: Hash(leaf.key_hash),
                value_hash: Hash(leaf.value_hash),
            }),
            siblings: self.siblings.iter().map(WireNode::hash).collect(),
        }
    }
}

impl WireNode {
    fn hash(&self) -> Hash {
        match self {
            Self::Null => tegata_consent::tree::EMPTY_ROOT,
            Self::Internal { left, right } => {
                digest(jmt::proof::INTERNAL_DOMAIN_SEPARATOR, left, right)
            }
            Self::Leaf(leaf) => digest(
                jmt::proof::LEAF_DOMAIN_SEPARATOR,
                &leaf.key_hash,
                &leaf.value_hash,
            ),
        }
    }
}

fn digest(domain: &[u8], left: &[u8; 32], right: &[u8; 32]) -> Hash {
    use sha2_010::Digest as _;
    let mut hasher = Sha256::new();
    hasher.update(domain);
    hasher.update(left);
    hasher.update(right);
    Hash(hasher.finalize().into())
}

/// The root of the state tree over a whole state, computed anew.
///
/// # Errors
/// [`StoreError::Tree`].
pub fn state_root(state: &Changes) -> Result<Hash, StoreError> {
    Ok(put(&Empty, state, 0)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BlockWrite, Store, Tip};
    use tegata_consent::genesis::Genesis;
    use tegata_consent::header::{Certificate, CertifiedHeader, Header, Validator};
    use tegata_consent::ids::{Address, GrantId, Nonce, PublicKey};
    use tegata_consent::state::Parameters;

    fn genesis() -> Genesis {
        Genesis {
            name: "Test".into(),
            time_ms: 1,
            nonce: Nonce([1; 16]),
            validators: vec![Validator {
                key: PublicKey([2; 32]),
                power: 1,
            }],
            operators: vec![PublicKey([3; 32])],
            parameters: Parameters {
                sponsor_entries_per_hour: 1,
            },
        }
    }

    /// Writes changes as the next block's, with a header that nothing here looks at.
    fn write(store: &Store, changes: &Changes) {
        let view = store.view().unwrap();
        let (state_root, tree_version, tree) = view.tree_after(changes).unwrap();
        let height = view.tip().height + 1;
        let tip = Tip {
            height,
            state_root,
            tree_version,
            ..view.tip().clone()
        };
        let nothing = Hash([0; 32]);
        let header = Header {
            version: 1,
            chain: genesis().chain_id(),
            height,
            time_ms: height,
            proposer: Address([0; 20]),
            previous: nothing,
            log_size: 0,
            log_root: nothing,
            state_root,
            validators: nothing,
            next_validators: nothing,
        };
        let certificate = Certificate {
            height,
            round: 0,
            header: header.hash(),
            signatures: vec![],
        };
        let certified = CertifiedHeader {
            header,
            certificate,
        };
        let write = BlockWrite {
            certified: &certified,
            leaves: &[],
            log_nodes: &[],
            changes,
            tree: &tree,
            accesses: &[],
            tip: &tip,
            forget: &[],
        };
        store.commit(&write).unwrap();
    }

    #[test]
    fn every_proof_verifies_and_the_root_is_that_of_the_whole_state() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &genesis()).unwrap();
        let key = |number: u64| {
            StateKey::grant(&GrantId(
                Hash(tegata_consent::ids::hash("test", &[&number.to_be_bytes()])).0,
            ))
        };
        let mut all = genesis().state();
        for block in 0..30_u64 {
            // New keys and changed ones, few and many, and now and then none.
            let numbers = (0..block % 7 * 9).map(|number| (block / 2 * 40 + number) * 31 % 400);
            let changes: Changes = numbers
                .map(|number| (key(number), format!("{block}/{number}").into_bytes()))
                .collect();
            write(&store, &changes);
            all.extend(changes);
            let view = store.view().unwrap();
            assert_eq!(
                view.tip().state_root,
                state_root(&all).unwrap(),
                "block {block}"
            );
            for number in 0..420 {
                let (key, expected) = (key(number), all.get(&key(number)));
                let (value, proof) = view.prove(&key).unwrap();
                assert_eq!(value.as_ref(), expected);
                proof
                    .verify(&view.tip().state_root, key.as_bytes(), value.as_deref())
                    .unwrap();
                let other = if expected.is_some() {
                    None
                } else {
                    Some(b"x".as_slice())
                };
                assert!(
                    proof
                        .verify(&view.tip().state_root, key.as_bytes(), other)
                        .is_err()
                );
            }
        }
    }

    #[test]
    fn an_old_view_still_proves_what_stood_then() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &genesis()).unwrap();
        let key = StateKey::grant(&GrantId([5; 32]));
        let old = store.view().unwrap();
        write(&store, &[(key.clone(), b"new".to_vec())].into());
        let (value, proof) = old.prove(&key).unwrap();
        assert_eq!(value, None);
        proof
            .verify(&old.tip().state_root, key.as_bytes(), None)
            .unwrap();
        assert_eq!(
            store.view().unwrap().prove(&key).unwrap().0,
            Some(b"new".to_vec())
        );
    }

    #[test]
    fn another_ledgers_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), &genesis()).unwrap());
        let other = Genesis {
            time_ms: 2,
            ..genesis()
        };
        assert!(matches!(
            Store::open(folder.path(), &other),
            Err(StoreError::OtherLedger { .. })
        ));
    }
}
