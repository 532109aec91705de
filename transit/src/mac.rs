//! HMACs and CMACs of one text with a named key.

use crate::{
    ciphertext::{Kind, join},
    encoding,
    error::TransitError,
    hash::{HashName, hmac},
    key::{Key, Numbered},
    key_type::KeyType,
    transit::Transit,
    version::{MacKey, Material},
};
use aws_lc_rs::cmac;
use chancery_hsm::{HashAlgorithm, HsmError, MacAlgorithm};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Makes `vault:vN:` and the HMAC of `input`, which is base64.
pub(crate) async fn make(
    engine: &Transit,
    key: &Key,
    hash: HashName,
    requested: i64,
    input: &str,
) -> Result<String, TransitError> {
    let input = encoding::decode(input).map_err(TransitError::in_input)?;
    let version = engine.supplied(key, || async { key.version_for_hmac(requested) }).await?;
    let code = compute(engine, version, hash, &input).await?;
    Ok(join(version.number, &encoding::encode(&code)))
}

/// Whether `code`, an HMAC as [`make`] writes it, is that of `input`.
pub(crate) async fn verify(
    engine: &Transit,
    key: &Key,
    hash: HashName,
    input: &str,
    code: &str,
) -> Result<bool, TransitError> {
    let input = encoding::decode(input).map_err(TransitError::in_input)?;
    let envelope = Kind::Hmac.parse(code)?;
    let claimed = encoding::decode(envelope.payload).map_err(|error| match error {
        TransitError::IllegalBase64(at) => TransitError::Caller(format!(
            "unable to decode verification HMAC as base64: illegal base64 data at input byte {at}"
        )),
        other => other,
    })?;
    let version = engine.supplied(key, || async { key.version_to_check_hmac(envelope.version) }).await?;
    let code = compute(engine, version, hash, &input).await?;
    Ok(code.ct_eq(&claimed).into())
}

async fn compute(
    engine: &Transit,
    version: Numbered<'_>,
    hash: HashName,
    input: &[u8],
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let hash = hash.function()?;
    let in_token = |hash| {
        Ok(match hash {
            HashAlgorithm::Sha256 => MacAlgorithm::HmacSha256,
            HashAlgorithm::Sha384 => MacAlgorithm::HmacSha384,
            HashAlgorithm::Sha512 => MacAlgorithm::HmacSha512,
            other => return Err(HsmError::NotSupported { mechanism: format!("HMAC with {other}") }),
        })
    };
    match &version.version.mac {
        MacKey::Software(key) => Ok(hmac(hash, key, input)),
        MacKey::Hsm(key) => Ok(Zeroizing::new(engine.hsm()?.mac(key, in_token(hash)?, input).await?)),
        MacKey::External => {
            let token = engine.token_key(version.version).await?;
            Ok(Zeroizing::new(token.hsm().mac(token.key(), in_token(hash)?, input).await?))
        }
        MacKey::Missing if matches!(version.version.material, Material::Cmac(_)) => {
            Err(TransitError::caller("no HMAC key exists for that key version"))
        }
        MacKey::Missing => Err(HsmError::NotSupported { mechanism: "HMAC".to_owned() }.into()),
    }
}

/// Most bytes of a CMAC, one block of AES; what `mac_length` 0 means.
const CMAC_BYTES: usize = 16;

/// How many bytes of a CMAC are asked for.
pub(crate) fn cmac_length(asked: i64) -> Result<usize, TransitError> {
    match usize::try_from(asked) {
        Err(_) => Err(TransitError::caller("must not be less than 0")),
        Ok(0) => Ok(CMAC_BYTES),
        Ok(length @ 1..=CMAC_BYTES) => Ok(length),
        Ok(_) => Err(TransitError::Caller(format!("must not be greater than {CMAC_BYTES}"))),
    }
}

/// The key of AES-CMAC (SP 800-38B).
pub(crate) fn cmac_key(key_type: KeyType, key: &[u8]) -> Result<cmac::Key, TransitError> {
    let algorithm = if key_type == KeyType::Aes128Cmac { cmac::AES_128 } else { cmac::AES_256 };
    cmac::Key::new(algorithm, key).map_err(|_| TransitError::Crypto("cmac::Key::new"))
}

/// Makes `vault:vN:` and the first `length` bytes of the CMAC of `input`, which is base64.
pub(crate) fn make_cmac(key: &Key, requested: i64, length: usize, input: &str) -> Result<String, TransitError> {
    let input = encoding::decode(input).map_err(TransitError::in_input)?;
    let version = key.version_for_hmac(requested)?;
    Ok(join(version.number, &encoding::encode(compute_cmac(version, &input)?.get(..length).unwrap_or_default())))
}

/// Whether `code`, a CMAC as [`make_cmac`] writes it, is that of `input`.
pub(crate) fn verify_cmac(key: &Key, length: usize, input: &str, code: &str) -> Result<bool, TransitError> {
    let input = encoding::decode(input).map_err(TransitError::in_input)?;
    let envelope = Kind::Cmac.parse(code)?;
    let claimed = encoding::decode(envelope.payload).map_err(|_| TransitError::caller("invalid base64 CMAC value"))?;
    let version = key.version_to_check(envelope.version, Kind::Cmac)?;
    let code = compute_cmac(version, &input)?;
    Ok(code.get(..length).unwrap_or_default().ct_eq(&claimed).into())
}

fn compute_cmac(version: Numbered<'_>, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let Material::Cmac(key) = &version.version.material else { return Err(TransitError::Bug("not a key of AES-CMAC")) };
    let code = cmac::sign(key, input).map_err(|_| TransitError::Crypto("cmac::sign"))?;
    Ok(Zeroizing::new(code.as_ref().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::bytes;

    /// RFC 4493 §4 and NIST SP 800-38B, appendix D (AES-256, examples 10 to 12)
    #[test]
    fn cmacs_are_those_of_the_standards() {
        let aes_128 = bytes("2b7e151628aed2a6abf7158809cf4f3c");
        let aes_256 = bytes("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let message = bytes(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef
             f69f2445df4f9b17ad2b417be66c3710",
        );
        for (key_type, key, length, code) in [
            (KeyType::Aes128Cmac, &aes_128, 0, "bb1d6929e95937287fa37d129b756746"),
            (KeyType::Aes128Cmac, &aes_128, 16, "070a16b46b4d4144f79bdd9dd04a287c"),
            (KeyType::Aes128Cmac, &aes_128, 40, "dfa66747de9ae63030ca32611497c827"),
            (KeyType::Aes128Cmac, &aes_128, 64, "51f0bebf7e3b9d92fc49741779363cfe"),
            (KeyType::Aes256Cmac, &aes_256, 0, "028962f61b7bf89efc6b551f4667d983"),
            (KeyType::Aes256Cmac, &aes_256, 16, "28a7023f452e8f82bd4bf28d8c37c35c"),
            (KeyType::Aes256Cmac, &aes_256, 40, "aaf3d8f1de5640c232f5b169b9c911e6"),
            (KeyType::Aes256Cmac, &aes_256, 64, "e1992190549f6ed5696a2c056c315410"),
        ] {
            let made = cmac::sign(&cmac_key(key_type, key).unwrap(), &message[..length]).unwrap();
            assert_eq!(made.as_ref(), bytes(code), "{key_type:?} {length}");
        }
        assert!(cmac_key(KeyType::Aes128Cmac, &aes_256).is_err());
    }
}
