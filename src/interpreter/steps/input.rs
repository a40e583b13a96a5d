//! `input`: the run pauses for a person or the calling agent.

use std::sync::Arc;

use serde_json::Value;

use crate::expression::Tree;
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{Place, Record, State};
use crate::interpreter::{Change, ErrorClass, Question, Run, StepError};
use crate::plan::{Node, NodeKind};
use crate::time::{Timestamp, humanize};

impl Run {
    pub(super) fn start_input(&mut self, place: Place, node: &Node, prompt: &Tree, schema: Option<&Arc<Value>>) {
        let prompt = match self.with_scope(place.frame, |scope| prompt.evaluate(scope)) {
            Ok(prompt) => match &*prompt {
                Value::String(text) => Arc::new(serde_json::json!({"text": text})),
                _ => prompt,
            },
            Err(error) => return self.fail_early(place, template_error(node, "prompt", &error)),
        };
        if let Some(answer) = self.early.remove(&self.path(place)) {
            return self.settle_value(place, node, answer, self.now);
        }
        let question = Question { remote: None, schema: schema.cloned(), auth: false, prompt };
        self.set_state(place, State::Input { started_at: self.now, question: question.clone() });
        self.waiting += 1;
        self.start_deadline(place);
        self.out.changes.push(Change::StepWaiting { path: self.path(place), step: node.id.clone(), question });
    }

    pub(super) fn input_answered(&mut self, place: Place, answer: Arc<Value>, started_at: Timestamp) {
        let plan = Arc::clone(&self.plan);
        self.waiting -= 1;
        self.cancel_deadline(place);
        self.settle_value(place, plan.node(place.node), answer, started_at);
    }

    /// No answer in time: the default stands for it, and without one the step fails.
    pub(super) fn input_timed_out(&mut self, place: Place, started_at: Timestamp) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        self.waiting -= 1;
        let NodeKind::Input { default: Some(default), .. } = &node.kind else {
            let message = format!("no answer came within {}", humanize(node.timeout.unwrap_or_default()));
            return self.over(place, Record::failed(StepError::new(ErrorClass::Timeout, message), started_at));
        };
        match self.with_scope(place.frame, |scope| default.evaluate(scope)) {
            Ok(value) => self.settle_value(place, node, value, started_at),
            Err(error) => self.over(place, Record::failed(template_error(node, "default", &error), started_at)),
        }
    }
}
