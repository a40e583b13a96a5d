//! Is the input within its bound, and what the workflow's schema says? Checked before a run is accepted. Answers likewise.

use std::sync::{Arc, LazyLock};

use quick_cache::sync::Cache;
use serde_json::Value;

use super::{Error, payload};
use crate::ids::Digest;
use crate::limits;
use crate::plan::Plan;

/// Compiled schemas by the digest of their plan: compiling costs more than a whole short run.
static VALIDATORS: LazyLock<Cache<Digest, Arc<jsonschema::Validator>>> = LazyLock::new(|| Cache::new(1_000));

/// Most problems that are listed; the rest is counted.
const PROBLEMS_MAX: usize = 20;

/// Checks the size of `input`, and it against the `input:` schema of a workflow. The problems are named, each with its place in the input.
pub fn check(plan: &Plan, input: &Value) -> Result<(), Error> {
    check_size("input", input)?;
    let Some(schema) = &plan.workflow().input else { return Ok(()) };
    let validator = match VALIDATORS.get(plan.digest()) {
        Some(validator) => validator,
        None => {
            let validator = jsonschema::validator_for(schema)
                .map_err(|error| Error::InvalidInput(vec![format!("the workflow's input schema is not a JSON Schema: {error}")]))?;
            let validator = Arc::new(validator);
            VALIDATORS.insert(plan.digest().clone(), Arc::clone(&validator));
            validator
        }
    };
    fits("input", &validator, input)
}

/// Refuses an input or answer that is larger than a run may be given, whoever gives it.
pub(super) fn check_size(what: &str, value: &Value) -> Result<(), Error> {
    if payload::exceeds(value, limits::RUN_INPUT_BYTES_MAX) {
        let problem = format!("{what}: is larger than {} bytes (RUN_INPUT_BYTES_MAX)", limits::RUN_INPUT_BYTES_MAX);
        return Err(Error::InvalidInput(vec![problem]));
    }
    Ok(())
}

/// Checks an answer against the `schema:` of the step that asked. Answers are rare: the schema is compiled each time.
pub(super) fn check_answer(schema: &Value, answer: &Value) -> Result<(), Error> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| Error::InvalidInput(vec![format!("the step's schema is not a JSON Schema: {error}")]))?;
    fits("answer", &validator, answer)
}

fn fits(what: &str, validator: &jsonschema::Validator, value: &Value) -> Result<(), Error> {
    let mut errors = validator.iter_errors(value);
    let mut problems: Vec<_> = errors.by_ref().take(PROBLEMS_MAX).map(|error| describe(what, &error)).collect();
    let more = errors.count();
    if more > 0 {
        problems.push(format!("… and {more} more"));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::InvalidInput(problems)) }
}

/// Names are as much the caller's as values: neither makes a problem long.
fn describe(what: &str, error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    format!("{}: {}", cut(format!("{what}{}", place.replace('/', "."))), cut(error.to_string()))
}

/// A message quotes the value it is about, which may be large.
fn cut(text: String) -> String {
    if text.len() <= limits::REMOTE_ERROR_BYTES_MAX / 4 {
        return text;
    }
    let begins = text.char_indices().nth(200).map_or(text.len(), |(at, _)| at);
    if begins < text.len() { format!("{}…", &text[..begins]) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(what: &str, schema: &str, value: &Value) -> Vec<String> {
        let checked = match what {
            "answer" => check_answer(&serde_json::from_str(schema).unwrap(), value),
            _ => {
                let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\ninput: {schema}\nsteps: []");
                let workflow = crate::workflow::parse(&text).workflow.unwrap();
                let digest = crate::registry::digest::sha256(text.as_bytes());
                check(&Plan::new(workflow, text, digest), value)
            }
        };
        let Err(Error::InvalidInput(problems)) = checked else { panic!("{schema}: {checked:?}") };
        problems
    }

    const INTEGERS: &str = r#"{"type": "object", "additionalProperties": {"type": "integer"}}"#;

    #[test]
    fn so_many_problems_are_told_and_the_others_counted() {
        for (wrong, told, more) in [
            (PROBLEMS_MAX - 1, 19, None),
            (PROBLEMS_MAX, 20, None),
            (PROBLEMS_MAX + 1, 20, Some("… and 1 more")),
            (5_000, 20, Some("… and 4980 more")),
        ] {
            let value: Value = (0..wrong).map(|n| (format!("p{n:02}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
            for what in ["input", "answer"] {
                let problems = problems(what, INTEGERS, &value);
                assert_eq!(problems.len(), told + more.iter().count(), "{wrong} in the {what}");
                assert_eq!(problems[told - 1], format!("{what}.p{:02}: \"x\" is not of type \"integer\"", told - 1));
                assert_eq!(problems.get(told).map(String::as_str), more, "{wrong} in the {what}");
            }
        }
    }

    #[test]
    fn a_problem_quotes_the_beginning_of_what_is_large() {
        const SAID: &str = " is not of type \"integer\"";
        let uncut = limits::REMOTE_ERROR_BYTES_MAX / 4 - SAID.len() - 2;
        for what in ["input", "answer"] {
            let told = |bytes: usize| problems(what, r#"{"type": "integer"}"#, &json!("x".repeat(bytes)));
            assert_eq!(told(uncut), [format!("{what}: \"{}\"{SAID}", "x".repeat(uncut))]);
            let cut = format!("{what}: \"{}…", "x".repeat(199));
            for bytes in [uncut + 1, 10 * 1024] {
                assert_eq!(told(bytes), [cut.as_str()], "{bytes} bytes");
            }
            let name = "ä".repeat(5 * 1024);
            let problem = &problems(what, INTEGERS, &json!({ name: "x" }))[0];
            assert_eq!(problem, &format!("{what}.{}…: \"x\"{SAID}", "ä".repeat(200 - what.len() - 1)));
        }
    }
}
