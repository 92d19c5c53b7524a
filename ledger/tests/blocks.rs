//! Blocks: what a proposer builds, every validator accepts; whatever differs in one place, none does.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use bytes::Bytes;
use std::sync::Arc;
use support::fresh_key;
use support::people::{People, grant_id};
use tegata_consent::cbor;
use tegata_consent::entry::{Entry, VerifiedEntry};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{Certificate, CertifiedHeader, Header, Validator};
use tegata_consent::ids::{Address, GrantId, Hash, Nonce};
use tegata_consent::state::{Inadmissible, Outcome, Parameters, Refusal};
use tegata_ledger::block::{BLOCK_LIMIT, Block, Built, ExecutedBlock, build, check};
use tegata_ledger::store::{Store, Undecided};
use tegata_service::clock::now_ms;

struct World {
    folder: tempfile::TempDir,
    genesis: Genesis,
    people: People,
    proposer: Address,
    store: Store,
}

impl World {
    fn new() -> Self {
        let people = People::new();
        let validator = tegata_consent::cose::public_key(&fresh_key());
        let genesis = Genesis {
            name: "Test".to_owned(),
            time_ms: now_ms() - 10_000,
            nonce: Nonce(rand::random()),
            validators: vec![Validator {
                key: validator,
                power: 1,
            }],
            operators: people.operator_keys(),
            parameters: Parameters {
                sponsor_entries_per_hour: 1_000,
            },
        };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &genesis).unwrap();
        Self {
            folder,
            people,
            proposer: Address::of(&validator),
            store,
            genesis,
        }
    }

    fn verified(&self, entry: Entry) -> Arc<VerifiedEntry> {
        Arc::new(entry.verify(&self.genesis.chain_id()).unwrap())
    }

    fn build(&self, entries: Vec<Entry>) -> Built {
        let entries = entries
            .into_iter()
            .map(|entry| self.verified(entry))
            .collect();
        let view = self.store.view().unwrap();
        let time_ms = now_ms().max(view.tip().time_ms + 1);
        build(
            &view,
            &self.genesis.chain_id(),
            self.proposer,
            time_ms,
            entries,
        )
        .unwrap()
    }

    fn check(&self, bytes: Bytes) -> Result<ExecutedBlock, String> {
        check(
            &self.store.view().unwrap(),
            &self.genesis.chain_id(),
            bytes,
            |_| None,
        )
        .map_err(|error| {
            assert!(error.blames_block(), "{error}");
            error.to_string()
        })
    }

    fn commit(&self, block: &ExecutedBlock) {
        let header = block.header.clone();
        let certificate = Certificate {
            height: header.height,
            round: 0,
            header: block.hash,
            signatures: vec![],
        };
        self.store
            .commit(&block.write(
                &CertifiedHeader {
                    header,
                    certificate,
                },
                &[],
            ))
            .unwrap();
    }

    /// Registers host and clinic in a first block.
    fn registered() -> Self {
        let world = Self::new();
        let chain = world.genesis.chain_id();
        let built = world.build(vec![
            world.people.host_registered(&chain),
            world.people.clinic_registered(&chain),
        ]);
        assert!(built.refused.is_empty(), "{:?}", built.refused);
        world.commit(&built.block);
        world
    }
}

#[test]
fn what_one_builds_all_accept_with_the_same_effect() {
    let world = World::registered();
    let (chain, citizen) = (world.genesis.chain_id(), fresh_key());
    let id = grant_id(&citizen);
    let early = world.people.access(&chain, id);
    let unregistered = People::new().access(&chain, id);
    let unregistered_id = unregistered.id(&chain);
    let entries = vec![
        early,
        world.people.grant(&chain, &citizen),
        world.people.access(&chain, id),
        unregistered,
        world.people.access(&chain, id),
    ];
    let Built { block, refused } = world.build(entries);
    assert!(
        matches!(&refused[..], [(refused, Inadmissible::NoSuchOrganisation(_))] if *refused == unregistered_id)
    );
    let outcomes: Vec<_> = block.leaves.iter().map(|(_, leaf)| leaf.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Refused(Refusal::NoSuchGrant),
            Outcome::Applied,
            Outcome::Applied,
            Outcome::Applied
        ]
    );

    let checked = world.check(block.bytes.clone()).unwrap();
    assert_eq!((checked.hash, &checked.header), (block.hash, &block.header));
    assert_eq!(checked.leaves, block.leaves);
    world.commit(&checked);
    let view = world.store.view().unwrap();
    assert_eq!(view.tip().hash, block.hash);
    // Two entries were in the block before; the access before the grant is not the grant's.
    assert_eq!(view.accesses(&id, 0, 10).unwrap(), [4, 5]);
    assert_eq!(view.accesses(&id, 1, 10).unwrap(), [5]);
    assert_eq!(view.accesses(&GrantId([0; 32]), 0, 10).unwrap(), [0_u64; 0]);
    let (bytes, _) = tegata_ledger::block::stored(&view, 2).unwrap();
    assert_eq!(
        bytes, block.bytes,
        "what is sent to those who catch up is what was decided"
    );
}

