//! What is checked offline beside raw ECDSA over P-256; and status lists of a million.

use crate::table::{Goal, Table};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;
use tegata_credential::cose::{self, Sign1};
use tegata_credential::hcert::{self, Hcert, HcertIssuance};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::smart_health_card::{self as shc, ShcIssuance, SmartHealthCard};
use tegata_credential::status_list::{
    Status, StatusList, StatusListCwt, StatusListIssuance, StatusListToken, sign, sign_cwt,
};
use tegata_credential::trust_list::{TrustList, TrustedKey};
use tegata_credential::verification_key::{SignatureAlgorithm, VerificationKey};

const AT_S: i64 = 1_800_000_000;
const URI: &str = "https://clinic.example/status/1";
const MILLION: u64 = 1_000_000;
/// One record in so many is revoked.
const REVOKED_EVERY: u64 = 50;

pub(crate) fn run(table: &mut Table) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let key = SigningKey::from_bytes(Algorithm::Es256, &[2; 32]).map_err(|e| text(&e))?;
    cwt(table, &key)?;
    codes(table, &key)?;
    million(table, &key)
}

/// The signature alone: COSE_Sign1 around a payload of the size of a vaccination's.
fn cwt(table: &mut Table, key: &SigningKey) -> Result<(), String> {
    let payload = vec![7_u8; 280];
    let signed = cose::sign(payload.clone(), &[1; 8], None, key);
    let public: VerificationKey = key.public_key().into();
    let check = || Sign1::parse(&signed).and_then(|sign1| sign1.verify(&public, &[]));
    check().map_err(|fault| fault.to_string())?;
    let (raw, message) = (key.sign(&payload), payload.clone());
    let (ours, limit) = table.pair(
        || {
            black_box(cose::sign(payload.clone(), &[1; 8], None, key));
        },
        || {
            black_box(key.sign(&message));
        },
    );
    table.row(
        "COSE/CWT sign",
        ours,
        "per second and core",
        "raw ES256 sign",
        Some(limit),
        Goal::RatioLeast(0.85),
    );
    let (ours, limit) = table.pair(
        || {
            black_box(check().is_ok());
        },
        || {
            black_box(
                public
                    .verify(SignatureAlgorithm::Es256, &message, &raw)
                    .is_ok(),
            );
        },
    );
    table.row(
        "COSE/CWT verify",
        ours,
        "per second and core",
        "raw ES256 verify",
        Some(limit),
        Goal::RatioLeast(0.9),
    );
    Ok(())
}

/// From the payload to the text of a QR code, and back to a verified payload.
fn codes(table: &mut Table, key: &SigningKey) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let payload = json!({ "ver": "1.3.0", "dob": "2024-10-12",
        "nam": { "fn": "若葉", "fnt": "WAKABA", "gn": "花", "gnt": "HANA" },
        "v": [{ "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215",
            "dn": 2, "sd": 2, "dt": "2026-10-01", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:3F2A9C7B11D04E52" }] });
    let issuance = HcertIssuance {
        issuer: "JP",
        issued_at: AT_S,
        expires_at: AT_S + 1000,
        key_id: [1; 8],
        payload: &payload,
    };
    let code = hcert::issue(&issuance, key).map_err(|e| text(&e))?;
    let jwk = {
        let mut jwk = key.public_key().to_jwk();
        jwk["kid"] = "AQEBAQEBAQE=".into();
        json!({ "keys": [jwk] })
    };
    let trusted = TrustList::parse(jwk.to_string().as_bytes()).map_err(|e| text(&e))?;
    let public: VerificationKey = key.public_key().into();
    let (message, raw) = (vec![7_u8; 280], key.sign(&[7; 280]));
    let check = || Hcert::parse(&code).and_then(|hcert| hcert.verify(&trusted, AT_S).map(drop));
    check().map_err(|e| text(&e))?;
    let sign_raw = || {
        black_box(key.sign(&message));
    };
    let verify_raw = || {
        black_box(
            public
                .verify(SignatureAlgorithm::Es256, &message, &raw)
                .is_ok(),
        );
    };
    let (ours, limit) = table.pair(|| drop(black_box(hcert::issue(&issuance, key))), sign_raw);
    table.row(
        "HCERT issue, to the QR code's text",
        ours,
        "per second and core",
        "raw ES256 sign",
        Some(limit),
        Goal::None,
    );
    let (ours, limit) = table.pair(|| drop(black_box(check())), verify_raw);
    table.row(
        "HCERT verify, from the QR code's text",
        ours,
        "per second and core",
        "raw ES256 verify",
        Some(limit),
        Goal::None,
    );
    table.row(
        "HCERT vaccination: QR code",
        qr_bytes(code.len()),
        "bytes",
        "the goal",
        Some(400.0),
        Goal::Most(400.0),
    );

    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Wakaba", "given": ["Hana"] }], "birthDate": "2024-10-12" });
    let shot = json!({ "resourceType": "Immunization", "status": "completed", "occurrenceDateTime": "2026-10-01",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "208" }] }, "lotNumber": "AB-12" });
    let bundle = shc::bundle(&patient, &[shot]).map_err(|e| text(&e))?;
    let issuance = ShcIssuance {
        issuer: "https://clinic.example",
        issued_at: AT_S,
        expires_at: None,
        types: &[shc::TYPE_IMMUNIZATION],
        revocation_id: None,
        bundle: &bundle,
    };
    let card = shc::issue(&issuance, key).map_err(|e| text(&e))?;
    let trusted: TrustList = [TrustedKey::new(key.public_key(), None)]
        .into_iter()
        .collect();
    let check =
        || SmartHealthCard::parse(&card).and_then(|card| card.verify(&trusted, AT_S).map(drop));
    check().map_err(|e| text(&e))?;
    let (ours, limit) = table.pair(|| drop(black_box(shc::issue(&issuance, key))), sign_raw);
    table.row(
        "SMART Health Card issue",
        ours,
        "per second and core",
        "raw ES256 sign",
        Some(limit),
        Goal::None,
    );
    let (ours, limit) = table.pair(|| drop(black_box(check())), verify_raw);
    table.row(
        "SMART Health Card verify",
        ours,
        "per second and core",
        "raw ES256 verify",
        Some(limit),
        Goal::None,
    );
    // Digits take ten bits for three.
    let digits = card.len() as f64 * 2.0;
    table.row(
        "SMART Health Card vaccination: QR code",
        (digits * 10.0 / 3.0 / 8.0).ceil(),
        "bytes",
        "—",
        None,
        Goal::None,
    );
    Ok(())
}

