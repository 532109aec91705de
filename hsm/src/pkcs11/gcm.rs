//! AES-GCM across vendors: who chooses the initialisation vector, and where it ends up.
//!
//! Most tokens use the vector they are given. AWS CloudHSM writes its own over it; Luna and ProtectServer in FIPS mode
//! append theirs after the tag; a vendor variant puts it in front. What is stored is always the vector the token really
//! used, beside ciphertext and tag; the layout is decided once, on a throw-away key: a repeated vector under a real key
//! would break GCM.

use cryptoki::{
    mechanism::{Mechanism, aead::GcmParams},
    object::ObjectHandle,
    session::Session,
};
use zeroize::Zeroizing;

use super::failure::{Class, Failure};
use crate::{AeadSealed, HsmError, IvPolicy, software::fill_random};

const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const TAG_BITS: u64 = 128;

/// Encrypts; `wire_aad` is never empty.
pub(super) fn seal(
    session: &Session,
    key: ObjectHandle,
    policy: IvPolicy,
    wire_aad: &[u8],
    plaintext: &[u8],
) -> Result<AeadSealed, Failure> {
    let mut iv = [0; IV_BYTES];
    if policy == IvPolicy::App {
        fill_random(&mut iv)?;
    }
    let output = encrypt(session, key, &mut iv, wire_aad, plaintext)?;
    let sealed = normalise(policy, &iv, output, plaintext.len())
        .ok_or(HsmError::Internal { detail: "the token's AES-GCM output has another layout than its probe found" })?;
    Ok(sealed)
}

/// Decrypts in one call: multi-part decryption hands out plaintext before the tag is checked on some tokens.
pub(super) fn open(
    session: &Session,
    key: ObjectHandle,
    wire_aad: &[u8],
    sealed: &AeadSealed,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if sealed.ciphertext.len() < TAG_BYTES || sealed.nonce.is_empty() {
        return Err(HsmError::BadData.into());
    }
    let mut iv = sealed.nonce.clone();
    let parameters = GcmParams::new(&mut iv, wire_aad, TAG_BITS.into())?;
    let plaintext = Zeroizing::new(session.decrypt(&Mechanism::AesGcm(parameters), key, &sealed.ciphertext)?);
    if plaintext.len() + TAG_BYTES != sealed.ciphertext.len() {
        return Err(HsmError::AlteredSecret.into());
    }
    Ok(plaintext)
}

/// Finds the policy with a throw-away key, and that the token refuses a flipped tag bit and other associated data.
pub(super) fn probe(session: &Session, key: ObjectHandle) -> Result<IvPolicy, Failure> {
    const PLAINTEXT: &[u8] = b"chancery aes-gcm probe";
    let mut iv = [0; IV_BYTES];
    let output = encrypt(session, key, &mut iv, b"aad", PLAINTEXT)?;
    let extra = output.len().checked_sub(PLAINTEXT.len() + TAG_BYTES);
    let candidates: &[IvPolicy] = match extra {
        Some(0) if iv == [0; IV_BYTES] => &[IvPolicy::App],
        Some(0) => &[IvPolicy::TokenWritesIv],
        Some(_) => &[IvPolicy::TokenAppends, IvPolicy::TokenPrepends],
        None => &[],
    };
    for policy in candidates {
        let Some(sealed) = normalise(*policy, &iv, output.clone(), PLAINTEXT.len()) else { continue };
        match open(session, key, b"aad", &sealed) {
            Ok(plaintext) if plaintext.as_slice() == PLAINTEXT => {
                refuses_forgeries(session, key, &sealed)?;
                return Ok(*policy);
            }
            Ok(_) => {}
            Err(failure) if is_refusal(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(HsmError::not_supported("AES-GCM in a layout this appliance knows").into())
}

fn refuses_forgeries(session: &Session, key: ObjectHandle, sealed: &AeadSealed) -> Result<(), Failure> {
    let mut flipped = sealed.clone();
    if let Some(last) = flipped.ciphertext.last_mut() {
        *last ^= 1;
    }
    for (aad, forgery) in [(b"aad", &flipped), (b"AAD", sealed)] {
        match open(session, key, aad, forgery) {
            Err(failure) if is_refusal(&failure) => {}
            Err(failure) => return Err(failure),
            Ok(_) => return Err(HsmError::not_supported("AES-GCM that refuses forgeries").into()),
        }
    }
    Ok(())
}

fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.class(), Class::BadInput | Class::Ambiguous)
        || matches!(failure, Failure::Settled(HsmError::BadData))
}

fn encrypt(
    session: &Session,
    key: ObjectHandle,
    iv: &mut [u8; IV_BYTES],
    wire_aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Failure> {
    let parameters = GcmParams::new(iv, wire_aad, TAG_BITS.into())?;
    Ok(session.encrypt(&Mechanism::AesGcm(parameters), key, plaintext)?)
}

/// Brings a token's output into our layout.
fn normalise(policy: IvPolicy, iv: &[u8], mut output: Vec<u8>, plaintext_bytes: usize) -> Option<AeadSealed> {
    let sealed_bytes = plaintext_bytes + TAG_BYTES;
    let iv_bytes = output.len().checked_sub(sealed_bytes)?;
    match policy {
        IvPolicy::App | IvPolicy::TokenWritesIv if iv_bytes == 0 => {
            Some(AeadSealed { nonce: iv.to_vec(), ciphertext: output })
        }
        IvPolicy::TokenAppends if iv_bytes > 0 => {
            let nonce = output.split_off(sealed_bytes);
            Some(AeadSealed { nonce, ciphertext: output })
        }
        IvPolicy::TokenPrepends if iv_bytes > 0 => {
            let ciphertext = output.split_off(iv_bytes);
            Some(AeadSealed { nonce: output, ciphertext })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IV: [u8; 12] = [7; 12];

    #[test]
    fn every_layout_becomes_ours() {
        let (ciphertext, iv) = (vec![1; 5 + TAG_BYTES], vec![2; 16]);
        let plain = normalise(IvPolicy::App, &IV, ciphertext.clone(), 5).unwrap();
        assert_eq!((plain.nonce.as_slice(), &plain.ciphertext), (IV.as_slice(), &ciphertext));
        let appended = normalise(IvPolicy::TokenAppends, &IV, [ciphertext.clone(), iv.clone()].concat(), 5).unwrap();
        assert_eq!((&appended.nonce, &appended.ciphertext), (&iv, &ciphertext));
        let prepended = normalise(IvPolicy::TokenPrepends, &IV, [iv.clone(), ciphertext.clone()].concat(), 5).unwrap();
        assert_eq!((&prepended.nonce, &prepended.ciphertext), (&iv, &ciphertext));
    }

    #[test]
    fn output_of_another_length_is_refused() {
        assert_eq!(normalise(IvPolicy::App, &IV, vec![0; 40], 5), None);
        assert_eq!(normalise(IvPolicy::TokenAppends, &IV, vec![0; 21], 5), None);
        assert_eq!(normalise(IvPolicy::App, &IV, vec![0; 3], 5), None);
    }
}
