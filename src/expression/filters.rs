//! The one environment that all expressions run in: a list of filters and tests, and nothing else. No function, no global name, no template.

use std::io::Write;
use std::sync::LazyLock;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters, tests};

use super::convert::to_json;
use super::operands::Pass;
use super::text::{Limited, text_of, write_text};
use crate::limits::{EXPRESSION_FUEL, EXPRESSION_OUTPUT_BYTES_MAX, EXPRESSION_RECURSION_MAX};

/// Every filter there is, as errors list them.
pub(super) const FILTERS: [&str; 27] = [
    "default",
    "first",
    "float",
    "int",
    "join",
    "keys",
    "last",
    "length",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "round",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "sum",
    "tojson",
    "trim",
    "unique",
    "upper",
    "values",
    "rejectattr",
];

/// Every test there is, as errors list them. `select('eq', 1)` and the like take them by these names too.
pub(super) const TESTS: [&str; 21] = [
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "integer",
    "float",
    "boolean",
    "sequence",
    "mapping",
    "in",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "true",
    "false",
    "startingwith",
    "endingwith",
];

pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(EXPRESSION_FUEL));
    environment.set_recursion_limit(EXPRESSION_RECURSION_MAX);
    add_filters(&mut environment);
    add_tests(&mut environment);
    environment
});

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("default", filters::default);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("map", filters::map);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("reject", filters::reject);
    environment.add_filter("rejectattr", filters::rejectattr);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("round", filters::round);
    environment.add_filter("select", filters::select);
    environment.add_filter("selectattr", filters::selectattr);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("split", filters::split);
    environment.add_filter("sum", filters::sum);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
    // Ours: the engine's own versions are missing, write other text than JSON, or walk a sequence without using up fuel.
    environment.add_filter("first", first);
    environment.add_filter("join", join);
    environment.add_filter("keys", keys);
    environment.add_filter("last", last);
    environment.add_filter("length", length);
    environment.add_filter("string", string);
    environment.add_filter("tojson", tojson);
    environment.add_filter("values", values);
    // What operands are passed through.
    environment.add_filter(Pass::Counted.filter(), counted);
    environment.add_filter(Pass::Number.filter(), number);
    environment.add_filter(Pass::Text.filter(), pasted);
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("string", tests::is_string);
    environment.add_test("number", tests::is_number);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("float", tests::is_float);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("in", tests::is_in);
    environment.add_test("true", tests::is_true);
    environment.add_test("false", tests::is_false);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    for name in ["eq", "=="] {
        environment.add_test(name, tests::is_eq);
    }
    for name in ["ne", "!="] {
        environment.add_test(name, tests::is_ne);
    }
    for name in ["lt", "<"] {
        environment.add_test(name, tests::is_lt);
    }
    for name in ["le", "<="] {
        environment.add_test(name, tests::is_le);
    }
    for name in ["gt", ">"] {
        environment.add_test(name, tests::is_gt);
    }
    for name in ["ge", ">="] {
        environment.add_test(name, tests::is_ge);
    }
}

/// The first item of a list or the first letter of a text; missing if it is empty.
fn first(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().and_then(|text| text.chars().next()).map_or(Value::UNDEFINED, Value::from)),
        ValueKind::Seq | ValueKind::Iterable => Ok(value.try_iter()?.next().unwrap_or(Value::UNDEFINED)),
        _ => Err(expected(value, "first", "a list or a text")),
    }
}

/// The last item of a list or the last letter of a text; missing if it is empty.
fn last(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    match (value.kind(), value.len()) {
        (ValueKind::String, _) => Ok(value.as_str().and_then(|text| text.chars().next_back()).map_or(Value::UNDEFINED, Value::from)),
        (ValueKind::Seq, Some(0)) => Ok(Value::UNDEFINED),
        (ValueKind::Seq, Some(length)) => value.get_item_by_index(length - 1),
        (ValueKind::Seq | ValueKind::Iterable, _) => {
            let mut last = Value::UNDEFINED;
            for item in value.try_iter()?.checked() {
                state.consume_fuel(1)?;
                last = item?;
            }
            Ok(last)
        }
        _ => Err(expected(value, "last", "a list or a text")),
    }
}

