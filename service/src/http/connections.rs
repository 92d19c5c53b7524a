//! Connections: counted, bounded, and closed where they say nothing.
//!
//! The HTTP server bounds the time until a request's head is there, but only once it knows which HTTP is spoken, for which
//! it waits forever. So a connection's beginning has a deadline of its own. HTTP/2 (RFC 9113) then bounds nothing: a
//! connection of it ends where no request is under way for as long as a head may take.

use super::address::Proxies;
use super::places::{Place, Places};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use axum_server::accept::Accept;
use http_body::{Frame, SizeHint};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;

/// With this HTTP/2 begins (RFC 9113 section 3.4). Until something else came, or all of it, nobody knows which HTTP it is.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Takes connections as `inner` does, within limits.
#[derive(Clone)]
pub(super) struct Bounded<A> {
    pub(super) inner: A,
    pub(super) places: Places,
    /// Whose connections stand for many callers.
    pub(super) proxies: Proxies,
    /// Until a connection has said which HTTP it speaks; and how long one of HTTP/2 may be without a request.
    pub(super) begin: Duration,
}

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = Watched<A::Stream>;
    type Service = Told<A::Service>;
    type Future =
        Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send + 'static>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().and_then(|from| {
            self.places
                .take(self.proxies.connection(from.ip()))
                .ok_or_else(no_place)
        });
        let place = match place {
            Ok(place) => place,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        let (accepting, begin) = (self.inner.accept(stream, service), self.begin);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let activity = Arc::new(Activity::new());
            let told = Told {
                service,
                activity: Arc::clone(&activity),
            };
            Ok((Watched::new(stream, begin, activity, place), told))
        })
    }
}

fn no_place() -> io::Error {
    io::Error::other("too many connections")
}

/// What goes on in a connection.
pub(super) struct Activity(Mutex<Doing>);

struct Doing {
    /// Requests under way, their answers' bodies included.
    requests: usize,
    /// Since when there are none, where there are none.
    idle_since: Instant,
}

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Doing {
            requests: 0,
            idle_since: Instant::now(),
        }))
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when no request is under way; `None` while one is.
    fn idle_since(&self) -> Option<Instant> {
        let doing = self.doing();
        (doing.requests == 0).then_some(doing.idle_since)
    }
}

/// A request under way.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.doing().requests += 1;
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        doing.requests -= 1;
        doing.idle_since = Instant::now();
    }
}

/// A connection's service, whose requests carry the connection's [`Activity`].
#[derive(Clone)]
pub(super) struct Told<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S, B> Service<Request<B>> for Told<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(Arc::clone(&self.activity));
        self.service.call(request)
    }
}

/// Counts a request as under way until the last of its answer is sent.
pub(super) async fn under_way(request: Request, next: Next) -> Response {
    let activity = request.extensions().get::<Arc<Activity>>();
    let under_way = activity.map(UnderWay::begin);
    let response = next.run(request).await;
    match under_way {
        None => response,
        Some(under_way) => response.map(|body| Body::new(Sending { body, under_way })),
    }
}

/// The body of an answer that is being sent.
struct Sending {
    body: Body,
    #[expect(dead_code, reason = "counts until it is dropped")]
    under_way: UnderWay,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that is closed where it says nothing.
pub(super) struct Watched<S> {
    stream: S,
    spoken: Spoken,
    /// When to look again; `None` where HTTP/1 looks itself.
    deadline: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    activity: Arc<Activity>,
    _place: Place,
}

/// Which HTTP a connection speaks.
enum Spoken {
    /// Not known yet; so much of [`HTTP_2`] has come.
    Unknown(usize),
    Http1,
    Http2,
}

impl<S> Watched<S> {
    fn new(stream: S, patience: Duration, activity: Arc<Activity>, place: Place) -> Self {
        Self {
            stream,
            spoken: Spoken::Unknown(0),
            deadline: Some(Box::pin(sleep(patience))),
            patience,
            activity,
            _place: place,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Spoken::Unknown(matched) = self.spoken else {
            return;
        };
        let rest = &HTTP_2[matched..];
        let length = bytes.len().min(rest.len());
        if bytes[..length] != rest[..length] {
            self.spoken = Spoken::Http1;
            self.deadline = None;
        } else if length == rest.len() {
            self.spoken = Spoken::Http2;
        } else {
            self.spoken = Spoken::Unknown(matched + length);
        }
    }

    /// Whether this connection was silent for too long. Where it was not, its task is woken when to ask again.
    fn is_silent(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = &mut self.deadline else {
            return false;
        };
        while deadline.as_mut().poll(context).is_ready() {
            let next = match (&self.spoken, self.activity.idle_since()) {
                // one byte after the other puts nothing off
                (Spoken::Unknown(_), _) => return true,
                (_, None) => Instant::now() + self.patience,
                (_, Some(since)) => since + self.patience,
            };
            if next <= Instant::now() {
                return true;
            }
            deadline.as_mut().reset(next);
        }
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.is_silent(context) {
            metrics::counter!("tegata_http_connections_silent_total").increment(1);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if polled.is_ready() {
            this.hear(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Address;

    #[tokio::test]
    async fn a_beginning_has_a_deadline_and_so_has_http_2_without_a_request() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let places = Places::new("test", 10, 10);
        let begun = |sent: &'static [u8], more: &'static [u8]| {
            let place = places.take(Address(None)).unwrap();
            async move {
                let (mut far, near) = tokio::io::duplex(1000);
                let activity = Arc::new(Activity::new());
                let mut near = Watched::new(near, Duration::from_millis(200), activity, place);
                far.write_all(sent).await.unwrap();
                let mut read = vec![0; sent.len()];
                near.read_exact(&mut read).await.unwrap();
                assert_eq!(read, sent);
                let late = tokio::spawn(async move {
                    sleep(Duration::from_millis(500)).await;
                    let _ = far.write_all(more).await; // it may have been closed
                });
                let mut read = vec![0; more.len()];
                let result = near.read_exact(&mut read).await;
                late.abort();
                result.map_err(|error| error.kind())
            }
        };
        assert_eq!(begun(b"", b"GET").await, Err(io::ErrorKind::TimedOut));
        assert_eq!(begun(b"PRI *", b"x").await, Err(io::ErrorKind::TimedOut));
        assert_eq!(begun(b"GET / HTTP/1.1\r\n", b"x").await, Ok(1));
        assert_eq!(begun(b"PUT", b"x").await, Ok(1));
        assert_eq!(begun(HTTP_2, b"x").await, Err(io::ErrorKind::TimedOut));
    }
}
