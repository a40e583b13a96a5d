//! `execute_workflow` answered by this engine itself: a run of its own, linked to its parent by ancestry.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Embedded;
use super::drive::Control;
use super::invoke::{Lineage, Outcome, Ties};
use crate::agent::Hold;
use crate::discovery;
use crate::engine::{Engine, Error, Next, Start, Started, Subscription};
use crate::ids::RunId;
use crate::interpreter::{self, Change, ErrorClass, Invocation, Question, RemoteTask, Snapshot, StepError, StepStatus};
use crate::journal::{PARENT_LABEL, ROOT_LABEL, STEP_LABEL};
use crate::limits;
use crate::plan::{self, Path};

/// The inputs of the skill `execute_workflow`.
#[derive(Debug, Deserialize)]
pub(super) struct Execute {
    workflow_id: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    idempotency_key: Option<String>,
}

impl Execute {
    /// Runs the workflow of a reference, as one child of the call.
    pub(super) fn of(workflow_id: String, input: Value) -> Self {
        Self { workflow_id, version: None, digest: None, input, idempotency_key: None }
    }

    fn read(inputs: &Value) -> Result<Self, StepError> {
        Self::deserialize(inputs).map_err(|error| {
            StepError::new(ErrorClass::Rejected, format!("execute_workflow: {error}"))
                .with_hint(Some("inputs are {workflow_id, version?, input}".to_owned()))
        })
    }
}

/// How long a child that cannot begin or be read yet is waited for.
pub(super) struct Turn<'a> {
    /// What is left of the step's time.
    pub(super) left: &'a mut Duration,
    pub(super) cancel: &'a CancellationToken,
}

/// Why a child has not begun.
enum NotStarted {
    Refused(Error),
    /// There was no room in all the time that the step has.
    TooLate(Error),
    Canceled,
}

/// The idempotency key of the one child that an attempt has.
pub(super) fn child_key(parent: &RunId, invocation: &Invocation) -> String {
    format!("{parent}{}#{}", invocation.path, invocation.attempt)
}

impl Embedded {
    /// Runs the workflow that the inputs name and waits for its end. Cancelling ends the child, too.
    pub(super) async fn delegate(
        &self,
        parent: &RunId,
        invocation: &Invocation,
        lineage: &Lineage,
        ties: &Ties,
    ) -> Result<Outcome, StepError> {
        let mut left = invocation.timeout;
        let child = match &invocation.resume {
            Some(remote) => self.resume_child(remote, invocation, Turn { left: &mut left, cancel: &ties.cancel }).await,
            None => match Execute::read(&invocation.inputs) {
                Ok(execute) => self.start_child(parent, invocation, execute, lineage, Turn { left: &mut left, cancel: &ties.cancel }).await,
                Err(error) => Err(error),
            },
        };
        self.attend(parent, child, left, ties).await
    }

    /// Waits for what comes of a child, if it could be reached.
    pub(super) async fn attend(
        &self,
        parent: &RunId,
        child: Result<RunId, StepError>,
        timeout: Duration,
        ties: &Ties,
    ) -> Result<Outcome, StepError> {
        let child = match child {
            Err(_) if self.inner.stopping.is_cancelled() => return Ok(Outcome::Parked),
            child => child?,
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(timeout, self.wait(parent, &child)) => ended,
            () = ties.cancel.cancelled() => {
                self.stop_child(&child, "the run above it was canceled").await;
                return Err(StepError::new(ErrorClass::Canceled, "canceled"));
            }
            // A child at rest will not end now: there is nothing to wait for.
            () = self.stopped_while_at_rest(&child) => return Ok(Outcome::Parked),
        };
        match ended {
            Ok(outcome) => outcome,
            Err(_) => {
                self.stop_child_when_stored(child.clone(), &ties.hold);
                Err(StepError::new(ErrorClass::Timeout, format!("run `{child}` took longer than {}", crate::time::humanize(timeout))))
            }
        }
    }

    /// Waits until gantry stops, and for ever if the run does not rest then.
    async fn stopped_while_at_rest(&self, run: &RunId) {
        self.inner.stopping.cancelled().await;
        if !(self.inner.journal.is_durable() && self.inner.runs.is_resting(run)) {
            std::future::pending::<()>().await;
        }
    }

