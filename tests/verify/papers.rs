//! What a vault host keeps and gives out: papers, and exports of whole vaults.

use super::*;

pub(super) struct Vault {
    chain: ChainId,
    key: SigningKey,
    invitation: Vec<u8>,
    pub(super) list: DrawerList,
    records: Vec<SealedRecord>,
}

/// Two records in one drawer, as a host keeps them.
pub(super) fn vault(shared: &SharedChain) -> Vault {
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

/// However a file is made, what is said of it is short.
#[tokio::test]
async fn an_export_is_not_said_longer_than_it_is_read() {
    let shared = begin();
    let (trust, vault) = (trust(&shared), vault(&shared));
    let items = export(&vault, &shared);
    let head = items[0].clone();
    let indexes = (0..1000).map(|_| ExportItem::Index(Vec::new().into()));
    let many: Vec<_> = [head.clone()].into_iter().chain(indexes).collect();
    let finding = look(&written(&many), &trust).await;
    assert_eq!(failed(&finding), ["form"], "it ends at the second index");
    assert!(finding.facts.len() < 10, "{} facts", finding.facts.len());
    let ExportItem::Drawer(drawer) = &items[2] else {
        panic!("a drawer");
    };
    let drawers = (0..150).map(|number| {
        ExportItem::Drawer(Drawer {
            id: DrawerId([number; 16]),
            ..drawer.clone()
        })
    });
    let orders = (0..150).map(|_| ExportItem::Order(vec![1].into()));
    let many = [head].into_iter().chain(drawers).chain(orders);
    let many: Vec<_> = many.chain([ExportItem::End(301)]).collect();
    let finding = look(&written(&many), &trust).await;
    let wrong = failed(&finding);
    assert_eq!(
        wrong.iter().filter(|name| **name == "order").count(),
        100,
        "{wrong:?}"
    );
    let said = |name, value: &str| finding.facts.contains(&(name, value.to_owned()));
    assert!(said(
        "not shown",
        "50 more checks of papers that do not hold"
    ));
    assert!(said("drawers", "150"));
    assert!(finding.facts.len() < 12, "{} facts", finding.facts.len());
}

/// Papers that nobody signed are nobody's word, and a host's key signs in its time.
#[tokio::test]
async fn papers_that_nobody_signed_do_not_hold() {
    let shared = begin();
    let (known, vault) = (trust(&shared), vault(&shared));
    let none = DrawerList {
        drawer: DRAWER,
        deposits: vec![],
        receipts: vec![],
    };
    let finding = look(&none.to_bytes(), &known).await;
    assert_eq!(
        unknown(&finding),
        ["receipt chain"],
        "no receipt vouches for it"
    );
    let items = export(&vault, &shared);
    let bare = [items[0].clone(), ExportItem::End(1)];
    assert_eq!(
        unknown(&look(&written(&bare), &known).await),
        ["vault"],
        "nobody vouches for it"
    );
    let mut with_empty = items;
    let ExportItem::Drawer(drawer) = &with_empty[2] else {
        panic!("a drawer");
    };
    let empty = Drawer {
        id: DrawerId([7; 16]),
        ..drawer.clone()
    };
    let list = DrawerList {
        drawer: empty.id,
        ..none
    };
    with_empty.insert(4, ExportItem::Drawer(empty));
    with_empty.insert(5, ExportItem::List(list));
    *with_empty.last_mut().unwrap() = ExportItem::End(10);
    holds(&look(&written(&with_empty), &known).await, "export");

    let mut host = organisation(&shared.lock().unwrap(), HOST);
    for key in &mut host.organisation.keys {
        key.until_ms = Some(clock::now_ms() - 600_000);
    }
    let finding = look(&vault.list.to_bytes(), &known.with_organisation(host)).await;
    assert_eq!(failed(&finding), ["receipt chain"], "its key had ended");
}
