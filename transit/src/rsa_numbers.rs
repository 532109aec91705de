//! The numbers of an RSA private key (RFC 8017 §3.2): read from strangers, checked, and written in one form.
//!
//! A key that comes from outside may be broken on purpose. The checks and their texts are those of Go's `crypto/rsa`,
//! which clients know; two are ours, because nothing later would notice: a factor that is no prime, and factors of
//! unequal length, as a small one is.

use crate::error::TransitError;
use crypto_bigint::{
    BoxedUint, ConcatenatingMul as _, Integer as _, NonZero, Odd, Resize as _,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use der::{
    Decode, Encode, Sequence, SliceReader,
    asn1::{AnyRef, IntRef, UintRef},
};
use std::cmp::Ordering;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The longest modulus taken up for arithmetic, in bytes; the longest a key may have here is 512.
const LONGEST_MODULUS: usize = 1024;

/// Rounds of the Miller-Rabin test with random witnesses: wrong once in 4^8 for the worst number, far less for most.
const PRIMALITY_ROUNDS: usize = 8;

/// RFC 8017 §A.1.2
#[derive(Sequence)]
struct RsaPrivateKeyIn<'a> {
    version: u8,
    modulus: IntRef<'a>,
    public_exponent: IntRef<'a>,
    private_exponent: IntRef<'a>,
    prime1: IntRef<'a>,
    prime2: IntRef<'a>,
    exponent1: IntRef<'a>,
    exponent2: IntRef<'a>,
    coefficient: IntRef<'a>,
    other_primes: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct RsaPrivateKeyOut<'a> {
    version: u8,
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
    private_exponent: UintRef<'a>,
    prime1: UintRef<'a>,
    prime2: UintRef<'a>,
    exponent1: UintRef<'a>,
    exponent2: UintRef<'a>,
    coefficient: UintRef<'a>,
}

/// The numbers of a private key, not checked yet.
#[derive(ZeroizeOnDrop)]
pub(crate) struct RsaNumbers {
    pub(crate) modulus: BoxedUint,
    pub(crate) public_exponent: i64,
    pub(crate) private_exponent: BoxedUint,
    pub(crate) primes: [BoxedUint; 2],
    pub(crate) exponents: [BoxedUint; 2],
    pub(crate) coefficient: BoxedUint,
}

