//! The workflows that a plan names once and for all: by its `workflow` steps, and by calls of gantry's own skills with a fixed id.
//!
//! Found when the plan is made, so that a start of a plan without any pays nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::{Node, NodeIndex, NodeKind, Plan};
use crate::expression::Tree;
use crate::ids::SkillId;
use crate::workflow::Call;

/// The skill that runs a workflow.
pub const EXECUTE_WORKFLOW: &str = "execute_workflow";
/// How the engine itself is called where an agent's name is wanted.
pub const OWN_NAME: &str = "gantry";
/// The skill that finds a workflow and runs it.
pub const ROUTE_REQUEST: &str = "route_request";
/// Skills that are a workflow each: `workflow:<id>`.
pub const WORKFLOW_PREFIX: &str = "workflow:";

/// A workflow that a step names, whatever the run's data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The step; of several that name the same, the first.
    pub node: NodeIndex,
    /// What it names: `id`, `id:tag`, `id@digest`.
    pub target: Arc<str>,
    /// The call that names it. None for a `workflow` step, which is always run by the gantry it runs in.
    pub call: Option<Asked>,
    /// Where the step stands in the text, in bytes.
    pub span: Range<usize>,
}

/// Who is asked to run a workflow: by this gantry it is run only if it is the one who offers the skill.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The skill that is called.
    pub skill: SkillId,
    /// The agent that the author wants.
    pub agent: Option<String>,
}

/// The reference of a step, when it has one that is fixed.
pub(super) fn of(index: NodeIndex, node: &Node, span: Range<usize>) -> Option<Reference> {
    let (target, call) = match asks(node)? {
        Asks::Here(reference) => (Arc::clone(reference), None),
        Asks::ByCall(call) => {
            let asked = |target: String| (Arc::from(target), Some(Asked { skill: call.skill.clone(), agent: call.agent.clone() }));
            of_call(call).map(asked)?
        }
    };
    Some(Reference { node: index, target, call, span })
}

/// Whether a step like this may start a run in the process that executes it, whatever the run's data say.
pub(super) fn may_start_a_run(node: &Node) -> bool {
    match asks(node) {
        Some(Asks::Here(_)) => true,
        Some(Asks::ByCall(call)) => {
            let skill = call.skill.as_str();
            skill == EXECUTE_WORKFLOW || skill == ROUTE_REQUEST || skill.starts_with(WORKFLOW_PREFIX)
        }
        None => false,
    }
}

/// How a step asks for something that may be a run.
enum Asks<'a> {
    /// Of the gantry that executes it.
    Here(&'a Arc<str>),
    /// Of whoever offers a skill.
    ByCall(&'a Call),
}

/// None for a step that asks nobody itself.
fn asks(node: &Node) -> Option<Asks<'_>> {
    match &node.kind {
        NodeKind::Workflow { reference, .. } => Some(Asks::Here(reference)),
        NodeKind::Call(call) => Some(Asks::ByCall(call)),
        NodeKind::Parallel { .. }
        | NodeKind::Conditional { .. }
        | NodeKind::Switch { .. }
        | NodeKind::Map { .. }
        | NodeKind::Loop { .. }
        | NodeKind::Race { .. }
        | NodeKind::Wait(_)
        | NodeKind::Input { .. }
        | NodeKind::Set(_)
        | NodeKind::Fail(_) => None,
    }
}

/// Leaves out what would be looked up a second time.
pub(super) fn distinct(mut references: Vec<Reference>) -> Box<[Reference]> {
    references.sort_by_key(|reference| reference.span.start);
    let mut seen = BTreeSet::new();
    references.retain(|reference| seen.insert((Arc::clone(&reference.target), reference.call.clone())));
    references.into()
}

fn of_call(call: &Call) -> Option<String> {
    if let Some(id) = call.skill.as_str().strip_prefix(WORKFLOW_PREFIX) {
        return Some(id.to_owned());
    }
    if call.skill.as_str() != EXECUTE_WORKFLOW {
        return None;
    }
    let id = fixed(&call.inputs, "workflow_id")??;
    let version = fixed(&call.inputs, "version")?;
    let digest = fixed(&call.inputs, "digest")?;
    Some(reference_to(id, version, digest))
}

