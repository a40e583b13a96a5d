//! Queries in SQL find what the same queries find among all runs, and look at no more rows than they have to.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{conditions, latest};
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::sqlite::tests::{cancel, header, started};
use crate::journal::sqlite::{FILE, Sqlite};
use crate::journal::{Journal, Memory, Progress, Query};
use crate::time::Timestamp;

const STATUSES: [RunStatus; 5] =
    [RunStatus::Running, RunStatus::InputRequired, RunStatus::Completed, RunStatus::Failed, RunStatus::Canceled];

async fn fill(journal: &dyn Journal) {
    for n in 0..40 {
        let id = format!("{}-{n:02}", ["ab", "abc", "b_x"][n % 3]);
        let mut header = header(&id, None);
        header.workflow = ["w", "other"][n % 2].to_owned();
        header.labels = if n % 4 == 0 { BTreeMap::new() } else { BTreeMap::from([("caller".to_owned(), format!("c{}", n % 4))]) };
        journal.create(header, started(&id)).await.unwrap();
        let run = RunId::parse(&id).unwrap();
        let status = STATUSES[n % 5];
        let rests = if n % 2 == 0 && !status.is_terminal() { Some(None) } else { None };
        let progress = Progress { rests, asks_access: n % 3 == 0, ..Progress::at(status) };
        journal.advance(&run, &[cancel(1_000 * (10 + (n as i64 * 7) % 20))], progress).await.unwrap();
    }
}

fn queries() -> Vec<Query> {
    let text = |text: &str| Some(text.to_owned());
    let mut queries = vec![
        Query::default(),
        Query { runs_max: Some(0), ..Query::default() },
        Query { runs_max: Some(3), ..Query::default() },
        Query { workflow: text("other"), ..Query::default() },
        Query { workflow: text("nobody's"), ..Query::default() },
        Query { workflow: text("w"), runs_max: Some(4), changed_after: Some(Timestamp::from_unix_ms(15_000)), ..Query::default() },
        Query { unfinished: true, runs_max: Some(5), ..Query::default() },
        Query { changed_after: Some(Timestamp::from_unix_ms(20_000)), ..Query::default() },
        Query { labels: BTreeMap::from([("caller".to_owned(), "c1".to_owned())]), ..Query::default() },
        Query { labels: BTreeMap::from([("a.b\"c".to_owned(), "' OR 1".to_owned())]), ..Query::default() },
        Query { rests: Some(true), ..Query::default() },
        Query { rests: Some(false), unfinished: true, ..Query::default() },
        Query { rests: Some(true), asks_access: Some(true), status: Some(RunStatus::InputRequired), runs_max: Some(2), ..Query::default() },
        Query { rests: Some(true), asks_access: Some(false), status: Some(RunStatus::Running), ..Query::default() },
        Query { asks_access: Some(true), ..Query::default() },
        Query { asks_access: Some(false), unfinished: true, ..Query::default() },
        Query { labelled: text("caller"), runs_max: Some(7), ..Query::default() },
        Query { run_begins: text("ab"), ..Query::default() },
        Query { run_begins: text("abc-0"), runs_max: Some(3), ..Query::default() },
        Query { run_begins: text("b_"), status: Some(RunStatus::Failed), ..Query::default() },
        Query { run_begins: text("%"), ..Query::default() },
    ];
    for place in [(15_000, "abc-25"), (15_000, ""), (15_000, "zzz"), (29_001, ""), (0, "a")] {
        let before = Some((Timestamp::from_unix_ms(place.0), place.1.to_owned()));
        queries.push(Query { before: before.clone(), runs_max: Some(4), ..Query::default() });
        let labels = BTreeMap::from([("caller".to_owned(), "c1".to_owned())]);
        queries.push(Query { before, labels, status: Some(RunStatus::Completed), runs_max: Some(2), ..Query::default() });
    }
    for status in STATUSES {
        queries.push(Query { status: Some(status), ..Query::default() });
        queries.push(Query { status: Some(status), unfinished: true, workflow: text("w"), runs_max: Some(2), ..Query::default() });
    }
    queries
}

#[tokio::test]
async fn queries_find_what_is_found_by_looking_at_every_run() {
    let dir = tempfile::tempdir().unwrap();
    let (sqlite, memory) = (Sqlite::open(dir.path()).unwrap(), Memory::default());
    fill(&sqlite).await;
    fill(&memory).await;
    let mut found_any = 0;
    for query in queries() {
        let (found, expected) = (sqlite.select(&query).await.unwrap(), memory.select(&query).await.unwrap());
        let ids = |found: &crate::journal::Found| found.records.iter().map(|record| record.header.run.to_string()).collect::<Vec<_>>();
        assert_eq!((ids(&found), found.total), (ids(&expected), expected.total), "{query:?}");
        found_any += usize::from(found.total > 0);
    }
    assert!(found_any > 15, "{found_any}");
}

#[tokio::test]
async fn no_query_looks_at_every_run() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(dir.path()).unwrap();
    fill(&sqlite).await;
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    for query in queries() {
        let (parts, more, values) = conditions(&query);
        for part in parts {
            let explained = format!("EXPLAIN QUERY PLAN {}", latest(&part, &more, 50));
            let mut statement = db.prepare(&explained).unwrap();
            let rows = statement.query_map(rusqlite::params_from_iter(&values), |row| row.get::<_, String>(3)).unwrap();
            let plan = rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
            assert!(!plan.contains("SCAN runs") || plan.contains("SCAN runs USING INDEX"), "{query:?}: {plan}");
            let is_ended = part.starts_with("status = ") && part.contains("NOT IN");
            assert!(!is_ended || query.run_begins.is_some() || plan.contains("runs_ended") || plan.contains("runs_of_workflow"), "{plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_while_runs_are_listed_is_there_once() {
    const RUNS: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let ids: Vec<String> = (0..RUNS).map(|n| format!("r-{n:03}")).collect();
    for id in &ids {
        journal.create(header(id, None), started(id)).await.unwrap();
    }
    let end = async {
        for (n, id) in ids.iter().enumerate() {
            journal.append(&RunId::parse(id).unwrap(), &[cancel(1_000)], STATUSES[2 + n % 3]).await.unwrap();
        }
    };
    let list = async {
        for _ in 0..RUNS {
            let found = journal.select(&Query::default()).await.unwrap();
            let distinct: std::collections::BTreeSet<_> = found.records.iter().map(|record| &record.header.run).collect();
            assert_eq!((found.records.len(), distinct.len(), found.total), (RUNS, RUNS, RUNS));
        }
    };
    tokio::join!(end, list);
}