impl RsaNumbers {
    /// Reads PKCS#1. The error is the text behind what the caller names the key.
    pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Self, &'static str> {
        let mut reader = SliceReader::new(der).map_err(|_| MALFORMED)?;
        let key = RsaPrivateKeyIn::decode(&mut reader).map_err(|_| MALFORMED)?;
        if der::Reader::finish(reader).is_err() {
            return Err("asn1: syntax error: trailing data");
        }
        if key.version > 1 {
            return Err("x509: unsupported private key version");
        }
        if key.other_primes.is_some() {
            return Err("crypto/rsa: keys of more than two primes are not supported");
        }
        Ok(Self {
            modulus: positive(key.modulus)?,
            public_exponent: exponent(key.public_exponent)?,
            private_exponent: positive(key.private_exponent)?,
            primes: [positive(key.prime1)?, positive(key.prime2)?],
            exponents: [positive(key.exponent1)?, positive(key.exponent2)?],
            coefficient: positive(key.coefficient)?,
        })
    }

    /// The numbers that follow from the others.
    pub(crate) fn from_primes(
        modulus: BoxedUint,
        public_exponent: i64,
        private_exponent: BoxedUint,
        primes: [BoxedUint; 2],
    ) -> Result<Self, &'static str> {
        let [p, q] = &primes;
        let reduced = |prime: &BoxedUint| Some(private_exponent.rem(&less_one(prime)?));
        let exponents = reduced(p).zip(reduced(q)).ok_or(NOT_POSITIVE)?;
        let odd: Option<Odd<BoxedUint>> = p.to_odd().into_option();
        let inverse = odd.and_then(|p| q.rem(p.as_nz_ref()).invert_odd_mod(&p).into_option());
        let coefficient = inverse.ok_or("crypto/rsa: p * q != n")?;
        Ok(Self {
            modulus,
            public_exponent,
            private_exponent,
            exponents: [exponents.0, exponents.1],
            primes,
            coefficient,
        })
    }

    /// Bytes of the modulus.
    pub(crate) fn modulus_bytes(&self) -> usize {
        bytes(&self.modulus)
    }

    /// Checks the numbers against each other; [`RsaNumbers::check_primes`] is the dear half.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        check_public(&self.modulus, self.public_exponent)?;
        let [p, q] = &self.primes;
        if p.concatenating_mul(q).cmp_vartime(&self.modulus) != Ordering::Equal {
            return Err("crypto/rsa: p * q != n");
        }
        let bits = self.modulus.bits_vartime();
        for (prime, exponent) in [(p, &self.exponents[0]), (q, &self.exponents[1])] {
            self.check_exponent(prime, exponent)?;
        }
        self.check_coefficient()?;
        let (larger, smaller) = if p.cmp_vartime(q) == Ordering::Less { (q, p) } else { (p, q) };
        if larger.wrapping_sub(smaller).bits_vartime() <= (bits / 2).saturating_sub(100) {
            return Err("crypto/rsa: |p - q| too small");
        }
        if self.private_exponent.bits_vartime() <= bits / 2 {
            return Err("crypto/rsa: d too small");
        }
        Ok(())
    }

    /// Checks that the factors are primes, and of about one length. Takes some milliseconds at 2048 bits.
    pub(crate) fn check_primes(&self) -> Result<(), &'static str> {
        let [p, q] = &self.primes;
        if p.bits_vartime().min(q.bits_vartime()) < self.modulus.bits_vartime() / 3 {
            return Err("crypto/rsa: a prime factor of the modulus is too small");
        }
        match is_prime(p) && is_prime(q) {
            true => Ok(()),
            false => Err("crypto/rsa: a factor of the modulus is not prime"),
        }
    }

    /// d ≡ dP and e·dP ≡ 1 modulo p - 1.
    fn check_exponent(&self, prime: &BoxedUint, exponent: &BoxedUint) -> Result<(), &'static str> {
        const INVALID: &str = "crypto/rsa: invalid CRT exponent";
        let order = less_one(prime).ok_or(NOT_POSITIVE)?;
        let e = BoxedUint::from(u64::try_from(self.public_exponent).map_err(|_| INVALID)?);
        let product = exponent.concatenating_mul(&e).rem(&order);
        let reduced = self.private_exponent.rem(&order);
        let same = reduced.cmp_vartime(exponent) == Ordering::Equal;
        if same && product.cmp_vartime(BoxedUint::one()) == Ordering::Equal { Ok(()) } else { Err(INVALID) }
    }

    /// qInv·q ≡ 1 modulo p.
    fn check_coefficient(&self) -> Result<(), &'static str> {
        let [p, q] = &self.primes;
        let p = p.as_nz_vartime().ok_or(NOT_POSITIVE)?;
        let product = self.coefficient.concatenating_mul(q).rem(p);
        let fits = self.coefficient.cmp_vartime(p.as_ref()) == Ordering::Less;
        match fits && product.cmp_vartime(BoxedUint::one()) == Ordering::Equal {
            true => Ok(()),
            false => Err("crypto/rsa: invalid CRT coefficient"),
        }
    }

    /// Writes PKCS#1.
    pub(crate) fn to_pkcs1(&self) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let exponent = BoxedUint::from(u64::try_from(self.public_exponent).unwrap_or_default());
        let [p, q] = &self.primes;
        let [dp, dq] = &self.exponents;
        let bytes = [&self.modulus, &exponent, &self.private_exponent, p, q, dp, dq, &self.coefficient]
            .map(|number| Zeroizing::new(number.to_be_bytes().into_vec()));
        let [modulus, exponent, private_exponent, p, q, dp, dq, coefficient] = &bytes;
        let written = (|| {
            RsaPrivateKeyOut {
                version: 0,
                modulus: UintRef::new(modulus)?,
                public_exponent: UintRef::new(exponent)?,
                private_exponent: UintRef::new(private_exponent)?,
                prime1: UintRef::new(p)?,
                prime2: UintRef::new(q)?,
                exponent1: UintRef::new(dp)?,
                exponent2: UintRef::new(dq)?,
                coefficient: UintRef::new(coefficient)?,
            }
            .to_der()
        })();
        written.map(Zeroizing::new).map_err(|_| TransitError::Bug("an RSA key could not be written"))
    }
}

pub(crate) const MALFORMED: &str = "asn1: structure error";
const NOT_POSITIVE: &str = "x509: private key contains zero or negative value";

