//! The state machine, rule by rule, and its properties over random histories.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod world;

use proptest::prelude::*;
use tegata_consent::cose::Signed;
use tegata_consent::entry::{
    Body, Entry, OrganisationChange, OrganisationSuspension, OverAsking, Revocation,
};
use tegata_consent::history::{HistoryError, HistoryReader, verify_history};
use tegata_consent::ids::Hash;
use tegata_consent::log::LogLeaf;
use tegata_consent::organisation::{Organisation, OrganisationState, Role};
use tegata_consent::request::ConsentRequest;
use tegata_consent::state::{
    GrantState, Inadmissible, OVER_ASKINGS_PER_HOUR, OWN_ENTRIES_PER_HOUR, Outcome, OwnCount,
    REFUSED_ACCESSES_PER_HOUR, Refusal, SponsorCount, StateKey, apply,
};
use tegata_consent::status::{
    ErasureState, OverAskingState, StatusListState, check_status_list, status_list_id,
};
use tegata_consent::ticket::request_digest;
use world::{DAY_MS, World, grant_id, id, key, organisation};

#[test]
fn a_grant_lets_read_and_a_revocation_ends_it() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    assert_eq!(world.apply(&grant), Ok(Outcome::Applied));
    let access = world.access("g", "clinic", 1);
    assert_eq!(world.apply(&access), Ok(Outcome::Applied));
    let revocation = world.revocation("g");
    assert_eq!(world.apply(&revocation), Ok(Outcome::Applied));
    let access = world.access("g", "clinic", 2);
    assert_eq!(world.apply(&access), Ok(Outcome::Refused(Refusal::Revoked)));
    let state: GrantState = world.read(&StateKey::grant(&grant_id("g"))).unwrap();
    assert_eq!((state.uses, state.accesses), (1, 2));
}

#[test]
fn refusals_are_entries_with_their_reason() {
    let mut world = World::new();
    let access = world.access("nothing", "clinic", 1);
    assert_eq!(
        world.apply(&access),
        Ok(Outcome::Refused(Refusal::NoSuchGrant))
    );

    let mut body = world.grant_body();
    body.from_ms = world.now_ms + DAY_MS;
    body.until_ms = world.now_ms + 2 * DAY_MS;
    body.uses_max = Some(1);
    let grant = world.grant("g", body);
    world.apply(&grant).unwrap();
    let access = world.access("g", "insurer", 1);
    assert_eq!(
        world.apply(&access),
        Ok(Outcome::Refused(Refusal::NotRecipient))
    );
    let access = world.access("g", "clinic", 2);
    assert_eq!(
        world.apply(&access),
        Ok(Outcome::Refused(Refusal::NotStarted))
    );
    world.now_ms += DAY_MS;
    let access = world.access("g", "clinic", 3);
    assert_eq!(world.apply(&access), Ok(Outcome::Applied));
    let access = world.access("g", "clinic", 4);
    assert_eq!(world.apply(&access), Ok(Outcome::Refused(Refusal::UsedUp)));
    world.now_ms += DAY_MS;
    let access = world.access("g", "clinic", 5);
    assert_eq!(world.apply(&access), Ok(Outcome::Refused(Refusal::Expired)));
}

#[test]
fn suspension_and_lost_accreditation_stop_reading_at_once() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let suspend = |sequence, suspended| {
        Body::OrganisationSuspended(OrganisationSuspension {
            id: id("clinic"),
            sequence,
            suspended,
        })
    };
    let entry = world.registry(&suspend(1, true), 3);
    world.apply(&entry).unwrap();
    let access = world.access("g", "clinic", 1);
    assert_eq!(
        world.apply(&access),
        Ok(Outcome::Refused(Refusal::Suspended))
    );
    let entry = world.registry(&suspend(2, false), 3);
    world.apply(&entry).unwrap();
    let access = world.access("g", "clinic", 2);
    assert_eq!(world.apply(&access), Ok(Outcome::Applied));
    let changed = organisation(
        "clinic",
        &[Role::Issuer, Role::Verifier],
        &["vaccination"],
        &[("care", &["infant_checkup"])],
    );
    let change = OrganisationChange {
        id: id("clinic"),
        sequence: 3,
        organisation: changed,
    };
    let entry = world.registry(&Body::OrganisationChanged(change), 3);
    world.apply(&entry).unwrap();
    let access = world.access("g", "clinic", 3);
    assert_eq!(
        world.apply(&access),
        Ok(Outcome::Refused(Refusal::NotAccredited))
    );
    let state: OrganisationState = world.read(&StateKey::organisation(&id("clinic"))).unwrap();
    assert_eq!(state.suspensions.len(), 1);
}

