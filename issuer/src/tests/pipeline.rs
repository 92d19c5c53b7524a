//! From a FHIR resource to a record that the person opens.

use super::world::*;
use crate::config::CredentialAlgorithm;
use serde_json::json;
use tegata_consent::organisation::Suspension;
use tegata_consent::status::{status_list_cwt_id, token_digest};
use tegata_credential::status_list::{RECALLED, Status, StatusListCwt};

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

/// Which of two patients would it be? A gateway could read the first, and we the second.
#[tokio::test]
async fn a_member_that_is_there_twice_is_refused() {
    let world = World::new().await;
    let issuer = world.start().await;
    let mut body = immunization("0012", "imm-1", "A").to_string();
    body.truncate(body.len() - 1);
    body.push_str(r#","patient":{"identifier":{"value":"0013"}}}"#);
    let response = issuer
        .http
        .post(format!("{}/fhir/Immunization", issuer.url))
        .bearer_auth(TOKEN)
        .header("content-type", "application/fhir+json")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let outcome: serde_json::Value = response.json().await.unwrap();
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    assert_eq!(outcome["issue"][0]["code"], "structure", "{outcome}");
    let listed = issuer.get("/v1/records").await;
    assert_eq!(listed["records"].as_array().map(Vec::len), Some(0));
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
            // patient 12 of another server is another person, whom we do not know
            with(
                "patient",
                json!({ "reference": "https://elsewhere.example/fhir/Patient/0012" }),
            ),
            "Immunization.patient.reference",
        ),
        (
            with("patient", json!({ "reference": "Patient/../0012" })),
            "Immunization.patient.reference",
        ),
        (
            with("modifierExtension", json!([{}])),
            "Immunization.modifierExtension",
        ),
        (
            with("occurrenceDateTime", json!("2999-01-01")),
            "Immunization.occurrenceDateTime",
        ),
        (
            with("lotNumber", json!("AB\u{202e}12")),
            "Immunization.lotNumber",
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
    for number in ["2", "0", "01", "+1", "1.0", "4294967297", "x"] {
        let list = format!("{}/v1/status-lists/{number}", issuer.url);
        let status = issuer.http.get(list).send().await.unwrap().status();
        assert_eq!(status, 404, "{number}");
    }
    issuer.stop().await;
}

#[tokio::test]
async fn strangers_hear_nothing_but_401_and_compressed_bodies_are_refused() {
    let world = World::new().await;
    let issuer = world.start().await;
    let url = |path: &str| format!("{}{path}", issuer.url);
    let id = "00".repeat(16);
    let post = |path: &str| issuer.http.post(url(path)).body("{");
    let get = |path: &str| issuer.http.get(url(path));
    for request in [
        post("/fhir/Immunization"),
        post("/fhir/Observation"),
        post("/v1/pairings"),
        post("/v1/pairings").header("content-type", "application/json"),
        post("/v1/imports"),
        post("/v1/imports?file=a.csv&colour=red"),
        post("/v1/records/nonsense/revocation"),
        post(&format!("/v1/records/{id}/revocation")).header("content-type", "application/json"),
        post(&format!("/v1/records/{id}/correction")),
        get("/v1/records?limit=many"),
        get("/v1/records/nonsense"),
        get("/v1/imports/nonsense"),
        get("/v1/imports/nonsense/failed.csv"),
    ] {
        let compressed = request.try_clone().unwrap();
        for request in [request, compressed.header("content-encoding", "gzip")] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{}", answer.url());
        }
    }
    let known = |path: &str| post(path).bearer_auth(TOKEN);
    for (request, content_type) in [
        (
            known("/fhir/Immunization").header("content-type", "application/fhir+json"),
            "application/fhir+json",
        ),
        (
            known(&format!("/v1/records/{id}/correction"))
                .header("content-type", "application/fhir+json"),
            "application/fhir+json",
        ),
        (
            known("/v1/imports?file=a.csv").header("content-type", "text/csv"),
            "application/problem+json",
        ),
        (
            known("/v1/pairings").header("content-type", "application/json"),
            "application/problem+json",
        ),
    ] {
        let answer = request.header("content-encoding", "gzip").send().await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (415, &content_type.parse().unwrap()),
            "{}",
            answer.url()
        );
    }
    let wrong = known("/v1/imports?file=a.csv&colour=red").send().await;
    let wrong = wrong.unwrap();
    assert_eq!(wrong.status(), 400);
    assert_eq!(wrong.headers()["content-type"], "application/problem+json");
    let capitals = "AB".repeat(16);
    for path in ["/v1/records/", "/v1/imports/"] {
        let answer = get(&format!("{path}{capitals}")).bearer_auth(TOKEN).send();
        assert_eq!(answer.await.unwrap().status(), 404, "{path}");
    }
    issuer.stop().await;
}

