//! Blobs on their way in: files in the scratch folder that grow by chunks until their digest is named.
//!
//! They live only as long as the process: a client whose upload is gone begins again.

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::super::Error;
use super::super::digest::Hasher;
use super::files::{Files, at};
use crate::ids::Digest;

/// All uploads under way.
#[derive(Debug)]
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    repository: String,
    upload: Arc<Mutex<Upload>>,
}

/// One upload.
#[derive(Debug)]
pub(in super::super) struct Upload {
    // Taken when the upload ends.
    file: Option<NamedTempFile>,
    hasher: Hasher,
    length: u64,
    touched: Instant,
}

/// How many bytes an upload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Appended {
    /// All bytes so far.
    pub(in super::super) length: u64,
}

impl Uploads {
    pub(super) fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    /// Begins an upload, unless too many are under way. Those that nobody touched for long are dropped first.
    pub(super) fn begin(&self, repository: &str, files: &Files, open_max: usize, idle_max: Duration) -> Result<String, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, slot| {
            // One that is being written to right now is not idle.
            slot.upload.try_lock().map_or(true, |upload| upload.touched.elapsed() < idle_max)
        });
        if open.len() >= open_max {
            return Err(Error::Unavailable {
                what: repository.to_owned(),
                reason: format!("{open_max} uploads are under way, which is the limit"),
                transient: true,
                retry_after: Some(Duration::from_secs(1)),
            });
        }
        let id = uuid::Uuid::new_v4().to_string();
        let upload = Upload { file: Some(files.begin()?), hasher: Hasher::sha256(), length: 0, touched: Instant::now() };
        open.insert(id.clone(), Arc::new(Slot { repository: repository.to_owned(), upload: Arc::new(Mutex::new(upload)) }));
        Ok(id)
    }

    /// An upload under way in this repository.
    pub(super) fn get(&self, repository: &str, id: &str) -> Option<Arc<Mutex<Upload>>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(id).filter(|slot| slot.repository == repository).map(|slot| Arc::clone(&slot.upload))
    }

    /// Ends an upload; `false` when there is none.
    pub(super) fn remove(&self, repository: &str, id: &str) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.get(id).is_some_and(|slot| slot.repository == repository);
        known && open.remove(id).is_some()
    }
}

impl Upload {
    /// How far it is.
    pub(in super::super) fn appended(&self) -> Appended {
        Appended { length: self.length }
    }

    /// Adds bytes at the end. Bytes that were written half (a full disk) are written over by the next try.
    pub(super) fn append(&mut self, bytes: &[u8], bytes_max: u64, what: &str) -> Result<Appended, Error> {
        let Some(file) = &mut self.file else { return Err(Error::NotFound(what.to_owned())) };
        self.touched = Instant::now();
        if self.length + bytes.len() as u64 > bytes_max {
            return Err(Error::TooLarge { what: what.to_owned(), bytes_max });
        }
        let path = file.path().to_owned();
        let written = file.seek(SeekFrom::Start(self.length)).and_then(|_| file.write_all(bytes));
        written.map_err(at(&path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(self.appended())
    }

    /// The finished file, if its bytes have this digest.
    pub(super) fn finish(&mut self, expected: &Digest, what: &str) -> Result<NamedTempFile, Error> {
        let Some(file) = self.file.take() else { return Err(Error::NotFound(what.to_owned())) };
        file.as_file().set_len(self.length).map_err(at(file.path()))?;
        let actual = match expected.algorithm() {
            "sha256" => self.hasher.clone().finish(),
            _ => hash_again(&file, expected)?,
        };
        if actual != *expected {
            return Err(Error::DigestMismatch { what: what.to_owned(), expected: expected.clone(), actual });
        }
        Ok(file)
    }
}

// While bytes come nobody knows yet that another algorithm is wanted; that is rare enough for a second reading.
fn hash_again(file: &NamedTempFile, expected: &Digest) -> Result<Digest, Error> {
    let path = file.path();
    let mut reader = std::fs::File::open(path).map_err(at(path))?;
    let mut hasher = Hasher::like(expected);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = std::io::Read::read(&mut reader, &mut buffer).map_err(at(path))?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..read]);
    }
}
