//! SMART Health Cards.

use super::{AT, DAY_S, freeze, issuer};
use crate::common::{self, key};
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::Write as _;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::smart_health_card::{self as shc, ShcIssuance, SmartHealthCard};
use tegata_credential::trust_list::TrustList;

const ISSUER: &str = "https://clinic.example/shc";

fn bundle() -> Value {
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Wakaba", "given": ["Hana"] }], "birthDate": "2024-10-12" });
    let shot = json!({ "resourceType": "Immunization", "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }] },
        "occurrenceDateTime": "2025-10-01", "lotNumber": "MR-0001" });
    shc::bundle(&patient, &[shot]).unwrap()
}

fn card_issuance(bundle: &Value) -> ShcIssuance<'_> {
    ShcIssuance {
        issuer: ISSUER,
        issued_at: AT,
        expires_at: None,
        types: &[shc::TYPE_IMMUNIZATION],
        revocation_id: None,
        bundle,
    }
}

fn card_claims() -> Value {
    json!({ "iss": ISSUER, "nbf": AT, "vc": { "type": [shc::TYPE_HEALTH_CARD],
        "credentialSubject": { "fhirVersion": "4.0.1", "fhirBundle": bundle() } } })
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn card(header: &str, payload: &[u8], by: &SigningKey) -> String {
    let input = format!("{}.{}", common::b64(header), common::b64(payload));
    let signature = common::b64(by.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn card_header() -> Value {
    json!({ "alg": "ES256", "zip": "DEF", "kid": issuer().key_id() })
}

fn card_with(changes: &[(&str, Value)]) -> String {
    let mut claims = card_claims();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match claims.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
            object => object[name] = value.clone(),
        }
    }
    card(
        &card_header().to_string(),
        &raw_deflate(claims.to_string().as_bytes()),
        &issuer(),
    )
}

fn card_headed(name: &str, value: Value) -> String {
    let mut header = card_header();
    header[name] = value;
    card(
        &header.to_string(),
        &raw_deflate(card_claims().to_string().as_bytes()),
        &issuer(),
    )
}

fn shc_vector(name: &str, card: String) -> Value {
    let mut jwk = issuer().public_key().to_jwk();
    jwk["kid"] = issuer().key_id().into();
    let mut rotated = key(Algorithm::Es256, 2).public_key().to_jwk();
    rotated["exp"] = json!(AT - 1);
    let other = key(Algorithm::EdDsa, 3).public_key().to_jwk();
    let trust = json!({ ISSUER: { "keys": [jwk, rotated, other] } });
    json!({ "name": name, "trust": trust, "at": AT, "card": card })
}

fn run_shc(vector: &Value) -> Result<Value, String> {
    let trusted = TrustList::parse(vector["trust"].to_string().as_bytes()).unwrap();
    let text = vector["card"].as_str().unwrap();
    let card = match text.starts_with(shc::PREFIX) {
        true => shc::from_qr(text),
        false => Ok(text.to_owned()),
    };
    card.and_then(|card| SmartHealthCard::parse(&card))
        .and_then(|card| {
            let verified = card.verify(&trusted, vector["at"].as_i64().unwrap())?;
            Ok(verified.bundle().clone())
        })
        .map_err(|error| error.code().to_owned())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line per case")]
fn smart_health_card_vectors() {
    let v = shc_vector;
    let bundle = bundle();
    let full = ShcIssuance {
        expires_at: Some(AT + DAY_S),
        types: &[shc::TYPE_IMMUNIZATION, shc::TYPE_COVID_19],
        revocation_id: Some("rEvOkE-1"),
        ..card_issuance(&bundle)
    };
    let full = shc::issue(&full, &issuer()).unwrap();
    let plain = shc::issue(&card_issuance(&bundle), &issuer()).unwrap();
    let qr = shc::to_qr(&plain).unwrap();
    let (first, second) = qr["shc:/".len()..].split_at(400);
    let accepted = vec![
        v("a vaccination", plain.clone()),
        v("with exp, rid and further types", full),
        v("as a QR code", qr.clone()),
        v(
            "in two QR codes, the second first",
            format!("shc:/2/2/{second}\nshc:/1/2/{first}"),
        ),
        v(
            "nbf with a fraction",
            card_with(&[("/nbf", json!(AT as f64 + 0.75))]),
        ),
        v(
            "unknown claims",
            card_with(&[("/more", json!(1)), ("/vc/more", json!([]))]),
        ),
    ];
    let signed = |payload: &[u8]| card(&card_header().to_string(), payload, &issuer());
    let claims = card_claims().to_string();
    let deflated = raw_deflate(claims.as_bytes());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(claims.as_bytes()).unwrap();
    let zlib = zlib.finish().unwrap();
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let by_rotated = {
        let key = key(Algorithm::Es256, 2);
        let header = json!({ "alg": "ES256", "zip": "DEF", "kid": key.key_id() });
        card(&header.to_string(), &deflated, &key)
    };
    let eddsa_kid = key(Algorithm::EdDsa, 3).key_id();
    let unsigned = format!(
        "{}.{}.",
        common::b64(r#"{"alg":"none","zip":"DEF"}"#),
        common::b64(&deflated)
    );
    let parts: Vec<&str> = plain.split('.').collect();
    let rejected = vec![
        (v("empty", String::new()), "shc_malformed"),
        (
            v("two parts", format!("{}.{}", parts[0], parts[1])),
            "shc_malformed",
        ),
        (v("four parts", format!("{plain}.AA")), "shc_malformed"),
        (v("padding", plain.replacen('.', "=.", 1)), "shc_malformed"),
        (v("not digits", "shc:/abcd".into()), "shc_digits_invalid"),
        (
            v("a pair above 77", "shc:/7899".into()),
            "shc_digits_invalid",
        ),
        (
            v("an odd number of digits", "shc:/567".into()),
            "shc_digits_invalid",
        ),
        (
            v("one QR code of two", format!("shc:/1/2/{first}")),
            "shc_chunk_missing",
        ),
        (
            v(
                "the same QR code twice",
                format!("shc:/1/2/{first} shc:/1/2/{first}"),
            ),
            "shc_chunk_missing",
        ),
        (v("alg none", unsigned), "shc_alg_none"),
        (
            v(
                "alg NONE with a signature",
                card_headed("alg", json!("NONE")),
            ),
            "shc_alg_none",
        ),
        (
            v("alg HS256", card_headed("alg", json!("HS256"))),
            "shc_alg_unsupported",
        ),
        (
            v("alg EdDSA", card_headed("alg", json!("EdDSA"))),
            "shc_alg_unsupported",
        ),
        (
            v("alg PS256", card_headed("alg", json!("PS256"))),
            "shc_alg_unsupported",
        ),
        (
            v("no alg", card_headed("alg", Value::Null)),
            "shc_alg_unsupported",
        ),
        (
            v("crit", card_headed("crit", json!(["x"]))),
            "shc_crit_unsupported",
        ),
        (
            v("no zip", card_headed("zip", Value::Null)),
            "shc_zip_unexpected",
        ),
        (
            v("zip GZ", card_headed("zip", json!("GZ"))),
            "shc_zip_unexpected",
        ),
        (
            v("no kid", card_headed("kid", Value::Null)),
            "shc_key_id_missing",
        ),
        (
            v(
                "another kid, though a believed key signed",
                card_headed("kid", json!(key(Algorithm::Es256, 9).key_id())),
            ),
            "shc_key_unknown",
        ),
        (
            v(
                "kid of another believed key",
                card_headed("kid", json!(key(Algorithm::Es256, 2).key_id())),
            ),
            "shc_signature_invalid",
        ),
        (
            v(
                "kid of an Ed25519 key",
                card_headed("kid", json!(eddsa_kid)),
            ),
            "shc_alg_mismatch",
        ),
        (
            v("signed after the key's end", by_rotated),
            "shc_key_expired",
        ),
        (
            v(
                "signed by another",
                card(
                    &card_header().to_string(),
                    &deflated,
                    &key(Algorithm::Es256, 9),
                ),
            ),
            "shc_signature_invalid",
        ),
        (
            v(
                "a short signature",
                format!("{}.{}.AAAA", parts[0], parts[1]),
            ),
            "shc_signature_invalid",
        ),
        (
            v("not compressed", signed(claims.as_bytes())),
            "shc_compression_invalid",
        ),
        (
            v("zlib instead of raw deflate", signed(&zlib)),
            "shc_compression_invalid",
        ),
        (
            v(
                "compressed bytes cut off",
                signed(&deflated[..deflated.len() - 4]),
            ),
            "shc_compression_invalid",
        ),
        (
            v(
                "a bomb of 20 MB",
                signed(&raw_deflate(&vec![b' '; 20 << 20])),
            ),
            "shc_too_large",
        ),
        (
            v("payload no object", signed(&raw_deflate(b"[]"))),
            "shc_malformed",
        ),
        (
            v("payload no JSON", signed(&raw_deflate(b"{\"iss\":"))),
            "shc_malformed",
        ),
        (
            v(
                "a number too large for anything",
                signed(&raw_deflate(b"{\"nbf\":1e999}")),
            ),
            "shc_malformed",
        ),
        (
            v(
                "iss twice",
                signed(&raw_deflate(
                    claims
                        .replacen('{', "{\"iss\":\"https://x\",", 1)
                        .as_bytes(),
                )),
            ),
            "shc_name_duplicate",
        ),
        (
            v(
                "a member of the bundle twice",
                signed(&raw_deflate(
                    claims
                        .replacen("\"lotNumber\"", "\"lotNumber\":\"A\",\"lotNumber\"", 1)
                        .as_bytes(),
                )),
            ),
            "shc_name_duplicate",
        ),
        (
            v(
                "nested too deep",
                signed(&raw_deflate(format!("{{\"x\":{deep}}}").as_bytes())),
            ),
            "shc_too_deep",
        ),
        (
            v(
                "another issuer",
                card_with(&[("/iss", json!("https://other.example"))]),
            ),
            "shc_issuer_mismatch",
        ),
        (
            v(
                "iss with a slash at its end",
                card_with(&[("/iss", json!(format!("{ISSUER}/")))]),
            ),
            "shc_claim_invalid",
        ),
        (
            v(
                "iss over http",
                card_with(&[("/iss", json!("http://clinic.example/shc"))]),
            ),
            "shc_claim_invalid",
        ),
        (
            v("no nbf", card_with(&[("/nbf", Value::Null)])),
            "shc_claim_invalid",
        ),
        (
            v("nbf a text", card_with(&[("/nbf", json!("1760000000"))])),
            "shc_claim_invalid",
        ),
        (
            v("nbf beyond all years", card_with(&[("/nbf", json!(1e300))])),
            "shc_claim_invalid",
        ),
        (
            v("from the future", card_with(&[("/nbf", json!(AT + 61))])),
            "shc_not_yet_valid",
        ),
        (
            v("expires now", card_with(&[("/exp", json!(AT))])),
            "shc_expired",
        ),
        (
            v("no vc", card_with(&[("/vc", Value::Null)])),
            "shc_claim_invalid",
        ),
        (
            v(
                "not typed as a health card",
                card_with(&[("/vc/type", json!([shc::TYPE_IMMUNIZATION]))]),
            ),
            "shc_claim_invalid",
        ),
        (
            v(
                "a type that is no text",
                card_with(&[("/vc/type", json!([shc::TYPE_HEALTH_CARD, 1]))]),
            ),
            "shc_claim_invalid",
        ),
        (
            v(
                "rid too long",
                card_with(&[("/vc/rid", json!("x".repeat(25)))]),
            ),
            "shc_claim_invalid",
        ),
        (
            v(
                "no version of FHIR",
                card_with(&[("/vc/credentialSubject/fhirVersion", Value::Null)]),
            ),
            "shc_claim_invalid",
        ),
        (
            v(
                "no bundle",
                card_with(&[("/vc/credentialSubject/fhirBundle", json!({}))]),
            ),
            "shc_bundle_invalid",
        ),
        (
            v(
                "an empty bundle",
                card_with(&[("/vc/credentialSubject/fhirBundle/entry", json!([]))]),
            ),
            "shc_bundle_invalid",
        ),
        (
            v(
                "an entry without resource",
                card_with(&[(
                    "/vc/credentialSubject/fhirBundle/entry/0",
                    json!({ "fullUrl": "resource:0" }),
                )]),
            ),
            "shc_bundle_invalid",
        ),
    ];
    freeze(
        "smart-health-card.json",
        "bundle",
        run_shc,
        accepted,
        rejected,
    );
}

/// The example that the framework itself prints, with the keys that its site publishes.
#[test]
fn example_of_the_framework() {
    let text = include_str!("../../vectors/standards.json");
    let standards: Value = serde_json::from_str(text).unwrap();
    for vector in standards["smart_health_card"].as_array().unwrap() {
        let bundle = run_shc(vector).unwrap();
        assert_eq!(
            bundle["entry"][1]["resource"]["lotNumber"],
            vector["lot_number"]
        );
        let mut unknown = vector.clone();
        unknown["trust"] = issuer().public_key().to_jwk();
        assert_eq!(run_shc(&unknown).unwrap_err(), "shc_key_unknown");
    }
}

#[test]
fn what_is_not_issued() {
    let no_payload = json!({});
    let bundle = bundle();
    let issuance = ShcIssuance {
        issuer: ISSUER,
        ..card_issuance(&bundle)
    };
    let code = |issuance: ShcIssuance<'_>| shc::issue(&issuance, &issuer()).unwrap_err().code();
    assert_eq!(
        shc::issue(&issuance, &key(Algorithm::EdDsa, 1))
            .unwrap_err()
            .code(),
        "shc_alg_unsupported"
    );
    for wrong in [
        "http://clinic.example",
        "https://clinic.example/",
        "https://",
        "clinic",
    ] {
        assert_eq!(
            code(ShcIssuance {
                issuer: wrong,
                ..issuance
            }),
            "shc_issuer_invalid"
        );
    }
    assert_eq!(
        code(ShcIssuance {
            expires_at: Some(AT),
            ..issuance
        }),
        "shc_expiry_before_issue"
    );
    assert_eq!(
        code(ShcIssuance {
            revocation_id: Some("a.b"),
            ..issuance
        }),
        "shc_revocation_id_invalid"
    );
    assert_eq!(
        code(ShcIssuance {
            bundle: &no_payload,
            ..issuance
        }),
        "shc_bundle_invalid"
    );
}