    /// The child that was made with this key, before a restart for one.
    pub(super) async fn child_of(&self, key: &str) -> Result<Option<RunId>, StepError> {
        self.inner.journal.find(key).await.map_err(|error| StepError::new(ErrorClass::Unavailable, error.to_string()))
    }

    pub(super) async fn start_child(
        &self,
        parent: &RunId,
        invocation: &Invocation,
        execute: Execute,
        lineage: &Lineage,
        turn: Turn<'_>,
    ) -> Result<RunId, StepError> {
        let own_key = execute.idempotency_key.is_none();
        // A key that an author chose is one among workflows: it must not meet those of callers.
        let authors = |key: &String| format!("workflow\u{1f}{key}");
        let key = execute.idempotency_key.as_ref().map_or_else(|| child_key(parent, invocation), authors);
        // Whatever the name means by now, this attempt's child is the one that was made.
        if own_key && let Some(child) = self.child_of(&key).await? {
            return Ok(child);
        }
        let reference = plan::reference_to(&execute.workflow_id, execute.version.as_deref(), execute.digest.as_deref());
        let look = self.find_patiently(|| self.inner.discovery.workflow(&reference));
        let found = tokio::select! {
            found = tokio::time::timeout(*turn.left, look) => found,
            () = turn.cancel.cancelled() => return Err(StepError::new(ErrorClass::Canceled, "canceled")),
        };
        let too_late = |_| StepError::new(ErrorClass::Timeout, format!("workflow `{}` was not found in time", execute.workflow_id));
        let found = found.map_err(too_late)?.map_err(|error| {
            let code = if matches!(error, discovery::Error::Registry(_)) { ErrorClass::Unavailable } else { ErrorClass::Rejected };
            warn!(%error, "workflow of a step not found");
            StepError::new(code, error.without_place())
        })?;
        let input = if execute.input.is_null() { json!({}) } else { execute.input };
        let mut start = Start::new(found.plan, Arc::new(input));
        start.ancestry.clone_from(&lineage.runs);
        start.idempotency_key = Some(key);
        let labels = [
            (PARENT_LABEL, parent.to_string()),
            (STEP_LABEL, invocation.path.to_string()),
            (ROOT_LABEL, lineage.usage.root_run().to_string()),
        ];
        start.labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let started = self.start_in_turn(start, lineage, turn).await.map_err(|not_started| {
            let error = match not_started {
                NotStarted::Refused(error) => error,
                NotStarted::Canceled => return StepError::new(ErrorClass::Canceled, "canceled"),
                NotStarted::TooLate(error) => {
                    let (workflow, timeout) = (&execute.workflow_id, crate::time::humanize(invocation.timeout));
                    return StepError::new(ErrorClass::Timeout, format!("workflow `{workflow}` did not begin within {timeout}: {error}"));
                }
            };
            let code = match error {
                Error::Limit(_) | Error::Cycle(_) | Error::References(_) => ErrorClass::Limit,
                Error::InvalidInput(_) => ErrorClass::InvalidInput,
                Error::ShuttingDown | Error::Journal(_) | Error::Damaged(_) | Error::Busy(_) | Error::Full(_) => ErrorClass::Unavailable,
                Error::NotFound(_)
                | Error::Ended { .. }
                | Error::NotWaiting { .. }
                | Error::NotRetryable { .. }
                | Error::KeyReused(_)
                | Error::Mismatch(_) => ErrorClass::Rejected,
            };
            // The author knows the key as it was written.
            let error = match (error, execute.idempotency_key) {
                (Error::KeyReused(_), Some(key)) => Error::KeyReused(key),
                (error, _) => error,
            };
            StepError::new(code, format!("workflow `{}`: {error}", execute.workflow_id))
        })?;
        Ok(started.run)
    }

