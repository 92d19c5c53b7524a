//! What is checked offline: EU health certificates and SMART Health Cards, as the texts of their QR codes.

use super::credential::nobody_says;
use super::finding::{Coded, Finding};
use super::trust::{SavedStatus, Trust};
use crate::time::{milliseconds, moment, seconds};
use serde_json::Value;
use tegata_consent::organisation::OrganisationState;
use tegata_credential::hcert::{Hcert, HcertError};
use tegata_credential::smart_health_card::{
    PREFIX, ShcError, SmartHealthCard, VerifiedShc, from_qr,
};
use tegata_records::fhir::type_of;

const GIVE_CERTIFICATES: &str =
    "give --trust FILE with the signer's certificate (PEM, DER) or a list of certificates";
/// `ISSUER` stands for the card's.
const GIVE_KEYS: &str = "give --trust FILE with the issuer's keys: the JWK Set that it serves at ISSUER/.well-known/jwks.json, saved, or {\"ISSUER\": [JWK, …]}; or --ledger URL with --genesis";
/// Most cards in one file.
const CARDS_MAX: usize = 100;

pub(super) fn hcert(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A health certificate (EU / WHO HCERT)");
    let hcert = match Hcert::parse(text) {
        Ok(hcert) => hcert,
        Err(error) => {
            finding.fail("form", error);
            return finding;
        }
    };
    finding.fact("country", hcert.issuer().unwrap_or("none"));
    finding.fact("algorithm", hcert.algorithm().name());
    finding.fact(
        "key id",
        hcert
            .key_id()
            .map_or_else(|| "none".to_owned(), hex::encode),
    );
    if let Some(issued_at) = hcert.issued_at() {
        finding.fact("issued", moment(milliseconds(issued_at)));
    }
    if let Some(expires_at) = hcert.expires_at() {
        finding.fact("expires", moment(milliseconds(expires_at)));
    }
    if trust.list.keys().is_empty() {
        finding.unknown(
            "signature",
            format!("the signer is not known: {GIVE_CERTIFICATES}"),
        );
        return finding;
    }
    let verified = match hcert.verify(&trust.list, seconds(trust.at_ms)) {
        Ok(verified) => verified,
        Err(error) => {
            let name = match &error {
                HcertError::IssuedInFuture { .. }
                | HcertError::NotYetValid { .. }
                | HcertError::Expired { .. } => "times",
                HcertError::KeyTime(_) | HcertError::KeyPurpose(_) => "signer",
                HcertError::Payload(_) | HcertError::Claim(_) => "form",
                _ => "signature",
            };
            finding.check(name, Err::<&str, _>(error));
            return finding;
        }
    };
    let key = verified.key();
    finding.what = format!(
        "A health certificate (EU / WHO HCERT) of a {}",
        verified.kind().purpose().name()
    );
    finding.fact("says", verified.payload());
    finding.check(
        "signature",
        Ok::<_, String>(format!(
            "by {}, whose certificate has this key id",
            key.name()
        )),
    );
    finding.check(
        "signer",
        Ok::<_, String>(match key.purposes() {
            [] => "its key counted then, and is restricted to no purpose".to_owned(),
            _ => format!(
                "its certificate counted then, and is for this: a {}",
                verified.kind().purpose().name()
            ),
        }),
    );
    finding.check(
        "times",
        Ok::<_, String>(format!(
            "valid until {}",
            moment(milliseconds(verified.expires_at()))
        )),
    );
    finding.check(
        "form",
        Ok::<_, String>("fits the schema of the EU digital certificate"),
    );
    finding
}

/// The text of one or several QR codes, or a compact JWS.
pub(super) fn card(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A SMART Health Card");
    let jws = match text.starts_with(PREFIX) {
        true => from_qr(text),
        false => Ok(text.to_owned()),
    };
    if let Err(error) = jws.and_then(|jws| one_card(&mut finding, &jws, trust)) {
        let name = match &error {
            ShcError::NotYetValid { .. } | ShcError::Expired { .. } => "times",
            ShcError::KeyTime(_) | ShcError::Issuer(_) => "signer",
            ShcError::KeyUnknown(_) | ShcError::Signature | ShcError::AlgMismatch => "signature",
            _ => "form",
        };
        finding.check(name, Err::<&str, _>(error));
    }
    finding
}

/// A `.smart-health-card` file: each card in it.
pub(super) fn cards(document: &Value, trust: &Trust) -> Option<Finding> {
    let cards = document.get("verifiableCredential")?.as_array()?;
    let mut all = Finding::new(format!("A file of {} SMART Health Cards", cards.len()));
    if cards.len() > CARDS_MAX || cards.is_empty() {
        all.check(
            "form",
            Err::<&str, _>(format!("1 to {CARDS_MAX} cards are read")),
        );
        return Some(all);
    }
    for each in cards {
        let finding = card(each.as_str()?, trust);
        all.facts.extend(finding.facts);
        all.checks.extend(finding.checks);
    }
    Some(all)
}

