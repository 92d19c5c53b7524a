//! What is believed, and who is known.

use super::Options;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::ValidatorSet;
use tegata_consent::ids::{ChainId, GrantId, OrganisationId, PublicKey};
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_consent::proof::{Proven, StateProof};
use tegata_consent::state::GrantState;
use tegata_credential::keys::{Algorithm, PublicKey as CredentialKey};
use tegata_service::ledger::{Ledger, LedgerError};
use tegata_service::{clock, genesis};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Most organisations that a node is asked for.
const ORGANISATIONS_MAX: usize = 2_000;
/// Largest trust or status file in bytes.
const FILE_MAX: u64 = 8 << 20;
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

/// What is believed.
#[derive(Default)]
pub struct Trust {
    /// As of when, in milliseconds since 1970.
    pub at_ms: u64,
    pub(super) chain: Option<(ChainId, ValidatorSet)>,
    pub(super) organisations: Vec<OrganisationState>,
    keys: Vec<(String, CredentialKey)>,
    pub(super) status_lists: Vec<String>,
    ledger: Option<Ledger>,
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
        if let Some(path) = &options.genesis {
            let genesis = genesis::load(path).map_err(|error| TrustError::File {
                path: path.clone(),
                detail: error.to_string(),
            })?;
            trust = trust.with_genesis(&genesis);
            if let Some(url) = &options.ledger {
                trust.ask(url, genesis).await?;
            }
        }
        for path in &options.trust {
            trust.add_file(path)?;
        }
        for path in &options.status {
            let text = String::from_utf8(read(path)?);
            let text = text.map_err(|_| TrustError::File {
                path: path.clone(),
                detail: "not a status list token".into(),
            })?;
            trust.status_lists.push(text.trim().to_owned());
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
        self.organisations.push(organisation);
        self
    }

    /// Knows a status list.
    #[must_use]
    pub fn with_status_list(mut self, token: &str) -> Self {
        self.status_lists.push(token.to_owned());
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
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| failed(&error))?;
        let list: Vec<serde_json::Value> = list.json().await.map_err(|error| failed(&error))?;
        for listed in list.iter().take(ORGANISATIONS_MAX) {
            let id: OrganisationId = listed["id"]
                .as_str()
                .unwrap_or_default()
                .parse()
                .map_err(|error| failed(&error))?;
            let proven = ledger
                .organisation(&id)
                .await
                .map_err(|error| failed(&error))?;
            self.organisations.extend(proven.value);
        }
        self.ledger = Some(ledger);
        Ok(())
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
            self.organisations.push(
                proven
                    .value
                    .ok_or_else(|| wrong(&"it proves that there is no such organisation"))?,
            );
            return Ok(());
        }
        let json: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|_| wrong(&"neither a proof of an organisation nor JSON"))?;
        let issuers = json
            .as_object()
            .ok_or_else(|| wrong(&"expected {\"issuer\": [JWK, …]}"))?;
        for (issuer, keys) in issuers {
            for key in keys
                .as_array()
                .ok_or_else(|| wrong(&"expected {\"issuer\": [JWK, …]}"))?
            {
                let key = CredentialKey::from_jwk(key)
                    .map_err(|error| wrong(&format!("{issuer}: {error}")))?;
                self.keys.push((issuer.clone(), key));
            }
        }
        Ok(())
    }

    /// The organisation with an id.
    pub(super) fn organisation(&self, id: &OrganisationId) -> Option<&OrganisationState> {
        self.organisations
            .iter()
            .find(|organisation| organisation.id == *id)
    }

    /// The organisation with a DID.
    pub(super) fn issuer(&self, did: &str) -> Option<&OrganisationState> {
        self.organisations
            .iter()
            .find(|organisation| organisation.organisation.did == did)
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

    /// Credential keys of an issuer that counted at a time, with whose they are.
    pub(super) fn credential_keys(
        &self,
        issuer: Option<&str>,
        at_ms: u64,
    ) -> Vec<(String, CredentialKey)> {
        let fits = |did: &str| issuer.is_none_or(|issuer| issuer == did);
        let mut found: Vec<_> = self
            .keys
            .iter()
            .filter(|(did, _)| fits(did))
            .cloned()
            .collect();
        for state in self
            .organisations
            .iter()
            .filter(|state| fits(&state.organisation.did))
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

    /// Reads a status list from its URI; only where a node may be asked too.
    pub(super) async fn fetch_status_list(&self, uri: &str) -> Result<String, String> {
        let ledger = self
            .ledger
            .as_ref()
            .ok_or("not asked for: give --status FILE, or --ledger URL")?;
        let failed = |error: reqwest::Error| format!("{uri}: {error}");
        let mut response = ledger
            .http()
            .get(uri)
            .timeout(FIRST_HEADER)
            .send()
            .await
            .map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("{uri} answers {}", response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > tegata_credential::status_list::MAX_TOKEN_BYTES {
                return Err(format!("{uri}: longer than any status list"));
            }
        }
        String::from_utf8(bytes).map_err(|_| format!("{uri}: not text"))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let wrong = |detail: String| TrustError::File {
        path: path.to_owned(),
        detail,
    };
    if std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len()
        > FILE_MAX
    {
        return Err(wrong("longer than 8 MiB".into()));
    }
    std::fs::read(path).map_err(|error| wrong(error.to_string()))
}

/// A time as people write it: RFC 3339, or milliseconds since 1970.
///
/// # Errors
/// What is wrong with it.
pub fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("neither RFC 3339 nor milliseconds: {error}"))?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| "before 1970".to_owned())
}

/// Milliseconds since 1970 as people read them.
pub(super) fn moment(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    time.ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_both_ways() {
        assert_eq!(parse_time("1760000000000"), Ok(1_760_000_000_000));
        assert_eq!(parse_time("2025-10-09T08:53:20Z"), Ok(1_760_000_000_000));
        assert_eq!(
            parse_time("2025-10-09T17:53:20+09:00"),
            Ok(1_760_000_000_000)
        );
        assert!(parse_time("yesterday").is_err());
        assert_eq!(moment(1_760_000_000_000), "2025-10-09T08:53:20Z");
    }
}
