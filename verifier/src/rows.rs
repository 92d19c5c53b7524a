//! What the store holds. Identifiers are hexadecimal and bytes base64url, as on the wire.

use crate::rules;
use crate::verify::Check;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tegata_consent::ids::NotAnId;
use utoipa::ToSchema;

/// A consent request of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRow {
    /// The signed request, base64url.
    pub(crate) signed: String,
    /// Until when it may be answered, in milliseconds since 1970.
    pub(crate) expires_ms: u64,
    /// The vault whose owner answered it first; nobody else may.
    pub(crate) answered_by: Option<String>,
    /// Patient or policy number that the request's random reference stands for. Absent in requests of earlier versions,
    /// which named it themselves.
    #[serde(default)]
    pub(crate) reference: Option<String>,
}

/// A grant whose ticket came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantRow {
    /// Its id.
    pub(crate) grant: String,
    /// The host that carries it.
    pub(crate) host: String,
    /// What it was asked under; where it answers no request of ours, what the ticket names.
    pub(crate) reference: String,
    /// Answers no consent request of ours.
    pub(crate) unsolicited: bool,
    /// The consent request that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// Category codes.
    pub(crate) categories: Vec<String>,
    /// Purpose code.
    pub(crate) purpose: String,
    /// Legal basis code.
    pub(crate) legal_basis: String,
    /// How long copies are kept, in days.
    pub(crate) retention_days: u32,
    /// Stands until before this time, in milliseconds since 1970.
    pub(crate) until_ms: u64,
    /// How many accesses are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uses_max: Option<u32>,
    /// When the ticket came, in milliseconds since 1970.
    pub(crate) received_ms: u64,
}

/// A grant with its ticket, still sealed to our key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketRow {
    pub(crate) row: GrantRow,
    /// As it came, base64url.
    pub(crate) ticket: String,
}

/// What became of one reading. It holds no claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReadingRow {
    /// Entry id of the access.
    pub(crate) access: String,
    /// Under which grant.
    pub(crate) grant: String,
    /// The reference of its ticket.
    pub(crate) reference: String,
    /// `allowed`, or the code of the refusal.
    pub(crate) outcome: String,
    /// Height of the access's block.
    pub(crate) height: u64,
    /// Time of that block, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// The ledger's receipt for the access, base64url.
    pub(crate) receipt: String,
    /// Read with nobody awake.
    pub(crate) standing: bool,
    /// Every record that the host handed out.
    pub(crate) records: Vec<RecordSummary>,
    /// For every drawer that was asked for whole: whether the host left nothing out.
    pub(crate) drawers: Vec<DrawerSummary>,
}

/// A record of a reading, without its claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RecordSummary {
    /// Its id; absent where even that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<String>,
    /// Its type, if verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record_type: Option<String>,
    /// Every check holds.
    pub(crate) verified: bool,
    /// The checks.
    pub(crate) checks: Vec<Check>,
    /// The newer record that corrects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) superseded_by: Option<String>,
    /// What each payout rule for its type and purpose said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<RuleSummary>,
}

/// What a payout rule said of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RuleSummary {
    /// Its name.
    pub(crate) rule: String,
    /// What it said.
    pub(crate) verdict: rules::Verdict,
}

/// Whether a drawer's receipts are complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DrawerSummary {
    /// Which drawer.
    pub(crate) drawer: String,
    /// The receipts are one unbroken chain that continues what was seen before.
    pub(crate) complete: bool,
    /// Why, or why not.
    pub(crate) reason: String,
}

/// Our copy of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CopyRow {
    /// Which record.
    pub(crate) record: String,
    /// Under which grant it was read.
    pub(crate) grant: String,
    /// Its type.
    pub(crate) record_type: String,
    /// Its date, in milliseconds since 1970.
    pub(crate) date_ms: u64,
    /// Who signed it.
    pub(crate) issuer: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub(crate) claims: Value,
    /// As it was signed.
    pub(crate) credential: String,
    /// When it was first read, in milliseconds since 1970.
    pub(crate) read_ms: u64,
    /// When it is deleted, in milliseconds since 1970.
    pub(crate) delete_ms: u64,
    /// The record that it corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<String>,
}

/// That we hold, or held, a copy of a record: what is needed to find out that it was recalled, and to confirm that we dropped
/// it. Kept as long as the copy, and for good once the copy was dropped for a recall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldingRow {
    /// Whose status list says so.
    pub(crate) issuer: String,
    /// Where the list is.
    pub(crate) uri: String,
    /// The record's index in it.
    pub(crate) index: u64,
    /// The access that brought the copy.
    pub(crate) access: String,
    /// Opens its commitment, and the one to the erasure.
    pub(crate) salt: String,
    /// When the copy was dropped, in milliseconds since 1970.
    pub(crate) dropped_ms: Option<u64>,
    /// When the ledger took the confirmation, in milliseconds since 1970.
    pub(crate) confirmed_ms: Option<u64>,
}

/// A copy that was dropped because its record was recalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Recall {
    /// Under which grant it was read.
    pub(crate) grant: String,
    /// Which record. Systems of our own that hold it are to drop it too.
    pub(crate) record: String,
    /// Who recalled it.
    pub(crate) issuer: String,
    /// When our copy was dropped, in milliseconds since 1970.
    pub(crate) dropped_ms: u64,
    /// When the ledger took the confirmation, in milliseconds since 1970; null until then.
    pub(crate) confirmed_ms: Option<u64>,
}

/// A standing reading that is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// How many pings asked for it. A job is done only if none came while it ran.
    pub(crate) pings: u64,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Not before this time, in milliseconds since 1970.
    pub(crate) due_ms: u64,
}

/// A payment that a rule decided. Once for each policy, record and rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DecisionRow {
    /// Its number: 1, 2, 3 …
    pub(crate) number: u64,
    /// Policy number.
    pub(crate) policy: String,
    /// The record it rests on.
    pub(crate) record: String,
    /// The rule's name.
    pub(crate) rule: String,
    /// In the currency's smallest unit.
    pub(crate) amount: u64,
    /// ISO 4217 code.
    pub(crate) currency: String,
    /// Under which grant the record was read.
    pub(crate) grant: String,
    /// By which access.
    pub(crate) access: String,
    /// When, in milliseconds since 1970.
    pub(crate) decided_ms: u64,
}

/// A payment that a rule asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimed<'a> {
    pub(crate) policy: &'a str,
    pub(crate) record: &'a str,
    /// The record that it corrects: what was decided on that one is not decided again on this.
    pub(crate) replaces: Option<&'a str>,
    pub(crate) rule: &'a str,
    pub(crate) pay: &'a rules::Policy,
    pub(crate) grant: &'a str,
    pub(crate) access: &'a str,
    pub(crate) decided_ms: u64,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder.
    #[error("{path}: {error}")]
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// RocksDB.
    #[error("store: {0}")]
    Database(String),
    /// There is none.
    #[error("there is no store in {0}: it is lost, or the verifier never ran")]
    Missing(std::path::PathBuf),
    /// A value that this code did not write, or that is sealed to a key that is not here.
    #[error("the store's {part} {key} is damaged, or sealed to a key that is not here: {reason}")]
    Damaged {
        /// Which part.
        part: &'static str,
        /// Which key, in hexadecimal.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

impl StoreError {
    pub(crate) fn id(part: &'static str) -> impl Fn(NotAnId) -> Self {
        move |error| Self::Damaged {
            part,
            key: error.text.clone(),
            reason: "not an identifier".into(),
        }
    }
}
