//! A ledger in one process: the real state machine, real headers with a certificate, real receipts and consent proofs. What
//! it has not is consensus: it has one validator, and makes a block when it is told to.

use super::key;
use crate::ledger::{ConsentLedger, ConsentProof, Proof};
use futures::future::{BoxFuture, ready};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tegata_consent::cbor;
use tegata_consent::cose::public_key;
use tegata_consent::entry::{Body, Entry, VerifiedEntry};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{
    Certificate, CertifiedHeader, CommitSignature, FinalHeader, HEADER_VERSION, Header, Validator,
    VoteStep, vote_bytes,
};
use tegata_consent::ids::{Address, ChainId, EntryId, GrantId, Hash, Nonce, OrganisationId};
use tegata_consent::log::{Frontier, LogLeaf, Nodes, inclusion_proof};
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::{Proven, Receipt, StateProof};
use tegata_consent::state::{Changes, ExecuteError, Parameters, StateKey, StateReader, apply};
use tegata_consent::tree::{EMPTY_ROOT, TreeLeaf, TreeProof};
use tegata_service::ledger::{LedgerError, STALE_MS};

pub(crate) struct TestLedger {
    genesis: Genesis,
    now_ms: Arc<AtomicU64>,
    inner: Mutex<Inner>,
}

struct Inner {
    state: Changes,
    seen: BTreeSet<EntryId>,
    leaves: Vec<(EntryId, LogLeaf)>,
    frontier: Frontier,
    nodes: HashMap<(u8, u64), Hash>,
    newest: Option<FinalHeader>,
    /// Takes entries but does not answer, so many times.
    swallow: u32,
    /// Does not answer at all.
    silent: bool,
}

impl StateReader for Inner {
    type Error = Infallible;
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.state.get(key).cloned())
    }
    fn seen(&self, id: &EntryId) -> Result<bool, Infallible> {
        Ok(self.seen.contains(id))
    }
}

impl Nodes for Inner {
    type Error = Infallible;
    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.nodes[&(level, index)])
    }
}

