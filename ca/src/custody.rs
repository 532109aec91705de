//! Where CA keys are kept and who signs with them: the HSM; only where the appliance has none, this process.
//!
//! A key made without an HSM lies in its record, which the store seals like every entry. It is as strong as the seal,
//! and every answer that makes one says so.

use crate::{error::CaError, key::KeyRecord};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::SecretString;
use chancery_hsm::{
    Hsm, HsmError, KeyAlgorithm, KeyId, KeyPurpose, KeyReference, KeySpec, Origin, SignInput, SignScheme,
    TokenIdentity, software::SoftwareKey,
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What an answer says that makes a key outside an HSM.
const SOFTWARE_WARNING: &str = "This server has no HSM: the key is kept in software, sealed in storage. Whoever can unseal the storage can use and copy it.";

/// The warning that belongs to `key`, if any.
pub(crate) fn warning(key: &KeyRecord) -> Option<String> {
    key.private_key.is_some().then(|| SOFTWARE_WARNING.to_owned())
}

/// Keeper of the CA keys of one mount.
pub(crate) struct Custody {
    hsm: Option<Hsm>,
}

impl Custody {
    pub(crate) fn new(hsm: Option<Hsm>) -> Self {
        Self { hsm }
    }

    /// Makes a key pair called `id`; in the HSM where there is one.
    pub(crate) async fn generate(
        &self,
        id: String,
        name: String,
        algorithm: KeyAlgorithm,
    ) -> Result<KeyRecord, CaError> {
        if let Some(hsm) = &self.hsm {
            let reference = hsm.generate(KeySpec::new(algorithm, KeyPurpose::Sign, format!("pki/{id}"))).await?;
            return Ok(KeyRecord { id, name, reference, private_key: None });
        }
        let key = tokio::task::spawn_blocking(move || SoftwareKey::generate(algorithm)).await??;
        let token = TokenIdentity {
            label: "software".to_owned(),
            serial: String::new(),
            manufacturer: String::new(),
            model: String::new(),
        };
        let reference = KeyReference {
            token,
            id: KeyId::new(id.as_bytes().to_vec()),
            algorithm,
            public_key: key.public_key_der().map(<[u8]>::to_vec),
            check_value: None,
            origin: Origin::Own,
        };
        let private_key = Some(SecretString::new(STANDARD.encode(&*key.to_bytes()?)));
        Ok(KeyRecord { id, name, reference, private_key })
    }

    /// A signature by `key`, checked against its public half before it is handed out.
    pub(crate) async fn sign(&self, key: &KeyRecord, scheme: SignScheme, input: SignInput) -> Result<Vec<u8>, CaError> {
        let Some(text) = &key.private_key else {
            return Ok(self.hsm(key)?.sign(&key.reference, scheme, input).await?);
        };
        let bytes = Zeroizing::new(STANDARD.decode(text.expose()).map_err(|error| corrupt(key, error))?);
        let private = SoftwareKey::from_bytes(key.reference.algorithm, &bytes)?;
        let public = key.reference.public_key.clone().unwrap_or_default();
        let signed = tokio::task::spawn_blocking(move || {
            let signature = private.sign(scheme, &input)?;
            chancery_hsm::verify(&public, scheme, &input, &signature).map(|genuine| genuine.then_some(signature))
        });
        signed.await??.ok_or_else(|| corrupt(key, "its signatures do not verify under its public key"))
    }

    /// Destroys the key wherever it is; a software key goes with its record. One that the token does not know is done:
    /// a crash may have come between destroying it and recording that.
    pub(crate) async fn destroy(&self, key: &KeyRecord) -> Result<(), CaError> {
        if key.private_key.is_some() {
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
        let custody = Custody::new(None);
        let key = custody.generate("a".to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap();
        assert!(!format!("{key:?}").contains(key.private_key.as_ref().unwrap().expose()));
        let stored = serde_json::from_slice::<KeyRecord>(&serde_json::to_vec(&key).unwrap()).unwrap();
        let (scheme, input) = (SignScheme::Ecdsa(HashAlgorithm::Sha256), SignInput::Message(b"tbs".to_vec()));
        let signature = custody.sign(&stored, scheme, input.clone()).await.unwrap();
        assert!(chancery_hsm::verify(key.reference.public_key.as_ref().unwrap(), scheme, &input, &signature).unwrap());
    }

    #[tokio::test]
    async fn a_record_whose_halves_do_not_match_signs_nothing() {
        let custody = Custody::new(None);
        let mut key = custody.generate("a".to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap();
        let other = custody.generate("b".to_owned(), String::new(), KeyAlgorithm::EcP256).await.unwrap();
        key.reference.public_key = other.reference.public_key;
        let input = SignInput::Message(b"tbs".to_vec());
        assert!(custody.sign(&key, SignScheme::Ecdsa(HashAlgorithm::Sha256), input).await.is_err());
    }

    #[tokio::test]
    async fn destroying_goes_on_behind_a_key_that_is_gone_already() {
        let hsm = Hsm::software();
        let custody = Custody::new(Some(hsm.clone()));
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
        let key = Custody::new(Some(Hsm::software()))
            .generate("a".to_owned(), String::new(), KeyAlgorithm::EcP256)
            .await
            .unwrap();
        assert!(key.private_key.is_none());
        let input = SignInput::Message(b"tbs".to_vec());
        let error = Custody::new(None).sign(&key, SignScheme::Ecdsa(HashAlgorithm::Sha256), input).await.unwrap_err();
        assert!(error.to_string().contains("no HSM is configured"), "{error}");
    }
}
