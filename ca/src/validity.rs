//! How long a certificate may live: role, mount, request and issuer, in that order of narrowing.
//!
//! notAfter is the last second of validity (RFC 5280 §4.1.2.5 is inclusive), so a TTL of an hour ends one second before
//! the full hour: Let's Encrypt's 2021-06-08 incident was this second.

use crate::{error::CaError, role::Role};
use chancery_engine::wire::format_go_duration;
use jiff::{Span, Timestamp};

/// What a request says about time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedValidity {
    /// `ttl` in seconds; 0 leaves it to the role.
    pub ttl: u64,
    /// `not_after`, RFC 3339; empty leaves it to the TTL.
    pub not_after: String,
    /// `not_before`, RFC 3339; empty leaves it to the role.
    pub not_before: String,
}

/// The mount's bounds, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountTtl {
    /// Where neither request nor role say anything.
    pub default: u64,
    /// Where the role has no maximum.
    pub maximum: u64,
}

/// The issuer's end and what it means for those below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerBound {
    /// Start of the issuer's validity.
    pub not_before: Timestamp,
    /// Last second of the issuer's validity.
    pub not_after: Timestamp,
    /// What happens to certificates that would outlive it.
    pub behavior: LeafNotAfter,
}

/// `leaf_not_after_behavior`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeafNotAfter {
    /// Refuse.
    #[default]
    Err,
    /// End with the issuer.
    Truncate,
    /// Outlive it.
    Permit,
}

/// First and last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// notBefore
    pub not_before: Timestamp,
    /// notAfter
    pub not_after: Timestamp,
}

/// The end that means there is none (RFC 5280 §4.1.2.5): what certificates have as 99991231235959Z, which is later than any
/// instant a [`Timestamp`] can name, is its latest whole second here.
pub const NO_END: i64 = 253_402_207_200;
/// 9999-12-31T23:59:59Z
const WRITTEN_NO_END: i64 = 253_402_300_799;
const WRITTEN_NO_END_TEXT: &str = "9999-12-31T23:59:59Z";

/// The second a certificate has for this instant.
#[must_use]
pub fn written_second(at: Timestamp) -> i64 {
    if at.as_second() == NO_END { WRITTEN_NO_END } else { at.as_second() }
}

/// The same as text, RFC 3339.
#[must_use]
pub fn written_text(at: Timestamp) -> String {
    if at.as_second() == NO_END { WRITTEN_NO_END_TEXT.to_owned() } else { at.to_string() }
}

/// The instant for a second that stands in a certificate.
///
/// # Errors
/// [`CaError::Caller`] outside of the years that are told.
pub fn read_second(second: i64) -> Result<Timestamp, CaError> {
    let known = if (NO_END..=WRITTEN_NO_END).contains(&second) { NO_END } else { second };
    Timestamp::from_second(known).map_err(|error| CaError::Caller(error.to_string()))
}

/// Decides from when to when. Returns warnings besides.
///
/// # Errors
/// [`CaError::Caller`] where the request leaves the bounds.
pub fn decide(
    role: &Role,
    asked: &AskedValidity,
    mount: MountTtl,
    issuer: Option<IssuerBound>,
    now: Timestamp,
) -> Result<(Validity, Vec<String>), CaError> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut warnings = Vec::new();
    let mut not_before = start(role, asked, now)?;
    let mut not_after = end(role, asked, mount, now, &mut warnings)?;
    if let Some(issuer) = issuer {
        let is_stated = !asked.not_before.is_empty() || !role.not_before.is_empty();
        if !is_stated && issuer.behavior != LeafNotAfter::Permit {
            not_before = not_before.max(issuer.not_before);
        }
        if not_after > issuer.not_after {
            match issuer.behavior {
                LeafNotAfter::Permit => {}
                LeafNotAfter::Truncate => not_after = issuer.not_after,
                LeafNotAfter::Err => {
                    return Err(CaError::Caller(format!(
                        "cannot satisfy request, as TTL would result in notAfter of {not_after} that is beyond the expiration of the CA certificate at {}",
                        issuer.not_after
                    )));
                }
            }
        }
    }
    // Whatever is allowed to outlive an issuer, nothing begins after its end.
    if let Some(issuer) = issuer.filter(|issuer| issuer.not_after < now) {
        return Err(CaError::Caller(format!(
            "the CA certificate expired at {}; nothing is issued with it",
            issuer.not_after
        )));
    }
    if not_before > not_after {
        return Err(CaError::Caller(format!(
            "The certificate's Not Before ({not_before}) is later than the certificate's Not After ({not_after})"
        )));
    }
    Ok((Validity { not_before, not_after }, warnings))
}