#[test]
fn the_registry_needs_a_quorum_of_operators() {
    let mut world = World::empty();
    let body = Body::OrganisationRegistered(organisation("host", &[Role::Host], &[], &[]));
    let two = world.registry(&body, 2);
    assert_eq!(
        world.apply(&two),
        Err(Inadmissible::NoQuorum {
            signed: 2,
            operators: 4
        })
    );
    let three = world.registry(&body, 3);
    assert_eq!(world.apply(&three), Ok(Outcome::Applied));
    let again = world.registry(&body, 4);
    assert!(matches!(
        world.apply(&again),
        Err(Inadmissible::Seen(_) | Inadmissible::OrganisationExists(_))
    ));
    let stranger = Entry::sign(&key("stranger"), &world.chain, world.now_ms + 60_000, body)
        .verify(&world.chain)
        .unwrap();
    assert!(matches!(
        world.apply(&stranger),
        Err(Inadmissible::Signer(_))
    ));
    let change = OrganisationChange {
        id: id("host"),
        sequence: 2,
        organisation: organisation("host", &[Role::Host], &[], &[]),
    };
    let entry = world.registry(&Body::OrganisationChanged(change), 3);
    assert_eq!(
        world.apply(&entry),
        Err(Inadmissible::Sequence {
            found: 2,
            expected: 1
        })
    );
}

#[test]
fn inadmissible_grants_name_the_reason() {
    let mut world = World::new();
    let good = world.grant_body();
    let with = |change: &dyn Fn(&mut tegata_consent::entry::Grant)| {
        let mut grant = good.clone();
        change(&mut grant);
        grant
    };
    let cases: Vec<(&str, tegata_consent::entry::Grant)> = vec![
        ("end-before-start", with(&|g| g.until_ms = g.from_ms)),
        (
            "end-before-start",
            with(&|g| {
                g.from_ms = 1;
                g.until_ms = 2;
            }),
        ),
        ("not-accredited", with(&|g| g.purpose = "payout".into())),
        (
            "not-accredited",
            with(&|g| g.categories = vec!["laboratory".into()]),
        ),
        ("not-accredited", with(&|g| g.retention_days = 31)),
        (
            "not-accredited",
            with(&|g| {
                g.recipient = id("insurer");
            }),
        ),
        (
            "no-such-organisation",
            with(&|g| g.recipient = id("nobody")),
        ),
        ("sponsor-is-recipient", with(&|g| g.recipient = g.sponsor)),
        ("not-sponsor", with(&|g| g.sponsor = id("insurer"))),
        ("categories", with(&|g| g.categories = vec![])),
        (
            "legal-basis",
            with(&|g| g.legal_basis = "yamada-hanako-1990-02-01-hiv-positive".into()),
        ),
        ("purpose", with(&|g| g.purpose = "hanako".into())),
        (
            "categories",
            with(&|g| g.categories = vec!["hanako".into()]),
        ),
        (
            "categories",
            with(&|g| g.categories = vec!["vaccination".into(), "infant_checkup".into()]),
        ),
    ];
    for (number, (code, grant)) in cases.into_iter().enumerate() {
        let entry = world.grant(&format!("case{number}"), grant);
        assert_eq!(
            world.apply(&entry).map_err(|reason| reason.code()),
            Err(code),
            "case {number}"
        );
    }
    let unsponsored = Entry::sign(
        &key("g"),
        &world.chain,
        world.now_ms + 60_000,
        Body::Grant(good.clone()),
    );
    let unsponsored = unsponsored.verify(&world.chain).unwrap();
    assert_eq!(
        world.apply(&unsponsored),
        Err(Inadmissible::NotCountersigned(id("host")))
    );
    let entry = world.grant("g", good.clone());
    world.apply(&entry).unwrap();
    let again = world.grant("g", world.grant_body());
    assert_eq!(
        world.apply(&again),
        Err(Inadmissible::GrantExists(grant_id("g")))
    );
}

#[test]
fn only_the_grants_own_key_revokes_and_only_once() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let body = Body::Revocation(Revocation {
        grant: grant_id("g"),
        sponsor: id("host"),
    });
    let forged = Entry::sign(&key("other"), &world.chain, world.now_ms + 60_000, body);
    let forged = forged
        .countersign(&key("host"), &world.chain)
        .verify(&world.chain)
        .unwrap();
    assert!(matches!(world.apply(&forged), Err(Inadmissible::Signer(_))));
    let revocation = world.revocation("g");
    world.apply(&revocation).unwrap();
    let again = world.revocation("g");
    assert!(matches!(
        world.apply(&again),
        Err(Inadmissible::AlreadyRevoked(_))
    ));
    let unknown = world.revocation("h");
    assert!(matches!(
        world.apply(&unknown),
        Err(Inadmissible::NoSuchGrant(_))
    ));
}

