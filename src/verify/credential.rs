//! Credentials and status lists.

use super::finding::Finding;
use super::trust::{Trust, moment};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tegata_credential::sd_jwt::{KeyBindingPolicy, SdJwt, VerifiedSdJwt};
use tegata_credential::status_list::{Status, StatusListToken, VerifiedStatusList};
use tegata_records::{Lang, catalogue};

pub(super) async fn sd_jwt(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A credential (SD-JWT VC)");
    let credential = match SdJwt::parse(text) {
        Ok(credential) => credential,
        Err(error) => {
            finding.check("form", Err::<&str, _>(error));
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
    let at_s = seconds(trust.at_ms);
    let keys = trust.credential_keys(credential.issuer(), issued_ms);
    let named = keys
        .iter()
        .find(|(_, key)| credential.key_id() == Some(key.key_id().as_str()));
    let Some((name, key)) = named else {
        if keys.is_empty() {
            finding.unknown(
                "issuer signature",
                "the issuer is not known: give --ledger URL with --genesis, or --trust FILE",
            );
        } else {
            let kid = credential.key_id().unwrap_or("none");
            finding.check(
                "issuer signature",
                Err::<&str, _>(format!("the issuer had no key {kid} when it was signed")),
            );
        }
        return finding;
    };
    let verified = match credential.verify(key, at_s) {
        Ok(verified) => verified,
        Err(error) => {
            finding.check(
                "issuer signature",
                Err::<&str, _>(format!("{} ({error})", error.code())),
            );
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
    status(&mut finding, &verified, trust).await;
    if credential.has_key_binding() {
        key_binding(&mut finding, &credential, text, key, at_s);
    } else if let Some(holder) = verified.holder() {
        finding.fact("bound to", holder.key_id());
    }
    finding
}

fn accredited(finding: &mut Finding, verified: &VerifiedSdJwt, issued_ms: u64, trust: &Trust) {
    let Some(issuer) = verified.issuer().and_then(|did| trust.issuer(did)) else {
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

async fn status(finding: &mut Finding, verified: &VerifiedSdJwt, trust: &Trust) {
    let Some(reference) = verified.status() else {
        finding.unknown(
            "not revoked",
            "the credential names no status list, so nobody can say",
        );
        return;
    };
    let saved = trust.status_lists.iter().find(|text| {
        StatusListToken::parse(text).is_ok_and(|token| token.uri() == Some(reference.uri.as_str()))
    });
    let text = match saved {
        Some(text) => text.clone(),
        None => match trust.fetch_status_list(&reference.uri).await {
            Ok(text) => text,
            Err(error) => return finding.unknown("not revoked", error),
        },
    };
    match list(&text, verified.issuer(), Some(&reference.uri), trust) {
        Err(error) => finding.check("not revoked", Err::<&str, _>(error)),
        Ok((list, _)) => {
            let result = match list.status_at(reference.index) {
                Ok(Status::Valid) => Ok(format!(
                    "valid in the status list of {}",
                    moment(milliseconds(list.issued_at()))
                )),
                Ok(Status::Invalid) => Err("the issuer has revoked it".to_owned()),
                Ok(Status::Suspended) => Err("the issuer has suspended it".to_owned()),
                Ok(Status::Other(value)) => Err(format!("the issuer's list has status {value}")),
                Err(error) => Err(error.to_string()),
            };
            finding.check("not revoked", result);
        }
    }
}

/// Verifies a status list by a key of its issuer; gives whose key it was.
fn list(
    text: &str,
    issuer: Option<&str>,
    uri: Option<&str>,
    trust: &Trust,
) -> Result<(VerifiedStatusList, String), String> {
    let token = StatusListToken::parse(text).map_err(|error| format!("status list: {error}"))?;
    let keys = trust.credential_keys(issuer, trust.at_ms);
    let key = keys
        .iter()
        .find(|(_, key)| token.key_id() == Some(key.key_id().as_str()));
    let (name, key) = key.ok_or("status list: not signed with a key that is known and counts")?;
    let uri = uri.or(token.uri()).unwrap_or_default();
    let list = token
        .verify(key, uri, seconds(trust.at_ms))
        .map_err(|error| format!("status list: {error}"))?;
    Ok((list, name.clone()))
}

pub(super) fn status_list(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A status list (Token Status List)");
    let token = match StatusListToken::parse(text) {
        Ok(token) => token,
        Err(error) => {
            finding.check("form", Err::<&str, _>(error));
            return finding;
        }
    };
    finding.fact("of", token.uri().unwrap_or("none"));
    let keys = trust.credential_keys(None, trust.at_ms);
    if !keys
        .iter()
        .any(|(_, key)| token.key_id() == Some(key.key_id().as_str()))
    {
        let kid = token.key_id().unwrap_or("none");
        finding.unknown(
            "signature",
            format!(
                "key {kid} is of nobody known: give --ledger URL with --genesis, or --trust FILE"
            ),
        );
        return finding;
    }
    match list(text, None, None, trust) {
        Err(error) => finding.check("signature", Err::<&str, _>(error)),
        Ok((verified, name)) => {
            finding.fact("issued", moment(milliseconds(verified.issued_at())));
            if let Some(expires_at) = verified.expires_at() {
                finding.fact("expires", moment(milliseconds(expires_at)));
            }
            let count = |wanted: fn(&Status) -> bool| {
                (0..verified.list().len())
                    .filter(|index| {
                        verified
                            .status_at(*index)
                            .is_ok_and(|status| wanted(&status))
                    })
                    .count()
            };
            finding.fact("entries", verified.list().len());
            finding.fact("revoked", count(|status| *status == Status::Invalid));
            finding.fact("suspended", count(|status| *status == Status::Suspended));
            finding.check(
                "signature",
                Ok::<_, String>(format!("by {name}; times hold")),
            );
        }
    }
    finding
}

/// Whom a presentation is for, only its receiver knows: shown is what it says of itself.
fn key_binding(
    finding: &mut Finding,
    credential: &SdJwt,
    text: &str,
    key: &tegata_credential::keys::PublicKey,
    at_s: i64,
) {
    let claims = text
        .rsplit('~')
        .next()
        .and_then(|jwt| jwt.split('.').nth(1));
    let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: serde_json::Value = claims
        .and_then(|claims| serde_json::from_slice(&claims).ok())
        .unwrap_or_default();
    let said = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let (audience, nonce) = (said("aud"), said("nonce"));
    finding.fact("presented to", &audience);
    finding.fact("nonce", &nonce);
    let policy = KeyBindingPolicy {
        audience: &audience,
        nonce: &nonce,
        max_age_s: i64::MAX,
    };
    match credential.verify_with_key_binding(key, &policy, at_s) {
        Ok(presentation) => {
            let presented = moment(milliseconds(presentation.presented_at()));
            finding.check(
                "key binding",
                Ok::<_, String>(format!(
                    "the holder's key signed it at {presented}, over these disclosures"
                )),
            );
        }
        Err(error) => finding.check(
            "key binding",
            Err::<&str, _>(format!("{} ({error})", error.code())),
        ),
    }
}

fn milliseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}
