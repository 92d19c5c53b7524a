//! Consent requests: who asks for what, why, how long, under which reference.

use crate::core::Core;
use crate::random;
use crate::rows::{RequestRow, StoreError};
use crate::store::RequestId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tegata_consent::cose::Signed;
use tegata_consent::ids::Nonce;
use tegata_consent::request::ConsentRequest;
use tegata_consent::ticket::request_digest;
use tegata_records::{Category, LegalBasis, Purpose};
use tegata_service::clock;
use tegata_service::ledger::LedgerError;
use utoipa::ToSchema;

/// What to ask for.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRequest {
    /// Category codes.
    pub(crate) categories: Vec<String>,
    /// Purpose code.
    pub(crate) purpose: String,
    /// Legal basis code (ISO/IEC TS 27560).
    pub(crate) legal_basis: String,
    /// How long copies are kept, in days.
    pub(crate) retention_days: u32,
    /// Until when reading is asked for, in milliseconds since 1970.
    pub(crate) until_ms: u64,
    /// How many readings; absent: no limit.
    #[serde(default)]
    pub(crate) uses_max: Option<u32>,
    /// Patient or policy number. It stays here: the signed request holds a random number in its place.
    pub(crate) reference: String,
}

/// A consent request that was made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct MadeRequest {
    /// Its id: 128 random bits.
    pub(crate) id: String,
    /// What the person opens.
    pub(crate) link: String,
    /// The link as a QR code.
    pub(crate) qr_svg: String,
    /// Until when it may be answered, in milliseconds since 1970.
    pub(crate) expires_ms: u64,
}

/// How far ahead a grant may end: a person's life. What lies beyond is a mistake, most often one of units.
const UNTIL_AHEAD_MAX_MS: u64 = 100 * 366 * 86_400_000;

/// Why a consent request is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Something that no registry would allow.
    #[error("{0}")]
    Invalid(&'static str),
    /// This organisation is not in the registry.
    #[error("this organisation is not in the registry")]
    NotRegistered,
    /// This organisation is suspended.
    #[error("this organisation is suspended")]
    Suspended,
    /// The registry does not accredit us.
    #[error(
        "not accredited to ask for {categories:?} for {purpose:?}, kept for {retention_days} days"
    )]
    NotAccredited {
        /// For what.
        purpose: String,
        /// For which categories.
        categories: Vec<String>,
        /// Kept how long, in days.
        retention_days: u32,
    },
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The picture.
    #[error(transparent)]
    Qr(#[from] tegata_service::qr::QrError),
}

impl NewRequest {
    /// Checks what can be checked without the registry; sorts the categories.
    fn check(&mut self, now_ms: u64) -> Result<(), RequestError> {
        let invalid = |reason| Err(RequestError::Invalid(reason));
        self.categories.sort_unstable();
        if !self.categories.is_sorted_by(|a, b| a < b) {
            return invalid("categories: one of them is named twice");
        }
        if self.categories.is_empty()
            || self
                .categories
                .iter()
                .any(|code| Category::from_code(code).is_none())
        {
            return invalid("categories: at least one, and only those of the catalogue");
        }
        if Purpose::from_code(&self.purpose).is_none() {
            return invalid("purpose: not one of the catalogue");
        }
        if LegalBasis::from_code(&self.legal_basis).is_none() {
            return invalid("legal_basis: not one of the catalogue");
        }
        if self.reference.trim().is_empty()
            || self.reference.len() > 200
            || self.reference.contains(char::is_control)
        {
            return invalid("reference: 1 to 200 bytes without control characters");
        }
        if self.until_ms <= now_ms {
            return invalid("until_ms: not in the future");
        }
        if self.until_ms - now_ms > UNTIL_AHEAD_MAX_MS {
            return invalid(
                "until_ms: more than 100 years ahead; milliseconds since 1970 are meant",
            );
        }
        if self.uses_max == Some(0) {
            return invalid("uses_max: at least 1");
        }
        Ok(())
    }
}

/// Signs and keeps a consent request, if the registry says that we may ask.
pub(crate) async fn make(core: &Core, mut new: NewRequest) -> Result<MadeRequest, RequestError> {
    let now_ms = clock::now_ms();
    new.check(now_ms)?;
    let proven = core.ledger.organisation(&core.us).await?;
    let own = proven.value.ok_or(RequestError::NotRegistered)?;
    if own.suspended_at(proven.header.header().time_ms) {
        return Err(RequestError::Suspended);
    }
    if !own.may_ask(&new.purpose, &new.categories, new.retention_days) {
        let NewRequest {
            purpose,
            categories,
            retention_days,
            ..
        } = new;
        return Err(RequestError::NotAccredited {
            purpose,
            categories,
            retention_days,
        });
    }
    let expires_ms = new.until_ms.min(now_ms.saturating_add(core.request_ttl_ms));
    let request = ConsentRequest {
        recipient: core.us,
        categories: new.categories,
        purpose: new.purpose,
        legal_basis: new.legal_basis,
        retention_days: new.retention_days,
        until_ms: new.until_ms,
        uses_max: new.uses_max,
        reference: hex::encode(random::bytes::<16>()),
        expires_ms,
        nonce: Nonce(random::bytes()),
    };
    let signed = request.sign(&core.keys.sign, &core.chain).to_bytes();
    let id: RequestId = random::bytes();
    let link = format!(
        "{}/#/request?from={}&id={}",
        core.wallet_url,
        core.us,
        hex::encode(id)
    );
    let qr_svg = tegata_service::qr::svg(&link)?;
    let row = RequestRow {
        signed: URL_SAFE_NO_PAD.encode(&signed),
        expires_ms,
        answered_by: None,
        reference: Some(new.reference),
    };
    core.store(move |store| store.put_request(&id, &request_digest(&signed), &row))
        .await?;
    metrics::counter!("tegata_verifier_requests_total").increment(1);
    Ok(MadeRequest {
        id: hex::encode(id),
        link,
        qr_svg,
        expires_ms,
    })
}