#[test]
fn entries_count_once_and_in_their_time() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let access = world.access("g", "clinic", 1);
    world.apply(&access).unwrap();
    assert_eq!(world.apply(&access), Err(Inadmissible::Seen(access.id())));
    let late = world.access("g", "clinic", 2);
    world.now_ms += 120_000;
    assert!(matches!(world.apply(&late), Err(Inadmissible::Late { .. })));
    let body = Body::Revocation(Revocation {
        grant: grant_id("g"),
        sponsor: id("host"),
    });
    let early = Entry::sign(&key("g"), &world.chain, world.now_ms + 700_000, body)
        .verify(&world.chain)
        .unwrap();
    assert!(matches!(
        world.apply(&early),
        Err(Inadmissible::TooFarAhead { .. })
    ));
    let foreign = World {
        chain: tegata_consent::ids::ChainId([3; 32]),
        ..World::new()
    };
    let entry = Entry::parse(foreign.access("g", "clinic", 3).bytes()).unwrap();
    assert!(
        entry.verify(&world.chain).is_err(),
        "an entry of another ledger must not verify here"
    );
}

#[test]
fn a_sponsor_carries_no_more_than_its_limit() {
    let mut world = World::new();
    for number in 0..100 {
        let entry = world.grant(&format!("g{number}"), world.grant_body());
        assert_eq!(world.apply(&entry), Ok(Outcome::Applied));
    }
    let entry = world.grant("one too many", world.grant_body());
    assert_eq!(
        world.apply(&entry),
        Err(Inadmissible::SponsorLimit(id("host")))
    );
    let revocation = world.revocation("g7");
    assert_eq!(
        world.apply(&revocation),
        Ok(Outcome::Applied),
        "a revocation never waits for a limit"
    );
    world.now_ms += 3_600_000;
    let entry = world.grant("next hour", world.grant_body());
    assert_eq!(world.apply(&entry), Ok(Outcome::Applied));
}

#[test]
fn a_history_that_lacks_or_alters_an_access_is_refused() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let start = world.log.len();
    for salt in 1..=4 {
        let by = if salt == 3 { "insurer" } else { "clinic" };
        let access = world.access("g", by, salt);
        world.apply(&access).unwrap();
    }
    let state: GrantState = world.read(&StateKey::grant(&grant_id("g"))).unwrap();
    let leaves = world.log[start..].to_vec();
    let readings = verify_history(&world.chain, &grant_id("g"), &state, &leaves).unwrap();
    assert_eq!(readings.len(), 4);
    assert_eq!(readings[2].outcome, Outcome::Refused(Refusal::NotRecipient));
    assert_eq!(
        verify_history(&world.chain, &grant_id("g"), &state, &leaves[1..]),
        Err(HistoryError::Count {
            found: 3,
            expected: 4
        })
    );
    let mut swapped = leaves.clone();
    swapped.swap(0, 1);
    assert_eq!(
        verify_history(&world.chain, &grant_id("g"), &state, &swapped),
        Err(HistoryError::Head)
    );
    let mut other_outcome = leaves.clone();
    other_outcome[2].outcome = Outcome::Applied;
    assert_eq!(
        verify_history(&world.chain, &grant_id("g"), &state, &other_outcome),
        Err(HistoryError::Head)
    );
    let mut other_time = leaves;
    other_time[0].time_ms += 1;
    assert_eq!(
        verify_history(&world.chain, &grant_id("g"), &state, &other_time),
        Err(HistoryError::Head)
    );
}

