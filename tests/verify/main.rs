//! `tegata verify` recognises everything that leaves a service, and says no to all of it once it is altered.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test"
)]

#[path = "../../service/tests/fake/mod.rs"]
mod fake;
mod lists;
mod nodes;
mod papers;
mod presentations;

use ed25519_dalek::SigningKey;
use fake::{Chain, SharedChain, grant_id, key};
use minicbor::bytes::ByteVec;
use papers::vault;
use serde_json::json;
use std::time::Duration;
use tegata::verify::{Finding, Options, Trust, recognise};
use tegata_consent::cbor;
use tegata_consent::cose::{Signed, public_key};
use tegata_consent::deposit::{
    Deposit, DepositReceipt, DrawerList, EMPTY_HEAD, SealedRecord, deposit_digest, receipt_head,
};
use tegata_consent::entry::Entry;
use tegata_consent::fetch::GrantHistory;
use tegata_consent::ids::{
    ChainId, DrawerId, Hash, Nonce, OrganisationId, RecordId, Salt, SealKey, VaultId,
};
use tegata_consent::invitation::{Drawer, Invitation, invitation_digest};
use tegata_consent::keys::{Secret, VaultSecret};
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::order::Order;
use tegata_consent::organisation::{
    KeyUse, OrganisationKey, OrganisationState, Role, Service, Suspension,
};
use tegata_consent::presentation::PresentedConsent;
use tegata_consent::request::ConsentRequest;
use tegata_consent::scope::Scope;
use tegata_consent::sealing::file_digest;
use tegata_consent::state::{GrantState, StateKey};
use tegata_consent::status::{ErasureState, OverAskingState, StatusListState};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose};
use tegata_credential::data_integrity::{EddsaJcs2022, ProofOptions, sign_credential};
use tegata_credential::did::Did;
use tegata_credential::jws;
use tegata_credential::keys::{Algorithm, SigningKey as CredentialKey};
use tegata_credential::openid4vp::{CONSENT_CLAIM, KeyName, WALLET_AUDIENCE, sign_request};
use tegata_credential::sd_jwt::{Issuance, KeyBinding, SdJwt, StatusReference, issue};
use tegata_credential::smart_health_card::{self, ShcIssuance};
use tegata_credential::status_list::{Status, StatusList, StatusListIssuance, sign};
use tegata_credential::trust_list::TrustedKey;
use tegata_credential::x509::{self, Subject};
use tegata_records::catalogue;
use tegata_service::clock;
use tegata_vault::{ExportHead, ExportItem};
use tegata_w3c::record::{self, RecordIssuance};

const HOST: u8 = 20;
const CLINIC: u8 = 21;
const ISSUER: u8 = 22;
const DRAWER: DrawerId = DrawerId([4; 16]);

fn begin() -> SharedChain {
    let shared = Chain::new();
    let mut chain = shared.lock().unwrap();
    chain.register(HOST, &[Role::Host]);
    let clinic = chain.register(CLINIC, &[Role::Verifier]);
    chain.register(ISSUER, &[Role::Issuer]);
    write(&mut chain, |chain| chain.grant_entry(50, clinic, HOST));
    write(&mut chain, |chain| chain.access_entry(grant_id(50), CLINIC));
    drop(chain);
    shared
}

fn write(chain: &mut Chain, entry: impl Fn(&Chain) -> Entry) {
    let entry = chain.verified(entry(chain));
    chain.block(&[entry]).unwrap();
}

fn organisation(chain: &Chain, seed: u8) -> OrganisationState {
    let bytes = chain
        .stored(&StateKey::organisation(&chain.organisation(seed)))
        .unwrap();
    cbor::decode(&bytes, 10_000).unwrap()
}

