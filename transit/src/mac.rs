//! HMACs of one text with a named key.

use crate::{
    ciphertext::{Kind, join},
    encoding,
    error::TransitError,
    hash::{HashName, hmac},
    key::{Key, Numbered},
    transit::Transit,
    version::MacKey,
};
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
    let version = key.version_for_hmac(requested)?;
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
    let version = key.version_to_check_hmac(envelope.version)?;
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
    match &version.version.mac {
        MacKey::Software(key) => Ok(hmac(hash, key, input)),
        MacKey::Hsm(key) => {
            let algorithm = match hash {
                HashAlgorithm::Sha256 => MacAlgorithm::HmacSha256,
                HashAlgorithm::Sha384 => MacAlgorithm::HmacSha384,
                HashAlgorithm::Sha512 => MacAlgorithm::HmacSha512,
                other => return Err(HsmError::NotSupported { mechanism: format!("HMAC with {other}") }.into()),
            };
            Ok(Zeroizing::new(engine.hsm()?.mac(key, algorithm, input).await?))
        }
        MacKey::Missing => Err(HsmError::NotSupported { mechanism: "HMAC".to_owned() }.into()),
    }
}
