//! What the issuer remembers of records, pairings, invitations and imports.
//!
//! Architecture invariant: once a record is deposited, its claims and sealed bytes are erased here; what stays is which
//! source record it was (with a digest, to know it again), where it lies, and its place in a status list.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use tegata_consent::ids::{DrawerId, Hash, OrganisationId, RecordId, hash};
use tegata_credential::status_list::{RECALLED, Status as ListStatus};

/// Where a record stands.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cbor(index_only)]
pub enum Status {
    /// The person has no vault here yet, or has not invited this record type, or the invitation is over.
    #[n(1)]
    Waiting,
    /// To be signed and sealed.
    #[n(2)]
    Queued,
    /// Signed and sealed, to be deposited. People are told `queued`.
    #[n(3)]
    Sealed,
    /// In the person's vault; the host's receipt is here.
    #[n(4)]
    Deposited,
    /// Taken back: its bit in the status list is set, or it was never sent.
    #[n(5)]
    Revoked,
    /// Taken back, and another record replaces it.
    #[n(6)]
    Corrected,
    /// Cannot be issued or deposited; the reason says why. Sending the source record again tries again.
    #[n(7)]
    Refused,
    /// Taken back because it was bound to the wrong person: those who hold it drop their copies.
    #[n(8)]
    Recalled,
    /// A W3C credential, signed for one of the organisation's own systems, which hands it over.
    #[n(9)]
    Issued,
}

impl Status {
    /// All, in the order of [`Status::index`].
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Queued,
        Self::Sealed,
        Self::Deposited,
        Self::Revoked,
        Self::Corrected,
        Self::Refused,
        Self::Recalled,
        Self::Issued,
    ];

    /// Its place in [`Status::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word in the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued | Self::Sealed => "queued",
            Self::Deposited => "deposited",
            Self::Revoked => "revoked",
            Self::Corrected => "corrected",
            Self::Refused => "refused",
            Self::Recalled => "recalled",
            Self::Issued => "issued",
        }
    }

    /// The statuses with that word.
    pub fn with_word(word: &str) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |status| status.word() == word)
    }

    /// Whether it was taken back, in whatever way.
    #[must_use]
    pub const fn is_taken_back(self) -> bool {
        matches!(self, Self::Revoked | Self::Corrected | Self::Recalled)
    }

    /// Whether there is work to do.
    #[must_use]
    pub const fn is_queued(self) -> bool {
        matches!(self, Self::Queued | Self::Sealed)
    }
}

/// What was signed and sealed, and for whom.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Sealing {
    /// Where it goes.
    #[n(1)]
    pub host: OrganisationId,
    /// Into which drawer.
    #[n(2)]
    pub drawer: DrawerId,
    /// Digest of the invitation under which it goes.
    #[n(3)]
    pub invitation: Hash,
    /// Digest of the signed deposit.
    #[n(4)]
    pub deposit: Hash,
}

/// A place in a status list. A record keeps its place when it must be sealed again.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq)]
#[cbor(map)]
pub struct StatusPlace {
    /// Number of the list.
    #[n(1)]
    pub list: u32,
    /// Index in the list.
    #[n(2)]
    pub index: u32,
}

/// Why and when a record was taken back.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Revocation {
    /// In milliseconds since 1970.
    #[n(1)]
    pub at_ms: u64,
    /// In the organisation's words.
    #[n(2)]
    pub reason: String,
}

