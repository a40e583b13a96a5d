//! One string of a workflow: literal text, a single expression, or text with expressions in it.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::evaluate::Expression;
use super::scanner::{Piece, pieces};
use super::text::Limited;
use super::{Error, Reference, Scope, SharedValue, Subtraction, SyntaxError};
use crate::limits::EXPRESSION_OUTPUT_BYTES_MAX;

/// A parsed string. A string that is exactly one expression (space around it aside) yields the value with its type, other strings yield text:
/// strings as they are, everything else as JSON.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Template {
    parsed: Arc<Parsed>,
}

#[derive(Debug)]
struct Parsed {
    source: Arc<str>,
    form: Form,
    references: Vec<Reference>,
    subtractions: Vec<Subtraction>,
}

#[derive(Debug)]
enum Form {
    Literal(Arc<Value>),
    Single(Expression),
    Mixed(Vec<Part>),
}

#[derive(Debug)]
enum Part {
    Text(Range<usize>),
    Expression(Expression),
}

impl Template {
    /// Parses a string. Never fails for text without `{{`, `{%` and `{#`.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        let (mut references, mut subtractions, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces(source)? {
            parts.push(match piece {
                Piece::Text(range) => Part::Text(range),
                Piece::Expression(range) => {
                    let shift = |span: &Range<usize>| range.start + span.start..range.start + span.end;
                    let expression =
                        Expression::parse(&source[range.clone()]).map_err(|error| SyntaxError { span: shift(&error.span), ..error })?;
                    references.extend(expression.references(shift));
                    subtractions.extend(expression.subtractions(shift));
                    Part::Expression(expression)
                }
            });
        }
        let parsed = Parsed { source: Arc::from(source), form: Form::of(source, parts), references, subtractions };
        Ok(Self { parsed: Arc::new(parsed) })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.parsed.source
    }

    /// The string itself when there is no expression in it.
    pub fn literal(&self) -> Option<&str> {
        matches!(self.parsed.form, Form::Literal(_)).then_some(&self.parsed.source)
    }

    /// Every static path the expressions read.
    pub fn references(&self) -> &[Reference] {
        &self.parsed.references
    }

    /// Every subtraction that looks like a name with a `-` in it.
    pub fn subtractions(&self) -> &[Subtraction] {
        &self.parsed.subtractions
    }

    /// The value in `scope`. Shared when the template is a plain path to a whole shared value, such as `steps.plan.outputs`.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        match &self.parsed.form {
            Form::Literal(value) => Ok(value.clone()),
            Form::Single(expression) => expression.evaluate(scope),
            Form::Mixed(parts) => {
                let mut text = Limited::new(EXPRESSION_OUTPUT_BYTES_MAX);
                for part in parts {
                    match part {
                        Part::Expression(expression) => expression.write(&mut text, scope)?,
                        Part::Text(range) => text.write_all(&self.parsed.source.as_bytes()[range.clone()]).map_err(|_| {
                            Error::new(format!("the text has more than {EXPRESSION_OUTPUT_BYTES_MAX} bytes"), self.source())
                        })?,
                    }
                }
                Ok(Arc::new(Value::String(text.into_text())))
            }
        }
    }

    /// The value in `scope`, as [`evaluate`](Self::evaluate) says it; a part of a shared value is not copied.
    pub fn evaluate_shared(&self, scope: &Scope<'_>) -> Result<SharedValue, Error> {
        match &self.parsed.form {
            Form::Single(expression) => expression.evaluate_shared(scope),
            Form::Literal(_) | Form::Mixed(_) => self.evaluate(scope).map(SharedValue::from),
        }
    }
}

impl Form {
    fn of(source: &str, parts: Vec<Part>) -> Self {
        let blank = |part: &Part| matches!(part, Part::Text(range) if source[range.clone()].trim().is_empty());
        let expressions = parts.iter().filter(|part| matches!(part, Part::Expression(_))).count();
        match expressions {
            0 => Self::Literal(Arc::new(Value::from(source))),
            1 if parts.iter().all(|part| matches!(part, Part::Expression(_)) || blank(part)) => {
                let single = parts.into_iter().find_map(|part| match part {
                    Part::Expression(expression) => Some(expression),
                    Part::Text(_) => None,
                });
                Self::Single(single.expect("one was counted"))
            }
            _ => Self::Mixed(parts),
        }
    }
}
