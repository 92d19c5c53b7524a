//! Building and signing status lists.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::key;
use proptest::prelude::*;
use tegata_credential::keys::Algorithm;
use tegata_credential::status_list::*;

const AT: i64 = 1_760_000_000;
const URI: &str = "https://a.example/status/1";

fn issuance() -> StatusListIssuance<'static> {
    StatusListIssuance {
        uri: URI,
        issuer: Some("https://a.example"),
        issued_at: AT,
        expires_at: Some(AT + 3600),
        ttl_s: Some(600),
    }
}

#[test]
fn building_is_refused() {
    let code = |result: Result<StatusList, StatusListError>| result.unwrap_err().code();
    assert_eq!(code(StatusList::new(3, 8)), "status_bits_invalid");
    assert_eq!(code(StatusList::new(8, u64::MAX)), "status_list_too_large");
    let with = |status| StatusList::from_entries(1, 8, [(0, status)]);
    assert_eq!(code(with(Status::Suspended)), "status_value_too_large");
    let outside = StatusList::from_entries(1, 8, [(8, Status::Invalid)]);
    assert_eq!(code(outside), "status_index_out_of_range");
}

#[test]
fn a_status_can_be_taken_back() {
    let mut list = StatusList::from_entries(2, 4, [(1, Status::Suspended)]).unwrap();
    assert_eq!(list.get(1), Ok(Status::Suspended));
    list.set(1, Status::Valid).unwrap();
    assert_eq!(list, StatusList::new(2, 4).unwrap());
    assert!(!list.is_empty());
}

#[test]
fn a_copy_may_be_kept_until() {
    let key = key(Algorithm::EdDsa, 1);
    let list = StatusList::new(1, 8).unwrap();
    let until = |issuance: StatusListIssuance<'_>| {
        let token = sign(&list, &issuance, &key);
        let token = StatusListToken::parse(&token).unwrap();
        token
            .verify(&key.public_key(), URI, AT)
            .unwrap()
            .usable_until(AT + 10)
    };
    assert_eq!(until(issuance()), Some(AT + 610));
    assert_eq!(
        until(StatusListIssuance {
            expires_at: Some(AT + 5),
            ..issuance()
        }),
        Some(AT + 5)
    );
    assert_eq!(
        until(StatusListIssuance {
            expires_at: None,
            ttl_s: None,
            ..issuance()
        }),
        None
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_set_is_read(
        bits in prop::sample::select(vec![1u8, 2, 4, 8]),
        entries in prop::collection::btree_map(0u64..2000, any::<u8>(), 0..50),
    ) {
        let key = key(Algorithm::Es256, 1);
        let entries: BTreeMap<u64, Status> = entries
            .into_iter()
            .map(|(index, value)| (index, Status::from(value & (u8::MAX >> (8 - bits)))))
            .collect();
        let list = StatusList::from_entries(bits, 2000, entries.clone()).unwrap();
        let token = sign(&list, &issuance(), &key);
        let parsed = StatusListToken::parse(&token).unwrap();
        prop_assert_eq!(parsed.key_id().map(str::to_owned), Some(key.key_id()));
        let verified = parsed.verify(&key.public_key(), URI, AT).unwrap();
        prop_assert_eq!(verified.list(), &list);
        for index in 0..2000 {
            let expected = entries.get(&index).copied().unwrap_or(Status::Valid);
            prop_assert_eq!(verified.status_at(index), Ok(expected));
        }
    }
}
