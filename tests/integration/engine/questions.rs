//! Agents that ask before they go on: the run asks in their stead, and the answer goes back to whoever asked.

use std::sync::Arc;

use gantry::engine::{Engine, EntryStatus, Error, Export, Timeline};
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus, Snapshot, StepStatus};
use serde_json::{Value, json};

use super::agent::{A2A, Act, Agent, Call, Speaks};
use super::world::{World, output, status, step};

/// Asks at first, and answers with what it was told.
fn asking(call: &Call) -> Act {
    match &call.task_id {
        None => Act::Ask(json!({"which": call.inputs["of"]})),
        Some(_) => Act::Reply(json!({"told": call.inputs})),
    }
}

fn waiting(snapshot: &Snapshot) -> bool {
    snapshot.status == RunStatus::InputRequired
}

async fn answer(world: &World, run: &RunId, step: Option<&str>, answer: Value) -> Result<(), Error> {
    world.engine.answer(run, step, Arc::new(answer)).await
}

#[tokio::test]
async fn the_answer_goes_on_with_the_same_task_and_context() {
    for speaks in A2A {
        let agent = Agent::start("asks", &["work"], speaks, asking).await;
        let world = World::knowing(&[&agent]);
        let run = world.start("steps:\n  - {id: only, skill: work, inputs: {of: colour}}", json!({})).await;
        let now = world.until(&run, "a question", waiting).await;
        let question = step(&now, "only").question.clone().unwrap();
        assert_eq!((status(&now, "only"), &*question.prompt), (StepStatus::Waiting, &json!({"which": "colour"})), "{speaks:?}");
        assert_eq!(world.engine.summary(&run).await.unwrap().status, RunStatus::InputRequired);
        answer(&world, &run, None, json!({"colour": "red"})).await.unwrap();
        let ended = world.end(&run).await;
        assert_eq!(output(&ended), &json!({"told": {"colour": "red"}}), "{speaks:?}");
        let calls = agent.look(|seen| seen.calls.clone());
        assert_eq!((calls[0].task_id.as_deref(), calls[1].task_id.as_deref()), (None, Some("task-1")), "{speaks:?}");
        assert_eq!(calls[1].context_id.as_deref(), Some("context-of-task-1"), "{speaks:?}");
        assert_ne!(calls[0].message_id, calls[1].message_id, "an answer is another message");
        assert!(agent.look(|seen| seen.canceled.is_empty()));
    }
}

#[tokio::test]
async fn an_agent_may_ask_again() {
    let script =
        |call: &Call| if call.before < 3 { Act::Ask(json!(format!("question {}", call.before + 1))) } else { Act::Reply(json!("at last")) };
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, script).await;
    let world = World::knowing(&[&agent]);
    let run = world.start("steps:\n  - {id: only, skill: work}", json!({})).await;
    for n in 1..=3 {
        let asked = |now: &Snapshot| step(now, "only").question.as_ref().is_some_and(|q| q.prompt["text"] == format!("question {n}"));
        world.until(&run, "the next question", asked).await;
        answer(&world, &run, Some("only"), json!(n)).await.unwrap();
    }
    assert_eq!(output(&world.end(&run).await), &json!("at last"));
}

/// An attempt that asked is over when its question is answered; what follows is the next one.
#[tokio::test]
async fn in_the_history_a_question_that_was_answered_waits_no_more() {
    let script = |call: &Call| if call.before < 2 { Act::Ask(json!("which?")) } else { Act::Reply(json!("done")) };
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, script).await;
    let world = World::knowing(&[&agent]);
    let yaml = "steps:\n  - {id: only, skill: work}";
    let run = world.start(yaml, json!({})).await;
    let told = async || {
        let record = world.journal.record(&run).await.unwrap();
        let export = Export::new(record, world.journal.events(&run).await.unwrap());
        let answers: Vec<_> = export.events.iter().filter(|event| matches!(event, Event::Answered { .. })).map(Event::at).collect();
        let told = Timeline::new(&export, world.plan(yaml)).unwrap();
        (told.entries.iter().map(|entry| (entry.attempt, entry.status, entry.finished_at)).collect::<Vec<_>>(), answers)
    };
    world.until(&run, "its question", waiting).await;
    assert_eq!(told().await.0, [(1, EntryStatus::Waiting, None)]);
    answer(&world, &run, None, json!("red")).await.unwrap();
    let asked_again = |snapshot: &Snapshot| waiting(snapshot) && step(snapshot, "only").attempts == 2;
    world.until(&run, "its second question", asked_again).await;
    let (entries, answers) = told().await;
    assert_eq!(entries, [(1, EntryStatus::Completed, Some(answers[0])), (2, EntryStatus::Waiting, None)]);
    answer(&world, &run, None, json!("green")).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!("done"));
    let (entries, answers) = told().await;
    let seen: Vec<_> = entries.iter().map(|(attempt, status, _)| (*attempt, *status)).collect();
    assert_eq!(seen, [1, 2, 3].map(|attempt| (attempt, EntryStatus::Completed)), "{entries:?}");
    assert_eq!((entries[0].2, entries[1].2), (Some(answers[0]), Some(answers[1])));
}

#[tokio::test]
async fn two_waiting_branches_are_addressed_by_step() {
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, asking).await;
    let world = World::knowing(&[&agent]);
    let yaml = "
