//! Integral floats are integers: SDKs that pass JSON through protobuf's `Struct` send 42 as 42.0.

use serde_json::{Number, Value};

/// Beyond it a float no longer holds every integer, so that the sender's number is not known.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Makes 42.0 into 42, everywhere in a value. Compare, print and switch on 42.
///
/// The recursion is as deep as the value, which its reader bounds.
pub fn normalize_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(integer) = integral(number) {
                *number = Number::from(integer);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize_numbers),
        Value::Object(members) => members.values_mut().for_each(normalize_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn integral(number: &Number) -> Option<i64> {
    if !number.is_f64() {
        return None;
    }
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "integral and within ±2^53")]
    (float.fract() == 0.0 && float.abs() <= INTEGER_MAX).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integral_floats_become_integers() {
        for (before, after) in [
            (json!(42.0), json!(42)),
            (json!(-0.0), json!(0)),
            (json!(0.5), json!(0.5)),
            (json!(9_007_199_254_740_992.0), json!(9_007_199_254_740_992_u64)),
            (json!(1e17), json!(1e17)),
            (json!(18_446_744_073_709_551_615_u64), json!(18_446_744_073_709_551_615_u64)),
            (json!({"a": [1.0, {"b": 2.0}], "c": "3.0"}), json!({"a": [1, {"b": 2}], "c": "3.0"})),
        ] {
            let mut value = before.clone();
            normalize_numbers(&mut value);
            assert_eq!(value.to_string(), after.to_string(), "{before}");
        }
    }
}
