//! Pushed authorisation requests (RFC 9126) with PKCE (RFC 7636): the wallet says what it wants before the person comes.

use super::dpop::{self, DpopProof};
use super::error::OAuthError;
use super::form::{Parameters, Posted};
use super::own;
use super::rows::{Offer, Pushed, offer_slot};
use super::token::use_proof;
use crate::http::Shared;
use crate::issuer::{Issuer, blocking};
use crate::store::{Kind, Slot, StoreError};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tegata_consent::organisation::OrganisationState;
use tegata_credential::json as strict;
use tegata_credential::jws::{decode, encode};
use tegata_service::clock::now_ms;
use tegata_service::http::Address;

/// Before the id of a request in `request_uri` (RFC 9126 §2.2).
const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";
/// Longest `state` in bytes.
const STATE_MAX_BYTES: usize = 1024;
/// Most requests that wait at a time.
pub(super) const WAITING_MAX: usize = 20_000;

/// Takes an authorisation request of a wallet.
#[utoipa::path(post, path = "/openid4vci/par", responses(
    (status = 201, description = "`{\"request_uri\",\"expires_in\"}`"), (status = 400, description = "OAuth error"),
    (status = 401, description = "`invalid_client`"), (status = 429), (status = 503)
))]
pub(crate) async fn push(
    State(issuer): Shared,
    address: Address,
    headers: HeaderMap,
    form: Posted,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::of_form(form)?;
    let now = now_ms();
    let openid4vci = issuer.openid4vci();
    if openid4vci.pushes.check(address, now).is_err() {
        let why = "too many requests from this address";
        let error = OAuthError::new("temporarily_unavailable", why);
        return Err(error.status(StatusCode::TOO_MANY_REQUESTS));
    }
    openid4vci.pushes.wrong(address, now);
    let own = own(&issuer).await?;
    let mut pushed = read(&issuer, &own, &parameters, now)?;
    let proof = proof(&issuer, &headers, now)?;
    pushed.jkt = bound_key(proof.as_ref(), &parameters)?;
    let offer = parameters.get("issuer_state").map(offer_slot);
    let id = encode(&rand::random::<[u8; 16]>());
    let slot = Slot::new(Kind::Pushed, &id);
    blocking(&issuer, move |issuer| {
        store(issuer, pushed, &slot, offer, proof, now)
    })
    .await?;
    let answer = json!({
        "request_uri": format!("{REQUEST_URI}{id}"),
        "expires_in": openid4vci.config.request_ttl_s,
    });
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, axum::Json(answer)).into_response())
}

/// Where a request lies, by its `request_uri`.
pub(super) fn slot(request_uri: &str) -> Option<Slot> {
    let id = request_uri.strip_prefix(REQUEST_URI)?;
    Some(Slot::new(Kind::Pushed, id))
}

fn read(
    issuer: &Issuer,
    own: &OrganisationState,
    parameters: &Parameters,
    now_ms: u64,
) -> Result<Pushed, OAuthError> {
    let config = &issuer.openid4vci().config;
    let invalid = |why: &str| OAuthError::new("invalid_request", why);
    let client = config
        .client(parameters.need("client_id")?)
        .ok_or_else(|| {
            OAuthError::new("invalid_client", "client_id is not known here")
                .status(StatusCode::UNAUTHORIZED)
        })?;
    if ["request", "request_uri"]
        .iter()
        .any(|name| parameters.get(name).is_some())
    {
        return Err(invalid("request objects are not taken"));
    }
    let redirect_uri = parameters.need("redirect_uri")?;
    if !client
        .redirect_uris
        .iter()
        .any(|known| known == redirect_uri)
    {
        return Err(invalid("redirect_uri is not registered for this client"));
    }
    if parameters.need("response_type")? != "code" {
        return Err(OAuthError::new(
            "unsupported_response_type",
            "response_type is not code",
        ));
    }
    let challenge = parameters.need("code_challenge")?;
    if parameters.need("code_challenge_method")? != "S256"
        || !decode(challenge).is_ok_and(|hash| hash.len() == 32)
    {
        return Err(invalid("a code_challenge with S256 is needed"));
    }
    check_resource(issuer, parameters)?;
    let state = parameters.get("state");
    if state.is_some_and(|state| state.len() > STATE_MAX_BYTES) {
        return Err(invalid("state is too long"));
    }
    let (record_types, detailed) = wanted(own, issuer.identifier(), parameters, now_ms)?;
    Ok(Pushed {
        client: client.id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        challenge: challenge.to_owned(),
        state: state.map(str::to_owned),
        record_types,
        detailed,
        offer: None,
        jkt: None,
        wrong: 0,
        used: false,
        expires_ms: now_ms + config.request_ttl_s * 1000,
    })
}

/// RFC 8707: a token for somewhere else is not given out here.
pub(super) fn check_resource(issuer: &Issuer, parameters: &Parameters) -> Result<(), OAuthError> {
    match parameters.get("resource") {
        Some(other) if other.trim_end_matches('/') != issuer.identifier() => Err(OAuthError::new(
            "invalid_target",
            "resource is not this credential issuer",
        )),
        _ => Ok(()),
    }
}

