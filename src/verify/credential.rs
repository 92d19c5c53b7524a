//! SD-JWT VCs and their presentations, and JWTs of other types.

use super::finding::{Coded, Finding};
use super::presented::{self, Carried};
use super::status;
use super::trust::Trust;
use crate::time::{milliseconds, moment, seconds};
use tegata_credential::CLOCK_SKEW_S;
use tegata_credential::jws::{Jws, numeric_date};
use tegata_credential::keys::PublicKey;
use tegata_credential::sd_jwt::{KeyBindingPolicy, SdJwt, VerifiedPresentation, VerifiedSdJwt};
use tegata_credential::x509;
use tegata_records::{Lang, RecordType, catalogue};

pub(super) const GIVE_TRUST: &str = "give --ledger URL with --genesis, or --trust FILE";
pub(super) const KEYS_ALONE: &str =
    "keys alone do not say: give --ledger URL, or --trust with a proof of the organisation";
/// Where only files of keys are believed, nobody is asked who is accredited.
const NO_REGISTRY: &str = "not asked for: no registry was named (--genesis), only keys (--trust)";

pub(super) async fn sd_jwt(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A credential (SD-JWT VC)");
    let credential = match SdJwt::parse(text) {
        Ok(credential) => credential,
        Err(error) => {
            finding.fail("form", error);
            return finding;
        }
    };
    if credential.has_key_binding() {
        finding.what = "A presentation of a credential (SD-JWT VC with key binding)".into();
    }
    let record_type = credential.vct().and_then(|vct| catalogue().by_vct(vct));
    finding.fact("type", credential.vct().unwrap_or("none"));
    if let Some(record_type) = record_type {
        finding.fact(
            "record type",
            format!(
                "{} / {}",
                record_type.name(Lang::En),
                record_type.name(Lang::Ja)
            ),
        );
    }
    finding.fact("issuer", credential.issuer().unwrap_or("none"));
    let issued_at = credential.issued_at();
    finding.fact(
        "issued",
        issued_at.map_or_else(|| "none".to_owned(), |at| moment(milliseconds(at))),
    );
    let carried = Carried::of(&credential);
    let more = match &carried {
        None => None,
        Some(carried) => match carried.beside(&credential, trust).await {
            Ok(more) => Some(more),
            Err(error) => {
                let words = format!("whether its issuer still stands: {error}");
                finding.unknown("issuer accredited", words);
                return finding;
            }
        },
    };
    let trust = more.as_ref().unwrap_or(trust);
    let at_s = seconds(trust.at_ms);
    // A time that is only disclosed is the holder's choice; without one, keys that ended would count for ever.
    if issued_at.is_none() && trust.has_times(credential.issuer()) {
        let words = "it does not say when it was issued (`iat`), and keys count in their time only";
        finding.fail("issuer signature", Coded("iat_missing", words.to_owned()));
        return finding;
    }
    let issued_ms = issued_at.map_or(trust.at_ms, milliseconds);
    let keys = trust.credential_keys(credential.issuer(), issued_ms);
    let named = keys
        .iter()
        .find(|(_, key)| trust.is_meant(key, credential.key_id()));
    let registered = credential.issuer().and_then(|name| trust.issuer(name));
    let chained = match (named, registered) {
        (None, None) => by_chain(&credential, trust, issued_ms),
        // What a certificate says of whom the registry knows is nothing: it has no end with the key's.
        _ => None,
    };
    let (name, key) = match (named, &chained) {
        (Some((name, key)), _) | (None, Some(Ok((name, key)))) => (name, key),
        (None, Some(Err(error))) => {
            finding.fail("issuer signature", error);
            return finding;
        }
        (None, None) if keys.is_empty() && !trust.knows(credential.issuer()) => {
            finding.unknown(
                "issuer signature",
                format!("the issuer is not known: {GIVE_TRUST}"),
            );
            return finding;
        }
        (None, None) => {
            let kid = credential.key_id().unwrap_or("none");
            let words = format!("the issuer had no key {kid} when it was signed");
            finding.fail("issuer signature", Coded("issuer_key_unknown", words));
            return finding;
        }
    };
    let verified = match credential.verify(key, at_s) {
        Ok(verified) => verified,
        Err(error) => {
            finding.fail("issuer signature", error);
            return finding;
        }
    };
    finding.check(
        "issuer signature",
        Ok::<_, String>(format!(
            "by {name}, key {}; disclosures and times hold",
            key.key_id()
        )),
    );
    finding.fact("claims", verified.claims());
    accredited(&mut finding, &verified, issued_ms, trust);
    schema(&mut finding, &verified, record_type);
    let chained = chained.is_some().then_some(key);
    status::not_revoked(&mut finding, &verified, chained, trust).await;
    if credential.has_key_binding() {
        key_binding(&mut finding, &credential, key, carried.as_ref(), trust);
        return finding;
    }
    if let Some(holder) = verified.holder() {
        finding.fact("bound to", holder.key_id());
    }
    if trust.request.is_some() {
        let words = "--request asks for a presentation, and no holder signed this one";
        finding.fail("request", Coded("key_binding_missing", words.to_owned()));
    }
    finding
}

