//! From a FHIR resource to a record that the person opens.

use super::world::*;
use crate::config::CredentialAlgorithm;
use serde_json::json;
use tegata_consent::organisation::Suspension;

#[tokio::test]
async fn a_record_waits_for_the_person_and_then_reaches_the_vault() {
    for alg in [CredentialAlgorithm::EdDsa, CredentialAlgorithm::Es256] {
        let world = World {
            alg,
            ..World::new().await
        };
        let issuer = world.start().await;
        let wallet = Wallet::new();
        let resource = immunization("0012", "imm-1", "AB-12");
        let (status, taken) = issuer.post("/fhir/Immunization", &resource).await;
        assert_eq!(
            (status, taken["status"].as_str()),
            (201, Some("waiting")),
            "{taken}"
        );
        let id = taken["id"].as_str().unwrap();
        assert_eq!(
            issuer.get("/v1/records?status=waiting").await["records"][0]["reason"],
            "no-vault"
        );
        assert_eq!(
            issuer.post("/fhir/Immunization", &resource).await,
            (200, taken.clone())
        );
        assert_eq!(world.host.count(), 0);

        issuer.pair(&world, &wallet, "0012").await;
        let record = issuer.wait_status(id, "deposited").await;
        let sealed = world.host.drawer(&wallet.drawer("vaccination"));
        assert_eq!(sealed.len(), 1);
        let (manifest, credential) = wallet.open(&sealed[0]);
        assert_eq!(
            (manifest.record, manifest.depositor, manifest.replaces),
            (record_id(&taken), world.id(), None)
        );
        assert_eq!(
            (manifest.record_type.as_str(), manifest.date_ms),
            ("vaccination", 1_743_465_600_000)
        );
        let verified = verify(&world, &wallet, &credential, "vaccination");
        assert_eq!(
            (
                &verified.claims()["vaccine_code"],
                &verified.claims()["lot_number"]
            ),
            (&json!("mr"), &json!("AB-12"))
        );
        assert!(
            verified.disclosed().len() >= 3,
            "what may be left out is disclosed one by one"
        );
        assert_eq!(
            verified.vct_integrity().unwrap().split('-').next(),
            Some("sha256")
        );
        let place = verified.status().unwrap();
        assert_eq!(
            json!({ "uri": place.uri, "idx": place.index }),
            record["status_list"]
        );
        assert!(!issuer.is_revoked(&world, &record["status_list"]).await);

        // After the deposit the issuer keeps no content.
        assert_eq!(issuer.post("/fhir/Immunization", &resource).await.0, 200);
        assert!(
            !issuer
                .get(&format!("/v1/records/{id}"))
                .await
                .to_string()
                .contains("AB-12")
        );

        let (status, revoked) = issuer
            .post(
                &format!("/v1/records/{id}/revocation"),
                &json!({ "reason": "wrong person" }),
            )
            .await;
        assert_eq!((status, revoked["status"].as_str()), (200, Some("revoked")));
        assert!(issuer.is_revoked(&world, &record["status_list"]).await);
        assert_eq!(
            issuer
                .post(
                    &format!("/v1/records/{id}/revocation"),
                    &json!({ "reason": "again" })
                )
                .await,
            (200, revoked)
        );
        issuer.stop().await;
        let issuer = world.start().await;
        let place = issuer.get(&format!("/v1/records/{id}")).await["status_list"].clone();
        assert!(
            issuer.is_revoked(&world, &place).await,
            "also after a restart"
        );
        issuer.stop().await;
    }
}

