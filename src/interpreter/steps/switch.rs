//! `switch`: one branch by value.

use crate::expression::{Condition, text_of};
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{Place, Record, State, Work};
use crate::interpreter::{ErrorClass, Run, StepError};
use crate::plan::{Node, SequenceIndex};
use crate::workflow::NoMatch;

impl Run {
    pub(super) fn start_switch(
        &mut self,
        place: Place,
        node: &Node,
        condition: &Condition,
        cases: &[SequenceIndex],
        default: Option<SequenceIndex>,
        on_no_match: NoMatch,
    ) {
        let value = match self.with_scope(place.frame, |scope| condition.value(scope)) {
            Ok(value) => text_of(&value),
            Err(error) => return self.fail_early(place, template_error(node, "condition", &error)),
        };
        let taken = cases.iter().copied().find(|case| *self.plan.sequence(*case).name == *value).or(default);
        for other in cases.iter().copied().chain(default).filter(|other| Some(*other) != taken) {
            self.skip_branch(place.frame, other);
        }
        match (taken, on_no_match) {
            (Some(taken), _) => {
                self.start_container(place, node, State::Body { started_at: self.now });
                self.work.push_back(Work::Begin(place.frame, taken));
            }
            (None, NoMatch::Skip) => self.over(place, Record::skipped()),
            (None, NoMatch::Fail) => {
                let names: Vec<_> = cases.iter().map(|case| format!("`{}`", self.plan.sequence(*case).name)).collect();
                let shown: String = value.chars().take(100).collect();
                let error = StepError::new(ErrorClass::NoMatch, format!("no case for `{shown}`"))
                    .with_hint(Some(format!("the cases are {}; add one, a `default`, or `on_no_match: skip`", names.join(", "))));
                self.over(place, Record::failed(error, self.now));
            }
        }
    }
}
