//! W3C credentials by hand: the issuing part of the VC-API (W3C CCG), for the organisation's own systems and for test suites;
//! and the organisation's DID document. The VC-API is mounted only where the configuration has `[vc_api]`.
//!
//! Architecture invariant: what is signed here is closed (`specs/credential/data-integrity.md`), by us and for us; and where
//! it claims to be a record of the catalogue, it is one, and we are accredited for it.

use super::{OwnSystem, Shared, list_number, served_list};
use crate::intake;
use crate::issuer::{Issuer, blocking, random_id};
use crate::status::{self, Form};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::map::Entry;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose};
use tegata_credential::data_integrity::{
    Cryptosuite, DataIntegrityError, EddsaJcs2022, ProofOptions, parse, sign_credential,
};
use tegata_credential::did::{Did, DidDocument, DidKey};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_records::RecordType;
use tegata_service::clock::{now_ms, now_s};
use tegata_service::problem::Problem;
use tegata_w3c::record;

/// Configuration of the VC-API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VcApiConfig {
    /// Which cryptosuite signs.
    pub cryptosuite: VcCryptosuite,
}

/// A cryptosuite of W3C credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum VcCryptosuite {
    /// Over canonical JSON: fast.
    #[default]
    #[serde(rename = "eddsa-jcs-2022")]
    Jcs,
    /// Over RDF: a millisecond for each.
    #[serde(rename = "eddsa-rdfc-2022")]
    Rdfc,
}

impl VcCryptosuite {
    pub(crate) fn suite(self) -> &'static dyn Cryptosuite {
        match self {
            Self::Jcs => &EddsaJcs2022,
            Self::Rdfc => tegata_w3c::eddsa_rdfc_2022(),
        }
    }
}

/// The organisation's DID document: with which keys its credentials are, and were, signed.
#[utoipa::path(get, path = "/.well-known/did.json", responses(
    (status = 200, description = "DID document"), (status = 404, description = "the organisation has no did:web"), (status = 503)
))]
pub(crate) async fn did_document(State(issuer): Shared) -> Result<Response, Problem> {
    let own = own(&issuer).await?;
    let did = Did::parse(&own.organisation.did).map_err(|_| Problem::not_found())?;
    let document = document_of(&did, &own).to_json();
    Ok((
        [(header::CONTENT_TYPE, "application/did+json")],
        document.to_string(),
    )
        .into_response())
}

/// Signs a credential. Where it names no status of its own, it gets a place in a list of ours (Bitstring Status List); `Location`
/// names the record by which it is revoked. `options.cryptosuite` may name another suite than the configured one; other options
/// are not heeded.
#[utoipa::path(post, path = "/credentials/issue", request_body(content = Value, description = "`{credential, options?}`"), responses(
    (status = 201, description = "`{verifiableCredential}`; `Location` names the record"), (status = 400, description = "the credential cannot be signed; `code` says why"),
    (status = 401), (status = 403, description = "not accredited for this record type"), (status = 503)
))]
pub(crate) async fn issue(
    OwnSystem(system): OwnSystem,
    State(issuer): Shared,
    body: Bytes,
) -> Result<Response, Problem> {
    let mut request = parse(&body).map_err(|error| refused(&error))?;
    let Some(Value::Object(mut credential)) = request.remove("credential") else {
        return Err(Problem::malformed(
            "`credential` is missing, or is no object",
        ));
    };
    let config = issuer.config.vc_api.clone().unwrap_or_default();
    let wanted = request
        .get("options")
        .and_then(|options| options.get("cryptosuite"));
    let suite = match wanted.map(VcCryptosuite::deserialize) {
        None => config.cryptosuite,
        Some(Ok(suite)) => suite,
        Some(Err(_)) => {
            return Err(Problem::malformed(
                "`options.cryptosuite` is not one that we sign with",
            ));
        }
    };
    let own = own(&issuer).await?;
    credential
        .entry("issuer")
        .or_insert_with(|| own.organisation.did.as_str().into());
    let kind = accredited(&credential, &own)?;
    let (key, method) = signing_key(&issuer, &own)?;
    let signed = blocking(&issuer, move |issuer| {
        let place = match credential.entry("credentialStatus") {
            Entry::Occupied(_) => None,
            Entry::Vacant(status) => {
                let place = issuer.store.reserve_place(rand::random);
                let entry = |purpose| {
                    let entry = BitstringEntry {
                        list: issuer.bitstring_uri(place.list, purpose),
                        index: place.index.into(),
                        purpose,
                    };
                    entry.to_json()
                };
                let purposes = [StatusPurpose::Revocation, StatusPurpose::Suspension];
                status.insert(purposes.map(entry).into());
                Some((random_id(), place))
            }
        };
        let options = ProofOptions::new(&method, now_s());
        let suite = suite.suite();
        let signed = sign_credential(credential, suite, tegata_w3c::contexts(), &options, &key);
        let signed = signed.map_err(|error| {
            place
                .iter()
                .for_each(|(_, place)| issuer.store.give_back(*place));
            refused(&error)
        });
        let signed = Value::Object(signed?);
        if let Some(place) = place {
            let mut change = issuer.store.change();
            intake::issued(&mut change, &signed, kind, &system, place, now_ms())
                .and_then(|_| change.commit())
                .map_err(|error| Problem::internal(&error))?;
            issuer.show_counts();
        }
        Ok::<_, Problem>((signed, place.map(|(id, _)| id)))
    });
    let (signed, record) = signed.await?;
    let body = Json(json!({ "verifiableCredential": signed }));
    Ok(match record {
        Some(id) => {
            let location = [(header::LOCATION, format!("/v1/records/{id}"))];
            (StatusCode::CREATED, location, body).into_response()
        }
        None => (StatusCode::CREATED, body).into_response(),
    })
}

