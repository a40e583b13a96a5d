//! How a run ends: its output, the handlers by outcome, cancellation, deadlines.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::state::{CallPhase, FrameIndex, GroupState, LoopState, MapState, Phase, Place, Record, SequenceEnd, State, Work};
use super::{Change, Command, ErrorClass, Outcome, Run, StepError, StepStatus, Timer};
use crate::plan::{Handler, Path};

impl Run {
    pub(super) fn steps_ended(&mut self, end: SequenceEnd) {
        let outcome = match end {
            SequenceEnd::Completed(last) => self.output(last),
            SequenceEnd::Failed(error) => Outcome::Failed { error },
        };
        self.handle(outcome);
    }

    fn output(&self, last: Arc<Value>) -> Outcome {
        let Some(output) = &self.plan.workflow().output else { return Outcome::Completed { output: last } };
        match self.with_scope(FrameIndex(0), |scope| output.evaluate(scope)) {
            Ok(output) => Outcome::Completed { output },
            Err(error) => {
                let message = format!("output: {} in `{}`", error.message, error.expression);
                Outcome::Failed { error: StepError::new(ErrorClass::Template, message).with_hint(error.hint) }
            }
        }
    }

    /// The steps are over: runs the handlers for this outcome, `always` last, then ends.
    fn handle(&mut self, outcome: Outcome) {
        let first = match &outcome {
            Outcome::Completed { .. } => Handler::OnSuccess,
            Outcome::Failed { .. } => Handler::OnError,
            Outcome::Canceled { .. } => Handler::OnCancel,
        };
        // Only handlers can see it.
        if self.plan.handler(first).or(self.plan.handler(Handler::Always)).is_some() {
            self.show_outcome(&outcome);
        }
        self.next_handler(outcome, first);
    }

    /// What the run will end as, as its handlers see it.
    fn show_outcome(&mut self, outcome: &Outcome) {
        let error = match outcome {
            Outcome::Completed { .. } => None,
            Outcome::Failed { error } => Some(serde_json::to_value(error).expect("an error of plain strings is JSON")),
            Outcome::Canceled { reason } => Some(serde_json::json!({"code": "canceled", "message": reason})),
        };
        self.set_run_value(outcome.status(), error);
    }

    fn next_handler(&mut self, outcome: Outcome, first: Handler) {
        let handler = |handler| self.plan.handler(handler).map(|sequence| (handler, sequence));
        match handler(first).or_else(|| handler(Handler::Always)) {
            Some((current, sequence)) => {
                self.phase = Phase::Handlers { outcome, current };
                self.work.push_back(Work::Begin(FrameIndex(0), sequence));
            }
            None => self.finish(outcome),
        }
    }

    pub(super) fn handler_ended(&mut self, handler: Handler, end: SequenceEnd) {
        let Phase::Handlers { outcome, .. } = &self.phase else { return };
        let outcome = match (outcome.clone(), end) {
            // A run that completed but whose handler failed has not ended well; an earlier failure is never covered by a later one.
            (Outcome::Completed { .. }, SequenceEnd::Failed(mut error)) => {
                error.message = format!("{}: {}", handler.name(), error.message);
                let outcome = Outcome::Failed { error };
                if self.semantics >= 2 {
                    self.show_outcome(&outcome);
                }
                outcome
            }
            (outcome, _) => outcome,
        };
        if handler == Handler::Always { self.finish(outcome) } else { self.next_handler(outcome, Handler::Always) }
    }

    fn finish(&mut self, outcome: Outcome) {
        if self.plan.workflow().limits.max_duration.is_some() {
            self.out.commands.push(Command::CancelTimer { path: Path::run(), timer: Timer::Deadline });
        }
        self.finished_at = Some(self.now);
        self.out.changes.push(Change::RunFinished { outcome: outcome.clone() });
        self.phase = Phase::Ended(outcome);
    }

    /// Somebody wants the run to end. While handlers run it is known what as: the one under way is ended, and `always` still runs after it.
    pub(super) fn cancel(&mut self, reason: String) {
        if self.is_about_to_clean_up() {
            return;
        }
        self.stop_everything(&reason);
        match &self.phase {
            Phase::Handlers { outcome, current } => {
                let (outcome, current) = (outcome.clone(), *current);
                if current == Handler::Always || self.semantics < 2 {
                    self.finish(outcome)
                } else {
                    self.next_handler(outcome, Handler::Always)
                }
            }
            Phase::New | Phase::Steps | Phase::Ended(_) => self.handle(Outcome::Canceled { reason }),
        }
    }

    /// Whether `always` is to begin next: it runs, whatever came before it.
    fn is_about_to_clean_up(&self) -> bool {
        let Phase::Handlers { current: Handler::Always, .. } = self.phase else { return false };
        let first = self.plan.handler(Handler::Always).and_then(|always| self.plan.sequence(always).steps.first());
        first.is_some_and(|node| {
            let place = Place { frame: FrameIndex(0), node: *node };
            self.state(place).is_none() && !self.places.contains_key(&self.plan.node(*node).path)
        })
    }

    /// The run takes too long. Handlers have the deadline's time once more: nothing of theirs is bounded by it.
    pub(super) fn run_deadline(&mut self) {
        let Phase::Steps = self.phase else { return };
        let max = self.plan.workflow().limits.max_duration.unwrap_or_default();
        let message = format!("the run took longer than its limit of {}", crate::time::humanize(max));
        self.stop_everything(&message);
        self.handle(Outcome::Failed { error: StepError::new(ErrorClass::Timeout, message) });
    }