fn one_card(finding: &mut Finding, jws: &str, trust: &Trust) -> Result<(), ShcError> {
    let card = SmartHealthCard::parse(jws)?;
    finding.fact("issuer", card.issuer().unwrap_or("none"));
    finding.fact("key id", card.key_id());
    if let Some(issued_at) = card.issued_at() {
        finding.fact("issued", moment(milliseconds(issued_at)));
    }
    let issued_ms = card.issued_at().map_or(trust.at_ms, milliseconds);
    let list = trust.card_keys(card.issuer(), issued_ms);
    if list.keys().is_empty() {
        finding.unknown(
            "signature",
            format!(
                "the issuer is not known: {}",
                GIVE_KEYS.replace(
                    "ISSUER",
                    card.issuer().unwrap_or("ISSUER").trim_end_matches('/')
                )
            ),
        );
        return Ok(());
    }
    let verified = card.verify(&list, seconds(trust.at_ms))?;
    if let Some(expires_at) = verified.expires_at() {
        finding.fact("expires", moment(milliseconds(expires_at)));
    }
    let types: Vec<&str> = verified
        .types()
        .iter()
        .filter_map(|name| name.rsplit('#').next())
        .collect();
    finding.fact("types", types.join(", "));
    finding.fact("says", verified.bundle());
    let key = verified.key();
    finding.check(
        "signature",
        Ok::<_, String>(format!(
            "by the key with this thumbprint, of {}",
            key.name()
        )),
    );
    if !key.names_issuers() {
        // The keys were named for any issuer; whoever named them, believes them for this one.
        finding.check(
            "signer",
            Ok::<_, String>("the list of keys names no issuer: they count for any"),
        );
    } else {
        finding.check(
            "signer",
            Ok::<_, String>(format!("a key of {}", verified.issuer())),
        );
    }
    finding.check("times", Ok::<_, String>("begun, and not over"));
    match trust.issuer(verified.issuer()) {
        Some(state) => finding.check("issuer accredited", accredited(&verified, state, trust)),
        None => nobody_says(finding, trust),
    }
    revocation(finding, &verified, trust);
    Ok(())
}

/// Whether a registered issuer may say what is in a card.
fn accredited(
    verified: &VerifiedShc<'_>,
    state: &OrganisationState,
    trust: &Trust,
) -> Result<String, Coded> {
    let signed_ms = milliseconds(verified.issued_at());
    let mut said = trust.standing(state, signed_ms)?;
    let entries = verified.bundle()["entry"].as_array();
    for entry in entries.into_iter().flatten() {
        let resource = &entry["resource"];
        let kind = resource["resourceType"].as_str().unwrap_or("this");
        if kind == "Patient" {
            continue;
        }
        let record_type = type_of(resource).ok_or_else(|| {
            let words = format!("nobody is accredited for {kind} of this kind");
            Coded("type-unknown", words)
        })?;
        said = trust.accredited(state, record_type.id(), signed_ms)?;
    }
    Ok(said)
}

/// A card without a revocation id cannot be revoked alone; only its key can be taken back.
fn revocation(finding: &mut Finding, verified: &VerifiedShc<'_>, trust: &Trust) {
    let Some(id) = verified.revocation_id() else {
        return;
    };
    let key_id = verified
        .key()
        .key()
        .own()
        .map(tegata_credential::keys::PublicKey::key_id);
    let lists = trust.statuses.iter().filter_map(|status| match status {
        SavedStatus::Cards { key_id, revoked } => Some((key_id, revoked)),
        _ => None,
    });
    let mut lists = lists
        .filter(|(of, _)| Some(of.as_str()) == key_id.as_deref())
        .peekable();
    if lists.peek().is_none() {
        finding.unknown(
            "not revoked",
            "give --status FILE with the issuer's list of revoked cards for this key",
        );
        return;
    }
    let revoked = lists.any(|(_, revoked)| {
        revoked.iter().any(|entry| match entry.split_once('.') {
            None => entry == id,
            // Revoked are those issued before that second; all, where it is none.
            Some((entry, before)) => {
                let before: Option<f64> = before.parse().ok();
                entry == id && !before.is_some_and(|before| before <= as_f64(verified.issued_at()))
            }
        })
    });
    finding.check(
        "not revoked",
        match revoked {
            true => Err(Coded("revoked", "the issuer has revoked it".into())),
            false => Ok("the issuer's list of revoked cards does not have it"),
        },
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of this age have few digits"
)]
fn as_f64(seconds: i64) -> f64 {
    seconds as f64
}
