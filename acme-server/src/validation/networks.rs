//! Which addresses validation may connect to.
//!
//! Names and redirects lead wherever a stranger points them, so an address is looked at after it was resolved and right
//! before it is connected to. Everything that the IANA registries of special-purpose addresses do not call globally
//! reachable is refused, unless the operator allows a network by name.

use super::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast.
const RESERVED_V4: [(Ipv4Addr, u8, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "\"this network\" (RFC 791)"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private network (RFC 1918)"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's private network (RFC 6598)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "this machine itself (loopback)"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, where clouds keep their metadata (RFC 3927)"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private network (RFC 1918)"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols (RFC 6890)"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation only (RFC 5737)"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a retired 6to4 relay (RFC 7526)"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private network (RFC 1918)"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks only (RFC 2544)"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation only (RFC 5737)"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation only (RFC 5737)"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast (RFC 5771)"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast (RFC 919)"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved (RFC 1112)"),
];

/// Global unicast is 2000::/3 (RFC 4291 §2.4); what lies outside has one of these names, or none.
const RESERVED_V6: [(Ipv6Addr, u8, &str); 15] = [
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "this machine itself (loopback)"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "an IPv4 address behind NAT64 (RFC 6052)"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "an IPv4 address behind a local NAT64 (RFC 8215)"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "a black hole (RFC 6666)"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "an IPv4 address inside Teredo (RFC 4380)"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols (RFC 2928)"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation only (RFC 3849)"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "an IPv4 address inside 6to4 (RFC 3056)"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation only (RFC 9637)"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "for segment routing (RFC 9602)"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private network (unique local, RFC 4193)"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local (RFC 4291)"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local (RFC 3879)"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast (RFC 4291)"),
];

/// Whether `network` contains `address`. An IPv4 address written as IPv6 is the IPv4 address.
pub(super) fn contains(network: Network, address: IpAddr) -> bool {
    match (network.0.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(network.1.min(32));
            u32::from(base).checked_shr(shift) == u32::from(address).checked_shr(shift)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(network.1.min(128));
            u128::from(base).checked_shr(shift) == u128::from(address).checked_shr(shift)
        }
        _ => false,
    }
}

/// Why `address` is not to be connected to; `None` where it may be.
pub(super) fn refusal(address: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    let address = address.to_canonical();
    if allowed.iter().any(|network| contains(*network, address)) {
        return None;
    }
    match address {
        IpAddr::V4(_) => RESERVED_V4
            .iter()
            .find(|(base, bits, _)| contains((IpAddr::V4(*base), *bits), address))
            .map(|(.., reason)| *reason),
        IpAddr::V6(_) => {
            let named = RESERVED_V6
                .iter()
                .find(|(base, bits, _)| contains((IpAddr::V6(*base), *bits), address))
                .map(|(.., reason)| *reason);
            let global = contains((IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)), 3), address);
            named.or((!global).then_some("outside of global unicast (RFC 4291 §2.4)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_globally_reachable_is_refused() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.255.255",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(refusal(address(text), &[]).is_some(), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1",
            "2a00::1",
            "3ffe::1",
        ] {
            assert_eq!(refusal(address(text), &[]), None, "{text}");
        }
    }

    #[test]
    fn a_network_is_allowed_by_name_and_nothing_else_with_it() {
        let allowed = [(address("10.1.0.0"), 16), (address("fd00::"), 8), (address("127.0.0.2"), 32)];
        for text in ["10.1.255.1", "::ffff:10.1.0.1", "fd12::1", "127.0.0.2"] {
            assert_eq!(refusal(address(text), &allowed), None, "{text}");
        }
        for text in ["10.2.0.1", "127.0.0.1", "127.0.0.3", "fc00::1", "169.254.169.254"] {
            assert!(refusal(address(text), &allowed).is_some(), "{text}");
        }
        assert_eq!(refusal(address("::1"), &[(address("::"), 0)]), None);
        assert_eq!(refusal(address("127.0.0.1"), &[(address("0.0.0.0"), 0)]), None);
        assert!(refusal(address("127.0.0.1"), &[(address("::"), 0)]).is_some());
    }
}
