//! Whether a data directory is a copy of one that is held, for those who only look: [`DataDir::lock`] refuses such a copy.
//!
//! Used by `cli`. Invariant: reads what [`DataDir`] writes to its lock file, and never locks or writes one.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::DataDir;

/// As much of a lock file as is read.
const LOCK_BYTES_MAX: u64 = 16 * 1024;

/// Where the original of a copied directory is, and who holds it now.
pub fn held_original(path: &Path) -> Option<(PathBuf, String)> {
    let mut text = Vec::new();
    File::open(path.join("lock")).ok()?.take(LOCK_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (device, rest) = text.lines().find_map(|line| line.strip_prefix("place "))?.split_once(' ')?;
    let (inode, original) = rest.split_once(' ')?;
    let original = PathBuf::from(original);
    let written = (device.parse().ok()?, inode.parse().ok()?);
    let is_another = path.canonicalize().ok()? != original.canonicalize().ok()?;
    let holder = DataDir::holder(&original)?;
    (is_another && is_file(&original.join("lock"), written)).then_some((original, holder))
}

#[cfg(unix)]
fn is_file(path: &Path, identity: (u64, u64)) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == identity)
}

/// Files have no number that can be asked for here: nothing counts as a copy.
#[cfg(not(unix))]
fn is_file(_path: &Path, _identity: (u64, u64)) -> bool {
    false
}
