//! The types of steps: which there are, and which keys belong to which.

use super::Checker;
use super::fields::{find, is_extension};
use crate::workflow::codes;
use crate::workflow::node::{Entry, Node};
use crate::workflow::report::listed;

/// `step_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepType {
    Sequential,
    Parallel,
    Conditional,
    Switch,
    Map,
    Loop,
    Race,
    Workflow,
    Wait,
    Input,
    Set,
    Fail,
}

/// What is known of a type.
struct Shape {
    name: &'static str,
    step_type: StepType,
    keys: &'static [&'static str],
}

impl Shape {
    /// For who wrote the name of a type as if it were a key of a step.
    fn hint_for_its_name(&self) -> String {
        let Self { name, keys, .. } = self;
        let inputs = if self.step_type == StepType::Input { "`inputs`, for a step with a `skill`, or " } else { "" };
        let one = if keys.len() == 1 { "a step of that type has" } else { "a step of that type may have" };
        format!("did you mean {inputs}`step_type: {name}`? {one} {}", listed(keys.iter().copied()))
    }
}

const fn shape(name: &'static str, step_type: StepType, keys: &'static [&'static str]) -> Shape {
    Shape { name, step_type, keys }
}

const SHAPES: &[Shape] = &[
    shape("sequential", StepType::Sequential, &["skill", "agent", "inputs"]),
    shape("parallel", StepType::Parallel, &["branches", "fail_fast", "max_concurrency"]),
    shape("conditional", StepType::Conditional, &["condition", "branches"]),
    shape("switch", StepType::Switch, &["condition", "branches", "on_no_match"]),
    shape("map", StepType::Map, &["items", "as", "steps", "skill", "agent", "inputs", "max_concurrency", "tolerate_failures", "reduce"]),
    shape("loop", StepType::Loop, &["while", "until", "max_iterations", "steps"]),
    shape("race", StepType::Race, &["branches"]),
    shape("workflow", StepType::Workflow, &["workflow", "inputs"]),
    shape("wait", StepType::Wait, &["for", "until"]),
    shape("input", StepType::Input, &["prompt", "schema", "default"]),
    shape("set", StepType::Set, &["value"]),
    shape("fail", StepType::Fail, &["error"]),
];
/// Keys of every step.
const COMMON_KEYS: &[&str] = &["id", "step_type", "when", "on_error"];
/// Keys of most steps.
const USUAL_KEYS: &[&str] = &["outputs", "timeout", "retry"];

impl StepType {
    fn shape(self) -> &'static Shape {
        SHAPES.iter().find(|shape| shape.step_type == self).expect("every type has its row")
    }

    /// For messages: "a `map` step".
    fn a_step(self) -> String {
        let article = if self == Self::Input { "an" } else { "a" };
        format!("{article} `{}` step", self.shape().name)
    }

    /// Why a usual key means nothing for this type, and what to do; `None` when it belongs.
    fn refusal(self, key: &str) -> Option<&'static str> {
        match (self, key) {
            (Self::Sequential | Self::Workflow, "retry") => None,
            (Self::Parallel | Self::Conditional | Self::Switch | Self::Map | Self::Loop | Self::Race, "retry") => {
                Some("only skill calls and sub-workflows are tried again: put it on the steps inside, or in `error_handling`")
            }
            (Self::Wait | Self::Input | Self::Set | Self::Fail, "retry") => {
                Some("only skill calls and sub-workflows are tried again: remove it")
            }
            (Self::Wait, "timeout") => Some("`for` or `until` says how long it takes: remove it"),
            (Self::Set | Self::Fail, "timeout") => Some("it takes no time: remove it"),
            (Self::Fail, "outputs") => Some("it yields nothing: remove it, and say why in `error`"),
            _ => None,
        }
    }
}

impl Checker<'_, '_> {
    /// Reads `step_type`.
    pub(super) fn step_type(&mut self, entries: &[Entry]) -> Option<StepType> {
        let Some(node) = find(entries, "step_type") else { return Some(StepType::Sequential) };
        let text = self.text(node, "`step_type`")?;
        if let Some(shape) = SHAPES.iter().find(|shape| shape.name == text) {
            return Some(shape.step_type);
        }
        let names = || SHAPES.iter().map(|shape| shape.name);
        let mut hint = self.report.did_you_mean(text, names());
        if hint.is_empty() {
            hint = format!("there are {}", listed(names()));
        }
        self.add(&codes::UNKNOWN_STEP_TYPE, &node.span, format!("unknown step type `{text}`"), hint);
        None
    }

    /// Checks that all keys belong to the type. True when it looks as if only `step_type` were missing.
    pub(super) fn step_keys(&mut self, node: &Node, entries: &[Entry], step_type: StepType) -> bool {
        let Shape { name, keys: own, .. } = step_type.shape();
        let a_step = step_type.a_step();
        // `input` is more likely the `inputs` of a call, whose skill is missing as well.
        let names_a_type = |key: &str| SHAPES.iter().any(|shape| shape.name == key && shape.step_type != StepType::Input);
        let is_of_others = |entry: &Entry| SHAPES.iter().any(|shape| shape.keys.contains(&entry.key.as_str()));
        let lacks_type = find(entries, "step_type").is_none()
            && find(entries, "skill").is_none()
            && entries.iter().any(|entry| (is_of_others(entry) || names_a_type(&entry.key)) && !own.contains(&entry.key.as_str()));
        for entry in entries {
            let key = entry.key.as_str();
            if COMMON_KEYS.contains(&key) || own.contains(&key) || is_extension(key) {
                continue;
            }
            if USUAL_KEYS.contains(&key) {
                if let Some(hint) = step_type.refusal(key) {
                    self.add(&codes::MISPLACED_KEY, &entry.key_span, format!("`{key}` does not belong in {a_step}"), hint);
                }
                continue;
            }
            let owners: Vec<&str> = SHAPES.iter().filter(|shape| shape.keys.contains(&key)).map(|shape| shape.name).collect();
            if owners.is_empty() {
                self.unknown_key(entry, step_type, find(entries, "skill").is_some());
                continue;
            }
            let message = format!("`{key}` does not belong in {a_step}");
            let hint = match lacks_type {
                true => format!("it belongs to steps of type {}: add `step_type:`", listed(owners)),
                false => format!("it belongs to steps of type {}; this one is `{name}`", listed(owners)),
            };
            self.add(&codes::MISPLACED_KEY, &entry.key_span, message, hint);
            if matches!(key, "branches" | "steps" | "reduce") {
                self.shadow(&entry.value);
            }
        }
        if lacks_type {
            self.shadow(node);
        }
        lacks_type
    }

    /// `calls`: the step has a `skill`.
    fn unknown_key(&mut self, entry: &Entry, step_type: StepType, calls: bool) {
        let Shape { keys: own, .. } = step_type.shape();
        let a_step = step_type.a_step();
        let usual = USUAL_KEYS.iter().copied().filter(|key| step_type.refusal(key).is_none());
        let known: Vec<&str> = own.iter().chain(COMMON_KEYS).copied().chain(usual).collect();
        let mut hint = self.report.did_you_mean(&entry.key, known.iter().copied());
        let named = SHAPES.iter().find(|shape| shape.name == entry.key);
        if let (StepType::Sequential, Some(shape)) = (step_type, named.filter(|_| hint.is_empty() || !calls)) {
            hint = shape.hint_for_its_name();
        }
        if hint.is_empty() {
            hint = format!("{a_step} may have {}", listed(known));
        }
        self.add(&codes::UNKNOWN_KEY, &entry.key_span, format!("unknown key `{}` in {a_step}", entry.key), hint);
    }
}
