//! What a run and the runs below it may use together: steps, and the calls that an author allows; also after a restart.

use std::num::NonZeroU32;
use std::sync::Arc;

use gantry::agent::Client;
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Error, Filter, Start};
use gantry::ids::RunId;
use gantry::interpreter::{ErrorClass, Event, RunStatus, Snapshot};
use gantry::journal::{Journal, Sqlite};
use gantry::limits;
use serde_json::{Value, json};

use super::agent::{Act, Agent, Gate, Speaks};
use crate::journal::Handled;

use super::world::{World, client_options, end, failure, output, step};

fn engine(world: &World, steps_max: u64) -> Embedded {
    engine_of(world, Options { steps_max, ..Options::default() })
}

fn engine_of(world: &World, options: Options) -> Embedded {
    Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal))
}

async fn start(engine: &Embedded, world: &World, yaml: &str, input: Value) -> RunId {
    engine.start(Start::new(world.plan(yaml), Arc::new(input))).await.unwrap().run
}

async fn exhausted(world: &World, run: &RunId) -> usize {
    world.journal.events(run).await.unwrap().iter().filter(|event| matches!(event, Event::Exhausted { .. })).count()
}

fn is_too_many_steps(ended: &Snapshot, steps_max: u64) {
    let error = failure(ended);
    assert_eq!(error.code, ErrorClass::Limit, "{error:?}");
    for part in [format!("executed {steps_max} steps together"), "split the work".to_owned()] {
        assert!(error.message.contains(&part), "{part}: {}", error.message);
    }
}

/// Four steps: itself, and one for each of three items.
const THREE: &str = "metadata: {id: three, name: T, version: 1.0.0}
steps: [{id: all, step_type: map, items: \"{{ [1, 2, 3] }}\", steps: [{id: one, skill: work}]}]";

/// Calls `three` so often, one after the other: one step, and for each round a step and the four of `three`.
fn rounds(rounds: u64) -> String {
    format!(
        "steps: [{{id: again, step_type: loop, max_iterations: 1000, while: \"{{{{ iteration < {rounds} }}}}\",
           steps: [{{id: sub, step_type: workflow, workflow: three, on_error: continue}}]}}]"
    )
}

#[tokio::test]
async fn the_steps_of_all_runs_below_one_count_together() {
    let agent = Agent::plain("agent", &["work"], |_| json!(1)).await;
    for (steps_max, fits) in [(51, true), (50, false), (26, false)] {
        let world = World::knowing(&[&agent]);
        world.push_workflow(THREE).await;
        let engine = engine(&world, steps_max);
        let before = agent.look(|seen| seen.calls.len());
        let run = start(&engine, &world, &rounds(10), json!({})).await;
        let ended = end(&engine, &run).await;
        let calls = agent.look(|seen| seen.calls.len()) - before;
        if fits {
            assert_eq!((ended.status, calls), (RunStatus::Completed, 30));
            continue;
        }
        is_too_many_steps(&ended, steps_max);
        assert!(calls <= 30 && calls as u64 >= (steps_max - 1) / 5 * 3 - 3, "{calls} calls for {steps_max} steps");
        assert_eq!(exhausted(&world, &run).await, 1, "no `on_error` covers it");
        let replayed =
            Embedded::new(Options::default(), Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal));
        assert_eq!(replayed.snapshot(&run).await.unwrap(), engine.snapshot(&run).await.unwrap(), "the journal alone tells the same");
    }
}

