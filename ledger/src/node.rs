//! A whole node.

use crate::config::{KeyFileError, NodeConfig, load_seed};
use crate::consensus::{self, ConsensusError, ConsensusParts};
use crate::feed::Feed;
use crate::gossip::{self, GossipError};
use crate::http::{self, Api};
use crate::mempool::Mempool;
use crate::p2p::{Peer, keypair, listen_address};
use crate::shared::Shared;
use crate::store::{Store, StoreError};
use ed25519_dalek::SigningKey;
use std::path::PathBuf;
use std::sync::Arc;
use tegata_consent::cose::public_key;
use tegata_consent::ids::{Address, NotAnId, PublicKey};
use tegata_service::genesis::{self, GenesisFileError};
use tegata_service::http::{serve, shutdown_signal};

/// Why a node ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
    /// A key file.
    #[error("key: {0}")]
    Key(#[from] KeyFileError),
    /// A peer's network key.
    #[error("peers: network_key {0}")]
    Peer(NotAnId),
    /// A peer's network key that is not an Ed25519 key.
    #[error("peers: network_key {0} is not an Ed25519 key")]
    PeerKey(PublicKey),
    /// The consensus key does not belong to a validator.
    #[error(
        "consensus key {0} does not belong to a validator of this ledger; see the genesis file"
    )]
    NotValidator(PublicKey),
    /// A folder.
    #[error("{path}: {error}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Consensus.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// The mempool's network.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// HTTP.
    #[error("http: {0}")]
    Http(std::io::Error),
}

/// Runs a node until it is asked to end (Ctrl-C, SIGTERM) or fails.
///
/// Telemetry is the caller's to start ([`tegata_service::telemetry::init`]); it wants a multi-threaded Tokio runtime.
///
/// # Errors
/// [`NodeError`]; after one, the process should end: everything acknowledged is on disk.
pub async fn run(config: NodeConfig) -> Result<(), NodeError> {
    let genesis = genesis::load(&config.genesis)?;
    let key = SigningKey::from_bytes(load_seed(&config.consensus_key)?.expose());
    let network_key = keypair(load_seed(&config.network_key)?.expose());
    let (consensus_peers, mempool_peers) = peers(&config)?;
    let folder = |path: PathBuf| {
        std::fs::create_dir_all(&path)
            .map(|()| path.clone())
            .map_err(|error| NodeError::Folder { path, error })
    };
    let store = Store::open(&folder(config.store())?, &genesis)?;
    let view = store.view()?;
    if view
        .validators()?
        .get(&Address::of(&public_key(&key)))
        .is_none()
    {
        return Err(NodeError::NotValidator(public_key(&key)));
    }
    let feed = Feed::new(view.tip().height);
    drop(view);
    let shared = Arc::new(Shared {
        chain: genesis.chain_id(),
        genesis,
        store,
        mempool: Mempool::default(),
        feed,
    });

    let mempool_listen = listen_address(config.mempool_listen);
    let (gossip, exchange) = gossip::start(
        shared.clone(),
        network_key.clone(),
        &mempool_listen,
        mempool_peers,
    )?;
    let parts = ConsensusParts {
        shared: shared.clone(),
        name: config.name.clone(),
        key,
        network_key,
        listen: listen_address(config.consensus_listen),
        peers: consensus_peers,
        wal: folder(config.home.join("wal"))?.join("consensus.wal"),
    };
    let router = http::router(Api::new(shared, gossip));
    tracing::info!(name = config.name, http = %config.http.listen, "node starts");
    tokio::select! {
        served = serve(router, &config.http, shutdown_signal()) => served.map_err(NodeError::Http),
        ended = consensus::run(parts) => Ok(ended?),
        error = exchange => Err(error.into()),
    }
}

fn peers(config: &NodeConfig) -> Result<(Vec<Peer>, Vec<Peer>), NodeError> {
    let mut both = (Vec::new(), Vec::new());
    for peer in &config.peers {
        let key: PublicKey = peer.network_key.parse().map_err(NodeError::Peer)?;
        both.0
            .push(Peer::new(&key, peer.consensus).ok_or(NodeError::PeerKey(key))?);
        both.1
            .push(Peer::new(&key, peer.mempool).ok_or(NodeError::PeerKey(key))?);
    }
    Ok(both)
}
