//! `tegata issuer import FILE`: sends a CSV file to a running issuer.

use crate::terminal::plain;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use tegata_issuer::import::client::{ImportFile, import_file};
use tegata_issuer::model::Failure;

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
    /// Prints one JSON document, also where nothing is imported (`{"error": {"code", "detail"}}`), and draws no progress bar.
    #[arg(long)]
    pub json: bool,
}

/// Imports. Exit code 0: every row; 1: some rows failed, and are named; 2: nothing was imported.
pub async fn run(options: Options) -> ExitCode {
    let token = match std::fs::read_to_string(&options.token_file) {
        Ok(token) => token,
        Err(error) => {
            let detail = format!("{}: {error}", options.token_file.display());
            return not_imported(options.json, "file-unreadable", &detail);
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
        Err(error) => return not_imported(options.json, error.code(), &error.to_string()),
    };
    if options.json {
        println!("{}", serde_json::to_string(&answer).unwrap_or_default());
    } else {
        println!(
            "{} rows: {} new, {} known already, {} failed",
            answer.rows, answer.accepted, answer.same, answer.failed
        );
        for failure in &answer.failures {
            println!("  {}", plain(&sentence(failure)));
        }
        if answer.failed > 0 {
            let (url, id) = (wanted.url, plain(&answer.id.to_string()));
            println!("All failed rows with their reasons: {url}/v1/imports/{id}/failed.csv");
        }
    }
    if answer.failed == 0 && answer.state == "done" {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn not_imported(as_json: bool, code: &str, detail: &str) -> ExitCode {
    if as_json {
        println!("{}", json!({ "error": { "code": code, "detail": detail } }));
    } else {
        eprintln!("tegata: {}", plain(detail));
    }
    ExitCode::from(2)
}

/// What is wrong with a row, for the person who repairs it: the line is the file's, as an editor shows it.
fn sentence(failure: &Failure) -> String {
    let column = match &failure.column {
        Some(column) => format!(", column \u{201c}{column}\u{201d}"),
        None => String::new(),
    };
    let (line, reason, code) = (failure.row, &failure.reason, &failure.code);
    format!("line {line}{column}: {reason} ({code})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_sentences() {
        let failure = |column: Option<&str>| Failure {
            row: 7,
            column: column.map(str::to_owned),
            code: "not-a-date".to_owned(),
            reason: "日付として読めません".to_owned(),
        };
        assert_eq!(
            sentence(&failure(Some("接種日"))),
            "line 7, column “接種日”: 日付として読めません (not-a-date)"
        );
        assert_eq!(
            sentence(&failure(None)),
            "line 7: 日付として読めません (not-a-date)"
        );
    }
}
