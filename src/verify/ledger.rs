//! What the ledger gives out: entries, receipts, proofs, headers, histories, the genesis.

use super::finding::{Coded, Finding};
use super::trust::Trust;
use crate::time::moment;
use std::collections::BTreeSet;
use tegata_consent::cbor;
use tegata_consent::cose::{Sign1, Signed};
use tegata_consent::entry::{Body, Entry, VerifiedEntry};
use tegata_consent::fetch::{GrantHistory, HandedOut, Opening};
use tegata_consent::header::{CertifiedHeader, Header, ValidatorSet};
use tegata_consent::history::{Reading, verify_history};
use tegata_consent::ids::{ChainId, GrantId, Hash, OrganisationId};
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::over_asking::{RequestObject, is_request_object};
use tegata_consent::proof::{ProofError, Receipt, StateProof};
use tegata_consent::request::ConsentRequest;
use tegata_consent::state::{GrantState, Outcome, StateKey};
use tegata_consent::status::{ErasureState, OverAskingState, StatusListState, token_digest};
use tegata_service::genesis;

const NO_GENESIS: &str = "give --genesis FILE: without it nothing from the ledger can be checked";

/// A genesis file; absent where the text is none.
pub(super) fn genesis(text: &str, trust: &Trust) -> Option<Finding> {
    let genesis = match genesis::from_json(text) {
        Ok(genesis) => genesis,
        Err(error) => {
            let document: serde_json::Value = serde_json::from_str(text).ok()?;
            let has = |name: &str| document.get(name).is_some_and(serde_json::Value::is_array);
            return (has("validators") && has("operators")).then(|| {
                let mut finding = Finding::new("The genesis of a ledger");
                finding.fail("content", error.to_string());
                finding
            });
        }
    };
    let mut finding = Finding::new(format!("The genesis of the ledger {:?}", genesis.name));
    finding.fact("chain", genesis.chain_id());
    finding.fact("time", moment(genesis.time_ms));
    finding.fact("validators", genesis.validators.len());
    finding.fact("operators", genesis.operators.len());
    finding.hold("content", "well-formed");
    match &trust.chain {
        Some((chain, _)) if *chain == genesis.chain_id() => {
            finding.hold("genesis", "the same as --genesis");
        }
        Some((chain, _)) => finding.fail(
            "genesis",
            format!("--genesis is ledger {chain}, another one"),
        ),
        None => {
            finding.unknown("genesis", "nobody signs a genesis: compare it with one from a source you trust (--genesis FILE)");
        }
    }
    Some(finding)
}

pub(super) fn header(certified: CertifiedHeader, trust: &Trust) -> Finding {
    let mut finding = Finding::new(format!(
        "The header of height {}, with its certificate",
        certified.header.height
    ));
    header_facts(&mut finding, &certified.header, trust);
    in_time(&mut finding, certified.header.time_ms, trust);
    let signatures = certified.certificate.signatures.len();
    match &trust.chain {
        None => finding.unknown("certificate", NO_GENESIS),
        Some((chain, validators)) => {
            let verified = certified.verify(chain, validators);
            finding.check(
                "certificate",
                verified.map(|_| {
                    format!(
                        "precommits of {signatures} of {} validators",
                        validators.validators().len()
                    )
                }),
            );
        }
    }
    finding
}

fn header_facts(finding: &mut Finding, header: &Header, trust: &Trust) {
    finding.fact("height", header.height);
    finding.fact("block time", moment(header.time_ms));
    if trust.at_ms >= header.time_ms {
        finding.fact(
            "age",
            format!("{} s", (trust.at_ms - header.time_ms) / 1000),
        );
    }
    finding.fact("chain", header.chain);
}

pub(super) async fn entry(bytes: &[u8], trust: &Trust) -> Finding {
    let Ok(entry) = Entry::parse(bytes) else {
        let mut finding = Finding::new("An entry for the ledger");
        finding.check("form", Entry::parse(bytes).map(|_| ""));
        return finding;
    };
    let mut finding = Finding::new(format!("An entry for the ledger: {}", kind(entry.body())));
    body_facts(&mut finding, &entry, trust);
    finding.fact("not after", moment(entry.not_after_ms()));
    match &trust.chain {
        None => finding.unknown("signature", NO_GENESIS),
        Some((chain, _)) => {
            finding.fact("id", entry.id(chain));
            match entry.verify(chain) {
                Err(error) => finding.fail("signature", error),
                Ok(verified) => {
                    finding.hold("signature", "signature and countersignatures hold");
                    on_the_ledger(&mut finding, &verified, trust).await;
                }
            }
        }
    }
    finding
}

