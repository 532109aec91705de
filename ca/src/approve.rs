//! `Csr -> role.approve -> Approved`: everything a certificate will say, decided.
//!
//! What was asked for is gathered from every channel first ([`gather`]); then one checker judges all of it. Only this
//! module makes an [`Approved`], and only [`crate::profile`] turns one into bytes.

mod gather;
mod responder;

pub use gather::Asked;

use crate::{
    constraints::NameConstraintSet,
    csr::Csr,
    error::CaError,
    facts::CertificateFacts,
    names::NameRules,
    public_key::{PublicKey, PublicKeyKind},
    role::{PolicyIdentifier, Role},
    san::AlternativeNames,
    signature::SignaturePreference,
    subject::Subject,
    usage,
    validity::{IssuerBound, LeafNotAfter, Validity},
};
use const_oid::ObjectIdentifier;
use gather::Gathered;
use x509_cert::ext::{Extension, pkix::KeyUsage};

/// A certificate's content, approved. One-use: it moves into the profile.
#[derive(Debug)]
pub struct Approved {
    pub(crate) subject: Vec<u8>,
    pub(crate) common_name: String,
    pub(crate) common_name_in_san: bool,
    pub(crate) names: AlternativeNames,
    pub(crate) public_key: PublicKey,
    pub(crate) validity: Validity,
    pub(crate) purpose: Purpose,
    pub(crate) policies: Vec<PolicyIdentifier>,
    pub(crate) signature: SignaturePreference,
}

/// What the certificate is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A leaf.
    EndEntity {
        key_usage: KeyUsage,
        extended: Vec<ObjectIdentifier>,
        /// State `CA:FALSE` in so many words.
        states_basic_constraints: bool,
        /// What is said of revocation beyond where to ask.
        revocation: RevocationTerms,
        /// Extensions of the CSR that `sign-verbatim` lets through.
        verbatim: Vec<Extension>,
    },
    /// A CA.
    Authority {
        path_length: Option<u8>,
        constraints: NameConstraintSet,
        key_usage: KeyUsage,
        extended: Vec<ObjectIdentifier>,
        /// In place of the one computed from the key.
        subject_key_id: Option<Vec<u8>>,
    },
}

/// What a leaf says of its own revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevocationTerms {
    /// Where to ask, and no more.
    Ask,
    /// A TLS server must staple an OCSP answer (RFC 7633).
    Staple,
    /// It is never revoked, as it ends so soon (RFC 9608): nobody need ask, so it does not say where.
    Never,
}

/// The longest life of a certificate that is never revoked: seven days, as the CA/Browser Forum has it for its
/// short-lived ones.
const LONGEST_UNREVOKED: i64 = 7 * 86_400;

/// Key material a certificate is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Applicant<'a> {
    /// Somebody else's key, in a verified request.
    Csr(&'a Csr),
    /// A key generated here.
    Generated(&'a PublicKey),
}

/// What a CA certificate is to say beyond its names.
#[derive(Debug, Clone, Default)]
pub struct AuthorityTerms {
    /// `max_path_length`; none where negative.
    pub path_length: Option<u8>,
    /// `permitted_dns_domains`
    pub permitted_dns_domains: Vec<String>,
    /// `key_usage` besides keyCertSign and cRLSign, which every CA has.
    pub key_usage: Vec<String>,
    /// `ext_key_usage` and `ext_key_usage_oids`: what certificates below it may be used for.
    pub extended: Vec<ObjectIdentifier>,
    /// `skid`
    pub subject_key_id: Option<Vec<u8>>,
    /// `signature_bits` and `use_pss`
    pub signature: SignaturePreference,
    /// The subject of the CSR, byte for byte, in place of one built here.
    pub subject: Option<Vec<u8>>,
    /// The alternative names of the CSR, in place of those of the request's fields.
    pub names: Option<AlternativeNames>,
}

impl Applicant<'_> {
    fn csr(&self) -> Option<&Csr> {
        match self {
            Self::Csr(csr) => Some(csr),
            Self::Generated(_) => None,
        }
    }

    fn public_key(&self) -> &PublicKey {
        match self {
            Self::Csr(csr) => csr.public_key(),
            Self::Generated(key) => key,
        }
    }
}

