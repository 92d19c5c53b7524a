//! Whose credential it is, and with which keys: the ledger's registry; and, for policy `standard` and where configured,
//! certificates and the issuer's own metadata.

use super::checks::Fault;
use super::rows::Policy;
use crate::core::Core;
use crate::verify::credential_keys;
use futures::StreamExt;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tegata_consent::ids::OrganisationId;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_credential::json;
use tegata_credential::keys::PublicKey;
use tegata_credential::sd_jwt::SdJwt;
use tegata_credential::x509::verify_chain;
use tegata_service::ledger::LedgerError;

/// Between two looks through the whole registry for an issuer that is not known.
const SCAN_PAUSE: Duration = Duration::from_secs(2);
/// Most organisations that are looked through.
const ORGANISATIONS_MAX: usize = 4096;
/// Longest list of organisations, and longest metadata of an issuer, in bytes.
const ANSWER_MAX: usize = 4 << 20;
/// Until a node or an issuer answers.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What `iss` stands for, as far as it is known. Only a hint: what counts is proven by the registry each time.
#[derive(Default)]
pub(super) struct Issuers {
    known: Mutex<HashMap<String, OrganisationId>>,
    scanned: tokio::sync::Mutex<Option<Instant>>,
}

/// An issuer whose keys are known.
pub(super) enum Issuer {
    /// In the registry of the ledger.
    Registered {
        /// As proven.
        state: Box<OrganisationState>,
        /// How it is known, for people.
        how: String,
    },
    /// Known by its certificate or its own metadata only.
    Outside {
        /// Its keys.
        keys: Vec<PublicKey>,
        /// How it is known, for people.
        how: String,
    },
}

impl Issuer {
    /// The keys that may have signed a credential which says that it was signed at `issued_ms`.
    pub(super) fn keys(&self, issued_ms: u64) -> Vec<PublicKey> {
        match self {
            Self::Registered { state, .. } => credential_keys(state, issued_ms),
            Self::Outside { keys, .. } => keys.clone(),
        }
    }
}

/// Whether an organisation goes by this `iss`: its DID, or the URL of its issuer service.
pub(super) fn goes_by(state: &OrganisationState, iss: &str) -> bool {
    state.organisation.did == iss || state.organisation.url(Role::Issuer) == Some(iss)
}

/// Finds the issuer of a credential. `carried` is what the presentation itself proves about it: that counts where the ledger
/// does not answer.
pub(super) async fn find(
    core: &Core,
    credential: &SdJwt,
    policy: Policy,
    carried: Option<(OrganisationState, u64)>,
    at_s: i64,
) -> Result<Issuer, Fault> {
    let iss = credential.issuer().unwrap_or_default();
    let carried = carried.filter(|(state, _)| goes_by(state, iss));
    let asked = tokio::time::timeout(TIMEOUT, registered(core, iss)).await;
    let unreachable = || LedgerError::Unreachable {
        detail: "no answer in time".into(),
    };
    match (asked.unwrap_or_else(|_| Err(unreachable())), carried) {
        (Ok(Some((state, height))), _) => Ok(Issuer::Registered {
            how: format!("in the registry at height {height}"),
            state: Box::new(state),
        }),
        (Ok(None) | Err(_), Some((state, height))) => Ok(Issuer::Registered {
            how: format!("in the registry at height {height}, as the presentation proves"),
            state: Box::new(state),
        }),
        (Err(error), None) if policy == Policy::Ledger => Err(Fault::new(
            "issuer-unavailable",
            format!("registry: {error}"),
        )),
        (Ok(None), None) if policy == Policy::Ledger => Err(Fault::new(
            "issuer-unknown",
            "nobody in the registry goes by the credential's issuer",
        )),
        _ => outside(core, credential, iss, at_s).await,
    }
}

/// The organisation that goes by `iss`, proven, with the height of the proof.
async fn registered(
    core: &Core,
    iss: &str,
) -> Result<Option<(OrganisationState, u64)>, LedgerError> {
    if iss.is_empty() {
        return Ok(None);
    }
    let issuers = &core.presentations.issuers;
    if let Some(found) = proven(core, issuers.hint(iss), iss).await? {
        return Ok(Some(found));
    }
    let mut scanned = issuers.scanned.lock().await;
    // Somebody else may have found it while we waited.
    if let Some(found) = proven(core, issuers.hint(iss), iss).await? {
        return Ok(Some(found));
    }
    if scanned.is_some_and(|last| last.elapsed() < SCAN_PAUSE) {
        return Ok(None);
    }
    let ids = organisations(core).await?;
    let mut found = None;
    for id in ids.into_iter().take(ORGANISATIONS_MAX) {
        let answer = core.ledger.organisation(&id).await?;
        let Some(state) = answer.value.filter(|state| state.has_role(Role::Issuer)) else {
            continue;
        };
        issuers.note(&state);
        if goes_by(&state, iss) {
            found = Some((state, answer.header.header().height));
        }
    }
    // Only now: who was not reached by a look that broke off is not unknown.
    *scanned = Some(Instant::now());
    Ok(found)
}

/// The organisation that goes by `iss` in the registry, proven.
pub(crate) async fn registered_issuer(
    core: &Core,
    iss: &str,
) -> Result<Option<OrganisationState>, LedgerError> {
    Ok(registered(core, iss).await?.map(|(state, _)| state))
}

