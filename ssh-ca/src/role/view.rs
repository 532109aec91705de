//! How a role is shown: what belongs to its key type.

use super::{KeyType, Role, SecurityKeys};
use crate::options::Options;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A role as it is answered.
pub(crate) struct RoleView<'a>(pub(crate) &'a Role);

#[derive(Serialize)]
struct OtpView<'a> {
    allowed_users: &'a str,
    cidr_list: &'a str,
    default_user: &'a str,
    exclude_cidr_list: &'a str,
    key_type: KeyType,
    port: i64,
}

#[derive(Serialize)]
struct CaView<'a> {
    algorithm_signer: &'a str,
    allow_bare_domains: bool,
    allow_commas_in_identity_templates: bool,
    allow_empty_principals: bool,
    allow_host_certificates: bool,
    allow_host_renewal: bool,
    allow_subdomains: bool,
    allow_user_certificates: bool,
    allow_user_key_ids: bool,
    allow_wildcards_in_identity_templates: bool,
    allowed_critical_options: &'a str,
    allowed_domains: &'a str,
    allowed_domains_template: bool,
    allowed_extensions: &'a str,
    allowed_user_key_lengths: &'a BTreeMap<String, Vec<i64>>,
    allowed_users: &'a str,
    allowed_users_template: bool,
    default_critical_options: &'a Options,
    default_extensions: &'a Options,
    default_extensions_template: bool,
    default_user: &'a str,
    default_user_template: bool,
    issuer_ref: &'a str,
    key_id_format: &'a str,
    key_type: KeyType,
    max_ttl: u64,
    not_before_duration: u64,
    openssh_version: &'a str,
    renewal_grace: u64,
    security_keys: SecurityKeys,
    ttl: u64,
}

impl Serialize for RoleView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let role = self.0;
        if role.key_type == KeyType::Otp {
            let view = OtpView {
                allowed_users: &role.allowed_users,
                cidr_list: &role.cidr_list,
                default_user: &role.default_user,
                exclude_cidr_list: &role.exclude_cidr_list,
                key_type: role.key_type,
                port: role.port,
            };
            return view.serialize(serializer);
        }
        let view = CaView {
            algorithm_signer: &role.algorithm_signer,
            allow_bare_domains: role.allow_bare_domains,
            allow_commas_in_identity_templates: role.allow_commas_in_identity_templates,
            allow_empty_principals: role.allow_empty_principals,
            allow_host_certificates: role.allow_host_certificates,
            allow_host_renewal: role.allow_host_renewal,
            allow_subdomains: role.allow_subdomains,
            allow_user_certificates: role.allow_user_certificates,
            allow_user_key_ids: role.allow_user_key_ids,
            allow_wildcards_in_identity_templates: role.allow_wildcards_in_identity_templates,
            allowed_critical_options: &role.allowed_critical_options,
            allowed_domains: &role.allowed_domains,
            allowed_domains_template: role.allowed_domains_template,
            allowed_extensions: &role.allowed_extensions,
            allowed_user_key_lengths: &role.allowed_user_key_lengths,
            allowed_users: &role.allowed_users,
            allowed_users_template: role.allowed_users_template,
            default_critical_options: &role.default_critical_options,
            default_extensions: &role.default_extensions,
            default_extensions_template: role.default_extensions_template,
            default_user: &role.default_user,
            default_user_template: role.default_user_template,
            issuer_ref: &role.issuer_ref,
            key_id_format: &role.key_id_format,
            key_type: role.key_type,
            max_ttl: role.max_ttl,
            not_before_duration: role.not_before_duration,
            openssh_version: &role.openssh_version,
            renewal_grace: role.renewal_grace,
            security_keys: role.security_keys,
            ttl: role.ttl,
        };
        view.serialize(serializer)
    }
}
