//! The durable journal against its contract, and what it refuses.

mod bounds;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::interpreter::SEMANTICS;
use crate::journal::{DataDir, PARENT_LABEL, ROOT_LABEL, STEP_LABEL};

pub(super) fn header(run: &str, key: Option<&str>) -> Header {
    Header {
        run: RunId::parse(run).unwrap(),
        workflow: "w".into(),
        version: "1.0.0".into(),
        digest: digest(),
        source: Arc::from("steps: []"),
        idempotency_key: key.map(str::to_owned),
        labels: BTreeMap::from([("caller".to_owned(), "me".to_owned())]),
        note: Some("said before".to_owned()),
        started_at: Timestamp::from_unix_ms(5),
    }
}

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

pub(super) fn started(run: &str) -> Event {
    let (run, at) = (RunId::parse(run).unwrap(), Timestamp::from_unix_ms(5));
    Event::Started {
        run,
        workflow: digest(),
        semantics: SEMANTICS,
        input: Arc::new(json!({"n": u64::MAX})),
        ancestry: vec![],
        work: None,
        at,
    }
}

pub(super) fn cancel(at: i64) -> Event {
    Event::CancelRequested { reason: "r".into(), at: Timestamp::from_unix_ms(at) }
}

/// Both journals keep the same contract.
async fn contract(journal: &dyn Journal) {
    let run = RunId::parse("a").unwrap();
    assert!(matches!(journal.create(header("a", Some("k")), started("a")).await, Ok(Created::New)));
    assert!(matches!(journal.create(header("b", None), started("b")).await, Ok(Created::New)));
    let Ok(Created::Existing(existing)) = journal.create(header("c", Some("k")), started("c")).await else { panic!("the key is taken") };
    assert_eq!(existing.header, header("a", Some("k")));
    // An id that a run has is no other run's.
    for key in [None, Some("other")] {
        assert!(matches!(journal.create(header("a", key), started("a")).await, Err(Error::Failed(_))), "{key:?}");
        let history = vec![started("a"), cancel(9)];
        assert!(matches!(journal.create_from(header("a", key), history, RunStatus::Canceled).await, Err(Error::Failed(_))), "{key:?}");
    }
    assert_eq!(journal.find("other").await.unwrap(), None, "nothing of them is left");
    assert_eq!(journal.events(&run).await.unwrap(), [started("a")]);
    let record = journal.record(&run).await.unwrap();
    assert_eq!((record.status, record.header), (RunStatus::Running, header("a", Some("k"))));
    journal.append(&run, &[cancel(7), cancel(6)], RunStatus::Canceled).await.unwrap();
    assert_eq!(journal.events(&run).await.unwrap(), [started("a"), cancel(7), cancel(6)]);
    let record = journal.record(&run).await.unwrap();
    assert_eq!((record.status, record.changed_at.unix_ms()), (RunStatus::Canceled, 7));
    let (whole, events) = journal.whole(&run).await.unwrap();
    assert_eq!((whole.status, whole.header), (record.status, record.header));
    assert_eq!(events, journal.events(&run).await.unwrap());
    let listed: Vec<_> = journal.list().await.unwrap().into_iter().map(|record| record.header.run.to_string()).collect();
    assert_eq!(listed, ["a", "b"], "newest change first");
    let unfinished: Vec<_> = journal.unfinished().await.unwrap().into_iter().map(|record| record.header.run.to_string()).collect();
    assert_eq!(unfinished, ["b"]);
    let unknown = RunId::parse("zzz").unwrap();
    assert!(matches!(journal.events(&unknown).await, Err(Error::NotFound(_))));
    assert!(matches!(journal.record(&unknown).await, Err(Error::NotFound(_))));
    assert!(matches!(journal.whole(&unknown).await, Err(Error::NotFound(_))));
    assert!(matches!(journal.append(&unknown, &[cancel(1)], RunStatus::Running).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn sqlite_and_memory_keep_one_contract() {
    let dir = tempfile::tempdir().unwrap();
    contract(&Sqlite::open(dir.path()).unwrap()).await;
    contract(&super::super::Memory::default()).await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    contract(&Sqlite::open(dir.path()).unwrap()).await;
    let again = Sqlite::open(dir.path()).unwrap();
    assert_eq!(again.events(&RunId::parse("a").unwrap()).await.unwrap().len(), 3);
    assert_eq!(again.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn many_writers_lose_nothing_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..32 {
        let journal = Arc::clone(&journal);
        writers.spawn(async move {
            let id = format!("run-{n}");
            journal.create(header(&id, Some("shared")), started(&id)).await.unwrap();
            let run = RunId::parse(&id).unwrap();
            let mut stored = 0;
            for at in 0..20 {
                stored += usize::from(journal.append(&run, &[cancel(at)], RunStatus::Running).await.is_ok());
            }
            stored
        });
    }
    let stored: Vec<usize> = writers.join_all().await;
    // One of them got the shared key, the others were told so and have no run of their own.
    assert_eq!(stored.iter().filter(|count| **count == 20).count(), 1);
    assert_eq!(stored.iter().filter(|count| **count == 0).count(), 31);
    let winner = journal.list().await.unwrap().remove(0).header.run;
    let times: Vec<_> = journal.events(&winner).await.unwrap().iter().skip(1).map(|event| event.at().unix_ms()).collect();
    assert_eq!(times, (0..20).collect::<Vec<_>>());
}

fn refusal(dir: &Path) -> String {
    Sqlite::open(dir).unwrap_err().to_string()
}

#[test]
fn a_newer_foreign_or_damaged_journal_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    drop(Sqlite::open(dir.path()).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(refusal(dir.path()).contains("format 99"), "{}", refusal(dir.path()));

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(refusal(dir.path()).contains("another program"));

    let garbage = b"this is not a database, but it is long enough to be mistaken for one".repeat(20);
    std::fs::write(&path, &garbage).unwrap();
    assert!(refusal(dir.path()).contains("cannot open the journal"));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[test]
fn a_data_directory_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let held = DataDir::lock(dir.path()).unwrap();
    let refused = DataDir::lock(dir.path()).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    drop(held);
    DataDir::lock(dir.path()).unwrap();
}

#[tokio::test]
async fn a_history_is_stored_whole_and_an_onlooker_sees_it_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Sqlite::open_to_read(dir.path()).unwrap().is_none(), "there is no journal yet");
    let journal = Sqlite::open(dir.path()).unwrap();
    let history = vec![started("a"), cancel(7)];
    assert!(matches!(journal.create_from(header("a", None), history.clone(), RunStatus::Canceled).await, Ok(Created::New)));
    let run = RunId::parse("a").unwrap();
    let onlooker = Sqlite::open_to_read(dir.path()).unwrap().unwrap();
    assert_eq!(onlooker.events(&run).await.unwrap(), history);
    assert_eq!(onlooker.record(&run).await.unwrap().status, RunStatus::Canceled);
    assert!(onlooker.append(&run, &[cancel(9)], RunStatus::Canceled).await.unwrap_err().to_string().contains("reading only"));
    journal.append(&run, &[cancel(8)], RunStatus::Canceled).await.unwrap();
    assert_eq!(onlooker.events(&run).await.unwrap().len(), 3, "what is written meanwhile is seen");
    drop(journal);
    Connection::open(dir.path().join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(Sqlite::open_to_read(dir.path()).unwrap_err().to_string().contains("format 99"));
}

#[tokio::test]
async fn pruning_forgets_what_ended_and_keeps_what_may_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let run = |id: &str| RunId::parse(id).unwrap();
    for (id, ended_at) in [("old", Some(10)), ("child", Some(11)), ("new", Some(30)), ("newest", Some(40)), ("open", None)] {
        let mut header = header(id, Some(id));
        if id == "child" {
            header.labels = BTreeMap::from([("parent".to_owned(), "open".to_owned())]);
        }
        journal.create(header, started(id)).await.unwrap();
        if let Some(at) = ended_at {
            journal.append(&run(id), &[cancel(at)], RunStatus::Canceled).await.unwrap();
        }
    }
    let left = async || -> Vec<String> {
        let mut left: Vec<_> = journal.list().await.unwrap().into_iter().map(|record| record.header.run.to_string()).collect();
        left.sort();
        left
    };
    assert_eq!(journal.prune(Retention::default()).await.unwrap(), 0, "no bound, nothing forgotten");
    let before = Retention { ended_before: Some(Timestamp::from_unix_ms(20)), runs_max: None };
    assert_eq!(journal.prune(before).await.unwrap(), 1);
    assert_eq!(left().await, ["child", "new", "newest", "open"], "the child of a run that has not ended may be asked for again");
    assert!(matches!(journal.events(&run("old")).await, Err(Error::NotFound(_))));
    assert_eq!(journal.find("old").await.unwrap(), None, "its key is free again");
    assert_eq!(journal.prune(Retention { ended_before: None, runs_max: Some(1) }).await.unwrap(), 1);
    assert_eq!(left().await, ["child", "newest", "open"]);
    journal.append(&run("open"), &[cancel(50)], RunStatus::Canceled).await.unwrap();
    assert_eq!(journal.prune(Retention { ended_before: None, runs_max: Some(0) }).await.unwrap(), 3);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    for table in ["runs", "events", "plans"] {
        let rows: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn what_the_runs_of_a_tree_have_used_is_found_by_their_root_and_kept_as_long_as_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let run = |id: &str| RunId::parse(id).unwrap();
    let used = |steps, calls| Used { steps, calls };
    for (id, parent, root) in
        [("top", None, None), ("mid", Some("top"), Some("top")), ("low", Some("mid"), Some("top")), ("alone", None, None)]
    {
        let mut header = header(id, None);
        let labels = [(PARENT_LABEL, parent), (ROOT_LABEL, root)];
        header.labels = labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        journal.create(header, started(id)).await.unwrap();
    }
    let at = |status, used| Progress { status, rests: None, asks_access: false, used: Some(used) };
    journal.advance(&run("top"), &[cancel(1)], at(RunStatus::Running, used(1, 2))).await.unwrap();
    journal.advance(&run("mid"), &[cancel(1)], at(RunStatus::Running, used(3, 4))).await.unwrap();
    journal.advance(&run("mid"), &[cancel(2)], at(RunStatus::Canceled, used(5, 6))).await.unwrap();
    journal.advance(&run("low"), &[cancel(1)], at(RunStatus::Canceled, used(7, u64::MAX))).await.unwrap();
    // What says nothing of it changes nothing.
    journal.append(&run("top"), &[], RunStatus::Running).await.unwrap();
    let found = async |journal: &Sqlite| {
        let mut members = journal.members(&run("top")).await.unwrap();
        members.sort_by(|a, b| a.run.cmp(&b.run));
        members
    };
    let member = |id: &str, parent: Option<&str>, used| Member { run: run(id), parent: parent.map(run), used };
    let expected =
        [member("low", Some("mid"), used(7, i64::MAX as u64)), member("mid", Some("top"), used(5, 6)), member("top", None, used(1, 2))];
    assert_eq!(found(&journal).await, expected);
    for root in ["alone", "mid", "nobody"] {
        assert_eq!(journal.members(&run(root)).await.unwrap(), [], "{root} is nobody's root");
    }
    assert_eq!(journal.prune(Retention { ended_before: None, runs_max: Some(0) }).await.unwrap(), 0, "all of it counts for the root");
    drop(journal);
    let journal = Sqlite::open(dir.path()).unwrap();
    assert_eq!(found(&journal).await, expected);
    journal.append(&run("top"), &[cancel(3)], RunStatus::Canceled).await.unwrap();
    assert_eq!(journal.prune(Retention { ended_before: None, runs_max: Some(0) }).await.unwrap(), 3);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    let plan: String = db
        .query_row("EXPLAIN QUERY PLAN SELECT run FROM runs WHERE labels ->> 'root' = ?1 AND labels ->> 'root' IS NOT NULL", ["x"], |row| {
            row.get(3)
        })
        .unwrap();
    assert!(plan.contains("runs_of_root"), "{plan}");
}

#[tokio::test]
async fn the_children_of_a_run_are_found_without_a_look_at_the_rest_of_its_tree() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    for (id, labels) in [
        ("top", vec![]),
        ("mid", vec![(PARENT_LABEL, "top"), (ROOT_LABEL, "top"), (STEP_LABEL, "/0:sub")]),
        ("low", vec![(PARENT_LABEL, "mid"), (ROOT_LABEL, "top")]),
        ("over", vec![(PARENT_LABEL, "mid"), (ROOT_LABEL, "top")]),
        ("other", vec![(PARENT_LABEL, "top")]),
    ] {
        let mut header = header(id, (id == "mid").then_some("key"));
        header.labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        journal.create(header, started(id)).await.unwrap();
    }
    let run = |id: &str| RunId::parse(id).unwrap();
    journal.append(&run("over"), &[cancel(1)], RunStatus::Canceled).await.unwrap();
    let child = |id: &str| Child { run: run(id), idempotency_key: None, step: None };
    let mid = Child { idempotency_key: Some("key".to_owned()), step: Some("/0:sub".to_owned()), ..child("mid") };
    for (parent, expected) in [("top", vec![mid]), ("mid", vec![child("low")]), ("low", vec![]), ("nobody", vec![])] {
        assert_eq!(journal.children(&run(parent)).await.unwrap(), expected, "{parent}");
    }
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    let plan: String = db.query_row(&format!("EXPLAIN QUERY PLAN {CHILDREN}"), ["x"], |row| row.get(3)).unwrap();
    assert!(plan.contains("runs_of_parent"), "{plan}");
}

#[test]
fn who_holds_a_directory_says_how_to_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(DataDir::announced(dir.path()), None);
    let mut held = DataDir::lock(dir.path()).unwrap();
    assert_eq!(DataDir::announced(dir.path()), None);
    held.announce("here").unwrap();
    assert_eq!(DataDir::announced(dir.path()).as_deref(), Some("here"));
    assert!(DataDir::lock(dir.path()).unwrap_err().to_string().contains("process"));
    drop(held);
    let _next = DataDir::lock(dir.path()).unwrap();
    assert_eq!(DataDir::announced(dir.path()), None, "what the last one said is gone");
}

/// A journal of format 1, as a killed process left it. It is never written again.
#[tokio::test]
async fn a_journal_of_an_older_format_is_brought_up_to_date_and_keeps_every_run() {
    let dir = tempfile::tempdir().unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals/format-1");
    for name in [FILE.to_owned(), format!("{FILE}-wal")] {
        std::fs::copy(recorded.join(&name), dir.path().join(name)).unwrap();
    }
    let onlooker = Sqlite::open_to_read(dir.path()).unwrap_err().to_string();
    assert!(onlooker.contains("format 1") && onlooker.contains("gantry serve"), "{onlooker}");
    let journal = Sqlite::open(dir.path()).unwrap();
    let mut found = Vec::new();
    for record in journal.list().await.unwrap() {
        let events = journal.events(&record.header.run).await.unwrap();
        assert_eq!(journal.first(&record.header.run).await.unwrap(), events[0]);
        found.push((record.header.workflow, record.status, events.len()));
    }
    let expected = [("pausing", RunStatus::Running, 1), ("recorded", RunStatus::Canceled, 3), ("ended", RunStatus::Completed, 2)];
    assert_eq!(found, expected.map(|(workflow, status, events)| (workflow.to_owned(), status, events)));
    let unfinished = journal.unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    journal.append(&unfinished[0].header.run, &[cancel(i64::MAX)], RunStatus::Canceled).await.unwrap();
    drop(journal);
    assert_eq!(Sqlite::open(dir.path()).unwrap().unfinished().await.unwrap().len(), 0, "it is written to from then on");
}

#[tokio::test]
async fn of_a_large_journal_the_list_of_runs_is_checked_and_of_a_small_one_everything() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    for n in 0..100 {
        let id = format!("run-{n}");
        journal.create(header(&id, None), started(&id)).await.unwrap();
    }
    drop(journal);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let root = |table: &str| -> u64 {
        db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    for (table, small, large) in [("events", true, false), ("runs", true, true)] {
        let mut bytes = std::fs::read(dir.path().join(FILE)).unwrap();
        let page = (root(table) - 1) as usize * 4096;
        // The number of cells of the first page of the table.
        bytes[page + 3] ^= 0xff;
        let broken = tempfile::tempdir().unwrap();
        std::fs::write(broken.path().join(FILE), bytes).unwrap();
        let db = Connection::open(broken.path().join(FILE)).unwrap();
        let is_found = |bytes: i64| schema::damage(&db, bytes).map_or(true, |found| found.is_some());
        assert_eq!((is_found(0), is_found(i64::MAX)), (small, large), "{table}");
        assert!(refusal(broken.path()).contains("cannot open the journal"), "{table}");
    }
}

#[tokio::test]
async fn a_runs_row_is_written_when_there_is_something_to_say_and_no_event_is_lost_between() {
    let (dir, run) = (tempfile::tempdir().unwrap(), RunId::parse("a").unwrap());
    let journal = Sqlite::open(dir.path()).unwrap();
    journal.create(header("a", None), started("a")).await.unwrap();
    let begun = journal.record(&run).await.unwrap().changed_at.unix_ms();
    let changed = async |journal: &Sqlite| journal.record(&run).await.unwrap().changed_at.unix_ms() - begun;
    let mut events = 1;
    for (after, status, rests, told_at) in [
        (10, RunStatus::Running, false, 0),
        (999, RunStatus::Running, false, 0),
        (1_000, RunStatus::Running, false, 1_000),
        (1_500, RunStatus::Running, false, 1_000),
        (1_600, RunStatus::InputRequired, false, 1_600),
        (1_700, RunStatus::InputRequired, true, 1_700),
        (1_800, RunStatus::InputRequired, false, 1_800),
        (1_900, RunStatus::InputRequired, false, 1_800),
        (1_950, RunStatus::Canceled, false, 1_950),
    ] {
        let event = [cancel(begun + after)];
        journal.advance(&run, &event, Progress { status, rests: rests.then_some(None), asks_access: false, used: None }).await.unwrap();
        events += 1;
        assert_eq!((changed(&journal).await, journal.record(&run).await.unwrap().status), (told_at, status), "after {after} ms");
        assert_eq!(journal.resting().await.unwrap().len(), usize::from(rests), "after {after} ms");
        let stored = journal.events(&run).await.unwrap();
        assert_eq!((stored.len(), &stored[events - 1]), (events, &event[0]), "after {after} ms");
    }
}

#[tokio::test]
async fn that_a_run_at_rest_asks_for_access_is_in_its_row_and_changes_no_timer() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let due = Timestamp::from_unix_ms(1_900_000_000_000);
    let cases = [("a", Some(None), true), ("b", Some(Some(due)), true), ("c", Some(Some(due)), false), ("d", None, false)];
    for (id, rests, asks_access) in cases {
        journal.create(header(id, None), started(id)).await.unwrap();
        let progress = Progress { rests, asks_access, ..Progress::at(RunStatus::InputRequired) };
        journal.advance(&RunId::parse(id).unwrap(), &[], progress).await.unwrap();
    }
    drop(journal);
    let journal = Sqlite::open(dir.path()).unwrap();
    let resting = journal.resting().await.unwrap();
    for (id, rests, asks_access) in cases {
        let run = RunId::parse(id).unwrap();
        let record = journal.record(&run).await.unwrap();
        assert_eq!((record.rests, record.asks_access), (rests.is_some(), asks_access), "{id}");
        assert_eq!(resting.iter().find(|resting| resting.run == run).map(|resting| resting.until), rests, "{id}");
    }
    // When it goes on it rests no more, and asks nothing.
    let run = RunId::parse("b").unwrap();
    journal.append(&run, &[cancel(1)], RunStatus::Running).await.unwrap();
    let record = journal.record(&run).await.unwrap();
    assert_eq!((record.rests, record.asks_access), (false, false));
}

