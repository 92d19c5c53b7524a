//! The audit finds whatever a node alters, with height and part.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../service/tests/fake/mod.rs"]
mod fake;

use fake::{Chain, Node, SharedChain, grant_id, key};
use indicatif::ProgressBar;
use tegata::audit::{AuditError, Report, audit};
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::entry::{
    Access, Body, Entry, ErasureConfirmed, Grant, OverAsking, StatusListPublished,
};
use tegata_consent::ids::{Hash, Nonce, SealKey};
use tegata_consent::log::LogLeaf;
use tegata_consent::organisation::Role;
use tegata_consent::request::ConsentRequest;
use tegata_consent::state::{GrantState, Outcome, Refusal, StateKey};
use tegata_consent::status::status_list_id;

const HOST: u8 = 20;
const CLINIC: u8 = 21;
const ISSUER: u8 = 22;

/// Nine blocks: 1 to 3 registrations, 4 a grant, 5 and 6 accesses, 7 its revocation, 8 a refused access, 9 empty.
fn story() -> SharedChain {
    let shared = Chain::new();
    let mut chain = shared.lock().unwrap();
    chain.register(HOST, &[Role::Host]);
    let clinic = chain.register(CLINIC, &[Role::Verifier]);
    chain.register(ISSUER, &[Role::Issuer]);
    write(&mut chain, |chain| chain.grant_entry(50, clinic, HOST));
    write(&mut chain, |chain| chain.access_entry(grant_id(50), CLINIC));
    write(&mut chain, |chain| chain.access_entry(grant_id(50), CLINIC));
    write(&mut chain, |chain| chain.revocation_entry(50, HOST));
    write(&mut chain, |chain| chain.access_entry(grant_id(50), CLINIC));
    chain.block(&[]).unwrap();
    drop(chain);
    shared
}

fn write(chain: &mut Chain, entry: impl Fn(&Chain) -> Entry) {
    let entry = chain.verified(entry(chain));
    chain.block(&[entry]).unwrap();
}

async fn run(chain: &SharedChain) -> Result<Report, AuditError> {
    let node = Node::start(chain).await;
    let genesis = chain.lock().unwrap().genesis.clone();
    audit(&node.url, &genesis, None, &ProgressBar::hidden()).await
}

