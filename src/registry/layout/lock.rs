//! One writer for each root. The lock file says who that is, so that the second one can tell its user.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Error;
use super::files::at;
use crate::time::Timestamp;

/// Held until it is dropped, or until its process ends in whatever way: the system releases it.
#[derive(Debug)]
pub(super) struct Lock {
    // Closing the file releases the lock.
    _file: File,
}

impl Lock {
    pub(super) fn take(root: &Path) -> Result<Self, Error> {
        let path = root.join(".lock");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { root: root.to_owned(), holder: holder(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
        let since_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let who = format!("process {} since {}\n", std::process::id(), Timestamp::from_unix_ms(since_ms));
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(who.as_bytes())).map_err(at(&path))?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    match (read, text.trim()) {
        (Ok(_), who) if !who.is_empty() && !who.contains(char::is_control) => who.to_owned(),
        _ => "another process".to_owned(),
    }
}
