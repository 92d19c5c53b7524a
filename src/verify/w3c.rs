//! W3C credentials and presentations with Data Integrity proofs, and Bitstring status lists.

use super::credential::{GIVE_TRUST, KEYS_ALONE};
use super::finding::{self, Coded, Finding};
use super::trust::{SavedStatus, Trust, milliseconds, moment, seconds};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_consent::status::{check_status_list, status_list_id};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose, VerifiedBitstring};
use tegata_credential::data_integrity::{
    CREDENTIALS_V2, DataIntegrityError, HolderRule, PresentationPolicy, VerifiedCredential,
    Verifier, is_of_type, parse,
};
use tegata_credential::did::{Did, DidDocument, DidError, DidKey, DidMethod};
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::rfc3339::parse_time;
use tegata_records::Lang;
use tegata_w3c::record;

/// Whether a JSON text is one of these, as far as one look tells.
pub(super) fn is_one(text: &str) -> bool {
    text.contains(CREDENTIALS_V2) || text.contains("\"DataIntegrityProof\"")
}

pub(super) async fn examine(text: &str, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A credential (W3C VCDM 2.0, Data Integrity)");
    let document = match parse(text.as_bytes()) {
        Ok(document) => document,
        Err(error) => {
            refused(&mut finding, "form", &error);
            return finding;
        }
    };
    let known = Known::of(&document, trust);
    if is_of_type(&document, "VerifiablePresentation") {
        finding.what = "A presentation (W3C VCDM 2.0, Data Integrity)".into();
        presentation(&mut finding, text, &document, &known, trust).await;
    } else {
        let said = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or("none");
        finding.fact(
            "issuer",
            document
                .get("issuer")
                .and_then(|issuer| issuer["id"].as_str())
                .unwrap_or(said("issuer")),
        );
        match known.verifier(trust, |verifier| verifier.credential(text.as_bytes())) {
            Err(error) => failed(&mut finding, "issuer signature", &error),
            Ok(credential) if credential.is_of_type("BitstringStatusListCredential") => {
                finding.what = "A status list (Bitstring Status List)".into();
                believed(&mut finding, &credential, trust, "");
                list(&mut finding, &credential);
                alone(&mut finding, text, &credential, trust).await;
            }
            Ok(credential) => {
                believed(&mut finding, &credential, trust, "");
                credential_facts(&mut finding, &credential);
                checks(&mut finding, &credential, &known, trust, "").await;
            }
        }
    }
    finding
}

async fn presentation(
    finding: &mut Finding,
    text: &str,
    document: &Map<String, Value>,
    known: &Known,
    trust: &Trust,
) {
    // Whom it is for, only its receiver knows: shown is what it says of itself.
    let policy = PresentationPolicy {
        challenge: None,
        domain: None,
        holder: HolderRule::Anybody,
    };
    let presentation = match known.verifier(trust, |verifier| {
        verifier.presentation(text.as_bytes(), &policy)
    }) {
        Ok(presentation) => presentation,
        Err(error) => return failed(finding, "holder signature", &error),
    };
    let proof = document.get("proof").cloned().unwrap_or_default();
    finding.fact("holder", presentation.holder());
    finding.fact(
        "presented to",
        proof["domain"].as_str().unwrap_or("nobody in particular"),
    );
    finding.fact("challenge", proof["challenge"].as_str().unwrap_or("none"));
    let at = presentation
        .created()
        .map_or_else(|| "an unknown time".into(), |at| moment(milliseconds(at)));
    finding.check(
        "holder signature",
        Ok::<_, String>(format!(
            "the holder's key signed it at {at}; {}",
            presentation.cryptosuite()
        )),
    );
    for (index, credential) in presentation.credentials().iter().enumerate() {
        let which = format!("credential {}: ", index + 1);
        believed(finding, credential, trust, &which);
        credential_facts(finding, credential);
        checks(finding, credential, known, trust, &which).await;
        let is_own = |subject: &&Map<String, Value>| {
            subject.get("id").and_then(Value::as_str) == Some(presentation.holder())
        };
        let own = if credential.subjects().iter().all(is_own) {
            Ok(format!("{which}it is about who presents it"))
        } else {
            Err(format!(
                "{which}it is about somebody else, or nobody in particular"
            ))
        };
        finding.check("holder is subject", own);
    }
}

