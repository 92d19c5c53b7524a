//! An organisation's own systems, as they speak to its issuer or verifier: with a bearer token.

use super::setup::ServiceAddress;
use super::steps::Broken;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A client of one service.
pub struct Systems<'a> {
    http: reqwest::Client,
    service: &'a ServiceAddress,
}

/// An answer: status and body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body, null where there is none.
    pub body: Value,
}

impl<'a> Systems<'a> {
    /// Of a service.
    #[must_use]
    pub const fn new(http: reqwest::Client, service: &'a ServiceAddress) -> Self {
        Self { http, service }
    }

    /// `GET`.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn get(&self, path: &str) -> Result<Answer, Broken> {
        self.send(self.http.get(format!("{}{path}", self.service.url)))
            .await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Broken> {
        self.send(
            self.http
                .post(format!("{}{path}", self.service.url))
                .json(body),
        )
        .await
    }

    /// `POST` of another type.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn post_as(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Broken> {
        let request = self.http.post(format!("{}{path}", self.service.url));
        self.send(request.header("content-type", content_type).body(body))
            .await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
        let token = self.service.token.as_deref().unwrap_or_default();
        let unreachable = |error| Broken(format!("{} does not answer: {error}", self.service.url));
        let answer = request
            .bearer_auth(token)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }

    /// Asks again until `done` gives something.
    ///
    /// # Errors
    /// Where nothing came within the time, with the last answer.
    pub async fn until<T>(
        &self,
        path: &str,
        within: Duration,
        done: impl Fn(&Answer) -> Option<T>,
    ) -> Result<T, Broken> {
        let started = Instant::now();
        loop {
            let answer = self.get(path).await?;
            if let Some(found) = done(&answer) {
                return Ok(found);
            }
            if started.elapsed() > within {
                return Err(Broken(format!(
                    "{path} did not come so far within {within:?}: {}",
                    answer.body
                )));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

impl Answer {
    /// The body, if the status is one of success.
    ///
    /// # Errors
    /// The status and body otherwise.
    pub fn success(self, what: &str) -> Result<Value, Broken> {
        if (200..300).contains(&self.status) {
            Ok(self.body)
        } else {
            Err(Broken(format!(
                "{what} was answered {}: {}",
                self.status, self.body
            )))
        }
    }
}
