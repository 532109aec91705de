//! The signature, padding and MAC schemes a key can be asked for.

use std::fmt;

use aws_lc_rs::digest;
use der::{
    Encode,
    asn1::{Null, ObjectIdentifier, OctetStringRef},
};
use serde::{Deserialize, Serialize};
use sha3::Digest as _;

use crate::{HsmError, KeyAlgorithm};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashAlgorithm {
    /// SHA-1; only for formats that still demand it.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

impl HashAlgorithm {
    /// The digest of `message`.
    #[must_use]
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self.implementation() {
            Some(function) => digest::digest(function, message).as_ref().to_vec(),
            None => sha3::Sha3_224::digest(message).to_vec(),
        }
    }

    /// Length of a digest in bytes.
    #[must_use]
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// The function of aws-lc-rs, which has no SHA3-224.
    pub(crate) fn implementation(self) -> Option<&'static digest::Algorithm> {
        Some(match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
            Self::Sha3_224 => return None,
            Self::Sha3_256 => &digest::SHA3_256,
            Self::Sha3_384 => &digest::SHA3_384,
            Self::Sha3_512 => &digest::SHA3_512,
        })
    }

    /// `DigestInfo` (RFC 8017 §9.2) of a digest, parameters NULL.
    pub(crate) fn digest_info(self, digest: &[u8]) -> Result<Vec<u8>, HsmError> {
        #[derive(der::Sequence)]
        struct DigestInfo<'a> {
            algorithm: spki::AlgorithmIdentifier<Null>,
            digest: &'a OctetStringRef,
        }
        let oid = match self {
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha224 => "2.16.840.1.101.3.4.2.4",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
            Self::Sha3_224 => "2.16.840.1.101.3.4.2.7",
            Self::Sha3_256 => "2.16.840.1.101.3.4.2.8",
            Self::Sha3_384 => "2.16.840.1.101.3.4.2.9",
            Self::Sha3_512 => "2.16.840.1.101.3.4.2.10",
        };
        let failed = HsmError::Internal { detail: "a DigestInfo could not be encoded" };
        let (Ok(oid), Ok(digest)) = (ObjectIdentifier::new(oid), OctetStringRef::new(digest)) else {
            return Err(failed);
        };
        let algorithm = spki::AlgorithmIdentifier { oid, parameters: Some(Null) };
        DigestInfo { algorithm, digest }.to_der().map_err(|_| failed)
    }
}

impl HashAlgorithm {
    const ALL: [Self; 9] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The hash and the digest that a `DigestInfo` holds, where `info` is one: what callers sign who put PKCS#1 v1.5
    /// together by themselves.
    #[must_use]
    pub fn in_digest_info(info: &[u8]) -> Option<(Self, &[u8])> {
        Self::ALL.into_iter().find_map(|hash| {
            let digest = info.get(info.len().checked_sub(hash.digest_bytes())?..)?;
            (hash.digest_info(digest).ok()? == info).then_some((hash, digest))
        })
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Sha3_224 => "SHA3-224",
            Self::Sha3_256 => "SHA3-256",
            Self::Sha3_384 => "SHA3-384",
            Self::Sha3_512 => "SHA3-512",
        })
    }
}

/// Length of the salt of an RSA-PSS signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaltLength {
    /// As long as the digest.
    Digest,
    /// Signing takes the longest that fits; verifying accepts any.
    Auto,
    /// This many bytes.
    Fixed(u16),
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignScheme {
    /// ECDSA over the named hash; the signature is a DER `Ecdsa-Sig-Value` (RFC 3279 §2.2.3).
    Ecdsa(HashAlgorithm),
    /// Ed25519, pure (RFC 8032).
    Ed25519,
    /// ML-DSA, pure, with an empty context (FIPS 204 §5.2).
    MlDsa,
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    RsaPkcs1(HashAlgorithm),
    /// RSASSA-PSS (RFC 8017 §8.1), MGF1 with the same hash.
    RsaPss {
        /// The hash of message and mask.
        hash: HashAlgorithm,
        /// The salt's length.
        salt: SaltLength,
    },
}

impl SignScheme {
    /// RSA-PSS with a salt as long as the digest.
    #[must_use]
    pub fn rsa_pss(hash: HashAlgorithm) -> Self {
        Self::RsaPss { hash, salt: SaltLength::Digest }
    }

