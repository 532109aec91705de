//! How long a token may live: one rule for creation and renewal.

use crate::tokens::record::{RenewalLimits, later};
use chancery_engine::{Fault, wire::format_go_duration};
use jiff::Timestamp;

/// The outcome: seconds from now, the end they lead to, and what the caller should know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) ttl: u64,
    pub(crate) expires: Timestamp,
    pub(crate) warnings: Vec<String>,
}

/// Decides the TTL of a token made at `issued` that asks for `increment` seconds (0: whatever is usual) at `now`.
///
/// A period ignores the maximum but for its own length; an explicit maximum caps even a period. Never answers 0
/// (CVE-2020-25816, CVE-2021-32923): what is past its end is refused.
pub(crate) fn grant(
    limits: &RenewalLimits,
    increment: u64,
    issued: Timestamp,
    now: Timestamp,
) -> Result<Granted, Fault> {
    let mut warnings = Vec::new();
    let maximum = [limits.max_ttl, limits.explicit_max_ttl]
        .into_iter()
        .filter(|bound| *bound > 0)
        .fold(limits.mount_max_ttl, |least, bound| if least == 0 { bound } else { least.min(bound) });
    let (mut ttl, end) = if limits.period > 0 {
        let end = (limits.explicit_max_ttl > 0).then(|| later(issued, limits.explicit_max_ttl));
        if maximum > 0 && limits.period > maximum {
            warnings.push(capped("period", limits.period, maximum));
            (maximum, end)
        } else {
            (limits.period, end)
        }
    } else {
        let usual = if limits.ttl > 0 { limits.ttl } else { limits.mount_default_ttl };
        (if increment > 0 { increment } else { usual }, (maximum > 0).then(|| later(issued, maximum)))
    };
    if let Some(end) = end {
        let left = seconds_up_to(now, end);
        if left == 0 {
            return Err(Fault::caller("past the max TTL, cannot renew"));
        }
        if ttl > left {
            if limits.period == 0 {
                warnings.push(capped("TTL", ttl, maximum));
            }
            ttl = left;
        }
    }
    if ttl == 0 {
        return Err(Fault::caller("token TTL must be positive"));
    }
    let expires = end.map_or(later(now, ttl), |end| end.min(later(now, ttl)));
    Ok(Granted { ttl, expires, warnings })
}

/// Seconds from `now` to `end`, a begun one counted whole: who asks for all of it at once is shown all of it.
fn seconds_up_to(now: Timestamp, end: Timestamp) -> u64 {
    let left = end.duration_since(now);
    u64::try_from(left.as_secs()).unwrap_or(0) + u64::from(left.subsec_nanos() > 0)
}

fn capped(what: &str, asked: u64, maximum: u64) -> String {
    let thing = if what == "TTL" { "TTL value" } else { "period value" };
    format!(
        "{what} of \"{}\" exceeded the effective max_ttl of \"{}\"; {thing} is capped accordingly",
        short_duration(asked),
        short_duration(maximum)
    )
}

/// `1h30m`, not `1h30m0s`.
fn short_duration(seconds: u64) -> String {
    let long = format_go_duration(seconds);
    let without_seconds = long.strip_suffix("m0s").map_or(long.clone(), |rest| format!("{rest}m"));
    without_seconds.strip_suffix("h0m").map_or(without_seconds.clone(), |rest| format!("{rest}h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNT: RenewalLimits = RenewalLimits {
        ttl: 0,
        max_ttl: 0,
        explicit_max_ttl: 0,
        period: 0,
        mount_default_ttl: 100,
        mount_max_ttl: 1000,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_increment_wins_over_the_role_over_the_mount() {
        assert_eq!(grant(&MOUNT, 0, at(0), at(0)).unwrap().ttl, 100);
        let role = RenewalLimits { ttl: 50, ..MOUNT };
        assert_eq!(grant(&role, 0, at(0), at(0)).unwrap().ttl, 50);
        assert_eq!(grant(&role, 70, at(0), at(0)).unwrap().ttl, 70);
    }

    #[test]
    fn the_maximum_counts_from_the_issue_and_is_told() {
        let granted = grant(&MOUNT, 7200, at(0), at(400)).unwrap();
        assert_eq!(granted.ttl, 600);
        assert_eq!(
            granted.warnings,
            ["TTL of \"2h\" exceeded the effective max_ttl of \"16m40s\"; TTL value is capped accordingly"]
        );
        assert!(grant(&MOUNT, 10, at(0), at(1000)).is_err());
    }

    #[test]
    fn a_begun_second_is_shown_but_not_given() {
        let now = at(0).checked_add(jiff::SignedDuration::from_millis(300)).unwrap();
        let granted = grant(&MOUNT, 7200, at(0), now).unwrap();
        assert_eq!((granted.ttl, granted.expires), (1000, at(1000)));
    }

    #[test]
    fn a_period_ignores_the_maximum_but_not_the_explicit_one() {
        let periodic = RenewalLimits { period: 300, ..MOUNT };
        assert_eq!(grant(&periodic, 9000, at(0), at(5000)).unwrap().ttl, 300);
        let explicit = RenewalLimits { explicit_max_ttl: 5100, ..periodic };
        assert_eq!(grant(&explicit, 0, at(0), at(5000)).unwrap().ttl, 100);
        let long = RenewalLimits { period: 36_000, explicit_max_ttl: 0, ..MOUNT };
        assert_eq!(
            grant(&long, 0, at(0), at(0)).unwrap().warnings,
            ["period of \"10h\" exceeded the effective max_ttl of \"16m40s\"; period value is capped accordingly"]
        );
    }

    #[test]
    fn cve_2020_25816_nothing_becomes_immortal() {
        let nothing = RenewalLimits::default();
        assert!(grant(&nothing, 0, at(0), at(0)).is_err());
        for now in [0, 1, 998, 999, 1000, 1001, i64::from(u32::MAX)] {
            if let Ok(granted) = grant(&MOUNT, u64::MAX, at(0), at(now)) {
                assert!(granted.ttl > 0 && granted.ttl <= 1000, "{now}");
            }
        }
    }

    #[test]
    fn durations_are_shortened_as_go_people_write_them() {
        for (seconds, text) in
            [(36_000, "10h"), (5400, "1h30m"), (61, "1m1s"), (60, "1m"), (10, "10s"), (3601, "1h0m1s")]
        {
            assert_eq!(short_duration(seconds), text);
        }
    }
}
