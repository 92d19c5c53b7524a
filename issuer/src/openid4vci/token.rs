//! The token endpoint (RFC 6749 §4.1.3, OpenID4VCI 1.0 §6): codes become short-lived access tokens, each once.

use super::dpop::{self, DpopError, DpopProof};
use super::error::OAuthError;
use super::form::{Parameters, Posted};
use super::metadata::PRE_AUTHORIZED;
use super::offers::content;
use super::requests::{check_resource, detailed_types};
use super::rows::{Code, Offer, Opened, Token, Used, offer_slot, tx_code_hash};
use crate::http::Shared;
use crate::issuer::{Issuer, blocking};
use crate::store::{Change, Kind, Slot, StoreError};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tegata_consent::ids::RecordId;
use tegata_credential::jws::encode;
use tegata_service::clock::now_ms;

/// Wrong transaction codes after which an offer is over.
const WRONG_MAX: u32 = 5;

/// Why a code becomes no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the code is unknown, expired, or was used")]
    Code,
    #[error("the code was given to another client")]
    Client,
    #[error("redirect_uri is not that of the request")]
    RedirectUri,
    #[error("code_verifier does not fit the code_challenge")]
    Verifier,
    #[error("the transaction code is wrong")]
    TxCode,
    #[error("tx_code is missing")]
    NoTxCode,
    #[error("no transaction code was asked for")]
    UnwantedTxCode,
    #[error("the records that were offered cannot be had any more")]
    NothingLeft,
    #[error(transparent)]
    Dpop(#[from] DpopError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TokenError {
    /// The standard's code.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoTxCode | Self::UnwantedTxCode => "invalid_request",
            Self::Dpop(error) => error.code(),
            Self::Store(_) => "server_error",
            _ => "invalid_grant",
        }
    }
}

impl From<TokenError> for OAuthError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Store(error) => Self::internal(&error),
            error => Self::new(error.code(), &error),
        }
    }
}

/// What a wallet redeems.
enum Redemption {
    Code {
        code: String,
        client: String,
        redirect_uri: String,
        verifier: String,
    },
    Offer {
        code: String,
        client: Option<String>,
        tx_code: Option<String>,
    },
}

/// A token that was given out.
struct Granted {
    token: String,
    row: Token,
    detailed: bool,
}

/// Gives an access token for a code.
#[utoipa::path(post, path = "/openid4vci/token", responses(
    (status = 200, description = "`{\"access_token\",\"token_type\",\"expires_in\",\"authorization_details\"?}`"),
    (status = 400, description = "OAuth error"), (status = 401, description = "`invalid_client`")
))]
pub(crate) async fn grant(
    State(issuer): Shared,
    headers: HeaderMap,
    form: Posted,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::of_form(form)?;
    let now = now_ms();
    check_resource(&issuer, &parameters)?;
    let redemption = read(&issuer, &parameters)?;
    let asked = parameters
        .get("authorization_details")
        .map(|details| detailed_types(details, issuer.identifier()))
        .transpose()?;
    let request = dpop::Request {
        url: &format!("{}/openid4vci/token", issuer.identifier()),
        token: None,
        now_s: i64::try_from(now / 1000).unwrap_or(i64::MAX),
    };
    let proof = dpop::check(&headers, &request).map_err(TokenError::from)?;
    let granted = blocking(&issuer, move |issuer| {
        redeem(issuer, &redemption, proof, asked.as_deref(), now)
    })
    .await?;
    metrics::counter!("tegata_issuer_openid4vci_tokens_total").increment(1);
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, axum::Json(answer(&issuer, &granted))).into_response())
}

fn read(issuer: &Issuer, parameters: &Parameters) -> Result<Redemption, OAuthError> {
    let client = parameters.get("client_id");
    if client.is_some_and(|id| issuer.openid4vci().config.client(id).is_none()) {
        let error = OAuthError::new("invalid_client", "client_id is not known here");
        return Err(error.status(StatusCode::UNAUTHORIZED));
    }
    let owned = |name| parameters.need(name).map(str::to_owned);
    match parameters.need("grant_type")? {
        "authorization_code" => Ok(Redemption::Code {
            code: owned("code")?,
            client: owned("client_id")?,
            redirect_uri: owned("redirect_uri")?,
            verifier: owned("code_verifier")?,
        }),
        PRE_AUTHORIZED => Ok(Redemption::Offer {
            code: owned("pre-authorized_code")?,
            client: client.map(str::to_owned),
            tx_code: parameters.get("tx_code").map(str::to_owned),
        }),
        _ => Err(OAuthError::new(
            "unsupported_grant_type",
            "grant_type is not supported",
        )),
    }
}

