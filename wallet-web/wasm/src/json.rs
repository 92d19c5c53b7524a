//! Reading and writing what crosses the border.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fmt::Display;
use std::str::FromStr;
use tegata_consent::organisation::{KeyUse, OrganisationState, Role};
use tegata_consent::proof::Proven;
use tegata_consent::state::{GrantState, Outcome};
use wasm_bindgen::JsError;

/// A thrown error with the message of the pure crate's error.
pub(crate) fn thrown(error: impl Display) -> JsError {
    JsError::new(&error.to_string())
}

/// Reads an identifier in hexadecimal.
pub(crate) fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, JsError> {
    text.parse().map_err(thrown)
}

/// Reads 32 bytes.
pub(crate) fn bytes32(bytes: &[u8], what: &str) -> Result<[u8; 32], JsError> {
    bytes
        .try_into()
        .map_err(|_| JsError::new(&format!("{what} has {} bytes, not 32", bytes.len())))
}

/// Bytes as base64url without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding.
pub(crate) fn from_base64url(text: &str, what: &str) -> Result<Vec<u8>, JsError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JsError::new(&format!("{what} is not base64url")))
}

/// An organisation with the header that proves it.
pub(crate) fn organisation(proven: &Proven<OrganisationState>) -> String {
    let header = proven.header.header();
    let state = proven.value.as_ref().map(|state| {
        let organisation = &state.organisation;
        json!({
            "id": state.id.to_string(),
            "name": { "ja": organisation.name.ja, "en": organisation.name.en },
            "roles": organisation.roles.iter().map(|role| role_name(*role)).collect::<Vec<_>>(),
            "services": organisation.services.iter().map(|service| json!({
                "role": role_name(service.role), "url": service.url,
            })).collect::<Vec<_>>(),
            "did": organisation.did,
            "keys": organisation.keys.iter().map(|key| json!({
                "use": match key.key_use {
                    KeyUse::Sign => "sign",
                    KeyUse::Seal => "seal",
                    KeyUse::CredentialEdDsa => "credential-eddsa",
                    KeyUse::CredentialEs256 => "credential-es256",
                },
                "public": hex::encode(&key.public),
                "fromMs": key.from_ms,
                "untilMs": key.until_ms,
            })).collect::<Vec<_>>(),
            "issues": organisation.issues.iter().map(|issues| json!({
                "recordType": issues.record_type, "fromMs": issues.from_ms, "untilMs": issues.until_ms,
            })).collect::<Vec<_>>(),
            "asks": organisation.asks.iter().map(|asks| json!({
                "purpose": asks.purpose, "categories": asks.categories, "retentionMaxDays": asks.retention_max_days,
            })).collect::<Vec<_>>(),
            "suspensions": state.suspensions.iter().map(|time| json!({
                "fromMs": time.from_ms, "untilMs": time.until_ms,
            })).collect::<Vec<_>>(),
        })
    });
    json!({ "height": header.height, "timeMs": header.time_ms, "organisation": state }).to_string()
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

/// A grant's state with the header that proves it.
pub(crate) fn grant(proven: &Proven<GrantState>) -> Value {
    let header = proven.header.header();
    json!({ "height": header.height, "timeMs": header.time_ms, "grant": proven.value.as_ref().map(grant_state) })
}

fn grant_state(state: &GrantState) -> Value {
    let grant = &state.grant;
    json!({
        "recipient": grant.recipient.to_string(),
        "sponsor": grant.sponsor.to_string(),
        "categories": grant.categories,
        "purpose": grant.purpose,
        "legalBasis": grant.legal_basis,
        "retentionDays": grant.retention_days,
        "fromMs": grant.from_ms,
        "untilMs": grant.until_ms,
        "usesMax": grant.uses_max,
        "commitment": grant.commitment.to_string(),
        "grantedMs": state.granted_ms,
        "revokedMs": state.revoked_ms,
        "uses": state.uses,
        "accesses": state.accesses,
    })
}

/// An outcome: `null` for applied, else the code of the refusal.
pub(crate) fn outcome(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Applied => Value::Null,
        Outcome::Refused(refusal) => Value::String(refusal.code().to_owned()),
    }
}