async fn proven(
    core: &Core,
    hint: Option<OrganisationId>,
    iss: &str,
) -> Result<Option<(OrganisationState, u64)>, LedgerError> {
    let Some(id) = hint else { return Ok(None) };
    let answer = core.ledger.organisation(&id).await?;
    let height = answer.header.header().height;
    let state = answer.value.filter(|state| goes_by(state, iss));
    Ok(state.map(|state| (state, height)))
}

impl Issuers {
    fn hint(&self, iss: &str) -> Option<OrganisationId> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(iss).copied()
    }

    fn note(&self, state: &OrganisationState) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(state.organisation.did.clone(), state.id);
        if let Some(url) = state.organisation.url(Role::Issuer) {
            known.insert(url.to_owned(), state.id);
        }
    }
}

/// Ids of all organisations that may be issuers, as a node lists them; each is proven afterwards.
async fn organisations(core: &Core) -> Result<Vec<OrganisationId>, LedgerError> {
    let mut last = String::from("no node");
    for url in core.ledger.urls() {
        match fetch_json(&core.client, &format!("{url}/v1/state/organisations")).await {
            Ok(Value::Array(listed)) => {
                let may_issue = |one: &&Value| {
                    one.get("roles")
                        .and_then(Value::as_array)
                        .is_none_or(|roles| roles.iter().any(|role| role == "issuer"))
                };
                let id = |one: &Value| one.get("id")?.as_str()?.parse().ok();
                return Ok(listed.iter().filter(may_issue).filter_map(id).collect());
            }
            Ok(_) => last = "the list of organisations is no list".into(),
            Err(error) => last = error,
        }
    }
    Err(LedgerError::Unreachable { detail: last })
}

/// An issuer that is not in the registry.
async fn outside(core: &Core, credential: &SdJwt, iss: &str, at_s: i64) -> Result<Issuer, Fault> {
    let setup = &core.presentations;
    let chain = credential
        .certificates()
        .map_err(|error| Fault::new(error.code(), error))?;
    if !setup.anchors.is_empty() && !chain.is_empty() {
        let leaf = verify_chain(&chain, &setup.anchors, at_s)
            .map_err(|error| Fault::new(error.code(), error))?;
        let host = reqwest::Url::parse(iss)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        let named = leaf.uris().iter().any(|uri| uri == iss)
            || host.is_some_and(|host| leaf.dns_names().contains(&host));
        if !named {
            return Err(Fault::new(
                "issuer-certificate-name",
                "the certificate does not name the credential's issuer",
            ));
        }
        let key = leaf
            .public_key()
            .map_err(|error| Fault::new(error.code(), error))?;
        return Ok(Issuer::Outside {
            keys: vec![key],
            how: format!("by the certificate of {}", leaf.subject()),
        });
    }
    if setup
        .config
        .metadata_issuers
        .iter()
        .any(|known| known == iss)
    {
        return Ok(Issuer::Outside {
            keys: metadata_keys(core, iss).await?,
            how: "by its own metadata".into(),
        });
    }
    Err(Fault::new(
        "issuer-unknown",
        "the credential's issuer is neither in the registry nor configured",
    ))
}

/// Keys from `/.well-known/jwt-vc-issuer` (SD-JWT VC, "JWT VC Issuer Metadata").
async fn metadata_keys(core: &Core, iss: &str) -> Result<Vec<PublicKey>, Fault> {
    let wrong = |reason: &str| {
        Fault::new(
            "issuer-metadata",
            format!("the issuer's metadata: {reason}"),
        )
    };
    let url = reqwest::Url::parse(iss).map_err(|_| wrong("its identifier is no URL"))?;
    let path = url.path().trim_end_matches('/').to_owned();
    let mut address = url.clone();
    address.set_path(&format!("/.well-known/jwt-vc-issuer{path}"));
    let metadata = fetch_json(&core.client, address.as_str())
        .await
        .map_err(|reason| wrong(&reason))?;
    if metadata["issuer"] != iss {
        return Err(wrong("it is of another issuer"));
    }
    let keys = match (metadata.get("jwks"), metadata.get("jwks_uri")) {
        (Some(keys), None) => keys.clone(),
        (None, Some(Value::String(uri))) => {
            let same = reqwest::Url::parse(uri).is_ok_and(|other| other.origin() == url.origin());
            if !same {
                return Err(wrong("jwks_uri lies elsewhere"));
            }
            fetch_json(&core.client, uri)
                .await
                .map_err(|reason| wrong(&reason))?
        }
        _ => return Err(wrong("neither jwks nor jwks_uri")),
    };
    let keys = keys["keys"].as_array().cloned().unwrap_or_default();
    let read = |jwk: &Value| PublicKey::from_jwk(jwk).ok();
    Ok(keys.iter().take(64).filter_map(read).collect())
}

async fn fetch_json(client: &reqwest::Client, url: &str) -> Result<Value, String> {
    let reason = |error: reqwest::Error| error.without_url().to_string();
    let response = client
        .get(url)
        .header("accept", "application/json")
        .timeout(TIMEOUT)
        .send()
        .await
        .map_err(reason)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("it answers {}", response.status().as_u16()));
    }
    let mut bytes = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(reason)?);
        if bytes.len() > ANSWER_MAX {
            return Err(format!("it is longer than {ANSWER_MAX} bytes"));
        }
    }
    json::parse(&bytes).map_err(|fault| format!("{fault:?}"))
}