/// Believes the genesis, and knows the three organisations; the issuer with a credential key.
fn trust(chain: &SharedChain) -> Trust {
    let chain = chain.lock().unwrap();
    let mut issuer = organisation(&chain, ISSUER);
    let public = issuer_key().public_key().to_bytes();
    issuer.organisation.keys.push(OrganisationKey {
        key_use: KeyUse::CredentialEdDsa,
        public,
        from_ms: 0,
        until_ms: None,
    });
    Trust::at(clock::now_ms())
        .with_genesis(&chain.genesis)
        .with_organisation(organisation(&chain, HOST))
        .with_organisation(organisation(&chain, CLINIC))
        .with_organisation(issuer)
}

fn issuer_key() -> CredentialKey {
    CredentialKey::from_bytes(Algorithm::EdDsa, &[33; 32]).unwrap()
}

async fn look(bytes: &[u8], trust: &Trust) -> Finding {
    recognise(bytes, trust)
        .await
        .unwrap_or_else(|| panic!("not recognised"))
}

fn failed(finding: &Finding) -> Vec<&'static str> {
    finding
        .checks
        .iter()
        .filter(|check| check.holds == Some(false))
        .map(|check| check.name)
        .collect()
}

fn unknown(finding: &Finding) -> Vec<&'static str> {
    finding
        .checks
        .iter()
        .filter(|check| check.holds.is_none())
        .map(|check| check.name)
        .collect()
}

#[track_caller]
fn holds(finding: &Finding, what: &str) {
    assert!(finding.what.contains(what), "{finding:?}");
    assert!(finding.holds(), "{finding:?}");
}

/// A request for vaccinations, for care.
fn request_of(recipient: OrganisationId) -> ConsentRequest {
    ConsentRequest {
        recipient,
        categories: vec!["vaccination".into()],
        purpose: "care".into(),
        legal_basis: "consent".into(),
        retention_days: 30,
        until_ms: clock::now_ms() + 1_000_000,
        uses_max: None,
        reference: "00112233445566778899aabbccddeeff".into(),
        expires_ms: clock::now_ms() + 1_000_000,
        nonce: Nonce([1; 16]),
    }
}

#[tokio::test]
async fn proofs_of_the_ledger() {
    let shared = begin();
    let trust = trust(&shared);
    let (receipt, proof, absence, about, header, entry, genesis) = {
        let chain = shared.lock().unwrap();
        let newest = chain.headers.len() as u64;
        let id = Entry::parse(&chain.leaves[4].entry).unwrap().id(&chain.id);
        (
            cbor::encode(&chain.receipt(&id).unwrap()),
            cbor::encode(&chain.state_proof(newest, &StateKey::grant(&grant_id(50)))),
            cbor::encode(&chain.state_proof(newest, &StateKey::grant(&grant_id(51)))),
            cbor::encode(
                &chain.state_proof(newest, &StateKey::organisation(&chain.organisation(CLINIC))),
            ),
            cbor::encode(&chain.headers[2]),
            chain.leaves[3].entry.to_vec(),
            tegata_service::genesis::to_json(&chain.genesis),
        )
    };
    holds(
        &look(&receipt, &trust).await,
        "A receipt: proof that an entry is on the ledger: an access",
    );
    holds(&look(&proof, &trust).await, "A consent proof");
    holds(&look(&about, &trust).await, "A proof about an organisation");
    holds(&look(&header, &trust).await, "The header of height 3");
    holds(&look(genesis.as_bytes(), &trust).await, "genesis");
    holds(
        &look(hex::encode(&proof).as_bytes(), &trust).await,
        "A consent proof",
    );
    assert_eq!(failed(&look(&absence, &trust).await), ["in force"]);
    assert_eq!(unknown(&look(&entry, &trust).await), ["on the ledger"]);

    for bytes in [&receipt, &proof, &about, &header] {
        let nobody = Trust::at(clock::now_ms());
        assert!(
            !look(bytes, &nobody).await.holds(),
            "nothing holds without a genesis"
        );
        let stranger =
            Trust::at(clock::now_ms()).with_genesis(&Chain::new().lock().unwrap().genesis);
        assert!(
            !failed(&look(bytes, &stranger).await).is_empty(),
            "nor with another one"
        );
        for position in (0..bytes.len()).step_by(7) {
            let mut altered = bytes.clone();
            altered[position] ^= 1;
            let finding = recognise(&altered, &trust).await;
            assert!(
                !finding.is_some_and(|finding| finding.holds()),
                "byte {position}"
            );
        }
    }
}

