//! What every dialect checks of a value before it becomes a step's output.

use serde_json::Value;

use super::call::Call;
use super::error::Failure;
use crate::a2a::ErrorCode;
use crate::limits::VALUE_DEPTH_MAX;

/// The value of a call. Nothing is an error where the skill declares an output, and null otherwise.
pub(super) fn checked(value: Option<Value>, call: &Call) -> Result<Value, Failure> {
    let Some(value) = value else {
        let declares = call.card.skill(&call.skill).is_some_and(|skill| skill.output_schema.is_some());
        let code = i64::from(ErrorCode::InvalidAgentResponse.number());
        return if declares {
            Err(Failure::invalid("the answer is empty, but the skill declares an output").with_code(code))
        } else {
            Ok(Value::Null)
        };
    };
    if !crate::a2a::within_depth(&value, VALUE_DEPTH_MAX) {
        return Err(Failure::invalid(format!("the answer is nested deeper than {VALUE_DEPTH_MAX}")));
    }
    Ok(value)
}
