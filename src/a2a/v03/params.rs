//! Parameters and results in 0.3: `blocking` instead of `returnImmediately`, webhooks one level down.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::V03;
use crate::a2a::lenient;
use crate::a2a::{
    AuthenticationInfo, ListPushConfigsParams, ListPushConfigsResult, Message, PushConfigIdParams, SendMessageConfiguration,
    SendMessageParams, TaskPushNotificationConfig,
};

#[derive(Serialize)]
struct SendOut<'a> {
    message: V03<&'a Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<ConfigurationOut<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationOut<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    accepted_output_modes: &'a [String],
    blocking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_notification_config: Option<PushWire>,
}

impl Serialize for V03<&SendMessageParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let configuration = self.0.configuration.as_ref().map(|configuration| ConfigurationOut {
            accepted_output_modes: &configuration.accepted_output_modes,
            blocking: !configuration.return_immediately,
            history_length: configuration.history_length,
            push_notification_config: configuration.task_push_notification_config.as_ref().map(PushWire::from),
        });
        SendOut { message: V03(&self.0.message), configuration, metadata: &self.0.metadata }.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct SendIn {
    message: V03<Message>,
    configuration: Option<ConfigurationIn>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationIn {
    #[serde(default, deserialize_with = "lenient::or_default")]
    accepted_output_modes: Vec<String>,
    /// Unset blocks, as the reference server does.
    blocking: Option<bool>,
    history_length: Option<u32>,
    push_notification_config: Option<PushWire>,
}

impl<'de> Deserialize<'de> for V03<SendMessageParams> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SendIn { message, configuration, metadata } = SendIn::deserialize(deserializer)?;
        let configuration = configuration.map(|configuration| SendMessageConfiguration {
            accepted_output_modes: configuration.accepted_output_modes,
            task_push_notification_config: configuration.push_notification_config.map(|push| push.with_task(String::new())),
            history_length: configuration.history_length,
            return_immediately: configuration.blocking == Some(false),
        });
        Ok(Self(SendMessageParams { tenant: None, message: message.0, configuration, metadata }))
    }
}

/// A webhook without its task.
#[derive(Serialize, Deserialize)]
struct PushWire {
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    url: String,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authentication: Option<AuthenticationWire>,
}

/// 0.3 lists schemes; the first is the one that is used.
#[derive(Serialize, Deserialize)]
struct AuthenticationWire {
    #[serde(default, deserialize_with = "lenient::or_default")]
    schemes: Vec<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    credentials: Option<String>,
}

impl From<&TaskPushNotificationConfig> for PushWire {
    fn from(config: &TaskPushNotificationConfig) -> Self {
        Self {
            id: config.id.clone(),
            url: config.url.clone(),
            token: config.token.clone(),
            authentication: config.authentication.as_ref().map(|authentication| AuthenticationWire {
                schemes: vec![authentication.scheme.clone()],
                credentials: authentication.credentials.clone(),
            }),
        }
    }
}

impl PushWire {
    fn with_task(self, task_id: String) -> TaskPushNotificationConfig {
        let authentication = self.authentication.and_then(|authentication| {
            let scheme = authentication.schemes.into_iter().next()?;
            Some(AuthenticationInfo { scheme, credentials: authentication.credentials })
        });
        TaskPushNotificationConfig { tenant: None, id: self.id, task_id, url: self.url, token: self.token, authentication }
    }
}

/// A webhook with its task.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskPushWire {
    task_id: String,
    push_notification_config: PushWire,
}

impl Serialize for V03<&TaskPushNotificationConfig> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TaskPushWire { task_id: self.0.task_id.clone(), push_notification_config: self.0.into() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for V03<TaskPushNotificationConfig> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let TaskPushWire { task_id, push_notification_config } = TaskPushWire::deserialize(deserializer)?;
        Ok(Self(push_notification_config.with_task(task_id)))
    }
}

/// `id` is the task here. Without `pushNotificationConfigId` (allowed when reading) the id of the webhook is empty.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PushIdWire {
    id: String,
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    push_notification_config_id: String,
}

impl Serialize for V03<&PushConfigIdParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PushIdWire { id: self.0.task_id.clone(), push_notification_config_id: self.0.id.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for V03<PushConfigIdParams> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PushIdWire { id, push_notification_config_id } = PushIdWire::deserialize(deserializer)?;
        Ok(Self(PushConfigIdParams { tenant: None, task_id: id, id: push_notification_config_id }))
    }
}

impl Serialize for V03<&ListPushConfigsParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PushIdWire { id: self.0.task_id.clone(), push_notification_config_id: String::new() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for V03<ListPushConfigsParams> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PushIdWire { id, .. } = PushIdWire::deserialize(deserializer)?;
        Ok(Self(ListPushConfigsParams { task_id: id, ..ListPushConfigsParams::default() }))
    }
}

impl Serialize for V03<&ListPushConfigsResult> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.configs.iter().map(V03))
    }
}

impl<'de> Deserialize<'de> for V03<ListPushConfigsResult> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let configs = Vec::<V03<TaskPushNotificationConfig>>::deserialize(deserializer)?;
        Ok(Self(ListPushConfigsResult { configs: configs.into_iter().map(|config| config.0).collect(), next_page_token: String::new() }))
    }
}
