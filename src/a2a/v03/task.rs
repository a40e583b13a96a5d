//! Tasks, artifacts and events in 0.3: kebab-case states, `kind`, and `final` on status updates.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::V03;
use super::message::{Each, all};
use crate::a2a::lenient;
use crate::a2a::{
    Artifact, Message, Part, SendMessageResponse, StreamResponse, Task, TaskArtifactUpdate, TaskState, TaskStatus, TaskStatusUpdate,
};

impl Serialize for V03<TaskState> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            TaskState::Unspecified => "unknown",
            TaskState::Submitted => "submitted",
            TaskState::Working => "working",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
            TaskState::Canceled => "canceled",
            TaskState::Rejected => "rejected",
            TaskState::InputRequired => "input-required",
            TaskState::AuthRequired => "auth-required",
        })
    }
}

impl<'de> Deserialize<'de> for V03<TaskState> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self(match name.as_str() {
            "submitted" => TaskState::Submitted,
            "working" => TaskState::Working,
            "completed" => TaskState::Completed,
            "failed" => TaskState::Failed,
            "canceled" => TaskState::Canceled,
            "rejected" => TaskState::Rejected,
            "input-required" => TaskState::InputRequired,
            "auth-required" => TaskState::AuthRequired,
            _ => TaskState::Unspecified,
        }))
    }
}

impl Serialize for V03<&TaskStatus> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", &V03(self.0.state))?;
        if let Some(message) = &self.0.message {
            map.serialize_entry("message", &V03(message))?;
        }
        if let Some(timestamp) = &self.0.timestamp {
            map.serialize_entry("timestamp", timestamp)?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
struct StatusWire {
    state: V03<TaskState>,
    message: Option<V03<Message>>,
    #[serde(default, deserialize_with = "lenient::text")]
    timestamp: Option<String>,
}

impl<'de> Deserialize<'de> for V03<TaskStatus> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StatusWire { state, message, timestamp } = StatusWire::deserialize(deserializer)?;
        Ok(Self(TaskStatus { state: state.0, message: message.map(|message| message.0), timestamp }))
    }
}

impl Serialize for V03<&Artifact> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let artifact = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("artifactId", &artifact.artifact_id)?;
        if let Some(name) = &artifact.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(description) = &artifact.description {
            map.serialize_entry("description", description)?;
        }
        map.serialize_entry("parts", &Each(&artifact.parts))?;
        if !artifact.metadata.is_empty() {
            map.serialize_entry("metadata", &artifact.metadata)?;
        }
        if !artifact.extensions.is_empty() {
            map.serialize_entry("extensions", &artifact.extensions)?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactWire {
    #[serde(default, deserialize_with = "lenient::or_default")]
    artifact_id: String,
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    description: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    parts: Vec<V03<Part>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    extensions: Vec<String>,
}

impl<'de> Deserialize<'de> for V03<Artifact> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ArtifactWire { artifact_id, name, description, parts, metadata, extensions } = ArtifactWire::deserialize(deserializer)?;
        Ok(Self(Artifact { artifact_id, name, description, parts: all(parts), metadata, extensions }))
    }
}

impl Serialize for V03<&Task> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let task = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "task")?;
        map.serialize_entry("id", &task.id)?;
        map.serialize_entry("contextId", &task.context_id)?;
        map.serialize_entry("status", &V03(&task.status))?;
        if !task.artifacts.is_empty() {
            map.serialize_entry("artifacts", &Each(&task.artifacts))?;
        }
        if !task.history.is_empty() {
            map.serialize_entry("history", &Each(&task.history))?;
        }
        if !task.metadata.is_empty() {
            map.serialize_entry("metadata", &task.metadata)?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskWire {
    id: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    context_id: String,
    status: V03<TaskStatus>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    artifacts: Vec<V03<Artifact>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    history: Vec<V03<Message>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
}

impl<'de> Deserialize<'de> for V03<Task> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let TaskWire { id, context_id, status, artifacts, history, metadata } = TaskWire::deserialize(deserializer)?;
        Ok(Self(Task { id, context_id, status: status.0, artifacts: all(artifacts), history: all(history), metadata }))
    }
}

impl Serialize for V03<&SendMessageResponse> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            SendMessageResponse::Task(task) => V03(task).serialize(serializer),
            SendMessageResponse::Message(message) => V03(message).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for V03<SendMessageResponse> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match V03::<StreamResponse>::deserialize(deserializer)?.0 {
            StreamResponse::Task(task) => Ok(Self(SendMessageResponse::Task(task))),
            StreamResponse::Message(message) => Ok(Self(SendMessageResponse::Message(message))),
            StreamResponse::StatusUpdate(_) | StreamResponse::ArtifactUpdate(_) => {
                Err(de::Error::custom("the result is an update, not a task or message"))
            }
        }
    }
}

