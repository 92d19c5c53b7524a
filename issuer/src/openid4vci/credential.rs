//! The credential endpoint (OpenID4VCI 1.0 §8): single-use copies of one record, each bound to a key that the wallet has
//! shown to hold, each with a place of its own in a status list.

use super::dpop::{self, DpopError, DpopProof};
use super::error::OAuthError;
use super::offers::content;
use super::own;
use super::proof::{self, Expected, Proof, ProofError};
use super::rows::{Token, Used};
use super::{REQUEST_MAX_BYTES, nonce, token};
use crate::http::Shared;
use crate::issuer::{Issuer, blocking, rng};
use crate::model::{Record, StatusPlace};
use crate::store::{Change, Kind, Slot, StoreError};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tegata_credential::json as strict;
use tegata_credential::jwe::{self, Encryption, Jwe, JweError};
use tegata_credential::keys::PublicKey;
use tegata_credential::sd_jwt::{
    BatchCopy, ISSUED_TO_THE_S, Issuance, IssueError, Path, StatusReference, issue_batch,
};
use tegata_records::{RecordType, catalogue};
use tegata_service::clock::{now_ms, now_s};
use tegata_service::http::read_body;
use zeroize::Zeroizing;

/// Why no copy is handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error("the access token is missing, unknown or expired")]
    Token,
    #[error("the access token is bound to a key, and comes without its proof")]
    Unbound,
    #[error("the request is too large")]
    TooLarge,
    #[error("the request is not application/json or application/jwt")]
    MediaType,
    #[error("the request: {0}")]
    Json(#[from] strict::JsonFault),
    #[error("the encrypted request: {0}")]
    Jwe(#[from] JweError),
    #[error("{0}")]
    Malformed(&'static str),
    #[error("credential_configuration_id is not known here")]
    UnknownConfiguration,
    #[error("credential_identifier is not of this access token")]
    UnknownIdentifier,
    #[error("credential_configuration_id fits several records: use credential_identifier")]
    Ambiguous,
    #[error("credential_response_encryption: {0}")]
    Encryption(&'static str),
    #[error("proofs are missing, or of another type than jwt")]
    NoProofs,
    #[error("more proofs than batch_size")]
    TooManyProofs,
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("two proofs are of the same key")]
    SameKey,
    #[error("a nonce is not of this issuer, has expired, or was used")]
    Nonce,
    #[error("the record cannot be had: {0}")]
    Denied(&'static str),
    #[error(transparent)]
    Dpop(#[from] DpopError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

const GONE: CredentialError = CredentialError::Denied("its content is not here any more");

impl CredentialError {
    /// The standard's code.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Token | Self::Unbound => "invalid_token",
            Self::TooLarge
            | Self::MediaType
            | Self::Json(_)
            | Self::Malformed(_)
            | Self::Ambiguous
            | Self::TooManyProofs => "invalid_credential_request",
            Self::UnknownConfiguration => "unknown_credential_configuration",
            Self::UnknownIdentifier => "unknown_credential_identifier",
            Self::Jwe(_) | Self::Encryption(_) => "invalid_encryption_parameters",
            Self::NoProofs | Self::SameKey => "invalid_proof",
            Self::Proof(error) => error.code(),
            Self::Nonce => "invalid_nonce",
            Self::Denied(_) => "credential_request_denied",
            Self::Dpop(error) => error.code(),
            Self::Store(_) | Self::Issue(_) => "server_error",
        }
    }
}

impl From<CredentialError> for OAuthError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Store(error) => Self::internal(&error),
            CredentialError::Issue(error) => Self::internal(&error),
            error => {
                let answer = Self::new(error.code(), &error);
                match error {
                    CredentialError::Token => answer.unauthorized("Bearer"),
                    CredentialError::Unbound | CredentialError::Dpop(_) => {
                        answer.unauthorized("DPoP")
                    }
                    CredentialError::TooLarge => answer.status(StatusCode::PAYLOAD_TOO_LARGE),
                    CredentialError::MediaType => answer.status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
                    _ => answer,
                }
            }
        }
    }
}

