//! The durable journal against its contract, and what it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::interpreter::SEMANTICS;
use crate::journal::DataDir;

fn header(run: &str, key: Option<&str>) -> Header {
    Header {
        run: RunId::parse(run).unwrap(),
        workflow: "w".into(),
        version: "1.0.0".into(),
        digest: digest(),
        source: Arc::from("steps: []"),
        idempotency_key: key.map(str::to_owned),
        labels: BTreeMap::from([("caller".to_owned(), "me".to_owned())]),
        started_at: Timestamp::from_unix_ms(5),
    }
}

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

fn started(run: &str) -> Event {
    let (run, at) = (RunId::parse(run).unwrap(), Timestamp::from_unix_ms(5));
    Event::Started { run, workflow: digest(), semantics: SEMANTICS, input: Arc::new(json!({"n": u64::MAX})), ancestry: vec![], at }
}

fn cancel(at: i64) -> Event {
    Event::CancelRequested { reason: "r".into(), at: Timestamp::from_unix_ms(at) }
}

/// Both journals keep the same contract.
async fn contract(journal: &dyn Journal) {
    let run = RunId::parse("a").unwrap();
    assert!(matches!(journal.create(header("a", Some("k")), started("a")).await, Ok(Created::New)));
    assert!(matches!(journal.create(header("b", None), started("b")).await, Ok(Created::New)));
    let Ok(Created::Existing(existing)) = journal.create(header("c", Some("k")), started("c")).await else { panic!("the key is taken") };
    assert_eq!(existing.header, header("a", Some("k")));
    journal.append(&run, vec![cancel(7), cancel(6)], RunStatus::Canceled).await.unwrap();
    assert_eq!(journal.events(&run).await.unwrap(), [started("a"), cancel(7), cancel(6)]);
    let record = journal.record(&run).await.unwrap();
    assert_eq!((record.status, record.changed_at.unix_ms()), (RunStatus::Canceled, 7));
    let listed: Vec<_> = journal.list().await.unwrap().into_iter().map(|record| record.header.run.to_string()).collect();
    assert_eq!(listed, ["a", "b"], "newest change first");
    let unfinished: Vec<_> = journal.unfinished().await.unwrap().into_iter().map(|record| record.header.run.to_string()).collect();
    assert_eq!(unfinished, ["b"]);
    let unknown = RunId::parse("zzz").unwrap();
    assert!(matches!(journal.events(&unknown).await, Err(Error::NotFound(_))));
    assert!(matches!(journal.record(&unknown).await, Err(Error::NotFound(_))));
    assert!(matches!(journal.append(&unknown, vec![cancel(1)], RunStatus::Running).await, Err(Error::NotFound(_))));
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
                stored += usize::from(journal.append(&run, vec![cancel(at)], RunStatus::Running).await.is_ok());
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
