//! Parameters that requests for certificates share, and how certificates are rendered.

use crate::{
    approve::{Asked, AuthorityTerms},
    error::CaError,
    issuer::Issuer,
    pem,
    private_key::{PrivateKey, PrivateKeyFormat},
    role::{Role, seconds},
    signature::SignaturePreference,
    subject::Subject,
    validity::AskedValidity,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::{
    Call, SecretString,
    wire::{CommaList, Count, DurationSeconds, Flag, Text},
};
use chancery_hsm::KeyAlgorithm;
use serde::Deserialize;
use std::sync::Arc;

/// `format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Pem,
    Der,
    PemBundle,
}

/// Collects the parameters that ask for names and times.
pub(crate) fn asked(
    [common_name, serial_number, not_after, not_before]: [&Text; 4],
    [alt_names, ip_sans, uri_sans, other_sans, user_ids]: [&CommaList; 5],
    exclude_cn_from_sans: Flag,
    ttl: DurationSeconds,
) -> Result<Asked, CaError> {
    Ok(Asked {
        common_name: common_name.0.clone(),
        alt_names: alt_names.0.clone(),
        ip_sans: ip_sans.0.clone(),
        uri_sans: uri_sans.0.clone(),
        other_sans: other_sans.0.clone(),
        serial_number: serial_number.0.clone(),
        user_ids: user_ids.0.clone(),
        exclude_cn_from_sans: exclude_cn_from_sans.0,
        validity: AskedValidity {
            ttl: seconds("ttl", ttl)?,
            not_after: not_after.0.clone(),
            not_before: not_before.0.clone(),
        },
    })
}

/// Parameters of requests for CA certificates and CSRs.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct AuthorityFields {
    pub(crate) common_name: Text,
    alt_names: CommaList,
    ip_sans: CommaList,
    uri_sans: CommaList,
    other_sans: CommaList,
    serial_number: Text,
    exclude_cn_from_sans: Flag,
    ttl: DurationSeconds,
    not_after: Text,
    not_before: Text,
    pub(crate) not_before_duration: Option<DurationSeconds>,
    ou: CommaList,
    organization: CommaList,
    country: CommaList,
    locality: CommaList,
    province: CommaList,
    street_address: CommaList,
    postal_code: CommaList,
    pub(crate) format: Text,
    pub(crate) private_key_format: Text,
    pub(crate) key_type: Option<Text>,
    pub(crate) key_bits: Option<Count>,
    pub(crate) key_name: Text,
    pub(crate) key_ref: Text,
    /// `config:key` of a registered key, as OpenBao names it.
    pub(crate) external_key_ref: Text,
    /// The same by Vault's names.
    pub(crate) managed_key_name: Text,
    pub(crate) managed_key_id: Text,
    pub(crate) issuer_name: Text,
    pub(crate) issuer_ref: Text,
    signature_bits: Count,
    use_pss: Flag,
    max_path_length: Count,
    permitted_dns_domains: CommaList,
    key_usage: CommaList,
    ext_key_usage: CommaList,
    ext_key_usage_oids: CommaList,
    skid: Text,
    pub(crate) add_basic_constraints: Flag,
    pub(crate) csr: Text,
    pub(crate) use_csr_values: Flag,
    pub(crate) enforce_leaf_not_after_behavior: Flag,
}

impl Default for AuthorityFields {
    fn default() -> Self {
        Self {
            common_name: Text::default(),
            alt_names: CommaList::default(),
            ip_sans: CommaList::default(),
            uri_sans: CommaList::default(),
            other_sans: CommaList::default(),
            serial_number: Text::default(),
            exclude_cn_from_sans: Flag::default(),
            ttl: DurationSeconds::default(),
            not_after: Text::default(),
            not_before: Text::default(),
            not_before_duration: None,
            ou: CommaList::default(),
            organization: CommaList::default(),
            country: CommaList::default(),
            locality: CommaList::default(),
            province: CommaList::default(),
            street_address: CommaList::default(),
            postal_code: CommaList::default(),
            format: Text::default(),
            private_key_format: Text::default(),
            key_type: None,
            key_bits: None,
            key_name: Text::default(),
            key_ref: Text::default(),
            external_key_ref: Text::default(),
            managed_key_name: Text::default(),
            managed_key_id: Text::default(),
            issuer_name: Text::default(),
            issuer_ref: Text::default(),
            signature_bits: Count::default(),
            use_pss: Flag::default(),
            max_path_length: Count(-1),
            permitted_dns_domains: CommaList::default(),
            key_usage: CommaList::default(),
            ext_key_usage: CommaList::default(),
            ext_key_usage_oids: CommaList::default(),
            skid: Text::default(),
            add_basic_constraints: Flag::default(),
            csr: Text::default(),
            use_csr_values: Flag::default(),
            enforce_leaf_not_after_behavior: Flag::default(),
        }
    }
}

