//! `tegata verify` of W3C credentials, presentations and status lists.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Map, Value, json};
use tegata::verify::{Finding, Trust, recognise};
use tegata_consent::ids::OrganisationId;
use tegata_consent::organisation::{
    Issues, KeyUse, Name, Organisation, OrganisationKey, OrganisationState, Role, Suspension,
};
use tegata_consent::status::{StatusListState, token_digest};
use tegata_credential::bitstring::{
    Bitstring, BitstringEntry, BitstringIssuance, ENTRIES_MIN, StatusPurpose, list_credential,
};
use tegata_credential::data_integrity::{
    CREDENTIALS_V2, Cryptosuite, EddsaJcs2022, ProofOptions, sign_credential, sign_presentation,
};
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::trust_list::TrustList;
use tegata_records::catalogue;
use tegata_w3c::record::{self, RecordIssuance};

const AT_S: i64 = 1_760_000_000;
const AT_MS: u64 = 1_760_000_000_000;
const CLINIC: &str = "did:web:clinic.example";
const LIST: &str = "https://clinic.example/status/1";

fn key(fill: u8) -> SigningKey {
    SigningKey::from_bytes(Algorithm::EdDsa, &[fill; 32]).unwrap()
}

fn clinic(until_ms: Option<u64>, issues: &str) -> OrganisationState {
    OrganisationState {
        id: OrganisationId([1; 32]),
        organisation: Organisation {
            name: Name {
                ja: "さくら".into(),
                en: "Sakura".into(),
            },
            roles: vec![Role::Issuer],
            services: Vec::new(),
            did: CLINIC.into(),
            keys: vec![OrganisationKey {
                key_use: KeyUse::CredentialEdDsa,
                public: key(1).public_key().to_bytes(),
                from_ms: 0,
                until_ms,
            }],
            issues: vec![Issues {
                record_type: issues.into(),
                from_ms: 0,
                until_ms: None,
            }],
            asks: Vec::new(),
        },
        sequence: 0,
        registered_ms: 0,
        suspensions: Vec::new(),
    }
}

fn trust() -> Trust {
    Trust::at(AT_MS).with_organisation(clinic(None, "vaccination"))
}

fn method() -> String {
    format!("{CLINIC}#{}", key(1).key_id())
}

fn holder_method() -> String {
    Did::key(&key(2).public_key())
        .own_document()
        .unwrap()
        .methods()[0]
        .id()
        .to_owned()
}

fn sign(document: Map<String, Value>, suite: &dyn Cryptosuite) -> Value {
    sign_by(document, suite, &method(), &key(1), AT_S)
}

fn sign_by(
    document: Map<String, Value>,
    suite: &dyn Cryptosuite,
    by: &str,
    key: &SigningKey,
    created: i64,
) -> Value {
    let options = ProofOptions::new(by, created);
    let contexts = tegata_w3c::contexts();
    Value::Object(sign_credential(document, suite, contexts, &options, key).unwrap())
}

fn credential(suite: &dyn Cryptosuite) -> Value {
    sign(unsigned(), suite)
}

fn unsigned() -> Map<String, Value> {
    let statuses = [BitstringEntry {
        list: LIST.into(),
        index: 7,
        purpose: StatusPurpose::Revocation,
    }];
    let holder = Did::key(&key(2).public_key());
    let issuance = RecordIssuance {
        issuer: CLINIC,
        id: None,
        holder: Some(holder.as_str()),
        valid_from: AT_S,
        valid_until: None,
        statuses: &statuses,
    };
    let claims = json!({ "vaccine_code": "mr", "date": "2025-04-01" });
    let record_type = catalogue().by_id("vaccination").unwrap();
    record::credential(record_type, &claims, &issuance).unwrap()
}

fn list(set: &[u64]) -> String {
    list_at(set, AT_S)
}

fn list_at(set: &[u64], valid_from: i64) -> String {
    sign(unsigned_list(set, valid_from), &EddsaJcs2022).to_string()
}

