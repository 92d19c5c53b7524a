//! A ledger in memory, for tests only: real entries, real state machine, real certificates by four test keys; no consensus.
//! Each node shows the same chain over HTTP, and can be told to misbehave.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "each test binary uses a part; tests may draw randomness"
)]

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ed25519_dalek::{Signer, SigningKey};
use minicbor::bytes::ByteVec;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tegata_consent::cbor;
use tegata_consent::cose::public_key;
use tegata_consent::entry::{
    Access, Body, Entry, Grant, Revocation, StatusListPublished, VerifiedEntry,
};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{
    Certificate, CertifiedHeader, CommitSignature, HEADER_VERSION, Header, Validator, VoteStep,
    vote_bytes,
};
use tegata_consent::ids::{
    Address, ChainId, EntryId, GrantId, Hash, Nonce, OrganisationId, PublicKey, SealKey,
};
use tegata_consent::log::{Frontier, LogLeaf, Nodes, consistency_proof, inclusion_proof};
use tegata_consent::organisation::{
    Asks, Issues, KeyUse, Name, Organisation, OrganisationKey, Role, organisation_id,
};
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::state::{self, Changes, ExecuteError, Parameters, StateKey, StateReader};
use tegata_consent::tree::{EMPTY_ROOT, TreeLeaf, TreeProof};
use tegata_service::clock;
use tokio::sync::watch;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

#[derive(Default)]
struct Memory {
    state: Changes,
    seen: BTreeSet<EntryId>,
}

impl StateReader for Memory {
    type Error = Infallible;
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.state.get(key).cloned())
    }
    fn seen(&self, id: &EntryId) -> Result<bool, Infallible> {
        Ok(self.seen.contains(id))
    }
}

#[derive(Default)]
struct LogNodes(HashMap<(u8, u64), Hash>);

impl Nodes for LogNodes {
    type Error = Infallible;
    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[&(level, index)])
    }
}

/// The chain that all nodes show.
pub struct Chain {
    pub genesis: Genesis,
    pub id: ChainId,
    validators: Vec<SigningKey>,
    memory: Memory,
    frontier: Frontier,
    nodes: LogNodes,
    pub leaves: Vec<LogLeaf>,
    pub headers: Vec<CertifiedHeader>,
    /// State after each block, genesis first.
    states: Vec<Changes>,
    height: watch::Sender<u64>,
}

pub type SharedChain = Arc<Mutex<Chain>>;

impl Chain {
    pub fn new() -> SharedChain {
        let validators: Vec<_> = (1..=4).map(key).collect();
        let genesis = Genesis {
            name: "Test ledger".into(),
            time_ms: clock::now_ms() - 3_600_000,
            nonce: Nonce(rand::random()),
            validators: validators
                .iter()
                .map(|key| Validator {
                    key: public_key(key),
                    power: 1,
                })
                .collect(),
            operators: vec![public_key(&key(9))],
            parameters: Parameters {
                sponsor_entries_per_hour: 1000,
            },
        };
        let memory = Memory {
            state: genesis.state(),
            seen: BTreeSet::new(),
        };
        Arc::new(Mutex::new(Self {
            id: genesis.chain_id(),
            validators,
            states: vec![memory.state.clone()],
            memory,
            frontier: Frontier::default(),
            nodes: LogNodes::default(),
            leaves: Vec::new(),
            headers: Vec::new(),
            height: watch::channel(0).0,
            genesis,
        }))
    }

    /// Makes a block of the present time.
    pub fn block(&mut self, entries: &[VerifiedEntry]) -> Result<u64, ExecuteError<Infallible>> {
        let after = self
            .headers
            .last()
            .map_or(self.genesis.time_ms, |last| last.header.time_ms)
            + 1;
        self.block_at(clock::now_ms().max(after), entries)
    }

    /// Makes an empty block where the newest is five seconds old, as nodes do that nobody sends anything.
    pub fn heartbeat(&mut self) {
        let newest_ms = self.headers.last().map_or(0, |last| last.header.time_ms);
        if newest_ms + 5_000 <= clock::now_ms() {
            self.block(&[]).expect("an empty block");
        }
    }

    pub fn block_at(
        &mut self,
        time_ms: u64,
        entries: &[VerifiedEntry],
    ) -> Result<u64, ExecuteError<Infallible>> {
        let height = self.headers.len() as u64 + 1;
        let applied =
            state::apply(&self.memory, height, time_ms, entries).map_err(|(_, error)| error)?;
        self.memory.state.extend(applied.changes);
        self.memory
            .seen
            .extend(entries.iter().map(VerifiedEntry::id));
        self.append(height, time_ms, applied.leaves);
        Ok(height)
    }