/// What a QR code of that many characters of its alphabet holds: two in eleven bits, after mode and count.
fn qr_bytes(characters: usize) -> f64 {
    let bits = 4 + 11 + characters / 2 * 11 + characters % 2 * 6;
    bits.div_ceil(8) as f64
}

/// A list of a million records, one in fifty of them revoked: from the places to a signed token, and from the token to one status.
fn million(table: &mut Table, key: &SigningKey) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    // Indexes are given at random, so a list compresses no better than this.
    let mut rng = StdRng::seed_from_u64(1);
    let revoked: Vec<(u64, Status)> = (0..MILLION / REVOKED_EVERY)
        .map(|_| (rng.random_range(0..MILLION), Status::Invalid))
        .collect();
    let issuance = StatusListIssuance {
        uri: URI,
        issuer: None,
        issued_at: AT_S,
        expires_at: Some(AT_S + 1000),
        ttl_s: Some(600),
    };
    let build = || StatusList::from_entries(1, MILLION, revoked.iter().copied());
    let began = Instant::now();
    let jwt = sign(&build().map_err(|e| text(&e))?, &issuance, key);
    let jwt_ms = began.elapsed().as_secs_f64() * 1000.0;
    let began = Instant::now();
    let cwt = sign_cwt(&build().map_err(|e| text(&e))?, &issuance, key);
    let cwt_ms = began.elapsed().as_secs_f64() * 1000.0;
    let public = key.public_key();
    let began = Instant::now();
    let list = StatusListToken::parse(&jwt).and_then(|token| token.verify(&public, URI, AT_S));
    let found = list
        .and_then(|list| list.status_at(revoked[0].0))
        .map_err(|e| text(&e))?;
    let jwt_check_ms = began.elapsed().as_secs_f64() * 1000.0;
    let began = Instant::now();
    let list = StatusListCwt::parse(&cwt).and_then(|token| token.verify(&public, URI, AT_S));
    let same = list
        .and_then(|list| list.status_at(revoked[0].0))
        .map_err(|e| text(&e))?;
    let cwt_check_ms = began.elapsed().as_secs_f64() * 1000.0;
    if (found, same) != (Status::Invalid, Status::Invalid) {
        return Err("a revoked record is not in its list".into());
    }
    let plain = MILLION as f64 / 8.0;
    for (form, size, publish_ms, check_ms) in [
        ("JWT", jwt.len(), jwt_ms, jwt_check_ms),
        ("CWT", cwt.len(), cwt_ms, cwt_check_ms),
    ] {
        let row = |name: &str| format!("status list of 1,000,000, {form}: {name}");
        table.row(
            &row("size"),
            size as f64,
            "bytes",
            "one bit each",
            Some(plain),
            Goal::None,
        );
        table.row(&row("publish"), publish_ms, "ms", "—", None, Goal::None);
        table.row(&row("check one"), check_ms, "ms", "—", None, Goal::None);
    }
    Ok(())
}
