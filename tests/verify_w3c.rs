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
    let by = method();
    let options = ProofOptions::new(&by, AT_S);
    Value::Object(
        sign_credential(document, suite, tegata_w3c::contexts(), &options, &key(1)).unwrap(),
    )
}

fn credential(suite: &dyn Cryptosuite) -> Value {
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
    sign(
        record::credential(
            catalogue().by_id("vaccination").unwrap(),
            &claims,
            &issuance,
        )
        .unwrap(),
        suite,
    )
}

fn list(set: &[u64]) -> String {
    list_at(set, AT_S)
}

fn list_at(set: &[u64], valid_from: i64) -> String {
    let issuance = BitstringIssuance {
        uri: LIST,
        issuer: CLINIC,
        purpose: StatusPurpose::Revocation,
        valid_from,
        valid_until: None,
    };
    let bits = Bitstring::from_indexes(ENTRIES_MIN, set.iter().copied()).unwrap();
    sign(list_credential(&bits, &issuance), &EddsaJcs2022).to_string()
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
    let presentation = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": holder.as_str(),
        "verifiableCredential": [credential(tegata_w3c::eddsa_rdfc_2022())],
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
    let shown = sign_presentation(
        presentation,
        &EddsaJcs2022,
        tegata_w3c::contexts(),
        &options,
        &key(2),
    )
    .unwrap();
    let shown = Value::Object(shown);
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
