//! Why a verifier does not run, and how its errors become HTTP answers.

use crate::inbox::InboxError;
use crate::reading::ReadingError;
use crate::requests::RequestError;
use crate::rows::StoreError;
use crate::rules::RulesError;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tegata_service::keys::KeysError;
use tegata_service::ledger::LedgerError;
use tegata_service::problem::Problem;
use tegata_service::telemetry::TelemetryError;

/// Why a verifier does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// Logs.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The organisation's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The payout rules.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Presentations.
    #[error("presentations: {0}")]
    Presentations(#[from] crate::openid4vp::SetupError),
    /// The webhook's token.
    #[error("payout.webhook.token_file {path}: {error}")]
    WebhookToken {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The HTTP client.
    #[error("HTTP client: {0}")]
    Client(String),
    /// Serving.
    #[error("{0}")]
    Serve(#[from] std::io::Error),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let detail = error.to_string();
        let problem = |status, code, title| Self::new(status, code, title).detail(&detail);
        match error {
            RequestError::Invalid(_) => problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "The consent request is not usable",
            ),
            RequestError::NotAccredited { .. }
            | RequestError::NotRegistered
            | RequestError::Suspended => problem(
                StatusCode::FORBIDDEN,
                "not-accredited",
                "The registry does not allow this organisation to ask for this",
            ),
            RequestError::Ledger(error) => error.into(),
            RequestError::Store(error) => error.into(),
            RequestError::Qr(_) => Self::internal(&detail),
        }
    }
}

impl From<InboxError> for Problem {
    fn from(error: InboxError) -> Self {
        let (status, code) = match &error {
            InboxError::Ledger(_) | InboxError::Store(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
            InboxError::NotAHost => (StatusCode::FORBIDDEN, "not-a-host"),
            InboxError::Encoding => (StatusCode::BAD_REQUEST, "malformed"),
            InboxError::NoSuchGrant => (StatusCode::NOT_FOUND, "no-such-grant"),
            InboxError::NoTicket => (StatusCode::NOT_FOUND, "no-ticket"),
            InboxError::NotRecipient => (StatusCode::FORBIDDEN, "not-recipient"),
            InboxError::OtherHost => (StatusCode::FORBIDDEN, "other-host"),
            InboxError::Ticket(_) => (StatusCode::UNPROCESSABLE_ENTITY, "ticket"),
            InboxError::UnknownRequest => (StatusCode::UNPROCESSABLE_ENTITY, "unknown-request"),
            InboxError::RequestMismatch(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "request-mismatch")
            }
            InboxError::RequestExpired => (StatusCode::UNPROCESSABLE_ENTITY, "request-expired"),
            InboxError::RequestAnswered => (StatusCode::CONFLICT, "request-answered"),
        };
        match error {
            InboxError::Ledger(error) => error.into(),
            InboxError::Store(error) => error.into(),
            error => {
                Self::new(status, code, "The inbox does not take this").detail(error.to_string())
            }
        }
    }
}

impl From<ReadingError> for Problem {
    fn from(error: ReadingError) -> Self {
        let detail = error.to_string();
        match error {
            ReadingError::NoTicket => Self::new(
                StatusCode::NOT_FOUND,
                "no-ticket",
                "There is no ticket for this grant",
            ),
            ReadingError::Refused {
                refusal,
                access,
                height,
                receipt,
            } => Self::new(
                StatusCode::FORBIDDEN,
                refusal.code(),
                "The ledger refused the access",
            )
            .detail(refusal.to_string())
            .with("access", access.to_string())
            .with("height", height)
            .with("receipt", URL_SAFE_NO_PAD.encode(receipt)),
            ReadingError::NotStanding(refusal) => Self::new(
                StatusCode::FORBIDDEN,
                refusal.code(),
                "The grant does not stand any more",
            )
            .detail(refusal.to_string()),
            ReadingError::Scope(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "beyond-grant",
                "The reading would reach beyond the grant",
            )
            .detail(detail),
            ReadingError::Ticket(_) => Self::internal(&detail),
            ReadingError::NoHost(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "no-host",
                "The host is not in the registry",
            )
            .detail(detail),
            ReadingError::HostStale => Self::stale(),
            ReadingError::HostRefused { ref code, .. } => {
                let code = code.clone();
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    "host-refused",
                    "The vault's host refused to hand out records",
                )
                .detail(detail)
                .with("reason", code)
            }
            ReadingError::Host(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "host",
                "The vault's host gives no usable answer",
            )
            .detail(detail),
            ReadingError::Ledger(error) => error.into(),
            ReadingError::Store(error) => error.into(),
        }
    }
}
