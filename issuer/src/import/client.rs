//! Sending a CSV file to a running issuer, with a progress bar: `tegata issuer import`.

use crate::http::ImportAnswer;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often progress is asked for.
const POLL: Duration = Duration::from_millis(200);

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportFileError {
    /// The file could not be read.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The issuer does not answer.
    #[error("the issuer does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// The issuer refuses.
    #[error("the issuer refuses: {0}")]
    Refused(String),
}

impl ImportFileError {
    /// The stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file-unreadable",
            Self::Http(_) => "issuer-unreachable",
            Self::Refused(_) => "issuer-refused",
        }
    }
}

/// What to import, and where.
#[derive(Debug, Clone)]
pub struct ImportFile<'a> {
    /// Base URL of the issuer.
    pub url: &'a str,
    /// Bearer token of one of the organisation's systems.
    pub token: &'a str,
    /// The file.
    pub path: &'a Path,
    /// Record type of all rows; else file name or a column say it.
    pub kind: Option<&'a str>,
    /// Only check.
    pub dry_run: bool,
    /// Draw a progress bar on standard error.
    pub progress: bool,
}

/// Sends a file and waits until it is imported.
///
/// # Errors
/// [`ImportFileError`]. Failed rows are no error: the answer says which, and why.
pub async fn import_file(wanted: &ImportFile<'_>) -> Result<ImportAnswer, ImportFileError> {
    let file = |error| ImportFileError::File {
        path: wanted.path.to_owned(),
        error,
    };
    let opened = tokio::fs::File::open(wanted.path).await.map_err(file)?;
    let length = opened.metadata().await.map_err(file)?.len();
    let name = wanted
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let bar = progress_bar(wanted.progress, length);
    bar.set_message("sending");

    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .build()?;
    let base = wanted.url.trim_end_matches('/');
    let mut query = vec![("file", name.as_str())];
    if wanted.dry_run {
        query.push(("dry_run", "true"));
    }
    if let Some(kind) = wanted.kind {
        query.push(("kind", kind));
    }
    let query: String = query
        .iter()
        .map(|(name, value)| format!("&{name}={}", percent_encoded(value)))
        .collect();
    let body = futures::stream::try_unfold(opened, |mut opened| async move {
        use tokio::io::AsyncReadExt;
        let mut piece = vec![0; 64 * 1024];
        let read = opened.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, opened)))
    });
    let begun = http
        .post(format!("{base}/v1/imports?{}", &query[1..]))
        .bearer_auth(wanted.token)
        .header("content-type", "text/csv")
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await?;
    let id = id_of(answer(begun).await?)?;

    bar.set_message(if wanted.dry_run {
        "checking"
    } else {
        "importing"
    });
    loop {
        let asked = http
            .get(format!("{base}/v1/imports/{id}"))
            .bearer_auth(wanted.token)
            .send()
            .await?;
        let import = answer(asked).await?;
        let import: ImportAnswer = serde_json::from_value(import)
            .map_err(|_| ImportFileError::Refused("its answer is no import".to_owned()))?;
        bar.set_position(import.bytes_read);
        bar.set_message(format!("{} rows, {} failed", import.rows, import.failed));
        if import.state != "running" {
            bar.finish();
            return Ok(import);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn progress_bar(shown: bool, length: u64) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let style =
        "{bar:30} {percent:>3}%  {msg}  {binary_bytes_per_sec}  {elapsed} elapsed, {eta} left";
    ProgressBar::new(length)
        .with_style(ProgressStyle::with_template(style).expect("the template is a constant"))
}

async fn answer(response: reqwest::Response) -> Result<serde_json::Value, ImportFileError> {
    let status = response.status();
    let body: serde_json::Value = response.json().await?;
    if status.is_success() {
        return Ok(body);
    }
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let title = text("title").unwrap_or_else(|| status.to_string());
    let detail = text("detail")
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    Err(ImportFileError::Refused(format!("{title}{detail}")))
}

fn id_of(begun: serde_json::Value) -> Result<String, ImportFileError> {
    let id = begun["id"]
        .as_str()
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    id.map(str::to_owned)
        .ok_or_else(|| ImportFileError::Refused("its answer has no id".to_owned()))
}

/// RFC 3986 percent-encoding of everything that is not unreserved.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}
