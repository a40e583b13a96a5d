//! Workflow to plan: flattens the tree and fills in the workflow's defaults. Cannot fail: the workflow has been checked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{CatchOrNot, Handler, Node, NodeIndex, NodeKind, Owner, Path, ReduceBy, Reference, Sequence, SequenceIndex, references};
use crate::ids::{Digest, SkillId, StepId};
use crate::limits;
use crate::workflow::{
    self, Conditional, Input, Loop, Map, OnError, OnFailure, Parallel, Race, Step, StepKind, SubWorkflow, Switch, Workflow,
};

/// A workflow ready to run.
#[derive(Debug)]
pub struct Plan {
    workflow: Workflow,
    source: Arc<str>,
    digest: Digest,
    nodes: Vec<Node>,
    sequences: Vec<Sequence>,
    root: SequenceIndex,
    handlers: BTreeMap<Handler, SequenceIndex>,
    by_id: BTreeMap<StepId, NodeIndex>,
    references: Box<[Reference]>,
    may_start_runs: bool,
    repeats: bool,
    identity: Arc<Value>,
}

impl Plan {
    /// Makes a plan of a checked workflow, the text it came from, and the digest that pins it.
    pub fn new(mut workflow: Workflow, source: impl Into<Arc<str>>, digest: Digest) -> Self {
        let steps = std::mem::take(&mut workflow.steps);
        let handlers = &mut workflow.error_handling;
        let handler_steps = [
            (Handler::OnSuccess, std::mem::take(&mut handlers.on_success)),
            (Handler::OnError, std::mem::take(&mut handlers.on_error)),
            (Handler::OnCancel, std::mem::take(&mut handlers.on_cancel)),
            (Handler::Always, std::mem::take(&mut handlers.always)),
        ];
        let mut builder =
            Builder { workflow: &workflow, nodes: Vec::new(), sequences: Vec::new(), by_id: BTreeMap::new(), references: Vec::new() };
        let root = builder.sequence(Owner::Root, "", "", steps);
        let handlers = handler_steps
            .into_iter()
            .filter(|(_, steps)| !steps.is_empty())
            .map(|(handler, steps)| {
                (handler, builder.sequence(Owner::Handler(handler), handler.name(), &format!("/{}", handler.name()), steps))
            })
            .collect();
        let Builder { nodes, sequences, by_id, references, .. } = builder;
        let nodes: Vec<_> = nodes.into_iter().map(|node| node.expect("every reserved node was filled")).collect();
        let references = references::distinct(references);
        let may_start_runs = nodes.iter().any(references::may_start_a_run);
        let repeats = nodes.iter().any(|node| matches!(node.kind, NodeKind::Map { .. } | NodeKind::Loop { .. }));
        let metadata = &workflow.metadata;
        let identity = Arc::new(json!({ "id": metadata.id.as_str(), "name": metadata.name, "version": metadata.version.to_string() }));
        Self {
            source: source.into(),
            digest,
            nodes,
            sequences,
            root,
            handlers,
            by_id,
            references,
            may_start_runs,
            repeats,
            identity,
            workflow,
        }
    }

    /// What the author wrote, without its steps: those are the nodes.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// The text it came from.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The digest that pins it: the manifest's, or the text's when it came from a file.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The workflow's `steps`.
    pub fn root(&self) -> SequenceIndex {
        self.root
    }

    /// The steps of a handler, when the author gave any.
    pub fn handler(&self, handler: Handler) -> Option<SequenceIndex> {
        self.handlers.get(&handler).copied()
    }

