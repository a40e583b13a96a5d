//! The names an expression can see. Values are shared, never copied, until an expression yields a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::path::{Key, child};
use crate::ids::StepId;

/// What is known of one step: `steps.<id>.outputs`, `.status` and `.error`.
#[derive(Debug, Clone)]
pub struct StepView {
    /// The outputs; null for a step that failed or was skipped.
    pub outputs: Arc<Value>,
    /// `completed`, `failed`, `skipped`, `canceled` or `running`.
    pub status: &'static str,
    /// `{code, message, …}` of a step that failed.
    pub error: Option<Arc<Value>>,
}

/// The names in scope of one expression. An inner scope (one item of a map) sees its parent's names too.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The scope around this one.
    pub parent: Option<&'a Scope<'a>>,
    /// Roots with a plain value: `workflow`, `run`, and inside bodies `item`, `index`, `iteration` and `as:` names. A value under
    /// `workflow.input` stands for that member of `workflow`: so the input is shared, however large it is.
    pub values: &'a BTreeMap<Arc<str>, Arc<Value>>,
    /// The steps that have settled, by id.
    pub steps: &'a BTreeMap<StepId, StepView>,
}

/// A value, or a part of one that others share. Never copied.
#[derive(Debug, Clone)]
pub struct SharedValue {
    root: Arc<Value>,
    keys: Vec<Key>,
}

impl SharedValue {
    /// What these keys lead to; they were followed before.
    pub(super) fn part(root: &Arc<Value>, keys: &[Key]) -> Self {
        Self { root: Arc::clone(root), keys: keys.to_vec() }
    }

    /// The value.
    pub fn get(&self) -> &Value {
        self.keys.iter().try_fold(&*self.root, child).unwrap_or(&Value::Null)
    }
}

impl From<Arc<Value>> for SharedValue {
    fn from(root: Arc<Value>) -> Self {
        Self { root, keys: Vec::new() }
    }
}

impl Scope<'_> {
    /// The value of a root name other than `steps`.
    pub fn value(&self, name: &str) -> Option<&Arc<Value>> {
        self.values.get(name).or_else(|| self.parent.and_then(|parent| parent.value(name)))
    }

    /// A step by id.
    pub fn step(&self, id: &str) -> Option<&StepView> {
        self.steps.get(id).or_else(|| self.parent.and_then(|parent| parent.step(id)))
    }
}
