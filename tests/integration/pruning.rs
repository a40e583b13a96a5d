//! Forgetting many runs beside runs that are at work: those must not wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gantry::ids::{Digest, RunId};
use gantry::interpreter::{Event, RunStatus, SEMANTICS};
use gantry::journal::{Created, Header, Journal as _, Retention, Sqlite};
use gantry::time::Timestamp;
use serde_json::json;

/// Workflows that the runs are of.
const PLANS: usize = 50;

fn is_full() -> bool {
    std::env::var("GANTRY_SCALE").is_ok_and(|scale| scale == "full")
}

fn id(n: usize) -> RunId {
    RunId::parse(&format!("run-{n}")).unwrap()
}

fn digest(plan: usize) -> Digest {
    Digest::parse(&format!("sha256:{plan:064x}")).unwrap()
}

async fn create(journal: &Sqlite, n: usize, plan: usize) {
    let (run, at) = (id(n), Timestamp::from_unix_ms(n as i64));
    let header = Header {
        run: run.clone(),
        workflow: format!("w{plan}"),
        version: "1.0.0".to_owned(),
        digest: digest(plan),
        source: Arc::from("steps: []"),
        idempotency_key: Some(format!("key-{n}")),
        labels: BTreeMap::from([("caller".to_owned(), "me".to_owned())]),
        note: None,
        started_at: at,
    };
    let first = Event::Started {
        run,
        workflow: digest(plan),
        semantics: SEMANTICS,
        input: Arc::new(json!({ "n": n })),
        ancestry: vec![],
        work: None,
        at,
    };
    assert!(matches!(journal.create(header, first).await.unwrap(), Created::New));
}

fn ended(n: usize) -> [Event; 1] {
    [Event::CancelRequested { reason: "r".to_owned(), at: Timestamp::from_unix_ms(n as i64) }]
}

/// Half of the runs are forgotten, in many short transactions; a run at work gets its events in between. `GANTRY_SCALE=full`: 50 000 of
/// 100 000 runs, and how long the longest append may take.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are for whoever runs it with more runs")]
async fn many_runs_are_forgotten_while_others_go_on() {
    let runs = if is_full() { 100_000 } else { 3_000 };
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    for from in (0..runs).step_by(500) {
        // The older half has workflows of its own.
        join_all((from..from + 500).map(|n| create(&journal, n, n % PLANS + if n < runs / 2 { 0 } else { PLANS }))).await;
        join_all((from..from + 500).map(|n| {
            let journal = Arc::clone(&journal);
            async move { journal.append(&id(n), &ended(n), RunStatus::Canceled).await.unwrap() }
        }))
        .await;
    }
    create(&journal, runs, 0).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let appending = tokio::spawn({
        let (journal, is_over) = (Arc::clone(&journal), Arc::clone(&is_over));
        async move {
            let (mut appends, mut longest) = (0, Duration::ZERO);
            while !is_over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                journal.append(&id(runs), &ended(runs), RunStatus::Running).await.unwrap();
                longest = longest.max(begun.elapsed());
                appends += 1;
            }
            (appends, longest)
        }
    });
    let begun = Instant::now();
    let forgotten = journal.prune(Retention { ended_before: None, runs_max: Some(runs / 2) }).await.unwrap();
    let took = begun.elapsed();
    is_over.store(true, Ordering::SeqCst);
    let (appends, longest) = appending.await.unwrap();
    println!("{forgotten} of {runs} runs forgotten in {took:?}; {appends} appends meanwhile, the longest took {longest:?}");
    assert_eq!(forgotten, runs / 2);
    assert!(appends >= forgotten / 500, "{appends} appends went between the transactions that forgot {forgotten} runs");
    if is_full() {
        assert!(longest < Duration::from_millis(200), "an append waited for {longest:?}");
    }
    // What only they were pinned to is forgotten with them, but for the plan that the run at work has.
    let db = rusqlite::Connection::open(journal.path()).unwrap();
    let count = |table: &str| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count("runs"), count("plans")), (runs as i64 / 2 + 1, PLANS as i64 + 1));
    assert!(journal.record(&id(runs)).await.is_ok() && journal.record(&id(runs / 2)).await.is_ok());
    assert!(journal.record(&id(runs / 2 - 1)).await.is_err());
}
