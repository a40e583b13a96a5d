//! `reduce` of a map: its results become one value, in the order of the items.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::expression::{Scope, Tree};
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{Home, Kept, Place, Record, SequenceEnd, State, Work};
use crate::interpreter::{Run, StepError};
use crate::plan::{Node, NodeKind, ReduceBy, SequenceIndex};

impl Run {
    pub(super) fn start_reduction(&mut self, place: Place, node: &Node, initial: &Tree, by: &ReduceBy) {
        let accumulator = match self.with_scope(place.frame, |scope| initial.evaluate(scope)) {
            Ok(value) => value,
            Err(error) => return self.reduction_failed(place, template_error(node, "reduce.initial", &error)),
        };
        match by {
            // Before whatever else is queued, one after the other: each is work of its own, however many there are.
            ReduceBy::Expression(_) => self.work.push_front(Work::Reduce(place, 0, accumulator)),
            ReduceBy::Steps(steps) => {
                if let Some(State::Map(map)) = self.state_mut(place) {
                    map.reducing = true;
                }
                self.reduce_next(place, node, *steps, 0, accumulator);
            }
        }
    }

    /// Evaluates the expression for one result; its value is the next accumulator.
    pub(in crate::interpreter) fn reduce_result(&mut self, place: Place, index: usize, accumulator: Arc<Value>) {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(place.node);
        let NodeKind::Map { reduce: Some((_, ReduceBy::Expression(tree))), .. } = &node.kind else { return };
        let Some(State::Map(map)) = self.state_mut(place) else { return };
        let Some(result) = map.results.get_mut(index).map(std::mem::take) else {
            return self.map_completed(place, node, accumulator);
        };
        let (values, steps) = (names(accumulator, result, index), BTreeMap::new());
        let reduced = self.with_scope(place.frame, |scope| tree.evaluate(&Scope { parent: Some(scope), values: &values, steps: &steps }));
        match reduced {
            Ok(accumulator) => self.work.push_front(Work::Reduce(place, index + 1, accumulator)),
            Err(error) => self.reduction_failed(place, template_error(node, "reduce.expression", &error)),
        }
    }

    /// Runs the steps for one result; the outputs of their last step are the next accumulator.
    fn reduce_next(&mut self, place: Place, node: &Node, steps: SequenceIndex, index: usize, accumulator: Arc<Value>) {
        let Some(State::Map(map)) = self.state_mut(place) else { return };
        let Some(result) = map.results.get_mut(index).map(std::mem::take) else {
            return self.map_completed(place, node, accumulator);
        };
        let frame = self.open_frame(Home { place, sequence: steps, index }, "~", names(accumulator, result, index));
        if let Some(State::Map(map)) = self.state_mut(place) {
            map.frames.insert(index, frame);
        }
        self.work.push_back(Work::Begin(frame, steps));
    }

    pub(super) fn reduction_ended(&mut self, home: Home, node: &Node, end: SequenceEnd) {
        let NodeKind::Map { reduce: Some((_, ReduceBy::Steps(steps))), .. } = &node.kind else { return };
        let Some(State::Map(map)) = self.state_mut(home.place) else { return };
        if let Some(frame) = map.frames.remove(&home.index) {
            self.close_frame(frame);
        }
        match end {
            SequenceEnd::Completed(accumulator) => self.reduce_next(home.place, node, *steps, home.index + 1, accumulator),
            SequenceEnd::Failed(error) => self.reduction_failed(home.place, error),
        }
    }

    fn reduction_failed(&mut self, place: Place, error: StepError) {
        let Some(State::Map(map)) = self.state(place) else { return };
        let started_at = map.started_at;
        self.cancel_deadline(place);
        self.over(place, Record::failed(error, started_at));
    }
}

fn names(accumulator: Arc<Value>, result: Kept, index: usize) -> BTreeMap<Arc<str>, Arc<Value>> {
    let item = result.into_shared();
    BTreeMap::from([(Arc::from("accumulator"), accumulator), (Arc::from("item"), item), (Arc::from("index"), Arc::new(Value::from(index)))])
}
