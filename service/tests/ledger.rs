//! The ledger client against nodes that are slow, behind, broken or lying.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod fake;

use fake::{Chain, Manner, Node, SharedChain, grant_id, key};
use std::time::{Duration, Instant};
use tegata_consent::cbor;
use tegata_consent::entry::{Body, Entry, Revocation};
use tegata_consent::history::verify_history;
use tegata_consent::ids::{EntryId, Hash, OrganisationId};
use tegata_consent::organisation::Role;
use tegata_consent::state::{Outcome, Refusal};
use tegata_service::clock;
use tegata_service::ledger::{Ledger, LedgerError};

const HOST: u8 = 20;
const CLINIC: u8 = 21;

fn begin() -> (SharedChain, OrganisationId) {
    let shared = Chain::new();
    let mut chain = shared.lock().unwrap();
    chain.register(HOST, &[Role::Host]);
    let clinic = chain.register(CLINIC, &[Role::Verifier]);
    drop(chain);
    (shared, clinic)
}

async fn follow(chain: &SharedChain, urls: &[&str]) -> Ledger {
    let genesis = chain.lock().unwrap().genesis.clone();
    let ledger =
        Ledger::start_with(urls.iter().map(|url| (*url).to_owned()).collect(), genesis).unwrap();
    let height = chain.lock().unwrap().headers.len() as u64;
    reaches(&ledger, height).await;
    ledger
}

async fn reaches(ledger: &Ledger, height: u64) {
    let mut watch = ledger.watch();
    let reached = watch.wait_for(|newest| {
        newest
            .as_ref()
            .is_some_and(|newest| newest.header().height >= height)
    });
    tokio::time::timeout(Duration::from_secs(12), reached)
        .await
        .expect("in time")
        .expect("follows");
}

#[tokio::test]
async fn a_grant_is_submitted_proven_read_and_revoked() {
    let (chain, clinic) = begin();
    let node = Node::start(&chain).await;
    let ledger = follow(&chain, &[&node.url]).await;
    let (absent, grant) = (
        ledger.grant(&grant_id(50)).await.unwrap(),
        chain.lock().unwrap().grant_entry(50, clinic, HOST),
    );
    assert!(absent.1.value.is_none());

    let (bytes, receipt) = ledger.submit(&grant.to_bytes()).await.unwrap();
    assert_eq!(receipt.leaf.outcome, Outcome::Applied);
    let again = ledger.submit(&grant.to_bytes()).await.unwrap();
    assert_eq!((again.0, again.1.index), (bytes.clone(), receipt.index));
    let found = ledger.receipt(&receipt.entry.id()).await.unwrap().unwrap();
    assert_eq!(found.0, bytes);
    assert!(ledger.receipt(&EntryId([0; 32])).await.unwrap().is_none());

    for _ in 0..5 {
        let access = chain.lock().unwrap().access_entry(grant_id(50), CLINIC);
        assert_eq!(
            ledger
                .submit(&access.to_bytes())
                .await
                .unwrap()
                .1
                .leaf
                .outcome,
            Outcome::Applied
        );
    }
    let revocation = chain.lock().unwrap().revocation_entry(50, HOST);
    let revoked = ledger.submit(&revocation.to_bytes()).await.unwrap().1;
    assert!(
        ledger.newest().unwrap().header().height >= revoked.leaf.height,
        "a receipt's header counts as seen"
    );
    let access = chain.lock().unwrap().access_entry(grant_id(50), CLINIC);
    let refused = ledger.submit(&access.to_bytes()).await.unwrap().1;
    assert_eq!(refused.leaf.outcome, Outcome::Refused(Refusal::Revoked));

    let (_, proven) = ledger.grant(&grant_id(50)).await.unwrap();
    let state = proven.value.unwrap();
    assert_eq!(
        (state.uses, state.accesses, state.revoked_ms),
        (5, 6, Some(revoked.leaf.time_ms))
    );
    let mut accesses = Vec::new();
    for (first, expected) in [(0, 2), (2, 2), (4, 2), (6, 0)] {
        let page = ledger.accesses(&grant_id(50), first, 4).await.unwrap();
        assert_eq!(page.len(), expected, "from {first}");
        accesses.extend(page);
    }
    let readings = verify_history(&ledger.chain(), &grant_id(50), &state, &accesses).unwrap();
    assert_eq!(readings.len(), 6);
}

