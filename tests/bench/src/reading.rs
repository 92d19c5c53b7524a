//! The consent asked over HTTP, a whole reading, and how soon a revocation is felt.

use crate::people::{systems, vaccinated};
use crate::table::{Goal, Table, median, percentile};
use axum::Router;
use axum::routing::get;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tegata::demo::Running;
use tegata::demo::wallet::Wallet;
use tegata_consent::cbor;
use tegata_consent::entry::{Access, Body, Entry};
use tegata_consent::fetch::FetchRequest;
use tegata_consent::ids::{GrantId, Salt};
use tegata_consent::keys::Secret;
use tegata_consent::proof::StateProof;
use tegata_consent::scope::Scope;
use tegata_service::clock;
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};
use tegata_service::signature::{Signer, send_signed};

const CHECKS: usize = 1000;
const READINGS: usize = 20;
const REVOCATIONS: usize = 10;
const WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(table: &mut Table, running: &Running, dir: &Path) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut wallet, _) = vaccinated(running, "R-1").await?;
    let grant = granted(running, &mut wallet).await?;
    consent_check(table, running, &grant).await?;

    let keys = load_organisation_keys(dir.join("clinic/keys.json")).map_err(|e| text(&e))?;
    let recipient = Recipient {
        running,
        keys,
        scope: Scope::of_drawers(wallet.drawer_id("vaccination").into_iter().collect()),
    };
    let mut rng: StdRng = rand::make_rng();
    // Both begin at any moment between two blocks, so they are taken in turn.
    let clinic = systems(running, "clinic-verifier");
    let path = format!("/v1/grants/{grant}/readings");
    let (mut finality_ms, mut readings_ms) = (Vec::new(), Vec::new());
    for _ in 0..READINGS {
        let began = Instant::now();
        recipient.access(&grant, &mut rng).await?;
        finality_ms.push(ms(began));
        let began = Instant::now();
        let read = clinic.post(&path, &json!({})).await;
        let read = read
            .and_then(|answer| answer.success("the reading"))
            .map_err(|e| text(&e))?;
        readings_ms.push(ms(began));
        if read["records"].as_array().is_none_or(Vec::is_empty) {
            return Err(format!("nothing was read: {read}"));
        }
    }
    table.row(
        "reading under a standing grant, p50",
        median(&mut readings_ms),
        "ms, asked to record opened and verified",
        "finality of an access",
        Some(median(&mut finality_ms)),
        Goal::RatioMost(2.0),
    );

    let mut after_ms = Vec::new();
    let mut final_ms = Vec::new();
    for _ in 0..REVOCATIONS {
        let grant = granted(running, &mut wallet).await?;
        let fetch = recipient.access(&grant, &mut rng).await?;
        if recipient.fetch(&fetch).await?.is_some() {
            return Err("a fetch under an allowed access was refused".into());
        }
        let began = Instant::now();
        let revoked = async {
            let revoked = wallet.revoke(&grant).await.map_err(|e| text(&e));
            revoked.map(|_| ms(began))
        };
        let refused = async {
            while began.elapsed() < WITHIN {
                match recipient.fetch(&fetch).await?.as_deref() {
                    None => {}
                    Some("grant-revoked") => return Ok(ms(began)),
                    Some(other) => return Err(format!("refused for another reason: {other}")),
                }
            }
            Err("a revoked grant still serves".to_owned())
        };
        let (revoked, refused) = tokio::try_join!(revoked, refused)?;
        final_ms.push(revoked);
        after_ms.push((refused - revoked).max(0.0));
    }
    table.row(
        "revoked to refused, beyond finality, worst of 10",
        percentile(&mut after_ms, 1.0),
        "ms",
        "finality of a revocation, p50",
        Some(median(&mut final_ms)),
        Goal::Most(50.0),
    );
    Ok(())
}

