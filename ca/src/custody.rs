//! Where CA keys are kept and who signs with them: the HSM; this process only where the HSM cannot or must not.
//!
//! A key outside the HSM lies in its record, which the store seals like every entry: one that was imported or exported,
//! one of a type no token makes (ML-DSA), and any where the appliance has no HSM. It is as strong as the seal, and every
//! answer that makes one says so. A key that the operator registered (`kms`) stays where it is and is asked for by name.

use crate::{error::CaError, key::KeyRecord, private_key::PrivateKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_hsm::{
    ExternalKey, ExternalKeyError, ExternalKeyName, ExternalKeys, Hsm, HsmError, KeyAlgorithm, KeyId, KeyPurpose,
    KeyReference, KeySpec, Origin, SignInput, SignScheme, TokenIdentity, software::SoftwareKey,
};
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};
use zeroize::Zeroizing;

/// Why a key does not live in the HSM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outside {
    /// The caller got its private half.
    Exported,
    /// Somebody sent it.
    Imported,
    /// It was made here, and there is no HSM, or none that makes such keys.
    Made,
}

/// The warning that belongs to a key that was just made or imported, if any.
pub(crate) fn warning(key: &KeyRecord, why: Outside) -> Option<String> {
    key.private_key.as_ref()?;
    let text = match why {
        Outside::Exported => {
            "The private key was handed out, so it is not in the HSM: it is kept in software, sealed in storage, and whoever holds this answer can sign in this CA's name. Use \"internal\" for a key that never leaves the HSM."
        }
        Outside::Imported => {
            "An imported private key is not in the HSM: it is kept in software, sealed in storage, and whoever held it before can still sign in this CA's name. Destroy every other copy, or rotate to a key generated in the HSM."
        }
        Outside::Made if key.reference.algorithm.is_ml_dsa() => {
            "Keys of this type are not made in the HSM: the key is kept in software, sealed in storage. Whoever can unseal the storage can use and copy it."
        }
        Outside::Made => {
            "This server has no HSM: the key is kept in software, sealed in storage. Whoever can unseal the storage can use and copy it."
        }
    };
    Some(text.to_owned())
}

/// Keeper of the CA keys of one mount.
pub(crate) struct Custody {
    hsm: Option<Hsm>,
    external: Option<Arc<dyn ExternalKeys>>,
    /// Keys of records, read once: reading an RSA key costs more than signing with it.
    opened: RwLock<HashMap<String, Arc<SoftwareKey>>>,
}

impl Custody {
    pub(crate) fn new(hsm: Option<Hsm>, external: Option<Arc<dyn ExternalKeys>>) -> Self {
        Self { hsm, external, opened: RwLock::default() }
    }

    /// Forgets the keys that were read: they must not outlive an unsealed store.
    pub(crate) fn forget(&self) {
        self.opened.write().clear();
    }

    /// Makes a key pair called `id`; in the HSM where there is one that can.
    pub(crate) async fn generate(
        &self,
        id: String,
        name: String,
        algorithm: KeyAlgorithm,
    ) -> Result<KeyRecord, CaError> {
        match &self.hsm {
            Some(hsm) if !algorithm.is_ml_dsa() => {
                let reference = hsm.generate(KeySpec::new(algorithm, KeyPurpose::Sign, format!("pki/{id}"))).await?;
                Ok(KeyRecord { id, name, reference, private_key: None, external: None })
            }
            _ => Ok(Self::keep(id, name, &PrivateKey::generate(algorithm).await?)),
        }
    }

    /// A record that holds `key` itself.
    pub(crate) fn keep(id: String, name: String, key: &PrivateKey) -> KeyRecord {
        let token = TokenIdentity {
            label: "software".to_owned(),
            serial: String::new(),
            manufacturer: String::new(),
            model: String::new(),
        };
        let reference = KeyReference {
            token,
            id: KeyId::new(id.as_bytes().to_vec()),
            algorithm: key.algorithm(),
            public_key: Some(key.public_key().der().to_vec()),
            check_value: None,
            origin: Origin::Own,
        };
        KeyRecord { id, name, reference, private_key: Some(key.to_stored()), external: None }
    }

