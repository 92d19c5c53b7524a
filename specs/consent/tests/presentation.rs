//! Consent of a presentation, from `vectors/presentation.json`: what is accepted, and each reason for which something is not.
//!
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-consent --test presentation` writes the file anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod world;

use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tegata_consent::cbor;
use tegata_consent::cose::public_key;
use tegata_consent::header::{
    Certificate, CertifiedHeader, CommitSignature, Header, ValidatorSet, VoteStep, vote_bytes,
};
use tegata_consent::history::GENESIS_HEAD;
use tegata_consent::ids::{Address, ChainId, Hash, OrganisationId, Salt};
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::presentation::{PresentedConsent, Question, Trust, one_time_grant};
use tegata_consent::proof::StateProof;
use tegata_consent::state::{GrantState, StateKey};
use tegata_consent::status::{StatusListState, status_list_id};
use tegata_consent::tree::{TreeLeaf, TreeProof};
use world::{START_MS, World, grant_id, id, organisation};

const REQUEST: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJub25jZSI6Im4tMSJ9.c2lnbmF0dXJl";
const STATUS_URI: &str = "https://clinic.example/v1/status-lists/1";
const AT_MS: u64 = START_MS + 60_000;
const UNTIL_MS: u64 = START_MS + 600_000;

/// One presentation with the question and the policy under which it is judged.
#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Vector {
    name: String,
    /// The claim `tegata_consent`, hexadecimal.
    consent: String,
    request: String,
    recipient: String,
    categories: Vec<String>,
    purpose: String,
    legal_basis: String,
    retention_days: u32,
    until_ms: u64,
    age_max_ms: u64,
    at_ms: u64,
    /// Absent: accepted. Otherwise the code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    page: String,
    chain: String,
    /// Deterministic CBOR of the validator set, hexadecimal.
    validators: String,
    vectors: Vec<Vector>,
}

impl Vector {
    fn judge(&self, chain: &ChainId, validators: &ValidatorSet) -> Result<(), &'static str> {
        let recipient: OrganisationId = self.recipient.parse().unwrap();
        let question = Question {
            request: self.request.as_bytes(),
            recipient: &recipient,
            categories: &self.categories,
            purpose: &self.purpose,
            legal_basis: &self.legal_basis,
            retention_days: self.retention_days,
            until_ms: self.until_ms,
        };
        let trust = Trust {
            chain,
            validators,
            age_max_ms: self.age_max_ms,
            at_ms: self.at_ms,
        };
        let consent = PresentedConsent::parse(&hex::decode(&self.consent).unwrap())
            .map_err(|error| error.code())?;
        consent
            .check(&question, &trust)
            .map_err(|error| error.code())?;
        consent.issuer(&trust).map_err(|error| error.code())?;
        consent
            .status_list(&id("clinic"), STATUS_URI, &trust)
            .map_err(|error| error.code())?;
        Ok(())
    }
}

/// A state proof in a tree of one leaf, under a header of a given time.
fn proof(world: &World, key: &StateKey, value: Option<Vec<u8>>, time_ms: u64) -> StateProof {
    let sha = |bytes: &[u8]| Hash(Sha256::digest(bytes).into());
    let leaf = match &value {
        Some(value) => TreeLeaf {
            key_hash: sha(key.as_bytes()),
            value_hash: sha(value),
        },
        None => TreeLeaf {
            key_hash: sha(b"another key"),
            value_hash: sha(b"another value"),
        },
    };
    let root = Sha256::new()
        .chain_update(b"JMT::LeafNode")
        .chain_update(leaf.key_hash.0)
        .chain_update(leaf.value_hash.0)
        .finalize();
    let set = world.genesis.validator_set();
    let header = Header {
        version: 1,
        chain: world.chain,
        height: 9,
        time_ms,
        proposer: Address::of(&set.validators()[0].key),
        previous: Hash([1; 32]),
        log_size: 3,
        log_root: Hash([2; 32]),
        state_root: Hash(root.into()),
        validators: set.hash(),
        next_validators: set.hash(),
    };
    let hash = header.hash();
    let sign = |i: usize| {
        let signer = world::key(&format!("validator{i}"));
        let address = Address::of(&public_key(&signer));
        let vote = vote_bytes(
            &world.chain,
            VoteStep::Precommit,
            9,
            0,
            Some(&hash),
            &address,
        );
        CommitSignature {
            address,
            signature: signer.sign(&vote).to_bytes().into(),
        }
    };
    StateProof {
        certified: CertifiedHeader {
            certificate: Certificate {
                height: 9,
                round: 0,
                header: hash,
                signatures: (0..3).map(sign).collect(),
            },
            header,
        },
        key: key.as_bytes().to_vec().into(),
        value: value.map(Into::into),
        proof: TreeProof {
            other: (leaf.key_hash != sha(key.as_bytes())).then_some(leaf),
            siblings: vec![],
        },
    }
}

/// What the ledger says of the clinic's status list under a URI.
fn status_list(case: &Case, uri: &str, time_ms: u64) -> StateProof {
    let state = StatusListState {
        token: Hash([4; 32]),
        issued_ms: START_MS,
        published_ms: START_MS,
        count: 1,
        recalled: 0,
    };
    let key = StateKey::status_list(&id("clinic"), &status_list_id(uri));
    proof(&case.world, &key, Some(cbor::encode(&state)), time_ms)
}

struct Case {
    world: World,
    state: GrantState,
    salt: Salt,
    time_ms: u64,
    absent: bool,
    issuer: Option<StateProof>,
    status: Option<StateProof>,
    vector: Vector,
}

impl Case {
    fn new(name: &str) -> Self {
        let world = World::empty();
        let recipient = id("insurer");
        let categories = ["vaccination".to_owned()];
        let salt = Salt([6; 32]);
        let question = Question {
            request: REQUEST,
            recipient: &recipient,
            categories: &categories,
            purpose: "payout",
            legal_basis: "consent",
            retention_days: 30,
            until_ms: UNTIL_MS,
        };
        let state = GrantState {
            grant: one_time_grant(&question, id("host"), &salt, START_MS),
            granted_ms: START_MS + 1000,
            revoked_ms: None,
            uses: 0,
            accesses: 0,
            accesses_head: GENESIS_HEAD,
        };
        let registered = OrganisationState {
            id: id("clinic"),
            organisation: organisation("clinic", &[Role::Issuer], &["vaccination"], &[]),
            sequence: 0,
            registered_ms: START_MS,
            suspensions: vec![],
        };
        let issuer = proof(
            &world,
            &StateKey::organisation(&id("clinic")),
            Some(cbor::encode(&registered)),
            AT_MS - 2000,
        );
        Self {
            world,
            state,
            salt,
            time_ms: AT_MS - 1000,
            absent: false,
            issuer: Some(issuer),
            status: None,
            vector: Vector {
                name: name.into(),
                consent: String::new(),
                request: String::from_utf8(REQUEST.to_vec()).unwrap(),
                recipient: recipient.to_string(),
                categories: categories.to_vec(),
                purpose: "payout".into(),
                legal_basis: "consent".into(),
                retention_days: 30,
                until_ms: UNTIL_MS,
                age_max_ms: 30_000,
                at_ms: AT_MS,
                refused: None,
            },
        }
    }

    fn consent(&self) -> PresentedConsent {
        let grant = grant_id("one-time");
        let value = (!self.absent).then(|| cbor::encode(&self.state));
        PresentedConsent {
            grant,
            salt: self.salt,
            proof: proof(&self.world, &StateKey::grant(&grant), value, self.time_ms),
            issuer: self.issuer.clone(),
            status: self.status.clone(),
        }
    }
}

fn case(name: &str, refused: Option<&str>, alter: impl FnOnce(&mut Case)) -> Vector {
    let mut case = Case::new(name);
    alter(&mut case);
    let consent = hex::encode(case.consent().to_bytes());
    Vector {
        consent,
        refused: refused.map(str::to_owned),
        ..case.vector
    }
}

/// As [`case`], and what is carried is altered after it was made.
fn carried(name: &str, refused: &str, alter: impl FnOnce(&mut PresentedConsent)) -> Vector {
    let case = Case::new(name);
    let mut consent = case.consent();
    alter(&mut consent);
    Vector {
        consent: hex::encode(consent.to_bytes()),
        refused: Some(refused.to_owned()),
        ..case.vector
    }
}

#[test]
fn presentations() {
    let refuse = |name: &str, code: &str, alter: fn(&mut Case)| case(name, Some(code), alter);
    let mut vectors = vec![
        case("with the issuer's proof", None, |_| {}),
        case("with the status list's proof", None, |c| {
            c.status = Some(status_list(c, STATUS_URI, AT_MS));
        }),
        case("without the issuer's proof", None, |c| c.issuer = None),
        case("the oldest proof that the policy allows", None, |c| {
            c.issuer = None;
            c.time_ms = AT_MS - 30_000;
        }),
        case("the ledger's clock is a little ahead", None, |c| {
            c.time_ms = AT_MS + 60_000;
        }),
        case("the person allows less retention", None, |c| {
            c.state.grant.retention_days = 1;
        }),
        case(
            "the grant names a further category of the request",
            None,
            |c| {
                c.state.grant.categories = vec!["laboratory".into(), "vaccination".into()];
            },
        ),
        refuse("too old", "proof-too-old", |c| c.time_ms = AT_MS - 30_001),
        refuse("in the future", "proof-in-future", |c| {
            c.time_ms = AT_MS + 60_001;
        }),
        refuse("the issuer's proof is too old", "proof-too-old", |c| {
            let key = StateKey::organisation(&id("clinic"));
            let old = c.issuer.take().unwrap().value.map(Vec::from);
            c.issuer = Some(proof(&c.world, &key, old, AT_MS - 30_001));
        }),
        refuse("another status list", "proof-state", |c| {
            c.status = Some(status_list(c, "https://clinic.example/2", AT_MS));
        }),
        refuse("the status list's proof is too old", "proof-too-old", |c| {
            c.status = Some(status_list(c, STATUS_URI, AT_MS - 30_001));
        }),
        refuse(
            "the issuer is not registered",
            "no-such-organisation",
            |c| {
                let key = StateKey::organisation(&id("clinic"));
                c.issuer = Some(proof(&c.world, &key, None, AT_MS));
            },
        ),
        refuse(
            "a grant in the issuer's place",
            "no-such-organisation",
            |c| {
                let key = StateKey::grant(&grant_id("one-time"));
                c.issuer = Some(proof(&c.world, &key, None, AT_MS));
            },
        ),
        refuse("no such grant", "no-such-grant", |c| c.absent = true),
        refuse("for another organisation", "not-recipient", |c| {
            c.state.grant.recipient = id("clinic");
        }),
        refuse("asked by another organisation", "not-recipient", |c| {
            c.vector.recipient = id("clinic").to_string();
        }),
        refuse("another salt", "request-mismatch", |c| {
            c.salt = Salt([7; 32]);
        }),
        refuse("another request", "request-mismatch", |c| {
            c.vector.request.push('x');
        }),
        refuse("the commitment of a scope", "request-mismatch", |c| {
            let scope =
                tegata_consent::scope::Scope::of_drawers(vec![tegata_consent::ids::DrawerId(
                    [1; 16],
                )]);
            c.state.grant.commitment = scope.commitment(&c.salt);
        }),
        refuse(
            "the commitment of a consent request",
            "request-mismatch",
            |c| {
                c.state.grant.commitment =
                    tegata_consent::request::request_commitment(&c.salt, REQUEST);
            },
        ),
        refuse("another category is shown", "category-not-granted", |c| {
            c.vector.categories.push("laboratory".into());
        }),
        refuse("another purpose", "purpose-mismatch", |c| {
            c.state.grant.purpose = "care".into();
        }),
        refuse("another legal basis", "legal-basis-mismatch", |c| {
            c.state.grant.legal_basis = "contract".into();
        }),
        refuse("longer retention", "beyond-request", |c| {
            c.state.grant.retention_days = 31;
        }),
        refuse("a later end", "beyond-request", |c| {
            c.state.grant.until_ms += 1;
        }),
        refuse("no limit of uses", "not-one-time", |c| {
            c.state.grant.uses_max = None;
        }),
        refuse("two uses", "not-one-time", |c| {
            c.state.grant.uses_max = Some(2);
        }),
        refuse("used by an access", "used-up", |c| c.state.uses = 1),
        refuse("revoked", "revoked", |c| {
            c.state.revoked_ms = Some(AT_MS - 2000);
        }),
        refuse("not started", "not-started", |c| {
            c.state.grant.from_ms = AT_MS;
        }),
        refuse("ended at the header's time", "expired", |c| {
            c.state.grant.until_ms = AT_MS - 1000;
        }),
        refuse("ended since", "expired", |c| {
            c.state.grant.until_ms = AT_MS;
        }),
        carried("an altered header", "proof-header", |c| {
            c.proof.certified.header.height += 1;
        }),
        carried("two of four signatures", "proof-header", |c| {
            c.proof.certified.certificate.signatures.pop();
        }),
        carried("an altered value", "proof-state", |c| {
            c.proof.value.as_mut().unwrap()[20] ^= 1;
        }),
        carried("another grant's proof", "proof-state", |c| {
            c.grant = grant_id("another");
        }),
        carried("an altered issuer", "proof-state", |c| {
            c.issuer.as_mut().unwrap().value.as_mut().unwrap()[20] ^= 1;
        }),
    ];
    // A value that validators signed and that is no grant: nothing of it is believed.
    vectors.push({
        let case = Case::new("a damaged value");
        let mut consent = case.consent();
        let key = StateKey::grant(&consent.grant);
        consent.proof = proof(&case.world, &key, Some(vec![0xa0]), AT_MS);
        Vector {
            consent: hex::encode(consent.to_bytes()),
            refused: Some("proof-value".into()),
            ..case.vector
        }
    });
    let good = Case::new("x").consent().to_bytes();
    let raw = |name: &str, bytes: &[u8]| Vector {
        name: name.into(),
        consent: hex::encode(bytes),
        refused: Some("consent-encoding".into()),
        ..Case::new("x").vector
    };
    vectors.push(raw("cut off", &good[..good.len() - 1]));
    vectors.push(raw("a trailing byte", &[good.clone(), vec![0]].concat()));
    vectors.push(raw("nothing", &[]));
    let mut unknown = good.clone();
    unknown[0] += 1;
    unknown.extend_from_slice(&[24, 99, 0]);
    vectors.push(raw("an unknown key", &unknown));

    let world = World::empty();
    let set = world.genesis.validator_set();
    for vector in &vectors {
        let found = vector.judge(&world.chain, &set).err();
        assert_eq!(found, vector.refused.as_deref(), "{}", vector.name);
    }
    let all = Vectors {
        page: "presentation.md".into(),
        chain: world.chain.to_string(),
        validators: hex::encode(cbor::encode(&set)),
        vectors,
    };
    let path = format!("{}/vectors/presentation.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).expect("the vectors are in the repository");
    let stored: Vectors = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, all, "an encoding has changed");
}

#[test]
fn every_altered_byte_is_noticed() {
    let case = Case::new("good");
    let set = case.world.genesis.validator_set();
    let good = case.consent().to_bytes();
    for position in 0..good.len() {
        let mut altered = good.clone();
        altered[position] ^= 1;
        let vector = Vector {
            consent: hex::encode(&altered),
            ..case.vector.clone()
        };
        assert!(
            vector.judge(&case.world.chain, &set).is_err(),
            "byte {position}"
        );
    }
}

#[test]
fn no_more_is_read_than_the_limit() {
    let bytes = vec![0xa3; PresentedConsent::LIMIT + 1];
    assert_eq!(
        PresentedConsent::parse(&bytes).unwrap_err().code(),
        "consent-encoding"
    );
}
