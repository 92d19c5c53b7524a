//! A small world for tests: fixed keys, a state in memory, and the organisations of the story.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use ed25519_dalek::SigningKey;
use std::collections::BTreeSet;
use std::convert::Infallible;
use tegata_consent::cose::Signed;
use tegata_consent::cose::public_key;
use tegata_consent::entry::{
    Access, Body, Entry, ErasureConfirmed, Grant, OverAsking, Revocation, StatusListPublished,
    VerifiedEntry,
};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::Validator;
use tegata_consent::ids::{ChainId, EntryId, GrantId, Hash, Nonce, OrganisationId, SealKey};
use tegata_consent::organisation::{
    Asks, Issues, KeyUse, Name, Organisation, OrganisationKey, Role, Service, organisation_id,
};
use tegata_consent::request::ConsentRequest;
use tegata_consent::state::{
    Changes, ExecuteError, Execution, Inadmissible, Outcome, OwnCount, Parameters, StateKey,
    StateReader,
};
use tegata_consent::status::{status_list_id, token_digest};

pub const START_MS: u64 = 1_800_000_000_000;
pub const DAY_MS: u64 = 86_400_000;

pub fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&tegata_consent::ids::hash("test", &[name.as_bytes()]))
}

pub fn id(name: &str) -> OrganisationId {
    organisation_id(&public_key(&key(name)))
}

pub fn organisation(
    name: &str,
    roles: &[Role],
    issues: &[&str],
    asks: &[(&str, &[&str])],
) -> Organisation {
    let seal = tegata_consent::keys::Secret::new([7; 32]).seal_key();
    let own = |key_use, public| OrganisationKey {
        key_use,
        public,
        from_ms: 0,
        until_ms: None,
    };
    Organisation {
        name: Name {
            ja: format!("{name}(架空)"),
            en: name.to_owned(),
        },
        roles: roles.to_vec(),
        services: roles
            .iter()
            .map(|role| Service {
                role: *role,
                url: format!("https://{name}.example/{role:?}"),
            })
            .collect(),
        did: format!("did:web:{name}.example"),
        keys: vec![
            own(KeyUse::Sign, public_key(&key(name)).0.to_vec()),
            own(KeyUse::Seal, seal.0.to_vec()),
        ],
        issues: issues
            .iter()
            .map(|kind| Issues {
                record_type: (*kind).to_owned(),
                from_ms: 0,
                until_ms: None,
            })
            .collect(),
        asks: asks
            .iter()
            .map(|(purpose, categories)| Asks {
                purpose: (*purpose).to_owned(),
                categories: categories
                    .iter()
                    .map(|category| (*category).to_owned())
                    .collect(),
                retention_max_days: 30,
            })
            .collect(),
    }
}

pub struct World {
    pub genesis: Genesis,
    pub chain: ChainId,
    pub state: Changes,
    pub seen: BTreeSet<EntryId>,
    pub height: u64,
    pub now_ms: u64,
    pub log: Vec<tegata_consent::log::LogLeaf>,
}

impl StateReader for World {
    type Error = Infallible;
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.state.get(key).cloned())
    }
    fn seen(&self, id: &EntryId) -> Result<bool, Infallible> {
        Ok(self.seen.contains(id))
    }
}

impl World {
    /// Four operators and validators, nobody registered.
    pub fn empty() -> Self {
        let genesis = Genesis {
            name: "test".into(),
            time_ms: START_MS,
            nonce: Nonce([1; 16]),
            validators: (0..4)
                .map(|i| Validator {
                    key: public_key(&key(&format!("validator{i}"))),
                    power: 1,
                })
                .collect(),
            operators: (0..4)
                .map(|i| public_key(&key(&format!("operator{i}"))))
                .collect(),
            parameters: Parameters {
                sponsor_entries_per_hour: 100,
            },
        };
        genesis.check().unwrap();
        let (chain, state) = (genesis.chain_id(), genesis.state());
        Self {
            genesis,
            chain,
            state,
            seen: BTreeSet::new(),
            height: 0,
            now_ms: START_MS,
            log: Vec::new(),
        }
    }

    /// With host, clinic (issues vaccinations, asks for care) and insurer (asks for payout).
    pub fn new() -> Self {
        let mut world = Self::empty();
        for organisation in [
            organisation("host", &[Role::Host], &[], &[]),
            organisation(
                "clinic",
                &[Role::Issuer, Role::Verifier],
                &["vaccination"],
                &[("care", &["infant_checkup", "vaccination"])],
            ),
            organisation(
                "insurer",
                &[Role::Verifier],
                &[],
                &[("payout", &["laboratory"])],
            ),
        ] {
            let entry = world.registry(&Body::OrganisationRegistered(organisation), 3);
            world.apply(&entry).unwrap();
        }
        world
    }

    /// An entry of the registry, signed by the first `signers` operators.
    pub fn registry(&self, body: &Body, signers: usize) -> VerifiedEntry {
        let mut entry = Entry::sign(
            &key("operator0"),
            &self.chain,
            self.now_ms + 60_000,
            body.clone(),
        );
        for i in 1..signers {
            entry = entry.countersign(&key(&format!("operator{i}")), &self.chain);
        }
        entry.verify(&self.chain).unwrap()
    }

    pub fn grant_body(&self) -> Grant {
        Grant {
            recipient: id("clinic"),
            sponsor: id("host"),
            categories: vec!["vaccination".into()],
            purpose: "care".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            from_ms: self.now_ms,
            until_ms: self.now_ms + DAY_MS,
            uses_max: None,
            commitment: Hash([5; 32]),
            request: None,
        }
    }