/// Whatever a proof is about: that there was nothing is no good news.
#[tokio::test]
async fn a_proof_that_there_was_nothing_does_not_hold() {
    let shared = begin();
    let proofs = {
        let (list, request, erasure) = (Hash([1; 32]), Hash([2; 32]), Hash([3; 32]));
        let mut chain = shared.lock().unwrap();
        let (issuer, clinic) = (chain.organisation(ISSUER), chain.organisation(CLINIC));
        let lists = StatusListState {
            token: Hash([4; 32]),
            issued_ms: 1_760_000_000_000,
            published_ms: 1_760_000_000_000,
            count: 3,
            recalled: 2,
        };
        let reported = OverAskingState {
            recipient: clinic,
            reported_ms: 1_760_000_000_000,
        };
        let confirmed = ErasureState {
            grant: grant_id(50),
            confirmed_ms: 1_760_000_000_000,
        };
        let other = Hash([9; 32]);
        let keys = [
            (
                "published",
                "2025-10-09T08:53:20Z",
                StateKey::status_list(&issuer, &list),
                StateKey::status_list(&issuer, &other),
            ),
            (
                "reported",
                "Organisation 21",
                StateKey::over_asking(&request),
                StateKey::over_asking(&other),
            ),
            (
                "confirmed",
                "2025-10-09T08:53:20Z",
                StateKey::erasure(&clinic, &erasure),
                StateKey::erasure(&clinic, &other),
            ),
            (
                "stands",
                "operators",
                StateKey::operators(),
                StateKey::from_stored(b"operators/9".to_vec()),
            ),
        ];
        chain.tamper(keys[0].2.clone(), cbor::encode(&lists));
        chain.tamper(keys[1].2.clone(), cbor::encode(&reported));
        chain.tamper(keys[2].2.clone(), cbor::encode(&confirmed));
        let height = chain.block(&[]).unwrap();
        keys.map(|(name, words, there, not)| {
            let proof = |key: &StateKey| cbor::encode(&chain.state_proof(height, key));
            (name, words, proof(&there), proof(&not))
        })
    };
    let trust = trust(&shared);
    for (name, words, there, not) in proofs {
        let finding = look(&there, &trust).await;
        holds(&finding, "A proof");
        let said = format!("{finding:?}");
        assert!(said.contains(name) && said.contains(words), "{said}");
        let finding = look(&not, &trust).await;
        assert_eq!(failed(&finding), [name], "a proof of absence");
        assert_eq!(code(&finding, name), Some("state-absent"));
    }
}

#[tokio::test]
async fn a_revoked_grant_and_its_readings() {
    let shared = begin();
    let (proof, accesses) = {
        let mut chain = shared.lock().unwrap();
        write(&mut chain, |chain| chain.revocation_entry(50, HOST));
        let proof = chain.state_proof(chain.headers.len() as u64, &StateKey::grant(&grant_id(50)));
        (cbor::encode(&proof), vec![chain.leaves[4].clone()])
    };
    let trust = trust(&shared);
    let finding = look(&proof, &trust).await;
    assert_eq!(failed(&finding), ["in force"]);
    assert!(
        finding
            .checks
            .iter()
            .any(|check| check.reason.contains("revoked"))
    );
    let history = |accesses| {
        cbor::encode(&GrantHistory {
            proof: ByteVec::from(proof.clone()),
            accesses,
            openings: vec![],
            first: None,
        })
    };
    let finding = look(&history(accesses), &trust).await;
    assert!(finding.what.contains("reading history"));
    assert_eq!(
        failed(&finding),
        ["in force"],
        "the history is complete, the grant is over"
    );
    let finding = look(&history(vec![]), &trust).await;
    assert_eq!(
        failed(&finding),
        ["in force", "complete"],
        "a reading is kept back"
    );
}

