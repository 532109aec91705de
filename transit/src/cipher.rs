//! Encryption and decryption of one text with a named key.
//!
//! Two roads: in process ([`Workbench`], no await, no allocation per text once its buffers have grown) and through the
//! token ([`encrypt_in_hsm`], [`decrypt_in_hsm`]). [`Key::lives_in_hsm`] says which one a key takes.

use crate::{
    aead::{DerivedKey, TAG_BYTES},
    ciphertext::{Kind, write_prefix},
    encoding,
    error::TransitError,
    key::{Key, Numbered},
    key_type::Protection,
    nonce::NONCE_BYTES,
    version::{KeyVersion, Material},
};
use chancery_engine::secret::wipe;
use chancery_hsm::{AeadSealed, Hsm, HsmError, Need, RsaPadding, software::rsa_encrypt};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// What one encryption, decryption or rewrapping is given; borrowed from the request where possible.
#[derive(Clone, Default)]
pub(crate) struct CipherItem<'a> {
    /// Plaintext in base64, or a ciphertext; `None` where the member was absent.
    pub(crate) payload: Option<Cow<'a, str>>,
    /// Base64.
    pub(crate) context: Cow<'a, str>,
    /// Base64.
    pub(crate) associated_data: Cow<'a, str>,
    pub(crate) key_version: i64,
    pub(crate) reference: Cow<'a, str>,
}

/// Buffers that one thread reuses from text to text.
#[derive(Default)]
pub(crate) struct Workbench {
    /// Nonce, text, tag. Holds plaintext, so it is wiped at the end, and before it is given up for a larger one.
    buffer: Vec<u8>,
    associated_data: Vec<u8>,
    context: Vec<u8>,
}

impl Drop for Workbench {
    fn drop(&mut self) {
        wipe(&mut self.buffer);
    }
}

impl CipherItem<'_> {
    pub(crate) fn payload(&self) -> &str {
        self.payload.as_deref().unwrap_or_default()
    }
}

impl Key {
    pub(crate) fn lives_in_hsm(&self) -> bool {
        self.record.protection == Protection::Hsm
    }

    /// Refuses associated data where the cipher has no place for it; `place` is `'[3].` or `'`.
    pub(crate) fn allows_associated_data(&self, item: &CipherItem<'_>, place: &str) -> Result<(), TransitError> {
        if item.associated_data.is_empty() || self.record.key_type.takes_associated_data() {
            return Ok(());
        }
        let key_type = self.record.key_type.name();
        Err(TransitError::AssociatedDataWithoutAead { place: place.to_owned(), key_type })
    }

    fn can(&self, operation: &'static str) -> Result<(), TransitError> {
        if self.record.key_type.supports_encryption() {
            return Ok(());
        }
        Err(TransitError::TypeCannot { operation, key_type: self.record.key_type.name() })
    }

    /// The version that encrypts.
    pub(crate) fn encrypting_version(&self, item: &CipherItem<'_>) -> Result<Numbered<'_>, TransitError> {
        self.can("message encryption")?;
        self.version_to_make(item.key_version, "encryption")
    }

    /// The version that made this ciphertext, and its payload in base64.
    fn decrypting_version<'i>(&self, ciphertext: &'i str) -> Result<(Numbered<'_>, &'i str), TransitError> {
        self.can("message decryption")?;
        if ciphertext.is_empty() {
            return Err(TransitError::MissingCiphertext);
        }
        let envelope = Kind::Ciphertext.parse(ciphertext)?;
        Ok((self.version_to_check(envelope.version, Kind::Ciphertext)?, envelope.payload))
    }
}

impl Workbench {
    /// Encrypts; the ciphertext goes behind what `out` holds. Answers the version used.
    pub(crate) fn encrypt(&mut self, key: &Key, item: &CipherItem<'_>, out: &mut Vec<u8>) -> Result<u32, TransitError> {
        self.restart(item.payload().len());
        self.buffer.resize(NONCE_BYTES, 0);
        encoding::decode_onto(item.payload(), &mut self.buffer)?;
        let version = key.encrypting_version(item)?;
        self.read_options(key, item)?;
        self.seal(key, version, out)?;
        Ok(version.number)
    }

    /// Encrypts `plaintext`, raw.
    pub(crate) fn encrypt_bytes(
        &mut self,
        key: &Key,
        item: &CipherItem<'_>,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u32, TransitError> {
        self.restart(plaintext.len());
        let version = key.encrypting_version(item)?;
        self.read_options(key, item)?;
        self.buffer.resize(NONCE_BYTES, 0);
        self.buffer.extend_from_slice(plaintext);
        self.seal(key, version, out)?;
        Ok(version.number)
    }

    /// Decrypts; the plaintext in base64 goes behind what `out` holds.
    pub(crate) fn decrypt(&mut self, key: &Key, item: &CipherItem<'_>, out: &mut Vec<u8>) -> Result<(), TransitError> {
        let plaintext = self.open(key, item)?;
        encoding::encode_onto(plaintext, out)
    }

    /// Decrypts with the version of the ciphertext and encrypts anew with the one asked for. Associated data is not
    /// taken by the endpoint.
    pub(crate) fn rewrap(&mut self, key: &Key, item: &CipherItem<'_>, out: &mut Vec<u8>) -> Result<u32, TransitError> {
        let plaintext = Zeroizing::new(self.open(key, item)?.to_vec());
        self.encrypt_bytes(key, item, &plaintext, out)
    }

