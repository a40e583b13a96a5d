//! What can be told of a run: statuses, outcome, snapshot.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AgentUsed, Question, StepError};
use crate::ids::{RunId, SkillId, StepId};
use crate::plan::Path;
use crate::time::Timestamp;

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Its turn has not come, or never came.
    Pending,
    /// Under way.
    Running,
    /// Waits for an answer.
    Waiting,
    /// Has outputs.
    Completed,
    /// Failed for good.
    Failed,
    /// Its guard did not hold, or its branch was not taken.
    Skipped,
    /// Ended with its group or run.
    Canceled,
}

impl StepStatus {
    /// As it is written in JSON and seen by expressions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
        }
    }
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Under way.
    Running,
    /// At least one step waits for an answer. Others may still be under way.
    InputRequired,
    /// Ended well.
    Completed,
    /// Ended by a failure.
    Failed,
    /// Ended by somebody's wish.
    Canceled,
}

impl RunStatus {
    /// As it is written in JSON and seen by expressions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// The status that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::InputRequired, Self::Completed, Self::Failed, Self::Canceled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// With an output.
    Completed {
        /// The workflow's output.
        output: Arc<Value>,
    },
    /// With an error. What steps had finished is in their reports.
    Failed {
        /// Why.
        error: StepError,
    },
    /// By somebody's wish.
    Canceled {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The status it gives the run.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Completed { .. } => RunStatus::Completed,
            Self::Failed { .. } => RunStatus::Failed,
            Self::Canceled { .. } => RunStatus::Canceled,
        }
    }
}

/// A run as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The run.
    pub run: RunId,
    /// Where it is.
    pub status: RunStatus,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When something of it last changed that can be seen.
    #[serde(skip)]
    pub changed_at: Timestamp,
    /// The notes that came with its answers, the first first.
    #[serde(skip)]
    pub notes: Vec<Arc<str>>,
    /// Every step of the plan in the author's order, handlers last.
    pub steps: Vec<StepReport>,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Where it stands in the workflow.
    pub path: Path,
    /// The author's id.
    pub id: StepId,
    /// `step_type`.
    pub kind: &'static str,
    /// The skill, for a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<SkillId>,
    /// Where it is.
    pub status: StepStatus,
    /// Null until it has completed.
    pub outputs: Arc<Value>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Attempts made.
    pub attempts: u32,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<AgentUsed>>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}
