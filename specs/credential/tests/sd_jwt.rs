//! Issue, present, verify, as an issuer, a wallet and a verifier do it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{FixedBytes, key, payload_of};
use proptest::prelude::*;
use serde_json::{Value, json};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::sd_jwt::*;

const AT: i64 = 1_760_000_000;
const VCT: &str = "urn:tegata:record:vaccination:1";

fn claims() -> Value {
    json!({
        "vaccine_code": "mr",
        "date": "2025-04-01",
        "place": { "name": "さくらクリニック", "reference": "Location/1" },
        "protocols": [ { "dose_number": 1 }, { "dose_number": 2 } ],
        "kaup_index": 16.4,
    })
}

fn paths() -> Vec<Path> {
    vec![
        "vaccine_code".into(),
        "place".into(),
        Path::new(["place", "reference"]),
        Path::new([PathStep::from("protocols"), PathStep::All]),
        Path::new([PathStep::from("protocols"), 1.into(), "dose_number".into()]),
    ]
}

fn issued(issuer: &SigningKey, holder: &PublicKey) -> String {
    let (claims, paths) = (claims(), paths());
    issue(
        &Issuance {
            vct_integrity: Some("sha256-abc"),
            expires_at: Some(AT + 1000),
            id: Some("record-1"),
            disclosable: &paths,
            holder: Some(holder),
            status: Some(StatusReference {
                uri: "https://a.example/status/1".into(),
                index: 9,
            }),
            ..Issuance::new("https://a.example", VCT, AT, &claims)
        },
        issuer,
        &mut FixedBytes(1),
    )
    .unwrap()
}

#[test]
fn issue_and_verify_with_either_algorithm() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (issuer, holder) = (key(algorithm, 1), key(algorithm, 2).public_key());
        let text = issued(&issuer, &holder);
        assert_eq!(
            text,
            issued(&issuer, &holder),
            "the same bytes give the same credential"
        );
        assert!(!text.contains(&common::b64("さくら")));

        let unverified = SdJwt::parse(&text).unwrap();
        assert_eq!(unverified.issuer(), Some("https://a.example"));
        assert_eq!(unverified.vct(), Some(VCT));
        assert_eq!(unverified.id(), Some("record-1"));
        assert_eq!(unverified.issued_at(), Some(AT));
        assert_eq!(unverified.key_id(), Some(issuer.key_id().as_str()));
        assert!(!unverified.has_key_binding());

        let verified = unverified
            .verify_with(
                |iss, kid| {
                    assert_eq!(iss, Some("https://a.example"));
                    (kid == Some(&issuer.key_id())).then(|| issuer.public_key())
                },
                AT,
            )
            .unwrap();
        assert_eq!(verified.claims(), &claims());
        assert_eq!(verified.vct(), VCT);
        assert_eq!(verified.vct_integrity(), Some("sha256-abc"));
        assert_eq!(verified.expires_at(), Some(AT + 1000));
        assert_eq!(verified.holder(), Some(&holder));
        assert_eq!(verified.status().unwrap().index, 9);
        assert_eq!(verified.issuer_key(), &issuer.public_key());
        assert_eq!(verified.disclosed().len(), 6);
    }
}

#[test]
fn the_holder_shows_what_she_chooses() {
    let (issuer, holder) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
    let credential = SdJwt::parse(&issued(&issuer, &holder.public_key())).unwrap();
    let mut binding = KeyBinding::new("https://v.example", "n-1", AT + 5);
    binding
        .extra
        .insert("transaction_data_hashes".into(), json!(["abc"]));
    let shown = credential
        .present(&[Path::new(["place", "reference"])], &binding, &holder)
        .unwrap();
    let policy = KeyBindingPolicy {
        audience: "https://v.example",
        nonce: "n-1",
        max_age_s: 60,
    };
    let shown = SdJwt::parse(&shown).unwrap();
    assert!(shown.has_key_binding());
    let verified = shown
        .verify_with_key_binding(&issuer.public_key(), &policy, AT + 10)
        .unwrap();
    assert_eq!(
        verified.credential().claims(),
        &json!({
            "date": "2025-04-01",
            "place": { "name": "さくらクリニック", "reference": "Location/1" },
            "protocols": [],
            "kaup_index": 16.4,
        }),
        "a nested claim brings what it is nested in, and nothing else"
    );
    assert_eq!(
        verified.key_binding_claims()["transaction_data_hashes"],
        json!(["abc"])
    );
    assert_eq!(verified.presented_at(), AT + 5);
}

