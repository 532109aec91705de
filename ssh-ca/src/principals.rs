//! Principals: which a role allows, and which no certificate may carry whatever a role says.
//!
//! OpenSSH before 10.3 splits a principal at commas (CVE-2026-35414), and old releases take a certificate without
//! principals for one of everybody, so neither is issued.

use crate::{
    error::SshError,
    role::Role,
    template::{self, Tolerance},
};
use chancery_engine::Identity;
use chancery_store::SshCertificateKind;

/// SSHKEY_CERT_MAX_PRINCIPALS: sshd reads no certificate with more.
const MOST: usize = 256;
const LONGEST: usize = 512;

/// What was asked for: nothing, or a list.
pub(crate) fn split(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

impl Role {
    /// The principals of a certificate.
    ///
    /// # Errors
    /// [`SshError::Caller`] that names the principal the role does not allow, or says what is missing.
    pub(crate) fn principals(
        &self,
        kind: SshCertificateKind,
        asked: &[String],
        identity: Option<&Identity>,
    ) -> Result<Vec<String>, SshError> {
        let principals = match (kind, asked) {
            (SshCertificateKind::User, []) if !self.default_user.is_empty() => self.default_principals(identity)?,
            _ => asked.to_vec(),
        };
        if principals.is_empty() && !self.allow_empty_principals {
            return Err(SshError::caller(
                "refusing to issue unsafe, globally-valid certificate with no principals specified; set valid_principals or default_user",
            ));
        }
        if principals.len() > MOST {
            return Err(SshError::Caller(format!("a certificate has at most {MOST} principals")));
        }
        for principal in &principals {
            check(kind, principal)?;
        }
        self.check_allowed(kind, &principals, identity)?;
        Ok(principals)
    }

    fn default_principals(&self, identity: Option<&Identity>) -> Result<Vec<String>, SshError> {
        if !self.default_user_template {
            return Ok(split(&self.default_user));
        }
        Ok(split(&template::fill(&self.default_user, identity, self.tolerance())?))
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance { commas: self.allow_commas_in_identity_templates }
    }

    fn check_allowed(
        &self,
        kind: SshCertificateKind,
        principals: &[String],
        identity: Option<&Identity>,
    ) -> Result<(), SshError> {
        let (list, is_template) = match kind {
            SshCertificateKind::User => (&self.allowed_users, self.allowed_users_template),
            SshCertificateKind::Host => (&self.allowed_domains, self.allowed_domains_template),
        };
        if principals.is_empty() || list == "*" {
            return Ok(());
        }
        let allowed = self.allowed(list, is_template, identity);
        if split(list).is_empty() {
            return Err(SshError::caller("role is not configured to allow any principals"));
        }
        let is_allowed = |principal: &str| {
            allowed.iter().any(|allowed| match kind {
                SshCertificateKind::User => allowed == principal,
                SshCertificateKind::Host => self.is_host_allowed(allowed, principal),
            })
        };
        match principals.iter().find(|principal| !is_allowed(principal)) {
            Some(principal) => Err(SshError::Caller(format!("{principal} is not a valid value for valid_principals"))),
            None => Ok(()),
        }
    }

    /// A template that cannot be filled in for this caller allows nothing; the rest of the list still counts.
    fn allowed(&self, list: &str, is_template: bool, identity: Option<&Identity>) -> Vec<String> {
        let items = split(list);
        if !is_template {
            return items;
        }
        let filled = |item: &String| match template::is_template(item) {
            true => template::fill(item, identity, self.tolerance()).map(|value| split(&value)).unwrap_or_default(),
            false => vec![item.clone()],
        };
        items.iter().flat_map(filled).collect()
    }

    fn is_host_allowed(&self, domain: &str, host: &str) -> bool {
        let is_below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
        (self.allow_bare_domains && host == domain) || (self.allow_subdomains && is_below())
    }
}

/// Refuses what no certificate may carry.
///
/// # Errors
/// [`SshError::Caller`] that quotes the principal.
pub(crate) fn check(kind: SshCertificateKind, principal: &str) -> Result<(), SshError> {
    let is_bad = |c: char| {
        let is_wildcard = matches!(c, '*' | '?');
        c.is_control()
            || c.is_whitespace()
            || matches!(c, ',' | '!' | '"' | '\\' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
            || (is_wildcard && kind == SshCertificateKind::User)
    };
    if principal.is_empty() || principal.len() > LONGEST || principal.contains(is_bad) {
        return Err(SshError::Caller(format!(
            "{:?} is not a valid value for valid_principals: a principal has no comma, wildcard, quote, space or control character",
            principal.chars().take(64).collect::<String>()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use SshCertificateKind::{Host, User};

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_user_gets_what_the_role_allows_or_its_default() {
        let role = Role { allowed_users: "a, b,def".into(), default_user: "def".into(), ..Role::default() };
        assert_eq!(role.principals(User, &[], None).unwrap(), ["def"]);
        assert_eq!(role.principals(User, &names(&["b", "a"]), None).unwrap(), ["b", "a"]);
        let error = role.principals(User, &names(&["a", "c"]), None).unwrap_err().to_string();
        assert_eq!(error, "c is not a valid value for valid_principals");
    }

    #[test]
    fn nobody_gets_a_certificate_without_principals_unless_the_role_says_so() {
        let any = Role { allowed_users: "*".into(), ..Role::default() };
        assert!(any.principals(User, &[], None).unwrap_err().to_string().starts_with("refusing to issue unsafe"));
        let explicit = Role { allow_empty_principals: true, ..Role::default() };
        assert!(explicit.principals(User, &[], None).unwrap().is_empty());
        assert!(explicit.principals(User, &names(&["x"]), None).unwrap_err().to_string().contains("not configured"));
    }

    #[test]
    fn hosts_are_matched_by_domain() {
        let role = |bare, sub| Role {
            allowed_domains: "example.com".into(),
            allow_bare_domains: bare,
            allow_subdomains: sub,
            ..Role::default()
        };
        let allowed = |role: &Role, host: &str| role.principals(Host, &names(&[host]), None).is_ok();
        for (host, bare, sub) in [
            ("example.com", true, false),
            ("a.example.com", false, true),
            ("*.example.com", false, true),
            (".example.com", false, false),
            ("evilexample.com", false, false),
            ("a.example.com.evil.org", false, false),
            ("example.com.", false, false),
        ] {
            assert_eq!((allowed(&role(true, false), host), allowed(&role(false, true), host)), (bare, sub), "{host}");
        }
    }

    #[test]
    fn cve_2026_35414_and_its_kin_never_reach_a_certificate() {
        let role = Role { allowed_users: "*".into(), allowed_domains: "*".into(), ..Role::default() };
        for hostile in [
            "a,root",
            "a b",
            "a\tb",
            "a\nb",
            "a\0",
            "*",
            "a*",
            "a?",
            "!root",
            "a\u{85}",
            "\u{200b}root",
            "a\\b",
            "a\"b",
        ] {
            assert!(role.principals(User, &names(&[hostile]), None).is_err(), "{hostile:?}");
            let is_pattern = hostile.contains(['*', '?']);
            assert_eq!(role.principals(Host, &names(&[hostile]), None).is_ok(), is_pattern, "{hostile:?}");
        }
        let many: Vec<String> = (0..257).map(|n| format!("u{n}")).collect();
        assert!(role.principals(User, &many, None).is_err());
        assert!(role.principals(User, &names(&[&"x".repeat(600)]), None).is_err());
    }
}
