//! Readings over HTTP.

use super::desk::Desk;
use super::fake::Manner;
use super::world::{Ask, VACCINATIONS};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use tegata_consent::proof::Receipt;
use tegata_consent::state::{Outcome, Refusal};
use tegata_credential::status_list::Status;

fn holds(record: &Value, check: &str) -> bool {
    record["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["check"] == check)
        .unwrap()["holds"]
        == true
}

#[tokio::test]
async fn a_reading_gives_verified_records_with_their_checks() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    let mut recipes = [(); 3].map(|()| desk.world.recipe(VACCINATIONS));
    recipes[1].status.as_mut().unwrap().index = 6;
    recipes[2].manifest.replaces = Some(recipes[0].manifest.record);
    desk.deposit(desk.world.make_chain(&mut recipes));
    desk.site.lock().unwrap().page = 2;
    desk.statuses(&[(6, Status::Invalid)]);
    let answer = desk.read(&granted).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let records = answer.body["records"].as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(
        (
            &records[0]["record_type"],
            &records[0]["claims"]["vaccine_code"]
        ),
        (&json!("vaccination"), &json!("mr"))
    );
    assert_eq!(records[0]["fhir"]["resourceType"], "Immunization");
    assert_eq!(records[0]["fhir"]["patient"]["identifier"]["value"], "P-1");
    assert_eq!(
        records[0]["superseded_by"],
        json!(recipes[2].manifest.record.to_string())
    );
    assert!(records[..2].iter().all(|record| {
        record["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["holds"] == true)
    }));
    // The revoked one: its id and checks, and nothing that stands in it.
    let refused = &records[2];
    assert_eq!(
        refused["record"],
        json!(recipes[1].manifest.record.to_string())
    );
    assert!(!holds(refused, "not-revoked") && holds(refused, "issuer-signature"));
    let members: Vec<_> = refused.as_object().unwrap().keys().collect();
    assert_eq!(members, ["record", "verified", "checks"]);
    assert_eq!(
        answer.body["drawers"][0]["complete"], true,
        "{}",
        answer.body["drawers"]
    );
    assert_eq!(
        desk.site.lock().unwrap().fetches.len(),
        2,
        "two pages under one access"
    );
    // What is kept of the reading tells checks and no claims; the copy is there for as long as the grant allows.
    let kept = desk.get("/v1/readings").await.body;
    assert_eq!(
        (&kept[0]["outcome"], &kept[0]["access"]),
        (&json!("allowed"), &answer.body["access"])
    );
    assert!(!kept.to_string().contains("vaccine_code"));
    let copy = desk
        .get(&format!(
            "/v1/grants/{}/copies/{}",
            granted.id, recipes[0].manifest.record
        ))
        .await;
    assert_eq!(copy.body["claims"]["vaccine_code"], "mr");
    let kept_ms = copy.body["delete_ms"].as_u64().unwrap() - copy.body["read_ms"].as_u64().unwrap();
    assert_eq!(kept_ms, 30 * 86_400_000);
    let none = desk
        .get(&format!(
            "/v1/grants/{}/copies/{}",
            granted.id, recipes[1].manifest.record
        ))
        .await;
    assert_eq!(none.status, 404, "no copy of what did not verify");
}

#[tokio::test]
async fn after_revocation_the_refusal_has_a_receipt_and_the_host_is_not_asked() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    desk.deposit(vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]);
    desk.world.revoke(&granted);
    let refused = desk.read(&granted).await;
    assert_eq!(refused.code(), (403, "revoked"), "{}", refused.body);
    let receipt = URL_SAFE_NO_PAD
        .decode(refused.body["receipt"].as_str().unwrap())
        .unwrap();
    let receipt = Receipt::parse(&receipt).unwrap();
    let proven = receipt
        .verify(&desk.world.ledger.chain(), &desk.world.ledger.validators())
        .unwrap();
    assert_eq!(proven.leaf.outcome, Outcome::Refused(Refusal::Revoked));
    assert_eq!(
        proven.entry.id().to_string(),
        refused.body["access"].as_str().unwrap()
    );
    assert!(desk.site.lock().unwrap().fetches.is_empty());
    assert_eq!(desk.get("/v1/readings").await.body[0]["outcome"], "revoked");
}

