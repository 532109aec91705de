//! Using keys: sign, encrypt, decrypt, MAC, random.

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams},
    },
    object::ObjectHandle,
    session::Session,
};
use der::{Encode, asn1::UintRef};
use zeroize::Zeroizing;

use super::{
    failure::Failure,
    gcm,
    keys::{Desk, resolve},
};
use crate::{
    AeadSealed, HashAlgorithm, HsmError, IvPolicy, KeyAlgorithm, KeyReference, MacAlgorithm, RsaPadding, SaltLength,
    SignInput, SignScheme,
    software::{fill_random, longest_salt, verify},
};

/// Tokens refuse large requests for random bytes (NSS at a megabyte), so they are made in pieces.
const RANDOM_PIECE: usize = 4096;

pub(super) fn sign(
    desk: &Desk<'_>,
    key: &KeyReference,
    scheme: SignScheme,
    input: &SignInput,
) -> Result<Vec<u8>, Failure> {
    let handle = resolve(desk, key)?;
    let public = key.public_key.as_deref();
    let public = public.ok_or_else(|| HsmError::invalid(format!("the reference to {key} lacks its public key")))?;
    sign_verified(desk.session, handle, (key.algorithm, public), scheme, input)?
        .ok_or_else(|| HsmError::BadSignature { key: key.to_string() }.into())
}

/// Signs and verifies; `None` if the signature is not one of this public key. Wrong keys behind stale handles, faults
/// and Bellcore-style RSA errors all end here.
pub(super) fn sign_verified(
    session: &Session,
    handle: ObjectHandle,
    (algorithm, public): (KeyAlgorithm, &[u8]),
    scheme: SignScheme,
    input: &SignInput,
) -> Result<Option<Vec<u8>>, Failure> {
    let signature = sign_unverified(session, handle, algorithm, scheme, input)?;
    Ok(verify(public, scheme, input, &signature)?.then_some(signature))
}

/// Hashes here, never in the token: SoftHSM has no combined ECDSA mechanisms, and the link is slow.
fn sign_unverified(
    session: &Session,
    handle: ObjectHandle,
    algorithm: KeyAlgorithm,
    scheme: SignScheme,
    input: &SignInput,
) -> Result<Vec<u8>, Failure> {
    match scheme {
        SignScheme::Ed25519 => {
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
            Ok(session.sign(&mechanism, handle, input.message()?)?)
        }
        // No session here has the mechanism; keys of this kind are kept in the process.
        SignScheme::MlDsa => Err(HsmError::not_supported(scheme.to_string()).into()),
        SignScheme::Ecdsa(hash) => {
            let digest = input.digest(hash)?;
            // FIPS 186-5 §6.4.1: only as many leading bits as the order has are signed.
            let kept = algorithm.field_bytes().and_then(|bytes| digest.get(..bytes)).unwrap_or(&digest);
            let raw = session.sign(&Mechanism::Ecdsa, handle, kept)?;
            Ok(ecdsa_der(&raw)?)
        }
        SignScheme::RsaPkcs1(hash) => {
            let info = hash.digest_info(&input.digest(hash)?)?;
            Ok(session.sign(&Mechanism::RsaPkcs, handle, &info)?)
        }
        SignScheme::RsaPss { hash, salt } => {
            let modulus_bytes = usize::try_from(algorithm.modulus_bits().unwrap_or_default() / 8).unwrap_or_default();
            let salt = match salt {
                SaltLength::Digest => hash.digest_bytes(),
                SaltLength::Auto => longest_salt(hash, modulus_bytes),
                SaltLength::Fixed(length) => usize::from(length),
            };
            if salt > longest_salt(hash, modulus_bytes) {
                return Err(HsmError::invalid("the salt is too long for this RSA key and hash").into());
            }
            let (hash_alg, mgf) = pss_mechanisms(hash).ok_or_else(|| HsmError::not_supported(scheme.to_string()))?;
            let parameters = PkcsPssParams { hash_alg, mgf, s_len: salt.try_into()? };
            Ok(session.sign(&Mechanism::RsaPkcsPss(parameters), handle, &input.digest(hash)?)?)
        }
    }
}

/// `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) from PKCS#11's r‖s.
fn ecdsa_der(raw: &[u8]) -> Result<Vec<u8>, HsmError> {
    #[derive(der::Sequence)]
    struct SignatureValue<'a> {
        r: UintRef<'a>,
        s: UintRef<'a>,
    }
    let malformed = HsmError::Internal { detail: "the token's ECDSA signature is not two equal halves" };
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return Err(malformed);
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    let (Ok(r), Ok(s)) = (UintRef::new(r), UintRef::new(s)) else { return Err(malformed) };
    SignatureValue { r, s }.to_der().map_err(|_| malformed)
}