#[test]
fn nothing_need_be_shown() {
    let (issuer, holder) = (
        key(Algorithm::EdDsa, 1),
        key(Algorithm::EdDsa, 2).public_key(),
    );
    let bare = SdJwt::parse(&issued(&issuer, &holder))
        .unwrap()
        .disclose(&[])
        .unwrap();
    let verified = SdJwt::parse(&bare)
        .unwrap()
        .verify(&issuer.public_key(), AT)
        .unwrap();
    assert_eq!(verified.disclosed(), &[]);
    assert!(verified.claims().get("vaccine_code").is_none());
    assert_eq!(verified.claims()["date"], "2025-04-01");
}

#[test]
fn the_wallet_sees_what_it_can_show() {
    let (issuer, holder) = (
        key(Algorithm::EdDsa, 1),
        key(Algorithm::EdDsa, 2).public_key(),
    );
    let text = issued(&issuer, &holder);
    let mut shown: Vec<String> = SdJwt::parse(&text)
        .unwrap()
        .disclosures()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "place",
            "place.reference",
            "protocols[0]",
            "protocols[1]",
            "protocols[1].dose_number",
            "vaccine_code"
        ]
    );
}

#[test]
fn presenting_is_refused() {
    let (issuer, holder) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 2));
    let credential = SdJwt::parse(&issued(&issuer, &holder.public_key())).unwrap();
    let binding = KeyBinding::new("a", "n", AT);
    let code = |paths: &[Path], binding: &KeyBinding<'_>, key: &SigningKey| {
        credential.present(paths, binding, key).unwrap_err().code()
    };
    assert_eq!(code(&["date".into()], &binding, &holder), "claim_missing");
    assert_eq!(
        code(&["nothing".into()], &binding, &holder),
        "claim_missing"
    );
    assert_eq!(
        code(&[], &binding, &key(Algorithm::EdDsa, 3)),
        "holder_key_mismatch"
    );
    let mut taken = binding;
    taken.extra.insert("aud".into(), "b".into());
    assert_eq!(code(&[], &taken, &holder), "claim_name_reserved");
}

#[test]
fn issuing_is_refused() {
    let key = key(Algorithm::EdDsa, 1);
    let refused = |claims: Value, paths: &[Path]| {
        let issuance = Issuance {
            disclosable: paths,
            ..Issuance::new("i", VCT, AT, &claims)
        };
        issue(&issuance, &key, &mut FixedBytes(1))
            .unwrap_err()
            .code()
    };
    assert_eq!(refused(json!([1]), &[]), "claims_not_object");
    for name in REGISTERED_CLAIMS {
        assert_eq!(
            refused(json!({ name: "x" }), &[]),
            "claim_name_reserved",
            "{name}"
        );
        assert_eq!(
            refused(json!({}), &[name.into()]),
            "claim_name_reserved",
            "{name}"
        );
    }
    for name in ["_sd", "...", "_sd_alg"] {
        assert_eq!(
            refused(json!({ "a": [{ name: "x" }] }), &[]),
            "claim_name_reserved",
            "{name}"
        );
    }
    assert_eq!(refused(json!({ "a": 1 }), &["b".into()]), "claim_missing");
    let mut deep = json!(1);
    for _ in 0..MAX_ISSUED_DEPTH {
        deep = json!([deep]);
    }
    assert_eq!(refused(json!({ "a": deep }), &[]), "too_deep");
    assert_eq!(
        refused(json!({ "a": "x".repeat(MAX_BYTES) }), &[]),
        "too_large"
    );
    let many: Vec<u8> = vec![0; MAX_DISCLOSURES + 1];
    let all = Path::new([PathStep::from("a"), PathStep::All]);
    assert_eq!(
        refused(json!({ "a": many }), &[all]),
        "disclosures_too_many"
    );
    let claims = json!({});
    let backwards = Issuance {
        expires_at: Some(AT),
        ..Issuance::new("i", VCT, AT, &claims)
    };
    assert_eq!(
        issue(&backwards, &key, &mut FixedBytes(1))
            .unwrap_err()
            .code(),
        "expiry_before_issue"
    );
}

