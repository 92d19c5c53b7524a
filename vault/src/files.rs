//! Big sealed files on disk, each under the SHA-256 of its bytes.
//!
//! A file is whole or absent: it is written beside its place, synced, renamed, and the folder synced, before any row names
//! it. What a crash leaves behind is at most a file that no row names.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tegata_consent::ids::Hash;

/// The folder of big sealed files.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

/// A path that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Files {
    /// Opens the folder, and removes what a crash left half-written.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, FileError> {
        let half = folder.join("half");
        if half.exists() {
            fs::remove_dir_all(&half).map_err(at(&half))?;
        }
        fs::create_dir_all(&half).map_err(at(&half))?;
        sync_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Names the folder and changes nothing.
    pub(crate) const fn open_read_only(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps a file. When this returns, the file survives a loss of power.
    pub(crate) fn keep(&self, digest: &Hash, bytes: &[u8], unique: u64) -> Result<(), FileError> {
        let path = self.path(digest);
        let folder = path.parent().expect("a file's path has a folder before it");
        if !path.exists() {
            if !folder.exists() {
                fs::create_dir_all(folder).map_err(at(folder))?;
                sync_folder(&self.folder)?;
            }
            let half = self.folder.join("half").join(format!("{digest}-{unique}"));
            let mut file = File::create(&half).map_err(at(&half))?;
            file.write_all(bytes).map_err(at(&half))?;
            file.sync_all().map_err(at(&half))?;
            fs::rename(&half, &path).map_err(at(&path))?;
        }
        sync_folder(folder)
    }

    /// The file, or `None` where there is none.
    pub(crate) fn read(&self, digest: &Hash) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(at(&path))?;
        Ok(Some(bytes))
    }

    /// Names of everything in the folder that is whole, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, FileError> {
        let mut names = Vec::new();
        for shelf in entries(&self.folder)? {
            if shelf.file_name().is_some_and(|name| name != "half") && shelf.is_dir() {
                for file in entries(&shelf)? {
                    names.extend(
                        file.file_name()
                            .and_then(|name| name.to_str())
                            .map(str::to_owned),
                    );
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where a file lies.
    pub(crate) fn path(&self, digest: &Hash) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(name)
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(folder)(error)),
    };
    listing
        .map(|entry| entry.map(|entry| entry.path()).map_err(at(folder)))
        .collect()
}

/// Makes what was created or renamed in a folder survive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { path, source }
}
