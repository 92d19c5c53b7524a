//! Serving: standard routes, bounds, problems, CORS, TLS, an orderly end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tegata_service::config::{HttpConfig, TelemetryConfig, TlsConfig};
use tegata_service::http::{Readiness, serve, serve_on, standard_routes};
use tegata_service::problem::Problem;
use tegata_service::telemetry;

struct Running {
    url: String,
    entered: Arc<tokio::sync::Notify>,
    ready: Arc<AtomicBool>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn config(listen: std::net::SocketAddr) -> HttpConfig {
    HttpConfig {
        listen,
        public_url: format!("http://{listen}"),
        tls: None,
        cors_origins: vec!["https://wallet.example".into()],
    }
}

fn start(tls: Option<TlsConfig>) -> Running {
    telemetry::init(&TelemetryConfig::default()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let ready = Arc::new(AtomicBool::new(true));
    let entered = Arc::new(tokio::sync::Notify::new());
    let slow = Arc::clone(&entered);
    let asked = Arc::clone(&ready);
    let readiness = Readiness::new(move || {
        if asked.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Problem::stale())
        }
    });
    let openapi = utoipa::openapi::OpenApiBuilder::new().build();
    let router = Router::new()
        .route("/v1/people/{name}", get(|| async { "found" }))
        .route(
            "/v1/bytes",
            post(|body: bytes::Bytes| async move { body.len().to_string() }),
        )
        .route(
            "/v1/slow",
            get(|| async move {
                slow.notify_one();
                tokio::time::sleep(Duration::from_millis(300)).await;
                "done"
            }),
        )
        .merge(standard_routes(readiness, openapi));
    let config = HttpConfig {
        tls,
        ..config(listen)
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        serve_on(listener, router, &config, async { drop(stopped.await) }).await
    });
    Running {
        url: format!("{scheme}://localhost:{}", listen.port()),
        entered,
        ready,
        stop: Some(stop),
        server,
    }
}

async fn text(url: String) -> (StatusCode, String) {
    let response = reqwest::get(url).await.unwrap();
    (
        StatusCode::from_u16(response.status().as_u16()).unwrap(),
        response.text().await.unwrap(),
    )
}

#[tokio::test]
async fn health_readiness_metrics_and_openapi() {
    let running = start(None);
    assert_eq!(
        text(format!("{}/healthz", running.url)).await,
        (StatusCode::OK, "ok\n".into())
    );
    assert_eq!(
        text(format!("{}/readyz", running.url)).await.0,
        StatusCode::OK
    );
    running.ready.store(false, Ordering::SeqCst);
    let (status, problem) = text(format!("{}/readyz", running.url)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem.contains("\"code\":\"stale\""), "{problem}");
    assert!(
        text(format!("{}/openapi.json", running.url))
            .await
            .1
            .contains("openapi")
    );
    assert_eq!(
        text(format!("{}/v1/people/sakura", running.url)).await.1,
        "found"
    );
    let metrics = text(format!("{}/metrics", running.url)).await.1;
    assert!(
        metrics.contains("route=\"/v1/people/{name}\"")
            && metrics.contains("tegata_http_request_seconds_bucket"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("sakura"),
        "identifiers stay out of metrics"
    );
}

#[tokio::test]
async fn what_there_is_not_is_a_problem() {
    let running = start(None);
    for (response, status, code) in [
        (
            reqwest::get(format!("{}/nothing", running.url))
                .await
                .unwrap(),
            404,
            "not-found",
        ),
        (
            reqwest::Client::new()
                .delete(format!("{}/v1/bytes", running.url))
                .send()
                .await
                .unwrap(),
            405,
            "method-not-allowed",
        ),
    ] {
        assert_eq!(response.status(), status);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(
            response.json::<serde_json::Value>().await.unwrap()["code"],
            code
        );
    }
    let post = |size| {
        reqwest::Client::new()
            .post(format!("{}/v1/bytes", running.url))
            .body(vec![0_u8; size])
            .send()
    };
    assert_eq!(
        post(1 << 20).await.unwrap().text().await.unwrap(),
        "1048576"
    );
    assert_eq!(post((1 << 20) + 1).await.unwrap().status(), 413);
}

#[tokio::test]
async fn only_named_origins_may_call() {
    let running = start(None);
    let ask = |origin: &'static str| {
        let request = reqwest::Client::new().request(
            reqwest::Method::OPTIONS,
            format!("{}/v1/bytes", running.url),
        );
        request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "signature")
            .send()
    };
    let allowed = ask("https://wallet.example").await.unwrap();
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "https://wallet.example"
    );
    assert!(
        allowed.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("signature-input")
    );
    assert!(
        ask("https://evil.example")
            .await
            .unwrap()
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn tls_with_the_configured_certificate() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let running = start(Some(TlsConfig {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    }));
    let pem = std::fs::read(folder.join("certificate.pem")).unwrap();
    let trusted = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .build()
        .unwrap();
    let response = trusted
        .get(format!("{}/healthz", running.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "ok\n");
    assert!(
        reqwest::get(format!("{}/healthz", running.url))
            .await
            .is_err(),
        "a certificate that nobody vouches for"
    );
}

#[tokio::test]
async fn errors_at_the_start_name_the_culprit() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = serve(Router::new(), &config(listen), std::future::pending())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&listen.to_string()), "{error}");
    let missing = TlsConfig {
        certificate: "/nowhere/c.pem".into(),
        key: "/nowhere/k.pem".into(),
    };
    let free = HttpConfig {
        tls: Some(missing),
        ..config("127.0.0.1:0".parse().unwrap())
    };
    let error = serve(Router::new(), &free, std::future::pending())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/c.pem"), "{error}");
    let wrong = HttpConfig {
        cors_origins: vec!["no\norigin".into()],
        ..config("127.0.0.1:0".parse().unwrap())
    };
    assert!(
        serve(Router::new(), &wrong, std::future::pending())
            .await
            .unwrap_err()
            .to_string()
            .contains("cors_origins")
    );
}

#[tokio::test]
async fn requests_under_way_are_finished() {
    let mut running = start(None);
    let request = tokio::spawn(text(format!("{}/v1/slow", running.url)));
    running.entered.notified().await; // the request is on its way
    running.stop.take().unwrap().send(()).unwrap();
    assert_eq!(request.await.unwrap(), (StatusCode::OK, "done".into()));
    running.server.await.unwrap().unwrap();
}
