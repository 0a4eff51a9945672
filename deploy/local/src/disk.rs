//! The disk that a folder is on.

use std::io;
use std::path::Path;

/// How many bytes somebody without privileges can still write there.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