    /// Certifies a block with these leaves over the present state, whether it is true or not.
    pub fn append(&mut self, height: u64, time_ms: u64, leaves: Vec<LogLeaf>) {
        for leaf in leaves {
            for node in self.frontier.append(leaf.hash()) {
                self.nodes.0.insert((node.level, node.index), node.hash);
            }
            self.leaves.push(leaf);
        }
        let set = self.genesis.validator_set().hash();
        let header = Header {
            version: HEADER_VERSION,
            chain: self.id,
            height,
            time_ms,
            proposer: Address::of(&self.genesis.validators[0].key),
            previous: self
                .headers
                .last()
                .map_or(self.genesis.first_previous(), |last| last.header.hash()),
            log_size: self.frontier.size(),
            log_root: self.frontier.root(),
            state_root: root(&placed(&self.memory.state), 0),
            validators: set,
            next_validators: set,
        };
        let certified = certify(&self.id, header, &self.validators[..3]);
        self.headers.push(certified);
        self.states.push(self.memory.state.clone());
        self.height.send_replace(height);
    }

    /// Changes the state behind everybody's back.
    pub fn tamper(&mut self, key: StateKey, value: Vec<u8>) {
        self.memory.state.insert(key, value);
    }

    /// What stands under a key.
    pub fn stored(&self, key: &StateKey) -> Option<Vec<u8>> {
        self.memory.state.get(key).cloned()
    }

    pub fn organisation(&self, seed: u8) -> OrganisationId {
        organisation_id(&public_key(&key(seed)))
    }

    pub fn verified(&self, entry: Entry) -> VerifiedEntry {
        entry.verify(&self.id).expect("test entries hold")
    }

    pub fn soon(&self) -> u64 {
        clock::now_ms() + 60_000
    }

    pub fn state_proof(&self, height: u64, key: &StateKey) -> StateProof {
        let state = &self.states[usize::try_from(height).expect("small")];
        let value = state.get(key).cloned();
        let proof = prove(&placed(state), &Sha256::digest(key.as_bytes()).into());
        StateProof {
            certified: self.headers[usize::try_from(height).expect("small") - 1].clone(),
            key: key.as_bytes().to_vec().into(),
            value: value.map(ByteVec::from),
            proof,
        }
    }

    pub fn receipt(&self, id: &EntryId) -> Option<Receipt> {
        let is =
            |leaf: &LogLeaf| Entry::parse(&leaf.entry).is_ok_and(|entry| entry.id(&self.id) == *id);
        let index = self.leaves.iter().position(is)? as u64;
        let certified = self.headers.last()?.clone();
        let Ok(path) = inclusion_proof(&self.nodes, index, certified.header.log_size);
        Some(Receipt {
            certified,
            index,
            leaf: self.leaves[usize::try_from(index).expect("small")].clone(),
            path,
        })
    }

    // People and organisations of the tests.

    pub fn register(&mut self, seed: u8, roles: &[Role]) -> OrganisationId {
        let (sign, seal) = (
            public_key(&key(seed)),
            tegata_consent::keys::Secret::new([seed; 32]).seal_key(),
        );
        let organisation = Organisation {
            name: Name {
                ja: format!("組織{seed}"),
                en: format!("Organisation {seed}"),
            },
            roles: roles.to_vec(),
            services: vec![],
            did: format!("did:web:org{seed}.example"),
            keys: vec![
                OrganisationKey {
                    key_use: KeyUse::Sign,
                    public: sign.0.to_vec(),
                    from_ms: 0,
                    until_ms: None,
                },
                OrganisationKey {
                    key_use: KeyUse::Seal,
                    public: seal.0.to_vec(),
                    from_ms: 0,
                    until_ms: None,
                },
            ],
            issues: if roles.contains(&Role::Issuer) {
                vec![Issues {
                    record_type: "vaccination".into(),
                    from_ms: 0,
                    until_ms: None,
                }]
            } else {
                vec![]
            },
            asks: if roles.contains(&Role::Verifier) {
                vec![Asks {
                    purpose: "care".into(),
                    categories: vec!["vaccination".into()],
                    retention_max_days: 365,
                }]
            } else {
                vec![]
            },
        };
        let entry = Entry::sign(
            &key(9),
            &self.id,
            self.soon(),
            Body::OrganisationRegistered(organisation),
        );
        self.block(&[self.verified(entry)]).expect("registered");
        organisation_id(&sign)
    }

