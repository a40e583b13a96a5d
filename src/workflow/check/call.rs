//! Steps that call somebody: a skill (`sequential`), another workflow (`workflow`).

use std::sync::Arc;

use serde_json::Value;

use super::Checker;
use super::document::flatten;
use super::fields::{find, shorten};
use crate::expression::Tree;
use crate::ids::{Digest, SkillId, WorkflowId};
use crate::limits;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::{Call, SubWorkflow};

impl Checker<'_, '_> {
    pub(super) fn call(&mut self, node: &Node, entries: &[Entry], lacks_type: bool) -> Option<Call> {
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
        let inputs = self.inputs(entries);
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
            let message = format!("`{}` does not name an agent", shorten(text));
            self.add(&codes::INVALID_ID, &node.span, message, "write `name`, `name:tag` or `name@sha256:…`");
            return None;
        }
        Some(text.to_owned())
    }

    /// `inputs:`: a map, nothing at all, or one expression that yields a map.
    fn inputs(&mut self, entries: &[Entry]) -> Option<Tree> {
        let nothing = || Some(Tree::Literal(Arc::new(Value::Object(serde_json::Map::new()))));
        let Some(node) = find(entries, "inputs") else { return nothing() };
        match &node.kind {
            Kind::Map(_) => self.tree(node),
            Kind::Null => nothing(),
            Kind::Text(text) if text.contains("{{") => self.tree(node),
            _ => self.wrong(node, "`inputs`", "a map", "write `inputs:` and below it one `name: value` a line"),
        }
    }

    pub(super) fn sub_workflow(&mut self, node: &Node, entries: &[Entry]) -> Option<SubWorkflow> {
        let reference = match find(entries, "workflow") {
            Some(reference) => self.workflow_reference(reference),
            None => {
                self.missing(node, "workflow", "the `workflow` step", "add `workflow:` with the id of the workflow to run");
                None
            }
        };
        let inputs = self.inputs(entries);
        Some(SubWorkflow { reference: reference?, inputs: inputs? })
    }

    /// `id`, `id:tag` or `id@digest`. It is fixed, so that what a workflow runs can be told without running it.
    fn workflow_reference(&mut self, node: &Node) -> Option<String> {
        let text = self.filled_text(node, "`workflow`")?;
        let hint = match text {
            _ if text.contains("{{") => "it cannot be computed: choose with a `switch` step among several `workflow` steps",
            _ if !is_workflow_reference(text) => "write `id`, `id:tag` or `id@sha256:…`",
            _ if self.own_references.iter().any(|own| own == text) => "a workflow cannot run itself: use a `loop` step to repeat steps",
            _ => return Some(text.to_owned()),
        };
        let message = format!("`{}` does not name a workflow that can be run here", shorten(text));
        self.add(&codes::INVALID_VALUE, &node.span, message, hint);
        None
    }
}

fn is_workflow_reference(text: &str) -> bool {
    if let Some((id, digest)) = text.split_once('@') {
        return WorkflowId::parse(id).is_ok() && Digest::parse(digest).is_ok();
    }
    match text.split_once(':') {
        Some((id, tag)) => WorkflowId::parse(id).is_ok() && is_tag(tag),
        None => WorkflowId::parse(text).is_ok(),
    }
}

/// A tag as registries allow it (distribution-spec, "pulling manifests").
fn is_tag(text: &str) -> bool {
    const CHARACTERS_MAX: usize = 128;
    (1..=CHARACTERS_MAX).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::is_workflow_reference;

    #[test]
    fn references_have_an_id_and_at_most_a_tag_or_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for text in ["a", "code-generation-v1", "a:1.0.0", "a:_x", &format!("a@{digest}"), &format!("a:{}", "1".repeat(128))] {
            assert!(is_workflow_reference(text), "{text}");
        }
        let long = format!("a:{}", "1".repeat(129));
        for text in ["", "A", "a:", "a:-1", "a:.1", "a b", "host/a:1", "a@1", "a@sha256:0", "a:1@x", &format!("a:1@{digest}"), "@", &long] {
            assert!(!is_workflow_reference(text), "{text}");
        }
    }
}