impl Role {
    /// Judges what was asked for. Returns warnings besides.
    ///
    /// # Errors
    /// [`CaError::Caller`] that names the value the role does not allow.
    pub fn approve(
        &self,
        applicant: Applicant<'_>,
        asked: &Asked,
        display_name: &str,
        validity: Validity,
    ) -> Result<(Approved, Vec<String>), CaError> {
        if let Some(csr) = applicant.csr() {
            self.check_key(csr.public_key().kind())?;
        }
        let (gathered, warnings) = gather::gather(self, asked, applicant.csr())?;
        self.check_names(&NameRules::new(self, display_name), &gathered)?;
        let public_key = applicant.public_key().clone();
        let key_usage = usage::key_usage(&self.key_usage, public_key.kind());
        if key_usage.0.is_empty() && !self.key_usage.is_empty() {
            return Err(CaError::Caller(format!(
                "none of the role's key usages ({}) fits a key of type {}",
                self.key_usage.join(","),
                public_key.kind().name()
            )));
        }
        let policies = self.policy_identifiers.iter().map(|text| PolicyIdentifier::parse(text));
        let approved = Approved {
            subject: self.subject(&gathered).to_der()?,
            common_name_in_san: gathered.common_name_in_san,
            common_name: gathered.common_name,
            names: gathered.names,
            validity,
            purpose: Purpose::EndEntity {
                key_usage,
                extended: usage::extended_key_usage(self),
                states_basic_constraints: self.basic_constraints_valid_for_non_ca,
                revocation: self.revocation_terms(validity)?,
                verbatim: Vec::new(),
            },
            policies: policies.collect::<Result<_, _>>()?,
            signature: SignaturePreference { bits: self.signature_bits, pss: self.use_pss },
            public_key,
        };
        Ok((approved, warnings))
    }

    fn subject(&self, gathered: &Gathered) -> Subject {
        Subject {
            country: self.country.clone(),
            organization: self.organization.clone(),
            organizational_unit: self.ou.clone(),
            locality: self.locality.clone(),
            province: self.province.clone(),
            street_address: self.street_address.clone(),
            postal_code: self.postal_code.clone(),
            common_name: gathered.common_name.clone(),
            serial_number: gathered.serial_number.clone(),
            user_ids: gathered.user_ids.clone(),
        }
    }

    fn revocation_terms(&self, validity: Validity) -> Result<RevocationTerms, CaError> {
        let life = validity.not_after.as_second().saturating_sub(validity.not_before.as_second());
        match (self.must_staple, self.no_rev_avail) {
            (_, true) if life > LONGEST_UNREVOKED => Err(CaError::Caller(format!(
                "no_rev_avail is for certificates that live at most {LONGEST_UNREVOKED} s; this one would live {life} s"
            ))),
            (_, true) => Ok(RevocationTerms::Never),
            (true, false) => Ok(RevocationTerms::Staple),
            (false, false) => Ok(RevocationTerms::Ask),
        }
    }

    fn check_key(&self, kind: PublicKeyKind) -> Result<(), CaError> {
        if self.key_type != "any" && self.key_type != kind.name() {
            return Err(CaError::Caller(format!("role requires keys of type {}", self.key_type)));
        }
        let bits = i64::from(kind.bits());
        if self.key_type != "any" && bits != 0 && bits < self.key_bits {
            return Err(CaError::Caller(format!(
                "role requires a minimum of a {}-bit key, but CSR's key is {bits} bits",
                self.key_bits
            )));
        }
        Ok(())
    }

