//! `backup/:name`: a key with all its versions, in plain text.

use crate::transit::Transit;
use chancery_engine::{Call, Fault, Response, SecretString};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct BackupResponse {
    backup: SecretString,
}

/// Backs up.
pub(crate) async fn read(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("name");
    let backup = engine.backup(name).await?.ok_or_else(|| Fault::Caller(format!("key {name:?} not found")))?;
    Response::data(&BackupResponse { backup: SecretString::new(backup.to_string()) })
}
