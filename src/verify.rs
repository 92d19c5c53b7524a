//! `tegata verify FILE|-`: says what something is, who signed it, whether it holds, and why not.
//!
//! Nothing is believed but the genesis file (`--genesis`) and the files named with `--trust` and `--status`. With `--ledger`
//! a node is asked for proofs, which are checked like everything else. What could not be checked counts as not holding.

mod companions;
mod credential;
mod export;
mod finding;
mod ledger;
mod offline;
mod openid4vp;
mod other;
mod presented;
mod recognise;
mod status;
mod trust;
mod vault;
mod w3c;

pub use finding::{Check, Finding};
pub use recognise::recognise;
pub use trust::{Trust, TrustError};

use crate::input;
use crate::terminal::plain;
use crate::time::parse_time;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to verify, and what to believe.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A credential or presentation, request for a presentation (OpenID4VP), health certificate (`HC1:`) or health card
    /// (`shc:/`), status list (JWT, CWT), receipt, consent proof, header, reading history, deposit receipts, sealed record,
    /// invitation, order, ticket, consent request, entry, export or genesis file; `-` for standard input. Binary, or as hexadecimal or base64url text. At most
    /// 256 MiB.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The ledger's genesis file, from a source you trust.
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// A ledger node to ask for organisations, grants and, through it, where status lists lie. Needs `--genesis`.
    #[arg(long, value_name = "URL", requires = "genesis")]
    pub ledger: Option<String>,
    /// Whom to trust without a node: certificates (PEM, DER), a public key (PEM), a JWK Set, a DID document, a list of certificates, JSON that
    /// maps an issuer to its public keys (`{"did:web:…": [JWK, …]}`), or a saved proof of an organisation
    /// (`GET /v1/state/organisations/{id}`). May be given again.
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
    /// A saved status list (JWT, CWT, Bitstring), or a list of revoked SMART Health Cards. May be given again.
    #[arg(long, value_name = "FILE")]
    pub status: Vec<PathBuf>,
    /// The verifier's signed request (JWT) that a presentation is to answer.
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// Your organisation's `keys.json`, to open what is sealed to it: tickets.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// As of this time instead of now: RFC 3339, a date, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<u64>,
    /// Prints one JSON document: `what`, `holds`, `facts` (each `name`, `value`), `checks` (each `check`, `holds`, the reason
    /// code `code`, `reason`). `holds` is null where a check could not be made.
    #[arg(long)]
    pub json: bool,
}

/// Longest input that is read, in bytes: more than any one record has. Exports of whole vaults may be longer; they are
/// imported, not verified at a glance.
const FILE_MAX: u64 = 256 << 20;

/// Verifies and prints. Exit code 0: everything holds; 1: something does not or could not be checked; 2: nothing could be
/// said (the file cannot be read or recognised, or what to believe cannot).
pub async fn run(options: Options) -> ExitCode {
    match examine(&options).await {
        Ok(finding) => {
            print(&finding, options.json);
            if finding.holds() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            if options.json {
                println!("{}", json!({ "holds": Value::Null, "error": error }));
            } else {
                eprintln!("tegata: {}", plain(&error));
            }
            ExitCode::from(2)
        }
    }
}

async fn examine(options: &Options) -> Result<Finding, String> {
    let bytes = input::read(&options.file, FILE_MAX)
        .map_err(|error| format!("cannot read {}: {error}", options.file.display()))?;
    let trust = Trust::load(options)
        .await
        .map_err(|error| error.to_string())?;
    let finding = recognise(&bytes, &trust).await;
    finding.ok_or_else(|| other::hint(&bytes))
}

fn print(finding: &Finding, as_json: bool) {
    if as_json {
        println!("{}", finding.to_json());
        return;
    }
    println!("{}", plain(&finding.what));
    for (name, value) in &finding.facts {
        println!("    {name}: {}", plain(value));
    }
    for check in &finding.checks {
        let sign = match check.holds {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "?",
        };
        println!("{sign} {}: {}", check.name, plain(&check.reason));
    }
    println!(
        "{}",
        if finding.holds() {
            "Everything holds."
        } else {
            "NOT everything holds."
        }
    );
}
