//! Errors by their standards' codes: RFC 6749 §5.2, RFC 6750 §3.1, RFC 9126 §2.3, RFC 9449 §5, OpenID4VCI 1.0 §8.3.1.

use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tegata_service::ledger::LedgerError;
use tegata_service::problem::Problem;

/// An error as OAuth tells it.
#[derive(Debug)]
pub(crate) struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: String,
    challenge: Option<&'static str>,
}

impl OAuthError {
    /// 400 with a code of a standard. `description` is for developers, and repeats nothing that was sent.
    pub(super) fn new(code: &'static str, description: impl ToString) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            description: description.to_string(),
            challenge: None,
        }
    }

    /// With another status.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// 401 with a challenge in a scheme.
    pub(super) fn unauthorized(mut self, scheme: &'static str) -> Self {
        self.status = StatusCode::UNAUTHORIZED;
        self.challenge = Some(scheme);
        self
    }

    /// 500. The cause goes to the log, not to the caller.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new("server_error", "the operator's log says what")
            .status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        // RFC 6749 §5.2: these characters only.
        let description: String = self
            .description
            .chars()
            .map(|c| match c {
                '"' | '\\' => '\'',
                ' '..='~' => c,
                _ => '?',
            })
            .collect();
        let body = json!({ "error": self.code, "error_description": description });
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(scheme) = self.challenge {
            let challenge = format!("{scheme} error=\"{}\"", self.code);
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<LedgerError> for OAuthError {
    fn from(error: LedgerError) -> Self {
        Self::from(Problem::from(error))
    }
}

impl From<Problem> for OAuthError {
    fn from(problem: Problem) -> Self {
        let code = if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
            "temporarily_unavailable"
        } else {
            "server_error"
        };
        Self::new(code, problem.code()).status(problem.status())
    }
}