/// Whether the ledger has an entry, byte for byte: its id is the same whoever countersigned it.
async fn on_the_ledger(finding: &mut Finding, entry: &VerifiedEntry, trust: &Trust) {
    const NAME: &str = "on the ledger";
    match trust.receipt(&entry.id()).await {
        None => finding.unknown(
            NAME,
            "an entry alone does not show that the ledger has it: ask for its receipt, or give --ledger URL",
        ),
        Some(Err(error)) => finding.unknown(NAME, error.to_string()),
        Some(Ok(None)) => finding.unknown(NAME, "the node does not have it"),
        Some(Ok(Some(receipt))) if *receipt.leaf.entry != *entry.bytes() => {
            finding.fail(NAME, "the ledger has it with other countersignatures");
        }
        Some(Ok(Some(receipt))) => {
            let leaf = &receipt.leaf;
            finding.fact("outcome", outcome(&leaf.outcome));
            let when = moment(leaf.time_ms);
            finding.hold(NAME, format!("in the block of height {}, {when}", leaf.height));
        }
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied => "applied".to_owned(),
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
    }
}

pub(super) fn receipt(receipt: Receipt, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A receipt: proof that an entry is on the ledger");
    let leaf = receipt.leaf.clone();
    if let Ok(entry) = Entry::parse(&leaf.entry) {
        finding.what = format!(
            "A receipt: proof that an entry is on the ledger: {}",
            kind(entry.body())
        );
        body_facts(&mut finding, &entry, trust);
    }
    finding.fact("height", leaf.height);
    finding.fact("block time", moment(leaf.time_ms));
    finding.fact("outcome", outcome(&leaf.outcome));
    finding.fact("proven at height", receipt.certified.header.height);
    in_time(&mut finding, receipt.certified.header.time_ms, trust);
    match &trust.chain {
        None => finding.unknown("receipt", NO_GENESIS),
        Some((chain, validators)) => {
            let verified = receipt.verify(chain, validators);
            if let Ok(verified) = &verified {
                finding.fact("entry", verified.entry.id());
            }
            finding.check(
                "receipt",
                verified
                    .map(|_| "certificate, inclusion in the log, and the entry's signatures hold"),
            );
        }
    }
    finding
}

pub(super) fn state_proof(proof: StateProof, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A proof of the ledger's state");
    header_facts(&mut finding, &proof.certified.header, trust);
    in_time(&mut finding, proof.certified.header.time_ms, trust);
    let Some((chain, validators)) = &trust.chain else {
        finding.unknown("proof", NO_GENESIS);
        return finding;
    };
    if let Err(error) = proven(&mut finding, proof, chain, validators, trust) {
        finding.fail("proof", error);
    }
    finding
}

/// Checks a proof, and says what stands under its key. A proof that nothing does is one too, but of nothing that holds.
fn proven(
    finding: &mut Finding,
    proof: StateProof,
    chain: &ChainId,
    validators: &ValidatorSet,
    trust: &Trust,
) -> Result<(), ProofError> {
    const HELD: &str = "certificate and path to the state root hold";
    let (key, time_ms) = (proof.key.to_vec(), proof.certified.header.time_ms);
    if let Some(id) = one(&key, "grant/") {
        finding.what = "A consent proof".into();
        finding.fact("grant", id);
        let proven = proof.verify_grant(chain, validators, &id)?;
        finding.hold("proof", HELD);
        in_force(finding, proven.value.as_ref(), time_ms, trust);
    } else if let Some(id) = one(&key, "organisation/") {
        finding.what = "A proof about an organisation".into();
        finding.fact("id", id);
        let proven = proof.verify_organisation(chain, validators, &id)?;
        finding.hold("proof", HELD);
        registered(finding, proven.value.as_ref(), time_ms, trust.at_ms);
    } else if let Some((issuer, list)) = two(&key, "status-list/") {
        finding.what = "A proof about an issuer's status list".into();
        finding.fact("issuer", trust.name(&issuer));
        finding.fact("list", list);
        let proven = proof.verify_status_list(chain, validators, &issuer, &list)?;
        finding.hold("proof", HELD);
        published(finding, proven.value.as_ref());
    } else if let Some(request) = one(&key, "over-asking/") {
        finding.what = "A proof about a request that asked for too much".into();
        finding.fact("request", request);
        let proven = proof.verify_over_asking(chain, validators, &request)?;
        finding.hold("proof", HELD);
        reported(finding, proven.value.as_ref(), trust);
    } else if let Some((recipient, commitment)) = two(&key, "erasure/") {
        finding.what = "A proof about the erasure of a copy".into();
        finding.fact("recipient", trust.name(&recipient));
        finding.fact("erasure", commitment);
        let proven = proof.verify_erasure(chain, validators, &recipient, &commitment)?;
        finding.hold("proof", HELD);
        confirmed(finding, proven.value.as_ref());
    } else {
        let name: String = String::from_utf8_lossy(&key).chars().take(80).collect();
        finding.fact("key", name);
        let proven = proof.verify(chain, validators, &StateKey::from_stored(key))?;
        finding.hold("proof", HELD);
        match proven.value {
            None => absent(finding, "stands", "nothing stood under this key"),
            Some(value) => {
                finding.fact("value", format!("{} bytes", value.len()));
                finding.fact("value's SHA-256", token_digest(&value));
                finding.hold("stands", "something stood under this key at this height");
            }
        }
    }
    Ok(())
}

