//! `tegata audit --ledger URL --genesis FILE`: everything an outsider can check, from public endpoints alone.
//!
//! All trust begins with the genesis file. Every header's certificate is checked, every entry is executed again with the
//! state machine, and outcomes, log root and state root are compared at every height. So whatever a node's answers are, they
//! are either true or found out, with height and part.

mod node;
mod replay;
mod texts;
mod tree;

pub use tree::StateTree;

use crate::terminal::plain;
use crate::time::parse_time;
use indicatif::{ProgressBar, ProgressStyle};
use node::Node;
use replay::Replay;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tegata_consent::cbor;
use tegata_consent::entry::{Body, Entry};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{CertifiedHeader, FinalHeader};
use tegata_consent::history::verify_history;
use tegata_consent::ids::{EntryId, GrantId};
use tegata_consent::log::{LogLeaf, verify_consistency};
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::state::{Outcome, StateKey};
use tegata_service::ledger::STALE_MS;
use tegata_service::{clock, genesis};

/// What to audit.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Base URL of a ledger node.
    #[arg(long, value_name = "URL")]
    pub ledger: String,
    /// The genesis file, from a source you trust.
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// As of this time instead of now, for a ledger that has ended: RFC 3339, a date, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<u64>,
    /// Prints one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// How far a header may be ahead of the clock, in milliseconds.
const AHEAD_MAX_MS: u64 = 60_000;

/// Most receipts and consent proofs that are asked for, spread over the whole log.
const SAMPLES: usize = 48;

/// Why an audit does not end well.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Something the node says is not so.
    #[error("{}{part}: {detail}", .height.map(|height| format!("height {height}, ")).unwrap_or_default())]
    Fails {
        /// At which height, where it is one.
        height: Option<u64>,
        /// Which part.
        part: String,
        /// What is wrong.
        detail: String,
    },
    /// The audit could not be made.
    #[error("{0}")]
    CannotRun(String),
}

impl AuditError {
    fn at(height: u64, part: impl Into<String>, detail: &dyn std::fmt::Display) -> Self {
        Self::Fails {
            height: Some(height),
            part: part.into(),
            detail: detail.to_string(),
        }
    }

    fn of(part: impl Into<String>, detail: &dyn std::fmt::Display) -> Self {
        Self::Fails {
            height: None,
            part: part.into(),
            detail: detail.to_string(),
        }
    }
}

/// What a successful audit found.
#[derive(Debug)]
pub struct Report {
    /// The last height that was checked.
    pub height: u64,
    /// Time of its block, in milliseconds since 1970.
    pub time_ms: u64,
    /// What was checked, for people.
    pub checks: Vec<String>,
    /// As JSON: counts, and every text that stands on the ledger.
    pub details: Value,
}

/// Audits and prints. Exit code 0: all holds; 1: something does not; 2: the audit could not be made.
pub async fn run(options: Options) -> ExitCode {
    let bar = if options.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::no_length()
    };
    let style = ProgressStyle::with_template("{spinner} height {pos} of {len} {wide_bar} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let result = match genesis::load(&options.genesis) {
        Ok(genesis) => audit(&options.ledger, &genesis, options.at, &bar).await,
        Err(error) => Err(AuditError::CannotRun(error.to_string())),
    };
    bar.finish_and_clear();
    match result {
        Ok(report) => {
            if options.json {
                println!(
                    "{}",
                    json!({ "holds": true, "height": report.height, "checks": report.checks, "details": report.details })
                );
            } else {
                for check in &report.checks {
                    println!("✓ {}", plain(check));
                }
                print_over_askings(&report.details);
                println!("Texts on the ledger:");
                for (field, texts) in report.details["texts"].as_object().into_iter().flatten() {
                    let texts = texts
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str);
                    let texts: Vec<_> = texts.map(plain).collect();
                    println!("    {field}: {}", texts.join("; "));
                }
                println!(
                    "Everything an outsider can check holds, up to height {}.",
                    report.height
                );
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let (code, holds) = if matches!(error, AuditError::Fails { .. }) {
                (1, json!(false))
            } else {
                (2, Value::Null)
            };
            if options.json {
                let (height, part, detail) = match &error {
                    AuditError::Fails {
                        height,
                        part,
                        detail,
                    } => (*height, Some(part), detail),
                    AuditError::CannotRun(detail) => (None, None, detail),
                };
                println!(
                    "{}",
                    json!({ "holds": holds, "height": height, "part": part, "detail": detail })
                );
            } else if code == 1 {
                println!("✗ {}", plain(&error.to_string()));
            } else {
                eprintln!("tegata: cannot audit: {}", plain(&error.to_string()));
            }
            ExitCode::from(code)
        }
    }
}