#[test]
fn salts_differ_and_digests_are_sorted() {
    let (issuer, holder) = (
        key(Algorithm::EdDsa, 1),
        key(Algorithm::EdDsa, 2).public_key(),
    );
    let text = issued(&issuer, &holder);
    let salts: std::collections::BTreeSet<String> = text
        .split('~')
        .skip(1)
        .filter(|part| !part.is_empty())
        .map(|part| serde_json::from_slice::<Value>(&common::unb64(part)).unwrap()[0].to_string())
        .collect();
    assert_eq!(salts.len(), 6);
    let digests = payload_of(&text)["_sd"].as_array().unwrap().clone();
    let mut sorted = digests.clone();
    sorted.sort_by_key(ToString::to_string);
    assert_eq!(
        digests, sorted,
        "their order tells nothing about the claims"
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the claims and whatever is disclosable: what is issued verifies to the same
    /// claims, and any subset presents.
    #[test]
    fn any_claims_come_back(
        map in prop::collection::btree_map("[a-z]{4,8}", json_value(), 1..6),
        conceal in prop::collection::vec(any::<bool>(), 6),
        show in prop::collection::vec(any::<bool>(), 6),
    ) {
        let issuer = key(Algorithm::EdDsa, 1);
        let holder = key(Algorithm::EdDsa, 2);
        let names: Vec<String> = map.keys().cloned().collect();
        let claims = Value::Object(map.into_iter().collect());
        let concealed: Vec<&String> =
            names.iter().zip(&conceal).filter(|(_, c)| **c).map(|(n, _)| n).collect();
        let paths: Vec<Path> = concealed.iter().map(|n| n.as_str().into()).collect();
        let public = holder.public_key();
        let text = issue(
            &Issuance {
                disclosable: &paths,
                holder: Some(&public),
                ..Issuance::new("i", VCT, AT, &claims)
            },
            &issuer,
            &mut FixedBytes(7),
        ).unwrap();
        let parsed = SdJwt::parse(&text).unwrap();
        let verified = parsed.verify(&issuer.public_key(), AT).unwrap();
        prop_assert_eq!(verified.claims(), &claims);

        let chosen: Vec<Path> =
            paths.iter().zip(&show).filter(|(_, s)| **s).map(|(p, _)| p.clone()).collect();
        let shown = parsed.present(&chosen, &KeyBinding::new("a", "n", AT), &holder).unwrap();
        let policy = KeyBindingPolicy { audience: "a", nonce: "n", max_age_s: 0 };
        let verified = SdJwt::parse(&shown).unwrap()
            .verify_with_key_binding(&issuer.public_key(), &policy, AT).unwrap();
        for name in &names {
            let visible = !concealed.contains(&name) || chosen.contains(&name.as_str().into());
            prop_assert_eq!(verified.credential().claims().get(name).is_some(), visible);
        }
    }

    /// No text makes the parser panic, and no altered credential verifies.
    #[test]
    fn altered_credentials_never_verify(position in any::<prop::sample::Index>(), byte in 33u8..126) {
        let (issuer, holder) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 2));
        let credential = SdJwt::parse(&issued(&issuer, &holder.public_key())).unwrap();
        let text = credential
            .present(&["place".into()], &KeyBinding::new("a", "n", AT), &holder)
            .unwrap();
        let mut bytes = text.clone().into_bytes();
        let position = position.index(bytes.len());
        prop_assume!(bytes[position] != byte);
        bytes[position] = byte;
        let altered = String::from_utf8(bytes).unwrap();
        let policy = KeyBindingPolicy { audience: "a", nonce: "n", max_age_s: 10 };
        let verified = SdJwt::parse(&altered)
            .and_then(|s| s.verify_with_key_binding(&issuer.public_key(), &policy, AT));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn rubbish_never_panics(text in "[-A-Za-z0-9_.~]{0,400}") {
        let _ = SdJwt::parse(&text);
        let _ = tegata_credential::status_list::StatusListToken::parse(&text);
    }
}

