//! Certificate revocation lists (RFC 5280 §5): our own encoder, one pass over pre-sized bytes.
//!
//! The builders at hand either write the wrong authority key identifier or cannot carry the extensions we need, so the
//! list is written by hand on `der`. Entries are encoded once: the next list of the same scope takes over the bytes of the
//! last one and appends what came since ([`list::CrlList::entries`]).
//!
//! | | |
//! |---|---|
//! | [`list`] | reading one back |
//! | [`check`] | whether a new one may take the place of the old one |
//! | [`shard`] | which shard a certificate belongs to, and what its distribution point says |

pub mod check;
pub mod list;
pub mod shard;

use crate::{error::CaError, facts::CertificateFacts, oid, profile, serial::SerialNumber};
use chancery_store::RevokedCertificate;
use der::Decode;
use der::{
    Encode, Header, Length, Sequence, Tag,
    asn1::{AnyRef, BitStringRef, Ia5String, OctetString, UintRef},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_cert::ext::{
    Extension,
    pkix::{
        AuthorityKeyIdentifier, CrlDistributionPoints,
        crl::dp::DistributionPoint,
        name::{DistributionPointName, GeneralName},
    },
};

/// A CRL as it is stored.
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
    /// Every revocation up to this commit is on it.
    #[serde(default)]
    pub through: u64,
    /// Number of the complete CRL that a delta CRL adds to.
    #[serde(default)]
    pub base: Option<u64>,
    /// Names of a shard: every URL that certificates of it were ever given.
    #[serde(default)]
    pub urls: Vec<String>,
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
    /// BaseCRLNumber of a delta CRL.
    pub base: Option<u64>,
    /// Distribution point of a shard, by all its names; a complete CRL has none.
    pub distribution_point: &'a [String],
    /// Where the delta CRL of this complete one is.
    pub freshest: &'a [String],
    /// Further extensions.
    pub further: &'a [Extension],
}

/// Appends the entry of a revoked certificate.
///
/// # Errors
/// [`CaError::Encoding`], or [`CaError::Caller`] for a time no certificate can carry.
pub fn push_entry(certificate: &RevokedCertificate, entries: &mut Vec<u8>) -> Result<(), CaError> {
    let reason = certificate.revocation.reason;
    // §5.3.1: unspecified (0) is left out.
    let reason = if reason == 0 {
        None
    } else {
        let enumerated = [0x0a, 0x01, reason];
        Some(Extension { extn_id: oid::CRL_REASON, critical: false, extn_value: OctetString::new(&enumerated[..])? })
    };
    push_entry_with(&certificate.serial, certificate.revocation.at, reason.as_slice(), entries)
}

/// Appends an entry with extensions of one's own.
///
/// # Errors
/// See [`push_entry`].
pub fn push_entry_with(
    serial: &[u8],
    at: Timestamp,
    extensions: &[Extension],
    entries: &mut Vec<u8>,
) -> Result<(), CaError> {
    let mut entry = Vec::with_capacity(48);
    let serial = SerialNumber::from_bytes(serial);
    UintRef::new(serial.as_bytes())?.encode_to_vec(&mut entry)?;
    profile::time(at)?.encode_to_vec(&mut entry)?;
    if !extensions.is_empty() {
        extensions.to_vec().encode_to_vec(&mut entry)?;
    }
    push_tlv(Tag::Sequence, &entry, entries)
}

/// Encodes the to-be-signed part of a list around its encoded entries.
///
/// # Errors
/// [`CaError::Encoding`], or [`CaError::Caller`] for a time no certificate can carry.
pub fn encode(header: CrlHeader<'_>, entries: &[u8]) -> Result<Vec<u8>, CaError> {
    let mut front = Vec::with_capacity(512);
    // version v2 (§5.1.2.1)
    1_u8.encode_to_vec(&mut front)?;
    front.extend_from_slice(header.algorithm);
    front.extend_from_slice(&header.issuer.subject);
    profile::time(header.this_update)?.encode_to_vec(&mut front)?;
    profile::time(header.next_update)?.encode_to_vec(&mut front)?;
    // §5.1.2.6: absent where nothing is revoked.
    if !entries.is_empty() {
        Header::new(Tag::Sequence, Length::try_from(entries.len())?).encode_to_vec(&mut front)?;
    }
    let extensions = extensions(header)?;
    let mut back = Vec::with_capacity(extensions.len() + 4);
    push_tlv(Tag::ContextSpecific { constructed: true, number: der::TagNumber(0) }, &extensions, &mut back)?;
    let length = front.len() + entries.len() + back.len();
    let mut tbs = Vec::with_capacity(length + 8);
    Header::new(Tag::Sequence, Length::try_from(length)?).encode_to_vec(&mut tbs)?;
    tbs.extend_from_slice(&front);
    tbs.extend_from_slice(entries);
    tbs.extend_from_slice(&back);
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

fn extensions(header: CrlHeader<'_>) -> Result<Vec<u8>, CaError> {
    // §5.2.1: the key that signs the list, which is the issuer's own, not its issuer's.
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(header.issuer.subject_key_id.as_slice())?),
        ..AuthorityKeyIdentifier::default()
    };
    let mut list: Vec<Extension> = vec![
        profile::extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority)?,
        profile::extension(oid::CRL_NUMBER, false, &header.number)?,
    ];
    if let Some(base) = header.base {
        // §5.2.4
        list.push(profile::extension(oid::DELTA_CRL_INDICATOR, true, &base)?);
    }
    if !header.distribution_point.is_empty() {
        list.push(distribution_point(header.distribution_point)?);
    }
    if !header.freshest.is_empty() {
        // §5.2.6
        let point = DistributionPoint {
            distribution_point: Some(full_name(header.freshest)?),
            reasons: None,
            crl_issuer: None,
        };
        list.push(profile::extension(oid::FRESHEST_CRL, false, &CrlDistributionPoints(vec![point]))?);
    }
    list.extend_from_slice(header.further);
    Ok(list.to_der()?)
}

/// §5.2.5. The type of that name in x509-cert has the wrong object identifier, and all we say is the point's name.
fn distribution_point(urls: &[String]) -> Result<Extension, CaError> {
    #[derive(Sequence)]
    struct IssuingDistributionPoint {
        #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
        distribution_point: DistributionPointName,
    }
    let value = IssuingDistributionPoint { distribution_point: full_name(urls)? };
    profile::extension(oid::ISSUING_DISTRIBUTION_POINT, true, &value)
}

fn full_name(urls: &[String]) -> Result<DistributionPointName, CaError> {
    let name = |url: &String| Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(url)?));
    Ok(DistributionPointName::FullName(urls.iter().map(name).collect::<Result<_, der::Error>>()?))
}

fn push_tlv(tag: Tag, content: &[u8], output: &mut Vec<u8>) -> Result<(), CaError> {
    Header::new(tag, Length::try_from(content.len())?).encode_to_vec(output)?;
    output.extend_from_slice(content);
    Ok(())
}
