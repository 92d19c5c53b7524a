//! The story `present`: a credential shown now, over OpenID4VP, with a consent that is checked while the ledger is stopped.

use super::browser::{Browser, sources};
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
            "shown from the wallet in a browser, checked while the ledger is stopped",
            self.after_step,
        );
        let pictures = self.dir.join("screenshots");
        let pictures = pictures.join(format!("present-{}", self.run));
        let mut browser = Browser::start(&pictures, self.watch)?;
        let shown = self.present_from(&mut browser, &mut steps).await;
        browser.end().await;
        shown.map_err(|Broken(why)| Broken(format!("{why} (pictures: {})", pictures.display())))?;
        steps.tell(format!("the browser met no error, broke no policy and asked nobody outside this machine; its pictures: {}", pictures.display()));
        self.present_by_others(&mut steps).await?;
        steps.end();
        Ok(())
    }

    async fn present_from(
        &self,
        browser: &mut Browser,
        steps: &mut Steps<'_>,
    ) -> Result<(), Broken> {
        let wallet = self.demo.wallet.as_ref();
        let wallet =
            wallet.ok_or_else(|| Broken("no wallet is served: say where it is built".into()))?;
        let subject = format!("V-{}", self.run);
        let begin = json!({ "wallet": wallet, "child": "はるちゃん", "born": "2023-02-01" });
        browser.does("begin", begin).await?;
        steps.tell("a guardian opens the wallet in Chromium, in a fresh profile: a vault under her passphrase, and a child in it");

        let clinic = self.patient("clinic-issuer")?;
        let pairing = clinic
            .post("/v1/pairings", &json!({ "subject": subject }))
            .await?
            .success("the pairing")?;
        let link = text(&pairing, "link")?;
        let connect = json!({ "link": link, "name": "みどり小児科クリニック" });
        browser.does("connect", connect).await?;
        let made = clinic
            .post("/fhir/Immunization", &immunization(&subject, 0))
            .await?
            .success("the Immunization")?;
        self.deposited("clinic-issuer", &text(&made, "id")?).await?;
        browser
            .does("records", json!({ "wallet": wallet, "count": 1 }))
            .await?;
        steps.tell("she answers the clinic's pairing code; the clinic signs and deposits a vaccination; the wallet opens it and finds that it holds");

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
        browser
            .does("read", json!({ "link": text(&asked, "link")? }))
            .await?;
        steps.tell("the clinic signs a request for two claims, and none for what it is not accredited for; the wallet checks who signed it and shows who asks for what and why");

        let response = browser.does("agree", json!({})).await?;
        steps.tell("she agrees with one tap: a grant for one use that commits to this very request is final; the response waits in the browser");

        let stopped = Stopped::all(self.dir)?;
        self.no_node_answers().await?;
        steps.tell("all four validators are killed, and stay away");

        browser.does("send", json!({})).await?;
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
        self.second_answer(&response).await?;
        let why = reason(shown, "consent-proof");
        steps.tell(format!("the response leaves the browser; the clinic accepts it with no node to ask, two claims and no more: {why}; a second time it is refused"));

        let checked = self.offline_code(&subject).await?;
        steps.tell(format!("a paper for the road: the clinic's QR code is checked with the clinic's certificate alone, {checked}"));

        drop(stopped);
        self.ledger_goes_on().await?;
        let history = json!({ "wallet": wallet, "grant": text(shown, "grant")? });
        browser.does("history", history).await?;
        steps.tell("the validators come back; the wallet has the history of the grant, complete by proof: nobody read anything from the vault under it");

        let ended = browser.does("end", json!({})).await?;
        promise(
            ended["faults"] == json!([]),
            format!("the browser met faults: {}", ended["faults"]),
        )
    }

    /// What the browser sent is sent once more: a request is answered once.
    async fn second_answer(&self, response: &Value) -> Result<(), Broken> {
        let (to, form) = (text(response, "to")?, text(response, "form")?);
        let send = || {
            let request = self.ledger.http().post(&to);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            request.body(form.clone()).send()
        };
        let answer = self.patience.ask(send).await;
        let answer = answer.map_err(|error| Broken(format!("{to} does not answer: {error}")))?;
        let again: Value = serde_json::from_slice(&answer.bytes).unwrap_or(Value::Null);
        promise(
            answer.status == 400 && again["code"] == "request-answered",
            format!("a request is answered once: {} {again}", answer.status),
        )
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

    /// The same from npm `@openid4vc/openid4vp`, which knows no ledger, with another person's record.
    async fn present_by_others(&self, steps: &mut Steps<'_>) -> Result<(), Broken> {
        let subject = format!("O-{}", self.run);
        let file = self.wallet_file("present");
        let mut wallet = self.wallet(&file).await?;
        wallet.open_drawers(&["vaccination"]).await?;
        self.pair("clinic-issuer", &subject, &mut wallet, &["vaccination"])
            .await?;
        let made = self
            .patient("clinic-issuer")?
            .post("/fhir/Immunization", &immunization(&subject, 0))
            .await?
            .success("the Immunization")?;
        self.deposited("clinic-issuer", &text(&made, "id")?).await?;
        let records = self.records(&mut wallet, 1).await?;
        wallet.save(&file)?;
        wallet.status_is_known(&records[0]).await?;
        let verifier = self.patient("clinic-verifier")?;
        let asked = verifier
            .post("/v1/presentations", &asking("standard", &subject))
            .await?
            .success("the request")?;
        let input = json!({
            "uri": asked["uri"], "credentials": [records[0].sd_jwt],
            "holder": wallet.holder_jwk(&records[0].issuer),
        });
        let answer = node(&sources("tests/interop"), &input).await?;
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
        steps.tell("another person's record, from a wallet that others wrote, encrypted, under policy standard: accepted, marked as without ledger proof");
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
        let host = format!("{}/readyz", self.demo.host);
        let ready = || async {
            let answer = self.ledger.http().get(&host).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        while !ready().await {
            promise(began.elapsed() < LEDGER, "the host does not go on")?;
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
