//! How much one client may ask for: buckets in memory that fill again with time (GCRA). Generous, because clusters come
//! from one address; they are there against floods.

use jiff::Timestamp;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr};

/// Buckets of one kind.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// Microseconds one request costs.
    cost: i64,
    /// Microseconds that may be owed.
    burst: i64,
    owed: Mutex<HashMap<K, i64>>,
}

/// Most clients that are remembered; then those who owe nothing are forgotten.
const MOST_CLIENTS: usize = 100_000;

/// The limits of one mount.
#[derive(Debug)]
pub(crate) struct Limits {
    /// New accounts, by address.
    pub(crate) accounts: Buckets<IpAddr>,
    /// Nonces asked for, by address.
    pub(crate) nonces: Buckets<IpAddr>,
    /// New orders, by account.
    pub(crate) orders: Buckets<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { accounts: Buckets::new(10, 500), nonces: Buckets::new(2000, 20_000), orders: Buckets::new(500, 5000) }
    }
}

impl<K: std::hash::Hash + Eq> Buckets<K> {
    fn new(a_second: i64, burst: i64) -> Self {
        let cost = 1_000_000 / a_second;
        Self { cost, burst: burst * cost, owed: Mutex::default() }
    }

    /// Takes one, or says after how many seconds there is one again.
    pub(crate) fn take(&self, client: K, now: Timestamp) -> Result<(), u32> {
        let now = now.as_microsecond();
        let mut owed = self.owed.lock();
        if owed.len() >= MOST_CLIENTS {
            owed.retain(|_, until| *until > now);
        }
        let until = owed.entry(client).or_insert(now);
        let next = (*until).max(now) + self.cost;
        if next - now > self.burst {
            let wait = (next - now - self.burst) / 1_000_000 + 1;
            return Err(u32::try_from(wait).unwrap_or(60));
        }
        *until = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_stopped_and_time_heals_it() {
        let buckets = Buckets::new(10, 3);
        let now = Timestamp::from_second(1_000_000).unwrap();
        for _ in 0..3 {
            assert_eq!(buckets.take("a", now), Ok(()));
        }
        assert_eq!(buckets.take("a", now), Err(1));
        assert_eq!(buckets.take("b", now), Ok(()));
        assert_eq!(buckets.take("a", Timestamp::from_second(1_000_001).unwrap()), Ok(()));
    }
}
