//! `tegata fsck DIR`: everything an operator can check on disk.
//!
//! Finds the services below a directory by their configuration files (`node.toml`, `vault.toml`, `issuer.toml`,
//! `verifier.toml`), there and one folder down.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tegata_issuer::IssuerConfig;
use tegata_ledger::NodeConfig;
use tegata_vault::VaultConfig;
use tegata_verifier::VerifierConfig;

/// What to check.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A service's directory, or one that holds several.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Prints one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// What was found of one service.
struct Finding {
    config: PathBuf,
    sound: bool,
    /// For people, one line each.
    lines: Vec<String>,
    details: Value,
}

/// Checks. Exit code 0: all sound; 1: something is not; 2: nothing to check.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let configs = configs(&options.dir);
    if configs.is_empty() {
        eprintln!(
            "tegata: no node.toml, vault.toml, issuer.toml or verifier.toml in {} or one folder below",
            options.dir.display()
        );
        return ExitCode::from(2);
    }
    let findings: Vec<_> = configs
        .iter()
        .map(|path| check(path, options.json))
        .collect();
    if options.json {
        let all: Vec<_> = findings
            .iter()
            .map(|finding| json!({ "config": finding.config, "sound": finding.sound, "details": finding.details }))
            .collect();
        println!("{}", Value::Array(all));
    } else {
        for finding in &findings {
            println!(
                "{} {}",
                if finding.sound { "✓" } else { "✗" },
                finding.config.display()
            );
            for line in &finding.lines {
                println!("    {line}");
            }
        }
    }
    if findings.iter().all(|finding| finding.sound) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn configs(dir: &Path) -> Vec<PathBuf> {
    let mut folders = vec![dir.to_owned()];
    let below = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut below: Vec<_> = below
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    below.sort();
    folders.append(&mut below);
    let files = folders.iter().flat_map(|folder| {
        ["node.toml", "vault.toml", "issuer.toml", "verifier.toml"].map(|name| folder.join(name))
    });
    files.filter(|path| path.exists()).collect()
}

fn check(path: &Path, quiet: bool) -> Finding {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let result = match &*name {
        "node.toml" => node(path, quiet),
        "vault.toml" => vault(path),
        "issuer.toml" => issuer(path),
        _ => verifier(path),
    };
    match result {
        Ok((lines, details)) => Finding {
            config: path.to_owned(),
            sound: true,
            lines,
            details,
        },
        Err(lines) => Finding {
            config: path.to_owned(),
            sound: false,
            details: json!({ "faults": lines }),
            lines,
        },
    }
}

type Found = Result<(Vec<String>, Value), Vec<String>>;

fn node(path: &Path, quiet: bool) -> Found {
    let failed = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let config = NodeConfig::load(path).map_err(|error| failed(&error))?;
    let genesis = tegata_service::genesis::load(&config.genesis).map_err(|error| failed(&error))?;
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    };
    if let Ok(style) =
        ProgressStyle::with_template("  {bar:40} block {pos} of {len}, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let report = tegata_ledger::fsck(&config.home, &genesis, |height, newest| {
        bar.set_length(newest);
        bar.set_position(height);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| failed(&error))?;
    let line = format!(
        "{} blocks, {} entries, {} keys of the state: headers, certificates, log and state all follow from the genesis",
        report.height, report.entries, report.state_keys
    );
    let details = json!({ "height": report.height, "entries": report.entries, "state_keys": report.state_keys });
    Ok((vec![line], details))
}

fn vault(path: &Path) -> Found {
    let failed = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let config = VaultConfig::load(path).map_err(|error| failed(&error))?;
    let report = tegata_vault::fsck(&config.data).map_err(|error| failed(&error))?;
    if !report.is_sound() {
        return Err(report.faults);
    }
    let mut lines = vec![format!(
        "{} drawers, {} deposits, {} bytes of sealed files, {} orders: receipt chains and digests hold; {} in the outbox",
        report.drawers, report.deposits, report.file_bytes, report.orders, report.outbox
    )];
    lines.extend(
        report.orphans.iter().map(|orphan| {
            format!("{orphan}: a file that no record names, left by a crash; harmless")
        }),
    );
    let details = json!({
        "drawers": report.drawers, "deposits": report.deposits, "file_bytes": report.file_bytes,
        "orders": report.orders, "outbox": report.outbox, "orphans": report.orphans,
    });
    Ok((lines, details))
}

fn issuer(path: &Path) -> Found {
    let failed = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let config = IssuerConfig::load(path).map_err(|error| failed(&error))?;
    let report = tegata_issuer::fsck(&config.data).map_err(|error| failed(&error))?;
    if !report.is_sound() {
        return Err(report.faults);
    }
    let line = format!(
        "{} records, {} deposited, {} on their way: papers, files and receipts hold",
        report.records, report.deposited, report.sealed
    );
    Ok((
        vec![line],
        json!({ "records": report.records, "deposited": report.deposited, "sealed": report.sealed }),
    ))
}

fn verifier(path: &Path) -> Found {
    let failed = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let config = VerifierConfig::load(path).map_err(|error| failed(&error))?;
    let report = tegata_verifier::fsck(&config).map_err(|error| failed(&error))?;
    if !report.is_sound() {
        return Err(report.faults);
    }
    let line = format!(
        "{} requests, {} grants, {} readings, {} copies, {} decisions: all can be opened and fit together",
        report.requests, report.grants, report.readings, report.copies, report.decisions
    );
    let details = json!({ "requests": report.requests, "grants": report.grants, "readings": report.readings,
        "copies": report.copies, "decisions": report.decisions });
    Ok((vec![line], details))
}
