//! What an author writes: the document, its step kinds and policies, and the way from YAML to them.
//!
//! Pure but for nothing: text in, [`Workflow`] and every [`Diagnostic`] out. Used by `plan`, `discovery` and the CLI.

mod diagnostic;
mod document;
#[cfg(feature = "service")]
mod parse;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{
    Branch, Call, Conditional, ErrorHandling, Limits, Metadata, NoMatch, OnError, OnFailure, Parallel, Retry, RetryOn, Step, StepKind,
    Switch, Workflow,
};
#[cfg(feature = "service")]
pub use parse::{Parsed, parse};
