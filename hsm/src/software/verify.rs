//! Verification in software: of strangers' signatures, and of every signature a token hands us.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::{ml_dsa, parameters, rsa_public};
use crate::{HsmError, KeyAlgorithm, SaltLength, SignInput, SignScheme, public_key};

/// Whether `signature` is one over `input` under the public key (SubjectPublicKeyInfo, DER).
///
/// # Errors
///
/// [`HsmError::InvalidInput`] if the key is unreadable or does not fit the scheme.
pub fn verify(spki_der: &[u8], scheme: SignScheme, input: &SignInput, signature: &[u8]) -> Result<bool, HsmError> {
    let algorithm = public_key::algorithm_of(spki_der)?;
    match (scheme, algorithm) {
        (SignScheme::Ecdsa(_), public_key::Kind::Ec(curve)) => verify_ecdsa(spki_der, curve, scheme, input, signature),
        (SignScheme::Ed25519, public_key::Kind::Ed25519) => {
            Ok(UnparsedPublicKey::new(&ED25519, spki_der).verify(input.message()?, signature).is_ok())
        }
        (SignScheme::MlDsa, public_key::Kind::MlDsa(algorithm)) => {
            ml_dsa::verify(algorithm, spki_der, input.message()?, signature)
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

/// aws-lc-rs where it verifies the scheme; our own reading of the padding for the other hashes and for a salt of any
/// length.
fn verify_rsa(
    spki_der: &[u8],
    scheme: SignScheme,
    modulus_bytes: usize,
    input: &SignInput,
    signature: &[u8],
) -> Result<bool, HsmError> {
    if let SignScheme::RsaPss { hash, salt: SaltLength::Auto } = scheme {
        return rsa_public::verify_pss(spki_der, hash, None, &input.digest(hash)?, signature);
    }
    match (parameters::rsa_verification(scheme, modulus_bytes), scheme) {
        (Err(HsmError::NotSupported { .. }), SignScheme::RsaPkcs1(hash)) => {
            rsa_public::verify_pkcs1(spki_der, &hash.digest_info(&input.digest(hash)?)?, signature)
        }
        (Err(HsmError::NotSupported { .. }), SignScheme::RsaPss { hash, salt }) => {
            let length = if let SaltLength::Fixed(length) = salt { length.into() } else { hash.digest_bytes() };
            rsa_public::verify_pss(spki_der, hash, Some(length), &input.digest(hash)?, signature)
        }
        (parameters, _) => {
            let digest = parameters::imported_digest(scheme, input)?;
            Ok(UnparsedPublicKey::new(parameters?, spki_der).verify_digest(&digest, signature).is_ok())
        }
    }
}

/// Whether `signature` is a PKCS#1 v1.5 signature over `input` itself, with no hash named in it.
///
/// # Errors
///
/// [`HsmError::InvalidInput`] if the key is unreadable.
pub fn verify_unhashed_pkcs1(spki_der: &[u8], input: &[u8], signature: &[u8]) -> Result<bool, HsmError> {
    rsa_public::verify_pkcs1(spki_der, input, signature)
}
