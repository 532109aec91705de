//! Where CA keys are kept and who signs with them: the HSM; only where the appliance has none, or where an operator
//! brings a key of his own, this process.
//!
//! A key outside the HSM lies in its record, which the store seals like every entry. It is as strong as the seal, and
//! every answer that makes one says so.

use crate::error::SshError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::SecretString;
use chancery_hsm::{
    Hsm, HsmError, KeyAlgorithm, KeyId, KeyPurpose, KeyReference, KeySpec, Origin, SignInput, SignScheme,
    TokenIdentity, software::SoftwareKey,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const NO_HSM: &str = "This server has no HSM: the key is kept in software, sealed in storage. Whoever can unseal the storage can use and copy it.";
const IMPORTED: &str = "The key was brought from outside: it is kept in software, sealed in storage, because a key that was outside cannot become one that never left the HSM. Rotate to a key that is generated here.";

/// A CA key as it is stored: with an HSM everything but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaKey {
    /// Where the key is.
    pub reference: KeyReference,
    /// The private half (PKCS#8, base64) where it is not in the HSM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<SecretString>,
}

/// Keeper of the CA keys of one mount.
pub(crate) struct Custody {
    hsm: Option<Hsm>,
}

impl Custody {
    pub(crate) fn new(hsm: Option<Hsm>) -> Self {
        Self { hsm }
    }

    /// The warning that belongs to `key`, if any.
    pub(crate) fn warning(&self, key: &CaKey) -> Option<String> {
        key.private_key.as_ref().map(|_| if self.hsm.is_some() { IMPORTED } else { NO_HSM }.to_owned())
    }

    /// Makes a key pair called `id`; in the HSM where there is one.
    pub(crate) async fn generate(&self, id: &str, algorithm: KeyAlgorithm) -> Result<CaKey, SshError> {
        if let Some(hsm) = &self.hsm {
            let reference = hsm.generate(KeySpec::new(algorithm, KeyPurpose::Sign, format!("ssh/{id}"))).await?;
            return Ok(CaKey { reference, private_key: None });
        }
        let key = tokio::task::spawn_blocking(move || SoftwareKey::generate(algorithm)).await??;
        in_record(id, &key)
    }

    /// Takes a key that was made elsewhere: PKCS#8 in DER.
    pub(crate) fn import(id: &str, algorithm: KeyAlgorithm, pkcs8: &[u8]) -> Result<CaKey, SshError> {
        in_record(id, &SoftwareKey::from_bytes(algorithm, pkcs8)?)
    }

    /// A signature by `key`, checked against its public half before it is handed out.
    pub(crate) async fn sign(&self, key: &CaKey, scheme: SignScheme, message: Vec<u8>) -> Result<Vec<u8>, SshError> {
        let input = SignInput::Message(message);
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

    /// Destroys the key wherever it is; one in a record goes with it. One that the token does not know is done: a crash
    /// may have come between destroying it and recording that.
    pub(crate) async fn destroy(&self, key: &CaKey) -> Result<(), SshError> {
        if key.private_key.is_some() {
            return Ok(());
        }
        match self.hsm(key)?.destroy(&key.reference).await {
            Err(error @ HsmError::KeyNotFound { .. }) => {
                tracing::warn!(key = %key.reference, %error, "a key to be destroyed is not in the token");
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    fn hsm(&self, key: &CaKey) -> Result<&Hsm, SshError> {
        self.hsm.as_ref().ok_or_else(|| {
            SshError::Caller(format!("the CA's key lives on token {}, and no HSM is configured", key.reference.token))
        })
    }
}

fn in_record(id: &str, key: &SoftwareKey) -> Result<CaKey, SshError> {
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
        public_key: key.public_key_der().map(<[u8]>::to_vec),
        check_value: None,
        origin: Origin::Own,
    };
    Ok(CaKey { reference, private_key: Some(SecretString::new(STANDARD.encode(&*key.to_bytes()?))) })
}

fn corrupt(key: &CaKey, why: impl std::fmt::Display) -> SshError {
    SshError::corrupt(format!("CA key {}", key.reference.id), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_hsm::HashAlgorithm;

    const SCHEME: SignScheme = SignScheme::Ecdsa(HashAlgorithm::Sha256);

    #[tokio::test]
    async fn without_an_hsm_a_key_lives_in_its_record_and_signs() {
        let custody = Custody::new(None);
        let key = custody.generate("a", KeyAlgorithm::EcP256).await.unwrap();
        assert!(custody.warning(&key).unwrap().contains("no HSM"));
        assert!(!format!("{key:?}").contains(key.private_key.as_ref().unwrap().expose()));
        let stored = serde_json::from_slice::<CaKey>(&serde_json::to_vec(&key).unwrap()).unwrap();
        let signature = custody.sign(&stored, SCHEME, b"tbs".to_vec()).await.unwrap();
        let input = SignInput::Message(b"tbs".to_vec());
        assert!(chancery_hsm::verify(key.reference.public_key.as_ref().unwrap(), SCHEME, &input, &signature).unwrap());
    }

    #[tokio::test]
    async fn a_record_whose_halves_do_not_match_signs_nothing() {
        let custody = Custody::new(None);
        let mut key = custody.generate("a", KeyAlgorithm::EcP256).await.unwrap();
        key.reference.public_key = custody.generate("b", KeyAlgorithm::EcP256).await.unwrap().reference.public_key;
        assert!(custody.sign(&key, SCHEME, b"tbs".to_vec()).await.is_err());
    }

    #[tokio::test]
    async fn with_an_hsm_nothing_of_the_key_is_in_its_record() {
        let hsm = Hsm::software();
        let custody = Custody::new(Some(hsm.clone()));
        let key = custody.generate("a", KeyAlgorithm::EcP256).await.unwrap();
        assert_eq!((key.private_key.is_none(), custody.warning(&key)), (true, None));
        let refused = Custody::new(None).sign(&key, SCHEME, b"tbs".to_vec()).await.unwrap_err();
        assert!(refused.to_string().contains("no HSM is configured"), "{refused}");
        custody.destroy(&key).await.unwrap();
        custody.destroy(&key).await.unwrap();
        assert!(hsm.list().await.unwrap().is_empty());
    }
}
