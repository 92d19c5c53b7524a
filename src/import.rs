//! `tegata issuer import FILE`: sends a CSV file to a running issuer.

use std::path::PathBuf;
use std::process::ExitCode;
use tegata_issuer::import::client::{ImportFile, import_file};

/// What to import, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The CSV file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Base URL of the issuer.
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// A file with the bearer token of one of the organisation's systems.
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Record type of all rows; else the file's name or a column says it.
    #[arg(long, value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only checks the rows, stores nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Prints one JSON document and draws no progress bar.
    #[arg(long)]
    pub json: bool,
}

/// Imports. Exit code 0: every row; 1: some rows failed, and are named; 2: nothing was imported.
pub async fn run(options: Options) -> ExitCode {
    let token = match std::fs::read_to_string(&options.token_file) {
        Ok(token) => token,
        Err(error) => {
            eprintln!("tegata: {}: {error}", options.token_file.display());
            return ExitCode::from(2);
        }
    };
    let wanted = ImportFile {
        url: options.issuer.trim_end_matches('/'),
        token: token.trim(),
        path: &options.file,
        kind: options.kind.as_deref(),
        dry_run: options.dry_run,
        progress: !options.json,
    };
    let answer = match import_file(&wanted).await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("tegata: {error}");
            return ExitCode::from(2);
        }
    };
    if options.json {
        println!("{}", serde_json::to_string(&answer).unwrap_or_default());
    } else {
        println!(
            "{} rows: {} new, {} known already, {} failed",
            answer.rows, answer.accepted, answer.same, answer.failed
        );
        for failure in &answer.failures {
            println!("  {failure:?}");
        }
        if answer.failed > 0 {
            println!(
                "All failed rows with their reasons: {}/v1/imports/{}/failed.csv",
                wanted.url, answer.id
            );
        }
    }
    if answer.failed == 0 && answer.state == "done" {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