impl Serialize for V03<&StreamResponse> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            StreamResponse::Task(task) => V03(task).serialize(serializer),
            StreamResponse::Message(message) => V03(message).serialize(serializer),
            StreamResponse::StatusUpdate(update) => {
                let state = update.status.state;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("kind", "status-update")?;
                map.serialize_entry("taskId", &update.task_id)?;
                map.serialize_entry("contextId", &update.context_id)?;
                map.serialize_entry("status", &V03(&update.status))?;
                map.serialize_entry("final", &(state.is_terminal() || state.is_interrupted()))?;
                if !update.metadata.is_empty() {
                    map.serialize_entry("metadata", &update.metadata)?;
                }
                map.end()
            }
            StreamResponse::ArtifactUpdate(update) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("kind", "artifact-update")?;
                map.serialize_entry("taskId", &update.task_id)?;
                map.serialize_entry("contextId", &update.context_id)?;
                map.serialize_entry("artifact", &V03(&update.artifact))?;
                map.serialize_entry("append", &update.append)?;
                map.serialize_entry("lastChunk", &update.last_chunk)?;
                if !update.metadata.is_empty() {
                    map.serialize_entry("metadata", &update.metadata)?;
                }
                map.end()
            }
        }
    }
}

/// Every member that any of the four kinds has. Read at once, so that no value is built twice; `kind` then decides,
/// and agents that leave it out are read by their members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventWire {
    kind: Option<String>,
    id: Option<String>,
    message_id: Option<String>,
    role: Option<String>,
    task_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    context_id: String,
    status: Option<V03<TaskStatus>>,
    artifact: Option<V03<Artifact>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    append: bool,
    #[serde(default, deserialize_with = "lenient::or_default")]
    last_chunk: bool,
    #[serde(default, deserialize_with = "lenient::or_default")]
    parts: Vec<V03<Part>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    artifacts: Vec<V03<Artifact>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    history: Vec<V03<Message>>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    extensions: Vec<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    reference_task_ids: Vec<String>,
}

impl EventWire {
    fn kind(&self) -> Option<&'static str> {
        match self.kind.as_deref() {
            Some("task") => Some("task"),
            Some("message") => Some("message"),
            Some("status-update") => Some("status-update"),
            Some("artifact-update") => Some("artifact-update"),
            Some(_) => None,
            None if self.artifact.is_some() => Some("artifact-update"),
            None if self.message_id.is_some() => Some("message"),
            None if self.id.is_some() && self.status.is_some() => Some("task"),
            None if self.status.is_some() => Some("status-update"),
            None => None,
        }
    }
}

impl<'de> Deserialize<'de> for V03<StreamResponse> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = EventWire::deserialize(deserializer)?;
        let missing = |name: &'static str| de::Error::missing_field(name);
        Ok(Self(match wire.kind() {
            Some("task") => StreamResponse::Task(Task {
                id: wire.id.ok_or_else(|| missing("id"))?,
                context_id: wire.context_id,
                status: wire.status.ok_or_else(|| missing("status"))?.0,
                artifacts: all(wire.artifacts),
                history: all(wire.history),
                metadata: wire.metadata,
            }),
            Some("message") => StreamResponse::Message(message(wire).ok_or_else(|| missing("messageId"))?),
            Some("status-update") => StreamResponse::StatusUpdate(TaskStatusUpdate {
                task_id: wire.task_id.ok_or_else(|| missing("taskId"))?,
                context_id: wire.context_id,
                status: wire.status.ok_or_else(|| missing("status"))?.0,
                metadata: wire.metadata,
            }),
            Some(_) => StreamResponse::ArtifactUpdate(TaskArtifactUpdate {
                task_id: wire.task_id.ok_or_else(|| missing("taskId"))?,
                context_id: wire.context_id,
                artifact: wire.artifact.ok_or_else(|| missing("artifact"))?.0,
                append: wire.append,
                last_chunk: wire.last_chunk,
                metadata: wire.metadata,
            }),
            None => return Err(de::Error::custom("neither a task, a message, a status-update nor an artifact-update")),
        }))
    }
}

fn message(wire: EventWire) -> Option<Message> {
    let role = match wire.role.as_deref() {
        Some("user") => crate::a2a::Role::User,
        Some("agent") => crate::a2a::Role::Agent,
        _ => crate::a2a::Role::Unspecified,
    };
    Some(Message {
        message_id: wire.message_id?,
        context_id: Some(wire.context_id).filter(|id| !id.is_empty()),
        task_id: wire.task_id.filter(|id| !id.is_empty()),
        role,
        parts: all(wire.parts),
        metadata: wire.metadata,
        extensions: wire.extensions,
        reference_task_ids: wire.reference_task_ids,
    })
}