#[tokio::test]
async fn what_the_ledger_does_not_admit_is_said_with_its_code() {
    let (chain, _) = begin();
    let nodes = [Node::start(&chain).await, Node::start(&chain).await];
    let ledger = follow(&chain, &[&nodes[0].url, &nodes[1].url]).await;
    let revocation = chain.lock().unwrap().revocation_entry(51, HOST);
    match ledger.submit(&revocation.to_bytes()).await {
        Err(LedgerError::Inadmissible { code, detail }) => {
            assert_eq!(code, "no-such-grant");
            assert!(detail.contains("there is no grant"));
        }
        other => panic!("{other:?}"),
    }
    nodes[1].behave(Manner::Broken);
    assert!(
        matches!(
            ledger.submit(&revocation.to_bytes()).await,
            Err(LedgerError::Inadmissible { .. })
        ),
        "one node is enough then"
    );
    assert!(matches!(
        ledger.submit(b"no entry").await,
        Err(LedgerError::Malformed { .. })
    ));
    let body = Body::Revocation(Revocation {
        grant: grant_id(51),
        sponsor: OrganisationId([0; 32]),
    });
    let other_chain = Entry::sign(&key(51), &tegata_consent::ids::ChainId([1; 32]), 5, body);
    assert!(matches!(
        ledger.submit(&other_chain.to_bytes()).await,
        Err(LedgerError::Malformed { .. })
    ));
}

#[tokio::test]
async fn organisations_are_proven_and_soon_known_anew() {
    let (chain, clinic) = begin();
    let node = Node::start(&chain).await;
    let ledger = follow(&chain, &[&node.url]).await;
    let proven = ledger.organisation(&clinic).await.unwrap();
    assert_eq!(
        proven.value.unwrap().organisation.name.en,
        "Organisation 21"
    );
    node.behave(Manner::Broken);
    assert!(
        ledger.organisation(&clinic).await.is_ok(),
        "known for this header"
    );
    assert!(ledger.organisation(&OrganisationId([9; 32])).await.is_err());
    node.behave(Manner::Honest);
    assert!(
        ledger
            .organisation(&OrganisationId([9; 32]))
            .await
            .unwrap()
            .value
            .is_none()
    );
}

#[tokio::test]
async fn a_status_list_is_asked_for_once_in_each_state_of_the_ledger() {
    let (chain, _) = begin();
    let clinic = chain.lock().unwrap().register(CLINIC + 1, &[Role::Issuer]);
    let node = Node::start(&chain).await;
    let ledger = follow(&chain, &[&node.url]).await;
    let list = Hash([4; 32]);
    assert!(
        ledger
            .status_list(&clinic, &list)
            .await
            .unwrap()
            .value
            .is_none()
    );
    let mut token = None;
    for number in 1..=2_u8 {
        // A block without entries: what was proven stands in it too, and nobody is asked.
        let height = chain.lock().unwrap().block(&[]).unwrap();
        reaches(&ledger, height).await;
        node.behave(Manner::Broken);
        let known = ledger.status_list(&clinic, &list).await.unwrap();
        assert_eq!(known.header.header().height, height);
        assert_eq!(known.value.map(|known| known.token), token);
        node.behave(Manner::Honest);
        // Another list: the former is not taken for the newest, also when no node says so.
        token = Some(Hash([number; 32]));
        let height = {
            let mut chain = chain.lock().unwrap();
            let entry = chain.status_list_entry(CLINIC + 1, list, Hash([number; 32]));
            let entry = chain.verified(entry);
            chain.block(&[entry]).unwrap()
        };
        reaches(&ledger, height).await;
        node.behave(Manner::Broken);
        assert!(ledger.status_list(&clinic, &list).await.is_err());
        node.behave(Manner::Honest);
        let newest = ledger.status_list(&clinic, &list).await.unwrap().value;
        assert_eq!(newest.map(|newest| newest.token), token);
    }
}

#[tokio::test]
async fn after_a_receipt_no_node_that_is_behind_it_is_believed() {
    let (chain, clinic) = begin();
    let nodes = [Node::start(&chain).await, Node::start(&chain).await];
    let ledger = follow(&chain, &[&nodes[0].url, &nodes[1].url]).await;
    // Neither shows the newest block; somebody else got the receipt.
    nodes[0].behave(Manner::Behind);
    nodes[1].behave(Manner::Behind);
    let (id, receipt) = {
        let mut chain = chain.lock().unwrap();
        let entry = chain.verified(chain.grant_entry(50, clinic, HOST));
        chain.block(std::slice::from_ref(&entry)).unwrap();
        (
            entry.id(),
            cbor::encode(&chain.receipt(&entry.id()).unwrap()),
        )
    };
    let (_, absent) = ledger.grant(&grant_id(50)).await.unwrap();
    assert!(absent.value.is_none(), "nobody knows yet");
    assert!(
        ledger
            .check_receipt(receipt.clone(), &EntryId([1; 32]))
            .is_err()
    );
    ledger.check_receipt(receipt, &id).unwrap();
    let error = ledger.grant(&grant_id(50)).await.unwrap_err().to_string();
    assert!(error.contains("behind"), "{error}");
    nodes[1].behave(Manner::Honest);
    let (_, proven) = ledger.grant(&grant_id(50)).await.unwrap();
    assert!(proven.value.is_some());
}

