//! Roles: the per-mount rules that say which certificates may be issued.
//!
//! A [`Role`] is stored and echoed exactly as it is declared here; the member names and types are the
//! wire's. [`RoleRequest`] is how a client states one, loosely typed. What the rules mean is in
//! [`crate::names`] (which names), [`crate::validity`] (how long) and [`crate::approve`] (everything together).

mod policy;
mod request;

pub use policy::PolicyIdentifier;
pub use request::RoleRequest;
pub(crate) use request::seconds;

use crate::{error::CaError, names::is_cidr, oid::is_oid, san::OtherName};
use serde::{Deserialize, Serialize};

/// One role. Durations are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each member is the wire's parameter of the same name; Vault's PKI API page explains them"
)]
pub struct Role {
    pub allow_any_name: bool,
    pub allow_bare_domains: bool,
    pub allow_glob_domains: bool,
    pub allow_globs_in_identity_templates: bool,
    pub allow_ip_sans: bool,
    pub allow_localhost: bool,
    pub allow_subdomains: bool,
    pub allow_token_displayname: bool,
    pub allow_wildcard_certificates: bool,
    pub allowed_domains: Vec<String>,
    pub allowed_domains_template: bool,
    pub allowed_ip_sans_cidr: Vec<String>,
    pub allowed_other_sans: Vec<String>,
    pub allowed_serial_numbers: Vec<String>,
    pub allowed_uri_sans: Vec<String>,
    pub allowed_uri_sans_template: bool,
    pub allowed_user_ids: Vec<String>,
    pub basic_constraints_valid_for_non_ca: bool,
    pub client_flag: bool,
    pub cn_validations: Vec<String>,
    pub code_signing_flag: bool,
    pub country: Vec<String>,
    pub email_protection_flag: bool,
    pub enforce_hostnames: bool,
    pub ext_key_usage: Vec<String>,
    pub ext_key_usage_oids: Vec<String>,
    pub generate_lease: bool,
    pub issuer_ref: String,
    pub key_bits: i64,
    pub key_type: String,
    pub key_usage: Vec<String>,
    pub locality: Vec<String>,
    pub max_ttl: u64,
    /// Ours: certificates demand a stapled OCSP answer (RFC 7633).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub must_staple: bool,
    /// Ours: certificates live so shortly that they are never revoked, and say so (RFC 9608).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_rev_avail: bool,
    pub no_store: bool,
    pub not_after: String,
    pub not_after_bound: String,
    pub not_before: String,
    pub not_before_bound: String,
    pub not_before_duration: u64,
    pub organization: Vec<String>,
    pub ou: Vec<String>,
    pub policy_identifiers: Vec<String>,
    pub postal_code: Vec<String>,
    pub province: Vec<String>,
    pub require_cn: bool,
    pub server_flag: bool,
    pub signature_bits: i64,
    pub street_address: Vec<String>,
    pub ttl: u64,
    pub use_csr_common_name: bool,
    pub use_csr_sans: bool,
    pub use_pss: bool,
}

