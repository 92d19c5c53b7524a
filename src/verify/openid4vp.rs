//! Signed requests for presentations (OpenID4VP 1.0): who asks for what and why, and whether that organisation may.

use super::credential::{GIVE_TRUST, KEYS_ALONE};
use super::finding::{Coded, Finding};
use super::trust::Trust;
use crate::time::{moment, seconds};
use serde_json::Value;
use tegata_consent::ids::OrganisationId;
use tegata_consent::organisation::OrganisationState;
use tegata_credential::did::Did;
use tegata_credential::jws::Jws;
use tegata_credential::keys::PublicKey;
use tegata_credential::openid4vp::{
    Asked, Expected, RequestError, RequestObject, ResponseMode, VerifiedRequest,
};
use tegata_credential::x509::{self, Certificate};
use tegata_records::catalogue;

/// Examines a request by itself.
pub(super) fn request(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A request for a presentation (OpenID4VP)");
    let object = match RequestObject::parse(text) {
        Ok(object) => object,
        Err(error) => {
            finding.fail("form", error);
            return finding;
        }
    };
    finding.fact("client", object.client_id());
    let asked = object.asked();
    let recipient = asked
        .as_ref()
        .and_then(|asked| asked.organisation.parse().ok());
    if let Some(asked) = &asked {
        asked_facts(&mut finding, asked, recipient.as_ref(), trust);
    }
    let request = match verified(text, trust, trust.at_ms) {
        Ok(request) => request,
        Err(error) => {
            refused(&mut finding, error);
            return finding;
        }
    };
    finding.fact("answer goes to", request.response_uri());
    if request.response_mode() == ResponseMode::DirectPostJwt {
        finding.fact("answer is", "encrypted");
    }
    for query in request.query().credentials() {
        let claims: Vec<String> = query.paths().map(ToString::to_string).collect();
        finding.fact(
            "asks for",
            format!("{}: {}", query.vct_values().join(" or "), claims.join(", ")),
        );
    }
    finding.hold(
        "signature",
        "by the key that its client identifier stands for",
    );
    finding.hold("not expired", "may still be answered");
    let state = recipient.as_ref().and_then(|id| trust.organisation(id));
    signer(&mut finding, text, &request, state, trust);
    accredited(&mut finding, &request, asked.as_ref(), state, trust);
    finding
}

fn asked_facts(
    finding: &mut Finding,
    asked: &Asked,
    recipient: Option<&OrganisationId>,
    trust: &Trust,
) {
    let name = recipient.map_or_else(|| asked.organisation.clone(), |id| trust.name(id));
    finding.fact("recipient", name);
    finding.fact("categories", asked.categories.join(", "));
    finding.fact("purpose", &asked.purpose);
    finding.fact("legal basis", &asked.legal_basis);
    finding.fact("retention", format!("{} days", asked.retention_days));
    finding.fact("until", moment(asked.until_ms));
}

/// A refusal, under the name of the check that it belongs to.
fn refused(finding: &mut Finding, error: RequestError) {
    use tegata_credential::jws::JwsFault::{AlgMismatch, Signature};
    match error {
        RequestError::KeyUnknown => finding.unknown(
            "signature",
            format!("{} ({error}): {GIVE_TRUST}", error.code()),
        ),
        RequestError::Jws(Signature | AlgMismatch)
        | RequestError::CertificateMismatch
        | RequestError::Certificate(_) => finding.fail("signature", error),
        RequestError::Time { .. } => {
            finding.hold(
                "signature",
                "by the key that its client identifier stands for",
            );
            finding.fail("not expired", error);
        }
        _ => finding.fail("form", error),
    }
}

/// A request whose client signed it, as of a time. The client identifier is the request's own, since the link is not here.
pub(super) fn verified(
    text: &str,
    trust: &Trust,
    at_ms: u64,
) -> Result<VerifiedRequest, RequestError> {
    let object = RequestObject::parse(text)?;
    let client_id = object.client_id().to_string();
    let wallet_nonce = object.wallet_nonce().map(str::to_owned);
    let expected = Expected {
        client_id: &client_id,
        wallet_nonce: wallet_nonce.as_deref(),
    };
    let resolve = |url: &str| key_of(url, trust, at_ms);
    object.verify(&expected, resolve, seconds(at_ms))
}

