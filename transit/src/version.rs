//! One version of a key: how it is made, stored and expanded for use.

use crate::{
    aead::AeadKey,
    derivation::{ConvergentVersion, DerivationKey},
    ed25519, encoding,
    error::TransitError,
    external::ExternalVersion,
    kem::KemKey,
    key::KeyRecord,
    key_type::{KeyType, Protection},
    mac, ml_dsa,
    usage::Counter,
};
use aws_lc_rs::cmac;
use chancery_hsm::{Hsm, HsmError, KeyAlgorithm, KeyPurpose, KeyReference, KeySpec, software::SoftwareKey};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of the HMAC key every version has beside its own.
const MAC_KEY_BYTES: usize = 32;

/// Longest key name that goes into a token's label; some tokens allow no more than 64 bytes in all.
const LABEL_NAME_BYTES: usize = 40;

/// One version as it lies in the store, sealed by the barrier.
#[derive(Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    pub(crate) created_at: Timestamp,
    pub(crate) material: StoredMaterial,
    /// DER, the leaf first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificate_chain: Vec<StoredBytes>,
    /// Absent where the key's record tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) convergent_version: Option<ConvergentVersion>,
}

/// What is kept of a version's key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "protection", rename_all = "lowercase")]
pub(crate) enum StoredMaterial {
    Software {
        /// Symmetric: the key. RSA and ECDSA: PKCS#8 in DER. Ed25519 and ML-DSA: the seed. ML-KEM: the decapsulation
        /// key of FIPS 203.
        key: StoredBytes,
        /// The HMAC key; absent for type `hmac`, whose key it is already, and for CMAC.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<StoredBytes>,
    },
    Hsm {
        key: Box<KeyReference>,
        /// The HMAC key; absent for type `hmac` and where the token has no HMAC mechanism.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<Box<KeyReference>>,
    },
    /// Only the public half was imported.
    Public {
        /// SubjectPublicKeyInfo in DER.
        key: StoredBytes,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<StoredBytes>,
    },
    /// A key that somebody else made in an HSM.
    External {
        external: Box<ExternalVersion>,
        /// Absent where the named key is an HMAC key itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<StoredBytes>,
    },
}

/// Bytes that are base64 in the store, wiped when dropped.
#[derive(Clone)]
pub(crate) struct StoredBytes(Zeroizing<Vec<u8>>);

/// A version ready for use.
pub(crate) struct KeyVersion {
    pub(crate) created_at: Timestamp,
    pub(crate) material: Material,
    pub(crate) mac: MacKey,
    /// SubjectPublicKeyInfo in DER, where the key has a public half.
    pub(crate) public_key: Option<Vec<u8>>,
    /// DER, the leaf first.
    pub(crate) certificate_chain: Vec<StoredBytes>,
    /// Counts the messages, where their number is limited.
    pub(crate) counter: Option<Arc<Counter>>,
}

/// What does the work of a version.
pub(crate) enum Material {
    Aead(AeadKey),
    Derived(DerivationKey),
    /// RSA, ECDSA, Ed25519.
    Pair(SoftwareKey),
    MlDsa(ml_dsa::Pair),
    Kem(Box<KemKey>),
    Cmac(Box<cmac::Key>),
    /// Type `hmac`: [`KeyVersion::mac`] is all there is.
    MacOnly,
    Hsm(KeyReference),
    /// [`KeyVersion::public_key`] is all there is.
    Public,
    External(Box<ExternalVersion>),
}

/// What makes the HMACs of a version.
pub(crate) enum MacKey {
    Software(Zeroizing<Vec<u8>>),
    Hsm(KeyReference),
    /// The registered key of [`KeyVersion::material`] is one.
    External,
    /// The token had no HMAC mechanism when the version was made.
    Missing,
}

impl VersionRecord {
    /// A version of that material, without certificates.
    pub(crate) fn new(created_at: Timestamp, material: StoredMaterial) -> Self {
        Self { created_at, material, certificate_chain: Vec::new(), convergent_version: None }
    }

