//! `map`: the body once for each item, through a window, results in the order of the items.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::Value;

use super::named;
use crate::expression::Tree;
use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{Home, Kept, MapState, Place, Record, SequenceEnd, State, Work};
use crate::interpreter::{ErrorClass, Run, StepError};
use crate::limits;
use crate::plan::{Node, NodeKind};
use crate::workflow::Tolerance;

/// Failures that an error lists by message; the rest is counted.
const FAILURES_LISTED: usize = 5;

impl Run {
    pub(super) fn start_map(&mut self, place: Place, node: &Node, items: &Tree, window: NonZeroU32, tolerate: Tolerance) {
        let items = match self.with_scope(place.frame, |scope| items.evaluate_shared(scope)) {
            Ok(items) => items,
            Err(error) => return self.fail_early(place, template_error(node, "items", &error)),
        };
        let Some(count) = items.get().as_array().map(Vec::len) else {
            let error = StepError::new(ErrorClass::Template, format!("items: a list is needed, but this is {}", kind(items.get())));
            return self.fail_early(place, error);
        };
        if count > limits::MAP_ITEMS_MAX {
            let error = StepError::new(
                ErrorClass::Limit,
                format!("items: the list has {count}, more than the {} items that one map may have", limits::MAP_ITEMS_MAX),
            )
            .with_hint(Some("give it the list in parts".to_owned()));
            return self.fail_early(place, error);
        }
        let tolerated = match tolerate {
            Tolerance::Count(count) => count as usize,
            Tolerance::Percent(percent) if self.semantics < 2 => (percent / 100.0 * count as f64).floor() as usize,
            Tolerance::Percent(percent) => part(percent, count),
        };
        let started_at = self.now;
        let results = std::iter::repeat_with(Kept::default).take(count).collect();
        let (failures, frames) = (Vec::new(), BTreeMap::new());
        let state = MapState { started_at, items, next: 0, running: 0, tolerated, results, failures, frames, reducing: false };
        self.start_container(place, node, State::Map(state));
        if count == 0 {
            return self.items_ended(place, node);
        }
        for _ in 0..window.get().min(u32::try_from(count).unwrap_or(u32::MAX)) {
            self.start_next_item(place, node);
        }
        // Each may have been kept from the run that this one is a retry of.
        if matches!(self.state(place), Some(State::Map(map)) if map.running == 0) {
            self.items_ended(place, node);
        }
    }

    /// Takes the results of the next items that were kept: they are not begun.
    fn take_kept(&mut self, place: Place) {
        if self.kept.is_empty() {
            return;
        }
        let path = self.path(place);
        let Some(mut kept) = self.kept.remove(&path) else { return };
        let (mut yielded, Some(State::Map(map))) = (Vec::new(), self.state_mut(place)) else { return };
        while let Some(value) = kept.remove(&map.next)
            && map.next < map.results.len()
        {
            map.results[map.next] = Kept::of(Arc::clone(&value));
            yielded.push((path.clone(), map.next, value));
            map.next += 1;
        }
        if let Some(all) = &mut self.yielded {
            all.append(&mut yielded);
        }
        if !kept.is_empty() {
            self.kept.insert(path, kept);
        }
    }

    fn start_next_item(&mut self, place: Place, node: &Node) {
        let NodeKind::Map { body, binding, .. } = &node.kind else { return };
        self.take_kept(place);
        let Some(State::Map(map)) = self.state_mut(place) else { return };
        let index = map.next;
        let Some(item) = map.items.get().get(index).cloned() else { return };
        map.next += 1;
        map.running += 1;
        let item = Arc::new(item);
        let mut values = BTreeMap::from([(Arc::from("index"), Arc::new(Value::from(index))), (Arc::from("item"), Arc::clone(&item))]);
        if let Some(name) = binding {
            values.insert(Arc::clone(name), item);
        }
        let frame = self.open_frame(Home { place, sequence: *body, index }, "", values);
        if let Some(State::Map(map)) = self.state_mut(place) {
            map.frames.insert(index, frame);
        }
        self.work.push_back(Work::Begin(frame, *body));
    }

    pub(super) fn item_ended(&mut self, home: Home, node: &Node, end: SequenceEnd) {
        let place = home.place;
        if let (SequenceEnd::Completed(outputs), Some(_)) = (&end, &self.yielded) {
            let yielded = (self.path(place), home.index, Arc::clone(outputs));
            self.yielded.iter_mut().for_each(|all| all.push(yielded.clone()));
        }
        let Some(State::Map(map)) = self.state_mut(place) else { return };
        map.running -= 1;
        let frame = map.frames.remove(&home.index);
        match end {
            SequenceEnd::Completed(outputs) => map.results[home.index] = Kept::of(outputs),
            SequenceEnd::Failed(error) => map.failures.push((home.index, error)),
        }
        let too_many = map.failures.len() > map.tolerated;
        if let Some(frame) = frame {
            self.close_frame(frame);
        }
        if too_many {
            return self.map_failed(place);
        }
        self.start_next_item(place, node);
        if matches!(self.state(place), Some(State::Map(map)) if map.running == 0) {
            self.items_ended(place, node);
        }
    }

    fn map_failed(&mut self, place: Place) {
        self.stop_inside(place, "too many items failed");
        let Some(State::Map(map)) = self.state_mut(place) else { return };
        let (error, started_at) = (failures(map), map.started_at);
        for frame in std::mem::take(&mut map.frames).into_values() {
            self.close_frame(frame);
        }
        self.cancel_deadline(place);
        if let Some(error) = error {
            self.over(place, Record::failed(error, started_at));
        }
    }

    fn items_ended(&mut self, place: Place, node: &Node) {
        let NodeKind::Map { reduce, .. } = &node.kind else { return };
        match reduce {
            Some((initial, by)) => self.start_reduction(place, node, initial, by),
            None => {
                let Some(State::Map(map)) = self.state_mut(place) else { return };
                // Where it stands: the list of results becomes the list of values.
                let results = std::mem::take(&mut map.results).into_iter().map(Kept::into_value).collect();
                self.map_completed(place, node, Arc::new(Value::Array(results)));
            }
        }
    }

    pub(super) fn map_completed(&mut self, place: Place, node: &Node, value: Arc<Value>) {
        let Some(State::Map(map)) = self.state(place) else { return };
        // Tolerated failures stay visible beside the results.
        let record = Record { error: failures(map), ..Record::completed(named(node, value), map.started_at) };
        self.cancel_deadline(place);
        self.over(place, record);
    }
}

/// So many of `count` are this percentage, rounded down: reckoned with the digits that the author wrote, since 29 % of 100 are 29.
fn part(percent: f64, count: usize) -> usize {
    const DIGITS_MAX: usize = 20;
    let text = percent.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = &fraction[..fraction.len().min(DIGITS_MAX)];
    let digits: u128 = format!("{whole}{fraction}").parse().unwrap_or(0);
    let hundred = 100 * 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    usize::try_from(digits.saturating_mul(count as u128) / hundred).unwrap_or(count)
}

fn failures(map: &MapState) -> Option<StepError> {
    let (_, first) = map.failures.first()?;
    let listed: Vec<_> =
        map.failures.iter().take(FAILURES_LISTED).map(|(index, error)| format!("item {index}: {}", error.message)).collect();
    let more = if map.failures.len() > FAILURES_LISTED { "; …" } else { "" };
    let message =
        format!("{} of {} items failed: {}{more}", map.failures.len(), map.items.get().as_array().map_or(0, Vec::len), listed.join("; "));
    Some(first.told_as(message))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
