//! The ledger, as every service uses it: follows certified headers, submits entries, asks for proofs.
//!
//! Nodes are asked in turn and none is trusted: headers are checked against the genesis validator set (which is fixed in
//! this version), receipts and proofs against headers.

mod ask;
mod error;
mod follow;
mod freshness;

pub use error::LedgerError;
pub use freshness::{Freshness, STALE_MS};

use crate::config::LedgerConfig;
use crate::{clock, genesis};
use ask::Nodes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tegata_consent::entry::Entry;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{CertifiedHeader, FinalHeader, ValidatorSet};
use tegata_consent::ids::{ChainId, EntryId, GrantId, Hash, OrganisationId};
use tegata_consent::log::LogLeaf;
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::{ProofError, Proven, Receipt, StateProof, VerifiedReceipt};
use tegata_consent::state::GrantState;
use tegata_consent::status::{ErasureState, OverAskingState, StatusListState};
use tokio::sync::watch;

/// How long a proof about an organisation is reused, whatever else changes on the ledger.
const ORGANISATION_CACHE: Duration = Duration::from_secs(5);
/// Most organisations that are remembered, and most status lists.
const REMEMBERED_MAX: usize = 10_000;
/// How long a submission is tried.
const SUBMIT: Duration = Duration::from_secs(12);

/// A connection to a ledger. Cheap to clone; the header follower stops when the last clone is dropped.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    organisations: Mutex<HashMap<OrganisationId, (Proven<OrganisationState>, Instant)>>,
    status_lists: Mutex<HashMap<(OrganisationId, Hash), Proven<StatusListState>>>,
    follower: tokio::task::JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// What the follower and its users share.
struct Core {
    genesis: Genesis,
    chain: ChainId,
    validators: ValidatorSet,
    nodes: Nodes,
    newest: watch::Sender<Option<FinalHeader>>,
    freshness: Mutex<Freshness>,
}

impl Core {
    /// Checks a header and takes it over where it is newer. Gives whether it was.
    fn take(&self, certified: CertifiedHeader) -> Result<bool, LedgerError> {
        let known = self.height();
        if certified.header.height <= known {
            return Ok(false);
        }
        let height = certified.header.height;
        let header = certified
            .verify(&self.chain, &self.validators)
            .map_err(|error| LedgerError::proof("header", &error))?;
        if header.header().next_validators != header.header().validators {
            return Err(LedgerError::proof(
                "header",
                &format!("header {height} changes the validators, which this version does not"),
            ));
        }
        Ok(self.take_final(header))
    }

    /// Takes over a header that was checked with a proof.
    fn take_final(&self, header: FinalHeader) -> bool {
        let (height, time_ms) = (header.header().height, header.header().time_ms);
        self.newest.send_if_modified(|newest| {
            if newest
                .as_ref()
                .is_some_and(|newest| newest.header().height >= height)
            {
                return false;
            }
            self.freshness
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .arrived(time_ms, Instant::now());
            metrics::gauge!("tegata_ledger_height").set(height as f64);
            *newest = Some(header);
            true
        })
    }

    fn height(&self) -> u64 {
        self.newest
            .borrow()
            .as_ref()
            .map_or(0, |newest| newest.header().height)
    }

    fn newest(&self) -> Result<FinalHeader, LedgerError> {
        let newest = self.newest.borrow().clone();
        let time_ms = newest
            .as_ref()
            .map_or(self.genesis.time_ms, |newest| newest.header().time_ms);
        let freshness = self
            .freshness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let age_ms = freshness.age_ms(time_ms, clock::now_ms(), Instant::now());
        match newest {
            Some(newest) if age_ms < STALE_MS => Ok(newest),
            _ => Err(LedgerError::Stale { age_ms }),
        }
    }
}

impl Ledger {
    /// Reads the genesis file and starts to follow the ledger's headers. Does not wait for a node to answer: until one
    /// does, everything is [`LedgerError::Stale`].
    ///
    /// # Errors
    /// [`LedgerError::Genesis`], [`LedgerError::Config`].
    pub fn start(config: LedgerConfig) -> Result<Self, LedgerError> {
        let genesis = genesis::load(&config.genesis)?;
        Self::start_with(config.urls, genesis)
    }

