//! Our own network actor: one libp2p swarm for consensus and catch-up, closed to strangers by [`crate::p2p::allow_list`].

use super::ConsensusError;
use super::codec::WireCodec;
use super::context::{Ledger, Part};
use crate::p2p::{Peer, allow_list};
use arc_malachitebft_app_channel::app::consensus::{LivenessMsg, SignedConsensusMsg};
use arc_malachitebft_app_channel::app::engine::network::{
    Msg, NetworkEvent, NetworkRef, PersistentPeerError, Status,
};
use arc_malachitebft_app_channel::app::engine::util::output_port::OutputPort;
use arc_malachitebft_app_channel::app::streaming::StreamMessage;
use arc_malachitebft_app_channel::app::types::codec::Codec;
use arc_malachitebft_app_channel::app::types::{PeerId, sync};
use arc_malachitebft_network::Channel;
use arc_malachitebft_sync::{
    InboundRequestId, OutboundFailureReason, OutboundRequestId, RawRequest, RawResponse,
};
use bytes::Bytes;
use futures::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport, ResponseChannel};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, allow_block_list, noise, ping, tcp, yamux};
use ractor::{Actor, ActorProcessingErr, ActorRef, async_trait};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

const CONSENSUS: usize = 0;
const PARTS: usize = 1;
const LIVENESS: usize = 2;
const STATUS: usize = 3;
const TOPICS: [&str; 4] = [
    "tegata/consensus/1",
    "tegata/parts/1",
    "tegata/liveness/1",
    "tegata/status/1",
];
const MESSAGE_LIMIT: usize = 512 * 1024;
const PORT_CAPACITY: usize = 4096;
const REDIAL: Duration = Duration::from_millis(500);
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// What the actor is made of.
pub(super) struct NetworkParts {
    pub(super) key: Keypair,
    pub(super) listen: Multiaddr,
    pub(super) peers: Vec<Peer>,
    /// Told what is known of the other validators.
    pub(super) others: watch::Sender<Others>,
    /// Told why, if the swarm ends.
    pub(super) fatal: mpsc::Sender<ConsensusError>,
}

/// What is known of the other validators.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Others {
    /// How many are connected and listen.
    pub(super) here: usize,
    /// The highest tip that any has told.
    pub(super) tip: u64,
}

/// Starts the actor.
pub(super) async fn spawn(parts: NetworkParts) -> Result<NetworkRef<Ledger>, ConsensusError> {
    let me = ours(&parts.key.public().to_peer_id())?;
    let swarm = make_swarm(&parts)?;
    let spawned = Actor::spawn(None, Network { me }, (parts, swarm)).await;
    spawned
        .map(|(actor, _)| actor)
        .map_err(|error| ConsensusError::Network(error.to_string()))
}

struct Network {
    me: PeerId,
}

struct NetworkState {
    commands: mpsc::UnboundedSender<Command>,
    port: Arc<OutputPort<NetworkEvent<Ledger>>>,
    known: Arc<Mutex<Known>>,
}

/// What a late subscriber must be told first.
#[derive(Default)]
struct Known {
    listening: Vec<Multiaddr>,
    connected: BTreeSet<PeerId>,
    syncing: BTreeSet<PeerId>,
}

enum Command {
    Publish(usize, Bytes),
    Request(libp2p::PeerId, Bytes, oneshot::Sender<String>),
    Respond(InboundRequestId, Option<Bytes>),
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    gossip: gossipsub::Behaviour,
    sync: request_response::cbor::Behaviour<RawRequest, RawResponse>,
    ping: ping::Behaviour,
}

#[async_trait]
impl Actor for Network {
    type Msg = Msg<Ledger>;
    type State = NetworkState;
    type Arguments = (NetworkParts, Swarm<Behaviour>);

