//! Records that were bound to the wrong person: copies are dropped, and the ledger is told.

use super::desk::Desk;
use super::world::{Ask, VACCINATIONS};
use tegata_consent::status::erasure_commitment;
use tegata_credential::status_list::{RECALLED, Status};

#[tokio::test]
async fn the_copy_of_a_recalled_record_is_dropped_and_the_ledger_is_told() {
    let mut desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    desk.deliver(&granted).await;
    let mut recipes = [(); 3].map(|()| desk.world.recipe(VACCINATIONS));
    for (recipe, index) in recipes.iter_mut().zip([5, 6, 7]) {
        recipe.status.as_mut().unwrap().index = index;
    }
    desk.deposit(desk.world.make_chain(&mut recipes));
    let answer = desk.read(&granted).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let records = recipes.map(|recipe| recipe.manifest.record);
    let copy = |record| format!("/v1/grants/{}/copies/{record}", granted.id);
    for record in records {
        assert_eq!(desk.get(&copy(record)).await.status, 200);
    }
    assert_eq!(desk.get("/v1/recalls").await.body, serde_json::json!([]));
    let fetch = desk.site.lock().unwrap().fetches[0].clone();
    let us = desk.world.us.organisation_id();
    let confirmed = async |desk: &Desk, record| {
        desk.world.node.chain.lock().unwrap().heartbeat();
        let commitment = erasure_commitment(&fetch.salt, &fetch.access, &record);
        let proven = desk.world.ledger.erasure(&us, &commitment).await.unwrap();
        proven.value
    };

    // One is revoked, one recalled, one stays as it is. A list that nobody published does nothing.
    let unpublished = desk.world.status_token_at(
        &[(7, RECALLED)],
        600,
        &desk.world.credential_key(),
        tegata_service::clock::now_s() + 20,
    );
    desk.site.lock().unwrap().status = Some(unpublished);
    desk.statuses(&[(5, RECALLED), (6, Status::Invalid)]);
    let erasure = desk
        .until("the erasure is confirmed", async |desk| {
            confirmed(desk, records[0]).await
        })
        .await;
    assert_eq!(erasure.grant, granted.id);
    assert_eq!(desk.get(&copy(records[0])).await.status, 404, "dropped");
    for record in &records[1..] {
        assert_eq!(desk.get(&copy(*record)).await.status, 200, "kept");
        assert_eq!(confirmed(&desk, *record).await, None);
    }
    let listed = desk
        .until("it is listed", async |desk| {
            let listed = desk.get("/v1/recalls").await.body;
            listed[0]["confirmed_ms"].is_u64().then_some(listed)
        })
        .await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["record"], records[0].to_string());
    assert_eq!(listed[0]["confirmed_ms"], erasure.confirmed_ms);

    // What is recalled while nobody is here is found at the next start.
    desk.kill().await;
    desk.statuses(&[(5, RECALLED), (6, RECALLED)]);
    desk.start_again().await;
    desk.until("the second erasure is confirmed", async |desk| {
        confirmed(desk, records[1]).await
    })
    .await;
    assert_eq!(desk.get(&copy(records[1])).await.status, 404);
    assert_eq!(desk.get(&copy(records[2])).await.status, 200);

    // Reading again gives the recalled ones no second copy.
    let answer = desk.read(&granted).await;
    let refused: Vec<_> = answer.body["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["verified"] == false)
        .collect();
    assert_eq!(refused.len(), 2);
    let why = refused[0]["checks"].as_array().unwrap();
    let why = why.iter().find(|check| check["check"] == "not-revoked");
    assert!(
        why.unwrap()["reason"]
            .as_str()
            .unwrap()
            .contains("recalled"),
        "{why:?}"
    );
    assert_eq!(desk.get(&copy(records[0])).await.status, 404);
    desk.kill().await;
    let report = crate::fsck(&desk.config, |_| ()).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
}