#[tokio::test]
async fn a_correction_replaces_the_wrong_record() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    let (_, wrong) = issuer
        .post(
            "/fhir/Immunization",
            &immunization("0012", "imm-1", "WRONG"),
        )
        .await;
    let wrong_id = wrong["id"].as_str().unwrap();
    let wrong_record = issuer.wait_status(wrong_id, "deposited").await;

    let changed = immunization("0012", "imm-1", "RIGHT");
    let (status, outcome) = issuer.post("/fhir/Immunization", &changed).await;
    assert_eq!(
        (status, outcome["issue"][0]["code"].as_str()),
        (409, Some("conflict")),
        "{outcome}"
    );
    let path = format!("/v1/records/{wrong_id}/correction");
    let (status, right) = issuer.post(&path, &changed).await;
    assert_eq!(status, 201, "{right}");
    assert_eq!(issuer.post(&path, &changed).await.0, 200);
    issuer
        .wait_status(right["id"].as_str().unwrap(), "deposited")
        .await;
    let corrected = issuer.get(&format!("/v1/records/{wrong_id}")).await;
    assert_eq!(
        (&corrected["status"], &corrected["replaced_by"]),
        (&json!("corrected"), &right["id"])
    );
    assert!(
        issuer
            .is_revoked(&world, &wrong_record["status_list"])
            .await
    );

    let sealed = world.host.drawer(&wallet.drawer("vaccination"));
    assert_eq!(sealed.len(), 2);
    let (manifest, credential) = wallet.open(&sealed[1]);
    assert_eq!(manifest.replaces, Some(record_id(&wrong)));
    assert_eq!(
        verify(&world, &wallet, &credential, "vaccination").claims()["lot_number"],
        "RIGHT"
    );
    assert_eq!(
        issuer.post("/fhir/Immunization", &changed).await.0,
        200,
        "the source record is the right one now"
    );

    for (path, body, status) in [
        (path.as_str(), immunization("0013", "imm-1", "X"), 409),
        (
            &format!("/v1/records/{}/correction", right["id"].as_str().unwrap()),
            immunization("0013", "imm-1", "X"),
            422,
        ),
        (
            "/v1/records/00000000000000000000000000000000/correction",
            changed.clone(),
            404,
        ),
        ("/v1/records/x/correction", changed.clone(), 404),
    ] {
        let (found, outcome) = issuer.post(path, &body).await;
        assert_eq!(
            (found, outcome["resourceType"].as_str()),
            (status, Some("OperationOutcome")),
            "{path} {outcome}"
        );
    }
    issuer.stop().await;
}

#[tokio::test]
async fn an_answer_that_got_lost_does_not_double_the_record() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    for (number, mood) in [
        (1, Mood::Down),
        (2, Mood::LosesAnswer),
        (3, Mood::ForgesReceipt),
    ] {
        world.host.set_mood(mood);
        let (_, taken) = issuer
            .post(
                "/fhir/Immunization",
                &immunization("0012", &format!("imm-{number}"), "A"),
            )
            .await;
        let path = format!("/v1/records/{}", taken["id"].as_str().unwrap());
        let tried = issuer
            .wait(&path, |record| record["attempts"].as_u64() > Some(1))
            .await;
        assert_eq!(tried["status"], "queued");
        let reason = match mood {
            Mood::Down => "host-503",
            Mood::LosesAnswer => "host-500",
            _ => "receipt-signer",
        };
        assert_eq!(tried["reason"], reason);
        world.host.set_mood(Mood::Good);
        let record = issuer
            .wait(&path, |record| record["status"] == "deposited")
            .await;
        assert!(
            record["receipt"].is_string() && record["reason"].is_null(),
            "{record}"
        );
        assert_eq!(world.host.count(), number);
    }
    issuer.stop().await;
}

#[tokio::test]
async fn what_the_host_will_never_take_is_refused_visibly_and_tried_again_when_it_comes_again() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    world.host.set_mood(Mood::Refuses("invitation-keys"));
    let resource = immunization("0012", "imm-1", "A");
    let (_, taken) = issuer.post("/fhir/Immunization", &resource).await;
    let id = taken["id"].as_str().unwrap();
    let refused = issuer.wait_status(id, "refused").await;
    assert_eq!(refused["reason"], "host-422-invitation-keys");
    world.host.set_mood(Mood::Good);
    assert_eq!(issuer.post("/fhir/Immunization", &resource).await.0, 200);
    issuer.wait_status(id, "deposited").await;
    assert_eq!(world.host.count(), 1);
    issuer.stop().await;
}

#[tokio::test]
async fn without_ledger_or_accreditation_nothing_is_signed() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    world.registry.set_stale(true);
    let (status, taken) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-1", "A"))
        .await;
    assert_eq!(
        (status, taken["status"].as_str()),
        (201, Some("queued")),
        "taken, though the ledger is stale"
    );
    let id = taken["id"].as_str().unwrap();
    let before = world.registry.asked();
    while world.registry.asked() < before + 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(world.host.count(), 0);
    world.registry.change(&world.id(), |own| {
        own.suspensions = vec![Suspension {
            from_ms: 1,
            until_ms: None,
        }]
    });
    world.registry.set_stale(false);
    assert_eq!(
        issuer.wait_status(id, "refused").await["reason"],
        "not-accredited"
    );
    let (status, outcome) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-2", "A"))
        .await;
    assert_eq!(
        (status, outcome["issue"][0]["code"].as_str()),
        (422, Some("forbidden")),
        "{outcome}"
    );
    assert_eq!(world.host.count(), 0);
    issuer.stop().await;
}