#[tokio::test]
async fn runs_at_once_and_calls_by_a_template_share_the_steps_of_their_root() {
    let agent = Agent::plain("agent", &["work"], |_| json!(1)).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow(THREE).await;
    let yaml = "steps: [{id: all, step_type: map, items: \"{{ workflow.input }}\", on_error: continue, tolerate_failures: 100,
        steps: [{id: sub, skill: execute_workflow, inputs: {workflow_id: \"{{ item }}\"}}]}]
error_handling: {on_error: [{id: told, step_type: set, value: \"{{ run.error.message }}\"}]}";
    let engine = engine(&world, 101);
    let run = start(&engine, &world, yaml, json!(vec!["three"; 20])).await;
    assert_eq!(end(&engine, &run).await.status, RunStatus::Completed, "1 + 20 * 5");
    let run = start(&engine, &world, yaml, json!(vec!["three"; 64])).await;
    let ended = end(&engine, &run).await;
    is_too_many_steps(&ended, 101);
    assert!(step(&ended, "told").outputs.as_str().unwrap().contains("101 steps"), "handlers run");
    for child in engine.list(&Filter::default()).await.unwrap() {
        assert!(child.status.is_terminal() || end(&engine, &child.run).await.status.is_terminal());
    }
}

#[tokio::test]
async fn the_steps_before_a_restart_count() {
    let dir = tempfile::tempdir().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(Sqlite::open(dir.path()).unwrap());
    {
        for (steps_max, fits) in [(51, true), (50, false)] {
            let gate = Gate::new();
            let closed = gate.clone();
            let agent = Agent::start("agent", &["work"], Speaks::Plain, move |call| {
                // The middle of the eighth run below.
                if call.before == 22 { Act::Reply(json!(1)).behind(&closed) } else { Act::Reply(json!(1)) }
            })
            .await;
            let world = World::with(Arc::clone(&journal));
            world.meet(&[&agent]);
            world.push_workflow(THREE).await;
            let before = engine(&world, steps_max);
            let run = start(&before, &world, &rounds(10), json!({})).await;
            agent.until("the call", |seen| seen.calls.len() == 24).await;
            // What was done is in the journal; what comes of the call is not.
            before.shutdown(std::time::Duration::from_millis(1)).await;
            gate.open();
            let after = engine(&world, steps_max);
            assert!(after.recover().await.unwrap().stuck.is_empty());
            let ended = end(&after, &run).await;
            if fits {
                assert_eq!(ended.status, RunStatus::Completed, "nothing is counted twice: {ended:#?}");
            } else {
                is_too_many_steps(&ended, steps_max);
            }
        }
    }
}

#[tokio::test]
async fn many_runs_below_one_that_go_on_after_a_restart_read_their_tree_a_few_times_together() {
    const RUNS: usize = 40;
    let yaml = format!(
        "steps: [{{id: all, step_type: map, items: \"{{{{ workflow.input }}}}\", max_concurrency: {RUNS},
           steps: [{{id: sub, step_type: workflow, workflow: one}}]}}]"
    );
    // The map, the step that starts each, and the step of each.
    let steps = 1 + 2 * RUNS as u64;
    for steps_max in [steps, steps - 1] {
        let gate = Gate::new();
        let closed = gate.clone();
        let agent = Agent::start("agent", &["work"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
        let dir = tempfile::tempdir().unwrap();
        let journal = Handled::new(Arc::new(Sqlite::open(dir.path()).unwrap()), |_, _, _| Box::pin(async { Ok(()) }));
        let world = World::with(Arc::clone(&journal) as Arc<dyn Journal>);
        world.meet(&[&agent]);
        world.push_workflow("metadata: {id: one, name: O, version: 1.0.0}\nsteps: [{id: only, skill: work}]").await;
        let before = engine(&world, 1_000);
        let run = start(&before, &world, &yaml, json!(vec![0; RUNS])).await;
        agent.until("their calls", |seen| seen.calls.len() == RUNS).await;
        before.shutdown(std::time::Duration::from_millis(1)).await;
        let (read, after) = (journal.trees_read(), engine(&world, steps_max));
        assert!(after.recover().await.unwrap().stuck.is_empty());
        if steps_max == steps {
            agent.until("their calls again", |seen| seen.calls.len() == 2 * RUNS).await;
            let read = journal.trees_read() - read;
            assert!(read < 8, "{read} times for {RUNS} runs");
        }
        gate.open();
        let ended = end(&after, &run).await;
        if steps_max == steps {
            assert_eq!(ended.status, RunStatus::Completed, "nothing is counted twice: {ended:#?}");
        } else {
            is_too_many_steps(&ended, steps_max);
        }
    }
}

#[tokio::test]
async fn a_run_that_rests_keeps_its_count_and_so_do_those_around_it() {
    for restart in [false, true] {
        for (steps_max, fits) in [(13, true), (12, false)] {
            let agent = Agent::plain("agent", &["work"], |_| json!(1)).await;
            let dir = tempfile::tempdir().unwrap();
            let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
            world.meet(&[&agent]);
            world.push_workflow(THREE).await;
            world.push_workflow("metadata: {id: asks, name: A, version: 1.0.0}\nsteps: [{id: first, step_type: workflow, workflow: three}, {id: ask, step_type: input, prompt: well}]").await;
            // 2 + (2 + 4) + 1 + 4 = 13 with its own.
            let yaml = "steps: [{id: sub, step_type: workflow, workflow: asks}, {id: last, step_type: set, value: done},
                {id: more, step_type: workflow, workflow: three}]
output: \"{{ steps.last.outputs }}\"";
            let options = || Options { steps_max, rest_after: std::time::Duration::from_millis(20), ..Options::default() };
            let make = || Embedded::new(options(), Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal));
            let mut engine = make();
            let run = start(&engine, &world, yaml, json!({})).await;
            let rests = async {
                while engine.counts().resting < 2 {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(super::agent::PATIENCE, rests).await.expect("both rest");
            if restart {
                engine.shutdown(std::time::Duration::from_millis(1)).await;
                engine = make();
                engine.recover().await.unwrap();
            }
            engine.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
            let ended = end(&engine, &run).await;
            if fits {
                assert_eq!(output(&ended), &json!("done"), "restart: {restart}");
            } else {
                is_too_many_steps(&ended, steps_max);
            }
        }
    }
}

#[tokio::test]
async fn the_calls_of_runs_below_count_for_the_author_above() {
    let agent = Agent::plain("agent", &["work"], |_| json!(1)).await;
    // Of each round one call runs the workflow, and three are of its own.
    for (most, made, completed) in [(12, 9, true), (11, 8, false), (5, 3, false), (2, 1, false)] {
        let world = World::knowing(&[&agent]);
        world.push_workflow(&THREE.replace("steps: [{id: one", "max_concurrency: 1, steps: [{id: one")).await;
        let yaml = rounds(3).replace(", on_error: continue", "");
        let before = agent.look(|seen| seen.calls.len());
        let ended = world.run(&format!("limits: {{max_agent_calls: {most}}}\n{yaml}"), json!({})).await;
        assert_eq!(agent.look(|seen| seen.calls.len()) - before, made, "at most {most}");
        assert_eq!(ended.status == RunStatus::Completed, completed, "at most {most}");
        if !completed {
            let error = failure(&ended);
            assert_eq!(error.code, ErrorClass::Limit);
            assert!(error.message.contains(&format!("at most {most} calls to agents (`limits.max_agent_calls`)")), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn the_calls_before_a_restart_count_once() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("agent", &["work"], Speaks::Plain, move |call| {
        if call.before == 4 { Act::Reply(json!(1)).behind(&closed) } else { Act::Reply(json!(1)) }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    world.meet(&[&agent]);
    world.push_workflow(&THREE.replace("steps: [{id: one", "max_concurrency: 1, steps: [{id: one")).await;
    let yaml = format!("limits: {{max_agent_calls: 11}}\n{}", rounds(3).replace(", on_error: continue", ""));
    let before = engine(&world, 1_000);
    let run = start(&before, &world, &yaml, json!({})).await;
    agent.until("the fifth call", |seen| seen.calls.len() == 5).await;
    before.shutdown(std::time::Duration::from_millis(1)).await;
    gate.open();
    let after = engine(&world, 1_000);
    after.recover().await.unwrap();
    let ended = end(&after, &run).await;
    assert_eq!(failure(&ended).code, ErrorClass::Limit);
    let keys = agent.look(|seen| seen.message_ids("work"));
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!((keys.len(), distinct.len()), (9, 8), "eight, of which one was made again with its key");
}

#[tokio::test]
async fn a_tree_that_has_used_its_steps_starts_nothing_more() {
    let agent = Agent::plain("agent", &["work"], |_| json!(1)).await;
    let world = World::knowing(&[&agent]);
    world.push_workflow(THREE).await;
    let engine = engine(&world, 3);
    let run = start(
        &engine,
        &world,
        "steps: [{id: a, step_type: set, value: 1}, {id: b, step_type: set, value: 1}, {id: sub, step_type: workflow, workflow: three}]",
        json!({}),
    )
    .await;
    let error = failure(&end(&engine, &run).await).clone();
    assert_eq!(error.code, ErrorClass::Limit);
    assert!(error.message.contains("three") && error.message.contains("3 steps"), "{}", error.message);
    assert_eq!(engine.list(&Filter::default()).await.unwrap().len(), 1);
    let other = start(&engine, &world, "steps: []", json!({})).await;
    assert_eq!(end(&engine, &other).await.status, RunStatus::Completed, "another tree has its own");
    let refused = engine.retry(&run, Default::default()).await;
    assert!(!matches!(refused, Err(Error::Limit(_))), "a retry begins a new count");
}

/// Asks, starts a run below that calls an agent, and does a lot: all of it follows from its start.
const LONG: &str = "limits: {max_agent_calls: 2}
steps:
  - id: all
    step_type: parallel
    branches:
      asks: [{id: ask, step_type: input, prompt: well?}]
      works: [{id: many, step_type: map, items: \"{{ workflow.input }}\", steps: [{id: one, step_type: set, value: 1}]},
              {id: sub, step_type: workflow, workflow: single}]";

#[tokio::test]
async fn the_parts_of_a_long_start_that_were_counted_before_a_restart_are_not_counted_again() {
    let items = limits::TRANSITION_PART * 4;
    // `all`, `ask`, `many` and its items, `sub`, and the one step below.
    let steps = items as u64 + 5;
    for (steps_max, fits) in [(steps, true), (steps - 1, false)] {
        let gate = Gate::new();
        let closed = gate.clone();
        let agent = Agent::start("agent", &["work"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
        let dir = tempfile::tempdir().unwrap();
        let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
        world.meet(&[&agent]);
        world.push_workflow("metadata: {id: single, name: S, version: 1.0.0}\nsteps: [{id: call, skill: work}]").await;
        // All of it follows from the one event.
        let before = engine_of(&world, Options { steps_max: steps, event_work: NonZeroU32::MAX, ..Options::default() });
        let run = start(&before, &world, LONG, (0..items).collect()).await;
        agent.until("the call below", |seen| seen.in_flight == 1).await;
        before.shutdown(std::time::Duration::from_millis(1)).await;
        assert_eq!(world.journal.events(&run).await.unwrap().len(), 1, "nothing but the start");
        let used = world.journal.members(&run).await.unwrap().into_iter().find(|member| member.run == run).unwrap().used;
        assert_eq!((used.steps, used.calls), (steps - 1, 1), "the journal knows all of what followed from it");

        gate.open();
        let after = engine(&world, steps_max);
        assert!(after.recover().await.unwrap().stuck.is_empty());
        if fits {
            agent.until("the call made again", |seen| seen.calls.len() == 2).await;
            after.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
        }
        let ended = end(&after, &run).await;
        if fits {
            assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.outcome);
        } else {
            is_too_many_steps(&ended, steps_max);
        }
    }
}

#[tokio::test]
async fn a_retry_counts_what_it_keeps_once() {
    // `kept` and `sub`, which the run has from the one before, and `last`.
    for (steps_max, fits) in [(3, true), (2, false)] {
        let agent = Agent::start("agent", &["work", "moody"], Speaks::Plain, |call| match call.skill.as_str() {
            "moody" if call.before == 0 => Act::Fail("not in the mood".to_owned()),
            _ => Act::Reply(json!(1)),
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
        world.meet(&[&agent]);
        world.push_workflow(THREE).await;
        let yaml = "limits: {max_agent_calls: 5}
steps: [{id: kept, step_type: set, value: 1}, {id: sub, step_type: workflow, workflow: three}, {id: last, skill: moody, retry: {max_attempts: 1}}]";
        let first = engine(&world, 1_000);
        let failed = start(&first, &world, yaml, json!({})).await;
        assert_eq!(failure(&end(&first, &failed).await).code, ErrorClass::AgentError);
        let second = engine(&world, steps_max);
        let run = second.retry(&failed, Default::default()).await.unwrap().run;
        let ended = end(&second, &run).await;
        if fits {
            assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.outcome);
        } else {
            is_too_many_steps(&ended, steps_max);
        }
        assert_eq!(agent.look(|seen| seen.of("work").len()), 3, "what the run below did is not done again");
    }
}
