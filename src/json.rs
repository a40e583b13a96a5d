//! JSON of values that may be large: written faster than by serde_json, which looks at a text byte by byte, and weighed without
//! writing it.

use std::io::{self, Write};

use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes of a text that are looked at at once.
const CHUNK_BYTES: usize = 64;

/// Writes a value as serde_json does, to the byte. Depth is bounded by whoever read the value.
pub(crate) fn write(to: &mut impl Write, value: &Value) -> io::Result<()> {
    match value {
        Value::String(text) => write_text(to, text),
        Value::Array(items) => {
            to.write_all(b"[")?;
            for (index, item) in items.iter().enumerate() {
                separate(to, index)?;
                write(to, item)?;
            }
            to.write_all(b"]")
        }
        Value::Object(members) => {
            to.write_all(b"{")?;
            for (index, (name, member)) in members.iter().enumerate() {
                separate(to, index)?;
                write_text(to, name)?;
                to.write_all(b":")?;
                write(to, member)?;
            }
            to.write_all(b"}")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(serde_json::to_writer(to, value)?),
    }
}

/// The JSON of a value.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHUNK_BYTES);
    write(&mut bytes, value).expect("memory takes everything");
    bytes
}

fn separate(to: &mut impl Write, index: usize) -> io::Result<()> {
    if index > 0 { to.write_all(b",") } else { Ok(()) }
}

fn write_text(to: &mut impl Write, text: &str) -> io::Result<()> {
    let bytes = text.as_bytes();
    to.write_all(b"\"")?;
    let mut written = 0;
    for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
        // No early way out: this is done for many bytes at once.
        if !chunk.iter().fold(false, |found, byte| found | is_escaped(*byte)) {
            continue;
        }
        for (at, byte) in (index * CHUNK_BYTES..).zip(chunk).filter(|(_, byte)| is_escaped(**byte)) {
            to.write_all(&bytes[written..at])?;
            write_escaped(to, *byte)?;
            written = at + 1;
        }
    }
    to.write_all(&bytes[written..])?;
    to.write_all(b"\"")
}

const fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escaped(to: &mut impl Write, byte: u8) -> io::Result<()> {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => return write!(to, "\\u{byte:04x}"),
    };
    to.write_all(&[b'\\', short])
}

/// Values within one that are many: in memory each takes some seventy bytes, a digit of its text one.
const MANY_VALUES: usize = 4_096;
/// What the texts and names within such a value take each, at most: a third of what the value itself does.
const SMALL_BYTES: usize = 24;
/// The reader of JSON gives up a little deeper.
const READ_DEPTH_MAX: usize = 100;
/// How the names of members begin that the reader of JSON takes for something else.
const READERS_OWN: &str = "$serde_json::private";

/// The text of a value that has many small ones within, where it certainly is read back as what it is: it takes a small part of their
/// memory. Of large texts it would be a copy.
pub(crate) fn compact(value: &Value) -> Option<Box<RawValue>> {
    let mut within = Within::default();
    within.count(value, READ_DEPTH_MAX)?;
    if within.values < MANY_VALUES || within.text_bytes > within.values * SMALL_BYTES {
        return None;
    }
    let text = String::from_utf8(bytes(value)).ok().filter(|text| reads_back(text))?;
    RawValue::from_string(text).ok()
}

/// What there is within a value.
#[derive(Default)]
struct Within {
    values: usize,
    text_bytes: usize,
}

impl Within {
    /// None when it is deeper than that.
    fn count(&mut self, value: &Value, depth_left: usize) -> Option<()> {
        match value {
            Value::Array(items) => {
                self.values += items.len();
                let depth_left = depth_left.checked_sub(1)?;
                items.iter().try_for_each(|item| self.count(item, depth_left))
            }
            Value::Object(members) => {
                self.values += members.len();
                self.text_bytes += members.keys().map(String::len).sum::<usize>();
                let depth_left = depth_left.checked_sub(1)?;
                members.values().try_for_each(|member| self.count(member, depth_left))
            }
            Value::String(text) => {
                self.text_bytes += text.len();
                Some(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(()),
        }
    }
}

/// Whether the reader of JSON yields what was written, if that is not too deep.
pub(crate) fn reads_back(text: &str) -> bool {
    !text.contains(READERS_OWN)
}

/// What a text weighs, its quotes included. Escapes are not counted.
pub(crate) const fn weight_of_text(text: &str) -> usize {
    text.len() + 2
}

/// What a value weighs without those in it.
pub(crate) fn weight_alone(value: &Value) -> usize {
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(number) => number.checked_ilog10().map_or(1, |digits| digits as usize + 1),
            None => number.to_string().len(),
        },
        Value::String(text) => weight_of_text(text),
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Array(_) | Value::Object(_) => 2,
    }
}

