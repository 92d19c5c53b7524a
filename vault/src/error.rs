//! Which HTTP status and problem each error becomes: the one place that decides it.

use crate::admission::NotNow;
use crate::deposits::DepositRefused;
use crate::fetch::FetchRefused;
use crate::grants::GrantRefused;
use crate::history::HistoryFailed;
use crate::store::StoreError;
use axum::http::StatusCode;
use tegata_service::ledger::LedgerError;
use tegata_service::problem::Problem;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Deposit(#[from] DepositRefused),
    #[error(transparent)]
    Fetch(#[from] FetchRefused),
    #[error(transparent)]
    Grant(#[from] GrantRefused),
    #[error(transparent)]
    NotNow(#[from] NotNow),
    #[error(transparent)]
    History(#[from] HistoryFailed),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Deposit(refused) => {
                let title = "The deposit is not accepted";
                Self::new(deposit_status(&refused), refused.code(), title)
                    .detail(refused.to_string())
            }
            Failed::Fetch(refused) => fetch_problem(&refused),
            Failed::Grant(GrantRefused::Ledger(error))
            | Failed::History(HistoryFailed::Ledger(error)) => error.into(),
            Failed::Grant(GrantRefused::Store(error))
            | Failed::History(HistoryFailed::Store(error)) => store_problem(&error),
            Failed::Grant(GrantRefused::NotNow(not_now)) | Failed::NotNow(not_now) => {
                not_now_problem(not_now)
            }
            Failed::Grant(refused) => {
                let title = "The grant or revocation is not carried";
                Self::new(grant_status(&refused), refused.code(), title).detail(refused.to_string())
            }
            Failed::History(error @ HistoryFailed::NoGrant(_)) => Self::new(
                StatusCode::NOT_FOUND,
                "grant-unknown",
                "There is no such grant",
            )
            .detail(error.to_string()),
            Failed::History(error @ HistoryFailed::Accesses(_)) => {
                let title = "The ledger node did not give all accesses; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "history-incomplete", title)
                    .detail(error.to_string())
            }
            Failed::Store(error) => store_problem(&error),
            Failed::Ledger(error) => error.into(),
            Failed::Problem(problem) => problem,
        }
    }
}

fn store_problem(error: &StoreError) -> Problem {
    Problem::internal(error)
}

fn not_now_problem(not_now: NotNow) -> Problem {
    let title = "The host takes no more now";
    match not_now.wait_s() {
        None => Problem::new(StatusCode::SERVICE_UNAVAILABLE, not_now.code(), title),
        Some(wait_s) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, not_now.code(), title).retry_after_s(wait_s)
        }
    }
    .detail(not_now.to_string())
}

const fn deposit_status(refused: &DepositRefused) -> StatusCode {
    match refused {
        DepositRefused::NoDrawer(_) => StatusCode::NOT_FOUND,
        DepositRefused::Size { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        DepositRefused::RecordExists | DepositRefused::Full(_) => StatusCode::CONFLICT,
        DepositRefused::NoDepositor(_)
        | DepositRefused::NotIssuer(_)
        | DepositRefused::Suspended(_)
        | DepositRefused::Key { .. }
        | DepositRefused::Invitation(_)
        | DepositRefused::OtherInvitation
        | DepositRefused::NotOwner(_)
        | DepositRefused::NotInvited(_)
        | DepositRefused::OtherKeys(_) => StatusCode::FORBIDDEN,
        DepositRefused::Receipt
        | DepositRefused::Deposit(_)
        | DepositRefused::Lock(_)
        | DepositRefused::OtherDrawer(_)
        | DepositRefused::Date { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn fetch_problem(refused: &FetchRefused) -> Problem {
    let status = if *refused == FetchRefused::After {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::FORBIDDEN
    };
    let problem =
        Problem::new(status, refused.code(), "Nothing is handed out").detail(refused.to_string());
    match refused {
        FetchRefused::Refused(refusal) | FetchRefused::Grant(refusal) => {
            problem.with("reason", refusal.code())
        }
        _ => problem,
    }
}

const fn grant_status(refused: &GrantRefused) -> StatusCode {
    match refused {
        GrantRefused::OtherVault(_) | GrantRefused::OtherDrawer(_) => StatusCode::FORBIDDEN,
        GrantRefused::OtherEntry(_) | GrantRefused::Full(_) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
