//! How long certificates live.

use crate::{error::SshError, role::Role};
use chancery_engine::{
    MountPoint,
    wire::{Text, parse_duration},
};
use jiff::{SignedDuration, Timestamp};

/// First and last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// valid after
    pub after: Timestamp,
    /// valid before
    pub before: Timestamp,
}

/// Reads a `ttl`; absent and empty are none.
///
/// # Errors
/// [`SshError::Caller`]: zero and less are no life at all.
pub(crate) fn parse_ttl(text: Option<&Text>) -> Result<Option<u64>, SshError> {
    let Some(Text(text)) = text.filter(|text| !text.0.trim().is_empty()) else { return Ok(None) };
    let invalid = |what: &str| {
        SshError::Caller(format!("Field validation failed: error converting input for field \"ttl\": {what}"))
    };
    let seconds = parse_duration(text).map_err(|_| invalid("time: invalid duration"))?;
    match u64::try_from(seconds) {
        Ok(0) => Err(SshError::caller("ttl must be greater than zero")),
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) => Err(invalid(&format!("cannot provide negative value '{seconds}'"))),
    }
}

impl Role {
    /// From when to when, counted from `now`.
    ///
    /// # Errors
    /// [`SshError::Caller`] where more was asked for than the role or the mount gives.
    pub(crate) fn validity(
        &self,
        asked: Option<u64>,
        mount: &MountPoint,
        now: Timestamp,
    ) -> Result<Validity, SshError> {
        let longest = if self.max_ttl == 0 { mount.max_lease_ttl } else { self.max_ttl };
        let usual = if self.ttl == 0 { mount.default_lease_ttl } else { self.ttl };
        let ttl = match asked {
            Some(asked) if asked > longest => {
                return Err(SshError::Caller(format!("ttl is larger than maximum allowed {longest}")));
            }
            Some(asked) => asked,
            None => usual.min(longest),
        };
        // A whole second: certificates know no parts of one.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let span = |seconds: u64| i64::try_from(seconds).map(SignedDuration::from_secs).ok();
        let before = span(ttl).and_then(|ttl| now.checked_add(ttl).ok());
        let after = span(self.not_before_duration).and_then(|skew| now.checked_sub(skew).ok());
        match (after, before) {
            (Some(after), Some(before)) if after < before && after >= Timestamp::UNIX_EPOCH => {
                Ok(Validity { after, before })
            }
            _ => Err(SshError::caller("the validity reaches beyond what a certificate can say")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn mount() -> MountPoint {
        MountPoint {
            path: "ssh/".to_owned(),
            kind: "ssh".to_owned(),
            accessor: String::new(),
            uuid: String::new(),
            default_lease_ttl: 3600,
            max_lease_ttl: 7200,
            options: BTreeMap::new(),
        }
    }

    fn lives(role: &Role, asked: Option<u64>) -> Result<i64, String> {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let validity = role.validity(asked, &mount(), now).map_err(|error| error.to_string())?;
        assert_eq!(validity.after.as_second(), 1_000_000 - 30);
        Ok(validity.before.as_second() - 1_000_000)
    }

    #[test]
    fn role_and_mount_bound_the_life() {
        let role = |ttl, max_ttl| Role { ttl, max_ttl, ..Role::default() };
        assert_eq!(lives(&role(0, 0), None), Ok(3600));
        assert_eq!(lives(&role(60, 0), None), Ok(60));
        assert_eq!(lives(&role(0, 10), None), Ok(10), "the usual life is cut to the longest");
        assert_eq!(lives(&role(60, 100), Some(100)), Ok(100));
        assert_eq!(lives(&role(60, 100), Some(101)).unwrap_err(), "ttl is larger than maximum allowed 100");
        assert_eq!(lives(&role(60, 0), Some(7201)).unwrap_err(), "ttl is larger than maximum allowed 7200");
        assert!(lives(&role(0, u64::MAX), Some(u64::MAX)).is_err());
    }

    #[test]
    fn a_ttl_of_nothing_is_refused() {
        let parse = |text: &str| parse_ttl(Some(&Text(text.to_owned()))).map_err(|error| error.to_string());
        assert_eq!(parse_ttl(None).unwrap(), None);
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("5m").unwrap(), Some(300));
        assert_eq!(parse("0").unwrap_err(), "ttl must be greater than zero");
        assert!(parse("-1").unwrap_err().contains("negative value '-1'"));
        assert!(parse("soon").unwrap_err().contains("invalid duration"));
    }
}