    /// A record that names a key the operator registered.
    pub(crate) async fn register(
        &self,
        id: String,
        name: String,
        external: ExternalKeyName,
    ) -> Result<KeyRecord, CaError> {
        let found = self.resolve(&external).await?;
        let reference = found.key.clone();
        if reference.public_key.is_none() {
            return Err(CaError::Caller(format!("a key of type {} cannot sign certificates", reference.algorithm)));
        }
        Ok(KeyRecord { id, name, reference, private_key: None, external: Some(external) })
    }

    async fn resolve(&self, name: &ExternalKeyName) -> Result<Arc<ExternalKey>, CaError> {
        let keys = self.external.as_ref().ok_or_else(|| CaError::caller("this mount knows no registered keys"))?;
        keys.resolve(name).await.map_err(|error| match error {
            ExternalKeyError::Refused(text) => CaError::Caller(text),
            ExternalKeyError::Hsm(error) => error.into(),
            other => CaError::Fault(chancery_engine::Fault::Dependency(other.to_string())),
        })
    }

    /// Whether keys in the HSM can be used right now.
    pub(crate) fn is_ready(&self) -> bool {
        self.hsm.as_ref().is_none_or(|hsm| hsm.status().is_ready())
    }

    /// A signature by `key`, checked against its public half before it is handed out.
    pub(crate) async fn sign(&self, key: &KeyRecord, scheme: SignScheme, input: SignInput) -> Result<Vec<u8>, CaError> {
        if let Some(name) = &key.external {
            let found = self.resolve(name).await?;
            if !found.key.has_material_of(&key.reference) {
                let detail = "another key is registered under its name than when the record was made";
                return Err(HsmError::KeyMismatch { key: key.id.clone(), detail }.into());
            }
            return Ok(found.hsm.sign(&found.key, scheme, input).await?);
        }
        if key.private_key.is_none() {
            return Ok(self.hsm(key)?.sign(&key.reference, scheme, input).await?);
        }
        let private = self.open(key).await?;
        let public = key.reference.public_key.clone().unwrap_or_default();
        let sign = move || {
            let signature = private.sign(scheme, &input)?;
            chancery_hsm::verify(&public, scheme, &input, &signature).map(|genuine| genuine.then_some(signature))
        };
        // Only RSA takes long enough to be in the way of others.
        let signed = if key.reference.algorithm.is_rsa() { tokio::task::spawn_blocking(sign).await? } else { sign() };
        signed?.ok_or_else(|| corrupt(key, "its signatures do not verify under its public key"))
    }

