//! The authorisation endpoint (RFC 6749 §4.1): a person shows by the one-time pairing code of the counter whose records
//! they are, the same check of identity as for a vault's invitation.

use super::form::{Asked, Parameters, Posted};
use super::offers::held;
use super::own;
use super::page::{self, Page};
use super::requests;
use super::rows::{Code, Offer, Pushed};
use crate::http::Shared;
use crate::issuer::{Issuer, blocking};
use crate::model::Record;
use crate::pairing::plain_code;
use crate::store::{Kind, Slot, StoreError};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tegata_consent::ids::{Hash, hash};
use tegata_consent::invitation::pairing_hash;
use tegata_consent::organisation::OrganisationState;
use tegata_credential::jws::encode;
use tegata_records::{Lang, catalogue};
use tegata_service::clock::now_ms;
use tegata_service::http::Address;

/// Wrong pairing codes after which a request is over.
const WRONG_MAX: u32 = 5;

const UNKNOWN: &str = "このページの有効期限が切れたか、リンクが正しくありません。";
const TOO_MANY: &str = "番号のまちがいが続いたため、しばらく受け付けられません。1分ほど待ってから、もう一度お試しください。";
const UNAVAILABLE: &str = "ただいま確認ができません。しばらくしてから、もう一度お試しください。";
const WRONG: &str = "番号が正しくありません。窓口でお渡しした番号をご確認ください。";
const OVER: &str =
    "この番号は、有効期限が切れたか、すでに使われています。窓口で新しい番号をお受け取りください。";
const NOTHING: &str =
    "入れられる記録がありません。すでに保管庫に入れた記録は、そちらからご利用ください。";

/// Shows the page for a pushed request.
#[utoipa::path(get, path = "/openid4vci/authorize",
    params(("client_id" = String, Query), ("request_uri" = String, Query)),
    responses((status = 200, description = "text/html"), (status = 400, description = "text/html"), (status = 503)))]
pub(crate) async fn show(State(issuer): Shared, query: Asked) -> Response {
    let Ok(parameters) = Parameters::of_query(query) else {
        return page::stop(StatusCode::BAD_REQUEST, UNKNOWN);
    };
    let (request, own) = match open_request(&issuer, &parameters).await {
        Ok(found) => found,
        Err(stopped) => return *stopped,
    };
    // What was pushed counts; a link that says otherwise was tampered with.
    if parameters
        .get("redirect_uri")
        .is_some_and(|uri| uri != request.redirect_uri)
    {
        return page::stop(StatusCode::BAD_REQUEST, UNKNOWN);
    }
    ask(&issuer, &own, &request, &parameters, None)
}

