//! What both swarms (consensus, mempool) share: identities, the allow list, dialling.

use libp2p::allow_block_list::{AllowedPeers, Behaviour};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};
use std::net::SocketAddr;
use tegata_consent::ids::PublicKey;

/// Another validator, as far as one swarm is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) address: Multiaddr,
}

impl Peer {
    /// `None` if the key is not an Ed25519 key.
    pub(crate) fn new(network_key: &PublicKey, address: SocketAddr) -> Option<Self> {
        let id = peer_id(network_key)?;
        Some(Self {
            id,
            address: listen_address(address).with(Protocol::P2p(id)),
        })
    }
}

/// The peer id of a network key.
pub(crate) fn peer_id(network_key: &PublicKey) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(&network_key.0).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// The network key pair of a seed.
pub(crate) fn keypair(seed: &[u8; 32]) -> Keypair {
    let mut seed = *seed;
    Keypair::ed25519_from_bytes(&mut seed).expect("any 32 bytes are an Ed25519 seed")
}

/// A TCP address as libp2p writes it.
pub(crate) fn listen_address(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// Lets in the named peers alone. Everybody else is refused right after the handshake that proves their key, before any
/// protocol runs.
pub(crate) fn allow_list(peers: &[Peer]) -> Behaviour<AllowedPeers> {
    let mut allowed = Behaviour::default();
    for peer in peers {
        allowed.allow_peer(peer.id);
    }
    allowed
}
