//! `revoke`, `revoke-self`, `revoke-accessor`, `revoke-orphan`, `tidy`.

use super::{Target, TokenEngine};
use crate::tokens::batch::is_batch;
use chancery_engine::{Call, Fault, Response, identity::TokenType, response::Disposition};
use std::sync::Arc;

const BATCH: &str = "batch tokens cannot be revoked";

pub(super) async fn revoke(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    let token = target.token().ok_or_else(|| Fault::caller("missing token ID"))?;
    if is_batch(&token) {
        return Err(Fault::caller(BATCH));
    }
    engine.tokens.revoke_tree(&token).await?;
    Ok(Response::empty())
}

pub(super) async fn revoke_self(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let identity = call.identity()?;
    if identity.token_type == TokenType::Batch {
        return Err(Fault::caller(BATCH));
    }
    engine.tokens.revoke_key(&identity.token_key).await?;
    Ok(Response::empty())
}

pub(super) async fn revoke_accessor(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    match engine.by_accessor(&target).await? {
        Some(found) => {
            engine.tokens.revoke_key(&found.key).await?;
            Ok(Response::empty())
        }
        None => Ok(Response::empty().warn("No token found with this accessor")),
    }
}

pub(super) async fn revoke_orphan(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    let token = target.token().ok_or_else(|| Fault::caller("missing token ID"))?;
    if !call.permit.is_sudo() {
        return Err(Fault::caller("root or sudo privileges required to revoke and orphan"));
    }
    if is_batch(&token) {
        return Err(Fault::caller(BATCH));
    }
    let found = engine.tokens.find(&token).await?.ok_or_else(|| Fault::caller("token to revoke not found"))?;
    engine.tokens.revoke_orphan(&found.key).await?;
    Ok(Response::empty())
}

pub(super) async fn tidy(engine: Arc<TokenEngine>, _call: Call) -> Result<Response, Fault> {
    let tokens = engine.tokens.clone();
    tokio::spawn(async move {
        match tokens.tidy().await {
            Ok(removed) => tracing::info!(removed, "token store tidied"),
            Err(fault) => tracing::warn!(%fault, "token store was not tidied"),
        }
    });
    Ok(Response::empty()
        .warn("Tidy operation successfully started. Any information from the operation will be printed to the server logs.")
        .disposed(Disposition::Accepted))
}