fn start(role: &Role, asked: &AskedValidity, now: Timestamp) -> Result<Timestamp, CaError> {
    let earliest = minus(now, role.not_before_duration)?;
    if asked.not_before.is_empty() && role.not_before.is_empty() {
        return Ok(earliest);
    }
    // What the role states, nobody else states.
    if !role.not_before.is_empty() && role.not_before_bound != "forbid" {
        return time(&role.not_before);
    }
    if asked.not_before.is_empty() {
        return time(&role.not_before);
    }
    let not_before = time(&asked.not_before)?;
    match role.not_before_bound.as_str() {
        "forbid" => Err(CaError::caller("not_before_bound is set to forbid. not_before cannot be provided.")),
        "duration" if not_before < earliest => Err(CaError::Caller(format!(
            "not_before_bound is set to duration. Cannot satisfy request as it would result in notBefore of {not_before} that is older than the allowed not_before_duration of {}",
            format_go_duration(role.not_before_duration)
        ))),
        _ => Ok(not_before),
    }
}

fn end(
    role: &Role,
    asked: &AskedValidity,
    mount: MountTtl,
    now: Timestamp,
    warnings: &mut Vec<String>,
) -> Result<Timestamp, CaError> {
    // What the role states, nobody else states.
    let stated = if role.not_after.is_empty() { &asked.not_after } else { &role.not_after };
    if asked.ttl > 0 && !stated.is_empty() {
        return Err(CaError::caller(
            "Either ttl or not_after should be provided. Both should not be provided in the same request.",
        ));
    }
    let ttl = ttl(role, asked, mount, warnings);
    let by_ttl = last_second(now, ttl)?;
    let not_after = if stated.is_empty() { by_ttl } else { time(stated)? };
    match role.not_after_bound.as_str() {
        "permit" | "" => {}
        "forbid" if asked.not_after.is_empty() => {}
        "forbid" => return Err(CaError::caller("not_after_bound is set to forbid. not_after cannot be provided.")),
        "ttl-limited" if not_after <= by_ttl => {}
        "ttl-limited" => {
            return Err(CaError::Caller(format!(
                "not_after_bound is set to ttl-limited. Cannot satisfy request as that would result in notAfter of {not_after} that is beyond the TTL of {}",
                format_go_duration(ttl)
            )));
        }
        limit if not_after <= time(limit)? => {}
        limit => {
            return Err(CaError::Caller(format!(
                "not_after_bound is set to {limit}. Cannot statisfy request as that would result in notAfter of {not_after} that is beyond the maximum timestamp of {limit}"
            )));
        }
    }
    Ok(not_after)
}

fn ttl(role: &Role, asked: &AskedValidity, mount: MountTtl, warnings: &mut Vec<String>) -> u64 {
    let ttl = [asked.ttl, role.ttl].into_iter().find(|ttl| *ttl > 0).unwrap_or(mount.default);
    let maximum = longest_life(role, mount);
    if ttl <= maximum {
        return ttl;
    }
    warnings.push(format!(
        "TTL {:?} is longer than permitted maxTTL {:?}, so maxTTL is being used",
        format_go_duration(ttl),
        format_go_duration(maximum)
    ));
    maximum
}

/// The longest TTL.
pub(crate) fn longest_life(role: &Role, mount: MountTtl) -> u64 {
    if role.max_ttl > 0 { role.max_ttl } else { mount.maximum }
}

/// The last second of a life of `ttl` seconds that begins now.
fn last_second(now: Timestamp, ttl: u64) -> Result<Timestamp, CaError> {
    let seconds = i64::try_from(ttl.saturating_sub(1)).ok();
    seconds
        .and_then(|seconds| Span::new().try_seconds(seconds).ok())
        .and_then(|span| now.checked_add(span).ok())
        .ok_or_else(|| CaError::Caller(format!("TTL of {ttl} s ends beyond the year 9999")))
}

fn minus(now: Timestamp, seconds: u64) -> Result<Timestamp, CaError> {
    let span = i64::try_from(seconds).ok().and_then(|seconds| Span::new().try_seconds(seconds).ok());
    span.and_then(|span| now.checked_sub(span).ok())
        .ok_or_else(|| CaError::Caller(format!("not_before_duration of {seconds} s starts before all time")))
}

