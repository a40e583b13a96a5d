//! One HTTP exchange: pooled, guarded, never redirected, and every status that is not a success a typed failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use reqwest::{Method, Request, Response, StatusCode};
use tokio_util::task::TaskTracker;
use url::Url;

use super::body::{self, Content};
use super::dial::{Guard, Lookup, Resolver};
use super::error::{ErrorKind, Failure, Reach};
use super::rpc;
use super::secret::Secret;
use crate::files;
use crate::http_client::HttpClient;
use crate::limits::RETRY_AFTER_MAX;

/// Idle connections kept for one agent. More would hold file descriptors that nobody uses.
const IDLE_PER_HOST_MAX: usize = 256;
/// Of so many files that may be open one is for an idle connection to one agent: where few may be, those must be left to what is under way.
const FILES_PER_IDLE: usize = 32;
/// How long they are kept: what many calls at once took is given back soon.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Parsed URLs that are kept: one for each agent that is called often.
const URLS_KEPT: usize = 256;
/// Longer URLs are parsed each time, so that what is kept stays small.
const URL_KEPT_BYTES_MAX: usize = 1024;
/// The shortest beginning of a secret that is taken for one at the end of a text.
const BEGUN_BYTES_MIN: usize = 8;
/// How much of an error's body is read. What is shown of it is less.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

fn idle_per_host(files: Option<usize>) -> usize {
    files.map_or(IDLE_PER_HOST_MAX, |files| (files / FILES_PER_IDLE).clamp(1, IDLE_PER_HOST_MAX))
}

/// The pool, the policy and the credentials. Shared by every call.
pub(super) struct Http {
    client: HttpClient,
    guard: Guard,
    credentials: BTreeMap<String, Secret>,
    headers: BTreeMap<String, HeaderMap>,
    /// URLs that were parsed and judged. The judgement depends on the text alone; names are judged again when they are dialled.
    urls: quick_cache::sync::Cache<String, Arc<Url>>,
    pub(super) reply_bytes_max: usize,
    /// Work that outlives its call: telling agents that a task is no longer wanted.
    pub(super) tasks: TaskTracker,
    /// Tasks of calls that are given up from now on are left to run: see [`Client::leave_tasks`](super::Client::leave_tasks).
    pub(super) leaves_tasks: AtomicBool,
}

