//! Carrying grants and revocations, and what a crash leaves of them.

use super::fetch::drawer;
use super::{World, key, organisation};
use crate::config::Limits;
use crate::fsck::fsck;
use crate::grants::{finish_all, grant};
use crate::ledger::ConsentLedger;
use axum::http::Method;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::entry::{Body, Entry, Grant, OverAsking};
use tegata_consent::ids::{DrawerId, Nonce, Salt};
use tegata_consent::order::{GrantSubmission, Order};
use tegata_consent::proof::Receipt;
use tegata_consent::request::ConsentRequest;
use tegata_consent::scope::Scope;

fn one() -> Scope {
    Scope::of_drawers(vec![drawer(1)])
}

/// What the host says of the vault's grants.
async fn listed(world: &World) -> Vec<String> {
    let answer = world.owner(Method::GET, "/grants", vec![]).await;
    let json: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).unwrap();
    json.iter()
        .map(|grant| grant["grant"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_grant_is_final_before_its_order_counts() {
    let world = World::new().opened().await;
    let submission = world.submission(1, world.grant_body(&one()), &one());
    let answer = world.submit(&submission).await;
    assert_eq!(answer.status, 201);
    let receipt = Receipt::parse(&answer.body).unwrap();
    let entry = Entry::parse(&receipt.leaf.entry)
        .unwrap()
        .verify(&world.chain)
        .unwrap();
    assert_eq!(
        entry.entry().countersigners(),
        [tegata_consent::cose::public_key(&key("host"))]
    );
    let again = world.submit(&submission).await;
    assert_eq!((again.status, again.body), (200, answer.body));
    assert_eq!(listed(&world).await, [world.grant_id(1).to_string()]);
    assert_eq!(
        world
            .host
            .store
            .order(&world.grant_id(1))
            .unwrap()
            .unwrap()
            .scope,
        one()
    );
    assert!(fsck(&world.folder, |_| ()).unwrap().is_sound());
}

type Alter = fn(&World) -> GrantSubmission;

fn with(world: &World, alter: impl FnOnce(&mut Grant)) -> GrantSubmission {
    let mut body = world.grant_body(&one());
    alter(&mut body);
    world.submission(1, body, &one())
}

const REFUSED: &[(&str, Alter, u16, &str)] = &[
    (
        "another sponsor",
        |w| with(w, |g| g.sponsor = organisation("lab")),
        422,
        "entry-sponsor",
    ),
    (
        "another commitment than the order's",
        |w| with(w, |g| g.commitment = one().commitment(&Salt([5; 32]))),
        422,
        "order",
    ),
    (
        "another vault's drawer",
        |w| {
            let scope = Scope::of_drawers(vec![DrawerId([7; 16])]);
            w.submission(1, w.grant_body(&scope), &scope)
        },
        403,
        "order-drawer",
    ),
    (
        "a person as legal basis",
        |w| with(w, |g| g.legal_basis = "yamada-hanako-1990-02-01".into()),
        422,
        "entry-code",
    ),
    (
        "a category that the grant does not name",
        |w| with(w, |g| g.categories = vec!["laboratory".into()]),
        422,
        "order-category",
    ),
    (
        "countersigned already",
        |w| {
            let good = with(w, |_| {});
            let entry = Entry::parse(&good.entry)
                .unwrap()
                .countersign(&key("lab"), &w.chain);
            GrantSubmission {
                entry: entry.to_bytes().into(),
                ..good
            }
        },
        422,
        "entry-countersigned",
    ),
    (
        "an altered entry",
        |w| {
            let mut good = with(w, |_| {});
            *good.entry.last_mut().unwrap() ^= 1;
            good
        },
        422,
        "entry",
    ),
    (
        "a revocation",
        |w| GrantSubmission {
            entry: w.revocation(1).into(),
            ..with(w, |_| {})
        },
        422,
        "entry-kind",
    ),
    (
        "no ticket",
        |w| GrantSubmission {
            ticket: vec![1].into(),
            ..with(w, |_| {})
        },
        422,
        "ticket",
    ),
    (
        "an order by another key",
        |w| {
            let order = Order {
                grant: w.grant_id(1),
                host: organisation("host"),
                salt: Salt([4; 32]),
                scope: one(),
            };
            GrantSubmission {
                order: order.sign(&key("thief"), &w.chain).to_bytes().into(),
                ..with(w, |_| {})
            }
        },
        422,
        "order",
    ),
    (
        "an order for another host",
        |w| {
            let order = Order {
                grant: w.grant_id(1),
                host: organisation("lab"),
                salt: Salt([4; 32]),
                scope: one(),
            };
            GrantSubmission {
                order: order.sign(&w.grant_key(1), &w.chain).to_bytes().into(),
                ..with(w, |_| {})
            }
        },
        422,
        "order",
    ),
    (
        "a purpose that the recipient is not accredited for",
        |w| with(w, |g| g.purpose = "payout".into()),
        409,
        "inadmissible",
    ),
    (
        "an end before its start",
        |w| with(w, |g| g.until_ms = g.from_ms),
        409,
        "inadmissible",
    ),
    (
        "the host itself as recipient",
        |w| with(w, |g| g.recipient = organisation("host")),
        409,
        "inadmissible",
    ),
];

#[tokio::test]
async fn every_other_grant_is_refused_and_nothing_of_it_stays() {
    for (name, alter, status, code) in REFUSED {
        let world = World::new().opened().await;
        let answer = world.submit(&alter(&world)).await;
        assert_eq!(
            answer.what(),
            (*status, (*code).to_owned()),
            "{name}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        assert!(
            listed(&world).await.is_empty() && world.host.store.pending().unwrap().is_empty(),
            "{name}"
        );
        assert_eq!(
            world.host.store.next_recipient(None).unwrap(),
            None,
            "{name}: nothing is carried"
        );
        world.grant(1, &one()).await;
    }
}

#[tokio::test]
async fn a_grants_key_is_used_once_and_for_one_vault() {
    let world = World::new().opened().await;
    world.grant(1, &one()).await;
    let other = with(&world, |grant| grant.retention_days = 1);
    assert_eq!(
        world.submit(&other).await.what(),
        (409, "grant-exists".into())
    );
    // Another vault's owner cannot take the grant over, and its drawers are not open to it.
    let submission = with(&world, |_| {});
    let thief = tegata_consent::ids::VaultId(tegata_consent::cose::public_key(&key("thief")).0);
    let taken = grant(&world.host, thief, submission).await.unwrap_err();
    assert_eq!(taken.code(), "order-drawer");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_by_sending_again() {
    let world = World::new().opened().await;
    let submission = with(&world, |_| {});
    world.ledger.swallow(1);
    assert_eq!(
        world.submit(&submission).await.what(),
        (503, "not-final".into())
    );
    assert!(listed(&world).await.is_empty());
    let again = world.submit(&submission).await;
    assert_eq!(again.status, 201);
    assert_eq!(world.submit(&submission).await.body, again.body);
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_finished_after_a_restart() {
    let mut world = World::new().opened().await;
    // Noted, and the ledger never heard of it.
    world.ledger.silence(true);
    assert_eq!(
        world
            .submit(&world.submission(1, world.grant_body(&one()), &one()))
            .await
            .status,
        503
    );
    // Final on the ledger, and the host does not know.
    world.ledger.silence(false);
    world.ledger.swallow(1);
    assert_eq!(
        world
            .submit(&world.submission(2, world.grant_body(&one()), &one()))
            .await
            .status,
        503
    );
    // Noted, and too late by the time the ledger hears of it.
    world.ledger.silence(true);
    let mut late = world.submission(3, world.grant_body(&one()), &one());
    let body = Body::Grant(world.grant_body(&one()));
    late.entry = Entry::sign(&world.grant_key(3), &world.chain, world.now_ms() + 1, body)
        .to_bytes()
        .into();
    assert_eq!(world.submit(&late).await.status, 503);
    assert_eq!(world.host.store.pending().unwrap().len(), 3);

    world.restart();
    assert!(
        finish_all(&world.host).await.is_err(),
        "the ledger is still silent"
    );
    assert_eq!(world.host.store.pending().unwrap().len(), 3);
    world.ledger.silence(false);
    world.pass(1_000);
    finish_all(&world.host).await.unwrap();
    assert!(world.host.store.pending().unwrap().is_empty());
    let mut expected = [world.grant_id(1), world.grant_id(2)].map(|grant| grant.to_string());
    expected.sort();
    assert_eq!(listed(&world).await, expected);
    assert!(
        world
            .host
            .store
            .submission(&world.grant_id(3))
            .unwrap()
            .is_none(),
        "dropped"
    );
    assert_eq!(
        world
            .host
            .store
            .messages(&organisation("clinic"), 100)
            .unwrap()
            .len(),
        2,
        "a ticket each"
    );
    let report = fsck(&world.folder, |_| ()).unwrap();
    assert_eq!(
        (report.faults, report.orders, report.outbox),
        (vec![], 2, 2)
    );
}

#[tokio::test]
async fn a_revocation_is_carried_once_and_can_be_asked_for_again() {
    let world = World::new().opened().await;
    let grant = world.grant(1, &one()).await;
    let answer = world.revoke(1).await;
    assert_eq!(answer.status, 201);
    world.pass(5);
    let again = world.revoke(1).await; // a new entry, since the time is another
    assert_eq!((again.status, again.body), (200, answer.body));
    let (_, proven) = world.ledger.grant(&grant).await.unwrap();
    assert!(proven.value.unwrap().revoked_ms.is_some());
    world.put(1, 1, b"sealed").await;
    let pings = world
        .host
        .store
        .messages(&organisation("clinic"), 100)
        .unwrap();
    assert!(
        pings
            .iter()
            .all(|message| message.kind == crate::rows::MessageKind::Ticket),
        "no ping under a revoked grant"
    );
}

#[tokio::test]
async fn other_revocations_are_refused() {
    let world = World::new().opened().await;
    let grant = world.grant(1, &one()).await;
    assert_eq!(
        world
            .owner(Method::POST, "/revocations", vec![1, 2])
            .await
            .what(),
        (422, "entry".into())
    );
    assert_eq!(
        world.revoke(2).await.what(),
        (409, "inadmissible".into()),
        "no such grant"
    );
    let submission = cbor::encode(&with(&world, |_| {}));
    assert_eq!(
        world
            .owner(Method::POST, "/revocations", submission)
            .await
            .what(),
        (422, "entry".into())
    );
    let thief = Body::Revocation(tegata_consent::entry::Revocation {
        grant,
        sponsor: organisation("host"),
    });
    let thief = Entry::sign(&key("thief"), &world.chain, world.now_ms() + 60_000, thief).to_bytes();
    assert_eq!(
        world
            .owner(Method::POST, "/revocations", thief)
            .await
            .what(),
        (422, "entry".into())
    );
    let other = Body::Revocation(tegata_consent::entry::Revocation {
        grant,
        sponsor: organisation("lab"),
    });
    let other = Entry::sign(
        &world.grant_key(1),
        &world.chain,
        world.now_ms() + 60_000,
        other,
    )
    .to_bytes();
    assert_eq!(
        world
            .owner(Method::POST, "/revocations", other)
            .await
            .what(),
        (422, "entry-sponsor".into())
    );
    assert!(world.host.store.pending().unwrap().is_empty());
    assert_eq!(world.revoke(1).await.status, 201);
}

#[tokio::test]
async fn a_revocation_whose_answer_was_lost_is_not_lost() {
    let mut world = World::new().opened().await;
    world.grant(1, &one()).await;
    world.ledger.swallow(1);
    assert_eq!(world.revoke(1).await.what(), (503, "not-final".into()));
    world.restart();
    world.pass(5);
    let answer = world.revoke(1).await; // a new entry; the one before is final
    assert_eq!(answer.status, 201);
    assert!(world.host.store.pending().unwrap().is_empty());
    assert_eq!(world.revoke(1).await.body, answer.body);
    // The same without a wallet that asks again.
    world.grant(2, &one()).await;
    world.ledger.swallow(1);
    assert_eq!(world.revoke(2).await.status, 503);
    world.restart();
    finish_all(&world.host).await.unwrap();
    assert!(
        world
            .host
            .store
            .revoked(&world.grant_id(2))
            .unwrap()
            .is_some()
    );
    assert!(fsck(&world.folder, |_| ()).unwrap().is_sound());
}

#[tokio::test]
async fn the_grant_of_a_presentation_opens_nothing() {
    let world = World::new().opened().await;
    let mut body = world.grant_body(&one());
    body.commitment =
        tegata_consent::presentation::presentation_commitment(&Salt([3; 32]), b"a request");
    let bare = |body: &Grant| {
        let entry = world.submission(1, body.clone(), &one()).entry;
        GrantSubmission::of_presentation(entry.into())
    };
    let answer = world.submit(&bare(&body)).await;
    assert_eq!(answer.what(), (422, "order".into()), "not for one use");
    body.uses_max = Some(1);
    assert_eq!(world.submit(&bare(&body)).await.status, 201);
    assert_eq!(world.submit(&bare(&body)).await.status, 200);
    assert_eq!(listed(&world).await, [world.grant_id(1).to_string()]);
    let order = world.host.store.order(&world.grant_id(1)).unwrap().unwrap();
    assert!(order.scope.drawers.is_empty());
    assert_eq!(
        world.host.store.next_recipient(None).unwrap(),
        None,
        "nobody hears of it from here"
    );
    assert!(fsck(&world.folder, |_| {}).unwrap().is_sound());
}

#[tokio::test]
async fn an_over_asking_is_carried_with_its_evidence() {
    let world = World::new().opened().await;
    let request = |nonce: u8, purpose: &str| {
        let request = ConsentRequest {
            recipient: organisation("clinic"),
            categories: vec!["vaccination".into()],
            purpose: purpose.into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            until_ms: world.now_ms() + 86_400_000,
            uses_max: None,
            reference: "00112233445566778899aabbccddeeff".into(),
            expires_ms: world.now_ms() + 600_000,
            nonce: Nonce([nonce; 16]),
        };
        request.sign(&key("clinic"), &world.chain).to_bytes()
    };
    let report = |request: Vec<u8>, sponsor: &str| {
        let body = Body::OverAsking(OverAsking {
            recipient: organisation("clinic"),
            sponsor: organisation(sponsor),
            request: request.into(),
        });
        Entry::sign(
            &key("reporter"),
            &world.chain,
            world.now_ms() + 60_000,
            body,
        )
        .to_bytes()
    };
    let send = async |entry: Vec<u8>| world.owner(Method::POST, "/over-askings", entry).await;
    let evidence = request(1, "payout");
    let answer = send(report(evidence.clone(), "host")).await;
    assert_eq!(answer.status, 201, "{}", answer.code());
    let receipt = Receipt::parse(&answer.body).unwrap();
    let verified = receipt.verify(&world.chain, &world.validators()).unwrap();
    match verified.entry.entry().body() {
        Body::OverAsking(report) => assert_eq!(*report.request, *evidence),
        other => panic!("{other:?}"),
    }
    assert_ne!(
        verified.entry.entry().signer().0,
        world.vault.vault_id().0,
        "nothing says who reported it"
    );
    let reason = |answer: &super::Answer| {
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        json["reason"].as_str().unwrap_or_default().to_owned()
    };
    let later = Entry::sign(
        &key("another reporter"),
        &world.chain,
        world.now_ms() + 60_000,
        Body::OverAsking(OverAsking {
            recipient: organisation("clinic"),
            sponsor: organisation("host"),
            request: evidence.into(),
        }),
    );
    let again = send(later.to_bytes()).await;
    assert_eq!(
        (again.status, reason(&again).as_str()),
        (409, "over-asking-known")
    );
    let fair = send(report(request(2, "care"), "host")).await;
    assert_eq!(
        (fair.status, reason(&fair).as_str()),
        (409, "not-over-asking")
    );
    let elsewhere = send(report(request(3, "payout"), "insurer")).await;
    assert_eq!(elsewhere.what(), (422, "entry-sponsor".into()));
    let other = send(world.revocation(1)).await;
    assert_eq!(other.what(), (422, "entry-kind".into()));
}

#[tokio::test]
async fn reports_of_a_vault_are_limited_and_take_no_grants_place() {
    let limits = Limits {
        reports_per_hour_max: 2,
        ..Limits::default()
    };
    let world = World::with(limits).opened().await;
    let report = |nonce: u8| {
        let request = ConsentRequest {
            recipient: organisation("clinic"),
            categories: vec!["vaccination".into()],
            purpose: "payout".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            until_ms: world.now_ms() + 86_400_000,
            uses_max: None,
            reference: "00112233445566778899aabbccddeeff".into(),
            expires_ms: world.now_ms() + 600_000,
            nonce: Nonce([nonce; 16]),
        };
        let request = request.sign(&key("clinic"), &world.chain).to_bytes();
        let body = Body::OverAsking(OverAsking {
            recipient: organisation("clinic"),
            sponsor: organisation("host"),
            request: request.into(),
        });
        let not_after_ms = world.now_ms() + 60_000;
        Entry::sign(&key("reporter"), &world.chain, not_after_ms, body).to_bytes()
    };
    let send = async |entry: Vec<u8>| world.owner(Method::POST, "/over-askings", entry).await;
    for nonce in 1..=2 {
        let answer = send(report(nonce)).await;
        assert_eq!(answer.status, 201, "{}", answer.code());
    }
    let third = send(report(3)).await;
    assert_eq!(third.what(), (429, "too-many-reports".into()));
    let submission = world.submission(1, world.grant_body(&one()), &one());
    assert_eq!(world.submit(&submission).await.status, 201);
    world.pass(3_600_000);
    assert_eq!(send(report(3)).await.status, 201);
}
