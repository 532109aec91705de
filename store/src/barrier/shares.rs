//! Shamir's secret sharing over GF(2^8) of a 256-bit key.
//!
//! A share is its number followed by one byte for each byte of the key: 33 bytes. With one share and threshold one there
//! is no polynomial, and the share is the key itself, as in Vault.

use super::aead::{KEY_BYTES, KeyBytes};
use crate::{ShareFault, StoreError};
use getrandom::{SysRng, rand_core::UnwrapErr};
use subtle::ConstantTimeEq;
use vsss_rs::Gf256;
use zeroize::Zeroizing;

const SHORTEST_SHARE: usize = 16;
const SHARE_BYTES: usize = KEY_BYTES + 1;

/// Refuses numbers that make no sense; the texts are Vault's.
pub(super) fn check(shares: u32, threshold: u32) -> Result<(u8, u8), StoreError> {
    let text = match (shares, threshold) {
        (0, _) => "shares must be at least one",
        (_, 0) => "threshold must be at least one",
        (2.., 1) => "threshold must be greater than one for multiple shares",
        (256.., _) => "shares must be less than 256",
        (_, 256..) => "threshold must be less than 256",
        _ if threshold > shares => "threshold cannot be larger than shares",
        _ => "",
    };
    match (u8::try_from(shares), u8::try_from(threshold)) {
        (Ok(shares), Ok(threshold)) if text.is_empty() => Ok((shares, threshold)),
        _ => Err(StoreError::InvalidSealConfiguration(text)),
    }
}

/// Splits a key; the numbers have passed [`check`].
pub(super) fn split(key: &KeyBytes, shares: u8, threshold: u8) -> Result<Vec<Zeroizing<Vec<u8>>>, StoreError> {
    if shares == 1 {
        return Ok(vec![Zeroizing::new(key.to_vec())]);
    }
    let split = Gf256::split_bytes(threshold.into(), shares.into(), &key[..], UnwrapErr(SysRng))
        .map_err(|error| StoreError::backend("Gf256::split_bytes", error))?;
    Ok(split.into_iter().map(Zeroizing::new).collect())
}

/// Refuses a share by its length alone.
pub(super) fn check_length(share: &[u8]) -> Result<(), ShareFault> {
    match share.len() {
        0..SHORTEST_SHARE => Err(ShareFault::TooShort),
        SHORTEST_SHARE..=SHARE_BYTES => Ok(()),
        _ => Err(ShareFault::TooLong),
    }
}

/// Whether two shares are the same, in constant time.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Makes the key of the shares. Wrong shares make a wrong key: only using it shows whether it is right.
pub(super) fn combine(shares: &[Zeroizing<Vec<u8>>], threshold: u8) -> Result<KeyBytes, ShareFault> {
    for share in shares {
        check_length(share)?;
    }
    if threshold == 1 {
        let [share] = shares else { return Err(ShareFault::Malformed) };
        return key_from(share);
    }
    let mut numbers = [false; 256];
    for share in shares {
        let seen = share.first().and_then(|number| numbers.get_mut(usize::from(*number)));
        let Some(seen) = seen.filter(|_| share.len() == SHARE_BYTES) else { return Err(ShareFault::Malformed) };
        if std::mem::replace(seen, true) {
            return Err(ShareFault::Duplicate);
        }
    }
    if shares.len() < usize::from(threshold) {
        return Err(ShareFault::Malformed);
    }
    let mut copies: Vec<Vec<u8>> = shares.iter().map(|share| share.to_vec()).collect();
    let combined = Gf256::combine_bytes(&copies).map(Zeroizing::new);
    copies.iter_mut().for_each(zeroize::Zeroize::zeroize);
    key_from(&combined.map_err(|_| ShareFault::Malformed)?)
}

fn key_from(bytes: &[u8]) -> Result<KeyBytes, ShareFault> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() != KEY_BYTES {
        return Err(ShareFault::Malformed);
    }
    key.copy_from_slice(bytes);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::{super::aead::random_key, check, combine, split};
    use crate::{ShareFault, StoreError};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_threshold_many_shares_make_the_key_and_fewer_do_not(threshold in 2_u8..12, extra in 0_u8..12, skip in 0_usize..12) {
            let key = random_key().unwrap();
            let shares = split(&key, threshold + extra, threshold).unwrap();
            prop_assert_eq!(shares.len(), usize::from(threshold + extra));
            let from = skip % (usize::from(extra) + 1);
            let chosen = &shares[from..from + usize::from(threshold)];
            prop_assert_eq!(&combine(chosen, threshold).unwrap()[..], &key[..]);
            // One fewer fits together under a smaller threshold, but makes another key.
            if threshold > 2 {
                let fewer = combine(&chosen[1..], threshold - 1).unwrap();
                prop_assert_ne!(&fewer[..], &key[..]);
            }
            prop_assert_eq!(combine(&chosen[1..], threshold).unwrap_err(), ShareFault::Malformed);
        }
    }

    #[test]
    fn splits_to_the_largest_numbers() {
        let key = random_key().unwrap();
        let shares = split(&key, 255, 255).unwrap();
        assert_eq!(&combine(&shares, 255).unwrap()[..], &key[..]);
    }

    #[test]
    fn a_single_share_is_the_key() {
        let key = random_key().unwrap();
        let shares = split(&key, 1, 1).unwrap();
        assert_eq!(shares[0].as_slice(), &key[..]);
        assert_eq!(&combine(&shares, 1).unwrap()[..], &key[..]);
    }

    #[test]
    fn refuses_duplicate_short_and_long_shares() {
        let shares = split(&random_key().unwrap(), 3, 2).unwrap();
        let twice = [shares[0].clone(), shares[0].clone()];
        assert_eq!(combine(&twice, 2).unwrap_err(), ShareFault::Duplicate);
        assert_eq!(combine(&[vec![1; 15].into(), shares[0].clone()], 2).unwrap_err(), ShareFault::TooShort);
        assert_eq!(combine(&[vec![1; 34].into(), shares[0].clone()], 2).unwrap_err(), ShareFault::TooLong);
        assert_eq!(combine(&[vec![1; 20].into(), shares[0].clone()], 2).unwrap_err(), ShareFault::Malformed);
        assert_eq!(combine(&[vec![0; 33].into(), shares[0].clone()], 2).unwrap_err(), ShareFault::Malformed);
    }

    #[test]
    fn refuses_impossible_numbers_with_vaults_texts() {
        let text = |shares, threshold| match check(shares, threshold) {
            Err(StoreError::InvalidSealConfiguration(text)) => text,
            _ => "accepted",
        };
        assert_eq!(text(0, 0), "shares must be at least one");
        assert_eq!(text(1, 0), "threshold must be at least one");
        assert_eq!(text(5, 1), "threshold must be greater than one for multiple shares");
        assert_eq!(text(300, 3), "shares must be less than 256");
        assert_eq!(text(5, 256), "threshold must be less than 256");
        assert_eq!(text(2, 3), "threshold cannot be larger than shares");
        assert_eq!(text(1, 1), "accepted");
        assert_eq!(text(255, 255), "accepted");
    }
}
