//! Agents that are away: when they are left alone, what their callers see meanwhile, and how it ends.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use gantry::agent::{BreakerOptions, Circuit, GateOptions};
use gantry::engine::embedded::CallOptions;
use gantry::engine::{Engine, Start};
use gantry::interpreter::{ErrorClass, Event, RunStatus};
use serde_json::json;
use tokio::time::Instant;

use super::agent::{Act, Agent, Call, Speaks};
use super::world::{World, end, failure, output, step};

const ONCE: &str = "steps:\n  - {id: only, skill: work, timeout: 5s}";

fn away() -> Act {
    Act::Http(503, Vec::new(), String::new())
}

fn opening_after(failures: u32, pause: Duration) -> CallOptions {
    let breaker = BreakerOptions { failures: NonZeroU32::new(failures).unwrap(), pause, ..BreakerOptions::default() };
    CallOptions { gates: GateOptions { breaker, ..GateOptions::default() }, ..CallOptions::default() }
}

#[tokio::test]
async fn an_agent_that_is_away_is_left_alone_and_the_error_says_so() {
    for speaks in [Speaks::Plain, Speaks::A2a1, Speaks::A2a03] {
        let agent = Agent::start("tired", &["work"], speaks, |_| away()).await;
        let world = World::calling(opening_after(3, Duration::from_secs(30)), &[&agent]);
        for _ in 0..3 {
            assert!(failure(&world.run(ONCE, json!({})).await).message.contains("503"), "{speaks:?}");
        }
        let run = world.start(ONCE, json!({})).await;
        let ended = world.end(&run).await;
        assert_eq!(agent.look(|seen| seen.calls.len()), 3, "{speaks:?}");
        let error = failure(&ended);
        assert_eq!((error.code, error.agent.as_deref()), (ErrorClass::Unavailable, Some("tired")), "{error:?}");
        for part in ["`tired`", "`work`", "it is not called before 2", "after 3 failures in a row; the last: HTTP 503"] {
            assert!(error.message.contains(part), "{speaks:?}: `{}` has no `{part}`", error.message);
        }
        let wait = error.retry_after_ms.unwrap();
        assert!((29_000..=34_000).contains(&wait), "{wait}");
        // It stands in the journal as the attempt's own failure, with the agent that was meant.
        let events = world.journal.events(&run).await.unwrap();
        assert!(
            matches!(&events[1], Event::Failed { by: Some(by), error, .. } if by.name == "tired" && error.retry_after_ms == Some(wait))
        );
        let [status] = &world.engine.agents()[..] else { panic!("{:?}", world.engine.agents()) };
        assert_eq!((status.agent.as_str(), status.circuit, status.failures_in_a_row), ("tired", Circuit::Open, 3));
        assert!(status.address.starts_with("http://127.0.0.1:") && status.wait_ms.is_some_and(|wait| wait <= 30_000));
        assert_eq!((status.in_flight, status.waiting), (0, 0));
    }
}

#[tokio::test]
async fn a_steps_retry_policy_waits_for_the_agent_to_be_back() {
    let script = |call: &Call| if call.before < 3 { away() } else { Act::Reply(json!("back")) };
    let agent = Agent::start("tired", &["work"], Speaks::Plain, script).await;
    let world = World::calling(opening_after(3, Duration::from_millis(400)), &[&agent]);
    for _ in 0..3 {
        world.run(ONCE, json!({})).await;
    }
    // The policy's own delay is far shorter than the pause: without the hint four attempts would be over before it is.
    let yaml = "steps:\n  - {id: only, skill: work, retry: {max_attempts: 4, initial: 10ms, factor: 1, jitter: false}}";
    let ended = world.run(yaml, json!({})).await;
    assert_eq!((output(&ended), step(&ended, "only").attempts), (&json!("back"), 2));
    assert_eq!(agent.look(|seen| seen.calls.len()), 4, "three failures and one probe");
    assert_eq!(world.engine.agents()[0].circuit, Circuit::Closed);
}

#[tokio::test]
async fn what_an_agent_says_in_the_words_of_its_protocol_never_opens_its_circuit() {
    let json_type = || vec![("content-type", "application/json".to_owned())];
    let said = json!({"jsonrpc": "2.0", "error": {"code": -1, "message": "no flour"}}).to_string();
    let acts = [
        Act::Fail("no flour".to_owned()),
        Act::Http(500, json_type(), said.clone()),
        Act::Http(400, json_type(), said),
        Act::Http(200, json_type(), "{".to_owned()),
        Act::Http(307, vec![("location", "http://elsewhere".to_owned())], String::new()),
    ];
    for act in acts {
        let agent = Agent::start("picky", &["work"], Speaks::Plain, move |_| act.clone()).await;
        let world = World::calling(opening_after(2, Duration::from_secs(30)), &[&agent]);
        for n in 1..=6 {
            world.run(ONCE, json!({})).await;
            assert_eq!(agent.look(|seen| seen.calls.len()), n);
        }
        assert_eq!(world.engine.agents()[0].circuit, Circuit::Closed);
    }
}

