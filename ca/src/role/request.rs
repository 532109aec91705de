//! How a client states a role.

use super::Role;
use crate::error::CaError;
use chancery_engine::wire::{CommaList, Count, DurationSeconds, Flag, Text};
use serde::Deserialize;

/// Parameters of `roles/:name`; what is absent keeps its default (POST) or its present value (PATCH).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each member is the wire's parameter of the same name")]
pub struct RoleRequest {
    pub allow_any_name: Option<Flag>,
    pub allow_bare_domains: Option<Flag>,
    pub allow_glob_domains: Option<Flag>,
    pub allow_globs_in_identity_templates: Option<Flag>,
    pub allow_ip_sans: Option<Flag>,
    pub allow_localhost: Option<Flag>,
    pub allow_subdomains: Option<Flag>,
    pub allow_wildcard_certificates: Option<Flag>,
    pub allowed_domains: Option<CommaList>,
    pub allowed_domains_template: Option<Flag>,
    pub allowed_ip_sans_cidr: Option<CommaList>,
    pub allowed_other_sans: Option<CommaList>,
    pub allowed_serial_numbers: Option<CommaList>,
    pub allowed_uri_sans: Option<CommaList>,
    pub allowed_uri_sans_template: Option<Flag>,
    pub allowed_user_ids: Option<CommaList>,
    pub basic_constraints_valid_for_non_ca: Option<Flag>,
    pub client_flag: Option<Flag>,
    pub cn_validations: Option<CommaList>,
    pub code_signing_flag: Option<Flag>,
    pub country: Option<CommaList>,
    pub email_protection_flag: Option<Flag>,
    pub enforce_hostnames: Option<Flag>,
    pub ext_key_usage: Option<CommaList>,
    pub ext_key_usage_oids: Option<CommaList>,
    pub generate_lease: Option<Flag>,
    pub issuer_ref: Option<Text>,
    pub key_bits: Option<Count>,
    pub key_type: Option<Text>,
    pub key_usage: Option<CommaList>,
    pub locality: Option<CommaList>,
    pub max_ttl: Option<DurationSeconds>,
    pub must_staple: Option<Flag>,
    pub no_rev_avail: Option<Flag>,
    pub no_store: Option<Flag>,
    pub not_after: Option<Text>,
    pub not_after_bound: Option<Text>,
    pub not_before: Option<Text>,
    pub not_before_bound: Option<Text>,
    pub not_before_duration: Option<DurationSeconds>,
    pub organization: Option<CommaList>,
    pub ou: Option<CommaList>,
    pub policy_identifiers: Option<CommaList>,
    pub postal_code: Option<CommaList>,
    pub province: Option<CommaList>,
    pub require_cn: Option<Flag>,
    pub server_flag: Option<Flag>,
    pub signature_bits: Option<Count>,
    pub street_address: Option<CommaList>,
    pub ttl: Option<DurationSeconds>,
    pub use_csr_common_name: Option<Flag>,
    pub use_csr_sans: Option<Flag>,
    pub use_pss: Option<Flag>,
    /// Accepted in place of `ttl`.
    pub lease: Option<DurationSeconds>,
    /// Accepted in place of `max_ttl`.
    pub lease_max: Option<DurationSeconds>,
}

macro_rules! take {
    ($role:ident, $request:ident, $($member:ident),+) => {
        $(if let Some(value) = $request.$member { $role.$member = value.0; })+
    };
}

impl RoleRequest {
    /// Writes what was stated over `role`.
    ///
    /// # Errors
    /// [`CaError::Caller`] on a negative duration.
    pub fn apply(self, mut role: Role) -> Result<Role, CaError> {
        let request = self;
        for (member, value, target) in [
            ("ttl", request.ttl.or(request.lease), &mut role.ttl),
            ("max_ttl", request.max_ttl.or(request.lease_max), &mut role.max_ttl),
            ("not_before_duration", request.not_before_duration, &mut role.not_before_duration),
        ] {
            if let Some(value) = value {
                *target = seconds(member, value)?;
            }
        }
        take!(
            role,
            request,
            allow_any_name,
            allow_bare_domains,
            allow_glob_domains,
            allow_globs_in_identity_templates,
            allow_ip_sans,
            allow_localhost,
            allow_subdomains,
            allow_wildcard_certificates,
            allowed_domains,
            allowed_domains_template,
            allowed_ip_sans_cidr,
            allowed_other_sans,
            allowed_serial_numbers,
            allowed_uri_sans,
            allowed_uri_sans_template,
            allowed_user_ids,
            basic_constraints_valid_for_non_ca,
            client_flag,
            cn_validations,
            code_signing_flag,
            country,
            email_protection_flag,
            enforce_hostnames,
            ext_key_usage,
            ext_key_usage_oids,
            generate_lease,
            issuer_ref,
            key_bits,
            key_type,
            key_usage,
            locality,
            must_staple,
            no_rev_avail,
            no_store,
            not_after,
            not_after_bound,
            not_before,
            not_before_bound,
            organization,
            ou,
            policy_identifiers,
            postal_code,
            province,
            require_cn,
            server_flag,
            signature_bits,
            street_address,
            use_csr_common_name,
            use_csr_sans,
            use_pss
        );
        Ok(role)
    }
}

/// A duration that must not be negative, in the wire's words.
///
/// # Errors
/// [`CaError::Caller`] that names `member`.
pub(crate) fn seconds(member: &str, value: DurationSeconds) -> Result<u64, CaError> {
    u64::try_from(value.0).map_err(|_| {
        CaError::Caller(format!(
            "Field validation failed: error converting input for field {member:?}: cannot provide negative value '{}'",
            value.0
        ))
    })
}