/// Signs copies of a record for a wallet.
#[utoipa::path(post, path = "/openid4vci/credential", responses(
    (status = 200, description = "`{\"credentials\":[{\"credential\"}]}`, or the same as JWE (`application/jwt`)"),
    (status = 400, description = "OpenID4VCI error"), (status = 401, description = "`invalid_token`"), (status = 413), (status = 503)
))]
pub(crate) async fn issue(
    State(issuer): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, OAuthError> {
    let now = now_ms();
    let (slot, granted, dpop) = authorized(&issuer, &headers, now).await?;
    let body = read_body(body, REQUEST_MAX_BYTES)
        .await
        .map_err(|problem| match problem.status() {
            StatusCode::PAYLOAD_TOO_LARGE => CredentialError::TooLarge,
            _ => CredentialError::Malformed("the body broke off"),
        })?;
    let request = read(&issuer, &headers, &body)?;
    let own = own(&issuer).await?;
    if !issuer.openid4vci().key_counts(&own, now) {
        return Err(OAuthError::new(
            "temporarily_unavailable",
            "the signing key is not registered",
        )
        .status(StatusCode::SERVICE_UNAVAILABLE));
    }
    let ready = blocking(&issuer, move |issuer| {
        let order = order(issuer, &request, &granted, now)?;
        if !own.may_issue(order.record_type.id(), now) {
            return Err(CredentialError::Denied("not accredited"));
        }
        // Who may not have copies costs neither signatures nor places in a list.
        let mut asked = issuer.store.change();
        admit(issuer, &mut asked, &slot, &order, dpop.as_ref(), now)?;
        drop(asked);
        let places = reserve(issuer, &order);
        let signed = sign(issuer, &order, &places)
            .and_then(|signed| {
                hand_over(issuer, &slot, &order, &places, dpop.as_ref(), now).map(|()| signed)
            })
            .inspect_err(|error| give_back(issuer, &places, error))?;
        metrics::counter!("tegata_issuer_openid4vci_copies_total").increment(signed.len() as u64);
        let credentials: Vec<Value> = signed
            .iter()
            .map(|copy| json!({ "credential": copy.as_str() }))
            .collect();
        let answer = Zeroizing::new(json!({ "credentials": credentials }).to_string());
        Ok(match order.encryption {
            None => Answer::Plain(answer),
            Some(encryption) => Answer::Encrypted(encryption.encrypt(answer.as_bytes())?),
        })
    })
    .await?;
    let (media_type, text) = match ready {
        Answer::Plain(text) => ("application/json", text.to_string()),
        Answer::Encrypted(text) => ("application/jwt", text),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

enum Answer {
    Plain(Zeroizing<String>),
    Encrypted(String),
}

/// Whose access token it is (RFC 6750 §2.1, RFC 9449 §7).
async fn authorized(
    issuer: &Arc<Issuer>,
    headers: &HeaderMap,
    now_ms: u64,
) -> Result<(Slot, Token, Option<DpopProof>), CredentialError> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, secret) = authorization
        .and_then(|value| value.split_once(' '))
        .ok_or(CredentialError::Token)?;
    let slot = Slot::new(Kind::Token, secret.trim());
    let found = blocking(issuer, move |issuer| {
        issuer.store.openid4vci::<Token>(&slot)
    })
    .await?;
    let granted = found
        .filter(|granted| now_ms < granted.expires_ms)
        .ok_or(CredentialError::Token)?;
    let Some(jkt) = &granted.jkt else {
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        return if is_bearer {
            Ok((slot, granted, None))
        } else {
            Err(CredentialError::Token)
        };
    };
    let request = dpop::Request {
        url: &format!("{}/openid4vci/credential", issuer.identifier()),
        token: Some(secret.trim()),
        now_s: i64::try_from(now_ms / 1000).unwrap_or(i64::MAX),
    };
    let proof = dpop::check(headers, &request)?.ok_or(CredentialError::Unbound)?;
    if !scheme.eq_ignore_ascii_case("dpop") || proof.jkt != *jkt {
        return Err(CredentialError::Unbound);
    }
    Ok((slot, granted, Some(proof)))
}

/// The request as JSON, and whether it came encrypted.
struct Request {
    members: Map<String, Value>,
    encrypted: bool,
}

fn read(issuer: &Issuer, headers: &HeaderMap, body: &[u8]) -> Result<Request, CredentialError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    match media_type.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Request {
            members: strict::parse_object(body)?,
            encrypted: false,
        }),
        "application/jwt" => {
            let token = std::str::from_utf8(body).map_err(|_| JweError::Malformed)?;
            let key = &issuer.openid4vci().request_key;
            let opened = Jwe::parse(token.trim())?.decrypt(key, &key.key_id())?;
            Ok(Request {
                members: strict::parse_object(&opened)?,
                encrypted: true,
            })
        }
        _ => Err(CredentialError::MediaType),
    }
}

/// What is to be signed, checked but for what only the disk knows.
struct Order {
    record: Record,
    record_type: &'static RecordType,
    holders: Vec<PublicKey>,
    /// Used nonces with their expiry.
    nonces: BTreeMap<String, u64>,
    encryption: Option<ResponseEncryption>,
}

