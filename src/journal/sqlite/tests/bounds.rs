//! How much waits for the journal, how much of a burst stays on disk, how many ended runs stay in memory, how large a journal is checked
//! whole, and what counts as a full disk.

use std::io::{Seek, SeekFrom, Write as _};
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::journal::Memory;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whoever writes waits when the disk is behind: what waits in memory has a bound.
#[tokio::test]
async fn writers_wait_when_as_many_writes_wait_as_may() {
    let (dir, run) = (tempfile::tempdir().unwrap(), RunId::parse("a").unwrap());
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    journal.create(header("a", None), started("a")).await.unwrap();
    let queue = journal.writes.clone().unwrap();
    assert_eq!((queue.max_capacity(), queue.capacity()), (limits::JOURNAL_QUEUE, limits::JOURNAL_QUEUE));
    // Nothing can be committed while somebody else holds the database. The writer has one batch in its hands.
    let other = Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let too_many = 100;
    let all = limits::JOURNAL_QUEUE + limits::JOURNAL_BATCH + too_many;
    let mut writers = JoinSet::new();
    for _ in 0..all {
        let (journal, run) = (Arc::clone(&journal), run.clone());
        writers.spawn(async move { journal.append(&run, &[], RunStatus::Running).await });
    }
    let full = async {
        while queue.capacity() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.expect("the queue is full");
    assert!(writers.try_join_next().is_none(), "nobody is told that it is stored");
    other.execute_batch("ROLLBACK").unwrap();
    let stored = tokio::time::timeout(PATIENCE, writers.join_all()).await.expect("all of them are stored");
    assert_eq!(stored.iter().filter(|stored| stored.is_ok()).count(), all);
    assert_eq!(queue.capacity(), limits::JOURNAL_QUEUE);
}

#[tokio::test]
async fn the_space_of_a_burst_is_given_back() {
    let (dir, run) = (tempfile::tempdir().unwrap(), RunId::parse("a").unwrap());
    let journal = Sqlite::open(dir.path()).unwrap();
    journal.create(header("a", None), started("a")).await.unwrap();
    let wal = || std::fs::metadata(dir.path().join(format!("{FILE}-wal"))).unwrap().len() as i64;
    // One commit of more than is kept.
    let large = |n: i64| Event::CancelRequested { reason: "r".repeat(250 * 1024), at: Timestamp::from_unix_ms(n) };
    let burst: Vec<_> = (0..limits::JOURNAL_WAL_BYTES_KEPT / (200 * 1024)).map(large).collect();
    journal.append(&run, &burst, RunStatus::Running).await.unwrap();
    assert!(wal() > limits::JOURNAL_WAL_BYTES_KEPT, "{} bytes", wal());
    // The next that begins the file anew cuts it.
    journal.append(&run, &[cancel(1)], RunStatus::Running).await.unwrap();
    assert_eq!(wal(), limits::JOURNAL_WAL_BYTES_KEPT);
    assert_eq!(journal.events(&run).await.unwrap().len(), burst.len() + 2);
}

#[tokio::test]
async fn in_memory_the_last_ended_runs_are_kept_and_all_that_go_on() {
    let (journal, more) = (Memory::default(), 3);
    let name = |n: usize| format!("r{n}");
    journal.create(header("goes-on", None), started("goes-on")).await.unwrap();
    for n in 0..limits::MEMORY_RUNS_KEPT + more {
        let run = RunId::parse(&name(n)).unwrap();
        journal.create(header(&name(n), Some(&name(n))), started(&name(n))).await.unwrap();
        journal.append(&run, &[cancel(9)], RunStatus::Canceled).await.unwrap();
        // What is said of it after its end does not count again.
        journal.append(&run, &[], RunStatus::Canceled).await.unwrap();
    }
    assert_eq!(journal.list().await.unwrap().len(), limits::MEMORY_RUNS_KEPT + 1);
    assert_eq!(journal.unfinished().await.unwrap().len(), 1);
    for n in 0..=more {
        let (run, is_kept) = (RunId::parse(&name(n)).unwrap(), n == more);
        assert_eq!(journal.record(&run).await.is_ok(), is_kept, "{n}");
        assert_eq!(journal.find(&name(n)).await.unwrap().is_some(), is_kept, "{n}");
    }
}

/// SQLite says of most writes that they want space. What it says only an input or output error of may be that, too.
#[test]
fn a_fault_is_want_of_space_where_less_is_left_than_sqlite_needs_at_once() {
    use rusqlite::ffi;
    let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
    let (none, enough) = (limits::JOURNAL_SPACE_MIN - 1, limits::JOURNAL_SPACE_MIN);
    for (code, left, expected) in [
        (ffi::SQLITE_FULL, Some(u64::MAX), true),
        (ffi::SQLITE_FULL, None, true),
        (ffi::SQLITE_IOERR, Some(none), true),
        (ffi::SQLITE_IOERR, Some(enough), false),
        (ffi::SQLITE_IOERR_WRITE, Some(none), true),
        (ffi::SQLITE_IOERR_SHMSIZE, Some(0), true),
        (ffi::SQLITE_CANTOPEN, Some(none), true),
        (ffi::SQLITE_CANTOPEN, Some(enough), false),
        // Nobody knows.
        (ffi::SQLITE_IOERR, None, false),
        // What has nothing to do with space is told as it is, however little there is.
        (ffi::SQLITE_CORRUPT, Some(0), false),
        (ffi::SQLITE_BUSY, Some(0), false),
    ] {
        assert_eq!(schema::is_want_of_space(&error(code), || left), expected, "{code} with {left:?}");
    }
}

/// The journal's file with pages that nothing uses at its end, which only a look at the whole finds. They take no space.
fn grow(dir: &Path, bytes: i64) {
    let path = dir.join(FILE);
    drop(Sqlite::open(dir).unwrap());
    // Its thread closes the file a little later, and the last who does takes this away.
    let (log, begun) = (dir.join(format!("{FILE}-wal")), std::time::Instant::now());
    while log.exists() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "the journal is never closed");
        std::thread::yield_now();
    }
    let db = Connection::open(&path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let page: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    db.close().unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(bytes as u64).unwrap();
    // The count of pages in the header: https://www.sqlite.org/fileformat2.html#in_header_database_size
    file.seek(SeekFrom::Start(28)).unwrap();
    file.write_all(&u32::try_from(bytes / page).unwrap().to_be_bytes()).unwrap();
}

#[test]
fn a_journal_is_checked_whole_up_to_a_size() {
    for (more, is_whole) in [(0, true), (4096, false)] {
        let dir = tempfile::tempdir().unwrap();
        grow(dir.path(), limits::JOURNAL_CHECKED_BYTES_MAX + more);
        let opened = Sqlite::open(dir.path());
        match (opened, is_whole) {
            (Err(error), true) => {
                assert!(error.to_string().contains("it is damaged: ") && error.to_string().contains("never used"), "{error}")
            }
            (Ok(_), false) => {}
            (opened, _) => panic!("{more} bytes more than are checked: {opened:?}"),
        }
    }
}
