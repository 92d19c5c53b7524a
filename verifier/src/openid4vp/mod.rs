//! Presentations from a wallet, now: OpenID4VP 1.0 with DCQL (`specs/credential/openid4vp.md`), and the consent on the ledger
//! that goes with them (`specs/consent/presentation.md`).
//!
//! | module | what |
//! |---|---|
//! | `config`, `rows` | configuration; what the store holds |
//! | `make`, `object` | a request by our own systems; the signed request object that a wallet fetches |
//! | `respond`, `judge`, `issuers`, `checks` | a wallet's response, checked one by one |
//! | `http` | routes; errors are those of OAuth where wallets call, problem details where our own systems do |
//!
//! Architecture invariant: a request is answered once. What was accepted is on disk before the wallet hears of it.
//!
//! Architecture invariant: under policy `ledger` the consent is checked with what the response carries and nothing else: no
//! node is asked, and a proof older than the policy allows is refused.

mod checks;
mod config;
mod http;
mod issuers;
mod judge;
mod make;
mod object;
mod respond;
mod rows;

pub use config::{ClientIdKind, PresentationsConfig};
pub(crate) use http::{Api, routes};
pub(crate) use issuers::registered_issuer;
pub(crate) use rows::PresentationRow;

use crate::random;
use issuers::Issuers;
use std::path::{Path, PathBuf};
use tegata_consent::organisation::OrganisationState;
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, KeyError, SigningKey};
use tegata_credential::openid4vp::ClientId;
use tegata_credential::x509::{self, Certificate, Subject, X509Error};
use tegata_service::clock;
use tegata_service::keys::OrganisationKeys;

/// Id of a presentation: random.
pub(crate) type PresentationId = [u8; 16];

/// For how long a certificate that we make for ourselves is valid, in seconds.
const OWN_CERTIFICATE_S: i64 = 10 * 365 * 86_400;

/// Why presentations cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A certificate.
    #[error("{path}: {error}")]
    Certificate {
        /// In which file.
        path: PathBuf,
        /// Why.
        error: X509Error,
    },
    /// The certificate is for another key.
    #[error("{path}: the first certificate is not for the organisation's P-256 credential key")]
    OtherKey {
        /// In which file.
        path: PathBuf,
    },
    /// The key.
    #[error("the organisation's P-256 credential key: {0}")]
    Key(#[from] KeyError),
}

/// What all presentations share.
pub(crate) struct Presentations {
    config: PresentationsConfig,
    public_url: String,
    /// Signs requests: the registered P-256 credential key.
    key: SigningKey,
    certificates: Vec<Certificate>,
    anchors: Vec<Certificate>,
    issuers: Issuers,
}

impl Presentations {
    /// Reads keys and certificates. `folder` is that of the store, where a certificate of our own making is kept.
    pub(crate) fn start(
        config: &PresentationsConfig,
        public_url: &str,
        folder: &Path,
        keys: &OrganisationKeys,
    ) -> Result<Self, SetupError> {
        let key = SigningKey::from_bytes(Algorithm::Es256, keys.credential_es256.expose())?;
        let certificates = match &config.certificates {
            Some(path) => {
                let chain = read(path)?;
                if !is_for(&chain, &key) {
                    return Err(SetupError::OtherKey { path: path.clone() });
                }
                chain
            }
            None => own_certificate(&folder.join("presentations.pem"), &key, public_url)?,
        };
        let anchors = config.anchors.as_ref().map(read).transpose()?;
        Ok(Self {
            config: config.clone(),
            public_url: public_url.trim_end_matches('/').to_owned(),
            key,
            certificates,
            anchors: anchors.unwrap_or_default(),
            issuers: Issuers::default(),
        })
    }

    /// Our client identifier of a kind, and the `kid` of its requests where these name a DID.
    fn client_id(&self, kind: ClientIdKind, own: &OrganisationState) -> (String, Option<String>) {
        match kind {
            ClientIdKind::X509Hash => {
                let leaf = &self.certificates[0];
                (ClientId::of_certificate(leaf).to_string(), None)
            }
            ClientIdKind::Did => {
                let did = &own.organisation.did;
                let url = format!("{did}#{}", self.key.key_id());
                (ClientId::Did(did.clone()).to_string(), Some(url))
            }
            ClientIdKind::DidJwk => {
                let did = Did::jwk(&self.key.public_key()).to_string();
                let url = format!("{did}#0");
                (ClientId::Did(did).to_string(), Some(url))
            }
        }
    }
}

fn read(path: &PathBuf) -> Result<Vec<Certificate>, SetupError> {
    let text = std::fs::read_to_string(path).map_err(|error| SetupError::File {
        path: path.clone(),
        error,
    })?;
    let certificate = |error| SetupError::Certificate {
        path: path.clone(),
        error,
    };
    let chain = Certificate::all_from_pem(&text).map_err(certificate)?;
    if chain.is_empty() {
        return Err(certificate(X509Error::Empty));
    }
    Ok(chain)
}

fn is_for(chain: &[Certificate], key: &SigningKey) -> bool {
    chain
        .first()
        .is_some_and(|leaf| leaf.public_key().ok() == Some(key.public_key()))
}

/// A certificate of our own making, signed by a key that is forgotten at once: it only carries our key. Made anew after a
/// rotation of that key, and when it has run out.
fn own_certificate(
    path: &Path,
    key: &SigningKey,
    public_url: &str,
) -> Result<Vec<Certificate>, SetupError> {
    let now_s = clock::now_s();
    if path.exists() {
        let chain = read(&path.to_owned())?;
        if is_for(&chain, key) && chain[0].check_valid_at(now_s).is_ok() {
            return Ok(chain);
        }
    }
    let subject = Subject {
        common_name: "Tegata verifier",
        organisation: "Tegata verifier",
        country: "JP",
        dns_names: &[],
        uris: &[public_url],
    };
    let valid_s = now_s - 60..=now_s + OWN_CERTIFICATE_S;
    let mut rng = random::rng();
    let authority_key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let authority = Subject {
        common_name: "Tegata verifier's own authority",
        ..subject
    };
    let made = x509::issue_authority(&authority, &authority_key, valid_s.clone(), &mut rng)
        .and_then(|authority| {
            let public = key.public_key();
            x509::issue(
                &subject,
                &public,
                &authority,
                &authority_key,
                valid_s,
                &mut rng,
            )
        })
        .map_err(|error| SetupError::Certificate {
            path: path.to_owned(),
            error,
        })?;
    std::fs::write(path, made.to_pem()).map_err(|error| SetupError::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(vec![made])
}
