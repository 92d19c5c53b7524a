//! Sealing, locks, invitations, deposits, orders and tickets: what holds, and what altered one does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod world;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tegata_consent::SUITE_X25519;
use tegata_consent::cose::{CoseError, Signed};
use tegata_consent::deposit::{
    Deposit, DepositError, DepositReceipt, EMPTY_HEAD, ReceiptChainError, deposit_digest,
    receipt_head, verify_receipt_chain,
};
use tegata_consent::ids::{ChainId, DrawerId, Hash, Nonce, RecordId, Salt};
use tegata_consent::invitation::{Drawer, Invitation, InvitationError, pairing_hash};
use tegata_consent::keys::{Secret, VaultSecret};
use tegata_consent::lock::{Lock, LockLabel, SealError};
use tegata_consent::order::{Order, OrderError};
use tegata_consent::scope::{Scope, ScopeError};
use tegata_consent::sealing::{self, Manifest, Part, SealingError};
use tegata_consent::ticket::{Ticket, TicketDrawer, TicketError};
use world::{World, id, key};

const CHAIN: ChainId = ChainId([1; 32]);
const DRAWER: DrawerId = DrawerId([2; 16]);
const RECORD: RecordId = RecordId([3; 16]);

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn manifest() -> Manifest {
    Manifest {
        suite: SUITE_X25519,
        drawer: DRAWER,
        record: RECORD,
        date_ms: 4,
        depositor: id("clinic"),
        record_type: "vaccination".into(),
        parts: vec![Part {
            media_type: "application/dc+sd-jwt".into(),
            length: 0,
            name: None,
        }],
        replaces: None,
    }
}

#[test]
fn a_record_opens_with_either_key_and_no_other() {
    let (drawer, record) = (Secret::new([11; 32]), Secret::new([12; 32]));
    let plaintext = sealing::frame(manifest(), &[b"credential"]).unwrap();
    assert_eq!(plaintext.len(), sealing::BUCKET_MIN);
    let file = sealing::seal(&plaintext, &drawer.seal_key(), &record.seal_key()).unwrap();
    for secret in [&drawer, &record] {
        let opened = sealing::open(&file, secret).unwrap();
        let (manifest, parts) = sealing::unframe(&opened).unwrap();
        assert_eq!(
            (manifest.record, parts),
            (RECORD, vec![b"credential".as_slice()])
        );
    }
    assert!(sealing::open(&file, &Secret::new([13; 32])).is_err());
    for position in [0, 30, 200, file.len() / 2, file.len() - 1] {
        let mut altered = file.clone();
        altered[position] ^= 1;
        assert!(sealing::open(&altered, &drawer).is_err(), "byte {position}");
    }
    for length in [0, 100, file.len() - 1] {
        assert!(
            sealing::open(&file[..length], &drawer).is_err(),
            "cut to {length}"
        );
    }
}

#[test]
fn frames_that_lie_about_lengths_are_refused() {
    let good = sealing::frame(manifest(), &[b"credential"]).unwrap();
    let refused = |bytes: &[u8]| {
        matches!(
            sealing::unframe(bytes),
            Err(SealingError::Framing(_) | SealingError::Manifest(_))
        )
    };
    assert!(refused(&[]));
    assert!(refused(&good[..3]));
    assert!(refused(&good[..20]));
    let mut long = good.clone();
    long[0] = 0xff;
    assert!(refused(&long));
    let mut padded = good.clone();
    *padded.last_mut().unwrap() = 1;
    assert!(refused(&padded));
    let mut larger = good.clone();
    larger.extend_from_slice(&[0; 2048]);
    assert!(refused(&larger));
    assert_eq!(
        (
            sealing::bucket(2049),
            sealing::bucket(1 << 20),
            sealing::bucket((1 << 20) + 1)
        ),
        (4096, 1 << 20, 2 << 20)
    );
}

