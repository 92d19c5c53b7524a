//! The store alone: what is acknowledged is there after reopening, and nothing is decided twice.

use super::*;
use crate::rows::GrantRow;
use crate::rules::Policy;

const GRANT: GrantId = GrantId([1; 32]);
const RECORD: RecordId = RecordId([2; 16]);

struct Folder {
    folder: tempfile::TempDir,
    secrets: Vec<Secret>,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            secrets: vec![Secret::new([7; 32])],
        }
    }
    fn open(&self) -> Store {
        Store::open(self.folder.path(), self.secrets.clone()).unwrap()
    }
}

fn ticket(reference: &str) -> TicketRow {
    TicketRow {
        row: GrantRow {
            grant: GRANT.to_string(),
            host: "h".into(),
            reference: reference.into(),
            unsolicited: false,
            request: None,
            categories: vec!["vaccination".into()],
            purpose: "care".into(),
            legal_basis: "consent".into(),
            retention_days: 1,
            until_ms: 10,
            uses_max: None,
            received_ms: 1,
        },
        ticket: "AA".into(),
    }
}

fn copy(read_ms: u64, delete_ms: u64) -> CopyRow {
    CopyRow {
        record: RECORD.to_string(),
        grant: GRANT.to_string(),
        record_type: "vaccination".into(),
        date_ms: 1,
        issuer: "i".into(),
        claims: serde_json::json!({ "vaccine_code": "mr" }),
        credential: "x".into(),
        read_ms,
        delete_ms,
        replaces: None,
    }
}

fn reading(time_ms: u64) -> ReadingRow {
    ReadingRow {
        access: hex::encode([u8::try_from(time_ms).unwrap(); 32]),
        grant: GRANT.to_string(),
        reference: "r".into(),
        outcome: "allowed".into(),
        height: 1,
        time_ms,
        receipt: String::new(),
        standing: false,
        records: Vec::new(),
        drawers: Vec::new(),
    }
}

#[test]
fn a_ping_while_its_job_runs_is_not_lost() {
    let folder = Folder::new();
    let store = folder.open();
    store.enqueue(&GRANT, 5).unwrap();
    let (_, seen) = store.queue().unwrap()[0];
    store.enqueue(&GRANT, 6).unwrap();
    store.finish(&GRANT, &seen).unwrap();
    let (_, newer) = store.queue().unwrap()[0];
    assert_eq!((newer.pings, newer.attempts), (2, 0));
    store.put_off(&GRANT, &seen, 99).unwrap();
    assert_eq!(
        store.queue().unwrap()[0].1,
        newer,
        "due at once, not put off"
    );
    store.put_off(&GRANT, &newer, 99).unwrap();
    drop(store);
    let store = folder.open();
    let (grant, job) = store.queue().unwrap()[0];
    assert_eq!((grant, job.attempts, job.due_ms), (GRANT, 1, 99));
    store.finish(&GRANT, &job).unwrap();
    drop(store);
    assert!(folder.open().queue().unwrap().is_empty());
}

