//! The demo's certificate authority, and the certificates by which outside software knows its organisations' P-256 keys.
//!
//! `DIR/authority/certificate.pem` is what others trust (`--trust`); `DIR/NAME/certificates.pem` is an organisation's
//! chain: leaf first, without the authority, as `x5c` wants it.

use super::files::{write_public, write_secret};
use super::setup::SetupError;
use rand::CryptoRng;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::x509::{Certificate, Subject, issue, issue_authority};
use tegata_service::clock;

const DAY_S: i64 = 86_400;

/// A made-up authority of a made-up metropolis.
pub struct Authority {
    key: SigningKey,
    certificate: Certificate,
}

impl Authority {
    /// Where its certificate lies in a demo's directory.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("authority/certificate.pem")
    }

    /// Reads the authority of a demo's directory, or makes it.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn load_or_create(dir: &Path, rng: &mut impl CryptoRng) -> Result<Self, SetupError> {
        let (path, key_path) = (Self::path(dir), dir.join("authority/authority.key"));
        if path.exists() && key_path.exists() {
            let mut secret = [0; 32];
            hex::decode_to_slice(read(&key_path)?.trim(), &mut secret).map_err(keys)?;
            let key = SigningKey::from_bytes(Algorithm::Es256, &secret).map_err(keys)?;
            let certificate = Certificate::from_pem(&read(&path)?).map_err(keys)?;
            return Ok(Self { key, certificate });
        }
        let key = SigningKey::generate(Algorithm::Es256, rng);
        let subject = subject("Wakaba Demo Authority", "Wakaba Metropolis", &[], &[]);
        let certificate = issue_authority(&subject, &key, valid_s(), rng).map_err(keys)?;
        let secret = hex::encode(key.to_bytes().as_slice());
        save(&key_path, write_secret(&key_path, secret.as_bytes()))?;
        save(&path, write_public(&path, certificate.to_pem().as_bytes()))?;
        Ok(Self { key, certificate })
    }

    /// Makes `DIR/NAME/certificates.pem` for an organisation's key, where it is not there yet, and gives its path. The
    /// certificate names the organisation, `NAME.wakaba.example`, and the URLs of its services.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn certify(
        &self,
        dir: &Path,
        name: &str,
        organisation: &str,
        urls: &[&str],
        key: &PublicKey,
        rng: &mut impl CryptoRng,
    ) -> Result<PathBuf, SetupError> {
        let path = dir.join(name).join("certificates.pem");
        if !path.exists() {
            let dns = format!("{name}.wakaba.example");
            let dns = [dns.as_str()];
            let subject = subject(organisation, organisation, &dns, urls);
            let leaf = issue(&subject, key, &self.certificate, &self.key, valid_s(), rng);
            let pem = leaf.map_err(keys)?.to_pem();
            save(&path, write_public(&path, pem.as_bytes()))?;
        }
        Ok(path)
    }
}

/// Ten years, from yesterday on.
fn valid_s() -> RangeInclusive<i64> {
    let yesterday_s = clock::now_s() - DAY_S;
    yesterday_s..=yesterday_s + 3653 * DAY_S
}

fn subject<'a>(
    common_name: &'a str,
    organisation: &'a str,
    dns_names: &'a [&'a str],
    uris: &'a [&'a str],
) -> Subject<'a> {
    Subject {
        common_name,
        organisation,
        country: "JP",
        dns_names,
        uris,
    }
}

fn read(path: &Path) -> Result<String, SetupError> {
    std::fs::read_to_string(path).map_err(|error| SetupError::File {
        path: path.to_owned(),
        error,
    })
}

fn save(path: &Path, written: std::io::Result<()>) -> Result<(), SetupError> {
    written.map_err(|error| SetupError::File {
        path: path.to_owned(),
        error,
    })
}

fn keys(error: impl std::fmt::Display) -> SetupError {
    SetupError::Keys(error.to_string())
}