#[test]
fn a_history_of_many_thousand_refusals_is_read_in_pages_and_proven_complete() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let start = world.log.len();
    // As many as the limit lets through in five hours, in blocks of a hundred.
    for hour in 0..5_u32 {
        for block in 0..10_u32 {
            let entries: Vec<_> = (0..100_u32)
                .map(|number| {
                    let salt = [hour, block, number].map(u32::to_be_bytes).concat();
                    let mut access = match world.access("g", "insurer", 0).entry().body() {
                        Body::Access(access) => access.clone(),
                        _ => unreachable!(),
                    };
                    access.commitment = Hash(tegata_consent::ids::hash("n", &[&salt]));
                    let body = Body::Access(access);
                    Entry::sign(&key("insurer"), &world.chain, world.now_ms + 60_000, body)
                        .verify(&world.chain)
                        .unwrap()
                })
                .collect();
            world.apply_block(&entries).unwrap();
        }
        world.now_ms += 3_600_000;
    }
    let leaves = world.log[start..].to_vec();
    let state: GrantState = world.read(&StateKey::grant(&grant_id("g"))).unwrap();
    assert_eq!((leaves.len(), state.accesses), (5_000, 5_000));
    let read = |leaves: &[LogLeaf], size: usize| -> Result<usize, HistoryError> {
        let mut reader = HistoryReader::new(world.chain, grant_id("g"));
        let mut readings = 0;
        for page in leaves.chunks(size) {
            assert!(reader.finish(&state).is_err(), "complete before the end");
            readings += reader.page(&state, reader.count(), page)?.len();
        }
        reader.finish(&state).map(|()| readings)
    };
    assert_eq!(read(&leaves, 500), Ok(5_000));
    assert_eq!(read(&leaves, 333), Ok(5_000));
    assert_eq!(
        read(&leaves[..4_999], 500),
        Err(HistoryError::Count {
            found: 4_999,
            expected: 5_000
        })
    );
    let mut altered = leaves.clone();
    altered.swap(7, 8);
    assert_eq!(read(&altered, 500), Err(HistoryError::Head));
    let mut reader = HistoryReader::new(world.chain, grant_id("g"));
    reader.page(&state, 0, &leaves[..500]).unwrap();
    assert_eq!(
        reader.page(&state, 1_000, &leaves[1_000..1_500]),
        Err(HistoryError::Order {
            found: 1_000,
            expected: 500
        })
    );
    assert_eq!(
        reader.page(&state, 500, &[]),
        Err(HistoryError::Count {
            found: 500,
            expected: 5_000
        }),
        "a host that brings nothing more is not waited for"
    );
    let mut older = state.clone();
    older.accesses = 900;
    assert_eq!(
        reader.page(&older, 500, &leaves[500..1_000]),
        Err(HistoryError::Count {
            found: 1_000,
            expected: 900
        })
    );
    reader.page(&state, 500, &leaves[500..]).unwrap();
    reader.finish(&state).unwrap();
}

#[test]
fn refused_accesses_have_a_limit_and_allowed_ones_have_not() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    world.set_own("insurer", REFUSED_ACCESSES_PER_HOUR - 1, 0);
    let access = world.access("g", "insurer", 1);
    assert_eq!(
        world.apply(&access),
        Ok(Outcome::Refused(Refusal::NotRecipient))
    );
    let before: GrantState = world.read(&StateKey::grant(&grant_id("g"))).unwrap();
    let over = world.access("g", "insurer", 2);
    assert_eq!(
        world.apply(&over),
        Err(Inadmissible::RefusedLimit(id("insurer")))
    );
    let after: GrantState = world.read(&StateKey::grant(&grant_id("g"))).unwrap();
    assert_eq!(before, after, "nothing has changed");
    let unknown = world.access("nothing", "insurer", 3);
    assert_eq!(
        world.apply(&unknown),
        Err(Inadmissible::RefusedLimit(id("insurer")))
    );
    world.set_own("clinic", REFUSED_ACCESSES_PER_HOUR, 0);
    let allowed = world.access("g", "clinic", 4);
    assert_eq!(world.apply(&allowed), Ok(Outcome::Applied));
    world.now_ms += 3_600_000;
    let next_hour = world.access("g", "insurer", 5);
    assert_eq!(
        world.apply(&next_hour),
        Ok(Outcome::Refused(Refusal::NotRecipient))
    );
}

#[test]
fn an_organisation_is_reported_no_more_than_its_limit() {
    let mut world = World::new();
    let reported = |world: &mut World, number: u8| {
        let mut request = world.request();
        request.nonce = tegata_consent::ids::Nonce([number; 16]);
        let report = world.over_asking(&request, "insurer");
        world.apply(&report)
    };
    let count = OwnCount {
        hour: (world.now_ms + 1000) / 3_600_000,
        reported: OVER_ASKINGS_PER_HOUR - 1,
        ..OwnCount::default()
    };
    let key = StateKey::own(&id("insurer"));
    world
        .state
        .insert(key, tegata_consent::cbor::encode(&count));
    assert_eq!(reported(&mut world, 1), Ok(Outcome::Applied));
    let limit = Err(Inadmissible::OverAskingLimit(id("insurer")));
    assert_eq!(reported(&mut world, 200), limit);
    let grant = world.grant("g", world.grant_body());
    assert_eq!(world.apply(&grant), Ok(Outcome::Applied));
    world.now_ms += 3_600_000;
    assert_eq!(reported(&mut world, 200), Ok(Outcome::Applied));
}

