//! HTTP (`specs/API.md`, "Verifier" and "Inbox of a recipient").

use crate::core::Core;
use crate::events;
use crate::inbox::{self, Message};
use crate::reading::{self, Wanted};
use crate::requests::{self, MadeRequest, NewRequest};
use crate::rows::{CopyRow, DecisionRow, DrawerSummary, GrantRow, ReadingRow, Recall};
use crate::verify::{Check, VerifiedRecord};
use axum::Router;
use axum::extract::{FromRef, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::str::FromStr;
use std::sync::Arc;
use tegata_consent::ids::NotAnId;
use tegata_records::fhir::{PatientReference, to_fhir};
use tegata_service::clock;
use tegata_service::http::{Cose, Json, Readiness, standard_routes};
use tegata_service::problem::Problem;
use tegata_service::signature::{SignedRequest, Verifier};
use utoipa::{OpenApi, ToSchema};

/// Longest message to the inbox, in bytes: a ticket in base64url, and a little.
const MESSAGE_MAX: usize = 128 * 1024;
/// Most rows of a list.
const ROWS_MAX: usize = 1000;

#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Core>);

impl FromRef<Shared> for Arc<Verifier> {
    fn from_ref(shared: &Shared) -> Self {
        Arc::clone(&shared.0.signatures)
    }
}

/// One of the organisation's own systems. Asked for before a body is read.
pub(crate) struct OwnSystem;

impl FromRequestParts<Shared> for OwnSystem {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        shared.0.tokens.check(&parts.headers).map(|_| Self)
    }
}

/// All routes.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let readiness = Readiness::of_ledger(&core.ledger);
    Router::new()
        .route("/v1/requests", post(make_request))
        .route("/v1/requests/{id}", get(get_request))
        .route("/v1/inbox", post(take_message))
        .route("/v1/grants", get(list_grants))
        .route("/v1/grants/{grant}/readings", post(read))
        .route("/v1/grants/{grant}/copies/{record}", get(get_copy))
        .route("/v1/recalls", get(list_recalls))
        .route("/v1/readings", get(list_readings))
        .route("/v1/decisions", get(list_decisions))
        .route("/v1/events", get(listen))
        .merge(crate::openid4vp::routes())
        .merge(crate::vc_api::routes(core.vc_api.as_ref()))
        .merge(standard_routes(readiness, openapi()))
        .with_state(Shared(core))
}

/// The description of this service, all of it.
fn openapi() -> utoipa::openapi::OpenApi {
    let mut all = Api::openapi();
    all.merge(crate::openid4vp::Api::openapi());
    all.merge(crate::vc_api::Api::openapi());
    all
}

/// The description of what is here.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tegata verifier",
        description = "Consent requests, inbox of tickets, readings, payout decisions"
    ),
    paths(
        make_request,
        get_request,
        take_message,
        list_grants,
        read,
        get_copy,
        list_recalls,
        list_readings,
        list_decisions,
        listen
    )
)]
struct Api;

/// Makes a consent request, if the registry allows this organisation to ask for it.
#[utoipa::path(post, path = "/v1/requests", request_body = NewRequest, responses(
    (status = 201, body = MadeRequest), (status = 401, description = "no token of an own system"),
    (status = 403, description = "not-accredited"), (status = 422, description = "invalid"), (status = 503, description = "stale")))]
async fn make_request(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    Json(new): Json<NewRequest>,
) -> Result<Response, Problem> {
    let made = requests::make(&core, new).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// The signed consent request (`application/cose`), for whoever has its id.
#[utoipa::path(get, path = "/v1/requests/{id}", params(("id" = String, Path,)), responses(
    (status = 200, content_type = "application/cose"), (status = 404), (status = 410, description = "expired")))]
async fn get_request(
    State(Shared(core)): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(&id, &mut bytes).map_err(|_| Problem::not_found())?;
    let row = core
        .store(move |store| store.request(&bytes))
        .await?
        .ok_or_else(Problem::not_found)?;
    if clock::now_ms() >= row.expires_ms {
        return Err(Problem::new(
            StatusCode::GONE,
            "expired",
            "The consent request has expired; ask for a new one",
        ));
    }
    let signed = URL_SAFE_NO_PAD
        .decode(&row.signed)
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Cose(signed)).into_response())
}

/// Takes a ticket or a ping, signed by a host.
#[utoipa::path(post, path = "/v1/inbox", request_body = Message, responses(
    (status = 204, description = "taken; a ticket may come twice"), (status = 400), (status = 401), (status = 403),
    (status = 404, description = "no-such-grant, no-ticket"), (status = 409, description = "request-answered"),
    (status = 422, description = "ticket, unknown-request, request-mismatch, request-expired"), (status = 503, description = "stale")))]
