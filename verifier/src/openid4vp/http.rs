//! Routes of presentations (`specs/API.md`, "Verifier"). Where our own systems call, errors are problem details; where wallets
//! call, they are those of OAuth (RFC 6749 §5.2) with our code as a further member.

use super::PresentationId;
use super::make::{self, MadePresentation, MakeError, NewPresentation};
use super::object::request_object;
use super::respond::{ResponseError, open, respond};
use super::rows::{Policy, PresentationRow, REQUEST_OBJECTS_MAX, ResultRow, Status};
use crate::api::{OwnSystem, Shared};
use crate::core::Core;
use crate::rows::StoreError;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as AxumJson, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tegata_credential::json;
use tegata_credential::openid4vp::REQUEST_MEDIA_TYPE;
use tegata_service::clock;
use tegata_service::http::{Json, read_body};
use tegata_service::problem::Problem;
use utoipa::{OpenApi, ToSchema};

/// Longest response of a wallet, in bytes.
const RESPONSE_MAX: usize = 4 << 20;
/// Longest POST to a request's address, in bytes.
const REQUEST_POST_MAX: usize = 64 * 1024;
/// Longest `wallet_nonce`, in bytes.
const WALLET_NONCE_MAX: usize = 512;

/// The routes.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/presentations", post(make_presentation))
        .route("/v1/presentations/{id}", get(get_presentation))
        .route(
            "/v1/presentations/{id}/request",
            get(get_request_object).post(post_request_object),
        )
        .route(
            "/v1/presentations/{id}/response",
            post(take_response).layer(axum::extract::DefaultBodyLimit::disable()),
        )
}

/// The description of these routes.
#[derive(OpenApi)]
#[openapi(paths(
    make_presentation,
    get_presentation,
    get_request_object,
    post_request_object,
    take_response
))]
pub(crate) struct Api;

/// Asks for a presentation, if the registry allows this organisation to ask for it.
#[utoipa::path(post, path = "/v1/presentations", request_body = NewPresentation, responses(
    (status = 201, body = MadePresentation), (status = 401, description = "no token of an own system"),
    (status = 403, description = "not-accredited"), (status = 422, description = "invalid, dcql_invalid, dcql_unsupported, type-unknown, claim-unknown"),
    (status = 503, description = "stale")))]
async fn make_presentation(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    Json(new): Json<NewPresentation>,
) -> Result<Response, Problem> {
    let made = make::make(&core, new).await?;
    let location = format!("/v1/presentations/{}", made.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(made),
    )
        .into_response())
}

/// A presentation and what became of it.
#[derive(Debug, Serialize, ToSchema)]
struct PresentationAnswer {
    id: String,
    status: Status,
    policy: Policy,
    /// Under which it is filed.
    reference: String,
    /// Category codes.
    categories: Vec<String>,
    /// Purpose code.
    purpose: String,
    /// Legal basis code.
    legal_basis: String,
    /// How long what was shown is kept, in days.
    retention_days: u32,
    created_ms: u64,
    expires_ms: u64,
    /// The last response; absent where there was none, and where a `response_code` is needed and was not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultRow>,
    /// With a result: the signed requests that wallets were given, or, where consents were accepted, those that they commit to.
    /// Together with the presentation such a one proves afterwards, to anybody, that showing it was allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<String>,
    /// The result is for the browser that answered: a `response_code` is needed.
    needs_response_code: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultQuery {
    response_code: Option<String>,
}

/// What became of a presentation. For one with a `redirect_uri`, `response_code` is what the browser brought back.
#[utoipa::path(get, path = "/v1/presentations/{id}", params(("id" = String, Path,), ("response_code" = Option<String>, Query,)), responses(
    (status = 200, body = PresentationAnswer), (status = 401), (status = 403, description = "response-code"), (status = 404)))]
async fn get_presentation(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    Path(id): Path<String>,
    Query(query): Query<ResultQuery>,
) -> Result<Response, Problem> {
    let row = find(&core, &id).await?.ok_or_else(Problem::not_found)?;
    let now_ms = clock::now_ms();
    if now_ms >= row.delete_ms {
        return Err(Problem::not_found());
    }
    let needed = row.same_device.as_ref().map(|same| &same.response_code);
    let brought = query.response_code.as_deref();
    let shown = match (needed, brought) {
        (None, None) => true,
        (Some(needed), Some(brought)) if needed.is(brought) => true,
        (Some(_), None) => false,
        _ => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "response-code",
                "The response code is not the one of this presentation",
            ));
        }
    };
    let result = row.result.filter(|_| shown);
    let is_open = matches!(row.status, Status::Waiting | Status::Refused);
    let answer = PresentationAnswer {
        id,
        status: if is_open && now_ms >= row.expires_ms {
            Status::Expired
        } else {
            row.status
        },
        policy: row.policy,
        reference: row.reference,
        categories: row.asked.categories,
        purpose: row.asked.purpose,
        legal_basis: row.asked.legal_basis,
        retention_days: row.asked.retention_days,
        created_ms: row.created_ms,
        expires_ms: row.expires_ms,
        requests: result.iter().flat_map(|_| row.requests.clone()).collect(),
        result,
        needs_response_code: needed.is_some(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The signed request object, for whoever has its address.
#[utoipa::path(get, path = "/v1/presentations/{id}/request", params(("id" = String, Path,)), responses(
    (status = 200, content_type = "application/oauth-authz-req+jwt"), (status = 404, description = "request-unknown"),
    (status = 410, description = "request-expired, request-answered")))]