fn order(chain: ChainId, shared: &SharedChain) -> Vec<u8> {
    let host = shared.lock().unwrap().organisation(HOST);
    let order = Order {
        grant: grant_id(50),
        host,
        salt: Salt([1; 32]),
        scope: Scope::of_drawers(vec![DRAWER]),
    };
    order.sign(&key(50), &chain).to_bytes()
}

#[tokio::test]
async fn orders_and_requests() {
    let shared = begin();
    let trust = trust(&shared);
    let chain = shared.lock().unwrap().id;
    let finding = look(&order(chain, &shared), &trust).await;
    assert_eq!(
        (failed(&finding).len(), unknown(&finding)),
        (0, vec!["commitment"]),
        "only the ledger says what the grant committed to"
    );
    let request = request_of(shared.lock().unwrap().organisation(CLINIC));
    holds(
        &look(&request.sign(&key(CLINIC), &chain).to_bytes(), &trust).await,
        "consent request",
    );
    let named = ConsentRequest {
        reference: "Hanako".into(),
        ..request.clone()
    };
    let named = look(&named.sign(&key(CLINIC), &chain).to_bytes(), &trust).await;
    assert_eq!(failed(&named), ["content"], "a person's name on the ledger");
    let by_another = request.sign(&key(HOST), &chain).to_bytes();
    assert_eq!(failed(&look(&by_another, &trust).await), ["signer"]);
    let greedy = ConsentRequest {
        categories: vec!["laboratory".into()],
        ..request.clone()
    };
    assert_eq!(
        failed(&look(&greedy.sign(&key(CLINIC), &chain).to_bytes(), &trust).await),
        ["accredited"]
    );
}

const STATUS: &str = "https://issuer.example/v1/status-lists/1";

fn credential(holder: &CredentialKey, record_type: &str) -> String {
    let vct = catalogue().by_id(record_type).unwrap().vct();
    let claims = json!({ "date": "2025-04-01", "vaccine_code": "mr" });
    let now_s = clock::now_s();
    let issuance = Issuance {
        disclosable: &["vaccine_code".into()],
        holder: Some(&holder.public_key()),
        status: Some(StatusReference {
            uri: STATUS.into(),
            index: 7,
        }),
        ..Issuance::new("did:web:org22.example", vct, now_s, &claims)
    };
    issue(&issuance, &issuer_key(), &mut rand::rng()).unwrap()
}

fn status_list(status: Status) -> String {
    status_list_at(status, clock::now_s(), None)
}

/// With an end, or where one is given, with a `ttl` alone.
fn status_list_at(status: Status, issued_at: i64, ttl_s: Option<u64>) -> String {
    let list = StatusList::from_entries(1, 100, [(7, status)]).unwrap();
    let issuance = StatusListIssuance {
        uri: STATUS,
        issuer: None,
        issued_at,
        expires_at: ttl_s.is_none().then_some(issued_at + 1000),
        ttl_s,
    };
    sign(&list, &issuance, &issuer_key())
}