#[test]
fn a_payment_is_decided_once_for_each_policy_record_and_rule() {
    let folder = Folder::new();
    let pay = Policy {
        amount: 5,
        currency: "JPY".into(),
    };
    let claim = |policy, record, replaces, rule| Claimed {
        policy,
        record,
        replaces,
        rule,
        pay: &pay,
        grant: "g",
        access: "a",
        decided_ms: 1,
    };
    let table = [
        (claim("P-1", "r1", None, "a"), true),
        (claim("P-1", "r1", None, "a"), false),
        (claim("P-1", "r1", None, "b"), true),
        (claim("P-2", "r1", None, "a"), true),
        (claim("P-1", "r2", None, "a"), true),
        (claim("P-1", "r3", Some("r1"), "a"), false),
        (claim("P-1", "r4", Some("r3"), "a"), false),
        (claim("P-1", "r5", Some("r9"), "a"), true),
        (claim("P-1a", "r1", None, ""), true),
        (claim("P-1", "r1", None, "aa"), true),
    ];
    for (row, (claimed, expected)) in table.iter().enumerate() {
        // Reopened each time: nothing rests on memory.
        let new = folder
            .open()
            .decide(&GRANT, &RECORD, &[*claimed], true)
            .unwrap();
        assert_eq!(!new.is_empty(), *expected, "row {row}");
    }
    let store = folder.open();
    let decisions = store.decisions(0, 100).unwrap();
    assert_eq!(
        decisions
            .iter()
            .map(|decision| decision.number)
            .collect::<Vec<_>>(),
        (1..=7).collect::<Vec<_>>()
    );
    assert_eq!(store.decisions(5, 1).unwrap()[0].number, 6);
    assert_eq!(store.outbox().unwrap().len(), 7);
    assert!(store.is_done(&GRANT, &RECORD).unwrap());
    let (decision, job) = store.outbox().unwrap().remove(0);
    store.posted(decision.number, &job, Some(9)).unwrap();
    let (_, job) = store.outbox().unwrap().remove(0);
    assert_eq!((job.attempts, job.due_ms), (1, 9));
    store.posted(decision.number, &job, None).unwrap();
    assert_eq!(store.outbox().unwrap().len(), 6);
}

#[test]
fn copies_are_deleted_when_their_time_has_come_and_reading_again_buys_no_time() {
    let folder = Folder::new();
    let store = folder.open();
    store
        .put_reading(&reading(1), &[(copy(1, 100), None)], &[])
        .unwrap();
    store
        .put_reading(&reading(2), &[(copy(50, 150), None)], &[])
        .unwrap();
    assert_eq!(store.copy(&GRANT, &RECORD).unwrap().unwrap().delete_ms, 100);
    assert_eq!(store.purge(99).unwrap(), 0);
    assert_eq!(store.purge(100).unwrap(), 1);
    assert_eq!(store.copy(&GRANT, &RECORD).unwrap(), None);
    assert_eq!(store.purge(1000).unwrap(), 0);
    let times = |before| {
        store
            .readings(before, 10)
            .unwrap()
            .iter()
            .map(|row| row.time_ms)
            .collect::<Vec<_>>()
    };
    assert_eq!((times(u64::MAX), times(2)), (vec![2, 1], vec![1]));
}

