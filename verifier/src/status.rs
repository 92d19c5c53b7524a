//! Status lists over HTTP: from the issuer's registered URL only, signed by the issuer, and the one that the ledger has as the
//! newest (`specs/consent/status.md`): an old list cannot be served as new.

use crate::verify::{Fault, credential_keys};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tegata_consent::ids::{Hash, OrganisationId};
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_consent::status::{StatusListState, check_status_list, status_list_id, token_digest};
use tegata_credential::status_list::{
    MAX_TOKEN_BYTES, MEDIA_TYPE, StatusListToken, VerifiedStatusList,
};
use tegata_service::clock;
use tegata_service::ledger::Ledger;

/// Most lists that are remembered.
const LISTS_MAX: usize = 256;
/// Until a list is here.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before a list that is not the ledger's newest is asked for again: until the next header, for it may have come onto the
/// ledger because it was asked for; at most so long, for the issuer may be about to serve the newest.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_millis(500),
];

/// Fetches status lists and remembers them.
pub(crate) struct StatusLists {
    client: reqwest::Client,
    ledger: Ledger,
    copies: Mutex<HashMap<(OrganisationId, String), Slot>>,
}

/// One list; whoever fetches it holds the lock, so that it is fetched once.
type Slot = Arc<tokio::sync::Mutex<Held>>;

#[derive(Default)]
struct Held {
    copy: Option<Copy>,
    /// Why the list is not believed, and in which reading that was found out: it is asked for once in a reading.
    refused: Option<(u64, Fault)>,
}

#[derive(Clone)]
struct Copy {
    list: Arc<VerifiedStatusList>,
    /// SHA-256 of it, signed.
    token: Hash,
    fetched_ms: u64,
}

impl StatusLists {
    /// `client` must not follow redirects.
    pub(crate) fn new(client: reqwest::Client, ledger: Ledger) -> Self {
        Self {
            client,
            ledger,
            copies: Mutex::default(),
        }
    }

    /// The issuer's list under `uri`, as the credential names it.
    ///
    /// The ledger says, each time, in a header under 15 s old, which list is the newest; no other is believed. A copy of
    /// that one is used while the list's own `ttl` and `exp` last. Else the issuer is asked; if it does not answer, the status
    /// is unknown, which is a fault and never "valid". `since_ms` is when the reading began.
    pub(crate) async fn get(
        &self,
        issuer: &OrganisationState,
        uri: &str,
        since_ms: u64,
    ) -> Result<Arc<VerifiedStatusList>, Fault> {
        self.get_or(issuer, uri, since_ms, None).await
    }

    /// As [`Self::get`]; where the ledger does not answer, `carried` counts: what it was proven to say a moment ago.
    pub(crate) async fn get_or(
        &self,
        issuer: &OrganisationState,
        uri: &str,
        since_ms: u64,
        carried: Option<&StatusListState>,
    ) -> Result<Arc<VerifiedStatusList>, Fault> {
        let base = issuer.organisation.url(Role::Issuer).unwrap_or_default();
        if !lies_under(uri, base) {
            return Err(Fault::Fails(format!(
                "the credential's status list does not lie under {base}, the issuer's registered URL"
            )));
        }
        let slot = self.slot(issuer.id, uri);
        let mut held = slot.lock().await;
        if let Some((_, fault)) = held
            .refused
            .as_ref()
            .filter(|(when_ms, _)| *when_ms == since_ms)
        {
            return Err(fault.clone());
        }
        let (mut again, mut headers) = (AGAIN.into_iter(), self.ledger.watch());
        loop {
            let newest = match (self.newest(issuer, uri).await, carried) {
                (Ok(newest), _) => newest,
                (Err(_), Some(carried)) => Some(carried.clone()),
                (Err(fault), None) => return Err(fault),
            };
            let now_ms = clock::now_ms();
            let is_newest = |copy: &&Copy| newest.as_ref().is_some_and(|n| n.token == copy.token);
            let copy = held.copy.as_ref().filter(is_newest);
            if let Some(copy) = copy.filter(|copy| copy.usable(now_ms)) {
                return Ok(Arc::clone(&copy.list));
            }
            let text = self.fetch(uri).await.map_err(|reason| {
                Fault::Unavailable(format!(
                    "the issuer's status list is not to be had: {reason}"
                ))
            })?;
            let list = Arc::new(verify(issuer, uri, &text, now_ms)?);
            let issued_ms = u64::try_from(list.issued_at())
                .unwrap_or(0)
                .saturating_mul(1000);
            match check_status_list(newest.as_ref(), text.as_bytes(), issued_ms) {
                Ok(()) => {
                    held.copy = Some(Copy {
                        list: Arc::clone(&list),
                        token: token_digest(text.as_bytes()),
                        fetched_ms: now_ms,
                    });
                    held.refused = None;
                    return Ok(list);
                }
                // The issuer puts a list on the ledger first and serves it a moment later.
                Err(refused) => {
                    if let Some(pause) = again.next() {
                        drop(tokio::time::timeout(pause, headers.changed()).await);
                        continue;
                    }
                    metrics::counter!("tegata_verifier_status_lists_refused_total", "reason" => refused.code())
                        .increment(1);
                    let fault = Fault::Fails(format!("{}: {refused}", refused.code()));
                    held.refused = Some((since_ms, fault.clone()));
                    return Err(fault);
                }
            }
        }
    }

