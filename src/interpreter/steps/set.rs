//! `set`: a value computed from others. Calls nobody.

use crate::expression::Tree;
use crate::interpreter::Run;
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::Place;
use crate::plan::Node;

impl Run {
    pub(super) fn start_set(&mut self, place: Place, node: &Node, value: &Tree) {
        match self.with_scope(place.frame, |scope| value.evaluate(scope)) {
            Ok(value) => self.settle_value(place, node, value, self.now),
            Err(error) => self.fail_early(place, template_error(node, "value", &error)),
        }
    }
}
