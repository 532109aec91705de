//! Certificate revocation lists (RFC 5280 §5): our own encoder, one pass over pre-sized bytes.
//!
//! The builders at hand either write the wrong authority key identifier or cannot carry the extensions we need, so the
//! list is written by hand on `der`.

use crate::{error::CaError, facts::CertificateFacts, oid, profile, serial::SerialNumber};
use chancery_store::RevokedCertificate;
use der::Decode;
use der::{
    Encode, Header, Length, Sequence, Tag,
    asn1::{AnyRef, BitStringRef, OctetString, UintRef},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_cert::ext::{Extension, pkix::AuthorityKeyIdentifier};

/// The CRL of one issuer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlRecord {
    /// cRLNumber; only ever rises.
    pub number: u64,
    /// thisUpdate
    pub this_update: Timestamp,
    /// nextUpdate
    pub next_update: Timestamp,
    /// The list, base64.
    #[serde(with = "crate::storage::base64_bytes")]
    pub der: Vec<u8>,
}

/// What a list says besides its entries.
#[derive(Debug, Clone, Copy)]
pub struct CrlHeader<'a> {
    /// Who signs.
    pub issuer: &'a CertificateFacts,
    /// DER of the AlgorithmIdentifier of the signature.
    pub algorithm: &'a [u8],
    /// cRLNumber
    pub number: u64,
    /// thisUpdate
    pub this_update: Timestamp,
    /// nextUpdate
    pub next_update: Timestamp,
}

/// Encodes the to-be-signed part of a complete CRL.
///
/// # Errors
/// [`CaError::Encoding`], or [`CaError::Caller`] for a time no certificate can carry.
pub fn encode(header: CrlHeader<'_>, revoked: &[RevokedCertificate]) -> Result<Vec<u8>, CaError> {
    let mut entries = Vec::with_capacity(revoked.len().saturating_mul(40));
    for certificate in revoked {
        push_entry(certificate, &mut entries)?;
    }
    let mut body = Vec::with_capacity(entries.len() + 512);
    // version v2 (§5.1.2.1)
    1_u8.encode_to_vec(&mut body)?;
    body.extend_from_slice(header.algorithm);
    body.extend_from_slice(&header.issuer.subject);
    profile::time(header.this_update)?.encode_to_vec(&mut body)?;
    profile::time(header.next_update)?.encode_to_vec(&mut body)?;
    // §5.1.2.6: absent where nothing is revoked.
    if !entries.is_empty() {
        push_tlv(Tag::Sequence, &entries, &mut body)?;
    }
    let extensions = extensions(header)?;
    push_tlv(Tag::ContextSpecific { constructed: true, number: der::TagNumber(0) }, &extensions, &mut body)?;
    let mut tbs = Vec::with_capacity(body.len() + 8);
    push_tlv(Tag::Sequence, &body, &mut tbs)?;
    Ok(tbs)
}

/// Puts a signature to a to-be-signed part, of a CRL, a certificate or a request.
///
/// # Errors
/// The encoder's failure.
pub fn assemble(tbs: &[u8], algorithm: &[u8], signature: &[u8]) -> Result<Vec<u8>, CaError> {
    #[derive(Sequence)]
    struct Signed<'a> {
        tbs: AnyRef<'a>,
        algorithm: AnyRef<'a>,
        signature: BitStringRef<'a>,
    }
    let signed = Signed {
        tbs: AnyRef::from_der(tbs)?,
        algorithm: AnyRef::from_der(algorithm)?,
        signature: BitStringRef::from_bytes(signature)?,
    };
    Ok(signed.to_der()?)
}

fn push_entry(certificate: &RevokedCertificate, entries: &mut Vec<u8>) -> Result<(), CaError> {
    let mut entry = Vec::with_capacity(48);
    let serial = SerialNumber::from_bytes(&certificate.serial);
    UintRef::new(serial.as_bytes())?.encode_to_vec(&mut entry)?;
    profile::time(certificate.revocation.at)?.encode_to_vec(&mut entry)?;
    // §5.3.1: unspecified (0) is left out.
    let reason = certificate.revocation.reason;
    if reason != 0 {
        let enumerated = [0x0a, 0x01, reason];
        let extension =
            Extension { extn_id: oid::CRL_REASON, critical: false, extn_value: OctetString::new(&enumerated[..])? };
        push_tlv(Tag::Sequence, &extension.to_der()?, &mut entry)?;
    }
    push_tlv(Tag::Sequence, &entry, entries)
}

fn extensions(header: CrlHeader<'_>) -> Result<Vec<u8>, CaError> {
    // §5.2.1: the key that signs the list, which is the issuer's own, not its issuer's.
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(header.issuer.subject_key_id.as_slice())?),
        ..AuthorityKeyIdentifier::default()
    };
    let list: Vec<Extension> = vec![
        profile::extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority)?,
        profile::extension(oid::CRL_NUMBER, false, &header.number)?,
    ];
    Ok(list.to_der()?)
}

fn push_tlv(tag: Tag, content: &[u8], output: &mut Vec<u8>) -> Result<(), CaError> {
    Header::new(tag, Length::try_from(content.len())?).encode_to_vec(output)?;
    output.extend_from_slice(content);
    Ok(())
}
