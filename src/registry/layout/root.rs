//! The root folder: who writes there, which repositories it has, and every operation on them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::super::manifest::Descriptor;
use super::super::{At, Error, Manifest, check_repository};
use super::files::{Files, at};
use super::lock::Lock;
use super::repository::{PutManifest, Repository, StoredManifest, path_in};
use super::uploads::{Appended, Uploads};
use crate::ids::Digest;
use crate::limits;

/// How a layout behaves.
#[derive(Debug, Clone)]
pub struct LayoutOptions {
    /// Sync every file before it counts as written. Only what is thrown away afterwards may do without.
    pub durable: bool,
    /// A tag that is a semantic version (`1.2.0`, `v1.2.0`) may not be moved to another manifest.
    pub immutable_versions: bool,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self { durable: true, immutable_versions: false }
    }
}

/// A registry on disk. Cheap to clone; the directory is released with the last clone.
#[derive(Debug, Clone)]
pub struct Layout {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: LayoutOptions,
    files: Files,
    repositories: Mutex<HashMap<String, Arc<Repository>>>,
    // Every repository's name, once somebody has asked for them.
    names: Mutex<Option<BTreeSet<String>>>,
    uploads: Uploads,
    changes: watch::Sender<u64>,
    // Dropped in this order: first the lock, then the folder of an ephemeral layout.
    _lock: Lock,
    ephemeral: Option<tempfile::TempDir>,
}

