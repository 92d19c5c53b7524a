//! What is believed: the genesis, files that are named, and what the ledger proves.

mod keys;
mod node;

use super::Options;
use super::other;
use crate::input;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::ValidatorSet;
use tegata_consent::ids::{ChainId, OrganisationId};
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::StateProof;
use tegata_consent::status::StatusListState;
use tegata_credential::status_list::{StatusListCwt, StatusListToken};
use tegata_credential::trust_list::{TrustList, TrustedKey};
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};
use tegata_service::ledger::Ledger;
use tegata_service::{clock, genesis};

/// Largest trust or status file in bytes.
const FILE_MAX: u64 = 8 << 20;

/// Why what to believe could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file.
    #[error("{path}: {detail}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The ledger.
    #[error("ledger: {0}")]
    Ledger(String),
}

/// A saved statement of what is revoked.
#[derive(Clone)]
pub(super) enum SavedStatus {
    /// A status list token, JWT.
    Jwt(String),
    /// A status list token, CWT.
    Cwt(Vec<u8>),
    /// A Bitstring status list: a W3C credential.
    W3c(String),
    /// A list of revoked SMART Health Cards of one key. It is not signed: whoever names it, believes it.
    Cards {
        key_id: String,
        revoked: Vec<String>,
    },
}

impl SavedStatus {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        match String::from_utf8(bytes) {
            Ok(text) if super::w3c::is_one(&text) => Some(Self::W3c(text.trim().to_owned())),
            Ok(text) if text.trim_start().starts_with('{') => {
                let list: serde_json::Value = serde_json::from_str(&text).ok()?;
                let revoked = list["rids"].as_array()?.iter();
                Some(Self::Cards {
                    key_id: list["kid"]
                        .as_str()
                        .filter(|_| list["method"] == "rid")?
                        .to_owned(),
                    revoked: revoked
                        .map(|id| Some(id.as_str()?.to_owned()))
                        .collect::<Option<_>>()?,
                })
            }
            Ok(text) => {
                let text = text.trim();
                StatusListToken::parse(text).ok()?;
                Some(Self::Jwt(text.to_owned()))
            }
            Err(error) => {
                let bytes = error.into_bytes();
                StatusListCwt::parse(&bytes).ok().map(|_| Self::Cwt(bytes))
            }
        }
    }
}

/// Which list of an issuer under a URI was proven to be the newest; absent: none was on the ledger.
#[derive(Clone)]
pub(super) struct NewestList {
    pub(super) issuer: OrganisationId,
    pub(super) uri: String,
    pub(super) newest: Option<StatusListState>,
}

/// What is believed.
#[derive(Clone, Default)]
pub struct Trust {
    /// As of when, in milliseconds since 1970.
    pub at_ms: u64,
    pub(super) chain: Option<(ChainId, ValidatorSet)>,
    pub(super) organisations: Vec<OrganisationState>,
    /// At which height each organisation was proven to be so, where that is known.
    heights: BTreeMap<OrganisationId, u64>,
    pub(super) list: TrustList,
    pub(super) statuses: Vec<SavedStatus>,
    /// What a presentation proves about the newest lists.
    pub(super) lists: Vec<NewestList>,
    /// The signed request that a presentation is to answer.
    pub(super) request: Option<String>,
    /// Opens what is sealed to an organisation.
    pub(super) own: Option<OrganisationKeys>,
    /// What the reader should know of what is believed.
    pub(super) notes: Vec<String>,
    ledger: Option<Ledger>,
    /// By when all status lists must have come; set by the first that is asked for.
    fetches_end: OnceLock<Instant>,
}

