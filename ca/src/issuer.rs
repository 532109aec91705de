//! Issuers: a CA certificate, what its key may be used for, and how others find it.

use crate::{
    error::CaError,
    facts::CertificateFacts,
    urls::Urls,
    validity::{IssuerBound, LeafNotAfter},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An issuer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerRecord {
    /// UUID.
    pub id: String,
    /// Name given by the operator; empty where there is none.
    pub name: String,
    /// Id of its key; empty where this mount does not hold the key.
    pub key_id: String,
    /// The certificate, base64.
    #[serde(with = "crate::storage::base64_bytes")]
    pub certificate: Vec<u8>,
    /// Issuer ids that replace the chain found by itself.
    #[serde(default)]
    pub manual_chain: Vec<String>,
    /// What happens to leaves that would outlive it.
    #[serde(default)]
    pub leaf_not_after_behavior: LeafNotAfter,
    /// What the key may be used for.
    pub usage: UsageSet,
    /// Name of the algorithm CRLs are signed with; empty leaves it to the key.
    #[serde(default)]
    pub revocation_signature_algorithm: String,
    /// URLs that replace the mount's.
    #[serde(default)]
    pub urls: Urls,
    /// Whether those URLs have places to be filled in.
    #[serde(default)]
    pub enable_aia_url_templating: bool,
    /// When the issuer itself was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
}

/// An issuer with its certificate read.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What is stored.
    pub record: IssuerRecord,
    /// What the certificate says.
    pub facts: CertificateFacts,
}

/// One thing an issuer may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// Sign CRLs.
    CrlSigning,
    /// Sign certificates.
    IssuingCertificates,
    /// Sign OCSP answers.
    OcspSigning,
    /// Be read; always set.
    ReadOnly,
}

/// What an issuer may be used for, in the wire's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSet(Vec<Usage>);

const USAGES: [(&str, Usage); 4] = [
    ("crl-signing", Usage::CrlSigning),
    ("issuing-certificates", Usage::IssuingCertificates),
    ("ocsp-signing", Usage::OcspSigning),
    ("read-only", Usage::ReadOnly),
];

impl Default for UsageSet {
    fn default() -> Self {
        Self(USAGES.iter().map(|(_, usage)| *usage).collect())
    }
}

impl UsageSet {
    /// Reads the `usage` parameter; `read-only` is always in it.
    ///
    /// # Errors
    /// [`CaError::Caller`] that lists what there is.
    pub fn parse(names: &[String]) -> Result<Self, CaError> {
        let mut set = vec![Usage::ReadOnly];
        for name in names {
            let known = USAGES.iter().find(|(known, _)| known == name).ok_or_else(|| {
                CaError::Caller(format!(
                    "Unable to parse specified usages: [{}] - valid values are crl-signing,issuing-certificates,ocsp-signing,read-only",
                    names.join(" ")
                ))
            })?;
            set.push(known.1);
        }
        set.sort_unstable();
        set.dedup();
        Ok(Self(set))
    }

    /// Everything that a CA certificate lets its key be used for.
    #[must_use]
    pub fn of(signs_crls: bool) -> Self {
        let fits = |usage: &Usage| *usage != Usage::CrlSigning || signs_crls;
        Self(USAGES.iter().map(|(_, usage)| *usage).filter(fits).collect())
    }

    /// All but `usage`.
    #[must_use]
    pub fn without(&self, usage: Usage) -> Self {
        Self(self.0.iter().copied().filter(|other| *other != usage).collect())
    }

    /// Whether `usage` is in it.
    #[must_use]
    pub fn has(&self, usage: Usage) -> bool {
        self.0.contains(&usage)
    }
}

impl fmt::Display for UsageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = USAGES.iter().filter(|(_, usage)| self.has(*usage)).map(|(name, _)| *name).collect();
        f.write_str(&names.join(","))
    }
}

impl Usage {
    /// The wire's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        USAGES.iter().find(|(_, usage)| *usage == self).map_or("", |(name, _)| name)
    }
}

impl Issuer {
    /// Reads the certificate of a record.
    ///
    /// # Errors
    /// [`CaError::Corrupt`] where the stored certificate does not parse.
    pub fn read(record: IssuerRecord) -> Result<Self, CaError> {
        let facts = CertificateFacts::parse(&record.certificate)
            .map_err(|error| CaError::corrupt(format!("issuer {}", record.id), error))?;
        Ok(Self { record, facts })
    }

    /// What a new issuer starts with.
    ///
    /// # Errors
    /// [`CaError::Caller`] where the certificate does not parse or is no CA's.
    pub fn new(id: String, name: String, key_id: String, certificate: Vec<u8>) -> Result<Self, CaError> {
        let facts = CertificateFacts::parse(&certificate)?;
        if !facts.is_ca {
            return Err(CaError::caller("unable to import a certificate that is not a CA certificate"));
        }
        let record = IssuerRecord {
            id,
            name,
            key_id,
            certificate,
            manual_chain: Vec::new(),
            leaf_not_after_behavior: LeafNotAfter::default(),
            usage: UsageSet::of(facts.may_sign_crls),
            revocation_signature_algorithm: String::new(),
            urls: Urls::default(),
            enable_aia_url_templating: false,
            revoked_at: None,
        };
        Ok(Self { record, facts })
    }

    /// Refuses a use the operator has not granted, or one without a key.
    ///
    /// # Errors
    /// [`CaError::Caller`] in the words clients know.
    pub fn require(&self, usage: Usage) -> Result<(), CaError> {
        let IssuerRecord { id, name, usage: granted, key_id, .. } = &self.record;
        if !granted.has(usage) {
            return Err(CaError::Caller(format!(
                "error fetching CA certificate: error while attempting to use issuer {id}: requested usage {} for issuer [id:{id} / name:{name}] but only had usage {granted}",
                usage.name()
            )));
        }
        if key_id.is_empty() {
            return Err(CaError::Caller(format!(
                "error fetching CA certificate: error while attempting to use issuer {id}: the key of issuer [id:{id} / name:{name}] is not in this mount"
            )));
        }
        Ok(())
    }

    /// Bounds on the validity of what it issues.
    #[must_use]
    pub fn bound(&self) -> IssuerBound {
        IssuerBound {
            not_before: self.facts.not_before,
            not_after: self.facts.not_after,
            behavior: self.record.leaf_not_after_behavior,
        }
    }

    /// Whether both certify the same key under the same name, so that one CRL serves both.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.facts.subject == other.facts.subject && self.facts.public_key == other.facts.public_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usages_are_read_and_written_in_the_wires_order() {
        assert_eq!(UsageSet::default().to_string(), "crl-signing,issuing-certificates,ocsp-signing,read-only");
        let set = UsageSet::parse(&["issuing-certificates".into()]).unwrap();
        assert_eq!(set.to_string(), "issuing-certificates,read-only");
        assert!(UsageSet::parse(&["zork".into()]).unwrap_err().to_string().contains("[zork]"));
    }
}
