//! Processes die at any moment; nothing acknowledged is missing afterwards.

use crate::recalls::granted;
use crate::refusals::Recipient;
use crate::world::{World, binary, within};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tegata::demo::wallet::{Wallet, WalletError};
use tegata_consent::ids::Salt;
use tegata_consent::scope::Scope;
use tegata_consent::state::Outcome;
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
        killed(&world, name).await;
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

/// `kill -9`, and until everything is up again.
async fn killed(world: &World, name: &str) {
    let cluster = &world.running.cluster;
    let restarts = || cluster.restarts().get(name).copied().unwrap_or(0);
    let before = restarts();
    cluster.kill(name).expect("a process to kill");
    within(Duration::from_secs(20), name, async || restarts() > before).await;
    cluster
        .ready(Duration::from_secs(30))
        .await
        .expect("everything is up again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_that_is_killed_knows_what_it_asked_for_and_what_it_was_shown() {
    let world = World::start().await;
    let mut wallet = granted(&world).await.wallet;
    let dir = world.dir();
    let stage = world.stage(&dir);
    let verifier = stage.systems("clinic-verifier").unwrap();
    let ask = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
        "policy": "ledger", "reference": "patient 77" });
    let asked = verifier.post("/v1/presentations", &ask).await.unwrap();
    let asked = asked.success("the request").unwrap();
    let records = wallet.records().await.unwrap();
    wallet.status_is_known(&records[0]).await.unwrap();
    let link = asked["link"].as_str().unwrap();
    let request = wallet.read_presentation(link).await.unwrap();
    let prepared = wallet.prepare_presentation(&request, &records).await;
    let prepared = prepared.unwrap();

    killed(&world, "clinic-verifier").await;
    let (status, answer) = wallet.send_presentation(&prepared).await.unwrap();
    assert_eq!(status, 200, "{answer}");

    killed(&world, "clinic-verifier").await;
    let path = format!("/v1/presentations/{}", asked["id"].as_str().unwrap());
    let found = verifier.get(&path).await.unwrap().body;
    assert_eq!(found["status"], "answered", "{found}");
    assert_eq!(found["result"]["ledger_proof"], true, "{found}");
    let (status, again) = wallet.send_presentation(&prepared).await.unwrap();
    assert_eq!(
        (status, &again["code"]),
        (400, &json!("request-answered")),
        "{again}"
    );
    world.end().await;
}

/// Kills processes while a story is told, and knows which.
struct Killer<'a> {
    world: &'a World,
    /// The last process id that was killed, by name.
    killed: Mutex<BTreeMap<String, u32>>,
    kills: AtomicU32,
}

impl<'a> Killer<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            killed: Mutex::default(),
            kills: AtomicU32::new(0),
        }
    }

    /// `kill -9`, as soon as the process runs again after the last time.
    fn kill(&self, name: &str) {
        let cluster = &self.world.running.cluster;
        let mut killed = self.killed.lock().unwrap();
        let began = Instant::now();
        loop {
            let pid = cluster.pid(name).ok();
            if let Some(pid) = pid
                && killed.get(name) != Some(&pid)
                && cluster.kill(name).is_ok()
            {
                killed.insert(name.to_owned(), pid);
                self.kills.fetch_add(1, Ordering::SeqCst);
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{name} was not started again"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells a story and kills after each of its steps; the next step begins at once, with the process gone.
    async fn at_every_step(&self, story: &str, victim: &str) {
        let dir = self.world.dir();
        let steps = AtomicU32::new(0);
        let kill = |_: u32| {
            steps.fetch_add(1, Ordering::SeqCst);
            tokio::task::block_in_place(|| self.kill(victim));
        };
        // the teller hears of the steps for as long as the story lasts
        let mut stage = self.world.stage(&dir);
        stage.after_step = Some(&kill);
        let (before, began) = (self.kills.load(Ordering::SeqCst), Instant::now());
        if let Err(broken) = stage.tell(story).await {
            panic!("{story}, killing {victim}: {broken}");
        }
        let kills = self.kills.load(Ordering::SeqCst) - before;
        let steps = steps.load(Ordering::SeqCst);
        println!(
            "{story}: {kills} kills of {victim} in {steps} steps, {} calls asked again, {:?}",
            stage.patience.repeats(),
            began.elapsed()
        );
        assert!(
            kills == steps && steps >= 5,
            "{kills} kills in {steps} steps"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_at_every_step_of_the_story_is_survived() {
    let world = World::start().await;
    let restarts = || world.running.cluster.restarts().values().sum::<u32>();
    let (killer, before) = (Killer::new(&world), restarts());
    let mut vaccinations = 0;
    for victim in ["node1", "host", "clinic-issuer", "clinic-verifier"] {
        killer.at_every_step("vaccination", victim).await;
        vaccinations += 1;
        nothing_is_missing(&world, vaccinations, 0).await;
    }
    let mut payouts = 0;
    for victim in ["node2", "host", "test-centre-issuer", "insurer-verifier"] {
        killer.at_every_step("payout", victim).await;
        payouts += 1;
        nothing_is_missing(&world, vaccinations, payouts).await;
    }
    let killed = killer.kills.load(Ordering::SeqCst);
    assert_eq!(restarts() - before, killed, "nothing died by itself");

    // Within the steps as well: whatever it is doing, one process after the other goes.
    let (dir, stop) = (world.dir(), AtomicBool::new(false));
    let kills = || killer.kills.load(Ordering::SeqCst) - killed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turns = ["clinic-issuer", "host", "node3", "clinic-verifier"]
                .iter()
                .cycle();
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(300));
                killer.kill(turns.next().expect("a cycle does not end"));
            }
        });
        // until each of the four went at least twice
        let most = vaccinations + 10;
        while kills() < 8 && vaccinations < most {
            let stage = world.stage(&dir);
            let told = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(stage.tell("vaccination"))
            });
            if let Err(broken) = told {
                stop.store(true, Ordering::SeqCst);
                panic!("killing during the steps: {broken}");
            }
            vaccinations += 1;
            let repeats = stage.patience.repeats();
            println!(
                "vaccination: {} kills so far during the steps, {repeats} calls asked again",
                kills()
            );
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(kills() >= 8, "{} kills", kills());
    nothing_is_missing(&world, vaccinations, payouts).await;

    let fsck = || {
        let report = Command::new(binary()).arg("fsck").arg(world.dir()).output();
        let report = report.unwrap();
        let text = String::from_utf8_lossy(&report.stdout).into_owned();
        (report.status.code(), text)
    };
    let (code, text) = fsck();
    assert_eq!(code, Some(2), "nodes that run cannot be checked: {text}");
    assert_eq!(text.matches("stop the service first").count(), 4, "{text}");
    assert!(!text.contains('✗'), "the others are looked at: {text}");
    let names = world.running.cluster.names();
    world.take_away(&names.iter().map(String::as_str).collect::<Vec<_>>());
    within(
        Duration::from_secs(20),
        "a sound store everywhere",
        async || fsck().0 == Some(0),
    )
    .await;
    world.end().await;
}

