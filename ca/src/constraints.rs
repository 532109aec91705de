//! Name constraints (RFC 5280 §4.2.1.10): those an issuer's certificate puts on everything below it.

use crate::{error::CaError, san::AlternativeNames};
use der::asn1::{Ia5String, OctetString};
use std::net::IpAddr;
use x509_cert::ext::pkix::{NameConstraints, constraints::name::GeneralSubtree, name::GeneralName};
use x509_parser::extensions::{GeneralName as ParsedName, NameConstraints as ParsedConstraints};

/// Permitted and excluded names, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameConstraintSet {
    permitted: Subtrees,
    excluded: Subtrees,
    /// Kinds of name that we cannot judge are constrained: nothing of such a kind is issued by us anyway.
    has_other_kinds: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Subtrees {
    dns: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    /// Network and mask, 8 or 32 octets.
    ips: Vec<Vec<u8>>,
}

impl NameConstraintSet {
    /// Constraints that permit only these DNS subtrees.
    #[must_use]
    pub fn permitting_dns(domains: &[String]) -> Self {
        let permitted = Subtrees { dns: domains.to_vec(), ..Subtrees::default() };
        Self { permitted, ..Self::default() }
    }

    /// Whether nothing is constrained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the extension.
    ///
    /// # Errors
    /// [`CaError::Caller`] where an address block has a wrong length.
    pub fn read(parsed: &ParsedConstraints<'_>) -> Result<Self, CaError> {
        let mut set = Self::default();
        let permitted = parsed.permitted_subtrees.iter().flatten().map(|tree| (true, &tree.base));
        let excluded = parsed.excluded_subtrees.iter().flatten().map(|tree| (false, &tree.base));
        for (permits, base) in permitted.chain(excluded) {
            let side = if permits { &mut set.permitted } else { &mut set.excluded };
            match base {
                ParsedName::DNSName(text) => side.dns.push((*text).to_owned()),
                ParsedName::RFC822Name(text) => side.emails.push((*text).to_owned()),
                ParsedName::URI(text) => side.uris.push((*text).to_owned()),
                ParsedName::IPAddress(bytes) if matches!(bytes.len(), 8 | 32) => side.ips.push(bytes.to_vec()),
                ParsedName::IPAddress(_) => {
                    return Err(CaError::caller(
                        "certificate could not be parsed: a name constraint is no address block",
                    ));
                }
                _ => set.has_other_kinds = true,
            }
        }
        Ok(set)
    }

    /// The extension's value.
    ///
    /// # Errors
    /// [`CaError::Encoding`] where a name is not ASCII.
    pub fn to_extension(&self) -> Result<NameConstraints, CaError> {
        Ok(NameConstraints {
            permitted_subtrees: self.permitted.to_subtrees()?,
            excluded_subtrees: self.excluded.to_subtrees()?,
        })
    }

    /// The first of `names` that a certificate below must not carry.
    #[must_use]
    pub fn violation(&self, names: &AlternativeNames) -> Option<String> {
        let dns = names.dns.iter().find(|name| {
            let matches = |tree: &String| is_within_domain(name, tree);
            !allowed(&self.permitted.dns, &self.excluded.dns, matches)
                // A wildcard stands for names that the excluded subtree may hold.
                || self.excluded.dns.iter().any(|tree| wildcard_reaches(name, tree))
        });
        let email = || {
            let within = |name: &&String| {
                !allowed(&self.permitted.emails, &self.excluded.emails, |tree| is_within_mailbox(name, tree))
            };
            names.emails.iter().find(within)
        };
        let uri = || {
            let within = |uri: &&String| {
                let host = uri_host(uri);
                !allowed(&self.permitted.uris, &self.excluded.uris, |tree| {
                    host.as_deref().is_none_or(|host| is_within_host(host, tree))
                })
            };
            names.uris.iter().find(within)
        };
        let found = dns.or_else(email).or_else(uri).cloned();
        found.or_else(|| {
            let within =
                |ip: &&IpAddr| !allowed(&self.permitted.ips, &self.excluded.ips, |tree| is_within_block(**ip, tree));
            names.ips.iter().find(within).map(ToString::to_string)
        })
    }
}

impl Subtrees {
    fn to_subtrees(&self) -> Result<Option<Vec<GeneralSubtree>>, CaError> {
        let mut trees = Vec::new();
        let mut push = |base| trees.push(GeneralSubtree { base, minimum: 0, maximum: None });
        for domain in &self.dns {
            push(GeneralName::DnsName(Ia5String::new(domain)?));
        }
        for mailbox in &self.emails {
            push(GeneralName::Rfc822Name(Ia5String::new(mailbox)?));
        }
        for host in &self.uris {
            push(GeneralName::UniformResourceIdentifier(Ia5String::new(host)?));
        }
        for block in &self.ips {
            push(GeneralName::IpAddress(OctetString::new(block.as_slice())?));
        }
        Ok((!trees.is_empty()).then_some(trees))
    }
}

