//! `config/acme`: what a mount's ACME server may do. Members and defaults are OpenBao's; those of ours are shown only where
//! they say something.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};

/// `config/acme`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether strangers may ask at all.
    pub enabled: bool,
    /// Issuers that directories may name; `*` for all.
    pub allowed_issuers: Vec<String>,
    /// Roles that directories may name; `*` for all.
    pub allowed_roles: Vec<String>,
    /// Whether certificates have the role's purposes besides that of a TLS server.
    pub allow_role_ext_key_usage: bool,
    /// What directories without a role do: `sign-verbatim`, `forbid` or `role:<name>`.
    pub default_directory_policy: String,
    /// `host:port` of the DNS server to ask; the system's where it is empty.
    pub dns_resolver: String,
    /// `not-required`, `new-account-required` or `always-required`.
    pub eab_policy: String,
    /// Ours: networks that validation may connect to although they are internal, as CIDR.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_networks: Vec<String>,
    /// Ours: names by which CAA records may name this CA.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caa_identities: Vec<String>,
    /// Ours: whether a name is certified whose CAA records cannot be looked up: for networks whose own resolvers fail on names
    /// that nobody outside knows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub permit_without_caa_answer: bool,
    /// Ours: URL of the terms of service new accounts must agree to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub terms_of_service: String,
    /// Ours: URL of a page about this CA.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub website: String,
    /// Ours: seconds for which a shown control is good for further orders.
    #[serde(skip_serializing_if = "is_default_lifetime")]
    pub authorization_lifetime: u64,
    /// Ours: longest time in seconds for which an order may have its certificates renewed (RFC 8739); 0 for not at all.
    #[serde(skip_serializing_if = "is_default_duration")]
    pub auto_renewal_max_duration: u64,
}

/// A day: long enough for what belongs together, and names of internal networks move.
const AUTHORIZATION_LIFETIME: u64 = 86_400;

/// About as long as certificates live elsewhere for which control is shown once.
const AUTO_RENEWAL_MAX_DURATION: u64 = 90 * 86_400;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_default_duration(seconds: &u64) -> bool {
    *seconds == AUTO_RENEWAL_MAX_DURATION
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_default_lifetime(seconds: &u64) -> bool {
    *seconds == AUTHORIZATION_LIFETIME
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            allowed_issuers: vec!["*".to_owned()],
            allowed_roles: vec!["*".to_owned()],
            allow_role_ext_key_usage: false,
            default_directory_policy: "sign-verbatim".to_owned(),
            dns_resolver: String::new(),
            eab_policy: "not-required".to_owned(),
            allowed_networks: Vec::new(),
            caa_identities: Vec::new(),
            permit_without_caa_answer: false,
            terms_of_service: String::new(),
            website: String::new(),
            authorization_lifetime: AUTHORIZATION_LIFETIME,
            auto_renewal_max_duration: AUTO_RENEWAL_MAX_DURATION,
        }
    }
}

impl Settings {
    /// Whether a new account needs an external one.
    #[must_use]
    pub fn binds_new_accounts(&self) -> bool {
        self.eab_policy != "not-required"
    }

    /// Whether accounts made before that was demanded need one too.
    #[must_use]
    pub fn binds_all_accounts(&self) -> bool {
        self.eab_policy == "always-required"
    }

    /// Whether directories may name the role.
    #[must_use]
    pub fn allows_role(&self, role: &str) -> bool {
        self.allowed_roles.iter().any(|allowed| allowed == "*" || allowed == role)
    }

    /// The role of directories that name none.
    ///
    /// # Errors
    /// `malformed` where there must be a role in the URL.
    pub fn default_role(&self) -> Result<Option<&str>, Problem> {
        match self.default_directory_policy.as_str() {
            "forbid" => Err(Problem::malformed(
                "the default directory is not served; use the directory of a role: roles/<name>/acme/directory",
            )),
            policy => Ok(policy.strip_prefix("role:")),
        }
    }
}
