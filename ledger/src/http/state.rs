//! What is in force, with proof.

use super::{Api, failed, identifier};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::state::StateKey;
use tegata_service::http::Cbor;
use tegata_service::problem::Problem;
use utoipa::ToSchema;

/// What stands for a grant at the newest header: a consent proof, also where there is no such grant.
#[utoipa::path(get, path = "/v1/state/grants/{id}", params(("id" = String, Path, description = "Grant id, hexadecimal")),
    responses((status = 200, description = "StateProof", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn grant(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    prove(&api, &StateKey::grant(&identifier(&id)?))
}

/// What stands for an organisation at the newest header, also where there is none.
#[utoipa::path(get, path = "/v1/state/organisations/{id}", params(("id" = String, Path, description = "Organisation id, hexadecimal")),
    responses((status = 200, description = "StateProof", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn organisation(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    prove(&api, &StateKey::organisation(&identifier(&id)?))
}

/// The newest status list that an issuer published under one URI, at the newest header, also where there is none.
#[utoipa::path(get, path = "/v1/state/status-lists/{issuer}/{list}", params(
        ("issuer" = String, Path, description = "Organisation id, hexadecimal"),
        ("list" = String, Path, description = "Hash of the URI, hexadecimal (status.md)")),
    responses((status = 200, description = "StateProof", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn status_list(
    State(api): State<Api>,
    Path((issuer, list)): Path<(String, String)>,
) -> Result<Response, Problem> {
    prove(
        &api,
        &StateKey::status_list(&identifier(&issuer)?, &identifier(&list)?),
    )
}

/// Whether a consent request was reported as over-asking, at the newest header.
#[utoipa::path(get, path = "/v1/state/over-askings/{request}", params(("request" = String, Path, description = "Digest of the consent request, hexadecimal")),
    responses((status = 200, description = "StateProof", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn over_asking(
    State(api): State<Api>,
    Path(request): Path<String>,
) -> Result<Response, Problem> {
    prove(&api, &StateKey::over_asking(&identifier(&request)?))
}

/// Whether a recipient confirmed an erasure, at the newest header.
#[utoipa::path(get, path = "/v1/state/erasures/{recipient}/{commitment}", params(
        ("recipient" = String, Path, description = "Organisation id, hexadecimal"),
        ("commitment" = String, Path, description = "Commitment to access and record, hexadecimal (status.md)")),
    responses((status = 200, description = "StateProof", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn erasure(
    State(api): State<Api>,
    Path((recipient, commitment)): Path<(String, String)>,
) -> Result<Response, Problem> {
    prove(
        &api,
        &StateKey::erasure(&identifier(&recipient)?, &identifier(&commitment)?),
    )
}

fn prove(api: &Api, key: &StateKey) -> Result<Response, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    // Before the first block there is no header to prove anything in.
    let proof = view
        .state_proof(key)
        .map_err(failed)?
        .ok_or_else(Problem::stale)?;
    Ok(Cbor(proof).into_response())
}

/// An organisation, for people.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedOrganisation {
    /// Id, hexadecimal.
    id: String,
    /// Name.
    name: ListedName,
    /// `issuer`, `verifier`, `host`, `validator`, `auditor`.
    roles: Vec<&'static str>,
    /// Where its services answer, at most one for each role.
    services: Vec<ListedService>,
    /// Whether it is suspended now.
    suspended: bool,
}

/// A service.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedService {
    /// In which role.
    role: &'static str,
    /// Base URL, without a slash at the end.
    url: String,
}

/// A name in two languages.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedName {
    /// Japanese.
    ja: String,
    /// English.
    en: String,
}

/// An index of all organisations, for people; it proves nothing.
#[utoipa::path(get, path = "/v1/state/organisations", responses((status = 200, body = Vec<ListedOrganisation>)))]
pub(super) async fn organisations(
    State(api): State<Api>,
) -> Result<axum::Json<Vec<ListedOrganisation>>, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let listed = view
        .organisations()
        .map_err(failed)?
        .into_iter()
        .map(|state| ListedOrganisation {
            id: state.id.to_string(),
            services: services(&state),
            suspended: state.suspended_at(view.tip().time_ms),
            roles: state
                .organisation
                .roles
                .iter()
                .map(|role| role_name(*role))
                .collect(),
            name: ListedName {
                ja: state.organisation.name.ja,
                en: state.organisation.name.en,
            },
        });
    Ok(axum::Json(listed.collect()))
}

fn services(state: &OrganisationState) -> Vec<ListedService> {
    let services = state.organisation.services.iter();
    let listed = services.map(|service| ListedService {
        role: role_name(service.role),
        url: service.url.clone(),
    });
    listed.collect()
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Issuer => "issuer",
        Role::Verifier => "verifier",
        Role::Host => "host",
        Role::Validator => "validator",
        Role::Auditor => "auditor",
    }
}
