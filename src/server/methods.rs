//! The methods jsonrpsee dispatches: A2A's eleven under their names in both dialects, and the two skills called directly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Extensions, RpcModule};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::ask::{EXECUTE, ROUTE};
use super::auth::Caller;
use super::error::Failure;
use super::plain::{self, Beside};
use super::start::Opened;
use super::state::{Accepted, App};
use super::{query, send};
use crate::a2a::v03::V03;
use crate::a2a::{
    CancelTaskParams, ErrorCode, GetExtendedAgentCardParams, GetTaskParams, ListPushConfigsParams, ListPushConfigsResult, ListTasksParams,
    Message, Method, PushConfigIdParams, SendMessageParams, SendMessageResponse, SubscribeToTaskParams, TaskPushNotificationConfig,
};

/// What travels with a request beside its JSON: who calls, and where a method leaves what JSON-RPC cannot carry.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) caller: Caller,
    /// What callers of the plain protocol say beside the parameters.
    pub(super) beside: Option<Arc<Beside>>,
    pub(super) slot: Arc<Slot>,
}

/// Filled by a method, read by the handler that called jsonrpsee.
#[derive(Default)]
pub(super) struct Slot {
    filled: Mutex<Filled>,
}

/// What a slot holds.
#[derive(Default)]
pub(super) struct Filled {
    /// Answer with a stream instead of the JSON.
    pub(super) stream: Option<Stream>,
    /// Answer with this status.
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after: Option<Duration>,
    /// The method failed.
    pub(super) failed: bool,
}

/// A stream that a method has opened.
pub(super) enum Stream {
    /// Of a task.
    Task {
        opened: Opened,
        dialect: Dialect,
        /// Whether it ends when the task waits for its caller: a send does, a subscription stays.
        until_settled: bool,
    },
    /// Of a direct answer.
    Message { message: Box<Message>, dialect: Dialect },
}

/// The words of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V1,
    V03,
}

