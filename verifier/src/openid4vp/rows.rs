//! What the store holds of presentations.

use super::checks::Check;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq;
use tegata_credential::openid4vp::{Asked, ResponseMode};
use utoipa::ToSchema;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Most signed request objects of one presentation that are remembered: each POST with a `wallet_nonce` makes one.
pub(crate) const REQUEST_OBJECTS_MAX: usize = 8;

/// A secret as text: wiped when dropped, not shown, compared in constant time.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(crate) struct SecretText(String);

impl SecretText {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same; takes as long wherever they differ.
    pub(crate) fn is(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Whose wallets may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// Only with a consent on the ledger that fits this request.
    Ledger,
    /// Any wallet; the result has no ledger proof.
    Standard,
}

/// How far a presentation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Nobody has answered.
    Waiting,
    /// A response was refused; another may come.
    Refused,
    /// The wallet or the person said no.
    Declined,
    /// A response was accepted.
    Answered,
    /// Its time is over and no response was accepted.
    Expired,
}

/// A request for a presentation, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PresentationRow {
    pub(crate) policy: Policy,
    /// Under which our own systems file it. It is not in the request.
    pub(crate) reference: String,
    /// Who asks for what and why, as the request says it.
    pub(crate) asked: Asked,
    pub(crate) client_id: String,
    /// What people read.
    pub(crate) client_name: String,
    /// `kid` of the request object; absent: it has `x5c`.
    pub(crate) key_url: Option<String>,
    pub(crate) nonce: String,
    pub(crate) state: SecretText,
    pub(crate) response_mode: ResponseMode,
    pub(crate) query: Value,
    /// Encoded entries of `transaction_data`.
    pub(crate) transaction_data: Vec<String>,
    /// Secret key (P-256, hexadecimal) that the response is encrypted to.
    pub(crate) response_secret: Option<SecretText>,
    /// The request objects that were handed out, newest last: consents commit to one of them. Once consents were accepted,
    /// those that they commit to.
    pub(crate) requests: Vec<String>,
    pub(crate) same_device: Option<SameDevice>,
    pub(crate) created_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) delete_ms: u64,
    pub(crate) status: Status,
    pub(crate) result: Option<ResultRow>,
}

/// Where the person's browser goes on after she answered on the same device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SameDevice {
    /// The page of our own system.
    pub(crate) redirect_uri: String,
    /// What that page must bring back, so that only the browser that answered gets the result.
    pub(crate) response_code: SecretText,
}

/// What a response was found to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ResultRow {
    /// When the response came, in milliseconds since 1970.
    pub(crate) received_ms: u64,
    /// When what was shown is deleted, in milliseconds since 1970.
    pub(crate) delete_ms: u64,
    /// A consent on the ledger was checked for every credential.
    pub(crate) ledger_proof: bool,
    /// Why the response was refused as a whole, or what the wallet said: a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Every presentation of the response.
    pub(crate) credentials: Vec<PresentedRow>,
}

/// One presentation. One for which some check does not hold has no claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PresentedRow {
    /// Id of the credential query that it answers.
    pub(crate) id: String,
    /// Every check holds.
    pub(crate) verified: bool,
    /// The checks.
    pub(crate) checks: Vec<Check>,
    /// What it says, if verified.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<ContentRow>,
}

impl PresentedRow {
    /// The first check that was made and does not hold: the reason why others were not made.
    pub(crate) fn first_failing(&self) -> Option<&Check> {
        let made = |check: &&Check| !check.holds && check.not_reached.is_none();
        self.checks.iter().find(made)
    }
}

/// What a verified presentation says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ContentRow {
    /// Its type.
    pub(crate) vct: String,
    /// The same in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record_type: Option<String>,
    /// Who signed it.
    pub(crate) issuer: IssuerRow,
    /// What was shown of it.
    #[schema(value_type = Object)]
    pub(crate) claims: Value,
    /// The one-time grant, where the ledger has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<String>,
    /// Height at which it was proven to stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<u64>,
    /// As it was shown (SD-JWT VC with key binding).
    pub(crate) presentation: String,
}

/// An issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct IssuerRow {
    /// `iss` of the credential.
    pub(crate) iss: String,
    /// Its id in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Its name.
    pub(crate) ja: String,
    /// Its name.
    pub(crate) en: String,
}
