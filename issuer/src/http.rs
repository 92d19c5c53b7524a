//! HTTP of the issuer (`specs/API.md`).

mod answers;
mod imports;
mod pairings;
mod records;
mod vc_api;

pub use answers::{ImportAnswer, RecordAnswer};
pub use vc_api::{VcApiConfig, VcCryptosuite};

use crate::fhir::{self, Refusal};
use crate::issuer::Issuer;
use crate::openid4vci;
use crate::status::{self, Form, PublishError};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use tegata_credential::data_integrity::DOCUMENT_MAX_BYTES;
use tegata_credential::status_list;
use tegata_service::clock::now_s;
use tegata_service::http::{Readiness, as_it_is, read_body, standard_routes};
use tegata_service::problem::Problem;
use utoipa::OpenApi;

/// What every handler gets.
pub(crate) type Shared = State<Arc<Issuer>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tegata issuer",
        description = "Takes records in, signs, seals and deposits them, publishes what is revoked."
    ),
    paths(
        post_immunization,
        post_observation,
        records::list,
        records::one,
        records::revoke,
        records::recall,
        records::suspend,
        records::lift,
        records::correct,
        pairings::begin,
        pairings::answer,
        imports::begin,
        imports::one,
        imports::failed_rows,
        status_list_token,
        openid4vci::offers::make,
        openid4vci::offers::by_reference,
        openid4vci::metadata::credential_issuer,
        openid4vci::metadata::authorization_server,
        openid4vci::metadata::keys,
        openid4vci::metadata::record_type,
        openid4vci::requests::push,
        openid4vci::authorize::show,
        openid4vci::authorize::decide,
        openid4vci::token::grant,
        openid4vci::nonce::fresh,
        openid4vci::credential::issue,
        vc_api::did_document,
        vc_api::issue,
        vc_api::bitstring_list,
    )
)]
struct Api;

/// All routes.
pub(crate) fn router(issuer: Arc<Issuer>, readiness: Readiness) -> Router {
    let vc_api = match issuer.config.vc_api {
        Some(_) => Router::new()
            .route("/credentials/issue", post(vc_api::issue))
            .layer(DefaultBodyLimit::max(DOCUMENT_MAX_BYTES))
            .route(
                "/v1/status-lists/{number}/{purpose}",
                get(vc_api::bitstring_list),
            ),
        None => Router::new(),
    };
    Router::new()
        .merge(openid4vci::router(&issuer))
        .merge(vc_api)
        .route("/.well-known/did.json", get(vc_api::did_document))
        .route("/fhir/Immunization", post(post_immunization))
        .route("/fhir/Observation", post(post_observation))
        .route("/v1/records", get(records::list))
        .route("/v1/records/{id}", get(records::one))
        .route("/v1/records/{id}/revocation", post(records::revoke))
        .route("/v1/records/{id}/recall", post(records::recall))
        .route(
            "/v1/records/{id}/suspension",
            post(records::suspend).delete(records::lift),
        )
        .route("/v1/records/{id}/correction", post(records::correct))
        .route("/v1/pairings", post(pairings::begin))
        .route("/v1/pairings/answers", post(pairings::answer))
        .route(
            "/v1/imports",
            post(imports::begin).layer(DefaultBodyLimit::disable()),
        )
        .route("/v1/imports/{id}", get(imports::one))
        .route("/v1/imports/{id}/failed.csv", get(imports::failed_rows))
        .route("/v1/status-lists/{number}", get(status_list_token))
        .with_state(issuer)
        .merge(standard_routes(readiness, Api::openapi()))
}

/// Takes an `Immunization` in.
#[utoipa::path(post, path = "/fhir/Immunization", responses(
    (status = 201, description = "taken; `Location` names the record"), (status = 200, description = "was here already"),
    (status = 409, description = "is here with other content (OperationOutcome)"), (status = 422, description = "OperationOutcome")
))]
async fn post_immunization(
    State(issuer): Shared,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Refusal> {
    post_resource(&issuer, &headers, body, "Immunization").await
}

/// Takes an `Observation` in: a laboratory result, or a checkup.
#[utoipa::path(post, path = "/fhir/Observation", responses(
    (status = 201, description = "taken; `Location` names the record"), (status = 200, description = "was here already"),
    (status = 409, description = "is here with other content (OperationOutcome)"), (status = 422, description = "OperationOutcome")
))]
async fn post_observation(
    State(issuer): Shared,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Refusal> {
    post_resource(&issuer, &headers, body, "Observation").await
}

async fn post_resource(
    issuer: &Arc<Issuer>,
    headers: &HeaderMap,
    body: axum::body::Body,
    wanted: &'static str,
) -> Result<Response, Refusal> {
    let (system, body) = resource_body(issuer, headers, body).await?;
    let (record, new) = fhir::post(issuer, &body, wanted, &system).await?;
    Ok(answers::taken(&record, new))
}

/// Who sends, and the resource as bytes. Refusals are `OperationOutcome`s.
async fn resource_body(
    issuer: &Issuer,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(String, bytes::Bytes), Refusal> {
    let refused = |problem: Problem, code: &str| {
        Refusal::new(problem.status(), code, problem.to_string(), None)
    };
    let system = issuer
        .config
        .tokens
        .check(headers)
        .map_err(|problem| refused(problem, "login"))?
        .to_owned();
    as_it_is(headers).map_err(|problem| refused(problem, "not-supported"))?;
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if ![fhir::MEDIA_TYPE, "application/json"].contains(&media_type.to_ascii_lowercase().as_str()) {
        let text = "application/fhir+json is wanted";
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-supported",
            text,
            None,
        ));
    }
    let body = read_body(body, fhir::RESOURCE_MAX_BYTES)
        .await
        .map_err(|problem| refused(problem, "too-costly"))?;
    Ok((system, body))
}