fn unsigned_list(set: &[u64], valid_from: i64) -> Map<String, Value> {
    let issuance = BitstringIssuance {
        uri: LIST,
        issuer: CLINIC,
        purpose: StatusPurpose::Revocation,
        valid_from,
        valid_until: None,
    };
    let bits = Bitstring::from_indexes(ENTRIES_MIN, set.iter().copied()).unwrap();
    list_credential(&bits, &issuance)
}

/// The holder's presentation of credentials.
fn presentation(credentials: &[Value]) -> Value {
    let holder = Did::key(&key(2).public_key());
    let presentation = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": holder.as_str(),
        "verifiableCredential": credentials,
    });
    let Value::Object(presentation) = presentation else {
        panic!("an object")
    };
    let by = holder_method();
    let options = ProofOptions {
        challenge: Some("c-1"),
        domain: Some("https://v.example"),
        ..ProofOptions::new(&by, AT_S)
    };
    let contexts = tegata_w3c::contexts();
    let shown = sign_presentation(presentation, &EddsaJcs2022, contexts, &options, &key(2));
    Value::Object(shown.unwrap())
}

async fn look(document: &Value, trust: &Trust) -> Finding {
    recognise(document.to_string().as_bytes(), trust)
        .await
        .unwrap()
}

fn with(finding: &Finding, holds: Option<bool>) -> Vec<&'static str> {
    finding
        .checks
        .iter()
        .filter(|check| check.holds == holds)
        .map(|check| check.name)
        .collect()
}

#[tokio::test]
async fn credentials_hold_or_say_why_not() {
    let good = trust().with_status_list(&list(&[8]));
    for suite in tegata_w3c::suites() {
        let document = credential(suite);
        let finding = look(&document, &good).await;
        assert!(finding.holds(), "{}: {finding:?}", suite.name());
        assert!(
            finding
                .facts
                .contains(&("record type", "Vaccination / 予防接種".into())),
            "{finding:?}"
        );

        let finding = look(&document, &trust()).await;
        assert_eq!(
            (with(&finding, Some(false)), with(&finding, None)),
            (vec![], vec!["not revoked"])
        );
        let finding = look(&document, &trust().with_status_list(&list(&[7]))).await;
        assert_eq!(with(&finding, Some(false)), ["not revoked"]);
        let finding = look(&document, &Trust::at(AT_MS)).await;
        assert_eq!(
            (with(&finding, Some(false)), with(&finding, None)),
            (vec![], vec!["issuer signature"])
        );
        let elsewhere = Trust::at(AT_MS)
            .with_organisation(clinic(None, "laboratory_result"))
            .with_status_list(&list(&[]));
        assert_eq!(
            with(&look(&document, &elsewhere).await, Some(false)),
            ["issuer accredited"]
        );
        let ended = Trust::at(AT_MS + 1_000).with_organisation(clinic(Some(AT_MS), "vaccination"));
        let finding = look(&document, &ended).await;
        assert_eq!(with(&finding, Some(false)), ["issuer signature"]);
        assert!(
            finding.checks[0].reason.starts_with("key_expired"),
            "{finding:?}"
        );
        let rotated = Trust::at(AT_MS + 9_000_000)
            .with_organisation(clinic(Some(AT_MS + 1_000), "vaccination"));
        let finding = look(&document, &rotated.with_status_list(&list(&[]))).await;
        assert!(
            !with(&finding, Some(false)).contains(&"issuer signature"),
            "signed before the key's end: {finding:?}"
        );

        for (pointer, value, check, code) in [
            (
                "/credentialSubject/date",
                json!("2025-04-02"),
                "issuer signature",
                "signature_invalid",
            ),
            (
                "/issuer",
                json!("did:web:other.example"),
                "issuer signature",
                "controller_mismatch",
            ),
            (
                "/proof/cryptosuite",
                json!("bbs-2023"),
                "form",
                "cryptosuite_unsupported",
            ),
            (
                "/@context/1",
                json!("https://evil.example"),
                "form",
                "context_unknown",
            ),
            (
                "/credentialSubject/vaccine_code",
                json!(null),
                "form",
                "value_empty",
            ),
        ] {
            let mut altered = document.clone();
            *altered.pointer_mut(pointer).unwrap() = value;
            let finding = look(&altered, &good).await;
            assert_eq!(
                with(&finding, Some(false)),
                [check],
                "{pointer}: {finding:?}"
            );
            assert!(
                finding.checks[0].reason.starts_with(code),
                "{pointer}: {finding:?}"
            );
        }
    }
    let twice = credential(&EddsaJcs2022)
        .to_string()
        .replacen('{', r#"{"issuer":"x","#, 1);
    let finding = recognise(twice.as_bytes(), &good).await.unwrap();
    assert!(
        finding.checks[0].reason.starts_with("json_name_duplicate"),
        "{finding:?}"
    );
}

#[tokio::test]
async fn presentations_and_lists() {
    let holder = Did::key(&key(2).public_key());
    let shown = presentation(&[credential(tegata_w3c::eddsa_rdfc_2022())]);
    let good = trust().with_status_list(&list(&[]));
    let finding = look(&shown, &good).await;
    assert!(finding.holds(), "{finding:?}");
    assert!(
        finding
            .facts
            .contains(&("presented to", "https://v.example".into()))
    );
    let mut altered = shown.clone();
    altered["proof"]["challenge"] = json!("c-2");
    assert_eq!(
        with(&look(&altered, &good).await, Some(false)),
        ["holder signature"]
    );

    let finding = recognise(list(&[1, 2, 3]).as_bytes(), &trust())
        .await
        .unwrap();
    assert!(
        finding.holds() && finding.facts.contains(&("set", "3".into())),
        "{finding:?}"
    );

    // A key that comes with its DID says nothing about whose it is.
    let own = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiableCredential"], "issuer": holder.as_str(), "credentialSubject": { "name": "x" },
    });
    let Value::Object(own) = own else {
        panic!("an object")
    };
    let by = holder_method();
    let own = sign_credential(
        own,
        &EddsaJcs2022,
        tegata_w3c::contexts(),
        &ProofOptions::new(&by, AT_S),
        &key(2),
    )
    .unwrap();
    let finding = look(&Value::Object(own), &trust()).await;
    assert!(
        with(&finding, None).contains(&"issuer known") && !finding.holds(),
        "{finding:?}"
    );
    assert!(with(&finding, Some(true)).contains(&"issuer signature"));
}

