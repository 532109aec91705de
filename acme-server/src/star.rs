//! Short-term, automatically renewed certificates (RFC 8739): what an order may ask for, and which certificate is due when.

use crate::{challenge::ChallengeType, problem::Problem};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Shortest `lifetime` that may be asked for, in seconds (`min-lifetime`, §3.2).
pub const MIN_LIFETIME: i64 = 3600;

/// §3.3 wants the next certificate at half of the lifetime at the latest. What is due is looked for about once a minute, so
/// it is due this many seconds earlier.
const MARGIN: i64 = 120;

/// `auto-renewal` of an order (§3.1.1), and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoRenewal {
    /// `start-date`
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// `end-date`
    pub end: Timestamp,
    /// `lifetime`, in seconds.
    pub lifetime: i64,
    /// `lifetime-adjust`, in seconds.
    #[serde(default)]
    pub adjust: i64,
    /// `allow-certificate-get`
    #[serde(default)]
    pub allow_get: bool,
    /// By what control of each of the order's names was shown; CAA records may allow some methods only.
    #[serde(default)]
    pub methods: Vec<Option<ChallengeType>>,
    /// First nominal renewal date (§3.5); none before the first certificate.
    #[serde(default)]
    pub first: Option<Timestamp>,
    /// When the next certificate is due; none where there will be no other.
    #[serde(default)]
    pub due: Option<Timestamp>,
}

/// What an order must keep to, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest life of one certificate.
    pub longest_life: i64,
    /// Longest time from the first certificate to `end-date` (`max-duration`, §3.2).
    pub max_duration: i64,
}

/// One certificate of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    nominal: Timestamp,
    /// First second; none leaves it to the role.
    pub not_before: Option<Timestamp>,
    /// Last second.
    pub not_after: Timestamp,
}

impl AutoRenewal {
    /// Reads what an order asks for. Members nobody knows are ignored (RFC 8555 §7.1).
    ///
    /// # Errors
    /// `malformed`, with the member and its value.
    pub fn read(asked: &Value, bounds: Bounds, now: Timestamp) -> Result<Self, Problem> {
        let asked = asked.as_object().ok_or_else(|| refuse("auto-renewal", asked, "is no object"))?;
        let end = time(asked, "end-date")?.ok_or_else(|| missing("end-date"))?;
        let lifetime = seconds(asked, "lifetime")?.ok_or_else(|| missing("lifetime"))?;
        let allow_get = match asked.get("allow-certificate-get") {
            None => false,
            Some(Value::Bool(allow)) => *allow,
            Some(other) => return Err(refuse("allow-certificate-get", other, "is neither true nor false")),
        };
        let adjust = seconds(asked, "lifetime-adjust")?.unwrap_or(0);
        let start = time(asked, "start-date")?;
        let renewal = Self { start, end, lifetime, adjust, allow_get, methods: Vec::new(), first: None, due: None };
        renewal.check(bounds, now)?;
        Ok(renewal)
    }

    fn check(&self, bounds: Bounds, now: Timestamp) -> Result<(), Problem> {
        let begins = self.start.unwrap_or(now);
        if self.end <= now || self.end <= begins {
            return Err(refuse("end-date", &self.end, "is past, or not after \"start-date\""));
        }
        if self.end.duration_since(begins).as_secs() > bounds.max_duration {
            let most = format!("is more than {} seconds after the start", bounds.max_duration);
            return Err(refuse("end-date", &self.end, &most));
        }
        if self.lifetime < MIN_LIFETIME {
            return Err(refuse("lifetime", &self.lifetime, &format!("is less than {MIN_LIFETIME} seconds")));
        }
        // A certificate is there before the nominal date from which its lifetime counts, and lives that much longer.
        let longest = bounds.longest_life.saturating_sub(MARGIN).saturating_mul(2) / 3;
        if self.lifetime > longest {
            let most = format!(
                "is more than {longest} seconds, with which certificates that overlap by half keep to the longest life allowed here"
            );
            return Err(refuse("lifetime", &self.lifetime, &most));
        }
        let rest = bounds.longest_life.saturating_sub(self.lifetime);
        if self.adjust.min(self.lifetime) > rest {
            let most =
                format!("is more than {rest} seconds, which is the longest life allowed here without \"lifetime\"");
            return Err(refuse("lifetime-adjust", &self.adjust, &most));
        }
        if let Some(start) = self.start.filter(|start| start.duration_since(now).as_secs() > rest) {
            let most = format!(
                "is more than {rest} seconds away, so the first certificate would be longer under way than any may live"
            );
            return Err(refuse("start-date", &start, &most));
        }
        Ok(())
    }