#[test]
fn a_database_that_another_program_holds_is_no_failure_for_good() {
    use rusqlite::ffi;
    let db = rusqlite::Connection::open_in_memory().unwrap();
    for (code, transient) in [(ffi::SQLITE_BUSY, true), (ffi::SQLITE_LOCKED, true), (ffi::SQLITE_FULL, true), (ffi::SQLITE_IOERR, false)] {
        let error = super::failure(&db, &rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_read_a_little_later() {
    let dir = tempfile::tempdir().unwrap();
    let (path, run) = (dir.path().join(FILE), RunId::parse("a").unwrap());
    let journal = Sqlite::open(dir.path()).unwrap();
    journal.create(header("a", None), started("a")).await.unwrap();
    drop(journal);
    let other = Connection::open(&path).unwrap();
    // Without a write-ahead file readers wait for who writes, as they do for a moment whenever one is begun. The journal's thread closes
    // its own a little later.
    let begun = std::time::Instant::now();
    while other.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0)).as_deref() != Ok("delete") {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "the journal is never closed");
    }
    let onlooker = Sqlite::open_to_read(dir.path()).unwrap().unwrap();
    onlooker.reader.lock().unwrap().busy_timeout(std::time::Duration::ZERO).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = onlooker.record(&run).await.unwrap_err();
    assert!(matches!(error, Error::Busy(_)) && error.is_transient(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(onlooker.events(&run).await.unwrap().len(), 1);
}

/// Whatever is asked for, on whichever connection, and whatever is written.
#[tokio::test]
async fn a_database_that_is_damaged_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let journal = Sqlite::open(dir.path()).unwrap();
    for n in 0..20 {
        let id = format!("run-{n}");
        journal.create(header(&id, None), started(&id)).await.unwrap();
    }
    let db = Connection::open(&path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // The first page has the tables' names, without which nothing is opened at all.
    let mut damaged = whole[..4096].to_vec();
    damaged.resize(whole.len(), 0xff);
    let broken = tempfile::tempdir().unwrap();
    let path = broken.path().join(FILE);
    std::fs::write(&path, damaged).unwrap();
    let connection = Arc::new(Mutex::new(schema::open(&path).unwrap()));
    let journal = Sqlite::over(path.clone(), connection, None).unwrap();
    let run = RunId::parse("run-3").unwrap();
    let all = Retention { ended_before: None, runs_max: Some(0) };
    let errors = [
        ("record", journal.record(&run).await.err()),
        ("first", journal.first(&run).await.err()),
        ("events", journal.events(&run).await.err()),
        ("find", journal.find("key").await.err()),
        ("list", journal.list().await.err()),
        ("unfinished", journal.unfinished().await.err()),
        ("resting", journal.resting().await.err()),
        ("used", journal.used(&run).await.err()),
        ("members", journal.members(&run).await.err()),
        ("children", journal.children(&run).await.err()),
        ("orphans", journal.orphans().await.err()),
        ("stirred", journal.stirred().await.err()),
        ("prune", journal.prune(all).await.err()),
        ("append", journal.append(&run, &[cancel(1)], RunStatus::Canceled).await.err()),
        ("create", journal.create(header("b", Some("key")), started("b")).await.err()),
        ("list of an onlooker", Sqlite::open_to_read(broken.path()).unwrap().unwrap().list().await.err()),
    ];
    for (what, error) in errors {
        let error = error.unwrap_or_else(|| panic!("{what} takes it for good"));
        let told = error.to_string();
        assert!(told.contains(&format!("the journal {} is damaged: ", path.display())), "{what}: {told}");
        assert!(!error.is_transient(), "{what}");
    }
}
