//! Subject alternative names: what was asked for, and their encoding (RFC 5280 §4.2.1.6).

use crate::{error::CaError, names::host, oid::parse_oid, subject::is_deceptive};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Tagged,
    asn1::{Any, Ia5String, Utf8StringRef},
};
use std::{fmt, net::IpAddr};
use x509_cert::ext::pkix::name::{GeneralName, OtherName as OtherNameValue};

/// Most names a certificate carries. Each is compared with all before it, so their number must have an end.
pub const MOST_NAMES: usize = 1000;

/// Refuses more names than a certificate carries.
///
/// # Errors
/// [`CaError::Caller`] with both numbers.
pub fn check_count(names: usize) -> Result<(), CaError> {
    if names <= MOST_NAMES {
        return Ok(());
    }
    Err(CaError::Caller(format!("{names} names were asked for; the limit is {MOST_NAMES}")))
}

/// Names besides the subject, by kind, without duplicates, in the order they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    /// DNS names, as A-labels.
    pub dns: Vec<String>,
    /// Email addresses.
    pub emails: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
    /// Other names; only UTF-8 values.
    pub others: Vec<OtherName>,
}

/// An other name with a text value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherName {
    /// Its type.
    pub oid: ObjectIdentifier,
    /// Its value.
    pub value: String,
}

/// Why a text is not `oid;UTF8:value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherNameError {
    /// No semicolon.
    #[error("expected a semicolon in other SAN {0:?}")]
    NoSemicolon(String),
    /// No colon.
    #[error("expected a colon in other SAN {0:?}")]
    NoColon(String),
    /// A type other than UTF8.
    #[error("only utf8 other SANs are supported; found non-supported type in other SAN {0:?}")]
    NotUtf8(String),
    /// The OID is none.
    #[error("could not determine OID for other SAN {0:?}")]
    BadOid(String),
}

impl OtherName {
    /// Reads `oid;UTF8:value`.
    ///
    /// # Errors
    /// An [`OtherNameError`] that quotes the text.
    pub fn parse(text: &str) -> Result<Self, OtherNameError> {
        let (oid, typed) = text.split_once(';').ok_or_else(|| OtherNameError::NoSemicolon(text.to_owned()))?;
        let (kind, value) = typed.split_once(':').ok_or_else(|| OtherNameError::NoColon(text.to_owned()))?;
        if !kind.eq_ignore_ascii_case("utf8") && !kind.eq_ignore_ascii_case("utf-8") {
            return Err(OtherNameError::NotUtf8(text.to_owned()));
        }
        let oid = parse_oid(oid.trim()).ok_or_else(|| OtherNameError::BadOid(text.to_owned()))?;
        Ok(Self { oid, value: value.to_owned() })
    }
}

impl fmt::Display for OtherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};UTF8:{}", self.oid, self.value)
    }
}

impl AlternativeNames {
    /// Adds a DNS name unless it is there.
    pub fn add_dns(&mut self, name: String) {
        add(&mut self.dns, name);
    }

    /// Adds an email address unless it is there.
    pub fn add_email(&mut self, address: String) {
        add(&mut self.emails, address);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty()
            && self.emails.is_empty()
            && self.ips.is_empty()
            && self.uris.is_empty()
            && self.others.is_empty()
    }

