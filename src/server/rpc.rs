//! One POST: who calls, may they enter, the body, what must hold before jsonrpsee, jsonrpsee, and what the method left beside
//! its JSON. jsonrpsee stays the only dispatcher.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jsonrpsee::server::{BatchRequestConfig, Server, ServerConfig, ServerHandle, StopHandle, stop_channel};
use serde_json::{Value, json};
use tower::Service as _;

use super::ask::{EXECUTE, WORKFLOW_PREFIX};
use super::envelope::{Envelope, Refusal};
use super::error::{Failure, OwnCode};
use super::methods::{self, Call, Slot};
use super::state::App;
use super::stream;
use crate::a2a::{EXTENSIONS_HEADER, ErrorCode, Method, VERSION_HEADER};

type JsonRpc = jsonrpsee::server::TowerService<tower::layer::util::Identity, tower::layer::util::Identity>;

/// The dispatcher and what it serves. Cheap to clone.
#[derive(Clone)]
pub(super) struct Rpc {
    pub(super) app: Arc<App>,
    json_rpc: JsonRpc,
    /// jsonrpsee stops when the last of these goes.
    _server: Arc<ServerHandle>,
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
        let (stop, server): (StopHandle, ServerHandle) = stop_channel();
        // Bounds are kept before jsonrpsee, in our own codes; its own must never be met.
        let config = ServerConfig::builder()
            .http_only()
            .max_connections(u32::MAX >> 4)
            .max_request_body_size(u32::MAX)
            .max_response_body_size(u32::MAX)
            .set_batch_request_config(BatchRequestConfig::Disabled)
            .build();
        let module = methods::module(Arc::clone(&app));
        let json_rpc = Server::builder().set_config(config).to_service_builder().build(module, stop);
        Self { app, json_rpc, _server: Arc::new(server) }
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
    let app = Arc::clone(&rpc.app);
    let (parts, body) = request.into_parts();
    let entered = app.auth.caller(&parts.headers).and_then(|caller| Ok((app.admission.enter(&caller)?, caller)));
    let (_permit, caller) = match entered {
        Ok(entered) => entered,
        Err(failure) => return refuse(&Value::Null, &failure),
    };
    let body = match read_body(&app, &parts.headers, body).await {
        Ok(body) => body,
        Err(failure) => return refuse(&Value::Null, &failure),
    };
    let envelope = match Envelope::read(&body, app.options.limits.depth_max) {
        Ok(envelope) => envelope,
        Err(Refusal { id, failure }) => return refuse(&id, &failure),
    };
    if let Err(failure) = negotiate(&app, &parts.headers, parts.uri.query(), &envelope.method) {
        return refuse(&envelope.id, &failure);
    }
    let body = direct(&envelope, body);
    let slot = Arc::new(Slot::default());
    let call = Call { caller, slot: Arc::clone(&slot) };
    let span = tracing::debug_span!("request", method = %envelope.method.chars().take(64).collect::<String>());
    let dispatched = tracing::Instrument::instrument(dispatch(rpc.json_rpc, call, body), span);
    let response = match AssertUnwindSafe(dispatched).catch_unwind().await {
        Ok(Some(response)) => response,
        Ok(None) | Err(_) => {
            tracing::error!(method = %envelope.method.chars().take(64).collect::<String>(), "a method broke");
            return refuse(&envelope.id, &Failure::new(ErrorCode::InternalError, "gantry failed; the cause is in its log"));
        }
    };
    let filled = slot.take();
    if let Some(stream) = filled.stream {
        return stream::respond(&envelope.id, stream);
    }
    let mut response = response;
    if let Some(status) = filled.status {
        *response.status_mut() = status;
    }
    if let Some(after) = filled.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    match manner {
        Manner::Prototype if filled.failed && filled.status.is_none() => with_code_of_prototype(response).await,
        Manner::Prototype | Manner::A2a => response,
    }
}

async fn dispatch(mut json_rpc: JsonRpc, call: Call, body: Bytes) -> Option<Response> {
    let mut request = axum::http::Request::post("/")
        // Matched strictly by jsonrpsee, so that `application/a2a+json` is put in these words.
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(CONTENT_LENGTH, body.len())
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .body(Body::from(body))
        .ok()?;
    request.extensions_mut().insert(call);
    let response = json_rpc.call(request).await.ok()?;
    Some(response.map(Body::new).into_response())
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

/// The prototype's callers use a skill's id as the method; a workflow's own skill becomes the method that runs it.
fn direct(envelope: &Envelope, body: Bytes) -> Bytes {
    let Some(workflow) = envelope.method.strip_prefix(WORKFLOW_PREFIX) else { return body };
    let params = serde_json::from_slice::<Value>(&body).ok().and_then(|mut request| request.get_mut("params").map(Value::take));
    let params = json!({ "workflow_id": workflow, "input": params.unwrap_or_else(|| json!({})) });
    json!({ "jsonrpc": "2.0", "id": envelope.id, "method": EXECUTE, "params": params }).to_string().into()
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

async fn with_code_of_prototype(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    // Our own answer: an error of a few hundred bytes.
    let Ok(read) = body.collect().await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut reply: Value = serde_json::from_slice(&read.to_bytes()).unwrap_or_default();
    if let Some(error) = reply.get_mut("error") {
        error["code"] = json!(-1);
    }
    (parts.status, axum::Json(reply)).into_response()
}