/// A registered issuer's list counts if it is the newest on the ledger; of several lists the newest.
#[tokio::test]
async fn an_old_list_does_not_count() {
    let (document, text) = (credential(&EddsaJcs2022), list(&[]));
    let state = |issued_ms, token: &[u8]| StatusListState {
        token: token_digest(token),
        issued_ms,
        published_ms: issued_ms,
        count: 1,
        recalled: 0,
    };
    let newest = state(AT_MS, text.as_bytes());
    let later = state(AT_MS + 1, b"a later list");
    let id = OrganisationId([1; 32]);
    let known = |newest| {
        trust()
            .with_status_list(&text)
            .with_newest_list(id, LIST, newest)
    };
    assert!(look(&document, &known(Some(newest.clone()))).await.holds());
    let list_alone = recognise(text.as_bytes(), &known(Some(newest)))
        .await
        .unwrap();
    assert!(list_alone.holds(), "{list_alone:?}");
    for (newest, code) in [
        (Some(later), "status_list_superseded"),
        (None, "status_list_not_on_ledger"),
    ] {
        let finding = look(&document, &known(newest.clone())).await;
        assert_eq!(with(&finding, Some(false)), ["not revoked"], "{code}");
        assert!(
            finding.checks.iter().any(|check| check.code == Some(code)),
            "{finding:?}"
        );
        let alone = recognise(text.as_bytes(), &known(newest)).await.unwrap();
        assert_eq!(with(&alone, Some(false)), ["newest"], "{code}");
    }
    let newer = list_at(&[7], AT_S + 1);
    for lists in [[&text, &newer], [&newer, &text]] {
        let lists = lists
            .into_iter()
            .fold(trust(), |trust, list| trust.with_status_list(list));
        let finding = look(&document, &lists).await;
        assert_eq!(
            with(&finding, Some(false)),
            ["not revoked"],
            "the newer list revokes it"
        );
    }
}

