//! Expressions in the document: parsed here, with their errors placed inside the scalar, and kept for `references`.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::Checker;
use super::fields::constant;
use super::references::Use;
use crate::expression::{Condition, Reference, Subtraction, SyntaxError, Template, Tree};
use crate::workflow::codes;
use crate::workflow::node::{Kind, Node};

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `when`: whether a step runs at all.
    Guard,
    /// The truth of it chooses a branch.
    Choice,
    /// Its value chooses a branch.
    Value,
    /// Asked before each iteration of a loop.
    While,
    /// Asked after each iteration of a loop.
    Until,
    /// Not a condition: it yields the next accumulator of a `map` step.
    Reduction,
    /// Not a condition: it yields data.
    Data,
}

impl Checker<'_, '_> {
    /// Any value with templates in its texts.
    pub(super) fn tree(&mut self, node: &Node) -> Option<Tree> {
        self.tree_for(node, Role::Data)
    }

    /// The same, for a purpose of its own.
    pub(super) fn tree_for(&mut self, node: &Node, role: Role) -> Option<Tree> {
        match &node.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => Some(Tree::Literal(Arc::new(node.to_json()))),
            Kind::Text(text) => {
                let template = self.parsed(node, text, Template::parse(text))?;
                self.note(node, text, (template.references(), template.subtractions()), role);
                Some(match template.literal() {
                    Some(literal) => Tree::Literal(Arc::new(Value::String(literal.to_owned()))),
                    None => Tree::Template(template),
                })
            }
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.tree_for(item, role)).collect();
                let items: Vec<Tree> = items.into_iter().collect::<Option<_>>()?;
                Some(match items.iter().all(is_literal) {
                    true => Tree::Literal(Arc::new(Value::Array(items.into_iter().filter_map(literal).collect()))),
                    false => Tree::List(items),
                })
            }
            Kind::Map(entries) => {
                let fields: Vec<_> = entries.iter().map(|entry| Some((entry.key.clone(), self.tree_for(&entry.value, role)?))).collect();
                let fields: Vec<(String, Tree)> = fields.into_iter().collect::<Option<_>>()?;
                Some(match fields.iter().all(|(_, field)| is_literal(field)) {
                    true => {
                        let fields = fields.into_iter().filter_map(|(key, field)| Some((key, literal(field)?)));
                        Tree::Literal(Arc::new(Value::Object(fields.collect())))
                    }
                    false => Tree::Object(fields),
                })
            }
        }
    }

    /// A condition: an expression, wrapped or bare, or a plain boolean or number.
    pub(super) fn condition(&mut self, node: &Node, what: &str, role: Role) -> Option<Condition> {
        if let Some(value) = constant(node) {
            return Some(Condition::constant(value));
        }
        let Kind::Text(text) = &node.kind else {
            let hint = match &node.kind {
                Kind::Map(_) => "put the expression in quotes: `{{ … }}` alone is a map in YAML",
                _ => "",
            };
            return self.wrong(node, what, "an expression", hint);
        };
        let parsed = match role {
            Role::Value => Condition::parse_value(text),
            Role::Guard | Role::Choice | Role::While | Role::Until | Role::Reduction | Role::Data => Condition::parse(text),
        };
        let condition = self.parsed(node, text, parsed)?;
        self.note(node, text, (condition.references(), condition.subtractions()), role);
        Some(condition)
    }

    fn parsed<T>(&mut self, node: &Node, text: &str, parsed: Result<T, SyntaxError>) -> Option<T> {
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let span = self.report.source().within(&node.span, text, &error.span);
                let hint =
                    error.hint.unwrap_or_else(|| "an expression is such as `{{ steps.plan.outputs.result | default('none') }}`".to_owned());
                self.add(&codes::INVALID_TEMPLATE, &span, error.message, hint);
                None
            }
        }
    }

    fn note(&mut self, node: &Node, text: &str, (references, subtractions): (&[Reference], &[Subtraction]), role: Role) {
        if !references.is_empty() {
            self.uses.push(Use {
                step: self.in_step,
                role,
                names: self.names.clone(),
                scalar: node.span.clone(),
                text: text.to_owned(),
                references: references.to_vec(),
                subtractions: subtractions.to_vec(),
            });
        }
    }

    /// Where a reference stands in the document.
    pub(super) fn place(&self, one: &Use, part: &Range<usize>) -> Range<usize> {
        self.report.source().within(&one.scalar, &one.text, part)
    }
}

fn is_literal(tree: &Tree) -> bool {
    matches!(tree, Tree::Literal(_))
}

fn literal(tree: Tree) -> Option<Value> {
    match tree {
        Tree::Literal(value) => Some(Arc::unwrap_or_clone(value)),
        Tree::Template(_) | Tree::List(_) | Tree::Object(_) => None,
    }
}
