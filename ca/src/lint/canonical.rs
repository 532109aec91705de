//! DER has one encoding for a value (X.690 §10, §11). The parser that the other lints read with does not insist on it, so
//! what it read is written again and compared: the whole, and inside of each extension that the standard defines.

use super::LintFailure;
use crate::oid;
use const_oid::ObjectIdentifier;
use der::{Decode, Encode};
use x509_cert::{
    certificate::TbsCertificate,
    ext::pkix::{
        AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
        CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName, SubjectKeyIdentifier,
    },
};

pub(super) fn check(tbs: &[u8]) -> Result<(), LintFailure> {
    let read = TbsCertificate::from_der(tbs).map_err(|error| LintFailure::new("DER", error.to_string()))?;
    let again = read.to_der().map_err(|error| LintFailure::new("DER", error.to_string()))?;
    if again != tbs {
        return Err(LintFailure::new("DER", "the same content has another encoding"));
    }
    let extensions = read.extensions().map(Vec::as_slice).unwrap_or_default();
    match extensions.iter().find(|extension| !is_canonical(extension.extn_id, extension.extn_value.as_bytes())) {
        Some(bad) => Err(LintFailure::new("DER", format!("extension {} is not the DER of its content", bad.extn_id))),
        None => Ok(()),
    }
}

fn is_canonical(oid: ObjectIdentifier, value: &[u8]) -> bool {
    match oid {
        oid::KEY_USAGE => same::<KeyUsage>(value),
        oid::EXTENDED_KEY_USAGE => same::<ExtendedKeyUsage>(value),
        oid::BASIC_CONSTRAINTS => same::<BasicConstraints>(value),
        oid::SUBJECT_KEY_IDENTIFIER => same::<SubjectKeyIdentifier>(value),
        oid::AUTHORITY_KEY_IDENTIFIER => same::<AuthorityKeyIdentifier>(value),
        oid::SUBJECT_ALT_NAME => same::<SubjectAltName>(value),
        oid::CERTIFICATE_POLICIES => same::<CertificatePolicies>(value),
        oid::AUTHORITY_INFO_ACCESS => same::<AuthorityInfoAccessSyntax>(value),
        oid::CRL_DISTRIBUTION_POINTS | oid::FRESHEST_CRL => same::<CrlDistributionPoints>(value),
        oid::NAME_CONSTRAINTS => same::<NameConstraints>(value),
        _ => true,
    }
}

fn same<T: for<'a> Decode<'a, Error = der::Error> + Encode>(value: &[u8]) -> bool {
    T::from_der(value).and_then(|read| read.to_der()).is_ok_and(|again| again == value)
}
