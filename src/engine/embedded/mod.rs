//! The embedded engine: one task per run, on the [thread](crate::threads) where it was started or on this process's runtime.
//!
//! A run's state belongs to its task alone; others reach it by messages, so no lock is held across a call.

mod begin;
mod children;
mod choice;
mod clock;
mod delegate;
mod drive;
mod invoke;
mod outstanding;
mod own;
mod references;
mod registrar;
mod rest;
mod space;
mod timers;
mod tree;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::choice::{CallOptions, Choice};
use self::clock::now;
use self::drive::{Answer, Control, Driver};
use self::references::Followed;
use self::registrar::Registrar;
use self::rest::Resting;
use self::space::Space;
use self::tree::{Tree, Trees};
use self::turns::Turns;
use super::{Engine, Error, Filter, OwnSkills, Page, RunSummary, Start, Started, Subscription, Update};
use crate::a2a::Card;
use crate::agent::{self, GateStatus, Gates};
use crate::discovery::Discovery;
use crate::ids::RunId;
use crate::interpreter::{Event, Run, RunStatus, Snapshot, Transition};
use crate::journal::{self, Header, Journal, Query, Retention};
use crate::limits;
use crate::plan::Plan;
use crate::threads;
use crate::time::Timestamp;

/// Bounds of the engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs under way at once; more are refused.
    pub runs_max: usize,
    /// Runs that rest; while there are as many, no new ones begin.
    pub runs_resting_max: usize,
    /// How deep runs may nest, also across `execute_workflow`.
    pub depth_max: u32,
    /// Steps that a run and the runs below it may execute together.
    pub steps_max: u64,
    /// Pieces of work that follow from one event before others may come.
    pub event_work: NonZeroU32,
    /// How long a run waits for nothing but people and timers before it leaves memory, unless more than half of `runs_max` are there.
    pub rest_after: Duration,
    /// How agents are called.
    pub calls: CallOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            runs_max: limits::RUNS_MAX,
            runs_resting_max: limits::RUNS_RESTING_MAX,
            depth_max: limits::RUN_DEPTH_MAX,
            steps_max: limits::RUN_STEPS_MAX,
            event_work: limits::EVENT_WORK,
            rest_after: limits::RUN_REST_AFTER,
            calls: CallOptions::default(),
        }
    }
}

/// What became of the runs that had not ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Runs that go on.
    pub resumed: usize,
    /// Runs that cannot, for a reason that is in the log.
    pub stuck: Vec<RunId>,
}

/// What became of one run that was to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It is gone.
    Yes,
    /// It can be read, and has not ended.
    NotEnded,
    /// A run above it has not ended, and may ask for it.
    Needed,
}

/// Runs that have not ended, as this process has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// In memory, each with a task of its own.
    pub awake: usize,
    /// Waiting for people or timers, in the journal alone.
    pub resting: usize,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    discovery: Arc<Discovery>,
    agents: agent::Client,
    gates: Gates,
    journal: Arc<dyn Journal>,
    runs: Registrar,
    tasks: TaskTracker,
    /// Cancelled when no new runs are accepted.
    stopping: CancellationToken,
    /// Cancelled when the grace period is over.
    abandon: CancellationToken,
    /// How this engine is itself offered as an agent.
    own: OnceLock<Own>,
    /// Whether the task that wakes runs whose timers are due was started.
    clock_is_watched: AtomicBool,
    /// Places to read runs from the journal.
    readers: Semaphore,
    followed: Followed,
    trees: Trees,
    space: Space,
}

#[derive(Debug)]
struct Own {
    url: String,
    skills: Arc<dyn OwnSkills>,
}

