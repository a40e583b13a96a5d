//! The JSON Schema of the language, so that editors complete and check while an author types.
//!
//! The types here are never built: only their shape is used. A test holds them against the same fixtures as the parser, because
//! the parser, which says more and says it better, does not read through them.
#![expect(dead_code, reason = "the fields are read by the schema generator only")]

mod step;
mod value;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use self::step::Step;
use self::value::{Anything, Duration, Size, Texts};

/// The JSON Schema of a workflow document (draft 2020-12). Shipped as `docs/workflow.schema.json`.
pub fn json_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>().to_value()
}

/// A gantry workflow.
#[derive(JsonSchema)]
#[schemars(title = "gantry workflow", deny_unknown_fields, transform = language)]
struct Document {
    metadata: Metadata,
    /// JSON Schema of the input. It is checked before the run starts.
    input: Option<serde_json::Map<String, Value>>,
    /// What the run yields: any value with `{{ templates }}` in it. Without it, the outputs of the last step that ran.
    output: Option<Anything>,
    /// The steps, in order.
    steps: Steps,
    error_handling: Option<ErrorHandling>,
    limits: Option<Limits>,
}

/// Who the workflow is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language)]
struct Metadata {
    /// The id it is found by.
    #[schemars(length(max = 200), regex(pattern = "^[a-z0-9][a-z0-9_-]*$"))]
    id: String,
    /// A name for people.
    #[schemars(regex(pattern = r"\S"))]
    name: String,
    /// A semantic version, such as 1.0.0.
    #[schemars(regex(pattern = r"^\s*\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\s*$"))]
    version: String,
    /// What it is for.
    description: Option<String>,
    /// Words to find it by.
    tags: Option<Texts>,
    /// Three to five requests that this workflow is for; the router learns from them.
    examples: Option<Texts>,
}

/// Defaults for every step, and handlers for the run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language)]
struct ErrorHandling {
    /// Retry policy of every step that has none.
    retry: Option<Retry>,
    /// What a failed step without `on_error` does. Default: fail.
    on_failure: Option<OnFailure>,
    /// Run after a run that completed.
    on_success: Option<Steps>,
    /// Run after a run that failed.
    on_error: Option<Steps>,
    /// Run after a run that was canceled.
    on_cancel: Option<Steps>,
    /// Run last, whatever happened.
    always: Option<Steps>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum OnFailure {
    Fail,
    Continue,
}

/// Bounds of a run. They can only tighten the server's.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language)]
struct Limits {
    max_duration: Option<Duration>,
    /// Most calls to agents, repeats and those of sub-workflows included.
    #[schemars(range(min = 1))]
    max_agent_calls: Option<u64>,
    max_payload: Option<Size>,
}

/// When a failed step is tried again.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language)]
struct Retry {
    /// Attempts in all, the first included. Default: 3.
    #[schemars(range(min = 1, max = 100))]
    max_attempts: Option<u32>,
    /// Delay before the second attempt. Default: 1s.
    initial: Option<Duration>,
    /// Each delay is this much longer than the one before. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    factor: Option<f64>,
    /// Longest delay. Default: 30s.
    max: Option<Duration>,
    /// Whether delays are drawn at random. Default: true.
    jitter: Option<bool>,
    /// Failures worth another attempt. Default: all of these.
    on: Option<Vec<RetryOn>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum RetryOn {
    Timeout,
    Unavailable,
    RateLimited,
    AgentError,
}

/// What a step's failure does: `fail`, `continue`, or steps to run instead.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OnError {
    Word(OnFailure),
    Catch(Catch),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language)]
struct Catch {
    steps: Steps,
}

/// Keys that are left out are fine, keys with nothing after the colon are not, and `x-` keys belong to other tools.
fn language(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    object.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    for property in properties.values_mut() {
        let is_null = |one: &Value| *one == json!("null") || *one == json!({ "type": "null" });
        for key in ["type", "anyOf", "enum"] {
            let Some(Value::Array(choices)) = property.get_mut(key) else { continue };
            choices.retain(|choice| !is_null(choice) && !choice.is_null());
            let only = (choices.len() == 1).then(|| choices[0].clone());
            match (key, only, property.as_object_mut()) {
                ("type", Some(only), Some(property)) => {
                    property.insert(key.to_owned(), only);
                }
                ("anyOf", Some(Value::Object(only)), Some(property)) => {
                    property.remove(key);
                    property.extend(only);
                }
                _ => {}
            }
        }
    }
}

/// A list of steps; nothing after the colon is an empty list.
struct Steps;

impl JsonSchema for Steps {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Steps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let step = generator.subschema_for::<Step>();
        json_schema!({ "anyOf": [{ "type": "array", "items": step }, { "type": "null" }] })
    }
}
