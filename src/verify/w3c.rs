//! W3C credentials and presentations with Data Integrity proofs, and Bitstring status lists.

use super::credential::{GIVE_TRUST, KEYS_ALONE};
use super::finding::{self, Coded, Finding};
use super::status::newest_of;
use super::trust::{SavedStatus, Trust};
use crate::time::{milliseconds, moment, seconds};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_consent::status::{check_status_list, status_list_id};
use tegata_credential::bitstring::{
    BitstringEntry, BitstringError, StatusPurpose, VerifiedBitstring,
};
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
                checks(&mut finding, &credential, trust, "").await;
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
        checks(finding, credential, trust, &which).await;
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
    match status(credential, trust).await {
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

async fn status(credential: &VerifiedCredential, trust: &Trust) -> Result<Option<String>, Refused> {
    if credential.statuses().is_empty() {
        return Ok(None);
    }
    let entries = BitstringEntry::of(credential).map_err(no)?;
    let mut seen = Vec::new();
    for entry in &entries {
        seen.push(neither(entry, credential, trust).await?);
    }
    Ok(Some(format!(
        "neither revoked nor suspended in {}",
        seen.join(", nor in ")
    )))
}

fn no(error: BitstringError) -> Refused {
    Refused::No(finding::of(&error))
}

/// That one entry's list does not have the credential; of when that list is.
async fn neither(
    entry: &BitstringEntry,
    credential: &VerifiedCredential,
    trust: &Trust,
) -> Result<String, Refused> {
    let saved = trust.statuses.iter().filter_map(|saved| match saved {
        SavedStatus::W3c(text) => {
            let document = parse(text.as_bytes()).ok()?;
            let is_wanted = document.get("id").and_then(Value::as_str) == Some(&entry.list);
            is_wanted.then(|| text.clone())
        }
        _ => None,
    });
    let mut texts: Vec<String> = saved.collect();
    let is_saved = !texts.is_empty();
    if !is_saved {
        // Where anybody could have written the address, nothing is fetched from it.
        if owner(credential, trust).is_none() {
            let words = "its list is not asked for, since nobody says who the issuer is";
            return Err(Refused::Unknown(words.to_owned()));
        }
        let fetched = trust.fetch_status_list(&entry.list).await;
        texts.push(fetched.map_err(Refused::Unknown)?);
    }
    let lists = texts
        .iter()
        .map(|text| verified(text, trust).map(|list| (list, text)));
    let (list, text) = match newest_of(lists, |(list, _)| list.valid_from()) {
        Some(Ok(newest)) => newest,
        Some(Err(error)) => {
            let words = format!("status list: {error}");
            return Err(Refused::No(Coded(error.code(), words)));
        }
        None => return Err(Refused::Unknown("there is no list".to_owned())),
    };
    let newest = match trust.issuer(credential.issuer()) {
        Some(state) => newest(text, &list, &entry.list, state, trust).await?,
        None => None,
    };
    let when = when(&list);
    if newest.is_none() && is_saved && is_old(&list, trust).map_err(no)? {
        return Err(Refused::Unknown(format!(
            "the list is of {when}, older than its issuer lets copies count (`ttl`): give a newer one"
        )));
    }
    let bits = VerifiedBitstring::new(&list).map_err(no)?;
    match (bits.is_set(entry, credential).map_err(no)?, entry.purpose) {
        (true, StatusPurpose::Revocation) => Err(Refused::No(Coded(
            "revoked",
            "the issuer has revoked it".to_owned(),
        ))),
        (true, StatusPurpose::Suspension) => Err(Refused::No(Coded(
            "suspended",
            "the issuer has suspended it".to_owned(),
        ))),
        (false, _) => {
            let seen = newest.map_or_else(String::new, |seen| format!(", the newest {seen}"));
            Ok(format!("the issuer's list of {when}{seen}"))
        }
    }
}

/// When a list was made, for people.
fn when(list: &VerifiedCredential) -> String {
    let from = list.valid_from();
    from.map_or_else(|| "an unknown time".into(), |at| moment(milliseconds(at)))
}

/// Whether only its `ttl` (milliseconds) bounds a list, and that is over. Without a time of its own, it is.
fn is_old(list: &VerifiedCredential, trust: &Trust) -> Result<bool, BitstringError> {
    let subjects = list.subjects();
    let Some(ttl) = subjects.iter().find_map(|subject| subject.get("ttl")) else {
        return Ok(false);
    };
    let ttl_ms = ttl.as_u64().ok_or(BitstringError::List("ttl"))?;
    let until_ms = list
        .valid_from()
        .map_or(0, |from| milliseconds(from).saturating_add(ttl_ms));
    Ok(list.valid_until().is_none() && until_ms <= trust.at_ms)
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

/// A list by itself: whether its issuer still stands, and whether it has a newer one.
async fn alone(finding: &mut Finding, text: &str, list: &VerifiedCredential, trust: &Trust) {
    let state = trust.issuer(list.issuer());
    if let Some(state) = state {
        finding.check(
            "issuer standing",
            trust.standing(state, signed_ms(list, trust)),
        );
    }
    let uri = list.document().get("id").and_then(Value::as_str);
    let newest = match (uri, state) {
        (Some(uri), Some(state)) => newest(text, list, uri, state, trust).await,
        _ => Ok(None),
    };
    match (newest, is_old(list, trust)) {
        (Ok(Some(seen)), _) => finding.hold("newest", format!("its issuer's newest {seen}")),
        (Err(Refused::Unknown(reason)), _) => finding.unknown("newest", reason),
        (Err(Refused::No(coded)), _) => finding.fail("newest", coded),
        (Ok(None), Ok(false)) => {}
        (Ok(None), Ok(true)) => finding.unknown(
            "newest",
            "older than its issuer lets copies count (`ttl`), and nobody says that there is no newer one",
        ),
        (Ok(None), Err(error)) => finding.fail("form", error),
    }
}

fn list(finding: &mut Finding, credential: &VerifiedCredential) {
    match VerifiedBitstring::new(credential) {
        Err(error) => finding.fail("form", error),
        Ok(list) => {
            finding.fact("of", list.uri());
            finding.fact("issued", when(credential));
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

/// A credential by itself, such as a list: by the keys that are known for who signed it.
fn verified(text: &str, trust: &Trust) -> Result<VerifiedCredential, DataIntegrityError> {
    let document = parse(text.as_bytes())?;
    let known = Known::of(&document, trust);
    known.verifier(trust, |verifier| verifier.credential(text.as_bytes()))
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
        let mut named: BTreeMap<Did, Methods> = BTreeMap::new();
        for signed in embedded.into_iter().chain([document]) {
            let proof = signed.get("proof").cloned().unwrap_or_default();
            let Some(method) = proof["verificationMethod"].as_str() else {
                continue;
            };
            let Ok(did) = Did::of_url(method) else {
                continue;
            };
            let signed_at = proof["created"].as_str().and_then(parse_time);
            let methods = named.entry(did).or_default();
            let times = methods.entry(method.to_owned()).or_default();
            times.push(signed_at);
        }
        let known = named.into_iter().filter_map(|(did, methods)| {
            let document = document_of(&did, &methods, trust)?;
            Some((did.to_string(), Arc::new(document)))
        });
        Self(known.collect())
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

/// The verification methods of a DID that proofs name, each with when those proofs say that they were made.
type Methods = BTreeMap<String, Vec<Option<i64>>>;

fn document_of(did: &Did, methods: &Methods, trust: &Trust) -> Option<DidDocument> {
    if did.method() != DidMethod::Web {
        return did.own_document().ok();
    }
    if let Some(state) = trust.issuer(did.as_str()) {
        return Some(of_registry(did, state));
    }
    let keys = methods.iter().filter_map(|(method, times)| {
        let mut keys = times.iter().map(|at| key_of(did, method, *at, trust));
        let key = keys.next()??;
        // A key that counts for one proof and not for another would count for both.
        keys.all(|other| other == Some(key)).then(|| {
            let (from, until) = (None, None);
            (method.clone(), DidKey { key, from, until })
        })
    });
    let keys: Vec<_> = keys.collect();
    (!keys.is_empty()).then(|| DidDocument::of_keys(did, keys))
}

/// The trusted key that a method of a `did:web` stood for when something was signed.
fn key_of(did: &Did, method: &str, signed_at: Option<i64>, trust: &Trust) -> Option<PublicKey> {
    let signed_ms = signed_at.map_or(trust.at_ms, milliseconds);
    let keys = trust.credential_keys(Some(did.as_str()), signed_ms);
    let keys: Vec<PublicKey> = keys.into_iter().map(|(_, key)| key).collect();
    let named = keys.iter().find(|key| trust.is_meant(key, Some(method)));
    // A document's own names of keys are not kept with them: where there is one key of the kind, it is meant.
    let mut ed25519 = keys
        .iter()
        .filter(|key| key.algorithm() == Algorithm::EdDsa);
    let only = ed25519.next().filter(|_| ed25519.next().is_none());
    named.or(only).copied()
}

fn of_registry(did: &Did, state: &OrganisationState) -> DidDocument {
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
