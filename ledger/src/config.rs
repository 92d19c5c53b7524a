//! A node's configuration and its two keys.

use ed25519_dalek::SigningKey;
use rand::CryptoRng;
use serde::Deserialize;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tegata_consent::cose::public_key;
use tegata_consent::ids::PublicKey;
use tegata_consent::keys::Secret;
use tegata_service::config::{ConfigError, HttpConfig, TelemetryConfig, load, resolve};
use zeroize::Zeroizing;

/// `node.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Name in logs and metrics.
    #[serde(default = "default_name")]
    pub name: String,
    /// Folder of the store and the write-ahead log; only this node writes there.
    pub home: PathBuf,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Seed of the consensus key: 64 hexadecimal digits, mode 0600.
    pub consensus_key: PathBuf,
    /// Seed of the network key: 64 hexadecimal digits, mode 0600.
    pub network_key: PathBuf,
    /// Where other validators reach this one for consensus.
    pub consensus_listen: SocketAddr,
    /// Where other validators reach this one for entries that wait.
    pub mempool_listen: SocketAddr,
    /// The other validators. Nobody else may connect.
    pub peers: Vec<PeerConfig>,
    /// The public API.
    pub http: HttpConfig,
    /// Logs.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// Another validator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its network key, hexadecimal.
    pub network_key: String,
    /// Where it listens for consensus.
    pub consensus: SocketAddr,
    /// Where it listens for entries that wait.
    pub mempool: SocketAddr,
}

fn default_name() -> String {
    "node".to_owned()
}

impl NodeConfig {
    /// Reads a configuration file; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`], naming file and place.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut config: Self = load(path)?;
        for file in [
            &mut config.home,
            &mut config.genesis,
            &mut config.consensus_key,
            &mut config.network_key,
        ] {
            *file = resolve(path, &*file);
        }
        config.http.resolve(path);
        Ok(config)
    }

    /// Folder of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.home.join(STORE_FOLDER)
    }
}

/// Where the store stands within a node's home.
pub(crate) const STORE_FOLDER: &str = "store";

/// Why a key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Others can read the file.
    #[error("{path} can be read by others: run `chmod 600` on it")]
    Permissions {
        /// Which file.
        path: PathBuf,
    },
    /// Not a seed. The text is not repeated: it is secret.
    #[error("{path} does not hold 64 hexadecimal digits")]
    Seed {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads a seed; refuses a file that others can read.
///
/// # Errors
/// [`KeyFileError`].
pub fn load_seed(path: &Path) -> Result<Secret, KeyFileError> {
    let file = |error| KeyFileError::File {
        path: path.to_owned(),
        error,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(path).map_err(file)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Permissions {
                path: path.to_owned(),
            });
        }
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file)?);
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), seed.as_mut_slice()).map_err(|_| KeyFileError::Seed {
        path: path.to_owned(),
    })?;
    Ok(Secret::new(*seed))
}

/// The public halves of a node's keys, for the genesis file and for the other validators' configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeKeys {
    /// Votes and blocks are signed with it.
    pub consensus: PublicKey,
    /// Other validators know this node's connections by it.
    pub network: PublicKey,
}

/// Makes a node's keys: `consensus.key` and `network.key`, new files of mode 0600, synced. Existing files are left alone and
/// an error.
///
/// # Errors
/// [`KeyFileError::File`].
pub fn init(folder: &Path, rng: &mut impl CryptoRng) -> Result<NodeKeys, KeyFileError> {
    std::fs::create_dir_all(folder).map_err(|error| KeyFileError::File {
        path: folder.to_owned(),
        error,
    })?;
    let consensus = write_seed(&folder.join("consensus.key"), rng)?;
    let network = write_seed(&folder.join("network.key"), rng)?;
    Ok(NodeKeys { consensus, network })
}

fn write_seed(path: &Path, rng: &mut impl CryptoRng) -> Result<PublicKey, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    let text = Zeroizing::new(hex::encode(seed.as_slice()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(path)?;
        writeln!(file, "{}", text.as_str())?;
        file.sync_all()
    };
    write().map_err(|error| KeyFileError::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(public_key(&SigningKey::from_bytes(&seed)))
}
