//! Expressions in the document: parsed here, with their errors placed inside the scalar, and kept for `references`.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::Checker;
use super::fields::constant;
use super::references::Use;
use crate::expression::{Condition, Reference, SyntaxError, Template, Tree};
use crate::workflow::codes;
use crate::workflow::node::{Kind, Node};

impl Checker<'_, '_> {
    /// Any value with templates in its texts.
    pub(super) fn tree(&mut self, node: &Node) -> Option<Tree> {
        match &node.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => Some(Tree::Literal(Arc::new(node.to_json()))),
            Kind::Text(text) => {
                let template = self.parsed(node, text, Template::parse(text))?;
                self.note(node, text, template.references(), false);
                Some(match template.literal() {
                    Some(literal) => Tree::Literal(Arc::new(Value::String(literal.to_owned()))),
                    None => Tree::Template(template),
                })
            }
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.tree(item)).collect();
                let items: Vec<Tree> = items.into_iter().collect::<Option<_>>()?;
                Some(match items.iter().all(is_literal) {
                    true => Tree::Literal(Arc::new(Value::Array(items.into_iter().filter_map(literal).collect()))),
                    false => Tree::List(items),
                })
            }
            Kind::Map(entries) => {
                let fields: Vec<_> = entries.iter().map(|entry| Some((entry.key.clone(), self.tree(&entry.value)?))).collect();
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
    pub(super) fn condition(&mut self, node: &Node, what: &str, is_guard: bool) -> Option<Condition> {
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
        let condition = self.parsed(node, text, Condition::parse(text))?;
        self.note(node, text, condition.references(), is_guard);
        Some(condition)
    }

    fn parsed<T>(&mut self, node: &Node, text: &str, parsed: Result<T, SyntaxError>) -> Option<T> {
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let span = self.report.source().within(&node.span, text, &error.span);
                self.add(&codes::INVALID_TEMPLATE, &span, error.message, error.hint.unwrap_or_default());
                None
            }
        }
    }

    fn note(&mut self, node: &Node, text: &str, references: &[Reference], is_guard: bool) {
        if !references.is_empty() {
            let references = references.to_vec();
            self.uses.push(Use { step: self.in_step, is_guard, scalar: node.span.clone(), text: text.to_owned(), references });
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
