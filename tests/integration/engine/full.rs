//! A journal without space: nothing new begins, what is under way waits and goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gantry::engine::{Engine, Error as EngineError};
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus};
use gantry::journal::{Created, Error, Header, Journal, Memory, Progress, Record};
use serde_json::json;

use super::agent::{Act, Agent, Gate, Speaks};
use super::world::{World, output};

/// Has no space while it is said so.
#[derive(Debug, Default)]
struct Small {
    memory: Memory,
    full: AtomicBool,
    refused: AtomicUsize,
}

impl Small {
    fn space(&self) -> Result<(), Error> {
        if !self.full.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(Error::Full("the disk is full".to_owned()))
    }
}

#[async_trait]
impl Journal for Small {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.space()?;
        self.memory.create(header, first).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        self.space()?;
        self.memory.advance(run, events, progress).await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.memory.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.memory.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        self.memory.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.memory.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.memory.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        self.memory.unfinished().await
    }
}

const TWO: &str = "steps: [{id: a, skill: s}, {id: b, skill: s}]";

#[tokio::test]
async fn a_full_journal_refuses_new_runs_and_lets_those_under_way_go_on_later() {
    let gate = Gate::new();
    let opened = gate.clone();
    let agent = Agent::start("a", &["s"], Speaks::Plain, move |call| Act::Reply(json!(call.before)).behind(&opened)).await;
    let journal = Arc::new(Small::default());
    let world = World::with(Arc::clone(&journal) as Arc<dyn Journal>);
    world.meet(&[&agent]);
    let run = world.start(TWO, json!({})).await;
    agent.until("the first call", |seen| seen.calls.len() == 1).await;
    journal.full.store(true, Ordering::SeqCst);
    let refused = world.try_start(TWO, json!({})).await.unwrap_err();
    assert!(matches!(&refused, EngineError::Full(why) if why.contains("disk is full")), "{refused:?}");
    gate.open();
    let waits = async {
        while journal.refused.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::agent::PATIENCE, waits).await.expect("the reply is offered to the journal");
    assert_eq!(agent.look(|seen| seen.calls.len()), 1, "nothing follows from what is not stored");
    journal.full.store(false, Ordering::SeqCst);
    assert_eq!(output(&world.end(&run).await), &json!(1));
    assert_eq!(agent.look(|seen| seen.calls.len()), 2, "nothing was called again");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_space() {
    let journal = Arc::new(Small::default());
    let world = World::with(Arc::clone(&journal) as Arc<dyn Journal>);
    let gate = Gate::new();
    let opened = gate.clone();
    let slow = Agent::start("slow", &["t"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&opened)).await;
    world.meet(&[&slow]);
    let run = world.start("steps: [{id: a, skill: t}]", json!({})).await;
    slow.until("the call", |seen| seen.calls.len() == 1).await;
    journal.full.store(true, Ordering::SeqCst);
    gate.open();
    let left = tokio::time::timeout(Duration::from_secs(15), world.engine.shutdown(Duration::from_secs(5))).await;
    assert_eq!(left.expect("the shutdown is bounded"), 1);
    assert_eq!(journal.record(&run).await.unwrap().status, RunStatus::Running, "it goes on at the next start");
    assert_eq!(world.engine.summary(&run).await.unwrap().status, RunStatus::Running);
}

/// The call that a run's own task makes goes on while the task waits for space: what agents answer is read when it comes.
#[tokio::test]
async fn a_call_goes_on_while_another_event_waits_for_space() {
    let (first, second) = (Gate::new(), Gate::new());
    let (first_opened, second_opened) = (first.clone(), second.clone());
    let other = Agent::start("other", &["other"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&first_opened)).await;
    let busy = Agent::start("busy", &["near"], Speaks::Plain, move |_| {
        Act::Http(503, vec![("retry-after", "0".to_owned())], String::new()).behind(&second_opened)
    })
    .await;
    let spare = Agent::plain("spare", &["near"], |_| json!(2)).await;
    let journal = Arc::new(Small::default());
    let world = World::with(Arc::clone(&journal) as Arc<dyn Journal>);
    world.meet(&[&other, &busy, &spare]);
    // The first of calls at once is the one that the run's task makes itself.
    let yaml = "steps: [{id: both, step_type: parallel, branches: {steps: [{id: a, skill: near}, {id: b, skill: other}]}}]";
    let run = world.start(yaml, json!({})).await;
    busy.until("its call", |seen| seen.calls.len() == 1).await;
    other.until("its call", |seen| seen.calls.len() == 1).await;
    journal.full.store(true, Ordering::SeqCst);
    first.open();
    let waits = async {
        while journal.refused.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::agent::PATIENCE, waits).await.expect("the other reply is offered to the journal");
    second.open();
    spare.until("the call that the busy one refused", |seen| seen.calls.len() == 1).await;
    assert!(journal.full.load(Ordering::SeqCst), "there is no space yet");
    journal.full.store(false, Ordering::SeqCst);
    assert_eq!(output(&world.end(&run).await), &json!({"a": 2, "b": 1}));
    assert_eq!(spare.look(|seen| seen.calls.len()), 1, "what was heard meanwhile counts");
}
