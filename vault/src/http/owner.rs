//! The calls of a vault's owner. Every one is signed by the vault's key.

use super::{Shared, id, owned, signed_by_owner};
use crate::error::Failed;
use crate::grants::{self, Carried};
use crate::history;
use crate::host::Host;
use crate::store::{DrawerOpened, StoreError};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use tegata_consent::entry::ENTRY_LIMIT;
use tegata_consent::ids::{DrawerId, GrantId, RecordId, VaultId};
use tegata_consent::invitation::Drawer;
use tegata_consent::order::GrantSubmission;
use tegata_service::http::{Address, Cbor, Encoded, Json};
use tegata_service::problem::Problem;
use tegata_service::signature::SignedRequest;
use tokio_stream::wrappers::ReceiverStream;

/// Items of an export that wait for the receiver.
const EXPORT_AHEAD: usize = 4;

fn internal(error: StoreError) -> Problem {
    Failed::from(error).into()
}

fn created_or(new: bool) -> StatusCode {
    if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

/// Opens a vault.
#[utoipa::path(
    put,
    path = "/v1/vaults/{vault}",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    responses(
        (status = 201, description = "Opened"),
        (status = 200, description = "Open already"),
        (status = 429, description = "`too-many-vaults`: within the hour, from this address or in all"),
        (status = 503, description = "`host-full`")
    )
)]
pub(super) async fn open_vault(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    Address(address): Address,
    request: SignedRequest<0>,
) -> Result<StatusCode, Problem> {
    let vault = signed_by_owner(request.key, &vault)?;
    let open = move |host: &Host| {
        if host.store.has_vault(&vault)? {
            return Ok(false);
        }
        let now_ms = host.now_ms();
        host.admission.vault(address, &host.limits, now_ms)?;
        Ok::<_, Failed>(host.store.open_vault(&vault, now_ms)?)
    };
    let new = shared.host.block(open).await?;
    request.once()?;
    metrics::counter!("tegata_vault_vaults_opened_total").increment(u64::from(new));
    Ok(created_or(new))
}

/// The wallet's sealed index.
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/index",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>, headers(("ETag" = String))),
        (status = 404, description = "`index-none`: nothing was written yet")
    )
)]
pub(super) async fn index(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<0>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    match shared
        .host
        .block(move |host| host.store.index(&vault))
        .await
        .map_err(internal)?
    {
        Some((version, bytes)) => {
            let headers = [
                (header::ETAG, etag(version)),
                (
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/octet-stream"),
                ),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            Ok((headers, bytes).into_response())
        }
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "index-none",
            "This vault has no index yet",
        )),
    }
}

/// Replaces the wallet's sealed index, if nobody else did meanwhile.
#[utoipa::path(
    put,
    path = "/v1/vaults/{vault}/index",
    params(
        ("vault" = String, Path, description = "Vault id, hexadecimal"),
        ("If-Match" = Option<String>, Header, description = "ETag of the index that this one replaces"),
        ("If-None-Match" = Option<String>, Header, description = "`*` for the first one"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 204, headers(("ETag" = String))),
        (status = 412, description = "`index-changed`: read it again"),
        (status = 413, description = "Longer than 1 MiB"),
        (status = 428, description = "`index-condition`: neither If-Match nor If-None-Match")
    )
)]
pub(super) async fn put_index(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    headers: HeaderMap,
    request: SignedRequest<1_048_576>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let most = shared.host.limits.index_bytes_max;
    if request.body.len() > most {
        let problem = Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The index is too long",
        );
        return Err(problem.detail(format!("at most {most} bytes")));
    }
    let expected = expected_version(&headers)?;
    let body = request.body.to_vec();
    match shared
        .host
        .block(move |host| host.store.put_index(&vault, expected, body))
        .await
        .map_err(internal)?
    {
        Ok(version) => {
            Ok((StatusCode::NO_CONTENT, [(header::ETAG, etag(version))]).into_response())
        }
        Err(changed) => {
            let problem = Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "index-changed",
                "The index changed meanwhile; read it again",
            );
            Err(if changed.version == 0 {
                problem.detail("there is no index yet")
            } else {
                problem
            })
        }
    }
}

fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("a number in quotes is a header value")
}

/// The version that a write replaces; 0 for the first.
fn expected_version(headers: &HeaderMap) -> Result<u64, Problem> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or_default().trim())
    };
    let condition = |detail| {
        let title = "Say which index this one replaces";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "index-condition", title).detail(detail)
    };
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, Some("*")) => Ok(0),
        (Some("*"), None) => Err(condition("If-Match: * is not taken: name the ETag")),
        (Some(tag), None) => {
            let version = tag
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'))
                .and_then(|tag| tag.parse().ok());
            // A tag that this host never gave matches nothing.
            Ok(version.filter(|version| *version > 0).unwrap_or(u64::MAX))
        }
        _ => Err(condition(
            "one of If-Match: \"<ETag>\" and If-None-Match: * is needed",
        )),
    }
}

