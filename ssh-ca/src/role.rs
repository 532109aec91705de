//! Roles: the per-mount rules that say which certificates may be signed, or for which addresses one-time passwords are.
//!
//! The member names and types are the wire's. [`RoleRequest`] is how a client states one, loosely typed. What the rules
//! mean is in `principals.rs`, `options.rs`, `validity.rs` and `approve.rs`.

mod request;
mod view;

pub use request::RoleRequest;
pub(crate) use view::RoleView;

use crate::{
    error::SshError,
    options::{self, Options, Version},
    otp,
    revocation::LONGEST_GRACE,
    signature,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One role. Durations are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each member is the wire's parameter of the same name; docs/ssh.md and Vault's SSH API page explain them"
)]
pub struct Role {
    pub algorithm_signer: String,
    pub allow_bare_domains: bool,
    pub allow_commas_in_identity_templates: bool,
    pub allow_empty_principals: bool,
    pub allow_host_certificates: bool,
    pub allow_host_renewal: bool,
    pub allow_subdomains: bool,
    pub allow_user_certificates: bool,
    pub allow_user_key_ids: bool,
    pub allow_wildcards_in_identity_templates: bool,
    pub allowed_critical_options: String,
    pub allowed_domains: String,
    pub allowed_domains_template: bool,
    pub allowed_extensions: String,
    pub allowed_user_key_lengths: BTreeMap<String, Vec<i64>>,
    pub allowed_users: String,
    pub allowed_users_template: bool,
    pub cidr_list: String,
    pub default_critical_options: Options,
    pub default_extensions: Options,
    pub default_extensions_template: bool,
    pub default_user: String,
    pub default_user_template: bool,
    pub exclude_cidr_list: String,
    pub issuer_ref: String,
    pub key_id_format: String,
    pub key_type: KeyType,
    pub max_ttl: u64,
    pub not_before_duration: u64,
    pub openssh_version: String,
    pub port: i64,
    pub renewal_grace: u64,
    pub security_keys: SecurityKeys,
    pub ttl: u64,
}

/// `key_type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Signs certificates.
    #[default]
    Ca,
    /// Hands out one-time passwords.
    Otp,
}

/// `security_keys`: what becomes of keys that live in a security key (`sk-…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecurityKeys {
    /// They are certified like others.
    #[default]
    Allow,
    /// Only they are certified.
    Require,
    /// They are not certified.
    Refuse,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            algorithm_signer: "default".to_owned(),
            allow_bare_domains: false,
            allow_commas_in_identity_templates: false,
            allow_empty_principals: false,
            allow_host_certificates: false,
            allow_host_renewal: false,
            allow_subdomains: false,
            allow_user_certificates: false,
            allow_user_key_ids: false,
            allow_wildcards_in_identity_templates: false,
            allowed_critical_options: String::new(),
            allowed_domains: String::new(),
            allowed_domains_template: false,
            allowed_extensions: String::new(),
            allowed_user_key_lengths: BTreeMap::new(),
            allowed_users: String::new(),
            allowed_users_template: false,
            cidr_list: String::new(),
            default_critical_options: Options::new(),
            default_extensions: Options::new(),
            default_extensions_template: false,
            default_user: String::new(),
            default_user_template: false,
            exclude_cidr_list: String::new(),
            issuer_ref: crate::authority::DEFAULT.to_owned(),
            key_id_format: String::new(),
            key_type: KeyType::Ca,
            max_ttl: 0,
            not_before_duration: 30,
            openssh_version: String::new(),
            port: 22,
            renewal_grace: 86_400,
            security_keys: SecurityKeys::Allow,
            ttl: 0,
        }
    }
}

impl Role {
    /// Refuses what contradicts itself or could never be issued.
    ///
    /// # Errors
    /// [`SshError::Caller`] that names the member.
    pub fn check(&self) -> Result<(), SshError> {
        match self.key_type {
            KeyType::Otp => self.check_otp(),
            KeyType::Ca => self.check_ca(),
        }
    }

    fn check_otp(&self) -> Result<(), SshError> {
        if self.default_user.is_empty() {
            return Err(SshError::caller("missing default user"));
        }
        otp::parse_networks("cidr_list", &self.cidr_list)?;
        otp::parse_networks("exclude_cidr_list", &self.exclude_cidr_list)?;
        Ok(())
    }

    fn check_ca(&self) -> Result<(), SshError> {
        if !self.allow_user_certificates && !self.allow_host_certificates {
            return Err(SshError::caller(
                "Either 'allow_user_certificates' or 'allow_host_certificates' must be set to 'true'",
            ));
        }
        if self.ttl != 0 && self.max_ttl != 0 && self.ttl > self.max_ttl {
            return Err(SshError::caller("\"ttl\" value must be less than \"max_ttl\" when both are specified"));
        }
        if self.algorithm_signer == "ssh-rsa" {
            return Err(SshError::caller(
                "algorithm signer \"ssh-rsa\" signs with SHA-1, which OpenSSH refuses; use rsa-sha2-256 or rsa-sha2-512",
            ));
        }
        if !signature::SIGNERS.contains(&self.algorithm_signer.as_str()) {
            return Err(SshError::Caller(format!("unknown algorithm signer {:?}", self.algorithm_signer)));
        }
        if self.renewal_grace > LONGEST_GRACE {
            return Err(SshError::Caller(format!("renewal_grace is at most {LONGEST_GRACE} seconds")));
        }
        let oldest = Version::parse(&self.openssh_version)?;
        options::check_critical(&self.default_critical_options, oldest)?;
        if self.default_extensions_template {
            return Ok(());
        }
        options::check_extensions(&self.default_extensions)
    }
}
