//! Bitstring Status List v1.0 (W3C): one signed credential says of many which are revoked or suspended. The page is
//! `bitstring-status-list.md`.
//!
//! One bit for each credential, the first in the most significant bit of the first byte; GZIP; multibase base64url (`u…`).
//! At least 131,072 entries, so that the index of one says little about whom it is.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use crate::data_integrity::{CREDENTIALS_V2, VerifiedCredential, is_of_type};
use crate::jws;
use crate::rfc3339::write_time;

/// Fewest entries of a list (§6.1): 16 KiB of bits.
pub const ENTRIES_MIN: u64 = 131_072;
/// Most entries of a list: 2 MiB of bits.
pub const ENTRIES_MAX: u64 = 1 << 24;
/// Largest index in text, in digits.
const INDEX_DIGITS_MAX: usize = 8;

/// Why a status list or a status entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BitstringError {
    /// Fewer entries than the standard asks for.
    #[error("a list has at least {ENTRIES_MIN} entries; this has {0}")]
    TooShort(u64),
    /// More entries than we read.
    #[error("a list has at most {ENTRIES_MAX} entries")]
    TooLong,
    /// No such entry.
    #[error("index {index} is outside the list of {len}")]
    IndexOutOfRange {
        /// The index.
        index: u64,
        /// Entries.
        len: u64,
    },
    /// `encodedList` is not what it must be.
    #[error("encodedList is not GZIP in multibase base64url")]
    Encoding,
    /// The credential is no status list; with the member at fault.
    #[error("the status list's `{0}` is missing or wrong")]
    List(&'static str),
    /// An entry under `credentialStatus` that is not of this kind; with the member at fault.
    #[error("the status entry's `{0}` is missing or wrong")]
    Entry(&'static str),
    /// A purpose other than revocation and suspension.
    #[error("the status purpose {0:?} is not read")]
    Purpose(String),
    /// The list says something else than the entry asks for.
    #[error("the list is for {found}, the entry asks for {wanted}")]
    PurposeMismatch {
        /// The list's.
        found: &'static str,
        /// The entry's.
        wanted: &'static str,
    },
    /// Another list than the entry names.
    #[error("this is the list {found:?}, not {wanted:?}")]
    ListMismatch {
        /// Its id.
        found: String,
        /// The id in the entry.
        wanted: String,
    },
    /// A list of another issuer.
    #[error("the list is of {found}, the credential of {wanted}")]
    IssuerMismatch {
        /// The list's issuer.
        found: String,
        /// The credential's issuer.
        wanted: String,
    },
}

impl BitstringError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooShort(_) => "bitstring_too_short",
            Self::TooLong => "bitstring_too_long",
            Self::IndexOutOfRange { .. } => "bitstring_index_out_of_range",
            Self::Encoding => "bitstring_encoding_invalid",
            Self::List(_) => "bitstring_list_invalid",
            Self::Entry(_) => "bitstring_entry_invalid",
            Self::Purpose(_) => "bitstring_purpose_unsupported",
            Self::PurposeMismatch { .. } => "bitstring_purpose_mismatch",
            Self::ListMismatch { .. } => "bitstring_list_mismatch",
            Self::IssuerMismatch { .. } => "bitstring_issuer_mismatch",
        }
    }
}

/// What a set bit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusPurpose {
    /// Gone for good.
    Revocation,
    /// Not to be used until the suspension is lifted.
    Suspension,
}

impl StatusPurpose {
    /// The value of `statusPurpose`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Suspension => "suspension",
        }
    }

    /// What a value of `statusPurpose` means.
    ///
    /// # Errors
    /// [`BitstringError::Purpose`].
    pub fn from_name(name: &str) -> Result<Self, BitstringError> {
        match name {
            "revocation" => Ok(Self::Revocation),
            "suspension" => Ok(Self::Suspension),
            other => Err(BitstringError::Purpose(other.to_owned())),
        }
    }
}

/// The bits, unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitstring(Vec<u8>);

impl Bitstring {
    /// A list for at least `len` credentials (and at least [`ENTRIES_MIN`]), none of them set.
    ///
    /// # Errors
    /// [`BitstringError::TooLong`].
    pub fn new(len: u64) -> Result<Self, BitstringError> {
        if len > ENTRIES_MAX {
            return Err(BitstringError::TooLong);
        }
        let bytes = usize::try_from(len.max(ENTRIES_MIN).div_ceil(8))
            .map_err(|_| BitstringError::TooLong)?;
        Ok(Self(vec![0; bytes]))
    }

