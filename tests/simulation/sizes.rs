//! Long sequences and large maps: they work, and what one step costs does not grow with their size.
//!
//! Cost is counted where it can be (events, commands, changes) and compared as a ratio where it is time: a step that looked at all
//! others would cost a hundred times as much in the large run, and any bound between is far from both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry::interpreter::{Change, Command, Event, Outcome, Run, SEMANTICS};
use gantry::plan::{Path, Plan};
use gantry::time::Timestamp;
use serde_json::{Value, json};

use super::world;

/// How much more a step may cost in the large run. Quadratic behaviour costs a hundred times as much.
const RATIO_MAX: u32 = 12;
/// Times are the best of so many rounds, so that other processes do not count.
const ROUNDS: usize = 5;

/// What a run cost.
struct Cost {
    calls: usize,
    commands: usize,
    changes: usize,
    in_flight_max: usize,
    time: Duration,
    output: Value,
}

/// Runs to the end: every call is answered with its input, in the order of the calls.
fn run(plan: &Arc<Plan>, input: &Value) -> Cost {
    let mut run = Run::new(Arc::clone(plan));
    let at = Timestamp::from_unix_ms(0);
    let (workflow, input) = (plan.digest().clone(), Arc::new(input.clone()));
    let id = gantry::ids::RunId::parse("run").unwrap();
    let mut events =
        std::collections::VecDeque::from([Event::Started { run: id, workflow, semantics: SEMANTICS, input, ancestry: vec![], at }]);
    let mut cost = Cost { calls: 0, commands: 0, changes: 0, in_flight_max: 0, time: Duration::ZERO, output: Value::Null };
    let started = Instant::now();
    while let Some(event) = events.pop_front() {
        let transition = run.apply(event).unwrap();
        cost.commands += transition.commands.len();
        cost.changes += transition.changes.len();
        for command in transition.commands {
            let Command::Call(call) = command else { panic!("{command:?}") };
            cost.calls += 1;
            events.push_back(reply(call.path, call.inputs, at));
        }
        cost.in_flight_max = cost.in_flight_max.max(events.len());
        if let Some(Change::RunFinished { outcome }) = transition.changes.last() {
            let Outcome::Completed { output } = outcome else { panic!("{outcome:?}") };
            cost.output = Value::clone(output);
        }
    }
    cost.time = started.elapsed();
    cost
}

fn reply(path: Path, value: Arc<Value>, at: Timestamp) -> Event {
    Event::Replied { path, attempt: 1, value, by: None, at }
}

/// The fastest of some rounds of both, in turns, and the time of one step.
fn per_step(small: impl Fn() -> Cost, large: impl Fn() -> Cost) -> (Duration, Duration) {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (small, large) = (small(), large());
        best.0 = best.0.min(small.time / small.calls as u32);
        best.1 = best.1.min(large.time / large.calls as u32);
    }
    best
}

fn assert_flat(what: &str, (small, large): (Duration, Duration)) {
    eprintln!("{what}: {small:?} a step in the small run, {large:?} in the large one");
    assert!(large <= small * RATIO_MAX, "{what}: a step costs {large:?}, and {small:?} in a run a hundredth as long");
}

fn sequence(steps: usize) -> Arc<Plan> {
    let mut text = "metadata: {id: long, name: Long, version: 1.0.0}\nsteps:\n  - {id: s0, skill: work, inputs: {n: 0}}\n".to_owned();
    for n in 1..steps {
        text.push_str(&format!("  - {{id: s{n}, skill: work, inputs: {{n: \"{{{{ steps.s{}.outputs.n + 1 }}}}\"}}}}\n", n - 1));
    }
    world::plan(&text)
}

#[test]
fn a_thousand_steps_cost_a_hundred_times_ten() {
    let (ten, thousand) = (sequence(10), sequence(1000));
    let cost = run(&thousand, &json!({}));
    // One call and three changes for each step and run: started, finished.
    assert_eq!((cost.calls, cost.commands, cost.changes, cost.in_flight_max), (1000, 1000, 2002, 1));
    assert_eq!(cost.output, json!({"n": 999}));
    // A short run is repeated, so that its time can be measured.
    let ten_often = || {
        let mut all = run(&ten, &json!({}));
        for _ in 1..20 {
            let more = run(&ten, &json!({}));
            all.calls += more.calls;
            all.time += more.time;
        }
        all
    };
    assert_flat("sequence", per_step(ten_often, || run(&thousand, &json!({}))));
}

const MAP: &str = "
metadata: {id: wide, name: Wide, version: 1.0.0}
steps:
  - id: m
    step_type: map
    items: \"{{ workflow.input }}\"
    max_concurrency: 50
    tolerate_failures: 10%
    steps:
      - {id: a, skill: work, inputs: {n: \"{{ item }}\"}}
      - {id: b, step_type: set, value: \"{{ steps.a.outputs.n }}\"}
";

#[test]
fn a_map_over_ten_thousand_items_costs_a_hundred_times_one_over_a_hundred() {
    let plan = world::plan(MAP);
    let items = |count: u32| Value::from((0..count).collect::<Vec<_>>());
    let (hundred, ten_thousand) = (items(100), items(10_000));
    let cost = run(&plan, &ten_thousand);
    assert_eq!((cost.calls, cost.commands, cost.in_flight_max), (10_000, 10_000, 50));
    assert_eq!(cost.output, ten_thousand);
    assert_flat("map", per_step(|| run(&plan, &hundred), || run(&plan, &ten_thousand)));
}
