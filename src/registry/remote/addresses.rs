//! Which addresses may be dialled.
//!
//! A name is resolved here and nowhere else: the addresses that were checked are the addresses that are dialled, so that a
//! name which changes its mind in between gains nothing.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::Addresses;
use crate::addresses::is_public;

/// The refusal, as it comes back through the HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("its address is not on the public internet, and no other may be dialled here")]
pub(super) struct NotPublic;

/// Checks an address that is written in the URL itself; such a one is never resolved.
pub(super) fn check(addresses: &Addresses, url: &Url) -> Result<(), NotPublic> {
    let allowed = match url.host() {
        Some(Host::Ipv4(address)) => is_allowed(addresses, address.into()),
        Some(Host::Ipv6(address)) => is_allowed(addresses, address.into()),
        Some(Host::Domain(_)) => true,
        None => false,
    };
    if allowed { Ok(()) } else { Err(NotPublic) }
}

/// Resolves names to addresses that may be dialled.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Addresses);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| is_allowed(&policy, address.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::new(NotPublic) as Box<dyn StdError + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn is_allowed(addresses: &Addresses, address: IpAddr) -> bool {
    let Addresses::Public { allowed } = addresses else { return true };
    // `::ffff:127.0.0.1` is dialled as 127.0.0.1.
    let address = address.to_canonical();
    is_public(address) || allowed.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_beside_public_addresses() {
        let some = Addresses::Public { allowed: vec!["10.0.0.0/8".parse().unwrap()] };
        for (address, expected) in [
            ("1.1.1.1", true),
            ("10.1.1.1", true),
            ("::ffff:10.1.1.1", true),
            ("127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(is_allowed(&some, address.parse().unwrap()), expected, "{address}");
        }
    }
}
