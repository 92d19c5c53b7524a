//! Old status lists, recalled records, over-asking, and histories that somebody floods: real processes.

use crate::refusals::Recipient;
use crate::world::{World, binary, within};
use serde_json::{Value, json};
use std::net::ToSocketAddrs;
use std::time::Duration;
use tegata::demo::wallet::{Read, Wallet};
use tegata_consent::cose::Signed;
use tegata_consent::ids::{GrantId, Nonce, RecordId, Salt};
use tegata_consent::request::ConsentRequest;
use tegata_consent::scope::Scope;
use tegata_consent::state::{Outcome, REFUSED_ACCESSES_PER_HOUR, Refusal};
use tegata_service::clock;
use tegata_service::keys::load_organisation_keys;
use tegata_service::ledger::LedgerError;

const SUBJECT: &str = "S-77";

fn immunization(number: u32) -> Value {
    json!({
        "resourceType": "Immunization",
        "identifier": [{ "system": "https://midori.example/immunization", "value": format!("{SUBJECT}-{number}") }],
        "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "48" }], "text": "Hib" },
        "patient": { "identifier": { "value": SUBJECT } },
        "occurrenceDateTime": "2023-04-15",
        "lotNumber": format!("LOT{number}A"),
        "performer": [{ "actor": { "display": "みどり小児科クリニック" } }],
        "protocolApplied": [{ "doseNumberPositiveInt": number }],
    })
}

/// A wallet with two vaccinations, granted to the clinic.
pub(crate) struct Granted {
    pub(crate) wallet: Wallet,
    grant: GrantId,
    /// Ids at the issuer, which are those in the vault.
    records: Vec<String>,
}

pub(crate) async fn granted(world: &World) -> Granted {
    let dir = world.dir();
    let stage = world.stage(&dir);
    let demo = &world.running.demo;
    let mut wallet = Wallet::open(&demo.host, world.running.ledger.clone())
        .await
        .unwrap();
    wallet
        .open_drawers(&["infant_checkup", "vaccination"])
        .await
        .unwrap();
    let issuer = stage.systems("clinic-issuer").unwrap();
    let pairing = issuer
        .post("/v1/pairings", &json!({ "subject": SUBJECT }))
        .await;
    let pairing = pairing.unwrap().success("the pairing").unwrap();
    let link = pairing["link"].as_str().unwrap();
    wallet.pair(link, &["vaccination"]).await.unwrap();
    let mut records = Vec::new();
    for number in 1..=2 {
        let resource = immunization(number);
        let taken = issuer.post("/fhir/Immunization", &resource);
        let taken = taken.await.unwrap().success("the Immunization").unwrap();
        let id = taken["id"].as_str().unwrap().to_owned();
        within(Duration::from_secs(30), "the deposit", async || {
            let found = issuer.get(&format!("/v1/records/{id}")).await;
            found.is_ok_and(|found| found.body["status"] == "deposited")
        })
        .await;
        records.push(id);
    }
    let ask = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
        "until_ms": clock::now_ms() + 86_400_000, "reference": "patient 77" });
    let verifier = stage.systems("clinic-verifier").unwrap();
    let made = verifier.post("/v1/requests", &ask).await.unwrap();
    let made = made.success("the request").unwrap();
    let link = made["link"].as_str().unwrap();
    let (grant, _) = wallet.grant(link, None).await.unwrap();
    Granted {
        wallet,
        grant,
        records,
    }
}