#[tokio::test]
async fn a_failing_node_is_left_for_the_next() {
    let (chain, _) = begin();
    let nodes = [Node::start(&chain).await, Node::start(&chain).await];
    let ledger = follow(
        &chain,
        &["http://127.0.0.1:1", &nodes[0].url, &nodes[1].url],
    )
    .await;
    for manner in [
        Manner::Broken,
        Manner::Forged,
        Manner::Behind,
        Manner::Silent,
    ] {
        nodes[0].behave(manner);
        nodes[1].behave(Manner::Honest);
        let height = chain.lock().unwrap().block(&[]).unwrap();
        reaches(&ledger, height).await;
        let (_, proven) = ledger.grant(&grant_id(50)).await.unwrap();
        assert!(proven.header.header().height >= height);
        nodes[0].behave(Manner::Honest);
        nodes[1].behave(manner);
        let height = chain.lock().unwrap().block(&[]).unwrap();
        reaches(&ledger, height).await;
        let (_, proven) = ledger.grant(&grant_id(50)).await.unwrap();
        assert!(proven.header.header().height >= height);
    }
}

#[tokio::test]
async fn a_lying_or_lagging_node_alone_gives_no_proof() {
    let (chain, _) = begin();
    let node = Node::start(&chain).await;
    let ledger = follow(&chain, &[&node.url]).await;
    let newest = ledger.newest().unwrap();
    for (manner, said) in [
        (Manner::Forged, "not a validator"),
        (Manner::Behind, "behind"),
    ] {
        node.behave(manner);
        let error = ledger.grant(&grant_id(50)).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    node.behave(Manner::Forged);
    chain.lock().unwrap().block(&[]).unwrap();
    assert!(ledger.grant(&grant_id(50)).await.is_err());
    assert_eq!(
        ledger.newest().unwrap(),
        newest,
        "a forged header is never taken over"
    );
}

#[tokio::test]
async fn an_old_header_is_stale_however_well_certified() {
    let (chain, clinic) = begin();
    let stale = Chain::new();
    {
        let mut stale = stale.lock().unwrap();
        stale.block_at(clock::now_ms() - 15_000, &[]).unwrap();
    }
    let node = Node::start(&stale).await;
    let ledger = follow(&stale, &[&node.url]).await;
    let Err(LedgerError::Stale { age_ms }) = ledger.newest() else {
        panic!("stale")
    };
    assert!((15_000..25_000).contains(&age_ms), "{age_ms}");
    assert!(matches!(
        ledger.grant(&grant_id(50)).await,
        Err(LedgerError::Stale { .. })
    ));
    assert!(matches!(
        ledger.organisation(&clinic).await,
        Err(LedgerError::Stale { .. })
    ));
    stale.lock().unwrap().block(&[]).unwrap();
    reaches(&ledger, 2).await;
    assert!(ledger.newest().is_ok(), "fresh again");
    drop(chain);
}

#[tokio::test]
async fn with_no_node_everything_is_stale_and_submission_ends_in_time() {
    let (chain, clinic) = begin();
    let genesis = chain.lock().unwrap().genesis.clone();
    let ledger = Ledger::start_with(vec!["http://127.0.0.1:1".into()], genesis).unwrap();
    assert!(matches!(ledger.newest(), Err(LedgerError::Stale { .. })));
    let entry = chain
        .lock()
        .unwrap()
        .grant_entry(50, clinic, HOST)
        .to_bytes();
    let started = Instant::now();
    assert!(matches!(
        ledger.submit(&entry).await,
        Err(LedgerError::Stale { .. })
    ));
    assert!(started.elapsed() < Duration::from_secs(14));
}

#[tokio::test]
async fn the_follower_ends_with_its_last_user_and_urls_are_checked() {
    let (chain, _) = begin();
    let node = Node::start(&chain).await;
    let ledger = follow(&chain, &[&node.url]).await;
    let mut watch = ledger.watch();
    watch.mark_unchanged();
    drop(ledger);
    assert!(watch.changed().await.is_err(), "the follower is gone");
    let genesis = chain.lock().unwrap().genesis.clone();
    for urls in [
        vec![],
        vec!["ftp://localhost".to_owned()],
        vec!["localhost".to_owned()],
    ] {
        assert!(matches!(
            Ledger::start_with(urls, genesis.clone()),
            Err(LedgerError::Config(_))
        ));
    }
}