/// A list of W3C credentials that are revoked, or suspended, signed (Bitstring Status List), with the places of the status
/// list of that number.
#[utoipa::path(get, path = "/v1/status-lists/{number}/{purpose}", params(("number" = u32, Path), ("purpose" = String, Path, description = "`revocation` or `suspension`")), responses(
    (status = 200, description = "`application/vc`, the newest on the ledger"), (status = 404, description = "no such list"),
    (status = 503, description = "`status-list-unpublished`: the ledger does not have it yet; `not-registered`: the registry does not have the key that signs it")
))]
pub(crate) async fn bitstring_list(
    State(issuer): Shared,
    Path((number, purpose)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let number = list_number(&number)?;
    let form = match StatusPurpose::from_name(&purpose) {
        Ok(StatusPurpose::Revocation) => Form::Revocation,
        Ok(StatusPurpose::Suspension) => Form::Suspension,
        Err(_) => return Err(Problem::not_found()),
    };
    let list = status::current(&issuer, number, form, now_s()).await;
    Ok(served_list(&issuer, list, "application/vc")?.into_response())
}

/// That a credential of the catalogue fits its type, and that we may issue it. Gives the type.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn accredited(
    credential: &Map<String, Value>,
    own: &OrganisationState,
) -> Result<Option<&'static RecordType>, Problem> {
    let record = record::of_document(credential).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            error.code(),
            "The credential is not the record that it claims to be",
        )
        .detail(error.to_string())
    })?;
    match record {
        Some(record) if !own.may_issue(record.record_type.id(), now_ms()) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "not-accredited",
            "This organisation is not accredited to issue this record type",
        )),
        record => Ok(record.map(|record| record.record_type)),
    }
}

/// The registered Ed25519 key for credentials, and its DID URL.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn signing_key(issuer: &Issuer, own: &OrganisationState) -> Result<(SigningKey, String), Problem> {
    let key = issuer.w3c_key(own, now_ms());
    key.map_err(|error| Problem::internal(&error))?
        .ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "key-not-registered",
                "The registry does not have our credential key",
            )
        })
}

fn document_of(did: &Did, own: &OrganisationState) -> DidDocument {
    let seconds = |ms: u64| i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let keys = own.organisation.keys.iter().filter_map(|key| {
        let algorithm = match key.key_use {
            KeyUse::CredentialEdDsa => Algorithm::EdDsa,
            KeyUse::CredentialEs256 => Algorithm::Es256,
            _ => return None,
        };
        Some(DidKey {
            key: PublicKey::from_bytes(algorithm, &key.public).ok()?,
            from: Some(seconds(key.from_ms)),
            until: key.until_ms.map(seconds),
        })
    });
    DidDocument::for_organisation(did, &keys.collect::<Vec<_>>())
}

async fn own(issuer: &Arc<Issuer>) -> Result<OrganisationState, Problem> {
    issuer.own().await?.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-registered",
            "This organisation is not registered",
        )
    })
}

fn refused(error: &DataIntegrityError) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        error.code(),
        "The credential cannot be signed",
    )
    .detail(error.to_string())
}
