//! Errors over HTTP: problem details (RFC 9457) with a stable `code`.
//!
//! Architecture invariant: a problem says what went wrong with the request, never what stands in a record, who a person
//! is, or a secret.

use crate::ledger::LedgerError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// A problem: `type` is `urn:tegata:problem:<code>`.
#[derive(Debug, Clone)]
pub struct Problem(Box<Members>);

#[derive(Debug, Clone)]
struct Members {
    status: StatusCode,
    code: &'static str,
    title: String,
    detail: Option<String>,
    more: Map<String, Value>,
    retry_after_s: Option<u64>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Members {
            status,
            code,
            title,
            detail,
            ..
        } = &*self.0;
        write!(f, "{status} {code}: {title}")?;
        detail
            .as_ref()
            .map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// A problem with a stable code for programs and a title for people.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: impl Into<String>) -> Self {
        let (title, more) = (title.into(), Map::new());
        Self(Box::new(Members {
            status,
            code,
            title,
            detail: None,
            more,
            // whatever is unavailable now is asked again soon, unless somebody says when
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(2),
        }))
    }

    /// Adds what is particular about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// When to ask again, in seconds, as member and as header.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self.with("retry_after_s", seconds)
    }

    /// Adds a member. The members of RFC 9457 and `code` cannot be replaced.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(key.to_owned(), value.into());
        self
    }

    /// 503: no newest header that is under 15 s old, so nothing can be said about what stands now.
    #[must_use]
    pub fn stale() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stale",
            "The ledger's newest header is too old; try again",
        )
    }

    /// 400.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "The request is malformed",
        )
        .detail(detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
    }

    /// 500. The cause goes to the log, not to the caller.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here; the operator's log says what",
        )
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.0.code
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = self.0.more.clone();
        members.insert(
            "type".into(),
            format!("urn:tegata:problem:{}", self.0.code).into(),
        );
        members.insert("title".into(), self.0.title.clone().into());
        members.insert("status".into(), self.0.status.as_u16().into());
        members.insert("code".into(), self.0.code.into());
        if let Some(detail) = &self.0.detail {
            members.insert("detail".into(), detail.clone().into());
        }
        Value::Object(members)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, self.to_json().to_string()).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.0.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Stale { .. } => Self::stale(),
            LedgerError::Inadmissible { code, detail } => Self::new(
                StatusCode::CONFLICT,
                "inadmissible",
                "The ledger does not admit this entry now",
            )
            .detail(detail.clone())
            .with("reason", code.clone()),
            LedgerError::Malformed { detail } => Self::malformed(detail.clone()),
            LedgerError::NotFinal => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not-final",
                "The entry did not become final in time; send it again",
            ),
            LedgerError::Unreachable { .. } | LedgerError::Proof { .. } => {
                tracing::warn!(%error, "ledger");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ledger-unreachable",
                    "No ledger node gives a usable answer; try again",
                )
            }
            LedgerError::Config(_) | LedgerError::Genesis(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_problem_json() {
        let problem = Problem::new(StatusCode::CONFLICT, "seen", "Seen")
            .detail("twice")
            .with("height", 7)
            .with("status", 1);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "urn:tegata:problem:seen", "title": "Seen", "status": 409, "code": "seen", "detail": "twice", "height": 7})
        );
    }

    #[test]
    fn ledger_errors_have_their_statuses() {
        let inadmissible = LedgerError::Inadmissible {
            code: "late".into(),
            detail: "too late".into(),
        };
        for (error, status, code) in [
            (LedgerError::Stale { age_ms: 20_000 }, 503, "stale"),
            (inadmissible, 409, "inadmissible"),
            (LedgerError::NotFinal, 503, "not-final"),
            (
                LedgerError::Unreachable {
                    detail: "http://10.0.0.1 refused".into(),
                },
                503,
                "ledger-unreachable",
            ),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
            assert!(!problem.to_json().to_string().contains("10.0.0.1"));
        }
    }
}
