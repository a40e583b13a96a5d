//! Generated runs of generated workflows. A failure prints its seed and the workflow.
//!
//! `GANTRY_SEEDS` says how many runs there are; `GANTRY_SEED` runs a single one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use gantry::interpreter::{Event, Outcome, Run};
use gantry::plan::Plan;

use super::generate;
use super::random::Random;
use super::world::{self, Crashes, History, World};

/// Runs when nobody says how many: some seconds.
const SEEDS: u64 = 20_000;
/// Runs of one workflow. Parsing costs more than running.
const RUNS_PER_WORKFLOW: u64 = 10;
/// Every so many runs are driven a second time, with a crash after every event.
const CRASHED_EVERY: u64 = 20;
/// Crashes cost the square of the events; longer runs are left to the others.
const CRASHED_EVENTS_MAX: usize = 120;

/// What was seen, in all runs together.
#[derive(Debug, Default)]
struct Figures {
    runs: u64,
    workflows: u64,
    events: usize,
    steps: usize,
    crashes: usize,
    outcomes: [u64; 3],
    high_water: usize,
    hash: u64,
}

impl Figures {
    fn note(&mut self, history: &History) {
        self.runs += 1;
        self.events += history.events.len();
        self.steps += history.steps;
        self.high_water = self.high_water.max(history.high_water);
        let outcome = match history.snapshot.outcome.as_ref().expect("the run has ended") {
            Outcome::Completed { .. } => 0,
            Outcome::Failed { .. } => 1,
            Outcome::Canceled { .. } => 2,
        };
        self.outcomes[outcome] += 1;
    }

    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.workflows += other.workflows;
        self.events += other.events;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.high_water = self.high_water.max(other.high_water);
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(sum, more)| *sum += more);
        // Which thread had which seeds must not matter.
        self.hash ^= other.hash;
    }
}

/// Does something with a workflow and its seeds; a failure says which they are.
fn with_seed<T>(text: &str, seed: u64, act: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|cause| {
        let cause = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied()).unwrap_or("?");
        panic!("seed {seed}: {cause}\nagain: GANTRY_SEED={seed} cargo test --test simulation generated\n\n{text}");
    })
}

fn workflow(seed: u64) -> (String, Arc<Plan>) {
    let text = generate::workflow(&mut Random::new(seed / RUNS_PER_WORKFLOW));
    let plan = with_seed(&text, seed, || world::plan(&text));
    (text, plan)
}

/// Replays a run from its events: nothing may differ.
fn replay(plan: &Arc<Plan>, history: &History, through_json: bool) {
    let mut run = Run::new(Arc::clone(plan));
    for (event, expected) in history.events.iter().zip(&history.transitions) {
        let event = match through_json {
            true => serde_json::from_str::<Event>(&serde_json::to_string(event).unwrap()).unwrap(),
            false => event.clone(),
        };
        assert_eq!(run.apply(event).as_ref(), Ok(expected), "a replay differs");
    }
    assert_eq!(run.snapshot(), history.snapshot, "a replay ends otherwise");
}

fn one(plan: &Arc<Plan>, seed: u64, figures: &mut Figures) {
    let history = World::run(plan, seed, Crashes::Never);
    replay(plan, &history, seed.is_multiple_of(8));
    if seed.is_multiple_of(CRASHED_EVERY) && history.events.len() <= CRASHED_EVENTS_MAX {
        let crashed = World::run(plan, seed, Crashes::AfterEveryEvent);
        assert_eq!(crashed.events, history.events, "a run that crashed goes another way");
        assert_eq!(crashed.snapshot, history.snapshot, "a run that crashed ends otherwise");
        figures.crashes += crashed.events.len();
    }
    figures.note(&history);
}

/// Runs every seed of a range, shared among threads.
fn every(seeds: u64, one: impl Fn(&Arc<Plan>, u64, &mut Figures) + Sync) -> Figures {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let workflows = seeds.div_ceil(RUNS_PER_WORKFLOW);
    let share = |thread: u64| {
        let mut figures = Figures::default();
        for index in (thread..workflows).step_by(threads as usize) {
            let first = index * RUNS_PER_WORKFLOW;
            let (text, plan) = workflow(first);
            figures.workflows += 1;
            for seed in first..(first + RUNS_PER_WORKFLOW).min(seeds) {
                with_seed(&text, seed, || one(&plan, seed, &mut figures));
            }
        }
        figures
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        let mut all = Figures::default();
        for thread in running {
            match thread.join() {
                Ok(figures) => all.add(&figures),
                Err(cause) => std::panic::resume_unwind(cause),
            }
        }
        all
    })
}

pub(super) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn generated_runs_keep_every_promise() {
    if let Some(seed) = number("GANTRY_SEED") {
        let (text, plan) = workflow(seed);
        return with_seed(&text, seed, || one(&plan, seed, &mut Figures::default()));
    }
    let started = Instant::now();
    let figures = every(number("GANTRY_SEEDS").unwrap_or(SEEDS), one);
    eprintln!("{figures:?} in {:.1?}", started.elapsed());
    let [completed, failed, canceled] = figures.outcomes;
    assert_eq!(completed + failed + canceled, figures.runs);
    assert!(figures.outcomes.iter().all(|count| count * 50 > figures.runs), "the worlds are too much alike: {figures:?}");
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    let traced = |plan: &Arc<Plan>, seed: u64, figures: &mut Figures| {
        let history = World::run(plan, seed, Crashes::Never);
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        for (event, transition) in history.events.iter().zip(&history.transitions) {
            format!("{event:?} {transition:?}").hash(&mut hasher);
        }
        figures.hash ^= hasher.finish();
        figures.note(&history);
    };
    let (first, second) = (every(500, traced), every(500, traced));
    assert_eq!((first.hash, first.events), (second.hash, second.events));
    assert_ne!(first.hash, every(490, traced).hash, "the trace tells runs apart");
}
