//! What a snapshot says after a gap stands for everything before it.

use std::time::Duration;

use super::super::store::Store;
use super::super::task::{Bounds, Kind, NewTask};
use super::*;
use crate::agent::Client;
use crate::discovery::Discovery;
use crate::engine::embedded::Embedded;
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
    let follower = Follower { engine, stopping, run, task: follows, signals, artifacts_left: 0, calling: BTreeSet::new(), seen: 0 };
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
