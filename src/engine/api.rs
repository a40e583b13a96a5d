//! What every engine can do: the embedded one today, an external durable one later.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::watchers::Updates;
use crate::agent::GateStatus;
use crate::ids::RunId;
use crate::interpreter::{Ancestor, Change, Mismatch, RunStatus, Snapshot};
use crate::plan::{Path, Plan, Refused};
use crate::time::Timestamp;

/// Everything a run needs.
#[derive(Debug, Clone)]
pub struct Start {
    /// What to run.
    pub plan: Arc<Plan>,
    /// With what.
    pub input: Arc<Value>,
    /// The same key gives the same run.
    pub idempotency_key: Option<String>,
    /// The runs above this one, outermost first.
    pub ancestry: Vec<Ancestor>,
    /// What the starter wants to find again: caller, context id, request.
    pub labels: BTreeMap<String, String>,
    /// What the starter wants to read again, in words of its own.
    pub note: Option<String>,
    /// Its id, when the starter has one for it that cannot be guessed; otherwise the engine makes it.
    pub run: Option<RunId>,
}

impl Start {
    /// A run of `plan` with `input` and nothing else.
    pub fn new(plan: Arc<Plan>, input: Arc<Value>) -> Self {
        Self { plan, input, idempotency_key: None, ancestry: Vec::new(), labels: BTreeMap::new(), note: None, run: None }
    }
}

/// An accepted run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its id.
    pub run: RunId,
    /// False when the idempotency key had been used before.
    pub new: bool,
}

/// Which runs to list. Everything set must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In this status.
    pub status: Option<RunStatus>,
    /// With these labels.
    pub labels: BTreeMap<String, String>,
    /// Started or changed after this moment.
    pub changed_after: Option<Timestamp>,
    /// With a label of this name, whatever it says.
    pub labelled: Option<String>,
    /// Not ended.
    pub unfinished: bool,
    /// Waiting for nothing but people and timers, or not, as far as the journal was told.
    pub rests: Option<bool>,
    /// Asking for access while they do, or not.
    pub asks_access: Option<bool>,
    /// Only those after this place in the order: when a run last changed, and its id. They all count for the total.
    pub before: Option<(Timestamp, String)>,
    /// So many at most, the latest.
    pub runs_max: Option<usize>,
}

/// What a list came to.
#[derive(Debug, Clone)]
pub struct Page {
    /// The runs, newest change first.
    pub runs: Vec<RunSummary>,
    /// How many there would be without a bound, and from the beginning of the order.
    pub total: usize,
}

/// One line of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// `metadata.id`.
    pub workflow: String,
    /// `metadata.version`.
    pub version: String,
    /// The plan's digest.
    pub digest: String,
    /// Where it is.
    pub status: RunStatus,
    /// When it waits for people or timers alone: whether somebody is asked for access.
    #[serde(skip)]
    pub asks_access: bool,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// As given at the start.
    pub labels: BTreeMap<String, String>,
    /// As given at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a subscriber sees.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Update {
    /// Counts from 1 in each run, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// A run being watched: what it was at the moment of subscribing, and everything after.
#[derive(Debug)]
pub struct Subscription {
    /// The run then.
    pub snapshot: Snapshot,
    /// Number of the last update that is in the snapshot, or that was given.
    pub seq: u64,
    pub(super) updates: Option<Updates>,
}

/// The next thing a subscriber gets.
#[derive(Debug, Clone)]
pub enum Next {
    /// An update, the one after the last.
    Update(Arc<Update>),
    /// The subscriber was too slow: updates were dropped. Subscribe again for a snapshot.
    Lagged,
    /// The run has ended and everything was seen.
    End,
}

impl Subscription {
    /// To a run that has been accepted and has not begun.
    pub(super) fn to_new(run: RunId, started_at: Timestamp, updates: Updates) -> Self {
        let status = RunStatus::Running;
        let (changed_at, notes) = (started_at, Vec::new());
        let snapshot = Snapshot { run, status, outcome: None, started_at, finished_at: None, changed_at, notes, steps: Vec::new() };
        Self { snapshot, seq: 0, updates: Some(updates) }
    }

    /// Whether updates may follow: the run was under way at the moment of subscribing.
    pub fn is_live(&self) -> bool {
        self.updates.is_some()
    }

