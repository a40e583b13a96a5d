//! Which addresses may be dialled. The check is made on the address that is connected to, never on a URL's text alone:
//! literal hosts are judged after parsing, names after resolving, and the connection uses exactly what was judged.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::error::{ErrorKind, Failure};
use crate::addresses::is_public;

/// The policy.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    allow_private: bool,
    allow: Arc<[IpNet]>,
}

impl Guard {
    pub(super) fn new(allow_private: bool, allow: &[IpNet]) -> Self {
        Self { allow_private, allow: allow.into() }
    }

    /// Parses a URL and refuses what can be refused without resolving: schemes, credentials in the URL, literal addresses.
    pub(super) fn url(&self, text: &str) -> Result<Url, Failure> {
        let refuse = |why: String| Failure::new(ErrorKind::Refused, why);
        let url = Url::parse(text).map_err(|error| refuse(format!("its URL cannot be dialled: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse(format!("its URL has the scheme `{}`; http or https is needed", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("its URL holds credentials; configure them instead".to_owned()));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(name)) if is_name(name) => None,
            Some(Host::Domain(name)) => return Err(refuse(format!("`{name}` in its URL is not a host name"))),
            None => return Err(refuse("its URL has no host".to_owned())),
        };
        match literal {
            Some(address) if !self.allows(address) => Err(refuse(NotPublic { host: address.to_string(), address }.to_string())),
            _ => Ok(url),
        }
    }

    /// Whether no address is refused, so that none needs to be known.
    pub(super) fn allows_any(&self) -> bool {
        self.allow_private
    }

    pub(super) fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow_private || self.allow.iter().any(|net| net.contains(&address)) || is_public(address)
    }
}

/// Letters, digits, hyphens and dots, and the underscores that container networks use. URL parsers let more through.
fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Every address of the name is one that may not be dialled.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` is the address {address}, which is not public; allow it in the configuration if it is yours")]
pub(super) struct NotPublic {
    host: String,
    address: IpAddr,
}

/// How names become addresses. A field and not a call, so that a test can rebind a name between two look-ups.
pub(super) type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> + Send + Sync;

/// Asks the system's resolver.
pub(super) fn system() -> Arc<Lookup> {
    Arc::new(|host| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Resolves names for the HTTP client and hands on only addresses that may be dialled.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) guard: Guard,
    pub(super) lookup: Arc<Lookup>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
        let host = name.as_str().to_owned();
        let looking = (self.lookup)(host.clone());
        Box::pin(async move {
            let found = looking.await?;
            let Some(first) = found.first().copied() else {
                return Err(format!("`{host}` has no address").into());
            };
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| guard.allows(*address)).map(|address| SocketAddr::new(address, 0)).collect();
            if allowed.is_empty() {
                return Err(NotPublic { host, address: first }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
