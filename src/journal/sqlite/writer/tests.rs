//! How the journal writes: with which promises, how often, and what comes of it when there is no space. Holding the connection of the
//! writing thread holds up its next write.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Addition, Forget, Request, Write, gather};
use crate::ids::RunId;
use crate::interpreter::{Event, RunStatus};
use crate::journal::sqlite::tests::{cancel, header, started};
use crate::journal::sqlite::{FILE, Sqlite, schema};
use crate::journal::{Created, Error, Journal};
use crate::limits;
use crate::time::Timestamp;

/// A journal, and the connection that its thread writes with.
fn open(dir: &Path) -> (Sqlite, Arc<Mutex<Connection>>) {
    let path = dir.join(FILE);
    let mut connection = schema::open(&path).unwrap();
    schema::migrate(&mut connection, &path).unwrap();
    let connection = Arc::new(Mutex::new(connection));
    (Sqlite::over(path, Arc::clone(&connection), None).unwrap(), connection)
}

fn hold(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(id: &str) -> RunId {
    RunId::parse(id).unwrap()
}

#[test]
fn every_commit_is_flushed_to_a_log_before_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, connection) = open(dir.path());
    let connection = hold(&connection);
    let text = |name| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(text("journal_mode"), "wal");
    assert_eq!(number("synchronous"), 2, "FULL: the log is flushed with every commit, or a power cut takes what was told as stored");
    assert_eq!(number("foreign_keys"), 1);
}

/// Commits in the write-ahead file: the frames that end one say so. <https://www.sqlite.org/fileformat.html#the_write_ahead_log>
fn commits(dir: &Path) -> usize {
    let log = std::fs::read(dir.join(format!("{FILE}-wal"))).unwrap();
    if log.is_empty() {
        return 0;
    }
    let word = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + word(8) as usize;
    let is_of_this_round = |at: usize| log[at + 8..at + 16] == log[16..24];
    (32..log.len()).step_by(frame).take_while(|at| is_of_this_round(*at)).filter(|at| word(at + 4) != 0).count()
}

#[tokio::test]
async fn what_is_in_the_write_ahead_file_is_brought_in_later_than_its_writes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _connection) = open(dir.path());
    journal.create(header("a", None), started("a")).await.unwrap();
    let large =
        |n: i64| Event::CancelRequested { reason: "r".repeat(limits::PAYLOAD_INLINE_BYTES_MAX / 2), at: Timestamp::from_unix_ms(n) };
    let pages = || std::fs::metadata(dir.path().join(format!("{FILE}-wal"))).unwrap().len() / 4096;
    let bound = u64::from(limits::JOURNAL_WAL_PAGES.unsigned_abs());
    // Who reads keeps what it may still want in the file. Nobody waits for it.
    let reader = Connection::open(dir.path().join(FILE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let mut written = 0;
    while pages() < 2 * bound {
        written += 1;
        journal.append(&run("a"), &[large(written)], RunStatus::Running).await.unwrap();
    }
    // Then the next write finds it too long, and the one after that begins it anew.
    reader.execute_batch("COMMIT").unwrap();
    let before = pages();
    for n in 0..i64::try_from(bound).unwrap() / 64 {
        journal.append(&run("a"), &[large(written + n)], RunStatus::Running).await.unwrap();
    }
    assert!(pages() < before + bound / 4, "{before} pages, and {} later", pages());
}

#[tokio::test]
async fn what_waits_for_a_write_shares_the_next_one() {
    const RUNS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let (journal, connection) = open(dir.path());
    let ids: Vec<String> = (0..RUNS).map(|n| format!("run-{n}")).collect();
    join_all(ids.iter().map(|id| journal.create(header(id, None), started(id)))).await;
    // The file has nothing but what follows.
    let is_busy: bool = hold(&connection).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!is_busy && commits(dir.path()) == 0);
    // All of them ask before the thread may write.
    let held = hold(&connection);
    let appends = join_all(ids.iter().map(|id| async { journal.append(&run(id), &[cancel(7)], RunStatus::Running).await }));
    let mut appends = tokio::task::unconstrained(appends);
    assert!((&mut appends).now_or_never().is_none());
    drop(held);
    assert!(appends.await.iter().all(Result::is_ok));
    let commits = commits(dir.path());
    // Those that the thread had taken before it waited, and the others.
    assert!((1..=2).contains(&commits), "{RUNS} appends took {commits} commits");
    for id in ids {
        assert_eq!(journal.events(&run(&id)).await.unwrap(), [started(&id), cancel(7)]);
    }
}

