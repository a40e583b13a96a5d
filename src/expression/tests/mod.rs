//! Templates and conditions in, values and errors out. The points are those of the language's design.

mod bounds;
mod conditions;
mod hostile;
mod references;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Condition, Error, Scope, StepView, SyntaxError, Template};
use crate::ids::StepId;

struct World {
    values: BTreeMap<Arc<str>, Arc<Value>>,
    steps: BTreeMap<StepId, StepView>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { values: BTreeMap::new(), steps: BTreeMap::new() };
        world.value("workflow", json!({"id": "demo"}));
        world.value("workflow.input", json!({"text": "hi", "n": 3, "key": "result", "my-key": 5}));
        world.value("run", json!({"id": "run-1", "status": "running"}));
        world.step(
            "plan",
            json!({
                "result": "yes", "ok": true, "n": 42.0, "half": 0.5, "big": u64::MAX, "small": i64::MIN, "nothing": null, "empty": [],
                "list": [3, 1, 2], "words": ["b", "a", "b"], "deep": {"z": 1, "a": {"m": [10, {"x": "y"}]}}, "no": "false", "quote": "x' != 'y' or 'z",
                "people": [{"name": "Ann", "age": 30}, {"name": "Bo", "age": 20}], "inject": "{{ workflow.input.text }}"
            }),
        );
        world.step("my-step", json!({"x": 7}));
        let failed = StepView {
            outputs: Arc::new(Value::Null),
            status: "failed",
            error: Some(Arc::new(json!({"code": "timeout", "message": "late"}))),
        };
        world.steps.insert(id("broken"), failed);
        world
    }

    fn value(&mut self, name: &str, value: Value) {
        self.values.insert(Arc::from(name), Arc::new(value));
    }

    fn step(&mut self, name: &str, outputs: Value) {
        self.steps.insert(id(name), StepView { outputs: Arc::new(outputs), status: "completed", error: None });
    }

    fn scope(&self) -> Scope<'_> {
        Scope { parent: None, values: &self.values, steps: &self.steps }
    }

    fn template(&self, source: &str) -> Result<Value, Error> {
        Template::parse(source).unwrap_or_else(|error| panic!("{source}: {error:?}")).evaluate(&self.scope()).map(|value| (*value).clone())
    }

    fn holds(&self, source: &str) -> Result<bool, Error> {
        Condition::parse(source).unwrap_or_else(|error| panic!("{source}: {error:?}")).holds(&self.scope())
    }
}

fn id(name: &str) -> StepId {
    StepId::parse(name).expect("a step id")
}

fn yields(cases: &[(&str, Value)]) {
    let world = World::new();
    for (source, expected) in cases {
        let value = world.template(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
        assert_eq!(value, *expected, "{source}");
        assert_eq!(value.to_string(), expected.to_string(), "{source}: same text, so same key order");
    }
}

/// Source, what the message has in it, what the hint has in it.
fn fails(cases: &[(&str, &str, &str)]) {
    let world = World::new();
    for (source, message, hint) in cases {
        let error = world.template(source).expect_err(source);
        assert!(error.message.contains(message), "{source}: {error:?}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{source}: {error:?}");
        assert!(error.expression.chars().count() <= 121, "{source}: {error:?}");
    }
}

/// Source, what the message has in it, what the hint has in it, what the span covers.
fn refuses(parse: impl Fn(&str) -> Option<SyntaxError>, cases: &[(&str, &str, &str, &str)]) {
    for (source, message, hint, place) in cases {
        let error = parse(source).unwrap_or_else(|| panic!("{source} was accepted"));
        assert!(error.message.contains(message), "{source}: {error:?}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{source}: {error:?}");
        assert_eq!(source.get(error.span.clone()), Some(*place), "{source}: {error:?}");
    }
}

fn refuses_template(cases: &[(&str, &str, &str, &str)]) {
    refuses(|source| Template::parse(source).err(), cases);
}
