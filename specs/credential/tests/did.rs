//! Replays `vectors/did.json`: DIDs that carry a key, documents, and keys in and out of their time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "common/frozen.rs"]
mod frozen;

use common::key;
use serde_json::{Value, json};
use tegata_credential::did::*;
use tegata_credential::keys::Algorithm;

const WEB: &str = "did:web:clinic.example";
const AT: i64 = 1_760_000_000;

fn ed25519() -> String {
    to_multikey(&key(Algorithm::EdDsa, 1).public_key())
}

fn document(changes: &[(&str, Value)], method_changes: &[(&str, Value)]) -> Value {
    let mut method = json!({ "id": "#k", "type": "Multikey", "controller": WEB, "publicKeyMultibase": ed25519() });
    for (name, value) in method_changes {
        method[*name] = value.clone();
    }
    let mut document = json!({
        "@context": ["https://www.w3.org/ns/did/v1"], "id": WEB,
        "verificationMethod": [method], "assertionMethod": ["#k"],
    });
    for (name, value) in changes {
        document[*name] = value.clone();
    }
    document
}

/// What a reader makes of a vector: the key it names, as a JWK.
fn run(vector: &Value) -> Result<Value, String> {
    let run = || -> Result<Value, DidError> {
        let url = vector["url"].as_str().unwrap();
        let did = Did::of_url(url)?;
        let document = resolve(&did, |did| match vector.get("document") {
            Some(document) => DidDocument::parse(document.to_string().as_bytes()),
            None => Err(DidError::Unresolved(did.to_string())),
        })?;
        let method = document.method_for(
            url,
            Relationship::Assertion,
            vector["signed_at"].as_i64(),
            AT,
        )?;
        Ok(method.key().to_jwk())
    };
    run().map_err(|error| error.code().to_owned())
}

fn of(name: &str, url: &str) -> Value {
    json!({ "name": name, "url": url, "signed_at": AT })
}
fn web(name: &str, document: Value) -> Value {
    json!({ "name": name, "url": format!("{WEB}#k"), "signed_at": AT, "document": document })
}

