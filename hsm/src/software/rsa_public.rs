//! RSA signatures read by ourselves, for what aws-lc-rs does not verify: SHA-1, SHA-224 and SHA-3 in PSS, SHA-224 and
//! SHA-3 in PKCS#1 v1.5, PKCS#1 v1.5 without a hash, and PSS with a salt of unknown length.
//!
//! Only public numbers come here, so nothing needs to take constant time. Nothing is signed here: aws-lc-rs has no raw
//! private operation, and the other crates that have one leak through its timing (RUSTSEC-2023-0071).

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};

use crate::{HashAlgorithm, HsmError, public_key};

/// Longest modulus, as in aws-lc-rs.
const MODULUS_BYTES: usize = 1024;

/// Longest public exponent; more only makes verification slow.
const EXPONENT_BYTES: usize = 8;

/// Shortest padding of a PKCS#1 v1.5 signature (RFC 8017 §9.2).
const PADDING_BYTES: usize = 8;

/// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.2): the whole encoded message is compared with the one expected.
pub(super) fn verify_pkcs1(spki_der: &[u8], info: &[u8], signature: &[u8]) -> Result<bool, HsmError> {
    let Some(encoded) = recover(spki_der, signature)? else { return Ok(false) };
    let Some(padding) = encoded.len().checked_sub(info.len() + 3).filter(|padding| *padding >= PADDING_BYTES) else {
        return Ok(false);
    };
    let expected = [&[0, 1], vec![0xff; padding].as_slice(), &[0], info].concat();
    Ok(encoded == expected)
}

/// RSASSA-PSS (RFC 8017 §9.1.2), MGF1 with the same hash; `salt` `None` takes any length.
pub(super) fn verify_pss(
    spki_der: &[u8],
    hash: HashAlgorithm,
    salt: Option<usize>,
    digest: &[u8],
    signature: &[u8],
) -> Result<bool, HsmError> {
    let Some(encoded) = recover(spki_der, signature)? else { return Ok(false) };
    // The encoded message has one bit less than the modulus, whose first byte therefore counts only where it is 1.
    let (modulus, _) = public_key::rsa_numbers(spki_der)?;
    let unused_bits = modulus.first().map_or(0, |byte| byte.leading_zeros()) + 1;
    let (encoded, unused_bits) = match encoded.split_first() {
        Some((0, rest)) if unused_bits == 8 => (rest, 0),
        Some(_) if unused_bits == 8 => return Ok(false),
        _ => (encoded.as_slice(), unused_bits),
    };
    Ok(pss_matches(encoded, unused_bits, hash, salt, digest).is_some())
}

/// Steps 3 to 14 of RFC 8017 §9.1.2; `None` is "inconsistent".
fn pss_matches(
    encoded: &[u8],
    unused_bits: u32,
    hash: HashAlgorithm,
    salt: Option<usize>,
    digest: &[u8],
) -> Option<()> {
    let encoded = encoded.strip_suffix(&[0xbc])?;
    let (masked, code) = encoded.split_at_checked(encoded.len().checked_sub(hash.digest_bytes())?)?;
    let allowed = 0xff_u8.checked_shr(unused_bits).unwrap_or(0);
    if masked.first()? & !allowed != 0 {
        return None;
    }
    let mut data: Vec<u8> = masked.iter().zip(mask(hash, code, masked.len())).map(|(byte, mask)| byte ^ mask).collect();
    *data.first_mut()? &= allowed;
    let start = data.iter().position(|byte| *byte != 0)?;
    let (1, found) = data.get(start..)?.split_first().map(|(first, rest)| (*first, rest))? else { return None };
    if salt.is_some_and(|salt| salt != found.len()) {
        return None;
    }
    let expected = hash.digest(&[&[0; 8], digest, found].concat());
    (expected == code).then_some(())
}

/// MGF1 (RFC 8017 §B.2.1).
fn mask(hash: HashAlgorithm, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + hash.digest_bytes());
    let mut counter = 0_u32;
    while mask.len() < length {
        mask.extend(hash.digest(&[seed, &counter.to_be_bytes()].concat()));
        counter = counter.wrapping_add(1);
    }
    mask.truncate(length);
    mask
}