impl Embedded {
    /// An engine that finds agents with `discovery`, calls them with `agents` and remembers in `journal`.
    pub fn new(options: Options, discovery: Arc<Discovery>, agents: agent::Client, journal: Arc<dyn Journal>) -> Self {
        let (runs, tasks) = (Registrar::default(), TaskTracker::new());
        let (stopping, abandon) = (CancellationToken::new(), CancellationToken::new());
        let (own, gates) = (OnceLock::new(), Gates::new(options.calls.gates.clone()));
        let (clock_is_watched, readers) = (AtomicBool::new(false), Semaphore::new(limits::JOURNAL_READERS));
        let (followed, trees) = (Followed::default(), Trees::default());
        let inner = Inner {
            options,
            discovery,
            agents,
            gates,
            journal,
            runs,
            tasks,
            stopping,
            abandon,
            own,
            clock_is_watched,
            readers,
            followed,
            trees,
            space: Space::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Says where this engine is itself offered as an agent, and by whom: what its steps call there stays in the process, with the
    /// same checks and records. To be called once, before runs start; a second call changes nothing.
    pub fn serve_as(&self, url: &str, skills: Arc<dyn OwnSkills>) {
        let _ = self.inner.own.set(Own { url: url.trim_end_matches('/').to_owned(), skills });
    }

    /// Who serves the card, when this process does.
    fn own_skills(&self, card: &Card) -> Option<&dyn OwnSkills> {
        let own = self.inner.own.get()?;
        card.interfaces.iter().any(|interface| interface.url.trim_end_matches('/') == own.url).then_some(&*own.skills)
    }

    /// Goes on with every run that had not ended when the process did. Call it once, before the first start.
    ///
    /// Runs that rest stay in the journal until somebody or a timer wants them. Of the others the first are loaded at once, and the
    /// rest of them while this engine serves already; all of them can be reached when this returns.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let failed = |error: journal::Error| Error::Journal(error.to_string());
        let resting = self.inner.journal.resting().await.map_err(failed)?;
        let unfinished = self.inner.journal.unfinished().await.map_err(failed)?;
        let orphans = self.inner.journal.orphans().await.map_err(failed)?;
        let stirred: BTreeSet<RunId> = self.inner.journal.stirred().await.map_err(failed)?.into_iter().collect();
        let mut recovered = Recovered { resumed: resting.len(), stuck: Vec::new() };
        for resting in resting {
            // It may not have heard of what a run below it did, so that it looks.
            let rests = if stirred.contains(&resting.run) { Resting::roused() } else { Resting::until(resting.until, resting.since) };
            self.inner.runs.rest(resting.run, rests);
        }
        // A run that waits for one of its children must find it under way, so none begins before all can be reached.
        let mut drivers = Vec::new();
        for (index, record) in unfinished.into_iter().enumerate() {
            let run = record.header.run.clone();
            if index >= limits::RECOVER_AT_ONCE {
                recovered.resumed += 1;
                self.inner.runs.rest(run, Resting::queued());
                continue;
            }
            match self.load_to_drive(&record).await {
                Ok(driver_and_events) => drivers.push(driver_and_events),
                Err(error @ (Error::Journal(_) | Error::Busy(_) | Error::Full(_))) if !self.inner.runs.is_within_reach(&run) => {
                    tracing::warn!(run_id = %run, %error, "run cannot be read now");
                    recovered.resumed += 1;
                    self.inner.runs.rest(run, Resting::queued());
                }
                // One run that cannot go on must not keep the others from it. It stays in the journal as it is.
                Err(error) => {
                    tracing::error!(run_id = %run, %error, "run cannot be resumed");
                    recovered.stuck.push(run);
                }
            }
        }
        recovered.resumed += drivers.len();
        for (driver, events) in drivers {
            self.drive(driver, events);
        }
        self.watch_the_clock();
        self.cancel_orphans(orphans);
        Ok(recovered)
    }

    /// How many runs are under way, and how many of them rest.
    pub fn counts(&self) -> Counts {
        Counts { awake: self.inner.runs.len(), resting: self.inner.runs.resting_len() }
    }

    /// Forgets ended runs. Returns how many.
    pub async fn prune(&self, retention: Retention) -> Result<usize, Error> {
        self.inner.journal.prune(retention).await.map_err(|error| Error::Journal(error.to_string()))
    }

    /// Forgets one run that has ended, or whose record cannot be read and never will be.
    pub async fn forget(&self, run: &RunId) -> Result<Forgotten, Error> {
        let record = self.inner.journal.record(run).await.map_err(|error| journal_error(run, error))?;
        if !record.status.is_terminal() {
            // One that rests is woken: if it cannot be read, it is out of reach from then on.
            if self.ask(run, Control::Snapshot).await.is_some() {
                return Ok(Forgotten::NotEnded);
            }
            match self.replay(run).await {
                Err(Error::Damaged(_) | Error::Mismatch(_) | Error::NotFound(_)) => {}
                Ok(_) => return Ok(Forgotten::NotEnded),
                Err(error) => return Err(error),
            }
        }
        match self.inner.journal.forget(run).await.map_err(|error| journal_error(run, error))? {
            true => Ok(Forgotten::Yes),
            false => Ok(Forgotten::Needed),
        }
    }

    async fn load(&self, record: &journal::Record) -> Result<(Arc<Plan>, Vec<Event>), Error> {
        let run = &record.header.run;
        let events = self.inner.journal.events(run).await.map_err(|error| journal_error(run, error))?;
        Ok((self.plan_of(record)?, events))
    }

    /// A run that goes on, and can be reached, but has not begun to.
    async fn load_to_drive(&self, record: &journal::Record) -> Result<(Box<Driver>, Vec<Event>), Error> {
        let (plan, events) = self.load(record).await?;
        let run = record.header.run.clone();
        let counted = self.resume_count(record, &plan, Tree::Unknown).await;
        let (usage, counted) = counted.map_err(|error| journal_error(&run, error))?;
        let mut driver = self.driver(plan, &run, usage)?;
        driver.recovered();
        driver.resumes_at(counted);
        Ok((driver, events))
    }

    /// The plan that a run is pinned to: one for all runs of it.
    fn plan_of(&self, record: &journal::Record) -> Result<Arc<Plan>, Error> {
        let Header { digest, source, .. } = &record.header;
        if let Some(plan) = self.inner.runs.plan(digest) {
            return Ok(plan);
        }
        let plan = self.inner.discovery.plan_pinned(source, digest).map_err(|error| Error::Damaged(error.to_string()))?;
        self.inner.runs.remember(&plan);
        Ok(plan)
    }

    /// Stops accepting. With a durable journal what is in flight may finish within `grace` and the rest is parked for the next
    /// start; with one in memory every run is canceled, and agents are told. Returns how many runs had not ended.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        let durable = self.inner.journal.is_durable();
        let resting = self.inner.runs.all_resting();
        if !durable {
            // They are canceled like the others, so that agents whose questions they pass on are told.
            resting.iter().for_each(|run| drop(self.reach(run)));
        }
        let running = self.inner.runs.all();
        let drained = async {
            for run in &running {
                let wish = if durable { Control::Park } else { Control::Cancel("gantry is shutting down".to_owned(), None) };
                // A run that has just ended has closed its channel; there is nothing left to stop.
                let _ = run.control.send(wish).await;
            }
            self.inner.tasks.wait().await;
        };
        let in_time = tokio::time::timeout(grace, drained).await.is_ok();
        let parked = if durable { resting.len() } else { 0 };
        let left = if in_time && !durable { 0 } else { running.iter().filter(|run| !run.ended.load(Ordering::Relaxed)).count() + parked };
        if durable {
            self.inner.agents.leave_tasks();
        }
        self.inner.abandon.cancel();
        let _ = tokio::time::timeout(limits::ABANDON_TIMEOUT, async {
            self.inner.tasks.wait().await;
            self.inner.agents.drain().await;
        })
        .await;
        left
    }

