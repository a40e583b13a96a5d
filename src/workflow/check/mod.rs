//! Nodes to a [`Workflow`]: shape first (`document`, `step`, `policy`), then what expressions refer to (`references`).
//!
//! Pure. Everything wrong is reported and the walk goes on; whoever calls asks the report whether the workflow may be used.

mod document;
mod fields;
mod step;
mod step_type;

mod call;
mod groups;
mod leaf;
mod repeat;

mod policy;
mod reach;
mod references;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use super::node::Node;
use super::report::Report;
use super::{Diagnostic, Severity, Workflow};
use reach::{Crumb, Known};
use references::Use;
#[cfg(feature = "service")]
pub(super) use repeat::RESERVED_NAMES;

/// What came out of a text.
#[derive(Debug)]
pub struct Parsed {
    /// The workflow, when there is no error among the diagnostics.
    pub workflow: Option<Workflow>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are, beyond [`crate::limits::DIAGNOSTICS_MAX`].
    pub omitted: usize,
}

impl Parsed {
    /// The diagnostics that keep the workflow from running.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|one| one.severity == Severity::Error)
    }
}

/// Checks a document that is already a tree. `text` is what its spans point into.
pub fn check(text: &str, root: &Node) -> Parsed {
    let mut report = Report::new(text);
    let (workflow, _) = check_into(root, &mut report);
    let workflow = workflow.filter(|_| !report.has_errors());
    let (diagnostics, omitted) = report.finish();
    Parsed { workflow, diagnostics, omitted }
}

/// Checks a document. `None` when it cannot become a workflow; the report says why, and of what there is whether it may be used.
pub(super) fn check_into(root: &Node, report: &mut Report<'_>) -> (Option<Workflow>, Vec<SchemaNode>) {
    let mut checker = Checker {
        report,
        steps: Vec::new(),
        by_id: BTreeMap::new(),
        uses: Vec::new(),
        names: Rc::new([]),
        bindings: BTreeMap::new(),
        schemas: Vec::new(),
        shadowed: BTreeSet::new(),
        path: Vec::new(),
        in_step: None,
        own_references: Vec::new(),
        step_count: 0,
    };
    let workflow = checker.document(root);
    checker.references(root.get("input"));
    (workflow, checker.schemas)
}

/// A JSON Schema in the document. What it says is for `parse` to check, which knows JSON Schema.
#[derive(Debug)]
pub(super) struct SchemaNode {
    /// What it is called in messages.
    #[cfg_attr(not(feature = "service"), expect(dead_code, reason = "read by `parse`"))]
    pub(super) what: String,
    /// The schema: a map.
    #[cfg_attr(not(feature = "service"), expect(dead_code, reason = "read by `parse`"))]
    pub(super) schema: Node,
    /// A constant value that it must allow.
    #[cfg_attr(not(feature = "service"), expect(dead_code, reason = "read by `parse`"))]
    pub(super) example: Option<Node>,
}

/// What the walk has seen so far, and where it stands.
struct Checker<'r, 'a> {
    report: &'r mut Report<'a>,
    /// Every step with a usable id, in the order of the text.
    steps: Vec<Known>,
    by_id: BTreeMap<String, usize>,
    /// Every reference of every expression, to be looked up once all steps are known.
    uses: Vec<Use>,
    /// Names that the bodies around the walk bring: `item`, `iteration`, those of `as:`, …
    names: Rc<[Rc<str>]>,
    /// The names of `as:`, each with the first step that has it.
    bindings: BTreeMap<String, usize>,
    schemas: Vec<SchemaNode>,
    /// Ids inside steps that could not be understood: nothing is said about references to them.
    shadowed: BTreeSet<String>,
    /// The lists of steps around the walk, outermost first.
    path: Vec<Crumb>,
    /// The step whose keys are being read.
    in_step: Option<usize>,
    /// How the document may be named as a sub-workflow: by `metadata.id` as it is written, alone, with its version, or with `latest`.
    own_references: Vec<String>,
    step_count: usize,
}

impl Checker<'_, '_> {
    fn add(&mut self, code: &'static super::codes::Code, span: &Range<usize>, message: String, hint: impl Into<String>) {
        self.report.add(code, span.clone(), message, hint);
    }
}
