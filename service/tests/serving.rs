//! Serving: standard routes, bounds, problems, CORS, TLS, an orderly end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tegata_service::config::{HttpConfig, HttpLimits, TelemetryConfig, TlsConfig};
use tegata_service::http::{Address, Readiness, serve, serve_on, standard_routes};
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
        cors_origins: vec!["https://wallet.example".into()],
        ..HttpConfig::plain(listen, format!("http://{listen}"))
    }
}

fn start(tls: Option<TlsConfig>) -> Running {
    start_within(tls, HttpLimits::default())
}

fn start_within(tls: Option<TlsConfig>, limits: HttpLimits) -> Running {
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
        .route("/v1/numbers/{number}", get(number))
        .route("/v1/objects", post(|_: axum::Json<Page>| async { "taken" }))
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
        .route("/v1/much", get(|| async { vec![b'.'; 1 << 20] }))
        .route("/v1/news", get(news))
        .merge(standard_routes(readiness, openapi));
    let config = HttpConfig {
        tls,
        limits,
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

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: u8,
}

async fn number(Path(number): Path<u64>, Query(page): Query<Page>) -> String {
    format!("{number} {}", page.limit)
}

/// Events with nothing between them for a while.
async fn news() -> axum::body::Body {
    let events = futures::stream::unfold(0, async |told| {
        tokio::time::sleep(Duration::from_millis(700 * told)).await;
        let event = ["first", "last"].get(usize::try_from(told).ok()?)?;
        Some((Ok::<_, std::io::Error>(*event), told + 1))
    });
    axum::body::Body::from_stream(events)
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
async fn what_extractors_refuse_is_a_problem_too() {
    let running = start(None);
    let client = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", running.url);
    let json = |body: &'static str, kind: &'static str| {
        let request = client.post(url("/v1/objects")).body(body);
        request.header("content-type", kind)
    };
    assert_eq!(text(url("/v1/numbers/7?limit=3")).await.1, "7 3");
    for (request, status, code) in [
        (
            client.get(url("/v1/numbers/seven?limit=3")),
            400,
            "malformed",
        ),
        (
            client.get(url("/v1/numbers/7?limit=many")),
            400,
            "malformed",
        ),
        (
            client.get(url("/v1/numbers/7?limit=3&colour=red")),
            400,
            "malformed",
        ),
        (client.get(url("/v1/numbers/7")), 400, "malformed"),
        (json("{", "application/json"), 400, "malformed"),
        (json("{}", "application/json"), 422, "malformed"),
        (json("{\"limit\":3}", "text/plain"), 415, "media-type"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        let url = answer.url().clone();
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{url}"
        );
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{url}: {problem}");
        assert_eq!(problem["status"], status, "{url}");
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused_whoever_reads_them() {
    let running = start(None);
    let client = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", running.url);
    for (request, status) in [
        (client.post(url("/v1/bytes")).body("x"), 415),
        (client.post(url("/v1/bytes")).body(vec![0; 200_000]), 415),
        (client.post(url("/v1/objects")).json(&7), 415),
        (client.get(url("/v1/people/sakura")).body("x"), 200),
        (client.post(url("/v1/people/sakura")).body("x"), 405),
        (client.post(url("/v1/none")).body("x"), 404),
    ] {
        let request = request.header("content-encoding", "gzip");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{}", answer.url());
        if status == 415 {
            let problem: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "content-encoding");
        }
    }
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let running = start(None);
    let address = running.url.replace("http://localhost", "127.0.0.1");
    for (hosts, status) in [
        ("", "400"),
        ("host: x\r\nhost: x\r\n", "400"),
        ("host: x\r\n", "200"),
    ] {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes(), "{hosts}");
    }
}

#[tokio::test]
async fn a_strangers_method_is_no_label() {
    let running = start(None);
    let invented = reqwest::Method::from_bytes(b"SAKURA").unwrap();
    let request = reqwest::Client::new().request(invented, format!("{}/healthz", running.url));
    assert_eq!(request.send().await.unwrap().status(), 405);
    let metrics = text(format!("{}/metrics", running.url)).await.1;
    let labels = "tegata_http_requests_total{method=\"other\",route=\"/healthz\",status=\"405\"}";
    assert!(metrics.contains(labels), "{metrics}");
    assert!(!metrics.contains("SAKURA"), "{metrics}");
}

/// Waits until the other end closes; gives what came before.
async fn until_closed(connection: &mut tokio::net::TcpStream) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    let read = connection.read_to_end(&mut bytes);
    match tokio::time::timeout(Duration::from_secs(20), read).await {
        Ok(_) => bytes, // also where it was reset
        Err(_) => panic!("the connection is held open"),
    }
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed() {
    use tokio::io::AsyncWriteExt;
    let limits = HttpLimits {
        head_timeout_ms: 500,
        ..HttpLimits::default()
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let tls = TlsConfig {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    for tls in [None, Some(tls)] {
        let running = start_within(tls, limits);
        let port = running.url.rsplit(':').next().unwrap().to_owned();
        // nothing, the beginning of HTTP/2, half a head
        for said in ["", "PRI * HTTP", "GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut connection = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}"))
                .await
                .unwrap();
            connection.write_all(said.as_bytes()).await.unwrap();
            let began = std::time::Instant::now();
            until_closed(&mut connection).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{said:?}");
        }
    }
    assert_eq!(
        HttpLimits::default().head_timeout_ms,
        15_000,
        "where nothing is configured"
    );
}

/// Preface and empty SETTINGS of HTTP/2 (RFC 9113 section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// PING, eight octets of nothing (section 6.7).
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// HEADERS of stream 1, complete: `GET /v1/slow` (section 6.2, RFC 7541 appendix A).
const ASKS: &[u8] = b"\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/v1/slow\x01\x01x";
/// The same for `/v1/news`.
const ASKS_NEWS: &[u8] = b"\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/v1/news\x01\x01x";
/// SETTINGS: streams begin without a window (section 6.5.2).
const NO_WINDOW: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
/// WINDOW_UPDATE of stream 1, 100 octets (section 6.9).
const WINDOW: &[u8] = b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x64";
/// HEADERS whose end never comes.
const HALF: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";

#[tokio::test]
async fn connections_of_http_2_without_a_request_are_closed_and_those_with_one_are_not() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let limits = HttpLimits {
        head_timeout_ms: 150, // /v1/slow takes 300
        ..HttpLimits::default()
    };
    let running = start_within(None, limits);
    let port = running.url.rsplit(':').next().unwrap().to_owned();
    let connect = async || {
        let address = format!("127.0.0.1:{port}");
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(HTTP_2).await.unwrap();
        connection
    };
    for said in [&b""[..], HALF] {
        let mut silent = connect().await;
        silent.write_all(said).await.unwrap();
        let began = std::time::Instant::now();
        until_closed(&mut silent).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{said:?}");
    }

    let (mut reader, mut writer) = connect().await.into_split();
    let pinging = tokio::spawn(async move {
        while writer.write_all(PING).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    tokio::time::timeout(Duration::from_secs(5), async {
        let mut bytes = [0; 1024];
        while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    })
    .await
    .expect("whoever only asks whether we are there is let go");
    pinging.abort();

    let mut asking = connect().await;
    asking.write_all(ASKS).await.unwrap();
    let answer = until_closed(&mut asking).await;
    let done = answer.windows(4).any(|four| four == b"done");
    assert!(done, "a request under way was cut off: {answer:?}");
}

#[tokio::test]
async fn connections_whose_answers_nobody_reads_are_closed() {
    use tokio::io::AsyncWriteExt;
    let limits = HttpLimits {
        head_timeout_ms: 2_000,
        body_pause_max_ms: 400,
        ..HttpLimits::default()
    };
    let running = start_within(None, limits);
    let port = running.url.rsplit(':').next().unwrap().to_owned();
    let connect = async || {
        let address = format!("127.0.0.1:{port}");
        tokio::net::TcpStream::connect(address).await.unwrap()
    };
    let went = |answer: &[u8], what: &[u8]| answer.windows(what.len()).any(|some| some == what);

    // HTTP/2: no window, and all the while somebody is there
    for (what, window_after_ms, whole) in [("never", 9_000, false), ("in time", 500, true)] {
        let mut asking = connect().await;
        let begin = [HTTP_2, NO_WINDOW, ASKS].concat();
        asking.write_all(&begin).await.unwrap();
        let began = std::time::Instant::now();
        let (mut reader, mut writer) = asking.into_split();
        let writing = tokio::spawn(async move {
            for sent in 0.. {
                let frame = if sent * 20 == window_after_ms {
                    WINDOW
                } else {
                    PING
                };
                if writer.write_all(frame).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer);
        let ended = tokio::time::timeout(Duration::from_secs(7), read).await;
        assert!(ended.is_ok(), "the connection is held open, window {what}");
        assert_eq!(went(&answer, b"done"), whole, "window {what}");
        assert!(began.elapsed() < Duration::from_secs(6), "window {what}");
        writing.abort();
    }

    // HTTP/1: many answers, more than the system keeps for us
    let mut asking = connect().await;
    let request = b"GET /v1/much HTTP/1.1\r\nhost: x\r\n\r\n";
    asking.write_all(&request.repeat(64)).await.unwrap();
    let began = std::time::Instant::now();
    while asking.write_all(request).await.is_ok() {
        assert!(
            began.elapsed() < Duration::from_secs(7),
            "the connection is held open"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // what waits for us may wait
    let mut asking = connect().await;
    asking
        .write_all(&[HTTP_2, ASKS_NEWS].concat())
        .await
        .unwrap();
    let answer = until_closed(&mut asking).await;
    assert!(went(&answer, b"first") && went(&answer, b"last"));
    assert_eq!(
        HttpLimits::default().body_pause_max_ms,
        30_000,
        "where nothing is configured"
    );
}

#[tokio::test]
async fn connections_are_counted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let running = start_within(
        None,
        HttpLimits {
            connections_max: 3,
            ..HttpLimits::default()
        },
    );
    let address = running.url.replace("http://localhost", "127.0.0.1");
    let connect = || tokio::net::TcpStream::connect(address.clone());
    let asked = async |connection: &mut tokio::net::TcpStream| {
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        connection.write_all(request).await.unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.map(|_| answer)
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = connect().await.unwrap();
        assert_eq!(&asked(&mut connection).await.unwrap(), b"HTTP/1.1 200");
        held.push(connection);
    }
    let mut fourth = connect().await.unwrap();
    assert!(until_closed(&mut fourth).await.is_empty());
    drop(held.pop());
    let began = std::time::Instant::now();
    loop {
        let mut again = connect().await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut answer = [0; 12];
        if again.write_all(request).await.is_ok() && again.read_exact(&mut answer).await.is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 200");
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "the place was not given back"
        );
    }
}

#[tokio::test]
async fn a_body_that_keeps_coming_is_not_cut_off_and_one_that_drips_is() {
    let limits = HttpLimits {
        answer_timeout_ms: 500,
        body_pause_max_ms: 400,
        body_bytes_per_s_min: 10_000,
        ..HttpLimits::default()
    };
    let running = start_within(None, limits);
    let send = async |pieces: usize, piece: usize, pause_ms| {
        let body = futures::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            (sent < pieces).then(|| (Ok::<_, std::io::Error>(vec![0_u8; piece]), sent + 1))
        });
        let request = reqwest::Client::new().post(format!("{}/v1/bytes", running.url));
        let answer = request.body(reqwest::Body::wrap_stream(body)).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    // three times as long as an answer may take, and twice as fast as it must be
    assert_eq!(send(30, 1_000, 50).await, (200, "30000".into()));
    let (status, problem) = send(100, 1, 50).await;
    assert!(
        status == 504 && problem.contains("\"timeout\""),
        "{problem}"
    );
    let (status, _) = send(2, 100_000, 600).await;
    assert!(status >= 400, "a pause that is too long");
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
            .contains("dpop,signature,signature-input")
    );
    let shown = reqwest::Client::new()
        .get(format!("{}/v1/people/hana", running.url))
        .header("origin", "https://wallet.example");
    let shown = shown.send().await.unwrap();
    assert_eq!(
        shown.headers()["access-control-expose-headers"],
        "etag,location,retry-after,www-authenticate"
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
async fn where_a_request_comes_from_is_what_trusted_proxies_say() {
    let told = async |trusted: &[&str], header: &str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let router = Router::new().route(
            "/v1/from",
            get(|Address(from): Address| async move { format!("{from:?}") }),
        );
        let config = HttpConfig {
            trusted_proxies: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            ..config(listen)
        };
        let server = tokio::spawn(async move {
            serve_on(listener, router, &config, std::future::pending()).await
        });
        let request = reqwest::Client::new().get(format!("http://{listen}/v1/from"));
        let request = request.header("x-forwarded-for", header);
        let answer = request.send().await.unwrap().text().await.unwrap();
        server.abort();
        answer
    };
    let header = "198.51.100.1, 192.0.2.7";
    assert_eq!(told(&["127.0.0.1"], header).await, "Some(192.0.2.7)");
    let both = ["127.0.0.1", "192.0.2.0/24"];
    assert_eq!(told(&both, header).await, "Some(198.51.100.1)");
    assert_eq!(told(&["10.0.0.0/8"], header).await, "None", "not trusted");
    assert_eq!(told(&[], header).await, "None");
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