fn credential_facts(finding: &mut Finding, credential: &VerifiedCredential) {
    finding.fact("issuer", credential.issuer());
    if let Ok(record) = record::read(credential) {
        let kind = record.record_type;
        finding.fact(
            "record type",
            format!("{} / {}", kind.name(Lang::En), kind.name(Lang::Ja)),
        );
        finding.fact("claims", record.claims);
    }
    for (name, time) in [
        ("valid from", credential.valid_from()),
        ("valid until", credential.valid_until()),
    ] {
        if let Some(time) = time {
            finding.fact(name, moment(milliseconds(time)));
        }
    }
}

/// That the signature holds, and whether somebody says whose key it is.
fn believed(finding: &mut Finding, credential: &VerifiedCredential, trust: &Trust, which: &str) {
    finding.check(
        "issuer signature",
        Ok::<_, String>(format!(
            "{which}{} by {}; form and times hold",
            credential.cryptosuite(),
            credential.verification_method()
        )),
    );
    match owner(credential, trust) {
        Some(name) => finding.check("issuer known", Ok::<_, String>(format!("{which}{name}"))),
        None => finding.unknown(
            "issuer known",
            format!("{which}the key comes with the DID, and nobody says whose it is: {GIVE_TRUST}"),
        ),
    }
}

/// When it was signed, as far as it says.
fn signed_ms(credential: &VerifiedCredential, trust: &Trust) -> u64 {
    let said = credential.created().or(credential.valid_from());
    said.map_or(trust.at_ms, milliseconds)
}

/// Who is believed to have the key that signed.
fn owner(credential: &VerifiedCredential, trust: &Trust) -> Option<String> {
    let signed_ms = signed_ms(credential, trust);
    let keys = trust.credential_keys(Some(credential.issuer()), signed_ms);
    let mut keys = keys.into_iter();
    keys.find(|(_, key)| key == credential.issuer_key())
        .map(|(name, _)| name)
}

async fn checks(
    finding: &mut Finding,
    credential: &VerifiedCredential,
    known: &Known,
    trust: &Trust,
    which: &str,
) {
    let record = record::read(credential);
    let signed_ms = signed_ms(credential, trust);
    match (trust.issuer(credential.issuer()), &record) {
        (None, _) => finding.unknown("issuer accredited", format!("{which}{KEYS_ALONE}")),
        (Some(_), Err(_)) => finding.check(
            "issuer accredited",
            Err::<&str, _>(Coded(
                "type-unknown",
                format!("{which}nobody is accredited for a type that is not in the catalogue"),
            )),
        ),
        (Some(state), Ok(record)) => {
            let result = trust.accredited(state, record.record_type.id(), signed_ms);
            let result = result.map(|words| format!("{which}{words}"));
            let result =
                result.map_err(|Coded(code, words)| Coded(code, format!("{which}{words}")));
            finding.check("issuer accredited", result);
        }
    }
    let schema = record.map(|record| format!("{which}the claims fit {}", record.record_type.vct()));
    finding.check(
        "schema",
        schema.map_err(|error| Coded(error.code(), format!("{which}{error}"))),
    );
    match status(credential, known, trust).await {
        Ok(Some(reason)) => {
            finding.check("not revoked", Ok::<_, String>(format!("{which}{reason}")))
        }
        Ok(None) => finding.unknown(
            "not revoked",
            format!("{which}the credential names no status list, so nobody can say"),
        ),
        Err(Refused::Unknown(reason)) => finding.unknown("not revoked", format!("{which}{reason}")),
        Err(Refused::No(Coded(code, words))) => {
            finding.fail("not revoked", Coded(code, format!("{which}{words}")));
        }
    }
}

/// Why a status is not known to be good.
enum Refused {
    Unknown(String),
    No(Coded),
}

