//! `tegata wallet`: serves the built wallet from an origin of its own, which is not the vault host's.
//!
//! Files only, with a strict content security policy; `/config.json` names the genesis from which the wallet checks every
//! proof, so it comes from here and never from a host or a node.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tegata_service::config::HttpConfig;
use tegata_service::problem::Problem;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// What to serve, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The built wallet.
    #[arg(long, value_name = "FOLDER")]
    pub files: PathBuf,
    /// What is served as `/config.json`.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Address and port.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: SocketAddr,
}

/// Scripts and styles from here alone; requests to any https host, or to this machine (a person chooses her vault host).
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; \
     font-src 'self'; connect-src 'self' https: http://127.0.0.1:* http://localhost:*; manifest-src 'self'; worker-src 'self'; \
     media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html tegata-wallet";

/// Serves until told to stop.
///
/// # Errors
/// Where the files or the port are not there.
pub async fn run(options: Options) -> io::Result<()> {
    let config = std::fs::read(&options.config)?;
    if !options.files.join("index.html").exists() {
        return Err(io::Error::other(format!(
            "{} holds no built wallet: run `make wallet`",
            options.files.display()
        )));
    }
    let config_json = get(move || {
        let config = config.clone();
        async move {
            (
                [
                    (header::CONTENT_TYPE, "application/json"),
                    (header::CACHE_CONTROL, "no-cache"),
                ],
                config,
            )
                .into_response()
        }
    });
    let fixed = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let root = options.files.canonicalize()?;
    // Routes, not a fallback: the service layer answers what is left over with a problem.
    let files = ServeDir::new(&options.files)
        .precompressed_br()
        .precompressed_gzip();
    let router = Router::new()
        .route("/config.json", config_json)
        .route("/readyz", get(|| async { "ready" }))
        .route_service("/", files.clone())
        .route_service("/{*path}", files)
        .layer(middleware::from_fn_with_state(Arc::new(root), within))
        .layer(fixed("content-security-policy", POLICY))
        .layer(fixed("x-content-type-options", "nosniff"))
        .layer(fixed("referrer-policy", "no-referrer"))
        .layer(fixed("cross-origin-opener-policy", "same-origin"))
        .layer(fixed(
            "permissions-policy",
            "camera=(self), microphone=(), geolocation=()",
        ))
        .layer(fixed("cache-control", "no-cache"));
    let http = HttpConfig::plain(options.listen, format!("http://{}", options.listen));
    tegata_service::http::serve(router, &http, tegata_service::http::shutdown_signal()).await
}

/// Serves nothing to which a symbolic link leads out of the folder of the files.
async fn within(State(root): State<Arc<PathBuf>>, request: Request, next: Next) -> Response {
    let Some(path) = decoded(request.uri().path()) else {
        return Problem::not_found().into_response();
    };
    let asked = root.join(path.trim_start_matches('/'));
    // what may be served for it: itself, its compressed forms, and where it is a folder those of its index
    for folder in [false, true] {
        for form in ["", ".br", ".gz"] {
            let mut file = asked.clone();
            if folder {
                file.push("index.html");
            }
            file.as_mut_os_string().push(form);
            if leads_out(&root, &file).await {
                return Problem::not_found().into_response();
            }
        }
    }
    next.run(request).await
}

/// Whether there is such a file, and it lies elsewhere.
async fn leads_out(root: &Path, file: &Path) -> bool {
    match tokio::fs::canonicalize(file).await {
        Ok(real) => !real.starts_with(root),
        Err(_) => false, // there is none
    }
}

/// A path without its percent signs (RFC 3986 section 2.1); `None` where it is none.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).ok()?;
        bytes.push(byte[0]);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
