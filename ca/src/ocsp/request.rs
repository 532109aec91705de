//! Reading an OCSP request (RFC 6960 §4.1). The bytes are a stranger's.

use super::{LONGEST_REQUEST, MOST_CERTIFICATES};
use crate::{error::CaError, serial::SerialNumber};
use aws_lc_rs::digest::{self, Algorithm};
use x509_cert_02::der::{Decode, asn1::OctetString};
use x509_ocsp::{CertId, OcspRequest};

/// id-pkix-ocsp-nonce
pub(super) const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";

/// RFC 9654 §2.1: a nonce of no octets, or of more than these, makes the request malformed.
const LONGEST_NONCE: usize = 128;

/// The hash that a request names the issuer by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashName {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// Which certificate is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    /// By which hash the issuer is named.
    pub hash: HashName,
    /// Hash of the issuer's name.
    pub issuer_name: Vec<u8>,
    /// Hash of the issuer's key.
    pub issuer_key: Vec<u8>,
    /// The serial number.
    pub serial: SerialNumber,
}

/// A request.
#[derive(Debug, Clone)]
pub struct OcspQuery {
    /// What is asked about; at least one.
    pub certificates: Vec<CertificateId>,
    /// To be repeated in the answer.
    pub nonce: Option<Vec<u8>>,
}

const HASHES: [(HashName, &str, &str); 4] = [
    (HashName::Sha1, "sha1", "1.3.14.3.2.26"),
    (HashName::Sha256, "sha256", "2.16.840.1.101.3.4.2.1"),
    (HashName::Sha384, "sha384", "2.16.840.1.101.3.4.2.2"),
    (HashName::Sha512, "sha512", "2.16.840.1.101.3.4.2.3"),
];

impl HashName {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        HASHES.iter().map(|(hash, ..)| *hash)
    }

    /// The word storage keys use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        HASHES.iter().find(|(hash, ..)| *hash == self).map_or("", |(_, word, _)| word)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        HASHES.iter().find(|(_, word, _)| *word == text).map(|(hash, ..)| *hash)
    }

    pub(super) fn oid(self) -> &'static str {
        HASHES.iter().find(|(hash, ..)| *hash == self).map_or("", |(.., oid)| oid)
    }

    pub(super) fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm: &'static Algorithm = match self {
            // Names an issuer, protects nothing.
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

impl CertificateId {
    fn read(wire: &CertId) -> Result<Self, CaError> {
        let oid = wire.hash_algorithm.oid.to_string();
        let hash = HASHES.iter().find(|(.., known)| *known == oid);
        let (hash, ..) = hash.ok_or_else(|| malformed(format!("hash {oid} is not known")))?;
        Ok(Self {
            hash: *hash,
            issuer_name: wire.issuer_name_hash.as_bytes().to_vec(),
            issuer_key: wire.issuer_key_hash.as_bytes().to_vec(),
            serial: SerialNumber::from_bytes(wire.serial_number.as_bytes()),
        })
    }
}

impl OcspQuery {
    /// Reads a request in DER. A signature on it is not looked at: what is asked here is public.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what is wrong.
    pub fn parse(der: &[u8]) -> Result<Self, CaError> {
        if der.len() > LONGEST_REQUEST {
            return Err(malformed(format!("it has {} octets", der.len())));
        }
        let request = OcspRequest::from_der(der).map_err(malformed)?.tbs_request;
        if request.request_list.is_empty() || request.request_list.len() > MOST_CERTIFICATES {
            return Err(malformed(format!("it asks about {} certificates", request.request_list.len())));
        }
        let mut nonce = None;
        for extension in request.request_extensions.iter().flatten() {
            if extension.extn_id.to_string() == NONCE {
                let value = OctetString::from_der(extension.extn_value.as_bytes()).map_err(malformed)?;
                let value = value.as_bytes().to_vec();
                if nonce.is_some() || value.is_empty() || value.len() > LONGEST_NONCE {
                    return Err(malformed("it must have one nonce of 1 to 128 octets"));
                }
                nonce = Some(value);
            } else if extension.critical {
                return Err(malformed(format!("critical extension {} is not known", extension.extn_id)));
            }
        }
        for single in &request.request_list {
            let extensions = single.single_request_extensions.iter().flatten();
            if let Some(unknown) = extensions.into_iter().find(|extension| extension.critical) {
                return Err(malformed(format!("critical extension {} is not known", unknown.extn_id)));
            }
        }
        let certificates = request.request_list.iter().map(|request| CertificateId::read(&request.req_cert));
        Ok(Self { certificates: certificates.collect::<Result<_, _>>()?, nonce })
    }
}

fn malformed(why: impl std::fmt::Display) -> CaError {
    CaError::Caller(format!("OCSP request could not be read: {why}"))
}
