//! W3C credentials and presentations by hand: the verifying part of the VC-API (W3C CCG), for the organisation's own systems
//! and for test suites. Mounted only where the configuration has `[vc_api]`.
//!
//! What verifies here is believed by nobody else in this service: a record that is read under a grant goes through
//! [`crate::verify`].

use crate::api::{OwnSystem, Shared};
use crate::core::Core;
use crate::openid4vp::registered_issuer;
use crate::status::lies_under;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::organisation::{KeyUse, OrganisationState, Role};
use tegata_consent::status::{check_status_list, status_list_id};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose, VerifiedBitstring};
use tegata_credential::data_integrity::{
    DOCUMENT_MAX_BYTES, DataIntegrityError, HolderRule, PresentationPolicy, VerifiedCredential,
    Verifier, parse, signer,
};
use tegata_credential::did::{self, Did, DidDocument, DidError, DidKey, DidMethod};
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_service::clock::{now_ms, now_s};
use tegata_service::problem::Problem;
use tegata_w3c::record;
use utoipa::OpenApi;

/// Longest request: a document and what is around it.
const REQUEST_MAX_BYTES: usize = DOCUMENT_MAX_BYTES + 4_096;
/// Most DIDs that one request makes us look up.
const DIDS_MAX: usize = 33;
/// Before a list that is not the ledger's newest is asked for once more.
const AGAIN: Duration = Duration::from_millis(500);
/// Most entries of a credential's status: each is a list that we ask for.
const STATUS_ENTRIES_MAX: usize = 4;
/// Options of the VC-API that change nothing here.
const IDLE_OPTIONS: [&str; 6] = [
    "checks",
    "includeCredential",
    "returnCredential",
    "returnPresentation",
    "returnProblemDetails",
    "returnResults",
];
/// Codes of [`check_status_list`].
const NOT_ON_LEDGER: &str = "status_list_not_on_ledger";
const SUPERSEDED: &str = "status_list_superseded";
/// Until a web server answers.
const TIMEOUT: Duration = Duration::from_secs(5);

type Object = Map<String, Value>;

/// Configuration of the VC-API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VcApiConfig {
    /// Hosts (with port, where it is not 443) whose `did:web` documents are fetched. Others are looked up in the ledger's
    /// registry only.
    pub did_web_hosts: BTreeSet<String>,
}

/// What this module adds to the description of the service.
#[derive(OpenApi)]
#[openapi(paths(verify_credential, verify_presentation))]
pub(crate) struct Api;

/// The routes, where they are configured.
pub(crate) fn routes(config: Option<&VcApiConfig>) -> Router<Shared> {
    match config {
        None => Router::new(),
        Some(_) => Router::new()
            .route("/credentials/verify", post(verify_credential))
            .route("/presentations/verify", post(verify_presentation))
            .layer(DefaultBodyLimit::max(REQUEST_MAX_BYTES)),
    }
}

/// Verifies a credential, whether its issuer may issue it, and its status where it has one.
#[utoipa::path(post, path = "/credentials/verify", request_body(content = Value, description = "`{verifiableCredential, options?}`"), responses(
    (status = 200, description = "`{verified: true, …}`"), (status = 400, description = "`{verified: false, problemDetails}`, or a malformed request"),
    (status = 401), (status = 503, description = "the ledger gives no answer")
))]
async fn verify_credential(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    body: Bytes,
) -> Result<Response, Problem> {
    let (document, options) = request(&body, &["verifiableCredential", "credential"])?;
    known_options(&options, &[])?;
    let known = resolve_all(&core, [&document]).await?;
    let text = Value::Object(document).to_string();
    let verified = verify(&known, move |verifier| verifier.credential(text.as_bytes())).await?;
    Ok(match verified {
        Err(error) => refusal(error.code(), &error.to_string()),
        Ok(credential) => match beyond_proof(&core, &known, &credential).await {
            Err((code, detail)) => refusal(code, &detail),
            Ok(checks) => holds(&checks),
        },
    })
}

