//! What is accepted into a drawer, and what is not.

use super::{DAY_MS, World, key, organisation, registration};
use crate::config::Limits;
use crate::fsck::fsck;
use crate::store::SMALL_FILE_MAX;
use axum::http::Method;
use minicbor::bytes::ByteVec;
use tegata_consent::cbor;
use tegata_consent::cose::{Signed, public_key};
use tegata_consent::deposit::{DrawerList, EMPTY_HEAD, SealedRecord, verify_receipt_chain};
use tegata_consent::entry::{Body, OrganisationChange};
use tegata_consent::ids::{DrawerId, Hash, SealKey};
use tegata_consent::organisation::{KeyUse, Role};

async fn list(world: &World, drawer: u8) -> DrawerList {
    let answer = world
        .owner(
            Method::GET,
            &format!("/drawers/{}", DrawerId([drawer; 16])),
            Vec::new(),
        )
        .await;
    assert_eq!(answer.status, 200);
    cbor::decode(&answer.body, DrawerList::LIMIT).unwrap()
}

fn head(world: &World, list: &DrawerList) -> (u64, Hash) {
    let keys = [public_key(&key("host"))];
    let (receipts, head) = verify_receipt_chain(
        &world.chain,
        &keys,
        &list.drawer,
        &list.receipts,
        (0, EMPTY_HEAD),
    )
    .unwrap();
    (receipts.len() as u64, head)
}

#[tokio::test]
async fn deposits_make_one_chain_of_receipts_and_come_back_as_they_came() {
    let world = World::new().opened().await;
    let files = [
        vec![1; 100],
        vec![2; SMALL_FILE_MAX],
        vec![3; SMALL_FILE_MAX + 1],
        vec![4; 3_000_000],
    ];
    for (record, file) in (1..).zip(&files) {
        let receipt = world.put(1, record, file).await;
        assert_eq!(
            list(&world, 1).await.receipts.last(),
            Some(&ByteVec::from(receipt))
        );
    }
    assert_eq!(head(&world, &list(&world, 1).await).0, 4);
    for (record, file) in (1_u8..).zip(&files) {
        let path = format!(
            "/drawers/{}/records/{}",
            DrawerId([1; 16]),
            hex::encode([record; 16])
        );
        let sealed: SealedRecord = cbor::decode(
            &world.owner(Method::GET, &path, Vec::new()).await.body,
            SealedRecord::LIMIT,
        )
        .unwrap();
        assert_eq!(*sealed.file, *file.as_slice());
        assert_eq!(
            SealedRecord {
                receipt: None,
                ..sealed.clone()
            },
            world.deposit(1, record, file)
        );
        assert!(sealed.receipt.is_some());
    }
    let mut heard = 0;
    let report = fsck(&world.folder, |deposits| heard = deposits).unwrap();
    assert_eq!(
        (report.faults, report.orphans, report.deposits),
        (vec![], vec![], 4)
    );
    assert_eq!(heard, 4, "whoever waits hears how far it is");
}

#[tokio::test]
async fn the_same_deposit_again_has_the_same_receipt_even_under_an_expired_invitation() {
    let world = World::new().opened().await;
    let sealed = world.deposit(1, 1, b"sealed");
    let receipt = world.post(1, &sealed).await;
    assert_eq!(
        (
            receipt.status,
            receipt.headers["content-type"].to_str().unwrap()
        ),
        (201, "application/cose")
    );
    world.pass(40 * DAY_MS);
    let again = world.post(1, &sealed).await;
    assert_eq!((again.status, again.body), (200, receipt.body));
    assert_eq!(
        world.post(1, &world.deposit(1, 1, b"another")).await.what(),
        (409, "record-exists".into())
    );
    assert_eq!(list(&world, 1).await.deposits.len(), 1);
}

#[tokio::test]
async fn a_record_id_counts_within_its_drawer() {
    let world = World::new().opened().await;
    world.put(1, 1, b"sealed").await;
    world.put(2, 1, b"sealed").await;
}

/// Takes the deposit that would be accepted, and gives the one that is sent.
type Alter = fn(&World, SealedRecord) -> SealedRecord;

/// Signs a deposit anew under an invitation that was altered.
fn under(
    world: &World,
    by: &str,
    alter: impl FnOnce(&mut tegata_consent::invitation::Invitation),
) -> SealedRecord {
    let mut invitation = world.invitation("clinic");
    alter(&mut invitation);
    let invitation = invitation
        .sign(&world.vault.vault_key(), &world.chain)
        .to_bytes();
    world.sealed(
        &world.statement(1, 1, b"sealed", &invitation),
        by,
        invitation,
        b"sealed",
    )
}

/// Signs a deposit anew with another statement.
fn stating(
    world: &World,
    by: &str,
    alter: impl FnOnce(&mut tegata_consent::deposit::Deposit),
) -> SealedRecord {
    let invitation = world
        .invitation("clinic")
        .sign(&world.vault.vault_key(), &world.chain)
        .to_bytes();
    let mut statement = world.statement(1, 1, b"sealed", &invitation);
    alter(&mut statement);
    world.sealed(&statement, by, invitation, b"sealed")
}

