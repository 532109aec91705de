//! `encrypt/:name`: encrypts a text or a batch; makes the key if it is missing and the caller may.

use crate::{
    batch::{
        self, EncryptItem,
        ciphers::{self, Asked},
    },
    cipher::{CipherItem, RareOptions},
    error::TransitError,
    input::{Text, given},
    key::{Key, KeyRecord},
    key_type::KeyType,
    transit::Transit,
};
use chancery_engine::{
    Call, Fault, Operation, Response,
    wire::{Count, Flag},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct EncryptRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    plaintext: Option<Text<'a>>,
    #[serde(borrow)]
    context: Text<'a>,
    #[serde(borrow)]
    associated_data: Text<'a>,
    key_version: Count,
    #[serde(borrow)]
    batch_input: Option<&'a RawValue>,
    partial_failure_response_code: Option<Count>,
    #[serde(borrow, rename = "type", deserialize_with = "given")]
    key_type: Option<Text<'a>>,
    convergent_encryption: Flag,
    #[serde(borrow)]
    padding_scheme: Text<'a>,
}

/// Encrypts.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: EncryptRequest<'_> = call.parse()?;
    if request.plaintext.is_none() && request.batch_input.is_none() {
        return Err(TransitError::MissingPlaintext.into());
    }
    let key = match engine.key(call.captures.text("name")).await? {
        Some(key) => key,
        None => upsert(&engine, &call, &request).await?,
    };
    key.usable()?;
    Ok(key.caution(ciphers::answer(&engine, &key, &request.asked(call.body.json().len())).await?))
}

/// Makes the missing key, derived where a context is given.
async fn upsert(engine: &Transit, call: &Call, request: &EncryptRequest<'_>) -> Result<Arc<Key>, Fault> {
    if call.permit.operation() != Operation::Create
        || engine.storage.configuration().await.map_err(TransitError::from)?.disable_upsert
    {
        return Err(TransitError::EncryptionKeyNotFound.into());
    }
    let derived = match request.batch_input {
        Some(raw) => batch::parse::<EncryptItem<'_>>(raw)?.iter().any(|item| !item.0.context.is_empty()),
        None => !request.context.as_str().is_empty(),
    };
    if request.convergent_encryption.0 && !derived {
        let text = "convergent encryption requires derivation to be enabled, so context is required";
        return Err(Fault::caller(text));
    }
    let type_name = request.key_type.as_ref().map_or(KeyType::Aes256Gcm96.name(), Text::as_str);
    let key_type = match KeyType::named(type_name) {
        Some(cipher) if cipher.is_aead() => cipher,
        Some(curve) if curve.is_ecdsa() => {
            return Err(Fault::caller(format!("key type {type_name} not supported for this operation")));
        }
        _ => return Err(Fault::caller(format!("unknown key type {type_name}"))),
    };
    let convergent_encryption = request.convergent_encryption.0;
    let record = KeyRecord { derived, convergent_encryption, ..KeyRecord::new(key_type) };
    Ok(engine.create(call.captures.text("name"), record).await?)
}

impl EncryptRequest<'_> {
    fn asked(&self, bytes: usize) -> Asked<'_> {
        Asked {
            operation: ciphers::Operation::Encrypt,
            single: CipherItem {
                payload: self.plaintext.as_ref().map(|text| Cow::Borrowed(text.as_str())),
                context: Cow::Borrowed(self.context.as_str()),
                associated_data: Cow::Borrowed(self.associated_data.as_str()),
                key_version: self.key_version.0,
                reference: Cow::Borrowed(""),
                rare: RareOptions::given("", self.padding_scheme.as_str(), ""),
            },
            batch: self.batch_input,
            chosen: self.partial_failure_response_code.map(|code| code.0),
            bytes,
        }
    }
}
