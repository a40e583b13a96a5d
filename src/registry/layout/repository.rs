//! One repository: its blobs, its manifests, its tags.
//!
//! All of it blocks on the disk: [`Layout`](super::Layout) calls it from blocking threads. Readers see a snapshot of the
//! index and never wait for a writer; writers of one repository queue, so that none loses what another wrote.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::super::manifest::{Descriptor, Document};
use super::super::{At, Error, Manifest, digest, media, tag_is_version};
use super::files::{Files, at, read_bounded};
use super::index::{Contents, Index};
use crate::ids::Digest;
use crate::limits;

/// A repository that exists, or is about to.
#[derive(Debug)]
pub(super) struct Repository {
    name: String,
    path: PathBuf,
    files: Files,
    writer: Mutex<()>,
    state: RwLock<Option<Arc<State>>>,
    // By digest, so that it never grows stale. Filled when referrers are first asked for.
    subjects: Mutex<HashMap<Digest, Option<Referrer>>>,
}

#[derive(Debug)]
struct State {
    index: Index,
    contents: Contents,
}

/// What is known of a manifest without reading it.
#[derive(Debug, Clone)]
pub(in super::super) struct StoredManifest {
    /// Its digest.
    pub(in super::super) digest: Digest,
    /// The manifest it is about.
    pub(in super::super) subject: Option<String>,
}

/// A manifest that is about another one.
#[derive(Debug, Clone)]
pub(in super::super) struct Referrer {
    subject: String,
    /// How it is listed.
    pub(in super::super) descriptor: Descriptor,
}

