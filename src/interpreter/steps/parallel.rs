//! `parallel`: branches at once, through a window.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::named;
use crate::interpreter::state::{GroupState, Place, Record, SequenceEnd, State, Work};
use crate::interpreter::{Run, StepError};
use crate::plan::{Node, SequenceIndex};

impl Run {
    pub(super) fn start_parallel(&mut self, place: Place, node: &Node, branches: &[SequenceIndex], window: NonZeroU32) {
        let results = vec![None; branches.len()];
        let group = GroupState { started_at: self.now, next: 0, running: 0, results, failures: Vec::new() };
        self.start_container(place, node, State::Group(group));
        if branches.is_empty() {
            return self.group_ended(place, node, branches);
        }
        // An author may write a window of billions.
        for _ in branches.iter().take(window.get() as usize) {
            self.start_next_branch(place, branches);
        }
    }

    pub(super) fn start_next_branch(&mut self, place: Place, branches: &[SequenceIndex]) {
        let Some(State::Group(group)) = self.state_mut(place) else { return };
        let Some(branch) = branches.get(group.next).copied() else { return };
        group.next += 1;
        group.running += 1;
        self.work.push_back(Work::Begin(place.frame, branch));
    }

    pub(super) fn parallel_branch_ended(
        &mut self,
        place: Place,
        node: &Node,
        branches: &[SequenceIndex],
        fail_fast: bool,
        index: usize,
        end: SequenceEnd,
    ) {
        let Some(State::Group(group)) = self.state_mut(place) else { return };
        group.running -= 1;
        match end {
            SequenceEnd::Completed(outputs) => group.results[index] = Some(outputs),
            SequenceEnd::Failed(error) if fail_fast => return self.fail_fast(place, branches, index, error),
            SequenceEnd::Failed(error) => group.failures.push((index, error)),
        }
        if group.next < branches.len() {
            self.start_next_branch(place, branches);
        } else if group.running == 0 {
            self.group_ended(place, node, branches);
        }
    }

    fn fail_fast(&mut self, place: Place, branches: &[SequenceIndex], index: usize, error: StepError) {
        let Some(State::Group(group)) = self.state(place) else { return };
        let started_at = group.started_at;
        let reason = format!("branch `{}` failed", self.plan.sequence(branches[index]).name);
        self.stop_inside(place, &reason);
        self.cancel_deadline(place);
        self.over(place, Record::failed(error, started_at));
    }

    /// Every branch is over. Partial results stay: a branch that failed is null beside those that did not.
    fn group_ended(&mut self, place: Place, node: &Node, branches: &[SequenceIndex]) {
        let Some(State::Group(group)) = self.state(place) else { return };
        let started_at = group.started_at;
        let name = |index: usize| self.plan.sequence(branches[index]).name.to_string();
        let outputs: Map<String, Value> =
            group.results.iter().enumerate().map(|(index, result)| (name(index), result.as_deref().cloned().unwrap_or_default())).collect();
        let error = (!group.failures.is_empty()).then(|| {
            let failures: Vec<_> = group.failures.iter().map(|(index, error)| format!("`{}`: {}", name(*index), error.message)).collect();
            let message = format!("{} of {} branches failed: {}", failures.len(), branches.len(), failures.join("; "));
            group.failures[0].1.told_as(message)
        });
        let all_failed = !branches.is_empty() && group.failures.len() == branches.len();
        self.cancel_deadline(place);
        let record = match error {
            Some(error) if all_failed => Record::failed(error, started_at),
            error => Record { error, ..Record::completed(named(node, Arc::new(Value::Object(outputs))), started_at) },
        };
        self.over(place, record);
    }
}
