//! `rewrap/:name`: decrypts and encrypts anew without showing the plaintext.

use crate::{
    batch::ciphers::{self, Asked},
    cipher::{CipherItem, RareOptions},
    error::TransitError,
    input::Text,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

#[derive(Deserialize, Default)]
#[serde(default)]
struct RewrapRequest<'a> {
    #[serde(borrow)]
    ciphertext: Text<'a>,
    #[serde(borrow)]
    context: Text<'a>,
    key_version: Count,
    #[serde(borrow)]
    batch_input: Option<&'a RawValue>,
    #[serde(borrow)]
    nonce: Text<'a>,
    #[serde(borrow)]
    decrypt_padding_scheme: Text<'a>,
    #[serde(borrow)]
    encrypt_padding_scheme: Text<'a>,
}

/// Rewraps. A batch is always a 200; what went wrong stands in the items.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: RewrapRequest<'_> = call.parse()?;
    if request.batch_input.is_none() && request.ciphertext.as_str().is_empty() {
        return Err(TransitError::MissingCiphertext.into());
    }
    let key = engine.usable_key(call.captures.text("name"), TransitError::EncryptionKeyNotFound).await?;
    Ok(key.caution(ciphers::answer(&engine, &key, &request.asked(call.body.json().len())).await?))
}

impl RewrapRequest<'_> {
    fn asked(&self, bytes: usize) -> Asked<'_> {
        Asked {
            operation: ciphers::Operation::Rewrap,
            single: CipherItem {
                payload: Some(Cow::Borrowed(self.ciphertext.as_str())),
                context: Cow::Borrowed(self.context.as_str()),
                key_version: self.key_version.0,
                rare: RareOptions::given(
                    self.nonce.as_str(),
                    self.decrypt_padding_scheme.as_str(),
                    self.encrypt_padding_scheme.as_str(),
                ),
                ..CipherItem::default()
            },
            batch: self.batch_input,
            chosen: None,
            bytes,
        }
    }
}
