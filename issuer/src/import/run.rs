//! An import: reads a file in batches, each of which ends on disk together with how far it is, so that it goes on after a
//! crash where it stopped, and no row is taken twice or left out.

use super::SYSTEM;
use super::rows::{RawRow, Row, Sheet, SheetError};
use super::text::{Decoded, Encoding, detect};
use crate::intake::{Accepted, Incoming, IntakeError, accept};
use crate::issuer::{Issuer, blocking, random_id};
use crate::model::{Failure, Import, ImportState};
use crate::store::{Store, StoreError};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::ids::RecordId;
use tegata_records::catalogue;
use tegata_service::clock::now_ms;
use time::OffsetDateTime;
use tokio::sync::watch;

/// Rows in one synced write.
const BATCH_ROWS: u64 = 500;
/// How long uploaded files' failed rows are kept after the import, in milliseconds: they hold personal data.
const FAILED_KEPT_MS: u64 = 30 * 24 * 3600 * 1000;
/// Before a failed import is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Why an import stopped; it goes on later.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Runs imports one after the other, oldest first, until `stop` says so.
pub(crate) async fn run(issuer: Arc<Issuer>, stop: watch::Receiver<bool>) {
    let mut stopped = stop.clone();
    while !*stop.borrow() {
        let next = blocking(&issuer, |issuer| next_import(issuer)).await;
        let (again, pause) = match next {
            Ok(Some(import)) => {
                let accredited = accredited(&issuer).await;
                let stop = stop.clone();
                let done = blocking(&issuer, move |issuer| {
                    work(issuer, import, accredited.as_ref(), &|| *stop.borrow())
                })
                .await;
                match done {
                    Ok(()) => (true, Duration::ZERO),
                    Err(error) => {
                        tracing::error!(%error, "an import cannot go on; it is tried again");
                        (true, RETRY_PAUSE)
                    }
                }
            }
            Ok(None) => (false, Duration::ZERO),
            Err(error) => {
                tracing::error!(%error, "imports cannot be read; they are tried again");
                (true, RETRY_PAUSE)
            }
        };
        if again && pause.is_zero() {
            continue;
        }
        let pause = async {
            if again {
                tokio::time::sleep(pause).await
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = pause => {}
            () = issuer.import_wake.notified() => {}
            _ = stopped.changed() => {}
        }
    }
}

fn next_import(issuer: &Issuer) -> Result<Option<Import>, StoreError> {
    let all = issuer.store.imports()?;
    for import in &all {
        super::folder::finish(issuer, import);
        forget(issuer, import);
    }
    let running = all
        .into_iter()
        .filter(|import| import.state == ImportState::Running);
    Ok(running.min_by_key(|import| import.started_ms))
}

/// Record types that this organisation may issue now; `None` where the registry gives no answer. Signing asks again.
async fn accredited(issuer: &Issuer) -> Option<HashSet<String>> {
    let own = issuer.own().await.ok()??;
    let now = now_ms();
    let ids = catalogue()
        .types()
        .iter()
        .map(|record_type| record_type.id());
    Some(
        ids.filter(|id| own.may_issue(id, now))
            .map(str::to_owned)
            .collect(),
    )
}

/// A file that is to be imported.
pub(crate) struct NewImport {
    pub(crate) id: RecordId,
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) dry_run: bool,
    pub(crate) watched: bool,
    /// Where it lies.
    pub(crate) path: PathBuf,
    pub(crate) bytes_total: u64,
}

/// Begins an import; it is on disk when this returns.
pub(crate) fn begin(issuer: &Issuer, new: NewImport) -> Result<Import, StoreError> {
    let import = Import {
        id: new.id,
        name: new.name,
        system: SYSTEM.to_owned(),
        kind: new.kind,
        dry_run: new.dry_run,
        path: new.path.to_string_lossy().into_owned(),
        watched: new.watched,
        state: ImportState::Running,
        started_ms: now_ms(),
        ended_ms: None,
        bytes_total: new.bytes_total,
        bytes_read: 0,
        rows: 0,
        accepted: 0,
        same: 0,
        failed: 0,
        failed_bytes: 0,
        failures: Vec::new(),
        encoding: None,
    };
    let mut change = issuer.store.change();
    change.put_import(&import);
    change.commit()?;
    issuer.import_wake.notify_one();
    Ok(import)
}

/// Where the failed rows of an import lie.
pub(crate) fn failed_rows_path(issuer: &Issuer, id: &RecordId) -> PathBuf {
    issuer.imports_folder().join(format!("{id}.failed.csv"))
}

/// Files of uploads and of failed rows that belong to no import: of an upload that a crash cut off.
pub(crate) fn leftovers(store: &Store, folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let failed = |error| ImportError::File {
        path: folder.to_owned(),
        error,
    };
    let mut leftovers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let id = name
            .strip_suffix(".failed.csv")
            .or_else(|| name.strip_suffix(".csv"));
        if let Some(Ok(id)) = id.map(str::parse)
            && store.import(&id)?.is_none()
        {
            leftovers.push(folder.join(&*name));
        }
    }
    leftovers.sort();
    Ok(leftovers)
}