/// Audits a ledger through one of its nodes, as of a time (`None`: now).
///
/// # Errors
/// [`AuditError`]: the first thing that does not hold, or that the node cannot be asked.
pub async fn audit(
    url: &str,
    genesis: &Genesis,
    at_ms: Option<u64>,
    bar: &ProgressBar,
) -> Result<Report, AuditError> {
    let node = Node::new(url)?;
    let newest: CertifiedHeader = node
        .get(
            "/v1/headers/newest?after=0&wait_ms=10000",
            CertifiedHeader::LIMIT,
            "newest header",
        )
        .await?;
    let end = newest.header.height;
    let age_s = age_s(&newest, at_ms.unwrap_or_else(clock::now_ms))?;
    bar.set_length(end);
    let mut replay = Replay::new(genesis);
    let (mut leaves, mut roots) = (Leaves::default(), vec![]);
    while replay.height() < end {
        let from = replay.height() + 1;
        let headers: Vec<CertifiedHeader> = node
            .get(
                &format!("/v1/headers?from={from}&limit=200"),
                200 * CertifiedHeader::LIMIT,
                "headers",
            )
            .await?;
        if headers.is_empty() {
            return Err(AuditError::at(
                from,
                "header",
                &format!("missing, though the node shows height {end}"),
            ));
        }
        for certified in headers
            .into_iter()
            .take_while(|certified| certified.header.height <= end)
        {
            let size = certified.header.log_size;
            let (height, header) = (replay.height() + 1, replay.header(certified)?);
            let block = leaves.take_until(&node, size, height).await?;
            replay.block(&header, block)?;
            if roots.last().is_none_or(|(last, _)| *last < size) {
                roots.push((size, header.header().log_root));
            }
            bar.set_position(height);
        }
    }
    if replay
        .newest()
        .is_some_and(|header| *header.header() != newest.header)
    {
        return Err(AuditError::at(
            end,
            "header",
            &"the list of headers has another one than /v1/headers/newest",
        ));
    }
    let Some(last) = replay.newest().cloned() else {
        return Err(AuditError::CannotRun("the ledger has no block yet".into()));
    };
    let consistency = consistency(&node, &roots).await?;
    let receipts = receipts(&node, &replay, &last, genesis).await?;
    let grants = grants(&node, &replay, genesis, end).await?;
    let counts = &replay.counts;
    let checks = vec![
        format!(
            "{end} headers from genesis on, each following on the one before and certified by more than two thirds of the validators"
        ),
        format!(
            "{} entries executed again: signatures, order, times and outcomes are as the log says",
            counts.entries
        ),
        format!("log root and state root are what the entries give, at every one of {end} heights"),
        format!("{consistency} consistency proofs between log sizes"),
        format!(
            "{} accesses allowed, each under a grant in force then for that organisation; {} refused",
            counts.allowed, counts.refused
        ),
        format!(
            "{} status lists published, none older than the one before; {} erasures confirmed, each by the organisation that was granted",
            counts.status_lists, counts.erasures
        ),
        format!(
            "{} over-askings, each proven by the organisation's own signature",
            replay.over_askings.len()
        ),
        format!(
            "{receipts} receipts and {grants} consent proofs with complete reading histories, spread over the log"
        ),
        replay.texts.summary(),
        format!("the newest header was {age_s} s old when the node was asked for it"),
    ];
    let details = json!({
        "ledger": url, "chain": genesis.chain_id().to_string(), "height": end, "time_ms": last.header().time_ms,
        "entries": counts.entries, "organisations": counts.organisations, "grants": counts.grants, "revocations": counts.revocations,
        "accesses_allowed": counts.allowed, "accesses_refused": counts.refused, "status_lists": counts.status_lists,
        "erasures_confirmed": counts.erasures, "over_askings": over_askings(&replay), "texts": replay.texts.to_json(),
    });
    Ok(Report {
        height: end,
        time_ms: last.header().time_ms,
        checks,
        details,
    })
}

