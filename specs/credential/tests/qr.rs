//! The frozen vectors of what is checked offline: `vectors/hcert.json`, `vectors/smart-health-card.json`
//! and `vectors/status-list-cwt.json`, and others' of the same formats: `vectors/dgc-testdata.json`,
//! the example of the SMART Health Cards Framework, the COSE working group's.
//!
//! Cases are made here, by an honest issuer and by a forger who holds the issuer's key; the files
//! freeze them. `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-credential --test qr` writes new ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use common::{FixedBytes, key};
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use serde_json::{Value, json};
use tegata_credential::cose::{self, Sign1};
use tegata_credential::hcert::{self, Hcert, HcertIssuance};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::smart_health_card::{self as shc, ShcIssuance, SmartHealthCard};
use tegata_credential::status_list::{
    CWT_MEDIA_TYPE, MAX_LIST_BYTES, Status, StatusList, StatusListCwt, StatusListIssuance, sign_cwt,
};
use tegata_credential::trust_list::{TrustList, TrustedKey, certificate_key_id};
use tegata_credential::verification_key::VerificationKey;
use tegata_credential::x509::{self, Certificate, Subject};

const AT: i64 = 1_760_000_000;
const DAY_S: i64 = 86_400;
const URI: &str = "https://a.example/status/1";
const ISSUER: &str = "https://clinic.example/shc";

fn issuer() -> SigningKey {
    key(Algorithm::Es256, 1)
}

