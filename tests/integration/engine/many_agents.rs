//! Several agents for one skill: which is chosen, who is asked next, and when nobody else may be.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use gantry::agent::Circuit;
use gantry::engine::Engine;
use gantry::engine::embedded::{CallOptions, Choice};
use gantry::interpreter::{ErrorClass, Event, RunStatus, Snapshot};
use serde_json::json;

use super::agent::{Act, Agent, Call, Gate, Speaks};
use super::world::{World, failure, output, step};

const ONCE: &str = "steps:\n  - {id: only, skill: work, timeout: 2s}";
const TWICE: &str = "steps:\n  - {id: only, skill: work, timeout: 500ms, retry: {max_attempts: 2, initial: 10ms, jitter: false}}";

fn choosing(choice: Choice) -> CallOptions {
    CallOptions { choice, ..CallOptions::default() }
}

async fn named(name: &'static str) -> Agent {
    Agent::plain(name, &["work"], move |_| json!(name)).await
}

fn http(status: u16) -> Act {
    Act::Http(status, Vec::new(), String::new())
}

/// Who did the step, and why.
fn reason(snapshot: &Snapshot) -> String {
    step(snapshot, "only").agent.as_ref().unwrap().reason.clone()
}

#[tokio::test]
async fn an_attempt_goes_on_to_the_next_agent_when_the_first_surely_began_nothing() {
    for (what, act, said) in [
        ("turned away", Some(http(503)), "after `a`: HTTP 503 Service Unavailable"),
        ("too many", Some(http(429)), "after `a`: HTTP 429 Too Many Requests"),
        ("gone", None, "after `a`: cannot connect"),
    ] {
        for speaks in [Speaks::Plain, Speaks::A2a1, Speaks::A2a03] {
            let gone = act.is_none();
            let act = act.clone().unwrap_or(Act::Hang);
            let (a, b, c) = (Agent::start("a", &["work"], speaks, move |_| act.clone()).await, named("b").await, named("c").await);
            let world = World::calling(CallOptions::default(), &[&a, &b, &c]);
            if gone {
                drop(a);
            }
            let run = world.start(ONCE, json!({})).await;
            let ended = world.end(&run).await;
            assert_eq!((output(&ended), step(&ended, "only").attempts), (&json!("b"), 1), "{what} {speaks:?}");
            assert!(
                reason(&ended).starts_with("number 2 of 3 cards given by hand; ") && reason(&ended).contains(said),
                "{}",
                reason(&ended)
            );
            // The same attempt has the same key, whoever gets it.
            assert_eq!(b.look(|seen| seen.message_ids("work")), [format!("{run}/0:only#1")]);
            assert_eq!(c.look(|seen| seen.calls.len()), 0);
        }
    }
}

#[tokio::test]
async fn one_that_is_left_alone_is_passed_over_without_a_call_and_comes_back() {
    let gate = Gate::new();
    let closed = gate.clone();
    let script = move |_: &Call| if closed.is_open() { Act::Reply(json!("a")) } else { http(503) };
    let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, script).await, named("b").await);
    let mut calls = CallOptions::default();
    calls.gates.breaker.failures = NonZeroU32::new(2).unwrap();
    calls.gates.breaker.pause = Duration::from_millis(300);
    let world = World::calling(calls, &[&a, &b]);
    for _ in 0..2 {
        world.run(ONCE, json!({})).await;
    }
    let ended = world.run(ONCE, json!({})).await;
    assert_eq!((output(&ended), a.look(|seen| seen.calls.len())), (&json!("b"), 2));
    assert_eq!(reason(&ended), "number 2 of 2 cards given by hand; `a` is left alone");
    gate.open();
    tokio::time::sleep(Duration::from_millis(350)).await;
    let ended = world.run(ONCE, json!({})).await;
    assert_eq!((output(&ended), reason(&ended).as_str()), (&json!("a"), "first of 2 cards given by hand"), "the probe");
    assert!(world.engine.agents().iter().all(|status| status.circuit == Circuit::Closed));
}

