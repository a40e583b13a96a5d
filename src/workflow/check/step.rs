//! One step: its type, the keys that type has, and what all steps share.

use super::Checker;
use super::document::flatten;
use super::fields::{find, is_extension};
use super::references::{Arm, Crumb, Known};
use super::template::Role;
use crate::expression::Tree;
use crate::ids::{SkillId, StepId};
use crate::limits;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::report::listed;
use crate::workflow::{Call, OnError, Step, StepKind};

/// The types this version runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepType {
    Sequential,
    Parallel,
    Conditional,
    Switch,
}

const TYPES: &[(&str, StepType)] = &[
    ("sequential", StepType::Sequential),
    ("parallel", StepType::Parallel),
    ("conditional", StepType::Conditional),
    ("switch", StepType::Switch),
];
/// Keys of every step.
const COMMON_KEYS: &[&str] = &["id", "step_type", "outputs", "when", "timeout", "retry", "on_error"];
/// Keys by type, those of the language's other types included, so that a misplaced key can be told from an unknown one.
const TYPE_KEYS: &[(&str, &[&str])] = &[
    ("sequential", &["skill", "agent", "inputs"]),
    ("parallel", &["branches", "fail_fast", "max_concurrency"]),
    ("conditional", &["condition", "branches"]),
    ("switch", &["condition", "branches", "on_no_match"]),
    ("map", &["items", "as", "steps", "max_concurrency", "tolerate_failures", "reduce"]),
    ("loop", &["while", "until", "max_iterations", "steps"]),
    ("race", &["branches"]),
    ("workflow", &["workflow", "inputs"]),
    ("wait", &["for", "until"]),
    ("input", &["prompt", "schema", "default"]),
    ("set", &["value"]),
    ("fail", &["error"]),
];

