//! Token Status List: one signed, compressed list says of many credentials which are revoked.
//!
//! draft-ietf-oauth-status-list in its JWT form (`typ: statuslist+jwt`) and its CWT form
//! (`application/statuslist+cwt`, [`sign_cwt`], [`StatusListCwt`]). The page is
//! `status-list.md`. A list holds 1, 2, 4 or 8 bits per credential, packed from the least
//! significant bit up, compressed with zlib, in base64url without padding.

mod cwt;

pub use cwt::{CWT_MEDIA_TYPE, StatusListCwt, sign_cwt};

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::{Map, Value, json};

use crate::CLOCK_SKEW_S;
use crate::json::JsonFault;
use crate::jws::{self, Jws, JwsFault};
use crate::keys::{PublicKey, SigningKey};
use crate::rfc3339::write_time;

/// `typ` of a status list token.
pub const TYP: &str = "statuslist+jwt";
/// The media type of a status list token.
pub const MEDIA_TYPE: &str = "application/statuslist+jwt";
/// The longest token read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4 * 1024 * 1024;
/// The longest list, uncompressed, in bytes: 16 million credentials at one bit each.
pub const MAX_LIST_BYTES: usize = 2 * 1024 * 1024;

/// What a list says of one credential (Token Status List §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 0: valid.
    Valid,
    /// 1: revoked, for good.
    Invalid,
    /// 2: suspended; may become valid again.
    Suspended,
    /// Any other value: what it means is the issuer's affair; it is not valid.
    Other(u8),
}

/// Recalled: the record was bound to the wrong person, and who holds a copy drops it
/// (`specs/consent/status.md`, section 2). For good.
pub const RECALLED: Status = Status::Other(3);

impl Status {
    /// The number in the list.
    #[must_use]
    pub fn value(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Suspended => 2,
            Self::Other(value) => value,
        }
    }
}

impl From<u8> for Status {
    fn from(value: u8) -> Self {
        match value {
            0 => Self::Valid,
            1 => Self::Invalid,
            2 => Self::Suspended,
            value => Self::Other(value),
        }
    }
}

/// Why a list is not built or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusListError {
    /// `bits` is not 1, 2, 4 or 8.
    #[error("{0} bits per credential; 1, 2, 4 or 8 are possible")]
    Bits(u64),
    /// A status needs more bits than the list has.
    #[error("status {value} does not fit in {bits} bits")]
    ValueTooLarge {
        /// The status.
        value: u8,
        /// Bits per credential.
        bits: u8,
    },
    /// No such index in the list.
    #[error("index {index} is outside a list of {len}")]
    IndexOutOfRange {
        /// The index.
        index: u64,
        /// How many the list holds.
        len: u64,
    },
    /// Token or list exceed [`MAX_TOKEN_BYTES`] or [`MAX_LIST_BYTES`].
    #[error("the status list is larger than {0} bytes")]
    TooLarge(usize),
    /// Not a compact JWS of JSON objects, or not a CWT in COSE_Sign1.
    #[error("the status list token is not well formed")]
    Malformed,
    /// `alg` is `none`.
    #[error("the status list token is not signed: `alg` is none")]
    AlgNone,
    /// `alg` is neither EdDSA nor ES256.
    #[error("`alg` {0:?} is not accepted")]
    AlgUnsupported(String),
    /// `alg` is not what the key is for.
    #[error("`alg` is not the key's")]
    AlgMismatch,
    /// A critical header extension.
    #[error("critical header extensions are not known")]
    Crit,
    /// `typ` is not `statuslist+jwt`, or, of a CWT, not `application/statuslist+cwt`.
    #[error("`typ` is {0:?}, not that of a status list")]
    Typ(Option<String>),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// A claim is missing or has the wrong form.
    #[error("claim `{0}` is missing or has the wrong form")]
    Claim(&'static str),
    /// `lst` is not zlib data in base64url.
    #[error("`lst` is not zlib data in base64url")]
    Compression,
    /// `sub` is not the URI asked for.
    #[error("this is the status list of {found:?}, not of {wanted:?}")]
    UriMismatch {
        /// `sub`.
        found: String,
        /// The URI in the credential.
        wanted: String,
    },
    /// `exp` has come: the status is unknown until a newer list is there.
    #[error("the status list expired at {}; it is {}", write_time(*.exp), write_time(*.at))]
    Expired {
        /// `exp`.
        exp: i64,
        /// The time of verification.
        at: i64,
    },
    /// `iat` is in the future.
    #[error("the status list was issued at {}, after {}", write_time(*.iat), write_time(*.at))]
    IssuedInFuture {
        /// `iat`.
        iat: i64,
        /// The time of verification.
        at: i64,
    },
}