/// The checks of a public key, in the reference's order.
pub(crate) fn check_public(modulus: &BoxedUint, exponent: i64) -> Result<(), &'static str> {
    if !bool::from(modulus.is_odd()) {
        Err("crypto/rsa: public modulus is even")
    } else if exponent < 2 {
        Err("crypto/rsa: public exponent too small or negative")
    } else if exponent & 1 == 0 {
        Err("crypto/rsa: public exponent is even")
    } else if exponent > i64::from(i32::MAX) {
        Err("crypto/rsa: public exponent too large")
    } else {
        Ok(())
    }
}

/// Bytes of a number, without zeros in front.
pub(crate) fn bytes(number: &BoxedUint) -> usize {
    usize::try_from(number.bits_vartime().div_ceil(8)).unwrap_or(usize::MAX)
}

/// A number from its bytes, most significant first. The error is the length.
pub(crate) fn number(bytes: &[u8]) -> Result<BoxedUint, usize> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = bytes.get(zeros..).unwrap_or_default();
    if significant.is_empty() {
        return Ok(BoxedUint::zero());
    }
    if significant.len() > LONGEST_MODULUS {
        return Err(significant.len());
    }
    Ok(BoxedUint::from_be_slice_vartime(significant))
}

fn positive(number_in: IntRef<'_>) -> Result<BoxedUint, &'static str> {
    let bytes = number_in.as_bytes();
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let value = number(bytes).map_err(|_| "crypto/rsa: modulus too large")?;
    if negative || bool::from(value.is_zero()) { Err(NOT_POSITIVE) } else { Ok(value) }
}

/// A public exponent, which Go keeps in a machine word.
pub(crate) fn exponent(number_in: IntRef<'_>) -> Result<i64, &'static str> {
    let bytes = number_in.as_bytes();
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    let mut word = [fill; 8];
    let room = word.len().checked_sub(bytes.len()).and_then(|start| word.get_mut(start..));
    room.ok_or("asn1: structure error: integer too large")?.copy_from_slice(bytes);
    Ok(i64::from_be_bytes(word))
}

fn less_one(number: &BoxedUint) -> Option<NonZero<BoxedUint>> {
    let less = number.wrapping_sub(BoxedUint::one());
    if bool::from(number.is_zero()) { None } else { less.into_nz().into_option() }
}

/// Odd primes below 752, up to which SP 800-89 §5.3.3 has a modulus tried.
const TRIED_BELOW: u64 = 752;

/// Whether a small prime divides the number.
pub(crate) fn has_small_factor(number: &BoxedUint) -> bool {
    (3..TRIED_BELOW).step_by(2).any(|divisor| {
        let divisor = BoxedUint::from(divisor).into_nz().into_option();
        divisor.is_some_and(|divisor| bool::from(number.rem(&divisor).is_zero()))
    })
}

/// Trial division, then Miller-Rabin (FIPS 186-5 §B.3.1).
fn is_prime(number: &BoxedUint) -> bool {
    if has_small_factor(number) {
        return false;
    }
    let Some(odd) = Option::<Odd<BoxedUint>>::from(number.to_odd()) else { return false };
    let less_one = number.wrapping_sub(BoxedUint::one());
    let twos = less_one.trailing_zeros_vartime();
    let Some(cofactor) = less_one.shr_vartime(twos) else { return false };
    let parameters = BoxedMontyParams::new(odd);
    (0..PRIMALITY_ROUNDS).all(|_| passes_round(number, &less_one, &cofactor, twos, &parameters))
}

fn passes_round(
    number: &BoxedUint,
    less_one: &BoxedUint,
    cofactor: &BoxedUint,
    twos: u32,
    parameters: &BoxedMontyParams,
) -> bool {
    // A witness below the number but hardly ever 0 or 1: as many random bytes as leave the number the longer one.
    let bytes = usize::try_from(number.bits_vartime() / 8).unwrap_or(0);
    let mut witness = Zeroizing::new(vec![0; bytes]);
    if aws_lc_rs::rand::fill(&mut witness).is_err() {
        return false;
    }
    let Some(witness) = BoxedUint::from_be_slice_vartime(&witness).try_resize(number.bits_precision()) else {
        return false;
    };
    if witness.bits_vartime() < 2 {
        return true;
    }
    let mut power = BoxedMontyForm::new(witness, parameters).pow(cofactor);
    let is = |power: &BoxedMontyForm, value: &BoxedUint| power.retrieve().cmp_vartime(value) == Ordering::Equal;
    if is(&power, &BoxedUint::one()) || is(&power, less_one) {
        return true;
    }
    for _ in 1..twos {
        power = power.square();
        if is(&power, less_one) {
            return true;
        }
    }
    false
}
