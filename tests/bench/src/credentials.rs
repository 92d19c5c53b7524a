//! SD-JWT VC and consent proofs beside raw Ed25519.

use crate::table::Table;
use ed25519_dalek::{Signer, SigningKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::hint::black_box;
use tegata_consent::cbor;
use tegata_consent::cose::{public_key, verify_strict};
use tegata_consent::header::{
    Certificate, CertifiedHeader, CommitSignature, Header, Validator, ValidatorSet, VoteStep,
    vote_bytes,
};
use tegata_consent::ids::{Address, ChainId, Hash};
use tegata_consent::proof::StateProof;
use tegata_consent::state::StateKey;
use tegata_consent::tree::{TreeLeaf, TreeProof};
use tegata_credential::keys::{Algorithm, SigningKey as CredentialKey};
use tegata_credential::sd_jwt::{Issuance, KeyBinding, KeyBindingPolicy, Path, SdJwt, issue};
use tegata_records::catalogue;

const AT_S: i64 = 1_800_000_000;

pub(crate) fn run(table: &mut Table) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let raw = SigningKey::from_bytes(&[1; 32]);
    let raw_public = public_key(&raw);
    let message = [7_u8; 512];
    let signature = raw.sign(&message).to_bytes();

    let claims = json!({ "vaccine_code": "hib", "date": "2026-04-10", "dose_number": 1,
        "place": { "name": "みどり小児科クリニック" }, "lot_number": "LOT1A" });
    let record_type = catalogue()
        .by_id("vaccination")
        .ok_or("the catalogue has vaccinations")?;
    let paths: Vec<Path> = record_type
        .disclosable(&claims)
        .into_iter()
        .map(Path::new)
        .collect();
    let issuer = CredentialKey::from_bytes(Algorithm::EdDsa, &[2; 32]).map_err(|e| text(&e))?;
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[3; 32]).map_err(|e| text(&e))?;
    let holder_public = holder.public_key();
    let mut issuance = Issuance::new("did:web:clinic.example", record_type.vct(), AT_S, &claims);
    issuance.disclosable = &paths;
    issuance.holder = Some(&holder_public);
    let mut rng = StdRng::seed_from_u64(1);
    let credential = issue(&issuance, &issuer, &mut rng).map_err(|e| text(&e))?;

    let (ours, limit) = table.pair(
        || {
            black_box(issue(&issuance, &issuer, &mut rng).is_ok());
        },
        || {
            black_box(raw.sign(&message));
        },
    );
    table.row(
        "SD-JWT VC issue",
        ours,
        "per second and core",
        "raw Ed25519 sign",
        Some(limit),
        "≥ 0.5",
    );

    let key = issuer.public_key();
    let presentation = SdJwt::parse(&credential)
        .map_err(|e| text(&e))?
        .present(
            &paths,
            &KeyBinding::new("https://verifier.example", "n-1", AT_S),
            &holder,
        )
        .map_err(|e| text(&e))?;
    let policy = KeyBindingPolicy {
        audience: "https://verifier.example",
        nonce: "n-1",
        max_age_s: 600,
    };
    let check = || {
        SdJwt::parse(&presentation)
            .map_err(|e| text(&e))?
            .verify_with_key_binding(&key, &policy, AT_S)
            .map_err(|e| text(&e))
    };
    check()?;
    let (ours, limit) = table.pair(
        || {
            black_box(check().is_ok());
        },
        || {
            black_box(verify_strict(&raw_public, &message, &signature).is_ok());
        },
    );
    table.row(
        "SD-JWT VC verify with key binding",
        ours,
        "per second and core",
        "raw Ed25519 verify ÷ 2",
        Some(limit / 2.0),
        "≥ 0.8",
    );

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
                black_box(verify_strict(&raw_public, &message, &signature).is_ok());
            },
        );
        let signatures = f64::from(
            u32::try_from(proof.certified.certificate.signatures.len()).unwrap_or(u32::MAX),
        );
        let name = format!("consent proof check, {validators} validators, 2^{grants_bits} grants");
        table.row(
            &name,
            ours,
            "per second and core",
            "raw Ed25519 verify ÷ signatures",
            Some(limit / signatures),
            "≤ 0.2 ms each",
        );
        let name = format!("consent proof size, {validators} validators, 2^{grants_bits} grants");
        table.row(
            &name,
            bytes.len() as f64,
            "bytes",
            "the goal",
            Some(2048.0),
            "≤ 2,048 bytes",
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
    let leaf = TreeLeaf {
        key_hash: sha256(&[key.as_bytes()]),
        value_hash: sha256(&[&value]),
    };
    let proof = TreeProof {
        leaf: Some(leaf),
        siblings: vec![Hash([3; 32]); bits as usize],
    };
    let state_root = root(&proof, key.as_bytes());
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

/// The root that a proof leads to (`specs/consent/ledger.md`, section 5).
fn root(proof: &TreeProof, key: &[u8]) -> Hash {
    let place = sha256(&[key]).0;
    let leaf = proof
        .leaf
        .as_ref()
        .map_or(tegata_consent::tree::EMPTY_ROOT, |leaf| {
            sha256(&[b"JMT::LeafNode", &leaf.key_hash.0, &leaf.value_hash.0])
        });
    proof
        .siblings
        .iter()
        .enumerate()
        .fold(leaf, |hash, (below, sibling)| {
            let bit = proof.siblings.len() - 1 - below;
            let right = place[bit / 8] >> (7 - bit % 8) & 1 == 1;
            let (left, right) = if right {
                (sibling, &hash)
            } else {
                (&hash, sibling)
            };
            sha256(&[b"JMT::IntrnalNode", &left.0, &right.0])
        })
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}