/// The key that a DID URL stands for: the registry's or a trusted one, else the one that the DID itself is.
fn key_of(url: &str, trust: &Trust, at_ms: u64) -> Option<PublicKey> {
    let did = Did::of_url(url).ok()?;
    let known = trust.credential_keys(Some(did.as_str()), at_ms);
    let mut named = known.into_iter().map(|(_, key)| key);
    named
        .find(|key| trust.is_meant(key, Some(url)))
        .or_else(|| {
            let own = did.own_document().ok()?;
            let mut methods = own.methods().iter();
            methods
                .find(|method| method.id() == url)
                .map(|method| *method.key())
        })
}

/// Whether the key that signed is one of the organisation that the request names.
pub(super) fn is_own(
    request: &VerifiedRequest,
    state: &OrganisationState,
    trust: &Trust,
    at_ms: u64,
) -> bool {
    let keys = trust.credential_keys(Some(&state.organisation.did), at_ms);
    keys.iter().any(|(_, key)| key == request.key())
}

fn signer(
    finding: &mut Finding,
    text: &str,
    request: &VerifiedRequest,
    state: Option<&OrganisationState>,
    trust: &Trust,
) {
    const NAME: &str = "signer";
    if let Some(state) = state {
        let name = &state.organisation.name.en;
        let result = match is_own(request, state, trust, trust.at_ms) {
            true => Ok(format!("a credential key of {name}")),
            false => Err(format!(
                "it names {name}, and is signed by somebody else's key"
            )),
        };
        return finding.check(NAME, result);
    }
    match by_chain(text, trust) {
        Some(Ok(subject)) => finding.hold(NAME, format!("the certificate of {subject}")),
        Some(Err(coded)) => finding.fail(NAME, coded),
        None => finding.unknown(NAME, format!("the recipient is not known: {GIVE_TRUST}")),
    }
}

/// The subject of the request's certificate, where a chain leads from it to one of `--trust`.
fn by_chain(text: &str, trust: &Trust) -> Option<Result<String, Coded>> {
    let anchors = trust.anchors();
    let jws = Jws::parse(text).ok()?;
    let chain = jws.header().get("x5c").and_then(Value::as_array)?;
    let chain = chain.iter().filter_map(Value::as_str);
    let chain: Result<Vec<_>, _> = chain.map(Certificate::from_base64).collect();
    if anchors.is_empty() {
        return None;
    }
    let checked = chain.and_then(|chain| {
        let leaf = x509::verify_chain(&chain, &anchors, seconds(trust.at_ms))?;
        Ok(leaf.subject())
    });
    Some(checked.map_err(|error| Coded(error.code(), error.to_string())))
}

fn accredited(
    finding: &mut Finding,
    request: &VerifiedRequest,
    asked: Option<&Asked>,
    state: Option<&OrganisationState>,
    trust: &Trust,
) {
    let Some(asked) = asked else {
        return finding.unknown(
            "accredited",
            "it does not say for which purpose: only the registry's own requests do",
        );
    };
    let beyond = request.query().credentials().iter().find_map(|query| {
        let mut types = query.vct_values().iter();
        types.find(|vct| {
            let known = catalogue().by_vct(vct).map(|known| known.category().code());
            !known.is_some_and(|code| asked.categories.iter().any(|own| own == code))
        })
    });
    finding.check(
        "query",
        match beyond {
            None => Ok("asks only for types of the categories that it names"),
            Some(vct) => Err(format!(
                "asks for {vct}, which is of none of the categories that it names"
            )),
        },
    );
    if let Some((chain, _)) = trust
        .chain
        .as_ref()
        .filter(|(chain, _)| chain.to_string() != asked.chain)
    {
        return finding.fail(
            "accredited",
            format!("it is for ledger {}, not {chain}", asked.chain),
        );
    }
    let Some(state) = state else {
        return finding.unknown("accredited", KEYS_ALONE);
    };
    let result = match state.may_ask(&asked.purpose, &asked.categories, asked.retention_days) {
        true => Ok("accredited to ask for this"),
        false => Err("not accredited to ask for these categories, purpose and retention"),
    };
    finding.check("accredited", result);
    let result = match state.suspended_at(trust.at_ms) {
        true => Err("suspended"),
        false => Ok("in good standing"),
    };
    finding.check("not suspended", result);
}