/// How old the newest header is, in seconds. The node could hide what is newer behind an old one, so none passes; that it is
/// the ledger's is found later.
fn age_s(newest: &CertifiedHeader, at_ms: u64) -> Result<u64, AuditError> {
    let (height, time_ms) = (newest.header.height, newest.header.time_ms);
    if time_ms > at_ms.saturating_add(AHEAD_MAX_MS) {
        let ahead_s = (time_ms - at_ms) / 1000;
        let detail = format!("{ahead_s} s ahead of this clock, or of --at");
        return Err(AuditError::at(height, "newest header", &detail));
    }
    let age_ms = at_ms.saturating_sub(time_ms);
    if age_ms >= STALE_MS {
        let detail = format!(
            "{} s old: the ledger has stopped, or the node hides what is newer; --at TIME audits what there was then",
            age_ms / 1000
        );
        return Err(AuditError::at(height, "newest header", &detail));
    }
    Ok(age_ms / 1000)
}

/// Who asked for more than it was accredited for, and for what.
fn over_askings(replay: &Replay) -> Value {
    let all = replay.over_askings.iter().map(|asked| {
        let id = asked.organisation;
        let name = replay
            .organisation(&id)
            .map(|organisation| organisation.name.en.clone());
        json!({
            "height": asked.height, "organisation": id.to_string(), "name": name,
            "categories": asked.categories, "purpose": asked.purpose, "retention_days": asked.retention_days,
        })
    });
    Value::Array(all.collect())
}

fn print_over_askings(details: &Value) {
    let all = details["over_askings"].as_array();
    for asked in all.into_iter().flatten() {
        let text = |name: &str| plain(asked[name].as_str().unwrap_or("?"));
        let categories = asked["categories"].as_array();
        let categories = categories.into_iter().flatten().filter_map(Value::as_str);
        println!(
            "! height {}: {} ({}) asked for {} for {}, kept {} days, and is not accredited for that",
            asked["height"],
            text("name"),
            text("organisation"),
            plain(&categories.collect::<Vec<_>>().join(", ")),
            text("purpose"),
            asked["retention_days"],
        );
    }
}

/// The log as the node tells it, page by page.
#[derive(Default)]
struct Leaves {
    taken: u64,
    ready: std::collections::VecDeque<LogLeaf>,
}

impl Leaves {
    /// The leaves from where the last call ended up to a log size.
    async fn take_until(
        &mut self,
        node: &Node,
        size: u64,
        height: u64,
    ) -> Result<Vec<LogLeaf>, AuditError> {
        let mut block = Vec::new();
        while self.taken < size {
            if self.ready.is_empty() {
                let page: Vec<LogLeaf> = node
                    .get(
                        &format!("/v1/log?from={}&limit=1000", self.taken),
                        32 << 20,
                        "log",
                    )
                    .await?;
                if page.is_empty() {
                    return Err(AuditError::at(
                        height,
                        "log",
                        &format!("leaf {} is missing, the header says {size}", self.taken),
                    ));
                }
                self.ready.extend(page);
            }
            block.extend(self.ready.pop_front());
            self.taken += 1;
        }
        Ok(block)
    }
}

/// Asks for consistency proofs between neighbouring samples of log sizes.
async fn consistency(
    node: &Node,
    roots: &[(u64, tegata_consent::ids::Hash)],
) -> Result<usize, AuditError> {
    let samples: Vec<_> = spread(roots).filter(|(size, _)| *size > 0).collect();
    for pair in samples.windows(2) {
        let [(old, old_root), (new, new_root)] = pair else {
            continue;
        };
        let part = format!("consistency proof from log size {old} to {new}");
        let path = node
            .get(
                &format!("/v1/log/consistency?from={old}&to={new}"),
                64 << 10,
                &part,
            )
            .await?;
        let path: Vec<tegata_consent::ids::Hash> = path;
        verify_consistency(*old, old_root, *new, new_root, &path)
            .map_err(|error| AuditError::of(part, &error))?;
    }
    Ok(samples.len().saturating_sub(1))
}