async fn get_request_object(
    State(Shared(core)): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let row = open_request(&core, &id).await?;
    let first = row.requests.into_iter().next();
    Ok(object(first.ok_or_else(Refusal::unknown)?))
}

/// The signed request object with the wallet's own nonce in it.
#[utoipa::path(post, path = "/v1/presentations/{id}/request", params(("id" = String, Path,)), responses(
    (status = 200, content_type = "application/oauth-authz-req+jwt"), (status = 400, description = "invalid_request, with `code`"),
    (status = 404, description = "request-unknown"), (status = 410, description = "request-expired, request-answered")))]
async fn post_request_object(
    State(Shared(core)): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let form = read_form(&parts.headers, body, REQUEST_POST_MAX).await?;
    let row = open_request(&core, &id).await?;
    let mut names = BTreeSet::new();
    if !form.iter().all(|(name, _)| names.insert(name)) {
        let twice = "a parameter is there twice";
        return Err(Refusal::invalid("request-malformed", twice));
    }
    let value = |name: &str| form.iter().find(|(known, _)| known == name);
    if let Some((_, metadata)) = value("wallet_metadata") {
        check_wallet_metadata(metadata, &row)?;
    }
    let Some((_, nonce)) = value("wallet_nonce") else {
        let first = row.requests.into_iter().next();
        return Ok(object(first.ok_or_else(Refusal::unknown)?));
    };
    if nonce.is_empty()
        || nonce.len() > WALLET_NONCE_MAX
        || !nonce.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(Refusal::invalid(
            "wallet-nonce",
            "wallet_nonce has 1 to 512 visible ASCII characters",
        ));
    }
    let id = parse(&id).ok_or_else(Refusal::unknown)?;
    let signed = request_object(&core.presentations, &id, &row, Some(nonce), clock::now_s());
    let kept = signed.clone();
    // It is on disk before the wallet has it: a consent may commit to it.
    let change = move |row: &mut PresentationRow| remember(row, kept, clock::now_ms());
    core.store(move |store| store.change_presentation(&id, change))
        .await?
        .ok_or_else(Refusal::unknown)?
        .map_err(Refusal::gone)?;
    Ok(object(signed))
}

/// Remembers a request object that a wallet is about to get. Once there is an answer the row stays as it is: what was agreed to
/// gives way to nothing.
fn remember(row: &mut PresentationRow, signed: String, now_ms: u64) -> Result<(), ResponseError> {
    open(row, now_ms)?;
    row.requests.push(signed);
    if row.requests.len() > REQUEST_OBJECTS_MAX {
        row.requests.remove(1);
    }
    Ok(())
}

/// A wallet's response.
#[utoipa::path(post, path = "/v1/presentations/{id}/response", params(("id" = String, Path,)), responses(
    (status = 200, description = "accepted: `{\"redirect_uri\"}` where the browser goes on here, else `{}`"),
    (status = 400, description = "invalid_request, with `code`"), (status = 404, description = "request-unknown")))]
async fn take_response(
    State(Shared(core)): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let form = read_form(&parts.headers, body, RESPONSE_MAX).await?;
    let id = parse(&id).ok_or_else(Refusal::unknown)?;
    // It goes on when the wallet hangs up: what was accepted is accepted.
    let taken = tokio::spawn(async move { respond(&core, id, form).await }).await;
    let taken = taken.map_err(|error| Refusal::internal(&error))?;
    let body = match taken? {
        Some(uri) => json!({ "redirect_uri": uri }),
        None => json!({}),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], AxumJson(body)).into_response())
}

fn object(signed: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, REQUEST_MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, signed).into_response()
}

/// As [`tegata_service::http::identifier`] reads it.
fn parse(id: &str) -> Option<PresentationId> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(id, &mut bytes).ok()?;
    Some(bytes)
}

async fn find(core: &Core, id: &str) -> Result<Option<PresentationRow>, StoreError> {
    let Some(id) = parse(id) else { return Ok(None) };
    core.store(move |store| store.presentation(&id)).await
}

/// A request that may still be answered.
async fn open_request(core: &Core, id: &str) -> Result<PresentationRow, Refusal> {
    let row = find(core, id).await?.ok_or_else(Refusal::unknown)?;
    open(&row, clock::now_ms()).map_err(Refusal::gone)?;
    Ok(row)
}