    /// Refuses what has not the form of its kind, whichever way it came and whatever a role allows.
    ///
    /// # Errors
    /// [`CaError::Caller`] that quotes the first such name.
    pub fn check_form(&self) -> Result<(), CaError> {
        let refuse = |text: String| Err(CaError::Caller(text));
        for name in &self.dns {
            host::to_ascii(name)?;
            // RFC 1034 §3.5: hyphens stand inside of labels.
            let is_outside = |label: &str| label.starts_with('-') || label.ends_with('-');
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte));
            if !is_plain || name.split('.').any(is_outside) {
                return refuse(format!("subject alternate name {name:?} is not a DNS name"));
            }
            if host::is_like_an_address(name) {
                return refuse(format!(
                    "subject alternate name {name} is not a DNS name but an IP address: see ip_sans"
                ));
            }
        }
        if let Some(address) = self.emails.iter().find(|address| !is_mailbox(address)) {
            return refuse(format!("email address {address:?} is not a mailbox"));
        }
        if let Some(uri) = self.uris.iter().find(|uri| !is_uri(uri)) {
            return refuse(format!("the provided URI Subject Alternative Name {uri:?} is not a valid URI"));
        }
        match self.others.iter().find(|other| other.value.chars().any(is_deceptive)) {
            Some(other) => {
                refuse(format!("other SAN {} {:?} has a character that is not shown", other.oid, other.value))
            }
            None => Ok(()),
        }
    }

    /// Every name as text, for the inventory.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let ips = self.ips.iter().map(ToString::to_string);
        let others = self.others.iter().map(ToString::to_string);
        self.dns.iter().chain(&self.emails).cloned().chain(ips).chain(self.uris.iter().cloned()).chain(others).collect()
    }

    /// The extension's value.
    ///
    /// # Errors
    /// [`CaError::Caller`] where a name has characters its kind cannot carry.
    pub fn to_general_names(&self) -> Result<Vec<GeneralName>, CaError> {
        let mut names = Vec::new();
        for other in &self.others {
            let value = Utf8StringRef::new(&other.value).and_then(|text| text.to_der())?;
            names.push(GeneralName::OtherName(OtherNameValue { type_id: other.oid, value: Any::from_der(&value)? }));
        }
        for name in &self.dns {
            names.push(GeneralName::DnsName(ascii(name)?));
        }
        for address in &self.emails {
            names.push(GeneralName::Rfc822Name(ascii(address)?));
        }
        for address in &self.ips {
            names.push(GeneralName::from(*address));
        }
        for uri in &self.uris {
            names.push(GeneralName::UniformResourceIdentifier(ascii(uri)?));
        }
        Ok(names)
    }

    /// Reads a SAN extension a stranger sent. Kinds that no role can allow (directory names, registered ids, EDI party
    /// names) are left out, as nothing would put them into a certificate.
    ///
    /// # Errors
    /// [`CaError::Caller`] where an address has a wrong length or an other name is not UTF-8.
    pub fn from_general_names(names: &[GeneralName]) -> Result<Self, CaError> {
        check_count(names.len())?;
        let mut found = Self::default();
        for name in names {
            match name {
                GeneralName::DnsName(text) => found.add_dns(text.to_string()),
                GeneralName::Rfc822Name(text) => found.add_email(text.to_string()),
                GeneralName::UniformResourceIdentifier(text) => add(&mut found.uris, text.to_string()),
                GeneralName::IpAddress(bytes) => add(&mut found.ips, address(bytes.as_bytes())?),
                GeneralName::OtherName(other) => {
                    let value = String::from_utf8(other.value.value().to_vec())
                        .ok()
                        .filter(|_| other.value.tag() == der::Tag::Utf8String)
                        .ok_or_else(|| {
                            CaError::Caller(format!("other SAN {} of the CSR is not a UTF8String", other.type_id))
                        })?;
                    add(&mut found.others, OtherName { oid: other.type_id, value });
                }
                GeneralName::DirectoryName(_) | GeneralName::EdiPartyName(_) | GeneralName::RegisteredId(_) => {}
            }
        }
        Ok(found)
    }
}

/// An absolute URI (RFC 5280 §4.2.1.6): a scheme, a colon, something behind it, nothing outside printable ASCII.
#[must_use]
pub fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte))
}

