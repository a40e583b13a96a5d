//! The guard for those who call what is not an agent, such as webhooks: the same policy, the same resolver, a client of their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::dial::{Guard, Lookup, Resolver, system};
use crate::http_client::HttpClient;

/// Idle connections kept for one host.
const IDLE_PER_HOST_MAX: usize = 4;
/// How long a name may take to resolve before it counts as one that does not. A caller waits for it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Judges URLs and makes clients that judge addresses when they dial. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    guard: Guard,
    lookup: Arc<Lookup>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Dialer {
    /// A guard that lets through public addresses, and private ones if told so.
    pub fn new(allow_private_addresses: bool) -> Self {
        Self::allowing(allow_private_addresses, &[])
    }

    /// Lets these networks through, too, although they are not public.
    pub fn allowing(allow_private_addresses: bool, networks: &[IpNet]) -> Self {
        Self { guard: Guard::new(allow_private_addresses, networks), lookup: system() }
    }

    /// Refuses what can be refused without resolving. The error says why, for people.
    pub fn check(&self, url: &str) -> Result<Url, String> {
        self.guard.url(url).map_err(|failure| failure.message)
    }

    /// Refuses a URL whose host is a name that now resolves only to addresses that may not be dialled. A name that does not
    /// resolve passes: it is judged again when it is dialled.
    pub async fn check_resolved(&self, url: &str) -> Result<Url, String> {
        let url = self.check(url)?;
        let Some(url::Host::Domain(name)) = url.host() else { return Ok(url) };
        if self.guard.allows_any() {
            return Ok(url);
        }
        let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, (self.lookup)(name.to_owned()));
        let found = lookup.await.ok().and_then(Result::ok).unwrap_or_default();
        if !found.is_empty() && !found.iter().any(|address| self.guard.allows(*address)) {
            return Err(format!("`{name}` has only addresses that may not be dialled; allow them in the configuration if they are yours"));
        }
        Ok(url)
    }

    /// A client that follows no redirects, uses no proxy, and dials only addresses the guard lets through. It judges what
    /// names resolve to; pass every URL through [`check`](Self::check) before.
    pub(crate) fn client(&self, timeout: Duration) -> HttpClient {
        let resolver = Resolver { guard: self.guard.clone(), lookup: Arc::clone(&self.lookup) };
        HttpClient::new(IDLE_PER_HOST_MAX, move || {
            reqwest::Client::builder()
                .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .tcp_nodelay(true)
                .timeout(timeout)
                .dns_resolver(Arc::new(resolver.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use tokio::net::TcpListener;

    /// A listener on loopback that counts whoever connects.
    async fn counting() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        (port, seen)
    }

    /// A dialer of public addresses for which a name has no address at the first `silent` look-ups, and loopback's afterwards.
    fn dialer(silent: usize) -> Dialer {
        let asked = AtomicUsize::new(0);
        let lookup: Arc<Lookup> = Arc::new(move |_| {
            let found: Vec<IpAddr> = match asked.fetch_add(1, Ordering::SeqCst) < silent {
                true => Vec::new(),
                false => vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            };
            Box::pin(async move { Ok(found) })
        });
        Dialer { lookup, ..Dialer::new(false) }
    }

    /// Every spelling of the list, as it is and on the listener's port. A name that has no address when it is registered is one that
    /// is judged when it is dialled.
    #[tokio::test]
    async fn no_spelling_of_an_internal_address_is_registered_or_dialled() {
        let list = include_str!("../../tests/fixtures/registry/ssrf-hosts.txt");
        let (port, seen) = counting().await;
        let (mut checked, mut dialled) = (0, 0);
        for line in list.lines().filter(|line| !line.trim().is_empty()) {
            let mut spellings = vec![line.to_owned()];
            if let Ok(mut url) = Url::parse(line)
                && url.set_port(Some(port)).is_ok()
            {
                spellings.push(url.to_string());
            }
            for spelling in spellings {
                dialer(0).check_resolved(&spelling).await.expect_err(&spelling);
                let later = dialer(1);
                if let Ok(url) = later.check_resolved(&spelling).await {
                    dialled += 1;
                    let error = later.client(Duration::from_secs(5)).of(&url).post(url.clone()).send().await.expect_err(&spelling);
                    assert!(error.is_connect(), "{spelling}: {error:?}");
                }
            }
            checked += 1;
        }
        assert_eq!((checked, seen.load(Ordering::SeqCst)), (83, 0));
        assert!(dialled > 10, "names must have come as far as being dialled: {dialled}");
        let allowed = Dialer { lookup: dialer(0).lookup, ..Dialer::new(true) };
        let url = allowed.check_resolved(&format!("http://localhost:{port}/")).await.unwrap();
        allowed.client(Duration::from_millis(200)).of(&url).post(url.clone()).send().await.expect_err("it says nothing");
        assert_eq!(seen.load(Ordering::SeqCst), 1, "the listener does see who comes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_looked_up_for_three_seconds_counts_as_one_without_an_address() {
        let late = |after: Option<u64>| {
            let lookup: Arc<Lookup> = Arc::new(move |_| {
                Box::pin(async move {
                    match after {
                        Some(after) => tokio::time::sleep(Duration::from_millis(after)).await,
                        None => std::future::pending().await,
                    }
                    Ok(vec!["127.0.0.1".parse().unwrap()])
                })
            });
            Dialer { lookup, ..Dialer::new(false) }
        };
        for (after, passes, waited) in [(Some(2_999), false, 2_999), (Some(3_001), true, 3_000), (None, true, 3_000)] {
            let begun = tokio::time::Instant::now();
            assert_eq!(late(after).check_resolved("http://hook.example/").await.is_ok(), passes, "after {after:?} ms");
            assert_eq!(begun.elapsed(), Duration::from_millis(waited));
        }
    }
}
