//! One pooled HTTP client for every agent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::body::{self, Content};
use super::call::{Call, Progress, Reply};
use super::dial::{self, Guard, Lookup};
use super::endpoint::{Endpoint, Wire};
use super::error::{Error, ErrorKind, Failure};
use super::hold::Hold;
use super::http::Http;
use super::secret::Secret;
use super::{follow, plain};
use crate::a2a::{self, Card, Dialect};
use crate::limits::{CARD_BYTES_MAX, CONNECT_TIMEOUT, REPLY_BYTES_MAX};

/// How long reading a card may take, all its places together.
const CARD_TIMEOUT: Duration = Duration::from_secs(20);

/// How the client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Loopback, private and link-local addresses may be dialled.
    pub allow_private_addresses: bool,
    /// Networks that may be dialled although they are not public, when private addresses in general may not.
    pub allow: Vec<ipnet::IpNet>,
    /// Largest reply, after decompression.
    pub reply_bytes_max: usize,
    /// Connecting.
    pub connect_timeout: Duration,
    /// Bearer credentials by `host:port` or `host`. Sent there and nowhere else.
    pub credentials: BTreeMap<String, Secret>,
    /// Further headers by `host:port` or `host`. Sent there and nowhere else, over what gantry itself says; kept as secret as
    /// credentials are.
    pub headers: BTreeMap<String, HeaderMap>,
}