    /// Waits for the next update. Safe to drop while waiting.
    pub async fn next(&mut self) -> Next {
        let Some(updates) = &mut self.updates else { return Next::End };
        loop {
            match updates.next().await {
                Next::Update(update) if update.seq <= self.seq => {}
                Next::Update(update) => {
                    self.seq = update.seq;
                    if matches!(update.change, Change::RunFinished { .. }) {
                        self.updates = None;
                    }
                    return Next::Update(update);
                }
                Next::Lagged => return Next::Lagged,
                Next::End => {
                    self.updates = None;
                    return Next::End;
                }
            }
        }
    }
}

/// The label of a run that says which run it is a retry of.
pub const RETRY_OF_LABEL: &str = "retry_of";

/// Why an engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such run.
    #[error("there is no run `{0}`")]
    NotFound(RunId),
    /// The run has ended.
    #[error("run `{run}` has ended ({})", status.as_str())]
    Ended {
        /// Which.
        run: RunId,
        /// How.
        status: RunStatus,
    },
    /// Nothing waits for this answer.
    #[error("{}", not_waiting(run, step.as_deref(), waiting))]
    NotWaiting {
        /// Which run.
        run: RunId,
        /// Which step was named.
        step: Option<String>,
        /// The steps that do wait.
        waiting: Vec<String>,
    },
    /// The input does not fit the workflow's schema. The first problems are listed, the rest is counted.
    #[error("{}: {}", unfit(.0), .0.join("; "))]
    InvalidInput(Vec<String>),
    /// A bound was met.
    #[error("{0}")]
    Limit(String),
    /// There is no room for it at the moment: it may be tried again.
    #[error("{0}")]
    Busy(String),
    /// The journal has no space. Nothing new is accepted until it has; what is under way waits, and goes on by itself.
    #[error("{0}")]
    Full(String),
    /// The same idempotency key came with another workflow or input.
    #[error("idempotency key `{0}` was used before with another workflow or input")]
    KeyReused(String),
    /// The same workflow stands above this run.
    #[error("workflow cycle: {}", .0.join(" → "))]
    Cycle(Vec<String>),
    /// What its workflow names leads back to itself, or too deep. Found before anything of the run began.
    #[error(transparent)]
    References(Refused),
    /// The run cannot be tried again.
    #[error("run `{run}` cannot be retried: {why}")]
    NotRetryable {
        /// Which.
        run: RunId,
        /// Why.
        why: String,
    },
    /// The engine is shutting down.
    #[error("gantry is shutting down; runs that have not ended go on when it starts again")]
    ShuttingDown,
    /// The journal could not be written.
    #[error("the journal failed: {0}")]
    Journal(String),
    /// What the journal has of the run is not what was written, and will not be when it is read again.
    #[error("the journal failed: {0}")]
    Damaged(String),
    /// Journal and plan do not fit.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// What the steps of these paths are called: by their id where one of them has it, else by their path. The first ten; where several have
/// the id that was `meant`, of these.
pub fn called(paths: &[Path], meant: Option<&str>) -> Vec<String> {
    const NAMED: usize = 10;
    let of_that_id: Vec<Path> = paths.iter().filter(|path| Some(path.step()) == meant).cloned().collect();
    let paths = if of_that_id.len() > 1 { &of_that_id } else { paths };
    let is_only = |path: &Path| paths.iter().filter(|other| other.step() == path.step()).count() == 1;
    let name = |path: &Path| if is_only(path) { path.step().to_owned() } else { path.to_string() };
    let mut names: Vec<String> = paths.iter().take(NAMED).map(name).collect();
    if paths.len() > NAMED {
        names.push(format!("… and {} more", paths.len() - NAMED));
    }
    names
}

/// The one of these that is meant by an id, a path or nothing; none when several could be.
pub fn waiting_step<'p>(paths: &'p [Path], step: Option<&str>) -> Option<&'p Path> {
    let Some(step) = step else { return paths.first().filter(|_| paths.len() == 1) };
    let mut of_that_id = paths.iter().filter(|path| path.step() == step);
    let only = of_that_id.next().filter(|_| of_that_id.next().is_none());
    paths.iter().find(|path| path.as_str() == step).or(only)
}