/// Verifies a presentation, and all its credentials as above. `options.challenge` and `options.domain` are what it must
/// answer.
#[utoipa::path(post, path = "/presentations/verify", request_body(content = Value, description = "`{verifiablePresentation, options: {challenge?, domain?}}`"), responses(
    (status = 200, description = "`{verified: true, …}`"), (status = 400, description = "`{verified: false, problemDetails}`, or a malformed request"),
    (status = 401), (status = 503, description = "the ledger gives no answer")
))]
async fn verify_presentation(
    State(Shared(core)): State<Shared>,
    _: OwnSystem,
    body: Bytes,
) -> Result<Response, Problem> {
    let (document, options) = request(&body, &["verifiablePresentation", "presentation"])?;
    known_options(&options, &["challenge", "domain"])?;
    let option = |name: &str| -> Result<Option<String>, Problem> {
        match options.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Problem::malformed(format!("`options.{name}` is no text"))),
        }
    };
    let (challenge, domain) = (option("challenge")?, option("domain")?);
    let embedded = match document.get("verifiableCredential") {
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_object).collect(),
        Some(Value::Object(one)) => vec![one],
        _ => Vec::new(),
    };
    let known = resolve_all(&core, embedded.into_iter().chain([&document])).await?;
    let text = Value::Object(document).to_string();
    let verified = verify(&known, move |verifier| {
        let policy = PresentationPolicy {
            challenge: challenge.as_deref(),
            domain: domain.as_deref(),
            holder: HolderRule::Anybody,
        };
        verifier.presentation(text.as_bytes(), &policy)
    });
    let presentation = match verified.await? {
        Err(error) => return Ok(refusal(error.code(), &error.to_string())),
        Ok(presentation) => presentation,
    };
    let mut all = BTreeSet::new();
    for credential in presentation.credentials() {
        match beyond_proof(&core, &known, credential).await {
            Err((code, detail)) => return Ok(refusal(code, &detail)),
            Ok(checks) => all.extend(checks),
        }
    }
    Ok(holds(&all.into_iter().collect::<Vec<_>>()))
}

/// The document, under one of `names`, and the options. A member that nobody knows is refused: it may have been meant to be
/// checked.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn request(body: &[u8], names: &[&str]) -> Result<(Object, Object), Problem> {
    // What is around the document may make it a little longer than a document may be.
    let mut request = tegata_credential::json::parse_object(body)
        .map_err(|error| Problem::malformed(error.to_string()))?;
    let document = match names.iter().find_map(|name| request.remove(*name)) {
        Some(Value::Object(document)) => document,
        _ => {
            let missing = format!("`{}` is missing, or is no object", names[0]);
            return Err(Problem::malformed(missing));
        }
    };
    let options = match request.remove("options") {
        None | Some(Value::Null) => Object::new(),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(Problem::malformed("`options` is no object")),
    };
    match request.keys().next() {
        None => Ok((document, options)),
        Some(_) => Err(Problem::malformed(format!(
            "there is more than `{}` and `options`",
            names[0]
        ))),
    }
}

/// Refuses an option that is neither in `checked` nor one of those that change nothing here: everything is checked always,
/// and what came is not sent back.
#[allow(clippy::result_large_err, reason = "a problem ends the request")]
fn known_options(options: &Object, checked: &[&str]) -> Result<(), Problem> {
    let known = |name: &str| checked.contains(&name) || IDLE_OPTIONS.contains(&name);
    match options
        .iter()
        .find(|(name, value)| !known(name) && !value.is_null())
    {
        None => Ok(()),
        Some(_) => Err(Problem::malformed(format!(
            "an option is not known; known are {}",
            [checked, &IDLE_OPTIONS].concat().join(", ")
        ))),
    }
}

fn holds(checks: &[&str]) -> Response {
    Json(json!({ "verified": true, "checks": checks, "warnings": [], "errors": [], "problemDetails": [] })).into_response()
}

