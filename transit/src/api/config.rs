//! `keys/:name/config`: version floors and switches of a key.

use crate::{
    api::keys::{check_rotation, key_body},
    error::TransitError,
    input::given,
    key::KeyRecord,
    key_type::Protection,
    transit::Transit,
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, DurationSeconds, Flag},
};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfigRequest {
    #[serde(deserialize_with = "given")]
    min_decryption_version: Option<Count>,
    #[serde(deserialize_with = "given")]
    min_encryption_version: Option<Count>,
    #[serde(deserialize_with = "given")]
    deletion_allowed: Option<Flag>,
    #[serde(deserialize_with = "given")]
    exportable: Option<Flag>,
    #[serde(deserialize_with = "given")]
    allow_plaintext_backup: Option<Flag>,
    /// Null is no period here, not the period 0.
    auto_rotate_period: Option<DurationSeconds>,
}

/// Changes what the request names and nothing else.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    let name = call.captures.text("name");
    let key = engine.edit(name, |record| apply(&request, record)).await?;
    let key = key.ok_or_else(|| Fault::caller(format!("no existing key named {name} could be found")))?;
    let response = key_body(&engine, &key).await?;
    if request.min_decryption_version == Some(Count(0)) {
        return Ok(response.warn(
            "since Vault 0.3 (prior to the OpenBao fork), transit key numbering starts at 1; forcing minimum to 1",
        ));
    }
    Ok(response)
}

fn apply(request: &ConfigRequest, record: &mut KeyRecord) -> Result<(), TransitError> {
    if let Some(Count(minimum)) = request.min_decryption_version {
        record.min_decryption_version = floor(minimum, record.latest_version, "decryption")?.max(1);
    }
    if let Some(Count(minimum)) = request.min_encryption_version {
        record.min_encryption_version = floor(minimum, record.latest_version, "encryption")?;
    }
    let (decryption, encryption) = (record.min_decryption_version, record.min_encryption_version);
    if encryption > 0 && encryption < decryption {
        return Err(TransitError::Caller(format!(
            "cannot set min encryption/decryption values; min encryption version of {encryption} must be greater than or equal to min decryption version of {decryption}"
        )));
    }
    if encryption < record.min_available_version {
        return Err(TransitError::caller("min encryption version should not be less than min available version"));
    }
    if decryption < record.min_available_version {
        return Err(TransitError::caller("min decryption version should not be less then min available version"));
    }
    if let Some(Flag(allowed)) = request.deletion_allowed {
        record.deletion_allowed = allowed;
    }
    if let Some(DurationSeconds(seconds)) = request.auto_rotate_period {
        check_rotation(seconds)?;
        if seconds != 0 && record.key_type.is_external() {
            return Err(TransitError::caller("auto rotate period must be disabled on external keys"));
        }
        record.auto_rotate_period_seconds = seconds;
    }
    // Both can only be switched on: whoever could export once may have done so.
    record.exportable |= request.exportable == Some(Flag(true));
    record.allow_plaintext_backup |= request.allow_plaintext_backup == Some(Flag(true));
    if record.protection == Protection::Hsm && (record.exportable || record.allow_plaintext_backup) {
        return Err(TransitError::caller("keys with protection hsm never leave the token"));
    }
    Ok(())
}

fn floor(minimum: i64, latest: u32, kind: &str) -> Result<u32, TransitError> {
    if minimum < 0 {
        return Err(TransitError::Caller(format!("min {kind} version cannot be negative")));
    }
    u32::try_from(minimum).ok().filter(|minimum| *minimum <= latest).ok_or_else(|| {
        TransitError::Caller(format!("cannot set min {kind} version of {minimum}, latest key version is {latest}"))
    })
}