/// Once everything runs again: every wallet has its records with unbroken receipt chains, its grant, and a history that is
/// complete by proof.
async fn nothing_is_missing(world: &World, vaccinations: usize, payouts: usize) {
    let running = &world.running;
    running
        .cluster
        .ready(Duration::from_secs(30))
        .await
        .unwrap();
    let wallets = running
        .check_earlier()
        .await
        .expect("what was there before");
    assert_eq!(wallets, vaccinations + payouts);
    for entry in std::fs::read_dir(world.dir().join("wallets")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let ledger = running.ledger.clone();
        let wallet = Wallet::load_or_open(&path, &running.demo.host, ledger).await;
        let mut wallet = wallet.unwrap();
        let (records, revoked) = if name.starts_with("vaccination") {
            (8, true)
        } else {
            (2, false)
        };
        assert_eq!(wallet.records().await.unwrap().len(), records, "{name}");
        let [grant] = wallet.grant_ids()[..] else {
            panic!("{name}: one grant was given");
        };
        let (state, history) = wallet.history(&grant).await.unwrap();
        assert_eq!(state.revoked_ms.is_some(), revoked, "{name}");
        assert_eq!(state.accesses, history.len() as u64, "{name}");
        let handed_out = history.iter().filter(|read| !read.records.is_empty());
        assert!(
            handed_out.count() >= 2,
            "{name}: two readings were answered"
        );
    }
}

/// Whether the host itself said that the ledger is stale.
fn is_stale<T>(answer: Result<T, WalletError>) -> bool {
    let text = answer.err().map(|error| error.to_string());
    text.is_some_and(|text| text.contains("answered 503") && text.contains("\"stale\""))
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
    let waiting = wallet.prepare_grant(&second, None).await.unwrap();
    let readings = format!("/v1/grants/{grant}/readings");
    within(Duration::from_secs(15), "the ticket", async || {
        insurer
            .post(&readings, &json!({}))
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
    // what the host hands out under an access that the ledger allowed
    let recipient = Recipient::new(&world, "insurer");
    let scope = Scope::of_drawers(vec![wallet.drawer_id("laboratory").unwrap()]);
    let salt = Salt([5; 32]);
    let (access, outcome) = recipient.access(grant, &scope, salt).await;
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(recipient.fetch(&access, &scope, salt).await.0, 200);

    let same = dir.join("insured.json");
    wallet.save(&same).unwrap();
    let ledger = world.running.ledger.clone();
    let on_another_device = Wallet::load_or_open(&same, &world.running.demo.host, ledger)
        .await
        .unwrap();
    // ours and the verifier's, which reads by itself as well
    assert!(on_another_device.history(&grant).await.unwrap().1.len() >= 2);

    world.take_away(&["node1", "node2"]);
    let limit = Duration::from_secs(20);
    let took = tokio::join!(
        within(limit, "503 stale from the verifier", async || {
            let answer = insurer.post(&readings, &json!({})).await;
            answer.is_ok_and(|answer| answer.status == 503 && answer.body["code"] == "stale")
        }),
        within(limit, "503 stale from the host for a fetch", async || {
            recipient.fetch(&access, &scope, salt).await == (503, "stale".to_owned())
        }),
        within(limit, "503 stale from the host for a history", async || {
            is_stale(on_another_device.history(&grant).await)
        }),
        within(limit, "503 stale from the host for a grant", async || {
            is_stale(wallet.submit_grant(&waiting).await)
        }),
    );
    println!("verifier, fetch, history and grant were told stale after {took:?}");
    let refused = wallet.grant(&second, None).await;
    assert!(refused.is_err(), "a grant was final without a quorum");

    world.give_back(&["node1"]);
    within(Duration::from_secs(60), "reading again", async || {
        insurer
            .post(&readings, &json!({}))
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
    wallet
        .submit_grant(&waiting)
        .await
        .expect("the grant that waited is final");
    world.give_back(&["node2"]);
    world
        .running
        .cluster
        .ready(Duration::from_secs(30))
        .await
        .unwrap();
    world.end().await;
}
