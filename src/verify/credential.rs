//! Credentials and status lists.

use super::finding::Finding;
use super::trust::{SavedStatus, Trust, milliseconds, moment, seconds};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tegata_credential::jws::Jws;
use tegata_credential::keys::PublicKey;
use tegata_credential::sd_jwt::{KeyBindingPolicy, SdJwt, VerifiedSdJwt};
use tegata_credential::status_list::{
    Status, StatusListCwt, StatusListError, StatusListToken, VerifiedStatusList,
};
use tegata_credential::x509::{self, Certificate};
use tegata_records::{Lang, catalogue};

const GIVE_TRUST: &str = "give --ledger URL with --genesis, or --trust FILE";

pub(super) async fn sd_jwt(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A credential (SD-JWT VC)");
    let credential = match SdJwt::parse(text) {
        Ok(credential) => credential,
        Err(error) => {
            finding.check(
                "form",
                Err::<&str, _>(format!("{} ({error})", error.code())),
            );
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
    let chained = match named {
        Some(_) => None,
        None => by_chain(&credential, trust, issued_ms),
    };
    let (name, key) = match (named, &chained) {
        (Some((name, key)), _) | (None, Some(Ok((name, key)))) => (name, key),
        (None, Some(Err(error))) => {
            finding.check("issuer signature", Err::<&str, _>(error));
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
            finding.check(
                "issuer signature",
                Err::<&str, _>(format!("the issuer had no key {kid} when it was signed")),
            );
            return finding;
        }
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

/// The key of the certificate that the credential carries, where a chain leads from it to a certificate of `--trust` and it is
/// the issuer's; absent where there is no chain or nothing to lead to.
fn by_chain(
    credential: &SdJwt,
    trust: &Trust,
    issued_ms: u64,
) -> Option<Result<(String, PublicKey), String>> {
    let anchors: Vec<Certificate> = trust
        .list
        .keys()
        .iter()
        .filter_map(|key| key.certificate().cloned())
        .collect();
    let chain = match credential.certificates() {
        Ok(chain) if chain.is_empty() || anchors.is_empty() => return None,
        Ok(chain) => chain,
        Err(error) => return Some(Err(format!("{} ({error})", error.code()))),
    };
    let checked = [issued_ms, trust.at_ms]
        .into_iter()
        .try_for_each(|at_ms| x509::verify_chain(&chain, &anchors, seconds(at_ms)).map(drop));
    let leaf = &chain[0];
    Some(match checked.and_then(|()| leaf.public_key()) {
        Err(error) => Err(format!("{} ({error})", error.code())),
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
                false => Err(format!(
                    "the certificate of {} does not name {issuer:?}",
                    leaf.subject()
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

async fn status(finding: &mut Finding, verified: &VerifiedSdJwt, trust: &Trust) {
    let Some(reference) = verified.status() else {
        finding.unknown(
            "not revoked",
            "the credential names no status list, so nobody can say",
        );
        return;
    };
    let saved = trust.statuses.iter().filter_map(Token::parse);
    let saved = saved
        .flatten()
        .find(|token| token.uri() == Some(reference.uri.as_str()));
    let token = match saved {
        Some(token) => token,
        None => match trust.fetch_status_list(&reference.uri).await {
            Err(error) => return finding.unknown("not revoked", error),
            Ok(text) => match StatusListToken::parse(&text) {
                Ok(token) => Token::Jwt(token),
                Err(error) => return finding.check("not revoked", Err::<&str, _>(coded(&error))),
            },
        },
    };
    match list(&token, verified.issuer(), Some(&reference.uri), trust) {
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

/// A status list token in either form.
enum Token {
    Jwt(StatusListToken),
    Cwt(StatusListCwt),
}

impl Token {
    /// Absent where the saved status is of another kind.
    fn parse(saved: &SavedStatus) -> Option<Result<Self, StatusListError>> {
        match saved {
            SavedStatus::Jwt(text) => Some(StatusListToken::parse(text).map(Self::Jwt)),
            SavedStatus::Cwt(bytes) => Some(StatusListCwt::parse(bytes).map(Self::Cwt)),
            SavedStatus::Cards { .. } | SavedStatus::W3c(_) => None,
        }
    }

    fn uri(&self) -> Option<&str> {
        match self {
            Self::Jwt(token) => token.uri(),
            Self::Cwt(token) => token.uri(),
        }
    }

    fn key_id(&self) -> Option<&str> {
        match self {
            Self::Jwt(token) => token.key_id(),
            Self::Cwt(token) => token.key_id().and_then(|id| std::str::from_utf8(id).ok()),
        }
    }

    fn verify(
        &self,
        key: &PublicKey,
        uri: &str,
        at: i64,
    ) -> Result<VerifiedStatusList, StatusListError> {
        match self {
            Self::Jwt(token) => token.verify(key, uri, at),
            Self::Cwt(token) => token.verify(key, uri, at),
        }
    }
}

fn coded(error: &StatusListError) -> String {
    format!("{} ({error})", error.code())
}

/// Verifies a status list by a key of its issuer; gives whose key it was.
fn list(
    token: &Token,
    issuer: Option<&str>,
    uri: Option<&str>,
    trust: &Trust,
) -> Result<(VerifiedStatusList, String), String> {
    let keys = trust.credential_keys(issuer, trust.at_ms);
    let key = keys
        .iter()
        .find(|(_, key)| token.key_id() == Some(key.key_id().as_str()));
    let (name, key) = key.ok_or("status list: not signed with a key that is known and counts")?;
    let uri = uri.or(token.uri()).unwrap_or_default();
    let list = token
        .verify(key, uri, seconds(trust.at_ms))
        .map_err(|error| coded(&error))?;
    Ok((list, name.clone()))
}

pub(super) fn status_list(text: &str, trust: &Trust) -> Finding {
    let finding = Finding::new("A status list (Token Status List)");
    of_status_list(finding, StatusListToken::parse(text).map(Token::Jwt), trust)
}

pub(super) fn status_list_cwt(bytes: &[u8], trust: &Trust) -> Finding {
    let finding = Finding::new("A status list (Token Status List, CWT)");
    of_status_list(finding, StatusListCwt::parse(bytes).map(Token::Cwt), trust)
}

fn of_status_list(
    mut finding: Finding,
    token: Result<Token, StatusListError>,
    trust: &Trust,
) -> Finding {
    let token = match token {
        Ok(token) => token,
        Err(error) => {
            finding.check("form", Err::<&str, _>(coded(&error)));
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
    match list(&token, None, None, trust) {
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

/// Any other signed JWT: who signed it, and whether its times hold.
pub(super) fn jwt(text: &str, kind: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new(match kind {
        "" => "A signed JWT".to_owned(),
        kind => format!("A signed JWT of type {kind}"),
    });
    let jws = match Jws::parse(text) {
        Ok(jws) => jws,
        Err(fault) => {
            finding.check(
                "form",
                Err::<&str, _>(format!("{} ({fault})", fault.code())),
            );
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
        match jws.verify(key) {
            Ok(()) => Ok(format!("by {name}, key {}", key.key_id())),
            Err(fault) => Err(format!("{} ({fault})", fault.code())),
        },
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
