//! What the demo makes before anything starts: keys, genesis, configuration files, and `demo.json` for outside tools.

use super::certificates::Authority;
use super::cluster::Process;
use super::files::{write_public, write_secret};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use tegata_consent::cbor;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::Validator;
use tegata_consent::ids::Nonce;
use tegata_consent::organisation::{Asks, Issues, Name, Organisation, Role, Service};
use tegata_consent::state::Parameters;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_service::auth::token_digest;
use tegata_service::clock;
use tegata_service::keys::{load_organisation_keys, write_new};

/// How many validators, and operators, the demo has.
pub const VALIDATORS: usize = 4;
/// First of the ports that the demo uses, one after the other, unless told otherwise.
pub const PORT: u16 = 7400;
const PORTS: u16 = 24;

/// `DIR/demo.json`: everything that outside tools need to attach.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Demo {
    /// The ledger, hexadecimal.
    pub chain: String,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Nodes of the ledger.
    pub ledger: Vec<String>,
    /// The wallet; null where none is served.
    pub wallet: Option<String>,
    /// The vault host.
    pub host: String,
    /// Services by name.
    pub services: BTreeMap<String, ServiceAddress>,
    /// First of the ports.
    pub port: u16,
}

/// One service of an organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// Its organisation's id, hexadecimal.
    pub organisation: String,
    /// Base URL.
    pub url: String,
    /// Bearer token of the organisation's own systems; absent where there are none.
    pub token: Option<String>,
}

/// Why the demo could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A key file.
    #[error("keys: {0}")]
    Keys(String),
    /// `demo.json` is not one.
    #[error("{path}: {error}. Remove the directory to start afresh")]
    NotADemo {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
    /// Addresses are in the registry and in keys: they stay as they were chosen.
    #[error(
        "the demo in {dir} has the ports from {chosen} on, chosen at its first start: leave --port out, or choose another directory \
         with --dir"
    )]
    OtherPort {
        /// Its directory.
        dir: PathBuf,
        /// First of its ports.
        chosen: u16,
    },
    /// Ports are taken.
    #[error("port {port} is taken: end what uses it, or choose others with --port")]
    Port {
        /// Which.
        port: u16,
    },
}

/// Who takes part, and in which processes.
struct Member {
    name: &'static str,
    ja: &'static str,
    en: &'static str,
    issues: &'static [&'static str],
    asks: &'static [(&'static str, &'static [&'static str], u32)],
    /// Role and offset of the port.
    services: &'static [(Role, u16)],
}

const CHECKUPS: &[&str] = &[
    "hip_dislocation_screening",
    "infant_checkup_3_4_months",
    "infant_checkup_9_10_months",
    "infant_checkup_18_months",
    "dental_checkup_2_years",
    "infant_checkup_3_years",
    "vaccination",
];

/// Made-up organisations of a made-up town.
const MEMBERS: &[Member] = &[
    Member {
        name: "host",
        ja: "あんしん保管センター",
        en: "Anshin Vault Host",
        issues: &[],
        asks: &[],
        services: &[(Role::Host, 13)],
    },
    Member {
        name: "municipality",
        ja: "わかば市 子ども家庭課",
        en: "Wakaba City, Children and Families",
        issues: CHECKUPS,
        asks: &[],
        services: &[(Role::Issuer, 14)],
    },
    Member {
        name: "clinic",
        ja: "みどり小児科クリニック",
        en: "Midori Children's Clinic",
        issues: &["vaccination"],
        asks: &[("care", &["infant_checkup", "vaccination"], 1825)],
        services: &[(Role::Issuer, 15), (Role::Verifier, 16)],
    },
    Member {
        name: "test-centre",
        ja: "みなと検査センター",
        en: "Minato Test Centre",
        issues: &["laboratory_result"],
        asks: &[],
        services: &[(Role::Issuer, 17)],
    },
    Member {
        name: "insurer",
        ja: "ひだまり保険",
        en: "Hidamari Insurance",
        issues: &[],
        asks: &[("payout", &["laboratory"], 1825)],
        services: &[(Role::Verifier, 18)],
    },
];