/// The id in a key of the state; absent where it is a key of something else.
fn one<Id: for<'b> TryFrom<&'b [u8]>>(key: &[u8], of: &str) -> Option<Id> {
    Id::try_from(key.strip_prefix(of.as_bytes())?).ok()
}

/// The organisation and the digest in a key of the state; absent where it is a key of something else.
fn two(key: &[u8], of: &str) -> Option<(OrganisationId, Hash)> {
    let (id, digest) = key
        .strip_prefix(of.as_bytes())?
        .split_at_checked(OrganisationId::LEN)?;
    Some((id.try_into().ok()?, digest.try_into().ok()?))
}

/// What a proof of absence says: there was no such thing, so it does not hold.
fn absent(finding: &mut Finding, name: &'static str, words: &str) {
    let words = format!("{words} at this height: this is a proof of absence");
    finding.fail(name, Coded("state-absent", words));
}

/// The newest of an issuer's lists at the proof's height.
fn published(finding: &mut Finding, state: Option<&StatusListState>) {
    let Some(state) = state else {
        return absent(
            finding,
            "published",
            "the issuer had published no such list",
        );
    };
    finding.fact("signed list", state.token);
    finding.fact("issued", moment(state.issued_ms));
    finding.fact("recalls", state.recalled);
    finding.fact("lists under this address so far", state.count);
    let when = moment(state.published_ms);
    finding.hold(
        "published",
        format!("the newest at this height is of {when}"),
    );
}

fn reported(finding: &mut Finding, state: Option<&OverAskingState>, trust: &Trust) {
    let Some(state) = state else {
        return absent(finding, "reported", "this request had not been reported");
    };
    finding.fact("organisation", trust.name(&state.recipient));
    finding.hold("reported", format!("at {}", moment(state.reported_ms)));
}

fn confirmed(finding: &mut Finding, state: Option<&ErasureState>) {
    let Some(state) = state else {
        return absent(finding, "confirmed", "this erasure had not been confirmed");
    };
    finding.fact("grant", state.grant);
    finding.hold("confirmed", format!("at {}", moment(state.confirmed_ms)));
}

/// What stood at the proof's height. Whether it still does, only a newer proof says.
fn in_force(finding: &mut Finding, state: Option<&GrantState>, time_ms: u64, trust: &Trust) {
    let Some(state) = state else {
        return absent(finding, "in force", "there was no such grant");
    };
    let grant = &state.grant;
    finding.fact("recipient", trust.name(&grant.recipient));
    finding.fact("carried by", trust.name(&grant.sponsor));
    finding.fact("categories", grant.categories.join(", "));
    finding.fact("purpose", &grant.purpose);
    finding.fact("legal basis", &grant.legal_basis);
    finding.fact("retention", format!("{} days", grant.retention_days));
    finding.fact("from", moment(grant.from_ms));
    finding.fact("until", moment(grant.until_ms));
    finding.fact("granted", moment(state.granted_ms));
    if let Some(revoked_ms) = state.revoked_ms {
        finding.fact("revoked", moment(revoked_ms));
    }
    let most = grant
        .uses_max
        .map(|most| format!(" of at most {most}"))
        .unwrap_or_default();
    finding.fact(
        "accesses",
        format!("{} asked, {} allowed{most}", state.accesses, state.uses),
    );
    // What a grant ends by, its own time, needs no newer proof.
    let over = state.standing(time_ms.max(trust.at_ms));
    finding.check(
        "in force",
        state
            .standing(time_ms)
            .and(over)
            .map(|()| format!("it stood at {}", moment(time_ms))),
    );
}

