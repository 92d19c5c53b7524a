//! What people and their systems do where a service does not answer: they ask again.
//!
//! Every call of the APIs may be repeated: what was done is not done twice. A repeated reading is the one exception that can
//! be seen, since each access is an entry; so repetitions are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// How long calls are repeated, and how often they were. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    length: Duration,
    repeats: Arc<AtomicU32>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    /// HTTP status.
    pub status: reqwest::StatusCode,
    /// Body.
    pub bytes: Vec<u8>,
}

impl Patience {
    /// Repeats for so long; the default not at all.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            repeats: Arc::default(),
        }
    }

    /// How many calls were repeated so far.
    #[must_use]
    pub fn repeats(&self) -> u32 {
        self.repeats.load(Ordering::SeqCst)
    }

    /// Sends until a whole answer comes that does not say to ask again, or patience is at its end.
    ///
    /// # Errors
    /// That of the last attempt.
    pub async fn ask<F: Future<Output = reqwest::Result<reqwest::Response>>>(
        &self,
        send: impl Fn() -> F,
    ) -> reqwest::Result<Whole> {
        let began = Instant::now();
        loop {
            let answer = async {
                let answer = send().await?;
                let status = answer.status();
                let bytes = answer.bytes().await?.into();
                Ok(Whole { status, bytes })
            };
            let answer = answer.await;
            let again = answer.as_ref().map_or(true, Whole::says_again);
            if !again || !self.waits(began).await {
                return answer;
            }
        }
    }

    /// Waits for a moment and counts, for whoever asks again what began at `began`; `false` where patience is at its end.
    pub async fn waits(&self, began: Instant) -> bool {
        if began.elapsed() >= self.length {
            return false;
        }
        self.repeats.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
        true
    }
}

impl Whole {
    /// The service, or one behind it, is away for the moment; or it started after the request was signed.
    fn says_again(&self) -> bool {
        match self.status.as_u16() {
            502..=504 => true,
            401 => String::from_utf8_lossy(&self.bytes).contains("\"signature-created\""),
            _ => false,
        }
    }
}
