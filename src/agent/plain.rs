//! The prototype's protocol: `POST {url}/execute`, method = skill id, params = inputs, result = value. No tasks, no streams.

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::body::{self, Content};
use super::call::{Call, Reply};
use super::error::{ErrorKind, Failure};
use super::http::Http;
use super::reply;
use super::rpc::{self, Id};
use crate::a2a::extension;

/// Lets an agent recognise a repeat, since the protocol has no `messageId`.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells another gantry the runs above the call.
const RUN: HeaderName = HeaderName::from_static(extension::RUN_HEADER);

/// Headers that there is room for at once: ours and what the client adds.
const HEADERS: usize = 8;

pub(super) async fn call(http: &Http, base: &str, call: &Call) -> Result<Reply, Failure> {
    if call.resume.is_some() {
        return Err(Failure::new(ErrorKind::Rejected, "plain JSON-RPC has no tasks, so none can go on"));
    }
    let url = http.url(&format!("{}/execute", base.trim_end_matches('/')))?;
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(key) = HeaderValue::from_str(&call.message_id) {
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    if let Some(runs) = call.metadata.as_ref().and_then(|metadata| metadata.get(extension::RUN)) {
        // Without them a circle of gantrys would not be noticed, so the call is not made without them.
        let runs = HeaderValue::try_from(runs.to_string().into_bytes())
            .map_err(|_| Failure::new(ErrorKind::Refused, "the runs above this call cannot be told in a header"))?;
        headers.insert(RUN, runs);
    }
    let response = http.post(&url, headers, rpc::request_with(&call.message_id, &call.skill, &call.inputs)).await?;
    match Content::of(response.headers()) {
        Content::Json => {}
        other => return Err(other.refused("JSON")),
    }
    let bytes = body::read(response, http.reply_bytes_max).await?;
    let value: Option<Value> = rpc::result(&bytes, &call.message_id, Id::MayBeAbsent)?;
    reply::checked(value, call).map(Reply::Value)
}
