//! `tegata audit` from outside, against honest and altered nodes.

use crate::world::{World, binary, within};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tegata_consent::ids::Hash;
use tegata_consent::state::{Outcome, Refusal};
use tegata_ledger::store::Store;

fn audit(genesis: &Path, url: &str) -> (Option<i32>, String) {
    let output = Command::new(binary())
        .args(["audit", "--ledger", url, "--genesis"])
        .arg(genesis)
        .output()
        .expect("the command runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_node_is_found_out_and_the_others_are_not_blamed() {
    let world = World::start().await;
    world.story("vaccination").await;
    let demo = world.running.demo.clone();
    for url in &demo.ledger {
        let (code, text) = audit(&demo.genesis, url);
        assert_eq!(code, Some(0), "{url}: {text}");
    }
    let genesis = tegata_service::genesis::load(&demo.genesis).unwrap();
    let store = world.dir().join("node3/store");
    type Alter = fn(&Store);
    let alterations: [(&str, Alter); 5] = [
        ("entry", |store| {
            store
                .alter_leaf(6, |leaf| {
                    let last = leaf.entry.len() - 1;
                    leaf.entry[last] ^= 1;
                })
                .unwrap()
        }),
        ("outcome", |store| {
            store
                .alter_leaf(6, |leaf| {
                    leaf.outcome = if leaf.outcome == Outcome::Applied {
                        Outcome::Refused(Refusal::Revoked)
                    } else {
                        Outcome::Applied
                    }
                })
                .unwrap()
        }),
        ("time", |store| {
            store.alter_leaf(6, |leaf| leaf.time_ms += 1).unwrap()
        }),
        ("header", |store| {
            store
                .alter_header(3, |certified| certified.header.state_root = Hash([7; 32]))
                .unwrap()
        }),
        ("certificate", |store| {
            store
                .alter_header(3, |certified| {
                    certified.certificate.signatures[0].signature[5] ^= 1
                })
                .unwrap()
        }),
    ];
    for (part, alter) in alterations {
        world.take_away(&["node3"]);
        {
            let open = open_when_free(&store, &genesis).await;
            alter(&open);
        }
        world.give_back(&["node3"]);
        world
            .running
            .cluster
            .ready(Duration::from_secs(30))
            .await
            .expect("the altered node starts");
        let (code, text) = audit(&demo.genesis, &demo.ledger[3]);
        assert_eq!(code, Some(1), "{part}: the audit did not notice: {text}");
        assert!(
            text.contains("height"),
            "{part}: the audit names no height: {text}"
        );
        println!("{part}: {}", text.lines().last().unwrap_or_default());
        let (code, text) = audit(&demo.genesis, &demo.ledger[0]);
        assert_eq!(code, Some(0), "{part}: another node is blamed: {text}");
        // wiped, it fetches everything from the others again
        world.take_away(&["node3"]);
        drop(open_when_free(&store, &genesis).await);
        std::fs::remove_dir_all(&store).unwrap();
        std::fs::remove_dir_all(world.dir().join("node3/wal")).unwrap();
        world.give_back(&["node3"]);
        let http = world.running.ledger.http();
        within(
            Duration::from_secs(30),
            "the wiped node has the log again",
            async || {
                let Ok(answer) = http
                    .get(format!("{}/v1/log?from=9&limit=1", demo.ledger[3]))
                    .send()
                    .await
                else {
                    return false;
                };
                answer.bytes().await.is_ok_and(|leaves| leaves.len() > 100)
            },
        )
        .await;
        assert_eq!(
            audit(&demo.genesis, &demo.ledger[3]).0,
            Some(0),
            "{part}: the wiped node is not honest again"
        );
    }
    world.end().await;
}

/// Opens a store once the killed process has let go of it.
async fn open_when_free(store: &Path, genesis: &tegata_consent::genesis::Genesis) -> Store {
    let started = std::time::Instant::now();
    loop {
        match Store::open(store, genesis) {
            Ok(store) => return store,
            Err(error) => assert!(
                started.elapsed().as_secs() < 10,
                "the store stays locked: {error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
