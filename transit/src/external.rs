//! Keys that somebody else made: types `external-key` (OpenBao) and `managed_key` (Vault Enterprise).
//!
//! A version names a registered key; where that key lives and whether this mount may use it is asked of the registry at
//! every operation ([`ExternalKeys`](chancery_hsm::ExternalKeys)). What the key was when the version was made is
//! remembered, so that another key under the same name is noticed. The HMAC key of a version is made here, as in OpenBao,
//! unless the registered key is itself one.
//!
//! [`Transit::token_key`] is the one way to a key in a token, the appliance's own or another's.

use crate::{
    error::TransitError,
    key::{Key, KeyRecord},
    key_type::KeyType,
    transit::Transit,
    version::{KeyVersion, Material, StoredBytes, StoredMaterial, VersionRecord},
};
use chancery_hsm::{
    ExternalKey, ExternalKeyError, ExternalKeyName, Hsm, HsmError, KeyAlgorithm, KeyReference, Mechanism, Need,
    RsaPadding,
};
use chancery_store::Changes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a version keeps of the key it names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExternalVersion {
    pub(crate) name: ExternalKeyName,
    /// The key as it was when the version was made.
    pub(crate) key: KeyReference,
    /// What the registration said then that the key is for; decides where a request does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mechanism: Option<Mechanism>,
}

/// A key in a token, ready for an operation.
pub(crate) enum TokenKey<'k> {
    Own { hsm: &'k Hsm, key: &'k KeyReference },
    External(Arc<ExternalKey>),
}

impl TokenKey<'_> {
    pub(crate) fn hsm(&self) -> &Hsm {
        match self {
            Self::Own { hsm, .. } => hsm,
            Self::External(external) => &external.hsm,
        }
    }

    pub(crate) fn key(&self) -> &KeyReference {
        match self {
            Self::Own { key, .. } => key,
            Self::External(external) => &external.key,
        }
    }

    /// The padding of RSA texts: PKCS#1 v1.5 where it is asked for, else what the registration says.
    pub(crate) fn padding(&self, wanted: RsaPadding) -> RsaPadding {
        match self {
            Self::External(external) if wanted != RsaPadding::Pkcs1v15 => external.padding,
            _ => wanted,
        }
    }

    /// Refuses to encrypt with the public half what the token could never decrypt. Of another's token only the
    /// registration knows what it can.
    pub(crate) fn require_decryption(&self, padding: RsaPadding) -> Result<(), HsmError> {
        match self {
            Self::Own { hsm, .. } => hsm.capabilities().require(&Need::RsaDecrypt(padding)),
            Self::External(_) => Ok(()),
        }
    }
}

impl ExternalVersion {
    /// As listings show it.
    pub(crate) fn shown(&self) -> &str {
        let (ExternalKeyName::Reference(name) | ExternalKeyName::Managed(name) | ExternalKeyName::ManagedId(name)) =
            &self.name;
        name
    }
}

impl KeyVersion {
    /// The type that decides what this version can do: the key's own, or that of the registered key behind it.
    pub(crate) fn effective_type(&self, of_key: KeyType) -> KeyType {
        match &self.material {
            Material::External(external) => type_of(external.key.algorithm),
            _ => of_key,
        }
    }
}

fn refused(why: String) -> TransitError {
    TransitError::ExternalKey { place: "", why }
}

