//! One file per step kind: how it starts, and what an event means for it.

mod call;
mod conditional;
mod parallel;
mod switch;

pub(super) use call::asker;

use std::sync::Arc;

use super::state::{Place, Record, SequenceEnd, State, Work};
use super::{Change, ErrorClass, Run, StepError, Timer};
use crate::plan::{Node, NodeKind, Path};
use crate::time::humanize;

impl Run {
    pub(super) fn start_kind(&mut self, place: Place, node: &Node) {
        match &node.kind {
            NodeKind::Call(call) => self.start_call(place, node, call),
            NodeKind::Parallel { branches, window, .. } => self.start_parallel(place, node, branches, *window),
            NodeKind::Conditional { condition, if_true, if_false } => self.start_conditional(place, node, condition, *if_true, *if_false),
            NodeKind::Switch { condition, cases, default, on_no_match } => {
                self.start_switch(place, node, condition, cases, *default, *on_no_match)
            }
        }
    }

    pub(super) fn branch_ended(&mut self, place: Place, index: usize, end: SequenceEnd) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        match &node.kind {
            NodeKind::Call(_) => {}
            NodeKind::Parallel { branches, fail_fast, .. } => self.parallel_branch_ended(place, node, branches, *fail_fast, index, end),
            NodeKind::Conditional { .. } | NodeKind::Switch { .. } => self.body_ended(place, node, end),
        }
    }

    pub(super) fn timer_fired(&mut self, path: &Path, timer: Timer) {
        if *path == Path::run() {
            return self.run_deadline();
        }
        let place = self.places[path];
        match (timer, self.state(place)) {
            (Timer::Retry, Some(State::Call(_))) => self.retry_call(place),
            (Timer::Deadline, Some(State::Group(group))) => self.deadline_passed(place, group.started_at),
            (Timer::Deadline, Some(State::Body { started_at })) => self.deadline_passed(place, *started_at),
            (Timer::Retry | Timer::Deadline, _) => {}
        }
    }

    fn deadline_passed(&mut self, place: Place, started_at: crate::time::Timestamp) {
        let node = self.plan.node(place.node);
        let message =
            format!("the {} step took longer than its timeout of {}", node.kind.name(), humanize(node.timeout.unwrap_or_default()));
        self.stop_inside(place.node, &message);
        self.work.push_back(Work::Settle(place, Record::failed(StepError::new(ErrorClass::Timeout, message), started_at)));
    }

    /// A container begins.
    fn start_container(&mut self, place: Place, node: &Node, state: State) {
        self.set_state(place, state);
        self.start_deadline(place);
        self.out.changes.push(Change::StepStarted { path: node.path.clone(), step: node.id.clone(), skill: None, attempt: 1 });
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
        self.work.push_back(Work::Settle(place, record));
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
