//! What ACME validation reads of strangers: CAA and dns-persist-01 records, certificates of tls-alpn-01, redirects.

use crate::{lines, text};
use chancery_acme_server::{
    identifier::{DnsName, Identifier},
    validation::{
        Settings,
        caa::{Applicant, Property, permits},
        dns::{Persistent, persistent_record},
        http::{Target, follow},
        issue_value::IssueValue,
        tls_alpn::certificate_shows,
    },
};
use jiff::Timestamp;
use url::Url;

const CA: &str = "ca.example";
const ACCOUNT: &str = "https://ca.example/acme/acct/1";

/// A CAA property a line, as `tag value`, critical with `!` before it: nobody is permitted whom no record names.
pub fn acme_caa(data: &[u8]) {
    let properties: Vec<Property> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b' ')?;
            let (tag, value) = (String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec());
            let critical = tag.starts_with('!');
            Some(Property { critical, tag: tag.trim_start_matches('!').to_owned(), value })
        })
        .collect();
    let identities = [CA.to_owned()];
    for wildcard in [false, true] {
        let applicant = Applicant { identities: &identities, wildcard, method: "dns-01", account_url: ACCOUNT };
        let permitted = permits(&properties, &applicant).is_ok();
        let restricts = |property: &Property| property.tag.eq_ignore_ascii_case("issue");
        let names_us = |property: &Property| {
            IssueValue::parse(&property.value).is_ok_and(|value| value.issuer.as_deref() == Some(CA))
        };
        if permitted && properties.iter().any(restricts) {
            assert!(properties.iter().any(names_us), "permitted by records that name nobody we are");
        }
        // A record nobody understands and everybody must.
        let mut strict = properties.clone();
        strict.push(Property { critical: true, tag: "frob".to_owned(), value: Vec::new() });
        assert!(permits(&strict, &applicant).is_err());
    }
}

/// A dns-persist-01 record: what passes has the account's URL in it.
pub fn acme_dns_persist(data: &[u8]) {
    let identities = [CA.to_owned()];
    let now = Timestamp::from_second(1_767_225_600).expect("a moment");
    let wanted = |wildcard| Persistent { identities: &identities, account_url: ACCOUNT, wildcard, now };
    let plain = persistent_record(data, &wanted(false));
    if persistent_record(data, &wanted(true)).is_ok() {
        assert_eq!(plain, Ok(()), "what suffices for the names below suffices for the name");
    }
    if plain.is_ok() {
        let text = text(data).expect("records are ASCII");
        assert!(text.contains(ACCOUNT) && text.to_ascii_lowercase().contains(CA));
    }
}

/// A certificate of tls-alpn-01; nobody has the key authorization that is looked for.
pub fn acme_tls_alpn(data: &[u8]) {
    let name = Identifier::Dns(DnsName::parse("www.a.test").expect("a name"));
    let address = Identifier::Ip("192.0.2.1".parse().expect("an address"));
    for identifier in [&name, &address] {
        let refusal = certificate_shows(data, identifier, "a key authorization of nobody");
        assert!(refusal.is_err_and(|reason| reason.len() < 1000));
    }
}

/// Where a redirect was found, and its `Location`: what is asked next is a web server, by a name or an address.
pub fn acme_redirect(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (from, location) = lines(text);
    let Ok(from) = Url::parse(from) else { return };
    let Ok(url) = follow(&from, location) else { return };
    if let Ok(target) = Target::of(&url, &Settings::default()) {
        assert!([80, 443].contains(&target.port()));
        let host = target.host();
        assert!(host.parse::<std::net::IpAddr>().is_ok() || DnsName::parse(&host).is_ok(), "{host:?}");
    }
}
