//! Credential offers (OpenID4VCI 1.0 §4): what the organisation's own systems hand to a person with a standard wallet.

use super::metadata::PRE_AUTHORIZED;
use super::own;
use super::rows::{Content, Offer, offer_code, offer_slot, tx_code_hash};
use crate::fhir;
use crate::http::{OwnSystem, Shared};
use crate::intake::{IntakeError, check_subject, recognise};
use crate::issuer::{Issuer, blocking, random_id};
use crate::model::{Record, Status};
use crate::pairing;
use crate::store::{Slot, StoreError};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tegata_consent::ids::RecordId;
use tegata_service::clock::now_ms;
use tegata_service::http::{Json, identifier};
use tegata_service::problem::Problem;
use tegata_service::qr;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// Digits of a transaction code.
const TX_CODE_DIGITS: usize = 6;

/// What to offer, and to whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOffer {
    /// The organisation's own number for the person.
    subject: String,
    /// Only these record types; absent: all.
    #[serde(default)]
    record_types: Option<Vec<String>>,
    /// Only these records, by their ids; absent: all.
    #[serde(default)]
    records: Option<Vec<String>>,
    /// FHIR resources of deposited records, as they were sent before: their content is kept for the offer.
    #[serde(default)]
    resources: Vec<Value>,
    /// How the person is known again.
    #[serde(default)]
    grant: Grant,
    /// How the offer travels.
    #[serde(default)]
    by: By,
}

/// How the person is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
pub(crate) enum Grant {
    /// By a transaction code that is typed into the wallet.
    #[default]
    #[serde(rename = "pre-authorized_code")]
    PreAuthorized,
    /// By a pairing code that is typed on this issuer's page.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
}

/// How the offer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// The link names where the offer is.
    #[default]
    Reference,
    /// The link holds the offer.
    Value,
}

/// An offer that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferAnswer {
    /// To be opened on the phone: `openid-credential-offer://?…`.
    link: String,
    /// To be scanned: the link.
    qr_svg: String,
    /// To be told to the person by another way than the link, and typed into the wallet.
    tx_code: Option<String>,
    /// To be given to the person, and typed on this issuer's page: a pairing code.
    code: Option<String>,
    /// The credential configurations that are offered.
    credential_configuration_ids: Vec<String>,
    /// Until when it can be taken up, in milliseconds since 1970.
    expires_ms: u64,
}

/// Offers a person's records to a standard wallet, after identity was checked at the counter.
#[utoipa::path(post, path = "/v1/credential-offers", request_body = NewOffer, responses(
    (status = 201, body = OfferAnswer), (status = 401), (status = 404, description = "no such record of this person"),
    (status = 422, description = "`subject`, `resource`, or `nothing-to-offer`"), (status = 503)
))]
pub(crate) async fn make(
    State(issuer): Shared,
    OwnSystem(system): OwnSystem,
    Json(wanted): Json<NewOffer>,
) -> Result<Response, Problem> {
    let unprocessable =
        |code, title: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title);
    check_subject(&wanted.subject).map_err(|error| {
        unprocessable("subject", "The number of the person cannot be used")
            .detail(error.to_string())
    })?;
    let own = own(&issuer).await?;
    let now = now_ms();
    let subject = wanted.subject.clone();
    let resources = wanted.resources.clone();
    let by = system.clone();
    let records = blocking(&issuer, move |issuer| {
        keep_contents(issuer, &subject, &resources, &by, now)?;
        held(issuer, &subject, now).map_err(|error| Problem::internal(&error))
    });
    let mut records = records.await?;
    records.retain(|record| own.may_issue(&record.record_type, now));
    if let Some(types) = &wanted.record_types {
        records.retain(|record| types.contains(&record.record_type));
    }
    if let Some(ids) = &wanted.records {
        let known = |id: &String| records.iter().any(|record| record.id.to_string() == *id);
        if !ids.iter().all(known) {
            return Err(Problem::not_found());
        }
        records.retain(|record| ids.contains(&record.id.to_string()));
    }
    if records.is_empty() {
        let title =
            "There is no record to offer: none is there, or its content is in the vault already";
        return Err(unprocessable("nothing-to-offer", title));
    }
    let made = store_offer(&issuer, wanted, system, &records, now).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Keeps the content of deposited records for as long as an offer and its token are good.