/// Everything that a text of a copy says: every name and value of its header, payload and
/// disclosures, and its signature.
fn everything(copy: &str) -> std::collections::BTreeSet<String> {
    fn walk(value: &Value, out: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, out)),
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                out.insert(name.clone());
                walk(value, out);
            }),
            Value::String(text) => {
                out.insert(text.clone());
            }
            other => {
                out.insert(other.to_string());
            }
        }
    }
    let mut out = std::collections::BTreeSet::new();
    let mut parts = copy.trim_end_matches('~').split('~');
    let jwt: Vec<&str> = parts.next().unwrap().split('.').collect();
    out.insert(jwt[2].to_owned());
    for part in jwt[..2].iter().copied().chain(parts) {
        walk(
            &serde_json::from_slice(&common::unb64(part)).unwrap(),
            &mut out,
        );
    }
    out
}

#[test]
fn copies_of_a_batch_have_nothing_in_common_but_what_thousands_share() {
    let issuer = key(Algorithm::Es256, 1);
    let holders: Vec<PublicKey> = (2..6)
        .map(|n| key(Algorithm::Es256, n).public_key())
        .collect();
    let copies: Vec<BatchCopy<'_>> = holders
        .iter()
        .zip([77, 1_000_003, 500_001, 42])
        .map(|(holder, index)| BatchCopy {
            holder,
            status: StatusReference {
                uri: "https://a.example/status/1".into(),
                index,
            },
        })
        .collect();
    let (claims, paths) = (claims(), paths());
    let issuance = Issuance {
        vct_integrity: Some("sha256-abc"),
        expires_at: Some(AT + 30 * ISSUED_TO_THE_S),
        disclosable: &paths,
        decoys: 2,
        ..Issuance::new("https://a.example", VCT, AT, &claims)
    };
    let issued = issue_batch(&issuance, &copies, &issuer, &mut FixedBytes(1)).unwrap();
    let day = AT - AT % ISSUED_TO_THE_S;
    let shared = [
        // header and registered claims
        "typ",
        "dc+sd-jwt",
        "kid",
        &issuer.key_id(),
        "alg",
        "ES256",
        "iss",
        "https://a.example",
        "iat",
        &day.to_string(),
        "exp",
        &(day + 30 * ISSUED_TO_THE_S).to_string(),
        "vct",
        VCT,
        "vct#integrity",
        "sha256-abc",
        "_sd",
        "_sd_alg",
        "sha-256",
        "...",
        "cnf",
        "jwk",
        "kty",
        "EC",
        "crv",
        "P-256",
        "x",
        "y",
        "status",
        "status_list",
        "uri",
        "idx",
        "https://a.example/status/1",
        // the claims
        "vaccine_code",
        "mr",
        "date",
        "2025-04-01",
        "place",
        "name",
        "さくらクリニック",
        "reference",
        "Location/1",
        "protocols",
        "dose_number",
        "1",
        "2",
        "kaup_index",
        "16.4",
    ];
    for (index, copy) in issued.iter().enumerate() {
        let credential = SdJwt::parse(copy).unwrap();
        let verified = credential.verify(&issuer.public_key(), AT).unwrap();
        assert_eq!(verified.claims(), &self::claims());
        assert_eq!(verified.holder(), Some(&holders[index]));
        assert_eq!(verified.issued_at(), Some(day));
        // Two lists of digests, one inside a disclosure: two more in each.
        let digests = payload_of(copy)["_sd"].as_array().unwrap().len();
        assert_eq!(digests, 2 + 2);
        for other in &issued[..index] {
            for value in everything(copy).intersection(&everything(other)) {
                assert!(shared.contains(&value.as_str()), "{value} is in two copies");
            }
        }
    }
}