#[tokio::test]
async fn credentials_presentations_and_status_lists() {
    let shared = begin();
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let text = credential(&holder, "vaccination");
    let finding = look(text.as_bytes(), &trust(&shared)).await;
    assert_eq!(
        (failed(&finding), unknown(&finding)),
        (vec![], vec!["not revoked"]),
        "{finding:?}"
    );
    let valid = trust(&shared).with_status_list(&status_list(Status::Valid));
    holds(&look(text.as_bytes(), &valid).await, "A credential");
    holds(
        &look(format!("\n{text}\n").as_bytes(), &valid).await,
        "A credential",
    );
    let revoked = trust(&shared).with_status_list(&status_list(Status::Invalid));
    assert_eq!(
        failed(&look(text.as_bytes(), &revoked).await),
        ["not revoked"]
    );
    let other = credential(&holder, "laboratory_result");
    assert!(failed(&look(other.as_bytes(), &valid).await).contains(&"issuer accredited"));
    let altered = text.replacen('.', ".A", 1);
    assert!(!look(altered.as_bytes(), &valid).await.holds());
    let nobody = look(text.as_bytes(), &Trust::at(clock::now_ms())).await;
    assert_eq!(unknown(&nobody), ["issuer signature"]);

    let binding = KeyBinding::new("https://verifier.example", "nonce-1", clock::now_s());
    let shown = SdJwt::parse(&text)
        .unwrap()
        .present(&["vaccine_code".into()], &binding, &holder)
        .unwrap();
    let finding = look(shown.as_bytes(), &valid).await;
    holds(&finding, "A presentation");
    assert!(
        finding
            .facts
            .contains(&("presented to", "https://verifier.example".into()))
    );
    let other = CredentialKey::from_bytes(Algorithm::EdDsa, &[35; 32]).unwrap();
    let (issued, _) = shown.rsplit_once('~').unwrap();
    let foreign = SdJwt::parse(&credential(&other, "vaccination"))
        .unwrap()
        .present(&["vaccine_code".into()], &binding, &other)
        .unwrap();
    let stolen = format!("{issued}~{}", foreign.rsplit_once('~').unwrap().1);
    assert_eq!(
        failed(&look(stolen.as_bytes(), &valid).await),
        ["key binding"]
    );

    holds(
        &look(status_list(Status::Invalid).as_bytes(), &valid).await,
        "A status list",
    );
    let finding = look(status_list(Status::Invalid).as_bytes(), &valid).await;
    assert!(finding.facts.contains(&("revoked", "1".into())));
}

/// For whom the registry knows, its keys count and no others: they end, and suspension is seen.
#[tokio::test]
async fn nobody_else_signs_for_whom_the_registry_knows() {
    let shared = begin();
    let (vct, now_s) = (
        catalogue().by_id("vaccination").unwrap().vct(),
        clock::now_s(),
    );
    let key = CredentialKey::from_bytes(Algorithm::Es256, &[35; 32]).unwrap();
    let (valid, rng) = (now_s - 1000..=now_s + 1000, &mut rand::rng());
    let subject = |uris| Subject {
        common_name: "Org 22",
        organisation: "Org 22",
        country: "JP",
        dns_names: &[],
        uris,
    };
    let root = x509::issue_authority(&subject(&[]), &key, valid.clone(), rng).unwrap();
    let own = subject(&["did:web:org22.example"]);
    let leaf = x509::issue(&own, &key.public_key(), &root, &key, valid, rng).unwrap();
    let claims = json!({ "date": "2025-04-01", "vaccine_code": "mr" });
    let certificates = [leaf];
    let issuance = Issuance {
        certificates: &certificates,
        ..Issuance::new("did:web:org22.example", vct, now_s, &claims)
    };
    let text = issue(&issuance, &key, rng).unwrap();
    for trusted in [
        TrustedKey::from_certificate(root).unwrap(),
        TrustedKey::new(key.public_key(), None),
    ] {
        let outside = Trust::at(clock::now_ms()).with_keys([trusted.clone()]);
        let finding = look(text.as_bytes(), &outside).await;
        assert_eq!(finding.checks[0].holds, Some(true), "{finding:?}");
        let finding = look(text.as_bytes(), &trust(&shared).with_keys([trusted])).await;
        assert_eq!(
            failed(&finding),
            ["issuer signature"],
            "the registry has other keys"
        );
        assert_eq!(finding.checks[0].code, Some("issuer_key_unknown"));
    }
}

fn code<'a>(finding: &'a Finding, name: &str) -> Option<&'a str> {
    let check = finding.checks.iter().find(|check| check.name == name);
    check.unwrap_or_else(|| panic!("{finding:?}")).code
}

