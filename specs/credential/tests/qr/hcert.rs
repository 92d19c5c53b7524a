//! Health certificates.

use super::{AT, DAY_S, bytes_of, certificate, freeze, headers, issuer, own_id, sign1, signer};
use crate::common::key;
use ciborium::Value as Cbor;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use std::io::Write as _;
use tegata_credential::cose;
use tegata_credential::hcert::{self, Hcert, HcertIssuance};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::trust_list::{TrustList, TrustedKey, certificate_key_id};
use tegata_credential::x509::Certificate;

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

/// The EU's own test data: each case with the outcome that its description asks for.
#[test]
fn test_data_of_the_digital_green_certificates() {
    let text = include_str!("../../vectors/dgc-testdata.json");
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

/// PS256 is verified with keys given as RSA JWKs too; that one cannot be confused with ES256.
#[test]
fn a_key_is_for_one_algorithm() {
    let text = include_str!("../../vectors/dgc-testdata.json");
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
}