impl StatusListError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bits(_) => "status_bits_invalid",
            Self::ValueTooLarge { .. } => "status_value_too_large",
            Self::IndexOutOfRange { .. } => "status_index_out_of_range",
            Self::TooLarge(_) => "status_list_too_large",
            Self::Malformed => "status_list_malformed",
            Self::AlgNone => "status_list_alg_none",
            Self::AlgUnsupported(_) => "status_list_alg_unsupported",
            Self::AlgMismatch => "status_list_alg_mismatch",
            Self::Crit => "status_list_crit_unsupported",
            Self::Typ(_) => "status_list_typ_unexpected",
            Self::Signature => "status_list_signature_invalid",
            Self::Claim(_) => "status_list_claim_invalid",
            Self::Compression => "status_list_compression_invalid",
            Self::UriMismatch { .. } => "status_list_uri_mismatch",
            Self::Expired { .. } => "status_list_expired",
            Self::IssuedInFuture { .. } => "status_list_issued_in_future",
        }
    }
}

impl From<JwsFault> for StatusListError {
    fn from(fault: JwsFault) -> Self {
        match fault {
            JwsFault::Malformed => Self::Malformed,
            JwsFault::Json(
                JsonFault::Malformed | JsonFault::DuplicateName(_) | JsonFault::TooDeep,
            ) => Self::Malformed,
            JwsFault::AlgNone => Self::AlgNone,
            JwsFault::AlgUnsupported(alg) => Self::AlgUnsupported(alg),
            JwsFault::AlgMismatch => Self::AlgMismatch,
            JwsFault::Crit => Self::Crit,
            JwsFault::Signature => Self::Signature,
        }
    }
}

/// A list, unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: u8,
    bytes: Vec<u8>,
}

impl StatusList {
    /// A list for at least `len` credentials, all valid. The length is rounded up to whole bytes.
    ///
    /// # Errors
    /// [`StatusListError::Bits`], [`StatusListError::TooLarge`].
    pub fn new(bits: u8, len: u64) -> Result<Self, StatusListError> {
        check_bits(u64::from(bits))?;
        let bytes = len
            .checked_mul(u64::from(bits))
            .map(|n| n.div_ceil(8))
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= MAX_LIST_BYTES)
            .ok_or(StatusListError::TooLarge(MAX_LIST_BYTES))?;
        Ok(Self {
            bits,
            bytes: vec![0; bytes],
        })
    }

    /// As [`StatusList::new`], with the statuses that are not `Valid`.
    ///
    /// # Errors
    /// Those of [`StatusList::new`] and [`StatusList::set`].
    pub fn from_entries(
        bits: u8,
        len: u64,
        entries: impl IntoIterator<Item = (u64, Status)>,
    ) -> Result<Self, StatusListError> {
        let mut list = Self::new(bits, len)?;
        for (index, status) in entries {
            list.set(index, status)?;
        }
        Ok(list)
    }

    /// Bits per credential: 1, 2, 4 or 8.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// How many credentials the list has room for.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64 * 8 / u64::from(self.bits)
    }

    /// Whether it has room for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The status at `index`.
    ///
    /// # Errors
    /// [`StatusListError::IndexOutOfRange`].
    pub fn get(&self, index: u64) -> Result<Status, StatusListError> {
        let (byte, shift) = self.place(index)?;
        Ok(Status::from((self.bytes[byte] >> shift) & self.mask()))
    }

    /// Sets the status at `index`.
    ///
    /// # Errors
    /// [`StatusListError::IndexOutOfRange`], [`StatusListError::ValueTooLarge`].
    pub fn set(&mut self, index: u64, status: Status) -> Result<(), StatusListError> {
        let (value, mask) = (status.value(), self.mask());
        if value & !mask != 0 {
            return Err(StatusListError::ValueTooLarge {
                value,
                bits: self.bits,
            });
        }
        let (byte, shift) = self.place(index)?;
        self.bytes[byte] = (self.bytes[byte] & !(mask << shift)) | (value << shift);
        Ok(())
    }

    /// Byte and shift of `index`, checked to be in the list.
    fn place(&self, index: u64) -> Result<(usize, u32), StatusListError> {
        if index >= self.len() {
            return Err(StatusListError::IndexOutOfRange {
                index,
                len: self.len(),
            });
        }
        let bit = index * u64::from(self.bits);
        let byte = usize::try_from(bit / 8).expect("less than the length of a Vec");
        Ok((byte, (bit % 8) as u32))
    }

    fn mask(&self) -> u8 {
        u8::MAX >> (8 - self.bits)
    }

    fn to_compressed(&self) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder
            .write_all(&self.bytes)
            .expect("writing to a Vec cannot fail");
        encoder.finish().expect("writing to a Vec cannot fail")
    }

    fn from_compressed(bits: u8, compressed: &[u8]) -> Result<Self, StatusListError> {
        let mut bytes = Vec::new();
        ZlibDecoder::new(compressed)
            .take(MAX_LIST_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|_| StatusListError::Compression)?;
        if bytes.len() > MAX_LIST_BYTES {
            return Err(StatusListError::TooLarge(MAX_LIST_BYTES));
        }
        Ok(Self { bits, bytes })
    }
}

