//! `tegata verify` recognises everything that leaves a service, and says no to all of it once it is altered.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test"
)]

#[path = "../service/tests/fake/mod.rs"]
mod fake;

use ed25519_dalek::SigningKey;
use fake::{Chain, SharedChain, grant_id, key};
use minicbor::bytes::ByteVec;
use serde_json::json;
use tegata::verify::{Finding, Options, Trust, recognise};
use tegata_consent::cbor;
use tegata_consent::cose::{Signed, public_key};
use tegata_consent::deposit::{
    Deposit, DepositReceipt, DrawerList, EMPTY_HEAD, SealedRecord, deposit_digest, receipt_head,
};
use tegata_consent::entry::Entry;
use tegata_consent::fetch::GrantHistory;
use tegata_consent::ids::{ChainId, DrawerId, Hash, Nonce, RecordId, Salt, SealKey, VaultId};
use tegata_consent::invitation::{Drawer, Invitation, invitation_digest};
use tegata_consent::keys::{Secret, VaultSecret};
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::order::Order;
use tegata_consent::organisation::{KeyUse, OrganisationKey, OrganisationState, Role};
use tegata_consent::request::ConsentRequest;
use tegata_consent::scope::Scope;
use tegata_consent::sealing::file_digest;
use tegata_consent::state::StateKey;
use tegata_credential::keys::{Algorithm, SigningKey as CredentialKey};
use tegata_credential::sd_jwt::{Issuance, KeyBinding, SdJwt, StatusReference, issue};
use tegata_credential::status_list::{Status, StatusList, StatusListIssuance, sign};
use tegata_records::catalogue;
use tegata_service::clock;
use tegata_vault::{ExportHead, ExportItem};

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

struct Vault {
    chain: ChainId,
    key: SigningKey,
    invitation: Vec<u8>,
    list: DrawerList,
    records: Vec<SealedRecord>,
}

/// Two records in one drawer, as a host keeps them.
fn vault(shared: &SharedChain) -> Vault {
    let chain = shared.lock().unwrap();
    let key = VaultSecret::new([9; 32]).vault_key();
    let reader = Secret::new([8; 32]);
    let invitation = Invitation {
        suite: tegata_consent::SUITE_X25519,
        host: chain.organisation(HOST),
        depositor: chain.organisation(ISSUER),
        pairing: Hash([1; 32]),
        drawers: vec![Drawer {
            id: DRAWER,
            category: "vaccination".into(),
            epoch: 1,
            drawer_key: SealKey([2; 32]),
            reader_key: reader.seal_key(),
        }],
        holder: public_key(&fake::key(60)),
        record_types: vec!["vaccination".into()],
        expires_ms: clock::now_ms() + 1_000_000,
        nonce: Nonce([1; 16]),
    };
    let invitation = invitation.sign(&key, &chain.id).to_bytes();
    let mut list = DrawerList {
        drawer: DRAWER,
        deposits: vec![],
        receipts: vec![],
    };
    let (mut records, mut previous) = (Vec::new(), EMPTY_HEAD);
    for number in 1..=2_u8 {
        let (file, record) = (vec![number; 100], RecordId([number; 16]));
        let label = LockLabel::new(chain.id, DRAWER, record, 5);
        let lock = Lock::make(
            &Secret::new([number; 32]),
            &reader.seal_key(),
            &label,
            &mut rand::rng(),
        )
        .unwrap();
        let deposit = Deposit {
            depositor: chain.organisation(ISSUER),
            drawer: DRAWER,
            record,
            date_ms: 5,
            file: file_digest(&file),
            length: 100,
            lock: lock.digest(),
            invitation: invitation_digest(&invitation),
        };
        let deposit = deposit.sign(&fake::key(ISSUER), &chain.id).to_bytes();
        let receipt = DepositReceipt {
            host: chain.organisation(HOST),
            drawer: DRAWER,
            sequence: u64::from(number),
            previous,
            deposit: deposit_digest(&deposit),
            received_ms: clock::now_ms(),
        };
        let receipt = receipt.sign(&fake::key(HOST), &chain.id).to_bytes();
        previous = receipt_head(&receipt);
        list.deposits.push(deposit.clone().into());
        list.receipts.push(receipt.clone().into());
        records.push(SealedRecord {
            deposit: deposit.into(),
            invitation: invitation.clone().into(),
            lock: lock.to_bytes().into(),
            file: file.into(),
            receipt: Some(receipt.into()),
        });
    }
    Vault {
        chain: chain.id,
        key,
        invitation,
        list,
        records,
    }
}