/// Whether a block is there at the time that is asked about. Clocks differ a little.
fn in_time(finding: &mut Finding, time_ms: u64, trust: &Trust) {
    let skew_ms = tegata_credential::CLOCK_SKEW_S.unsigned_abs() * 1000;
    if time_ms > trust.at_ms.saturating_add(skew_ms) {
        let words = format!(
            "its block is of {}, after {}",
            moment(time_ms),
            moment(trust.at_ms)
        );
        finding.fail("time", Coded("proof-in-future", words));
    }
}

fn registered(finding: &mut Finding, state: Option<&OrganisationState>, time_ms: u64, at_ms: u64) {
    let Some(state) = state else {
        return absent(finding, "registered", "there was no such organisation");
    };
    let organisation = &state.organisation;
    finding.fact(
        "name",
        format!("{} / {}", organisation.name.en, organisation.name.ja),
    );
    finding.fact("did", &organisation.did);
    finding.fact(
        "roles",
        organisation
            .roles
            .iter()
            .map(|role| role_name(*role))
            .collect::<Vec<_>>()
            .join(", "),
    );
    for service in &organisation.services {
        finding.fact(
            "service",
            format!("{}: {}", role_name(service.role), service.url),
        );
    }
    for issues in &organisation.issues {
        finding.fact("may issue", &issues.record_type);
    }
    for asks in &organisation.asks {
        finding.fact(
            "may ask",
            format!("{} for {}", asks.categories.join(", "), asks.purpose),
        );
    }
    finding.check(
        "registered",
        Ok::<_, String>(format!("since {}", moment(state.registered_ms))),
    );
    let suspended = state.suspended_at(time_ms.max(at_ms));
    finding.check(
        "not suspended",
        if suspended {
            Err("suspended at this height")
        } else {
            Ok("in good standing at this height")
        },
    );
}

pub(super) fn history(history: &GrantHistory, trust: &Trust) -> Finding {
    let Ok(proof) = StateProof::parse(&history.proof) else {
        let mut finding = Finding::new("A reading history");
        finding.check("proof", Err::<&str, _>("its consent proof is malformed"));
        return finding;
    };
    let id: Option<GrantId> = one(&proof.key, "grant/");
    let mut finding = state_proof(proof.clone(), trust);
    finding.what = "A reading history: who read under a grant, and when".into();
    let (Some(id), Some((chain, validators))) = (id, &trust.chain) else {
        finding.unknown("complete", "not checked, since the consent proof was not");
        return finding;
    };
    let Ok(Some(state)) = proof
        .verify_grant(chain, validators, &id)
        .map(|proven| proven.value)
    else {
        finding.check(
            "complete",
            Err::<&str, _>("the consent proof shows no grant"),
        );
        return finding;
    };
    if history.first.is_some_and(|first| first > 0) {
        finding.unknown(
            "complete",
            "not checked: this page does not begin with the first access",
        );
        return finding;
    }
    match verify_history(chain, &id, &state, &history.accesses) {
        Ok(readings) => {
            for reading in &readings {
                let outcome = match reading.outcome {
                    Outcome::Applied => "allowed".to_owned(),
                    Outcome::Refused(refusal) => format!("refused, {refusal}"),
                };
                finding.fact(
                    "access",
                    format!(
                        "{} {}: {outcome}",
                        moment(reading.time_ms),
                        trust.name(&reading.access.recipient)
                    ),
                );
            }
            finding.check(
                "complete",
                Ok::<_, String>(format!(
                    "all {} accesses, as the ledger has them",
                    readings.len()
                )),
            );
            openings(&mut finding, history, &readings);
        }
        Err(error) => finding.fail("complete", error),
    }
    finding
}

/// Openings fit the accesses that the ledger has, one for each at most. What was handed out under them is the host's word,
/// but lies within what was asked for.
fn openings(finding: &mut Finding, history: &GrantHistory, readings: &[Reading]) {
    let mut seen = BTreeSet::new();
    let mut fits = |opening: &Opening| {
        let reading = readings.iter().find(|reading| reading.id == opening.access);
        let asked = |handed: &HandedOut| {
            let (scope, record) = (&opening.scope, &handed.record);
            let records = scope.records.as_ref();
            scope.drawers.contains(&handed.drawer)
                && records.is_none_or(|records| records.contains(record))
        };
        reading.is_some_and(|reading| {
            opening.scope.commitment(&opening.salt) == reading.access.commitment
        }) && opening.records.iter().all(asked)
            && seen.insert(opening.access)
    };
    let wrong = history.openings.iter().find(|opening| !fits(opening));
    finding.check(
        "openings",
        match wrong {
            Some(opening) => Err(format!(
                "the opening of access {} does not fit the ledger",
                opening.access
            )),
            None => Ok(format!(
                "{} openings fit what the ledger committed to",
                history.openings.len()
            )),
        },
    );
}