async fn take_message(
    State(Shared(core)): State<Shared>,
    request: SignedRequest<MESSAGE_MAX>,
) -> Result<StatusCode, Problem> {
    let sender = request.organisation(&core.ledger).await?;
    let Json(message) = Json::<Message>::parse(&request.body)?;
    inbox::take(&core, &sender, message).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsQuery {
    reference: Option<String>,
}

/// Grants whose tickets came in, all or those filed under a reference.
#[utoipa::path(get, path = "/v1/grants", params(("reference" = Option<String>, Query,)), responses((status = 200, body = Vec<GrantRow>), (status = 401)))]
async fn list_grants(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    query: Query<GrantsQuery>,
) -> Result<Json<Vec<GrantRow>>, Problem> {
    let rows = core
        .store(move |store| store.grants(query.0.reference.as_deref(), ROWS_MAX))
        .await?;
    Ok(Json(rows.into_iter().map(|ticket| ticket.row).collect()))
}

/// What part of the grant to read; everything that it covers where nothing is said.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ReadingBody {
    /// Only these drawers.
    drawers: Option<Vec<String>>,
    /// Only these records.
    records: Option<Vec<String>>,
    /// Only records dated at or after this time, in milliseconds since 1970.
    from_ms: Option<u64>,
    /// Only records dated before this time, in milliseconds since 1970.
    until_ms: Option<u64>,
}

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
struct ReadingAnswer {
    /// Entry id of the access.
    access: String,
    /// Height of its block.
    height: u64,
    /// The ledger's receipt for it, base64url.
    receipt: String,
    /// Every record that the host handed out.
    records: Vec<RecordAnswer>,
    /// For every drawer that was asked for whole: whether the host left nothing out.
    drawers: Vec<DrawerSummary>,
}

/// A record. One for which some check does not hold has no claims, and nothing else that stands in it.
#[derive(Debug, Serialize, ToSchema)]
struct RecordAnswer {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    /// Every check holds.
    verified: bool,
    /// Its checks.
    checks: Vec<Check>,
    /// What stands in it, if verified.
    #[serde(flatten)]
    content: Option<ContentAnswer>,
}

/// What stands in a verified record.
#[derive(Debug, Serialize, ToSchema)]
struct ContentAnswer {
    /// Its type.
    record_type: String,
    /// Its drawer.
    drawer: String,
    /// Its date, in milliseconds since 1970.
    date_ms: u64,
    /// Who signed it.
    issuer: IssuerAnswer,
    /// What it says.
    #[schema(value_type = Object)]
    claims: Value,
    /// The same as FHIR R4; absent where there is no mapping.
    #[schema(value_type = Object)]
    fhir: Option<Value>,
    /// The credential as it was signed (SD-JWT VC).
    credential: String,
    /// What lies beside the credential.
    attachments: Vec<AttachmentAnswer>,
    /// The record that it corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    /// The newer record that corrects it: this one is out of date.
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
}

/// An issuer, as registered.
#[derive(Debug, Serialize, ToSchema)]
struct IssuerAnswer {
    id: String,
    ja: String,
    en: String,
}

/// A part of a record beside its credential.
#[derive(Debug, Serialize, ToSchema)]
struct AttachmentAnswer {
    media_type: String,
    name: Option<String>,
    length: u64,
}

/// Reads under a grant: access on the ledger, fetch from the host, open, verify. With no body, or `{}`, everything that the
/// grant covers.
#[utoipa::path(post, path = "/v1/grants/{grant}/readings", params(("grant" = String, Path,)), request_body = ReadingBody, responses(
    (status = 200, body = ReadingAnswer), (status = 401), (status = 403, description = "the refusal's code, with `receipt`"),
    (status = 404, description = "no-ticket"), (status = 422, description = "beyond-grant"), (status = 502, description = "the host"),
    (status = 503, description = "stale")))]