impl TestLedger {
    pub(crate) fn new(now_ms: Arc<AtomicU64>) -> Self {
        let genesis = Genesis {
            name: "test".into(),
            time_ms: now_ms.load(Ordering::SeqCst) - 60_000,
            nonce: Nonce([1; 16]),
            validators: vec![Validator {
                key: public_key(&key("validator")),
                power: 1,
            }],
            operators: vec![public_key(&key("operator"))],
            parameters: Parameters {
                sponsor_entries_per_hour: 50,
            },
        };
        let inner = Inner {
            state: genesis.state(),
            seen: BTreeSet::new(),
            leaves: Vec::new(),
            frontier: Frontier::default(),
            nodes: HashMap::new(),
            newest: None,
            swallow: 0,
            silent: false,
        };
        Self {
            genesis,
            now_ms,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    /// The next `count` submissions become final, but their answers are lost.
    pub(crate) fn swallow(&self, count: u32) {
        self.inner.lock().unwrap().swallow = count;
    }

    /// Answers nothing from now on, or answers again.
    pub(crate) fn silence(&self, silent: bool) {
        self.inner.lock().unwrap().silent = silent;
    }

    /// An operator's entry.
    pub(crate) fn registry(&self, body: Body) {
        let entry = Entry::sign(
            &key("operator"),
            &self.chain(),
            self.now_ms() + 60_000,
            body,
        );
        self.block(&[entry.verify(&self.chain()).unwrap()]).unwrap();
    }

    /// An entry that somebody else than the host submits.
    pub(crate) fn write(&self, entry: Entry) -> Result<EntryId, LedgerError> {
        let verified = entry.verify(&self.chain()).unwrap();
        let id = verified.id();
        self.block(&[verified]).map(|()| id)
    }

    /// Makes a block at the present time.
    pub(crate) fn block(&self, entries: &[VerifiedEntry]) -> Result<(), LedgerError> {
        let mut inner = self.inner.lock().unwrap();
        let (chain, validators) = (self.chain(), self.genesis.validator_set());
        let before = inner.newest.clone();
        let height = before.as_ref().map_or(0, |header| header.header().height) + 1;
        let least_ms = before
            .as_ref()
            .map_or(0, |header| header.header().time_ms + 1);
        let time_ms = self.now_ms().max(least_ms);
        let applied =
            apply(&*inner, height, time_ms, entries).map_err(|(_, error)| match error {
                ExecuteError::Inadmissible(error) => LedgerError::Inadmissible {
                    code: error.code().into(),
                    detail: error.to_string(),
                },
                other => panic!("{other}"),
            })?;
        inner.state.extend(applied.changes);
        for (entry, leaf) in entries.iter().zip(applied.leaves) {
            for node in inner.frontier.append(leaf.hash()) {
                inner.nodes.insert((node.level, node.index), node.hash);
            }
            inner.seen.insert(entry.id());
            inner.leaves.push((entry.id(), leaf));
        }
        let header = Header {
            version: HEADER_VERSION,
            chain,
            height,
            time_ms,
            proposer: Address::of(&public_key(&key("validator"))),
            previous: before.map_or(self.genesis.first_previous(), |before| before.hash()),
            log_size: inner.frontier.size(),
            log_root: inner.frontier.root(),
            state_root: tree(&places(&inner.state), 0),
            validators: validators.hash(),
            next_validators: validators.hash(),
        };
        let (hash, address) = (header.hash(), Address::of(&public_key(&key("validator"))));
        let vote = vote_bytes(
            &chain,
            VoteStep::Precommit,
            height,
            0,
            Some(&hash),
            &address,
        );
        let signature = ed25519_dalek::Signer::sign(&key("validator"), &vote)
            .to_bytes()
            .into();
        let signatures = vec![CommitSignature { address, signature }];
        let certified = CertifiedHeader {
            header,
            certificate: Certificate {
                height,
                round: 0,
                header: hash,
                signatures,
            },
        };
        inner.newest = Some(certified.verify(&chain, &validators).unwrap());
        Ok(())
    }

    fn answers(&self) -> Result<(), LedgerError> {
        if self.inner.lock().unwrap().silent {
            Err(LedgerError::Unreachable {
                detail: "silent".into(),
            })
        } else {
            Ok(())
        }
    }

    fn find(&self, id: &EntryId) -> Option<Proof> {
        let inner = self.inner.lock().unwrap();
        let index = inner.leaves.iter().position(|(entry, _)| entry == id)?;
        let Ok(path) = inclusion_proof(&*inner, index as u64, inner.frontier.size());
        let certified = inner.newest.as_ref()?.certified().clone();
        let receipt = Receipt {
            certified,
            index: index as u64,
            leaf: inner.leaves[index].1.clone(),
            path,
        };
        let bytes = cbor::encode(&receipt);
        Some((
            bytes,
            receipt
                .verify(&self.chain(), &self.genesis.validator_set())
                .unwrap(),
        ))
    }

    fn proof(&self, key: &StateKey) -> StateProof {
        let inner = self.inner.lock().unwrap();
        let place: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut proof = TreeProof {
            other: None,
            siblings: Vec::new(),
        };
        prove(&places(&inner.state), &place, 0, &mut proof);
        let value = inner.state.get(key).map(|value| value.clone().into());
        let certified = inner.newest.as_ref().unwrap().certified().clone();
        StateProof {
            certified,
            key: key.as_bytes().to_vec().into(),
            value,
            proof,
        }
    }
}

impl ConsentLedger for TestLedger {
    fn chain(&self) -> ChainId {
        self.genesis.chain_id()
    }
    fn newest(&self) -> Result<FinalHeader, LedgerError> {
        let newest = self.inner.lock().unwrap().newest.clone().unwrap();
        let age_ms = self.now_ms().saturating_sub(newest.header().time_ms);
        if age_ms < STALE_MS {
            Ok(newest)
        } else {
            Err(LedgerError::Stale { age_ms })
        }
    }
    fn submit<'a>(&'a self, entry: &'a [u8]) -> BoxFuture<'a, Result<Proof, LedgerError>> {
        let submit = || {
            self.answers()?;
            let malformed = |error: tegata_consent::entry::EntryError| LedgerError::Malformed {
                detail: error.to_string(),
            };
            let verified = Entry::parse(entry)
                .and_then(|entry| entry.verify(&self.chain()))
                .map_err(malformed)?;
            let id = verified.id();
            if let Some(found) = self.find(&id) {
                return Ok(found);
            }
            self.block(&[verified])?;
            let mut inner = self.inner.lock().unwrap();
            if inner.swallow > 0 {
                inner.swallow -= 1;
                return Err(LedgerError::NotFinal);
            }
            drop(inner);
            Ok(self.find(&id).unwrap())
        };
        Box::pin(ready(submit()))
    }
    fn receipt<'a>(&'a self, id: &'a EntryId) -> BoxFuture<'a, Result<Option<Proof>, LedgerError>> {
        Box::pin(ready(self.answers().map(|()| self.find(id))))
    }
    fn grant<'a>(&'a self, id: &'a GrantId) -> BoxFuture<'a, Result<ConsentProof, LedgerError>> {
        let ask = || {
            self.answers()?;
            self.newest()?;
            let proof = self.proof(&StateKey::grant(id));
            let bytes = cbor::encode(&proof);
            Ok((
                bytes,
                proof
                    .verify_grant(&self.chain(), &self.genesis.validator_set(), id)
                    .unwrap(),
            ))
        };
        Box::pin(ready(ask()))
    }
    fn organisation<'a>(
        &'a self,
        id: &'a OrganisationId,
    ) -> BoxFuture<'a, Result<Proven<OrganisationState>, LedgerError>> {
        let ask = || {
            self.answers()?;
            self.newest()?;
            let proof = self.proof(&StateKey::organisation(id));
            Ok(proof
                .verify_organisation(&self.chain(), &self.genesis.validator_set(), id)
                .unwrap())
        };
        Box::pin(ready(ask()))
    }
    fn accesses<'a>(
        &'a self,
        grant: &'a GrantId,
        first: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<LogLeaf>, LedgerError>> {
        let under = |leaf: &LogLeaf| matches!(Entry::parse(&leaf.entry).unwrap().body(), Body::Access(access) if access.grant == *grant);
        let leaves = self
            .inner
            .lock()
            .unwrap()
            .leaves
            .iter()
            .map(|(_, leaf)| leaf.clone())
            .filter(under)
            .skip(usize::try_from(first).unwrap())
            .take(limit)
            .collect();
        Box::pin(ready(Ok(leaves)))
    }
}