impl Default for Role {
    fn default() -> Self {
        let texts = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Self {
            allow_any_name: false,
            allow_bare_domains: false,
            allow_glob_domains: false,
            allow_globs_in_identity_templates: false,
            allow_ip_sans: true,
            allow_localhost: true,
            allow_subdomains: false,
            allow_token_displayname: false,
            allow_wildcard_certificates: true,
            allowed_domains: Vec::new(),
            allowed_domains_template: false,
            allowed_ip_sans_cidr: Vec::new(),
            allowed_other_sans: Vec::new(),
            allowed_serial_numbers: Vec::new(),
            allowed_uri_sans: Vec::new(),
            allowed_uri_sans_template: false,
            allowed_user_ids: Vec::new(),
            basic_constraints_valid_for_non_ca: false,
            client_flag: true,
            cn_validations: texts(&["email", "hostname"]),
            code_signing_flag: false,
            country: Vec::new(),
            email_protection_flag: false,
            enforce_hostnames: true,
            ext_key_usage: Vec::new(),
            ext_key_usage_oids: Vec::new(),
            generate_lease: false,
            issuer_ref: "default".to_owned(),
            key_bits: 0,
            key_type: "rsa".to_owned(),
            key_usage: texts(&["DigitalSignature", "KeyAgreement", "KeyEncipherment"]),
            locality: Vec::new(),
            max_ttl: 0,
            must_staple: false,
            no_rev_avail: false,
            no_store: false,
            not_after: String::new(),
            not_after_bound: "permit".to_owned(),
            not_before: String::new(),
            not_before_bound: "permit".to_owned(),
            not_before_duration: 30,
            organization: Vec::new(),
            ou: Vec::new(),
            policy_identifiers: Vec::new(),
            postal_code: Vec::new(),
            province: Vec::new(),
            require_cn: true,
            server_flag: true,
            signature_bits: 0,
            street_address: Vec::new(),
            ttl: 0,
            use_csr_common_name: true,
            use_csr_sans: true,
            use_pss: false,
        }
    }
}

impl Role {
    /// The role that stands behind `sign-verbatim` and `sign-intermediate`: every name, every key the issuer can sign.
    #[must_use]
    pub fn permissive() -> Self {
        Self {
            allow_any_name: true,
            allow_ip_sans: true,
            enforce_hostnames: false,
            cn_validations: vec!["disabled".to_owned()],
            allowed_uri_sans: vec!["*".to_owned()],
            allowed_other_sans: vec!["*".to_owned()],
            allowed_serial_numbers: vec!["*".to_owned()],
            allowed_user_ids: vec!["*".to_owned()],
            key_type: "any".to_owned(),
            key_usage: Vec::new(),
            require_cn: false,
            server_flag: false,
            client_flag: false,
            ..Self::default()
        }
    }