    async fn pre_start(
        &self,
        _: ActorRef<Msg<Ledger>>,
        (parts, swarm): Self::Arguments,
    ) -> Result<NetworkState, ActorProcessingErr> {
        let (commands, received) = mpsc::unbounded_channel();
        let port = Arc::new(OutputPort::with_capacity(PORT_CAPACITY));
        let known = Arc::new(Mutex::new(Known::default()));
        let wire = Wire {
            swarm,
            port: port.clone(),
            known: known.clone(),
            others: parts.others,
            inbound: HashMap::new(),
        };
        let fatal = parts.fatal;
        tokio::spawn(async move {
            if let Err(error) = wire.run(parts.peers, received).await {
                // A closed channel means that the node is ending already.
                let _ = fatal.send(error).await;
            }
        });
        Ok(NetworkState {
            commands,
            port,
            known,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Msg<Ledger>>,
        message: Msg<Ledger>,
        state: &mut NetworkState,
    ) -> Result<(), ActorProcessingErr> {
        let codec = WireCodec;
        let send = |command| state.commands.send(command).map_err(|_| "the swarm ended");
        match message {
            Msg::Subscribe(subscriber) => {
                subscriber.subscribe_to_port(&state.port);
                let known = lock(&state.known);
                known
                    .listening
                    .iter()
                    .for_each(|address| subscriber.send(NetworkEvent::Listening(address.clone())));
                known
                    .connected
                    .iter()
                    .for_each(|peer| subscriber.send(NetworkEvent::PeerConnected(*peer)));
                known.syncing.iter().for_each(|peer| {
                    subscriber.send(NetworkEvent::PeerSubscribed(*peer, Channel::Sync))
                });
            }
            Msg::PublishConsensusMsg(message) => {
                send(Command::Publish(CONSENSUS, codec.encode(&message)?))?
            }
            Msg::PublishProposalPart(message) => {
                send(Command::Publish(PARTS, codec.encode(&message)?))?
            }
            Msg::PublishLivenessMsg(message) => {
                send(Command::Publish(LIVENESS, codec.encode(&message)?))?
            }
            Msg::BroadcastStatus(status) => {
                let Status {
                    tip_height,
                    history_min_height,
                } = status;
                let status = sync::Status::<Ledger> {
                    peer_id: self.me,
                    tip_height,
                    history_min_height,
                };
                send(Command::Publish(STATUS, codec.encode(&status)?))?;
            }
            Msg::OutgoingRequest(peer, request, reply) => {
                let (sender, receiver) = oneshot::channel();
                send(Command::Request(
                    theirs(&peer)?,
                    codec.encode(&request)?,
                    sender,
                ))?;
                // Whoever asked may have stopped waiting.
                let _ = reply.send(OutboundRequestId::new(receiver.await?));
            }
            Msg::OutgoingResponse(id, response) => {
                send(Command::Respond(id, Some(codec.encode(&response)?)))?
            }
            Msg::CancelInboundRequest(id) => send(Command::Respond(id, None))?,
            Msg::DumpState(reply) => {
                let _ = reply.send(None);
            }
            Msg::UpdatePersistentPeers(_, reply) => {
                let _ = reply.send(Err(PersistentPeerError::NotFound));
            }
            Msg::CancelRequest(_)
            | Msg::UpdateValidatorSet(_)
            | Msg::ValidatorProofVerified { .. }
            | Msg::NewEvent(_) => {}
        }
        Ok(())
    }
}

fn make_swarm(parts: &NetworkParts) -> Result<Swarm<Behaviour>, ConsensusError> {
    let failed = |error: String| ConsensusError::Network(error);
    let gossip = gossipsub::ConfigBuilder::default()
        .max_transmit_size(MESSAGE_LIMIT)
        .flood_publish(true)
        .validation_mode(ValidationMode::Strict)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let gossip = gossipsub::Behaviour::new(MessageAuthenticity::Signed(parts.key.clone()), gossip)
        .map_err(|error| failed(error.to_owned()))?;
    let protocols = [(StreamProtocol::new("/tegata/sync/1"), ProtocolSupport::Full)];
    let sync = request_response::Config::default().with_request_timeout(SYNC_TIMEOUT);
    let behaviour = Behaviour {
        allowed: allow_list(&parts.peers),
        gossip,
        sync: request_response::cbor::Behaviour::new(protocols, sync),
        ping: ping::Behaviour::default(),
    };
    let mut swarm = libp2p::SwarmBuilder::with_existing_identity(parts.key.clone())
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
    for topic in TOPICS {
        swarm
            .behaviour_mut()
            .gossip
            .subscribe(&IdentTopic::new(topic))
            .map_err(|error| failed(error.to_string()))?;
    }
    swarm
        .listen_on(parts.listen.clone())
        .map_err(|error| failed(format!("{}: {error}", parts.listen)))?;
    Ok(swarm)
}

/// The swarm at work.
struct Wire {
    swarm: Swarm<Behaviour>,
    port: Arc<OutputPort<NetworkEvent<Ledger>>>,
    known: Arc<Mutex<Known>>,
    others: watch::Sender<Others>,
    inbound: HashMap<InboundRequestId, ResponseChannel<RawResponse>>,
}

impl Wire {
    async fn run(
        mut self,
        peers: Vec<Peer>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), ConsensusError> {
        let topics = TOPICS.map(|topic| IdentTopic::new(topic).hash());
        let mut redial = tokio::time::interval(REDIAL);
        loop {
            tokio::select! {
                _ = redial.tick() => for peer in &peers {
                    if !self.swarm.is_connected(&peer.id) {
                        // A dial under way already, or a peer that is down: the next tick tries again.
                        let _ = self.swarm.dial(peer.address.clone());
                    }
                },
                command = commands.recv() => match command {
                    None => return Ok(()),
                    Some(command) => self.obey(command, &topics),
                },
                event = self.swarm.select_next_some() => self.notice(event, &topics)?,
            }
        }
    }

    fn obey(&mut self, command: Command, topics: &[gossipsub::TopicHash; 4]) {
        match command {
            Command::Publish(topic, bytes) => {
                // Without a peer nobody hears it; consensus sends again what matters (rebroadcast).
                if let Err(error) = self
                    .swarm
                    .behaviour_mut()
                    .gossip
                    .publish(topics[topic].clone(), bytes)
                {
                    tracing::debug!(%error, topic = TOPICS[topic], "not published");
                }
            }
            Command::Request(peer, bytes, reply) => {
                let id = self
                    .swarm
                    .behaviour_mut()
                    .sync
                    .send_request(&peer, RawRequest(bytes));
                let _ = reply.send(id.to_string());
            }
            Command::Respond(id, bytes) => {
                if let (Some(channel), Some(bytes)) = (self.inbound.remove(&id), bytes) {
                    // The peer may have gone; it will ask again.
                    let _ = self
                        .swarm
                        .behaviour_mut()
                        .sync
                        .send_response(channel, RawResponse(bytes));
                }
            }
        }
    }

    fn notice(
        &mut self,
        event: SwarmEvent<BehaviourEvent>,
        topics: &[gossipsub::TopicHash; 4],
    ) -> Result<(), ConsensusError> {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                lock(&self.known).listening.push(address.clone());
                self.port.send(NetworkEvent::Listening(address));
            }
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            }
            | SwarmEvent::ListenerError { error, .. } => {
                return Err(ConsensusError::Network(format!("listener: {error}")));
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                num_established,
                ..
            } if num_established.get() == 1 => {
                let peer = ours(&peer_id)?;
                tracing::info!(%peer, "validator connected");
                lock(&self.known).connected.insert(peer);
                self.port.send(NetworkEvent::PeerConnected(peer));
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => {
                let peer = ours(&peer_id)?;
                tracing::info!(%peer, "validator gone");
                let mut known = lock(&self.known);
                known.connected.remove(&peer);
                known.syncing.remove(&peer);
                let here = known.syncing.len();
                drop(known);
                self.others.send_modify(|others| others.here = here);
                self.port.send(NetworkEvent::PeerDisconnected(peer));
            }
            SwarmEvent::IncomingConnectionError {
                error,
                send_back_addr,
                ..
            } => {
                metrics::counter!("ledger_connections_refused_total", "swarm" => "consensus")
                    .increment(1);
                tracing::warn!(%send_back_addr, %error, "incoming connection refused");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed {
                peer_id,
                topic,
            })) if topic == topics[STATUS] => {
                let peer = ours(&peer_id)?;
                let mut known = lock(&self.known);
                let (new, here) = (known.syncing.insert(peer), known.syncing.len());
                drop(known);
                if new {
                    self.others.send_modify(|others| others.here = here);
                    self.port
                        .send(NetworkEvent::PeerSubscribed(peer, Channel::Sync));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message,
                ..
            })) => {
                let from = ours(&propagation_source)?;
                let publisher = message.source.as_ref().map(ours).transpose()?;
                let topic = topics.iter().position(|topic| *topic == message.topic);
                if let Err(error) = self.hear(topic, from, publisher, message.data.into()) {
                    tracing::warn!(%from, %error, "malformed message");
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.synchronise(event)?,
            _ => {}
        }
        Ok(())
    }