// ---- the state tree, by its definition ----

type Places = BTreeMap<[u8; 32], [u8; 32]>;

fn places(state: &Changes) -> Places {
    state
        .iter()
        .map(|(key, value)| {
            (
                Sha256::digest(key.as_bytes()).into(),
                Sha256::digest(value).into(),
            )
        })
        .collect()
}

fn half(places: &Places, depth: usize, bit: u8) -> Places {
    let at = |place: &[u8; 32]| place[depth / 8] >> (7 - depth % 8) & 1;
    places
        .iter()
        .filter(|(place, _)| at(place) == bit)
        .map(|(place, value)| (*place, *value))
        .collect()
}

fn digest(tag: &[u8], left: &[u8; 32], right: &[u8; 32]) -> Hash {
    Hash(Sha256::digest([tag, left, right].concat()).into())
}

fn tree(places: &Places, depth: usize) -> Hash {
    match places.len() {
        0 => EMPTY_ROOT,
        1 => {
            let (place, value) = places.first_key_value().unwrap();
            digest(b"JMT::LeafNode", place, value)
        }
        _ => {
            let [left, right] = [0, 1].map(|bit| tree(&half(places, depth, bit), depth + 1).0);
            digest(b"JMT::IntrnalNode", &left, &right)
        }
    }
}

fn prove(places: &Places, place: &[u8; 32], depth: usize, proof: &mut TreeProof) {
    match places.len() {
        0 => {}
        1 => {
            let (key, value) = places.first_key_value().unwrap();
            proof.other = (key != place).then_some(TreeLeaf {
                key_hash: Hash(*key),
                value_hash: Hash(*value),
            });
        }
        _ => {
            let bit = place[depth / 8] >> (7 - depth % 8) & 1;
            prove(&half(places, depth, bit), place, depth + 1, proof);
            proof
                .siblings
                .push(tree(&half(places, depth, 1 - bit), depth + 1));
        }
    }
}