fn order(
    issuer: &Issuer,
    request: &Request,
    granted: &Token,
    now_ms: u64,
) -> Result<Order, CredentialError> {
    let encryption = response_encryption(request)?;
    let (record, record_type) = wanted(issuer, &request.members, granted)?;
    let proofs = proofs(issuer, &request.members, granted, now_ms)?;
    let mut nonces = BTreeMap::new();
    for proof in &proofs {
        let secret = &issuer.openid4vci().secret;
        let expires_ms =
            nonce::check(secret, &proof.nonce, now_ms).ok_or(CredentialError::Nonce)?;
        nonces.insert(proof.nonce.clone(), expires_ms);
    }
    Ok(Order {
        record,
        record_type,
        holders: proofs.into_iter().map(|proof| proof.holder).collect(),
        nonces,
        encryption,
    })
}

/// The record that is asked for, by its identifier or, where there is but one, by its configuration.
fn wanted(
    issuer: &Issuer,
    members: &Map<String, Value>,
    granted: &Token,
) -> Result<(Record, &'static RecordType), CredentialError> {
    let text = |name| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(CredentialError::Malformed("an identifier is not a text")),
    };
    let opened = match (
        text("credential_identifier")?,
        text("credential_configuration_id")?,
    ) {
        (Some(id), None) => granted
            .records
            .iter()
            .find(|opened| opened.record.to_string() == id)
            .ok_or(CredentialError::UnknownIdentifier)?,
        (None, Some(configuration)) => {
            let mut fitting = granted
                .records
                .iter()
                .filter(|opened| opened.record_type == configuration);
            match (fitting.next(), fitting.next()) {
                (Some(only), None) => only,
                (Some(_), Some(_)) => return Err(CredentialError::Ambiguous),
                (None, _) => return Err(CredentialError::UnknownConfiguration),
            }
        }
        _ => {
            let why =
                "exactly one of credential_identifier and credential_configuration_id is needed";
            return Err(CredentialError::Malformed(why));
        }
    };
    let record = issuer.store.record(&opened.record)?.ok_or(GONE)?;
    let record_type = catalogue()
        .by_id(&record.record_type)
        .ok_or(CredentialError::UnknownConfiguration)?;
    Ok((record, record_type))
}

fn proofs(
    issuer: &Issuer,
    members: &Map<String, Value>,
    granted: &Token,
    now_ms: u64,
) -> Result<Vec<Proof>, CredentialError> {
    let by_type = members.get("proofs").ok_or(CredentialError::NoProofs)?;
    let by_type = by_type
        .as_object()
        .filter(|by_type| by_type.len() == 1)
        .ok_or(CredentialError::Malformed(
            "proofs is not an object with one member",
        ))?;
    let texts = by_type.get("jwt").ok_or(CredentialError::NoProofs)?;
    let texts = texts.as_array().filter(|texts| !texts.is_empty());
    let texts = texts.ok_or(CredentialError::Malformed("proofs.jwt is not a list"))?;
    if texts.len() > issuer.openid4vci().config.batch_size {
        return Err(CredentialError::TooManyProofs);
    }
    let expected = Expected {
        audience: issuer.identifier(),
        client: granted.client.as_deref(),
        now_s: i64::try_from(now_ms / 1000).unwrap_or(i64::MAX),
    };
    let mut checked: Vec<Proof> = Vec::with_capacity(texts.len());
    for text in texts {
        let text = text
            .as_str()
            .ok_or(CredentialError::Malformed("a proof is not a text"))?;
        let proof = proof::check(text, &expected)?;
        if checked.iter().any(|other| other.holder == proof.holder) {
            return Err(CredentialError::SameKey);
        }
        checked.push(proof);
    }
    Ok(checked)
}

/// To whom, and how, the answer is encrypted.
struct ResponseEncryption {
    key: PublicKey,
    kid: Option<String>,
    encryption: Encryption,
}

impl ResponseEncryption {
    fn encrypt(&self, plaintext: &[u8]) -> Result<String, JweError> {
        jwe::encrypt(
            plaintext,
            &self.key,
            self.kid.as_deref(),
            self.encryption,
            &mut rng(),
        )
    }
}

