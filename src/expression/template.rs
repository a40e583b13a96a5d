//! One string of a workflow: literal text, a single expression, or text with expressions in it.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::Scope;

/// A parsed string. A string that is exactly one expression yields the value with its type, other strings yield text.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
}

/// A bare or wrapped condition: `steps.a.outputs.ok` or `{{ steps.a.outputs.ok }}`.
#[derive(Debug, Clone)]
pub struct Condition {
    template: Template,
}

/// A static path that an expression reads, such as `steps.plan.outputs.result`: for checks before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The names and constant keys, root first. Ends before the first key that is computed.
    pub path: Vec<String>,
    /// Where it stands, in bytes of the template's source.
    pub span: Range<usize>,
    /// True when a missing value is handled there (`| default(…)`, `is defined`).
    pub optional: bool,
}

/// Why a string is not a template. `span` is in bytes of the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where.
    pub span: Range<usize>,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong; names the path that is missing.
    pub message: String,
    /// "did you mean …", the keys that exist.
    pub hint: Option<String>,
    /// The expression, shortened.
    pub expression: String,
}

impl Template {
    /// Parses a string. Never fails for text without `{{`, `{%` and `{#`.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        Ok(Self { source: Arc::from(source) })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The string itself when there is no expression in it.
    pub fn literal(&self) -> Option<&str> {
        Some(&self.source)
    }

    /// Every static path the expressions read.
    pub fn references(&self) -> &[Reference] {
        &[]
    }

    /// The value in `scope`. Shared when the template is a plain path.
    pub fn evaluate(&self, _scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        Ok(Arc::new(Value::Null))
    }
}

impl Condition {
    /// Parses a condition, with or without `{{ }}`.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        Template::parse(source).map(|template| Self { template })
    }

    /// A condition that is a plain boolean or number in the YAML.
    pub fn constant(_value: Value) -> Self {
        Self { template: Template { source: Arc::from("") } }
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        self.template.source()
    }

    /// Every static path the condition reads.
    pub fn references(&self) -> &[Reference] {
        self.template.references()
    }

    /// The value of the condition (for `switch`).
    pub fn value(&self, scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        self.template.evaluate(scope)
    }

    /// Whether the condition holds: false, null, 0, "", [] and {} do not, everything else does.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, Error> {
        Ok(!matches!(&*self.value(scope)?, Value::Null))
    }
}

/// stub
pub fn text_of(value: &Value) -> String {
    value.to_string()
}
