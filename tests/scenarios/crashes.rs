//! Processes die at any moment; nothing acknowledged is missing afterwards.

use crate::world::{World, within};
use serde_json::json;
use std::time::Duration;
use tegata::demo::wallet::Wallet;
use tegata_service::clock;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_of_any_one_process_during_a_story_is_survived() {
    let world = World::start().await;
    world.story("vaccination").await;
    for name in [
        "node0",
        "node3",
        "host",
        "clinic-issuer",
        "municipality-issuer",
        "clinic-verifier",
    ] {
        let before = world
            .running
            .cluster
            .restarts()
            .get(name)
            .copied()
            .unwrap_or(0);
        world.running.cluster.kill(name).expect("a process to kill");
        within(Duration::from_secs(20), name, async || {
            world
                .running
                .cluster
                .restarts()
                .get(name)
                .copied()
                .unwrap_or(0)
                > before
        })
        .await;
        world
            .running
            .cluster
            .ready(Duration::from_secs(30))
            .await
            .expect("everything is up again");
        let wallets = world
            .running
            .check_earlier()
            .await
            .expect("what was there before is there");
        assert_eq!(wallets, 1, "{name}");
    }
    world.story("vaccination").await;
    world.end().await;
}

#[tokio::test]
async fn with_two_validators_gone_everybody_says_stale_and_it_resumes_when_one_returns() {
    let world = World::start().await;
    let dir = world.dir();
    let stage = world.stage(&dir);
    let mut wallet = Wallet::open(&world.running.demo.host, world.running.ledger.clone())
        .await
        .unwrap();
    wallet.open_drawers(&["laboratory"]).await.unwrap();
    let insurer = stage.systems("insurer-verifier").unwrap();
    let ask = json!({ "categories": ["laboratory"], "purpose": "payout", "legal_basis": "consent", "retention_days": 30,
        "until_ms": clock::now_ms() + 86_400_000, "reference": "P-1001" });
    let link = |answer: serde_json::Value| answer["link"].as_str().expect("a link").to_owned();
    let first = link(
        insurer
            .post("/v1/requests", &ask)
            .await
            .unwrap()
            .success("request")
            .unwrap(),
    );
    let second = link(
        insurer
            .post("/v1/requests", &ask)
            .await
            .unwrap()
            .success("request")
            .unwrap(),
    );
    let (grant, _) = wallet.grant(&first, None).await.unwrap();
    let readings = format!("/v1/grants/{grant}/readings");
    within(Duration::from_secs(15), "the ticket", async || {
        insurer
            .post(&readings, &json!({}))
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;

    world.take_away(&["node1", "node2"]);
    let took = within(
        Duration::from_secs(20),
        "503 stale from the verifier",
        async || {
            insurer
                .post(&readings, &json!({}))
                .await
                .is_ok_and(|answer| answer.status == 503 && answer.body["code"] == "stale")
        },
    )
    .await;
    println!("the verifier said stale after {took:?}");
    assert!(
        took < Duration::from_secs(20),
        "stale must be said within 20 s, also to whoever asked before"
    );
    let refused = wallet.grant(&second, None).await;
    assert!(refused.is_err(), "a grant was final without a quorum");
    let history = wallet.history(&grant).await;
    assert!(
        history.is_err(),
        "the host showed a history without a fresh ledger"
    );

    world.give_back(&["node1"]);
    within(Duration::from_secs(60), "reading again", async || {
        insurer
            .post(&readings, &json!({}))
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
    wallet
        .grant(&second, None)
        .await
        .expect("grants are final again");
    world.give_back(&["node2"]);
    world
        .running
        .cluster
        .ready(Duration::from_secs(30))
        .await
        .unwrap();
    world.end().await;
}
