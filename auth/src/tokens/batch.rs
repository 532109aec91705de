//! Batch tokens: everything about the token is sealed inside it, nothing is stored, so it can neither be renewed nor
//! revoked. It dies at its end or with its parent.

use super::{Tokens, record::seconds_between};
use crate::random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_engine::{Fault, SecretString};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest token looked at.
pub(super) const MAX_BYTES: usize = 8192;
const PREFIX: &str = "hvb.";
const NONCE_BYTES: usize = 12;
const PURPOSE: &[u8] = b"chancery batch token 1";

/// What is sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BatchToken {
    pub(crate) policies: Vec<String>,
    pub(crate) path: String,
    pub(crate) display_name: String,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) issued: Timestamp,
    pub(crate) ttl: u64,
    pub(crate) expires: Timestamp,
    pub(crate) parent: Option<String>,
    pub(crate) bound_cidrs: Vec<String>,
    pub(crate) entity_id: String,
    pub(crate) role: String,
}

/// Whether the text has the form of a batch token.
pub(crate) fn is_batch(token: &SecretString) -> bool {
    token.expose().starts_with(PREFIX)
}

impl BatchToken {
    pub(crate) fn ttl_left(&self, now: Timestamp) -> u64 {
        seconds_between(now, self.expires)
    }
}

impl Tokens {
    /// Seals a batch token.
    pub(super) async fn seal_batch(&self, batch: &BatchToken) -> Result<SecretString, Fault> {
        let mut nonce = [0; NONCE_BYTES];
        random::fill(&mut nonce)?;
        let mut sealed = serde_json::to_vec(batch).map_err(|error| Fault::Bug(format!("batch token: {error}")))?;
        self.batch_key()
            .await?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PURPOSE), &mut sealed)
            .map_err(|_| Fault::Bug("batch token does not seal".to_owned()))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()));
        if token.len() > MAX_BYTES {
            return Err(Fault::caller("batch token is too large"));
        }
        Ok(SecretString::new(token))
    }

    /// Opens a batch token; `None` if it is not ours, over, or its parent is gone.
    pub(crate) async fn open_batch(&self, token: &SecretString) -> Result<Option<BatchToken>, Fault> {
        let Some(text) = token.expose().strip_prefix(PREFIX).filter(|text| text.len() <= MAX_BYTES) else {
            return Ok(None);
        };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
        let Some((nonce, sealed)) = bytes.split_at_checked(NONCE_BYTES) else { return Ok(None) };
        let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else { return Ok(None) };
        let mut sealed = zeroize::Zeroizing::new(sealed.to_vec());
        let key = self.batch_key().await?;
        let Ok(plain) = key.open_in_place(nonce, Aad::from(PURPOSE), &mut sealed) else { return Ok(None) };
        let Ok(batch) = serde_json::from_slice::<BatchToken>(plain) else { return Ok(None) };
        if self.0.clock.now() >= batch.expires {
            return Ok(None);
        }
        if let Some(parent) = &batch.parent
            && !self.is_alive(parent).await?
        {
            return Ok(None);
        }
        Ok(Some(batch))
    }

    async fn batch_key(&self) -> Result<LessSafeKey, Fault> {
        let secrets = self.secrets().await?;
        UnboundKey::new(&AES_256_GCM, &secrets.batch)
            .map(LessSafeKey::new)
            .map_err(|_| Fault::Dependency("the batch token key is damaged".to_owned()))
    }
}
