//! Status lists over HTTP: from the issuer's registered URL only, signed by the issuer, kept for as long as they say.

use crate::verify::{Fault, credential_keys};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tegata_consent::ids::OrganisationId;
use tegata_consent::organisation::{OrganisationState, Role};
use tegata_credential::status_list::{
    MAX_TOKEN_BYTES, MEDIA_TYPE, StatusListToken, VerifiedStatusList,
};
use tegata_service::clock;

/// Most lists that are remembered.
const LISTS_MAX: usize = 256;
/// Until a list is here.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches status lists and remembers them.
pub(crate) struct StatusLists {
    client: reqwest::Client,
    /// A copy that is at most this much older than the reading is used without asking, in milliseconds.
    fresh_ms: u64,
    copies: Mutex<HashMap<(OrganisationId, String), Slot>>,
}

/// One list; whoever fetches it holds the lock, so that it is fetched once.
type Slot = Arc<tokio::sync::Mutex<Option<Copy>>>;

#[derive(Clone)]
struct Copy {
    list: Arc<VerifiedStatusList>,
    fetched_ms: u64,
}

impl StatusLists {
    /// `client` must not follow redirects.
    pub(crate) fn new(client: reqwest::Client, fresh_s: u32) -> Self {
        Self {
            client,
            fresh_ms: u64::from(fresh_s) * 1000,
            copies: Mutex::default(),
        }
    }

    /// The issuer's list under `uri`, as the credential names it.
    ///
    /// A copy fetched since `since_ms`, when the reading began, is used as it is. Else the issuer is asked; if it does not
    /// answer, an older copy is used while the list's own `ttl` and `exp` last. After that the status is unknown, which is a
    /// fault and never "valid".
    pub(crate) async fn get(
        &self,
        issuer: &OrganisationState,
        uri: &str,
        since_ms: u64,
    ) -> Result<Arc<VerifiedStatusList>, Fault> {
        let base = issuer.organisation.url(Role::Issuer).unwrap_or_default();
        if base.is_empty()
            || !uri
                .strip_prefix(base)
                .is_some_and(|path| path.starts_with('/'))
        {
            return Err(Fault::Fails(format!(
                "the credential's status list does not lie under {base}, the issuer's registered URL"
            )));
        }
        let slot = self.slot(issuer.id, uri);
        let mut copy = slot.lock().await;
        let now_ms = clock::now_ms();
        if let Some(copy) = copy
            .as_ref()
            .filter(|copy| copy.fetched_ms + self.fresh_ms >= since_ms && copy.usable(now_ms))
        {
            return Ok(Arc::clone(&copy.list));
        }
        match self.fetch(uri).await {
            Ok(text) => {
                let list = Arc::new(verify(issuer, uri, &text, now_ms)?);
                *copy = Some(Copy {
                    list: Arc::clone(&list),
                    fetched_ms: now_ms,
                });
                Ok(list)
            }
            Err(reason) => match copy.as_ref().filter(|copy| copy.usable(now_ms)) {
                Some(copy) => Ok(Arc::clone(&copy.list)),
                None => Err(Fault::Unavailable(format!(
                    "the issuer's status list is not to be had: {reason}"
                ))),
            },
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
