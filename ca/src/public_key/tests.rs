//! Keys that no honest generator makes, built from their numbers.

use super::*;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use crypto_bigint::{BoxedUint, ConcatenatingMul, Resize};
use der::Encode;

/// The SPKI of an RSA key.
fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> der::Result<Vec<u8>> {
    let key = RsaPublicKey { modulus: UintRef::new(modulus)?, exponent: UintRef::new(exponent)? }.to_der()?;
    spki(oid::RSA, Some(AnyRef::NULL), &key)
}

fn spki(oid: ObjectIdentifier, parameters: Option<AnyRef<'_>>, bits: &[u8]) -> der::Result<Vec<u8>> {
    spki::SubjectPublicKeyInfo {
        algorithm: spki::AlgorithmIdentifier { oid, parameters },
        subject_public_key: der::asn1::BitStringRef::from_bytes(bits)?,
    }
    .to_der()
}

fn refusal(modulus: &[u8], exponent: &[u8]) -> PublicKeyError {
    PublicKey::parse(&rsa_spki(modulus, exponent).unwrap()).unwrap_err()
}

fn bytes(number: &BoxedUint) -> Vec<u8> {
    number.to_be_bytes_trimmed_vartime().into_vec()
}

const E: [u8; 3] = [1, 0, 1];

/// 2^1024 less these numbers is prime; so their products are moduli of 2048 bits whose primes lie close together.
const BELOW: [u64; 3] = [105, 179, 1397];

fn prime(at: usize) -> BoxedUint {
    let top = BoxedUint::one_with_precision(1088).shl_vartime(1024).unwrap();
    top.wrapping_sub(BoxedUint::from(BELOW[at]))
}

/// A modulus of 2048 bits of an honest generator.
fn honest() -> Vec<u8> {
    let key = chancery_hsm::software::SoftwareKey::generate(chancery_hsm::KeyAlgorithm::Rsa2048).unwrap();
    let spki = key.public_key_der().unwrap().to_vec();
    let bits = SubjectPublicKeyInfoRef::from_der(&spki).unwrap().subject_public_key.as_bytes().unwrap();
    RsaPublicKey::from_der(bits).unwrap().modulus.as_bytes().to_vec()
}

#[test]
fn weak_rsa_keys_are_refused() {
    let honest = honest();
    assert!(PublicKey::parse(&rsa_spki(&honest, &E).unwrap()).is_ok());
    let mut even = honest.clone();
    *even.last_mut().unwrap() &= 0xfe;
    assert_eq!(refusal(&even, &E), PublicKeyError::WeakModulus(2));
    let mut third = BoxedUint::from_be_slice_vartime(&honest);
    while bytes(&third).iter().map(|byte| u32::from(*byte)).sum::<u32>() % 3 != 0
        || third.as_words()[0].is_multiple_of(2)
    {
        third = third.wrapping_add(BoxedUint::one());
    }
    assert_eq!(refusal(&bytes(&third), &E), PublicKeyError::WeakModulus(3));
    assert_eq!(refusal(&honest[128..], &E), PublicKeyError::SmallModulus);
    assert_eq!(refusal(&[0xff; 1100], &E), PublicKeyError::LargeModulus(8800));
}

#[test]
fn exponents_are_odd_and_of_use() {
    let honest = honest();
    for (exponent, shown) in [
        (&[1][..], "1"),
        (&[0], "0"),
        (&[4], "4"),
        (&[1, 0, 0], "65536"),
        (&[2, 0, 0, 0, 1], "8589934593"),
        (&[0x7f; 9], "of 71 bits"),
    ] {
        assert_eq!(refusal(&honest, exponent), PublicKeyError::Exponent(shown.to_owned()));
    }
    for exponent in [&[3][..], &[17], &E, &[1, 0, 0, 0, 1]] {
        assert!(PublicKey::parse(&rsa_spki(&honest, exponent).unwrap()).is_ok(), "{exponent:?}");
    }
}

#[test]
fn close_primes_are_found_as_fermat_finds_them() {
    for (p, q) in [(0, 1), (1, 2), (0, 2), (1, 1)] {
        let modulus = bytes(&prime(p).concatenating_mul(prime(q)));
        assert_eq!(refusal(&modulus, &E), PublicKeyError::ClosePrimes, "{p} {q}");
    }
}

