//! An organisation's secret keys, in one file that only its service can read.

use p256::elliptic_curve::sec1::ToSec1Point;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use tegata_consent::cose::public_key;
use tegata_consent::ids::{OrganisationId, PublicKey};
use tegata_consent::keys::Secret;
use tegata_consent::organisation::{KeyUse, OrganisationKey, organisation_id};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Why keys could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
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
    /// Not the JSON it should be. The text is not repeated: it is secret.
    #[error("{path} is not a key file: line {line}, column {column}")]
    Json {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// A key that is not 32 bytes in hexadecimal, or not usable.
    #[error("{path}: the key {name:?} is not a usable secret of 32 bytes in hexadecimal")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Which key.
        name: &'static str,
    },
}

/// The secret keys of an organisation.
#[derive(Clone)]
pub struct OrganisationKeys {
    /// Ed25519: entries, deposits, receipts, requests. The first one gives the organisation its id.
    pub sign: ed25519_dalek::SigningKey,
    /// X25519: tickets are sealed to its public half.
    pub seal: Secret,
    /// Ed25519: credentials.
    pub credential_eddsa: Secret,
    /// P-256: credentials.
    pub credential_es256: Secret,
}

impl std::fmt::Debug for OrganisationKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OrganisationKeys({})", self.organisation_id())
    }
}

impl OrganisationKeys {
    /// New keys.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut fresh = || {
            let mut bytes = Zeroizing::new([0; 32]);
            rng.fill_bytes(bytes.as_mut_slice());
            bytes
        };
        let sign = ed25519_dalek::SigningKey::from_bytes(&fresh());
        let (seal, credential_eddsa) = (Secret::new(*fresh()), Secret::new(*fresh()));
        let credential_es256 = loop {
            let candidate = Secret::new(*fresh());
            if es256_public(&candidate).is_some() {
                break candidate; // all but about one in 2³² are
            }
        };
        Self {
            sign,
            seal,
            credential_eddsa,
            credential_es256,
        }
    }

    /// The organisation's id, as long as `sign` is its first signing key.
    #[must_use]
    pub fn organisation_id(&self) -> OrganisationId {
        organisation_id(&self.sign_public())
    }

    /// Public half of `sign`.
    #[must_use]
    pub fn sign_public(&self) -> PublicKey {
        public_key(&self.sign)
    }

    /// The public halves as they go into the registry, counting from `from_ms` on.
    #[must_use]
    pub fn public_keys(&self, from_ms: u64) -> Vec<OrganisationKey> {
        let eddsa = ed25519_dalek::SigningKey::from_bytes(self.credential_eddsa.expose());
        let es256 =
            es256_public(&self.credential_es256).expect("checked when the key was made or read");
        let key = |key_use, public| OrganisationKey {
            key_use,
            public,
            from_ms,
            until_ms: None,
        };
        vec![
            key(KeyUse::Sign, self.sign_public().0.to_vec()),
            key(KeyUse::Seal, self.seal.seal_key().0.to_vec()),
            key(KeyUse::CredentialEdDsa, public_key(&eddsa).0.to_vec()),
            key(KeyUse::CredentialEs256, es256),
        ]
    }
}

/// Compressed SEC1 point, 33 bytes; absent for the few values that are no P-256 secret.
fn es256_public(secret: &Secret) -> Option<Vec<u8>> {
    let key = p256::SecretKey::from_slice(secret.expose()).ok()?;
    Some(key.public_key().to_sec1_point(true).as_bytes().to_vec())
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct File {
    sign: String,
    seal: String,
    credential_eddsa: String,
    credential_es256: String,
}

/// Reads the key file of an organisation; refuses one that others can read.
///
/// # Errors
/// [`KeysError`].
pub fn load_organisation_keys(path: impl AsRef<Path>) -> Result<OrganisationKeys, KeysError> {
    let path = path.as_ref();
    let file = |error| KeysError::File {
        path: path.to_owned(),
        error,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(path).map_err(file)?.permissions().mode() & 0o077 != 0 {
            return Err(KeysError::Permissions {
                path: path.to_owned(),
            });
        }
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file)?);
    let parsed: File = serde_json::from_str(&text).map_err(|error| KeysError::Json {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let secret = |name, text: &str| {
        let mut bytes = Zeroizing::new([0; 32]);
        match hex::decode_to_slice(text, bytes.as_mut_slice()) {
            Ok(()) => Ok(Secret::new(*bytes)),
            Err(_) => Err(KeysError::Key {
                path: path.to_owned(),
                name,
            }),
        }
    };
    let keys = OrganisationKeys {
        sign: ed25519_dalek::SigningKey::from_bytes(secret("sign", &parsed.sign)?.expose()),
        seal: secret("seal", &parsed.seal)?,
        credential_eddsa: secret("credential_eddsa", &parsed.credential_eddsa)?,
        credential_es256: secret("credential_es256", &parsed.credential_es256)?,
    };
    if es256_public(&keys.credential_es256).is_none() {
        return Err(KeysError::Key {
            path: path.to_owned(),
            name: "credential_es256",
        });
    }
    Ok(keys)
}

/// Makes new keys and writes them to a new file of mode 0600, synced. An existing file is left alone and an error.
///
/// # Errors
/// [`KeysError::File`].
pub fn write_new(
    path: impl AsRef<Path>,
    rng: &mut impl CryptoRng,
) -> Result<OrganisationKeys, KeysError> {
    let path = path.as_ref();
    let keys = OrganisationKeys::generate(rng);
    let text = |bytes: &[u8]| hex::encode(bytes);
    let file = File {
        sign: text(Zeroizing::new(keys.sign.to_bytes()).as_slice()),
        seal: text(keys.seal.expose()),
        credential_eddsa: text(keys.credential_eddsa.expose()),
        credential_es256: text(keys.credential_es256.expose()),
    };
    let json =
        Zeroizing::new(serde_json::to_string_pretty(&file).expect("strings are always JSON"));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(path)?;
        file.write_all(json.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| KeysError::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(keys)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may draw randomness")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_kept_once_and_privately() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let written = write_new(&path, &mut rand::rng()).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = load_organisation_keys(&path).unwrap();
        assert_eq!(read.public_keys(5), written.public_keys(5));
        assert_eq!(read.organisation_id(), written.organisation_id());
        assert!(
            matches!(
                write_new(&path, &mut rand::rng()),
                Err(KeysError::File { .. })
            ),
            "an existing file is never replaced"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            load_organisation_keys(&path),
            Err(KeysError::Permissions { .. })
        ));
    }

    #[test]
    fn the_public_halves_make_a_valid_registration() {
        let keys = OrganisationKeys::generate(&mut rand::rng());
        let public = keys.public_keys(0);
        assert_eq!(
            public
                .iter()
                .map(|key| key.public.len())
                .collect::<Vec<_>>(),
            [32, 32, 32, 33]
        );
        assert_eq!(
            organisation_id(&PublicKey::try_from(public[0].public.as_slice()).unwrap()),
            keys.organisation_id()
        );
    }

    #[test]
    fn errors_and_debug_do_not_repeat_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let keys = write_new(&path, &mut rand::rng()).unwrap();
        let secret = hex::encode(keys.sign.to_bytes());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"seal\"", "seal")).unwrap();
        let error = load_organisation_keys(&path).unwrap_err().to_string();
        assert!(
            !error.contains(&secret) && !format!("{keys:?}").contains(&secret),
            "{error}"
        );
    }
}