/// The type that keys of this kind have when they are made here.
fn type_of(algorithm: KeyAlgorithm) -> KeyType {
    match algorithm {
        KeyAlgorithm::EcP256 => KeyType::EcdsaP256,
        KeyAlgorithm::EcP384 => KeyType::EcdsaP384,
        KeyAlgorithm::EcP521 => KeyType::EcdsaP521,
        KeyAlgorithm::Ed25519 => KeyType::Ed25519,
        KeyAlgorithm::Rsa2048 => KeyType::Rsa2048,
        KeyAlgorithm::Rsa3072 => KeyType::Rsa3072,
        KeyAlgorithm::Rsa4096 => KeyType::Rsa4096,
        KeyAlgorithm::Aes128 => KeyType::Aes128Gcm96,
        KeyAlgorithm::Aes256 => KeyType::Aes256Gcm96,
        KeyAlgorithm::Hmac => KeyType::Hmac,
        KeyAlgorithm::MlDsa44 => KeyType::MlDsa44,
        KeyAlgorithm::MlDsa65 => KeyType::MlDsa65,
        KeyAlgorithm::MlDsa87 => KeyType::MlDsa87,
    }
}

impl Transit {
    /// The key of a version that lives in a token.
    pub(crate) async fn token_key<'k>(&'k self, version: &'k KeyVersion) -> Result<TokenKey<'k>, TransitError> {
        match &version.material {
            Material::Hsm(key) => Ok(TokenKey::Own { hsm: self.hsm()?, key }),
            Material::External(external) => {
                let found = self.resolve(&external.name).await?;
                if found.key.has_material_of(&external.key) {
                    return Ok(TokenKey::External(found));
                }
                let detail = "another key is registered under its name than when the version was made";
                Err(HsmError::KeyMismatch { key: external.shown().to_owned(), detail }.into())
            }
            _ => Err(TransitError::Bug("not a key of a token")),
        }
    }

    async fn resolve(&self, name: &ExternalKeyName) -> Result<Arc<ExternalKey>, TransitError> {
        let Some(keys) = self.external_keys() else {
            return Err(refused("this mount knows no registered keys".to_owned()));
        };
        keys.resolve(name).await.map_err(|error| match error {
            ExternalKeyError::Refused(text) => refused(text),
            ExternalKeyError::Hsm(error) => error.into(),
            other => TransitError::Registry(other.to_string()),
        })
    }

    /// A version that names a registered key, which must be there.
    async fn external_version(&self, name: ExternalKeyName) -> Result<VersionRecord, TransitError> {
        let found = self.resolve(&name).await?;
        let (key, mechanism) = (found.key.clone(), found.mechanism);
        let mac = match key.algorithm {
            KeyAlgorithm::Hmac => None,
            _ => Some(StoredBytes::mac_key()?),
        };
        let external = Box::new(ExternalVersion { name, key, mechanism });
        Ok(VersionRecord::new(self.now(), StoredMaterial::External { external, mac }))
    }

    /// Makes a key whose first version names a registered one, unless there is a key of that name.
    pub(crate) async fn create_external(
        &self,
        name: &str,
        record: KeyRecord,
        external: ExternalKeyName,
    ) -> Result<Arc<Key>, TransitError> {
        let version = self.external_version(external).await?;
        self.storage
            .store()
            .transact("create transit key", || async {
                let mut changes = Changes::default();
                if self.storage.record(name).await?.is_none() {
                    self.storage.create(&mut changes, name, &record, &version)?;
                }
                Ok::<_, TransitError>((changes, ()))
            })
            .await?;
        self.forget_cached(Some(name));
        self.key(name).await?.ok_or(TransitError::NoSuchVersion)
    }

    /// Adds a version that names a registered key, perhaps another than the versions before.
    pub(crate) async fn rotate_external(
        &self,
        name: &str,
        external: ExternalKeyName,
    ) -> Result<Option<Arc<Key>>, TransitError> {
        let version = self.external_version(external).await?;
        self.storage
            .store()
            .transact("rotate transit key", || async {
                let mut changes = Changes::default();
                if let Some(mut stored) = self.storage.record(name).await? {
                    let number = stored.record.add_version(version.created_at)?;
                    self.storage.add_version(&mut changes, name, number, &version)?;
                    self.storage.replace(&mut changes, name, &stored)?;
                }
                Ok::<_, TransitError>((changes, ()))
            })
            .await?;
        self.forget_cached(Some(name));
        self.key(name).await
    }
}
