//! A start on a journal with a hundred thousand unfinished runs: how soon others are served, how fast the runs go on, and what they take.
//!
//! Each start is a process of its own, so that what it takes is its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use gantry::agent;
use gantry::discovery::{self, Discovery};
use gantry::engine::Engine as _;
use gantry::engine::embedded::{Embedded, Options};
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus, SEMANTICS};
use gantry::journal::{Header, Journal, Progress, Sqlite};
use gantry::plan::Plan;
use gantry::registry::Layout;
use gantry::time::Timestamp;
use serde_json::json;

use super::{Failure, report};

const RUNS: usize = 100_000;
const RUNS_QUICK: usize = 200;
/// They ask, and say what they were told.
pub(super) const WORKFLOW: &str = "metadata: {id: ask, name: Ask, version: 1.0.0}\nsteps:\n  - {id: ask, step_type: input, prompt: yes?}\n  \
                        - {id: told, step_type: set, value: \"{{ steps.ask.outputs }}\"}\n";
/// Runs at the same time, where something is done for each.
const AT_ONCE: usize = 64;
/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// How the runs of a journal are.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Parked {
    /// The journal knows that they wait for people.
    AtRest,
    /// It does not: the process ended in between.
    AtWork,
}

impl Parked {
    fn flag(self) -> &'static str {
        match self {
            Self::AtRest => "--at-rest",
            Self::AtWork => "--at-work",
        }
    }
}

/// The parts that are processes of their own. False when the arguments name none.
pub(super) async fn part(arguments: &[String]) -> Result<bool, Failure> {
    let Some(at) = arguments.iter().position(|argument| argument == "--start") else { return Ok(false) };
    let [flag, directory, quick] = arguments.get(at + 1..at + 4).ok_or("--start HOW DIRECTORY QUICK")? else { unreachable!() };
    let parked = if flag == Parked::AtRest.flag() { Parked::AtRest } else { Parked::AtWork };
    start(Path::new(directory), parked, quick == "quick").await?;
    Ok(true)
}

pub(super) async fn measure(quick: bool) -> Result<(), Failure> {
    for parked in [Parked::AtRest, Parked::AtWork] {
        let directory = tempfile::tempdir()?;
        fill(directory.path(), WORKFLOW, parked, runs(quick)).await?;
        let quick = if quick { "quick" } else { "full" };
        let status = Command::new(std::env::current_exe()?).args(["--start", parked.flag()]).arg(directory.path()).arg(quick).status()?;
        if !status.success() {
            return Err(format!("a start failed: {status}").into());
        }
    }
    Ok(())
}

fn discovery() -> Result<Discovery, Failure> {
    Ok(Discovery::new(Arc::new(Layout::ephemeral()?), discovery::Options::default()))
}

fn run_id(n: usize) -> Result<RunId, Failure> {
    Ok(RunId::parse(&format!("00000000-0000-4000-8000-{n:012}"))?)
}

pub(super) fn runs(quick: bool) -> usize {
    if quick { RUNS_QUICK } else { RUNS }
}

/// Writes what an earlier process would have left: the journal of that many runs of a workflow.
pub(super) async fn fill(directory: &Path, workflow: &str, parked: Parked, runs: usize) -> Result<(), Failure> {
    let journal = Sqlite::open(directory)?;
    let plan = discovery()?.plan_from_text("workflow", workflow.as_bytes())?;
    let (journal, plan) = (&journal, &plan);
    stream::iter(0..runs).map(|n| leave(journal, plan, n, parked)).buffer_unordered(AT_ONCE * 4).try_collect().await
}

async fn leave(journal: &Sqlite, plan: &Arc<Plan>, n: usize, parked: Parked) -> Result<(), Failure> {
    let (run, at, metadata) = (run_id(n)?, Timestamp::from_unix_ms(1_000_000), &plan.workflow().metadata);
    let header = Header {
        run: run.clone(),
        workflow: metadata.id.to_string(),
        version: metadata.version.to_string(),
        digest: plan.digest().clone(),
        source: Arc::clone(plan.source()),
        idempotency_key: None,
        labels: BTreeMap::new(),
        note: None,
        started_at: at,
    };
    let input = Arc::new(json!({"n": n, "text": "x".repeat(200)}));
    let first =
        Event::Started { run: run.clone(), workflow: plan.digest().clone(), semantics: SEMANTICS, input, ancestry: vec![], work: None, at };
    journal.create(header, first).await?;
    if let Parked::AtRest = parked {
        let progress = Progress { status: RunStatus::InputRequired, rests: Some(None), asks_access: false, used: None };
        journal.advance(&run, &[], progress).await?;
    }
    Ok(())
}

async fn start(directory: &Path, parked: Parked, quick: bool) -> Result<(), Failure> {
    let runs = runs(quick);
    let started = Instant::now();
    let client = agent::Client::new(agent::Options::default());
    let rest_after = if let Parked::AtWork = parked { Duration::from_millis(1) } else { Options::default().rest_after };
    let options = Options { rest_after, ..Options::default() };
    let engine = Embedded::new(options, Arc::new(discovery()?), client, Arc::new(Sqlite::open(directory)?));
    let found = engine.recover().await?.resumed;
    let served = started.elapsed();
    if found != runs {
        return Err(format!("{found} of {runs} runs were found").into());
    }
    let (what, rate) = match parked {
        Parked::AtRest => {
            let indexed = memory("VmRSS")?;
            bar("MB with their index", indexed, 500.0, false);
            let answering = Instant::now();
            let answer = |n| {
                let engine = engine.clone();
                async move { engine.answer(&run_id(n)?, None, Arc::new(json!("yes"))).await.map_err(Failure::from) }
            };
            stream::iter(0..runs).map(answer).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            ("answered and gone on", runs as f64 / answering.elapsed().as_secs_f64())
        }
        Parked::AtWork => {
            while engine.counts().resting != runs {
                if started.elapsed() > PATIENCE {
                    return Err(format!("not all of them were resumed: {:?}", engine.counts()).into());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            ("resumed", runs as f64 / started.elapsed().as_secs_f64())
        }
    };
    bar("ms until others are served", served.as_secs_f64() * 1000.0, 2_000.0, false);
    bar(&format!("runs/s {what}"), rate, 5_000.0, true);
    bar("MB at the peak", memory("VmHWM")?, 500.0, false);
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Megabytes of this process.
pub(super) fn memory(which: &str) -> Result<f64, Failure> {
    memory_of("self", which)
}

/// Megabytes of a process.
pub(super) fn memory_of(process: &str, which: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)).ok_or("no such line")?;
    Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
}

pub(super) fn bar(what: &str, measured: f64, bar: f64, at_least: bool) {
    let met = if at_least { measured >= bar } else { measured <= bar };
    let (sign, word) = (if at_least { "≥" } else { "≤" }, if met { "met" } else { "MISSED" });
    let digits = if measured < 10.0 { 2 } else { 0 };
    report(&format!("  {what:<36} {measured:>9.digits$}   bar {sign} {bar:<6} {word}"));
}
