//! `tegata fsck DIR`: everything an operator can check on disk.
//!
//! Finds the services below a directory by their configuration files (`node.toml`, `vault.toml`, `issuer.toml`,
//! `verifier.toml`), there and one folder down.

use crate::terminal::{plain, plain_lines};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
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
    state: State,
    /// For people, one line each.
    lines: Vec<String>,
    details: Value,
}

/// How a service's store is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    Unsound,
    /// Nobody knows: it could not be checked.
    Unchecked,
}

/// Why there is no finding of soundness.
enum Fault {
    /// What is wrong, one line each.
    Unsound(Vec<String>),
    /// Why it could not be checked.
    Unchecked(String),
}

impl Fault {
    fn unsound(error: &dyn std::fmt::Display) -> Self {
        Self::Unsound(vec![error.to_string()])
    }

    fn unchecked(error: &dyn std::fmt::Display) -> Self {
        Self::Unchecked(error.to_string())
    }
}

type Found = Result<(Vec<String>, Value), Fault>;

/// Checks. Exit code 0: all sound; 1: something is not; 2: nothing to check, or something could not be checked.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let dir = options.dir.display();
    let configs = configs(&options.dir).map_err(|error| format!("{dir}: {error}"));
    let configs = match configs {
        Ok(configs) if configs.is_empty() => Err(format!(
            "no node.toml, vault.toml, issuer.toml or verifier.toml in {dir} or one folder below"
        )),
        configs => configs,
    };
    let configs = match configs {
        Ok(configs) => configs,
        Err(error) => {
            if options.json {
                println!("{}", json!({ "error": error }));
            } else {
                eprintln!("tegata: {}", plain(&error));
            }
            return ExitCode::from(2);
        }
    };
    let findings: Vec<_> = configs
        .iter()
        .map(|path| check(path, options.json))
        .collect();
    if options.json {
        let all: Vec<_> = findings
            .iter()
            .map(|finding| {
                let checked = finding.state != State::Unchecked;
                let sound = checked.then_some(finding.state == State::Sound);
                json!({ "config": finding.config, "checked": checked, "sound": sound, "details": finding.details })
            })
            .collect();
        println!("{}", Value::Array(all));
    } else {
        for finding in &findings {
            let sign = match finding.state {
                State::Sound => "✓",
                State::Unsound => "✗",
                State::Unchecked => "?",
            };
            println!("{sign} {}", plain(&finding.config.display().to_string()));
            for line in &finding.lines {
                println!("    {}", plain_lines(line, 8));
            }
        }
    }
    let any = |state| findings.iter().any(|finding| finding.state == state);
    if any(State::Unsound) {
        ExitCode::FAILURE
    } else if any(State::Unchecked) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

fn configs(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        below.push(entry?.path());
    }
    below.retain(|path| path.is_dir());
    below.sort();
    below.insert(0, dir.to_owned());
    let files = below.iter().flat_map(|folder| {
        ["node.toml", "vault.toml", "issuer.toml", "verifier.toml"].map(|name| folder.join(name))
    });
    Ok(files.filter(|path| path.exists()).collect())
}

fn check(path: &Path, quiet: bool) -> Finding {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::no_length()
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    let result = match &*name {
        // Opening a pipe waits for whoever writes into it.
        _ if !path.is_file() => Err(Fault::Unchecked("it is no file".to_owned())),
        "node.toml" => node(path, &bar),
        "vault.toml" => vault(path, &bar),
        "issuer.toml" => issuer(path, &bar),
        _ => verifier(path, &bar),
    };
    bar.finish_and_clear();
    let (state, lines, details) = match result {
        Ok((lines, details)) => (State::Sound, lines, details),
        Err(Fault::Unsound(lines)) => {
            let details = json!({ "faults": lines });
            (State::Unsound, lines, details)
        }
        Err(Fault::Unchecked(why)) => {
            let details = json!({ "unchecked": why });
            (State::Unchecked, vec![why], details)
        }
    };
    Finding {
        config: path.to_owned(),
        state,
        lines,
        details,
    }
}

/// Counts on the bar, by a word for what is counted.
fn counting<'a>(bar: &'a ProgressBar, what: &str) -> impl FnMut(u64) + use<'a> {
    let template = format!("  {{spinner}} {{pos}} {what}, {{per_sec}}, {{elapsed}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    move |count| bar.set_position(count)
}

fn node(path: &Path, bar: &ProgressBar) -> Found {
    let config = NodeConfig::load(path).map_err(|error| Fault::unchecked(&error))?;
    let genesis =
        tegata_service::genesis::load(&config.genesis).map_err(|error| Fault::unchecked(&error))?;
    if let Ok(style) =
        ProgressStyle::with_template("  {bar:40} block {pos} of {len}, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let report = tegata_ledger::fsck(&config.home, &genesis, |height, newest| {
        bar.set_length(newest);
        bar.set_position(height);
    });
    let report = report.map_err(|error| match error {
        tegata_ledger::FsckError::Store(error) if error.is_locked() => Fault::Unchecked(format!(
            "a node runs on {}: stop the service first, then check again",
            config.home.display()
        )),
        error => Fault::unsound(&error),
    })?;
    let line = format!(
        "{} blocks, {} entries, {} keys of the state: headers, certificates, log and state all follow from the genesis",
        report.height, report.entries, report.state_keys
    );
    let details = json!({ "height": report.height, "entries": report.entries, "state_keys": report.state_keys });
    Ok((vec![line], details))
}

fn vault(path: &Path, bar: &ProgressBar) -> Found {
    let config = VaultConfig::load(path).map_err(|error| Fault::unchecked(&error))?;
    let report = tegata_vault::fsck(&config.data, counting(bar, "deposits"))
        .map_err(|error| Fault::unsound(&error))?;
    if !report.is_sound() {
        return Err(Fault::Unsound(report.faults));
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

fn issuer(path: &Path, bar: &ProgressBar) -> Found {
    let config = IssuerConfig::load(path).map_err(|error| Fault::unchecked(&error))?;
    let report = tegata_issuer::fsck(&config.data, counting(bar, "records"))
        .map_err(|error| Fault::unsound(&error))?;
    if !report.is_sound() {
        return Err(Fault::Unsound(report.faults));
    }
    let mut lines = vec![format!(
        "{} records, {} deposited, {} on their way: papers, files and receipts hold",
        report.records, report.deposited, report.sealed
    )];
    lines.extend(report.leftovers.iter().map(|file| {
        format!(
            "{file}: an upload that belongs to no import, left by a crash; the next start erases it"
        )
    }));
    let details = json!({ "records": report.records, "deposited": report.deposited, "sealed": report.sealed,
        "leftovers": report.leftovers });
    Ok((lines, details))
}

fn verifier(path: &Path, bar: &ProgressBar) -> Found {
    let config = VerifierConfig::load(path).map_err(|error| Fault::unchecked(&error))?;
    let report = tegata_verifier::fsck(&config, counting(bar, "rows"))
        .map_err(|error| Fault::unsound(&error))?;
    if !report.is_sound() {
        return Err(Fault::Unsound(report.faults));
    }
    let line = format!(
        "{} requests, {} grants, {} readings, {} copies, {} decisions: all can be opened and fit together",
        report.requests, report.grants, report.readings, report.copies, report.decisions
    );
    let details = json!({ "requests": report.requests, "grants": report.grants, "readings": report.readings,
        "copies": report.copies, "decisions": report.decisions });
    Ok((vec![line], details))
}
