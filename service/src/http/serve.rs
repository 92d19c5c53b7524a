//! Listening: plain or TLS, bounded in number, size and time, logged without bodies, queries or identifiers.

use super::address::Proxies;
use super::bounds::{answer_in_time, bodies_as_they_are, one_host, problems};
use super::connections::{Bounded, Patience, under_way};
use super::places::Places;
use super::{no_such_method, no_such_path};
use crate::config::{HttpConfig, HttpLimits};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;

/// Largest body of routes that set no limit of their own, in bytes.
const BODY_MAX: usize = 1 << 20;
/// Between two questions to an HTTP/2 connection whether somebody is there.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// For requests under way when the service stops.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `shutdown` is ready; then requests under way get five seconds.
///
/// Routes get `ConnectInfo<SocketAddr>`. Bodies are at most 1 MiB unless a route sets its own `DefaultBodyLimit`.
///
/// # Errors
/// Where the address is taken or the TLS files cannot be used.
pub async fn serve(
    router: Router,
    config: &HttpConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(config.listen).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {}: {error}", config.listen),
        )
    })?;
    serve_on(listener, router, config, shutdown).await
}

/// As [`serve`], on a listener that is open already (tests let the system choose the port).
///
/// # Errors
/// As [`serve`].
pub async fn serve_on(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let router = wrap(router, config)?;
    let handle = Handle::new();
    let stop = handle.clone();
    let stopper = tokio::spawn(async move {
        shutdown.await;
        stop.graceful_shutdown(Some(GRACE));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let limits = &config.limits;
    let places = Places::new(
        "tegata_http_connections",
        limits.connections_max,
        limits.connections_per_address_max,
    );
    let proxies = Proxies::new(config);
    let patience = Patience {
        begin: Duration::from_millis(limits.head_timeout_ms),
        pause: Duration::from_millis(limits.body_pause_max_ms),
    };
    let server = axum_server::from_tcp(listener)?.handle(handle);
    let served = match &config.tls {
        None => {
            let mut server = server.acceptor(Bounded {
                inner: NoDelayAcceptor::new(),
                places,
                proxies,
                patience,
            });
            bound(server.http_builder(), limits);
            server.serve(service).await
        }
        Some(tls) => {
            // two providers are in the tree (libp2p brings the other); whoever chose before us stays
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let loaded = RustlsConfig::from_pem_file(&tls.certificate, &tls.key)
                .await
                .map_err(|error| {
                    let files = format!("{} and {}", tls.certificate.display(), tls.key.display());
                    io::Error::new(error.kind(), format!("TLS files {files}: {error}"))
                })?;
            let inner = RustlsAcceptor::new(loaded)
                .handshake_timeout(patience.begin)
                .acceptor(NoDelayAcceptor::new());
            let mut server = server.acceptor(Bounded {
                inner,
                places,
                proxies,
                patience,
            });
            bound(server.http_builder(), limits);
            server.serve(service).await
        }
    };
    stopper.abort();
    served
}

/// Bounds the time until a request's head is there, and ends HTTP/2 connections at whose other end nobody is.
fn bound(builder: &mut Builder<TokioExecutor>, limits: &HttpLimits) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_timeout_ms));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(ASK_EVERY));
}

/// Ready when the process is asked to end (Ctrl-C, SIGTERM).
pub async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            },
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGTERM");
                drop(tokio::signal::ctrl_c().await);
            }
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}

fn wrap(router: Router, config: &HttpConfig) -> io::Result<Router> {
    let router = router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(bodies_as_they_are))
        .layer(RequestBodyTimeoutLayer::new(Duration::from_millis(
            config.limits.body_pause_max_ms,
        )))
        .layer(middleware::from_fn_with_state(
            config.limits,
            answer_in_time,
        ))
        .layer(middleware::from_fn(one_host))
        .layer(Extension(Proxies::new(config)))
        .layer(middleware::from_fn(problems))
        .layer(middleware::from_fn(observe));
    let router = match cors(&config.cors_origins)? {
        Some(cors) => router.layer(cors),
        None => router,
    };
    Ok(router.layer(middleware::from_fn(under_way)))
}

/// Logs and counts a request by its route (`/v1/grants/{id}`, not the id), and forbids browsers to guess types.
async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS") => {
            known.to_owned()
        }
        _ => "other".to_owned(), // a stranger's words must not become labels
    };
    let mut response = next.run(request).await;
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let (status, took) = (response.status().as_u16(), started.elapsed());
    tracing::debug!(
        method,
        route,
        status,
        took_ms = took.as_secs_f64() * 1000.0,
        "request"
    );
    let labels = [
        ("method", method),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::counter!("tegata_http_requests_total", &labels).increment(1);
    metrics::histogram!("tegata_http_request_seconds", &labels[..2]).record(took.as_secs_f64());
    response
}

fn cors(origins: &[String]) -> io::Result<Option<CorsLayer>> {
    if origins.is_empty() {
        return Ok(None);
    }
    let origin = |text: &String| {
        let wrong = |_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("cors_origins: {text:?} is not an origin"),
            )
        };
        text.trim_end_matches('/')
            .parse::<HeaderValue>()
            .map_err(wrong)
    };
    let allowed = if origins == ["*"] {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().map(origin).collect::<Result<Vec<_>, _>>()?)
    };
    let signing =
        ["content-digest", "dpop", "signature", "signature-input"].map(HeaderName::from_static);
    let common = [
        header::ACCEPT,
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
    ];
    Ok(Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT])
            .allow_headers(common.into_iter().chain(signing).collect::<Vec<_>>())
            .expose_headers([
                header::ETAG,
                header::LOCATION,
                header::RETRY_AFTER,
                header::WWW_AUTHENTICATE,
            ])
            .max_age(Duration::from_secs(3600)),
    ))
}
