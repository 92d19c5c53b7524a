//! One presented credential, checked.

use super::checks::{CheckName, Fault, Report};
use super::issuers::{self, Issuer};
use super::rows::{ContentRow, IssuerRow, Policy, PresentationRow, PresentedRow};
use crate::core::Core;
use crate::verify::Fault as StatusFault;
use serde_json::Value;
use tegata_consent::header::ValidatorSet;
use tegata_consent::organisation::OrganisationState;
use tegata_consent::presentation::{
    ConsentChecked, PresentationError, PresentedConsent, Question, Trust,
};
use tegata_credential::dcql::CredentialQuery;
use tegata_credential::jws;
use tegata_credential::openid4vp::{CONSENT_CLAIM, TransactionData, check_transaction_data};
use tegata_credential::sd_jwt::{
    KeyBindingPolicy, SdJwt, SdJwtError, VerifiedPresentation, VerifiedSdJwt,
};
use tegata_credential::status_list::{RECALLED, Status};
use tegata_records::{RecordType, catalogue};
use tegata_service::clock;

/// What is the same for all presentations of one response.
pub(super) struct Response<'a> {
    pub(super) core: &'a Core,
    pub(super) row: &'a PresentationRow,
    pub(super) transaction_data: &'a [TransactionData],
    /// When it came in, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// A presentation after all checks.
pub(super) struct Judged {
    pub(super) row: PresentedRow,
    /// The consent under which it may be kept.
    pub(super) consent: Option<Consent>,
}

/// A consent that holds, with the request object that it commits to.
pub(super) struct Consent {
    pub(super) checked: ConsentChecked,
    pub(super) request: String,
}

