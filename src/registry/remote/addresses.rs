//! Which addresses may be dialled.
//!
//! A name is resolved here and nowhere else: the addresses that were checked are the addresses that are dialled, so that a
//! name which changes its mind in between gains nothing.

use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::Addresses;

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

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

// The IANA special-purpose registry: what is not reachable globally.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Addresses that carry an IPv4 address reach what that one reaches.
    let embedded = match segments {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(a, b, c, d)) && segments[0] != 0;
    }
    // Only 2000::/3 is given out, and of that not documentation (2001:db8::/32, 3fff::/20) and protocol assignments
    // (2001::/23, Teredo among them).
    let global = segments[0] & 0xe000 == 0x2000;
    let documentation = (segments[0] == 0x2001 && segments[1] == 0x0db8) || (segments[0] == 0x3fff && segments[1] < 0x1000);
    let protocol = segments[0] == 0x2001 && segments[1] < 0x0200;
    (global || segments[0] == 0x64) && !documentation && !protocol && !(segments[0] == 0x64 && segments[1] == 0xff9b && segments[2] == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_and_other_addresses() {
        for address in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"] {
            assert!(is_public(address.parse::<IpAddr>().unwrap().to_canonical()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse::<IpAddr>().unwrap().to_canonical()), "{address}");
        }
        let some = Addresses::Public { allowed: vec!["10.0.0.0/8".parse().unwrap()] };
        assert!(is_allowed(&some, "10.1.1.1".parse().unwrap()) && is_allowed(&some, "::ffff:10.1.1.1".parse().unwrap()));
        assert!(!is_allowed(&some, "127.0.0.1".parse().unwrap()));
    }
}
