//! Runs below a run whose questions are settled by others, and runs below a run that no longer wants them: also over a restart.

use std::sync::Arc;
use std::time::Duration;

use gantry::agent::Client;
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Filter};
use gantry::ids::RunId;
use gantry::interpreter::{ErrorClass, Event, Question, RemoteTask, RunStatus, Snapshot, StepError};
use gantry::journal::{Progress, Sqlite};
use gantry::plan::Path;
use gantry::time::Timestamp;
use serde_json::{Value, json};

use super::agent::{Act, Agent, Call, Gate, PATIENCE, Speaks};
use super::world::{World, client_options, end, failure, output, step};

const ASKS: &str = "metadata: {id: asks, name: A, version: 1.0.0}
steps: [{id: ask, step_type: input, prompt: well}]";
const ABOVE: &str = "steps: [{id: sub, step_type: workflow, workflow: asks}]";

fn is_waiting(snapshot: &Snapshot) -> bool {
    snapshot.status == RunStatus::InputRequired
}

async fn child(engine: &Embedded, workflow: &str) -> RunId {
    let filter = Filter { workflow: Some(workflow.to_owned()), ..Filter::default() };
    let runs = engine.list(&filter).await.unwrap();
    assert_eq!(runs.len(), 1, "{runs:#?}");
    runs[0].run.clone()
}

/// An engine of its own on the world's journal, like the one of another process.
fn engine(world: &World, rest_after: Duration) -> Embedded {
    let options = Options { rest_after, ..Options::default() };
    Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal))
}

fn durable() -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (World::with(Arc::new(Sqlite::open(dir.path()).unwrap())), dir)
}

fn at() -> Timestamp {
    Timestamp::parse("2100-01-01T00:00:00Z").unwrap()
}