/// Record types by `scope` or `authorization_details`, and whether it was the latter. None: what the offer has.
fn wanted(
    own: &OrganisationState,
    identifier: &str,
    parameters: &Parameters,
    now_ms: u64,
) -> Result<(Vec<String>, bool), OAuthError> {
    let mut types = Vec::new();
    for scope in parameters
        .get("scope")
        .unwrap_or_default()
        .split(' ')
        .filter(|s| !s.is_empty())
    {
        if !own.may_issue(scope, now_ms) {
            return Err(OAuthError::new(
                "invalid_scope",
                "scope names what is not issued here",
            ));
        }
        types.push(scope.to_owned());
    }
    let details = parameters.get("authorization_details");
    let of = |details| detailed_types(details, identifier);
    for id in details.map(of).transpose()?.unwrap_or_default() {
        if !own.may_issue(&id, now_ms) {
            let why = "authorization_details name what is not issued here";
            return Err(OAuthError::new("invalid_authorization_details", why));
        }
        types.push(id);
    }
    types.sort_unstable();
    types.dedup();
    Ok((types, details.is_some()))
}

/// Credential configurations in `authorization_details` (OpenID4VCI 1.0 §5.1.1). What is of another type, has unknown
/// members or wrong values is refused (RFC 9396 §5). Which claims a wallet would like does not narrow what it gets: it shows
/// of a copy what it wants.
pub(super) fn detailed_types(details: &str, identifier: &str) -> Result<Vec<String>, OAuthError> {
    let invalid = |why: &str| OAuthError::new("invalid_authorization_details", why);
    let details = strict::parse(details.as_bytes())
        .map_err(|_| invalid("authorization_details is not JSON with each member once"))?;
    let details = details.as_array().filter(|all| !all.is_empty());
    let type_of = |detail: &Value| {
        if detail["type"] != "openid_credential" {
            return Err(invalid(
                "a type of authorization_details is not openid_credential",
            ));
        }
        let members = detail.as_object().into_iter().flatten();
        for (name, value) in members {
            let fits = match name.as_str() {
                "type" | "credential_configuration_id" => value.is_string(),
                "locations" => list(value, |at| {
                    at.as_str().map(|at| at.trim_end_matches('/')) == Some(identifier)
                }),
                "claims" => list(value, |claim| claim["path"].is_array()),
                _ => return Err(invalid("authorization_details has an unknown member")),
            };
            if !fits {
                return Err(invalid(
                    "a member of authorization_details has a wrong value",
                ));
            }
        }
        let id = detail["credential_configuration_id"].as_str();
        id.map(str::to_owned)
            .ok_or_else(|| invalid("credential_configuration_id is missing"))
    };
    details
        .ok_or_else(|| invalid("authorization_details is not a list"))?
        .iter()
        .map(type_of)
        .collect()
}

fn proof(
    issuer: &Issuer,
    headers: &HeaderMap,
    now_ms: u64,
) -> Result<Option<DpopProof>, OAuthError> {
    let request = dpop::Request {
        url: &format!("{}/openid4vci/par", issuer.identifier()),
        token: None,
        now_s: i64::try_from(now_ms / 1000).unwrap_or(i64::MAX),
    };
    dpop::check(headers, &request).map_err(|error| OAuthError::new(error.code(), &error))
}

/// Whether a value is a list, not empty, whose elements all fit.
fn list(value: &Value, fits: impl Fn(&Value) -> bool) -> bool {
    let all = value.as_array();
    all.is_some_and(|all| !all.is_empty() && all.iter().all(fits))
}

/// The key to which the code is bound (RFC 9449 §10).
fn bound_key(
    proof: Option<&DpopProof>,
    parameters: &Parameters,
) -> Result<Option<String>, OAuthError> {
    let proven = proof.map(|proof| proof.jkt.clone());
    match (proven, parameters.get("dpop_jkt")) {
        (Some(proven), Some(said)) if proven != said => {
            let why = "dpop_jkt is not the key of the DPoP proof";
            Err(OAuthError::new("invalid_dpop_proof", why))
        }
        (proven, said) => Ok(proven.or_else(|| said.map(str::to_owned))),
    }
}

pub(super) fn store(
    issuer: &Issuer,
    mut pushed: Pushed,
    slot: &Slot,
    offer: Option<Slot>,
    proof: Option<DpopProof>,
    now_ms: u64,
) -> Result<(), OAuthError> {
    let mut change = issuer.store.change();
    change.sweep_openid4vci(now_ms)?;
    if change.pushed()? >= WAITING_MAX {
        change.commit()?; // what expired makes room, if not for this one
        let error = OAuthError::new("temporarily_unavailable", "too many requests wait");
        return Err(error.status(StatusCode::SERVICE_UNAVAILABLE));
    }
    if let Some(offer_slot) = offer {
        let offer: Option<Offer> = change.openid4vci(&offer_slot)?;
        let offer = offer
            .filter(|offer| !offer.pre_authorized && !offer.used && now_ms < offer.expires_ms)
            .ok_or_else(|| {
                OAuthError::new("invalid_request", "issuer_state is not of an open offer")
            })?;
        if pushed.record_types.is_empty() {
            pushed.record_types = offer.record_types.clone();
        }
        if !pushed
            .record_types
            .iter()
            .all(|wanted| offer.record_types.contains(wanted))
        {
            return Err(OAuthError::new(
                "invalid_scope",
                "more is asked for than was offered",
            ));
        }
        pushed.offer = Some(offer_slot.key());
    }
    if pushed.record_types.is_empty() {
        let why = "neither scope nor authorization_details nor issuer_state says what is wanted";
        return Err(OAuthError::new("invalid_scope", why));
    }
    if let Some(proof) = proof {
        use_proof(&mut change, &proof, now_ms)?;
    }
    change.put_openid4vci(slot, &pushed, pushed.expires_ms);
    change.commit().map_err(|error: StoreError| error.into())
}
