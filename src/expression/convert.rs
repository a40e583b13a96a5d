//! What the expression engine yields, as JSON: checked through and through, bounded in depth and size.
//!
//! The engine's strict mode lets `[steps.a.nope]` and `{'a': steps.a.nope}` pass with a hole in them; here they are refused.

use std::sync::Arc;

use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value};

use super::node::Node;
use super::text::integral;
use crate::limits::{EXPRESSION_FUEL, EXPRESSION_OUTPUT_BYTES_MAX, EXPRESSION_VALUE_BYTES_MAX, VALUE_DEPTH_MAX};

/// Why something is not JSON that may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is a missing value in it.
    Undefined,
    /// It is nested too deep.
    Deep,
    /// It has too many parts that were computed.
    Many,
    /// It is too large.
    Large,
    /// A string in it is too long.
    Long,
    /// It has no JSON form.
    Foreign(&'static str),
}

impl Refusal {
    pub(super) fn message(self) -> String {
        match self {
            Self::Undefined => "a value in it does not exist".to_owned(),
            Self::Deep => format!("its value is nested more than {VALUE_DEPTH_MAX} deep"),
            Self::Many => format!("its value has more than {MADE_MAX} computed parts"),
            Self::Large => format!("its value takes more than {EXPRESSION_VALUE_BYTES_MAX} bytes"),
            Self::Long => format!("its text has more than {EXPRESSION_OUTPUT_BYTES_MAX} bytes"),
            Self::Foreign(what) => format!("its value has {what}, which JSON cannot express"),
        }
    }
}

/// What may still be spent on copies.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    /// Values that the engine makes while they are read, such as the items of `[1] * 99999999`: its fuel no longer counts them.
    made: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: EXPRESSION_VALUE_BYTES_MAX, made: MADE_MAX }
    }
}

/// As many values as an expression may execute instructions.
const MADE_MAX: u64 = EXPRESSION_FUEL;

impl Budget {
    /// Takes what a copy of `value` at `depth` needs, or refuses.
    pub(super) fn charge(&mut self, value: &Value, depth: usize) -> Result<(), Refusal> {
        within_depth(depth)?;
        self.take(size_of::<Value>())?;
        match value {
            Value::String(text) => self.take(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.charge(item, depth + 1)),
            Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
                self.take(key.len())?;
                self.charge(field, depth + 1)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Refusal::Large)?;
        Ok(())
    }

    fn make(&mut self) -> Result<(), Refusal> {
        self.made = self.made.checked_sub(1).ok_or(Refusal::Many)?;
        Ok(())
    }
}

/// The JSON of an engine value. Shared if it is the whole of a shared value.
pub(super) fn to_json(value: &minijinja::Value) -> Result<Arc<Value>, Refusal> {
    if let Some(whole) = value.downcast_object_ref::<Node>().and_then(Node::whole) {
        return Ok(whole.clone());
    }
    copy(value, 0, &mut Budget::default()).map(Arc::new)
}

fn copy(value: &minijinja::Value, depth: usize, budget: &mut Budget) -> Result<Value, Refusal> {
    budget.make()?;
    if let Some(node) = value.downcast_object_ref::<Node>() {
        budget.charge(node.value(), depth)?;
        return Ok(node.value().clone());
    }
    within_depth(depth)?;
    budget.take(size_of::<Value>())?;
    match value.kind() {
        ValueKind::Undefined => Err(Refusal::Undefined),
        ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Bool(value.is_true())),
        ValueKind::Number => number(value),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            if text.len() > EXPRESSION_OUTPUT_BYTES_MAX {
                return Err(Refusal::Long);
            }
            budget.take(text.len())?;
            Ok(Value::from(text))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            if value.len().is_some_and(|length| length as u64 > budget.made) {
                return Err(Refusal::Many);
            }
            let items = value.try_iter().map_err(|_| Refusal::Foreign("something that is not a list"))?;
            items.map(|item| copy(&item, depth + 1, budget)).collect::<Result<_, _>>().map(Value::Array)
        }
        ValueKind::Map => object(value, depth, budget),
        ValueKind::Bytes => Err(Refusal::Foreign("raw bytes")),
        _ => Err(Refusal::Foreign("something that is not data")),
    }
}

fn object(value: &minijinja::Value, depth: usize, budget: &mut Budget) -> Result<Value, Refusal> {
    let pairs = value.as_object().and_then(|object| object.try_iter_pairs()).ok_or(Refusal::Foreign("something that is not an object"))?;
    let mut fields = Map::new();
    for (key, field) in pairs {
        let key = match key.kind() {
            ValueKind::String | ValueKind::Number | ValueKind::Bool => key.to_string(),
            ValueKind::Undefined => return Err(Refusal::Undefined),
            _ => return Err(Refusal::Foreign("a key that is not a text")),
        };
        budget.take(key.len())?;
        fields.insert(key, copy(&field, depth + 1, budget)?);
    }
    Ok(Value::Object(fields))
}

/// Integers of 64 bits are exact; a result without a fraction, such as that of `6 / 2` or `round`, is an integer.
fn number(value: &minijinja::Value) -> Result<Value, Refusal> {
    if value.is_integer() {
        return i64::try_from(value.clone())
            .map(Value::from)
            .or_else(|_| u64::try_from(value.clone()).map(Value::from))
            .map_err(|_| Refusal::Foreign("an integer of more than 64 bits"));
    }
    let float = f64::try_from(value.clone()).map_err(|_| Refusal::Foreign("something that is not a number"))?;
    match integral(float) {
        Some(integer) => Ok(Value::from(integer)),
        None => Number::from_f64(float).map(Value::Number).ok_or(Refusal::Foreign("a number that is infinite or undefined")),
    }
}

fn within_depth(depth: usize) -> Result<(), Refusal> {
    if depth > VALUE_DEPTH_MAX { Err(Refusal::Deep) } else { Ok(()) }
}
