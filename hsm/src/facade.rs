//! [`Hsm`]: the one way to use keys in a token.
//!
//! Each call checks the capability table, sends one [`Command`] to the provider and waits for its [`Reply`]. The
//! facade holds no key, handle or session.

use std::sync::Arc;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    AeadSealed, Capabilities, HsmError, KeyAttributes, KeyReference, KeySearch, KeySpec, KeySummary, MacAlgorithm,
    Need, Pkcs11Config, RsaPadding, SignInput, SignScheme, TokenIdentity,
    command::{Command, Reply, WRONG_REPLY},
    pkcs11::Pkcs11Token,
    software::token::SoftwareToken,
};

/// The longest answer of [`Hsm::random`].
pub const MAX_RANDOM_BYTES: usize = 1 << 20;

/// A token in use. Clones share it.
#[derive(Clone)]
pub struct Hsm {
    provider: Provider,
}

#[derive(Clone)]
enum Provider {
    Software(Arc<SoftwareToken>),
    Pkcs11(Arc<Pkcs11Token>),
}

impl Hsm {
    /// Loads a PKCS#11 module, finds the token, logs in once and tries out what the token can do.
    ///
    /// # Errors
    ///
    /// Every reason why the token cannot be used, as [`HsmError`]; a wrong PIN was tried exactly once.
    pub async fn open(config: Pkcs11Config) -> Result<Self, HsmError> {
        let opened = tokio::task::spawn_blocking(move || Pkcs11Token::open(config)).await;
        let token = opened.map_err(|_| HsmError::Internal { detail: "opening the token panicked" })??;
        Ok(Self { provider: Provider::Pkcs11(Arc::new(token)) })
    }

    /// A token in memory with the same interface, for tests. Keys vanish with the last clone.
    #[must_use]
    pub fn software() -> Self {
        Self { provider: Provider::Software(Arc::new(SoftwareToken::new())) }
    }

    /// What the provider can do, as found by trying.
    #[must_use]
    pub fn capabilities(&self) -> Arc<Capabilities> {
        match &self.provider {
            Provider::Software(token) => token.capabilities(),
            Provider::Pkcs11(token) => token.capabilities(),
        }
    }

    /// The token's identity.
    #[must_use]
    pub fn token(&self) -> TokenIdentity {
        match &self.provider {
            Provider::Software(token) => token.identity(),
            Provider::Pkcs11(token) => token.identity().clone(),
        }
    }

    /// Health and load, for metrics and readiness.
    #[must_use]
    pub fn status(&self) -> HsmStatus {
        match &self.provider {
            Provider::Software(_) => HsmStatus::always_ready(),
            Provider::Pkcs11(token) => token.status(),
        }
    }

    /// Makes a key in the token. Its protection is read back; a key that could leave the token is destroyed and refused.
    ///
    /// # Errors
    ///
    /// [`HsmError::NotSupported`] if the token makes no such keys.
    pub async fn generate(&self, spec: KeySpec) -> Result<KeyReference, HsmError> {
        spec.check()?;
        if let Some(given) = &spec.given {
            given.check()?;
        }
        self.capabilities().require(&Need::Generate(spec.algorithm))?;
        match self.execute(Command::Generate(spec)).await? {
            Reply::Key(key) => Ok(key),
            _ => Err(WRONG_REPLY),
        }
    }

    /// Finds a key that others made, by what an operator knows of it. Never one of the appliance's own.
    ///
    /// # Errors
    ///
    /// [`HsmError::KeyNotFound`] if there is none, [`HsmError::KeyMismatch`] if there are several,
    /// [`HsmError::NotSupported`] if it is of a kind we cannot use.
    pub async fn find(&self, search: KeySearch) -> Result<KeyReference, HsmError> {
        search.check()?;
        match self.execute(Command::Find(search)).await? {
            Reply::Key(key) => Ok(key),
            _ => Err(WRONG_REPLY),
        }
    }

    /// Signs. The signature is verified in software before it is returned; ECDSA comes as DER `Ecdsa-Sig-Value`.
    ///
    /// # Errors
    ///
    /// [`HsmError::BadSignature`] if the token signed with another key or wrongly.
    pub async fn sign(&self, key: &KeyReference, scheme: SignScheme, input: SignInput) -> Result<Vec<u8>, HsmError> {
        scheme.check(key.algorithm)?;
        let need = Need::Sign(key.algorithm, scheme);
        self.require(key, &need)?;
        self.bytes(Command::Sign { key: key.clone(), scheme, input }).await.map_err(|error| need.named_in(error))
    }

