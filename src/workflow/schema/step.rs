//! The shapes of steps, one for each `step_type`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::value::{Anything, Binding, Condition, Duration, FailError, Inputs, Items, Tolerance};
use super::{OnError, Retry, Steps, language};

/// One step; `step_type` says which kind.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Step {
    Sequential(Sequential),
    Parallel(Parallel),
    Conditional(Conditional),
    Switch(Switch),
    Map(Map),
    Loop(Loop),
    Race(Race),
    Workflow(Workflow),
    Wait(Wait),
    Input(Input),
    Set(Set),
    Fail(Fail),
}

macro_rules! step {
    ($(#[$doc:meta])* $name:ident without $without:expr, { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(JsonSchema)]
        $(#[$doc])*
        #[schemars(deny_unknown_fields, transform = language, transform = |schema: &mut Schema| remove(schema, $without))]
        pub(super) struct $name {
            /// Unique in the workflow, nested steps included.
            #[schemars(length(max = 200), regex(pattern = "^[A-Za-z_][A-Za-z0-9_-]*$"))]
            id: String,
            $($(#[$field_doc])* $field: $type,)*
            /// The name the reply is stored under: `steps.<id>.outputs.<name>`. Without it the reply itself is `outputs`.
            #[schemars(length(max = 200), regex(pattern = "^[A-Za-z_][A-Za-z0-9_-]*$"))]
            outputs: Option<String>,
            /// Guard: when it does not hold, the step is skipped.
            when: Option<Condition>,
            /// Longest time of one attempt, or of the whole group. Default: 300 seconds.
            timeout: Option<Duration>,
            /// When a failed call is tried again.
            retry: Option<Retry>,
            on_error: Option<OnError>,
        }
    };
}

step! {
    /// One call of a skill.
    Sequential without &[], {
        step_type: Option<SequentialType>,
        /// The skill to call. An agent that offers it is found in the registry.
        #[schemars(length(min = 1, max = 200), regex(pattern = r"^\S(.*\S)?$"))]
        skill: String,
        /// Only this agent: `name`, `name:tag` or `name@sha256:…`.
        #[schemars(length(min = 1, max = 200), regex(pattern = r"^\S+$"))]
        agent: Option<String>,
        inputs: Option<Inputs>,
    }
}

step! {
    /// Branches at once.
    Parallel without &["retry"], {
        step_type: ParallelType,
        /// `steps: [...]` with one step a branch, or one `name: [steps]` a branch.
        branches: BTreeMap<String, Steps>,
        /// The first failure cancels the rest. Default: true.
        fail_fast: Option<bool>,
        /// How many branches at once.
        #[schemars(range(min = 1))]
        max_concurrency: Option<u32>,
    }
}

step! {
    /// Either branch, by a condition.
    Conditional without &["retry"], {
        step_type: ConditionalType,
        condition: Condition,
        branches: Either,
    }
}

step! {
    /// One branch, by a value.
    Switch without &["retry"], {
        step_type: SwitchType,
        /// Its value is compared with the cases as text; numbers, booleans and null by their JSON text.
        condition: Condition,
        /// One `value: [steps]` a case, and `default: [steps]`.
        #[schemars(extend("minProperties" = 1))]
        branches: BTreeMap<String, Steps>,
        /// What happens when no case fits and there is no default. Default: fail.
        on_no_match: Option<NoMatch>,
    }
}

step! {
    /// One run of the body for each item.
    #[schemars(extend("oneOf" = [
        { "required": ["steps"], "not": { "anyOf": [{ "required": ["agent"] }, { "required": ["inputs"] }] } },
        { "required": ["skill"] }
    ]))]
    Map without &["retry"], {
        step_type: MapType,
        items: Items,
        /// A name for the item, beside `item`.
        r#as: Option<Binding>,
        /// The steps of one item. They read `item` and `index`.
        steps: Option<Steps>,
        /// The skill to call for each item, when one call is enough.
        #[schemars(length(min = 1, max = 200), regex(pattern = r"^\S(.*\S)?$"))]
        skill: Option<String>,
        /// Only this agent: `name`, `name:tag` or `name@sha256:…`.
        #[schemars(length(min = 1, max = 200), regex(pattern = r"^\S+$"))]
        agent: Option<String>,
        inputs: Option<Inputs>,
        /// How many items at once.
        #[schemars(range(min = 1))]
        max_concurrency: Option<u32>,
        tolerate_failures: Option<Tolerance>,
        reduce: Option<Reduce>,
    }
}

