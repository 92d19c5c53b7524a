//! Replays `vectors/data-integrity.json`, W3C's vectors of `eddsa-jcs-2022` and RFC 8785's.
//!
//! The cases are made here, by an honest issuer and by a forger who holds the issuer's key; the file freezes them.
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-credential --test data_integrity` writes a new one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "common/frozen.rs"]
mod frozen;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::key;
use serde_json::{Map, Value, json};
use tegata_credential::data_integrity::*;
use tegata_credential::did::{Did, DidDocument, DidError, resolve};
use tegata_credential::keys::{Algorithm, SigningKey};

const AT: i64 = 1_760_000_000;
const NOW: &str = "2025-10-09T08:53:20Z";

fn issuer() -> SigningKey {
    key(Algorithm::EdDsa, 1)
}
fn holder() -> SigningKey {
    key(Algorithm::EdDsa, 2)
}
fn did(key: &SigningKey) -> String {
    Did::key(&key.public_key()).to_string()
}
fn method(key: &SigningKey) -> String {
    let document = Did::key(&key.public_key()).own_document().unwrap();
    document.methods()[0].id().to_owned()
}

fn credential() -> Value {
    json!({
        "@context": [CREDENTIALS_V2],
        "id": "urn:uuid:3f0a4a52-0c49-4a2f-9a3c-3e1c8a4a8f01",
        "type": ["VerifiableCredential"],
        "name": { "@value": "予防接種", "@language": "ja" },
        "issuer": did(&issuer()),
        "validFrom": "2025-10-01T00:00:00Z",
        "validUntil": "2026-10-01T00:00:00+09:00",
        "credentialSubject": { "id": did(&holder()), "name": "Made-up Person" },
        "credentialStatus": {
            "type": "BitstringStatusListEntry", "statusPurpose": "revocation", "statusListIndex": "9",
            "statusListCredential": "https://a.example/status/1",
        },
    })
}

fn presentation(credential: Value) -> Value {
    json!({
        "@context": [CREDENTIALS_V2],
        "type": ["VerifiablePresentation"],
        "holder": did(&holder()),
        "verifiableCredential": [credential],
    })
}

/// `document` with these members set, or removed where null; names may be JSON Pointers.
fn with(mut document: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        let parent = document
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap();
        if value.is_null() {
            parent.remove(last);
        } else {
            parent.insert(last.to_owned(), value.clone());
        }
    }
    document
}

/// Signs anything as `key`, with these members of the proof changed.
fn forged(document: &Value, key: &SigningKey, proof_changes: Value) -> Value {
    let is_credential = document["type"]
        .to_string()
        .contains("VerifiableCredential");
    let purpose = if is_credential {
        "assertionMethod"
    } else {
        "authentication"
    };
    let proof = with(
        json!({
            "type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "created": NOW,
            "verificationMethod": method(key), "proofPurpose": purpose, "@context": document["@context"],
        }),
        proof_changes,
    );
    let hash = EddsaJcs2022
        .hash(document.as_object().unwrap(), proof.as_object().unwrap())
        .unwrap();
    let signature = format!("z{}", bs58::encode(key.sign(&hash)).into_string());
    let mut proof = proof;
    if proof.get("proofValue").is_none() {
        proof["proofValue"] = signature.into();
    }
    let mut out = document.clone();
    out["proof"] = proof;
    out
}

fn signed(changes: Value) -> Value {
    forged(&with(credential(), changes), &issuer(), json!({}))
}
fn proven(proof_changes: Value) -> Value {
    forged(&credential(), &issuer(), proof_changes)
}
fn shown(changes: Value, proof_changes: Value) -> Value {
    let proof = with(
        json!({ "challenge": "c-1", "domain": "https://v.example" }),
        proof_changes,
    );
    let nulls: Map<String, Value> = Map::new();
    let mut proof_changes = nulls;
    for name in [
        "challenge",
        "domain",
        "proofPurpose",
        "created",
        "verificationMethod",
    ] {
        if let Some(value) = proof.get(name) {
            proof_changes.insert(name.into(), value.clone());
        }
    }
    forged(
        &with(presentation(signed(json!({}))), changes),
        &holder(),
        Value::Object(proof_changes),
    )
}

/// What a verifier that reads nothing but the vector does with it.
fn run(vector: &Value) -> Result<(), String> {
    let documents: BTreeMap<String, DidDocument> = vector["did_documents"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(did, document)| {
            (
                did.clone(),
                DidDocument::parse(document.to_string().as_bytes()).unwrap(),
            )
        })
        .collect();
    let known = |did: &Did| {
        documents
            .get(did.as_str())
            .cloned()
            .ok_or_else(|| DidError::Unresolved(did.to_string()))
    };
    let contexts = Contexts::default();
    let verifier = Verifier {
        suites: &[&EddsaJcs2022],
        contexts: &contexts,
        resolve: &|did| resolve(did, known).map(Arc::new),
        at: vector["at"].as_i64().unwrap(),
    };
    let text = vector["text"].as_str().unwrap().as_bytes();
    let code = |error: DataIntegrityError| error.code().to_owned();
    match vector.get("presentation") {
        None => verifier.credential(text).map(drop).map_err(code),
        Some(policy) => {
            let policy = PresentationPolicy {
                challenge: policy["challenge"].as_str(),
                domain: policy["domain"].as_str(),
                holder: if policy["holder_is_subject"] == true {
                    HolderRule::IsSubject
                } else {
                    HolderRule::Anybody
                },
            };
            verifier.presentation(text, &policy).map(drop).map_err(code)
        }
    }
}

fn vector(name: &str, text: impl ToString) -> Value {
    json!({ "name": name, "at": AT, "text": text.to_string() })
}

fn at_verifier(name: &str, presentation: impl ToString) -> Value {
    let mut out = vector(name, presentation);
    out["presentation"] =
        json!({ "challenge": "c-1", "domain": "https://v.example", "holder_is_subject": true });
    out
}

const WEB: &str = "did:web:clinic.example";

/// A credential of `did:web:clinic.example`, whose document's one key is changed.
fn of_web(
    name: &str,
    method_changes: Value,
    document_changes: Value,
    proof_changes: Value,
) -> Value {
    let id = format!("{WEB}#k");
    let key = with(
        json!({
            "id": "#k", "type": "Multikey", "controller": WEB,
            "publicKeyMultibase": tegata_credential::did::to_multikey(&issuer().public_key()),
        }),
        method_changes,
    );
    let document = with(
        json!({ "id": WEB, "verificationMethod": [key], "assertionMethod": [id], "authentication": ["#k"] }),
        document_changes,
    );
    let mut proof = proof_changes;
    proof["verificationMethod"] = id.into();
    let text = forged(
        &with(credential(), json!({ "issuer": WEB })),
        &issuer(),
        proof,
    );
    let mut out = vector(name, text);
    out["did_documents"] = json!({ WEB: document });
    out
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("x"), |inner, _| json!({ "name": inner }))
}

fn accepted() -> Vec<Value> {
    let minimal = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiableCredential"], "issuer": did(&issuer()),
        "credentialSubject": { "name": "x" },
    });
    let older = "2024-01-01T00:00:00Z";
    vec![
        vector("everything", signed(json!({}))),
        vector(
            "the least",
            forged(&minimal, &issuer(), json!({ "created": null })),
        ),
        vector(
            "no context in the proof",
            proven(json!({ "@context": null })),
        ),
        vector(
            "issuer with a name",
            signed(json!({ "issuer": { "id": did(&issuer()), "name": "Sakura Clinic" } })),
        ),
        vector(
            "two subjects",
            signed(json!({ "credentialSubject": [{ "name": "a" }, { "name": "b" }] })),
        ),
        vector(
            "a further context",
            signed(json!({ "@context": [CREDENTIALS_V2, DATA_INTEGRITY_V2] })),
        ),
        vector(
            "a clock 60 s ahead",
            proven(json!({ "created": "2025-10-09T08:54:20Z" })),
        ),
        vector(
            "a proof with an end, a nonce and a name",
            proven(json!({
                "expires": "2025-10-09T08:53:21Z", "nonce": "n", "id": "urn:uuid:1",
            })),
        ),
        vector(
            "the largest exact integer",
            signed(json!({ "credentialSubject": { "name": 9_007_199_254_740_991_u64 } })),
        ),
        of_web("did:web", json!({}), json!({}), json!({})),
        of_web(
            "signed before the key's end",
            json!({ "expires": "2025-01-01T00:00:00Z" }),
            json!({}),
            json!({ "created": older }),
        ),
        of_web(
            "signed in time, key not yet revoked",
            json!({ "revoked": "2025-10-09T08:53:21Z" }),
            json!({}),
            json!({}),
        ),
        at_verifier("presentation", shown(json!({}), json!({}))),
        at_verifier(
            "presentation for two domains",
            shown(
                json!({}),
                json!({ "domain": ["https://w.example", "https://v.example"] }),
            ),
        ),
        at_verifier(
            "presentation without holder",
            shown(json!({ "holder": null }), json!({})),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "one line per case")]
fn rejected() -> Vec<(Value, &'static str)> {
    let c = |name: &str, document: Value, code| (vector(name, document), code);
    let p = |name: &str, document: Value, code| (at_verifier(name, document), code);
    let text = signed(json!({})).to_string();
    let other = key(Algorithm::EdDsa, 9);
    let es256 = key(Algorithm::Es256, 1);
    let one = signed(json!({}))["proof"].clone();
    let subject = |value: Value| signed(json!({ "credentialSubject": value }));
    let web = |name: &str, method: Value, document: Value, proof: Value, code| {
        (of_web(name, method, document, proof), code)
    };
    vec![
        (vector("nothing", ""), "malformed"),
        (vector("a list", "[]"), "malformed"),
        (
            vector(
                "a member twice",
                text.replacen('{', r#"{"issuer":"did:example:x","#, 1),
            ),
            "json_name_duplicate",
        ),
        (
            vector(
                "a member twice, one escaped",
                text.replacen(r#"{"id":"did"#, r#"{"\u0069d":"urn:x:y","id":"did"#, 1),
            ),
            "json_name_duplicate",
        ),
        c("nested too deep", subject(nested(40)), "too_deep"),
        c(
            "no context",
            signed(json!({ "@context": null })),
            "context_malformed",
        ),
        c(
            "context not in a list",
            signed(json!({ "@context": CREDENTIALS_V2 })),
            "context_malformed",
        ),
        c(
            "another context first",
            signed(json!({ "@context": [DATA_INTEGRITY_V2, CREDENTIALS_V2] })),
            "context_malformed",
        ),
        c(
            "a context in the document",
            signed(json!({ "@context": [CREDENTIALS_V2, { "lot": "urn:x:lot" }] })),
            "context_malformed",
        ),
        c(
            "an unknown context",
            signed(json!({ "@context": [CREDENTIALS_V2, "https://evil.example/v1"] })),
            "context_unknown",
        ),
        c(
            "a context inside",
            subject(json!({ "@context": [CREDENTIALS_V2], "name": "x" })),
            "context_nested",
        ),
        c(
            "undefined term",
            signed(json!({ "lot_number": "AB-12" })),
            "term_undefined",
        ),
        c(
            "undefined term in the subject",
            subject(json!({ "lot_number": "AB-12" })),
            "term_undefined",
        ),
        c(
            "term of another type",
            subject(json!({ "encodedList": "uH4s" })),
            "term_undefined",
        ),
        c(
            "keyword",
            subject(json!({ "@id": "urn:x:y" })),
            "term_undefined",
        ),
        c(
            "full IRI for a term",
            subject(json!({ "https://schema.org/name": "x" })),
            "term_undefined",
        ),
        c(
            "undefined type",
            signed(json!({ "type": ["VerifiableCredential", "VaccinationRecord"] })),
            "type_undefined",
        ),
        c(
            "a type that is a member",
            signed(json!({ "type": ["VerifiableCredential", "id"] })),
            "type_undefined",
        ),
        c(
            "type a number",
            signed(json!({ "type": ["VerifiableCredential", 1] })),
            "type_undefined",
        ),
        c(
            "no type in the list",
            subject(json!({ "type": [], "name": "x" })),
            "value_empty",
        ),
        c(
            "null",
            subject(json!({ "name": null, "description": [null] })),
            "value_empty",
        ),
        c("empty list", subject(json!({ "name": [] })), "value_empty"),
        c(
            "list in a list",
            subject(json!({ "name": [["x"]] })),
            "value_empty",
        ),
        c(
            "language a number",
            subject(json!({ "name": { "@value": "x", "@language": 1 } })),
            "value_empty",
        ),
        c(
            "language that is none",
            subject(json!({ "name": { "@value": "x", "@language": "e n" } })),
            "value_empty",
        ),
        c(
            "language that begins with a digit",
            subject(json!({ "name": { "@value": "x", "@language": "1a" } })),
            "value_empty",
        ),
        c(
            "value with a type",
            subject(json!({ "name": { "@value": "x", "@type": "urn:x:y" } })),
            "term_undefined",
        ),
        c(
            "relative id",
            subject(json!({ "id": "person", "name": "x" })),
            "iri_not_absolute",
        ),
        c(
            "blank node as id",
            subject(json!({ "id": "_:b0", "name": "x" })),
            "iri_not_absolute",
        ),
        c(
            "id with a space",
            subject(json!({ "id": "urn:x y", "name": "x" })),
            "iri_not_absolute",
        ),
        c(
            "id with what is not UTF-8",
            subject(json!({ "id": "urn:x:%ff", "name": "x" })),
            "iri_not_absolute",
        ),
        c(
            "id a number",
            subject(json!({ "id": 7, "name": "x" })),
            "iri_not_absolute",
        ),
        c(
            "relative issuer",
            signed(json!({ "issuer": "clinic" })),
            "iri_not_absolute",
        ),
        c(
            "number that is rounded",
            subject(json!({ "name": 9_007_199_254_740_993_u64 })),
            "number_not_exact",
        ),
        c(
            "huge number",
            subject(json!({ "name": 1e300 })),
            "number_not_exact",
        ),
        c(
            "a presentation",
            shown(json!({}), json!({})),
            "type_unexpected",
        ),
        c(
            "no issuer",
            signed(json!({ "issuer": null })),
            "member_invalid",
        ),
        c(
            "issuer without id",
            signed(json!({ "issuer": { "name": "x" } })),
            "member_invalid",
        ),
        c(
            "no subject",
            signed(json!({ "credentialSubject": null })),
            "member_invalid",
        ),
        c("empty subject", subject(json!({})), "member_invalid"),
        c(
            "subject an IRI",
            subject(json!("urn:x:y")),
            "member_invalid",
        ),
        c(
            "status without type",
            signed(json!({ "credentialStatus": { "id": "urn:x:y" } })),
            "member_invalid",
        ),
        c(
            "validFrom no time",
            signed(json!({ "validFrom": "yesterday" })),
            "member_invalid",
        ),
        c(
            "validUntil without zone",
            signed(json!({ "validUntil": "2026-01-01T00:00:00" })),
            "member_invalid",
        ),
        c(
            "valid until before it begins",
            signed(json!({ "validUntil": "2025-09-30T00:00:00Z" })),
            "member_invalid",
        ),
        c("no proof", credential(), "proof_missing"),
        c(
            "proof set",
            with(credential(), json!({ "proof": [one, one] })),
            "proof_set_unsupported",
        ),
        c(
            "one proof in a list",
            with(credential(), json!({ "proof": [one] })),
            "proof_set_unsupported",
        ),
        c(
            "proof chain",
            with(
                credential(),
                json!({ "proof": [one, with(one.clone(), json!({ "previousProof": "urn:x:y" }))] }),
            ),
            "proof_chain_unsupported",
        ),
        c(
            "a previous proof",
            proven(json!({ "previousProof": "urn:x:y" })),
            "proof_chain_unsupported",
        ),
        c(
            "proof a text",
            with(credential(), json!({ "proof": "x" })),
            "proof_member_invalid",
        ),
        c(
            "proof of another type",
            proven(json!({ "type": "Ed25519Signature2020" })),
            "proof_member_invalid",
        ),
        c(
            "proof without type",
            proven(json!({ "type": null })),
            "proof_member_invalid",
        ),
        c(
            "proof without purpose",
            proven(json!({ "proofPurpose": null })),
            "proof_member_invalid",
        ),
        c(
            "proof without method",
            proven(json!({ "verificationMethod": null })),
            "proof_member_invalid",
        ),
        c(
            "created no time",
            proven(json!({ "created": "now" })),
            "proof_member_invalid",
        ),
        c(
            "domain a number",
            proven(json!({ "domain": 1 })),
            "proof_member_invalid",
        ),
        c(
            "relative proof id",
            proven(json!({ "id": "p" })),
            "proof_member_invalid",
        ),
        c(
            "signature in another base",
            proven(json!({ "proofValue": "uAAAA" })),
            "proof_member_invalid",
        ),
        c(
            "short signature",
            proven(json!({ "proofValue": "z1111" })),
            "proof_member_invalid",
        ),
        c(
            "endless signature",
            proven(json!({ "proofValue": format!("z{}", "2".repeat(100_000)) })),
            "proof_member_invalid",
        ),
        c(
            "unknown member of the proof",
            proven(json!({ "jws": "x" })),
            "proof_member_unknown",
        ),
        c(
            "another suite",
            proven(json!({ "cryptosuite": "eddsa-rdfc-2022" })),
            "cryptosuite_unsupported",
        ),
        c(
            "no suite",
            proven(json!({ "cryptosuite": "none" })),
            "cryptosuite_unsupported",
        ),
        c(
            "another purpose",
            proven(json!({ "proofPurpose": "authentication" })),
            "proof_purpose_unexpected",
        ),
        c(
            "fewer contexts in the proof",
            forged(
                &with(
                    credential(),
                    json!({ "@context": [CREDENTIALS_V2, DATA_INTEGRITY_V2] }),
                ),
                &issuer(),
                json!({ "@context": [CREDENTIALS_V2] }),
            ),
            "proof_context_mismatch",
        ),
        c(
            "method without fragment",
            proven(json!({ "verificationMethod": did(&issuer()) })),
            "did_malformed",
        ),
        c(
            "method a key id",
            proven(json!({ "verificationMethod": "key-1" })),
            "did_malformed",
        ),
        c(
            "another DID method",
            signed_by("did:example:clinic#k"),
            "did_method_unsupported",
        ),
        c(
            "key that is none",
            signed_by("did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc#k"),
            "did_key_invalid",
        ),
        c(
            "unknown did:web",
            signed_by("did:web:nobody.example#k"),
            "did_unresolved",
        ),
        c(
            "another key of the DID",
            proven(json!({ "verificationMethod": format!("{}#k", did(&issuer())) })),
            "verification_method_unknown",
        ),
        c(
            "signed by another issuer",
            forged(&credential(), &other, json!({})),
            "controller_mismatch",
        ),
        c(
            "P-256 key",
            forged(
                &with(credential(), json!({ "issuer": did(&es256) })),
                &es256,
                json!({}),
            ),
            "key_kind_unexpected",
        ),
        c(
            "signed by another key",
            forged(
                &credential(),
                &other,
                json!({ "verificationMethod": method(&issuer()) }),
            ),
            "signature_invalid",
        ),
        c(
            "altered",
            with(
                signed(json!({})),
                json!({ "/credentialSubject/name": "Somebody Else" }),
            ),
            "signature_invalid",
        ),
        c(
            "created in the future",
            proven(json!({ "created": "2025-10-09T08:54:21Z" })),
            "proof_in_future",
        ),
        c(
            "proof expired",
            proven(json!({ "expires": NOW })),
            "proof_expired",
        ),
        c(
            "not yet valid",
            signed(json!({ "validFrom": "2025-10-09T08:54:21Z" })),
            "not_yet_valid",
        ),
        c(
            "expired",
            signed(json!({ "validUntil": "2025-10-09T08:53:19Z" })),
            "expired",
        ),
        web(
            "key not meant for credentials",
            json!({}),
            json!({ "assertionMethod": null }),
            json!({}),
            "verification_method_purpose",
        ),
        web(
            "key of somebody else",
            json!({ "controller": "did:web:other.example" }),
            json!({}),
            json!({}),
            "verification_method_unknown",
        ),
        web(
            "signed after the key's end",
            json!({ "expires": NOW }),
            json!({}),
            json!({}),
            "key_expired",
        ),
        web(
            "key with an end, proof without a time",
            json!({ "expires": "2099-01-01T00:00:00Z" }),
            json!({}),
            json!({ "created": null }),
            "key_time_unknown",
        ),
        web(
            "key revoked",
            json!({ "revoked": NOW }),
            json!({}),
            json!({ "created": "2024-01-01T00:00:00Z" }),
            "key_revoked",
        ),
        web(
            "key of an unknown type",
            json!({ "type": "JsonWebKey2077" }),
            json!({}),
            json!({}),
            "verification_method_unknown",
        ),
        p("a credential", signed(json!({})), "type_unexpected"),
        p(
            "another challenge",
            shown(json!({}), json!({ "challenge": "c-2" })),
            "challenge_mismatch",
        ),
        p(
            "no challenge",
            shown(json!({}), json!({ "challenge": null })),
            "challenge_mismatch",
        ),
        p(
            "another domain",
            shown(json!({}), json!({ "domain": "https://w.example" })),
            "domain_mismatch",
        ),
        p(
            "no domain",
            shown(json!({}), json!({ "domain": null })),
            "domain_mismatch",
        ),
        p(
            "shown for another purpose",
            shown(json!({}), json!({ "proofPurpose": "assertionMethod" })),
            "proof_purpose_unexpected",
        ),
        p(
            "another holder",
            shown(json!({ "holder": did(&issuer()) }), json!({})),
            "controller_mismatch",
        ),
        p(
            "no credential",
            shown(json!({ "verifiableCredential": null }), json!({})),
            "member_invalid",
        ),
        p(
            "an enveloped credential",
            shown(
                json!({ "verifiableCredential": "data:application/vc+jwt,x" }),
                json!({}),
            ),
            "member_invalid",
        ),
        p(
            "33 credentials",
            shown(
                json!({ "verifiableCredential": vec![signed(json!({})); 33] }),
                json!({}),
            ),
            "member_invalid",
        ),
        p(
            "altered credential",
            shown(
                json!({ "verifiableCredential": [with(signed(json!({})), json!({ "name": "x" }))] }),
                json!({}),
            ),
            "signature_invalid",
        ),
        p(
            "expired credential",
            shown(
                json!({ "verifiableCredential": [signed(json!({ "validUntil": "2025-10-09T08:53:19Z" }))] }),
                json!({}),
            ),
            "expired",
        ),
        p(
            "somebody else's credential",
            shown(
                json!({ "verifiableCredential": [signed(json!({ "credentialSubject": { "id": "did:example:b", "name": "x" } }))] }),
                json!({}),
            ),
            "holder_not_subject",
        ),
        p(
            "credential about nobody",
            shown(
                json!({ "verifiableCredential": [signed(json!({ "credentialSubject": { "name": "x" } }))] }),
                json!({}),
            ),
            "holder_not_subject",
        ),
        p(
            "credential swapped",
            with(
                shown(json!({}), json!({})),
                json!({ "verifiableCredential": [signed(json!({ "name": "x" }))] }),
            ),
            "signature_invalid",
        ),
        p(
            "undefined term inside",
            shown(
                json!({ "verifiableCredential": [signed(json!({ "lot": 1 }))] }),
                json!({}),
            ),
            "term_undefined",
        ),
    ]
}

fn signed_by(method: &str) -> Value {
    let did = method.split('#').next().unwrap();
    forged(
        &with(credential(), json!({ "issuer": did })),
        &issuer(),
        json!({ "verificationMethod": method }),
    )
}

#[test]
fn vectors() {
    let mut accept = accepted();
    for vector in &mut accept {
        run(vector).unwrap_or_else(|code| panic!("{}: {code}", vector["name"]));
    }
    let mut reject = Vec::new();
    for (mut vector, code) in rejected() {
        assert_eq!(
            run(&vector).err().as_deref(),
            Some(code),
            "{}",
            vector["name"]
        );
        vector["code"] = code.into();
        reject.push(vector);
    }
    frozen::frozen(
        "data-integrity.json",
        &json!({ "accept": accept, "reject": reject }),
    );
}

#[test]
fn what_would_be_refused_is_not_signed() {
    let contexts = Contexts::default();
    let by = method(&issuer());
    let sign = |document: Value, method: &str, key: &SigningKey| {
        let Value::Object(document) = document else {
            panic!("an object")
        };
        let options = ProofOptions::new(method, AT);
        sign_credential(document, &EddsaJcs2022, &contexts, &options, key)
            .map_err(|error| error.code())
    };
    let good = sign(credential(), &by, &issuer()).unwrap();
    assert_eq!(
        Value::Object(good.clone()),
        signed(json!({})),
        "as the forger does it"
    );
    for (changes, code) in [
        (json!({ "lot_number": 1 }), "term_undefined"),
        (
            json!({ "@context": [CREDENTIALS_V2, "https://evil.example"] }),
            "context_unknown",
        ),
        (json!({ "issuer": did(&holder()) }), "controller_mismatch"),
        (
            json!({ "credentialSubject": { "name": 1e300 } }),
            "number_not_exact",
        ),
        (json!({ "credentialSubject": nested(40) }), "too_deep"),
        (
            json!({ "credentialSubject": { "name": "x".repeat(DOCUMENT_MAX_BYTES) } }),
            "too_large",
        ),
        (json!({ "proof": good["proof"] }), "proof_set_unsupported"),
    ] {
        assert_eq!(sign(with(credential(), changes), &by, &issuer()), Err(code));
    }
    let es256 = key(Algorithm::Es256, 1);
    let own = with(credential(), json!({ "issuer": did(&es256) }));
    assert_eq!(
        sign(own, &method(&es256), &es256),
        Err("key_kind_unexpected")
    );
    assert_eq!(sign(credential(), "key-1", &issuer()), Err("did_malformed"));
}

#[test]
fn size_is_checked_before_anything_else() {
    assert_eq!(
        parse(&vec![b'['; DOCUMENT_MAX_BYTES + 1])
            .unwrap_err()
            .code(),
        "too_large"
    );
    let many = signed(json!({ "credentialSubject": { "name": vec![1; VALUES_MAX] } }));
    assert_eq!(run(&vector("many", many)).unwrap_err(), "too_large");
}

fn others(folder: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var("TEGATA_VECTORS").unwrap_or_else(|_| "../shared/vectors".into());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
        .join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("SKIPPED: {} is missing", path.display());
    None
}

#[test]
fn rfc_8785() {
    let Some(path) = others("jcs") else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(path.join("input")).unwrap() {
        let name = entry.unwrap().file_name();
        let input: Value =
            serde_json::from_slice(&std::fs::read(path.join("input").join(&name)).unwrap())
                .unwrap();
        let output = std::fs::read_to_string(path.join("output").join(&name)).unwrap();
        assert_eq!(
            String::from_utf8(canonical(&input)).unwrap(),
            output.trim_end(),
            "{name:?}"
        );
        count += 1;
    }
    assert!(count >= 6);
}

#[test]
fn w3c_eddsa_jcs_2022() {
    let Some(path) = others("w3c-vc-di-eddsa/eddsa-jcs-2022") else {
        return;
    };
    let read = |name: &str| {
        std::fs::read_to_string(path.join(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    let document: Value = serde_json::from_str(&read("signedJCS.json")).unwrap();
    let (object, proof) = (
        document.as_object().unwrap(),
        document["proof"].as_object().unwrap(),
    );
    assert_eq!(
        hex::encode(EddsaJcs2022.hash(object, proof).unwrap()),
        read("combinedHashJCS.txt")
    );

    // Their issuer is an https URL and the key a did:key; all else must hold, and then what they signed does.
    let contexts = Contexts::default()
        .with(
            "https://www.w3.org/ns/credentials/examples/v2",
            r#"{"@context":{"@vocab":"https://www.w3.org/ns/credentials/examples#"}}"#,
        )
        .unwrap();
    let verifier = Verifier {
        suites: &[&EddsaJcs2022],
        contexts: &contexts,
        resolve: &|did| did.own_document().map(Arc::new),
        at: AT,
    };
    assert_eq!(
        verifier
            .credential(document.to_string().as_bytes())
            .unwrap_err()
            .code(),
        "controller_mismatch"
    );
    let method = document["proof"]["verificationMethod"].as_str().unwrap();
    let known = Did::of_url(method).unwrap().own_document().unwrap();
    let signature = bs58::decode(&document["proof"]["proofValue"].as_str().unwrap()[1..])
        .into_vec()
        .unwrap();
    assert_eq!(hex::encode(&signature), read("sigHexJCS.txt"));
    let hash = EddsaJcs2022.hash(object, proof).unwrap();
    known.methods()[0]
        .key()
        .verify(&hash, &signature.try_into().unwrap())
        .unwrap();
}

#[test]
fn w3c_proof_sets_and_chains_are_refused() {
    let Some(path) = others("w3c-vc-di-eddsa/proof-set-chain") else {
        return;
    };
    let contexts = Contexts::default()
        .with(
            "https://www.w3.org/ns/credentials/examples/v2",
            r#"{"@context":{"@vocab":"https://www.w3.org/ns/credentials/examples#"}}"#,
        )
        .unwrap();
    let verifier = Verifier {
        suites: &[&EddsaJcs2022],
        contexts: &contexts,
        resolve: &|did| did.own_document().map(Arc::new),
        at: AT,
    };
    for (file, code) in [
        ("signedProofSet2.json", "proof_set_unsupported"),
        ("signedProofChain1.json", "proof_chain_unsupported"),
        ("signedProofChain2.json", "proof_chain_unsupported"),
    ] {
        let text = std::fs::read(path.join(file)).unwrap();
        assert_eq!(
            verifier.credential(&text).unwrap_err().code(),
            code,
            "{file}"
        );
    }
}
