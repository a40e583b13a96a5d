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
#[cfg(feature = "service")]
mod schema;
mod source;
#[cfg(feature = "service")]
mod yaml;

pub use check::{Parsed, check};
pub use codes::{CODES, Code};
pub use diagnostic::{Diagnostic, Severity};
pub use document::{
    Branch, Call, Conditional, ErrorHandling, Limits, Metadata, NoMatch, OnError, OnFailure, Parallel, Retry, RetryOn, Step, StepKind,
    Switch, Workflow,
};
pub use node::{Entry, Kind, Node};
#[cfg(feature = "service")]
pub use parse::{parse, parse_bytes, read_yaml};
#[cfg(feature = "service")]
pub use render::{render, render_short};
#[cfg(feature = "service")]
pub use schema::json_schema;