/// Takes the person's answer, and sends the person back to the wallet.
#[utoipa::path(post, path = "/openid4vci/authorize", responses(
    (status = 303, description = "to the wallet, with `code`, `state` and `iss`, or `error`"),
    (status = 400, description = "text/html"), (status = 422, description = "text/html: once more"),
    (status = 429, description = "text/html"), (status = 503)
))]
pub(crate) async fn decide(State(issuer): Shared, address: Address, form: Posted) -> Response {
    let Ok(parameters) = Parameters::of_form(form) else {
        return page::stop(StatusCode::BAD_REQUEST, UNKNOWN);
    };
    let (request, own) = match open_request(&issuer, &parameters).await {
        Ok(found) => found,
        Err(stopped) => return *stopped,
    };
    let now = now_ms();
    let slot = parameters.get("request_uri").and_then(requests::slot);
    let Some(slot) = slot else {
        return page::stop(StatusCode::BAD_REQUEST, UNKNOWN);
    };
    let answer = if parameters.get("action") == Some("allow") {
        if issuer.attempts.check(address, now).is_err() {
            return page::stop(StatusCode::TOO_MANY_REQUESTS, TOO_MANY);
        }
        Answer::Code(plain_code(parameters.get("code").unwrap_or_default()))
    } else {
        Answer::Cancel
    };
    let accredited = own.clone();
    let decided = blocking(&issuer, move |issuer| {
        let may_issue = |record: &Record| accredited.may_issue(&record.record_type, now);
        store(issuer, &slot, &answer, may_issue, now)
    })
    .await;
    match decided {
        Ok(Decision::Allowed(code)) => send_back(&issuer, &request, &[("code", &code)]),
        Ok(Decision::Denied) => send_back(&issuer, &request, &[("error", "access_denied")]),
        Ok(Decision::Gone) => page::stop(StatusCode::BAD_REQUEST, UNKNOWN),
        Ok(Decision::Wrong) => {
            issuer.attempts.wrong(address, now);
            ask(&issuer, &own, &request, &parameters, Some(WRONG))
        }
        Ok(Decision::Over) => ask(&issuer, &own, &request, &parameters, Some(OVER)),
        Ok(Decision::Nothing) => ask(&issuer, &own, &request, &parameters, Some(NOTHING)),
        Err(error) => {
            tracing::error!(%error, "an authorisation could not be stored");
            page::stop(StatusCode::INTERNAL_SERVER_ERROR, UNAVAILABLE)
        }
    }
}

/// The request that is named, if it is open, and this organisation.
async fn open_request(
    issuer: &Arc<Issuer>,
    parameters: &Parameters,
) -> Result<(Pushed, OrganisationState), Box<Response>> {
    let stop = |status, why| Box::new(page::stop(status, why));
    let unknown = || stop(StatusCode::BAD_REQUEST, UNKNOWN);
    let slot = parameters
        .get("request_uri")
        .and_then(requests::slot)
        .ok_or_else(unknown)?;
    let found = blocking(issuer, move |issuer| {
        issuer.store.openid4vci::<Pushed>(&slot)
    })
    .await;
    let now = now_ms();
    let request = match found {
        Ok(request) => request.filter(|request| !request.used && now < request.expires_ms),
        Err(error) => {
            tracing::error!(%error, "a request could not be read");
            return Err(stop(StatusCode::INTERNAL_SERVER_ERROR, UNAVAILABLE));
        }
    };
    let request = request
        .filter(|request| parameters.get("client_id") == Some(&request.client))
        .ok_or_else(unknown)?;
    let own = own(issuer).await;
    let own = own.map_err(|problem| stop(problem.status(), UNAVAILABLE))?;
    Ok((request, own))
}

fn ask(
    issuer: &Issuer,
    own: &OrganisationState,
    request: &Pushed,
    parameters: &Parameters,
    fault: Option<&str>,
) -> Response {
    let name = |id: &String| catalogue().by_id(id).map(|found| found.name(Lang::Ja));
    let records: Vec<&str> = request.record_types.iter().filter_map(name).collect();
    let client = issuer.openid4vci().config.client(&request.client);
    page::ask(&Page {
        issuer: &own.organisation.name.ja,
        wallet: client.map_or(request.client.as_str(), |client| &client.name),
        records: &records,
        client: &request.client,
        request_uri: parameters.get("request_uri").unwrap_or_default(),
        redirect_uri: &request.redirect_uri,
        fault,
    })
}

/// What the person answered.
enum Answer {
    Cancel,
    /// The pairing code without hyphens; absent where it is none.
    Code(Option<String>),
}

/// What came of it.
enum Decision {
    /// The authorisation code.
    Allowed(String),
    Denied,
    /// The request is over.
    Gone,
    Wrong,
    Over,
    Nothing,
}

