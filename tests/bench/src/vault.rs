//! Deposit and fetch beside a plain axum server that writes the same bytes to a file, synced.

use crate::table::{Goal, Table, median};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use rand::RngExt;
use rand::rngs::StdRng;
use std::path::PathBuf;
use std::time::Instant;
use tegata::demo::Running;
use tegata::demo::wallet::Wallet;
use tegata_consent::keys::Secret;
use tegata_service::keys::load_organisation_keys;
use tokio::io::AsyncWriteExt;

const ROUNDS: usize = 40;

pub(crate) async fn run(table: &mut Table, running: &Running) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let plain = plain_server(folder.path().to_owned()).await?;
    let genesis = running.demo.genesis.parent().ok_or("a folder")?.to_owned();
    let clinic = load_organisation_keys(genesis.join("clinic/keys.json"))
        .map_err(|error| error.to_string())?;
    let mut wallet = Wallet::open(&running.demo.host, running.ledger.clone())
        .await
        .map_err(|error| error.to_string())?;
    wallet
        .open_drawers(&["vaccination"])
        .await
        .map_err(|error| error.to_string())?;
    let http = running.ledger.http();
    let mut rng: StdRng = rand::make_rng();
    for (name, bytes) in [("2 KiB", 1500), ("512 KiB", 500 * 1024)] {
        let content: Vec<u8> = (0..bytes).map(|_| rng.random()).collect();
        let mut deposits = Vec::new();
        for _ in 0..ROUNDS {
            deposits.push(
                wallet
                    .prepare_deposit(&clinic, &content, &Secret::new(rng.random()), &mut rng)
                    .map_err(|error| error.to_string())?,
            );
        }
        let (mut ours, mut beside, mut fetched, mut read) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, deposit) in deposits.into_iter().enumerate() {
            let started = Instant::now();
            let url = format!(
                "{}/v1/drawers/{}/records",
                running.demo.host, deposit.drawer
            );
            let answer = http
                .post(url)
                .header("content-type", "application/cbor")
                .body(deposit.body.clone())
                .send()
                .await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status().as_u16() != 201 {
                return Err(format!(
                    "a deposit was answered {}: {}",
                    answer.status(),
                    answer.text().await.unwrap_or_default()
                ));
            }
            answer.bytes().await.map_err(|error| error.to_string())?;
            ours.push(1.0 / started.elapsed().as_secs_f64());

            let started = Instant::now();
            let url = format!("{plain}/{number}");
            http.post(&url)
                .body(deposit.body)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            beside.push(1.0 / started.elapsed().as_secs_f64());

            let started = Instant::now();
            wallet
                .fetch_raw(&deposit.drawer, &deposit.record)
                .await
                .map_err(|error| error.to_string())?;
            fetched.push(1.0 / started.elapsed().as_secs_f64());

            let started = Instant::now();
            let answer = http
                .get(&url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            answer.bytes().await.map_err(|error| error.to_string())?;
            read.push(1.0 / started.elapsed().as_secs_f64());
        }
        let goal = Goal::RatioLeast(if bytes > 10_000 { 0.7 } else { 0.4 });
        table.row(
            &format!("vault deposit of {name}"),
            median(&mut ours),
            "per second, one at a time",
            "plain axum + synced file",
            Some(median(&mut beside)),
            goal,
        );
        table.row(
            &format!("vault fetch of {name}"),
            median(&mut fetched),
            "per second, one at a time",
            "plain axum + file",
            Some(median(&mut read)),
            goal,
        );
    }
    Ok(())
}

async fn plain_server(folder: PathBuf) -> Result<String, String> {
    let write = |State(folder): State<PathBuf>, Path(name): Path<String>, body: Bytes| async move {
        let mut file = tokio::fs::File::create(folder.join(name))
            .await
            .map_err(|error| error.to_string())?;
        file.write_all(&body)
            .await
            .map_err(|error| error.to_string())?;
        file.sync_all().await.map_err(|error| error.to_string())
    };
    let read = |State(folder): State<PathBuf>, Path(name): Path<String>| async move {
        tokio::fs::read(folder.join(name))
            .await
            .map_err(|error| error.to_string())
    };
    let router = Router::new()
        .route("/{name}", post(write).get(read))
        .layer(axum::extract::DefaultBodyLimit::max(8 << 20))
        .with_state(folder);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}