#[tokio::test]
async fn papers_of_a_vault() {
    let shared = begin();
    let (trust, vault) = (trust(&shared), vault(&shared));
    holds(
        &look(&vault.list.to_bytes(), &trust).await,
        "papers of a drawer",
    );
    holds(
        &look(&cbor::encode(&vault.records[0]), &trust).await,
        "sealed record",
    );
    holds(&look(&vault.invitation, &trust).await, "deposit invitation");
    holds(&look(&vault.list.deposits[0], &trust).await, "A deposit");
    holds(
        &look(&vault.list.receipts[1], &trust).await,
        "receipt for one deposit",
    );

    let mut dropped = vault.list.clone();
    dropped.receipts.remove(0);
    dropped.deposits.remove(0);
    assert_eq!(
        failed(&look(&dropped.to_bytes(), &trust).await),
        ["receipt chain"]
    );
    let mut swapped = vault.list.clone();
    swapped.deposits.swap(0, 1);
    assert_eq!(
        failed(&look(&swapped.to_bytes(), &trust).await),
        ["deposits"]
    );
    let mut record = vault.records[0].clone();
    record.file[5] ^= 1;
    assert_eq!(
        failed(&look(&cbor::encode(&record), &trust).await),
        ["deposit"]
    );
    let mut record = vault.records[0].clone();
    record.receipt = vault.records[1].receipt.clone();
    assert_eq!(
        failed(&look(&cbor::encode(&record), &trust).await),
        ["receipt"]
    );

    let stranger = Trust::at(clock::now_ms()).with_genesis(&shared.lock().unwrap().genesis);
    let finding = look(&vault.list.to_bytes(), &stranger).await;
    assert_eq!(
        (failed(&finding).len(), unknown(&finding)),
        (0, vec!["receipt chain"]),
        "the host is not known"
    );
    let later =
        Trust::at(clock::now_ms() + 2_000_000).with_genesis(&shared.lock().unwrap().genesis);
    assert_eq!(
        failed(&look(&vault.invitation, &later).await),
        ["not expired"]
    );
}

fn export(vault: &Vault, shared: &SharedChain) -> Vec<ExportItem> {
    let host = shared.lock().unwrap().organisation(HOST);
    let order = order(vault.chain, shared);
    let head = ExportHead {
        format: "tegata-export".into(),
        version: 1,
        chain: vault.chain,
        host,
        vault: VaultId(public_key(&vault.key).0),
        time_ms: clock::now_ms(),
    };
    let invitation = Invitation::open(&vault.invitation, &vault.chain).unwrap().0;
    vec![
        ExportItem::Head(head),
        ExportItem::Index(vec![1, 2, 3].into()),
        ExportItem::Drawer(invitation.drawers[0].clone()),
        ExportItem::List(vault.list.clone()),
        ExportItem::Record(vault.records[0].clone()),
        ExportItem::Record(vault.records[1].clone()),
        ExportItem::Order(order.into()),
        ExportItem::Order(Vec::new().into()), // of a one-time grant
        ExportItem::End(8),
    ]
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

fn written(items: &[ExportItem]) -> Vec<u8> {
    items.iter().flat_map(cbor::encode).collect()
}

#[tokio::test]
async fn an_export_is_whole_or_it_says_what_is_missing() {
    let shared = begin();
    let (trust, vault) = (trust(&shared), vault(&shared));
    let items = export(&vault, &shared);
    holds(
        &look(&written(&items), &trust).await,
        "export of a whole vault",
    );
    assert_eq!(
        failed(&look(&written(&items[..7]), &trust).await),
        ["complete"],
        "cut off"
    );
    let mut lacking = items.clone();
    lacking.remove(5);
    assert_eq!(
        failed(&look(&written(&lacking), &trust).await),
        ["complete", "records"],
        "a record is missing"
    );
    let mut altered = items.clone();
    if let ExportItem::Record(record) = &mut altered[4] {
        record.file[0] ^= 1;
    }
    let finding = look(&written(&altered), &trust).await;
    assert_eq!(failed(&finding), ["deposit"]);
    assert!(
        finding
            .checks
            .iter()
            .any(|check| check.reason.starts_with("record 0101")),
        "{finding:?}"
    );
    // Nobody signs the first item and the drawers: what is signed must agree with them.
    for (check, alter) in [
        (
            "host",
            (|head, _| head.host.0[0] ^= 1) as fn(&mut ExportHead, &mut Drawer),
        ),
        ("vault", |head, _| head.vault.0[0] ^= 1),
        ("drawers", |_, drawer| drawer.reader_key.0[0] ^= 1),
        ("drawers", |_, drawer| drawer.category = "imaging".into()),
    ] {
        let mut altered = items.clone();
        let [ExportItem::Head(head), _, ExportItem::Drawer(drawer), ..] = &mut altered[..] else {
            panic!("head, index, drawer");
        };
        alter(head, drawer);
        assert_eq!(failed(&look(&written(&altered), &trust).await), [check]);
    }
    let bytes = written(&items);
    assert!(!look(&bytes[..bytes.len() - 3], &trust).await.holds());
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
    let request = ConsentRequest {
        recipient: shared.lock().unwrap().organisation(CLINIC),
        categories: vec!["vaccination".into()],
        purpose: "care".into(),
        legal_basis: "consent".into(),
        retention_days: 30,
        until_ms: clock::now_ms() + 1_000_000,
        uses_max: None,
        reference: "00112233445566778899aabbccddeeff".into(),
        expires_ms: clock::now_ms() + 1_000_000,
        nonce: Nonce([1; 16]),
    };
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
    let list = StatusList::from_entries(1, 100, [(7, status)]).unwrap();
    let issued_at = clock::now_s();
    let issuance = StatusListIssuance {
        uri: STATUS,
        issuer: None,
        issued_at,
        expires_at: Some(issued_at + 1000),
        ttl_s: None,
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