impl Demo {
    /// Reads `demo.json`, or makes everything that it names. A file that is missing is made again, so that a setup that was
    /// interrupted goes on. `wallet`: whether one is served this time.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn load_or_create(
        dir: &Path,
        port: Option<u16>,
        wallet: bool,
        rng: &mut StdRng,
    ) -> Result<Self, SetupError> {
        let path = dir.join("demo.json");
        let mut demo = if path.exists() {
            Self::load(dir, &path, port)?
        } else {
            Self::create(dir, port.unwrap_or(PORT), rng)?
        };
        demo.wallet = wallet.then(|| wallet_url(demo.port));
        let text = serde_json::to_string_pretty(&demo).expect("plain data");
        write_secret(&path, text.as_bytes()).map_err(|error| SetupError::File { path, error })?;
        Ok(demo)
    }

    fn load(dir: &Path, path: &Path, port: Option<u16>) -> Result<Self, SetupError> {
        let text = std::fs::read(path).map_err(|error| SetupError::File {
            path: path.to_owned(),
            error,
        })?;
        let demo: Self = serde_json::from_slice(&text).map_err(|error| SetupError::NotADemo {
            path: path.to_owned(),
            error,
        })?;
        match port {
            Some(port) if port != demo.port => Err(SetupError::OtherPort {
                dir: dir.to_owned(),
                chosen: demo.port,
            }),
            _ => Ok(demo),
        }
    }

    fn create(dir: &Path, port: u16, rng: &mut StdRng) -> Result<Self, SetupError> {
        for taken in port..port + PORTS {
            TcpListener::bind(("127.0.0.1", taken))
                .map_err(|_| SetupError::Port { port: taken })?;
        }
        let genesis = make_genesis(dir, rng)?;
        let url = |offset: u16| format!("http://127.0.0.1:{}", port + offset);
        let mut demo = Self {
            chain: genesis.chain_id().to_string(),
            genesis: dir.join("genesis.json"),
            ledger: (0..4).map(|node| url(node + 1)).collect(),
            wallet: None,
            host: url(13),
            services: BTreeMap::new(),
            port,
        };
        for node in 0..VALIDATORS {
            let text = node_config(dir, node, port)?;
            save(&dir.join(format!("node{node}/node.toml")), &text)?;
        }
        let authority = Authority::load_or_create(dir, rng)?;
        for member in MEMBERS {
            let folder = dir.join(member.name);
            let keys = organisation_keys(&folder.join("keys.json"), rng)?;
            let urls: Vec<String> = member
                .services
                .iter()
                .map(|(_, offset)| url(*offset))
                .collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let es256 = SigningKey::from_bytes(Algorithm::Es256, keys.credential_es256.expose())
                .map_err(|error| SetupError::Keys(error.to_string()))?;
            authority.certify(dir, member.name, member.en, &urls, &es256.public_key(), rng)?;
            for (role, offset) in member.services {
                let token = URL_SAFE_NO_PAD.encode(rng.random::<[u8; 24]>());
                let text = service_config(member, *role, &url(*offset), &token, &demo);
                save(&folder.join(file_name(*role)), &text)?;
                let address = ServiceAddress {
                    organisation: keys.organisation_id().to_string(),
                    url: url(*offset),
                    token: (*role != Role::Host).then_some(token),
                };
                demo.services.insert(process_name(member, *role), address);
            }
        }
        let policy = |number: u32| {
            format!(
                "[P-{number}]\namount = {}\ncurrency = \"JPY\"\n",
                30_000 + 10_000 * u64::from(number % 5)
            )
        };
        save(
            &dir.join("insurer/policies.toml"),
            &(1000..2000).map(policy).collect::<String>(),
        )?;
        let hosts = serde_json::json!([{ "name": { "ja": MEMBERS[0].ja, "en": MEMBERS[0].en }, "url": demo.host }]);
        let wallet = serde_json::json!({ "genesis": URL_SAFE_NO_PAD.encode(cbor::encode(&genesis)), "hosts": hosts, "ledgers": demo.ledger });
        save(&dir.join("wallet/config.json"), &wallet.to_string())?;
        Ok(demo)
    }

    /// All processes, in the order in which they start.
    #[must_use]
    pub fn processes(&self, dir: &Path, wallet_files: Option<&Path>) -> Vec<Process> {
        let process = |name: String, command: &str, config: PathBuf, url: String| Process {
            name,
            arguments: vec![
                command.to_owned(),
                "--config".to_owned(),
                config.display().to_string(),
            ],
            url,
        };
        let node = |(node, url): (usize, &String)| {
            process(
                format!("node{node}"),
                "node",
                dir.join(format!("node{node}/node.toml")),
                url.clone(),
            )
        };
        let mut all: Vec<_> = self.ledger.iter().enumerate().map(node).collect();
        for member in MEMBERS {
            for (role, _) in member.services {
                let name = process_name(member, *role);
                let command = command(*role);
                let url = self.services[&name].url.clone();
                all.push(process(
                    name,
                    command,
                    dir.join(member.name).join(file_name(*role)),
                    url,
                ));
            }
        }
        if let Some(files) = wallet_files {
            let listen = format!("127.0.0.1:{}", self.port);
            let config = dir.join("wallet/config.json").display().to_string();
            let arguments = [
                "wallet",
                "--files",
                &files.display().to_string(),
                "--config",
                &config,
                "--listen",
                &listen,
            ];
            let arguments = arguments.map(str::to_owned).to_vec();
            all.push(Process {
                name: "wallet".into(),
                arguments,
                url: format!("http://{listen}"),
            });
        }
        all
    }

    /// What a quorum of operators registers, from the files of the demo.
    ///
    /// # Errors
    /// [`SetupError::Keys`].
    pub fn organisations(&self, dir: &Path) -> Result<Vec<Organisation>, SetupError> {
        let organisation = |member: &Member| {
            let path = dir.join(member.name).join("keys.json");
            let keys = load_organisation_keys(&path)
                .map_err(|error| SetupError::Keys(error.to_string()))?;
            let mut services: Vec<_> = member
                .services
                .iter()
                .map(|(role, _)| Service {
                    role: *role,
                    url: self.services[&process_name(member, *role)].url.clone(),
                })
                .collect();
            services.sort_by_key(|service| service.role);
            let issues = |kind: &&str| Issues {
                record_type: (*kind).to_owned(),
                from_ms: 0,
                until_ms: None,
            };
            let asks = |(purpose, categories, days): &(&str, &[&str], u32)| Asks {
                purpose: (*purpose).to_owned(),
                categories: categories
                    .iter()
                    .map(|category| (*category).to_owned())
                    .collect(),
                retention_max_days: *days,
            };
            Ok(Organisation {
                name: Name {
                    ja: member.ja.to_owned(),
                    en: member.en.to_owned(),
                },
                roles: services.iter().map(|service| service.role).collect(),
                services,
                did: format!("did:web:{}.wakaba.example", member.name),
                keys: keys.public_keys(0),
                issues: member.issues.iter().map(issues).collect(),
                asks: member.asks.iter().map(asks).collect(),
            })
        };
        MEMBERS.iter().map(organisation).collect()
    }
}

