//! The guard for those who call what is not an agent, such as webhooks: the same policy, the same resolver, a client of their own.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::dial::{Guard, Resolver, system};

/// How long a name may take to resolve before it counts as one that does not. A caller waits for it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Judges URLs and makes clients that judge addresses when they dial. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialer {
    guard: Guard,
}

impl Dialer {
    /// A guard that lets through public addresses, and private ones if told so.
    pub fn new(allow_private_addresses: bool) -> Self {
        Self { guard: Guard::new(allow_private_addresses, &[]) }
    }

    /// Lets these networks through, too, although they are not public.
    pub fn allowing(allow_private_addresses: bool, networks: &[IpNet]) -> Self {
        Self { guard: Guard::new(allow_private_addresses, networks) }
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
        let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, system()(name.to_owned()));
        let found = lookup.await.ok().and_then(Result::ok).unwrap_or_default();
        if !found.is_empty() && !found.iter().any(|address| self.guard.allows(*address)) {
            return Err(format!("`{name}` has only addresses that may not be dialled; allow them in the configuration if they are yours"));
        }
        Ok(url)
    }

    /// A client that follows no redirects, uses no proxy, and dials only addresses the guard lets through. It judges what
    /// names resolve to; pass every URL through [`check`](Self::check) before.
    pub fn client(&self, timeout: Duration) -> reqwest::Client {
        // Whoever installed a provider before us keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let resolver = Resolver { guard: self.guard.clone(), lookup: system() };
            reqwest::Client::builder()
                .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .tcp_nodelay(true)
                .timeout(timeout)
                .pool_max_idle_per_host(4)
                .dns_resolver(Arc::new(resolver))
        };
        builder().build().unwrap_or_else(|error| {
            tracing::warn!(%error, "no root certificates, so webhooks over https cannot be called");
            builder().tls_certs_only([]).build().expect("a client without certificates needs nothing from the machine")
        })
    }
}