/// Whether a wallet can take this request (§5.10, §10): where it says what it can do.
fn check_wallet_metadata(text: &str, row: &PresentationRow) -> Result<(), Refusal> {
    let metadata = json::parse(text.as_bytes()).ok().filter(Value::is_object);
    let metadata = metadata
        .ok_or_else(|| Refusal::invalid("wallet-metadata", "wallet_metadata is no JSON object"))?;
    let lacks = |name: &str, wanted: &str| {
        let known = metadata.get(name).and_then(Value::as_array);
        known.is_some_and(|known| !known.iter().any(|one| one == wanted))
    };
    let prefix = row.client_id.split(':').next().unwrap_or_default();
    let unsupported = [
        ("client_id_prefixes_supported", prefix),
        ("request_object_signing_alg_values_supported", "ES256"),
        ("response_types_supported", "vp_token"),
    ];
    match unsupported
        .iter()
        .find(|(name, wanted)| lacks(name, wanted))
    {
        Some((name, wanted)) => Err(Refusal::invalid(
            "wallet-unsupported",
            &format!("the wallet's {name} lacks {wanted}, which this request needs"),
        )),
        None => Ok(()),
    }
}

/// The parameters of a form, in order.
async fn read_form(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Vec<(String, String)>, Refusal> {
    let media_type = headers.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next();
    let media_type = media_type.unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ..Refusal::invalid("media-type", "expected application/x-www-form-urlencoded")
        });
    }
    let bytes = read_body(body, limit).await.map_err(|problem| Refusal {
        status: problem.status(),
        ..Refusal::invalid(problem.code(), "the body is too long, or broke off")
    })?;
    let form = form_urlencoded::parse(&bytes).take(64);
    Ok(form
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect())
}

/// An answer to a wallet whose request is refused.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: String,
    description: String,
}

impl Refusal {
    fn invalid(code: &str, description: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_request",
            code: code.to_owned(),
            description: description.to_owned(),
        }
    }

    fn unknown() -> Self {
        ResponseError::Unknown.into()
    }

    /// The request cannot be had any more.
    fn gone(error: ResponseError) -> Self {
        Self {
            status: StatusCode::GONE,
            ..error.into()
        }
    }

    /// The cause goes to the log, not to the caller.
    fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "server_error",
            code: "internal".into(),
            description: "something went wrong here; the operator's log says what".into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        match &error {
            ResponseError::Store(_) | ResponseError::Damaged(_) => Self::internal(&error),
            ResponseError::Unknown => Self {
                status: StatusCode::NOT_FOUND,
                ..Self::invalid(error.code(), &error.to_string())
            },
            _ => Self::invalid(error.code(), &error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({
            "error": self.error, "error_description": self.description, "code": self.code,
        });
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (self.status, headers, AxumJson(body)).into_response()
    }
}

impl From<MakeError> for Problem {
    fn from(error: MakeError) -> Self {
        let code = match &error {
            MakeError::Invalid(_) => "invalid",
            MakeError::Dcql(error) => error.code(),
            MakeError::TypeUnknown(_) => "type-unknown",
            MakeError::ClaimUnknown { .. } => "claim-unknown",
            MakeError::NotAccredited(_) => "not-accredited",
            MakeError::Ledger(_) | MakeError::Store(_) | MakeError::Qr(_) => "internal",
        };
        match error {
            MakeError::Ledger(error) => error.into(),
            MakeError::Store(error) => error.into(),
            MakeError::Qr(error) => Self::internal(&error),
            MakeError::NotAccredited(reason) => Self::new(
                StatusCode::FORBIDDEN,
                code,
                "The registry does not allow this organisation to ask for this",
            )
            .detail(reason),
            other => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                "The request for a presentation is not usable",
            )
            .detail(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> PresentationRow {
        let row = json!({
            "policy": "ledger", "reference": "P-1", "client_id": "c", "client_name": "us", "key_url": null,
            "asked": {
                "chain": "", "organisation": "", "categories": [], "purpose": "care", "legal_basis": "consent",
                "retention_days": 30, "until_ms": 1_000,
            },
            "nonce": "n", "state": "s", "response_mode": "direct_post", "query": {}, "transaction_data": [],
            "response_secret": null, "requests": ["first"], "same_device": null,
            "created_ms": 0, "expires_ms": 1_000, "delete_ms": 2_000, "status": "waiting", "result": null,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn requests_are_remembered_until_there_is_an_answer() {
        let mut open = row();
        for number in 0..20 {
            remember(&mut open, number.to_string(), 999).unwrap();
        }
        let kept = ["first", "13", "14", "15", "16", "17", "18", "19"];
        assert_eq!(open.requests, kept);
        for (status, now_ms, code) in [
            (Status::Answered, 999, "request-answered"),
            (Status::Declined, 999, "request-answered"),
            (Status::Waiting, 1_000, "request-expired"),
        ] {
            let over = PresentationRow { status, ..row() };
            let mut changed = over.clone();
            let refused = remember(&mut changed, "late".into(), now_ms).unwrap_err();
            assert_eq!((refused.code(), changed), (code, over));
        }
    }
}