    fn check_names(&self, rules: &NameRules<'_>, gathered: &Gathered) -> Result<(), CaError> {
        let refuse = |text: String| Err(CaError::Caller(text));
        if !gathered.common_name.is_empty() && !rules.allows_common_name(&gathered.common_name) {
            return refuse(format!("common name {} not allowed by this role", gathered.common_name));
        }
        let serial = &gathered.serial_number;
        if !serial.is_empty() && !allows_pattern(&self.allowed_serial_numbers, serial) {
            return refuse(format!("serial_number {serial} not allowed by this role"));
        }
        if let Some(user) = gathered.user_ids.iter().find(|user| !allows_pattern(&self.allowed_user_ids, user)) {
            return refuse(format!("user_id {user} is not allowed by this role"));
        }
        let names = &gathered.names;
        // The rules tell the kinds apart by the `@`: a name must not pass for one kind and be certified as the other.
        if let Some(name) = names.dns.iter().find(|name| name.contains('@') || !rules.allows(name)) {
            return refuse(format!("subject alternate name {name} not allowed by this role"));
        }
        if let Some(name) = names.emails.iter().find(|name| !name.contains('@') || !rules.allows(name)) {
            return refuse(format!("email address {name} not allowed by this role"));
        }
        self.check_other_names(names)?;
        let (was, were) = if gathered.names_from_csr { ("CSR", "CSR") } else { ("the API", "the API") };
        if !names.ips.is_empty() && !self.allow_ip_sans {
            return refuse(format!(
                "IP Subject Alternative Names are not allowed in this role, but was provided via {was}"
            ));
        }
        if let Some(ip) = names.ips.iter().find(|ip| !rules.allows_ip(**ip)) {
            return refuse(format!("the IP address \"{ip}\" is not allowed in this role"));
        }
        if !names.uris.is_empty() && self.allowed_uri_sans.is_empty() {
            return refuse(format!(
                "URI Subject Alternative Names are not allowed in this role, but were provided via {were}"
            ));
        }
        if names.uris.iter().any(|uri| !rules.allows_uri(uri)) {
            return refuse(format!(
                "URI Subject Alternative Names were provided via {were} which are not valid for this role"
            ));
        }
        names.check_form()
    }

    fn check_other_names(&self, names: &AlternativeNames) -> Result<(), CaError> {
        if self.allowed_other_sans.iter().any(|pattern| pattern == "*") {
            return Ok(());
        }
        let allowed: Vec<_> =
            self.allowed_other_sans.iter().filter_map(|text| crate::san::OtherName::parse(text).ok()).collect();
        for name in &names.others {
            let mut of_type = allowed.iter().filter(|pattern| pattern.oid == name.oid).peekable();
            if of_type.peek().is_none() {
                return Err(CaError::Caller(format!("other SAN OID {} not allowed by this role", name.oid)));
            }
            if !of_type.any(|pattern| crate::names::matches_glob(&pattern.value, &name.value)) {
                return Err(CaError::Caller(format!(
                    "other SAN {} not allowed for OID {} by this role",
                    name.value, name.oid
                )));
            }
        }
        Ok(())
    }
}

impl Approved {
    /// The subject key identifier: the one that was asked for, or that of RFC 5280 §4.2.1.2 (1).
    pub(crate) fn subject_key_id(&self) -> Vec<u8> {
        match &self.purpose {
            Purpose::Authority { subject_key_id: Some(id), .. } => id.clone(),
            _ => self.public_key.identifier(),
        }
    }

    pub(crate) fn is_never_revoked(&self) -> bool {
        matches!(self.purpose, Purpose::EndEntity { revocation: RevocationTerms::Never, .. })
    }

    /// A CA certificate: a root for a key of ours, or an intermediate for a request. Whoever may call these endpoints
    /// may name anything, so only form is checked.
    ///
    /// # Errors
    /// [`CaError::Caller`] where a name has no proper form.
    pub fn authority(
        applicant: Applicant<'_>,
        asked: &Asked,
        subject: &Subject,
        terms: AuthorityTerms,
        validity: Validity,
    ) -> Result<(Self, Vec<String>), CaError> {
        let (gathered, _) = gather::gather(&Role::permissive_for_api(), asked, None)?;
        let mut warnings = Vec::new();
        if terms.path_length == Some(0) {
            warnings.push(
                "Max path length of the signed certificate is zero. This certificate cannot be used to issue intermediate CA certificates."
                    .to_owned(),
            );
        }
        let subject_der = match terms.subject {
            Some(der) => der,
            None => subject.to_der()?,
        };
        let approved = Self {
            common_name: crate::subject::common_name(&subject_der),
            common_name_in_san: false,
            subject: subject_der,
            names: terms.names.unwrap_or(gathered.names),
            public_key: applicant.public_key().clone(),
            validity,
            purpose: Purpose::Authority {
                path_length: terms.path_length,
                constraints: NameConstraintSet::permitting_dns(&terms.permitted_dns_domains),
                key_usage: usage::authority_key_usage(&terms.key_usage, applicant.public_key().kind()),
                extended: terms.extended,
                subject_key_id: terms.subject_key_id,
            },
            policies: Vec::new(),
            signature: terms.signature,
        };
        Ok((approved, warnings))
    }

