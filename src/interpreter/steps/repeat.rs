//! `loop`: the body again and again, while or until a condition holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{FrameIndex, Home, LoopState, Place, Record, SequenceEnd, State, Work};
use crate::interpreter::{ErrorClass, Run, StepError};
use crate::plan::{Node, NodeKind};
use crate::workflow::LoopTest;

impl Run {
    pub(super) fn start_loop(&mut self, place: Place, node: &Node) {
        let NodeKind::Loop { body, .. } = &node.kind else { return };
        let frame = self.open_frame(Home { place, sequence: *body, index: 0 }, "", BTreeMap::new());
        let state = LoopState { started_at: self.now, iteration: 0, frame, last: Arc::new(Value::Null) };
        self.start_container(place, node, State::Loop(state));
        self.next_iteration(place, frame, node);
    }

    /// Begins the iteration that the state names, unless the condition or the limit ends the loop before it.
    fn next_iteration(&mut self, place: Place, frame: FrameIndex, node: &Node) {
        let NodeKind::Loop { test, max_iterations, body } = &node.kind else { return };
        let Some(State::Loop(state)) = self.state(place) else { return };
        let iteration = state.iteration;
        self.frame_mut(frame).values.insert(Arc::from("iteration"), Arc::new(Value::from(iteration)));
        if let LoopTest::While(condition) = test {
            match self.with_scope(frame, |scope| condition.holds(scope)) {
                Ok(true) => {}
                Ok(false) => return self.loop_ended(place, node, None),
                Err(error) => return self.loop_ended(place, node, Some(template_error(node, "while", &error))),
            }
        }
        if iteration >= max_iterations.get() {
            let message = format!("the loop did not end within its {max_iterations} iterations (`max_iterations`)");
            return self.loop_ended(place, node, Some(StepError::new(ErrorClass::Limit, message)));
        }
        let prefix = format!("{}[{iteration}]", self.path(place));
        self.frame_mut(frame).prefix = Arc::from(prefix);
        self.work.push_back(Work::Begin(frame, *body));
    }

    pub(super) fn iteration_ended(&mut self, place: Place, frame: FrameIndex, node: &Node, end: SequenceEnd) {
        let NodeKind::Loop { test, .. } = &node.kind else { return };
        let outputs = match end {
            SequenceEnd::Completed(outputs) => outputs,
            SequenceEnd::Failed(error) => return self.loop_ended(place, node, Some(error)),
        };
        let done = match test {
            LoopTest::Until(condition) => self.with_scope(frame, |scope| condition.holds(scope)),
            LoopTest::While(_) => Ok(false),
        };
        let Some(State::Loop(state)) = self.state_mut(place) else { return };
        state.last = outputs;
        state.iteration += 1;
        match done {
            Ok(true) => self.loop_ended(place, node, None),
            Ok(false) => {
                // The views of this iteration's steps stay: the next one, and `while`, may look at them.
                self.forget_steps(frame);
                self.next_iteration(place, frame, node);
            }
            Err(error) => self.loop_ended(place, node, Some(template_error(node, "until", &error))),
        }
    }

    fn loop_ended(&mut self, place: Place, node: &Node, error: Option<StepError>) {
        let Some(State::Loop(state)) = self.state(place) else { return };
        let (started_at, frame, last) = (state.started_at, state.frame, Arc::clone(&state.last));
        self.cancel_deadline(place);
        self.close_frame(frame);
        match error {
            None => self.settle_value(place, node, last, started_at),
            Some(error) => self.over(place, Record::failed(error, started_at)),
        }
    }
}