/// Erases [`leftovers`], before the first upload comes.
pub(crate) fn sweep(issuer: &Issuer) -> Result<(), ImportError> {
    for path in leftovers(&issuer.store, &issuer.imports_folder())? {
        std::fs::remove_file(&path).map_err(|error| ImportError::File { path, error })?;
        tracing::info!("the file of an upload that was cut off is erased");
    }
    Ok(())
}

/// Works on an import to its end, or until `stop`.
pub(crate) fn work(
    issuer: &Issuer,
    mut import: Import,
    accredited: Option<&HashSet<String>>,
    stop: &dyn Fn() -> bool,
) -> Result<(), ImportError> {
    let read = rows(issuer, &mut import, accredited, stop);
    match read {
        Ok(false) => return Ok(()), // stopped; what was done is on disk
        Ok(true) => import.state = ImportState::Done,
        Err(Stopped::Refused(failure)) => {
            import.state = ImportState::Refused;
            import.failures = vec![failure];
        }
        Err(Stopped::Import(error)) => return Err(error),
    }
    import.ended_ms = Some(now_ms());
    if import.state == ImportState::Done {
        import.bytes_read = import.bytes_total;
    }
    let mut change = issuer.store.change();
    change.put_import(&import);
    change.commit()?;
    metrics::counter!("tegata_issuer_imports_total", "state" => import.state.word()).increment(1);
    issuer.queue_wake.notify_one();
    super::folder::finish(issuer, &import);
    forget(issuer, &import);
    Ok(())
}

enum Stopped {
    Refused(Failure),
    Import(ImportError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Import(error.into())
    }
}

/// Reads all rows; `false` where it was stopped.
fn rows(
    issuer: &Issuer,
    import: &mut Import,
    accredited: Option<&HashSet<String>>,
    stop: &dyn Fn() -> bool,
) -> Result<bool, Stopped> {
    let path = PathBuf::from(&import.path);
    let file_error = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            let (code, reason) = ("file-missing".to_owned(), "ファイルがありません".to_owned());
            Stopped::Refused(Failure {
                row: 1,
                column: None,
                code,
                reason,
            })
        }
        _ => Stopped::Import(ImportError::File {
            path: path.clone(),
            error,
        }),
    };
    let profiles = &issuer.profiles;
    let kind = match &import.kind {
        Some(kind) => profiles
            .by_id(kind)
            .or_else(|| profiles.by_words(kind, true)),
        None => profiles.by_words(&import.name, false),
    };
    if let (Some(_), None) = (&import.kind, kind) {
        let (code, reason) = ("unknown-kind".to_owned(), "知らない種類です".to_owned());
        return Err(Stopped::Refused(Failure {
            row: 1,
            column: None,
            code,
            reason,
        }));
    }
    let encoding = match profiles.encoding {
        Encoding::Auto => detect(File::open(&path).map_err(file_error)?).map_err(file_error)?,
        fixed => fixed,
    };
    import.encoding = Some(
        if encoding == Encoding::Cp932 {
            "cp932"
        } else {
            "utf-8"
        }
        .to_owned(),
    );
    let sheet_error = |error| match error {
        SheetError::Refused(failure) => Stopped::Refused(failure),
        SheetError::Read(error) => Stopped::Import(ImportError::File {
            path: path.clone(),
            error,
        }),
    };
    let decoded = Decoded::new(File::open(&path).map_err(file_error)?, encoding);
    let mut sheet = Sheet::open(profiles, kind, decoded).map_err(sheet_error)?;
    let failed_path = failed_rows_path(issuer, &import.id);
    let failed_error = |error| {
        Stopped::Import(ImportError::File {
            path: failed_path.clone(),
            error,
        })
    };
    let mut failed = FailedRows::open(&failed_path, import.failed_bytes, &sheet.headers)
        .map_err(failed_error)?;
    for _ in 0..import.rows {
        sheet.next().map_err(sheet_error)?; // done before the process ended
    }
    let today = OffsetDateTime::from_unix_timestamp((now_ms() / 1000).cast_signed())
        .map_or(time::Date::MAX, OffsetDateTime::date);
    loop {
        let mut batch: Vec<(RawRow, Result<Row, Vec<Failure>>)> = Vec::new();
        while (batch.len() as u64) < BATCH_ROWS {
            let Some(raw) = sheet.next().map_err(sheet_error)? else {
                break;
            };
            let parsed = sheet
                .parse(profiles, &raw, today)
                .and_then(|row| may_issue(row, raw.line, accredited));
            batch.push((raw, parsed));
        }
        if batch.is_empty() {
            return Ok(true);
        }
        let mut change = issuer.store.change();
        import.rows += batch.len() as u64;
        import.bytes_read = sheet.bytes_read();
        for (raw, parsed) in batch {
            match parsed.and_then(|row| take(&mut change, row, raw.line, import.dry_run)) {
                Ok(Taken::New) => import.accepted += 1,
                Ok(Taken::Same) => import.same += 1,
                Ok(Taken::Store(error)) => return Err(error.into()),
                Err(failures) => {
                    failed.add(&raw, &failures).map_err(failed_error)?;
                    import.failed += 1;
                    let room = Import::FAILURES_MAX.saturating_sub(import.failures.len());
                    import.failures.extend(failures.into_iter().take(room));
                }
            }
        }
        import.failed_bytes = failed.sync().map_err(failed_error)?;
        if import.dry_run {
            drop(change); // nothing of it is written
            change = issuer.store.change();
        }
        change.put_import(import);
        change.commit()?;
        issuer.show_counts();
        issuer.queue_wake.notify_one();
        if stop() {
            return Ok(false);
        }
    }
}