#[tokio::test]
async fn a_grant_revoked_while_the_host_answers_gives_nothing() {
    let desk = Desk::start().await;
    let granted = Arc::new(desk.world.grant(&Ask::default()));
    desk.deliver(&granted).await;
    desk.deposit(vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]);
    let entry = desk.world.revocation(&granted);
    let chain = Arc::clone(&desk.world.chain);
    desk.site.lock().unwrap().on_fetch = Some(Box::new(move || {
        chain
            .lock()
            .unwrap()
            .block(std::slice::from_ref(&entry))
            .unwrap();
    }));
    let answer = desk.read(&granted).await;
    assert_eq!(answer.code(), (403, "revoked"), "{}", answer.body);
    assert!(!answer.body.to_string().contains("vaccine_code"));
    assert_eq!(desk.site.lock().unwrap().fetches.len(), 1);
}

#[tokio::test]
async fn a_host_that_saw_the_revocation_first_does_not_hide_the_reason() {
    let desk = Desk::start().await;
    let granted = Arc::new(desk.world.grant(&Ask::default()));
    desk.deliver(&granted).await;
    let entry = desk.world.revocation(&granted);
    let chain = Arc::clone(&desk.world.chain);
    {
        let mut site = desk.site.lock().unwrap();
        site.refuse = Some((403, "grant-revoked"));
        site.on_fetch = Some(Box::new(move || {
            // Asked once more, it is in the log already.
            drop(chain.lock().unwrap().block(std::slice::from_ref(&entry)));
        }));
    }
    assert_eq!(desk.read(&granted).await.code(), (403, "revoked"));
}

#[tokio::test]
async fn what_a_host_leaves_out_or_gives_twice_is_seen() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    let mut recipes = [(); 3].map(|()| desk.world.recipe(VACCINATIONS));
    let records = desk.world.make_chain(&mut recipes);
    let complete = |answer: &super::desk::Answer| answer.body["drawers"][0]["complete"] == true;
    desk.deposit(vec![records[0].clone(), records[2].clone()]);
    assert!(
        !complete(&desk.read(&granted).await),
        "one in the middle is missing"
    );
    desk.deposit(vec![
        records[0].clone(),
        records[0].clone(),
        records[1].clone(),
    ]);
    let twice = desk.read(&granted).await;
    assert!(!complete(&twice));
    assert_eq!(
        twice.body["records"].as_array().unwrap().len(),
        2,
        "counted once"
    );
    desk.deposit(vec![
        records[1].clone(),
        records[0].clone(),
        records[2].clone(),
    ]);
    assert!(!complete(&desk.read(&granted).await), "swapped");
    desk.deposit(records.clone());
    assert!(complete(&desk.read(&granted).await));
    desk.deposit(records[..2].to_vec());
    let shorter = desk.read(&granted).await;
    assert!(!complete(&shorter), "the last one was seen before");
    assert!(
        shorter.body["drawers"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("3 receipts were seen")
    );
    // Another history under the same numbers.
    let mut others = [(); 3].map(|()| desk.world.recipe(VACCINATIONS));
    desk.deposit(desk.world.make_chain(&mut others));
    assert!(!complete(&desk.read(&granted).await));
}