#[test]
fn a_lock_opens_only_with_its_reader_key_and_label() {
    let (reader, record) = (Secret::new([21; 32]), Secret::new([22; 32]));
    let label = LockLabel::new(CHAIN, DRAWER, RECORD, 4);
    let lock = Lock::make(&record, &reader.seal_key(), &label, &mut rng()).unwrap();
    let lock = Lock::parse(&lock.to_bytes()).unwrap();
    assert_eq!(lock.open(&reader, &label).unwrap(), record);
    assert_eq!(
        lock.open(&Secret::new([23; 32]), &label),
        Err(SealError::Open)
    );
    for other in [
        LockLabel {
            chain: ChainId([9; 32]),
            ..label
        },
        LockLabel {
            committee: [9; 32],
            ..label
        },
        LockLabel {
            drawer: DrawerId([9; 16]),
            ..label
        },
        LockLabel {
            record: RecordId([9; 16]),
            ..label
        },
        LockLabel {
            date_ms: 5,
            ..label
        },
    ] {
        assert_eq!(lock.open(&reader, &other), Err(SealError::Open));
    }
    let bytes = lock.to_bytes();
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        let opened = Lock::parse(&altered).and_then(|lock| lock.open(&reader, &label));
        assert!(opened.is_err(), "byte {position}");
    }
}

#[test]
fn one_vault_secret_gives_the_same_keys_again_and_different_ones_for_each_use() {
    let (a, again, b) = (
        VaultSecret::new([1; 32]),
        VaultSecret::new([1; 32]),
        VaultSecret::new([2; 32]),
    );
    assert_eq!(a.vault_id(), again.vault_id());
    assert_ne!(a.vault_id(), b.vault_id());
    assert_ne!(a.drawer_secret(&DRAWER), a.reader_secret(&DRAWER));
    assert_ne!(
        a.holder_key(&id("clinic")).to_bytes(),
        a.holder_key(&id("insurer")).to_bytes()
    );
    assert_ne!(a.grant_id(&[1; 16]), a.grant_id(&[2; 16]));
    assert_eq!(format!("{a:?}"), "VaultSecret(Secret(…))");
}

fn invitation(vault: &VaultSecret) -> Invitation {
    Invitation {
        suite: SUITE_X25519,
        host: id("host"),
        depositor: id("clinic"),
        pairing: pairing_hash(&id("clinic"), "ABCD"),
        drawers: vec![Drawer {
            id: DRAWER,
            category: "vaccination".into(),
            epoch: 1,
            drawer_key: vault.drawer_secret(&DRAWER).seal_key(),
            reader_key: vault.reader_secret(&DRAWER).seal_key(),
        }],
        holder: tegata_consent::cose::public_key(&vault.holder_key(&id("clinic"))),
        record_types: vec!["vaccination".into()],
        expires_ms: 1000,
        nonce: Nonce([4; 16]),
    }
}

#[test]
fn invitations_count_for_their_depositor_code_and_time() {
    let vault = VaultSecret::new([1; 32]);
    let bytes = invitation(&vault)
        .sign(&vault.vault_key(), &CHAIN)
        .to_bytes();
    let verified = Invitation::verify(&bytes, &CHAIN, &id("clinic")).unwrap();
    assert_eq!(verified.vault, vault.vault_id());
    let pairing = pairing_hash(&id("clinic"), "ABCD");
    verified.check_open(&pairing, 999).unwrap();
    assert_eq!(
        verified.check_open(&pairing, 1000),
        Err(InvitationError::Expired(1000))
    );
    assert_eq!(
        verified.check_open(&pairing_hash(&id("clinic"), "ABCE"), 0),
        Err(InvitationError::OtherPairing)
    );
    assert_eq!(
        verified.check_open(&pairing_hash(&id("insurer"), "ABCD"), 0),
        Err(InvitationError::OtherPairing)
    );
    assert_eq!(
        Invitation::verify(&bytes, &CHAIN, &id("insurer")),
        Err(InvitationError::OtherDepositor(id("clinic")))
    );
    assert!(Invitation::verify(&bytes, &ChainId([9; 32]), &id("clinic")).is_err());
    let mut altered = bytes.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert!(matches!(
        Invitation::verify(&altered, &CHAIN, &id("clinic")),
        Err(InvitationError::Cose(CoseError::Signature(_)))
    ));
    let mut doubled = invitation(&vault);
    doubled.drawers.push(doubled.drawers[0].clone());
    let bytes = doubled.sign(&vault.vault_key(), &CHAIN).to_bytes();
    assert_eq!(
        Invitation::verify(&bytes, &CHAIN, &id("clinic")),
        Err(InvitationError::Size)
    );
    let other_suite = Invitation {
        suite: 9,
        ..invitation(&vault)
    };
    let bytes = other_suite.sign(&vault.vault_key(), &CHAIN).to_bytes();
    assert_eq!(
        Invitation::verify(&bytes, &CHAIN, &id("clinic")),
        Err(InvitationError::Suite(9))
    );
}

