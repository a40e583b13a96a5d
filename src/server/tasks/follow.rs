//! Follows a run and makes its updates the events of its task. After a gap, and when the run was faster than its follower, the
//! journal and the snapshot fill in what was missed, through the same path, so that nothing is sent twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::parts::{form, question_parts, value_parts};
use super::signals::Signals;
use super::task::{Task, Waiting, now};
use super::trouble::Trouble;
use crate::a2a::extension::OUTPUT;
use crate::a2a::{Artifact, Part, PartContent, TaskState};
use crate::engine::{Engine, Next, Subscription, called};
use crate::ids::RunId;
use crate::interpreter::{Change, ErrorClass, Outcome, RunStatus, Snapshot, StepError, StepReport, StepStatus};
use crate::plan::{Path, Plan};
use crate::server::kept::written;
use crate::time::Timestamp;

/// Names the run, its workflow and its steps in metadata; carries depth and ancestry in requests.
pub(in crate::server) const RUN_EXTENSION: &str = crate::a2a::extension::RUN;

/// Steps of a task that are artifacts; of those that come after them only the output tells. Callers bound what they read.
const STEP_ARTIFACTS_MAX: usize = 500;
/// Schemas of answers in one question. Those that are larger are in the workflow.
const ASKED_SCHEMAS_BYTES_MAX: usize = 1_024;
/// Updates of a run that are made anew for its task. A run that has more has told what fits into a task long before.
const RETOLD_MAX: u64 = 10_000;

/// What a task's metadata says about its run.
#[derive(Debug)]
pub(in crate::server) struct AboutRun {
    pub(in crate::server) run: RunId,
    pub(in crate::server) plan: Arc<Plan>,
    /// Why this workflow in this version.
    pub(in crate::server) choice: String,
}

impl AboutRun {
    /// As metadata of the task.
    pub(in crate::server) fn metadata(&self) -> Map<String, Value> {
        let Self { run, plan, choice } = self;
        let metadata = &plan.workflow().metadata;
        let about = json!({
            "run": run, "workflow": metadata.id, "version": metadata.version.to_string(), "digest": plan.digest(), "choice": choice,
        });
        Map::from_iter([(RUN_EXTENSION.to_owned(), about)])
    }
}

/// What follows runs, and how.
pub(in crate::server) struct Following {
    pub(in crate::server) engine: Arc<dyn Engine>,
    /// Whether steps are artifacts.
    pub(in crate::server) step_artifacts: bool,
    /// Cancelled when gantry ends: a run that stops then has not failed.
    pub(in crate::server) stopping: CancellationToken,
    /// Held by all who follow runs: how many do is how often it is held.
    pub(in crate::server) count: Arc<()>,
}

/// Follows the run to its end, or until its task has left memory: nobody sees then what is told. Does not keep the task there.
/// `subscription`: of a run that is watched from its first update.
pub(in crate::server) fn follow(
    following: Following,
    run: RunId,
    task: &Arc<Task>,
    subscription: Option<Subscription>,
) -> impl Future<Output = ()> + Send + use<> {
    let Following { engine, step_artifacts, stopping, count } = following;
    let artifacts_left = if step_artifacts { STEP_ARTIFACTS_MAX } else { 0 };
    let (task, signals) = (Arc::downgrade(task), task.signals());
    let follower =
        Follower { engine, stopping, run, task, signals, artifacts_left, calling: BTreeSet::new(), seen: 0, owes_question: false };
    async move {
        follower.follow(subscription).await;
        drop(count);
    }
}

struct Follower {
    engine: Arc<dyn Engine>,
    stopping: CancellationToken,
    run: RunId,
    task: Weak<Task>,
    signals: Signals,
    artifacts_left: usize,
    /// Paths of the calls under way.
    calling: BTreeSet<String>,
    /// Number of the last update that was seen.
    seen: u64,
    /// Steps wait, and the run was at work when it was asked: that it does nothing more is no update.
    owes_question: bool,
}

impl Follower {
    async fn follow(mut self, subscription: Option<Subscription>) {
        if subscription.is_some() || !self.sees_only_the_end().await {
            // Boxed: most runs are waited for and nothing else.
            Box::pin(self.keep_up(subscription)).await;
        }
        if self.task.strong_count() == 0 {
            self.engine.unwatched(&self.run);
        }
    }

