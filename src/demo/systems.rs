//! An organisation's own systems, as they speak to its issuer or verifier: with a bearer token.

use super::patience::Patience;
use super::setup::ServiceAddress;
use super::steps::Broken;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A client of one service.
pub struct Systems<'a> {
    http: reqwest::Client,
    service: &'a ServiceAddress,
    patience: Patience,
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
    /// Of a service. They ask again for as long as they have patience.
    #[must_use]
    pub const fn new(
        http: reqwest::Client,
        service: &'a ServiceAddress,
        patience: Patience,
    ) -> Self {
        Self {
            http,
            service,
            patience,
        }
    }

    /// The same, with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// `GET`.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn get(&self, path: &str) -> Result<Answer, Broken> {
        self.send(|| self.http.get(format!("{}{path}", self.service.url)))
            .await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Broken> {
        let url = format!("{}{path}", self.service.url);
        self.send(|| self.http.post(&url).json(body)).await
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
        let url = format!("{}{path}", self.service.url);
        let request = || {
            let request = self.http.post(&url).header("content-type", content_type);
            request.body(body.clone())
        };
        self.send(request).await
    }

    async fn send(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Result<Answer, Broken> {
        let token = self.service.token.as_deref().unwrap_or_default();
        let answer = self
            .patience
            .ask(|| request().bearer_auth(token).send())
            .await
            .map_err(|error| Broken(format!("{} does not answer: {error}", self.service.url)))?;
        Ok(Answer {
            status: answer.status.as_u16(),
            body: serde_json::from_slice(&answer.bytes).unwrap_or(Value::Null),
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