#[test]
fn only_a_newer_status_list_takes_the_place_of_the_one_in_force() {
    let mut world = World::new();
    let key_of = |number: u8| {
        let uri = format!("https://clinic.example/v1/status-lists/{number}");
        StateKey::status_list(&id("clinic"), &status_list_id(&uri))
    };
    let first_ms = world.now_ms;
    let first = world.status_list("clinic", 1, first_ms);
    assert_eq!(world.apply(&first), Ok(Outcome::Applied));
    let state: StatusListState = world.read(&key_of(1)).unwrap();
    assert_eq!(
        (state.issued_ms, state.count, state.published_ms),
        (first_ms, 1, world.now_ms)
    );
    assert_eq!(world.read::<StatusListState>(&key_of(2)), None);
    for issued_ms in [first_ms - 1, 0] {
        let older = world.status_list("clinic", 1, issued_ms);
        assert_eq!(
            world.apply(&older),
            Err(Inadmissible::StatusListOlder {
                issued_ms,
                newest_ms: first_ms
            })
        );
    }
    let other = world.status_list("clinic", 2, 0);
    assert_eq!(world.apply(&other), Ok(Outcome::Applied), "another URI");
    let ahead = world.status_list("clinic", 1, world.now_ms + 61_001);
    assert!(matches!(
        world.apply(&ahead),
        Err(Inadmissible::StatusListAhead { .. })
    ));
    let newer = world.status_list("clinic", 1, world.now_ms + 30_000);
    assert_eq!(world.apply(&newer), Ok(Outcome::Applied));
    let state: StatusListState = world.read(&key_of(1)).unwrap();
    assert_eq!(state.count, 2);
    // check_status_list is what readers do with it
    let (old, new) = (format!("1 {first_ms}"), format!("1 {}", state.issued_ms));
    assert_eq!(
        check_status_list(Some(&state), new.as_bytes(), state.issued_ms),
        Ok(())
    );
    for issued_ms in [first_ms, state.issued_ms] {
        let superseded = check_status_list(Some(&state), old.as_bytes(), issued_ms).unwrap_err();
        assert_eq!(superseded.code(), "status_list_superseded");
    }
    for (newest, issued_ms) in [(None, first_ms), (Some(&state), state.issued_ms + 1000)] {
        let unknown = check_status_list(newest, b"another", issued_ms).unwrap_err();
        assert_eq!(unknown.code(), "status_list_not_on_ledger");
    }

    let foreign = world.status_list("insurer", 1, first_ms);
    assert_eq!(
        world.apply(&foreign),
        Err(Inadmissible::NotIssuer(id("insurer")))
    );
    let stranger = world.status_list("stranger", 1, first_ms);
    assert_eq!(
        world.apply(&stranger),
        Err(Inadmissible::NoSuchOrganisation(id("stranger")))
    );
    let body = match newer.entry().body() {
        Body::StatusListPublished(published) => {
            let mut published = published.clone();
            published.issued_ms += 1000;
            Body::StatusListPublished(published)
        }
        _ => unreachable!(),
    };
    let forged = Entry::sign(
        &key("insurer"),
        &world.chain,
        world.now_ms + 60_000,
        body.clone(),
    );
    let forged = forged.verify(&world.chain).unwrap();
    assert!(matches!(world.apply(&forged), Err(Inadmissible::Signer(_))));
    let crowded = Entry::sign(
        &key("clinic"),
        &world.chain,
        world.now_ms + 60_000,
        body.clone(),
    )
    .countersign(&key("host"), &world.chain);
    let crowded = crowded.verify(&world.chain).unwrap();
    assert!(matches!(
        world.apply(&crowded),
        Err(Inadmissible::Signer(_))
    ));

    // a suspended issuer can still revoke
    let suspend = Body::OrganisationSuspended(OrganisationSuspension {
        id: id("clinic"),
        sequence: 1,
        suspended: true,
    });
    let entry = world.registry(&suspend, 3);
    world.apply(&entry).unwrap();
    let entry = Entry::sign(&key("clinic"), &world.chain, world.now_ms + 60_000, body);
    let entry = entry.verify(&world.chain).unwrap();
    assert_eq!(world.apply(&entry), Ok(Outcome::Applied));
    world.set_own("clinic", 0, OWN_ENTRIES_PER_HOUR);
    let over = world.status_list("clinic", 3, 1);
    assert_eq!(
        world.apply(&over),
        Err(Inadmissible::OwnLimit(id("clinic")))
    );
}

