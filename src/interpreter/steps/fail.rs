//! `fail`: the author ends the run as failed.

use serde_json::Value;

use crate::expression::{Tree, text_of};
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::Place;
use crate::interpreter::{ErrorClass, Run, StepError};
use crate::plan::Node;

impl Run {
    pub(super) fn start_fail(&mut self, place: Place, node: &Node, error: &Tree) {
        let error = match self.with_scope(place.frame, |scope| error.evaluate(scope)) {
            Ok(value) => {
                let field = |name: &str| value.get(name).filter(|value| !value.is_null()).map(text_of);
                let message = field("message").unwrap_or_else(|| match &*value {
                    Value::Object(_) => "the workflow ended itself".to_owned(),
                    other => text_of(other),
                });
                // The error of another `fail` step says the class as its code, and the author's as the reason.
                let code = field("code").filter(|code| self.semantics < 3 || code != ErrorClass::Author.code());
                let code = code.or_else(|| field("reason").filter(|_| self.semantics >= 3));
                StepError::new(ErrorClass::Author, message).with(|error| error.reason = code)
            }
            Err(error) => template_error(node, "error", &error),
        };
        self.fail_early(place, error);
    }
}