async fn until_resting(engine: &Embedded, runs: usize) {
    let rest = async {
        while engine.counts().resting < runs {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.unwrap_or_else(|_| panic!("{:?}", engine.counts()));
}

#[tokio::test]
async fn a_run_goes_on_when_its_childs_question_is_answered_by_its_default() {
    let world = World::new();
    world.push_workflow(&ASKS.replace("prompt: well", "prompt: well, timeout: 200ms, default: nobody")).await;
    let ended = world.run(ABOVE, json!({})).await;
    assert_eq!(output(&ended), &json!("nobody"));
}

#[tokio::test]
async fn a_run_goes_on_when_somebody_answers_or_cancels_its_child_itself() {
    for rests in [false, true] {
        for cancels in [false, true] {
            let world = World::new();
            world.push_workflow(ASKS).await;
            let rest_after = if rests { Duration::from_millis(10) } else { Duration::from_secs(60) };
            let engine = engine(&world, rest_after);
            let run = engine.start(gantry::engine::Start::new(world.plan(ABOVE), Arc::new(json!({})))).await.unwrap().run;
            while !is_waiting(&engine.wait(&run).await.unwrap()) {}
            if rests {
                until_resting(&engine, 2).await;
            }
            let child = child(&engine, "asks").await;
            if cancels {
                engine.cancel(&child, "not this").await.unwrap();
                let ended = end(&engine, &run).await;
                let error = failure(&ended);
                assert_eq!(error.code, ErrorClass::AgentError);
                assert!(error.message.contains("was canceled: not this"), "{error:?}");
            } else {
                engine.answer(&child, Some("ask"), Arc::new(json!("yes"))).await.unwrap();
                assert_eq!(output(&end(&engine, &run).await), &json!("yes"), "rests: {rests}");
            }
        }
    }
}

#[tokio::test]
async fn a_run_goes_on_when_another_branch_ends_the_child_that_asks() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("breaks", &["break"], Speaks::Plain, move |_| Act::Fail("broken".to_owned()).behind(&closed)).await;
    let world = World::knowing(&[&agent]);
    world
        .push_workflow(
            "metadata: {id: asks, name: A, version: 1.0.0}
steps: [{id: both, step_type: parallel, branches: {steps: [{id: ask, step_type: input, prompt: well}, {id: b, skill: break}]}}]",
        )
        .await;
    let run = world.start(ABOVE, json!({})).await;
    world.until(&run, "a question", is_waiting).await;
    gate.open();
    assert!(failure(&world.end(&run).await).message.contains("broken"));
}

#[tokio::test]
async fn what_became_of_a_childs_question_is_found_out_after_a_restart() {
    for rests in [false, true] {
        let (world, _dir) = durable();
        world.push_workflow(ASKS).await;
        let rest_after = if rests { Duration::from_millis(10) } else { Duration::from_secs(60) };
        let first = engine(&world, rest_after);
        let run = first.start(gantry::engine::Start::new(world.plan(ABOVE), Arc::new(json!({})))).await.unwrap().run;
        while !is_waiting(&first.wait(&run).await.unwrap()) {}
        if rests {
            until_resting(&first, 2).await;
        }
        let child = child(&first, "asks").await;
        first.shutdown(Duration::from_millis(1)).await;
        // The process ended after the answer was stored, and before anybody was told.
        let answered = Event::Answered { path: Path::new("/0:ask"), answer: Arc::new(json!("yes")), note: None, at: at() };
        world.journal.append(&child, &[answered], RunStatus::Completed).await.unwrap();
        let second = engine(&world, rest_after);
        assert!(second.recover().await.unwrap().stuck.is_empty());
        assert_eq!(output(&end(&second, &run).await), &json!("yes"), "rests: {rests}");
    }
}

/// Asks twice, and tells what it was told.
fn asks_twice(call: &Call) -> Act {
    match call.before {
        0 => Act::Ask(json!("first?")),
        1 => Act::Ask(json!("second?")),
        _ => Act::Reply(json!({"last": call.inputs})),
    }
}

#[tokio::test]
async fn an_answer_that_is_given_again_after_a_restart_is_not_taken_for_one_to_the_next_question() {
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, asks_twice).await;
    let (world, _dir) = durable();
    world.meet(&[&agent]);
    world.push_workflow("metadata: {id: asks, name: A, version: 1.0.0}\nsteps: [{id: ask, skill: work}]").await;
    let first = engine(&world, Duration::from_secs(60));
    let run = first.start(gantry::engine::Start::new(world.plan(ABOVE), Arc::new(json!({})))).await.unwrap().run;
    while !is_waiting(&first.wait(&run).await.unwrap()) {}
    let child = child(&first, "asks").await;
    first.shutdown(Duration::from_millis(1)).await;
    // The answer went down, and the agent has asked again; the run above had not heard of it when the process ended.
    let remote = Some(RemoteTask { task_id: "task-1".to_owned(), context_id: "context-of-task-1".to_owned() });
    let question = Question { remote, schema: None, auth: false, prompt: Arc::new(json!("second?")) };
    let answered = |path: &str| Event::Answered { path: Path::new(path), answer: Arc::new(json!("one")), note: None, at: at() };
    world.journal.append(&run, &[answered("/0:sub")], RunStatus::Running).await.unwrap();
    let asked = Event::Asked { path: Path::new("/0:ask"), attempt: 2, question, by: None, inputs: None, at: at() };
    world.journal.append(&child, &[answered("/0:ask"), asked], RunStatus::InputRequired).await.unwrap();
    let second = engine(&world, Duration::from_secs(60));
    assert!(second.recover().await.unwrap().stuck.is_empty());
    let again = async {
        loop {
            let now = second.wait(&run).await.unwrap();
            assert!(now.outcome.is_none(), "{now:#?}");
            if let Some(question) = &step(&now, "sub").question {
                return Value::clone(&question.prompt);
            }
        }
    };
    let asked = tokio::time::timeout(PATIENCE, again).await.expect("the second question is passed on");
    assert_eq!(asked, json!("second?"));
    let calls = agent.look(|seen| seen.calls.len());
    assert_eq!(calls, 1, "the first answer does not go to the second question");
    agent.look(|_| ());
    second.shutdown(Duration::from_millis(1)).await;
}

/// A run whose child hangs at its agent, as it is when the process has ended.
async fn left_with_a_child(above: &str, agents: &[&Agent]) -> (World, tempfile::TempDir, RunId, RunId) {
    left_with_a_child_that("", above, agents).await
}

/// The same, with more of the child's workflow.
async fn left_with_a_child_that(has: &str, above: &str, agents: &[&Agent]) -> (World, tempfile::TempDir, RunId, RunId) {
    let (world, dir) = durable();
    world.meet(agents);
    world.push_workflow(&format!("metadata: {{id: below, name: B, version: 1.0.0}}\nsteps: [{{id: hang, skill: hang}}]\n{has}")).await;
    let first = engine(&world, Duration::from_secs(60));
    let run = first.start(gantry::engine::Start::new(world.plan(above), Arc::new(json!({})))).await.unwrap().run;
    agents[0].until("the call of the child", |seen| seen.of("hang").len() == 1).await;
    first.shutdown(Duration::from_millis(1)).await;
    let child = child(&first, "below").await;
    (world, dir, run, child)
}

async fn hanging() -> Agent {
    Agent::start("agent", &["hang", "other"], Speaks::A2a1, |_| Act::Hang).await
}

