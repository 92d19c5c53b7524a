//! Pairing over HTTP.

use super::{OwnSystem, Shared};
use crate::intake::check_subject;
use crate::pairing::{self, AnswerError};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tegata_service::clock::now_ms;
use tegata_service::http::{Address, Json};
use tegata_service::problem::Problem;
use tegata_service::qr;
use utoipa::ToSchema;

/// Whom to pair.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    /// The organisation's own number for the person.
    subject: String,
}

/// A pairing that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    /// To be typed, in groups.
    code: String,
    /// To be opened on the phone.
    link: String,
    /// To be scanned: the link.
    qr_svg: String,
    /// Until when it can be answered, in milliseconds since 1970.
    expires_ms: u64,
}

/// Gives out a pairing code, after identity was checked at the counter.
#[utoipa::path(post, path = "/v1/pairings", request_body = Subject,
    responses((status = 201, body = Begun), (status = 401), (status = 422)))]
pub(crate) async fn begin(
    State(issuer): Shared,
    OwnSystem(system): OwnSystem,
    Json(Subject { subject }): Json<Subject>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    if let Err(error) = check_subject(&subject) {
        let title = "The number of the person cannot be used";
        return Err(
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "subject", title)
                .detail(error.to_string()),
        );
    }
    let begun = pairing::begin(&issuer, subject, system, now_ms())
        .await
        .map_err(|error| Problem::internal(&error))?;
    let qr_svg = qr::svg(&begun.link).map_err(|error| Problem::internal(&error))?;
    Ok((
        StatusCode::CREATED,
        Json(Begun {
            code: begun.code,
            link: begun.link,
            qr_svg,
            expires_ms: begun.expires_ms,
        }),
    ))
}

/// A wallet's answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// As it was given, with or without hyphens.
    code: String,
    /// The signed deposit invitation, base64url.
    invitation: String,
}

/// What a pairing opened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Paired {
    /// This organisation's id.
    organisation: String,
    /// Record types that will be deposited.
    record_types: Vec<String>,
}

/// Takes a wallet's deposit invitation.
#[utoipa::path(post, path = "/v1/pairings/answers", request_body = Answer, responses(
    (status = 200, body = Paired), (status = 410, description = "unknown, expired or used"),
    (status = 422, description = "with the reason"), (status = 429, description = "too many wrong codes"), (status = 503)
))]
pub(crate) async fn answer(
    State(issuer): Shared,
    address: Address,
    Json(answer): Json<Answer>,
) -> Result<Response, Problem> {
    let now = now_ms();
    if let Err(wait_s) = issuer.attempts.check(address, now) {
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many wrong codes from this address",
        );
        let mut response = problem.with("retry_after_s", wait_s).into_response();
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        return Ok(response);
    }
    let invitation = URL_SAFE_NO_PAD.decode(&answer.invitation);
    let invitation = invitation
        .map_err(|_| Problem::malformed("invitation is not base64url without padding"))?;
    match pairing::answer(&issuer, &answer.code, invitation, now).await {
        Ok(paired) => {
            tracing::info!(released = paired.released, "a wallet was paired");
            Ok(Json(Paired {
                organisation: issuer.id.to_string(),
                record_types: paired.record_types,
            })
            .into_response())
        }
        Err(error) => {
            if matches!(error, AnswerError::UnknownCode) {
                issuer.attempts.wrong(address, now);
            }
            Err(problem(error))
        }
    }
}

fn problem(error: AnswerError) -> Problem {
    let (code, detail) = (error.code(), error.to_string());
    match error {
        AnswerError::UnknownCode | AnswerError::Expired | AnswerError::Used => Problem::new(
            StatusCode::GONE,
            code,
            "The pairing code cannot be answered; ask for a new one",
        )
        .detail(detail),
        AnswerError::Ledger(error) => error.into(),
        AnswerError::Store(error) => Problem::internal(&error),
        _ => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            code,
            "The deposit invitation is refused",
        )
        .detail(detail),
    }
}
