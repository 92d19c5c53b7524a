//! What is believed, and who is known.

use super::Options;
use super::finding::Coded;
use super::other;
use crate::input;
use crate::time::{moment, seconds};
use reqwest::Response;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::ValidatorSet;
use tegata_consent::ids::{ChainId, EntryId, GrantId, Hash, OrganisationId, PublicKey};
use tegata_consent::organisation::{KeyUse, OrganisationState, Role};
use tegata_consent::proof::{Proven, StateProof, VerifiedReceipt};
use tegata_consent::state::GrantState;
use tegata_consent::status::{StatusListState, status_list_id};
use tegata_credential::keys::{Algorithm, PublicKey as CredentialKey};
use tegata_credential::status_list::{MAX_TOKEN_BYTES, StatusListCwt, StatusListToken};
use tegata_credential::trust_list::{TrustList, TrustedKey};
use tegata_credential::x509::Certificate;
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};
use tegata_service::ledger::{Ledger, LedgerError};
use tegata_service::{clock, genesis};

/// Most organisations of a node's list that it is asked for.
const ORGANISATIONS_MAX: usize = 2_000;
/// Longest such list that is read, in bytes.
const LIST_MAX: usize = 4 << 20;
/// How long a node may take to prove them all.
const PROOFS: Duration = Duration::from_secs(60);
/// Largest trust or status file in bytes.
const FILE_MAX: u64 = 8 << 20;
/// How long all status lists of a file may take together.
const FETCHES: Duration = Duration::from_secs(10);
/// How long a node that shows nothing may take to answer at all.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a node may take to show its first header.
const FIRST_HEADER: Duration = Duration::from_secs(10);

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

    /// The height at which an organisation was proven, as words for a check.
    pub(super) fn as_of(&self, state: &OrganisationState) -> String {
        match self.heights.get(&state.id) {
            Some(height) if *height > 0 => format!(", as of height {height}"),
            _ => String::new(),
        }
    }

    /// Whether the registry has an organisation as one in good standing, for which its key signed at a time. Whoever is
    /// suspended could write any earlier time.
    pub(super) fn standing(
        &self,
        state: &OrganisationState,
        signed_ms: u64,
    ) -> Result<String, Coded> {
        let name = &state.organisation.name.en;
        if state.suspended_at(self.at_ms) || state.suspended_at(signed_ms) {
            let words = format!("{name} is suspended, or was when it signed");
            return Err(Coded("issuer-suspended", words));
        }
        Ok(format!("{name} is in good standing{}", self.as_of(state)))
    }

    /// Whether an organisation in good standing was accredited for a record type when it signed.
    pub(super) fn accredited(
        &self,
        state: &OrganisationState,
        record_type: &str,
        signed_ms: u64,
    ) -> Result<String, Coded> {
        self.standing(state, signed_ms)?;
        let name = &state.organisation.name.en;
        if !state.may_issue(record_type, signed_ms) {
            let words = format!("{name} was not accredited for {record_type}");
            return Err(Coded("issuer-not-accredited", words));
        }
        let as_of = self.as_of(state);
        Ok(format!("{name} was accredited for {record_type}{as_of}"))
    }

    /// Whether keys count for an issuer in some times only.
    pub(super) fn has_times(&self, issuer: Option<&str>) -> bool {
        let of = |key: &&TrustedKey| issuer.is_none_or(|issuer| key.signs_for(issuer));
        self.chain.is_some()
            || !self.organisations.is_empty()
            || self
                .list
                .keys()
                .iter()
                .filter(of)
                .any(TrustedKey::has_times)
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

    async fn ask(&mut self, url: &str, genesis: Genesis) -> Result<(), TrustError> {
        let failed = |error: &dyn std::fmt::Display| TrustError::Ledger(error.to_string());
        let ledger =
            Ledger::start_with(vec![url.to_owned()], genesis).map_err(|error| failed(&error))?;
        let mut newest = ledger.watch();
        let first = tokio::time::timeout(FIRST_HEADER, newest.wait_for(Option::is_some))
            .await
            .is_ok();
        if !first {
            let asked = ledger.http().get(url).timeout(ANSWER).send().await;
            if let Err(error) = asked {
                return Err(TrustError::Ledger(format!(
                    "{url} cannot be reached: {error}"
                )));
            }
            return Err(TrustError::Ledger(format!(
                "{url} shows no header certified by the genesis' validators"
            )));
        }
        let list = ledger.http().get(format!(
            "{}/v1/state/organisations",
            url.trim_end_matches('/')
        ));
        let list = list
            .timeout(FIRST_HEADER)
            .send()
            .await
            .and_then(Response::error_for_status)
            .map_err(|error| failed(&error))?;
        let words = format!("{url}: its list of organisations is longer than 4 MiB");
        let list = body(list, LIST_MAX, &words).await;
        let list = list.map_err(TrustError::Ledger)?;
        let list: Vec<Listed> = serde_json::from_slice(&list).map_err(|error| failed(&error))?;
        if list.len() > ORGANISATIONS_MAX {
            self.notes.push(format!(
                "the node lists {} organisations; {ORGANISATIONS_MAX} were asked for: name the others with --trust, by a proof of each",
                list.len()
            ));
        }
        // Its list is nobody's word: it could leave out whom it does not want to be seen.
        let mut ids: BTreeSet<OrganisationId> = self.heights.keys().copied().collect();
        for listed in list.iter().take(ORGANISATIONS_MAX) {
            ids.insert(listed.id.parse().map_err(|error| failed(&error))?);
        }
        self.ledger = Some(ledger);
        self.ask_about(ids, PROOFS)
            .await
            .map_err(TrustError::Ledger)
    }

    /// Asks the node, where there is one, what the registry has of these organisations now.
    pub(super) async fn ask_about(
        &mut self,
        ids: impl IntoIterator<Item = OrganisationId>,
        within: Duration,
    ) -> Result<(), String> {
        let Some(ledger) = self.ledger.clone() else {
            return Ok(());
        };
        let asked = async {
            for id in ids {
                let proven = ledger.organisation(&id).await;
                let proven = proven.map_err(|error| error.to_string())?;
                self.learn(id, proven.value, proven.header.header().height);
            }
            Ok::<_, String>(())
        };
        tokio::time::timeout(within, asked).await.unwrap_or_else(|_| {
            Err(format!(
                "the node did not prove its organisations within {} s: ask another node, or name a proof of each with --trust and leave --ledger out",
                within.as_secs()
            ))
        })
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

    /// The organisation with an id.
    pub(super) fn organisation(&self, id: &OrganisationId) -> Option<&OrganisationState> {
        self.organisations
            .iter()
            .find(|organisation| organisation.id == *id)
    }

    /// The organisation with a DID, or whose issuing service is at a URL.
    pub(super) fn issuer(&self, name: &str) -> Option<&OrganisationState> {
        self.organisations
            .iter()
            .find(|state| is_called(state, name))
    }

    /// Whether it is known whose keys an issuer's are, whether or not one counts now.
    pub(super) fn knows(&self, issuer: Option<&str>) -> bool {
        let signs = |key: &TrustedKey| {
            key.names_issuers() && issuer.is_some_and(|issuer| key.signs_for(issuer))
        };
        issuer.is_some_and(|issuer| self.issuer(issuer).is_some())
            || self.list.keys().iter().any(signs)
    }

    /// Whether something signed means a key by this `kid`: its thumbprint, an id that a list gives it, or the DID URL of
    /// either.
    pub(super) fn is_meant(&self, key: &CredentialKey, kid: Option<&str>) -> bool {
        let Some(kid) = kid else { return false };
        let id = key.key_id();
        let mut listed = self.list.by_id(kid.as_bytes());
        kid == id
            || kid.starts_with("did:") && kid.rsplit_once('#').is_some_and(|(_, own)| own == id)
            || listed.any(|listed| listed.key().own() == Some(key))
    }

    /// The organisation whose credential key this is or was: what it signed is the organisation's, whatever name it gives.
    pub(super) fn holder_of(&self, key: &CredentialKey) -> Option<&OrganisationState> {
        self.organisations.iter().find(|state| {
            let mut keys = state.organisation.keys.iter();
            keys.any(|own| {
                let algorithm = match own.key_use {
                    KeyUse::CredentialEdDsa => Algorithm::EdDsa,
                    KeyUse::CredentialEs256 => Algorithm::Es256,
                    KeyUse::Sign | KeyUse::Seal => return false,
                };
                CredentialKey::from_bytes(algorithm, &own.public).is_ok_and(|own| own == *key)
            })
        })
    }

    /// The keys for SMART Health Cards of a time: those that the registry has for the issuer's URL, or those named.
    pub(super) fn card_keys(&self, issuer: Option<&str>, at_ms: u64) -> TrustList {
        let Some(state) = issuer.and_then(|url| self.issuer(url)) else {
            let keys = self.list.keys().iter();
            return keys
                .filter(|key| key.purposes().is_empty())
                .cloned()
                .collect();
        };
        let keys = state.keys_at(KeyUse::CredentialEs256, at_ms);
        let keys =
            keys.filter_map(|key| CredentialKey::from_bytes(Algorithm::Es256, &key.public).ok());
        keys.map(|key| TrustedKey::new(key, issuer)).collect()
    }

    /// Certificates that chains may lead to.
    pub(super) fn anchors(&self) -> Vec<Certificate> {
        let keys = self.list.keys().iter();
        keys.filter_map(|key| key.certificate().cloned()).collect()
    }

    /// How an organisation is shown.
    pub(super) fn name(&self, id: &OrganisationId) -> String {
        match self.organisation(id) {
            Some(state) => format!(
                "{} / {} ({id})",
                state.organisation.name.en, state.organisation.name.ja
            ),
            None => id.to_string(),
        }
    }

    /// Whether a key signed for an organisation at a time; absent where the organisation is not known.
    pub(super) fn signs_for(
        &self,
        key: &PublicKey,
        id: &OrganisationId,
        at_ms: u64,
    ) -> Option<Result<String, String>> {
        let state = self.organisation(id)?;
        Some(if state.signs_with(key, at_ms) {
            Ok(format!(
                "a signing key of {} at that time",
                state.organisation.name.en
            ))
        } else {
            Err(format!(
                "{} had no signing key {key} at {}",
                state.organisation.name.en,
                moment(at_ms)
            ))
        })
    }

    /// Credential keys of an issuer that counted at a time, with whose they are. For whom the registry knows, no other list
    /// counts: there a key would have no end, and a suspension would mean nothing.
    pub(super) fn credential_keys(
        &self,
        issuer: Option<&str>,
        at_ms: u64,
    ) -> Vec<(String, CredentialKey)> {
        let (issued_at, at) = (seconds(at_ms), seconds(self.at_ms));
        let registered = issuer.is_some_and(|issuer| self.issuer(issuer).is_some());
        let listed = self.list.keys().iter().filter(|key| {
            !registered
                && key.may_sign()
                && key.purposes().is_empty()
                && issuer.is_none_or(|issuer| key.signs_for(issuer))
                && key.check_time(issued_at, at).is_ok()
        });
        let listed = listed.filter_map(|key| Some((key.name().to_owned(), *key.key().own()?)));
        let mut found: Vec<_> = listed.collect();
        for state in self
            .organisations
            .iter()
            .filter(|state| issuer.is_none_or(|issuer| is_called(state, issuer)))
        {
            for (key_use, algorithm) in [
                (KeyUse::CredentialEdDsa, Algorithm::EdDsa),
                (KeyUse::CredentialEs256, Algorithm::Es256),
            ] {
                let keys = state
                    .keys_at(key_use, at_ms)
                    .filter_map(|key| CredentialKey::from_bytes(algorithm, &key.public).ok());
                found.extend(keys.map(|key| (state.organisation.name.en.clone(), key)));
            }
        }
        found
    }

    /// What the ledger proves about a grant now; absent without a node.
    pub(super) async fn grant(
        &self,
        id: &GrantId,
    ) -> Option<Result<Proven<GrantState>, LedgerError>> {
        let ledger = self.ledger.as_ref()?;
        Some(ledger.grant(id).await.map(|(_, proven)| proven))
    }

    /// An entry's receipt; absent without a node.
    pub(super) async fn receipt(
        &self,
        id: &EntryId,
    ) -> Option<Result<Option<VerifiedReceipt>, LedgerError>> {
        let found = self.ledger.as_ref()?.receipt(id).await;
        Some(found.map(|found| found.map(|(_, receipt)| receipt)))
    }

    /// Which of an issuer's status lists the ledger has as the newest, and where that was seen; absent where nobody says.
    pub(super) async fn newest_list(
        &self,
        issuer: &OrganisationId,
        list: &Hash,
    ) -> Option<Result<(Option<StatusListState>, String), LedgerError>> {
        if let Some(ledger) = &self.ledger {
            let proven = ledger.status_list(issuer, list).await;
            return Some(proven.map(|proven| {
                let height = proven.header.header().height;
                (proven.value, format!("on the ledger at height {height}"))
            }));
        }
        let mut carried = self.lists.iter();
        let carried = carried
            .find(|carried| carried.issuer == *issuer && status_list_id(&carried.uri) == *list)?;
        let seen = "as was proven".to_owned();
        Some(Ok((carried.newest.clone(), seen)))
    }

    /// For one verification: all that it fetches, it fetches in the time of one.
    pub(super) fn for_one(&self) -> Self {
        Self {
            fetches_end: OnceLock::new(),
            ..self.clone()
        }
    }

    /// How long status lists may still take: one verification waits for all of them together.
    fn time_left(&self) -> Result<Duration, String> {
        let until = *self.fetches_end.get_or_init(|| Instant::now() + FETCHES);
        let left = until.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err("its status list was not asked for: the others took too long".to_owned()),
            false => Ok(left),
        }
    }

    /// Reads a status list from its URI; only where a node may be asked too.
    pub(super) async fn fetch_status_list(&self, uri: &str) -> Result<String, String> {
        let ledger = self
            .ledger
            .as_ref()
            .ok_or("not asked for: give --status FILE, or --ledger URL")?;
        let failed = |error: reqwest::Error| format!("{uri}: {error}");
        let response = ledger
            .http()
            .get(uri)
            .timeout(self.time_left()?)
            .send()
            .await
            .map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("{uri} answers {}", response.status()));
        }
        let words = format!("{uri}: longer than any status list");
        let bytes = body(response, MAX_TOKEN_BYTES, &words).await?;
        String::from_utf8(bytes).map_err(|_| format!("{uri}: not text"))
    }
}

