//! One file per step kind: how it starts, and what an event means for it.

mod call;
mod conditional;
mod fail;
mod input;
mod map;
mod parallel;
mod race;
mod reduce;
mod repeat;
mod set;
mod switch;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::{Frame, FrameIndex, GroupState, Home, LoopState, MapState, Place, Record, SequenceEnd, State};
use super::{Change, ErrorClass, Run, StepError, Timer};
use crate::plan::{Node, NodeKind, Path};
use crate::time::humanize;

impl Run {
    pub(super) fn start_kind(&mut self, place: Place, node: &Node) {
        match &node.kind {
            NodeKind::Call(call) => self.start_call(place, node, &call.inputs),
            NodeKind::Workflow { inputs, .. } => self.start_call(place, node, inputs),
            NodeKind::Parallel { branches, window, .. } => self.start_parallel(place, node, branches, *window),
            NodeKind::Conditional { condition, if_true, if_false } => self.start_conditional(place, node, condition, *if_true, *if_false),
            NodeKind::Switch { condition, cases, default, on_no_match } => {
                self.start_switch(place, node, condition, cases, *default, *on_no_match)
            }
            NodeKind::Map { items, window, tolerate, .. } => self.start_map(place, node, items, *window, *tolerate),
            NodeKind::Loop { .. } => self.start_loop(place, node),
            NodeKind::Race { branches } => self.start_race(place, node, branches),
            NodeKind::Wait(until) => self.start_wait(place, node, until),
            NodeKind::Input { prompt, schema, .. } => self.start_input(place, node, prompt, schema.as_ref()),
            NodeKind::Set(value) => self.start_set(place, node, value),
            NodeKind::Fail(error) => self.start_fail(place, node, error),
        }
    }