    /// The private half of a record.
    async fn open(&self, key: &KeyRecord) -> Result<Arc<SoftwareKey>, CaError> {
        if let Some(opened) = self.opened.read().get(&key.id)
            && opened.public_key_der() == key.reference.public_key.as_deref()
        {
            return Ok(Arc::clone(opened));
        }
        let text = key.private_key.clone().ok_or_else(|| corrupt(key, "it holds no private half"))?;
        let algorithm = key.reference.algorithm;
        let read = tokio::task::spawn_blocking(move || {
            let bytes = Zeroizing::new(STANDARD.decode(text.expose()).ok()?);
            SoftwareKey::from_bytes(algorithm, &bytes).ok()
        });
        let opened = Arc::new(read.await?.ok_or_else(|| corrupt(key, "its private half does not parse"))?);
        self.opened.write().insert(key.id.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    /// Destroys the key wherever it is; a software key goes with its record, a registered one is not ours to destroy. One
    /// that the token does not know is done: a crash may have come between destroying it and recording that.
    pub(crate) async fn destroy(&self, key: &KeyRecord) -> Result<(), CaError> {
        self.opened.write().remove(&key.id);
        if key.private_key.is_some() || key.external.is_some() {
            return Ok(());
        }
        match self.hsm(key)?.destroy(&key.reference).await {
            Err(error @ HsmError::KeyNotFound { .. }) => {
                tracing::warn!(key = key.id, %error, "a key to be destroyed is not in the token");
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    /// Destroys every one of the keys that can be destroyed.
    pub(crate) async fn destroy_all(&self, keys: impl IntoIterator<Item = &Arc<KeyRecord>>) -> Result<(), CaError> {
        let mut failure = None;
        for key in keys {
            failure = failure.or(self.destroy(key).await.err());
        }
        failure.map_or(Ok(()), Err)
    }

    fn hsm(&self, key: &KeyRecord) -> Result<&Hsm, CaError> {
        self.hsm.as_ref().ok_or_else(|| {
            CaError::Caller(format!("key {} lives on token {}, and no HSM is configured", key.id, key.reference.token))
        })
    }
}

fn corrupt(key: &KeyRecord, why: impl std::fmt::Display) -> CaError {
    CaError::corrupt(format!("key {}", key.id), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_hsm::HashAlgorithm;

    #[tokio::test]
    async fn without_an_hsm_a_key_lives_in_its_record_and_signs() {
        let custody = Custody::new(None, None);
        let key = custody.generate("a".to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap();
        assert!(!format!("{key:?}").contains(key.private_key.as_ref().unwrap().expose()));
        let stored = serde_json::from_slice::<KeyRecord>(&serde_json::to_vec(&key).unwrap()).unwrap();
        let (scheme, input) = (SignScheme::Ecdsa(HashAlgorithm::Sha256), SignInput::Message(b"tbs".to_vec()));
        let signature = custody.sign(&stored, scheme, input.clone()).await.unwrap();
        assert!(chancery_hsm::verify(key.reference.public_key.as_ref().unwrap(), scheme, &input, &signature).unwrap());
    }

    #[tokio::test]
    async fn a_record_whose_halves_do_not_match_signs_nothing() {
        let custody = Custody::new(None, None);
        let mut key = custody.generate("a".to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap();
        let other = custody.generate("b".to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap();
        key.reference.public_key = other.reference.public_key;
        let input = SignInput::Message(b"tbs".to_vec());
        assert!(custody.sign(&key, SignScheme::Ecdsa(HashAlgorithm::Sha256), input).await.is_err());
    }

    #[tokio::test]
    async fn destroying_goes_on_behind_a_key_that_is_gone_already() {
        let hsm = Hsm::software();
        let custody = Custody::new(Some(hsm.clone()), None);
        let mut keys = Vec::new();
        for id in ["a", "b"] {
            keys.push(Arc::new(custody.generate(id.to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap()));
        }
        hsm.destroy(&keys[0].reference).await.unwrap();
        custody.destroy_all(&keys).await.unwrap();
        assert!(hsm.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_key_of_a_token_is_not_looked_for_where_there_is_no_hsm() {
        let key = Custody::new(Some(Hsm::software()), None)
            .generate("a".to_owned(), String::new(), KeyAlgorithm::EcP256)
            .await
            .unwrap();
        assert!(key.private_key.is_none());
        let input = SignInput::Message(b"tbs".to_vec());
        let error =
            Custody::new(None, None).sign(&key, SignScheme::Ecdsa(HashAlgorithm::Sha256), input).await.unwrap_err();
        assert!(error.to_string().contains("no HSM is configured"), "{error}");
    }

    #[tokio::test]
    async fn a_key_no_token_makes_lives_in_its_record_and_one_that_was_read_is_forgotten() {
        let custody = Custody::new(Some(Hsm::software()), None);
        let key = custody.generate("a".to_owned(), String::new(), KeyAlgorithm::MlDsa44).await.unwrap();
        assert!(warning(&key, Outside::Made).unwrap().contains("not made in the HSM"));
        let input = SignInput::Message(b"tbs".to_vec());
        let signature = custody.sign(&key, SignScheme::MlDsa, input.clone()).await.unwrap();
        let public = key.reference.public_key.as_ref().unwrap();
        assert!(chancery_hsm::verify(public, SignScheme::MlDsa, &input, &signature).unwrap());
        assert_eq!(custody.opened.read().len(), 1);
        custody.forget();
        assert!(custody.opened.read().is_empty());
    }
}
