//! What must hold of a body before jsonrpsee sees it: it is JSON, neither deep nor made to hurt, one request and not a batch,
//! with an id that jsonrpsee keeps. jsonrpsee's own codes for these collide with A2A's, so they are answered here.

use jsonrpsee::types::Id;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::Failure;
use crate::a2a::ErrorCode;

/// Longest number. Beyond it no type holds it, and its digits only cost time.
const NUMBER_BYTES_MAX: usize = 1024;
/// Longest name of a member.
const KEY_BYTES_MAX: usize = 64 * 1024;
/// Most members of all objects in a body.
const MEMBERS_MAX: usize = 250_000;
/// Longest text id.
const ID_BYTES_MAX: usize = 1024;

/// One request, checked.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) id: Value,
    pub(super) method: String,
    /// As they were written: an object or a list. None when there are none, or `null`.
    pub(super) params: Option<&'a str>,
}

/// A body that is no request: the answer, and the id it answers when that could be read.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) id: Value,
    pub(super) failure: Failure,
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    /// `null` is an id, absence is none.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    /// Checks a body.
    pub(super) fn read(body: &'a [u8], depth_max: usize) -> Result<Self, Refusal> {
        let refuse = |id: Value, code, message: &str| Refusal { id, failure: Failure::new(code, message) };
        let text = std::str::from_utf8(body).map_err(|_| refuse(Value::Null, ErrorCode::ParseError, "the body is not UTF-8"))?;
        scan(body, depth_max).map_err(|fault| refuse(Value::Null, ErrorCode::ParseError, fault))?;
        let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
            refuse(Value::Null, ErrorCode::ParseError, &format!("the body is not JSON: line {}, column {}", error.line(), error.column()))
        })?;
        match whole.get().as_bytes().first() {
            Some(b'{') => {}
            Some(b'[') => return Err(refuse(Value::Null, ErrorCode::InvalidRequest, "A2A has no batches: send one request")),
            _ => return Err(refuse(Value::Null, ErrorCode::InvalidRequest, "the body is not a JSON-RPC request object")),
        }
        let outer: Outer<'_> = serde_json::from_str(whole.get())
            .map_err(|_| refuse(Value::Null, ErrorCode::InvalidRequest, "a member of the request stands there twice"))?;
        let id = match outer.id {
            None => return Err(refuse(Value::Null, ErrorCode::InvalidRequest, "`id` is missing: A2A has no notifications")),
            Some(raw) => id(raw).ok_or_else(|| {
                refuse(Value::Null, ErrorCode::InvalidRequest, "`id` must be a string, null or a whole number from 0 to 2^64-1")
            })?,
        };
        if outer.jsonrpc.is_none_or(|version| version.get() != "\"2.0\"") {
            return Err(refuse(id, ErrorCode::InvalidRequest, "`jsonrpc` must be \"2.0\""));
        }
        let Some(Ok(method)) = outer.method.map(|raw| serde_json::from_str::<String>(raw.get())) else {
            return Err(refuse(id, ErrorCode::InvalidRequest, "`method` must be a string"));
        };
        if let Some(params) = outer.params
            && !matches!(params.get().as_bytes().first(), Some(b'{' | b'['))
        {
            return Err(refuse(id, ErrorCode::InvalidRequest, "`params` must be an object"));
        }
        Ok(Self { id, method, params: outer.params.map(RawValue::get) })
    }

    /// The id in jsonrpsee's type.
    pub(super) fn rpc_id(&self) -> Id<'static> {
        match &self.id {
            Value::String(text) => Id::Str(text.clone().into()),
            Value::Number(number) => number.as_u64().map_or(Id::Null, Id::Number),
            _ => Id::Null,
        }
    }
}

fn id(raw: &RawValue) -> Option<Value> {
    let id: Value = serde_json::from_str(raw.get()).ok()?;
    match &id {
        Value::Null => Some(id),
        Value::String(text) if text.len() <= ID_BYTES_MAX => Some(id),
        // `1.0` and `1e3` are not kept as they were written.
        Value::Number(number) if number.is_u64() => Some(id),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// One pass over the bytes, without recursion: depth, longest number, longest key, number of members.
fn scan(body: &[u8], depth_max: usize) -> Result<(), &'static str> {
    let (mut depth, mut members, mut number, mut at) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut last_text = 0_usize;
    while let Some(&byte) = body.get(at) {
        number = if matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E') { number + 1 } else { 0 };
        if number > NUMBER_BYTES_MAX {
            return Err("a number has more than 1024 digits");
        }
        match byte {
            b'"' => {
                let start = at;
                at += 1;
                while let Some(&inner) = body.get(at) {
                    match inner {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
                last_text = at.saturating_sub(start + 1);
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err("the JSON nests too deeply");
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => {
                members += 1;
                if last_text > KEY_BYTES_MAX {
                    return Err("the name of a member is longer than 64 KiB");
                }
                if members > MEMBERS_MAX {
                    return Err("the JSON has more than 250000 members");
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> i64 {
        Envelope::read(body.as_bytes(), 100).map_or_else(|refusal| refusal.failure.error.code, |_| 0)
    }

    #[test]
    fn requests_are_told_from_the_rest() {
        for (body, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, 0),
            (r#"{"jsonrpc":"2.0","id":"1","method":"x","params":{}}"#, 0),
            (r#" {"jsonrpc":"2.0","id":null,"method":"x","params":null} "#, 0),
            (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"x"}"#, 0),
            (r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":-1,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, -32600),
            (r#"{"id":1,"method":"x"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":7}"#, -32600),
            ("{}", -32600),
            ("[]", -32600),
            ("[1,2,3]", -32600),
            ("7", -32600),
            ("", -32700),
            ("{", -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x"} x"#, -32700),
            ("nul", -32700),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
    }

    #[test]
    fn bombs_are_refused_by_the_scan() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        let many = format!("{{{}}}", (0..300_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(","));
        for body in ["[".repeat(1_000_000), deep, "1".repeat(1_000_000), format!("{{\"{}\":1}}", "k".repeat(1_000_000)), many] {
            assert_eq!(code(&body), -32700);
        }
        // A long text is data, not a bomb; brackets in it do not nest.
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"t":"{}"}}}}"#, "[\\\"".repeat(100_000));
        assert_eq!(code(&text), 0);
    }

    #[test]
    fn each_bound_is_the_last_that_fits() {
        let with = |id: &str, params: &str| code(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x","params":{params}}}"#));
        let text = |bytes: usize| format!("\"{}\"", "k".repeat(bytes));
        let members = |count: usize| format!("{{{}}}", vec![r#""":1"#; count].join(","));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        // The request itself has four members and one level.
        for (more, params, id) in [(0, 0, 0), (1, -32700, -32600)] {
            assert_eq!(with(&text(ID_BYTES_MAX + more), "{}"), id, "the id");
            assert_eq!(with("1", &format!("[{}]", "1".repeat(NUMBER_BYTES_MAX + more))), params, "a number");
            assert_eq!(with("1", &format!("{{{}:1}}", text(KEY_BYTES_MAX + more))), params, "a name");
            assert_eq!(with("1", &members(MEMBERS_MAX - 4 + more)), params, "members");
            assert_eq!(with("1", &nested(99 + more)), params, "depth");
        }
    }

    #[test]
    fn the_id_is_echoed_when_it_could_be_read() {
        let refusal = Envelope::read(br#"{"jsonrpc":"2.0","id":"a","method":1}"#, 100).unwrap_err();
        assert_eq!(refusal.id, "a");
    }
}
