//! Encryption and decryption of one text with a named key.
//!
//! Two roads: in process ([`Workbench`], no await, no allocation per text once its buffers have grown) and through the
//! token (`in_token.rs`). [`Key::lives_in_hsm`] says which one a key takes.

use crate::{
    aead::{DerivedKey, TAG_BYTES},
    ciphertext::{Kind, write_prefix},
    derivation::ConvergentVersion,
    encoding,
    error::TransitError,
    key::{Key, Numbered},
    key_type::{KeyType, Protection},
    nonce::LONGEST_NONCE_BYTES,
    version::{KeyVersion, Material},
};
use chancery_engine::secret::wipe;
use chancery_hsm::{HsmError, RsaPadding, software::rsa_encrypt};
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
    /// Boxed because hardly any item has them, and a batch holds many.
    pub(crate) rare: Option<Box<RareOptions<'a>>>,
}

/// What only Vault's clients give, and only with some keys.
#[derive(Clone, Default)]
pub(crate) struct RareOptions<'a> {
    /// Base64. Only decryption of convergent encryption of version 1 reads it; no encryption ever does (CVE-2023-4680).
    pub(crate) nonce: Cow<'a, str>,
    /// `padding_scheme` of an RSA key; when rewrapping, `decrypt_padding_scheme`.
    pub(crate) padding: Cow<'a, str>,
    /// `encrypt_padding_scheme`
    pub(crate) new_padding: Cow<'a, str>,
}

/// Buffers that one thread reuses from text to text.
#[derive(Default)]
pub(crate) struct Workbench {
    /// Nonce, text, tag. Holds plaintext, so it is wiped at the end, and before it is given up for a larger one.
    buffer: Vec<u8>,
    pub(crate) associated_data: Vec<u8>,
    context: Vec<u8>,
    padding: Padding,
}

/// `padding_scheme`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Padding {
    #[default]
    Oaep,
    Pkcs1v15,
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

    /// The second half of a rewrapping: what was asked for the new ciphertext takes the place of what the old one needs.
    pub(crate) fn for_new_ciphertext(&self) -> Self {
        let rare = self
            .rare
            .as_ref()
            .map(|rare| Box::new(RareOptions { padding: rare.new_padding.clone(), ..RareOptions::default() }));
        Self { rare, ..self.clone() }
    }

    fn nonce(&self) -> &str {
        self.rare.as_ref().map_or("", |rare| &rare.nonce)
    }

    fn padding(&self, key_type: KeyType) -> Result<Padding, TransitError> {
        self.rare.as_ref().map_or(Ok(Padding::Oaep), |rare| Padding::named(&rare.padding, key_type))
    }
}

impl<'a> RareOptions<'a> {
    /// The options where at least one was given.
    pub(crate) fn given(nonce: &'a str, padding: &'a str, new_padding: &'a str) -> Option<Box<Self>> {
        if nonce.is_empty() && padding.is_empty() && new_padding.is_empty() {
            return None;
        }
        let [nonce, padding, new_padding] = [nonce, padding, new_padding].map(Cow::Borrowed);
        Some(Box::new(Self { nonce, padding, new_padding }))
    }
}

impl Padding {
    fn named(name: &str, key_type: KeyType) -> Result<Self, TransitError> {
        let invalid = |what: String| Err(TransitError::Caller(format!("padding_scheme argument invalid: {what}")));
        match name {
            "" => Ok(Self::Oaep),
            "oaep" | "pkcs1v15" if !key_type.is_rsa() => {
                invalid(format!("unsupported key type {} for padding scheme", key_type.name()))
            }
            "oaep" => Ok(Self::Oaep),
            "pkcs1v15" => Ok(Self::Pkcs1v15),
            other => invalid(format!("unknown padding scheme {other:?}, expected oaep or pkcs1v15")),
        }
    }

    fn rsa(self) -> RsaPadding {
        match self {
            Self::Oaep => RsaPadding::OaepSha256,
            Self::Pkcs1v15 => RsaPadding::Pkcs1v15,
        }
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
    pub(crate) fn decrypting_version<'i>(&self, ciphertext: &'i str) -> Result<(Numbered<'_>, &'i str), TransitError> {
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
        self.buffer.resize(key.record.key_type.nonce_bytes(), 0);
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
        self.buffer.resize(key.record.key_type.nonce_bytes(), 0);
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
        if item.rare.is_some() {
            return self.encrypt_bytes(key, &item.for_new_ciphertext(), &plaintext, out);
        }
        self.encrypt_bytes(key, item, &plaintext, out)
    }

    /// The padding asked for.
    pub(crate) fn padding(&self) -> RsaPadding {
        self.padding.rsa()
    }