    /// §3.5: by how much each certificate but the first begins, and is there, before its nominal date.
    fn padding(&self) -> i64 {
        self.adjust.min(self.lifetime).max(self.lifetime / 2 + MARGIN)
    }

    /// Seconds that the longest of its certificates lives.
    #[must_use]
    pub fn longest_life(&self) -> i64 {
        self.lifetime.saturating_add(self.padding())
    }

    /// The certificate that is to be made now. One that should have been made while the server was away is left out for
    /// the one that follows it. None where the end has come.
    #[must_use]
    pub fn period(&self, now: Timestamp) -> Option<Period> {
        if now >= self.end {
            return None;
        }
        let Some(first) = self.first else {
            let nominal = self.start.map_or(now, |start| start.max(now));
            // No certificate begins before the date that was asked for.
            let not_before = self.start.map(|_| nominal);
            return Some(Period { nominal, not_before, not_after: self.not_after(nominal) });
        };
        let since = now.as_second().saturating_sub(first.as_second()).saturating_add(self.padding());
        let last = self.end.as_second().saturating_sub(first.as_second()).saturating_sub(1);
        let number = since.min(last).checked_div(self.lifetime)?;
        let nominal = later(first, number.saturating_mul(self.lifetime));
        let not_before = later(nominal, -self.padding()).max(first);
        Some(Period { nominal, not_before: Some(not_before), not_after: self.not_after(nominal) })
    }

    fn not_after(&self, nominal: Timestamp) -> Timestamp {
        later(nominal, self.lifetime).min(self.end)
    }

    /// Notes that this certificate was made.
    pub fn made(&mut self, period: Period) {
        self.first.get_or_insert(period.nominal);
        let next = later(period.nominal, self.lifetime);
        self.due = (next < self.end).then(|| later(next, -self.padding()));
    }

    /// As the order shows it.
    pub(crate) fn view(&self) -> Value {
        let mut object = json!({
            "end-date": self.end.to_string(),
            "lifetime": self.lifetime,
            "lifetime-adjust": self.adjust,
            "allow-certificate-get": self.allow_get,
        });
        if let Some(start) = self.start {
            crate::exchange::set(&mut object, "start-date", start.to_string());
        }
        object
    }
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    let limit = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(limit)
}

fn refuse(member: &str, value: &dyn std::fmt::Display, why: &str) -> Problem {
    let shown: String = value.to_string().chars().take(100).collect();
    Problem::malformed(format!("\"{member}\" of the automatic renewal: {shown} {why}"))
}

fn missing(member: &str) -> Problem {
    Problem::malformed(format!("the automatic renewal has no \"{member}\""))
}

fn time(asked: &Map<String, Value>, member: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(value) = asked.get(member) else { return Ok(None) };
    let read = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let whole = read.and_then(|time| Timestamp::from_second(time.as_second()).ok());
    whole.map(Some).ok_or_else(|| refuse(member, value, "is no time as RFC 3339 has it"))
}