#[tokio::test]
async fn a_suspension_is_lifted_and_a_recall_is_for_good() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    let resource = immunization("0012", "imm-1", "AB-12");
    let (_, taken) = issuer.post("/fhir/Immunization", &resource).await;
    let id = taken["id"].as_str().unwrap();
    let record = issuer.wait_status(id, "deposited").await;
    let place = record["status_list"].clone();
    let suspension = format!("/v1/records/{id}/suspension");
    let why = json!({ "reason": "under review" });
    for _ in 0..2 {
        let (status, suspended) = issuer.post(&suspension, &why).await;
        assert_eq!(status, 200);
        assert_eq!(suspended["status"], "deposited");
        assert_eq!(suspended["suspension"]["reason"], "under review");
        assert_eq!(issuer.status(&world, &place).await, Status::Suspended);
    }
    for _ in 0..2 {
        let url = format!("{}{suspension}", issuer.url);
        let answer = issuer.http.delete(url).bearer_auth(TOKEN).send().await;
        let lifted: serde_json::Value = answer.unwrap().json().await.unwrap();
        assert!(lifted["suspension"].is_null(), "{lifted}");
        assert_eq!(issuer.status(&world, &place).await, Status::Valid);
    }
    issuer.post(&suspension, &why).await;
    let wrong = json!({ "reason": "another child's" });
    let revocation = format!("/v1/records/{id}/revocation");
    assert_eq!(issuer.post(&revocation, &wrong).await.0, 200);
    assert_eq!(issuer.status(&world, &place).await, Status::Invalid);
    assert_eq!(issuer.post(&suspension, &why).await.1["code"], "taken-back");
    // what was taken back can still turn out to be somebody else's
    for _ in 0..2 {
        let (status, recalled) = issuer
            .post(&format!("/v1/records/{id}/recall"), &wrong)
            .await;
        assert_eq!(
            (status, recalled["status"].as_str()),
            (200, Some("recalled"))
        );
        assert_eq!(issuer.status(&world, &place).await, RECALLED);
    }
    issuer.post(&revocation, &wrong).await;
    assert_eq!(issuer.status(&world, &place).await, RECALLED);
    let published = world.registry.list(place["uri"].as_str().unwrap()).unwrap();
    assert_eq!(published.recalled, 1);
    let path = format!("/v1/records/{}/recall", "0".repeat(32));
    assert_eq!(issuer.post(&path, &wrong).await.0, 404);
    let waiting = immunization("7777", "imm-2", "AB-13");
    let (_, waiting) = issuer.post("/fhir/Immunization", &waiting).await;
    let path = format!("/v1/records/{}/suspension", waiting["id"].as_str().unwrap());
    let (status, refused) = issuer.post(&path, &why).await;
    assert_eq!(
        (status, refused["code"].as_str()),
        (409, Some("not-issued"))
    );
    issuer.stop().await;
    assert!(
        crate::fsck(&world.folder.path().join("data"), |_| ())
            .is_ok_and(|report| report.is_sound())
    );
}

#[tokio::test]
async fn the_status_list_is_served_as_a_cwt_to_whom_asks_for_that() {
    let world = World::new().await;
    let issuer = world.start().await;
    let get = async |accept: &str| {
        let request = issuer.http.get(format!("{}/v1/status-lists/1", issuer.url));
        request.header("accept", accept).send().await.unwrap()
    };
    let response = get("application/statuslist+cwt;q=1, */*").await;
    assert_eq!(
        response.headers()["content-type"],
        "application/statuslist+cwt"
    );
    assert_eq!(response.headers()["vary"], "accept");
    let served = response.bytes().await.unwrap();
    let token = StatusListCwt::parse(&served).unwrap();
    let uri = token.uri().unwrap().to_owned();
    let newest = world.registry.published(&status_list_cwt_id(&uri)).unwrap();
    assert_eq!(newest.token, token_digest(&served), "on the ledger");
    let list = token.verify(
        &super::world::credential_key(&world),
        &uri,
        tegata_service::clock::now_s(),
    );
    assert_eq!(list.unwrap().status_at(0), Ok(Status::Valid));
    for accept in [
        "*/*",
        "application/statuslist+jwt",
        "application/statuslist+jwt, application/statuslist+cwt",
    ] {
        let response = get(accept).await;
        assert_eq!(
            response.headers()["content-type"],
            "application/statuslist+jwt"
        );
    }
    issuer.stop().await;
}
