//! Requests and queries of OpenID4VP, from `vectors/openid4vp.json`: what is accepted, and each reason for which something
//! is not.
//!
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-credential --test openid4vp` writes the file anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the report"
)]

mod common;

use common::{FixedBytes, b64, jws, key};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tegata_credential::dcql::{DcqlQuery, FORMAT};
use tegata_credential::did::Did;
use tegata_credential::jwe::{self, Jwe};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::openid4vp::{
    Asked, ClientId, Expected, KeyName, MAX_REQUEST_BYTES, RequestObject, TransactionData,
    WALLET_AUDIENCE, binding_claims, check_transaction_data, sign_request,
};
use tegata_credential::sd_jwt::{Issuance, Path, SdJwt, issue};
use tegata_credential::x509::{Certificate, Subject, issue as issue_certificate, issue_authority};

const AT: i64 = 1_800_000_000;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct RequestVector {
    name: String,
    request: String,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    wallet_nonce: Option<String>,
    /// Public keys (JWK) by DID URL.
    keys: BTreeMap<String, Value>,
    at: i64,
    /// Absent: accepted. Otherwise the code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct AnswerVector {
    name: String,
    query: Value,
    vp_token: Value,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct MatchVector {
    name: String,
    query: Value,
    vct: String,
    payload: Value,
    disclosed: Vec<Path>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    page: String,
    requests: Vec<RequestVector>,
    vp_tokens: Vec<AnswerVector>,
    matches: Vec<MatchVector>,
}

impl RequestVector {
    fn judge(&self) -> Result<(), &'static str> {
        let expected = Expected {
            client_id: &self.client_id,
            wallet_nonce: self.wallet_nonce.as_deref(),
        };
        let resolve = |url: &str| PublicKey::from_jwk(self.keys.get(url)?).ok();
        RequestObject::parse(&self.request)
            .and_then(|request| request.verify(&expected, resolve, self.at))
            .map(drop)
            .map_err(|error| error.code())
    }
}

fn verifier() -> SigningKey {
    key(Algorithm::Es256, 7)
}

fn certificate(valid_s: std::ops::RangeInclusive<i64>) -> Certificate {
    let subject = Subject {
        common_name: "Verifier",
        organisation: "Verifier",
        country: "JP",
        dns_names: &["verifier.example"],
        uris: &[],
    };
    let authority_key = key(Algorithm::Es256, 8);
    let mut rng = FixedBytes(1);
    let authority =
        issue_authority(&subject, &authority_key, AT - 10..=AT + 10_000, &mut rng).unwrap();
    let public = verifier().public_key();
    issue_certificate(
        &subject,
        &public,
        &authority,
        &authority_key,
        valid_s,
        &mut rng,
    )
    .unwrap()
}

fn asked() -> Asked {
    Asked {
        chain: "11".repeat(32),
        organisation: "22".repeat(32),
        categories: vec!["vaccination".into()],
        purpose: "care".into(),
        legal_basis: "consent".into(),
        retention_days: 30,
        until_ms: 1_800_000_600_000,
    }
}

fn query() -> Value {
    json!({ "credentials": [{
        "id": "v", "format": FORMAT, "meta": { "vct_values": ["urn:v"] }, "claims": [{ "path": ["date"] }],
    }] })
}

fn payload(client_id: &str) -> Map<String, Value> {
    let mut jwk = key(Algorithm::Es256, 9).public_key().to_jwk();
    jwk["use"] = "enc".into();
    jwk["alg"] = "ECDH-ES".into();
    jwk["kid"] = "k-1".into();
    let Value::Object(payload) = json!({
        "response_type": "vp_token", "response_mode": "direct_post.jwt", "client_id": client_id, "aud": WALLET_AUDIENCE,
        "nonce": "n-1", "state": "s-1", "iat": AT, "exp": AT + 600,
        "response_uri": "https://verifier.example/v1/presentations/00/response", "dcql_query": query(),
        "client_metadata": {
            "jwks": { "keys": [jwk] }, "encrypted_response_enc_values_supported": ["A128GCM", "A256GCM"],
            "vp_formats_supported": { "dc+sd-jwt": {} },
        },
        "transaction_data": [asked().to_transaction_data(&["v"])],
    }) else {
        unreachable!()
    };
    payload
}

fn requests() -> Vec<RequestVector> {
    let chain = [certificate(AT - 10..=AT + 10_000)];
    let by_hash = ClientId::of_certificate(&chain[0]).to_string();
    let did = Did::jwk(&verifier().public_key()).to_string();
    let by_did = ClientId::Did(did.clone()).to_string();
    let url = format!("{did}#0");
    let keys: BTreeMap<_, _> = [(url.clone(), verifier().public_key().to_jwk())].into();
    let vector = |name: &str, request: String, refused: Option<&str>| RequestVector {
        name: name.into(),
        request,
        client_id: by_hash.clone(),
        wallet_nonce: None,
        keys: keys.clone(),
        at: AT + 1,
        refused: refused.map(str::to_owned),
    };
    let signed = |payload: &Map<String, Value>| {
        sign_request(payload, KeyName::Certificates(&chain), &verifier())
    };
    let good = payload(&by_hash);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = Value::Object(good.clone());
        change(&mut value);
        let Value::Object(payload) = value else {
            unreachable!()
        };
        signed(&payload)
    };
    let without = |name: &str| {
        let mut payload = good.clone();
        payload.remove(name);
        signed(&payload)
    };
    let header = |header: Value| {
        jws(
            &header.to_string(),
            &Value::Object(good.clone()).to_string(),
            &verifier(),
        )
    };
    let x5c = json!([chain[0].to_base64()]);
    let mut vectors = vec![
        vector("x509_hash", signed(&good), None),
        RequestVector {
            client_id: by_did.clone(),
            ..vector(
                "decentralized_identifier",
                sign_request(&payload(&by_did), KeyName::DidUrl(&url), &verifier()),
                None,
            )
        },
        RequestVector {
            wallet_nonce: Some("w".into()),
            ..vector(
                "with the wallet's nonce",
                with(&|v| v["wallet_nonce"] = "w".into()),
                None,
            )
        },
        vector(
            "plain response",
            with(&|v| v["response_mode"] = "direct_post".into()),
            None,
        ),
        vector(
            "without transaction data",
            without("transaction_data"),
            None,
        ),
        vector("without state", without("state"), None),
        vector(
            "an audience of several",
            with(&|v| v["aud"] = json!(["x", WALLET_AUDIENCE])),
            None,
        ),
        vector("an unknown member", with(&|v| v["x"] = 1.into()), None),
    ];
    let mut refuse = |name: &str, request: String, code: &str| {
        vectors.push(vector(name, request, Some(code)));
    };
    refuse("not a JWT", "x".into(), "request_malformed");
    refuse(
        "another typ",
        header(json!({ "alg": "ES256", "typ": "JWT", "x5c": x5c })),
        "request_typ_unexpected",
    );
    refuse(
        "no typ",
        header(json!({ "alg": "ES256", "x5c": x5c })),
        "request_typ_unexpected",
    );
    refuse(
        "alg none",
        header(json!({ "alg": "none", "typ": "oauth-authz-req+jwt", "x5c": x5c })),
        "request_alg_none",
    );
    refuse(
        "alg HS256",
        header(json!({ "alg": "HS256", "typ": "oauth-authz-req+jwt", "x5c": x5c })),
        "request_alg_unsupported",
    );
    refuse(
        "another algorithm than the key's",
        header(json!({ "alg": "EdDSA", "typ": "oauth-authz-req+jwt", "x5c": x5c })),
        "request_signature_invalid",
    );
    refuse(
        "critical extensions",
        header(json!({ "alg": "ES256", "typ": "oauth-authz-req+jwt", "x5c": x5c, "crit": ["x"] })),
        "request_crit_unsupported",
    );
    refuse(
        "no certificate",
        header(json!({ "alg": "ES256", "typ": "oauth-authz-req+jwt" })),
        "request_member_invalid",
    );
    refuse(
        "a certificate that is none",
        header(json!({ "alg": "ES256", "typ": "oauth-authz-req+jwt", "x5c": ["AAAA"] })),
        "x509_malformed",
    );
    refuse(
        "signed by somebody else",
        sign_request(
            &good,
            KeyName::Certificates(&chain),
            &key(Algorithm::Es256, 6),
        ),
        "request_signature_invalid",
    );
    let other = [certificate(AT - 10..=AT + 20_000)];
    refuse(
        "another certificate for the same key",
        sign_request(&good, KeyName::Certificates(&other), &verifier()),
        "client_certificate_mismatch",
    );
    refuse(
        "another client than the link's",
        with(&|v| v["client_id"] = by_did.clone().into()),
        "client_id_mismatch",
    );
    refuse(
        "a prefix that is not spoken",
        with(&|v| v["client_id"] = "redirect_uri:x".into()),
        "client_id_unsupported",
    );
    refuse(
        "a client without prefix",
        with(&|v| v["client_id"] = "verifier".into()),
        "client_id_unsupported",
    );
    refuse("no client", without("client_id"), "client_id_unsupported");
    refuse(
        "for another wallet",
        with(&|v| v["aud"] = "https://wallet.example".into()),
        "request_audience_mismatch",
    );
    refuse("no audience", without("aud"), "request_audience_mismatch");
    refuse(
        "expired",
        with(&|v| v["exp"] = AT.into()),
        "request_expired",
    );
    refuse(
        "of tomorrow",
        with(&|v| v["iat"] = (AT + 86_400).into()),
        "request_expired",
    );
    refuse(
        "a nonce that the wallet did not give",
        with(&|v| v["wallet_nonce"] = "w".into()),
        "wallet_nonce_mismatch",
    );
    refuse(
        "another response type",
        with(&|v| v["response_type"] = "code".into()),
        "request_member_invalid",
    );
    refuse(
        "another response mode",
        with(&|v| v["response_mode"] = "fragment".into()),
        "request_member_invalid",
    );
    refuse(
        "a redirect",
        with(&|v| v["redirect_uri"] = "https://x.example".into()),
        "request_member_invalid",
    );
    for name in [
        "response_uri",
        "nonce",
        "dcql_query",
        "response_type",
        "response_mode",
    ] {
        refuse(
            &format!("without {name}"),
            without(name),
            "request_member_invalid",
        );
    }
    refuse(
        "no key to encrypt to",
        with(&|v| v["client_metadata"]["jwks"] = json!({ "keys": [] })),
        "response_encryption_unsupported",
    );
    refuse(
        "an Ed25519 key to encrypt to",
        with(&|v| {
            v["client_metadata"]["jwks"]["keys"] =
                json!([key(Algorithm::EdDsa, 1).public_key().to_jwk()]);
        }),
        "response_encryption_unsupported",
    );
    refuse(
        "an encryption that is not known",
        with(&|v| {
            v["client_metadata"]["encrypted_response_enc_values_supported"] =
                json!(["A128CBC-HS256"]);
        }),
        "response_encryption_unsupported",
    );
    refuse(
        "no metadata",
        without("client_metadata"),
        "response_encryption_unsupported",
    );
    refuse(
        "a query without credentials",
        with(&|v| v["dcql_query"] = json!({ "credentials": [] })),
        "dcql_invalid",
    );
    refuse(
        "transaction data that is none",
        with(&|v| v["transaction_data"] = json!(["x"])),
        "transaction_data_invalid",
    );
    refuse(
        "transaction data for no credential",
        with(&|v| v["transaction_data"] = json!([asked().to_transaction_data(&["w"])])),
        "transaction_data_invalid",
    );
    refuse(
        "no transaction data in the list",
        with(&|v| v["transaction_data"] = json!([])),
        "transaction_data_invalid",
    );
    refuse(
        "transaction data under another hash",
        with(&|v| {
            let text = json!({ "type": "t", "credential_ids": ["v"], "transaction_data_hashes_alg": ["sha-512"] });
            v["transaction_data"] = json!([b64(text.to_string())]);
        }),
        "transaction_data_invalid",
    );
    vectors.push(RequestVector {
        at: AT + 10_001,
        ..vector(
            "after the certificate's end",
            with(&|v| v["exp"] = (AT + 50_000).into()),
            Some("x509_outside_validity"),
        )
    });
    vectors.push(RequestVector {
        wallet_nonce: Some("w".into()),
        ..vector(
            "another nonce than the wallet's",
            with(&|v| v["wallet_nonce"] = "x".into()),
            Some("wallet_nonce_mismatch"),
        )
    });
    let did_request = |url: &str, signer: &SigningKey| {
        sign_request(&payload(&by_did), KeyName::DidUrl(url), signer)
    };
    for (name, request, code) in [
        (
            "a DID, signed by somebody else",
            did_request(&url, &key(Algorithm::Es256, 6)),
            "request_signature_invalid",
        ),
        (
            "a key of another DID",
            did_request("did:web:x.example#0", &verifier()),
            "client_key_unknown",
        ),
        (
            "a key that nobody knows",
            did_request(&format!("{did}#1"), &verifier()),
            "client_key_unknown",
        ),
        (
            "a DID without key",
            did_request(&did, &verifier()),
            "client_key_unknown",
        ),
    ] {
        vectors.push(RequestVector {
            client_id: by_did.clone(),
            ..vector(name, request, Some(code))
        });
    }
    vectors
}

fn vp_tokens() -> Vec<AnswerVector> {
    let one = |id: &str| json!({ "id": id, "format": FORMAT, "meta": { "vct_values": ["urn:v"] } });
    let mut all = json!({ "credentials": [one("a"), one("b"), one("c")] });
    all["credentials"][2]["multiple"] = true.into();
    let mut sets = all.clone();
    sets["credential_sets"] = json!([
        { "options": [["a"], ["b", "c"]] }, { "options": [["c"]], "required": false },
    ]);
    let vector = |name: &str, query: &Value, vp_token: Value, refused: Option<&str>| AnswerVector {
        name: name.into(),
        query: query.clone(),
        vp_token,
        refused: refused.map(str::to_owned),
    };
    vec![
        vector(
            "all",
            &all,
            json!({ "a": ["x"], "b": ["x"], "c": ["x", "y"] }),
            None,
        ),
        vector(
            "one missing",
            &all,
            json!({ "a": ["x"], "b": ["x"] }),
            Some("vp_token_missing"),
        ),
        vector(
            "two where one was asked for",
            &all,
            json!({ "a": ["x", "y"], "b": ["x"], "c": ["x"] }),
            Some("vp_token_too_many"),
        ),
        vector(
            "an unknown id",
            &all,
            json!({ "a": ["x"], "d": ["x"] }),
            Some("vp_token_id_unknown"),
        ),
        vector("a text", &all, json!("x"), Some("vp_token_malformed")),
        vector("an array", &all, json!(["x"]), Some("vp_token_malformed")),
        vector(
            "not in an array",
            &all,
            json!({ "a": "x" }),
            Some("vp_token_malformed"),
        ),
        vector(
            "an empty array",
            &all,
            json!({ "a": [] }),
            Some("vp_token_malformed"),
        ),
        vector(
            "a number",
            &all,
            json!({ "a": [1] }),
            Some("vp_token_malformed"),
        ),
        vector("the first option", &sets, json!({ "a": ["x"] }), None),
        vector(
            "the second option",
            &sets,
            json!({ "b": ["x"], "c": ["x"] }),
            None,
        ),
        vector(
            "half an option",
            &sets,
            json!({ "b": ["x"] }),
            Some("vp_token_set_unsatisfied"),
        ),
        vector(
            "nothing",
            &sets,
            json!({}),
            Some("vp_token_set_unsatisfied"),
        ),
    ]
}

fn matches() -> Vec<MatchVector> {
    let payload = json!({
        "vct": "urn:v", "date": "2025-04-01", "place": { "name": "Sakura" },
        "doses": [{ "number": 1 }, { "number": 2 }],
    });
    let vector =
        |name: &str, claims: Value, disclosed: &[Value], refused: Option<&str>| MatchVector {
            name: name.into(),
            query: {
                let mut query = query();
                query["credentials"][0]["claims"] = claims;
                query
            },
            vct: "urn:v".into(),
            payload: payload.clone(),
            disclosed: disclosed
                .iter()
                .map(|path| serde_json::from_value(path.clone()).unwrap())
                .collect(),
            refused: refused.map(str::to_owned),
        };
    vec![
        vector(
            "a claim",
            json!([{ "path": ["date"] }]),
            &[json!(["date"])],
            None,
        ),
        vector(
            "one that is always visible",
            json!([{ "path": ["date"] }]),
            &[],
            None,
        ),
        vector(
            "in an object",
            json!([{ "path": ["place", "name"] }]),
            &[json!(["place"]), json!(["place", "name"])],
            None,
        ),
        vector(
            "in every element",
            json!([{ "path": ["doses", null, "number"], "values": [2, 3] }]),
            &[json!(["doses", 1])],
            None,
        ),
        vector(
            "missing",
            json!([{ "path": ["lot"] }]),
            &[],
            Some("dcql_claim_missing"),
        ),
        vector(
            "a path that does not fit",
            json!([{ "path": ["date", null] }]),
            &[],
            Some("dcql_claim_missing"),
        ),
        vector(
            "another value",
            json!([{ "path": ["date"], "values": ["2025-04-02"] }]),
            &[],
            Some("dcql_claim_value"),
        ),
        vector(
            "more than was asked for",
            json!([{ "path": ["date"] }]),
            &[json!(["date"]), json!(["place"])],
            Some("dcql_claim_not_asked"),
        ),
        MatchVector {
            vct: "urn:w".into(),
            ..vector(
                "another type",
                json!([{ "path": ["date"] }]),
                &[],
                Some("dcql_type_mismatch"),
            )
        },
    ]
}

#[test]
fn vectors() {
    let all = Vectors {
        page: "openid4vp.md".into(),
        requests: requests(),
        vp_tokens: vp_tokens(),
        matches: matches(),
    };
    for vector in &all.requests {
        assert_eq!(
            vector.judge().err(),
            vector.refused.as_deref(),
            "{}",
            vector.name
        );
    }
    for vector in &all.vp_tokens {
        let query = DcqlQuery::from_value(vector.query.clone()).unwrap();
        let found = query.answered(&vector.vp_token).map(drop);
        let found = found.map_err(|error| error.code());
        assert_eq!(found.err(), vector.refused.as_deref(), "{}", vector.name);
    }
    for vector in &all.matches {
        let query = DcqlQuery::from_value(vector.query.clone()).unwrap();
        let found = query.credentials()[0].matches(
            &vector.vct,
            vector.payload.as_object().unwrap(),
            &vector.disclosed,
        );
        let found = found.map_err(|error| error.code());
        assert_eq!(found.err(), vector.refused.as_deref(), "{}", vector.name);
    }
    let path = format!("{}/vectors/openid4vp.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).expect("the vectors are in the repository");
    let stored: Vectors = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, all, "an encoding has changed");
}

#[test]
fn every_altered_character_of_a_request_is_noticed() {
    let good = &requests()[0];
    let (text, step) = (&good.request, 7);
    for position in (0..text.len()).step_by(step) {
        let mut bytes = text.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let altered = RequestVector {
            request: String::from_utf8(bytes).unwrap(),
            name: String::new(),
            client_id: good.client_id.clone(),
            wallet_nonce: None,
            keys: BTreeMap::new(),
            at: good.at,
            refused: None,
        };
        assert!(altered.judge().is_err(), "character {position}");
    }
    let long = "x".repeat(MAX_REQUEST_BYTES + 1);
    assert_eq!(
        RequestObject::parse(&long).unwrap_err().code(),
        "request_too_large"
    );
}

#[test]
fn what_a_wallet_selects_is_what_a_verifier_accepts() {
    let (issuer, holder) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 2));
    let public = holder.public_key();
    let claims = json!({
        "date": "2025-04-01", "lot": "AB-12", "place": { "name": "Sakura", "ward": "3" },
        "doses": [{ "number": 1 }, { "number": 2 }],
    });
    let disclosable = [
        "date".into(),
        "lot".into(),
        "place".into(),
        Path::new(["place", "name"]),
        Path::new(["place", "ward"]),
        "doses".into(),
    ];
    let issuance = Issuance {
        disclosable: &disclosable,
        holder: Some(&public),
        ..Issuance::new("did:web:a.example", "urn:v", AT, &claims)
    };
    let credential = issue(&issuance, &issuer, &mut FixedBytes(2)).unwrap();
    let parsed = SdJwt::parse(&credential).unwrap();
    for (asked, shown) in [
        (json!([{ "path": ["date"] }]), vec!["date"]),
        (
            json!([{ "path": ["place", "name"] }]),
            vec!["place", "place.name"],
        ),
        (
            json!([{ "path": ["place"] }]),
            vec!["place", "place.name", "place.ward"],
        ),
        (
            json!([{ "path": ["doses", null, "number"] }]),
            vec!["doses"],
        ),
        (
            json!([{ "path": ["date"] }, { "path": ["lot"] }]),
            vec!["date", "lot"],
        ),
    ] {
        let mut value = query();
        value["credentials"][0]["claims"] = asked;
        let query = DcqlQuery::from_value(value).unwrap();
        let one = &query.credentials()[0];
        let paths = one.selection(&parsed).unwrap().unwrap();
        let selected = SdJwt::parse(&parsed.disclose(&paths).unwrap()).unwrap();
        let mut found: Vec<_> = selected
            .disclosures()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        found.sort();
        assert_eq!(found, shown);
        let payload = selected.unverified_payload().unwrap();
        one.matches("urn:v", &payload, &selected.disclosures().unwrap())
            .unwrap();
    }
    let mut value = query();
    value["credentials"][0]["claims"] = json!([{ "path": ["absent"] }]);
    let query = DcqlQuery::from_value(value).unwrap();
    assert_eq!(query.credentials()[0].selection(&parsed).unwrap(), None);
}

#[test]
fn the_holder_signs_exactly_the_requests_transaction_data() {
    let one = TransactionData::parse(&asked().to_transaction_data(&["v"])).unwrap();
    let mut more = asked();
    more.purpose = "payout".into();
    let two = TransactionData::parse(&more.to_transaction_data(&["w"])).unwrap();
    assert_eq!(one.asked(), Some(asked()));
    let all = [one.clone(), two];
    let claims = binding_claims(&all, "v", Some(b"consent"));
    assert_eq!(claims["transaction_data_hashes"], json!([one.hash()]));
    assert_eq!(claims["tegata_consent"], b64("consent"));
    check_transaction_data(&claims, &all, "v").unwrap();
    let code = |claims: &Map<String, Value>, id: &str| {
        check_transaction_data(claims, &all, id).unwrap_err().code()
    };
    assert_eq!(code(&claims, "w"), "transaction_data_mismatch");
    assert_eq!(code(&Map::new(), "v"), "transaction_data_mismatch");
    let mut other = claims.clone();
    other["transaction_data_hashes_alg"] = "sha-512".into();
    assert_eq!(code(&other, "v"), "transaction_data_mismatch");
    other["transaction_data_hashes_alg"] = "sha-256".into();
    other["transaction_data_hashes"] = "x".into();
    assert_eq!(code(&other, "v"), "transaction_data_mismatch");
    assert!(binding_claims(&all, "x", None).is_empty());
    check_transaction_data(&Map::new(), &all, "x").unwrap();
}

#[test]
fn a_response_is_encrypted_to_the_requests_key() {
    let vector = &requests()[0];
    let expected = Expected {
        client_id: &vector.client_id,
        wallet_nonce: None,
    };
    let request = RequestObject::parse(&vector.request)
        .unwrap()
        .verify(&expected, |_| None, AT)
        .unwrap();
    let to = request.response_key().unwrap();
    assert_eq!(to.kid.as_deref(), Some("k-1"));
    let sealed = jwe::encrypt(
        b"{}",
        &to.key,
        Some("k-1"),
        to.encryption,
        &mut FixedBytes(3),
    )
    .unwrap();
    let opened = Jwe::parse(&sealed)
        .unwrap()
        .decrypt(&key(Algorithm::Es256, 9), "k-1")
        .unwrap();
    assert_eq!(opened.as_slice(), b"{}");
}