/// Whoever is suspended could write any earlier time into its proofs.
#[tokio::test]
async fn a_suspended_issuer_does_not_backdate() {
    let mut suspended = clinic(None, "vaccination");
    suspended.suspensions.push(Suspension {
        from_ms: AT_MS + 1_000,
        until_ms: None,
    });
    let later = Trust::at(AT_MS + 2_000).with_organisation(suspended);
    let later = later.with_status_list(&list(&[]));
    let finding = look(&credential(&EddsaJcs2022), &later).await;
    assert_eq!(with(&finding, Some(false)), ["issuer accredited"]);
    assert!(
        finding
            .checks
            .iter()
            .any(|check| check.code == Some("issuer-suspended"))
    );
    let finding = recognise(list(&[]).as_bytes(), &later).await.unwrap();
    assert_eq!(
        with(&finding, Some(false)),
        ["issuer standing"],
        "a list alone"
    );
}

/// The clinic's keys by the names that its own document has for them; the first with an end.
fn by_document(exp: i64) -> Trust {
    let jwk = |fill: u8, name: &str, exp: i64| {
        let mut jwk = key(fill).public_key().to_jwk();
        jwk["kid"] = format!("{CLINIC}#{name}").into();
        jwk["exp"] = exp.into();
        jwk
    };
    let keys = json!({ CLINIC: [jwk(1, "key-1", exp), jwk(4, "key-2", AT_S + 1_000)] });
    let keys = TrustList::parse(keys.to_string().as_bytes()).unwrap();
    Trust::at(AT_MS).with_keys(keys)
}

/// An issuer may sign with several keys, also what is shown together, and the list with another than the credential.
#[tokio::test]
async fn one_issuer_has_several_keys() {
    let named = |name: &str| format!("{CLINIC}#{name}");
    let by = |name: &str, fill: u8, created: i64| {
        sign_by(unsigned(), &EddsaJcs2022, &named(name), &key(fill), created)
    };
    let list = sign_by(
        unsigned_list(&[8], AT_S),
        &EddsaJcs2022,
        &named("key-2"),
        &key(4),
        AT_S,
    );
    let trust = by_document(AT_S + 1_000).with_status_list(&list.to_string());
    let (first, second) = (by("key-1", 1, AT_S), by("key-2", 4, AT_S));
    for document in [
        &first,
        &second,
        &presentation(&[first.clone(), second.clone()]),
    ] {
        let finding = look(document, &trust).await;
        assert_eq!(
            with(&finding, Some(false)),
            [""; 0],
            "one of several keys: {finding:?}"
        );
        assert!(with(&finding, Some(true)).contains(&"not revoked"));
    }
    // A key counts for what it signed in its time, and for nothing that is shown beside it.
    let (early, late) = (by("key-1", 1, AT_S - 100), by("key-1", 1, AT_S));
    let ended = by_document(AT_S - 50).with_status_list(&list.to_string());
    let finding = look(&presentation(std::slice::from_ref(&early)), &ended).await;
    assert_eq!(with(&finding, Some(false)), [""; 0], "{finding:?}");
    for shown in [[early.clone(), late.clone()], [late, early]] {
        let finding = look(&presentation(&shown), &ended).await;
        assert!(
            !with(&finding, Some(true)).contains(&"issuer signature"),
            "after its end: {finding:?}"
        );
    }
}