#[test]
fn deposits_name_file_and_lock() {
    let lock = Lock::make(
        &Secret::new([1; 32]),
        &Secret::new([2; 32]).seal_key(),
        &LockLabel::new(CHAIN, DRAWER, RECORD, 4),
        &mut rng(),
    );
    let lock = lock.unwrap();
    let file = b"sealed".to_vec();
    let deposit = Deposit {
        depositor: id("clinic"),
        drawer: DRAWER,
        record: RECORD,
        date_ms: 4,
        file: sealing::file_digest(&file),
        length: 6,
        lock: lock.digest(),
        invitation: Hash([5; 32]),
    };
    let bytes = deposit.sign(&key("clinic"), &CHAIN).to_bytes();
    let verified = Deposit::verify(&bytes, &CHAIN, &file, &lock).unwrap();
    assert_eq!(verified.digest, deposit_digest(&bytes));
    assert_eq!(
        Deposit::verify(&bytes, &CHAIN, b"Sealed", &lock),
        Err(DepositError::File)
    );
    let other = Lock::make(
        &Secret::new([1; 32]),
        &Secret::new([2; 32]).seal_key(),
        &LockLabel::new(CHAIN, DRAWER, RECORD, 4),
        &mut StdRng::seed_from_u64(8),
    );
    assert_eq!(
        Deposit::verify(&bytes, &CHAIN, &file, &other.unwrap()),
        Err(DepositError::Lock)
    );
}

#[test]
fn a_host_that_drops_swaps_or_forgets_is_found_out() {
    let host_key = tegata_consent::cose::public_key(&key("host"));
    let mut head = EMPTY_HEAD;
    let mut chain = Vec::new();
    for sequence in 1..=4 {
        let receipt = DepositReceipt {
            host: id("host"),
            drawer: DRAWER,
            sequence,
            previous: head,
            deposit: Hash([9; 32]),
            received_ms: sequence,
        };
        let bytes = receipt.sign(&key("host"), &CHAIN).to_bytes();
        head = receipt_head(&bytes);
        chain.push(minicbor::bytes::ByteVec::from(bytes));
    }
    let verify =
        |receipts: &[_], seen| verify_receipt_chain(&CHAIN, &[host_key], &DRAWER, receipts, seen);
    let (all, newest) = verify(&chain, (0, EMPTY_HEAD)).unwrap();
    assert_eq!((all.len(), newest), (4, head));
    let second = receipt_head(&chain[1]);
    verify(&chain, (2, second)).unwrap();
    let mut dropped = chain.clone();
    dropped.remove(1);
    assert_eq!(
        verify(&dropped, (0, EMPTY_HEAD)),
        Err(ReceiptChainError::Broken(1))
    );
    let mut swapped = chain.clone();
    swapped.swap(1, 2);
    assert_eq!(
        verify(&swapped, (0, EMPTY_HEAD)),
        Err(ReceiptChainError::Broken(1))
    );
    assert_eq!(
        verify(&chain[..1], (2, second)),
        Err(ReceiptChainError::Shortened { seen: 2, found: 1 })
    );
    assert_eq!(
        verify(&chain, (2, Hash([8; 32]))),
        Err(ReceiptChainError::Shortened { seen: 2, found: 4 })
    );
    let stranger = verify_receipt_chain(
        &CHAIN,
        &[tegata_consent::cose::public_key(&key("other"))],
        &DRAWER,
        &chain,
        (0, EMPTY_HEAD),
    );
    assert!(matches!(
        stranger,
        Err(ReceiptChainError::Cose(0, CoseError::Signer { .. }))
    ));
}

