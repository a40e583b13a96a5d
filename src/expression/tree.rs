//! Any YAML value with templates in its strings: `inputs`, `output`, `value`.

use std::sync::Arc;

use serde_json::Value;

use super::convert::{Budget, Refusal};
use super::{Error, Scope, SharedValue, Template};

/// A value whose strings may be templates. Keys are never templates.
#[derive(Debug, Clone)]
pub enum Tree {
    /// No template anywhere below.
    Literal(Arc<Value>),
    /// One string with expressions.
    Template(Template),
    /// A list with at least one template below.
    List(Vec<Tree>),
    /// An object with at least one template below, keys in the author's order.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The value in `scope`. Everything literal, and a tree that is one plain path, is shared.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Template(template) => template.evaluate(scope),
            Self::List(_) | Self::Object(_) => self.build(scope, 0, &mut Budget::default()).map(Arc::new),
        }
    }

    /// The value in `scope`, as [`evaluate`](Self::evaluate) says it; a part of a shared value is not copied.
    pub fn evaluate_shared(&self, scope: &Scope<'_>) -> Result<SharedValue, Error> {
        match self {
            Self::Template(template) => template.evaluate_shared(scope),
            Self::Literal(_) | Self::List(_) | Self::Object(_) => self.evaluate(scope).map(SharedValue::from),
        }
    }

    /// Builds the value as a part of another, `depth` levels down. All copies made for one tree together stay within one budget.
    fn build(&self, scope: &Scope<'_>, depth: usize, budget: &mut Budget) -> Result<Value, Error> {
        match self {
            Self::Literal(value) => copy(value.clone(), "", depth, budget),
            Self::Template(template) => copy(template.evaluate(scope)?, template.source(), depth, budget),
            Self::List(items) => {
                charge(&Value::Null, "", depth, budget)?;
                items.iter().map(|item| item.build(scope, depth + 1, budget)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Object(fields) => {
                charge(&Value::Null, "", depth, budget)?;
                let fields = fields.iter().map(|(key, field)| Ok((key.clone(), field.build(scope, depth + 1, budget)?)));
                fields.collect::<Result<_, _>>().map(Value::Object)
            }
        }
    }

    /// Every template below, in order.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Template(template) => vec![template],
            Self::List(items) => items.iter().flat_map(Self::templates).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, field)| field.templates()).collect(),
        }
    }
}

fn copy(value: Arc<Value>, expression: &str, depth: usize, budget: &mut Budget) -> Result<Value, Error> {
    charge(&value, expression, depth, budget)?;
    Ok(Arc::try_unwrap(value).unwrap_or_else(|shared| (*shared).clone()))
}

fn charge(value: &Value, expression: &str, depth: usize, budget: &mut Budget) -> Result<(), Error> {
    budget.charge(value, depth).map_err(|refusal| match refusal {
        Refusal::Large => Error::new(refusal.message(), expression).hint("pass on the parts that are needed, not whole replies many times"),
        _ => Error::new(refusal.message(), expression),
    })
}
