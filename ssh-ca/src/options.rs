//! Critical options and extensions: which there are, since which OpenSSH, and what their values may be.
//!
//! A server that does not know a critical option refuses the certificate (PROTOCOL.certkeys, "Critical options"), so one
//! that no OpenSSH knows is refused here, where somebody reads why.

use crate::error::SshError;
use std::{collections::BTreeMap, net::IpAddr};

/// Options by name, in the order OpenSSH demands.
pub type Options = BTreeMap<String, String>;

/// Options in one certificate, and bytes of one value.
const MOST: usize = 64;
const LONGEST_VALUE: usize = 8192;

/// Critical options OpenSSH knows, and the release that learnt them for certificates.
const CRITICAL: [(&str, Version); 3] =
    [("force-command", Version(5, 6)), ("source-address", Version(5, 6)), ("verify-required", Version(8, 4))];

/// Extensions OpenSSH knows. All of them are flags.
const EXTENSIONS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// A release of OpenSSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u16, u16);

impl Version {
    /// Reads `8.4`; empty text is no bound.
    ///
    /// # Errors
    /// [`SshError::Caller`] that quotes the text.
    pub fn parse(text: &str) -> Result<Option<Self>, SshError> {
        if text.is_empty() {
            return Ok(None);
        }
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        match (major.parse(), minor.parse()) {
            (Ok(major), Ok(minor)) => Ok(Some(Self(major, minor))),
            _ => Err(SshError::Caller(format!("openssh_version {text:?} is not a version such as 8.4"))),
        }
    }
}

/// Refuses critical options that a server of `oldest` would not know, and values it would not understand.
///
/// # Errors
/// [`SshError::Caller`] that names the option.
pub fn check_critical(options: &Options, oldest: Option<Version>) -> Result<(), SshError> {
    check_all("critical option", options)?;
    for (name, value) in options {
        let Some((_, since)) = CRITICAL.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = CRITICAL.iter().map(|(name, _)| *name).collect();
            return Err(SshError::Caller(format!(
                "critical option {name:?} is not known to OpenSSH, whose servers would refuse the certificate; known are {}",
                known.join(", ")
            )));
        };
        if oldest.is_some_and(|oldest| oldest < *since) {
            return Err(SshError::Caller(format!(
                "critical option {name:?} needs OpenSSH {}.{}, and the role's openssh_version is older",
                since.0, since.1
            )));
        }
        match name.as_str() {
            "force-command" if value.trim().is_empty() => {
                return Err(SshError::caller("critical option \"force-command\" needs a command"));
            }
            "source-address" => check_addresses(value)?,
            "verify-required" if !value.is_empty() => {
                return Err(SshError::caller("critical option \"verify-required\" takes no value"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses extensions that are malformed; unknown ones are the business of who allows them.
///
/// # Errors
/// [`SshError::Caller`] that names the extension.
pub fn check_extensions(options: &Options) -> Result<(), SshError> {
    check_all("extension", options)?;
    match options.iter().find(|(name, value)| EXTENSIONS.contains(&name.as_str()) && !value.is_empty()) {
        Some((name, _)) => Err(SshError::Caller(format!("extension {name:?} takes no value"))),
        None => Ok(()),
    }
}

fn check_all(what: &str, options: &Options) -> Result<(), SshError> {
    if options.len() > MOST {
        return Err(SshError::Caller(format!("more than {MOST} {what}s")));
    }
    for (name, value) in options {
        let is_name = !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || name.contains([',', '"', '\\']) {
            return Err(SshError::Caller(format!("{name:?} is not a name of a {what}")));
        }
        if value.len() > LONGEST_VALUE || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(SshError::Caller(format!(
                "the value of {what} {name:?} has control characters or is too long"
            )));
        }
    }
    Ok(())
}

/// What sshd's `addr_match_cidr_list` takes: addresses and networks, no names, no patterns, no host bits set.
fn check_addresses(list: &str) -> Result<(), SshError> {
    for item in list.split(',') {
        let is_good = match item.split_once('/') {
            None => item.parse::<IpAddr>().is_ok(),
            Some((address, bits)) => match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
                (Ok(address), Ok(bits)) if bits.to_string().len() == item.len() - address_length(item) => {
                    is_network(address, bits)
                }
                _ => false,
            },
        };
        if !is_good {
            return Err(SshError::Caller(format!(
                "critical option \"source-address\": {item:?} is neither an address nor a network without host bits"
            )));
        }
    }
    Ok(())
}

/// Length of the address with the slash behind it.
fn address_length(item: &str) -> usize {
    item.find('/').map_or(0, |at| at + 1)
}

fn is_network(address: IpAddr, bits: u8) -> bool {
    let (value, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u8),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let host_bits = 1_u128.checked_shl(u32::from(width.saturating_sub(bits))).map_or(u128::MAX, |bit| bit - 1);
    bits <= width && value & host_bits == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Options {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn critical_options_must_be_known_to_the_servers() {
        let check = |name, value, version| check_critical(&one(name, value), Version::parse(version).unwrap());
        assert!(check("force-command", "/bin/true", "").is_ok());
        assert!(check("verify-required", "", "8.4").is_ok());
        let error = check("verify-required", "", "8.2").unwrap_err().to_string();
        assert!(error.contains("needs OpenSSH 8.4"), "{error}");
        let error = check("zork", "x", "").unwrap_err().to_string();
        assert!(error.contains("\"zork\" is not known"), "{error}");
        assert!(Version::parse("new").is_err());
        assert_eq!(Version::parse("10").unwrap(), Some(Version(10, 0)));
    }

    #[test]
    fn values_that_sshd_would_not_understand_are_refused() {
        for (name, value) in [
            ("force-command", " "),
            ("force-command", "a\nb"),
            ("force-command", "a\0b"),
            ("verify-required", "yes"),
            ("source-address", ""),
            ("source-address", "10.0.0.0/8,"),
            ("source-address", "10.0.0.1/8"),
            ("source-address", "10.0.0.0/33"),
            ("source-address", "10.0.0.0/+8"),
            ("source-address", "10.0.0.0/08"),
            ("source-address", "host.example"),
            ("source-address", "10.*"),
            ("source-address", "10.0.0.1 "),
        ] {
            assert!(check_critical(&one(name, value), None).is_err(), "{name} {value:?}");
        }
        for value in ["192.0.2.1", "10.0.0.0/8,2001:db8::/32", "::1/128", "0.0.0.0/0", "::/0"] {
            assert!(check_critical(&one("source-address", value), None).is_ok(), "{value}");
        }
    }

    #[test]
    fn names_and_values_of_hostile_kinds_are_refused() {
        for name in ["", "a b", "a,b", "a\0", "ä", "a\"b", &"x".repeat(200)] {
            assert!(check_extensions(&one(name, "")).is_err(), "{name:?}");
        }
        assert!(check_extensions(&one("permit-pty", "x")).is_err());
        assert!(check_extensions(&one("login@example.com", "mitch")).is_ok());
        assert!(check_extensions(&one("login@example.com", &"x".repeat(9000))).is_err());
        let many = (0..65).map(|n| (format!("x{n}@example.com"), String::new())).collect();
        assert!(check_extensions(&many).is_err());
    }
}
