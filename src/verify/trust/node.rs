//! What a node is asked for: proofs of organisations, grants, entries and lists, and the status lists themselves. All that it
//! answers is bounded in size and time, and checked.

use super::{Trust, TrustError};
use reqwest::Response;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tegata_consent::genesis::Genesis;
use tegata_consent::ids::{EntryId, GrantId, Hash, OrganisationId};
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::state::GrantState;
use tegata_consent::status::{StatusListState, status_list_id};
use tegata_credential::status_list::MAX_TOKEN_BYTES;
use tegata_service::ledger::{Ledger, LedgerError};

/// Most organisations of a node's list that it is asked for.
const ORGANISATIONS_MAX: usize = 2_000;
/// Longest such list that is read, in bytes.
const LIST_MAX: usize = 4 << 20;
/// How long a node may take to prove them all.
const PROOFS: Duration = Duration::from_secs(60);
/// How long all status lists of a file may take together.
const FETCHES: Duration = Duration::from_secs(10);
/// How long a node that shows nothing may take to answer at all.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a node may take to show its first header.
const FIRST_HEADER: Duration = Duration::from_secs(10);

impl Trust {
    pub(super) async fn ask(&mut self, url: &str, genesis: Genesis) -> Result<(), TrustError> {
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
    pub(in crate::verify) async fn ask_about(
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

    /// What the ledger proves about a grant now; absent without a node.
    pub(in crate::verify) async fn grant(
        &self,
        id: &GrantId,
    ) -> Option<Result<Proven<GrantState>, LedgerError>> {
        let ledger = self.ledger.as_ref()?;
        Some(ledger.grant(id).await.map(|(_, proven)| proven))
    }

    /// An entry's receipt; absent without a node.
    pub(in crate::verify) async fn receipt(
        &self,
        id: &EntryId,
    ) -> Option<Result<Option<VerifiedReceipt>, LedgerError>> {
        let found = self.ledger.as_ref()?.receipt(id).await;
        Some(found.map(|found| found.map(|(_, receipt)| receipt)))
    }

    /// Which of an issuer's status lists the ledger has as the newest, and where that was seen; absent where nobody says.
    pub(in crate::verify) async fn newest_list(
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
    pub(in crate::verify) fn for_one(&self) -> Self {
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
    pub(in crate::verify) async fn fetch_status_list(&self, uri: &str) -> Result<String, String> {
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

#[cfg(test)]
#[path = "../../../service/tests/fake/mod.rs"]
mod fake;

#[cfg(test)]
mod tests {
    use super::*;
    use tegata_consent::organisation::Role;

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