#[tokio::test]
async fn narrower_readings_lie_within_the_grant() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    let mut recipes = [(); 2].map(|()| desk.world.recipe(VACCINATIONS));
    desk.deposit(desk.world.make_chain(&mut recipes));
    let path = format!("/v1/grants/{}/readings", granted.id);
    let wanted = recipes[1].manifest.record.to_string();
    let answer = desk.post(&path, &json!({ "records": [wanted] })).await;
    // This host hands out more than was asked for: the rest is refused.
    let verified: Vec<_> = answer.body["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["verified"] == true)
        .collect();
    assert_eq!(verified.len(), 1);
    assert_eq!(verified[0]["record"], json!(wanted));
    let beyond = desk
        .post(
            &path,
            &json!({ "drawers": [super::world::CHECKUPS.to_string()] }),
        )
        .await;
    assert_eq!(beyond.code(), (422, "beyond-grant"));
    assert_eq!(
        desk.post(&path, &json!({ "drawers": ["x"] })).await.code(),
        (400, "malformed")
    );
    assert_eq!(
        desk.post("/v1/grants/00/readings", &json!({})).await.status,
        404
    );
    let unknown = desk
        .post(
            &format!("/v1/grants/{}/readings", "00".repeat(32)),
            &json!({}),
        )
        .await;
    assert_eq!(unknown.code(), (404, "no-ticket"));
    let nobody = desk
        .client
        .post(format!("{}{path}", desk.url))
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(nobody.status(), 401);
}

#[tokio::test]
async fn a_used_up_grant_is_refused() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask {
        uses_max: Some(1),
        ..Ask::default()
    });
    desk.deliver(&granted).await;
    desk.deposit(vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]);
    assert_eq!(desk.read(&granted).await.status, 200);
    assert_eq!(desk.read(&granted).await.code(), (403, "used-up"));
}

#[tokio::test]
async fn status_lists_are_asked_each_time_and_kept_only_as_long_as_they_say() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    let mut recipes = [(); 4].map(|()| desk.world.recipe(VACCINATIONS));
    desk.deposit(desk.world.make_chain(&mut recipes));
    let valid = async |desk: &Desk| {
        let answer = desk.read(&granted).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let records = answer.body["records"].as_array().unwrap();
        records
            .iter()
            .filter(|record| holds(record, "not-revoked"))
            .count()
    };
    assert_eq!(valid(&desk).await, 4);
    assert_eq!(
        desk.site.lock().unwrap().status_asked,
        1,
        "once for the whole reading"
    );
    desk.statuses(&[(5, Status::Invalid)]);
    assert_eq!(
        valid(&desk).await,
        0,
        "the next reading sees the revocation"
    );
    // Nobody answers: the copy is used while its ttl lasts.
    desk.statuses(&[]);
    assert_eq!(valid(&desk).await, 4);
    desk.site.lock().unwrap().status = None;
    assert_eq!(valid(&desk).await, 4);
    let token = desk
        .world
        .status_token(&[], 1, &desk.world.credential_key());
    desk.serve(token);
    assert_eq!(valid(&desk).await, 4);
    desk.site.lock().unwrap().status = None;
    desk.until("the ttl is over", async |desk| {
        (valid(desk).await == 0).then_some(())
    })
    .await;
    // Signed by somebody else, or redirected elsewhere.
    let stranger = tegata_credential::keys::SigningKey::generate(
        tegata_credential::keys::Algorithm::EdDsa,
        &mut crate::random::rng(),
    );
    desk.site.lock().unwrap().status = Some(desk.world.status_token(&[], 600, &stranger));
    assert_eq!(valid(&desk).await, 0);
    desk.statuses(&[]);
    let good = desk.site.lock().unwrap().status.clone();
    desk.site.lock().unwrap().redirect = Some(format!("{}/elsewhere", desk.world.base));
    assert_eq!(valid(&desk).await, 0);
    desk.site.lock().unwrap().redirect = None;
    desk.site.lock().unwrap().status = good;
    assert_eq!(valid(&desk).await, 4);
    // A list that lies elsewhere is not asked for at all.
    let mut elsewhere = desk.world.recipe(VACCINATIONS);
    elsewhere.status.as_mut().unwrap().uri =
        format!("{}/issuer.example/v1/status-lists/1", desk.world.base);
    let before = desk.site.lock().unwrap().status_asked;
    desk.deposit(vec![desk.world.make(&elsewhere)]);
    assert_eq!(valid(&desk).await, 0);
    assert_eq!(desk.site.lock().unwrap().status_asked, before);
}