impl Slot {
    /// Takes what a method left.
    pub(super) fn take(&self) -> Filled {
        std::mem::take(&mut *self.filled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fill(&self, fill: impl FnOnce(&mut Filled)) {
        fill(&mut self.filled.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Every method. The names are fixed, so that registering them cannot fail twice.
pub(super) fn module(app: Arc<App>) -> RpcModule<Arc<App>> {
    let mut module = RpcModule::new(app);
    for method in Method::ALL {
        register(&mut module, method.v1(), move |call, params, app| a2a_method(method, Dialect::V1, call, params, app));
        if let Some(name) = method.v03() {
            register(&mut module, name, move |call, params, app| a2a_method(method, Dialect::V03, call, params, app));
        }
    }
    register(&mut module, EXECUTE, |call, params, app| async move { raw(&plain::execute(&app, &call, read(&params)?).await?) });
    register(&mut module, ROUTE, |call, params, app| async move { raw(&plain::route(&app, &call, &read(&params)?).await?) });
    module
}

fn register<F>(
    module: &mut RpcModule<Arc<App>>,
    name: &'static str,
    method: impl Fn(Call, Params<'static>, Arc<App>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Result<Box<RawValue>, Failure>> + Send,
{
    let registered = module.register_async_method(name, move |params, app, extensions: Extensions| {
        let (method, app) = (method.clone(), Arc::clone(&*app));
        async move {
            let call = extensions.get::<Call>().cloned().expect("the handler puts the call into every request it hands on");
            let slot = Arc::clone(&call.slot);
            method(call, params, app).await.map_err(|failure| {
                slot.fill(|filled| {
                    filled.failed = true;
                    filled.status = (failure.status != StatusCode::OK).then_some(failure.status);
                    filled.retry_after = failure.retry_after;
                });
                ErrorObjectOwned::from(failure)
            })
        }
    });
    registered.expect("every name is registered once");
}

async fn a2a_method(
    method: Method,
    dialect: Dialect,
    call: Call,
    params: Params<'static>,
    app: Arc<App>,
) -> Result<Box<RawValue>, Failure> {
    let Call { caller, slot, .. } = &call;
    offered(&app, method)?;
    match method {
        Method::SendMessage => {
            let params = send_params(dialect, &params)?;
            let (immediately, history) = params
                .configuration
                .as_ref()
                .map_or((false, None), |configuration| (configuration.return_immediately, configuration.history_length));
            let sent = send::send(&app, caller, params, false).await?;
            let response = match sent.accepted {
                Accepted::Message(message) => SendMessageResponse::Message(*message),
                Accepted::Task(task) => {
                    if !immediately {
                        send::settle(&app, &task).await;
                        if app.stopping.is_cancelled() {
                            // It goes on after the restart, maybe: the answer says how far it has come.
                            query::up_to_date(std::slice::from_ref(&task)).await;
                        }
                        query::goes_on(&app, &task)?;
                    }
                    SendMessageResponse::Task(query::shaped(task.record(), history))
                }
            };
            said(dialect, &response)
        }
        Method::SendStreamingMessage => {
            let sent = send::send(&app, caller, send_params(dialect, &params)?, true).await?;
            let stream = match (sent.accepted, sent.opened) {
                (Accepted::Message(message), _) => Stream::Message { message, dialect },
                (Accepted::Task(_), Some(opened)) => Stream::Task { opened, dialect, until_settled: true },
                (Accepted::Task(task), None) => Stream::Task { opened: task.subscribe(), dialect, until_settled: true },
            };
            slot.fill(|filled| filled.stream = Some(stream));
            raw(&Value::Null)
        }
        Method::SubscribeToTask => {
            let params: SubscribeToTaskParams = read(&params)?;
            let task = query::find(&app, caller, &params.id).await?;
            let opened = task.subscribe();
            if opened.0.status.state.is_terminal() {
                return Err(Failure::new(ErrorCode::UnsupportedOperation, format!("task `{}` has ended; read it with GetTask", params.id)));
            }
            slot.fill(|filled| filled.stream = Some(Stream::Task { opened, dialect, until_settled: false }));
            raw(&Value::Null)
        }
        Method::GetTask => said(dialect, &query::get(&app, caller, read::<GetTaskParams>(&params)?).await?),
        Method::ListTasks => {
            check_status_filter(&params)?;
            raw(&query::list(&app, caller, &read::<ListTasksParams>(&params)?).await?)
        }
        Method::CancelTask => said(dialect, &query::cancel(&app, caller, read::<CancelTaskParams>(&params)?).await?),
        Method::CreateTaskPushNotificationConfig => {
            let config: TaskPushNotificationConfig = either(dialect, &params)?;
            said(dialect, &query::create_webhook(&app, caller, config).await?)
        }
        Method::GetTaskPushNotificationConfig => {
            let params: PushConfigIdParams = either(dialect, &params)?;
            said(dialect, &query::get_webhook(&app, caller, &params).await?)
        }
        Method::ListTaskPushNotificationConfigs => {
            let params: ListPushConfigsParams = either(dialect, &params)?;
            said::<ListPushConfigsResult>(dialect, &query::list_webhooks(&app, caller, &params).await?)
        }
        Method::DeleteTaskPushNotificationConfig => {
            query::delete_webhook(&app, caller, &either::<PushConfigIdParams>(dialect, &params)?).await?;
            match dialect {
                Dialect::V1 => raw(&serde_json::json!({})),
                Dialect::V03 => raw(&Value::Null),
            }
        }
        Method::GetExtendedAgentCard => {
            let _: GetExtendedAgentCardParams = read(&params)?;
            raw(&app.cards.extended(&app.discovery).await?)
        }
    }
}

/// Refuses a method whose capability the card does not declare.
pub(super) fn offered(app: &App, method: Method) -> Result<(), Failure> {
    match method {
        Method::SendMessage | Method::GetTask | Method::ListTasks | Method::CancelTask => Ok(()),
        Method::SendStreamingMessage | Method::SubscribeToTask if app.options.card.streaming => Ok(()),
        Method::SendStreamingMessage | Method::SubscribeToTask => {
            Err(Failure::new(ErrorCode::UnsupportedOperation, "streaming is not offered here; use SendMessage and GetTask"))
        }
        Method::CreateTaskPushNotificationConfig
        | Method::GetTaskPushNotificationConfig
        | Method::ListTaskPushNotificationConfigs
        | Method::DeleteTaskPushNotificationConfig => query::offers_webhooks(app),
        Method::GetExtendedAgentCard => app.cards.offers_extended(),
    }
}

fn send_params(dialect: Dialect, params: &Params<'static>) -> Result<SendMessageParams, Failure> {
    either(dialect, params)
}

/// Reads parameters of the dialect.
fn either<T>(dialect: Dialect, params: &Params<'static>) -> Result<T, Failure>
where
    T: DeserializeOwned,
    V03<T>: DeserializeOwned,
{
    match dialect {
        Dialect::V1 => read(params),
        Dialect::V03 => read::<V03<T>>(params).map(|read| read.0),
    }
}

/// Reads parameters. Without any, those that have defaults.
fn read<T: DeserializeOwned>(params: &Params<'static>) -> Result<T, Failure> {
    let text = params.as_str().map(str::trim).filter(|text| *text != "null").unwrap_or("{}");
    if text.starts_with('[') {
        return Err(Failure::field("params", "must be an object"));
    }
    serde_json::from_str(text).map_err(|error| {
        let description: String = unquoted(&error.to_string()).chars().take(300).collect();
        Failure::field("params", description)
    })
}

/// What serde says about a text in the wrong place, without the text: it may be a secret, a webhook's credentials for one.
fn unquoted(error: &str) -> String {
    match (error.find("string \""), error.rfind("\", expected ")) {
        (Some(from), Some(to)) if from < to => format!("{}string{}", &error[..from], &error[to + 1..]),
        _ => error.to_owned(),
    }
}

/// An unknown state reads as unspecified in answers of others; as a filter it is a mistake.
fn check_status_filter(params: &Params<'static>) -> Result<(), Failure> {
    let params: Value = read(params)?;
    match params.get("status") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(name)) if name == "TASK_STATE_UNSPECIFIED" => Ok(()),
        Some(status) => match serde_json::from_value::<crate::a2a::TaskState>(status.clone()) {
            Ok(state) if state != crate::a2a::TaskState::Unspecified => Ok(()),
            _ => Err(Failure::field("status", "is not a task state")),
        },
    }
}

/// A result in the words of the dialect.
fn said<T>(dialect: Dialect, result: &T) -> Result<Box<RawValue>, Failure>
where
    T: Serialize,
    for<'a> V03<&'a T>: Serialize,
{
    match dialect {
        Dialect::V1 => raw(result),
        Dialect::V03 => raw(&V03(result)),
    }
}

fn raw<T: Serialize + ?Sized>(result: &T) -> Result<Box<RawValue>, Failure> {
    to_raw_value(result).map_err(|error| {
        tracing::error!(%error, "a result cannot be written");
        Failure::new(ErrorCode::InternalError, "the result could not be written")
    })
}

/// A task in the words of its dialect, for streams.
pub(super) fn stream_json(dialect: Dialect, event: &crate::a2a::StreamResponse) -> String {
    let json = match dialect {
        Dialect::V1 => serde_json::to_string(event),
        Dialect::V03 => serde_json::to_string(&V03(event)),
    };
    json.unwrap_or_else(|error| {
        tracing::error!(%error, "an event cannot be written");
        "null".to_owned()
    })
}