    /// Fills in what follows from other members and refuses what contradicts itself. Returns warnings.
    ///
    /// # Errors
    /// [`CaError::Caller`] that names the member and the value.
    pub fn settle(&mut self) -> Result<Vec<String>, CaError> {
        let mut warnings = Vec::new();
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(CaError::caller("\"ttl\" value must be less than \"max_ttl\" value"));
        }
        if self.no_store && self.generate_lease {
            self.generate_lease = false;
            warnings.push(
                "mutually exclusive values no_store=true and generate_lease=true were both specified; no_store=true takes priority"
                    .to_owned(),
            );
        }
        if self.must_staple && self.no_rev_avail {
            return Err(CaError::caller(
                "must_staple and no_rev_avail contradict each other: where revocation is never told there is no answer to staple",
            ));
        }
        if self.generate_lease {
            warnings.push("it is encouraged to disable generate_lease and rely on PKI's native capabilities when possible; this option can cause instance-wide issues with large numbers of issued certificates".to_owned());
        }
        self.settle_key()?;
        self.settle_bounds()?;
        self.check_lists()?;
        if self.cn_validations.is_empty() {
            self.cn_validations = vec!["email".to_owned(), "hostname".to_owned()];
        }
        check_cn_validations(&self.cn_validations)?;
        if self.issuer_ref.is_empty() {
            self.issuer_ref = "default".to_owned();
        }
        Ok(warnings)
    }

    fn settle_key(&mut self) -> Result<(), CaError> {
        match (self.key_type.as_str(), self.key_bits) {
            ("rsa", 0) => self.key_bits = 2048,
            ("ec", 0) => self.key_bits = 256,
            ("mldsa", 0) => self.key_bits = 44,
            ("rsa", bits) if bits < 2048 => {
                return Err(CaError::Caller(format!("RSA keys < 2048 bits are unsafe and not supported: got {bits}")));
            }
            ("rsa", 2048 | 3072 | 4096 | 8192)
            | ("ec", 224 | 256 | 384 | 521)
            | ("mldsa", 44 | 65 | 87)
            | ("ed25519" | "any", _) => {}
            ("rsa", bits) => return Err(CaError::Caller(format!("unsupported bit length for RSA key: {bits}"))),
            ("ec", bits) => return Err(CaError::Caller(format!("unsupported bit length for EC key: {bits}"))),
            ("mldsa", bits) => return Err(CaError::Caller(format!("unsupported bit length for ML-DSA key: {bits}"))),
            (other, _) => return Err(CaError::Caller(format!("unknown key type {other}"))),
        }
        Ok(())
    }

    fn settle_bounds(&mut self) -> Result<(), CaError> {
        if !matches!(self.not_before_bound.as_str(), "permit" | "duration" | "forbid") {
            return Err(CaError::caller(
                "Unknown value for field `not_before_bound`. Possible values are `permit` `duration` or `forbid`",
            ));
        }
        let known = matches!(self.not_after_bound.as_str(), "permit" | "ttl-limited" | "forbid");
        if !known && self.not_after_bound.parse::<jiff::Timestamp>().is_err() {
            return Err(CaError::caller(
                "Unknown value for field `not_after_bound`. Possible values are `permit`, `ttl-limited`, `forbid`, or an explicit timestamp.",
            ));
        }
        Ok(())
    }

    fn check_lists(&self) -> Result<(), CaError> {
        if let Some(bad) = self.ext_key_usage_oids.iter().find(|oid| !is_oid(oid)) {
            return Err(CaError::Caller(format!(
                "{bad:?} could not be parsed as a valid oid for an extended key usage"
            )));
        }
        for identifier in &self.policy_identifiers {
            PolicyIdentifier::parse(identifier)?;
        }
        for pattern in self.allowed_other_sans.iter().filter(|pattern| *pattern != "*") {
            OtherName::parse(pattern)
                .map_err(|error| CaError::Caller(format!("error parsing allowed_other_sans: {error}")))?;
        }
        if let Some(bad) = self.allowed_ip_sans_cidr.iter().find(|cidr| !is_cidr(cidr)) {
            return Err(CaError::Caller(format!("error parsing allowed_ip_sans_cidr: invalid CIDR address: {bad}")));
        }
        Ok(())
    }
}

fn check_cn_validations(kinds: &[String]) -> Result<(), CaError> {
    for kind in kinds {
        match kind.as_str() {
            "email" | "hostname" => {}
            "disabled" if kinds.len() == 1 => {}
            "disabled" => {
                return Err(CaError::caller(
                    "cn_validations value incorrect: cannot specify `disabled` along with `email` or `hostname`",
                ));
            }
            other => {
                return Err(CaError::Caller(format!("cn_validations value incorrect: unknown type: `{other}`")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settling_fills_in_key_sizes() {
        let mut role = Role::default();
        role.settle().unwrap();
        assert_eq!(role.key_bits, 2048);
        let mut role = Role { key_type: "ec".to_owned(), ..Role::default() };
        role.settle().unwrap();
        assert_eq!(role.key_bits, 256);
    }

    #[test]
    fn settling_refuses_contradictions() {
        for (bad, text) in [
            (Role { key_type: "zork".into(), ..Role::default() }, "unknown key type zork"),
            (Role { key_bits: 1024, ..Role::default() }, "RSA keys < 2048 bits are unsafe and not supported: got 1024"),
            (Role { ttl: 2, max_ttl: 1, ..Role::default() }, "\"ttl\" value must be less than \"max_ttl\" value"),
            (
                Role { allowed_ip_sans_cidr: vec!["zork".into()], ..Role::default() },
                "error parsing allowed_ip_sans_cidr: invalid CIDR address: zork",
            ),
        ] {
            let mut role = bad;
            assert_eq!(role.settle().unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn no_store_wins_over_leases() {
        let mut role = Role { no_store: true, generate_lease: true, ..Role::default() };
        assert_eq!(role.settle().unwrap().len(), 1);
        assert!(!role.generate_lease);
    }
}