/// The VC-API's form of a problem (VCDM 2.0 §7.1: RFC 9457), with our code.
fn refusal(code: &str, detail: &str) -> Response {
    let problem = json!({ "type": format!("urn:tegata:problem:{code}"), "title": "It does not verify", "code": code, "detail": detail });
    let body = json!({ "verified": false, "checks": [], "warnings": [], "errors": [code], "problemDetails": [problem] });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// The documents of the DIDs that signed, as far as they can be had.
struct Known {
    documents: BTreeMap<Did, Arc<DidDocument>>,
    /// Those of them that the registry or the configuration vouches for, each with the URL under which its status lists lie:
    /// from there they are fetched, and from nowhere else.
    vouched: BTreeMap<Did, String>,
    /// Those of them that the registry has: it says what they may issue, and of their status lists only the ledger's newest
    /// counts.
    registered: BTreeMap<Did, OrganisationState>,
}

/// Looks signers up. While the registry gives no answer nobody knows whether a web host may speak for its DID: then there is
/// none here either.
async fn resolve_all<'a>(
    core: &Core,
    signed: impl IntoIterator<Item = &'a Map<String, Value>>,
) -> Result<Known, Problem> {
    let mut known = Known {
        documents: BTreeMap::new(),
        vouched: BTreeMap::new(),
        registered: BTreeMap::new(),
    };
    let dids: BTreeSet<Did> = signed
        .into_iter()
        .filter_map(signer)
        .take(DIDS_MAX)
        .collect();
    for did in dids {
        let document = if did.method() == DidMethod::Web {
            match registered_issuer(core, did.as_str()).await? {
                Some(state) => {
                    let base = state.organisation.url(Role::Issuer).unwrap_or_default();
                    known.vouched.insert(did.clone(), base.to_owned());
                    let document = of_registry(&did, &state);
                    known.registered.insert(did.clone(), state);
                    Some(document)
                }
                None => {
                    let found = fetched(core, &did).await;
                    found.map(|(document, base)| {
                        known.vouched.insert(did.clone(), base);
                        document
                    })
                }
            }
        } else {
            did.own_document().ok()
        };
        known
            .documents
            .extend(document.map(|document| (did, Arc::new(document))));
    }
    Ok(known)
}

/// What the registry says of a DID: its keys in their time.
fn of_registry(did: &Did, state: &OrganisationState) -> DidDocument {
    let seconds = |ms: u64| i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let keys = state.organisation.keys.iter().filter_map(|key| {
        let algorithm = match key.key_use {
            KeyUse::CredentialEdDsa => Algorithm::EdDsa,
            KeyUse::CredentialEs256 => Algorithm::Es256,
            _ => return None,
        };
        let from = Some(seconds(key.from_ms));
        let until = key.until_ms.map(seconds);
        Some(DidKey {
            key: PublicKey::from_bytes(algorithm, &key.public).ok()?,
            from,
            until,
        })
    });
    DidDocument::for_organisation(did, &keys.collect::<Vec<_>>())
}

/// The document that a configured host serves, with that host's URL.
async fn fetched(core: &Core, did: &Did) -> Option<(DidDocument, String)> {
    let url = did.web_url()?;
    let host = url.strip_prefix("https://")?.split('/').next()?;
    core.vc_api.as_ref()?.did_web_hosts.get(host)?;
    let bytes = get(core, &url, did::DOCUMENT_MAX_BYTES).await?;
    let document = DidDocument::parse(&bytes).ok()?;
    (document.id() == did).then(|| (document, format!("https://{host}")))
}

async fn get(core: &Core, url: &str, max_bytes: usize) -> Option<Vec<u8>> {
    let response = core.client.get(url).timeout(TIMEOUT).send().await.ok()?;
    let mut pieces = response.error_for_status().ok()?.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.ok()?);
        if bytes.len() > max_bytes {
            return None;
        }
    }
    Some(bytes)
}

/// Verifies outside the asynchronous threads: canonicalisation may take a tenth of a second.
async fn verify<T: Send + 'static>(
    known: &Known,
    work: impl FnOnce(&Verifier<'_>) -> Result<T, DataIntegrityError> + Send + 'static,
) -> Result<Result<T, DataIntegrityError>, Problem> {
    let documents = known.documents.clone();
    let done = tokio::task::spawn_blocking(move || {
        let resolve = |did: &Did| {
            documents
                .get(did)
                .cloned()
                .ok_or_else(|| DidError::Unresolved(did.to_string()))
        };
        let verifier = Verifier {
            suites: &tegata_w3c::suites(),
            contexts: tegata_w3c::contexts(),
            resolve: &resolve,
            at: now_s(),
        };
        work(&verifier)
    });
    done.await.map_err(|error| Problem::internal(&error))
}

