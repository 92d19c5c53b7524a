use super::*;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tegata_consent::ids::Hash;

fn record(number: u8, status: Status) -> Record {
    Record {
        id: RecordId([number; 16]),
        subject: "0001".into(),
        record_type: "vaccination".into(),
        system: "emr".into(),
        source_id: number.to_string(),
        digest: Hash([number; 32]),
        date_ms: 0,
        claims: None,
        status,
        reason: None,
        accepted_ms: u64::from(number),
        attempts: 0,
        due_ms: u64::from(number) * 10,
        sealing: None,
        place: None,
        receipt: None,
        deposited_ms: None,
        replaces: None,
        replaced_by: None,
        revocation: None,
        suspension: None,
    }
}

fn put(store: &Store, records: &[Record]) {
    let mut change = store.change();
    for record in records {
        change.put_record(record).unwrap();
        change.put_source(record);
    }
    change.commit().unwrap();
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let all = [
        record(1, Status::Queued),
        record(2, Status::Waiting),
        record(3, Status::Sealed),
    ];
    {
        let store = Store::open(folder.path()).unwrap();
        put(&store, &all);
        let mut dropped = store.change();
        dropped.put_record(&record(4, Status::Queued)).unwrap();
        assert!(dropped.record(&RecordId([4; 16])).unwrap().is_some());
    }
    let store = Store::open(folder.path()).unwrap();
    for record in &all {
        assert_eq!(store.record(&record.id).unwrap().as_ref(), Some(record));
        assert_eq!(
            store
                .change()
                .source("emr", &record.source_id)
                .unwrap()
                .as_ref(),
            Some(record)
        );
    }
    assert_eq!(store.record(&RecordId([4; 16])).unwrap(), None);
    assert_eq!(store.change().source("em", "r1").unwrap(), None);
    assert_eq!(
        [Status::Queued, Status::Waiting, Status::Deposited].map(|status| store.count(status)),
        [1, 1, 0]
    );
}

#[test]
fn queue_and_lists_follow_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let [mut first, second, third] = [
        record(1, Status::Queued),
        record(2, Status::Sealed),
        record(3, Status::Queued),
    ];
    put(&store, &[first.clone(), second.clone(), third.clone()]);
    let ids = |records: Vec<Record>| {
        records
            .iter()
            .map(|record| record.id.0[0])
            .collect::<Vec<_>>()
    };
    let due = |now_ms, limit| {
        store
            .due(now_ms, limit, |_| false)
            .map(|(records, next)| (ids(records), next))
            .unwrap()
    };
    assert_eq!(due(9, 10), (vec![], Some(10)));
    assert_eq!(due(20, 10), (vec![1, 2], Some(30)));
    assert_eq!(due(99, 2), (vec![1, 2], Some(30)));
    let skipped = store.due(99, 10, |id| *id == second.id).unwrap();
    assert_eq!((ids(skipped.0), skipped.1), (vec![1, 3], None));

    first.due_ms = 50;
    put(&store, &[first.clone()]);
    assert_eq!(due(40, 10), (vec![2, 3], Some(50)));
    first.status = Status::Deposited;
    put(&store, &[first.clone()]);
    assert_eq!(due(99, 10), (vec![2, 3], None));
    assert_eq!(
        ids(store.by_status(Status::Deposited, None, 10).unwrap()),
        [1]
    );
    assert_eq!(ids(store.by_subject("0001", None, 2).unwrap()), [1, 2]);
    assert_eq!(
        ids(store.by_subject("0001", Some(&second), 10).unwrap()),
        [3]
    );
    assert!(store.by_subject("000", None, 10).unwrap().is_empty());
    assert_eq!(store.count(Status::Queued), 1);
}

#[test]
fn places_that_are_given_back_are_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let place = store.reserve_place(|| 5);
    store.give_back(place);
    store.give_back(place);
    assert_eq!(store.reserve_place(|| 5), place);
    let mut indexes = [5, 6].into_iter();
    let next = store.reserve_place(|| indexes.next().unwrap());
    assert_eq!((next.list, next.index), (place.list, 6));
    store.give_back(StatusPlace {
        list: place.list + 1,
        index: 5,
    });
    let mut indexes = [5, 7].into_iter();
    assert_eq!(store.reserve_place(|| indexes.next().unwrap()).index, 7);
}

#[test]
fn places_are_taken_once_also_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = [7u32, 7, 8, 7, 8, 9].into_iter();
    {
        let store = Store::open(folder.path()).unwrap();
        for expected in [7, 8] {
            let place = store.reserve_place(|| numbers.next().unwrap());
            assert_eq!((place.list, place.index), (1, expected));
            let mut change = store.change();
            change.put_place(place, &RecordId([1; 16]));
            if expected == 8 {
                change.set_place(place, ListStatus::Invalid);
            }
            change.commit().unwrap();
        }
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.reserve_place(|| numbers.next().unwrap()).index, 9);
    assert_eq!(store.statuses(1).unwrap().0, [(8, 1)]);
    assert!(store.statuses(2).unwrap().0.is_empty());
    let mut next = 0;
    let mut counting = || {
        next += 1;
        next
    };
    for _ in 0..STATUS_LIST_SIZE / 2 - 3 {
        assert_eq!(store.reserve_place(&mut counting).list, 1);
    }
    assert_eq!(store.reserve_place(&mut counting).list, 2);
    assert_eq!(store.open_list(), 2);
}

/// Whoever asks for a status list does not wait until the disk has what somebody else changes.
#[test]
fn which_list_is_open_is_known_while_a_change_is_made() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        let mut change = store.change();
        change.put_place(StatusPlace { list: 3, index: 1 }, &RecordId([1; 16]));
        change.commit().unwrap();
    }
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let (asking, (tell, told)) = (Arc::clone(&store), mpsc::channel());
    let changing = store.change();
    std::thread::spawn(move || tell.send(asking.open_list()));
    let answer = told.recv_timeout(Duration::from_secs(10));
    drop(changing);
    assert_eq!(answer, Ok(3));
}

#[test]
fn another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        let mut change = store.change();
        change.put(Table::About, b"format".to_vec(), b"2".to_vec());
        change.commit().unwrap();
    }
    assert!(matches!(
        Store::open(folder.path()),
        Err(StoreError::Format { .. })
    ));
}

#[test]
fn what_is_queued_before_the_front_of_the_queue_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let due = || -> Vec<u8> {
        let (due, _) = store.due(u64::MAX, 10, |_| false).unwrap();
        due.iter().map(|record| record.id.0[0]).collect()
    };
    put(
        &store,
        &[record(5, Status::Queued), record(7, Status::Queued)],
    );
    assert_eq!(due(), [5, 7]);
    put(&store, &[record(5, Status::Deposited)]);
    assert_eq!(due(), [7]);
    put(
        &store,
        &[record(2, Status::Queued), record(9, Status::Queued)],
    );
    assert_eq!(due(), [2, 7, 9]);
    put(
        &store,
        &[record(2, Status::Waiting), record(7, Status::Waiting)],
    );
    put(&store, &[record(9, Status::Waiting)]);
    assert!(due().is_empty());
    put(&store, &[record(5, Status::Queued)]);
    assert_eq!(due(), [5]);
}
