//! Consent proofs beside the raw signature checks that a certificate needs.

use crate::table::{Goal, Table};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use tegata_consent::cbor;
use tegata_consent::cose::{UnpackedKey, public_key};
use tegata_consent::header::{
    Certificate, CertifiedHeader, CommitSignature, Header, Validator, ValidatorSet, VoteStep,
    vote_bytes,
};
use tegata_consent::ids::{Address, ChainId, Hash};
use tegata_consent::proof::StateProof;
use tegata_consent::state::StateKey;
use tegata_consent::tree::TreeProof;

pub(crate) fn run(table: &mut Table) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let raw = SigningKey::from_bytes(&[1; 32]);
    let message = [7_u8; 124];
    let signature = raw.sign(&message).to_bytes();
    let unpacked = UnpackedKey::new(&public_key(&raw)).map_err(|e| text(&e))?;
    // 2^24 is the first power of two above ten million.
    for (validators, grants_bits) in [(4, 20), (10, 24)] {
        let (proof, chain, set, key) = consent_proof(validators, grants_bits);
        let bytes = cbor::encode(&proof);
        let check = || {
            let proof = StateProof::parse(&bytes).map_err(|e| text(&e))?;
            proof.verify(&chain, &set, &key).map_err(|e| text(&e))
        };
        check()?;
        let (ours, limit) = table.pair(
            || {
                black_box(check().is_ok());
            },
            || {
                black_box(unpacked.verify_strict(&message, &signature).is_ok());
            },
        );
        let signatures = proof.certified.certificate.signatures.len();
        let of = format!("{validators} validators, 2^{grants_bits} grants");
        table.row(
            &format!("consent proof check, {of}"),
            1000.0 / ours,
            "ms",
            &format!("{signatures} raw Ed25519 verifications"),
            Some(signatures as f64 * 1000.0 / limit),
            Goal::Most(0.2),
        );
        let next = consent_proof(validators, grants_bits + 1).0;
        table.row(
            &format!("consent proof size, {of}"),
            bytes.len() as f64,
            "bytes",
            "the goal",
            Some(2048.0),
            Goal::Most(2048.0),
        );
        table.row(
            &format!("consent proof growth, {of}"),
            (cbor::encode(&next).len() - bytes.len()) as f64,
            "bytes",
            "one hash",
            Some(32.0),
            Goal::Most(32.0),
        );
    }
    Ok(())
}

/// A consent proof as deep as a tree of `2^bits` keys makes it, over a value of a real grant's length.
fn consent_proof(validators: u8, bits: u32) -> (StateProof, ChainId, ValidatorSet, StateKey) {
    let keys: Vec<SigningKey> = (0..validators)
        .map(|i| SigningKey::from_bytes(&[100 + i; 32]))
        .collect();
    let set = ValidatorSet::new(
        keys.iter()
            .map(|key| Validator {
                key: public_key(key),
                power: 1,
            })
            .collect(),
    );
    let chain = ChainId([1; 32]);
    let key = StateKey::grant(&tegata_consent::ids::GrantId([5; 32]));
    let value = vec![9_u8; 260];
    let proof = TreeProof {
        other: None,
        siblings: vec![Hash([3; 32]); bits as usize],
    };
    let state_root = root(&proof, key.as_bytes(), &value);
    let header = Header {
        version: 1,
        chain,
        height: 1_000_000,
        time_ms: 1_800_000_000_000,
        proposer: Address::of(&set.validators()[0].key),
        previous: Hash([1; 32]),
        log_size: 10_000_000,
        log_root: Hash([2; 32]),
        state_root,
        validators: set.hash(),
        next_validators: set.hash(),
    };
    let hash = header.hash();
    let needed = usize::from(validators) * 2 / 3 + 1;
    let signatures = keys.iter().take(needed).map(|key| {
        let address = Address::of(&public_key(key));
        let message = vote_bytes(
            &chain,
            VoteStep::Precommit,
            header.height,
            0,
            Some(&hash),
            &address,
        );
        CommitSignature {
            address,
            signature: key.sign(&message).to_bytes().into(),
        }
    });
    let certificate = Certificate {
        height: header.height,
        round: 0,
        header: hash,
        signatures: signatures.collect(),
    };
    let certified = CertifiedHeader {
        header,
        certificate,
    };
    (
        StateProof {
            certified,
            key: key.as_bytes().to_vec().into(),
            value: Some(value.into()),
            proof,
        },
        chain,
        set,
        key,
    )
}

/// The root that a proof of presence leads to (`specs/consent/ledger.md`, section 5).
fn root(proof: &TreeProof, key: &[u8], value: &[u8]) -> Hash {
    let place = sha256(&[key]).0;
    let leaf = sha256(&[b"JMT::LeafNode", &place, &sha256(&[value]).0]);
    let levels = proof.siblings.len();
    let up = |hash: Hash, (below, sibling): (usize, &Hash)| {
        let bit = levels - 1 - below;
        let right = place[bit / 8] >> (7 - bit % 8) & 1 == 1;
        let (left, right) = if right {
            (sibling, &hash)
        } else {
            (&hash, sibling)
        };
        sha256(&[b"JMT::IntrnalNode", &left.0, &right.0])
    };
    proof.siblings.iter().enumerate().fold(leaf, up)
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}
