//! `cmac/:name[/:url_mac_length]`: CMACs of a text or a batch, and their half of `verify`. Of Vault Enterprise.

use crate::{
    batch::{self, SignatureItem},
    error::TransitError,
    input::{Text, given},
    key::Key,
    mac,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct CmacRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    input: Option<Text<'a>>,
    mac_length: Count,
    key_version: Count,
    #[serde(borrow)]
    batch_input: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct CmacResponse {
    cmac: String,
}

#[derive(Serialize)]
struct ValidResponse {
    valid: bool,
}

/// Makes CMACs. A batch is always a 200; what went wrong stands in the items.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: CmacRequest<'_> = call.parse()?;
    let of_path = length_of_path(call.captures.text("url_mac_length"))?;
    let items = match request.batch_input {
        Some(raw) => batch::parse::<SignatureItem<'_>>(raw)?,
        None => vec![SignatureItem {
            input: request.input.as_ref().map(|text| text.as_str().into()),
            mac_length: request.mac_length.0,
            ..SignatureItem::default()
        }],
    };
    refuse_blank(&items, |item| item.input.as_deref(), |at| format!("input item {at} was blank"))?;
    let key = cmac_key(&engine, &call).await?;
    let version = request.key_version.0;
    let make = |item: &SignatureItem<'_>| {
        let length = mac::cmac_length(of_path.unwrap_or(item.mac_length))?;
        mac::make_cmac(&key, version, length, item.input.as_deref().unwrap_or_default())
    };
    let warnings = overridden(&items, of_path);
    if request.batch_input.is_none() {
        let Some(item) = items.first() else { return Err(TransitError::Bug("no item").into()) };
        let cmac = engine.supplied(&key, || async { make(item) }).await?;
        return Ok(with_warnings(Response::data(&CmacResponse { cmac })?, warnings));
    }
    let mut out = Vec::new();
    batch::open_results(&mut out);
    for item in &items {
        out.push(b'{');
        match engine.supplied(&key, || async { make(item) }).await {
            Ok(cmac) => {
                out.extend_from_slice(br#""cmac":"#);
                batch::write_text(&cmac, &mut out);
                out.push(b',');
            }
            Err(error) => batch::write_error(&error, &mut out),
        }
        batch::write_reference(&item.reference, &mut out);
    }
    batch::close_results(&mut out);
    Ok(with_warnings(Response::json(out), warnings))
}

/// Verifies CMACs; where `verify` has the name of a hash in its path stands the length here.
pub(crate) async fn verify(
    engine: &Transit,
    call: &Call,
    items: &[SignatureItem<'_>],
    is_batch: bool,
) -> Result<Response, Fault> {
    let of_path = length_of_path(call.captures.text("urlalgorithm"))?;
    refuse_blank(items, |item| item.input.as_deref(), |at| format!("input field on item {at} was blank"))?;
    refuse_blank(items, |item| item.cmac.as_deref(), |at| format!("cmac field on item {at} was blank"))?;
    for (at, item) in items.iter().enumerate().filter(|_| of_path.is_none()) {
        mac::cmac_length(item.mac_length)
            .map_err(|error| Fault::Caller(format!("mac_length field on item {at} was not valid: {error}")))?;
    }
    let key = cmac_key(engine, call).await?;
    let check = |item: &SignatureItem<'_>| {
        let length = mac::cmac_length(of_path.unwrap_or(item.mac_length))?;
        let text = |member: &Option<std::borrow::Cow<'_, str>>| member.as_deref().unwrap_or_default().to_owned();
        mac::verify_cmac(&key, length, &text(&item.input), &text(&item.cmac))
    };
    let warnings = overridden(items, of_path);
    if !is_batch {
        let Some(item) = items.first() else { return Err(TransitError::Bug("no item").into()) };
        let valid = engine.supplied(&key, || async { check(item) }).await?;
        return Ok(with_warnings(Response::data(&ValidResponse { valid })?, warnings));
    }
    let mut out = Vec::new();
    batch::open_results(&mut out);
    for item in items {
        match engine.supplied(&key, || async { check(item) }).await {
            Ok(true) => out.extend_from_slice(br#"{"valid":true,"#),
            Ok(false) => out.extend_from_slice(br#"{"valid":false,"#),
            Err(error) => {
                out.extend_from_slice(br#"{"valid":false,"#);
                batch::write_error(&error, &mut out);
            }
        }
        batch::write_reference(&item.reference, &mut out);
    }
    batch::close_results(&mut out);
    Ok(with_warnings(Response::json(out), warnings))
}

/// The length that the path gives, which comes before those of the body.
fn length_of_path(text: &str) -> Result<Option<i64>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = |what: String| Fault::Caller(format!("the url mac-length parameter {what}"));
    let length = text.parse::<i64>().map_err(|_| invalid("failed parsing: not a number".to_owned()))?;
    mac::cmac_length(length).map_err(|error| invalid(format!("is invalid: {error}")))?;
    Ok(Some(length))
}

fn refuse_blank<'i, 'a: 'i>(
    items: &'i [SignatureItem<'a>],
    member: impl Fn(&'i SignatureItem<'a>) -> Option<&'i str>,
    text: impl Fn(usize) -> String,
) -> Result<(), Fault> {
    match items.iter().position(|item| member(item).is_none_or(|text| text.trim().is_empty())) {
        Some(at) => Err(Fault::Caller(text(at))),
        None => Ok(()),
    }
}

async fn cmac_key(engine: &Transit, call: &Call) -> Result<Arc<Key>, Fault> {
    let name = call.captures.text("name");
    let key = engine.usable_key(name, TransitError::EncryptionKeyNotFound).await?;
    let key_type = key.record.key_type;
    if key_type.is_cmac() {
        return Ok(key);
    }
    Err(Fault::Caller(format!("key {name} is not a supported CMAC key type: {}", key_type.name())))
}

/// A remark for each length of the body that the path's replaces.
fn overridden(items: &[SignatureItem<'_>], of_path: Option<i64>) -> Vec<String> {
    let Some(of_path) = of_path else { return Vec::new() };
    let replaced = items.iter().enumerate().filter(|(_, item)| item.mac_length != 0);
    replaced
        .map(|(at, item)| {
            format!("input item {at} mac_length of {} overridden by url_mac_length {of_path}", item.mac_length)
        })
        .collect()
}

fn with_warnings(mut response: Response, warnings: Vec<String>) -> Response {
    response.warnings.extend(warnings);
    response
}
