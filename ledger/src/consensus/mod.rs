//! Consensus: Malachite, driven. The only module that knows its types.
//!
//! Architecture invariant: no error around persisting, signing or deciding is logged and passed over; it ends the node.

mod candidates;
mod codec;
mod context;
mod driver;
mod network;
mod signer;
mod streams;

use crate::block::BlockError;
use crate::p2p::Peer;
use crate::shared::Shared;
use crate::store::StoreError;
use arc_malachitebft_app_channel::app::config::{
    ConsensusConfig, NodeConfig, ValuePayload, ValueSyncConfig,
};
use arc_malachitebft_app_channel::app::metrics;
use arc_malachitebft_app_channel::{
    Channels, ConsensusContext, EngineBuilder, EngineHandle, NetworkMsg, RequestContext,
    SyncContext, WalContext,
};
use codec::WireCodec;
use context::{Ledger, ValidatorAddress};
use driver::Driver;
use ed25519_dalek::SigningKey;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use network::{NetworkParts, Others};
use signer::{ConsensusSigner, ConsensusVerifier};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tegata_consent::cose::{CoseError, public_key};
use tegata_consent::ids::{Address, Hash};
use tokio::sync::{mpsc, watch};

const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// A node that stays behind its peers this long, while they are in reach, is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
const SYNC_REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
const SYNC_BATCH: usize = 20;

/// Why consensus ended. Each ends the node.
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This node could not execute a block, through its own fault.
    #[error("execution: {0}")]
    Execution(BlockError),
    /// The validators decided a block that this node has not got, or holds invalid.
    #[error("block {height} ({hash}) was decided, and this node cannot commit it: {why}")]
    Undecidable {
        /// Its height.
        height: u64,
        /// Hash of its header.
        hash: Hash,
        /// Why.
        why: String,
    },
    /// A validator's key in the state is not a key.
    #[error("validators: {0}")]
    Validators(CoseError),
    /// The peer-to-peer network.
    #[error("network: {0}")]
    Network(String),
    /// The engine ended, or did not start.
    #[error("consensus engine: {0}")]
    Engine(String),
    /// The engine stopped itself to prevent a double vote after its write-ahead log failed.
    #[error(
        "the consensus engine stopped for safety: its write-ahead log failed; check the disk of {wal}, then start again"
    )]
    WriteAheadLog {
        /// The log.
        wal: PathBuf,
    },
    /// No progress, while others make some.
    #[error("stuck at height {height} for {seconds} s, while a peer is at {peer}; start again")]
    Stuck {
        /// This node's height.
        height: u64,
        /// A peer's.
        peer: u64,
        /// For how long, in seconds.
        seconds: u64,
    },
}

/// What consensus needs.
pub(crate) struct ConsensusParts {
    pub(crate) shared: Arc<Shared>,
    /// Name in logs and metrics.
    pub(crate) name: String,
    pub(crate) key: SigningKey,
    pub(crate) network_key: Keypair,
    pub(crate) listen: Multiaddr,
    pub(crate) peers: Vec<Peer>,
    pub(crate) wal: PathBuf,
}

/// Takes part in consensus until something fails.
pub(crate) async fn run(parts: ConsensusParts) -> Result<(), ConsensusError> {
    let (fatal, mut failed) = mpsc::channel(1);
    let (tell_others, others) = watch::channel(Others::default());
    let shared = parts.shared.clone();
    let wal = parts.wal.clone();
    let (channels, engine, key) = start(parts, tell_others, fatal).await?;
    let driver = Driver::new(shared.clone(), key, channels.network, others.clone())?;
    tokio::select! {
        ended = driver.run(channels.consensus) => ended,
        _ = engine.handle => Err(ConsensusError::Engine("it ended; see the log above".to_owned())),
        Some(error) = failed.recv() => Err(error),
        error = watch(&shared, &others, wal) => Err(error),
    }
}

/// Malachite's metrics as Prometheus text.
pub(crate) fn metrics_text() -> String {
    let mut text = String::new();
    metrics::export(&mut text);
    text
}

