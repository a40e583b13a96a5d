//! Large values: kept once, given back whole, forgotten with their last run, and never guessed.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::ids::RunId;
use crate::interpreter::{Event, Question, RunStatus};
use crate::journal::sqlite::tests::{cancel, header, started};
use crate::journal::sqlite::{FILE, Sqlite};
use crate::journal::{Error, Journal, Retention};
use crate::limits::PAYLOAD_INLINE_BYTES_MAX as LIMIT;
use crate::time::Timestamp;

fn run(id: &str) -> RunId {
    RunId::parse(id).unwrap()
}

fn replied(step: &str, value: Value) -> Event {
    let path = serde_json::from_value(json!(format!("/0:{step}"))).unwrap();
    Event::Replied { path, attempt: 1, value: Arc::new(value), by: None, inputs: None, at: Timestamp::from_unix_ms(6) }
}

fn asked(prompt: Value, schema: Value) -> Event {
    let path = serde_json::from_value(json!("/0:q")).unwrap();
    let question = Question { remote: None, schema: Some(Arc::new(schema)), auth: false, prompt: Arc::new(prompt) };
    Event::Asked { path, attempt: 1, question, by: None, inputs: None, at: Timestamp::from_unix_ms(6) }
}

fn answered(answer: Value) -> Event {
    let path = serde_json::from_value(json!("/0:q")).unwrap();
    Event::Answered { path, answer: Arc::new(answer), note: None, at: Timestamp::from_unix_ms(6) }
}

fn kept(value: Value) -> Event {
    let path = serde_json::from_value(json!("/0:each")).unwrap();
    Event::Kept { path, index: 3, value: Arc::new(value), at: Timestamp::from_unix_ms(6) }
}

fn text(letter: &str, bytes: usize) -> Value {
    Value::String(letter.repeat(bytes))
}

fn count(dir: &Path, table: &str) -> i64 {
    Connection::open(dir.join(FILE)).unwrap().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Changes the database behind the journal's back.
fn damage(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join(FILE)).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
}

/// Brings what is only in the write-ahead file into the database. Otherwise whoever closes it last does, and the journal's thread closes it
/// at some moment after the journal was dropped.
fn settle(dir: &Path) {
    let db = Connection::open(dir.join(FILE)).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let is_busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!is_busy, "somebody still reads or writes");
}

/// Stores an event in a run of its own: it comes back as it was, and so many values were split off.
async fn check(event: Event, expected: i64) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    journal.create(header("a", None), started("a")).await.unwrap();
    journal.append(&run("a"), std::slice::from_ref(&event), RunStatus::Running).await.unwrap();
    drop(journal);
    let again = Sqlite::open(dir.path()).unwrap();
    // Not by `assert_eq`: a failure would print megabytes.
    assert!(again.events(&run("a")).await.unwrap() == [started("a"), event], "it comes back as it was");
    assert_eq!(count(dir.path(), "blobs"), expected);
    assert_eq!(count(dir.path(), "payloads"), expected);
}

#[tokio::test]
async fn values_of_every_shape_come_back() {
    let numbers = || Value::from((0..60_000).collect::<Vec<u64>>());
    let members: Map<String, Value> = (0..20_000).map(|n| (format!("member {n}"), json!({"n": n, "f": 0.1}))).collect();
    let mut deep = text("d", LIMIT + 1);
    for _ in 0..50 {
        deep = json!([deep]);
    }
    let small = text("s", LIMIT / 2 + 1);
    let cases = [
        (replied("small", json!({"text": "s", "null": null})), 0),
        (replied("just", text("j", LIMIT - 200)), 0),
        (replied("large", text("l", LIMIT + 1)), 1),
        (replied("inside", json!({"a/b": {"~c": [1, text("l", LIMIT + 1), null]}, "d": u64::MAX})), 1),
        (replied("list", numbers()), 1),
        (replied("object", Value::Object(members)), 1),
        (replied("two", json!({"one": text("1", LIMIT + 1), "two": text("2", LIMIT + 1)})), 2),
        // What is around a large value may be large itself.
        (replied("around", json!([numbers(), [small, small, text("l", LIMIT + 1)]])), 3),
        (replied("deep", deep), 1),
        (asked(text("p", LIMIT + 1), json!({"enum": ["{{ x }}", null]})), 1),
        (asked(json!("p"), text("s", LIMIT + 1)), 1),
        (asked(small.clone(), small.clone()), 1),
        // First what is large in a value, then what is around it.
        (asked(small.clone(), json!({"a": text("s", LIMIT + 1), "b": small})), 2),
        (answered(json!(["a", text("a", LIMIT + 1)])), 1),
        (kept(text("k", LIMIT + 1)), 1),
        // Many values, and yet small.
        (replied("digits", Value::from(vec![7; LIMIT / 4])), 0),
        (replied("fractions", Value::from(vec![0.1 + 0.2; LIMIT / 10])), 1),
        // What looks like something of the journal's own is data.
        (replied("lookalike", json!({"payloads": 1, "$ref": "sha256:00", "large": text("l", LIMIT + 1), "null": null})), 1),
    ];
    for (event, expected) in cases {
        check(event, expected).await;
    }
}

