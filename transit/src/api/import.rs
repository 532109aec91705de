//! `keys/:name/import`: makes a key of material from outside.

use crate::{
    api::keys::check_rotation,
    derivation::Kdf,
    error::TransitError,
    import::{Incoming, importable},
    input::{Text, given},
    key::{Imported, KeyRecord},
    key_type::KeyType,
    transit::Transit,
    wrapping::OaepHash,
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{DurationSeconds, Flag},
};
use serde::{Deserialize, de::IgnoredAny};
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct ImportRequest<'a> {
    #[serde(rename = "type", borrow, deserialize_with = "given")]
    key_type: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "given")]
    ciphertext: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Text<'a>,
    #[serde(borrow, deserialize_with = "given")]
    hash_function: Option<Text<'a>>,
    allow_rotation: Flag,
    derived: Flag,
    exportable: Flag,
    allow_plaintext_backup: Flag,
    auto_rotate_period: DurationSeconds,
    /// Refused, whatever it says.
    #[serde(deserialize_with = "given")]
    convergent_encryption: Option<IgnoredAny>,
    /// Read by no endpoint but GET; known to the path.
    #[serde(rename = "context")]
    _context: Text<'a>,
}

/// The members that carry the key.
pub(crate) struct Material<'a> {
    pub(crate) ciphertext: Option<&'a Text<'a>>,
    pub(crate) public_key: &'a Text<'a>,
    pub(crate) hash_function: Option<&'a Text<'a>>,
}

impl Material<'_> {
    /// The key, unwrapped; a ciphertext counts before a public key.
    pub(crate) async fn incoming(&self, engine: &Transit, key_type: KeyType) -> Result<Incoming, TransitError> {
        if let Some(ciphertext) = self.ciphertext {
            let hash = OaepHash::named(self.hash_function.map_or("SHA256", Text::as_str))?;
            return Ok(Incoming::Private(engine.unwrap(hash, ciphertext.as_str()).await?));
        }
        if !key_type.is_asymmetric() {
            return Err(TransitError::caller("provided type does not support public_key import"));
        }
        Ok(Incoming::Public(self.public_key.as_str().to_owned()))
    }
}

/// Imports.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ImportRequest<'_> = call.parse()?;
    let name = call.captures.text("name");
    let record = record(&request)?;
    let taken = || {
        Fault::caller(
            "the import path cannot be used with an existing key; use import-version to rotate an existing imported key",
        )
    };
    if engine.key(name).await?.is_some() {
        return Err(taken());
    }
    let material = Material {
        ciphertext: request.ciphertext.as_ref(),
        public_key: &request.public_key,
        hash_function: request.hash_function.as_ref(),
    };
    let incoming = material.incoming(&engine, record.key_type).await?;
    let imported = engine.import(name, record, incoming).await.map_err(importing)?;
    if imported { Ok(Response::empty()) } else { Err(taken()) }
}

/// Tells a mistake in the material the way this endpoint does.
pub(crate) fn importing(error: TransitError) -> TransitError {
    match error {
        mistake if mistake.is_callers() => TransitError::Caller(format!("error importing key: {mistake}")),
        other => other,
    }
}

fn record(request: &ImportRequest<'_>) -> Result<KeyRecord, TransitError> {
    if request.convergent_encryption.is_some() {
        return Err(TransitError::caller("import cannot be used on keys with convergent encryption enabled"));
    }
    let period = request.auto_rotate_period.0;
    if period > 0 && !request.allow_rotation.0 {
        return Err(TransitError::caller("allow_rotation must be set to true if auto-rotation is enabled"));
    }
    let name = request.key_type.as_ref().map_or(KeyType::Aes256Gcm96.name(), Text::as_str);
    let key_type = KeyType::named(&name.to_ascii_lowercase()).filter(|key_type| importable(*key_type));
    let key_type = key_type.ok_or_else(|| TransitError::Caller(format!("unknown key type: {name}")))?;
    check_rotation(period)?;
    Ok(KeyRecord {
        derived: request.derived.0,
        exportable: request.exportable.0,
        allow_plaintext_backup: request.allow_plaintext_backup.0,
        auto_rotate_period_seconds: period,
        imported: Some(Imported { allow_rotation: request.allow_rotation.0 }),
        // The reference derives from imported keys with its oldest function, and ciphertexts must move both ways.
        kdf: Kdf::HmacSha256Counter,
        ..KeyRecord::new(key_type)
    })
}