/// What a node is asked before every reading: does this grant stand? The answer is a proof, checked by who asks.
async fn consent_check(
    table: &mut Table,
    running: &Running,
    grant: &GrantId,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let http = running.ledger.http();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|e| text(&e))?;
    let hello = format!("http://{}/", listener.local_addr().map_err(|e| text(&e))?);
    let router = Router::new().route("/", get(|| async { "hello" }));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let url = format!("{}/v1/state/grants/{grant}", running.demo.ledger[0]);
    let (chain, validators) = (running.ledger.chain(), running.ledger.validators());
    let (mut ours, mut checked, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CHECKS {
        let began = Instant::now();
        let answer = http.get(&url).send().await.map_err(|e| text(&e))?;
        let bytes = answer.bytes().await.map_err(|e| text(&e))?;
        ours.push(ms(began));
        let proof = StateProof::parse(&bytes).map_err(|e| text(&e))?;
        let proven = proof.verify_grant(&chain, &validators, grant);
        let state = proven.map_err(|e| text(&e))?.value.ok_or("no grant")?;
        state.standing(clock::now_ms()).map_err(|e| text(&e))?;
        checked.push(ms(began));
        let began = Instant::now();
        let answer = http.get(&hello).send().await.map_err(|e| text(&e))?;
        answer.bytes().await.map_err(|e| text(&e))?;
        beside.push(ms(began));
    }
    server.abort();
    let beside = percentile(&mut beside, 0.95);
    for (name, times) in [
        ("consent check over HTTP, p95", &mut ours),
        ("consent check over HTTP, proof verified, p95", &mut checked),
    ] {
        table.row(
            name,
            percentile(times, 0.95),
            "ms",
            "axum hello, p95",
            Some(beside),
            Goal::Most(0.5),
        );
    }
    Ok(())
}

/// A grant of vaccinations to the clinic, which has its ticket.
async fn granted(running: &Running, wallet: &mut Wallet) -> Result<GrantId, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let clinic = systems(running, "clinic-verifier");
    let request = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent",
        "retention_days": 30, "until_ms": clock::now_ms() + 86_400_000, "reference": "R-1" });
    let asked = clinic.post("/v1/requests", &request).await;
    let asked = asked
        .and_then(|answer| answer.success("the consent request"))
        .map_err(|e| text(&e))?;
    let link = asked["link"].as_str().ok_or("no link")?;
    let (grant, _) = wallet.grant(link, None).await.map_err(|e| text(&e))?;
    let id = grant.to_string();
    clinic
        .until("/v1/grants", WITHIN, |answer| {
            answer.body.to_string().contains(&id).then_some(())
        })
        .await
        .map_err(|e| text(&e))?;
    Ok(grant)
}

/// The clinic, by its keys alone.
struct Recipient<'a> {
    running: &'a Running,
    keys: OrganisationKeys,
    scope: Scope,
}

impl Recipient<'_> {
    /// Has an access allowed, and gives what fetches under it.
    async fn access(&self, grant: &GrantId, rng: &mut StdRng) -> Result<FetchRequest, String> {
        let (ledger, salt) = (&self.running.ledger, Salt(rng.random()));
        let body = Body::Access(Access {
            grant: *grant,
            recipient: self.keys.organisation_id(),
            commitment: self.scope.commitment(&salt),
            ephemeral: Secret::new(rng.random()).seal_key(),
        });
        let not_after_ms = clock::now_ms() + 300_000;
        let entry = Entry::sign(&self.keys.sign, &ledger.chain(), not_after_ms, body);
        let submitted = ledger.submit(&entry.to_bytes()).await;
        submitted.map_err(|error| error.to_string())?;
        Ok(FetchRequest {
            access: entry.id(&ledger.chain()),
            salt,
            scope: self.scope.clone(),
            after: None,
        })
    }

    /// Fetches: `None` where records came, else why they did not.
    async fn fetch(&self, request: &FetchRequest) -> Result<Option<String>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let signer = Signer::organisation(self.keys.organisation_id(), self.keys.sign.clone());
        let url = format!("{}/v1/fetch", self.running.demo.host);
        let answer = send_signed(
            &self.running.ledger.http(),
            &signer,
            reqwest::Method::POST,
            &url,
            "application/cbor",
            cbor::encode(request),
        )
        .await
        .map_err(|e| text(&e))?;
        let served = answer.status().is_success();
        let bytes = answer.bytes().await.map_err(|e| text(&e))?;
        if served {
            return Ok(None);
        }
        let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Some(
            problem["code"].as_str().unwrap_or("unspecified").to_owned(),
        ))
    }
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
