//! Step outputs as the expression engine sees them: views into shared values. Nothing is copied until an expression yields it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::Value;

use super::StepView;
use super::path::{Key, child, write_keys};
use super::text::{integral, text_of};

type Engine = minijinja::Value;

/// A list or object somewhere in a shared value.
#[derive(Clone)]
pub(super) struct Node {
    root: Arc<Value>,
    /// From the root to this value. Followed again at each access: without `unsafe` a view cannot hold both the root and a reference into it.
    keys: Vec<Key>,
    /// How the author reaches the root: `steps.plan.outputs`.
    name: Arc<str>,
    misses: Misses,
}

/// The path that was last looked for in vain, to name it if that makes the expression fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Misses(Arc<Mutex<Option<String>>>);

impl Misses {
    pub(super) fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, path: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
    }
}

impl Node {
    /// The value that `keys` lead to as the engine sees it: a view for lists and objects, a plain value for others.
    pub(super) fn view(root: &Arc<Value>, keys: &[Key], name: &Arc<str>, misses: &Misses) -> Engine {
        let node = Self { root: root.clone(), keys: keys.to_vec(), name: name.clone(), misses: misses.clone() };
        match plain(node.value()) {
            Some(value) => value,
            None => Engine::from_object(node),
        }
    }

    /// The value itself.
    pub(super) fn value(&self) -> &Value {
        // The keys were followed when the view was made, and what is shared never changes.
        self.keys.iter().try_fold(&*self.root, child).unwrap_or(&Value::Null)
    }

    /// The shared value, if this is the whole of it.
    pub(super) fn whole(&self) -> Option<&Arc<Value>> {
        self.keys.is_empty().then_some(&self.root)
    }

    fn below(&self, key: Key) -> Option<Engine> {
        let value = child(self.value(), &key);
        if let Some(plain) = value.and_then(plain) {
            return Some(plain);
        }
        let mut keys = self.keys.clone();
        keys.push(key);
        if value.is_none() {
            let mut path = self.name.to_string();
            // Writing to a string does not fail.
            let _ = write_keys(&mut path, &keys);
            self.misses.record(path);
            return None;
        }
        Some(Engine::from_object(Self { keys, ..self.clone() }))
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.value().is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        match key.as_str() {
            Some(name) => self.below(Key::Name(Arc::from(name))),
            None if key.is_integer() => self.below(Key::Index(key.as_i64()?)),
            None => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.value() {
            Value::Array(items) => Enumerator::Seq(items.len()),
            Value::Object(fields) => Enumerator::Values(fields.keys().map(|key| Engine::from(key.as_str())).collect()),
            _ => Enumerator::NonEnumerable,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.value() {
            Value::Array(items) => Some(items.len()),
            Value::Object(fields) => Some(fields.len()),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(self.value()))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What agents returned does not belong into debug output.
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A step as the engine sees it: `outputs`, `status`, `error`.
#[derive(Debug)]
pub(super) struct StepNode {
    name: String,
    view: StepView,
    misses: Misses,
}

impl StepNode {
    pub(super) fn view(id: &str, view: &StepView, misses: &Misses) -> Engine {
        let mut name = "steps".to_owned();
        let _ = write_keys(&mut name, &[Key::Name(Arc::from(id))]);
        Engine::from_object(Self { name, view: view.clone(), misses: misses.clone() })
    }
}

impl Object for StepNode {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        let part = key.as_str()?;
        let name = || Arc::from(format!("{}.{part}", self.name));
        match part {
            "outputs" => Some(Node::view(&self.view.outputs, &[], &name(), &self.misses)),
            "status" => Some(Engine::from(self.view.status)),
            "error" => Some(self.view.error.as_ref().map_or(Engine::from(()), |error| Node::view(error, &[], &name(), &self.misses))),
            _ => {
                self.misses.record(name().to_string());
                None
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["outputs", "status", "error"])
    }
}

/// All steps, for `steps[name]` with a computed name.
#[derive(Debug)]
pub(super) struct StepsNode {
    steps: BTreeMap<Arc<str>, StepView>,
    misses: Misses,
}

impl StepsNode {
    /// Of two steps with one id the first is seen.
    pub(super) fn view(found: Vec<(&str, &StepView)>, misses: &Misses) -> Engine {
        let mut steps = BTreeMap::new();
        for (id, view) in found {
            steps.entry(Arc::from(id)).or_insert_with(|| view.clone());
        }
        Engine::from_object(Self { steps, misses: misses.clone() })
    }
}

impl Object for StepsNode {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        let id = key.as_str()?;
        let Some(view) = self.steps.get(id) else {
            self.misses.record(format!("steps[{id:?}]"));
            return None;
        };
        Some(StepNode::view(id, view, &self.misses))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.steps.keys().map(|id| Engine::from(&**id)).collect())
    }
}

/// The engine's value for anything but lists and objects.
fn plain(value: &Value) -> Option<Engine> {
    Some(match value {
        Value::Null => Engine::from(()),
        Value::Bool(value) => Engine::from(*value),
        Value::String(text) => Engine::from(text.as_str()),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => Engine::from(integer),
            (None, Some(integer), _) => Engine::from(integer),
            (None, None, Some(float)) => integral(float).map_or(Engine::from(float), Engine::from),
            (None, None, None) => return None,
        },
        Value::Array(_) | Value::Object(_) => return None,
    })
}
