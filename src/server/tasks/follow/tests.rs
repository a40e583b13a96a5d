//! What a snapshot says after a gap stands for everything before it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::super::store::Store;
use super::super::task::{Bounds, Kind, NewTask};
use super::*;
use crate::agent::{Client, GateStatus};
use crate::discovery::Discovery;
use crate::engine::embedded::Embedded;
use crate::engine::{Error, Filter, Page, RunSummary, Start, Started, Update};
use crate::interpreter::Question;
use crate::journal::Memory;
use crate::registry::Layout;

/// A task, and the follower of its run, which nobody drives.
fn follower() -> (Arc<Task>, Follower) {
    let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), crate::discovery::Options::default()));
    let engine = Embedded::new(Default::default(), discovery, Client::new(Default::default()), Arc::new(Memory::default()));
    let run = RunId::parse("r").unwrap();
    let bounds = Bounds { history_max: 9, stream_bytes_max: 1024, stream_age_max: Duration::from_secs(1) };
    let task = Store::new(9, bounds, false).unlisted(NewTask {
        id: run.to_string(),
        context_id: String::new(),
        caller: Arc::from("c"),
        kind: Kind::Run(run.clone()),
        history: Vec::new(),
        about: None,
        metadata: Map::new(),
        since: Timestamp::default(),
        is_remade: false,
    });
    let (stopping, signals) = (CancellationToken::new(), task.signals());
    let (engine, follows) = (Arc::new(engine), Arc::downgrade(&task));
    let follower = Follower {
        engine,
        stopping,
        run,
        task: follows,
        signals,
        artifacts_left: 0,
        calling: BTreeSet::new(),
        seen: 0,
        owes_question: false,
    };
    (task, follower)
}

/// Steps by path: those that call, and those that wait for an answer.
fn snapshot(status: RunStatus, calling: &[&str], waiting: &[&str]) -> Snapshot {
    let step = |path: &&str, status| StepReport {
        path: serde_json::from_value(json!(path)).unwrap(),
        id: serde_json::from_value(json!(path.rsplit_once(':').unwrap().1)).unwrap(),
        kind: "sequential",
        skill: (status == StepStatus::Running).then(|| serde_json::from_value(json!("work")).unwrap()),
        status,
        outputs: Arc::default(),
        error: None,
        question: (status == StepStatus::Waiting).then(|| Question {
            remote: None,
            schema: None,
            auth: false,
            prompt: Arc::new(json!(format!("{path}?"))),
        }),
        attempts: 1,
        agent: None,
        started_at: None,
        finished_at: None,
    };
    let calls = calling.iter().map(|path| step(path, StepStatus::Running));
    let steps = calls.chain(waiting.iter().map(|path| step(path, StepStatus::Waiting))).collect();
    let run = RunId::parse("r").unwrap();
    let at = Timestamp::default();
    Snapshot { run, status, outcome: None, started_at: at, changed_at: at, finished_at: None, steps, notes: Vec::new() }
}

#[test]
fn what_a_snapshot_does_not_have_is_under_way_no_more() {
    use RunStatus::{InputRequired, Running};
    let (task, mut follower) = follower();
    let mut sees = |status, calling: &[&str], waiting: &[&str]| {
        follower.catch_up(&task, &snapshot(status, calling, waiting));
        (task.state().0, task.waiting().into_keys().collect::<Vec<_>>())
    };
    assert_eq!(sees(Running, &["/0:each[0]/0:item", "/0:each[1]/0:item"], &[]), (TaskState::Working, vec![]));
    // Those of the map have ended in a gap, and a step asks.
    assert_eq!(sees(InputRequired, &[], &["/1:ask"]), (TaskState::InputRequired, vec!["/1:ask".to_owned()]));
    // It was answered in another, where the next asks inside a repetition.
    assert_eq!(sees(InputRequired, &[], &["/2:each[0]/0:ask"]), (TaskState::InputRequired, vec!["/2:each[0]/0:ask".to_owned()]));
    // It was answered, too.
    assert_eq!(sees(Running, &["/3:call"], &[]), (TaskState::Working, vec![]));
}

/// An engine that is asked for the updates of a run and nothing else, and notes which.
#[derive(Default)]
struct Asked(Mutex<Vec<(u64, u64)>>);

#[async_trait]
impl Engine for Asked {
    async fn start(&self, _: Start) -> Result<Started, Error> {
        unreachable!()
    }

    async fn cancel(&self, _: &RunId, _: &str) -> Result<(), Error> {
        unreachable!()
    }

    async fn answer_noted(&self, _: &RunId, _: Option<&str>, _: Arc<Value>, _: Option<Arc<str>>) -> Result<(), Error> {
        unreachable!()
    }

    async fn retry(&self, _: &RunId, _: BTreeMap<String, String>) -> Result<Started, Error> {
        unreachable!()
    }

    async fn snapshot(&self, _: &RunId) -> Result<Snapshot, Error> {
        unreachable!()
    }

    async fn wait(&self, _: &RunId) -> Result<Snapshot, Error> {
        unreachable!()
    }

    async fn subscribe(&self, _: &RunId) -> Result<Subscription, Error> {
        unreachable!()
    }

    async fn updates(&self, _: &RunId, after: u64, upto: u64) -> Result<Vec<Update>, Error> {
        self.0.lock().unwrap().push((after, upto));
        Ok(Vec::new())
    }

    async fn page(&self, _: &Filter) -> Result<Page, Error> {
        unreachable!()
    }

    fn agents(&self) -> Vec<GateStatus> {
        unreachable!()
    }

    async fn summary(&self, _: &RunId) -> Result<RunSummary, Error> {
        unreachable!()
    }
}

#[tokio::test]
async fn so_many_updates_of_a_run_are_told_again_and_no_more() {
    for (seen, newest, asked) in [
        (0, RETOLD_MAX, Some((0, 10_000))),
        (0, 2 * RETOLD_MAX, Some((0, 10_000))),
        (7, 2 * RETOLD_MAX, Some((7, 10_000))),
        (RETOLD_MAX, 2 * RETOLD_MAX, None),
        (9, 9, None),
    ] {
        let (task, mut follower) = follower();
        // A run that has ended: its number is then made another one.
        let plan = follower_plan();
        let run = follower.engine.start(Start::new(plan, Arc::default())).await.unwrap().run;
        let mut subscription = follower.engine.subscribe(&run).await.unwrap();
        subscription.seq = newest;
        let engine = Arc::new(Asked::default());
        follower.engine = Arc::clone(&engine) as Arc<dyn Engine>;
        follower.seen = seen;
        follower.retell(&task, &subscription).await;
        assert_eq!(*engine.0.lock().unwrap(), [], "nobody watches");
        follower.seen = seen;
        let _watched = task.subscribe();
        follower.retell(&task, &subscription).await;
        assert_eq!(*engine.0.lock().unwrap(), Vec::from_iter(asked), "{seen} of {newest} seen");
        assert_eq!(follower.seen, newest);
    }
}

fn follower_plan() -> Arc<Plan> {
    let text = "metadata: {id: w, name: W, version: 1.0.0}\nsteps: []";
    let workflow = crate::workflow::parse(text).workflow.unwrap();
    Arc::new(Plan::new(workflow, text, crate::registry::digest::sha256(text.as_bytes())))
}