#[tokio::test]
async fn what_may_have_begun_goes_to_another_agent_only_by_the_steps_own_retry() {
    let page = || vec![("content-type", "text/html".to_owned())];
    for (what, act) in [("a gateway's 502", Act::Http(502, page(), "<html>".to_owned())), ("no answer in time", Act::Hang)] {
        let again = act.clone();
        let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, move |_| again.clone()).await, named("b").await);
        let world = World::calling(CallOptions::default(), &[&a, &b]);
        let ended = world.run(&ONCE.replace("2s", "300ms"), json!({})).await;
        assert_eq!(failure(&ended).agent.as_deref(), Some("a"), "{what}");
        assert_eq!(b.look(|seen| seen.calls.len()), 0, "{what}");
        let ended = world.run(TWICE, json!({})).await;
        assert_eq!((output(&ended), step(&ended, "only").attempts), (&json!("b"), 2), "{what}");
        assert_eq!(reason(&ended), "number 2 of 2 cards given by hand; `a` failed the attempt before", "{what}");
    }
    // One that says itself that it failed is asked again: it is there.
    let script = |call: &Call| if call.before == 0 { Act::Fail("not yet".to_owned()) } else { Act::Reply(json!("a")) };
    let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, script).await, named("b").await);
    assert_eq!(output(&World::calling(CallOptions::default(), &[&a, &b]).run(TWICE, json!({})).await), &json!("a"));
    assert_eq!(b.look(|seen| seen.calls.len()), 0);
}

#[tokio::test]
async fn a_task_that_was_made_is_never_taken_for_nothing_begun() {
    // The task is made; every look at it after that is turned away.
    let script = |_: &Call| Act::Hang;
    let (a, b) = (Agent::start("a", &["work"], Speaks::A2a1, script).await, named("b").await);
    let world = World::calling(CallOptions::default(), &[&a, &b]);
    let run = world.start("steps:\n  - {id: only, skill: work, timeout: 60s}", json!({})).await;
    a.until("a task", |seen| seen.calls.len() == 1).await;
    drop(a);
    let ended = world.end(&run).await;
    assert_eq!(failure(&ended).code, ErrorClass::Unavailable, "{:?}", failure(&ended));
    assert!(failure(&ended).message.contains("cannot connect"), "{:?}", failure(&ended));
    assert_eq!(b.look(|seen| seen.calls.len()), 0);
}

#[tokio::test]
async fn a_pinned_step_goes_to_its_agent_or_fails() {
    let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, |_| http(503)).await, named("b").await);
    for choice in [Choice::First, Choice::RoundRobin, Choice::LeastBusy] {
        let world = World::calling(choosing(choice), &[&a, &b]);
        let ended = world.run(&TWICE.replace("skill: work,", "skill: work, agent: a,"), json!({})).await;
        assert_eq!((failure(&ended).agent.as_deref(), step(&ended, "only").attempts), (Some("a"), 2), "{choice:?}");
        assert!(reason(&ended).starts_with("pinned to `a`"), "{}", reason(&ended));
    }
    assert_eq!(b.look(|seen| seen.calls.len()), 0);
}

#[tokio::test]
async fn nobody_left_says_what_everybody_said() {
    let (a, b, c) = (
        Agent::start("a", &["work"], Speaks::Plain, |_| http(503)).await,
        Agent::start("b", &["work"], Speaks::Plain, |_| http(429)).await,
        Agent::start("c", &["work"], Speaks::Plain, |_| Act::Http(503, vec![("retry-after", "7".to_owned())], String::new())).await,
    );
    let world = World::calling(CallOptions::default(), &[&a, &b, &c]);
    let ended = world.run(ONCE, json!({})).await;
    let error = failure(&ended);
    assert_eq!((error.code, error.agent.as_deref(), error.retry_after_ms), (ErrorClass::Unavailable, Some("c"), None));
    for part in ["agent `c` failed", "before it `a`: HTTP 503", "before it `b`: HTTP 429"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
    assert_eq!([&a, &b, &c].map(|agent| agent.look(|seen| seen.calls.len())), [1, 1, 1]);
}

#[tokio::test]
async fn failover_can_be_turned_off() {
    let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, |_| http(503)).await, named("b").await);
    let world = World::calling(CallOptions { failover: false, ..CallOptions::default() }, &[&a, &b]);
    for _ in 0..2 {
        assert_eq!(failure(&world.run(TWICE, json!({})).await).agent.as_deref(), Some("a"));
    }
    assert_eq!(b.look(|seen| seen.calls.len()), 0);
}

