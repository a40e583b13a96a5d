//! Branches at once: proven by what the agents see, never by the clock. What fails or takes too long is stopped there too.

use std::sync::Arc;

use gantry::engine::Engine;
use gantry::interpreter::{ErrorClass, RunStatus, StepStatus};
use gantry::limits::GROUP_CONCURRENCY;
use serde_json::{Map, Value, json};
use tokio::sync::Barrier;

use super::agent::{A2A, Act, Agent, Call, Gate, Speaks};
use super::world::{World, failure, output, status, step};

fn group(count: usize, more: &str) -> String {
    let steps: String = (0..count).map(|n| format!("        - {{id: b{n}, skill: work, inputs: {{n: {n}}}}}\n")).collect();
    format!("steps:\n  - id: all\n    step_type: parallel\n    {more}\n    branches:\n      steps:\n{steps}")
}

#[tokio::test]
async fn every_branch_is_in_before_the_first_is_answered() {
    let barrier = Arc::new(Barrier::new(8));
    let meet = move |call: &Call| Act::Meet(Arc::clone(&barrier), call.inputs["n"].clone());
    let agent = Agent::start("meeting", &["work"], Speaks::Plain, meet).await;
    let ended = World::knowing(&[&agent]).run(&group(8, "timeout: 20s"), json!({})).await;
    let expected: Map<String, Value> = (0..8).map(|n| (format!("b{n}"), json!(n))).collect();
    assert_eq!(output(&ended), &Value::Object(expected));
    assert_eq!(agent.look(|seen| seen.high_water), 8);
}