fn keep_contents(
    issuer: &Issuer,
    subject: &str,
    resources: &[Value],
    system: &str,
    now_ms: u64,
) -> Result<(), Problem> {
    if resources.is_empty() {
        return Ok(());
    }
    let refused = |index: usize, why: String| {
        let title = "A resource is not the source of a deposited record of this person";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "resource", title)
            .detail(why)
            .with("index", index)
    };
    let config = &issuer.openid4vci().config;
    let expires_ms = now_ms + (config.offer_ttl_s + config.token_ttl_s) * 1000;
    let mut change = issuer.store.change();
    for (index, resource) in resources.iter().enumerate() {
        let incoming = fhir::read(issuer, resource, system).map_err(|why| refused(index, why))?;
        let (record, claims) = recognise(&change, incoming).map_err(|error| match error {
            IntakeError::Store(error) => Problem::internal(&error),
            error => refused(index, error.to_string()),
        })?;
        if record.subject != subject || record.status != Status::Deposited {
            return Err(refused(
                index,
                "it is not deposited, or another person's".to_owned(),
            ));
        }
        let claims = serde_json::to_vec(&claims).map_err(|error| Problem::internal(&error))?;
        let slot = Slot::content(&record.id);
        let known = change.openid4vci::<Content>(&slot);
        let known = known.map_err(|error| Problem::internal(&error))?;
        let content = Content {
            claims: claims.into(),
            expires_ms,
        };
        change.put_openid4vci(&slot, &content, expires_ms);
        if let Some(known) = known.filter(|known| known.expires_ms != expires_ms) {
            change.extend_openid4vci(&slot, known.expires_ms, expires_ms);
        }
    }
    change.commit().map_err(|error| Problem::internal(&error))
}

async fn store_offer(
    issuer: &std::sync::Arc<Issuer>,
    wanted: NewOffer,
    system: String,
    records: &[Record],
    now_ms: u64,
) -> Result<OfferAnswer, Problem> {
    let openid4vci = issuer.openid4vci();
    let id = random_id();
    let code = offer_code(&openid4vci.secret, &id.0);
    let pre_authorized = wanted.grant == Grant::PreAuthorized;
    let tx_code = pre_authorized.then(new_tx_code);
    let mut expires_ms = now_ms + openid4vci.config.offer_ttl_s * 1000;
    let mut pairing_code = None;
    if !pre_authorized {
        let begun = pairing::begin(issuer, wanted.subject.clone(), system, now_ms).await;
        let begun = begun.map_err(|error| Problem::internal(&error))?;
        expires_ms = expires_ms.min(begun.expires_ms);
        pairing_code = Some(begun.code);
    }
    let offer = Offer {
        subject: wanted.subject,
        records: records.iter().map(|record| record.id).collect(),
        record_types: types_of(records),
        pre_authorized,
        tx_code: tx_code.as_ref().map(|tx_code| tx_code_hash(&code, tx_code)),
        wrong: 0,
        used: false,
        token: None,
        expires_ms,
    };
    let record_types = offer.record_types.clone();
    let parameter = match wanted.by {
        By::Reference => (
            "credential_offer_uri",
            format!("{}/openid4vci/offers/{id}", issuer.identifier()),
        ),
        By::Value => (
            "credential_offer",
            object(issuer, &offer, &code).to_string(),
        ),
    };
    let slot = offer_slot(&code);
    blocking(issuer, move |issuer| {
        let mut change = issuer.store.change();
        change.sweep_openid4vci(now_ms)?;
        change.put_openid4vci(&slot, &offer, offer.expires_ms);
        change.commit()
    })
    .await
    .map_err(|error| Problem::internal(&error))?;
    let link = reqwest::Url::parse_with_params("openid-credential-offer://", [parameter])
        .map_err(|error| Problem::internal(&error))?
        .to_string();
    Ok(OfferAnswer {
        qr_svg: qr::svg(&link).map_err(|error| Problem::internal(&error))?,
        link,
        tx_code,
        code: pairing_code,
        credential_configuration_ids: record_types,
        expires_ms,
    })
}

