//! What the interpreter remembers of a run. Everything here is rebuilt by replaying events.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{AgentUsed, Outcome, Question, RemoteTask, StepError, StepStatus};
use crate::expression::{SharedValue, StepView};
use crate::ids::StepId;
use crate::plan::{Handler, NodeIndex, SequenceIndex};
use crate::time::Timestamp;

/// A body being executed. Frame 0 is the workflow itself; each repetition of a repeated body is a frame of its own.
#[derive(Debug)]
pub(super) struct Frame {
    /// Whose body it is; none for the workflow itself.
    pub(super) home: Option<Home>,
    /// What the paths of its steps begin with, in place of as many bytes of their static paths.
    pub(super) prefix: Arc<str>,
    pub(super) strip: usize,
    /// Names that belong to this frame.
    pub(super) values: BTreeMap<Arc<str>, Arc<Value>>,
    /// Settled steps, as expressions see them.
    pub(super) views: BTreeMap<StepId, StepView>,
    /// Every step that was started or settled. Boxed: a node of the tree has room for eleven.
    pub(super) states: BTreeMap<NodeIndex, Box<State>>,
    /// Outputs of the last step that ran, for each sequence that was started.
    pub(super) last: BTreeMap<SequenceIndex, Arc<Value>>,
}

/// Where a frame belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    /// The step whose body is executed.
    pub(super) place: Place,
    /// The body.
    pub(super) sequence: SequenceIndex,
    /// Which repetition.
    pub(super) index: usize,
}

/// A frame of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameIndex(pub(super) u32);

/// A step in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) frame: FrameIndex,
    pub(super) node: NodeIndex,
}

/// Where a step is.
#[derive(Debug)]
pub(super) enum State {
    /// A skill call.
    Call(CallState),
    /// Parallel branches.
    Group(GroupState),
    /// One body: a taken branch.
    Body { started_at: Timestamp },
    /// A body for each item.
    Map(MapState),
    /// A body again and again.
    Loop(LoopState),
    /// A timer.
    Wait { started_at: Timestamp },
    /// A question of the workflow's own.
    Input { started_at: Timestamp, question: Question },
    /// It is known how it ended, which is about to be settled. Calls have a phase for it.
    Over { started_at: Option<Timestamp> },
    /// Failed, and its catch branch runs.
    Catching(Record),
    /// Over.
    Settled(Record),
}

impl State {
    /// The frames of the repetitions under way.
    pub(super) fn repetitions(&self) -> Vec<FrameIndex> {
        match self {
            Self::Map(map) => map.frames.values().copied().collect(),
            Self::Loop(repeated) => vec![repeated.frame],
            Self::Call(_)
            | Self::Group(_)
            | Self::Body { .. }
            | Self::Wait { .. }
            | Self::Input { .. }
            | Self::Over { .. }
            | Self::Catching(_)
            | Self::Settled(_) => Vec::new(),
        }
    }
}

/// A skill call that is not over.
#[derive(Debug)]
pub(super) struct CallState {
    pub(super) attempt: u32,
    /// Attempts that failed: answers make further attempts, but are none of the policy's.
    pub(super) failures: u32,
    /// The task that the attempt goes on with, and what it is told: kept until it is known to have arrived.
    pub(super) resume: Option<(RemoteTask, Arc<Value>)>,
    pub(super) inputs: Arc<Value>,
    pub(super) started_at: Timestamp,
    pub(super) phase: CallPhase,
    pub(super) by: Option<Arc<AgentUsed>>,
    /// The last attempt failed because its agent was away, overloaded or too slow.
    pub(super) away: bool,
}

/// What a call waits for.
#[derive(Debug)]
pub(super) enum CallPhase {
    /// The agent.
    InFlight,
    /// The next attempt.
    BackingOff,
    /// An answer.
    Waiting(Question),
    /// Nothing: how it ended is known, and is about to be settled.
    Over,
}

/// Branches under way.
#[derive(Debug)]
pub(super) struct GroupState {
    pub(super) started_at: Timestamp,
    /// The next branch to start.
    pub(super) next: usize,
    pub(super) running: u32,
    /// Outputs of the branches that completed.
    pub(super) results: Vec<Option<Arc<Value>>>,
    pub(super) failures: Vec<(usize, StepError)>,
}

