//! How much one client may ask for: buckets in memory that fill again with time (GCRA). Generous, because clusters come
//! from one address; they are there against floods.

use jiff::Timestamp;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// Buckets of one kind.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// Microseconds one request costs.
    cost: i64,
    /// Microseconds that may be owed.
    burst: i64,
    owed: Mutex<Owed<K>>,
}

/// Until when each client owes. Who has not come for the time of a burst owes nothing, so the older half is thrown away
/// as a whole and never searched.
#[derive(Debug)]
struct Owed<K> {
    young: HashMap<K, i64>,
    old: HashMap<K, i64>,
    /// When the halves were last turned.
    turned: i64,
}

/// Most clients in one half. Where more owe at once, those are forgotten that have not come for longest.
const MOST_CLIENTS: usize = 100_000;

/// The limits of one mount.
#[derive(Debug)]
pub(crate) struct Limits {
    /// New accounts, by network.
    pub(crate) accounts: Buckets<IpAddr>,
    /// Nonces asked for, by network.
    pub(crate) nonces: Buckets<IpAddr>,
    /// New orders, by account.
    pub(crate) orders: Buckets<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { accounts: Buckets::new(10, 500), nonces: Buckets::new(2000, 20_000), orders: Buckets::new(500, 5000) }
    }
}

/// Who counts as one: an IPv4 address, or the 64 bits of an IPv6 address that a network has to itself (RFC 6177), in which
/// every host may have as many addresses as it likes.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl<K: std::hash::Hash + Eq> Buckets<K> {
    fn new(a_second: i64, burst: i64) -> Self {
        let cost = 1_000_000 / a_second;
        let owed = Owed { young: HashMap::new(), old: HashMap::new(), turned: 0 };
        Self { cost, burst: burst * cost, owed: Mutex::new(owed) }
    }

    /// Takes one, or says after how many seconds there is one again.
    pub(crate) fn take(&self, client: K, now: Timestamp) -> Result<(), u32> {
        let now = now.as_microsecond();
        let mut owed = self.owed.lock();
        if owed.young.len() >= MOST_CLIENTS || now.saturating_sub(owed.turned) >= self.burst {
            owed.old = std::mem::take(&mut owed.young);
            owed.turned = now;
        }
        let until = owed.young.get(&client).or_else(|| owed.old.get(&client)).copied().unwrap_or(now);
        let next = until.max(now) + self.cost;
        if next - now > self.burst {
            let wait = (next - now - self.burst) / 1_000_000 + 1;
            return Err(u32::try_from(wait).unwrap_or(60));
        }
        owed.young.insert(client, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_flood_is_stopped_and_time_heals_it() {
        let buckets = Buckets::new(10, 3);
        let now = second(1_000_000);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", now), Ok(()));
        }
        assert_eq!(buckets.take("a", now), Err(1));
        assert_eq!(buckets.take("b", now), Ok(()));
        assert_eq!(buckets.take("a", second(1_000_001)), Ok(()));
    }

    #[test]
    fn who_owes_is_not_forgotten_before_it_has_paid() {
        // A second's worth may be owed; the halves are turned each second.
        let buckets = Buckets::new(1000, 1000);
        let at = |millisecond: i64| Timestamp::from_millisecond(1_000_000 + millisecond).unwrap();
        assert_eq!(buckets.take("turns", at(0)), Ok(()));
        for _ in 0..1000 {
            assert_eq!(buckets.take("a", at(900)), Ok(()));
        }
        assert_eq!(buckets.take("turns", at(1000)), Ok(()));
        let now = (0..1000).filter(|_| buckets.take("a", at(1000)).is_ok()).count();
        assert_eq!(now, 100);
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::"), "2001:db8:1:2::");
        assert_ne!(of("2001:db8:1:3::1"), "2001:db8:1:2::");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn more_clients_than_are_remembered_cost_no_more_each() {
        let buckets = Buckets::new(1, 1000);
        let now = second(1_000_000);
        for client in 0..3 * MOST_CLIENTS {
            assert_eq!(buckets.take(client, now), Ok(()));
        }
        let owed = buckets.owed.lock();
        assert!(owed.young.len() + owed.old.len() <= 2 * MOST_CLIENTS);
        // Those who came last are still known.
        assert!(owed.young.contains_key(&(3 * MOST_CLIENTS - 1)));
        assert!(!owed.old.contains_key(&0));
    }
}
