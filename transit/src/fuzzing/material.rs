//! Key material from outside: import blobs, private and public keys, certificate chains, backups.

use crate::{
    backup::Restored,
    certificates::{Chain, Template},
    encoding,
    key::KeyRecord,
    key_type::KeyType,
    pem_blocks,
    private_key::PrivateKey,
    public_key::PublicKey,
    version::{KeyVersion, StoredBytes, StoredMaterial, VersionRecord},
    wrapping::{self, OaepHash, UnwrappingKey},
};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use jiff::Timestamp;

const PAIRS: [KeyType; 8] = [
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::EcdsaP521,
    KeyType::Ed25519,
    KeyType::Rsa2048,
    KeyType::Rsa4096,
    KeyType::MlDsa44,
    KeyType::MlDsa87,
];

/// A wrapping key, as short as it may be.
pub struct Wrapping {
    private_key: UnwrappingKey,
    public_key: Vec<u8>,
    hash: OaepHash,
}

impl Wrapping {
    /// A fresh one; `None` where none can be made.
    #[must_use]
    pub fn fresh() -> Option<Self> {
        let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).ok()?;
        let private_key = UnwrappingKey::from_pkcs8(&key.to_bytes().ok()?).ok()?;
        Some(Self { private_key, public_key: key.public_key_der()?.to_vec(), hash: OaepHash::named("SHA256").ok()? })
    }

    /// What stands in a blob.
    #[must_use]
    pub fn open(&self, blob: &[u8]) -> Option<Vec<u8>> {
        self.private_key.unwrap(self.hash, blob).ok().map(|target| target.to_vec())
    }

    /// A blob with that in it.
    #[must_use]
    pub fn seal(&self, target: &[u8]) -> Option<Vec<u8>> {
        wrapping::wrap(&self.public_key, self.hash, target).ok()
    }
}

/// Reads PKCS#8 for every type of pair. `Some(false)`: it was taken, but what is stored of it cannot be used.
#[must_use]
pub fn private_key(der: &[u8]) -> Option<bool> {
    let key = PrivateKey::from_pkcs8(der).ok()?;
    let key_type = PAIRS.into_iter().find(|key_type| key.fit(*key_type).is_ok())?;
    let Ok(stored) = key.to_stored() else { return Some(false) };
    if key_type.is_rsa() || key_type.is_ecdsa() {
        let again = PrivateKey::from_pkcs8(&stored).and_then(|again| again.to_stored());
        if again.ok().as_ref() != Some(&stored) {
            return Some(false);
        }
    }
    let material = StoredMaterial::Software { key: StoredBytes::new(stored), mac: None };
    let version = VersionRecord::new(Timestamp::UNIX_EPOCH, material);
    Some(KeyVersion::expand(&KeyRecord::new(key_type), version).is_ok_and(|version| version.public_key.is_some()))
}

/// Reads SubjectPublicKeyInfo. `Some(false)`: what is written of it reads as another key.
#[must_use]
pub fn public_key(der: &[u8]) -> Option<bool> {
    let key = PublicKey::from_der(der).ok()?;
    Some(PublicKey::from_der(key.der()).is_ok_and(|again| again == key))
}

/// Reads a text as a chain and as a template of a request. Answers how many certificates there are.
#[must_use]
pub fn certificates(text: &str) -> usize {
    if let Ok(template) = Template::from_pem(text) {
        let _ = template.with_key(&[]);
    }
    let Ok(chain) = Chain::from_pem(text) else { return 0 };
    for key_type in PAIRS {
        let _ = chain.check(key_type, &[]);
    }
    chain.into_stored().len()
}

/// Bytes of the blocks in a text.
#[must_use]
pub fn blocks(mut text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((block, rest)) = pem_blocks::first(text) {
        found.push(block.der.to_vec());
        text = rest;
    }
    found
}

/// Reads the JSON of a backup; `Err` is the refusal the caller is told.
///
/// # Errors
/// The text of the refusal.
pub fn backup(json: &[u8]) -> Result<(), String> {
    Restored::read(&encoding::encode(json), None).map(drop).map_err(|error| error.to_string())
}
