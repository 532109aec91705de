//! The key-encryption envelope: a secret of this process, sealed by keys that never leave the token.
//!
//! Two profiles. `aes-gcm` encrypts the secret's bytes with an AES key in the token. `rsa-oaep`, for tokens without
//! AES-GCM, encrypts with the public key in software and lets the token decrypt; as anyone can encrypt, an HMAC key in
//! the token vouches for the record.
//!
//! Both bind the envelope to a caller-given context, check what comes back from the token against a digest sealed with
//! the secret (a token that returns wrong bytes with success must not hand us a key, CVE-2018-19786), and open each
//! envelope once right after sealing it. A random 96-bit vector allows 2^32 seals under one AES key: seals are rare
//! (one per root key), the caller counts and rotates.

use aws_lc_rs::digest;
use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    AeadSealed, Hsm, HsmError, IvPolicy, KeyAlgorithm, KeyPurpose, KeyReference, KeySpec, MacAlgorithm, Need,
    RsaPadding, software::rsa_encrypt,
};

const FORMAT: u8 = 1;
const CHECK_BYTES: usize = 32;

/// The keys that seal envelopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum EnvelopeKeys {
    /// One AES key.
    AesGcm {
        /// Made with [`KeyPurpose::Encrypt`].
        key: KeyReference,
    },
    /// An RSA pair and an HMAC key.
    RsaOaep {
        /// Made with [`KeyPurpose::Decrypt`].
        key: KeyReference,
        /// Made with [`KeyPurpose::Mac`].
        mac: KeyReference,
    },
}

impl EnvelopeKeys {
    /// Makes the best keys the token can do: AES-256, or RSA-3072 with HMAC.
    ///
    /// # Errors
    ///
    /// [`HsmError::NotSupported`] if the token can do neither.
    pub async fn generate(hsm: &Hsm, label: &str) -> Result<Self, HsmError> {
        if hsm.capabilities().supports(&Need::Aead(KeyAlgorithm::Aes256)) {
            let key = hsm.generate(KeySpec::new(KeyAlgorithm::Aes256, KeyPurpose::Encrypt, label)).await?;
            return Ok(Self::AesGcm { key });
        }
        let key = hsm.generate(KeySpec::new(KeyAlgorithm::Rsa3072, KeyPurpose::Decrypt, label)).await?;
        let mac = hsm.generate(KeySpec::new(KeyAlgorithm::Hmac, KeyPurpose::Mac, format!("{label}-mac"))).await?;
        Ok(Self::RsaOaep { key, mac })
    }
}

impl From<&Self> for EnvelopeKeys {
    fn from(keys: &Self) -> Self {
        keys.clone()
    }
}

impl From<&KeyReference> for EnvelopeKeys {
    fn from(key: &KeyReference) -> Self {
        Self::AesGcm { key: key.clone() }
    }
}

/// How an envelope was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvelopeProfile {
    /// AES-GCM in the token, and how that token places the vector (for the record; the stored layout is always ours).
    AesGcm(IvPolicy),
    /// RSA-OAEP outside, decrypted in the token, with a MAC made in the token.
    RsaOaep(RsaPadding),
}

/// A sealed secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    format: u8,
    profile: EnvelopeProfile,
    keys: EnvelopeKeys,
    #[serde(with = "base64")]
    nonce: Vec<u8>,
    #[serde(with = "base64")]
    ciphertext: Vec<u8>,
    #[serde(with = "base64")]
    mac: Vec<u8>,
}

impl Envelope {
    /// How it was sealed.
    #[must_use]
    pub fn profile(&self) -> EnvelopeProfile {
        self.profile
    }

    /// The keys that sealed it.
    #[must_use]
    pub fn keys(&self) -> &EnvelopeKeys {
        &self.keys
    }
}

/// Seals `secret` for `context`: what it is, of which instance, in which version. The envelope is opened once before
/// it is returned.
///
/// # Errors
///
/// [`HsmError::AlteredSecret`] if the token gives back something else than it was given.
pub async fn seal(
    hsm: &Hsm,
    keys: impl Into<EnvelopeKeys>,
    context: &[u8],
    secret: &[u8],
) -> Result<Envelope, HsmError> {
    let keys = keys.into();
    let mut payload = Zeroizing::new(Vec::with_capacity(secret.len() + CHECK_BYTES));
    payload.extend_from_slice(secret);
    payload.extend_from_slice(&check(context, secret));
    let envelope = match &keys {
        EnvelopeKeys::AesGcm { key } => seal_with_aes(hsm, key, context, &payload).await?,
        EnvelopeKeys::RsaOaep { key, mac } => seal_with_rsa(hsm, (key, mac), context, &payload).await?,
    };
    let opened = open(hsm, &envelope, context).await?;
    if bool::from(opened.ct_eq(secret)) { Ok(envelope) } else { Err(HsmError::AlteredSecret) }
}