const REFUSED: &[(&str, Alter, u16, &str)] = &[
    (
        "altered file",
        |_, sealed| SealedRecord {
            file: b"sealeD".to_vec().into(),
            ..sealed
        },
        422,
        "deposit-file",
    ),
    (
        "longer file",
        |_, sealed| SealedRecord {
            file: b"sealed+".to_vec().into(),
            ..sealed
        },
        422,
        "deposit-file",
    ),
    (
        "another lock",
        |w, sealed| SealedRecord {
            lock: w.lock(2, 2).to_bytes().into(),
            ..sealed
        },
        422,
        "deposit-lock",
    ),
    (
        "no lock",
        |_, sealed| SealedRecord {
            lock: vec![0].into(),
            ..sealed
        },
        422,
        "deposit-lock",
    ),
    (
        "a receipt on the way in",
        |_, sealed| SealedRecord {
            receipt: Some(vec![1].into()),
            ..sealed
        },
        422,
        "deposit-receipt",
    ),
    (
        "altered deposit",
        |_, mut sealed| {
            *sealed.deposit.last_mut().unwrap() ^= 1;
            sealed
        },
        422,
        "deposit-signature",
    ),
    (
        "signed by somebody else",
        |w, _| stating(w, "lab", |_| {}),
        403,
        "deposit-signature",
    ),
    (
        "another drawer's deposit",
        |w, _| w.deposit(2, 1, b"sealed"),
        422,
        "deposit-drawer",
    ),
    (
        "from the future",
        |w, _| {
            let date_ms = w.now_ms() + DAY_MS + 10_000;
            stating(w, "clinic", |d| d.date_ms = date_ms)
        },
        422,
        "deposit-date",
    ),
    (
        "an unknown depositor",
        |w, _| stating(w, "nobody", |d| d.depositor = organisation("nobody")),
        403,
        "depositor-unknown",
    ),
    (
        "no issuer",
        |w, _| stating(w, "insurer", |d| d.depositor = organisation("insurer")),
        403,
        "depositor-role",
    ),
    (
        "another depositor's invitation",
        |w, _| stating(w, "lab", |d| d.depositor = organisation("lab")),
        403,
        "invitation-depositor",
    ),
    (
        "another invitation than named",
        |w, _| stating(w, "clinic", |d| d.invitation = Hash([1; 32])),
        403,
        "invitation-digest",
    ),
    (
        "for another host",
        |w, _| under(w, "clinic", |i| i.host = organisation("lab")),
        403,
        "invitation-host",
    ),
    (
        "expired",
        |w, _| {
            let now_ms = w.now_ms();
            under(w, "clinic", |i| i.expires_ms = now_ms)
        },
        403,
        "invitation-expired",
    ),
    (
        "does not name the drawer",
        |w, _| {
            under(w, "clinic", |i| {
                i.drawers.remove(0);
            })
        },
        403,
        "invitation-drawer",
    ),
    (
        "another drawer key",
        |w, _| under(w, "clinic", |i| i.drawers[0].drawer_key = SealKey([1; 32])),
        403,
        "invitation-keys",
    ),
    (
        "another reader key",
        |w, _| under(w, "clinic", |i| i.drawers[0].reader_key = SealKey([1; 32])),
        403,
        "invitation-keys",
    ),
    (
        "another category",
        |w, _| under(w, "clinic", |i| i.drawers[0].category = "imaging".into()),
        403,
        "invitation-keys",
    ),
    (
        "an unknown suite",
        |w, _| under(w, "clinic", |i| i.suite = 9),
        403,
        "invitation-suite",
    ),
    (
        "no drawers",
        |w, _| under(w, "clinic", |i| i.drawers.clear()),
        403,
        "invitation-size",
    ),
    (
        "another vault's invitation",
        |w, _| {
            let invitation = w
                .invitation("clinic")
                .sign(&key("another vault"), &w.chain)
                .to_bytes();
            w.sealed(
                &w.statement(1, 1, b"sealed", &invitation),
                "clinic",
                invitation,
                b"sealed",
            )
        },
        403,
        "invitation-vault",
    ),
    (
        "an altered invitation",
        |w, sealed| {
            let mut invitation = sealed.invitation.to_vec();
            *invitation.last_mut().unwrap() ^= 1;
            w.sealed(
                &w.statement(1, 1, b"sealed", &invitation),
                "clinic",
                invitation,
                b"sealed",
            )
        },
        403,
        "invitation-signature",
    ),
    (
        "for another ledger",
        |w, sealed| {
            let statement = w.statement(1, 1, b"sealed", &sealed.invitation);
            let deposit = statement
                .sign(&key("clinic"), &tegata_consent::ids::ChainId([1; 32]))
                .to_bytes();
            SealedRecord {
                deposit: deposit.into(),
                ..sealed
            }
        },
        422,
        "deposit-signature",
    ),
    (
        "a suspended depositor",
        |w, sealed| {
            w.suspend("clinic", 1);
            sealed
        },
        403,
        "depositor-suspended",
    ),
];

