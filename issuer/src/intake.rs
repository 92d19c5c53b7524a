//! Taking records in: acknowledged when they are on disk, and never twice.
//!
//! A source record is known by source system and source id. The same content again is the same record; other content under
//! the same id is refused, because what was signed can be corrected ([`correct`]) but not quietly changed.

use crate::model::{Record, Revocation, Status, StatusPlace, content_digest};
use crate::store::{Change, Slot, StoreError};
use serde_json::Value;
use tegata_consent::ids::{Hash, RecordId};
use tegata_records::RecordType;
use tegata_records::text::is_line;

/// Longest number that an organisation has for a person, in characters.
pub(crate) const SUBJECT_MAX: usize = 100;
/// Longest id of a source record, in characters.
const SOURCE_ID_MAX: usize = 1000;
/// The record type of W3C credentials that are none of the catalogue.
const W3C: &str = "w3c";

/// A record that was checked against the catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    subject: String,
    record_type: &'static RecordType,
    system: String,
    source_id: String,
    digest: Hash,
    date_ms: u64,
    claims: Value,
}

/// Why a record is not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error(
        "the number of the person is empty, longer than {SUBJECT_MAX} characters, or has hidden characters"
    )]
    Subject,
    #[error("the id of the source record is longer than {SOURCE_ID_MAX} characters")]
    SourceId,
    #[error("the source record is here already, with other content: correct record {0} instead")]
    Changed(RecordId),
    #[error("there is no such record")]
    NoSuchRecord,
    #[error("the correction is about another person, or of another record type")]
    NotTheSame,
    #[error("the record was taken back already")]
    TakenBack,
    #[error("the record was not issued yet")]
    NotIssued,
    #[error("the source record of the correction is another record already")]
    SourceTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Accepted {
    /// It is new.
    New(Record),
    /// It was here already.
    Same(Record),
}

impl Incoming {
    /// `claims` must have passed the record type's schema. Without a source id, the content is the id.
    pub(crate) fn new(
        subject: &str,
        record_type: &'static RecordType,
        system: &str,
        source_id: Option<String>,
        date_ms: u64,
        claims: Value,
    ) -> Result<Self, IntakeError> {
        check_subject(subject)?;
        let digest = content_digest(subject, record_type.id(), &claims);
        let source_id = source_id.unwrap_or_else(|| format!("content:{digest}"));
        if source_id.chars().count() > SOURCE_ID_MAX {
            return Err(IntakeError::SourceId);
        }
        let (subject, system) = (subject.to_owned(), system.to_owned());
        Ok(Self {
            subject,
            record_type,
            system,
            source_id,
            digest,
            date_ms,
            claims,
        })
    }

