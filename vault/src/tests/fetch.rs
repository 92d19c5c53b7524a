//! Who is served, and who is not.

use super::{DAY_MS, World, signer};
use crate::config::Limits;
use axum::http::Method;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::Deposit;
use tegata_consent::fetch::{FetchAnswer, FetchRequest, GrantHistory};
use tegata_consent::history::{HistoryReader, verify_history};
use tegata_consent::ids::{DrawerId, EntryId, GrantId, RecordId, Salt};
use tegata_consent::proof::StateProof;
use tegata_consent::scope::Scope;

pub(super) fn drawer(number: u8) -> DrawerId {
    DrawerId([number; 16])
}

fn all() -> Scope {
    Scope::of_drawers(vec![drawer(1), drawer(2)])
}

fn records(world: &World, answer: &FetchAnswer) -> Vec<(u8, u8)> {
    let read = |bytes: &[u8]| Deposit::open(bytes, &world.chain).unwrap().0;
    answer
        .records
        .iter()
        .map(|record| read(&record.deposit))
        .map(|deposit| (deposit.drawer.0[0], deposit.record.0[0]))
        .collect()
}

fn read(bytes: &[u8]) -> FetchAnswer {
    cbor::decode(bytes, FetchAnswer::LIMIT).unwrap()
}

async fn history(world: &World, grant: GrantId) -> GrantHistory {
    let answer = world
        .owner(Method::GET, &format!("/grants/{grant}"), vec![])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.code());
    cbor::decode(&answer.body, GrantHistory::LIMIT).unwrap()
}

#[tokio::test]
async fn a_granted_recipient_gets_what_it_asked_for_and_the_owner_sees_it() {
    let world = World::new().opened().await;
    for (drawer, record) in [(2, 3), (1, 2), (1, 1)] {
        world.put(drawer, record, &[record; 50]).await;
    }
    let grant = world.grant(1, &all()).await;
    let narrow = Scope {
        until_ms: Some(3_000),
        ..all()
    };
    let request = world.access(grant, &narrow);
    let answer = world.fetch("clinic", &request).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let answer = read(&answer.body);
    assert_eq!(
        (records(&world, &answer), answer.next),
        (vec![(1, 2), (1, 1)], None),
        "in order of drawer, then deposit"
    );
    assert!(answer.records.iter().all(|record| record.receipt.is_some()));

    let seen = history(&world, grant).await;
    let validators = world.validators();
    let proven = StateProof::parse(&seen.proof)
        .unwrap()
        .verify_grant(&world.chain, &validators, &grant)
        .unwrap();
    let readings =
        verify_history(&world.chain, &grant, &proven.value.unwrap(), &seen.accesses).unwrap();
    assert_eq!(
        readings
            .iter()
            .map(|reading| reading.id)
            .collect::<Vec<_>>(),
        [request.access]
    );
    assert_eq!(
        (
            seen.openings[0].access,
            &seen.openings[0].scope,
            seen.openings[0].salt
        ),
        (request.access, &narrow, request.salt)
    );
    let handed: Vec<_> = seen.openings[0]
        .records
        .iter()
        .map(|handed| (handed.drawer, handed.record, handed.time_ms))
        .collect();
    let now_ms = world.now_ms();
    assert_eq!(
        handed,
        [
            (drawer(1), RecordId([2; 16]), now_ms),
            (drawer(1), RecordId([1; 16]), now_ms)
        ]
    );
    assert!(crate::fsck::fsck(&world.folder, |_| ()).unwrap().is_sound());
}

#[tokio::test]
async fn pages_go_on_where_the_last_ended_and_are_noted_once() {
    let world = World::with(Limits {
        page_bytes: 250,
        ..Limits::default()
    })
    .opened()
    .await;
    for record in 1..=5 {
        world.put(1, record, &[record; 100]).await;
    }
    world.put(2, 1, &[1; 1000]).await;
    let grant = world.grant(1, &all()).await;
    let request = world.access(grant, &all());
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let answer = world
            .fetch(
                "clinic",
                &FetchRequest {
                    after: after.clone(),
                    ..request.clone()
                },
            )
            .await;
        assert_eq!(answer.status, 200);
        let answer = read(&answer.body);
        pages.push(records(&world, &answer));
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(
        pages,
        [
            vec![(1, 1), (1, 2)],
            vec![(1, 3), (1, 4)],
            vec![(1, 5)],
            vec![(2, 1)]
        ],
        "a record longer than a page comes alone"
    );
    assert_eq!(
        read(&world.fetch("clinic", &request).await.body)
            .records
            .len(),
        2,
        "asking again under the same access is allowed"
    );
    let openings = history(&world, grant).await.openings;
    assert_eq!((openings.len(), openings[0].records.len()), (1, 6));
    let wrong = FetchRequest {
        after: Some(vec![1; 23].into()),
        ..request
    };
    assert_eq!(
        world.fetch("clinic", &wrong).await.what(),
        (400, "after".into())
    );
}