    /// Encrypts with AES-GCM.
    ///
    /// # Errors
    ///
    /// [`HsmError::NotSupported`] on tokens without AES-GCM.
    pub async fn encrypt(&self, key: &KeyReference, aad: &[u8], plaintext: &[u8]) -> Result<AeadSealed, HsmError> {
        let need = Need::Aead(key.algorithm);
        self.require(key, &need)?;
        let plaintext = Zeroizing::new(plaintext.to_vec());
        match self.execute(Command::Encrypt { key: key.clone(), aad: aad.to_vec(), plaintext }).await {
            Ok(Reply::Sealed(sealed)) => Ok(sealed),
            Ok(_) => Err(WRONG_REPLY),
            Err(error) => Err(need.named_in(error)),
        }
    }

    /// Decrypts what [`Hsm::encrypt`] made.
    ///
    /// # Errors
    ///
    /// [`HsmError::BadData`] if it does not authenticate.
    pub async fn decrypt(
        &self,
        key: &KeyReference,
        aad: &[u8],
        sealed: &AeadSealed,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let need = Need::Aead(key.algorithm);
        self.require(key, &need)?;
        let command = Command::Decrypt { key: key.clone(), aad: aad.to_vec(), sealed: sealed.clone() };
        self.secret(command).await.map_err(|error| need.named_in(error))
    }

    /// Decrypts with an RSA key what [`crate::software::rsa_encrypt`] made.
    ///
    /// # Errors
    ///
    /// [`HsmError::BadData`] if the padding is wrong.
    pub async fn rsa_decrypt(
        &self,
        key: &KeyReference,
        padding: RsaPadding,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        if !key.algorithm.is_rsa() {
            return Err(HsmError::invalid(format!("a key of type {} cannot decrypt with {padding}", key.algorithm)));
        }
        let need = Need::RsaDecrypt(padding);
        self.require(key, &need)?;
        let command = Command::RsaDecrypt { key: key.clone(), padding, ciphertext: ciphertext.to_vec() };
        self.secret(command).await.map_err(|error| need.named_in(error))
    }

    /// Makes an HMAC.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] if the key was not made for it.
    pub async fn mac(&self, key: &KeyReference, algorithm: MacAlgorithm, data: &[u8]) -> Result<Vec<u8>, HsmError> {
        let need = Need::Mac(algorithm);
        self.require(key, &need)?;
        let command = Command::Mac { key: key.clone(), algorithm, data: data.to_vec() };
        self.bytes(command).await.map_err(|error| need.named_in(error))
    }

    /// Random bytes: the token's mixed with the operating system's, so that either alone suffices.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] above [`MAX_RANDOM_BYTES`].
    pub async fn random(&self, bytes: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        if bytes > MAX_RANDOM_BYTES {
            return Err(HsmError::invalid(format!("at most {MAX_RANDOM_BYTES} random bytes at a time")));
        }
        self.secret(Command::Random { bytes }).await
    }

    /// Destroys a key.
    ///
    /// # Errors
    ///
    /// [`HsmError::KeyNotFound`] if there is no such key.
    pub async fn destroy(&self, key: &KeyReference) -> Result<(), HsmError> {
        match self.execute(Command::Destroy { key: key.clone() }).await? {
            Reply::Done => Ok(()),
            _ => Err(WRONG_REPLY),
        }
    }

    /// The protection the token reports for a key.
    ///
    /// # Errors
    ///
    /// [`HsmError::KeyNotFound`] if there is no such key.
    pub async fn attributes(&self, key: &KeyReference) -> Result<KeyAttributes, HsmError> {
        match self.execute(Command::Attributes { key: key.clone() }).await? {
            Reply::Attributes(attributes) => Ok(attributes),
            _ => Err(WRONG_REPLY),
        }
    }

    /// Our own keys on the token, told by the label's prefix; for people, never to find a key to use.
    ///
    /// # Errors
    ///
    /// Whatever keeps the token from answering.
    pub async fn list(&self) -> Result<Vec<KeySummary>, HsmError> {
        match self.execute(Command::List).await? {
            Reply::Keys(keys) => Ok(keys),
            _ => Err(WRONG_REPLY),
        }
    }