    /// Empties the buffers and makes room for a text of so many bytes, or of so many characters of base64. All the room
    /// is made at once: a buffer that grows on its own leaves an unwiped copy behind.
    fn restart(&mut self, text: usize) {
        let room = LONGEST_NONCE_BYTES + text + TAG_BYTES;
        if self.buffer.capacity() < room {
            wipe(&mut self.buffer);
            self.buffer = Vec::with_capacity(room);
        }
        self.buffer.clear();
        self.associated_data.clear();
        self.context.clear();
    }

    pub(crate) fn read_options(&mut self, key: &Key, item: &CipherItem<'_>) -> Result<(), TransitError> {
        encoding::decode_onto(&item.context, &mut self.context)?;
        if key.record.derived && self.context.is_empty() {
            return Err(TransitError::MissingContext);
        }
        self.padding = item.padding(key.record.key_type)?;
        encoding::decode_onto(&item.associated_data, &mut self.associated_data).map_err(|error| match error {
            TransitError::IllegalBase64(at) => TransitError::AssociatedDataNotBase64(at),
            other => other,
        })
    }

    /// Seals what the buffer holds and writes the envelope.
    fn seal(&mut self, key: &Key, version: Numbered<'_>, out: &mut Vec<u8>) -> Result<(), TransitError> {
        version.version.count()?;
        let key_type = key.record.key_type;
        match &version.version.material {
            Material::Aead(cipher) => cipher.seal(&mut self.buffer, &self.associated_data)?,
            Material::Derived(secret) => {
                DerivedKey::derive(key_type, secret, &self.context)?.seal(&mut self.buffer, &self.associated_data)?;
            }
            material => {
                let text = self.buffer.get(key_type.nonce_bytes()..).unwrap_or_default();
                let sealed = match material {
                    Material::Kem(pair) => pair.seal(text, &self.associated_data)?,
                    Material::Pair(_) | Material::Public if key_type.is_rsa() => {
                        encrypt_with_rsa(version.version, self.padding.rsa(), text)?
                    }
                    _ => return Err(TransitError::Bug("not a key of this process")),
                };
                write_prefix(version.number, out);
                return encoding::encode_onto(&sealed, out);
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
        if let Material::Derived(secret) = &version.version.material {
            let derived = DerivedKey::derive(key.record.key_type, secret, &self.context)?.cipher;
            if secret.convergent == Some(ConvergentVersion::V1) {
                let nonce = convergent_nonce(item, key.record.key_type)?;
                return derived.open_with(&nonce, &mut self.buffer, &self.associated_data).map(|text| &*text);
            }
            return derived.open(&mut self.buffer, &self.associated_data).map(|text| &*text);
        }
        match &version.version.material {
            Material::Aead(cipher) => cipher.open(&mut self.buffer, &self.associated_data).map(|text| &*text),
            Material::Kem(pair) => pair.open(&mut self.buffer, &self.associated_data).map(|text| &*text),
            Material::Pair(pair) => {
                let opened = pair.rsa_decrypt(self.padding.rsa(), &self.buffer);
                let mut opened = opened.map_err(rsa_refusal)?;
                wipe(&mut self.buffer);
                self.buffer = std::mem::take(&mut opened);
                Ok(&self.buffer)
            }
            Material::Public => {
                Err(TransitError::caller("cannot decrypt ciphertext, key version does not have a private counterpart"))
            }
            _ => Err(TransitError::Bug("not a key of this process")),
        }
    }
}

/// The nonce that the caller chose when a convergent key of version 1 encrypted.
fn convergent_nonce(item: &CipherItem<'_>, key_type: KeyType) -> Result<Vec<u8>, TransitError> {
    let nonce = encoding::decode(item.nonce()).map_err(|_| TransitError::caller("failed to base64-decode nonce"))?;
    if nonce.is_empty() {
        return Err(TransitError::caller("invalid convergent nonce supplied"));
    }
    let length = key_type.nonce_bytes();
    if nonce.len() != length {
        return Err(TransitError::Caller(format!(
            "base64-decoded nonce must be {length} bytes long when using convergent encryption with this key"
        )));
    }
    Ok(nonce.to_vec())
}

/// RSA encryption needs only the public half, wherever the private one lives.
pub(crate) fn encrypt_with_rsa(
    version: &KeyVersion,
    padding: RsaPadding,
    text: &[u8],
) -> Result<Vec<u8>, TransitError> {
    let public_key = version.public_key.as_deref().ok_or(TransitError::Bug("an RSA key without a public half"))?;
    rsa_encrypt(public_key, padding, text).map_err(|error| match error {
        HsmError::InvalidInput { .. } => TransitError::RsaTooLong,
        other => other.into(),
    })
}

pub(crate) fn rsa_refusal(error: HsmError) -> TransitError {
    match error {
        HsmError::BadData | HsmError::InvalidInput { .. } => TransitError::RsaDecryption,
        other => other.into(),
    }
}
