//! Password hashes: bcrypt, off the async threads, at most as many at a time as there are processors.

use chancery_engine::{Fault, SecretString};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OnceCell, Semaphore};

/// bcrypt's cost factor, as Vault uses it.
const COST: u32 = 10;
/// Longest password bcrypt looks at; a longer one is refused, not cut.
const MAX_BYTES: usize = 72;
/// Logins that may wait for a processor.
const MAX_WAITING: usize = 256;

/// Hashes and checks passwords.
#[derive(Debug)]
pub(super) struct Hasher {
    processors: Arc<Semaphore>,
    waiting: Semaphore,
    /// The hash that the password of an unknown user is checked against.
    dummy: OnceCell<String>,
}

impl Default for Hasher {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            processors: Arc::new(Semaphore::new(processors)),
            waiting: Semaphore::new(MAX_WAITING),
            dummy: OnceCell::new(),
        }
    }
}

impl Hasher {
    /// The hash to store.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String, Fault> {
        if password.expose().len() > MAX_BYTES {
            return Err(Fault::caller("bcrypt: password length exceeds 72 bytes"));
        }
        self.run(move || bcrypt::hash(password.expose(), COST)).await
    }

    /// Whether the password belongs to `hash`. Without a hash the work is the same and the answer no.
    pub(super) async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool, Fault> {
        let dummy = self.dummy.get_or_try_init(|| self.hash(SecretString::new(crate::random::uuid()))).await?;
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| dummy.clone());
        // A password that is too long was never stored; bcrypt gets its first bytes, so that the time does not tell.
        let fits = password.expose().len() <= MAX_BYTES;
        let matches = self
            .run(move || {
                let bytes = password.expose().as_bytes();
                bcrypt::verify(bytes.get(..MAX_BYTES).unwrap_or(bytes), &hash)
            })
            .await?;
        Ok(matches && is_known && fits)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Result<T, Fault> {
        let busy = |_| Fault::Busy { retry_after: Duration::from_secs(1) };
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        let processor = Arc::clone(&self.processors)
            .acquire_owned()
            .await
            .map_err(|_| Fault::Bug("the hasher is closed".to_owned()))?;
        let worked = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(processor);
            outcome
        });
        worked
            .await
            .map_err(|error| Fault::Bug(format!("hashing: {error}")))?
            .map_err(|error| Fault::Dependency(format!("bcrypt: {error}")))
    }
}

/// A hash that a client made itself.
pub(super) fn checked_hash(hash: String) -> Result<String, Fault> {
    let is_valid = hash.len() == 60 && bcrypt::verify("", &hash).is_ok();
    if is_valid { Ok(hash) } else { Err(Fault::caller("password_hash is not a valid bcrypt hash")) }
}