/// Asks for receipts of a sample of entries; each must prove the very leaf that the log has.
async fn receipts(
    node: &Node,
    replay: &Replay,
    last: &FinalHeader,
    genesis: &Genesis,
) -> Result<usize, AuditError> {
    let (chain, validators) = (genesis.chain_id(), genesis.validator_set());
    let mut checked = 0;
    for (index, id, leaf) in spread(&replay.entries) {
        let part = format!("receipt of entry {id}");
        let receipt: Receipt = node
            .get(&format!("/v1/entries/{id}"), Receipt::LIMIT, &part)
            .await?;
        let verified = receipt
            .verify(&chain, &validators)
            .map_err(|error| AuditError::of(&part, &error))?;
        if verified.entry.id() != *id || verified.index != *index || verified.leaf.hash() != *leaf {
            return Err(AuditError::of(
                part,
                &"it proves another leaf than the log has",
            ));
        }
        if verified.header.header().height < last.header().height {
            return Err(AuditError::of(
                part,
                &"it is against an older header than the newest",
            ));
        }
        checked += 1;
    }
    Ok(checked)
}

/// Asks for consent proofs of a sample of grants, with the accesses under each; and for the absence of one that is not.
async fn grants(
    node: &Node,
    replay: &Replay,
    genesis: &Genesis,
    end: u64,
) -> Result<usize, AuditError> {
    let (chain, validators) = (genesis.chain_id(), genesis.validator_set());
    let nobody = GrantId(tegata_consent::ids::hash(
        "tegata/audit/no-grant",
        &[&chain.0],
    ));
    let known: Vec<GrantId> = replay.grants().collect();
    let mut checked = 0;
    for id in spread(&known).chain([&nobody]) {
        let part = format!("consent proof of grant {id}");
        let proof: StateProof = node
            .get(&format!("/v1/state/grants/{id}"), StateProof::LIMIT, &part)
            .await?;
        let proven = proof
            .verify_grant(&chain, &validators, id)
            .map_err(|error| AuditError::of(&part, &error))?;
        let ours = replay.value(&StateKey::grant(id));
        let theirs = proven.value.as_ref().map(cbor::encode);
        let height = proven.header.header().height;
        let (unlike, vanished) = (theirs.as_ref() != ours, theirs.is_none() && ours.is_some());
        if height < end || height == end && unlike || vanished {
            return Err(AuditError::of(
                part,
                &format!("at height {height} it proves something else than the entries give"),
            ));
        }
        let Some(state) = proven.value else { continue };
        let mut accesses: Vec<LogLeaf> = Vec::new();
        while (accesses.len() as u64) < state.accesses {
            let path = format!(
                "/v1/grants/{id}/accesses?from={}&limit=1000",
                accesses.len()
            );
            let page: Vec<LogLeaf> = node.get(&path, 32 << 20, &part).await?;
            if page.is_empty() {
                break;
            }
            accesses.extend(page);
        }
        // The ledger goes on: accesses after the proof's header are not its subject.
        accesses.truncate(usize::try_from(state.accesses).unwrap_or(usize::MAX));
        verify_history(&chain, id, &state, &accesses)
            .map_err(|error| AuditError::of(format!("accesses under grant {id}"), &error))?;
        checked += 1;
    }
    Ok(checked)
}

/// At most [`SAMPLES`] of a list, first and last among them.
fn spread<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let count = all.len().min(SAMPLES);
    (0..count).map(move |sample| {
        if count == 1 {
            &all[0]
        } else {
            &all[sample * (all.len() - 1) / (count - 1)]
        }
    })
}

/// What an entry is, in one word, for messages.
fn kind(entry: &Entry) -> &'static str {
    match entry.body() {
        Body::OrganisationRegistered(_) => "registration",
        Body::OrganisationChanged(_) => "change of an organisation",
        Body::OrganisationSuspended(_) => "suspension",
        Body::Grant(_) => "grant",
        Body::Revocation(_) => "revocation",
        Body::Access(_) => "access",
        Body::StatusListPublished(_) => "status list",
        Body::OverAsking(_) => "over-asking",
        Body::ErasureConfirmed(_) => "confirmed erasure",
    }
}

/// An outcome, for messages.
fn outcome_text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Applied => "applied".into(),
        Outcome::Refused(refusal) => format!("refused ({})", refusal.code()),
    }
}

/// An entry of the log: its index, its id and its leaf's hash.
type Logged = (u64, EntryId, tegata_consent::ids::Hash);

/// How long one question to a node may take, and how long all attempts at it together.
const QUESTION: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(40);
