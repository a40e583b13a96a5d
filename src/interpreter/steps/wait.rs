//! `wait`: a durable timer.

use std::sync::Arc;

use serde_json::Value;

use crate::interpreter::sequence::template_error;
use crate::interpreter::state::{Place, State};
use crate::interpreter::{Change, Command, ErrorClass, Run, StepError, Timer};
use crate::limits;
use crate::plan::Node;
use crate::time::Timestamp;
use crate::workflow::WaitUntil;

impl Run {
    pub(super) fn start_wait(&mut self, place: Place, node: &Node, until: &WaitUntil) {
        let due = match until {
            WaitUntil::For(duration) => self.now.plus(*duration),
            WaitUntil::Until(tree) => match self.with_scope(place.frame, |scope| tree.evaluate(scope)) {
                Ok(value) => match moment(&value) {
                    Some(due) => due,
                    None => {
                        let error = StepError::new(ErrorClass::Template, "until: the value is not a moment")
                            .with_hint(Some("write an RFC 3339 timestamp, such as 2027-01-31T12:00:00Z, or seconds since 1970".to_owned()));
                        return self.fail_early(place, error);
                    }
                },
                Err(error) => return self.fail_early(place, template_error(node, "until", &error)),
            },
        };
        if due.since_ms(self.now) > limits::DURATION_MAX.as_millis() as u64 {
            let error = StepError::new(ErrorClass::Limit, format!("until: {due} is more than 366 days away"));
            return self.fail_early(place, error);
        }
        self.set_state(place, State::Wait { started_at: self.now });
        let path = self.path(place);
        self.out.changes.push(Change::StepStarted { path: path.clone(), step: node.id.clone(), skill: None, attempt: 1 });
        self.out.commands.push(Command::StartTimer { path, timer: Timer::Wait, due });
    }

    pub(super) fn wait_over(&mut self, place: Place, started_at: Timestamp) {
        let plan = Arc::clone(&self.plan);
        self.settle_value(place, plan.node(place.node), Arc::new(Value::Null), started_at);
    }
}

/// A timestamp as text, or seconds since the epoch.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => Timestamp::parse(text.trim()),
        Value::Number(seconds) => {
            let milliseconds = seconds.as_f64()? * 1000.0;
            (milliseconds.is_finite() && milliseconds.abs() < 1e15).then(|| Timestamp::from_unix_ms(milliseconds as i64))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
