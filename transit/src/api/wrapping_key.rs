//! `wrapping_key`: the public key to wrap keys with that are to be imported.

use crate::{pem, transit::Transit};
use chancery_engine::{Call, Fault, Response};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct WrappingKeyResponse {
    public_key: String,
}

/// Shows the key, making it where there is none.
pub(crate) async fn read(engine: Arc<Transit>, _call: Call) -> Result<Response, Fault> {
    let key = engine.wrapping_key().await?;
    Response::data(&WrappingKeyResponse { public_key: pem::write("PUBLIC KEY", &key.public_key).to_string() + "\n" })
}