impl Checker<'_, '_> {
    /// A list of steps that stands in `arm` of the step `owner`, or of the document.
    pub(super) fn steps(&mut self, node: &Node, owner: Option<usize>, arm: Arm, what: &str) -> Option<Vec<Step>> {
        let items = self.list(node, what, "write a list: each step begins with `- id: …`")?;
        if self.path.len() == limits::STEP_DEPTH_MAX {
            let message = format!("steps are nested more than {} deep", limits::STEP_DEPTH_MAX);
            self.add(&codes::TOO_MANY_STEPS, &node.span, message, "move the inner steps into a workflow of their own");
            self.shadow(node);
            return None;
        }
        let outer = self.in_step;
        self.path.push(Crumb { owner, arm, index: 0 });
        let mut steps = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if let Some(crumb) = self.path.last_mut() {
                crumb.index = index;
            }
            steps.push(self.step(item));
        }
        self.path.pop();
        self.in_step = outer;
        steps.into_iter().collect()
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        self.step_count += 1;
        if self.step_count > limits::WORKFLOW_STEPS_MAX {
            if self.step_count == limits::WORKFLOW_STEPS_MAX + 1 {
                let message = format!("the workflow has more than {} steps", limits::WORKFLOW_STEPS_MAX);
                self.add(&codes::TOO_MANY_STEPS, &node.span, message, "split it into several workflows");
            }
            self.shadow(node);
            return None;
        }
        let Kind::Map(entries) = &node.kind else {
            return self.wrong(node, "a step", "a map", "each step begins with `- id: …`");
        };
        let index = self.steps.len();
        self.steps.push(Known { path: self.path.clone(), ..Known::default() });
        self.in_step = Some(index);
        let id = self.step_id(node, entries, index);
        let Some(step_type) = self.step_type(entries) else {
            self.steps[index].opaque = true;
            self.shadow(node);
            return None;
        };
        let lacks_type = self.step_keys(node, entries, step_type);
        let outputs = find(entries, "outputs").map(|node| self.outputs(node, index));
        let when = find(entries, "when").map(|node| self.condition(node, "`when`", Role::Guard));
        let timeout = find(entries, "timeout").map(|node| self.positive_duration(node, "`timeout`"));
        let retry = find(entries, "retry").map(|node| self.retry(node));
        self.steps[index].may_be_null |= when.is_some();
        let kind = match step_type {
            StepType::Sequential => self.call(node, entries, lacks_type).map(StepKind::Call),
            StepType::Parallel => self.parallel(node, entries, index).map(StepKind::Parallel),
            StepType::Conditional => self.conditional(node, entries, index).map(StepKind::Conditional),
            StepType::Switch => self.switch(node, entries, index).map(StepKind::Switch),
        };
        let on_error = find(entries, "on_error").map(|node| self.on_error(node, Some(index)));
        self.steps[index].may_be_null |= matches!(on_error, Some(Some(OnError::Continue)));
        self.steps[index].catches = matches!(on_error, Some(Some(OnError::Catch(_))));
        let line = self.report.source().line(node.span.start);
        Some(Step {
            id: id?,
            span: node.span.clone(),
            line,
            kind: kind?,
            outputs: flatten(outputs)?,
            when: flatten(when)?,
            timeout: flatten(timeout)?,
            retry: flatten(retry)?,
            on_error: flatten(on_error)?,
        })
    }

    fn step_id(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<StepId> {
        let Some(id_node) = find(entries, "id") else {
            self.missing(node, "id", "the step", "add `id:` with a name that no other step has");
            return None;
        };
        let text = self.filled_text(id_node, "`id`")?;
        let id = match StepId::parse(text) {
            Ok(id) => id,
            Err(error) => {
                self.add(&codes::INVALID_ID, &id_node.span, error.to_string(), "use letters, digits, `_` and `-`, beginning with a letter");
                self.shadowed.insert(text.to_owned());
                return None;
            }
        };
        self.steps[index].id = id.as_str().to_owned();
        if let Some(first) = self.by_id.get(id.as_str()) {
            let line = self.report.source().line(self.steps[*first].at);
            let message = format!("the step id `{id}` is used twice");
            let hint = format!("it is first used on line {line}; ids are unique in the workflow, nested steps included");
            self.add(&codes::DUPLICATE_STEP, &id_node.span, message, hint);
            return None;
        }
        self.steps[index].at = id_node.span.start;
        self.by_id.insert(id.as_str().to_owned(), index);
        Some(id)
    }

    fn step_type(&mut self, entries: &[Entry]) -> Option<StepType> {
        let Some(node) = find(entries, "step_type") else { return Some(StepType::Sequential) };
        let text = self.text(node, "`step_type`")?;
        let known = TYPES.iter().find(|(name, _)| *name == text);
        if let Some((_, step_type)) = known {
            return Some(*step_type);
        }
        let available = || TYPES.iter().map(|(name, _)| *name);
        if TYPE_KEYS.iter().any(|(name, _)| *name == text) {
            let message = format!("step type `{text}` is not available in this version of gantry");
            self.add(&codes::UNSUPPORTED_STEP_TYPE, &node.span, message, format!("available are {}", listed(available())));
            return None;
        }
        let mut hint = self.report.did_you_mean(text, TYPE_KEYS.iter().map(|(name, _)| *name));
        if hint.is_empty() {
            hint = format!("available are {}", listed(available()));
        }
        self.add(&codes::UNKNOWN_STEP_TYPE, &node.span, format!("unknown step type `{text}`"), hint);
        None
    }

    /// Checks that all keys belong to the type. True when it looks as if only `step_type` were missing.
    fn step_keys(&mut self, node: &Node, entries: &[Entry], step_type: StepType) -> bool {
        let name = TYPES.iter().find(|(_, known)| *known == step_type).map_or("", |(name, _)| *name);
        let own: &[&str] = TYPE_KEYS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, keys)| keys);
        let lacks_type = find(entries, "step_type").is_none() && find(entries, "skill").is_none() && find(entries, "branches").is_some();
        for entry in entries {
            let key = entry.key.as_str();
            if COMMON_KEYS.contains(&key) || own.contains(&key) || is_extension(key) {
                continue;
            }
            let owners: Vec<&str> = TYPE_KEYS.iter().filter(|(_, keys)| keys.contains(&key)).map(|(name, _)| *name).collect();
            if owners.is_empty() {
                let mut hint = self.report.did_you_mean(key, COMMON_KEYS.iter().chain(own).copied());
                if hint.is_empty() {
                    hint = format!("a `{name}` step may have {}", listed(own.iter().chain(COMMON_KEYS).copied()));
                }
                self.add(&codes::UNKNOWN_KEY, &entry.key_span, format!("unknown key `{key}` in a `{name}` step"), hint);
                continue;
            }
            let message = format!("`{key}` does not belong in a `{name}` step");
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

    fn outputs(&mut self, node: &Node, index: usize) -> Option<String> {
        let name = self.filled_text(node, "`outputs`")?;
        if StepId::parse(name).is_err() {
            let message = format!("`{}` is not a name for outputs", super::fields::shorten(name));
            self.add(&codes::INVALID_ID, &node.span, message, "use letters, digits, `_` and `-`, beginning with a letter");
            return None;
        }
        self.steps[index].outputs = Some(name.to_owned());
        Some(name.to_owned())
    }

    fn call(&mut self, node: &Node, entries: &[Entry], lacks_type: bool) -> Option<Call> {
        let skill = match find(entries, "skill") {
            Some(skill) => self.skill(skill),
            None => {
                if !lacks_type {
                    self.missing(node, "skill", "the step", "add `skill:` with the skill to call, or `step_type:` for another type");
                }
                None
            }
        };
        let agent = find(entries, "agent").map(|node| self.agent(node));
        let inputs = match find(entries, "inputs") {
            None => Some(Tree::Literal(std::sync::Arc::new(serde_json::Value::Object(serde_json::Map::new())))),
            Some(node) => self.inputs(node),
        };
        Some(Call { skill: skill?, agent: flatten(agent)?, inputs: inputs? })
    }

    fn skill(&mut self, node: &Node) -> Option<SkillId> {
        let text = self.filled_text(node, "`skill`")?;
        match SkillId::parse(text) {
            Ok(skill) => Some(skill),
            Err(error) => {
                self.add(&codes::INVALID_ID, &node.span, error.to_string(), "write the id of the skill as its agent's card has it");
                None
            }
        }
    }

    fn agent(&mut self, node: &Node) -> Option<String> {
        let text = self.filled_text(node, "`agent`")?;
        if text.len() > limits::ID_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let message = format!("`{}` does not name an agent", super::fields::shorten(text));
            self.add(&codes::INVALID_ID, &node.span, message, "write `name`, `name:tag` or `name@sha256:…`");
            return None;
        }
        Some(text.to_owned())
    }

    /// `inputs:`: a map, nothing at all, or one expression that yields a map.
    fn inputs(&mut self, node: &Node) -> Option<Tree> {
        match &node.kind {
            Kind::Map(_) => self.tree(node),
            Kind::Null => Some(Tree::Literal(std::sync::Arc::new(serde_json::Value::Object(serde_json::Map::new())))),
            Kind::Text(text) if text.contains("{{") => self.tree(node),
            _ => self.wrong(node, "`inputs`", "a map", "write `inputs:` and below it one `name: value` a line"),
        }
    }
}
