//! Sequences: one step after another, guards, and what a settled step means for the steps around it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::state::{FrameIndex, Place, Record, SequenceEnd, State, Work};
use super::{Change, ErrorClass, Run, StepError, StepStatus};
use crate::expression::{self, StepView};
use crate::plan::{CatchOrNot, Node, Owner, Path, SequenceIndex};

impl Run {
    pub(super) fn begin(&mut self, frame: FrameIndex, sequence: SequenceIndex) {
        let null = Arc::new(Value::Null);
        self.frame_mut(frame).last.insert(sequence, Arc::clone(&null));
        match self.plan.sequence(sequence).steps.first() {
            Some(node) => self.work.push_back(Work::Step(Place { frame, node: *node })),
            None => self.work.push_back(Work::End(frame, sequence, SequenceEnd::Completed(null))),
        }
    }

    pub(super) fn step(&mut self, place: Place) {
        self.steps += 1;
        self.executed += 1;
        if self.steps > self.steps_max {
            return self.too_many_steps();
        }
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        if let Some(when) = &node.when {
            match self.with_scope(place.frame, |scope| when.holds(scope)) {
                Ok(true) => {}
                Ok(false) => return self.skip(place),
                Err(error) => return self.fail_early(place, template_error(node, "when", &error)),
            }
        }
        let path = self.path(place);
        self.places.insert(path, place);
        self.start_kind(place, node);
    }

    /// A step that fails before anything was started for it.
    pub(super) fn fail_early(&mut self, place: Place, error: StepError) {
        let path = self.path(place);
        self.places.insert(path, place);
        self.work.push_back(Work::Settle(place, Record::failed(error, self.now)));
    }

    /// How a step ended is known: it is settled after what was begun before.
    pub(super) fn over(&mut self, place: Place, record: Record) {
        if let Some(state) = self.state_mut(place) {
            *state = State::Over { started_at: record.started_at };
        }
        self.work.push_back(Work::Settle(place, record));
    }

    fn skip(&mut self, place: Place) {
        for sequence in self.plan.sequences_below(place.node) {
            self.skip_sequence(place.frame, sequence);
        }
        self.work.push_back(Work::Settle(place, Record::skipped()));
    }

    /// The steps of a branch that is not taken count as skipped: later templates see `status` and null outputs.
    pub(super) fn skip_sequence(&mut self, frame: FrameIndex, sequence: SequenceIndex) {
        let plan = Arc::clone(&self.plan);
        for node in &plan.sequence(sequence).steps {
            self.remember(Place { frame, node: *node }, Record::skipped());
        }
    }

    /// Skips a branch and every branch in it.
    pub(super) fn skip_branch(&mut self, frame: FrameIndex, sequence: SequenceIndex) {
        let plan = Arc::clone(&self.plan);
        self.skip_sequence(frame, sequence);
        for node in &plan.sequence(sequence).steps {
            for below in plan.sequences_below(*node) {
                self.skip_sequence(frame, below);
            }
        }
    }

