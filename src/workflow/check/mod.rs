//! Nodes to a [`Workflow`]: shape first (`document`, `step`, `policy`), then what expressions refer to (`references`).
//!
//! Pure. Everything wrong is reported and the walk goes on; whoever calls asks the report whether the workflow may be used.

mod document;
mod fields;
mod groups;
mod policy;
mod references;
mod step;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Workflow;
use super::node::Node;
use super::report::Report;
use references::{Crumb, Known, Use};

/// Checks a document. `None` when it cannot become a workflow; the report says why.
pub(crate) fn check(root: &Node, report: &mut Report<'_>) -> Option<Workflow> {
    let mut checker = Checker {
        report,
        steps: Vec::new(),
        by_id: BTreeMap::new(),
        uses: Vec::new(),
        shadowed: BTreeSet::new(),
        path: Vec::new(),
        in_step: None,
        step_count: 0,
    };
    let workflow = checker.document(root);
    checker.references(root.get("input"));
    workflow.filter(|_| !report.has_errors())
}

/// What the walk has seen so far, and where it stands.
struct Checker<'r, 'a> {
    report: &'r mut Report<'a>,
    /// Every step with a usable id, in the order of the text.
    steps: Vec<Known>,
    by_id: BTreeMap<String, usize>,
    /// Every reference of every expression, to be looked up once all steps are known.
    uses: Vec<Use>,
    /// Ids inside steps that could not be understood: nothing is said about references to them.
    shadowed: BTreeSet<String>,
    /// The lists of steps around the walk, outermost first.
    path: Vec<Crumb>,
    /// The step whose keys are being read.
    in_step: Option<usize>,
    step_count: usize,
}

impl Checker<'_, '_> {
    fn add(&mut self, code: &'static super::codes::Code, span: &Range<usize>, message: String, hint: impl Into<String>) {
        self.report.add(code, span.clone(), message, hint);
    }
}