/// RSAVP1 (RFC 8017 §5.2.2): the encoded message, as long as the modulus; `None` for a signature that cannot be one.
fn recover(spki_der: &[u8], signature: &[u8]) -> Result<Option<Vec<u8>>, HsmError> {
    let unfit = || HsmError::invalid("this RSA key is too long, or its exponent or modulus cannot be one");
    let (modulus, exponent) = public_key::rsa_numbers(spki_der)?;
    let even = exponent.last().is_none_or(|last| last % 2 == 0);
    if modulus.len() > MODULUS_BYTES || exponent.len() > EXPONENT_BYTES || even || exponent == [1] {
        return Err(unfit());
    }
    if signature.len() != modulus.len() || signature >= modulus.as_slice() {
        return Ok(None);
    }
    let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, precision(modulus.len())).map_err(|_| unfit());
    let modulus_number = Option::<Odd<BoxedUint>>::from(Odd::new(number(&modulus)?)).ok_or_else(unfit)?;
    let parameters = BoxedMontyParams::new_vartime(modulus_number);
    let exponent_bits = u32::try_from(exponent.len() * 8).map_err(|_| unfit())?;
    let recovered = BoxedMontyForm::new(number(signature)?, &parameters)
        .pow_bounded_exp(&number(&exponent)?, exponent_bits)
        .retrieve()
        .to_be_bytes();
    Ok(recovered.len().checked_sub(modulus.len()).and_then(|extra| recovered.get(extra..)).map(<[u8]>::to_vec))
}

fn precision(bytes: usize) -> u32 {
    u32::try_from(bytes * 8).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyAlgorithm, SaltLength, SignInput, SignScheme, software::SoftwareKey, verify};

    fn refused(modulus: &[u8], exponent: &[u8]) -> bool {
        let key = public_key::spki_from_rsa(modulus, exponent).unwrap();
        let signature = vec![1; modulus.len()];
        verify_pkcs1(&key, b"info", &signature).is_err()
            && verify_pss(&key, HashAlgorithm::Sha1, None, &[0; 20], &signature).is_err()
    }

    #[test]
    fn hostile_keys_are_refused_before_any_arithmetic() {
        let modulus = [0xff; 256];
        assert!(refused(&modulus, &[2]) && refused(&modulus, &[1]));
        assert!(refused(&modulus, &[0xff; EXPONENT_BYTES + 1]));
        assert!(refused(&[0xff; MODULUS_BYTES + 1], &[3]));
        let mut even = modulus;
        even[255] = 0xfe;
        assert!(refused(&even, &[3]));
        assert!(verify_pkcs1(b"no key", b"info", &[1; 256]).is_err());
    }

    #[test]
    fn hostile_signatures_are_false() {
        let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        let public = key.public_key_der().unwrap();
        for signature in
            [vec![], vec![0; 256], vec![1; 255], vec![1; 257], vec![0xff; 256], [vec![0; 255], vec![1]].concat()]
        {
            for hash in [HashAlgorithm::Sha1, HashAlgorithm::Sha3_512] {
                assert!(!verify_pkcs1(public, &hash.digest_info(&hash.digest(b"text")).unwrap(), &signature).unwrap());
                assert!(!verify_pss(public, hash, None, &hash.digest(b"text"), &signature).unwrap());
            }
            assert!(!verify_pkcs1(public, &[0; 300], &signature).unwrap(), "more than fits");
        }
    }

    #[test]
    fn our_reading_of_the_padding_agrees_with_the_librarys() {
        let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        let (public, message) = (key.public_key_der().unwrap(), SignInput::Message(b"text".to_vec()));
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
            let digest = hash.digest(b"text");
            let info = hash.digest_info(&digest).unwrap();
            let signature = key.sign(SignScheme::RsaPkcs1(hash), &message).unwrap();
            assert!(verify_pkcs1(public, &info, &signature).unwrap());
            assert!(!verify_pkcs1(public, &info[1..], &signature).unwrap());
            for salt in [SaltLength::Fixed(0), SaltLength::Fixed(17), SaltLength::Digest, SaltLength::Auto] {
                let signature = key.sign(SignScheme::RsaPss { hash, salt }, &message).unwrap();
                assert!(verify_pss(public, hash, None, &digest, &signature).unwrap(), "{hash} {salt:?}");
                assert_eq!(
                    verify_pss(public, hash, Some(17), &digest, &signature).unwrap(),
                    salt == SaltLength::Fixed(17)
                );
                assert!(
                    verify(public, SignScheme::RsaPss { hash, salt: SaltLength::Auto }, &message, &signature).unwrap()
                );
                let mut bad = signature.clone();
                bad[100] ^= 1;
                assert!(!verify_pss(public, hash, None, &digest, &bad).unwrap());
            }
        }
    }
}
