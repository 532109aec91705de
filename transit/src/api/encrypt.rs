//! `encrypt/:name`: encrypts a text or a batch; makes the key if it is missing and the caller may.

use crate::{
    batch::{self, EncryptItem},
    cipher::{CipherItem, RareOptions, Workbench},
    encoding,
    error::{Failures, TransitError},
    in_token::encrypt_in_hsm,
    input::{Text, given},
    key::{Key, KeyRecord},
    key_type::KeyType,
    large,
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
    partial_failure_response_code: Count,
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
    let key_type = KeyType::named(type_name).filter(|known| known.is_aead());
    let key_type = key_type.ok_or_else(|| Fault::caller(format!("unknown key type {type_name}")))?;
    let convergent_encryption = request.convergent_encryption.0;
    let record = KeyRecord { derived, convergent_encryption, ..KeyRecord::new(key_type) };
    Ok(engine.create(call.captures.text("name"), record).await?)
}

fn in_process(key: &Key, request: &EncryptRequest<'_>, threads: usize) -> Result<Response, Fault> {
    match request.batch_input {
        Some(raw) => batch_in_process(key, raw, threads, request.partial_failure_response_code.0),
        None => Ok(one_in_process(key, &request.single())?),
    }
}

fn one_in_process(key: &Key, item: &CipherItem<'_>) -> Result<Response, TransitError> {
    key.allows_associated_data(item, &batch::place(0))?;
    let mut out = Vec::with_capacity(item.payload().len() + 96);
    out.extend_from_slice(br#"{"ciphertext":""#);
    let version = Workbench::default().encrypt(key, item, &mut out)?;
    out.push(b'"');
    batch::write_key_version(version, &mut out);
    out.push(b'}');
    Ok(Response::json(out))
}

fn batch_in_process(key: &Key, raw: &RawValue, threads: usize, chosen: i64) -> Result<Response, Fault> {
    let items = batch::parse::<EncryptItem<'_>>(raw)?;
    batch::check_contexts(&items.iter().map(|item| &item.0))?;
    let mut out = Vec::with_capacity(raw.get().len() + 96 * items.len());
    batch::open_results(&mut out);
    let failures = large::write_each(&items, threads, &mut out, |bench, index, EncryptItem(item), out, failures| {
        let start = out.len();
        out.extend_from_slice(br#"{"ciphertext":""#);
        let outcome =
            key.allows_associated_data(item, &batch::place(index)).and_then(|()| bench.encrypt(key, item, out));
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
    Ok(batch::label(Response::json(out), failures, chosen))
}

async fn in_hsm(engine: &Transit, key: &Key, request: &EncryptRequest<'_>) -> Result<Response, Fault> {
    let Some(raw) = request.batch_input else {
        let (version, ciphertext) = one_in_hsm(engine, key, &request.single(), 0).await?;
        let mut out = Vec::new();
        write_hsm_result(version, &ciphertext, &mut out);
        out.push(b'}');
        return Ok(Response::json(out));
    };
    let items = batch::parse::<EncryptItem<'_>>(raw)?;
    batch::check_contexts(&items.iter().map(|item| &item.0))?;
    let (mut out, mut failures) = (Vec::new(), Failures::default());
    batch::open_results(&mut out);
    let mut index = 0;
    for chunk in items.chunks(large::HSM_REQUESTS_AT_ONCE) {
        let work = chunk.iter().enumerate().map(|(offset, item)| one_in_hsm(engine, key, &item.0, index + offset));
        let outcomes = futures_util::future::join_all(work).await;
        for (outcome, EncryptItem(item)) in outcomes.into_iter().zip(chunk) {
            failures.note(&outcome);
            match outcome {
                Ok((version, ciphertext)) => {
                    write_hsm_result(version, &ciphertext, &mut out);
                    out.push(b',');
                }
                Err(error) => {
                    out.push(b'{');
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
) -> Result<(u32, String), TransitError> {
    key.allows_associated_data(item, &batch::place(index))?;
    let plaintext = encoding::decode(item.payload())?;
    engine.supplied(key, || async { encrypt_in_hsm(engine, key, item, &plaintext).await }).await
}

/// Writes `{"ciphertext":"…","key_version":N`.
fn write_hsm_result(version: u32, ciphertext: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"ciphertext":"#);
    batch::write_text(ciphertext, out);
    batch::write_key_version(version, out);
}

impl<'a> EncryptRequest<'a> {
    fn single(&self) -> CipherItem<'_> {
        CipherItem {
            payload: self.plaintext.as_ref().map(|text| Cow::Borrowed(text.as_str())),
            context: Cow::Borrowed(self.context.as_str()),
            associated_data: Cow::Borrowed(self.associated_data.as_str()),
            key_version: self.key_version.0,
            reference: Cow::Borrowed(""),
            rare: RareOptions::given("", self.padding_scheme.as_str(), ""),
        }
    }
}
