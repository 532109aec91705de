//! What a CA certificate says about its holder, read once and kept: the issuing side of every later check.

use crate::{
    constraints::NameConstraintSet, error::CaError, oid, public_key::PublicKey, san::AlternativeNames,
    serial::SerialNumber,
};
use const_oid::ObjectIdentifier;
use der::Decode;
use jiff::Timestamp;
use x509_cert::ext::pkix::{ExtendedKeyUsage, name::GeneralNames};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
    prelude::FromDer,
};

/// A certificate taken apart. Names and keys stay in DER, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its to-be-signed part.
    pub tbs: Vec<u8>,
    /// Subject, in DER.
    pub subject: Vec<u8>,
    /// Issuer, in DER.
    pub issuer: Vec<u8>,
    /// SubjectPublicKeyInfo, in DER.
    pub public_key: Vec<u8>,
    /// The serial number.
    pub serial: SerialNumber,
    /// Start of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// Whether it is a CA certificate.
    pub is_ca: bool,
    /// How many CA certificates may follow below it.
    pub path_length: Option<u32>,
    /// keyCertSign, or no key usage at all.
    pub may_sign_certificates: bool,
    /// cRLSign, or no key usage at all.
    pub may_sign_crls: bool,
    /// Subject key identifier: the extension's, or computed.
    pub subject_key_id: Vec<u8>,
    /// Authority key identifier, where there is one.
    pub authority_key_id: Option<Vec<u8>>,
    /// Name constraints on everything below it.
    pub constraints: NameConstraintSet,
    /// What certificates below it may be used for, where it says so; never with anyExtendedKeyUsage.
    pub purposes: Option<Vec<ObjectIdentifier>>,
}

impl CertificateFacts {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what does not parse.
    pub fn parse(der: &[u8]) -> Result<Self, CaError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(unparsed)?;
        if !rest.is_empty() {
            return Err(unparsed(format!("{} bytes follow it", rest.len())));
        }
        let usage = certificate.key_usage().map_err(unparsed)?;
        let basic = certificate.basic_constraints().map_err(unparsed)?;
        let mut subject_key_id = None;
        let mut authority_key_id = None;
        let mut constraints = NameConstraintSet::default();
        let mut purposes = None;
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::NameConstraints(found) => constraints = NameConstraintSet::read(found)?,
                ParsedExtension::ExtendedKeyUsage(_) => {
                    let list = ExtendedKeyUsage::from_der(extension.value).map_err(unparsed)?.0;
                    purposes = Some(list).filter(|list| !list.contains(&oid::ANY_EXTENDED_KEY_USAGE));
                }
                ParsedExtension::ParseError { error } => return Err(unparsed(error)),
                _ => {}
            }
        }
        let spki = certificate.public_key().raw.to_vec();
        let computed = || PublicKey::parse(&spki).map(|key| key.identifier()).unwrap_or_default();
        Ok(Self {
            der: der.to_vec(),
            tbs: certificate.tbs_certificate.as_ref().to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            serial: SerialNumber::from_bytes(certificate.raw_serial()),
            not_before: timestamp(certificate.validity().not_before.timestamp())?,
            not_after: timestamp(certificate.validity().not_after.timestamp())?,
            is_ca: basic.as_ref().is_some_and(|basic| basic.value.ca),
            path_length: basic.as_ref().and_then(|basic| basic.value.path_len_constraint),
            may_sign_certificates: usage.as_ref().is_none_or(|usage| usage.value.key_cert_sign()),
            may_sign_crls: usage.as_ref().is_none_or(|usage| usage.value.crl_sign()),
            subject_key_id: subject_key_id.unwrap_or_else(computed),
            authority_key_id,
            constraints,
            purposes,
            public_key: spki,
        })
    }

    /// The first of `purposes` that certificates below this one must not have.
    #[must_use]
    pub fn forbidden_purpose(&self, purposes: &[ObjectIdentifier]) -> Option<ObjectIdentifier> {
        let allowed = self.purposes.as_ref()?;
        purposes.iter().find(|purpose| !allowed.contains(purpose)).copied()
    }

    /// Whether issuer and subject are the same.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether this certificate's signature verifies under the key of `issuer`.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject && crate::verify::certificate_signature(&self.der, &issuer.public_key)
    }

    /// Its subject alternative names.
    ///
    /// # Errors
    /// [`CaError::Caller`] where they have no form we could write again.
    pub fn names(&self) -> Result<AlternativeNames, CaError> {
        let (_, certificate) = X509Certificate::from_der(&self.der).map_err(unparsed)?;
        let found = certificate.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
        let Some(extension) = found else { return Ok(AlternativeNames::default()) };
        AlternativeNames::from_general_names(&GeneralNames::from_der(extension.value).map_err(unparsed)?)
    }

    /// The subject's common name; empty where there is none.
    #[must_use]
    pub fn common_name(&self) -> String {
        crate::subject::common_name(&self.subject)
    }
}

fn timestamp(seconds: i64) -> Result<Timestamp, CaError> {
    crate::validity::read_second(seconds).map_err(unparsed)
}

fn unparsed(detail: impl std::fmt::Display) -> CaError {
    CaError::Caller(format!("certificate could not be parsed: {detail}"))
}