enum Taken {
    New,
    Same,
    Store(StoreError),
}

fn may_issue(
    row: Row,
    line: u64,
    accredited: Option<&HashSet<String>>,
) -> Result<Row, Vec<Failure>> {
    match accredited {
        Some(accredited) if !accredited.contains(row.record_type.id()) => {
            let reason = "この種類の記録を発行する認定がありません".to_owned();
            Err(vec![Failure {
                row: line,
                column: None,
                code: "not-accredited".to_owned(),
                reason,
            }])
        }
        _ => Ok(row),
    }
}

fn take(
    change: &mut crate::store::Change<'_>,
    row: Row,
    line: u64,
    dry_run: bool,
) -> Result<Taken, Vec<Failure>> {
    let failure = |code: &str, reason: String| {
        vec![Failure {
            row: line,
            column: None,
            code: code.to_owned(),
            reason,
        }]
    };
    let record_type = row.record_type;
    let incoming = Incoming::new(
        &row.subject,
        record_type,
        SYSTEM,
        Some(row.source_id),
        row.date_ms,
        row.claims,
    );
    match incoming.and_then(|incoming| accept(change, incoming, random_id(), now_ms())) {
        Ok(Accepted::New(_)) => {
            if !dry_run {
                metrics::counter!("tegata_issuer_accepted_total", "record_type" => record_type.id()).increment(1);
            }
            Ok(Taken::New)
        }
        Ok(Accepted::Same(_)) => Ok(Taken::Same),
        Err(IntakeError::Changed(id)) => Err(failure(
            "changed",
            format!("同じ記録が別の内容ですでにあります。訂正してください（{id}）"),
        )),
        Err(IntakeError::Store(error)) => Ok(Taken::Store(error)),
        Err(_) => Err(failure(
            "subject",
            "対象者の番号または記録の番号が正しくありません".to_owned(),
        )),
    }
}

/// The file of failed rows: the rows as they came, with line, column and reason before them, in UTF-8 with a byte order
/// mark, so that spreadsheet programs show it right, and so that it can be sent again once its rows are right.
struct FailedRows {
    file: File,
    bytes: u64,
    headers: Vec<String>,
}

impl FailedRows {
    /// Opens the file and cuts off what was written after the last batch that is on disk.
    fn open(path: &Path, bytes: u64, headers: &[String]) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            bytes,
            headers: headers.to_vec(),
        })
    }

    fn add(&mut self, raw: &RawRow, failures: &[Failure]) -> io::Result<()> {
        if self.bytes == 0 {
            self.write(b"\xef\xbb\xbf")?;
            let headers: Vec<String> = ["行", "列", "理由"]
                .into_iter()
                .map(str::to_owned)
                .chain(self.headers.clone())
                .collect();
            self.write_row(headers.iter().map(String::as_str))?;
        }
        let join =
            |part: fn(&Failure) -> &str| failures.iter().map(part).collect::<Vec<_>>().join(" / ");
        let columns = join(|failure| failure.column.as_deref().unwrap_or(""));
        let reasons = join(|failure| &failure.reason);
        let line = raw.line.to_string();
        self.write_row(
            [line.as_str(), &columns, &reasons]
                .into_iter()
                .chain(raw.cells.iter()),
        )
    }

    fn write_row<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let mut row = Vec::new();
        {
            let mut writer = csv::WriterBuilder::new()
                .terminator(csv::Terminator::CRLF)
                .from_writer(&mut row);
            writer.write_record(cells).map_err(io::Error::other)?;
            writer.flush()?;
        }
        self.write(&row)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Waits until everything is on disk; gives the length.
    fn sync(&self) -> io::Result<u64> {
        self.file.sync_data()?;
        Ok(self.bytes)
    }
}

/// Erases what is not needed any more: the uploaded file after the import, its failed rows some time later.
fn forget(issuer: &Issuer, import: &Import) {
    let Some(ended_ms) = import.ended_ms else {
        return;
    };
    let upload = (!import.watched).then(|| PathBuf::from(&import.path));
    let failed =
        (now_ms() >= ended_ms + FAILED_KEPT_MS).then(|| failed_rows_path(issuer, &import.id));
    for path in upload.into_iter().chain(failed) {
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, import = %import.id, "a file of an import could not be erased");
        }
    }
}