async fn status(
    credential: &VerifiedCredential,
    known: &Known,
    trust: &Trust,
) -> Result<Option<String>, Refused> {
    if credential.statuses().is_empty() {
        return Ok(None);
    }
    let no = |code, error: &dyn std::fmt::Display| Refused::No(Coded(code, error.to_string()));
    let entries = BitstringEntry::of(credential).map_err(|error| no(error.code(), &error))?;
    for entry in &entries {
        let saved = trust.statuses.iter().filter_map(|saved| match saved {
            SavedStatus::W3c(text) => {
                let document = parse(text.as_bytes()).ok()?;
                let is_wanted = document.get("id").and_then(Value::as_str) == Some(&entry.list);
                is_wanted.then(|| text.clone())
            }
            _ => None,
        });
        let mut texts: Vec<String> = saved.collect();
        if texts.is_empty() {
            // Where anybody could have written the address, nothing is fetched from it.
            if owner(credential, trust).is_none() {
                let words = "its list is not asked for, since nobody says who the issuer is";
                return Err(Refused::Unknown(words.to_owned()));
            }
            let fetched = trust.fetch_status_list(&entry.list).await;
            texts.push(fetched.map_err(Refused::Unknown)?);
        }
        // Of several lists the newest counts.
        let (mut best, mut refused) = (None::<(VerifiedCredential, &String)>, None);
        for text in &texts {
            match known.verifier(trust, |verifier| verifier.credential(text.as_bytes())) {
                Err(error) => refused = Some(error),
                Ok(list) => {
                    let older = |(other, _): &(VerifiedCredential, _)| {
                        other.valid_from() < list.valid_from()
                    };
                    if best.as_ref().is_none_or(older) {
                        best = Some((list, text));
                    }
                }
            }
        }
        let (list, text) = match (best, refused) {
            (Some(best), _) => best,
            (None, Some(error)) => {
                return Err(Refused::No(Coded(
                    error.code(),
                    format!("status list: {error}"),
                )));
            }
            (None, None) => continue,
        };
        if let Some(state) = trust.issuer(credential.issuer()) {
            newest(text, &list, &entry.list, state, trust).await?;
        }
        let list = VerifiedBitstring::new(&list).map_err(|error| no(error.code(), &error))?;
        match (
            list.is_set(entry, credential)
                .map_err(|error| no(error.code(), &error))?,
            entry.purpose,
        ) {
            (true, StatusPurpose::Revocation) => {
                return Err(no("revoked", &"the issuer has revoked it"));
            }
            (true, StatusPurpose::Suspension) => {
                return Err(no("suspended", &"the issuer has suspended it"));
            }
            (false, _) => {}
        }
    }
    Ok(Some(format!(
        "neither revoked nor suspended in {} of the issuer's lists",
        entries.len()
    )))
}

/// That a registered issuer's list is the newest that it put on the ledger, where somebody says; where that was seen.
async fn newest(
    text: &str,
    list: &VerifiedCredential,
    uri: &str,
    state: &OrganisationState,
    trust: &Trust,
) -> Result<Option<String>, Refused> {
    let (known, seen) = match trust.newest_list(&state.id, &status_list_id(uri)).await {
        None => return Ok(None),
        Some(Err(error)) => return Err(Refused::Unknown(error.to_string())),
        Some(Ok(found)) => found,
    };
    let issued_ms = milliseconds(list.valid_from().unwrap_or_default());
    match check_status_list(known.as_ref(), text.as_bytes(), issued_ms) {
        Ok(()) => Ok(Some(seen)),
        Err(refused) => Err(Refused::No(finding::of(&refused))),
    }
}

/// A list by itself: whether its issuer has a newer one.
async fn alone(finding: &mut Finding, text: &str, list: &VerifiedCredential, trust: &Trust) {
    let uri = list.document().get("id").and_then(Value::as_str);
    let (Some(uri), Some(state)) = (uri, trust.issuer(list.issuer())) else {
        return;
    };
    match newest(text, list, uri, state, trust).await {
        Ok(None) => {}
        Ok(Some(seen)) => finding.hold("newest", format!("its issuer's newest {seen}")),
        Err(Refused::Unknown(reason)) => finding.unknown("newest", reason),
        Err(Refused::No(coded)) => finding.fail("newest", coded),
    }
}

fn list(finding: &mut Finding, credential: &VerifiedCredential) {
    match VerifiedBitstring::new(credential) {
        Err(error) => finding.fail("form", error),
        Ok(list) => {
            finding.fact("of", list.uri());
            finding.fact("purpose", list.purpose().name());
            finding.fact("entries", list.bits().len());
            let set = (0..list.bits().len())
                .filter(|index| list.bits().get(*index) == Ok(true))
                .count();
            finding.fact("set", set);
        }
    }
}

