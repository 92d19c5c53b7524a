//! Proofs of presence and of absence in the state tree (`ledger.md`, section 5), and what is refused.
//!
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-consent --test tree` writes the file anew.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tegata_consent::cbor;
use tegata_consent::ids::Hash;
use tegata_consent::tree::{EMPTY_ROOT, TreeLeaf, TreeProof};

fn sha(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}

fn leaf(key: &[u8], value: &[u8]) -> TreeLeaf {
    TreeLeaf {
        key_hash: sha(&[key]),
        value_hash: sha(&[value]),
    }
}

fn leaf_hash(leaf: &TreeLeaf) -> Hash {
    sha(&[b"JMT::LeafNode", &leaf.key_hash.0, &leaf.value_hash.0])
}

fn bit(hash: &Hash, level: usize) -> bool {
    hash.0[level / 8] >> (7 - level % 8) & 1 == 1
}

/// The root over a leaf under siblings, lowest first.
fn root(leaf: Hash, place: &Hash, siblings: &[Hash]) -> Hash {
    let levels = siblings.len();
    siblings
        .iter()
        .enumerate()
        .fold(leaf, |hash, (below, sibling)| {
            let (left, right) = if bit(place, levels - 1 - below) {
                (sibling, &hash)
            } else {
                (&hash, sibling)
            };
            sha(&[b"JMT::IntrnalNode", &left.0, &right.0])
        })
}

/// A key whose place begins with the same `levels` bits as another's, and differs right after them.
fn neighbour(of: &Hash, levels: usize) -> Vec<u8> {
    (0_u32..)
        .map(|number| number.to_be_bytes().to_vec())
        .find(|key| {
            let place = sha(&[key]);
            (0..levels).all(|level| bit(&place, level) == bit(of, level))
                && bit(&place, levels) != bit(of, levels)
        })
        .expect("one in a few hundred does")
}

#[test]
fn vectors() {
    let (key, value) = (b"grant/1".as_slice(), b"a value".as_slice());
    let place = sha(&[key]);
    let siblings: Vec<Hash> = (1..=24).map(|byte| Hash([byte; 32])).collect();
    let other = neighbour(&place, 4);
    let near = leaf(&other, b"another value");
    let far = leaf(&neighbour(&place, 2), b"another value");
    let present = root(leaf_hash(&leaf(key, value)), &place, &siblings);
    let proof = |other: Option<&TreeLeaf>, siblings: &[Hash]| {
        cbor::encode(&TreeProof {
            other: other.cloned(),
            siblings: siblings.to_vec(),
        })
    };
    let with_other = root(leaf_hash(&near), &place, &siblings[..4]);
    let own = leaf(key, value);
    let long: Vec<Hash> = vec![Hash([1; 32]); 257];
    let mut listed = vec![0x82, 0xf6, 0x82];
    for sibling in &siblings[..2] {
        listed.extend([[0x58, 0x20].as_slice(), &sibling.0].concat());
    }
    let halved = [[0x82, 0xf6, 0x58, 0x21].as_slice(), &[1; 33]].concat();
    type Case<'a> = (
        &'a str,
        Vec<u8>,
        Hash,
        Option<&'a [u8]>,
        Result<(), &'a str>,
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "present, 24 levels",
            proof(None, &siblings),
            present,
            Some(value),
            Ok(()),
        ),
        (
            "alone in the tree",
            proof(None, &[]),
            leaf_hash(&own),
            Some(value),
            Ok(()),
        ),
        (
            "absent from an empty tree",
            proof(None, &[]),
            EMPTY_ROOT,
            None,
            Ok(()),
        ),
        (
            "absent, nothing at its place",
            proof(None, &siblings[..3]),
            root(EMPTY_ROOT, &place, &siblings[..3]),
            None,
            Ok(()),
        ),
        (
            "absent, another at its place",
            proof(Some(&near), &siblings[..4]),
            with_other,
            None,
            Ok(()),
        ),
        (
            "another value",
            proof(None, &siblings),
            present,
            Some(b"b value"),
            Err("another root"),
        ),
        (
            "a sibling left out",
            proof(None, &siblings[1..]),
            present,
            Some(value),
            Err("another root"),
        ),
        (
            "another root",
            proof(None, &siblings),
            EMPTY_ROOT,
            Some(value),
            Err("another root"),
        ),
        (
            "present, with its own leaf",
            proof(Some(&own), &siblings),
            present,
            Some(value),
            Err("ends at another key"),
        ),
        (
            "present, with another's leaf",
            proof(Some(&near), &siblings[..4]),
            with_other,
            Some(value),
            Err("ends at another key"),
        ),
        (
            "said to be absent, by its own leaf",
            proof(Some(&own), &siblings),
            present,
            None,
            Err("does not show that the key is absent"),
        ),
        (
            "absent, by a leaf of another subtree",
            proof(Some(&far), &siblings[..4]),
            root(leaf_hash(&far), &place, &siblings[..4]),
            None,
            Err("does not show that the key is absent"),
        ),
        (
            "present, said to be absent",
            proof(None, &siblings),
            present,
            None,
            Err("another root"),
        ),
        (
            "deeper than a tree can be",
            proof(None, &long),
            present,
            Some(value),
            Err("longer than 256"),
        ),
        (
            "siblings one by one",
            listed,
            present,
            Some(value),
            Err("malformed"),
        ),
        (
            "half a sibling",
            halved,
            present,
            Some(value),
            Err("not whole hashes"),
        ),
    ];
    let mut vectors = Vec::new();
    for (name, bytes, root, value, expected) in cases {
        let found = cbor::decode::<TreeProof>(&bytes, 64 * 1024)
            .map_err(|error| error.to_string())
            .and_then(|proof| {
                proof
                    .verify(&root, key, value)
                    .map_err(|error| error.to_string())
            });
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{name}: {found}"),
            _ => panic!("{name}: {found:?}"),
        }
        let mut vector = json!({ "name": name, "key": hex::encode(key), "proof": hex::encode(&bytes), "root": root.to_string() });
        if let Some(value) = value {
            vector["value"] = hex::encode(value).into();
        }
        if let Err(refused) = expected {
            vector["refused"] = refused.into();
        }
        vectors.push(vector);
    }
    let all = json!({ "page": "ledger.md", "vectors": vectors });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/tree.json");
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
    let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(frozen, all, "the format changed");
}

#[test]
fn a_level_costs_32_bytes() {
    let size = |levels: usize| {
        let siblings = vec![Hash([7; 32]); levels];
        cbor::encode(&TreeProof {
            other: None,
            siblings,
        })
        .len()
    };
    assert_eq!(size(24) - size(23), 32);
}
