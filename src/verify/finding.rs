//! What was found.

use crate::time::moment;
use serde_json::{Value, json};
use std::fmt::Display;
use tegata_consent::cose::CoseError;
use tegata_consent::deposit::{DepositError, ReceiptChainError};
use tegata_consent::entry::EntryError;
use tegata_consent::genesis::GenesisError;
use tegata_consent::header::HeaderError;
use tegata_consent::history::HistoryError;
use tegata_consent::invitation::InvitationError;
use tegata_consent::lock::SealError;
use tegata_consent::order::OrderError;
use tegata_consent::presentation::PresentationError;
use tegata_consent::proof::ProofError;
use tegata_consent::request::RequestError as ConsentRequestError;
use tegata_consent::state::Refusal;
use tegata_consent::status::StatusListRefused;
use tegata_consent::ticket::TicketError;
use tegata_credential::bitstring::BitstringError;
use tegata_credential::data_integrity::DataIntegrityError;
use tegata_credential::dcql::DcqlError;
use tegata_credential::hcert::HcertError;
use tegata_credential::jws::JwsFault;
use tegata_credential::openid4vp::RequestError;
use tegata_credential::sd_jwt::SdJwtError;
use tegata_credential::smart_health_card::ShcError;
use tegata_credential::status_list::StatusListError;
use tegata_credential::x509::X509Error;

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable word.
    pub name: &'static str,
    /// Absent: it could not be made.
    pub holds: Option<bool>,
    /// Why not, for programs: the reason code of the format's page. Absent where the check can fail in one way only.
    pub code: Option<&'static str>,
    /// Why, for people. It begins with the code, where there is one.
    pub reason: String,
}

/// Why a check does not hold.
pub(super) trait Why {
    /// The format's reason code.
    fn code(&self) -> Option<&'static str>;
    /// In words.
    fn words(&self) -> String;
}

impl Why for &str {
    fn code(&self) -> Option<&'static str> {
        None
    }
    fn words(&self) -> String {
        (*self).to_owned()
    }
}

impl Why for String {
    fn code(&self) -> Option<&'static str> {
        None
    }
    fn words(&self) -> String {
        self.clone()
    }
}

impl<T: Why> Why for &T {
    fn code(&self) -> Option<&'static str> {
        T::code(self)
    }
    fn words(&self) -> String {
        T::words(self)
    }
}

/// A reason in other words than the error's own, with its code.
pub(super) struct Coded(pub(super) &'static str, pub(super) String);

impl Why for Coded {
    fn code(&self) -> Option<&'static str> {
        Some(self.0)
    }
    fn words(&self) -> String {
        self.1.clone()
    }
}

/// An error with a code, as its words.
pub(super) fn of(why: &(impl Why + ?Sized)) -> Coded {
    Coded(why.code().unwrap_or_default(), why.words())
}

macro_rules! errors_with_codes {
    ($($error:ty),+ $(,)?) => {
        $(impl Why for $error {
            fn code(&self) -> Option<&'static str> {
                Some(<$error>::code(self))
            }
            fn words(&self) -> String {
                self.to_string()
            }
        })+
    };
}

errors_with_codes!(
    BitstringError,
    CoseError,
    DataIntegrityError,
    DcqlError,
    DepositError,
    EntryError,
    HcertError,
    HeaderError,
    HistoryError,
    InvitationError,
    JwsFault,
    OrderError,
    ProofError,
    ReceiptChainError,
    RequestError,
    SdJwtError,
    SealError,
    ShcError,
    StatusListError,
    TicketError,
    X509Error,
);

impl Why for GenesisError {
    fn code(&self) -> Option<&'static str> {
        None
    }
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Why for PresentationError {
    fn code(&self) -> Option<&'static str> {
        Some(Self::code(self))
    }
    fn words(&self) -> String {
        match self {
            Self::Future { time_ms } => {
                format!(
                    "the proof is of {}, which is in the future",
                    moment(*time_ms)
                )
            }
            Self::TooOld {
                height,
                age_ms,
                age_max_ms,
            } => format!(
                "the proof is of height {height}, {} s before; at most {} s count",
                age_ms / 1000,
                age_max_ms / 1000
            ),
            _ => self.to_string(),
        }
    }
}

impl Why for ConsentRequestError {
    fn code(&self) -> Option<&'static str> {
        Some(Self::code(*self))
    }
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Why for Refusal {
    fn code(&self) -> Option<&'static str> {
        Some(Self::code(*self))
    }
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Why for StatusListRefused {
    fn code(&self) -> Option<&'static str> {
        Some(Self::code(*self))
    }
    fn words(&self) -> String {
        match self {
            Self::NotOnLedger => self.to_string(),
            Self::Superseded { issued_ms } => format!(
                "a later status list is on the ledger, signed at {}",
                moment(*issued_ms)
            ),
        }
    }
}

/// What something is, and whether it holds.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// What it says, once its signature holds or as an unverified claim where the checks say so.
    pub facts: Vec<(&'static str, String)>,
    /// All checks.
    pub checks: Vec<Check>,
}

impl Finding {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// Whether every check was made and holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.holds == Some(true))
    }

    pub(super) fn fact(&mut self, name: &'static str, value: impl Display) {
        self.facts.push((name, value.to_string()));
    }

    pub(super) fn check(
        &mut self,
        name: &'static str,
        result: Result<impl Into<String>, impl Why>,
    ) {
        let (holds, code, reason) = match result {
            Ok(reason) => (true, None, reason.into()),
            Err(why) => match why.code() {
                None => (false, None, why.words()),
                Some(code) => (false, Some(code), format!("{code} ({})", why.words())),
            },
        };
        self.checks.push(Check {
            name,
            holds: Some(holds),
            code,
            reason,
        });
    }

    /// A check that holds.
    pub(super) fn hold(&mut self, name: &'static str, reason: impl Into<String>) {
        self.check(name, Ok::<_, &str>(reason));
    }

    /// A check that does not.
    pub(super) fn fail(&mut self, name: &'static str, why: impl Why) {
        self.check(name, Err::<&str, _>(why));
    }

    pub(super) fn unknown(&mut self, name: &'static str, reason: impl Into<String>) {
        self.checks.push(Check {
            name,
            holds: None,
            code: None,
            reason: reason.into(),
        });
    }

    pub(super) fn to_json(&self) -> Value {
        let check = |check: &Check| json!({ "check": check.name, "holds": check.holds, "code": check.code, "reason": check.reason });
        let facts: Vec<_> = self
            .facts
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let checks: Vec<_> = self.checks.iter().map(check).collect();
        json!({ "what": self.what, "holds": self.holds(), "facts": facts, "checks": checks })
    }
}