async fn ends_canceled(engine: &Embedded, run: &RunId) {
    let ended = end(engine, run).await;
    assert_eq!(ended.status, RunStatus::Canceled, "{ended:#?}");
}

#[tokio::test]
async fn a_child_whose_parent_has_ended_is_canceled_at_the_next_start() {
    let agent = hanging().await;
    let (world, _dir, run, child) = left_with_a_child("steps: [{id: sub, step_type: workflow, workflow: below}]", &[&agent]).await;
    // The process ended when the wish was stored, and before the child had heard of it.
    let wish = Event::CancelRequested { reason: "enough".to_owned(), at: at() };
    world.journal.append(&run, &[wish], RunStatus::Canceled).await.unwrap();
    let second = engine(&world, Duration::from_secs(60));
    second.recover().await.unwrap();
    ends_canceled(&second, &child).await;
}

/// What undoes its work is not cut off by being told once more.
#[tokio::test]
async fn a_child_that_was_told_already_ends_with_its_handlers_at_the_next_start() {
    let gate = Gate::new();
    let closed = gate.clone();
    let act = move |call: &Call| if call.skill == "hang" { Act::Hang } else { Act::Reply(json!("undone")).behind(&closed) };
    let agent = Agent::start("agent", &["hang", "other"], Speaks::Plain, act).await;
    let handler = "error_handling: {on_cancel: [{id: undo, skill: other}]}";
    let above = "steps: [{id: sub, step_type: workflow, workflow: below}]";
    let (world, _dir, run, child) = left_with_a_child_that(handler, above, &[&agent]).await;
    // The child had heard of it, and was undoing its work.
    let wish = || Event::CancelRequested { reason: "enough".to_owned(), at: at() };
    world.journal.append(&run, &[wish()], RunStatus::Canceled).await.unwrap();
    world.journal.append(&child, &[wish()], RunStatus::Running).await.unwrap();
    let second = engine(&world, Duration::from_secs(60));
    second.recover().await.unwrap();
    agent.until("the handler's call", |seen| seen.of("other").len() == 1).await;
    for _ in 0..100 {
        assert_eq!(second.snapshot(&child).await.unwrap().status, RunStatus::Running, "its handler is under way");
        tokio::task::yield_now().await;
    }
    gate.open();
    ends_canceled(&second, &child).await;
    let events = world.journal.events(&child).await.unwrap();
    assert_eq!(events.iter().filter(|event| matches!(event, Event::CancelRequested { .. })).count(), 1, "{events:#?}");
    assert!(events.iter().any(|event| matches!(event, Event::Replied { path, .. } if path.step() == "undo")), "{events:#?}");
}

#[tokio::test]
async fn a_child_that_its_parents_step_no_longer_waits_for_is_canceled_at_the_next_start() {
    let above = "steps:
- {id: both, step_type: parallel, on_error: continue, branches: {steps: [{id: sub, step_type: workflow, workflow: below}, {id: b, skill: other}]}}
- {id: ask, step_type: input, prompt: well}";
    for rests in [None, Some(None)] {
        let agent = hanging().await;
        let (world, _dir, run, child) = left_with_a_child(above, &[&agent]).await;
        let path = Path::new("/0:both[1]/0:b");
        let failed = Event::Failed {
            path,
            attempt: 1,
            error: StepError::new(ErrorClass::Rejected, "no"),
            by: None,
            inputs: None,
            entropy: 0,
            at: at(),
        };
        let progress = Progress { status: RunStatus::InputRequired, rests, asks_access: false, used: None };
        world.journal.advance(&run, &[failed], progress).await.unwrap();
        let second = engine(&world, Duration::from_secs(60));
        second.recover().await.unwrap();
        ends_canceled(&second, &child).await;
        let above = second.snapshot(&run).await.unwrap();
        assert_eq!(above.status, RunStatus::InputRequired, "its parent is as it was");
    }
}

#[tokio::test]
async fn a_child_that_is_waited_for_is_left_alone_at_the_next_start() {
    let agent = hanging().await;
    let (world, _dir, run, child) = left_with_a_child("steps: [{id: sub, step_type: workflow, workflow: below}]", &[&agent]).await;
    let second = engine(&world, Duration::from_secs(60));
    second.recover().await.unwrap();
    agent.until("the call again", |seen| seen.of("hang").len() == 2).await;
    for run in [&run, &child] {
        assert_eq!(second.snapshot(run).await.unwrap().status, RunStatus::Running);
    }
    assert!(agent.look(|seen| seen.canceled.is_empty()));
    second.shutdown(Duration::from_millis(1)).await;
}
