//! Tickets and pings reach inboxes, also inboxes that are away for a while, and hosts that are killed.

use super::fetch::drawer;
use super::{World, organisation, registration};
use crate::outbox::Carrier;
use crate::rows::MessageKind;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::post;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tegata_consent::entry::{Body, OrganisationChange};
use tegata_consent::ids::{Hash, RecordId};
use tegata_consent::organisation::Role;
use tegata_consent::scope::Scope;
use tegata_service::signature::{KeyId, Verifier};

/// A recipient's inbox on loopback, that checks signatures.
struct Inbox {
    url: String,
    refuse: Mutex<u32>,
    /// Which grant's messages are answered with which status, always.
    never: Mutex<Option<(String, u16)>>,
    taken: Mutex<Vec<serde_json::Value>>,
    verifier: Mutex<Option<Verifier>>,
    bell: tokio::sync::Notify,
}

impl Inbox {
    /// Listens, and is registered as the clinic's.
    async fn of_clinic(world: &World) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let verifier = Mutex::new(Some(Verifier::new(&url)));
        let inbox = Arc::new(Self {
            url,
            refuse: Mutex::new(0),
            never: Mutex::default(),
            taken: Mutex::default(),
            verifier,
            bell: tokio::sync::Notify::new(),
        });
        let router = Router::new()
            .route("/v1/inbox", post(take))
            .with_state(Arc::clone(&inbox));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let clinic = registration("clinic", vec![Role::Issuer, Role::Verifier], &inbox.url);
        let change = OrganisationChange {
            id: organisation("clinic"),
            sequence: 1,
            organisation: clinic,
        };
        world.ledger.registry(Body::OrganisationChanged(change));
        inbox
    }

    fn taken(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        self.taken
            .lock()
            .unwrap()
            .iter()
            .map(|json| (text(&json["kind"]), text(&json["grant"])))
            .collect()
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
    let signed_by = inbox
        .verifier
        .lock()
        .unwrap()
        .as_ref()
        .unwrap()
        .verify(&parts, &body)
        .unwrap();
    assert!(matches!(signed_by, KeyId::Organisation(id, _) if id == organisation("host")));
    let mut refuse = inbox.refuse.lock().unwrap();
    if *refuse > 0 {
        *refuse -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
    if let Some((grant, status)) = &*inbox.never.lock().unwrap()
        && message["grant"] == grant.as_str()
    {
        return StatusCode::from_u16(*status).unwrap();
    }
    inbox.taken.lock().unwrap().push(message);
    inbox.bell.notify_one();
    StatusCode::NO_CONTENT
}

fn carrier(world: &World) -> Carrier {
    Carrier::new(Arc::clone(&world.host), reqwest::Client::new())
}

fn kinds(world: &World) -> Vec<(MessageKind, usize)> {
    let messages = world
        .host
        .store
        .messages(&organisation("clinic"), 1000)
        .unwrap();
    messages
        .iter()
        .map(|message| (message.kind, message.rows.len()))
        .collect()
}

#[tokio::test]
async fn a_ticket_is_delivered_and_then_one_ping_for_many_deposits() {
    let world = World::new().opened().await;
    let inbox = Inbox::of_clinic(&world).await;
    let scope = Scope {
        records: None,
        from_ms: Some(2_000),
        ..Scope::of_drawers(vec![drawer(1)])
    };
    let submission = world.submission(1, world.grant_body(&scope), &scope);
    assert_eq!(world.submit(&submission).await.status, 201);
    let grant = world.grant_id(1).to_string();
    let mut carrier = carrier(&world);
    carrier.round().await.unwrap();
    assert_eq!(inbox.taken(), [("ticket".into(), grant.clone())]);
    let ticket = inbox.taken.lock().unwrap()[0]["ticket"]
        .as_str()
        .unwrap()
        .to_owned();
    let ticket =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, ticket).unwrap();
    assert_eq!(ticket, submission.ticket.to_vec());
    let listed = world.owner(Method::GET, "/grants", vec![]).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!(listed[0]["ticket_delivered_ms"], world.now_ms());

    world.put(1, 1, b"dated before what the order covers").await;
    world.put(2, 5, b"another drawer").await;
    assert!(kinds(&world).is_empty());
    for record in 2..5 {
        world.put(1, record, &[record; 10]).await;
    }
    assert_eq!(kinds(&world), [(MessageKind::Ping, 3)]);
    carrier.round().await.unwrap();
    assert_eq!(inbox.taken()[1..], [("ping".into(), grant)]);
    assert!(kinds(&world).is_empty());
}