/// A record.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Record {
    /// Its id, random; also in the vault.
    #[n(1)]
    pub id: RecordId,
    /// The organisation's own number for the person.
    #[n(2)]
    pub subject: String,
    /// Record type in the catalogue.
    #[n(3)]
    pub record_type: String,
    /// Which of the organisation's systems sent it.
    #[n(4)]
    pub system: String,
    /// That system's id for it.
    #[n(5)]
    pub source_id: String,
    /// Digest of its content, to know it again.
    #[n(6)]
    pub digest: Hash,
    /// The record's date, in milliseconds since 1970.
    #[n(7)]
    pub date_ms: u64,
    /// Claims as JSON; absent once they are in the vault.
    #[n(8)]
    pub claims: Option<ByteVec>,
    /// Where it stands.
    #[n(9)]
    pub status: Status,
    /// Why it waits or was refused, or what went wrong last.
    #[n(10)]
    pub reason: Option<String>,
    /// When it was accepted, in milliseconds since 1970.
    #[n(11)]
    pub accepted_ms: u64,
    /// How often depositing failed since it was sealed.
    #[n(12)]
    pub attempts: u32,
    /// Not to be tried before, in milliseconds since 1970.
    #[n(13)]
    pub due_ms: u64,
    /// Once it is sealed.
    #[n(14)]
    pub sealing: Option<Sealing>,
    /// Once it was sealed for the first time.
    #[n(15)]
    pub place: Option<StatusPlace>,
    /// The host's signed receipt.
    #[n(16)]
    pub receipt: Option<ByteVec>,
    /// When the receipt was stored, in milliseconds since 1970.
    #[n(17)]
    pub deposited_ms: Option<u64>,
    /// The record that it corrects, where that one was sealed.
    #[n(18)]
    pub replaces: Option<RecordId>,
    /// The record that corrects it.
    #[n(19)]
    pub replaced_by: Option<RecordId>,
    /// When it was taken back.
    #[n(20)]
    pub revocation: Option<Revocation>,
    /// Since when and why it is suspended.
    #[n(21)]
    pub suspension: Option<Revocation>,
}

impl Record {
    /// What the status list says of it.
    #[must_use]
    pub const fn list_status(&self) -> ListStatus {
        match self.status {
            Status::Recalled => RECALLED,
            Status::Revoked | Status::Corrected => ListStatus::Invalid,
            _ if self.suspension.is_some() => ListStatus::Suspended,
            _ => ListStatus::Valid,
        }
    }
}

/// A pairing code that was given out; the code itself is not kept.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Pairing {
    /// The organisation's own number for the person.
    #[n(1)]
    pub subject: String,
    /// Which system asked for it.
    #[n(2)]
    pub system: String,
    /// Answered before this time, in milliseconds since 1970.
    #[n(3)]
    pub expires_ms: u64,
    /// Digest of the invitation that answered it.
    #[n(4)]
    pub answered: Option<Hash>,
    /// [`tegata_consent::invitation::pairing_hash`] of the code with its hyphens.
    #[n(5)]
    pub grouped: Hash,
}

/// A person's newest invitation.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Invited {
    /// The signed invitation.
    #[n(1)]
    pub invitation: ByteVec,
    /// When it was accepted, in milliseconds since 1970.
    #[n(2)]
    pub accepted_ms: u64,
}

/// A receipt that a host gave. Others deposit into the same drawer, and receipts arrive in any order, so ours need not
/// follow on each other; but of two neighbours the later one must name the earlier, and no number comes twice.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct KnownReceipt {
    /// What it names as the head before it.
    #[n(1)]
    pub previous: Hash,
    /// Its own [`tegata_consent::deposit::receipt_head`].
    #[n(2)]
    pub head: Hash,
}

/// How far an import is.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq)]
#[cbor(index_only)]
pub enum ImportState {
    /// Its rows are being read.
    #[n(1)]
    Running,
    /// All rows were read; some may have failed.
    #[n(2)]
    Done,
    /// The file as a whole is refused.
    #[n(3)]
    Refused,
}