#[test]
fn values_are_sealed_to_their_place_and_to_our_key() {
    let mut folder = Folder::new();
    let store = folder.open();
    store
        .put_ticket(&GRANT, &ticket("patient 7"), None)
        .unwrap();
    assert_eq!(
        store.put_ticket(&GRANT, &ticket("other"), None).unwrap(),
        Taken::Before
    );
    // Moved under another grant, it does not open.
    let value = store
        .db
        .get_cf(store.part(Part::Grants), GRANT.0)
        .unwrap()
        .unwrap();
    store
        .db
        .put_cf(store.part(Part::Grants), [2; 32], &value)
        .unwrap();
    assert!(matches!(
        store.ticket(&GrantId([2; 32])),
        Err(StoreError::Damaged { .. })
    ));
    drop(store);
    // A new key, with the older one beside it; then without.
    folder.secrets.insert(0, Secret::new([8; 32]));
    let store = folder.open();
    assert_eq!(
        store.grants(Some("patient 7"), 10).unwrap(),
        [ticket("patient 7")]
    );
    assert!(store.grants(Some("patient"), 10).unwrap().is_empty());
    drop(store);
    folder.secrets = vec![Secret::new([9; 32])];
    let foreign = Store::open(folder.folder.path(), folder.secrets.clone());
    assert!(
        matches!(foreign, Err(StoreError::Damaged { part: "keys", .. })),
        "said at the start"
    );
    folder.secrets = vec![Secret::new([8; 32])];
    assert!(matches!(
        folder.open().ticket(&GRANT),
        Err(StoreError::Damaged { .. })
    ));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look_into_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    std::fs::set_permissions(folder.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let _store = folder.open();
    assert_eq!(
        std::fs::metadata(folder.folder.path())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
}

#[test]
fn requests_are_deleted_long_after_they_expired() {
    let folder = Folder::new();
    let store = folder.open();
    let (id, digest) = ([3; 16], Hash([4; 32]));
    let row = RequestRow {
        signed: "AA".into(),
        expires_ms: 100,
        answered_by: None,
        reference: None,
    };
    store.put_request(&id, &digest, &row).unwrap();
    store.purge(100 + REQUEST_KEPT_MS - 1).unwrap();
    assert_eq!(store.request_by_digest(&digest).unwrap(), Some((id, row)));
    store.purge(100 + REQUEST_KEPT_MS).unwrap();
    assert_eq!(
        (
            store.request_by_digest(&digest).unwrap(),
            store.request(&id).unwrap()
        ),
        (None, None)
    );
}

#[test]
fn a_chain_that_was_seen_longer_is_not_forgotten() {
    let folder = Folder::new();
    let store = folder.open();
    let drawer = DrawerId([5; 16]);
    store
        .put_reading(&reading(1), &[], &[(drawer, (3, Hash([3; 32])))])
        .unwrap();
    store
        .put_reading(&reading(2), &[], &[(drawer, (2, Hash([2; 32])))])
        .unwrap();
    assert_eq!(store.chain(&drawer).unwrap(), Some((3, Hash([3; 32]))));
}

#[test]
fn damage_on_disk_is_found_and_named() {
    let folder = Folder::new();
    let store = folder.open();
    let pay = Policy {
        amount: 5,
        currency: "JPY".into(),
    };
    let record = RECORD.to_string();
    let claim = Claimed {
        policy: "P",
        record: &record,
        replaces: None,
        rule: "a",
        pay: &pay,
        grant: "g",
        access: "a",
        decided_ms: 1,
    };
    store.put_ticket(&GRANT, &ticket("r"), None).unwrap();
    store
        .put_reading(&reading(1), &[(copy(1, 100), None)], &[])
        .unwrap();
    store.decide(&GRANT, &RECORD, &[claim], true).unwrap();
    store.enqueue(&GRANT, 1).unwrap();
    let look = || {
        Store::open_read_only(folder.folder.path(), folder.secrets.clone())
            .unwrap()
            .check(&mut |_| ())
            .unwrap()
    };
    let sound = look();
    assert!(sound.is_sound(), "{:?}", sound.faults);
    assert_eq!(
        (
            sound.grants,
            sound.readings,
            sound.copies,
            sound.decisions,
            sound.queued,
            sound.unposted
        ),
        (1, 1, 1, 1, 1, 1)
    );
    let alter = |part: Part, key: &[u8], value: Option<&[u8]>| {
        let before = store.db.get_cf(store.part(part), key).unwrap().unwrap();
        match value {
            Some(value) => store.db.put_cf(store.part(part), key, value).unwrap(),
            None => store.db.delete_cf(store.part(part), key).unwrap(),
        }
        let faults = look().faults;
        store.db.put_cf(store.part(part), key, before).unwrap();
        assert!(look().is_sound());
        faults.join("; ")
    };
    assert!(alter(Part::Grants, &GRANT.0, Some(b"x")).contains("grants 0101"));
    assert!(alter(Part::Grants, &GRANT.0, None).contains("references"));
    assert!(alter(Part::Copies, &pair(&GRANT, &RECORD), None).contains("deletions"));
    assert!(alter(Part::Decisions, &1u64.to_be_bytes(), None).contains("decided"));
    let mut flipped = store
        .db
        .get_cf(store.part(Part::Queue), GRANT.0)
        .unwrap()
        .unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(alter(Part::Queue, &GRANT.0, Some(&flipped)).contains("queue"));
}

#[test]
fn a_store_that_is_lost_is_not_made_to_look_at_it() {
    let folder = Folder::new();
    let error = Store::open_read_only(folder.folder.path(), folder.secrets.clone()).err();
    assert!(matches!(error, Some(StoreError::Missing(_))), "{error:?}");
    assert_eq!(std::fs::read_dir(folder.folder.path()).unwrap().count(), 0);
}