    /// The run goes round in circles. Like its deadline, whatever a step's `on_error` says; handlers may execute as many steps again.
    pub(super) fn too_many_steps(&mut self) {
        self.steps = 0;
        let message = format!("the run executed {} steps, repetitions included, which is the most it may", self.steps_max);
        self.stop_everything(&message);
        match &self.phase {
            Phase::Handlers { outcome, .. } if self.semantics < 2 => {
                let outcome = outcome.clone();
                self.finish(outcome);
            }
            // As when one of its steps fails.
            Phase::Handlers { current, .. } => {
                let end = SequenceEnd::Failed(StepError::new(ErrorClass::Limit, message));
                self.handler_ended(*current, end);
            }
            Phase::New | Phase::Steps | Phase::Ended(_) => {
                self.handle(Outcome::Failed { error: StepError::new(ErrorClass::Limit, message) });
            }
        }
    }

    /// The runs that this one belongs to have used too much together. Its handlers still run; what they may do is bounded by itself.
    pub(super) fn exhausted(&mut self, reason: String) {
        let Phase::Steps = self.phase else { return };
        self.stop_everything(&reason);
        self.handle(Outcome::Failed { error: StepError::new(ErrorClass::Limit, reason) });
    }

    fn stop_everything(&mut self, reason: &str) {
        self.work.clear();
        let held = std::mem::take(&mut self.held);
        self.tell_over(held, reason);
        let open: Vec<Place> =
            self.places.values().filter(|place| !matches!(self.state(**place), Some(State::Settled(_)) | None)).copied().collect();
        self.stop(&open, reason);
    }

    /// Cancels every step inside a container.
    pub(super) fn stop_inside(&mut self, container: Place, reason: &str) {
        let held = self.forget_queued(container);
        self.tell_over(held, reason);
        let open = self.open_inside(container);
        self.stop(&open, reason);
    }

    /// Of what waited and is done no more: steps that were over have ended as they did. Nothing follows now from a failure, so that a step that
    /// failed is canceled like those that go on.
    fn tell_over(&mut self, forgotten: VecDeque<Work>, reason: &str) {
        for work in forgotten {
            let Work::Settle(place, mut record) = work else { continue };
            if record.status == StepStatus::Failed {
                if self.state(place).is_some() {
                    continue;
                }
                (record.status, record.error) = (StepStatus::Canceled, Some(StepError::new(ErrorClass::Canceled, reason)));
            }
            self.place_error(place, &mut record);
            self.announce(place, &record);
            self.remember(place, record);
        }
    }

    fn stop(&mut self, places: &[Place], reason: &str) {
        let mut repetitions = Vec::new();
        for place in places {
            let Some(state) = self.frame_mut(place.frame).states.remove(&place.node) else { continue };
            let path = self.path(*place);
            repetitions.extend(state.repetitions());
            let (attempts, by, started_at) = match *state {
                State::Call(call) => {
                    self.waiting -= usize::from(matches!(call.phase, CallPhase::Waiting(_)));
                    match call.phase {
                        CallPhase::InFlight => self.out.commands.push(Command::CancelCall { path }),
                        CallPhase::BackingOff => {
                            self.out.commands.push(Command::CancelTimer { path, timer: Timer::Retry });
                            self.cancel_task(*place, call.resume.map(|(remote, _)| remote), call.by.as_deref());
                        }
                        CallPhase::Waiting(question) => self.cancel_task(*place, question.remote, call.by.as_deref()),
                        CallPhase::Over => {}
                    }
                    (call.attempt, call.by, Some(call.started_at))
                }
                State::Group(GroupState { started_at, .. })
                | State::Body { started_at }
                | State::Map(MapState { started_at, .. })
                | State::Loop(LoopState { started_at, .. }) => {
                    self.cancel_deadline(*place);
                    (0, None, Some(started_at))
                }
                State::Input { started_at, .. } => {
                    self.waiting -= 1;
                    self.cancel_deadline(*place);
                    (0, None, Some(started_at))
                }
                State::Wait { started_at } => {
                    self.out.commands.push(Command::CancelTimer { path, timer: Timer::Wait });
                    (0, None, Some(started_at))
                }
                State::Over { started_at } => (0, None, started_at),
                State::Catching(record) => (record.attempts, record.by, record.started_at),
                settled @ State::Settled(_) => {
                    self.set_state(*place, settled);
                    continue;
                }
            };
            let step = Some(self.plan.node(place.node).id.to_string());
            let error = Some(StepError::new(ErrorClass::Canceled, reason).with(|error| error.step = step));
            let record = Record { status: StepStatus::Canceled, outputs: Arc::new(Value::Null), error, attempts, by, started_at };
            self.announce(*place, &record);
            self.remember(*place, record);
        }
        // The steps inside come after the step around them, so its repetitions are forgotten when all are stopped.
        for frame in repetitions {
            self.close_frame(frame);
        }
    }

    /// Starts the timer that bounds a container, when its author gave a timeout.
    pub(super) fn start_deadline(&mut self, place: Place) {
        let node = self.plan.node(place.node);
        if let Some(timeout) = node.timeout {
            let command = Command::StartTimer { path: self.path(place), timer: Timer::Deadline, due: self.now.plus(timeout) };
            self.out.commands.push(command);
        }
    }

    pub(super) fn cancel_deadline(&mut self, place: Place) {
        let node = self.plan.node(place.node);
        if node.timeout.is_some() {
            let command = Command::CancelTimer { path: self.path(place), timer: Timer::Deadline };
            self.out.commands.push(command);
        }
    }
}
