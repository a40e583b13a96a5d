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

/// Most problems that are listed.
const PROBLEMS_MAX: usize = 20;

/// Checks the size of `input`, and it against the `input:` schema of a workflow. Every problem is named, with its place in the input.
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
    let problems: Vec<_> = validator.iter_errors(input).take(PROBLEMS_MAX).map(|error| describe("input", &error)).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::InvalidInput(problems)) }
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
pub(crate) fn check_answer(schema: &Value, answer: &Value) -> Result<(), Error> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| Error::InvalidInput(vec![format!("the step's schema is not a JSON Schema: {error}")]))?;
    let problems: Vec<_> = validator.iter_errors(answer).take(PROBLEMS_MAX).map(|error| describe("answer", &error)).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::InvalidInput(problems)) }
}

fn describe(what: &str, error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let place = format!("{what}{}", place.replace('/', "."));
    let mut message = error.to_string();
    if message.len() > limits::REMOTE_ERROR_BYTES_MAX / 4 {
        // A message quotes the value it is about, which may be large.
        message = format!("{}…", message.chars().take(200).collect::<String>());
    }
    format!("{place}: {message}")
}