    pub fn grant_entry(&self, grant_seed: u8, recipient: OrganisationId, host_seed: u8) -> Entry {
        let grant = Grant {
            recipient,
            sponsor: organisation_id(&public_key(&key(host_seed))),
            categories: vec!["vaccination".into()],
            purpose: "care".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            from_ms: 0,
            until_ms: clock::now_ms() + 86_400_000,
            uses_max: None,
            commitment: Hash([7; 32]),
            request: None,
        };
        Entry::sign(&key(grant_seed), &self.id, self.soon(), Body::Grant(grant))
            .countersign(&key(host_seed), &self.id)
    }

    pub fn access_entry(&self, grant: GrantId, recipient_seed: u8) -> Entry {
        let access = Access {
            grant,
            recipient: organisation_id(&public_key(&key(recipient_seed))),
            commitment: Hash(rand::random()),
            ephemeral: SealKey([3; 32]),
        };
        Entry::sign(
            &key(recipient_seed),
            &self.id,
            self.soon(),
            Body::Access(access),
        )
    }

    /// What an issuer puts on the ledger when it has signed a list.
    pub fn status_list_entry(&self, issuer_seed: u8, list: Hash, token: Hash) -> Entry {
        let published = StatusListPublished {
            issuer: self.organisation(issuer_seed),
            list,
            token,
            issued_ms: clock::now_ms(),
            recalled: 0,
        };
        let body = Body::StatusListPublished(published);
        Entry::sign(&key(issuer_seed), &self.id, self.soon(), body)
    }

    pub fn revocation_entry(&self, grant_seed: u8, host_seed: u8) -> Entry {
        let revocation = Revocation {
            grant: grant_id(grant_seed),
            sponsor: organisation_id(&public_key(&key(host_seed))),
        };
        Entry::sign(
            &key(grant_seed),
            &self.id,
            self.soon(),
            Body::Revocation(revocation),
        )
        .countersign(&key(host_seed), &self.id)
    }
}

pub fn grant_id(seed: u8) -> GrantId {
    GrantId(public_key(&key(seed)).0)
}

pub fn certify(chain: &ChainId, header: Header, signers: &[SigningKey]) -> CertifiedHeader {
    let hash = header.hash();
    let sign = |key: &SigningKey| {
        let address = Address::of(&PublicKey(key.verifying_key().to_bytes()));
        let message = vote_bytes(
            chain,
            VoteStep::Precommit,
            header.height,
            0,
            Some(&hash),
            &address,
        );
        CommitSignature {
            address,
            signature: key.sign(&message).to_bytes().into(),
        }
    };
    let signatures = signers.iter().map(sign).collect();
    CertifiedHeader {
        certificate: Certificate {
            height: header.height,
            round: 0,
            header: hash,
            signatures,
        },
        header,
    }
}

// The state tree, in the simplest way.

fn placed(state: &Changes) -> Vec<([u8; 32], [u8; 32])> {
    let leaves: BTreeMap<[u8; 32], [u8; 32]> = state
        .iter()
        .map(|(key, value)| {
            (
                Sha256::digest(key.as_bytes()).into(),
                Sha256::digest(value).into(),
            )
        })
        .collect();
    leaves.into_iter().collect()
}

fn bit(key: &[u8; 32], depth: usize) -> bool {
    key[depth / 8] >> (7 - depth % 8) & 1 == 1
}

fn digest(tag: &[u8], left: &[u8; 32], right: &[u8; 32]) -> Hash {
    Hash(
        Sha256::new()
            .chain_update(tag)
            .chain_update(left)
            .chain_update(right)
            .finalize()
            .into(),
    )
}

fn root(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [(key, value)] => digest(b"JMT::LeafNode", key, value),
        _ => {
            let (left, right) =
                leaves.split_at(leaves.partition_point(|(key, _)| !bit(key, depth)));
            digest(
                b"JMT::IntrnalNode",
                &root(left, depth + 1).0,
                &root(right, depth + 1).0,
            )
        }
    }
}

fn prove(mut leaves: &[([u8; 32], [u8; 32])], key: &[u8; 32]) -> TreeProof {
    let mut siblings = Vec::new();
    while leaves.len() > 1 {
        let depth = siblings.len();
        let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| !bit(key, depth)));
        let (mine, other) = if bit(key, depth) {
            (right, left)
        } else {
            (left, right)
        };
        siblings.push(root(other, depth + 1));
        leaves = mine;
    }
    siblings.reverse();
    let stands = leaves.first().filter(|(stands, _)| stands != key);
    let other = stands.map(|(key, value)| TreeLeaf {
        key_hash: Hash(*key),
        value_hash: Hash(*value),
    });
    TreeProof { other, siblings }
}

