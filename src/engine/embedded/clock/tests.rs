//! Runs while the wall clock jumps: nothing fires early or late, and no run's time goes backwards.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::a2a::Card;
use crate::agent;
use crate::discovery::{self, Discovery};
use crate::engine::embedded::{Embedded, Options};
use crate::engine::{Engine, Next, Start};
use crate::interpreter::{Event, Outcome};
use crate::journal::{Journal, Memory};
use crate::registry::Layout;
use crate::time::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const JUMPS_MS: [i64; 4] = [-HOUR_MS, HOUR_MS, 10 * 365 * 24 * HOUR_MS, 0];
/// Longer than a busy machine takes to get to something that is due.
const SLACK: Duration = Duration::from_millis(800);

thread_local! {
    /// How far the wall clock is off; everything of one test is on one thread.
    static OFF_MS: Cell<i64> = const { Cell::new(0) };
}

pub(super) fn jumped(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms() + OFF_MS.get())
}

/// Fails its first call of each skill, `slow` after a while, and never answers `hang`.
struct Moody {
    calls: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Respond for Moody {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        let skill = call["method"].as_str().unwrap().to_owned();
        let mut calls = self.calls.lock().unwrap();
        let is_first = !calls.iter().any(|(known, _)| *known == skill);
        calls.push((skill.clone(), Instant::now()));
        let answer = match is_first {
            true => json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -1, "message": "not yet" } }),
            false => json!({ "jsonrpc": "2.0", "id": call["id"], "result": { "did": skill } }),
        };
        let delay = match skill.as_str() {
            "slow" => Duration::from_millis(1500),
            "hang" => Duration::from_secs(60),
            _ => Duration::ZERO,
        };
        ResponseTemplate::new(200).set_body_json(answer).set_delay(delay)
    }
}

struct World {
    engine: Embedded,
    journal: Arc<Memory>,
    discovery: Arc<Discovery>,
    calls: Arc<Mutex<Vec<(String, Instant)>>>,
    _agent: MockServer,
}

impl World {
    async fn new() -> Self {
        let calls = Arc::<Mutex<Vec<_>>>::default();
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(Moody { calls: Arc::clone(&calls) }).mount(&server).await;
        let skills = ["moody", "slow", "hang"].map(|id| json!({ "id": id, "description": id }));
        let card = json!({ "name": "moody", "url": server.uri(), "skills": skills });
        let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), discovery::Options::default()));
        discovery.add_card(Card::parse(card.to_string().as_bytes()).unwrap());
        let client = agent::Client::new(agent::Options { allow_private_addresses: true, ..agent::Options::default() });
        let journal = Arc::new(Memory::default());
        let engine = Embedded::new(Options::default(), Arc::clone(&discovery), client, Arc::clone(&journal) as Arc<dyn Journal>);
        Self { engine, journal, discovery, calls, _agent: server }
    }

    /// Runs a workflow to its end: how it ended, and its events.
    async fn run(&self, steps: &str) -> (Outcome, Vec<Event>) {
        let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\n{steps}");
        let plan = self.discovery.plan_from_text("w.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error:#?}"));
        let run = self.engine.start(Start::new(plan, Arc::new(json!({})))).await.unwrap().run;
        let ending = async {
            let mut watched = self.engine.subscribe(&run).await.unwrap();
            while !matches!(watched.next().await, Next::End) {}
        };
        tokio::time::timeout(Duration::from_secs(30), ending).await.expect("the run ends");
        let outcome = self.engine.snapshot(&run).await.unwrap().outcome.unwrap();
        (outcome, self.journal.events(&run).await.unwrap())
    }

    /// Time between the calls of a skill.
    fn between(&self, skill: &str) -> Duration {
        let calls = self.calls.lock().unwrap();
        let at: Vec<Instant> = calls.iter().filter(|(known, _)| known == skill).map(|(_, at)| *at).collect();
        assert_eq!(at.len(), 2, "{skill}");
        at[1] - at[0]
    }
}

#[track_caller]
fn check(what: &str, took: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    assert!(took >= expected, "{what} was early: {took:?} instead of {expected:?}");
    assert!(took < expected + SLACK, "{what} was late: {took:?} instead of {expected:?}");
}

#[tokio::test]
async fn a_timer_counts_from_the_event_that_it_follows() {
    let world = World::new().await;
    let (outcome, _) = world.run("steps:\n  - {id: a, skill: slow, retry: {max_attempts: 2, initial: 300ms, jitter: false}}\n").await;
    assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    // The call itself takes 1.5 s; the pause after it is no longer for that.
    check("the retry", world.between("slow"), 1_800);
    let begun = Instant::now();
    world.run("steps:\n  - {id: a, skill: slow}\n  - {id: b, step_type: wait, for: 300ms}\n").await;
    check("the wait", begun.elapsed(), 1_800);
}

/// Every kind of timer.
const TIMERS: &str = "
limits: {max_duration: 20s}
steps:
  - {id: w, step_type: wait, for: 1s}
  - {id: r, skill: moody, retry: {max_attempts: 2, initial: 1s, jitter: false}}
  - {id: t, skill: hang, timeout: 1s, on_error: continue}
  - {id: g, step_type: parallel, timeout: 1s, on_error: continue, branches: {steps: [{id: never, step_type: wait, for: 1h}]}}
  - {id: q, step_type: input, prompt: who, timeout: 1s, default: nobody}
";

#[tokio::test]
async fn jumps_of_the_wall_clock_fire_nothing_early_or_late() {
    let world = World::new().await;
    let jumping = async {
        for jump in JUMPS_MS.into_iter().cycle() {
            tokio::time::sleep(Duration::from_millis(310)).await;
            OFF_MS.set(jump);
        }
    };
    let begun = Instant::now();
    let (outcome, events) = tokio::select! {
        ended = world.run(TIMERS) => ended,
        () = jumping => unreachable!("it goes on for ever"),
    };
    let took = begun.elapsed();
    assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    check("the retry", world.between("moody"), 1_000);
    check("the whole run", took, 5_000);
    let at: Vec<Timestamp> = events.iter().map(Event::at).collect();
    assert!(at.is_sorted(), "a run's time went backwards: {at:?}");
    assert!(at.last().unwrap().since_ms(at[0]) > 9 * 365 * 24 * 3_600_000, "the clock did jump");
}

#[tokio::test]
async fn a_deadline_comes_when_it_is_due_whatever_the_wall_clock_says() {
    for jump in JUMPS_MS {
        OFF_MS.set(0);
        let world = World::new().await;
        let begun = Instant::now();
        let jumping = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            OFF_MS.set(jump);
            std::future::pending::<()>().await;
        };
        let (outcome, _) = tokio::select! {
            ended = world.run("limits: {max_duration: 1s}\nsteps:\n  - {id: h, skill: hang}\n") => ended,
            () = jumping => unreachable!("it never ends"),
        };
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        check("the deadline", begun.elapsed(), 1_000);
    }
}