/// What a status list token says besides the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusListIssuance<'a> {
    /// `sub`: where the token is published; credentials name it.
    pub uri: &'a str,
    /// `iss`, if it is to be said.
    pub issuer: Option<&'a str>,
    /// `iat`, Unix seconds.
    pub issued_at: i64,
    /// `exp`, Unix seconds: after it the list says nothing.
    pub expires_at: Option<i64>,
    /// `ttl`: for how many seconds a copy may be kept before asking again.
    pub ttl_s: Option<u64>,
}

/// Signs `list`: a compact JWS, `typ: statuslist+jwt`, `kid` the key's id.
#[must_use]
pub fn sign(list: &StatusList, issuance: &StatusListIssuance<'_>, key: &SigningKey) -> String {
    let mut claims = Map::new();
    claims.insert("sub".into(), issuance.uri.into());
    if let Some(issuer) = issuance.issuer {
        claims.insert("iss".into(), issuer.into());
    }
    claims.insert("iat".into(), issuance.issued_at.into());
    if let Some(exp) = issuance.expires_at {
        claims.insert("exp".into(), exp.into());
    }
    if let Some(ttl_s) = issuance.ttl_s {
        claims.insert("ttl".into(), ttl_s.into());
    }
    claims.insert(
        "status_list".into(),
        json!({ "bits": list.bits, "lst": jws::encode(&list.to_compressed()) }),
    );
    jws::sign(TYP, true, &claims, key)
}

/// A status list token that nobody has verified.
#[derive(Debug, Clone)]
pub struct StatusListToken(Jws);

impl StatusListToken {
    /// Reads a token; the list stays compressed.
    ///
    /// # Errors
    /// [`StatusListError`]; `status_list_too_large` comes before anything is parsed.
    pub fn parse(token: &str) -> Result<Self, StatusListError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(StatusListError::TooLarge(MAX_TOKEN_BYTES));
        }
        let jws = Jws::parse(token.trim_end())?;
        if jws.typ.as_deref() != Some(TYP) {
            return Err(StatusListError::Typ(jws.typ));
        }
        Ok(Self(jws))
    }

    /// `kid`, unverified.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.kid.as_deref()
    }

    /// `sub`, unverified.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.0.payload.get("sub").and_then(Value::as_str)
    }

    /// Verifies with the issuer's `key`, at Unix second `at`, that this is the list of `uri` (the
    /// one in the credential) and that it is current.
    ///
    /// # Errors
    /// [`StatusListError`].
    pub fn verify(
        &self,
        key: &PublicKey,
        uri: &str,
        at: i64,
    ) -> Result<VerifiedStatusList, StatusListError> {
        self.0.verify(key)?;
        let payload = &self.0.payload;
        let claims = Claims {
            sub: self.uri(),
            issued_at: integer(payload, "iat"),
            expires_at: integer(payload, "exp"),
            ttl_s: integer(payload, "ttl"),
        };
        claims.check(uri, at, || {
            let missing = || StatusListError::Claim("status_list");
            let claim = payload.get("status_list").ok_or_else(missing)?;
            let bits = claim.get("bits").and_then(Value::as_u64);
            let bits = check_bits(bits.ok_or_else(missing)?)?;
            let lst = claim.get("lst").and_then(Value::as_str);
            let compressed = jws::decode(lst.ok_or_else(missing)?);
            let compressed = compressed.map_err(|_| StatusListError::Compression)?;
            StatusList::from_compressed(bits, &compressed)
        })
    }
}

