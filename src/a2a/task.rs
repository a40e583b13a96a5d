//! Tasks, their states and their artifacts (A2A 1.0, section 4.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;
use super::message::{Message, Part};

/// The states of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum TaskState {
    /// Accepted, not begun.
    #[serde(rename = "TASK_STATE_SUBMITTED")]
    Submitted,
    /// Under way.
    #[serde(rename = "TASK_STATE_WORKING")]
    Working,
    /// Done. Terminal.
    #[serde(rename = "TASK_STATE_COMPLETED")]
    Completed,
    /// Failed. Terminal.
    #[serde(rename = "TASK_STATE_FAILED")]
    Failed,
    /// Canceled. Terminal.
    #[serde(rename = "TASK_STATE_CANCELED")]
    Canceled,
    /// Refused by the agent. Terminal.
    #[serde(rename = "TASK_STATE_REJECTED")]
    Rejected,
    /// Waits for the caller. Interrupted.
    #[serde(rename = "TASK_STATE_INPUT_REQUIRED")]
    InputRequired,
    /// Waits for credentials. Interrupted.
    #[serde(rename = "TASK_STATE_AUTH_REQUIRED")]
    AuthRequired,
    /// Not said, or a state that this version does not know. Never sent by gantry.
    #[default]
    #[serde(rename = "TASK_STATE_UNSPECIFIED", other)]
    Unspecified,
}

impl TaskState {
    /// Nothing follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// The task waits for its caller.
    pub fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The state.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub state: TaskState,
    /// What the agent says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// When, UTC with milliseconds: `2026-01-02T03:04:05.678Z`.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

/// One piece of work at an agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Made by the server only.
    pub id: String,
    /// The conversation.
    #[serde(alias = "context_id", default, deserialize_with = "lenient::or_default")]
    pub context_id: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Its results.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Its messages.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// Free form, keyed by extension.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// A result of a task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Unique in its task.
    #[serde(alias = "artifact_id", default, deserialize_with = "lenient::or_default")]
    pub artifact_id: String,
    /// For people, and for steps that want one of several results.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The content; at least one when sent.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parts: Vec<Part>,
    /// Free form, keyed by extension.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// URIs of the extensions that this artifact uses.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}
