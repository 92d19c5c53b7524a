//! What is acknowledged survives `kill -9`, and fsck finds what is not as it was.
//!
//! The tests start this test binary once more as a child process, which works on a store until it is killed, or until it
//! aborts at a chosen step; then the parent opens the store and checks everything.

use super::fetch::drawer;
use super::{World, key, organisation};
use crate::config::Limits;
use crate::fsck::fsck;
use crate::store::{SMALL_FILE_MAX, Store};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tegata_consent::cose::{Signed, public_key};
use tegata_consent::deposit::{Deposit, DepositReceipt};
use tegata_consent::sealing::file_digest;

const FOLDER: &str = "TEGATA_TEST_FOLDER";
const STEP: &str = "TEGATA_TEST_STEP";

/// Runs one ignored test of this binary as a child.
fn child(test: &str, folder: &Path, step: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("tests::crash::{test}"),
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .env(STEP, step)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// A file that differs from record to record: a third of them are files on disk, the others rows, large and small.
fn file(record: u8) -> Vec<u8> {
    let length = match record % 3 {
        0 => SMALL_FILE_MAX + 1,
        1 => 100_000,
        _ => 700,
    };
    vec![record; length]
}

#[tokio::test]
#[ignore = "runs as the child of another test"]
async fn deposits_until_killed() {
    let Some(folder) = folder() else { return };
    let world = World::at(folder, Limits::default()).opened().await;
    for record in 1..=u8::MAX {
        let receipt = world.put(1, record, &file(record)).await;
        println!("\nacknowledged {} {}", hex::encode(receipt), world.chain);
    }
}

#[test]
fn every_acknowledged_deposit_is_there_after_kill_9() {
    for acknowledged in [1, 2, 7, 20, 33] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child("deposits_until_killed", folder.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut receipts = Vec::new();
        while receipts.len() < acknowledged {
            let line = lines.next().unwrap().unwrap();
            receipts.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        // What was said before the kill but not read yet counts as well.
        receipts.extend(
            lines
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned)),
        );

        let report = fsck(folder.path(), |_| ()).unwrap();
        assert!(
            report.is_sound() && report.deposits >= receipts.len() as u64,
            "{report:?}"
        );
        let list = Store::open_read_only(folder.path())
            .unwrap()
            .list(&drawer(1))
            .unwrap();
        for (receipt, kept) in receipts.iter().zip(&list.receipts) {
            assert_eq!(receipt.split_once(' ').unwrap().0, hex::encode(&kept[..]));
        }
    }
}

/// Aborts between the steps of one deposit of a big file.
#[tokio::test]
#[ignore = "runs as the child of another test"]
async fn deposits_up_to_a_step() {
    let Some(folder) = folder() else { return };
    let world = World::at(folder, Limits::default()).opened().await;
    world.put(1, 1, &file(1)).await;
    let sealed = world.deposit(1, 3, &file(3));
    let step = std::env::var(STEP).unwrap();
    if step == "half a file" {
        let half = world.folder.join("files/half/half");
        std::fs::write(half, &sealed.file[..1000]).unwrap();
        std::process::abort();
    }
    let (deposit, _) = Deposit::open(&sealed.deposit, &world.chain).unwrap();
    let new = crate::store::NewDeposit {
        drawer: deposit.drawer,
        record: deposit.record,
        date_ms: deposit.date_ms,
        deposit: &sealed.deposit,
        invitation: (deposit.invitation, &sealed.invitation),
        lock: &sealed.lock,
        file: (deposit.file, &sealed.file),
        now_ms: world.now_ms(),
        records_max: 100,
    };
    let sign = |sequence, previous| {
        // The file is whole on disk by now, and no row names it yet.
        if step == "whole file, no row" {
            std::process::abort();
        }
        let deposit = tegata_consent::deposit::deposit_digest(&sealed.deposit);
        let receipt = DepositReceipt {
            host: organisation("host"),
            drawer: drawer(1),
            sequence,
            previous,
            deposit,
            received_ms: 1,
        };
        receipt.sign(&key("host"), &world.chain).to_bytes()
    };
    world.host.store.append(&new, sign).unwrap();
    std::process::abort(); // "row, no answer"
}