/// How a node behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    Honest,
    /// Takes connections and never answers.
    Silent,
    /// Answers 500.
    Broken,
    /// Shows headers and proofs certified by a stranger.
    Forged,
    /// Shows the state before the newest block.
    Behind,
}

const MANNERS: [Manner; 5] = [
    Manner::Honest,
    Manner::Silent,
    Manner::Broken,
    Manner::Forged,
    Manner::Behind,
];

#[derive(Clone)]
pub struct Node {
    pub chain: SharedChain,
    manner: Arc<AtomicU8>,
    pub url: String,
}

impl Node {
    pub async fn start(chain: &SharedChain) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let node = Self {
            chain: Arc::clone(chain),
            manner: Arc::default(),
            url,
        };
        let router = router(node.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        node
    }

    pub fn behave(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::SeqCst);
    }

    fn manner(&self) -> Manner {
        MANNERS[usize::from(self.manner.load(Ordering::SeqCst))]
    }

    /// The height this node shows.
    fn shown(&self, chain: &Chain) -> u64 {
        let newest = chain.headers.len() as u64;
        if self.manner() == Manner::Behind {
            newest - 1
        } else {
            newest
        }
    }

    fn header(&self, chain: &Chain, height: u64) -> CertifiedHeader {
        let certified = chain.headers[usize::try_from(height).expect("small") - 1].clone();
        if self.manner() == Manner::Forged {
            let strangers: Vec<_> = (101..=104).map(key).collect();
            return certify(&chain.id, certified.header, &strangers);
        }
        certified
    }

    fn proof(&self, key: &StateKey) -> Response {
        let chain = self.chain.lock().expect("not poisoned");
        let height = self.shown(&chain);
        let mut proof = chain.state_proof(height, key);
        proof.certified = self.header(&chain, height);
        encoded(&proof)
    }
}

fn encoded<T: minicbor::Encode<()>>(value: &T) -> Response {
    ([("content-type", "application/cbor")], cbor::encode(value)).into_response()
}

fn number(query: &HashMap<String, String>, name: &str, default: u64) -> u64 {
    query
        .get(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

type Questions = Query<HashMap<String, String>>;

fn router(node: Node) -> Router {
    let manners = node.clone();
    Router::new()
        .route("/v1/entries", post(submit))
        .route("/v1/entries/{id}", get(receipt))
        .route("/v1/headers/newest", get(newest))
        .route("/v1/headers/{height}", get(header))
        .route("/v1/headers", get(headers))
        .route("/v1/log", get(log))
        .route("/v1/log/consistency", get(consistency))
        .route(
            "/v1/state/grants/{id}",
            get(
                |State(node): State<Node>, Path(id): Path<String>| async move {
                    node.proof(&StateKey::grant(&id.parse().expect("an id")))
                },
            ),
        )
        .route(
            "/v1/state/organisations/{id}",
            get(
                |State(node): State<Node>, Path(id): Path<String>| async move {
                    node.proof(&StateKey::organisation(&id.parse().expect("an id")))
                },
            ),
        )
        .route(
            "/v1/state/status-lists/{issuer}/{list}",
            get(
                |State(node): State<Node>, Path((issuer, list)): Path<(String, String)>| async move {
                    let (issuer, list) = (issuer.parse().expect("an id"), list.parse().expect("a hash"));
                    node.proof(&StateKey::status_list(&issuer, &list))
                },
            ),
        )
        .route(
            "/v1/state/erasures/{recipient}/{commitment}",
            get(
                |State(node): State<Node>, Path((recipient, commitment)): Path<(String, String)>| async move {
                    let recipient = recipient.parse().expect("an id");
                    node.proof(&StateKey::erasure(&recipient, &commitment.parse().expect("a hash")))
                },
            ),
        )
        .route(
            "/v1/state/over-askings/{request}",
            get(
                |State(node): State<Node>, Path(request): Path<String>| async move {
                    node.proof(&StateKey::over_asking(&request.parse().expect("a hash")))
                },
            ),
        )
        .route("/v1/state/organisations", get(organisations))
        .route("/v1/grants/{id}/accesses", get(accesses))
        .with_state(node)
        .layer(axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                let manner = manners.manner();
                async move {
                    match manner {
                        Manner::Silent => std::future::pending().await,
                        Manner::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                        _ => next.run(request).await,
                    }
                }
            },
        ))
}