#[tokio::test]
async fn refusals_name_the_element() {
    let world = World::new().await;
    let issuer = world.start().await;
    let with = |name: &str, value| {
        let mut resource = immunization("0012", "imm-1", "A");
        resource[name] = value;
        resource
    };
    for (resource, element) in [
        (
            with("occurrenceDateTime", json!("2025-02-30")),
            "Immunization.occurrenceDateTime",
        ),
        (with("status", json!("not-done")), "Immunization.status"),
        (with("vaccineCode", json!(null)), "Immunization.vaccineCode"),
        (with("patient", json!(null)), "Immunization.patient"),
        (
            with("patient", json!({ "identifier": { "value": "1\n" } })),
            "Immunization.patient",
        ),
        (
            with("patient", json!({ "reference": "urn:uuid:1" })),
            "Immunization.patient.reference",
        ),
        (
            with("modifierExtension", json!([{}])),
            "Immunization.modifierExtension",
        ),
        (
            with("occurrenceDateTime", json!("2999-01-01")),
            "Immunization",
        ),
        (
            with("resourceType", json!("Observation")),
            "Resource.resourceType",
        ),
    ] {
        let (status, outcome) = issuer.post("/fhir/Immunization", &resource).await;
        assert_eq!(status, 422, "{element}: {outcome}");
        let expressions = outcome["issue"]
            .as_array()
            .unwrap()
            .iter()
            .map(|issue| issue["expression"][0].as_str().unwrap());
        assert!(
            expressions.clone().any(|expression| expression == element),
            "{element}: {outcome}"
        );
    }
    assert!(
        issuer.get("/v1/records").await["records"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    let send = |body: Vec<u8>, media_type: &'static str, token: &'static str| {
        let request = issuer
            .http
            .post(format!("{}/fhir/Immunization", issuer.url))
            .bearer_auth(token);
        async move {
            let response = request
                .header("content-type", media_type)
                .body(body)
                .send()
                .await
                .unwrap();
            assert_eq!(response.headers()["content-type"], "application/fhir+json");
            let status = response.status().as_u16();
            let outcome: serde_json::Value = response.json().await.unwrap();
            assert_eq!(outcome["resourceType"], "OperationOutcome");
            status
        }
    };
    let good = immunization("0012", "imm-1", "A").to_string().into_bytes();
    assert_eq!(
        send(good.clone(), "application/fhir+json", "another-token").await,
        401
    );
    assert_eq!(send(good.clone(), "text/plain", TOKEN).await, 415);
    assert_eq!(
        send(b"{".to_vec(), "application/fhir+json", TOKEN).await,
        400
    );
    assert_eq!(
        send(vec![b' '; 1 << 20], "application/fhir+json", TOKEN).await,
        400
    );
    assert_eq!(
        send(vec![b' '; (1 << 20) + 1], "application/fhir+json", TOKEN).await,
        413
    );
    for path in [
        "/v1/records",
        "/v1/records/00000000000000000000000000000000",
        "/v1/imports/00000000000000000000000000000000",
    ] {
        let response = issuer
            .http
            .get(format!("{}{path}", issuer.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 401, "{path}");
    }
    issuer.stop().await;
}

#[tokio::test]
async fn the_interface_describes_itself() {
    let quiet = tegata_service::config::TelemetryConfig {
        log: "off".to_owned(),
        json: false,
    };
    tegata_service::telemetry::init(&quiet).unwrap();
    let world = World::new().await;
    let issuer = world.start().await;
    let api = issuer.get("/openapi.json").await;
    for path in [
        "/fhir/Immunization",
        "/v1/records/{id}/correction",
        "/v1/pairings/answers",
        "/v1/status-lists/{number}",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    let metrics = issuer
        .http
        .get(format!("{}/metrics", issuer.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("tegata_issuer_records{status=\"waiting\"}"),
        "{metrics}"
    );
    assert_eq!(
        issuer
            .http
            .get(format!("{}/v1/status-lists/2", issuer.url))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    issuer.stop().await;
}
