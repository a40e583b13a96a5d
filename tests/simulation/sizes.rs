//! Long sequences and large maps: they work, and what one step costs does not grow with their size.
//!
//! Cost is counted: commands, changes, and what is allocated, of which a hundred steps at the end of a run may take hardly more than a
//! hundred at its begin. Time is compared as well, as a median and with much room, for what would be looked at without being copied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry::interpreter::{Change, Command, Event, Outcome, Run, SEMANTICS};
use gantry::plan::{Path, Plan};
use gantry::time::Timestamp;
use serde_json::{Value, json};

use super::world;

/// How much more steps may allocate at the end, in percent: their names are longer. The same on every machine.
const ALLOCATED_MAX_PERCENT: u64 = 120;
/// How much longer a step may take at the end. One that looked at all steps before it would take a hundred times as long.
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
    /// How often something was allocated for each event, and how many bytes.
    allocations: Vec<u64>,
    bytes: Vec<u64>,
    output: Value,
}

/// Runs to the end: every call is answered with its input, in the order of the calls.
fn run(plan: &Arc<Plan>, input: &Value) -> Cost {
    let mut run = Run::new(Arc::clone(plan));
    let at = Timestamp::from_unix_ms(0);
    let (workflow, input) = (plan.digest().clone(), Arc::new(input.clone()));
    let id = gantry::ids::RunId::parse("run").unwrap();
    let mut events = std::collections::VecDeque::from([Event::Started {
        run: id,
        workflow,
        semantics: SEMANTICS,
        input,
        ancestry: vec![],
        work: None,
        at,
    }]);
    let mut cost = Cost {
        calls: 0,
        commands: 0,
        changes: 0,
        in_flight_max: 0,
        times: vec![],
        allocations: vec![],
        bytes: vec![],
        output: Value::Null,
    };
    while let Some(event) = events.pop_front() {
        let (started, mut applied) = (Instant::now(), None);
        let allocated = allocation_counter::measure(|| applied = Some(run.apply(event).unwrap()));
        cost.times.push(started.elapsed());
        cost.allocations.push(allocated.count_total);
        cost.bytes.push(allocated.bytes_total);
        let transition = applied.expect("it was applied");
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

/// What many steps allocate is bounded as a sum, but for the one step at which a table of the run doubles: that comes ever more rarely.
fn assert_allocates_evenly(what: &str, each: &[u64]) {
    let together = |each: &[u64]| {
        let mut each = each.to_vec();
        each.sort_unstable();
        each[..each.len() - 1].iter().sum::<u64>()
    };
    let steps = &each[1..each.len() - 1];
    let (first, last) = (together(&steps[..COMPARED]), together(&steps[steps.len() - COMPARED..]));
    eprintln!("{what}: {first} for {COMPARED} steps at the begin, {last} at the end");
    assert!(last * 100 <= first * ALLOCATED_MAX_PERCENT, "{what}: {first} for {COMPARED} steps at the begin, {last} at the end");
}

fn assert_flat(what: &str, cost: &Cost) {
    assert_allocates_evenly(&format!("{what}, allocations"), &cost.allocations);
    assert_allocates_evenly(&format!("{what}, bytes allocated"), &cost.bytes);
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