/// Opens a drawer.
#[utoipa::path(
    put,
    path = "/v1/vaults/{vault}/drawers/{drawer}",
    params(
        ("vault" = String, Path, description = "Vault id, hexadecimal"),
        ("drawer" = String, Path, description = "Drawer id, hexadecimal"),
    ),
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "Drawer"),
    responses(
        (status = 201, description = "Opened"),
        (status = 200, description = "The same drawer is open already"),
        (status = 409, description = "`drawer-exists`: the id is taken; `drawers-full`")
    )
)]
pub(super) async fn open_drawer(
    State(shared): State<Shared>,
    Path((vault, drawer)): Path<(String, String)>,
    request: SignedRequest<1024>,
) -> Result<StatusCode, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let path: DrawerId = id(&drawer)?;
    let Cbor(drawer) = Cbor::<Drawer>::parse(&request.body)?;
    if drawer.id != path {
        return Err(Problem::malformed(
            "the drawer's id is not the one in the path",
        ));
    }
    if drawer.category.is_empty() || drawer.category.len() > 100 || drawer.epoch == 0 {
        return Err(Problem::malformed(
            "a drawer has a category of 1 to 100 bytes and an epoch of at least 1",
        ));
    }
    let most = shared.host.limits.drawers_max;
    let opened = shared
        .host
        .block(move |host| host.store.open_drawer(&vault, &drawer, most))
        .await
        .map_err(internal)?;
    match opened {
        DrawerOpened::New => Ok(StatusCode::CREATED),
        DrawerOpened::Same => Ok(StatusCode::OK),
        DrawerOpened::Taken => Err(Problem::new(
            StatusCode::CONFLICT,
            "drawer-exists",
            "Another drawer has this id: choose a random one",
        )),
        DrawerOpened::Full => Err(Problem::new(
            StatusCode::CONFLICT,
            "drawers-full",
            "This vault has as many drawers as it may",
        )),
    }
}

/// The vault's drawers.
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/drawers",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    responses((status = 200, content_type = "application/cbor", body = Vec<u8>, description = "Array of Drawer, by id"))
)]
pub(super) async fn drawers(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<0>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let drawers = shared
        .host
        .block(move |host| host.store.drawers(&vault))
        .await
        .map_err(internal)?;
    Ok(Cbor(drawers).into_response())
}

/// The papers of a drawer's deposits, without the files.
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/drawers/{drawer}",
    params(
        ("vault" = String, Path, description = "Vault id, hexadecimal"),
        ("drawer" = String, Path, description = "Drawer id, hexadecimal"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "DrawerList"),
        (status = 404, description = "`drawer-unknown`")
    )
)]
pub(super) async fn drawer(
    State(shared): State<Shared>,
    Path((vault, drawer)): Path<(String, String)>,
    request: SignedRequest<0>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let drawer = own_drawer(&shared, vault, &drawer).await?;
    let list = shared
        .host
        .block(move |host| host.store.list(&drawer))
        .await
        .map_err(internal)?;
    Ok(Cbor(list).into_response())
}

async fn own_drawer(shared: &Shared, vault: VaultId, drawer: &str) -> Result<DrawerId, Problem> {
    let drawer: DrawerId = id(drawer)?;
    let row = shared
        .host
        .block(move |host| host.store.drawer(&drawer))
        .await
        .map_err(internal)?;
    match row {
        Some(row) if row.vault == vault => Ok(drawer),
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "drawer-unknown",
            "There is no such drawer in this vault",
        )),
    }
}

/// One sealed record with its papers.
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/drawers/{drawer}/records/{record}",
    params(
        ("vault" = String, Path, description = "Vault id, hexadecimal"),
        ("drawer" = String, Path, description = "Drawer id, hexadecimal"),
        ("record" = String, Path, description = "Record id, hexadecimal"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "SealedRecord"),
        (status = 404, description = "`drawer-unknown`, `record-unknown`")
    )
)]
pub(super) async fn record(
    State(shared): State<Shared>,
    Path((vault, drawer, record)): Path<(String, String, String)>,
    request: SignedRequest<0>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let drawer = own_drawer(&shared, vault, &drawer).await?;
    let record: RecordId = id(&record)?;
    let read = move |host: &crate::host::Host| match host.store.kept(&drawer, &record)? {
        Some(papers) => host.store.sealed(papers).map(Some),
        None => Ok(None),
    };
    match shared.host.block(read).await.map_err(internal)? {
        Some(sealed) => Ok(Cbor(sealed).into_response()),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "record-unknown",
            "There is no such record in this drawer",
        )),
    }
}

/// Countersigns and submits a grant, keeps its order, carries its ticket.
#[utoipa::path(
    post,
    path = "/v1/vaults/{vault}/grants",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "GrantSubmission"),
    responses(
        (status = 201, content_type = "application/cbor", body = Vec<u8>, description = "Receipt"),
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "The same grant again: its receipt"),
        (status = 409, description = "`inadmissible` with the ledger's `reason`, `grant-exists`, `grants-full`"),
        (status = 422, description = "`entry…`, `order…`, `ticket`"),
        (status = 429, description = "`too-many-grants`: within the hour"),
        (status = 503, description = "`stale`, `not-final`: send the same bytes again; the host goes on by itself")
    )
)]
pub(super) async fn submit_grant(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<{ GrantSubmission::LIMIT }>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let Cbor(submission) = Cbor::<GrantSubmission>::parse(&request.body)?;
    let carried = grants::grant(&shared.host, vault, submission)
        .await
        .map_err(Failed::from)?;
    Ok(receipt(carried))
}