impl Response<'_> {
    /// Checks one presentation of the credential query `query`.
    pub(super) async fn judge(&self, query: &CredentialQuery, text: &str) -> Judged {
        let mut report = Report::default();
        let mut consent = None;
        let content = self.checks(query, text, &mut report, &mut consent).await;
        let wanted = match self.row.policy {
            Policy::Ledger => &CheckName::ALL[..],
            Policy::Standard => &CheckName::ALL[..7],
        };
        let cause = report.first_failing().unwrap_or(CheckName::IssuerSignature);
        let (checks, verified) = report.finish(wanted, cause);
        Judged {
            row: PresentedRow {
                id: query.id().to_owned(),
                verified,
                checks,
                content: content.filter(|_| verified),
            },
            consent: consent.filter(|_| verified),
        }
    }

    async fn checks(
        &self,
        query: &CredentialQuery,
        text: &str,
        report: &mut Report,
        consent: &mut Option<Consent>,
    ) -> Option<ContentRow> {
        let signed = |error: SdJwtError| Fault::new(error.code(), error);
        let parsed = SdJwt::parse(text).map_err(signed);
        let parsed = match parsed {
            Err(fault) if reads_without_key_binding(text) => {
                report.note_fault(CheckName::HolderKey, Err::<(), _>(fault));
                return None;
            }
            other => report.note_fault(CheckName::IssuerSignature, other)?,
        };
        let validators = self.core.ledger.validators();
        let trust = self.trust(&validators);
        let claimed = claimed_consent(&parsed);
        let carried = match &claimed {
            Ok(Some(claimed)) => claimed.issuer(&trust).ok().flatten(),
            _ => None,
        };
        let carried = carried.map(|(state, header)| (state, header.header().height));
        let now_s = clock::now_s();
        let issuer = issuers::find(self.core, &parsed, self.row.policy, carried, now_s).await;
        let issuer = report.note_fault(CheckName::IssuerSignature, issuer)?;
        // Keys and accreditations of the registry count at a time.
        let issued_ms = match (parsed.issued_at(), &issuer) {
            (Some(issued_s), _) => Ok(milliseconds(issued_s)),
            (None, Issuer::Outside { .. }) => Ok(0),
            (None, Issuer::Registered { .. }) => Err(Fault::new(
                "issued-at-missing",
                "the credential does not say when it was signed, in `iat`, for everybody to see",
            )),
        };
        let issued_ms = report.note_fault(CheckName::IssuerSignature, issued_ms)?;

        let shown = self.verify(&parsed, &issuer, issued_ms, now_s);
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) if is_about_holder(error.code()) => {
                report.note(CheckName::IssuerSignature, Ok(()), |()| how(&issuer));
                report.note_fault(CheckName::HolderKey, Err::<(), _>(signed(error)));
                return None;
            }
            Err(error) => {
                report.note_fault(CheckName::IssuerSignature, Err::<(), _>(signed(error)));
                return None;
            }
        };
        let credential = shown.credential();
        report.note(CheckName::IssuerSignature, Ok(()), |()| how(&issuer));
        report.note(CheckName::HolderKey, Ok(()), |()| {
            "the holder signed it for this request".into()
        });

        let record_type = catalogue().by_vct(credential.vct());
        report.note(
            CheckName::IssuerAccredited,
            accredited(
                &issuer,
                credential.vct(),
                record_type,
                issued_ms,
                self.now_ms,
            ),
            String::clone,
        );
        let status = self
            .not_revoked(&issuer, credential, &claimed, &trust)
            .await;
        report.note(CheckName::NotRevoked, status, String::clone);
        let answers = query
            .matches(
                credential.vct(),
                credential.payload(),
                credential.disclosed(),
            )
            .map_err(|error| Fault::new(error.code(), error));
        report.note(CheckName::Query, answers, |()| {
            "it shows what was asked for, and nothing else".into()
        });
        let known = schema(credential, record_type);
        report.note(CheckName::Schema, known, |()| {
            format!("the claims fit {}", credential.vct())
        });
        let binding = shown.key_binding_claims();
        let data = check_transaction_data(binding, self.transaction_data, query.id())
            .map_err(|error| Fault::new(error.code(), error));
        report.note(CheckName::TransactionData, data, |()| {
            match self.transaction_data.len() {
                0 => "the request has none".into(),
                _ => "the holder signed who asks for what and why".into(),
            }
        });
        if self.row.policy == Policy::Ledger {
            let checked = self.consent(claimed, record_type, &trust);
            *consent = report.note(CheckName::ConsentProof, checked, |consent| {
                let header = consent.checked.header().header();
                format!(
                    "grant {} stands at height {}, {} ms ago",
                    consent.checked.id(),
                    header.height,
                    self.now_ms.saturating_sub(header.time_ms)
                )
            });
        }
        Some(ContentRow {
            vct: credential.vct().to_owned(),
            record_type: record_type.map(|known| known.id().to_owned()),
            issuer: issuer_row(&issuer, credential.issuer().unwrap_or_default()),
            claims: credential.claims().clone(),
            grant: consent
                .as_ref()
                .map(|consent| consent.checked.id().to_string()),
            height: consent
                .as_ref()
                .map(|consent| consent.checked.header().header().height),
            presentation: text.to_owned(),
        })
    }

    fn trust<'a>(&'a self, validators: &'a ValidatorSet) -> Trust<'a> {
        Trust {
            chain: &self.core.chain,
            validators,
            age_max_ms: self
                .core
                .presentations
                .config
                .consent_age_max_s
                .saturating_mul(1000),
            at_ms: self.now_ms,
        }
    }

    /// Both signatures, with whichever of the issuer's keys the credential names.
    fn verify(
        &self,
        parsed: &SdJwt,
        issuer: &Issuer,
        issued_ms: u64,
        now_s: i64,
    ) -> Result<VerifiedPresentation, SdJwtError> {
        let unknown = || SdJwtError::IssuerKeyUnknown {
            issuer: parsed.issuer().map(str::to_owned),
            key_id: parsed.key_id().map(str::to_owned),
        };
        let policy = KeyBindingPolicy {
            audience: &self.row.client_id,
            nonce: &self.row.nonce,
            max_age_s: i64::from(self.core.presentations.config.key_binding_age_max_s),
        };
        let named = parsed.key_id();
        let certificate = parsed
            .certificates()
            .ok()
            .and_then(|chain| chain.first()?.public_key().ok());
        let fits = |key: &tegata_credential::keys::PublicKey| {
            named.is_none_or(|id| id == key.key_id()) || certificate.as_ref() == Some(key)
        };
        let mut last = unknown();
        for key in issuer.keys(issued_ms).iter().filter(|key| fits(key)) {
            match parsed.verify_with_key_binding(key, &policy, now_s) {
                Err(error @ (SdJwtError::Signature(_) | SdJwtError::AlgMismatch(_)))
                    if !is_about_holder(error.code()) =>
                {
                    last = error;
                }
                other => return other,
            }
        }
        Err(last)
    }

    async fn not_revoked(
        &self,
        issuer: &Issuer,
        credential: &VerifiedSdJwt,
        claimed: &Result<Option<PresentedConsent>, PresentationError>,
        trust: &Trust<'_>,
    ) -> Result<String, Fault> {
        let state = match (issuer, credential.status()) {
            (Issuer::Registered { state, .. }, _) => state,
            (Issuer::Outside { .. }, None) => {
                return Ok("the issuer keeps no status list for it".into());
            }
            (Issuer::Outside { .. }, Some(_)) => {
                return Err(Fault::new(
                    "status-unsupported",
                    "status lists of issuers outside of the registry are not read",
                ));
            }
        };
        let Some(reference) = credential.status() else {
            return Err(Fault::new(
                "status-missing",
                "the credential names no status list, so nobody can say whether it was revoked",
            ));
        };
        let carried = match claimed {
            Ok(Some(claimed)) => claimed.status_list(&state.id, &reference.uri, trust),
            _ => Ok(None),
        };
        let carried = carried.ok().flatten().and_then(|proven| proven.value);
        let lists = &self.core.lists;
        let list = lists
            .get_or(state, &reference.uri, self.now_ms, carried.as_ref())
            .await;
        let list = list.map_err(|fault| match fault {
            StatusFault::Unavailable(reason) => Fault::new("status-unavailable", reason),
            StatusFault::Fails(reason) => Fault::new("status-invalid", reason),
            StatusFault::NotReached(_) => Fault::new("status-invalid", "not asked for"),
        })?;
        let status = list
            .status_at(reference.index)
            .map_err(|error| Fault::new(error.code(), error))?;
        match status {
            Status::Valid => Ok(format!(
                "valid in the status list signed at {} s",
                list.issued_at()
            )),
            Status::Invalid => Err(Fault::new("revoked", "the issuer has revoked it")),
            Status::Suspended => Err(Fault::new("suspended", "the issuer has suspended it")),
            RECALLED => Err(Fault::new(
                "recalled",
                "the issuer has recalled it: it was bound to the wrong person",
            )),
            Status::Other(value) => Err(Fault::new(
                "status-unknown",
                format!("the issuer's status list has status {value}, which is not valid"),
            )),
        }
    }

    /// The consent that the key binding carries, against each request object that was handed out.
    fn consent(
        &self,
        claimed: Result<Option<PresentedConsent>, PresentationError>,
        record_type: Option<&RecordType>,
        trust: &Trust<'_>,
    ) -> Result<Consent, Fault> {
        let refuse = |error: PresentationError| Fault::new(error.code(), error);
        let claimed = claimed.map_err(refuse)?;
        let claimed = claimed
            .ok_or_else(|| Fault::new("consent-missing", "the key binding carries no consent"))?;
        let asked = &self.row.asked;
        let categories: Vec<String> = match record_type {
            Some(known) => vec![known.category().code().to_owned()],
            None => asked.categories.clone(),
        };
        let mut last = None;
        for request in &self.row.requests {
            let question = Question {
                request: request.as_bytes(),
                recipient: &self.core.us,
                categories: &categories,
                purpose: &asked.purpose,
                legal_basis: &asked.legal_basis,
                retention_days: asked.retention_days,
                until_ms: asked.until_ms,
            };
            match claimed.check(&question, trust) {
                Err(error @ PresentationError::Commitment(_)) => last = Some(error),
                other => {
                    let request = request.clone();
                    let consent = other.map(|checked| Consent { checked, request });
                    return consent.map_err(refuse);
                }
            }
        }
        let none = || Fault::new("request-mismatch", "no request was handed out");
        Err(last.map_or_else(none, refuse))
    }
}