fn answer(issuer: &Issuer, granted: &Granted) -> Value {
    let token_type = if granted.row.jkt.is_some() {
        "DPoP"
    } else {
        "Bearer"
    };
    let mut answer = json!({
        "access_token": granted.token,
        "token_type": token_type,
        "expires_in": issuer.openid4vci().config.token_ttl_s,
    });
    let records = &granted.row.records;
    let mut types: Vec<&str> = records
        .iter()
        .map(|opened| opened.record_type.as_str())
        .collect();
    types.sort_unstable();
    types.dedup();
    // Two records of one type can only be told apart by identifiers (OpenID4VCI 1.0 §6.2).
    if granted.detailed || types.len() < records.len() {
        let detail = |record_type: &&str| {
            let of_type = records
                .iter()
                .filter(|opened| opened.record_type == *record_type);
            let ids: Vec<String> = of_type.map(|opened| opened.record.to_string()).collect();
            json!({
                "type": "openid_credential",
                "credential_configuration_id": record_type,
                "credential_identifiers": ids,
            })
        };
        answer["authorization_details"] = types.iter().map(detail).collect();
    }
    answer
}

/// Uses a code up and stores the token, in one synced write. A code that comes again takes its token with it.
fn redeem(
    issuer: &Issuer,
    redemption: &Redemption,
    proof: Option<DpopProof>,
    asked: Option<&[String]>,
    now_ms: u64,
) -> Result<Granted, TokenError> {
    let mut change = issuer.store.change();
    change.sweep_openid4vci(now_ms)?;
    let checked = match redemption {
        Redemption::Code {
            code,
            client,
            redirect_uri,
            verifier,
        } => {
            let slot = Slot::new(Kind::Code, code);
            let wallet = (client.as_str(), redirect_uri.as_str(), verifier.as_str());
            check_code(&mut change, &slot, wallet, proof.as_ref(), now_ms)?
        }
        Redemption::Offer {
            code,
            client,
            tx_code,
        } => check_offer(
            &mut change,
            code,
            client.as_deref(),
            tx_code.as_deref(),
            now_ms,
        )?,
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            change.commit()?; // what was tried counts
            return Err(error);
        }
    };
    let mut records = Vec::new();
    for id in &checked.records {
        let Some(record) = change.record(id)? else {
            continue;
        };
        let wanted = asked.is_none_or(|asked| asked.contains(&record.record_type));
        if wanted && content(issuer, &record, now_ms)?.is_some() {
            let (record, record_type) = (record.id, record.record_type);
            records.push(Opened {
                record,
                record_type,
                copies: 0,
            });
        }
    }
    if records.is_empty() {
        return Err(TokenError::NothingLeft);
    }
    let token = encode(&rand::random::<[u8; 32]>());
    let slot = Slot::new(Kind::Token, &token);
    let row = Token {
        client: checked.client,
        subject: checked.subject,
        records,
        jkt: proof.as_ref().map(|proof| proof.jkt.clone()),
        expires_ms: now_ms + issuer.openid4vci().config.token_ttl_s * 1000,
    };
    if let Some(proof) = &proof {
        use_proof(&mut change, proof, now_ms)?;
    }
    change.put_openid4vci(&slot, &row, row.expires_ms);
    match checked.used {
        UsedUp::Code(code_slot, mut code) => {
            code.token = Some(slot.key());
            change.put_openid4vci(&code_slot, &code, code.expires_ms);
        }
        UsedUp::Offer(offer_slot, mut offer) => {
            offer.token = Some(slot.key());
            change.put_openid4vci(&offer_slot, &offer, offer.expires_ms);
        }
    }
    change.commit()?;
    Ok(Granted {
        token,
        row,
        detailed: checked.detailed || asked.is_some(),
    })
}

