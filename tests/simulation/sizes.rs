//! Long sequences and large maps: they work, and what one step costs does not grow with their size.
//!
//! Cost is counted where it can be (commands, changes) and compared as a ratio where it is time: the median step at the end of a run
//! against the median step at its begin. Medians do not see that other processes run, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry::interpreter::{Change, Command, Event, Outcome, Run, SEMANTICS};
use gantry::plan::{Path, Plan};
use gantry::time::Timestamp;
use serde_json::{Value, json};

use super::world;

/// How much more a step may cost at the end. One that looked at all steps before it would cost a hundred times as much.
const RATIO_MAX: u32 = 5;
/// Steps at the begin and at the end that are compared.
const COMPARED: usize = 100;

/// What a run cost.
struct Cost {
    calls: usize,
    commands: usize,
    changes: usize,
    in_flight_max: usize,
    /// What each event took.
    times: Vec<Duration>,
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
    let mut cost = Cost { calls: 0, commands: 0, changes: 0, in_flight_max: 0, times: Vec::new(), output: Value::Null };
    while let Some(event) = events.pop_front() {
        let started = Instant::now();
        let transition = run.apply(event).unwrap();
        cost.times.push(started.elapsed());
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
    cost
}

fn reply(path: Path, value: Arc<Value>, at: Timestamp) -> Event {
    Event::Replied { path, attempt: 1, value, by: None, inputs: None, at }
}

fn assert_flat(what: &str, cost: &Cost) {
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2]
    };
    // The first event starts all of a window, the last one puts the result together.
    let steps = &cost.times[1..cost.times.len() - 1];
    let (first, last) = (median(&steps[..COMPARED]), median(&steps[steps.len() - COMPARED..]));
    eprintln!("{what} of {}: {first:?} a step at the begin, {last:?} at the end", cost.calls);
    assert!(last <= first * RATIO_MAX, "{what}: a step costs {first:?} at the begin and {last:?} at the end");
}

fn sequence(steps: usize) -> Arc<Plan> {
    let mut text = "metadata: {id: long, name: Long, version: 1.0.0}\nsteps:\n  - {id: s0, skill: work, inputs: {n: 0}}\n".to_owned();
    for n in 1..steps {
        text.push_str(&format!("  - {{id: s{n}, skill: work, inputs: {{n: \"{{{{ steps.s{}.outputs.n + 1 }}}}\"}}}}\n", n - 1));
    }
    world::plan(&text)
}

#[test]
fn the_thousandth_step_costs_what_the_first_does() {
    let cost = run(&sequence(1000), &json!({}));
    // Each step is told as started and finished, and so is the run.
    assert_eq!((cost.calls, cost.commands, cost.changes, cost.in_flight_max), (1000, 1000, 2002, 1));
    assert_eq!(cost.output, json!({"n": 999}));
    assert_flat("sequence", &cost);
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
fn the_ten_thousandth_item_costs_what_the_first_does() {
    let items = Value::from((0..10_000).collect::<Vec<_>>());
    let cost = run(&world::plan(MAP), &items);
    assert_eq!((cost.calls, cost.commands, cost.in_flight_max), (10_000, 10_000, 50));
    assert_eq!(cost.output, items);
    assert_flat("map", &cost);
}