#[test]
fn the_values_of_an_event_are_where_they_are_said_to_be() {
    let events = [started("a"), replied("r", json!({"r": 1})), asked(json!("p"), json!({"s": 1})), answered(json!(2)), kept(json!([3]))];
    for mut event in events {
        let written = serde_json::to_value(&event).unwrap();
        let values: Vec<_> = event.values().map(|(place, value)| (place, Value::clone(value))).collect();
        assert!(!values.is_empty() && values.iter().all(|(place, value)| written.pointer(place) == Some(value)), "{written}");
        let changed: Vec<_> = event.values_mut().map(|(place, value)| (place, Value::clone(value))).collect();
        assert_eq!(values, changed);
    }
}

#[tokio::test]
async fn a_megabyte_through_ten_steps_is_stored_once() {
    const BYTES: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let mut first = started("a");
    if let Event::Started { input, .. } = &mut first {
        *input = Arc::new(json!({"document": text("x", BYTES)}));
    }
    journal.create(header("a", None), first).await.unwrap();
    for step in 0..10 {
        let value = if step % 2 == 0 { text("x", BYTES) } else { json!({"result": text("x", BYTES), "step": step}) };
        journal.append(&run("a"), &[replied(&format!("s{step}"), value)], RunStatus::Running).await.unwrap();
    }
    assert_eq!((count(dir.path(), "blobs"), count(dir.path(), "payloads")), (1, 11));
    drop(journal);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let bytes = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert!(bytes as f64 <= BYTES as f64 * 1.1, "{bytes} bytes for a payload of {BYTES}");
}

#[tokio::test]
async fn a_run_whose_value_is_damaged_is_refused_and_others_are_not() {
    let cases = [
        ("DELETE FROM blobs WHERE length(body) = 262147", "is missing"),
        ("UPDATE blobs SET body = CAST(replace(body, 'l', 'm') AS BLOB) WHERE length(body) = 262147", "is not what its digest says"),
        ("DELETE FROM payloads WHERE seq = 1 AND id = 1", "of 1 large values of event 1, of step `/0:large`, 0 are known"),
        ("UPDATE payloads SET place = '/nowhere' WHERE seq = 1 AND id = 1", "has no place"),
        ("UPDATE events SET body = x'7b' WHERE seq = 1 AND id = 1", "event 1 cannot be read"),
    ];
    for (sql, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let journal = Sqlite::open(dir.path()).unwrap();
        let event = |id: &str| replied("large", text(if id == "a" { "l" } else { "other" }, LIMIT + 1));
        for id in ["a", "b"] {
            journal.create(header(id, None), started(id)).await.unwrap();
            journal.append(&run(id), &[event(id)], RunStatus::Running).await.unwrap();
        }
        drop(journal);
        damage(dir.path(), sql);
        settle(dir.path());
        let before = std::fs::read(dir.path().join(FILE)).unwrap();
        let journal = Sqlite::open(dir.path()).unwrap();
        let error = journal.events(&run("a")).await.unwrap_err();
        assert!(matches!(&error, Error::Damaged { run, .. } if run.as_str() == "a"), "{error}");
        let error = error.to_string();
        assert!(error.contains("run `a`") && error.contains(expected), "{error}");
        if expected.starts_with("is ") {
            assert!(error.contains("sha256:") && error.contains("`/0:large`") && error.contains("`/value`"), "{error}");
        }
        assert!(journal.events(&run("b")).await.unwrap() == [started("b"), event("b")], "another run is read");
        assert_eq!(journal.first(&run("a")).await.unwrap(), started("a"), "so is what is not damaged");
        assert_eq!(journal.list().await.unwrap().len(), 2, "listing reads no values");
        drop(journal);
        settle(dir.path());
        assert!(std::fs::read(dir.path().join(FILE)).unwrap() == before, "nothing was changed");
    }
}