impl ImportState {
    /// The word in the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// Something wrong with one cell, one row, or a whole file. Repeats no cell.
#[derive(
    Encode,
    Decode,
    Debug,
    Clone,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[cbor(map)]
pub struct Failure {
    /// Line of the file, the header being line 1.
    #[n(1)]
    pub row: u64,
    /// Header of the column, where it is one column's fault.
    #[n(2)]
    pub column: Option<String>,
    /// Stable reason code.
    #[n(3)]
    pub code: String,
    /// For people, in Japanese.
    #[n(4)]
    pub reason: String,
}

/// An import of one CSV file.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Import {
    /// Its id, random.
    #[n(1)]
    pub id: RecordId,
    /// Name of the file.
    #[n(2)]
    pub name: String,
    /// Which system sent it: the source system of its records.
    #[n(3)]
    pub system: String,
    /// Record type of all rows, where it was said.
    #[n(4)]
    pub kind: Option<String>,
    /// Whether nothing is to be stored.
    #[n(5)]
    pub dry_run: bool,
    /// Where the file lies.
    #[n(6)]
    pub path: String,
    /// Whether the file came through the watched folder.
    #[n(7)]
    pub watched: bool,
    /// How far it is.
    #[n(8)]
    pub state: ImportState,
    /// When it began, in milliseconds since 1970.
    #[n(9)]
    pub started_ms: u64,
    /// When it ended, in milliseconds since 1970.
    #[n(10)]
    pub ended_ms: Option<u64>,
    /// Size of the file in bytes.
    #[n(11)]
    pub bytes_total: u64,
    /// How much of it was read, in bytes.
    #[n(12)]
    pub bytes_read: u64,
    /// Rows read, without the header.
    #[n(13)]
    pub rows: u64,
    /// Rows that became new records.
    #[n(14)]
    pub accepted: u64,
    /// Rows whose records were here already.
    #[n(15)]
    pub same: u64,
    /// Rows that failed.
    #[n(16)]
    pub failed: u64,
    /// Length of the file of failed rows in bytes.
    #[n(17)]
    pub failed_bytes: u64,
    /// The first failures, or why the file as a whole is refused.
    #[n(18)]
    pub failures: Vec<Failure>,
    /// Encoding that was found.
    #[n(19)]
    pub encoding: Option<String>,
}

impl Import {
    /// Most failures that are kept beside the file of failed rows.
    pub const FAILURES_MAX: usize = 100;
}

/// Digest of a record's content: whose, of which type, and the claims with sorted keys.
#[must_use]
pub fn content_digest(subject: &str, record_type: &str, claims: &serde_json::Value) -> Hash {
    let length = |text: &str| (text.len() as u64).to_be_bytes();
    let mut canonical = String::new();
    write_sorted(claims, &mut canonical);
    let parts: [&[u8]; 5] = [
        &length(subject),
        subject.as_bytes(),
        &length(record_type),
        record_type.as_bytes(),
        canonical.as_bytes(),
    ];
    Hash(hash("tegata/v1/issuer/content", &[&parts.concat()]))
}

/// JSON with sorted keys and no white space.
fn write_sorted(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    let text = |text: &str| Value::String(text.to_owned()).to_string();
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&text(name));
                out.push(':');
                write_sorted(&members[name], out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_sorted(element, out);
            }
            out.push(']');
        }
        simple => out.push_str(&simple.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order() {
        for (index, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status.index(), index);
        }
        assert_eq!(
            Status::with_word("queued").collect::<Vec<_>>(),
            [Status::Queued, Status::Sealed]
        );
    }

    #[test]
    fn the_digest_is_of_the_content() {
        let parse = |text: &str| serde_json::from_str(text).unwrap();
        let claims = parse(r#"{"b":[1,{"y":"\n","x":2}],"a":1.5}"#);
        let digest = content_digest("7", "vaccination", &claims);
        assert_eq!(
            digest,
            content_digest(
                "7",
                "vaccination",
                &parse(r#" {"a":1.5, "b":[1,{"x":2,"y":"\n"}]}"#)
            )
        );
        assert_ne!(digest, content_digest("8", "vaccination", &claims));
        assert_ne!(digest, content_digest("7", "vaccinatio", &claims));
        assert_ne!(
            digest,
            content_digest(
                "7",
                "vaccination",
                &parse(r#"{"b":[1,{"x":2,"y":"\n"}],"a":1.25}"#)
            )
        );
    }
}