    /// Empties the buffers and makes room for a text of so many bytes, or of so many characters of base64. All the room
    /// is made at once: a buffer that grows on its own leaves an unwiped copy behind.
    fn restart(&mut self, text: usize) {
        let room = NONCE_BYTES + text + TAG_BYTES;
        if self.buffer.capacity() < room {
            wipe(&mut self.buffer);
            self.buffer = Vec::with_capacity(room);
        }
        self.buffer.clear();
        self.associated_data.clear();
        self.context.clear();
    }

    fn read_options(&mut self, key: &Key, item: &CipherItem<'_>) -> Result<(), TransitError> {
        encoding::decode_onto(&item.context, &mut self.context)?;
        if key.record.derived && self.context.is_empty() {
            return Err(TransitError::MissingContext);
        }
        encoding::decode_onto(&item.associated_data, &mut self.associated_data).map_err(|error| match error {
            TransitError::IllegalBase64(at) => TransitError::AssociatedDataNotBase64(at),
            other => other,
        })
    }

    /// Seals what the buffer holds and writes the envelope.
    fn seal(&mut self, key: &Key, version: Numbered<'_>, out: &mut Vec<u8>) -> Result<(), TransitError> {
        match &version.version.material {
            Material::Aead(cipher) => cipher.seal(&mut self.buffer, &self.associated_data)?,
            Material::Derived(secret) => {
                DerivedKey::derive(key.record.key_type, secret, &self.context)?
                    .seal(&mut self.buffer, &self.associated_data)?;
            }
            Material::Pair(_) | Material::Public if key.record.key_type.is_rsa() => {
                let text = self.buffer.get(NONCE_BYTES..).unwrap_or_default();
                let sealed = encrypt_with_rsa(version.version, text)?;
                write_prefix(version.number, out);
                return encoding::encode_onto(&sealed, out);
            }
            _ => {
                return Err(TransitError::Bug("not a key of this process"));
            }
        }
        write_prefix(version.number, out);
        encoding::encode_onto(&self.buffer, out)
    }

    fn open(&mut self, key: &Key, item: &CipherItem<'_>) -> Result<&[u8], TransitError> {
        self.restart(item.payload().len());
        let (version, payload) = key.decrypting_version(item.payload())?;
        self.read_options(key, item)?;
        encoding::decode_onto(payload, &mut self.buffer).map_err(|_| TransitError::CiphertextNotBase64)?;
        match &version.version.material {
            Material::Aead(cipher) => cipher.open(&mut self.buffer, &self.associated_data).map(|text| &*text),
            Material::Derived(secret) => {
                let derived = DerivedKey::derive(key.record.key_type, secret, &self.context)?;
                derived.cipher.open(&mut self.buffer, &self.associated_data).map(|text| &*text)
            }
            Material::Pair(pair) => {
                let opened = pair.rsa_decrypt(RsaPadding::OaepSha256, &self.buffer);
                let mut opened = opened.map_err(rsa_refusal)?;
                wipe(&mut self.buffer);
                self.buffer = std::mem::take(&mut opened);
                Ok(&self.buffer)
            }
            Material::Public => Err(TransitError::NoPrivateHalf("decryption")),
            Material::MacOnly | Material::Hsm(_) | Material::External(_) => {
                Err(TransitError::Bug("not a key of this process"))
            }
        }
    }
}

/// RSA encryption needs only the public half, wherever the private one lives.
fn encrypt_with_rsa(version: &KeyVersion, text: &[u8]) -> Result<Vec<u8>, TransitError> {
    let public_key = version.public_key.as_deref().ok_or(TransitError::Bug("an RSA key without a public half"))?;
    rsa_encrypt(public_key, RsaPadding::OaepSha256, text).map_err(|error| match error {
        HsmError::InvalidInput { .. } => TransitError::RsaTooLong,
        other => other.into(),
    })
}

fn rsa_refusal(error: HsmError) -> TransitError {
    match error {
        HsmError::BadData | HsmError::InvalidInput { .. } => TransitError::RsaDecryption,
        other => other.into(),
    }
}

/// Encrypts `plaintext` with a key of the token. Answers the version used and the ciphertext.
pub(crate) async fn encrypt_in_hsm(
    hsm: &Hsm,
    key: &Key,
    item: &CipherItem<'_>,
    plaintext: &[u8],
) -> Result<(u32, String), TransitError> {
    let version = key.encrypting_version(item)?;
    let mut bench = Workbench::default();
    bench.read_options(key, item)?;
    let Material::Hsm(reference) = &version.version.material else {
        return Err(TransitError::Bug("not a key of the token"));
    };
    let sealed = if key.record.key_type.is_rsa() {
        // The public half would encrypt what a token without this mechanism could never decrypt.
        hsm.capabilities().require(&Need::RsaDecrypt(RsaPadding::OaepSha256))?;
        encrypt_with_rsa(version.version, plaintext)?
    } else {
        let sealed = hsm.encrypt(reference, &bench.associated_data, plaintext).await?;
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

/// Decrypts with a key of the token.
pub(crate) async fn decrypt_in_hsm(
    hsm: &Hsm,
    key: &Key,
    item: &CipherItem<'_>,
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let (version, payload) = key.decrypting_version(item.payload())?;
    let mut bench = Workbench::default();
    bench.read_options(key, item)?;
    let mut sealed = Vec::new();
    encoding::decode_onto(payload, &mut sealed).map_err(|_| TransitError::CiphertextNotBase64)?;
    let Material::Hsm(reference) = &version.version.material else {
        return Err(TransitError::Bug("not a key of the token"));
    };
    if key.record.key_type.is_rsa() {
        return hsm.rsa_decrypt(reference, RsaPadding::OaepSha256, &sealed).await.map_err(rsa_refusal);
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