/// A refusal, under the name of the check that it belongs to.
fn failed(finding: &mut Finding, signature: &'static str, error: &DataIntegrityError) {
    match error {
        DataIntegrityError::Did(DidError::Unresolved(_)) => {
            finding.unknown(
                signature,
                format!("{} ({error}): {GIVE_TRUST}", error.code()),
            );
        }
        DataIntegrityError::Signature
        | DataIntegrityError::Controller { .. }
        | DataIntegrityError::Did(_) => {
            refused(finding, signature, error);
        }
        DataIntegrityError::NotYetValid { .. }
        | DataIntegrityError::Expired { .. }
        | DataIntegrityError::ProofInFuture { .. }
        | DataIntegrityError::ProofExpired { .. } => refused(finding, "times", error),
        DataIntegrityError::Credential { error: inner, .. } => {
            failed(finding, "issuer signature", inner)
        }
        _ => refused(finding, "form", error),
    }
}

fn refused(finding: &mut Finding, check: &'static str, error: &DataIntegrityError) {
    finding.check(check, Err::<&str, _>(error));
}

/// The DID documents that are known for those who signed: their own, the registry's, or what trusted keys make of them.
struct Known(BTreeMap<String, Arc<DidDocument>>);

impl Known {
    fn of(document: &Map<String, Value>, trust: &Trust) -> Self {
        let embedded: Vec<&Map<String, Value>> = match document.get("verifiableCredential") {
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_object).collect(),
            Some(Value::Object(one)) => vec![one],
            _ => Vec::new(),
        };
        let mut known = BTreeMap::new();
        for signed in embedded.into_iter().chain([document]) {
            let proof = signed.get("proof").cloned().unwrap_or_default();
            let Some(method) = proof["verificationMethod"].as_str() else {
                continue;
            };
            let Ok(did) = Did::of_url(method) else {
                continue;
            };
            let signed_at = proof["created"].as_str().and_then(parse_time);
            if let Some(document) = document_of(&did, method, signed_at, trust) {
                known.insert(did.to_string(), Arc::new(document));
            }
        }
        Self(known)
    }

    fn verifier<T>(&self, trust: &Trust, work: impl FnOnce(&Verifier<'_>) -> T) -> T {
        let resolve = |did: &Did| match self.0.get(did.as_str()) {
            Some(document) => Ok(Arc::clone(document)),
            None => did.own_document().map(Arc::new),
        };
        work(&Verifier {
            suites: &tegata_w3c::suites(),
            contexts: tegata_w3c::contexts(),
            resolve: &resolve,
            at: seconds(trust.at_ms),
        })
    }
}

fn document_of(
    did: &Did,
    method: &str,
    signed_at: Option<i64>,
    trust: &Trust,
) -> Option<DidDocument> {
    if did.method() != DidMethod::Web {
        return did.own_document().ok();
    }
    if let Some(state) = trust.issuer(did.as_str()) {
        return Some(of_registry(did, state));
    }
    let signed_ms = signed_at.map_or(trust.at_ms, milliseconds);
    let keys: Vec<PublicKey> = trust
        .credential_keys(Some(did.as_str()), signed_ms)
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    let named = keys.iter().find(|key| trust.is_meant(key, Some(method)));
    // A document's own names of keys are not kept with them: where there is one key of the kind, it is meant.
    let mut ed25519 = keys
        .iter()
        .filter(|key| key.algorithm() == Algorithm::EdDsa);
    let only = ed25519.next().filter(|_| ed25519.next().is_none());
    let key = DidKey {
        key: *named.or(only)?,
        from: None,
        until: None,
    };
    Some(DidDocument::of_keys(did, [(method.to_owned(), key)]))
}

fn of_registry(did: &Did, state: &OrganisationState) -> DidDocument {
    let seconds = |ms: u64| i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let keys = state.organisation.keys.iter().filter_map(|key| {
        let algorithm = match key.key_use {
            KeyUse::CredentialEdDsa => Algorithm::EdDsa,
            KeyUse::CredentialEs256 => Algorithm::Es256,
            _ => return None,
        };
        let (from, until) = (Some(seconds(key.from_ms)), key.until_ms.map(seconds));
        Some(DidKey {
            key: PublicKey::from_bytes(algorithm, &key.public).ok()?,
            from,
            until,
        })
    });
    DidDocument::for_organisation(did, &keys.collect::<Vec<_>>())
}
