//! Templates: `{{ steps.plan.outputs.result }}` in any string of a workflow.
//!
//! Pure. Used by `workflow` (to parse and check) and `interpreter` (to evaluate). Knows nothing of steps beyond their names in a [`Scope`].
//!
//! A string is split by a scanner of our own (`scanner`), never rendered as a whole. Each expression is cut into tokens (`token`), and every static
//! path in it is taken out (`syntax`): a lone path is looked up by us (`path`), and in any other expression the engine sees only numbered variables,
//! bound to views of what we looked up (`evaluate`, `node`). So nothing but what the [`Scope`] holds can be reached, a missing path is always known
//! by name, and what an agent returned is a value at all times: it is never read as a template or an expression.
//! What the engine leaves unbounded is bounded before it runs (`token`, `operands`) and after (`convert`); `filters` is all that expressions can do.

mod error;
mod scope;

mod operands;
mod path;
mod scanner;
mod syntax;
mod token;

mod convert;
mod evaluate;
mod filters;
mod node;
mod text;

mod condition;
mod template;
mod tree;

#[cfg(test)]
mod tests;

pub use condition::Condition;
pub use error::{Error, SyntaxError};
pub use scope::{Scope, SharedValue, StepView};
pub use syntax::{Reference, Subtraction};
pub use template::Template;
pub use text::text_of;
pub use tree::Tree;
