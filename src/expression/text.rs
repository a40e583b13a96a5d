//! The text of a value: as it is pasted into a template, compared by `switch` and joined by filters. One form everywhere.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, Value, ser::Formatter};

/// The text of a value: a string as it is, everything else as compact JSON, where a number without a fraction has none: `42`, not `42.0`.
///
/// ```
/// use gantry::expression::text_of;
/// use serde_json::json;
/// assert_eq!(text_of(&json!("plain")), "plain");
/// assert_eq!(text_of(&json!({"a": [1, 2.0, null]})), r#"{"a":[1,2,null]}"#);
/// ```
pub fn text_of(value: &Value) -> String {
    let mut bytes = Vec::new();
    write_text(&mut bytes, value).expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// Writes what [`text_of`] returns; stops when the writer does.
pub(super) fn write_text(writer: &mut impl Write, value: &Value) -> io::Result<()> {
    match value {
        Value::String(text) => writer.write_all(text.as_bytes()),
        other => Ok(other.serialize(&mut Serializer::with_formatter(writer, Compact))?),
    }
}

/// A number without a fraction, small enough that every such number is exact, as an integer.
pub(super) fn integral(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is far within i64")]
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
}

/// Compact JSON, but 42.0 is written as 42.
struct Compact;

impl Formatter for Compact {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        match integral(number) {
            Some(integer) => write!(writer, "{integer}"),
            None => serde_json::ser::CompactFormatter.write_f64(writer, number),
        }
    }
}

/// A text that may not grow beyond a limit.
pub(super) struct Limited {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Limited {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max }
    }

    pub(super) fn into_text(self) -> String {
        String::from_utf8(self.bytes).expect("only whole texts were written")
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
