//! Reading what is named on the command line: files and standard input, of bounded length, and nothing that never ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Why an input is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("it is a folder")]
    Folder,
    #[error("it is a pipe or a device, not a file; name `-` to read standard input")]
    NoFile,
    #[error("it is longer than {} MiB, the most that is read", .0 >> 20)]
    TooLong(u64),
}

/// Reads a file, or standard input where `-` is named, of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, InputError> {
    if path.as_os_str() == "-" {
        return read_to(io::stdin().lock(), bytes_max);
    }
    // Asked before it is opened: opening a pipe waits for whoever writes into it.
    let about = std::fs::metadata(path)?;
    if about.is_dir() {
        return Err(InputError::Folder);
    }
    if !about.is_file() {
        return Err(InputError::NoFile);
    }
    if about.len() > bytes_max {
        return Err(InputError::TooLong(bytes_max));
    }
    read_to(File::open(path)?, bytes_max)
}

fn read_to(input: impl Read, bytes_max: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    input.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(InputError::TooLong(bytes_max));
    }
    Ok(bytes)
}
