//! Asking one node, bounded in size and time.

use super::{ANSWER, AuditError, QUESTION};
use minicbor::{Decode, Encode};
use reqwest::{Client, StatusCode};
use std::time::Duration;
use tegata_consent::cbor;

pub(super) struct Node {
    url: String,
    client: Client,
}

/// How often a question is asked that gets no answer.
const ATTEMPTS: u32 = 4;

impl Node {
    pub(super) fn new(url: &str) -> Result<Self, AuditError> {
        let cannot =
            |error: &dyn std::fmt::Display| AuditError::CannotRun(format!("{url}: {error}"));
        reqwest::Url::parse(url).map_err(|error| cannot(&error))?;
        let client = Client::builder()
            .timeout(QUESTION)
            .redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| cannot(&error))?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            client,
        })
    }

    /// Reads one CBOR value. A node that does not answer makes the audit impossible; one that answers nonsense fails it.
    pub(super) async fn get<T>(&self, path: &str, limit: usize, part: &str) -> Result<T, AuditError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let attempts = async {
            let mut attempt = 1;
            loop {
                match self.bytes(path, limit, part).await {
                    Err(AuditError::CannotRun(_)) if attempt < ATTEMPTS => {
                        tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(attempt)).await;
                        attempt += 1;
                    }
                    other => break other,
                }
            }
        };
        let silent = |_| {
            let seconds = ANSWER.as_secs();
            AuditError::CannotRun(format!("{}{path}: no answer within {seconds} s", self.url))
        };
        let bytes = tokio::time::timeout(ANSWER, attempts).await;
        let bytes = bytes.map_err(silent)??;
        cbor::decode(&bytes, limit).map_err(|error| AuditError::of(part, &error))
    }

    async fn bytes(&self, path: &str, limit: usize, part: &str) -> Result<Vec<u8>, AuditError> {
        let cannot = |error: &dyn std::fmt::Display| {
            AuditError::CannotRun(format!("{}{path}: {error}", self.url))
        };
        let mut response = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .map_err(|error| cannot(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR => {
                return Err(AuditError::of(
                    part,
                    &format!("the node answers {}", response.status()),
                ));
            }
            status => return Err(cannot(&format!("the node answers {status}"))),
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| cannot(&error))? {
            if bytes.len() + piece.len() > limit {
                return Err(AuditError::of(part, &format!("longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}