fn schema(finding: &mut Finding, verified: &VerifiedSdJwt, record_type: Option<&RecordType>) {
    let coded = |code, words: &str| Err(Coded(code, words.to_owned()));
    let integrity = verified.vct_integrity();
    let result = match record_type {
        None => coded("type-unknown", "the type is not in the catalogue"),
        Some(known) if integrity.is_some_and(|said| said != known.integrity()) => coded(
            "type-integrity",
            "it was issued for other contents of its type (`vct#integrity`)",
        ),
        Some(known) => match known.validate_disclosed(verified.claims()) {
            Ok(()) => Ok(format!("the claims fit {}", known.vct())),
            Err(errors) => {
                let first = errors.first().map(ToString::to_string);
                coded("schema", &first.unwrap_or_default())
            }
        },
    };
    finding.check("schema", result);
}

/// The key of the certificate that the credential carries, where a chain leads from it to a certificate of `--trust` and it is
/// the issuer's; absent where there is no chain or nothing to lead to.
fn by_chain(
    credential: &SdJwt,
    trust: &Trust,
    issued_ms: u64,
) -> Option<Result<(String, PublicKey), Coded>> {
    let anchors = trust.anchors();
    let chain = match credential.certificates() {
        Ok(chain) if chain.is_empty() || anchors.is_empty() => return None,
        Ok(chain) => chain,
        Err(error) => return Some(Err(Coded(error.code(), error.to_string()))),
    };
    let checked = [issued_ms, trust.at_ms]
        .into_iter()
        .try_for_each(|at_ms| x509::verify_chain(&chain, &anchors, seconds(at_ms)).map(drop));
    let leaf = &chain[0];
    Some(match checked.and_then(|()| leaf.public_key()) {
        Err(error) => Err(Coded(error.code(), error.to_string())),
        Ok(key) => {
            let issuer = credential.issuer().unwrap_or_default();
            match leaf.names(issuer) {
                true => Ok((leaf.subject(), key)),
                false => Err(Coded(
                    "issuer_certificate_name",
                    format!(
                        "the certificate of {} does not name {issuer:?}",
                        leaf.subject()
                    ),
                )),
            }
        }
    })
}

fn accredited(finding: &mut Finding, verified: &VerifiedSdJwt, issued_ms: u64, trust: &Trust) {
    let Some(issuer) = verified.issuer().and_then(|did| trust.issuer(did)) else {
        return nobody_says(finding, trust);
    };
    let result = match catalogue().by_vct(verified.vct()) {
        None => Err(Coded(
            "type-unknown",
            "nobody is accredited for a type that is not in the catalogue".to_owned(),
        )),
        Some(record_type) => trust.accredited(issuer, record_type.id(), issued_ms),
    };
    finding.check("issuer accredited", result);
}

/// What is said of an issuer who is not in the registry, as far as one was named.
pub(super) fn nobody_says(finding: &mut Finding, trust: &Trust) {
    match &trust.chain {
        None => finding.fact("accreditation", NO_REGISTRY),
        Some(_) => finding.unknown("issuer accredited", KEYS_ALONE),
    }
}

/// Any other signed JWT: who signed it, and whether its times hold.
pub(super) fn jwt(text: &str, kind: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new(match kind {
        "" => "A signed JWT".to_owned(),
        kind => format!("A signed JWT of type {kind}"),
    });
    let jws = match Jws::parse(text) {
        Ok(jws) => jws,
        Err(fault) => {
            finding.fail("form", fault);
            return finding;
        }
    };
    let said = |name: &str| jws.payload().get(name).and_then(serde_json::Value::as_str);
    for (name, claim) in [("issuer", "iss"), ("audience", "aud"), ("subject", "sub")] {
        if let Some(value) = said(claim) {
            finding.fact(name, value);
        }
    }
    if kind == "openid4vci-proof+jwt" || kind == "dpop+jwt" {
        return of_possession(finding, &jws);
    }
    let time = |name| numeric_date(jws.payload(), name);
    let times = time("iat").and_then(|iat| Ok((iat, time("nbf")?, time("exp")?)));
    let (iat, nbf, exp) = match times {
        Ok(times) => times,
        Err(claim) => {
            let words = format!("`{claim}` is not a number of seconds");
            finding.fail("times", Coded("claim_invalid", words));
            return finding;
        }
    };
    let issued_ms = iat.map_or(trust.at_ms, milliseconds);
    let keys = trust.credential_keys(said("iss"), issued_ms);
    let kid = jws.header().get("kid").and_then(serde_json::Value::as_str);
    let named = keys.iter().find(|(_, key)| trust.is_meant(key, kid));
    let Some((name, key)) = named else {
        finding.unknown(
            "signature",
            format!(
                "key {} is of nobody known: {GIVE_TRUST}",
                kid.unwrap_or("none")
            ),
        );
        return finding;
    };
    finding.check(
        "signature",
        jws.verify(key)
            .map(|()| format!("by {name}, key {}", key.key_id())),
    );
    let at = seconds(trust.at_ms);
    let ahead = at.saturating_add(CLOCK_SKEW_S);
    let begun = [iat, nbf]
        .into_iter()
        .all(|time| time.is_none_or(|time| time <= ahead));
    finding.check(
        "times",
        match (begun, exp.is_none_or(|exp| exp > at)) {
            (true, true) => Ok("begun, and not over"),
            (false, _) => Err(Coded("not_yet_valid", "its time has not begun".into())),
            (true, false) => Err(Coded("expired", "its time is over".into())),
        },
    );
    // Who names no issuer, or another, is still whoever has the key.
    let issuer = said("iss").and_then(|name| trust.issuer(name));
    if let Some(state) = issuer.or_else(|| trust.holder_of(key)) {
        finding.check("issuer standing", trust.standing(state, issued_ms));
    }
    let mut beyond = BEYOND
        .iter()
        .filter(|name| jws.payload().contains_key(**name));
    if let Some(claim) = beyond.next() {
        let words = format!("what `{claim}` means is not checked in a JWT of this type");
        finding.unknown("content", words);
    }
    finding
}