/// What a token says besides the list, as it was read; what is wrong counts only once it is needed,
/// so that both forms refuse in the same order.
struct Claims<'a> {
    sub: Option<&'a str>,
    issued_at: Result<Option<i64>, StatusListError>,
    expires_at: Result<Option<i64>, StatusListError>,
    ttl_s: Result<Option<i64>, StatusListError>,
}

impl Claims<'_> {
    /// That this is the list of `uri` and current at `at`; then reads the list.
    fn check(
        self,
        uri: &str,
        at: i64,
        list: impl FnOnce() -> Result<StatusList, StatusListError>,
    ) -> Result<VerifiedStatusList, StatusListError> {
        let sub = self.sub.ok_or(StatusListError::Claim("sub"))?;
        if sub != uri {
            let (found, wanted) = (sub.to_owned(), uri.to_owned());
            return Err(StatusListError::UriMismatch { found, wanted });
        }
        let issued_at = self.issued_at?.ok_or(StatusListError::Claim("iat"))?;
        if issued_at > at.saturating_add(CLOCK_SKEW_S) {
            return Err(StatusListError::IssuedInFuture { iat: issued_at, at });
        }
        let expires_at = self.expires_at?;
        if let Some(exp) = expires_at.filter(|exp| *exp <= at) {
            return Err(StatusListError::Expired { exp, at });
        }
        let ttl_s = match self.ttl_s? {
            None => None,
            Some(ttl) if ttl > 0 => Some(ttl),
            Some(_) => return Err(StatusListError::Claim("ttl")),
        };
        Ok(VerifiedStatusList {
            list: list()?,
            uri: uri.to_owned(),
            issued_at,
            expires_at,
            ttl_s,
        })
    }
}

/// A status list whose signature, URI and times hold.
#[derive(Debug, Clone)]
pub struct VerifiedStatusList {
    list: StatusList,
    uri: String,
    issued_at: i64,
    expires_at: Option<i64>,
    ttl_s: Option<i64>,
}

impl VerifiedStatusList {
    /// The status at `index`.
    ///
    /// # Errors
    /// [`StatusListError::IndexOutOfRange`]: a credential outside its list has no known status.
    pub fn status_at(&self, index: u64) -> Result<Status, StatusListError> {
        self.list.get(index)
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> &StatusList {
        &self.list
    }

    /// `sub`.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// `iat`, Unix seconds.
    #[must_use]
    pub fn issued_at(&self) -> i64 {
        self.issued_at
    }

    /// `exp`, Unix seconds.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// Until when a copy fetched at `fetched_at` may be used: the earlier of `exp` and
    /// `fetched_at + ttl`; `None` if the issuer sets no bound.
    #[must_use]
    pub fn usable_until(&self, fetched_at: i64) -> Option<i64> {
        let by_ttl = self.ttl_s.map(|ttl_s| fetched_at.saturating_add(ttl_s));
        [self.expires_at, by_ttl].into_iter().flatten().min()
    }
}

fn check_bits(bits: u64) -> Result<u8, StatusListError> {
    match bits {
        1 => Ok(1),
        2 => Ok(2),
        4 => Ok(4),
        8 => Ok(8),
        bits => Err(StatusListError::Bits(bits)),
    }
}

fn integer(
    payload: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<i64>, StatusListError> {
    payload
        .get(name)
        .map(|value| value.as_i64().ok_or(StatusListError::Claim(name)))
        .transpose()
}
