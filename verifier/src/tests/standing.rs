//! Standing readings, payments by rule, posting, crashes.

use super::desk::{Desk, TOKEN};
use super::world::{Ask, Granted, VACCINATIONS};
use futures::StreamExt;
use serde_json::json;
use tegata_consent::deposit::SealedRecord;
use tegata_credential::status_list::Status;

async fn policyholder(desk: &Desk, reference: &str) -> Granted {
    let (_, signed) = desk.request("payout", reference).await;
    let granted = desk.world.grant(&Ask {
        purpose: "payout",
        reference,
        answers: Some(&signed),
        ..Ask::default()
    });
    desk.deliver(&granted).await;
    granted
}

async fn decided(desk: &Desk, count: usize) {
    desk.until("decisions", async |desk| {
        (desk.decisions().await.len() >= count).then_some(())
    })
    .await;
}

async fn read_times(desk: &Desk, times: usize) {
    desk.until("standing readings", async |desk| {
        (desk.standing().await.len() >= times).then_some(())
    })
    .await;
}

fn one(desk: &Desk) -> Vec<SealedRecord> {
    vec![desk.world.make(&desk.world.recipe(VACCINATIONS))]
}

#[tokio::test]
async fn a_ping_is_read_and_paid_once() {
    let desk = Desk::start().await;
    let events = desk
        .client
        .get(format!("{}/v1/events", desk.url))
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    let mut events = events.bytes_stream();
    let granted = policyholder(&desk, "P-1").await;
    read_times(&desk, 1).await;
    assert!(desk.decisions().await.is_empty(), "there was nothing yet");
    let mut recipes = [desk.world.recipe(VACCINATIONS)];
    desk.deposit(desk.world.make_chain(&mut recipes));
    assert_eq!(desk.ping(&granted.id).await.status, 204);
    decided(&desk, 1).await;
    let decision = desk.decisions().await[0].clone();
    assert_eq!(
        (
            &decision["policy"],
            &decision["rule"],
            &decision["amount"],
            &decision["currency"]
        ),
        (
            &json!("P-1"),
            &json!("measles"),
            &json!(5000),
            &json!("JPY")
        )
    );
    assert_eq!(
        decision["record"],
        json!(recipes[0].manifest.record.to_string())
    );
    // Pinged again, and again: read again, not paid again.
    for times in [3, 4] {
        desk.ping(&granted.id).await;
        read_times(&desk, times).await;
    }
    assert_eq!(desk.decisions().await.len(), 1);
    desk.until("the post", async |desk| {
        (desk.site.lock().unwrap().posted == [decision.clone()]).then_some(())
    })
    .await;
    let mut told = String::new();
    while !told.contains("event: decision") {
        told += &String::from_utf8_lossy(&events.next().await.unwrap().unwrap());
    }
    for event in ["event: ticket", "event: ping", "event: reading"] {
        assert!(told.contains(event), "{event}: {told}");
    }
    assert!(!told.contains("vaccine_code"), "events carry no claims");
}

#[tokio::test]
async fn what_was_there_before_the_grant_is_paid_as_well() {
    let desk = Desk::start().await;
    desk.deposit(one(&desk));
    policyholder(&desk, "P-1").await;
    decided(&desk, 1).await;
}

#[tokio::test]
async fn what_must_not_be_paid() {
    let desk = Desk::start().await;
    desk.deposit(one(&desk));
    let verdict = async |desk: &Desk, granted: &Granted| {
        let grant = json!(granted.id.to_string());
        desk.until("the reading", async |desk| {
            let reading = desk
                .standing()
                .await
                .into_iter()
                .find(|reading| reading["grant"] == grant)?;
            Some(reading["records"][0]["rules"][0]["verdict"].clone())
        })
        .await
    };
    // Under a policy number that somebody wrote into a ticket unasked.
    let unasked = desk.world.grant(&Ask {
        purpose: "payout",
        ..Ask::default()
    });
    desk.deliver(&unasked).await;
    assert_eq!(verdict(&desk, &unasked).await, "unsolicited");
    let unknown = policyholder(&desk, "P-9").await;
    assert_eq!(verdict(&desk, &unknown).await, "unknown-policy");
    // A record of which one check fails never comes to a rule.
    desk.statuses(&[(5, Status::Invalid)]);
    let revoked = policyholder(&desk, "P-1").await;
    assert_eq!(verdict(&desk, &revoked).await, json!(null));
    assert!(desk.decisions().await.is_empty());
}