/// Items under way.
#[derive(Debug)]
pub(super) struct MapState {
    pub(super) started_at: Timestamp,
    pub(super) items: SharedValue,
    /// The next item to start.
    pub(super) next: usize,
    pub(super) running: u32,
    /// How many items may fail.
    pub(super) tolerated: usize,
    pub(super) results: Vec<Kept>,
    pub(super) failures: Vec<(usize, StepError)>,
    /// The frames of the items under way.
    pub(super) frames: BTreeMap<usize, FrameIndex>,
    /// Set while the results are being reduced by steps.
    pub(super) reducing: bool,
}

/// What an item came to. As large as a value, so that a list of these becomes a list of values where it stands.
#[derive(Debug, Default)]
pub(super) enum Kept {
    /// Nothing, or nothing yet.
    #[default]
    Nothing,
    /// A value that is no larger than a pointer to it.
    Plain(Value),
    /// A value that others may share.
    Shared(Arc<Value>),
}

impl Kept {
    pub(super) fn of(value: Arc<Value>) -> Self {
        const { assert!(size_of::<Self>() == size_of::<Value>()) };
        match &*value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain((*value).clone()),
            Value::String(_) | Value::Array(_) | Value::Object(_) => Self::Shared(value),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Plain(value) => value,
            Self::Shared(value) => Arc::unwrap_or_clone(value),
        }
    }

    pub(super) fn into_shared(self) -> Arc<Value> {
        match self {
            Self::Nothing => Arc::default(),
            Self::Plain(value) => Arc::new(value),
            Self::Shared(value) => value,
        }
    }
}

/// Repetitions under way.
#[derive(Debug)]
pub(super) struct LoopState {
    pub(super) started_at: Timestamp,
    pub(super) iteration: u32,
    pub(super) frame: FrameIndex,
    pub(super) last: Arc<Value>,
}

/// What is left of a step that is over.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) status: StepStatus,
    pub(super) outputs: Arc<Value>,
    pub(super) error: Option<StepError>,
    pub(super) attempts: u32,
    pub(super) by: Option<Arc<AgentUsed>>,
    pub(super) started_at: Option<Timestamp>,
}

impl Record {
    /// A step that failed before or without an attempt.
    pub(super) fn failed(error: StepError, started_at: Timestamp) -> Self {
        Self {
            status: StepStatus::Failed,
            outputs: Arc::new(Value::Null),
            error: Some(error),
            attempts: 0,
            by: None,
            started_at: Some(started_at),
        }
    }

    /// A group or body that has a value.
    pub(super) fn completed(outputs: Arc<Value>, started_at: Timestamp) -> Self {
        Self { status: StepStatus::Completed, outputs, error: None, attempts: 0, by: None, started_at: Some(started_at) }
    }

    /// A step whose turn was passed over.
    pub(super) fn skipped() -> Self {
        Self { status: StepStatus::Skipped, outputs: Arc::new(Value::Null), error: None, attempts: 0, by: None, started_at: None }
    }
}

/// How a sequence ended.
#[derive(Debug)]
pub(super) enum SequenceEnd {
    /// With the outputs of the last step that ran.
    Completed(Arc<Value>),
    /// With the failure of a step.
    Failed(StepError),
}

/// What is left to do within one transition. A queue instead of recursion: a chain of ten thousand skipped steps must not use the stack.
#[derive(Debug)]
pub(super) enum Work {
    Begin(FrameIndex, SequenceIndex),
    Step(Place),
    Settle(Place, Record),
    /// The next result of a map, with what those before it came to.
    Reduce(Place, usize, Arc<Value>),
    End(FrameIndex, SequenceIndex, SequenceEnd),
}

/// Where a run is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not started.
    New,
    /// The workflow's steps.
    Steps,
    /// The handlers, with what the run will end as, and which of them is under way.
    Handlers { outcome: Outcome, current: Handler },
    /// Over.
    Ended(Outcome),
}
