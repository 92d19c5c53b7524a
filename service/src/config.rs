//! Configuration files: TOML, unknown keys refused, relative paths relative to the file that names them.

use crate::http::Network;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Longest configuration file in bytes.
const CONFIG_MAX: u64 = 1 << 20;

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Longer than any sensible configuration.
    #[error("{path} is longer than 1 MiB")]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// Not TOML, a value missing, or a key that nobody knows.
    #[error("{path}: {error}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
}

/// Reads a TOML file. Relative paths in it stay as they are: see [`resolve`].
///
/// # Errors
/// [`ConfigError`], naming file and place.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    let path = path.as_ref();
    let read = |error| ConfigError::Read {
        path: path.to_owned(),
        error,
    };
    if std::fs::metadata(path).map_err(read)?.len() > CONFIG_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

/// A path named in the configuration file `base`: absolute ones stay, relative ones are relative to the file's folder.
#[must_use]
pub fn resolve(base: impl AsRef<Path>, path: impl AsRef<Path>) -> PathBuf {
    match base.as_ref().parent() {
        Some(folder) => folder.join(path),
        None => path.as_ref().to_owned(),
    }
}

/// Where and how a service listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The URL under which others reach it, as registered, without a slash at the end: signed requests name it.
    pub public_url: String,
    /// Certificate and key; absent: plain HTTP (behind a proxy, or on loopback).
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Origins whose pages may call this service.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// Proxies whose word is taken for where a request comes from: networks in CIDR notation, or addresses.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// The header in which they say so. The other one is not read: it may come from anybody.
    #[serde(default)]
    pub forwarded_header: ForwardedHeader,
    /// What callers may take.
    #[serde(default)]
    pub limits: HttpLimits,
}

/// In which header a proxy says where a request comes from; it must add itself what it saw, or replace what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    #[serde(rename = "forwarded")]
    Forwarded,
}

/// What callers of a service may take: connections and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Most connections at once. Below what the system lets a process open (`ulimit -n`), which the store needs as well.
    pub connections_max: usize,
    /// Of them, from one address (IPv6: one network of 64 bits); what comes over loopback or from a trusted proxy is not
    /// counted so.
    pub connections_per_address_max: usize,
    /// Until a connection says something, and until a request's head is there, in milliseconds.
    pub head_timeout_ms: u64,
    /// Between two pieces of a body that comes, or of an answer that is taken, in milliseconds.
    pub body_pause_max_ms: u64,
    /// Until an answer begins, in milliseconds; a body that is still coming lengthens it.
    pub answer_timeout_ms: u64,
    /// As fast as that a body must come on the whole, in bytes a second.
    pub body_bytes_per_s_min: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_address_max: 128,
            head_timeout_ms: 15_000,
            body_pause_max_ms: 30_000,
            answer_timeout_ms: 60_000,
            body_bytes_per_s_min: 8 * 1024,
        }
    }
}

/// PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl HttpConfig {
    /// Plain HTTP, nothing else said.
    #[must_use]
    pub fn plain(listen: SocketAddr, public_url: String) -> Self {
        Self {
            listen,
            public_url,
            tls: None,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            limits: HttpLimits::default(),
        }
    }

    /// Makes paths relative to the configuration file `base`.
    pub fn resolve(&mut self, base: impl AsRef<Path>) {
        if let Some(tls) = &mut self.tls {
            tls.certificate = resolve(&base, &tls.certificate);
            tls.key = resolve(&base, &tls.key);
        }
    }
}

/// Which ledger.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Base URLs of nodes, the preferred one first.
    pub urls: Vec<String>,
    /// The genesis file: all trust in the ledger begins there.
    pub genesis: PathBuf,
}

impl LedgerConfig {
    /// Makes paths relative to the configuration file `base`.
    pub fn resolve(&mut self, base: impl AsRef<Path>) {
        self.genesis = resolve(base, &self.genesis);
    }
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// What is logged, as `tracing_subscriber::EnvFilter` reads it.
    pub log: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            json: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusted_proxies_are_networks() {
        let text = "listen = \"127.0.0.1:1\"\npublic_url = \"http://localhost:1\"\n";
        let read = |more: &str| toml::from_str::<HttpConfig>(&format!("{text}{more}"));
        let none = read("").unwrap();
        assert!(none.trusted_proxies.is_empty(), "nobody is trusted unasked");
        assert_eq!(none.forwarded_header, ForwardedHeader::XForwardedFor);
        let some =
            "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\nforwarded_header = \"forwarded\"";
        let some = read(some).unwrap();
        assert_eq!(some.trusted_proxies.len(), 2);
        assert_eq!(some.forwarded_header, ForwardedHeader::Forwarded);
        for wrong in [
            "trusted_proxies = [\"10.0.0.1/8\"]",
            "trusted_proxies = [\"proxy\"]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        http: HttpConfig,
        ledger: LedgerConfig,
        #[serde(default)]
        telemetry: TelemetryConfig,
    }

    const TEXT: &str = "[http]\nlisten = \"127.0.0.1:1\"\npublic_url = \"http://localhost:1\"\n\
                        tls = { certificate = \"c.pem\", key = \"/k.pem\" }\n[ledger]\nurls = [\"http://localhost:2\"]\ngenesis = \"g.json\"\n";

    #[test]
    fn relative_paths_belong_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.toml");
        std::fs::write(&path, TEXT).unwrap();
        let mut sample: Sample = load(&path).unwrap();
        sample.http.resolve(&path);
        sample.ledger.resolve(&path);
        assert_eq!(sample.ledger.genesis, folder.path().join("g.json"));
        let tls = sample.http.tls.unwrap();
        assert_eq!(
            (tls.certificate, tls.key),
            (folder.path().join("c.pem"), PathBuf::from("/k.pem"))
        );
        assert_eq!(sample.telemetry.log, "info");
    }

    #[test]
    fn unknown_keys_and_missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.toml");
        std::fs::write(&path, format!("{TEXT}[telemetry]\nlogg = \"x\"\n")).unwrap();
        assert!(
            load::<Sample>(&path)
                .unwrap_err()
                .to_string()
                .contains("logg")
        );
        assert!(
            load::<Sample>(folder.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("none")
        );
    }
}
