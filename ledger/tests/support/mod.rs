//! Four nodes as real processes on loopback, and the people who use them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test uses a part of it, a failure here fails the test, and keys are drawn here"
)]

pub(crate) mod client;
pub(crate) mod people;

use client::Client;
use ed25519_dalek::SigningKey;
use people::People;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::Validator;
use tegata_consent::ids::{ChainId, Nonce};
use tegata_consent::state::Parameters;
use tegata_ledger::config::{NodeKeys, init};
use tegata_service::clock::now_ms;

/// Four nodes.
pub(crate) struct Cluster {
    pub(crate) genesis: Genesis,
    pub(crate) chain: ChainId,
    pub(crate) people: People,
    pub(crate) nodes: Vec<Node>,
    folder: tempfile::TempDir,
}

/// One of them.
pub(crate) struct Node {
    pub(crate) home: PathBuf,
    pub(crate) ports: [u16; 3],
    pub(crate) client: Client,
    process: Option<Child>,
}

impl Cluster {
    /// Makes keys, genesis and configurations; starts nothing.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let people = People::new();
        let homes: Vec<PathBuf> = (0..4)
            .map(|number| folder.path().join(format!("node-{number}")))
            .collect();
        let keys: Vec<NodeKeys> = homes
            .iter()
            .map(|home| init(home, &mut rand::rng()).unwrap())
            .collect();
        let genesis = Genesis {
            name: "Test".to_owned(),
            time_ms: now_ms() - 1_000,
            nonce: Nonce(rand::random()),
            validators: keys
                .iter()
                .map(|keys| Validator {
                    key: keys.consensus,
                    power: 1,
                })
                .collect(),
            operators: people.operator_keys(),
            parameters: Parameters {
                sponsor_entries_per_hour: u32::MAX,
            },
        };
        let genesis_path = folder.path().join("genesis.json");
        tegata_service::genesis::save(&genesis_path, &genesis).unwrap();
        let ports = free_ports();
        for (number, home) in homes.iter().enumerate() {
            std::fs::write(home.join("node.toml"), configuration(number, &ports, &keys)).unwrap();
        }
        let chain = genesis.chain_id();
        let node = |(home, ports): (PathBuf, [u16; 3])| Node {
            home,
            ports,
            client: Client::new(ports[2], &genesis),
            process: None,
        };
        let nodes = homes.into_iter().zip(ports).map(node).collect();
        Self {
            folder,
            chain,
            people,
            nodes,
            genesis,
        }
    }

    /// Starts all nodes and waits until a first block is final.
    pub(crate) async fn start() -> Self {
        let mut cluster = Self::new();
        (0..4).for_each(|number| cluster.nodes[number].start());
        for node in &cluster.nodes {
            node.client.until_height(1, Duration::from_secs(30)).await;
        }
        cluster
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn client(&self, number: usize) -> &Client {
        &self.nodes[number].client
    }
}

impl Node {
    /// Starts the process.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tegata-node"))
            .arg(self.home.join("node.toml"))
            .env_remove("TEGATA_LOG")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.process.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) {
        let mut child = self.process.take().expect("it runs");
        let status = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        let deadline = Instant::now() + Duration::from_secs(15);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the node does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the process ends by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(3_000);
            eprintln!(
                "--- {}:\n{}",
                self.home.display(),
                log.get(tail..).unwrap_or(&log)
            );
        }
    }
}

/// Three ports for each node, all free a moment ago.
fn free_ports() -> Vec<[u16; 3]> {
    let listeners: Vec<TcpListener> = (0..12)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports: Vec<u16> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    ports
        .chunks(3)
        .map(|chunk| [chunk[0], chunk[1], chunk[2]])
        .collect()
}

fn configuration(number: usize, ports: &[[u16; 3]], keys: &[NodeKeys]) -> String {
    let [consensus, mempool, http] = ports[number];
    let mut text = format!(
        "name = \"node-{number}\"\nhome = \".\"\ngenesis = \"../genesis.json\"\nconsensus_key = \"consensus.key\"\n\
         network_key = \"network.key\"\nconsensus_listen = \"127.0.0.1:{consensus}\"\nmempool_listen = \"127.0.0.1:{mempool}\"\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\npublic_url = \"http://127.0.0.1:{http}\"\n[telemetry]\nlog = \"{}\"\n",
        std::env::var("TEST_LOG").unwrap_or_else(|_| "warn,tegata_ledger=info".to_owned())
    );
    for (peer, ([consensus, mempool, _], keys)) in ports.iter().zip(keys).enumerate() {
        if peer != number {
            text += &format!(
                "[[peers]]\nnetwork_key = \"{}\"\nconsensus = \"127.0.0.1:{consensus}\"\nmempool = \"127.0.0.1:{mempool}\"\n",
                keys.network
            );
        }
    }
    text
}

/// A fresh key.
pub(crate) fn fresh_key() -> SigningKey {
    SigningKey::from_bytes(&rand::random())
}