impl Default for Options {
    /// Public addresses only, the usual limits, no credentials.
    fn default() -> Self {
        Self {
            allow_private_addresses: false,
            allow: Vec::new(),
            reply_bytes_max: REPLY_BYTES_MAX,
            connect_timeout: CONNECT_TIMEOUT,
            credentials: BTreeMap::new(),
            headers: BTreeMap::new(),
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: Arc<Http>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("reply_bytes_max", &self.http.reply_bytes_max).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds the pool.
    pub fn new(options: Options) -> Self {
        Self::with_lookup(options, dial::system())
    }

    pub(super) fn with_lookup(options: Options, lookup: Arc<Lookup>) -> Self {
        let Options { allow_private_addresses, allow, reply_bytes_max, connect_timeout, credentials, headers } = options;
        let guard = Guard::new(allow_private_addresses, &allow);
        Self { http: Arc::new(Http::new(guard, lookup, connect_timeout, reply_bytes_max, credentials, headers)) }
    }

    /// Calls a skill. Cancelling the token, passing the deadline, and dropping the future also cancel the remote task when
    /// one is known. `on_progress` must not block.
    pub async fn call(&self, call: Call, cancel: CancellationToken, on_progress: impl FnMut(Progress) + Send) -> Result<Reply, Error> {
        let hold = Hold::default();
        let outcome = self.call_held(&call, cancel, &hold, on_progress).await;
        hold.release();
        outcome
    }

    /// As [`call`](Self::call), but the remote task of a call that failed is canceled only when the hold is released: when it passed its
    /// deadline, or what was answered cannot be used. That its failure is known has to be stored first.
    pub async fn call_held(
        &self,
        call: &Call,
        cancel: CancellationToken,
        hold: &Hold,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Reply, Error> {
        let outcome = if cancel.is_cancelled() {
            Err(canceled())
        } else {
            let mut work = std::pin::pin!(self.dispatch(call, hold, &mut on_progress));
            // All three are safe to drop; dropping the call is what cancels the remote task.
            tokio::select! {
                biased;
                outcome = &mut work => outcome,
                () = cancel.cancelled() => Err(canceled()),
                () = tokio::time::sleep(call.timeout) => {
                    // Before the call is dropped, at the end of this block.
                    hold.keep();
                    Err(late(call.timeout))
                }
            }
        };
        outcome.map_err(|failure| self.redacted(failure, &call.card).at(&call.card.name, &call.skill))
    }

    async fn dispatch(&self, call: &Call, hold: &Hold, on_progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Reply, Failure> {
        let Some(interface) = call.card.interfaces.first() else {
            let why = "its card offers no interface that gantry speaks: A2A 1.0 or 0.3 over JSON-RPC, or plain JSON-RPC";
            return Err(Failure::new(ErrorKind::Refused, why));
        };
        if let Some(uri) = call.card.required_extensions.iter().find(|uri| *uri != a2a::SKILL_EXTENSION) {
            let why = format!("its card requires the extension `{uri}`, which gantry does not speak");
            return Err(Failure::new(ErrorKind::Refused, why));
        }
        let wire = match interface.dialect {
            Dialect::Plain => return plain::call(&self.http, &interface.url, call).await,
            Dialect::A2a1 => Wire::V1,
            Dialect::A2a03 => Wire::V03,
        };
        let endpoint = Arc::new(Endpoint::new(Arc::clone(&self.http), wire, interface, &call.message_id)?.held(hold.clone()));
        // Boxed: a task at work has much state, which calls in the plain dialect need not carry.
        Box::pin(follow::call(&endpoint, call, on_progress)).await
    }

    /// Reads the card at a URL (the card itself, or an agent's base: `/.well-known/agent-card.json`, then `/agent-card`).
    pub async fn fetch_card(&self, url: &str) -> Result<Card, Error> {
        Ok(self.fetch_card_and_bytes(url).await?.0)
    }

    /// The same, with the bytes that it was read from.
    pub async fn fetch_card_and_bytes(&self, url: &str) -> Result<(Card, Vec<u8>), Error> {
        let outcome = match tokio::time::timeout(CARD_TIMEOUT, self.find_card(url)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(ErrorKind::Timeout, format!("no card within {CARD_TIMEOUT:?}"))),
        };
        outcome.map_err(|failure| failure.at(&shown(url), ""))
    }

    async fn find_card(&self, url: &str) -> Result<(Card, Vec<u8>), Failure> {
        let base = self.http.url(url)?;
        let mut first: Option<Failure> = None;
        for place in places(base.as_str()) {
            match self.read_card(&place).await {
                Ok(card) => return Ok(card),
                // The other places may have one, unless nobody is there at all.
                Err(failure) if matches!(failure.kind, ErrorKind::Rejected | ErrorKind::InvalidReply) => _ = first.get_or_insert(failure),
                Err(failure) => return Err(failure),
            }
        }
        Err(first.unwrap_or_else(|| Failure::invalid("it has no card")))
    }

    async fn read_card(&self, place: &str) -> Result<(Card, Vec<u8>), Failure> {
        let url = self.http.url(place)?;
        self.card_at(&url).await.map_err(|failure| self.hidden(failure, &url))
    }

    async fn card_at(&self, url: &url::Url) -> Result<(Card, Vec<u8>), Failure> {
        let response = self.http.get(url).await?;
        match Content::of(response.headers()) {
            Content::Json => {}
            other => return Err(other.refused("JSON")),
        }
        let bytes = body::read(response, CARD_BYTES_MAX).await?;
        let card = Card::parse(&bytes).map_err(|error| Failure::invalid(error.to_string()))?;
        Ok((card, bytes.into()))
    }

    /// Tells an agent, in the background and bounded, that a task of its is no longer wanted: one that waits for an answer that will
    /// not come. Nothing happens where the dialect has no tasks.
    pub fn cancel_task(&self, card: &Card, task_id: &str) {
        match self.endpoint(card, &format!("cancel/{task_id}")) {
            None => {}
            Some(Ok(endpoint)) => endpoint.cancel_later(task_id.to_owned()),
            Some(Err(failure)) => debug!(task = %task_id, code = failure.kind.code(), "remote task not canceled"),
        }
    }

    /// Tells an agent, in the background and bounded, that a call is no longer wanted which was made before this process began: its
    /// message is sent once more, so that the agent names the task that it made, and that one is canceled.
    pub fn take_back(&self, call: &Call) {
        match self.endpoint(&call.card, &call.message_id) {
            None => {}
            Some(Ok(endpoint)) => follow::take_back(&Arc::new(endpoint), call),
            Some(Err(failure)) => debug!(message = %call.message_id, code = failure.kind.code(), "call not taken back"),
        }
    }

    /// Where the agent's tasks are. `None`: its dialect has none.
    fn endpoint(&self, card: &Card, id: &str) -> Option<Result<Endpoint, Failure>> {
        let interface = card.interfaces.first()?;
        let wire = match interface.dialect {
            Dialect::Plain => return None,
            Dialect::A2a1 => Wire::V1,
            Dialect::A2a03 => Wire::V03,
        };
        Some(Endpoint::new(Arc::clone(&self.http), wire, interface, id))
    }

    /// From now on the remote tasks of calls that are given up are left to run. For a shutdown after which the same calls are made
    /// again, with the same message ids.
    pub fn leave_tasks(&self) {
        self.http.leaves_tasks.store(true, Ordering::Release);
    }

    /// Waits until agents were told of every task that is no longer wanted. For shutdown; bounded by the time one such
    /// message may take.
    pub async fn drain(&self) {
        self.http.tasks.close();
        self.http.tasks.wait().await;
    }

    /// An agent may repeat our credential in its error; ours must not.
    fn redacted(&self, failure: Failure, card: &Card) -> Failure {
        if failure.message.is_empty() || card.interfaces.is_empty() {
            return failure;
        }
        match card.interfaces.first().and_then(|interface| url::Url::parse(&interface.url).ok()) {
            Some(url) => self.hidden(failure, &url),
            None => failure,
        }
    }

    pub(super) fn hidden(&self, mut failure: Failure, url: &url::Url) -> Failure {
        failure.message = self.http.hide(&failure.message, url);
        failure
    }

    pub(super) fn http(&self) -> Arc<Http> {
        Arc::clone(&self.http)
    }
}

fn late(timeout: Duration) -> Failure {
    Failure::new(ErrorKind::Timeout, format!("no answer within {}", crate::time::humanize(timeout)))
}

fn canceled() -> Failure {
    Failure::new(ErrorKind::Canceled, "the call was canceled")
}

/// Where the card of a URL may be.
fn places(url: &str) -> Vec<String> {
    let base = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let is_card = base.ends_with(".json") || base.ends_with(a2a::PLAIN_CARD_PATH);
    if is_card {
        return vec![url.to_owned()];
    }
    vec![format!("{base}{}", a2a::CARD_PATH), format!("{base}{}", a2a::PLAIN_CARD_PATH)]
}

/// A URL as it may be shown: without credentials and query.
pub(super) fn shown(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => "unreadable URL".to_owned(),
    }
}

#[cfg(test)]
mod tests;
