//! The stories: what the demo promises to a person, told over real services. A broken promise ends them.

use super::patience::Patience;
use super::setup::Demo;
use super::steps::{AfterStep, Broken, Steps, promise};
use super::systems::{Answer, Systems};
use super::wallet::{OpenedRecord, Wallet};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tegata_consent::ids::GrantId;
use tegata_consent::state::{Outcome, Refusal};
use tegata_service::clock;
use tegata_service::ledger::Ledger;

/// The stories there are, by name.
pub const NAMES: &[&str] = &["vaccination", "payout", "present"];

/// What a story needs.
pub struct Stage<'a> {
    /// Addresses.
    pub demo: &'a Demo,
    /// The demo's directory.
    pub dir: &'a Path,
    /// A follower of the ledger.
    pub ledger: Ledger,
    /// Tells one run from another: patient and policy numbers carry it.
    pub run: u64,
    /// How long the story's people and systems ask again where a service is away.
    pub patience: Patience,
    /// Whether a story's browser is on the screen, for people to follow.
    pub watch: bool,
    /// Hears of every step.
    pub after_step: Option<&'a AfterStep<'a>>,
}

const DEPOSITED: Duration = Duration::from_secs(30);

impl Stage<'_> {
    /// The own systems of a service.
    ///
    /// # Errors
    /// Where the demo has no such service.
    pub fn systems(&self, name: &str) -> Result<Systems<'_>, Broken> {
        let service = self
            .demo
            .services
            .get(name)
            .ok_or_else(|| Broken(format!("the demo has no {name}")))?;
        Ok(Systems::new(
            self.ledger.http(),
            service,
            Patience::default(),
        ))
    }

    /// The same, with the story's patience.
    pub(super) fn patient(&self, name: &str) -> Result<Systems<'_>, Broken> {
        let systems = self.systems(name)?;
        Ok(systems.with_patience(self.patience.clone()))
    }

    pub(super) async fn wallet(&self, file: &Path) -> Result<Wallet, Broken> {
        let (ledger, patience) = (self.ledger.clone(), self.patience.clone());
        Ok(Wallet::load_or_open_with(file, &self.demo.host, ledger, patience).await?)
    }

    /// Whether something was counted once for each time that it was asked for; what was asked again because a service was
    /// away may count again.
    fn counts(&self, found: usize, asked: usize) -> bool {
        (asked..=asked + self.patience.repeats() as usize).contains(&found)
    }

    pub(super) async fn pair(
        &self,
        issuer: &str,
        subject: &str,
        wallet: &mut Wallet,
        kinds: &[&str],
    ) -> Result<String, Broken> {
        let systems = self.patient(issuer)?;
        let pairing = systems
            .post("/v1/pairings", &json!({ "subject": subject }))
            .await?
            .success("the pairing")?;
        let link = text(&pairing, "link")?;
        wallet.pair(&link, kinds).await?;
        let again = wallet.pair(&link, kinds).await;
        promise(again.is_err(), "a pairing code was taken twice")?;
        Ok(link)
    }

    pub(super) async fn deposited(&self, issuer: &str, id: &str) -> Result<(), Broken> {
        let done = |answer: &Answer| (answer.body["status"] == "deposited").then_some(());
        self.patient(issuer)?
            .until(&format!("/v1/records/{id}"), DEPOSITED, done)
            .await
    }

    pub(super) fn wallet_file(&self, name: &str) -> std::path::PathBuf {
        self.dir
            .join("wallets")
            .join(format!("{name}-{}.json", self.run))
    }

    /// Tells one story.
    ///
    /// # Errors
    /// The first broken promise.
    pub async fn tell(&self, name: &str) -> Result<(), Broken> {
        match name {
            "vaccination" => self.vaccination().await,
            "payout" => self.payout().await,
            "present" => self.present().await,
            other => Err(Broken(format!(
                "there is no story {other:?}; there are {}",
                NAMES.join(", ")
            ))),
        }
    }

    async fn vaccination(&self) -> Result<(), Broken> {
        let mut steps = Steps::begin(
            "vaccination",
            "from a clinic's record to a consented reading",
            self.after_step,
        );
        let subject = format!("W-{}", self.run);
        let file = self.wallet_file("vaccination");

        let mut wallet = self.wallet(&file).await?;
        wallet
            .open_drawers(&["vaccination", "infant_checkup"])
            .await?;
        wallet.save(&file)?;
        steps.tell("a guardian's wallet opens a vault with two drawers");

        let clinic = self.patient("clinic-issuer")?;
        let waiting = clinic
            .post("/fhir/Immunization", &immunization(&subject, 0))
            .await?
            .success("the first Immunization")?;
        let first = text(&waiting, "id")?;
        promise(
            waiting["status"] == "waiting",
            format!("a record of somebody without a vault must wait: {waiting}"),
        )?;
        steps.tell("the clinic's first record waits visibly: nobody has paired yet");

        self.pair("clinic-issuer", &subject, &mut wallet, &["vaccination"])
            .await?;
        self.pair("municipality-issuer", &subject, &mut wallet, CHECKUP_TYPES)
            .await?;
        steps.tell("two counters give a pairing code each, the wallet answers with invitations; a code counts once");

        self.deposited("clinic-issuer", &first).await?;
        let again = clinic
            .post("/fhir/Immunization", &immunization(&subject, 0))
            .await?;
        promise(
            again.status == 200 && again.body["id"] == first.as_str(),
            format!("the same source record twice must be one: {}", again.body),
        )?;
        let second = clinic
            .post("/fhir/Immunization", &immunization(&subject, 1))
            .await?
            .success("the second Immunization")?;
        self.deposited("clinic-issuer", &text(&second, "id")?)
            .await?;
        let bad = clinic
            .post(
                "/fhir/Immunization",
                &json!({ "resourceType": "Immunization", "status": "completed" }),
            )
            .await?;
        promise(
            bad.status == 422 && bad.body["resourceType"] == "OperationOutcome",
            "a broken Immunization must get an OperationOutcome",
        )?;
        steps.tell("the clinic signs, seals, locks and deposits two vaccinations; one sent twice is one, a broken one is refused");

        let imported = self.import_checkups(&subject).await?;
        steps.tell(format!(
            "the municipality imports a CSV: {imported} checkups of all kinds"
        ));

        let records = self.records(&mut wallet, 2 + imported).await?;
        wallet.save(&file)?;
        steps.tell(format!("the wallet shows {} records, opened on the device, receipt chain and signatures checked", records.len()));

        let verifier = self.patient("clinic-verifier")?;
        let until_ms = clock::now_ms() + 30 * 86_400_000;
        let request = verifier
            .post(
                "/v1/requests",
                &request(
                    "care",
                    &["infant_checkup", "vaccination"],
                    until_ms,
                    &subject,
                ),
            )
            .await?;
        let link = text(&request.success("the consent request")?, "link")?;
        let over = verifier
            .post(
                "/v1/requests",
                &self::request("care", &["laboratory"], until_ms, &subject),
            )
            .await?;
        promise(
            over.status >= 400,
            "the clinic may not ask for laboratory results",
        )?;
        steps.tell("the clinic shows a consent request; asking for more than it is accredited for is refused");

        let started = Instant::now();
        let (grant, receipt) = wallet.grant(&link, Some(&["vaccination"])).await?;
        let final_ms = started.elapsed().as_millis();
        wallet.save(&file)?;
        promise(
            final_ms < 2000 || self.patience.repeats() > 0 || self.after_step.is_some(),
            format!("a grant took {final_ms} ms to be final"),
        )?;
        steps.tell(format!("the guardian narrows it to vaccinations and grants: final at height {} after {final_ms} ms", receipt.leaf.height));

        self.ticket(&verifier, &grant).await?;
        let reading = self.read(&verifier, &grant).await?;
        let read = reading["records"].as_array().cloned().unwrap_or_default();
        promise(
            read.len() == 2,
            format!("two vaccinations were granted, {} came", read.len()),
        )?;
        for record in &read {
            promise(
                record["record_type"] == "vaccination",
                format!("something else than a vaccination was read: {record}"),
            )?;
            every_check_holds(record)?;
        }
        steps.tell(format!(
            "the clinic reads 2 records and verifies each: {}",
            checks(&read[0])
        ));

        let (state, history) = wallet.history_of(&grant, 1).await?;
        promise(
            self.counts(history.len(), 1) && state.uses as usize == history.len(),
            "the wallet must see one reading",
        )?;
        promise(
            history.last().is_some_and(|last| last.records.len() == 2),
            "the wallet must see which two records were handed out",
        )?;
        steps.tell("the guardian sees who read what and when, complete by proof");

        let revoked = clinic
            .post(
                &format!("/v1/records/{first}/revocation"),
                &json!({ "reason": "wrong lot number" }),
            )
            .await?;
        revoked.success("the revocation of a record")?;
        let reading = self.read(&verifier, &grant).await?;
        let refused: Vec<_> = reading["records"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|record| !holds(record, "not-revoked"))
            .collect();
        promise(
            refused.len() == 1,
            format!("one of the two records was revoked by its issuer: {reading}"),
        )?;
        promise(
            refused[0].get("claims").is_none_or(Value::is_null),
            "claims of a revoked record must not be given out",
        )?;
        steps.tell("the clinic revokes a wrongly signed record; the next reading says so and withholds its claims");

        let receipt = wallet.revoke(&grant).await?;
        steps.tell(format!(
            "the guardian ends the grant: final at height {}",
            receipt.leaf.height
        ));
        let refused = verifier
            .post(&format!("/v1/grants/{grant}/readings"), &json!({}))
            .await?;
        promise(
            refused.status == 403,
            format!(
                "a reading after revocation must be refused, it was answered {}: {}",
                refused.status, refused.body
            ),
        )?;
        promise(
            refused.body.to_string().contains("revoked"),
            format!("the refusal must say why: {}", refused.body),
        )?;
        let (state, history) = wallet.history_of(&grant, 3).await?;
        let revoked = Outcome::Refused(Refusal::Revoked);
        let refused = history
            .iter()
            .filter(|read| read.reading.outcome == revoked);
        let allowed = history.len() - refused.count();
        promise(
            self.counts(history.len(), 3)
                && self.counts(allowed, 2)
                && state.accesses == history.len() as u64
                && state.uses as usize == allowed,
            format!(
                "three accesses, two allowed; the ledger has {}, {}",
                state.accesses, state.uses
            ),
        )?;
        let last = history
            .last()
            .ok_or_else(|| Broken("the history is empty".into()))?;
        promise(
            last.reading.outcome == revoked,
            "the refusal must be an entry that the guardian sees",
        )?;
        promise(
            last.records.is_empty(),
            "the host handed something out after the revocation",
        )?;
        steps.tell("the next access is refused as revoked, the refusal is an entry too, and the host hands out nothing");
        steps.end();
        Ok(())
    }

    async fn payout(&self) -> Result<(), Broken> {
        let mut steps = Steps::begin(
            "payout",
            "a positive test is paid with nobody awake",
            self.after_step,
        );
        let subject = format!("T-{}", self.run);
        let policy = format!("P-{}", 1000 + self.run % 1000);
        let file = self.wallet_file("payout");
        let mut wallet = self.wallet(&file).await?;
        wallet.open_drawers(&["laboratory"]).await?;
        self.pair(
            "test-centre-issuer",
            &subject,
            &mut wallet,
            &["laboratory_result"],
        )
        .await?;
        wallet.save(&file)?;
        steps.tell("a wallet opens a laboratory drawer and pairs with the test centre");

        let insurer = self.patient("insurer-verifier")?;
        let until_ms = clock::now_ms() + 365 * 86_400_000;
        let request = insurer
            .post(
                "/v1/requests",
                &request("payout", &["laboratory"], until_ms, &policy),
            )
            .await?;
        let link = text(&request.success("the consent request")?, "link")?;
        let (grant, _) = wallet.grant(&link, None).await?;
        wallet.save(&file)?;
        self.ticket(&insurer, &grant).await?;
        steps.tell(format!(
            "the insurer asks under policy {policy}, the person grants until next year"
        ));

        let centre = self.patient("test-centre-issuer")?;
        let negative = centre
            .post("/fhir/Observation", &observation(&subject, "negative", 0))
            .await?
            .success("the negative result")?;
        self.deposited("test-centre-issuer", &text(&negative, "id")?)
            .await?;
        self.reads_at_least(&wallet, &grant, 1).await?;
        promise(
            self.decisions(&insurer, &policy).await?.is_empty(),
            "a negative result must not be paid",
        )?;
        steps.tell("a negative result is deposited; the insurer is pinged, reads, and its rule pays nothing");

        let positive = centre
            .post("/fhir/Observation", &observation(&subject, "positive", 1))
            .await?
            .success("the positive result")?;
        self.deposited("test-centre-issuer", &text(&positive, "id")?)
            .await?;
        let started = Instant::now();
        let decisions = loop {
            let decisions = self.decisions(&insurer, &policy).await?;
            if !decisions.is_empty() {
                break decisions;
            }
            promise(
                started.elapsed() < Duration::from_secs(30),
                "no payment was decided within 30 s",
            )?;
            tokio::time::sleep(Duration::from_millis(30)).await;
        };
        promise(
            decisions.len() == 1
                && decisions[0]["amount"]
                    .as_u64()
                    .is_some_and(|amount| amount > 0),
            format!("one payment was due: {decisions:?}"),
        )?;
        steps.tell(format!(
            "a positive result is deposited; the insurer reads it and decides {} {} for {policy}",
            decisions[0]["amount"],
            text(&decisions[0], "currency")?
        ));

        let (_, history) = wallet.history_of(&grant, 2).await?;
        promise(
            history.len() >= 2
                && history
                    .iter()
                    .all(|read| read.reading.outcome == Outcome::Applied),
            "the person must see the insurer's readings",
        )?;
        steps.tell(format!(
            "the person sees {} readings of the insurer, complete by proof",
            history.len()
        ));
        steps.end();
        Ok(())
    }

    async fn reads_at_least(
        &self,
        wallet: &Wallet,
        grant: &GrantId,
        readings: usize,
    ) -> Result<(), Broken> {
        let started = Instant::now();
        loop {
            let (_, history) = wallet.history(grant).await?;
            if history
                .iter()
                .filter(|read| !read.records.is_empty())
                .count()
                >= readings
            {
                return Ok(());
            }
            promise(
                started.elapsed() < Duration::from_secs(30),
                "nobody read within 30 s",
            )?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reads under a grant; again while an issuer is away whose status list says whether a record still counts.
    async fn read(&self, verifier: &Systems<'_>, grant: &GrantId) -> Result<Value, Broken> {
        let began = Instant::now();
        loop {
            let reading = verifier
                .post(&format!("/v1/grants/{grant}/readings"), &json!({}))
                .await?
                .success("the reading")?;
            let mut checks = reading["records"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|record| record["checks"].as_array())
                .flatten();
            let away = checks.any(|check| {
                let reason = check["reason"].as_str().unwrap_or_default();
                check["check"] == "not-revoked" && reason.contains("is not to be had")
            });
            if !away || !self.patience.waits(began).await {
                return Ok(reading);
            }
        }
    }

    async fn decisions(&self, insurer: &Systems<'_>, policy: &str) -> Result<Vec<Value>, Broken> {
        let all = insurer
            .get("/v1/decisions")
            .await?
            .success("the decisions")?;
        let all = all
            .as_array()
            .cloned()
            .or_else(|| all["decisions"].as_array().cloned())
            .unwrap_or_default();
        Ok(all
            .into_iter()
            .filter(|decision| decision["policy"] == policy)
            .collect())
    }

    async fn ticket(&self, verifier: &Systems<'_>, grant: &GrantId) -> Result<(), Broken> {
        let id = grant.to_string();
        let there = |answer: &Answer| answer.body.to_string().contains(&id).then_some(());
        verifier.until("/v1/grants", DEPOSITED, there).await
    }

    async fn import_checkups(&self, subject: &str) -> Result<usize, Broken> {
        let municipality = self.patient("municipality-issuer")?;
        let mut rows = 0;
        for (file, csv) in checkup_files(subject) {
            let dry = municipality
                .post_as(
                    &format!("/v1/imports?file={file}&dry_run=true"),
                    "text/csv",
                    csv.clone(),
                )
                .await?;
            dry.success("the dry run")?;
            let answer = municipality
                .post_as(&format!("/v1/imports?file={file}"), "text/csv", csv)
                .await?;
            let id = text(&answer.success("the import")?, "id")?;
            let finished = |answer: &Answer| {
                let state = answer.body["state"].as_str().unwrap_or_default();
                (state == "done" || state == "refused").then(|| answer.body.clone())
            };
            let result = municipality
                .until(&format!("/v1/imports/{id}"), DEPOSITED, finished)
                .await?;
            promise(
                result["failed"] == 0
                    && (result["accepted"] == 1
                        || result["same"] == 1 && self.patience.repeats() > 0),
                format!("no row of {file} should fail: {result}"),
            )?;
            rows += 1;
        }
        Ok(rows)
    }

    pub(super) async fn records(
        &self,
        wallet: &mut Wallet,
        expected: usize,
    ) -> Result<Vec<OpenedRecord>, Broken> {
        let started = Instant::now();
        loop {
            let records = wallet.records().await?;
            if records.len() >= expected {
                promise(
                    records.len() == expected,
                    format!(
                        "{expected} records were sent, the wallet has {}",
                        records.len()
                    ),
                )?;
                return Ok(records);
            }
            promise(
                started.elapsed() < DEPOSITED,
                format!(
                    "{expected} records were sent, the wallet has {}",
                    records.len()
                ),
            )?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

const CHECKUP_TYPES: &[&str] = &[
    "dental_checkup_2_years",
    "hip_dislocation_screening",
    "infant_checkup_18_months",
    "infant_checkup_3_4_months",
    "infant_checkup_3_years",
    "infant_checkup_9_10_months",
    "vaccination",
];

/// One file for each kind of checkup, as a city hall has them: Japanese eras, full-width digits.
fn checkup_files(subject: &str) -> Vec<(&'static str, Vec<u8>)> {
    let csv =
        |header: &str, row: &str| format!("宛名番号,{header}\r\n{subject},{row}\r\n").into_bytes();
    vec![
        (
            "hip_dislocation_screening.csv",
            csv("受診日,受診場所", "令和5年4月10日,わかば市保健センター"),
        ),
        (
            "infant_checkup_3_4_months.csv",
            csv(
                "受診日,受診場所,身長(cm),体重(g),胸囲(cm),頭囲(cm),カウプ指数",
                "R5.5.20,わかば市保健センター,６２.１,６４００,41.2,41.0,16.6",
            ),
        ),
        (
            "infant_checkup_9_10_months.csv",
            csv(
                "受診日,受診場所,身長(cm),体重(g),胸囲(cm),頭囲(cm),カウプ指数",
                "R5.11.2,わかば市保健センター,71.5,8700,44.9,45.1,17.0",
            ),
        ),
        (
            "infant_checkup_18_months.csv",
            csv(
                "受診日,受診場所,身長(cm),体重(g),胸囲(cm),頭囲(cm),カウプ指数,歯の数,むし歯の数",
                "2024-07-11,わかば市保健センター,80.4,10500,47.0,47.2,16.2,12,0",
            ),
        ),
        (
            "dental_checkup_2_years.csv",
            csv(
                "受診日,受診場所,身長(cm),体重(g),カウプ指数,歯の数,むし歯の数",
                "令和7年1月15日,わかば市保健センター,86.0,11900,16.1,16,0",
            ),
        ),
        (
            "infant_checkup_3_years.csv",
            csv(
                "受診日,受診場所,身長(cm),体重(g),カウプ指数,尿蛋白,尿糖,尿潜血,尿白血球,むし歯の数",
                "R8.2.3,わかば市保健センター,94.2,14000,15.8,-,-,-,-,1",
            ),
        ),
    ]
}

pub(super) fn immunization(subject: &str, number: u32) -> Value {
    json!({
        "resourceType": "Immunization",
        "id": format!("{subject}-imm-{number}"),
        "identifier": [{ "system": "https://midori.example/immunization", "value": format!("{subject}-{number}") }],
        "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "48" }], "text": "Hib" },
        "patient": { "identifier": { "value": subject } },
        "occurrenceDateTime": format!("2023-0{}-15", 4 + number),
        "lotNumber": format!("LOT{number}A"),
        "performer": [{ "actor": { "display": "みどり小児科クリニック" } }],
        "protocolApplied": [{ "doseNumberPositiveInt": number + 1 }],
    })
}

fn observation(subject: &str, result: &str, number: u32) -> Value {
    let code = if result == "positive" {
        ("10828004", "Positive")
    } else {
        ("260385009", "Negative")
    };
    json!({
        "resourceType": "Observation",
        "id": format!("{subject}-obs-{number}"),
        "identifier": [{ "system": "https://minato.example/observation", "value": format!("{subject}-{number}") }],
        "status": "final",
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "94500-6" }], "text": "SARS-CoV-2 RNA PCR" },
        "subject": { "identifier": { "value": subject } },
        "effectiveDateTime": "2026-11-02T09:30:00+09:00",
        "valueCodeableConcept": { "coding": [{ "system": "http://snomed.info/sct", "code": code.0, "display": code.1 }] },
        "performer": [{ "display": "みなと検査センター" }],
    })
}

fn request(purpose: &str, categories: &[&str], until_ms: u64, reference: &str) -> Value {
    json!({
        "categories": categories,
        "purpose": purpose,
        "legal_basis": "consent",
        "retention_days": 365,
        "until_ms": until_ms,
        "reference": reference,
    })
}

pub(super) fn text(value: &Value, key: &str) -> Result<String, Broken> {
    value[key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Broken(format!("no {key} in {value}")))
}

pub(super) fn holds(record: &Value, check: &str) -> bool {
    let checks = record["checks"].as_array().into_iter().flatten();
    checks
        .filter(|found| found["check"] == check)
        .all(|found| found["holds"] == true)
}

fn every_check_holds(record: &Value) -> Result<(), Broken> {
    const WANTED: &[&str] = &[
        "deposit-signature",
        "issuer-signature",
        "issuer-accredited",
        "not-revoked",
        "holder-key",
        "consent-proof",
        "receipt",
        "manifest",
        "schema",
    ];
    let names: Vec<_> = record["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|check| check["check"].as_str())
        .collect();
    for wanted in WANTED {
        promise(
            names.contains(wanted),
            format!("the check {wanted} was not made: {record}"),
        )?;
        promise(
            holds(record, wanted),
            format!("the check {wanted} does not hold: {record}"),
        )?;
    }
    Ok(())
}

fn checks(record: &Value) -> String {
    let names = record["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|check| check["check"].as_str());
    names.collect::<Vec<_>>().join(", ")
}