async fn start(
    parts: ConsensusParts,
    others: watch::Sender<Others>,
    fatal: mpsc::Sender<ConsensusError>,
) -> Result<(Channels<Ledger>, EngineHandle, SigningKey), ConsensusError> {
    let ConsensusParts {
        shared,
        name,
        key,
        network_key,
        listen,
        peers,
        wal,
    } = parts;
    let network = network::spawn(NetworkParts {
        key: network_key,
        listen,
        peers,
        others,
        fatal,
    })
    .await?;
    let (publish, mut published) = mpsc::channel::<NetworkMsg<Ledger>>(64);
    let forward = network.clone();
    tokio::spawn(async move {
        while let Some(message) = published.recv().await {
            if forward.cast(message.into()).is_err() {
                break;
            }
        }
    });
    let address = ValidatorAddress(Address::of(&public_key(&key)));
    let chain = shared.chain;
    let verifier = Box::new(ConsensusVerifier { chain });
    let signer = Box::new(ConsensusSigner {
        chain,
        key: key.clone(),
    });
    let (channels, engine) = EngineBuilder::new(Ledger, EngineConfig::new(name))
        .with_default_wal(WalContext::new(wal, WireCodec))
        .with_custom_network(network, publish)
        .with_default_sync(SyncContext::new(WireCodec))
        .with_default_consensus(ConsensusContext::new_validator(address, verifier, signer))
        .with_default_request(RequestContext::new(16))
        .build()
        .await
        .map_err(|error| ConsensusError::Engine(error.to_string()))?;
    Ok((channels, engine, key))
}

/// Ends when the engine hangs: it does so on purpose where going on could sign twice.
async fn watch(shared: &Shared, others: &watch::Receiver<Others>, wal: PathBuf) -> ConsensusError {
    let heights = shared.feed.heights();
    let (mut height, mut since) = (*heights.borrow(), Instant::now());
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let newest = *heights.borrow();
        let peer = others.borrow().tip;
        if newest != height || peer <= newest {
            (height, since) = (newest, Instant::now());
        }
        if stopped_for_safety(&metrics_text()) {
            return ConsensusError::WriteAheadLog { wal };
        }
        if since.elapsed() > STUCK_AFTER {
            return ConsensusError::Stuck {
                height,
                peer,
                seconds: since.elapsed().as_secs(),
            };
        }
    }
}

/// Whether the engine's metrics say that it hangs on purpose.
fn stopped_for_safety(metrics: &str) -> bool {
    let says = |line: &str| {
        line.contains("node_safety_failure") && !line.starts_with('#') && line.ends_with(" 1")
    };
    metrics.lines().any(says)
}

/// The engine's settings.
struct EngineConfig {
    name: String,
    consensus: ConsensusConfig,
    sync: ValueSyncConfig,
}

impl EngineConfig {
    fn new(name: String) -> Self {
        let consensus = ConsensusConfig {
            value_payload: ValuePayload::ProposalAndParts,
            ..ConsensusConfig::default()
        };
        let sync = ValueSyncConfig {
            status_update_interval: STATUS_INTERVAL,
            request_timeout: SYNC_REQUEST_TIMEOUT,
            batch_size: SYNC_BATCH,
            ..ValueSyncConfig::default()
        };
        Self {
            name,
            consensus,
            sync,
        }
    }
}

impl NodeConfig for EngineConfig {
    fn moniker(&self) -> &str {
        &self.name
    }
    fn consensus(&self) -> &ConsensusConfig {
        &self.consensus
    }
    fn consensus_mut(&mut self) -> &mut ConsensusConfig {
        &mut self.consensus
    }
    fn value_sync(&self) -> &ValueSyncConfig {
        &self.sync
    }
    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.sync
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arc_malachitebft_app_channel::app::metrics::{Metrics, SharedRegistry};

    #[test]
    fn an_engine_that_stopped_for_safety_is_noticed() {
        let engine = Metrics::register(&SharedRegistry::global().with_moniker("test"));
        assert!(!stopped_for_safety(&metrics_text()));
        engine.set_safety_failure();
        assert!(stopped_for_safety(&metrics_text()), "{}", metrics_text());
    }
}
