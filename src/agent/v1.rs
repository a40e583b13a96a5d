//! A2A 1.0 on the wire.

use crate::a2a::{
    CancelTaskParams, GetTaskParams, ListTasksParams, ListTasksResult, Method, SendMessageParams, SendMessageResponse, StreamResponse,
    SubscribeToTaskParams, Task,
};

use super::error::Failure;
use super::rpc::{self, Id};

/// The value of the version header.
pub(super) const VERSION: &str = "1.0";

pub(super) fn send(id: &str, method: Method, params: &SendMessageParams) -> Vec<u8> {
    rpc::request(id, method.v1(), params)
}

pub(super) fn get(id: &str, params: &GetTaskParams) -> Vec<u8> {
    rpc::request(id, Method::GetTask.v1(), params)
}

pub(super) fn cancel(id: &str, params: &CancelTaskParams) -> Vec<u8> {
    rpc::request(id, Method::CancelTask.v1(), params)
}

pub(super) fn subscribe(id: &str, params: &SubscribeToTaskParams) -> Vec<u8> {
    rpc::request(id, Method::SubscribeToTask.v1(), params)
}

pub(super) fn list(id: &str, params: &ListTasksParams) -> Vec<u8> {
    rpc::request(id, Method::ListTasks.v1(), params)
}

pub(super) fn sent(body: &[u8], id: &str) -> Result<Option<SendMessageResponse>, Failure> {
    rpc::result(body, id, Id::Needed)
}

pub(super) fn event(body: &[u8], id: &str) -> Result<Option<StreamResponse>, Failure> {
    rpc::result(body, id, Id::Needed)
}

pub(super) fn task(body: &[u8], id: &str) -> Result<Option<Task>, Failure> {
    rpc::result(body, id, Id::Needed)
}

pub(super) fn listed(body: &[u8], id: &str) -> Result<Option<ListTasksResult>, Failure> {
    rpc::result(body, id, Id::Needed)
}