    /// As [`Bitstring::new`], with these set.
    ///
    /// # Errors
    /// [`BitstringError::TooLong`], [`BitstringError::IndexOutOfRange`].
    pub fn from_indexes(
        len: u64,
        set: impl IntoIterator<Item = u64>,
    ) -> Result<Self, BitstringError> {
        let mut out = Self::new(len)?;
        for index in set {
            out.set(index, true)?;
        }
        Ok(out)
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len() as u64 * 8
    }

    /// Whether it has none: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the entry at `index` is set.
    ///
    /// # Errors
    /// [`BitstringError::IndexOutOfRange`].
    pub fn get(&self, index: u64) -> Result<bool, BitstringError> {
        let (byte, mask) = self.place(index)?;
        Ok(self.0[byte] & mask != 0)
    }

    /// Sets or clears the entry at `index`.
    ///
    /// # Errors
    /// [`BitstringError::IndexOutOfRange`].
    pub fn set(&mut self, index: u64, to: bool) -> Result<(), BitstringError> {
        let (byte, mask) = self.place(index)?;
        if to {
            self.0[byte] |= mask;
        } else {
            self.0[byte] &= !mask;
        }
        Ok(())
    }

    fn place(&self, index: u64) -> Result<(usize, u8), BitstringError> {
        let byte = usize::try_from(index / 8)
            .ok()
            .filter(|byte| *byte < self.0.len());
        let byte = byte.ok_or(BitstringError::IndexOutOfRange {
            index,
            len: self.len(),
        })?;
        Ok((byte, 0x80 >> (index % 8)))
    }

    /// `encodedList`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder
            .write_all(&self.0)
            .expect("writing to a Vec cannot fail");
        format!(
            "u{}",
            jws::encode(&encoder.finish().expect("writing to a Vec cannot fail"))
        )
    }

    /// Reads `encodedList`; the decompressor stops at [`ENTRIES_MAX`] entries.
    ///
    /// # Errors
    /// [`BitstringError::Encoding`], [`BitstringError::TooShort`], [`BitstringError::TooLong`].
    pub fn decode(text: &str) -> Result<Self, BitstringError> {
        let compressed = text
            .strip_prefix('u')
            .and_then(|text| jws::decode(text).ok());
        let compressed = compressed.ok_or(BitstringError::Encoding)?;
        let mut bytes = Vec::new();
        GzDecoder::new(compressed.as_slice())
            .take(ENTRIES_MAX / 8 + 1)
            .read_to_end(&mut bytes)
            .map_err(|_| BitstringError::Encoding)?;
        let out = Self(bytes);
        if out.len() > ENTRIES_MAX {
            return Err(BitstringError::TooLong);
        }
        if out.len() < ENTRIES_MIN {
            return Err(BitstringError::TooShort(out.len()));
        }
        Ok(out)
    }
}

/// What a status list credential says besides the bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitstringIssuance<'a> {
    /// Where it is published: its `id`; credentials name it.
    pub uri: &'a str,
    /// The issuer's DID.
    pub issuer: &'a str,
    /// What a set bit means.
    pub purpose: StatusPurpose,
    /// `validFrom`, Unix seconds.
    pub valid_from: i64,
    /// `validUntil`, Unix seconds: after it the list says nothing.
    pub valid_until: Option<i64>,
}

/// The credential of a list, to be signed with [`crate::data_integrity::sign_credential`].
#[must_use]
pub fn list_credential(list: &Bitstring, issuance: &BitstringIssuance<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("@context", json!([CREDENTIALS_V2]));
    put("id", issuance.uri.into());
    put(
        "type",
        json!(["VerifiableCredential", "BitstringStatusListCredential"]),
    );
    put("issuer", issuance.issuer.into());
    put("validFrom", write_time(issuance.valid_from).into());
    if let Some(until) = issuance.valid_until {
        put("validUntil", write_time(until).into());
    }
    put(
        "credentialSubject",
        json!({
            "id": format!("{}#list", issuance.uri),
            "type": "BitstringStatusList",
            "statusPurpose": issuance.purpose.name(),
            "encodedList": list.encode(),
        }),
    );
    out
}

/// Where a credential's status is said: one entry under `credentialStatus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitstringEntry {
    /// The list: `statusListCredential`.
    pub list: String,
    /// `statusListIndex`.
    pub index: u64,
    /// `statusPurpose`.
    pub purpose: StatusPurpose,
}