#[tokio::test]
async fn a_damaged_value_is_made_good_by_the_next_run_that_has_it() {
    for damaged in [
        "UPDATE blobs SET body = CAST(replace(body, 'l', 'm') AS BLOB)",
        "UPDATE blobs SET body = substr(body, 1, 1000)",
        "UPDATE blobs SET body = CAST(body AS TEXT)",
        "UPDATE blobs SET body = x''",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let event = || replied("large", text("l", LIMIT + 1));
        let journal = Sqlite::open(dir.path()).unwrap();
        journal.create(header("a", None), started("a")).await.unwrap();
        journal.append(&run("a"), &[event()], RunStatus::Running).await.unwrap();
        drop(journal);
        damage(dir.path(), damaged);
        let journal = Sqlite::open(dir.path()).unwrap();
        assert!(journal.events(&run("a")).await.is_err(), "{damaged}");
        journal.create(header("b", None), started("b")).await.unwrap();
        journal.append(&run("b"), &[event()], RunStatus::Running).await.unwrap();
        assert!(journal.events(&run("b")).await.unwrap() == [started("b"), event()], "{damaged}");
        assert!(journal.events(&run("a")).await.unwrap() == [started("a"), event()], "{damaged}");
        assert_eq!((count(dir.path(), "blobs"), count(dir.path(), "payloads")), (1, 2), "{damaged}");
    }
}

#[tokio::test]
async fn a_value_is_forgotten_with_the_last_run_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let shared = || text("s", LIMIT + 1);
    for (at, id) in ["a", "b", "c"].into_iter().enumerate() {
        journal.create(header(id, None), started(id)).await.unwrap();
        let events = vec![replied("shared", shared()), replied("own", json!([id, text(id, LIMIT + 1)])), cancel(at as i64)];
        journal.append(&run(id), &events, RunStatus::Canceled).await.unwrap();
    }
    assert_eq!(count(dir.path(), "blobs"), 4);
    let keep = |runs_max| Retention { ended_before: None, runs_max: Some(runs_max) };
    assert_eq!(journal.prune(keep(1)).await.unwrap(), 2);
    assert_eq!((count(dir.path(), "blobs"), count(dir.path(), "payloads")), (2, 2));
    assert!(journal.events(&run("c")).await.unwrap()[1] == replied("shared", shared()));
    // A run under way has it, too, by the time its last ended run is forgotten.
    journal.create(header("d", None), started("d")).await.unwrap();
    let d = run("d");
    let event = [replied("shared", shared())];
    let (stored, pruned) = tokio::join!(journal.append(&d, &event, RunStatus::Running), journal.prune(keep(0)));
    assert_eq!((stored.is_ok(), pruned.unwrap()), (true, 1));
    assert!(journal.events(&run("d")).await.unwrap()[1] == replied("shared", shared()));
    assert_eq!(count(dir.path(), "blobs"), 1);
    journal.append(&run("d"), &[cancel(9)], RunStatus::Canceled).await.unwrap();
    assert_eq!(journal.prune(keep(0)).await.unwrap(), 1);
    for table in ["runs", "events", "payloads", "blobs", "plans", "notes"] {
        assert_eq!(count(dir.path(), table), 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_share_a_value_come_and_go_and_none_loses_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    let mut runs = tokio::task::JoinSet::new();
    for n in 0..8 {
        let journal = Arc::clone(&journal);
        runs.spawn(async move {
            for round in 0..5 {
                let id = format!("run-{n}-{round}");
                journal.create(header(&id, None), started(&id)).await.unwrap();
                let event = replied("shared", text("s", LIMIT + 1));
                journal.append(&run(&id), std::slice::from_ref(&event), RunStatus::Running).await.unwrap();
                assert!(journal.events(&run(&id)).await.unwrap()[1] == event);
                journal.append(&run(&id), &[cancel(1)], RunStatus::Canceled).await.unwrap();
                journal.prune(Retention { ended_before: None, runs_max: Some(0) }).await.unwrap();
            }
        });
    }
    while let Some(done) = runs.join_next().await {
        done.unwrap();
    }
    assert_eq!(count(dir.path(), "blobs"), 0);
}

#[tokio::test]
async fn numbers_with_a_fraction_are_given_back_to_the_last_bit_small_values_and_large() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    journal.create(header("a", None), started("a")).await.unwrap();
    // Read carelessly, some of these come out one bit off.
    let numbers: Vec<f64> = (1..=1_000).map(|n| f64::from(n) * 1.1e-7 / 3.0 + f64::from(n).sqrt() * 1e200).collect();
    let large = json!({ "text": "x".repeat(LIMIT), "numbers": vec![numbers.clone(); 50] });
    let replies = [replied("small", json!(numbers)), replied("large", large)];
    journal.append(&run("a"), &replies, RunStatus::Running).await.unwrap();
    assert!(journal.events(&run("a")).await.unwrap()[1..] == replies, "some of them are others now");
}
