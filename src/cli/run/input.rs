//! The input of a run: a file, `key=value` pairs over it, and a bare request that finds its place by the workflow's schema.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::super::exit::Failure;
use crate::limits::RUN_INPUT_BYTES_MAX;

/// The property that a bare request becomes when the schema does not say otherwise.
const REQUEST: &str = "requirements";

/// A longer value is not repeated to show how to write it.
const TEXT_SHOWN_BYTES_MAX: usize = 60;

/// What the command line says of the input.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct InputArguments {
    /// What is wanted, in plain words; becomes the input `requirements`, or the workflow's first required text
    #[arg(value_name = "REQUEST")]
    pub(super) request: Option<String>,
    /// One input, given more than once for several; VALUE is read as JSON, else as text (`'n="42"'` is a text); `@FILE` reads a file
    #[arg(short, long = "input", value_name = "KEY=VALUE")]
    pub(super) inputs: Vec<String>,
    /// All inputs as a JSON or YAML object; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(super) input_file: Option<String>,
}

/// The input, and where the request went when that was not the usual place.
#[derive(Debug, PartialEq)]
pub(super) struct Input {
    pub(super) value: Value,
    pub(super) note: Option<String>,
}

/// Puts the input together for a workflow with this schema.
pub(super) fn assemble(arguments: &InputArguments, schema: Option<&Value>) -> Result<Input, Failure> {
    let mut fields = match &arguments.input_file {
        Some(file) => object(file)?,
        None => Map::new(),
    };
    let mut given = BTreeSet::new();
    for pair in &arguments.inputs {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Failure::usage(format!("`--input {pair}` is not KEY=VALUE")).hint("for example --input language=python --input count=3")
        })?;
        if !given.insert(key) {
            return Err(Failure::usage(format!("`--input {key}=…` is given twice")).hint("leave one of the two away"));
        }
        fields.insert(key.to_owned(), value_of(value)?);
    }
    let mut note = None;
    if let Some(request) = &arguments.request {
        let key = place_of_request(schema)?;
        if fields.contains_key(&key) {
            return Err(Failure::usage(format!("`{key}` is given twice: as the request and as an input")).hint("leave one of the two away"));
        }
        if key != REQUEST {
            note = Some(format!("the request becomes the input `{key}`"));
        }
        fields.insert(key, Value::String(request.clone()));
    }
    Ok(Input { value: Value::Object(fields), note })
}

/// Where a bare request goes: `requirements`, unless a schema lists other properties; then its first required text, or its only text.
fn place_of_request(schema: Option<&Value>) -> Result<String, Failure> {
    let Some(properties) = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object) else {
        return Ok(REQUEST.to_owned());
    };
    if properties.is_empty() || properties.contains_key(REQUEST) {
        return Ok(REQUEST.to_owned());
    }
    let is_text = |name: &str| properties.get(name).is_some_and(takes_text);
    let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str).find(|name| is_text(name));
    let mut texts = properties.keys().filter(|name| is_text(name));
    let place = match (required, texts.next(), texts.next()) {
        (Some(name), _, _) => Some(name.to_owned()),
        (None, Some(only), None) => Some(only.clone()),
        (None, _, _) => None,
    };
    place.ok_or_else(|| {
        let known = properties.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Failure::usage("this workflow has no input that a bare request could be")
            .hint(format!("use --input KEY=VALUE; its inputs are {known}"))
    })
}

fn takes_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => names.iter().any(|name| name == "string"),
        _ => false,
    }
}

/// How to give an input as a text, when one was read as JSON where the schema wants a text.
pub(super) fn as_text(arguments: &InputArguments, schema: Option<&Value>) -> Option<String> {
    let properties = schema?.get("properties")?.as_object()?;
    arguments.inputs.iter().find_map(|pair| {
        let (key, text) = pair.split_once('=')?;
        let value = value_of(text).ok().filter(|value| !value.is_string())?;
        let wanted = properties.get(key).filter(|schema| takes_text(schema))?;
        let fits = jsonschema::validator_for(wanted).is_ok_and(|validator| validator.is_valid(&value));
        if fits {
            return None;
        }
        Some(match text.strip_prefix('@') {
            Some(file) => format!("`{key}` is a text, and what is in `{file}` was read as JSON: put it in double quotes there"),
            // Shell quoting of any text would hide what is meant; short words and numbers are what this happens to.
            None if text.len() <= TEXT_SHOWN_BYTES_MAX && !text.contains(['\'', '"', '\\']) => {
                format!("`{key}` is a text, and `{text}` was read as JSON; a text in double quotes stays one: --input '{key}=\"{text}\"'")
            }
            None => format!("`{key}` is a text, and its value was read as JSON; as JSON text in double quotes it stays one"),
        })
    })
}

