//! Lists of trusted keys, in all their forms.

use super::{AT, DAY_S, authority_certificate, authority_key, certificate, issuer, own_id, signer};
use crate::common::{self, key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tegata_credential::keys::Algorithm;
use tegata_credential::trust_list::{TrustList, TrustedKey, certificate_key_id};
use tegata_credential::x509::{self, Certificate, Subject};

const ISSUER: &str = "https://clinic.example/shc";

#[test]
fn lists_of_keys_in_all_their_forms() {
    let certificate = signer();
    let jwk = issuer().public_key().to_jwk();
    let own = own_id();
    let thumbprint = issuer().key_id();
    let kid = STANDARD.encode(own);
    let mut with_chain = jwk.clone();
    with_chain["x5c"] = json!([certificate.to_base64()]);
    let mut named = jwk.clone();
    named["kid"] = kid.clone().into();
    let did = "did:web:clinic.example";
    let document = json!({ "id": did, "verificationMethod": [
        { "id": "#a", "type": "JsonWebKey", "controller": did, "publicKeyJwk": jwk },
        { "id": "did:web:clinic.example#b", "type": "Multikey", "controller": did, "publicKeyMultibase": "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" },
        { "id": "#c", "type": "JsonWebKey", "controller": did, "publicKeyJwk": key(Algorithm::Es256, 7).public_key().to_jwk() },
    ], "assertionMethod": ["did:web:clinic.example#a", "#b"] });
    type List = (&'static str, Vec<u8>, usize, Option<[u8; 8]>);
    let lists: Vec<List> = vec![
        ("DER", certificate.der().to_vec(), 1, Some(own)),
        ("PEM", certificate.to_pem().into_bytes(), 1, Some(own)),
        ("PEM of two", format!("{}\n{}", certificate.to_pem(), certificate_2().to_pem()).into_bytes(), 2, Some(own)),
        ("JWK", jwk.to_string().into_bytes(), 1, None),
        ("JWK Set", json!({ "keys": [jwk, { "kty": "oct", "k": "AA" }, { "kty": "EC", "crv": "P-384" }] }).to_string().into_bytes(), 1, None),
        ("JWK Set of an issuer", json!({ "issuer": ISSUER, "keys": [jwk] }).to_string().into_bytes(), 1, None),
        ("JWK with x5c", with_chain.to_string().into_bytes(), 1, Some(own)),
        ("JWK with a certificate's key id", named.to_string().into_bytes(), 1, Some(own)),
        ("map of issuers", json!({ "did:web:a": [jwk], "did:web:b": { "keys": [jwk] } }).to_string().into_bytes(), 2, None),
        ("DID document", document.to_string().into_bytes(), 2, None),
        ("list of certificates", json!({ "certificates": [{ "kid": "believed by nobody", "rawData": certificate.to_base64() }] }).to_string().into_bytes(), 1, Some(own)),
        ("public key", public_key_pem().into_bytes(), 1, None),
    ];
    for (name, bytes, count, id) in lists {
        let list = TrustList::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(list.keys().len(), count, "{name}");
        assert!(list.by_id(thumbprint.as_bytes()).count() >= 1, "{name}");
        if let Some(id) = id {
            assert_eq!(list.by_id(&id).count(), 1, "{name}");
        }
    }
    for (member, time, issued_at, at, counts) in [
        ("expires", AT, AT - 1, AT + DAY_S, true),
        ("expires", AT, AT, AT + DAY_S, false),
        ("revoked", AT, AT - DAY_S, AT - 1, true),
        ("revoked", AT, AT - DAY_S, AT, false),
    ] {
        let mut document = document.clone();
        document["verificationMethod"][0][member] = json!("2025-10-09T08:53:20Z");
        assert_eq!(time, 1_760_000_000);
        let list = TrustList::parse(document.to_string().as_bytes()).unwrap();
        let result = list.keys()[0].check_time(issued_at, at);
        assert_eq!(result.is_ok(), counts, "{member}");
    }
    let document = TrustList::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(document.by_id(b"did:web:clinic.example#b").count(), 1);
    let of_did = |key: &TrustedKey| key.signs_for(did) && !key.signs_for(ISSUER);
    assert!(document.keys().iter().all(of_did));

    let mut private = jwk.clone();
    private["d"] = "AA".into();
    let mut mismatched = key(Algorithm::Es256, 2).public_key().to_jwk();
    mismatched["x5c"] = json!([certificate.to_base64()]);
    for (bytes, code) in [
        (b"".to_vec(), "trust_list_malformed"),
        (b"just text".to_vec(), "trust_list_malformed"),
        (b"{".to_vec(), "trust_list_malformed"),
        (
            b"{\"keys\":[],\"keys\":[]}".to_vec(),
            "trust_list_name_duplicate",
        ),
        (
            format!("{{\"keys\":{}{}}}", "[".repeat(40), "]".repeat(40)).into_bytes(),
            "trust_list_too_deep",
        ),
        (b"{\"keys\":[]}".to_vec(), "trust_list_empty"),
        (b"{}".to_vec(), "trust_list_empty"),
        (b"{\"did:web:a\":7}".to_vec(), "trust_list_malformed"),
        (private.to_string().into_bytes(), "trust_list_key_invalid"),
        (
            mismatched.to_string().into_bytes(),
            "trust_list_key_invalid",
        ),
        (
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }] })
                .to_string()
                .into_bytes(),
            "trust_list_key_invalid",
        ),
        (
            json!({ "keys": [{ "kty": "RSA", "n": "AQAB", "e": "AQAB" }] })
                .to_string()
                .into_bytes(),
            "trust_list_key_invalid",
        ),
        (vec![0x30, 0x03, 1, 2, 3], "trust_list_certificate_invalid"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec(),
            "trust_list_certificate_invalid",
        ),
        (
            json!({ "certificates": [{ "rawData": "!" }] })
                .to_string()
                .into_bytes(),
            "trust_list_certificate_invalid",
        ),
    ] {
        let error = TrustList::parse(&bytes).unwrap_err();
        assert_eq!(error.code(), code, "{}", String::from_utf8_lossy(&bytes));
    }
}