steps:
  - id: both
    step_type: parallel
    branches:
      steps:
        - {id: left, skill: work, inputs: {of: left}}
        - {id: right, skill: work, inputs: {of: right}}
";
    let run = world.start(yaml, json!({})).await;
    world.until(&run, "both questions", |now| ["left", "right"].iter().all(|id| status(now, id) == StepStatus::Waiting)).await;
    let unclear = answer(&world, &run, None, json!(1)).await.unwrap_err();
    assert!(unclear.to_string().contains("left, right"), "{unclear}");
    let nobody = answer(&world, &run, Some("middle"), json!(1)).await.unwrap_err();
    assert!(matches!(&nobody, Error::NotWaiting { step: Some(step), .. } if step == "middle"), "{nobody}");
    answer(&world, &run, Some("right"), json!("r")).await.unwrap();
    let path = world.engine.snapshot(&run).await.unwrap().steps.iter().find(|step| step.id.as_str() == "left").unwrap().path.clone();
    answer(&world, &run, Some(path.as_str()), json!("l")).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!({"left": {"told": "l"}, "right": {"told": "r"}}));
    let late = answer(&world, &run, Some("left"), json!(1)).await.unwrap_err();
    assert!(matches!(late, Error::Ended { .. }), "{late}");
}

#[tokio::test]
async fn canceling_while_an_agent_waits_cancels_its_task() {
    for speaks in A2A {
        let agent = Agent::start("asks", &["work"], speaks, asking).await;
        let world = World::knowing(&[&agent]);
        let run = world.start("steps:\n  - {id: only, skill: work, inputs: {of: colour}}", json!({})).await;
        world.until(&run, "a question", waiting).await;
        world.engine.cancel(&run, "nobody knows").await.unwrap();
        let ended = world.end(&run).await;
        assert_eq!((ended.status, status(&ended, "only")), (RunStatus::Canceled, StepStatus::Canceled), "{speaks:?}");
        agent.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
    }
}

#[tokio::test]
async fn a_branch_that_fails_cancels_the_one_that_waits() {
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, asking).await;
    let gate = super::agent::Gate::new();
    let closed = gate.clone();
    let breaks = Agent::start("breaks", &["break"], Speaks::Plain, move |_| Act::Fail("broken".to_owned()).behind(&closed)).await;
    let world = World::knowing(&[&agent, &breaks]);
    let branches = "{steps: [{id: asks, skill: work, inputs: {of: x}}, {id: breaks, skill: break}]}";
    let run = world.start(&format!("steps:\n  - {{id: both, step_type: parallel, branches: {branches}}}"), json!({})).await;
    world.until(&run, "a question", waiting).await;
    gate.open();
    let ended = world.end(&run).await;
    assert_eq!((ended.status, status(&ended, "asks")), (RunStatus::Failed, StepStatus::Canceled));
    agent.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
}

#[tokio::test]
async fn the_answer_goes_to_the_agent_that_asked_whoever_offers_the_skill_by_then() {
    let agent = Agent::start("z-asks", &["work"], Speaks::A2a1, asking).await;
    let world = World::new();
    world.discovery.push_card(agent.card_text().into(), None, &[]).await.unwrap();
    let run = world.start("steps:\n  - {id: only, skill: work, inputs: {of: colour}}", json!({})).await;
    world.until(&run, "a question", waiting).await;
    // By name and by hand it would be chosen first from now on.
    let other = Agent::start("a-new", &["work"], Speaks::A2a1, |_| Act::Reply(json!("what task?"))).await;
    world.discovery.push_card(other.card_text().into(), None, &[]).await.unwrap();
    answer(&world, &run, None, json!("red")).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!({"told": "red"}));
    assert_eq!(other.look(|seen| seen.calls.len()), 0);
}

const CHILD: &str = "metadata: {id: child, name: C, version: 1.0.0}\nsteps:\n  - {id: ask, skill: work, inputs: {of: colour}}\n";
const PARENT: &str = "steps:\n  - {id: inner, skill: execute_workflow, inputs: {workflow_id: child}, outputs: result}";

#[tokio::test]
async fn a_childs_question_bubbles_up_and_the_answer_goes_down() {
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, asking).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow(CHILD).await;
    let run = world.start(PARENT, json!({})).await;
    let now = world.until(&run, "a question", waiting).await;
    assert_eq!(*step(&now, "inner").question.as_ref().unwrap().prompt, json!({"which": "colour"}));
    answer(&world, &run, Some("inner"), json!("blue")).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!({"result": {"told": "blue"}}));
    assert_eq!(agent.look(|seen| seen.calls[1].task_id.clone()).as_deref(), Some("task-1"));
    assert_eq!(world.engine.list(&Default::default()).await.unwrap().len(), 2, "the answer starts no second child");
}

#[tokio::test]
async fn canceling_a_parent_whose_child_waits_leaves_no_orphan() {
    let agent = Agent::start("asks", &["work"], Speaks::A2a1, asking).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow(CHILD).await;
    let run = world.start(PARENT, json!({})).await;
    world.until(&run, "a question", waiting).await;
    world.engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(world.end(&run).await.status, RunStatus::Canceled);
    agent.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
    let runs = world.engine.list(&Default::default()).await.unwrap();
    let child = runs.iter().find(|run| run.workflow == "child").unwrap();
    assert_eq!(world.end(&child.run).await.status, RunStatus::Canceled);
}
