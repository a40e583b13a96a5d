//! Calls webhooks: in order for each, with retries, never more at once than the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, mpsc};

use crate::a2a::{StreamResponse, TaskPushNotificationConfig};
use crate::agent::Dialer;
use crate::http_client::HttpClient;
use crate::server::PushOptions;
use crate::server::error::{Failure, OwnCode};

/// The header 0.3 receivers look for the configuration's token in.
const TOKEN_HEADER: &str = "x-a2a-notification-token";

/// Checks configurations and delivers notifications. Shared by all tasks.
#[derive(Debug)]
pub(in crate::server) struct Deliverer {
    options: PushOptions,
    dialer: Dialer,
    http: HttpClient,
    under_way: Semaphore,
    /// Held by every worker.
    workers: Arc<()>,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Deliverer {
    pub(in crate::server) fn new(options: PushOptions) -> Self {
        let dialer = Dialer::allowing(options.allow_private_addresses, &options.allow_networks);
        let http = dialer.client(options.timeout);
        let under_way = Semaphore::new(options.concurrency.max(1));
        let (workers, delivered, dropped) = (Arc::new(()), AtomicU64::new(0), AtomicU64::new(0));
        Self { options, dialer, http, under_way, workers, delivered, dropped }
    }

    pub(super) fn configs_max(&self) -> usize {
        self.options.configs_max
    }

    /// Refuses what must not be called or cannot be sent. The address is checked again when it is dialled.
    pub(in crate::server) async fn check(&self, config: &TaskPushNotificationConfig) -> Result<(), Failure> {
        if Arc::strong_count(&self.workers) > self.options.webhooks_max {
            let told =
                format!("{} webhooks wait for what happens to their tasks, which is the limit; try again later", self.options.webhooks_max);
            return Err(Failure::own(OwnCode::Overloaded, told));
        }
        self.dialer.check_resolved(&config.url).await.map_err(|why| Failure::field("url", why))?;
        headers(config).map(|_| ())
    }

    /// A queue and the worker that empties it. The worker ends when the queue is closed and empty.
    pub(super) fn worker(self: &Arc<Self>, config: TaskPushNotificationConfig) -> (mpsc::Sender<Arc<StreamResponse>>, Worker) {
        let (queue, events) = mpsc::channel(self.options.queue_max.max(1));
        (queue, Worker { deliverer: Arc::clone(self), config, events, _counted: Arc::clone(&self.workers) })
    }

    /// Counts a notification that nobody got.
    pub(super) fn dropped(&self, why: &'static str) {
        let total = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(why, total, "a notification was dropped");
    }

    /// Delivered and dropped so far.
    pub(in crate::server) fn counts(&self) -> (u64, u64) {
        (self.delivered.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    async fn deliver(&self, config: &TaskPushNotificationConfig, event: &StreamResponse) {
        let (Ok(url), Ok(headers), Ok(body)) = (self.dialer.check(&config.url), headers(config), serde_json::to_vec(event)) else {
            return self.dropped("not sendable");
        };
        for attempt in 0..self.options.attempts_max.max(1) {
            if attempt > 0 {
                // Half of it at random, so that many webhooks of one receiver do not come back together.
                let backoff = self.options.backoff.saturating_mul(1 << (attempt - 1).min(10));
                tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            }
            let Ok(_permit) = self.under_way.acquire().await else { return };
            let sent = self.http.of(&url).post(url.clone()).headers(headers.clone()).body(body.clone()).send().await;
            match sent.map(|response| response.status()) {
                Ok(status) if status.is_success() => {
                    self.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(status) if !is_transient(status) => return self.dropped("refused by its receiver"),
                Ok(status) => tracing::debug!(%status, attempt, "a notification was not taken"),
                // The error may hold the URL, and the URL may hold a secret.
                Err(error) => tracing::debug!(error = %error.without_url(), attempt, "a notification was not delivered"),
            }
        }
        self.dropped("every try failed");
    }
}

/// Empties the queue of one webhook.
pub(in crate::server) struct Worker {
    deliverer: Arc<Deliverer>,
    config: TaskPushNotificationConfig,
    events: mpsc::Receiver<Arc<StreamResponse>>,
    _counted: Arc<()>,
}

impl Worker {
    /// Delivers in order until the queue is closed and empty.
    pub(in crate::server) async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            self.deliverer.deliver(&self.config, &event).await;
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// The headers of a call. A token with a line break would be a header of its own: it is refused, wherever the break stands.
fn headers(config: &TaskPushNotificationConfig) -> Result<HeaderMap, Failure> {
    let secret = |field: &str, text: &str| match HeaderValue::from_str(text) {
        // The crate lets tabs pass, and what is not ASCII: every receiver would read that in its own way.
        Ok(mut value) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            value.set_sensitive(true);
            Ok(value)
        }
        Ok(_) | Err(_) => Err(Failure::field(field, "holds characters that a header cannot")),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/a2a+json"));
    if let Some(token) = &config.token {
        headers.insert(HeaderName::from_static(TOKEN_HEADER), secret("token", token)?);
    }
    if let Some(authentication) = &config.authentication {
        let scheme = &authentication.scheme;
        let is_token = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+!#$%&'*^`|".contains(&byte));
        if !is_token {
            return Err(Failure::field("authentication.scheme", "is not the name of an HTTP authentication scheme"));
        }
        let value = match authentication.credentials.as_deref().filter(|credentials| !credentials.is_empty()) {
            Some(credentials) => format!("{scheme} {credentials}"),
            None => scheme.clone(),
        };
        headers.insert(AUTHORIZATION, secret("authentication.credentials", &value)?);
    }
    Ok(headers)
}
