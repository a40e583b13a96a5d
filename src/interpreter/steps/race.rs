//! `race`: branches at once; the first to succeed counts and the others are canceled.

use std::sync::Arc;

use super::named;
use crate::interpreter::Run;
use crate::interpreter::state::{GroupState, Place, Record, SequenceEnd, State};
use crate::plan::{Node, SequenceIndex};

impl Run {
    pub(super) fn start_race(&mut self, place: Place, node: &Node, branches: &[SequenceIndex]) {
        let group = GroupState { started_at: self.now, next: 0, running: 0, results: Vec::new(), failures: Vec::new() };
        self.start_container(place, node, State::Group(group));
        for _ in branches {
            self.start_next_branch(place, branches);
        }
    }

    pub(super) fn race_branch_ended(&mut self, place: Place, branches: &[SequenceIndex], index: usize, end: SequenceEnd) {
        let plan = Arc::clone(&self.plan);
        let name = |index: usize| plan.sequence(branches[index]).name.to_string();
        let Some(State::Group(group)) = self.state_mut(place) else { return };
        group.running -= 1;
        let started_at = group.started_at;
        let record = match end {
            SequenceEnd::Completed(outputs) => {
                self.stop_inside(place, &format!("branch `{}` was first", name(index)));
                Record::completed(named(plan.node(place.node), outputs), started_at)
            }
            SequenceEnd::Failed(error) => {
                group.failures.push((index, error));
                if group.running > 0 {
                    return;
                }
                let failures: Vec<_> =
                    group.failures.iter().map(|(index, error)| format!("`{}`: {}", name(*index), error.message)).collect();
                let message = format!("no branch succeeded: {}", failures.join("; "));
                Record::failed(group.failures[0].1.told_as(message), started_at)
            }
        };
        self.cancel_deadline(place);
        self.over(place, record);
    }
}
