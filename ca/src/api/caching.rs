//! HTTP headers of what is published for a time: CRLs and OCSP answers (RFC 9111, RFC 9919 §7.2). The edge answers 304 by
//! them.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A cache asks again after so long, however long the thing holds: a revocation must not hide behind it for days.
const LONGEST_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// What a cache may know.
pub(crate) struct Validity<'a> {
    pub(crate) etag: &'a str,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
    /// Seconds after which the next one is expected, where that is sooner than an hour.
    pub(crate) rhythm: Option<i64>,
}

/// The headers for it at the moment `now`.
pub(crate) fn headers(validity: &Validity<'_>, now: Timestamp) -> Vec<(&'static str, String)> {
    let rhythm = validity.rhythm.map_or(LONGEST_KEPT, |seconds| LONGEST_KEPT.min(SignedDuration::from_secs(seconds)));
    let left = validity.next_update.duration_since(now).min(rhythm).max(SignedDuration::ZERO);
    let expires = now.checked_add(left).unwrap_or(now);
    vec![
        ("etag", validity.etag.to_owned()),
        ("last-modified", http_date(validity.this_update)),
        ("expires", http_date(expires)),
        ("cache-control", format!("max-age={}, public, no-transform, must-revalidate", left.as_secs())),
    ]
}

/// RFC 9110 §5.6.7
fn http_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_asks_again_within_the_hour_and_never_after_the_end() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let value = |headers: &[(&str, String)], name| headers.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        let validity = Validity { etag: "\"1\"", this_update: at(0), next_update: at(10_000), rhythm: None };
        let early = headers(&validity, at(0));
        assert_eq!(value(&early, "cache-control"), "max-age=3600, public, no-transform, must-revalidate");
        assert_eq!(value(&early, "last-modified"), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(value(&early, "expires"), "Thu, 01 Jan 1970 01:00:00 GMT");
        assert!(value(&headers(&validity, at(9_900)), "cache-control").starts_with("max-age=100,"));
        assert!(value(&headers(&validity, at(20_000)), "cache-control").starts_with("max-age=0,"));
        let soon = Validity { rhythm: Some(60), ..validity };
        assert!(value(&headers(&soon, at(0)), "cache-control").starts_with("max-age=60,"));
    }
}