    /// Starts it as soon as there is space and room.
    ///
    /// Room is waited for as long as the step may take. Space is waited for as a run waits with an event that it cannot store: while nothing
    /// can be stored, nothing can come of the step either, so that its time is not used up.
    async fn start_in_turn(&self, start: Start, lineage: &Lineage, turn: Turn<'_>) -> Result<Started, NotStarted> {
        let Turn { left, cancel } = turn;
        let (mut for_room, mut for_space) = (limits::RUN_START_REST, limits::JOURNAL_FULL_REST);
        loop {
            let rest = match self.start_below(start.clone(), &lineage.usage).await {
                Err(Error::Full(why)) => {
                    warn!(workflow = %start.plan.workflow().metadata.id, why, "a run below another waits for the journal");
                    let rest = for_space;
                    for_space = (for_space * 2).min(limits::JOURNAL_FULL_REST_MAX);
                    rest
                }
                Err(error @ Error::Busy(_)) => {
                    if left.is_zero() {
                        return Err(NotStarted::TooLate(error));
                    }
                    debug!(workflow = %start.plan.workflow().metadata.id, %error, "a run below another waits for room");
                    let rest = for_room.min(*left);
                    for_room = (for_room * 2).min(limits::RUN_START_REST_MAX);
                    *left -= rest;
                    rest
                }
                outcome => return outcome.map_err(NotStarted::Refused),
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // The next try is refused, and says so.
                () = self.inner.stopping.cancelled() => {}
                () = cancel.cancelled() => return Err(NotStarted::Canceled),
            }
        }
    }

    /// Passes an answer down. A child that cannot be read now is given it when it can, as long as the step may take.
    async fn resume_child(&self, remote: &RemoteTask, invocation: &Invocation, turn: Turn<'_>) -> Result<RunId, StepError> {
        let rejected = |error: String| StepError::new(ErrorClass::Rejected, error);
        let child = RunId::parse(&remote.task_id).map_err(|error| rejected(error.to_string()))?;
        let mut rest = limits::RUN_READ_REST;
        loop {
            // The context names the child's step that asked, and which of its attempts did: a later question is another one.
            match self.answer(&child, Some(&remote.context_id), Arc::clone(&invocation.inputs)).await {
                // Nothing waits: the answer was given before a restart, and the child has gone on with it.
                Ok(()) | Err(Error::NotWaiting { .. } | Error::Ended { .. }) => return Ok(child),
                Err(error @ Error::Busy(_)) if !turn.left.is_zero() => {
                    debug!(%child, %error, "an answer waits for the run that it is for");
                    let now = rest.min(*turn.left);
                    *turn.left -= now;
                    rest = (rest * 2).min(limits::RUN_READ_REST_MAX);
                    tokio::select! {
                        () = tokio::time::sleep(now) => {}
                        // The next try is refused, and says so.
                        () = self.inner.stopping.cancelled() => {}
                        () = turn.cancel.cancelled() => return Err(StepError::new(ErrorClass::Canceled, "canceled")),
                    }
                }
                Err(error @ (Error::ShuttingDown | Error::Journal(_) | Error::Damaged(_) | Error::Busy(_) | Error::Full(_))) => {
                    return Err(StepError::new(ErrorClass::Unavailable, error.to_string()));
                }
                Err(error) => return Err(rejected(error.to_string())),
            }
        }
    }

    /// Ends a child that waits for an answer which will not come.
    pub(super) async fn give_up_child(&self, remote: &RemoteTask) {
        if let Ok(child) = RunId::parse(&remote.task_id) {
            self.stop_child(&child, "the run above it ended").await;
        }
    }

    pub(super) async fn stop_child(&self, child: &RunId, reason: &str) {
        // A child that has just ended needs no canceling.
        let _ = self.ask(child, |reply| Control::Unwanted(reason.to_owned(), reply)).await;
    }

    /// Ends a child that took too long, once the journal has it that its parent's step failed: were the child canceled before, the step
    /// would find it so after a restart.
    fn stop_child_when_stored(&self, child: RunId, hold: &Hold) {
        hold.keep();
        let (engine, verdict) = (self.clone(), hold.verdict());
        self.inner.tasks.spawn(async move {
            if verdict.await {
                engine.stop_child(&child, "the step above it timed out").await;
            }
        });
    }

