//! `Asked -> role.approve -> Approved`: everything a certificate will say, decided. Only this module makes an
//! [`Approved`], and only `certificate.rs` turns one into bytes.

use crate::{
    error::SshError,
    options::{self, Options, Version},
    principals,
    public_key::SshPublicKey,
    role::{Role, SecurityKeys},
    template::{self, Tolerance},
    validity::Validity,
};
use chancery_engine::{Identity, MountPoint};
use chancery_store::SshCertificateKind;
use jiff::Timestamp;

/// Longest key id.
const LONGEST_KEY_ID: usize = 1024;

/// What a request's fields ask for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `cert_type`
    pub kind: SshCertificateKind,
    /// `valid_principals`
    pub principals: Vec<String>,
    /// `ttl`, in seconds.
    pub ttl: Option<u64>,
    /// `key_id`; empty where there is none.
    pub key_id: String,
    /// `critical_options`
    pub critical_options: Options,
    /// `extensions`
    pub extensions: Options,
}

/// Who asks, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// The caller; none for a renewal by proof of possession.
    pub identity: Option<&'a Identity>,
    /// The mount that is addressed.
    pub mount: &'a MountPoint,
    /// The role's name.
    pub role: &'a str,
    /// Now.
    pub now: Timestamp,
    /// The key id of the certificate that is renewed: it stays.
    pub kept_key_id: Option<&'a str>,
}

/// A certificate's content, approved. One-use: it moves into the certificate.
#[derive(Debug)]
pub struct Approved {
    pub(crate) key: SshPublicKey,
    pub(crate) kind: SshCertificateKind,
    pub(crate) key_id: String,
    pub(crate) principals: Vec<String>,
    pub(crate) validity: Validity,
    pub(crate) critical_options: Options,
    pub(crate) extensions: Options,
}

/// Reads `cert_type`.
///
/// # Errors
/// [`SshError::Caller`] that lists what there is.
pub(crate) fn kind(text: &str) -> Result<SshCertificateKind, SshError> {
    match text {
        "" | "user" => Ok(SshCertificateKind::User),
        "host" => Ok(SshCertificateKind::Host),
        _ => Err(SshError::caller("cert_type must be either 'user' or 'host'")),
    }
}

impl Role {
    /// Judges what was asked for. Returns warnings besides.
    ///
    /// # Errors
    /// [`SshError::Caller`] that names the value the role does not allow.
    pub fn approve(
        &self,
        key: SshPublicKey,
        asked: &Asked,
        applicant: Applicant<'_>,
    ) -> Result<(Approved, Vec<String>), SshError> {
        self.check_key(&key)?;
        let (allowed, name) = match asked.kind {
            SshCertificateKind::User => (self.allow_user_certificates, "user"),
            SshCertificateKind::Host => (self.allow_host_certificates, "host"),
        };
        if !allowed {
            return Err(SshError::Caller(format!("cert_type '{name}' is not allowed by role")));
        }
        let principals = self.principals(asked.kind, &asked.principals, applicant.identity)?;
        let validity = self.validity(asked.ttl, applicant.mount, applicant.now)?;
        let key_id = self.key_id(&asked.key_id, &key, applicant)?;
        let critical_options = self.critical_options(asked)?;
        let (extensions, warning) = self.extensions(asked, applicant.identity)?;
        let approved = Approved { key, kind: asked.kind, key_id, principals, validity, critical_options, extensions };
        Ok((approved, warning.into_iter().collect()))
    }

    /// Type and length of the key.
    fn check_key(&self, key: &SshPublicKey) -> Result<(), SshError> {
        let kind = key.kind();
        let refuse = |why: String| SshError::Caller(format!("public_key failed to meet the key requirements: {why}"));
        match (self.security_keys, kind.is_security_key()) {
            (SecurityKeys::Require, false) => {
                return Err(refuse(format!("key of type {} is not in a security key", kind.family())));
            }
            (SecurityKeys::Refuse, true) => {
                return Err(refuse("keys in security keys are not allowed".to_owned()));
            }
            _ => {}
        }
        if self.allowed_user_key_lengths.is_empty() {
            return Ok(());
        }
        let short = if kind.family() == "ecdsa" { "ec" } else { kind.family() };
        let lengths: Vec<&Vec<i64>> = [kind.family(), short, kind.name()]
            .iter()
            .filter_map(|name| self.allowed_user_key_lengths.get(*name))
            .collect();
        if lengths.is_empty() {
            return Err(refuse(format!("key of type {} is not allowed", kind.family())));
        }
        let bits = i64::from(kind.bits());
        let fits = bits == 0 || lengths.iter().any(|allowed| allowed.iter().any(|length| [0, bits].contains(length)));
        if fits { Ok(()) } else { Err(refuse(format!("key is of an invalid size: {bits}"))) }
    }

