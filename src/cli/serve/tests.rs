//! What is forgotten by itself, and when.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::ids::{Digest, RunId};
use crate::interpreter::{Event, RunStatus, SEMANTICS};
use crate::journal::Header;
use crate::registry::Layout;

/// A run that has ended just now.
async fn ended(journal: &dyn Journal, id: &str) {
    let (run, digest, at) = (RunId::parse(id).unwrap(), Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap(), ago(Duration::ZERO));
    let header = Header {
        run: run.clone(),
        workflow: "w".to_owned(),
        version: "1.0.0".to_owned(),
        digest: digest.clone(),
        source: "".into(),
        idempotency_key: None,
        labels: BTreeMap::new(),
        note: None,
        started_at: at,
    };
    let first = Event::Started {
        run: run.clone(),
        workflow: digest,
        semantics: SEMANTICS,
        input: Arc::new(json!({})),
        ancestry: vec![],
        work: None,
        at,
    };
    journal.create(header, first).await.unwrap();
    journal.append(&run, &[Event::CancelRequested { reason: "no".to_owned(), at }], RunStatus::Canceled).await.unwrap();
}

/// Waits until so many are left. The journal is on a thread of its own, which takes real time.
async fn are_left(journal: &dyn Journal, count: usize) {
    let begun = std::time::Instant::now();
    while journal.list().await.unwrap().len() != count {
        assert!(begun.elapsed() < Duration::from_secs(30), "never {count} runs");
    }
}

/// The clock stands still: it would go on while nothing is to be done, and something always is.
#[tokio::test(start_paused = true)]
async fn runs_are_forgotten_at_the_start_and_every_hour_by_number_and_by_age() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(Sqlite::open(dir.path()).unwrap());
    let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), crate::discovery::Options::default()));
    let client = agent::Client::new(agent::Options::default());
    let engine = Embedded::new(embedded::Options::default(), discovery, client, Arc::clone(&journal));
    for id in ["a", "b", "c"] {
        ended(&*journal, id).await;
    }
    let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
    let forgetting = tokio::spawn(forget(engine.clone(), (hour, 2)));
    are_left(&*journal, 2).await;
    for id in ["d", "e"] {
        ended(&*journal, id).await;
    }
    tokio::time::advance(hour - second).await;
    // Writes are done in order: had something been forgotten by now, it would be so after this one.
    ended(&*journal, "f").await;
    are_left(&*journal, 5).await;
    tokio::time::advance(second).await;
    are_left(&*journal, 2).await;
    forgetting.abort();
    // None is too many, but each has ended before now, or has a moment later.
    let forgetting = tokio::spawn(forget(engine, (Duration::ZERO, usize::MAX)));
    for _ in 0..2 {
        tokio::time::advance(hour).await;
    }
    are_left(&*journal, 0).await;
    forgetting.abort();
}

#[test]
fn steps_in_flight_may_go_on_for_half_a_minute_when_nobody_says_otherwise() {
    use clap::Parser as _;

    use crate::cli::arguments::{Arguments, Command};
    let grace = |more: &[&str]| match Arguments::try_parse_from([&["gantry", "serve"], more].concat()).unwrap().command {
        Command::Serve(serve) => serve.keeping.grace,
        other => panic!("{other:?}"),
    };
    assert_eq!(grace(&[]), Duration::from_secs(30));
    assert_eq!(grace(&["--grace", "2m"]), Duration::from_secs(120));
}
