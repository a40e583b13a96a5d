//! Files that appear complete or not at all: written aside, synced, renamed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::super::Error;

/// Writes files under one root.
#[derive(Debug, Clone)]
pub(super) struct Files {
    root: PathBuf,
    scratch: PathBuf,
    durable: bool,
}

impl Files {
    /// Empties the scratch folder: what a crash left there was never acknowledged.
    pub(super) fn open(root: &Path, durable: bool) -> Result<Self, Error> {
        let scratch = root.join(".scratch");
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&scratch)(error)),
            _ => {}
        }
        fs::create_dir_all(&scratch).map_err(at(&scratch))?;
        Ok(Self { root: root.to_owned(), scratch, durable })
    }

    /// A file in the making. It is removed when it is dropped before [`Self::commit`].
    pub(super) fn begin(&self) -> Result<NamedTempFile, Error> {
        let mut builder = tempfile::Builder::new();
        // Others may read the layouts directly, as far as the umask lets them; tempfile's own default is the owner alone.
        #[cfg(unix)]
        builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
        builder.tempfile_in(&self.scratch).map_err(at(&self.scratch))
    }

    /// Gives a finished file its name, in place of what had it before.
    pub(super) fn commit(&self, file: NamedTempFile, path: &Path) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        if self.durable {
            file.as_file().sync_all().map_err(at(file.path()))?;
        }
        file.persist(path).map_err(|error| at(path)(error.error))?;
        self.sync_folder(folder)
    }

    /// Writes a whole file.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.begin()?;
        file.write_all(bytes).map_err(at(path))?;
        self.commit(file, path)
    }

    /// Gives an existing file a second name: a link where the file system can, a copy otherwise.
    pub(super) fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.make_folder(to.parent().unwrap_or(&self.root))?;
        match fs::hard_link(from, to) {
            Ok(()) => self.sync_folder(to.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(_) => {
                let mut file = self.begin()?;
                let mut source = File::open(from).map_err(at(from))?;
                io::copy(&mut source, &mut file).map_err(at(to))?;
                self.commit(file, to)
            }
        }
    }

    /// Removes a file; `false` when there was none.
    pub(super) fn remove(&self, path: &Path) -> Result<bool, Error> {
        match fs::remove_file(path) {
            Ok(()) => self.sync_folder(path.parent().unwrap_or(&self.root)).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(at(path)(error)),
        }
    }

    // Every folder that is new is synced into the one above it, else a crash could lose the whole branch.
    fn make_folder(&self, folder: &Path) -> Result<(), Error> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().unwrap_or(&self.root);
        if folder != self.root {
            self.make_folder(parent)?;
        }
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(folder)(error)),
            _ => self.sync_folder(parent),
        }
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), Error> {
        // Only Unix can open a folder to sync it; elsewhere the rename itself is what the system promises.
        if !self.durable || !cfg!(unix) {
            return Ok(());
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
    }
}

/// Names the path in an error of the system.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// The bytes of a file, unless it is larger than `bytes_max`; `None` when there is none.
pub(super) fn read_bounded(path: &Path, what: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, bytes_max + 1), &mut bytes).map_err(at(path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Error::TooLarge { what: what.to_owned(), bytes_max });
    }
    Ok(Some(bytes))
}
