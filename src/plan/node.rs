//! The parts of a plan: nodes (steps) and sequences (lists of steps), both found by index.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use serde_json::Value;

use crate::expression::{Condition, Tree};
use crate::ids::StepId;
use crate::workflow::{Call, LoopTest, NoMatch, Retry, Tolerance, WaitUntil};

/// Where a step stands in a workflow: `/2:par[0]/1:x` is the step `x`, second of branch 0 of the step `par`, third of the workflow.
///
/// It is at once the step's identity, journal key, idempotency key, signal name and label in a picture.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(Arc<str>);

impl Path {
    /// Wraps the text of a path.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The path of the run itself: timers that bound all of it.
    pub fn run() -> Self {
        Self(Arc::from("/"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the step it leads to.
    pub fn step(&self) -> &str {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        last.split_once(':').map_or(last, |(_, id)| id)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A node of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub(super) u32);

/// A list of steps of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SequenceIndex(pub(super) u32);

/// One step, with the workflow's defaults filled in.
#[derive(Debug, Clone)]
pub struct Node {
    /// The author's id.
    pub id: StepId,
    /// Where it stands.
    pub path: Path,
    /// Line in the workflow's text, from 1.
    pub line: usize,
    /// The list it is in.
    pub sequence: SequenceIndex,
    /// Its place in that list.
    pub position: usize,
    /// What it does.
    pub kind: NodeKind,
    /// The name its reply is stored under.
    pub outputs: Option<Arc<str>>,
    /// Guard.
    pub when: Option<Condition>,
    /// Of one attempt (a call), or of the whole group. `None`: a group without a bound.
    pub timeout: Option<Duration>,
    /// Retry policy; `None`: one attempt.
    pub retry: Option<Retry>,
    /// What its failure does.
    pub on_error: CatchOrNot,
    /// A `fail` step whose failure is the run's although the workflow goes on after failures: `on_failure: continue` does not cover it.
    pub ends_the_run: bool,
}

/// What the failure of a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchOrNot {
    /// Its sequence fails.
    Fail,
    /// Its sequence goes on.
    Continue,
    /// This sequence runs instead.
    Catch(SequenceIndex),
}

/// What a step does, with its bodies as sequences.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// One skill call.
    Call(Call),
    /// Branches at once.
    Parallel {
        /// The branches, in order.
        branches: Vec<SequenceIndex>,
        /// The first failure cancels the rest.
        fail_fast: bool,
        /// How many at once.
        window: NonZeroU32,
    },
    /// Either branch.
    Conditional {
        /// The condition.
        condition: Condition,
        /// When it holds.
        if_true: SequenceIndex,
        /// When it does not.
        if_false: SequenceIndex,
    },
    /// One branch by value.
    Switch {
        /// The value.
        condition: Condition,
        /// The cases, in order; a sequence's name is its case.
        cases: Vec<SequenceIndex>,
        /// When no case fits.
        default: Option<SequenceIndex>,
        /// When no case fits and there is no default.
        on_no_match: NoMatch,
    },
    /// The body once for each item.
    Map {
        /// The list.
        items: Tree,
        /// A name for the item beside `item`.
        binding: Option<Arc<str>>,
        /// What is done for each item.
        body: SequenceIndex,
        /// How many at once.
        window: NonZeroU32,
        /// How many items may fail.
        tolerate: Tolerance,
        /// What becomes of the results.
        reduce: Option<(Tree, ReduceBy)>,
    },
    /// The body again and again.
    Loop {
        /// Whether it goes on.
        test: LoopTest,
        /// How often at most.
        max_iterations: NonZeroU32,
        /// What is repeated.
        body: SequenceIndex,
    },
    /// Branches at once, of which the first to succeed counts.
    Race {
        /// The branches, in order.
        branches: Vec<SequenceIndex>,
    },
    /// A run of another workflow.
    Workflow {
        /// Which: `id`, `id:tag` or `id@digest`.
        reference: Arc<str>,
        /// Its input.
        inputs: Tree,
    },
    /// Nothing, for a while.
    Wait(WaitUntil),
    /// A question to a person or the calling agent.
    Input {
        /// What is asked.
        prompt: Tree,
        /// JSON Schema of the answer.
        schema: Option<Arc<Value>>,
        /// The answer when none comes in time.
        default: Option<Tree>,
    },
    /// A value computed from others.
    Set(Tree),
    /// The end, as a failure.
    Fail(Tree),
}

/// How the results of a map become one.
#[derive(Debug, Clone)]
pub enum ReduceBy {
    /// By an expression over `accumulator`, `item` and `index`.
    Expression(Tree),
    /// By steps that see the same names.
    Steps(SequenceIndex),
}

impl NodeKind {
    /// The `step_type` as authors write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call(_) => "sequential",
            Self::Parallel { .. } => "parallel",
            Self::Conditional { .. } => "conditional",
            Self::Switch { .. } => "switch",
            Self::Map { .. } => "map",
            Self::Loop { .. } => "loop",
            Self::Race { .. } => "race",
            Self::Workflow { .. } => "workflow",
            Self::Wait(_) => "wait",
            Self::Input { .. } => "input",
            Self::Set(_) => "set",
            Self::Fail(_) => "fail",
        }
    }
}

/// A list of steps.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// Whose it is.
    pub owner: Owner,
    /// The branch's or case's name.
    pub name: Arc<str>,
    /// What the paths of its steps begin with.
    pub prefix: Arc<str>,
    /// The steps, in order.
    pub steps: Vec<NodeIndex>,
}

/// Whose list of steps it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The workflow's `steps`.
    Root,
    /// One of `error_handling`.
    Handler(Handler),
    /// Branch `index` of a container.
    Branch {
        /// The container.
        node: NodeIndex,
        /// Its branch, from 0.
        index: usize,
    },
    /// The catch branch of a step.
    Catch {
        /// The step that failed.
        node: NodeIndex,
    },
}

/// Handlers of a run, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// After a run that completed.
    OnSuccess,
    /// After a run that failed.
    OnError,
    /// After a run that was canceled.
    OnCancel,
    /// Last, whatever happened.
    Always,
}

impl Handler {
    /// The key as authors write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnSuccess => "on_success",
            Self::OnError => "on_error",
            Self::OnCancel => "on_cancel",
            Self::Always => "always",
        }
    }
}
