//! The watched folder, for offices that can only reach out: a CSV file that is laid into it is imported, and then moved to
//! `done/` or `failed/`.

use super::run::{NewImport, begin, failed_rows_path};
use crate::config::WatchedFolder;
use crate::issuer::{Issuer, blocking, random_id};
use crate::model::{Import, ImportState};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tegata_consent::ids::RecordId;
use tokio::sync::watch;

/// What a file looked like when it was last looked at.
type Seen = HashMap<PathBuf, (u64, SystemTime)>;

/// Looks at the folder again and again until `stop` says so.
pub(crate) async fn run(
    issuer: Arc<Issuer>,
    folder: WatchedFolder,
    mut stop: watch::Receiver<bool>,
) {
    let mut seen = Seen::new();
    while !*stop.borrow() {
        let path = folder.path.clone();
        let before = std::mem::take(&mut seen);
        let looked = blocking(&issuer, move |issuer| look(issuer, &path, &before)).await;
        match looked {
            Ok(now) => seen = now,
            Err(error) => {
                tracing::warn!(%error, folder = %folder.path.display(), "the watched folder cannot be read")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(folder.poll_ms.max(10))) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Takes every file that has not changed since it was seen before. Gives what is seen now.
fn look(issuer: &Issuer, folder: &Path, before: &Seen) -> io::Result<Seen> {
    let work = folder.join("work");
    std::fs::create_dir_all(&work)?;
    let mut now = Seen::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_csv = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let Ok(about) = std::fs::metadata(&path) else {
            continue;
        };
        if !is_csv || !about.is_file() {
            continue;
        }
        let looks = (about.len(), about.modified()?);
        if before.get(&path) != Some(&looks) {
            now.insert(path, looks);
            continue;
        }
        if let Err(error) = take(issuer, &path, &work, about.len()) {
            // One file must not hold up the others.
            tracing::warn!(%error, "a file in the watched folder could not be taken");
        }
    }
    Ok(now)
}

/// Takes a file out of reach of whoever wrote it, and then begins its import: a crash in between is found by [`adopt`].
fn take(issuer: &Issuer, path: &Path, work: &Path, length: u64) -> io::Result<()> {
    let id = random_id();
    let name = short_name(path);
    let taken = work.join(format!("{id}-{name}"));
    std::fs::rename(path, &taken)?;
    begin_watched(issuer, id, name, taken, length)
}

/// The end of a file's name, short enough for an id before it and words behind it.
fn short_name(path: &Path) -> String {
    const NAME_MAX_BYTES: usize = 180;
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let from = name.len().saturating_sub(NAME_MAX_BYTES);
    let from = (from..=name.len())
        .find(|from| name.is_char_boundary(*from))
        .unwrap_or_default();
    name[from..].to_owned()
}

fn begin_watched(
    issuer: &Issuer,
    id: RecordId,
    name: String,
    path: PathBuf,
    bytes_total: u64,
) -> io::Result<()> {
    let (kind, dry_run, watched) = (None, false, true);
    let new = NewImport {
        id,
        name,
        kind,
        dry_run,
        watched,
        path,
        bytes_total,
    };
    begin(issuer, new).map(drop).map_err(io::Error::other)
}

/// Begins imports of files that were taken out of the folder before a crash, but not begun.
pub(crate) fn adopt(issuer: &Issuer, folder: &Path) -> io::Result<()> {
    let work = folder.join("work");
    std::fs::create_dir_all(&work)?;
    for entry in std::fs::read_dir(&work)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let Some((id, name)) = name.split_once('-') else {
            continue;
        };
        let Ok(id) = id.parse() else { continue };
        if issuer
            .store
            .import(&id)
            .map_err(io::Error::other)?
            .is_none()
        {
            let length = std::fs::metadata(&path)?.len();
            begin_watched(issuer, id, name.to_owned(), path, length)?;
        }
    }
    Ok(())
}

/// Moves the file of an ended import away: to `done/`, its failed rows to `failed/`; or, where it was refused, to `failed/`
/// with the reason. Does nothing where that was done already.
pub(crate) fn finish(issuer: &Issuer, import: &Import) {
    let file = Path::new(&import.path);
    if !import.watched || import.state == ImportState::Running || !file.exists() {
        return;
    }
    if let Err(error) = move_away(issuer, import, file) {
        tracing::warn!(%error, import = %import.id, "an imported file could not be moved away");
    }
}

fn move_away(issuer: &Issuer, import: &Import, file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .and_then(Path::parent)
        .ok_or_else(|| io::Error::other("the file lies nowhere"))?;
    let (done, failed) = (folder.join("done"), folder.join("failed"));
    std::fs::create_dir_all(&done)?;
    std::fs::create_dir_all(&failed)?;
    let short = &import.id.to_string()[..8];
    if import.failed > 0 {
        let rows = failed.join(format!(
            "{short}-{}.failed.csv",
            import.name.trim_end_matches(".csv")
        ));
        std::fs::copy(failed_rows_path(issuer, &import.id), rows)?;
    }
    if import.state == ImportState::Refused {
        let reasons = import.failures.iter().map(|failure| {
            let column = failure
                .column
                .as_deref()
                .map(|column| format!("「{column}」 "))
                .unwrap_or_default();
            format!(
                "{}行目: {column}{} ({})\n",
                failure.row, failure.reason, failure.code
            )
        });
        std::fs::write(
            failed.join(format!("{short}-{}.reason.txt", import.name)),
            reasons.collect::<String>(),
        )?;
    }
    let to = if import.state == ImportState::Refused {
        &failed
    } else {
        &done
    };
    std::fs::rename(file, to.join(format!("{short}-{}", import.name)))
}
