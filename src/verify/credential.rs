//! SD-JWT VCs and their presentations, and JWTs of other types.

use super::finding::{Coded, Finding};
use super::presented::{self, Carried};
use super::status;
use super::trust::{Trust, milliseconds, moment, seconds};
use tegata_credential::jws::Jws;
use tegata_credential::keys::PublicKey;
use tegata_credential::sd_jwt::{KeyBindingPolicy, SdJwt, VerifiedSdJwt};
use tegata_credential::x509::{self, Certificate};
use tegata_records::{Lang, catalogue};

pub(super) const GIVE_TRUST: &str = "give --ledger URL with --genesis, or --trust FILE";

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
    let issued_ms = milliseconds(credential.issued_at().unwrap_or_default());
    finding.fact("issued", moment(issued_ms));
    let carried = Carried::of(&credential);
    let more = carried
        .as_ref()
        .map(|carried| carried.beside(&credential, trust));
    let trust = more.as_ref().unwrap_or(trust);
    let at_s = seconds(trust.at_ms);
    let keys = trust.credential_keys(credential.issuer(), issued_ms);
    let named = keys
        .iter()
        .find(|(_, key)| credential.key_id() == Some(key.key_id().as_str()));
    let chained = match named {
        Some(_) => None,
        None => by_chain(&credential, trust, issued_ms),
    };
    let (name, key) = match (named, &chained) {
        (Some((name, key)), _) | (None, Some(Ok((name, key)))) => (name, key),
        (None, Some(Err(error))) => {
            finding.fail("issuer signature", error);
            return finding;
        }
        (None, None) if keys.is_empty() => {
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
    match record_type {
        None => finding.check("schema", Err::<&str, _>("the type is not in the catalogue")),
        Some(record_type) => {
            let errors = record_type
                .validate_disclosed(verified.claims())
                .err()
                .unwrap_or_default();
            let first = errors.first().map(ToString::to_string);
            finding.check(
                "schema",
                first.map_or_else(|| Ok(format!("the claims fit {}", record_type.vct())), Err),
            );
        }
    }
    status::not_revoked(&mut finding, &verified, trust).await;
    if credential.has_key_binding() {
        key_binding(&mut finding, &credential, key, carried.as_ref(), trust);
    } else if let Some(holder) = verified.holder() {
        finding.fact("bound to", holder.key_id());
    }
    finding
}

/// The key of the certificate that the credential carries, where a chain leads from it to a certificate of `--trust` and it is
/// the issuer's; absent where there is no chain or nothing to lead to.
fn by_chain(
    credential: &SdJwt,
    trust: &Trust,
    issued_ms: u64,
) -> Option<Result<(String, PublicKey), Coded>> {
    let anchors: Vec<Certificate> = trust
        .list
        .keys()
        .iter()
        .filter_map(|key| key.certificate().cloned())
        .collect();
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
            let host = issuer
                .strip_prefix("https://")
                .and_then(|rest| rest.split(['/', ':']).next());
            let named = leaf
                .uris()
                .iter()
                .any(|uri| uri.trim_end_matches('/') == issuer.trim_end_matches('/'))
                || host.is_some_and(|host| leaf.dns_names().iter().any(|name| name == host));
            match named {
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
        if trust.chain.is_none() {
            finding.check(
                "issuer accredited",
                Ok::<_, String>(
                    "no registry was asked: its key is in a file that you named with --trust",
                ),
            );
            return;
        }
        finding.unknown(
            "issuer accredited",
            "keys alone do not say: give --ledger URL, or --trust with a proof of the organisation",
        );
        return;
    };
    let name = &issuer.organisation.name.en;
    let result = match catalogue().by_vct(verified.vct()) {
        None => Err("nobody is accredited for a type that is not in the catalogue".to_owned()),
        Some(record_type) if issuer.may_issue(record_type.id(), issued_ms) => {
            Ok(format!("{name} was accredited for {}", record_type.id()))
        }
        Some(record_type) => Err(format!(
            "{name} was not accredited for {}, or suspended",
            record_type.id()
        )),
    };
    finding.check("issuer accredited", result);
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
    let time = |name: &str| jws.payload().get(name).and_then(serde_json::Value::as_i64);
    for (name, claim) in [("issuer", "iss"), ("audience", "aud"), ("subject", "sub")] {
        if let Some(value) = said(claim) {
            finding.fact(name, value);
        }
    }
    if kind == "openid4vci-proof+jwt" || kind == "dpop+jwt" {
        return of_possession(finding, &jws);
    }
    let issued_ms = time("iat").map_or(trust.at_ms, milliseconds);
    let keys = trust.credential_keys(said("iss"), issued_ms);
    let kid = jws.header().get("kid").and_then(serde_json::Value::as_str);
    let named = keys
        .iter()
        .find(|(_, key)| kid == Some(key.key_id().as_str()));
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
    let ahead = at.saturating_add(tegata_credential::CLOCK_SKEW_S);
    let begun = ["iat", "nbf"]
        .into_iter()
        .all(|name| time(name).is_none_or(|time| time <= ahead));
    finding.check(
        "times",
        match (begun, time("exp").is_none_or(|exp| exp > at)) {
            (true, true) => Ok("begun, and not over"),
            (false, _) => Err("not yet valid"),
            (true, false) => Err("expired"),
        },
    );
    finding
}

/// A wallet's proof that it holds a key (OpenID4VCI, DPoP): it carries the key. Whose it is, nobody says.
fn of_possession(mut finding: Finding, jws: &Jws) -> Finding {
    let jwk = jws.header().get("jwk").cloned().unwrap_or_default();
    match PublicKey::from_jwk(&jwk) {
        Err(error) => finding.fail("form", format!("the key in the header: {error}")),
        Ok(key) => {
            finding.fact("key", key.key_id());
            let verified = jws.verify(&key);
            finding.check(
                "signature",
                verified.map(|()| "by the key that it carries: whoever made it holds that key"),
            );
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
            let presented = moment(milliseconds(presentation.presented_at()));
            let text = format!("the holder's key signed it at {presented}, over these disclosures");
            finding.hold("key binding", text);
            presented::examine(finding, &presentation, carried, trust);
        }
        Err(error) => finding.fail("key binding", error),
    }
}