fn allowed<T>(permitted: &[T], excluded: &[T], matches: impl Fn(&T) -> bool) -> bool {
    (permitted.is_empty() || permitted.iter().any(&matches)) && !excluded.iter().any(&matches)
}

/// `example.com` holds itself and everything below; `.example.com` (not RFC, but seen) only what is below.
fn is_within_domain(name: &str, tree: &str) -> bool {
    let (name, tree) = (name.to_ascii_lowercase(), tree.to_ascii_lowercase());
    let below = tree.strip_prefix('.').unwrap_or(&tree);
    below.is_empty()
        || (name == below && !tree.starts_with('.'))
        || name.strip_suffix(below).is_some_and(|rest| rest.ends_with('.'))
}

fn wildcard_reaches(name: &str, tree: &str) -> bool {
    let base = name.strip_prefix("*.").map(str::to_ascii_lowercase);
    let tree = tree.trim_start_matches('.').to_ascii_lowercase();
    base.is_some_and(|base| tree.split_once('.').is_some_and(|(_, parent)| parent == base))
}

fn is_within_mailbox(address: &str, tree: &str) -> bool {
    let Some((user, host)) = address.rsplit_once('@') else { return false };
    match tree.rsplit_once('@') {
        Some((tree_user, tree_host)) => user == tree_user && host.eq_ignore_ascii_case(tree_host),
        None => is_within_host(host, tree),
    }
}

/// A host is itself only; `.example.com` is what is below it.
fn is_within_host(host: &str, tree: &str) -> bool {
    if tree.starts_with('.') { is_within_domain(host, tree) } else { host.eq_ignore_ascii_case(tree) }
}

fn uri_host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    (!host.is_empty()).then(|| host.to_owned())
}

fn is_within_block(ip: IpAddr, block: &[u8]) -> bool {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (network, mask) = block.split_at(block.len() / 2);
    network.len() == octets.len()
        && octets.iter().zip(network).zip(mask).all(|((octet, network), mask)| octet & mask == network & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(name: &str) -> AlternativeNames {
        AlternativeNames { dns: vec![name.to_owned()], ..AlternativeNames::default() }
    }

    #[test]
    fn permitted_domains_hold_themselves_and_what_is_below() {
        let set = NameConstraintSet::permitting_dns(&["example.com".to_owned()]);
        for good in ["example.com", "A.EXAMPLE.com", "*.example.com", "a.b.example.com"] {
            assert_eq!(set.violation(&dns(good)), None, "{good}");
        }
        for bad in ["example.org", "notexample.com", "com", "*.com"] {
            assert_eq!(set.violation(&dns(bad)).as_deref(), Some(bad));
        }
    }

    #[test]
    fn excluded_trees_win_and_wildcards_cannot_reach_into_them() {
        let excluded = Subtrees {
            dns: vec!["bad.example.com".into()],
            ips: vec![vec![10, 0, 0, 0, 255, 0, 0, 0]],
            ..Subtrees::default()
        };
        let set = NameConstraintSet { excluded, ..NameConstraintSet::permitting_dns(&["example.com".to_owned()]) };
        assert!(set.violation(&dns("x.bad.example.com")).is_some());
        assert!(set.violation(&dns("*.example.com")).is_some());
        assert!(set.violation(&dns("good.example.com")).is_none());
        let ip = |text: &str| AlternativeNames { ips: vec![text.parse().unwrap()], ..AlternativeNames::default() };
        assert!(set.violation(&ip("10.9.9.9")).is_some());
        assert!(set.violation(&ip("11.0.0.1")).is_none());
        assert!(set.violation(&ip("::1")).is_none());
    }

    #[test]
    fn mailboxes_and_uris_are_judged_by_host() {
        let permitted =
            Subtrees { emails: vec!["example.com".into()], uris: vec![".example.com".into()], ..Subtrees::default() };
        let set = NameConstraintSet { permitted, ..NameConstraintSet::default() };
        let email = |text: &str| AlternativeNames { emails: vec![text.into()], ..AlternativeNames::default() };
        assert!(set.violation(&email("a@example.com")).is_none());
        assert!(set.violation(&email("a@b.example.com")).is_some());
        let uri = |text: &str| AlternativeNames { uris: vec![text.into()], ..AlternativeNames::default() };
        assert!(set.violation(&uri("https://u@a.example.com:8/x")).is_none());
        assert!(set.violation(&uri("https://example.org/.example.com")).is_some());
    }
}