    pub(super) fn settle(&mut self, place: Place, mut record: Record) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        self.place_error(place, &mut record);
        if let (StepStatus::Failed, CatchOrNot::Catch(sequence)) = (record.status, node.on_error) {
            // Visible to the catch branch; what the step ends as is decided there.
            self.show(place, &record);
            self.set_state(place, State::Catching(record));
            return self.work.push_back(Work::Begin(place.frame, sequence));
        }
        if let CatchOrNot::Catch(sequence) = node.on_error {
            self.skip_branch(place.frame, sequence);
        }
        self.conclude(place, record);
    }

    /// The error of a step says where the step is.
    pub(super) fn place_error(&self, place: Place, record: &mut Record) {
        let node = self.plan.node(place.node);
        if let Some(error) = &mut record.error {
            error.step.get_or_insert_with(|| node.id.to_string());
            error.line.get_or_insert(node.line);
        }
    }

    /// The step is over for good: tell, and go on after it.
    pub(super) fn conclude(&mut self, place: Place, record: Record) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        let (status, outputs) = (record.status, Arc::clone(&record.outputs));
        let failure = match (status, self.on_error(node), &record.error) {
            (StepStatus::Failed, CatchOrNot::Fail, Some(error)) => Some(error.clone()),
            _ => None,
        };
        self.announce(place, &record);
        self.remember(place, record);
        if let Some(error) = failure {
            return self.work.push_back(Work::End(place.frame, node.sequence, SequenceEnd::Failed(error)));
        }
        if status != StepStatus::Skipped {
            self.frame_mut(place.frame).last.insert(node.sequence, outputs);
        }
        self.advance(place, node);
    }

    /// What the failure of a step does. In runs of the first semantics `on_failure: continue` covered `fail` steps, too.
    fn on_error(&self, node: &Node) -> CatchOrNot {
        match node.on_error {
            CatchOrNot::Fail if node.ends_the_run && self.semantics < 2 => CatchOrNot::Continue,
            on_error => on_error,
        }
    }

    fn advance(&mut self, place: Place, node: &Node) {
        match self.plan.sequence(node.sequence).steps.get(node.position + 1) {
            Some(next) => self.work.push_back(Work::Step(Place { frame: place.frame, node: *next })),
            None => {
                let last = self.frame(place.frame).last.get(&node.sequence).cloned().unwrap_or_default();
                self.work.push_back(Work::End(place.frame, node.sequence, SequenceEnd::Completed(last)));
            }
        }
    }

    pub(super) fn end(&mut self, frame: FrameIndex, sequence: SequenceIndex, end: SequenceEnd) {
        if let Some(home) = self.frame(frame).home
            && home.sequence == sequence
        {
            return self.repetition_ended(home, frame, end);
        }
        match self.plan.sequence(sequence).owner {
            Owner::Root => self.steps_ended(end),
            Owner::Handler(handler) => self.handler_ended(handler, end),
            Owner::Branch { node, index } => self.branch_ended(Place { frame, node }, index, end),
            Owner::Catch { node } => self.catch_ended(Place { frame, node }, end),
        }
    }

    fn catch_ended(&mut self, place: Place, end: SequenceEnd) {
        let Some(State::Catching(record)) = self.state(place) else { return };
        let mut record = record.clone();
        match end {
            // The catch branch's result stands for the step's; that it failed stays visible in status and error.
            SequenceEnd::Completed(outputs) => {
                record.outputs = outputs;
                self.conclude(place, record);
            }
            SequenceEnd::Failed(error) => {
                record.error = Some(error.clone());
                self.announce(place, &record);
                self.remember(place, record);
                let sequence = self.plan.node(place.node).sequence;
                self.work.push_back(Work::End(place.frame, sequence, SequenceEnd::Failed(error)));
            }
        }
    }

    pub(super) fn announce(&mut self, place: Place, record: &Record) {
        let node = self.plan.node(place.node);
        let (path, step, kind) = (self.path(place), node.id.clone(), node.kind.name());
        let Record { status, outputs, error, attempts, by, .. } = record.clone();
        self.out.changes.push(Change::StepFinished { path, step, kind, status, outputs, error, attempts, by });
    }

    /// Records a settled step, for expressions and for the snapshot.
    pub(super) fn remember(&mut self, place: Place, record: Record) {
        self.show(place, &record);
        self.ended.insert(place, self.now);
        self.set_state(place, State::Settled(record));
    }

    fn show(&mut self, place: Place, record: &Record) {
        let id = self.plan.node(place.node).id.clone();
        let error = record.error.as_ref().map(|error| Arc::new(serde_json::to_value(error).expect("an error of plain strings is JSON")));
        let view = StepView { outputs: Arc::clone(&record.outputs), status: record.status.as_str(), error };
        self.frame_mut(place.frame).views.insert(id, view);
    }

    /// Every step inside a container that is not over, in order of path.
    pub(super) fn open_inside(&self, container: Place) -> Vec<Place> {
        let path = self.path(container);
        let open = |place: &Place| !matches!(self.state(*place), Some(State::Settled(_)) | None);
        let below = |mark: char| {
            let first = format!("{path}{mark}");
            let from = Path::new(first.as_str());
            self.places.range(from..).take_while(move |(path, _)| path.as_str().starts_with(&first)).map(|(_, place)| *place)
        };
        ['!', '[', '~'].into_iter().flat_map(below).filter(open).collect()
    }

    /// Drops what is queued for the inside of a container that is over. Returns what of it waited behind an event.
    pub(super) fn forget_queued(&mut self, container: Place) -> VecDeque<Work> {
        let (work, held) = (std::mem::take(&mut self.work), std::mem::take(&mut self.held));
        let path = self.path(container);
        let inside = |text: &str| text.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['!', '[', '~']));
        let is_inside = |work: &Work| match work {
            Work::Begin(frame, sequence) | Work::End(frame, sequence, _) => inside(&self.prefix(*frame, *sequence)),
            Work::Step(place) | Work::Settle(place, _) | Work::Reduce(place, ..) => inside(self.path(*place).as_str()),
        };
        let split = |queue: VecDeque<Work>| -> (VecDeque<Work>, VecDeque<Work>) { queue.into_iter().partition(&is_inside) };
        let ((_, work), (forgotten, held)) = (split(work), split(held));
        (self.work, self.held) = (work, held);
        forgotten
    }

    /// What the paths of a sequence's steps begin with, repetitions included.
    fn prefix(&self, frame: FrameIndex, sequence: SequenceIndex) -> String {
        let (frame, prefix) = (self.frame(frame), &self.plan.sequence(sequence).prefix);
        format!("{}{}", frame.prefix, prefix.get(frame.strip..).unwrap_or_default())
    }
}

/// The error of a template in a field of a step.
pub(super) fn template_error(node: &Node, field: &str, error: &expression::Error) -> StepError {
    let message = format!("{field}: {} in `{}`", error.message, error.expression);
    let at = (Some(node.id.to_string()), Some(node.line));
    StepError::new(ErrorClass::Template, message).with(|told| (told.step, told.line) = at).with_hint(error.hint.clone())
}
