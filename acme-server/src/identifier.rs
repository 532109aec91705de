//! What may be named in an order: DNS names and IP addresses (RFC 8555 §9.7.7, RFC 8738), read from what strangers send.

use crate::problem::{Problem, ProblemType};
use chancery_ca::names::host;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A DNS name in lower case, in A-labels, without a wildcard and without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

/// What an authorization is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// A name.
    Dns(DnsName),
    /// An address.
    Ip(IpAddr),
}

/// What an order or a pre-authorization names: an identifier, and whether everything one label below it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// Without the wildcard.
    pub identifier: Identifier,
    /// Whether `*.` stood before it.
    pub wildcard: bool,
}

/// An identifier as it stands in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// `dns` or `ip`
    #[serde(rename = "type")]
    pub kind: String,
    /// The name or the address.
    pub value: String,
}

impl DnsName {
    /// Reads a name as DNS has it, in any case; names outside ASCII become A-labels (RFC 5891).
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Longer texts are no names whatever becomes of them, and are not worth the conversion.
        if text.len() > 1024 {
            return Err("is longer than any name".to_owned());
        }
        let ascii = host::to_ascii(text).map_err(|_| "has a label that is empty, too long or no A-label".to_owned())?;
        let lower = ascii.to_ascii_lowercase();
        if lower.starts_with("*.") || !host::is_hostname(&lower) {
            return Err("has other characters than letters, digits and inner hyphens".to_owned());
        }
        if host::is_like_an_address(&lower) {
            return Err("ends in a number, so that resolvers take it for an address".to_owned());
        }
        Ok(Self(lower))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name one label above; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.to_owned()))
    }

    /// Whether this name is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_suffix(ancestor.as_str()) {
            Some(before) => before.is_empty() || before.ends_with('.'),
            None => false,
        }
    }
}

impl TryFrom<String> for DnsName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Identifier {
    /// `dns` or `ip`
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// As it stands in JSON.
    #[must_use]
    pub fn written(&self) -> Written {
        Written { kind: self.kind().to_owned(), value: self.to_string() }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl Named {
    /// Reads what a stranger names.
    ///
    /// # Errors
    /// `unsupportedIdentifier`, `rejectedIdentifier` or `malformed`, with the identifier in it.
    pub fn parse(written: &Written) -> Result<Self, Problem> {
        let Written { kind, value } = written;
        let shown: String = value.chars().take(260).collect();
        let refuse = |problem: ProblemType, detail: String| problem.because(detail).about(kind, &shown);
        match kind.as_str() {
            "dns" => {
                let (base, wildcard) = match value.strip_prefix("*.") {
                    Some(base) => (base, true),
                    None => (value.as_str(), false),
                };
                if IpAddr::from_str(value).is_ok() {
                    let detail = format!("{shown:?} is an address; its identifier type is \"ip\"");
                    return Err(refuse(ProblemType::Malformed, detail));
                }
                let name = DnsName::parse(base).map_err(|reason| {
                    refuse(ProblemType::RejectedIdentifier, format!("the name {shown:?} {reason}"))
                })?;
                Ok(Self { identifier: Identifier::Dns(name), wildcard })
            }
            // RFC 8738 §3: addresses are in the textual form of RFC 1123 §2.1 and RFC 5952 §4.
            "ip" => match IpAddr::from_str(value) {
                Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
                    let detail = format!("{shown:?} is an IPv4 address written as IPv6");
                    Err(refuse(ProblemType::RejectedIdentifier, detail))
                }
                Ok(address) => Ok(Self { identifier: Identifier::Ip(address), wildcard: false }),
                Err(_) => Err(refuse(ProblemType::Malformed, format!("{shown:?} is not an IP address"))),
            },
            other => {
                let other: String = other.chars().take(64).collect();
                let detail = format!("identifiers of type {other:?} are not supported; \"dns\" and \"ip\" are");
                Err(ProblemType::UnsupportedIdentifier.because(detail).about(&other, &shown))
            }
        }
    }

    /// As it stands in an order.
    #[must_use]
    pub fn written(&self) -> Written {
        Written { kind: self.identifier.kind().to_owned(), value: self.to_string() }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        self.identifier.fmt(f)
    }
}

/// In storage an identifier stands as it does in JSON; what is stored was read once and is read the same way again.
impl Serialize for Named {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        Self::parse(&written).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, value: &str) -> Result<Named, Problem> {
        Named::parse(&Written { kind: kind.to_owned(), value: value.to_owned() })
    }

    #[test]
    fn names_are_lower_case_a_labels() {
        assert_eq!(read("dns", "WWW.Example.COM").unwrap().to_string(), "www.example.com");
        assert_eq!(read("dns", "bücher.example").unwrap().to_string(), "xn--bcher-kva.example");
        let wildcard = read("dns", "*.Example.com").unwrap();
        assert!(wildcard.wildcard);
        assert_eq!(wildcard.identifier.to_string(), "example.com");
        assert_eq!(wildcard.to_string(), "*.example.com");
    }

    #[test]
    fn hostile_names_are_refused_and_named() {
        for bad in [
            "",
            ".",
            "*",
            "*.",
            "*.*.a",
            "a.*.b",
            "**.a",
            "a..b",
            "a.b.",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b.c",
            "a/b",
            "a@b",
            "a:80",
            "http://a.b",
            "1.2.3.4",
            "::1",
            "0x7f.1",
            "256.1",
            "a\0.b",
            "a\n.b",
            "xn--zzzzzz.com",
            "a\u{202e}.b",
            "\u{ff0e}\u{ff0e}/a",
        ] {
            let problem = read("dns", bad).unwrap_err();
            assert_eq!(problem.identifier.as_ref().unwrap().1, bad, "{bad:?}");
            assert!(matches!(problem.kind, ProblemType::RejectedIdentifier | ProblemType::Malformed), "{bad:?}");
        }
        assert!(read("dns", &"a".repeat(64)).is_err());
        assert!(read("dns", &["abcdefg"; 40].join(".")).is_err());
        assert!(read("dns", &"a.".repeat(1 << 20)).is_err());
        assert_eq!(read("email", "a@b.c").unwrap_err().kind, ProblemType::UnsupportedIdentifier);
    }

    #[test]
    fn addresses_are_written_in_one_way() {
        assert_eq!(read("ip", "2001:DB8:0::1").unwrap().to_string(), "2001:db8::1");
        assert_eq!(read("ip", "192.0.2.1").unwrap().to_string(), "192.0.2.1");
        for bad in ["", "192.0.2", "192.0.2.01", "::ffff:1.2.3.4", "fe80::1%eth0", "[::1]", "1.2.3.4/32"] {
            assert!(read("ip", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_know_what_they_lie_below() {
        let name = |text: &str| DnsName::parse(text).unwrap();
        assert!(name("a.b.c").is_within(&name("b.c")));
        assert!(name("b.c").is_within(&name("b.c")));
        assert!(!name("ab.c").is_within(&name("b.c")));
        assert_eq!(name("a.b.c").parent(), Some(name("b.c")));
        assert_eq!(name("c").parent(), None);
    }

    #[test]
    fn names_survive_storage() {
        for named in [read("dns", "*.example.com").unwrap(), read("ip", "::1").unwrap()] {
            let text = serde_json::to_string(&named).unwrap();
            assert_eq!(serde_json::from_str::<Named>(&text).unwrap(), named);
        }
    }
}