/// Reads, once the ticket is there: each record's id with whether it was verified and what was said of its status.
async fn read(world: &World, grant: &GrantId) -> Vec<(String, bool, String)> {
    let dir = world.dir();
    let stage = world.stage(&dir);
    let verifier = stage.systems("clinic-verifier").unwrap();
    let path = format!("/v1/grants/{grant}/readings");
    let mut found = Value::Null;
    within(Duration::from_secs(30), "a reading", async || {
        let answer = verifier.post(&path, &json!({})).await;
        answer.is_ok_and(|answer| {
            found = answer.body;
            answer.status == 200
        })
    })
    .await;
    let of_record = |record: &Value| {
        let checks = record["checks"].as_array().unwrap();
        let status = checks.iter().find(|check| check["check"] == "not-revoked");
        (
            record["record"].as_str().unwrap().to_owned(),
            record["verified"] == true,
            status.unwrap()["reason"].as_str().unwrap_or("").to_owned(),
        )
    };
    found["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(of_record)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_status_list_is_found_out_and_a_recalled_record_ends_everywhere() {
    let world = World::start().await;
    let dir = world.dir();
    let stage = world.stage(&dir);
    let demo = world.running.demo.clone();
    let ledger = world.running.ledger.clone();
    let Granted {
        wallet,
        grant,
        records,
    } = granted(&world).await;
    let all = read(&world, &grant).await;
    assert!(
        all.len() == 2 && all.iter().all(|(_, verified, _)| *verified),
        "{all:?}"
    );

    // What the issuer says now, kept by somebody who will serve it later.
    let issuer = stage.systems("clinic-issuer").unwrap();
    let record = issuer.get(&format!("/v1/records/{}", records[0])).await;
    let uri = record.unwrap().body["status_list"]["uri"]
        .as_str()
        .unwrap()
        .to_owned();
    let old = ledger.http().get(&uri).send().await.unwrap();
    let old = old.text().await.unwrap();

    // The first is another child's.
    let verifier = stage.systems("clinic-verifier").unwrap();
    let copy = |record: &str| format!("/v1/grants/{grant}/copies/{record}");
    assert_eq!(verifier.get(&copy(&records[0])).await.unwrap().status, 200);
    let why = json!({ "reason": "it is another child's" });
    let path = format!("/v1/records/{}/recall", records[0]);
    let recalled = issuer
        .post(&path, &why)
        .await
        .unwrap()
        .success("the recall")
        .unwrap();
    assert_eq!(recalled["status"], "recalled");
    within(Duration::from_secs(30), "the copy is dropped", async || {
        let dropped = verifier.get(&copy(&records[0])).await;
        dropped.is_ok_and(|answer| answer.status == 404)
    })
    .await;
    assert_eq!(verifier.get(&copy(&records[1])).await.unwrap().status, 200);

    // The citizen sees the confirmation, by proof, and that there is none for the other record.
    let clinic = load_organisation_keys(dir.join("clinic/keys.json")).unwrap();
    let clinic = clinic.organisation_id();
    let (_, history) = wallet.history(&grant).await.unwrap();
    let confirmed = async |record: &str| {
        let record: RecordId = record.parse().unwrap();
        let of_record = |read: &Read| {
            let handed = read.records.iter().zip(&read.erasures);
            let found = handed.filter(|(handed, _)| handed.record == record);
            found.map(|(_, commitment)| *commitment).collect::<Vec<_>>()
        };
        let mut confirmed = false;
        for commitment in history.iter().flat_map(of_record) {
            let proven = ledger.erasure(&clinic, &commitment).await.unwrap();
            confirmed |= proven.value.is_some();
        }
        confirmed
    };
    within(Duration::from_secs(30), "the confirmation", async || {
        confirmed(&records[0]).await
    })
    .await;
    assert!(!confirmed(&records[1]).await, "nothing else was dropped");
    let listed = verifier.get("/v1/recalls").await.unwrap().body;
    assert_eq!(listed[0]["record"], records[0].as_str());

    let after = read(&world, &grant).await;
    let first = after.iter().find(|(id, ..)| *id == records[0]).unwrap();
    assert!(!first.1 && first.2.contains("recalled"), "{first:?}");

    // Somebody answers in the issuer's place, with what it said before.
    world.take_away(&["clinic-issuer"]);
    let url = reqwest::Url::parse(&uri).unwrap();
    let place = (url.host_str().unwrap(), url.port().unwrap());
    let address = place.to_socket_addrs().unwrap().next().unwrap();
    let mut listener = None;
    within(Duration::from_secs(15), "the issuer's port", async || {
        listener = tokio::net::TcpListener::bind(address).await.ok();
        listener.is_some()
    })
    .await;
    let router = axum::Router::new().fallback(move || {
        let old = old.clone();
        async move { old }
    });
    let serving = tokio::spawn(async move { axum::serve(listener.unwrap(), router).await });
    // Who has the newest list is not deceived, and need not ask. A verifier that was just started has none yet.
    let known = read(&world, &grant).await;
    assert!(
        known
            .iter()
            .any(|(id, verified, _)| *id == records[1] && *verified)
    );
    world.take_away(&["clinic-verifier"]);
    world.give_back(&["clinic-verifier"]);
    within(
        Duration::from_secs(60),
        "the verifier is back",
        async || verifier.get("/v1/recalls").await.is_ok(),
    )
    .await;
    let deceived = read(&world, &grant).await;
    for (record, verified, reason) in &deceived {
        assert!(!verified, "{record} was believed");
        assert!(reason.contains("status_list_superseded"), "{reason}");
    }
    serving.abort();
    let _ = serving.await;
    world.give_back(&["clinic-issuer"]);
    within(Duration::from_secs(60), "the issuer is back", async || {
        let again = read(&world, &grant).await;
        again
            .iter()
            .any(|(id, verified, _)| *id == records[1] && *verified)
    })
    .await;
    let output = std::process::Command::new(binary())
        .args(["audit", "--ledger", &demo.ledger[0], "--genesis"])
        .arg(&demo.genesis)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 erasures confirmed"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_asking_is_on_the_ledger_for_all_to_see_and_a_flooded_history_stays_complete() {
    let world = World::start().await;
    let dir = world.dir();
    let demo = world.running.demo.clone();
    let Granted { wallet, grant, .. } = granted(&world).await;
    let ledger = world.running.ledger.clone();

    // The insurer signs what its own verifier refuses to sign: vaccinations, for payout.
    let insurer = load_organisation_keys(dir.join("insurer/keys.json")).unwrap();
    let request = |purpose: &str, category: &str| {
        let request = ConsentRequest {
            recipient: insurer.organisation_id(),
            categories: vec![category.into()],
            purpose: purpose.into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            until_ms: clock::now_ms() + 86_400_000,
            uses_max: None,
            reference: "00112233445566778899aabbccddeeff".into(),
            expires_ms: clock::now_ms() + 600_000,
            nonce: Nonce([3; 16]),
        };
        request.sign(&insurer.sign, &ledger.chain()).to_bytes()
    };
    let evidence = request("payout", "vaccination");
    let receipt = wallet.report_over_asking(&evidence).await.unwrap();
    assert_eq!(receipt.leaf.outcome, Outcome::Applied);
    let again = wallet.report_over_asking(&evidence).await.unwrap_err();
    assert!(again.to_string().contains("over-asking-known"), "{again}");
    let fair = request("payout", "laboratory");
    let fair = wallet.report_over_asking(&fair).await.unwrap_err();
    assert!(fair.to_string().contains("not-over-asking"), "{fair}");
    let output = std::process::Command::new(binary())
        .args(["audit", "--ledger", &demo.ledger[1], "--genesis"])
        .arg(&demo.genesis)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("asked for vaccination for payout, kept 30 days, and is not accredited"),
        "{text}"
    );

    // The insurer floods the citizen's history with attempts, up to its limit, and is told to stop.
    let flooder = Recipient::new(&world, "insurer");
    let scope = Scope::of_drawers(vec![wallet.drawer_id("vaccination").unwrap()]);
    let attempts = (0..REFUSED_ACCESSES_PER_HOUR).map(|number| {
        let mut salt = Salt([7; 32]);
        salt.0[..4].copy_from_slice(&number.to_be_bytes());
        flooder.try_access(grant, &scope, salt)
    });
    let outcomes: Vec<_> = futures::StreamExt::collect(futures::StreamExt::buffer_unordered(
        futures::stream::iter(attempts),
        64,
    ))
    .await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), Outcome::Refused(Refusal::NotRecipient));
    }
    let over = flooder.try_access(grant, &scope, Salt([8; 32])).await;
    assert!(
        matches!(&over, Err(LedgerError::Inadmissible { code, .. }) if code == "refused-limit"),
        "{over:?}"
    );
    // The clinic reads as before, and the citizen sees all of it.
    assert!(
        read(&world, &grant)
            .await
            .iter()
            .all(|(_, verified, _)| *verified)
    );
    let accesses = REFUSED_ACCESSES_PER_HOUR + 1;
    let (state, history) = wallet.history_of(&grant, accesses as usize).await.unwrap();
    assert_eq!(state.accesses, u64::from(accesses));
    assert_eq!(history.len() as u64, state.accesses);
    let last = history.last().unwrap();
    assert_eq!(
        (last.reading.outcome, last.records.len()),
        (Outcome::Applied, 2)
    );
    world.end().await;
}