/// What says not when it was issued, or says it as its holder likes, has no time in which keys could have counted.
#[tokio::test]
async fn without_a_time_of_issue_no_key_counts() {
    let shared = begin();
    let valid = trust(&shared).with_status_list(&status_list(Status::Valid));
    let header = json!({ "typ": "dc+sd-jwt", "kid": issuer_key().key_id() });
    let vct = catalogue().by_id("vaccination").unwrap().vct();
    let signed = |iat: Option<i64>, sd: Option<String>| {
        let mut payload = json!({ "iss": "did:web:org22.example", "vct": vct, "date": "2025-04-01", "vaccine_code": "mr",
            "status": { "status_list": { "uri": STATUS, "idx": 7 } } });
        if let Some(iat) = iat {
            payload["iat"] = iat.into();
        }
        if let Some(digest) = sd {
            payload["_sd"] = json!([digest]);
        }
        let object = |value: &serde_json::Value| value.as_object().unwrap().clone();
        jws::sign_with_header(object(&header), &object(&payload), &issuer_key())
    };
    let now_s = clock::now_s();
    holds(
        &look(format!("{}~", signed(Some(now_s), None)).as_bytes(), &valid).await,
        "A credential",
    );
    let disclosure = jws::encode(json!(["salt", "iat", now_s]).to_string().as_bytes());
    let digest = jws::encode(&tegata_consent::status::token_digest(disclosure.as_bytes()).0);
    for text in [
        format!("{}~", signed(None, None)),
        format!("{}~{disclosure}~", signed(None, Some(digest))),
    ] {
        let finding = look(text.as_bytes(), &valid).await;
        assert_eq!(
            code(&finding, "issuer signature"),
            Some("iat_missing"),
            "no time of issue"
        );
        assert!(finding.facts.contains(&("issued", "none".into())));
    }
}

/// Whoever is suspended could write any earlier time.
#[tokio::test]
async fn a_suspended_issuer_does_not_backdate() {
    let shared = begin();
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let text = credential(&holder, "vaccination");
    let header = json!({ "typ": "JWT", "kid": issuer_key().key_id() });
    let payload = json!({ "iss": "did:web:org22.example", "iat": clock::now_s() - 600 });
    let object = |value: &serde_json::Value| value.as_object().unwrap().clone();
    let jwt = jws::sign_with_header(object(&header), &object(&payload), &issuer_key());
    let mut suspended = organisation(&shared.lock().unwrap(), ISSUER);
    let public = issuer_key().public_key().to_bytes();
    suspended.organisation.keys.push(OrganisationKey {
        key_use: KeyUse::CredentialEdDsa,
        public,
        from_ms: 0,
        until_ms: None,
    });
    let valid = trust(&shared).with_status_list(&status_list(Status::Valid));
    holds(&look(jwt.as_bytes(), &valid).await, "A signed JWT");
    suspended.suspensions.push(Suspension {
        from_ms: clock::now_ms() + 2_000,
        until_ms: None,
    });
    // Asked about later than the suspension began; what it signs says an earlier time.
    let mut later = valid.with_organisation(suspended);
    later.at_ms = clock::now_ms() + 60_000;
    let finding = look(text.as_bytes(), &later).await;
    assert_eq!(
        code(&finding, "issuer accredited"),
        Some("issuer-suspended")
    );
    let finding = look(jwt.as_bytes(), &later).await;
    assert_eq!(failed(&finding), ["issuer standing"], "{finding:?}");
    // Nor where it keeps its name to itself, or signs with a key that ended since.
    let nameless = json!({ "iat": clock::now_s() - 600 });
    let nameless = jws::sign_with_header(object(&header), &object(&nameless), &issuer_key());
    let finding = look(nameless.as_bytes(), &later).await;
    assert_eq!(failed(&finding), ["issuer standing"], "nameless");
    let mut rotated = later.clone();
    let mut state = organisation(&shared.lock().unwrap(), ISSUER);
    state.organisation.keys.push(OrganisationKey {
        key_use: KeyUse::CredentialEdDsa,
        public: issuer_key().public_key().to_bytes(),
        from_ms: 0,
        until_ms: Some(clock::now_ms() - 60_000),
    });
    state.suspensions.push(Suspension {
        from_ms: 0,
        until_ms: None,
    });
    rotated = rotated.with_organisation(state);
    let finding = look(nameless.as_bytes(), &rotated).await;
    assert_eq!(failed(&finding), ["issuer standing"], "with an old key");
    let finding = look(status_list(Status::Valid).as_bytes(), &later).await;
    assert_eq!(failed(&finding), ["issuer standing"], "a list alone");
}

