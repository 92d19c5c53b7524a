//! The keys under which rows lie, and values that are written by hand.

use super::StoreError;
use crate::model::{Record, Status, StatusPlace};
use tegata_consent::ids::{DrawerId, RecordId, hash};
use tegata_credential::status_list::Status as ListStatus;

pub(super) fn source_key(system: &str, source_id: &str) -> Vec<u8> {
    let length = (system.len() as u64).to_be_bytes();
    hash(
        "tegata/v1/issuer/source",
        &[&[&length, system.as_bytes(), source_id.as_bytes()].concat()],
    )
    .to_vec()
}

pub(super) fn subject_hash(subject: &str) -> [u8; 32] {
    hash("tegata/v1/issuer/subject", &[subject.as_bytes()])
}

pub(super) fn subject_key(subject: &[u8; 32], record: &Record) -> Vec<u8> {
    [
        subject.as_slice(),
        &record.accepted_ms.to_be_bytes(),
        &record.id.0,
    ]
    .concat()
}

pub(super) fn status_key(status: Status, record: &Record) -> Vec<u8> {
    [
        [status.index() as u8].as_slice(),
        &record.accepted_ms.to_be_bytes(),
        &record.id.0,
    ]
    .concat()
}

pub(super) fn queue_key(record: &Record) -> Vec<u8> {
    [record.due_ms.to_be_bytes().as_slice(), &record.id.0].concat()
}

pub(super) fn queue_entry(key: &[u8]) -> Result<(u64, RecordId), StoreError> {
    let (due_ms, id) = key
        .split_first_chunk::<8>()
        .ok_or(StoreError::Damaged("queue"))?;
    let id = RecordId::try_from(id).map_err(|_| StoreError::Damaged("queue"))?;
    Ok((u64::from_be_bytes(*due_ms), id))
}

pub(super) fn receipt_key(drawer: &DrawerId, sequence: u64) -> Vec<u8> {
    [drawer.0.as_slice(), &sequence.to_be_bytes()].concat()
}

pub(super) fn place_key(place: StatusPlace) -> Vec<u8> {
    [place.list.to_be_bytes(), place.index.to_be_bytes()].concat()
}

/// What a row of places that are not valid says.
pub(super) fn status_value(value: &[u8]) -> Result<u8, StoreError> {
    match value {
        [] => Ok(ListStatus::Invalid.value()),
        [value @ 1..=3] => Ok(*value),
        _ => Err(StoreError::Damaged("revoked_places")),
    }
}

pub(super) fn place_of(key: &[u8]) -> Result<StatusPlace, StoreError> {
    let (list, index) = key
        .split_first_chunk::<4>()
        .ok_or(StoreError::Damaged("places"))?;
    let index: [u8; 4] = index
        .try_into()
        .map_err(|_| StoreError::Damaged("places"))?;
    Ok(StatusPlace {
        list: u32::from_be_bytes(*list),
        index: u32::from_be_bytes(index),
    })
}