    fn key_id(&self, asked: &str, key: &SshPublicKey, applicant: Applicant<'_>) -> Result<String, SshError> {
        if let Some(kept) = applicant.kept_key_id {
            return Ok(kept.to_owned());
        }
        let display_name = applicant.identity.map(|identity| identity.display_name.as_str()).unwrap_or_default();
        let key_id = match (asked, self.key_id_format.as_str()) {
            ("", "") if display_name.is_empty() => format!("vault-{}", key.hex_hash()),
            ("", "") => format!("vault-{display_name}-{}", key.hex_hash()),
            ("", format) => format
                .replace("{{token_display_name}}", display_name)
                .replace("{{role_name}}", applicant.role)
                .replace("{{public_key_hash}}", &key.hex_hash()),
            _ if !self.allow_user_key_ids => {
                return Err(SshError::caller("setting key_id is not allowed by role"));
            }
            (asked, _) => asked.to_owned(),
        };
        // sshd writes it into its log, line by line.
        if key_id.len() > LONGEST_KEY_ID || key_id.chars().any(char::is_control) {
            return Err(SshError::Caller(format!(
                "key_id must have no control characters and at most {LONGEST_KEY_ID} bytes"
            )));
        }
        Ok(key_id)
    }

    fn critical_options(&self, asked: &Asked) -> Result<Options, SshError> {
        if asked.kind == SshCertificateKind::Host {
            // PROTOCOL.certkeys: none are defined for hosts, and a client refuses what it does not know.
            return match asked.critical_options.keys().next() {
                Some(name) => Err(SshError::Caller(format!("critical option {name:?} is for user certificates only"))),
                None => Ok(Options::new()),
            };
        }
        if asked.critical_options.is_empty() {
            return Ok(self.default_critical_options.clone());
        }
        let allowed = principals::split(&self.allowed_critical_options);
        if !allowed.is_empty() {
            let refused = not_in(&asked.critical_options, &allowed);
            if !refused.is_empty() {
                return Err(SshError::Caller(format!("critical options not on allowed list: [{}]", refused.join(" "))));
            }
        }
        options::check_critical(&asked.critical_options, Version::parse(&self.openssh_version)?)?;
        Ok(asked.critical_options.clone())
    }

    fn extensions(&self, asked: &Asked, identity: Option<&Identity>) -> Result<(Options, Option<String>), SshError> {
        if asked.extensions.is_empty() {
            return match asked.kind {
                SshCertificateKind::Host => Ok((Options::new(), None)),
                SshCertificateKind::User => self.default_extensions(identity),
            };
        }
        if self.allowed_extensions != "*" {
            let refused = not_in(&asked.extensions, &principals::split(&self.allowed_extensions));
            if !refused.is_empty() {
                return Err(SshError::Caller(format!("extensions [{}] are not on allowed list", refused.join(" "))));
            }
        }
        if asked.kind == SshCertificateKind::Host {
            return Err(SshError::caller("extensions are for user certificates only"));
        }
        options::check_extensions(&asked.extensions)?;
        Ok((asked.extensions.clone(), None))
    }

    fn default_extensions(&self, identity: Option<&Identity>) -> Result<(Options, Option<String>), SshError> {
        if !self.default_extensions_template {
            return Ok((self.default_extensions.clone(), None));
        }
        let mut filled = Options::new();
        let mut skipped = false;
        for (name, value) in &self.default_extensions {
            match template::fill(value, identity, Tolerance::default()) {
                Ok(value) => {
                    filled.insert(name.clone(), value);
                }
                // An extension only ever grants: without it the certificate can do less.
                Err(_) => skipped = true,
            }
        }
        options::check_extensions(&filled)?;
        let warning = skipped.then(|| "default_extension templating enabled with at least one extension requiring identity templating. However, this request lacked identity entity information, causing one or more extensions to be skipped from the generated certificate.".to_owned());
        Ok((filled, warning))
    }
}

fn not_in<'a>(asked: &'a Options, allowed: &[String]) -> Vec<&'a str> {
    asked.keys().map(String::as_str).filter(|name| !allowed.iter().any(|known| known == name)).collect()
}
