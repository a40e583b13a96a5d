//! The eleven methods under their names in both dialects (A2A 1.0, section 9.4).

/// A method of A2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Sends a message and answers with a task or a message.
    SendMessage,
    /// Sends a message and streams what follows.
    SendStreamingMessage,
    /// Reads a task.
    GetTask,
    /// Lists tasks. Not in 0.3.
    ListTasks,
    /// Cancels a task.
    CancelTask,
    /// Streams a task that exists.
    SubscribeToTask,
    /// Adds a webhook to a task.
    CreateTaskPushNotificationConfig,
    /// Reads a webhook of a task.
    GetTaskPushNotificationConfig,
    /// Lists the webhooks of a task.
    ListTaskPushNotificationConfigs,
    /// Removes a webhook of a task.
    DeleteTaskPushNotificationConfig,
    /// Reads the card that only authenticated callers see.
    GetExtendedAgentCard,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 11] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreateTaskPushNotificationConfig,
        Self::GetTaskPushNotificationConfig,
        Self::ListTaskPushNotificationConfigs,
        Self::DeleteTaskPushNotificationConfig,
        Self::GetExtendedAgentCard,
    ];

    /// The name in A2A 1.0.
    pub fn v1(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreateTaskPushNotificationConfig => "CreateTaskPushNotificationConfig",
            Self::GetTaskPushNotificationConfig => "GetTaskPushNotificationConfig",
            Self::ListTaskPushNotificationConfigs => "ListTaskPushNotificationConfigs",
            Self::DeleteTaskPushNotificationConfig => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedAgentCard => "GetExtendedAgentCard",
        }
    }

    /// The name in A2A 0.3, where it has one.
    pub fn v03(self) -> Option<&'static str> {
        Some(match self {
            Self::SendMessage => "message/send",
            Self::SendStreamingMessage => "message/stream",
            Self::GetTask => "tasks/get",
            Self::ListTasks => return None,
            Self::CancelTask => "tasks/cancel",
            Self::SubscribeToTask => "tasks/resubscribe",
            Self::CreateTaskPushNotificationConfig => "tasks/pushNotificationConfig/set",
            Self::GetTaskPushNotificationConfig => "tasks/pushNotificationConfig/get",
            Self::ListTaskPushNotificationConfigs => "tasks/pushNotificationConfig/list",
            Self::DeleteTaskPushNotificationConfig => "tasks/pushNotificationConfig/delete",
            Self::GetExtendedAgentCard => "agent/getAuthenticatedExtendedCard",
        })
    }

    /// Reads a 1.0 name.
    pub fn parse_v1(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.v1() == name)
    }

    /// Reads a 0.3 name.
    pub fn parse_v03(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.v03() == Some(name))
    }

    /// Whether it answers with a stream of events.
    pub fn streams(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn names_read_back() {
        for method in Method::ALL {
            assert_eq!(Method::parse_v1(method.v1()), Some(method));
            if let Some(name) = method.v03() {
                assert_eq!(Method::parse_v03(name), Some(method));
                assert_eq!(Method::parse_v1(name), None);
            }
        }
        assert_eq!(Method::parse_v1("sendMessage"), None);
    }
}
