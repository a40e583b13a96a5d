//! A static path such as `steps.plan.outputs.result`, and its look-up in a [`Scope`] without the expression engine.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::suggest;
use super::{Scope, SharedValue, StepView};

/// Where `workflow.input` stands among the values of a scope. No author can write this as a name.
const INPUT: &str = "workflow.input";

/// A name and the constant keys after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Arc<str>,
    pub(super) keys: Vec<Key>,
}

/// One key of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// `.name` or `["name"]`
    Name(Arc<str>),
    /// `[0]`, `.0` or `[-1]`, which is the last.
    Index(i64),
}

/// What a path leads to.
pub(super) enum Found<'s, 'p> {
    /// `steps` itself.
    Steps,
    /// `steps.<id>`
    Step(&'s StepView),
    /// `steps.<id>.status`, the null that stands for the error of a step without one, or `workflow` as a whole.
    Made(Value),
    /// A value below a shared one: the shared one, how many keys led to it, the keys from there, and the value.
    Below { root: &'s Arc<Value>, above: usize, keys: &'p [Key], value: &'s Value },
}

impl Path {
    /// What the path leads to in `scope`, or `None` if it is missing.
    pub(super) fn find<'s, 'p>(&'p self, scope: &Scope<'s>) -> Option<Found<'s, 'p>> {
        match (&*self.root, self.keys.first()) {
            ("steps", _) => {}
            ("workflow", Some(Key::Name(name))) if &**name == "input" => return below(root_value(scope, INPUT)?, 1, &self.keys[1..]),
            ("workflow", None) => return workflow(scope).map(Found::Made),
            (name, _) => return below(root_value(scope, name)?, 0, &self.keys),
        }
        let Some((id, keys)) = self.keys.split_first() else { return Some(Found::Steps) };
        let view = step(scope, id)?;
        let Some((Key::Name(part), keys)) = keys.split_first() else {
            return keys.is_empty().then_some(Found::Step(view));
        };
        match (&**part, &view.error) {
            ("outputs", _) => below(&view.outputs, 2, keys),
            ("error", Some(error)) => below(error, 2, keys),
            ("error", None) => keys.is_empty().then_some(Found::Made(Value::Null)),
            ("status", _) => keys.is_empty().then(|| Found::Made(Value::from(view.status))),
            _ => None,
        }
    }

    /// Says which part of a path that [`find`](Self::find) did not find is missing, and what there is instead.
    pub(super) fn explain(&self, scope: &Scope<'_>) -> (String, Option<String>) {
        let (why, hint) = self.reason(scope);
        (format!("`{self}` does not exist: {why}"), hint)
    }

    fn reason(&self, scope: &Scope<'_>) -> (String, Option<String>) {
        if &*self.root != "steps" {
            let Some(value) = root_value(scope, &self.root) else {
                let names = names(scope);
                return (format!("there is no `{}` here", self.root), suggest(&self.root, names.iter().copied(), "names here"));
            };
            return match (&*self.root, workflow(scope)) {
                ("workflow", Some(whole)) => self.first_missing(&whole, 0, scope),
                _ => self.first_missing(value, 0, scope),
            };
        }
        let Some(view) = self.keys.first().and_then(|id| step(scope, id)) else {
            let ids = steps(scope);
            let id = self.keys.first().map(Key::to_string).unwrap_or_default();
            let ids = ids.iter().map(|(id, _)| *id);
            let hint = suggest(&id, ids, "steps that have run").unwrap_or_else(|| "no step has run yet".to_owned());
            return (format!("no step `{id}` has run"), Some(hint));
        };
        match self.keys.get(1) {
            Some(Key::Name(part)) if &**part == "outputs" => self.first_missing(&view.outputs, 2, scope),
            Some(Key::Name(part)) if &**part == "error" => self.first_missing(view.error.as_deref().unwrap_or(&Value::Null), 2, scope),
            Some(Key::Name(part)) if &**part == "status" => (format!("`{}` is a text", self.upto(2)), None),
            part => {
                let part = part.map(Key::to_string).unwrap_or_default();
                (format!("a step has no `{part}`"), suggest(&part, ["outputs", "status", "error"].into_iter(), "a step has"))
            }
        }
    }

    /// Walks down from `value`, which the first `above` keys lead to.
    fn first_missing(&self, value: &Value, above: usize, scope: &Scope<'_>) -> (String, Option<String>) {
        let mut value = value;
        for (index, key) in self.keys.iter().enumerate().skip(above) {
            if let Some(next) = child(value, key) {
                value = next;
                continue;
            }
            let parent = self.upto(index);
            return match (value, key) {
                (Value::Object(fields), Key::Name(name)) => {
                    (format!("`{parent}` has no `{name}`"), suggest(name, fields.keys().map(String::as_str), "it has"))
                }
                (Value::Object(fields), Key::Index(_)) => {
                    (format!("`{parent}` is an object, not a list"), suggest("", fields.keys().map(String::as_str), "it has"))
                }
                (Value::Array(items), Key::Index(index)) => (
                    format!("`{parent}` has {} items, none at [{index}]", items.len()),
                    Some("the first is [0], the last is [-1]".to_owned()),
                ),
                (Value::Array(_), Key::Name(_)) => (
                    format!("`{parent}` is a list"),
                    Some(format!("take an item such as `{parent}[0]`, or use filters such as `{parent} | length`")),
                ),
                (other, _) => (format!("`{parent}` is {}", kind(other)), self.step_hint(other, scope)),
            };
        }
        // Only reached if the path is not missing after all.
        (format!("`{self}` could not be read"), None)
    }

    /// A null often means that the step it should come from did not complete.
    fn step_hint(&self, value: &Value, scope: &Scope<'_>) -> Option<String> {
        let (Value::Null, "steps", Some(id)) = (value, &*self.root, self.keys.first()) else { return None };
        let view = step(scope, id).filter(|view| view.status != "completed")?;
        Some(format!("step `{id}` is {}; allow for it with `| default(…)`", view.status))
    }

    /// The path cut after `count` keys.
    fn upto(&self, count: usize) -> Self {
        Self { root: self.root.clone(), keys: self.keys[..count].to_vec() }
    }
}

/// The value one key below another.
pub(super) fn child<'v>(value: &'v Value, key: &Key) -> Option<&'v Value> {
    match (value, key) {
        (Value::Object(fields), Key::Name(name)) => fields.get(&**name),
        (Value::Array(items), Key::Index(index)) => {
            let index = if *index < 0 {
                items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
            } else {
                usize::try_from(*index).ok()?
            };
            items.get(index)
        }
        _ => None,
    }
}

