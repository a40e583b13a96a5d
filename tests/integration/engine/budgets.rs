//! `limits:` of a workflow, one by one: time, calls, size of replies.

use std::time::Duration;

use gantry::engine::{Engine, Filter};
use gantry::interpreter::{ErrorClass, RunStatus};
use serde_json::{Value, json};

use super::agent::{A2A, Act, Agent, Call, Speaks};
use super::world::{World, failure, output, step};

#[tokio::test]
async fn the_deadline_of_a_run_ends_its_calls_its_retries_and_the_runs_below_it() {
    for speaks in A2A {
        let agent = Agent::start("slow", &["work"], speaks, |_| Act::Hang).await;
        let world = World::knowing(&[&agent]);
        world.push_workflow("metadata: {id: below, name: B, version: 1.0.0}\nsteps:\n  - {id: deep, skill: work}").await;
        let yaml = "
limits: {max_duration: 400ms}
steps:
  - id: both
    step_type: parallel
    branches:
      steps:
        - {id: own, skill: work, retry: {max_attempts: 5}, on_error: continue}
        - {id: sub, step_type: workflow, workflow: below, inputs: {}, on_error: continue}
";
        let ended = world.run(yaml, json!({})).await;
        let error = failure(&ended);
        assert_eq!(error.code, ErrorClass::Timeout, "{speaks:?}: no step's `on_error` covers it");
        assert!(error.message.contains("the run took longer than its limit of 400ms"), "{}", error.message);
        agent.until("both tasks canceled", |seen| seen.canceled.len() == 2).await;
        let children = Filter { workflow: Some("below".to_owned()), ..Filter::default() };
        let canceled = async {
            loop {
                let children = world.engine.list(&children).await.unwrap();
                if children.len() == 1 && children[0].status == RunStatus::Canceled {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(super::agent::PATIENCE, canceled).await.expect("the run below is canceled");
    }
}

#[tokio::test]
async fn calls_are_counted_over_steps_items_and_attempts() {
    let script = |call: &Call| if call.before.is_multiple_of(2) { Act::Fail("again".to_owned()) } else { Act::Reply(json!("ok")) };
    for (most, completed, calls) in [(6, true, 6), (5, false, 5), (1, false, 1)] {
        let agent = Agent::start("moody", &["work"], Speaks::Plain, script).await;
        let yaml = format!(
            "
limits: {{max_agent_calls: {most}}}
steps:
  - id: all
    step_type: map
    items: \"{{{{ [1, 2, 3] }}}}\"
    max_concurrency: 1
    steps: [{{id: one, skill: work, retry: {{max_attempts: 2, initial: 1ms, jitter: false}}}}]
"
        );
        let ended = World::knowing(&[&agent]).run(&yaml, json!({})).await;
        assert_eq!(ended.status == RunStatus::Completed, completed, "at most {most}");
        assert_eq!(agent.look(|seen| seen.calls.len()), calls, "at most {most}");
        if !completed {
            assert_eq!(failure(&ended).code, ErrorClass::Limit);
            assert!(failure(&ended).message.contains("`limits.max_agent_calls`"), "{}", failure(&ended).message);
        }
    }
}

#[tokio::test]
async fn a_reply_larger_than_the_workflow_allows_fails_its_step_and_is_not_kept() {
    // `"xxx"`: the quotes count as well.
    for speaks in [Speaks::Plain, Speaks::A2a1, Speaks::A2a03] {
        for (bytes, fits) in [(1024, true), (1025, false), (1 << 20, false)] {
            let text = "x".repeat(bytes - 2);
            let reply = json!(text);
            let agent = Agent::start("talks", &["work"], speaks, move |_| Act::Reply(reply.clone())).await;
            let world = World::knowing(&[&agent]);
            let yaml = "limits: {max_payload: 1KiB}\nsteps:\n  - {id: only, skill: work, retry: {max_attempts: 3, initial: 1ms}}";
            let run = world.start(yaml, json!({})).await;
            let ended = world.end(&run).await;
            assert_eq!(agent.look(|seen| seen.calls.len()), 1, "repeating it would give the same");
            if fits {
                assert_eq!(output(&ended), &Value::String(text), "{speaks:?}");
                continue;
            }
            let error = failure(&ended);
            assert_eq!((error.code, error.agent.as_deref()), (ErrorClass::TooLarge, Some("talks")), "{speaks:?}");
            assert!(
                error.message.contains(&format!("{bytes} bytes")) && error.message.contains("`limits.max_payload`"),
                "{}",
                error.message
            );
            assert_eq!(step(&ended, "only").attempts, 1);
            let kept: usize = world.journal.events(&run).await.unwrap().iter().map(|event| json!(event).to_string().len()).sum();
            assert!(kept < 4 * 1024, "{kept} bytes in the journal");
        }
    }
}

#[tokio::test]
async fn the_output_of_a_run_below_is_a_reply_as_well() {
    let agent = Agent::plain("talks", &["work"], |_| json!("x".repeat(5_000))).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow("metadata: {id: below, name: B, version: 1.0.0}\nsteps:\n  - {id: deep, skill: work}").await;
    let yaml = "limits: {max_payload: 1KiB}\nsteps:\n  - {id: sub, step_type: workflow, workflow: below, inputs: {}}";
    let ended = world.run(yaml, json!({})).await;
    assert_eq!(failure(&ended).code, ErrorClass::TooLarge);
}