    /// A root of somebody else's, to be cross-signed: what it says of itself, within what the issuer may pass on.
    ///
    /// # Errors
    /// [`CaError::Caller`] where its names have no proper form.
    pub fn self_issued(root: &CertificateFacts, issuer: IssuerBound) -> Result<Self, CaError> {
        // A root that is older than its new issuer keeps its beginning; nothing outlives its issuer.
        let not_before = root.not_before;
        let not_after = match issuer.behavior {
            LeafNotAfter::Permit => root.not_after,
            _ => root.not_after.min(issuer.not_after),
        };
        let public_key = PublicKey::parse(&root.public_key)?;
        let path_length = root.path_length.map(u8::try_from).transpose().ok().flatten();
        Ok(Self {
            subject: root.subject.clone(),
            common_name: root.common_name(),
            common_name_in_san: false,
            names: root.names()?,
            validity: Validity { not_before, not_after },
            purpose: Purpose::Authority {
                path_length,
                constraints: root.constraints.clone(),
                key_usage: usage::authority_key_usage(&[], public_key.kind()),
                extended: root.purposes.clone().unwrap_or_default(),
                // Whoever signed with this key pointed to this identifier.
                subject_key_id: Some(root.subject_key_id.clone()),
            },
            policies: Vec::new(),
            signature: SignaturePreference::default(),
            public_key,
        })
    }

    /// `sign-verbatim`: subject and extensions as the request has them, except those that are the issuer's to say.
    ///
    /// # Errors
    /// [`CaError::Caller`] where the role does not allow the key.
    pub fn verbatim(role: &Role, csr: &Csr, validity: Validity) -> Result<Self, CaError> {
        role.check_key(csr.public_key().kind())?;
        let is_ours = |extension: &&Extension| {
            use crate::oid;
            ![
                oid::BASIC_CONSTRAINTS,
                oid::SUBJECT_KEY_IDENTIFIER,
                oid::AUTHORITY_KEY_IDENTIFIER,
                oid::NAME_CONSTRAINTS,
                oid::CRL_DISTRIBUTION_POINTS,
                oid::FRESHEST_CRL,
                oid::AUTHORITY_INFO_ACCESS,
                oid::SUBJECT_ALT_NAME,
            ]
            .contains(&extension.extn_id)
        };
        let verbatim: Vec<Extension> = csr.extensions().iter().filter(is_ours).cloned().collect();
        let states = |id| verbatim.iter().any(|extension| extension.extn_id == id);
        let key_usage = usage::key_usage(&role.key_usage, csr.public_key().kind());
        let extended = usage::extended_key_usage(role);
        Ok(Self {
            subject: csr.subject().to_vec(),
            common_name: csr.common_name(),
            common_name_in_san: false,
            names: csr.names().clone(),
            public_key: csr.public_key().clone(),
            validity,
            purpose: Purpose::EndEntity {
                key_usage: if states(crate::oid::KEY_USAGE) { KeyUsage(Default::default()) } else { key_usage },
                extended: if states(crate::oid::EXTENDED_KEY_USAGE) { Vec::new() } else { extended },
                states_basic_constraints: role.basic_constraints_valid_for_non_ca,
                revocation: role.revocation_terms(validity)?,
                verbatim,
            },
            policies: Vec::new(),
            signature: SignaturePreference { bits: role.signature_bits, pss: role.use_pss },
        })
    }
}

fn allows_pattern(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| crate::names::matches_glob(pattern, text))
}

#[cfg(test)]
mod model;