#[test]
fn a_header_altered_in_any_field_is_refused() {
    let world = World::registered();
    let chain = world.genesis.chain_id();
    let built = world.build(vec![world.people.grant(&chain, &fresh_key())]);
    let good: Block = cbor::decode(&built.block.bytes, BLOCK_LIMIT).unwrap();
    type Alter = fn(&mut Header);
    let alterations: [(&str, Alter); 12] = [
        ("version", |header| header.version += 1),
        ("chain", |header| header.chain.0[0] ^= 1),
        ("height", |header| header.height += 1),
        ("height", |header| header.height -= 1),
        ("time", |header| header.time_ms = 5),
        ("proposer", |header| header.proposer.0[0] ^= 1),
        ("previous", |header| header.previous = Hash([7; 32])),
        ("log size", |header| header.log_size += 1),
        ("log root", |header| header.log_root.0[0] ^= 1),
        ("state root", |header| header.state_root.0[0] ^= 1),
        ("validators", |header| header.validators.0[0] ^= 1),
        ("validators", |header| header.next_validators.0[0] ^= 1),
    ];
    for (part, alter) in alterations {
        let mut block = good.clone();
        alter(&mut block.header);
        let error = world.check(cbor::encode(&block).into()).unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
    }
    world.check(built.block.bytes).unwrap();
}

#[test]
fn entries_left_out_doubled_swapped_altered_or_too_late_are_refused() {
    let world = World::registered();
    let chain = world.genesis.chain_id();
    let citizens = [fresh_key(), fresh_key()];
    let entries = citizens
        .iter()
        .map(|citizen| world.people.grant(&chain, citizen))
        .collect();
    let good: Block = cbor::decode(&world.build(entries).block.bytes, BLOCK_LIMIT).unwrap();
    let refuse = |alter: &dyn Fn(&mut Block), expected: &str| {
        let mut block = good.clone();
        alter(&mut block);
        let error = world.check(cbor::encode(&block).into()).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    refuse(&|block| drop(block.entries.pop()), "log size");
    refuse(&|block| block.entries.swap(0, 1), "log root");
    refuse(
        &|block| block.entries[1] = block.entries[0].clone(),
        "in the log already",
    );
    refuse(
        &|block| *block.entries[1].last_mut().unwrap() ^= 1,
        "does not hold",
    );
    refuse(&|block| block.entries[0] = vec![0].into(), "entry 0");
    refuse(&|block| block.header.time_ms += 3_600_000, "not-after");
    let unknown = People::new().access(&chain, GrantId([1; 32])).to_bytes();
    refuse(
        &|block| block.entries.push(unknown.clone().into()),
        "is not registered",
    );
    let filler = vec![0_u8; BLOCK_LIMIT];
    refuse(&|block| block.entries.push(filler.clone().into()), "bytes");
    let bytes = cbor::encode(&good);
    assert!(
        world
            .check(bytes[..bytes.len() - 1].to_vec().into())
            .is_err()
    );
    assert!(world.check([&bytes[..], &[0]].concat().into()).is_err());
    assert!(world.check(Bytes::new()).is_err());
}

#[test]
fn what_was_kept_is_there_after_the_store_is_opened_again() {
    let world = World::registered();
    let chain = world.genesis.chain_id();
    let built = world.build(vec![world.people.grant(&chain, &fresh_key())]);
    let undecided = Undecided {
        height: 2,
        round: 1,
        valid_round: None,
        own: true,
        block: built.block.bytes.to_vec().into(),
    };
    world
        .store
        .keep_undecided(&built.block.hash, &undecided)
        .unwrap();
    let tip = world.store.view().unwrap().tip().clone();
    let World {
        store,
        folder,
        genesis,
        ..
    } = world;
    drop(store);
    let store = Store::open(folder.path(), &genesis).unwrap();
    assert_eq!(store.view().unwrap().tip(), &tip);
    assert_eq!(store.undecided().unwrap(), [(built.block.hash, undecided)]);
    let header = built.block.header.clone();
    let certificate = Certificate {
        height: 2,
        round: 1,
        header: built.block.hash,
        signatures: vec![],
    };
    let certified = CertifiedHeader {
        header,
        certificate,
    };
    store
        .commit(&built.block.write(&certified, &[(2, built.block.hash)]))
        .unwrap();
    assert!(store.undecided().unwrap().is_empty());
    assert_eq!(
        store.view().unwrap().newest_header().unwrap(),
        Some(certified)
    );
}
