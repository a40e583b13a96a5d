//! An HTTP client whose TLS is set up when the first `https` URL is met: reading the machine's root certificates takes milliseconds and
//! a megabyte, and whoever talks to agents and a registry on its own machine never needs them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use url::Url;

use crate::threads::{self, THREADS_MAX};

/// How long nothing may come from a peer that a call waits for before the system asks whether it is still there, and how soon it asks again
/// when that gets lost. Sooner by far: of the questions of thousands of calls that began together many are lost at once, since loopback takes
/// a thousand packets at a time, and those must not meet the next round of all others. The client's own times (15 s for both, two questions)
/// ended such calls after half a minute.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A peer that says nothing to that, or does not acknowledge a request, is gone.
const GONE_AFTER: Duration = Duration::from_secs(120);
/// The same in questions, where the system counts those.
const QUESTIONS: u32 = ((GONE_AFTER.as_secs() - SILENCE_MAX.as_secs()) / ASK_AGAIN.as_secs()) as u32;

/// Makes a client with everything that is asked of it but TLS.
type Make = Box<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>;

/// One client for `http`, and one for `https` when it is needed.
pub(crate) struct HttpClient {
    make: Make,
    idle_per_host_max: usize,
    plain: reqwest::Client,
    /// The same for the [threads](crate::threads) that keep their work to themselves, by their number: with connections of their own. The
    /// one for `https` they share, since certificates are read once.
    by_thread: Box<[OnceLock<reqwest::Client>]>,
    secure: OnceLock<Result<reqwest::Client, Arc<reqwest::Error>>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("secure", &self.secure.get().is_some()).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// `idle_per_host_max`: idle connections to one host that are kept, by each client that is shared, and by all others together.
    pub(crate) fn new(idle_per_host_max: usize, make: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static) -> Self {
        // One provider for the whole process; whoever installed one before us keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (plain, by_thread) = (plain(&make, idle_per_host_max), std::iter::repeat_with(OnceLock::new).take(THREADS_MAX).collect());
        Self { make: Box::new(make), idle_per_host_max, plain, by_thread, secure: OnceLock::new() }
    }

    /// The client for a URL. On a machine without root certificates a call over `https` fails with an error of its own.
    pub(crate) fn of(&self, url: &Url) -> &reqwest::Client {
        if url.scheme() != "https" {
            let own = threads::number().and_then(|number| self.by_thread.get(number));
            let share = || (self.idle_per_host_max / threads::beside()).max(1);
            return own.map_or(&self.plain, |own| own.get_or_init(|| plain(&self.make, share())));
        }
        self.secure().unwrap_or(&self.plain)
    }

    /// The client for `https`.
    ///
    /// # Errors
    /// When there are no root certificates.
    pub(crate) fn secure(&self) -> Result<&reqwest::Client, Arc<reqwest::Error>> {
        let made = self.secure.get_or_init(|| {
            patient((self.make)()).pool_max_idle_per_host(self.idle_per_host_max).build().map_err(|error| {
                tracing::warn!(%error, "no root certificates, so nothing can be called over https");
                Arc::new(error)
            })
        });
        made.as_ref().map_err(Arc::clone)
    }
}

/// For calls that may take long.
pub(crate) fn patient(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    let builder = builder.tcp_keepalive(SILENCE_MAX).tcp_keepalive_interval(ASK_AGAIN).tcp_keepalive_retries(QUESTIONS);
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
    let builder = builder.tcp_user_timeout(GONE_AFTER);
    builder
}

/// A client without certificates.
fn plain(make: impl Fn() -> reqwest::ClientBuilder, idle_per_host_max: usize) -> reqwest::Client {
    // What may be tried again without harm, and when, is the caller's to say; the client's own way needs a copy of every request.
    let no_retry = reqwest::retry::never().max_retries_per_request(0);
    let builder = patient(make()).pool_max_idle_per_host(idle_per_host_max).tls_certs_only([]).retry(no_retry);
    builder.build().expect("a client without certificates needs nothing from the machine")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::threads::Threads;

    #[test]
    fn certificates_are_read_when_the_first_https_url_is_met() {
        let http = HttpClient::new(1, reqwest::Client::builder);
        http.of(&Url::parse("http://localhost:1").unwrap());
        assert!(http.secure.get().is_none());
        http.of(&Url::parse("https://localhost:1").unwrap());
        assert!(http.secure.get().is_some());
    }

    /// The system tells of a socket which timer runs, and how long yet.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn the_system_asks_after_half_a_minute_whether_a_peer_is_still_there() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let http = HttpClient::new(1, reqwest::Client::builder);
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let asking = tokio::spawn(http.of(&url).get(url.clone()).send());
        let (_peer, _) = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
        let timer = || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let of_client = |line: &&str| line.split_whitespace().nth(2).is_some_and(|peer| peer.ends_with(&format!(":{port:04X}")));
            let line = sockets.lines().find(of_client)?;
            let (kind, when) = line.split_whitespace().nth(5)?.split_once(':')?;
            // Another one runs until what was sent is acknowledged.
            (kind == "02").then(|| Duration::from_millis(u64::from_str_radix(when, 16).unwrap() * 10))
        };
        let left = loop {
            match timer() {
                Some(left) => break left,
                None => tokio::task::yield_now().await,
            }
        };
        assert!(left <= SILENCE_MAX && left > SILENCE_MAX / 2, "{left:?}");
        asking.abort();
    }

    #[tokio::test]
    async fn a_thread_that_keeps_its_work_to_itself_has_a_client_of_its_own() {
        let http = Arc::new(HttpClient::new(1, reqwest::Client::builder));
        let (asked, threads) = (Arc::clone(&http), Threads::begin().unwrap());
        http.of(&Url::parse("http://localhost:1").unwrap());
        assert!(http.by_thread.iter().all(|own| own.get().is_none()), "this one is none");
        let asking = threads.idlest().spawn(async move {
            asked.of(&Url::parse("http://localhost:1").unwrap());
            threads::number().unwrap()
        });
        let number = asking.await.unwrap();
        let made: Vec<_> = (0..THREADS_MAX).filter(|number| http.by_thread[*number].get().is_some()).collect();
        // Of a thread with a higher number it is the one that all share.
        assert_eq!(made, Vec::from_iter((number < THREADS_MAX).then_some(number)));
    }

    #[test]
    fn without_certificates_https_fails_by_itself_and_http_does_not() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        // The first is the client for `http`; what is asked of the second cannot be.
        let http = HttpClient::new(1, move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => reqwest::Client::builder(),
            _ => reqwest::Client::builder().user_agent("\n"),
        });
        for _ in 0..3 {
            assert!(http.secure().is_err());
            let url = Url::parse("https://localhost:1").unwrap();
            assert!(std::ptr::eq(http.of(&url), &raw const http.plain), "a call fails with an error of its own");
        }
        assert_eq!(made.load(Ordering::Relaxed), 2, "it was tried once");
    }
}
