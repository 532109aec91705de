//! Schemes as aws-lc-rs parameters.
//!
//! aws-lc-rs ties each curve to a few hashes. ECDSA itself only takes the leftmost bits of a digest as a number
//! (SEC 1 §4.1.3), so any digest can be brought to the length of a hash the library offers for that curve: cut on the
//! right if it is longer than the order, filled with zeros on the left if it is shorter. The number stays the same.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use aws_lc_rs::{
    digest::{self, Digest},
    signature::{
        self, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaParameters, RsaPssSaltLength, RsaSignatureEncoding, VerificationAlgorithm,
    },
};

use crate::{HashAlgorithm, HsmError, KeyAlgorithm, SaltLength, SignInput, SignScheme};

/// The digest under the scheme's hash, in the library's type.
pub(super) fn imported_digest(scheme: SignScheme, input: &SignInput) -> Result<Digest, HsmError> {
    let hash = scheme.hash().ok_or(HsmError::Internal { detail: "a scheme without a hash asked for a digest" })?;
    let function = hash.implementation().ok_or_else(|| HsmError::not_supported(scheme.to_string()))?;
    import(&input.digest(hash)?, function)
}

/// The digest at the length the curve's algorithm of aws-lc-rs expects.
pub(super) fn ecdsa_digest(algorithm: KeyAlgorithm, scheme: SignScheme, input: &SignInput) -> Result<Digest, HsmError> {
    let hash = scheme.hash().ok_or(HsmError::Internal { detail: "a scheme without a hash asked for a digest" })?;
    let (native, order_bytes) = match algorithm {
        KeyAlgorithm::EcP256 => (&digest::SHA256, 32),
        KeyAlgorithm::EcP384 => (&digest::SHA384, 48),
        _ => (&digest::SHA512, 64),
    };
    let digest = input.digest(hash)?;
    let kept = digest.get(..order_bytes).unwrap_or(&digest);
    let mut bytes = vec![0; order_bytes.saturating_sub(kept.len())];
    bytes.extend_from_slice(kept);
    import(&bytes, native)
}

fn import(bytes: &[u8], algorithm: &'static digest::Algorithm) -> Result<Digest, HsmError> {
    Digest::import_less_safe(bytes, algorithm)
        .map_err(|_| HsmError::Internal { detail: "a digest has the wrong length" })
}

/// Verification of ECDSA by curve, over digests of [`ecdsa_digest`].
pub(super) fn ecdsa_verification(algorithm: KeyAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        KeyAlgorithm::EcP256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
        KeyAlgorithm::EcP384 => Some(&signature::ECDSA_P384_SHA384_ASN1),
        KeyAlgorithm::EcP521 => Some(&signature::ECDSA_P521_SHA512_ASN1),
        _ => None,
    }
}

/// Signing with RSA under a scheme.
pub(super) fn rsa_signing(scheme: SignScheme, modulus_bytes: usize) -> Result<&'static RsaSignatureEncoding, HsmError> {
    let unsupported = || HsmError::not_supported(scheme.to_string());
    match scheme {
        SignScheme::RsaPkcs1(HashAlgorithm::Sha256) => Ok(&RSA_PKCS1_SHA256),
        SignScheme::RsaPkcs1(HashAlgorithm::Sha384) => Ok(&RSA_PKCS1_SHA384),
        SignScheme::RsaPkcs1(HashAlgorithm::Sha512) => Ok(&RSA_PKCS1_SHA512),
        SignScheme::RsaPss { hash, salt } => {
            check_salt(hash, salt, modulus_bytes)?;
            let base: &'static RsaSignatureEncoding = match hash {
                HashAlgorithm::Sha256 => &RSA_PSS_SHA256,
                HashAlgorithm::Sha384 => &RSA_PSS_SHA384,
                HashAlgorithm::Sha512 => &RSA_PSS_SHA512,
                _ => return Err(unsupported()),
            };
            Ok(match salt {
                SaltLength::Digest => base,
                _ => interned(&SIGNING, (hash, salt), || copy_signing(hash).with_pss_salt_length(library_salt(salt))),
            })
        }
        _ => Err(unsupported()),
    }
}

/// Verification of RSA under a scheme.
pub(super) fn rsa_verification(scheme: SignScheme, modulus_bytes: usize) -> Result<&'static RsaParameters, HsmError> {
    let unsupported = || HsmError::not_supported(scheme.to_string());
    match scheme {
        SignScheme::RsaPkcs1(HashAlgorithm::Sha1) => Ok(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        SignScheme::RsaPkcs1(HashAlgorithm::Sha256) => Ok(&RSA_PKCS1_2048_8192_SHA256),
        SignScheme::RsaPkcs1(HashAlgorithm::Sha384) => Ok(&RSA_PKCS1_2048_8192_SHA384),
        SignScheme::RsaPkcs1(HashAlgorithm::Sha512) => Ok(&RSA_PKCS1_2048_8192_SHA512),
        SignScheme::RsaPss { hash, salt } => {
            check_salt(hash, salt, modulus_bytes)?;
            if !matches!(hash, HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) {
                return Err(unsupported());
            }
            Ok(interned(&VERIFYING, (hash, salt), || copy_verifying(hash).with_pss_salt_length(library_salt(salt))))
        }
        _ => Err(unsupported()),
    }
}

/// The longest salt that fits: `emLen - hLen - 2` (RFC 8017 §9.1.1).
pub(crate) fn longest_salt(hash: HashAlgorithm, modulus_bytes: usize) -> usize {
    modulus_bytes.saturating_sub(hash.digest_bytes() + 2)
}

fn check_salt(hash: HashAlgorithm, salt: SaltLength, modulus_bytes: usize) -> Result<(), HsmError> {
    match salt {
        SaltLength::Fixed(length) if usize::from(length) > longest_salt(hash, modulus_bytes) => {
            Err(HsmError::invalid(format!("a salt of {length} bytes is too long for this RSA key and {hash}")))
        }
        _ => Ok(()),
    }
}

fn library_salt(salt: SaltLength) -> RsaPssSaltLength {
    match salt {
        SaltLength::Digest => RsaPssSaltLength::Digest,
        SaltLength::Auto => RsaPssSaltLength::Max,
        SaltLength::Fixed(length) => RsaPssSaltLength::Custom(length),
    }
}

fn copy_signing(hash: HashAlgorithm) -> RsaSignatureEncoding {
    match hash {
        HashAlgorithm::Sha384 => RSA_PSS_SHA384,
        HashAlgorithm::Sha512 => RSA_PSS_SHA512,
        _ => RSA_PSS_SHA256,
    }
}

fn copy_verifying(hash: HashAlgorithm) -> RsaParameters {
    match hash {
        HashAlgorithm::Sha384 => RSA_PSS_2048_8192_SHA384,
        HashAlgorithm::Sha512 => RSA_PSS_2048_8192_SHA512,
        _ => RSA_PSS_2048_8192_SHA256,
    }
}

type Interned<T> = LazyLock<Mutex<HashMap<(HashAlgorithm, SaltLength), &'static T>>>;

static SIGNING: Interned<RsaSignatureEncoding> = LazyLock::new(Mutex::default);
static VERIFYING: Interned<RsaParameters> = LazyLock::new(Mutex::default);

/// aws-lc-rs wants `'static` parameters. There are at most three hashes times a few hundred salt lengths, so each is
/// made once and kept.
fn interned<T>(table: &Interned<T>, key: (HashAlgorithm, SaltLength), make: impl FnOnce() -> T) -> &'static T {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    table.entry(key).or_insert_with(|| Box::leak(Box::new(make())))
}
