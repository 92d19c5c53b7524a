//! Frozen encodings: what was written once must come out the same for ever, and what was refused must stay refused.
//!
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-consent --test vectors` writes the files anew; the difference is a change of
//! format and belongs into a decision record.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod world;

use coset::{CborSerializable, TaggedCborSerializable};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tegata_consent::SUITE_X25519;
use tegata_consent::cbor;
use tegata_consent::cose::{Sign1, Signed};
use tegata_consent::deposit::{Deposit, DepositReceipt, EMPTY_HEAD};
use tegata_consent::entry::{Body, Entry, OrganisationChange, OrganisationSuspension};
use tegata_consent::fetch::GrantHistory;
use tegata_consent::header::{
    Certificate, CertifiedHeader, CommitSignature, Header, ValidatorSet, VoteStep, vote_bytes,
};
use tegata_consent::history::HistoryReader;
use tegata_consent::ids::{Address, ChainId, DrawerId, EntryId, Hash, Nonce, RecordId, Salt};
use tegata_consent::invitation::{Drawer, Invitation, pairing_hash};
use tegata_consent::keys::VaultSecret;
use tegata_consent::log::{LogLeaf, empty_root, node_hash};
use tegata_consent::order::Order;
use tegata_consent::organisation::Role;
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::request::ConsentRequest;
use tegata_consent::scope::Scope;
use tegata_consent::state::{GrantState, Outcome, Refusal, StateKey};
use tegata_consent::status::{
    StatusListRefused, StatusListState, check_status_list, erasure_commitment, status_list_cwt_id,
    status_list_id, token_digest,
};
use tegata_consent::tree::TreeProof;
use world::{DAY_MS, START_MS, World, grant_id, id, key, organisation};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vector {
    name: String,
    /// Hexadecimal.
    bytes: String,
    /// Absent: accepted. Otherwise a part of the reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
    /// The id or hash of what was accepted, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    hash: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    page: String,
    chain: String,
    vectors: Vec<Vector>,
}

fn frozen<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    file: &str,
    vectors: T,
) {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(
            &path,
            serde_json::to_string_pretty(&vectors).unwrap() + "\n",
        )
        .unwrap();
    }
    let text = std::fs::read_to_string(&path).expect("the vectors are in the repository");
    let stored: T = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, vectors, "{file}: an encoding has changed");
}

fn accepted(name: &str, bytes: &[u8], hash: Option<[u8; 32]>) -> Vector {
    Vector {
        name: name.into(),
        bytes: hex::encode(bytes),
        refused: None,
        hash: hash.map(hex::encode),
    }
}

fn refused(name: &str, bytes: &[u8], reason: &str) -> Vector {
    Vector {
        name: name.into(),
        bytes: hex::encode(bytes),
        refused: Some(reason.into()),
        hash: None,
    }
}

/// The signature of `key` over any payload, in an entry's envelope.
fn entry_with(payload: Vec<u8>, chain: &ChainId) -> Vec<u8> {
    Sign1::sign(&key("g"), tegata_consent::entry::ENTRY_TYPE, chain, payload).to_bytes()
}

#[test]
fn entries() {
    let world = World::new();
    let chain = world.chain;
    let clinic = organisation(
        "clinic",
        &[Role::Issuer, Role::Verifier],
        &["vaccination"],
        &[("care", &["vaccination"])],
    );
    let mut full_grant = world.grant_body();
    full_grant.uses_max = Some(3);
    full_grant.request = Some(Hash([8; 32]));
    let good = [
        (
            "organisation registered",
            world.registry(&Body::OrganisationRegistered(clinic.clone()), 3),
        ),
        (
            "organisation changed",
            world.registry(
                &Body::OrganisationChanged(OrganisationChange {
                    id: id("clinic"),
                    sequence: 1,
                    organisation: clinic,
                }),
                4,
            ),
        ),
        (
            "organisation suspended",
            world.registry(
                &Body::OrganisationSuspended(OrganisationSuspension {
                    id: id("clinic"),
                    sequence: 2,
                    suspended: true,
                }),
                3,
            ),
        ),
        ("grant", world.grant("g", world.grant_body())),
        ("grant with all keys", world.grant("g", full_grant)),
        ("revocation", world.revocation("g")),
        ("access", world.access("g", "clinic", 1)),
        (
            "status list published",
            world.status_list("clinic", 1, START_MS),
        ),
        (
            "over-asking",
            world.over_asking(&world.request(), "insurer"),
        ),
        ("erasure confirmed", world.erasure("g", "clinic", 1)),
    ];
    let mut vectors: Vec<_> = good
        .iter()
        .map(|(name, entry)| accepted(name, entry.bytes(), Some(entry.id().0)))
        .collect();

    // coset, which we did not write, reads the same structure and checks the same signature
    for (name, entry) in &good {
        let sign1 = coset::CoseSign1::from_tagged_slice(entry.bytes())
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(
            sign1.protected.header.alg,
            Some(coset::Algorithm::Assigned(coset::iana::Algorithm::EdDSA))
        );
        assert_eq!(sign1.protected.header.key_id, entry.entry().signer().0);
        sign1
            .verify_signature(&chain.0, |signature, message| {
                tegata_consent::cose::verify_strict(&entry.entry().signer(), message, signature)
            })
            .unwrap();
    }

    let grant = good[3].1.bytes().to_vec();
    let payload = cbor_payload(&grant);
    let with_kind = |kind: u8| {
        let mut payload = payload.clone();
        assert_eq!(payload[1], 16, "kinds below 24 are one byte");
        if kind < 24 {
            payload[1] = kind
        } else {
            payload.splice(1..2, [24, kind]);
        }
        entry_with(payload, &chain)
    };
    for kind in [0, 4, 5, 6, 7, 8, 9, 15, 19, 23, 26, 28, 29, 30, 31] {
        vectors.push(refused(
            &format!("kind {kind}, which nothing uses yet"),
            &with_kind(kind),
            "is not accepted by this version",
        ));
    }
    // another kind's number over a grant's body
    for (kind, reason) in [(24, "malformed"), (25, "malformed"), (27, "malformed")] {
        vectors.push(refused(
            &format!("a grant's body as kind {kind}"),
            &with_kind(kind),
            reason,
        ));
    }
    let mut cut = grant.clone();
    cut.truncate(grant.len() - 1);
    vectors.push(refused("cut off", &cut, "malformed"));
    let mut longer = grant.clone();
    longer.push(0);
    vectors.push(refused(
        "trailing byte",
        &longer,
        "not the deterministic encoding",
    ));
    let mut untagged = grant.clone();
    untagged.remove(0);
    vectors.push(refused("without tag 18", &untagged, "malformed"));
    let mut long_length = grant.clone();
    assert_eq!(long_length[1], 0x84);
    long_length.splice(1..2, [0x98, 4]);
    vectors.push(refused(
        "array length in two bytes",
        &long_length,
        "not the deterministic encoding",
    ));
    let mut doubled = payload.clone();
    let at = 11; // behind array head, kind, and a time of nine bytes
    assert_eq!(doubled[at] & 0xe0, 0xa0, "the body is a map");
    doubled[at] += 1;
    doubled.splice(at + 1..at + 1, [1, 0x58, 32].into_iter().chain([7; 32]));
    vectors.push(refused(
        "duplicate key in the body",
        &entry_with(doubled, &chain),
        "not the deterministic encoding",
    ));
    let mut unknown = payload.clone();
    unknown[at] += 1;
    unknown.extend_from_slice(&[0x18, 99, 0]);
    vectors.push(refused(
        "unknown key in the body",
        &entry_with(unknown, &chain),
        "not the deterministic encoding",
    ));
    vectors.push(refused("over 16 KiB", &vec![0xd2; 16_385], "16385 bytes"));
    vectors.push(refused("empty", &[], "malformed"));
    let mut altered = grant.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    vectors.push(refused("altered signature", &altered, "does not hold"));
    let other_chain = Entry::sign(
        &key("g"),
        &ChainId([9; 32]),
        START_MS,
        Body::Grant(world.grant_body()),
    );
    vectors.push(refused(
        "signed for another ledger",
        &other_chain.to_bytes(),
        "does not hold",
    ));
    let other_type =
        Sign1::sign(&key("g"), "application/tegata-order+cbor", &chain, payload).to_bytes();
    vectors.push(refused(
        "another type",
        &other_type,
        "type \"application/tegata-order+cbor\"",
    ));

    for vector in &vectors {
        let bytes = hex::decode(&vector.bytes).unwrap();
        let result = Entry::parse(&bytes).and_then(|entry| entry.verify(&chain));
        match (&vector.refused, result) {
            (None, Ok(entry)) => assert_eq!(
                vector.hash.as_deref(),
                Some(entry.id().to_string().as_str()),
                "{}",
                vector.name
            ),
            (Some(reason), Err(error)) => assert!(
                error.to_string().contains(reason),
                "{}: {error}",
                vector.name
            ),
            (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", vector.name),
        }
    }
    frozen(
        "entries.json",
        Vectors {
            page: "entries.md".into(),
            chain: chain.to_string(),
            vectors,
        },
    );
}

/// Where libraries differ about Ed25519 validators must not: signatures hold as RFC 8032 §5.1.7 has it, with S below the order,
/// no key or R of small order, and the equation without the cofactor.
#[test]
fn signatures() {
    let world = World::new();
    let chain = world.chain;
    let payload = cbor_payload(&world.grant("g", world.grant_body()).entry().to_bytes());
    let good = entry_with(payload, &chain);
    let public = tegata_consent::cose::public_key(&key("g")).0;
    let at = |needle: &[u8]| good.windows(needle.len()).position(|found| found == needle);
    let (key_at, signature_at) = (at(&public).unwrap(), good.len() - 64);
    let with = |key: &[u8; 32], r: &[u8; 32], s: &[u8; 32]| {
        let mut bytes = good.clone();
        bytes[key_at..key_at + 32].copy_from_slice(key);
        bytes[signature_at..signature_at + 32].copy_from_slice(r);
        bytes[signature_at + 32..].copy_from_slice(s);
        bytes
    };
    let (r, s): ([u8; 32], [u8; 32]) = (
        good[signature_at..signature_at + 32].try_into().unwrap(),
        good[signature_at + 32..].try_into().unwrap(),
    );
    // The order of the base point, little-endian.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    let mut above = s;
    for (byte, add) in above.iter_mut().zip(order.unwrap()) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = (carry & 0xff) as u8;
        carry >>= 8;
    }
    let point = |y: u8, rest: u8, top: u8| {
        let mut bytes = [rest; 32];
        (bytes[0], bytes[31]) = (y, top);
        bytes
    };
    let (identity, zero) = (point(1, 0, 0), [0; 32]);
    // The same envelope with other headers.
    let text = |bytes: &[u8]| [&[0x58, bytes.len() as u8], bytes].concat();
    let kid = [&[4][..], &text(&public)].concat();
    let typ = b"\x10\x78\x1dapplication/tegata-entry+cbor";
    let header =
        |parts: &[&[u8]]| text(&[&[0xa0 | parts.len() as u8], &parts.concat()[..]].concat());
    let whole = header(&[b"\x01\x27", &kid, typ]);
    let from = at(&whole).unwrap();
    let rest = &good[from + whole.len() + 1..];
    let headed = |protected: &[u8], unprotected: &[u8]| {
        [&good[..from], protected, unprotected, rest].concat()
    };
    let counter = [b"\xa1\x0b\x81\x83", &whole[..], b"\xa0", &text(&[7; 64])].concat();
    let entry = Entry::parse(&good).unwrap();
    let mut vectors = vec![accepted(
        "as it was signed",
        &good,
        Some(entry.id(&chain).0),
    )];
    for (name, bytes, code) in [
        (
            "S with the order added",
            with(&public, &r, &above),
            "envelope-signature",
        ),
        (
            "S zero and R the identity, by the identity",
            with(&identity, &identity, &zero),
            "envelope-signature",
        ),
        (
            "the same, its key written as p + 1",
            with(&point(0xee, 0xff, 0x7f), &identity, &zero),
            "envelope-signature",
        ),
        (
            "the same, its key written with a sign",
            with(&point(1, 0, 0x80), &identity, &zero),
            "envelope-signature",
        ),
        (
            "R the identity",
            with(&public, &identity, &s),
            "envelope-signature",
        ),
        (
            "R no point",
            with(&public, &point(2, 0, 0), &s),
            "envelope-signature",
        ),
        (
            "a key that is no point",
            with(&point(2, 0, 0), &r, &s),
            "envelope-key",
        ),
        (
            "the algorithm RS256",
            headed(&header(&[b"\x01\x39\x01\x00", &kid, typ]), b"\xa0"),
            "envelope-algorithm",
        ),
        (
            "no type",
            headed(&header(&[b"\x01\x27", &kid]), b"\xa0"),
            "envelope-header",
        ),
        (
            "a countersignature with a type",
            headed(&whole, &counter),
            "envelope-header",
        ),
    ] {
        let found = Entry::parse(&bytes).and_then(|entry| entry.verify(&chain));
        assert_eq!(found.err().map(|error| error.code()), Some(code), "{name}");
        vectors.push(refused(name, &bytes, code));
    }
    assert!(entry.verify(&chain).is_ok());
    frozen(
        "signatures.json",
        Vectors {
            page: "encoding.md".into(),
            chain: chain.to_string(),
            vectors,
        },
    );
}

fn cbor_payload(envelope: &[u8]) -> Vec<u8> {
    coset::CoseSign1::from_tagged_slice(envelope)
        .unwrap()
        .payload
        .unwrap()
}

#[test]
fn envelopes() {
    let chain = ChainId([1; 32]);
    let vault = VaultSecret::new([1; 32]);
    let drawer = DrawerId([2; 16]);
    let invitation = Invitation {
        suite: SUITE_X25519,
        host: id("host"),
        depositor: id("clinic"),
        pairing: pairing_hash(&id("clinic"), "ABCD"),
        drawers: vec![Drawer {
            id: drawer,
            category: "vaccination".into(),
            epoch: 1,
            drawer_key: vault.drawer_secret(&drawer).seal_key(),
            reader_key: vault.reader_secret(&drawer).seal_key(),
        }],
        holder: tegata_consent::cose::public_key(&vault.holder_key(&id("clinic"))),
        record_types: vec!["vaccination".into()],
        expires_ms: START_MS + DAY_MS,
        nonce: Nonce([4; 16]),
    };
    let deposit = Deposit {
        depositor: id("clinic"),
        drawer,
        record: RecordId([3; 16]),
        date_ms: START_MS,
        file: Hash([5; 32]),
        length: 2500,
        lock: Hash([6; 32]),
        invitation: Hash([7; 32]),
    };
    let receipt = DepositReceipt {
        host: id("host"),
        drawer,
        sequence: 1,
        previous: EMPTY_HEAD,
        deposit: Hash([8; 32]),
        received_ms: START_MS,
    };
    let request = ConsentRequest {
        recipient: id("clinic"),
        categories: vec!["infant_checkup".into(), "vaccination".into()],
        purpose: "care".into(),
        legal_basis: "consent".into(),
        retention_days: 30,
        until_ms: START_MS + DAY_MS,
        uses_max: None,
        reference: "00112233445566778899aabbccddeeff".into(),
        expires_ms: START_MS + 600_000,
        nonce: Nonce([9; 16]),
    };
    let order = Order {
        grant: vault.grant_id(&[1; 16]),
        host: id("host"),
        salt: Salt([6; 32]),
        scope: Scope {
            records: Some(vec![RecordId([3; 16])]),
            from_ms: Some(1),
            until_ms: Some(2),
            ..Scope::of_drawers(vec![drawer])
        },
    };
    let envelopes = [
        ("invitation", invitation.sign(&vault.vault_key(), &chain)),
        ("deposit", deposit.sign(&key("clinic"), &chain)),
        ("deposit receipt", receipt.sign(&key("host"), &chain)),
        ("consent request", request.sign(&key("clinic"), &chain)),
        ("order", order.sign(&vault.grant_key(&[1; 16]), &chain)),
    ];
    let vectors: Vec<_> = envelopes
        .iter()
        .map(|(name, envelope)| accepted(name, &envelope.to_bytes(), None))
        .collect();
    assert_eq!(
        Invitation::open(&envelopes[0].1.to_bytes(), &chain)
            .unwrap()
            .0,
        invitation
    );
    assert_eq!(
        Deposit::open(&envelopes[1].1.to_bytes(), &chain).unwrap().0,
        deposit
    );
    assert_eq!(
        DepositReceipt::open(&envelopes[2].1.to_bytes(), &chain)
            .unwrap()
            .0,
        receipt
    );
    assert_eq!(
        ConsentRequest::open(&envelopes[3].1.to_bytes(), &chain)
            .unwrap()
            .0,
        request
    );
    assert_eq!(
        Order::open(&envelopes[4].1.to_bytes(), &chain).unwrap().0,
        order
    );
    // every single altered byte is noticed
    let bytes = envelopes[1].1.to_bytes();
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        assert!(Deposit::open(&altered, &chain).is_err(), "byte {position}");
    }
    // requests that name a person, or are no codes: no wallet answers them, and they are no evidence
    type Change = fn(&mut ConsentRequest);
    let malformed: &[(&str, &str, Change)] = &[
        ("a patient number as reference", "request-reference", |r| {
            r.reference = "患者 42".into()
        }),
        ("an upper-case reference", "request-reference", |r| {
            r.reference = "00112233445566778899AABBCCDDEEFF".into()
        }),
        ("no category", "request-codes", |r| r.categories.clear()),
        ("unsorted categories", "request-codes", |r| {
            r.categories.reverse()
        }),
        ("microseconds as time", "request-time", |r| {
            r.until_ms *= 1000
        }),
        ("a sentence as purpose", "request-codes", |r| {
            r.purpose = "for Sakura".into()
        }),
        ("a sentence as legal basis", "request-codes", |r| {
            r.legal_basis = "She said so".into()
        }),
        ("a name as legal basis", "request-codes", |r| {
            r.legal_basis = "yamada-hanako".into()
        }),
        ("a name as category", "request-codes", |r| {
            r.categories = vec!["yamada-hanako".into()]
        }),
    ];
    let opened = |bytes: &[u8]| ConsentRequest::open(bytes, &chain).unwrap().0;
    opened(&envelopes[3].1.to_bytes()).check().unwrap();
    let mut vectors = vectors;
    for (name, code, change) in malformed {
        let mut other = request.clone();
        change(&mut other);
        let bytes = other.sign(&key("clinic"), &chain).to_bytes();
        assert_eq!(opened(&bytes).check().unwrap_err().code(), *code, "{name}");
        vectors.push(refused(&format!("consent request: {name}"), &bytes, code));
    }
    frozen(
        "envelopes.json",
        Vectors {
            page: "encoding.md, vault.md, grant.md".into(),
            chain: chain.to_string(),
            vectors,
        },
    );
}

/// `[state in force or null, signed list, its time]`.
type ListCase = (Option<StatusListState>, minicbor::bytes::ByteVec, u64);

#[test]
fn status_lists() {
    let uri = "https://clinic.example/v1/status-lists/1";
    let (salt, access, record) = (Salt([1; 32]), EntryId([2; 32]), RecordId([3; 16]));
    let commitment = erasure_commitment(&salt, &access, &record);
    let opening = [&salt.0[..], &access.0, &record.0].concat();
    let mut vectors = vec![
        accepted(
            "name of a list",
            uri.as_bytes(),
            Some(status_list_id(uri).0),
        ),
        accepted(
            "name of a list in its CWT form",
            uri.as_bytes(),
            Some(status_list_cwt_id(uri).0),
        ),
        accepted("commitment to an erasure", &opening, Some(commitment.0)),
    ];
    let state = StatusListState {
        token: token_digest(b"in force"),
        issued_ms: START_MS,
        published_ms: START_MS + 7,
        count: 3,
        recalled: 1,
    };
    let cases: [(&str, Option<&str>, ListCase); 6] = [
        (
            "the list in force",
            None,
            (Some(state.clone()), b"in force".to_vec().into(), START_MS),
        ),
        (
            "an older list",
            Some("status_list_superseded"),
            (
                Some(state.clone()),
                b"older".to_vec().into(),
                START_MS - 1000,
            ),
        ),
        (
            "another list of the same second",
            Some("status_list_superseded"),
            (Some(state.clone()), b"other".to_vec().into(), START_MS),
        ),
        (
            "a newer list that was not published",
            Some("status_list_not_on_ledger"),
            (
                Some(state.clone()),
                b"newer".to_vec().into(),
                START_MS + 1000,
            ),
        ),
        (
            "a list with one more byte",
            Some("status_list_superseded"),
            (Some(state), b"in force\n".to_vec().into(), START_MS),
        ),
        (
            "a list of an issuer that published none",
            Some("status_list_not_on_ledger"),
            (None, b"in force".to_vec().into(), START_MS),
        ),
    ];
    for (name, code, case) in cases {
        let bytes = cbor::encode(&case);
        let (state, token, issued_ms) = cbor::decode::<ListCase>(&bytes, 1024).unwrap();
        let found = check_status_list(state.as_ref(), &token, issued_ms);
        assert_eq!(found.err().map(StatusListRefused::code), code, "{name}");
        vectors.push(match code {
            None => accepted(name, &bytes, None),
            Some(code) => refused(name, &bytes, code),
        });
    }
    frozen(
        "status.json",
        Vectors {
            page: "status.md".into(),
            chain: ChainId([0; 32]).to_string(),
            vectors,
        },
    );
}

/// A history in pages, as the wallet gets them from the host.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct HistoryVectors {
    page: String,
    /// The encoded genesis, hexadecimal.
    genesis: String,
    grant: String,
    vectors: Vec<HistoryVector>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct HistoryVector {
    name: String,
    /// Encoded GrantHistory each, hexadecimal, in the order in which they are read.
    pages: Vec<String>,
    /// How many readings all pages give.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    readings: Option<usize>,
    /// Or the code of the last page's refusal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
}

/// A certified proof that the grant, and nothing else, stands in the state.
fn consent_proof(world: &World, grant: &GrantState) -> Vec<u8> {
    use ed25519_dalek::Signer;
    let set = world.genesis.validator_set();
    let (key_of, value) = (StateKey::grant(&grant_id("g")), cbor::encode(grant));
    let sha = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let (key_hash, value_hash) = (Hash(sha(key_of.as_bytes())), Hash(sha(&value)));
    let header = Header {
        version: 1,
        chain: world.chain,
        height: world.height,
        time_ms: world.now_ms,
        proposer: Address::of(&set.validators()[0].key),
        previous: Hash([1; 32]),
        log_size: world.log.len() as u64,
        log_root: Hash([2; 32]),
        state_root: Hash(sha(&[
            b"JMT::LeafNode".as_slice(),
            &key_hash.0,
            &value_hash.0,
        ]
        .concat())),
        validators: set.hash(),
        next_validators: set.hash(),
    };
    let hash = header.hash();
    let sign = |i: usize| {
        let key = key(&format!("validator{i}"));
        let address = Address::of(&tegata_consent::cose::public_key(&key));
        let step = VoteStep::Precommit;
        let message = vote_bytes(&world.chain, step, world.height, 0, Some(&hash), &address);
        CommitSignature {
            address,
            signature: key.sign(&message).to_bytes().into(),
        }
    };
    let certificate = Certificate {
        height: world.height,
        round: 0,
        header: hash,
        signatures: (0..3).map(sign).collect(),
    };
    cbor::encode(&StateProof {
        certified: CertifiedHeader {
            header,
            certificate,
        },
        key: key_of.as_bytes().to_vec().into(),
        value: Some(value.into()),
        proof: TreeProof {
            other: None,
            siblings: Vec::new(),
        },
    })
}

#[test]
fn histories() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let start = world.log.len();
    let state =
        |world: &World| -> GrantState { world.read(&StateKey::grant(&grant_id("g"))).unwrap() };
    let accesses = |world: &mut World, count: u8| {
        for _ in 0..count {
            let salt = u8::try_from(world.log.len()).unwrap();
            let by = if salt % 3 == 0 { "insurer" } else { "clinic" };
            let access = world.access("g", by, salt);
            world.apply(&access).unwrap();
        }
    };
    accesses(&mut world, 5);
    let early = consent_proof(&world, &state(&world));
    accesses(&mut world, 2);
    let late = consent_proof(&world, &state(&world));
    let leaves = world.log[start..].to_vec();
    let page = |proof: &[u8], from: usize, to: usize| GrantHistory {
        proof: proof.to_vec().into(),
        accesses: leaves[from..to].to_vec(),
        openings: vec![],
        first: (from > 0).then_some(from as u64),
    };
    let with = |mut page: GrantHistory, change: &dyn Fn(&mut GrantHistory)| {
        change(&mut page);
        page
    };
    let cases: Vec<(&str, Vec<GrantHistory>, Result<usize, &str>)> = vec![
        ("one page", vec![page(&late, 0, 7)], Ok(7)),
        (
            "three pages",
            vec![page(&late, 0, 3), page(&late, 3, 6), page(&late, 6, 7)],
            Ok(7),
        ),
        (
            "a history that grew while it was read",
            vec![page(&early, 0, 3), page(&late, 3, 7)],
            Ok(7),
        ),
        ("as it stood earlier", vec![page(&early, 0, 5)], Ok(5)),
        (
            "the last page kept back",
            vec![page(&late, 0, 5), page(&late, 5, 5)],
            Err("history-count"),
        ),
        (
            "more than the proof counts",
            vec![page(&early, 0, 6)],
            Err("history-count"),
        ),
        (
            "a page left out",
            vec![page(&late, 0, 3), page(&late, 5, 7)],
            Err("history-order"),
        ),
        (
            "a page again",
            vec![page(&late, 0, 3), page(&late, 0, 3)],
            Err("history-order"),
        ),
        (
            "an access of the first page swapped, found on the last",
            vec![
                with(page(&late, 0, 3), &|page| page.accesses.swap(0, 1)),
                page(&late, 3, 7),
            ],
            Err("history-head"),
        ),
        (
            "a refusal told as allowed",
            vec![with(page(&late, 0, 7), &|page| {
                let refused = page
                    .accesses
                    .iter_mut()
                    .find(|leaf| leaf.outcome != Outcome::Applied);
                refused.unwrap().outcome = Outcome::Applied;
            })],
            Err("history-head"),
        ),
        (
            "another entry among the accesses",
            vec![with(page(&late, 0, 3), &|page| {
                page.accesses[1] = world.log[start - 1].clone()
            })],
            Err("history-not-an-access"),
        ),
        (
            "an access whose signature is altered",
            vec![with(page(&late, 0, 3), &|page| {
                *page.accesses[1].entry.last_mut().unwrap() ^= 1
            })],
            Err("history-entry"),
        ),
    ];
    let mut vectors = Vec::new();
    for (name, pages, expected) in cases {
        let mut reader = HistoryReader::new(world.chain, grant_id("g"));
        let mut found = Ok(0);
        let last = pages.len() - 1;
        for (number, page) in pages.iter().enumerate() {
            let bytes = cbor::encode(page);
            let page: GrantHistory = cbor::decode(&bytes, GrantHistory::LIMIT).unwrap();
            let proven = StateProof::parse(&page.proof)
                .unwrap()
                .verify_grant(&world.chain, &world.genesis.validator_set(), &grant_id("g"))
                .unwrap();
            let state = proven.value.unwrap();
            let read = reader.page(&state, page.first.unwrap_or(0), &page.accesses);
            found = match read {
                Ok(readings) => found.map(|count: usize| count + readings.len()),
                Err(error) => Err(error.code()),
            };
            assert!(number == last || found.is_ok(), "{name}: page {number}");
            assert_eq!(
                reader.finish(&state).is_ok(),
                number == last && found.is_ok(),
                "{name}: page {number}"
            );
        }
        assert_eq!(found, expected, "{name}");
        vectors.push(HistoryVector {
            name: name.into(),
            pages: pages
                .iter()
                .map(|page| hex::encode(cbor::encode(page)))
                .collect(),
            readings: expected.ok(),
            refused: expected.err().map(Into::into),
        });
    }
    frozen(
        "history.json",
        HistoryVectors {
            page: "proofs.md, vault.md".into(),
            genesis: hex::encode(cbor::encode(&world.genesis)),
            grant: grant_id("g").to_string(),
            vectors,
        },
    );
}

fn certified(signers: usize) -> (ChainId, ValidatorSet, CertifiedHeader) {
    let world = World::empty();
    let set = world.genesis.validator_set();
    let header = Header {
        version: 1,
        chain: world.chain,
        height: 7,
        time_ms: START_MS + 7,
        proposer: Address::of(&set.validators()[0].key),
        previous: Hash([1; 32]),
        log_size: 3,
        log_root: Hash([2; 32]),
        state_root: Hash([3; 32]),
        validators: set.hash(),
        next_validators: set.hash(),
    };
    let mut certified = CertifiedHeader {
        certificate: Certificate {
            height: 7,
            round: 1,
            header: header.hash(),
            signatures: Vec::new(),
        },
        header,
    };
    certify(&mut certified, signers);
    (world.chain, set, certified)
}

/// Signs a header as it stands, by the first `signers` validators.
fn certify(certified: &mut CertifiedHeader, signers: usize) {
    use ed25519_dalek::Signer;
    let (hash, certificate) = (certified.header.hash(), &mut certified.certificate);
    let sign = |i: usize| {
        let key = key(&format!("validator{i}"));
        let address = Address::of(&tegata_consent::cose::public_key(&key));
        let (height, round) = (certificate.height, i64::from(certificate.round));
        let step = VoteStep::Precommit;
        let chain = &certified.header.chain;
        let message = vote_bytes(chain, step, height, round, Some(&hash), &address);
        CommitSignature {
            address,
            signature: key.sign(&message).to_bytes().into(),
        }
    };
    let signatures = (0..signers).map(sign).collect();
    (certificate.header, certificate.signatures) = (hash, signatures);
}

#[test]
fn headers() {
    let (chain, set, good) = certified(3);
    let mut vectors = vec![accepted(
        "certified header",
        &cbor::encode(&good),
        Some(good.header.hash().0),
    )];
    let mut refuse = |name: &str, reason: &str, change: &dyn Fn(&mut CertifiedHeader)| {
        let mut other = good.clone();
        change(&mut other);
        vectors.push(refused(name, &cbor::encode(&other), reason));
    };
    refuse("two of four", "more than two thirds", &|c| {
        c.certificate.signatures.pop();
    });
    refuse("no signature", "more than two thirds", &|c| {
        c.certificate.signatures.clear()
    });
    refuse("one signs twice", "signed twice", &|c| {
        let first = c.certificate.signatures[0].clone();
        c.certificate.signatures[1] = first;
    });
    refuse("a stranger", "is not a validator", &|c| {
        c.certificate.signatures[0].address = Address([9; 20])
    });
    refuse("altered signature", "does not hold", &|c| {
        c.certificate.signatures[0].signature[0] ^= 1
    });
    refuse("another round", "does not hold", &|c| {
        c.certificate.round = 2
    });
    refuse("another height", "another block", &|c| c.header.height = 8);
    refuse("another state root", "another block", &|c| {
        c.header.state_root = Hash([9; 32])
    });
    refuse("another log root", "another block", &|c| {
        c.header.log_root = Hash([9; 32])
    });
    refuse("another ledger", "belongs to ledger", &|c| {
        c.header.chain = ChainId([9; 32])
    });
    refuse("another version", "version 2", &|c| c.header.version = 2);
    for vector in &vectors {
        let bytes = hex::decode(&vector.bytes).unwrap();
        let header: CertifiedHeader = cbor::decode(&bytes, CertifiedHeader::LIMIT).unwrap();
        match (&vector.refused, header.verify(&chain, &set)) {
            (None, Ok(_)) => {}
            (Some(reason), Err(error)) => assert!(
                error.to_string().contains(reason),
                "{}: {error}",
                vector.name
            ),
            (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", vector.name),
        }
    }
    let other_set = ValidatorSet::new(set.validators()[..3].to_vec());
    assert!(good.clone().verify(&chain, &other_set).is_err());
    frozen(
        "ledger.json",
        Vectors {
            page: "ledger.md".into(),
            chain: chain.to_string(),
            vectors,
        },
    );
}

#[test]
fn coset_reads_countersigned_entries_back_to_the_same_bytes() {
    let world = World::new();
    let grant = world.grant("g", world.grant_body());
    let sign1 = coset::CoseSign1::from_tagged_slice(grant.bytes()).unwrap();
    assert_eq!(sign1.clone().to_tagged_vec().unwrap(), grant.bytes());
    assert!(
        coset::CoseSign1::from_slice(grant.bytes()).is_err(),
        "the tag is part of the format"
    );
}

/// The root over the hashes of leaves (RFC 9162 §2.1.1).
fn log_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        many => {
            let (left, right) = many.split_at(left_of(many.len()));
            node_hash(&log_root(left), &log_root(right))
        }
    }
}

/// The way from a leaf to the root, from below (RFC 9162 §2.1.3.1).
fn log_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(left_of(leaves.len()));
    let (mut path, beside) = match index.checked_sub(left.len()) {
        None => (log_path(index, left), log_root(right)),
        Some(index) => (log_path(index, right), log_root(left)),
    };
    path.push(beside);
    path
}

/// The largest power of two below `len`.
fn left_of(len: usize) -> usize {
    len.next_power_of_two() / 2
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct ReceiptVectors {
    page: String,
    chain: String,
    /// The encoded validator set, hexadecimal.
    validators: String,
    vectors: Vec<Vector>,
}

#[test]
fn receipts() {
    let mut world = World::new();
    let (grant, access) = (
        world.grant("g", world.grant_body()),
        world.access("g", "clinic", 1),
    );
    world.apply(&grant).unwrap();
    world.apply(&access).unwrap();
    let set = world.genesis.validator_set();
    let receipt = |leaves: &[LogLeaf], index: usize| {
        let hashes: Vec<Hash> = leaves.iter().map(LogLeaf::hash).collect();
        let (_, _, mut certified) = certified(3);
        certified.header.log_size = hashes.len() as u64;
        certified.header.log_root = log_root(&hashes);
        certify(&mut certified, 3);
        Receipt {
            certified,
            index: index as u64,
            leaf: leaves[index].clone(),
            path: log_path(index, &hashes),
        }
    };
    let log = world.log.clone();
    let mut vectors = Vec::new();
    for size in 1..=log.len() {
        for index in 0..size {
            let entry = Entry::parse(&log[index].entry).unwrap().id(&world.chain);
            vectors.push(accepted(
                &format!("entry {index} in a log of {size}"),
                &cbor::encode(&receipt(&log[..size], index)),
                Some(entry.0),
            ));
        }
    }
    let good = receipt(&log, 3);
    let mut refuse = |name: &str, code: &str, change: &dyn Fn(&mut Receipt)| {
        let mut other = good.clone();
        change(&mut other);
        vectors.push(refused(name, &cbor::encode(&other), code));
    };
    refuse("two of four precommits", "header-no-quorum", &|r| {
        r.certified.certificate.signatures.pop();
    });
    refuse("another header", "header-other-block", &|r| {
        r.certified.header.log_size += 1
    });
    refuse("an index beyond the log", "log-range", &|r| r.index = 5);
    refuse("another index", "log-root", &|r| r.index = 2);
    refuse(
        "the last index, whose path is shorter",
        "log-length",
        &|r| r.index = 4,
    );
    refuse("a path without its top", "log-length", &|r| {
        r.path.pop();
    });
    refuse("a path with one more", "log-length", &|r| {
        r.path.push(Hash([0; 32]))
    });
    refuse("a path in another order", "log-root", &|r| r.path.reverse());
    refuse("an altered path", "log-root", &|r| r.path[0].0[0] ^= 1);
    refuse("another outcome", "log-root", &|r| {
        r.leaf.outcome = Outcome::Refused(Refusal::Revoked)
    });
    refuse("another height", "log-root", &|r| r.leaf.height += 1);
    refuse("another time", "log-root", &|r| r.leaf.time_ms += 1);
    refuse("another entry", "log-root", &|r| {
        r.leaf.entry = log[2].entry.clone()
    });
    refuse("another round", "header-signature", &|r| {
        r.certified.certificate.round += 1
    });
    // Only validators that break their own rules would certify these.
    let mut forged = log.clone();
    *forged[3].entry.last_mut().unwrap() ^= 1;
    let bytes = cbor::encode(&receipt(&forged, 3));
    vectors.push(refused(
        "an entry whose signature does not hold",
        &bytes,
        "envelope-signature",
    ));
    forged[3].entry = vec![0xa0].into();
    let bytes = cbor::encode(&receipt(&forged, 3));
    vectors.push(refused(
        "a leaf that holds no entry",
        &bytes,
        "envelope-encoding",
    ));
    let whole = cbor::encode(&good);
    for (name, bytes) in [
        ("one byte more", [whole.as_slice(), &[0]].concat()),
        ("one byte less", whole[..whole.len() - 1].to_vec()),
        (
            "a longer form of its length",
            [&[0x98, 0x04], &whole[1..]].concat(),
        ),
    ] {
        vectors.push(refused(name, &bytes, "proof-encoding"));
    }
    for vector in &vectors {
        let bytes = hex::decode(&vector.bytes).unwrap();
        let found = Receipt::parse(&bytes).and_then(|receipt| receipt.verify(&world.chain, &set));
        let found = found.map(|receipt| hex::encode(receipt.entry.id().0));
        assert_eq!(
            found.as_ref().map_err(|error| error.code()),
            match (&vector.hash, &vector.refused) {
                (Some(hash), None) => Ok(hash),
                (None, Some(code)) => Err(code.as_str()),
                other => panic!("{other:?}"),
            },
            "{}",
            vector.name
        );
    }
    frozen(
        "receipts.json",
        ReceiptVectors {
            page: "proofs.md".into(),
            chain: world.chain.to_string(),
            validators: hex::encode(cbor::encode(&set)),
            vectors,
        },
    );
}