fn response_encryption(request: &Request) -> Result<Option<ResponseEncryption>, CredentialError> {
    let wrong = CredentialError::Encryption;
    let Some(asked) = request.members.get("credential_response_encryption") else {
        return Ok(None);
    };
    if !request.encrypted {
        // §8.2: else whoever stands between could put a key of their own in its place.
        return Err(wrong("the request itself must be encrypted then"));
    }
    if asked.get("zip").is_some() {
        return Err(wrong("zip is not supported"));
    }
    let encryption = asked
        .get("enc")
        .and_then(Value::as_str)
        .and_then(Encryption::from_name);
    let encryption = encryption.ok_or(wrong("enc is missing or not supported"))?;
    let jwk = asked.get("jwk").ok_or(wrong("jwk is missing"))?;
    if jwk.get("alg").and_then(Value::as_str) != Some("ECDH-ES") {
        return Err(wrong("jwk.alg is not ECDH-ES"));
    }
    // Our keys know signatures' names for `alg` only.
    let mut bare = jwk.clone();
    bare.as_object_mut().map(|members| members.remove("alg"));
    let key = PublicKey::from_jwk(&bare).map_err(|_| wrong("jwk is not a public key"))?;
    if key.algorithm() != tegata_credential::keys::Algorithm::Es256 {
        return Err(wrong("jwk is not on P-256"));
    }
    let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
    Ok(Some(ResponseEncryption {
        key,
        kid,
        encryption,
    }))
}

/// A place in a status list for each copy.
fn reserve(issuer: &Issuer, order: &Order) -> Vec<StatusPlace> {
    let place = |_| issuer.store.reserve_place(rand::random);
    order.holders.iter().map(place).collect()
}

/// Gives places back that no copy has, since there was an error. Where the disk failed it may have kept them nevertheless: then
/// they stay taken until the next start, which looks.
fn give_back(issuer: &Issuer, places: &[StatusPlace], error: &CredentialError) {
    if !matches!(error, CredentialError::Store(_)) {
        places
            .iter()
            .for_each(|place| issuer.store.give_back(*place));
    }
}

fn sign(
    issuer: &Issuer,
    order: &Order,
    places: &[StatusPlace],
) -> Result<Vec<Zeroizing<String>>, CredentialError> {
    let openid4vci = issuer.openid4vci();
    let record_type = order.record_type;
    let claims: Value = content(issuer, &order.record, now_ms())?
        .and_then(|claims| serde_json::from_slice(&claims).ok())
        .ok_or(GONE)?;
    record_type
        .validate(&claims)
        .map_err(|_| CredentialError::Denied("it does not fit its record type"))?;
    let paths = record_type.disclosable(&claims);
    let at_the_top = paths.iter().filter(|path| path.len() == 1).count();
    let disclosable: Vec<Path> = paths.into_iter().map(Path::new).collect();
    let now = now_s();
    let issuance = Issuance {
        vct_integrity: Some(record_type.integrity()),
        disclosable: &disclosable,
        expires_at: Some(now + i64::from(openid4vci.config.valid_days) * ISSUED_TO_THE_S),
        certificates: &openid4vci.certificates,
        // As many digests as the type has claims: which of them the record has is not told.
        decoys: hideable(record_type).saturating_sub(at_the_top),
        ..Issuance::new(issuer.identifier(), record_type.vct(), now, &claims)
    };
    let copies: Vec<BatchCopy<'_>> = order
        .holders
        .iter()
        .zip(places)
        .map(|(holder, place)| BatchCopy {
            holder,
            status: StatusReference {
                uri: issuer.status_list_uri(place.list),
                index: u64::from(place.index),
            },
        })
        .collect();
    let texts = issue_batch(&issuance, &copies, &openid4vci.key, &mut rng())?;
    Ok(texts.into_iter().map(Zeroizing::new).collect())
}

/// How many claims at the top a record type lets people hide.
fn hideable(record_type: &RecordType) -> usize {
    let metadata: Value = serde_json::from_str(record_type.metadata_json())
        .expect("the catalogue's own tests read it");
    let claims = metadata["claims"].as_array().map_or(&[][..], Vec::as_slice);
    let at_the_top = |claim: &&Value| claim["path"].as_array().is_some_and(|path| path.len() == 1);
    claims
        .iter()
        .filter(at_the_top)
        .filter(|claim| claim["sd"] == "always")
        .count()
}

/// Uses the nonces up and keeps the copies' places, in one synced write; until then nothing was handed over.
fn hand_over(
    issuer: &Issuer,
    slot: &Slot,
    order: &Order,
    places: &[StatusPlace],
    dpop: Option<&DpopProof>,
    now_ms: u64,
) -> Result<(), CredentialError> {
    let mut change = issuer.store.change();
    // Others may have been handed copies while these were signed.
    admit(issuer, &mut change, slot, order, dpop, now_ms)?;
    for place in places {
        change.put_copy(&order.record.id, *place);
    }
    change.commit()?;
    Ok(())
}