/// How many items, keys or letters.
fn length(state: &State<'_, '_>, value: &Value) -> Result<usize, Error> {
    match (value.kind(), value.len()) {
        (ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map, Some(length)) => Ok(length),
        (ValueKind::Iterable, None) => {
            let mut length = 0;
            for item in value.try_iter()?.checked() {
                state.consume_fuel(1)?;
                item?;
                length += 1;
            }
            Ok(length)
        }
        _ => Err(expected(value, "length", "a list, an object or a text")),
    }
}

/// The items of a list as texts, with a text between each two.
fn join(state: &State<'_, '_>, value: &Value, between: Option<&str>) -> Result<String, Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::String) {
        return Err(expected(value, "join", "a list"));
    }
    let mut text = Limited::new(EXPRESSION_OUTPUT_BYTES_MAX);
    for (index, item) in value.try_iter()?.checked().enumerate() {
        state.consume_fuel(1)?;
        if let (Some(between), true) = (between, index > 0) {
            text.write_all(between.as_bytes()).map_err(too_long)?;
        }
        write(&mut text, &item?)?;
    }
    Ok(text.into_text())
}

/// The keys of an object, in its order.
fn keys(state: &State<'_, '_>, value: &Value) -> Result<Vec<Value>, Error> {
    pairs(state, value, "keys", |key, _| key)
}

/// The values of an object, in its order.
fn values(state: &State<'_, '_>, value: &Value) -> Result<Vec<Value>, Error> {
    pairs(state, value, "values", |_, value| value)
}

fn pairs(state: &State<'_, '_>, value: &Value, filter: &str, part: fn(Value, Value) -> Value) -> Result<Vec<Value>, Error> {
    let map = value.as_object().filter(|_| value.kind() == ValueKind::Map);
    let pairs = map.and_then(|object| object.try_iter_pairs()).ok_or_else(|| expected(value, filter, "an object"))?;
    pairs.map(|(key, value)| state.consume_fuel(1).map(|()| part(key, value))).collect()
}

/// The text of a value, as it would be pasted.
fn string(value: &Value) -> Result<String, Error> {
    let mut text = Limited::new(EXPRESSION_OUTPUT_BYTES_MAX);
    write(&mut text, value)?;
    Ok(text.into_text())
}

/// The JSON of a value, compact, or with `indent=true` over several lines.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = options.get("indent")?;
    options.assert_all_used()?;
    let json = json(value)?;
    let text = match (indent.is_some_and(|indent| indent.is_true()), &*json) {
        (true, json) => serde_json::to_string_pretty(json).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?,
        (false, text @ serde_json::Value::String(_)) => text.to_string(),
        (false, json) => text_of(json),
    };
    if text.len() > EXPRESSION_OUTPUT_BYTES_MAX { Err(too_long(())) } else { Ok(text) }
}

/// The operand of a `*`.
fn number(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Number | ValueKind::Bool => Ok(value.clone()),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("`*` needs numbers, not {kind}"))),
    }
}

/// The operand of a `+`.
fn counted(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    match (value.kind(), value.len()) {
        (ValueKind::Undefined, _) => return Err(Error::from(ErrorKind::UndefinedError)),
        (ValueKind::Seq | ValueKind::Iterable, Some(length)) => state.consume_fuel(length as u64)?,
        _ => {}
    }
    Ok(value.clone())
}

/// The operand of a `~`.
fn pasted(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.clone()),
        _ => string(value).map(Value::from),
    }
}

fn write(text: &mut Limited, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(value) => text.write_all(value.as_bytes()).map_err(too_long),
        None => write_text(text, &*json(value)?).map_err(too_long),
    }
}

fn json(value: &Value) -> Result<std::sync::Arc<serde_json::Value>, Error> {
    to_json(value).map_err(|refusal| match refusal {
        super::convert::Refusal::Undefined => Error::from(ErrorKind::UndefinedError),
        other => Error::new(ErrorKind::InvalidOperation, other.message()),
    })
}

fn too_long<E>(_: E) -> Error {
    Error::new(ErrorKind::InvalidOperation, super::convert::Refusal::Long.message())
}

fn expected(value: &Value, filter: &str, what: &str) -> Error {
    match value.kind() {
        ValueKind::Undefined => Error::from(ErrorKind::UndefinedError),
        kind => Error::new(ErrorKind::InvalidOperation, format!("`{filter}` needs {what}, not {kind}")),
    }
}