/// The claim `tegata_consent`, unverified: everything in it is proven later.
fn claimed_consent(parsed: &SdJwt) -> Result<Option<PresentedConsent>, PresentationError> {
    let claim = parsed
        .unverified_key_binding()
        .and_then(|claims| claims.get(CONSENT_CLAIM));
    let Some(claim) = claim else { return Ok(None) };
    let text = claim.as_str().unwrap_or_default();
    if text.len() > PresentedConsent::LIMIT * 4 / 3 + 4 {
        return PresentedConsent::parse(&vec![0; PresentedConsent::LIMIT + 1]).map(Some);
    }
    PresentedConsent::parse(&jws::decode(text).unwrap_or_default()).map(Some)
}

fn accredited(
    issuer: &Issuer,
    vct: &str,
    record_type: Option<&RecordType>,
    issued_ms: u64,
    now_ms: u64,
) -> Result<String, Fault> {
    let state: &OrganisationState = match issuer {
        Issuer::Registered { state, .. } => state,
        Issuer::Outside { how, .. } => {
            return Ok(format!("outside of the registry: trusted {how}"));
        }
    };
    let name = &state.organisation.name.en;
    let Some(record_type) = record_type else {
        return Err(Fault::new(
            "type-unknown",
            format!("nobody is accredited for the unknown type {vct:?}"),
        ));
    };
    if state.suspended_at(now_ms) {
        return Err(Fault::new(
            "issuer-suspended",
            format!("{name} is suspended"),
        ));
    }
    if !state.may_issue(record_type.id(), issued_ms) {
        return Err(Fault::new(
            "issuer-not-accredited",
            format!(
                "{name} was not accredited to issue {:?} at {issued_ms} ms, or was suspended",
                record_type.id()
            ),
        ));
    }
    Ok(format!(
        "{name} was accredited to issue {:?} at {issued_ms} ms",
        record_type.id()
    ))
}

