//! What a presentation says beside the credential: which request it answers, and the consent under which it was made
//! (`specs/consent/presentation.md`).
//!
//! A presentation is for one moment, so both are judged as of the second in which the holder signed it. A verifier's policy
//! says how old proofs may be; here it is the one that verifiers come with.

use super::finding::{Coded, Finding};
use super::openid4vp;
use super::trust::{NewestList, Trust};
use crate::time::{milliseconds, moment};
use serde_json::{Map, Value};
use std::time::Duration;
use tegata_consent::header::ValidatorSet;
use tegata_consent::ids::{ChainId, OrganisationId};
use tegata_consent::presentation::Trust as Policy;
use tegata_consent::presentation::{PresentationError, PresentedConsent, Question};
use tegata_consent::state::Refusal;
use tegata_credential::jws;
use tegata_credential::openid4vp::{CONSENT_CLAIM, VerifiedRequest, check_transaction_data};
use tegata_credential::sd_jwt::{SdJwt, VerifiedPresentation};
use tegata_records::catalogue;

/// How old the proofs may be when they are presented, in milliseconds.
const AGE_MAX_MS: u64 = 60_000;
/// How long a node may take to prove the issuer.
const ANSWER: Duration = Duration::from_secs(10);

/// The consent that a presentation carries; everything in it is proven later.
pub(super) struct Carried {
    consent: Result<PresentedConsent, PresentationError>,
    presented_ms: u64,
}

impl Carried {
    /// Absent where the presentation carries none.
    pub(super) fn of(credential: &SdJwt) -> Option<Self> {
        let claims = credential.unverified_key_binding()?;
        let text = claims.get(CONSENT_CLAIM)?.as_str().unwrap_or_default();
        Some(Self {
            consent: PresentedConsent::parse(&jws::decode(text).unwrap_or_default()),
            presented_ms: presented_ms(claims),
        })
    }

    /// What is believed, and beside it what the carried proofs say of the issuer and its status list. Whether the issuer
    /// still stands, the node is asked where there is one.
    pub(super) async fn beside(&self, credential: &SdJwt, trust: &Trust) -> Result<Trust, String> {
        let mut trust = trust.clone();
        let (Ok(consent), Some((chain, validators))) = (&self.consent, trust.chain.clone()) else {
            return Ok(trust);
        };
        let policy = self.policy(&chain, &validators);
        if let Ok(Some((state, header))) = consent.issuer(&policy) {
            let id = state.id;
            trust.learn(id, Some(state), header.header().height);
            trust.ask_about([id], ANSWER).await?;
        }
        let name = credential.issuer().unwrap_or_default();
        if let Some(issuer) = trust.issuer(name).map(|state| state.id)
            && let Some(uri) = status_uri(credential)
            && let Ok(Some(proven)) = consent.status_list(&issuer, &uri, &policy)
        {
            trust.lists.push(NewestList {
                issuer,
                uri,
                newest: proven.value,
            });
        }
        Ok(trust)
    }

    fn policy<'a>(&self, chain: &'a ChainId, validators: &'a ValidatorSet) -> Policy<'a> {
        Policy {
            chain,
            validators,
            age_max_ms: AGE_MAX_MS,
            at_ms: self.presented_ms,
        }
    }
}

fn presented_ms(claims: &Map<String, Value>) -> u64 {
    let iat = jws::numeric_date(claims, "iat").ok().flatten();
    milliseconds(iat.unwrap_or_default())
}

fn status_uri(credential: &SdJwt) -> Option<String> {
    let payload = credential.unverified_payload().ok()?;
    let uri = payload.get("status")?.pointer("/status_list/uri")?;
    Some(uri.as_str()?.to_owned())
}

/// Checks what a presentation, whose signatures hold, says beside the credential.
pub(super) fn examine(
    finding: &mut Finding,
    presentation: &VerifiedPresentation,
    carried: Option<&Carried>,
    trust: &Trust,
) {
    let claims = presentation.key_binding_claims();
    let at_ms = presented_ms(claims);
    let request = trust
        .request
        .as_ref()
        .map(|text| openid4vp::verified(text, trust, at_ms));
    if let Some(request) = &request {
        let answers = request
            .as_ref()
            .map_err(|error| Coded(error.code(), format!("--request: {error}")))
            .and_then(|request| answers(request, presentation, trust, at_ms));
        finding.check("request", answers);
    }
    let Some(carried) = carried else { return };
    let consent = match &carried.consent {
        Ok(consent) => consent,
        Err(error) => return finding.fail("consent proof", error),
    };
    let Some((chain, validators)) = &trust.chain else {
        return finding.unknown(
            "consent proof",
            "give --genesis FILE: the consent is proven by the ledger's validators",
        );
    };
    if !proofs(
        finding,
        consent,
        presentation,
        trust,
        &carried.policy(chain, validators),
    ) {
        return;
    }
    match &request {
        Some(Ok(request)) => {
            let checked = fits(
                consent,
                request,
                presentation,
                &carried.policy(chain, validators),
            );
            finding.check("consent", checked);
        }
        Some(Err(_)) => finding.unknown("consent", "not checked, since the request was not"),
        None => finding.unknown(
            "consent",
            "give --request FILE with the verifier's signed request: the grant commits to it",
        ),
    }
}