#[test]
fn orders_and_tickets_fit_their_grant_only() {
    let world = World::new();
    let vault = VaultSecret::new([1; 32]);
    let (grant_key, grant_id) = (vault.grant_key(&[1; 16]), vault.grant_id(&[1; 16]));
    let (salt, scope) = (Salt([6; 32]), Scope::of_drawers(vec![DRAWER]));
    let mut grant = world.grant_body();
    grant.commitment = scope.commitment(&salt);

    let order = Order {
        grant: grant_id,
        host: id("host"),
        salt,
        scope: scope.clone(),
    };
    let bytes = order.sign(&grant_key, &CHAIN).to_bytes();
    assert_eq!(
        Order::verify(&bytes, &CHAIN, &grant_id, &grant, &id("host")),
        Ok(order.clone())
    );
    assert_eq!(
        Order::verify(&bytes, &CHAIN, &grant_id, &grant, &id("clinic")),
        Err(OrderError::OtherHost(id("host")))
    );
    let forged = order.sign(&key("host"), &CHAIN).to_bytes();
    assert!(matches!(
        Order::verify(&forged, &CHAIN, &grant_id, &grant, &id("host")),
        Err(OrderError::Cose(_))
    ));
    let wider = Order {
        scope: Scope::of_drawers(vec![DRAWER, DrawerId([7; 16])]),
        ..order
    };
    let bytes = wider.sign(&grant_key, &CHAIN).to_bytes();
    let refused = Order::verify(&bytes, &CHAIN, &grant_id, &grant, &id("host"));
    assert_eq!(
        refused,
        Err(OrderError::Scope(ScopeError::Commitment(grant.commitment)))
    );

    let recipient = Secret::new([31; 32]);
    let ticket = Ticket {
        grant: grant_id,
        host: id("host"),
        vault: vault.vault_id(),
        drawers: vec![TicketDrawer::new(
            DRAWER,
            "vaccination".into(),
            &vault.reader_secret(&DRAWER),
        )],
        salt,
        scope,
        reference: "policy 1".into(),
        request_salt: None,
        request: None,
    };
    let sealed = ticket
        .seal_to(
            &grant_key,
            &id("clinic"),
            &recipient.seal_key(),
            &CHAIN,
            &mut rng(),
        )
        .unwrap();
    let open = |bytes: &[u8], secret: &Secret, by: &str| {
        Ticket::open_sealed(bytes, secret, &id(by), &CHAIN, &grant_id, &grant)
    };
    let opened = open(&sealed, &recipient, "clinic").unwrap();
    assert_eq!(opened.drawers[0].reader(), vault.reader_secret(&DRAWER));
    assert_eq!(
        open(&sealed, &recipient, "insurer"),
        Err(TicketError::Seal(SealError::Open))
    );
    assert_eq!(
        open(&sealed, &Secret::new([32; 32]), "clinic"),
        Err(TicketError::Seal(SealError::Open))
    );
    let forged = ticket
        .seal_to(
            &key("host"),
            &id("clinic"),
            &recipient.seal_key(),
            &CHAIN,
            &mut rng(),
        )
        .unwrap();
    assert!(matches!(
        open(&forged, &recipient, "clinic"),
        Err(TicketError::Order(OrderError::Cose(_)))
    ));
    let mut more = ticket.clone();
    more.drawers.push(TicketDrawer::new(
        DrawerId([7; 16]),
        "laboratory".into(),
        &Secret::new([1; 32]),
    ));
    let sealed = more
        .seal_to(
            &grant_key,
            &id("clinic"),
            &recipient.seal_key(),
            &CHAIN,
            &mut rng(),
        )
        .unwrap();
    assert_eq!(
        open(&sealed, &recipient, "clinic"),
        Err(TicketError::Drawers)
    );
    assert!(!format!("{ticket:?}").contains(&hex::encode(vault.reader_secret(&DRAWER).expose())));
}

#[test]
fn a_scope_never_reaches_beyond_another() {
    let (a, b) = (DrawerId([1; 16]), DrawerId([2; 16]));
    let (r, s) = (RecordId([1; 16]), RecordId([2; 16]));
    let whole = Scope::of_drawers(vec![b, a]);
    whole.check().unwrap();
    let one = Scope {
        records: Some(vec![r]),
        ..Scope::of_drawers(vec![a])
    };
    let dated = Scope {
        from_ms: Some(10),
        until_ms: Some(20),
        ..whole.clone()
    };
    assert_eq!(one.within(&whole), Ok(()));
    assert!(whole.within(&one).is_err());
    assert!(
        Scope {
            records: Some(vec![s]),
            ..one.clone()
        }
        .within(&one)
        .is_err()
    );
    assert!(whole.within(&dated).is_err());
    assert_eq!(
        Scope {
            from_ms: Some(12),
            until_ms: Some(20),
            ..one.clone()
        }
        .within(&dated),
        Ok(())
    );
    assert!(one.covers(&a, &r, 0) && !one.covers(&a, &s, 0) && !one.covers(&b, &r, 0));
    assert!(dated.covers(&a, &r, 10) && !dated.covers(&a, &r, 9) && !dated.covers(&a, &r, 20));
    assert_eq!(
        Scope {
            drawers: vec![b, a],
            ..whole.clone()
        }
        .check(),
        Err(ScopeError::Order("drawers"))
    );
    assert_eq!(
        Scope {
            drawers: vec![],
            ..whole
        }
        .check(),
        Err(ScopeError::Size)
    );
}
