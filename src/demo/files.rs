//! Files of the demo's directory.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write(path, bytes, 0o600)
}

/// Writes a file that anyone may read, whole or not at all.
pub fn write_public(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write(path, bytes, 0o644)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
