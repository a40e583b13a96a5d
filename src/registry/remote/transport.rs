//! One request: sent with the right credential, redirected within bounds, tried again where that is safe.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use reqwest::redirect::Policy;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::super::Error;
use super::addresses::{NotPublic, Resolver, check};
use super::answer::Answer;
use super::auth::{Auth, Scope};
use super::options::RemoteOptions;
use crate::http_client::HttpClient;
use crate::limits;

/// Everything between a request and its answer.
#[derive(Debug)]
pub(super) struct Transport {
    http: HttpClient,
    base: Url,
    auth: Auth,
    options: RemoteOptions,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) scope: Scope<'a>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// For errors.
    pub(super) what: &'a str,
    /// Most bytes of the answer.
    pub(super) bytes_max: u64,
    pub(super) retry: Retry,
    pub(super) deadline: Instant,
}

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// Whenever it may help: twice is as good as once.
    Always,
    /// Only where the registry did nothing: not reached, or it said so.
    Undone,
    /// Whoever sent it begins again from further up.
    Never,
}

struct Failure {
    error: Error,
    undone: bool,
}

impl Transport {
    pub(super) fn new(base: Url, auth: Auth, options: RemoteOptions) -> Result<Self, Error> {
        let addresses = options.addresses.clone();
        let http = HttpClient::new(usize::MAX, move || {
            reqwest::Client::builder()
                .redirect(Policy::none())
                // Digests are of the bytes as they are stored.
                .no_gzip()
                .connect_timeout(limits::CONNECT_TIMEOUT)
                // Sooner than servers hang up, so that no request meets a connection that is just being closed.
                .pool_idle_timeout(Duration::from_secs(5))
                .tcp_nodelay(true)
                .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(Resolver(addresses.clone())))
        });
        // A machine without certificates can still use plain HTTP.
        if base.scheme() == "https" {
            http.secure().map_err(|error| Error::Unavailable {
                what: base.authority().to_owned(),
                reason: format!("TLS cannot be set up: {}", innermost(&error)),
                transient: false,
                retry_after: None,
            })?;
        }
        Ok(Self { http, base, auth, options })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Sends a request, again where that is safe, until there is an answer or the deadline.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut tried = 0;
        loop {
            let failure = match self.attempt(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let again = match ask.retry {
                Retry::Always => failure.error.is_transient(),
                Retry::Undone => failure.error.is_transient() && failure.undone,
                Retry::Never => false,
            };
            if !again || tried == limits::REGISTRY_RETRIES_MAX || !self.pause(tried, &failure.error, ask.deadline).await {
                return Err(failure.error);
            }
            tried += 1;
            tracing::debug!(what = ask.what, tried, error = %failure.error, "asking the registry again");
        }
    }

