//! Entries on their way between validators, in a swarm of their own, so that a flood of them cannot starve consensus.
//!
//! Each node sends its own clients' entries to every other; nobody passes on what came from others. What still waits is sent
//! again, to whoever comes back and once a second. What arrives is parsed and verified on one thread behind a short queue;
//! what does not fit is dropped.

use crate::mempool::{Admission, Source};
use crate::p2p::{Peer, allow_list};
use crate::shared::Shared;
use futures::StreamExt;
use libp2p::gossipsub::{
    self, IdentTopic, MessageAcceptance, MessageAuthenticity, MessageId, ValidationMode,
};
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, allow_block_list, noise, ping, tcp, yamux};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tegata_consent::cbor;
use tegata_consent::entry::{Entry, NOT_AFTER_MAX_MS, VerifiedEntry};
use tegata_consent::state::StateReader;
use tegata_service::clock::now_ms;
use tokio::sync::mpsc;

const TOPIC: &str = "tegata/mempool/1";
/// Longest message in bytes.
const MESSAGE_LIMIT: usize = 256 * 1024;
/// A message is sent when it has this many bytes of entries.
const BATCH_BYTES: usize = 128 * 1024;
/// Messages follow each other by at least this much, so that a busy node sends few and large ones.
const BATCH_INTERVAL: Duration = Duration::from_millis(8);
/// Own entries that wait to be sent.
const OUTGOING_MAX: usize = 20_000;
/// Messages that wait to be verified.
const INCOMING_MAX: usize = 64;
/// How far another validator's clock may be ahead, in milliseconds.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 2_000;
/// Own entries that have waited this long are sent again, this often.
const RESEND_AFTER: Duration = Duration::from_secs(1);
/// At most this many bytes of them each time.
const RESEND_BYTES: usize = 32 * 1024;
const REDIAL: Duration = Duration::from_millis(500);

/// Why the swarm ended, or did not start.
#[derive(Debug, thiserror::Error)]
#[error("mempool network: {0}")]
pub struct GossipError(String);

/// Hands this node's own entries to the others.
#[derive(Debug, Clone)]
pub struct Gossip(mpsc::Sender<Arc<VerifiedEntry>>);

impl Gossip {
    /// Sends an entry to everybody, unless too many wait already; then it goes out with this node's own block.
    pub fn send(&self, entry: Arc<VerifiedEntry>) {
        if self.0.try_send(entry).is_err() {
            metrics::counter!("ledger_gossip_dropped_total", "direction" => "out").increment(1);
        }
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    gossip: gossipsub::Behaviour,
    ping: ping::Behaviour,
}

/// Opens the swarm. The future ends only if the swarm fails.
///
/// # Errors
/// [`GossipError`] where the address cannot be listened on.
pub(crate) fn start(
    shared: Arc<Shared>,
    key: Keypair,
    listen: &Multiaddr,
    peers: Vec<Peer>,
) -> Result<(Gossip, impl Future<Output = GossipError>), GossipError> {
    let swarm = make_swarm(key, listen, &peers)?;
    let (outgoing, own) = mpsc::channel(OUTGOING_MAX);
    let (incoming, arrived) = mpsc::channel(INCOMING_MAX);
    let verifying = shared.clone();
    tokio::task::spawn_blocking(move || verify_arrivals(&verifying, arrived));
    Ok((
        Gossip(outgoing),
        exchange(shared, swarm, peers, own, incoming),
    ))
}

fn make_swarm(
    key: Keypair,
    listen: &Multiaddr,
    peers: &[Peer],
) -> Result<Swarm<Behaviour>, GossipError> {
    let failed = |error: String| GossipError(error);
    let hasher = RandomState::new();
    let config = gossipsub::ConfigBuilder::default()
        .max_transmit_size(MESSAGE_LIMIT)
        .flood_publish(true)
        .validate_messages()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(move |message| {
            MessageId::from(hasher.hash_one(&message.data).to_be_bytes().to_vec())
        })
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config)
        .map_err(|error| failed(error.to_owned()))?;
    let behaviour = Behaviour {
        allowed: allow_list(peers),
        gossip,
        ping: ping::Behaviour::default(),
    };
    let mut swarm = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| failed(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| failed(error.to_string()))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::MAX))
        .build();
    swarm
        .behaviour_mut()
        .gossip
        .subscribe(&IdentTopic::new(TOPIC))
        .map_err(|error| failed(error.to_string()))?;
    swarm
        .listen_on(listen.clone())
        .map_err(|error| failed(format!("{listen}: {error}")))?;
    Ok(swarm)
}