#[tokio::test]
async fn every_other_deposit_is_refused_for_its_reason() {
    for (name, alter, status, code) in REFUSED {
        let world = World::new().opened().await;
        let good = world.deposit(1, 1, b"sealed");
        let altered = alter(&world, good.clone());
        let answer = world.post(1, &altered).await;
        assert_eq!(
            answer.what(),
            (*status, (*code).to_owned()),
            "{name}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        assert!(list(&world, 1).await.receipts.is_empty(), "{name}");
        if *code != "depositor-suspended" {
            assert_eq!(
                world.post(1, &good).await.status,
                201,
                "{name}: the good one is still accepted"
            );
        }
    }
}

#[tokio::test]
async fn a_key_counts_in_its_time_alone() {
    let world = World::new().opened().await;
    let mut clinic = registration(
        "clinic",
        vec![Role::Issuer, Role::Verifier],
        "http://127.0.0.1:9",
    );
    let mut new = clinic.keys[0].clone();
    new.public = public_key(&key("clinic's new key")).0.to_vec();
    new.from_ms = world.now_ms();
    clinic.keys[0].until_ms = Some(world.now_ms());
    clinic.keys.push(new);
    assert!(
        clinic
            .keys
            .iter()
            .filter(|key| key.key_use == KeyUse::Sign)
            .count()
            == 2
    );
    let change = OrganisationChange {
        id: organisation("clinic"),
        sequence: 1,
        organisation: clinic,
    };
    world.ledger.registry(Body::OrganisationChanged(change));
    assert_eq!(
        world.post(1, &world.deposit(1, 1, b"sealed")).await.what(),
        (403, "deposit-signature".into())
    );
    assert_eq!(
        world
            .post(1, &stating(&world, "clinic's new key", |_| {}))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn limits_hold() {
    let world = World::with(Limits {
        file_bytes_max: 1000,
        records_max: 2,
        ..Limits::default()
    })
    .opened()
    .await;
    assert_eq!(
        world.post(1, &world.deposit(1, 1, &[0; 1001])).await.what(),
        (413, "deposit-size".into())
    );
    assert_eq!(
        world
            .post(1, &world.deposit(1, 1, &[0; 100_000]))
            .await
            .what(),
        (413, "too-large".into())
    );
    world.put(1, 1, &[0; 1000]).await;
    world.put(1, 2, b"2").await;
    assert_eq!(
        world.post(1, &world.deposit(1, 3, b"3")).await.what(),
        (409, "drawer-full".into())
    );
    assert_eq!(
        world.post(3, &world.deposit(3, 3, b"3")).await.what(),
        (404, "drawer-unknown".into())
    );
    let path = format!("/v1/drawers/{}/records", DrawerId([1; 16]));
    assert_eq!(
        world.unsigned(Method::POST, &path, vec![0xa0]).await.what(),
        (400, "malformed".into())
    );
}

#[tokio::test]
async fn a_silent_ledger_means_stale_and_not_last_known() {
    let world = World::new().opened().await;
    world.pass_silently(15_100);
    assert_eq!(
        world.post(1, &world.deposit(1, 1, b"sealed")).await.what(),
        (503, "stale".into())
    );
    world.pass(0);
    world.put(1, 1, b"sealed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_still_make_one_chain() {
    let world = std::sync::Arc::new(World::new().opened().await);
    let mut posts = tokio::task::JoinSet::new();
    for record in 1..=60 {
        let world = std::sync::Arc::clone(&world);
        // Each twice at once: one is new, the other has the same receipt.
        for _ in 0..2 {
            let world = std::sync::Arc::clone(&world);
            posts.spawn(async move {
                let answer = world
                    .post(1, &world.deposit(1, record, &[record; 500]))
                    .await;
                (answer.status, record, answer.body)
            });
        }
    }
    let mut answers = posts.join_all().await;
    answers.sort();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.0).collect();
    assert_eq!(statuses, [vec![200; 60], vec![201; 60]].concat());
    let receipts = |from: usize| {
        answers[from..from + 60]
            .iter()
            .map(|answer| answer.2.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(receipts(0), receipts(60));
    assert_eq!(head(&world, &list(&world, 1).await).0, 60);
    assert!(fsck(&world.folder, |_| ()).unwrap().is_sound());
}

#[tokio::test]
async fn whoever_names_no_drawer_is_not_listened_to() {
    let world = World::new().opened().await;
    let path = format!("/v1/drawers/{}/records", DrawerId([7; 16]));
    // a body that never comes: only whoever waits for it is held up
    let body = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = axum::http::Request::post(path)
        .header("content-type", "application/cbor")
        .body(axum::body::Body::from_stream(body))
        .unwrap();
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), world.send(request));
    let answer = answer.await.expect("an answer before the body");
    assert_eq!(answer.what(), (404, "drawer-unknown".into()));
}