    /// Waits for what comes of a child. One that cannot be read now is looked at again; whoever calls bounds for how long.
    async fn wait(&self, parent: &RunId, child: &RunId) -> Result<Outcome, StepError> {
        let unavailable = |error: String| StepError::new(ErrorClass::Unavailable, error);
        let mut rest = limits::RUN_READ_REST;
        loop {
            // Asked first: one that is out of reach before it is read changes no more.
            let is_within_reach = self.inner.runs.is_within_reach(child);
            let stopped = match self.subscribe(child).await {
                Ok(mut watched) => {
                    if let Some(outcome) = settled(child, &watched.snapshot) {
                        return outcome;
                    }
                    if watched.is_live() {
                        rest = limits::RUN_READ_REST;
                        if let Some(outcome) = watch(child, &mut watched).await {
                            return outcome;
                        }
                        continue;
                    }
                    (!is_within_reach).then(|| format!("run `{child}` stopped before its end; the log says why"))
                }
                Err(Error::Journal(_) | Error::Busy(_) | Error::Full(_)) => None,
                // How it will end once it can be read is not known.
                Err(error @ (Error::Damaged(_) | Error::Mismatch(_))) => Some(error.to_string()),
                Err(error) => return Err(unavailable(error.to_string())),
            };
            if self.inner.stopping.is_cancelled() {
                return Ok(Outcome::Parked);
            }
            if let Some(why) = stopped {
                if self.inner.journal.is_durable() {
                    // Gone already, it needs not be told.
                    let _ = self.tell(parent, Control::Stop(child.clone())).await;
                    return Ok(Outcome::Parked);
                }
                return Err(unavailable(why));
            }
            warn!(run_id = %parent, %child, "a run below cannot be read now");
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.inner.stopping.cancelled() => {}
            }
            rest = (rest * 2).min(limits::RUN_READ_REST_MAX);
        }
    }
}

/// What comes of a child that is under way. None when it is to be looked at anew: the watch lagged, it went away, or something waits, and
/// which attempt asks is in the snapshot.
async fn watch(child: &RunId, watched: &mut Subscription) -> Option<Result<Outcome, StepError>> {
    while let Next::Update(update) = watched.next().await {
        match &update.change {
            Change::RunFinished { outcome } => return Some(finished(child, outcome)),
            Change::StepWaiting { .. } => break,
            Change::RunStarted | Change::StepStarted { .. } | Change::StepRetrying { .. } | Change::StepFinished { .. } => {}
        }
    }
    None
}

/// What the parent's step gets, when the child has ended or asks something.
fn settled(child: &RunId, snapshot: &Snapshot) -> Option<Result<Outcome, StepError>> {
    if let Some(outcome) = &snapshot.outcome {
        return Some(finished(child, outcome));
    }
    let waiting = snapshot.steps.iter().find(|step| step.status == StepStatus::Waiting)?;
    waiting.question.as_ref().map(|question| Ok(ask(child, &asked_by(&waiting.path, waiting.attempts), question)))
}

/// How a question of a step is told from the others that it may have: by the attempt that asks, 0 where a step has none.
pub(super) fn asked_by(path: &Path, attempt: u32) -> String {
    format!("{path}#{attempt}")
}

/// The step, by path or id, and the attempt that is meant. An earlier gantry named no attempt.
pub(super) fn meant(asked_by: &str) -> (&str, Option<u32>) {
    let attempt = |(step, attempt): (_, &str)| Some((step, Some(attempt.parse().ok()?)));
    asked_by.rsplit_once('#').and_then(attempt).unwrap_or((asked_by, None))
}

fn finished(child: &RunId, outcome: &interpreter::Outcome) -> Result<Outcome, StepError> {
    match outcome {
        interpreter::Outcome::Completed { output } => Ok(Outcome::Value(Value::clone(output))),
        interpreter::Outcome::Failed { error } => Err(error.told_as(format!("run `{child}` failed at {error}"))),
        interpreter::Outcome::Canceled { reason } => {
            Err(StepError::new(ErrorClass::AgentError, format!("run `{child}` was canceled: {reason}")))
        }
    }
}

fn ask(child: &RunId, asked_by: &str, question: &Question) -> Outcome {
    let remote = RemoteTask { task_id: child.to_string(), context_id: asked_by.to_owned() };
    Outcome::Question(Question {
        remote: Some(remote),
        schema: question.schema.clone(),
        auth: question.auth,
        prompt: Arc::clone(&question.prompt),
    })
}
