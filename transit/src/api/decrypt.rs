//! `decrypt/:name`: decrypts a ciphertext or a batch.

use crate::{
    batch::{self, DecryptItem},
    cipher::{CipherItem, RareOptions, Workbench},
    encoding,
    error::{Failures, TransitError},
    in_token::decrypt_in_hsm,
    input::Text,
    key::Key,
    large,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};
use zeroize::Zeroizing;

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
    partial_failure_response_code: Count,
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
    if key.lives_in_hsm() {
        return in_hsm(&engine, &key, &request).await;
    }
    let limit = if key.record.key_type.is_rsa() { large::LARGE_RSA_BODY_BYTES } else { large::LARGE_BODY_BYTES };
    if call.body.json().len() < limit {
        return engine.supplied(&key, || async { in_process(&key, &request, 1) }).await;
    }
    drop(request);
    let call = Arc::new(call);
    let work = || async {
        let (key, call) = (Arc::clone(&key), Arc::clone(&call));
        large::blocking(move |threads| in_process(&key, &call.parse()?, threads)).await
    };
    engine.supplied(&key, work).await
}

fn in_process(key: &Key, request: &DecryptRequest<'_>, threads: usize) -> Result<Response, Fault> {
    let Some(raw) = request.batch_input else {
        return Ok(one_in_process(key, &request.single())?);
    };
    let items = batch::parse::<DecryptItem<'_>>(raw)?;
    batch::check_contexts(&items.iter().map(|item| &item.0))?;
    let mut out = Vec::with_capacity(raw.get().len() + 64 * items.len());
    batch::open_results(&mut out);
    let failures = large::write_each(&items, threads, &mut out, |bench, index, DecryptItem(item), out, failures| {
        out.extend_from_slice(br#"{"plaintext":""#);
        let start = out.len();
        let outcome =
            key.allows_associated_data(item, &batch::place(index)).and_then(|()| bench.decrypt(key, item, out));
        failures.note(&outcome);
        if let Err(error) = outcome {
            out.truncate(start);
            out.extend_from_slice(br#"","#);
            batch::write_error(&error, out);
        } else {
            out.extend_from_slice(br#"","#);
        }
        batch::write_reference(&item.reference, out);
    })?;
    batch::close_results(&mut out);
    Ok(batch::label(Response::json(out), failures, request.partial_failure_response_code.0))
}

fn one_in_process(key: &Key, item: &CipherItem<'_>) -> Result<Response, TransitError> {
    key.allows_associated_data(item, &batch::place(0))?;
    let mut out = Vec::with_capacity(item.payload().len() + 32);
    out.extend_from_slice(br#"{"plaintext":""#);
    Workbench::default().decrypt(key, item, &mut out)?;
    out.extend_from_slice(br#""}"#);
    Ok(Response::json(out))
}

async fn in_hsm(engine: &Transit, key: &Key, request: &DecryptRequest<'_>) -> Result<Response, Fault> {
    let Some(raw) = request.batch_input else {
        let plaintext = one_in_hsm(engine, key, &request.single(), 0).await?;
        let mut out = br#"{"plaintext":""#.to_vec();
        encoding::encode_onto(&plaintext, &mut out)?;
        out.extend_from_slice(br#""}"#);
        return Ok(Response::json(out));
    };
    let items = batch::parse::<DecryptItem<'_>>(raw)?;
    batch::check_contexts(&items.iter().map(|item| &item.0))?;
    let (mut out, mut failures) = (Vec::with_capacity(raw.get().len() + 64 * items.len()), Failures::default());
    batch::open_results(&mut out);
    let mut index = 0;
    for chunk in items.chunks(large::HSM_REQUESTS_AT_ONCE) {
        let work = chunk.iter().enumerate().map(|(offset, item)| one_in_hsm(engine, key, &item.0, index + offset));
        let outcomes = futures_util::future::join_all(work).await;
        for (outcome, DecryptItem(item)) in outcomes.into_iter().zip(chunk) {
            failures.note(&outcome);
            out.extend_from_slice(br#"{"plaintext":""#);
            match outcome {
                Ok(plaintext) => {
                    encoding::encode_onto(&plaintext, &mut out)?;
                    out.extend_from_slice(br#"","#);
                }
                Err(error) => {
                    out.extend_from_slice(br#"","#);
                    batch::write_error(&error, &mut out);
                }
            }
            batch::write_reference(&item.reference, &mut out);
        }
        index += chunk.len();
    }
    batch::close_results(&mut out);
    Ok(batch::label(Response::json(out), failures, request.partial_failure_response_code.0))
}

async fn one_in_hsm(
    engine: &Transit,
    key: &Key,
    item: &CipherItem<'_>,
    index: usize,
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    key.allows_associated_data(item, &batch::place(index))?;
    engine.supplied(key, || async { decrypt_in_hsm(engine, key, item).await }).await
}

impl DecryptRequest<'_> {
    fn single(&self) -> CipherItem<'_> {
        CipherItem {
            payload: Some(Cow::Borrowed(self.ciphertext.as_str())),
            context: Cow::Borrowed(self.context.as_str()),
            associated_data: Cow::Borrowed(self.associated_data.as_str()),
            rare: RareOptions::given(self.nonce.as_str(), self.padding_scheme.as_str(), ""),
            ..CipherItem::default()
        }
    }
}
