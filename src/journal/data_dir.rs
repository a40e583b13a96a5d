//! The data directory: one process at a time, and the second says who holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs4::FileExt;

use super::Error;

/// As much of a lock file as is read.
const ANNOUNCED_BYTES_MAX: u64 = 4096;

/// A locked data directory. Dropping it, or the end of the process, frees the lock.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Makes the directory when there is none, readable for its owner only, and locks it.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Failed(format!("cannot use the data directory {}: {error}", path.display()));
        std::fs::create_dir_all(path).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let mut lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path.join("lock")).map_err(failed)?;
        if FileExt::try_lock(&lock).is_err() {
            let mut holder = String::new();
            // The holder's name is a courtesy: the lock itself is the kernel's.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.lines().next().unwrap_or("another process").chars().take(100).collect::<String>();
            return Err(Error::Failed(format!(
                "the data directory {} is held by {holder}: stop it, or choose another with --data-dir",
                path.display()
            )));
        }
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(lock, "process {}", std::process::id()).map_err(failed)?;
        lock.sync_all().map_err(failed)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Tells whoever looks into the directory how to reach its holder. The directory is its owner's alone, so that secrets are safe.
    pub fn announce(&mut self, line: &str) -> Result<(), Error> {
        let mut announced = || -> std::io::Result<()> {
            self.lock.seek(SeekFrom::End(0))?;
            writeln!(self.lock, "{line}")?;
            self.lock.flush()
        };
        let failed = |error: std::io::Error| Error::Failed(format!("cannot write to {}: {error}", self.path.join("lock").display()));
        announced().map_err(failed)
    }

    /// What the holder of a directory announced last. It may have ended since: only who answers there is the holder.
    pub fn announced(path: &Path) -> Option<String> {
        let mut text = String::new();
        File::open(path.join("lock")).ok()?.take(ANNOUNCED_BYTES_MAX).read_to_string(&mut text).ok()?;
        text.lines().nth(1).map(str::to_owned)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