/// A card of a registered issuer is what that may say, while it stands.
#[tokio::test]
async fn a_card_of_a_registered_issuer_is_judged_by_the_registry() {
    const URL: &str = "https://org22.example/shc";
    let shared = begin();
    let es256 = CredentialKey::from_bytes(Algorithm::Es256, &[36; 32]).unwrap();
    let mut state = organisation(&shared.lock().unwrap(), ISSUER);
    state.organisation.keys.push(OrganisationKey {
        key_use: KeyUse::CredentialEs256,
        public: es256.public_key().to_bytes(),
        from_ms: 0,
        until_ms: None,
    });
    state.organisation.services.push(Service {
        role: Role::Issuer,
        url: URL.into(),
    });
    let card_of = |resource: serde_json::Value| {
        let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
            { "fullUrl": "resource:0", "resource": { "resourceType": "Patient" } },
            { "fullUrl": "resource:1", "resource": resource },
        ] });
        let issuance = ShcIssuance {
            issuer: URL,
            issued_at: clock::now_s(),
            expires_at: None,
            types: &["https://smarthealth.cards#health-card"],
            revocation_id: None,
            bundle: &bundle,
        };
        smart_health_card::issue(&issuance, &es256).unwrap()
    };
    let card = |kind: &str| card_of(json!({ "resourceType": kind }));
    let known = trust(&shared).with_organisation(state.clone());
    holds(
        &look(card("Immunization").as_bytes(), &known).await,
        "Health Card",
    );
    let other = look(card("Observation").as_bytes(), &known).await;
    assert_eq!(
        code(&other, "issuer accredited"),
        Some("issuer-not-accredited")
    );
    // Who may sign laboratory results may not for that sign checkups of infants, nor what is of no laboratory.
    let mut laboratory = state.clone();
    laboratory.organisation.issues[0].record_type = "laboratory_result".into();
    let laboratory = trust(&shared).with_organisation(laboratory);
    holds(
        &look(card("Observation").as_bytes(), &laboratory).await,
        "Health Card",
    );
    let checkup = "infant_checkup_18_months";
    assert!(catalogue().by_id(checkup).is_some());
    for (resource, said) in [
        (
            json!({ "resourceType": "Observation",
                "code": { "coding": [{ "system": "urn:tegata:checkup", "code": checkup }] } }),
            "issuer-not-accredited",
        ),
        (
            json!({ "resourceType": "Observation", "category": [{ "coding": [{ "code": "vital-signs" }] }] }),
            "type-unknown",
        ),
    ] {
        let finding = look(card_of(resource).as_bytes(), &laboratory).await;
        assert_eq!(
            code(&finding, "issuer accredited"),
            Some(said),
            "no laboratory's"
        );
    }
    // Whom the registry does not know, nobody accredited.
    let stranger = Trust::at(clock::now_ms()).with_genesis(&shared.lock().unwrap().genesis);
    let stranger = stranger.with_keys([TrustedKey::new(es256.public_key(), Some(URL))]);
    let finding = look(card("Immunization").as_bytes(), &stranger).await;
    assert_eq!(unknown(&finding), ["issuer accredited"]);
    state.suspensions.push(Suspension {
        from_ms: 0,
        until_ms: None,
    });
    let known = known.with_organisation(state);
    let finding = look(card("Immunization").as_bytes(), &known).await;
    assert_eq!(
        code(&finding, "issuer accredited"),
        Some("issuer-suspended")
    );
}