/// The reference that `execute_workflow` means. The digest goes before the version.
pub fn reference_to(id: &str, version: Option<&str>, digest: Option<&str>) -> String {
    match (digest, version) {
        (Some(digest), _) => format!("{id}@{digest}"),
        (None, Some(version)) => format!("{id}:{version}"),
        (None, None) => id.to_owned(),
    }
}

/// The text of an input; none when the run's data may decide it, `Some(None)` when it is not given.
fn fixed<'a>(inputs: &'a Tree, name: &str) -> Option<Option<&'a str>> {
    let value = match inputs {
        Tree::Literal(inputs) => inputs.get(name),
        Tree::Object(fields) => match fields.iter().find(|(key, _)| key == name) {
            Some((_, Tree::Literal(value))) => Some(&**value),
            Some(_) => return None,
            None => None,
        },
        Tree::Template(_) | Tree::List(_) => return None,
    };
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        // Refused when the step runs.
        Some(_) => None,
    }
}

impl Plan {
    /// Line and column, from 1, of the step that names a workflow.
    pub fn position(&self, reference: &Reference) -> (usize, usize) {
        let line = self.node(reference.node).line;
        let before = &self.source()[..self.source().floor_char_boundary(reference.span.start)];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[start..].chars().filter(|character| *character != '\u{feff}').count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::workflow::parse;

    fn plan(steps: &str) -> Plan {
        let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\nsteps:\n{steps}");
        let parsed = parse(&text);
        let workflow = parsed.workflow.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics));
        Plan::new(workflow, text, Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap())
    }

    #[test]
    fn what_is_fixed_is_found_and_what_data_decides_is_not() {
        for (step, expected) in [
            ("{id: a, step_type: workflow, workflow: b}", &["b"][..]),
            ("{id: a, step_type: workflow, workflow: \"b:1.0.0\", inputs: {x: \"{{ workflow.input.x }}\"}}", &["b:1.0.0"]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: b}}", &["b"]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: b, version: null, input: {x: \"{{ workflow.input.x }}\"}}}", &["b"]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: b, version: 2.0.0}}", &["b:2.0.0"]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: b, version: v, digest: \"sha256:0\"}}", &["b@sha256:0"]),
            ("{id: a, skill: \"workflow:b\", inputs: {x: 1}}", &["b"]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: \"{{ workflow.input.x }}\"}}", &[]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: b, version: \"{{ workflow.input.x }}\"}}", &[]),
            ("{id: a, skill: execute_workflow, inputs: \"{{ workflow.input }}\"}", &[]),
            ("{id: a, skill: execute_workflow, inputs: {workflow_id: 7}}", &[]),
            ("{id: a, skill: execute_workflow}", &[]),
            ("{id: a, skill: other, inputs: {workflow_id: b}}", &[]),
        ] {
            let plan = plan(&format!("  - {step}"));
            assert_eq!(plan.references().iter().map(|one| &*one.target).collect::<Vec<_>>(), expected, "{step}");
        }
    }

    #[test]
    fn steps_in_steps_are_looked_at_and_each_target_is_named_once_where_it_stands_first() {
        let plan = plan(
            "  - {id: a, step_type: parallel, branches: {steps: [{id: b, step_type: workflow, workflow: x}, {id: e, skill: s}]}}
  - {id: c, skill: s, inputs: {t: é}, on_error: {steps: [{id: d, step_type: workflow, workflow: y}, {id: f, step_type: workflow, workflow: x}]}}",
        );
        let found: Vec<_> =
            plan.references().iter().map(|one| (&*one.target, plan.node(one.node).id.as_str(), plan.position(one))).collect();
        assert_eq!(found, [("x", "b", (3, 53)), ("y", "d", (4, 58))]);
    }
}
