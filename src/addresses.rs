//! Which addresses are public. Whoever dials what others name judges by it: the client of agents (and with it webhooks) and that of
//! registries. What is allowed beside public addresses is the policy of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet (IANA's special-purpose registries). `::ffff:127.0.0.1` is dialled as 127.0.0.1
/// and judged so.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, _, _)          // this network, private, loopback
        | (169, 254, _)               // link-local, cloud metadata
        | (192, 168, _)               // private
        | (192, 0, 0 | 2)             // protocol assignments, documentation
        | (192, 88, 99)               // 6to4 relays
        | (198, 18 | 19, _)           // benchmarks
        | (198, 51, 100)              // documentation
        | (203, 0, 113)               // documentation
        | (224.., _, _) => true,      // multicast, reserved, broadcast
        (100, 64..=127, _)            // carrier-grade NAT
        | (172, 16..=31, _) => true,  // private
        _ => false,
    };
    !special
}

/// Only 2000::/3 is routed, and parts of it carry IPv4 addresses or are not for use.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low), // NAT64
        [0x2002, high, low, ..] => embedded(high, low),               // 6to4
        [0x2001, 0..=0x1ff, ..] => false,                             // Teredo, ORCHID, benchmarks
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,       // documentation
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_public_or_not() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
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
            "::127.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