/// Turns the results of the items into one value: `accumulator`, `item` (one result) and `index` give the next `accumulator`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language, extend("oneOf" = [{ "required": ["expression"] }, { "required": ["steps"] }]))]
struct Reduce {
    /// The first value of `accumulator`.
    initial: Anything,
    /// A template that yields the next `accumulator`.
    expression: Option<Anything>,
    /// Steps of which the last one yields the next `accumulator`.
    steps: Option<Steps>,
}

step! {
    /// The body again and again. It reads `iteration`, from 0.
    #[schemars(extend("oneOf" = [{ "required": ["while"] }, { "required": ["until"] }]))]
    Loop without &["retry"], {
        step_type: LoopType,
        /// Asked before each iteration; the loop ends when it does not hold.
        r#while: Option<Condition>,
        /// Asked after each iteration; the loop ends when it holds.
        until: Option<Condition>,
        /// Most iterations. A loop that is not done by then fails.
        #[schemars(range(min = 1, max = 2_000_000))]
        max_iterations: u32,
        /// The steps of one iteration.
        steps: Steps,
    }
}

step! {
    /// Branches at once, of which the first to succeed wins.
    Race without &["retry"], {
        step_type: RaceType,
        /// `steps: [...]` with one step a branch, or one `name: [steps]` a branch.
        #[schemars(extend("minProperties" = 1))]
        branches: BTreeMap<String, Steps>,
    }
}

step! {
    /// Another workflow, as a run of its own.
    Workflow without &[], {
        step_type: WorkflowType,
        /// `id`, `id:tag` or `id@sha256:…`.
        #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]{0,199}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha(256:[0-9a-f]{64}|512:[0-9a-f]{128}))?$"))]
        workflow: String,
        inputs: Option<Inputs>,
    }
}

step! {
    /// Waits for a time, or until a moment.
    #[schemars(extend("oneOf" = [{ "required": ["for"] }, { "required": ["until"] }]))]
    Wait without &["retry", "timeout"], {
        step_type: WaitType,
        r#for: Option<Duration>,
        /// A timestamp such as 2030-01-31T12:00:00Z, or an expression that yields one.
        #[schemars(regex(pattern = r"\{\{|^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d"))]
        until: Option<String>,
    }
}

step! {
    /// Asks a person, or the agent that started the run.
    Input without &["retry"], {
        step_type: InputType,
        /// The question.
        #[schemars(regex(pattern = r"\S"))]
        prompt: String,
        /// JSON Schema of the answer.
        schema: Option<serde_json::Map<String, Value>>,
        /// The answer when there is none within the timeout.
        default: Option<Anything>,
    }
}

step! {
    /// Computes a value and calls nobody.
    Set without &["retry", "timeout"], {
        step_type: SetType,
        value: Anything,
    }
}

step! {
    /// Ends the run as failed.
    Fail without &["retry", "timeout", "outputs"], {
        step_type: FailType,
        error: FailError,
    }
}

macro_rules! step_types {
    ($($name:ident { $variant:ident })*) => {
        $(
            #[derive(JsonSchema)]
            #[schemars(rename_all = "lowercase")]
            enum $name {
                $variant,
            }
        )*
    };
}

step_types! {
    SequentialType { Sequential }
    ParallelType { Parallel }
    ConditionalType { Conditional }
    SwitchType { Switch }
    MapType { Map }
    LoopType { Loop }
    RaceType { Race }
    WorkflowType { Workflow }
    WaitType { Wait }
    InputType { Input }
    SetType { Set }
    FailType { Fail }
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum NoMatch {
    Fail,
    Skip,
}

/// Either may be missing, but not both.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = language, extend("anyOf" = [{ "required": ["if_true"] }, { "required": ["if_false"] }]))]
struct Either {
    if_true: Option<Steps>,
    if_false: Option<Steps>,
}

/// Takes away keys that steps of a type do not have.
fn remove(schema: &mut Schema, keys: &[&str]) {
    if let Some(Value::Object(properties)) = schema.as_object_mut().and_then(|object| object.get_mut("properties")) {
        properties.retain(|key, _| !keys.contains(&key.as_str()));
    }
}