/// p = k·M + (65537^a mod M), with M the product of the first 126 primes: how the library made its primes for moduli of
/// 2048 bits. Whether they are prime does not show in the fingerprint.
#[test]
fn roca_shows_in_the_remainders() {
    let mut product = BoxedUint::one_with_precision(1024);
    let primes = (2..752_u64).filter(|number| (2..*number).all(|divisor| number % divisor != 0));
    for prime in primes.take(126) {
        product = product.wrapping_mul(BoxedUint::from(prime));
    }
    let modulus = product.to_nz().unwrap();
    let factor = |exponent: u32, k: u64| {
        let mut power = BoxedUint::one_with_precision(1024);
        for _ in 0..exponent {
            power = power.resize(1088).wrapping_mul(BoxedUint::from(65_537_u64)).rem_vartime(&modulus).resize(1024);
        }
        product.wrapping_mul(BoxedUint::from(k)).wrapping_add(&power)
    };
    let (p, q) = (factor(777, 9_234_200_174_758_185), factor(1201, 9_234_200_174_681_408));
    assert_eq!(refusal(&bytes(&p.concatenating_mul(&q)), &E), PublicKeyError::Roca);
}

#[test]
fn points_must_lie_on_their_curve() {
    let key = chancery_hsm::software::SoftwareKey::generate(chancery_hsm::KeyAlgorithm::EcP256).unwrap();
    let good = key.public_key_der().unwrap().to_vec();
    assert!(PublicKey::parse(&good).is_ok());
    let mut off = good.clone();
    *off.last_mut().unwrap() ^= 1;
    assert_eq!(PublicKey::parse(&off).unwrap_err(), PublicKeyError::Point);
    let parse = |curve: ObjectIdentifier, point: &[u8]| {
        let curve = der::asn1::Any::encode_from(&curve).unwrap();
        PublicKey::parse(&spki(oid::EC, Some((&curve).into()), point).unwrap())
    };
    let point = SubjectPublicKeyInfoRef::from_der(&good).unwrap().subject_public_key.as_bytes().unwrap().to_vec();
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let hybrid = [&[6 + (point[64] & 1)], &point[1..]].concat();
    for bad in [compressed, hybrid, vec![0], vec![4; 65], [&[4][..], &[0xff; 64]].concat(), [&point[..], &[0]].concat()]
    {
        assert_eq!(parse(oid::P256, &bad).unwrap_err(), PublicKeyError::Point);
    }
    // A point of one curve under the name of another.
    assert_eq!(parse(oid::P384, &point).unwrap_err(), PublicKeyError::Point);
    assert_eq!(parse(oid::P224, &point).unwrap_err(), PublicKeyError::Curve(oid::P224));
}

#[test]
fn ed25519_points_that_verify_anything_are_refused() {
    let good = Ed25519KeyPair::generate().unwrap();
    let parse = |point: &[u8]| PublicKey::parse(&spki(oid::ED25519, None, point).unwrap());
    assert!(parse(good.public_key().as_ref()).is_ok());
    let mut one = [0; 32];
    one[0] = 1;
    let order_eight = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_eight = data_encoding::HEXLOWER.decode(order_eight.as_bytes()).unwrap();
    for point in [&[0; 32][..], &one, &order_eight] {
        assert_eq!(parse(point).unwrap_err(), PublicKeyError::SmallOrder, "{point:?}");
    }
    // y = p + 1 is another encoding of y = 1; a y without an x is none.
    let mut second = [0xff; 32];
    (second[0], second[31]) = (0xee, 0x7f);
    let mut none = [0; 32];
    none[0] = 2;
    for point in [&second[..], &none] {
        assert_eq!(parse(point).unwrap_err(), PublicKeyError::Point, "{point:?}");
    }
    assert_eq!(parse(&[1; 31]).unwrap_err(), PublicKeyError::Malformed);
}

#[test]
fn junk_is_refused() {
    assert_eq!(PublicKey::parse(&[]).unwrap_err(), PublicKeyError::Malformed);
    assert_eq!(PublicKey::parse(&[0x30, 0x00]).unwrap_err(), PublicKeyError::Malformed);
    let pss = spki(oid::RSA_PSS, None, &[0x30, 0x00]).unwrap();
    assert_eq!(PublicKey::parse(&pss).unwrap_err(), PublicKeyError::Algorithm(oid::RSA_PSS));
    // Parameters that RSA does not have, and bytes behind the numbers.
    let honest = honest();
    let key = RsaPublicKey { modulus: UintRef::new(&honest).unwrap(), exponent: UintRef::new(&E).unwrap() };
    let key = key.to_der().unwrap();
    let curve = der::asn1::Any::encode_from(&oid::P256).unwrap();
    assert_eq!(
        PublicKey::parse(&spki(oid::RSA, Some((&curve).into()), &key).unwrap()).unwrap_err(),
        PublicKeyError::Malformed
    );
    let longer = [&key[..], &[0]].concat();
    let parsed = PublicKey::parse(&spki(oid::RSA, Some(AnyRef::NULL), &longer).unwrap());
    assert_eq!(parsed.unwrap_err(), PublicKeyError::Malformed);
}