/// Where an operator's key lies.
#[must_use]
pub fn operator_key(dir: &Path, operator: usize) -> PathBuf {
    dir.join(format!("operators/operator{operator}.key"))
}

fn make_genesis(dir: &Path, rng: &mut StdRng) -> Result<Genesis, SetupError> {
    let path = dir.join("genesis.json");
    if path.exists() {
        return tegata_service::genesis::load(&path)
            .map_err(|error| SetupError::Keys(error.to_string()));
    }
    let mut validators = Vec::new();
    let mut operators = Vec::new();
    let mut peers = Vec::new();
    for node in 0..VALIDATORS {
        let folder = dir.join(format!("node{node}"));
        let _ = std::fs::remove_dir_all(&folder); // of a setup that was interrupted before it had a genesis
        let keys = tegata_ledger::init(&folder, rng)
            .map_err(|error| SetupError::Keys(error.to_string()))?;
        validators.push(Validator {
            key: keys.consensus,
            power: 1,
        });
        peers.push(keys.network.to_string());
        let seed: [u8; 32] = rng.random();
        let path = operator_key(dir, node);
        write_secret(&path, hex::encode(seed).as_bytes())
            .map_err(|error| SetupError::File { path, error })?;
        operators.push(tegata_consent::cose::public_key(
            &ed25519_dalek::SigningKey::from_bytes(&seed),
        ));
    }
    save(
        &dir.join("peers.json"),
        &serde_json::to_string(&peers).expect("plain data"),
    )?;
    let genesis = Genesis {
        name: "Wakaba demo".into(),
        time_ms: clock::now_ms() - 1000,
        nonce: Nonce(rng.random()),
        validators,
        operators,
        parameters: Parameters {
            sponsor_entries_per_hour: 100_000,
        },
    };
    tegata_service::genesis::save(&path, &genesis)
        .map_err(|error| SetupError::Keys(error.to_string()))?;
    Ok(genesis)
}