#[tokio::test]
async fn by_turn_everybody_gets_as_much_also_with_skills_in_between() {
    let agents = [named("a").await, named("b").await, named("c").await];
    let other = Agent::plain("other", &["rest"], |_| json!(null)).await;
    let world = World::calling(choosing(Choice::RoundRobin), &[&agents[0], &agents[1], &agents[2], &other]);
    let mut order = Vec::new();
    for _ in 0..9 {
        let ended = world.run("steps:\n  - {id: rest, skill: rest}\n  - {id: only, skill: work}", json!({})).await;
        order.push(output(&ended).as_str().unwrap().to_owned());
        let why = reason(&ended);
        assert!(why.starts_with("by turn, ") && why.contains("of 3 cards given by hand"), "{why}");
    }
    assert_eq!(order, ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
    assert_eq!(agents.each_ref().map(|agent| agent.look(|seen| seen.calls.len())), [3, 3, 3]);
}

#[tokio::test]
async fn the_least_busy_is_chosen() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = async |name: &'static str| {
        let gate = closed.clone();
        let script = move |call: &Call| {
            let reply = Act::Reply(json!(name));
            if call.inputs["slow"] == json!(true) { reply.behind(&gate) } else { reply }
        };
        Agent::start(name, &["work"], Speaks::Plain, script).await
    };
    let (a, b) = (agent("a").await, agent("b").await);
    let world = World::calling(choosing(Choice::LeastBusy), &[&a, &b]);
    let slow = "steps:\n  - {id: only, skill: work, inputs: {slow: true}}";
    let first = world.start(slow, json!({})).await;
    a.until("the slow call", |seen| seen.in_flight == 1).await;
    for _ in 0..5 {
        let ended = world.run(ONCE, json!({})).await;
        assert_eq!(output(&ended), &json!("b"));
        assert_eq!(reason(&ended), "least busy (0 calls), number 2 of 2 cards given by hand");
    }
    let second = world.start(slow, json!({})).await;
    b.until("the other slow call", |seen| seen.in_flight == 1).await;
    let loads: BTreeMap<_, _> = world.engine.agents().into_iter().map(|status| (status.agent, status.in_flight)).collect();
    assert_eq!(loads, [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
    gate.open();
    for run in [first, second] {
        assert_eq!(world.end(&run).await.status, RunStatus::Completed);
    }
    assert!(world.engine.agents().iter().all(|status| status.in_flight == 0));
}

#[tokio::test]
async fn the_answer_to_a_question_goes_to_who_asked_and_to_nobody_else() {
    let asks = |call: &Call| if call.task_id.is_none() { Act::Ask(json!("which?")) } else { Act::Reply(json!("answered")) };
    let gate = Gate::new();
    let closed = gate.clone();
    let first = move |_: &Call| if closed.is_open() { Act::Reply(json!("a")) } else { http(503) };
    let (a, b) = (Agent::start("a", &["work"], Speaks::A2a1, first).await, Agent::start("b", &["work"], Speaks::A2a1, asks).await);
    let world = World::calling(choosing(Choice::RoundRobin), &[&a, &b]);
    let run = world.start(ONCE, json!({})).await;
    world.until(&run, "a question", |now| now.status == RunStatus::InputRequired).await;
    // By now the first is back, and it would be its turn.
    gate.open();
    world.engine.answer(&run, None, json!("red").into()).await.unwrap();
    assert_eq!(output(&world.end(&run).await), &json!("answered"));
    // One that is gone when the answer comes fails the step: nobody else knows its task.
    let run = loop {
        let run = world.start(ONCE, json!({})).await;
        let now = world.until(&run, "a question or the end", |now| now.status != RunStatus::Running).await;
        if now.status == RunStatus::InputRequired {
            break run;
        }
    };
    let before = a.look(|seen| seen.calls.len());
    drop(b);
    world.engine.answer(&run, None, json!("red").into()).await.unwrap();
    let ended = world.end(&run).await;
    assert_eq!((failure(&ended).code, failure(&ended).agent.as_deref()), (ErrorClass::Unavailable, Some("b")));
    assert_eq!(a.look(|seen| seen.calls.len()), before);
}

#[tokio::test]
async fn agents_of_the_registry_take_over_as_well_and_the_journal_names_their_cards() {
    let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, |_| http(503)).await, named("b").await);
    let world = World::calling(CallOptions::default(), &[]);
    for agent in [&a, &b] {
        world.discovery.push_card(agent.card_text().into(), None, &["v1".to_owned()]).await.unwrap();
    }
    let run = world.start(ONCE, json!({})).await;
    assert_eq!(output(&world.end(&run).await), &json!("b"));
    let events = world.journal.events(&run).await.unwrap();
    let Event::Replied { by: Some(by), .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((by.name.as_str(), by.card.is_some()), ("b", true));
    assert_eq!(by.reason, "number 2 of 2 by name; after `a`: HTTP 503 Service Unavailable");
}