async fn exchange(
    shared: Arc<Shared>,
    mut swarm: Swarm<Behaviour>,
    peers: Vec<Peer>,
    mut own: mpsc::Receiver<Arc<VerifiedEntry>>,
    incoming: mpsc::Sender<(usize, Vec<u8>)>,
) -> GossipError {
    let topic = IdentTopic::new(TOPIC).hash();
    let mut redial = tokio::time::interval(REDIAL);
    let mut resend = tokio::time::interval(RESEND_AFTER);
    let mut batch = Batch::default();
    loop {
        let due = batch.due();
        tokio::select! {
            _ = redial.tick() => for peer in &peers {
                if !swarm.is_connected(&peer.id) {
                    // A dial under way already, or a peer that is down: the next tick tries again.
                    let _ = swarm.dial(peer.address.clone());
                }
            },
            entry = own.recv(), if batch.has_room() => match entry {
                None => return GossipError("the node ended".to_owned()),
                Some(entry) => batch.add(&entry),
            },
            _ = resend.tick() => batch.add_all(&shared.mempool.own(RESEND_AFTER, RESEND_BYTES)),
            () = tokio::time::sleep_until(due.into()), if !batch.is_empty() => {
                // Without a peer nobody hears it; what waits is sent again.
                if let Err(error) = swarm.behaviour_mut().gossip.publish(topic.clone(), batch.take()) {
                    tracing::debug!(%error, "entries not sent");
                }
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message })) => {
                    // Not passed on: its sender has sent it to everybody.
                    let gossip = &mut swarm.behaviour_mut().gossip;
                    gossip.report_message_validation_result(&message_id, &propagation_source, MessageAcceptance::Ignore);
                    let number = peers.iter().position(|peer| peer.id == propagation_source);
                    if number.is_none_or(|number| incoming.try_send((number, message.data)).is_err()) {
                        metrics::counter!("ledger_gossip_dropped_total", "direction" => "in").increment(1);
                    }
                }
                SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })) => {
                    batch.add_all(&shared.mempool.own(Duration::ZERO, BATCH_BYTES));
                }
                SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                    metrics::counter!("ledger_connections_refused_total", "swarm" => "mempool").increment(1);
                    tracing::warn!(%send_back_addr, %error, "incoming connection refused");
                }
                SwarmEvent::ListenerClosed { reason: Err(error), .. } | SwarmEvent::ListenerError { error, .. } => {
                    return GossipError(format!("listener: {error}"));
                }
                _ => {}
            },
        }
    }
}

/// What one validator sends to another.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Message {
    /// Another one each time, so that entries can be sent again.
    #[n(0)]
    number: u64,
    #[n(1)]
    entries: Vec<ByteVec>,
}

/// Entries of the next message.
struct Batch {
    number: u64,
    entries: Vec<ByteVec>,
    bytes: usize,
    sent: Instant,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            number: now_ms(),
            entries: Vec::new(),
            bytes: 0,
            sent: Instant::now(),
        }
    }
}

impl Batch {
    fn add(&mut self, entry: &VerifiedEntry) {
        self.bytes += entry.bytes().len();
        self.entries.push(entry.bytes().to_vec().into());
    }

    fn add_all(&mut self, entries: &[Arc<VerifiedEntry>]) {
        for entry in entries {
            if self.has_room() {
                self.add(entry);
            }
        }
    }

    const fn has_room(&self) -> bool {
        self.bytes < BATCH_BYTES
    }

    const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When to send: soon after the last message at the earliest, at once when full.
    fn due(&self) -> Instant {
        if self.has_room() {
            self.sent + BATCH_INTERVAL
        } else {
            Instant::now()
        }
    }

    fn take(&mut self) -> Vec<u8> {
        (self.bytes, self.sent) = (0, Instant::now());
        self.number += 1;
        let entries = std::mem::take(&mut self.entries);
        cbor::encode(&Message {
            number: self.number,
            entries,
        })
    }
}

/// Verifies what others sent. Ends with the swarm.
fn verify_arrivals(shared: &Shared, mut arrived: mpsc::Receiver<(usize, Vec<u8>)>) {
    while let Some((peer, message)) = arrived.blocking_recv() {
        let entries = match cbor::decode::<Message>(&message, MESSAGE_LIMIT) {
            Ok(message) => message.entries,
            Err(error) => {
                tracing::warn!(peer, %error, "malformed entries from a validator");
                continue;
            }
        };
        for entry in entries {
            if let Err(why) = admit(shared, peer, &entry) {
                metrics::counter!("ledger_gossip_refused_total", "why" => why).increment(1);
            }
        }
    }
}

/// Puts another validator's entry into the mempool. Whether a block may hold it is asked when a block is built: this node
/// may lag behind the sender.
fn admit(shared: &Shared, peer: usize, bytes: &[u8]) -> Result<(), &'static str> {
    let entry = Entry::parse(bytes).map_err(|_| "malformed")?;
    let now_ms = now_ms();
    let latest_ms = now_ms + NOT_AFTER_MAX_MS + CLOCK_DIFFERENCE_MAX_MS;
    if entry.not_after_ms() < now_ms || entry.not_after_ms() > latest_ms {
        return Err("time");
    }
    let id = entry.id(&shared.chain);
    if shared.mempool.contains(&id) {
        return Ok(());
    }
    let seen = shared.store.view().and_then(|view| view.seen(&id));
    if seen.map_err(|_| "store")? {
        return Ok(());
    }
    let entry = entry.verify(&shared.chain).map_err(|_| "signature")?;
    match shared.mempool.add(Arc::new(entry), Source::Peer(peer)) {
        Admission::Added | Admission::Known => Ok(()),
        Admission::Full => Err("full"),
    }
}