fn organisation_keys(
    path: &Path,
    rng: &mut StdRng,
) -> Result<tegata_service::keys::OrganisationKeys, SetupError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| SetupError::File {
            path: folder.to_owned(),
            error,
        })?;
    }
    let keys = if path.exists() {
        load_organisation_keys(path)
    } else {
        write_new(path, rng)
    };
    keys.map_err(|error| SetupError::Keys(error.to_string()))
}

/// Where the wallet is, or would be. Passkeys want a name, not an address.
#[must_use]
pub fn wallet_url(port: u16) -> String {
    format!("http://localhost:{port}")
}

fn node_config(dir: &Path, node: usize, port: u16) -> Result<String, SetupError> {
    let wallet = wallet_url(port);
    let path = dir.join("peers.json");
    let text = std::fs::read(&path).map_err(|error| SetupError::File {
        path: path.clone(),
        error,
    })?;
    let keys: Vec<String> =
        serde_json::from_slice(&text).map_err(|error| SetupError::NotADemo { path, error })?;
    let port_of = |offset: usize| port + u16::try_from(offset).expect("a handful of nodes");
    let mut text = format!(
        "name = \"node{node}\"\nhome = \".\"\ngenesis = \"../genesis.json\"\nconsensus_key = \"consensus.key\"\nnetwork_key = \"network.key\"\n\
         consensus_listen = \"127.0.0.1:{}\"\nmempool_listen = \"127.0.0.1:{}\"\n",
        port_of(5 + node),
        port_of(9 + node),
    );
    let http = format!("127.0.0.1:{}", port_of(1 + node));
    text += &format!(
        "\n[http]\nlisten = \"{http}\"\npublic_url = \"http://{http}\"\ncors_origins = [\"{wallet}\"]\n"
    );
    for (peer, key) in keys.iter().enumerate().filter(|(peer, _)| *peer != node) {
        text += &format!(
            "\n[[peers]]\nnetwork_key = \"{key}\"\nconsensus = \"127.0.0.1:{}\"\nmempool = \"127.0.0.1:{}\"\n",
            port_of(5 + peer),
            port_of(9 + peer),
        );
    }
    Ok(text)
}

fn service_config(member: &Member, role: Role, url: &str, token: &str, demo: &Demo) -> String {
    let listen = url.trim_start_matches("http://");
    let urls = serde_json::to_string(&demo.ledger).expect("plain data");
    let name = command(role);
    let wallet = wallet_url(demo.port);
    let mut text = format!("data = \"{name}-data\"\nkeys = \"keys.json\"\n");
    if role != Role::Host {
        text += &format!("wallet_url = \"{wallet}\"\n");
    }
    text += &format!(
        "\n[http]\nlisten = \"{listen}\"\npublic_url = \"{url}\"\ncors_origins = [\"{wallet}\"]\n\n[ledger]\nurls = {urls}\ngenesis = \"../genesis.json\"\n",
    );
    if role != Role::Host {
        text += &format!(
            "\n[tokens]\n\"own-systems\" = \"{}\"\n",
            token_digest(token)
        );
    }
    if role == Role::Issuer {
        text += &format!(
            "\n[openid4vci]\ncertificates = \"certificates.pem\"\n\n[[openid4vci.clients]]\nid = \"{wallet}\"\nname = \"おためしウォレット\"\nredirect_uris = [\"{wallet}/openid4vci\"]\n",
        );
    }
    if role == Role::Verifier {
        text += "\n[presentations]\ncertificates = \"certificates.pem\"\n";
    }
    if member.name == "insurer" {
        text += PAYOUT_RULE;
    }
    text
}

/// A positive result pays what the policy says: configuration, not code.
const PAYOUT_RULE: &str = r#"
[payout]
policies_file = "policies.toml"

[[payout.rules]]
name = "positive-test"
record_type = "laboratory_result"
purpose = "payout"
conditions = [{ pointer = "/result", equals = "positive" }]
"#;

fn file_name(role: Role) -> String {
    format!("{}.toml", command(role))
}

const fn command(role: Role) -> &'static str {
    match role {
        Role::Host => "vault",
        Role::Issuer => "issuer",
        Role::Verifier => "verifier",
        Role::Validator => "node",
        Role::Auditor => "audit",
    }
}

fn process_name(member: &Member, role: Role) -> String {
    if role == Role::Host {
        member.name.to_owned()
    } else {
        format!("{}-{}", member.name, command(role))
    }
}

fn save(path: &Path, text: &str) -> Result<(), SetupError> {
    write_public(path, text.as_bytes()).map_err(|error| SetupError::File {
        path: path.to_owned(),
        error,
    })
}