fn body_facts(finding: &mut Finding, entry: &Entry, trust: &Trust) {
    match entry.body() {
        Body::OrganisationRegistered(organisation) => {
            finding.fact("organisation", &organisation.name.en)
        }
        Body::OrganisationChanged(change) => finding.fact("organisation", trust.name(&change.id)),
        Body::OrganisationSuspended(suspension) => {
            finding.fact("organisation", trust.name(&suspension.id))
        }
        Body::Grant(grant) => {
            finding.fact("grant", entry.signer());
            finding.fact("recipient", trust.name(&grant.recipient));
            finding.fact("carried by", trust.name(&grant.sponsor));
            finding.fact("categories", grant.categories.join(", "));
            finding.fact("purpose", &grant.purpose);
            finding.fact("until", moment(grant.until_ms));
        }
        Body::Revocation(revocation) => {
            finding.fact("grant", revocation.grant);
            finding.fact("carried by", trust.name(&revocation.sponsor));
        }
        Body::Access(access) => {
            finding.fact("grant", access.grant);
            finding.fact("recipient", trust.name(&access.recipient));
        }
        Body::StatusListPublished(published) => {
            finding.fact("issuer", trust.name(&published.issuer));
            finding.fact("list", published.list);
            finding.fact("signed list", published.token);
            finding.fact("issued", moment(published.issued_ms));
            finding.fact("recalls", published.recalled);
        }
        Body::OverAsking(report) => {
            finding.fact("organisation", trust.name(&report.recipient));
            finding.fact("carried by", trust.name(&report.sponsor));
            over_asked(finding, &report.request);
        }
        Body::ErasureConfirmed(confirmed) => {
            finding.fact("grant", confirmed.grant);
            finding.fact("recipient", trust.name(&confirmed.recipient));
        }
    }
    finding.fact("signed by", entry.signer());
    for key in entry.countersigners() {
        finding.fact("countersigned by", key);
    }
}

/// What the evidence of an over-asking asks for. That the organisation signed it and was not accredited is what the ledger's
/// validators checked before the entry was in a block.
fn over_asked(finding: &mut Finding, evidence: &[u8]) {
    if is_request_object(evidence) {
        let Ok(object) = RequestObject::parse(evidence) else {
            return finding.fact("evidence", "unreadable");
        };
        finding.fact("evidence", "a request object of OpenID4VP");
        for asked in object.asked_for() {
            finding.fact("asked for", asked.categories.join(", "));
            finding.fact("purpose", &asked.purpose);
            finding.fact("kept for days", asked.retention_days);
        }
        return;
    }
    let envelope = Sign1::parse(evidence, ConsentRequest::LIMIT, ConsentRequest::TYPE).ok();
    let request = envelope
        .and_then(|one| cbor::decode::<ConsentRequest>(one.payload(), ConsentRequest::LIMIT).ok());
    let Some(request) = request else {
        return finding.fact("evidence", "unreadable");
    };
    finding.fact("evidence", "a consent request");
    finding.fact("asked for", request.categories.join(", "));
    finding.fact("purpose", &request.purpose);
    finding.fact("kept for days", request.retention_days);
}

const fn kind(body: &Body) -> &'static str {
    match body {
        Body::OrganisationRegistered(_) => "an organisation joins the registry",
        Body::OrganisationChanged(_) => "an organisation changes",
        Body::OrganisationSuspended(_) => "an organisation is suspended, or no longer",
        Body::Grant(_) => "a grant",
        Body::Revocation(_) => "a revocation",
        Body::Access(_) => "an access",
        Body::StatusListPublished(_) => "a status list is published",
        Body::OverAsking(_) => "an organisation asked for more than it may",
        Body::ErasureConfirmed(_) => "a recipient dropped a copy",
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Issuer => "issuer",
        Role::Verifier => "verifier",
        Role::Host => "host",
        Role::Validator => "validator",
        Role::Auditor => "auditor",
    }
}
