//! `renew`, `renew-self`, `renew-accessor`.

use super::{Target, TokenEngine, invalid_accessor, own_token};
use crate::tokens::batch::is_batch;
use chancery_engine::{Call, Fault, Response, SecretString};
use std::sync::Arc;

pub(super) async fn renew(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    let token = target.token().ok_or_else(|| Fault::caller("missing token ID"))?;
    engine.renew(&token, target.increment()?).await
}

pub(super) async fn renew_self(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    engine.renew(&own_token(&call), target.increment()?).await
}

pub(super) async fn renew_accessor(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    let found = engine.by_accessor(&target).await?.ok_or_else(invalid_accessor)?;
    engine.renew_key(&found.key, target.increment()?, SecretString::new(String::new())).await
}

impl TokenEngine {
    async fn renew(&self, token: &SecretString, increment: u64) -> Result<Response, Fault> {
        if is_batch(token) {
            return Err(Fault::caller("batch tokens cannot be renewed"));
        }
        let key = self.tokens.key_of(token).await?;
        self.renew_key(&key, increment, token.clone()).await
    }

    async fn renew_key(&self, key: &str, increment: u64, shown: SecretString) -> Result<Response, Fault> {
        let (block, warnings) = self.tokens.renew(key, increment, shown).await?;
        let mut response = Response::auth(block);
        response.warnings = warnings;
        Ok(response)
    }
}