/// Whether the JSON of a value certainly has more bytes than these. No more of it is looked at than it takes to know. Depth is bounded by
/// whoever read the value.
pub(crate) fn weighs_more_than(value: &Value, bytes: usize) -> bool {
    fn take(value: &Value, room: usize) -> Option<usize> {
        let room = room.checked_sub(weight_alone(value))?;
        match value {
            Value::Array(items) => {
                items.iter().enumerate().try_fold(room, |room, (index, item)| take(item, room.checked_sub(usize::from(index > 0))?))
            }
            Value::Object(members) => members.iter().enumerate().try_fold(room, |room, (index, (name, member))| {
                take(member, room.checked_sub(weight_of_text(name) + 1 + usize::from(index > 0))?)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(room),
        }
    }
    take(value, bytes).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_written_as_serde_json_writes_it() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        // Each at every place of a chunk, and at its ends.
        let shifted = (0..2 * CHUNK_BYTES).map(|n| json!(format!("{}\"\n\u{1}é{}", "x".repeat(n), "y".repeat(2 * CHUNK_BYTES - n))));
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 1.0, 0.1, 1e300, -0.0, 5e-324]);
        let others = [json!(all), numbers, json!({}), json!([]), json!(""), json!({"": [null, true, {"a\"b": false}], all: {"b": [[]]}})];
        for value in shifted.chain(others) {
            assert_eq!(String::from_utf8(bytes(&value)).unwrap(), value.to_string());
        }
    }

    #[test]
    fn what_has_many_values_becomes_its_text_if_it_reads_back() {
        let deep = |depth: usize| (0..depth).fold(json!(vec![1.5; MANY_VALUES]), |value, _| json!([value]));
        let members: serde_json::Map<_, _> = (0..MANY_VALUES).map(|n| (format!("m{n}"), json!({"a": "\n\"é"}))).collect();
        for value in [json!(vec![0; MANY_VALUES]), json!(members), json!({"a": [deep(3)], "b": null}), deep(READ_DEPTH_MAX - 1)] {
            let text = compact(&value).unwrap_or_else(|| panic!("{} bytes of JSON stayed as they were", value.to_string().len()));
            assert_eq!(serde_json::from_str::<Value>(text.get()).unwrap(), value);
        }
        let small = |bytes: usize| json!(vec!["x".repeat(bytes); MANY_VALUES]);
        assert!(compact(&small(SMALL_BYTES)).is_some() && compact(&small(SMALL_BYTES + 1)).is_none(), "of large texts it would be a copy");
        let own = json!({"$serde_json::private::RawValue": vec![0; MANY_VALUES]});
        let spread = json!([vec![0; MANY_VALUES / 2], vec![0; MANY_VALUES / 2 - 3]]);
        for value in [json!(null), json!("x".repeat(1_000_000)), json!(vec![0; MANY_VALUES - 1]), spread, own, deep(READ_DEPTH_MAX)] {
            assert!(compact(&value).is_none(), "{}", value.to_string().len());
        }
    }

    #[test]
    fn a_value_weighs_what_its_json_has_but_for_escapes() {
        let numbers = json!([0, 9, 10, 99, 100, u64::MAX, -1, i64::MIN, 0.1, 1e300]);
        let values = [
            numbers,
            json!("x".repeat(1000)),
            json!(vec!["abc"; 200]),
            json!([null, true, false, [], {}, [[], 1]]),
            json!({"a": {"b": ["c", 1]}, "é": 2}),
        ];
        for value in values {
            let bytes = value.to_string().len();
            assert!(weighs_more_than(&value, bytes - 1) && !weighs_more_than(&value, bytes), "{value}");
        }
        assert!(!weighs_more_than(&json!("\n\n"), 4), "escapes are not counted");
    }
}
