//! What an author writes: the document, its step kinds and policies, and the way from YAML to them.
//!
//! Pure: text in, [`Workflow`] and every [`Diagnostic`] out. Used by `plan`, `discovery` and the CLI. Three layers, each of which
//! reports all that it finds: `yaml` (text to [`Node`]s), `check` (nodes to a workflow) and in it `references` (what expressions read).
//!
//! Unknown keys are errors everywhere. Keys that start with `x-` belong to other tools and are let be, wherever a key of the language can stand.

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
mod step_kind;
#[cfg(feature = "service")]
mod yaml;

pub use check::{Parsed, check};
pub use codes::{CODES, Code};
#[cfg(feature = "service")]
pub(crate) use codes::{NESTED_TOO_DEEP, WORKFLOW_CYCLE};
pub use diagnostic::{Diagnostic, Severity};
pub use document::{ErrorHandling, Limits, Metadata, OnError, OnFailure, Retry, RetryOn, Step, Workflow};
pub use node::{Entry, Kind, Node};
#[cfg(feature = "service")]
pub use parse::{parse, parse_bytes, read_yaml};
#[cfg(feature = "service")]
pub use render::{render, render_short};
#[cfg(feature = "service")]
pub(crate) use report::{closest, mistyped};
#[cfg(feature = "service")]
pub use schema::json_schema;
pub use step_kind::{
    Branch, Call, Conditional, Fail, Input, Loop, LoopTest, Map, NoMatch, Parallel, Race, Reduce, ReduceBy, Set, StepKind, SubWorkflow,
    Switch, Tolerance, Wait, WaitUntil,
};
