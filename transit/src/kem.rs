//! Keys of type `ml-kem-*`: encryption to an encapsulation key (FIPS 203), our own addition.
//!
//! Neither Vault nor OpenBao has key encapsulation, so the layout is ours. What `datakey` (and `encrypt`) answer is
//! `vault:vN:` and base64 of
//!
//! ```text
//! ciphertext of ML-KEM (768, 1088 or 1568 bytes) || nonce (12 bytes) || AES-256-GCM ciphertext || tag (16 bytes)
//! ```
//!
//! Each message has a shared secret of its own. Its AES-256 key is HKDF-SHA256 of that secret without a salt, the info
//! being `chancery transit ` and the key type's name; associated data is authenticated as with every other AEAD key. A
//! changed ML-KEM ciphertext decapsulates to another secret (FIPS 203 §6.3) and so fails authentication.

use crate::{
    aead::{AeadKey, TAG_BYTES},
    derivation::hkdf_sha256,
    error::TransitError,
    key_type::KeyType,
    nonce::NONCE_BYTES,
};
use aws_lc_rs::kem::{
    Algorithm, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024,
    SharedSecret,
};
use der::{
    Encode, Sequence,
    asn1::{BitStringRef, ObjectIdentifier},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A key pair of ML-KEM.
pub(crate) struct KemKey {
    key_type: KeyType,
    decapsulation: DecapsulationKey<AlgorithmId>,
    encapsulation: EncapsulationKey<AlgorithmId>,
}

/// RFC 5280 §4.1.2.7
#[derive(Sequence)]
struct PublicKeyInfo<'a> {
    algorithm: AlgorithmWithoutParameters,
    public_key: BitStringRef<'a>,
}

/// RFC 9935 §3: the parameters are absent.
#[derive(Sequence)]
struct AlgorithmWithoutParameters {
    algorithm: ObjectIdentifier,
}

impl KemKey {
    /// A fresh decapsulation key in the form of FIPS 203, which holds the encapsulation key too.
    pub(crate) fn generate(key_type: KeyType) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let key = DecapsulationKey::generate(algorithm(key_type)?)
            .map_err(|_| TransitError::Crypto("DecapsulationKey::generate"))?;
        let bytes = key.key_bytes().map_err(|_| TransitError::Crypto("DecapsulationKey::key_bytes"))?;
        Ok(Zeroizing::new(bytes.as_ref().to_vec()))
    }

    /// The pair of a decapsulation key. The key must agree with the encapsulation key and the hash inside it.
    pub(crate) fn expand(key_type: KeyType, key: &[u8]) -> Result<Self, TransitError> {
        let rejected = |_| TransitError::Caller(format!("not a valid {} decapsulation key", key_type.name()));
        let algorithm = algorithm(key_type)?;
        let decapsulation = DecapsulationKey::new(algorithm, key).map_err(rejected)?;
        // FIPS 203 §7.1: dk = dk_PKE || ek || H(ek) || z, the last two of 32 bytes each.
        let held = key.len().checked_sub(64).and_then(|end| key.get(end.checked_sub(public_key_bytes(key_type))?..end));
        let encapsulation = EncapsulationKey::new(algorithm, held.unwrap_or_default()).map_err(rejected)?;
        let pair = Self { key_type, decapsulation, encapsulation };
        pair.check()?;
        Ok(pair)
    }

    /// The encapsulation key as SubjectPublicKeyInfo.
    pub(crate) fn public_key_der(&self) -> Result<Vec<u8>, TransitError> {
        let raw = self.encapsulation.key_bytes().map_err(|_| TransitError::Crypto("EncapsulationKey::key_bytes"))?;
        let failed = |_| TransitError::Bug("an encapsulation key could not be encoded");
        let public_key = BitStringRef::from_bytes(raw.as_ref()).map_err(failed)?;
        let algorithm = AlgorithmWithoutParameters { algorithm: object_identifier(self.key_type) };
        PublicKeyInfo { algorithm, public_key }.to_der().map_err(failed)
    }

    /// Encrypts `text` to the encapsulation key.
    pub(crate) fn seal(&self, text: &[u8], associated_data: &[u8]) -> Result<Vec<u8>, TransitError> {
        let (ciphertext, secret) =
            self.encapsulation.encapsulate().map_err(|_| TransitError::Crypto("EncapsulationKey::encapsulate"))?;
        let mut sealed = Vec::with_capacity(ciphertext.as_ref().len() + NONCE_BYTES + text.len() + TAG_BYTES);
        let mut buffer = Vec::with_capacity(NONCE_BYTES + text.len() + TAG_BYTES);
        buffer.resize(NONCE_BYTES, 0);
        buffer.extend_from_slice(text);
        self.message_key(&secret)?.seal(&mut buffer, associated_data)?;
        sealed.extend_from_slice(ciphertext.as_ref());
        sealed.extend_from_slice(&buffer);
        Ok(sealed)
    }

    /// Opens what [`KemKey::seal`] made, in place; the text is what it returns.
    pub(crate) fn open<'b>(&self, sealed: &'b mut [u8], associated_data: &[u8]) -> Result<&'b mut [u8], TransitError> {
        let length = ciphertext_bytes(self.key_type);
        let (ciphertext, sealed) = sealed.split_at_mut_checked(length).ok_or(TransitError::CiphertextLength)?;
        let secret =
            self.decapsulation.decapsulate(Ciphertext::from(&*ciphertext)).map_err(|_| TransitError::Unauthentic)?;
        self.message_key(&secret)?.open(sealed, associated_data)
    }

    fn message_key(&self, secret: &SharedSecret) -> Result<AeadKey, TransitError> {
        let info = [b"chancery transit ".as_slice(), self.key_type.name().as_bytes()].concat();
        AeadKey::expand(KeyType::Aes256Gcm96, &hkdf_sha256(secret.as_ref(), &info, 32)?)
    }

    /// One round trip, as FIPS 140-3 asks of a new or imported pair: an encapsulation key that does not belong to the
    /// decapsulation key would encrypt what nobody can read.
    fn check(&self) -> Result<(), TransitError> {
        let (ciphertext, sent) =
            self.encapsulation.encapsulate().map_err(|_| TransitError::Crypto("EncapsulationKey::encapsulate"))?;
        let received = self
            .decapsulation
            .decapsulate(ciphertext)
            .map_err(|_| TransitError::Crypto("DecapsulationKey::decapsulate"))?;
        if sent.as_ref().ct_eq(received.as_ref()).into() {
            return Ok(());
        }
        Err(TransitError::Caller(format!("not a valid {} decapsulation key", self.key_type.name())))
    }
}

