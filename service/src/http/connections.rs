//! Connections: counted, bounded, and closed where they say nothing.
//!
//! The HTTP server bounds the time until a request's head is there, but only once it knows which HTTP is spoken, for which
//! it waits forever. So a connection's beginning has a deadline of its own.

use super::address::Address;
use axum_server::accept::Accept;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// With this HTTP/2 begins (RFC 9113 section 3.4). Until something else came, or all of it, nobody knows which HTTP it is.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Takes connections as `inner` does, within limits.
#[derive(Clone)]
pub(super) struct Bounded<A> {
    pub(super) inner: A,
    pub(super) places: Places,
    /// Until a connection has said which HTTP it speaks.
    pub(super) begin: Duration,
}

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = Beginning<A::Stream>;
    type Service = A::Service;
    type Future =
        Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send + 'static>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream
            .peer_addr()
            .and_then(|from| self.places.take(from.ip()).ok_or_else(no_place));
        let place = match place {
            Ok(place) => place,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        let (accepting, begin) = (self.inner.accept(stream, service), self.begin);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let beginning = Beginning {
                stream,
                deadline: Some(Box::pin(sleep(begin))),
                matched: 0,
                _place: place,
            };
            Ok((beginning, service))
        })
    }
}

fn no_place() -> io::Error {
    io::Error::other("too many connections")
}

/// How many connections there are, in all and by address.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    all_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn new(all_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Inner {
            all_max,
            per_address_max,
            taken: Mutex::default(),
        }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection, given back when it is dropped.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place> {
        let Address(address) = Address::of(from);
        let mut taken = self.taken();
        let of_address = address.and_then(|address| taken.by_address.get(&address).copied());
        let refused = if taken.all >= self.0.all_max {
            "all"
        } else if of_address.is_some_and(|of_address| of_address >= self.0.per_address_max) {
            "address"
        } else {
            taken.all += 1;
            if let Some(address) = address {
                *taken.by_address.entry(address).or_default() += 1;
            }
            metrics::gauge!("tegata_http_connections").increment(1.0);
            drop(taken);
            let places = self.clone();
            return Some(Place { places, address });
        };
        metrics::counter!("tegata_http_connections_refused_total", "limit" => refused).increment(1);
        None
    }
}

/// One connection's place.
pub(super) struct Place {
    places: Places,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
        metrics::gauge!("tegata_http_connections").decrement(1.0);
    }
}

/// A connection that must say which HTTP it speaks before its deadline.
pub(super) struct Beginning<S> {
    stream: S,
    /// `None` once it has.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How much of [`HTTP_2`] has come.
    matched: usize,
    _place: Place,
}

impl<S> Beginning<S> {
    fn hear(&mut self, bytes: &[u8]) {
        let rest = &HTTP_2[self.matched..];
        let length = bytes.len().min(rest.len());
        if length > 0 && bytes[..length] == rest[..length] && length < rest.len() {
            self.matched += length;
        } else if length > 0 {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Beginning<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(deadline) = &mut this.deadline else {
            return polled;
        };
        // one byte after the other puts nothing off
        if deadline.as_mut().poll(context).is_ready() {
            metrics::counter!("tegata_http_connections_silent_total").increment(1);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if polled.is_ready() {
            this.hear(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Beginning<S> {
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

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn places_are_bounded_by_address_and_in_all_and_given_back() {
        let places = Places::new(4, 2);
        let first = places.take(address(1)).unwrap();
        let second = places.take(address(1)).unwrap();
        assert!(
            places.take(address(1)).is_none(),
            "a third from one address"
        );
        drop(first);
        let third = places.take(address(1)).unwrap();
        let own: Vec<_> = (0..2)
            .map(|_| places.take(IpAddr::from([127, 0, 0, 1])).unwrap())
            .collect();
        assert!(places.take(address(2)).is_none(), "a fifth in all");
        drop((second, third, own));
        assert_eq!(places.taken().all, 0);
        assert!(places.taken().by_address.is_empty());
    }

    #[tokio::test]
    async fn a_beginning_has_a_deadline_and_what_follows_has_none() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let places = Places::new(10, 10);
        let begun = |sent: &'static [u8], more: &'static [u8]| {
            let place = places.take(address(1)).unwrap();
            async move {
                let (mut far, near) = tokio::io::duplex(1000);
                let mut near = Beginning {
                    stream: near,
                    deadline: Some(Box::pin(sleep(Duration::from_millis(200)))),
                    matched: 0,
                    _place: place,
                };
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
        assert_eq!(begun(HTTP_2, b"x").await, Ok(1));
    }
}