#[test]
fn a_deposit_that_broke_off_is_whole_or_absent() {
    let cases = [
        ("half a file", 1, 0),
        ("whole file, no row", 1, 1),
        ("row, no answer", 2, 0),
    ];
    for (step, deposits, orphans) in cases {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            !child("deposits_up_to_a_step", folder.path(), step)
                .wait()
                .unwrap()
                .success(),
            "{step}: aborted"
        );
        let report = fsck(folder.path(), |_| ()).unwrap();
        assert_eq!(
            (&report.faults, report.deposits, report.orphans.len()),
            (&vec![], deposits, orphans),
            "{step}"
        );
        // The host opens the store again and clears half-written files away.
        let identity = Store::open_read_only(folder.path())
            .unwrap()
            .identity()
            .unwrap();
        drop(Store::open(folder.path(), &identity).unwrap());
        assert_eq!(
            std::fs::read_dir(folder.path().join("files/half"))
                .unwrap()
                .count(),
            0,
            "{step}"
        );
        assert!(fsck(folder.path(), |_| ()).unwrap().is_sound(), "{step}");
    }
}

#[tokio::test]
async fn after_a_broken_off_deposit_the_same_one_is_accepted() {
    let world = World::new().opened().await;
    let sealed = world.deposit(1, 3, &file(3));
    let path = world
        .folder
        .join("files")
        .join(&file_digest(&file(3)).to_string()[..2]);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(file_digest(&file(3)).to_string()), file(3)).unwrap();
    assert_eq!(world.post(1, &sealed).await.status, 201);
    let report = fsck(&world.folder, |_| ()).unwrap();
    assert_eq!((report.faults, report.orphans), (vec![], vec![]));
}

#[tokio::test]
async fn a_store_belongs_to_one_host_and_ledger() {
    let mut world = World::new().opened().await;
    world.restart();
    let mut identity = world.host.store.identity().unwrap();
    let folder = world.folder.clone();
    let elsewhere = tempfile::tempdir().unwrap();
    let temporary = std::mem::replace(
        &mut world,
        World::at(elsewhere.path().to_owned(), Limits::default()),
    );
    let kept = temporary._temporary;
    drop((temporary.host, temporary.router));
    identity.keys = vec![public_key(&key("the host's new key"))];
    let store = Store::open(&folder, &identity).unwrap();
    assert_eq!(
        store.identity().unwrap().keys,
        [
            public_key(&key("host")),
            public_key(&key("the host's new key"))
        ]
    );
    drop(store);
    identity.host = organisation("lab");
    assert!(matches!(
        Store::open(&folder, &identity),
        Err(crate::store::StoreError::Foreign)
    ));
    drop(kept);
}

type Damage = fn(&World);

#[tokio::test]
async fn fsck_names_what_is_damaged() {
    let cases: [(&str, Damage, &str); 6] = [
        (
            "a file on disk",
            |w| std::fs::write(w.host.store.path_of(&file_digest(&file(3))), b"other").unwrap(),
            "is damaged",
        ),
        (
            "a missing file",
            |w| std::fs::remove_file(w.host.store.path_of(&file_digest(&file(3)))).unwrap(),
            "is missing",
        ),
        (
            "a dropped deposit",
            |w| w.host.store.damage_papers(&drawer(1), 1, None),
            "does not follow",
        ),
        (
            "a swapped receipt",
            |w| {
                let other = w
                    .host
                    .store
                    .papers_after(&drawer(1), 1)
                    .next()
                    .unwrap()
                    .unwrap()
                    .1;
                w.host.store.damage_papers(&drawer(1), 1, Some(other));
            },
            "does not follow",
        ),
        (
            "the last one dropped",
            |w| w.host.store.damage_papers(&drawer(1), 3, None),
            "its head says 3",
        ),
        (
            "an order widened",
            |w| w.host.store.damage_order(&w.grant_id(1)),
            "something else than was signed",
        ),
    ];
    for (name, damage, expected) in cases {
        let world = World::new().opened().await;
        for record in 1..=3 {
            world.put(1, record, &file(record)).await;
        }
        world
            .grant(
                1,
                &tegata_consent::scope::Scope::of_drawers(vec![drawer(1)]),
            )
            .await;
        assert!(fsck(&world.folder, |_| ()).unwrap().is_sound(), "{name}");
        damage(&world);
        let report = fsck(&world.folder, |_| ()).unwrap();
        assert!(
            report.faults.iter().any(|fault| fault.contains(expected)),
            "{name}: {report:?}"
        );
    }
}