/// Claims on which it depends whether a JWT holds, by rules that are not those of any JWT.
const BEYOND: [&str; 12] = [
    "vc",
    "vp",
    "issuer",
    "holder",
    "credentialSubject",
    "verifiableCredential",
    "cnf",
    "validFrom",
    "validUntil",
    "credentialStatus",
    "status",
    "sd_hash",
];

/// A wallet's proof that it holds a key (OpenID4VCI, DPoP): it carries the key. Whose it is, nobody says.
fn of_possession(mut finding: Finding, jws: &Jws) -> Finding {
    let jwk = jws.header().get("jwk").cloned().unwrap_or_default();
    match PublicKey::from_jwk(&jwk) {
        Err(error) => finding.fail("form", format!("the key in the header: {error}")),
        Ok(key) => {
            finding.fact("key", key.key_id());
            if let Err(fault) = jws.verify(&key) {
                finding.fail("signature", fault);
                return finding;
            }
            finding.hold(
                "signature",
                "by the key that it carries: whoever made it held that key",
            );
            let words = "nobody says whose key that is; whether it answers a request, only its receiver knows";
            finding.unknown("holder", words);
        }
    }
    finding
}

/// Whom a presentation is for, only its receiver knows: shown is what it says of itself. Where the request is named, it is
/// compared with that.
fn key_binding(
    finding: &mut Finding,
    credential: &SdJwt,
    key: &PublicKey,
    carried: Option<&Carried>,
    trust: &Trust,
) {
    let claims = credential.unverified_key_binding();
    let said = |name: &str| claims.and_then(|claims| claims.get(name)?.as_str());
    let (audience, nonce) = (
        said("aud").unwrap_or_default(),
        said("nonce").unwrap_or_default(),
    );
    finding.fact("presented to", audience);
    finding.fact("nonce", nonce);
    let policy = KeyBindingPolicy {
        audience,
        nonce,
        max_age_s: i64::MAX,
    };
    match credential.verify_with_key_binding(key, &policy, seconds(trust.at_ms)) {
        Ok(presentation) => {
            if let Err(wrong) = in_its_time(&presentation, seconds(trust.at_ms)) {
                return finding.fail("key binding", wrong);
            }
            let presented = moment(milliseconds(presentation.presented_at()));
            let text = format!("the holder's key signed it at {presented}, over these disclosures");
            finding.hold("key binding", text);
            presented::examine(finding, &presentation, carried, trust);
        }
        Err(error) => finding.fail("key binding", error),
    }
}

/// A holder signs what she has, and may say until when that counts.
fn in_its_time(presentation: &VerifiedPresentation, at: i64) -> Result<(), Coded> {
    let coded = |code, words: String| Err(Coded(code, words));
    let claims = presentation.key_binding_claims();
    let times = numeric_date(claims, "nbf").and_then(|nbf| Ok((nbf, numeric_date(claims, "exp")?)));
    let (nbf, exp) = match times {
        Ok(times) => times,
        Err(claim) => {
            let words = format!("`{claim}` is not a number of seconds");
            return coded("key_binding_malformed", words);
        }
    };
    let issued = presentation.credential().issued_at();
    if issued.is_some_and(|iat| presentation.presented_at() < iat.saturating_sub(CLOCK_SKEW_S)) {
        let words = "it was signed before the credential was issued".to_owned();
        return coded("key_binding_too_old", words);
    }
    if exp.is_some_and(|exp| exp <= at) {
        return coded("key_binding_too_old", "its own time is over (`exp`)".into());
    }
    if nbf.is_some_and(|nbf| nbf > at.saturating_add(CLOCK_SKEW_S)) {
        let words = "its own time has not begun (`nbf`)".to_owned();
        return coded("key_binding_in_future", words);
    }
    Ok(())
}