    fn hear(
        &self,
        topic: Option<usize>,
        from: PeerId,
        publisher: Option<PeerId>,
        bytes: Bytes,
    ) -> Result<(), std::io::Error> {
        let codec = WireCodec;
        match topic {
            Some(CONSENSUS) => match Codec::<SignedConsensusMsg<Ledger>>::decode(&codec, bytes)? {
                SignedConsensusMsg::Vote(vote) => self.port.send(NetworkEvent::Vote(from, vote)),
                SignedConsensusMsg::Proposal(proposal) => {
                    self.port.send(NetworkEvent::Proposal(from, proposal))
                }
            },
            Some(PARTS) => {
                let part = Codec::<StreamMessage<Part>>::decode(&codec, bytes)?;
                self.port
                    .send(NetworkEvent::ProposalPart(from, publisher, part));
            }
            Some(LIVENESS) => match Codec::<LivenessMsg<Ledger>>::decode(&codec, bytes)? {
                LivenessMsg::Vote(vote) => self.port.send(NetworkEvent::Vote(from, vote)),
                LivenessMsg::PolkaCertificate(polka) => {
                    self.port.send(NetworkEvent::PolkaCertificate(from, polka))
                }
                LivenessMsg::SkipRoundCertificate(round) => {
                    self.port.send(NetworkEvent::RoundCertificate(from, round))
                }
            },
            Some(STATUS) => {
                let status = Codec::<sync::Status<Ledger>>::decode(&codec, bytes)?;
                if Some(status.peer_id) == publisher {
                    let tip = status.tip_height.0;
                    self.others.send_if_modified(|others| {
                        let higher = tip > others.tip;
                        others.tip = others.tip.max(tip);
                        higher
                    });
                    let told = Status::new(status.tip_height, status.history_min_height);
                    self.port.send(NetworkEvent::Status(status.peer_id, told));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn synchronise(
        &mut self,
        event: request_response::Event<RawRequest, RawResponse>,
    ) -> Result<(), ConsensusError> {
        use request_response::{Event, Message};
        let codec = WireCodec;
        match event {
            Event::Message {
                peer,
                message:
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    },
                ..
            } => {
                let peer = ours(&peer)?;
                match Codec::<sync::Request<Ledger>>::decode(&codec, request.0) {
                    Ok(request) => {
                        let id = InboundRequestId::new(request_id);
                        self.inbound.insert(id.clone(), channel);
                        self.port.send(NetworkEvent::SyncRequest(id, peer, request));
                    }
                    Err(error) => tracing::warn!(%peer, %error, "malformed sync request"),
                }
            }
            Event::Message {
                peer,
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => {
                let response = Codec::<sync::Response<Ledger>>::decode(&codec, response.0).ok();
                self.port.send(NetworkEvent::SyncResponse(
                    OutboundRequestId::new(request_id),
                    ours(&peer)?,
                    response,
                ));
            }
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::info!(%peer, %error, "sync request failed");
                let id = OutboundRequestId::new(request_id);
                self.port.send(NetworkEvent::SyncRequestFailed(
                    id,
                    ours(&peer)?,
                    OutboundFailureReason::Io,
                ));
            }
            Event::InboundFailure {
                peer, request_id, ..
            } => {
                let id = InboundRequestId::new(request_id);
                self.inbound.remove(&id);
                self.port
                    .send(NetworkEvent::SyncInboundRequestFailed(id, ours(&peer)?));
            }
            Event::ResponseSent { .. } => {}
        }
        Ok(())
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ours(peer: &libp2p::PeerId) -> Result<PeerId, ConsensusError> {
    PeerId::from_bytes(&peer.to_bytes())
        .map_err(|error| ConsensusError::Network(format!("peer id {peer}: {error}")))
}

fn theirs(peer: &PeerId) -> Result<libp2p::PeerId, ConsensusError> {
    libp2p::PeerId::from_bytes(&peer.to_bytes())
        .map_err(|error| ConsensusError::Network(format!("peer id {peer}: {error}")))
}