#[tokio::test]
async fn a_request_is_served_once_also_after_a_restart() {
    let mut world = World::new().opened().await;
    world.put(1, 1, b"sealed").await;
    let grant = world.grant(1, &all()).await;
    let body = cbor::encode(&world.access(grant, &all()));
    let url = format!("{}/v1/fetch", super::URL);
    let (now_s, nonce) = (
        tegata_service::clock::now_s(),
        tegata_consent::ids::Nonce([8; 16]),
    );
    let headers = tegata_service::signature::sign(
        &signer("clinic"),
        &Method::POST,
        &url,
        &body,
        now_s,
        nonce,
    );
    let request = || {
        let mut request = axum::http::Request::builder()
            .method(Method::POST)
            .uri("/v1/fetch");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        request.body(axum::body::Body::from(body.clone())).unwrap()
    };
    assert_eq!(world.send(request()).await.status, 200);
    assert_eq!(
        world.send(request()).await.what(),
        (401, "signature-replayed".into())
    );
    // A restart within the same second forgets nonces, but not what was served.
    world.verifier = std::sync::Arc::new(tegata_service::signature::Verifier::started_at(
        super::URL,
        0,
    ));
    world.restart();
    assert_eq!(world.send(request()).await.what(), (403, "replayed".into()));
}