#[test]
fn a_batch_that_would_be_linked_is_refused() {
    let issuer = key(Algorithm::EdDsa, 1);
    let [one, two] = [2, 3].map(|n| key(Algorithm::EdDsa, n).public_key());
    let place = |index| StatusReference {
        uri: "https://a.example/status/1".into(),
        index,
    };
    let copy = |holder, index| BatchCopy {
        holder,
        status: place(index),
    };
    let claims = claims();
    let plain = Issuance::new("https://a.example", VCT, AT, &claims);
    let refused = |issuance: &Issuance<'_>, copies: &[BatchCopy<'_>]| {
        let error = issue_batch(issuance, copies, &issuer, &mut FixedBytes(1)).unwrap_err();
        assert_eq!(error.code(), "copies_linkable");
        error.to_string()
    };
    let both = [copy(&one, 1), copy(&two, 2)];
    assert_eq!(
        issue_batch(&plain, &both, &issuer, &mut FixedBytes(1))
            .unwrap()
            .len(),
        2
    );
    assert!(refused(&plain, &[copy(&one, 1), copy(&one, 2)]).contains("cnf"));
    assert!(refused(&plain, &[copy(&one, 1), copy(&two, 1)]).contains("status"));
    let named = Issuance {
        id: Some("r-1"),
        ..plain.clone()
    };
    assert!(refused(&named, &both).contains("jti"));
    let held = Issuance {
        holder: Some(&one),
        ..plain.clone()
    };
    assert!(refused(&held, &both).contains("cnf"));
    let placed = Issuance {
        status: Some(place(1)),
        ..plain.clone()
    };
    assert!(refused(&placed, &both).contains("status"));
    // The day of expiry may not be the day of issue.
    let short = Issuance {
        expires_at: Some(AT + 1),
        ..plain
    };
    let error = issue_batch(&short, &both, &issuer, &mut FixedBytes(1)).unwrap_err();
    assert_eq!(error.code(), "expiry_before_issue");
}

#[test]
fn the_certificate_chain_travels_in_the_header() {
    use tegata_credential::x509;
    let (authority_key, issuer) = (key(Algorithm::Es256, 9), key(Algorithm::Es256, 1));
    let subject = x509::Subject {
        common_name: "Sakura City",
        organisation: "Sakura City",
        country: "JP",
        dns_names: &[],
        uris: &["https://a.example"],
    };
    let valid = AT - 1..=AT + 1;
    let authority =
        x509::issue_authority(&subject, &authority_key, valid.clone(), &mut FixedBytes(5)).unwrap();
    let public = issuer.public_key();
    let leaf = x509::issue(
        &subject,
        &public,
        &authority,
        &authority_key,
        valid,
        &mut FixedBytes(7),
    )
    .unwrap();
    let chain = [leaf];
    let claims = claims();
    let issuance = Issuance {
        certificates: &chain,
        ..Issuance::new("https://a.example", VCT, AT, &claims)
    };
    let text = issue(&issuance, &issuer, &mut FixedBytes(1)).unwrap();
    let credential = SdJwt::parse(&text).unwrap();
    let found = credential.certificates().unwrap();
    let leaf = x509::verify_chain(&found, std::slice::from_ref(&authority), AT).unwrap();
    credential.verify(&leaf.public_key().unwrap(), AT).unwrap();
    // Another key's certificate is no proof of anything.
    let error = issue(&issuance, &authority_key, &mut FixedBytes(1)).unwrap_err();
    assert_eq!(error.code(), "certificate_key_mismatch");
    for (x5c, code) in [
        (json!("AA"), "x509_malformed"),
        (json!([1]), "x509_malformed"),
        (json!(["!"]), "x509_malformed"),
        (json!(vec!["AA"; 7]), "x509_too_large"),
    ] {
        let header = json!({ "alg": "ES256", "typ": "dc+sd-jwt", "x5c": x5c }).to_string();
        let text = format!("{}~", common::jws(&header, "{}", &issuer));
        let error = SdJwt::parse(&text).unwrap().certificates().unwrap_err();
        assert_eq!(error.code(), code, "{x5c}");
    }
}