#[tokio::test]
async fn a_call_that_is_canceled_or_a_task_at_work_says_nothing_against_its_agent() {
    let agent = Agent::start("slow", &["work"], Speaks::A2a1, |_| Act::Hang).await;
    let world = World::calling(opening_after(1, Duration::from_secs(30)), &[&agent]);
    // Its task is known, so it is there: only this step has no time for it.
    let yaml = "steps:\n  - {id: only, skill: work, timeout: 300ms}";
    assert_eq!(failure(&world.run(yaml, json!({})).await).code, ErrorClass::Timeout);
    let run = world.start(ONCE, json!({})).await;
    agent.until("the second call", |seen| seen.calls.len() == 2).await;
    world.engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(world.end(&run).await.status, RunStatus::Canceled);
    assert_eq!(world.engine.agents()[0].circuit, Circuit::Closed);
    // One that takes the call and says nothing at all is away.
    let silent = Agent::start("silent", &["listen"], Speaks::Plain, |_| Act::Hang).await;
    world.meet(&[&silent]);
    let yaml = "steps:\n  - {id: only, skill: listen, timeout: 200ms}";
    assert_eq!(failure(&world.run(yaml, json!({})).await).code, ErrorClass::Timeout);
    let silent = world.engine.agents().into_iter().find(|status| status.agent == "silent").unwrap();
    assert_eq!(silent.circuit, Circuit::Open);
}

#[tokio::test]
async fn without_the_breaker_every_call_is_made() {
    let agent = Agent::start("tired", &["work"], Speaks::Plain, |_| away()).await;
    let mut calls = opening_after(1, Duration::from_secs(30));
    calls.gates.breaker.enabled = false;
    let world = World::calling(calls, &[&agent]);
    for _ in 0..10 {
        world.run(ONCE, json!({})).await;
    }
    assert_eq!(agent.look(|seen| seen.calls.len()), 10);
}

/// An agent is away for a minute of the clock that tokio moves, and a thousand runs want it.
#[tokio::test(start_paused = true)]
async fn a_thousand_runs_do_not_storm_an_agent_that_is_away_and_all_complete() {
    const RUNS: usize = 1_000;
    const AWAY: Duration = Duration::from_secs(60);
    const PLACES: usize = 32;
    let began = Instant::now();
    let script = move |_: &Call| if began.elapsed() < AWAY { away() } else { Act::Reply(json!(began.elapsed().as_secs())) };
    let agent = Agent::start("tired", &["work"], Speaks::Plain, script).await;
    let mut calls = CallOptions::default();
    calls.gates.calls_per_agent_max = NonZeroUsize::new(PLACES).unwrap();
    let world = World::calling(calls, &[&agent]);
    let plan = world.plan("steps:\n  - {id: only, skill: work, timeout: 1h, retry: {max_attempts: 100, initial: 1s, max: 10s}}");
    let mut runs = Vec::new();
    for n in 0..RUNS {
        runs.push(world.engine.start(Start::new(plan.clone(), std::sync::Arc::new(json!({"n": n})))).await.unwrap().run);
    }
    let watching = async {
        while began.elapsed() < AWAY {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let [status] = &world.engine.agents()[..] else { panic!("one agent") };
            // From the first second on, but for the moment in which a probe is due or under way.
            assert_ne!(status.circuit, Circuit::Closed, "after {:?}", began.elapsed());
        }
        agent.look(|seen| seen.calls.len())
    };
    let while_away = watching.await;
    // As many as fit before the first failure is known, the failures that open it, a probe after each of five growing pauses.
    let budget = PLACES + 5 + 6;
    assert!(while_away <= 2 * budget, "{while_away} calls to an agent that is away");
    assert!(agent.look(|seen| seen.high_water) <= PLACES);
    let mut attempts = 0;
    for run in &runs {
        let ended = end(&world.engine, run).await;
        assert_eq!(ended.status, RunStatus::Completed, "{ended:#?}");
        attempts += step(&ended, "only").attempts as usize;
    }
    assert!(began.elapsed() < Duration::from_secs(150), "the last was through {:?} after the beginning", began.elapsed());
    assert_eq!(agent.look(|seen| seen.calls.len()), while_away + RUNS, "and nobody is called twice after it is back");
    assert!(attempts < 40 * RUNS, "{attempts} attempts, and all but {while_away} of the failed ones reached nobody");
}
