//! Fetching from a vault's host, page by page, signed and bounded.

use crate::reading::ReadingError;
use futures::StreamExt;
use serde::Deserialize;
use std::time::Duration;
use tegata_consent::cbor;
use tegata_consent::fetch::{FetchAnswer, FetchRequest};
use tegata_service::signature::{Signer, send_signed};
use tokio::time::{sleep, timeout};

/// Until a page is here.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a host that has not seen our access yet is asked again, and after how long. The access is final already: the
/// node that the host asks may only be a block behind.
const BEHIND: (u32, Duration) = (20, Duration::from_millis(250));

/// One page of records.
pub(crate) async fn fetch(
    client: &reqwest::Client,
    signer: &Signer,
    base: &str,
    request: &FetchRequest,
) -> Result<FetchAnswer, ReadingError> {
    let body = cbor::encode(request);
    let mut attempts = 0;
    loop {
        let page = timeout(TIMEOUT, fetch_once(client, signer, base, body.clone())).await;
        match page.unwrap_or_else(|_| Err(ReadingError::Host("it does not answer in time".into())))
        {
            Err(ReadingError::HostRefused { code, .. })
                if code == "access-unknown" && attempts < BEHIND.0 =>
            {
                attempts += 1;
                sleep(BEHIND.1).await;
            }
            page => return page,
        }
    }
}

async fn fetch_once(
    client: &reqwest::Client,
    signer: &Signer,
    base: &str,
    body: Vec<u8>,
) -> Result<FetchAnswer, ReadingError> {
    let error = |error: reqwest::Error| ReadingError::Host(error.without_url().to_string());
    let url = format!("{base}/v1/fetch");
    let response = send_signed(
        client,
        signer,
        reqwest::Method::POST,
        &url,
        "application/cbor",
        body,
    )
    .await
    .map_err(error)?;
    let status = response.status();
    let limit = if status.is_success() {
        FetchAnswer::LIMIT
    } else {
        64 * 1024
    };
    let mut bytes = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(error)?);
        if bytes.len() > limit {
            return Err(ReadingError::Host(format!(
                "its answer is longer than {limit} bytes"
            )));
        }
    }
    if status.is_success() {
        return cbor::decode(&bytes, limit)
            .map_err(|error| ReadingError::Host(format!("its answer: {error}")));
    }
    /// What is read of problem details (RFC 9457).
    #[derive(Deserialize, Default)]
    struct Reason {
        #[serde(default)]
        code: String,
    }
    let reason: Reason = serde_json::from_slice(&bytes).unwrap_or_default();
    let code: String = reason
        .code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(60)
        .collect();
    match (status.as_u16(), code.as_str()) {
        (503, "stale") => Err(ReadingError::HostStale),
        (401 | 403, _) => Err(ReadingError::HostRefused {
            status: status.as_u16(),
            code,
        }),
        (status, _) => Err(ReadingError::Host(format!("it answers {status} {code}"))),
    }
}