#[tokio::test]
async fn the_carrier_runs_by_itself_when_the_bell_rings() {
    let world = World::new().opened().await;
    let inbox = Inbox::of_clinic(&world).await;
    let running = tokio::spawn(carrier(&world).run());
    world.grant(1, &Scope::of_drawers(vec![drawer(1)])).await;
    tokio::time::timeout(Duration::from_secs(20), inbox.bell.notified())
        .await
        .unwrap();
    world.put(1, 1, b"sealed").await;
    tokio::time::timeout(Duration::from_secs(20), inbox.bell.notified())
        .await
        .unwrap();
    assert_eq!(
        inbox
            .taken()
            .iter()
            .map(|taken| taken.0.as_str())
            .collect::<Vec<_>>(),
        ["ticket", "ping"]
    );
    running.abort();
}

#[tokio::test]
async fn an_inbox_that_refuses_is_asked_again_with_growing_pauses() {
    let world = World::new().opened().await;
    let inbox = Inbox::of_clinic(&world).await;
    *inbox.refuse.lock().unwrap() = 2;
    world.grant(1, &Scope::of_drawers(vec![drawer(1)])).await;
    let mut carrier = carrier(&world);
    let first = carrier.round().await.unwrap();
    assert!(first <= Duration::from_millis(250), "{first:?}");
    carrier.round().await.unwrap();
    assert_eq!(
        *inbox.refuse.lock().unwrap(),
        1,
        "not asked during the pause"
    );
    tokio::time::sleep(first).await;
    let second = carrier.round().await.unwrap();
    assert!(
        second > Duration::from_millis(250) && second <= Duration::from_millis(500),
        "{second:?}"
    );
    tokio::time::sleep(second).await;
    carrier.round().await.unwrap();
    assert_eq!(inbox.taken().len(), 1);
    assert!(kinds(&world).is_empty());
}

/// A sender's broken ticket is its own affair: the inbox says so once, and what waits behind it is carried.
#[tokio::test]
async fn what_an_inbox_refuses_for_good_is_settled_and_holds_up_nothing() {
    for (status, settled) in [
        (400, true),
        (409, true),
        (413, true),
        (422, true),
        (403, false),
        (500, false),
    ] {
        let world = World::new().opened().await;
        let inbox = Inbox::of_clinic(&world).await;
        let scope = Scope::of_drawers(vec![drawer(1)]);
        let mut grants = [world.grant(1, &scope).await, world.grant(2, &scope).await];
        grants.sort_unstable(); // the outbox goes by grant
        let [broken, sound] = grants.map(|grant| grant.to_string());
        *inbox.never.lock().unwrap() = Some((broken.clone(), status));
        let next = carrier(&world).round().await.unwrap();
        if !settled {
            assert!(
                inbox.taken().is_empty(),
                "{status}: it is asked again first"
            );
            assert_eq!(kinds(&world).len(), 2, "{status}");
            continue;
        }
        assert_eq!(
            inbox.taken(),
            [("ticket".into(), sound.clone())],
            "{status}"
        );
        assert!(kinds(&world).is_empty(), "{status}: nothing waits any more");
        assert!(
            next > Duration::from_secs(1),
            "{status}: the recipient is not paused, there is nothing to carry"
        );
        let listed = world.owner(Method::GET, "/grants", vec![]).await;
        let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
        let delivered = |grant: &str| {
            let rows = listed.as_array().unwrap();
            let row = rows.iter().find(|row| row["grant"] == grant).unwrap();
            !row["ticket_delivered_ms"].is_null()
        };
        assert!(
            delivered(&sound) && !delivered(&broken),
            "{status}: {listed}"
        );
    }
}

#[tokio::test]
async fn what_waits_survives_a_restart() {
    let mut world = World::new().opened().await;
    world.grant(1, &Scope::of_drawers(vec![drawer(1)])).await;
    world.put(1, 1, b"sealed").await;
    carrier(&world).round().await.unwrap(); // nobody listens at the registered address
    world.restart();
    assert_eq!(
        kinds(&world),
        [(MessageKind::Ticket, 1), (MessageKind::Ping, 1)]
    );
    let inbox = Inbox::of_clinic(&world).await;
    carrier(&world).round().await.unwrap();
    assert_eq!(
        inbox
            .taken()
            .iter()
            .map(|taken| taken.0.as_str())
            .collect::<Vec<_>>(),
        ["ticket", "ping"]
    );
}

