//! `decrypt/:name`: decrypts a ciphertext or a batch.

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
struct DecryptRequest<'a> {
    #[serde(borrow)]
    ciphertext: Text<'a>,
    #[serde(borrow)]
    context: Text<'a>,
    #[serde(borrow)]
    associated_data: Text<'a>,
    #[serde(borrow)]
    batch_input: Option<&'a RawValue>,
    partial_failure_response_code: Option<Count>,
    #[serde(borrow)]
    nonce: Text<'a>,
    #[serde(borrow)]
    padding_scheme: Text<'a>,
}

/// Decrypts.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: DecryptRequest<'_> = call.parse()?;
    if request.batch_input.is_none() && request.ciphertext.as_str().is_empty() {
        return Err(TransitError::MissingCiphertext.into());
    }
    let key = engine.usable_key(call.captures.text("name"), TransitError::EncryptionKeyNotFound).await?;
    ciphers::answer(&engine, &key, &request.asked(call.body.json().len())).await
}

impl DecryptRequest<'_> {
    fn asked(&self, bytes: usize) -> Asked<'_> {
        Asked {
            operation: ciphers::Operation::Decrypt,
            single: CipherItem {
                payload: Some(Cow::Borrowed(self.ciphertext.as_str())),
                context: Cow::Borrowed(self.context.as_str()),
                associated_data: Cow::Borrowed(self.associated_data.as_str()),
                rare: RareOptions::given(self.nonce.as_str(), self.padding_scheme.as_str(), ""),
                ..CipherItem::default()
            },
            batch: self.batch_input,
            chosen: self.partial_failure_response_code.map(|code| code.0),
            bytes,
        }
    }
}
