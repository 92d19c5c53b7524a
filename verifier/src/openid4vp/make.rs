//! A request for a presentation, by the organisation's own systems.

use super::object::request_object;
use super::rows::{Policy, PresentationRow, SameDevice, SecretText, Status};
use super::{ClientIdKind, PresentationId};
use crate::core::Core;
use crate::random;
use crate::rows::StoreError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tegata_credential::dcql::{DcqlError, DcqlQuery, FORMAT};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::openid4vp::{Asked, ResponseMode};
use tegata_records::{Category, LegalBasis, Purpose, RecordType, catalogue};
use tegata_service::clock;
use tegata_service::ledger::LedgerError;
use tegata_service::qr::QrError;
use utoipa::ToSchema;

/// How long an unanswered request is kept after its end, for whoever asks what became of it, in milliseconds.
const KEPT_MS: u64 = 86_400_000;

/// What to ask for.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPresentation {
    /// A DCQL query (OpenID4VP 1.0 §6) for types of the catalogue; or `categories`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) dcql: Option<Value>,
    /// Category codes: of each, one record of any of its types, with the claims that every such record has.
    #[serde(default)]
    pub(crate) categories: Option<Vec<String>>,
    /// Purpose code.
    pub(crate) purpose: String,
    /// Legal basis code (ISO/IEC TS 27560).
    pub(crate) legal_basis: String,
    /// How long what is shown is kept, in days.
    pub(crate) retention_days: u32,
    /// Whose wallets may answer.
    pub(crate) policy: Policy,
    /// Patient or policy number. It stays here: the request does not have it.
    pub(crate) reference: String,
    /// How the response travels; absent: encrypted.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) response_mode: Option<ResponseMode>,
    /// How the request names us; absent: as configured.
    #[serde(default)]
    pub(crate) client_id: Option<ClientIdKind>,
    /// The wallet fetches the request by POST, with a nonce of its own.
    #[serde(default)]
    pub(crate) post: bool,
    /// The holder signs who asks for what and why. Always so under `ledger`; under `standard` only wallets that know our
    /// transaction data can answer then.
    #[serde(default)]
    pub(crate) transaction_data: bool,
    /// The person answers on the device on which our page is open: there she goes on here, with a `response_code`.
    #[serde(default)]
    pub(crate) redirect_uri: Option<String>,
}

/// A request that was made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct MadePresentation {
    /// Its id: 128 random bits.
    pub(crate) id: String,
    /// What the person opens in our wallet.
    pub(crate) link: String,
    /// The same for other wallets.
    pub(crate) uri: String,
    /// As a QR code: `link` under policy `ledger`, else `uri`.
    pub(crate) qr_svg: String,
    /// Where the signed request is.
    pub(crate) request_uri: String,
    /// Our client identifier.
    pub(crate) client_id: String,
    /// Until when it may be answered, in milliseconds since 1970.
    pub(crate) expires_ms: u64,
}