#[test]
fn an_over_asking_counts_only_with_the_organisations_own_signature_under_it() {
    let mut world = World::new();
    let request = world.request();
    let report = world.over_asking(&request, "insurer");
    assert_eq!(world.apply(&report), Ok(Outcome::Applied));
    let evidence = match report.entry().body() {
        Body::OverAsking(report) => report.request.to_vec(),
        _ => unreachable!(),
    };
    let key_of = StateKey::over_asking(&request_digest(&evidence));
    let state: OverAskingState = world.read(&key_of).unwrap();
    assert_eq!(
        (state.recipient, state.reported_ms),
        (id("insurer"), world.now_ms)
    );
    let again = world.over_asking(&request, "insurer");
    assert!(matches!(
        world.apply(&again),
        Err(Inadmissible::OverAskingKnown(_))
    ));

    type Change = fn(&mut ConsentRequest);
    let cases: &[(&str, &str, Change)] = &[
        ("not-over-asking", "insurer", |r| {
            r.categories = vec!["laboratory".into()]
        }),
        ("evidence", "host", |_| {}),
        ("evidence", "insurer", |r| r.recipient = id("clinic")),
        ("evidence", "insurer", |r| r.categories = vec![]),
        ("evidence", "insurer", |r| {
            r.categories = vec!["Sakura's life".into()]
        }),
        ("evidence", "insurer", |r| {
            r.categories = vec!["vaccination".into(), "laboratory".into()]
        }),
        ("evidence", "insurer", |r| r.purpose = "あ".into()),
        ("evidence", "insurer", |r| {
            r.legal_basis = "yamada-hanako-1990-02-01".into()
        }),
        ("evidence", "insurer", |r| r.reference = "patient 42".into()),
        ("evidence", "insurer", |r| {
            r.reference = "00112233445566778899AABBCCDDEEFF".into()
        }),
        ("evidence-expired", "insurer", |r| r.expires_ms = 1),
        ("no-such-organisation", "stranger", |r| {
            r.recipient = id("stranger")
        }),
        ("sponsor-is-recipient", "host", |r| r.recipient = id("host")),
    ];
    for (number, (code, signer, change)) in cases.iter().enumerate() {
        let mut request = world.request();
        request.nonce = tegata_consent::ids::Nonce([u8::try_from(number).unwrap(); 16]);
        change(&mut request);
        let report = world.over_asking(&request, signer);
        assert_eq!(
            world.apply(&report).map_err(|reason| reason.code()),
            Err(*code),
            "case {number}"
        );
    }
    for longer in [
        |r: &mut ConsentRequest| r.retention_days = 31,
        |r: &mut ConsentRequest| r.purpose = "care".into(),
    ] {
        let mut request = world.request();
        request.categories = vec!["laboratory".into()];
        longer(&mut request);
        let report = world.over_asking(&request, "insurer");
        assert_eq!(world.apply(&report), Ok(Outcome::Applied));
    }
    // signed by the one who is reported, in another's name
    let mut request = world.request();
    request.recipient = id("clinic");
    let body = Body::OverAsking(OverAsking {
        recipient: id("insurer"),
        sponsor: id("host"),
        request: request
            .sign(&key("insurer"), &world.chain)
            .to_bytes()
            .into(),
    });
    let entry = Entry::sign(&key("reporter"), &world.chain, world.now_ms + 60_000, body)
        .countersign(&key("host"), &world.chain);
    let entry = entry.verify(&world.chain).unwrap();
    assert_eq!(
        world.apply(&entry).map_err(|reason| reason.code()),
        Err("evidence"),
        "in another's name"
    );
    // carried by a sponsor, and counted
    let mut request = world.request();
    request.nonce = tegata_consent::ids::Nonce([99; 16]);
    let body = match world.over_asking(&request, "insurer").entry().body() {
        Body::OverAsking(report) => Body::OverAsking(report.clone()),
        _ => unreachable!(),
    };
    let alone = Entry::sign(&key("reporter"), &world.chain, world.now_ms + 60_000, body);
    let alone = alone.verify(&world.chain).unwrap();
    assert_eq!(
        world.apply(&alone),
        Err(Inadmissible::NotCountersigned(id("host")))
    );
    let count: SponsorCount = world.read(&StateKey::sponsor(&id("host"))).unwrap();
    assert_eq!(count.entries, 3);
}

#[test]
fn an_erasure_is_confirmed_by_the_grants_recipient_once() {
    let mut world = World::new();
    let grant = world.grant("g", world.grant_body());
    world.apply(&grant).unwrap();
    let foreign = world.erasure("g", "insurer", 1);
    assert_eq!(
        world.apply(&foreign),
        Err(Inadmissible::NotRecipient(grant_id("g")))
    );
    let unknown = world.erasure("h", "clinic", 1);
    assert_eq!(
        world.apply(&unknown),
        Err(Inadmissible::NoSuchGrant(grant_id("h")))
    );
    let confirmed = world.erasure("g", "clinic", 1);
    assert_eq!(world.apply(&confirmed), Ok(Outcome::Applied));
    let key_of = StateKey::erasure(&id("clinic"), &Hash([1; 32]));
    let state: ErasureState = world.read(&key_of).unwrap();
    assert_eq!(
        (state.grant, state.confirmed_ms),
        (grant_id("g"), world.now_ms)
    );
    let again = world.erasure("g", "clinic", 1);
    assert_eq!(
        world.apply(&again),
        Err(Inadmissible::ErasureKnown(Hash([1; 32])))
    );
    let body = match world.erasure("g", "clinic", 2).entry().body() {
        Body::ErasureConfirmed(confirmed) => Body::ErasureConfirmed(confirmed.clone()),
        _ => unreachable!(),
    };
    let forged = Entry::sign(&key("insurer"), &world.chain, world.now_ms + 60_000, body);
    let forged = forged.verify(&world.chain).unwrap();
    assert!(matches!(world.apply(&forged), Err(Inadmissible::Signer(_))));
    // after the revocation too: that is when it matters
    let revocation = world.revocation("g");
    world.apply(&revocation).unwrap();
    let confirmed = world.erasure("g", "clinic", 2);
    assert_eq!(world.apply(&confirmed), Ok(Outcome::Applied));
    world.set_own("clinic", 0, OWN_ENTRIES_PER_HOUR);
    let over = world.erasure("g", "clinic", 3);
    assert_eq!(
        world.apply(&over),
        Err(Inadmissible::OwnLimit(id("clinic")))
    );
}

