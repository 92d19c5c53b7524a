//! `make bench`: each row is ours, the limit or peer measured beside it in the same run, the ratio, and the goal.
//!
//! Absolute numbers say little on a shared machine; the ratios hold. The load before and after is printed with them.

mod credentials;
mod ledger;
mod offline;
mod table;
mod town;
mod vault;
mod w3c;

use clap::Parser;
use std::path::PathBuf;
use table::Table;

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
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let options = Options::parse();
    let mut table = Table::new(options.json, options.seconds);
    if "credentials consent proof".contains(&options.only) {
        credentials::run(&mut table)?;
    }
    if "offline cose cwt hcert health card status list".contains(&options.only) {
        offline::run(&mut table)?;
    }
    if "w3c".contains(&options.only) {
        w3c::run(&mut table)?;
    }
    if "ledger vault town".contains(&options.only) {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let running =
            tegata::demo::Running::start(&options.tegata, folder.path(), Some(9400), None);
        let running = running.await.map_err(|error| error.to_string())?;
        if "ledger".contains(&options.only) {
            ledger::run(&mut table, &running, folder.path()).await?;
        }
        if "vault".contains(&options.only) {
            vault::run(&mut table, &running).await?;
        }
        if "town".contains(&options.only) {
            town::run(&mut table, &running, folder.path(), options.infants).await?;
        }
        running.cluster.stop().await;
    }
    table.end();
    Ok(())
}