/// A DPoP proof counts once.
pub(super) fn use_proof(
    change: &mut Change<'_>,
    proof: &DpopProof,
    now_ms: u64,
) -> Result<(), TokenError> {
    if change.openid4vci::<Used>(&proof.slot)?.is_some() {
        return Err(DpopError::Replayed.into());
    }
    change.put_openid4vci(&proof.slot, &Used { at_ms: now_ms }, proof.expires_ms);
    Ok(())
}

/// What a code that holds gives.
struct Checked {
    client: Option<String>,
    subject: String,
    records: Vec<RecordId>,
    detailed: bool,
    used: UsedUp,
}

enum UsedUp {
    Code(Slot, Code),
    Offer(Slot, Offer),
}

/// The inner error is to be committed, the outer one is not.
type Outcome = Result<Result<Checked, TokenError>, TokenError>;

/// An authorisation code counts once, whatever comes with it: who has it without the rest stole it.
fn check_code(
    change: &mut Change<'_>,
    slot: &Slot,
    (client, redirect_uri, verifier): (&str, &str, &str),
    proof: Option<&DpopProof>,
    now_ms: u64,
) -> Outcome {
    let Some(mut code) = change.openid4vci::<Code>(slot)? else {
        return Err(TokenError::Code);
    };
    if code.used {
        if let Some(token) = code.token {
            change.delete_openid4vci(&Slot::of(Kind::Token, token));
        }
        return Ok(Err(TokenError::Code));
    }
    code.used = true;
    change.put_openid4vci(slot, &code, code.expires_ms);
    if now_ms >= code.expires_ms {
        return Ok(Err(TokenError::Code));
    }
    if client != code.request.client {
        return Ok(Err(TokenError::Client));
    }
    if redirect_uri != code.request.redirect_uri {
        return Ok(Err(TokenError::RedirectUri));
    }
    let challenge = encode(&Sha256::digest(verifier));
    let is_right: bool = challenge
        .as_bytes()
        .ct_eq(code.request.challenge.as_bytes())
        .into();
    if !is_right || !(43..=128).contains(&verifier.len()) {
        return Ok(Err(TokenError::Verifier));
    }
    if code.request.jkt.is_some() && code.request.jkt.as_ref() != proof.map(|proof| &proof.jkt) {
        return Ok(Err(DpopError::Claim("jwk").into()));
    }
    Ok(Ok(Checked {
        client: Some(client.to_owned()),
        subject: code.subject.clone(),
        records: code.records.clone(),
        detailed: code.request.detailed,
        used: UsedUp::Code(*slot, code),
    }))
}

fn check_offer(
    change: &mut Change<'_>,
    code: &str,
    client: Option<&str>,
    tx_code: Option<&str>,
    now_ms: u64,
) -> Outcome {
    let slot = offer_slot(code);
    let offer = change.openid4vci::<Offer>(&slot)?;
    let Some(mut offer) = offer.filter(|offer| offer.pre_authorized) else {
        return Err(TokenError::Code);
    };
    if offer.used {
        if let Some(token) = offer.token {
            change.delete_openid4vci(&Slot::of(Kind::Token, token));
        }
        return Ok(Err(TokenError::Code));
    }
    if now_ms >= offer.expires_ms {
        return Err(TokenError::Code);
    }
    match (&offer.tx_code, tx_code) {
        (Some(_), None) => return Err(TokenError::NoTxCode),
        (None, Some(_)) => return Err(TokenError::UnwantedTxCode),
        (Some(expected), Some(tx_code)) => {
            let found = tx_code_hash(code, tx_code);
            if !bool::from(expected.0.ct_eq(&found.0)) {
                offer.wrong += 1;
                offer.used = offer.wrong >= WRONG_MAX;
                change.put_openid4vci(&slot, &offer, offer.expires_ms);
                return Ok(Err(TokenError::TxCode));
            }
        }
        (None, None) => {}
    }
    offer.used = true;
    change.put_openid4vci(&slot, &offer, offer.expires_ms);
    Ok(Ok(Checked {
        client: client.map(str::to_owned),
        subject: offer.subject.clone(),
        records: offer.records.clone(),
        detailed: false,
        used: UsedUp::Offer(slot, offer),
    }))
}