fn schema(credential: &VerifiedSdJwt, record_type: Option<&RecordType>) -> Result<(), Fault> {
    let Some(record_type) = record_type else {
        return Err(Fault::new(
            "type-unknown",
            format!("type {:?} is not in the catalogue", credential.vct()),
        ));
    };
    if credential
        .vct_integrity()
        .is_some_and(|integrity| integrity != record_type.integrity())
    {
        return Err(Fault::new(
            "type-integrity",
            "the credential was made for another version of the type's metadata",
        ));
    }
    record_type
        .validate_disclosed(credential.claims())
        .map_err(|errors| {
            let errors: Vec<_> = errors.iter().take(8).map(ToString::to_string).collect();
            Fault::new("schema", errors.join("; "))
        })
}

fn how(issuer: &Issuer) -> String {
    match issuer {
        Issuer::Registered { state, how } => {
            format!("signed by {}, {how}", state.organisation.name.en)
        }
        Issuer::Outside { how, .. } => format!("signed by an issuer known {how}"),
    }
}

fn issuer_row(issuer: &Issuer, iss: &str) -> IssuerRow {
    let (id, ja, en) = match issuer {
        Issuer::Registered { state, .. } => (
            Some(state.id.to_string()),
            state.organisation.name.ja.clone(),
            state.organisation.name.en.clone(),
        ),
        Issuer::Outside { .. } => (None, iss.to_owned(), iss.to_owned()),
    };
    IssuerRow {
        iss: iss.to_owned(),
        id,
        ja,
        en,
    }
}

/// Whether it is not the issuer's part that cannot be read.
fn reads_without_key_binding(text: &str) -> bool {
    text.rfind('~')
        .is_some_and(|last| SdJwt::parse(&text[..=last]).is_ok())
}

/// Whether a code of [`SdJwtError`] is about the holder's part.
fn is_about_holder(code: &str) -> bool {
    code.starts_with("key_binding_") || code.starts_with("holder_key_")
}

fn milliseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

/// The strict form of what a wallet sent as JSON.
pub(super) fn strict_json(text: &str) -> Option<Value> {
    tegata_credential::json::parse(text.as_bytes()).ok()
}