/// An authority's certificate leads to others', and signs nothing else.
#[test]
fn a_key_that_signs_certificates_signs_nothing_else() {
    let authority = authority_certificate();
    let list = TrustList::parse(authority.to_pem().as_bytes()).unwrap();
    assert_eq!(list.keys().len(), 1);
    let id = certificate_key_id(&authority);
    assert_eq!(list.by_id(&id).count(), 0, "it signs no credentials");
}

#[test]
fn a_certificate_signs_for_whom_it_names() {
    let subject = Subject {
        common_name: "Clinic",
        organisation: "Wakaba City",
        country: "JP",
        dns_names: &["clinic.example"],
        uris: &[],
    };
    let (own, root) = (issuer().public_key(), authority_certificate());
    let rng = &mut common::FixedBytes(1);
    let made = x509::issue(&subject, &own, &root, &authority_key(), AT..=AT, rng).unwrap();
    let key = TrustedKey::from_certificate(made).unwrap();
    assert!(key.signs_for("https://clinic.example") && key.signs_for(ISSUER));
    assert!(
        !key.signs_for("https://city.example"),
        "it names clinic.example"
    );
}

fn certificate_2() -> Certificate {
    certificate(2, AT..=AT + 1)
}

fn public_key_pem() -> String {
    // SubjectPublicKeyInfo of a P-256 key: a fixed head and the uncompressed point.
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let jwk = issuer().public_key().to_jwk();
    let part = |name: &str| common::unb64(jwk[name].as_str().unwrap());
    let der = [head, vec![4], part("x"), part("y")].concat();
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .map(|at| &body[at..body.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}