impl Trust {
    /// Reads files, and asks the node if there is one.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn load(options: &Options) -> Result<Self, TrustError> {
        let mut trust = Self {
            at_ms: options.at.unwrap_or_else(clock::now_ms),
            ..Self::default()
        };
        let mut ledger = None;
        if let Some(path) = &options.genesis {
            let wrong = |error: &dyn std::fmt::Display| TrustError::File {
                path: path.clone(),
                detail: error.to_string(),
            };
            let text = String::from_utf8(read(path)?).map_err(|_| wrong(&"not text"))?;
            let genesis = genesis::from_json(&text).map_err(|error| wrong(&error))?;
            trust = trust.with_genesis(&genesis);
            if let Some(url) = &options.ledger {
                ledger = Some((url, genesis));
            }
        }
        for path in &options.trust {
            trust.add_file(path)?;
        }
        // After the files: about whom they name, the node is asked as well.
        if let Some((url, genesis)) = ledger {
            trust.ask(url, genesis).await?;
        }
        for path in &options.status {
            let status = SavedStatus::parse(read(path)?);
            trust.statuses.push(status.ok_or_else(|| TrustError::File {
                path: path.clone(),
                detail: "neither a status list (JWT, CWT, Bitstring) nor a list of revoked health cards".into(),
            })?);
        }
        if let Some(path) = &options.request {
            let text = String::from_utf8(read(path)?);
            let text = text.map_err(|_| TrustError::File {
                path: path.clone(),
                detail: "not a signed request: not text".into(),
            })?;
            trust.request = Some(text.trim().to_owned());
        }
        if let Some(path) = &options.keys {
            read(path)?;
            let keys = load_organisation_keys(path);
            trust.own = Some(keys.map_err(|error| TrustError::File {
                path: path.clone(),
                detail: error.to_string(),
            })?);
        }
        Ok(trust)
    }

    /// As of a time, with nothing believed yet.
    #[must_use]
    pub fn at(at_ms: u64) -> Self {
        Self {
            at_ms,
            ..Self::default()
        }
    }

    /// Believes a genesis.
    #[must_use]
    pub fn with_genesis(mut self, genesis: &Genesis) -> Self {
        self.chain = Some((genesis.chain_id(), genesis.validator_set()));
        self
    }

    /// Believes what a ledger proves about an organisation.
    #[must_use]
    pub fn with_organisation(mut self, organisation: OrganisationState) -> Self {
        self.learn(organisation.id, Some(organisation), 0);
        self
    }

    /// Of several proofs of an organisation the newest counts: an older one could leave a suspension out. Absent: it was
    /// proven that there is none.
    pub(super) fn learn(
        &mut self,
        id: OrganisationId,
        state: Option<OrganisationState>,
        height: u64,
    ) {
        let known = self.heights.get(&id).copied();
        if known.is_some_and(|known| known > height) {
            return;
        }
        self.heights.insert(id, height);
        self.organisations.retain(|known| known.id != id);
        self.organisations.extend(state);
    }

    /// Knows a status list.
    #[must_use]
    pub fn with_status_list(mut self, token: &str) -> Self {
        self.statuses
            .extend(SavedStatus::parse(token.as_bytes().to_vec()));
        self
    }

    /// Knows which list of an issuer the ledger has as the newest under a URI, or that it has none.
    #[must_use]
    pub fn with_newest_list(
        mut self,
        issuer: OrganisationId,
        uri: &str,
        newest: Option<StatusListState>,
    ) -> Self {
        let uri = uri.to_owned();
        self.lists.push(NewestList {
            issuer,
            uri,
            newest,
        });
        self
    }

    /// Believes keys.
    #[must_use]
    pub fn with_keys(mut self, keys: impl IntoIterator<Item = TrustedKey>) -> Self {
        self.list.extend(keys);
        self
    }

    /// Knows the signed request that presentations are to answer.
    #[must_use]
    pub fn with_request(mut self, text: &str) -> Self {
        self.request = Some(text.trim().to_owned());
        self
    }

    /// Opens what is sealed to an organisation.
    #[must_use]
    pub fn with_own_keys(mut self, keys: OrganisationKeys) -> Self {
        self.own = Some(keys);
        self
    }

    fn add_file(&mut self, path: &Path) -> Result<(), TrustError> {
        let wrong = |detail: &dyn std::fmt::Display| TrustError::File {
            path: path.to_owned(),
            detail: detail.to_string(),
        };
        let bytes = read(path)?;
        if let Ok(proof) = StateProof::parse(&bytes) {
            let (chain, validators) = self
                .chain
                .as_ref()
                .ok_or_else(|| wrong(&"a proof of an organisation needs --genesis"))?;
            let id = proof
                .key
                .strip_prefix(b"organisation/".as_slice())
                .and_then(|id| OrganisationId::try_from(id).ok());
            let id = id.ok_or_else(|| wrong(&"a proof, but not of an organisation"))?;
            let proven = proof
                .verify_organisation(chain, validators, &id)
                .map_err(|error| wrong(&error))?;
            let height = proven.header.header().height;
            if proven.value.is_none() {
                return Err(wrong(&"it proves that there is no such organisation"));
            }
            self.learn(id, proven.value, height);
            return Ok(());
        }
        let list = TrustList::parse(&bytes).map_err(|error| match other::is_secret(&bytes) {
            true => wrong(&other::SECRET),
            false => wrong(&format!("{} ({error})", error.code())),
        })?;
        self.list.extend(list);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    input::read(path, FILE_MAX).map_err(|error| TrustError::File {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}