impl Layout {
    /// Opens a directory, or makes it. Fails with [`Error::Locked`] when another process writes there.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(root, LayoutOptions::default())
    }

    /// Opens a directory with options.
    pub fn open_with(root: impl AsRef<Path>, options: LayoutOptions) -> Result<Self, Error> {
        Self::open_at(root.as_ref(), options, None)
    }

    /// A registry in a temporary directory, which is removed with the last clone. For runs on a machine without one.
    pub fn ephemeral() -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("gantry-registry-").tempdir().map_err(at(&std::env::temp_dir()))?;
        let root = folder.path().to_owned();
        Self::open_at(&root, LayoutOptions { durable: false, ..LayoutOptions::default() }, Some(folder))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Rises with every manifest that is put or deleted, so that what was derived from a listing can be kept until then.
    pub fn generation(&self) -> u64 {
        *self.inner.changes.borrow()
    }

    /// Tells of every rise of [`Self::generation`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Removes a tag, or a manifest with all its tags.
    pub async fn delete(&self, repository: &str, at: &At) -> Result<(), Error> {
        let at = at.clone();
        self.with_existing(repository, move |inner, repository| {
            repository.delete_manifest(&at)?;
            inner.changed();
            Ok(())
        })
        .await
    }

    fn open_at(root: &Path, options: LayoutOptions, ephemeral: Option<tempfile::TempDir>) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(at(root))?;
        let root = root.canonicalize().map_err(at(root))?;
        let lock = Lock::take(&root)?;
        let files = Files::open(&root, options.durable)?;
        let inner = Inner {
            root,
            options,
            files,
            repositories: Mutex::new(HashMap::new()),
            names: Mutex::new(None),
            uploads: Uploads::new(),
            changes: watch::Sender::new(0),
            _lock: lock,
            ephemeral,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

// What the store and the HTTP face ask for.
impl Layout {
    pub(super) fn is_ephemeral(&self) -> bool {
        self.inner.ephemeral.is_some()
    }

    pub(in super::super) async fn manifest_at(&self, repository: &str, at: &At) -> Result<Manifest, Error> {
        let at = at.clone();
        self.with_existing(repository, move |_, repository| repository.manifest(&at)).await
    }

    pub(in super::super) async fn resolve_tag(&self, repository: &str, tag: &str) -> Result<Digest, Error> {
        let tag = tag.to_owned();
        self.with_existing(repository, move |_, repository| repository.resolve(&tag)).await
    }

    pub(in super::super) async fn tag_map(&self, repository: &str) -> Result<BTreeMap<String, Digest>, Error> {
        self.with_existing(repository, |_, repository| repository.tags()).await
    }

    pub(in super::super) async fn repository_names(&self) -> Result<BTreeSet<String>, Error> {
        self.blocking(Inner::names).await
    }

    pub(in super::super) async fn put_manifest(
        &self,
        repository: &str,
        digest: Digest,
        bytes: Bytes,
        media_type: String,
        tags: Vec<String>,
    ) -> Result<StoredManifest, Error> {
        let put = PutManifest { digest, bytes, media_type, tags, immutable_versions: self.inner.options.immutable_versions };
        self.with_new(repository, move |inner, name, repository| {
            let stored = repository.put_manifest(&put)?;
            if let Some(names) = &mut *inner.lock_names() {
                names.insert(name.to_owned());
            }
            inner.changed();
            Ok(stored)
        })
        .await
    }

    pub(in super::super) async fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let subject = subject.clone();
        self.with_existing(repository, move |_, repository| repository.referrers(&subject)).await
    }

    pub(in super::super) async fn open_blob(&self, repository: &str, digest: &Digest) -> Result<(File, u64), Error> {
        let digest = digest.clone();
        self.with_existing(repository, move |_, repository| repository.open_blob(&digest)).await
    }

    pub(in super::super) async fn read_blob(&self, repository: &str, digest: &Digest, bytes_max: u64) -> Result<Bytes, Error> {
        let digest = digest.clone();
        self.with_existing(repository, move |_, repository| repository.read_blob(&digest, bytes_max)).await
    }

    pub(in super::super) async fn put_blobs(&self, repository: &str, blobs: Vec<(Digest, Bytes)>) -> Result<(), Error> {
        self.with_new(repository, move |_, _, repository| blobs.iter().try_for_each(|(digest, bytes)| repository.put_bytes(digest, bytes)))
            .await
    }

    pub(in super::super) async fn delete_blob(&self, repository: &str, digest: &Digest) -> Result<(), Error> {
        let digest = digest.clone();
        self.with_existing(repository, move |_, repository| repository.delete_blob(&digest)).await
    }

    /// `false` when the other repository has no such blob.
    pub(in super::super) async fn mount_blob(&self, repository: &str, digest: &Digest, from: &str) -> Result<bool, Error> {
        let (digest, from) = (digest.clone(), from.to_owned());
        self.with_new(repository, move |inner, _, repository| match inner.existing(&from) {
            Ok(from) => repository.mount(&digest, &from),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    pub(in super::super) async fn begin_upload(&self, repository: &str, open_max: usize, idle_max: Duration) -> Result<String, Error> {
        let name = repository.to_owned();
        self.blocking(move |inner| inner.uploads.begin(&name, &inner.files, open_max, idle_max)).await
    }

    pub(in super::super) async fn upload_status(&self, repository: &str, id: &str) -> Result<Appended, Error> {
        let (name, id) = (repository.to_owned(), id.to_owned());
        self.blocking(move |inner| {
            let upload = inner.uploads.get(&name, &id).ok_or_else(|| no_upload(&name, &id))?;
            let upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(upload.appended())
        })
        .await
    }

    /// Adds bytes to an upload that has `offset` of them; otherwise says how many it has and adds nothing.
    pub(in super::super) async fn append_upload(
        &self,
        repository: &str,
        id: &str,
        offset: u64,
        bytes: Bytes,
        bytes_max: u64,
    ) -> Result<Result<Appended, Appended>, Error> {
        let (name, id) = (repository.to_owned(), id.to_owned());
        self.blocking(move |inner| {
            let upload = inner.uploads.get(&name, &id).ok_or_else(|| no_upload(&name, &id))?;
            // Held until the bytes are written, even when the request is gone by then.
            let mut upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
            if offset != upload.appended().length {
                return Ok(Err(upload.appended()));
            }
            upload.append(&bytes, bytes_max, &format!("{name}/{id}")).map(Ok)
        })
        .await
    }

    /// Ends an upload: its bytes become the blob of this digest. An upload with other bytes is dropped.
    pub(in super::super) async fn finish_upload(&self, repository: &str, id: &str, digest: &Digest) -> Result<(), Error> {
        let (id, digest) = (id.to_owned(), digest.clone());
        self.with_new(repository, move |inner, name, repository| {
            let upload = inner.uploads.get(name, &id).ok_or_else(|| no_upload(name, &id))?;
            let file = upload.lock().unwrap_or_else(PoisonError::into_inner).finish(&digest, &format!("{name}@{digest}"));
            inner.uploads.remove(name, &id);
            repository.put_file(&digest, file?)
        })
        .await
    }

    /// `false` when there is no such upload.
    pub(in super::super) async fn cancel_upload(&self, repository: &str, id: &str) -> Result<bool, Error> {
        let (name, id) = (repository.to_owned(), id.to_owned());
        self.blocking(move |inner| Ok(inner.uploads.remove(&name, &id))).await
    }

    /// Drops an upload without waiting. Removing one file is quick enough for any thread.
    pub(in super::super) fn forget_upload(&self, repository: &str, id: &str) {
        self.inner.uploads.remove(repository, id);
    }

    async fn with_existing<T: Send + 'static>(
        &self,
        repository: &str,
        work: impl FnOnce(&Inner, &Repository) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let name = repository.to_owned();
        self.blocking(move |inner| work(inner, &*inner.existing(&name)?)).await
    }

    async fn with_new<T: Send + 'static>(
        &self,
        repository: &str,
        work: impl FnOnce(&Inner, &str, &Repository) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let name = repository.to_owned();
        self.blocking(move |inner| work(inner, &name, &*inner.repository(&name)?)).await
    }

    // The disk blocks. Work that was begun is finished even when nobody waits for it any more, so that no lock is left and
    // no file half written.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::Unavailable {
                what: self.inner.root.display().to_string(),
                reason: "the process is shutting down".to_owned(),
                transient: false,
                retry_after: None,
            }),
        }
    }
}