    /// Boxed: a task is moved while it is made, and is placed by its alignment; a large one costs more than the box.
    fn drive(&self, driver: Box<Driver>, events: Vec<Event>) {
        self.inner.tasks.spawn_on(Box::pin(driver.drive(events)), &threads::place());
    }

    /// Why a run that is not under way cannot be changed.
    async fn at_rest(&self, run: &RunId) -> Error {
        match self.inner.journal.record(run).await {
            Ok(record) if record.status.is_terminal() => Error::Ended { run: run.clone(), status: record.status },
            Ok(_) if self.inner.stopping.is_cancelled() => Error::ShuttingDown,
            // It was to be woken, and still rests.
            _ if self.inner.runs.is_resting(run) => {
                Error::Busy(format!("run `{run}` cannot be read from the journal now; try again later"))
            }
            Err(error) => journal_error(run, error),
            Ok(_) => match self.inner.journal.events(run).await {
                Err(error) => journal_error(run, error),
                Ok(_) => Error::Journal(format!("run `{run}` stopped before its end; the log says why")),
            },
        }
    }

    /// A run that is not under way, rebuilt from the journal, and the number of its last update.
    async fn replay(&self, run: &RunId) -> Result<(Run, u64), Error> {
        let record = self.inner.journal.record(run).await.map_err(|error| journal_error(run, error))?;
        let (plan, events) = self.load(&record).await?;
        let mut replayed = Run::new(plan);
        let (mut seq, mut turns) = (0, Turns::new());
        for event in events {
            let count = |part: Transition| {
                seq += part.changes.len() as u64;
                true
            };
            turns.apply(&mut replayed, event, count).await?;
        }
        Ok((replayed, seq))
    }
}

#[async_trait]
impl Engine for Embedded {
    async fn start(&self, start: Start) -> Result<Started, Error> {
        Ok(self.accept(start, false, None).await?.0)
    }

    async fn start_watched(&self, start: Start) -> Result<(Started, Option<Subscription>), Error> {
        self.accept(start, true, None).await
    }

    async fn cancel(&self, run: &RunId, reason: &str) -> Result<(), Error> {
        if self.ask(run, |reply| Control::Cancel(reason.to_owned(), Some(reply))).await.is_some() {
            return Ok(());
        }
        Err(self.at_rest(run).await)
    }

    async fn answer_noted(&self, run: &RunId, step: Option<&str>, answer: Arc<Value>, note: Option<Arc<str>>) -> Result<(), Error> {
        let answer = Answer { step: step.map(str::to_owned), value: answer, note };
        match self.ask(run, |reply| Control::Answer(answer, reply)).await {
            Some(result) => result,
            None => Err(self.at_rest(run).await),
        }
    }

