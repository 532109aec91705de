//! How a client states a role.

use super::{KeyType, Role, SecurityKeys};
use crate::error::SshError;
use chancery_engine::wire::{Count, DurationSeconds, Flag, KeyValues, Text};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Parameters of `roles/:name`; what is absent keeps its default (POST) or its present value (PATCH).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each member is the wire's parameter of the same name")]
pub struct RoleRequest {
    pub algorithm_signer: Option<Text>,
    pub allow_bare_domains: Option<Flag>,
    pub allow_commas_in_identity_templates: Option<Flag>,
    pub allow_empty_principals: Option<Flag>,
    pub allow_host_certificates: Option<Flag>,
    pub allow_host_renewal: Option<Flag>,
    pub allow_subdomains: Option<Flag>,
    pub allow_user_certificates: Option<Flag>,
    pub allow_user_key_ids: Option<Flag>,
    pub allow_wildcards_in_identity_templates: Option<Flag>,
    pub allowed_critical_options: Option<Text>,
    pub allowed_domains: Option<Text>,
    pub allowed_domains_template: Option<Flag>,
    pub allowed_extensions: Option<Text>,
    pub allowed_user_key_lengths: Option<BTreeMap<String, Lengths>>,
    pub allowed_users: Option<Text>,
    pub allowed_users_template: Option<Flag>,
    pub cidr_list: Option<Text>,
    pub default_critical_options: Option<KeyValues>,
    pub default_extensions: Option<KeyValues>,
    pub default_extensions_template: Option<Flag>,
    pub default_user: Option<Text>,
    pub default_user_template: Option<Flag>,
    pub exclude_cidr_list: Option<Text>,
    pub issuer_ref: Option<Text>,
    pub key_id_format: Option<Text>,
    pub key_type: Option<Text>,
    pub max_ttl: Option<DurationSeconds>,
    pub not_before_duration: Option<DurationSeconds>,
    pub openssh_version: Option<Text>,
    pub port: Option<Count>,
    pub renewal_grace: Option<DurationSeconds>,
    pub security_keys: Option<Text>,
    pub ttl: Option<DurationSeconds>,
}

/// One length or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Lengths {
    /// One.
    One(Text),
    /// Several.
    Many(Vec<Text>),
}

impl Lengths {
    fn numbers(&self) -> Result<Vec<i64>, SshError> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        };
        let number = |Text(text): &Text| {
            text.parse().map_err(|_| {
                SshError::Caller(format!(
                    "error processing allowed_user_key_lengths: strconv.ParseInt: parsing {text:?}: invalid syntax"
                ))
            })
        };
        texts.iter().map(number).collect()
    }
}

impl RoleRequest {
    /// Lays what is stated over `base`.
    ///
    /// # Errors
    /// [`SshError::Caller`] that names the member.
    pub fn apply(self, base: Role) -> Result<Role, SshError> {
        let mut role = base;
        macro_rules! take {
            ($($member:ident),+) => { $(if let Some(value) = self.$member { role.$member = value.0; })+ };
        }
        take!(
            allow_bare_domains,
            allow_commas_in_identity_templates,
            allow_empty_principals,
            allow_host_certificates,
            allow_host_renewal,
            allow_subdomains,
            allow_user_certificates,
            allow_user_key_ids,
            allow_wildcards_in_identity_templates,
            allowed_critical_options,
            allowed_domains,
            allowed_domains_template,
            allowed_extensions,
            allowed_users,
            allowed_users_template,
            cidr_list,
            default_critical_options,
            default_extensions,
            default_extensions_template,
            default_user,
            default_user_template,
            exclude_cidr_list,
            key_id_format,
            openssh_version,
            port
        );
        macro_rules! take_seconds {
            ($($member:ident),+) => {
                $(if let Some(value) = self.$member { role.$member = seconds(stringify!($member), value)?; })+
            };
        }
        take_seconds!(max_ttl, not_before_duration, renewal_grace, ttl);
        // Clients that have nothing to say send an empty text, which stands for the default.
        if let Some(Text(signer)) = self.algorithm_signer {
            role.algorithm_signer = if signer.is_empty() { "default".to_owned() } else { signer };
        }
        if let Some(Text(issuer)) = self.issuer_ref {
            role.issuer_ref = if issuer.is_empty() { crate::authority::DEFAULT.to_owned() } else { issuer };
        }
        if let Some(lengths) = self.allowed_user_key_lengths {
            role.allowed_user_key_lengths = lengths
                .into_iter()
                .map(|(name, lengths)| Ok((name, lengths.numbers()?)))
                .collect::<Result<_, SshError>>()?;
        }
        if let Some(Text(text)) = self.security_keys {
            role.security_keys = match text.as_str() {
                "" | "allow" => SecurityKeys::Allow,
                "require" => SecurityKeys::Require,
                "refuse" => SecurityKeys::Refuse,
                other => {
                    return Err(SshError::Caller(format!("security_keys is allow, require or refuse, not {other:?}")));
                }
            };
        }
        if let Some(kind) = self.key_type {
            role.key_type = key_type(&kind.0)?;
        }
        Ok(role)
    }

    /// Whether the request names a key type; a new role needs one.
    #[must_use]
    pub fn states_key_type(&self) -> bool {
        self.key_type.as_ref().is_some_and(|kind| !kind.0.is_empty())
    }
}

fn key_type(text: &str) -> Result<KeyType, SshError> {
    match text.to_lowercase().as_str() {
        "ca" => Ok(KeyType::Ca),
        "otp" => Ok(KeyType::Otp),
        "" => Err(SshError::caller("missing key type")),
        "dynamic" => Err(SshError::caller("dynamic key type roles are no longer supported")),
        _ => Err(SshError::caller("invalid key type")),
    }
}

/// A duration that must not be negative, in the wire's words.
fn seconds(member: &str, value: DurationSeconds) -> Result<u64, SshError> {
    u64::try_from(value.0).map_err(|_| {
        SshError::Caller(format!(
            "Field validation failed: error converting input for field {member:?}: cannot provide negative value '{}'",
            value.0
        ))
    })
}