    /// Waits before the next try. `false` when the deadline would pass meanwhile.
    pub(super) async fn pause(&self, tried: u32, error: &Error, deadline: Instant) -> bool {
        let asked = match error {
            Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        };
        let backoff = self.options.retry_pause * 2_u32.pow(tried.min(8));
        let pause = asked.unwrap_or_else(|| backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
        if Instant::now() + pause >= deadline {
            return false;
        }
        sleep(pause).await;
        true
    }

    async fn attempt(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let answer = match timeout_at(ask.deadline, self.authorized(ask)).await {
            Ok(done) => done?,
            Err(_) => {
                let error = Error::Unavailable {
                    what: ask.what.to_owned(),
                    reason: format!("no answer within {}", crate::time::humanize(self.options.timeout)),
                    transient: true,
                    retry_after: None,
                };
                return Err(Failure { error, undone: false });
            }
        };
        // 500 is not among them: it comes from a defect rather than from load, and comes again.
        match answer.status.as_u16() {
            429 | 503 => Err(Failure { error: answer.refusal(ask.what), undone: true }),
            408 | 502 | 504 => Err(Failure { error: answer.refusal(ask.what), undone: false }),
            _ => Ok(answer),
        }
    }

    // A 401, even in the midst of a session, is answered once by what its challenge asks for.
    async fn authorized(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let used = self.auth.known(&ask.scope);
        let answer = self.redirected(ask, used.as_ref()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let renewed = self.auth.renew(&self.http, &self.options, ask, used.as_ref(), &answer).await;
        let renewed = renewed.map_err(|error| Failure { error, undone: true })?;
        self.redirected(ask, Some(&renewed)).await
    }

    // Only reading is redirected, and the credential stays with the registry.
    async fn redirected(&self, ask: &Ask<'_>, authorization: Option<&HeaderValue>) -> Result<Answer, Failure> {
        let mut url = ask.url.clone();
        for _ in 0..=limits::REGISTRY_REDIRECTS_MAX {
            let authorization = authorization.filter(|_| url.origin() == self.base.origin());
            let answer = self.once(ask, &url, authorization).await?;
            let reads = matches!(ask.method, Method::GET | Method::HEAD);
            if !reads || !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            url = next_hop(ask.what, &answer).map_err(|error| Failure { error, undone: true })?;
        }
        let reason = format!("it was redirected more than {} times", limits::REGISTRY_REDIRECTS_MAX);
        Err(Failure { error: Error::invalid(ask.what, reason), undone: true })
    }

    async fn once(&self, ask: &Ask<'_>, url: &Url, authorization: Option<&HeaderValue>) -> Result<Answer, Failure> {
        check(&self.options.addresses, url)
            .map_err(|refused| Failure { error: Error::invalid(ask.what, refused.to_string()), undone: true })?;
        let mut request = self.http.of(url).request(ask.method.clone(), url.clone()).headers(ask.headers.clone());
        if !matches!(ask.method, Method::GET | Method::HEAD) {
            request = request.body(ask.body.clone());
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| {
            let undone = error.is_connect();
            Failure { error: unreachable(ask.what, &error), undone }
        })?;
        Answer::read(ask.what, response, ask.bytes_max).await.map_err(|error| Failure { error, undone: false })
    }
}

/// Where a redirect or an upload's `Location` leads: HTTP or HTTPS, never from HTTPS back to HTTP, and no credential in it.
pub(super) fn next_hop(what: &str, answer: &Answer) -> Result<Url, Error> {
    let Some(location) = answer.header(&header::LOCATION) else {
        return Err(Error::invalid(what, format!("the registry answered HTTP {} without a Location", answer.status.as_u16())));
    };
    let next = answer.url.join(location).map_err(|error| Error::invalid(what, format!("the registry points to no address: {error}")))?;
    match (answer.url.scheme(), next.scheme()) {
        ("http", "http" | "https") | ("https", "https") => {}
        ("https", "http") => return Err(Error::invalid(what, "the registry points from HTTPS back to HTTP, which is not followed")),
        _ => return Err(Error::invalid(what, "the registry points to something that is not HTTP")),
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err(Error::invalid(what, "the registry points to an address with a user name in it, which is not followed"));
    }
    Ok(next)
}

/// A request that got no answer, or only half of one.
pub(super) fn unreachable(what: &str, error: &reqwest::Error) -> Error {
    let reason = innermost(error);
    // Certificates and forbidden addresses do not mend themselves within seconds.
    let lasting = error.is_builder() || causes(error).any(|cause| cause.is::<NotPublic>() || cause.is::<rustls::Error>());
    Error::Unavailable { what: what.to_owned(), reason, transient: !lasting, retry_after: None }
}

// The last cause says most ("connection refused") and holds no URL.
fn innermost(error: &reqwest::Error) -> String {
    let last = causes(error).last().map_or_else(|| "the request could not be made".to_owned(), ToString::to_string);
    last.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    // io::Error hides the error it wraps from `source` and names that one's source instead.
    fn next<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        }
    }
    std::iter::successors(error.source(), |cause| next(*cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_that_are_followed_and_hops_that_are_not() {
        let hop = |from: &str, location: Option<&str>| {
            let headers = location.map(|it| (header::LOCATION, HeaderValue::from_str(it).unwrap())).into_iter().collect();
            let answer = Answer { status: StatusCode::FOUND, headers, body: Bytes::new(), url: Url::parse(from).unwrap() };
            next_hop("x", &answer).map(String::from).map_err(|error| error.to_string())
        };
        assert_eq!(hop("http://a:1/v2/x", Some("/y?z=1")).unwrap(), "http://a:1/y?z=1");
        assert_eq!(hop("http://a/x", Some("https://b/y")).unwrap(), "https://b/y");
        assert_eq!(hop("https://a/x", Some("//b/y")).unwrap(), "https://b/y");
        for (from, location, reason) in [
            ("https://a/x", Some("http://a/x"), "back to HTTP"),
            ("http://a/x", Some("file:///etc/passwd"), "not HTTP"),
            ("http://a/x", Some("javascript:alert(1)"), "not HTTP"),
            ("http://a/x", Some("http://u:p@b/"), "user name"),
            ("http://a/x", Some("http://"), "no address"),
            ("http://a/x", None, "without a Location"),
        ] {
            let error = hop(from, location).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
