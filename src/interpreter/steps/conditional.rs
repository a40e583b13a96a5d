//! `conditional`: either branch.

use crate::expression::Condition;
use crate::interpreter::Run;
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{Place, State, Work};
use crate::plan::{Node, SequenceIndex};

impl Run {
    pub(super) fn start_conditional(
        &mut self,
        place: Place,
        node: &Node,
        condition: &Condition,
        if_true: SequenceIndex,
        if_false: SequenceIndex,
    ) {
        match self.with_scope(place.frame, |scope| condition.holds(scope)) {
            Ok(holds) => {
                let (taken, other) = if holds { (if_true, if_false) } else { (if_false, if_true) };
                self.skip_branch(place.frame, other);
                self.start_container(place, node, State::Body { started_at: self.now });
                self.work.push_back(Work::Begin(place.frame, taken));
            }
            Err(error) => self.fail_early(place, template_error(node, "condition", &error)),
        }
    }
}