fn seconds(asked: &Map<String, Value>, member: &str) -> Result<Option<i64>, Problem> {
    let Some(value) = asked.get(member) else { return Ok(None) };
    let read = value.as_i64().filter(|seconds| *seconds >= 0);
    read.map(Some).ok_or_else(|| refuse(member, value, "is no whole number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn of_days(lifetime: i64, adjust: i64) -> AutoRenewal {
        let asked = json!({
            "start-date": "2016-01-10T00:00:00Z",
            "end-date": "2016-01-20T00:00:00Z",
            "lifetime": lifetime * DAY,
            "lifetime-adjust": adjust * DAY,
        });
        let bounds = Bounds { longest_life: 30 * DAY, max_duration: 90 * DAY };
        AutoRenewal::read(&asked, bounds, at("2016-01-10T00:00:00Z")).unwrap()
    }

    /// The row of certificates of a server that looks once a minute.
    fn row(mut renewal: AutoRenewal) -> Vec<(String, String, String)> {
        let mut now = renewal.start.unwrap();
        let mut row = Vec::new();
        while let Some(period) = renewal.period(now) {
            let not_before = period.not_before.unwrap();
            row.push((now.to_string(), not_before.to_string(), period.not_after.to_string()));
            assert!(not_before <= now);
            renewal.made(period);
            let Some(due) = renewal.due else { break };
            now = later(due, 59);
        }
        row
    }

    #[test]
    fn the_example_of_rfc_8739_comes_out() {
        let times: Vec<_> = row(of_days(4, 3)).into_iter().map(|(_, begin, end)| (begin, end)).collect();
        let expected = [
            ("2016-01-10T00:00:00Z", "2016-01-14T00:00:00Z"),
            ("2016-01-11T00:00:00Z", "2016-01-18T00:00:00Z"),
            ("2016-01-15T00:00:00Z", "2016-01-20T00:00:00Z"),
        ];
        assert_eq!(times, expected.map(|(begin, end)| (begin.to_owned(), end.to_owned())));
    }

    #[test]
    fn the_next_certificate_is_there_before_half_of_the_lifetime() {
        for adjust in [0, 1, 2, 4] {
            let row = row(of_days(2, adjust));
            assert_eq!(row.len(), 5);
            assert_eq!(row.last().unwrap().2, "2016-01-20T00:00:00Z");
            for two in row.windows(2) {
                assert!(at(&two[1].0) <= later(at(&two[0].2), -DAY), "{adjust}: {row:?}");
            }
        }
    }

    #[test]
    fn a_server_that_was_away_goes_on_where_time_is_and_never_beyond_the_end() {
        let mut renewal = of_days(2, 0);
        renewal.made(renewal.period(at("2016-01-10T00:00:00Z")).unwrap());
        let period = renewal.period(at("2016-01-16T12:00:00Z")).unwrap();
        assert_eq!(period.not_after, at("2016-01-18T00:00:00Z"));
        let last = renewal.period(at("2016-01-19T23:59:59Z")).unwrap();
        assert_eq!(last.not_after, renewal.end);
        renewal.made(last);
        assert_eq!(renewal.due, None);
        assert_eq!(renewal.period(renewal.end), None);
    }

    #[test]
    fn hostile_numbers_are_refused_or_harmless() {
        let now = at("2026-11-21T00:00:00Z");
        let bounds = Bounds { longest_life: i64::MAX, max_duration: i64::MAX };
        for number in [i64::MAX, i64::MAX - 1, i64::MAX / 3, 0, 1, MIN_LIFETIME] {
            for end in ["9999-12-30T22:00:00Z", "2026-11-21T00:00:01Z", "-009999-01-02T01:59:59Z"] {
                let asked = json!({"end-date": end, "lifetime": number, "lifetime-adjust": number});
                if let Ok(mut renewal) = AutoRenewal::read(&asked, bounds, now) {
                    let period = renewal.period(now).unwrap();
                    renewal.made(period);
                    assert!(period.not_after <= renewal.end);
                }
            }
        }
    }
}