impl Repository {
    pub(super) fn new(name: &str, root: &Path, files: Files) -> Self {
        Self {
            name: name.to_owned(),
            path: path_in(root, name),
            files,
            writer: Mutex::new(()),
            state: RwLock::new(None),
            subjects: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn tags(&self) -> Result<BTreeMap<String, Digest>, Error> {
        // Blobs alone, of a push that is still under way, make no repository yet.
        if !self.path.join("index.json").is_file() {
            return Err(Error::NotFound(self.name.clone()));
        }
        Ok(self.state()?.contents.tags.clone())
    }

    /// What a tag points at.
    pub(super) fn resolve(&self, tag: &str) -> Result<Digest, Error> {
        self.state()?.contents.tags.get(tag).cloned().ok_or_else(|| Error::NotFound(format!("{}:{tag}", self.name)))
    }

    /// The manifest of a tag or a digest, verified.
    pub(super) fn manifest(&self, at: &At) -> Result<Manifest, Error> {
        let digest = match at {
            At::Tag(tag) => self.resolve(tag)?,
            At::Digest(digest) => digest.clone(),
        };
        let what = format!("{}@{digest}", self.name);
        let Some(bytes) = read_bounded(&self.blob_path(&digest), &what, limits::MANIFEST_BYTES_MAX as u64)? else {
            return Err(Error::NotFound(what));
        };
        let media_type = match self.state()?.contents.manifests.get(&digest) {
            Some((media_type, _)) => media_type.clone(),
            // A manifest that only an index names, as other tools write layouts. Other blobs are no manifests.
            None => match Document::read(&what, &bytes) {
                Ok(document) if document.schema_version == Some(2) => media_type_of(&document),
                _ => return Err(Error::NotFound(what)),
            },
        };
        verify(&what, &digest, &bytes)?;
        Ok(Manifest { digest, bytes: Bytes::from(bytes), media_type })
    }

    /// Stores a manifest and points tags at it, all or nothing.
    pub(super) fn put_manifest(&self, put: &PutManifest) -> Result<StoredManifest, Error> {
        let what = format!("{}@{}", self.name, put.digest);
        let document = Document::read(&what, &put.bytes)?;
        self.check_blobs(&document)?;
        let _writing = self.begin_writing();
        let state = self.state()?;
        for tag in put.tags.iter().filter(|tag| put.immutable_versions && tag_is_version(tag)) {
            if let Some(there) = state.contents.tags.get(tag).filter(|there| **there != put.digest) {
                let reason = format!("the tag is a version and names {there} for ever; push under another version");
                return Err(Error::Refused { what: format!("{}:{tag}", self.name), reason });
            }
        }
        self.put_bytes(&put.digest, &put.bytes)?;
        let mut index = state.index.clone();
        index.put(&put.digest, &put.media_type, put.bytes.len() as u64, &put.tags);
        self.write_index(index)?;
        let subject = document.subject.map(|subject| subject.digest);
        Ok(StoredManifest { digest: put.digest.clone(), subject })
    }

    /// Removes a tag, or a manifest with all its tags.
    pub(super) fn delete_manifest(&self, at: &At) -> Result<(), Error> {
        let _writing = self.begin_writing();
        let state = self.state()?;
        let mut index = state.index.clone();
        match at {
            At::Tag(tag) => {
                self.resolve(tag)?;
                index.remove_tag(tag);
                self.write_index(index)
            }
            At::Digest(digest) => {
                if !state.contents.manifests.contains_key(digest) {
                    return Err(Error::NotFound(format!("{}@{digest}", self.name)));
                }
                index.remove_manifest(digest);
                self.write_index(index)?;
                self.files.remove(&self.blob_path(digest)).map(drop)
            }
        }
    }

    /// The manifests that are about another one.
    pub(super) fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let state = self.state()?;
        let mut found = Vec::new();
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        for (digest, (media_type, size)) in &state.contents.manifests {
            if !subjects.contains_key(digest) {
                let referrer = self.read_referrer(digest, media_type, *size);
                subjects.insert(digest.clone(), referrer);
            }
            if let Some(Some(referrer)) = subjects.get(digest)
                && referrer.subject == subject.as_str()
            {
                found.push(referrer.descriptor.clone());
            }
        }
        Ok(found)
    }

    /// A blob's file and size.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<(File, u64), Error> {
        let path = self.blob_path(digest);
        match File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len()))) {
            Ok(opened) => Ok(opened),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound(format!("{}@{digest}", self.name))),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// A small blob, verified.
    pub(super) fn read_blob(&self, digest: &Digest, bytes_max: u64) -> Result<Bytes, Error> {
        let what = format!("{}@{digest}", self.name);
        let bytes = read_bounded(&self.blob_path(digest), &what, bytes_max)?.ok_or_else(|| Error::NotFound(what.clone()))?;
        verify(&what, digest, &bytes)?;
        Ok(Bytes::from(bytes))
    }

    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Stores bytes under their digest. The same bytes again cost a read; other bytes there (a damaged disk) are replaced.
    pub(super) fn put_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.blob_path(digest);
        match read_bounded(&path, &self.name, bytes.len() as u64) {
            Ok(Some(there)) if there == bytes => Ok(()),
            _ => self.files.write(&path, bytes),
        }
    }

    /// Stores a finished upload under its digest, which the caller has verified.
    pub(super) fn put_file(&self, digest: &Digest, file: NamedTempFile) -> Result<(), Error> {
        self.files.commit(file, &self.blob_path(digest))
    }

    /// Takes over a blob of another repository; `false` when that has none.
    pub(super) fn mount(&self, digest: &Digest, from: &Self) -> Result<bool, Error> {
        let there = from.blob_path(digest);
        if !there.is_file() {
            return Ok(false);
        }
        self.files.link(&there, &self.blob_path(digest)).map(|()| true)
    }

    pub(super) fn delete_blob(&self, digest: &Digest) -> Result<(), Error> {
        let gone = self.files.remove(&self.blob_path(digest))?;
        if gone { Ok(()) } else { Err(Error::NotFound(format!("{}@{digest}", self.name))) }
    }

    // A manifest whose blobs are missing could never be pulled. What lies elsewhere (`urls`) need not be here, nor what an
    // index or a subject names: both may come later.
    fn check_blobs(&self, document: &Document) -> Result<(), Error> {
        let named = document.config.iter().chain(document.layers.iter().flatten());
        for blob in named.filter(|blob| blob.urls.as_ref().is_none_or(Vec::is_empty)) {
            let there = Digest::parse(&blob.digest).is_ok_and(|digest| self.has_blob(&digest));
            if !there {
                let shown: String = blob.digest.chars().take(140).collect();
                return Err(Error::NotFound(format!("{}@{shown}", self.name)));
            }
        }
        Ok(())
    }

    fn read_referrer(&self, digest: &Digest, media_type: &str, size: u64) -> Option<Referrer> {
        let bytes = read_bounded(&self.blob_path(digest), &self.name, limits::MANIFEST_BYTES_MAX as u64).ok()??;
        let document = Document::read(&self.name, &bytes).ok()?;
        let artifact_type = document.kind_type().map(str::to_owned);
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size,
            annotations: document.annotations,
            artifact_type,
            ..Descriptor::default()
        };
        Some(Referrer { subject: document.subject?.digest, descriptor })
    }

    fn begin_writing(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Result<Arc<State>, Error> {
        if let Some(state) = &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(state));
        }
        let mut slot = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &*slot {
            return Ok(Arc::clone(state));
        }
        let path = self.path.join("index.json");
        let index = match read_bounded(&path, &self.name, limits::REGISTRY_INDEX_BYTES_MAX)? {
            None => Index::empty(),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::invalid(&self.name, format!("{} cannot be read: {error}", path.display())))?,
        };
        let state = Arc::new(State { contents: index.contents(), index });
        *slot = Some(Arc::clone(&state));
        Ok(state)
    }

    // The caller holds `writer`. On the disk first: what readers see is what survives.
    fn write_index(&self, index: Index) -> Result<(), Error> {
        let marker = self.path.join("oci-layout");
        if !marker.is_file() {
            self.files.write(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        let json = serde_json::to_vec(&index).expect("an index is JSON");
        if json.len() as u64 > limits::REGISTRY_INDEX_BYTES_MAX {
            return Err(Error::TooLarge { what: format!("{}/index.json", self.name), bytes_max: limits::REGISTRY_INDEX_BYTES_MAX });
        }
        self.files.write(&self.path.join("index.json"), &json)?;
        let state = State { contents: index.contents(), index };
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(state));
        Ok(())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs").join(digest.algorithm()).join(digest.hex())
    }
}

/// A manifest to store.
#[derive(Debug)]
pub(super) struct PutManifest {
    /// The digest of `bytes`.
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    pub(super) media_type: String,
    pub(super) tags: Vec<String>,
    /// A tag that is a version may not move.
    pub(super) immutable_versions: bool,
}

/// The folder of a repository. Its parts are checked names, never `..`.
pub(super) fn path_in(root: &Path, name: &str) -> PathBuf {
    name.split('/').fold(root.to_owned(), |path, part| path.join(part))
}

/// What a manifest's own words say that it is.
fn media_type_of(document: &Document) -> String {
    let default = if document.is_index() { media::INDEX } else { media::MANIFEST };
    document.media_type.clone().unwrap_or_else(|| default.to_owned())
}

fn verify(what: &str, expected: &Digest, bytes: &[u8]) -> Result<(), Error> {
    let actual = digest::same_algorithm(expected, bytes);
    if actual == *expected {
        return Ok(());
    }
    Err(Error::DigestMismatch { what: what.to_owned(), expected: expected.clone(), actual })
}
