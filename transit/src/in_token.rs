//! Encryption and decryption of one text with a key that lives in a token, the appliance's own or another's.

use crate::{
    aead::TAG_BYTES,
    cipher::{CipherItem, Workbench, encrypt_with_rsa, rsa_refusal},
    ciphertext::write_prefix,
    encoding,
    error::TransitError,
    external::TokenKey,
    hash::hmac,
    key::{Key, Numbered},
    key_type::KeyType,
    nonce::NONCE_BYTES,
    transit::Transit,
    version::MacKey,
};
use chancery_hsm::{AeadSealed, HashAlgorithm, HsmError, MacAlgorithm, RsaPadding, software::choose_pkcs1_plaintext};
use zeroize::Zeroizing;

/// Encrypts `plaintext`. Answers the version used and the ciphertext.
pub(crate) async fn encrypt_in_hsm(
    engine: &Transit,
    key: &Key,
    item: &CipherItem<'_>,
    plaintext: &[u8],
) -> Result<(u32, String), TransitError> {
    let version = key.encrypting_version(item)?;
    let mut bench = Workbench::default();
    bench.read_options(key, item)?;
    let token = token_key(engine, version).await?;
    let key_type = able(key, version, "message encryption", &bench.associated_data)?;
    let sealed = if key_type.is_rsa() {
        let padding = token.padding(bench.padding());
        token.require_decryption(padding)?;
        encrypt_with_rsa(version.version, padding, plaintext)?
    } else {
        version.version.count()?;
        let sealed = token.hsm().encrypt(token.key(), &bench.associated_data, plaintext).await?;
        if sealed.nonce.len() != NONCE_BYTES {
            return Err(TransitError::Bug("the token's nonce has not 12 bytes"));
        }
        [sealed.nonce, sealed.ciphertext].concat()
    };
    let mut out = Vec::new();
    write_prefix(version.number, &mut out);
    encoding::encode_onto(&sealed, &mut out)?;
    let text = String::from_utf8(out).map_err(|_| TransitError::Bug("base64 is not ASCII"))?;
    Ok((version.number, text))
}

/// Decrypts.
pub(crate) async fn decrypt_in_hsm(
    engine: &Transit,
    key: &Key,
    item: &CipherItem<'_>,
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let (version, payload) = key.decrypting_version(item.payload())?;
    let mut bench = Workbench::default();
    bench.read_options(key, item)?;
    let mut sealed = Vec::new();
    encoding::decode_onto(payload, &mut sealed).map_err(|_| TransitError::CiphertextNotBase64)?;
    let token = token_key(engine, version).await?;
    let (hsm, reference) = (token.hsm(), token.key());
    if able(key, version, "message decryption", &bench.associated_data)?.is_rsa() {
        let padding = token.padding(bench.padding());
        return match padding {
            RsaPadding::Pkcs1v15 => decrypt_pkcs1(engine, version, &token, &sealed).await,
            oaep => hsm.rsa_decrypt(reference, oaep, &sealed).await.map_err(rsa_refusal),
        };
    }
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or(TransitError::CiphertextLength)?;
    if ciphertext.len() < TAG_BYTES {
        return Err(TransitError::Unauthentic);
    }
    let sealed = AeadSealed { nonce: nonce.to_vec(), ciphertext: ciphertext.to_vec() };
    hsm.decrypt(reference, &bench.associated_data, &sealed).await.map_err(|error| match error {
        HsmError::BadData => TransitError::Unauthentic,
        other => other.into(),
    })
}

/// A token tells bad padding from good; nobody else may learn it. So a message is drawn for every ciphertext, with the
/// HMAC key beside the RSA key, and takes the place of the one that was not there.
async fn decrypt_pkcs1(
    engine: &Transit,
    version: Numbered<'_>,
    token: &TokenKey<'_>,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    if u32::try_from(ciphertext.len() * 8).ok() != token.key().algorithm.modulus_bits() {
        return Err(TransitError::RsaDecryption);
    }
    let drawn = match &version.version.mac {
        MacKey::Hsm(mac) => Zeroizing::new(engine.hsm()?.mac(mac, MacAlgorithm::HmacSha256, ciphertext).await?),
        MacKey::Software(mac) => hmac(HashAlgorithm::Sha256, mac, ciphertext),
        _ => {
            let mechanism = "RSA PKCS#1 v1.5 decryption without HMAC in the token".to_owned();
            return Err(HsmError::NotSupported { mechanism }.into());
        }
    };
    let opened = match token.hsm().rsa_decrypt(token.key(), RsaPadding::Pkcs1v15, ciphertext).await {
        Ok(opened) => Some(opened),
        Err(HsmError::BadData | HsmError::InvalidInput { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    let mut buffer = Zeroizing::new(vec![0; ciphertext.len()]);
    let length = opened.as_ref().map(|opened| opened.len());
    for (to, from) in buffer.iter_mut().zip(opened.iter().flat_map(|opened| opened.iter())) {
        *to = *from;
    }
    Ok(choose_pkcs1_plaintext(length, &buffer, &drawn)?)
}

async fn token_key<'k>(engine: &'k Transit, version: Numbered<'k>) -> Result<TokenKey<'k>, TransitError> {
    engine.token_key(version.version).await.map_err(|error| error.in_factory("factory[0] "))
}

/// The type of the key behind a version, which for registered keys is known only now.
fn able(
    key: &Key,
    version: Numbered<'_>,
    operation: &'static str,
    associated_data: &[u8],
) -> Result<KeyType, TransitError> {
    let key_type = version.version.effective_type(key.record.key_type);
    if !key_type.supports_encryption() {
        return Err(TransitError::TypeCannot { operation, key_type: key_type.name() });
    }
    if !associated_data.is_empty() && !key_type.takes_associated_data() {
        let place = "'".to_owned();
        return Err(TransitError::AssociatedDataWithoutAead { place, key_type: key_type.name() });
    }
    Ok(key_type)
}
