//! One node as a process of its own: `tegata-node node.toml`.

use std::process::ExitCode;
use tegata_ledger::NodeConfig;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tegata-node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: tegata-node node.toml")?;
    let config = NodeConfig::load(path)?;
    tegata_service::telemetry::init(&config.telemetry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(tegata_ledger::run(config));
    runtime.shutdown_background();
    Ok(ended?)
}
