//! A person with a vault and a record of the clinic in it, and the clinic's systems.

use serde_json::json;
use std::time::{Duration, Instant};
use tegata::demo::Running;
use tegata::demo::patience::Patience;
use tegata::demo::systems::Systems;
use tegata::demo::wallet::{OpenedRecord, Wallet};

const WITHIN: Duration = Duration::from_secs(30);

/// The systems of a service.
pub(crate) fn systems<'a>(running: &'a Running, service: &str) -> Systems<'a> {
    let service = &running.demo.services[service];
    Systems::new(running.ledger.http(), service, Patience::default())
}

/// Pairs a new wallet with the clinic, which deposits one vaccination.
pub(crate) async fn vaccinated(
    running: &Running,
    subject: &str,
) -> Result<(Wallet, OpenedRecord), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut wallet = Wallet::open(&running.demo.host, running.ledger.clone())
        .await
        .map_err(|e| text(&e))?;
    wallet
        .open_drawers(&["vaccination"])
        .await
        .map_err(|e| text(&e))?;
    let clinic = systems(running, "clinic-issuer");
    let pairing = clinic
        .post("/v1/pairings", &json!({ "subject": subject }))
        .await
        .map_err(|e| text(&e))?;
    let link = pairing.body["link"].as_str().ok_or("no pairing link")?;
    wallet
        .pair(link, &["vaccination"])
        .await
        .map_err(|e| text(&e))?;
    let immunization = json!({
        "resourceType": "Immunization",
        "id": format!("{subject}-1"),
        "identifier": [{ "system": "https://midori.example/immunization", "value": format!("{subject}-1") }],
        "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "48" }], "text": "Hib" },
        "patient": { "identifier": { "value": subject } },
        "occurrenceDateTime": "2023-04-15",
        "lotNumber": "LOT1A",
        "performer": [{ "actor": { "display": "みどり小児科クリニック" } }],
        "protocolApplied": [{ "doseNumberPositiveInt": 1 }],
    });
    let made = clinic.post("/fhir/Immunization", &immunization).await;
    made.and_then(|answer| answer.success("the Immunization"))
        .map_err(|e| text(&e))?;
    let began = Instant::now();
    loop {
        let mut records = wallet.records().await.map_err(|e| text(&e))?;
        if let Some(record) = records.pop() {
            wallet
                .status_is_known(&record)
                .await
                .map_err(|e| text(&e))?;
            return Ok((wallet, record));
        }
        if began.elapsed() > WITHIN {
            return Err("the clinic's record did not come".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