    /// Makes the material of a new version.
    pub(crate) async fn generate(
        name: &str,
        record: &KeyRecord,
        hsm: Option<&Hsm>,
        now: Timestamp,
    ) -> Result<Self, TransitError> {
        let material = match record.protection {
            Protection::Software => generate_software(record).await?,
            Protection::Hsm => generate_in_hsm(name, record.key_type, hsm.ok_or(TransitError::NoHsm)?).await?,
        };
        let convergent_version = record.convergent_encryption.then(ConvergentVersion::default);
        Ok(Self { convergent_version, ..Self::new(now, material) })
    }

    /// The objects in the token that go with this version.
    pub(crate) fn objects(&self) -> Vec<&KeyReference> {
        match &self.material {
            StoredMaterial::Software { .. } | StoredMaterial::Public { .. } | StoredMaterial::External { .. } => {
                Vec::new()
            }
            StoredMaterial::Hsm { key, mac } => std::iter::once(key).chain(mac).map(AsRef::as_ref).collect(),
        }
    }
}

async fn generate_software(record: &KeyRecord) -> Result<StoredMaterial, TransitError> {
    let key_type = record.key_type;
    let key = match key_type {
        KeyType::Hmac => StoredBytes::random(record.mac_key_bytes())?,
        KeyType::Ed25519 => StoredBytes::random(ed25519::SEED_BYTES)?,
        pair if pair.is_ml_dsa() => StoredBytes::random(ml_dsa::SEED_BYTES)?,
        pair if pair.is_ml_kem() => StoredBytes(KemKey::generate(pair)?),
        other => match other.symmetric_bytes() {
            Some(bytes) => StoredBytes::random(bytes)?,
            None => generate_pair(other).await?,
        },
    };
    let mac = if key_type.has_own_mac_key() { Some(StoredBytes::random(MAC_KEY_BYTES)?) } else { None };
    Ok(StoredMaterial::Software { key, mac })
}

/// A pair of ECDSA or RSA; the latter takes up to seconds of arithmetic.
async fn generate_pair(key_type: KeyType) -> Result<StoredBytes, TransitError> {
    let algorithm = key_type.hsm_algorithm().ok_or(TransitError::Bug("a key pair without an algorithm"))?;
    let pair = tokio::task::spawn_blocking(move || SoftwareKey::generate(algorithm))
        .await
        .map_err(|_| TransitError::Bug("key generation was cancelled"))??;
    Ok(StoredBytes(pair.to_bytes()?))
}

async fn generate_in_hsm(name: &str, key_type: KeyType, hsm: &Hsm) -> Result<StoredMaterial, TransitError> {
    let algorithm = key_type
        .hsm_algorithm()
        .ok_or_else(|| HsmError::NotSupported { mechanism: key_type.missing_mechanism().to_owned() })?;
    let label: String = name.chars().take(LABEL_NAME_BYTES).collect();
    let key = hsm.generate(KeySpec::new(algorithm, key_type.hsm_purpose(), format!("transit/{label}"))).await?;
    if key_type == KeyType::Hmac {
        return Ok(StoredMaterial::Hsm { key: Box::new(key), mac: None });
    }
    let spec = KeySpec::new(KeyAlgorithm::Hmac, KeyPurpose::Mac, format!("transit/{label}/hmac"));
    match hsm.generate(spec).await {
        Ok(mac) => Ok(StoredMaterial::Hsm { key: Box::new(key), mac: Some(Box::new(mac)) }),
        Err(HsmError::NotSupported { .. }) => Ok(StoredMaterial::Hsm { key: Box::new(key), mac: None }),
        Err(error) => {
            destroy(hsm, &key).await;
            Err(error.into())
        }
    }
}

/// Destroys an object nobody refers to any more. A failure leaves an unused object behind, which the log names.
pub(crate) async fn destroy(hsm: &Hsm, key: &KeyReference) {
    if let Err(error) = hsm.destroy(key).await {
        tracing::warn!(%key, %error, "an unused key stays in the token");
    }
}

impl KeyVersion {
    /// Counts one message that is about to be encrypted.
    pub(crate) fn count(&self) -> Result<(), TransitError> {
        self.counter.as_ref().map_or(Ok(()), Counter::take)
    }