#[tokio::test]
async fn a_correction_is_not_paid_a_second_time() {
    let desk = Desk::start().await;
    let granted = policyholder(&desk, "P-1").await;
    read_times(&desk, 1).await;
    let mut wrong = [desk.world.recipe(VACCINATIONS)];
    let first = desk.world.make_chain(&mut wrong);
    desk.deposit(first);
    desk.ping(&granted.id).await;
    decided(&desk, 1).await;
    let [wrong] = wrong;
    let mut right = desk.world.recipe(VACCINATIONS);
    right.manifest.replaces = Some(wrong.manifest.record);
    right.status.as_mut().unwrap().index = 6;
    desk.statuses(&[(5, Status::Invalid)]);
    let mut again = desk.world.recipe(VACCINATIONS);
    again.manifest.replaces = Some(right.manifest.record);
    again.status.as_mut().unwrap().index = 7;
    let mut all = [wrong, right, again];
    let records = desk.world.make_chain(&mut all);
    for (count, times) in [(2, 3), (3, 4)] {
        desk.deposit(records[..count].to_vec());
        desk.ping(&granted.id).await;
        read_times(&desk, times).await;
    }
    assert_eq!(
        desk.decisions().await.len(),
        1,
        "corrections of corrections, too"
    );
}

#[tokio::test]
async fn a_host_that_fails_is_asked_again_under_the_same_access() {
    let desk = Desk::start().await;
    let granted = policyholder(&desk, "P-1").await;
    read_times(&desk, 1).await;
    desk.deposit(one(&desk));
    desk.site.lock().unwrap().refuse = Some((500, "internal"));
    let before = desk.site.lock().unwrap().fetches.len();
    desk.ping(&granted.id).await;
    desk.until("two attempts", async |desk| {
        (desk.site.lock().unwrap().fetches.len() >= before + 2).then_some(())
    })
    .await;
    desk.site.lock().unwrap().refuse = None;
    decided(&desk, 1).await;
    let fetches = &desk.site.lock().unwrap().fetches[before..];
    assert!(
        fetches
            .iter()
            .all(|fetch| fetch.access == fetches[0].access),
        "one use of the grant, however often it is tried"
    );
}

#[tokio::test]
async fn an_unreachable_status_list_puts_the_payment_off() {
    let desk = Desk::start().await;
    desk.deposit(one(&desk));
    desk.site.lock().unwrap().status = None;
    policyholder(&desk, "P-1").await;
    read_times(&desk, 1).await;
    assert!(desk.decisions().await.is_empty());
    desk.statuses(&[]);
    decided(&desk, 1).await;
}

#[tokio::test]
async fn a_grant_that_was_revoked_is_not_asked_under_again() {
    let desk = Desk::start().await;
    let granted = policyholder(&desk, "P-1").await;
    read_times(&desk, 1).await;
    desk.world.revoke(&granted);
    desk.ping(&granted.id).await;
    // The job is done when a later one of another grant is.
    let other = policyholder(&desk, "P-1").await;
    let other = json!(other.id.to_string());
    desk.until("the other", async |desk| {
        desk.standing()
            .await
            .iter()
            .any(|reading| reading["grant"] == other)
            .then_some(())
    })
    .await;
    let accesses = desk.world.consent(&granted).await.value.unwrap().accesses;
    assert_eq!(
        accesses, 1,
        "no entry on the ledger for what is known to be refused"
    );
}

#[tokio::test]
async fn a_verifier_that_is_killed_goes_on_where_it_was() {
    let mut desk = Desk::start().await;
    let granted = policyholder(&desk, "P-1").await;
    read_times(&desk, 1).await;
    desk.deposit(one(&desk));
    // Killed with the job in the queue, after an access and before the records came.
    desk.site.lock().unwrap().refuse = Some((500, "internal"));
    let before = desk.site.lock().unwrap().fetches.len();
    assert_eq!(desk.ping(&granted.id).await.status, 204, "acknowledged");
    desk.until("an attempt", async |desk| {
        (desk.site.lock().unwrap().fetches.len() > before).then_some(())
    })
    .await;
    desk.kill().await;
    {
        let mut site = desk.site.lock().unwrap();
        (site.refuse, site.refuse_posts) = (None, true);
    }
    desk.world.beat();
    desk.start_again().await;
    decided(&desk, 1).await;
    desk.until("a post", async |desk| {
        (!desk.site.lock().unwrap().posted.is_empty()).then_some(())
    })
    .await;
    // Killed with the decision not taken by the webhook.
    desk.kill().await;
    desk.site.lock().unwrap().refuse_posts = false;
    desk.world.beat();
    desk.start_again().await;
    let posted = desk.site.lock().unwrap().posted.len();
    desk.until("another post", async |desk| {
        (desk.site.lock().unwrap().posted.len() > posted || posted > 1).then_some(())
    })
    .await;
    desk.ping(&granted.id).await;
    read_times(&desk, 3).await;
    assert_eq!(desk.decisions().await.len(), 1);
    let site = desk.site.lock().unwrap();
    assert!(
        site.posted.iter().all(|decision| decision["number"] == 1),
        "the same decision, known by its number"
    );
}
