//! Durations as clients write them: integer seconds, numeric strings, Go durations and days.

use super::parse::{DURATION, OUT_OF_RANGE};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// A duration in whole seconds. Negative values parse, for the endpoint to refuse in its own words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DurationSeconds(pub i64);

impl DurationSeconds {
    /// Seconds, with negative ones as zero.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }
}

/// Parses `3600`, `1h30m`, `1.5h`, `30d`, `250ms` into whole seconds, fractions cut off. Empty text is zero.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    let invalid = || format!("invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        nanoseconds = nanoseconds
            .checked_add(scaled(number, unit_nanoseconds(unit).ok_or_else(invalid)?).ok_or_else(invalid)?)
            .ok_or_else(invalid)?;
        rest = tail;
    }
    let seconds = i64::try_from(nanoseconds / 1_000_000_000).map_err(|_| invalid())?;
    Ok(if negative { -seconds } else { seconds })
}

/// Writes seconds the way Go prints a duration: `1h30m0s`.
#[must_use]
pub fn format_go_duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn unit_nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        _ => return None,
    })
}

fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    if !fraction.is_empty() {
        let power = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        total = total.checked_add(fraction.parse::<i128>().ok()?.checked_mul(unit)? / power)?;
    }
    Some(total)
}

impl<'de> Deserialize<'de> for DurationSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = DurationSeconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration: seconds, or a text such as \"1h30m\" or \"30d\"")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(DurationSeconds(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                i64::try_from(value).map(DurationSeconds).map_err(|_| E::custom(OUT_OF_RANGE))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the range is checked; fractions of a second are cut off"
                )]
                if value.is_finite() && value.abs() < 9e15 {
                    Ok(DurationSeconds(value as i64))
                } else {
                    Err(E::custom(OUT_OF_RANGE))
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
                parse_duration(value).map(DurationSeconds).map_err(|_| E::custom(DURATION))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(DurationSeconds(0))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling_clients_use() {
        for (text, seconds) in [
            ("3600", 3600),
            ("1h30m", 5400),
            ("2160h0m0s", 7_776_000),
            ("30d", 2_592_000),
            ("1.5h", 5400),
            ("250ms", 0),
            ("", 0),
            ("-5s", -5),
            ("-1", -1),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
        }
        for hostile in ["h", "1x", "1h30", "-", "+", ".s", "99999999999999999999999h", "1..2s", "1h-5m"] {
            assert!(parse_duration(hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn go_durations_are_printed_like_go() {
        assert_eq!(format_go_duration(0), "0s");
        assert_eq!(format_go_duration(90), "1m30s");
        assert_eq!(format_go_duration(2_764_800), "768h0m0s");
    }
}
