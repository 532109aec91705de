//! The naming rules: may this role certify that name?
//!
//! One checker for every channel a name can come by (API field, CSR subject, CSR SAN): [`NameRules`]. The shape of
//! hostnames is in [`host`]. Templates in `allowed_domains` never match here: an identity cannot widen a role.

pub mod host;

use crate::role::Role;
use std::net::IpAddr;

/// A role's rules, ready to be asked about one caller's names.
#[derive(Debug, Clone, Copy)]
pub struct NameRules<'a> {
    role: &'a Role,
    display_name: &'a str,
}

/// A name taken apart.
struct Parts<'a> {
    /// The name without the user of an email address and without a wildcard label.
    base: &'a str,
    wildcard_label: Option<&'a str>,
    is_email: bool,
}

impl<'a> NameRules<'a> {
    /// The rules of `role` for a caller whose token bears `display_name`.
    #[must_use]
    pub fn new(role: &'a Role, display_name: &'a str) -> Self {
        Self { role, display_name }
    }

    /// Whether `name` may stand as the common name (`cn_validations` besides the rules for all names).
    #[must_use]
    pub fn allows_common_name(&self, name: &str) -> bool {
        let kinds = &self.role.cn_validations;
        if kinds.iter().any(|kind| kind == "disabled") {
            return true;
        }
        let kind = if name.contains('@') { "email" } else { "hostname" };
        kinds.iter().any(|allowed| allowed == kind) && self.allows(name)
    }

    /// Whether `name`, a DNS name or an email address, may be certified.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let Some(parts) = split(name) else { return false };
        if parts.wildcard_label.is_some() && (!self.role.allow_wildcard_certificates || parts.is_email) {
            return false;
        }
        if self.role.enforce_hostnames && !is_well_formed(&parts) {
            return false;
        }
        self.role.allow_any_name
            || self.allows_localhost(&parts)
            || self.allows_display_name(name, &parts)
            || self.role.allowed_domains.iter().any(|domain| self.allows_domain(domain, name, &parts))
    }

    fn allows_localhost(&self, parts: &Parts<'_>) -> bool {
        self.role.allow_localhost
            && ["localhost", "localdomain"].iter().any(|local| {
                (parts.base == *local && parts.wildcard_label.is_none())
                    || (self.role.allow_subdomains && is_below(parts, local))
            })
    }

    fn allows_display_name(&self, name: &str, parts: &Parts<'_>) -> bool {
        self.role.allow_token_displayname
            && !self.display_name.is_empty()
            && (name == self.display_name || (self.role.allow_subdomains && is_below(parts, self.display_name)))
    }

    fn allows_domain(&self, domain: &str, name: &str, parts: &Parts<'_>) -> bool {
        if domain.is_empty() || (self.role.allowed_domains_template && domain.contains("{{")) {
            return false;
        }
        let bare = name.eq_ignore_ascii_case(domain) || (parts.is_email && parts.base.eq_ignore_ascii_case(domain));
        (self.role.allow_bare_domains && bare)
            || (self.role.allow_subdomains && is_below(parts, domain))
            || (self.role.allow_glob_domains && domain.contains('*') && matches_glob(domain, name))
    }

    /// Whether `address` may stand in a SAN, whichever way it came (GHSA-g892-p242-8g86).
    #[must_use]
    pub fn allows_ip(&self, address: IpAddr) -> bool {
        let cidrs = &self.role.allowed_ip_sans_cidr;
        self.role.allow_ip_sans && (cidrs.is_empty() || cidrs.iter().any(|cidr| contains(cidr, address)))
    }

    /// Whether `uri` may stand in a SAN.
    #[must_use]
    pub fn allows_uri(&self, uri: &str) -> bool {
        self.role
            .allowed_uri_sans
            .iter()
            .filter(|pattern| !(self.role.allowed_uri_sans_template && pattern.contains("{{")))
            .any(|pattern| matches_glob(pattern, uri))
    }
}

/// Splits off the user of an email address and the wildcard label. `None` where the name cannot be either.
fn split(name: &str) -> Option<Parts<'_>> {
    let (domain, is_email) = match name.split_once('@') {
        Some((_, domain)) if domain.contains('@') => return None,
        Some((_, domain)) => (domain, true),
        None => (name, false),
    };
    if !domain.contains('*') {
        return Some(Parts { base: domain, wildcard_label: None, is_email });
    }
    // RFC 6125 §6.4.3: one wildcard, in the left-most label.
    let (label, base) = domain.split_once('.').unwrap_or((domain, ""));
    let single = label.matches('*').count() == 1 && !base.contains('*') && !domain.ends_with('.');
    single.then_some(Parts { base, wildcard_label: Some(label), is_email })
}

fn is_well_formed(parts: &Parts<'_>) -> bool {
    let base_is_sound = (parts.base.is_empty() && parts.wildcard_label.is_some())
        || host::to_ascii(parts.base).is_ok_and(|ascii| host::is_hostname(&ascii));
    base_is_sound && parts.wildcard_label.is_none_or(host::is_wildcard_label)
}

/// `a.example.com` and `*.example.com` are below `example.com`; `example.com` itself is not.
fn is_below(parts: &Parts<'_>, domain: &str) -> bool {
    let suffix = |name: &str| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    suffix(parts.base) || (parts.wildcard_label.is_some() && parts.base.eq_ignore_ascii_case(domain))
}

/// Whether `text` matches `pattern`, where `*` stands for any text, dots included.
#[must_use]
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or("");
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or("");
    }
    rest.ends_with(last)
}

/// Whether `text` is an address block such as `10.0.0.0/8`.
#[must_use]
pub fn is_cidr(text: &str) -> bool {
    parse_cidr(text).is_some()
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
    let limit = if address.is_ipv4() { 32 } else { 128 };
    (length <= limit).then_some((address, length))
}

fn contains(cidr: &str, address: IpAddr) -> bool {
    match (parse_cidr(cidr), address) {
        (Some((IpAddr::V4(network), length)), IpAddr::V4(address)) => {
            let shift = 32 - length;
            shift == 32 || u32::from(network) >> shift == u32::from(address) >> shift
        }
        (Some((IpAddr::V6(network), length)), IpAddr::V6(address)) => {
            let shift = 128 - length;
            shift == 128 || u128::from(network) >> shift == u128::from(address) >> shift
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