/// The offer that a link names.
#[utoipa::path(get, path = "/openid4vci/offers/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "Credential Offer Object"), (status = 404)))]
pub(crate) async fn by_reference(
    State(issuer): Shared,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: RecordId = identifier(&id).ok_or_else(Problem::not_found)?;
    let code = offer_code(&issuer.openid4vci().secret, &id.0);
    let slot = offer_slot(&code);
    let offer = blocking(&issuer, move |issuer| {
        issuer.store.openid4vci::<Offer>(&slot)
    })
    .await;
    let now = now_ms();
    let offer = offer
        .map_err(|error| Problem::internal(&error))?
        .filter(|offer| !offer.used && now < offer.expires_ms)
        .ok_or_else(Problem::not_found)?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(object(&issuer, &offer, &code))).into_response())
}

/// The Credential Offer Object.
fn object(issuer: &Issuer, offer: &Offer, code: &str) -> Value {
    let grants = if offer.pre_authorized {
        let tx_code = json!({
            "input_mode": "numeric", "length": TX_CODE_DIGITS,
            "description": "窓口でお伝えした6桁の番号 / the six digits that you were told",
        });
        json!({ PRE_AUTHORIZED: { "pre-authorized_code": code, "tx_code": tx_code } })
    } else {
        json!({ "authorization_code": { "issuer_state": code } })
    };
    json!({
        "credential_issuer": issuer.identifier(),
        "credential_configuration_ids": offer.record_types,
        "grants": grants,
    })
}

/// Six digits, each equally likely.
fn new_tx_code() -> String {
    let limit = 10u64.pow(TX_CODE_DIGITS as u32);
    // 2⁶⁴ is so much more than a million that the remainder favours no digit noticeably.
    format!(
        "{:0width$}",
        rand::random::<u64>() % limit,
        width = TX_CODE_DIGITS
    )
}

/// Records of a person whose content is still here, so that a copy can be signed.
pub(super) fn held(issuer: &Issuer, subject: &str, now_ms: u64) -> Result<Vec<Record>, StoreError> {
    let mut all = Vec::new();
    for record in issuer.store.by_subject(subject, None, usize::MAX)? {
        if content(issuer, &record, now_ms)?.is_some() {
            all.push(record);
        }
    }
    Ok(all)
}

/// Claims of a record as JSON, as long as a copy of it may be signed.
pub(super) fn content(
    issuer: &Issuer,
    record: &Record,
    now_ms: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    if record.suspension.is_some() {
        return Ok(None);
    }
    let claims = match record.status {
        Status::Waiting | Status::Queued | Status::Sealed => record.claims.clone(),
        Status::Deposited => {
            let kept = issuer
                .store
                .openid4vci::<Content>(&Slot::content(&record.id))?;
            kept.filter(|kept| now_ms < kept.expires_ms)
                .map(|kept| kept.claims)
        }
        _ => None,
    };
    Ok(claims.map(|claims| Zeroizing::new(Vec::from(claims))))
}

/// The record types of records, each once.
pub(super) fn types_of(records: &[Record]) -> Vec<String> {
    let mut types: Vec<String> = records
        .iter()
        .map(|record| record.record_type.clone())
        .collect();
    types.sort_unstable();
    types.dedup();
    types
}
