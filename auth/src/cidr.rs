//! Address ranges that tokens and secret ids are bound to.

use std::net::IpAddr;

/// Whether `text` is an address, or a network in CIDR form.
pub(crate) fn is_address_or_network(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || network(text).is_some()
}

/// Whether `text` is a network in CIDR form.
pub(crate) fn is_network(text: &str) -> bool {
    network(text).is_some()
}

/// Whether `address` lies in one of `ranges`; every address does when there are none, no address does when unknown.
pub(crate) fn admits(ranges: &[String], address: Option<IpAddr>) -> bool {
    ranges.is_empty() || address.is_some_and(|address| ranges.iter().any(|range| contains(range, address)))
}

/// Whether every range of `inner` lies in some range of `outer`.
pub(crate) fn is_subset(inner: &[String], outer: &[String]) -> bool {
    outer.is_empty()
        || inner.iter().all(|range| {
            let Some((address, bits)) = network(range) else { return false };
            outer.iter().filter_map(|range| network(range)).any(|(base, width)| {
                width <= bits && masked(base, width) == masked(address, width) && base.is_ipv4() == address.is_ipv4()
            })
        })
}

fn contains(range: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    match network(range) {
        Some((base, bits)) => base.is_ipv4() == address.is_ipv4() && masked(base, bits) == masked(address, bits),
        None => range.parse::<IpAddr>().is_ok_and(|only| only.to_canonical() == address),
    }
}

fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address = address.parse::<IpAddr>().ok()?;
    let bits = bits.parse::<u32>().ok()?;
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

fn masked(address: IpAddr, bits: u32) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address).checked_shr(32 - bits.min(32)).unwrap_or(0)),
        IpAddr::V6(address) => u128::from(address).checked_shr(128 - bits.min(128)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(range: &str, address: &str) -> bool {
        admits(&[range.to_owned()], Some(address.parse().unwrap()))
    }

    #[test]
    fn networks_and_single_addresses_admit_their_own() {
        assert!(admitted("10.0.0.0/8", "10.255.0.1"));
        assert!(!admitted("10.0.0.0/8", "11.0.0.1"));
        assert!(admitted("127.0.0.1", "127.0.0.1"));
        assert!(admitted("127.0.0.1/32", "::ffff:127.0.0.1"));
        assert!(!admitted("0.0.0.0/0", "::1"));
        assert!(admitted("fd00::/8", "fd12::1"));
        assert!(!admits(&["10.0.0.0/8".to_owned()], None));
        assert!(admits(&[], None));
    }

    #[test]
    fn only_real_ranges_are_ranges() {
        for wrong in ["frob", "10.0.0.0/33", "10.0.0.0/", "/8", "1.2.3"] {
            assert!(!is_address_or_network(wrong), "{wrong}");
        }
        assert!(!is_network("10.0.0.1"));
    }

    #[test]
    fn subsets_are_narrower_networks() {
        let list = |text: &str| vec![text.to_owned()];
        assert!(is_subset(&list("10.1.0.0/16"), &list("10.0.0.0/8")));
        assert!(!is_subset(&list("10.0.0.0/8"), &list("10.1.0.0/16")));
        assert!(is_subset(&list("10.0.0.0/8"), &[]));
    }
}
