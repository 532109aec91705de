//! Serial numbers (RFC 5280 §4.1.2.2): positive, at most 20 octets, unguessable, and close to those made at the same time.

use crate::error::CaError;
use chancery_engine::Fault;
use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A serial number: big-endian, without leading zeros. Written as `1a:2b:…`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// Octets of the ones we choose.
    pub const OCTETS: usize = 20;

    /// A fresh one: a fixed `01`, so that it is positive (COSMIAN-2025-002), always of the same length and minimal in DER;
    /// 30 bits of time; 128 random bits.
    ///
    /// Those that are made one after the other lie side by side in the inventory's index. Were the first bits random too,
    /// every certificate would write a page of its own there, and issuing would halve its speed by the millionth. The time is
    /// so fine that those of one commit share a page, and begins anew after 51 days, which does not matter to that.
    ///
    /// # Errors
    /// [`CaError::Fault`] if the operating system has no randomness.
    pub fn fresh(now: Timestamp) -> Result<Self, CaError> {
        let mut octets = [0_u8; Self::OCTETS];
        getrandom::fill(&mut octets)
            .map_err(|error| CaError::Fault(Fault::Dependency(format!("getrandom: {error}"))))?;
        // One more every 4.096 milliseconds.
        let time = u32::try_from((now.as_microsecond() >> 12) & 0x3fff_ffff).unwrap_or(0);
        for (octet, byte) in octets.iter_mut().zip((0x4000_0000 | time).to_be_bytes()) {
            *octet = byte;
        }
        Ok(Self(octets.to_vec()))
    }

    /// Takes the octets of an INTEGER.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes.get(zeros..).unwrap_or_default().to_vec())
    }

    /// Reads `1a:2b`, `1A-2B` or `1a2b`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| !matches!(c, ':' | '-')).collect();
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
        (!bytes.is_empty() && bytes.len() <= 64).then(|| Self::from_bytes(&bytes))
    }

    /// Octets written as serial numbers are: `0a:1b`.
    #[must_use]
    pub fn octets(bytes: &[u8]) -> String {
        Self(bytes.to_vec()).to_string()
    }

    /// Big-endian, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SerialNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SerialNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a serial number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosmian_2025_002_serials_are_positive_minimal_and_of_one_length() {
        for second in [i64::from(i32::MIN), 0, 1_800_000_000, 1 << 32, 1 << 36] {
            let now = Timestamp::from_second(second).unwrap();
            for _ in 0..200 {
                let serial = SerialNumber::fresh(now).unwrap();
                assert_eq!(serial.as_bytes().len(), SerialNumber::OCTETS);
                assert_eq!(serial.as_bytes()[0] & 0xc0, 0x40);
            }
        }
    }

    #[test]
    fn serials_of_one_time_are_neighbours_and_random_behind_it() {
        let at = |millisecond| SerialNumber::fresh(Timestamp::from_millisecond(millisecond).unwrap()).unwrap();
        assert!(at(1_800_000_000_000) < at(1_800_000_000_005) && at(1_800_000_000_005) < at(1_801_000_000_000));
        let (one, other) = (at(1_800_000_000_000), at(1_800_000_000_000));
        assert_eq!(one.as_bytes()[..4], other.as_bytes()[..4]);
        assert!((4..20).filter(|place| one.as_bytes()[*place] == other.as_bytes()[*place]).count() < 8);
    }

    #[test]
    fn serials_are_read_in_every_spelling() {
        let serial = SerialNumber::parse("0a:1B:2c").unwrap();
        assert_eq!(serial.to_string(), "0a:1b:2c");
        assert_eq!(SerialNumber::parse("0A-1b-2C"), Some(serial.clone()));
        assert_eq!(SerialNumber::parse("000a1b2c"), Some(serial));
        assert_eq!(SerialNumber::parse("zz"), None);
        assert_eq!(SerialNumber::parse(""), None);
        assert_eq!(SerialNumber::parse("0"), None);
    }
}