impl BitstringEntry {
    /// The entry as JSON, for `credentialStatus`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": format!("{}#{}", self.list, self.index),
            "type": "BitstringStatusListEntry",
            "statusPurpose": self.purpose.name(),
            "statusListIndex": self.index.to_string(),
            "statusListCredential": self.list,
        })
    }

    /// The entries of a credential, at least one. An entry of another type or purpose is an error: what is not understood
    /// cannot be called good.
    ///
    /// # Errors
    /// [`BitstringError::Entry`], [`BitstringError::Purpose`].
    pub fn of(credential: &VerifiedCredential) -> Result<Vec<Self>, BitstringError> {
        let entries = credential.statuses();
        if entries.is_empty() {
            return Err(BitstringError::Entry("credentialStatus"));
        }
        entries.into_iter().map(Self::read).collect()
    }

    fn read(entry: &Map<String, Value>) -> Result<Self, BitstringError> {
        let text = |name: &'static str| {
            entry
                .get(name)
                .and_then(Value::as_str)
                .ok_or(BitstringError::Entry(name))
        };
        if !is_of_type(entry, "BitstringStatusListEntry") {
            return Err(BitstringError::Entry("type"));
        }
        if entry.get("statusSize").is_some_and(|size| size != 1) {
            return Err(BitstringError::Entry("statusSize"));
        }
        let index = text("statusListIndex")?;
        let is_number =
            index.len() <= INDEX_DIGITS_MAX && index.bytes().all(|byte| byte.is_ascii_digit());
        let index = index.parse().ok().filter(|_| is_number);
        Ok(Self {
            list: text("statusListCredential")?.to_owned(),
            index: index.ok_or(BitstringError::Entry("statusListIndex"))?,
            purpose: StatusPurpose::from_name(text("statusPurpose")?)?,
        })
    }
}

/// A list from a credential that was verified.
#[derive(Debug, Clone)]
pub struct VerifiedBitstring {
    bits: Bitstring,
    uri: String,
    issuer: String,
    purpose: StatusPurpose,
}

impl VerifiedBitstring {
    /// The list in a verified status list credential.
    ///
    /// # Errors
    /// [`BitstringError`].
    pub fn new(credential: &VerifiedCredential) -> Result<Self, BitstringError> {
        if !credential.is_of_type("BitstringStatusListCredential") {
            return Err(BitstringError::List("type"));
        }
        let uri = credential
            .document()
            .get("id")
            .and_then(Value::as_str)
            .ok_or(BitstringError::List("id"))?;
        let [subject] = credential.subjects()[..] else {
            return Err(BitstringError::List("credentialSubject"));
        };
        if !is_of_type(subject, "BitstringStatusList") {
            return Err(BitstringError::List("credentialSubject"));
        }
        let text = |name: &'static str| {
            subject
                .get(name)
                .and_then(Value::as_str)
                .ok_or(BitstringError::List(name))
        };
        Ok(Self {
            purpose: StatusPurpose::from_name(text("statusPurpose")?)?,
            bits: Bitstring::decode(text("encodedList")?)?,
            uri: uri.to_owned(),
            issuer: credential.issuer().to_owned(),
        })
    }

    /// Whether the bit of a credential's entry is set: revoked or suspended, as its purpose says.
    ///
    /// # Errors
    /// [`BitstringError`] where list, purpose or issuer are not those of the entry, or the index is outside: then the
    /// status is unknown, never good.
    pub fn is_set(
        &self,
        entry: &BitstringEntry,
        credential: &VerifiedCredential,
    ) -> Result<bool, BitstringError> {
        if self.uri != entry.list {
            let (found, wanted) = (self.uri.clone(), entry.list.clone());
            return Err(BitstringError::ListMismatch { found, wanted });
        }
        if self.purpose != entry.purpose {
            let (found, wanted) = (self.purpose.name(), entry.purpose.name());
            return Err(BitstringError::PurposeMismatch { found, wanted });
        }
        if self.issuer != credential.issuer() {
            let (found, wanted) = (self.issuer.clone(), credential.issuer().to_owned());
            return Err(BitstringError::IssuerMismatch { found, wanted });
        }
        self.bits.get(entry.index)
    }

    /// The bits.
    #[must_use]
    pub fn bits(&self) -> &Bitstring {
        &self.bits
    }

    /// Where it is published.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// What a set bit means.
    #[must_use]
    pub fn purpose(&self) -> StatusPurpose {
        self.purpose
    }
}