    fn into_record(self, id: RecordId, now_ms: u64) -> Record {
        let claims =
            serde_json::to_vec(&self.claims).expect("a JSON value with string keys serialises");
        Record {
            id,
            subject: self.subject,
            record_type: self.record_type.id().to_owned(),
            system: self.system,
            source_id: self.source_id,
            digest: self.digest,
            date_ms: self.date_ms,
            claims: Some(claims.into()),
            status: Status::Waiting,
            reason: None,
            accepted_ms: now_ms,
            attempts: 0,
            due_ms: now_ms,
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
}

/// Checks an organisation's number for a person.
pub(crate) fn check_subject(subject: &str) -> Result<(), IntakeError> {
    let fits = (1..=SUBJECT_MAX).contains(&subject.chars().count()) && is_line(subject);
    if fits && subject.trim() == subject {
        Ok(())
    } else {
        Err(IntakeError::Subject)
    }
}

/// Takes a record in. A record that was refused is tried again when it comes again.
pub(crate) fn accept(
    change: &mut Change<'_>,
    incoming: Incoming,
    id: RecordId,
    now_ms: u64,
) -> Result<Accepted, IntakeError> {
    if let Some(mut known) = change.source(&incoming.system, &incoming.source_id)? {
        if known.digest != incoming.digest {
            return Err(IntakeError::Changed(known.id));
        }
        if known.status == Status::Refused && known.claims.is_some() {
            known.status = Status::Queued;
            (known.reason, known.attempts, known.due_ms) = (None, 0, now_ms);
            change.put_record(&known)?;
        }
        return Ok(Accepted::Same(known));
    }
    let mut record = incoming.into_record(id, now_ms);
    queue_or_wait(change, &mut record)?;
    change.put_record(&record)?;
    change.put_source(&record);
    Ok(Accepted::New(record))
}

/// Keeps a W3C credential that is about to be handed over, so that it can be revoked: which it is and its place, not what it
/// says. `kind` is its record type, if it is of the catalogue.
pub(crate) fn issued(
    change: &mut Change<'_>,
    credential: &Value,
    kind: Option<&'static RecordType>,
    system: &str,
    (id, place): (RecordId, StatusPlace),
    now_ms: u64,
) -> Result<Record, StoreError> {
    let about = credential["credentialSubject"]["id"].as_str();
    let own = id.to_string();
    let subject = about.filter(|about| check_subject(about).is_ok());
    let subject = subject.unwrap_or(&own).to_owned();
    let record_type = kind.map_or(W3C, RecordType::id).to_owned();
    let record = Record {
        digest: content_digest(&subject, &record_type, credential),
        id,
        subject,
        record_type,
        system: system.to_owned(),
        source_id: w3c_source(&id),
        date_ms: now_ms,
        claims: None,
        status: Status::Issued,
        reason: None,
        accepted_ms: now_ms,
        attempts: 0,
        due_ms: now_ms,
        sealing: None,
        place: Some(place),
        receipt: None,
        deposited_ms: None,
        replaces: None,
        replaced_by: None,
        revocation: None,
        suspension: None,
    };
    change.put_place(place, &id);
    change.put_record(&record)?;
    change.put_source(&record);
    Ok(record)
}

/// Whether a record is a W3C credential, also one that was taken back.
pub(crate) fn is_w3c(record: &Record) -> bool {
    record.source_id == w3c_source(&record.id)
}

/// What stands for the source record of a W3C credential. Nobody else knows the random id beforehand.
fn w3c_source(id: &RecordId) -> String {
    format!("{W3C}:{id}")
}

/// The record that a source record with this content became, and its claims, which the issuer may have erased meanwhile.
pub(crate) fn recognise(
    change: &Change<'_>,
    incoming: Incoming,
) -> Result<(Record, Value), IntakeError> {
    let known = change.source(&incoming.system, &incoming.source_id)?;
    let known = known.ok_or(IntakeError::NoSuchRecord)?;
    if known.digest != incoming.digest {
        return Err(IntakeError::Changed(known.id));
    }
    Ok((known, incoming.claims))
}

/// Takes a record back: sets its bit in the status list where it has one, and never sends it where it was not sent.
/// Taking back twice is taking back once.
pub(crate) fn revoke(
    change: &mut Change<'_>,
    id: &RecordId,
    reason: &str,
    now_ms: u64,
) -> Result<Record, IntakeError> {
    let mut record = change.record(id)?.ok_or(IntakeError::NoSuchRecord)?;
    if record.status.is_taken_back() {
        return Ok(record);
    }
    take_back(change, &mut record, Status::Revoked, reason, now_ms)?;
    Ok(record)
}

/// Recalls a record that was bound to the wrong person, also one that was taken back already: those who hold copies are to
/// drop them. Recalling twice is recalling once.
pub(crate) fn recall(
    change: &mut Change<'_>,
    id: &RecordId,
    reason: &str,
    now_ms: u64,
) -> Result<Record, IntakeError> {
    let mut record = change.record(id)?.ok_or(IntakeError::NoSuchRecord)?;
    if record.status == Status::Recalled {
        return Ok(record);
    }
    take_back(change, &mut record, Status::Recalled, reason, now_ms)?;
    Ok(record)
}

/// Suspends a record that was issued, or lifts its suspension where there is no reason. Doing either twice is doing it once.
pub(crate) fn suspend(
    change: &mut Change<'_>,
    id: &RecordId,
    reason: Option<&str>,
    now_ms: u64,
) -> Result<Record, IntakeError> {
    let mut record = change.record(id)?.ok_or(IntakeError::NoSuchRecord)?;
    if record.status.is_taken_back() {
        return Err(IntakeError::TakenBack);
    }
    if record.place.is_none() && change.copies(&record.id)?.is_empty() {
        return Err(IntakeError::NotIssued);
    }
    if reason.is_some() == record.suspension.is_some() {
        return Ok(record);
    }
    record.suspension = reason.map(|reason| Revocation {
        at_ms: now_ms,
        reason: reason.to_owned(),
    });
    set_places(change, &record)?;
    change.put_record(&record)?;
    Ok(record)
}

/// Has the status list say of a record and its copies what it is.
fn set_places(change: &mut Change<'_>, record: &Record) -> Result<(), StoreError> {
    let places = record.place.into_iter().chain(change.copies(&record.id)?);
    for place in places.collect::<Vec<_>>() {
        change.set_place(place, record.list_status());
    }
    Ok(())
}

/// Takes a wrong record back and a right one in, which says that it replaces the wrong one. The same correction again is
/// the same record.
pub(crate) fn correct(
    change: &mut Change<'_>,
    wrong: &RecordId,
    incoming: Incoming,
    id: RecordId,
    now_ms: u64,
) -> Result<Accepted, IntakeError> {
    let mut wrong = change.record(wrong)?.ok_or(IntakeError::NoSuchRecord)?;
    if let Some(replaced_by) = wrong.replaced_by {
        return match change.record(&replaced_by)? {
            Some(record) if record.digest == incoming.digest => Ok(Accepted::Same(record)),
            _ => Err(IntakeError::TakenBack),
        };
    }
    if wrong.status.is_taken_back() {
        return Err(IntakeError::TakenBack);
    }
    if wrong.subject != incoming.subject || wrong.record_type != incoming.record_type.id() {
        return Err(IntakeError::NotTheSame);
    }
    if change
        .source(&incoming.system, &incoming.source_id)?
        .is_some_and(|known| known.id != wrong.id)
    {
        return Err(IntakeError::SourceTaken);
    }
    let mut record = incoming.into_record(id, now_ms);
    // A record that was never sealed is not in the vault, so nothing there is replaced.
    record.replaces = wrong.place.is_some().then_some(wrong.id);
    wrong.replaced_by = Some(id);
    take_back(change, &mut wrong, Status::Corrected, "corrected", now_ms)?;
    queue_or_wait(change, &mut record)?;
    change.put_record(&record)?;
    change.put_source(&record);
    Ok(Accepted::New(record))
}

/// Queues a record if the person has invited anything; whether this record fits the invitation is asked when it is sealed.
fn queue_or_wait(change: &Change<'_>, record: &mut Record) -> Result<(), StoreError> {
    if change.invited(&record.subject)?.is_some() {
        record.status = Status::Queued;
    } else {
        record.status = Status::Waiting;
        record.reason = Some("no-vault".to_owned());
    }
    Ok(())
}

fn take_back(
    change: &mut Change<'_>,
    record: &mut Record,
    status: Status,
    reason: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    change.delete_sealed(&record.id);
    change.delete_openid4vci(&Slot::content(&record.id));
    record.status = status;
    record.suspension = None;
    set_places(change, record)?;
    record.claims = None;
    record.reason = None;
    record.revocation = Some(Revocation {
        at_ms: now_ms,
        reason: reason.to_owned(),
    });
    change.put_record(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use serde_json::json;
    use tegata_records::catalogue;

    fn incoming(source: &str, lot: &str) -> Incoming {
        let claims = json!({ "vaccine_code": "mr", "date": "2025-04-01", "lot_number": lot });
        let vaccination = catalogue().by_id("vaccination").unwrap();
        vaccination.validate(&claims).unwrap();
        Incoming::new(
            "0001",
            vaccination,
            "emr",
            Some(source.to_owned()),
            0,
            claims,
        )
        .unwrap()
    }

    fn run<T>(
        store: &Store,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, IntakeError>,
    ) -> Result<T, IntakeError> {
        let mut change = store.change();
        let done = work(&mut change)?;
        change.commit()?;
        Ok(done)
    }

    #[test]
    fn the_same_source_record_is_one_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let take = |source, lot, id| {
            run(&store, |change| {
                accept(change, incoming(source, lot), RecordId([id; 16]), 5)
            })
        };
        let Accepted::New(first) = take("a", "L1", 1).unwrap() else {
            panic!("not new")
        };
        assert_eq!(
            (first.status, first.reason.as_deref()),
            (Status::Waiting, Some("no-vault"))
        );
        assert_eq!(take("a", "L1", 2).unwrap(), Accepted::Same(first.clone()));
        assert!(matches!(take("a", "L2", 3), Err(IntakeError::Changed(id)) if id == first.id));
        assert!(matches!(take("b", "L1", 4), Ok(Accepted::New(_))));
        assert_eq!(store.by_subject("0001", None, 10).unwrap().len(), 2);
        // Twice in one change is once, too.
        run(&store, |change| {
            assert!(matches!(
                accept(change, incoming("c", "L1"), RecordId([5; 16]), 5)?,
                Accepted::New(_)
            ));
            assert!(matches!(
                accept(change, incoming("c", "L1"), RecordId([6; 16]), 5)?,
                Accepted::Same(_)
            ));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn without_a_source_id_the_content_is_the_id() {
        let vaccination = catalogue().by_id("vaccination").unwrap();
        let make = |subject| {
            Incoming::new(
                subject,
                vaccination,
                "emr",
                None,
                0,
                json!({ "date": "2025" }),
            )
            .unwrap()
        };
        assert_eq!(make("1").source_id, make("1").source_id);
        assert_ne!(make("1").source_id, make("2").source_id);
        for subject in ["", " 1", "1\n", "1\u{202e}2", &"1".repeat(101)] {
            let made = Incoming::new(subject, vaccination, "emr", None, 0, json!({}));
            assert!(matches!(made, Err(IntakeError::Subject)), "{subject:?}");
        }
    }

    #[test]
    fn a_correction_replaces_and_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let wrong = RecordId([1; 16]);
        run(&store, |change| {
            accept(change, incoming("a", "L1"), wrong, 5)
        })
        .unwrap();
        let place = store.reserve_place(|| 7);
        run(&store, |change| {
            let mut record = change.record(&wrong)?.unwrap();
            record.place = Some(place);
            record.status = Status::Deposited;
            change.put_place(place, &wrong);
            Ok(change.put_record(&record)?)
        })
        .unwrap();
        let fix = |lot, id| {
            run(&store, |change| {
                correct(change, &wrong, incoming("a", lot), RecordId([id; 16]), 9)
            })
        };
        let Accepted::New(right) = fix("L2", 2).unwrap() else {
            panic!("not new")
        };
        assert_eq!(right.replaces, Some(wrong));
        assert_eq!(fix("L2", 3).unwrap(), Accepted::Same(right.clone()));
        assert!(matches!(fix("L3", 4), Err(IntakeError::TakenBack)));
        assert_eq!(store.statuses(1).unwrap().0, [(7, 1)]);
        let old = store.record(&wrong).unwrap().unwrap();
        assert_eq!(
            (old.status, old.replaced_by, old.claims),
            (Status::Corrected, Some(right.id), None)
        );
        // The source record is the right one from now on.
        assert_eq!(
            store.change().source("emr", "a").unwrap().unwrap().id,
            right.id
        );
        let again = run(&store, |change| {
            accept(change, incoming("a", "L1"), RecordId([5; 16]), 5)
        });
        assert!(matches!(again, Err(IntakeError::Changed(id)) if id == right.id));
    }

    #[test]
    fn corrections_keep_person_and_type() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let wrong = RecordId([1; 16]);
        run(&store, |change| {
            accept(change, incoming("a", "L1"), wrong, 5)
        })
        .unwrap();
        let vaccination = catalogue().by_id("vaccination").unwrap();
        let other =
            Incoming::new("0002", vaccination, "emr", Some("a".into()), 0, json!({})).unwrap();
        let made = run(&store, |change| {
            correct(change, &wrong, other, RecordId([2; 16]), 9)
        });
        assert!(matches!(made, Err(IntakeError::NotTheSame)));
        run(&store, |change| {
            accept(change, incoming("b", "L1"), RecordId([3; 16]), 5)
        })
        .unwrap();
        let taken = run(&store, |change| {
            correct(change, &wrong, incoming("b", "L2"), RecordId([2; 16]), 9)
        });
        assert!(matches!(taken, Err(IntakeError::SourceTaken)));
        // Nothing was sealed, so nothing in a vault is replaced, and no bit is set.
        let made = run(&store, |change| {
            correct(change, &wrong, incoming("a", "L2"), RecordId([2; 16]), 9)
        })
        .unwrap();
        assert!(matches!(made, Accepted::New(record) if record.replaces.is_none()));
        assert!(store.statuses(1).unwrap().0.is_empty());
        let revoked = run(&store, |change| revoke(change, &wrong, "x", 10)).unwrap();
        assert_eq!(revoked.status, Status::Corrected);
        assert!(matches!(
            run(&store, |change| revoke(change, &RecordId([9; 16]), "x", 10)),
            Err(IntakeError::NoSuchRecord)
        ));
    }
}