/// Some 60 KB, which stand in the record of the event.
fn large(at: i64) -> Event {
    Event::CancelRequested { reason: "r".repeat(60_000), at: Timestamp::from_unix_ms(at) }
}

/// The database may have so many pages and no more: SQLite says what it says when the disk is full.
fn bound(connection: &Mutex<Connection>, pages: i64) {
    hold(connection).pragma_update(None, "max_page_count", pages).unwrap();
}

fn pages(connection: &Mutex<Connection>) -> i64 {
    hold(connection).pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_full_journal_stores_what_it_says_it_stores_and_goes_on_when_there_is_space() {
    const RUNS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let (journal, connection) = open(dir.path());
    let ids: Vec<String> = (0..RUNS).map(|n| format!("run-{n}")).collect();
    join_all(ids.iter().map(|id| journal.create(header(id, None), started(id)))).await;
    bound(&connection, pages(&connection) + 40);
    let mut stored: Vec<Vec<Event>> = ids.iter().map(|id| vec![started(id)]).collect();
    let (mut refused, mut round) = (0, 0);
    while refused < RUNS {
        round += 1;
        assert!(round < 20, "it never gets full");
        refused = 0;
        // All of them ask before the thread may write, so that some share a write that does not fit as a whole.
        let held = hold(&connection);
        let appends = join_all(ids.iter().map(|id| async { journal.append(&run(id), &[large(round)], RunStatus::Running).await }));
        let mut appends = tokio::task::unconstrained(appends);
        assert!((&mut appends).now_or_never().is_none());
        drop(held);
        let appended = appends.await;
        for (events, appended) in stored.iter_mut().zip(appended) {
            match appended {
                Ok(()) => events.push(large(round)),
                Err(Error::Full(why)) => {
                    assert!(why.contains("disk is full"), "{why}");
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(stored.iter().any(|events| events.len() > 1), "something fitted");
    let mut new = started("new");
    if let Event::Started { input, .. } = &mut new {
        *input = Arc::new(serde_json::json!("x".repeat(60_000)));
    }
    assert!(matches!(journal.create(header("new", None), new.clone()).await, Err(Error::Full(_))), "a new run is refused");
    for (id, events) in ids.iter().zip(&stored) {
        assert_eq!(&journal.events(&run(id)).await.unwrap(), events, "what was refused left nothing behind");
    }
    bound(&connection, i64::from(i32::MAX));
    for (id, events) in ids.iter().zip(&mut stored) {
        journal.append(&run(id), &[large(99)], RunStatus::Running).await.unwrap();
        events.push(large(99));
    }
    assert!(matches!(journal.create(header("new", None), new).await, Ok(Created::New)));
    let gaps = "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY id HAVING max(seq) + 1 <> count(*))";
    assert_eq!(hold(&connection).query_row(gaps, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "and counts for nothing");
    drop(journal);
    let again = Sqlite::open(dir.path()).unwrap();
    for (id, events) in ids.iter().zip(&stored) {
        assert_eq!(&again.events(&run(id)).await.unwrap(), events, "and it is all there after the next start");
    }
}

#[test]
fn what_waits_shares_a_flush_up_to_the_most() {
    let waiting = limits::JOURNAL_BATCH * 2 + 3;
    let (sender, mut requests) = mpsc::channel(waiting);
    for n in 0..waiting {
        let request = if n % 2 == 0 {
            Request::Forget(Forget::Runs { ids: Vec::new(), reply: oneshot::channel().0 })
        } else {
            let (run, status, changed_at) = (run("r"), RunStatus::Running, Timestamp::default());
            let reply = oneshot::channel().0;
            let addition = Addition { run, events: Vec::new(), status, changed_at, rests_until: None, used: None };
            Request::Write(Write::Append { addition, reply })
        };
        sender.try_send(request).unwrap();
    }
    let mut batches = Vec::new();
    while let Ok(first) = requests.try_recv() {
        let (mut batch, mut later) = (Vec::new(), Vec::new());
        gather(first, &mut requests, &mut batch, &mut later);
        batches.push(batch.len() + later.len());
    }
    assert_eq!(batches, [512, 512, 3]);
}
