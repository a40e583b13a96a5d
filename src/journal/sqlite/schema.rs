//! The tables, their versions, and how an older journal becomes a newer one.

use std::io;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::wal::{self, End};
use crate::journal::Error;
use crate::limits;

/// Says that a database is a gantry journal (`PRAGMA application_id`): "gntr".
const APPLICATION_ID: i32 = 0x676e_7472;

/// Each entry brings a journal from the version of its index to the next. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE plans (digest TEXT PRIMARY KEY, source TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL UNIQUE,
        workflow TEXT NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL REFERENCES plans (digest),
        idempotency_key TEXT UNIQUE,
        labels TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        seq INTEGER NOT NULL
    );
    CREATE INDEX runs_changed ON runs (changed_at DESC);
    CREATE INDEX runs_unfinished ON runs (id) WHERE status IN ('running', 'input_required');
    CREATE TABLE events (id INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id, seq)) WITHOUT ROWID;
",
    "
    -- Large values by digest, and which event has which at which place. An event says how many it has, so that none gets lost unseen.
    CREATE TABLE blobs (digest BLOB PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE payloads (
        id INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        place TEXT NOT NULL,
        digest BLOB NOT NULL REFERENCES blobs (digest),
        PRIMARY KEY (id, seq, place)
    ) WITHOUT ROWID;
    CREATE INDEX payloads_digest ON payloads (digest);
    ALTER TABLE events ADD COLUMN payloads INTEGER NOT NULL DEFAULT 0;
    -- Set while a run waits for nothing but people and timers: when the first of its timers is due.
    ALTER TABLE runs ADD COLUMN rests_until INTEGER;
    -- An event of a run under way must not cost a change of an index: those by time hold ended runs only.
    DROP INDEX runs_changed;
    CREATE INDEX runs_ended ON runs (status, changed_at DESC) WHERE status NOT IN ('running', 'input_required');
    CREATE INDEX runs_of_workflow ON runs (workflow, changed_at DESC) WHERE status NOT IN ('running', 'input_required');
",
    "
    -- What a run has used of what the runs of its tree may use together, and the trees that have more than one run.
    ALTER TABLE runs ADD COLUMN steps INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX runs_of_root ON runs (labels ->> 'root') WHERE labels ->> 'root' IS NOT NULL;
    -- Beside the runs, whose rows are written anew with each of their events.
    CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL);
",
    "
    -- From here on an event may be that another process goes on with the run, or who had a call that was given up, which a gantry of before does not know.
    -- A run finds those that its steps started without looking through its tree. The status is not in it: an event must not cost a change of it.
    CREATE INDEX runs_of_parent ON runs (labels ->> 'parent') WHERE labels ->> 'root' IS NOT NULL;
",
    "
    -- From here on an event may do more of what followed from the ones before, which a gantry of before does not know.
",
];

/// Looks at the write-ahead file before SQLite does, and makes it ready. Returns how many bytes SQLite will cut.
pub(super) fn look_ahead(path: &Path) -> Result<Option<u64>, Error> {
    check_pair(path)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(path),
        _ => refused(path, &error.to_string()),
    };
    let end = wal::end(path).map_err(failed)?;
    if let End::Damaged(at) = end {
        return Err(damaged_at(path, at));
    }
    wal::settle(path, &end).map_err(failed)?;
    Ok(match end {
        End::Torn(bytes) | End::Void(bytes) => Some(bytes),
        End::Whole | End::Damaged(_) => None,
    })
}

pub(super) fn damaged_at(path: &Path, at: u64) -> Error {
    let log = damaged_log(path, at);
    damaged(path, &format!("its {log}, and what was stored behind that would be lost. Bring back a copy of both files"))
}

/// What is wrong with a write-ahead file that is damaged there.
pub(super) fn damaged_log(path: &Path, at: u64) -> String {
    format!("write-ahead file {} is damaged at byte {at}", wal::of(path).display())
}

/// From which byte on the write-ahead file is damaged, as it looks now.
pub(super) fn first_damage(path: &Path) -> Option<u64> {
    match wal::end(path) {
        Ok(End::Damaged(at)) => Some(at),
        Ok(End::Whole | End::Torn(_) | End::Void(_)) | Err(_) => None,
    }
}