    /// What the ledger has under this URI.
    async fn newest(
        &self,
        issuer: &OrganisationState,
        uri: &str,
    ) -> Result<Option<StatusListState>, Fault> {
        match self
            .ledger
            .status_list(&issuer.id, &status_list_id(uri))
            .await
        {
            Ok(proven) => Ok(proven.value),
            Err(error) => Err(Fault::Unavailable(format!(
                "which status list counts is not to be had: {error}"
            ))),
        }
    }

    fn slot(&self, issuer: OrganisationId, uri: &str) -> Slot {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.len() >= LISTS_MAX && !copies.contains_key(&(issuer, uri.to_owned())) {
            copies.clear();
        }
        Arc::clone(copies.entry((issuer, uri.to_owned())).or_default())
    }

    async fn fetch(&self, uri: &str) -> Result<String, String> {
        let reason = |error: reqwest::Error| error.without_url().to_string();
        let response = self
            .client
            .get(uri)
            .header("accept", MEDIA_TYPE)
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(reason)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the issuer answers {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(reason)?);
            if bytes.len() > MAX_TOKEN_BYTES {
                return Err(format!("it is longer than {MAX_TOKEN_BYTES} bytes"));
            }
        }
        String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())
    }
}

/// Whether a URL lies under another, by its letters and as it is asked for, which leaves out `..`.
pub(crate) fn lies_under(uri: &str, base: &str) -> bool {
    let is_longer = |uri: &str, base: &str| {
        let rest = uri.strip_prefix(base.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let (Ok(asked), Ok(under)) = (reqwest::Url::parse(uri), reqwest::Url::parse(base)) else {
        return false;
    };
    is_longer(uri, base)
        && asked.origin() == under.origin()
        && is_longer(asked.path(), under.path())
}

impl Copy {
    /// Whether the list's own times still allow its use. A list without `ttl` and `exp` is good for the moment only.
    fn usable(&self, now_ms: u64) -> bool {
        match self.list.usable_until(seconds(self.fetched_ms)) {
            Some(until) => seconds(now_ms) < until,
            None => now_ms.saturating_sub(self.fetched_ms) < 1000,
        }
    }
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

/// Checks a list's signature with the issuer's keys of now.
fn verify(
    issuer: &OrganisationState,
    uri: &str,
    text: &str,
    now_ms: u64,
) -> Result<VerifiedStatusList, Fault> {
    let wrong = |reason: &dyn std::fmt::Display| {
        Fault::Fails(format!("the issuer's status list: {reason}"))
    };
    let token = StatusListToken::parse(text).map_err(|error| wrong(&error))?;
    let keys = credential_keys(issuer, now_ms);
    let key = keys
        .into_iter()
        .find(|key| Some(key.key_id().as_str()) == token.key_id());
    let key = key.ok_or_else(|| wrong(&"signed with a key that is not the issuer's now"))?;
    token
        .verify(&key, uri, seconds(now_ms))
        .map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lies_under_the_issuers_url_or_it_does_not() {
        let base = "https://shared.example/clinic";
        for (uri, lies) in [
            ("https://shared.example/clinic/v1/status-lists/0", true),
            ("https://shared.example/clinic/list?page=1", true),
            ("https://shared.example/clinic", false),
            ("https://shared.example/clinics/0", false),
            ("https://shared.example/clinic/../insurer/0", false),
            ("https://shared.example/clinic/%2e%2e/insurer/0", false),
            ("https://shared.example/clinic\\..\\insurer", false),
            ("https://shared.example.evil.example/clinic/0", false),
            ("http://shared.example/clinic/0", false),
            ("clinic/0", false),
        ] {
            assert_eq!(lies_under(uri, base), lies, "{uri}");
        }
        assert!(lies_under("http://127.0.0.1:7/0", "http://127.0.0.1:7"));
        assert!(!lies_under(
            "http://127.0.0.1:7@evil.example/0",
            "http://127.0.0.1:7"
        ));
        assert!(!lies_under("http://127.0.0.1:70/0", "http://127.0.0.1:7"));
        assert!(!lies_under("https://clinic.example/0", ""));
    }
}