fn pss_mechanisms(hash: HashAlgorithm) -> Option<(MechanismType, PkcsMgfType)> {
    match hash {
        HashAlgorithm::Sha256 => Some((MechanismType::SHA256, PkcsMgfType::MGF1_SHA256)),
        HashAlgorithm::Sha384 => Some((MechanismType::SHA384, PkcsMgfType::MGF1_SHA384)),
        HashAlgorithm::Sha512 => Some((MechanismType::SHA512, PkcsMgfType::MGF1_SHA512)),
        _ => None,
    }
}

pub(super) fn encrypt(
    desk: &Desk<'_>,
    key: &KeyReference,
    policy: IvPolicy,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<AeadSealed, Failure> {
    let handle = resolve(desk, key)?;
    gcm::seal(desk.session, handle, policy, &key.origin.wire_aad(aad), plaintext)
}

pub(super) fn decrypt(
    desk: &Desk<'_>,
    key: &KeyReference,
    aad: &[u8],
    sealed: &AeadSealed,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let handle = resolve(desk, key)?;
    gcm::open(desk.session, handle, &key.origin.wire_aad(aad), sealed)
}

pub(super) fn rsa_decrypt(
    desk: &Desk<'_>,
    key: &KeyReference,
    padding: RsaPadding,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let handle = resolve(desk, key)?;
    rsa_decrypt_with(desk.session, handle, padding, ciphertext)
}

pub(super) fn rsa_decrypt_with(
    session: &Session,
    handle: ObjectHandle,
    padding: RsaPadding,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // No label: no token but Kryoptic takes one.
    let oaep = |hash, mgf| Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()));
    let mechanism = match padding {
        RsaPadding::OaepSha1 => oaep(MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        RsaPadding::OaepSha256 => oaep(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        RsaPadding::Pkcs1v15 => Mechanism::RsaPkcs,
    };
    Ok(Zeroizing::new(session.decrypt(&mechanism, handle, ciphertext)?))
}

pub(super) fn mac(
    desk: &Desk<'_>,
    key: &KeyReference,
    algorithm: MacAlgorithm,
    data: &[u8],
) -> Result<Vec<u8>, Failure> {
    if key.algorithm != KeyAlgorithm::Hmac {
        return Err(HsmError::invalid(format!("a key of type {} cannot make an {algorithm}", key.algorithm)).into());
    }
    let handle = resolve(desk, key)?;
    mac_with(desk.session, handle, algorithm, data)
}

pub(super) fn mac_with(
    session: &Session,
    handle: ObjectHandle,
    algorithm: MacAlgorithm,
    data: &[u8],
) -> Result<Vec<u8>, Failure> {
    let mechanism = match algorithm {
        MacAlgorithm::HmacSha256 => Mechanism::Sha256Hmac,
        MacAlgorithm::HmacSha384 => Mechanism::Sha384Hmac,
        MacAlgorithm::HmacSha512 => Mechanism::Sha512Hmac,
    };
    Ok(session.sign(&mechanism, handle, data)?)
}

/// The operating system's bytes, with the token's laid over them: unknown to whoever controls only one of the two.
pub(super) fn random(session: &Session, bytes: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut mixed = Zeroizing::new(vec![0; bytes]);
    fill_random(&mut mixed)?;
    let mut piece = Zeroizing::new(vec![0; bytes.min(RANDOM_PIECE)]);
    for chunk in mixed.chunks_mut(RANDOM_PIECE) {
        let Some(piece) = piece.get_mut(..chunk.len()) else { continue };
        session.generate_random_slice(piece)?;
        for (to, from) in chunk.iter_mut().zip(piece.iter()) {
            *to ^= *from;
        }
    }
    Ok(mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_halves_become_minimal_integers() {
        let mut raw = [0; 64];
        (raw[31], raw[32]) = (5, 0x80);
        let der = ecdsa_der(&raw).unwrap();
        assert_eq!(&der[..6], [0x30, 38, 0x02, 1, 5, 0x02]);
        assert_eq!(&der[6..9], [33, 0, 0x80]);
        assert!(ecdsa_der(&[1; 63]).is_err() && ecdsa_der(&[]).is_err());
    }
}
