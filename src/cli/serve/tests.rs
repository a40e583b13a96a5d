//! What is forgotten by itself, and when.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::time::Instant;

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
    let first =
        Event::Started { run: run.clone(), workflow: digest, semantics: SEMANTICS, input: Arc::new(json!({})), ancestry: vec![], at };
    journal.create(header, first).await.unwrap();
    journal.append(&run, &[Event::CancelRequested { reason: "no".to_owned(), at }], RunStatus::Canceled).await.unwrap();
}

async fn are_left(journal: &dyn Journal, count: usize) {
    // Some hours of a clock that costs nothing.
    for _ in 0..1_000 {
        if journal.list().await.unwrap().len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    panic!("never {count} runs");
}

/// The clock stands still but for timers, so that hours pass at once.
#[tokio::test(start_paused = true)]
async fn runs_are_forgotten_at_the_start_and_every_hour_by_number_and_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(Sqlite::open(dir.path()).unwrap());
    let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), crate::discovery::Options::default()));
    let client = agent::Client::new(agent::Options::default());
    let engine = Embedded::new(embedded::Options::default(), discovery, client, Arc::clone(&journal));
    for id in ["a", "b", "c"] {
        ended(&*journal, id).await;
    }
    let begun = Instant::now();
    let forgetting = tokio::spawn(forget(engine.clone(), (Duration::from_secs(3600), 2)));
    are_left(&*journal, 2).await;
    for id in ["d", "e", "f"] {
        ended(&*journal, id).await;
    }
    are_left(&*journal, 2).await;
    assert!(begun.elapsed() >= Duration::from_secs(3600), "an hour later");
    forgetting.abort();
    // Nothing is too many, but everything has ended before now.
    tokio::spawn(forget(engine, (Duration::ZERO, usize::MAX)));
    are_left(&*journal, 0).await;
}