/// The raw encapsulation key inside a SubjectPublicKeyInfo.
pub(crate) fn raw_public_key(key_type: KeyType, der: &[u8]) -> Result<&[u8], TransitError> {
    let start = der.len().checked_sub(public_key_bytes(key_type));
    start.and_then(|start| der.get(start..)).ok_or(TransitError::Bug("a public key is too short"))
}

fn algorithm(key_type: KeyType) -> Result<&'static Algorithm<AlgorithmId>, TransitError> {
    match key_type {
        KeyType::MlKem512 => Ok(&ML_KEM_512),
        KeyType::MlKem768 => Ok(&ML_KEM_768),
        KeyType::MlKem1024 => Ok(&ML_KEM_1024),
        _ => Err(TransitError::Bug("not a key of ML-KEM")),
    }
}

/// FIPS 203, table 3
fn public_key_bytes(key_type: KeyType) -> usize {
    match key_type {
        KeyType::MlKem512 => 800,
        KeyType::MlKem768 => 1184,
        _ => 1568,
    }
}

/// FIPS 203, table 3
fn ciphertext_bytes(key_type: KeyType) -> usize {
    match key_type {
        KeyType::MlKem512 => 768,
        KeyType::MlKem768 => 1088,
        _ => 1568,
    }
}

/// RFC 9935 §3
fn object_identifier(key_type: KeyType) -> ObjectIdentifier {
    const ML_KEM_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.1");
    const ML_KEM_768: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.2");
    const ML_KEM_1024: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.3");
    match key_type {
        KeyType::MlKem512 => ML_KEM_512,
        KeyType::MlKem768 => ML_KEM_768,
        _ => ML_KEM_1024,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_another_size_or_with_a_foreign_public_half_are_refused() {
        let (key, other) = (KemKey::generate(KeyType::MlKem768).unwrap(), KemKey::generate(KeyType::MlKem768).unwrap());
        assert!(KemKey::expand(KeyType::MlKem768, &key).is_ok());
        for (key_type, key) in [
            (KeyType::MlKem512, key.as_slice()),
            (KeyType::MlKem1024, &key),
            (KeyType::MlKem768, &key[1..]),
            (KeyType::MlKem768, b""),
        ] {
            assert!(matches!(KemKey::expand(key_type, key), Err(TransitError::Caller(_))));
        }
        let mixed = [&key[..1152], &other[1152..]].concat();
        assert!(matches!(KemKey::expand(KeyType::MlKem768, &mixed), Err(TransitError::Caller(_))));
    }

    #[test]
    fn equal_texts_never_seal_alike() {
        let pair = KemKey::expand(KeyType::MlKem512, &KemKey::generate(KeyType::MlKem512).unwrap()).unwrap();
        let (one, two) = (pair.seal(b"text", b"").unwrap(), pair.seal(b"text", b"").unwrap());
        assert_ne!(one[..768], two[..768]);
        assert_eq!(pair.open(&mut one.clone(), b"").unwrap(), b"text");
    }
}