/// What a random history may do.
#[derive(Debug, Clone)]
enum Step {
    Grant {
        key: u8,
        uses: Option<u32>,
        hours: u64,
    },
    Revoke {
        key: u8,
    },
    Access {
        key: u8,
        by_insurer: bool,
    },
    Wait {
        minutes: u64,
    },
    Suspend {
        suspended: bool,
    },
    StatusList {
        list: u8,
        /// Before or after the block, in seconds.
        offset_s: i64,
    },
    OverAsking {
        /// What the clinic asks for; vaccinations it may.
        laboratory: bool,
        number: u8,
    },
    Erasure {
        key: u8,
        by_insurer: bool,
        commitment: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4_u8, proptest::option::of(0..3_u32), 1..4_u64)
            .prop_map(|(key, uses, hours)| Step::Grant { key, uses, hours }),
        (0..4_u8).prop_map(|key| Step::Revoke { key }),
        (0..4_u8, any::<bool>()).prop_map(|(key, by_insurer)| Step::Access { key, by_insurer }),
        (1..90_u64).prop_map(|minutes| Step::Wait { minutes }),
        any::<bool>().prop_map(|suspended| Step::Suspend { suspended }),
        (0..2_u8, -30..90_i64).prop_map(|(list, offset_s)| Step::StatusList { list, offset_s }),
        (any::<bool>(), 0..3_u8)
            .prop_map(|(laboratory, number)| Step::OverAsking { laboratory, number }),
        (0..4_u8, any::<bool>(), 0..2_u8).prop_map(|(key, by_insurer, commitment)| {
            Step::Erasure {
                key,
                by_insurer,
                commitment,
            }
        }),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model of a few lines: an access is allowed exactly while the person allows it.
    #[test]
    fn an_access_is_allowed_exactly_while_the_person_allows_it(steps in steps()) {
        #[derive(Clone)]
        struct Model { until_ms: u64, left: Option<u32>, revoked: bool }
        let mut world = World::new();
        let mut model: std::collections::BTreeMap<u8, Model> = Default::default();
        let mut lists: std::collections::BTreeMap<u8, u64> = Default::default();
        let mut reported: std::collections::BTreeSet<u8> = Default::default();
        let mut erased: std::collections::BTreeSet<u8> = Default::default();
        let (mut suspended, mut sequence) = (false, 0);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait { minutes } => world.now_ms += minutes * 60_000,
                Step::Suspend { suspended: now } => {
                    sequence += 1;
                    let body = OrganisationSuspension { id: id("clinic"), sequence, suspended: now };
                    let entry = world.registry(&Body::OrganisationSuspended(body), 3);
                    prop_assert_eq!(world.apply(&entry), Ok(Outcome::Applied));
                    suspended = now;
                }
                Step::Grant { key, uses, hours } => {
                    let mut body = world.grant_body();
                    body.uses_max = uses;
                    body.until_ms = world.now_ms + hours * 3_600_000;
                    let until_ms = body.until_ms;
                    let entry = world.grant(&format!("g{key}"), body);
                    let applied = world.apply(&entry).is_ok();
                    prop_assert_eq!(applied, !model.contains_key(&key) && !suspended);
                    if applied {
                        model.insert(key, Model { until_ms, left: uses, revoked: false });
                    }
                }
                Step::Revoke { key } => {
                    let entry = world.revocation(&format!("g{key}"));
                    let applied = world.apply(&entry).is_ok();
                    prop_assert_eq!(applied, model.get(&key).is_some_and(|grant| !grant.revoked));
                    if let Some(grant) = model.get_mut(&key) { grant.revoked = true; }
                }
                Step::StatusList { list, offset_s } => {
                    let issued_ms = world.now_ms.saturating_add_signed(offset_s * 1000);
                    let entry = world.status_list("clinic", list, issued_ms);
                    let applied = world.apply(&entry).is_ok();
                    // the block is one second later, and may hold what was signed up to a minute ahead
                    let expected = offset_s <= 61 && lists.get(&list).is_none_or(|newest| *newest <= issued_ms);
                    prop_assert_eq!(applied, expected);
                    if applied { lists.insert(list, issued_ms); }
                }
                Step::OverAsking { laboratory, number } => {
                    let mut request = world.request();
                    request.recipient = id("clinic");
                    request.purpose = "care".into();
                    if laboratory { request.categories = vec!["laboratory".into()]; }
                    // the same number is the same request, whenever it is reported
                    (request.until_ms, request.expires_ms) = (253_402_300_000_000, 253_402_300_000_000);
                    request.nonce = tegata_consent::ids::Nonce([number; 16]);
                    let entry = world.over_asking(&request, "clinic");
                    let applied = world.apply(&entry).is_ok();
                    prop_assert_eq!(applied, laboratory && !reported.contains(&number));
                    if applied { reported.insert(number); }
                }
                Step::Erasure { key, by_insurer, commitment } => {
                    let by = if by_insurer { "insurer" } else { "clinic" };
                    let entry = world.erasure(&format!("g{key}"), by, commitment);
                    let applied = world.apply(&entry).is_ok();
                    prop_assert_eq!(applied, !by_insurer && model.contains_key(&key) && !erased.contains(&commitment));
                    if applied { erased.insert(commitment); }
                }
                Step::Access { key, by_insurer } => {
                    let by = if by_insurer { "insurer" } else { "clinic" };
                    let mut entry = world.access(&format!("g{key}"), by, 0);
                    // another commitment, so that each is another entry
                    let body = match entry.entry().body() { Body::Access(access) => {
                        let mut access = access.clone();
                        access.commitment = Hash(tegata_consent::ids::hash("n", &[&number.to_be_bytes()]));
                        Body::Access(access)
                    }, _ => unreachable!() };
                    entry = Entry::sign(&world::key(by), &world.chain, world.now_ms + 60_000, body).verify(&world.chain).unwrap();
                    let outcome = world.apply(&entry).unwrap();
                    let now_ms = world.now_ms;
                    let expected = !by_insurer && !suspended && model.get(&key)
                        .is_some_and(|grant| !grant.revoked && now_ms < grant.until_ms && grant.left != Some(0));
                    prop_assert_eq!(outcome == Outcome::Applied, expected);
                    if expected && let Some(Model { left: Some(left), .. }) = model.get_mut(&key) { *left -= 1; }
                }
            }
        }
        // a validator that executes all of it again comes to the same outcomes
        let mut again = World::empty();
        for leaf in &world.log {
            let entry = Entry::parse(&leaf.entry).unwrap().verify(&again.chain).unwrap();
            let applied = apply(&again, leaf.height, leaf.time_ms, std::slice::from_ref(&entry)).unwrap();
            prop_assert_eq!(&applied.leaves[0], leaf);
            again.state.extend(applied.changes);
            again.seen.insert(entry.id());
        }
        prop_assert_eq!(again.state, world.state);
    }
}