    async fn retry(&self, old: &RunId, labels: BTreeMap<String, String>) -> Result<Started, Error> {
        self.accept_retry(old, labels).await
    }

    async fn snapshot(&self, run: &RunId) -> Result<Snapshot, Error> {
        match self.ask_awake(run, Control::Snapshot).await {
            Some(snapshot) => Ok(snapshot),
            None => Ok(self.replay(run).await?.0.snapshot()),
        }
    }

    async fn wait(&self, run: &RunId) -> Result<Snapshot, Error> {
        if self.inner.runs.is_resting(run) {
            let snapshot = Box::pin(self.replay(run)).await?.0.snapshot();
            if snapshot.status != RunStatus::Running {
                return Ok(snapshot);
            }
            let (reply, answer) = oneshot::channel();
            if self.inner.runs.wait_at_rest(run, reply)
                && let Ok(snapshot) = answer.await
            {
                return Ok(snapshot);
            }
        }
        match self.ask(run, Control::Wait).await {
            Some(snapshot) => Ok(snapshot),
            None => Ok(Box::pin(self.replay(run)).await?.0.snapshot()),
        }
    }

    async fn subscribe(&self, run: &RunId) -> Result<Subscription, Error> {
        match self.ask(run, Control::Subscribe).await {
            Some(subscription) => Ok(subscription),
            None => {
                let (replayed, seq) = self.replay(run).await?;
                Ok(Subscription { snapshot: replayed.snapshot(), seq, updates: None })
            }
        }
    }

    async fn updates(&self, run: &RunId, after: u64, upto: u64) -> Result<Vec<Update>, Error> {
        let record = self.inner.journal.record(run).await.map_err(|error| journal_error(run, error))?;
        let (plan, events) = self.load(&record).await?;
        let (mut replayed, mut at, mut seq) = (Run::new(plan), Timestamp::default(), 0);
        let (mut updates, mut turns) = (Vec::new(), Turns::new());
        for event in events {
            if seq >= upto {
                break;
            }
            at = at.max(event.at());
            let tell = |part: Transition| {
                for change in part.changes {
                    seq += 1;
                    if (after + 1..=upto).contains(&seq) {
                        updates.push(Update { seq, at, change });
                    }
                }
                seq < upto
            };
            turns.apply(&mut replayed, event, tell).await?;
        }
        Ok(updates)
    }

    fn is_durable(&self) -> bool {
        self.inner.journal.is_durable()
    }

    fn rests(&self, run: &RunId) -> bool {
        self.inner.runs.is_resting(run)
    }

    fn unwatched(&self, run: &RunId) {
        self.inner.runs.forget_gone(run);
    }

    async fn page(&self, filter: &Filter) -> Result<Page, Error> {
        let found = self.inner.journal.select(&query(filter)).await.map_err(|error| Error::Journal(error.to_string()))?;
        Ok(Page { runs: found.records.into_iter().map(summary).collect(), total: found.total })
    }

    fn agents(&self) -> Vec<GateStatus> {
        self.inner.gates.statuses()
    }

    fn is_full(&self) -> bool {
        self.inner.space.is_missing()
    }

    async fn summary(&self, run: &RunId) -> Result<RunSummary, Error> {
        self.inner.journal.record(run).await.map(summary).map_err(|error| journal_error(run, error))
    }
}

fn summary(record: journal::Record) -> RunSummary {
    let Header { run, workflow, version, digest, labels, note, started_at, .. } = record.header;
    RunSummary {
        run,
        workflow,
        version,
        digest: digest.to_string(),
        status: record.status,
        asks_access: record.asks_access,
        started_at,
        changed_at: record.changed_at,
        labels,
        note,
    }
}

fn query(filter: &Filter) -> Query {
    let Filter { workflow, status, labels, changed_after, labelled, unfinished, rests, asks_access, before, runs_max } = filter.clone();
    Query { workflow, status, labels, changed_after, labelled, unfinished, rests, asks_access, before, runs_max, run_begins: None }
}

fn journal_error(run: &RunId, error: journal::Error) -> Error {
    match error {
        journal::Error::NotFound(_) => Error::NotFound(run.clone()),
        journal::Error::Full(message) => Error::Full(message),
        error @ journal::Error::Busy(_) => Error::Busy(format!("{error}; try again later")),
        error @ journal::Error::Damaged { .. } => Error::Damaged(error.to_string()),
        journal::Error::DamagedFile(message) | journal::Error::Failed(message) => Error::Journal(message),
    }
}

#[cfg(test)]
mod tests;