fn not_waiting(run: &RunId, step: Option<&str>, waiting: &[String]) -> String {
    match (step, waiting) {
        (Some(step), _) if waiting.iter().any(|name| name != step && Path::new(name.as_str()).step() == step) => {
            format!(
                "several steps `{step}` of run `{run}` wait for an answer; name the path of the one that is meant: {}",
                waiting.join(", ")
            )
        }
        (Some(step), []) => format!("no step `{step}` of run `{run}` waits for an answer"),
        (Some(step), _) => format!("no step `{step}` of run `{run}` waits for an answer; those that do: {}", waiting.join(", ")),
        (None, []) => format!("run `{run}` waits for no answer now; a step that will ask takes one before it does when it is named"),
        (None, _) => format!("several steps of run `{run}` wait for an answer; name the one that is meant: {}", waiting.join(", ")),
    }
}

/// Starts, stops and shows runs.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Accepts a run. When this returns, the run is in the journal.
    async fn start(&self, start: Start) -> Result<Started, Error>;
    /// As [`start`](Self::start), and watches the run from its first update, where the engine can. None for a run that was there before.
    async fn start_watched(&self, start: Start) -> Result<(Started, Option<Subscription>), Error> {
        Ok((self.start(start).await?, None))
    }
    /// Asks a run to end. Returns when the wish is in the journal, not when the run has ended.
    async fn cancel(&self, run: &RunId, reason: &str) -> Result<(), Error>;
    /// Answers the step (by id or path) that waits; without one, the only step that waits. An answer to an `input` step that has not
    /// begun is kept until it asks; of several the last one counts. Steps of repetitions have to wait first.
    async fn answer(&self, run: &RunId, step: Option<&str>, answer: Arc<Value>) -> Result<(), Error> {
        self.answer_noted(run, step, answer, None).await
    }
    /// As [`answer`](Self::answer). `note` is kept with the answer, and is in every [`Snapshot`] from then on.
    async fn answer_noted(&self, run: &RunId, step: Option<&str>, answer: Arc<Value>, note: Option<Arc<str>>) -> Result<(), Error>;
    /// A new run of the same plan with the same input that goes on where this one went wrong: what its completed steps were told is
    /// kept and not asked for again; the steps that made it fail, and those that were canceled, begin anew. Retrying the same run twice
    /// gives the same new run. `labels` are the new run's, beside [`RETRY_OF_LABEL`].
    async fn retry(&self, run: &RunId, labels: BTreeMap<String, String>) -> Result<Started, Error>;
    /// The run as it stands.
    async fn snapshot(&self, run: &RunId) -> Result<Snapshot, Error>;
    /// The run when it has ended or waits for an answer; as it stands when it was parked. Cheaper than watching every update.
    async fn wait(&self, run: &RunId) -> Result<Snapshot, Error>;
    /// The run as it stands and everything after.
    async fn subscribe(&self, run: &RunId) -> Result<Subscription, Error>;
    /// The updates after this number up to that one, made anew from the journal: for who came late, or was too slow, and needs more than
    /// the snapshot tells. It costs what the run has cost so far.
    async fn updates(&self, run: &RunId, after: u64, upto: u64) -> Result<Vec<Update>, Error>;
    /// Whether runs are still there after the process has ended, the ended ones for as long as they are kept.
    fn is_durable(&self) -> bool {
        false
    }
    /// Whether the run waits for people or timers alone, and takes no more memory than a line in an index.
    fn rests(&self, _run: &RunId) -> bool {
        false
    }
    /// Who watched the run, or waited for it, has gone: what is kept for them can be given back.
    fn unwatched(&self, _run: &RunId) {}
    /// One line of each run that fits, newest change first.
    async fn list(&self, filter: &Filter) -> Result<Vec<RunSummary>, Error> {
        Ok(self.page(filter).await?.runs)
    }
    /// As [`list`](Self::list), and how many there are in all.
    async fn page(&self, filter: &Filter) -> Result<Page, Error>;
    /// The agents that were called lately: whether they are, and how busy they are.
    fn agents(&self) -> Vec<GateStatus>;
    /// Whether the last run that was to begin was refused a short while ago because the journal has no space.
    fn is_full(&self) -> bool {
        false
    }
    /// One run's line, with its labels.
    async fn summary(&self, run: &RunId) -> Result<RunSummary, Error>;
}

/// What does not fit what: answers are checked like inputs.
fn unfit(problems: &[String]) -> &'static str {
    let is_answer = problems.first().is_some_and(|problem| problem.starts_with("answer"));
    if is_answer { "the answer does not fit what the step asks for" } else { "the input does not fit the workflow" }
}