    /// The hash of the message, where there is one.
    #[must_use]
    pub fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Self::Ecdsa(hash) | Self::RsaPkcs1(hash) | Self::RsaPss { hash, .. } => Some(hash),
            Self::Ed25519 | Self::MlDsa => None,
        }
    }

    /// Whether keys of `algorithm` can sign this way.
    #[must_use]
    pub fn fits(self, algorithm: KeyAlgorithm) -> bool {
        match self {
            Self::Ecdsa(_) => algorithm.field_bytes().is_some(),
            Self::Ed25519 => algorithm == KeyAlgorithm::Ed25519,
            Self::MlDsa => algorithm.is_ml_dsa(),
            Self::RsaPkcs1(_) | Self::RsaPss { .. } => algorithm.is_rsa(),
        }
    }

    pub(crate) fn check(self, algorithm: KeyAlgorithm) -> Result<(), HsmError> {
        if self.fits(algorithm) {
            return Ok(());
        }
        Err(HsmError::invalid(format!("a key of type {algorithm} cannot sign with {self}")))
    }
}

impl fmt::Display for SignScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecdsa(hash) => write!(f, "ECDSA with {hash}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa => f.write_str("ML-DSA"),
            Self::RsaPkcs1(hash) => write!(f, "RSA PKCS#1 v1.5 with {hash}"),
            Self::RsaPss { hash, salt: SaltLength::Digest } => write!(f, "RSA-PSS with {hash}"),
            Self::RsaPss { hash, salt } => write!(f, "RSA-PSS with {hash} (salt {salt:?})"),
        }
    }
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInput {
    /// The message; it is hashed in this process, never in the token.
    Message(Vec<u8>),
    /// A digest the caller made with the scheme's hash.
    Digest(Vec<u8>),
}

impl SignInput {
    /// The digest under `hash`.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] if a ready-made digest has the wrong length.
    pub fn digest(&self, hash: HashAlgorithm) -> Result<Vec<u8>, HsmError> {
        match self {
            Self::Message(message) => Ok(hash.digest(message)),
            Self::Digest(digest) if digest.len() == hash.digest_bytes() => Ok(digest.clone()),
            Self::Digest(digest) => Err(HsmError::invalid(format!(
                "a {hash} digest has {} bytes, not {}",
                hash.digest_bytes(),
                digest.len()
            ))),
        }
    }

    /// The message, for schemes that hash by themselves.
    pub(crate) fn message(&self) -> Result<&[u8], HsmError> {
        match self {
            Self::Message(message) => Ok(message),
            Self::Digest(_) => Err(HsmError::invalid("Ed25519 signs messages, not digests")),
        }
    }
}

/// Padding of an RSA ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RsaPadding {
    /// OAEP with SHA-1 and MGF1-SHA-1, empty label (RFC 8017 §7.1).
    OaepSha1,
    /// OAEP with SHA-256 and MGF1-SHA-256, empty label.
    OaepSha256,
    /// PKCS#1 v1.5 (RFC 8017 §7.2).
    Pkcs1v15,
}

impl fmt::Display for RsaPadding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OaepSha1 => "RSA-OAEP with SHA-1",
            Self::OaepSha256 => "RSA-OAEP with SHA-256",
            Self::Pkcs1v15 => "RSA PKCS#1 v1.5 decryption",
        })
    }
}

/// How a MAC is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacAlgorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl fmt::Display for MacAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "HMAC-SHA-256",
            Self::HmacSha384 => "HMAC-SHA-384",
            Self::HmacSha512 => "HMAC-SHA-512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8017 §9.2, note 1.
    #[test]
    fn digest_info_of_sha256_is_the_rfcs() {
        let info = HashAlgorithm::Sha256.digest_info(&[0xAA; 32]).unwrap();
        let prefix = data_encoding::HEXLOWER.encode(&info[..19]);
        assert_eq!(prefix, "3031300d060960864801650304020105000420");
    }

    #[test]
    fn digest_infos_are_known_again_and_nothing_else_is_taken_for_one() {
        for hash in HashAlgorithm::ALL {
            let info = hash.digest_info(&hash.digest(b"text")).unwrap();
            assert_eq!(HashAlgorithm::in_digest_info(&info), Some((hash, hash.digest(b"text").as_slice())));
            assert_eq!(HashAlgorithm::in_digest_info(&info[1..]), None);
            assert_eq!(HashAlgorithm::in_digest_info(&[info.as_slice(), &[0]].concat()), None);
            assert_eq!(HashAlgorithm::in_digest_info(&hash.digest(b"text")), None);
        }
        assert_eq!(HashAlgorithm::in_digest_info(b""), None);
    }

    #[test]
    fn digests_have_the_length_they_claim() {
        for hash in HashAlgorithm::ALL {
            assert_eq!(hash.digest(b"text").len(), hash.digest_bytes(), "{hash}");
        }
        // As `openssl dgst -sha3-224` prints it.
        let sum = data_encoding::HEXLOWER.encode(&HashAlgorithm::Sha3_224.digest(b"hello"));
        assert_eq!(sum, "b87f88c72702fff1748e58b87e9141a42c0dbedc29a78cb0d4a5cd81");
    }
}
