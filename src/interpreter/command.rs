//! What the interpreter wants done, and what changed for those who watch.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AgentUsed, Outcome, Question, RemoteTask, StepError, StepStatus};
use crate::ids::{SkillId, StepId};
use crate::plan::Path;
use crate::time::Timestamp;

/// What follows from one event.
#[derive(Debug, Default, PartialEq)]
pub struct Transition {
    /// To be carried out, in order, once the event is durable.
    pub commands: Vec<Command>,
    /// To be shown.
    pub changes: Vec<Change>,
    /// More follows, which waits for what was begun before: see [`Run::is_cut`](super::Run::is_cut).
    pub follows: bool,
}

impl Transition {
    /// Adds what follows later.
    pub fn extend(&mut self, later: Self) {
        self.commands.extend(later.commands);
        self.changes.extend(later.changes);
        self.follows |= later.follows;
    }
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Call a skill; answer with `Replied`, `Failed` or `Asked`.
    Call(Invocation),
    /// Cancel the call of this step, at the agent too. No answer is expected.
    CancelCall {
        /// Which step.
        path: Path,
    },
    /// Cancel the task at the agent that waits for an answer: none will come. No answer is expected.
    CancelTask {
        /// Which step.
        path: Path,
        /// The skill that made the task.
        skill: SkillId,
        /// The task is a run of this engine itself.
        own: bool,
        /// The agent that has it.
        agent: Option<String>,
        /// The task.
        remote: RemoteTask,
    },
    /// Answer with `TimerFired` when it is due.
    StartTimer {
        /// Whose.
        path: Path,
        /// Which.
        timer: Timer,
        /// When.
        due: Timestamp,
    },
    /// Forget a timer.
    CancelTimer {
        /// Whose.
        path: Path,
        /// Which.
        timer: Timer,
    },
}

/// One attempt at a skill.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// Which step.
    pub path: Path,
    /// Its id, for messages.
    pub step: StepId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The skill.
    pub skill: SkillId,
    /// A sub-workflow: it is run by this engine itself, whoever else offers the skill.
    pub own: bool,
    /// Only this agent: the author's wish, or the one that asked when this is an answer.
    pub agent: Option<String>,
    /// The inputs, templates resolved.
    pub inputs: Arc<Value>,
    /// How long the attempt may take.
    pub timeout: Duration,
    /// How large its reply may be, in bytes of JSON, when the workflow bounds it (`limits.max_payload`).
    pub reply_bytes_max: Option<u64>,
    /// The task that these inputs answer.
    pub resume: Option<RemoteTask>,
    /// Who could not do it the attempt before: away, overloaded or too slow. Somebody else is asked first, if there is one.
    pub after: Option<Arc<AgentUsed>>,
}

/// The timers a step or run can have, at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The next attempt is due.
    Retry,
    /// A group, a question or the run takes too long.
    Deadline,
    /// A `wait` step is over.
    Wait,
}

/// News of a run, for progress displays, streams and tasks. A function of the events.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The run was accepted.
    RunStarted,
    /// An attempt begins, or a group starts its branches.
    StepStarted {
        /// Which step.
        path: Path,
        /// Its id.
        step: StepId,
        /// The skill, for a call.
        skill: Option<SkillId>,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// An attempt failed and another will follow.
    StepRetrying {
        /// Which step.
        path: Path,
        /// Its id.
        step: StepId,
        /// The attempt that will follow.
        attempt: u32,
        /// When.
        due: Timestamp,
        /// Why the last one failed.
        error: StepError,
    },
    /// The step waits for an answer.
    StepWaiting {
        /// Which step.
        path: Path,
        /// Its id.
        step: StepId,
        /// What is asked.
        question: Question,
    },
    /// The step is over.
    StepFinished {
        /// Which step.
        path: Path,
        /// Its id.
        step: StepId,
        /// Its `step_type`.
        kind: &'static str,
        /// How.
        status: StepStatus,
        /// Its outputs.
        outputs: Arc<Value>,
        /// Why it failed.
        error: Option<StepError>,
        /// Attempts made.
        attempts: u32,
        /// Who did it.
        by: Option<Arc<AgentUsed>>,
    },
    /// The run is over; nothing follows.
    RunFinished {
        /// How.
        outcome: Outcome,
    },
}