    /// Makes a stored version ready for use; done once and cached.
    pub(crate) fn expand(record: &KeyRecord, version: VersionRecord) -> Result<Self, TransitError> {
        let local_mac = |mac: Option<StoredBytes>| mac.map_or(MacKey::Missing, |mac| MacKey::Software(mac.0));
        let convergent = record.convergent_version_of(&version);
        let (material, public_key, mac) = match version.material {
            StoredMaterial::Hsm { key, mac } => {
                let public_key = key.public_key.clone();
                let mac = match mac {
                    Some(mac) => MacKey::Hsm(*mac),
                    None if record.key_type == KeyType::Hmac => MacKey::Hsm(KeyReference::clone(&key)),
                    None => MacKey::Missing,
                };
                (Material::Hsm(*key), public_key, mac)
            }
            StoredMaterial::Software { key, mac } => {
                let (material, public_key) = expand_software(record, convergent, &key.0)?;
                let mac = match mac {
                    Some(mac) => MacKey::Software(mac.0),
                    None if record.key_type == KeyType::Hmac => MacKey::Software(key.0),
                    None => MacKey::Missing,
                };
                (material, public_key, mac)
            }
            StoredMaterial::Public { key, mac } => (Material::Public, Some(key.0.to_vec()), local_mac(mac)),
            StoredMaterial::External { external, mac } => {
                let public_key = external.key.public_key.clone();
                let mac = mac.map_or(MacKey::External, |mac| MacKey::Software(mac.0));
                (Material::External(external), public_key, mac)
            }
        };
        let (created_at, certificate_chain) = (version.created_at, version.certificate_chain);
        Ok(Self { created_at, material, mac, public_key, certificate_chain, counter: None })
    }
}

fn expand_software(
    record: &KeyRecord,
    convergent: Option<ConvergentVersion>,
    key: &[u8],
) -> Result<(Material, Option<Vec<u8>>), TransitError> {
    let key_type = record.key_type;
    let derived = |secret| Material::Derived(DerivationKey::new(record.kdf, convergent, secret));
    Ok(match key_type {
        KeyType::Hmac => (Material::MacOnly, None),
        KeyType::Ed25519 => {
            let pair = ed25519::Pair::from_seed(key)?;
            let public_key = Some(pair.public_key_der());
            if record.derived {
                (derived(pair.seed_and_public_key()), public_key)
            } else {
                (Material::Pair(pair.into_software_key()?), public_key)
            }
        }
        aead if aead.is_aead() && record.derived => (derived(Zeroizing::new(key.to_vec())), None),
        aead if aead.is_aead() => (Material::Aead(AeadKey::expand(aead, key)?), None),
        cmac if cmac.is_cmac() => (Material::Cmac(Box::new(mac::cmac_key(cmac, key)?)), None),
        pair if pair.is_ml_dsa() => {
            let pair = ml_dsa::Pair::from_seed(pair, key)?;
            let public_key = pair.public_key_der()?;
            (Material::MlDsa(pair), Some(public_key))
        }
        pair if pair.is_ml_kem() => {
            let pair = KemKey::expand(pair, key)?;
            let public_key = pair.public_key_der()?;
            (Material::Kem(Box::new(pair)), Some(public_key))
        }
        pair => {
            let algorithm = pair.hsm_algorithm().ok_or(TransitError::Bug("a key pair without an algorithm"))?;
            let pair = SoftwareKey::from_bytes(algorithm, key)?;
            let public_key = pair.public_key_der().map(<[u8]>::to_vec);
            (Material::Pair(pair), public_key)
        }
    })
}

impl StoredBytes {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// A fresh HMAC key.
    pub(crate) fn mac_key() -> Result<Self, TransitError> {
        Self::random(MAC_KEY_BYTES)
    }

    fn random(bytes: usize) -> Result<Self, TransitError> {
        let mut secret = Zeroizing::new(vec![0; bytes]);
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| TransitError::Random)?;
        Ok(Self(secret))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for StoredBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(encoding::encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for StoredBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        encoding::decode(&text).map(Self).map_err(|_| de::Error::custom("illegal base64 in a stored key"))
    }
}