    /// A node.
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.0 as usize]
    }

    /// A sequence.
    pub fn sequence(&self, index: SequenceIndex) -> &Sequence {
        &self.sequences[index.0 as usize]
    }

    /// Every node, in the author's order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeIndex, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeIndex(index as u32), node))
    }

    /// A node by the author's id.
    pub fn find(&self, id: &str) -> Option<NodeIndex> {
        self.by_id.get(id).copied()
    }

    /// Every skill the workflow calls, sorted, each once.
    pub fn skills(&self) -> Vec<&SkillId> {
        let mut skills: Vec<_> =
            self.nodes.iter().filter_map(|node| if let NodeKind::Call(call) = &node.kind { Some(&call.skill) } else { None }).collect();
        skills.sort();
        skills.dedup();
        skills
    }

    /// The workflows that its steps name once and for all, in the order of the text, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Whether a step may start a run below this one in the same process.
    pub fn may_start_runs(&self) -> bool {
        self.may_start_runs
    }

    /// Whether steps may run many times.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// `workflow` as expressions see it, but for its input: `{"id", "name", "version"}`.
    pub fn identity(&self) -> &Arc<Value> {
        &self.identity
    }

    /// Every sequence below a node: bodies, and bodies of bodies.
    pub fn sequences_below(&self, node: NodeIndex) -> Vec<SequenceIndex> {
        let mut found = Vec::new();
        let mut open = self.bodies(node);
        while let Some(sequence) = open.pop() {
            found.push(sequence);
            open.extend(self.sequence(sequence).steps.iter().flat_map(|step| self.bodies(*step)));
        }
        found
    }

    fn bodies(&self, node: NodeIndex) -> Vec<SequenceIndex> {
        let node = self.node(node);
        let mut bodies = match &node.kind {
            NodeKind::Call(_)
            | NodeKind::Workflow { .. }
            | NodeKind::Wait(_)
            | NodeKind::Input { .. }
            | NodeKind::Set(_)
            | NodeKind::Fail(_) => Vec::new(),
            NodeKind::Parallel { branches, .. } | NodeKind::Race { branches } => branches.clone(),
            NodeKind::Conditional { if_true, if_false, .. } => vec![*if_true, *if_false],
            NodeKind::Switch { cases, default, .. } => cases.iter().copied().chain(*default).collect(),
            NodeKind::Map { body, reduce, .. } => {
                let reducer = if let Some((_, ReduceBy::Steps(steps))) = reduce { Some(*steps) } else { None };
                [*body].into_iter().chain(reducer).collect()
            }
            NodeKind::Loop { body, .. } => vec![*body],
        };
        if let CatchOrNot::Catch(sequence) = node.on_error {
            bodies.push(sequence);
        }
        bodies
    }
}

struct Builder<'a> {
    workflow: &'a Workflow,
    nodes: Vec<Option<Node>>,
    sequences: Vec<Sequence>,
    by_id: BTreeMap<StepId, NodeIndex>,
    references: Vec<Reference>,
}

