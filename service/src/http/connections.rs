//! Connections: counted, bounded, and closed where they say nothing.
//!
//! The HTTP server bounds the time until a request's head is there, but only once it knows which HTTP is spoken, for which
//! it waits forever. So a connection's beginning has a deadline of its own. HTTP/2 (RFC 9113) then bounds nothing: a
//! connection of it ends where no request is under way for as long as a head may take.
//!
//! Nor does the server bound how long answers wait to be read. A connection ends where a write, or with HTTP/2 a piece of an
//! answer for which the other end gives no window, waits for as long as a body may pause. What waits for us, such as events
//! that do not happen, counts for nothing.

use super::address::Proxies;
use super::places::{Place, Places};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::middleware::Next;
use axum::response::Response;
use axum_server::accept::Accept;
use http_body::{Frame, SizeHint};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;

/// With this HTTP/2 begins (RFC 9113 section 3.4). Until something else came, or all of it, nobody knows which HTTP it is.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest piece of an answer over HTTP/2, in bytes, so that each that is taken shows that somebody reads. Frames are no
/// longer either, where nobody asks for it (RFC 9113 section 4.2).
const PIECE_MAX: usize = 16 * 1024;

/// Takes connections as `inner` does, within limits.
#[derive(Clone)]
pub(super) struct Bounded<A> {
    pub(super) inner: A,
    pub(super) places: Places,
    /// Whose connections stand for many callers.
    pub(super) proxies: Proxies,
    pub(super) patience: Patience,
}