/// Brings about what is refused, and gives who asks for what.
type Case = fn(&World, GrantId) -> (&'static str, FetchRequest);

const REFUSED: &[(&str, Case, u16, &str)] = &[
    (
        "no such access",
        |w, grant| {
            (
                "clinic",
                FetchRequest {
                    access: EntryId([1; 32]),
                    ..w.access(grant, &all())
                },
            )
        },
        403,
        "access-unknown",
    ),
    (
        "an entry that is no access",
        |w, grant| {
            let submission = w.host.store.submission(&grant).unwrap().unwrap();
            (
                "clinic",
                FetchRequest {
                    access: submission.id,
                    ..w.access(grant, &all())
                },
            )
        },
        403,
        "access-unknown",
    ),
    (
        "another organisation's access",
        |w, grant| ("insurer", w.access(grant, &all())),
        403,
        "not-recipient",
    ),
    (
        "an access by another organisation",
        |w, grant| ("insurer", w.access_by("insurer", grant, &all())),
        403,
        "access-refused",
    ),
    (
        "another organisation's access that was refused: not even why is told",
        |w, grant| {
            revoke(w, 1);
            ("insurer", w.access(grant, &all()))
        },
        403,
        "not-recipient",
    ),
    (
        "another salt",
        |w, grant| {
            (
                "clinic",
                FetchRequest {
                    salt: Salt([1; 32]),
                    ..w.access(grant, &all())
                },
            )
        },
        403,
        "opening",
    ),
    (
        "another scope than committed to",
        |w, grant| {
            let narrow = Scope::of_drawers(vec![drawer(1)]);
            (
                "clinic",
                FetchRequest {
                    scope: all(),
                    ..w.access(grant, &narrow)
                },
            )
        },
        403,
        "opening",
    ),
    (
        "a scope out of order",
        |w, grant| {
            (
                "clinic",
                w.access(
                    grant,
                    &Scope {
                        drawers: vec![drawer(2), drawer(1)],
                        ..all()
                    },
                ),
            )
        },
        403,
        "opening",
    ),
    (
        "a drawer beyond the order",
        |w, grant| {
            (
                "clinic",
                w.access(grant, &Scope::of_drawers(vec![drawer(1), drawer(3)])),
            )
        },
        403,
        "beyond-order",
    ),
    (
        "a grant without an order here",
        |w, _| {
            let grant = foreign_grant(w);
            ("clinic", w.access(grant, &all()))
        },
        403,
        "no-order",
    ),
    (
        "an access that is too old",
        |w, grant| {
            let request = w.access(grant, &all());
            w.pass(600_100);
            ("clinic", request)
        },
        403,
        "access-old",
    ),
    (
        "revoked before the access",
        |w, grant| {
            revoke(w, 1);
            ("clinic", w.access(grant, &all()))
        },
        403,
        "access-refused",
    ),
    (
        "revoked after the access",
        |w, grant| {
            let request = w.access(grant, &all());
            revoke(w, 1);
            ("clinic", request)
        },
        403,
        "grant-revoked",
    ),
    (
        "expired after the access",
        |w, grant| {
            w.pass(DAY_MS - 1_000);
            let request = w.access(grant, &all());
            w.pass(2_000);
            ("clinic", request)
        },
        403,
        "grant-expired",
    ),
    (
        "suspended after the access",
        |w, grant| {
            let request = w.access(grant, &all());
            w.suspend("clinic", 1);
            ("clinic", request)
        },
        403,
        "recipient-suspended",
    ),
    (
        "a key that is not the organisation's",
        |w, grant| ("nobody", w.access(grant, &all())),
        401,
        "not-registered",
    ),
    (
        "a stale ledger, for an access allowed before",
        |w, grant| {
            let request = w.access(grant, &all());
            w.pass_silently(15_100);
            ("clinic", request)
        },
        503,
        "stale",
    ),
    (
        "nodes that do not answer",
        |w, grant| {
            let request = w.access(grant, &all());
            w.ledger.silence(true);
            ("clinic", request)
        },
        503,
        "ledger-unreachable",
    ),
];

/// The person revokes through another host.
fn revoke(world: &World, number: u8) {
    use tegata_consent::entry::Entry;
    let entry = Entry::parse(&world.revocation(number))
        .unwrap()
        .countersign(&super::key("host"), &world.chain);
    world.ledger.write(entry).unwrap();
}

/// A grant on the ledger that came by another way than this host.
fn foreign_grant(world: &World) -> GrantId {
    use tegata_consent::entry::{Body, Entry};
    let body = Body::Grant(world.grant_body(&all()));
    let entry = Entry::sign(
        &world.grant_key(9),
        &world.chain,
        world.now_ms() + 60_000,
        body,
    );
    world
        .ledger
        .write(entry.countersign(&super::key("host"), &world.chain))
        .unwrap();
    world.grant_id(9)
}

#[tokio::test]
async fn every_other_fetch_is_refused_for_its_reason_and_nothing_is_handed_out() {
    for (name, case, status, code) in REFUSED {
        let world = World::new().opened().await;
        world.put(1, 1, b"sealed").await;
        let grant = world.grant(1, &all()).await;
        let served = world.fetch("clinic", &world.access(grant, &all())).await;
        assert_eq!(
            served.status, 200,
            "{name}: before, the recipient is served"
        );
        let before = world.host.store.openings(&grant).unwrap();
        let (who, request) = case(&world, grant);
        let answer = world.fetch(who, &request).await;
        assert_eq!(
            answer.what(),
            (*status, (*code).to_owned()),
            "{name}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        assert_eq!(world.host.store.openings(&grant).unwrap(), before, "{name}");
    }
}

#[tokio::test]
async fn an_access_of_ten_minutes_is_served_and_the_reason_of_a_refusal_is_told() {
    let world = World::new().opened().await;
    world.put(1, 1, b"sealed").await;
    let grant = world.grant(1, &all()).await;
    let request = world.access(grant, &all());
    world.pass(599_000);
    assert_eq!(world.fetch("clinic", &request).await.status, 200);
    revoke(&world, 1);
    let refused = world.fetch("clinic", &world.access(grant, &all())).await;
    let json: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(
        (&json["code"], &json["reason"]),
        (&"access-refused".into(), &"revoked".into())
    );
}

#[tokio::test]
async fn owners_and_strangers_cannot_fetch() {
    let world = World::new().opened().await;
    let grant = world.grant(1, &all()).await;
    let body = cbor::encode(&world.access(grant, &all()));
    let owner = tegata_service::signature::Signer::vault(world.vault.vault_key());
    assert_eq!(
        world
            .signed(&owner, Method::POST, "/v1/fetch", body.clone())
            .await
            .what(),
        (403, "signer".into())
    );
    // A stranger hears nothing of the body.
    for body in [body.clone(), vec![0; FetchRequest::LIMIT + 1]] {
        let answer = world.unsigned(Method::POST, "/v1/fetch", body).await;
        assert_eq!(answer.status, 401);
    }
    let impostor = tegata_service::signature::Signer::organisation(
        super::organisation("clinic"),
        super::key("insurer"),
    );
    assert_eq!(
        world
            .signed(&impostor, Method::POST, "/v1/fetch", body)
            .await
            .what(),
        (401, "not-its-key".into())
    );
}

#[tokio::test]
async fn a_history_is_the_owners_and_needs_a_fresh_ledger() {
    let world = World::new().opened().await;
    let grant = world.grant(1, &all()).await;
    let other = format!("/grants/{}", world.grant_id(7));
    assert_eq!(
        world.owner(Method::GET, &other, vec![]).await.what(),
        (404, "grant-unknown".into())
    );
    assert!(history(&world, grant).await.accesses.is_empty());
    // A refused access is in the history too, and has no opening.
    revoke(&world, 1);
    world.access(grant, &all());
    let seen = history(&world, grant).await;
    assert_eq!((seen.accesses.len(), seen.openings.len()), (1, 0));
    world.pass_silently(15_100);
    assert_eq!(
        world
            .owner(Method::GET, &format!("/grants/{grant}"), vec![])
            .await
            .what(),
        (503, "stale".into())
    );
}

#[tokio::test]
async fn a_history_buried_under_thousands_of_refusals_is_read_in_pages_and_complete() {
    let world = World::new().opened().await;
    world.put(1, 1, b"sealed").await;
    let grant = world.grant(1, &all()).await;
    let first = world.access(grant, &all());
    assert_eq!(world.fetch("clinic", &first).await.status, 200);
    // As many attempts as the ledger takes from a stranger, hour after hour.
    for hour in 0..3 {
        for block in 0..10 {
            let entries: Vec<_> = (0..100)
                .map(|number| world.access_entry("insurer", grant, &[hour, block, number]))
                .collect();
            world.ledger.block(&entries).unwrap();
        }
        let over = world.access_entry("insurer", grant, &[hour, 99, 99]);
        match world.ledger.block(&[over]) {
            Err(tegata_service::ledger::LedgerError::Inadmissible { code, .. }) => {
                assert_eq!(code, "refused-limit");
            }
            other => panic!("{other:?}"),
        }
        world.pass(3_600_000);
    }
    let last = world.access(grant, &all());
    assert_eq!(world.fetch("clinic", &last).await.status, 200);

    let validators = world.validators();
    let mut reader = HistoryReader::new(world.chain, grant);
    let (mut readings, mut openings, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let path = format!("/grants/{grant}?from={}", reader.count());
        let answer = world.owner(Method::GET, &path, vec![]).await;
        assert_eq!(answer.status, 200, "{}", answer.code());
        assert!(answer.body.len() < 1 << 20, "a page stays small");
        let page: GrantHistory = cbor::decode(&answer.body, GrantHistory::LIMIT).unwrap();
        assert!(page.accesses.len() <= GrantHistory::ACCESSES_MAX);
        let proven = StateProof::parse(&page.proof)
            .unwrap()
            .verify_grant(&world.chain, &validators, &grant)
            .unwrap();
        let state = proven.value.unwrap();
        let read = reader.page(&state, page.first.unwrap_or(0), &page.accesses);
        readings.extend(read.unwrap());
        openings.extend(page.openings);
        pages += 1;
        if reader.finish(&state).is_ok() {
            break;
        }
    }
    assert_eq!((readings.len(), pages), (3_002, 7));
    let allowed = |reading: &&tegata_consent::history::Reading| {
        reading.outcome == tegata_consent::state::Outcome::Applied
    };
    let allowed: Vec<_> = readings
        .iter()
        .filter(allowed)
        .map(|reading| reading.id)
        .collect();
    assert_eq!(allowed, [first.access, last.access], "nothing is buried");
    let opened: Vec<_> = openings.iter().map(|opening| opening.access).collect();
    assert_eq!(opened, allowed, "each page brings its openings");
    let beyond = world
        .owner(Method::GET, &format!("/grants/{grant}?from=3002"), vec![])
        .await;
    let page: GrantHistory = cbor::decode(&beyond.body, GrantHistory::LIMIT).unwrap();
    assert!(page.accesses.is_empty(), "there is no more");
}
