//! Facts: what happened outside. They are journalled, so every field here is part of a format that must be readable for ever.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StepError, Timer};
use crate::ids::{Digest, RunId};
use crate::plan::Path;
use crate::time::Timestamp;

/// Version of what the interpreter makes of events. Recorded in every run; a change that would replay old events differently raises it, and
/// a run goes by the version that it began with.
///
/// 2: an answer that did not arrive is passed on again by the retry, its task is canceled when the step gives up, and answers use up no
/// attempts; `always` sees what the run ends as, and runs also when a handler is canceled or executes too many steps; `on_failure: continue`
/// does not cover a `fail` step; percentages of `tolerate_failures` are reckoned exactly.
///
/// 3: a `fail` step that passes on the error of another one has the author's code of that one.
///
/// 4: what follows from one event is done in pieces, if `Started` says so: `Continued` has the next.
pub const SEMANTICS: u32 = 4;

/// One fact. The first of a run is always `Started`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run was accepted.
    Started {
        /// Its id.
        run: RunId,
        /// The plan that it is pinned to.
        workflow: Digest,
        /// See [`SEMANTICS`].
        semantics: u32,
        /// What the caller gave.
        input: Arc<Value>,
        /// The runs above this one, outermost first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ancestry: Vec<Ancestor>,
        /// Pieces of work that are done for one event; what is left waits for `Continued`. Without it all of them are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        work: Option<NonZeroU32>,
        /// When.
        at: Timestamp,
    },
    /// More of what follows from the events before is done. What happened meanwhile came before this: a timer that ran out, the wish to cancel.
    Continued {
        /// Pieces of work.
        work: NonZeroU32,
        /// When.
        at: Timestamp,
    },
    /// What an item of a map came to in the run that this one is a retry of. The item is not begun; comes before its map begins.
    Kept {
        /// The map.
        path: Path,
        /// Which item.
        index: usize,
        /// What it came to.
        value: Arc<Value>,
        /// When.
        at: Timestamp,
    },
    /// An attempt has a value.
    Replied {
        /// Which step.
        path: Path,
        /// Which attempt, from 1.
        attempt: u32,
        /// The skill's value.
        value: Arc<Value>,
        /// Who gave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Arc<AgentUsed>>,
        /// What was asked with. Absent in what older gantries wrote, and where a limit refused the attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Payload>,
        /// When.
        at: Timestamp,
    },
    /// An attempt failed.
    Failed {
        /// Which step.
        path: Path,
        /// Which attempt, from 1.
        attempt: u32,
        /// Why.
        error: StepError,
        /// Who was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Arc<AgentUsed>>,
        /// What was asked with. Absent in what older gantries wrote, and where a limit refused the attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Payload>,
        /// Random bits for the jitter of a retry: randomness comes in as data.
        entropy: u32,
        /// When.
        at: Timestamp,
    },
    /// The agent asks before it goes on.
    Asked {
        /// Which step.
        path: Path,
        /// Which attempt, from 1.
        attempt: u32,
        /// What it asks.
        question: Question,
        /// Who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Arc<AgentUsed>>,
        /// What was asked with. Absent in what older gantries wrote, and where a limit refused the attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Payload>,
        /// When.
        at: Timestamp,
    },
    /// A person or the calling agent answered.
    Answered {
        /// Which step.
        path: Path,
        /// The answer.
        answer: Arc<Value>,
        /// What whoever gave it wants to read again, in words of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Arc<str>>,
        /// When.
        at: Timestamp,
    },
    /// A timer ran out.
    TimerFired {
        /// Whose.
        path: Path,
        /// Which.
        timer: Timer,
        /// When.
        at: Timestamp,
    },
    /// The run and those it belongs to have used up what they may use together. The run itself cannot know.
    Exhausted {
        /// Which bound was met, for people.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody wants the run to end.
    CancelRequested {
        /// Why, for people.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Who had a call that is given up by what is written with this. Nothing follows from it; an attempt that has an outcome says it there.
    Called {
        /// Which step.
        path: Path,
        /// Which attempt, from 1.
        attempt: u32,
        /// Who was asked.
        by: Arc<AgentUsed>,
        /// When it was given up.
        at: Timestamp,
    },
    /// Another process goes on with the run. Nothing follows from it. Written with the next event of the run's own, and only then.
    Resumed {
        /// When it took the run up.
        at: Timestamp,
    },
}

impl Event {
    /// The step that it is about; none for what is about the run.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Kept { path, .. }
            | Self::Replied { path, .. }
            | Self::Failed { path, .. }
            | Self::Asked { path, .. }
            | Self::Answered { path, .. }
            | Self::TimerFired { path, .. }
            | Self::Called { path, .. } => Some(path),
            Self::Started { .. }
            | Self::Continued { .. }
            | Self::Exhausted { .. }
            | Self::CancelRequested { .. }
            | Self::Resumed { .. } => None,
        }
    }

    /// The values that somebody else chose, each with its place in the event's JSON (RFC 6901).
    #[cfg(feature = "service")]
    pub(crate) fn values(&self) -> impl Iterator<Item = (&'static str, &Arc<Value>)> {
        let (first, second) = match self {
            Self::Started { input, .. } => (Some(("/input", input)), None),
            Self::Kept { value, .. } | Self::Replied { value, .. } => (Some(("/value", value)), None),
            Self::Answered { answer, .. } => (Some(("/answer", answer)), None),
            Self::Asked { question: Question { prompt, schema, .. }, .. } => {
                (Some(("/question/prompt", prompt)), schema.as_ref().map(|schema| ("/question/schema", schema)))
            }
            Self::Continued { .. }
            | Self::Failed { .. }
            | Self::TimerFired { .. }
            | Self::Exhausted { .. }
            | Self::CancelRequested { .. }
            | Self::Called { .. }
            | Self::Resumed { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The same [values](Self::values), to be changed.
    #[cfg(feature = "service")]
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Arc<Value>)> {
        let (first, second) = match self {
            Self::Started { input, .. } => (Some(("/input", input)), None),
            Self::Kept { value, .. } | Self::Replied { value, .. } => (Some(("/value", value)), None),
            Self::Answered { answer, .. } => (Some(("/answer", answer)), None),
            Self::Asked { question: Question { prompt, schema, .. }, .. } => {
                (Some(("/question/prompt", prompt)), schema.as_mut().map(|schema| ("/question/schema", schema)))
            }
            Self::Continued { .. }
            | Self::Failed { .. }
            | Self::TimerFired { .. }
            | Self::Exhausted { .. }
            | Self::CancelRequested { .. }
            | Self::Called { .. }
            | Self::Resumed { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The same fact, at another time.
    pub fn stamped(mut self, time: Timestamp) -> Self {
        match &mut self {
            Self::Started { at, .. }
            | Self::Continued { at, .. }
            | Self::Kept { at, .. }
            | Self::Replied { at, .. }
            | Self::Failed { at, .. }
            | Self::Asked { at, .. }
            | Self::Answered { at, .. }
            | Self::TimerFired { at, .. }
            | Self::Exhausted { at, .. }
            | Self::CancelRequested { at, .. }
            | Self::Called { at, .. }
            | Self::Resumed { at } => *at = time,
        }
        self
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Started { at, .. }
            | Self::Continued { at, .. }
            | Self::Kept { at, .. }
            | Self::Replied { at, .. }
            | Self::Failed { at, .. }
            | Self::Asked { at, .. }
            | Self::Answered { at, .. }
            | Self::TimerFired { at, .. }
            | Self::Exhausted { at, .. }
            | Self::CancelRequested { at, .. }
            | Self::Called { at, .. }
            | Self::Resumed { at } => *at,
        }
    }
}

/// A run above this one: what the check for cycles compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// The plan's digest.
    pub digest: Digest,
    /// The workflow's id, for people.
    pub workflow: String,
}

/// The agent that was chosen for an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentUsed {
    /// Its name.
    pub name: String,
    /// Digest of its card: of the manifest in the registry, or of the bytes of one given by hand. None where there is no card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Digest>,
    /// Why it and not another.
    pub reason: String,
}

/// A value, without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// SHA-256 of its JSON.
    pub digest: Digest,
    /// Bytes of its JSON.
    pub bytes: u64,
}

/// A task at an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteTask {
    /// A2A `taskId`.
    pub task_id: String,
    /// A2A `contextId`.
    pub context_id: String,
}

/// What is asked before a step goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The task that waits for the answer; none when the workflow itself asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteTask>,
    /// JSON Schema of the answer, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Arc<Value>>,
    /// True when authorisation is asked for, not data.
    pub auth: bool,
    /// The question as a value.
    pub prompt: Arc<Value>,
}

impl Question {
    /// The question as people read it: its text, else its JSON.
    pub fn text(&self) -> String {
        let text = self.prompt.get("text").filter(|_| self.prompt.as_object().is_some_and(|members| members.len() == 1));
        text.unwrap_or(&self.prompt).as_str().map_or_else(|| self.prompt.to_string(), str::to_owned)
    }
}
