//! One POST: who calls, may they enter, the body, what must hold before jsonrpsee, jsonrpsee, and what the method left beside
//! its JSON. jsonrpsee stays the only dispatcher.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jsonrpsee::types::{ErrorCode as RpcCode, ErrorObjectOwned, Params};
use jsonrpsee::{ConnectionId, Extensions, MethodCallback, MethodResponse, Methods};
use serde_json::{Value, json};

use super::ask::{EXECUTE, WORKFLOW_PREFIX};
use super::envelope::{Envelope, Refusal};
use super::error::{Failure, OwnCode};
use super::methods::{self, Call, Slot};
use super::plain::Beside;
use super::state::App;
use super::stream;
use crate::a2a::{EXTENSIONS_HEADER, ErrorCode, Method, VERSION_HEADER};

/// The dispatcher and what it serves. Cheap to clone.
#[derive(Clone)]
pub(super) struct Rpc {
    pub(super) app: Arc<App>,
    methods: Methods,
}

/// How errors are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As A2A says.
    A2a,
    /// As the prototype's agents do: every failure of a method has the code -1.
    Prototype,
}

impl Rpc {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { methods: methods::module(Arc::clone(&app)).into(), app }
    }
}

/// `POST /` and its other paths.
pub(super) async fn serve(State(rpc): State<Rpc>, request: Request) -> Response {
    answer(rpc, request, Manner::A2a).await
}

/// `POST /execute`.
pub(super) async fn serve_plain(State(rpc): State<Rpc>, request: Request) -> Response {
    answer(rpc, request, Manner::Prototype).await
}

async fn answer(rpc: Rpc, request: Request, manner: Manner) -> Response {
    let app = &rpc.app;
    let (parts, body) = request.into_parts();
    let entered = app.auth.caller(&parts.headers).and_then(|caller| Ok((app.admission.enter(&caller)?, caller)));
    let (_permit, caller) = match entered {
        Ok(entered) => entered,
        Err(failure) => return refuse(&Value::Null, &failure),
    };
    let body = match read_body(app, &parts.headers, body).await {
        Ok(body) => body,
        Err(failure) => return refuse(&Value::Null, &failure),
    };
    let envelope = match Envelope::read(&body, app.options.limits.depth_max) {
        Ok(envelope) => envelope,
        Err(Refusal { id, failure }) => return refuse(&id, &failure),
    };
    if let Err(failure) = negotiate(app, &parts.headers, parts.uri.query(), &envelope.method) {
        return refuse(&envelope.id, &failure);
    }
    let slot = Arc::new(Slot::default());
    let span = tracing::debug_span!("request", method = %envelope.method.chars().take(64).collect::<String>());
    let dispatched = dispatch(&rpc.methods, &envelope, Call { caller, slot: Arc::clone(&slot), beside: Beside::of(&parts.headers) });
    let Envelope { id, method, .. } = envelope;
    // What was read is in a buffer of the connection, which needs another as long as this one is held.
    drop(body);
    let dispatched = AssertUnwindSafe(tracing::Instrument::instrument(dispatched, span)).catch_unwind().await;
    let Ok(response) = dispatched else {
        tracing::error!(method = %method.chars().take(64).collect::<String>(), "a method broke");
        return refuse(&id, &Failure::new(ErrorCode::InternalError, "gantry failed; the cause is in its log"));
    };
    let filled = slot.take();
    if let Some(stream) = filled.stream {
        return stream::respond(&id, stream);
    }
    let json = match manner {
        Manner::Prototype if filled.failed && filled.status.is_none() => with_code_of_prototype(&response),
        Manner::Prototype | Manner::A2a => Box::<str>::from(response.into_json()).into_string(),
    };
    let mut response = ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response();
    if let Some(status) = filled.status {
        *response.status_mut() = status;
    }
    if let Some(after) = filled.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// The method that jsonrpsee has under the name. The prototype's callers use a skill's id as the method; a workflow's own skill becomes
/// the method that runs it.
fn dispatch(methods: &Methods, envelope: &Envelope<'_>, call: Call) -> BoxFuture<'static, MethodResponse> {
    let id = envelope.rpc_id();
    let (name, params) = match envelope.method.strip_prefix(WORKFLOW_PREFIX) {
        None => (&*envelope.method, Params::new(envelope.params).into_owned()),
        Some(workflow) => match serde_json::from_str::<Value>(envelope.params.unwrap_or("{}")) {
            Ok(input) => {
                let params = json!({ "workflow_id": workflow, "input": input }).to_string();
                (EXECUTE, Params::new(Some(&params)).into_owned())
            }
            // What cannot be read is refused there, with the reason.
            Err(_) => (EXECUTE, Params::new(envelope.params).into_owned()),
        },
    };
    let Some(MethodCallback::Async(method)) = methods.method(name) else {
        return future::ready(MethodResponse::error(id, ErrorObjectOwned::from(RpcCode::MethodNotFound))).boxed();
    };
    let mut extensions = Extensions::new();
    extensions.insert(call);
    // Requests are told apart by what is in them: all have the same connection.
    method(id, params, ConnectionId::default(), usize::MAX, extensions)
}

/// Reads the body within its bounds of size and time.
async fn read_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let limits = &app.options.limits;
    let too_large = || Failure::own(OwnCode::TooLarge, format!("the body is larger than {} bytes", limits.body_bytes_max));
    if !is_json(headers) {
        return Err(Failure::media_type("the Content-Type must be application/json or application/a2a+json"));
    }
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > limits.body_bytes_max as u64) {
        return Err(too_large());
    }
    let expected = told.and_then(|length| usize::try_from(length).ok()).unwrap_or(limits.body_bytes_max);
    let _room = app.admission.body(expected)?;
    let reading = Limited::new(body, limits.body_bytes_max).collect();
    match tokio::time::timeout(limits.body_timeout, reading).await {
        Err(_) => Err(Failure::own(OwnCode::TooSlow, format!("the body did not arrive within {} s", limits.body_timeout.as_secs()))),
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::new(ErrorCode::ParseError, "the body broke off")),
    }
}

