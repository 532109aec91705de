//! Verification in software: of strangers' signatures, and of every signature a token hands us.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::parameters;
use crate::{HashAlgorithm, HsmError, KeyAlgorithm, SaltLength, SignInput, SignScheme, public_key};

/// Whether `signature` is one over `input` under the public key (SubjectPublicKeyInfo, DER).
///
/// # Errors
///
/// [`HsmError::InvalidInput`] if the key is unreadable or does not fit the scheme, [`HsmError::NotSupported`] for
/// combinations aws-lc-rs does not verify (RSA with SHA-224 or SHA-3, PSS with SHA-1 or SHA-224).
pub fn verify(spki_der: &[u8], scheme: SignScheme, input: &SignInput, signature: &[u8]) -> Result<bool, HsmError> {
    let algorithm = public_key::algorithm_of(spki_der)?;
    match (scheme, algorithm) {
        (SignScheme::Ecdsa(_), public_key::Kind::Ec(curve)) => verify_ecdsa(spki_der, curve, scheme, input, signature),
        (SignScheme::Ed25519, public_key::Kind::Ed25519) => {
            Ok(UnparsedPublicKey::new(&ED25519, spki_der).verify(input.message()?, signature).is_ok())
        }
        (SignScheme::RsaPss { hash, salt: SaltLength::Auto }, public_key::Kind::Rsa { modulus_bytes }) => {
            verify_any_salt(spki_der, hash, modulus_bytes, input, signature)
        }
        (SignScheme::RsaPkcs1(_) | SignScheme::RsaPss { .. }, public_key::Kind::Rsa { modulus_bytes }) => {
            verify_rsa(spki_der, scheme, modulus_bytes, input, signature)
        }
        _ => Err(HsmError::invalid(format!("this public key cannot verify {scheme}"))),
    }
}

fn verify_ecdsa(
    spki_der: &[u8],
    curve: KeyAlgorithm,
    scheme: SignScheme,
    input: &SignInput,
    signature: &[u8],
) -> Result<bool, HsmError> {
    let digest = parameters::ecdsa_digest(curve, scheme, input)?;
    let algorithm = parameters::ecdsa_verification(curve).ok_or_else(|| HsmError::not_supported(scheme.to_string()))?;
    Ok(UnparsedPublicKey::new(algorithm, spki_der).verify_digest(&digest, signature).is_ok())
}

fn verify_rsa(
    spki_der: &[u8],
    scheme: SignScheme,
    modulus_bytes: usize,
    input: &SignInput,
    signature: &[u8],
) -> Result<bool, HsmError> {
    let parameters = parameters::rsa_verification(scheme, modulus_bytes)?;
    let digest = parameters::imported_digest(scheme, input)?;
    Ok(UnparsedPublicKey::new(parameters, spki_der).verify_digest(&digest, signature).is_ok())
}

/// The usual lengths first: longest, digest, none; then all others.
fn verify_any_salt(
    spki_der: &[u8],
    hash: HashAlgorithm,
    modulus_bytes: usize,
    input: &SignInput,
    signature: &[u8],
) -> Result<bool, HsmError> {
    let longest = u16::try_from(parameters::longest_salt(hash, modulus_bytes)).unwrap_or(u16::MAX);
    let usual = [SaltLength::Fixed(longest), SaltLength::Digest, SaltLength::Fixed(0)];
    for salt in usual.into_iter().chain((1..longest).map(SaltLength::Fixed)) {
        if verify_rsa(spki_der, SignScheme::RsaPss { hash, salt }, modulus_bytes, input, signature)? {
            return Ok(true);
        }
    }
    Ok(false)
}