/// A signed status list (Token Status List).
#[utoipa::path(get, path = "/v1/status-lists/{number}", params(("number" = u32, Path)), responses(
    (status = 200, description = "`application/statuslist+jwt`, the newest on the ledger; `application/statuslist+cwt` where `Accept` names it first"), (status = 404, description = "no such list"),
    (status = 503, description = "`status-list-unpublished`: the ledger does not have it yet")
))]
async fn status_list_token(
    State(issuer): Shared,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let number = list_number(&number)?;
    let (form, media_type) = match wants_cwt(&headers) {
        true => (Form::Cwt, status_list::CWT_MEDIA_TYPE),
        false => (Form::Jwt, status_list::MEDIA_TYPE),
    };
    let token = status::current(&issuer, number, form, now_s()).await;
    let vary = [(header::VARY, header::ACCEPT.to_string())];
    Ok((vary, served_list(&issuer, token, media_type)?).into_response())
}

/// A signed status list as an answer, with how long it may be kept.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn served_list(
    issuer: &Issuer,
    list: Result<Bytes, PublishError>,
    media_type: &str,
) -> Result<impl IntoResponse + use<>, Problem> {
    let list = list.map_err(|error| match &error {
        PublishError::NoSuchList(_) => Problem::not_found(),
        PublishError::Ledger(_) | PublishError::Ahead => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "status-list-unpublished",
            "The ledger does not have this list yet; try again",
        )
        .detail(error.to_string()),
        PublishError::NotRegistered => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-registered",
            "The registry does not have this organisation, or not its credential key",
        ),
        other => Problem::internal(other),
    })?;
    let age = format!("max-age={}", issuer.config.status_list.ttl_s);
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CACHE_CONTROL, age),
    ];
    Ok((headers, list))
}

/// The number of a status list, written in one way only, so that each list has one address.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn list_number(text: &str) -> Result<u32, Problem> {
    let number = text.parse().ok();
    let number = number.filter(|number: &u32| number.to_string() == text);
    number.ok_or_else(Problem::not_found)
}

/// Whether a status list is asked for as a CWT: by its name, and not by that of the JWT before it.
fn wants_cwt(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let known = [status_list::CWT_MEDIA_TYPE, status_list::MEDIA_TYPE];
    kinds.find(|kind| known.contains(kind)) == Some(status_list::CWT_MEDIA_TYPE)
}

/// Extractor: the name of the organisation's own system that asks. It comes before anything else of the request is read, so
/// that strangers hear nothing but 401.
pub(crate) struct OwnSystem(pub(crate) String);

impl FromRequestParts<Arc<Issuer>> for OwnSystem {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, issuer: &Arc<Issuer>) -> Result<Self, Problem> {
        system_of(issuer, &parts.headers).map(Self)
    }
}

/// The name of the system that asks.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn system_of(issuer: &Issuer, headers: &HeaderMap) -> Result<String, Problem> {
    issuer.config.tokens.check(headers).map(str::to_owned)
}

/// An id in a path; what is none is not found.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn id_in(path: &str) -> Result<tegata_consent::ids::RecordId, Problem> {
    tegata_service::http::identifier(path).ok_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::{World, config};

    #[tokio::test]
    async fn a_list_that_cannot_be_published_now_is_asked_for_again() {
        let world = World::new().await;
        let registry = Arc::clone(&world.registry) as Arc<dyn crate::registry::Registry>;
        let config = config(world.folder.path(), "127.0.0.1:1".parse().unwrap());
        let issuer = Issuer::open(config, registry).unwrap();
        for (error, code) in [
            (PublishError::NotRegistered, "not-registered"),
            (PublishError::Ahead, "status-list-unpublished"),
        ] {
            let problem = served_list(&issuer, Err(error), "").err().unwrap();
            assert_eq!((problem.status().as_u16(), problem.code()), (503, code));
        }
    }
}