/// Checks that the copies may be handed over now, and uses up in `change` what they cost: nonces, the proof, the number that
/// a token is good for.
fn admit(
    issuer: &Issuer,
    change: &mut Change<'_>,
    slot: &Slot,
    order: &Order,
    dpop: Option<&DpopProof>,
    now_ms: u64,
) -> Result<(), CredentialError> {
    change.sweep_openid4vci(now_ms)?;
    let granted: Option<Token> = change.openid4vci(slot)?;
    let mut granted = granted.ok_or(CredentialError::Token)?;
    let record = change.record(&order.record.id)?.ok_or(GONE)?;
    if content(issuer, &record, now_ms)?.is_none() {
        return Err(GONE);
    }
    for (nonce, expires_ms) in &order.nonces {
        let used = Slot::new(Kind::Nonce, nonce);
        if change.openid4vci::<Used>(&used)?.is_some() {
            return Err(CredentialError::Nonce);
        }
        change.put_openid4vci(&used, &Used { at_ms: now_ms }, *expires_ms);
    }
    if let Some(dpop) = dpop {
        token::use_proof(change, dpop, now_ms).map_err(|error| match error {
            token::TokenError::Dpop(error) => CredentialError::Dpop(error),
            token::TokenError::Store(error) => CredentialError::Store(error),
            _ => CredentialError::Token,
        })?;
    }
    let opened = granted
        .records
        .iter_mut()
        .find(|opened| opened.record == order.record.id)
        .ok_or(CredentialError::UnknownIdentifier)?;
    let count = u32::try_from(order.holders.len()).unwrap_or(u32::MAX);
    opened.copies = opened.copies.saturating_add(count);
    if opened.copies > issuer.openid4vci().config.copies_max {
        return Err(CredentialError::Denied("enough copies were handed over"));
    }
    let expires_ms = granted.expires_ms;
    change.put_openid4vci(slot, &granted, expires_ms);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rows::Opened;
    use super::*;
    use crate::fhir;
    use crate::store::Store;
    use crate::tests::world::{World, immunization};
    use tegata_credential::keys::{Algorithm, SigningKey};

    #[tokio::test]
    async fn places_are_given_back_unless_the_disk_may_have_kept_them() {
        let mut world = World::new().await;
        world.openid4vci = Some(crate::config::OpenId4VciConfig::default());
        let registry = Arc::clone(&world.registry) as Arc<dyn crate::registry::Registry>;
        let config = world.config("127.0.0.1:1".parse().unwrap());
        let mut issuer = Issuer::open(config, registry).unwrap();
        let resource = immunization("0012", "imm-1", "A").to_string();
        let taken = fhir::post(&issuer, resource.as_bytes(), "Immunization", "emr");
        let (record, _) = taken.await.unwrap();
        let token = |copies| Token {
            client: None,
            subject: "0012".into(),
            records: vec![Opened {
                record: record.id,
                record_type: "vaccination".into(),
                copies,
            }],
            jkt: None,
            expires_ms: u64::MAX,
        };
        let slots = ["used up", "good"].map(|secret| Slot::new(Kind::Token, secret));
        let mut change = issuer.store.change();
        change.put_openid4vci(&slots[0], &token(u32::MAX), u64::MAX);
        change.put_openid4vci(&slots[1], &token(0), u64::MAX);
        change.commit().unwrap();
        let order = Order {
            record_type: catalogue().by_id(&record.record_type).unwrap(),
            record: record.clone(),
            holders: vec![SigningKey::generate(Algorithm::Es256, &mut rng()).public_key()],
            nonces: BTreeMap::new(),
            encryption: None,
        };
        let handed_over = |issuer: &Issuer, slot| {
            let places = reserve(issuer, &order);
            let kept = hand_over(issuer, slot, &order, &places, None, now_ms());
            kept.inspect_err(|error| give_back(issuer, &places, error))
        };
        let denied = handed_over(&issuer, &slots[0]).unwrap_err();
        assert_eq!(denied.code(), "credential_request_denied");
        assert_eq!(issuer.store.places_taken(), 0);
        // A disk that takes nothing.
        let path = world.folder.path().join("data/store");
        Arc::get_mut(&mut issuer).unwrap().store = Store::open_read_only(path).unwrap();
        let failed = handed_over(&issuer, &slots[1]).unwrap_err();
        assert_eq!(failed.code(), "server_error");
        assert_eq!(issuer.store.places_taken(), 1, "nobody else gets it");
    }
}
