//! What a send answers, and what a stream or webhook delivers (A2A 1.0, section 3.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;
use super::message::Message;
use super::task::{Artifact, Task, TaskStatus};

/// The result of `SendMessage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "SendWire")]
pub enum SendMessageResponse {
    /// A task was made, or went on.
    Task(Task),
    /// The answer itself.
    Message(Message),
}

/// One event of a stream, and the body of a push notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "StreamWire")]
pub enum StreamResponse {
    /// A snapshot.
    Task(Task),
    /// The answer itself; ends the stream.
    Message(Message),
    /// The task moved.
    StatusUpdate(TaskStatusUpdate),
    /// A result, or a piece of one.
    ArtifactUpdate(TaskArtifactUpdate),
}

impl From<SendMessageResponse> for StreamResponse {
    fn from(response: SendMessageResponse) -> Self {
        match response {
            SendMessageResponse::Task(task) => Self::Task(task),
            SendMessageResponse::Message(message) => Self::Message(message),
        }
    }
}

/// The task moved.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatusUpdate {
    /// Which task.
    #[serde(alias = "task_id")]
    pub task_id: String,
    /// The conversation.
    #[serde(alias = "context_id", default, deserialize_with = "lenient::or_default")]
    pub context_id: String,
    /// Where it stands now.
    pub status: TaskStatus,
    /// Free form.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// A result, or a piece of one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskArtifactUpdate {
    /// Which task.
    #[serde(alias = "task_id")]
    pub task_id: String,
    /// The conversation.
    #[serde(alias = "context_id", default, deserialize_with = "lenient::or_default")]
    pub context_id: String,
    /// The artifact, or the parts to add to it.
    pub artifact: Artifact,
    /// The parts go behind those already sent with this `artifactId`.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_false")]
    pub append: bool,
    /// The artifact is complete.
    #[serde(alias = "last_chunk", default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_false")]
    pub last_chunk: bool,
    /// Free form.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// One of several members, the others absent or `null`, unknown ones ignored: what an externally tagged enum would refuse.
#[derive(Deserialize)]
struct SendWire {
    task: Option<Task>,
    message: Option<Message>,
}

impl TryFrom<SendWire> for SendMessageResponse {
    type Error = &'static str;

    fn try_from(wire: SendWire) -> Result<Self, Self::Error> {
        match (wire.task, wire.message) {
            (Some(task), None) => Ok(Self::Task(task)),
            (None, Some(message)) => Ok(Self::Message(message)),
            (None, None) => Err("the result has neither task nor message"),
            (Some(_), Some(_)) => Err("the result has both task and message"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamWire {
    task: Option<Task>,
    message: Option<Message>,
    #[serde(alias = "status_update")]
    status_update: Option<TaskStatusUpdate>,
    #[serde(alias = "artifact_update")]
    artifact_update: Option<TaskArtifactUpdate>,
}

impl TryFrom<StreamWire> for StreamResponse {
    type Error = &'static str;

    fn try_from(wire: StreamWire) -> Result<Self, Self::Error> {
        match (wire.task, wire.message, wire.status_update, wire.artifact_update) {
            (Some(task), None, None, None) => Ok(Self::Task(task)),
            (None, Some(message), None, None) => Ok(Self::Message(message)),
            (None, None, Some(update), None) => Ok(Self::StatusUpdate(update)),
            (None, None, None, Some(update)) => Ok(Self::ArtifactUpdate(update)),
            (None, None, None, None) => Err("the event has none of task, message, statusUpdate and artifactUpdate"),
            _ => Err("the event has more than one of task, message, statusUpdate and artifactUpdate"),
        }
    }
}
