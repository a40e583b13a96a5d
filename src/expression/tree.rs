//! Any YAML value with templates in its strings: `inputs`, `output`, `value`.

use std::sync::Arc;

use serde_json::Value;

use super::{Error, Scope, Template};

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
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Template(template) => template.evaluate(scope)?,
            Self::List(items) => {
                let items = items.iter().map(|item| Ok(unshare(item.evaluate(scope)?))).collect::<Result<_, Error>>()?;
                Arc::new(Value::Array(items))
            }
            Self::Object(fields) => {
                let fields =
                    fields.iter().map(|(key, field)| Ok((key.clone(), unshare(field.evaluate(scope)?)))).collect::<Result<_, Error>>()?;
                Arc::new(Value::Object(fields))
            }
        })
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

fn unshare(value: Arc<Value>) -> Value {
    Arc::try_unwrap(value).unwrap_or_else(|shared| (*shared).clone())
}