/// A list of the issuer's, signed by it, and of a registered one the newest on the ledger.
async fn newest_list(
    core: &Core,
    known: &Known,
    issuer: &Did,
    uri: &str,
) -> Result<VerifiedBitstring, (&'static str, String)> {
    let unknown = |detail: &str| ("status_unknown", format!("{uri}: {detail}"));
    let text = get(core, uri, DOCUMENT_MAX_BYTES).await;
    let text: Arc<[u8]> = text.ok_or_else(|| unknown("no list is to be had"))?.into();
    let signed_by = parse(&text).ok().as_ref().and_then(signer);
    if signed_by.as_ref() != Some(issuer) {
        return Err(unknown("the list is not signed by the issuer"));
    }
    let signed = Arc::clone(&text);
    let list = verify(known, move |verifier| verifier.credential(&signed)).await;
    let list = list.map_err(|problem| unknown(&problem.to_string()))?;
    let list = list.map_err(|error| unknown(&format!("{} ({error})", error.code())))?;
    if let Some(state) = known.registered.get(issuer) {
        let newest = core
            .ledger
            .status_list(&state.id, &status_list_id(uri))
            .await;
        let newest = newest.map_err(|error| unknown(&error.to_string()))?.value;
        let issued_s = u64::try_from(list.valid_from().unwrap_or(0)).unwrap_or(0);
        check_status_list(newest.as_ref(), &text, issued_s.saturating_mul(1000))
            .map_err(|refused| (refused.code(), format!("{uri}: {refused}")))?;
    }
    VerifiedBitstring::new(&list).map_err(|error| (error.code(), error.to_string()))
}

/// What a credential's proof does not say: that its issuer may issue it, and that it is neither revoked nor suspended. Gives
/// which checks were made.
async fn beyond_proof(
    core: &Core,
    known: &Known,
    credential: &VerifiedCredential,
) -> Result<Vec<&'static str>, (&'static str, String)> {
    let mut checks = vec!["proof", "validity"];
    let issuer =
        Did::parse(credential.issuer()).map_err(|error| (error.code(), error.to_string()))?;
    if let Some(state) = known.registered.get(&issuer) {
        accredited(state, credential, now_ms())?;
        checks.push("issuer");
    }
    if !credential.statuses().is_empty() {
        status(core, known, &issuer, credential).await?;
        checks.push("status");
    }
    Ok(checks)
}

/// That a registered issuer is not suspended, now or when it signed, and was accredited for what is a record of the catalogue.
fn accredited(
    state: &OrganisationState,
    credential: &VerifiedCredential,
    now_ms: u64,
) -> Result<(), (&'static str, String)> {
    let name = &state.organisation.name.en;
    let signed_s = credential.created().or(credential.valid_from());
    let milliseconds = |s: i64| u64::try_from(s).unwrap_or(0).saturating_mul(1000);
    let signed_ms = signed_s.map_or(now_ms, milliseconds);
    if state.suspended_at(now_ms) || state.suspended_at(signed_ms) {
        let why = format!("{name} is suspended, or was at {signed_ms} ms, when it signed");
        return Err(("issuer-suspended", why));
    }
    let record = record::of_document(credential.document());
    let record = record.map_err(|error| (error.code(), error.to_string()))?;
    match record.map(|record| record.record_type.id()) {
        Some(kind) if !state.may_issue(kind, signed_ms) => {
            let why = format!("{name} was not accredited to issue {kind:?} at {signed_ms} ms");
            Err(("issuer-not-accredited", why))
        }
        _ => Ok(()),
    }
}

/// That a credential with a status is neither revoked nor suspended. What cannot be found out does not hold.
async fn status(
    core: &Core,
    known: &Known,
    issuer: &Did,
    credential: &VerifiedCredential,
) -> Result<(), (&'static str, String)> {
    let entries =
        BitstringEntry::of(credential).map_err(|error| (error.code(), error.to_string()))?;
    let unknown = |detail: &str| Err(("status_unknown", detail.to_owned()));
    let Some(base) = known.vouched.get(issuer) else {
        return unknown("nobody vouches for the issuer, so its status list is not fetched");
    };
    if entries.len() > STATUS_ENTRIES_MAX {
        return unknown("there are more status entries than lists are fetched");
    }
    if !entries.iter().all(|entry| lies_under(&entry.list, base)) {
        return unknown("a status list does not lie under the issuer's URL, so none is fetched");
    }
    for entry in entries {
        let list = match newest_list(core, known, issuer, &entry.list).await {
            // The issuer puts a list on the ledger first and serves it a moment later.
            Err((NOT_ON_LEDGER | SUPERSEDED, _)) => {
                tokio::time::sleep(AGAIN).await;
                newest_list(core, known, issuer, &entry.list).await?
            }
            other => other?,
        };
        let is_set = list
            .is_set(&entry, credential)
            .map_err(|error| (error.code(), error.to_string()))?;
        match (is_set, entry.purpose) {
            (true, StatusPurpose::Revocation) => {
                return Err(("revoked", "the issuer has revoked it".into()));
            }
            (true, StatusPurpose::Suspension) => {
                return Err(("suspended", "the issuer has suspended it".into()));
            }
            (false, _) => {}
        }
    }
    Ok(())
}