/// SQLite takes a write-ahead file away that stands beside an empty database, whatever is in it, also when it opens that only to read.
pub(super) fn check_pair(path: &Path) -> Result<(), Error> {
    if !wal::is_alone(path).map_err(|error| refused(path, &error.to_string()))? {
        return Ok(());
    }
    let file = wal::of(path);
    let why = format!(
        "there is nothing in it, and its write-ahead file {} has runs, which would be lost. Bring back the file that belongs to it",
        file.display()
    );
    Err(damaged(path, &why))
}

pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    check_pair(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))?;
    let prepare = || -> rusqlite::Result<()> {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.pragma_update(None, "foreign_keys", true)
    };
    prepare().map_err(|error| failed(path, &error))?;
    Ok(connection)
}

/// Opens a journal that exists, to look at.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, Error> {
    check_pair(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(|error| failed(path, &error))?;
    Ok(connection)
}

/// Whether the tables are as this gantry writes them.
pub(super) fn is_current(version: i32) -> bool {
    usize::try_from(version) == Ok(MIGRATIONS.len())
}

/// What the file is: its format, 0 for an empty one. Anything that this gantry cannot read is refused.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<i32, Error> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(refused(path, "it is a database of another program"));
    }
    let current = i32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if version > current {
        return Err(refused(path, &format!("it has format {version} and this gantry knows formats up to {current}: use a newer gantry")));
    }
    Ok(if tables > 0 { version } else { 0 })
}

/// Checks what the file is before anything is written to it, then brings it to this version.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    // Whoever closes a journal last brings its write-ahead file into it. One that is refused stays as it is.
    let stays_as_it_is = |stays| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, stays).map(drop).map_err(failed);
    stays_as_it_is(true)?;
    let version = check(connection, path)?;
    if version > 0 {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
        let bytes = pragma("page_count")?.saturating_mul(pragma("page_size")?);
        if let Some(found) = damage(connection, bytes).map_err(failed)? {
            return Err(damaged(path, &format!("it is damaged: {found}")));
        }
    }
    stays_as_it_is(false)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", limits::JOURNAL_WAL_BYTES_KEPT).map_err(failed)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(migration).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", i32::try_from(index + 1).expect("there are few migrations")).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// What is wrong with a journal of this size, as far as it is looked at.
pub(super) fn damage(connection: &Connection, bytes: i64) -> rusqlite::Result<Option<String>> {
    let is_small = bytes <= limits::JOURNAL_CHECKED_BYTES_MAX;
    let checks: &[&str] = if is_small { &["quick_check(1)"] } else { &["quick_check(runs)", "quick_check(plans)"] };
    for check in checks {
        let found: String = connection.query_row(&format!("PRAGMA {check}"), [], |row| row.get(0))?;
        if found != "ok" {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The journal cannot be opened: it is none, or the disk has no space for what opening one writes.
fn failed(path: &Path, error: &rusqlite::Error) -> Error {
    if is_full(Some(path), error) {
        return full(path);
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, &error.to_string()),
        _ => refused(path, &error.to_string()),
    }
}

fn full(path: &Path) -> Error {
    Error::Full(format!("cannot open the journal {}: its disk is full; make room there and start again", path.display()))
}

/// Whether SQLite could not do it for want of space. It says so of most writes; of the others the file system is asked.
pub(super) fn is_full(path: Option<&Path>, error: &rusqlite::Error) -> bool {
    is_want_of_space(error, || path.and_then(Path::parent).and_then(|directory| fs4::available_space(directory).ok()))
}

/// The same where the file system says how much is left, if it does.
pub(super) fn is_want_of_space(error: &rusqlite::Error, left: impl FnOnce() -> Option<u64>) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => left().is_some_and(|bytes| bytes < limits::JOURNAL_SPACE_MIN),
        _ => false,
    }
}

pub(super) fn refused(path: &Path, why: &str) -> Error {
    Error::Failed(refusal(path, why))
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::DamagedFile(refusal(path, why))
}

fn refusal(path: &Path, why: &str) -> String {
    // What stands beside the file belongs to it: without it, it would be lost.
    let directory = path.parent().unwrap_or(path);
    format!(
        "cannot open the journal {}: {why}. Nothing was changed; move the whole directory {} away to start with an empty journal",
        path.display(),
        directory.display()
    )
}
