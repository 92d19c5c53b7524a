//! Asking nodes over HTTP: in turn, bounded in size and time.

use super::LedgerError;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tegata_consent::header::CertifiedHeader;
use tegata_consent::proof::{Receipt, VerifiedReceipt};

/// Longest page of log leaves in bytes.
pub(super) const PAGE_MAX: usize = 32 * 1024 * 1024;
/// For reads of proofs.
const READ: Duration = Duration::from_secs(4);
/// How long a node may wait for finality before it answers 202.
const SUBMIT_WAIT_MS: u64 = 10_000;
/// Between two rounds of submission.
const PAUSE: Duration = Duration::from_millis(100);
/// Nodes that must say "inadmissible" before it counts: one alone may be a block behind.
const REFUSALS: usize = 2;

type Checked = Result<(Vec<u8>, VerifiedReceipt), LedgerError>;

pub(super) struct Nodes {
    urls: Vec<String>,
    client: Client,
    preferred: AtomicUsize,
}

impl Nodes {
    pub(super) fn new(urls: Vec<String>) -> Result<Self, LedgerError> {
        let urls: Vec<_> = urls
            .iter()
            .map(|url| url.trim_end_matches('/').to_owned())
            .collect();
        if urls.is_empty() {
            return Err(LedgerError::Config("name at least one node".into()));
        }
        for url in &urls {
            let parsed = reqwest::Url::parse(url)
                .map_err(|error| LedgerError::Config(format!("{url:?}: {error}")))?;
            if !matches!(parsed.scheme(), "http" | "https") {
                return Err(LedgerError::Config(format!(
                    "{url:?} is neither http nor https"
                )));
            }
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tegata/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| LedgerError::Config(error.to_string()))?;
        Ok(Self {
            urls,
            client,
            preferred: AtomicUsize::new(0),
        })
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Index of the node that is asked first.
    pub(super) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// Asks the node after this one first from now on.
    pub(super) fn give_up(&self, node: usize) {
        let next = (node + 1) % self.urls.len();
        let _ = self
            .preferred
            .compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed); // else another did
    }

    /// Every node once, the preferred one first.
    fn in_turn(&self) -> impl Iterator<Item = &str> {
        let first = self.preferred();
        (0..self.urls.len()).map(move |step| self.urls[(first + step) % self.urls.len()].as_str())
    }

    /// One node's newest header.
    pub(super) async fn newest(
        &self,
        node: usize,
        path: &str,
        timeout: Duration,
    ) -> Result<Vec<u8>, LedgerError> {
        let request = self.client.get(format!("{}{path}", self.urls[node]));
        let response = send(request.timeout(timeout)).await?;
        match response.status() {
            StatusCode::OK => body(response, CertifiedHeader::LIMIT).await,
            StatusCode::NO_CONTENT => Err(LedgerError::Unreachable {
                detail: "the node has no newer header".into(),
            }),
            status => Err(unexpected(status)),
        }
    }

    /// The first answer that passes `check`; absent where a node says 404 and no other node has an answer.
    pub(super) async fn get<T>(
        &self,
        path: &str,
        limit: usize,
        check: impl Fn(Vec<u8>) -> Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        let (mut last, mut absent) = (None, false);
        for url in self.in_turn() {
            let answer = async {
                let response = send(self.client.get(format!("{url}{path}")).timeout(READ)).await?;
                match response.status() {
                    StatusCode::OK => check(body(response, limit).await?).map(Some),
                    StatusCode::NOT_FOUND => Ok(None),
                    status => Err(unexpected(status)),
                }
            };
            match answer.await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => absent = true,
                Err(error) => {
                    tracing::debug!(node = url, %error, "asking another node");
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if !absent => Err(error),
            _ => Ok(None),
        }
    }

    /// Submits until there is a receipt that passes `check`.
    pub(super) async fn submit(
        &self,
        entry: &[u8],
        deadline: Instant,
        check: impl Fn(Vec<u8>) -> Checked,
    ) -> Checked {
        let (mut refusals, mut last) = (0, LedgerError::NotFinal);
        loop {
            for url in self.in_turn() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(last);
                }
                match self.submit_to(url, entry, left, &check).await {
                    Ok(found) => return Ok(found),
                    Err(error @ LedgerError::Malformed { .. }) => return Err(error),
                    Err(error @ LedgerError::Inadmissible { .. }) => {
                        refusals += 1;
                        if refusals >= REFUSALS.min(self.urls.len()) {
                            return Err(error);
                        }
                        last = error;
                    }
                    Err(error) => {
                        tracing::debug!(node = url, %error, "submitting to another node");
                        if !matches!(last, LedgerError::Inadmissible { .. }) {
                            last = error;
                        }
                    }
                }
            }
            if matches!(last, LedgerError::Inadmissible { .. }) {
                return Err(last); // one node says so, and no other node answers
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn submit_to(
        &self,
        url: &str,
        entry: &[u8],
        left: Duration,
        check: &impl Fn(Vec<u8>) -> Checked,
    ) -> Checked {
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(SUBMIT_WAIT_MS);
        let wait_ms = SUBMIT_WAIT_MS.min(left_ms);
        let request = self
            .client
            .post(format!("{url}/v1/entries?wait_ms={wait_ms}"))
            .header("content-type", "application/cbor");
        let timeout = Duration::from_millis(wait_ms + 1_000).min(left + Duration::from_millis(500));
        let response = send(request.body(entry.to_vec()).timeout(timeout)).await?;
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::CREATED => check(body(response, Receipt::LIMIT).await?),
            StatusCode::ACCEPTED => Err(LedgerError::NotFinal),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Err(LedgerError::Malformed {
                    detail: problem(response).await.1,
                })
            }
            StatusCode::CONFLICT
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::TOO_MANY_REQUESTS => {
                let (code, detail) = problem(response).await;
                Err(LedgerError::Inadmissible { code, detail })
            }
            _ => Err(unexpected(status)),
        }
    }
}

async fn send(request: RequestBuilder) -> Result<Response, LedgerError> {
    request.send().await.map_err(|error| unreachable(&error))
}

/// A body of at most `limit` bytes.
async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, LedgerError> {
    let mut bytes = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&error))?
    {
        if bytes.len() + piece.len() > limit {
            return Err(LedgerError::proof(
                "answer",
                &format!("longer than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// `reason` (or `code`) and `detail` (or `title`) of problem details.
async fn problem(response: Response) -> (String, String) {
    let json = body(response, 16 * 1024)
        .await
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let json: serde_json::Value = json.unwrap_or_default();
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| json[name].as_str());
        found
            .unwrap_or("unspecified")
            .chars()
            .take(500)
            .collect::<String>()
    };
    (text(["reason", "code"]), text(["detail", "title"]))
}

fn unexpected(status: StatusCode) -> LedgerError {
    LedgerError::Unreachable {
        detail: format!("a node answers {status}"),
    }
}

fn unreachable(error: &reqwest::Error) -> LedgerError {
    use std::error::Error;
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    LedgerError::Unreachable {
        detail: format!("{error}{cause}"),
    }
}
