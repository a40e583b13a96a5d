//! What an author writes: the document, its step kinds and policies, and the way from YAML to them.
//!
//! Pure but for nothing: text in, [`Workflow`] and every [`Diagnostic`] out. Used by `plan`, `discovery` and the CLI.

mod check;
mod codes;
mod diagnostic;
mod document;
mod node;
#[cfg(feature = "service")]
mod parse;
#[cfg(feature = "service")]
mod render;
mod report;
mod source;
#[cfg(feature = "service")]
mod yaml;

pub use codes::{CODES, Code};
pub use diagnostic::{Diagnostic, Severity};
pub use document::{
    Branch, Call, Conditional, ErrorHandling, Limits, Metadata, NoMatch, OnError, OnFailure, Parallel, Retry, RetryOn, Step, StepKind,
    Switch, Workflow,
};
#[cfg(feature = "service")]
pub use parse::{Parsed, parse, parse_bytes};
#[cfg(feature = "service")]
pub use render::{render, render_short};
