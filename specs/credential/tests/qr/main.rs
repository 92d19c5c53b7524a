//! The frozen vectors of what is checked offline: `vectors/hcert.json`, `vectors/smart-health-card.json`
//! and `vectors/status-list-cwt.json`, and others' of the same formats: `vectors/dgc-testdata.json`,
//! the example of the SMART Health Cards Framework, the COSE working group's.
//!
//! Cases are made here, by an honest issuer and by a forger who holds the issuer's key; the files
//! freeze them. `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-credential --test qr` writes new ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod card;
#[path = "../common/mod.rs"]
mod common;
mod cose;
#[path = "../common/frozen.rs"]
mod frozen;
mod hcert;
mod status_list;
mod trust_list;

use ciborium::Value as Cbor;
use common::{FixedBytes, key};
use frozen::frozen;
use serde_json::{Value, json};
use tegata_credential::hcert::Hcert;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::smart_health_card::{self as shc, SmartHealthCard};
use tegata_credential::status_list::StatusListCwt;
use tegata_credential::trust_list::{MAX_LIST_BYTES, TrustList, certificate_key_id};
use tegata_credential::x509::{self, Certificate, Subject};

const AT: i64 = 1_760_000_000;
const DAY_S: i64 = 86_400;

fn issuer() -> SigningKey {
    key(Algorithm::Es256, 1)
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

fn certificate(fill: u8, valid: std::ops::RangeInclusive<i64>) -> Certificate {
    let subject = Subject {
        common_name: "Document signer",
        organisation: "Wakaba City",
        country: "JP",
        dns_names: &[],
        uris: &[],
    };
    let (signer, authority) = (key(Algorithm::Es256, fill).public_key(), authority_key());
    let rng = &mut FixedBytes(u64::from(fill) << 8);
    x509::issue(
        &subject,
        &signer,
        &authority_certificate(),
        &authority,
        valid,
        rng,
    )
    .unwrap()
}

fn authority_key() -> SigningKey {
    key(Algorithm::Es256, 200)
}

fn authority_certificate() -> Certificate {
    let subject = Subject {
        common_name: "Authority",
        organisation: "Wakaba City",
        country: "JP",
        dns_names: &[],
        uris: &[],
    };
    let valid = AT - 100 * DAY_S..=AT + 1000 * DAY_S;
    x509::issue_authority(&subject, &authority_key(), valid, &mut FixedBytes(9)).unwrap()
}

fn signer() -> Certificate {
    certificate(1, AT - 100 * DAY_S..=AT + 1000 * DAY_S)
}

fn own_id() -> [u8; 8] {
    certificate_key_id(&signer())
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
    let list = vec![b'{'; MAX_LIST_BYTES + 1];
    assert_eq!(
        TrustList::parse(&list).unwrap_err().code(),
        "trust_list_too_large"
    );
}