/// Every step in scope, inner scopes first.
pub(super) fn steps<'s>(scope: &Scope<'s>) -> Vec<(&'s str, &'s StepView)> {
    let mut found: Vec<(&str, &StepView)> = scope.steps.iter().map(|(id, view)| (id.as_str(), view)).collect();
    let mut outer = scope.parent;
    while let Some(scope) = outer {
        found.extend(scope.steps.iter().map(|(id, view)| (id.as_str(), view)));
        outer = scope.parent;
    }
    found
}

/// A step as one value.
pub(super) fn step_value(view: &StepView) -> Value {
    let mut fields = Map::new();
    fields.insert("outputs".to_owned(), (*view.outputs).clone());
    fields.insert("status".to_owned(), Value::from(view.status));
    fields.insert("error".to_owned(), view.error.as_deref().cloned().unwrap_or(Value::Null));
    Value::Object(fields)
}

fn below<'s, 'p>(root: &'s Arc<Value>, above: usize, keys: &'p [Key]) -> Option<Found<'s, 'p>> {
    let value = keys.iter().try_fold(&**root, child)?;
    Some(Found::Below { root, above, keys, value })
}

/// `workflow` as one value, the input included.
fn workflow(scope: &Scope<'_>) -> Option<Value> {
    let mut whole = root_value(scope, "workflow")?.as_ref().clone();
    if let (Value::Object(members), Some(input)) = (&mut whole, root_value(scope, INPUT)) {
        members.insert("input".to_owned(), input.as_ref().clone());
    }
    Some(whole)
}

/// As [`Scope::value`], borrowed for as long as the maps live.
fn root_value<'s>(scope: &Scope<'s>, name: &str) -> Option<&'s Arc<Value>> {
    scope.values.get(name).or_else(|| scope.parent.and_then(|parent| root_value(parent, name)))
}

/// As [`Scope::step`], borrowed for as long as the maps live.
fn step<'s>(scope: &Scope<'s>, id: &Key) -> Option<&'s StepView> {
    let Key::Name(id) = id else { return None };
    scope.steps.get(&**id).or_else(|| scope.parent.and_then(|parent| parent.step(id)))
}

fn names<'s>(scope: &Scope<'s>) -> Vec<&'s str> {
    let mut names: Vec<&str> = scope.values.keys().map(|name| &**name).collect();
    let mut outer = scope.parent;
    while let Some(scope) = outer {
        names.extend(scope.values.keys().map(|name| &**name));
        outer = scope.parent;
    }
    names.retain(|name| *name != INPUT);
    names.push("steps");
    names.sort_unstable();
    names.dedup();
    names
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Found<'_, '_> {
    /// The part of a shared value that was found, without a copy; the rest is not shared.
    pub(super) fn shared(&self) -> Option<SharedValue> {
        match self {
            Self::Below { root, keys, .. } => Some(SharedValue::part(root, keys)),
            Self::Steps | Self::Step(_) | Self::Made(_) => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        write_keys(f, &self.keys)
    }
}

/// Writes keys as an author would: `.name`, `["two words"]`, `[0]`.
pub(super) fn write_keys(f: &mut impl fmt::Write, keys: &[Key]) -> fmt::Result {
    for key in keys {
        match key {
            Key::Index(index) => write!(f, "[{index}]")?,
            Key::Name(name) if is_plain(name) => write!(f, ".{name}")?,
            Key::Name(name) => write!(f, "[{name:?}]")?,
        }
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    name.bytes().enumerate().all(|(index, byte)| byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}