/// How long a connection may keep us waiting.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until it has said which HTTP it speaks; and, with HTTP/2, without a request.
    pub(super) begin: Duration,
    /// Until it takes the next piece of an answer.
    pub(super) pause: Duration,
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
        let (accepting, patience) = (self.inner.accept(stream, service), self.patience);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let activity = Arc::new(Activity::new());
            let told = Told {
                service,
                activity: Arc::clone(&activity),
            };
            Ok((Watched::new(stream, patience, activity, place), told))
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
    /// Of how many answers a piece waits to be taken.
    offered: usize,
    /// Since when none was taken, where any waits.
    untaken_since: Instant,
}

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Doing {
            requests: 0,
            idle_since: Instant::now(),
            offered: 0,
            untaken_since: Instant::now(),
        }))
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it will have kept us waiting for too long, if it goes on so; `None` while it waits for us.
    fn ends(&self, patience: Patience) -> Option<Instant> {
        let doing = self.doing();
        match (doing.requests, doing.offered) {
            (0, _) => Some(doing.idle_since + patience.begin),
            (_, 0) => None,
            _ => Some(doing.untaken_since + patience.pause),
        }
    }

    /// A piece is taken, where one `was_offered`; and another offered, or not.
    fn offer(&self, was_offered: bool, is_offered: bool) {
        let mut doing = self.doing();
        doing.offered -= usize::from(was_offered);
        if was_offered || doing.offered == 0 {
            doing.untaken_since = Instant::now();
        }
        doing.offered += usize::from(is_offered);
    }

    /// Bytes that had to wait have gone.
    fn moved(&self) {
        let mut doing = self.doing();
        doing.idle_since = Instant::now();
        doing.untaken_since = doing.idle_since;
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

/// Counts a request as under way until the last of its answer is taken.
pub(super) async fn under_way(request: Request, next: Next) -> Response {
    let activity = request.extensions().get::<Arc<Activity>>();
    let under_way = activity.map(UnderWay::begin);
    let piece_max = match request.version() {
        Version::HTTP_2 => PIECE_MAX,
        _ => usize::MAX,
    };
    let response = next.run(request).await;
    match under_way {
        None => response,
        Some(under_way) => response.map(|body| {
            Body::new(Sending {
                body,
                rest: Bytes::new(),
                piece_max,
                is_offered: false,
                under_way,
            })
        }),
    }
}

/// The body of an answer that is being sent, piece by piece: the server asks for the next one when the last was taken.
struct Sending {
    body: Body,
    /// What is left of a longer piece.
    rest: Bytes,
    piece_max: usize,
    /// Whether the server holds a piece that may not have been taken yet.
    is_offered: bool,
    under_way: UnderWay,
}

impl Sending {
    fn piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(self.piece_max);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn offer(&mut self, is_offered: bool) {
        self.under_way.0.offer(self.is_offered, is_offered);
        self.is_offered = is_offered;
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = this.piece(context);
        this.offer(matches!(polled, Poll::Ready(Some(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.offer(false);
    }
}

/// A connection that is closed where it says or takes nothing.
pub(super) struct Watched<S> {
    stream: S,
    spoken: Spoken,
    /// When to look again; `None` where HTTP/1 looks itself.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Until when a write that waits may wait.
    write_deadline: Option<Pin<Box<Sleep>>>,
    patience: Patience,
    activity: Arc<Activity>,
    _place: Place,
}

fn too_long() -> io::Error {
    metrics::counter!("tegata_http_connections_silent_total").increment(1);
    io::ErrorKind::TimedOut.into()
}

/// Which HTTP a connection speaks.
enum Spoken {
    /// Not known yet; so much of [`HTTP_2`] has come.
    Unknown(usize),
    Http1,
    Http2,
}

impl<S> Watched<S> {
    fn new(stream: S, patience: Patience, activity: Arc<Activity>, place: Place) -> Self {
        Self {
            stream,
            spoken: Spoken::Unknown(0),
            deadline: Some(Box::pin(sleep(patience.begin))),
            write_deadline: None,
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
            let now = Instant::now();
            let ends = match (&self.spoken, &self.write_deadline) {
                // one byte after the other puts nothing off
                (Spoken::Unknown(_), _) => return true,
                // a write that waits has its own deadline
                (_, Some(_)) => None,
                (_, None) => self.activity.ends(self.patience),
            };
            if ends.is_some_and(|ends| ends <= now) {
                return true;
            }
            let later = now + self.patience.begin;
            deadline
                .as_mut()
                .reset(ends.map_or(later, |ends| ends.min(later)));
        }
        false
    }

    /// Ends a write that waits for too long.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.write_deadline.take().is_some() {
                self.activity.moved();
            }
            return polled;
        }
        let pause = self.patience.pause;
        let deadline = self
            .write_deadline
            .get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(too_long()))
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
            return Poll::Ready(Err(too_long()));
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
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.written(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.written(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Address;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PATIENCE: Patience = Patience {
        begin: Duration::from_millis(200),
        pause: Duration::from_millis(200),
    };

    #[tokio::test]
    async fn a_beginning_has_a_deadline_and_so_has_http_2_without_a_request() {
        let places = Places::new("test", 10, 10);
        let begun = |sent: &'static [u8], more: &'static [u8]| {
            let place = places.take(Address(None)).unwrap();
            async move {
                let (mut far, near) = tokio::io::duplex(1000);
                let activity = Arc::new(Activity::new());
                let mut near = Watched::new(near, PATIENCE, activity, place);
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

    #[tokio::test]
    async fn a_write_that_nobody_reads_has_a_deadline() {
        let places = Places::new("test", 10, 10);
        let write = async |patience_ms: u64, pause_ms: u64| {
            let patience = Patience {
                pause: Duration::from_millis(patience_ms),
                ..PATIENCE
            };
            let (mut far, near) = tokio::io::duplex(10);
            let activity = Arc::new(Activity::new());
            let place = places.take(Address(None)).unwrap();
            let mut near = Watched::new(near, patience, activity, place);
            let reader = tokio::spawn(async move {
                loop {
                    sleep(Duration::from_millis(pause_ms)).await;
                    far.read_exact(&mut [0; 10]).await.unwrap();
                }
            });
            let written = near.write_all(&[0; 100]).await;
            reader.abort();
            written.map_err(|error| error.kind())
        };
        assert_eq!(write(100, 30_000).await, Err(io::ErrorKind::TimedOut));
        assert_eq!(write(30_000, 50).await, Ok(()), "slow, but it reads");
    }

    #[tokio::test]
    async fn long_pieces_are_sent_as_shorter_ones() {
        use std::future::poll_fn;
        let activity = Arc::new(Activity::new());
        let mut sending = Sending {
            body: Body::from("0123456789"),
            rest: Bytes::new(),
            piece_max: 4,
            is_offered: false,
            under_way: UnderWay::begin(&activity),
        };
        assert!(activity.ends(PATIENCE).is_none(), "it waits for us");
        for (piece, left) in [("0123", 6), ("4567", 2), ("89", 0)] {
            let frame = poll_fn(|context| Pin::new(&mut sending).poll_frame(context)).await;
            let data = frame.unwrap().unwrap().into_data();
            assert_eq!(data.unwrap(), piece);
            assert_eq!(sending.size_hint().exact(), Some(left));
            assert_eq!(sending.is_end_stream(), left == 0);
            assert!(activity.ends(PATIENCE).is_some(), "we wait for it");
        }
        drop(sending);
        let doing = activity.doing();
        assert_eq!((doing.requests, doing.offered), (0, 0));
    }
}