/// More agents than one attempt goes to.
#[tokio::test]
async fn an_attempt_goes_to_so_many_agents_and_no_further() {
    let mut agents = Vec::new();
    for n in 0..gantry::limits::FAILOVER_AGENTS_MAX + 4 {
        agents.push(Agent::start(&format!("agent-{n:02}"), &["work"], Speaks::Plain, |_| http(503)).await);
    }
    let world = World::calling(CallOptions::default(), &agents.iter().collect::<Vec<_>>());
    let ended = world.run(ONCE, json!({})).await;
    assert_eq!(failure(&ended).code, ErrorClass::Unavailable);
    let calls: usize = agents.iter().map(|agent| agent.look(|seen| seen.calls.len())).sum();
    assert_eq!(calls, gantry::limits::FAILOVER_AGENTS_MAX);
    // The last one's words, and what the first ones said.
    let before = ["agent-00", "agent-01", "agent-02"].map(|agent| format!("; before it `{agent}`: HTTP 503 Service Unavailable"));
    assert_eq!(
        failure(&ended).message,
        format!("agent `agent-07` failed at skill `work`: HTTP 503 Service Unavailable{}", before.concat())
    );
}

/// However many agents it went to, an attempt is one of those that the workflow allows.
#[tokio::test]
async fn an_attempt_counts_once_however_many_agents_it_went_to() {
    const STEP: &str = "skill: work, timeout: 2s";
    for (steps, calls_max, completed) in [(1, 1, true), (2, 1, false), (2, 2, true)] {
        let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, |_| http(503)).await, named("b").await);
        let world = World::calling(CallOptions::default(), &[&a, &b]);
        let steps: String = (1..=steps).map(|n| format!("  - {{id: s{n}, {STEP}}}\n")).collect();
        let ended = world.run(&format!("limits: {{max_agent_calls: {calls_max}}}\nsteps:\n{steps}"), json!({})).await;
        assert_eq!(ended.status == RunStatus::Completed, completed, "{steps}");
        assert_eq!([&a, &b].map(|agent| agent.look(|seen| seen.calls.len())), [calls_max, calls_max], "{steps}");
        if !completed {
            let error = failure(&ended);
            assert_eq!((error.code, error.step.as_deref()), (ErrorClass::Limit, Some("s2")), "{error}");
        }
        let first = step(&ended, "s1");
        assert_eq!((first.attempts, &*first.outputs), (1, &json!("b")));
    }
}

/// The run above has made one attempt: the step that started the run below. Both ran out with the attempt that went to two agents.
#[tokio::test]
async fn an_attempt_below_counts_once_for_the_run_above_too() {
    for (calls_max, completed) in [(2, true), (1, false)] {
        let (a, b) = (Agent::start("a", &["work"], Speaks::Plain, |_| http(503)).await, named("b").await);
        let world = World::calling(CallOptions::default(), &[&a, &b]);
        world.push_workflow("metadata: {id: below, name: B, version: 1.0.0}\nsteps:\n  - {id: deep, skill: work, timeout: 2s}").await;
        let above = "steps:\n  - {id: sub, step_type: workflow, workflow: below, inputs: {}}";
        let ended = world.run(&format!("limits: {{max_agent_calls: {calls_max}}}\n{above}"), json!({})).await;
        assert_eq!(ended.status == RunStatus::Completed, completed, "at most {calls_max}");
        if !completed {
            assert_eq!(failure(&ended).code, ErrorClass::Limit);
        }
    }
}

#[tokio::test]
async fn a_reason_names_the_first_of_those_that_were_passed_over() {
    let mut agents = Vec::new();
    for name in ["a", "b", "c", "d"] {
        agents.push(Agent::start(name, &["work"], Speaks::Plain, |_| http(503)).await);
    }
    agents.push(named("e").await);
    let mut calls = CallOptions::default();
    calls.gates.breaker.failures = NonZeroU32::new(1).unwrap();
    calls.gates.breaker.pause = Duration::from_secs(60);
    let world = World::calling(calls, &agents.iter().collect::<Vec<_>>());
    let said = "HTTP 503 Service Unavailable";
    for expected in [
        format!("number 5 of 5 cards given by hand; after `a`: {said}; after `b`: {said}; after `c`: {said}"),
        "number 5 of 5 cards given by hand; `a` is left alone, `b` is left alone, `c` is left alone".to_owned(),
    ] {
        let ended = world.run(ONCE, json!({})).await;
        assert_eq!((output(&ended), reason(&ended)), (&json!("e"), expected));
    }
}
