//! `rewrap/:name`: decrypts and encrypts anew without showing the plaintext.

use crate::{
    batch::{self, RewrapItem},
    cipher::{CipherItem, RareOptions, Workbench},
    error::{Failures, TransitError},
    in_token::{decrypt_in_hsm, encrypt_in_hsm},
    input::Text,
    key::Key,
    large,
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
    if key.lives_in_hsm() {
        return Ok(key.caution(in_hsm(&engine, &key, &request).await?));
    }
    let limit = if key.record.key_type.is_rsa() { large::LARGE_RSA_BODY_BYTES } else { large::LARGE_BODY_BYTES };
    if call.body.json().len() < limit {
        return Ok(key.caution(engine.supplied(&key, || async { in_process(&key, &request, 1) }).await?));
    }
    drop(request);
    let call = Arc::new(call);
    let work = || async {
        let (key, call) = (Arc::clone(&key), Arc::clone(&call));
        large::blocking(move |threads| in_process(&key, &call.parse()?, threads)).await
    };
    Ok(key.caution(engine.supplied(&key, work).await?))
}

fn in_process(key: &Key, request: &RewrapRequest<'_>, threads: usize) -> Result<Response, Fault> {
    let Some(raw) = request.batch_input else {
        let mut ciphertext = Vec::with_capacity(request.ciphertext.as_str().len() + 8);
        let version = Workbench::default().rewrap(key, &request.single(), &mut ciphertext)?;
        let mut out = Vec::with_capacity(ciphertext.len() + 48);
        write_result(version, &ciphertext, &mut out);
        out.push(b'}');
        return Ok(Response::json(out));
    };
    let items = batch::parse::<RewrapItem<'_>>(raw)?;
    batch::check_contexts(&items.iter().map(|item| &item.0))?;
    let mut out = Vec::with_capacity(raw.get().len() + 64 * items.len());
    batch::open_results(&mut out);
    large::write_each(&items, threads, &mut out, |bench, _, RewrapItem(item), out, failures: &mut Failures| {
        let start = out.len();
        out.extend_from_slice(br#"{"ciphertext":""#);
        let outcome = bench.rewrap(key, item, out);
        failures.note(&outcome);
        match outcome {
            Ok(version) => {
                out.push(b'"');
                batch::write_key_version(version, out);
                out.push(b',');
            }
            Err(error) => {
                out.truncate(start);
                out.push(b'{');
                batch::write_error(&error, out);
            }
        }
        batch::write_reference(&item.reference, out);
    })?;
    batch::close_results(&mut out);
    Ok(Response::json(out))
}

async fn in_hsm(engine: &Transit, key: &Key, request: &RewrapRequest<'_>) -> Result<Response, Fault> {
    let mut out = Vec::new();
    let Some(raw) = request.batch_input else {
        let (version, ciphertext) = one_in_hsm(engine, key, &request.single()).await?;
        write_result(version, ciphertext.as_bytes(), &mut out);
        out.push(b'}');
        return Ok(Response::json(out));
    };
    let items = batch::parse::<RewrapItem<'_>>(raw)?;
    batch::check_contexts(&items.iter().map(|item| &item.0))?;
    batch::open_results(&mut out);
    for chunk in items.chunks(large::HSM_REQUESTS_AT_ONCE) {
        let work = chunk.iter().map(|item| one_in_hsm(engine, key, &item.0));
        let outcomes = futures_util::future::join_all(work).await;
        for (outcome, RewrapItem(item)) in outcomes.into_iter().zip(chunk) {
            match outcome {
                Ok((version, ciphertext)) => {
                    write_result(version, ciphertext.as_bytes(), &mut out);
                    out.push(b',');
                }
                Err(error) => {
                    out.push(b'{');
                    batch::write_error(&error, &mut out);
                }
            }
            batch::write_reference(&item.reference, &mut out);
        }
    }
    batch::close_results(&mut out);
    Ok(Response::json(out))
}

async fn one_in_hsm(engine: &Transit, key: &Key, item: &CipherItem<'_>) -> Result<(u32, String), TransitError> {
    let plaintext = engine.supplied(key, || async { decrypt_in_hsm(engine, key, item).await }).await?;
    engine.supplied(key, || async { encrypt_in_hsm(engine, key, &item.for_new_ciphertext(), &plaintext).await }).await
}

/// Writes `{"ciphertext":"…","key_version":N`.
fn write_result(version: u32, ciphertext: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"ciphertext":""#);
    out.extend_from_slice(ciphertext);
    out.push(b'"');
    batch::write_key_version(version, out);
}

impl RewrapRequest<'_> {
    fn single(&self) -> CipherItem<'_> {
        CipherItem {
            payload: Some(Cow::Borrowed(self.ciphertext.as_str())),
            context: Cow::Borrowed(self.context.as_str()),
            key_version: self.key_version.0,
            rare: RareOptions::given(
                self.nonce.as_str(),
                self.decrypt_padding_scheme.as_str(),
                self.encrypt_padding_scheme.as_str(),
            ),
            ..CipherItem::default()
        }
    }
}