    pub fn grant(&self, grant_key: &str, grant: Grant) -> VerifiedEntry {
        let entry = Entry::sign(
            &key(grant_key),
            &self.chain,
            self.now_ms + 60_000,
            Body::Grant(grant),
        );
        entry
            .countersign(&key("host"), &self.chain)
            .verify(&self.chain)
            .unwrap()
    }

    pub fn revocation(&self, grant_key: &str) -> VerifiedEntry {
        let body = Body::Revocation(Revocation {
            grant: grant_id(grant_key),
            sponsor: id("host"),
        });
        let entry = Entry::sign(&key(grant_key), &self.chain, self.now_ms + 60_000, body);
        entry
            .countersign(&key("host"), &self.chain)
            .verify(&self.chain)
            .unwrap()
    }

    /// `salt` makes each access another entry.
    pub fn access(&self, grant_key: &str, by: &str, salt: u8) -> VerifiedEntry {
        let body = Body::Access(Access {
            grant: grant_id(grant_key),
            recipient: id(by),
            commitment: Hash([salt; 32]),
            ephemeral: SealKey([9; 32]),
        });
        Entry::sign(&key(by), &self.chain, self.now_ms + 60_000, body)
            .verify(&self.chain)
            .unwrap()
    }

    /// A signed list of the clinic, or whoever `by` is, under the URI with a number.
    pub fn status_list(&self, by: &str, number: u8, issued_ms: u64) -> VerifiedEntry {
        let body = Body::StatusListPublished(StatusListPublished {
            issuer: id(by),
            list: status_list_id(&format!("https://{by}.example/v1/status-lists/{number}")),
            token: token_digest(format!("{number} {issued_ms}").as_bytes()),
            issued_ms,
            recalled: 0,
        });
        Entry::sign(&key(by), &self.chain, self.now_ms + 60_000, body)
            .verify(&self.chain)
            .unwrap()
    }

    /// What the insurer may not ask: vaccinations, for payout.
    pub fn request(&self) -> ConsentRequest {
        ConsentRequest {
            recipient: id("insurer"),
            categories: vec!["vaccination".into()],
            purpose: "payout".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            until_ms: self.now_ms + DAY_MS,
            uses_max: None,
            reference: "00112233445566778899aabbccddeeff".into(),
            expires_ms: self.now_ms + 600_000,
            nonce: Nonce([9; 16]),
        }
    }

    /// A report of a request that `signer` signed, carried by the host.
    pub fn over_asking(&self, request: &ConsentRequest, signer: &str) -> VerifiedEntry {
        let body = Body::OverAsking(OverAsking {
            recipient: request.recipient,
            sponsor: id("host"),
            request: request.sign(&key(signer), &self.chain).to_bytes().into(),
        });
        Entry::sign(&key("reporter"), &self.chain, self.now_ms + 60_000, body)
            .countersign(&key("host"), &self.chain)
            .verify(&self.chain)
            .unwrap()
    }

    pub fn erasure(&self, grant_key: &str, by: &str, commitment: u8) -> VerifiedEntry {
        let body = Body::ErasureConfirmed(ErasureConfirmed {
            grant: grant_id(grant_key),
            recipient: id(by),
            commitment: Hash([commitment; 32]),
        });
        Entry::sign(&key(by), &self.chain, self.now_ms + 60_000, body)
            .verify(&self.chain)
            .unwrap()
    }

    /// A block of one entry, one second later.
    pub fn apply(&mut self, entry: &VerifiedEntry) -> Result<Outcome, Inadmissible> {
        let (height, now_ms) = (self.height + 1, self.now_ms + 1000);
        let mut execution = Execution::new(self, height, now_ms);
        let outcome = match execution.entry(entry) {
            Ok(outcome) => outcome,
            Err(ExecuteError::Inadmissible(reason)) => return Err(reason),
            Err(other) => panic!("{other:?}"),
        };
        let applied = execution.finish();
        self.height = height;
        self.now_ms = now_ms;
        self.state.extend(applied.changes);
        self.log.extend(applied.leaves);
        self.seen.insert(entry.id());
        Ok(outcome)
    }

    /// A block of many entries, one second later.
    pub fn apply_block(&mut self, entries: &[VerifiedEntry]) -> Result<(), Inadmissible> {
        let (height, now_ms) = (self.height + 1, self.now_ms + 1000);
        let applied = match tegata_consent::state::apply(self, height, now_ms, entries) {
            Ok(applied) => applied,
            Err((_, ExecuteError::Inadmissible(reason))) => return Err(reason),
            Err(other) => panic!("{other:?}"),
        };
        self.height = height;
        self.now_ms = now_ms;
        self.state.extend(applied.changes);
        self.log.extend(applied.leaves);
        self.seen.extend(entries.iter().map(VerifiedEntry::id));
        Ok(())
    }

    /// As if an organisation had written so much by itself in this hour.
    pub fn set_own(&mut self, name: &str, refused: u32, entries: u32) {
        let count = OwnCount {
            hour: (self.now_ms + 1000) / 3_600_000,
            refused,
            entries,
            reported: 0,
        };
        let bytes = tegata_consent::cbor::encode(&count);
        self.state.insert(StateKey::own(&id(name)), bytes);
    }

    pub fn read<T: for<'b> minicbor::Decode<'b, ()>>(&self, key: &StateKey) -> Option<T> {
        self.state
            .get(key)
            .map(|bytes| minicbor::decode(bytes).unwrap())
    }
}

pub fn grant_id(name: &str) -> GrantId {
    GrantId(public_key(&key(name)).0)
}
