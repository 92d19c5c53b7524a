//! What goes around every route: an answer in time, and errors that are problems.

use super::{as_it_is, discard, no_such_method};
use crate::config::HttpLimits;
use crate::problem::Problem;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest text of a refused extractor that is passed on, in bytes.
const TEXT_MAX: usize = 500;

/// Gives up on an answer that does not begin in time. The time grows with the body, so that a large one that comes as fast
/// as it must is never cut off, and one byte now and then buys nothing.
pub(super) async fn answer_in_time(
    State(limits): State<HttpLimits>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let coming = Arc::new(Coming::default());
    let request = if request.body().is_end_stream() {
        request
    } else {
        let coming = Arc::clone(&coming);
        request.map(|body| {
            Body::from_stream(body.into_data_stream().inspect_ok(move |piece| {
                coming
                    .bytes
                    .fetch_add(piece.len() as u64, Ordering::Relaxed);
                let last_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                coming.last_ms.store(last_ms, Ordering::Relaxed);
            }))
        })
    };
    let mut answer = std::pin::pin!(next.run(request));
    let mut waited_ms = 0;
    loop {
        let allowed_ms = limits
            .answer_timeout_ms
            .saturating_add(coming.worth_ms(limits.body_bytes_per_s_min));
        if allowed_ms <= waited_ms {
            return Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "There was no answer in time, or the body came too slowly",
            )
            .into_response();
        }
        waited_ms = allowed_ms;
        tokio::select! {
            answer = &mut answer => return answer,
            () = sleep_until(began + Duration::from_millis(allowed_ms)) => {}
        }
    }
}

/// How much of a body has come, and when the last of it, in milliseconds after the head.
#[derive(Default)]
struct Coming {
    bytes: AtomicU64,
    last_ms: AtomicU64,
}

impl Coming {
    /// How long the body may have taken so far: as long as it did, if that was fast enough.
    fn worth_ms(&self, bytes_per_s_min: u64) -> u64 {
        let at_pace_ms = self.bytes.load(Ordering::Relaxed).saturating_mul(1000);
        (at_pace_ms / bytes_per_s_min.max(1)).min(self.last_ms.load(Ordering::Relaxed))
    }
}

/// Refuses a body that was compressed on its way, whatever route would read it. A route that reads none, or refuses before it
/// does, answers for itself; and strangers hear nothing but 401.
pub(super) async fn bodies_as_they_are(request: Request, next: Next) -> Response {
    let Err(refused) = as_it_is(request.headers()) else {
        return next.run(request).await;
    };
    let is_wanted = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_wanted);
    let nothing = futures::stream::once(async move {
        asked.store(true, Ordering::Relaxed);
        Err::<Bytes, _>(io::Error::other("compressed"))
    });
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, Body::from_stream(nothing));
    let answer = next.run(request).await;
    if !is_wanted.load(Ordering::Relaxed) {
        return answer;
    }
    discard(body).await;
    match answer.status() {
        StatusCode::UNAUTHORIZED => answer,
        _ => refused.into_response(),
    }
}

/// Over HTTP/1.1 a request names its host, once (RFC 9112 section 3.2).
pub(super) async fn one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts != 1 {
        return Problem::malformed("over HTTP/1.1 a request has one Host").into_response();
    }
    next.run(request).await
}

/// What a route's extractors refuse is plain text by default; here it becomes a problem.
pub(super) async fn problems(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let plain = |text: &header::HeaderValue| text.as_bytes().starts_with(b"text/plain");
    if !(status.is_client_error() || status.is_server_error())
        || !response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(plain)
    {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), TEXT_MAX).await;
    let text = text.unwrap_or_default();
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => no_such_method().await,
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "too-large", "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(
            status,
            "media-type",
            "The body has another media type than expected",
        ),
        _ if status.is_server_error() => {
            tracing::error!(%status, text = %String::from_utf8_lossy(&text), "a route failed");
            Problem::new(
                status,
                "internal",
                "Something went wrong here; the operator's log says what",
            )
        }
        _ => Problem::new(status, "malformed", "The request is malformed")
            .detail(String::from_utf8_lossy(&text)),
    }
    .into_response()
}