impl Http {
    pub(super) fn new(
        guard: Guard,
        lookup: Arc<Lookup>,
        connect_timeout: Duration,
        reply_bytes_max: usize,
        credentials: BTreeMap<String, Secret>,
        mut headers: BTreeMap<String, HeaderMap>,
    ) -> Self {
        headers.values_mut().flat_map(HeaderMap::values_mut).for_each(|value| value.set_sensitive(true));
        let resolver = Resolver { guard: guard.clone(), lookup };
        let client = HttpClient::new(idle_per_host(files::open_max()), move || {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_static(concat!("gantry/", env!("CARGO_PKG_VERSION"))));
            reqwest::Client::builder()
                .default_headers(headers)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .gzip(true)
                .tcp_nodelay(true)
                .connect_timeout(connect_timeout)
                .pool_idle_timeout(IDLE_MAX)
                .dns_resolver(Arc::new(resolver.clone()))
        });
        let leaves_tasks = AtomicBool::new(false);
        let urls = quick_cache::sync::Cache::new(URLS_KEPT);
        Self { client, guard, credentials, headers, urls, reply_bytes_max, tasks: TaskTracker::new(), leaves_tasks }
    }

    /// Parses and judges a URL.
    pub(super) fn url(&self, text: &str) -> Result<Arc<Url>, Failure> {
        if let Some(url) = self.urls.get(text) {
            return Ok(url);
        }
        let url = Arc::new(self.guard.url(text)?);
        if text.len() <= URL_KEPT_BYTES_MAX {
            self.urls.insert(text.to_owned(), Arc::clone(&url));
        }
        Ok(url)
    }

    /// Posts JSON. The answer has a success status; its body is unread.
    pub(super) fn post(&self, url: &Url, mut headers: HeaderMap, body: Vec<u8>) -> impl Future<Output = Result<Response, Failure>> + use<> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        self.send(request, url)
    }

    /// Gets JSON.
    pub(super) fn get(&self, url: &Url) -> impl Future<Output = Result<Response, Failure>> + use<> {
        let mut request = Request::new(Method::GET, url.clone());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.send(request, url)
    }

    /// The request is made at once, and only its answer waited for: a call that waits does not hold it twice.
    fn send(&self, request: Request, url: &Url) -> impl Future<Output = Result<Response, Failure>> + use<> {
        let sent = self.authorized(request, url).map(|request| self.client.of(url).execute(request));
        async move {
            let response = sent?.await.map_err(|error| body::transport(&error))?;
            let status = response.status();
            if status.is_success() && status != StatusCode::NO_CONTENT && status != StatusCode::RESET_CONTENT {
                return Ok(response);
            }
            // Boxed: most answers are none of these.
            Err(Box::pin(refused(response)).await)
        }
    }

    /// The request with what is configured for its host.
    fn authorized(&self, mut request: Request, url: &Url) -> Result<Request, Failure> {
        if let Some(secret) = self.credential(url) {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.reveal()))
                .map_err(|_| Failure::new(ErrorKind::Refused, "its configured credential holds characters that a header cannot"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(headers) = of_host(&self.headers, url) {
            request.headers_mut().extend(headers.clone());
        }
        Ok(request)
    }

    /// The credential for a URL.
    pub(super) fn credential(&self, url: &Url) -> Option<&Secret> {
        of_host(&self.credentials, url)
    }

    /// A text without what is secret of this URL. It must not have been cut for showing: half a secret would not be recognised.
    pub(super) fn hide(&self, text: &str, url: &Url) -> String {
        let credential = self.credential(url).map(Secret::reveal);
        let headers = of_host(&self.headers, url).into_iter().flat_map(HeaderMap::values).filter_map(|value| value.to_str().ok());
        let secrets = credential.into_iter().chain(headers).filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), without)
    }
}

/// Takes a secret out of a text, also one that the text ends in the middle of: bodies are read up to a bound.
fn without(text: String, secret: &str) -> String {
    let mut text = text.replace(secret, "***");
    let begun = (BEGUN_BYTES_MIN..secret.len()).rev().find(|length| secret.get(..*length).is_some_and(|begun| text.ends_with(begun)));
    if let Some(length) = begun {
        text.truncate(text.len() - length);
        text.push_str("***");
    }
    text
}

/// What stands under the host of a URL: under `host:port` first, then under `host`.
fn of_host<'a, T>(by_host: &'a BTreeMap<String, T>, url: &Url) -> Option<&'a T> {
    if by_host.is_empty() {
        return None;
    }
    let host = url.host_str()?;
    let port = url.port_or_known_default()?;
    by_host.get(&format!("{host}:{port}")).or_else(|| by_host.get(host))
}

