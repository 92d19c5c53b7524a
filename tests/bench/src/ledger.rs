//! The ledger with four processes on this machine: entries a second, and the time to finality at half of that.
//!
//! Beside it stands what the same machine can do at most with the entries' signatures alone: each of the four validators
//! checks two for every grant (person and sponsor), on two cores shared by all.

use crate::table::{Goal, Table, percentile};
use ed25519_dalek::{Signer, SigningKey};
use futures::stream::{FuturesUnordered, StreamExt};
use rand::RngExt;
use rand::rngs::StdRng;
use std::path::Path;
use std::time::{Duration, Instant};
use tegata::demo::Running;
use tegata_consent::cose::{public_key, verify_strict};
use tegata_consent::entry::{Body, Entry, Grant};
use tegata_consent::ids::{Hash, OrganisationId};
use tegata_service::clock;
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};

struct Load<'a> {
    running: &'a Running,
    host: OrganisationKeys,
    recipient: OrganisationId,
    rng: StdRng,
}

impl Load<'_> {
    fn entries(&mut self, count: usize) -> Vec<Vec<u8>> {
        let chain = self.running.ledger.chain();
        let now_ms = clock::now_ms();
        (0..count)
            .map(|_| {
                let key = SigningKey::from_bytes(&self.rng.random());
                let grant = Grant {
                    recipient: self.recipient,
                    sponsor: self.host.organisation_id(),
                    categories: vec!["vaccination".into()],
                    purpose: "care".into(),
                    legal_basis: "consent".into(),
                    retention_days: 30,
                    from_ms: now_ms,
                    until_ms: now_ms + 86_400_000,
                    uses_max: None,
                    commitment: Hash(self.rng.random()),
                    request: None,
                };
                Entry::sign(&key, &chain, now_ms + 500_000, Body::Grant(grant))
                    .countersign(&self.host.sign, &chain)
                    .to_bytes()
            })
            .collect()
    }

    /// Sends entries, at most `under_way` at a time and `rate` a second; gives the wall time and each entry's time to its receipt.
    async fn send(
        &self,
        entries: Vec<Vec<u8>>,
        under_way: usize,
        rate: Option<f64>,
    ) -> Result<(Duration, Vec<f64>), String> {
        let http = self.running.ledger.http();
        let started = Instant::now();
        let mut flying = FuturesUnordered::new();
        let mut times_ms = Vec::with_capacity(entries.len());
        for (number, entry) in entries.into_iter().enumerate() {
            while flying.len() >= under_way {
                times_ms.push(
                    flying
                        .next()
                        .await
                        .unwrap_or(Err("nothing under way".to_owned()))?,
                );
            }
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(number as f64 / rate);
                while let Some(left) = due.checked_sub(started.elapsed()) {
                    match tokio::time::timeout(left, flying.next()).await {
                        Ok(Some(time)) => times_ms.push(time?),
                        Ok(None) => tokio::time::sleep(left).await,
                        Err(_) => break,
                    }
                }
            }
            let url = format!(
                "{}/v1/entries",
                self.running.demo.ledger[number % self.running.demo.ledger.len()]
            );
            let request = http
                .post(url)
                .header("content-type", "application/cbor")
                .body(entry);
            flying.push(async move {
                let sent = Instant::now();
                let answer = request.send().await.map_err(|error| error.to_string())?;
                let status = answer.status();
                answer.bytes().await.map_err(|error| error.to_string())?;
                if status.as_u16() == 201 {
                    Ok(sent.elapsed().as_secs_f64() * 1000.0)
                } else {
                    Err(format!("a grant was answered {status}"))
                }
            });
        }
        while let Some(time) = flying.next().await {
            times_ms.push(time?);
        }
        Ok((started.elapsed(), times_ms))
    }
}

pub(crate) async fn run(table: &mut Table, running: &Running, dir: &Path) -> Result<(), String> {
    let host =
        load_organisation_keys(dir.join("host/keys.json")).map_err(|error| error.to_string())?;
    let recipient = running.demo.services["clinic-verifier"]
        .organisation
        .parse()
        .map_err(|_| "an id".to_owned())?;
    let mut load = Load {
        running,
        host,
        recipient,
        rng: rand::make_rng(),
    };
    let key = SigningKey::from_bytes(&[1; 32]);
    let (public, signature) = (public_key(&key), key.sign(&[7; 512]).to_bytes());
    let (verify, _) = table.pair(
        || assert!(verify_strict(&public, &[7; 512], &signature).is_ok()),
        || (),
    );
    let limit = verify * 2.0 / 8.0;

    let warm = load.entries(200);
    load.send(warm, 64, None).await?;
    let count = 6000;
    let entries = load.entries(count);
    let (took, _) = load.send(entries, 1024, None).await?;
    let rate = count as f64 / took.as_secs_f64();
    table.row(
        "ledger, grants, 4 processes",
        rate,
        "entries/s with receipts",
        "2 cores ÷ 8 signature checks",
        Some(limit),
        Goal::Least(2000.0),
    );

    let half = rate / 2.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let entries = load.entries((half * 5.0) as usize);
    let (_, mut times_ms) = load.send(entries, 4096, Some(half)).await?;
    table.row(
        "finality at half load, p50",
        percentile(&mut times_ms, 0.5),
        "ms, submission to receipt",
        "the goal",
        Some(60.0),
        Goal::Most(60.0),
    );
    table.row(
        "finality at half load, p99",
        percentile(&mut times_ms, 0.99),
        "ms, submission to receipt",
        "the goal",
        Some(100.0),
        Goal::Most(100.0),
    );
    let mut idle = Vec::new();
    for entry in load.entries(20) {
        let (_, mut one) = load.send(vec![entry], 1, None).await?;
        idle.append(&mut one);
    }
    table.row(
        "finality on an idle ledger, p50",
        percentile(&mut idle, 0.5),
        "ms, submission to receipt",
        "the goal",
        Some(60.0),
        Goal::Most(60.0),
    );
    Ok(())
}
