//! Keys that have the right form and still protect nothing.
//!
//! What Let's Encrypt's `goodkey` refuses, and the points that a verifier may take for a key: small factors, ROCA
//! (CVE-2017-15361), primes that Fermat finds (CVE-2022-26320), points off the curve, points of small order.

use super::PublicKeyError;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey, VerificationAlgorithm,
};
use crypto_bigint::{BoxedUint, Resize};
use curve25519_dalek::edwards::CompressedEdwardsY;

/// An RSA modulus nobody could factor in an afternoon.
pub(super) fn check_modulus(modulus: &[u8]) -> Result<(), PublicKeyError> {
    if let Some(prime) = small_primes().find(|prime| remainder(modulus, *prime) == 0) {
        return Err(PublicKeyError::WeakModulus(prime));
    }
    if bears_roca(modulus) {
        return Err(PublicKeyError::Roca);
    }
    if has_close_primes(modulus) {
        return Err(PublicKeyError::ClosePrimes);
    }
    Ok(())
}

/// A point of the curve, and not the one at infinity.
pub(super) fn check_point(size: u32, point: &[u8]) -> Result<(), PublicKeyError> {
    let curve: &'static dyn VerificationAlgorithm = match size {
        256 => &ECDSA_P256_SHA256_ASN1,
        384 => &ECDSA_P384_SHA384_ASN1,
        _ => &ECDSA_P521_SHA512_ASN1,
    };
    ParsedPublicKey::new(curve, point).map(|_| ()).map_err(|_| PublicKeyError::Point)
}

/// A point of the curve under its one encoding (RFC 8032 §5.1.3), that generates more than a handful of others.
pub(super) fn check_ed25519(point: &[u8]) -> Result<(), PublicKeyError> {
    let encoded = CompressedEdwardsY::from_slice(point).map_err(|_| PublicKeyError::Point)?;
    let decoded = encoded.decompress().filter(|decoded| decoded.compress() == encoded).ok_or(PublicKeyError::Point)?;
    if decoded.is_small_order() { Err(PublicKeyError::SmallOrder) } else { Ok(()) }
}

/// The primes below 752, as `goodkey` tries them.
fn small_primes() -> impl Iterator<Item = u64> {
    (2..752_u64)
        .filter(|number| (2..*number).take_while(|divisor| divisor * divisor <= *number).all(|d| number % d != 0))
}

fn remainder(big_endian: &[u8], divisor: u64) -> u64 {
    // Four bytes a step: with a divisor below 2^10 nothing overflows.
    let chunks = big_endian.rchunks(4).rev();
    chunks.fold(0, |rest, chunk| chunk.iter().fold(rest, |rest, byte| (rest << 8) | u64::from(*byte)) % divisor)
}

/// Moduli of the library of CVE-2017-15361 are powers of 65537 modulo each of the first primes. For another modulus that
/// happens once in 2^150 times.
fn bears_roca(modulus: &[u8]) -> bool {
    small_primes().skip(1).take_while(|prime| *prime <= 167).all(|prime| {
        let wanted = remainder(modulus, prime);
        let mut power = 1;
        (0..prime).any(|_| {
            let found = power == wanted;
            power = power * 65_537 % prime;
            found
        })
    })
}

/// Rounds of Fermat's method, as `goodkey` has them.
const FERMAT_ROUNDS: usize = 100;

/// n = a² - b² with an `a` just above the root of n: then the primes are a - b and a + b.
fn has_close_primes(modulus: &[u8]) -> bool {
    let modulus = BoxedUint::from_be_slice_vartime(modulus);
    let root = modulus.floor_sqrt_vartime();
    // One limb more than the modulus, so that the squares fit.
    let width = modulus.bits_precision() + 64;
    let (modulus, root) = (modulus.resize(width), root.resize(width));
    let one = BoxedUint::one_with_precision(width);
    let square = root.wrapping_square();
    if square.cmp_vartime(&modulus).is_eq() {
        return true;
    }
    let mut above = root.wrapping_add(&one);
    let mut difference = above.wrapping_square().wrapping_sub(&modulus);
    for _ in 0..FERMAT_ROUNDS {
        if may_be_square(&difference) && difference.checked_sqrt_vartime().is_some() {
            return true;
        }
        // (a + 1)² = a² + a + (a + 1)
        difference = difference.wrapping_add(&above);
        above = above.wrapping_add(&one);
        difference = difference.wrapping_add(&above);
    }
    false
}

/// Squares end in few of the patterns of six bits.
fn may_be_square(number: &BoxedUint) -> bool {
    let last = number.as_words().first().copied().unwrap_or(0) & 63;
    matches!(last, 0 | 1 | 4 | 9 | 16 | 17 | 25 | 33 | 36 | 41 | 49 | 57)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_long_division() {
        let number = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde];
        for divisor in [2, 3, 167, 751] {
            assert_eq!(remainder(&number, divisor), 0x0012_3456_789a_bcde % divisor);
        }
        assert_eq!(small_primes().count(), 133);
    }

    #[test]
    fn squares_pass_the_sieve() {
        for root in 0..1000_u64 {
            assert!(may_be_square(&BoxedUint::from(root * root)));
        }
    }
}