/// Whatever is not a success, as a failure.
async fn refused(response: Response) -> Failure {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| delay(value.to_str().ok()?));
    if status.is_success() {
        return Failure::invalid(format!("the answer is empty (HTTP {})", status.as_u16()));
    }
    if status.is_redirection() {
        let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        let target = target.split(['?', '#']).next().unwrap_or_default();
        let message = format!("it redirects (HTTP {}) to `{target}`; redirects are not followed", status.as_u16());
        return Failure::new(ErrorKind::Refused, message);
    }
    let kind = match status.as_u16() {
        429 => ErrorKind::RateLimited,
        408 | 500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    };
    let mut failure = Failure::new(kind, format!("HTTP {status}"));
    failure.status = Some(status.as_u16());
    failure.retry_after = retry_after;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        failure.reach = Reach::NotBegun;
    }
    let content = Content::of(response.headers());
    let said = match content {
        Content::Json => {
            let bytes = body::read_some(response, ERROR_BODY_BYTES_MAX).await;
            let error = rpc::error_in(&bytes);
            failure.code = error.as_ref().map(|error| error.code);
            // A 500 with an error in the protocol's own words is what the agent has to say, not a sign that it is away.
            if status == StatusCode::INTERNAL_SERVER_ERROR && error.is_some() {
                failure.reach = Reach::Answered;
            }
            error.map_or_else(|| text(&bytes), |error| error.message)
        }
        Content::Other(media) if media == "text/plain" => text(&body::read_some(response, ERROR_BODY_BYTES_MAX).await),
        // Pages are for people with browsers; nothing in them is worth showing.
        Content::Other(_) | Content::EventStream => String::new(),
    };
    if !said.trim().is_empty() {
        failure.message = format!("{}: {}", failure.message, said.trim());
    } else if matches!(status.as_u16(), 401 | 403) {
        failure.message.push_str(": it asks for credentials; configure them for its host");
    }
    failure
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `Retry-After`, as seconds or as a date, bounded.
fn delay(value: &str) -> Option<Duration> {
    let value = value.trim();
    let delay = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(delay.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::agent::dial;

    #[test]
    fn where_few_files_may_be_open_few_idle_connections_are_kept() {
        let kept = [None, Some(20_000), Some(1024), Some(200), Some(20)].map(idle_per_host);
        assert_eq!(kept, [256, 256, 32, 6, 1]);
    }

    #[test]
    fn retry_after_reads_seconds_and_dates() {
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
        assert_eq!(delay("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay("86400"), Some(RETRY_AFTER_MAX));
        assert!(delay(&soon).is_some_and(|delay| (25..=30).contains(&delay.as_secs())));
        assert_eq!(delay("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        for text in ["", "-1", "soon", "1.5"] {
            assert_eq!(delay(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn only_the_beginning_of_an_errors_body_is_read() {
        const PIECES: usize = 4096;
        for (media, pieces) in [("text/plain", 16), ("application/json", 16), ("text/html", 0), ("text/event-stream", 0)] {
            let read = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&read);
            let piece = move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1024]))
            };
            let body = reqwest::Body::wrap_stream(futures_util::stream::iter((0..PIECES).map(piece)));
            let response = axum::http::Response::builder().status(500).header(CONTENT_TYPE, media).body(body).unwrap();
            let failure = refused(response.into()).await;
            assert_eq!((failure.kind, failure.message.matches('x').count()), (ErrorKind::Unavailable, pieces * 1024), "{media}");
            assert_eq!(read.load(Ordering::SeqCst), pieces, "{media}");
        }
    }

    /// Lets time pass in a moment, once what is on its way has arrived. Both sides are on the test's thread.
    async fn pass(time: Duration) {
        settle().await;
        tokio::time::pause();
        tokio::time::sleep(time).await;
        settle().await;
        tokio::time::resume();
    }

    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_idle_for_half_a_minute_is_closed_and_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        // How many were opened, and how many closed.
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = || counts.each_ref().map(|count| count.load(Ordering::SeqCst));
        let counting = Arc::clone(&counts);
        let serving = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let counting = Arc::clone(&counting);
                counting[0].fetch_add(1, Ordering::SeqCst);
                open.spawn(async move {
                    // A request is read at once.
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
                    }
                    counting[1].fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        let connect_timeout = Duration::from_secs(3600);
        let http = Http::new(Guard::new(true, &[]), dial::system(), connect_timeout, 1024, BTreeMap::new(), BTreeMap::new());
        let ask = async || assert_eq!(body::read(http.get(&url).await.unwrap(), 1024).await.unwrap(), "{}");
        ask().await;
        pass(Duration::from_secs(25)).await;
        ask().await;
        assert_eq!(counted(), [1, 0], "it is used again");
        pass(Duration::from_secs(31)).await;
        ask().await;
        assert_eq!(counted()[0], 2, "another one is used");
        // Those that are idle are looked for as often as they may be old.
        pass(Duration::from_secs(61)).await;
        let closed = async {
            while counted() != [2, 2] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("nobody has to ask for that");
        serving.abort();
    }
}
