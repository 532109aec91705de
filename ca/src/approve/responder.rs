//! The certificate of a delegated OCSP responder: nobody asks for it, so there is nothing to gather.

use super::{Approved, Purpose, RevocationTerms};
use crate::{
    error::CaError, oid, profile, public_key::PublicKey, san::AlternativeNames, signature::SignaturePreference,
    subject::Subject, validity::Validity,
};
use der::asn1::Null;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

const COMMON_NAME: &str = "OCSP responder";

impl Approved {
    /// Says that its key may answer OCSP requests (RFC 6960 §4.2.2.2), and that nobody need ask about it (§4.2.2.2.1).
    pub(crate) fn responder(public_key: PublicKey, validity: Validity) -> Result<Self, CaError> {
        let subject = Subject { common_name: COMMON_NAME.to_owned(), ..Subject::default() };
        Ok(Self {
            subject: subject.to_der()?,
            common_name: COMMON_NAME.to_owned(),
            common_name_in_san: false,
            names: AlternativeNames::default(),
            public_key,
            validity,
            purpose: Purpose::EndEntity {
                key_usage: KeyUsage(KeyUsages::DigitalSignature.into()),
                extended: vec![oid::OCSP_SIGNING],
                states_basic_constraints: false,
                revocation: RevocationTerms::Ask,
                verbatim: vec![profile::extension(oid::OCSP_NO_CHECK, false, &Null)?],
            },
            policies: Vec::new(),
            signature: SignaturePreference::default(),
        })
    }
}
