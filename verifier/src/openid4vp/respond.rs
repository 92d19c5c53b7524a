//! A wallet's response (OpenID4VP 1.0 §8): read, checked, and accepted once.

use super::PresentationId;
use super::checks::CheckName;
use super::judge::{Consent, Response, strict_json};
use super::object::response_key;
use super::rows::{Policy, PresentationRow, ResultRow, Status};
use crate::core::Core;
use crate::events::Event;
use crate::rows::StoreError;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use tegata_credential::dcql::{DcqlError, DcqlQuery};
use tegata_credential::jwe::{Jwe, JweError};
use tegata_credential::openid4vp::{RequestError, ResponseMode, TransactionData};
use tegata_service::clock;

const DAY_MS: u64 = 86_400_000;

/// Why a response is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseError {
    /// There is no such request.
    #[error("there is no such request")]
    Unknown,
    /// Its time is over.
    #[error("the request has expired")]
    Expired,
    /// It was answered.
    #[error("the request was answered already")]
    Used,
    /// Not the parameters of a response.
    #[error("{0}")]
    Malformed(&'static str),
    /// Plain where it should be encrypted, or the other way round.
    #[error("the response is to be sent with response_mode {0}")]
    Mode(&'static str),
    /// Encrypted to another key, altered, or malformed.
    #[error("response: {0}")]
    Jwe(#[from] JweError),
    /// A response to another request.
    #[error("`state` is not the request's")]
    State,
    /// Not an answer to the query.
    #[error("{0}")]
    Dcql(#[from] DcqlError),
    /// More of what was asked for in number than there is.
    #[error("{0}: the same credential is there twice")]
    Twice(String),
    /// What we stored is not what we wrote.
    #[error("{0}")]
    Damaged(#[from] RequestError),
    /// Some check of some credential does not hold.
    #[error("{id}: {check:?} does not hold: {reason}")]
    Refused {
        /// Which credential.
        id: String,
        /// Which check.
        check: CheckName,
        /// Its code.
        code: String,
        /// Why.
        reason: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ResponseError {
    /// A stable word for programs.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Unknown => "request-unknown",
            Self::Expired => "request-expired",
            Self::Used => "request-answered",
            Self::Malformed(_) => "response-malformed",
            Self::Mode(_) => "response-mode",
            Self::Jwe(error) => error.code(),
            Self::State => "state-mismatch",
            Self::Dcql(error) => error.code(),
            Self::Twice(_) => "credential-twice",
            Self::Refused { code, .. } => code,
            Self::Damaged(_) | Self::Store(_) => "internal",
        }
    }
}

/// What our own systems hear of a presentation, without claims.
#[derive(Serialize)]
struct PresentationEvent<'a> {
    id: String,
    reference: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

/// Takes a response; gives where the person's browser goes on, where that is here.
pub(super) async fn respond(
    core: &Core,
    id: PresentationId,
    form: Vec<(String, String)>,
) -> Result<Option<String>, ResponseError> {
    let row = core.store(move |store| store.presentation(&id)).await?;
    let row = row.ok_or(ResponseError::Unknown)?;
    let now_ms = clock::now_ms();
    open(&row, now_ms)?;
    let parameters = parameters(&row, form)?;
    let text = |name: &str| parameters.get(name).and_then(Value::as_str);
    if !row.state.is(text("state").unwrap_or_default()) {
        return Err(ResponseError::State);
    }
    let (result, agreed_to) = if let Some(error) = text("error") {
        let result = ResultRow {
            received_ms: now_ms,
            code: Some(
                error
                    .chars()
                    .take(64)
                    .filter(char::is_ascii_graphic)
                    .collect(),
            ),
            ..ResultRow::default()
        };
        (result, Vec::new())
    } else {
        judge(core, &row, &parameters, now_ms).await?
    };
    keep(core, id, result, agreed_to).await
}

/// Whether a response may still come.
pub(super) fn open(row: &PresentationRow, now_ms: u64) -> Result<(), ResponseError> {
    match row.status {
        Status::Answered | Status::Declined => Err(ResponseError::Used),
        _ if now_ms >= row.expires_ms => Err(ResponseError::Expired),
        _ => Ok(()),
    }
}

/// The response's parameters: those of the form, or those inside the JWE.
fn parameters(
    row: &PresentationRow,
    form: Vec<(String, String)>,
) -> Result<Map<String, Value>, ResponseError> {
    let mut parameters = Map::new();
    for (name, value) in form {
        if parameters.insert(name, value.into()).is_some() {
            return Err(ResponseError::Malformed("a parameter is there twice"));
        }
    }
    // A wallet that refuses may not be able to encrypt: an error holds nothing to hide (§8.3).
    let is_error = parameters.contains_key("error");
    match (row.response_mode, parameters.get("response")) {
        (ResponseMode::DirectPostJwt, Some(response)) => {
            let jwe = Jwe::parse(response.as_str().unwrap_or_default())?;
            let key = response_key(row).ok_or(JweError::NotP256)?;
            let opened = jwe.decrypt(&key, &key.key_id())?;
            let inner = std::str::from_utf8(&opened).ok().and_then(strict_json);
            match inner {
                Some(Value::Object(inner)) => Ok(inner),
                _ => Err(ResponseError::Malformed("the response is no JSON object")),
            }
        }
        (ResponseMode::DirectPostJwt, None) if !is_error => {
            Err(ResponseError::Mode("direct_post.jwt"))
        }
        (ResponseMode::DirectPost, Some(_)) => Err(ResponseError::Mode("direct_post")),
        _ => Ok(parameters),
    }
}

/// Checks a response. Gives, besides what was found, the request objects that its consents commit to.
async fn judge(
    core: &Core,
    row: &PresentationRow,
    parameters: &Map<String, Value>,
    now_ms: u64,
) -> Result<(ResultRow, Vec<String>), ResponseError> {
    let missing = ResponseError::Malformed("neither vp_token nor error");
    let vp_token = match parameters.get("vp_token").ok_or(missing)? {
        // In a form it is JSON text, inside a JWE a member like any other.
        Value::String(text) => strict_json(text).ok_or(DcqlError::VpToken)?,
        value => value.clone(),
    };
    let query = DcqlQuery::from_value(row.query.clone())?;
    let transaction_data = row
        .transaction_data
        .iter()
        .map(|encoded| TransactionData::parse(encoded))
        .collect::<Result<Vec<_>, _>>()?;
    let response = Response {
        core,
        row,
        transaction_data: &transaction_data,
        now_ms,
    };
    let mut result = ResultRow {
        received_ms: now_ms,
        ledger_proof: row.policy == Policy::Ledger,
        ..ResultRow::default()
    };
    let mut retention_days = row.asked.retention_days;
    let mut agreed_to = Vec::new();
    for (query, presentations) in query.answered(&vp_token)? {
        let mut shown = BTreeSet::new();
        for text in presentations {
            // What is disclosed, the key binding and a signature can differ from one showing to the next; what was signed not.
            let signed = text.split('~').next().unwrap_or_default();
            if !shown.insert(signed.rsplit_once('.').map_or(signed, |(signed, _)| signed)) {
                return Err(ResponseError::Twice(query.id().to_owned()));
            }
            let judged = response.judge(query, text).await;
            if let Some(Consent { checked, request }) = judged.consent {
                retention_days = retention_days.min(checked.grant().retention_days);
                if !agreed_to.contains(&request) {
                    agreed_to.push(request);
                }
            }
            result.credentials.push(judged.row);
        }
    }
    result.delete_ms = now_ms
        .saturating_add(u64::from(retention_days) * DAY_MS)
        .max(row.expires_ms);
    let failing = result.credentials.iter().find(|one| !one.verified);
    result.ledger_proof &= failing.is_none();
    result.code = failing.and_then(|one| one.first_failing()?.code.clone());
    Ok((result, agreed_to))
}

/// Writes down what became of the response, unless another was accepted meanwhile. Of the requests that were handed out those
/// stay that were `agreed_to`: they are evidence, also where others were handed out meanwhile.
async fn keep(
    core: &Core,
    id: PresentationId,
    result: ResultRow,
    agreed_to: Vec<String>,
) -> Result<Option<String>, ResponseError> {
    let status = match &result {
        ResultRow { code: None, .. } => Status::Answered,
        ResultRow { credentials, .. } if credentials.is_empty() => Status::Declined,
        _ => Status::Refused,
    };
    let refused = (status == Status::Refused)
        .then(|| refusal(&result))
        .flatten();
    let kept = core
        .store(move |store| {
            store.change_presentation(&id, |row| {
                open(row, clock::now_ms())?;
                row.status = status;
                if status == Status::Answered {
                    row.delete_ms = result.delete_ms;
                    // What is over needs no key, and nobody asks for the request again.
                    row.response_secret = None;
                    if !agreed_to.is_empty() {
                        row.requests = agreed_to;
                    }
                }
                row.result = Some(result);
                Ok::<_, ResponseError>(row.clone())
            })
        })
        .await?;
    let row = kept.ok_or(ResponseError::Unknown)??;
    metrics::counter!("tegata_verifier_presentations_total", "status" => status_name(status))
        .increment(1);
    core.tell(Event::new(
        "presentation",
        &PresentationEvent {
            id: hex::encode(id),
            reference: &row.reference,
            status,
            code: row
                .result
                .as_ref()
                .and_then(|result| result.code.as_deref()),
        },
    ));
    match refused {
        Some(error) => Err(error),
        None => Ok(row.same_device.map(|same| {
            let code = same.response_code.expose();
            format!("{}#response_code={code}", same.redirect_uri)
        })),
    }
}

fn refusal(result: &ResultRow) -> Option<ResponseError> {
    let one = result.credentials.iter().find(|one| !one.verified)?;
    let check = one.first_failing()?;
    Some(ResponseError::Refused {
        id: one.id.clone(),
        check: check.check,
        code: check.code.clone().unwrap_or_default(),
        reason: check.reason.clone(),
    })
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Refused => "refused",
        Status::Declined => "declined",
        Status::Answered => "answered",
        Status::Expired => "expired",
    }
}