impl AuthorityFields {
    /// What is asked for. A CA's common name is no host's, so it does not become a SAN.
    pub(crate) fn asked(&self) -> Result<Asked, CaError> {
        let mut asked = asked(
            [&self.common_name, &self.serial_number, &self.not_after, &self.not_before],
            [&self.alt_names, &self.ip_sans, &self.uri_sans, &self.other_sans, &CommaList::default()],
            self.exclude_cn_from_sans,
            self.ttl,
        )?;
        asked.exclude_cn_from_sans = true;
        Ok(asked)
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            country: self.country.0.clone(),
            organization: self.organization.0.clone(),
            organizational_unit: self.ou.0.clone(),
            locality: self.locality.0.clone(),
            province: self.province.0.clone(),
            street_address: self.street_address.0.clone(),
            postal_code: self.postal_code.0.clone(),
            common_name: self.common_name.0.clone(),
            serial_number: self.serial_number.0.clone(),
            user_ids: Vec::new(),
        }
    }

    pub(crate) fn signature(&self) -> SignaturePreference {
        SignaturePreference { bits: self.signature_bits.0, pss: self.use_pss.0 }
    }

    pub(crate) fn terms(&self) -> Result<AuthorityTerms, CaError> {
        let path_length = match self.max_path_length.0 {
            -1 => None,
            length => Some(u8::try_from(length).map_err(|_| {
                CaError::caller(
                    "unable to create certificate: x509: invalid MaxPathLen, must be greater or equal to -1",
                )
            })?),
        };
        let purposes = Role {
            ext_key_usage: self.ext_key_usage.0.clone(),
            ext_key_usage_oids: self.ext_key_usage_oids.0.clone(),
            ..Role::permissive()
        };
        if let Some(bad) = purposes.ext_key_usage_oids.iter().find(|oid| !crate::oid::is_oid(oid)) {
            return Err(CaError::Caller(format!(
                "{bad:?} could not be parsed as a valid oid for an extended key usage"
            )));
        }
        Ok(AuthorityTerms {
            path_length,
            permitted_dns_domains: self.permitted_dns_domains.0.clone(),
            key_usage: self.key_usage.0.clone(),
            extended: crate::usage::extended_key_usage(&purposes),
            subject_key_id: self.subject_key_id()?,
            signature: self.signature(),
            subject: None,
            names: None,
        })
    }

    /// The algorithm of a key to be made.
    pub(crate) fn algorithm(&self) -> Result<KeyAlgorithm, CaError> {
        let kind = self.key_type.as_ref().map_or("rsa", |text| &text.0);
        crate::key::algorithm(kind, self.key_bits.map_or(0, |bits| bits.0))
    }

    /// Whether a registered key is named, by either dialect.
    pub(crate) fn names_registered_key(&self) -> bool {
        [&self.external_key_ref, &self.managed_key_name, &self.managed_key_id].iter().any(|text| !text.0.is_empty())
    }

    /// Tells of members that mean nothing to a request: they are the signing authority's to say.
    pub(crate) fn note_ignored_in_requests(&self, call: &Call) {
        note(call, "max_path_length", self.max_path_length.0 != -1);
        note(call, "permitted_dns_domains", !self.permitted_dns_domains.0.is_empty());
        note(call, "key_usage", !self.key_usage.0.is_empty());
        note(call, "ext_key_usage", !self.ext_key_usage.0.is_empty());
        note(call, "ext_key_usage_oids", !self.ext_key_usage_oids.0.is_empty());
        note(call, "issuer_name", !self.issuer_name.0.is_empty());
        self.note_ignored_in_roots(call, false);
    }

    /// Tells of members that mean nothing to a root.
    pub(crate) fn note_ignored_in_roots(&self, call: &Call, is_root: bool) {
        note(call, "add_basic_constraints", is_root && self.add_basic_constraints.0);
        note(call, "csr", !self.csr.0.is_empty());
        note(call, "use_csr_values", self.use_csr_values.0);
        note(call, "skid", !self.skid.0.is_empty());
        note(call, "issuer_ref", !self.issuer_ref.0.is_empty());
    }

    /// `skid`: a subject key identifier chosen by the caller, in hex with or without colons.
    fn subject_key_id(&self) -> Result<Option<Vec<u8>>, CaError> {
        if self.skid.0.is_empty() {
            return Ok(None);
        }
        let digits: String = self.skid.0.chars().filter(|c| !matches!(c, ':' | '-')).collect();
        let id = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
        // RFC 5280 §4.2.1.2 gives no bound; no identifier in use is longer than a SHA-512.
        id.filter(|id| (1..=64).contains(&id.len())).map(Some).ok_or_else(|| {
            CaError::caller("cannot parse requested SKID value as hex: it is not 1 to 64 octets in hexadecimal digits")
        })
    }

    /// The role whose defaults these endpoints have.
    pub(crate) fn role(&self) -> Result<Role, CaError> {
        let mut role = Role::permissive();
        if let Some(duration) = self.not_before_duration {
            role.not_before_duration = seconds("not_before_duration", duration)?;
        }
        Ok(role)
    }
}