    pub(super) fn branch_ended(&mut self, place: Place, index: usize, end: SequenceEnd) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        match &node.kind {
            // These have no branches, or only bodies in frames of their own.
            NodeKind::Call(_)
            | NodeKind::Workflow { .. }
            | NodeKind::Map { .. }
            | NodeKind::Loop { .. }
            | NodeKind::Wait(_)
            | NodeKind::Input { .. }
            | NodeKind::Set(_)
            | NodeKind::Fail(_) => {}
            NodeKind::Race { branches } => self.race_branch_ended(place, branches, index, end),
            NodeKind::Parallel { branches, fail_fast, .. } => self.parallel_branch_ended(place, node, branches, *fail_fast, index, end),
            NodeKind::Conditional { .. } | NodeKind::Switch { .. } => self.body_ended(place, node, end),
        }
    }

    pub(super) fn timer_fired(&mut self, path: &Path, timer: Timer) {
        if *path == Path::run() {
            return self.run_deadline();
        }
        let Some(place) = self.places.get(path).copied() else { return };
        match (timer, self.state(place)) {
            (Timer::Retry, Some(State::Call(_))) => self.retry_call(place),
            (Timer::Deadline, Some(State::Group(GroupState { started_at, .. }) | State::Body { started_at }))
            | (Timer::Deadline, Some(State::Map(MapState { started_at, .. }) | State::Loop(LoopState { started_at, .. }))) => {
                self.deadline_passed(place, *started_at);
            }
            (Timer::Deadline, Some(State::Input { started_at, .. })) => self.input_timed_out(place, *started_at),
            (Timer::Wait, Some(State::Wait { started_at })) => self.wait_over(place, *started_at),
            (Timer::Retry | Timer::Deadline | Timer::Wait, _) => {}
        }
    }

    fn deadline_passed(&mut self, place: Place, started_at: crate::time::Timestamp) {
        let node = self.plan.node(place.node);
        let message =
            format!("the {} step took longer than its timeout of {}", node.kind.name(), humanize(node.timeout.unwrap_or_default()));
        self.stop_inside(place, &message);
        for frame in self.state(place).map(State::repetitions).unwrap_or_default() {
            self.close_frame(frame);
        }
        self.over(place, Record::failed(StepError::new(ErrorClass::Timeout, message), started_at));
    }

    /// A step that is neither a call nor a container has its value.
    fn settle_value(&mut self, place: Place, node: &Node, value: Arc<serde_json::Value>, started_at: crate::time::Timestamp) {
        self.over(place, Record::completed(named(node, value), started_at));
    }

    /// One repetition of a body is over.
    pub(super) fn repetition_ended(&mut self, home: Home, frame: FrameIndex, end: SequenceEnd) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(home.place.node);
        match &node.kind {
            NodeKind::Map { body, .. } if *body == home.sequence => self.item_ended(home, node, end),
            NodeKind::Map { .. } => self.reduction_ended(home, node, end),
            NodeKind::Loop { .. } => self.iteration_ended(home.place, frame, node, end),
            NodeKind::Call(_)
            | NodeKind::Workflow { .. }
            | NodeKind::Parallel { .. }
            | NodeKind::Conditional { .. }
            | NodeKind::Switch { .. }
            | NodeKind::Race { .. }
            | NodeKind::Wait(_)
            | NodeKind::Input { .. }
            | NodeKind::Set(_)
            | NodeKind::Fail(_) => {}
        }
    }

    /// A frame for a repetition of a body, with the names that only it sees.
    fn open_frame(&mut self, home: Home, mark: &str, values: BTreeMap<Arc<str>, Arc<serde_json::Value>>) -> FrameIndex {
        let prefix = Arc::from(format!("{}{mark}[{}]", self.path(home.place), home.index));
        let strip = self.plan.sequence(home.sequence).prefix.len();
        let frame =
            Frame { home: Some(home), prefix, strip, values, views: BTreeMap::new(), states: BTreeMap::new(), last: BTreeMap::new() };
        match self.free.pop() {
            Some(index) => {
                *self.frame_mut(index) = frame;
                index
            }
            None => {
                self.frames.push(frame);
                FrameIndex((self.frames.len() - 1) as u32)
            }
        }
    }

    /// Forgets a repetition: what it yielded has been taken.
    pub(super) fn close_frame(&mut self, index: FrameIndex) {
        self.forget_steps(index);
        let frame = self.frame_mut(index);
        frame.values.clear();
        frame.views.clear();
        self.free.push(index);
    }

    /// Forgets the steps of a frame, and those of frames inside.
    fn forget_steps(&mut self, index: FrameIndex) {
        let frame = self.frame_mut(index);
        let first = frame.prefix.to_string();
        frame.last.clear();
        let states = std::mem::take(&mut frame.states);
        for frame in states.values().flat_map(|state| state.repetitions()) {
            self.close_frame(frame);
        }
        let inside: Vec<_> = self
            .places
            .range(Path::new(first.as_str())..)
            .take_while(|(path, _)| path.as_str().starts_with(&first))
            .map(|(path, _)| path.clone())
            .collect();
        for path in inside {
            if let Some(place) = self.places.remove(&path) {
                self.ended.remove(&place);
            }
        }
    }

    /// A container begins.
    fn start_container(&mut self, place: Place, node: &Node, state: State) {
        self.set_state(place, state);
        self.start_deadline(place);
        self.out.changes.push(Change::StepStarted { path: self.path(place), step: node.id.clone(), skill: None, attempt: 1 });
    }

    /// The taken branch of a container is over, and with it the container.
    fn body_ended(&mut self, place: Place, node: &Node, end: SequenceEnd) {
        let Some(State::Body { started_at }) = self.state(place) else { return };
        let started_at = *started_at;
        self.cancel_deadline(place);
        let record = match end {
            SequenceEnd::Completed(outputs) => Record::completed(named(node, outputs), started_at),
            SequenceEnd::Failed(error) => Record::failed(error, started_at),
        };
        self.over(place, record);
    }
}

/// `outputs: name` stores a value under that name.
fn named(node: &Node, value: Arc<serde_json::Value>) -> Arc<serde_json::Value> {
    match &node.outputs {
        None => value,
        Some(name) => {
            let object = serde_json::Map::from_iter([(name.to_string(), Arc::unwrap_or_clone(value))]);
            Arc::new(serde_json::Value::Object(object))
        }
    }
}
