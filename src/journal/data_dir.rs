//! The data directory: one process at a time, and the second says who holds it. A copy of a directory that is held is refused, too: its
//! runs are under way already.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::FileExt;

use super::Error;

/// As much of a lock file as is read.
const ANNOUNCED_BYTES_MAX: u64 = 16 * 1024;
/// The longest note, so that what stands beside it is read as well.
const NOTE_BYTES_MAX: usize = 3 * 1024;
const LOCK: &str = "lock";
/// How often the lock is tried again, and how long after each time.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_REST: Duration = Duration::from_millis(20);

/// A locked data directory. Dropping it, or the end of the process, frees the lock.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    /// What was noted when it was locked.
    earlier: String,
}

impl DataDir {
    /// Makes the directory when there is none, readable for its owner only, and locks it.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        Self::lock_resting(path, || std::thread::sleep(LOCK_REST))
    }

    /// The same, with what is done between two attempts.
    fn lock_resting(path: &Path, mut rest: impl FnMut()) -> Result<Self, Error> {
        let failed = |error: io::Error| failure(&format!("cannot use the data directory {}", path.display()), &error);
        std::fs::create_dir_all(path).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let mut lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path.join(LOCK)).map_err(failed)?;
        let mut is_held = FileExt::try_lock(&lock).is_err();
        // Who looks whether it is held has it for a moment.
        for _ in 0..LOCK_ATTEMPTS {
            if is_held {
                rest();
                is_held = FileExt::try_lock(&lock).is_err();
            }
        }
        if is_held {
            let holder = holder(&text(&lock).unwrap_or_default());
            return Err(Error::Failed(format!(
                "the data directory {} is held by {holder}: stop it, or choose another with --data-dir",
                path.display()
            )));
        }
        let before = text(&lock).map_err(failed)?;
        if let Some((original, holder)) = Place::written(&before).and_then(|place| place.held_elsewhere(&lock)) {
            return Err(Error::Failed(format!(
                "the data directory {} is a copy of {}, which is held by {holder}: both would go on with the same runs. Stop that one before \
                 you use the copy, or choose another directory with --data-dir",
                path.display(),
                original.display()
            )));
        }
        let place = Place::of(&lock, &path.canonicalize().map_err(failed)?).map_err(failed)?;
        // What was noted is of the runs, and holds until somebody notes something else.
        let note = last_note(&before).map(|note| format!("{NOTE}{note}\n")).unwrap_or_default();
        write_over(&mut lock, &format!("process {}\n{place}{note}", std::process::id())).map_err(failed)?;
        let earlier = last_note(&before).unwrap_or_default().to_owned();
        Ok(Self { path: path.to_owned(), lock, earlier })
    }

    /// Tells whoever looks into the directory how to reach its holder. The directory is its owner's alone, so that secrets are safe.
    pub fn announce(&mut self, line: &str) -> Result<(), Error> {
        let mut announced = || -> io::Result<()> {
            let end = self.lock.seek(SeekFrom::End(0))?;
            let written = self.lock.write_all(format!("{line}\n").as_bytes());
            if written.is_err() {
                // The beginning of a line would spoil the next one.
                self.lock.set_len(end)?;
            }
            written
        };
        let failed = |error: io::Error| failure(&format!("cannot write to {}", self.path.join(LOCK).display()), &error);
        announced().map_err(failed)
    }

    /// Notes where the agents of its runs are found, for whoever wants them to go on later. The last note holds; one that is too long is none.
    pub fn note(&mut self, line: &str) -> Result<(), Error> {
        let line = if line.len() > NOTE_BYTES_MAX { "" } else { line };
        if text(&self.lock).is_ok_and(|before| last_note(&before).unwrap_or_default() == line) {
            return Ok(());
        }
        self.announce(&format!("{NOTE}{line}"))
    }

    /// Whether something was noted before it was held.
    pub fn was_noted(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Puts back what was noted before it was held, also when that was nothing.
    pub fn note_earlier(&mut self) -> Result<(), Error> {
        self.note(&self.earlier.clone())
    }

    /// What was noted last in a directory, by whoever held it then.
    pub fn noted(path: &Path) -> Option<String> {
        let lock = File::open(path.join(LOCK)).ok()?;
        last_note(&text(&lock).ok()?).filter(|note| !note.is_empty()).map(str::to_owned)
    }

    /// Where the original of a copied directory is, and who holds it now: what [`lock`](Self::lock) refuses, for those who only look.
    pub fn held_original(path: &Path) -> Option<(PathBuf, String)> {
        let lock = File::open(path.join(LOCK)).ok()?;
        Place::written(&text(&lock).ok()?)?.held_elsewhere(&lock)
    }

    /// What the holder of a directory announced last. It may have ended since: only who answers there is the holder. What stands in a copy
    /// was announced for another directory.
    pub fn announced(path: &Path) -> Option<String> {
        let lock = File::open(path.join(LOCK)).ok()?;
        let text = text(&lock).ok()?;
        if Place::written(&text).is_some_and(|place| !place.is_of(&lock)) {
            return None;
        }
        text.lines().skip(1).find(|line| !line.starts_with(PLACE) && !line.starts_with(NOTE)).map(str::to_owned)
    }

    /// Who holds a directory now, in a few words; none when nobody does. Who looks at the same time is not taken for a holder.
    pub fn holder(path: &Path) -> Option<String> {
        let lock = File::open(path.join(LOCK)).ok()?;
        FileExt::try_lock_shared(&lock).is_err().then(|| holder(&text(&lock).unwrap_or_default()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Later notes stand behind earlier ones.
fn last_note(text: &str) -> Option<&str> {
    text.lines().skip(1).filter_map(|line| line.strip_prefix(NOTE)).last()
}

/// Replaces what stands in a lock file. Cut afterwards: whenever this ends, the last note and the place can be read.
fn write_over(lock: &mut File, text: &str) -> io::Result<()> {
    lock.rewind()?;
    lock.write_all(text.as_bytes())?;
    lock.set_len(text.len() as u64)?;
    lock.sync_all()
}

/// What stands in a lock file, from its beginning.
fn text(mut lock: &File) -> io::Result<String> {
    let mut text = Vec::new();
    lock.rewind()?;
    lock.take(ANNOUNCED_BYTES_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The holder's name is a courtesy: the lock itself is the kernel's.
fn holder(text: &str) -> String {
    text.lines().next().unwrap_or("another process").chars().take(100).collect()
}

fn failure(what: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::Full(format!("{what}: {error}; make room there and start again"))
        }
        _ => Error::Failed(format!("{what}: {error}")),
    }
}

/// How the line begins that says where the agents of the runs are found.
const NOTE: &str = "agents ";

/// How the line begins that says which file the lock file is, and where.
const PLACE: &str = "place ";

/// Which file a lock file was when it was written, and where its directory was. In a copy it names the original.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    directory: PathBuf,
}

impl Place {
    fn of(lock: &File, directory: &Path) -> io::Result<Self> {
        let (device, inode) = identity(lock)?;
        Ok(Self { device, inode, directory: directory.to_owned() })
    }

    /// What the last holder wrote.
    fn written(text: &str) -> Option<Self> {
        let mut words = text.lines().find_map(|line| line.strip_prefix(PLACE))?.splitn(3, ' ');
        let (device, inode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { device, inode, directory: PathBuf::from(words.next()?) })
    }

    fn is_of(&self, lock: &File) -> bool {
        identity(lock).is_ok_and(|identity| identity == (self.device, self.inode))
    }

    /// Where the original of a copied lock file is, and who holds it. A directory that was moved has no original elsewhere, and that of a
    /// backup is not held when the backup takes its place.
    fn held_elsewhere(self, lock: &File) -> Option<(PathBuf, String)> {
        if self.is_of(lock) {
            return None;
        }
        let original = File::open(self.directory.join(LOCK)).ok().filter(|original| self.is_of(original))?;
        FileExt::try_lock_shared(&original).is_err().then(|| (self.directory, holder(&text(&original).unwrap_or_default())))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directory = self.directory.to_string_lossy();
        // A path that cannot be written in one line is not found again; the lock of the directory itself holds all the same.
        writeln!(f, "{PLACE}{} {} {}", self.device, self.inode, directory.replace(['\n', '\r'], "?"))
    }
}

#[cfg(unix)]
fn identity(file: &File) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Files have no number that can be asked for here: every lock file counts as the original.
#[cfg(not(unix))]
fn identity(_file: &File) -> io::Result<(u64, u64)> {
    Ok((0, 0))
}

#[cfg(test)]
mod tests;
