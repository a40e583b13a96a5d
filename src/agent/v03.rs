//! A2A 0.3 on the wire.

use crate::a2a::v03::V03;
use crate::a2a::{
    CancelTaskParams, GetTaskParams, Method, SendMessageParams, SendMessageResponse, StreamResponse, SubscribeToTaskParams, Task,
};

use super::error::Failure;
use super::rpc::{self, Id};

/// The value of the version header.
pub(super) const VERSION: &str = "0.3";

pub(super) fn send(id: &str, method: Method, params: &SendMessageParams) -> Vec<u8> {
    rpc::request(id, name(method), V03(params))
}

pub(super) fn get(id: &str, params: &GetTaskParams) -> Vec<u8> {
    rpc::request(id, name(Method::GetTask), params)
}

pub(super) fn cancel(id: &str, params: &CancelTaskParams) -> Vec<u8> {
    rpc::request(id, name(Method::CancelTask), params)
}

pub(super) fn subscribe(id: &str, params: &SubscribeToTaskParams) -> Vec<u8> {
    rpc::request(id, name(Method::SubscribeToTask), params)
}

pub(super) fn sent(body: &[u8], id: &str) -> Result<Option<SendMessageResponse>, Failure> {
    result(body, id)
}

pub(super) fn event(body: &[u8], id: &str) -> Result<Option<StreamResponse>, Failure> {
    result(body, id)
}

pub(super) fn task(body: &[u8], id: &str) -> Result<Option<Task>, Failure> {
    result(body, id)
}

fn result<T>(body: &[u8], id: &str) -> Result<Option<T>, Failure>
where
    V03<T>: serde::de::DeserializeOwned,
{
    Ok(rpc::result::<V03<T>>(body, id, Id::Needed)?.map(|result| result.0))
}

fn name(method: Method) -> &'static str {
    method.v03().expect("the client calls no method that 0.3 lacks")
}
