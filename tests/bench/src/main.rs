//! `make bench`: each row is ours, the limit or peer measured beside it in the same run, the ratio, and the goal.
//!
//! Absolute numbers say little on a shared machine; the ratios hold. The load before and after is printed with them.

mod bounds;
mod consent;
mod credentials;
mod ledger;
mod million;
mod offline;
mod peer;
mod people;
mod presentation;
mod processes;
mod reading;
mod table;
mod town;
mod vault;
mod w3c;

use clap::Parser;
use std::path::{Path, PathBuf};
use table::Table;
use tegata::demo::Running;

#[derive(Parser)]
struct Options {
    /// The `tegata` command to start processes with.
    #[arg(long, default_value = "target/debug/tegata", env = "TEGATA")]
    tegata: PathBuf,
    /// Seconds for each measured case.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Prints one JSON document instead of the table.
    #[arg(long)]
    json: bool,
    /// How many infants the made-up town has.
    #[arg(long, default_value_t = 1000)]
    infants: usize,
    /// Only this part: credentials, consent, offline, w3c, ledger, reading, presentation, vault, town, or million, which runs
    /// only when it is asked for.
    #[arg(long, value_parser = PARTS)]
    only: Option<String>,
    /// How many records `million` issues.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// First of 24 ports in a row for the processes.
    #[arg(long, default_value_t = 9400)]
    port: u16,
    /// Serves as the peer of `presentation`, with the two keys that it checks by.
    #[arg(long, hide = true)]
    peer_of_responses: Option<String>,
}

const PARTS: [&str; 10] = [
    "credentials",
    "consent",
    "offline",
    "w3c",
    "ledger",
    "reading",
    "presentation",
    "vault",
    "town",
    "million",
];

impl Options {
    fn wants(&self, part: &str) -> bool {
        match &self.only {
            Some(only) => only == part,
            None => part != "million",
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let options = Options::parse();
    if let Some(keys) = &options.peer_of_responses {
        return presentation::serve_peer(keys).await;
    }
    let mut table = Table::new(options.json, options.seconds);
    if options.wants("credentials") {
        credentials::run(&mut table)?;
    }
    if options.wants("consent") {
        consent::run(&mut table)?;
    }
    if options.wants("offline") {
        offline::run(&mut table)?;
    }
    if options.wants("w3c") {
        w3c::run(&mut table)?;
    }
    if PARTS[4..].iter().any(|part| options.wants(part)) {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let dir = folder.path();
        let running = Running::start(&options.tegata, dir, Some(options.port), None).await;
        let running = running.map_err(|error| error.to_string())?;
        let measured = with_processes(&mut table, &options, &running, dir).await;
        running.cluster.stop().await;
        measured?;
    }
    table.end();
    Ok(())
}

async fn with_processes(
    table: &mut Table,
    options: &Options,
    running: &Running,
    dir: &Path,
) -> Result<(), String> {
    if options.wants("ledger") {
        ledger::run(table, running, dir).await?;
    }
    if options.wants("reading") {
        reading::run(table, running, dir).await?;
    }
    if options.wants("presentation") {
        presentation::run(table, running).await?;
    }
    if options.wants("vault") {
        vault::run(table, running).await?;
    }
    if options.wants("town") {
        town::run(table, running, options.infants).await?;
    }
    if options.wants("million") {
        million::run(table, running, options.records).await?;
    }
    Ok(())
}