/// An organisation in a node's list of all.
#[derive(serde::Deserialize)]
struct Listed {
    id: String,
}

/// The body of an answer, of at most so many bytes; the words are for one that is longer.
async fn body(mut response: Response, most: usize, too_long: &str) -> Result<Vec<u8>, String> {
    let url = response.url().clone();
    let mut bytes = Vec::new();
    let failed = |error: reqwest::Error| format!("{url}: {error}");
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > most {
            return Err(too_long.to_owned());
        }
    }
    Ok(bytes)
}

/// Whether an `iss` means this organisation: its DID, or the URL of its issuing service.
fn is_called(state: &OrganisationState, name: &str) -> bool {
    let organisation = &state.organisation;
    let served = |url: &str| url.trim_end_matches('/') == name.trim_end_matches('/');
    organisation.did == name
        || organisation
            .services
            .iter()
            .any(|service| service.role == Role::Issuer && served(&service.url))
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    input::read(path, FILE_MAX).map_err(|error| TrustError::File {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}

#[cfg(test)]
#[path = "../../service/tests/fake/mod.rs"]
mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    /// However slowly a node proves what it is asked, the asking ends, and says what to do.
    #[tokio::test]
    async fn a_slow_node_is_not_waited_for_without_end() {
        let chain = fake::Chain::new();
        let id = {
            let mut chain = chain.lock().expect("not poisoned");
            chain.register(20, &[Role::Host])
        };
        let node = fake::Node::start(&chain).await;
        let genesis = chain.lock().expect("not poisoned").genesis.clone();
        let mut trust = Trust::at(0);
        trust.ask(&node.url, genesis).await.expect("an honest node");
        assert!(trust.organisation(&id).is_some());
        node.behave(fake::Manner::Silent);
        let others = (0..9).map(|number| OrganisationId([number; 32]));
        let asked = trust.ask_about(others, Duration::from_secs(1)).await;
        let error = asked.expect_err("it is silent");
        assert!(error.contains("within 1 s: ask another node"), "{error}");
    }
}