/// How long copies of a list count, its issuer may say; whoever reads it sees how old it is.
#[tokio::test]
async fn a_list_counts_as_long_as_its_issuer_says() {
    let document = credential(&EddsaJcs2022);
    let list = |ttl: Value| {
        let mut list = unsigned_list(&[], AT_S - 500);
        list["credentialSubject"]["ttl"] = ttl;
        sign(list, &EddsaJcs2022).to_string()
    };
    let fresh = trust().with_status_list(&list(json!(600_000)));
    let finding = look(&document, &fresh).await;
    assert!(finding.holds(), "{finding:?}");
    let said = finding.checks.iter().map(|check| check.reason.as_str());
    assert!(
        said.clone()
            .any(|said| said.contains("2025-10-09T08:45:00Z")),
        "{:?}",
        said.collect::<Vec<_>>()
    );
    let old = list(json!(500_000));
    let finding = look(&document, &trust().with_status_list(&old)).await;
    assert_eq!(
        (with(&finding, Some(false)), with(&finding, None)),
        (vec![], vec!["not revoked"]),
        "older than its ttl"
    );
    let alone = recognise(old.as_bytes(), &trust()).await.unwrap();
    assert_eq!(with(&alone, None), ["newest"], "older than its ttl");
    let wrong = list(json!("soon"));
    let finding = look(&document, &trust().with_status_list(&wrong)).await;
    assert_eq!(with(&finding, Some(false)), ["not revoked"]);
    // Where the ledger says that it is the newest, it is.
    let newest = StatusListState {
        token: token_digest(old.as_bytes()),
        issued_ms: AT_MS - 500_000,
        published_ms: AT_MS,
        count: 1,
        recalled: 0,
    };
    let id = OrganisationId([1; 32]);
    let known = trust()
        .with_status_list(&old)
        .with_newest_list(id, LIST, Some(newest));
    assert!(look(&document, &known).await.holds());
}

#[derive(clap::Parser)]
struct Issue {
    #[command(flatten)]
    options: tegata::issue::Options,
}

#[derive(clap::Parser)]
struct Present {
    #[command(flatten)]
    options: tegata::present::Options,
}

/// `tegata issue` and `tegata present` do by hand what the services do.
#[tokio::test]
async fn issued_and_presented_by_hand() {
    use clap::Parser;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let secret = |key: &SigningKey| {
        use base64::Engine;
        let mut jwk = key.public_key().to_jwk();
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        jwk["d"] = engine.encode(key.to_bytes().as_slice()).into();
        jwk.to_string()
    };
    let claims = file(
        "claims.json",
        json!({ "vaccine_code": "mr", "date": "2025-04-01" }).to_string(),
    );
    let issuer = file("issuer.jwk", secret(&key(1)));
    let holder = file("holder.jwk", secret(&key(2)));
    let public = file("public.jwk", key(2).public_key().to_jwk().to_string());
    let good = trust().with_status_list(&list(&[]));
    for format in ["w3c-jcs", "w3c-rdfc"] {
        let status = format!("{LIST}#7");
        let issue = |did: &str| {
            let arguments = [
                "issue",
                &claims,
                "--format",
                format,
                "--key",
                &issuer,
                "--issuer",
                did,
                "--type",
                "vaccination",
                "--holder",
                &public,
                "--status",
                &status,
                "--at",
                "1760000000000",
                "--valid-days",
                "30",
            ];
            tegata::issue::issue(&Issue::try_parse_from(arguments).unwrap().options)
        };
        let credential = issue(CLINIC).unwrap();
        let finding = recognise(credential.as_bytes(), &good).await.unwrap();
        assert!(finding.holds(), "{finding:?}");
        let path = file("credential.json", credential);
        let arguments = [
            "present",
            &path,
            "--key",
            &holder,
            "--audience",
            "https://v.example",
            "--nonce",
            "n-1",
            "--at",
            "1760000000000",
        ];
        let shown =
            tegata::present::present(&Present::try_parse_from(arguments).unwrap().options).unwrap();
        let finding = recognise(shown.as_bytes(), &good).await.unwrap();
        assert!(finding.holds(), "{finding:?}");
        assert!(finding.facts.contains(&("challenge", "n-1".into())));
        assert_eq!(
            issue("https://clinic.example").unwrap_err().code(),
            "did_malformed"
        );
        let other = Did::key(&key(3).public_key());
        assert_eq!(
            issue(other.as_str()).unwrap_err().code(),
            "controller_mismatch"
        );
    }
}
