//! Parameters and results of the methods (A2A 1.0, sections 3.1 and 9.4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;
use super::message::Message;
use super::task::{Task, TaskState};

/// `SendMessage` and `SendStreamingMessage`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SendMessageParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The message.
    pub message: Message,
    /// How to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<SendMessageConfiguration>,
    /// Free form.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// How to answer a message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessageConfiguration {
    /// Media types the caller takes; empty: any.
    #[serde(alias = "accepted_output_modes", default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub accepted_output_modes: Vec<String>,
    /// A webhook for the task that is made.
    #[serde(alias = "task_push_notification_config", default, skip_serializing_if = "Option::is_none")]
    pub task_push_notification_config: Option<TaskPushNotificationConfig>,
    /// How much history to answer with: unset the server's default, 0 none, n the latest n.
    #[serde(alias = "history_length", default, skip_serializing_if = "Option::is_none")]
    pub history_length: Option<u32>,
    /// Answer when the task exists instead of when it has ended.
    #[serde(alias = "return_immediately", default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_false")]
    pub return_immediately: bool,
}

/// `GetTask`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetTaskParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which task.
    pub id: String,
    /// How much history to answer with.
    #[serde(alias = "history_length", default, skip_serializing_if = "Option::is_none")]
    pub history_length: Option<u32>,
}

/// `ListTasks`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListTasksParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only tasks of this conversation.
    #[serde(alias = "context_id", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// Only tasks in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskState>,
    /// 1 to 100; unset 50.
    #[serde(alias = "page_size", default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// Where the page before ended.
    #[serde(alias = "page_token", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
    /// How much history to answer with.
    #[serde(alias = "history_length", default, skip_serializing_if = "Option::is_none")]
    pub history_length: Option<u32>,
    /// Only tasks whose status is newer.
    #[serde(alias = "status_timestamp_after", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub status_timestamp_after: Option<String>,
    /// Artifacts too.
    #[serde(alias = "include_artifacts", default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_false")]
    pub include_artifacts: bool,
}

/// The result of `ListTasks`. All members are always there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListTasksResult {
    /// The page, newest status first.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tasks: Vec<Task>,
    /// Empty on the last page.
    #[serde(alias = "next_page_token", default, deserialize_with = "lenient::or_default")]
    pub next_page_token: String,
    /// The size that was used.
    #[serde(alias = "page_size", default)]
    pub page_size: u32,
    /// Tasks on all pages.
    #[serde(alias = "total_size", default)]
    pub total_size: u64,
}

/// `CancelTask`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CancelTaskParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which task.
    pub id: String,
    /// Free form.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// `SubscribeToTask`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SubscribeToTaskParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which task.
    pub id: String,
}

/// A webhook of a task: the parameters and the result of `CreateTaskPushNotificationConfig`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskPushNotificationConfig {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Made by the server when the caller gives none.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which task; empty inside `SendMessage`, where it is not known yet.
    #[serde(alias = "task_id", default, deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub task_id: String,
    /// Where to POST.
    pub url: String,
    /// Sent along, so that the receiver can tell whose it is. A secret.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How to authenticate there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationInfo>,
}

/// How to authenticate at a webhook.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AuthenticationInfo {
    /// An HTTP scheme: `Bearer`, `Basic`.
    pub scheme: String,
    /// A secret.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

// Token and credentials never reach a log.
impl std::fmt::Debug for TaskPushNotificationConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskPushNotificationConfig")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("task_id", &self.task_id)
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("authentication", &self.authentication)
            .finish()
    }
}

impl std::fmt::Debug for AuthenticationInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let credentials = self.credentials.as_ref().map(|_| "***");
        f.debug_struct("AuthenticationInfo").field("scheme", &self.scheme).field("credentials", &credentials).finish()
    }
}

/// `GetTaskPushNotificationConfig` and `DeleteTaskPushNotificationConfig`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushConfigIdParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which task.
    #[serde(alias = "task_id")]
    pub task_id: String,
    /// Which webhook of it.
    pub id: String,
}

/// `ListTaskPushNotificationConfigs`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListPushConfigsParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which task.
    #[serde(alias = "task_id")]
    pub task_id: String,
    /// How many.
    #[serde(alias = "page_size", default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
    /// Where the page before ended.
    #[serde(alias = "page_token", default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// The result of `ListTaskPushNotificationConfigs`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListPushConfigsResult {
    /// The page.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub configs: Vec<TaskPushNotificationConfig>,
    /// Empty on the last page.
    #[serde(alias = "next_page_token", default, deserialize_with = "lenient::or_default")]
    pub next_page_token: String,
}

/// `GetExtendedAgentCard`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GetExtendedAgentCardParams {
    /// The tenant of the interface.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}