/// Countersigns and submits a revocation.
#[utoipa::path(
    post,
    path = "/v1/vaults/{vault}/revocations",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "The revocation's entry"),
    responses(
        (status = 201, content_type = "application/cbor", body = Vec<u8>, description = "Receipt"),
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "Revoked before: that receipt"),
        (status = 409, description = "`inadmissible` with the ledger's `reason`"),
        (status = 422, description = "`entry…`"),
        (status = 503, description = "`stale`, `not-final`: send the same bytes again; the host goes on by itself")
    )
)]
pub(super) async fn submit_revocation(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<ENTRY_LIMIT>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let carried = grants::revocation(&shared.host, vault, &request.body)
        .await
        .map_err(Failed::from)?;
    Ok(receipt(carried))
}

/// Countersigns and submits a report that an organisation asked for more than it may.
#[utoipa::path(
    post,
    path = "/v1/vaults/{vault}/over-askings",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "The report's entry"),
    responses(
        (status = 201, content_type = "application/cbor", body = Vec<u8>, description = "Receipt"),
        (status = 409, description = "`inadmissible` with the ledger's `reason`: `over-asking-known`, `not-over-asking`, …"),
        (status = 422, description = "`entry…`"),
        (status = 429, description = "`too-many-reports`: this vault made as many within the hour as it may"),
        (status = 503, description = "`stale`, `not-final`: send the same bytes again")
    )
)]
pub(super) async fn submit_over_asking(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<ENTRY_LIMIT>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let carried = grants::over_asking(&shared.host, vault, &request.body)
        .await
        .map_err(Failed::from)?;
    Ok(receipt(carried))
}

fn receipt(carried: Carried) -> Response {
    (created_or(carried.new), Encoded(carried.receipt)).into_response()
}

/// A grant in the list.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct GrantItem {
    /// Grant id, hexadecimal.
    grant: String,
    /// When the recipient took the ticket, in milliseconds since 1970.
    ticket_delivered_ms: Option<u64>,
}

/// The vault's final grants.
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/grants",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    responses((status = 200, body = Vec<GrantItem>))
)]
pub(super) async fn grants(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<0>,
) -> Result<Json<Vec<GrantItem>>, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let rows = shared
        .host
        .block(move |host| host.store.grants(&vault))
        .await
        .map_err(internal)?;
    let items = rows
        .into_iter()
        .map(|(grant, ticket_delivered_ms)| GrantItem {
            grant: grant.to_string(),
            ticket_delivered_ms,
        });
    Ok(Json(items.collect()))
}

#[derive(serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryPage {
    /// How many accesses there are before the first wanted; 0 where absent. A page has at most 500.
    from: Option<u64>,
}

/// Who read what and when under a grant: a page.
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/grants/{grant}",
    params(
        ("vault" = String, Path, description = "Vault id, hexadecimal"),
        ("grant" = String, Path, description = "Grant id, hexadecimal"),
        HistoryPage,
    ),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "GrantHistory"),
        (status = 404, description = "`grant-unknown`"),
        (status = 503, description = "`stale`")
    )
)]
pub(super) async fn grant_history(
    State(shared): State<Shared>,
    Path((vault, grant)): Path<(String, String)>,
    Query(page): Query<HistoryPage>,
    request: SignedRequest<0>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let grant: GrantId = id(&grant)?;
    let order = shared
        .host
        .block(move |host| host.store.order(&grant))
        .await
        .map_err(internal)?;
    if order.is_none_or(|order| order.vault != vault) {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "grant-unknown",
            "This vault has no such grant",
        ));
    }
    let history = history::history(&shared.host, grant, page.from.unwrap_or(0))
        .await
        .map_err(Failed::from)?;
    Ok(Cbor(history).into_response())
}

/// The whole vault as one file (RFC 8742).
#[utoipa::path(
    get,
    path = "/v1/vaults/{vault}/export",
    params(("vault" = String, Path, description = "Vault id, hexadecimal")),
    responses((status = 200, content_type = "application/cbor-seq", body = Vec<u8>, description = "CBOR sequence"))
)]
pub(super) async fn export(
    State(shared): State<Shared>,
    Path(vault): Path<String>,
    request: SignedRequest<0>,
) -> Result<Response, Problem> {
    let vault = owned(&shared, &request, &vault).await?;
    let host = Arc::clone(&shared.host);
    let (out, items) = tokio::sync::mpsc::channel::<Bytes>(EXPORT_AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = crate::export::export(&host, &vault, &out) {
            tracing::warn!(%error, "an export was cut off");
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/cbor-seq"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"vault.cborseq\"",
        ),
    ];
    Ok((
        headers,
        Body::from_stream(ReceiverStream::new(items).map(Ok::<_, Infallible>)),
    )
        .into_response())
}