/// Why a request is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// Something that no registry would allow.
    #[error("{0}")]
    Invalid(&'static str),
    /// The query.
    #[error("dcql: {0}")]
    Dcql(#[from] DcqlError),
    /// The query asks for a type that is not in the catalogue.
    #[error("dcql: type {0:?} is not in the catalogue")]
    TypeUnknown(String),
    /// The query asks for a claim that the type has not.
    #[error("dcql: type {vct:?} has no claim {path}")]
    ClaimUnknown {
        /// The type.
        vct: String,
        /// The claim.
        path: String,
    },
    /// The registry does not accredit us, or does not know us.
    #[error("{0}")]
    NotAccredited(String),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The picture.
    #[error(transparent)]
    Qr(#[from] QrError),
}

/// Signs and keeps a request, if the registry says that we may ask for this.
pub(crate) async fn make(core: &Core, new: NewPresentation) -> Result<MadePresentation, MakeError> {
    let now_ms = clock::now_ms();
    new.check()?;
    let query = new.query()?;
    let categories = categories(&query)?;
    let proven = core.ledger.organisation(&core.us).await?;
    let not = |reason: &str| MakeError::NotAccredited(reason.to_owned());
    let own = proven
        .value
        .ok_or_else(|| not("this organisation is not in the registry"))?;
    if own.suspended_at(proven.header.header().time_ms) {
        return Err(not("this organisation is suspended"));
    }
    if !own.may_ask(&new.purpose, &categories, new.retention_days) {
        return Err(MakeError::NotAccredited(format!(
            "not accredited to ask for {categories:?} for {:?}, kept for {} days",
            new.purpose, new.retention_days
        )));
    }
    let setup = &core.presentations;
    let expires_ms = now_ms.saturating_add(setup.config.request_ttl_s.saturating_mul(1000));
    let asked = Asked {
        chain: core.chain.to_string(),
        organisation: core.us.to_string(),
        categories,
        purpose: new.purpose,
        legal_basis: new.legal_basis,
        retention_days: new.retention_days,
        until_ms: expires_ms,
    };
    // One entry for each credential: every one that is shown carries it.
    let signed = new.transaction_data || new.policy == Policy::Ledger;
    let transaction_data = query
        .credentials()
        .iter()
        .filter(|_| signed)
        .map(|one| asked.to_transaction_data(&[one.id()]))
        .collect();
    let kind = new.client_id.unwrap_or(setup.config.client_id);
    let (client_id, key_url) = setup.client_id(kind, &own);
    let response_mode = new.response_mode.unwrap_or(ResponseMode::DirectPostJwt);
    let mut row = PresentationRow {
        policy: new.policy,
        reference: new.reference,
        asked,
        client_id: client_id.clone(),
        client_name: own.organisation.name.en,
        key_url,
        nonce: secret_text(),
        state: SecretText::new(secret_text()),
        response_mode,
        query: query.json().clone(),
        transaction_data,
        response_secret: (response_mode == ResponseMode::DirectPostJwt).then(response_secret),
        requests: Vec::new(),
        same_device: new.redirect_uri.map(|redirect_uri| SameDevice {
            redirect_uri,
            response_code: SecretText::new(secret_text()),
        }),
        created_ms: now_ms,
        expires_ms,
        delete_ms: expires_ms.saturating_add(KEPT_MS),
        status: Status::Waiting,
        result: None,
    };
    let id: PresentationId = random::bytes();
    row.requests
        .push(request_object(setup, &id, &row, None, clock::now_s()));
    core.store(move |store| store.put_presentation(&id, &row))
        .await?;
    metrics::counter!("tegata_verifier_presentation_requests_total").increment(1);

    let request_uri = format!(
        "{}/v1/presentations/{}/request",
        setup.public_url,
        hex::encode(id)
    );
    let method = if new.post {
        "&request_uri_method=post"
    } else {
        ""
    };
    let parameters = format!(
        "client_id={}&request_uri={}{method}",
        percent(&client_id),
        percent(&request_uri)
    );
    let link = format!("{}/#/present?{parameters}", core.wallet_url);
    let uri = format!("{}://?{parameters}", setup.config.scheme);
    let shown = if new.policy == Policy::Ledger {
        &link
    } else {
        &uri
    };
    Ok(MadePresentation {
        id: hex::encode(id),
        qr_svg: tegata_service::qr::svg(shown)?,
        link,
        uri,
        request_uri,
        client_id,
        expires_ms,
    })
}

impl NewPresentation {
    /// Checks what can be checked without the registry.
    fn check(&self) -> Result<(), MakeError> {
        let invalid = |reason| Err(MakeError::Invalid(reason));
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
        if let Some(uri) = &self.redirect_uri {
            let url = reqwest::Url::parse(uri);
            let fits = |url: &reqwest::Url| {
                matches!(url.scheme(), "https" | "http") && url.fragment().is_none()
            };
            if uri.len() > 2000 || !url.is_ok_and(|url| fits(&url)) {
                return invalid("redirect_uri: a web address without fragment");
            }
        }
        Ok(())
    }

    fn query(&self) -> Result<DcqlQuery, MakeError> {
        match (&self.dcql, &self.categories) {
            (Some(query), None) => Ok(DcqlQuery::from_value(query.clone())?),
            (None, Some(codes)) => query_of(codes),
            _ => Err(MakeError::Invalid("dcql or categories, and not both")),
        }
    }
}

/// Of each category one record of any of its types, with the claims that every such record has.
fn query_of(codes: &[String]) -> Result<DcqlQuery, MakeError> {
    let mut codes = codes.to_vec();
    codes.sort_unstable();
    codes.dedup();
    let (mut credentials, mut sets) = (Vec::new(), Vec::new());
    for code in &codes {
        let types: Vec<_> = Category::from_code(code)
            .into_iter()
            .flat_map(|category| catalogue().in_category(category))
            .collect();
        if types.is_empty() {
            return Err(MakeError::Invalid(
                "categories: only those of the catalogue that have record types",
            ));
        }
        sets.push(json!({ "options": types.iter().map(|one| [one.id()]).collect::<Vec<_>>() }));
        credentials.extend(types.into_iter().map(|one| {
            let claims: Vec<_> = mandatory(one).map(|path| json!({ "path": path })).collect();
            json!({
                "id": one.id(), "format": FORMAT, "meta": { "vct_values": [one.vct()] }, "claims": claims,
            })
        }));
    }
    if credentials.is_empty() {
        return Err(MakeError::Invalid("categories: at least one"));
    }
    Ok(DcqlQuery::from_value(
        json!({ "credentials": credentials, "credential_sets": sets }),
    )?)
}

/// Paths of the claims that every record of a type has.
fn mandatory(record_type: &RecordType) -> impl Iterator<Item = Value> {
    let metadata: Value = serde_json::from_str(record_type.metadata_json()).unwrap_or_default();
    let claims = metadata["claims"].as_array().cloned().unwrap_or_default();
    claims
        .into_iter()
        .filter(|claim| claim["mandatory"] == true)
        .map(|claim| claim["path"].clone())
}

/// The categories of everything that a query asks for, sorted. Types and claims that the catalogue does not have, formats
/// that we cannot check, and credentials without holder are refused.
fn categories(query: &DcqlQuery) -> Result<Vec<String>, MakeError> {
    let mut categories = Vec::new();
    for one in query.credentials() {
        if one.format() != FORMAT {
            return Err(DcqlError::Unsupported("format").into());
        }
        if !one.needs_holder() {
            return Err(DcqlError::Unsupported("require_cryptographic_holder_binding").into());
        }
        for vct in one.vct_values() {
            let known = catalogue().by_vct(vct);
            let known = known.ok_or_else(|| MakeError::TypeUnknown(vct.clone()))?;
            if let Some(path) = one.paths().find(|path| {
                !path
                    .head()
                    .is_some_and(|name| known.claim_names().any(|known| known == name))
            }) {
                return Err(MakeError::ClaimUnknown {
                    vct: vct.clone(),
                    path: path.to_string(),
                });
            }
            categories.push(known.category().code().to_owned());
        }
    }
    categories.sort_unstable();
    categories.dedup();
    Ok(categories)
}

/// 256 random bits as text.
fn secret_text() -> String {
    URL_SAFE_NO_PAD.encode(random::bytes::<32>())
}

/// A fresh P-256 secret, hexadecimal.
fn response_secret() -> SecretText {
    let key = SigningKey::generate(Algorithm::Es256, &mut random::rng());
    SecretText::new(hex::encode(*key.to_bytes()))
}

/// Percent-encoding for a value in a query (RFC 3986 §2.3: only unreserved characters stay).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