/// JSON when it is JSON, else text. `@FILE` is the file's content, read by the same rule.
fn value_of(text: &str) -> Result<Value, Failure> {
    let text = match text.strip_prefix('@') {
        Some(file) => read(file)?,
        None => text.to_owned(),
    };
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn object(file: &str) -> Result<Map<String, Value>, Failure> {
    let text = read(file)?;
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(json) if file.ends_with(".json") || text.trim_start().starts_with('{') => {
            return Err(Failure::usage(format!("`{file}` is not valid JSON: {json}")));
        }
        Err(_) => serde_yaml::from_str(&text).map_err(|error| Failure::usage(format!("`{file}` is neither JSON nor YAML: {error}")))?,
    };
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Failure::usage(format!("`{file}` holds no object")).hint("inputs are an object with a field for each input")),
    }
}

/// A file's text, or that of standard input (`-`), never more than a run may take.
pub(in crate::cli) fn read(file: &str) -> Result<String, Failure> {
    let limit = RUN_INPUT_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    let outcome = match file {
        "-" => std::io::stdin().lock().take(limit).read_to_string(&mut text),
        path => std::fs::File::open(Path::new(path)).and_then(|file| file.take(limit).read_to_string(&mut text)),
    };
    match outcome {
        Err(error) => Err(Failure::usage(format!("cannot read the input file `{file}`: {error}"))),
        Ok(_) if text.len() > RUN_INPUT_BYTES_MAX => {
            Err(Failure::usage(format!("the input file `{file}` is larger than {RUN_INPUT_BYTES_MAX} bytes")))
        }
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(request: Option<&str>, inputs: &[&str], schema: Option<Value>, expected: Result<Value, &str>) {
        let arguments = InputArguments {
            request: request.map(str::to_owned),
            inputs: inputs.iter().map(|&pair| pair.to_owned()).collect(),
            input_file: None,
        };
        match (assemble(&arguments, schema.as_ref()), expected) {
            (Ok(input), Ok(expected)) => assert_eq!(input.value, expected),
            (Err(failure), Err(part)) => assert!(failure.to_string().contains(part), "{failure}"),
            (got, expected) => panic!("{got:?} is not {expected:?}"),
        }
    }

    #[test]
    fn pairs_are_json_or_text() {
        let inputs = ["a=1", "b=true", "c=text", "d=[1,2]", "e=", "f=x=y", "g=\"1\"", "h=007"];
        let expected = json!({"a": 1, "b": true, "c": "text", "d": [1, 2], "e": "", "f": "x=y", "g": "1", "h": "007"});
        check(None, &inputs, None, Ok(expected));
        check(None, &[], None, Ok(json!({})));
        check(None, &["nothing"], None, Err("not KEY=VALUE"));
        check(None, &["a=1", "a=2"], None, Err("`--input a=…` is given twice"));
        check(None, &["=x"], None, Err("not KEY=VALUE"));
        check(None, &["a=@/nonexistent"], None, Err("cannot read the input file `/nonexistent`"));
    }

    #[test]
    fn a_request_finds_its_place() {
        let schema = |properties: Value, required: Value| Some(json!({"type": "object", "properties": properties, "required": required}));
        let text = json!({"type": "string"});
        check(Some("r"), &[], None, Ok(json!({"requirements": "r"})));
        check(Some("r"), &["a=1"], Some(json!({"type": "object"})), Ok(json!({"a": 1, "requirements": "r"})));
        check(Some("r"), &[], schema(json!({"z": text, "requirements": text}), json!(["z"])), Ok(json!({"requirements": "r"})));
        check(Some("r"), &[], schema(json!({"n": {"type": "number"}, "text": text}), json!(["n", "text"])), Ok(json!({"text": "r"})));
        check(Some("r"), &[], schema(json!({"only": {"type": ["string", "null"]}}), json!([])), Ok(json!({"only": "r"})));
        check(Some("r"), &[], schema(json!({"a": text, "b": text}), json!([])), Err("its inputs are `a`, `b`"));
        check(Some("r"), &[], schema(json!({"n": {"type": "number"}}), json!([])), Err("no input that a bare request could be"));
        check(Some("r"), &["requirements=x"], None, Err("given twice"));
    }

    #[test]
    fn files_are_objects_in_json_or_yaml() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, expected) in [
            ("a.json", "{\"a\": 1}", Ok(json!({"a": 1, "b": 2}))),
            ("a.yaml", "a: 1\n", Ok(json!({"a": 1, "b": 2}))),
            ("list.yaml", "- 1\n", Err("holds no object")),
            ("bad.json", "{", Err("not valid JSON")),
            ("bad.yaml", "a: [", Err("neither JSON nor YAML")),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let input_file = Some(path.display().to_string());
            let arguments = InputArguments { request: None, inputs: vec!["b=2".to_owned()], input_file };
            match (assemble(&arguments, None), expected) {
                (Ok(input), Ok(expected)) => assert_eq!(input.value, expected, "{name}"),
                (Err(failure), Err(part)) => assert!(failure.to_string().contains(part), "{failure}"),
                (got, expected) => panic!("{name}: {got:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        std::fs::write(&path, "x".repeat(RUN_INPUT_BYTES_MAX + 1)).unwrap();
        check(None, &[&format!("a=@{}", path.display())], None, Err("larger than"));
    }
}
