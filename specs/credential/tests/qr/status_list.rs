//! Status lists in their CWT form.

use super::{AT, bytes_of, freeze, headers, issuer, sign1};
use crate::common::{self, key};
use ciborium::Value as Cbor;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use std::io::Write as _;
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::status_list::{
    CWT_MEDIA_TYPE, MAX_LIST_BYTES, Status, StatusList, StatusListCwt, StatusListIssuance, sign_cwt,
};

const URI: &str = "https://a.example/status/1";

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
    let text = include_str!("../../vectors/standards.json");
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