    /// Stops taking work; what is queued still runs. Returns at once.
    pub fn close(&self) {
        if let Provider::Pkcs11(token) = &self.provider {
            token.close();
        }
    }

    /// Stops taking work, waits for what is queued, closes the sessions and finalises the module.
    pub async fn shutdown(&self) {
        if let Provider::Pkcs11(token) = &self.provider {
            let token = Arc::clone(token);
            // A panic in there has already been reported; there is nothing left to close.
            let _ = tokio::task::spawn_blocking(move || token.shutdown()).await;
        }
    }

    /// What the token was found able to do holds for keys as we make them. A key that others made may be usable on a
    /// token that refused our trials (a partition where we may make nothing), so there the token itself is asked.
    fn require(&self, key: &KeyReference, need: &Need) -> Result<(), HsmError> {
        if key.origin.is_own() { self.capabilities().require(need) } else { Ok(()) }
    }

    async fn bytes(&self, command: Command) -> Result<Vec<u8>, HsmError> {
        match self.execute(command).await? {
            Reply::Bytes(bytes) => Ok(bytes),
            _ => Err(WRONG_REPLY),
        }
    }

    async fn secret(&self, command: Command) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        match self.execute(command).await? {
            Reply::Secret(secret) => Ok(secret),
            _ => Err(WRONG_REPLY),
        }
    }

    async fn execute(&self, command: Command) -> Result<Reply, HsmError> {
        if let Some(key) = command.key() {
            let here = self.token();
            if !key.token.is_same_token(&here) {
                return Err(HsmError::WrongToken { expected: key.token.to_string(), found: here.to_string() });
            }
        }
        match &self.provider {
            Provider::Pkcs11(token) => token.execute(command).await,
            Provider::Software(token) if matches!(&command, Command::Generate(spec) if spec.algorithm.is_rsa()) => {
                let token = Arc::clone(token);
                let made = tokio::task::spawn_blocking(move || token.execute(command)).await;
                made.map_err(|_| HsmError::Internal { detail: "key generation panicked" })?
            }
            Provider::Software(token) => token.execute(command),
        }
    }
}

impl std::fmt::Debug for Hsm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hsm").field("token", &self.token()).finish_non_exhaustive()
    }
}

/// Whether the token can be used right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "phase", content = "reason")]
pub enum HsmPhase {
    /// Work is done.
    Ready,
    /// The token was lost; work is refused until it is back.
    Reconnecting(String),
    /// The token refused our credentials; an operator must act.
    Latched(String),
    /// Shut down.
    Closed,
}

/// Health and load of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HsmStatus {
    /// Whether it can be used.
    #[serde(flatten)]
    pub phase: HsmPhase,
    /// Sessions open now.
    pub sessions: usize,
    /// Sessions the configuration asks for.
    pub sessions_configured: usize,
    /// Commands waiting.
    pub queue_depth: usize,
    /// Commands that may wait.
    pub queue_capacity: usize,
    /// How often the connection was rebuilt.
    pub reconnects: u64,
    /// Commands answered well.
    pub succeeded: u64,
    /// Commands answered with an error.
    pub failed: u64,
}

impl HsmStatus {
    fn always_ready() -> Self {
        Self {
            phase: HsmPhase::Ready,
            sessions: 1,
            sessions_configured: 1,
            queue_depth: 0,
            queue_capacity: 0,
            reconnects: 0,
            succeeded: 0,
            failed: 0,
        }
    }

    /// Whether work is done right now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == HsmPhase::Ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_says_its_phase_and_why() {
        let mut status = HsmStatus::always_ready();
        assert_eq!(serde_json::to_value(&status).unwrap()["phase"], "ready");
        status.phase = HsmPhase::Latched("CKR_PIN_INCORRECT".into());
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!((&json["phase"], &json["reason"]), (&"latched".into(), &"CKR_PIN_INCORRECT".into()));
    }

    #[tokio::test]
    async fn too_many_random_bytes_are_refused() {
        assert!(Hsm::software().random(MAX_RANDOM_BYTES + 1).await.unwrap_err().is_caller_fault());
    }
}