/// Uses request, pairing code and offer up, and stores an authorisation code, in one synced write.
fn store(
    issuer: &Issuer,
    slot: &Slot,
    answer: &Answer,
    may_issue: impl Fn(&Record) -> bool,
    now_ms: u64,
) -> Result<Decision, StoreError> {
    let mut change = issuer.store.change();
    let request: Option<Pushed> = change.openid4vci(slot)?;
    let Some(mut request) = request.filter(|request| !request.used && now_ms < request.expires_ms)
    else {
        return Ok(Decision::Gone);
    };
    let Answer::Code(code) = answer else {
        request.used = true;
        change.put_openid4vci(slot, &request, request.expires_ms);
        change.commit()?;
        return Ok(Decision::Denied);
    };
    let key = code.as_ref().map(|code| pairing_hash(&issuer.id, code));
    let pairing = key.map(|key| change.pairing(&key)).transpose()?.flatten();
    let offer_slot = request.offer.map(|key| Slot::of(Kind::Offer, key));
    let offer = offer_slot
        .map(|slot| change.openid4vci::<Offer>(&slot))
        .transpose()?
        .flatten();
    // The code of another person than the offer's is as wrong as one that was never given out.
    let pairing = pairing.filter(|pairing| {
        offer_slot.is_none()
            || offer
                .as_ref()
                .is_some_and(|offer| offer.subject == pairing.subject)
    });
    let (Some(key), Some(mut pairing)) = (key, pairing) else {
        request.wrong += 1;
        request.used = request.wrong >= WRONG_MAX;
        let denied = request.used;
        change.put_openid4vci(slot, &request, request.expires_ms);
        change.commit()?;
        return Ok(if denied {
            Decision::Denied
        } else {
            Decision::Wrong
        });
    };
    let offer_over = offer
        .as_ref()
        .is_some_and(|offer| offer.used || now_ms >= offer.expires_ms);
    if pairing.answered.is_some() || now_ms >= pairing.expires_ms || offer_over {
        return Ok(Decision::Over);
    }
    let mut records = held(issuer, &pairing.subject, now_ms)?;
    records.retain(|record| {
        let offered = offer
            .as_ref()
            .is_none_or(|offer| offer.records.contains(&record.id));
        offered && request.record_types.contains(&record.record_type) && may_issue(record)
    });
    if records.is_empty() {
        return Ok(Decision::Nothing);
    }
    let code = encode(&rand::random::<[u8; 32]>());
    let expires_ms = now_ms + issuer.openid4vci().config.code_ttl_s * 1000;
    request.used = true;
    change.put_openid4vci(slot, &request, request.expires_ms);
    let used_for = hash("tegata/v1/issuer/openid4vci-pairing", &[&slot.key().0]);
    pairing.answered = Some(Hash(used_for));
    change.put_pairing(&key, &pairing);
    if let (Some(slot), Some(mut offer)) = (offer_slot, offer) {
        offer.used = true;
        change.put_openid4vci(&slot, &offer, offer.expires_ms);
    }
    let row = Code {
        request,
        subject: pairing.subject,
        records: records.iter().map(|record| record.id).collect(),
        used: false,
        token: None,
        expires_ms,
    };
    change.put_openid4vci(&Slot::new(Kind::Code, &code), &row, expires_ms);
    change.commit()?;
    metrics::counter!("tegata_issuer_openid4vci_authorisations_total").increment(1);
    Ok(Decision::Allowed(code))
}

/// Sends the person back (RFC 6749 §4.1.2, RFC 9207).
fn send_back(issuer: &Issuer, request: &Pushed, answer: &[(&str, &str)]) -> Response {
    let state = request.state.as_deref().map(|state| ("state", state));
    let parameters = answer
        .iter()
        .copied()
        .chain(state)
        .chain([("iss", issuer.identifier())]);
    let location = reqwest::Url::parse(&request.redirect_uri)
        .ok()
        .and_then(|mut url| {
            url.query_pairs_mut().extend_pairs(parameters);
            HeaderValue::from_str(url.as_str()).ok()
        });
    let Some(location) = location else {
        return page::stop(StatusCode::BAD_REQUEST, UNKNOWN);
    };
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