impl Inner {
    fn changed(&self) {
        self.changes.send_modify(|generation| *generation += 1);
    }

    /// A repository that has content already.
    fn existing(&self, name: &str) -> Result<Arc<Repository>, Error> {
        check_repository(name).map_err(|error| Error::bad_name(name, error))?;
        if let Some(repository) = self.lock_repositories().get(name) {
            return Ok(Arc::clone(repository));
        }
        // Names nobody pushed to must not fill the memory.
        let path = path_in(&self.root, name);
        if !path.join("index.json").is_file() && !path.join("blobs").is_dir() {
            return Err(Error::NotFound(name.to_owned()));
        }
        self.repository(name)
    }

    fn repository(&self, name: &str) -> Result<Arc<Repository>, Error> {
        check_repository(name).map_err(|error| Error::bad_name(name, error))?;
        let mut repositories = self.lock_repositories();
        if repositories.len() >= limits::REGISTRY_REPOSITORIES_KEPT {
            // Only those that nobody uses: two handles of one repository would not see each other's writer.
            repositories.retain(|_, repository| Arc::strong_count(repository) > 1);
        }
        let repository =
            repositories.entry(name.to_owned()).or_insert_with(|| Arc::new(Repository::new(name, &self.root, self.files.clone())));
        Ok(Arc::clone(repository))
    }

    fn names(&self) -> Result<BTreeSet<String>, Error> {
        let mut names = self.lock_names();
        if let Some(names) = &*names {
            return Ok(names.clone());
        }
        let mut found = BTreeSet::new();
        walk(&self.root, "", &mut found)?;
        *names = Some(found.clone());
        Ok(found)
    }

    fn lock_names(&self) -> MutexGuard<'_, Option<BTreeSet<String>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_repositories(&self) -> MutexGuard<'_, HashMap<String, Arc<Repository>>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Names are at most 255 bytes, which bounds the depth. Links are not followed: they could lead anywhere.
fn walk(folder: &Path, name: &str, found: &mut BTreeSet<String>) -> Result<(), Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        let part = entry.file_name();
        let Some(part) = part.to_str() else { continue };
        let kind = entry.file_type().map_err(at(folder))?;
        if kind.is_file() && part == "index.json" && !name.is_empty() {
            found.insert(name.to_owned());
        } else if kind.is_dir() {
            let below = if name.is_empty() { part.to_owned() } else { format!("{name}/{part}") };
            if check_repository(&below).is_ok() {
                walk(&entry.path(), &below, found)?;
            }
        }
    }
    Ok(())
}

fn no_upload(repository: &str, id: &str) -> Error {
    let id: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    Error::NotFound(format!("{repository}/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_so_many_repositories_those_that_are_in_use_stay_in_memory() {
        let layout = Layout::ephemeral().unwrap();
        let in_use = layout.inner.repository("in-use").unwrap();
        for n in 1..limits::REGISTRY_REPOSITORIES_KEPT {
            layout.inner.repository(&format!("r{n}")).unwrap();
        }
        let count = || layout.inner.lock_repositories().len();
        assert_eq!(count(), limits::REGISTRY_REPOSITORIES_KEPT);
        layout.inner.repository("one-more").unwrap();
        assert_eq!(count(), 2);
        assert!(Arc::ptr_eq(&in_use, &layout.inner.repository("in-use").unwrap()), "two of them would not see each other's writer");
    }
}
