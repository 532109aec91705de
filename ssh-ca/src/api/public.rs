//! What hosts and users fetch without a token, as text: CA keys.

use crate::{SshAuthority, authority::DEFAULT};
use chancery_engine::{Call, Fault, Response};
use std::sync::Arc;

/// `GET public_key`
pub(crate) async fn public_key(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    line(&engine, DEFAULT).await
}

/// `GET issuer/:ref/public_key`
pub(crate) async fn issuer_public_key(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    line(&engine, call.captures.text("issuer_ref")).await
}

async fn line(engine: &SshAuthority, reference: &str) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    Ok(Response::raw("text/plain", authority.issuer(reference)?.line().into_bytes()))
}
