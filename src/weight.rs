//! About how many bytes a value has as JSON, without writing it. Escapes and the digits of numbers are not counted.

use serde_json::Value;

const NUMBER_BYTES: usize = 8;
const WORD_BYTES: usize = 4;

/// What a text takes, its quotes included.
pub(crate) const fn of_text(text: &str) -> usize {
    text.len() + 2
}

/// What a value without values in it takes.
pub(crate) fn of_scalar(value: &Value) -> usize {
    match value {
        Value::Number(_) => NUMBER_BYTES,
        Value::String(text) => of_text(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => WORD_BYTES,
    }
}

/// Whether a value takes more than about so many bytes. No more of it is looked at than it takes to know. Depth is bounded by whoever read
/// the value.
pub(crate) fn exceeds(value: &Value, bytes_max: usize) -> bool {
    fn take(value: &Value, room: usize) -> Option<usize> {
        let room = room.checked_sub(of_scalar(value))?;
        match value {
            Value::Array(items) => items.iter().try_fold(room, |room, item| take(item, room)),
            Value::Object(members) => members.iter().try_fold(room, |room, (name, member)| take(member, room.checked_sub(of_text(name))?)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(room),
        }
    }
    take(value, bytes_max).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_about_as_large_as_its_json() {
        let values = [
            json!("x".repeat(1000)),
            json!(vec!["abc"; 200]),
            json!({"a": {"b".repeat(500): ["c".repeat(500)]}}),
            json!((0..200).collect::<Vec<_>>()),
        ];
        for value in values {
            let bytes = value.to_string().len();
            assert!(exceeds(&value, bytes / 2) && !exceeds(&value, bytes * 3), "{bytes} bytes");
        }
        assert!(!exceeds(&json!(null), WORD_BYTES) && exceeds(&json!(null), WORD_BYTES - 1));
    }
}
