//! What is wrong with a workflow, where, and what to do about it.

use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The workflow cannot run.
    Error,
    /// It can run, but probably not as meant.
    Warning,
}

/// One finding in a workflow's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable and searchable: `unknown-key`, `undefined-step`, …
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One lower-case sentence that names the thing.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start in characters, from 1.
    pub column: usize,
}