async fn submit(State(node): State<Node>, body: Bytes) -> Response {
    let mut chain = node.chain.lock().expect("not poisoned");
    let id = chain.id;
    let Ok(entry) = Entry::parse(&body).and_then(|entry| entry.verify(&id)) else {
        let problem = serde_json::json!({"code": "malformed", "title": "Malformed", "detail": "not an entry"});
        return (StatusCode::BAD_REQUEST, problem.to_string()).into_response();
    };
    if let Some(receipt) = chain.receipt(&entry.id()) {
        return encoded(&receipt);
    }
    match chain.block(std::slice::from_ref(&entry)) {
        Ok(_) => (StatusCode::CREATED, encoded(&chain.receipt(&entry.id()))).into_response(),
        Err(ExecuteError::Inadmissible(error)) => {
            let problem = serde_json::json!({"code": error.code(), "title": "Inadmissible", "detail": error.to_string()});
            (StatusCode::CONFLICT, problem.to_string()).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn receipt(State(node): State<Node>, Path(id): Path<String>) -> Response {
    match node
        .chain
        .lock()
        .expect("not poisoned")
        .receipt(&id.parse().expect("an id"))
    {
        Some(receipt) => encoded(&receipt),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn newest(State(node): State<Node>, Query(query): Questions) -> Response {
    let after = number(&query, "after", 0);
    let mut height = node.chain.lock().expect("not poisoned").height.subscribe();
    let wait = Duration::from_millis(number(&query, "wait_ms", 0));
    let arrived = tokio::time::timeout(wait, height.wait_for(|height| *height > after))
        .await
        .is_ok();
    let chain = node.chain.lock().expect("not poisoned");
    let shown = node.shown(&chain);
    if !arrived || shown <= after {
        StatusCode::NO_CONTENT.into_response()
    } else {
        encoded(&node.header(&chain, shown))
    }
}

async fn header(State(node): State<Node>, Path(height): Path<u64>) -> Response {
    let chain = node.chain.lock().expect("not poisoned");
    if height == 0 || height > node.shown(&chain) {
        StatusCode::NOT_FOUND.into_response()
    } else {
        encoded(&node.header(&chain, height))
    }
}

async fn headers(State(node): State<Node>, Query(query): Questions) -> Response {
    let chain = node.chain.lock().expect("not poisoned");
    let (from, limit) = (
        number(&query, "from", 1).max(1),
        number(&query, "limit", 3).min(3),
    );
    let found: Vec<_> = (from..=node.shown(&chain))
        .take(usize::try_from(limit).expect("small"))
        .map(|height| node.header(&chain, height))
        .collect();
    encoded(&found)
}

async fn log(State(node): State<Node>, Query(query): Questions) -> Response {
    let chain = node.chain.lock().expect("not poisoned");
    let from = usize::try_from(number(&query, "from", 0)).expect("small");
    let found: Vec<LogLeaf> = chain.leaves.iter().skip(from).take(3).cloned().collect();
    encoded(&found)
}

async fn consistency(State(node): State<Node>, Query(query): Questions) -> Response {
    let chain = node.chain.lock().expect("not poisoned");
    let Ok(path) = consistency_proof(
        &chain.nodes,
        number(&query, "from", 1),
        number(&query, "to", 1),
    );
    encoded(&path)
}

async fn accesses(
    State(node): State<Node>,
    Path(id): Path<String>,
    Query(query): Questions,
) -> Response {
    let grant: GrantId = id.parse().expect("an id");
    let under = |leaf: &&LogLeaf| {
        Entry::parse(&leaf.entry).is_ok_and(
            |entry| matches!(entry.body(), Body::Access(access) if access.grant == grant),
        )
    };
    let from = usize::try_from(number(&query, "from", 0)).expect("small");
    let chain = node.chain.lock().expect("not poisoned");
    let found: Vec<LogLeaf> = chain
        .leaves
        .iter()
        .filter(under)
        .skip(from)
        .take(2)
        .cloned()
        .collect();
    encoded(&found)
}

async fn organisations(State(node): State<Node>) -> Response {
    let chain = node.chain.lock().expect("not poisoned");
    let ids = chain
        .memory
        .state
        .keys()
        .filter_map(|key| key.as_bytes().strip_prefix(b"organisation/".as_slice()))
        .map(|id| serde_json::json!({ "id": hex::encode(id) }));
    axum::Json(ids.collect::<Vec<_>>()).into_response()
}
