//! Codes and invitations that must not open anything.

use super::world::*;
use serde_json::{Value, json};
use tegata_consent::ids::{OrganisationId, SealKey};
use tegata_consent::invitation::Invitation;
use tegata_consent::organisation::{Role, Suspension};
use tegata_service::clock::now_ms;

async fn begin(issuer: &Running, subject: &str) -> String {
    let (status, begun) = issuer
        .post("/v1/pairings", &json!({ "subject": subject }))
        .await;
    assert_eq!(status, 201);
    begun["code"].as_str().unwrap().to_owned()
}

fn refusal((status, problem): (u16, Value)) -> (u16, String) {
    (
        status,
        problem["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_code_opens_once() {
    let world = World::new().await;
    let issuer = world.start().await;
    let [wallet, other] = [Wallet::new(), Wallet::new()];
    let (_, begun) = issuer
        .post("/v1/pairings", &json!({ "subject": "0012" }))
        .await;
    let code = begun["code"].as_str().unwrap();
    assert_eq!(
        begun["link"],
        format!(
            "https://wallet.invalid/#/pair?issuer={}&code={code}",
            world.id()
        )
    );
    assert!(begun["qr_svg"].as_str().unwrap().contains("<svg"));
    assert!(begun["expires_ms"].as_u64().unwrap() > now_ms());

    // A wallet may take the code without its hyphens, or as it stands; both in either case.
    let invitation =
        wallet.sign(&wallet.invitation(&world.host_id(), &world.id(), &code.replace('-', "")));
    let (status, paired) = issuer.answer(&code.to_lowercase(), &invitation).await;
    assert_eq!(status, 200, "{paired}");
    assert_eq!(
        (&paired["organisation"], &paired["record_types"]),
        (&json!(world.id().to_string()), &json!(TYPES))
    );
    assert_eq!(
        issuer.answer(code, &invitation).await.0,
        200,
        "the same answer again is the same pairing"
    );
    let stolen = other.sign(&other.invitation(&world.host_id(), &world.id(), code));
    assert_eq!(
        refusal(issuer.answer(code, &stolen).await),
        (410, "pairing-used".into())
    );
    issuer.stop().await;
    let issuer = world.start().await;
    assert_eq!(
        refusal(issuer.answer(code, &stolen).await),
        (410, "pairing-used".into()),
        "also after a restart"
    );
    assert_eq!(issuer.answer(code, &invitation).await.0, 200);
    issuer.stop().await;
}

#[tokio::test]
async fn the_newest_invitation_counts() {
    let world = World::new().await;
    let issuer = world.start().await;
    let [old, new] = [Wallet::new(), Wallet::new()];
    issuer.pair(&world, &old, "0012").await;
    issuer.pair(&world, &new, "0012").await;
    let (_, taken) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-1", "A"))
        .await;
    issuer
        .wait_status(taken["id"].as_str().unwrap(), "deposited")
        .await;
    assert_eq!(world.host.drawer(&old.drawer("vaccination")).len(), 0);
    assert_eq!(world.host.drawer(&new.drawer("vaccination")).len(), 1);
    issuer.stop().await;
}

#[tokio::test]
async fn invitations_are_refused_with_the_reason_and_leave_the_code_open() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    let code = begin(&issuer, "0012").await;
    let good = wallet.invitation(&world.host_id(), &world.id(), &code);
    let changed = |change: fn(&mut Invitation)| {
        let mut invitation = good.clone();
        change(&mut invitation);
        wallet.sign(&invitation)
    };
    for (invitation, reason) in [
        (
            changed(|i| i.depositor = OrganisationId([9; 32])),
            "other-depositor",
        ),
        (
            changed(|i| i.host = OrganisationId([9; 32])),
            "host-unknown",
        ),
        (changed(|i| i.host = i.depositor), "host-unknown"),
        (changed(|i| i.pairing.0[0] ^= 1), "other-pairing"),
        (changed(|i| i.expires_ms = 1), "invitation-expired"),
        (changed(|i| i.suite = 9), "suite-unknown"),
        (changed(|i| i.drawers.clear()), "invitation-size"),
        (
            changed(|i| i.record_types.push("imaging_study".into())),
            "not-accredited",
        ),
        (changed(|i| i.drawers.truncate(1)), "no-drawer"),
        (
            changed(|i| i.drawers[0].reader_key = SealKey([0; 32])),
            "drawer-key",
        ),
        (
            changed(|i| i.drawers[0].drawer_key = SealKey([0; 32])),
            "drawer-key",
        ),
        (
            changed(|i| {
                i.holder.0 = {
                    let mut identity = [0; 32];
                    identity[0] = 1;
                    identity
                }
            }),
            "holder-key",
        ),
        ("AAAA".to_owned(), "invitation-malformed"),
    ] {
        assert_eq!(
            refusal(issuer.answer(&code, &invitation).await),
            (422, reason.into())
        );
    }
    let mut forged = good.clone();
    forged.nonce.0[0] ^= 1;
    let mut bytes =
        tegata_consent::cose::Signed::sign(&forged, &wallet.secret.vault_key(), &CHAIN).to_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
    assert_eq!(
        refusal(issuer.answer(&code, &forged).await),
        (422, "invitation-signature".into())
    );
    assert_eq!(
        refusal(issuer.answer(&code, "=").await),
        (400, "malformed".into())
    );
    let suspension = Suspension {
        from_ms: 1,
        until_ms: None,
    };
    world
        .registry
        .change(&world.host_id(), |host| host.suspensions = vec![suspension]);
    assert_eq!(
        refusal(issuer.answer(&code, &wallet.sign(&good)).await),
        (422, "host-suspended".into())
    );
    world
        .registry
        .change(&world.host_id(), |host| host.suspensions.clear());
    world.registry.set_stale(true);
    assert_eq!(
        refusal(issuer.answer(&code, &wallet.sign(&good)).await),
        (503, "stale".into())
    );
    world.registry.set_stale(false);
    assert_eq!(
        issuer.answer(&code, &wallet.sign(&good)).await.0,
        200,
        "the code is still open"
    );
    issuer.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_not_accredited_gets_no_vault() {
    let world = World::new().await;
    world.registry.put(organisation(
        &world.keys,
        Role::Issuer,
        "http://issuer.invalid",
        &["vaccination"],
    ));
    let issuer = world.start().await;
    let wallet = Wallet::new();
    let code = begin(&issuer, "0012").await;
    let all = wallet.invitation(&world.host_id(), &world.id(), &code);
    assert_eq!(
        refusal(issuer.answer(&code, &wallet.sign(&all)).await),
        (422, "not-accredited".into())
    );
    let some = Invitation {
        record_types: vec!["vaccination".into()],
        ..all
    };
    assert_eq!(issuer.answer(&code, &wallet.sign(&some)).await.0, 200);
    issuer.stop().await;
}

#[tokio::test]
async fn codes_expire_and_cannot_be_tried_out() {
    let world = World {
        pairing_ttl_s: 0,
        ..World::new().await
    };
    let issuer = world.start().await;
    let wallet = Wallet::new();
    let code = begin(&issuer, "0012").await;
    let invitation = wallet.sign(&wallet.invitation(&world.host_id(), &world.id(), &code));
    assert_eq!(
        refusal(issuer.answer(&code, &invitation).await),
        (410, "pairing-expired".into())
    );
    let tried = async |from: &str, code: &str| {
        let body = json!({ "code": code, "invitation": invitation });
        let request = issuer
            .http
            .post(format!("{}/v1/pairings/answers", issuer.url));
        let request = request.header("x-forwarded-for", from).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        refusal((status, response.json().await.unwrap()))
    };
    let unknown = (410, "pairing-unknown".to_owned());
    let (here, there) = ("192.0.2.1", "192.0.2.2");
    for wrong in ["", "x", "0000-0000-0000-0000"].iter().cycle().take(10) {
        assert_eq!(tried(here, wrong).await, unknown);
    }
    let too_many = (429, "too-many-attempts".to_owned());
    assert_eq!(tried(here, &code).await, too_many);
    let spoofed = format!("{there}, {here}");
    assert_eq!(tried(&spoofed, &code).await, too_many, "said by the caller");
    let expired = (410, "pairing-expired".to_owned());
    assert_eq!(tried(there, &code).await, expired, "somebody else's count");
    for subject in ["", " 1", "1\n"] {
        assert_eq!(
            refusal(
                issuer
                    .post("/v1/pairings", &json!({ "subject": subject }))
                    .await
            ),
            (422, "subject".into())
        );
    }
    issuer.stop().await;
}

#[tokio::test]
async fn what_was_not_invited_waits() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    let code = begin(&issuer, "0012").await;
    let all = wallet.invitation(&world.host_id(), &world.id(), &code);
    let some = Invitation {
        record_types: vec!["infant_checkup_3_years".into()],
        expires_ms: now_ms() + 60_000,
        ..all
    };
    assert_eq!(issuer.answer(&code, &wallet.sign(&some)).await.0, 200);
    let (_, taken) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-1", "A"))
        .await;
    let id = taken["id"].as_str().unwrap();
    let waiting = issuer
        .wait(&format!("/v1/records/{id}"), |record| {
            record["status"] == "waiting"
        })
        .await;
    assert_eq!(waiting["reason"], "not-invited");
    issuer.pair(&world, &wallet, "0012").await;
    issuer.wait_status(id, "deposited").await;
    issuer.stop().await;
}

#[tokio::test]
async fn under_an_invitation_that_is_over_records_wait() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    let code = begin(&issuer, "0012").await;
    let short = Invitation {
        expires_ms: now_ms() + 1_500,
        ..wallet.invitation(&world.host_id(), &world.id(), &code)
    };
    assert_eq!(issuer.answer(&code, &wallet.sign(&short)).await.0, 200);
    while now_ms() < short.expires_ms {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, taken) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-1", "A"))
        .await;
    let waiting = issuer
        .wait_status(taken["id"].as_str().unwrap(), "waiting")
        .await;
    assert_eq!(waiting["reason"], "invitation-expired");
    assert_eq!(world.host.count(), 0);
    issuer.stop().await;
}