impl Format {
    pub(crate) fn parse(text: &Text) -> Result<Self, CaError> {
        match text.0.as_str() {
            "" | "pem" => Ok(Self::Pem),
            "der" => Ok(Self::Der),
            "pem_bundle" => Ok(Self::PemBundle),
            _ => Err(CaError::caller("the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"")),
        }
    }

    /// A certificate as it stands in an answer.
    pub(crate) fn render(self, der: &[u8]) -> String {
        self.render_as(pem::CERTIFICATE, der)
    }

    /// Anything as it stands in an answer.
    pub(crate) fn render_as(self, label: &str, der: &[u8]) -> String {
        if self == Self::Der { STANDARD.encode(der) } else { pem::encode(label, der) }
    }

    /// The chain's certificates.
    pub(crate) fn render_chain(self, chain: &[Arc<Issuer>]) -> Vec<String> {
        chain.iter().map(|issuer| self.render(&issuer.facts.der)).collect()
    }

    /// For `pem_bundle`: the private key with what belongs to it.
    pub(crate) fn with_key(self, text: String, key: Option<&SecretString>) -> String {
        match key {
            Some(key) if self == Self::PemBundle => format!("{}\n{text}", key.expose()),
            _ => text,
        }
    }

    /// For `pem_bundle`: the certificate with those above it.
    pub(crate) fn bundle(self, certificate: String, chain: &[String]) -> String {
        if self != Self::PemBundle || chain.is_empty() {
            return certificate;
        }
        std::iter::once(certificate.as_str()).chain(chain.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
    }
}

fn note(call: &Call, member: &str, is_stated: bool) {
    if is_stated {
        call.note_ignored(member);
    }
}

/// A private half as it stands in an answer.
pub(crate) fn render_key(key: &PrivateKey, format: Format, stated: &Text) -> Result<SecretString, CaError> {
    let key_format = private_key_format(stated);
    if format == Format::Der { key.to_base64(key_format) } else { key.to_pem(key_format) }
}

/// `private_key_format`: anything but `pkcs8` is the traditional one.
pub(crate) fn private_key_format(text: &Text) -> PrivateKeyFormat {
    if text.0 == "pkcs8" { PrivateKeyFormat::Pkcs8 } else { PrivateKeyFormat::Traditional }
}
