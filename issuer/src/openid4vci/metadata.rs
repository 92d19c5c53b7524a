//! What outside software reads first: OpenID4VCI 1.0 §12.2, RFC 8414, and of SD-JWT VC the issuer's keys and the type
//! metadata.

use super::own;
use crate::http::Shared;
use crate::issuer::Issuer;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_records::{Lang, RecordType, catalogue};
use tegata_service::clock::now_ms;
use tegata_service::problem::Problem;

/// `grant_type` of pre-authorised codes.
pub(super) const PRE_AUTHORIZED: &str = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
const ENCRYPTIONS: [&str; 2] = ["A128GCM", "A256GCM"];
const SIGNATURES: [&str; 2] = ["ES256", "EdDSA"];

/// What there is to be had here (OpenID4VCI 1.0 §12.2).
#[utoipa::path(get, path = "/.well-known/openid-credential-issuer",
    responses((status = 200, description = "Credential Issuer Metadata"), (status = 503)))]
pub(crate) async fn credential_issuer(State(issuer): Shared) -> Result<Json<Value>, Problem> {
    let own = own(&issuer).await?;
    let openid4vci = issuer.openid4vci();
    let id = issuer.identifier();
    let mut request_key = openid4vci.request_key.public_key().to_jwk();
    request_key["kid"] = openid4vci.request_key.key_id().into();
    request_key["use"] = "enc".into();
    request_key["alg"] = "ECDH-ES".into();
    let name = &own.organisation.name;
    Ok(Json(json!({
        "credential_issuer": id,
        "credential_endpoint": format!("{id}/openid4vci/credential"),
        "nonce_endpoint": format!("{id}/openid4vci/nonce"),
        "batch_credential_issuance": { "batch_size": openid4vci.config.batch_size },
        "credential_request_encryption": {
            "jwks": { "keys": [request_key] },
            "enc_values_supported": ENCRYPTIONS,
            "encryption_required": false,
        },
        "credential_response_encryption": {
            "alg_values_supported": ["ECDH-ES"],
            "enc_values_supported": ENCRYPTIONS,
            "encryption_required": false,
        },
        "display": [{ "name": name.ja, "locale": "ja" }, { "name": name.en, "locale": "en" }],
        "credential_configurations_supported": configurations(&issuer, &own),
    })))
}

/// One configuration for each record type that this organisation may issue; its id is the record type's.
fn configurations(issuer: &Issuer, own: &OrganisationState) -> Map<String, Value> {
    let algorithm = issuer.openid4vci().key.algorithm().name();
    let now = now_ms();
    let types = catalogue().types().iter();
    types
        .filter(|record_type| own.may_issue(record_type.id(), now))
        .map(|record_type| {
            (
                record_type.id().to_owned(),
                configuration(record_type, algorithm),
            )
        })
        .collect()
}

fn configuration(record_type: &RecordType, algorithm: &str) -> Value {
    let metadata: Value = serde_json::from_str(record_type.metadata_json())
        .expect("the catalogue's own tests read it");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let claims = list(&metadata["claims"]).into_iter().map(|claim| {
        let labels = list(&claim["display"]).into_iter();
        let display: Vec<Value> = labels
            .map(|label| json!({ "name": label["label"], "locale": label["locale"] }))
            .collect();
        json!({
            "path": claim["path"],
            "mandatory": claim["mandatory"].as_bool().unwrap_or(false),
            "display": display,
        })
    });
    let display = [Lang::Ja, Lang::En]
        .map(|lang| json!({ "name": record_type.name(lang), "locale": lang.tag() }));
    json!({
        "format": "dc+sd-jwt",
        "vct": record_type.vct(),
        "scope": record_type.id(),
        "cryptographic_binding_methods_supported": ["jwk"],
        "credential_signing_alg_values_supported": [algorithm],
        "proof_types_supported": { "jwt": { "proof_signing_alg_values_supported": SIGNATURES } },
        "credential_metadata": { "display": display, "claims": claims.collect::<Vec<_>>() },
    })
}

/// The authorisation server (RFC 8414).
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server",
    responses((status = 200, description = "Authorization Server Metadata"), (status = 503)))]
pub(crate) async fn authorization_server(State(issuer): Shared) -> Result<Json<Value>, Problem> {
    let own = own(&issuer).await?;
    let id = issuer.identifier();
    let scopes: Vec<String> = configurations(&issuer, &own)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    Ok(Json(json!({
        "issuer": id,
        "authorization_endpoint": format!("{id}/openid4vci/authorize"),
        "token_endpoint": format!("{id}/openid4vci/token"),
        "pushed_authorization_request_endpoint": format!("{id}/openid4vci/par"),
        "require_pushed_authorization_requests": true,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", PRE_AUTHORIZED],
        "pre-authorized_grant_anonymous_access_supported": true,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": SIGNATURES,
        "authorization_details_types_supported": ["openid_credential"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": scopes,
        "ui_locales_supported": ["ja"],
    })))
}

/// With which keys credentials of this issuer are, and were, signed (SD-JWT VC, JWT VC Issuer Metadata).
#[utoipa::path(get, path = "/.well-known/jwt-vc-issuer",
    responses((status = 200, description = "JWT VC Issuer Metadata"), (status = 503)))]
pub(crate) async fn keys(State(issuer): Shared) -> Result<Json<Value>, Problem> {
    let own = own(&issuer).await?;
    let now = now_ms();
    let keys = own.organisation.keys.iter().filter_map(|key| {
        let algorithm = match key.key_use {
            KeyUse::CredentialEdDsa => Algorithm::EdDsa,
            KeyUse::CredentialEs256 => Algorithm::Es256,
            _ => return None,
        };
        // Keys of the past stay: what they signed in their time goes on to hold.
        let key = PublicKey::from_bytes(algorithm, &key.public)
            .ok()
            .filter(|_| key.from_ms <= now)?;
        let mut jwk = key.to_jwk();
        jwk["kid"] = key.key_id().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = algorithm.name().into();
        Some(jwk)
    });
    let keys: Vec<Value> = keys.collect();
    Ok(Json(
        json!({ "issuer": issuer.identifier(), "jwks": { "keys": keys } }),
    ))
}

/// Type metadata of a record type by its `vct`, or its schema by the schema's `$id`: the bytes whose hash is
/// `vct#integrity`, or stands in the metadata.
#[utoipa::path(get, path = "/.well-known/vct/{vct}", params(("vct" = String, Path)),
    responses((status = 200, description = "SD-JWT VC Type Metadata, or JSON Schema"), (status = 404)))]
pub(crate) async fn record_type(Path(vct): Path<String>) -> Result<Response, Problem> {
    let by_vct = |vct: &str| catalogue().by_vct(vct);
    let schema = vct.strip_suffix(":schema").and_then(by_vct);
    let (document, media_type) = match (by_vct(&vct), schema) {
        (Some(found), _) => (found.metadata_json(), "application/json"),
        (None, Some(found)) => (found.schema_json(), "application/schema+json"),
        (None, None) => return Err(Problem::not_found()),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    Ok((headers, document).into_response())
}