#[tokio::test]
async fn an_old_status_list_cannot_be_served_as_new() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    desk.deposit(vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]);
    let reason = async |desk: &Desk| {
        let answer = desk.read(&granted).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let record = &answer.body["records"][0];
        let checks = record["checks"].as_array().unwrap();
        let check = checks.iter().find(|found| found["check"] == "not-revoked");
        let check = check.unwrap();
        (
            check["holds"] == true,
            check["reason"].as_str().unwrap().to_owned(),
        )
    };
    assert!(reason(&desk).await.0);
    let old = desk.site.lock().unwrap().status.clone();
    // The issuer revokes, and somebody serves what it said before.
    desk.statuses(&[(5, Status::Invalid)]);
    let new = desk.site.lock().unwrap().status.clone();
    desk.site.lock().unwrap().status = old;
    let (holds, why) = reason(&desk).await;
    assert!(!holds && why.contains("status_list_superseded"), "{why}");
    // A list that the issuer signed and never published.
    let key = desk.world.credential_key();
    desk.site.lock().unwrap().status =
        Some(
            desk.world
                .status_token_at(&[], 600, &key, tegata_service::clock::now_s() + 30),
        );
    let (holds, why) = reason(&desk).await;
    assert!(!holds && why.contains("status_list_not_on_ledger"), "{why}");
    desk.site.lock().unwrap().status = new;
    let (holds, why) = reason(&desk).await;
    assert!(!holds && why.contains("revoked"), "{why}");
    desk.statuses(&[]);
    assert!(reason(&desk).await.0);
}

#[tokio::test]
async fn a_status_list_that_is_served_a_moment_after_it_was_published_is_waited_for() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    desk.deposit(vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]);
    let key = desk.world.credential_key();
    let token = desk.world.status_token(&[(77, Status::Invalid)], 600, &key);
    desk.world.publish(&token, tegata_service::clock::now_s());
    let asked = desk.site.lock().unwrap().status_asked;
    let site = std::sync::Arc::clone(&desk.site);
    let later = tokio::spawn(async move {
        while site.lock().unwrap().status_asked == asked {
            tokio::task::yield_now().await;
        }
        site.lock().unwrap().status = Some(token);
    });
    let answer = desk.read(&granted).await;
    later.await.unwrap();
    assert!(
        holds(&answer.body["records"][0], "not-revoked"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn hosts_that_refuse_or_break_are_named() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    for (answer, expected) in [
        ((503, "stale"), (503, "stale")),
        ((403, "grant-revoked"), (502, "host-refused")),
        ((403, "no-order"), (502, "host-refused")),
        ((500, "internal"), (502, "host")),
    ] {
        desk.site.lock().unwrap().refuse = Some(answer);
        assert_eq!(desk.read(&granted).await.code(), expected);
    }
}

#[tokio::test]
async fn a_stale_ledger_is_said_and_nothing_else() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    desk.deposit(vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]);
    assert_eq!(desk.read(&granted).await.status, 200);
    desk.world.node.behave(Manner::Broken);
    let fetches = desk.site.lock().unwrap().fetches.len();
    desk.until("stale", async |desk| {
        let answer = desk.read(&granted).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        (answer.code().1 == "stale").then_some(())
    })
    .await;
    let ready = desk
        .client
        .get(format!("{}/readyz", desk.url))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(
        desk.inbox(&desk.ticket(&granted)).await.code(),
        (503, "stale")
    );
    assert_eq!(
        desk.site.lock().unwrap().fetches.len(),
        fetches,
        "the host was not asked"
    );
    desk.world.node.behave(Manner::Honest);
    desk.world.beat();
    desk.until("it goes on", async |desk| {
        (desk.read(&granted).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_description_names_every_route() {
    let desk = Desk::start().await;
    let described = desk.get("/openapi.json").await.body;
    let paths: Vec<_> = described["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for path in [
        "/v1/requests",
        "/v1/requests/{id}",
        "/v1/inbox",
        "/v1/grants",
        "/v1/grants/{grant}/readings",
        "/v1/readings",
        "/v1/decisions",
        "/v1/events",
    ] {
        assert!(paths.contains(&path.to_owned()), "{path}: {paths:?}");
    }
}