/// Whether a presentation was made for this request, and shows what that asks for and nothing else.
fn answers(
    request: &VerifiedRequest,
    presentation: &VerifiedPresentation,
    trust: &Trust,
    at_ms: u64,
) -> Result<String, Coded> {
    let claims = presentation.key_binding_claims();
    let said = |name: &str| claims.get(name).and_then(Value::as_str);
    let coded = |code, words: &str| Err(Coded(code, words.to_owned()));
    if said("aud") != Some(request.client_id().to_string().as_str()) {
        return coded(
            "key_binding_audience_mismatch",
            "it is for another verifier than the request's",
        );
    }
    if said("nonce") != Some(request.nonce()) {
        return coded("key_binding_nonce_mismatch", "it answers another request");
    }
    answers_one(request, presentation)?;
    let state = request
        .asked()
        .and_then(|asked| asked.organisation.parse().ok());
    let state = state.and_then(|id: OrganisationId| trust.organisation(&id));
    match state {
        Some(state) if !openid4vp::is_own(request, state, trust, at_ms) => coded(
            "client_key_unknown",
            "the request is not signed by the organisation that it names",
        ),
        Some(state) => Ok(format!(
            "it shows {} what it asked for, and nothing else",
            state.organisation.name.en
        )),
        None => Ok(format!(
            "it shows {} what it asked for, and nothing else",
            request.client_id()
        )),
    }
}

/// Whether a presentation shows what one of the request's queries for its type asks for, and nothing else. Why not, the last
/// of them says.
fn answers_one(
    request: &VerifiedRequest,
    presentation: &VerifiedPresentation,
) -> Result<(), Coded> {
    let credential = presentation.credential();
    let (vct, disclosed) = (credential.vct(), credential.disclosed());
    let claims = presentation.key_binding_claims();
    let words = "the request does not ask for this type".to_owned();
    let mut why = Coded("dcql_type_mismatch", words);
    let queries = request.query().credentials().iter();
    for query in queries.filter(|query| query.vct_values().iter().any(|one| one == vct)) {
        let shown = query.matches(vct, credential.payload(), disclosed);
        let shown = shown.map_err(|error| Coded(error.code(), error.to_string()));
        let answered = shown.and_then(|()| {
            check_transaction_data(claims, request.transaction_data(), query.id())
                .map_err(|error| Coded(error.code(), error.to_string()))
        });
        match answered {
            Ok(()) => return Ok(()),
            Err(coded) => why = coded,
        }
    }
    Err(why)
}

/// The carried proofs by themselves; whether the consent stood.
fn proofs(
    finding: &mut Finding,
    consent: &PresentedConsent,
    presentation: &VerifiedPresentation,
    trust: &Trust,
    policy: &Policy<'_>,
) -> bool {
    finding.fact("grant", consent.grant);
    let proven =
        match consent
            .proof
            .clone()
            .verify_grant(policy.chain, policy.validators, &consent.grant)
        {
            Ok(proven) => proven,
            Err(error) => {
                finding.fail("consent proof", error);
                return false;
            }
        };
    let header = proven.header.header();
    let standing = match &proven.value {
        None => Err(Refusal::NoSuchGrant),
        Some(state) => {
            let grant = &state.grant;
            finding.fact("granted to", trust.name(&grant.recipient));
            finding.fact("categories", grant.categories.join(", "));
            finding.fact("purpose", &grant.purpose);
            finding.fact("legal basis", &grant.legal_basis);
            finding.fact("retention", format!("{} days", grant.retention_days));
            finding.fact("until", moment(grant.until_ms));
            state.standing(header.time_ms)
        }
    };
    let stood = standing.is_ok();
    let when = format!(
        "the grant stood at height {}, {}",
        header.height,
        moment(header.time_ms)
    );
    finding.check("consent proof", standing.map(|()| when));
    match consent.issuer(policy) {
        Ok(None) => {}
        Ok(Some((state, header))) => {
            let height = header.header().height;
            finding.hold(
                "issuer proof",
                format!(
                    "{} was in the registry at height {height}",
                    state.organisation.name.en
                ),
            );
        }
        Err(error) => finding.fail("issuer proof", error),
    }
    let credential = presentation.credential();
    let issuer = credential.issuer().and_then(|issuer| trust.issuer(issuer));
    if consent.status.is_some() {
        match (issuer, credential.status()) {
            (Some(issuer), Some(reference)) => {
                match consent.status_list(&issuer.id, &reference.uri, policy) {
                    Ok(proven) => {
                        let newest = proven.and_then(|proven| proven.value);
                        let signed = newest
                            .map_or_else(|| "none".to_owned(), |newest| moment(newest.issued_ms));
                        finding.hold(
                            "status list proof",
                            format!("the issuer's newest list was that of {signed}"),
                        );
                    }
                    Err(error) => finding.fail("status list proof", error),
                }
            }
            _ => finding.unknown("status list proof", "the issuer, or its list, is not known"),
        }
    }
    stood
}

/// Whether the consent is for this request, as a verifier checks it.
fn fits(
    consent: &PresentedConsent,
    request: &VerifiedRequest,
    presentation: &VerifiedPresentation,
    policy: &Policy<'_>,
) -> Result<String, Coded> {
    let missing = || {
        Coded(
            "transaction_data_invalid",
            "the request does not say who asks for what".to_owned(),
        )
    };
    let asked = request.asked().ok_or_else(missing)?;
    let recipient: OrganisationId = asked.organisation.parse().map_err(|_| missing())?;
    let known = catalogue().by_vct(presentation.credential().vct());
    let categories = match known {
        Some(known) => vec![known.category().code().to_owned()],
        None => asked.categories.clone(),
    };
    let question = Question {
        request: request.text().as_bytes(),
        recipient: &recipient,
        categories: &categories,
        purpose: &asked.purpose,
        legal_basis: &asked.legal_basis,
        retention_days: asked.retention_days,
        until_ms: asked.until_ms,
    };
    match consent.check(&question, policy) {
        Ok(checked) => Ok(format!(
            "the person permitted this, once: grant {}",
            checked.id()
        )),
        Err(error) => Err(super::finding::of(&error)),
    }
}
