//! The story `present`: a credential shown now, over OpenID4VP, with a consent that is checked while the ledger is stopped.

use super::setup::VALIDATORS;
use super::steps::{Broken, Steps, promise};
use super::stories::{Stage, holds, immunization, text};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Until the ledger is stopped, and until it goes on.
const LEDGER: Duration = Duration::from_secs(30);

impl Stage<'_> {
    pub(super) async fn present(&self) -> Result<(), Broken> {
        let mut steps = Steps::begin(
            "present",
            "shown from the wallet, checked while the ledger is stopped",
            self.after_step,
        );
        let subject = format!("V-{}", self.run);
        let file = self.wallet_file("present");
        let mut wallet = self.wallet(&file).await?;
        wallet.open_drawers(&["vaccination"]).await?;
        self.pair("clinic-issuer", &subject, &mut wallet, &["vaccination"])
            .await?;
        wallet.save(&file)?;
        let clinic = self.patient("clinic-issuer")?;
        let made = clinic
            .post("/fhir/Immunization", &immunization(&subject, 0))
            .await?
            .success("the Immunization")?;
        self.deposited("clinic-issuer", &text(&made, "id")?).await?;
        let records = self.records(&mut wallet, 1).await?;
        wallet.save(&file)?;
        wallet.status_is_known(&records[0]).await?;
        steps.tell(
            "a person has a vaccination in her vault; the issuer's status list is on the ledger",
        );

        let verifier = self.patient("clinic-verifier")?;
        let asked = verifier
            .post("/v1/presentations", &asking("ledger", &subject))
            .await?
            .success("the request")?;
        let over = verifier
            .post("/v1/presentations", &over_asking(&subject))
            .await?;
        promise(
            over.status == 403 && over.body["code"] == "not-accredited",
            format!(
                "the clinic may not ask for laboratory results: {}",
                over.body
            ),
        )?;
        let request = wallet.read_presentation(&text(&asked, "link")?).await?;
        steps.tell("the clinic signs a request for two claims and shows it as a QR code; the wallet checks who signed it");

        let prepared = wallet.prepare_presentation(&request, &records).await?;
        wallet.save(&file)?;
        steps.tell(format!(
            "the person agrees: a grant for one use that commits to this very request, proven at height {}",
            prepared.height
        ));

        let stopped = Stopped::all(self.dir)?;
        self.no_node_answers().await?;
        steps.tell("all four validators are taken away");

        let (status, answer) = wallet.send_presentation(&prepared).await?;
        promise(
            status == 200,
            format!("the clinic did not accept the presentation: {answer}"),
        )?;
        let path = format!("/v1/presentations/{}", text(&asked, "id")?);
        let found = verifier.get(&path).await?.success("the result")?;
        let shown = &found["result"]["credentials"][0];
        promise(
            found["status"] == "answered" && found["result"]["ledger_proof"] == true,
            format!("the consent was not checked: {found}"),
        )?;
        for check in CHECKS {
            promise(
                is_made(shown, check) && holds(shown, check),
                format!("the check {check} was not made, or does not hold: {shown}"),
            )?;
        }
        promise(
            shown["claims"]
                .as_object()
                .is_some_and(|claims| claims.len() == 2)
                && shown["claims"]["date"] == "2023-04-15",
            format!("two claims were asked for: {}", shown["claims"]),
        )?;
        let (status, again) = wallet.send_presentation(&prepared).await?;
        promise(
            status == 400 && again["code"] == "request-answered",
            format!("a request is answered once: {again}"),
        )?;
        let why = reason(shown, "consent-proof");
        steps.tell(format!("the clinic accepts it with no node to ask, two claims and no more: {why}; a second time it is refused"));

        let checked = self.offline_code(&subject).await?;
        steps.tell(format!("a paper for the road: the clinic's QR code is checked with the clinic's certificate alone, {checked}"));

        drop(stopped);
        self.ledger_goes_on().await?;
        let (state, history) = wallet.history(&prepared.grant).await?;
        promise(
            history.is_empty() && state.grant.uses_max == Some(1),
            "nothing was read from the vault under the grant",
        )?;
        steps.tell("the validators come back; under the grant nothing was read from the vault");

        self.present_by_others(&wallet, &records, &mut steps, &subject)
            .await?;
        steps.end();
        Ok(())
    }

    /// A health certificate made with `tegata issue` and checked with `tegata verify`, as anybody would by hand. Says what was
    /// found.
    async fn offline_code(&self, subject: &str) -> Result<String, Broken> {
        let broken = |error: std::io::Error| Broken(format!("the offline code: {error}"));
        let folder = self.dir.join("offline");
        std::fs::create_dir_all(&folder).map_err(broken)?;
        let (record, person) = (folder.join("record.json"), folder.join("person.json"));
        let mut covid = immunization(subject, 0);
        covid["vaccineCode"] =
            json!({ "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "208" }] });
        covid["protocolApplied"] =
            json!([{ "doseNumberPositiveInt": 1, "seriesDosesPositiveInt": 2 }]);
        std::fs::write(&record, covid.to_string()).map_err(broken)?;
        let made_up = json!({ "family_name": "若葉", "given_name": "はる", "family_name_latin": "Wakaba", "given_name_latin": "Haru", "birth_date": "2023-02-01" });
        std::fs::write(&person, made_up.to_string()).map_err(broken)?;
        let clinic = self.dir.join("clinic");
        let (keys, certificates) = (clinic.join("keys.json"), clinic.join("certificates.pem"));
        let picture = folder.join("code.svg");
        let (status, code) = tegata(
            &[
                "issue".as_ref(),
                record.as_os_str(),
                "--format".as_ref(),
                "hcert".as_ref(),
                "--key".as_ref(),
                keys.as_os_str(),
                "--certificate".as_ref(),
                certificates.as_os_str(),
                "--issuer".as_ref(),
                "Midori Clinic".as_ref(),
                "--person".as_ref(),
                person.as_os_str(),
                "--qr".as_ref(),
                picture.as_os_str(),
            ],
            "",
        )
        .await?;
        promise(
            status == 0 && code.starts_with("HC1:"),
            format!("no code was made: {code}"),
        )?;
        let verify = ["verify", "-", "--json", "--trust"].map(OsStr::new);
        let verify = [verify.as_slice(), &[certificates.as_os_str()]].concat();
        let (status, found) = tegata(&verify, &code).await?;
        promise(status == 0, format!("the code does not hold: {found}"))?;
        let other = self.dir.join("test-centre/certificates.pem");
        let stranger = [&verify[..4], &[other.as_os_str()]].concat();
        let (status, found) = tegata(&stranger, &code).await?;
        promise(
            status == 1 && found.contains("hcert_key_unknown"),
            format!("another organisation's certificate must not do: {found}"),
        )?;
        let place = code.len() / 2;
        let letter = if &code[place..=place] == "A" {
            "B"
        } else {
            "A"
        };
        let altered = [&code[..place], letter, &code[place + 1..]].concat();
        let (status, found) = tegata(&verify, &altered).await?;
        promise(status == 1, format!("an altered code holds: {found}"))?;
        Ok("with another's it is not, and altered in one letter it is not".to_owned())
    }

    /// The same from npm `@openid4vc/openid4vp`, which knows no ledger.
    async fn present_by_others(
        &self,
        wallet: &super::wallet::Wallet,
        records: &[super::wallet::OpenedRecord],
        steps: &mut Steps<'_>,
        subject: &str,
    ) -> Result<(), Broken> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        if !folder.join("node_modules/@openid4vc/openid4vp").is_dir() {
            steps.tell(
                "left out: the wallet that others wrote is not installed (npm ci in tests/interop)",
            );
            return Ok(());
        }
        let verifier = self.patient("clinic-verifier")?;
        let asked = verifier
            .post("/v1/presentations", &asking("standard", subject))
            .await?
            .success("the request")?;
        let input = json!({
            "uri": asked["uri"], "credentials": [records[0].sd_jwt],
            "holder": wallet.holder_jwk(&records[0].issuer),
        });
        let answer = node(&folder, &input).await?;
        promise(
            answer["status"] == 200 && answer["encrypted"] == true,
            format!("the wallet of others was not accepted: {answer}"),
        )?;
        let path = format!("/v1/presentations/{}", text(&asked, "id")?);
        let found = verifier.get(&path).await?.success("the result")?;
        promise(
            found["status"] == "answered" && found["result"]["ledger_proof"] == false,
            format!("it must be marked as without ledger proof: {found}"),
        )?;
        steps.tell("the same credential from a wallet that others wrote, encrypted, under policy standard: accepted, marked as without ledger proof");
        Ok(())
    }

    async fn no_node_answers(&self) -> Result<(), Broken> {
        let began = Instant::now();
        for node in &self.demo.ledger {
            let url = format!("{node}/healthz");
            while self.ledger.http().get(&url).send().await.is_ok() {
                promise(began.elapsed() < LEDGER, format!("{node} still answers"))?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn ledger_goes_on(&self) -> Result<(), Broken> {
        let began = Instant::now();
        let height = |stage: &Self| stage.ledger.newest().map(|newest| newest.header().height);
        let before = self
            .ledger
            .watch()
            .borrow()
            .as_ref()
            .map_or(0, |newest| newest.header().height);
        while height(self).map_or(true, |now| now <= before) {
            promise(began.elapsed() < LEDGER, "the ledger does not go on")?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// What a verifier checks of a presentation under policy `ledger`.
const CHECKS: &[&str] = &[
    "issuer-signature",
    "holder-key",
    "issuer-accredited",
    "not-revoked",
    "query",
    "schema",
    "transaction-data",
    "consent-proof",
];

fn asking(policy: &str, reference: &str) -> Value {
    json!({
        "dcql": { "credentials": [{
            "id": "vaccination", "format": "dc+sd-jwt",
            "meta": { "vct_values": ["urn:tegata:record:vaccination:1"] },
            "claims": [{ "path": ["vaccine_code"] }, { "path": ["date"] }],
        }] },
        "purpose": "care", "legal_basis": "consent", "retention_days": 30, "policy": policy, "reference": reference,
    })
}

fn over_asking(reference: &str) -> Value {
    json!({
        "categories": ["laboratory"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
        "policy": "ledger", "reference": reference,
    })
}

fn is_made(shown: &Value, check: &str) -> bool {
    let mut checks = shown["checks"].as_array().into_iter().flatten();
    checks.any(|found| found["check"] == check)
}

fn reason(shown: &Value, check: &str) -> String {
    let mut checks = shown["checks"].as_array().into_iter().flatten();
    let found = checks.find(|found| found["check"] == check);
    let reason = found.and_then(|found| found["reason"].as_str());
    reason.unwrap_or_default().to_owned()
}

/// A `tegata` command: its exit code and what it printed.
async fn tegata(arguments: &[&OsStr], input: &str) -> Result<(i32, String), Broken> {
    let broken = |error: std::io::Error| Broken(format!("tegata: {error}"));
    let mut child = tokio::process::Command::new(std::env::current_exe().map_err(broken)?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await.map_err(broken)?;
    }
    let output = child.wait_with_output().await.map_err(broken)?;
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if printed.trim().is_empty() {
        printed = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    Ok((
        output.status.code().unwrap_or(-1),
        printed.trim().to_owned(),
    ))
}

/// One question to `openid4vp.mjs`.
async fn node(folder: &Path, input: &Value) -> Result<Value, Broken> {
    let broken = |error: std::io::Error| Broken(format!("node: {error}"));
    let mut child = tokio::process::Command::new("node")
        .arg("openid4vp.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    if let Some(mut stdin) = child.stdin.take() {
        let line = format!("{input}\n");
        stdin.write_all(line.as_bytes()).await.map_err(broken)?;
    }
    let output = child.wait_with_output().await.map_err(broken)?;
    serde_json::from_slice(&output.stdout).map_err(|error| Broken(format!("node: {error}")))
}

/// Validators that are taken away. They come back when this goes.
struct Stopped(Vec<PathBuf>);

impl Stopped {
    fn all(dir: &Path) -> Result<Self, Broken> {
        let broken = |error: std::io::Error| Broken(format!("taking a validator away: {error}"));
        let mut stopped = Self(Vec::new());
        for number in 0..VALIDATORS {
            let name = format!("node{number}");
            let hold = dir.join("hold").join(&name);
            std::fs::write(&hold, "").map_err(broken)?;
            stopped.0.push(hold);
            let pid = std::fs::read_to_string(dir.join("run").join(format!("{name}.pid")))
                .map_err(broken)?;
            let mut kill = std::process::Command::new("kill");
            kill.args(["-9", pid.trim()]).stderr(Stdio::null());
            kill.status().map_err(broken)?; // it may have ended by itself
        }
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for hold in &self.0 {
            if let Err(error) = std::fs::remove_file(hold) {
                tracing::error!(%error, hold = %hold.display(), "a validator stays away");
            }
        }
    }
}