/// Opens an envelope sealed for the same context.
///
/// # Errors
///
/// [`HsmError::BadData`] if the envelope was altered or belongs elsewhere; [`HsmError::AlteredSecret`] if the token
/// returned wrong bytes.
pub async fn open(hsm: &Hsm, envelope: &Envelope, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    if envelope.format != FORMAT {
        return Err(HsmError::invalid(format!("envelope format {} is not known", envelope.format)));
    }
    let mut payload = match (&envelope.keys, envelope.profile) {
        (EnvelopeKeys::AesGcm { key }, EnvelopeProfile::AesGcm(_)) => {
            let sealed = AeadSealed { nonce: envelope.nonce.clone(), ciphertext: envelope.ciphertext.clone() };
            hsm.decrypt(key, &associated_data(key, context), &sealed).await?
        }
        (EnvelopeKeys::RsaOaep { key, mac }, EnvelopeProfile::RsaOaep(padding)) => {
            let expected = record_mac(hsm, (key, mac), padding, context, &envelope.ciphertext).await?;
            if !bool::from(expected.ct_eq(&envelope.mac)) {
                return Err(HsmError::BadData);
            }
            hsm.rsa_decrypt(key, padding, &envelope.ciphertext).await?
        }
        _ => return Err(HsmError::BadData),
    };
    let secret_bytes = payload.len().checked_sub(CHECK_BYTES).ok_or(HsmError::AlteredSecret)?;
    let (secret, found) = payload.split_at(secret_bytes);
    if !bool::from(check(context, secret).ct_eq(found)) {
        return Err(HsmError::AlteredSecret);
    }
    payload.truncate(secret_bytes);
    Ok(payload)
}

async fn seal_with_aes(hsm: &Hsm, key: &KeyReference, context: &[u8], payload: &[u8]) -> Result<Envelope, HsmError> {
    let policy = hsm.capabilities().aead().ok_or_else(|| HsmError::not_supported("AES-GCM"))?;
    let AeadSealed { nonce, ciphertext } = hsm.encrypt(key, &associated_data(key, context), payload).await?;
    Ok(Envelope {
        format: FORMAT,
        profile: EnvelopeProfile::AesGcm(policy),
        keys: key.into(),
        nonce,
        ciphertext,
        mac: Vec::new(),
    })
}

async fn seal_with_rsa(
    hsm: &Hsm,
    keys: (&KeyReference, &KeyReference),
    context: &[u8],
    payload: &[u8],
) -> Result<Envelope, HsmError> {
    let (key, mac_key) = keys;
    let padding = [RsaPadding::OaepSha256, RsaPadding::OaepSha1]
        .into_iter()
        .find(|padding| hsm.capabilities().supports(&Need::RsaDecrypt(*padding)))
        .ok_or_else(|| HsmError::not_supported("RSA-OAEP"))?;
    let public =
        key.public_key.as_deref().ok_or_else(|| HsmError::invalid("the RSA key's reference lacks its public key"))?;
    let ciphertext = rsa_encrypt(public, padding, payload)?;
    let mac = record_mac(hsm, keys, padding, context, &ciphertext).await?;
    Ok(Envelope {
        format: FORMAT,
        profile: EnvelopeProfile::RsaOaep(padding),
        keys: EnvelopeKeys::RsaOaep { key: key.clone(), mac: mac_key.clone() },
        nonce: Vec::new(),
        ciphertext,
        mac,
    })
}

async fn record_mac(
    hsm: &Hsm,
    (key, mac): (&KeyReference, &KeyReference),
    padding: RsaPadding,
    context: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let mut record = associated_data(key, context);
    push(&mut record, padding.to_string().as_bytes());
    push(&mut record, ciphertext);
    hsm.mac(mac, MacAlgorithm::HmacSha256, &record).await
}

/// Format, key and context; never empty.
fn associated_data(key: &KeyReference, context: &[u8]) -> Vec<u8> {
    let mut data = b"chancery envelope".to_vec();
    data.push(FORMAT);
    push(&mut data, key.id.as_bytes());
    push(&mut data, context);
    data
}

/// Digest sealed beside the secret.
fn check(context: &[u8], secret: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"chancery envelope check");
    hash.update(&context.len().to_be_bytes());
    hash.update(context);
    hash.update(secret);
    let mut bytes = [0; CHECK_BYTES];
    for (to, from) in bytes.iter_mut().zip(hash.finish().as_ref()) {
        *to = *from;
    }
    bytes
}

fn push(record: &mut Vec<u8>, field: &[u8]) {
    record.extend_from_slice(&field.len().to_be_bytes());
    record.extend_from_slice(field);
}

mod base64 {
    use super::{BASE64, Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(deserializer)?.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
