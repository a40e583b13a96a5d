//! Templates: `{{ steps.plan.outputs.result }}` in any string of a workflow.
//!
//! Pure. Used by `workflow` (to parse and check) and `interpreter` (to evaluate). Knows nothing of steps beyond their names in a [`Scope`].

mod scope;
mod template;
mod tree;

pub use scope::{Scope, StepView};
pub use template::{Condition, Error, Reference, SyntaxError, Template, text_of};
pub use tree::Tree;
