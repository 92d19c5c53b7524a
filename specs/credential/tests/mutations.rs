//! A generator alters each signed field of each artefact in turn, with the signature left as it is,
//! and each time the exact reason is asserted. Whatever is not a field of the payload (an `alg`, a
//! key id) has its own reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Write as _;

use ciborium::Value as Cbor;
use common::{FixedBytes, key};
use flate2::Compression;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::Read as _;
use tegata_credential::hcert::{self, Hcert, HcertIssuance};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::sd_jwt::{
    Issuance, KeyBinding, KeyBindingPolicy, Path, SdJwt, StatusReference, issue,
};
use tegata_credential::smart_health_card::{self as shc, ShcIssuance, SmartHealthCard};
use tegata_credential::status_list::{
    Status, StatusList, StatusListCwt, StatusListIssuance, StatusListToken, sign, sign_cwt,
};
use tegata_credential::trust_list::{TrustList, TrustedKey, certificate_key_id};
use tegata_credential::x509::{self, Certificate, Subject};

const AT: i64 = 1_760_000_000;
const URI: &str = "https://a.example/status/1";
const VCT: &str = "urn:tegata:record:vaccination:1";

fn issuer() -> SigningKey {
    key(Algorithm::Es256, 1)
}

/// Each way to alter one leaf of `value`, or to leave one member out, with the path to it.
fn altered(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(members) => {
            let mut all = Vec::new();
            for (name, inner) in members {
                let mut without = members.clone();
                without.remove(name);
                all.push((format!("without {name}"), Value::Object(without)));
                for (path, changed) in altered(inner) {
                    let mut with = members.clone();
                    with.insert(name.clone(), changed);
                    all.push((format!("{name}/{path}"), Value::Object(with)));
                }
            }
            all
        }
        Value::Array(items) => {
            let mut all = Vec::new();
            for (place, inner) in items.iter().enumerate() {
                for (path, changed) in altered(inner) {
                    let mut with = items.clone();
                    with[place] = changed;
                    all.push((format!("{place}/{path}"), Value::Array(with)));
                }
            }
            all
        }
        Value::String(text) => vec![(String::new(), format!("{text}A").into())],
        Value::Number(number) => vec![(String::new(), (number.as_i64().unwrap() + 1).into())],
        Value::Bool(truth) => vec![(String::new(), (!truth).into())],
        Value::Null => vec![(String::new(), 1.into())],
    }
}

/// The same for CBOR.
fn altered_cbor(value: &Cbor) -> Vec<(String, Cbor)> {
    match value {
        Cbor::Map(entries) => {
            let mut all = Vec::new();
            for place in 0..entries.len() {
                let name = format!("{:?}", entries[place].0);
                let mut without = entries.clone();
                without.remove(place);
                all.push((format!("without {name}"), Cbor::Map(without)));
                for (path, changed) in altered_cbor(&entries[place].1) {
                    let mut with = entries.clone();
                    with[place].1 = changed;
                    all.push((format!("{name}/{path}"), Cbor::Map(with)));
                }
            }
            all
        }
        Cbor::Array(items) => {
            let mut all = Vec::new();
            for (place, inner) in items.iter().enumerate() {
                for (path, changed) in altered_cbor(inner) {
                    let mut with = items.clone();
                    with[place] = changed;
                    all.push((format!("{place}/{path}"), Cbor::Array(with)));
                }
            }
            all
        }
        Cbor::Text(text) => vec![(String::new(), format!("{text}A").into())],
        Cbor::Integer(number) => {
            let number = i64::try_from(*number).unwrap();
            vec![(String::new(), (number + 1).into())]
        }
        Cbor::Bytes(bytes) => {
            let mut changed = bytes.clone();
            *changed.last_mut().unwrap() ^= 1;
            vec![(String::new(), Cbor::Bytes(changed))]
        }
        other => panic!("{other:?} is in no artefact"),
    }
}

/// A JWS taken apart.
struct Parts {
    header: Value,
    payload: Value,
    signature: String,
}

fn parts(jws: &str) -> Parts {
    let [header, payload, signature] = jws.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let read = |part: &str| serde_json::from_slice(&common::unb64(part)).unwrap();
    Parts {
        header: read(header),
        payload: read(payload),
        signature: signature.to_owned(),
    }
}

impl Parts {
    fn join(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| common::b64(value.to_string());
        format!("{}.{}.{}", part(header), part(payload), self.signature)
    }