/// A mailbox as RFC 5280 §4.2.1.6 has it, without quoted local parts and without addresses for hosts.
fn is_mailbox(text: &str) -> bool {
    let Some((user, domain)) = text.split_once('@') else { return false };
    let is_user = !user.is_empty()
        && user.len() <= 64
        && user.split('.').all(|atom| {
            !atom.is_empty() && atom.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>@[\\]".contains(&byte))
        });
    let is_domain = domain.is_ascii()
        && host::to_ascii(domain).is_ok()
        && !domain.contains('*')
        && host::is_hostname(domain)
        && !host::is_like_an_address(domain);
    is_user && is_domain
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn ascii(text: &str) -> Result<Ia5String, CaError> {
    Ia5String::new(text)
        .map_err(|_| CaError::Caller(format!("subject alternative name {text:?} has characters outside ASCII")))
}

/// Four or sixteen octets. An IPv4 address in IPv6 clothes counts as what it is, or it would slip past rules for IPv4.
fn address(bytes: &[u8]) -> Result<IpAddr, CaError> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(octets).to_canonical()).map_err(|_| {
        CaError::Caller(format!("IP subject alternative name of the CSR has {} bytes, not 4 or 16", bytes.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_encoding() {
        let names = AlternativeNames {
            dns: vec!["a.example.com".into()],
            emails: vec!["a@b.c".into()],
            ips: vec!["1.2.3.4".parse().unwrap(), "::1".parse().unwrap()],
            uris: vec!["spiffe://x/y".into()],
            others: vec![OtherName::parse("1.2.3;UTF8:hällo").unwrap()],
        };
        let encoded = names.to_general_names().unwrap();
        assert_eq!(AlternativeNames::from_general_names(&encoded).unwrap(), names);
        assert_eq!(names.texts().len(), 6);
    }

    #[test]
    fn every_kind_has_its_form() {
        let dns = |text: &str| AlternativeNames { dns: vec![text.into()], ..AlternativeNames::default() };
        let email = |text: &str| AlternativeNames { emails: vec![text.into()], ..AlternativeNames::default() };
        let uri = |text: &str| AlternativeNames { uris: vec![text.into()], ..AlternativeNames::default() };
        let other = |text: &str| {
            let others = vec![OtherName { oid: crate::oid::EC, value: text.into() }];
            AlternativeNames { others, ..AlternativeNames::default() }
        };
        for good in [
            dns("*.a_b.example.com"),
            dns("1001"),
            dns("localhost"),
            email("a.b+c@example.com"),
            email("root@localhost"),
            uri("spiffe://trust/x"),
            uri("urn:uuid:1"),
            other("user@realm"),
        ] {
            assert!(good.check_form().is_ok(), "{good:?}");
        }
        for bad in [
            dns(""),
            dns("a..b"),
            dns("a.b."),
            dns("a b"),
            dns("a\0.b"),
            dns("a@b"),
            dns("a/b"),
            dns("10.0.0.1"),
            dns("xn--zzzzzz.de"),
            dns("0x7f.1"),
            email("a"),
            email("@b.c"),
            email("a@"),
            email("a@b@c"),
            email("a b@c"),
            email("a..b@c"),
            email("a@10.0.0.1"),
            email("a@*.b"),
            email("<a@b>"),
            email("\"a\"@b"),
            uri("x"),
            uri("http:"),
            uri("http://a b"),
            uri("1x:y"),
            uri("http://a<b>"),
            uri("http://a\r\nb"),
            other("a\0b"),
            other("a\u{202e}b"),
        ] {
            assert!(bad.check_form().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ipv4_addresses_in_ipv6_clothes_count_as_ipv4() {
        let mapped = GeneralName::IpAddress(
            der::asn1::OctetString::new([&[0; 10][..], &[0xff, 0xff, 10, 0, 0, 1]].concat()).unwrap(),
        );
        let names = AlternativeNames::from_general_names(&[mapped]).unwrap();
        assert_eq!(names.ips, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn names_outside_ascii_are_refused() {
        let names = AlternativeNames { dns: vec!["bücher".into()], ..AlternativeNames::default() };
        assert!(names.to_general_names().is_err());
    }

    #[test]
    fn other_names_have_three_parts() {
        assert_eq!(OtherName::parse("xx").unwrap_err().to_string(), "expected a semicolon in other SAN \"xx\"");
        assert!(matches!(OtherName::parse("1.2.3;INT:5"), Err(OtherNameError::NotUtf8(_))));
        assert!(matches!(OtherName::parse("zork;UTF8:5"), Err(OtherNameError::BadOid(_))));
    }
}