impl Builder<'_> {
    fn sequence(&mut self, owner: Owner, name: &str, prefix: &str, steps: Vec<Step>) -> SequenceIndex {
        let index = SequenceIndex(self.sequences.len() as u32);
        self.sequences.push(Sequence { owner, name: Arc::from(name), prefix: Arc::from(prefix), steps: Vec::with_capacity(steps.len()) });
        for (position, step) in steps.into_iter().enumerate() {
            let node = self.node(index, position, prefix, step);
            self.sequences[index.0 as usize].steps.push(node);
        }
        index
    }

    fn node(&mut self, sequence: SequenceIndex, position: usize, prefix: &str, step: Step) -> NodeIndex {
        let index = NodeIndex(self.nodes.len() as u32);
        self.nodes.push(None);
        self.by_id.insert(step.id.clone(), index);
        let path = format!("{prefix}/{position}:{}", step.id);
        let is_fail = matches!(step.kind, StepKind::Fail(_));
        let ends_the_run = is_fail && step.on_error.is_none() && matches!(self.workflow.error_handling.on_failure, OnFailure::Continue);
        let on_error = match step.on_error {
            // What it is there for.
            None if is_fail => CatchOrNot::Fail,
            None => match self.workflow.error_handling.on_failure {
                OnFailure::Fail => CatchOrNot::Fail,
                OnFailure::Continue => CatchOrNot::Continue,
            },
            Some(OnError::Fail) => CatchOrNot::Fail,
            Some(OnError::Continue) => CatchOrNot::Continue,
            Some(OnError::Catch(steps)) => {
                CatchOrNot::Catch(self.sequence(Owner::Catch { node: index }, "catch", &format!("{path}!"), steps))
            }
        };
        let is_call = matches!(step.kind, StepKind::Call(_));
        let kind = self.kind(index, &path, step.kind);
        let node = Node {
            id: step.id,
            path: Path::new(path),
            line: step.line,
            sequence,
            position,
            kind,
            outputs: step.outputs.map(Arc::from),
            when: step.when,
            timeout: step.timeout.or(is_call.then_some(limits::STEP_TIMEOUT)),
            retry: step.retry.or_else(|| self.workflow.error_handling.retry.clone()),
            on_error,
            ends_the_run,
        };
        self.references.extend(references::of(index, &node, step.span));
        self.nodes[index.0 as usize] = Some(node);
        index
    }

    fn kind(&mut self, node: NodeIndex, path: &str, kind: StepKind) -> NodeKind {
        let branch = |builder: &mut Self, index: usize, name: &str, steps: Vec<Step>| {
            builder.sequence(Owner::Branch { node, index }, name, &format!("{path}[{index}]"), steps)
        };
        match kind {
            StepKind::Call(call) => NodeKind::Call(call),
            StepKind::Parallel(Parallel { branches, fail_fast, max_concurrency }) => {
                let branches = branches.into_iter().enumerate().map(|(index, b)| branch(self, index, &b.name, b.steps)).collect();
                let window = max_concurrency.or(NonZeroU32::new(limits::GROUP_CONCURRENCY)).expect("the default is not 0");
                NodeKind::Parallel { branches, fail_fast, window }
            }
            StepKind::Conditional(Conditional { condition, if_true, if_false }) => NodeKind::Conditional {
                condition,
                if_true: branch(self, 0, "if_true", if_true),
                if_false: branch(self, 1, "if_false", if_false),
            },
            StepKind::Switch(Switch { condition, cases, default, on_no_match }) => {
                let count = cases.len();
                NodeKind::Switch {
                    condition,
                    cases: cases.into_iter().enumerate().map(|(index, b)| branch(self, index, &b.name, b.steps)).collect(),
                    default: default.map(|steps| branch(self, count, "default", steps)),
                    on_no_match,
                }
            }
            StepKind::Map(Map { items, binding, body, max_concurrency, tolerate_failures, reduce }) => {
                let body = branch(self, 0, "item", body);
                let reduce = reduce.map(|reduce| {
                    let by = match reduce.by {
                        workflow::ReduceBy::Expression(tree) => ReduceBy::Expression(tree),
                        workflow::ReduceBy::Steps(steps) => {
                            ReduceBy::Steps(self.sequence(Owner::Branch { node, index: 1 }, "reduce", &format!("{path}~[0]"), steps))
                        }
                    };
                    (reduce.initial, by)
                });
                let window = max_concurrency.or(NonZeroU32::new(limits::GROUP_CONCURRENCY)).expect("the default is not 0");
                NodeKind::Map { items, binding: binding.map(Arc::from), body, window, tolerate: tolerate_failures, reduce }
            }
            StepKind::Loop(Loop { test, max_iterations, body }) => {
                NodeKind::Loop { test, max_iterations, body: branch(self, 0, "iteration", body) }
            }
            StepKind::Race(Race { branches }) => NodeKind::Race {
                branches: branches.into_iter().enumerate().map(|(index, b)| branch(self, index, &b.name, b.steps)).collect(),
            },
            StepKind::Workflow(SubWorkflow { reference, inputs }) => NodeKind::Workflow { reference: Arc::from(reference), inputs },
            StepKind::Wait(wait) => NodeKind::Wait(wait.until),
            StepKind::Input(Input { prompt, schema, default }) => NodeKind::Input { prompt, schema, default },
            StepKind::Set(set) => NodeKind::Set(set.value),
            StepKind::Fail(fail) => NodeKind::Fail(fail.error),
        }
    }
}