    /// Each altered JWS, with what of it was altered.
    fn altered(&self) -> Vec<(String, String)> {
        let headers = altered(&self.header).into_iter();
        let headers = headers
            .map(|(path, header)| (format!("header {path}"), self.join(&header, &self.payload)));
        let payloads = altered(&self.payload).into_iter();
        let payloads = payloads.map(|(path, payload)| (path, self.join(&self.header, &payload)));
        headers.chain(payloads).collect()
    }
}

fn bytes_of(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

fn cbor_of(bytes: &[u8]) -> Cbor {
    ciborium::from_reader(bytes).unwrap()
}

/// Each altered COSE_Sign1, with what of it was altered.
fn altered_cose(cose: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Cbor::Tag(18, inner) = cbor_of(cose) else {
        panic!("tagged")
    };
    let Cbor::Array(parts) = *inner else {
        panic!("an array")
    };
    let mut all = Vec::new();
    for (place, what) in [(0, "header "), (2, "")] {
        let part = cbor_of(parts[place].as_bytes().unwrap());
        for (path, changed) in altered_cbor(&part) {
            let mut with = parts.clone();
            with[place] = Cbor::Bytes(bytes_of(&changed));
            let cose = bytes_of(&Cbor::Tag(18, Box::new(Cbor::Array(with))));
            all.push((format!("{what}{path}"), cose));
        }
    }
    let mut with = parts.clone();
    let Cbor::Bytes(signature) = &mut with[3] else {
        panic!("bytes")
    };
    signature[5] ^= 1;
    all.push((
        "signature".into(),
        bytes_of(&Cbor::Tag(18, Box::new(Cbor::Array(with)))),
    ));
    all
}

/// Asserts the reason of each, and how many there were at least.
fn assert_reasons<T>(
    all: Vec<(String, T)>,
    at_least: usize,
    expected: impl Fn(&str) -> &'static str,
    reason: impl Fn(T) -> Option<&'static str>,
) {
    let count = all.len();
    for (what, artefact) in all {
        assert_eq!(reason(artefact), Some(expected(&what)), "{what}");
    }
    assert!(count >= at_least, "only {count}");
}

fn credential() -> String {
    let claims = json!({ "vaccine_code": "mr", "date": "2025-04-01", "lot_number": "AB-12",
        "place": { "name": "Sakura Clinic", "reference": "Location/1" }, "subpotent": false, "dose_number": 1 });
    let paths = [
        "lot_number".into(),
        Path::new(["place", "name"]),
        "dose_number".into(),
    ];
    let holder = key(Algorithm::EdDsa, 2).public_key();
    let issuance = Issuance {
        vct_integrity: Some("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        expires_at: Some(AT + 1000),
        id: Some("record-1"),
        disclosable: &paths,
        holder: Some(&holder),
        status: Some(StatusReference {
            uri: URI.into(),
            index: 9,
        }),
        ..Issuance::new("https://a.example", VCT, AT, &claims)
    };
    issue(&issuance, &issuer(), &mut FixedBytes(1)).unwrap()
}

#[test]
fn a_credential() {
    let credential = credential();
    let reason = |text: String| {
        let verified =
            SdJwt::parse(&text).and_then(|sd_jwt| sd_jwt.verify(&issuer().public_key(), AT));
        verified.err().map(|error| error.code())
    };
    assert_eq!(reason(credential.clone()), None);
    let (jwt, disclosures) = credential.split_once('~').unwrap();
    let all = parts(jwt).altered().into_iter();
    let all = all
        .map(|(what, jwt)| (what, format!("{jwt}~{disclosures}")))
        .collect();
    let expected = |what: &str| match what {
        "header alg/" | "header without alg" => "alg_unsupported",
        "header typ/" | "header without typ" => "typ_unexpected",
        _ => "signature_invalid",
    };
    assert_reasons(all, 25, expected, reason);

    // What was disclosable, each part of each disclosure.
    let mut all = Vec::new();
    let disclosures: Vec<&str> = disclosures.split_terminator('~').collect();
    for (place, disclosure) in disclosures.iter().enumerate() {
        let read = serde_json::from_slice(&common::unb64(disclosure)).unwrap();
        for (path, changed) in altered(&read) {
            let mut with: Vec<String> = disclosures.iter().map(|&text| text.to_owned()).collect();
            with[place] = common::b64(changed.to_string());
            all.push((
                format!("disclosure {place}/{path}"),
                format!("{jwt}~{}~", with.join("~")),
            ));
        }
    }
    assert_reasons(all, 9, |_| "disclosure_unreferenced", reason);
}

#[test]
fn a_presentation() {
    let shown = SdJwt::parse(&credential())
        .unwrap()
        .present(
            &["lot_number".into()],
            &KeyBinding::new("https://v.example", "n-1", AT),
            &key(Algorithm::EdDsa, 2),
        )
        .unwrap();
    let policy = KeyBindingPolicy {
        audience: "https://v.example",
        nonce: "n-1",
        max_age_s: 300,
    };
    let reason = |text: String| {
        let verified = SdJwt::parse(&text)
            .and_then(|sd_jwt| sd_jwt.verify_with_key_binding(&issuer().public_key(), &policy, AT));
        verified.err().map(|error| error.code())
    };
    assert_eq!(reason(shown.clone()), None);
    let (credential, binding) = shown.rsplit_once('~').unwrap();
    let all = parts(binding).altered().into_iter();
    let all = all
        .map(|(what, jwt)| (what, format!("{credential}~{jwt}")))
        .collect();
    let expected = |what: &str| match what {
        "header alg/" | "header without alg" => "key_binding_alg_unsupported",
        "header typ/" | "header without typ" => "key_binding_typ_unexpected",
        _ => "key_binding_signature_invalid",
    };
    assert_reasons(all, 10, expected, reason);
    // Less shown than was bound, or more.
    let (jwt, _) = shown.split_once('~').unwrap();
    assert_eq!(
        reason(format!("{jwt}~{binding}")),
        Some("key_binding_sd_hash_mismatch")
    );
}

fn list() -> (StatusList, StatusListIssuance<'static>) {
    let list = StatusList::from_entries(1, 64, [(9, Status::Invalid)]).unwrap();
    let issuance = StatusListIssuance {
        uri: URI,
        issuer: Some("https://a.example"),
        issued_at: AT,
        expires_at: Some(AT + 10),
        ttl_s: Some(5),
    };
    (list, issuance)
}

#[test]
fn a_status_list() {
    let (list, issuance) = list();
    let token = sign(&list, &issuance, &issuer());
    let reason = |text: String| {
        let verified = StatusListToken::parse(&text)
            .and_then(|token| token.verify(&issuer().public_key(), URI, AT));
        verified.err().map(|error| error.code())
    };
    assert_eq!(reason(token.clone()), None);
    let expected = |what: &str| match what {
        "header alg/" | "header without alg" => "status_list_alg_unsupported",
        "header typ/" | "header without typ" => "status_list_typ_unexpected",
        _ => "status_list_signature_invalid",
    };
    assert_reasons(parts(&token).altered(), 18, expected, reason);
}

#[test]
fn a_status_list_in_its_cwt_form() {
    let (list, issuance) = list();
    let token = sign_cwt(&list, &issuance, &issuer());
    let reason = |bytes: Vec<u8>| {
        let verified = StatusListCwt::parse(&bytes)
            .and_then(|token| token.verify(&issuer().public_key(), URI, AT));
        verified.err().map(|error| error.code())
    };
    assert_eq!(reason(token.clone()), None);
    let expected = |what: &str| match what {
        // -7 and 1: -6 is direct HMAC, which is no signature.
        what if what.starts_with("header") && what.contains("(1)") => "status_list_alg_unsupported",
        what if what.starts_with("header") && what.contains("(16)") => "status_list_typ_unexpected",
        _ => "status_list_signature_invalid",
    };
    assert_reasons(altered_cose(&token), 16, expected, reason);
}

fn signer() -> Certificate {
    let subject = Subject {
        common_name: "Document signer",
        organisation: "Wakaba City",
        country: "JP",
        dns_names: &[],
        uris: &[],
    };
    let (authority, valid) = (key(Algorithm::Es256, 200), AT - 10..=AT + 1000);
    let rng = &mut FixedBytes(7);
    let root = x509::issue_authority(&subject, &authority, valid.clone(), rng).unwrap();
    x509::issue(
        &subject,
        &issuer().public_key(),
        &root,
        &authority,
        valid,
        rng,
    )
    .unwrap()
}

#[test]
fn a_health_certificate() {
    let entries = [
        (
            "v",
            json!([{ "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215",
            "dn": 2, "sd": 2, "dt": "2025-10-01", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:3F2A" }]),
        ),
        (
            "t",
            json!([{ "tg": "840539006", "tt": "LP6464-4", "nm": "PCR", "sc": "2025-10-08T09:00:00+09:00",
            "tr": "260415000", "tc": "Test Centre", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:77B1" }]),
        ),
    ];
    let trusted: TrustList = [TrustedKey::from_certificate(signer()).unwrap()]
        .into_iter()
        .collect();
    let reason = |text: String| {
        let verified = Hcert::parse(&text).and_then(|hcert| hcert.verify(&trusted, AT).map(drop));
        verified.err().map(|error| error.code())
    };
    for (group, entry) in entries {
        let mut payload = json!({ "ver": "1.3.0", "dob": "2024-10-12",
            "nam": { "fn": "若葉", "fnt": "WAKABA", "gn": "花", "gnt": "HANA" } });
        payload[group] = entry;
        let issuance = HcertIssuance {
            issuer: "JP",
            issued_at: AT,
            expires_at: AT + 100,
            key_id: certificate_key_id(&signer()),
            payload: &payload,
        };
        let text = hcert::issue(&issuance, &issuer()).unwrap();
        assert_eq!(reason(text.clone()), None);
        let mut cose = Vec::new();
        let compressed = base45::decode(&text["HC1:".len()..]).unwrap();
        ZlibDecoder::new(compressed.as_slice())
            .read_to_end(&mut cose)
            .unwrap();
        let all = altered_cose(&cose).into_iter().map(|(what, cose)| {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&cose).unwrap();
            (
                what,
                format!("HC1:{}", base45::encode(encoder.finish().unwrap())),
            )
        });
        let expected = |what: &str| match what {
            what if what.starts_with("header") && what.contains("(1)") => "hcert_alg_unsupported",
            what if what.starts_with("header without") => "hcert_key_id_missing",
            what if what.starts_with("header") => "hcert_key_unknown",
            // Nothing can be said of who signed what, where no certificate is in it.
            what if what.starts_with("without") && what.contains("-260") => "hcert_payload_missing",
            what if what.contains("-260") && what.contains("without Integer") => {
                "hcert_payload_missing"
            }
            _ => "hcert_signature_invalid",
        };
        assert_reasons(all.collect(), 40, expected, reason);
    }
}

#[test]
fn a_smart_health_card() {
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Wakaba", "given": ["Hana"] }], "birthDate": "2024-10-12" });
    let resources = [
        json!({ "resourceType": "Immunization", "status": "completed", "occurrenceDateTime": "2025-10-01", "lotNumber": "MR-0001",
            "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "04" }] } }),
        json!({ "resourceType": "Observation", "status": "final", "effectiveDateTime": "2025-10-01",
            "code": { "coding": [{ "system": "http://loinc.org", "code": "94558-4" }] },
            "valueCodeableConcept": { "coding": [{ "system": "http://snomed.info/sct", "code": "260415000" }] } }),
    ];
    let bundle = shc::bundle(&patient, &resources).unwrap();
    let issuance = ShcIssuance {
        issuer: "https://clinic.example/shc",
        issued_at: AT,
        expires_at: Some(AT + 10),
        types: &[shc::TYPE_IMMUNIZATION],
        revocation_id: Some("rEvOkE-1"),
        bundle: &bundle,
    };
    let card = shc::issue(&issuance, &issuer()).unwrap();
    let trusted: TrustList = [TrustedKey::new(issuer().public_key(), None)]
        .into_iter()
        .collect();
    let reason = |text: String| {
        let verified =
            SmartHealthCard::parse(&text).and_then(|card| card.verify(&trusted, AT).map(drop));
        verified.err().map(|error| error.code())
    };
    assert_eq!(reason(card.clone()), None);
    let [header, payload, signature] = card.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let mut inflated = Vec::new();
    DeflateDecoder::new(common::unb64(payload).as_slice())
        .read_to_end(&mut inflated)
        .unwrap();
    let claims: Value = serde_json::from_slice(&inflated).unwrap();
    let head: Value = serde_json::from_slice(&common::unb64(header)).unwrap();
    let mut all = Vec::new();
    for (what, head) in altered(&head) {
        all.push((
            format!("header {what}"),
            format!("{}.{payload}.{signature}", common::b64(head.to_string())),
        ));
    }
    for (what, claims) in altered(&claims) {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(claims.to_string().as_bytes()).unwrap();
        let payload = common::b64(encoder.finish().unwrap());
        all.push((what, format!("{header}.{payload}.{signature}")));
    }
    let expected = |what: &str| match what {
        "header alg/" | "header without alg" => "shc_alg_unsupported",
        "header zip/" | "header without zip" => "shc_zip_unexpected",
        "header kid/" => "shc_key_unknown",
        "header without kid" => "shc_key_id_missing",
        _ => "shc_signature_invalid",
    };
    assert_reasons(all, 60, expected, reason);
}