fn frozen(file: &str, now: &Value) {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{now:#}\n")).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let then: Value = serde_json::from_str(&text).unwrap();
    for half in ["accept", "reject"] {
        let (now, then) = (
            now[half].as_array().unwrap(),
            then[half].as_array().unwrap(),
        );
        for (now, then) in now.iter().zip(then) {
            assert_eq!(now, then, "{file}: {half}: {}", then["name"]);
        }
        assert_eq!(now.len(), then.len(), "{file}: {half}");
    }
}

/// Runs the cases, notes what came out, and compares with the frozen file.
fn freeze(
    file: &str,
    result: &str,
    run: fn(&Value) -> Result<Value, String>,
    accepted: Vec<Value>,
    rejected: Vec<(Value, &str)>,
) {
    let accept: Vec<Value> = accepted
        .into_iter()
        .map(|mut vector| {
            vector[result] =
                run(&vector).unwrap_or_else(|code| panic!("{}: {code}", vector["name"]));
            vector
        })
        .collect();
    let reject: Vec<Value> = rejected
        .into_iter()
        .map(|(mut vector, code)| {
            assert_eq!(
                run(&vector).err().as_deref(),
                Some(code),
                "{}",
                vector["name"]
            );
            vector["code"] = code.into();
            vector
        })
        .collect();
    frozen(file, &json!({ "accept": accept, "reject": reject }));
}

// ---------------------------------------------------------------------------- health certificates

fn certificate(fill: u8, valid: std::ops::RangeInclusive<i64>) -> Certificate {
    let subject = Subject {
        common_name: "Document signer",
        organisation: "Wakaba City",
        country: "JP",
        dns_names: &[],
        uris: &[],
    };
    let key = key(Algorithm::Es256, fill);
    x509::issue_authority(&subject, &key, valid, &mut FixedBytes(u64::from(fill) << 8)).unwrap()
}

fn signer() -> Certificate {
    certificate(1, AT - 100 * DAY_S..=AT + 1000 * DAY_S)
}

fn dcc() -> Value {
    json!({
        "ver": "1.3.0", "dob": "2024-10-12",
        "nam": { "fn": "若葉", "fnt": "WAKABA", "gn": "花", "gnt": "HANA" },
        "v": [{ "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215",
            "dn": 2, "sd": 2, "dt": "2025-10-01", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:3F2A" }],
    })
}

fn negative_test() -> Value {
    json!({
        "ver": "1.3.0", "dob": "1990-02-01",
        "nam": { "fn": "山川", "fnt": "YAMAKAWA", "gn": "太郎", "gnt": "TARO" },
        "t": [{ "tg": "840539006", "tt": "LP6464-4", "nm": "PCR", "sc": "2025-10-08T09:00:00+09:00",
            "tr": "260415000", "tc": "Test Centre", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:77B1" }],
    })
}

fn honest(payload: &Value) -> String {
    let issuance = HcertIssuance {
        issuer: "JP",
        issued_at: AT,
        expires_at: AT + 180 * DAY_S,
        key_id: certificate_key_id(&signer()),
        payload,
    };
    hcert::issue(&issuance, &issuer()).unwrap()
}

fn to_cbor(value: &Value) -> Cbor {
    Cbor::serialized(value).unwrap()
}

fn cwt_claims(changes: Vec<(i64, Option<Cbor>)>) -> Cbor {
    let mut claims = vec![
        (Cbor::from(1), Cbor::from("JP")),
        (Cbor::from(4), Cbor::from(AT + DAY_S)),
        (Cbor::from(6), Cbor::from(AT)),
        (
            Cbor::from(-260),
            Cbor::Map(vec![(1.into(), to_cbor(&dcc()))]),
        ),
    ];
    for (label, value) in changes {
        claims.retain(|(key, _)| *key != Cbor::from(label));
        claims.extend(value.map(|value| (Cbor::from(label), value)));
    }
    Cbor::Map(claims)
}

fn bytes_of(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

/// A COSE_Sign1 over exactly these headers and claims, correctly signed whatever they say.
fn sign1(protected: &Cbor, unprotected: Cbor, payload: Vec<u8>, by: &SigningKey) -> Vec<u8> {
    let protected = bytes_of(protected);
    let tbs = Cbor::Array(vec![
        "Signature1".into(),
        Cbor::Bytes(protected.clone()),
        Cbor::Bytes(vec![]),
        Cbor::Bytes(payload.clone()),
    ]);
    let signature = by.sign(&bytes_of(&tbs)).to_vec();
    let parts = vec![
        Cbor::Bytes(protected),
        unprotected,
        Cbor::Bytes(payload),
        Cbor::Bytes(signature),
    ];
    bytes_of(&Cbor::Tag(18, Box::new(Cbor::Array(parts))))
}

fn headers(alg: Option<i64>, kid: Option<&[u8]>, more: Vec<(Cbor, Cbor)>) -> Cbor {
    let mut out = Vec::new();
    out.extend(alg.map(|alg| (Cbor::from(1), Cbor::from(alg))));
    out.extend(kid.map(|kid| (Cbor::from(4), Cbor::Bytes(kid.to_vec()))));
    out.extend(more);
    Cbor::Map(out)
}

fn own_id() -> [u8; 8] {
    certificate_key_id(&signer())
}

fn packed(cose: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(cose).unwrap();
    text(&encoder.finish().unwrap())
}

/// Base45 by the crate of that name, so that ours is checked by it.
fn text(bytes: &[u8]) -> String {
    format!("HC1:{}", base45::encode(bytes))
}

fn forged(changes: Vec<(i64, Option<Cbor>)>) -> String {
    let payload = bytes_of(&cwt_claims(changes));
    packed(&sign1(
        &headers(Some(-7), Some(&own_id()), vec![]),
        Cbor::Map(vec![]),
        payload,
        &issuer(),
    ))
}

fn with_headers(protected: &Cbor, unprotected: Cbor) -> String {
    packed(&sign1(
        protected,
        unprotected,
        bytes_of(&cwt_claims(vec![])),
        &issuer(),
    ))
}

fn with_payload(change: impl FnOnce(&mut Value)) -> String {
    let mut payload = dcc();
    change(&mut payload);
    forged(vec![(
        -260,
        Some(Cbor::Map(vec![(1.into(), to_cbor(&payload))])),
    )])
}

fn hcert_vector(name: &str, text: String) -> Value {
    let certificates = [signer(), certificate(2, AT - DAY_S..=AT + DAY_S)];
    let certificates: Vec<String> = certificates.iter().map(Certificate::to_base64).collect();
    json!({ "name": name, "certificates": certificates, "at": AT, "text": text })
}

fn trusted(vector: &Value) -> TrustList {
    let all = vector["certificates"].as_array().unwrap().iter();
    all.map(|der| {
        let certificate = Certificate::from_base64(der.as_str().unwrap()).unwrap();
        TrustedKey::from_certificate(certificate).unwrap()
    })
    .collect()
}

fn run_hcert(vector: &Value) -> Result<Value, String> {
    let trusted = trusted(vector);
    Hcert::parse(vector["text"].as_str().unwrap())
        .and_then(|hcert| {
            let verified = hcert.verify(&trusted, vector["at"].as_i64().unwrap())?;
            Ok(verified.payload().clone())
        })
        .map_err(|error| error.code().to_owned())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line per case")]
fn hcert_vectors() {
    let v = hcert_vector;
    let none = || Cbor::Map(vec![]);
    let own = own_id();
    let claims = || bytes_of(&cwt_claims(vec![]));
    let plain = || {
        sign1(
            &headers(Some(-7), Some(&own), vec![]),
            none(),
            claims(),
            &issuer(),
        )
    };
    let untagged = {
        let Cbor::Tag(_, inner) = ciborium::from_reader::<Cbor, _>(plain().as_slice()).unwrap()
        else {
            panic!("tagged");
        };
        bytes_of(&inner)
    };
    let double = [&[0xd8, 61][..], &plain()].concat();
    let accepted = vec![
        v("a vaccination", honest(&dcc())),
        v("a negative test", honest(&negative_test())),
        v(
            "key id unprotected",
            with_headers(
                &headers(Some(-7), None, vec![]),
                headers(None, Some(&own), vec![]),
            ),
        ),
        v(
            "key id in both headers: the protected one counts",
            with_headers(
                &headers(Some(-7), Some(&own), vec![]),
                headers(None, Some(b"another!"), vec![]),
            ),
        ),
        v(
            "alg unprotected",
            with_headers(
                &headers(None, Some(&own), vec![]),
                headers(Some(-7), None, vec![]),
            ),
        ),
        v("no tag", packed(&untagged)),
        v("tagged as CWT and as COSE_Sign1", packed(&double)),
        v("no iss", forged(vec![(1, None)])),
        v(
            "issued by a clock 60 s ahead",
            forged(vec![(6, Some((AT + 60).into()))]),
        ),
        v(
            "expires in the next second",
            forged(vec![(4, Some((AT + 1).into()))]),
        ),
    ];

    let mut appended = ZlibEncoder::new(Vec::new(), Compression::best());
    appended.write_all(&plain()).unwrap();
    let stream = appended.finish().unwrap();
    let mut cut = stream.clone();
    cut.truncate(stream.len() - 8);
    let mut longer = stream.clone();
    longer.push(0);
    let unsigned =
        |parts: Vec<Cbor>| packed(&bytes_of(&Cbor::Tag(18, Box::new(Cbor::Array(parts)))));
    let protected = || Cbor::Bytes(bytes_of(&headers(Some(-7), Some(&own), vec![])));
    let twice = |label: i64, a: Cbor, b: Cbor| {
        let Cbor::Map(mut claims) = cwt_claims(vec![(label, None)]) else {
            panic!("a map")
        };
        claims.extend([(label.into(), a), (label.into(), b)]);
        packed(&sign1(
            &headers(Some(-7), Some(&own), vec![]),
            none(),
            bytes_of(&Cbor::Map(claims)),
            &issuer(),
        ))
    };
    let second = certificate_key_id(&certificate(2, AT - DAY_S..=AT + DAY_S));
    let by_second = |issued_at: i64| {
        let payload = bytes_of(&cwt_claims(vec![
            (6, Some(issued_at.into())),
            (4, Some((AT + 90 * DAY_S).into())),
        ]));
        packed(&sign1(
            &headers(Some(-7), Some(&second), vec![]),
            none(),
            payload,
            &key(Algorithm::Es256, 2),
        ))
    };
    let mut late = v("key's certificate over when verified", by_second(AT));
    late["at"] = json!(AT + 2 * DAY_S);
    let member =
        |name: &'static str, value: Value| with_payload(move |dcc| dcc["v"][0][name] = value);
    let rejected = vec![
        (v("empty", String::new()), "hcert_prefix_unexpected"),
        (
            v("another version", honest(&dcc()).replacen("HC1", "HC2", 1)),
            "hcert_prefix_unexpected",
        ),
        (
            v("no prefix", honest(&dcc())[4..].to_owned()),
            "hcert_prefix_unexpected",
        ),
        (
            v(
                "small letters",
                honest(&dcc()).to_lowercase().replacen("hc1", "HC1", 1),
            ),
            "hcert_base45_invalid",
        ),
        (
            v("a group above 65535", "HC1::::".into()),
            "hcert_base45_invalid",
        ),
        (
            v("a last pair above 255", "HC1:::".into()),
            "hcert_base45_invalid",
        ),
        (
            v("a single character left", "HC1:BB8A".into()),
            "hcert_base45_invalid",
        ),
        (
            v("not compressed", text(&plain())),
            "hcert_compression_invalid",
        ),
        (
            v("compressed bytes cut off", text(&cut)),
            "hcert_compression_invalid",
        ),
        (
            v("bytes behind the compressed ones", text(&longer)),
            "hcert_compression_invalid",
        ),
        (
            v("a bomb of 5 MB", packed(&vec![0; 5 << 20])),
            "hcert_too_large",
        ),
        (v("nothing", packed(&[])), "hcert_malformed"),
        (v("not CBOR", packed(b"{\"ver\":1}")), "hcert_malformed"),
        (
            v("nested 5000 deep", packed(&[0x81; 5000])),
            "hcert_too_deep",
        ),
        (
            v(
                "claims nested too deep",
                forged(vec![(
                    99,
                    Some((0..40).fold(Cbor::Null, |inner, _| Cbor::Array(vec![inner]))),
                )]),
            ),
            "hcert_too_deep",
        ),
        (
            v(
                "three parts",
                unsigned(vec![protected(), none(), Cbor::Bytes(claims())]),
            ),
            "hcert_malformed",
        ),
        (
            v(
                "payload elsewhere",
                unsigned(vec![
                    protected(),
                    none(),
                    Cbor::Null,
                    Cbor::Bytes(vec![0; 64]),
                ]),
            ),
            "hcert_malformed",
        ),
        (
            v(
                "claims an array",
                packed(&sign1(
                    &headers(Some(-7), Some(&own), vec![]),
                    none(),
                    vec![0x80],
                    &issuer(),
                )),
            ),
            "hcert_malformed",
        ),
        (
            v("exp twice", twice(4, (AT + 1).into(), (AT + DAY_S).into())),
            "hcert_key_duplicate",
        ),
        (
            v("hcert twice", twice(-260, none(), none())),
            "hcert_key_duplicate",
        ),
        (
            v(
                "dob twice",
                forged(vec![(
                    -260,
                    Some(Cbor::Map(vec![(
                        1.into(),
                        Cbor::Map(vec![("dob".into(), "".into()), ("dob".into(), "".into())]),
                    )])),
                )]),
            ),
            "hcert_key_duplicate",
        ),
        (
            v(
                "alg twice",
                with_headers(
                    &headers(Some(-7), Some(&own), vec![(1.into(), (-7).into())]),
                    none(),
                ),
            ),
            "hcert_key_duplicate",
        ),
        (
            v(
                "no alg",
                with_headers(&headers(None, Some(&own), vec![]), none()),
            ),
            "hcert_alg_unsupported",
        ),
        (
            v(
                "protected alg EdDSA, unprotected alg ES256",
                with_headers(
                    &headers(Some(-8), Some(&own), vec![]),
                    headers(Some(-7), None, vec![]),
                ),
            ),
            "hcert_alg_unsupported",
        ),
        (
            v(
                "alg EdDSA",
                with_headers(&headers(Some(-8), Some(&own), vec![]), none()),
            ),
            "hcert_alg_unsupported",
        ),
        (
            v(
                "alg HMAC 256",
                with_headers(&headers(Some(5), Some(&own), vec![]), none()),
            ),
            "hcert_alg_unsupported",
        ),
        (
            v(
                "alg ES384",
                with_headers(&headers(Some(-35), Some(&own), vec![]), none()),
            ),
            "hcert_alg_unsupported",
        ),
        (
            v(
                "alg PS256 with a P-256 key's id",
                with_headers(&headers(Some(-37), Some(&own), vec![]), none()),
            ),
            "hcert_alg_mismatch",
        ),
        (
            v(
                "crit",
                with_headers(
                    &headers(
                        Some(-7),
                        Some(&own),
                        vec![(2.into(), Cbor::Array(vec![33.into()]))],
                    ),
                    none(),
                ),
            ),
            "hcert_crit_unsupported",
        ),
        (
            v(
                "no key id",
                with_headers(&headers(Some(-7), None, vec![]), none()),
            ),
            "hcert_key_id_missing",
        ),
        (
            v(
                "another key id, though a believed key signed",
                with_headers(&headers(Some(-7), Some(b"another!"), vec![]), none()),
            ),
            "hcert_key_unknown",
        ),
        (
            v(
                "a shorter key id",
                with_headers(&headers(Some(-7), Some(&own[..7]), vec![]), none()),
            ),
            "hcert_key_unknown",
        ),
        (
            v(
                "another key id protected",
                with_headers(
                    &headers(Some(-7), Some(b"another!"), vec![]),
                    headers(None, Some(&own), vec![]),
                ),
            ),
            "hcert_key_unknown",
        ),
        (
            v(
                "another believed key's id",
                with_headers(&headers(Some(-7), Some(&second), vec![]), none()),
            ),
            "hcert_signature_invalid",
        ),
        (
            v(
                "signed by another",
                packed(&sign1(
                    &headers(Some(-7), Some(&own), vec![]),
                    none(),
                    claims(),
                    &key(Algorithm::Es256, 9),
                )),
            ),
            "hcert_signature_invalid",
        ),
        (
            v(
                "signature cut off",
                unsigned(vec![
                    protected(),
                    none(),
                    Cbor::Bytes(claims()),
                    Cbor::Bytes(vec![1; 63]),
                ]),
            ),
            "hcert_signature_invalid",
        ),
        (
            v(
                "signature of zeros",
                unsigned(vec![
                    protected(),
                    none(),
                    Cbor::Bytes(claims()),
                    Cbor::Bytes(vec![0; 64]),
                ]),
            ),
            "hcert_signature_invalid",
        ),
        (
            v(
                "signed before its key's certificate began",
                by_second(AT - 2 * DAY_S),
            ),
            "hcert_key_not_yet_valid",
        ),
        (late, "hcert_key_expired"),
        (v("no iat", forged(vec![(6, None)])), "hcert_claim_invalid"),
        (v("no exp", forged(vec![(4, None)])), "hcert_claim_invalid"),
        (
            v("exp a text", forged(vec![(4, Some("9999999999".into()))])),
            "hcert_claim_invalid",
        ),
        (
            v(
                "exp with a fraction",
                forged(vec![(4, Some(Cbor::Float(9e9)))]),
            ),
            "hcert_claim_invalid",
        ),
        (
            v("exp of 64 bits", forged(vec![(4, Some(u64::MAX.into()))])),
            "hcert_claim_invalid",
        ),
        (
            v(
                "exp a bignum",
                forged(vec![(
                    4,
                    Some(Cbor::Tag(2, Box::new(Cbor::Bytes(vec![0xff; 40])))),
                )]),
            ),
            "hcert_claim_invalid",
        ),
        (
            v("iss a number", forged(vec![(1, Some(7.into()))])),
            "hcert_claim_invalid",
        ),
        (
            v(
                "issued in the future",
                forged(vec![(6, Some((AT + 61).into()))]),
            ),
            "hcert_issued_in_future",
        ),
        (
            v("not yet valid", forged(vec![(5, Some((AT + 61).into()))])),
            "hcert_not_yet_valid",
        ),
        (
            v("expires now", forged(vec![(4, Some(AT.into()))])),
            "hcert_expired",
        ),
        (
            v("no health certificate", forged(vec![(-260, None)])),
            "hcert_payload_missing",
        ),
        (
            v(
                "a health certificate of another version",
                forged(vec![(-260, Some(Cbor::Map(vec![(2.into(), none())])))]),
            ),
            "hcert_payload_missing",
        ),
        (
            v(
                "payload with bytes",
                forged(vec![(
                    -260,
                    Some(Cbor::Map(vec![(
                        1.into(),
                        Cbor::Map(vec![("x".into(), Cbor::Bytes(vec![1]))]),
                    )])),
                )]),
            ),
            "hcert_payload_invalid",
        ),
        (
            v("no name", with_payload(|dcc| dcc["nam"] = json!({}))),
            "hcert_payload_invalid",
        ),
        (
            v(
                "two vaccinations",
                with_payload(|dcc| dcc["v"] = json!([dcc["v"][0], dcc["v"][0]])),
            ),
            "hcert_payload_invalid",
        ),
        (
            v(
                "vaccination and test",
                with_payload(|dcc| dcc["t"] = negative_test()["t"].clone()),
            ),
            "hcert_payload_invalid",
        ),
        (v("dose 0", member("dn", json!(0))), "hcert_payload_invalid"),
        (
            v("dose a fraction", member("dn", json!(1.5))),
            "hcert_payload_invalid",
        ),
        (
            v("no date", member("dt", Value::Null)),
            "hcert_payload_invalid",
        ),
    ];
    freeze("hcert.json", "payload", run_hcert, accepted, rejected);
}

#[test]
fn a_certificate_of_ten_megabytes_is_refused_unread() {
    let text = format!("HC1:{}", "0".repeat(10 << 20));
    assert_eq!(Hcert::parse(&text).unwrap_err().code(), "hcert_too_large");
    let card = "x".repeat(10 << 20);
    assert_eq!(
        SmartHealthCard::parse(&card).unwrap_err().code(),
        "shc_too_large"
    );
    assert_eq!(
        shc::from_qr(&format!("shc:/{card}")).unwrap_err().code(),
        "shc_too_large"
    );
    assert_eq!(
        StatusListCwt::parse(card.as_bytes()).unwrap_err().code(),
        "status_list_too_large"
    );
    let list = vec![b'{'; tegata_credential::trust_list::MAX_LIST_BYTES + 1];
    assert_eq!(
        TrustList::parse(&list).unwrap_err().code(),
        "trust_list_too_large"
    );
}

#[test]
fn what_is_not_issued() {
    let payload = dcc();
    let issuance = HcertIssuance {
        issuer: "JP",
        issued_at: AT,
        expires_at: AT + 1,
        key_id: [1; 8],
        payload: &payload,
    };
    let code = |issuance: &HcertIssuance<'_>, key: &SigningKey| {
        hcert::issue(issuance, key).unwrap_err().code()
    };
    assert_eq!(
        code(&issuance, &key(Algorithm::EdDsa, 1)),
        "hcert_alg_unsupported"
    );
    let over = HcertIssuance {
        expires_at: AT,
        ..issuance
    };
    assert_eq!(code(&over, &issuer()), "hcert_expiry_before_issue");
    let no_payload = json!({});
    let empty = HcertIssuance {
        payload: &no_payload,
        ..issuance
    };
    assert_eq!(code(&empty, &issuer()), "hcert_payload_invalid");

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

/// The EU's own test data: each case with the outcome that its description asks for.
#[test]
fn test_data_of_the_digital_green_certificates() {
    let text = include_str!("../vectors/dgc-testdata.json");
    let data: Value = serde_json::from_str(text).unwrap();
    let mut counts = [0, 0];
    for vector in data["cases"].as_array().unwrap() {
        let result = run_hcert(vector);
        let expected = vector["code"].as_str();
        assert_eq!(
            result.as_ref().err().map(String::as_str),
            expected,
            "{}: {}",
            vector["name"],
            vector["description"]
        );
        counts[usize::from(expected.is_some())] += 1;
    }
    assert!(counts[0] >= 20 && counts[1] >= 15, "{counts:?}");
}

// ------------------------------------------------------------------------------ SMART Health Cards

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
    let text = include_str!("../vectors/standards.json");
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

// ----------------------------------------------------------------------- status lists in their CWT form

fn list_claims(changes: Vec<(i64, Option<Cbor>)>) -> Vec<u8> {
    let list = Cbor::Map(vec![
        ("bits".into(), 1.into()),
        ("lst".into(), Cbor::Bytes(lst())),
    ]);
    let mut claims = vec![
        (Cbor::from(2), Cbor::from(URI)),
        (6.into(), AT.into()),
        (4.into(), (AT + 3600).into()),
        (65_534.into(), 600.into()),
        (65_533.into(), list),
    ];
    for (label, value) in changes {
        claims.retain(|(key, _)| *key != Cbor::from(label));
        claims.extend(value.map(|value| (Cbor::from(label), value)));
    }
    bytes_of(&Cbor::Map(claims))
}

/// The list of the draft's example.
fn lst() -> Vec<u8> {
    common::unb64("eNrbuRgAAhcBXQ")
}

fn list_header(alg: i64, typ: &str) -> Cbor {
    let kid = issuer().key_id();
    headers(
        Some(alg),
        Some(kid.as_bytes()),
        vec![(16.into(), typ.into())],
    )
}

fn list_token(changes: Vec<(i64, Option<Cbor>)>) -> Vec<u8> {
    sign1(
        &list_header(-7, CWT_MEDIA_TYPE),
        Cbor::Map(vec![]),
        list_claims(changes),
        &issuer(),
    )
}

fn list_of(bits: u64, bytes: Vec<u8>) -> Vec<u8> {
    let list = Cbor::Map(vec![
        ("bits".into(), bits.into()),
        ("lst".into(), Cbor::Bytes(bytes)),
    ]);
    list_token(vec![(65_533, Some(list))])
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn list_vector(name: &str, token: &[u8], indexes: &[u64]) -> Value {
    json!({ "name": name, "issuer_jwk": issuer().public_key().to_jwk(), "uri": URI, "at": AT,
        "token": hex::encode(token), "indexes": indexes })
}

fn run_list(vector: &Value) -> Result<Value, String> {
    let key = PublicKey::from_jwk(&vector["issuer_jwk"]).unwrap();
    let token = hex::decode(vector["token"].as_str().unwrap()).unwrap();
    StatusListCwt::parse(&token)
        .and_then(|token| {
            token.verify(
                &key,
                vector["uri"].as_str().unwrap(),
                vector["at"].as_i64().unwrap(),
            )
        })
        .and_then(|list| {
            let indexes = vector["indexes"].as_array().unwrap().iter();
            let status = |index: &Value| list.status_at(index.as_u64().unwrap());
            indexes
                .map(|index| status(index).map(|status| status.value().into()))
                .collect::<Result<Vec<Value>, _>>()
        })
        .map(Value::from)
        .map_err(|error| error.code().to_owned())
}

#[test]
fn status_list_cwt_vectors() {
    let v = list_vector;
    let own = {
        let list =
            StatusList::from_entries(2, 8, [(3, Status::Suspended), (5, Status::Invalid)]).unwrap();
        let issuance = StatusListIssuance {
            uri: URI,
            issuer: Some("https://a.example"),
            issued_at: AT,
            expires_at: Some(AT + 9),
            ttl_s: Some(5),
        };
        sign_cwt(&list, &issuance, &issuer())
    };
    let accepted = vec![
        v("as we sign it", &own, &[0, 3, 5, 7]),
        v(
            "one bit, as in the draft",
            &list_token(vec![]),
            &[0, 1, 2, 3, 15],
        ),
        v(
            "eight bits",
            &list_of(8, compressed(&[0, 1, 2, 200])),
            &[0, 1, 2, 3],
        ),
        v(
            "largest list",
            &list_of(1, compressed(&vec![0; MAX_LIST_BYTES])),
            &[16_777_215],
        ),
        v(
            "no exp, no ttl",
            &list_token(vec![(4, None), (65_534, None)]),
            &[0],
        ),
    ];
    let headed =
        |protected: &Cbor| sign1(protected, Cbor::Map(vec![]), list_claims(vec![]), &issuer());
    let r = |name: &str, token: &[u8]| list_vector(name, token, &[16]);
    let crit = {
        let Cbor::Map(mut header) = list_header(-7, CWT_MEDIA_TYPE) else {
            panic!("a map")
        };
        header.push((2.into(), Cbor::Array(vec![16.into()])));
        Cbor::Map(header)
    };
    let doubled = {
        let mut claims = list_claims(vec![]);
        claims[0] += 1; // one more entry in the map
        claims.extend(bytes_of(&2.into()));
        claims.extend(bytes_of(&"https://other.example".into()));
        sign1(
            &list_header(-7, CWT_MEDIA_TYPE),
            Cbor::Map(vec![]),
            claims,
            &issuer(),
        )
    };
    let rejected = vec![
        (
            r("index outside", &list_token(vec![])),
            "status_index_out_of_range",
        ),
        (
            r("alg HMAC 256", &headed(&list_header(5, CWT_MEDIA_TYPE))),
            "status_list_alg_unsupported",
        ),
        (
            r(
                "no alg",
                &headed(&headers(
                    None,
                    Some(b"k"),
                    vec![(16.into(), CWT_MEDIA_TYPE.into())],
                )),
            ),
            "status_list_alg_unsupported",
        ),
        (
            r(
                "alg of another key type",
                &headed(&list_header(-8, CWT_MEDIA_TYPE)),
            ),
            "status_list_alg_mismatch",
        ),
        (
            r("alg PS256", &headed(&list_header(-37, CWT_MEDIA_TYPE))),
            "status_list_alg_mismatch",
        ),
        (r("crit", &headed(&crit)), "status_list_crit_unsupported"),
        (
            r("no typ", &headed(&headers(Some(-7), None, vec![]))),
            "status_list_typ_unexpected",
        ),
        (
            r(
                "typ of the JWT form",
                &headed(&list_header(-7, "application/statuslist+jwt")),
            ),
            "status_list_typ_unexpected",
        ),
        (
            r(
                "signed by another",
                &sign1(
                    &list_header(-7, CWT_MEDIA_TYPE),
                    Cbor::Map(vec![]),
                    list_claims(vec![]),
                    &key(Algorithm::Es256, 9),
                ),
            ),
            "status_list_signature_invalid",
        ),
        (
            r(
                "another list",
                &list_token(vec![(2, Some("https://a.example/status/2".into()))]),
            ),
            "status_list_uri_mismatch",
        ),
        (
            r("no sub", &list_token(vec![(2, Some(1.into()))])),
            "status_list_claim_invalid",
        ),
        (
            r("no iat", &list_token(vec![(6, None)])),
            "status_list_claim_invalid",
        ),
        (
            r(
                "exp of 64 bits",
                &list_token(vec![(4, Some(u64::MAX.into()))]),
            ),
            "status_list_claim_invalid",
        ),
        (
            r(
                "ttl of nothing",
                &list_token(vec![(65_534, Some(0.into()))]),
            ),
            "status_list_claim_invalid",
        ),
        (
            r("no list", &list_token(vec![(65_533, Some(1.into()))])),
            "status_list_claim_invalid",
        ),
        (
            r(
                "list as text",
                &list_token(vec![(
                    65_533,
                    Some(Cbor::Map(vec![
                        ("bits".into(), 1.into()),
                        ("lst".into(), "eNrbuRgAAhcBXQ".into()),
                    ])),
                )]),
            ),
            "status_list_claim_invalid",
        ),
        (
            r("expired", &list_token(vec![(4, Some(AT.into()))])),
            "status_list_expired",
        ),
        (
            r(
                "issued in the future",
                &list_token(vec![(6, Some((AT + 61).into()))]),
            ),
            "status_list_issued_in_future",
        ),
        (r("three bits", &list_of(3, lst())), "status_bits_invalid"),
        (r("256 bits", &list_of(256, lst())), "status_bits_invalid"),
        (
            r("not zlib", &list_of(1, vec![0; 3])),
            "status_list_compression_invalid",
        ),
        (
            r("cut off", &list_of(1, lst()[..5].to_vec())),
            "status_list_compression_invalid",
        ),
        (
            r("a bomb", &list_of(1, compressed(&vec![0; 3 << 20]))),
            "status_list_too_large",
        ),
        (r("sub twice", &doubled), "status_list_malformed"),
        (
            r("nested 5000 deep", &[0x81; 5000]),
            "status_list_malformed",
        ),
        (r("not CBOR", b"x.y"), "status_list_malformed"),
        (
            r(
                "claims an array",
                &sign1(
                    &list_header(-7, CWT_MEDIA_TYPE),
                    Cbor::Map(vec![]),
                    vec![0x80],
                    &issuer(),
                ),
            ),
            "status_list_malformed",
        ),
    ];
    freeze(
        "status-list-cwt.json",
        "statuses",
        run_list,
        accepted,
        rejected,
    );
}

#[test]
fn example_of_the_status_list_draft() {
    let text = include_str!("../vectors/standards.json");
    let standards: Value = serde_json::from_str(text).unwrap();
    for vector in standards["status_list_cwt"].as_array().unwrap() {
        assert_eq!(run_list(vector).as_ref(), Ok(&vector["statuses"]));
        let mut other = vector.clone();
        other["issuer_jwk"] = issuer().public_key().to_jwk();
        assert_eq!(
            run_list(&other).unwrap_err(),
            "status_list_signature_invalid"
        );
    }
}

// ------------------------------------------------------------------- the COSE working group's examples

/// ES256 and EdDSA COSE_Sign1 of `cose-wg/Examples`, through our reader.
#[test]
fn examples_of_the_cose_working_group() {
    let folder =
        std::env::var("TEGATA_VECTORS").unwrap_or_else(|_| "../../../shared/vectors".into());
    let folder = std::path::Path::new(&folder).join("cose");
    if !folder.is_dir() {
        println!(
            "SKIPPED: no folder {}; set TEGATA_VECTORS",
            folder.display()
        );
        return;
    }
    let cases = [
        ("sign1-tests/sign-pass-02.json", Ok(())),
        ("sign1-tests/sign-pass-03.json", Ok(())),
        ("ecdsa-examples/ecdsa-sig-01.json", Ok(())),
        ("eddsa-examples/eddsa-sig-01.json", Ok(())),
        ("CWT/A_3.json", Ok(())),
        ("sign1-tests/sign-pass-01.json", Ok(())),
        ("sign1-tests/sign-fail-01.json", Err("cose_malformed")),
        (
            "sign1-tests/sign-fail-02.json",
            Err("cose_signature_invalid"),
        ),
        ("sign1-tests/sign-fail-03.json", Err("cose_malformed")),
        ("sign1-tests/sign-fail-04.json", Err("cose_alg_unsupported")),
        (
            "sign1-tests/sign-fail-06.json",
            Err("cose_signature_invalid"),
        ),
        (
            "sign1-tests/sign-fail-07.json",
            Err("cose_signature_invalid"),
        ),
        (
            "ecdsa-examples/ecdsa-sig-02.json",
            Err("cose_alg_unsupported"),
        ),
    ];
    for (file, expected) in cases {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let example: Value = serde_json::from_str(&text).unwrap();
        let sign0 = &example["input"]["sign0"];
        let cose = hex::decode(example["output"]["cbor"].as_str().unwrap()).unwrap();
        let aad = hex::decode(sign0["external"].as_str().unwrap_or_default()).unwrap();
        let result = Sign1::parse(&cose).and_then(|sign1| {
            let key = example_key(&sign0["key"]).unwrap();
            sign1.verify(&key, &aad)?;
            let said = &example["input"]["plaintext"];
            if let Some(said) = said.as_str() {
                assert_eq!(sign1.payload(), said.as_bytes(), "{file}");
            }
            Ok(())
        });
        assert_eq!(result.map_err(|fault| fault.code()), expected, "{file}");
    }
}

/// The key of an example: coordinates in base64url or in hexadecimal.
fn example_key(key: &Value) -> Option<VerificationKey> {
    let part = |name: &str| {
        let plain = key[name].as_str().map(common::unb64);
        plain.or_else(|| hex::decode(key[format!("{name}_hex")].as_str()?).ok())
    };
    let public = match key["crv"].as_str()? {
        "P-256" => {
            let sec1 = [vec![4], part("x")?, part("y")?].concat();
            PublicKey::from_bytes(Algorithm::Es256, &sec1)
        }
        "Ed25519" => PublicKey::from_bytes(Algorithm::EdDsa, &part("x")?),
        _ => return None,
    };
    Some(public.ok()?.into())
}

// ------------------------------------------------------------------------------------- trust lists

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
    assert!(document.keys().iter().all(|key| key.issuers() == [did]));

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

/// PS256 is verified with keys given as RSA JWKs too; that one cannot be confused with ES256.
#[test]
fn a_key_is_for_one_algorithm() {
    let text = include_str!("../vectors/dgc-testdata.json");
    let data: Value = serde_json::from_str(text).unwrap();
    let rsa = data["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|case| case["name"] == "CO1")
        .unwrap();
    let list = trusted(rsa);
    let id = certificate_key_id(list.keys()[0].certificate().unwrap());
    let claims = bytes_of(&cwt_claims(vec![]));
    let cose = cose::sign(claims, &id, None, &issuer());
    let hcert = Hcert::parse(&packed(&cose)).unwrap();
    assert_eq!(
        hcert.verify(&list, AT).unwrap_err().code(),
        "hcert_alg_mismatch"
    );
}