#[test]
fn vectors() {
    let p256 = key(Algorithm::Es256, 2).public_key();
    let jwk = Did::jwk(&p256);
    // The examples of the did:key and did:jwk specifications.
    let spec_ed25519 = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    let spec_p256 = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
    let spec_jwk = "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9";
    let own = |did: &str| format!("{did}#{}", did.rsplit(':').next().unwrap());
    let mut accept = vec![
        of("did:key, Ed25519", &own(spec_ed25519)),
        of("did:key, P-256", &own(spec_p256)),
        of("did:jwk, P-256", &format!("{spec_jwk}#0")),
        of("did:jwk of ours", &format!("{jwk}#0")),
        web("did:web, Multikey", document(&[], &[])),
        web(
            "absolute references",
            document(
                &[("assertionMethod", json!([format!("{WEB}#k")]))],
                &[("id", json!(format!("{WEB}#k")))],
            ),
        ),
        web(
            "JsonWebKey",
            document(
                &[],
                &[
                    ("type", json!("JsonWebKey")),
                    ("publicKeyJwk", p256.to_jwk()),
                ],
            ),
        ),
        web(
            "a key inside the relationship",
            document(
                &[
                    ("verificationMethod", json!([])),
                    (
                        "assertionMethod",
                        json!([{ "id": "#k", "type": "Multikey", "controller": WEB, "publicKeyMultibase": ed25519() }]),
                    ),
                ],
                &[],
            ),
        ),
        web("keys that are not ours beside it", {
            let mut out = document(&[], &[]);
            let methods = out["verificationMethod"].as_array_mut().unwrap();
            methods.push(json!({ "id": "#x", "type": "X25519KeyAgreementKey2020", "controller": WEB, "publicKeyMultibase": "z6LS" }));
            methods.push(json!({ "id": "#s", "type": "JsonWebKey", "controller": WEB, "publicKeyJwk": { "kty": "EC", "crv": "secp256k1" } }));
            methods.push(json!({ "id": "#q", "type": "Multikey", "controller": WEB, "publicKeyMultibase": "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme" }));
            out
        }),
        web(
            "before its end",
            document(&[], &[("expires", json!("2025-10-09T08:53:21Z"))]),
        ),
    ];
    for vector in &mut accept {
        vector["jwk"] = run(vector).unwrap_or_else(|code| panic!("{}: {code}", vector["name"]));
    }
    let other = document(&[("id", json!("did:web:other.example"))], &[]);
    let twice = {
        let mut out = document(&[], &[]);
        let method = out["verificationMethod"][0].clone();
        out["verificationMethod"]
            .as_array_mut()
            .unwrap()
            .push(method);
        out
    };
    let mut late = web(
        "signed without a time",
        document(&[], &[("expires", json!("2099-01-01T00:00:00Z"))]),
    );
    late["signed_at"] = Value::Null;
    let rejected = [
        (of("no DID", "https://a.example#k"), "did_malformed"),
        (of("no fragment", spec_ed25519), "did_malformed"),
        (
            of("two fragments", &format!("{spec_ed25519}#a#b")),
            "did_malformed",
        ),
        (of("empty", "did:key:#k"), "did_malformed"),
        (of("path", "did:web:a.example/x#k"), "did_malformed"),
        (
            of("host with a slash", "did:web:a.example%2F..#k"),
            "did_malformed",
        ),
        (
            of("user in the host", "did:web:user@a.example#k"),
            "did_malformed",
        ),
        (of("way up", "did:web:a.example:..#k"), "did_malformed"),
        (
            of("another method", "did:ion:abc#k"),
            "did_method_unsupported",
        ),
        (of("another base", "did:key:uAAAA#k"), "did_key_invalid"),
        (
            of(
                "X25519",
                &own("did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc"),
            ),
            "did_key_invalid",
        ),
        (
            of(
                "one digit altered",
                &own("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2"),
            ),
            "did_key_invalid",
        ),
        (
            of("endless", &format!("did:key:z{}#k", "2".repeat(2_000))),
            "did_key_invalid",
        ),
        (
            of("too long", &format!("did:key:z{}#k", "2".repeat(3_000))),
            "did_malformed",
        ),
        (
            of("did:jwk that is no JSON", "did:jwk:AAAA#0"),
            "did_key_invalid",
        ),
        (
            of(
                "did:jwk with a private key",
                &format!(
                    "did:jwk:{}#0",
                    common::b64(
                        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}"#
                    )
                ),
            ),
            "did_key_invalid",
        ),
        (
            of(
                "another key of the same DID",
                &format!("{spec_ed25519}#z6Mk"),
            ),
            "verification_method_unknown",
        ),
        (
            of("nobody answers for it", &format!("{WEB}#k")),
            "did_unresolved",
        ),
        (web("document of another", other), "did_document_mismatch"),
        (web("document a list", json!([])), "did_document_malformed"),
        (
            web("document without id", document(&[("id", json!(7))], &[])),
            "did_document_malformed",
        ),
        (
            web(
                "methods no list",
                document(&[("verificationMethod", json!({}))], &[]),
            ),
            "did_document_malformed",
        ),
        (
            web(
                "129 methods",
                document(
                    &[(
                        "verificationMethod",
                        json!(vec![json!({ "type": "x" }); 129]),
                    )],
                    &[],
                ),
            ),
            "did_document_malformed",
        ),
        (
            web("method without type", document(&[], &[("type", json!(1))])),
            "did_document_malformed",
        ),
        (
            web("the same key id twice", twice),
            "did_document_malformed",
        ),
        (
            web("no key", document(&[], &[("publicKeyMultibase", json!(1))])),
            "did_document_malformed",
        ),
        (
            web(
                "broken key",
                document(&[], &[("publicKeyMultibase", json!("z6Mkk"))]),
            ),
            "did_key_invalid",
        ),
        (
            web(
                "broken JWK",
                document(
                    &[],
                    &[
                        ("type", json!("JsonWebKey")),
                        (
                            "publicKeyJwk",
                            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
                        ),
                    ],
                ),
            ),
            "did_key_invalid",
        ),
        (
            web(
                "end is no time",
                document(&[], &[("expires", json!("soon"))]),
            ),
            "did_document_malformed",
        ),
        (
            web("no such method", document(&[], &[("id", json!("#other"))])),
            "verification_method_unknown",
        ),
        (
            web(
                "another controller",
                document(&[], &[("controller", json!("did:web:other.example"))]),
            ),
            "verification_method_unknown",
        ),
        (
            web(
                "not for credentials",
                document(&[("assertionMethod", json!([]))], &[]),
            ),
            "verification_method_purpose",
        ),
        (
            web(
                "after its end",
                document(&[], &[("expires", json!("2025-10-09T08:53:20Z"))]),
            ),
            "key_expired",
        ),
        (
            web(
                "revoked",
                document(&[], &[("revoked", json!("2025-10-09T08:53:20Z"))]),
            ),
            "key_revoked",
        ),
        (late, "key_time_unknown"),
    ];
    let mut reject = Vec::new();
    for (mut vector, code) in rejected {
        assert_eq!(
            run(&vector).err().as_deref(),
            Some(code),
            "{}",
            vector["name"]
        );
        vector["code"] = code.into();
        reject.push(vector);
    }
    frozen::frozen("did.json", &json!({ "accept": accept, "reject": reject }));
}

#[test]
fn what_was_signed_before_a_rotation_still_verifies() {
    let did = Did::parse(WEB).unwrap();
    let (old, new) = (
        key(Algorithm::EdDsa, 1).public_key(),
        key(Algorithm::EdDsa, 2).public_key(),
    );
    let rotated = 1_760_000_000;
    let keys = [
        DidKey {
            key: old,
            from: Some(1_700_000_000),
            until: Some(rotated),
        },
        DidKey {
            key: new,
            from: Some(rotated),
            until: None,
        },
    ];
    let registry = DidDocument::for_organisation(&did, &keys);
    let code = |document: &DidDocument, key: &tegata_credential::keys::PublicKey, signed_at| {
        let url = format!("{WEB}#{}", key.key_id());
        let found = document.method_for(
            &url,
            Relationship::Assertion,
            Some(signed_at),
            rotated + 1_000,
        );
        found
            .map(|method| assert_eq!(method.key(), key))
            .map_err(|error| error.code())
    };
    assert_eq!(code(&registry, &old, rotated - 1), Ok(()));
    assert_eq!(code(&registry, &old, rotated), Err("key_expired"));
    assert_eq!(
        code(&registry, &old, 1_699_999_999),
        Err("key_not_yet_valid")
    );
    assert_eq!(code(&registry, &new, rotated), Ok(()));
    assert_eq!(code(&registry, &new, rotated - 1), Err("key_not_yet_valid"));

    // As others read it from the web server: the same, but for a key's beginning, which the standard does not have.
    let published = DidDocument::parse(registry.to_json().to_string().as_bytes()).unwrap();
    assert_eq!(code(&published, &old, rotated - 1), Ok(()));
    assert_eq!(code(&published, &old, rotated), Err("key_expired"));
    assert_eq!(code(&published, &new, rotated), Ok(()));
}

#[test]
fn documents_are_bounded() {
    assert_eq!(
        DidDocument::parse(&vec![b' '; DOCUMENT_MAX_BYTES + 1]).unwrap_err(),
        DidError::Document("size")
    );
}