/// What operators sign is not asked whether it is so, but it must be about an organisation, in words that are known.
#[test]
fn an_organisation_has_a_name_addresses_and_known_codes() {
    type Change = fn(&mut Organisation);
    let cases: &[(&str, Change)] = &[
        ("an e-mail address as a name", |o| {
            o.name.en = "info@clinic.example".into()
        }),
        ("a name of two lines", |o| {
            o.name.ja = "みどり\n小児科".into()
        }),
        ("no DID", |o| o.did = "Midori".into()),
        ("a DID with a fragment", |o| {
            o.did = "did:web:clinic.example#hanako".into()
        }),
        ("an address with a query", |o| {
            o.services[0].url = "https://clinic.example/?patient=7".into()
        }),
        ("an address with a user", |o| {
            o.services[0].url = "https://hanako@clinic.example".into()
        }),
        ("an unknown purpose", |o| {
            o.asks[0].purpose = "hanako".into()
        }),
        ("an unknown category", |o| {
            o.asks[0].categories.push("hanako".into())
        }),
        ("a record type that is no id", |o| {
            o.issues[0].record_type = "Hanako's measles".into()
        }),
    ];
    let good = organisation(
        "newcomer",
        &[Role::Issuer, Role::Verifier],
        &["vaccination"],
        &[("care", &["vaccination"])],
    );
    let mut world = World::new();
    for (name, change) in cases {
        let mut changed = good.clone();
        change(&mut changed);
        let entry = world.registry(&Body::OrganisationRegistered(changed), 3);
        let refused = world.apply(&entry).map_err(|reason| reason.code());
        assert_eq!(refused, Err("organisation-malformed"), "{name}");
    }
    let entry = world.registry(&Body::OrganisationRegistered(good), 3);
    assert_eq!(world.apply(&entry), Ok(Outcome::Applied));
}
