//! Steps that call no agent and hold no steps: `wait`, `input`, `set`, `fail`.

use super::Checker;
use super::document::flatten;
use super::fields::{find, is_extension, shorten};
use crate::expression::Tree;
use crate::time::Timestamp;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::{Fail, Input, Set, Wait, WaitUntil};

const ERROR_KEYS: &[&str] = &["code", "message"];
const ERROR_RULE: &str = "write `error: {code: out_of_stock, message: \"why\"}`";

impl Checker<'_, '_> {
    pub(super) fn wait(&mut self, node: &Node, entries: &[Entry]) -> Option<Wait> {
        const RULE: &str = "write `for: 30s`, or `until: \"{{ … }}\"` with what yields a timestamp";
        let until = self.one_of(node, entries, ("for", "until"), ("the `wait` step", RULE), |checker, key, node| match key {
            "for" => checker.duration(node, "`for`").map(WaitUntil::For),
            _ => checker.timestamp(node).map(WaitUntil::Until),
        });
        Some(Wait { until: until? })
    }

    fn timestamp(&mut self, node: &Node) -> Option<Tree> {
        let text = self.filled_text(node, "`until`")?;
        if !text.contains("{{") && Timestamp::parse(text).is_none() {
            let message = format!("`until` is not a timestamp: {}", shorten(text));
            self.add(&codes::INVALID_VALUE, &node.span, message, "write one as 2030-01-31T12:00:00Z, or an expression: `{{ … }}`");
            return None;
        }
        self.tree(node)
    }

    pub(super) fn ask(&mut self, node: &Node, entries: &[Entry]) -> Option<Input> {
        let prompt = match find(entries, "prompt") {
            Some(prompt) => self.filled_text(prompt, "`prompt`").and_then(|_| self.tree(prompt)),
            None => {
                self.missing(node, "prompt", "the `input` step", "add `prompt:` with the question");
                None
            }
        };
        let default = find(entries, "default").map(|node| Some((node, self.tree(node)?)));
        let default = flatten(default)?;
        let constant = match &default {
            Some((node, Tree::Literal(_))) => Some(*node),
            _ => None,
        };
        let schema = find(entries, "schema").map(|node| self.schema(node, "`schema`", constant));
        Some(Input { prompt: prompt?, schema: flatten(schema)?, default: default.map(|(_, tree)| tree) })
    }

    pub(super) fn set(&mut self, node: &Node, entries: &[Entry]) -> Option<Set> {
        match find(entries, "value") {
            Some(value) => Some(Set { value: self.tree(value)? }),
            None => {
                self.missing(node, "value", "the `set` step", "add `value:` with any value; templates in it are filled in");
                None
            }
        }
    }

    pub(super) fn fail(&mut self, node: &Node, entries: &[Entry]) -> Option<Fail> {
        let Some(error) = find(entries, "error") else {
            self.missing(node, "error", "the `fail` step", ERROR_RULE);
            return None;
        };
        match &error.kind {
            // One expression that yields the object: the error of another step, say.
            Kind::Text(text) if text.contains("{{") => {}
            Kind::Map(_) => {
                let entries = self.known_map(error, "`error`", ERROR_KEYS)?;
                let mut is_complete = true;
                for key in ERROR_KEYS {
                    is_complete &= match find(entries, key) {
                        Some(node) => self.filled_text(node, &format!("`error.{key}`")).is_some(),
                        None => {
                            self.missing(error, key, "`error`", ERROR_RULE);
                            false
                        }
                    };
                }
                if !is_complete {
                    return None;
                }
                let own = entries.iter().filter(|entry| !is_extension(&entry.key)).cloned().collect();
                return Some(Fail { error: self.tree(&Node { kind: Kind::Map(own), span: error.span.clone() })? });
            }
            _ => return self.wrong(error, "`error`", "a map", ERROR_RULE),
        }
        Some(Fail { error: self.tree(error)? })
    }
}