fn time(text: &str) -> Result<Timestamp, CaError> {
    if text == WRITTEN_NO_END_TEXT {
        return read_second(WRITTEN_NO_END);
    }
    let parsed: Timestamp = text.parse().map_err(|_| {
        CaError::Caller(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
        ))
    })?;
    Timestamp::from_second(parsed.as_second()).map_err(|error| CaError::Caller(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T06:00:00Z";
    const MOUNT: MountTtl = MountTtl { default: 2_764_800, maximum: 2_764_800 };

    fn decided(role: &Role, asked: &AskedValidity) -> Result<(Validity, Vec<String>), String> {
        decide(role, asked, MOUNT, None, NOW.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn le_2021_06_08_the_last_second_counts() {
        let role = Role { max_ttl: 90 * 86_400, ..Role::default() };
        let asked = AskedValidity { ttl: 91 * 86_400, ..AskedValidity::default() };
        let (validity, warnings) = decided(&role, &asked).unwrap();
        let seconds = validity.not_after.as_second() - validity.not_before.as_second() + 1;
        assert_eq!(seconds, 90 * 86_400 + 30);
        assert_eq!(
            warnings,
            ["TTL \"2184h0m0s\" is longer than permitted maxTTL \"2160h0m0s\", so maxTTL is being used"]
        );
    }

    #[test]
    fn the_issuer_bounds_the_end() {
        let issuer = |behavior| {
            Some(IssuerBound {
                not_before: "2026-11-21T05:59:50Z".parse().unwrap(),
                not_after: "2026-11-21T06:10:00Z".parse().unwrap(),
                behavior,
            })
        };
        let asked = AskedValidity { ttl: 3600, ..AskedValidity::default() };
        let decide = |behavior| decide(&Role::default(), &asked, MOUNT, issuer(behavior), NOW.parse().unwrap());
        assert_eq!(
            decide(LeafNotAfter::Err).unwrap_err().to_string(),
            "cannot satisfy request, as TTL would result in notAfter of 2026-11-21T06:59:59Z that is beyond the expiration of the CA certificate at 2026-11-21T06:10:00Z"
        );
        let (truncated, _) = decide(LeafNotAfter::Truncate).unwrap();
        assert_eq!(truncated.not_after.to_string(), "2026-11-21T06:10:00Z");
        assert_eq!(truncated.not_before.to_string(), "2026-11-21T05:59:50Z");
        assert_eq!(decide(LeafNotAfter::Permit).unwrap().0.not_after.to_string(), "2026-11-21T06:59:59Z");
    }

    #[test]
    fn bounds_on_stated_times_are_kept() {
        let late = AskedValidity { not_after: "2027-01-01T00:00:00Z".into(), ..AskedValidity::default() };
        let role = |bound: &str| Role { not_after_bound: bound.into(), ttl: 3600, ..Role::default() };
        assert!(decided(&role("permit"), &late).is_ok());
        assert!(decided(&role("forbid"), &late).unwrap_err().starts_with("not_after_bound is set to forbid"));
        assert!(decided(&role("ttl-limited"), &late).unwrap_err().ends_with("beyond the TTL of 1h0m0s"));
        assert!(decided(&role("2026-12-01T00:00:00Z"), &late).is_err());
        assert!(decided(&role("2027-12-01T00:00:00Z"), &late).is_ok());
        let early = AskedValidity { not_before: "2020-01-01T00:00:00Z".into(), ..AskedValidity::default() };
        for (bound, good) in [("permit", true), ("duration", false), ("forbid", false)] {
            let role = Role { not_before_bound: bound.into(), ..Role::default() };
            assert_eq!(decided(&role, &early).is_ok(), good, "{bound}");
        }
    }

    #[test]
    fn no_end_is_an_end_that_can_be_stated() {
        let asked = AskedValidity { not_after: "9999-12-31T23:59:59Z".into(), ..AskedValidity::default() };
        let (validity, _) = decided(&Role::default(), &asked).unwrap();
        assert_eq!(written_second(validity.not_after), 253_402_300_799);
        assert_eq!(read_second(253_402_300_799).unwrap(), validity.not_after);
        assert_eq!(written_text(validity.not_after), asked.not_after);
        assert_eq!(written_text(NOW.parse().unwrap()), NOW);
        assert_eq!(validity.not_after, Timestamp::from_second(Timestamp::MAX.as_second()).unwrap());
        assert_eq!(written_second(NOW.parse().unwrap()), NOW.parse::<Timestamp>().unwrap().as_second());
    }

    #[test]
    fn contradictions_and_junk_are_refused() {
        let both = AskedValidity { ttl: 1, not_after: "2027-01-01T00:00:00Z".into(), ..AskedValidity::default() };
        assert!(decided(&Role::default(), &both).unwrap_err().starts_with("Either ttl or not_after"));
        let junk = AskedValidity { not_after: "junk".into(), ..AskedValidity::default() };
        assert!(decided(&Role::default(), &junk).unwrap_err().starts_with("parsing time \"junk\""));
        let past = AskedValidity { not_after: "2020-01-01T00:00:00Z".into(), ..AskedValidity::default() };
        assert!(decided(&Role::default(), &past).unwrap_err().contains("is later than"));
        let endless = Role { ttl: u64::MAX, max_ttl: u64::MAX, ..Role::default() };
        assert!(decided(&endless, &AskedValidity::default()).is_err());
    }
}