#[tokio::test]
async fn named_branches_of_several_steps_run_at_once_and_in_order_each() {
    let barrier = Arc::new(Barrier::new(2));
    let meet = move |call: &Call| Act::Meet(Arc::clone(&barrier), json!({"did": call.inputs["what"]}));
    let agent = Agent::start("meeting", &["work"], Speaks::Plain, meet).await;
    let yaml = "
steps:
  - id: both
    step_type: parallel
    branches:
      left:
        - {id: l1, skill: work, inputs: {what: l1}}
        - {id: l2, skill: work, inputs: {what: \"{{ steps.l1.outputs.did }}-l2\"}}
      right:
        - {id: r1, skill: work, inputs: {what: r1}}
        - {id: r2, skill: work, inputs: {what: \"{{ steps.r1.outputs.did }}-r2\"}}
output: {left: \"{{ steps.both.outputs.left.did }}\", right: \"{{ steps.r2.outputs.did }}\"}
";
    let ended = World::knowing(&[&agent]).run(yaml, json!({})).await;
    assert_eq!(output(&ended), &json!({"left": "l1-l2", "right": "r1-r2"}));
    assert_eq!(agent.look(|seen| (seen.calls.len(), seen.high_water)), (4, 2));
}

#[tokio::test]
async fn max_concurrency_is_reached_and_never_passed() {
    // Nine branches, three at once: the barrier opens for three, and a fourth would be seen beside them.
    let barrier = Arc::new(Barrier::new(3));
    let meet = move |call: &Call| Act::Meet(Arc::clone(&barrier), call.inputs["n"].clone());
    let agent = Agent::start("meeting", &["work"], Speaks::Plain, meet).await;
    let ended = World::knowing(&[&agent]).run(&group(9, "max_concurrency: 3"), json!({})).await;
    assert_eq!(ended.status, RunStatus::Completed, "{ended:#?}");
    assert_eq!(agent.look(|seen| (seen.calls.len(), seen.high_water)), (9, 3));
}

#[tokio::test]
async fn two_hundred_branches_go_through_a_window_of_64() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("gated", &["work"], Speaks::Plain, move |call| Act::Reply(call.inputs["n"].clone()).behind(&closed)).await;
    let world = World::knowing(&[&agent]);
    let run = world.start(&group(200, "fail_fast: true"), json!({})).await;
    let window = GROUP_CONCURRENCY as usize;
    agent.until("a full window", |seen| seen.in_flight == window).await;
    let now = world.engine.snapshot(&run).await.unwrap();
    let count = |wanted| now.steps.iter().filter(|step| step.skill.is_some() && step.status == wanted).count();
    assert_eq!((count(StepStatus::Running), count(StepStatus::Pending)), (64, 136));
    gate.open();
    let ended = world.end(&run).await;
    let expected: Map<String, Value> = (0..200).map(|n| (format!("b{n}"), json!(n))).collect();
    assert_eq!(output(&ended), &Value::Object(expected));
    assert_eq!(agent.look(|seen| (seen.calls.len(), seen.high_water)), (200, 64));
}

#[tokio::test]
async fn fail_fast_cancels_what_is_in_flight_at_the_agents() {
    for speaks in A2A {
        let gate = Gate::new();
        let closed = gate.clone();
        let script = move |call: &Call| if call.inputs["n"] == 1 { Act::Fail("one broke".to_owned()).behind(&closed) } else { Act::Hang };
        let agent = Agent::start("tasks", &["work"], speaks, script).await;
        let world = World::knowing(&[&agent]);
        let run = world.start(&group(4, "fail_fast: true"), json!({})).await;
        agent.until("all calls", |seen| seen.calls.len() == 4).await;
        gate.open();
        let ended = world.end(&run).await;
        assert_eq!(failure(&ended).step.as_deref(), Some("b1"), "{speaks:?}");
        assert_eq!(["b0", "b2", "b3"].map(|id| status(&ended, id)), [StepStatus::Canceled; 3], "{speaks:?}");
        agent.until("three tasks canceled", |seen| seen.canceled.len() == 3).await;
    }
}

#[tokio::test]
async fn fail_fast_starts_nothing_that_waits_in_the_window() {
    let agent = Agent::start("broken", &["work"], Speaks::Plain, |_| Act::Fail("no".to_owned())).await;
    let ended = World::knowing(&[&agent]).run(&group(50, "max_concurrency: 1"), json!({})).await;
    assert_eq!(failure(&ended).step.as_deref(), Some("b0"));
    assert_eq!(agent.look(|seen| seen.calls.len()), 1);
    assert_eq!(status(&ended, "b49"), StepStatus::Pending);
}

#[tokio::test]
async fn without_fail_fast_all_branches_failing_fails_the_group() {
    let agent = Agent::start("broken", &["work"], Speaks::Plain, |call| Act::Fail(format!("no {}", call.inputs["n"]))).await;
    let ended = World::knowing(&[&agent]).run(&group(3, "fail_fast: false"), json!({})).await;
    let error = failure(&ended);
    assert_eq!(error.code, ErrorClass::AgentError);
    for part in ["3 of 3 branches failed", "no 0", "no 1", "no 2"] {
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    assert_eq!(agent.look(|seen| seen.calls.len()), 3);
}

#[tokio::test]
async fn a_group_that_takes_too_long_is_stopped_as_a_whole() {
    for speaks in A2A {
        let script = |call: &Call| if call.inputs["n"] == 0 { Act::Reply(json!("quick")) } else { Act::Hang };
        let agent = Agent::start("tasks", &["work"], speaks, script).await;
        let world = World::knowing(&[&agent]);
        let ended = world.run(&group(3, "timeout: 700ms"), json!({})).await;
        let error = failure(&ended);
        assert_eq!((error.code, error.step.as_deref(), error.line), (ErrorClass::Timeout, Some("all"), Some(3)), "{speaks:?}");
        assert!(error.message.contains("700ms"), "{}", error.message);
        assert_eq!(*step(&ended, "b0").outputs, json!("quick"), "what was there is kept");
        assert_eq!(["b1", "b2"].map(|id| status(&ended, id)), [StepStatus::Canceled; 2], "{speaks:?}");
        agent.until("two tasks canceled", |seen| seen.canceled.len() == 2).await;
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_its_handlers_run() {
    let agent = Agent::start("slow", &["work"], Speaks::Plain, |_| Act::Hang).await;
    let tells = Agent::plain("tells", &["tell"], |call| call.inputs.clone()).await;
    let yaml = "
limits: {max_duration: 200ms}
steps:
  - {id: only, skill: work}
error_handling:
  on_error: [{id: say, skill: tell, inputs: {code: \"{{ run.error.code }}\", status: \"{{ run.status }}\"}}]
";
    let ended = World::knowing(&[&agent, &tells]).run(yaml, json!({})).await;
    let error = failure(&ended);
    assert_eq!(error.code, ErrorClass::Timeout);
    assert!(error.message.contains("200ms"), "{}", error.message);
    assert_eq!(*step(&ended, "say").outputs, json!({"code": "timeout", "status": "failed"}));
    agent.until("its caller hang up", |seen| seen.hung_up == 1 && seen.in_flight == 0).await;
}

const CANCELABLE: &str = "
steps:
  - id: all
    step_type: parallel
    branches:
      steps:
        - {id: plain, skill: plain_work}
        - {id: v1, skill: v1_work}
        - {id: v03, skill: v03_work}
  - {id: later, skill: plain_work}
error_handling:
  on_success: [{id: good, skill: tell}]
  on_error: [{id: bad, skill: tell}]
  on_cancel: [{id: stopped, skill: tell, inputs: {status: \"{{ run.status }}\", why: \"{{ run.error.message }}\"}}]
  always: [{id: finally, skill: tell, inputs: {status: \"{{ run.status }}\"}}]
";

#[tokio::test]
async fn canceling_a_run_cancels_its_calls_at_the_agents_and_runs_the_handlers() {
    let plain = Agent::start("plain", &["plain_work"], Speaks::Plain, |_| Act::Hang).await;
    let v1 = Agent::start("v1", &["v1_work"], Speaks::A2a1, |_| Act::Hang).await;
    let v03 = Agent::start("v03", &["v03_work"], Speaks::A2a03, |_| Act::Hang).await;
    let tells = Agent::plain("tells", &["tell"], |call| call.inputs.clone()).await;
    let world = World::knowing(&[&plain, &v1, &v03, &tells]);
    let run = world.start(CANCELABLE, json!({})).await;
    for agent in [&plain, &v1, &v03] {
        agent.until("its call", |seen| seen.calls.len() == 1).await;
    }
    world.engine.cancel(&run, "changed my mind").await.unwrap();
    let ended = world.end(&run).await;
    assert_eq!(ended.status, RunStatus::Canceled);
    assert_eq!(*step(&ended, "stopped").outputs, json!({"status": "canceled", "why": "changed my mind"}));
    assert_eq!(*step(&ended, "finally").outputs, json!({"status": "canceled"}));
    use StepStatus::{Canceled, Completed, Pending};
    let statuses = ["plain", "v1", "v03", "all", "later", "good", "bad", "stopped", "finally"].map(|id| status(&ended, id));
    assert_eq!(statuses, [Canceled, Canceled, Canceled, Canceled, Pending, Pending, Pending, Completed, Completed]);
    plain.until("its caller hang up", |seen| seen.hung_up == 1).await;
    v1.until("CancelTask", |seen| seen.canceled == ["task-1"]).await;
    v03.until("tasks/cancel", |seen| seen.canceled == ["task-1"]).await;
    let again = world.engine.cancel(&run, "again").await.unwrap_err();
    assert!(matches!(again, gantry::engine::Error::Ended { status: RunStatus::Canceled, .. }), "{again:?}");
}

#[tokio::test]
async fn a_second_wish_ends_the_handler_and_a_third_one_always() {
    let hangs = Agent::start("hangs", &["plain_work", "v1_work", "v03_work", "tell"], Speaks::Plain, |_| Act::Hang).await;
    let world = World::knowing(&[&hangs]);
    let run = world.start(CANCELABLE, json!({})).await;
    hangs.until("all calls", |seen| seen.in_flight == 3).await;
    world.engine.cancel(&run, "once").await.unwrap();
    hangs.until("the handler", |seen| seen.of("tell").len() == 1).await;
    world.engine.cancel(&run, "twice").await.unwrap();
    hangs.until("`always`", |seen| seen.of("tell").len() == 2).await;
    world.engine.cancel(&run, "three times").await.unwrap();
    let ended = world.end(&run).await;
    assert_eq!(ended.status, RunStatus::Canceled);
    assert_eq!((status(&ended, "stopped"), status(&ended, "finally")), (StepStatus::Canceled, StepStatus::Canceled));
    hangs.until("everybody hang up", |seen| seen.in_flight == 0).await;
}

#[tokio::test]
async fn canceling_a_parent_cancels_its_child_run_and_the_childs_call() {
    let agent = Agent::start("tasks", &["work"], Speaks::A2a1, |_| Act::Hang).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow("metadata: {id: child, name: C, version: 1.0.0}\nsteps:\n  - {id: only, skill: work}\n").await;
    let run = world.start("steps:\n  - {id: inner, skill: execute_workflow, inputs: {workflow_id: child}}", json!({})).await;
    agent.until("the child's call", |seen| seen.calls.len() == 1).await;
    world.engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(world.end(&run).await.status, RunStatus::Canceled);
    agent.until("CancelTask", |seen| seen.canceled == ["task-1"]).await;
    let runs = world.engine.list(&Default::default()).await.unwrap();
    let child = runs.iter().find(|run| run.workflow == "child").unwrap();
    assert_eq!(world.end(&child.run).await.status, RunStatus::Canceled);
}