/// The height and part that an audit names after something was altered.
async fn found(alter: impl FnOnce(&mut Chain)) -> (Option<u64>, String, String) {
    let shared = story();
    alter(&mut shared.lock().unwrap());
    match run(&shared).await {
        Err(AuditError::Fails {
            height,
            part,
            detail,
        }) => (height, part, detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_true_ledger_passes() {
    let report = run(&story()).await.unwrap();
    assert_eq!(report.height, 9);
    let counts = [
        "entries",
        "organisations",
        "grants",
        "revocations",
        "accesses_allowed",
        "accesses_refused",
    ];
    assert_eq!(
        counts.map(|name| report.details[name].as_u64().unwrap()),
        [8, 3, 1, 1, 2, 1]
    );
    assert_eq!(
        report.details["texts"]["grant.purpose"],
        serde_json::json!(["care"])
    );
    assert_eq!(
        report.details["texts"]["organisation.name.en"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

/// A node that hides what is newer shows an old header, with a certificate that holds.
#[tokio::test]
async fn a_ledger_that_stands_still_is_not_said_to_hold() {
    let shared = story();
    let (genesis, newest_ms) = {
        let chain = shared.lock().unwrap();
        let newest = chain.headers.last().unwrap();
        (chain.genesis.clone(), newest.header.time_ms)
    };
    let node = Node::start(&shared).await;
    let at = async |at_ms| audit(&node.url, &genesis, Some(at_ms), &ProgressBar::hidden()).await;
    for (at_ms, words) in [
        (newest_ms + 15_000, "15 s old: the ledger has stopped"),
        (newest_ms - 61_000, "61 s ahead of this clock"),
    ] {
        match at(at_ms).await {
            Err(AuditError::Fails {
                height,
                part,
                detail,
            }) => {
                assert_eq!((height, part.as_str()), (Some(9), "newest header"));
                assert!(detail.contains(words), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    for at_ms in [newest_ms + 14_999, newest_ms - 60_000] {
        assert_eq!(at(at_ms).await.unwrap().height, 9);
    }
}

#[tokio::test]
async fn an_altered_entry_or_outcome_is_found() {
    let (height, part, _) =
        found(|chain| chain.leaves[4].outcome = Outcome::Refused(Refusal::Expired)).await;
    assert_eq!((height, part.as_str()), (Some(5), "outcome of entry 4"));
    let (height, part, _) = found(|chain| chain.leaves[7].outcome = Outcome::Applied).await;
    assert_eq!((height, part.as_str()), (Some(8), "outcome of entry 7"));
    let last = |chain: &mut Chain| {
        let mut bytes = chain.leaves[3].entry.to_vec();
        let length = bytes.len();
        bytes[length - 1] ^= 1;
        chain.leaves[3].entry = bytes.into();
    };
    let (height, part, detail) = found(last).await;
    assert_eq!((height, part.as_str()), (Some(4), "entry 3"));
    assert!(detail.contains("signature"), "{detail}");
    let (height, part, _) = found(|chain| chain.leaves[5].time_ms += 1).await;
    assert_eq!((height, part.as_str()), (Some(6), "entry 5"));
}

#[tokio::test]
async fn missing_swapped_and_other_entries_are_found() {
    let (height, part, _) = found(|chain| drop(chain.leaves.pop())).await;
    assert_eq!((height, part.as_str()), (Some(8), "log"));
    let (height, part, _) = found(|chain| chain.leaves.swap(4, 5)).await;
    assert_eq!((height, part.as_str()), (Some(5), "entry 4"));
    // Another access, signed as it should be, in the place of the real one: only the log root tells.
    let (height, part, _) = found(|chain| {
        let other = chain.access_entry(grant_id(50), CLINIC);
        chain.leaves[4].entry = other.to_bytes().into();
    })
    .await;
    assert_eq!((height, part.as_str()), (Some(5), "log root"));
}

#[tokio::test]
async fn an_altered_header_or_certificate_is_found() {
    let (height, part, _) = found(|chain| chain.headers[2].header.time_ms += 1).await;
    assert_eq!((height, part.as_str()), (Some(3), "header"));
    let (height, part, _) = found(|chain| chain.headers[6].header.state_root = Hash([1; 32])).await;
    assert_eq!((height, part.as_str()), (Some(7), "header"));
    let (height, part, detail) =
        found(|chain| chain.headers[5].certificate.signatures[1].signature[3] ^= 1).await;
    assert_eq!(
        (height, part.as_str()),
        (Some(6), "certificate"),
        "{detail}"
    );
    let (height, part, detail) =
        found(|chain| chain.headers[5].certificate.signatures.truncate(2)).await;
    assert_eq!((height, part.as_str()), (Some(6), "certificate"));
    assert!(detail.contains("2 of 4"), "{detail}");
    let (height, part, _) = found(|chain| drop(chain.headers.remove(3))).await;
    assert_eq!((height, part.as_str()), (Some(4), "header"));
}

/// Even where a quorum of validators signs what is not so.
#[tokio::test]
async fn what_a_quorum_invents_is_found() {
    let (height, part, _) = found(|chain| {
        let id = StateKey::grant(&grant_id(50));
        let proof = chain.headers.len() as u64 + 1;
        let mut state: GrantState = cbor::decode(&cbor_of(chain, &id), 10_000).unwrap();
        state.revoked_ms = None;
        chain.tamper(id, cbor::encode(&state));
        let time_ms = chain.headers.last().unwrap().header.time_ms + 1;
        chain.append(proof, time_ms, vec![]);
    })
    .await;
    assert_eq!((height, part.as_str()), (Some(10), "state root"));
    let (height, part, _) = found(|chain| {
        let entry = chain.access_entry(grant_id(77), CLINIC);
        let time_ms = chain.headers.last().unwrap().header.time_ms + 1;
        let leaf = LogLeaf {
            height: 10,
            time_ms,
            entry: entry.to_bytes().into(),
            outcome: Outcome::Applied,
        };
        chain.append(10, time_ms, vec![leaf]);
    })
    .await;
    assert_eq!(
        (height, part.as_str()),
        (Some(10), "outcome of entry 8"),
        "an access allowed without a grant"
    );
    let (height, part, _) = found(|chain| {
        let access = Access {
            grant: grant_id(50),
            recipient: tegata_consent::organisation::organisation_id(
                &tegata_consent::cose::public_key(&key(99)),
            ),
            commitment: Hash([0; 32]),
            ephemeral: SealKey([0; 32]),
        };
        let entry = Entry::sign(&key(99), &chain.id, chain.soon(), Body::Access(access));
        let time_ms = chain.headers.last().unwrap().header.time_ms + 1;
        let leaf = LogLeaf {
            height: 10,
            time_ms,
            entry: entry.to_bytes().into(),
            outcome: Outcome::Applied,
        };
        chain.append(10, time_ms, vec![leaf]);
    })
    .await;
    assert_eq!(
        (height, part.as_str()),
        (Some(10), "entry 8, access"),
        "an entry of nobody"
    );
}

fn cbor_of(chain: &Chain, key: &StateKey) -> Vec<u8> {
    chain.stored(key).unwrap()
}

/// The state machine, which the audit executes again, takes no text that is of no list, whatever validators let in.
#[tokio::test]
async fn a_text_about_a_person_is_found() {
    let (height, part, detail) = found(|chain| {
        let grant = chain.grant_entry(51, chain.organisation(CLINIC), HOST);
        let Body::Grant(grant) = grant.body().clone() else {
            panic!("a grant")
        };
        let grant = Grant {
            legal_basis: "her-mother-hanako-asked".into(),
            ..grant
        };
        let entry = Entry::sign(&key(51), &chain.id, chain.soon(), Body::Grant(grant))
            .countersign(&key(HOST), &chain.id);
        let time_ms = chain.headers.last().unwrap().header.time_ms + 1;
        let leaf = LogLeaf {
            height: 10,
            time_ms,
            entry: entry.to_bytes().into(),
            outcome: Outcome::Applied,
        };
        chain.append(10, time_ms, vec![leaf]);
    })
    .await;
    assert_eq!((height, part.as_str()), (Some(10), "entry 8, grant"));
    assert!(
        detail.contains("legal basis is not of the list"),
        "{detail}"
    );
}

fn list_entry(chain: &Chain, signed_s: u64) -> Entry {
    let body = Body::StatusListPublished(StatusListPublished {
        issuer: chain.organisation(ISSUER),
        list: status_list_id("https://issuer.example/v1/status-lists/1"),
        token: Hash([7; 32]),
        issued_ms: signed_s * 1000,
        recalled: 0,
    });
    Entry::sign(&key(ISSUER), &chain.id, chain.soon(), body)
}

/// A report of what the clinic asks for; `fair` is what it may.
fn report_entry(chain: &Chain, fair: bool) -> Entry {
    let may = chain.grant_entry(51, chain.organisation(CLINIC), HOST);
    let Body::Grant(may) = may.body().clone() else {
        panic!("a grant")
    };
    let request = ConsentRequest {
        recipient: may.recipient,
        categories: may.categories,
        purpose: if fair { may.purpose } else { "research".into() },
        legal_basis: may.legal_basis,
        retention_days: may.retention_days,
        until_ms: chain.soon(),
        uses_max: None,
        reference: "00112233445566778899aabbccddeeff".into(),
        expires_ms: chain.soon(),
        nonce: Nonce([1; 16]),
    };
    let body = Body::OverAsking(OverAsking {
        recipient: may.recipient,
        sponsor: chain.organisation(HOST),
        request: request.sign(&key(CLINIC), &chain.id).to_bytes().into(),
    });
    Entry::sign(&key(77), &chain.id, chain.soon(), body).countersign(&key(HOST), &chain.id)
}

fn erasure_entry(chain: &Chain, by: u8) -> Entry {
    let body = Body::ErasureConfirmed(ErasureConfirmed {
        grant: grant_id(50),
        recipient: chain.organisation(by),
        commitment: Hash([3; 32]),
    });
    Entry::sign(&key(by), &chain.id, chain.soon(), body)
}

#[tokio::test]
async fn status_lists_over_askings_and_erasures_are_audited() {
    let shared = story();
    {
        let mut chain = shared.lock().unwrap();
        write(&mut chain, |chain| list_entry(chain, 1_000));
        write(&mut chain, |chain| list_entry(chain, 2_000));
        write(&mut chain, |chain| report_entry(chain, false));
        write(&mut chain, |chain| erasure_entry(chain, CLINIC));
    }
    let report = run(&shared).await.unwrap();
    assert_eq!(
        (
            &report.details["status_lists"],
            &report.details["erasures_confirmed"]
        ),
        (&2.into(), &1.into())
    );
    let over = &report.details["over_askings"][0];
    assert_eq!(
        (&over["height"], &over["purpose"]),
        (&12.into(), &"research".into())
    );
    let clinic = shared.lock().unwrap().organisation(CLINIC);
    assert_eq!(over["organisation"], clinic.to_string());
    // What the evidence says is read out, as everything on the ledger is.
    for (field, text) in [
        ("categories", "vaccination"),
        ("purpose", "research"),
        ("legal_basis", "consent"),
        ("reference", "00112233445566778899aabbccddeeff"),
    ] {
        let texts = &report.details["texts"][format!("over_asking.{field}")];
        assert_eq!(*texts, serde_json::json!([text]), "{field}");
    }

    // What more than two thirds of the validators put into the log against the rules.
    type Made = fn(&Chain) -> Entry;
    let invented: [(&str, Made); 4] = [
        ("status list", |chain| list_entry(chain, 1)),
        ("status list", |chain| list_entry(chain, u64::MAX / 1000)),
        ("over-asking", |chain| report_entry(chain, true)),
        ("confirmed erasure", |chain| erasure_entry(chain, ISSUER)),
    ];
    for (what, made) in invented {
        let (height, part, detail) = found(|chain| {
            write(chain, |chain| list_entry(chain, 1_000));
            let time_ms = chain.headers.last().unwrap().header.time_ms + 1;
            let leaf = LogLeaf {
                height: 11,
                time_ms,
                entry: made(chain).to_bytes().into(),
                outcome: Outcome::Applied,
            };
            chain.append(11, time_ms, vec![leaf]);
        })
        .await;
        assert_eq!(
            (height, part),
            (Some(11), format!("entry 9, {what}")),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn another_genesis_fails_and_no_node_cannot_run() {
    let shared = story();
    let node = Node::start(&shared).await;
    let other = Chain::new().lock().unwrap().genesis.clone();
    let error = audit(&node.url, &other, None, &ProgressBar::hidden())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            AuditError::Fails {
                height: Some(1),
                ..
            }
        ),
        "{error}"
    );
    let error = audit("http://127.0.0.1:1", &other, None, &ProgressBar::hidden())
        .await
        .unwrap_err();
    assert!(matches!(error, AuditError::CannotRun(_)), "{error}");
}