#[tokio::test]
async fn a_ping_that_comes_while_another_is_delivered_is_not_lost() {
    let world = World::new().opened().await;
    world.grant(1, &Scope::of_drawers(vec![drawer(1)])).await;
    world.put(1, 1, b"sealed").await;
    let before = world
        .host
        .store
        .messages(&organisation("clinic"), 1000)
        .unwrap()
        .pop()
        .unwrap();
    world.put(1, 2, b"sealed").await;
    world.host.store.settle(&before, Some(1)).unwrap();
    assert_eq!(
        kinds(&world),
        [(MessageKind::Ticket, 1), (MessageKind::Ping, 1)]
    );
}

#[tokio::test]
async fn nothing_is_carried_under_a_grant_that_ended() {
    let world = World::new().opened().await;
    let inbox = Inbox::of_clinic(&world).await;
    world.grant(1, &Scope::of_drawers(vec![drawer(1)])).await;
    world.put(1, 1, b"sealed").await;
    assert_eq!(world.revoke(1).await.status, 201);
    carrier(&world).round().await.unwrap();
    assert!(inbox.taken().is_empty() && kinds(&world).is_empty());
    // An expired grant ends by itself.
    world.grant(2, &Scope::of_drawers(vec![drawer(1)])).await;
    world.pass(super::DAY_MS);
    world.put(1, 2, b"sealed").await;
    carrier(&world).round().await.unwrap();
    assert!(inbox.taken().is_empty() && kinds(&world).is_empty());
}

#[tokio::test]
async fn served_requests_are_forgotten_when_their_signatures_are() {
    let world = World::new().opened().await;
    let grant = world.grant(1, &Scope::of_drawers(vec![drawer(1)])).await;
    let opening = crate::rows::OpeningRow {
        salt: tegata_consent::ids::Salt([1; 32]),
        scope: Scope::of_drawers(vec![drawer(1)]),
    };
    let access = tegata_consent::ids::EntryId([1; 32]);
    let serve = |request: u8, now_ms| {
        let records: [(crate::rows::Position, RecordId); 0] = [];
        world
            .host
            .store
            .hand_out(
                &Hash([request; 32]),
                (&grant, &access),
                &opening,
                &records,
                now_ms,
            )
            .unwrap()
    };
    assert!(serve(1, 1_000) && !serve(1, 1_001) && serve(2, 2_000));
    assert_eq!(world.host.store.forget_served(1_500).unwrap(), 1);
    assert!(!serve(2, 2_001) && serve(1, 2_002));
}

#[tokio::test]
async fn an_inbox_that_does_not_answer_holds_up_no_other() {
    let world = World::new().opened().await;
    // The insurer's inbox takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let insurer = registration("insurer", vec![Role::Verifier], &url);
    let change = OrganisationChange {
        id: organisation("insurer"),
        sequence: 1,
        organisation: insurer,
    };
    world.ledger.registry(Body::OrganisationChanged(change));
    let inbox = Inbox::of_clinic(&world).await;
    let running = tokio::spawn(carrier(&world).run());
    let scope = Scope::of_drawers(vec![drawer(1)]);
    let mut body = world.grant_body(&scope);
    body.recipient = organisation("insurer");
    assert_eq!(
        world
            .submit(&world.submission(1, body, &scope))
            .await
            .status,
        201
    );
    drop(
        tokio::time::timeout(Duration::from_secs(20), silent.accept())
            .await
            .unwrap()
            .unwrap(),
    );
    let kept = tokio::time::timeout(Duration::from_secs(20), silent.accept())
        .await
        .unwrap()
        .unwrap();
    for number in 2..5 {
        world.grant(number, &scope).await;
        tokio::time::timeout(Duration::from_secs(5), inbox.bell.notified())
            .await
            .unwrap();
    }
    assert_eq!(inbox.taken().len(), 3);
    assert_eq!(
        world
            .host
            .store
            .messages(&organisation("insurer"), 10)
            .unwrap()
            .len(),
        1,
        "still waits"
    );
    running.abort();
    drop(kept);
}
