//! CSV imports over HTTP.

use super::{OwnSystem, Shared, answers::ImportAnswer, id_in, system_of};
use crate::import::run;
use crate::issuer::{blocking, random_id};
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path as FilePath, PathBuf};
use tegata_service::http::{Json, discard};
use tegata_service::problem::Problem;
use tokio::io::AsyncWriteExt;

/// Largest file in bytes.
const FILE_MAX_BYTES: u64 = 256 << 20;
/// Longest file name in characters.
const NAME_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    file: String,
    #[serde(default)]
    dry_run: Option<String>,
    kind: Option<String>,
}

/// Takes a CSV file in; its rows are read afterwards.
#[utoipa::path(post, path = "/v1/imports", params(
    ("file" = String, Query, description = "name of the file; where it names a record type, that is the type of all rows"),
    ("dry_run" = Option<bool>, Query), ("kind" = Option<String>, Query, description = "record type of all rows")
), responses((status = 202, description = "`{\"id\"}`"), (status = 401), (status = 413)))]
pub(crate) async fn begin(
    State(issuer): Shared,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if let Err(problem) = system_of(&issuer, &headers) {
        discard(body).await;
        return Err(problem);
    }
    let Query(wanted) = wanted.map_err(|refused| Problem::malformed(refused.body_text()))?;
    let name: String = wanted
        .file
        .chars()
        .filter(|c| !c.is_control() && !['/', '\\'].contains(c))
        .take(NAME_MAX)
        .collect();
    let dry_run = match wanted.dry_run.as_deref() {
        None | Some("false" | "0") => false,
        Some("true" | "1" | "") => true,
        Some(_) => return Err(Problem::malformed("dry_run is true or false")),
    };
    let id = random_id();
    let path = issuer.imports_folder().join(format!("{id}.csv"));
    let upload = Upload(Some(path.clone()));
    let bytes_total = save(body, &path).await?;
    let kind = wanted.kind;
    // Once begun the import goes on by itself, also where the sender is gone: then its file is an upload no more.
    let begun = blocking(&issuer, move |issuer| {
        let new = run::NewImport {
            id,
            name,
            kind,
            dry_run,
            watched: false,
            path,
            bytes_total,
        };
        let begun = run::begin(issuer, new)?;
        upload.keep();
        Ok::<_, StoreError>(begun)
    })
    .await;
    begun.map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id.to_string() }))))
}

/// The file of an upload. Rows hold personal data: where the upload does not come to its end, however that happens, the file
/// is erased.
struct Upload(Option<PathBuf>);

impl Upload {
    /// It has.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the file of an upload that was cut off could not be erased");
        }
    }
}

/// Writes a body to a file that only this service can read, and waits until it is on disk.
async fn save(body: Body, path: &FilePath) -> Result<u64, Problem> {
    let internal = |error: std::io::Error| Problem::internal(&error);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Made at once and not on another thread, where it would come into being after an upload that broke off was erased.
    let file = options.open(path).map_err(internal)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut length = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::malformed("the body broke off"))?;
        length += piece.len() as u64;
        if length > FILE_MAX_BYTES {
            let problem = Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The file is too large",
            );
            return Err(problem.detail(format!(
                "at most {FILE_MAX_BYTES} bytes; cut it into several"
            )));
        }
        file.write_all(&piece).await.map_err(internal)?;
    }
    file.flush().await.map_err(internal)?;
    file.sync_all().await.map_err(internal)?;
    Ok(length)
}

/// How far an import is, and what came of it.
#[utoipa::path(get, path = "/v1/imports/{id}", params(("id" = String, Path)),
    responses((status = 200, body = ImportAnswer), (status = 401), (status = 404)))]
pub(crate) async fn one(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
) -> Result<Json<ImportAnswer>, Problem> {
    let id = id_in(&id)?;
    let import = blocking(&issuer, move |issuer| issuer.store.import(&id)).await;
    let import = import
        .map_err(|error| Problem::internal(&error))?
        .ok_or_else(Problem::not_found)?;
    Ok(Json(import.into()))
}

/// The failed rows of an import, as CSV with line, column and reason. They are erased 30 days after the import.
#[utoipa::path(get, path = "/v1/imports/{id}/failed.csv", params(("id" = String, Path)),
    responses((status = 200, description = "text/csv"), (status = 401), (status = 404)))]
pub(crate) async fn failed_rows(
    State(issuer): Shared,
    _: OwnSystem,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id_in(&id)?;
    let import = blocking(&issuer, move |issuer| issuer.store.import(&id)).await;
    let import = import
        .map_err(|error| Problem::internal(&error))?
        .ok_or_else(Problem::not_found)?;
    if import.failed == 0 {
        return Err(Problem::not_found());
    }
    let file = tokio::fs::File::open(run::failed_rows_path(&issuer, &id))
        .await
        .map_err(|_| Problem::not_found())?;
    let pieces = futures::stream::try_unfold(file, |mut file| async move {
        use tokio::io::AsyncReadExt;
        let mut piece = vec![0; 64 * 1024];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    let disposition = format!("attachment; filename=\"{id}.failed.csv\"");
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::from_stream(pieces.into_stream())).into_response())
}