/// A proof says what stood when it was made; what ends by itself has ended, and nothing was proven before its block.
#[tokio::test]
async fn another_time_is_asked_about() {
    let shared = begin();
    let (proof, until_ms, time_ms) = {
        let chain = shared.lock().unwrap();
        let grant = chain.stored(&StateKey::grant(&grant_id(50))).unwrap();
        let grant: GrantState = cbor::decode(&grant, 10_000).unwrap();
        let newest = chain.headers.len() as u64;
        let time_ms = chain.headers.last().unwrap().header.time_ms;
        let proof = chain.state_proof(newest, &StateKey::grant(&grant_id(50)));
        (cbor::encode(&proof), grant.grant.until_ms, time_ms)
    };
    let at = |at_ms| {
        let mut trust = trust(&shared);
        trust.at_ms = at_ms;
        trust
    };
    holds(&look(&proof, &at(until_ms - 1)).await, "A consent proof");
    let late = look(&proof, &at(until_ms)).await;
    assert_eq!(failed(&late), ["in force"], "its time is over");
    let early = look(&proof, &at(time_ms - 3_600_000)).await;
    assert_eq!(
        code(&early, "time"),
        Some("proof-in-future"),
        "its block is later"
    );
}

/// Reading takes many times the room of the text.
#[tokio::test]
async fn long_json_is_not_read() {
    let long = format!(r#"{{"verifiableCredential":["{}"]}}"#, "x".repeat(1 << 20));
    assert!(recognise(long.as_bytes(), &Trust::at(0)).await.is_none());
    let head = jws::encode(br#"{"alg":"EdDSA","typ":"JWT"}"#);
    let jwt = format!("{head}.{}.AA", jws::encode(long.as_bytes()));
    let finding = look(jwt.as_bytes(), &Trust::at(0)).await;
    assert_eq!(
        code(&finding, "form"),
        Some("too_large"),
        "longer than 1 MiB"
    );
}

#[tokio::test]
async fn files_are_read_as_the_command_does() {
    let shared = begin();
    let folder = tempfile::tempdir().unwrap();
    let (genesis, proof, about) = (
        folder.path().join("g.json"),
        folder.path().join("p"),
        folder.path().join("o"),
    );
    {
        let chain = shared.lock().unwrap();
        let newest = chain.headers.len() as u64;
        tegata_service::genesis::save(&genesis, &chain.genesis).unwrap();
        std::fs::write(
            &proof,
            cbor::encode(&chain.state_proof(newest, &StateKey::grant(&grant_id(50)))),
        )
        .unwrap();
        let id = StateKey::organisation(&chain.organisation(HOST));
        std::fs::write(&about, cbor::encode(&chain.state_proof(newest, &id))).unwrap();
    }
    let node = fake::Node::start(&shared).await;
    let options = Options {
        file: proof,
        genesis: Some(genesis),
        ledger: None,
        trust: vec![about],
        status: vec![],
        request: None,
        keys: None,
        at: None,
        json: true,
    };
    let run = |options: Options| async move { format!("{:?}", tegata::verify::run(options).await) };
    let (good, bad, none) = (
        "ExitCode(unix_exit_status(0))",
        "ExitCode(unix_exit_status(1))",
        "ExitCode(unix_exit_status(2))",
    );
    assert_eq!(run(options.clone()).await, good);
    assert_eq!(
        run(Options {
            genesis: None,
            trust: vec![],
            ..options.clone()
        })
        .await,
        bad
    );
    assert_eq!(
        run(Options {
            file: "/nowhere".into(),
            ..options.clone()
        })
        .await,
        none
    );
    let text = folder.path().join("text");
    std::fs::write(&text, "hello").unwrap();
    assert_eq!(
        run(Options {
            file: text,
            ..options.clone()
        })
        .await,
        none
    );
    let vault = vault(&shared);
    let list = folder.path().join("list");
    std::fs::write(&list, vault.list.to_bytes()).unwrap();
    assert_eq!(
        run(Options {
            file: list.clone(),
            ..options.clone()
        })
        .await,
        bad,
        "the depositor is not known"
    );
    assert_eq!(
        run(Options {
            file: list,
            ledger: Some(node.url),
            ..options.clone()
        })
        .await,
        good,
        "a node proves who it is"
    );
    assert_eq!(
        run(Options {
            ledger: Some("http://127.0.0.1:1".into()),
            ..options
        })
        .await,
        none,
        "no node answers"
    );
}