async fn read(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    Path(grant): Path<String>,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let grant = grant.parse().map_err(|_| Problem::not_found())?;
    let body = if body.is_empty() {
        ReadingBody::default()
    } else {
        Json::<ReadingBody>::parse(&body)?.0
    };
    let wanted = Wanted {
        drawers: body.drawers.map(ids).transpose().map_err(malformed)?,
        records: body.records.map(ids).transpose().map_err(malformed)?,
        from_ms: body.from_ms,
        until_ms: body.until_ms,
    };
    // The reading goes on when the asker hangs up: the access is on the ledger by then.
    let reading =
        tokio::spawn(async move { reading::read(&core, grant, wanted, false).await }).await;
    let reading = reading.map_err(|error| Problem::internal(&error))??;
    let summaries = &reading.row.records;
    let mut records: Vec<_> = reading
        .verified
        .iter()
        .zip(summaries)
        .map(|(record, summary)| RecordAnswer {
            record: summary.record.clone(),
            verified: true,
            checks: record.checks().to_vec(),
            content: Some(content(
                record,
                &reading.row.reference,
                summary.superseded_by.clone(),
            )),
        })
        .collect();
    records.extend(reading.refused.iter().map(|record| RecordAnswer {
        record: record.record.map(|id| id.to_string()),
        verified: false,
        checks: record.checks.clone(),
        content: None,
    }));
    let ReadingRow {
        access,
        height,
        receipt,
        drawers,
        ..
    } = reading.row;
    let answer = ReadingAnswer {
        access,
        height,
        receipt,
        records,
        drawers,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn content(
    record: &VerifiedRecord,
    reference: &str,
    superseded_by: Option<String>,
) -> ContentAnswer {
    // The person is who we filed the grant under: nobody is named in the record itself.
    let patient = PatientReference {
        identifier_value: Some(reference.to_owned()),
        ..PatientReference::default()
    };
    let name = record.issuer_name();
    let attachment = |part: &crate::verify::Attachment| AttachmentAnswer {
        media_type: part.media_type.clone(),
        name: part.name.clone(),
        length: part.length,
    };
    ContentAnswer {
        record_type: record.record_type().id().to_owned(),
        drawer: record.drawer().to_string(),
        date_ms: record.date_ms(),
        issuer: IssuerAnswer {
            id: record.issuer().to_string(),
            ja: name.ja.clone(),
            en: name.en.clone(),
        },
        claims: record.claims().clone(),
        fhir: to_fhir(record.record_type(), record.claims(), &patient).ok(),
        credential: record.credential().to_owned(),
        attachments: record.attachments().iter().map(attachment).collect(),
        replaces: record.replaces().map(|id| id.to_string()),
        superseded_by,
    }
}

/// Our copy of a record, as long as the grant's retention lasts. It is what was read, not what stands now.
#[utoipa::path(get, path = "/v1/grants/{grant}/copies/{record}", params(("grant" = String, Path,), ("record" = String, Path,)),
    responses((status = 200, body = CopyRow), (status = 401), (status = 404)))]
async fn get_copy(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    Path((grant, record)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let missing = |_| Problem::not_found();
    let (grant, record) = (
        grant.parse().map_err(missing)?,
        record.parse().map_err(missing)?,
    );
    let copy = core.store(move |store| store.copy(&grant, &record)).await?;
    // One that the deletion has not come to yet is not given out any more.
    let copy = copy
        .filter(|copy| clock::now_ms() < copy.delete_ms)
        .ok_or_else(Problem::not_found)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(copy)).into_response())
}

/// Copies that were dropped because their records were recalled. Systems of our own that hold them are to drop them too.
#[utoipa::path(get, path = "/v1/recalls", responses((status = 200, body = Vec<Recall>), (status = 401)))]
async fn list_recalls(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
) -> Result<Json<Vec<Recall>>, Problem> {
    Ok(Json(core.store(|store| store.recalls(ROWS_MAX)).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadingsQuery {
    before_ms: Option<u64>,
    limit: Option<usize>,
}

/// Readings with their checks and receipts, newest first, without claims.
#[utoipa::path(get, path = "/v1/readings", params(("before_ms" = Option<u64>, Query,), ("limit" = Option<usize>, Query,)),
    responses((status = 200, body = Vec<ReadingRow>), (status = 401)))]
async fn list_readings(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    query: Query<ReadingsQuery>,
) -> Result<Json<Vec<ReadingRow>>, Problem> {
    let (before_ms, limit) = (
        query.before_ms.unwrap_or(u64::MAX),
        query.limit.unwrap_or(100).min(ROWS_MAX),
    );
    Ok(Json(
        core.store(move |store| store.readings(before_ms, limit))
            .await?,
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionsQuery {
    after: Option<u64>,
    limit: Option<usize>,
}

/// Payments that rules decided, in order; `after`: the number of the last one known.
#[utoipa::path(get, path = "/v1/decisions", params(("after" = Option<u64>, Query,), ("limit" = Option<usize>, Query,)),
    responses((status = 200, body = Vec<DecisionRow>), (status = 401)))]
async fn list_decisions(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    query: Query<DecisionsQuery>,
) -> Result<Json<Vec<DecisionRow>>, Problem> {
    let (after, limit) = (
        query.after.unwrap_or(0),
        query.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX),
    );
    Ok(Json(
        core.store(move |store| store.decisions(after, limit))
            .await?,
    ))
}

/// Server-sent events: `ticket`, `ping`, `reading`, `decision`.
#[utoipa::path(get, path = "/v1/events", responses((status = 200, content_type = "text/event-stream"), (status = 401)))]
async fn listen(State(Shared(core)): State<Shared>, _: OwnSystem) -> Response {
    events::stream(core.events.subscribe()).into_response()
}

fn ids<T: FromStr<Err = NotAnId>>(texts: Vec<String>) -> Result<Vec<T>, NotAnId> {
    texts.iter().map(|text| text.parse()).collect()
}

fn malformed(error: NotAnId) -> Problem {
    Problem::malformed(error.to_string())
}
