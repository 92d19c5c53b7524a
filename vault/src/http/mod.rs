//! The host's HTTP interface (`specs/API.md`, "Vault host").

mod deposit;
mod fetch;
mod owner;

use crate::host::Host;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use serde::Serialize;
use std::sync::Arc;
use tegata_consent::ids::VaultId;
use tegata_service::http::{Json, Readiness, standard_routes};
use tegata_service::problem::Problem;
use tegata_service::signature::{KeyId, SignatureError, SignedRequest, Verifier};
use utoipa::OpenApi;

/// What all handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    pub(crate) verifier: Arc<Verifier>,
    /// Base URLs of ledger nodes, for wallets.
    pub(crate) ledgers: Arc<Vec<String>>,
}

impl axum::extract::FromRef<Shared> for Arc<Verifier> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.verifier)
    }
}

/// All routes.
pub(crate) fn router(shared: Shared) -> Router {
    let host = Arc::clone(&shared.host);
    let readiness = Readiness::new(move || host.ledger.newest().map(drop).map_err(Problem::from));
    Router::new()
        .route("/v1/host", get(about))
        .route("/v1/vaults/{vault}", put(owner::open_vault))
        .route(
            "/v1/vaults/{vault}/index",
            get(owner::index).put(owner::put_index),
        )
        .route("/v1/vaults/{vault}/drawers", get(owner::drawers))
        .route(
            "/v1/vaults/{vault}/drawers/{drawer}",
            get(owner::drawer).put(owner::open_drawer),
        )
        .route(
            "/v1/vaults/{vault}/drawers/{drawer}/records/{record}",
            get(owner::record),
        )
        .route(
            "/v1/vaults/{vault}/grants",
            get(owner::grants).post(owner::submit_grant),
        )
        .route(
            "/v1/vaults/{vault}/grants/{grant}",
            get(owner::grant_history),
        )
        .route(
            "/v1/vaults/{vault}/revocations",
            post(owner::submit_revocation),
        )
        .route(
            "/v1/vaults/{vault}/over-askings",
            post(owner::submit_over_asking),
        )
        .route("/v1/vaults/{vault}/export", get(owner::export))
        .route("/v1/drawers/{drawer}/records", post(deposit::deposit))
        .route("/v1/fetch", post(fetch::fetch))
        .merge(standard_routes(readiness, Api::openapi()))
        .with_state(shared)
}

/// The interface, as OpenAPI.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tegata vault host",
        description = "Keeps vaults that it cannot read. Bodies of `application/cbor` are deterministic CBOR as in specs/consent; \
                       errors are RFC 9457 problem details with a stable `code`. Vaults and recipients sign their requests (RFC 9421)."
    ),
    paths(
        about,
        owner::open_vault,
        owner::index,
        owner::put_index,
        owner::open_drawer,
        owner::drawers,
        owner::drawer,
        owner::record,
        owner::submit_grant,
        owner::submit_revocation,
        owner::submit_over_asking,
        owner::grants,
        owner::grant_history,
        owner::export,
        deposit::deposit,
        fetch::fetch,
    )
)]
struct Api;

/// Who this host is.
#[derive(Serialize, utoipa::ToSchema)]
struct About {
    /// The host's organisation id.
    organisation: String,
    /// The ledger's chain id.
    chain: String,
    /// Base URLs of ledger nodes.
    ledgers: Vec<String>,
}

/// Who this host is, and which ledger it stands on.
#[utoipa::path(get, path = "/v1/host", responses((status = 200, body = About)))]
async fn about(State(shared): State<Shared>) -> Json<About> {
    Json(About {
        organisation: shared.host.id.to_string(),
        chain: shared.host.chain.to_string(),
        ledgers: shared.ledgers.to_vec(),
    })
}

/// An identifier in a path: lower-case hexadecimal, and in no other way.
fn id<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Problem::not_found());
    }
    text.parse().map_err(|_| Problem::not_found())
}

/// The vault in the path, if its owner signed and it is open here; the request is taken once. A vault that is not open, and
/// one that is another's, look the same from outside.
async fn owned<const LIMIT: usize>(
    shared: &Shared,
    request: &SignedRequest<LIMIT>,
    vault: &str,
) -> Result<VaultId, Problem> {
    let vault = signed_by_owner(request.key, vault)?;
    let open = shared
        .host
        .block(move |host| host.store.has_vault(&vault))
        .await;
    if !open.map_err(|error| Problem::internal(&error))? {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "vault-unknown",
            "There is no such vault here; open it first",
        ));
    }
    request.once()?;
    Ok(vault)
}

fn signed_by_owner(key: KeyId, vault: &str) -> Result<VaultId, Problem> {
    let vault: VaultId = id(vault)?;
    match key {
        KeyId::Vault(signer) if signer == vault => Ok(vault),
        KeyId::Vault(_) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "not-owner",
            "Another vault's owner signed this request",
        )),
        KeyId::Organisation(..) => Err(SignatureError::OtherKind("owners of vaults").into()),
    }
}