    /// As [`Self::start`], with a genesis that was read already.
    ///
    /// # Errors
    /// [`LedgerError::Config`].
    pub fn start_with(urls: Vec<String>, genesis: Genesis) -> Result<Self, LedgerError> {
        let core = Arc::new(Core {
            chain: genesis.chain_id(),
            validators: genesis.validator_set(),
            nodes: Nodes::new(urls)?,
            newest: watch::channel(None).0,
            freshness: Mutex::new(Freshness::default()),
            genesis,
        });
        let follower = tokio::spawn(follow::follow(Arc::clone(&core)));
        Ok(Self(Arc::new(Inner {
            core,
            organisations: Mutex::default(),
            status_lists: Mutex::default(),
            follower,
        })))
    }

    /// The chain id.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.0.core.chain
    }

    /// The validators.
    #[must_use]
    pub fn validators(&self) -> ValidatorSet {
        self.0.core.validators.clone()
    }

    /// The genesis.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.0.core.genesis
    }

    /// Base URLs of the nodes.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        self.0.core.nodes.urls()
    }

    /// The HTTP client, shared: it bounds connecting (2 s) but not whole requests.
    #[must_use]
    pub fn http(&self) -> reqwest::Client {
        self.0.core.nodes.client()
    }

    /// The newest header, under 15 s old.
    ///
    /// # Errors
    /// [`LedgerError::Stale`].
    pub fn newest(&self) -> Result<FinalHeader, LedgerError> {
        self.0.core.newest()
    }

    /// Every newer header as it becomes known, `None` before the first. Heights only rise; some may be left out. A header
    /// in here may be stale: whoever decides something asks [`Self::newest`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<FinalHeader>> {
        self.0.core.newest.subscribe()
    }

    /// Submits an encoded entry and waits until it is final: gives its receipt. Asks other nodes and repeats, for about
    /// 12 s in all. Submitting the same entry again is harmless.
    ///
    /// # Errors
    /// [`LedgerError::Inadmissible`], [`LedgerError::Malformed`]; [`LedgerError::NotFinal`], [`LedgerError::Stale`] and
    /// [`LedgerError::Unreachable`] leave open whether it will become final: submit the same bytes again.
    pub async fn submit(&self, entry: &[u8]) -> Result<(Vec<u8>, VerifiedReceipt), LedgerError> {
        let core = &self.0.core;
        let parsed = Entry::parse(entry).map_err(|error| LedgerError::Malformed {
            detail: error.to_string(),
        })?;
        let id = parsed.id(&core.chain);
        let submitted = core.nodes.submit(entry, Instant::now() + SUBMIT, |bytes| {
            self.check_receipt(bytes, &id)
        });
        let bytes = tokio::select! {
            bytes = submitted => bytes,
            error = self.stale() => Err(error),
        };
        match bytes {
            Ok(found) => Ok(found),
            Err(error @ (LedgerError::Inadmissible { .. } | LedgerError::Malformed { .. })) => {
                Err(error)
            }
            Err(error) => Err(self.newest().err().unwrap_or(error)),
        }
    }

    /// Comes back once the ledger is stale: without a quorum nothing becomes final, so nobody need wait longer.
    async fn stale(&self) -> LedgerError {
        loop {
            if let Err(error) = self.newest() {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The receipt of an entry; absent where the ledger does not have it. A node that hides an entry cannot be told from
    /// one that has not seen it, so absence is no proof.
    ///
    /// # Errors
    /// [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn receipt(
        &self,
        entry: &EntryId,
    ) -> Result<Option<(Vec<u8>, VerifiedReceipt)>, LedgerError> {
        let path = format!("/v1/entries/{entry}");
        self.0
            .core
            .nodes
            .get(&path, Receipt::LIMIT, |bytes| {
                self.check_receipt(bytes, entry)
            })
            .await
    }

    /// The consent proof of a grant, against a header that is fresh and at least as new as the followed one at the time of
    /// the call. The proof may be one of absence.
    ///
    /// # Errors
    /// [`LedgerError::Stale`], [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn grant(
        &self,
        grant: &GrantId,
    ) -> Result<(Vec<u8>, Proven<GrantState>), LedgerError> {
        let (core, least) = (&self.0.core, self.newest()?.header().height);
        let check = |bytes: Vec<u8>| {
            let proof = StateProof::parse(&bytes)
                .map_err(|error| LedgerError::proof("consent proof", &error))?;
            let proven = proof.verify_grant(&core.chain, &core.validators, grant);
            let proven = proven.map_err(|error| LedgerError::proof("consent proof", &error))?;
            self.new_enough(&proven, least)?;
            Ok((bytes, proven))
        };
        let found = core
            .nodes
            .get(
                &format!("/v1/state/grants/{grant}"),
                StateProof::LIMIT,
                check,
            )
            .await?;
        found.ok_or_else(|| {
            LedgerError::proof(
                "consent proof",
                &"the node answers 404 instead of a proof of absence",
            )
        })
    }

    /// An organisation in the registry, proven. A proof of presence is reused while the ledger's state is the same, and
    /// for up to 5 s.
    ///
    /// # Errors
    /// [`LedgerError::Stale`], [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn organisation(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Proven<OrganisationState>, LedgerError> {
        let (core, newest) = (&self.0.core, self.newest()?);
        if let Some((proven, asked)) = recall(&self.0.organisations, organisation)
            && (is_same_state(&proven.header, &newest) || asked.elapsed() <= ORGANISATION_CACHE)
        {
            return Ok(proven);
        }
        let path = format!("/v1/state/organisations/{organisation}");
        let proven = self
            .proven(&path, "organisation", |proof| {
                proof.verify_organisation(&core.chain, &core.validators, organisation)
            })
            .await?;
        // Whoever has just been registered must not wait for a cache.
        if proven.value.is_some() {
            let found = (proven.clone(), Instant::now());
            remember(&self.0.organisations, *organisation, found);
        }
        Ok(proven)
    }

    /// The newest of an issuer's status lists ([`tegata_consent::status::status_list_id`]), proven in a header at least as
    /// new as the followed one at the time of the call. The proof may be one of absence. No node is asked while the ledger's
    /// state is the one that was proven: the same state root has the same list.
    ///
    /// # Errors
    /// [`LedgerError::Stale`], [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn status_list(
        &self,
        issuer: &OrganisationId,
        list: &Hash,
    ) -> Result<Proven<StatusListState>, LedgerError> {
        let (core, newest, key) = (&self.0.core, self.newest()?, (*issuer, *list));
        if let Some(known) = recall(&self.0.status_lists, &key)
            && is_same_state(&known.header, &newest)
        {
            let value = known.value;
            return Ok(Proven {
                header: newest,
                value,
            });
        }
        let path = format!("/v1/state/status-lists/{issuer}/{list}");
        let proven = self
            .proven(&path, "status list", |proof| {
                proof.verify_status_list(&core.chain, &core.validators, issuer, list)
            })
            .await?;
        remember(&self.0.status_lists, key, proven.clone());
        Ok(proven)
    }

    /// Whether a recipient confirmed an erasure ([`tegata_consent::status::erasure_commitment`]), proven as
    /// [`Self::status_list`] is.
    ///
    /// # Errors
    /// [`LedgerError::Stale`], [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn erasure(
        &self,
        recipient: &OrganisationId,
        commitment: &Hash,
    ) -> Result<Proven<ErasureState>, LedgerError> {
        let path = format!("/v1/state/erasures/{recipient}/{commitment}");
        let core = &self.0.core;
        self.proven(&path, "erasure", |proof| {
            proof.verify_erasure(&core.chain, &core.validators, recipient, commitment)
        })
        .await
    }

    /// Whether a request was reported ([`tegata_consent::over_asking::evidence_digest`]), proven as [`Self::status_list`] is.
    ///
    /// # Errors
    /// [`LedgerError::Stale`], [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn over_asking(
        &self,
        request: &Hash,
    ) -> Result<Proven<OverAskingState>, LedgerError> {
        let core = &self.0.core;
        self.proven(
            &format!("/v1/state/over-askings/{request}"),
            "over-asking",
            |proof| proof.verify_over_asking(&core.chain, &core.validators, request),
        )
        .await
    }

    /// A state proof that is fresh and holds.
    async fn proven<T>(
        &self,
        path: &str,
        part: &'static str,
        verify: impl Fn(StateProof) -> Result<Proven<T>, ProofError>,
    ) -> Result<Proven<T>, LedgerError> {
        let least = self.newest()?.header().height;
        let check = |bytes: Vec<u8>| {
            let proven = StateProof::parse(&bytes).and_then(&verify);
            let proven = proven.map_err(|error| LedgerError::proof(part, &error))?;
            self.new_enough(&proven, least)?;
            Ok(proven)
        };
        let found = self
            .0
            .core
            .nodes
            .get(path, StateProof::LIMIT, check)
            .await?;
        found.ok_or_else(|| {
            LedgerError::proof(part, &"the node answers 404 instead of a proof of absence")
        })
    }

    /// Accesses under a grant, oldest first, from the `first`-th on, at most `limit` of them, as a node tells it. Only
    /// `tegata_consent::history` with the grant's proven state says whether it is true and complete. Fewer than `limit` may be
    /// a short page; only none is the end.
    ///
    /// # Errors
    /// [`LedgerError::Unreachable`], [`LedgerError::Proof`].
    pub async fn accesses(
        &self,
        grant: &GrantId,
        first: u64,
        limit: usize,
    ) -> Result<Vec<LogLeaf>, LedgerError> {
        let path = format!("/v1/grants/{grant}/accesses?from={first}&limit={limit}");
        let read = |bytes: Vec<u8>| {
            let leaves = tegata_consent::cbor::decode::<Vec<LogLeaf>>(&bytes, ask::PAGE_MAX)
                .map_err(|error| LedgerError::proof("accesses", &error))?;
            if leaves.len() > limit {
                return Err(LedgerError::proof("accesses", &"more than were asked for"));
            }
            Ok(leaves)
        };
        let page = self.0.core.nodes.get(&path, ask::PAGE_MAX, read).await?;
        Ok(page.unwrap_or_default())
    }

    /// Checks the receipt of an entry that somebody else submitted. What is proven from then on is at least as new: a node may
    /// be a block behind the one that gave the receipt.
    ///
    /// # Errors
    /// [`LedgerError::Proof`].
    pub fn check_receipt(
        &self,
        bytes: Vec<u8>,
        id: &EntryId,
    ) -> Result<(Vec<u8>, VerifiedReceipt), LedgerError> {
        let core = &self.0.core;
        let receipt = Receipt::parse(&bytes)
            .and_then(|receipt| receipt.verify(&core.chain, &core.validators));
        let receipt = receipt.map_err(|error| LedgerError::proof("receipt", &error))?;
        if receipt.entry.id() != *id {
            return Err(LedgerError::proof(
                "receipt",
                &format!("it is for entry {}", receipt.entry.id()),
            ));
        }
        core.take_final(receipt.header.clone());
        Ok((bytes, receipt))
    }

    /// A proof's header must not be older than what was known when the question was asked.
    fn new_enough<T>(&self, proven: &Proven<T>, least: u64) -> Result<(), LedgerError> {
        let height = proven.header.header().height;
        if height < least {
            return Err(LedgerError::proof(
                "state proof",
                &format!("the node is behind: height {height}, expected {least} or more"),
            ));
        }
        self.0.core.take_final(proven.header.clone());
        Ok(())
    }
}

/// Whether what was proven of one header's state stands in another's.
fn is_same_state(proven: &FinalHeader, newest: &FinalHeader) -> bool {
    proven.header().state_root == newest.header().state_root
}

type Remembered<K, V> = Mutex<HashMap<K, V>>;

fn recall<K: Eq + std::hash::Hash, V: Clone>(remembered: &Remembered<K, V>, key: &K) -> Option<V> {
    let remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
    remembered.get(key).cloned()
}

fn remember<K: Eq + std::hash::Hash, V>(remembered: &Remembered<K, V>, key: K, value: V) {
    let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
    if remembered.len() >= REMEMBERED_MAX {
        remembered.clear();
    }
    remembered.insert(key, value);
}