/// JSON by any of its names, with any parameters. Clients that name no type mean JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(named) = headers.get(CONTENT_TYPE) else { return true };
    let named = named.to_str().unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "application/a2a+json" | "application/json-rpc" | "application/jsonrequest")
}

/// The version, what is offered at all, and the extensions that must be spoken: in this order, so that a caller is not sent
/// for an extension to use what is not here. The names of the methods differ between the dialects, so that the method tells
/// which one is meant; the header must name one that is spoken.
fn negotiate(app: &App, headers: &HeaderMap, query: Option<&str>, method: &str) -> Result<(), Failure> {
    let Some(method) = Method::parse_v1(method).or_else(|| Method::parse_v03(method)) else { return Ok(()) };
    let in_query = || {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(VERSION_HEADER)).map(|(_, value)| value.into_owned())
    };
    let header = headers.get(VERSION_HEADER).map(|version| version.to_str().unwrap_or("?").to_owned());
    let version = header.or_else(in_query).unwrap_or_default();
    if !is_spoken(version.trim()) {
        let shown: String = version.chars().take(40).collect();
        return Err(Failure::new(ErrorCode::VersionNotSupported, format!("version `{shown}` of A2A is not spoken here; 1.0 and 0.3 are")));
    }
    methods::offered(app, method)?;
    let spoken: Vec<&str> = [EXTENSIONS_HEADER, "X-A2A-Extensions"]
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .collect();
    match app.options.card.required_extensions.iter().find(|uri| !spoken.contains(&uri.as_str())) {
        Some(missing) => {
            let told = format!("the extension `{missing}` must be spoken: name it in {EXTENSIONS_HEADER}");
            Err(Failure::new(ErrorCode::ExtensionSupportRequired, told))
        }
        None => Ok(()),
    }
}

/// Versions are negotiated by major and minor number; a patch number says nothing. None means 0.3.
/// <https://a2a-protocol.org/latest/specification/#36-versioning>
fn is_spoken(version: &str) -> bool {
    let numbers: Vec<&str> = version.split('.').collect();
    match numbers.as_slice() {
        [""] | ["0", "3"] | ["1", "0"] => true,
        ["0", "3", patch] | ["1", "0", patch] => !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()),
        _ => false,
    }
}

/// The answer to what never reached jsonrpsee.
fn refuse(id: &Value, failure: &Failure) -> Response {
    let mut response = (failure.status, axum::Json(failure.reply(id))).into_response();
    if let Some(after) = failure.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    if failure.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn with_code_of_prototype(response: &MethodResponse) -> String {
    // Our own answer: an error of a few hundred bytes.
    let mut reply: Value = serde_json::from_str(response.as_ref()).unwrap_or_default();
    if let Some(error) = reply.get_mut("error") {
        error["code"] = json!(-1);
    }
    reply.to_string()
}