    /// Tells what happens to the run until its end.
    async fn keep_up(&mut self, mut subscription: Option<Subscription>) {
        let mut signals = self.signals.clone();
        loop {
            let subscribed = match subscription.take() {
                Some(subscription) => Ok(subscription),
                None => self.engine.subscribe(&self.run).await,
            };
            let Some(task) = self.task.upgrade() else { return };
            match subscribed {
                Ok(mut subscription) => {
                    self.retell(&task, &subscription).await;
                    self.catch_up(&task, &subscription.snapshot);
                    task.is_followed();
                    drop(task);
                    let mut rest = None;
                    loop {
                        if !self.owes_question {
                            rest = None;
                        } else if rest.is_none() {
                            let (engine, run) = (Arc::clone(&self.engine), self.run.clone());
                            rest = Some(Box::pin(async move { engine.wait(&run).await }));
                        }
                        // All are safe to drop while they wait.
                        let next = tokio::select! {
                            biased;
                            next = subscription.next() => next,
                            snapshot = async { rest.as_mut().expect("it is there").await }, if rest.is_some() => {
                                rest = None;
                                self.owes_question = false;
                                let Some(task) = self.task.upgrade() else { return };
                                // It may have been answered since.
                                if let Ok(snapshot) = snapshot {
                                    self.ask_if_nothing_else_is_under_way(&task, snapshot.changed_at).await;
                                }
                                continue;
                            }
                            is_doubted = signals.doubted() => {
                                if !is_doubted {
                                    return;
                                }
                                // A new snapshot says how it stands, as after a gap.
                                Next::Lagged
                            }
                        };
                        let Some(task) = self.task.upgrade() else { return };
                        match next {
                            Next::Update(update) => {
                                self.seen = update.seq;
                                self.apply(&task, update.at, &update.change).await;
                            }
                            Next::Lagged => {
                                task.believe();
                                break;
                            }
                            Next::End => return self.close(&task).await,
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(run_id = %self.run, %error, "a run cannot be followed");
                    // That it cannot be read does not mean that it has failed.
                    return task.lose(Trouble::Unreadable);
                }
            }
        }
    }

    /// Waits for the end of the run, or for somebody who wants to see more; true when there is nothing more to tell: the run has ended,
    /// or the task has left.
    async fn sees_only_the_end(&mut self) -> bool {
        let snapshot = tokio::select! {
            snapshot = self.engine.wait(&self.run) => snapshot,
            is_there = self.signals.wanted() => return !is_there,
        };
        let Some(task) = self.task.upgrade() else { return true };
        // What repeated steps yielded is not in it: that takes another look, after a restart too.
        if let Ok(snapshot) = snapshot
            && !repeats(&snapshot)
        {
            let snapshot = Arc::new(snapshot);
            match &snapshot.outcome {
                Some(outcome) if task.keep_unread(&snapshot, self.artifacts_left) => {
                    task.recall(&snapshot.notes);
                    task.set_outcome(outcome.clone());
                    end(&task, snapshot.finished_at.unwrap_or(snapshot.changed_at), outcome);
                }
                _ => self.catch_up(&task, &snapshot),
            }
            // A run at rest stays there until somebody wants more than what it asks.
            if task.state().0.is_interrupted() {
                drop(task);
                return !self.signals.wanted().await;
            }
        }
        task.state().0.is_terminal()
    }

    /// Tells what was missed and is not in the snapshot: that steps began and were tried again, if somebody watches, and what steps
    /// inside repetitions yielded.
    async fn retell(&mut self, task: &Task, subscription: &Subscription) {
        let (after, upto) = (self.seen, subscription.seq.min(RETOLD_MAX));
        self.seen = subscription.seq;
        if after >= upto || !(task.is_watched() || (self.artifacts_left > 0 && repeats(&subscription.snapshot))) {
            return;
        }
        if task.state().0 == TaskState::Submitted {
            task.set_status(TaskState::Working, Vec::new(), subscription.snapshot.started_at, Map::new());
        }
        match self.engine.updates(&self.run, after, upto).await {
            Ok(updates) => updates.iter().for_each(|update| self.tell(task, update.at, &update.change)),
            Err(error) => tracing::warn!(run_id = %self.run, %error, "what was missed of a run cannot be read"),
        }
    }

    fn catch_up(&mut self, task: &Task, snapshot: &Snapshot) {
        let at = snapshot.finished_at.unwrap_or(snapshot.changed_at);
        task.recall(&snapshot.notes);
        match task.state().0 {
            TaskState::Submitted => _ = task.set_status(TaskState::Working, Vec::new(), snapshot.started_at, Map::new()),
            // It was answered meanwhile.
            state if state.is_interrupted() && snapshot.status == RunStatus::Running => {
                task.set_status(TaskState::Working, Vec::new(), at, Map::new());
            }
            _ => {}
        }
        // A step inside a repetition that ended in the gap is not in the snapshot: what is not in it is over.
        self.calling.clear();
        let waiting: BTreeSet<&str> =
            snapshot.steps.iter().filter(|step| step.status == StepStatus::Waiting).map(|step| step.path.as_str()).collect();
        task.wait_only_for(&waiting);
        for step in &snapshot.steps {
            match step.status {
                StepStatus::Waiting => self.waiting(task, step),
                StepStatus::Completed | StepStatus::Failed | StepStatus::Skipped | StepStatus::Canceled => {
                    self.calling.remove(step.path.as_str());
                    task.set_waiting(step.path.as_str(), None);
                    if step.status == StepStatus::Completed && has_own_output(step.kind) {
                        self.step_artifact(task, step.path.as_str(), step.id.as_str(), &step.outputs);
                    }
                }
                StepStatus::Running => {
                    task.set_waiting(step.path.as_str(), None);
                    if step.skill.is_some() {
                        self.calling.insert(step.path.to_string());
                    }
                }
                StepStatus::Pending => {}
            }
        }
        if let Some(outcome) = &snapshot.outcome {
            finish(task, at, outcome);
        } else {
            self.ask_when_it_waits(task, at, snapshot);
        }
    }

    /// Nothing more is told of the run; when its end was not among it, the snapshot knows it.
    async fn close(&mut self, task: &Task) {
        if task.state().0.is_terminal() {
            return;
        }
        match self.engine.snapshot(&self.run).await {
            Ok(snapshot) => self.catch_up(task, &snapshot),
            Err(error) => tracing::warn!(run_id = %self.run, %error, "a run's end cannot be read"),
        }
        // A run that is parked goes on at the next start; its streams are told so when they are ended.
        if task.state().0.is_terminal() || self.stopping.is_cancelled() {
            return;
        }
        if self.engine.is_durable() {
            // It has not failed: the next start goes on with it.
            task.lose(Trouble::Stopped);
        } else {
            let parts = vec![Part::text("gantry stopped before the run ended")];
            task.set_status(TaskState::Failed, parts, now(), Map::new());
        }
    }

    async fn apply(&mut self, task: &Task, at: Timestamp, change: &Change) {
        self.tell(task, at, change);
        match change {
            Change::RunStarted => {
                if task.state().0 == TaskState::Submitted {
                    task.set_status(TaskState::Working, Vec::new(), at, Map::new());
                }
            }
            Change::StepStarted { path, skill, .. } => {
                task.set_waiting(path.as_str(), None);
                if skill.is_some() {
                    self.calling.insert(path.to_string());
                }
            }
            Change::StepRetrying { .. } => {}
            Change::StepWaiting { path, step, question } => {
                self.calling.remove(path.as_str());
                let waiting = Waiting { step: step.to_string(), question: question.clone() };
                task.set_waiting(path.as_str(), Some(waiting));
                self.ask_if_nothing_else_is_under_way(task, at).await;
            }
            Change::StepFinished { path, .. } => {
                self.calling.remove(path.as_str());
                if task.set_waiting(path.as_str(), None) {
                    self.ask_if_nothing_else_is_under_way(task, at).await;
                }
            }
            Change::RunFinished { outcome } => finish(task, at, outcome),
        }
    }

    /// What a change says, whenever it is told. Who waits, and how the run stands, is not among it.
    fn tell(&mut self, task: &Task, at: Timestamp, change: &Change) {
        match change {
            Change::StepStarted { path, step, skill: Some(skill), attempt } => task.progress(at, || {
                let text = format!("step `{step}` calls `{skill}`");
                (text, step_metadata(path.as_str(), step.as_str(), "running", json!({ "skill": skill, "attempt": attempt })))
            }),
            Change::StepRetrying { path, step, attempt, error, .. } => task.progress(at, || {
                let text = format!("step `{step}` is tried again (attempt {attempt}): {}", error.message);
                (text, step_metadata(path.as_str(), step.as_str(), "retrying", json!({ "attempt": attempt, "error": error })))
            }),
            Change::StepFinished { path, step, kind, status, outputs, error, .. } => {
                if *status == StepStatus::Completed && has_own_output(kind) {
                    self.step_artifact(task, path.as_str(), step.as_str(), outputs);
                }
                if let Some(error) = error {
                    task.progress(at, || {
                        let text = match status {
                            StepStatus::Canceled => format!("step `{step}` is canceled: {}", error.message),
                            _ => format!("step `{step}` failed: {}", error.message),
                        };
                        (text, step_metadata(path.as_str(), step.as_str(), status.as_str(), json!({ "error": error })))
                    });
                }
            }
            Change::StepStarted { skill: None, .. } | Change::RunStarted | Change::StepWaiting { .. } | Change::RunFinished { .. } => {}
        }
    }

    fn waiting(&mut self, task: &Task, step: &StepReport) {
        self.calling.remove(step.path.as_str());
        if let Some(question) = &step.question {
            let waiting = Waiting { step: step.id.to_string(), question: question.clone() };
            task.set_waiting(step.path.as_str(), Some(waiting));
        }
    }

    /// Only the engine knows whether something else is about to start, so it is asked.
    async fn ask_if_nothing_else_is_under_way(&mut self, task: &Task, at: Timestamp) {
        if !self.calling.is_empty() {
            return;
        }
        if let Ok(snapshot) = self.engine.snapshot(&self.run).await {
            self.ask_when_it_waits(task, at, &snapshot);
        }
    }

    fn ask_when_it_waits(&mut self, task: &Task, at: Timestamp, snapshot: &Snapshot) {
        let mut waiting = snapshot.steps.iter().filter(|step| step.status == StepStatus::Waiting).peekable();
        self.owes_question = snapshot.status == RunStatus::Running && waiting.peek().is_some();
        if snapshot.status == RunStatus::InputRequired && self.calling.is_empty() {
            waiting.for_each(|step| self.waiting(task, step));
            ask(task, at);
        }
    }

    fn step_artifact(&mut self, task: &Task, path: &str, step: &str, outputs: &Arc<Value>) {
        if self.artifacts_left == 0 {
            return;
        }
        if let Some(artifact) = of_step(path, step, outputs)
            && task.add_artifact(artifact, false, true)
        {
            self.artifacts_left -= 1;
        }
    }
}

/// The steps' questions become the task's.
fn ask(task: &Task, at: Timestamp) {
    let waiting = task.waiting();
    // An answer that is needed to get in goes first: without it the others may be for nothing.
    let state = if waiting.values().any(|waiting| waiting.question.auth) { TaskState::AuthRequired } else { TaskState::InputRequired };
    let steps: Vec<Value> = waiting
        .iter()
        .map(|(path, w)| json!({ "step": w.step, "path": path, "auth": w.question.auth, "prompt": w.question.prompt }))
        .collect();
    let parts = match waiting.values().next() {
        Some(only) if waiting.len() == 1 => question_parts(&only.question.prompt),
        _ => {
            let paths: Vec<Path> = waiting.keys().map(|path| Path::new(path.as_str())).collect();
            let names = called(&paths, None).join(", ");
            let text = format!("{} steps wait for an answer: {names}. Name the step in `metadata.step`.", waiting.len());
            vec![Part::text(text), Part::data(json!({ "waiting": steps }))]
        }
    };
    let metadata = Map::from_iter([(RUN_EXTENSION.to_owned(), json!({ "waiting": steps }))]);
    // What they ask is in the message already. The history keeps it: schemas that are large stay out of it.
    let mut room = ASKED_SCHEMAS_BYTES_MAX;
    let mut answers = Vec::new();
    for (path, waiting) in &waiting {
        let mut about = json!({ "step": waiting.step, "path": path, "auth": waiting.question.auth });
        if let Some(schema) = &waiting.question.schema
            && let Some(text) = written(&**schema, room)
        {
            room -= text.len();
            about["schema"] = Value::clone(schema);
        }
        answers.push(about);
    }
    let about = Map::from_iter([(RUN_EXTENSION.to_owned(), json!({ "waiting": answers }))]);
    task.ask(state, parts, about, at, metadata);
}

fn finish(task: &Task, at: Timestamp, outcome: &Outcome) {
    let mut is_small = true;
    if let Outcome::Completed { output } = outcome {
        let artifact = of_output(output);
        is_small = !artifact.parts.iter().any(|part| matches!(part.content, PartContent::Written(_)));
        task.add_artifact(artifact, false, true);
    }
    // Of what is not, the engine has the values.
    if is_small {
        task.set_outcome(outcome.clone());
    }
    end(task, at, outcome);
}

/// Says how the run ended; its artifacts are there, or will be when they are read.
fn end(task: &Task, at: Timestamp, outcome: &Outcome) {
    match outcome {
        Outcome::Completed { .. } => task.set_status(TaskState::Completed, Vec::new(), at, Map::new()),
        Outcome::Failed { error } => {
            let metadata = Map::from_iter([(RUN_EXTENSION.to_owned(), json!({ "error": error }))]);
            task.set_status(TaskState::Failed, vec![Part::text(told(error))], at, metadata)
        }
        Outcome::Canceled { reason } => {
            task.set_status(TaskState::Canceled, vec![Part::text(format!("canceled: {reason}"))], at, Map::new())
        }
    };
}

/// What a step yielded. None when there is nothing in it.
pub(super) fn of_step(path: &str, step: &str, outputs: &Arc<Value>) -> Option<Artifact> {
    let mut parts = value_parts(outputs);
    if parts.is_empty() {
        return None;
    }
    parts.iter_mut().for_each(Part::compact);
    let metadata = step_metadata(path, step, "completed", json!({ "artifact": "step" }));
    Some(Artifact { artifact_id: format!("step:{path}"), name: Some(step.to_owned()), parts, metadata, ..Artifact::default() })
}

pub(super) fn of_output(output: &Arc<Value>) -> Artifact {
    let mut parts = value_parts(output);
    if parts.is_empty() {
        parts.push(Part::data(Arc::clone(output)));
    }
    parts.iter_mut().for_each(Part::compact);
    let mut about = json!({ "artifact": OUTPUT });
    if let Some(form) = form(output) {
        about["form"] = json!(form);
    }
    let metadata = Map::from_iter([(RUN_EXTENSION.to_owned(), about)]);
    Artifact { artifact_id: OUTPUT.to_owned(), name: Some(OUTPUT.to_owned()), parts, metadata, ..Artifact::default() }
}

/// Whether a run has steps that run many times, of which a snapshot shows only what is under way.
fn repeats(snapshot: &Snapshot) -> bool {
    snapshot.steps.iter().any(|step| matches!(step.kind, "map" | "loop"))
}

/// Whether a step of this `step_type` yields something that is not just what the steps inside it yielded, and were told for.
pub(super) fn has_own_output(kind: &str) -> bool {
    !matches!(kind, "parallel" | "conditional" | "switch")
}

/// Why a run failed. A template that has no value is a mistake in the workflow's text, so that its author is told the line.
fn told(error: &StepError) -> String {
    let mut text = match (&error.step, error.line) {
        (Some(step), Some(line)) if error.code == ErrorClass::Template => {
            let without_place = error.clone().with(|error| error.step = None);
            format!("step `{step}` (line {line}): {without_place}")
        }
        _ => error.to_string(),
    };
    if let Some(hint) = &error.hint {
        text.push_str(". ");
        text.push_str(hint);
    }
    text
}

fn step_metadata(path: &str, step: &str, status: &str, more: Value) -> Map<String, Value> {
    let mut about = json!({ "step": step, "path": path, "status": status });
    if let (Value::Object(about), Value::Object(more)) = (&mut about, more) {
        about.extend(more);
    }
    Map::from_iter([(RUN_EXTENSION.to_owned(), about)])
}

#[cfg(test)]
mod tests;
