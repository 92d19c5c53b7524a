//! The state machine, rule by rule, and its properties over random histories.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod world;

use proptest::prelude::*;
use tegata_consent::entry::{Body, Entry, OrganisationChange, OrganisationSuspension, Revocation};
use tegata_consent::history::{HistoryError, verify_history};
use tegata_consent::ids::Hash;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::state::{GrantState, Inadmissible, Outcome, Refusal, StateKey, apply};
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
            "categories",
            with(&|g| g.legal_basis = "Hanako, born 2023".into()),
        ),
        ("categories", with(&|g| g.legal_basis = "あ".into())),
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
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4_u8, proptest::option::of(0..3_u32), 1..4_u64)
            .prop_map(|(key, uses, hours)| Step::Grant { key, uses, hours }),
        (0..4_u8).prop_map(|key| Step::Revoke { key }),
        (0..4_u8, any::<bool>()).prop_map(|(key, by_insurer)| Step::Access { key, by_insurer }),
        (1..90_u64).prop_map(|minutes| Step::Wait { minutes }),
        any::<bool>().prop_map(|suspended| Step::Suspend { suspended }),
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
